//! What a result file says about itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Name of the one place of a file that holds its metadata: npz array, TSV comment, attribute, key.
pub const METADATA_KEY: &str = "pliant_meta";

/// Key that the writers fill in themselves: the layers that this very file holds.
pub const LAYERS_KEY: &str = "layers";

/// One JSON object: everything that can change the numbers of a file, and the hash of its input records.
///
/// It holds no time, host or count, so that the same input gives the same bytes. Keys are sorted at every
/// depth, because the bytes must not depend on the order in which a caller sets them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    entries: BTreeMap<String, Value>,
}

impl Metadata {
    /// An empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one key, replacing what it held.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        self.entries.insert(key.into(), value.into());
    }

    /// This object with one more key.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set(key, value);
        self
    }

    /// This object for a file that holds these layers: sets [`LAYERS_KEY`]. A file per layer of a run over
    /// several is then byte for byte the file of a run over that layer alone.
    #[must_use]
    pub fn for_layers(&self, layers: &[usize]) -> Self {
        self.clone().with(LAYERS_KEY, layers.to_vec())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// Takes one key out.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(key)
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The canonical text: compact JSON on one line, UTF-8, keys sorted by their bytes at every depth.
    pub fn to_json(&self) -> String {
        let entries = self.entries.iter().map(|(key, value)| (key.clone(), sorted(value)));
        Value::Object(entries.collect()).to_string()
    }

    /// Reads the text of a file back.
    ///
    /// # Errors
    /// Text that is no JSON object.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(|entries| Self { entries })
    }
}

/// The same value with the keys of every object in it sorted.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(entries) => {
            let ordered: BTreeMap<&String, &Value> = entries.iter().collect();
            Value::Object(
                ordered.into_iter().map(|(key, item)| (key.clone(), sorted(item))).collect::<Map<_, _>>(),
            )
        }
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_setting_keys_leaves_no_trace() {
        let nested = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let one = Metadata::new().with("b", nested(r#"{"y":[{"q":1,"p":2}],"x":0}"#)).with("a", "t\n");
        let two = Metadata::new().with("a", "t\n").with("b", nested(r#"{"x":0,"y":[{"p":2,"q":1}]}"#));
        assert_eq!(one.to_json(), r#"{"a":"t\n","b":{"x":0,"y":[{"p":2,"q":1}]}}"#);
        assert_eq!(one.to_json(), two.to_json());
        assert_eq!(Metadata::from_json(&one.to_json()).unwrap(), two);
    }

    #[test]
    fn layers_are_those_of_the_file() {
        let given = Metadata::new().with("layers", json!([1, 2, 3]));
        assert_eq!(given.for_layers(&[2]).to_json(), r#"{"layers":[2]}"#);
    }

    #[test]
    fn text_that_is_no_object_is_refused() {
        assert!(Metadata::from_json("[1]").is_err());
        assert!(Metadata::from_json("{").is_err());
    }
}
