//! The backward over vectors: a task takes a group of channels of a portion of the pack. The states inside a
//! chunk are computed anew from the one kept at its border, into memory that a second-level cache holds.

use super::simd::{
    Channels, GROUP, Scan, Steps, VECTORS, advance, channels, channels_mut, rates, some, unrolled,
};
use super::{Grads, Operands, Sizes};
use crate::buffer::Buffer;
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use crate::cpu::{Cpu, math};
use crate::sequences::Sequences;
use std::f32::consts::LN_2;
use std::ops::Range;

/// Tokens from which on sequences are a portion of their own: their sums for the weights are kept apart.
const PORTION: usize = 1024;

/// States of one block, of which the memory of a thread holds every step of a chunk.
const BLOCK: usize = 16;

const ZERO: Channels = [[0.0; LANES]; VECTORS];

struct Backward<'a> {
    scan: Scan<'a>,
    /// Sequences of each portion.
    portions: &'a [Range<usize>],
    /// Number of each sequence's first border.
    first_borders: &'a [usize],
    /// `[borders][groups][N]`
    borders: &'a [Channels],
    dy: &'a [f32],
    du: Shared<'a, f32>,
    ddelta: Shared<'a, f32>,
    parts: Parts<'a>,
    /// Memory of each thread.
    scratch: Shared<'a, f32>,
}

/// Sums of single tasks.
struct Parts<'a> {
    /// `[groups][T,2N]`
    dbc: Shared<'a, f32>,
    /// `Σ q Δ` and, in place N, `Σ dy u`: `[portions][groups][N+1]` of [`Channels`].
    weights: Shared<'a, f32>,
}

/// Memory of one thread.
struct Space<'a> {
    /// `dy C` and what comes from the steps after, `[N]`.
    slopes: &'a mut [Channels],
    /// `Σ q Δ` over a chunk, `[BLOCK]`.
    rates: &'a mut [Channels],
    /// By step: `Δ`, `Δ u`, `dy`, `Σ_n g B`, `Σ_n q A log2 e`.
    times: &'a mut [Channels],
    inputs: &'a mut [Channels],
    dy: &'a mut [Channels],
    with_b: &'a mut [Channels],
    with_rates: &'a mut [Channels],
    /// `e^(Δ A)`, `[steps][BLOCK]`.
    decays: &'a mut [[Channels; BLOCK]],
    /// States before every step and after the last one, `[steps+1][BLOCK]`.
    states: &'a mut [[Channels; BLOCK]],
}

/// Cuts the first `count` arrays off.
#[inline(always)]
fn cut<'a, T>(rest: &mut &'a mut [T], count: usize) -> &'a mut [T] {
    let (part, after) = std::mem::take(rest).split_at_mut(count);
    *rest = after;
    part
}

impl<'a> Space<'a> {
    fn length(sizes: Sizes) -> usize {
        GROUP * (sizes.states + BLOCK + sizes.chunk() * (5 + 2 * BLOCK) + BLOCK)
    }

    #[inline(always)]
    fn new(memory: &'a mut [f32], sizes: Sizes) -> Self {
        let chunk = sizes.chunk();
        let rest = &mut channels_mut(memory);
        Self {
            slopes: cut(rest, sizes.states),
            rates: cut(rest, BLOCK),
            times: cut(rest, chunk),
            inputs: cut(rest, chunk),
            dy: cut(rest, chunk),
            with_b: cut(rest, chunk),
            with_rates: cut(rest, chunk),
            decays: cut(rest, chunk * BLOCK).as_chunks_mut().0,
            states: cut(rest, (chunk + 1) * BLOCK).as_chunks_mut().0,
        }
    }
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (scan, sizes) = (&self.scan, self.scan.sizes);
        let (portion, group) = (task.task / scan.groups(), task.task % scan.groups());
        let (length, weights) = (Space::length(sizes), (sizes.states + 1) * GROUP);
        // SAFETY: this memory belongs to this thread, which runs one task at a time.
        let mut space = Space::new(unsafe { self.scratch.part(task.worker * length, length) }, sizes);
        // SAFETY: these sums belong to this task.
        let weights = channels_mut(unsafe { self.parts.weights.part(task.task * weights, weights) });
        weights.fill(ZERO);
        let columns = scan.columns(group);
        for sequence in self.portions[portion].clone() {
            let span = scan.sequences.span(sequence);
            space.slopes.fill(ZERO);
            for chunk in (0..span.len().div_ceil(sizes.chunk())).rev() {
                let steps = Steps::of_chunk(sizes, &span, chunk, &columns);
                let border = chunk.checked_sub(1).map(|inside| {
                    let border = self.first_borders[sequence] + inside;
                    &self.borders[(border * scan.groups() + group) * sizes.states..][..sizes.states]
                });
                self.enter(s, &steps, &mut space);
                self.walk_all(s, &steps, border, (&mut space, weights));
                self.leave(s, &steps, (&space, &mut weights[sizes.states]));
            }
        }
    }
}

