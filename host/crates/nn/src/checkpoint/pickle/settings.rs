//! Plain values that were saved beside the tensors: what a model was made with.

use std::collections::BTreeMap;

use super::value::{Heap, Value};

/// Deepest nesting that is looked into, and most values that are looked at: fairseq's have some hundred.
const DEPTH: usize = 8;
const VALUES: usize = 10_000;

/// Longest path of names and longest text that are kept.
const TEXT_LIMIT: usize = 256;

/// A plain value.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
}

/// Plain values by their path, as `cfg.model.encoder_layers`, out of dictionaries and of what unknown classes would
/// have been filled with.
pub type Settings = BTreeMap<String, Setting>;

/// Names that OmegaConf puts between a name and its value.
const WRAPPERS: [&str; 2] = ["_content", "_val"];

/// The plain values of `root` below the names under which fairseq saves its own.
pub(super) fn collect(heap: &Heap, root: Value) -> Settings {
    let mut settings = Settings::new();
    if let Value::Dict(dict) = root {
        let mut left = VALUES;
        for name in ["cfg", "args"] {
            if let Some(value) = heap.member(dict, name) {
                descend(heap, value, (name.to_owned(), DEPTH), &mut left, &mut settings);
            }
        }
    }
    settings
}

/// Recursion ends after [`DEPTH`] steps, and a value that holds itself after [`VALUES`].
fn descend(
    heap: &Heap,
    value: Value,
    (path, depth): (String, usize),
    left: &mut usize,
    settings: &mut Settings,
) {
    if *left == 0 || path.len() > TEXT_LIMIT {
        return;
    }
    *left -= 1;
    let setting = match value {
        Value::Bool(value) => Setting::Bool(value),
        Value::Int(value) => Setting::Int(value),
        Value::Float(value) => Setting::Float(value),
        Value::Text(text) if heap.text(text).len() <= TEXT_LIMIT => Setting::Text(heap.text(text).to_owned()),
        Value::Object(object) => {
            if let (Some(state), Some(below)) = (heap.object(object).state, depth.checked_sub(1)) {
                descend(heap, state, (path, below), left, settings);
            }
            return;
        }
        Value::Dict(dict) => {
            let Some(below) = depth.checked_sub(1) else { return };
            for &(key, value) in heap.members(dict) {
                let Value::Text(name) = key else { continue };
                let name = heap.text(name);
                let wrapped = WRAPPERS.contains(&name);
                let path = if wrapped { path.clone() } else { format!("{path}.{name}") };
                descend(heap, value, (path, below), left, settings);
            }
            return;
        }
        _ => return,
    };
    settings.insert(path, setting);
}
