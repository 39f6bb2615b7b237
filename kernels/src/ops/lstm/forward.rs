//! The forward over vectors: at every step the rows of all lanes that still run are multiplied with the weights of all
//! four gates, panel by panel, and each panel's units are finished at once.

use super::crew::{Crew, Meeting};
use super::plan::{Cost, Plan};
use super::strips::{ROWS_MOST, Strips, Sums, Units, VECTORS, multiply, units_mut};
use super::{GATES, Kept, Sizes, first_column};
use crate::buffer::Buffer;
use crate::cpu::gemm::{PANEL, PackedMatrix, strip_height, strip_occurs};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work, prefetch};
use crate::cpu::{Cpu, math};
use crate::ops::linear::Weights;
use crate::sequences::{Direction, Sequences};

struct Forward<'a> {
    crew: Crew,
    meetings: &'a [Meeting],
    plan: &'a Plan,
    strips: Strips,
    inputs: [&'a [f32]; 2],
    weights: [[&'a PackedMatrix; GATES]; 2],
    /// `h` as operands: for each direction that of even and that of odd steps.
    operands: Shared<'a, u32>,
    /// `h` and `c` of each direction.
    states: Shared<'a, f32>,
    cells: Shared<'a, f32>,
    kept: Option<[Places<'a>; 2]>,
    h: Shared<'a, f32>,
}

/// Where what is kept of a direction goes.
struct Places<'a> {
    gates: Shared<'a, f32>,
    cells: Shared<'a, f32>,
}

/// One step of one direction.
#[derive(Clone, Copy)]
struct Step {
    place: usize,
    direction: Direction,
    step: usize,
    live: usize,
}

/// A panel's units of one lane at one step.
#[derive(Clone, Copy)]
struct Spot {
    panel: usize,
    lane: usize,
    row: usize,
    /// Whether a sequence begins here.
    begins: bool,
}

/// Sums of the first step of a sequence.
const NOTHING: Units = [[0.0; LANES]; VECTORS];

impl Work for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (team, member) = self.crew.place(task.task);
        let meeting = &self.meetings[team];
        let _attendance = meeting.attend();
        let panels = self.crew.panels(member, self.strips.panels());
        for (place, direction) in self.crew.directions(team) {
            for step in 0..self.plan.steps() {
                let now = Step { place, direction, step, live: self.plan.live(step) };
                for panel in panels.clone() {
                    self.panel(s, now, panel);
                }
                let next = self.plan.live(step + 1);
                if next == 0 {
                    break;
                }
                for panel in panels.clone() {
                    self.pack(s, now, (panel, next));
                }
                meeting.wait();
            }
        }
    }
}

