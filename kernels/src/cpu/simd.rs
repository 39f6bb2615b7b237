//! One text of a kernel for every vector width: sixteen 32-bit lanes, whatever the registers hold.
//!
//! AVX-512 keeps the lanes in one register, AVX2 in two, the portable path in an array. All of them do
//! the same operations in the same order, so they give the same bits. A kernel is a [`Work`]; its `run`
//! and everything it calls must be `#[inline(always)]`, because the instructions are chosen by the
//! function that [`dispatch`] enters.

use super::CpuPath;
#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512::{Avx512, Avx512Bf16};
use super::portable::Portable;
use half::bf16;

/// Lanes of a vector.
pub const LANES: usize = 16;

/// Asks for the cache line of `values[place]`, where there is such a place; changes no result.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T], place: usize) {
    if let Some(value) = values.get(place) {
        prefetch_line(value);
    }
}

/// Asks for a cache line; changes no result.
#[inline(always)]
pub(crate) fn prefetch_line<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, and it touches no memory that the program sees.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Sixteen 32-bit lanes and what kernels do with them. Lane `i` of a result depends on lane `i` of the
/// operands only, unless the method says otherwise.
pub trait Simd: Copy + Send + Sync + 'static {
    /// Sixteen `f32`.
    type F: Copy;
    /// Sixteen pairs of bf16, pair `i` in lane `i`.
    type Pairs: Copy;
    /// Sixteen whole numbers of 32 bits.
    type Sums: Copy;
    /// Sixteen groups of four bytes.
    type Quads: Copy;
    /// Rows of a matrix tile whose sums fit the registers (tile width is `VECTORS · 16`).
    const ROWS: usize;
    /// Vectors across a matrix tile: 1 or 2.
    const VECTORS: usize;
    /// The path that these instructions make.
    const PATH: CpuPath;

    /// The same value in every lane.
    fn splat(self, value: f32) -> Self::F;
    /// Loads sixteen values.
    fn load(self, values: &[f32; LANES]) -> Self::F;
    /// Stores sixteen values.
    fn store(self, value: Self::F, to: &mut [f32; LANES]);
    /// Loads sixteen bf16 values, exactly.
    fn load_bf16(self, values: &[bf16; LANES]) -> Self::F;
    /// Stores sixteen values rounded to nearest even; denormal numbers become zero.
    fn store_bf16(self, value: Self::F, to: &mut [bf16; LANES]);

    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`, correctly rounded
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// Square root, correctly rounded
    fn sqrt(self, a: Self::F) -> Self::F;
    /// `a · b + c` with one rounding
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a > b ? a : b` (the second operand when either is not a number)
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a < b ? a : b` (the second operand when either is not a number)
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `|a|`
    fn abs(self, a: Self::F) -> Self::F;
    /// `value` with bit 0 to 8 of `steps`' bit pattern added to its exponent: `value · 2^n` when `steps`
    /// is `1.5 · 2^23 + n` and the result is a normal number.
    fn add_exponent(self, value: Self::F, steps: Self::F) -> Self::F;
    /// `value` where `a < b`, zero elsewhere
    fn keep_if_less(self, a: Self::F, b: Self::F, value: Self::F) -> Self::F;
    /// Bit `i` says whether `a < b` in lane `i`.
    fn less(self, a: Self::F, b: Self::F) -> u16;

    /// Loads sixteen pairs of bf16.
    fn load_pairs(self, values: &[bf16; 2 * LANES]) -> Self::Pairs;
    /// The same pair (low half first) in every lane.
    fn splat_pair(self, pair: u32) -> Self::Pairs;
    /// `acc + a.odd · b.odd`, then `+ a.even · b.even`, each by one fused multiply-add.
    fn dot_pairs(self, acc: Self::F, a: Self::Pairs, b: Self::Pairs) -> Self::F;

    /// Loads sixteen whole numbers.
    fn load_sums(self, values: &[i32; LANES]) -> Self::Sums;
    /// Whole numbers rounded to the nearest, ties to even.
    fn round_sums(self, sums: Self::Sums) -> Self::F;
    /// Loads sixteen groups of four signed bytes.
    fn load_quads(self, values: &[i8; 4 * LANES]) -> Self::Quads;
    /// The same four unsigned bytes (lowest first) in every lane.
    fn splat_quad(self, quad: u32) -> Self::Quads;
    /// `acc + Σ a_i · b_i` over the four bytes of each lane, `a` unsigned and `b` signed; exact.
    fn dot_quads(self, acc: Self::Sums, a: Self::Quads, b: Self::Quads) -> Self::Sums;
    /// Stores values between -127 and 127, rounded to the nearest (ties to even), plus 128.
    fn store_bytes(self, value: Self::F, to: &mut [u8; LANES]);

    /// Loads sixteen words (pairs of bf16) as lanes whose bits are only moved, never calculated with.
    #[inline(always)]
    fn load_words(self, values: &[bf16; 2 * LANES]) -> Self::F {
        self.load(&std::array::from_fn(|lane| {
            let (low, high) = (values[2 * lane].to_bits(), values[2 * lane + 1].to_bits());
            f32::from_bits(u32::from(low) | u32::from(high) << 16)
        }))
    }

    /// Word `i` is the pair of `even[i]` (low half) and `odd[i]`.
    #[inline(always)]
    fn interleave(self, even: &[bf16; LANES], odd: &[bf16; LANES], to: &mut [u32; LANES]) {
        for lane in 0..LANES {
            to[lane] = u32::from(even[lane].to_bits()) | u32::from(odd[lane].to_bits()) << 16;
        }
    }

    /// Lane `i` of result `j` is lane `j` of row `i`.
    #[inline(always)]
    fn transpose(self, rows: [Self::F; LANES]) -> [Self::F; LANES] {
        let rows = rows.map(
            #[inline(always)]
            |row| self.to_array(row),
        );
        std::array::from_fn(
            #[inline(always)]
            |column| self.load(&std::array::from_fn(|row| rows[row][column])),
        )
    }

    /// Stores the lanes, or as many of the first ones as there is room for.
    #[inline(always)]
    fn store_any(self, value: Self::F, to: &mut [f32]) {
        match to.first_chunk_mut::<LANES>() {
            Some(to) => self.store(value, to),
            None => self.store_part(value, to),
        }
    }

    /// Stores the lanes as bf16, or as many of the first ones as there is room for.
    #[inline(always)]
    fn store_any_bf16(self, value: Self::F, to: &mut [bf16]) {
        match to.first_chunk_mut::<LANES>() {
            Some(to) => self.store_bf16(value, to),
            None => self.store_part_bf16(value, to),
        }
    }

    /// Loads sixteen values, or as many as there are; missing lanes are zero.
    #[inline(always)]
    fn load_any(self, from: &[f32]) -> Self::F {
        match from.first_chunk::<LANES>() {
            Some(from) => self.load(from),
            None => self.load_part(from, 0.0),
        }
    }

    /// The lanes as an array.
    #[inline(always)]
    fn to_array(self, value: Self::F) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        self.store(value, &mut lanes);
        lanes
    }

    /// Joins the lanes of each of sixteen rows by the fixed tree: lane `r` of the result belongs to row `r`.
    #[inline(always)]
    fn join_rows(self, rows: [Self::F; LANES], join: impl Fn(Self::F, Self::F) -> Self::F) -> Self::F {
        let mut columns = self.transpose(rows);
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                columns[lane] = join(columns[lane], columns[lane + half]);
            }
            half /= 2;
        }
        columns[0]
    }

    /// Sum of the lanes by the fixed tree: halves of eight, four, two, one.
    #[inline(always)]
    fn sum(self, value: Self::F) -> f32 {
        tree(self.to_array(value), |a, b| a + b)
    }

    /// Largest lane.
    #[inline(always)]
    fn largest(self, value: Self::F) -> f32 {
        tree(self.to_array(value), |a, b| if a > b { a } else { b })
    }

    /// Loads up to sixteen values; missing lanes are `fill`.
    #[inline(always)]
    fn load_part(self, values: &[f32], fill: f32) -> Self::F {
        let mut lanes = [fill; LANES];
        lanes[..values.len()].copy_from_slice(values);
        self.load(&lanes)
    }

    /// Stores the first lanes.
    #[inline(always)]
    fn store_part(self, value: Self::F, to: &mut [f32]) {
        to.copy_from_slice(&self.to_array(value)[..to.len()]);
    }

    /// Loads up to sixteen bf16 values; missing lanes are zero.
    #[inline(always)]
    fn load_part_bf16(self, values: &[bf16]) -> Self::F {
        let mut lanes = [bf16::ZERO; LANES];
        lanes[..values.len()].copy_from_slice(values);
        self.load_bf16(&lanes)
    }

    /// Stores the first lanes as bf16.
    #[inline(always)]
    fn store_part_bf16(self, value: Self::F, to: &mut [bf16]) {
        let mut lanes = [bf16::ZERO; LANES];
        self.store_bf16(value, &mut lanes);
        to.copy_from_slice(&lanes[..to.len()]);
    }
}

/// Joins sixteen lanes in the one order that every reduction uses.
#[inline(always)]
fn tree(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = join(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Which piece of a job, on which thread (for memory of the thread's own).
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// Piece, from 0.
    pub task: usize,
    /// Thread, below the number of threads.
    pub worker: usize,
}

/// A kernel's body, written once over [`Simd`].
pub trait Work {
    /// Does one piece. Must be `#[inline(always)]`.
    fn run<S: Simd>(&self, simd: S, task: Task);
}

