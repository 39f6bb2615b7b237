//! The harness finds what is wrong with a kernel.

use crate::program::compile;
use crate::script::{NULL, Place, Plan, Script};
use pliant_kernels::cuda::sources::{Kernel, Source};

const fn kernel(name: &'static str) -> Kernel {
    Kernel { name, threads: 64 }
}

/// Kernels that are wrong, each in its own way, and one that is right.
static FAULTY: Source = Source {
    op: "faulty",
    text: r#"#include "common.cuh"
KERNEL(64) faulty_right(float* y, u32 count) {
    __shared__ float held[64];
    held[threadIdx.x] = (float)threadIdx.x;
    __syncthreads();
    y[threadIdx.x] = held[63 - threadIdx.x] + warp_sum(1.0f);
}
KERNEL(64) faulty_without_barrier(float* y, u32 count) {
    __shared__ float held[64];
    held[threadIdx.x] = (float)threadIdx.x;
    y[threadIdx.x] = held[63 - threadIdx.x];
}
KERNEL(64) faulty_reads_outside(float* y, u32 count) {
    y[0] = y[count];
}
KERNEL(64) faulty_writes_before(float* y, u32 count) {
    y[-1] = 0.0f;
}
KERNEL(64) faulty_half_a_barrier(float* y, u32 count) {
    if (threadIdx.x < 32) {
        __syncthreads();
    }
}
KERNEL(64) faulty_two_barriers(float* y, u32 count) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}
KERNEL(64) faulty_lane_is_gone(float* y, u32 count) {
    if (threadIdx.x != 3) {
        y[threadIdx.x] = warp_sum(1.0f);
    }
}
KERNEL(64) faulty_adds_as_blocks_come(float* y, u32 count) {
    y[0] += 1.0f / (float)(blockIdx.x + 1);
}
KERNEL(64) faulty_reads_shared_before_writing(float* y, u32 count) {
    __shared__ float held[64];
    y[threadIdx.x] = held[threadIdx.x];
}
"#,
    kernels: &[
        kernel("faulty_right"),
        kernel("faulty_without_barrier"),
        kernel("faulty_reads_outside"),
        kernel("faulty_writes_before"),
        kernel("faulty_half_a_barrier"),
        kernel("faulty_two_barriers"),
        kernel("faulty_lane_is_gone"),
        kernel("faulty_adds_as_blocks_come"),
        kernel("faulty_reads_shared_before_writing"),
    ],
};

fn script(name: &'static str) -> (Script, Place) {
    let mut script = Script::default();
    let y = script.changes(&[0.5_f32; 64]);
    script.launch(name).give(y).give(64_usize);
    (script, y)
}

/// The result in ascending and in descending order, or the fault.
fn both(name: &'static str) -> Option<[Result<Vec<u32>, String>; 2]> {
    let program = compile(&FAULTY)?;
    let (script, y) = script(name);
    Some([0, 1].map(|order| {
        let plan = Plan { blocks: 3, order };
        script.run(&program, plan).map(|found| found.values(y).bits())
    }))
}

#[test]
fn what_is_right_passes() {
    let Some([ascending, descending]) = both("faulty_right") else { return };
    let wanted: Vec<u32> = (0..64).map(|thread| (95.0 - thread as f32).to_bits()).collect();
    assert_eq!(ascending, Ok(wanted.clone()));
    assert_eq!(descending, Ok(wanted));
}

#[test]
fn what_depends_on_an_order_gives_other_bits() {
    for name in ["faulty_without_barrier", "faulty_adds_as_blocks_come"] {
        let Some([ascending, descending]) = both(name) else { return };
        assert_ne!(ascending.unwrap(), descending.unwrap(), "{name}");
    }
}

#[test]
fn what_is_not_written_is_not_a_number() {
    let Some([found, _]) = both("faulty_reads_shared_before_writing") else { return };
    assert!(found.unwrap().iter().all(|&bits| f32::from_bits(bits).is_nan()));
}

#[test]
fn faults_are_named() {
    let faults = [
        ("faulty_reads_outside", "outside its buffers"),
        ("faulty_writes_before", "before the start of a buffer"),
        ("faulty_half_a_barrier", "has ended while others wait"),
        ("faulty_two_barriers", "another barrier"),
        ("faulty_lane_is_gone", "a lane that has ended"),
    ];
    for (name, words) in faults {
        let Some([found, _]) = both(name) else { return };
        let error = found.unwrap_err();
        assert!(error.contains(words) && error.contains(name), "{name}: {error}");
    }
}

#[test]
fn arguments_and_what_may_be_written_are_checked() {
    let Some(program) = compile(&FAULTY) else { return };
    let fault = |fill: &dyn Fn(&mut Script)| {
        let mut script = Script::default();
        fill(&mut script);
        script.run(&program, Plan { blocks: 1, order: 0 }).unwrap_err()
    };
    let missing = fault(&|script| {
        script.launch("faulty_right").give(NULL);
    });
    assert!(missing.contains("takes 2 arguments"), "{missing}");
    let wrong = fault(&|script| {
        script.launch("faulty_right").give(NULL).give(64_u64);
    });
    assert!(wrong.contains("a number of 4 bytes"), "{wrong}");
    let read_only = fault(&|script| {
        let y = script.reads(&[0.5_f32; 64]);
        script.launch("faulty_right").give(y).give(64_usize);
    });
    assert!(read_only.contains("only read"), "{read_only}");
    let unknown = fault(&|script| {
        script.launch("faulty_unknown").give(NULL).give(64_usize);
    });
    assert!(unknown.contains("no kernel"), "{unknown}");
}
