//! PLUS-RNN's part in what is done with model folders.

use std::collections::BTreeMap;

use pliant_nn::{CheckpointError, Copied, Meaning, Record, Weights};
use serde_json::{Map, Value, json};

use super::config::{Config, Parts};
use super::{PlusRnn, bytes_per_token};
use crate::about::Cost;
use crate::adapter::RECURRENT;
use crate::config::Fields;
use crate::error::ModelError;
use crate::family::{Blueprint, Family, Matrix, Twin};
use crate::model::Model;
use crate::plus;

/// What LoRA may stand beside: what a layer's input and its own states go through in both directions, the projection z and the decoder.
const MATRICES: [Matrix; 6] = [
    Matrix::new("input", "rnn.weight_ih_l{}"),
    Matrix::new("input", "rnn.weight_ih_l{}_reverse"),
    Matrix::new(RECURRENT, "rnn.weight_hh_l{}"),
    Matrix::new(RECURRENT, "rnn.weight_hh_l{}_reverse"),
    Matrix::new("fc", "fc.weight"),
    Matrix::new("decoder", "decoder.weight"),
];

/// The row of PLUS-RNN.
pub(crate) static FAMILY: Family = Family {
    name: "plus_rnn",
    model_type: "plus_rnn",
    known: |fields| plus::is_recurrent(fields, "B") && !plus::reads_language_model(fields),
    vocabulary: "plus-22/1",
    read,
};

fn read(fields: &Fields) -> Result<Box<dyn Blueprint>, ModelError> {
    let config = Config::read(fields)?;
    let parts = config.begun;
    Ok(Box::new(Plan { config, parts }))
}

/// Config and parts.
#[derive(Debug)]
struct Plan {
    config: Config,
    parts: Parts,
}

impl Blueprint for Plan {
    fn meanings(&self, stored: &[&str]) -> Vec<Meaning> {
        plus::meanings(stored)
    }

    fn settle(&mut self, weights: &Weights) {
        self.parts = Parts::of(weights);
    }

    fn construct(&self, weights: &Weights) -> Result<Model, CheckpointError> {
        Ok(Model::PlusRnn(PlusRnn::new(&self.config, self.parts, weights)?))
    }

    fn semantics(&self) -> BTreeMap<&'static str, Value> {
        self.config.semantics(self.parts)
    }

    fn twins(&self) -> Vec<Twin> {
        Vec::new()
    }

    fn settled(&self) -> Vec<(&'static str, Value)> {
        self.parts.settled()
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

    fn absent(&self) -> Vec<&'static str> {
        self.parts.absent()
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

    fn cost(&self, parameters: u64) -> Cost {
        plus::recurrent_cost(bytes_per_token(self.config.hidden_dim), parameters)
    }

    fn published(&self, _: Vec<Record>) -> Result<Vec<Copied>, &'static str> {
        Err(plus::NOT_IN_TRANSFORMERS)
    }

    fn published_config(&self, given: &Map<String, Value>, _: &str) -> Map<String, Value> {
        given.clone()
    }

    fn authors(&self, records: Vec<Record>) -> Result<(Vec<Copied>, Map<String, Value>), &'static str> {
        let config = &self.config;
        let members = [
            ("model_type", json!("RNN")),
            ("rnn_type", json!("B")),
            ("num_layers", json!(config.num_layers)),
            ("hidden_dim", json!(config.hidden_dim)),
            ("embedding_dim", json!(config.embedding_dim)),
        ];
        let members = members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Ok((self.copied(records), members))
    }
}
