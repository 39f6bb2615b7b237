//! Operations: one folder each, with its contract in `mod.rs`.

pub mod adamw;
pub mod attention;
pub mod contacts;
pub mod cross_entropy;
pub mod dropout;
pub mod elementwise;
pub mod embedding;
pub mod layer_norm;
pub mod layout;
pub mod linear;
pub mod pool;
<<<<<<< HEAD
pub mod rms_norm;
=======
pub mod reduce;
>>>>>>> d8204f8 (AdamW and sums of squares as kernels; parameters change in place; optimiser and schedules in nn)
pub mod rotary;
pub mod softmax;
