//! Plain text of softmax and its logarithm; the oracle of the fast path.

use super::{Kind, Sizes};
use crate::Real;

/// `y [R,V]`
pub fn forward<F: Real>(sizes: Sizes, kind: Kind, x: &[F], y: &mut [F]) {
    for (x, y) in x.chunks_exact(sizes.classes).zip(y.chunks_exact_mut(sizes.classes)) {
        let largest = x.iter().copied().fold(x[0], |a, b| if b > a { b } else { a });
        let mut sum = F::ZERO;
        for &score in x {
            sum += (score - largest).exp();
        }
        for (&score, y) in x.iter().zip(y) {
            *y = match kind {
                Kind::Probabilities => (score - largest).exp() / sum,
                Kind::Logarithms => score - largest - sum.ln(),
            };
        }
    }
}

/// `dx [R,V]` from results and their gradient.
pub fn backward<F: Real>(sizes: Sizes, kind: Kind, (y, dy): (&[F], &[F]), dx: &mut [F]) {
    let rows = y.chunks_exact(sizes.classes).zip(dy.chunks_exact(sizes.classes));
    for ((y, dy), dx) in rows.zip(dx.chunks_exact_mut(sizes.classes)) {
        let mut sum = F::ZERO;
        for (&y, &dy) in y.iter().zip(dy) {
            sum += match kind {
                Kind::Probabilities => y * dy,
                Kind::Logarithms => dy,
            };
        }
        for ((&y, &dy), dx) in y.iter().zip(dy).zip(dx) {
            *dx = match kind {
                Kind::Probabilities => y * (dy - sum),
                Kind::Logarithms => dy - y.exp() * sum,
            };
        }
    }
}
