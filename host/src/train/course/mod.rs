//! What the loop does not know of a training: what is learnt from, what is told of it, what it is examined with.
//!
//! | file | what is learnt |
//! |---|---|
//! | [`labels`] | to tell labels of proteins, residues and pairs |
//! | [`mlm`] | to tell residues: hidden ones, or each from its neighbours |
//! | [`pairs`] | to tell hidden residues, and whether two proteins are of one family |

pub mod labels;
pub mod mlm;
pub mod pairs;

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use super::checkpoint::{MODEL, OPTIMIZER};
use super::kill::point;
use crate::engine::{LearnError, Learner, Pupil};

/// A training, as the loop sees it. Everything that it draws is a function of the numbers it is asked for: packs are
/// numbered over the whole run, from 0.
pub trait Course {
    /// Takes one step of `rate` along the gradients of the packs of these numbers together.
    ///
    /// # Errors
    /// [`LearnError`]; nothing has been learnt then.
    fn learn(&mut self, packs: Range<u64>, rate: f64) -> Result<Told, LearnError>;

    /// The sequences of a pack by their numbers, for an error that names them.
    fn sequences(&self, pack: u64) -> Vec<u64>;

    /// Looks at what was learnt, with what is not learnt from; `None` where nothing was kept apart.
    ///
    /// # Errors
    /// What the model or the device cannot do.
    fn examine(&self) -> anyhow::Result<Option<Findings>>;

    /// What else stands in the line of an examination and is not kept in a checkpoint: what depends on the machine.
    fn beside(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// Writes everything that a checkpoint holds beside the state of the run into `folder`, which is new.
    ///
    /// # Errors
    /// What the system says.
    fn save(&self, folder: &Path) -> anyhow::Result<()>;
}

/// What a step has to tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// The loss, a mean over `places`.
    pub loss: f64,
    /// What it is a mean of, so that means over several steps are right: residues told, pairs, proteins.
    pub places: u64,
    /// Norm of all gradients.
    pub gradient_norm: f64,
    /// Tokens of the packs.
    pub tokens: u64,
    /// Residues among them.
    pub residues: u64,
    /// Passes over what is learnt from that are over.
    pub epoch: u64,
    /// Further numbers of the line of the log, where they stand in the order of their names.
    pub parts: Vec<Part>,
}

/// A number that is a mean over something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// Its name in the log.
    pub name: &'static str,
    /// The sum that it is the mean of.
    pub sum: f64,
    /// The number of things summed; a mean of nothing is told as nothing.
    pub count: u64,
}

/// The name of the loss of masked residues alone among the parts of [`Findings`].
pub const MASKED_LOSS: &str = "held_out_masked_loss";

/// What an examination has found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// The loss.
    pub loss: f64,
    /// Further numbers of the line of the log, by their names there and in its order; what is not known is `None`.
    pub parts: Vec<(Cow<'static, str>, Option<f64>)>,
    /// The number by which checkpoints are better or worse, less is better; `None`: the loss.
    pub rank: Option<f64>,
    /// A second such number, by which the best one is kept too; `None`: there is none.
    pub other: Option<f64>,
}

/// Writes what a checkpoint holds of a model that learns as a whole.
///
/// # Errors
/// What the system says.
pub fn save(pupil: &Pupil, learner: &Learner, folder: &Path) -> anyhow::Result<()> {
    pupil.save(&folder.join(MODEL))?;
    point("checkpoint: model written");
    learner.save_moments(&folder.join(OPTIMIZER))?;
    point("checkpoint: moments written");
    Ok(())
}