impl Forward<'_> {
    /// First word of the operands of a step.
    #[inline(always)]
    fn operands(&self, place: usize, step: usize) -> usize {
        (2 * place + step % 2) * self.strips.words()
    }

    /// A panel's part of a state, to be written.
    ///
    /// # Safety
    /// The panel must belong to this task.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "panels are disjoint by the caller's promise")]
    unsafe fn part<'b>(&self, state: &'b Shared<'_, f32>, place: usize, panel: usize) -> &'b mut [f32] {
        let lanes = self.plan.count();
        let length = lanes * PANEL;
        // SAFETY: promised by the caller.
        unsafe { state.part(place * self.strips.state(lanes) + panel * length, length) }
    }

    /// Packs the states of a panel as operands of the next step, which `next` lanes make.
    #[inline(always)]
    fn pack<S: Simd>(&self, s: S, now: Step, (panel, next): (usize, usize)) {
        let base = self.operands(now.place, now.step + 1);
        // SAFETY: every panel belongs to one task, and the operands of the next step are read after the meeting.
        unsafe {
            let states = self.part(&self.states, now.place, panel);
            self.strips.pack(s, states, (panel, next), (&self.operands, base));
        }
    }

    #[inline(always)]
    fn panel<S: Simd>(&self, s: S, now: Step, panel: usize) {
        let mut first = 0;
        while first < now.live {
            let height = strip_height::<S>(now.live - first);
            match height {
                14 => self.strip::<S, 14>(s, now, panel, first),
                8 => self.strip::<S, 8>(s, now, panel, first),
                6 => self.strip::<S, 6>(s, now, panel, first),
                _ => self.strip::<S, 4>(s, now, panel, first),
            }
            first += height;
        }
    }

    /// One panel of units of the lanes of one strip.
    #[inline(always)]
    fn strip<S: Simd, const R: usize>(&self, s: S, now: Step, panel: usize, first: usize) {
        if !const { strip_occurs::<S>(R) } {
            return;
        }
        let count = R.min(now.live - first);
        let mut sums: Sums = [[[[0.0; LANES]; VECTORS]; ROWS_MOST]; GATES];
        if now.step > 0 {
            let start = self.operands(now.place, now.step) + first * self.strips.row();
            // SAFETY: the operands of this step were packed before the meeting, and nobody writes them now.
            let strip = unsafe { self.operands.read(start, R * self.strips.row()) };
            for (gate, sums) in sums.iter_mut().enumerate() {
                self.foresee(now, (gate, panel), first..first + count);
                multiply::<S, R>(s, self.weights[now.place][gate].panel(panel), strip, sums);
            }
        }
        for r in 0..count {
            let lane = first + r;
            let row = self.plan.row(now.direction, lane, now.step);
            let begins = self.plan.begins(lane, now.step);
            // What the lane's sequence before has left is not this one's.
            let sums =
                if begins { [&NOTHING; GATES] } else { [&sums[0][r], &sums[1][r], &sums[2][r], &sums[3][r]] };
            self.finish(s, now, Spot { panel, lane, row, begins }, sums);
        }
    }

    /// Asks for the inputs of a gate, to be there when its sums are finished.
    #[inline(always)]
    fn foresee(&self, now: Step, (gate, panel): (usize, usize), lanes: std::ops::Range<usize>) {
        let hidden = self.strips.hidden;
        for lane in lanes {
            let row = self.plan.row(now.direction, lane, now.step);
            let place = (row * GATES + gate) * hidden + panel * PANEL;
            prefetch(self.inputs[now.place], place);
            prefetch(self.inputs[now.place], place + LANES);
        }
    }

    /// Gates, cells and results of a panel's units of one lane.
    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, now: Step, spot: Spot, sums: [&Units; GATES]) {
        let Spot { panel, lane, row, begins } = spot;
        let (hidden, input) = (self.strips.hidden, self.inputs[now.place]);
        // SAFETY: every panel belongs to one task.
        let (cells, states) =
            unsafe { (self.part(&self.cells, now.place, panel), self.part(&self.states, now.place, panel)) };
        let (cells, states) = (&mut units_mut(cells)[lane], &mut units_mut(states)[lane]);
        for v in 0..VECTORS {
            let column = panel * PANEL + v * LANES;
            let lanes = LANES.min(hidden.saturating_sub(column));
            let mut z = [s.splat(0.0); GATES];
            for gate in 0..GATES {
                let place = (row * GATES + gate) * hidden + column;
                let input = if lanes == 0 { s.splat(0.0) } else { s.load_any(&input[place..place + lanes]) };
                z[gate] = s.add(s.load(&sums[gate][v]), input);
            }
            // One by one: a map over an array is a function without the path's instructions.
            let (i, f) = (math::logistic(s, z[0]), math::logistic(s, z[1]));
            let (g, o) = (math::tanh(s, z[2]), math::logistic(s, z[3]));
            let before = if begins { s.splat(0.0) } else { s.load(&cells[v]) };
            let cell = s.fma(f, before, s.mul(i, g));
            let state = s.mul(o, math::tanh(s, cell));
            s.store(cell, &mut cells[v]);
            s.store(state, &mut states[v]);
            let place = row * 2 * hidden + first_column(now.direction, hidden) + column;
            if lanes > 0 {
                // SAFETY: these units of this row belong to this task alone.
                s.store_any(state, unsafe { self.h.part(place, lanes) });
                self.keep(s, now, (row, column, lanes), ([i, f, g, o], cell));
            }
        }
    }

    /// Keeps gates and cells for the backward.
    #[inline(always)]
    fn keep<S: Simd>(
        &self,
        s: S,
        now: Step,
        (row, column, lanes): (usize, usize, usize),
        (gates, cell): ([S::F; GATES], S::F),
    ) {
        let (Some(kept), hidden) = (&self.kept, self.strips.hidden) else { return };
        let places = &kept[now.place];
        for (gate, value) in gates.into_iter().enumerate() {
            // SAFETY: these units of this row belong to this task alone.
            s.store_any(value, unsafe { places.gates.part((row * GATES + gate) * hidden + column, lanes) });
        }
        // SAFETY: as above.
        s.store_any(cell, unsafe { places.cells.part(row * hidden + column, lanes) });
    }
}

