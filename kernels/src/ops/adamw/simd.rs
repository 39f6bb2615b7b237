//! A step of AdamW over vectors: one pass through gradient, values and moments.

use super::{State, Step};
use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::cpu::rows::{load, piece, pieces, store};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};

/// What settings and the number of the step make of a step, rounded once.
#[derive(Clone, Copy)]
struct Rates {
    /// What gradients are multiplied by.
    factor: f32,
    /// `1 - α·decay`
    keep: f32,
    /// `1 - β₁`
    toward: f32,
    /// `β₂`
    fade: f32,
    /// `1 - β₂`
    add: f32,
    /// `√(1 - β₂ᵗ)`
    root_of_bias: f32,
    /// `ε`
    epsilon: f32,
    /// `-α/(1 - β₁ᵗ)`
    step: f32,
}

impl Rates {
    fn new(step: &Step) -> Self {
        let bias = |beta: f64| 1.0 - libm::pow(beta, step.number as f64);
        Self {
            factor: step.factor as f32,
            keep: (1.0 - step.learning_rate * step.weight_decay) as f32,
            toward: (1.0 - step.beta1) as f32,
            fade: step.beta2 as f32,
            add: (1.0 - step.beta2) as f32,
            root_of_bias: bias(step.beta2).sqrt() as f32,
            epsilon: step.epsilon as f32,
            step: (-step.learning_rate / bias(step.beta1)) as f32,
        }
    }

    /// Values, first and second moment after the step.
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, gradient: S::F, [p, m, v]: [S::F; 3]) -> [S::F; 3] {
        let g = s.mul(gradient, s.splat(self.factor));
        let kept = s.mul(p, s.splat(self.keep));
        let m = s.fma(s.splat(self.toward), s.sub(g, m), m);
        let v = s.fma(s.mul(s.splat(self.add), g), g, s.mul(s.splat(self.fade), v));
        let denominator = s.add(s.div(s.sqrt(v), s.splat(self.root_of_bias)), s.splat(self.epsilon));
        [s.fma(s.splat(self.step), s.div(m, denominator), kept), m, v]
    }
}

struct Update<'a> {
    rates: Rates,
    gradient: &'a [f32],
    values: Shared<'a, f32>,
    first: Shared<'a, f32>,
    second: Shared<'a, f32>,
}

impl Work for Update<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (start, count) = piece(task, self.values.len());
        let gradient = &self.gradient[start..start + count];
        // SAFETY: every task writes its own piece of each of the three.
        let (p, m, v) = unsafe {
            (self.values.part(start, count), self.first.part(start, count), self.second.part(start, count))
        };
        for at in (0..count).step_by(LANES) {
            let old = [load(s, &p[at..], 0.0), load(s, &m[at..], 0.0), load(s, &v[at..], 0.0)];
            let [values, first, second] = self.rates.apply(s, load(s, &gradient[at..], 0.0), old);
            store(s, values, &mut p[at..]);
            store(s, first, &mut m[at..]);
            store(s, second, &mut v[at..]);
        }
    }
}

pub(super) fn update(cpu: &Cpu, step: &Step, gradient: &Buffer<f32>, state: State<'_>) {
    let work = Update {
        rates: Rates::new(step),
        gradient: gradient.as_slice(),
        values: Shared::new(state.values.as_mut_slice()),
        first: Shared::new(state.first.as_mut_slice()),
        second: Shared::new(state.second.as_mut_slice()),
    };
    cpu.run(pieces(gradient.len()), &work);
}
