//! Plain text of rotary position embedding; the oracle of the fast path.

use super::Sizes;
use crate::Real;

/// Cosines and sines `[P,D/2]`.
pub type Angles<'a, F> = (&'a [F], &'a [F]);

/// Calls `turn(first element, second element, place in the table)` for every pair.
fn each_pair(sizes: Sizes, offsets: &[usize], mut turn: impl FnMut(usize, usize, usize)) {
    let half = sizes.head_width / 2;
    for sequence in offsets.windows(2) {
        for token in sequence[0]..sequence[1] {
            let position = token - sequence[0];
            for head in 0..sizes.heads {
                for j in 0..half {
                    let first = (token * sizes.heads + head) * sizes.head_width + j;
                    turn(first, first + half, position * half + j);
                }
            }
        }
    }
}

/// `y_j = u_j·cos - u_{j+D/2}·sin`, `y_{j+D/2} = u_{j+D/2}·cos + u_j·sin` with `u = scale·x`.
pub fn forward<F: Real>(
    sizes: Sizes,
    offsets: &[usize],
    (cos, sin): Angles<'_, F>,
    x: &[F],
    scale: F,
    y: &mut [F],
) {
    each_pair(sizes, offsets, |first, second, place| {
        let (a, b) = (scale * x[first], scale * x[second]);
        y[first] = a * cos[place] - b * sin[place];
        y[second] = b * cos[place] + a * sin[place];
    });
}

/// `dx_j = scale·(dy_j·cos + dy_{j+D/2}·sin)`, `dx_{j+D/2} = scale·(dy_{j+D/2}·cos - dy_j·sin)`.
pub fn backward<F: Real>(
    sizes: Sizes,
    offsets: &[usize],
    (cos, sin): Angles<'_, F>,
    dy: &[F],
    scale: F,
    dx: &mut [F],
) {
    each_pair(sizes, offsets, |first, second, place| {
        dx[first] = scale * (dy[first] * cos[place] + dy[second] * sin[place]);
        dx[second] = scale * (dy[second] * cos[place] - dy[first] * sin[place]);
    });
}
