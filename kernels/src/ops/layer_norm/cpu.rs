//! Plain text of layer normalisation; the oracle of the fast path.

use super::{Kind, Sizes};
use crate::Real;

/// Mean of one row, and 1/σ or the unbiased standard deviation.
fn statistics<F: Real>(row: &[F], sizes: Sizes) -> (F, F) {
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
    let spread = match sizes.kind {
        Kind::Deviation => F::ONE / (squares / width + epsilon(sizes)).sqrt(),
        Kind::RootDeviation => (squares / (width - F::ONE)).sqrt(),
    };
    (mean, spread)
}

fn epsilon<F: Real>(sizes: Sizes) -> F {
    F::from_f64(f64::from(sizes.epsilon))
}

/// `q` from what is kept beside the mean.
fn inverse<F: Real>(spread: F, sizes: Sizes) -> F {
    match sizes.kind {
        Kind::Deviation => spread,
        Kind::RootDeviation => F::ONE / (spread + epsilon(sizes)).sqrt(),
    }
}

/// `Σ(g·h)/n`; of rows of equal numbers nothing.
fn share<F: Real>(sum: F, spread: F, sizes: Sizes) -> F {
    let width = F::from_f64(sizes.width as f64);
    match sizes.kind {
        Kind::Deviation => sum / width,
        Kind::RootDeviation if spread == F::ZERO => F::ZERO,
        Kind::RootDeviation => sum / (F::from_f64(2.0) * (width - F::ONE) * spread),
    }
}

/// `y = (x - m)·q·γ + β`, and the statistics of every row.
pub fn forward<F: Real>(sizes: Sizes, x: &[F], gamma: &[F], beta: &[F], y: &mut [F], stats: &mut [F]) {
    for r in 0..sizes.rows {
        let row = r * sizes.width..(r + 1) * sizes.width;
        let (mean, spread) = statistics(&x[row.clone()], sizes);
        stats[2 * r] = mean;
        stats[2 * r + 1] = spread;
        let inverse = inverse(spread, sizes);
        for (c, i) in row.enumerate() {
            y[i] = (x[i] - mean) * inverse * gamma[c] + beta[c];
        }
    }
}

/// `dx = q·(g - Σg/C - h·Σ(g·h)/n)`, `dγ += Σ_r dy·h`, `dβ += Σ_r dy`.
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
        let (mean, spread) = (stats[2 * r], stats[2 * r + 1]);
        let inverse = inverse(spread, sizes);
        let (mut sum, mut with_normal) = (F::ZERO, F::ZERO);
        for c in 0..sizes.width {
            let i = r * sizes.width + c;
            let normal = (x[i] - mean) * inverse;
            sum += dy[i] * gamma[c];
            with_normal += dy[i] * gamma[c] * normal;
            dgamma[c] += dy[i] * normal;
            dbeta[c] += dy[i];
        }
        let product = share(with_normal, spread, sizes);
        for c in 0..sizes.width {
            let i = r * sizes.width + c;
            let normal = (x[i] - mean) * inverse;
            dx[i] = inverse * (dy[i] * gamma[c] - sum / width - normal * product);
        }
    }
}
