//! The contract `plugins/wit/v0.1.0` in Rust: names, and the types that cross the glass.
//!
//! Letters: B proteins or pairs, T residues, C width of vectors, K columns of predictions.

use std::fmt;

use serde::Deserialize;
use wasmtime::component::{ComponentType, Lift, Lower};

/// The contract as text, for guests that carry no types of their own.
pub(crate) const WIT: &str = include_str!("../../../../plugins/wit/v0.1.0/plugin.wit");

/// The version of the contract.
pub const CONTRACT: &str = "0.1.0";

/// The instance that a guest may call.
pub(crate) const HOST: &str = "pliant:plugin/host@0.1.0";

/// The instance of types that guests import as they are encoded; nothing in it can be called.
pub(crate) const TYPES: &str = "pliant:plugin/types@0.1.0";

/// The one function of [`HOST`].
pub(crate) const LOG: &str = "log";

/// Kinds of plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum World {
    /// From vectors to predictions.
    #[serde(rename = "head-plugin")]
    Head,
    /// From predictions and labels to numbers.
    #[serde(rename = "metric-plugin")]
    Metric,
}

impl World {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Head, Self::Metric];

    /// Its name in the contract and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head-plugin",
            Self::Metric => "metric-plugin",
        }
    }

    /// The instance that such a guest exports.
    pub fn export(self) -> &'static str {
        match self {
            Self::Head => "pliant:plugin/head@0.1.0",
            Self::Metric => "pliant:plugin/metric@0.1.0",
        }
    }

    /// The functions of that instance.
    pub(crate) fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Head => &["init", "describe", "predict", "predict-residues", "predict-pairs"],
            Self::Metric => &["init", "describe", "add", "finish"],
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A matrix on its way to a guest.
#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct TensorView<'a> {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) data: &'a [f32],
}

/// A matrix from a guest.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Tensor {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) data: Vec<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Inputs {
    pub(crate) pooled: bool,
    pub(crate) residues: bool,
    pub(crate) pairs: bool,
}

/// What a row of predictions over residues belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub enum Row {
    /// A protein.
    #[component(name = "protein")]
    Protein,
    /// A residue.
    #[component(name = "residue")]
    Residue,
}

/// What the numbers of a head are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub enum Meaning {
    /// Numbers of their own kind.
    #[component(name = "values")]
    Values,
    /// Logits of classes.
    #[component(name = "logits")]
    Logits,
    /// Probabilities of classes.
    #[component(name = "probabilities")]
    Probabilities,
}

impl Meaning {
    /// Its name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Logits => "logits",
            Self::Probabilities => "probabilities",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct HeadInfo {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) takes: Inputs,
    pub(crate) width: Option<u32>,
    pub(crate) outputs: Vec<String>,
    pub(crate) row: Row,
    pub(crate) meaning: Meaning,
}

/// One number that a metric tells.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct ScoreInfo {
    /// Its name.
    pub name: String,
    /// Whether more is better.
    #[component(name = "higher-is-better")]
    pub higher_is_better: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct MetricInfo {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) columns: Option<u32>,
    pub(crate) scores: Vec<ScoreInfo>,
}

/// A result of a metric.
#[derive(Debug, Clone, PartialEq, ComponentType, Lift)]
#[component(record)]
pub struct Score {
    /// Its name.
    pub name: String,
    /// `None` where the data leave it undefined.
    pub value: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum GuestError {
    #[component(name = "bad-input")]
    BadInput(String),
    #[component(name = "unsupported")]
    Unsupported(String),
    #[component(name = "internal")]
    Internal(String),
}

/// How much a line of a guest matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub enum LogLevel {
    /// For who looks for faults.
    #[component(name = "debug")]
    Debug,
    /// Worth knowing.
    #[component(name = "info")]
    Info,
    /// May not be what was meant.
    #[component(name = "warning")]
    Warning,
    /// Something has failed.
    #[component(name = "error")]
    Error,
}
