//! Proofs of the selective scan.

use pliant_kernels::ops::selective_scan::{
    self, Grads, Keep, Operands, STATES_MAX, Sizes, TOLERANCE, TOLERANCE_GRADIENTS, cpu,
};
use pliant_kernels::{Buffer, Device, Direction, KernelError, Sequences, Tolerance};
use pliant_tests::kernels::case::assert_same_bits;
use pliant_tests::kernels::inputs::{gather, offsets, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Channels, states and lengths of sequences: the smallest, around vectors and groups of channels, around chunks,
/// without tokens, several portions, every kind of block of states, the most states.
const SIZES: [(usize, usize, &[usize]); 9] = [
    (1, 1, &[2]),
    (3, 2, &[1, 5]),
    (16, 16, &[31, 33]),
    (24, 4, &[32, 0, 65, 1]),
    (33, 7, &[64, 3]),
    (64, 16, &[1, 2, 3, 100]),
    (65, 21, &[70, 130]),
    (130, 16, &[1030, 7, 1100, 40]),
    (17, STATES_MAX, &[140, 5]),
];

/// Numbers of one case, as [`Operands`] has them, and the gradient of the result `[T,E]`.
#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    offsets: Vec<usize>,
    direction: Direction,
    u: Vec<f32>,
    delta: Vec<f32>,
    bc: Vec<f32>,
    a_log: Vec<f32>,
    d: Vec<f32>,
    dy: Vec<f32>,
}

/// Names of the five gradients.
const GRADS: [&str; 5] = ["du", "ddelta", "dbc", "da_log", "dd"];

impl Problem {
    /// Inputs of size one, weights so that results have size one, rates from 1 to N as a new model has them,
    /// step sizes from 0.02 to 2; gradients of size 1/√T so that their sums have size one.
    fn new((width, states, lengths): (usize, usize, &[usize]), direction: Direction) -> Self {
        let name = format!("selective_scan {width} {states} {lengths:?} {}", direction.name());
        let (mut inputs, offsets) = (Inputs::new(&name), offsets(lengths));
        let tokens = offsets[lengths.len()];
        let rates = inputs.normal(width * states, 0.3).into_iter().enumerate();
        let spread = 1.0 / (states as f32).sqrt().sqrt();
        Self {
            sizes: Sizes { tokens, width, states },
            offsets,
            direction,
            u: inputs.normal(tokens * width, 1.0),
            delta: inputs.uniform(tokens * width, -4.0, 1.8),
            bc: inputs.normal(tokens * 2 * states, spread),
            a_log: rates.map(|(place, noise)| ((place % states + 1) as f32).ln() + noise).collect(),
            d: inputs.normal(width, 1.0),
            dy: inputs.normal(tokens * width, 1.0 / (tokens as f32).sqrt()),
        }
    }

