//! Proofs of the LSTM.

use pliant_kernels::cpu::gemm::Orientation;
use pliant_kernels::ops::linear::Weights;
use pliant_kernels::ops::lstm::{
    self, GATES, Kept, Sizes, TOLERANCE, TOLERANCE_BF16, TOLERANCE_GRADIENTS, cpu,
};
use pliant_kernels::{Device, Direction, KernelError, Precision, Sequences, Tolerance, bf16};
use pliant_tests::kernels::inputs::{gather, offsets, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Units and lengths of sequences: the smallest, odd ones, around vectors and panels of units, every height of strips
/// while sequences drop out, without tokens, one long chain, many panels.
const SIZES: [(usize, &[usize]); 8] = [
    (1, &[2]),
    (5, &[3, 1, 4]),
    (16, &[1, 7, 0, 7, 2, 5]),
    (31, &[9, 2, 3, 1, 1, 4, 8, 6, 5, 7]),
    (33, &[5, 30]),
    (64, &[12, 3, 11, 2, 10, 9, 8, 1, 7, 6, 5, 4, 13, 3, 2, 14, 1]),
    (130, &[120]),
    (200, &[4, 3, 2, 6, 5, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 2]),
];

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// Numbers of one case, and the gradient of the result `[T,2H]`.
#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    offsets: Vec<usize>,
    precision: Precision,
    inputs: [Vec<f32>; 2],
    weights: [Vec<f32>; 2],
    dy: Vec<f32>,
}

/// Names of the results.
const RESULTS: [&str; 5] = ["h", "dx forward", "dx reverse", "dW forward", "dW reverse"];

impl Problem {
    /// Inputs of size one, weights of size 1/√H, gradients of size 1/√T so that their sums have size one.
    fn new((hidden, lengths): (usize, &[usize]), precision: Precision) -> Self {
        let (mut inputs, offsets) = (Inputs::new(&format!("lstm {hidden} {lengths:?}")), offsets(lengths));
        let tokens = offsets[lengths.len()];
        let (wide, spread) = (GATES * hidden, 1.0 / (hidden as f32).sqrt());
        Self {
            sizes: Sizes { tokens, hidden },
            offsets,
            precision,
            inputs: [(); 2].map(|()| inputs.normal(tokens * wide, 1.0)),
            weights: [(); 2].map(|()| inputs.normal(wide * hidden, spread)),
            dy: inputs.normal(tokens * 2 * hidden, 1.0 / (tokens as f32).sqrt()),
        }
    }

    fn round(&self) -> impl Fn(f64) -> f64 + use<> {
        let half = self.precision != Precision::F32;
        move |value| if half { f64::from(bf16::from_f64(value)) } else { value }
    }

    /// Result and gradients of the plain text, those of weights added to the weights.
    fn plain(&self) -> Vec<Vec<f64>> {
        let values = [&self.inputs[0], &self.inputs[1], &self.weights[0], &self.weights[1]].map(|v| reals(v));
        let start = [values[2].clone(), values[3].clone()];
        let h = self.plain_forward(&values);
        let [dx, dw] = self.plain_backward(&values, &reals(&self.dy), start);
        [vec![h], dx.into(), dw.into()].concat()
    }

    fn plain_forward(&self, values: &[Vec<f64>]) -> Vec<f64> {
        let (inputs, weights) = ([&values[0][..], &values[1]], [&values[2][..], &values[3]]);
        cpu::forward(self.sizes, &self.offsets, inputs, weights, &self.round())
    }

    /// `dx` of both directions, and `dW` of both added to `start`.
    fn plain_backward(
        &self,
        values: &[Vec<f64>],
        dy: &[f64],
        mut start: [Vec<f64>; 2],
    ) -> [[Vec<f64>; 2]; 2] {
        let round = self.round();
        let mut dx = [Vec::new(), Vec::new()];
        for (place, direction) in Direction::BOTH.into_iter().enumerate() {
            let run = (self.sizes, Sequences { offsets: &self.offsets, direction });
            let weights = &values[2 + place];
            let walk = cpu::walk(run, &values[place], weights, &round);
            dx[place] = cpu::backward(run, &walk, (weights, &round), dy, &mut start[place]);
        }
        [dx, start]
    }

