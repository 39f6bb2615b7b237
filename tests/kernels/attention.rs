//! Proofs of attention.

use pliant_kernels::ops::attention::{
    self, Grads, LARGE_SCORES, Saved, Sizes, TOLERANCE, TOLERANCE_BACKWARD, TOLERANCE_BF16, TOLERANCE_LSE,
    TOLERANCE_PROBS, cpu,
};
use pliant_kernels::{Buffer, Device, Input, KernelError, Output, Precision, Tolerance, bf16};
use pliant_tests::kernels::compare::narrowed;
use pliant_tests::kernels::inputs::{Operand, gather, offsets, operand_reals, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// One, around vectors, panels and the blocks of all directions, and long ones.
const LONG: &[usize] = &[1, 2, 15, 16, 17, 31, 32, 33, 511, 512, 513, 1100];

/// The same without the long ones, with an empty sequence and around the blocks of the backward.
const SHORT: &[usize] = &[1, 2, 15, 0, 16, 17, 31, 32, 33, 47, 48, 49, 97, 112, 113, 193];

/// Heads and head widths with the lengths of the sequences: the published models', tiny ones, odd ones.
const PACKS: [(usize, usize, &[usize]); 11] = [
    (1, 24, LONG),
    (3, 8, SHORT),
    (3, 16, SHORT),
    (2, 24, SHORT),
    (1, 32, SHORT),
    (1, 64, SHORT),
    (1, 128, SHORT),
    (2, 64, &[513]),
    (1, 128, &[3, 530]),
    (5, 40, &[33]),
    (1, 104, &[20, 65]),
];

/// The pack of large and of equal scores.
const SPECIAL: (usize, usize, &[usize]) = (2, 24, &[1, 50, 530]);

/// How the scores of a query differ.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scores {
    /// By about one.
    Usual,
    /// From some -80 to some 80.
    Large,
    /// Not at all.
    Equal,
}

/// Numbers of one case.
#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    offsets: Vec<usize>,
    precision: Precision,
    scores: Scores,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    dout: Vec<f32>,
}

/// Results of the plain forward on rounded operands.
struct Plain {
    out: Vec<f64>,
    lse: Vec<f64>,
}

impl Problem {
    fn new(
        (heads, head_width, lengths): (usize, usize, &[usize]),
        precision: Precision,
        scores: Scores,
    ) -> Self {
        let mut inputs = Inputs::new(&format!("attention {heads} {head_width} {lengths:?}"));
        let offsets = offsets(lengths);
        let sizes = Sizes { heads, head_width };
        let count = offsets[lengths.len()] * sizes.width();
        let spread = if scores == Scores::Large { 22.0 } else { 1.0 } / (head_width as f32).sqrt();
        let [mut q, mut k, v, dout] = [spread, 1.0, 1.0, 1.0].map(|spread| inputs.normal(count, spread));
        if scores == Scores::Equal {
            // In every column all keys are equal or all queries are zero.
            for place in 0..count {
                let column = place % sizes.width();
                if column.is_multiple_of(2) { k[place] = k[column] } else { q[place] = 0.0 }
            }
        }
        Self { sizes, offsets, precision, scores, q, k, v, dout }
    }

    fn name(&self) -> String {
        let Sizes { heads, head_width } = self.sizes;
        let lengths: Vec<usize> = self.offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
        format!(
            "attention {} {heads}x{head_width} {lengths:?} {:?} scores",
            self.precision.name(),
            self.scores
        )
    }

    /// A tolerance of 32-bit arithmetic at this problem's scores.
    fn at_scores(&self, Tolerance { absolute, relative }: Tolerance) -> Tolerance {
        let factor = if self.scores == Scores::Large { LARGE_SCORES } else { 1.0 };
        Tolerance { absolute: absolute * factor, relative: relative * factor }
    }

    fn tolerance(&self) -> Tolerance {
        match self.precision {
            Precision::F32 => self.at_scores(TOLERANCE),
            Precision::Bf16 | Precision::Int8 => TOLERANCE_BF16,
        }
    }

    fn operands(&self) -> [Vec<f64>; 3] {
        [&self.q, &self.k, &self.v].map(|values| operand_reals(self.precision, values))
    }

