//! Proofs of the depthwise filter.

use pliant_kernels::ops::conv1d::{self, FILTER_MAX, Grads, Sizes, TOLERANCE, TOLERANCE_WEIGHTS, cpu};
use pliant_kernels::{Device, Direction, KernelError, Sequences, Tolerance};
use pliant_tests::kernels::case::assert_same_bits;
use pliant_tests::kernels::inputs::{gather, offsets, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Channels, taps and lengths of sequences: the smallest, around vectors, around a task's rows and columns,
/// without tokens, shorter than the filter, every kind of filter.
const SIZES: [(usize, usize, &[usize]); 9] = [
    (1, 1, &[2]),
    (3, 4, &[1, 5]),
    (16, 3, &[7]),
    (31, 16, &[3, 40, 1]),
    (33, 2, &[63, 0, 65]),
    (64, 4, &[64, 1, 2, 3, 4, 5]),
    (255, 5, &[31, 33, 70]),
    (257, 4, &[130, 2]),
    (600, 4, &[1030, 64, 6]),
];

/// Numbers of one case: `x` and gradient `[T,E]`, `w [E,K]`, `b [E]`.
#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    offsets: Vec<usize>,
    direction: Direction,
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    du: Vec<f32>,
}

/// Results of the plain text.
struct Plain {
    u: Vec<f64>,
    carry: Vec<f64>,
    dx: Vec<f64>,
    dw: Vec<f64>,
    db: Vec<f64>,
}

impl Problem {
    /// Inputs and weights of size one; gradients of size 1/√T so that their sums have size one.
    fn new((width, filter, lengths): (usize, usize, &[usize]), direction: Direction) -> Self {
        let name = format!("conv1d {width} {filter} {lengths:?} {}", direction.name());
        let (mut inputs, offsets) = (Inputs::new(&name), offsets(lengths));
        let tokens = offsets[lengths.len()];
        Self {
            sizes: Sizes { tokens, width, filter },
            offsets,
            direction,
            x: inputs.normal(tokens * width, 1.0),
            w: inputs.normal(width * filter, 0.7),
            b: inputs.normal(width, 0.7),
            du: inputs.normal(tokens * width, 1.0 / (tokens as f32).sqrt()),
        }
    }