    fn sequences(&self) -> Sequences<'_> {
        Sequences { offsets: &self.offsets, direction: self.direction }
    }

    fn inputs(&self) -> [&Vec<f32>; 5] {
        [&self.u, &self.delta, &self.bc, &self.a_log, &self.d]
    }

    /// What came before a stretch: the logarithms of the rates.
    fn carry(&self) -> &[f32] {
        &self.a_log
    }

    fn plain_forward(&self, values: &[Vec<f64>], carry: Option<&mut [f64]>) -> Vec<f64> {
        let mut y = vec![0.0; self.dy.len()];
        cpu::forward((self.sizes, self.sequences()), plain_operands(values), carry, &mut y);
        y
    }

    /// Gradients, those of weights added to `start`.
    fn plain_backward(&self, values: &[Vec<f64>], dy: &[f64], start: [Vec<f64>; 2]) -> Vec<Vec<f64>> {
        let [mut du, mut ddelta, mut dbc] = [0, 1, 2].map(|input| vec![0.0; values[input].len()]);
        let [mut da_log, mut dd] = start;
        let grads = Grads {
            du: &mut du[..],
            ddelta: &mut ddelta[..],
            dbc: &mut dbc[..],
            da_log: &mut da_log[..],
            dd: &mut dd[..],
        };
        cpu::backward((self.sizes, self.sequences()), plain_operands(values), dy, grads);
        vec![du, ddelta, dbc, da_log, dd]
    }

    /// Results of the plain text as [`Problem::fast`] has them.
    fn plain(&self) -> Vec<Vec<f64>> {
        let values = self.inputs().map(|values| reals(values));
        let mut carry = reals(self.carry());
        let streamed = self.plain_forward(&values, Some(&mut carry));
        let start = [values[3].clone(), values[4].clone()];
        let grads = self.plain_backward(&values, &reals(&self.dy), start);
        let mut results = vec![self.plain_forward(&values, None), [streamed, carry].concat()];
        results.extend(grads);
        results
    }

    /// The result, that of the rows as a stretch together with the carry it leaves, the gradients (those of the
    /// weights added to the weights).
    fn fast(&self, device: &Device) -> Vec<Found> {
        let (sizes, sequences) = (self.sizes, self.sequences());
        let buffers = self.inputs().map(|values| device.upload(values));
        let operands = operands(&buffers);
        let [mut y, mut streamed, mut bare] = [(); 3].map(|()| device.zeros(self.dy.len()));
        let mut borders = device.zeros(sizes.borders(sequences));
        let keep = Keep::Borders(&mut borders);
        selective_scan::forward(device, sizes, sequences, operands, keep, &mut y).unwrap();
        selective_scan::forward(device, sizes, sequences, operands, Keep::Nothing, &mut bare).unwrap();
        assert_eq!(y.as_slice(), bare.as_slice());
        let mut carry = device.upload(self.carry());
        let keep = Keep::Carry(&mut carry);
        selective_scan::forward(device, sizes, sequences, operands, keep, &mut streamed).unwrap();
        let [mut du, mut ddelta, mut dbc] = [0, 1, 2].map(|input| device.zeros(buffers[input].len()));
        let (mut da_log, mut dd) = (device.upload(&self.a_log), device.upload(&self.d));
        let grads =
            Grads { du: &mut du, ddelta: &mut ddelta, dbc: &mut dbc, da_log: &mut da_log, dd: &mut dd };
        let dy = device.upload(&self.dy);
        selective_scan::backward(device, sizes, sequences, operands, &borders, &dy, grads).unwrap();
        let carry = device.upload(&[streamed.as_slice(), carry.as_slice()].concat());
        let mut found = vec![Found::new("y", &y), Found::new("stretch and carry", &carry)];
        let grads = [&du, &ddelta, &dbc, &da_log, &dd];
        found.extend(GRADS.into_iter().zip(grads).map(|(what, grad)| Found::new(what, grad)));
        found
    }

    /// The rows in stretches that end at `cuts`, walked in the direction's order.
    fn stretches(&self, device: &Device, cuts: &[usize]) -> Vec<u32> {
        let mut carry = device.zeros(self.sizes.carry());
        let mut bits = vec![Vec::new(); cuts.len() - 1];
        for turn in 0..bits.len() {
            let stretch = if self.direction == Direction::Forward { turn } else { bits.len() - 1 - turn };
            let rows = cuts[stretch]..cuts[stretch + 1];
            let offsets = [0, rows.len()];
            let sequences = Sequences { offsets: &offsets, direction: self.direction };
            let sizes = Sizes { tokens: rows.len(), ..self.sizes };
            let part =
                |values: &[f32], width: usize| device.upload(&values[rows.start * width..rows.end * width]);
            let buffers = [
                part(&self.u, sizes.width),
                part(&self.delta, sizes.width),
                part(&self.bc, 2 * sizes.states),
                device.upload(&self.a_log),
                device.upload(&self.d),
            ];
            let (mut y, keep) = (device.zeros(buffers[0].len()), Keep::Carry(&mut carry));
            selective_scan::forward(device, sizes, sequences, operands(&buffers), keep, &mut y).unwrap();
            bits[stretch] = Found::new("y", &y).values.bits();
        }
        bits.concat()
    }
}

