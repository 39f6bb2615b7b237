//! Proofs of soft symmetric alignment.

use pliant_kernels::ops::soft_alignment::{
    self, Pairs, Side, TOLERANCE, TOLERANCE_GRADIENT, TOLERANCE_WEIGHTS, cpu,
};
use pliant_kernels::{Buffer, Device, Tolerance};
use pliant_tests::kernels::inputs::{gather, offsets, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Width and lengths of the pairs: smallest, around tiles and vectors, of the width and length of real proteins.
const SIZES: [(usize, &[(usize, usize)]); 6] = [
    (1, &[(2, 3)]),
    (3, &[(1, 2), (5, 1)]),
    (15, &[(6, 16), (7, 17)]),
    (16, &[(31, 15), (12, 1), (2, 33)]),
    (17, &[(13, 47)]),
    (100, &[(83, 150)]),
];

#[derive(Clone)]
struct Problem {
    width: usize,
    lengths: Vec<(usize, usize)>,
    a: Vec<f32>,
    b: Vec<f32>,
    dscores: Vec<f32>,
}

/// What the plain text gives for all pairs: scores, gradients of both sides.
struct Plain {
    scores: Vec<f64>,
    da: Vec<f64>,
    db: Vec<f64>,
}

impl Problem {
    /// Vectors whose distances have size one to ten; the first residues of all pairs are equal on both sides.
    fn new(width: usize, lengths: &[(usize, usize)]) -> Self {
        let mut inputs = Inputs::new(&format!("soft_alignment {width} {lengths:?}"));
        let (first, second): (Vec<usize>, Vec<usize>) = lengths.iter().copied().unzip();
        let spread = 4.0 / (width as f32 + 8.0);
        let [a, mut b] =
            [&first, &second].map(|lengths| inputs.normal(lengths.iter().sum::<usize>() * width, spread));
        for (from, to) in offsets(&first).into_iter().zip(offsets(&second)).take(lengths.len()) {
            b[to * width..(to + 1) * width].copy_from_slice(&a[from * width..(from + 1) * width]);
        }
        let dscores = inputs.normal(lengths.len(), 1.0);
        Self { width, lengths: lengths.to_vec(), a, b, dscores }
    }

    fn offsets(&self) -> [Vec<usize>; 2] {
        let (first, second): (Vec<usize>, Vec<usize>) = self.lengths.iter().copied().unzip();
        [offsets(&first), offsets(&second)]
    }

    /// Both sides of one pair.
    fn pair(&self, pair: usize) -> (Vec<f64>, Vec<f64>) {
        let [first, second] = self.offsets();
        let cut = |values: &[f32], offsets: &[usize]| {
            reals(&values[offsets[pair] * self.width..offsets[pair + 1] * self.width])
        };
        (cut(&self.a, &first), cut(&self.b, &second))
    }

    fn plain(&self) -> Plain {
        let mut plain = Plain { scores: Vec::new(), da: Vec::new(), db: Vec::new() };
        for (pair, &dscore) in self.dscores.iter().enumerate() {
            let (a, b) = self.pair(pair);
            plain.scores.push(cpu::matrices(self.width, &a, &b).score);
            let (mut da, mut db) = (vec![0.0; a.len()], vec![0.0; b.len()]);
            cpu::backward(self.width, (&a, &b), f64::from(dscore), (&mut da, &mut db));
            plain.da.extend(da);
            plain.db.extend(db);
        }
        plain
    }

    /// Similarities and weights of all pairs, in 64 bits.
    fn plain_matrices(&self) -> [Vec<f64>; 2] {
        let (mut similarities, mut weights) = (Vec::new(), Vec::new());
        for pair in 0..self.lengths.len() {
            let (a, b) = self.pair(pair);
            let found = cpu::matrices(self.width, &a, &b);
            similarities.extend(found.similarities);
            weights.extend(found.weights);
        }
        [similarities, weights]
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let (a, b) = (device.upload(&self.a), device.upload(&self.b));
        let [first, second] = self.offsets();
        let pairs = pairs(self.width, (&a, &first), (&b, &second));
        let (mut scores, dscores) = (device.zeros(self.lengths.len()), device.upload(&self.dscores));
        let (mut da, mut db) = (device.upload(&self.a), device.upload(&self.b));
        soft_alignment::forward(device, pairs, &mut scores).unwrap();
        soft_alignment::backward(device, pairs, &dscores, (&mut da, &mut db)).unwrap();
        let [similarities, weights, again] = self.fast_matrices(device);
        vec![
            Found::new("scores", &scores),
            Found::new("da", &da),
            Found::new("db", &db),
            Found::new("similarities", &device.upload(&similarities)),
            Found::new("weights", &device.upload(&weights)),
            Found::new("scores again", &device.upload(&again)),
        ]
    }

    /// Similarities, weights and scores, pair by pair.
    fn fast_matrices(&self, device: &Device) -> [Vec<f32>; 3] {
        let mut found = [(); 3].map(|()| Vec::new());
        let [first, second] = self.offsets();
        for (pair, &(n, m)) in self.lengths.iter().enumerate() {
            let a = &self.a[first[pair] * self.width..first[pair + 1] * self.width];
            let b = &self.b[second[pair] * self.width..second[pair + 1] * self.width];
            let (a, b) = (device.upload(a), device.upload(b));
            let [mut similarities, mut weights] = [(); 2].map(|()| device.zeros(n * m));
            let (left, right) = ([0, n], [0, m]);
            let one = pairs(self.width, (&a, &left), (&b, &right));
            let score = soft_alignment::matrices(device, one, &mut similarities, &mut weights).unwrap();
            found[0].extend(similarities.as_slice());
            found[1].extend(weights.as_slice());
            found[2].push(score);
        }
        found
    }
}

fn pairs<'a>(
    width: usize,
    (a, a_offsets): (&'a Buffer<f32>, &'a [usize]),
    (b, b_offsets): (&'a Buffer<f32>, &'a [usize]),
) -> Pairs<'a> {
    let a = Side { vectors: a, offsets: a_offsets };
    Pairs { width, a, b: Side { vectors: b, offsets: b_offsets } }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |(width, lengths): (usize, &[(usize, usize)])| {
        let problem = Problem::new(width, lengths);
        let (plain, [similarities, weights]) = (problem.plain(), problem.plain_matrices());
        let oracle = vec![
            Expected::new("scores", plain.scores.clone(), TOLERANCE),
            Expected::new("da", plain.da, TOLERANCE_GRADIENT),
            Expected::new("db", plain.db, TOLERANCE_GRADIENT),
            Expected::new("similarities", similarities, TOLERANCE),
            Expected::new("weights", weights, TOLERANCE_WEIGHTS),
            Expected::new("scores again", plain.scores, TOLERANCE),
        ];
        let name = format!("soft_alignment {width} {lengths:?}");
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.map(case).into()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    const LENGTHS: [(usize, usize); 4] = [(1, 19), (31, 17), (2, 2), (9, 40)];
    const WIDTH: usize = 21;
    let problems = LENGTHS.map(|lengths| Problem::new(WIDTH, &[lengths]));
    let run = move |device: &Device, order: &[usize]| {
        let all = |values: fn(&Problem) -> &Vec<f32>| {
            gather(&problems.each_ref().map(|problem| values(problem).clone()), order)
        };
        let problem = Problem {
            width: WIDTH,
            lengths: order.iter().map(|&pair| LENGTHS[pair]).collect(),
            a: all(|problem| &problem.a),
            b: all(|problem| &problem.b),
            dscores: all(|problem| &problem.dscores),
        };
        let found = problem.fast(device);
        let parts = |result: usize, size: fn((usize, usize)) -> usize| {
            split(&found[result].values.bits(), problem.lengths.iter().map(|&lengths| size(lengths)))
        };
        let [scores, da, db] = [parts(0, |_| 1), parts(1, |(n, _)| n * WIDTH), parts(2, |(_, m)| m * WIDTH)];
        let joined = scores.into_iter().zip(da).zip(db);
        joined.map(|((score, da), db)| [score, da, db].concat()).collect()
    };
    vec![Invariance { name: "soft_alignment".to_owned(), sequences: LENGTHS.len(), run: Box::new(run) }]
}

