//! Operations: one folder each, with its contract in `mod.rs`.

pub mod adamw;
pub mod attention;
pub mod contacts;
pub mod cross_entropy;
pub mod elementwise;
pub mod embedding;
pub mod layer_norm;
pub mod linear;
pub mod pool;
pub mod reduce;
pub mod rotary;
pub mod softmax;