/// Runs a piece with the instructions of `path`, which must be available.
pub fn dispatch<W: Work>(path: CpuPath, work: &W, task: Task) {
    match path {
        CpuPath::Portable => run_portable(work, task),
        // SAFETY: a device only exists with a path whose `available` is true, so the processor has the
        // instructions that these functions enable.
        #[cfg(target_arch = "x86_64")]
        CpuPath::Avx2 => unsafe { run_avx2(work, task) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        CpuPath::Avx512 => unsafe { run_avx512(work, task) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        CpuPath::Avx512Bf16 => unsafe { run_avx512_bf16(work, task) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => run_portable(work, task),
    }
}

/// Does a part of a piece in a function of its own, to which the compiler gives all registers: for inner loops that fill
/// them, inside of work that has other uses for them. That there is an `S` says that its path is available.
#[inline(always)]
pub(crate) fn apart<S: Simd, W: Work>(_: S, work: &W) {
    dispatch(S::PATH, work, Task { task: 0, worker: 0 });
}

#[inline(never)]
fn run_portable<W: Work>(work: &W, task: Task) {
    work.run(Portable, task);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn run_avx2<W: Work>(work: &W, task: Task) {
    work.run(Avx2, task);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
#[inline(never)]
fn run_avx512<W: Work>(work: &W, task: Task) {
    work.run(Avx512, task);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,avx2,fma")]
#[inline(never)]
fn run_avx512_bf16<W: Work>(work: &W, task: Task) {
    work.run(Avx512Bf16, task);
}
