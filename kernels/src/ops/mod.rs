//! Operations: one folder each, with its contract in `mod.rs`.

pub mod linear;
