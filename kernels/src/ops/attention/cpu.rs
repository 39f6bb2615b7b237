//! Plain text of attention; the oracle of the fast paths.

use super::Sizes;
use crate::Real;

/// Places of one head's rows inside `[T,H·D]` and `[T,H]`.
#[derive(Clone, Copy)]
struct Head {
    sizes: Sizes,
    head: usize,
}

impl Head {
    /// Columns of this head in row `token` of a `[T,H·D]` matrix.
    fn row<F>(self, values: &[F], token: usize) -> &[F] {
        let first = (token * self.sizes.heads + self.head) * self.sizes.head_width;
        &values[first..first + self.sizes.head_width]
    }

    /// The same, to be written.
    fn row_mut<F>(self, values: &mut [F], token: usize) -> &mut [F] {
        let first = (token * self.sizes.heads + self.head) * self.sizes.head_width;
        &mut values[first..first + self.sizes.head_width]
    }

    /// Place of `token` in a `[T,H]` matrix.
    fn at(self, token: usize) -> usize {
        token * self.sizes.heads + self.head
    }
}

fn dot<F: Real>(a: &[F], b: &[F]) -> F {
    let mut sum = F::ZERO;
    for (&a, &b) in a.iter().zip(b) {
        sum += a * b;
    }
    sum
}

/// `to += factor · from`
fn add_scaled<F: Real>(to: &mut [F], factor: F, from: &[F]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

/// `p_ij` of one query over `keys`, and its log-sum-exp.
fn softmax<F: Real>(head: Head, (q, k): (&[F], &[F]), query: usize, keys: (usize, usize)) -> (Vec<F>, F) {
    let row = head.row(q, query);
    let scores: Vec<F> = (keys.0..keys.1).map(|key| dot(row, head.row(k, key))).collect();
    let maximum = scores.iter().copied().fold(scores[0], |a, b| if b > a { b } else { a });
    let mut sum = F::ZERO;
    for &score in &scores {
        sum += (score - maximum).exp();
    }
    let weights = scores.iter().map(|&score| (score - maximum).exp() / sum).collect();
    (weights, maximum + sum.ln())
}

/// `out_i = Σ_j p_ij · v_j` and `lse_i`, for every sequence and head.
pub fn forward<F: Real>(
    sizes: Sizes,
    offsets: &[usize],
    (q, k, v): (&[F], &[F], &[F]),
    out: &mut [F],
    lse: &mut [F],
) {
    for pair in offsets.windows(2) {
        for index in 0..sizes.heads {
            let head = Head { sizes, head: index };
            for query in pair[0]..pair[1] {
                let (weights, sum) = softmax(head, (q, k), query, (pair[0], pair[1]));
                lse[head.at(query)] = sum;
                let to = head.row_mut(out, query);
                to.fill(F::ZERO);
                for (key, &weight) in weights.iter().enumerate() {
                    add_scaled(to, weight, head.row(v, pair[0] + key));
                }
            }
        }
    }
}

/// `p [H,L,L]` of the sequence `start .. end`.
pub fn probs<F: Real>(sizes: Sizes, (start, end): (usize, usize), (q, k): (&[F], &[F]), out: &mut [F]) {
    let length = end - start;
    for index in 0..sizes.heads {
        let head = Head { sizes, head: index };
        for query in 0..length {
            let (weights, _) = softmax(head, (q, k), start + query, (start, end));
            let first = (index * length + query) * length;
            out[first..first + length].copy_from_slice(&weights);
        }
    }
}

/// Mixture `[L,L]` (added to) of the maps `p [H,T,T]` of a sequence of T tokens over its residues `first ..`, and
/// margins `[H,L]`.
pub fn mix<F: Real>(
    (heads, tokens): (usize, usize),
    (first, length): (usize, usize),
    probs: &[F],
    weights: &[F],
    (map, sums): (&mut [F], &mut [F]),
) {
    sums.fill(F::ZERO);
    for head in 0..heads {
        for i in 0..length {
            for j in 0..length {
                let found = probs[(head * tokens + first + i) * tokens + first + j];
                map[i * length + j] += weights[head] * found;
                sums[head * length + i] += found;
                sums[head * length + j] += found;
            }
        }
    }
}

/// What the forward read and wrote.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a, F> {
    /// Queries `[T,H·D]`.
    pub q: &'a [F],
    /// Keys `[T,H·D]`.
    pub k: &'a [F],
    /// Values `[T,H·D]`.
    pub v: &'a [F],
    /// Result `[T,H·D]`.
    pub out: &'a [F],
    /// Log-sum-exp `[T,H]`.
    pub lse: &'a [F],
}

/// Gradients `dq`, `dk` and `dv`, in this order, from `dout`; all are written, not added to.
pub fn backward<F: Real>(
    sizes: Sizes,
    offsets: &[usize],
    saved: Saved<'_, F>,
    dout: &[F],
    (dq, dk, dv): (&mut [F], &mut [F], &mut [F]),
) {
    let Saved { q, k, v, out, lse } = saved;
    dq.fill(F::ZERO);
    dk.fill(F::ZERO);
    dv.fill(F::ZERO);
    for pair in offsets.windows(2) {
        for index in 0..sizes.heads {
            let head = Head { sizes, head: index };
            for query in pair[0]..pair[1] {
                let slope = head.row(dout, query);
                let delta = dot(slope, head.row(out, query));
                for key in pair[0]..pair[1] {
                    let score = dot(head.row(q, query), head.row(k, key));
                    let weight = (score - lse[head.at(query)]).exp();
                    let score_slope = weight * (dot(slope, head.row(v, key)) - delta);
                    add_scaled(head.row_mut(dv, key), weight, slope);
                    add_scaled(head.row_mut(dq, query), score_slope, head.row(k, key));
                    add_scaled(head.row_mut(dk, key), score_slope, head.row(q, query));
                }
            }
        }
    }
}