    fn sequences(&self) -> Sequences<'_> {
        Sequences { offsets: &self.offsets, direction: self.direction }
    }

    /// What came before a stretch: some of the weights, twice as large.
    fn carry(&self) -> Vec<f32> {
        self.w[..self.sizes.carry()].iter().map(|value| 2.0 * value).collect()
    }

    /// Plain forward from nothing, what it leaves when it starts from a carry, and plain backward; weight
    /// gradients are added to the weights.
    fn plain(&self) -> Plain {
        let [x, w, b, du] = [&self.x, &self.w, &self.b, &self.du].map(|values| reals(values));
        let (job, mut u, mut carry) =
            ((self.sizes, self.sequences()), vec![0.0; x.len()], reals(&self.carry()));
        cpu::forward(job, &x, (&w, &b), Some(&mut carry), &mut u);
        let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], w.clone(), b.clone());
        cpu::backward(job, &x, (&w, &b), &du, (&mut dx, &mut dw, &mut db));
        carry.splice(0..0, u.iter().copied());
        cpu::forward(job, &x, (&w, &b), None, &mut u);
        Plain { u, carry, dx, dw, db }
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let [x, w, b, du] = [&self.x, &self.w, &self.b, &self.du].map(|values| device.upload(values));
        let [mut u, mut streamed, mut dx] = [(); 3].map(|()| device.zeros(x.len()));
        let (sizes, sequences) = (self.sizes, self.sequences());
        conv1d::forward(device, sizes, sequences, &x, (&w, &b), None, &mut u).unwrap();
        let mut carry = device.upload(&self.carry());
        conv1d::forward(device, sizes, sequences, &x, (&w, &b), Some(&mut carry), &mut streamed).unwrap();
        let (mut dw, mut db) = (device.upload(&self.w), device.upload(&self.b));
        let grads = Grads { dx: &mut dx, dw: &mut dw, db: &mut db };
        conv1d::backward(device, sizes, sequences, &x, (&w, &b), &du, grads).unwrap();
        let carry = device.upload(&[streamed.as_slice(), carry.as_slice()].concat());
        vec![
            Found::new("u", &u),
            Found::new("stretch and carry", &carry),
            Found::new("dx", &dx),
            Found::new("dw", &dw),
            Found::new("db", &db),
        ]
    }

    /// The rows in stretches that end at `cuts`, walked in the direction's order.
    fn stretches(&self, device: &Device, cuts: &[usize]) -> Vec<u32> {
        let (w, b) = (device.upload(&self.w), device.upload(&self.b));
        let mut carry = device.zeros(self.sizes.carry());
        let mut bits = vec![Vec::new(); cuts.len() - 1];
        for turn in 0..bits.len() {
            let stretch = if self.direction == Direction::Forward { turn } else { bits.len() - 1 - turn };
            let rows = cuts[stretch]..cuts[stretch + 1];
            let offsets = [0, rows.len()];
            let sequences = Sequences { offsets: &offsets, direction: self.direction };
            let sizes = Sizes { tokens: rows.len(), ..self.sizes };
            let x = device.upload(&self.x[rows.start * sizes.width..rows.end * sizes.width]);
            let mut u = device.zeros(x.len());
            conv1d::forward(device, sizes, sequences, &x, (&w, &b), Some(&mut carry), &mut u).unwrap();
            bits[stretch] = Found::new("u", &u).values.bits();
        }
        bits.concat()
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |sizes, direction: Direction| {
        let problem = Problem::new(sizes, direction);
        let plain = problem.plain();
        let oracle = vec![
            Expected::new("u", plain.u, TOLERANCE),
            Expected::new("stretch and carry", plain.carry, TOLERANCE),
            Expected::new("dx", plain.dx, TOLERANCE),
            Expected::new("dw", plain.dw, TOLERANCE_WEIGHTS),
            Expected::new("db", plain.db, TOLERANCE_WEIGHTS),
        ];
        let name = format!("conv1d {sizes:?} {}", direction.name());
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.into_iter().flat_map(|sizes| Direction::BOTH.map(|direction| case(sizes, direction))).collect()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    Direction::BOTH.map(alone_or_together).into()
}

fn alone_or_together(direction: Direction) -> Invariance {
    const LENGTHS: [usize; 4] = [1, 31, 2, 170];
    let width = 83;
    let mut inputs = Inputs::new("conv1d sequences");
    let rows: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * width, 1.0)).into();
    let slopes: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * width, 1.0)).into();
    let (w, b) = (inputs.normal(width * 4, 1.0), inputs.normal(width, 1.0));
    let run = move |device: &Device, order: &[usize]| {
        let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
        let [x, du, w, b] = [gather(&rows, order), gather(&slopes, order), w.clone(), b.clone()]
            .map(|values| device.upload(&values));
        let sizes = Sizes { tokens: x.len() / width, width, filter: 4 };
        let offsets = offsets(&lengths);
        let sequences = Sequences { offsets: &offsets, direction };
        let [mut u, mut dx] = [(); 2].map(|()| device.zeros(x.len()));
        conv1d::forward(device, sizes, sequences, &x, (&w, &b), None, &mut u).unwrap();
        let (mut dw, mut db) = (device.zeros(w.len()), device.zeros(width));
        let grads = Grads { dx: &mut dx, dw: &mut dw, db: &mut db };
        conv1d::backward(device, sizes, sequences, &x, (&w, &b), &du, grads).unwrap();
        let cut = |found: Found| split(&found.values.bits(), lengths.iter().map(|length| length * width));
        let results = cut(Found::new("u", &u)).into_iter().zip(cut(Found::new("dx", &dx)));
        results.map(|(u, dx)| [u, dx].concat()).collect()
    };
    let name = format!("conv1d {}", direction.name());
    Invariance { name, sequences: LENGTHS.len(), run: Box::new(run) }
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let cases = [(3, 4, &[3_usize, 1, 6][..]), (2, 2, &[5])];
    cases.into_iter().flat_map(|sizes| Direction::BOTH.map(|direction| gradient(sizes, direction))).collect()
}

