//! What the shim has in the place of the instructions of tensor cores, held to the tables of the PTX manual ("Matrix fragments
//! for mma.m16n8k16 with floating point type", "ldmatrix", "cp.async" and "cvt"): there element i of a fragment has a row and
//! a column that follow from i and the lane. The kernels here are written after those tables and share nothing with the kernel
//! of attention.

use crate::program::compile;
use crate::script::{PLANS, Script};
use pliant_kernels::bf16;
use pliant_kernels::cuda::sources::{Kernel, Source};
use pliant_tests::kernels::Inputs;

static TABLES: Source = Source {
    op: "tables",
    text: r#"#include "common.cuh"
// Two elements of a fragment in one word, the one of the lower number in the lower half.
INLINE u32 word(bf16 lower, bf16 upper) {
    return (u32)lower.bits | (u32)upper.bits << 16;
}
KERNEL(64) tables_product(const bf16* a, const bf16* b, const float* c, float* d, u32 turned) {
    const u32 group = lane_of_thread() >> 2, within = lane_of_thread() % 4;
    bf16 of_a[8], of_b[4];
    float sums[4];
    for (u32 i = 0; i < 8; i++) {
        const u32 row = i < 2 || (4 <= i && i < 6) ? group : group + 8;
        const u32 column = within * 2 + (i & 1) + (i >= 4 ? 8 : 0);
        of_a[i] = a[row * 16 + column];
    }
    for (u32 i = 0; i < 4; i++) {
        const u32 row = within * 2 + (i & 1) + (i >= 2 ? 8 : 0);
        of_b[i] = b[row * 8 + group];
        sums[i] = c[(i < 2 ? group : group + 8) * 8 + within * 2 + (i & 1)];
    }
    u32 words[4];
    for (u32 i = 0; i < 4; i++) {
        words[i] = word(of_a[2 * i], of_a[2 * i + 1]);
    }
    if (turned) {
        const u32 second = words[1];
        words[1] = words[2];
        words[2] = second;
    }
    tensor_product(sums, words, word(of_b[0], of_b[1]), word(of_b[2], of_b[3]));
    for (u32 i = 0; i < 4; i++) {
        d[(i < 2 ? group : group + 8) * 8 + within * 2 + (i & 1)] = sums[i];
    }
}
// Four matrices of eight rows and columns for each warp, written where the lane's fragments say that they are; of row 13 of the
// 32 nothing is read.
KERNEL(64) tables_matrices(const bf16* from, bf16* to, u32 turned, u32 waits) {
    __shared__ uint4 held[2][32];
    const u32 lane = lane_of_thread(), warp = threadIdx.x / 32;
    const Shared mine = shared_place(held[warp] + lane);
    send(mine, from + 8 * (32 * warp + lane), lane != 13);
    if (waits) {
        wait_for_sent();
    }
    __syncthreads();
    u32 words[4];
    if (turned) {
        load_matrices_turned(words, mine);
    } else {
        load_matrices(words, mine);
    }
    for (u32 i = 0; i < 8; i++) {
        const u32 outer = lane >> 2, inner = (lane & 3) * 2 + i % 2;
        const u32 row = turned ? inner : outer, column = turned ? outer : inner;
        const u32 place = 32 * warp + i / 2 * 8 + row;
        to[8 * place + column].bits = (unsigned short)(i % 2 ? words[i / 2] >> 16 : words[i / 2] & 0xffffu);
    }
}
KERNEL(64) tables_narrowed(const float* lower, const float* upper, bf16* both, u32 count) {
    for (u32 at = threadIdx.x; at < count; at += 32) {
        const u32 word = neighbours(lower[at], upper[at]);
        both[2 * at].bits = (unsigned short)(word & 0xffffu);
        both[2 * at + 1].bits = (unsigned short)(word >> 16);
    }
}
"#,
    kernels: &[
        Kernel { name: "tables_product", threads: 64 },
        Kernel { name: "tables_matrices", threads: 64 },
        Kernel { name: "tables_narrowed", threads: 64 },
    ],
};

