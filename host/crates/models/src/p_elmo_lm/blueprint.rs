//! The part of P-ELMo's language model in what is done with model folders.

use std::collections::BTreeMap;

use pliant_nn::{CheckpointError, Copied, Meaning, Record, Weights};
use serde_json::{Map, Value, json};

use super::{Config, PElmoLm, bytes_per_token};
use crate::about::Cost;
use crate::config::Fields;
use crate::error::ModelError;
use crate::family::{Blueprint, Family, Twin, layer_of};
use crate::model::Model;
use crate::plus;

/// The row of P-ELMo's language model.
pub(crate) static FAMILY: Family = Family {
    name: "p_elmo_lm",
    model_type: "p_elmo_lm",
    known: |fields| plus::is_recurrent(fields, "TFR"),
    vocabulary: "plus-22/1",
    read,
};

fn read(fields: &Fields) -> Result<Box<dyn Blueprint>, ModelError> {
    let (config, decoder) = (Config::read(fields)?, fields.flag("decoder", true)?);
    Ok(Box::new(Plan { config, decoder }))
}

/// Config, and whether there is a decoder.
#[derive(Debug)]
struct Plan {
    config: Config,
    decoder: bool,
}

impl Blueprint for Plan {
    fn meanings(&self, stored: &[&str]) -> Vec<Meaning> {
        plus::meanings(stored)
    }

    fn settle(&mut self, weights: &Weights) {
        self.decoder = weights.has("decoder.weight");
    }

    fn construct(&self, weights: &Weights) -> Result<Model, CheckpointError> {
        Ok(Model::PElmoLm(PElmoLm::new(&self.config, self.decoder, weights)?))
    }

    fn semantics(&self) -> BTreeMap<&'static str, Value> {
        self.config.semantics(self.decoder)
    }

    fn twins(&self) -> Vec<Twin> {
        Vec::new()
    }

    fn settled(&self) -> Vec<(&'static str, Value)> {
        vec![("rnn_type", json!("TFR")), ("decoder", json!(self.decoder))]
    }

    fn sizes(&self) -> (usize, usize) {
        (self.config.num_layers, 2 * self.config.hidden_dim)
    }

    fn first_layer(&self) -> usize {
        1
    }

    fn absent(&self) -> Vec<&'static str> {
        if self.decoder { Vec::new() } else { vec!["the language-model head (decoder.*)"] }
    }

    fn layer_of(&self, name: &str) -> Option<usize> {
        layer_of(name, "rnn", &["decoder."], self.config.num_layers)
    }

    /// Nothing in the architecture sets one.
    fn training_length(&self) -> Option<usize> {
        None
    }

    /// Both directions take every weight.
    fn cost(&self, parameters: u64) -> Cost {
        plus::recurrent_cost(bytes_per_token(self.config.hidden_dim), 2 * parameters)
    }

    fn published(&self, _: Vec<Record>) -> Result<Vec<Copied>, &'static str> {
        Err(plus::NOT_IN_TRANSFORMERS)
    }

    fn published_config(&self, given: &Map<String, Value>, _: &str) -> Map<String, Value> {
        given.clone()
    }

    fn authors(&self, records: Vec<Record>) -> Result<(Vec<Copied>, Map<String, Value>), &'static str> {
        let members = [
            ("model_type", json!("RNN")),
            ("rnn_type", json!("TFR")),
            ("num_layers", json!(self.config.num_layers)),
            ("hidden_dim", json!(self.config.hidden_dim)),
        ];
        let members = members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Ok((self.copied(records), members))
    }
}
