//! Sixteen lanes in two 256-bit registers.

use super::CpuPath;
use super::simd::{LANES, Simd};
use half::bf16;
use std::arch::x86_64::*;

/// Whether the processor and the operating system have 256-bit vectors with fused multiply-add.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// 256-bit vectors with fused multiply-add.
#[derive(Clone, Copy)]
pub(super) struct Avx2;

type Lanes = [__m256; 2];
type Pairs = [__m256i; 2];
/// Eight lanes each: their even and their odd bytes as 16-bit numbers, so that products are exact.
type Quads = [[__m256i; 2]; 2];

#[inline(always)]
fn each(a: Lanes, b: Lanes, f: impl Fn(__m256, __m256) -> __m256) -> Lanes {
    [f(a[0], b[0]), f(a[1], b[1])]
}

/// Eight sums and the products of their four bytes.
#[inline(always)]
fn add_quads(acc: __m256i, a: [__m256i; 2], b: [__m256i; 2]) -> __m256i {
    vector!({
        let sums = _mm256_add_epi32(_mm256_madd_epi16(a[0], b[0]), _mm256_madd_epi16(a[1], b[1]));
        _mm256_add_epi32(acc, sums)
    })
}

/// Rounds eight values to bf16 in the low half of each lane, as `portable::round_bf16` does.
#[inline(always)]
fn round(value: __m256) -> __m256i {
    vector!({
        let bits = _mm256_castps_si256(value);
        let magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fff_ffff));
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
        let rounded = _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, bias));
        let cut = _mm256_srli_epi32::<16>(bits);
        let quiet = _mm256_or_si256(cut, _mm256_set1_epi32(0x40));
        let zero = _mm256_and_si256(cut, _mm256_set1_epi32(0x8000));
        // Magnitudes have no sign bit, so signed comparisons are right.
        let is_nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f80_0000));
        let is_tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x0080_0000), magnitude);
        let result = _mm256_blendv_epi8(rounded, quiet, is_nan);
        _mm256_blendv_epi8(result, zero, is_tiny)
    })
}

#[inline(always)]
fn dot(acc: __m256, a: __m256i, b: __m256i) -> __m256 {
    vector!({
        let high = _mm256_set1_epi32(0xffff_0000_u32.cast_signed());
        let odd = (_mm256_and_si256(a, high), _mm256_and_si256(b, high));
        let even = (_mm256_slli_epi32::<16>(a), _mm256_slli_epi32::<16>(b));
        let acc = _mm256_fmadd_ps(_mm256_castsi256_ps(odd.0), _mm256_castsi256_ps(odd.1), acc);
        _mm256_fmadd_ps(_mm256_castsi256_ps(even.0), _mm256_castsi256_ps(even.1), acc)
    })
}

impl Simd for Avx2 {
    type F = Lanes;
    type Pairs = Pairs;
    type Sums = Pairs;
    type Quads = Quads;
    const ROWS: usize = 6;
    const VECTORS: usize = 1;
    const PATH: CpuPath = CpuPath::Avx2;