    fn pack(&self, device: &Device, orientation: Orientation) -> [[Weights; GATES]; 2] {
        let hidden = self.sizes.hidden;
        let shape = (GATES * hidden, hidden);
        [0, 1].map(|place| {
            [0, 1, 2, 3].map(|gate| {
                let rows = (shape, gate * hidden..(gate + 1) * hidden);
                let weights = &self.weights[place];
                Weights::pack_rows(device, self.precision, weights, rows, orientation).unwrap()
            })
        })
    }

    /// Result and gradients, those of weights added to the weights.
    fn fast(&self, device: &Device) -> Vec<Found> {
        let (sizes, offsets) = (self.sizes, &self.offsets[..]);
        let inputs = self.inputs.each_ref().map(|values| device.upload(values));
        let inputs = [&inputs[0], &inputs[1]];
        let forward = self.pack(device, Orientation::Forward);
        let mut kept = [(); 2].map(|()| Kept::scratch(device, sizes));
        let [mut h, mut bare] = [(); 2].map(|()| device.zeros(self.dy.len()));
        lstm::forward(device, sizes, offsets, inputs, lend(&forward), Some(&mut kept), &mut h).unwrap();
        lstm::forward(device, sizes, offsets, inputs, lend(&forward), None, &mut bare).unwrap();
        assert_eq!(h.as_slice(), bare.as_slice());
        let backward = self.pack(device, Orientation::InputGradient);
        let (dy, mut dx) = (device.upload(&self.dy), [(); 2].map(|()| device.zeros(sizes.gates())));
        lstm::backward(device, sizes, offsets, lend(&backward), &kept, &dy, dx.each_mut()).unwrap();
        let mut dw = self.weights.each_ref().map(|weights| device.upload(weights));
        for (place, direction) in Direction::BOTH.into_iter().enumerate() {
            let (how, sequences) = ((sizes, self.precision), Sequences { offsets, direction });
            let operands = (&dx[place], &h);
            lstm::backward_weights(device, how, sequences, operands, (&mut dw[place], true)).unwrap();
        }
        let results = [&h, &dx[0], &dx[1], &dw[0], &dw[1]];
        RESULTS.into_iter().zip(results).map(|(what, values)| Found::new(what, values)).collect()
    }
}

fn lend(weights: &[[Weights; GATES]; 2]) -> [[&Weights; GATES]; 2] {
    weights.each_ref().map(|gates| gates.each_ref())
}

