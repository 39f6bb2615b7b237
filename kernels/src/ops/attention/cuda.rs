//! Launches of attention.

use super::{HEAD_WIDTH_MAX, Mixture, OP, Sizes};
use crate::buffer::{Buffer, Input, Output};
use crate::cuda::{Cuda, Grid};
use crate::error::KernelError;
use std::ops::Range;

/// Queries of one task of the plain kernel.
const QUERIES: usize = 32;

/// Queries of one task of the kernel with tensor cores.
const fn tensor_queries(head_width: usize) -> usize {
    if head_width <= 64 { 128 } else { 64 }
}

/// First query, first token of the sequence, its end: for every stretch of so many queries of every sequence.
fn tasks(offsets: &[usize], queries: usize) -> Vec<usize> {
    let stretches = |pair: &[usize]| {
        let (start, end) = (pair[0], pair[1]);
        (start..end).step_by(queries).flat_map(move |first| [first, start, end]).collect::<Vec<_>>()
    };
    offsets.windows(2).flat_map(stretches).collect()
}

/// The kernel of the least width that holds a head.
fn kernel(head_width: usize, operand: Input<'_>, out: &Output<'_>) -> &'static str {
    let width = [32, 64, HEAD_WIDTH_MAX].iter().position(|&width| head_width <= width).unwrap_or(2);
    let kind = match (operand, out) {
        (Input::F32(_), Output::F32(_)) => 0,
        (Input::F32(_), Output::Bf16(_)) => 1,
        (Input::Bf16(_), Output::F32(_)) => 2,
        (Input::Bf16(_), Output::Bf16(_)) => 3,
    };
    [
        [
            "attention_32_f32_to_f32",
            "attention_32_f32_to_bf16",
            "attention_32_bf16_to_f32",
            "attention_32_bf16_to_bf16",
        ],
        [
            "attention_64_f32_to_f32",
            "attention_64_f32_to_bf16",
            "attention_64_bf16_to_f32",
            "attention_64_bf16_to_bf16",
        ],
        [
            "attention_128_f32_to_f32",
            "attention_128_f32_to_bf16",
            "attention_128_bf16_to_f32",
            "attention_128_bf16_to_bf16",
        ],
    ][width][kind]
}

/// The kernel with tensor cores of the least width that holds a head.
fn tensor_kernel(head_width: usize, out: &Output<'_>) -> &'static str {
    let names = match head_width {
        ..=16 => ["attention_tensor_16_to_f32", "attention_tensor_16_to_bf16"],
        17..=32 => ["attention_tensor_32_to_f32", "attention_tensor_32_to_bf16"],
        33..=64 => ["attention_tensor_64_to_f32", "attention_tensor_64_to_bf16"],
        _ => ["attention_tensor_128_to_f32", "attention_tensor_128_to_bf16"],
    };
    names[usize::from(matches!(out, Output::Bf16(_)))]
}

pub(super) fn forward(
    cuda: &Cuda,
    sizes: Sizes,
    offsets: &[usize],
    (q, k, v): (Input<'_>, Input<'_>, Input<'_>),
    mut out: Output<'_>,
    lse: Option<&mut Buffer<f32>>,
) -> Result<(), KernelError> {
    let (kernel, queries) = match q {
        Input::Bf16(_) if cuda.tensor_attention() => {
            (tensor_kernel(sizes.head_width, &out), tensor_queries(sizes.head_width))
        }
        _ => (kernel(sizes.head_width, q, &out), QUERIES),
    };
    let tasks = cuda.indices(OP, &tasks(offsets, queries))?;
    let count = tasks.len() / 3;
    let launch = cuda.launch(OP, kernel).reads(&tasks);
    let launch = launch.operand(q).operand(k).operand(v).result(&mut out).may_write(lse);
    launch.count(count).count(sizes.heads).count(sizes.head_width).over(Grid::Uneven(count * sizes.heads))
}

/// Largest score and sum of exponentials `[H,L,2]` of every query of the tokens of one sequence.
fn statistics(
    cuda: &Cuda,
    sizes: Sizes,
    tokens: &Range<usize>,
    (q, k): (Input<'_>, Input<'_>),
) -> Result<Buffer<f32>, KernelError> {
    let rows = sizes.heads * tokens.len();
    let mut found = cuda.scratch(2 * rows);
    let launch = cuda.launch(OP, of_type(q, ["attention_statistics_f32", "attention_statistics_bf16"]));
    let launch = launch.operand(q).operand(k).writes(&mut found).count(tokens.start).count(tokens.len());
    launch.count(sizes.heads).count(sizes.head_width).over(Grid::Warps(rows))?;
    Ok(found)
}

fn of_type(operand: Input<'_>, [f32, bf16]: [&'static str; 2]) -> &'static str {
    match operand {
        Input::F32(_) => f32,
        Input::Bf16(_) => bf16,
    }
}

pub(super) fn probs(
    cuda: &Cuda,
    sizes: Sizes,
    tokens: &Range<usize>,
    (q, k): (Input<'_>, Input<'_>),
    out: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    let found = statistics(cuda, sizes, tokens, (q, k))?;
    let all = out.len();
    let launch = cuda.launch(OP, of_type(q, ["attention_maps_f32", "attention_maps_bf16"]));
    let launch = launch.operand(q).operand(k).reads(&found).writes(out).count(tokens.start);
    launch.count(tokens.len()).count(sizes.heads).count(sizes.head_width).over(Grid::Threads(all))
}

pub(super) fn mix(
    cuda: &Cuda,
    sizes: Sizes,
    (tokens, residues): (&Range<usize>, &Range<usize>),
    (q, k): (Input<'_>, Input<'_>),
    mixture: &mut Mixture<'_>,
) -> Result<(), KernelError> {
    let found = statistics(cuda, sizes, tokens, (q, k))?;
    let (first, length) = (residues.start - tokens.start, residues.len());
    let launch = cuda.launch(OP, of_type(q, ["attention_mix_f32", "attention_mix_bf16"]));
    let launch = launch.operand(q).operand(k).reads(&found).reads(mixture.weights).writes(mixture.map);
    let launch = launch.count(first).count(length).count(tokens.start).count(tokens.len());
    launch.count(sizes.heads).count(sizes.head_width).over(Grid::Threads(length * length))?;
    let launch = cuda.launch(OP, of_type(q, ["attention_margins_f32", "attention_margins_bf16"]));
    let launch = launch.operand(q).operand(k).reads(&found).writes(mixture.sums);
    let launch = launch.count(first).count(length).count(tokens.start).count(tokens.len());
    launch.count(sizes.heads).count(sizes.head_width).over(Grid::Warps(sizes.heads * length))
}
