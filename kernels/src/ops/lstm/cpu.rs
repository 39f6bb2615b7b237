//! Plain text of the LSTM; the oracle of the fast path.

use super::{GATES, Sizes, first_column};
use crate::Real;
use crate::sequences::{Direction, Sequences};

/// What one direction leaves.
#[derive(Debug, Clone)]
pub struct Walk<F> {
    /// `i, f, g, o` of every token, `[T,4H]`.
    pub gates: Vec<F>,
    /// `c [T,H]`
    pub cells: Vec<F>,
    /// `h [T,H]`
    pub hidden: Vec<F>,
}

fn logistic<F: Real>(z: F) -> F {
    F::ONE / (F::ONE + (-z).exp())
}

fn tanh<F: Real>(z: F) -> F {
    let two = F::ONE + F::ONE;
    F::ONE - two / (F::ONE + (two * z).exp())
}

/// One direction: `input [T,4H]`, `weights [4H,H]`; `round` is what becomes of the operands of products.
pub fn walk<F: Real>(
    (sizes, sequences): (Sizes, Sequences<'_>),
    input: &[F],
    weights: &[F],
    round: &dyn Fn(F) -> F,
) -> Walk<F> {
    let Sizes { tokens, hidden } = sizes;
    let zeros = |width: usize| vec![F::ZERO; tokens * width];
    let mut walk = Walk { gates: zeros(GATES * hidden), cells: zeros(hidden), hidden: zeros(hidden) };
    for span in (0..sequences.count()).map(|sequence| sequences.span(sequence)) {
        let (mut h, mut c) = (vec![F::ZERO; hidden], vec![F::ZERO; hidden]);
        for row in (0..span.len()).map(|step| sequences.direction.row(&span, step)) {
            let gates = &mut walk.gates[row * GATES * hidden..][..GATES * hidden];
            for (column, gate) in gates.iter_mut().enumerate() {
                let mut sum = F::ZERO;
                for (k, &h) in h.iter().enumerate() {
                    sum += round(h) * round(weights[column * hidden + k]);
                }
                let z = sum + input[row * GATES * hidden + column];
                *gate = if column / hidden == 2 { tanh(z) } else { logistic(z) };
            }
            for unit in 0..hidden {
                let [i, f, g, o] = [0, 1, 2, 3].map(|gate| gates[gate * hidden + unit]);
                c[unit] = f * c[unit] + i * g;
                h[unit] = o * tanh(c[unit]);
            }
            walk.cells[row * hidden..][..hidden].copy_from_slice(&c);
            walk.hidden[row * hidden..][..hidden].copy_from_slice(&h);
        }
    }
    walk
}

/// Both directions: `h [T,2H]`.
pub fn forward<F: Real>(
    sizes: Sizes,
    offsets: &[usize],
    inputs: [&[F]; 2],
    weights: [&[F]; 2],
    round: &dyn Fn(F) -> F,
) -> Vec<F> {
    let mut result = vec![F::ZERO; 2 * sizes.cells()];
    for (place, direction) in Direction::BOTH.into_iter().enumerate() {
        let walk = walk((sizes, Sequences { offsets, direction }), inputs[place], weights[place], round);
        let first = first_column(direction, sizes.hidden);
        for (row, hidden) in walk.hidden.chunks_exact(sizes.hidden).enumerate() {
            result[row * 2 * sizes.hidden + first..][..sizes.hidden].copy_from_slice(hidden);
        }
    }
    result
}

/// Gradients of one direction from `dy [T,2H]`: `dx [T,4H]`, and `dW` added to `dw [4H,H]`.
pub fn backward<F: Real>(
    (sizes, sequences): (Sizes, Sequences<'_>),
    walk: &Walk<F>,
    (weights, round): (&[F], &dyn Fn(F) -> F),
    dy: &[F],
    dw: &mut [F],
) -> Vec<F> {
    let Sizes { hidden, .. } = sizes;
    let (wide, first) = (GATES * hidden, first_column(sequences.direction, hidden));
    let mut dx = vec![F::ZERO; sizes.gates()];
    for span in (0..sequences.count()).map(|sequence| sequences.span(sequence)) {
        let (mut dc, mut back) = (vec![F::ZERO; hidden], vec![F::ZERO; hidden]);
        for step in (0..span.len()).rev() {
            let row = sequences.direction.row(&span, step);
            let before = step.checked_sub(1).map(|step| sequences.direction.row(&span, step));
            for unit in 0..hidden {
                let [i, f, g, o] = [0, 1, 2, 3].map(|gate| walk.gates[row * wide + gate * hidden + unit]);
                let last = before.map_or(F::ZERO, |row| walk.cells[row * hidden + unit]);
                let out = tanh(walk.cells[row * hidden + unit]);
                let dh = dy[row * 2 * hidden + first + unit] + back[unit];
                dc[unit] += dh * o * (F::ONE - out * out);
                let dz = [
                    dc[unit] * g * i * (F::ONE - i),
                    dc[unit] * last * f * (F::ONE - f),
                    dc[unit] * i * (F::ONE - g * g),
                    dh * out * o * (F::ONE - o),
                ];
                for (gate, dz) in dz.into_iter().enumerate() {
                    dx[row * wide + gate * hidden + unit] = dz;
                }
                dc[unit] = dc[unit] * f;
            }
            back.fill(F::ZERO);
            for (column, &dz) in dx[row * wide..][..wide].iter().enumerate() {
                for unit in 0..hidden {
                    back[unit] += round(dz) * round(weights[column * hidden + unit]);
                    if let Some(before) = before {
                        dw[column * hidden + unit] += round(dz) * round(walk.hidden[before * hidden + unit]);
                    }
                }
            }
        }
    }
    dx
}
