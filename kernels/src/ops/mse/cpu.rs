//! Plain text of the squared error; the oracle of the fast path.

use crate::Real;

fn weight<F: Real>(weights: Option<&[F]>, place: usize) -> F {
    weights.map_or(F::ONE, |weights| weights[place])
}

/// `ℓ = w·(x - t)²`.
pub fn forward<F: Real>(x: &[F], (targets, weights): (&[F], Option<&[F]>), losses: &mut [F]) {
    for i in 0..x.len() {
        let distance = x[i] - targets[i];
        losses[i] = weight(weights, i) * distance * distance;
    }
}

/// `dx = scale · 2 · w · (x - t)`.
pub fn backward<F: Real>(x: &[F], (targets, weights): (&[F], Option<&[F]>), scale: F, dx: &mut [F]) {
    for i in 0..x.len() {
        dx[i] = scale * F::from_f64(2.0) * weight(weights, i) * (x[i] - targets[i]);
    }
}
