//! Plain text of dropout; the oracle of the fast path.

use super::Mask;
use crate::Real;

/// `y = x / (1 - p)` where the mask keeps a number, else 0.
pub fn apply<F: Real>(mask: Mask, x: &[F], y: &mut [F]) {
    let probability = f64::from(mask.probability);
    for i in 0..x.len() {
        let drawn = f64::from(mask.stream.word(i as u64)) / 4_294_967_296.0;
        let kept = drawn >= probability;
        y[i] = if kept { x[i] / F::from_f64(1.0 - probability) } else { F::ZERO };
    }
}
