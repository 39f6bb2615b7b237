//! Gradients of weights: products over tokens, of operands that are both packed as they come.

use super::pack::{PackedValues, Panels};
use super::tile::PANEL;
use super::{
    Job, SharedTarget, Step, TASK_ROWS_MIN, View, strip_height, strip_length, strip_occurs, strip_rows,
};
use crate::buffer::{Buffer, Input};
use crate::cpu::pack::{Matrix, Values};
use crate::cpu::rows::{load, store};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use crate::cpu::{Cpu, Precision};
use std::ops::Range;

/// Tokens of one partial sum.
pub const CHUNK: usize = 512;

/// Tokens that are packed for several strips or panels before the next ones are: neighbours share cache lines, which
/// stay in the first-level cache for that long.
const TOKENS: usize = 16;

/// Bytes of one packed operand, or else one chunk of it: it stays in a common third-level cache beside other users.
const BLOCK_BYTES: usize = 4 * 1024 * 1024;

/// Strips or panels that are packed together.
const TOGETHER: usize = 8;

/// Tasks wanted for each thread, so that the last ones to end are short.
const TASKS: usize = 16;

/// `dw[N,K] += Σ_t dy[t,N] · x[t,K]`, or `=`, and `db[N] += Σ_t dy[t,N]`; t cut into chunks of [`CHUNK`] that are added in
/// order.
pub struct Outer<'a> {
    /// T, N and K.
    pub sizes: (usize, usize, usize),
    /// How `dy` and `x` are multiplied; sums of `dy` are 32-bit.
    pub precision: Precision,
    /// `dy [T,N]`
    pub grad: &'a [f32],
    /// `x [T,K]`
    pub input: Input<'a>,
    /// `dw [N,K]`
    pub dw: &'a mut [f32],
    /// Whether `dw` is added to what is there, or overwrites it.
    pub accumulate: bool,
    /// `db [N]`
    pub db: Option<&'a mut [f32]>,
}

/// Adds the gradient of weights, and of a bias where there is one.
///
/// # Panics
/// When sizes do not fit, or for operands of 8 bits: the callers check.
pub fn add_outer(cpu: &Cpu, outer: Outer<'_>) {
    let Outer { sizes: (tokens, outputs, inputs), precision, grad, input, dw, accumulate, mut db } = outer;
    let input: Values<'_> = input.into();
    let length = strip_length(precision, CHUNK);
    let widest = outputs.max(inputs).next_multiple_of(PANEL);
    let block = CHUNK * (BLOCK_BYTES / 4 / length / widest).max(1);
    if tokens == 0 && !accumulate {
        dw.fill(0.0);
    }
    let dw = Shared::new(dw);
    for first in (0..tokens).step_by(block) {
        let end = tokens.min(first + block);
        let chunk = |start: usize| {
            let inner = CHUNK.min(end - start);
            let grad = Matrix::transposed(Values::F32(&grad[start * outputs..]), outputs, inner);
            Chunk::new(cpu, precision, grad, Matrix::transposed(input.from(start * inputs), inputs, inner))
        };
        let mut chunks: Vec<Chunk<'_>> = (first..end).step_by(CHUNK).map(chunk).collect();
        pack(cpu, &mut chunks, db.as_deref_mut());
        multiply(cpu, precision, &mut chunks, (&dw, accumulate || first > 0));
    }
}

/// Both operands of one chunk.
struct Chunk<'a> {
    /// `[N, tokens]`
    grad: Matrix<'a>,
    /// `[K, tokens]`
    input: Matrix<'a>,
    strips: Buffer<u32>,
    panels: PackedValues,
    /// Σ over the chunk's tokens `[N]`.
    sums: Buffer<f32>,
}

impl<'a> Chunk<'a> {
    fn new(cpu: &Cpu, precision: Precision, grad: Matrix<'a>, input: Matrix<'a>) -> Self {
        let rows = grad.count().next_multiple_of(strip_rows(cpu));
        Self {
            grad,
            input,
            strips: Buffer::scratch(cpu.pool(), rows * strip_length(precision, grad.inner())),
            panels: PackedValues::scratch(cpu, precision, (input.count(), input.inner())),
            sums: Buffer::scratch(cpu.pool(), grad.count()),
        }
    }
}