impl Backward<'_> {
    /// `Δ`, `Δ u` and `dy` of every step; channels beyond the last are zero.
    #[inline(always)]
    fn enter<S: Simd>(&self, s: S, steps: &Steps, space: &mut Space<'_>) {
        let Operands { u, delta, .. } = self.scan.operands;
        for i in 0..steps.count {
            for v in 0..VECTORS {
                let place = steps.place(&self.scan, i, v);
                let time = math::softplus(s, s.load_any(&delta[place.clone()]));
                s.store(time, &mut space.times[i][v]);
                s.store(s.mul(time, s.load_any(&u[place.clone()])), &mut space.inputs[i][v]);
                s.store(s.load_any(&self.dy[place]), &mut space.dy[i][v]);
            }
        }
        space.with_b.fill(ZERO);
        space.with_rates.fill(ZERO);
    }

    #[inline(always)]
    fn walk_all<S: Simd>(
        &self,
        s: S,
        steps: &Steps,
        border: Option<&[Channels]>,
        (space, weights): (&mut Space<'_>, &mut [Channels]),
    ) {
        let (states, mut n) = (self.scan.sizes.states, 0);
        while states - n >= 16 {
            self.walk::<S, 16>(s, steps, (n, border), (space, weights));
            n += 16;
        }
        while states - n >= 4 {
            self.walk::<S, 4>(s, steps, (n, border), (space, weights));
            n += 4;
        }
        while n < states {
            self.walk::<S, 1>(s, steps, (n, border), (space, weights));
            n += 1;
        }
    }

    /// The `M` states from `n` on: forth to compute them, back for their gradients.
    #[inline(always)]
    fn walk<S: Simd, const M: usize>(
        &self,
        s: S,
        steps: &Steps,
        (n, border): (usize, Option<&[Channels]>),
        (space, weights): (&mut Space<'_>, &mut [Channels]),
    ) {
        match border {
            Some(border) => space.states[0][..M].copy_from_slice(&border[n..n + M]),
            None => space.states[0][..M].fill(ZERO),
        }
        for v in 0..VECTORS {
            self.forth::<S, M>(s, steps, (v, n), space);
        }
        space.rates.fill(ZERO);
        for i in (0..steps.count).rev() {
            self.back::<S, M>(s, steps, (i, n), space);
        }
        for (weights, rates) in weights[n..n + M].iter_mut().zip(space.rates.iter()) {
            for v in 0..VECTORS {
                s.store(s.add(s.load(&weights[v]), s.load(&rates[v])), &mut weights[v]);
            }
        }
    }

    /// States and decays of every step of one vector of channels.
    #[inline(always)]
    fn forth<S: Simd, const M: usize>(
        &self,
        s: S,
        steps: &Steps,
        (v, n): (usize, usize),
        space: &mut Space<'_>,
    ) {
        let (scan, v) = (&self.scan, v % VECTORS);
        let rates: &[Channels; M] = some(scan.rates(steps.columns.start / GROUP), n);
        let mut states = [s.splat(0.0); M];
        for m in 0..M {
            states[m] = s.load(&space.states[0][m][v]);
        }
        for i in 0..steps.count {
            let (inputs, _) = scan.weights::<M>(steps.row(scan, i), n);
            let (time, input) = (s.load(&space.times[i][v]), s.load(&space.inputs[i][v]));
            let (decays, after) = (&mut space.decays[i], &mut space.states[i + 1]);
            unrolled::<M>(
                #[inline(always)]
                |m| {
                    let rate = s.load(&rates[m][v]);
                    let (decay, state) = advance(s, (time, rate), (input, inputs[m]), states[m]);
                    states[m] = state;
                    s.store(decay, &mut decays[m][v]);
                    s.store(state, &mut after[m][v]);
                },
            );
        }
    }

    /// Gradients of one step.
    #[inline(always)]
    fn back<S: Simd, const M: usize>(
        &self,
        s: S,
        steps: &Steps,
        (i, n): (usize, usize),
        space: &mut Space<'_>,
    ) {
        let (scan, row) = (&self.scan, steps.row(&self.scan, i));
        let rates: &[Channels; M] = some(scan.rates(steps.columns.start / GROUP), n);
        let (b, c) = scan.weights::<M>(row, n);
        let (decays, before, after) = (&space.decays[i], &space.states[i], &space.states[i + 1]);
        let zero = s.splat(0.0);
        let (mut db, mut dc) = ([zero; LANES], [zero; LANES]);
        let [mut time, mut input, mut dy, mut with_b, mut with_rate] = [[zero; VECTORS]; 5];
        for v in 0..VECTORS {
            time[v] = s.load(&space.times[i][v]);
            input[v] = s.load(&space.inputs[i][v]);
            dy[v] = s.load(&space.dy[i][v]);
            with_b[v] = s.load(&space.with_b[i][v]);
            with_rate[v] = s.load(&space.with_rates[i][v]);
        }
        for m in 0..M {
            let (b, c) = (s.splat(b[m]), s.splat(c[m]));
            let (slopes, sums) = (&mut space.slopes[n + m], &mut space.rates[m]);
            let (mut sum_b, mut sum_c) = (zero, zero);
            for v in 0..VECTORS {
                let slope = s.fma(c, dy[v], s.load(&slopes[v]));
                sum_c = s.fma(dy[v], s.load(&after[m][v]), sum_c);
                sum_b = s.fma(slope, input[v], sum_b);
                with_b[v] = s.fma(slope, b, with_b[v]);
                let slope = s.mul(slope, s.load(&decays[m][v]));
                s.store(slope, &mut slopes[v]);
                let with_state = s.mul(slope, s.load(&before[m][v]));
                with_rate[v] = s.fma(with_state, s.load(&rates[m][v]), with_rate[v]);
                s.store(s.fma(with_state, time[v], s.load(&sums[v])), &mut sums[v]);
            }
            (db[m], dc[m]) = (sum_b, sum_c);
        }
        for v in 0..VECTORS {
            s.store(with_b[v], &mut space.with_b[i][v]);
            s.store(with_rate[v], &mut space.with_rates[i][v]);
        }
        self.join::<S, M>(s, (steps.columns.start / GROUP, row, n), (db, dc));
    }

    /// Sums over the channels of a group, of the `M` states from `n` on.
    #[inline(always)]
    fn join<S: Simd, const M: usize>(
        &self,
        s: S,
        (group, row, n): (usize, usize, usize),
        (db, dc): ([S::F; LANES], [S::F; LANES]),
    ) {
        let Sizes { tokens, states, .. } = self.scan.sizes;
        for (sums, first) in [(db, n), (dc, states + n)] {
            let sums = s.join_rows(
                sums,
                #[inline(always)]
                |a, b| s.add(a, b),
            );
            // SAFETY: every row of a group belongs to one task.
            s.store_any(sums, unsafe { self.parts.dbc.part((group * tokens + row) * 2 * states + first, M) });
        }
    }

    /// Gradients of `u` and `δ` of every step, and their part of `dD`.
    #[inline(always)]
    fn leave<S: Simd>(&self, s: S, steps: &Steps, (space, dd): (&Space<'_>, &mut Channels)) {
        let Operands { u, delta, d, .. } = self.scan.operands;
        for v in 0..steps.vectors() {
            let (skip, mut sum) = (s.load_any(&d[steps.lanes(v)]), s.splat(0.0));
            for i in 0..steps.count {
                let place = steps.place(&self.scan, i, v);
                let (u, dy) = (s.load_any(&u[place.clone()]), s.load(&space.dy[i][v]));
                let with_b = s.load(&space.with_b[i][v]);
                let slope = s.fma(skip, dy, s.mul(s.load(&space.times[i][v]), with_b));
                // SAFETY: every channel of a sequence belongs to one task.
                s.store_any(slope, unsafe { self.du.part(place.start, place.len()) });
                let with_rate = s.mul(s.load(&space.with_rates[i][v]), s.splat(LN_2));
                let gate = math::logistic(s, s.load_any(&delta[place.clone()]));
                let slope = s.mul(gate, s.fma(u, with_b, with_rate));
                // SAFETY: as above.
                s.store_any(slope, unsafe { self.ddelta.part(place.start, place.len()) });
                sum = s.fma(dy, u, sum);
            }
            s.store(s.add(s.load(&dd[v]), sum), &mut dd[v]);
        }
    }
}

/// Runs of whole sequences of at least [`PORTION`] tokens.
fn portions(sequences: Sequences<'_>) -> Vec<Range<usize>> {
    let mut portions = Vec::new();
    let mut first = 0;
    for sequence in 0..sequences.count() {
        let tokens = sequences.span(sequence).end - sequences.span(first).start;
        if tokens >= PORTION || sequence + 1 == sequences.count() {
            portions.push(first..sequence + 1);
            first = sequence + 1;
        }
    }
    portions
}

/// Numbers of `dB` and `dC` that one task adds.
const PIECE: usize = 16 * 1024;

/// Adds the sums of all groups of channels, in order.
struct Tokens<'a> {
    groups: &'a [f32],
    dbc: Shared<'a, f32>,
}

impl Work for Tokens<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let first = task.task * PIECE;
        let length = PIECE.min(self.dbc.len() - first);
        // SAFETY: every piece belongs to one task.
        let dbc = unsafe { self.dbc.part(first, length) };
        dbc.fill(0.0);
        for group in self.groups.chunks_exact(self.dbc.len()) {
            for (sums, parts) in dbc.chunks_mut(LANES).zip(group[first..first + length].chunks(LANES)) {
                s.store_any(s.add(s.load_any(sums), s.load_any(parts)), sums);
            }
        }
    }
}

