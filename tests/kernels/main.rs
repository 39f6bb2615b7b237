//! Proofs of the kernels: one file per operation, one table of what is proven.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod activation;
mod adamw;
mod attention;
mod attention_pool;
mod bce;
mod contacts;
mod conv1d;
mod conv2d;
mod cross_entropy;
mod dropout;
mod elementwise;
mod embedding;
mod empty;
mod gate;
mod layer_norm;
mod layout;
mod linear;
mod linear_rows;
mod lstm;
mod mse;
mod not_finite;
mod ordinal;
mod pair_features;
mod pair_logits;
mod pair_sums;
mod pool;
mod products;
mod reduce;
mod rms_norm;
mod rotary;
mod selective_scan;
mod soft_alignment;
mod softmax;
mod table;
