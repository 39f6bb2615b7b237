//! ESM-2's part in what is done with model folders.

use std::collections::BTreeMap;

use pliant_nn::{CheckpointError, Content, Copied, Meaning, Record, Weights};
use serde_json::{Map, Value, json};

use super::config::{Config, Parts};
use super::keys::{self, DECODER, EMBEDDING, layer_inv_freq};
use super::{Esm2, MASK_ID, PADDING_ID, VOCABULARY};
use crate::about::{Cost, PACK_TOKENS};
use crate::config::{Fields, shortest};
use crate::error::ModelError;
use crate::family::{Blueprint, Family, LmHeadKind, Matrix, OWN_KEYS, Twin, layer_of};
use crate::identity::{INV_FREQ, SHARED_INV_FREQ};
use crate::model::Model;
use crate::rope::RopeInvFreq;

/// Numbers that a forward holds for each token at its peak, in widths of the model: the states, what a block makes
/// of them, and an inner layer of four widths.
const WIDTHS_PER_TOKEN: u64 = 9;

/// What LoRA may stand beside.
const MATRICES: [Matrix; 7] = [
    Matrix::new("query", "esm.encoder.layer.{}.attention.self.query.weight"),
    Matrix::new("key", "esm.encoder.layer.{}.attention.self.key.weight"),
    Matrix::new("value", "esm.encoder.layer.{}.attention.self.value.weight"),
    Matrix::new("output", "esm.encoder.layer.{}.attention.output.dense.weight"),
    Matrix::new("fc1", "esm.encoder.layer.{}.intermediate.dense.weight"),
    Matrix::new("fc2", "esm.encoder.layer.{}.output.dense.weight"),
    Matrix::new("lm_head", "lm_head.dense.weight"),
];

/// The row of ESM-2.
pub(crate) static FAMILY: Family =
    Family { name: "esm2", model_type: "esm", known: |_| false, vocabulary: "esm2-33/1", read };

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
        keys::meanings(stored, self.config.tie_word_embeddings)
    }

    fn settle(&mut self, weights: &Weights) {
        self.parts = Parts::of(&self.config, weights);
    }

    fn construct(&self, weights: &Weights) -> Result<Model, CheckpointError> {
        Ok(Model::Esm2(Esm2::new(&self.config, self.parts, weights)?))
    }

    fn semantics(&self) -> BTreeMap<&'static str, Value> {
        self.config.semantics(self.parts)
    }

    fn twins(&self) -> Vec<Twin> {
        let tied = Twin {
            first: EMBEDDING.to_owned(),
            second: DECODER.to_owned(),
            key: "tie_word_embeddings",
            advice: "set it to false if the model was trained so",
        };
        if self.parts.lm_head == LmHeadKind::Tied { vec![tied] } else { Vec::new() }
    }

    fn settled(&self) -> Vec<(&'static str, Value)> {
        let rope = json!(self.parts.rope_inv_freq.name());
        vec![("rope_inv_freq", rope), ("architectures", self.architectures())]
    }

    fn sizes(&self) -> (usize, usize) {
        (self.config.num_hidden_layers, self.config.hidden_size)
    }

    fn layer_of(&self, name: &str) -> Option<usize> {
        let after = ["esm.encoder.emb_layer_norm_after.", "lm_head."];
        layer_of(name, "esm.encoder.layer", &after, self.config.num_hidden_layers)
    }

    fn matrices(&self) -> &'static [Matrix] {
        &MATRICES
    }

    fn training_length(&self) -> Option<usize> {
        Some(self.config.training_length())
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

    /// Shared frequencies become those of every layer.
    fn copied(&self, records: Vec<Record>) -> Vec<Copied> {
        let layers = self.config.num_hidden_layers;
        let twins = self.twins();
        let mut tensors = Vec::with_capacity(records.len() + layers);
        for record in records {
            let stored =
                |name: String, record: &Record| Copied { name, content: Content::Stored(record.clone()) };
            if record.name == SHARED_INV_FREQ {
                tensors.extend((0..layers).map(|layer| stored(layer_inv_freq(layer), &record)));
            } else if !twins.iter().any(|twin| twin.second == record.name) {
                tensors.push(stored(record.name.clone(), &record));
            }
        }
        tensors
    }

    /// `EsmForMaskedLM` of transformers 4, which version 5 reads too, or `EsmModel` where there is no language-model
    /// head. Frequencies that the config computes are written as numbers: others may compute them in another way.
    fn published(&self, records: Vec<Record>) -> Result<Vec<Copied>, &'static str> {
        let mut frequencies =
            records.iter().filter(|record| record.name.ends_with(INV_FREQ)).map(|record| record.hash);
        let first = frequencies.next();
        if frequencies.any(|hash| Some(hash) != first) {
            return Err(
                "its layers have rotary frequencies of their own, but transformers 5 gives all those of one",
            );
        }
        let mut tensors = self.copied(records);
        let rope = self.parts.rope_inv_freq;
        if rope != RopeInvFreq::Stored {
            let computed = rope.compute(self.config.head_width());
            let numbers =
                |layer| Copied { name: layer_inv_freq(layer), content: Content::Numbers(computed.clone()) };
            tensors.extend((0..self.config.num_hidden_layers).map(numbers));
        }
        Ok(tensors)
    }

    fn published_config(&self, given: &Map<String, Value>, dtype: &str) -> Map<String, Value> {
        let mut members = given.clone();
        members.retain(|key, _| !OWN_KEYS.contains(&key.as_str()) && key != "rope_inv_freq");
        let config = &self.config;
        for (key, value) in [
            ("architectures", self.architectures()),
            ("model_type", json!(FAMILY.model_type)),
            ("torch_dtype", json!(dtype)),
            ("hidden_size", json!(config.hidden_size)),
            ("num_hidden_layers", json!(config.num_hidden_layers)),
            ("num_attention_heads", json!(config.num_attention_heads)),
            ("intermediate_size", json!(config.intermediate_size)),
            ("layer_norm_eps", shortest(config.layer_norm_eps)),
            ("token_dropout", json!(config.token_dropout)),
            ("tie_word_embeddings", json!(config.tie_word_embeddings)),
            ("max_position_embeddings", json!(config.max_position_embeddings)),
            ("initializer_range", shortest(config.initializer_range)),
            ("position_embedding_type", json!("rotary")),
            ("hidden_act", json!("gelu")),
            ("vocab_size", json!(VOCABULARY)),
            ("mask_token_id", json!(MASK_ID)),
            ("pad_token_id", json!(PADDING_ID)),
            ("emb_layer_norm_before", json!(false)),
            ("is_folding_model", json!(false)),
        ] {
            members.insert(key.to_owned(), value);
        }
        for key in ["hidden_dropout_prob", "attention_probs_dropout_prob"] {
            members.entry(key).or_insert_with(|| json!(0.0));
        }
        members
    }
}

impl Plan {
    /// The classes of transformers that the model is for.
    fn architectures(&self) -> Value {
        json!([if self.parts.lm_head == LmHeadKind::Absent { "EsmModel" } else { "EsmForMaskedLM" }])
    }
}