/// Adds the sums of all portions, in order; a task takes a group of channels.
struct Weights<'a> {
    scan: Scan<'a>,
    /// `[portions][groups][N+1]`
    portions: &'a [Channels],
    da_log: Shared<'a, f32>,
    dd: Shared<'a, f32>,
}

impl Work for Weights<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (states, columns) = (self.scan.sizes.states, self.scan.columns(task.task));
        // SAFETY: every channel belongs to one task.
        let da_log = unsafe { self.da_log.part(columns.start * states, columns.len() * states) };
        // SAFETY: as above.
        let dd = unsafe { self.dd.part(columns.start, columns.len()) };
        for n in 0..=states {
            let sums = self.sums(s, task.task, n);
            if let Some(rates) = self.scan.rates(task.task).get(n) {
                let to = da_log.iter_mut().skip(n).step_by(states);
                let sums = sums.as_flattened().iter().zip(rates.as_flattened());
                to.zip(sums).for_each(|(to, (sum, rate))| *to += sum * (rate * LN_2));
            } else {
                dd.iter_mut().zip(sums.as_flattened()).for_each(|(to, sum)| *to += sum);
            }
        }
    }
}

impl Weights<'_> {
    /// The sum of the portions in place `n`.
    #[inline(always)]
    fn sums<S: Simd>(&self, s: S, group: usize, n: usize) -> Channels {
        let (mut sums, places) = (ZERO, self.scan.sizes.states + 1);
        for portion in self.portions.chunks_exact(places * self.scan.groups()) {
            for (sum, part) in sums.iter_mut().zip(&portion[group * places + n]) {
                s.store(s.add(s.load(sum), s.load(part)), sum);
            }
        }
        sums
    }
}