pub(super) fn forward(
    cpu: &Cpu,
    (sizes, offsets): (Sizes, &[usize]),
    inputs: [&Buffer<f32>; 2],
    weights: [[&Weights; GATES]; 2],
    kept: Option<&mut [Kept; 2]>,
    h: &mut Buffer<f32>,
) {
    let precision = weights[0][0].precision();
    let crew = Crew::of(cpu.threads().count(), sizes.hidden.div_ceil(PANEL));
    let plan = Plan::lanes(offsets, Cost::on(cpu, precision, sizes.hidden, crew.members));
    let strips = Strips::new(precision, sizes.hidden, plan.count());
    let meetings: Vec<Meeting> = (0..crew.teams).map(|_| Meeting::of(crew.members)).collect();
    let mut operands = Buffer::scratch(cpu.pool(), 4 * strips.words());
    let length = 2 * strips.state(plan.count());
    let [mut states, mut cells] = [(); 2].map(|()| Buffer::scratch(cpu.pool(), length));
    let kept = kept.map(|[forward, reverse]| {
        [forward, reverse].map(|kept| Places {
            gates: Shared::new(kept.gates.as_mut_slice()),
            cells: Shared::new(kept.cells.as_mut_slice()),
        })
    });
    let work = Forward {
        crew,
        meetings: &meetings,
        plan: &plan,
        strips,
        inputs: inputs.map(Buffer::as_slice),
        weights: weights.map(|gates| gates.map(Weights::matrix)),
        operands: Shared::new(operands.as_mut_slice()),
        states: Shared::new(states.as_mut_slice()),
        cells: Shared::new(cells.as_mut_slice()),
        kept,
        h: Shared::new(h.as_mut_slice()),
    };
    cpu.run(crew.tasks(), &work);
}

/// `h_{t-1} [T,H]` of every step's row: zeros at the first.
pub(super) fn shift(cpu: &Cpu, sizes: Sizes, sequences: Sequences<'_>, h: &[f32], before: &mut [f32]) {
    let (hidden, before) = (sizes.hidden, Shared::new(before));
    let first = first_column(sequences.direction, hidden);
    cpu.threads().run(sequences.count(), &|sequence, _| {
        let span = sequences.span(sequence);
        for step in 0..span.len() {
            let row = sequences.direction.row(&span, step);
            // SAFETY: every sequence's rows belong to one task.
            let to = unsafe { before.part(row * hidden, hidden) };
            match step.checked_sub(1).map(|last| sequences.direction.row(&span, last)) {
                Some(last) => to.copy_from_slice(&h[last * 2 * hidden + first..][..hidden]),
                None => to.fill(0.0),
            }
        }
    });
}
