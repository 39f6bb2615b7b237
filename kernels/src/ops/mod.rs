//! Operations: one folder each, with its contract in `mod.rs`.

pub mod adamw;
pub mod attention;
pub mod attention_pool;
pub mod bce;
pub mod contacts;
pub mod conv1d;
pub mod conv2d;
pub mod cross_entropy;
pub mod dropout;
pub mod elementwise;
pub mod embedding;
pub mod layer_norm;
pub mod layout;
pub mod linear;
pub mod lstm;
pub mod mse;
pub mod ordinal;
pub mod pair_features;
pub mod pair_logits;
pub mod pool;
pub mod reduce;
pub mod rms_norm;
pub mod rotary;
pub mod selective_scan;
pub mod soft_alignment;
pub mod softmax;
