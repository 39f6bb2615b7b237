//! Proofs of pooling.

use pliant_kernels::ops::pool::{self, Kind, Sizes, TOLERANCE, TOLERANCE_SUM, cpu};
use pliant_kernels::{Device, KernelError, Tolerance};
use pliant_tests::kernels::case::WHOLE;
use pliant_tests::kernels::inputs::{gather, offsets, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

type Spans = Vec<(usize, usize)>;

/// Widths with the lengths of the ranges: one, around vectors and a task's columns, large.
const SIZES: [(usize, &[usize]); 7] = [
    (1, &[1]),
    (31, &[31, 1]),
    (32, &[2, 33]),
    (33, &[32]),
    (65, &[1, 5, 31]),
    (320, &[400, 3]),
    (1280, &[7, 1, 65]),
];

const KINDS: [Kind; 4] = [Kind::Mean, Kind::Sum, Kind::Cls, Kind::Max];

/// Tolerance of pooled vectors.
fn tolerance(kind: Kind) -> Tolerance {
    if kind == Kind::Sum { TOLERANCE_SUM } else { TOLERANCE }
}

#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    kind: Kind,
    spans: Spans,
    x: Vec<f32>,
    dy: Vec<f32>,
}

/// Results of the plain text; the gradient is added to the states themselves.
struct Plain {
    y: Vec<f64>,
    argmax: Vec<u32>,
    dx: Vec<f64>,
}

impl Problem {
    /// Ranges with a token before and one after each, as <cls> and <eos> stand around the residues; for
    /// [`Kind::Cls`] the first of them alone. Some states repeat, so that maxima have equals.
    fn new(kind: Kind, width: usize, lengths: &[usize]) -> Self {
        let mut inputs = Inputs::new(&format!("pool {width} {lengths:?}"));
        let whole: Vec<usize> = lengths.iter().map(|length| length + 2).collect();
        let offsets = offsets(&whole);
        let span = |pair: &[usize]| match kind {
            Kind::Cls => (pair[0], pair[0] + 1),
            Kind::Mean | Kind::Sum | Kind::Max => (pair[0] + 1, pair[1] - 1),
        };
        let tokens = offsets[lengths.len()];
        let mut x = inputs.normal(tokens * width, 1.0);
        x.iter_mut().step_by(3).for_each(|value| *value = (*value * 2.0).round() / 2.0 + 0.25);
        Self {
            sizes: Sizes { tokens, width },
            kind,
            spans: offsets.windows(2).map(span).collect(),
            x,
            dy: inputs.normal(lengths.len() * width, 1.0),
        }
    }

    fn plain(&self) -> Plain {
        let (mut y, mut argmax) = (vec![0.0; self.dy.len()], vec![0; self.dy.len()]);
        let mut dx = reals(&self.x);
        cpu::forward(self.sizes, self.kind, &self.spans, &reals(&self.x), &mut y, &mut argmax);
        cpu::backward(self.sizes, self.kind, &self.spans, &argmax, &reals(&self.dy), &mut dx);
        Plain { y, argmax, dx }
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let (x, dy) = (device.upload(&self.x), device.upload(&self.dy));
        let (mut y, mut argmax) = (device.zeros::<f32>(dy.len()), device.zeros::<u32>(dy.len()));
        let mut dx = device.upload(&self.x);
        let kept = (self.kind == Kind::Max).then_some(&mut argmax);
        pool::forward(device, self.sizes, self.kind, &self.spans, &x, &mut y, kept).unwrap();
        let kept = (self.kind == Kind::Max).then_some(&argmax);
        pool::backward(device, self.sizes, self.kind, &self.spans, kept, &dy, &mut dx).unwrap();
        let mut found = vec![Found::new("y", &y), Found::new("dx", &dx)];
        if self.kind == Kind::Max {
            found.push(Found::new("argmax", &argmax));
        }
        found
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |kind, (width, lengths): (usize, &[usize])| {
        let problem = Problem::new(kind, width, lengths);
        let Plain { y, argmax, dx } = problem.plain();
        let mut oracle = vec![Expected::new("y", y, tolerance(kind)), Expected::new("dx", dx, TOLERANCE)];
        if kind == Kind::Max {
            oracle.push(Expected::new("argmax", argmax.into_iter().map(f64::from).collect(), WHOLE));
        }
        let name = format!("pool {kind:?} {width} {lengths:?}");
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    KINDS.into_iter().flat_map(|kind| SIZES.map(|sizes| case(kind, sizes))).collect()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    [Kind::Mean, Kind::Sum, Kind::Max].map(alone_or_together).into()
}

fn alone_or_together(kind: Kind) -> Invariance {
    const LENGTHS: [usize; 4] = [1, 31, 9, 170];
    let width = 83;
    let mut inputs = Inputs::new("pool sequences");
    let rows: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * width, 1.0)).into();
    let run = move |device: &Device, order: &[usize]| {
        let x = device.upload(&gather(&rows, order));
        let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
        let spans: Spans = offsets(&lengths).windows(2).map(|pair| (pair[0], pair[1])).collect();
        let mut y = device.zeros(order.len() * width);
        let sizes = Sizes { tokens: x.len() / width, width };
        pool::forward(device, sizes, kind, &spans, &x, &mut y, None).unwrap();
        split(&Found::new("y", &y).values.bits(), lengths.iter().map(|_| width))
    };
    Invariance { name: format!("pool {kind:?}"), sequences: LENGTHS.len(), run: Box::new(run) }
}

