//! No model at all: what is known of a protein without one, as a yardstick for what models know.
//!
//! The state of a residue is 10 in the column of its letter, of the 20 standard residues in the order of their tokens, and 0
//! in the others; the last column is a tenth of the logarithm of the length. So ten times
//! the composition and the length are the mean over a protein, numbers that a head learns at usual rates, and a head of residues sees which residue it is asked about. Special tokens and other letters have zeros
//! in the columns of letters. There are no weights, and one layer, 0.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use pliant_kernels::{Device, Precision};
use pliant_nn::{CheckpointError, Copied, Meaning, Record, Weights};
use pliant_tensor::{Ids, Offsets, Param, Tape, Tensor};
use serde_json::{Map, Value};

use crate::about::{Cost, PACK_TOKENS};
use crate::config::Fields;
use crate::error::ModelError;
use crate::family::{Blueprint, Family, Twin};
use crate::model::{Encoder, Model};
use crate::{About, Loaded, Purpose, create};

/// The first and the last token of the standard residues, which stand together in the vocabulary.
const TOKENS: Range<u32> = 4..24;

/// The state of a letter in its column.
const LETTER: f32 = 10.0;

/// C: a column for each, and one for the length.
const WIDTH: usize = 21;

/// Tokens of a sequence that are no residues.
const SPECIAL_TOKENS: usize = 2;

/// The config of the only one there is.
const CONFIG: &str = r#"{"model_type": "composition"}"#;

/// The name of the model where a folder could stand.
pub const NAME: &str = "composition";

/// The row of the composition. Its tokens are those of ESM-2.
pub(crate) static FAMILY: Family =
    Family { name: NAME, model_type: NAME, known: |_| false, vocabulary: "esm2-33/1", read };

/// The model, which lies in no folder.
///
/// # Errors
/// A device that cannot be used.
pub fn composition(device: &Device, precision: Precision) -> Result<Loaded, ModelError> {
    create(CONFIG, Path::new(NAME), 0, (device, precision), Purpose::Inference)
}

/// What a folder would hold of it.
///
/// # Errors
/// As [`composition`].
pub fn about_composition() -> Result<About, ModelError> {
    Ok(composition(&Device::cpu(1)?, Precision::F32)?.about)
}

fn read(_: &Fields) -> Result<Box<dyn Blueprint>, ModelError> {
    Ok(Box::new(Plan))
}

/// There is nothing to plan.
#[derive(Debug)]
struct Plan;

impl Blueprint for Plan {
    fn meanings(&self, stored: &[&str]) -> Vec<Meaning> {
        stored.iter().map(|name| Meaning::Parameter((*name).to_owned())).collect()
    }

    fn settle(&mut self, _: &Weights) {}

    fn construct(&self, _: &Weights) -> Result<Model, CheckpointError> {
        Ok(Model::Composition(Composition))
    }

    fn semantics(&self) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([("columns", Value::from("ten times one-hot of 20 residues, ln(L)/10"))])
    }

    fn twins(&self) -> Vec<Twin> {
        Vec::new()
    }

    fn settled(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    fn sizes(&self) -> (usize, usize) {
        (0, WIDTH)
    }

    fn training_length(&self) -> Option<usize> {
        None
    }

    fn cost(&self, _: u64) -> Cost {
        let bytes = (WIDTH * size_of::<f32>()) as u64;
        Cost {
            bytes_per_token: bytes,
            tile_bytes_per_token: 0,
            tile_tokens: 0,
            least_bytes_per_token: bytes,
            pack_tokens: PACK_TOKENS,
            flops_per_token: WIDTH as f64,
            flops_per_pair: 0.0,
        }
    }

    fn published(&self, _: Vec<Record>) -> Result<Vec<Copied>, &'static str> {
        Err("it has no weights, and other programs do not know it")
    }

    fn published_config(&self, given: &Map<String, Value>, _: &str) -> Map<String, Value> {
        given.clone()
    }
}

/// The yardstick.
#[derive(Debug)]
pub struct Composition;

impl Encoder for Composition {
    fn layers(&self) -> usize {
        0
    }

    fn width(&self) -> usize {
        WIDTH
    }

    fn params(&self) -> &[Arc<Param>] {
        &[]
    }

    fn encode(
        &self,
        tape: &Tape,
        ids: &Ids,
        offsets: &Offsets,
        layers: &[usize],
    ) -> Result<Vec<Tensor>, ModelError> {
        offsets.check_tokens("composition", ids.len())?;
        let mut states = vec![0.0f32; ids.len() * WIDTH];
        for sequence in offsets.as_slice().windows(2) {
            let length = (sequence[1] - sequence[0]).saturating_sub(SPECIAL_TOKENS).max(1);
            let length = ((length as f64).ln() / 10.0) as f32;
            for token in sequence[0]..sequence[1] {
                let row = &mut states[token * WIDTH..(token + 1) * WIDTH];
                let id = ids.as_slice()[token];
                if TOKENS.contains(&id) {
                    row[(id - TOKENS.start) as usize] = LETTER;
                }
                row[WIDTH - 1] = length;
            }
        }
        let states = Tensor::from_f32(tape.device(), [ids.len(), WIDTH], &states)?;
        Ok(vec![states; layers.len()])
    }

    fn has_lm_head(&self) -> bool {
        false
    }

    fn lm_logits(&self, _: &Tape, _: &Tensor) -> Result<Tensor, ModelError> {
        Err(ModelError::NoHead)
    }

    fn check_contacts(&self) -> Result<(), ModelError> {
        Err(ModelError::NoContacts { family: NAME })
    }

    fn contacts(
        &self,
        _: &Tape,
        _: &Ids,
        _: &Offsets,
        _: &[Range<usize>],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        Err(ModelError::NoContacts { family: NAME })
    }

    fn memory_per_token(&self, _: Precision) -> usize {
        WIDTH * size_of::<f32>()
    }
}
