//! `pliant plugin inspect`: what a plugin is, without running it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;
use pliant_plugin::{Limits, Manifest, PluginError, Structure, examine, sha256};
use serde_json::{Value, json};

use crate::Context;
use crate::cli::plugin::InspectArgs;
use crate::tasks::files::path_text;

/// The most that is looked at; nothing of it is run or compiled.
const MOST: [(&str, u64); 6] = [
    ("file_mib", 1024),
    ("functions", 1_000_000),
    ("function_kib", 7_500),
    ("locals", 1_000_000_000),
    ("nesting", 100),
    ("instances", 1000),
];

pub(super) fn run(args: &InspectArgs, context: &Context) -> Result<()> {
    let is_manifest = args.file.extension().is_some_and(|suffix| suffix == "toml");
    let manifest = is_manifest.then(|| Manifest::read(&args.file)).transpose()?;
    let limits = Limits::of(&BTreeMap::new(), &MOST.map(|(name, most)| (name.to_owned(), most)).into())?;
    let bytes = match &manifest {
        Some(manifest) => manifest.guest(&limits)?,
        None => read(&args.file)?,
    };
    let object = as_json(&args.file, manifest.as_ref(), &bytes, &examine(&bytes, &limits)?);
    let text = if args.json { format!("{object:#}\n") } else { as_text(&object) };
    Ok(context.print.data(&text)?)
}

fn read(path: &Path) -> Result<Vec<u8>, PluginError> {
    fs::read(path).map_err(|source| PluginError::Io { action: "read", path: path.to_path_buf(), source })
}

fn as_json(path: &Path, manifest: Option<&Manifest>, bytes: &[u8], structure: &Structure) -> Value {
    let mut object = json!({});
    if let Some(manifest) = manifest {
        let keys = manifest.keys().iter().map(|(name, key)| {
            (name.clone(), json!({"type": format!("{:?}", key.holds).to_lowercase(), "default": key.default, "about": key.about}))
        });
        object["name"] = manifest.name().into();
        object["version"] = manifest.version().into();
        object["world"] = manifest.world().name().into();
        object["license"] = manifest.license().into();
        object["description"] = manifest.description().into();
        object["weights"] = manifest.weights().map(|path| path_text(&path)).into();
        object["config"] = Value::Object(keys.collect());
    }
    object["file"] = path_text(&manifest.map_or_else(|| path.to_path_buf(), Manifest::file)).into();
    object["sha256"] = sha256(bytes).into();
    object["kind"] = if structure.component { "component" } else { "core module" }.into();
    object["bytes"] = structure.bytes.into();
    object["functions"] = structure.functions.into();
    object["longest_function"] = structure.longest_function.into();
    object["locals"] = structure.locals.into();
    object["nesting"] = structure.nesting.into();
    object["instances"] = structure.instances.into();
    object["imports"] = structure.imports.clone().into();
    object["exports"] = structure.exports.clone().into();
    object
}

/// A line for each key that says something.
fn as_text(object: &Value) -> String {
    let mut text = String::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        let shown = match value {
            Value::Null => continue,
            Value::String(words) if words.is_empty() => continue,
            Value::String(words) => words.clone(),
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            other => other.to_string(),
        };
        text.push_str(&format!("{key:<17}{shown}\n"));
    }
    text
}
