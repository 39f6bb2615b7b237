//! A model that learns: what a step makes of packs, and what is kept of it.

use std::path::Path;

use anyhow::Context as _;
use pliant_kernels::{Device, Precision};
use pliant_models::{About, Loaded, ModelError, Purpose};
use pliant_nn::optim::{AdamW, AdamWSettings, OptimError};
use pliant_nn::{Checkpoint, CheckpointError, NamedValues, write_values};
use pliant_seq::{TrainingPack, Vocabulary};
use pliant_tensor::ops::{IGNORE, cross_entropy_over, gather_rows};
use pliant_tensor::{Ids, Offsets, Tape, Tensor};

use super::family::{vocab_txt, vocabulary};

/// How names of means of gradients begin in a file, and those of means of their squares.
const MOMENTS: [&str; 2] = ["first.", "second."];

/// How a model learns, beside the rate.
#[derive(Debug, Clone, Copy)]
pub struct LearnerSettings {
    /// The number type of matrix operands.
    pub precision: Precision,
    /// Decays and the like.
    pub optimizer: AdamWSettings,
    /// Largest norm of all gradients; `None` for any.
    pub clip: Option<f64>,
    /// Whether blocks are computed again for their gradients.
    pub recompute: bool,
    /// Seed of what is dropped.
    pub seed: u64,
}

/// A model on a device with the moments of its gradients.
pub struct Learner {
    device: Device,
    settings: LearnerSettings,
    loaded: Loaded,
    vocabulary: &'static Vocabulary,
    optimizer: AdamW,
}

/// What a step was like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lesson {
    /// Mean cross-entropy of the residues that were to be told, in natural units.
    pub loss: f64,
    /// Norm of all gradients, before they were clipped.
    pub gradient_norm: f64,
}

/// Mean cross-entropies of residues that were asked for, in natural units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Examination {
    /// Of all of them.
    pub loss: f64,
    /// Of those alone that were hidden behind the mask token: the others are shown or falsified, and what is shown is
    /// easily told. `None` where none was hidden.
    pub masked_loss: Option<f64>,
}

/// A sum of cross-entropies that grows pack by pack.
#[derive(Default)]
struct Sum {
    losses: f64,
    count: usize,
}

impl Sum {
    fn add(&mut self, tape: &Tape, logits: &Tensor, targets: &[u32]) -> anyhow::Result<()> {
        let count = targets.iter().filter(|target| **target != IGNORE).count();
        if count > 0 {
            let targets = Ids::new(tape.device(), targets);
            let mean = number_of(&cross_entropy_over(tape, logits, &targets, count)?)?;
            self.losses += f64::from(mean) * count as f64;
            self.count += count;
        }
        Ok(())
    }

    fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.losses / self.count as f64)
    }
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
    /// The model of the configuration `config`, with the random weights of `seed`.
    ///
    /// # Errors
    /// A configuration that is missing or does not fit.
    pub fn create(
        config: &Path,
        seed: u64,
        device: &Device,
        settings: LearnerSettings,
    ) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(config).with_context(|| format!("cannot read {}", config.display()))?;
        let place = (device, settings.precision);
        let loaded = pliant_models::create(&text, config, seed, place, Purpose::Training)?;
        Self::new(loaded, device, settings)
    }

    /// The model of a folder.
    ///
    /// # Errors
    /// A folder that is damaged or holds another model than its configuration says, and a model without head.
    pub fn load(folder: &Path, device: &Device, settings: LearnerSettings) -> anyhow::Result<Self> {
        let loaded = pliant_models::load(folder, device, settings.precision, Purpose::Training);
        let unusable = || format!("the model {} cannot be used", folder.display());
        Self::new(loaded.with_context(unusable)?, device, settings).with_context(unusable)
    }

    fn new(loaded: Loaded, device: &Device, settings: LearnerSettings) -> anyhow::Result<Self> {
        if !loaded.model.has_lm_head() {
            return Err(ModelError::NoHead.into());
        }
        let vocabulary = vocabulary(&loaded.about)?;
        let optimizer = AdamW::new(loaded.model.params(), settings.optimizer)?;
        Ok(Self { device: device.clone(), settings, loaded, vocabulary, optimizer })
    }

    /// How residues become tokens.
    pub fn vocabulary(&self) -> &'static Vocabulary {
        self.vocabulary
    }

    /// What the model is.
    pub fn about(&self) -> &About {
        &self.loaded.about
    }

    /// What the model was before it learnt anything here, in hex.
    pub fn identity(&self) -> &str {
        &self.loaded.identity
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Takes one step along the gradients of the mean loss over all residues that `packs` ask for. `first` is the number
    /// of the first of them in the run.
    ///
    /// # Errors
    /// [`LearnError`]; nothing has changed then but gradients.
    pub fn learn(&mut self, packs: &[TrainingPack], first: u64, rate: f64) -> Result<Lesson, LearnError> {
        let places: usize = packs.iter().map(|pack| pack.places.len()).sum();
        let mut loss = 0.0;
        for (number, pack) in packs.iter().enumerate() {
            // Random numbers of a pack are its own; after 2³² packs they come again.
            let turn = (first + number as u64) as u32;
            let tape = Tape::on(&self.device, self.settings.precision)
                .with_random(self.settings.seed, turn)
                .with_recompute(self.settings.recompute);
            let part = self.loss(&tape, pack, places)?;
            let value = number_of(&part)?;
            if !value.is_finite() {
                return Err(LearnError::Loss { pack: number, value });
            }
            loss += f64::from(value);
            tape.backward(&part).map_err(anyhow::Error::from)?;
        }
        match self.optimizer.step(rate, self.settings.clip) {
            Ok(report) => Ok(Lesson { loss, gradient_norm: report.gradient_norm }),
            Err(error @ OptimError::NotFinite { .. }) => Err(LearnError::Gradient(error)),
            Err(error) => Err(LearnError::Other(error.into())),
        }
    }

    /// What the model knows of the residues that `packs` ask for; nothing is learnt.
    ///
    /// # Errors
    /// What the model or the device cannot do.
    pub fn evaluate(&self, packs: impl Iterator<Item = TrainingPack>) -> anyhow::Result<Examination> {
        let (mut asked, mut hidden) = (Sum::default(), Sum::default());
        let tape = Tape::off(&self.device, self.settings.precision);
        for pack in packs {
            let logits = self.logits(&tape, &pack)?;
            asked.add(&tape, &logits, &pack.targets)?;
            let shows_mask = |place: &usize| pack.pack.ids[*place] == self.vocabulary.mask;
            let told = pack.places.iter().zip(&pack.targets);
            let targets: Vec<u32> =
                told.map(|(place, target)| if shows_mask(place) { *target } else { IGNORE }).collect();
            hidden.add(&tape, &logits, &targets)?;
        }
        let loss = asked.mean().context("there is no residue to tell")?;
        Ok(Examination { loss, masked_loss: hidden.mean() })
    }

    /// Sum of the cross-entropies of the residues that a pack asks for, divided by `denominator`: `[1,1]`.
    fn loss(&self, tape: &Tape, pack: &TrainingPack, denominator: usize) -> anyhow::Result<Tensor> {
        let logits = self.logits(tape, pack)?;
        let targets = Ids::new(&self.device, &pack.targets);
        Ok(cross_entropy_over(tape, &logits, &targets, denominator)?)
    }

    /// Logits `[R,V]` of the R residues that a pack asks for.
    fn logits(&self, tape: &Tape, pack: &TrainingPack) -> anyhow::Result<Tensor> {
        let ids = Ids::new(&self.device, &pack.pack.ids);
        let offsets = Offsets::new(&pack.pack.offsets)?;
        let model = &self.loaded.model;
        let states = model.encode(tape, &ids, &offsets, &[model.layers()])?;
        let last = states.first().context("the model gave no states")?;
        // The head, whose products are as wide as the model, is for the chosen residues alone.
        let chosen = gather_rows(tape, last, &pack.places)?;
        Ok(model.lm_logits(tape, &chosen)?)
    }

    /// Writes the model folder `model`, which must be new.
    ///
    /// # Errors
    /// What the system says.
    pub fn save_model(&self, model: &Path) -> anyhow::Result<()> {
        Ok(self.loaded.save(&vocab_txt(), model)?)
    }

    /// Writes the file of moments `moments`.
    ///
    /// # Errors
    /// What the system says.
    pub fn save_moments(&self, moments: &Path) -> anyhow::Result<()> {
        let mut names = Vec::new();
        for (param, ..) in self.optimizer.moments() {
            names.push(MOMENTS.map(|kind| format!("{kind}{}", param.name())));
        }
        let mut tensors = Vec::with_capacity(2 * names.len());
        for ((param, first, second), [first_name, second_name]) in self.optimizer.moments().zip(&names) {
            for (name, values) in [(first_name, first), (second_name, second)] {
                tensors.push(NamedValues { name, shape: param.shape(), values });
            }
        }
        Ok(write_values(moments, &tensors)?)
    }

    /// Takes the moments of a file that [`Learner::save_moments`] wrote after `steps` steps.
    ///
    /// # Errors
    /// A file that is damaged or belongs to another model.
    pub fn restore(&mut self, moments: &Path, steps: u64) -> anyhow::Result<()> {
        let unusable = || format!("the moments {} cannot be used", moments.display());
        let file = Checkpoint::open_files(moments, None).with_context(unusable)?;
        let saved: Vec<&str> = file.tensors().filter_map(|(name, _)| name.strip_prefix(MOMENTS[0])).collect();
        let mut failed: Option<CheckpointError> = None;
        let mut read = |name: String| {
            let stored = file.get(&name)?;
            let values = file.read(&name, stored).map_err(|error| failed = Some(error)).ok()?;
            Some(values.0)
        };
        let restored = self.optimizer.restore(steps, saved, |name| {
            let [first, second] = MOMENTS.map(|kind| format!("{kind}{name}"));
            Some((read(first)?, read(second)?))
        });
        match failed {
            Some(error) => Err(error).with_context(unusable),
            None => restored.with_context(unusable),
        }
    }
}

fn number_of(loss: &Tensor) -> anyhow::Result<f32> {
    loss.to_vec_f32().first().copied().context("a loss without a number")
}
