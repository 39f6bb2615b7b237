//! The instructions behind bf16: every path must give the bits that the numerics class `x86fma-1`
//! promises, on random and on special numbers.

use pliant_kernels::bf16;
use pliant_kernels::cpu::shared::Shared;
use pliant_kernels::cpu::simd::{LANES, Simd, Task, Work};
use pliant_kernels::{CpuPath, Device};
use pliant_tests::kernels::case::assert_same_bits;
use pliant_tests::kernels::{Inputs, devices};

/// Vectors of one run: together 2^20 lanes, about a million cases.
const VECTORS: usize = 1 << 16;

/// Vectors of one piece of work.
const PIECE: usize = 1 << 10;

/// What is fed to the instructions: sums and pairs of bf16, one per lane.
struct Operands {
    sums: Vec<f32>,
    left: Vec<bf16>,
    right: Vec<bf16>,
}

struct DotPairs<'a> {
    operands: &'a Operands,
    results: Shared<'a, f32>,
}

impl Work for DotPairs<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Operands { sums, left, right } = self.operands;
        let (sums, left, right) = (sums.as_chunks::<LANES>().0, left.as_chunks().0, right.as_chunks().0);
        for vector in task.task * PIECE..(task.task + 1) * PIECE {
            let result =
                s.dot_pairs(s.load(&sums[vector]), s.load_pairs(&left[vector]), s.load_pairs(&right[vector]));
            // SAFETY: every vector belongs to one task.
            s.store_part(result, unsafe { self.results.part(vector * LANES, LANES) });
        }
    }
}

struct Round<'a> {
    values: &'a [f32],
    results: Shared<'a, bf16>,
}

impl Work for Round<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        for vector in task.task * PIECE..(task.task + 1) * PIECE {
            let value = s.load(&self.values.as_chunks::<LANES>().0[vector]);
            // SAFETY: every vector belongs to one task.
            let to = unsafe { self.results.part(vector * LANES, LANES) };
            s.store_bf16(value, to.as_chunks_mut().0.first_mut().unwrap());
        }
    }
}

fn dot_pairs(device: &Device, operands: &Operands) -> Vec<u32> {
    let Device::Cpu(cpu) = device else { panic!("{} is no processor", device.describe()) };
    let mut results = vec![0.0; operands.sums.len()];
    cpu.run(VECTORS / PIECE, &DotPairs { operands, results: Shared::new(&mut results) });
    results.into_iter().map(f32::to_bits).collect()
}

fn round(device: &Device, values: &[f32]) -> Vec<u32> {
    let Device::Cpu(cpu) = device else { panic!("{} is no processor", device.describe()) };
    let mut results = vec![bf16::ZERO; values.len()];
    cpu.run(VECTORS / PIECE, &Round { values, results: Shared::new(&mut results) });
    results.into_iter().map(|value| u32::from(value.to_bits())).collect()
}

fn one_thread() -> impl Iterator<Item = (CpuPath, &'static Device)> {
    let path = |device: &'static Device| match device {
        Device::Cpu(cpu) => (cpu.threads().count() == 1).then(|| (cpu.path(), device)),
        Device::Cuda(_) => None,
    };
    devices().iter().filter_map(path)
}

/// Zeros, denormals, the smallest and largest normal numbers, infinities and NaN, quiet and signalling,
/// of both signs, as bf16; as f32 they are the upper halves of words.
const SPECIAL: [u16; 11] =
    [0x0000, 0x0001, 0x007f, 0x0080, 0x3f80, 0x3f81, 0x7f7f, 0x7f80, 0x7f81, 0x7fc0, 0x7fff];

fn special(word: u32) -> u16 {
    SPECIAL[(word >> 1) as usize % SPECIAL.len()] | (word as u16) << 15
}

