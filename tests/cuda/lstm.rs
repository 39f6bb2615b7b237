//! Steps of the LSTM.

use crate::proof::{blind_to_neighbours, check, indices};
use crate::script::{Place, Script};
use pliant_kernels::ops::lstm::{GATES, Sizes, TOLERANCE, TOLERANCE_BF16, cpu};
use pliant_kernels::{Precision, bf16};
use pliant_tests::kernels::inputs::{gather, offsets, reals, rounded};
use pliant_tests::kernels::{Expected, Inputs};
use std::cmp::Reverse;

/// Units and lengths: one, around a block's units and sequences, without tokens, several blocks of sequences.
const SIZES: [(usize, &[usize]); 5] = [
    (1, &[2]),
    (5, &[3, 0, 4]),
    (16, &[1, 7, 5]),
    (17, &[3, 2, 1, 4, 3, 2, 1, 3, 2, 1, 3, 2, 4, 1, 2, 3, 3]),
    (40, &[6, 2]),
];

#[derive(Clone)]
struct Problem {
    hidden: usize,
    lengths: Vec<usize>,
    inputs: [Vec<f32>; 2],
    weights: [Vec<f32>; 2],
}

impl Problem {
    fn new((hidden, lengths): (usize, &[usize])) -> Self {
        let mut inputs = Inputs::new(&format!("lstm on the device {hidden} {lengths:?}"));
        let (tokens, wide) = (lengths.iter().sum::<usize>(), GATES * hidden);
        Self {
            hidden,
            lengths: lengths.to_vec(),
            inputs: [(); 2].map(|()| inputs.normal(tokens * wide, 1.0)),
            weights: [(); 2].map(|()| inputs.normal(wide * hidden, 1.0 / (hidden as f32).sqrt())),
        }
    }

    fn plain(&self, precision: Precision) -> Vec<f64> {
        let offsets = offsets(&self.lengths);
        let sizes = Sizes { tokens: offsets[self.lengths.len()], hidden: self.hidden };
        let [x, w] = [&self.inputs, &self.weights].map(|pair| pair.each_ref().map(|values| reals(values)));
        let round =
            |value: f64| if precision == Precision::F32 { value } else { bf16::from_f64(value).into() };
        cpu::forward(sizes, &offsets, [&x[0][..], &x[1]], [&w[0][..], &w[1]], &round)
    }

    /// A launch for every step, for the sequences that make it.
    fn run(&self, precision: Precision, script: &mut Script) -> Place {
        let offsets = offsets(&self.lengths);
        let mut order: Vec<usize> = (0..self.lengths.len()).filter(|&b| self.lengths[b] > 0).collect();
        order.sort_by_key(|&sequence| Reverse(self.lengths[sequence]));
        let part = |values: &[usize]| indices(&order.iter().map(|&b| values[b]).collect::<Vec<_>>());
        let (starts, lengths) = (script.reads(&part(&offsets)), script.reads(&part(&self.lengths)));
        let [forward, reverse] = self.inputs.each_ref().map(|values| script.reads(values));
        let weights = self.weights.each_ref().map(|values| match precision {
            Precision::F32 => script.reads(values),
            _ => script.reads(&rounded(values)),
        });
        let (sequences, hidden) = (order.len(), self.hidden);
        let cells = script.writes::<f32>(2 * sequences * hidden);
        let h = script.writes::<f32>(2 * offsets[self.lengths.len()] * hidden);
        let kernel = if precision == Precision::F32 { "lstm_step_f32" } else { "lstm_step_bf16" };
        for step in 0..self.lengths[order[0]] {
            let live = order.iter().filter(|&&sequence| self.lengths[sequence] > step).count();
            let launch = script.launch(kernel).give(starts).give(lengths).give(forward).give(reverse);
            launch.give(weights[0]).give(weights[1]).give(cells).give(h);
            launch.give(live).give(sequences).give(hidden).give(step);
        }
        h
    }
}

#[test]
fn steps_agree_with_the_oracle() {
    for size in SIZES {
        let problem = Problem::new(size);
        for (precision, tolerance) in [(Precision::F32, TOLERANCE), (Precision::Bf16, TOLERANCE_BF16)] {
            let mut script = Script::default();
            let found = problem.run(precision, &mut script);
            let name = format!("{size:?} {}", precision.name());
            check(
                "lstm",
                &name,
                &script,
                &[(found, Expected::new("h", problem.plain(precision), tolerance))],
            );
        }
    }
}

#[test]
fn sequences_are_blind_to_their_neighbours() {
    const LENGTHS: [usize; 4] = [1, 9, 2, 5];
    const HIDDEN: usize = 20;
    let mut inputs = Inputs::new("lstm sequences on the device");
    let values = [(); 2].map(|()| -> Vec<Vec<f32>> {
        LENGTHS.map(|length| inputs.normal(length * GATES * HIDDEN, 1.0)).into()
    });
    let start = Problem::new((HIDDEN, &[1]));
    blind_to_neighbours("lstm", &LENGTHS.map(|length| 2 * HIDDEN * length), |order| {
        let lengths = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
        let inputs = values.each_ref().map(|values| gather(values, order));
        let mut script = Script::default();
        let h = Problem { lengths, inputs, ..start.clone() }.run(Precision::F32, &mut script);
        (script, h)
    });
}