pub(crate) fn gradients() -> Vec<Gradient> {
    const WIDTH: usize = 3;
    // No two numbers are nearer to each other than the steps of the differences.
    let a: Vec<f64> = (0..4 * WIDTH).map(|i| ((i * 5) % 13) as f64 * 0.1 - 0.6 + 0.03).collect();
    let b: Vec<f64> = (0..5 * WIDTH).map(|i| ((i * 7) % 17) as f64 * 0.1 - 0.8).collect();
    let forward = |values: &[Vec<f64>]| vec![cpu::matrices(WIDTH, &values[0], &values[1]).score];
    let backward = |values: &[Vec<f64>], dy: &[f64]| {
        let (mut da, mut db) = (vec![0.0; values[0].len()], vec![0.0; values[1].len()]);
        cpu::backward(WIDTH, (&values[0], &values[1]), dy[0], (&mut da, &mut db));
        vec![da, db]
    };
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    vec![Gradient { name: "soft_alignment".to_owned(), inputs: vec![("a", a), ("b", b)], forward, backward }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("soft_alignment");
    let lengths: Vec<(usize, usize)> = file.whole("first").into_iter().zip(file.whole("second")).collect();
    let (a, b, dscores) = (file.f32("a"), file.f32("b"), file.f32("dscores"));
    let width = a.len() / lengths.iter().map(|lengths| lengths.0).sum::<usize>();
    let problem = Problem { width, lengths, a, b, dscores };
    let golden = ["scores", "da", "db", "similarities", "weights", "scores"].map(|name| file.f64(name));
    let (plain, [similarities, weights]) = (problem.plain(), problem.plain_matrices());
    let exact = Tolerance { absolute: 1e-13, relative: 1e-12 };
    let found = [plain.scores, plain.da, plain.db, similarities, weights];
    for (found, golden) in found.iter().zip(&golden) {
        assert_close("soft_alignment", found, golden, exact);
    }
    for device in devices() {
        let tolerances =
            [TOLERANCE, TOLERANCE_GRADIENT, TOLERANCE_GRADIENT, TOLERANCE, TOLERANCE_WEIGHTS, TOLERANCE];
        for ((found, golden), tolerance) in problem.fast(device).iter().zip(&golden).zip(tolerances) {
            assert_close(found.what, &found.values.reals(), golden, tolerance);
        }
    }
}

#[test]
fn a_sequence_with_itself_has_no_distance_on_the_diagonal_and_both_sides_are_alike() {
    let (width, length) = (20, 23);
    let a = Inputs::new("soft_alignment itself").normal(length * width, 0.4);
    let problem = Problem { width, lengths: vec![(length, length)], b: a.clone(), a, dscores: vec![1.0] };
    for device in devices() {
        let [similarities, weights, scores] = problem.fast_matrices(device);
        for (i, j) in (0..length).flat_map(|i| (0..length).map(move |j| (i, j))) {
            let (here, there) = (i * length + j, j * length + i);
            assert_eq!(similarities[here].to_bits() << 1, similarities[there].to_bits() << 1);
            assert_eq!(similarities[here] == 0.0, i == j);
            assert!((weights[here] - weights[there]).abs() < 1e-6);
            assert!(i != j || weights[here] > 0.8, "{i}: {}", weights[here]);
        }
        assert!(scores[0] < 0.0 && scores[0] > -1.0, "{scores:?}");
        // What pulls on one side pulls as much on the other.
        let found = problem.fast(device);
        let (da, db) = (found[1].values.reals(), found[2].values.reals());
        assert_close("both sides", &da, &db, Tolerance { absolute: 1e-7, relative: 1e-4 });
        assert!(da.iter().any(|slope| slope.abs() > 1e-3));
    }
}

#[test]
fn what_is_not_a_number_is_seen_in_its_pair_alone() {
    for side in [0, 1] {
        let mut problem = Problem::new(9, &[(4, 20), (18, 3)]);
        let values = if side == 0 { &mut problem.a } else { &mut problem.b };
        values[10] = f32::NAN;
        for device in devices() {
            let found = problem.fast(device);
            let scores = found[0].values.reals();
            assert!(scores[0].is_nan() && scores[1].is_finite(), "{side}: {scores:?}");
            let da = found[1].values.reals();
            assert!(da[..4 * 9].iter().any(|slope| slope.is_nan()));
            assert!(da[4 * 9..].iter().all(|slope| slope.is_finite()));
        }
    }
}

#[test]
fn far_sequences_have_finite_scores() {
    let mut problem = Problem::new(8, &[(5, 40)]);
    problem.a.iter_mut().for_each(|value| *value *= 1e6);
    for device in devices() {
        for found in problem.fast(device) {
            assert!(found.values.reals().iter().all(|value| value.is_finite()), "{}", found.what);
        }
    }
}

#[test]
fn pairs_that_do_not_fit_are_refused() {
    let device = &devices()[0];
    let (a, b) = (device.zeros(6), device.zeros(4));
    let run = |width, first: &[usize], second: &[usize]| {
        let mut scores = device.zeros(first.len().saturating_sub(1));
        soft_alignment::forward(device, pairs(width, (&a, first), (&b, second)), &mut scores)
            .map_err(|error| error.to_string())
    };
    assert_eq!(run(2, &[0, 1, 3], &[0, 1, 2]), Ok(()));
    let empty = "soft_alignment: residues of a sequence, of at least one, is 0, wanted 1";
    assert_eq!(run(2, &[0, 3, 3], &[0, 1, 2]).unwrap_err(), empty);
    assert_eq!(run(2, &[0, 1, 3], &[0, 0, 2]).unwrap_err(), empty);
    let number = "soft_alignment: number of second sequences is 2, wanted 3";
    assert_eq!(run(2, &[0, 1, 3], &[0, 2]).unwrap_err(), number);
    assert!(run(0, &[0, 1, 3], &[0, 1, 2]).is_err() && run(2, &[0, 1, 2], &[0, 1, 2]).is_err());
    assert!(run(2, &[], &[0]).is_err());
    let (left, right) = ([0, 1, 3], [0, 1, 2]);
    let two = pairs(2, (&a, &left), (&b, &right));
    assert!(
        soft_alignment::matrices(device, two, &mut device.zeros(6), &mut device.zeros(6)).is_err(),
        "two pairs have no one matrix"
    );
}
