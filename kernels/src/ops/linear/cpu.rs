//! Plain text of the linear layer; the oracle of the fast path.

use crate::Real;

/// `y[r,n] = b[n] + Σ_k x[r,k]·w[n,k]`.
pub fn forward<F: Real>(
    (rows, outputs, inner): (usize, usize, usize),
    x: &[F],
    weights: &[F],
    bias: Option<&[F]>,
    y: &mut [F],
) {
    for row in 0..rows {
        for output in 0..outputs {
            let mut sum = F::ZERO;
            for k in 0..inner {
                sum += x[row * inner + k] * weights[output * inner + k];
            }
            y[row * outputs + output] = sum + bias.map_or(F::ZERO, |bias| bias[output]);
        }
    }
}

/// What 8-bit operands leave of a matrix of rows of `inner` numbers: `round(127·v/m)·m/127`, `m` the row's largest
/// magnitude. Roundings are those of 32-bit numbers, the results are exact.
#[must_use]
pub fn rounded_to_bytes(inner: usize, values: &[f32]) -> Vec<f64> {
    let row = |row: &[f32]| -> Vec<f64> {
        let largest = row.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let scale = f64::from(largest / 127.0);
        row.iter().map(|value| f64::from((value * inverse).round_ties_even()) * scale).collect()
    };
    values.chunks_exact(inner).flat_map(row).collect()
}

/// `dx[r,k] = Σ_n g[r,n]·w[n,k]`.
pub fn backward_input<F: Real>(
    (rows, outputs, inner): (usize, usize, usize),
    grad: &[F],
    weights: &[F],
    dx: &mut [F],
) {
    for row in 0..rows {
        for k in 0..inner {
            let mut sum = F::ZERO;
            for output in 0..outputs {
                sum += grad[row * outputs + output] * weights[output * inner + k];
            }
            dx[row * inner + k] = sum;
        }
    }
}

/// `dw[n,k] += Σ_r g[r,n]·x[r,k]` and `db[n] += Σ_r g[r,n]`.
pub fn backward_weights<F: Real>(
    (rows, outputs, inner): (usize, usize, usize),
    grad: &[F],
    x: &[F],
    dw: &mut [F],
    db: &mut [F],
) {
    for row in 0..rows {
        for output in 0..outputs {
            let slope = grad[row * outputs + output];
            db[output] += slope;
            for k in 0..inner {
                dw[output * inner + k] += slope * x[row * inner + k];
            }
        }
    }
}
