//! Proofs of contacts: maps mixed by attention, then corrected.

use pliant_kernels::ops::attention::{self, Mixture, TOLERANCE_MIXED};
use pliant_kernels::ops::contacts::{self, Evidence, Sizes, TOLERANCE};
use pliant_kernels::{Device, KernelError, Precision, Tolerance};
use pliant_tests::kernels::inputs::{Operand, gather, offsets, operand_reals, reals};
use pliant_tests::kernels::{Case, Expected, Fixture, Found, Inputs, Invariance, assert_close, devices};

/// Layers whose maps are mixed.
const LAYERS: usize = 2;

/// Heads, head widths and residues: one, around vectors and blocks of queries, several blocks.
const SHAPES: [(usize, usize, usize); 8] =
    [(1, 8, 1), (3, 16, 14), (2, 24, 15), (2, 16, 17), (1, 32, 31), (5, 16, 46), (2, 64, 47), (3, 16, 131)];

/// One sequence with a token before and one after its residues, between two others in a pack.
#[derive(Clone)]
struct Problem {
    sizes: attention::Sizes,
    precision: Precision,
    /// Tokens of the three sequences of the pack; the second is looked at.
    lengths: Vec<usize>,
    /// Queries and keys `[T,H·D]` of each layer.
    layers: Vec<[Vec<f32>; 2]>,
    weights: Vec<f32>,
    bias: f32,
}

impl Problem {
    fn new((heads, head_width, length): (usize, usize, usize), precision: Precision) -> Self {
        let mut inputs = Inputs::new(&format!("contacts {heads} {head_width} {length}"));
        let sizes = attention::Sizes { heads, head_width };
        let lengths = vec![3, length + 2, 5];
        let count = lengths.iter().sum::<usize>() * sizes.width();
        let layer = |inputs: &mut Inputs| {
            [1.0 / (head_width as f32).sqrt(), 1.0].map(|spread| inputs.normal(count, spread))
        };
        let layers = (0..LAYERS).map(|_| layer(&mut inputs)).collect();
        let weights = inputs.normal(LAYERS * heads, 2.0);
        Self { sizes, precision, lengths, layers, weights, bias: -0.75 }
    }

    fn residues(&self) -> usize {
        self.lengths[1] - 2
    }

