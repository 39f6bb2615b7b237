//! The backward over vectors: steps from the last to the first. At each the gradients of the step after are multiplied
//! with the weights of all four gates, panel by panel, and each panel's units are finished at once.

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
use crate::sequences::Direction;

struct Backward<'a> {
    crew: Crew,
    meetings: &'a [Meeting],
    plan: &'a Plan,
    strips: Strips,
    weights: [[&'a PackedMatrix; GATES]; 2],
    kept: &'a [Kept; 2],
    dy: &'a [f32],
    /// `dz` as operands: for each direction those of even and of odd steps, gate by gate.
    operands: Shared<'a, u32>,
    /// `dz` of each direction, gate by gate, and `dc ⊙ f` of each direction.
    slopes: Shared<'a, f32>,
    cells: Shared<'a, f32>,
    dx: [Shared<'a, f32>; 2],
}

/// One step of one direction.
#[derive(Clone, Copy)]
struct Step {
    place: usize,
    direction: Direction,
    step: usize,
    /// Lanes that make this step, and the one after.
    live: usize,
    later: usize,
}

/// A panel's units of one lane at one step.
#[derive(Clone, Copy)]
struct Spot {
    panel: usize,
    lane: usize,
    row: usize,
    /// The row of the sequence's step before.
    before: Option<usize>,
    /// Whether the sequence ends here.
    ends: bool,
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (team, member) = self.crew.place(task.task);
        let meeting = &self.meetings[team];
        let _attendance = meeting.attend();
        let panels = self.crew.panels(member, self.strips.panels());
        for (place, direction) in self.crew.directions(team) {
            for step in (0..self.plan.steps()).rev() {
                let (live, later) = (self.plan.live(step), self.plan.live(step + 1));
                let now = Step { place, direction, step, live, later };
                for panel in panels.clone() {
                    self.panel(s, now, panel);
                }
                if step == 0 {
                    break;
                }
                for (panel, gate) in
                    panels.clone().flat_map(|panel| (0..GATES).map(move |gate| (panel, gate)))
                {
                    self.pack(s, now, panel, gate);
                }
                meeting.wait();
            }
        }
    }
}

impl Backward<'_> {
    /// First word of the operands of a step's gate.
    #[inline(always)]
    fn operands(&self, place: usize, step: usize, gate: usize) -> usize {
        ((2 * place + step % 2) * GATES + gate) * self.strips.words()
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

    /// Packs the gradients of a panel as operands of the step before.
    #[inline(always)]
    fn pack<S: Simd>(&self, s: S, now: Step, panel: usize, gate: usize) {
        let base = self.operands(now.place, now.step, gate);
        // SAFETY: every panel belongs to one task, and the operands are read after the meeting.
        unsafe {
            let slopes = self.part(&self.slopes, now.place * GATES + gate, panel);
            self.strips.pack(s, slopes, (panel, now.live), (&self.operands, base));
        }
    }

    /// One panel of units of all lanes that make the step.
    #[inline(always)]
    fn panel<S: Simd>(&self, s: S, now: Step, panel: usize) {
        // Strips begin at the same lanes at every step: all but the last are full.
        for first in (0..now.live).step_by(S::ROWS) {
            let count = S::ROWS.min(now.live - first);
            self.foresee(now, panel, first..first + count);
            let mut sums: Sums = [[[[0.0; LANES]; VECTORS]; ROWS_MOST]; GATES];
            if now.later > first {
                match strip_height::<S>(now.later - first) {
                    14 => self.products::<S, 14>(s, now, (panel, first), &mut sums),
                    8 => self.products::<S, 8>(s, now, (panel, first), &mut sums),
                    6 => self.products::<S, 6>(s, now, (panel, first), &mut sums),
                    _ => self.products::<S, 4>(s, now, (panel, first), &mut sums),
                }
            }
            for r in 0..count {
                let spot = self.spot(now, (panel, first + r));
                self.finish(s, now, spot, [&sums[0][r], &sums[1][r], &sums[2][r], &sums[3][r]]);
            }
        }
    }

    #[inline(always)]
    fn spot(&self, now: Step, (panel, lane): (usize, usize)) -> Spot {
        let row = |step| self.plan.row(now.direction, lane, step);
        let begins = self.plan.begins(lane, now.step);
        let before = if begins { None } else { Some(row(now.step - 1)) };
        Spot { panel, lane, row: row(now.step), before, ends: self.plan.ends(lane, now.step) }
    }

    /// What the step after hands back to one panel of units of one strip, gate by gate.
    #[inline(always)]
    fn products<S: Simd, const R: usize>(
        &self,
        s: S,
        now: Step,
        (panel, first): (usize, usize),
        sums: &mut Sums,
    ) {
        if !const { strip_occurs::<S>(R) } {
            return;
        }
        for (gate, sums) in sums.iter_mut().enumerate() {
            let start = self.operands(now.place, now.step + 1, gate) + first * self.strips.row();
            // SAFETY: the operands of the step after were packed before the meeting, and nobody writes them now.
            let strip = unsafe { self.operands.read(start, R * self.strips.row()) };
            multiply::<S, R>(s, self.weights[now.place][gate].panel(panel), strip, sums);
        }
    }

    /// Asks for what finishing reads.
    #[inline(always)]
    fn foresee(&self, now: Step, panel: usize, lanes: std::ops::Range<usize>) {
        let (hidden, kept) = (self.strips.hidden, &self.kept[now.place]);
        let (gates, cells) = (kept.gates.as_slice(), kept.cells.as_slice());
        for lane in lanes {
            let row = self.plan.row(now.direction, lane, now.step);
            for column in [panel * PANEL, panel * PANEL + LANES] {
                for gate in 0..GATES {
                    prefetch(gates, (row * GATES + gate) * hidden + column);
                }
                prefetch(cells, row * hidden + column);
                prefetch(self.dy, row * 2 * hidden + first_column(now.direction, hidden) + column);
            }
        }
    }

    /// Gradients of a panel's units of one lane.
    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, now: Step, spot: Spot, sums: [&Units; GATES]) {
        let (hidden, Spot { panel, lane, row, ends, .. }) = (self.strips.hidden, spot);
        // SAFETY: every panel belongs to one task.
        let cells = unsafe { self.part(&self.cells, now.place, panel) };
        let cells = &mut units_mut(cells)[lane];
        for v in 0..VECTORS {
            let column = panel * PANEL + v * LANES;
            let lanes = LANES.min(hidden.saturating_sub(column));
            let mut slopes = [s.splat(0.0); GATES];
            if lanes > 0 {
                let back = s.add(s.load(&sums[0][v]), s.load(&sums[1][v]));
                let back = s.add(s.add(back, s.load(&sums[2][v])), s.load(&sums[3][v]));
                // What the lane's sequence after hands back is not this one's.
                let none = s.splat(0.0);
                let (back, cell) = if ends { (none, none) } else { (back, s.load(&cells[v])) };
                let (found, left) = self.slopes(s, now, spot, (column, lanes), (back, cell));
                s.store(left, &mut cells[v]);
                slopes = found;
            }
            for (gate, slope) in slopes.into_iter().enumerate() {
                // SAFETY: as above.
                let kept = unsafe { self.part(&self.slopes, now.place * GATES + gate, panel) };
                s.store(slope, &mut units_mut(kept)[lane][v]);
                let place = (row * GATES + gate) * hidden + column;
                if lanes > 0 {
                    // SAFETY: these units of this row belong to this task alone.
                    s.store_any(slope, unsafe { self.dx[now.place].part(place, lanes) });
                }
            }
        }
    }

    /// `dz` of a vector of units, and `dc ⊙ f`; `back` is `dz_{+1}·W`, `cell` is `dc_{+1} ⊙ f_{+1}`.
    #[inline(always)]
    fn slopes<S: Simd>(
        &self,
        s: S,
        now: Step,
        spot: Spot,
        (column, lanes): (usize, usize),
        (back, cell): (S::F, S::F),
    ) -> ([S::F; GATES], S::F) {
        let (hidden, kept, one) = (self.strips.hidden, &self.kept[now.place], s.splat(1.0));
        let (gates, cells) = (kept.gates.as_slice(), kept.cells.as_slice());
        let place = spot.row * GATES * hidden + column;
        let (i, f) = (load(s, gates, place, lanes), load(s, gates, place + hidden, lanes));
        let (g, o) = (load(s, gates, place + 2 * hidden, lanes), load(s, gates, place + 3 * hidden, lanes));
        let last = match spot.before {
            Some(row) => load(s, cells, row * hidden + column, lanes),
            None => s.splat(0.0),
        };
        let out = math::tanh(s, load(s, cells, spot.row * hidden + column, lanes));
        let place = spot.row * 2 * hidden + first_column(now.direction, hidden) + column;
        let dy = load(s, self.dy, place, lanes);
        let dh = s.add(dy, back);
        let dc = s.fma(s.mul(dh, o), s.sub(one, s.mul(out, out)), cell);
        let slopes = [
            s.mul(s.mul(dc, g), bell(s, i)),
            s.mul(s.mul(dc, last), bell(s, f)),
            s.mul(s.mul(dc, i), s.sub(one, s.mul(g, g))),
            s.mul(s.mul(dh, out), bell(s, o)),
        ];
        (slopes, s.mul(dc, f))
    }
}

