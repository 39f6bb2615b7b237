//! Plain text of the operations on single numbers; the oracle of the fast path.

use super::Activation;
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

/// `y = a · b`.
pub fn multiply<F: Real>(a: &[F], b: &[F], y: &mut [F]) {
    for i in 0..y.len() {
        y[i] = a[i] * b[i];
    }
}

/// `y = |a - b|`.
pub fn distance<F: Real>(a: &[F], b: &[F], y: &mut [F]) {
    for i in 0..y.len() {
        y[i] = if a[i] > b[i] { a[i] - b[i] } else { b[i] - a[i] };
    }
}

/// `da = dy · sign(a - b)`.
pub fn distance_backward<F: Real>((a, b): (&[F], &[F]), dy: &[F], da: &mut [F]) {
    for i in 0..da.len() {
        da[i] = if a[i] > b[i] {
            dy[i]
        } else if a[i] < b[i] {
            -dy[i]
        } else {
            F::ZERO
        };
    }
}

/// `y = activation(x)`.
pub fn activate<F: Real>(activation: Activation, x: &[F], y: &mut [F]) {
    for i in 0..y.len() {
        y[i] = match activation {
            Activation::Relu if x[i] > F::ZERO => x[i],
            Activation::Relu => F::ZERO,
            // tanh(x) = 2/(1 + e^-2x) - 1
            Activation::Tanh => F::from_f64(2.0) * logistic(x[i] + x[i]) - F::ONE,
            Activation::Logistic => logistic(x[i]),
        };
    }
}

/// `dx = dy · activation'(x)`, from `y = activation(x)`.
pub fn activate_backward<F: Real>(activation: Activation, (y, dy): (&[F], &[F]), dx: &mut [F]) {
    for i in 0..dx.len() {
        dx[i] = match activation {
            Activation::Relu if y[i] > F::ZERO => dy[i],
            Activation::Relu => F::ZERO,
            Activation::Tanh => dy[i] * (F::ONE - y[i] * y[i]),
            Activation::Logistic => dy[i] * y[i] * (F::ONE - y[i]),
        };
    }
}

/// `1 / (1 + e^-z)`.
fn logistic<F: Real>(z: F) -> F {
    F::ONE / (F::ONE + (-z).exp())
}

/// `y = (a + b) · SiLU(z)`, without a `b` `a · SiLU(z)`.
pub fn gate<F: Real>((a, b): (&[F], Option<&[F]>), z: &[F], y: &mut [F]) {
    for i in 0..y.len() {
        let passing = a[i] + b.map_or(F::ZERO, |b| b[i]);
        y[i] = passing * z[i] * logistic(z[i]);
    }
}

/// `da = db = dy · SiLU(z)`, `dz = dy · (a + b) · SiLU'(z)`.
pub fn gate_backward<F: Real>(
    (a, b): (&[F], Option<&[F]>),
    (z, dy): (&[F], &[F]),
    (da, dz): (&mut [F], &mut [F]),
) {
    for i in 0..dy.len() {
        let passing = a[i] + b.map_or(F::ZERO, |b| b[i]);
        let p = logistic(z[i]);
        da[i] = dy[i] * z[i] * p;
        dz[i] = dy[i] * passing * p * (F::ONE + z[i] * (F::ONE - p));
    }
}

/// `x *= factor`.
pub fn scale<F: Real>(factor: F, x: &mut [F]) {
    for value in x {
        *value = *value * factor;
    }
}
