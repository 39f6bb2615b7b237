//! ESM-2 as fair-esm publishes it: one file of `torch.save` with the weights and what fairseq was started with, and a
//! second one with the regression of the contact head.
//!
//! Such a file has no `config.json`, so one is made of what it says (`cfg.model`, in older files `args`) and, where
//! that cannot be read, of the shapes of its tensors.

use std::path::{Path, PathBuf};

use pliant_kernels::{Device, Precision};
use pliant_nn::{Checkpoint, Setting, Settings, Weights};
use serde_json::{Map, Value, json};

use super::keys::{self, CONTACT_WEIGHT, EMBEDDING, layer_inv_freq};
use crate::config::Fields;
use crate::error::ModelError;

/// ε of the norms, which no file holds: fair-esm writes it in its source.
const LAYER_NORM_EPS: f64 = 1e-5;

/// Most layers whose names are looked for.
const LAYERS_MAX: usize = 1 << 12;

/// The file of the contact head's regression that stands beside the weights, if there is one.
fn regression_beside(weights: &Path) -> Option<PathBuf> {
    let name = format!("{}-contact-regression.pt", weights.file_stem()?.to_str()?);
    let path = weights.with_file_name(name);
    path.is_file().then_some(path)
}

/// The weights of the file `source`, with the regression named or the one beside it, and their config.
///
/// # Errors
/// [`ModelError::NotFairEsm`] for a file that holds something else.
pub(crate) fn open(
    source: &Path,
    contact_regression: Option<&Path>,
    (device, precision): (&Device, Precision),
) -> Result<(Weights, Fields), ModelError> {
    let beside = regression_beside(source);
    let checkpoint = Checkpoint::open_files(source, contact_regression.or(beside.as_deref()))?;
    let meanings = |stored: &[&str]| keys::meanings(stored, true);
    let weights = Weights::stored(checkpoint, meanings, (device, precision))?;
    let fields = fields(source, &weights)?;
    Ok((weights, fields))
}

/// The config of the weights in `path`.
fn fields(path: &Path, weights: &Weights) -> Result<Fields, ModelError> {
    let refuse = |missing| ModelError::NotFairEsm { path: path.to_owned(), missing };
    let width = match weights.stored_as(EMBEDDING) {
        // What Hugging Face names its own way has a config of its own, which says more.
        Some((name, [_, width])) if name.ends_with("embed_tokens.weight") => *width,
        _ => return Err(refuse("tensor embed_tokens.weight")),
    };
    let layers = (0..LAYERS_MAX).take_while(|layer| weights.has(&inner(*layer))).count();
    let inner = match weights.stored_as(&inner(0)) {
        Some((_, [inner, _])) => *inner,
        _ => return Err(refuse("tensor layers.0.fc1.weight")),
    };
    let said = Said { settings: weights.settings() };
    let heads =
        said.number("encoder_attention_heads").map_or_else(|| heads(weights, width, layers), Value::from);
    if heads.is_null() {
        return Err(refuse("setting cfg.model.encoder_attention_heads and no rotary frequencies"));
    }
    let members: Map<String, Value> = [
        ("model_type", json!("esm")),
        ("architectures", json!(["EsmForMaskedLM"])),
        ("vocab_size", json!(33)),
        ("mask_token_id", json!(32)),
        ("pad_token_id", json!(1)),
        ("hidden_size", said.number("encoder_embed_dim").map_or(json!(width), Value::from)),
        ("num_hidden_layers", said.number("encoder_layers").map_or(json!(layers), Value::from)),
        ("num_attention_heads", heads),
        ("intermediate_size", json!(inner)),
        ("hidden_act", json!("gelu")),
        ("hidden_dropout_prob", json!(0.0)),
        ("attention_probs_dropout_prob", json!(0.0)),
        ("layer_norm_eps", json!(LAYER_NORM_EPS)),
        ("max_position_embeddings", json!(1026)),
        ("position_embedding_type", json!("rotary")),
        ("token_dropout", json!(said.flag("token_dropout").unwrap_or(true))),
        ("emb_layer_norm_before", json!(false)),
        ("initializer_range", json!(0.02)),
        ("tie_word_embeddings", json!(true)),
        // fair-esm loads no file without them.
        ("rope_inv_freq", json!("stored")),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into_iter()
    .collect();
    Ok(Fields::new(path, members))
}

fn inner(layer: usize) -> String {
    format!("esm.encoder.layer.{layer}.intermediate.dense.weight")
}

/// H after the rotary frequencies `[D/2]`, else after the contact head `[1, N·H]`; null where there is neither.
fn heads(weights: &Weights, width: usize, layers: usize) -> Value {
    let shape = |name: &str| weights.stored_as(name).map(|(_, shape)| shape);
    let half =
        |shape: &[usize]| shape.first().copied().filter(|half| *half > 0).map(|half| width / (2 * half));
    let channels = |shape: &[usize]| shape.get(1).and_then(|channels| channels.checked_div(layers));
    let frequencies = shape(&layer_inv_freq(0)).and_then(half);
    frequencies.or_else(|| shape(CONTACT_WEIGHT).and_then(channels)).map_or(Value::Null, Value::from)
}

/// What fairseq was started with.
struct Said<'a> {
    settings: Option<&'a Settings>,
}

impl Said<'_> {
    fn get(&self, name: &str) -> Option<&Setting> {
        let settings = self.settings?;
        ["cfg.model", "args"].iter().find_map(|place| settings.get(&format!("{place}.{name}")))
    }

    fn number(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Setting::Int(number) => Some(*number),
            _ => None,
        }
    }

    fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Setting::Bool(flag) => Some(*flag),
            _ => None,
        }
    }
}
