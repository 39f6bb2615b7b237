//! Proofs of rotary position embedding.

use pliant_kernels::ops::rotary::{self, Sizes, TOLERANCE, TOLERANCE_BF16, Table, cpu};
use pliant_kernels::{Device, KernelError, Output, Tolerance, bf16};
use pliant_tests::kernels::inputs::{gather, offsets, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Heads and head widths with the lengths of the sequences: the published models' and odd halves.
const SIZES: [(usize, usize, &[usize]); 8] = [
    (1, 2, &[1]),
    (3, 16, &[31, 1]),
    (20, 16, &[5, 0, 33]),
    (5, 24, &[32, 7]),
    (2, 32, &[33]),
    (3, 64, &[2, 31, 64]),
    (2, 80, &[1, 40]),
    (1, 128, &[65]),
];

#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    offsets: Vec<usize>,
    inv_freq: Vec<f32>,
    scale: f32,
    x: Vec<f32>,
    dy: Vec<f32>,
}

impl Problem {
    fn new(heads: usize, head_width: usize, lengths: &[usize]) -> Self {
        let name = format!("rotary {heads} {head_width} {lengths:?}");
        let mut inputs = Inputs::new(&name);
        let offsets = offsets(lengths);
        let tokens = offsets[lengths.len()];
        let count = tokens * heads * head_width;
        let frequency = |j: usize| 10_000_f32.powf(-2.0 * j as f32 / head_width as f32);
        Self {
            sizes: Sizes { tokens, heads, head_width },
            offsets,
            inv_freq: (0..head_width / 2).map(frequency).collect(),
            scale: 1.0 / (head_width as f32).sqrt(),
            x: inputs.normal(count, (head_width as f32).sqrt()),
            dy: inputs.normal(count, (head_width as f32).sqrt()),
        }
    }

