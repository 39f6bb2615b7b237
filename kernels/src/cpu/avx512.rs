//! Sixteen lanes in one 512-bit register.

use super::CpuPath;
use super::simd::{LANES, Simd};
use half::bf16;
use std::arch::x86_64::*;

/// Whether the processor and the operating system have 512-bit vectors.
pub(super) fn available() -> bool {
    super::avx2::available()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

/// Whether the processor multiplies bf16 pairs and bytes. Every one that has the first has the second.
pub(super) fn products_available() -> bool {
    available() && is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512vnni")
}

/// 512-bit vectors; bf16 products are made of two fused multiply-adds.
#[derive(Clone, Copy)]
pub(super) struct Avx512;

/// 512-bit vectors with `vdpbf16ps` and `vpdpbusd`.
#[derive(Clone, Copy)]
pub(super) struct Avx512Bf16;

/// Lanes are exchanged at distances 1, 2, 4 and 8.
#[inline(always)]
fn transpose(rows: [__m512; LANES]) -> [__m512; LANES] {
    vector!({
        let mut pairs = rows;
        for i in (0..LANES).step_by(2) {
            pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
            pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
        }
        let mut fours = [_mm512_setzero_pd(); LANES];
        for i in (0..LANES).step_by(4) {
            for j in 0..2 {
                let (a, b) = (_mm512_castps_pd(pairs[i + j]), _mm512_castps_pd(pairs[i + 2 + j]));
                fours[i + 2 * j] = _mm512_unpacklo_pd(a, b);
                fours[i + 2 * j + 1] = _mm512_unpackhi_pd(a, b);
            }
        }
        // fours[4 g + c]: column c of every 128-bit quarter, rows 4 g .. 4 g + 4.
        let mut columns = rows;
        for c in 0..4 {
            let quarter = |g: usize| _mm512_castpd_ps(fours[4 * g + c]);
            let low = _mm512_shuffle_f32x4::<0b10_00_10_00>(quarter(0), quarter(1));
            let high = _mm512_shuffle_f32x4::<0b10_00_10_00>(quarter(2), quarter(3));
            columns[c] = _mm512_shuffle_f32x4::<0b10_00_10_00>(low, high);
            columns[c + 8] = _mm512_shuffle_f32x4::<0b11_01_11_01>(low, high);
            let low = _mm512_shuffle_f32x4::<0b11_01_11_01>(quarter(0), quarter(1));
            let high = _mm512_shuffle_f32x4::<0b11_01_11_01>(quarter(2), quarter(3));
            columns[c + 4] = _mm512_shuffle_f32x4::<0b10_00_10_00>(low, high);
            columns[c + 12] = _mm512_shuffle_f32x4::<0b11_01_11_01>(low, high);
        }
        columns
    })
}

/// The first lanes of as many as there are.
#[inline(always)]
fn first_lanes(count: usize) -> __mmask16 {
    debug_assert!(count <= LANES, "more elements than lanes");
    ((1_u32 << count.min(LANES)) - 1) as __mmask16
}

/// Loads up to sixteen values; missing lanes are `fill`.
#[inline(always)]
fn load_part(values: &[f32], fill: f32) -> __m512 {
    // SAFETY: as for `vector!`; lanes beyond the slice are masked off, and those touch no memory.
    unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(fill), first_lanes(values.len()), values.as_ptr()) }
}

/// Stores the first lanes.
#[inline(always)]
fn store_part(value: __m512, to: &mut [f32]) {
    // SAFETY: as above.
    unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first_lanes(to.len()), value) };
}

/// Loads up to sixteen bf16 values, exactly; missing lanes are zero.
#[inline(always)]
fn load_part_bf16(values: &[bf16]) -> __m512 {
    // SAFETY: as above.
    let halves = unsafe { _mm256_maskz_loadu_epi16(first_lanes(values.len()), values.as_ptr().cast()) };
    vector!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves))))
}

/// Stores the first of sixteen bf16 values.
#[inline(always)]
fn store_halves(halves: &[bf16; LANES], to: &mut [bf16]) {
    let halves = vector!(_mm256_loadu_si256(halves.as_ptr().cast()));
    // SAFETY: as above.
    unsafe { _mm256_mask_storeu_epi16(to.as_mut_ptr().cast(), first_lanes(to.len()), halves) };
}