    fn plain(&self) -> Plain {
        let [q, k, v] = self.operands();
        let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; q.len() / self.sizes.head_width]);
        cpu::forward(self.sizes, &self.offsets, (&q, &k, &v), &mut out, &mut lse);
        Plain { out, lse }
    }

    /// Gradients of the plain backward with what the forward would have kept.
    fn plain_grads(&self, out: &[f64], lse: &[f64]) -> [Vec<f64>; 3] {
        let [q, k, v] = self.operands();
        let saved = cpu::Saved { q: &q, k: &k, v: &v, out, lse };
        let mut grads = [(); 3].map(|()| vec![f64::NAN; q.len()]);
        let [dq, dk, dv] = &mut grads;
        cpu::backward(self.sizes, &self.offsets, saved, &reals(&self.dout), (dq, dk, dv));
        grads
    }

    fn upload(&self, device: &Device) -> [Operand; 3] {
        [&self.q, &self.k, &self.v].map(|values| Operand::upload(device, self.precision, values))
    }

    fn forward(&self, device: &Device) -> Vec<Found> {
        let [q, k, v] = self.upload(device);
        let operands = (q.input(), k.input(), v.input());
        let mut out = device.zeros::<f32>(self.q.len());
        let mut narrow = device.zeros::<bf16>(self.q.len());
        let mut lse = device.zeros(self.q.len() / self.sizes.head_width);
        attention::forward(
            device,
            self.sizes,
            &self.offsets,
            operands,
            Output::F32(&mut out),
            Some(&mut lse),
        )
        .unwrap();
        let target = Output::Bf16(&mut narrow);
        attention::forward(device, self.sizes, &self.offsets, operands, target, None).unwrap();
        vec![Found::new("out", &out), Found::new("out in bf16", &narrow), Found::new("lse", &lse)]
    }

    /// Gradients, with what the forward would have kept; the buffers hold something else before.
    fn backward(&self, device: &Device, out: Input<'_>, lse: &Buffer<f32>) -> Vec<Found> {
        let [q, k, v] = self.upload(device);
        let dout = device.upload(&self.dout);
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| device.upload(&vec![f32::NAN; self.q.len()]));
        let saved = Saved { q: q.input(), k: k.input(), v: v.input(), out, lse };
        let grads = Grads { dq: &mut dq, dk: &mut dk, dv: &mut dv };
        attention::backward(device, self.sizes, &self.offsets, saved, &dout, grads).unwrap();
        vec![Found::new("dq", &dq), Found::new("dk", &dk), Found::new("dv", &dv)]
    }

    fn probs(&self, device: &Device, sequence: usize) -> Buffer<f32> {
        let [q, k, _] = self.upload(device);
        let length = self.offsets[sequence + 1] - self.offsets[sequence];
        let mut out = device.upload(&vec![f32::NAN; self.sizes.heads * length * length]);
        attention::probs(device, self.sizes, &self.offsets, sequence, q.input(), k.input(), &mut out)
            .unwrap();
        out
    }
}

/// The same numbers in 32 bits.
fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// Forward and backward. The backward is proven by itself: plain and fast text are given the same `out`
/// and `lse`, rounded to the operands' type and to f32.
fn both_directions(problem: Problem) -> Case {
    let plain = problem.plain();
    let (out, lse) = (narrow(&plain.out), narrow(&plain.lse));
    let [dq, dk, dv] = problem.plain_grads(&operand_reals(problem.precision, &out), &reals(&lse));
    let oracle = vec![
        Expected::new("out", plain.out.clone(), problem.tolerance()),
        Expected::new("out in bf16", plain.out, narrowed(problem.tolerance())),
        Expected::new("lse", plain.lse, problem.at_scores(TOLERANCE_LSE)),
        Expected::new("dq", dq, problem.at_scores(TOLERANCE_BACKWARD)),
        Expected::new("dk", dk, problem.at_scores(TOLERANCE_BACKWARD)),
        Expected::new("dv", dv, problem.at_scores(TOLERANCE_BACKWARD)),
    ];
    let name = problem.name();
    let fast = move |device: &Device| {
        let mut found = problem.forward(device);
        let out = Operand::upload(device, problem.precision, &out);
        found.extend(problem.backward(device, out.input(), &device.upload(&lse)));
        found
    };
    Case { name, fast: Box::new(fast), oracle }
}

