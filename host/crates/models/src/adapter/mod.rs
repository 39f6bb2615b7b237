//! Adapters: products of low rank beside the matrices of a model that do not change (LoRA).
//!
//! An [`Adapter`] is numbers by canonical names, made new by [`new_adapter`] or read from a folder as Hugging Face PEFT
//! writes it by [`read_adapter`]; [`load_adapted`] puts it into a model, added to its matrices or beside them, and
//! [`Loaded::adapter`] takes it out again as it is then.
//!
//! | file | what it is |
//! |---|---|
//! | `config.rs` | `adapter_config.json`: what is followed, and what is refused by name |
//! | `keys.rs` | how files spell the names of adapted matrices |
//! | `read.rs`, `write.rs` | folders |
//! | `placed.rs` | an adapter in a model |

mod config;
mod keys;
pub(crate) mod placed;
mod read;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_nn::{Init, LowRankValues};

use crate::error::ModelError;
use crate::family::Blueprint;
use crate::import::Import;
pub use placed::{Adapting, load_adapted};
pub use read::{Bare, read_adapter, read_bare};
pub use write::ADAPTER_FILES;

/// First line of what is hashed for an identity: another form must have another name.
const FORM: &str = "pliant-adapter-1";

/// What is adapted where nothing is said: what Sledzieski et al. (PNAS 121, 2024) found best of ESM-2.
const USUAL: [&str; 2] = ["key", "value"];

/// The word for matrices that a recurrent layer multiplies its own states with, of which nothing can be dropped.
pub(crate) const RECURRENT: &str = "recurrent";

/// What new adapters are to be.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterPlan {
    /// Words of the family for the matrices that are adapted; none: `key` and `value` where there are such, else all
    /// matrices of blocks but recurrent ones.
    pub targets: Vec<String>,
    /// Numbers of the layers whose matrices are adapted, the first block's being 1; none: all of them.
    pub layers: Vec<usize>,
    /// A, the rank.
    pub rank: usize,
    /// α: products count α/A.
    pub alpha: f64,
    /// Part of what adapters read that is dropped in training.
    pub dropout: f64,
}

/// The numbers of one adapted matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapted {
    /// α
    pub alpha: f64,
    /// The product.
    pub values: LowRankValues,
}

/// An adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// Adapted matrices by canonical name.
    pub matrices: BTreeMap<String, Adapted>,
    /// Part of what adapters read that is dropped in training.
    pub dropout: f64,
    /// Whether products count α/√A and not α/A.
    pub rank_stabilised: bool,
    /// Tensors of its file that belong to a head and to no matrix of the model.
    pub beside: Vec<String>,
}

/// A matrix that can be adapted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The word by which it is chosen.
    pub(crate) word: &'static str,
    /// Canonical name.
    pub(crate) name: String,
    /// Number of its layer, the first block's being 1; none where it belongs to no block.
    pub(crate) layer: Option<usize>,
    /// `[N,K]`
    pub(crate) shape: [usize; 2],
}

/// Every matrix of a model that can be adapted, in the order of the table of its family.
pub(crate) fn targets(import: &Import) -> Result<Vec<Target>, ModelError> {
    let shapes: BTreeMap<String, Vec<usize>> =
        import.survey()?.records().into_iter().map(|record| (record.name, record.shape)).collect();
    Ok(listed(&*import.blueprint)
        .filter_map(|(word, name, layer)| {
            let &[outputs, inputs] = shapes.get(&name)?.as_slice() else { return None };
            Some(Target { word, name, layer, shape: [outputs, inputs] })
        })
        .collect())
}

/// Words, names and layers of the table of a family.
fn listed(
    blueprint: &dyn Blueprint,
) -> impl Iterator<Item = (&'static str, String, Option<usize>)> + use<'_> {
    let (layers, _) = blueprint.sizes();
    blueprint.matrices().iter().flat_map(move |matrix| {
        let of_model = (!matrix.name.contains("{}")).then(|| (matrix.word, matrix.name.to_owned(), None));
        let blocks = if of_model.is_some() { 0 } else { layers };
        let of_block =
            move |block: usize| (matrix.word, matrix.name.replace("{}", &block.to_string()), Some(block + 1));
        of_model.into_iter().chain((0..blocks).map(of_block))
    })
}

/// The words by which matrices of the model in `folder` are chosen for [`AdapterPlan::targets`].
///
/// # Errors
/// [`ModelError`] as [`crate::inspect`].
pub fn adaptable(folder: &Path) -> Result<Vec<&'static str>, ModelError> {
    Ok(words(&*open(folder)?.blueprint))
}

