//! P-ELMo's part in what is done with model folders.

use std::collections::BTreeMap;

use pliant_nn::{CheckpointError, Copied, Meaning, Record, Weights};
use serde_json::{Map, Value, json};

use super::{Config, PElmo, bytes_per_token};
use crate::about::Cost;
use crate::adapter::RECURRENT;
use crate::config::Fields;
use crate::error::ModelError;
use crate::family::{Blueprint, Family, Matrix, Twin};
use crate::import::LANGUAGE_MODEL;
use crate::model::Model;
use crate::plus::{self, Parts};

/// What LoRA may stand beside: what a layer's input and its own states go through in both directions, and the projection z.
const MATRICES: [Matrix; 5] = [
    Matrix::new("input", "rnn.weight_ih_l{}"),
    Matrix::new("input", "rnn.weight_ih_l{}_reverse"),
    Matrix::new(RECURRENT, "rnn.weight_hh_l{}"),
    Matrix::new(RECURRENT, "rnn.weight_hh_l{}_reverse"),
    Matrix::new("fc", "fc.weight"),
];

/// The row of P-ELMo.
pub(crate) static FAMILY: Family = Family {
    name: "p_elmo",
    model_type: "p_elmo",
    known: |fields| plus::is_recurrent(fields, "B") && plus::reads_language_model(fields),
    vocabulary: "plus-22/1",
    read,
};

fn read(fields: &Fields) -> Result<Box<dyn Blueprint>, ModelError> {
    let (config, parts) = (Config::read(fields)?, plus::begun(fields)?);
    Ok(Box::new(Plan { config, parts: Parts { decoder: false, ..parts } }))
}

/// Config and parts, of which none is a decoder.
#[derive(Debug)]
struct Plan {
    config: Config,
    parts: Parts,
}

impl Blueprint for Plan {
    /// The name of a parameter of the language model begins with its place, then with what may wrap it.
    fn meanings(&self, stored: &[&str]) -> Vec<Meaning> {
        let place = LANGUAGE_MODEL.0;
        let unwrapped = |name: &&str| {
            let inner = plus::unwrapped(name).strip_prefix(place)?;
            Some(Meaning::Parameter(format!("{place}{}", plus::unwrapped(inner))))
        };
        let own = plus::meanings(stored);
        stored.iter().zip(own).map(|(name, own)| unwrapped(name).unwrap_or(own)).collect()
    }

    fn settle(&mut self, weights: &Weights) {
        self.parts = Parts { decoder: false, ..Parts::of(weights) };
    }

    fn construct(&self, weights: &Weights) -> Result<Model, CheckpointError> {
        Ok(Model::PElmo(PElmo::new(&self.config, self.parts.levels, weights)?))
    }

    fn semantics(&self) -> BTreeMap<&'static str, Value> {
        self.config.semantics(self.parts.classes())
    }

    fn twins(&self) -> Vec<Twin> {
        Vec::new()
    }

    fn settled(&self) -> Vec<(&'static str, Value)> {
        vec![("num_classes", json!(self.parts.classes())), (LANGUAGE_MODEL.1, self.config.lm_member())]
    }

    fn sizes(&self) -> (usize, usize) {
        (self.config.num_layers, 2 * self.config.hidden_dim)
    }

    fn first_layer(&self) -> usize {
        1
    }

    fn projection(&self) -> Option<usize> {
        Some(self.config.embedding_dim)
    }

    fn reads_language_model(&self) -> bool {
        true
    }

    fn absent(&self) -> Vec<&'static str> {
        let parts = self.parts.absent();
        parts.into_iter().filter(|part| !part.contains("decoder")).collect()
    }

    fn matrices(&self) -> &'static [Matrix] {
        &MATRICES
    }

    fn layer_of(&self, name: &str) -> Option<usize> {
        plus::layer_of(name, self.config.num_layers)
    }

    /// Nothing in the architecture sets one.
    fn training_length(&self) -> Option<usize> {
        None
    }

    /// Both directions take every weight of the language model.
    fn cost(&self, parameters: u64) -> Cost {
        let lm = &self.config.lm;
        let shared = (8 * lm.num_layers * lm.hidden_dim * lm.hidden_dim) as u64;
        plus::recurrent_cost(bytes_per_token(&self.config), parameters + shared)
    }

    fn published(&self, _: Vec<Record>) -> Result<Vec<Copied>, &'static str> {
        Err(plus::NOT_IN_TRANSFORMERS)
    }

    fn published_config(&self, given: &Map<String, Value>, _: &str) -> Map<String, Value> {
        given.clone()
    }

    /// The authors keep the language model in a file of its own.
    fn authors(&self, records: Vec<Record>) -> Result<(Vec<Copied>, Map<String, Value>), &'static str> {
        let mut tensors = self.copied(records);
        tensors.retain(|tensor| !tensor.name.starts_with(LANGUAGE_MODEL.0));
        let config = &self.config;
        let members = [
            ("model_type", json!("RNN")),
            ("rnn_type", json!("B")),
            ("num_layers", json!(config.num_layers)),
            ("hidden_dim", json!(config.hidden_dim)),
            ("lm_proj_dim", json!(config.lm_proj_dim)),
            ("embedding_dim", json!(config.embedding_dim)),
        ];
        Ok((tensors, members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
    }
}
