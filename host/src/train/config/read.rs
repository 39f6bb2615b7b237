//! From a file and what the command line changes of it to a checked configuration.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::keys::{Keys, PRETRAIN};
use super::{ConfigError, TrainConfig, check};

/// The key that may also name a model that was pulled.
pub(super) const MODEL_NAME: &str = "model.init";

/// Longest value that an error repeats, in letters.
const SHOWN_LETTERS: usize = 60;

/// What a flag changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The key.
    pub key: &'static str,
    /// Its value; `None` takes it away.
    pub value: Option<Value>,
}

/// Reads a configuration: TOML, or YAML where the suffix is `.yaml` or `.yml`. Paths in it are relative to its folder,
/// those in `sets` (words `KEY=VALUE`, TOML values) and `changes`, which come after it, to the current one.
///
/// # Errors
/// [`ConfigError`] naming the file and the key.
pub fn read(file: &Path, sets: &[String], changes: &[Change]) -> Result<TrainConfig, ConfigError> {
    let place = file.display().to_string();
    let config = read_as(PRETRAIN, (Some(file), Table::new()), sets, changes)?;
    check::check(&config, &place)?;
    Ok(config)
}

/// The same for the keys of any command: values of `defaults` are those of keys that nothing sets. Ranges are not looked
/// at.
///
/// # Errors
/// [`ConfigError`] naming the file and the key.
pub(crate) fn read_as<T: DeserializeOwned>(
    keys: Keys,
    (file, defaults): (Option<&Path>, Table),
    sets: &[String],
    changes: &[Change],
) -> Result<T, ConfigError> {
    let place = place_of(file);
    let mut table = match file {
        None => Table::new(),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|source| ConfigError::Read { path: file.to_owned(), source })?;
            let mut table = parse(file, &text)?;
            known(keys, &table, &place)?;
            resolve(keys, &mut table, file);
            table
        }
    };
    for word in sets {
        let (key, value) = word.split_once('=').ok_or_else(|| ConfigError::Set { word: word.clone() })?;
        let (section, name) = key.trim().split_once('.').unwrap_or((key.trim(), ""));
        if keys.find(section, name).is_none() {
            return Err(unknown(keys, &format!("--set {word}"), section, name));
        }
        assign(&mut table, section, name, Some(value_of(value)));
    }
    for Change { key, value } in changes {
        let (section, name) = key.split_once('.').unwrap_or((key, ""));
        assign(&mut table, section, name, value.clone());
    }
    complete(keys, &table, &place)?;
    for (section, members) in defaults {
        let Value::Table(members) = members else { continue };
        for (name, value) in members {
            if table.get(&section).and_then(|section| section.get(&name)).is_none() {
                assign(&mut table, &section, &name, Some(value));
            }
        }
    }
    typed(keys, table, &place)
}

/// What errors call the place of a configuration.
pub(crate) fn place_of(file: Option<&Path>) -> String {
    file.map_or_else(|| "the command line".to_owned(), |file| file.display().to_string())
}

fn parse(file: &Path, text: &str) -> Result<Table, ConfigError> {
    let refuse = |language, reason: String| {
        let reason = reason.trim().replace('\n', " ");
        ConfigError::Text { path: file.to_owned(), language, reason }
    };
    let is_yaml = file.extension().is_some_and(|suffix| suffix == "yaml" || suffix == "yml");
    if !is_yaml {
        return text.parse::<Table>().map_err(|error| refuse("TOML", error.to_string()));
    }
    let value: serde_json::Value =
        serde_saphyr::from_str(text).map_err(|error| refuse("YAML", error.to_string()))?;
    match from_json(value) {
        Some(Value::Table(table)) => Ok(table),
        _ => Err(refuse("YAML", "found no mapping of sections".to_owned())),
    }
}

/// The same value; what is null is not set.
fn from_json(value: serde_json::Value) -> Option<Value> {
    use serde_json::Value as Json;
    Some(match value {
        Json::Null => return None,
        Json::Bool(value) => Value::Boolean(value),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(text),
        Json::Array(values) => Value::Array(values.into_iter().filter_map(from_json).collect()),
        Json::Object(members) => {
            let members = members.into_iter();
            Value::Table(members.filter_map(|(key, value)| Some((key, from_json(value)?))).collect())
        }
    })
}

/// Refuses keys that there are not.
fn known(keys: Keys, table: &Table, place: &str) -> Result<(), ConfigError> {
    for (section, value) in table {
        let Value::Table(members) = value else { return Err(unknown(keys, place, section, "")) };
        if !keys.all.iter().any(|key| key.parts().0 == section) {
            return Err(unknown(keys, place, section, members.keys().next().map_or("", String::as_str)));
        }
        for name in members.keys() {
            if keys.find(section, name).is_none() {
                return Err(unknown(keys, place, section, name));
            }
        }
    }
    Ok(())
}