/// Maps of the last sequence of a pack.
fn maps(problem: Problem) -> Case {
    let [q, k, _] = problem.operands();
    let sequence = problem.offsets.len() - 2;
    let (start, end) = (problem.offsets[sequence], problem.offsets[sequence + 1]);
    let mut probs = vec![0.0; problem.sizes.heads * (end - start).pow(2)];
    cpu::probs(problem.sizes, (start, end), (&q, &k), &mut probs);
    let oracle = vec![Expected::new("probs", probs, problem.at_scores(TOLERANCE_PROBS))];
    let name = format!("{} maps", problem.name());
    let fast = move |device: &Device| vec![Found::new("probs", &problem.probs(device, sequence))];
    Case { name, fast: Box::new(fast), oracle }
}

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

pub(crate) fn parity() -> Vec<Case> {
    let mut cases = Vec::new();
    for precision in PRECISIONS {
        let usual = PACKS.map(|pack| Problem::new(pack, precision, Scores::Usual));
        let special = [Scores::Large, Scores::Equal].map(|scores| Problem::new(SPECIAL, precision, scores));
        for problem in usual.into_iter().chain(special) {
            cases.push(maps(problem.clone()));
            cases.push(both_directions(problem));
        }
    }
    cases
}

pub(crate) fn invariance() -> Vec<Invariance> {
    [((3, 24), Precision::F32), ((2, 16), Precision::Bf16), ((1, 40), Precision::Bf16)]
        .map(|(shape, precision)| alone_or_together(shape, precision))
        .into()
}

fn alone_or_together((heads, head_width): (usize, usize), precision: Precision) -> Invariance {
    const LENGTHS: [usize; 5] = [1, 31, 2, 530, 70];
    let sizes = Sizes { heads, head_width };
    let mut inputs = Inputs::new("attention sequences");
    let mut sequences =
        || LENGTHS.map(|length| inputs.normal(length * sizes.width(), 1.0 / (head_width as f32).sqrt()));
    let [q, k, v, dout] = [(); 4].map(|()| sequences());
    let run = move |device: &Device, order: &[usize]| {
        let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
        let [q, k, v, dout] = [&q, &k, &v, &dout].map(|values| gather(values, order));
        let problem =
            Problem { sizes, offsets: offsets(&lengths), precision, scores: Scores::Usual, q, k, v, dout };
        let mut found = problem.forward(device);
        let [out, lse] = [0, 2].map(|result: usize| narrow(&found[result].values.reals()));
        found.extend(problem.backward(device, Input::F32(&device.upload(&out)), &device.upload(&lse)));
        let columns = |found: &Found| if found.what == "lse" { heads } else { sizes.width() };
        let mut bits = vec![Vec::new(); order.len()];
        for found in &found {
            let parts = split(&found.values.bits(), lengths.iter().map(|length| length * columns(found)));
            bits.iter_mut().zip(parts).for_each(|(bits, part)| bits.extend(part));
        }
        for (sequence, bits) in bits.iter_mut().enumerate() {
            bits.extend(Found::new("probs", &problem.probs(device, sequence)).values.bits());
        }
        bits
    };
    let name = format!("attention {} {heads}x{head_width}", precision.name());
    Invariance { name, sequences: LENGTHS.len(), run: Box::new(run) }
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let problem = Problem::new((2, 3, &[1, 3, 0, 4]), Precision::F32, Scores::Usual);
    let Problem { sizes, offsets, .. } = problem.clone();
    let plain = move |values: &[Vec<f64>]| {
        let (mut out, mut lse) = (vec![0.0; 48], vec![0.0; 16]);
        cpu::forward(sizes, &offsets, (&values[0], &values[1], &values[2]), &mut out, &mut lse);
        (out, lse)
    };
    let again = plain.clone();
    let backward = move |values: &[Vec<f64>], dout: &[f64]| {
        let (out, lse) = again(values);
        let saved = cpu::Saved { q: &values[0], k: &values[1], v: &values[2], out: &out, lse: &lse };
        let mut grads = [(); 3].map(|()| vec![f64::NAN; 48]);
        let [dq, dk, dv] = &mut grads;
        cpu::backward(sizes, &problem.offsets, saved, dout, (dq, dk, dv));
        grads.into()
    };
    let inputs = vec![("q", reals(&problem.q)), ("k", reals(&problem.k)), ("v", reals(&problem.v))];
    let forward = Box::new(move |values: &[Vec<f64>]| plain(values).0);
    vec![Gradient { name: "attention".to_owned(), inputs, forward, backward: Box::new(backward) }]
}

