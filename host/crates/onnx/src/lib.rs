//! Models of others as ONNX files: read with limits, run by tract, checked on the way in and out.
//!
//! | module | what it knows |
//! |---|---|
//! | [`sidecar`] | the text beside a file: vocabulary, inputs, which output, pooling, what the numbers of a head mean |
//! | [`limits`] | how large a file, and what is made of it, may be |
//! | `outline` | the parts of a file, counted before anything is made of them |
//! | [`file`] | a file, checked: sizes of tensors, data in other files, operators |
//! | `constants` | how large what is computed while reading can become |
//! | `results` | how large what is made on the way is, each and all that is held at once |
//! | `program` | a file as tract runs it, for any length |
//! | [`apart`] | a file tried out in a process of its own, bounded in time and memory |
//! | [`encoder`], [`head`] | proteins one by one to states; rows in blocks to the numbers of a head |
//! | [`numerics`] | the name of the class of numbers that tract computes here |
//! | [`write`] | heads as ONNX files |
//!
//! A file is never trusted. Nothing is made of it before it is counted; nothing outside its folder is read; operators that
//! tract does not know, that draw random numbers or whose sizes do not follow from the length are refused by name; and what
//! still goes wrong inside tract, a panic too, is an error that names the file. What tract makes while it reads cannot all be
//! told beforehand, so [`apart`] lets another process read first, which is ended where it takes too much. A call that takes
//! too long is an error.

pub mod apart;
mod constants;
pub mod encoder;
mod error;
pub mod file;
pub mod head;
pub mod limits;
pub mod numerics;
mod outline;
mod program;
mod results;
pub mod sidecar;
pub mod write;

pub use encoder::{Encoder, Wanted};
pub use error::OnnxError;
pub use file::{Contents, ModelFile};
pub use head::{BLOCK, Head};
pub use limits::Limits;
pub use numerics::numerics;
pub use sidecar::{EncoderSidecar, Gives, HeadSidecar, Input, LabelKind, Pooling, Reads, Rows};
pub use write::{Activation, Form, HeadGraph, Layer, write_head};

#[cfg(test)]
mod tests;
