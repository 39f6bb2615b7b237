//! Plain text of the token embedding; the oracle of the fast path.

use super::{Sizes, TokenDropout};
use crate::Real;

/// Factor of every token's row.
fn factors<F: Real>(offsets: &[usize], ids: &[u32], dropout: Option<TokenDropout>) -> Vec<F> {
    let mut factors = vec![F::ONE; ids.len()];
    let Some(TokenDropout { mask_id, train_fraction }) = dropout else { return factors };
    let kept = F::ONE - F::from_f64(f64::from(train_fraction));
    for sequence in offsets.windows(2) {
        let range = sequence[0]..sequence[1];
        let masks = ids[range.clone()].iter().filter(|&&id| id == mask_id).count();
        let observed = F::from_f64(masks as f64) / F::from_f64(range.len() as f64);
        for token in range {
            factors[token] = if ids[token] == mask_id { F::ZERO } else { kept / (F::ONE - observed) };
        }
    }
    factors
}

/// `y_t = factor_t · E[id_t]`.
pub fn forward<F: Real>(
    sizes: Sizes,
    offsets: &[usize],
    ids: &[u32],
    table: &[F],
    dropout: Option<TokenDropout>,
    y: &mut [F],
) {
    let factors = factors::<F>(offsets, ids, dropout);
    for token in 0..sizes.tokens {
        for c in 0..sizes.width {
            y[token * sizes.width + c] = factors[token] * table[ids[token] as usize * sizes.width + c];
        }
    }
}

/// `dE[id_t] += factor_t · dy_t`.
pub fn backward<F: Real>(
    sizes: Sizes,
    offsets: &[usize],
    ids: &[u32],
    dropout: Option<TokenDropout>,
    dy: &[F],
    dtable: &mut [F],
) {
    let factors = factors::<F>(offsets, ids, dropout);
    for token in 0..sizes.tokens {
        for c in 0..sizes.width {
            dtable[ids[token] as usize * sizes.width + c] += factors[token] * dy[token * sizes.width + c];
        }
    }
}
