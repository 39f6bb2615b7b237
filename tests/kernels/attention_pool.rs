//! Proofs of attention pooling.

use pliant_kernels::ops::attention_pool::{self, Saved, Sizes, TOLERANCE, TOLERANCE_SCORES, cpu};
use pliant_kernels::{Device, KernelError, Tolerance};
use pliant_tests::kernels::inputs::{gather, offsets, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

type Spans = Vec<(usize, usize)>;

/// Widths with the lengths of the ranges: smallest, around vectors and a task's columns, large.
const SIZES: [(usize, &[usize]); 6] =
    [(1, &[5]), (31, &[31, 1]), (32, &[2, 33]), (65, &[16, 5, 17]), (320, &[400, 3]), (1280, &[7, 1, 65])];

#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    spans: Spans,
    x: Vec<f32>,
    scores: Vec<f32>,
    dy: Vec<f32>,
}

/// Results of the plain text; the gradient of the states is added to the states themselves.
struct Plain {
    weights: Vec<f64>,
    y: Vec<f64>,
    dx: Vec<f64>,
    dscores: Vec<f64>,
}

impl Problem {
    /// Ranges with a token before and one after each.
    fn new(width: usize, lengths: &[usize]) -> Self {
        let mut inputs = Inputs::new(&format!("attention_pool {width} {lengths:?}"));
        let whole: Vec<usize> = lengths.iter().map(|length| length + 2).collect();
        let offsets = offsets(&whole);
        let tokens = offsets[lengths.len()];
        Self {
            sizes: Sizes { tokens, width },
            spans: offsets.windows(2).map(|pair| (pair[0] + 1, pair[1] - 1)).collect(),
            x: inputs.normal(tokens * width, 1.0),
            scores: inputs.normal(tokens, 2.0),
            dy: inputs.normal(lengths.len() * width, 1.0),
        }
    }

