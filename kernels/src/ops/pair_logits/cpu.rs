//! Plain text of the head of pairs; the oracle of the fast path.

use super::Sizes;
use crate::Real;

/// `y [R,N]` from what the proteins give, weights and bias.
pub fn forward<F: Real>(
    sizes: Sizes,
    (first, second): (&[F], &[F]),
    (weights, bias): (&[F], F),
    y: &mut [F],
) {
    let Sizes { rows, columns, units } = sizes;
    for row in 0..rows {
        for column in 0..columns {
            let mut sum = F::ZERO;
            for unit in 0..units {
                sum += weights[unit] * tanh(first[row * units + unit] + second[column * units + unit]);
            }
            y[row * columns + column] = bias + sum;
        }
    }
}

/// By the power of a number that is not positive, which never is too large.
fn tanh<F: Real>(x: F) -> F {
    let negative = x < F::ZERO;
    let size = if negative { -x } else { x };
    let power = (-(size + size)).exp();
    let y = (F::ONE - power) / (F::ONE + power);
    if negative { -y } else { y }
}
