//! The keys of a plugin: their types, bounds and defaults, and what the user has set.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::PluginError;

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Text.
    String,
    /// A list of texts.
    Strings,
    /// A list of numbers.
    Numbers,
}

/// One key of the configuration of a plugin, as its manifest declares it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What it holds.
    #[serde(rename = "type")]
    pub holds: KeyType,
    /// What it is where the user says nothing; without it the user must.
    pub default: Option<Value>,
    /// What it means.
    #[serde(default)]
    pub about: String,
    /// The least number.
    pub min: Option<f64>,
    /// The greatest number.
    pub max: Option<f64>,
    /// The only texts.
    pub one_of: Option<Vec<String>>,
}

impl Key {
    /// Whether the default fits the key itself; else what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.default {
            Some(default) if !self.takes(default) => Err(default.to_string()),
            _ => Ok(()),
        }
    }

    fn takes(&self, value: &Value) -> bool {
        let number = |value: &Value| {
            let within = |number: f64| {
                self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
            };
            value.as_f64().is_some_and(|number| number.is_finite() && within(number))
        };
        let text = |value: &Value| {
            let known =
                |text: &str| self.one_of.as_ref().is_none_or(|known| known.iter().any(|one| one == text));
            value.as_str().is_some_and(known)
        };
        let all = |is: &dyn Fn(&Value) -> bool| value.as_array().is_some_and(|list| list.iter().all(is));
        match self.holds {
            KeyType::Boolean => value.is_boolean(),
            KeyType::Integer => (value.is_i64() || value.is_u64()) && number(value),
            KeyType::Number => number(value),
            KeyType::String => text(value),
            KeyType::Strings => all(&text),
            KeyType::Numbers => all(&number),
        }
    }

    /// What it takes, in words.
    fn wanted(&self) -> String {
        let mut wanted = match self.holds {
            KeyType::Boolean => "true or false",
            KeyType::Integer => "a whole number",
            KeyType::Number => "a number",
            KeyType::String => "text",
            KeyType::Strings => "a list of texts",
            KeyType::Numbers => "a list of numbers",
        }
        .to_owned();
        for (word, bound) in [("at least", self.min), ("at most", self.max)] {
            if let Some(bound) = bound {
                wanted.push_str(&format!(", {word} {bound}"));
            }
        }
        if let Some(known) = &self.one_of {
            wanted.push_str(&format!(", one of {}", known.join(", ")));
        }
        wanted
    }
}

/// The configuration that a guest is given: every key in the order of the names, as a JSON object.
pub(crate) fn complete(
    keys: &BTreeMap<String, Key>,
    given: &Map<String, Value>,
) -> Result<String, PluginError> {
    let setting = |key: &str, found: String, wanted: String| PluginError::Setting {
        key: format!("config.{key}"),
        found,
        wanted,
    };
    if let Some(unknown) = given.keys().find(|key| !keys.contains_key(*key)) {
        let known: Vec<&str> = keys.keys().map(String::as_str).collect();
        let wanted = if known.is_empty() {
            "no key at all".to_owned()
        } else {
            format!("one of {}", known.join(", "))
        };
        return Err(setting(unknown, "a key that the plugin does not know".to_owned(), wanted));
    }
    let mut complete = Map::new();
    for (name, key) in keys {
        let value = given.get(name).or(key.default.as_ref());
        let value = value.ok_or_else(|| setting(name, "nothing".to_owned(), key.wanted()))?;
        if !key.takes(value) {
            return Err(setting(name, value.to_string(), key.wanted()));
        }
        complete.insert(name.clone(), value.clone());
    }
    Ok(Value::Object(complete).to_string())
}
