//! How parameters learn, whatever they belong to: packs to gradients, gradients to steps, and what is kept of it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use pliant_kernels::{Device, Precision};
use pliant_nn::optim::{AdamW, AdamWSettings, OptimError};
use pliant_nn::{Checkpoint, CheckpointError, NamedValues, write_values};
use pliant_tensor::{Param, Tape, Tensor};

/// How names of means of gradients begin in a file, and those of means of their squares.
const MOMENTS: [&str; 2] = ["first.", "second."];

/// How parameters learn, beside the rate.
#[derive(Debug, Clone, Copy)]
pub struct LearnerSettings {
    /// The number type of matrix operands.
    pub precision: Precision,
    /// Decays and the like.
    pub optimizer: AdamWSettings,
    /// Whether blocks are computed again for their gradients.
    pub recompute: bool,
    /// Seed of what is dropped.
    pub seed: u64,
}

/// Parameters that learn alike: those of a model, or of a head on top of it.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a> {
    /// What its names begin with in the file of moments, so that a model and its head may use the same; none for the
    /// model itself.
    pub prefix: &'static str,
    /// The parameters; those that cannot be trained are left alone.
    pub params: &'a [Arc<Param>],
    /// What the learning rate of a step is multiplied by.
    pub rate: f64,
    /// Largest norm of the gradients of this group; `None` for any.
    pub clip: Option<f64>,
}

/// A group with the moments of its gradients.
struct Trained {
    prefix: &'static str,
    rate: f64,
    clip: Option<f64>,
    optimizer: AdamW,
}

/// Parameters on a device with the moments of their gradients. It knows no model: a step asks for losses.
pub struct Learner {
    device: Device,
    settings: LearnerSettings,
    groups: Vec<Trained>,
}

/// What a step was like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lesson {
    /// Sum of the losses of its packs.
    pub loss: f64,
    /// Norm of all gradients, before any were clipped.
    pub gradient_norm: f64,
}