pub(crate) fn gradients() -> Vec<Gradient> {
    KINDS.map(gradient).into()
}

fn gradient(kind: Kind) -> Gradient {
    let problem = Problem::new(kind, 3, &[1, 4]);
    let (sizes, spans) = (problem.sizes, problem.spans);
    // No two numbers of a column are closer than the steps of the differences.
    let count = sizes.tokens * sizes.width;
    let x = (0..count).map(|place| ((place * 7) % count) as f64 * 0.1 - 1.0).collect();
    let pooled = move |values: &[Vec<f64>], spans: &Spans| {
        let (mut y, mut argmax) = (vec![0.0; 6], vec![0; 6]);
        cpu::forward(sizes, kind, spans, &values[0], &mut y, &mut argmax);
        (y, argmax)
    };
    let ranges = spans.clone();
    let forward = move |values: &[Vec<f64>]| pooled(values, &ranges).0;
    let backward = move |values: &[Vec<f64>], dy: &[f64]| {
        let mut dx = vec![0.0; values[0].len()];
        cpu::backward(sizes, kind, &spans, &pooled(values, &spans).1, dy, &mut dx);
        vec![dx]
    };
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    Gradient { name: format!("pool {kind:?}"), inputs: vec![("x", x)], forward, backward }
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("pool");
    let (x, dy) = (file.f32("x"), file.f32("dy"));
    let residues: Spans = file.whole("spans").chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let width = dy.len() / residues.len();
    let sizes = Sizes { tokens: x.len() / width, width };
    let exact = Tolerance { absolute: 1e-15, relative: 1e-14 };
    for (kind, name) in [(Kind::Mean, "mean"), (Kind::Sum, "sum"), (Kind::Cls, "cls"), (Kind::Max, "max")] {
        let spans = match kind {
            Kind::Cls => residues.iter().map(|&(start, _)| (start - 1, start)).collect(),
            Kind::Mean | Kind::Sum | Kind::Max => residues.clone(),
        };
        let problem = Problem { sizes, kind, spans, x: x.clone(), dy: dy.clone() };
        let slopes = file.f64(&format!("{name}_dx"));
        let dx: Vec<f64> = slopes.iter().zip(&x).map(|(slope, &start)| slope + f64::from(start)).collect();
        let plain = problem.plain();
        assert_close(name, &plain.y, &file.f64(name), exact);
        assert_close(name, &plain.dx, &dx, exact);
        for device in devices() {
            let found = problem.fast(device);
            assert_close(name, &found[0].values.reals(), &file.f64(name), tolerance(kind));
            assert_close(name, &found[1].values.reals(), &dx, TOLERANCE);
            if kind == Kind::Max {
                let rows: Vec<usize> = found[2].values.bits().iter().map(|&row| row as usize).collect();
                assert_eq!(rows, file.whole("argmax"), "{}", device.describe());
            }
        }
    }
}

#[test]
fn ranges_may_overlap() {
    for kind in [Kind::Mean, Kind::Sum, Kind::Max] {
        let mut problem = Problem::new(kind, 70, &[40, 9]);
        problem.spans = vec![(0, 50), (20, 53)];
        let plain = problem.plain();
        for device in devices() {
            let found = problem.fast(device);
            assert_close("y", &found[0].values.reals(), &plain.y, tolerance(kind));
            assert_close("dx", &found[1].values.reals(), &plain.dx, TOLERANCE);
        }
    }
}

#[test]
fn ranges_that_do_not_fit_are_refused() {
    let device = &devices()[0];
    let (sizes, x, mut y) = (Sizes { tokens: 4, width: 2 }, device.zeros(8), device.zeros(2));
    let mut run = |kind, span| pool::forward(device, sizes, kind, &[span], &x, &mut y, None);
    assert_eq!(run(Kind::Mean, (1, 4)), Ok(()));
    assert!(matches!(run(Kind::Mean, (1, 5)), Err(KernelError::Index { found: 5, .. })));
    assert!(matches!(run(Kind::Mean, (2, 2)), Err(KernelError::Size { found: 0, wanted: 1, .. })));
    assert!(matches!(run(Kind::Max, (3, 2)), Err(KernelError::Size { found: 0, wanted: 1, .. })));
    assert!(matches!(run(Kind::Cls, (0, 2)), Err(KernelError::Size { found: 2, wanted: 1, .. })));
    let (dy, mut dx) = (device.zeros(2), device.zeros(8));
    let mut back = |argmax| pool::backward(device, sizes, Kind::Max, &[(0, 4)], argmax, &dy, &mut dx);
    assert!(matches!(back(None), Err(KernelError::Size { found: 0, wanted: 2, .. })));
    let outside = device.upload(&[0_u32, 4]);
    assert!(matches!(back(Some(&outside)), Err(KernelError::Index { found: 4, limit: 4, .. })));
}
