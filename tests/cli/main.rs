//! The command line, through the real program: what it says, what it writes, how it ends.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test that is skipped says so")]

mod align;
mod binary;
mod brought;
mod bytes;
mod cache;
mod cache_commands;
mod contacts;
mod cuda;
mod disks;
mod doctor;
mod errors;
mod evaluate;
mod fasta;
mod finetune;
mod gather;
mod help;
mod hub;
mod import;
mod inputs;
mod interrupted;
mod kernels;
mod lc_plm;
mod leakage;
mod long;
mod lora;
mod model;
mod onnx;
mod outputs;
mod plot;
mod plugin;
mod plus;
mod ppi;
mod pretrain;
mod pretrain_learns;
mod pretrain_pairs;
mod pull;
mod results;
mod scores;
mod screen;
mod screen_brought;
mod snapshot;
mod split;
mod sweep;
mod tool;
