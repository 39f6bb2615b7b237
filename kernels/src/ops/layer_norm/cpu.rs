//! Plain text of layer normalisation; the oracle of the fast path.

use super::Sizes;
use crate::Real;

/// Mean and 1/σ of one row.
fn statistics<F: Real>(row: &[F], epsilon: f32) -> (F, F) {
    let width = F::from_f64(row.len() as f64);
    let mut sum = F::ZERO;
    for &value in row {
        sum += value;
    }
    let mean = sum / width;
    let mut squares = F::ZERO;
    for &value in row {
        squares += (value - mean) * (value - mean);
    }
    (mean, F::ONE / (squares / width + F::from_f64(f64::from(epsilon))).sqrt())
}

/// `y = (x - m)·q·γ + β`, and `(m, q)` of every row.
pub fn forward<F: Real>(sizes: Sizes, x: &[F], gamma: &[F], beta: &[F], y: &mut [F], stats: &mut [F]) {
    for r in 0..sizes.rows {
        let row = r * sizes.width..(r + 1) * sizes.width;
        let (mean, inverse) = statistics(&x[row.clone()], sizes.epsilon);
        stats[2 * r] = mean;
        stats[2 * r + 1] = inverse;
        for (c, i) in row.enumerate() {
            y[i] = (x[i] - mean) * inverse * gamma[c] + beta[c];
        }
    }
}

/// `dx = q·(g - Σg/C - h·Σ(g·h)/C)`, `dγ += Σ_r dy·h`, `dβ += Σ_r dy`.
pub fn backward<F: Real>(
    sizes: Sizes,
    (x, stats): (&[F], &[F]),
    gamma: &[F],
    dy: &[F],
    dx: &mut [F],
    (dgamma, dbeta): (&mut [F], &mut [F]),
) {
    let width = F::from_f64(sizes.width as f64);
    for r in 0..sizes.rows {
        let (mean, inverse) = (stats[2 * r], stats[2 * r + 1]);
        let (mut sum, mut with_normal) = (F::ZERO, F::ZERO);
        for c in 0..sizes.width {
            let i = r * sizes.width + c;
            let normal = (x[i] - mean) * inverse;
            sum += dy[i] * gamma[c];
            with_normal += dy[i] * gamma[c] * normal;
            dgamma[c] += dy[i] * normal;
            dbeta[c] += dy[i];
        }
        for c in 0..sizes.width {
            let i = r * sizes.width + c;
            let normal = (x[i] - mean) * inverse;
            dx[i] = inverse * (dy[i] * gamma[c] - sum / width - normal * with_normal / width);
        }
    }
}
