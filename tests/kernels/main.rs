//! Proofs of the kernels: one file per operation, one table of what is proven.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod adamw;
mod attention;
mod contacts;
mod cross_entropy;
mod elementwise;
mod embedding;
mod empty;
mod layer_norm;
mod linear;
mod linear_rows;
mod not_finite;
mod pool;
mod products;
mod reduce;
mod rotary;
mod softmax;
mod table;