    fn plain(&self) -> Plain {
        let (x, dy) = (reals(&self.x), reals(&self.dy));
        let weights = cpu::weights(&self.spans, &reals(&self.scores));
        let (mut y, mut dx, mut dscores) = (vec![0.0; dy.len()], x.clone(), vec![0.0; weights.len()]);
        cpu::forward(self.sizes, &self.spans, &x, &weights, &mut y);
        cpu::backward(self.sizes, &self.spans, (&x, &weights), &dy, (&mut dx, &mut dscores));
        Plain { weights, y, dx, dscores }
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let [x, scores, dy] = [&self.x, &self.scores, &self.dy].map(|values| device.upload(values));
        let [mut weights, mut dscores] = [(); 2].map(|()| device.upload(&self.scores));
        let (mut y, mut dx) = (device.zeros(dy.len()), device.upload(&self.x));
        attention_pool::forward(device, self.sizes, &self.spans, (&x, &scores), &mut weights, &mut y)
            .unwrap();
        let saved = Saved { x: &x, weights: &weights, y: &y };
        attention_pool::backward(device, self.sizes, &self.spans, saved, &dy, (&mut dx, &mut dscores))
            .unwrap();
        vec![
            Found::new("weights", &weights),
            Found::new("y", &y),
            Found::new("dx", &dx),
            Found::new("dscores", &dscores),
        ]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |(width, lengths): (usize, &[usize])| {
        let problem = Problem::new(width, lengths);
        let plain = problem.plain();
        let oracle = vec![
            Expected::new("weights", plain.weights, TOLERANCE),
            Expected::new("y", plain.y, TOLERANCE),
            Expected::new("dx", plain.dx, TOLERANCE),
            Expected::new("dscores", plain.dscores, TOLERANCE_SCORES),
        ];
        let name = format!("attention_pool {width} {lengths:?}");
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.map(case).into()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    const LENGTHS: [usize; 4] = [1, 31, 9, 170];
    let width = 83;
    let mut inputs = Inputs::new("attention_pool sequences");
    let rows: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * width, 1.0)).into();
    let scores: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length, 2.0)).into();
    let slopes: Vec<Vec<f32>> = LENGTHS.map(|_| inputs.normal(width, 1.0)).into();
    let run = move |device: &Device, order: &[usize]| {
        let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
        let spans: Spans = offsets(&lengths).windows(2).map(|pair| (pair[0], pair[1])).collect();
        let sizes = Sizes { tokens: lengths.iter().sum(), width };
        let [x, scores, dy] = [&rows, &scores, &slopes].map(|values| gather(values, order));
        let found = Problem { sizes, spans, x, scores, dy }.fast(device);
        let y = split(&found[1].values.bits(), lengths.iter().map(|_| width));
        let dscores = split(&found[3].values.bits(), lengths.iter().copied());
        y.into_iter().zip(dscores).map(|(y, dscores)| [y, dscores].concat()).collect()
    };
    vec![Invariance { name: "attention_pool".to_owned(), sequences: LENGTHS.len(), run: Box::new(run) }]
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let problem = Problem::new(3, &[1, 4]);
    let (sizes, spans, other) = (problem.sizes, problem.spans.clone(), problem.spans);
    let forward = move |values: &[Vec<f64>]| {
        let mut y = vec![0.0; 6];
        cpu::forward(sizes, &spans, &values[0], &cpu::weights(&spans, &values[1]), &mut y);
        y
    };
    let backward = move |values: &[Vec<f64>], dy: &[f64]| {
        let (mut dx, mut dscores) = (vec![0.0; values[0].len()], vec![0.0; values[1].len()]);
        let weights = cpu::weights(&other, &values[1]);
        cpu::backward(sizes, &other, (&values[0], &weights), dy, (&mut dx, &mut dscores));
        vec![dx, dscores]
    };
    let inputs = vec![("x", reals(&problem.x)), ("scores", reals(&problem.scores))];
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    vec![Gradient { name: "attention_pool".to_owned(), inputs, forward, backward }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("attention_pool");
    let (x, scores, dy) = (file.f32("x"), file.f32("scores"), file.f32("dy"));
    let spans: Spans = file.whole("spans").chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let sizes = Sizes { tokens: scores.len(), width: x.len() / scores.len() };
    let slopes = file.f64("dx");
    let dx: Vec<f64> = slopes.iter().zip(&x).map(|(slope, &start)| slope + f64::from(start)).collect();
    let problem = Problem { sizes, spans, x, scores, dy };
    let exact = Tolerance { absolute: 1e-14, relative: 1e-13 };
    let plain = problem.plain();
    assert_close("y", &plain.y, &file.f64("y"), exact);
    assert_close("dx", &plain.dx, &dx, exact);
    assert_close("dscores", &plain.dscores, &file.f64("dscores"), exact);
    for device in devices() {
        let found = problem.fast(device);
        assert_close("y", &found[1].values.reals(), &file.f64("y"), TOLERANCE);
        assert_close("dx", &found[2].values.reals(), &dx, TOLERANCE);
        assert_close("dscores", &found[3].values.reals(), &file.f64("dscores"), TOLERANCE_SCORES);
    }
}

#[test]
fn what_is_not_a_number_is_seen_in_its_sequence_alone() {
    for state in [true, false] {
        let mut problem = Problem::new(5, &[4, 18]);
        let values = if state { &mut problem.x[5 * 2] } else { &mut problem.scores[2] };
        *values = f32::NAN;
        for device in devices() {
            let y = problem.fast(device)[1].values.reals();
            assert!(y[0].is_nan(), "{y:?}");
            assert!(y[5..].iter().all(|value| value.is_finite()), "{y:?}");
        }
    }
}

#[test]
fn ranges_that_do_not_fit_are_refused() {
    let device = &devices()[0];
    let (sizes, x) = (Sizes { tokens: 4, width: 2 }, device.zeros(8));
    let (scores, mut weights) = (device.zeros(4), device.zeros(4));
    let mut run = |spans: &[(usize, usize)]| {
        let mut y = device.zeros(2 * spans.len());
        attention_pool::forward(device, sizes, spans, (&x, &scores), &mut weights, &mut y)
    };
    assert_eq!(run(&[(0, 1), (1, 4)]), Ok(()));
    assert!(matches!(run(&[(1, 5)]), Err(KernelError::Index { found: 5, .. })));
    assert!(matches!(run(&[(2, 2)]), Err(KernelError::Size { found: 0, wanted: 1, .. })));
    assert!(matches!(run(&[(0, 2), (1, 4)]), Err(KernelError::Size { found: 1, wanted: 2, .. })));
}