fn tolerance(precision: Precision, place: usize) -> Tolerance {
    match (precision, place) {
        (Precision::F32, 0) => TOLERANCE,
        (Precision::F32, _) => TOLERANCE_GRADIENTS,
        _ => TOLERANCE_BF16,
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |sizes, precision: Precision| {
        let problem = Problem::new(sizes, precision);
        let expected = |(place, values)| Expected::new(RESULTS[place], values, tolerance(precision, place));
        let oracle = problem.plain().into_iter().enumerate().map(expected).collect();
        let name = format!("lstm {sizes:?} {}", precision.name());
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.into_iter().flat_map(|sizes| PRECISIONS.map(|precision| case(sizes, precision))).collect()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    PRECISIONS.map(alone_or_together).into()
}

/// Results and gradients of inputs: a sequence has the same ones in every pack.
fn alone_or_together(precision: Precision) -> Invariance {
    const LENGTHS: [usize; 18] = [3, 40, 1, 7, 7, 2, 9, 5, 12, 4, 6, 8, 10, 11, 13, 3, 14, 20];
    let whole = Problem::new((45, &LENGTHS), precision);
    let wide = GATES * whole.sizes.hidden;
    let cut = |values: &[f32], width: usize| -> Vec<Vec<f32>> {
        whole.offsets.windows(2).map(|pair| values[pair[0] * width..pair[1] * width].to_vec()).collect()
    };
    let parts = [cut(&whole.inputs[0], wide), cut(&whole.inputs[1], wide), cut(&whole.dy, wide / 2)];
    let run = move |device: &Device, order: &[usize]| {
        let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
        let [forward, reverse, dy] = [0, 1, 2].map(|part| gather(&parts[part], order));
        let offsets = offsets(&lengths);
        let sizes = Sizes { tokens: offsets[order.len()], ..whole.sizes };
        let problem = Problem { sizes, offsets, inputs: [forward, reverse], dy, ..whole.clone() };
        let found = problem.fast(device);
        let cut = |place: usize, width: usize| {
            split(&found[place].values.bits(), lengths.iter().map(|length| length * width))
        };
        let results = [cut(0, wide / 2), cut(1, wide), cut(2, wide)];
        let together = |sequence: usize| {
            results.each_ref().map(|result: &Vec<Vec<u32>>| result[sequence].clone()).concat()
        };
        (0..order.len()).map(together).collect()
    };
    Invariance { name: format!("lstm {}", precision.name()), sequences: LENGTHS.len(), run: Box::new(run) }
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let problem = Problem::new((3, &[3, 1, 5]), Precision::F32);
    let values = [&problem.inputs[0], &problem.inputs[1], &problem.weights[0], &problem.weights[1]];
    let names = ["x forward", "x reverse", "W forward", "W reverse"];
    let inputs = names.into_iter().zip(values.map(|values| reals(values))).collect();
    let twin = problem.clone();
    let forward = move |values: &[Vec<f64>]| twin.plain_forward(values);
    let backward = move |values: &[Vec<f64>], dy: &[f64]| {
        let start = [2, 3].map(|input| vec![0.0; values[input].len()]);
        problem.plain_backward(values, dy, start).concat()
    };
    vec![Gradient {
        name: "lstm".to_owned(),
        inputs,
        forward: Box::new(forward),
        backward: Box::new(backward),
    }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("lstm");
    let offsets = file.whole("offsets");
    let [inputs, weights] = ["x", "w"].map(|what| [0, 1].map(|place| file.f32(&format!("{what}{place}"))));
    let tokens = offsets[offsets.len() - 1];
    let hidden = inputs[0].len() / tokens / GATES;
    let mut wanted: Vec<Vec<f64>> =
        ["h", "dx0", "dx1", "dw0", "dw1"].into_iter().map(|what| file.f64(what)).collect();
    for (place, weights) in weights.iter().enumerate() {
        wanted[3 + place].iter_mut().zip(weights).for_each(|(sum, &start)| *sum += f64::from(start));
    }
    let (sizes, precision, dy) = (Sizes { tokens, hidden }, Precision::F32, file.f32("dy"));
    let problem = Problem { sizes, offsets, precision, inputs, weights, dy };
    let exact = Tolerance { absolute: 1e-12, relative: 1e-12 };
    for (plain, wanted) in problem.plain().iter().zip(&wanted) {
        assert_close("plain", plain, wanted, exact);
    }
    for device in devices() {
        for (found, wanted) in problem.fast(device).iter().zip(&wanted) {
            let name = format!("{} on {}", found.what, device.describe());
            assert_close(&name, &found.values.reals(), wanted, TOLERANCE_GRADIENTS);
        }
    }
}

/// What a long chain needs grows with its length alone, and gates of any size stay numbers.
#[test]
fn a_long_chain_needs_memory_of_its_length() {
    let mut problem = Problem::new((16, &[30_000]), Precision::Bf16);
    problem.inputs[0].iter_mut().for_each(|value| *value *= 100.0);
    let device = Device::cpu(2).unwrap();
    let found = problem.fast(&device);
    assert!(found.iter().all(|found| found.values.reals().iter().all(|value| value.is_finite())));
    drop(found);
    // Inputs, kept gates and gradients are each 4H numbers of a token and direction.
    let row = 4 * problem.sizes.gates();
    assert!(device.pool().free_bytes() < 12 * row, "{} of {row}", device.pool().free_bytes());
}

#[test]
fn layers_that_do_not_fit_are_refused() {
    let device = &devices()[0];
    let run = |precision: Precision, tokens: usize, result: usize| {
        let problem = Problem { precision, ..Problem::new((3, &[2]), Precision::F32) };
        let weights = problem.pack(device, Orientation::Forward);
        let x = device.zeros(tokens * 12);
        let (mut h, offsets) = (device.zeros(result), &problem.offsets);
        lstm::forward(device, problem.sizes, offsets, [&x, &x], lend(&weights), None, &mut h)
    };
    assert_eq!(run(Precision::F32, 2, 12), Ok(()));
    assert!(matches!(run(Precision::F32, 1, 12), Err(KernelError::Size { found: 12, wanted: 24, .. })));
    assert!(matches!(run(Precision::F32, 2, 6), Err(KernelError::Size { found: 6, wanted: 12, .. })));
    assert!(matches!(run(Precision::Int8, 2, 12), Err(KernelError::Unsupported { op: "lstm", .. })));
}