#[test]
fn large_scores_are_large_and_equal_ones_equal() {
    for precision in PRECISIONS {
        let large = Problem::new(SPECIAL, precision, Scores::Large).plain().lse;
        let largest = large.iter().copied().fold(0.0, f64::max);
        assert!(largest > 80.0 && largest < 120.0, "{largest}");
        let equal = Problem::new(SPECIAL, precision, Scores::Equal);
        let maps = equal.probs(&devices()[0], 2);
        assert!(maps.as_slice().iter().all(|&p| p.to_bits() == (1.0_f32 / 530.0).to_bits()));
    }
}

#[test]
fn maps_sum_to_one_and_give_the_forward() {
    for device in devices() {
        let problem = Problem::new((2, 24, &[7, 200]), Precision::F32, Scores::Usual);
        let (length, width) = (200, problem.sizes.width());
        let maps = problem.probs(device, 1);
        let out = problem.forward(device)[0].values.reals();
        for (index, map) in maps.as_slice().chunks_exact(length).enumerate() {
            let sum: f64 = map.iter().map(|&p| f64::from(p)).sum();
            assert!((sum - 1.0).abs() < 1e-6, "row {index} sums to {sum}");
            let (head, query) = (index / length, index % length);
            for column in head * 24..(head + 1) * 24 {
                let value = |key: usize| f64::from(problem.v[(7 + key) * width + column]);
                let sum: f64 = map.iter().enumerate().map(|(key, &p)| f64::from(p) * value(key)).sum();
                assert_close("maps times values", &[out[(7 + query) * width + column]], &[sum], TOLERANCE);
            }
        }
    }
}