/// Why a step was not taken. No weight has changed.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The loss of a pack is no number.
    #[error("the loss is {value}")]
    Loss {
        /// Which of the packs of the step, from 0.
        pack: usize,
        /// What was found.
        value: f32,
    },
    /// The gradients of all packs together are not.
    #[error(transparent)]
    Gradient(OptimError),
    /// Something that has nothing to do with the numbers.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl Learner {
    /// Before the first step. Groups must have prefixes of their own.
    ///
    /// # Errors
    /// Settings that make no sense, and a group of which nothing can be trained.
    pub fn new(device: &Device, settings: LearnerSettings, groups: &[Group<'_>]) -> anyhow::Result<Self> {
        let trained = |group: &Group<'_>| {
            let &Group { prefix, params, rate, clip } = group;
            let optimizer = AdamW::new(params, settings.optimizer)?;
            Ok::<_, OptimError>(Trained { prefix, rate, clip, optimizer })
        };
        let groups = groups.iter().map(trained).collect::<Result<_, _>>()?;
        Ok(Self { device: device.clone(), settings, groups })
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How parameters learn.
    pub fn settings(&self) -> &LearnerSettings {
        &self.settings
    }

    /// A tape to look at what was learnt, on which nothing is learnt.
    pub fn tape(&self) -> Tape {
        Tape::off(&self.device, self.settings.precision)
    }

    /// Takes one step of `rate` along the gradients of the losses `[1,1]` of `packs` packs together: `loss` gives that of
    /// each by its number in the step, divided by what all of them share. `first` is the number of the first pack in the
    /// run.
    ///
    /// # Errors
    /// [`LearnError`]; nothing has changed then but gradients.
    pub fn learn(
        &mut self,
        packs: usize,
        first: u64,
        rate: f64,
        mut loss: impl FnMut(&Tape, usize) -> anyhow::Result<Tensor>,
    ) -> Result<Lesson, LearnError> {
        let mut sum = 0.0;
        for number in 0..packs {
            // Random numbers of a pack are its own; after 2³² packs they come again.
            let turn = (first + number as u64) as u32;
            let tape = Tape::on(&self.device, self.settings.precision)
                .with_random(self.settings.seed, turn)
                .with_recompute(self.settings.recompute);
            let part = loss(&tape, number)?;
            let value = number_of(&part)?;
            if !value.is_finite() {
                return Err(LearnError::Loss { pack: number, value });
            }
            sum += f64::from(value);
            tape.backward(&part).map_err(anyhow::Error::from)?;
        }
        let gradient_norm = self.step(rate).map_err(|error| match error {
            OptimError::NotFinite { .. } => LearnError::Gradient(error),
            error => LearnError::Other(error.into()),
        })?;
        Ok(Lesson { loss: sum, gradient_norm })
    }

    /// Moves every group, once the gradients of all are known to be numbers. Gives the norm of all of them.
    fn step(&mut self, rate: f64) -> Result<f64, OptimError> {
        if let [Trained { rate: factor, clip, optimizer, .. }] = &mut self.groups[..] {
            return Ok(optimizer.step(rate * *factor, *clip)?.gradient_norm);
        }
        for Trained { optimizer, .. } in &self.groups {
            optimizer.gradient_norm()?;
        }
        let mut squares = 0.0;
        for Trained { rate: factor, clip, optimizer, .. } in &mut self.groups {
            squares += optimizer.step(rate * *factor, *clip)?.gradient_norm.powi(2);
        }
        Ok(squares.sqrt())
    }

    /// Writes the file of moments `path`.
    ///
    /// # Errors
    /// What the system says.
    pub fn save_moments(&self, path: &Path) -> anyhow::Result<()> {
        let mut names = Vec::new();
        for Trained { prefix, optimizer, .. } in &self.groups {
            let named = optimizer.moments();
            names.extend(
                named.map(|(param, ..)| MOMENTS.map(|kind| format!("{kind}{prefix}{}", param.name()))),
            );
        }
        let mut tensors = Vec::with_capacity(2 * names.len());
        let moments = self.groups.iter().flat_map(|group| group.optimizer.moments());
        for ((param, first, second), [first_name, second_name]) in moments.zip(&names) {
            for (name, values) in [(first_name, first), (second_name, second)] {
                tensors.push(NamedValues { name, shape: param.shape(), values });
            }
        }
        Ok(write_values(path, &tensors)?)
    }

    /// Takes the moments of a file that [`Learner::save_moments`] wrote after `steps` steps.
    ///
    /// # Errors
    /// A file that is damaged or belongs to other parameters.
    pub fn restore(&mut self, path: &Path, steps: u64) -> anyhow::Result<()> {
        let unusable = || format!("the moments {} cannot be used", path.display());
        let file = Checkpoint::open_files(path, None).with_context(unusable)?;
        let saved: Vec<&str> = file.tensors().filter_map(|(name, _)| name.strip_prefix(MOMENTS[0])).collect();
        let prefixes: Vec<&str> = self.groups.iter().map(|group| group.prefix).collect();
        let mut failed: Option<CheckpointError> = None;
        let mut read = |name: String| {
            let stored = file.get(&name)?;
            let values = file.read(&name, stored).map_err(|error| failed = Some(error)).ok()?;
            Some(values.0)
        };
        for Trained { prefix, optimizer, .. } in &mut self.groups {
            let own = |name: &&&str| owner(name, &prefixes) == Some(*prefix);
            let names = saved.iter().filter(own).map(|name| name.strip_prefix(*prefix).unwrap_or(name));
            let restored = optimizer.restore(steps, names, |name| {
                let [first, second] = MOMENTS.map(|kind| format!("{kind}{prefix}{name}"));
                Some((read(first)?, read(second)?))
            });
            if restored.is_err() {
                return match failed {
                    Some(error) => Err(error).with_context(unusable),
                    None => restored.with_context(unusable),
                };
            }
        }
        Ok(())
    }
}

/// The group that a saved name belongs to: the one with the longest prefix that fits. One that fits nowhere is the first
/// one's, which refuses it.
fn owner<'a>(name: &str, prefixes: &[&'a str]) -> Option<&'a str> {
    let fitting = prefixes.iter().filter(|prefix| name.starts_with(**prefix));
    fitting.max_by_key(|prefix| prefix.len()).or(prefixes.first()).copied()
}

/// The number of a loss `[1,1]`.
pub(super) fn number_of(loss: &Tensor) -> anyhow::Result<f32> {
    loss.to_vec_f32().first().copied().context("a loss without a number")
}

#[cfg(test)]
mod tests;
