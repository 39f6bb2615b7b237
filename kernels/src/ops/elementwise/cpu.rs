//! Plain text of the operations on single numbers; the oracle of the fast path.

use crate::Real;

/// Φ(x), the probability of a standard normal number below x.
fn normal_below<F: Real>(x: F) -> F {
    let half = F::from_f64(0.5);
    half * (F::ONE + (x * F::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf())
}

/// `x · Φ(x)`, the exact form of GELU.
pub fn gelu<F: Real>(x: F) -> F {
    x * normal_below(x)
}

/// `Φ(x) + x·φ(x)`, the derivative of [`gelu`].
pub fn gelu_slope<F: Real>(x: F) -> F {
    let density = (-(x * x) * F::from_f64(0.5)).exp() / F::from_f64(std::f64::consts::TAU.sqrt());
    normal_below(x) + x * density
}

/// `dx = dy · GELU'(s)`.
pub fn gelu_backward<F: Real>(sums: &[F], dy: &[F], dx: &mut [F]) {
    for i in 0..dx.len() {
        dx[i] = dy[i] * gelu_slope(sums[i]);
    }
}

/// `y = a + b`.
pub fn add<F: Real>(a: &[F], b: &[F], y: &mut [F]) {
    for i in 0..y.len() {
        y[i] = a[i] + b[i];
    }
}

/// `x *= factor`.
pub fn scale<F: Real>(factor: F, x: &mut [F]) {
    for value in x {
        *value = *value * factor;
    }
}
