//! What a model is, in 64 hexadecimal digits.
//!
//! The identity is BLAKE3 over one line with the config's keys that change numbers (JSON, sorted), then one
//! line for each tensor that the family uses, sorted by canonical name: name, dtype, shape and BLAKE3 of
//! the bytes as stored. File names, prefixes, spellings, shards, order and extra tensors do not enter it;
//! a stored dtype does. A tied tensor counts once under its first name, and rotary frequencies that are
//! the same in all layers count once as the shared ones.

use std::collections::BTreeMap;

use pliant_nn::Record;
use serde_json::Value;

use crate::family::{Twin, seconds};
use crate::plus_tfm::PLACES;

/// Rotary frequencies `[D/2]` that all layers share.
pub(crate) const SHARED_INV_FREQ: &str = "esm.rotary_embeddings.inv_freq";

/// End of the name of rotary frequencies, shared or of one layer.
pub(crate) const INV_FREQ: &str = "rotary_embeddings.inv_freq";

/// Whether a tensor of this name is a table that nobody trains: rotary frequencies, or a sinusoid.
pub(crate) fn is_buffer(name: &str) -> bool {
    name.ends_with(INV_FREQ) || name == PLACES
}

/// First line of what is hashed: another form must have another name.
const FORM: &str = "pliant-identity-1";

/// The identity of the tensors `records` under a config; the second of two `twins` does not count.
pub(crate) fn identity(
    semantics: &BTreeMap<&'static str, Value>,
    records: &[Record],
    twins: &[Twin],
) -> String {
    let seconds = seconds(twins);
    let (mut lines, mut frequencies) = (BTreeMap::new(), Vec::new());
    for record in records {
        let line = (record.name.as_str(), content(record));
        if record.name.ends_with(INV_FREQ) {
            frequencies.push(line);
        } else if !seconds.contains(&*record.name) {
            lines.extend([line]);
        }
    }
    if frequencies.windows(2).all(|pair| pair[0].1 == pair[1].1) {
        frequencies.truncate(1);
        frequencies.iter_mut().for_each(|(name, _)| *name = SHARED_INV_FREQ);
    }
    lines.extend(frequencies);
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{FORM}\n{}\n", canonical_json(semantics)).as_bytes());
    for (name, content) in lines {
        hasher.update(format!("{name}\t{content}\n").as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Sorted keys, no spaces.
pub(crate) fn canonical_json(members: &BTreeMap<&'static str, Value>) -> String {
    let members = members.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    Value::Object(members.collect()).to_string()
}

fn content(record: &Record) -> String {
    let sides: Vec<String> = record.shape.iter().map(ToString::to_string).collect();
    let hash = record.hash.map(|hash| hash.to_hex().to_string()).unwrap_or_default();
    format!("{}\t{}\t{hash}", record.dtype.name(), sides.join(","))
}
