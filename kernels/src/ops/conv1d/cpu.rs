//! Plain text of the filter; the oracle of the fast path.

use super::Sizes;
use crate::Real;
use crate::sequences::Sequences;
use std::ops::Range;

/// Row of `x` that tap `k` of step `i` reads, where the sequence has one.
fn source(
    (sizes, sequences): (Sizes, Sequences<'_>),
    span: &Range<usize>,
    i: usize,
    k: usize,
) -> Option<usize> {
    let step = (i + k + 1).checked_sub(sizes.filter)?;
    Some(sequences.direction.row(span, step))
}

/// Row of the carry that tap `k` of step `i` reads when [`source`] has none.
fn carried(i: usize, k: usize) -> usize {
    i + k
}

/// `u = SiLU(b + Σ_k w_k ⊙ x_{i-(K-1)+k})`; the first sequence met starts after the rows of the carry, which
/// then holds what the last one leaves behind.
pub fn forward<F: Real>(
    (sizes, sequences): (Sizes, Sequences<'_>),
    x: &[F],
    (w, b): (&[F], &[F]),
    mut carry: Option<&mut [F]>,
    u: &mut [F],
) {
    let (width, filter) = (sizes.width, sizes.filter);
    let Some((first, last)) = sequences.ends() else { return };
    for sequence in 0..sequences.count() {
        let span = sequences.span(sequence);
        let before = carry.as_deref().filter(|_| sequence == first);
        for i in 0..span.len() {
            for e in 0..width {
                let mut sum = b[e];
                for k in 0..filter {
                    sum += w[e * filter + k]
                        * match (source((sizes, sequences), &span, i, k), before) {
                            (Some(row), _) => x[row * width + e],
                            (None, Some(before)) => before[carried(i, k) * width + e],
                            (None, None) => F::ZERO,
                        };
                }
                u[sequences.direction.row(&span, i) * width + e] = sum / (F::ONE + (-sum).exp());
            }
        }
    }
    if let Some(carry) = &mut carry {
        leave((sizes, sequences), x, first == last, carry);
    }
}

/// Writes the last K-1 rows of the last sequence met into the carry; what lies before its start comes from the
/// carry itself where the sequence `continues` from it, and is zero elsewhere.
fn leave<F: Real>((sizes, sequences): (Sizes, Sequences<'_>), x: &[F], continues: bool, carry: &mut [F]) {
    let Some((_, last)) = sequences.ends() else { return };
    let (width, span) = (sizes.width, sequences.span(last));
    for place in 0..sizes.filter - 1 {
        let to = place * width..(place + 1) * width;
        match (span.len() + place + 1).checked_sub(sizes.filter) {
            Some(step) => {
                let row = sequences.direction.row(&span, step);
                carry[to].copy_from_slice(&x[row * width..(row + 1) * width]);
            }
            None if continues => {
                carry.copy_within((place + span.len()) * width..(place + span.len() + 1) * width, to.start)
            }
            None => carry[to].fill(F::ZERO),
        }
    }
}

/// `dx_i = Σ_k w_k ⊙ g_{i+(K-1)-k}`, `dw_k += Σ_i g_i ⊙ x_{i-(K-1)+k}`, `db += Σ_i g_i` with `g = du ⊙ SiLU'(a)`.
pub fn backward<F: Real>(
    (sizes, sequences): (Sizes, Sequences<'_>),
    x: &[F],
    (w, b): (&[F], &[F]),
    du: &[F],
    (dx, dw, db): (&mut [F], &mut [F], &mut [F]),
) {
    let (width, filter) = (sizes.width, sizes.filter);
    dx.fill(F::ZERO);
    for sequence in 0..sequences.count() {
        let span = sequences.span(sequence);
        for i in 0..span.len() {
            let rows: Vec<Option<usize>> =
                (0..filter).map(|k| source((sizes, sequences), &span, i, k)).collect();
            let row = sequences.direction.row(&span, i);
            for e in 0..width {
                let mut sum = b[e];
                for (k, source) in rows.iter().enumerate() {
                    sum += source.map_or(F::ZERO, |row| w[e * filter + k] * x[row * width + e]);
                }
                let gate = F::ONE / (F::ONE + (-sum).exp());
                let g = du[row * width + e] * gate * (F::ONE + sum * (F::ONE - gate));
                for (k, source) in rows.iter().enumerate() {
                    if let Some(row) = source {
                        dx[row * width + e] += w[e * filter + k] * g;
                        dw[e * filter + k] += x[row * width + e] * g;
                    }
                }
                db[e] += g;
            }
        }
    }
}