impl Simd for Avx512 {
    type F = __m512;
    type Pairs = __m512i;
    type Sums = __m512i;
    type Quads = __m512i;
    const ROWS: usize = 14;
    const VECTORS: usize = 2;
    const PATH: CpuPath = CpuPath::Avx512;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        vector!(_mm512_set1_ps(value))
    }
    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> __m512 {
        vector!(_mm512_loadu_ps(values.as_ptr()))
    }
    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32; LANES]) {
        vector!(_mm512_storeu_ps(to.as_mut_ptr(), value));
    }
    #[inline(always)]
    fn load_bf16(self, values: &[bf16; LANES]) -> __m512 {
        vector!({
            let halves = _mm256_loadu_si256(values.as_ptr().cast());
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
        })
    }
    #[inline(always)]
    fn store_bf16(self, value: __m512, to: &mut [bf16; LANES]) {
        vector!({
            let bits = _mm512_castps_si512(value);
            let magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fff_ffff));
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            let rounded = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, bias));
            let cut = _mm512_srli_epi32::<16>(bits);
            let quiet = _mm512_or_si512(cut, _mm512_set1_epi32(0x40));
            let zero = _mm512_and_si512(cut, _mm512_set1_epi32(0x8000));
            let is_nan = _mm512_cmpgt_epu32_mask(magnitude, _mm512_set1_epi32(0x7f80_0000));
            let is_tiny = _mm512_cmplt_epu32_mask(magnitude, _mm512_set1_epi32(0x0080_0000));
            let result = _mm512_mask_mov_epi32(rounded, is_nan, quiet);
            let result = _mm512_mask_mov_epi32(result, is_tiny, zero);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(result));
        });
    }
    #[inline(always)]
    fn load_part(self, values: &[f32], fill: f32) -> __m512 {
        load_part(values, fill)
    }
    #[inline(always)]
    fn store_part(self, value: __m512, to: &mut [f32]) {
        store_part(value, to);
    }
    #[inline(always)]
    fn load_part_bf16(self, values: &[bf16]) -> __m512 {
        load_part_bf16(values)
    }
    #[inline(always)]
    fn store_part_bf16(self, value: __m512, to: &mut [bf16]) {
        let mut halves = [bf16::ZERO; LANES];
        self.store_bf16(value, &mut halves);
        store_halves(&halves, to);
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        vector!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        vector!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        vector!(_mm512_abs_ps(a))
    }
    #[inline(always)]
    fn add_exponent(self, value: __m512, steps: __m512) -> __m512 {
        vector!({
            let shifted = _mm512_slli_epi32::<23>(_mm512_castps_si512(steps));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(value), shifted))
        })
    }
    #[inline(always)]
    fn keep_if_less(self, a: __m512, b: __m512, value: __m512) -> __m512 {
        vector!(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), value))
    }
    #[inline(always)]
    fn less(self, a: __m512, b: __m512) -> u16 {
        vector!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b))
    }
    #[inline(always)]
    fn load_pairs(self, values: &[bf16; 2 * LANES]) -> __m512i {
        vector!(_mm512_loadu_si512(values.as_ptr().cast()))
    }
    #[inline(always)]
    fn load_words(self, values: &[bf16; 2 * LANES]) -> __m512 {
        vector!(_mm512_castsi512_ps(_mm512_loadu_si512(values.as_ptr().cast())))
    }
    #[inline(always)]
    fn interleave(self, even: &[bf16; LANES], odd: &[bf16; LANES], to: &mut [u32; LANES]) {
        vector!({
            let even = _mm512_cvtepu16_epi32(_mm256_loadu_si256(even.as_ptr().cast()));
            let odd = _mm512_cvtepu16_epi32(_mm256_loadu_si256(odd.as_ptr().cast()));
            let words = _mm512_or_si512(even, _mm512_slli_epi32::<16>(odd));
            _mm512_storeu_si512(to.as_mut_ptr().cast(), words);
        });
    }
    #[inline(always)]
    fn transpose(self, rows: [__m512; LANES]) -> [__m512; LANES] {
        transpose(rows)
    }
    #[inline(always)]
    fn splat_pair(self, pair: u32) -> __m512i {
        vector!(_mm512_set1_epi32(pair.cast_signed()))
    }
    #[inline(always)]
    fn dot_pairs(self, acc: __m512, a: __m512i, b: __m512i) -> __m512 {
        vector!({
            let high = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
            let odd = (_mm512_and_si512(a, high), _mm512_and_si512(b, high));
            let even = (_mm512_slli_epi32::<16>(a), _mm512_slli_epi32::<16>(b));
            let acc = _mm512_fmadd_ps(_mm512_castsi512_ps(odd.0), _mm512_castsi512_ps(odd.1), acc);
            _mm512_fmadd_ps(_mm512_castsi512_ps(even.0), _mm512_castsi512_ps(even.1), acc)
        })
    }
    #[inline(always)]
    fn load_sums(self, values: &[i32; LANES]) -> __m512i {
        vector!(_mm512_loadu_si512(values.as_ptr().cast()))
    }
    #[inline(always)]
    fn round_sums(self, sums: __m512i) -> __m512 {
        vector!(_mm512_cvtepi32_ps(sums))
    }
    #[inline(always)]
    fn load_quads(self, values: &[i8; 4 * LANES]) -> __m512i {
        vector!(_mm512_loadu_si512(values.as_ptr().cast()))
    }
    #[inline(always)]
    fn splat_quad(self, quad: u32) -> __m512i {
        vector!(_mm512_set1_epi32(quad.cast_signed()))
    }
    #[inline(always)]
    fn dot_quads(self, acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
        vector!({
            // Even and odd bytes as 16-bit numbers, whose products and their sums of two are exact.
            let bytes = _mm512_set1_epi16(0xff);
            let (even, odd) = (_mm512_and_si512(a, bytes), _mm512_srli_epi16::<8>(a));
            let with_even = _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(b));
            let with_odd = _mm512_srai_epi16::<8>(b);
            let sums = _mm512_add_epi32(_mm512_madd_epi16(even, with_even), _mm512_madd_epi16(odd, with_odd));
            _mm512_add_epi32(acc, sums)
        })
    }
    #[inline(always)]
    fn store_bytes(self, value: __m512, to: &mut [u8; LANES]) {
        vector!({
            let whole = _mm512_add_epi32(_mm512_cvtps_epi32(value), _mm512_set1_epi32(128));
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(whole));
        });
    }
}

