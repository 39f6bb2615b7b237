//! LC-PLM's part in what is done with model folders.

use std::collections::BTreeMap;

use pliant_nn::{CheckpointError, Copied, Meaning, Record, Weights};
use serde_json::{Map, Value, json};

use super::LcPlm;
use super::config::Config;
use super::keys::{self, BACKBONE, EMBEDDING, LM_HEAD};
use super::tiles::TILE_TOKENS;
use crate::about::{Cost, PACK_TOKENS};
use crate::config::{Fields, shortest};
use crate::error::ModelError;
use crate::family::{Blueprint, Family, LmHeadKind, Matrix, OWN_KEYS, Twin, layer_of};
use crate::model::Model;

/// Operations of a scan for each number of state and token: a power counts as four.
const SCAN_FLOPS: f64 = 10.0;

/// What LoRA may stand beside. Both directions have steps and states of their own and share the projections.
const MATRICES: [Matrix; 6] = [
    Matrix::new("in_proj", "bimamba.backbone.layers.{}.mixer.mamba_fwd.in_proj.weight"),
    Matrix::new("out_proj", "bimamba.backbone.layers.{}.mixer.mamba_fwd.out_proj.weight"),
    Matrix::new("x_proj", "bimamba.backbone.layers.{}.mixer.mamba_fwd.x_proj.weight"),
    Matrix::new("x_proj", "bimamba.backbone.layers.{}.mixer.mamba_rev.x_proj.weight"),
    Matrix::new("dt_proj", "bimamba.backbone.layers.{}.mixer.mamba_fwd.dt_proj.weight"),
    Matrix::new("dt_proj", "bimamba.backbone.layers.{}.mixer.mamba_rev.dt_proj.weight"),
];

/// The row of LC-PLM. Its tokens are those of ESM-2.
pub(crate) static FAMILY: Family = Family {
    name: "lc_plm",
    model_type: "lc_plm",
    known: |fields| ["d_model", "n_layer", "bidirectional"].iter().all(|key| fields.get(key).is_some()),
    vocabulary: "esm2-33/1",
    read,
};

fn read(fields: &Fields) -> Result<Box<dyn Blueprint>, ModelError> {
    let config = Config::read(fields)?;
    let head = if config.tie_embeddings { LmHeadKind::Tied } else { LmHeadKind::Own };
    Ok(Box::new(Plan { config, head }))
}

/// Config and head.
#[derive(Debug)]
struct Plan {
    config: Config,
    head: LmHeadKind,
}

impl Blueprint for Plan {
    fn meanings(&self, stored: &[&str]) -> Vec<Meaning> {
        keys::meanings(stored)
    }

    /// The published code ties nothing, so a head that is stored is one of its own.
    fn settle(&mut self, weights: &Weights) {
        self.head = match (weights.has(LM_HEAD), self.config.tie_embeddings) {
            (true, _) => LmHeadKind::Own,
            (false, true) => LmHeadKind::Tied,
            (false, false) => LmHeadKind::Absent,
        };
    }

    fn construct(&self, weights: &Weights) -> Result<Model, CheckpointError> {
        Ok(Model::LcPlm(LcPlm::new(&self.config, self.head, weights)?))
    }

