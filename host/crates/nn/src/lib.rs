//! Layers with parameter names, and where their parameters come from.
//!
//! | file | what it is |
//! |---|---|
//! | [`checkpoint`] | weights on disk: safetensors and files of PyTorch read, safetensors written, hostile files refused |
//! | [`weights`] | the handle by which a model asks for its parameters: read, made, hashed or only listed |
//! | [`live`] | the parameters of a model in memory, written to a file and read back into it |
//! | [`init`] | first values, a function of seed and name |
//! | [`linear`], [`layer_norm`], [`rms_norm`], [`embedding`], [`conv2d`], [`mamba`], [`bimamba`], [`lstm`] | layers |
//! | [`optim`] | AdamW, and the learning rate of every step |
//!
//! A layer knows the names of its parameters and their shapes; gradients are the tape's business.

pub mod bimamba;
pub mod checkpoint;
pub mod conv2d;
pub mod embedding;
pub mod error;
pub mod init;
pub mod layer_norm;
pub mod linear;
pub mod live;
pub mod lstm;
pub mod mamba;
pub mod optim;
pub mod rms_norm;
pub mod weights;

pub use bimamba::{BiMamba, Strategy};
pub use checkpoint::{
    Checkpoint, NamedValues, PickleProblem, Planned, Setting, Settings, StoredType, write_safetensors,
    write_values,
};
pub use conv2d::Conv2d;
pub use embedding::Embedding;
pub use error::{CheckpointError, FileProblem, Name, TensorProblem};
pub use init::Init;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use live::{Live, LiveValues, read_live, write_live};
pub use lstm::{BiLstm, LstmGates};
pub use mamba::{Mamba, MambaCarry, MambaSizes};
pub use optim::OptimError;
pub use rms_norm::RmsNorm;
pub use weights::{
    Content, Copied, KeyReport, LowRankValues, Meaning, Record, Side, Sides, Siding, Take, Weights,
};
