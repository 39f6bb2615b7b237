//! Guests behind glass: heads and metrics that users bring, as components of WebAssembly.
//!
//! | module | what it knows |
//! |---|---|
//! | [`manifest`] | `plugin.toml`: which bytes, which keys, which limits |
//! | [`reads`] | which states of which encoder a head reads |
//! | [`structure`] | what a guest is, counted before it is compiled |
//! | [`compile`] | compiling within time and memory, in a process of its own |
//! | [`sandbox`] | the engine and its clock |
//! | [`plugin`] | a guest that was let in |
//! | [`head`], [`metric`] | guests that are alive, and the checks of their answers |
//! | [`limits`] | what a guest may take |
//!
//! A guest is pure and alone: it can call `host.log` and nothing else, and its numbers follow from what it is given. It
//! gets copies and gives copies, everything that it gives is checked for shape and finiteness, and whatever it does ends
//! with its call. This crate knows wasmtime, and nothing of tensors, records or tables: what passes are slices of `f32`.

pub mod compile;
pub mod config;
pub mod contract;
mod encode;
pub mod error;
mod guest;
pub mod head;
pub mod limits;
pub mod manifest;
pub mod metric;
pub mod plugin;
pub mod reads;
pub mod sandbox;
mod seal;
pub mod structure;

pub use compile::{Compiler, serve};
pub use config::{Key, KeyType};
pub use contract::{CONTRACT, LogLevel, Meaning, Row, Score, ScoreInfo, World};
pub use error::PluginError;
pub use guest::LogLine;
pub use head::{Head, HeadAbout};
pub use limits::Limits;
pub use manifest::Manifest;
pub use metric::{Metric, MetricAbout, Rows};
pub use plugin::{Plugin, Setup, sha256};
pub use reads::{Pooled, Reads, Way};
pub use sandbox::{Sandbox, SandboxOptions};
pub use seal::seal;
pub use structure::{Structure, examine};

#[cfg(test)]
mod tests;