/// Makes relative paths of a file relative to the current folder. What begins with a model may be the name of one that
/// was pulled, and is left as it is where there is no such path.
fn resolve(keys: Keys, table: &mut Table, file: &Path) {
    let Some(folder) = file.parent() else { return };
    for key in keys.all.iter().filter(|key| key.names_files) {
        let (section, name) = key.parts();
        let joined = |value: &mut Value| {
            if let Value::String(path) = value {
                let whole = folder.join(&*path);
                if whole.exists() || key.path != MODEL_NAME {
                    *path = whole.to_string_lossy().into_owned();
                }
            }
        };
        match table.get_mut(section).and_then(|section| section.get_mut(name)) {
            Some(Value::Array(paths)) => paths.iter_mut().for_each(joined),
            Some(path) => joined(path),
            None => {}
        }
    }
}

/// A value as TOML writes it; what is none is a text, so that a shell needs no second pair of quotes.
fn value_of(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok();
    let value = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn assign(table: &mut Table, section: &str, name: &str, value: Option<Value>) {
    let members = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(members) = members {
        match value {
            Some(value) => drop(members.insert(name.to_owned(), value)),
            None => drop(members.remove(name)),
        }
    }
}

/// Refuses a configuration that lacks a value without default.
fn complete(keys: Keys, table: &Table, place: &str) -> Result<(), ConfigError> {
    for key in keys.all.iter().filter(|key| key.required) {
        let (section, name) = key.parts();
        if table.get(section).and_then(|section| section.get(name)).is_none() {
            return Err(ConfigError::value(place, key, "missing"));
        }
    }
    Ok(())
}

/// The values in their types.
fn typed<T: DeserializeOwned>(keys: Keys, table: Table, place: &str) -> Result<T, ConfigError> {
    let value = Value::Table(table);
    serde_path_to_error::deserialize(value.clone()).map_err(|error| {
        let path = error.path().to_string();
        let key = keys
            .all
            .iter()
            .find(|key| path.starts_with(key.path) && !path[key.path.len()..].starts_with('_'));
        match key {
            Some(key) => {
                let (section, name) = key.parts();
                let found = value.get(section).and_then(|section| section.get(name));
                ConfigError::value(place, key, shown(found))
            }
            None => ConfigError::with(place, &path, "not as it must be", error.inner().message().to_owned()),
        }
    })
}

fn shown(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "missing".to_owned(), Value::to_string);
    let mut shown: String = text.chars().take(SHOWN_LETTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn unknown(keys: Keys, place: &str, section: &str, name: &str) -> ConfigError {
    let key = if name.is_empty() { section.to_owned() } else { format!("{section}.{name}") };
    ConfigError::Unknown { place: place.to_owned(), near: near(keys, &key), key, command: keys.command }
}

/// Keys that are spelt nearly so, or have the same name in another section.
fn near(keys: Keys, key: &str) -> Vec<&'static str> {
    let name = key.rsplit('.').next().unwrap_or(key);
    let same: Vec<&str> =
        keys.all.iter().map(|key| key.path).filter(|path| path.rsplit('.').next() == Some(name)).collect();
    if !same.is_empty() {
        return same;
    }
    let distance = |path: &str| {
        let own = path.rsplit('.').next().unwrap_or(path);
        edits(path, key)
            .min(edits(own, name) + usize::from(!key.starts_with(&path[..path.len() - own.len()])))
    };
    let mut near: Vec<(usize, &str)> = keys.all.iter().map(|key| (distance(key.path), key.path)).collect();
    near.sort_unstable();
    let limit = near.first().map_or(0, |(least, _)| *least).min(1 + name.len() / 4);
    near.into_iter().filter(|(distance, _)| *distance <= limit).map(|(_, path)| path).take(3).collect()
}

/// Letters that must be put in, left out or replaced to turn one text into the other.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, &wanted) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != wanted);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// A path as a value.
///
/// # Errors
/// [`ConfigError::Value`] for a path that is no Unicode, which TOML cannot hold.
pub(super) fn path_value(key: &str, path: &Path) -> Result<Value, ConfigError> {
    let text = path.to_str().map(|text| Value::String(text.to_owned()));
    let found = || path.display().to_string();
    text.ok_or_else(|| ConfigError::with("the command line", key, found(), "a path in Unicode"))
}

impl Change {
    /// Sets a key to a path.
    ///
    /// # Errors
    /// As [`path_value`].
    pub fn path(key: &'static str, path: &Path) -> Result<Self, ConfigError> {
        Ok(Self { key, value: Some(path_value(key, path)?) })
    }

    /// Sets a key to several paths.
    ///
    /// # Errors
    /// As [`path_value`].
    pub fn paths(key: &'static str, paths: &[PathBuf]) -> Result<Self, ConfigError> {
        let values = paths.iter().map(|path| path_value(key, path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { key, value: Some(Value::Array(values)) })
    }

    /// Takes a key away.
    pub fn gone(key: &'static str) -> Self {
        Self { key, value: None }
    }
}
