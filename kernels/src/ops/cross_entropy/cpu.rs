//! Plain text of cross-entropy; the oracle of the fast path.

use super::{IGNORE, Sizes};
use crate::Real;

/// Logarithm of the sum of exponentials, shifted by the largest score so that none overflows.
fn log_sum_exp<F: Real>(row: &[F]) -> F {
    let mut largest = row[0];
    for &score in row {
        if score > largest {
            largest = score;
        }
    }
    let mut sum = F::ZERO;
    for &score in row {
        sum += (score - largest).exp();
    }
    largest + sum.ln()
}

/// `ℓ = ln Σ exp(z) - z_target`, 0 where the target is ignored.
pub fn forward<F: Real>(sizes: Sizes, logits: &[F], targets: &[u32], losses: &mut [F]) {
    for r in 0..sizes.rows {
        let row = &logits[r * sizes.classes..(r + 1) * sizes.classes];
        losses[r] = match targets[r] {
            IGNORE => F::ZERO,
            target => log_sum_exp(row) - row[target as usize],
        };
    }
}

/// Mean of the losses whose target is not ignored.
pub fn mean<F: Real>(losses: &[F], targets: &[u32]) -> F {
    let (mut sum, mut count) = (F::ZERO, F::ZERO);
    for (&loss, &target) in losses.iter().zip(targets) {
        if target != IGNORE {
            sum += loss;
            count += F::ONE;
        }
    }
    sum / count
}

/// `dz = scale · (softmax(z) - onehot)`, 0 where the target is ignored.
pub fn backward<F: Real>(sizes: Sizes, logits: &[F], targets: &[u32], scale: F, dlogits: &mut [F]) {
    for r in 0..sizes.rows {
        let row = r * sizes.classes..(r + 1) * sizes.classes;
        let total = log_sum_exp(&logits[row.clone()]);
        for (v, i) in row.enumerate() {
            let hit = if targets[r] as usize == v { F::ONE } else { F::ZERO };
            let slope = scale * ((logits[i] - total).exp() - hit);
            dlogits[i] = if targets[r] == IGNORE { F::ZERO } else { slope };
        }
    }
}
