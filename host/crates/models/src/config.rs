//! Reading `config.json` key by key, so that every value that does not fit is named.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::ModelError;

/// Longest value that an error repeats.
const SHOWN_CHARACTERS: usize = 60;

/// Widest layer that a config may name, far above any published model.
pub(crate) const WIDTH_MAX: usize = 1 << 20;

/// Most blocks that a config may name.
pub(crate) const LAYERS_MAX: usize = 1 << 12;

/// The members of a config, and the file that they come from.
#[derive(Debug)]
pub(crate) struct Fields {
    path: PathBuf,
    /// What stands before a key in errors: nothing, or the name of a member with members and a dot.
    place: String,
    members: Map<String, Value>,
}

impl Fields {
    /// Parses a config; `path` is its name in errors.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ModelError> {
        let refuse = |reason| ModelError::ConfigText { path: path.to_owned(), reason };
        match serde_json::from_str(text) {
            Ok(Value::Object(members)) => Ok(Self::new(path, members)),
            Ok(_) => Err(refuse("is no JSON object".to_owned())),
            Err(error) => Err(refuse(format!("is no JSON: {error}"))),
        }
    }

    /// A config that was made and not read; `path` is its name in errors.
    pub(crate) fn new(path: &Path, members: Map<String, Value>) -> Self {
        Self { path: path.to_owned(), place: String::new(), members }
    }

    /// The same with another member.
    pub(crate) fn with(mut self, key: &str, member: Map<String, Value>) -> Self {
        self.members.insert(key.to_owned(), Value::Object(member));
        self
    }

    /// All members.
    pub(crate) fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// A value that is there and not `null`.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.members.get(key).filter(|value| !value.is_null())
    }

    /// The members of a member; none where it is absent.
    pub(crate) fn section(&self, key: &'static str) -> Result<Self, ModelError> {
        let members = match self.get(key) {
            None => Map::new(),
            Some(Value::Object(members)) => members.clone(),
            Some(_) => return Err(self.refuse(key, "an object".to_owned())),
        };
        Ok(Self { path: self.path.clone(), place: format!("{}{key}.", self.place), members })
    }

    /// Refuses what is not implemented: a member that is none of `known`.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), ModelError> {
        match self.members.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(self.refuse(key, format!("none but {}", known.join(", ")))),
        }
    }

    /// A whole number inside `range`; `default` where the key is absent, else the key must be there.
    pub(crate) fn count(
        &self,
        key: &'static str,
        range: RangeInclusive<usize>,
        default: Option<usize>,
    ) -> Result<usize, ModelError> {
        let value = match (self.get(key), default) {
            (None, Some(default)) => Some(default),
            (found, _) => found.and_then(Value::as_u64).and_then(|value| usize::try_from(value).ok()),
        };
        let wanted = || format!("a whole number from {} to {}", range.start(), range.end());
        value.filter(|value| range.contains(value)).ok_or_else(|| self.refuse(key, wanted()))
    }

    /// A positive number that fits 32 bits; `default` where the key is absent.
    pub(crate) fn positive(&self, key: &'static str, default: f32) -> Result<f32, ModelError> {
        let value = self.get(key).map_or(Some(default), |value| value.as_f64().map(|value| value as f32));
        let fits = |value: &f32| *value > 0.0 && value.is_finite();
        value.filter(fits).ok_or_else(|| self.refuse(key, "a positive number".to_owned()))
    }

    /// Yes or no; `default` where the key is absent.
    pub(crate) fn flag(&self, key: &'static str, default: bool) -> Result<bool, ModelError> {
        let value = self.get(key).map_or(Some(default), Value::as_bool);
        value.ok_or_else(|| self.refuse(key, "true or false".to_owned()))
    }

    /// A piece of text; `default` where the key is absent.
    pub(crate) fn text<'a>(&'a self, key: &'static str, default: &'a str) -> Result<&'a str, ModelError> {
        let value = self.get(key).map_or(Some(default), Value::as_str);
        value.ok_or_else(|| self.refuse(key, "a string".to_owned()))
    }

    /// Refuses what is not implemented: the flag must be false or absent.
    pub(crate) fn must_be_off(&self, key: &'static str) -> Result<(), ModelError> {
        match self.flag(key, false)? {
            false => Ok(()),
            true => Err(self.refuse(key, "false: nothing else is supported".to_owned())),
        }
    }

    /// Which of `wanted` a text is.
    pub(crate) fn one_of(&self, key: &'static str, wanted: &[&str]) -> Result<usize, ModelError> {
        let found = self.get(key).and_then(Value::as_str);
        let place = wanted.iter().position(|name| found == Some(name));
        let listed = || wanted.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
        place.ok_or_else(|| self.refuse(key, listed()))
    }

    /// Refuses what is not implemented: the flag must be true, or be absent and mean `default`.
    pub(crate) fn must_be_on(&self, key: &'static str, default: bool) -> Result<(), ModelError> {
        match self.flag(key, default)? {
            true => Ok(()),
            false => Err(self.refuse(key, "true: nothing else is supported".to_owned())),
        }
    }

    /// Refuses what is not implemented: the text, or `default` where the key is absent, must be `wanted`.
    pub(crate) fn must_be(&self, key: &'static str, default: &str, wanted: &str) -> Result<(), ModelError> {
        if self.text(key, default)? == wanted {
            return Ok(());
        }
        let absent =
            if self.get(key).is_none() { format!(" (absent means \"{default}\")") } else { String::new() };
        Err(self.refuse(key, format!("\"{wanted}\": nothing else is supported{absent}")))
    }

    /// Refuses what is not implemented: the number, where the key is there, must be `wanted`.
    pub(crate) fn must_be_number(&self, key: &'static str, wanted: f64) -> Result<(), ModelError> {
        let fits = self.get(key).is_none_or(|value| value.as_f64() == Some(wanted));
        if fits { Ok(()) } else { Err(self.refuse(key, format!("{wanted}: nothing else is supported"))) }
    }

    /// The error for a key that cannot be used.
    pub(crate) fn refuse(&self, key: &str, wanted: String) -> ModelError {
        let found = self.get(key).map_or_else(|| "missing".to_owned(), Value::to_string);
        let mut shown: String = found.chars().take(SHOWN_CHARACTERS).collect();
        if shown.len() < found.len() {
            shown.push('…');
        }
        let key = format!("{}{key}", self.place);
        ModelError::Config { path: self.path.clone(), key, found: shown, wanted }
    }
}

/// The shortest decimal that is this number in 32 bits, so that `1e-05` and `0.00001` read the same.
pub(crate) fn shortest(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// A config as the text of a file.
pub(crate) fn pretty(members: Map<String, Value>) -> String {
    format!("{:#}\n", Value::Object(members))
}
