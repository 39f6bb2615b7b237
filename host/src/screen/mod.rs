//! Screens: the pairs of many proteins scored by a head, and the best of them kept.
//!
//! ```text
//! Asked ─► units ─► Scorer: blocks of logits ─► Tally: best partners, moments ─► Answer: ranks, z ─► rows
//!                                                 │  ▲
//!                                                 ▼  │
//!                                        Checkpoint, or the part of a shard
//! ```
//!
//! | file | what it knows |
//! |---|---|
//! | [`asked`] | which pairs there are, in units of work that are the same on every machine |
//! | [`scorer`] | numbers of proteins to logits of a block |
//! | [`asks`] | heads that users bring, asked about pairs by several threads |
//! | [`tally`] | what is kept: the best partners of every protein or all pairs, and the moments of each protein's logits |
//! | [`sift`] | from a block of logits to the tally, over threads |
//! | [`part`] | a tally in a file, with all that is needed to make an answer of it |
//! | [`checkpoint`] | a tally that outlives its process |
//! | [`work`] | unit after unit, with checkpoints |
//! | [`run`] | a screen or a shard of one, from its checkpoint to its file |
//! | [`answer`] | ranks and z of what was kept, the strongest first |
//! | [`calibration`] | what a logit is worth: probabilities and expected precision |
//! | [`report`] | the answer as files |
//!
//! Everything that is added up is whole numbers and everything that is chosen has one order, so that an answer depends
//! neither on blocks and threads nor on shards and kills.

pub mod answer;
pub mod asked;
pub mod asks;
pub mod calibration;
pub mod checkpoint;
mod error;
mod kill;
pub mod part;
pub mod report;
pub mod run;
pub mod scorer;
pub mod sift;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod work;

use serde::{Deserialize, Serialize};

pub use error::ScreenError;
#[cfg(test)]
pub(crate) use kill::POINTS as KILL_POINTS;

/// A pair of two proteins, by their numbers, and its logit. The first has the lower number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// The protein with the lower number.
    pub first: u32,
    /// The other.
    pub second: u32,
    /// What the head says.
    pub logit: f32,
}

/// The proteins of a screen, in the order of the input.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proteins {
    /// Their names, each once.
    pub ids: Vec<String>,
    /// Residues of each, where they are known.
    pub lengths: Option<Vec<u32>>,
    /// How near each is to its nearest protein of the training, from 0 to 1, where that was asked.
    pub identities: Option<Vec<f32>>,
}

/// Which part of a screen is computed: part `number` of `count`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// From 1.
    pub number: usize,
    /// How many there are.
    pub count: usize,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { number: 1, count: 1 };
}

impl std::fmt::Display for Shard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.number, self.count)
    }
}
