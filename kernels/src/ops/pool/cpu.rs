//! Plain text of pooling; the oracle of the fast path.

use super::{Kind, Sizes};
use crate::Real;

/// What a sum over a range is divided by.
fn divisor<F: Real>(kind: Kind, start: usize, end: usize) -> F {
    if kind == Kind::Mean { F::from_f64((end - start) as f64) } else { F::ONE }
}

/// `y [B,C]` and, for the maximum, the rows `argmax [B,C]` where it stands.
pub fn forward<F: Real>(
    sizes: Sizes,
    kind: Kind,
    spans: &[(usize, usize)],
    x: &[F],
    y: &mut [F],
    argmax: &mut [u32],
) {
    for (b, &(start, end)) in spans.iter().enumerate() {
        for c in 0..sizes.width {
            let at = b * sizes.width + c;
            match kind {
                Kind::Cls => y[at] = x[start * sizes.width + c],
                Kind::Mean | Kind::Sum => {
                    let mut sum = F::ZERO;
                    for token in start..end {
                        sum += x[token * sizes.width + c];
                    }
                    y[at] = sum / divisor(kind, start, end);
                }
                Kind::Max => {
                    let mut best = start;
                    for token in start..end {
                        if x[token * sizes.width + c] > x[best * sizes.width + c] {
                            best = token;
                        }
                    }
                    y[at] = x[best * sizes.width + c];
                    argmax[at] = best as u32;
                }
            }
        }
    }
}

/// `dx += ∂y/∂x · dy`.
pub fn backward<F: Real>(
    sizes: Sizes,
    kind: Kind,
    spans: &[(usize, usize)],
    argmax: &[u32],
    dy: &[F],
    dx: &mut [F],
) {
    for (b, &(start, end)) in spans.iter().enumerate() {
        for c in 0..sizes.width {
            let at = b * sizes.width + c;
            match kind {
                Kind::Cls => dx[start * sizes.width + c] += dy[at],
                Kind::Mean | Kind::Sum => {
                    for token in start..end {
                        dx[token * sizes.width + c] += dy[at] / divisor(kind, start, end);
                    }
                }
                Kind::Max => dx[argmax[at] as usize * sizes.width + c] += dy[at],
            }
        }
    }
}
