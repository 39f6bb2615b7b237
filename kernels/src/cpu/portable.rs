//! Sixteen lanes in an array: any processor.

use super::CpuPath;
use super::simd::{LANES, Simd};
use half::bf16;

/// The path without named instructions.
#[derive(Clone, Copy)]
pub(super) struct Portable;

type Lanes = [f32; LANES];

#[inline(always)]
fn map2(a: Lanes, b: Lanes, f: impl Fn(f32, f32) -> f32) -> Lanes {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

/// Rounds to the nearest bf16, ties to even; a denormal becomes a zero of its sign and what is not a
/// number stays so, as `vcvtneps2bf16` does.
#[inline(always)]
pub(super) fn round_bf16(value: f32) -> bf16 {
    let bits = value.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return bf16::from_bits((bits >> 16) as u16 | 0x40);
    }
    if magnitude < 0x0080_0000 {
        return bf16::from_bits((bits >> 16) as u16 & 0x8000);
    }
    bf16::from_bits(((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16)
}

#[inline(always)]
fn halves(pair: u32) -> (f32, f32) {
    (f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000))
}

// On x86-64 this path only serves old processors and comparisons: there sixteen calls of a software
// multiply-add are not worth being copied into every kernel, so the longer operations stay functions.
impl Simd for Portable {
    type F = Lanes;
    type Pairs = [u32; LANES];
    type Sums = [i32; LANES];
    type Quads = [[i32; 4]; LANES];
    const ROWS: usize = 4;
    const VECTORS: usize = 1;
    const PATH: CpuPath = CpuPath::Portable;

    #[inline(always)]
    fn splat(self, value: f32) -> Lanes {
        [value; LANES]
    }
    #[inline(always)]
    fn load(self, values: &Lanes) -> Lanes {
        *values
    }
    #[inline(always)]
    fn store(self, value: Lanes, to: &mut Lanes) {
        *to = value;
    }
    #[inline(always)]
    fn load_bf16(self, values: &[bf16; LANES]) -> Lanes {
        values.map(|value| f32::from_bits(u32::from(value.to_bits()) << 16))
    }
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    fn store_bf16(self, value: Lanes, to: &mut [bf16; LANES]) {
        *to = value.map(round_bf16);
    }
    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, |a, b| a * b)
    }
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, |a, b| a / b)
    }
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    fn sqrt(self, a: Lanes) -> Lanes {
        a.map(f32::sqrt)
    }
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, |a, b| if a > b { a } else { b })
    }
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        map2(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn abs(self, a: Lanes) -> Lanes {
        a.map(f32::abs)
    }
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    fn add_exponent(self, value: Lanes, steps: Lanes) -> Lanes {
        map2(value, steps, |value, steps| f32::from_bits(value.to_bits().wrapping_add(steps.to_bits() << 23)))
    }
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    fn keep_if_less(self, a: Lanes, b: Lanes, value: Lanes) -> Lanes {
        std::array::from_fn(|lane| if a[lane] < b[lane] { value[lane] } else { 0.0 })
    }
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    fn less(self, a: Lanes, b: Lanes) -> u16 {
        (0..LANES).fold(0, |bits, lane| bits | u16::from(a[lane] < b[lane]) << lane)
    }
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    fn load_pairs(self, values: &[bf16; 2 * LANES]) -> [u32; LANES] {
        std::array::from_fn(|lane| {
            u32::from(values[2 * lane].to_bits()) | u32::from(values[2 * lane + 1].to_bits()) << 16
        })
    }
    #[inline(always)]
    fn splat_pair(self, pair: u32) -> [u32; LANES] {
        [pair; LANES]
    }
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    fn dot_pairs(self, acc: Lanes, a: [u32; LANES], b: [u32; LANES]) -> Lanes {
        std::array::from_fn(|lane| {
            let ((even, odd), (with_even, with_odd)) = (halves(a[lane]), halves(b[lane]));
            even.mul_add(with_even, odd.mul_add(with_odd, acc[lane]))
        })
    }
    #[inline(always)]
    fn load_sums(self, values: &[i32; LANES]) -> [i32; LANES] {
        *values
    }
    #[inline(always)]
    fn round_sums(self, sums: [i32; LANES]) -> Lanes {
        sums.map(|sum| sum as f32)
    }
    #[inline(always)]
    fn load_quads(self, values: &[i8; 4 * LANES]) -> [[i32; 4]; LANES] {
        std::array::from_fn(|lane| std::array::from_fn(|byte| i32::from(values[4 * lane + byte])))
    }
    #[inline(always)]
    fn splat_quad(self, quad: u32) -> [[i32; 4]; LANES] {
        [quad.to_le_bytes().map(i32::from); LANES]
    }
    #[inline(always)]
    fn dot_quads(self, acc: [i32; LANES], a: [[i32; 4]; LANES], b: [[i32; 4]; LANES]) -> [i32; LANES] {
        std::array::from_fn(|lane| a[lane].iter().zip(&b[lane]).fold(acc[lane], |sum, (a, b)| sum + a * b))
    }
    #[inline(always)]
    fn store_bytes(self, value: Lanes, to: &mut [u8; LANES]) {
        *to = value.map(|value| (value.round_ties_even() as i32 + 128) as u8);
    }
}
