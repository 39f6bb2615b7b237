//! Plain text of binary cross-entropy; the oracle of the fast path.

use super::IGNORE;
use crate::Real;

/// `1/(1 + e^-z)`, by an exponential that does not overflow.
fn logistic<F: Real>(z: F) -> F {
    if z < F::ZERO { z.exp() / (F::ONE + z.exp()) } else { F::ONE / (F::ONE + (-z).exp()) }
}

fn weight<F: Real>(weights: Option<&[F]>, place: usize) -> F {
    weights.map_or(F::ONE, |weights| weights[place])
}

fn counts<F: Real>(target: F) -> bool {
    target != F::from_f64(f64::from(IGNORE))
}

/// `ℓ = w·(max(z, 0) - z·t + ln(1 + e^-|z|))`, 0 where the target is ignored.
pub fn forward<F: Real>(logits: &[F], (targets, weights): (&[F], Option<&[F]>), losses: &mut [F]) {
    for i in 0..logits.len() {
        let (z, t) = (logits[i], targets[i]);
        let above = if z > F::ZERO { z } else { F::ZERO };
        let size = if z > F::ZERO { z } else { -z };
        let loss = above - z * t + (-size).exp().ln_1p();
        losses[i] = if counts(t) { weight(weights, i) * loss } else { F::ZERO };
    }
}

/// `dz = scale · w · (p - t)`, 0 where the target is ignored.
pub fn backward<F: Real>(
    logits: &[F],
    (targets, weights): (&[F], Option<&[F]>),
    scale: F,
    dlogits: &mut [F],
) {
    for i in 0..logits.len() {
        let slope = scale * weight(weights, i) * (logistic(logits[i]) - targets[i]);
        dlogits[i] = if counts(targets[i]) { slope } else { F::ZERO };
    }
}
