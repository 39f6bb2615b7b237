//! Plain text of reductions; the oracle of the fast path.

use crate::Real;

/// `Σ x / denominator`, first number first.
pub fn mean_over<F: Real>(x: &[F], denominator: usize) -> F {
    let mut sum = F::ZERO;
    for &x in x {
        sum += x;
    }
    sum / F::from_f64(denominator as f64)
}

/// `Σ x²`, first number first.
pub fn sum_of_squares<F: Real>(x: &[F]) -> F {
    let mut sum = F::ZERO;
    for &x in x {
        sum += x * x;
    }
    sum
}
