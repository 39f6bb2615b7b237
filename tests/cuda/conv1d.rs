//! The depthwise filter.

use crate::proof::{blind_to_neighbours, check, indices, same_in_stretches};
use crate::script::{Place, Script};
use pliant_kernels::ops::conv1d::{Sizes, TOLERANCE, cpu};
use pliant_kernels::{Direction, Sequences};
use pliant_tests::kernels::inputs::{gather, offsets, reals};
use pliant_tests::kernels::{Expected, Inputs};

/// Channels, taps, lengths: one, around a block's threads, shorter than the filter, without tokens, the longest filter.
const SIZES: [(usize, usize, &[usize]); 6] = [
    (1, 1, &[2]),
    (3, 4, &[1, 5]),
    (31, 16, &[3, 40, 1]),
    (128, 2, &[33, 0, 5]),
    (129, 4, &[64, 1, 2, 3]),
    (300, 5, &[0, 31, 2]),
];

#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    lengths: Vec<usize>,
    direction: Direction,
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    carry: Option<Vec<f32>>,
}

impl Problem {
    fn new((width, filter, lengths): (usize, usize, &[usize]), direction: Direction, carried: bool) -> Self {
        let mut inputs = Inputs::new(&format!("conv1d on the device {width} {filter} {lengths:?}"));
        let sizes = Sizes { tokens: lengths.iter().sum(), width, filter };
        Self {
            sizes,
            lengths: lengths.to_vec(),
            direction,
            x: inputs.normal(sizes.tokens * width, 1.0),
            w: inputs.normal(width * filter, 0.7),
            b: inputs.normal(width, 0.7),
            carry: carried.then(|| inputs.normal(sizes.carry(), 1.0)),
        }
    }

    /// Result and, with more than one tap, carry left behind.
    fn plain(&self) -> (Vec<f64>, Vec<f64>) {
        let offsets = offsets(&self.lengths);
        let sequences = Sequences { offsets: &offsets, direction: self.direction };
        let [x, w, b] = [&self.x, &self.w, &self.b].map(|values| reals(values));
        // Without a carry the run begins here, which a carry of zeros says too.
        let mut carry = self.carry.as_ref().map_or(vec![0.0; self.sizes.carry()], |carry| reals(carry));
        let mut u = vec![0.0; x.len()];
        cpu::forward((self.sizes, sequences), &x, (&w, &b), Some(&mut carry), &mut u);
        (u, carry)
    }

    fn run(&self, script: &mut Script) -> (Place, Place) {
        let [x, w, b] = [&self.x, &self.w, &self.b].map(|values| script.reads(values));
        let (offsets, carry) = (offsets(&self.lengths), self.carry.as_ref().map(|carry| script.reads(carry)));
        let offsets = script.reads(&indices(&offsets));
        let (u, left) = (script.writes::<f32>(self.x.len()), script.writes::<f32>(self.sizes.carry()));
        let Sizes { tokens, width, filter } = self.sizes;
        let reverse = usize::from(self.direction == Direction::Reverse);
        let launch =
            script.launch("conv1d_forward").give(offsets).give(x).give(w).give(b).give(carry).give(u);
        launch.give(self.lengths.len()).give(tokens).give(width).give(filter).give(reverse);
        let launch = script.launch("conv1d_carry").give(offsets).give(x).give(carry).give(left);
        launch.give(self.lengths.len()).give(width).give(filter).give(reverse);
        (u, left)
    }
}

#[test]
fn both_directions_agree_with_the_oracle() {
    for size in SIZES {
        for (direction, carried) in Direction::BOTH.into_iter().flat_map(|way| [(way, false), (way, true)]) {
            let problem = Problem::new(size, direction, carried);
            let (u, carry) = problem.plain();
            let mut script = Script::default();
            let (found, left) = problem.run(&mut script);
            let name = format!("{size:?} {} {carried}", direction.name());
            check("conv1d", &name, &script, &[(found, Expected::new("u", u, TOLERANCE))]);
            if carry.iter().any(|value| *value != 0.0) {
                check("conv1d", &name, &script, &[(left, Expected::new("carry", carry, TOLERANCE))]);
            }
        }
    }
}

#[test]
fn sequences_are_blind_to_their_neighbours() {
    const LENGTHS: [usize; 4] = [1, 33, 2, 70];
    let width = 40;
    let mut inputs = Inputs::new("conv1d sequences on the device");
    let x: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * width, 1.0)).into();
    for direction in Direction::BOTH {
        let start = Problem::new((width, 4, &[1]), direction, false);
        blind_to_neighbours("conv1d", &LENGTHS.map(|length| width * length), |order| {
            let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
            let sizes = Sizes { tokens: lengths.iter().sum(), ..start.sizes };
            let mut script = Script::default();
            let problem = Problem { sizes, lengths, x: gather(&x, order), ..start.clone() };
            let (u, _) = problem.run(&mut script);
            (script, u)
        });
    }
}

#[test]
fn a_run_in_stretches_has_the_same_bits() {
    for direction in Direction::BOTH {
        let whole = Problem::new((33, 4, &[50]), direction, false);
        same_in_stretches("conv1d", (direction, 33, 50), &|rows, carry| {
            let sizes = Sizes { tokens: rows.len(), ..whole.sizes };
            let x = whole.x[rows.start * 33..rows.end * 33].to_vec();
            let carry = carry.map(<[f32]>::to_vec);
            let mut script = Script::default();
            let problem = Problem { sizes, lengths: vec![rows.len()], x, carry, ..whole.clone() };
            let (u, left) = problem.run(&mut script);
            (script, u, left)
        });
    }
}
