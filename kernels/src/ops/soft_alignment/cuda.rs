//! Launches of the soft symmetric alignment, pair by pair.

use super::{OP, Pairs, Side};
use crate::buffer::Buffer;
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;

pub(super) fn forward(cuda: &Cuda, pairs: Pairs<'_>, scores: &mut Buffer<f32>) -> Result<(), KernelError> {
    for pair in 0..pairs.count() {
        let mut similarities = cuda.scratch(length(pairs.a, pair) * length(pairs.b, pair));
        align(cuda, pairs, pair, (&mut similarities, None), scores)?;
    }
    Ok(())
}

pub(super) fn matrices(
    cuda: &Cuda,
    pairs: Pairs<'_>,
    similarities: &mut Buffer<f32>,
    weights: &mut Buffer<f32>,
) -> Result<f32, KernelError> {
    let mut score: Buffer<f32> = cuda.scratch(1);
    align(cuda, pairs, 0, (similarities, Some(weights)), &mut score)?;
    let score = score.as_slice()[0];
    cuda.check()?;
    Ok(score)
}

fn length(side: Side<'_>, pair: usize) -> usize {
    side.offsets[pair + 1] - side.offsets[pair]
}

/// Writes the score of a pair to its place.
fn align(
    cuda: &Cuda,
    pairs: Pairs<'_>,
    pair: usize,
    (similarities, weights): (&mut Buffer<f32>, Option<&mut Buffer<f32>>),
    scores: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let [rows, columns] = [pairs.a, pairs.b].map(|side| length(side, pair));
    let [mut of_rows, mut of_columns, mut sums]: [Buffer<f32>; 3] =
        [rows, columns, rows].map(|count| cuda.scratch(2 * count));
    let from = |side: Side<'_>| side.offsets[pair] * pairs.width;
    let launch = cuda.launch(OP, "soft_alignment_similarities");
    let launch = launch.reads_from(pairs.a.vectors, from(pairs.a)).reads_from(pairs.b.vectors, from(pairs.b));
    let launch = launch.writes(similarities).count(rows).count(columns).count(pairs.width);
    launch.over(Grid::Threads(rows * columns))?;
    let launch = cuda.launch(OP, "soft_alignment_rows").reads(similarities).writes(&mut of_rows);
    launch.count(rows).count(columns).over(Grid::Warps(rows))?;
    let launch = cuda.launch(OP, "soft_alignment_columns").reads(similarities).writes(&mut of_columns);
    launch.count(rows).count(columns).over(Grid::Threads(columns))?;
    let launch = cuda.launch(OP, "soft_alignment_weights").reads(similarities).reads(&of_rows);
    let launch = launch.reads(&of_columns).may_write(weights).writes(&mut sums);
    launch.count(rows).count(columns).over(Grid::Warps(rows))?;
    let launch = cuda.launch(OP, "soft_alignment_score").reads(&sums).writes_from(scores, pair);
    launch.count(rows).over(Grid::Threads(1))
}
