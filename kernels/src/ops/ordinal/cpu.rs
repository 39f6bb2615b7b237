//! Plain text of ordered levels: what runs, and in 64 bits the oracle.

use super::Sizes;
use crate::Real;

/// `z = s·w + β`.
pub fn forward<F: Real>(sizes: Sizes, scores: &[F], (weights, shifts): (&[F], &[F]), logits: &mut [F]) {
    for r in 0..sizes.rows {
        for k in 0..sizes.thresholds {
            logits[r * sizes.thresholds + k] = scores[r] * weights[k] + shifts[k];
        }
    }
}

/// `ds = Σ_k dz·w`, `dw += Σ_r dz·s`, `dβ += Σ_r dz`.
pub fn backward<F: Real>(
    sizes: Sizes,
    (scores, weights): (&[F], &[F]),
    dlogits: &[F],
    dscores: &mut [F],
    (dweights, dshifts): (&mut [F], &mut [F]),
) {
    for r in 0..sizes.rows {
        let mut sum = F::ZERO;
        for k in 0..sizes.thresholds {
            let slope = dlogits[r * sizes.thresholds + k];
            sum += slope * weights[k];
            dweights[k] += slope * scores[r];
            dshifts[k] += slope;
        }
        dscores[r] = sum;
    }
}

/// `1/(1 + e^-z)`, by an exponential that does not overflow.
fn logistic<F: Real>(z: F) -> F {
    if z < F::ZERO { z.exp() / (F::ONE + z.exp()) } else { F::ONE / (F::ONE + (-z).exp()) }
}

/// `P_l = up_l·down_l / Σ up·down`.
pub fn levels<F: Real>(sizes: Sizes, logits: &[F], probabilities: &mut [F]) {
    let count = sizes.thresholds;
    for r in 0..sizes.rows {
        let logits = &logits[r * count..(r + 1) * count];
        let row = &mut probabilities[r * (count + 1)..(r + 1) * (count + 1)];
        let mut sum = F::ZERO;
        for (level, probability) in row.iter_mut().enumerate() {
            let up = if level > 0 { logistic(logits[level - 1]) } else { F::ONE };
            let down = if level < count { logistic(-logits[level]) } else { F::ONE };
            *probability = up * down;
            sum += *probability;
        }
        for probability in row {
            *probability = *probability / sum;
        }
    }
}