fn pack(cpu: &Cpu, chunks: &mut [Chunk<'_>], db: Option<&mut [f32]>) {
    let Some(first) = chunks.first() else { return };
    let width = TOGETHER * strip_rows(cpu);
    let groups = (first.grad.count().div_ceil(width), first.input.count().div_ceil(TOGETHER * PANEL));
    let places = chunks.iter_mut().map(|chunk| Places {
        grad: chunk.grad,
        input: chunk.input,
        strips: Shared::new(chunk.strips.as_mut_slice()),
        panels: Panels::new(&mut chunk.panels),
        sums: db.is_some().then(|| Shared::new(chunk.sums.as_mut_slice())),
    });
    let places: Vec<Places<'_>> = places.collect();
    cpu.run(places.len() * (groups.0 + groups.1), &PackChunks { chunks: &places, groups });
    drop(places);
    let Some(db) = db else { return };
    for chunk in chunks {
        db.iter_mut().zip(chunk.sums.as_slice()).for_each(|(total, sum)| *total += sum);
    }
}

/// Where the operands of one chunk go.
struct Places<'a> {
    grad: Matrix<'a>,
    input: Matrix<'a>,
    strips: Shared<'a, u32>,
    panels: Panels<'a>,
    sums: Option<Shared<'a, f32>>,
}

/// Every task packs some strips or some panels of a chunk.
struct PackChunks<'a> {
    chunks: &'a [Places<'a>],
    /// Groups of strips and of panels.
    groups: (usize, usize),
}

impl Work for PackChunks<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let tasks = self.groups.0 + self.groups.1;
        let (chunk, group) = (&self.chunks[task.task / tasks], task.task % tasks);
        for first in (0..chunk.grad.inner()).step_by(TOKENS) {
            let tokens = first..chunk.grad.inner().min(first + TOKENS);
            if group < self.groups.0 {
                chunk.sum(s, group, tokens.clone());
                chunk.pack_strips(s, group, tokens);
            } else {
                chunk.pack_panels(s, group - self.groups.0, tokens);
            }
        }
    }
}

impl Places<'_> {
    /// Strips of one group.
    #[inline(always)]
    fn pack_strips<S: Simd>(&self, s: S, group: usize, tokens: Range<usize>) {
        let rows = self.grad.count();
        let mut row = group * TOGETHER * S::ROWS;
        let end = rows.min(row + TOGETHER * S::ROWS);
        while row < end {
            let height = strip_height::<S>(rows - row);
            let strip = row..rows.min(row + height);
            match height {
                14 => self.pack_strip::<S, 14>(s, strip, tokens.clone()),
                8 => self.pack_strip::<S, 8>(s, strip, tokens.clone()),
                6 => self.pack_strip::<S, 6>(s, strip, tokens.clone()),
                _ => self.pack_strip::<S, 4>(s, strip, tokens.clone()),
            }
            row += height;
        }
    }

    #[inline(always)]
    fn pack_strip<S: Simd, const R: usize>(&self, s: S, rows: Range<usize>, tokens: Range<usize>) {
        if !const { strip_occurs::<S>(R) } {
            return;
        }
        let part = self.grad.inner_part(tokens.clone());
        match self.panels {
            Panels::F32(_) => {
                let first = rows.start * self.grad.inner() + tokens.start * R;
                // SAFETY: every task packs its own strips.
                let strip = unsafe { self.strips.part(first, tokens.len() * R) };
                let strip = strip.as_chunks_mut::<R>().0;
                part.copy::<S, R>(s, rows, bytemuck::cast_slice_mut::<[u32; R], [f32; R]>(strip));
            }
            Panels::Bf16(_) => {
                let first = rows.start * self.grad.inner().div_ceil(2) + tokens.start / 2 * R;
                // SAFETY: as above.
                let strip = unsafe { self.strips.part(first, tokens.len().div_ceil(2) * R) };
                part.copy_pairs(s, rows, strip.as_chunks_mut::<R>().0);
            }
        }
    }

    /// Panels of one group.
    #[inline(always)]
    fn pack_panels<S: Simd>(&self, s: S, group: usize, tokens: Range<usize>) {
        let panels = self.input.count().div_ceil(PANEL);
        for panel in group * TOGETHER..panels.min((group + 1) * TOGETHER) {
            // SAFETY: every task packs its own panels.
            unsafe { self.panels.pack::<S, true>(s, self.input, panel, tokens.clone()) };
        }
    }

    /// Adds tokens to the sums of the rows of one group of strips; the first ones start them.
    #[inline(always)]
    fn sum<S: Simd>(&self, s: S, group: usize, tokens: Range<usize>) {
        let Some(sums) = &self.sums else { return };
        let first = group * TOGETHER * S::ROWS;
        let count = (TOGETHER * S::ROWS).min(self.grad.count() - first);
        // SAFETY: every task sums its own rows.
        let sums = unsafe { sums.part(first, count) };
        if tokens.start == 0 {
            sums.fill(0.0);
        }
        for (vector, sums) in sums.chunks_mut(LANES).enumerate() {
            let mut sum = load(s, sums, 0.0);
            for token in tokens.clone() {
                sum = s.add(sum, self.grad.lanes_across(s, first + vector * LANES, token, sums.len()));
            }
            store(s, sum, sums);
        }
    }
}

