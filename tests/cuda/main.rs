//! Proofs of the CUDA kernels without a device: every kernel is compiled as C++ and run on the processor, where its
//! threads are fibers, and every source is compiled by NVIDIA's run-time compiler where one is there.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it leaves out"
)]

mod attention;
mod attention_maps;
mod attention_pool;
mod budget;
mod contacts;
mod conv1d;
mod cross_entropy;
mod elementwise;
mod embedding;
mod faults;
mod heads;
mod layout;
mod linear;
mod lstm;
mod machine_code;
mod norms;
mod pool;
mod program;
mod proof;
mod rotary;
mod script;
mod selective_scan;
mod soft_alignment;
mod softmax;
mod tensor_cores;
