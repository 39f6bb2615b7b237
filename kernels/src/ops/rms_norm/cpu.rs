//! Plain text of the normalisation; the oracle of the fast path.

use super::Sizes;
use crate::Real;

/// `y = x·q·γ`, and `q` of every row.
pub fn forward<F: Real>(sizes: Sizes, x: &[F], gamma: &[F], y: &mut [F], stats: &mut [F]) {
    let width = F::from_f64(sizes.width as f64);
    for r in 0..sizes.rows {
        let row = r * sizes.width..(r + 1) * sizes.width;
        let mut squares = F::ZERO;
        for i in row.clone() {
            squares += x[i] * x[i];
        }
        stats[r] = F::ONE / (squares / width + F::from_f64(f64::from(sizes.epsilon))).sqrt();
        for (c, i) in row.enumerate() {
            y[i] = x[i] * stats[r] * gamma[c];
        }
    }
}

/// `dx = q·(g - h·Σ(g·h)/C)`, `dγ += Σ_r dy·h`.
pub fn backward<F: Real>(
    sizes: Sizes,
    (x, stats): (&[F], &[F]),
    gamma: &[F],
    dy: &[F],
    dx: &mut [F],
    dgamma: &mut [F],
) {
    let width = F::from_f64(sizes.width as f64);
    for r in 0..sizes.rows {
        let inverse = stats[r];
        let mut product = F::ZERO;
        for c in 0..sizes.width {
            let i = r * sizes.width + c;
            let normal = x[i] * inverse;
            product += dy[i] * gamma[c] * normal;
            dgamma[c] += dy[i] * normal;
        }
        for c in 0..sizes.width {
            let i = r * sizes.width + c;
            dx[i] = inverse * (dy[i] * gamma[c] - x[i] * inverse * product / width);
        }
    }
}
