//! Plain text of picking rows and columns; the oracle of the fast path.

use super::Columns;
use crate::Real;

/// `y_b = x_{r_b}`.
pub fn gather_rows<F: Real>(width: usize, rows: &[usize], x: &[F], y: &mut [F]) {
    for (b, &row) in rows.iter().enumerate() {
        for c in 0..width {
            y[b * width + c] = x[row * width + c];
        }
    }
}

/// `dx_{r_b} += dy_b`.
pub fn scatter_rows<F: Real>(width: usize, rows: &[usize], dy: &[F], dx: &mut [F]) {
    for (b, &row) in rows.iter().enumerate() {
        for c in 0..width {
            dx[row * width + c] += dy[b * width + c];
        }
    }
}

/// `y_{r,d+k} = x_{r,c+k}`.
pub fn copy_columns<F: Real>(columns: Columns, x: &[F], y: &mut [F]) {
    let Columns { rows, width, from, to } = columns;
    for r in 0..rows {
        for k in 0..width {
            y[r * to.0 + to.1 + k] = x[r * from.0 + from.1 + k];
        }
    }
}
