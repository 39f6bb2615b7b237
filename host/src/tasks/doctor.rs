//! `pliant doctor`: what this machine has to offer.

use std::path::{Path, PathBuf};

use pliant_kernels::CpuPath;
use serde_json::{Value, json};

use crate::Context;
use crate::cli::doctor::DoctorArgs;
use crate::machine;
use crate::tasks::files::path_text;

/// Looks around and says what there is.
///
/// # Errors
/// Standard output that cannot be written.
pub fn run(args: &DoctorArgs, context: &Context) -> anyhow::Result<()> {
    let found = look();
    let text = if args.json { format!("{found:#}\n") } else { told(&found) };
    Ok(context.print.data(&text)?)
}

/// Everything there is, as one object.
fn look() -> Value {
    let (usable, cores) = machine::cores();
    let paths: Vec<&str> =
        CpuPath::ALL.into_iter().filter(|path| path.available()).map(CpuPath::name).collect();
    let limit = machine::memory_limit();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "processor": machine::processor(),
        "cpu_path": CpuPath::best().name(),
        "cpu_paths": paths,
        "numerics": CpuPath::best().numerics(),
        "threads": usable,
        "cores": cores,
        "memory_limit_bytes": limit.map(|limit| limit.bytes),
        "memory_limit_by": limit.map(|limit| limit.by),
        "memory_available_bytes": machine::memory_available(),
        "cuda": {
            "driver": machine::cuda_driver(),
            "usable": false,
            "reason": "this version of pliant computes on the processor only",
        },
        "file_systems": places().into_iter().map(|(name, path)| place(name, &path)).collect::<Vec<_>>(),
    })
}

/// The folders that matter, by the name that users know them by.
fn places() -> Vec<(&'static str, PathBuf)> {
    let mut places = Vec::new();
    if let Ok(here) = std::env::current_dir() {
        places.push(("current folder", here));
    }
    places.push(("TMPDIR", std::env::temp_dir()));
    for name in ["PLIANT_CACHE", "PLIANT_MODELS"] {
        if let Some(path) = std::env::var_os(name) {
            places.push((name, PathBuf::from(path)));
        }
    }
    places
}

fn place(name: &str, path: &Path) -> Value {
    let found = machine::file_system(path);
    json!({
        "name": name,
        "path": path_text(path),
        "exists": found.is_some(),
        "type": found.as_ref().map(|found| found.name.clone()),
        "remote": found.as_ref().map(|found| found.remote),
        "free_bytes": found.as_ref().map(|found| found.free_bytes),
    })
}

/// The same for people.
fn told(found: &Value) -> String {
    let text = |key: &str| match &found[key] {
        Value::String(text) => text.clone(),
        Value::Null => "unknown".to_owned(),
        other => other.to_string(),
    };
    let names: Vec<&str> =
        found["cpu_paths"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut lines = vec![
        format!("pliant {}", text("version")),
        format!("processor     {}", text("processor")),
        format!("cpu path      {} (available: {})", text("cpu_path"), names.join(", ")),
        format!("numerics      {}", text("numerics")),
        format!("threads       {} of {} cores", text("threads"), text("cores")),
        format!("memory        {} ({})", gib(&found["memory_limit_bytes"]), text("memory_limit_by")),
        format!("available     {}", gib(&found["memory_available_bytes"])),
        match found["cuda"]["driver"].as_str() {
            Some(driver) => {
                format!("cuda          driver {driver}; this version computes on the processor only")
            }
            None => "cuda          no driver found".to_owned(),
        },
    ];
    for place in found["file_systems"].as_array().into_iter().flatten() {
        let name = place["name"].as_str().unwrap_or_default();
        let path = place["path"].as_str().unwrap_or_default();
        lines.push(match place["type"].as_str() {
            None => format!("{name:<13} {path}: does not exist"),
            Some(kind) => {
                let remote = if place["remote"] == json!(true) { ", on another machine" } else { "" };
                format!("{name:<13} {path}: {kind}{remote}, {} free", gib(&place["free_bytes"]))
            }
        });
    }
    lines.join("\n") + "\n"
}

fn gib(bytes: &Value) -> String {
    bytes
        .as_u64()
        .map_or_else(|| "unknown".to_owned(), |bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)))
}
