//! A configuration as text, and what of it binds a run that goes on.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::keys::{KEYS, Key, Keys, PRETRAIN};
use super::read::MODEL_NAME;
use super::{
    CheckpointConfig, CompatConfig, DataConfig, LogConfig, MaskingConfig, ObjectiveConfig, OptimizerKind,
    RunConfig, ScheduleConfig, TrainConfig,
};

impl TrainConfig {
    /// The complete configuration as TOML: every key with its value, or, where it is not set, in a comment. Paths are
    /// absolute, so that the text means the same wherever it lies.
    pub fn to_toml(&self) -> String {
        written(PRETRAIN, &self.table())
    }

    /// The keys that a run which goes on must not change, with their values.
    pub fn binding(&self) -> BTreeMap<&'static str, String> {
        let (table, defaults) = (self.table(), defaults());
        let value =
            |table: &Table, key: &Key| get(table, key).map_or_else(|| "not set".to_owned(), Value::to_string);
        // A run that began before there was such a key goes on as if it had been left alone.
        let counts = |key: &&Key| key.binds && !(key.is_later && value(&table, key) == value(&defaults, key));
        KEYS.iter().filter(counts).map(|key| (key.path, value(&table, key))).collect()
    }

    /// Everything but what names files of this machine, as JSON: sections of keys.
    pub fn settings(&self) -> serde_json::Value {
        settings_of(PRETRAIN, self.table())
    }

    fn table(&self) -> Table {
        // Numbers, texts and lists of texts: there is nothing in it that TOML cannot hold.
        Table::try_from(self).unwrap_or_default()
    }
}

/// Everything but what names files of this machine.
pub(crate) fn settings_of(keys: Keys, mut table: Table) -> serde_json::Value {
    for key in keys.all.iter().filter(|key| key.names_files) {
        let (section, name) = key.parts();
        if let Some(Value::Table(members)) = table.get_mut(section) {
            members.remove(name);
        }
    }
    table.retain(|_, section| section.as_table().is_some_and(|section| !section.is_empty()));
    serde_json::to_value(table).unwrap_or_default()
}

/// The value of a key, where it is set.
pub(crate) fn get<'a>(table: &'a Table, key: &Key) -> Option<&'a Value> {
    let (section, name) = key.parts();
    table.get(section)?.get(name)
}

fn absolute(key: &Key, value: &Value) -> Value {
    let whole = |path: &str| {
        let whole = std::path::absolute(Path::new(path));
        whole.map_or_else(|_| path.to_owned(), |path| path.to_string_lossy().into_owned())
    };
    match value {
        Value::String(path) if key.path == MODEL_NAME && !Path::new(path).exists() => value.clone(),
        Value::String(path) if key.names_files => Value::String(whole(path)),
        Value::Array(paths) if key.names_files => {
            Value::Array(paths.iter().map(|path| absolute(key, path)).collect())
        }
        value => value.clone(),
    }
}

/// Every key with what it may be, and its value where it has one by itself.
pub fn template() -> String {
    written(PRETRAIN, &defaults())
}

/// Every value that a key has by itself.
fn defaults() -> Table {
    let mut optimizer = Table::new();
    optimizer.extend(Value::try_from(OptimizerKind::default()).ok().map(|kind| ("kind".to_owned(), kind)));
    let sections = [
        ("objective", Table::try_from(ObjectiveConfig::default())),
        ("data", Table::try_from(DataConfig::default())),
        ("masking", Table::try_from(MaskingConfig::default())),
        ("optimizer", Ok(optimizer)),
        ("schedule", Table::try_from(ScheduleConfig::default())),
        ("run", Table::try_from(RunConfig::default())),
        ("checkpoint", Table::try_from(CheckpointConfig::default())),
        ("log", Table::try_from(LogConfig::default())),
        ("compat", Table::try_from(CompatConfig::default())),
    ];
    let named =
        |(name, table): (&str, Result<Table, _>)| (name.to_owned(), Value::Table(table.unwrap_or_default()));
    sections.map(named).into_iter().collect()
}

/// Every key with what it is for and its value, or what it may be.
pub(crate) fn written(keys: Keys, table: &Table) -> String {
    let mut text = String::new();
    let mut last = "";
    for key in keys.all {
        let (section, name) = key.parts();
        if section != last {
            text.push_str(if last.is_empty() { "" } else { "\n" });
            text.push_str(&format!("[{section}]\n"));
            last = section;
        }
        let about = key.about;
        text.push_str(&match get(table, key) {
            Some(value) => format!("# {about}\n{name} = {}\n", absolute(key, value)),
            None => format!("# {about}\n# {name} = {}\n", key.wanted),
        });
    }
    text
}