#[test]
fn memory_is_linear_in_the_length() {
    let used = |length: usize| {
        let device = Device::cpu(2).unwrap();
        let problem = Problem::new((1, 8, &[length]), Precision::F32, Scores::Usual);
        let (out, lse) = (device.zeros(problem.q.len()), device.zeros(length));
        problem.forward(&device);
        problem.backward(&device, Input::F32(&out), &lse);
        device.pool().free_bytes()
    };
    let (short, long) = (used(1000), used(4000));
    assert!(long < 5 * short, "{long} bytes at length 4000, {short} at 1000");
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("attention");
    let [q, k, v, dout] = ["q_turned", "k_turned", "v", "dout"].map(|name| file.f32(name));
    let (heads, offsets) = (file.whole("heads")[0], offsets(&file.whole("lengths")));
    let sizes = Sizes { heads, head_width: q.len() / heads / offsets[offsets.len() - 1] };
    let problem = Problem { sizes, offsets, precision: Precision::F32, scores: Scores::Usual, q, k, v, dout };
    let plain = problem.plain();
    let exact = Tolerance { absolute: 1e-12, relative: 1e-12 };
    assert_close("attention out", &plain.out, &file.f64("out"), exact);
    assert_close("attention lse", &plain.lse, &file.f64("lse"), exact);
    let names = ["dq_turned", "dk_turned", "dv"];
    for (name, grad) in names.iter().zip(&problem.plain_grads(&plain.out, &plain.lse)) {
        assert_close(name, grad, &file.f64(name), exact);
    }
    let probs = file.f64("probs");
    for device in devices() {
        let found = problem.forward(device);
        assert_close("attention out", &found[0].values.reals(), &file.f64("out"), TOLERANCE);
        assert_close("attention lse", &found[2].values.reals(), &file.f64("lse"), TOLERANCE_LSE);
        let [out, lse] = [0, 2].map(|result: usize| device.upload(&narrow(&found[result].values.reals())));
        let grads = problem.backward(device, Input::F32(&out), &lse);
        for (name, grad) in names.iter().zip(&grads) {
            assert_close(name, &grad.values.reals(), &file.f64(name), TOLERANCE_BACKWARD);
        }
        let maps = (0..problem.offsets.len() - 1).map(|sequence| problem.probs(device, sequence));
        let maps: Vec<f64> = maps.flat_map(|map| reals(map.as_slice())).collect();
        assert_close("attention probs", &maps, &probs, TOLERANCE_PROBS);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = &devices()[0];
    let run = |sizes: Sizes, offsets: &[usize], tokens: usize, out: usize, lse: usize| {
        let x = device.zeros::<f32>(tokens * sizes.width());
        let (mut out, mut lse) = (device.zeros::<f32>(out * sizes.width()), device.zeros(lse));
        let operands = (Input::F32(&x), Input::F32(&x), Input::F32(&x));
        attention::forward(device, sizes, offsets, operands, Output::F32(&mut out), Some(&mut lse))
    };
    let sizes = Sizes { heads: 2, head_width: 8 };
    assert_eq!(run(sizes, &[0, 3, 3], 3, 3, 6), Ok(()));
    assert_eq!(run(sizes, &[0, 0], 0, 0, 0), Ok(()));
    let refused: [(Sizes, &[usize], usize, usize, usize); 9] = [
        (sizes, &[0, 3], 2, 3, 6),
        (sizes, &[0, 3], 3, 2, 6),
        (sizes, &[0, 3], 3, 3, 5),
        (sizes, &[1, 3], 3, 3, 6),
        (sizes, &[0, 3, 2, 3], 3, 3, 6),
        (sizes, &[], 3, 3, 6),
        (Sizes { heads: 0, head_width: 8 }, &[0, 3], 3, 3, 0),
        (Sizes { heads: 1, head_width: 12 }, &[0, 3], 3, 3, 3),
        (Sizes { heads: 1, head_width: 136 }, &[0, 3], 3, 3, 3),
    ];
    for (sizes, offsets, tokens, out, lse) in refused {
        let result = run(sizes, offsets, tokens, out, lse);
        assert!(result.is_err(), "{sizes:?} {offsets:?} {tokens} {out} {lse}");
    }
    let (x, narrow) = (device.zeros::<f32>(48), device.zeros::<bf16>(48));
    let mut maps = device.zeros(18);
    let mixed = attention::probs(device, sizes, &[0, 3], 0, Input::F32(&x), Input::Bf16(&narrow), &mut maps);
    assert!(matches!(mixed, Err(KernelError::Unsupported { .. })));
    let probs = |sequence: usize, maps: &mut Buffer<f32>| {
        attention::probs(device, sizes, &[0, 3], sequence, Input::F32(&x), Input::F32(&x), maps)
    };
    assert_eq!(probs(0, &mut maps), Ok(()));
    assert!(matches!(probs(1, &mut maps), Err(KernelError::Index { found: 1, limit: 1, .. })));
    assert!(matches!(probs(0, &mut device.zeros(17)), Err(KernelError::Size { .. })));
}

#[test]
fn the_backward_refuses_what_does_not_fit() {
    let device = &devices()[0];
    let sizes = Sizes { heads: 2, head_width: 8 };
    let run = |lengths: [usize; 9]| {
        let [q, k, v, out, lse, dout, mut dq, mut dk, mut dv] =
            lengths.map(|length| device.zeros::<f32>(length));
        let (q, k, v, out) = (Input::F32(&q), Input::F32(&k), Input::F32(&v), Input::F32(&out));
        let saved = Saved { q, k, v, out, lse: &lse };
        let grads = Grads { dq: &mut dq, dk: &mut dk, dv: &mut dv };
        attention::backward(device, sizes, &[0, 1, 3], saved, &dout, grads)
    };
    let right = [48, 48, 48, 48, 6, 48, 48, 48, 48];
    assert_eq!(run(right), Ok(()));
    for place in 0..right.len() {
        let mut wrong = right;
        wrong[place] += 1;
        assert!(matches!(run(wrong), Err(KernelError::Size { .. })), "buffer {place}");
    }
}