fn gradient(sizes: (usize, usize, &[usize]), direction: Direction) -> Gradient {
    let problem = Problem::new(sizes, direction);
    let inputs = vec![("x", reals(&problem.x)), ("w", reals(&problem.w)), ("b", reals(&problem.b))];
    let twin = problem.clone();
    let forward = move |values: &[Vec<f64>]| {
        let mut u = vec![0.0; values[0].len()];
        let job = (twin.sizes, twin.sequences());
        cpu::forward(job, &values[0], (&values[1], &values[2]), None, &mut u);
        u
    };
    let backward = move |values: &[Vec<f64>], du: &[f64]| {
        let [mut dx, mut dw, mut db] = [0, 1, 2].map(|input| vec![0.0; values[input].len()]);
        let job = (problem.sizes, problem.sequences());
        cpu::backward(job, &values[0], (&values[1], &values[2]), du, (&mut dx, &mut dw, &mut db));
        vec![dx, dw, db]
    };
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    Gradient { name: format!("conv1d {sizes:?} {}", direction.name()), inputs, forward, backward }
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("conv1d");
    let offsets = file.whole("offsets");
    let (w, b, tokens) = (file.f32("w"), file.f32("b"), offsets[offsets.len() - 1]);
    let sizes = Sizes { tokens, width: b.len(), filter: w.len() / b.len() };
    let exact = Tolerance { absolute: 1e-13, relative: 1e-12 };
    for direction in Direction::BOTH {
        let (x, du) = (file.f32("x"), file.f32("du"));
        let problem =
            Problem { sizes, offsets: offsets.clone(), direction, x, w: w.clone(), b: b.clone(), du };
        let expected = |what: &str, start: &[f32]| -> Vec<f64> {
            let mut values = file.f64(&format!("{}_{what}", direction.name()));
            values.iter_mut().zip(start).for_each(|(value, &start)| *value += f64::from(start));
            values
        };
        let wanted = [expected("u", &[]), expected("dx", &[]), expected("dw", &w), expected("db", &b)];
        let plain = problem.plain();
        for (plain, wanted) in [plain.u, plain.dx, plain.dw, plain.db].iter().zip(&wanted) {
            assert_close(direction.name(), plain, wanted, exact);
        }
        for device in devices() {
            let found = problem.fast(device);
            for (place, wanted) in [0, 2, 3, 4].into_iter().zip(&wanted) {
                let name = format!("{} {}", found[place].what, direction.name());
                assert_close(&name, &found[place].values.reals(), wanted, TOLERANCE_WEIGHTS);
            }
        }
    }
}

#[test]
fn a_run_in_stretches_has_the_bits_of_the_whole() {
    for (filter, direction) in [1, 4, 7].into_iter().flat_map(|k| Direction::BOTH.map(|way| (k, way))) {
        let problem = Problem::new((70, filter, &[140]), direction);
        for device in devices() {
            let whole = problem.stretches(device, &[0, 140]);
            assert_same_bits("whole", &whole, &problem.fast(device)[0].values.bits());
            for cuts in [&[0, 1, 140][..], &[0, 2, 3, 5, 64, 66, 139, 140], &[0, 70, 70, 140]] {
                let name = format!("{filter} taps {} {cuts:?}", direction.name());
                assert_same_bits(&name, &problem.stretches(device, cuts), &whole);
            }
        }
    }
}

#[test]
fn filters_that_do_not_fit_are_refused() {
    let device = &devices()[0];
    let sequences = Sequences { offsets: &[0, 2], direction: Direction::Forward };
    let run = |filter: usize, carry: usize| {
        let sizes = Sizes { tokens: 2, width: 3, filter };
        let (x, w, b) = (device.zeros(6), device.zeros(3 * filter), device.zeros(3));
        let mut carry = device.zeros(carry);
        conv1d::forward(device, sizes, sequences, &x, (&w, &b), Some(&mut carry), &mut device.zeros(6))
    };
    assert_eq!(run(FILTER_MAX, 45), Ok(()));
    assert!(matches!(run(0, 0), Err(KernelError::Unsupported { op: "conv1d", .. })));
    assert!(matches!(run(FILTER_MAX + 1, 48), Err(KernelError::Unsupported { op: "conv1d", .. })));
    assert!(matches!(run(4, 6), Err(KernelError::Size { found: 6, wanted: 9, .. })));
}
