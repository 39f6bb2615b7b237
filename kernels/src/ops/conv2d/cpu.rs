//! Plain text of the filter over maps; the oracle of the fast path.

use super::Sizes;
use crate::Real;

/// Calls `visit` with the numbers of a place's result, a weight and an input that meet.
fn each(sizes: Sizes, mut visit: impl FnMut(usize, usize, usize)) {
    let Sizes { height, breadth, inputs, outputs, side } = sizes;
    let reach = side / 2;
    for (row, column) in (0..height).flat_map(|row| (0..breadth).map(move |column| (row, column))) {
        for (o, u, v) in (0..outputs * side * side).map(|i| (i / side / side, i / side % side, i % side)) {
            let (from, at) = (row + u, column + v);
            if from < reach || at < reach || from - reach >= height || at - reach >= breadth {
                continue;
            }
            let neighbour = (from - reach) * breadth + at - reach;
            for c in 0..inputs {
                let weight = ((o * inputs + c) * side + u) * side + v;
                visit((row * breadth + column) * outputs + o, weight, neighbour * inputs + c);
            }
        }
    }
}

/// `y_po = β_o + Σ_uvc w_ocuv · x_{p + (u - h, v - h), c}`.
pub fn forward<F: Real>(sizes: Sizes, x: &[F], (weights, shifts): (&[F], &[F]), y: &mut [F]) {
    for (place, y) in y.iter_mut().enumerate() {
        *y = shifts[place % sizes.outputs];
    }
    each(sizes, |result, weight, input| y[result] += weights[weight] * x[input]);
}

/// `dx` overwritten; `dw` and `dβ` added to.
pub fn backward<F: Real>(
    sizes: Sizes,
    (x, weights): (&[F], &[F]),
    dy: &[F],
    dx: &mut [F],
    (dweights, dshifts): (&mut [F], &mut [F]),
) {
    dx.fill(F::ZERO);
    for (place, &slope) in dy.iter().enumerate() {
        dshifts[place % sizes.outputs] += slope;
    }
    each(sizes, |result, weight, input| {
        dx[input] += weights[weight] * dy[result];
        dweights[weight] += x[input] * dy[result];
    });
}
