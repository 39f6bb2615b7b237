//! Launches of the embedding.

use super::{OP, Sizes, TokenDropout};
use crate::buffer::Buffer;
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn forward(
    cuda: &Cuda,
    (sizes, offsets, ids): (Sizes, &[usize], &Buffer<u32>),
    table: &Buffer<f32>,
    dropout: Option<TokenDropout>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let factors = dropout.map(|dropout| factors(cuda, (sizes, offsets, ids), dropout)).transpose()?;
    let launch = cuda.launch(OP, "embedding_rows").reads(ids).reads(table).may_read(factors.as_ref());
    launch.writes(y).count(sizes.tokens).count(sizes.width).over(Grid::Blocks(sizes.tokens))
}

/// The factor of every token's row.
fn factors(
    cuda: &Cuda,
    (sizes, offsets, ids): (Sizes, &[usize], &Buffer<u32>),
    dropout: TokenDropout,
) -> Result<Buffer<f32>, KernelError> {
    let (mut factors, sequences) = (cuda.scratch(sizes.tokens), offsets.len() - 1);
    let offsets = cuda.indices(OP, offsets)?;
    let launch = cuda.launch(OP, "embedding_factors").reads(&offsets).reads(ids).writes(&mut factors);
    let launch = launch.count(sequences).count(dropout.mask_id as usize).real(dropout.train_fraction);
    launch.over(Grid::Warps(sequences))?;
    Ok(factors)
}