    fn semantics(&self) -> BTreeMap<&'static str, Value> {
        self.config.semantics(self.head)
    }

    fn twins(&self) -> Vec<Twin> {
        let twin = |(first, second)| Twin {
            first,
            second,
            key: "bidirectional_weight_tie",
            advice: "directions with projections of their own are not supported",
        };
        (0..self.config.n_layer).flat_map(keys::shared).map(twin).collect()
    }

    fn settled(&self) -> Vec<(&'static str, Value)> {
        vec![("architectures", self.architectures())]
    }

    fn sizes(&self) -> (usize, usize) {
        (self.config.n_layer, self.config.d_model)
    }

    fn layer_of(&self, name: &str) -> Option<usize> {
        let norm = format!("{BACKBONE}.norm_f.");
        layer_of(name, &format!("{BACKBONE}.layers"), &[&norm, LM_HEAD], self.config.n_layer)
    }

    fn matrices(&self) -> &'static [Matrix] {
        &MATRICES
    }

    /// Nothing in the architecture sets one, and none is published.
    fn training_length(&self) -> Option<usize> {
        None
    }

    fn cost(&self, parameters: u64) -> Cost {
        let sizes = self.config.sizes();
        let scans = 2.0 * (sizes.inner * sizes.states * self.config.n_layer) as f64;
        Cost {
            bytes_per_token: self.config.bytes_per_token() as u64,
            tile_bytes_per_token: self.config.tile_bytes_per_token() as u64,
            tile_tokens: TILE_TOKENS,
            least_bytes_per_token: self.config.least_bytes_per_token() as u64,
            pack_tokens: PACK_TOKENS,
            flops_per_token: 2.0 * parameters as f64 + SCAN_FLOPS * scans,
            flops_per_pair: 0.0,
        }
    }

    /// Under the published names. The shared projections stand under both of theirs: the published file relies on a tie
    /// that recent versions of transformers do not make at loading, which leaves the second ones random
    /// (amazon-science/LC-PLM issue 3). So does the decoder where the embedding is the head, for the published code has
    /// no tie there.
    fn published(&self, records: Vec<Record>) -> Result<Vec<Copied>, &'static str> {
        let mut tensors = self.copied(records);
        let named = |name: &str, as_name: String| {
            let content = tensors.iter().find(|tensor| tensor.name == name)?.content.clone();
            Some(Copied { name: as_name, content })
        };
        let twins = self.twins().into_iter().filter_map(|twin| named(&twin.first, twin.second));
        let head = (self.head == LmHeadKind::Tied).then(|| named(EMBEDDING, LM_HEAD.to_owned())).flatten();
        let more: Vec<Copied> = twins.chain(head).collect();
        tensors.extend(more);
        Ok(tensors)
    }

    /// `tie_word_embeddings` is no key of the published config, but transformers reads it, and ties the decoder to the
    /// embedding where it is absent.
    fn published_config(&self, given: &Map<String, Value>, dtype: &str) -> Map<String, Value> {
        let mut members = given.clone();
        members.retain(|key, _| !OWN_KEYS.contains(&key.as_str()));
        let config = &self.config;
        for (key, value) in [
            ("architectures", self.architectures()),
            ("model_type", json!(FAMILY.model_type)),
            ("torch_dtype", json!(dtype)),
            ("d_model", json!(config.d_model)),
            ("n_layer", json!(config.n_layer)),
            ("d_intermediate", json!(0)),
            ("vocab_size", json!(config.rows())),
            ("pad_vocab_size_multiple", json!(config.pad_vocab_size_multiple)),
            ("rms_norm", json!(true)),
            ("norm_epsilon", shortest(config.norm_epsilon)),
            ("residual_in_fp32", json!(true)),
            ("fused_add_norm", json!(true)),
            ("layer", json!("Mamba1")),
            ("bidirectional", json!(true)),
            ("bidirectional_strategy", json!(config.strategy())),
            ("bidirectional_weight_tie", json!(true)),
            ("tie_embeddings", json!(false)),
            ("tie_word_embeddings", json!(false)),
            ("pad_token_id", json!(-100)),
        ] {
            members.insert(key.to_owned(), value);
        }
        let auto = json!({
            "AutoConfig": "configuration_lcplm.LcPlmConfig",
            "AutoModelForMaskedLM": "modeling_lcplm.LcPlmForMaskedLM",
        });
        for (key, value) in [("auto_map", auto), ("ssm_cfg", json!({})), ("attn_layer_idx", Value::Null)] {
            members.entry(key).or_insert(value);
        }
        members
    }
}

impl Plan {
    /// The class of the published code that the model is for.
    fn architectures(&self) -> Value {
        json!([if self.head == LmHeadKind::Absent { "LcPlm" } else { "LcPlmForMaskedLM" }])
    }
}
