//! From a model folder to a family, its config and the handle of its weights.

use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_nn::checkpoint::CONFIG;
use pliant_nn::{Checkpoint, Weights};

use crate::config::Fields;
use crate::error::ModelError;
use crate::esm2::{Config, Esm2, Parts};
use crate::keys;

/// What a folder of Pliant's own says it is, under `format`.
pub(crate) const FORMAT: &str = "pliant-model-1";

/// A model folder whose config is read and whose headers are checked.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) config: Config,
    pub(crate) parts: Parts,
    pub(crate) weights: Weights,
    pub(crate) vocab_txt: Option<String>,
}

impl Import {
    pub(crate) fn open(folder: &Path, device: &Device, precision: Precision) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::open(folder)?;
        let fields = Fields::parse(&folder.join(CONFIG), &checkpoint.config()?)?;
        check_family(&fields)?;
        let config = Config::read(&fields)?;
        let vocab_txt = checkpoint.text("vocab.txt")?;
        let tied = config.tie_word_embeddings;
        let meanings = |stored: &[&str]| keys::meanings(stored, tied);
        let weights = Weights::stored(checkpoint, meanings, (device, precision))?;
        let parts = Parts::of(&config, &weights);
        Ok(Self { config, parts, weights, vocab_txt })
    }

    /// Walks the model without reading a weight: names and shapes.
    pub(crate) fn survey(&self) -> Result<Weights, ModelError> {
        let survey = self.weights.take(pliant_nn::Take::Shapes);
        Esm2::new(&self.config, self.parts, &survey)?;
        Ok(survey)
    }
}

/// Checks that the config is one of this family: Pliant's own name it, Hugging Face's by `model_type`.
pub(crate) fn check_family(fields: &Fields) -> Result<(), ModelError> {
    if fields.get("format").is_some() {
        fields.must_be("format", FORMAT, FORMAT)?;
        fields.must_be("family", "missing", crate::FAMILY)?;
        return fields.must_be("vocabulary", crate::VOCABULARY, crate::VOCABULARY);
    }
    fields.must_be("model_type", "missing", "esm")
}
