//! Model folders written from models of any form: Pliant's own, and those for other programs.
//!
//! Weights are copied byte by byte, so an f16 checkpoint stays one. Tensors that the family does not use are left
//! behind.

use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_nn::checkpoint::CONFIG;
use serde_json::{Map, Value, json};

use crate::about::About;
use crate::config::pretty;
use crate::error::ModelError;
use crate::folder::NewFolder;
use crate::import::{Beside, Import};

/// What is to be copied.
#[derive(Debug, Clone, Copy)]
pub struct Transfer<'a> {
    /// A model folder, or a file of weights.
    pub source: &'a Path,
    /// What goes with a file of weights.
    pub beside: Beside<'a>,
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
    let tensors = source.blueprint.copied(records);
    let folder = NewFolder::create(transfer.out)?;
    source.weights.copy(&folder.path("model.safetensors"), tensors)?;
    folder.write("vocab.txt", transfer.vocabulary)?;
    folder.write(CONFIG, &pretty(source.family.complete(source.members(), &*source.blueprint)))?;
    folder.commit()?;
    let about = source.about(&source.survey()?);
    Ok((identity, about))
}

/// Makes a folder in the form in which the family is published for Hugging Face transformers. Gives the identity of the
/// model and what the source holds.
///
/// # Errors
/// As [`import`], and [`ModelError::NotExportable`] for what that form cannot say.
pub fn export_hugging_face(transfer: &Transfer<'_>) -> Result<(String, About), ModelError> {
    let source = open(transfer)?;
    let (identity, records) = source.identify(transfer.source)?;
    let refuse = |reason| ModelError::NotExportable { path: transfer.source.to_owned(), reason };
    let tensors = source.blueprint.published(records).map_err(refuse)?;
    let about = source.about(&source.survey()?);
    let folder = NewFolder::create(transfer.out)?;
    source.weights.copy(&folder.path("model.safetensors"), tensors)?;
    folder.write("vocab.txt", transfer.vocabulary)?;
    folder.write("special_tokens_map.json", &pretty(special_tokens()))?;
    folder.write("tokenizer_config.json", &pretty(tokenizer()))?;
    let dtype = match about.dtype.as_str() {
        "F16" => "float16",
        "BF16" => "bfloat16",
        _ => "float32",
    };
    folder.write(CONFIG, &pretty(source.blueprint.published_config(source.members(), dtype)))?;
    folder.commit()?;
    Ok((identity, about))
}

/// Makes a folder in the form of the authors of PLUS: `MODEL.json`, and the weights under their names as safetensors. Gives
/// the identity of the model and what the source holds.
///
/// # Errors
/// As [`import`], and [`ModelError::NotExportable`] for another family.
pub fn export_plus(transfer: &Transfer<'_>) -> Result<(String, About), ModelError> {
    let source = open(transfer)?;
    let (identity, records) = source.identify(transfer.source)?;
    let refuse = |reason| ModelError::NotExportable { path: transfer.source.to_owned(), reason };
    let (tensors, config) = source.blueprint.authors(records).map_err(refuse)?;
    let about = source.about(&source.survey()?);
    let folder = NewFolder::create(transfer.out)?;
    source.weights.copy(&folder.path("weights.safetensors"), tensors)?;
    folder.write("MODEL.json", &pretty(config))?;
    folder.commit()?;
    Ok((identity, about))
}

fn open(transfer: &Transfer<'_>) -> Result<Import, ModelError> {
    Import::open_with(transfer.source, &transfer.beside, &Device::cpu(1)?, Precision::F32)
}

/// All families have the tokens of ESM-2.
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
