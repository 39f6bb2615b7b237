//! PLUS-TFM's part in what is done with model folders.

use std::collections::BTreeMap;

use pliant_nn::{CheckpointError, Copied, Meaning, Record, Weights};
use serde_json::{Map, Value, json};

use super::PlusTfm;
use super::config::{Config, Parts};
use super::keys::{DECODER, TOKENS};
use crate::about::{Cost, PACK_TOKENS};
use crate::config::{Fields, shortest};
use crate::error::ModelError;
use crate::family::{Blueprint, Family, Matrix, Twin, layer_of};
use crate::model::Model;
use crate::plus;

/// Numbers that a forward holds for each token at its peak, in widths of the model: the states, what a block makes of
/// them, and an inner layer of four widths.
const WIDTHS_PER_TOKEN: u64 = 9;

/// What LoRA may stand beside.
const MATRICES: [Matrix; 6] = [
    Matrix::new("query", "transformer.blocks.{}.attn.proj_q.weight"),
    Matrix::new("key", "transformer.blocks.{}.attn.proj_k.weight"),
    Matrix::new("value", "transformer.blocks.{}.attn.proj_v.weight"),
    Matrix::new("output", "transformer.blocks.{}.proj.weight"),
    Matrix::new("fc1", "transformer.blocks.{}.pwff.fc1.weight"),
    Matrix::new("fc2", "transformer.blocks.{}.pwff.fc2.weight"),
];

/// How the names begin of what reads the states of the last block.
const AFTER: [&str; 4] = ["fc_lm.", "norm_lm.", "decoder", "cls."];

/// The row of PLUS-TFM.
pub(crate) static FAMILY: Family = Family {
    name: "plus_tfm",
    model_type: "plus_tfm",
    known: |fields| fields.get("model_type").and_then(Value::as_str) == Some("TFM"),
    vocabulary: "plus-tfm-25/1",
    read,
};

fn read(fields: &Fields) -> Result<Box<dyn Blueprint>, ModelError> {
    let config = Config::read(fields)?;
    let parts = Parts::new(&config);
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
        self.parts = Parts::of(&self.config, weights);
    }

    fn construct(&self, weights: &Weights) -> Result<Model, CheckpointError> {
        Ok(Model::PlusTfm(PlusTfm::new(&self.config, self.parts, weights)?))
    }

    fn semantics(&self) -> BTreeMap<&'static str, Value> {
        self.config.semantics(self.parts)
    }

    fn twins(&self) -> Vec<Twin> {
        let tied = Twin {
            first: TOKENS.to_owned(),
            second: DECODER.to_owned(),
            key: "lm_head",
            advice: "a decoder of its own is not supported",
        };
        if self.parts.lm_head { vec![tied] } else { Vec::new() }
    }

    fn settled(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("max_len", json!(self.config.max_len)),
            ("num_classes", json!(self.parts.classes)),
            ("lm_head", json!(self.parts.lm_head)),
        ]
    }

    fn sizes(&self) -> (usize, usize) {
        (self.config.num_layers, self.config.hidden_dim)
    }

    fn matrices(&self) -> &'static [Matrix] {
        &MATRICES
    }

    fn layer_of(&self, name: &str) -> Option<usize> {
        layer_of(name, "transformer.blocks", &AFTER, self.config.num_layers)
    }

    fn training_length(&self) -> Option<usize> {
        Some(self.config.training_length())
    }

    /// Every token has a place; ends take one each.
    fn longest(&self) -> Option<usize> {
        Some(self.parts.places.saturating_sub(2))
    }

    fn absent(&self) -> Vec<&'static str> {
        let parts = [
            (self.parts.lm_head, "the language-model head (fc_lm.*, norm_lm.*, decoder_bias)"),
            (self.parts.classes > 0, "the classifier (cls.*)"),
        ];
        parts.into_iter().filter(|(there, _)| !there).map(|(_, what)| what).collect()
    }

    /// Two operations for each weight and token, and four for each column of each pair of tokens that attend to each
    /// other.
    fn cost(&self, parameters: u64) -> Cost {
        let (layers, width) = self.sizes();
        Cost {
            bytes_per_token: width as u64 * WIDTHS_PER_TOKEN * 4,
            tile_bytes_per_token: 0,
            tile_tokens: 0,
            least_bytes_per_token: width as u64 * 2 * 4,
            pack_tokens: PACK_TOKENS,
            flops_per_token: 2.0 * parameters as f64,
            flops_per_pair: 4.0 * (width * layers) as f64,
        }
    }

    fn published(&self, _: Vec<Record>) -> Result<Vec<Copied>, &'static str> {
        Err(plus::NOT_IN_TRANSFORMERS)
    }

    fn published_config(&self, given: &Map<String, Value>, _: &str) -> Map<String, Value> {
        given.clone()
    }

    /// With the table under both of its names, as the authors' code wants it.
    fn authors(&self, records: Vec<Record>) -> Result<(Vec<Copied>, Map<String, Value>), &'static str> {
        let mut tensors = self.copied(records);
        if self.parts.lm_head {
            let table =
                tensors.iter().find(|tensor| tensor.name == TOKENS).map(|tensor| tensor.content.clone());
            tensors.extend(table.map(|content| Copied { name: DECODER.to_owned(), content }));
        }
        let config = &self.config;
        let members = [
            ("model_type", json!("TFM")),
            ("num_layers", json!(config.num_layers)),
            ("hidden_dim", json!(config.hidden_dim)),
            ("num_heads", json!(config.num_heads)),
            ("feedforward_dim", json!(config.feedforward_dim)),
            ("pos_encode", json!(config.pos_encode)),
            ("max_len", json!(config.max_len)),
            ("dropout", shortest(config.dropout)),
        ];
        Ok((tensors, members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
    }
}
