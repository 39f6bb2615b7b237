//! Operations: one file each, forward on a [`Tape`](crate::Tape) together with its backward,
//! and what an optimiser does to parameters.

pub mod adamw;
pub mod attention;
pub mod bce;
pub mod contacts;
pub mod conv1d;
pub mod cross_entropy;
pub mod dropout;
pub mod elementwise;
pub mod embedding;
pub mod layer_norm;
pub mod layout;
pub mod linear;
pub mod mse;
pub mod pool;
pub mod reduce;
pub mod rms_norm;
pub mod rotary;
pub mod selective_scan;
pub mod softmax;

pub use adamw::{Moments, Step, adamw};
pub use attention::{attention, attention_probs};
pub use bce::{bce_with_logits, bce_with_logits_over};
pub use contacts::Contacts;
pub use conv1d::{conv1d, conv1d_stretch};
pub use cross_entropy::{IGNORE, cross_entropy, cross_entropy_over};
pub use dropout::dropout;
pub use elementwise::{add, distance, gate, logistic, multiply, relu, scale, tanh};
pub use embedding::{TokenDropout, embedding};
pub use layer_norm::{NormKind, layer_norm};
pub use layout::gather_rows;
pub use linear::{Epilogue, LinearPart, linear};
pub use mse::{mse, mse_over};
pub use pool::{Kind, pool};
pub use reduce::gradient_squares;
pub use rms_norm::rms_norm;
pub use rotary::{Table, rotary};
pub use selective_scan::{ScanInputs, selective_scan, selective_scan_stretch};
pub use softmax::{SoftmaxKind, softmax};