/// Whole numbers, so that sums are exact in any order.
fn whole(inputs: &mut Inputs, count: usize) -> Vec<f32> {
    inputs.normal(count, 3.0).into_iter().map(f32::round).collect()
}

fn narrow(values: &[f32]) -> Vec<bf16> {
    values.iter().map(|&value| bf16::from_f32(value)).collect()
}

#[test]
fn products_have_every_element_where_the_manual_has_it() {
    let Some(program) = compile(&TABLES) else { return };
    let mut inputs = Inputs::new("tables of tensor cores");
    let (a, b, c) = (whole(&mut inputs, 16 * 16), whole(&mut inputs, 16 * 8), whole(&mut inputs, 16 * 8));
    let mut wanted = c.clone();
    for (at, sum) in wanted.iter_mut().enumerate() {
        *sum += (0..16).map(|k| a[at / 8 * 16 + k] * b[k * 8 + at % 8]).sum::<f32>();
    }
    let run = |turned: usize, plan| {
        let mut script = Script::default();
        let [a, b] = [&a, &b].map(|values| script.reads(&narrow(values)));
        let (c, d) = (script.reads(&c), script.writes::<f32>(16 * 8));
        script.launch("tables_product").give(a).give(b).give(c).give(d).give(turned);
        script.run(&program, plan).unwrap().values(d).reals()
    };
    let wanted: Vec<f64> = wanted.into_iter().map(f64::from).collect();
    for plan in PLANS {
        assert_eq!(run(0, plan), wanted, "{plan:?}");
    }
    // Two words of a exchanged are another matrix.
    assert_ne!(run(1, PLANS[0]), wanted);
}

#[test]
fn matrices_are_loaded_as_the_manual_has_it_once_they_were_waited_for() {
    let Some(program) = compile(&TABLES) else { return };
    let from = narrow(&whole(&mut Inputs::new("matrices of warps"), 2 * 32 * 8));
    let wanted: Vec<f64> = from
        .iter()
        .enumerate()
        .map(|(at, value)| if at / 8 % 32 == 13 { 0.0 } else { value.to_f64() })
        .collect();
    let run = |turned: usize, waits: usize, plan| {
        let mut script = Script::default();
        let (from, to) = (script.reads(&from), script.writes::<bf16>(from.len()));
        script.launch("tables_matrices").give(from).give(to).give(turned).give(waits);
        script.run(&program, plan).unwrap().values(to).reals()
    };
    for turned in [0, 1] {
        for plan in PLANS {
            assert_eq!(run(turned, 1, plan), wanted, "{turned} {plan:?}");
        }
        assert!(run(turned, 0, PLANS[0]).iter().all(|value| value.is_nan()));
    }
}

#[test]
fn two_numbers_are_narrowed_to_the_nearest_the_first_in_the_lower_half() {
    let Some(program) = compile(&TABLES) else { return };
    let mut inputs = Inputs::new("numbers narrowed by two");
    let mut lower = inputs.normal(200, 1.0);
    // Ties to even both ways, the ends of the range, what is no number.
    lower.extend(
        [0x3f80_8000, 0x3f81_8000, 0x0080_0000, 0x7f7f_ffff, 0x7f80_0000, 0xff80_0000, 0x7fc0_0001]
            .map(f32::from_bits),
    );
    lower.extend([0.0, -0.0, 1.0]);
    let upper: Vec<f32> = lower.iter().rev().copied().collect();
    let mut script = Script::default();
    let (first, second) = (script.reads(&lower), script.reads(&upper));
    let both = script.writes::<bf16>(2 * lower.len());
    script.launch("tables_narrowed").give(first).give(second).give(both).give(lower.len());
    let found = script.run(&program, PLANS[0]).unwrap().values(both).bits();
    let wanted = lower.iter().zip(&upper).flat_map(|(&lower, &upper)| [lower, upper]);
    for (found, wanted) in found.into_iter().zip(wanted) {
        let found = bf16::from_bits(u16::try_from(found).unwrap());
        let same = found == bf16::from_f32(wanted) && found.is_sign_negative() == wanted.is_sign_negative();
        assert!(same || (found.is_nan() && wanted.is_nan()), "{wanted:?} became {found:?}");
    }
}
