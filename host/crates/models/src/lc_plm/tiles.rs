//! A forward without a tape, tile by tile: every bit is that of the forward over the whole pack.
//!
//! A block walks its tiles twice. The first walk, from the last tile to the first, makes the scans' input and keeps
//! it, and with it the result of the direction that comes from the end. The second walk, from the first tile on, makes
//! the result of the other direction and the gate, and replaces the tile's stream. So the stream, one input and one
//! result are held whole, and everything else for one tile.

use pliant_kernels::{Device, Direction};
use pliant_nn::Embedding;
use pliant_tensor::{Ids, Offsets, Tape, Tensor, TensorError};

use super::Block;

/// Tokens of a tile: enough rows for matrix products to be fast, few enough to be small beside the weights.
pub(super) const TILE_TOKENS: usize = 1024;

/// A pack in stretches of rows.
pub(super) struct Tiles {
    tiles: Vec<Tile>,
}

struct Tile {
    ids: Ids,
    /// The parts of sequences that lie in it.
    offsets: Offsets,
    /// Whether its first sequence has begun in an earlier tile.
    begun: bool,
    /// Whether its last sequence goes on in a later tile.
    goes_on: bool,
}

impl Tiles {
    /// Stretches of `tokens` rows of the pack, the last one shorter.
    pub(super) fn new(
        device: &Device,
        ids: &Ids,
        offsets: &Offsets,
        tokens: usize,
    ) -> Result<Self, TensorError> {
        offsets.check_tokens("tiles", ids.len())?;
        let (all, borders) = (ids.as_slice(), offsets.as_slice());
        let tile = |first: usize| {
            let end = all.len().min(first + tokens.max(1));
            let inside = borders.iter().filter(|border| (first + 1..end).contains(*border));
            let cut: Vec<usize> =
                [first].iter().chain(inside).chain([&end]).map(|border| border - first).collect();
            Ok(Tile {
                ids: Ids::new(device, &all[first..end]),
                offsets: Offsets::new(&cut)?,
                begun: borders.binary_search(&first).is_err(),
                goes_on: borders.binary_search(&end).is_err(),
            })
        };
        let tiles = (0..all.len()).step_by(tokens.max(1)).map(tile);
        Ok(Self { tiles: tiles.collect::<Result<_, TensorError>>()? })
    }

    /// The first stream `[_,C]` of every tile.
    pub(super) fn embed(&self, tape: &Tape, embedding: &Embedding) -> Result<Vec<Tensor>, TensorError> {
        self.tiles.iter().map(|tile| embedding.forward(tape, &tile.ids, &tile.offsets, None)).collect()
    }

    /// Takes the `stream` of every tile through a block.
    pub(super) fn pass(&self, tape: &Tape, block: &Block, stream: &mut [Tensor]) -> Result<(), TensorError> {
        let mixer = &block.mixer;
        let normed = |x: &Tensor| block.norm.forward(tape, x, tape.operand());
        let mut held: Vec<(Tensor, Tensor)> = Vec::with_capacity(self.tiles.len());
        let mut carry = mixer.mamba_rev.carry(tape.device());
        for (tile, stream) in self.tiles.iter().zip(&*stream).rev() {
            if !tile.goes_on {
                carry.clear();
            }
            let x = mixer.x(tape, &normed(stream)?)?;
            let y = mixer.mamba_rev.stretch(tape, &x, &tile.offsets, Direction::Reverse, &mut carry)?;
            held.push((x, y));
        }
        let mut carry = mixer.mamba_fwd.carry(tape.device());
        for (tile, stream) in self.tiles.iter().zip(stream) {
            if !tile.begun {
                carry.clear();
            }
            let Some((x, y_r)) = held.pop() else { continue };
            let y_f = mixer.mamba_fwd.stretch(tape, &x, &tile.offsets, Direction::Forward, &mut carry)?;
            drop(x);
            let z = mixer.z(tape, &normed(stream)?)?;
            *stream = mixer.join(tape, [&y_f, &y_r], &z, stream)?;
        }
        Ok(())
    }
}

/// The rows of all tiles as one `[T,C]`.
pub(super) fn joined(device: &Device, tiles: &[Tensor]) -> Result<Tensor, TensorError> {
    if let [only] = tiles {
        return Ok(only.clone());
    }
    Tensor::joined(device, tiles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_know_which_sequences_they_cut() {
        let device = Device::cpu(1).unwrap();
        let ids = Ids::new(&device, &(0..10).collect::<Vec<u32>>());
        let offsets = Offsets::new(&[0, 4, 5, 10]).unwrap();
        let seen = |tokens| {
            let tiles = Tiles::new(&device, &ids, &offsets, tokens).unwrap().tiles;
            let facts = |tile: &Tile| (tile.offsets.as_slice().to_vec(), tile.begun, tile.goes_on);
            assert_eq!(tiles.iter().map(|tile| tile.ids.len()).sum::<usize>(), 10);
            tiles.iter().map(facts).collect::<Vec<_>>()
        };
        assert!(Tiles::new(&device, &ids, &Offsets::new(&[0, 4, 9]).unwrap(), 5).is_err());
        assert_eq!(seen(20), [(vec![0, 4, 5, 10], false, false)]);
        assert_eq!(seen(5), [(vec![0, 4, 5], false, false), (vec![0, 5], false, false)]);
        assert_eq!(
            seen(3),
            [
                (vec![0, 3], false, true),
                (vec![0, 1, 2, 3], true, true),
                (vec![0, 3], true, true),
                (vec![0, 1], true, false)
            ]
        );
    }
}