impl Simd for Avx512Bf16 {
    type F = __m512;
    type Pairs = __m512i;
    type Sums = __m512i;
    type Quads = __m512i;
    const ROWS: usize = Avx512::ROWS;
    const VECTORS: usize = Avx512::VECTORS;
    const PATH: CpuPath = CpuPath::Avx512Bf16;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        Avx512.splat(value)
    }
    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> __m512 {
        Avx512.load(values)
    }
    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32; LANES]) {
        Avx512.store(value, to);
    }
    #[inline(always)]
    fn load_bf16(self, values: &[bf16; LANES]) -> __m512 {
        Avx512.load_bf16(values)
    }
    #[inline(always)]
    fn store_bf16(self, value: __m512, to: &mut [bf16; LANES]) {
        vector!(_mm256_storeu_si256(
            to.as_mut_ptr().cast(),
            std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(value))
        ));
    }
    #[inline(always)]
    fn load_part(self, values: &[f32], fill: f32) -> __m512 {
        load_part(values, fill)
    }
    #[inline(always)]
    fn store_part(self, value: __m512, to: &mut [f32]) {
        store_part(value, to);
    }
    #[inline(always)]
    fn load_part_bf16(self, values: &[bf16]) -> __m512 {
        load_part_bf16(values)
    }
    #[inline(always)]
    fn store_part_bf16(self, value: __m512, to: &mut [bf16]) {
        let mut halves = [bf16::ZERO; LANES];
        self.store_bf16(value, &mut halves);
        store_halves(&halves, to);
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        Avx512.add(a, b)
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        Avx512.sub(a, b)
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        Avx512.mul(a, b)
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        Avx512.div(a, b)
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        Avx512.sqrt(a)
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        Avx512.fma(a, b, c)
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        Avx512.max(a, b)
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        Avx512.min(a, b)
    }
    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        Avx512.abs(a)
    }
    #[inline(always)]
    fn add_exponent(self, value: __m512, steps: __m512) -> __m512 {
        Avx512.add_exponent(value, steps)
    }
    #[inline(always)]
    fn keep_if_less(self, a: __m512, b: __m512, value: __m512) -> __m512 {
        Avx512.keep_if_less(a, b, value)
    }
    #[inline(always)]
    fn less(self, a: __m512, b: __m512) -> u16 {
        Avx512.less(a, b)
    }
    #[inline(always)]
    fn load_pairs(self, values: &[bf16; 2 * LANES]) -> __m512i {
        Avx512.load_pairs(values)
    }
    #[inline(always)]
    fn load_words(self, values: &[bf16; 2 * LANES]) -> __m512 {
        Avx512.load_words(values)
    }
    #[inline(always)]
    fn interleave(self, even: &[bf16; LANES], odd: &[bf16; LANES], to: &mut [u32; LANES]) {
        Avx512.interleave(even, odd, to);
    }
    #[inline(always)]
    fn transpose(self, rows: [__m512; LANES]) -> [__m512; LANES] {
        transpose(rows)
    }
    #[inline(always)]
    fn splat_pair(self, pair: u32) -> __m512i {
        Avx512.splat_pair(pair)
    }
    #[inline(always)]
    fn dot_pairs(self, acc: __m512, a: __m512i, b: __m512i) -> __m512 {
        vector!(_mm512_dpbf16_ps(
            acc,
            std::mem::transmute::<__m512i, __m512bh>(a),
            std::mem::transmute::<__m512i, __m512bh>(b)
        ))
    }
    #[inline(always)]
    fn load_sums(self, values: &[i32; LANES]) -> __m512i {
        Avx512.load_sums(values)
    }
    #[inline(always)]
    fn round_sums(self, sums: __m512i) -> __m512 {
        Avx512.round_sums(sums)
    }
    #[inline(always)]
    fn load_quads(self, values: &[i8; 4 * LANES]) -> __m512i {
        Avx512.load_quads(values)
    }
    #[inline(always)]
    fn splat_quad(self, quad: u32) -> __m512i {
        Avx512.splat_quad(quad)
    }
    #[inline(always)]
    fn dot_quads(self, acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
        vector!(_mm512_dpbusd_epi32(acc, a, b))
    }
    #[inline(always)]
    fn store_bytes(self, value: __m512, to: &mut [u8; LANES]) {
        Avx512.store_bytes(value, to);
    }
}
