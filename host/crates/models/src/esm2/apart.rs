//! States with the first token of every sequence apart, as the published code of interactions and of symmetry computes them
//! (Sledzieski et al. 2024): it fills batches with the number of that very token and then hides whatever has that number. So
//! no token sees it, and its own state begins with zeros and is told by all others.

use pliant_tensor::ops::{Epilogue, add, attention, gather_rows, spread_rows};
use pliant_tensor::{Dtype, Ids, Offsets, Tape, Tensor, TensorError};

use super::{Block, Esm2};
use crate::error::ModelError;
use crate::model::Kept;

/// The T rows of a pack, the first of each of its sequences apart from the others.
struct Apart {
    /// T
    total: usize,
    /// The first row of each sequence that has more.
    firsts: Vec<usize>,
    /// The rows after them.
    others: Vec<usize>,
    /// The others, but in the place of the first of them the first row itself of each sequence: who asks.
    asking: Vec<usize>,
    /// Where first rows stand among those.
    places: Vec<usize>,
    /// Where the others of each sequence begin.
    offsets: Offsets,
}

impl Apart {
    fn of(offsets: &Offsets) -> Result<Self, TensorError> {
        let borders = offsets.as_slice();
        let total = borders.last().copied().unwrap_or(0);
        let (mut firsts, mut others, mut asking, mut places) = (vec![], vec![], vec![], vec![]);
        let mut begins = vec![0];
        for border in borders.windows(2) {
            let (first, end) = (border[0], border[1]);
            if first + 1 < end {
                firsts.push(first);
                places.push(others.len());
                asking.push(first);
                asking.extend(first + 2..end);
                others.extend(first + 1..end);
            }
            begins.push(others.len());
        }
        Ok(Self { total, firsts, others, asking, places, offsets: Offsets::new(&begins)? })
    }

    /// Rows of the others `x` and of the first ones, as one matrix `[T,C]`.
    fn joined(&self, tape: &Tape, others: &Tensor, firsts: &Tensor) -> Result<Tensor, TensorError> {
        let others = spread_rows(tape, others, &self.others, self.total)?;
        add(tape, &others, &spread_rows(tape, firsts, &self.firsts, self.total)?)
    }
}

impl Block {
    /// States `[T,C]` after this block, with first tokens apart.
    fn forward_apart(
        &self,
        tape: &Tape,
        x: &Tensor,
        (offsets, apart): (&Offsets, &Apart),
    ) -> Result<Tensor, TensorError> {
        let [query, key, value] = self.queries_keys_values(tape, x, offsets)?;
        let (keys, values) =
            (gather_rows(tape, &key, &apart.others)?, gather_rows(tape, &value, &apart.others)?);
        let told = |asking: &[usize]| {
            let queries = gather_rows(tape, &query, asking)?;
            attention(tape, &queries, &keys, &values, &apart.offsets, self.heads, tape.operand())
        };
        let others = self.added(tape, x, (&told(&apart.others)?, &apart.others))?;
        let firsts = gather_rows(tape, &told(&apart.asking)?, &apart.places)?;
        let firsts = self.added(tape, x, (&firsts, &apart.firsts))?;
        self.feed(tape, &apart.joined(tape, &others, &firsts)?)
    }

    /// These rows of `x` with what was told to them.
    fn added(
        &self,
        tape: &Tape,
        x: &Tensor,
        (told, rows): (&Tensor, &[usize]),
    ) -> Result<Tensor, TensorError> {
        let before = gather_rows(tape, x, rows)?;
        self.attention_output.forward(tape, told, Epilogue::Residual(&before), Dtype::F32)
    }
}

impl Esm2 {
    /// States `[T,C]` of the `layers` asked for, with first tokens apart.
    pub(super) fn states_apart(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        layers: &[usize],
    ) -> Result<Vec<Tensor>, ModelError> {
        let apart = Apart::of(offsets)?;
        let embedded = gather_rows(tape, &self.embed(tape, ids, offsets)?, &apart.others)?;
        let mut x = spread_rows(tape, &embedded, &apart.others, apart.total)?;
        let (last, mut kept) = (self.layer.len(), Kept::new(layers));
        kept.keep(0, &x);
        for (below, block) in self.layer.iter().take(kept.top()).enumerate() {
            x = block.forward_apart(tape, &x, (offsets, &apart))?;
            if below + 1 < last {
                kept.keep(below + 1, &x);
            }
        }
        if kept.top() == last {
            kept.keep(last, &self.emb_layer_norm_after.forward(tape, &x, Dtype::F32)?);
        }
        Ok(kept.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_apart() {
        let apart = Apart::of(&Offsets::new(&[0, 4, 5, 7]).unwrap()).unwrap();
        assert_eq!((apart.total, apart.firsts, apart.others), (7, vec![0, 5], vec![1, 2, 3, 6]));
        assert_eq!((apart.asking, apart.places), (vec![0, 2, 3, 5], vec![0, 3]));
        assert_eq!(apart.offsets.as_slice(), [0, 3, 3, 4]);
    }
}
