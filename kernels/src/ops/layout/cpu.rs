//! Plain text of picking rows; the oracle of the fast path.

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