    #[inline(always)]
    fn splat(self, value: f32) -> Lanes {
        vector!([_mm256_set1_ps(value); 2])
    }
    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> Lanes {
        vector!([_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8))])
    }
    #[inline(always)]
    fn store(self, value: Lanes, to: &mut [f32; LANES]) {
        vector!({
            _mm256_storeu_ps(to.as_mut_ptr(), value[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), value[1]);
        });
    }
    #[inline(always)]
    fn load_bf16(self, values: &[bf16; LANES]) -> Lanes {
        vector!({
            let widen = |halves| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)));
            let from: *const __m128i = values.as_ptr().cast();
            [widen(_mm_loadu_si128(from)), widen(_mm_loadu_si128(from.add(1)))]
        })
    }
    #[inline(always)]
    fn store_bf16(self, value: Lanes, to: &mut [bf16; LANES]) {
        vector!({
            // The pack interleaves 128-bit halves; the permutation puts them back in order.
            let packed = _mm256_packus_epi32(round(value[0]), round(value[1]));
            let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), ordered);
        });
    }
    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        each(
            a,
            b,
            #[inline(always)]
            |a, b| vector!(_mm256_add_ps(a, b)),
        )
    }
    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        each(
            a,
            b,
            #[inline(always)]
            |a, b| vector!(_mm256_sub_ps(a, b)),
        )
    }
    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        each(
            a,
            b,
            #[inline(always)]
            |a, b| vector!(_mm256_mul_ps(a, b)),
        )
    }
    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        each(
            a,
            b,
            #[inline(always)]
            |a, b| vector!(_mm256_div_ps(a, b)),
        )
    }
    #[inline(always)]
    fn sqrt(self, a: Lanes) -> Lanes {
        vector!([_mm256_sqrt_ps(a[0]), _mm256_sqrt_ps(a[1])])
    }
    #[inline(always)]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        vector!([_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])])
    }
    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        each(
            a,
            b,
            #[inline(always)]
            |a, b| vector!(_mm256_max_ps(a, b)),
        )
    }
    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        each(
            a,
            b,
            #[inline(always)]
            |a, b| vector!(_mm256_min_ps(a, b)),
        )
    }
    #[inline(always)]
    fn abs(self, a: Lanes) -> Lanes {
        vector!({
            let sign = _mm256_set1_ps(-0.0);
            [_mm256_andnot_ps(sign, a[0]), _mm256_andnot_ps(sign, a[1])]
        })
    }
    #[inline(always)]
    fn add_exponent(self, value: Lanes, steps: Lanes) -> Lanes {
        each(
            value,
            steps,
            #[inline(always)]
            |value, steps| {
                vector!({
                    let shifted = _mm256_slli_epi32::<23>(_mm256_castps_si256(steps));
                    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(value), shifted))
                })
            },
        )
    }
    #[inline(always)]
    fn keep_if_less(self, a: Lanes, b: Lanes, value: Lanes) -> Lanes {
        vector!({
            let first = _mm256_and_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(a[0], b[0]), value[0]);
            [first, _mm256_and_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(a[1], b[1]), value[1])]
        })
    }
    #[inline(always)]
    fn less(self, a: Lanes, b: Lanes) -> u16 {
        vector!({
            let low = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(a[0], b[0]));
            let high = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(a[1], b[1]));
            (low | high << 8) as u16
        })
    }
    #[inline(always)]
    fn load_pairs(self, values: &[bf16; 2 * LANES]) -> Pairs {
        vector!({
            let from: *const __m256i = values.as_ptr().cast();
            [_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))]
        })
    }
    #[inline(always)]
    fn splat_pair(self, pair: u32) -> Pairs {
        vector!([_mm256_set1_epi32(pair.cast_signed()); 2])
    }
    #[inline(always)]
    fn dot_pairs(self, acc: Lanes, a: Pairs, b: Pairs) -> Lanes {
        [dot(acc[0], a[0], b[0]), dot(acc[1], a[1], b[1])]
    }
    #[inline(always)]
    fn load_sums(self, values: &[i32; LANES]) -> Pairs {
        vector!({
            let from: *const __m256i = values.as_ptr().cast();
            [_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))]
        })
    }
    #[inline(always)]
    fn round_sums(self, sums: Pairs) -> Lanes {
        vector!([_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])])
    }
    #[inline(always)]
    fn load_quads(self, values: &[i8; 4 * LANES]) -> Quads {
        vector!({
            let from: *const __m256i = values.as_ptr().cast();
            let (low, high) = (_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1)));
            let even = |bytes| _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes));
            [[even(low), _mm256_srai_epi16::<8>(low)], [even(high), _mm256_srai_epi16::<8>(high)]]
        })
    }
    #[inline(always)]
    fn splat_quad(self, quad: u32) -> Quads {
        vector!({
            let even = _mm256_set1_epi32((quad & 0x00ff_00ff).cast_signed());
            let odd = _mm256_set1_epi32((quad >> 8 & 0x00ff_00ff).cast_signed());
            [[even, odd]; 2]
        })
    }
    #[inline(always)]
    fn dot_quads(self, acc: Pairs, a: Quads, b: Quads) -> Pairs {
        [add_quads(acc[0], a[0], b[0]), add_quads(acc[1], a[1], b[1])]
    }
    #[inline(always)]
    fn store_bytes(self, value: Lanes, to: &mut [u8; LANES]) {
        vector!({
            let offset = _mm256_set1_epi32(128);
            let low = _mm256_add_epi32(_mm256_cvtps_epi32(value[0]), offset);
            let high = _mm256_add_epi32(_mm256_cvtps_epi32(value[1]), offset);
            // The packing interleaves halves of its operands; the permutation puts them in order.
            let words = _mm256_permute4x64_epi64::<0xd8>(_mm256_packs_epi32(low, high));
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
        });
    }
}
