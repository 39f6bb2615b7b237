//! Plain text of the scan; the oracle of the fast path.

use super::{Grads, Operands, Sizes};
use crate::Real;
use crate::sequences::Sequences;

/// `ln(1 + e^x)`, linear above 20.
fn softplus<F: Real>(x: F) -> F {
    if x > F::from_f64(20.0) { x } else { x.exp().ln_1p() }
}

/// Slope of [`softplus`].
fn gate<F: Real>(x: F) -> F {
    if x > F::from_f64(20.0) { F::ONE } else { F::ONE / (F::ONE + (-x).exp()) }
}

/// Moves channel `e`'s state over the token in `row`; the decays `e^(Δ A)` are handed out as well.
fn step<F: Real>(
    states: usize,
    operands: Operands<'_, [F]>,
    (row, e): (usize, usize),
    state: &mut [F],
) -> Vec<F> {
    let at = row * (operands.d.len()) + e;
    let time = softplus(operands.delta[at]);
    let weights = &operands.bc[2 * row * states..][..states];
    let rates = &operands.a_log[e * states..][..states];
    let decays: Vec<F> = rates.iter().map(|&rate| (-(rate.exp()) * time).exp()).collect();
    for n in 0..states {
        state[n] = decays[n] * state[n] + time * operands.u[at] * weights[n];
    }
    decays
}

/// `s_i = e^(Δ_i A) ⊙ s_{i-1} + Δ_i u_i B_i`, `y_i = s_i · C_i + D u_i`; the first sequence met starts from the
/// carry, which then holds the state that the last one leaves behind.
pub fn forward<F: Real>(
    (sizes, sequences): (Sizes, Sequences<'_>),
    operands: Operands<'_, [F]>,
    mut carry: Option<&mut [F]>,
    y: &mut [F],
) {
    let Sizes { width, states, .. } = sizes;
    let Some((first, last)) = sequences.ends() else { return };
    for e in 0..width {
        let place = e * states..(e + 1) * states;
        let mut left = vec![F::ZERO; states];
        for sequence in 0..sequences.count() {
            let mut state = match &carry {
                Some(carry) if sequence == first => carry[place.clone()].to_vec(),
                _ => vec![F::ZERO; states],
            };
            let span = sequences.span(sequence);
            for i in 0..span.len() {
                let row = sequences.direction.row(&span, i);
                step(states, operands, (row, e), &mut state);
                let mut sum = operands.d[e] * operands.u[row * width + e];
                for (n, &state) in state.iter().enumerate() {
                    sum += state * operands.bc[(2 * row + 1) * states + n];
                }
                y[row * width + e] = sum;
            }
            if sequence == last {
                left = state;
            }
        }
        if let Some(carry) = &mut carry {
            carry[place].copy_from_slice(&left);
        }
    }
}

/// Gradients of everything that the scan reads; all states of one channel of one sequence are held at once.
pub fn backward<F: Real>(
    (sizes, sequences): (Sizes, Sequences<'_>),
    operands: Operands<'_, [F]>,
    dy: &[F],
    grads: Grads<'_, [F]>,
) {
    let Sizes { width, states, .. } = sizes;
    let Grads { du, ddelta, dbc, da_log, dd } = grads;
    dbc.fill(F::ZERO);
    for e in 0..width {
        for sequence in 0..sequences.count() {
            let span = sequences.span(sequence);
            let mut state = vec![F::ZERO; states];
            let (mut before, mut decays) = (Vec::new(), Vec::new());
            for i in 0..span.len() {
                before.push(state.clone());
                let row = sequences.direction.row(&span, i);
                decays.push(step(states, operands, (row, e), &mut state));
            }
            let mut slope = vec![F::ZERO; states];
            for i in (0..span.len()).rev() {
                let row = sequences.direction.row(&span, i);
                let at = row * width + e;
                let (time, u) = (softplus(operands.delta[at]), operands.u[at]);
                let (mut with_b, mut with_rate) = (F::ZERO, F::ZERO);
                for n in 0..states {
                    let (b, c) = (2 * row * states + n, (2 * row + 1) * states + n);
                    let rate = -operands.a_log[e * states + n].exp();
                    slope[n] += dy[at] * operands.bc[c];
                    dbc[c] += dy[at] * state[n];
                    dbc[b] += slope[n] * time * u;
                    with_b += slope[n] * operands.bc[b];
                    slope[n] = slope[n] * decays[i][n];
                    with_rate += slope[n] * before[i][n] * rate;
                    da_log[e * states + n] += slope[n] * before[i][n] * time * rate;
                }
                du[at] = time * with_b + operands.d[e] * dy[at];
                ddelta[at] = gate(operands.delta[at]) * (u * with_b + with_rate);
                dd[e] += dy[at] * u;
                state.clone_from(&before[i]);
            }
        }
    }
}
