//! A model whose weights can be trained.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use pliant_kernels::{Device, Precision};
use pliant_models::adapter::{AdapterPlan, new_adapter, read_adapter};
use pliant_models::{About, Adapter, Adapting, Loaded, Model, ModelError, Purpose, load_adapted, load_named};
use pliant_seq::{Pack, Vocabulary};
use pliant_tensor::{Ids, Offsets, Param, Tape, Tensor};

use super::brought::refuse_brought;
use super::family::vocabulary;

/// A model of any family, on a device, and what it is saved as.
pub struct Pupil {
    loaded: Loaded,
    vocabulary: &'static Vocabulary,
    /// The model's folder, where it has an adapter that learns and nothing else does.
    adapted: Option<PathBuf>,
}

/// Where an adapter that learns begins.
pub enum Begin<'a> {
    /// With what was written before.
    Read(&'a Path),
    /// New, with the random numbers of a seed.
    New(&'a AdapterPlan, u64),
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
        refuse_brought(folder)?;
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
        refuse_brought(folder)?;
        let loaded = pliant_models::load(folder, device, precision, Purpose::Top(layers));
        Self::new(loaded.with_context(unusable)?).with_context(unusable)
    }

    /// The model of a folder, of which only parameters with one of `names` in their names can be trained.
    ///
    /// # Errors
    /// As [`Pupil::load`], and a name that no parameter has.
    pub fn load_named(folder: &Path, names: &[String], place: (&Device, Precision)) -> anyhow::Result<Self> {
        let unusable = || format!("the model {} cannot be used", folder.display());
        Self::new(load_named(folder, place, names).with_context(unusable)?).with_context(unusable)
    }

    /// The model of a folder, which never changes, with an adapter that can be trained.
    ///
    /// # Errors
    /// As [`Pupil::load`], and an adapter that is none of the model.
    pub fn load_adapted(
        folder: &Path,
        begin: &Begin<'_>,
        place: (&Device, Precision),
    ) -> anyhow::Result<Self> {
        let unusable = || format!("the model {} cannot be used", folder.display());
        let adapter: Adapter = match begin {
            Begin::New(plan, seed) => new_adapter(folder, plan, *seed).with_context(unusable)?,
            Begin::Read(from) => read_adapter(from, folder)
                .with_context(|| format!("the adapter {} cannot be used", from.display()))?,
        };
        let loaded = load_adapted(folder, place, Adapting::Beside(&adapter)).with_context(unusable)?;
        let pupil = Self::new(loaded).with_context(unusable)?;
        Ok(Self { adapted: Some(folder.to_owned()), ..pupil })
    }

    fn new(loaded: Loaded) -> anyhow::Result<Self> {
        let vocabulary = vocabulary(&loaded.about)?;
        Ok(Self { loaded, vocabulary, adapted: None })
    }

    /// Whether an adapter learns, and nothing of the model itself.
    pub fn is_adapted(&self) -> bool {
        self.adapted.is_some()
    }

    /// The number of the highest layer whose states never change; 0 where there is none above the embedding.
    pub fn still(&self) -> usize {
        self.loaded.still()
    }

    /// States of `layer` from the states `x` of the layer `from`, with the sequences of `pack`.
    ///
    /// # Errors
    /// As [`Pupil::states`].
    pub fn states_above(
        &self,
        tape: &Tape,
        x: Tensor,
        pack: &Pack,
        (from, layer): (usize, usize),
    ) -> anyhow::Result<Tensor> {
        let offsets = Offsets::new(&pack.offsets)?;
        let states = self.model().encode_above(tape, x, &offsets, (from, &[layer]))?;
        states.into_iter().next().context("the model gave no states")
    }

    /// Writes the adapter as it is now into the folder `folder`, which must be there.
    ///
    /// # Errors
    /// What the system says.
    pub fn save_adapter(&self, folder: &Path) -> anyhow::Result<()> {
        let model = self.adapted.as_deref().context("a model without an adapter")?;
        let adapter = self.loaded.adapter()?.context("a model without an adapter")?;
        Ok(adapter.write(model, folder)?)
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