/// The first `lanes` of the numbers from `place` on.
#[inline(always)]
fn load<S: Simd>(s: S, values: &[f32], place: usize, lanes: usize) -> S::F {
    s.load_any(&values[place..place + lanes])
}

/// Slope of the logistic function whose value this is.
#[inline(always)]
fn bell<S: Simd>(s: S, gate: S::F) -> S::F {
    s.mul(gate, s.sub(s.splat(1.0), gate))
}

pub(super) fn backward(
    cpu: &Cpu,
    (sizes, offsets): (Sizes, &[usize]),
    weights: [[&Weights; GATES]; 2],
    kept: &[Kept; 2],
    dy: &Buffer<f32>,
    dx: [&mut Buffer<f32>; 2],
) {
    let precision = weights[0][0].precision();
    let crew = Crew::of(cpu.threads().count(), sizes.hidden.div_ceil(PANEL));
    let plan = Plan::lanes(offsets, Cost::on(cpu, precision, sizes.hidden, crew.members));
    let strips = Strips::new(precision, sizes.hidden, plan.count());
    let meetings: Vec<Meeting> = (0..crew.teams).map(|_| Meeting::of(crew.members)).collect();
    let mut operands = Buffer::scratch(cpu.pool(), 4 * GATES * strips.words());
    let length = 2 * strips.state(plan.count());
    let mut slopes = Buffer::scratch(cpu.pool(), GATES * length);
    let mut cells = Buffer::scratch(cpu.pool(), length);
    let work = Backward {
        crew,
        meetings: &meetings,
        plan: &plan,
        strips,
        weights: weights.map(|gates| gates.map(Weights::matrix)),
        kept,
        dy: dy.as_slice(),
        operands: Shared::new(operands.as_mut_slice()),
        slopes: Shared::new(slopes.as_mut_slice()),
        cells: Shared::new(cells.as_mut_slice()),
        dx: dx.map(|dx| Shared::new(dx.as_mut_slice())),
    };
    cpu.run(crew.tasks(), &work);
}