fn operands(buffers: &[Buffer<f32>; 5]) -> Operands<'_, Buffer<f32>> {
    let [u, delta, bc, a_log, d] = buffers;
    Operands { u, delta, bc, a_log, d }
}

fn plain_operands(values: &[Vec<f64>]) -> Operands<'_, [f64]> {
    Operands { u: &values[0], delta: &values[1], bc: &values[2], a_log: &values[3], d: &values[4] }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |sizes, direction: Direction| {
        let problem = Problem::new(sizes, direction);
        let expected = |(place, values)| match place {
            0 => Expected::new("y", values, TOLERANCE),
            1 => Expected::new("stretch and carry", values, TOLERANCE),
            _ => Expected::new(GRADS[place - 2], values, TOLERANCE_GRADIENTS),
        };
        let oracle = problem.plain().into_iter().enumerate().map(expected).collect();
        let name = format!("selective_scan {sizes:?} {}", direction.name());
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.into_iter().flat_map(|sizes| Direction::BOTH.map(|direction| case(sizes, direction))).collect()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    Direction::BOTH.map(alone_or_together).into()
}

/// Results and gradients of inputs: a sequence has the same ones in every pack.
fn alone_or_together(direction: Direction) -> Invariance {
    const LENGTHS: [usize; 5] = [1, 31, 2, 170, 33];
    let whole = Problem::new((83, 16, &LENGTHS), direction);
    let (width, states) = (whole.sizes.width, whole.sizes.states);
    let cut = |values: &[f32], width: usize| -> Vec<Vec<f32>> {
        whole.offsets.windows(2).map(|pair| values[pair[0] * width..pair[1] * width].to_vec()).collect()
    };
    let parts = [cut(&whole.u, width), cut(&whole.delta, width), cut(&whole.dy, width)];
    let weights = cut(&whole.bc, 2 * states);
    let run = move |device: &Device, order: &[usize]| {
        let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
        let [u, delta, dy] = [0, 1, 2].map(|part| gather(&parts[part], order));
        let (offsets, bc) = (offsets(&lengths), gather(&weights, order));
        let sizes = Sizes { tokens: offsets[order.len()], ..whole.sizes };
        let (a_log, d) = (whole.a_log.clone(), whole.d.clone());
        let found = Problem { sizes, offsets, direction, u, delta, bc, a_log, d, dy }.fast(device);
        let cut = |place: usize, width: usize| {
            split(&found[place].values.bits(), lengths.iter().map(|length| length * width))
        };
        let results = [cut(0, width), cut(2, width), cut(3, width), cut(4, 2 * states)];
        let together = |sequence: usize| {
            results.each_ref().map(|result: &Vec<Vec<u32>>| result[sequence].clone()).concat()
        };
        (0..order.len()).map(together).collect()
    };
    let name = format!("selective_scan {}", direction.name());
    Invariance { name, sequences: LENGTHS.len(), run: Box::new(run) }
}

pub(crate) fn gradients() -> Vec<Gradient> {
    Direction::BOTH.map(gradient).into()
}

