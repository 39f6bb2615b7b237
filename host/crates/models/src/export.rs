//! Model folders written from models of any form: Pliant's own, and those for Hugging Face transformers.
//!
//! Weights are copied byte by byte, so an f16 checkpoint stays one, under the names of transformers 4, which version 5
//! reads too. A tied decoder is not written a second time; tensors that the family does not use are left behind.

use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_nn::checkpoint::CONFIG;
use pliant_nn::{Content, Copied, Record};
use serde_json::{Map, Value, json};

use crate::About;
use crate::error::ModelError;
use crate::esm2::{layer_inv_freq, tied_names};
use crate::folder::NewFolder;
use crate::import::{Import, OWN_KEYS, architectures, complete};
use crate::keys::{INV_FREQ, SHARED_INV_FREQ};
use crate::rope::RopeInvFreq;

/// What is to be copied.
#[derive(Debug, Clone, Copy)]
pub struct Transfer<'a> {
    /// A model folder, or a file of fair-esm.
    pub source: &'a Path,
    /// For a file of fair-esm: the file of the contact head, where it is not the one beside it.
    pub contact_regression: Option<&'a Path>,
    /// Text of `vocab.txt`: one token a line.
    pub vocabulary: &'a str,
    /// Folder to be made; it may exist when it is empty.
    pub out: &'a Path,
}

/// Makes a model folder of Pliant's own: config completed, canonical names. Gives its identity, which is the
/// source's, and what the source holds.
///
/// # Errors
/// [`ModelError`] as [`crate::load`] for the source, and for a folder that cannot be made.
pub fn import(transfer: &Transfer<'_>) -> Result<(String, About), ModelError> {
    let source = open(transfer)?;
    let (identity, records) = source.identify(transfer.source)?;
    let folder = NewFolder::create(transfer.out)?;
    write_weights(&folder, &source, records, false)?;
    folder.write("vocab.txt", transfer.vocabulary)?;
    folder.write(CONFIG, &pretty(complete(source.members(), source.parts)))?;
    folder.commit()?;
    let about = About::new(&source, &source.survey()?);
    Ok((identity, about))
}

/// Makes a folder that Hugging Face transformers reads as `EsmForMaskedLM`, or as `EsmModel` where there is no
/// language-model head. Gives the identity of the model and what the source holds.
///
/// # Errors
/// As [`import`].
pub fn export_hugging_face(transfer: &Transfer<'_>) -> Result<(String, About), ModelError> {
    let source = open(transfer)?;
    let (identity, records) = source.identify(transfer.source)?;
    let mut frequencies =
        records.iter().filter(|record| record.name.ends_with(INV_FREQ)).map(|record| record.hash);
    let first = frequencies.next();
    if frequencies.any(|hash| Some(hash) != first) {
        let reason =
            "its layers have rotary frequencies of their own, but transformers 5 gives all those of one";
        return Err(ModelError::NotExportable { path: transfer.source.to_owned(), reason });
    }
    let about = About::new(&source, &source.survey()?);
    let folder = NewFolder::create(transfer.out)?;
    write_weights(&folder, &source, records, true)?;
    folder.write("vocab.txt", transfer.vocabulary)?;
    folder.write("special_tokens_map.json", &pretty(special_tokens()))?;
    folder.write("tokenizer_config.json", &pretty(tokenizer()))?;
    folder.write(CONFIG, &pretty(hugging_face_config(&source, &about.dtype)))?;
    folder.commit()?;
    Ok((identity, about))
}

fn open(transfer: &Transfer<'_>) -> Result<Import, ModelError> {
    Import::open_with(transfer.source, transfer.contact_regression, &Device::cpu(1)?, Precision::F32)
}

/// Copies what the model uses. With `frequencies` those that its config computes are written as numbers too: others
/// may compute them in another way.
fn write_weights(
    folder: &NewFolder<'_>,
    source: &Import,
    records: Vec<Record>,
    frequencies: bool,
) -> Result<(), ModelError> {
    let tied = tied_names(source.parts).map(|(decoder, _)| decoder);
    let layers = source.config.num_hidden_layers;
    let mut tensors = Vec::with_capacity(records.len() + layers);
    for record in records {
        let stored =
            |name: String, record: &Record| Copied { name, content: Content::Stored(record.clone()) };
        if record.name == SHARED_INV_FREQ {
            tensors.extend((0..layers).map(|layer| stored(layer_inv_freq(layer), &record)));
        } else if Some(record.name.as_str()) != tied {
            tensors.push(stored(record.name.clone(), &record));
        }
    }
    let rope = source.parts.rope_inv_freq;
    if frequencies && rope != RopeInvFreq::Stored {
        let computed = rope.compute(source.config.head_width());
        let numbers =
            |layer| Copied { name: layer_inv_freq(layer), content: Content::Numbers(computed.clone()) };
        tensors.extend((0..layers).map(numbers));
    }
    Ok(source.weights.copy(&folder.path("model.safetensors"), tensors)?)
}

/// The config in the words of transformers: every key that its `EsmConfig` would otherwise set to something else.
fn hugging_face_config(source: &Import, dtype: &str) -> Map<String, Value> {
    let mut members = source.members().clone();
    members.retain(|key, _| !OWN_KEYS.contains(&key.as_str()));
    let config = &source.config;
    let dtype = match dtype {
        "F16" => "float16",
        "BF16" => "bfloat16",
        _ => "float32",
    };
    for (key, value) in [
        ("architectures", architectures(source.parts)),
        ("model_type", json!("esm")),
        ("torch_dtype", json!(dtype)),
        ("hidden_size", json!(config.hidden_size)),
        ("num_hidden_layers", json!(config.num_hidden_layers)),
        ("num_attention_heads", json!(config.num_attention_heads)),
        ("intermediate_size", json!(config.intermediate_size)),
        ("layer_norm_eps", crate::config::shortest(config.layer_norm_eps)),
        ("token_dropout", json!(config.token_dropout)),
        ("tie_word_embeddings", json!(config.tie_word_embeddings)),
        ("max_position_embeddings", json!(config.max_position_embeddings)),
        ("initializer_range", crate::config::shortest(config.initializer_range)),
        ("position_embedding_type", json!("rotary")),
        ("hidden_act", json!("gelu")),
        ("vocab_size", json!(33)),
        ("mask_token_id", json!(32)),
        ("pad_token_id", json!(1)),
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

fn special_tokens() -> Map<String, Value> {
    ["cls", "eos", "mask", "pad", "unk"]
        .map(|name| (format!("{name}_token"), json!(format!("<{name}>"))))
        .into_iter()
        .collect()
}

fn tokenizer() -> Map<String, Value> {
    let mut members = special_tokens();
    members.insert("clean_up_tokenization_spaces".to_owned(), json!(true));
    members.insert("tokenizer_class".to_owned(), json!("EsmTokenizer"));
    members
}

fn pretty(members: Map<String, Value>) -> String {
    format!("{:#}\n", Value::Object(members))
}
