//! From a model folder or a file of weights to a family, its config and the handle of its weights.

use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_nn::checkpoint::CONFIG;
use pliant_nn::{Checkpoint, KeyReport, Record, Take, Weights};
use serde_json::{Map, Value};

use crate::about::About;
use crate::config::Fields;
use crate::error::ModelError;
use crate::esm2::fair_esm;
use crate::family::{Blueprint, Family};
use crate::identity::identity;

/// A model folder whose config is read and whose headers are checked.
#[derive(Debug)]
pub(crate) struct Import {
    fields: Fields,
    pub(crate) family: &'static Family,
    pub(crate) blueprint: Box<dyn Blueprint>,
    pub(crate) weights: Weights,
    vocab_txt: Option<String>,
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
            let (weights, fields) = fair_esm::open(source, contact_regression, (device, precision))?;
            let family = Family::of(&fields)?;
            let blueprint = (family.read)(&fields)?;
            return Ok(Self::settled(fields, family, blueprint, weights, None));
        }
        let checkpoint = Checkpoint::open(source)?;
        if let Some(found) = contact_regression {
            return Err(ModelError::NoRegression { source_path: source.to_owned(), found: found.to_owned() });
        }
        let fields = Fields::parse(&source.join(CONFIG), &checkpoint.config()?)?;
        let family = Family::of(&fields)?;
        let blueprint = (family.read)(&fields)?;
        let vocab_txt = checkpoint.text("vocab.txt")?;
        let meanings = |stored: &[&str]| blueprint.meanings(stored);
        let weights = Weights::stored(checkpoint, meanings, (device, precision))?;
        Ok(Self::settled(fields, family, blueprint, weights, vocab_txt))
    }

    fn settled(
        fields: Fields,
        family: &'static Family,
        mut blueprint: Box<dyn Blueprint>,
        weights: Weights,
        vocab_txt: Option<String>,
    ) -> Self {
        blueprint.settle(&weights);
        Self { fields, family, blueprint, weights, vocab_txt }
    }

    /// The config as it was read.
    pub(crate) fn members(&self) -> &Map<String, Value> {
        self.fields.members()
    }

    /// Walks the model without reading a weight: names and shapes.
    pub(crate) fn survey(&self) -> Result<Weights, ModelError> {
        let survey = self.weights.take(Take::Shapes);
        self.blueprint.construct(&survey)?;
        Ok(survey)
    }

    /// Reads every weight and keeps none: the identity, and what it is made of.
    pub(crate) fn identify(&self, source: &Path) -> Result<(String, Vec<Record>), ModelError> {
        self.require_all(source)?;
        let weights = self.weights.take(Take::Hashes);
        self.blueprint.construct(&weights)?;
        Ok((self.identity_of(source, &weights)?, weights.records()))
    }

    /// What the folder holds, after a walk.
    pub(crate) fn about(&self, weights: &Weights) -> About {
        About::new(self.family, &*self.blueprint, weights, self.vocab_txt.clone())
    }

    /// Refuses weights that are missing or that nobody knows.
    pub(crate) fn require_all(&self, folder: &Path) -> Result<(), ModelError> {
        let KeyReport { missing, unexpected, .. } = self.survey()?.report();
        if missing.is_empty() && unexpected.is_empty() {
            return Ok(());
        }
        Err(ModelError::Keys { folder: folder.to_owned(), missing, unexpected })
    }

    /// The identity of what was read, once twins are known to be equal.
    pub(crate) fn identity_of(&self, folder: &Path, weights: &Weights) -> Result<String, ModelError> {
        let (records, twins) = (weights.records(), self.blueprint.twins());
        for twin in &twins {
            let find = |name: &str| records.iter().find(|record| record.name == name);
            let (Some(first), Some(second)) = (find(&twin.first), find(&twin.second)) else { continue };
            if (first.dtype, first.hash) != (second.dtype, second.hash) {
                let stored = |record: &Record| record.stored_as.clone().unwrap_or_default();
                return Err(ModelError::Untied {
                    folder: folder.to_owned(),
                    first: stored(first),
                    second: stored(second),
                    key: twin.key,
                    advice: twin.advice,
                });
            }
        }
        Ok(identity(&self.blueprint.semantics(), &records, &twins))
    }
}