/// Random words in three kinds of lanes: any bits at all, numbers of size about one, special numbers.
fn operands() -> Operands {
    let mut inputs = Inputs::new("bf16 pairs");
    let length = VECTORS * LANES;
    let kinds = inputs.ids(length, 4);
    let (sums, left, right) = (inputs.words(length), inputs.words(2 * length), inputs.words(2 * length));
    let half = |kind: u32, word: u32| match kind {
        0 => word as u16,
        1 => 0x3e80 + (word as u16 & 0x81ff),
        2 => special(word),
        // Exponents near the bottom, so that products and sums fall below the normal numbers.
        _ => 0x1f00 + (word as u16 & 0x83ff),
    };
    let sum = |kind: u32, word: u32| match kind {
        0 => word,
        3 => 0x0080_0000 + (word & 0x81ff_ffff),
        _ => u32::from(half(kind, word)) << 16 | if kind == 1 { word >> 16 } else { 0 },
    };
    Operands {
        sums: sums.iter().zip(&kinds).map(|(&word, &kind)| f32::from_bits(sum(kind, word))).collect(),
        left: left.iter().enumerate().map(|(i, &word)| bf16::from_bits(half(kinds[i / 2], word))).collect(),
        right: right.iter().enumerate().map(|(i, &word)| bf16::from_bits(half(kinds[i / 2], word))).collect(),
    }
}

fn flush(value: f32) -> f32 {
    if value.is_subnormal() { 0.0_f32.copysign(value) } else { value }
}

/// The promise in IEEE arithmetic of the standard library: the odd product, then the even one, each by
/// one fused multiply-add whose operands and result count as zero when they are denormal.
fn promised(sum: f32, left: &[bf16], right: &[bf16]) -> f32 {
    let wide = |value: bf16| flush(f32::from_bits(u32::from(value.to_bits()) << 16));
    let odd = flush(wide(left[1]).mul_add(wide(right[1]), flush(sum)));
    flush(wide(left[0]).mul_add(wide(right[0]), odd))
}

#[test]
fn pair_products_have_the_same_bits_on_every_path() {
    let operands = operands();
    let mut first: Option<(CpuPath, Vec<u32>)> = None;
    for (path, device) in one_thread().filter(|(path, _)| path.numerics() == "x86fma-1") {
        let found = dot_pairs(device, &operands);
        let (against, wanted) = first.get_or_insert_with(|| (path, found.clone()));
        assert_same_bits(&format!("products on {} and {}", path.name(), against.name()), &found, wanted);
    }
}

#[test]
fn pair_products_are_two_fused_multiply_adds() {
    let operands = operands();
    let pairs = operands.left.chunks_exact(2).zip(operands.right.chunks_exact(2));
    let wanted: Vec<f32> =
        operands.sums.iter().zip(pairs).map(|(&sum, (left, right))| promised(sum, left, right)).collect();
    let numbers = wanted.iter().filter(|value| value.is_normal()).count();
    assert!(numbers > wanted.len() / 4, "only {numbers} cases give normal numbers");
    for (path, device) in one_thread().filter(|(path, _)| path.numerics() == "x86fma-1") {
        for (place, (found, wanted)) in dot_pairs(device, &operands).into_iter().zip(&wanted).enumerate() {
            let same = found == wanted.to_bits() || (f32::from_bits(found).is_nan() && wanted.is_nan());
            let (left, right) = (&operands.left[2 * place..][..2], &operands.right[2 * place..][..2]);
            let sum = operands.sums[place];
            assert!(
                same,
                "{}: {sum:e} + {left:?}·{right:?} = {found:08x}, wanted {:08x}",
                path.name(),
                wanted.to_bits()
            );
        }
    }
}

#[test]
fn rounding_to_bf16_has_the_same_bits_on_every_path() {
    let length = VECTORS * LANES;
    let mut inputs = Inputs::new("bf16 rounding");
    let (words, kinds) = (inputs.words(length), inputs.ids(length, 4));
    let bits = words.iter().zip(kinds).map(|(&word, kind)| match kind {
        // Ties and their neighbours, whatever the upper half.
        0 => word & 0xffff_0000 | [0x7fff, 0x8000, 0x8001, 0x0000][word as usize % 4],
        1 => u32::from(special(word)) << 16 | [0, 1, 0x7fff, 0xffff][(word >> 8) as usize % 4],
        2 => word & 0x80ff_ffff,
        _ => word,
    });
    let values: Vec<f32> = bits.map(f32::from_bits).collect();
    let wanted: Vec<u32> =
        values.iter().map(|&value| u32::from(bf16::from_f32(flush(value)).to_bits())).collect();
    for (path, device) in one_thread() {
        let found = round(device, &values);
        for (place, (&found, &wanted)) in found.iter().zip(&wanted).enumerate() {
            let bits = values[place].to_bits();
            assert_eq!(found, wanted, "{}: {bits:08x} gives {found:04x}, wanted {wanted:04x}", path.name());
        }
    }
}