fn gradient(direction: Direction) -> Gradient {
    let problem = Problem::new((3, 2, &[3, 1, 5]), direction);
    let names = ["u", "delta", "bc", "a_log", "d"];
    let inputs = names.into_iter().zip(problem.inputs().map(|values| reals(values))).collect();
    let twin = problem.clone();
    let forward = move |values: &[Vec<f64>]| twin.plain_forward(values, None);
    let backward = move |values: &[Vec<f64>], dy: &[f64]| {
        let start = [3, 4].map(|input| vec![0.0; values[input].len()]);
        problem.plain_backward(values, dy, start)
    };
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    Gradient { name: format!("selective_scan {}", direction.name()), inputs, forward, backward }
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("selective_scan");
    let offsets = file.whole("offsets");
    let (a_log, d, tokens) = (file.f32("a_log"), file.f32("d"), offsets[offsets.len() - 1]);
    let sizes = Sizes { tokens, width: d.len(), states: a_log.len() / d.len() };
    let exact = Tolerance { absolute: 1e-12, relative: 1e-12 };
    for direction in Direction::BOTH {
        let problem = Problem {
            sizes,
            offsets: offsets.clone(),
            direction,
            u: file.f32("u"),
            delta: file.f32("delta"),
            bc: file.f32("bc"),
            a_log: a_log.clone(),
            d: d.clone(),
            dy: file.f32("dy"),
        };
        let expected = |what: &str| -> Vec<f64> {
            let mut values = file.f64(&format!("{}_{what}", direction.name()));
            let start = if what == "da_log" { &a_log } else { &d };
            let added = if what == "da_log" || what == "dd" { start.len() } else { 0 };
            values.iter_mut().zip(&start[..added]).for_each(|(value, &start)| *value += f64::from(start));
            values
        };
        let mut plain = problem.plain();
        plain.remove(1);
        let wanted: Vec<Vec<f64>> = ["y"].into_iter().chain(GRADS).map(expected).collect();
        for (plain, wanted) in plain.iter().zip(&wanted) {
            assert_close(direction.name(), plain, wanted, exact);
        }
        for device in devices() {
            let mut found = problem.fast(device);
            found.remove(1);
            for (found, wanted) in found.iter().zip(&wanted) {
                let name = format!("{} {} on {}", found.what, direction.name(), device.describe());
                assert_close(&name, &found.values.reals(), wanted, TOLERANCE_GRADIENTS);
            }
        }
    }
}

#[test]
fn a_run_in_stretches_has_the_bits_of_the_whole() {
    for (states, direction) in [3, 16].into_iter().flat_map(|n| Direction::BOTH.map(|way| (n, way))) {
        let problem = Problem::new((70, states, &[140]), direction);
        for device in devices() {
            let whole = problem.stretches(device, &[0, 140]);
            assert_same_bits("whole", &whole, &problem.fast(device)[0].values.bits());
            for cuts in [&[0, 1, 140][..], &[0, 2, 3, 5, 32, 66, 139, 140], &[0, 70, 70, 140]] {
                let name = format!("{states} states {} {cuts:?}", direction.name());
                assert_same_bits(&name, &problem.stretches(device, cuts), &whole);
            }
        }
    }
}

/// All states of 40,000 tokens would be 164 MB; what is kept and what the backward works in is far less.
#[test]
fn a_long_sequence_needs_little_memory() {
    let problem = Problem::new((64, 16, &[40_000]), Direction::Reverse);
    let device = Device::cpu(2).unwrap();
    let found = problem.fast(&device);
    assert!(found.iter().all(|found| found.values.reals().iter().all(|value| value.is_finite())));
    let row = 4 * problem.dy.len();
    assert!(4 * problem.sizes.borders(problem.sequences()) <= row / 2);
    drop(found);
    // Five inputs, five gradients, results, the gradient, kept states and sums, each at most one row's worth.
    assert!(device.pool().free_bytes() < 20 * row, "{} of {row}", device.pool().free_bytes());
}

#[test]
fn scans_that_do_not_fit_are_refused() {
    let device = &devices()[0];
    let sequences = Sequences { offsets: &[0, 2], direction: Direction::Forward };
    let run = |states: usize, carry: usize| {
        let sizes = Sizes { tokens: 2, width: 3, states };
        let buffers = [6, 6, 4 * states, 3 * states, 3].map(|length| device.zeros(length));
        let mut carry = device.zeros(carry);
        let keep = Keep::Carry(&mut carry);
        selective_scan::forward(device, sizes, sequences, operands(&buffers), keep, &mut device.zeros(6))
    };
    assert_eq!(run(STATES_MAX, 3 * STATES_MAX), Ok(()));
    assert!(matches!(run(0, 0), Err(KernelError::Unsupported { op: "selective_scan", .. })));
    let many = STATES_MAX + 1;
    assert!(matches!(run(many, 3 * many), Err(KernelError::Unsupported { op: "selective_scan", .. })));
    assert!(matches!(run(4, 6), Err(KernelError::Size { found: 6, wanted: 12, .. })));
}