    /// Plain forward and backward on the device's table.
    fn plain(&self) -> (Vec<f64>, Vec<f64>) {
        let table = Table::new(&devices()[0], &self.inv_freq, self.sizes.tokens);
        let (cos, sin) = (reals(table.cos()), reals(table.sin()));
        let (mut y, mut dx) = (vec![0.0; self.x.len()], vec![0.0; self.x.len()]);
        let scale = f64::from(self.scale);
        cpu::forward(self.sizes, &self.offsets, (&cos, &sin), &reals(&self.x), scale, &mut y);
        cpu::backward(self.sizes, &self.offsets, (&cos, &sin), &reals(&self.dy), scale, &mut dx);
        (y, dx)
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let table = Table::new(device, &self.inv_freq, self.sizes.tokens);
        let (x, dy) = (device.upload(&self.x), device.upload(&self.dy));
        let (mut y, mut dx) = (device.zeros::<f32>(x.len()), device.zeros::<f32>(x.len()));
        let mut narrow = device.zeros::<bf16>(x.len());
        let output = Output::F32(&mut y);
        rotary::forward(device, self.sizes, &self.offsets, &table, &x, self.scale, output).unwrap();
        let output = Output::Bf16(&mut narrow);
        rotary::forward(device, self.sizes, &self.offsets, &table, &x, self.scale, output).unwrap();
        rotary::backward(device, self.sizes, &self.offsets, &table, &dy, self.scale, &mut dx).unwrap();
        vec![Found::new("y", &y), Found::new("y in bf16", &narrow), Found::new("dx", &dx)]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |(heads, head_width, lengths)| {
        let problem = Problem::new(heads, head_width, lengths);
        let (y, dx) = problem.plain();
        let oracle = vec![
            Expected::new("y", y.clone(), TOLERANCE),
            Expected::new("y in bf16", y, TOLERANCE_BF16),
            Expected::new("dx", dx, TOLERANCE),
        ];
        let name = format!("rotary {heads}x{head_width} {lengths:?}");
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.map(case).into()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    [(3, 24), (2, 16), (1, 40)].map(|(heads, head_width)| alone_or_together(heads, head_width)).into()
}

fn alone_or_together(heads: usize, head_width: usize) -> Invariance {
    const LENGTHS: [usize; 4] = [1, 31, 2, 70];
    let (width, problem) = (heads * head_width, Problem::new(heads, head_width, &[1]));
    let mut inputs = Inputs::new("rotary sequences");
    let rows: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * width, 1.0)).into();
    let run = move |device: &Device, order: &[usize]| {
        let x = device.upload(&gather(&rows, order));
        let mut y = device.zeros(x.len());
        let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
        let sizes = Sizes { tokens: x.len() / width, heads, head_width };
        let table = Table::new(device, &problem.inv_freq, 70);
        let output = Output::F32(&mut y);
        rotary::forward(device, sizes, &offsets(&lengths), &table, &x, 0.25, output).unwrap();
        split(&Found::new("y", &y).values.bits(), lengths.iter().map(|length| length * width))
    };
    let name = format!("rotary {heads}x{head_width}");
    Invariance { name, sequences: LENGTHS.len(), run: Box::new(run) }
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let problem = Problem::new(2, 6, &[2, 3]);
    let (sizes, offsets, count) = (problem.sizes, problem.offsets, problem.x.len());
    let angle = |place: usize| 0.37 * place as f64;
    let cos: Vec<f64> = (0..9).map(|place| angle(place).cos()).collect();
    let sin: Vec<f64> = (0..9).map(|place| angle(place).sin()).collect();
    let (tables, places) = ((cos.clone(), sin.clone()), offsets.clone());
    let forward = move |values: &[Vec<f64>]| {
        let mut y = vec![0.0; count];
        cpu::forward(sizes, &places, (&tables.0, &tables.1), &values[0], 0.7, &mut y);
        y
    };
    let backward = move |_: &[Vec<f64>], dy: &[f64]| {
        let mut dx = vec![0.0; count];
        cpu::backward(sizes, &offsets, (&cos, &sin), dy, 0.7, &mut dx);
        vec![dx]
    };
    let inputs = vec![("x", reals(&problem.x))];
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    vec![Gradient { name: "rotary".to_owned(), inputs, forward, backward }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("rotary");
    let (x, dy, inv_freq) = (file.f32("x"), file.f32("dy"), file.f32("inv_freq"));
    let (heads, offsets) = (file.whole("heads")[0], offsets(&file.whole("lengths")));
    let (tokens, head_width) = (offsets[offsets.len() - 1], 2 * inv_freq.len());
    let sizes = Sizes { tokens, heads, head_width };
    let problem = Problem { sizes, offsets, inv_freq, scale: file.f32("scale")[0], x, dy };
    // The table holds 32-bit cosines and sines; the fixture's are 64-bit ones of the same angles.
    let (y, dx) = problem.plain();
    assert_close("rotary y", &y, &file.f64("y"), TOLERANCE);
    assert_close("rotary dx", &dx, &file.f64("dx"), TOLERANCE);
    for device in devices() {
        let found: Vec<Vec<f64>> = problem.fast(device).iter().map(|found| found.values.reals()).collect();
        assert_close("rotary y", &found[0], &file.f64("y"), TOLERANCE);
        assert_close("rotary y in bf16", &found[1], &file.f64("y"), TOLERANCE_BF16);
        assert_close("rotary dx", &found[2], &file.f64("dx"), TOLERANCE);
    }
}

#[test]
fn the_table_holds_the_published_angles() {
    let file = Fixture::open("rotary");
    let lengths = file.whole("lengths");
    let longest = *lengths.iter().max().unwrap();
    let table = Table::new(&devices()[0], &file.f32("inv_freq"), longest);
    // The file holds one row per token; the last sequence, the longest, shows every position.
    let half_unit = Tolerance { absolute: 1e-38, relative: 6e-8 };
    for (found, name) in [(table.cos(), "cos"), (table.sin(), "sin")] {
        let expected = file.f64(name);
        assert_close(name, &reals(found), &expected[expected.len() - found.len()..], half_unit);
    }
}

#[test]
fn a_sequence_longer_than_the_table_is_refused() {
    let device = &devices()[0];
    let (table, x) = (Table::new(device, &[1.0], 4), device.zeros::<f32>(10));
    let sizes = Sizes { tokens: 5, heads: 1, head_width: 2 };
    let mut y = device.zeros::<f32>(10);
    let mut run =
        |offsets: &[usize]| rotary::forward(device, sizes, offsets, &table, &x, 1.0, Output::F32(&mut y));
    assert_eq!(run(&[0, 1, 5]), Ok(()));
    let error = KernelError::Index { op: "rotary", what: "position", found: 4, limit: 4 };
    assert_eq!(run(&[0, 5]), Err(error));
    assert!(run(&[0, 4]).is_err());
}
