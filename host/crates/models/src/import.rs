//! From a model folder or a file of weights to a family, its config and the handle of its weights.

use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_nn::checkpoint::CONFIG;
use pliant_nn::{Checkpoint, Record, Weights};
use serde_json::{Map, Value, json};

use crate::config::Fields;
use crate::error::ModelError;
use crate::esm2::{Config, Esm2, LmHeadKind, Parts};
use crate::{fair_esm, keys};

/// What a folder of Pliant's own says it is, under `format`.
pub(crate) const FORMAT: &str = "pliant-model-1";

/// A model folder whose config is read and whose headers are checked.
#[derive(Debug)]
pub(crate) struct Import {
    fields: Fields,
    pub(crate) config: Config,
    pub(crate) parts: Parts,
    pub(crate) weights: Weights,
    pub(crate) vocab_txt: Option<String>,
}

impl Import {
    /// Opens a model folder, or a file of fair-esm with the contact regression that stands beside it.
    pub(crate) fn open(source: &Path, device: &Device, precision: Precision) -> Result<Self, ModelError> {
        Self::open_with(source, None, device, precision)
    }

    /// The same, with another file of the contact regression.
    pub(crate) fn open_with(
        source: &Path,
        contact_regression: Option<&Path>,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, ModelError> {
        if source.is_file() {
            let beside = fair_esm::regression_beside(source);
            let regression = contact_regression.or(beside.as_deref());
            let checkpoint = Checkpoint::open_files(source, regression)?;
            let meanings = |stored: &[&str]| keys::meanings(stored, true);
            let weights = Weights::stored(checkpoint, meanings, (device, precision))?;
            let fields = fair_esm::fields(source, &weights)?;
            return Self::new(fields, weights, None);
        }
        let checkpoint = Checkpoint::open(source)?;
        if let Some(found) = contact_regression {
            return Err(ModelError::NoRegression { source_path: source.to_owned(), found: found.to_owned() });
        }
        let fields = Fields::parse(&source.join(CONFIG), &checkpoint.config()?)?;
        check_family(&fields)?;
        let vocab_txt = checkpoint.text("vocab.txt")?;
        let tied = Config::read(&fields)?.tie_word_embeddings;
        let meanings = |stored: &[&str]| keys::meanings(stored, tied);
        let weights = Weights::stored(checkpoint, meanings, (device, precision))?;
        Self::new(fields, weights, vocab_txt)
    }

    fn new(fields: Fields, weights: Weights, vocab_txt: Option<String>) -> Result<Self, ModelError> {
        let config = Config::read(&fields)?;
        let parts = Parts::of(&config, &weights);
        Ok(Self { fields, config, parts, weights, vocab_txt })
    }

    /// The config as it was read.
    pub(crate) fn members(&self) -> &Map<String, Value> {
        self.fields.members()
    }

    /// Walks the model without reading a weight: names and shapes.
    pub(crate) fn survey(&self) -> Result<Weights, ModelError> {
        let survey = self.weights.take(pliant_nn::Take::Shapes);
        Esm2::new(&self.config, self.parts, &survey)?;
        Ok(survey)
    }

    /// Reads every weight and keeps none: the identity, and what it is made of.
    pub(crate) fn identify(&self, source: &Path) -> Result<(String, Vec<Record>), ModelError> {
        crate::require_all(source, self.survey()?.report())?;
        let weights = self.weights.take(pliant_nn::Take::Hashes);
        Esm2::new(&self.config, self.parts, &weights)?;
        Ok((crate::identify(source, self, &weights)?, weights.records()))
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

/// The keys of Pliant's own folders that no other program knows.
pub(crate) const OWN_KEYS: [&str; 4] = ["format", "family", "vocabulary", "rope_inv_freq"];

/// The config given, with the keys that name format, family and frequencies, and those by which
/// transformers knows the family.
pub(crate) fn complete(given: &Map<String, Value>, parts: Parts) -> Map<String, Value> {
    let mut members = given.clone();
    for (key, value) in [
        ("format", json!(FORMAT)),
        ("family", json!(crate::FAMILY)),
        ("vocabulary", json!(crate::VOCABULARY)),
        ("rope_inv_freq", json!(parts.rope_inv_freq.name())),
        ("model_type", json!("esm")),
        ("architectures", architectures(parts)),
    ] {
        members.insert(key.to_owned(), value);
    }
    members
}

/// The classes of transformers that a model is for.
pub(crate) fn architectures(parts: Parts) -> Value {
    json!([if parts.lm_head == LmHeadKind::Absent { "EsmModel" } else { "EsmForMaskedLM" }])
}
