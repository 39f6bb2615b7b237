//! The selective scan.

use crate::proof::{blind_to_neighbours, check, indices, same_in_stretches};
use crate::script::{Place, Script};
use pliant_kernels::ops::selective_scan::{Operands, STATES_MAX, Sizes, TOLERANCE, cpu};
use pliant_kernels::{Direction, Sequences};
use pliant_tests::kernels::inputs::{gather, offsets, reals};
use pliant_tests::kernels::{Expected, Inputs};

/// Channels, states, lengths: one, around the states and steps that are held at once, around a block's channels, without
/// tokens, the most states.
const SIZES: [(usize, usize, &[usize]); 6] = [
    (1, 1, &[2]),
    (3, 7, &[1, 33, 0]),
    (128, 16, &[32, 5]),
    (129, 16, &[31, 65]),
    (20, 21, &[40, 2]),
    (5, STATES_MAX, &[0, 34]),
];

#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    lengths: Vec<usize>,
    direction: Direction,
    u: Vec<f32>,
    delta: Vec<f32>,
    bc: Vec<f32>,
    a_log: Vec<f32>,
    d: Vec<f32>,
    carry: Option<Vec<f32>>,
}

impl Problem {
    /// Inputs of size one, rates from 1 to N, step sizes from 0.02 to 2.
    fn new((width, states, lengths): (usize, usize, &[usize]), direction: Direction, carried: bool) -> Self {
        let mut inputs = Inputs::new(&format!("selective_scan on the device {width} {states} {lengths:?}"));
        let sizes = Sizes { tokens: lengths.iter().sum(), width, states };
        let count = sizes.tokens * width;
        let rates = inputs.normal(width * states, 0.3).into_iter().enumerate();
        Self {
            sizes,
            lengths: lengths.to_vec(),
            direction,
            u: inputs.normal(count, 1.0),
            delta: inputs.uniform(count, -4.0, 1.8),
            bc: inputs.normal(sizes.tokens * 2 * states, 1.0 / (states as f32).sqrt().sqrt()),
            a_log: rates.map(|(place, noise)| ((place % states + 1) as f32).ln() + noise).collect(),
            d: inputs.normal(width, 1.0),
            carry: carried.then(|| inputs.normal(sizes.carry(), 1.0)),
        }
    }

    /// Result and state left behind.
    fn plain(&self) -> (Vec<f64>, Vec<f64>) {
        let offsets = offsets(&self.lengths);
        let sequences = Sequences { offsets: &offsets, direction: self.direction };
        let [u, delta, bc, a_log, d] =
            [&self.u, &self.delta, &self.bc, &self.a_log, &self.d].map(|values| reals(values));
        let operands = Operands { u: &u[..], delta: &delta, bc: &bc, a_log: &a_log, d: &d };
        let mut carry = self.carry.as_ref().map_or(vec![0.0; self.sizes.carry()], |carry| reals(carry));
        let mut y = vec![0.0; u.len()];
        cpu::forward((self.sizes, sequences), operands, Some(&mut carry), &mut y);
        (y, carry)
    }

    fn run(&self, script: &mut Script) -> (Place, Place) {
        let places = script.reads(&indices(&offsets(&self.lengths)));
        let inputs =
            [&self.u, &self.delta, &self.bc, &self.a_log, &self.d].map(|values| script.reads(values));
        let carry = self.carry.as_ref().map(|carry| script.reads(carry));
        let (y, left) = (script.writes::<f32>(self.u.len()), script.writes::<f32>(self.sizes.carry()));
        let launch = script.launch("selective_scan_forward").give(places);
        inputs.iter().for_each(|&input| {
            launch.give(input);
        });
        launch.give(carry).give(left).give(y).give(self.lengths.len()).give(self.sizes.width);
        launch.give(self.sizes.states).give(usize::from(self.direction == Direction::Reverse));
        (y, left)
    }

    /// The rows of a stretch or of other sequences.
    fn with(&self, lengths: Vec<usize>, [u, delta, bc]: [Vec<f32>; 3], carry: Option<Vec<f32>>) -> Self {
        let sizes = Sizes { tokens: lengths.iter().sum(), ..self.sizes };
        Self { sizes, lengths, u, delta, bc, carry, ..self.clone() }
    }
}

#[test]
fn both_directions_agree_with_the_oracle() {
    for size in SIZES {
        for (direction, carried) in Direction::BOTH.into_iter().flat_map(|way| [(way, false), (way, true)]) {
            let problem = Problem::new(size, direction, carried);
            let (y, carry) = problem.plain();
            let mut script = Script::default();
            let (found, left) = problem.run(&mut script);
            let name = format!("{size:?} {} {carried}", direction.name());
            check("selective_scan", &name, &script, &[(found, Expected::new("y", y, TOLERANCE))]);
            // A last sequence without tokens leaves nothing.
            if carry.iter().any(|value| *value != 0.0) {
                check("selective_scan", &name, &script, &[(left, Expected::new("carry", carry, TOLERANCE))]);
            }
        }
    }
}

#[test]
fn sequences_are_blind_to_their_neighbours() {
    const LENGTHS: [usize; 4] = [1, 33, 2, 70];
    let (width, states) = (40, 16);
    let mut inputs = Inputs::new("scan sequences on the device");
    let mut draw = |columns: usize| -> Vec<Vec<f32>> {
        LENGTHS.map(|length| inputs.normal(length * columns, 1.0)).into()
    };
    let values = [draw(width), draw(width), draw(2 * states)];
    for direction in Direction::BOTH {
        let start = Problem::new((width, states, &[1]), direction, false);
        blind_to_neighbours("selective_scan", &LENGTHS.map(|length| width * length), |order| {
            let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
            let values = [&values[0], &values[1], &values[2]].map(|values| gather(values, order));
            let mut script = Script::default();
            let (y, _) = start.with(lengths, values, None).run(&mut script);
            (script, y)
        });
    }
}

#[test]
fn a_run_in_stretches_has_the_same_bits() {
    let (width, states, tokens) = (33, 20, 70);
    for direction in Direction::BOTH {
        let whole = Problem::new((width, states, &[tokens]), direction, false);
        same_in_stretches("selective_scan", (direction, width, tokens), &|rows, carry| {
            let cut =
                |values: &[f32], columns: usize| values[rows.start * columns..rows.end * columns].to_vec();
            let values = [cut(&whole.u, width), cut(&whole.delta, width), cut(&whole.bc, 2 * states)];
            let mut script = Script::default();
            let part = whole.with(vec![rows.len()], values, carry.map(<[f32]>::to_vec));
            let (y, left) = part.run(&mut script);
            (script, y, left)
        });
    }
}