    /// Map, margins and probabilities of the plain text.
    fn plain(&self) -> [Vec<f64>; 3] {
        let (heads, length, tokens) = (self.sizes.heads, self.residues(), self.lengths[1]);
        let (start, end) = (self.lengths[0], self.lengths[0] + tokens);
        let mut map = vec![0.0; length * length];
        let mut margins = Vec::new();
        for ([q, k], weights) in self.layers.iter().zip(self.weights.chunks_exact(heads)) {
            let [q, k] = [q, k].map(|values| operand_reals(self.precision, values));
            let (mut probs, mut sums) = (vec![0.0; heads * tokens * tokens], vec![0.0; heads * length]);
            attention::cpu::probs(self.sizes, (start, end), (&q, &k), &mut probs);
            let to = (&mut map[..], &mut sums[..]);
            attention::cpu::mix((heads, tokens), (1, length), &probs, &reals(weights), to);
            margins.extend(sums);
        }
        let sizes = Sizes { length, channels: self.weights.len() };
        let mut y = vec![0.0; length * length];
        let head = (&reals(&self.weights)[..], f64::from(self.bias));
        contacts::cpu::forward(sizes, (&map, &margins), head, &mut y);
        [map, margins, y]
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let (heads, length) = (self.sizes.heads, self.residues());
        let offsets = offsets(&self.lengths);
        let mut map = device.zeros::<f32>(length * length);
        let mut margins = Vec::new();
        for ([q, k], weights) in self.layers.iter().zip(self.weights.chunks_exact(heads)) {
            let [q, k] = [q, k].map(|values| Operand::upload(device, self.precision, values));
            let weights = device.upload(weights);
            let mut sums = device.upload(&vec![f32::NAN; heads * length]);
            let mixture = Mixture { weights: &weights, map: &mut map, sums: &mut sums };
            let sequence = (1, offsets[1] + 1..offsets[2] - 1);
            attention::mix(device, self.sizes, &offsets, sequence, (q.input(), k.input()), mixture).unwrap();
            margins.extend_from_slice(sums.as_slice());
        }
        let (margins, weights) = (device.upload(&margins), device.upload(&self.weights));
        let evidence = Evidence { map: &map, sums: &margins, weights: &weights, bias: self.bias };
        let mut y = device.upload(&vec![f32::NAN; length * length]);
        let sizes = Sizes { length, channels: self.weights.len() };
        contacts::forward(device, sizes, evidence, &mut y).unwrap();
        vec![Found::new("map", &map), Found::new("margins", &margins), Found::new("y", &y)]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |shape, precision| {
        let problem = Problem::new(shape, precision);
        let [map, margins, y] = problem.plain();
        let oracle = vec![
            Expected::new("map", map, TOLERANCE_MIXED),
            Expected::new("margins", margins, TOLERANCE_MIXED),
            Expected::new("y", y, TOLERANCE),
        ];
        let name = format!("contacts {} {shape:?}", precision.name());
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    let both = [Precision::F32, Precision::Bf16];
    both.into_iter().flat_map(|precision| SHAPES.map(|shape| case(shape, precision))).collect()
}

/// A sequence's contacts do not depend on the other sequences of its pack.
pub(crate) fn invariance() -> Vec<Invariance> {
    const LENGTHS: [usize; 3] = [33, 4, 60];
    let sizes = attention::Sizes { heads: 3, head_width: 16 };
    let mut inputs = Inputs::new("contacts of sequences");
    let [queries, keys]: [Vec<Vec<f32>>; 2] =
        [0.25, 1.0].map(|spread| LENGTHS.map(|length| inputs.normal(length * sizes.width(), spread)).into());
    let weights = inputs.normal(sizes.heads, 1.0);
    let run = move |device: &Device, order: &[usize]| {
        let [q, k] =
            [&queries, &keys].map(|rows| Operand::upload(device, Precision::F32, &gather(rows, order)));
        let offsets = offsets(&order.iter().map(|&sequence| LENGTHS[sequence]).collect::<Vec<_>>());
        let weights = device.upload(&weights);
        let one = |sequence: usize| {
            let tokens = offsets[sequence]..offsets[sequence + 1];
            let mut map = device.zeros::<f32>(tokens.len() * tokens.len());
            let mut sums = device.zeros::<f32>(sizes.heads * tokens.len());
            let mixture = Mixture { weights: &weights, map: &mut map, sums: &mut sums };
            let operands = (q.input(), k.input());
            attention::mix(device, sizes, &offsets, (sequence, tokens), operands, mixture).unwrap();
            [Found::new("map", &map), Found::new("sums", &sums)]
                .iter()
                .flat_map(|found| found.values.bits())
                .collect()
        };
        (0..order.len()).map(one).collect()
    };
    vec![Invariance { name: "contacts".to_owned(), sequences: LENGTHS.len(), run: Box::new(run) }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("contacts");
    let (q, k, weights) = (file.f32("q"), file.f32("k"), file.f32("weights"));
    let sizes = attention::Sizes { heads: 3, head_width: 8 };
    let tokens = q.len() / LAYERS / sizes.width();
    let layers = q.chunks_exact(tokens * 24).zip(k.chunks_exact(tokens * 24));
    // The pack of the problem has a sequence before and one after.
    let packed = |values: &[f32]| [&vec![0.5; 3 * 24][..], values, &vec![-0.5; 5 * 24][..]].concat();
    let problem = Problem {
        sizes,
        precision: Precision::F32,
        lengths: vec![3, tokens, 5],
        layers: layers.map(|(q, k)| [packed(q), packed(k)]).collect(),
        weights,
        bias: file.f32("bias")[0],
    };
    let exact = Tolerance { absolute: 1e-13, relative: 1e-12 };
    let [_, margins, y] = problem.plain();
    assert_close("margins", &margins, &file.f64("margins"), exact);
    assert_close("contacts", &y, &file.f64("y"), exact);
    for device in devices() {
        let found = problem.fast(device);
        assert_close("margins", &found[1].values.reals(), &file.f64("margins"), TOLERANCE_MIXED);
        assert_close("contacts", &found[2].values.reals(), &file.f64("y"), TOLERANCE);
    }
}

#[test]
fn contacts_are_symmetric_bit_for_bit() {
    let problem = Problem::new((3, 16, 77), Precision::F32);
    for device in devices() {
        let y = problem.fast(device)[2].values.bits();
        for (i, j) in (0..77).flat_map(|i| (0..i).map(move |j| (i, j))) {
            assert_eq!(y[i * 77 + j], y[j * 77 + i], "{} {i} {j}", device.describe());
        }
    }
}

#[test]
fn extreme_evidence_gives_probabilities() {
    for device in devices() {
        let map = device.upload(&[200.0_f32, 0.0, 0.0, -200.0]);
        let sums = device.zeros::<f32>(2);
        let weights = device.upload(&[1.0_f32]);
        let evidence = Evidence { map: &map, sums: &sums, weights: &weights, bias: 0.0 };
        let mut y = device.zeros::<f32>(4);
        contacts::forward(device, Sizes { length: 2, channels: 1 }, evidence, &mut y).unwrap();
        assert_eq!(y.as_slice()[..3], [1.0, 0.5, 0.5], "{}", device.describe());
        assert!(y.as_slice()[3] < 1e-37);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = &devices()[0];
    let sizes = attention::Sizes { heads: 2, head_width: 8 };
    let x = device.zeros::<f32>(5 * 16);
    let x = pliant_kernels::Input::F32(&x);
    let mix = |residues, weights: usize, map: usize, sums: usize| {
        let weights = device.zeros::<f32>(weights);
        let (mut map, mut sums) = (device.zeros::<f32>(map), device.zeros::<f32>(sums));
        let mixture = Mixture { weights: &weights, map: &mut map, sums: &mut sums };
        attention::mix(device, sizes, &[0, 2, 5], (1, residues), (x, x), mixture)
    };
    assert_eq!(mix(3..4, 2, 1, 2), Ok(()));
    assert!(matches!(mix(3..6, 2, 9, 6), Err(KernelError::Index { found: 6, .. })));
    assert!(matches!(mix(1..4, 2, 9, 6), Err(KernelError::Index { .. })));
    assert!(matches!(mix(3..5, 1, 4, 4), Err(KernelError::Size { .. })));
    assert!(matches!(mix(3..5, 2, 3, 4), Err(KernelError::Size { .. })));
    assert!(matches!(mix(3..5, 2, 4, 3), Err(KernelError::Size { .. })));
}