pub(super) fn backward(
    cpu: &Cpu,
    (sizes, sequences): (Sizes, Sequences<'_>),
    operands: Operands<'_, [f32]>,
    borders: &Buffer<f32>,
    dy: &Buffer<f32>,
    grads: Grads<'_, [f32]>,
) {
    let rates = rates(cpu, sizes, operands.a_log);
    let scan = Scan { sizes, sequences, operands, rates: channels(rates.as_slice()) };
    let (portions, groups) = (portions(sequences), scan.groups());
    let mut weights = Buffer::scratch(cpu.pool(), portions.len() * groups * (sizes.states + 1) * GROUP);
    let mut dbc = Buffer::scratch(cpu.pool(), groups * grads.dbc.len());
    let mut scratch = Buffer::scratch(cpu.pool(), cpu.threads().count() * Space::length(sizes));
    let work = Backward {
        scan,
        portions: &portions,
        first_borders: &scan.first_borders(),
        borders: channels(borders.as_slice()),
        dy: dy.as_slice(),
        du: Shared::new(grads.du),
        ddelta: Shared::new(grads.ddelta),
        parts: Parts { dbc: Shared::new(dbc.as_mut_slice()), weights: Shared::new(weights.as_mut_slice()) },
        scratch: Shared::new(scratch.as_mut_slice()),
    };
    cpu.run(portions.len() * groups, &work);
    let tasks = grads.dbc.len().div_ceil(PIECE);
    cpu.run(tasks, &Tokens { groups: dbc.as_slice(), dbc: Shared::new(grads.dbc) });
    let (da_log, dd) = (Shared::new(grads.da_log), Shared::new(grads.dd));
    let portions = channels(weights.as_slice());
    cpu.run(groups, &Weights { scan, portions, da_log, dd });
}
