//! Adapters written as folders that Hugging Face PEFT loads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pliant_nn::{NamedValues, write_values};
use serde_json::{Map, Value, json};

use super::read::{CONFIG_FILE, module_of};
use super::{Adapted, Adapter, Target, open, targets};
use crate::config::pretty;
use crate::error::ModelError;
use crate::folder::write_text;
use crate::import::Import;

/// The files of an adapter's folder.
pub const ADAPTER_FILES: [&str; 2] = [WEIGHTS_FILE, CONFIG_FILE];

/// Its numbers.
const WEIGHTS_FILE: &str = "adapter_model.safetensors";

/// The end of paths of so many modules of ESM-2 that it chooses none of them.
const AMBIGUOUS: &str = "dense";

/// An adapted matrix as it is written.
struct Written<'a> {
    module: String,
    target: &'a Target,
    adapted: &'a Adapted,
}

impl Adapter {
    /// Writes the adapter of the model in the folder `model` into the folder `folder`, which is there, as peft saves one
    /// alone: names are those of the model's own file.
    ///
    /// # Errors
    /// [`ModelError::Adapter`] where it is none of that model, and [`ModelError`] for files that cannot be written.
    pub fn write(&self, model: &Path, folder: &Path) -> Result<(), ModelError> {
        let import = open(model)?;
        let targets = targets(&import)?;
        let mut written = Vec::with_capacity(self.matrices.len());
        for (name, adapted) in &self.matrices {
            let target = targets.iter().find(|target| target.name == *name);
            let target = target.ok_or_else(|| ModelError::Adapter {
                path: folder.to_owned(),
                problem: format!("would adapt {name:?}, which {} does not have", model.display()),
            })?;
            written.push(Written { module: spelled(&import, target), target, adapted });
        }
        write_numbers(&folder.join(WEIGHTS_FILE), &written)?;
        let all: Vec<String> = targets.iter().map(|target| spelled(&import, target)).collect();
        let name = model.file_name().map(|name| name.to_string_lossy().into_owned());
        let config = self.config(&written, &all, name);
        write_text(&folder.join(CONFIG_FILE), &pretty(config))
    }

    fn config(&self, written: &[Written<'_>], all: &[String], model: Option<String>) -> Map<String, Value> {
        let (rank, alpha) = usual(written);
        let (mut ranks, mut alphas) = (Map::new(), Map::new());
        for Written { module, adapted, .. } in written {
            if adapted.values.rank != rank {
                ranks.insert(module.clone(), json!(adapted.values.rank));
            }
            if adapted.alpha != alpha {
                alphas.insert(module.clone(), number(adapted.alpha));
            }
        }
        let (modules, layers) = chosen(written, all);
        let members = [
            ("alpha_pattern", Value::Object(alphas)),
            ("auto_mapping", Value::Null),
            ("base_model_name_or_path", json!(model)),
            ("bias", json!("none")),
            ("fan_in_fan_out", json!(false)),
            ("inference_mode", json!(true)),
            ("init_lora_weights", json!(true)),
            ("layers_pattern", Value::Null),
            ("layers_to_transform", json!(layers)),
            ("lora_alpha", number(alpha)),
            ("lora_dropout", json!(self.dropout)),
            ("modules_to_save", Value::Null),
            ("peft_type", json!("LORA")),
            ("r", json!(rank)),
            ("rank_pattern", Value::Object(ranks)),
            ("revision", Value::Null),
            ("target_modules", json!(modules)),
            ("task_type", json!("FEATURE_EXTRACTION")),
        ];
        let mut members: Map<String, Value> =
            members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        if self.rank_stabilised {
            members.insert("use_rslora".to_owned(), json!(true));
        }
        members
    }
}

/// The path of a module as the model's own file spells it; by its canonical name where that is no spelling of Hugging Face.
fn spelled(import: &Import, target: &Target) -> String {
    let stored = import.weights.stored_as(&target.name).map(|(stored, _)| stored);
    let stored = stored.filter(|stored| target.name.ends_with(*stored));
    module_of(stored.unwrap_or(&target.name)).to_owned()
}

fn write_numbers(path: &Path, written: &[Written<'_>]) -> Result<(), ModelError> {
    let mut tensors: BTreeMap<String, ([usize; 2], &[f32])> = BTreeMap::new();
    for Written { module, target, adapted } in written {
        let [outputs, inputs] = target.shape;
        let values = &adapted.values;
        let name = |half: &str| format!("base_model.model.{module}.{half}.weight");
        tensors.insert(name("lora_A"), ([values.rank, inputs], values.a.as_slice()));
        tensors.insert(name("lora_B"), ([outputs, values.rank], values.b.as_slice()));
    }
    let tensors: Vec<NamedValues<'_>> =
        tensors.iter().map(|(name, (shape, values))| NamedValues { name, shape, values }).collect();
    Ok(write_values(path, &tensors)?)
}

/// The rank and α of most matrices, the least of several.
fn usual(written: &[Written<'_>]) -> (usize, f64) {
    let mut counts: BTreeMap<(usize, u64), usize> = BTreeMap::new();
    for Written { adapted, .. } in written {
        *counts.entry((adapted.values.rank, adapted.alpha.to_bits())).or_default() += 1;
    }
    let most = counts.values().copied().max();
    let found = counts.into_iter().find(|(_, count)| Some(*count) == most);
    found.map_or((1, 1.0), |((rank, alpha), _)| (rank, f64::from_bits(alpha)))
}

/// What chooses the modules that are written and no others of `all`: the ends of their paths and the numbers of blocks from
/// 0 where that is enough, else their whole paths.
fn chosen(written: &[Written<'_>], all: &[String]) -> (Vec<String>, Option<Vec<usize>>) {
    let end = |module: &str| module.rsplit('.').next().unwrap_or_default().to_owned();
    let ends: BTreeSet<String> = written.iter().map(|written| end(&written.module)).collect();
    let blocks: BTreeSet<usize> =
        written.iter().filter_map(|written| written.target.layer).map(|layer| layer - 1).collect();
    let modules: BTreeSet<&str> = written.iter().map(|written| written.module.as_str()).collect();
    let with_ends = |module: &&String| ends.contains(&end(module));
    let count = all.iter().filter(with_ends).count();
    if !ends.contains(AMBIGUOUS) && count == modules.len() {
        return (ends.into_iter().collect(), None);
    }
    // Every one of these blocks must have every one of these ends.
    let every = written.iter().all(|written| written.target.layer.is_some())
        && ends.len() * blocks.len() == modules.len();
    if !ends.contains(AMBIGUOUS) && every {
        return (ends.into_iter().collect(), Some(blocks.into_iter().collect()));
    }
    (modules.into_iter().map(str::to_owned).collect(), None)
}

/// A number without a fraction as a whole one.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}
