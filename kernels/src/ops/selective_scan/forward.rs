//! The forward over vectors: a task takes a group of channels of one sequence. Inside a chunk of steps the states
//! of one vector of channels stay in registers.

use super::simd::{
    Channels, GROUP, Scan, Steps, VECTORS, advance, channels, channels_mut, rates, some, unrolled,
};
use super::{Keep, Operands, Sizes};
use crate::buffer::Buffer;
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work, prefetch};
use crate::cpu::{Cpu, math};
use crate::sequences::Sequences;

struct Forward<'a> {
    scan: Scan<'a>,
    y: Shared<'a, f32>,
    borders: Option<Borders<'a>>,
    carry: Option<Carry<'a>>,
    /// Memory of each thread.
    scratch: Shared<'a, f32>,
}

/// Where states at the borders of chunks are kept.
struct Borders<'a> {
    /// Number of each sequence's first border.
    first: Vec<usize>,
    /// `[borders][groups][N]`
    states: Shared<'a, f32>,
}

/// What comes from the rows before and goes to those after.
struct Carry<'a> {
    /// Sequences that continue from the rows before and into the rows after.
    ends: (usize, usize),
    before: &'a [f32],
    after: Shared<'a, f32>,
}

/// Memory of one thread.
struct Space<'a> {
    /// `[N]`
    states: &'a mut [Channels],
    /// One vector of channels for every step: `Δ`, `Δ u` and the sums of the result.
    times: &'a mut [[f32; LANES]],
    inputs: &'a mut [[f32; LANES]],
    sums: &'a mut [[f32; LANES]],
}

impl<'a> Space<'a> {
    fn length(sizes: Sizes) -> usize {
        sizes.states * GROUP + 3 * sizes.chunk() * LANES
    }

    #[inline(always)]
    fn new(memory: &'a mut [f32], sizes: Sizes) -> Self {
        let (states, vectors) = memory.split_at_mut(sizes.states * GROUP);
        let (times, vectors) = vectors.as_chunks_mut().0.split_at_mut(sizes.chunk());
        let (inputs, sums) = vectors.split_at_mut(sizes.chunk());
        Self { states: channels_mut(states), times, inputs, sums }
    }
}

impl Work for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (scan, sizes) = (&self.scan, self.scan.sizes);
        let (sequence, group) = (task.task / scan.groups(), task.task % scan.groups());
        let length = Space::length(sizes);
        // SAFETY: this memory belongs to this thread, which runs one task at a time.
        let mut space = Space::new(unsafe { self.scratch.part(task.worker * length, length) }, sizes);
        self.start(sequence, group, &mut space);
        let (span, columns) = (scan.sequences.span(sequence), scan.columns(group));
        for chunk in 0..span.len().div_ceil(sizes.chunk()) {
            self.keep(sequence, group, chunk, &space);
            let steps = Steps::of_chunk(sizes, &span, chunk, &columns);
            for v in 0..steps.vectors() {
                self.enter(s, &steps, v, &mut space);
                self.walk_all(s, &steps, v, &mut space);
                self.leave(s, &steps, v, &space);
            }
        }
        self.end(sequence, group, &space);
    }
}