fn multiply(
    cpu: &Cpu,
    precision: Precision,
    chunks: &mut [Chunk<'_>],
    (dw, accumulate): (&Shared<'_, f32>, bool),
) {
    let Some(first) = chunks.first() else { return };
    let (rows, columns) = (first.grad.count(), first.input.count());
    let panels = columns.div_ceil(PANEL);
    let stretches = (TASKS * cpu.threads().count()).div_ceil(panels);
    let stretch = rows.div_ceil(stretches).max(TASK_ROWS_MIN).next_multiple_of(strip_rows(cpu));
    let chunks = chunks.iter_mut().enumerate();
    let ready: Vec<Ready<'_>> =
        chunks.map(|(index, chunk)| Ready::new(chunk, dw, accumulate || index > 0)).collect();
    let jobs: Vec<Job<'_>> = ready
        .iter()
        .map(|chunk| Job {
            source: chunk.grad,
            first: 0,
            count: rows,
            chunk: stretch,
            panels,
            strip_length: strip_length(precision, chunk.grad.inner()),
            precision,
            views: &chunk.views,
            scratch: &chunk.strips,
        })
        .collect();
    cpu.run(panels * rows.div_ceil(stretch), &MultiplyChunks(&jobs));
}

/// One chunk, packed.
struct Ready<'a> {
    grad: Matrix<'a>,
    strips: Shared<'a, u32>,
    views: [View<'a>; 1],
}

impl<'a> Ready<'a> {
    fn new(chunk: &'a mut Chunk<'_>, dw: &'a Shared<'_, f32>, accumulate: bool) -> Self {
        let view = View {
            columns: chunk.input.count(),
            first_panel: 0,
            values: &chunk.panels,
            bias: None,
            step: if accumulate { Step::Accumulate } else { Step::Store },
            target: SharedTarget::F32(dw.again()),
        };
        Self { grad: chunk.grad, strips: Shared::new(chunk.strips.as_mut_slice()), views: [view] }
    }
}

/// Every task owns a part of the result and takes the chunks in order.
struct MultiplyChunks<'a>(&'a [Job<'a>]);

impl Work for MultiplyChunks<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        for job in self.0 {
            let row = task.task / job.panels * job.chunk;
            let count = job.chunk.min(job.count - row);
            job.multiply_panel(s, task.task % job.panels, (row, count), row);
        }
    }
}
