//! A model whose weights can be trained.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use pliant_kernels::{Device, Precision};
use pliant_models::{About, Loaded, Model, ModelError, Purpose};
use pliant_seq::{Pack, Vocabulary};
use pliant_tensor::{Ids, Offsets, Param, Tape, Tensor};

use super::family::vocabulary;

/// A model of any family, on a device, and what it is saved as.
pub struct Pupil {
    loaded: Loaded,
    vocabulary: &'static Vocabulary,
}

impl Pupil {
    /// The model of the configuration `config`, with the random weights of `seed`.
    ///
    /// # Errors
    /// A configuration that is missing or does not fit.
    pub fn create(
        config: &Path,
        seed: u64,
        (device, precision): (&Device, Precision),
    ) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(config).with_context(|| format!("cannot read {}", config.display()))?;
        let place = (device, precision);
        Self::new(pliant_models::create(&text, config, seed, place, Purpose::Training)?)
    }

    /// The model of a folder.
    ///
    /// # Errors
    /// A folder that is damaged or holds another model than its configuration says.
    pub fn load(folder: &Path, (device, precision): (&Device, Precision)) -> anyhow::Result<Self> {
        let unusable = || format!("the model {} cannot be used", folder.display());
        let loaded = pliant_models::load(folder, device, precision, Purpose::Training);
        Self::new(loaded.with_context(unusable)?).with_context(unusable)
    }

    /// The model of a folder, of which only the `layers` last layers and what comes after them can be trained.
    ///
    /// # Errors
    /// As [`Pupil::load`].
    pub fn load_top(
        folder: &Path,
        layers: usize,
        (device, precision): (&Device, Precision),
    ) -> anyhow::Result<Self> {
        let unusable = || format!("the model {} cannot be used", folder.display());
        let loaded = pliant_models::load(folder, device, precision, Purpose::Top(layers));
        Self::new(loaded.with_context(unusable)?).with_context(unusable)
    }

    fn new(loaded: Loaded) -> anyhow::Result<Self> {
        let vocabulary = vocabulary(&loaded.about)?;
        Ok(Self { loaded, vocabulary })
    }

    /// Tells whether it can tell tokens from states.
    ///
    /// # Errors
    /// [`ModelError::NoHead`].
    pub fn check_lm_head(&self) -> Result<(), ModelError> {
        if self.model().has_lm_head() { Ok(()) } else { Err(ModelError::NoHead) }
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

    /// The model itself.
    pub fn model(&self) -> &Model {
        &self.loaded.model
    }

    /// Every parameter once.
    pub fn params(&self) -> &[Arc<Param>] {
        self.model().params()
    }

    /// States `[T,C]` of the last layer for the T tokens of a pack.
    ///
    /// # Errors
    /// What the model or the device cannot do.
    pub fn states(&self, tape: &Tape, pack: &Pack) -> anyhow::Result<Tensor> {
        self.layer_states(tape, pack, self.model().layers())
    }

    /// The same of any layer.
    ///
    /// # Errors
    /// As [`Pupil::states`].
    pub fn layer_states(&self, tape: &Tape, pack: &Pack, layer: usize) -> anyhow::Result<Tensor> {
        self.states_of(tape, pack, &[layer])?.into_iter().next().context("the model gave no states")
    }

    /// The same of several layers.
    ///
    /// # Errors
    /// As [`Pupil::states`].
    pub fn states_of(&self, tape: &Tape, pack: &Pack, layers: &[usize]) -> anyhow::Result<Vec<Tensor>> {
        let ids = Ids::new(tape.device(), &pack.ids);
        let offsets = Offsets::new(&pack.offsets)?;
        Ok(self.model().encode(tape, &ids, &offsets, layers)?)
    }

    /// Writes the model folder `folder`, which must be new.
    ///
    /// # Errors
    /// What the system says.
    pub fn save(&self, folder: &Path) -> anyhow::Result<()> {
        Ok(self.loaded.save(&self.vocabulary.text(), folder)?)
    }
}