impl Forward<'_> {
    /// The state before a sequence.
    #[inline(always)]
    fn start(&self, sequence: usize, group: usize, space: &mut Space<'_>) {
        space.states.fill([[0.0; LANES]; VECTORS]);
        let Some(carry) = self.carry.as_ref().filter(|carry| carry.ends.0 == sequence) else { return };
        let states = self.scan.sizes.states;
        for (c, e) in self.scan.columns(group).enumerate() {
            for (n, state) in space.states.iter_mut().enumerate() {
                state.as_flattened_mut()[c] = carry.before[e * states + n];
            }
        }
    }

    /// Keeps the state at the border before a chunk.
    #[inline(always)]
    fn keep(&self, sequence: usize, group: usize, chunk: usize, space: &Space<'_>) {
        let (Some(borders), Some(inside)) = (&self.borders, chunk.checked_sub(1)) else { return };
        let (border, length) = (borders.first[sequence] + inside, self.scan.sizes.states * GROUP);
        // SAFETY: every group of a border belongs to one task.
        let states = unsafe { borders.states.part((border * self.scan.groups() + group) * length, length) };
        states.copy_from_slice(space.states.as_flattened().as_flattened());
    }

    /// The state after a sequence.
    #[inline(always)]
    fn end(&self, sequence: usize, group: usize, space: &Space<'_>) {
        let Some(carry) = self.carry.as_ref().filter(|carry| carry.ends.1 == sequence) else { return };
        let (states, columns) = (self.scan.sizes.states, self.scan.columns(group));
        // SAFETY: every channel of the last sequence belongs to one task.
        let after = unsafe { carry.after.part(columns.start * states, columns.len() * states) };
        for (c, after) in after.chunks_exact_mut(states).enumerate() {
            for (after, state) in after.iter_mut().zip(space.states.iter()) {
                *after = state.as_flattened()[c];
            }
        }
    }

    /// `Δ`, `Δ u` and `D u` of every step.
    #[inline(always)]
    fn enter<S: Simd>(&self, s: S, steps: &Steps, v: usize, space: &mut Space<'_>) {
        let Operands { u, delta, d, .. } = self.scan.operands;
        let skip = s.load_any(&d[steps.lanes(v)]);
        for i in 0..steps.count {
            let place = steps.place(&self.scan, i, v);
            let u = s.load_any(&u[place.clone()]);
            let time = math::softplus(s, s.load_any(&delta[place]));
            s.store(time, &mut space.times[i]);
            s.store(s.mul(time, u), &mut space.inputs[i]);
            s.store(s.mul(skip, u), &mut space.sums[i]);
        }
    }

    #[inline(always)]
    fn walk_all<S: Simd>(&self, s: S, steps: &Steps, v: usize, space: &mut Space<'_>) {
        let (states, mut n) = (self.scan.sizes.states, 0);
        while states - n >= 16 {
            self.walk::<S, 16>(s, steps, (v, n), space);
            n += 16;
        }
        while states - n >= 4 {
            self.walk::<S, 4>(s, steps, (v, n), space);
            n += 4;
        }
        while n < states {
            self.walk::<S, 1>(s, steps, (v, n), space);
            n += 1;
        }
    }

    /// Moves the `M` states from `n` on of one vector of channels over the steps and adds what they give.
    #[inline(always)]
    fn walk<S: Simd, const M: usize>(
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
            states[m] = s.load(&space.states[n + m][v]);
        }
        for i in 0..steps.count {
            let (inputs, outputs) = scan.weights::<M>(steps.row(scan, i), n);
            self.fetch(steps, i, v);
            let (time, input) = (s.load(&space.times[i]), s.load(&space.inputs[i]));
            let mut sums = [s.load(&space.sums[i]), s.splat(0.0)];
            unrolled::<M>(
                #[inline(always)]
                |m| {
                    let rate = s.load(&rates[m][v]);
                    states[m] = advance(s, (time, rate), (input, inputs[m]), states[m]).1;
                    sums[m % 2] = s.fma(states[m], s.splat(outputs[m]), sums[m % 2]);
                },
            );
            s.store(s.add(sums[0], sums[1]), &mut space.sums[i]);
        }
        for m in 0..M {
            s.store(states[m], &mut space.states[n + m][v]);
        }
    }

    /// Asks for where the result of step `i` goes and for what the same step of the next chunk reads.
    #[inline(always)]
    fn fetch(&self, steps: &Steps, i: usize, v: usize) {
        let place = steps.place(&self.scan, i, v);
        // SAFETY: nothing is read, and every channel of a sequence belongs to one task.
        prefetch(unsafe { self.y.read(place.start, place.len()) }, 0);
        let ahead = i + self.scan.sizes.chunk();
        if steps.first + ahead < steps.span.len() {
            let place = steps.place(&self.scan, ahead, v).start;
            prefetch(self.scan.operands.u, place);
            prefetch(self.scan.operands.delta, place);
        }
    }

    /// The results of every step.
    #[inline(always)]
    fn leave<S: Simd>(&self, s: S, steps: &Steps, v: usize, space: &Space<'_>) {
        for (i, sums) in space.sums[..steps.count].iter().enumerate() {
            let place = steps.place(&self.scan, i, v);
            // SAFETY: every channel of a sequence belongs to one task.
            s.store_any(s.load(sums), unsafe { self.y.part(place.start, place.len()) });
        }
    }
}

pub(super) fn forward(
    cpu: &Cpu,
    (sizes, sequences): (Sizes, Sequences<'_>),
    operands: Operands<'_, [f32]>,
    keep: Keep<'_>,
    y: &mut Buffer<f32>,
) {
    let Some(ends) = sequences.ends() else { return };
    let rates = rates(cpu, sizes, operands.a_log);
    let scan = Scan { sizes, sequences, operands, rates: channels(rates.as_slice()) };
    let mut scratch = Buffer::scratch(cpu.pool(), cpu.threads().count() * Space::length(sizes));
    let before = match &keep {
        Keep::Carry(carry) => carry.as_slice().to_vec(),
        Keep::Nothing | Keep::Borders(_) => Vec::new(),
    };
    let (mut borders, mut carry) = (None, None);
    match keep {
        Keep::Nothing => {}
        Keep::Borders(states) => {
            let states = Shared::new(states.as_mut_slice());
            borders = Some(Borders { first: scan.first_borders(), states });
        }
        Keep::Carry(after) => {
            carry = Some(Carry { ends, before: &before, after: Shared::new(after.as_mut_slice()) });
        }
    }
    let (y, scratch) = (Shared::new(y.as_mut_slice()), Shared::new(scratch.as_mut_slice()));
    let tasks = sequences.count() * scan.groups();
    cpu.run(tasks, &Forward { scan, y, borders, carry, scratch });
}
