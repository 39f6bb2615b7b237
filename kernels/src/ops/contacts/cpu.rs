//! Plain text of contacts; the oracle of the fast path.

use super::Sizes;
use crate::Real;

/// `y [L,L]` from the mixed map `[L,L]`, the margins `[channels,L]`, and weights and bias of the regression.
pub fn forward<F: Real>(sizes: Sizes, (map, sums): (&[F], &[F]), (weights, bias): (&[F], F), y: &mut [F]) {
    let Sizes { length, channels } = sizes;
    for i in 0..length {
        for j in 0..length {
            let mut logit = bias + map[i * length + j] + map[j * length + i];
            for channel in 0..channels {
                let sums = &sums[channel * length..(channel + 1) * length];
                let mut total = F::ZERO;
                for &sum in sums {
                    total += sum;
                }
                if total > F::ZERO {
                    logit += -weights[channel] / total * sums[i] * sums[j];
                }
            }
            let one = F::from_f64(1.0);
            y[i * length + j] = one / (one + (-logit).exp());
        }
    }
}