fn words(blueprint: &dyn Blueprint) -> Vec<&'static str> {
    let mut words: Vec<&str> = Vec::new();
    for matrix in blueprint.matrices() {
        if !words.contains(&matrix.word) {
            words.push(matrix.word);
        }
    }
    words
}

fn open(folder: &Path) -> Result<Import, ModelError> {
    Import::open(folder, &Device::cpu(1)?, Precision::F32)
}

/// A new adapter for the model in `folder`, as PEFT begins it: A even within `±K^-½`, B zero, so that it changes nothing
/// yet. Its numbers are a function of `seed` and the names of its matrices.
///
/// # Errors
/// [`ModelError::NoMatrices`] for words that the family does not know, [`ModelError::Layer`] for layers that the model does
/// not have, and those of [`crate::inspect`].
pub fn new_adapter(folder: &Path, plan: &AdapterPlan, seed: u64) -> Result<Adapter, ModelError> {
    let import = open(folder)?;
    let known = words(&*import.blueprint);
    let unknown = plan.targets.iter().find(|word| !known.contains(&word.as_str()));
    if unknown.is_some() || known.is_empty() {
        let found = unknown.cloned().unwrap_or_else(|| plan.targets.join(", "));
        let wanted = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(ModelError::NoMatrices { family: import.family.name, found, wanted });
    }
    let usual = USUAL.iter().all(|word| known.contains(word));
    let (last, _) = import.blueprint.sizes();
    if let Some(&found) = plan.layers.iter().find(|layer| !(1..=last).contains(*layer)) {
        return Err(ModelError::Layer { found, first: 1, last });
    }
    let chosen = |target: &Target| {
        let layer = plan.layers.is_empty() || target.layer.is_some_and(|layer| plan.layers.contains(&layer));
        let word = match (plan.targets.is_empty(), usual) {
            (true, true) => USUAL.contains(&target.word),
            (true, false) => target.layer.is_some() && target.word != RECURRENT,
            (false, _) => plan.targets.iter().any(|word| word == target.word),
        };
        layer && word
    };
    let matrices = targets(&import)?.into_iter().filter(chosen);
    let rank = plan.rank;
    let made = matrices.map(|Target { name, shape: [outputs, inputs], .. }| {
        let a = Init::kaiming(inputs).values(seed, &format!("{name} lora_A"), rank * inputs);
        let scale = scale(plan.alpha, rank, false);
        let values = LowRankValues { rank, scale, a, b: vec![0.0; outputs * rank] };
        (name, Adapted { alpha: plan.alpha, values })
    });
    let matrices: BTreeMap<String, Adapted> = made.collect();
    if matrices.is_empty() {
        let (found, wanted) = (plan.targets.join(", "), known.join(", "));
        return Err(ModelError::NoMatrices { family: import.family.name, found, wanted });
    }
    let dropout = plan.dropout;
    Ok(Adapter { matrices, dropout, rank_stabilised: false, beside: Vec::new() })
}

/// What a product counts.
fn scale(alpha: f64, rank: usize, stabilised: bool) -> f32 {
    let rank = rank as f64;
    (alpha / if stabilised { rank.sqrt() } else { rank }) as f32
}

impl Adapter {
    /// What it is, in 64 hexadecimal digits: BLAKE3 over its matrices by canonical name with ranks, what they count and their
    /// numbers. The same for the same adapter however its files spell it; dropout and α by itself change no result.
    #[must_use]
    pub fn identity(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{FORM}\n").as_bytes());
        for (name, Adapted { values, .. }) in &self.matrices {
            let numbers = |values: &[f32]| {
                let mut hasher = blake3::Hasher::new();
                for value in values {
                    hasher.update(&value.to_le_bytes());
                }
                hasher.finalize().to_hex()
            };
            let LowRankValues { rank, scale, a, b } = values;
            let line = format!("{name}\t{rank}\t{:08x}\t{}\t{}\n", scale.to_bits(), numbers(a), numbers(b));
            hasher.update(line.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Number of its numbers.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.matrices.values().map(|Adapted { values, .. }| (values.a.len() + values.b.len()) as u64).sum()
    }

    /// Number of the lowest layer with an adapted matrix, the first block's being 1, in the model that `layer_of` tells
    /// layers of; none where it adapts none.
    pub(crate) fn lowest(&self, layer_of: impl Fn(&str) -> Option<usize>) -> Option<usize> {
        self.matrices.keys().filter_map(|name| layer_of(name)).min()
    }
}
