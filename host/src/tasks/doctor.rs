//! `pliant doctor`: what this machine has to offer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use pliant_kernels::check::{Extent, compare};
use pliant_kernels::cuda::{self, Cuda, CudaSettings, Driver, Facts};
use pliant_kernels::{CpuPath, Device, KernelError};
use serde_json::{Value, json};

use crate::Context;
use crate::cli::doctor::DoctorArgs;
use crate::tasks::files::path_text;
use crate::{device, machine};

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
        "cuda": gpus(),
        "file_systems": places().into_iter().map(|(name, path)| place(name, &path)).collect::<Vec<_>>(),
    })
}

/// The driver, its GPUs, the libraries, and whether a first GPU computes what the processor does.
fn gpus() -> Value {
    let driver = match cuda::driver() {
        Ok(driver) => driver,
        Err(error) => {
            return json!({ "driver": machine::cuda_driver(), "usable": false, "reason": error.to_string() });
        }
    };
    let (major, minor) = driver.version();
    let mut found = json!({
        "driver": driver.path(),
        "version": format!("{major}.{minor}"),
        "usable": false,
        "devices": [],
    });
    match devices(driver).and_then(|devices| {
        found["devices"] = devices;
        tested()
    }) {
        Ok(tested) => {
            found["usable"] = tested["disagree"].as_array().is_some_and(Vec::is_empty).into();
            found["self_test"] = tested;
        }
        Err(error) => found["reason"] = error.to_string().into(),
    }
    found
}

fn devices(driver: &Driver) -> Result<Value, KernelError> {
    let one = |ordinal| {
        let Facts { name, uuid, capability: (major, minor), multiprocessors, memory, .. } =
            Facts::of(driver, ordinal)?;
        Ok(json!({
            "ordinal": ordinal, "name": name, "uuid": uuid, "capability": format!("{major}.{minor}"),
            "multiprocessors": multiprocessors, "memory_bytes": memory,
        }))
    };
    (0..driver.devices()?).map(one).collect()
}

/// Opens the first GPU, and compares one result of every operation with the processor's.
fn tested() -> Result<Value, KernelError> {
    let settings = CudaSettings { kernels: device::kernel_folder(), ..CudaSettings::default() };
    let begin = Instant::now();
    let gpu = Arc::new(Cuda::open(&settings)?);
    let (free, _) = gpu.memory()?;
    gpu.load_all()?;
    let opened = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let findings = compare(&Device::cpu(1)?, &Device::Cuda(Arc::clone(&gpu)), Extent::Few);
    let disagree: Vec<String> = findings
        .iter()
        .filter(|finding| !finding.agrees())
        .map(|finding| format!("{} {}", finding.op, finding.what))
        .collect();
    Ok(json!({
        "device": gpu.describe(),
        "numerics": gpu.numerics(),
        "compiler": gpu.compiler().unwrap_or_else(|missing| missing),
        "products": gpu.products().unwrap_or_else(|| "plain: cuBLASLt was not found".to_owned()),
        "refused_products": gpu.refused_products(),
        "free_bytes": free,
        "seconds_to_open": opened,
        "compared": findings.len(),
        "disagree": disagree,
        "seconds": begin.elapsed().as_secs_f64(),
    }))
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
    ];
    lines.extend(told_of_gpus(&found["cuda"]));
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

/// What there is of GPUs, for people.
fn told_of_gpus(cuda: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let Some(driver) = cuda["driver"].as_str() else {
        return vec!["cuda          no driver found".to_owned()];
    };
    let version = text(&cuda["version"]);
    let mut lines = vec![format!("cuda          driver {driver} {version}").trim_end().to_owned()];
    for device in cuda["devices"].as_array().into_iter().flatten() {
        lines.push(format!(
            "gpu           cuda:{} {}, compute capability {}, {}",
            device["ordinal"],
            text(&device["name"]),
            text(&device["capability"]),
            gib(&device["memory_bytes"])
        ));
    }
    if let Some(reason) = cuda["reason"].as_str() {
        lines.push(format!("              cannot be used: {reason}"));
    }
    let test = &cuda["self_test"];
    if test.is_object() {
        lines.push(format!("kernels       {}", text(&test["compiler"])));
        lines.push(format!("products      {}", text(&test["products"])));
        let disagree = test["disagree"].as_array().map_or(0, Vec::len);
        lines.push(format!(
            "self-test     {} results compared with the processor's, {disagree} disagree, in {:.1} s; opened in {:.1} s",
            test["compared"],
            test["seconds"].as_f64().unwrap_or_default(),
            test["seconds_to_open"].as_f64().unwrap_or_default()
        ));
    }
    lines
}

fn gib(bytes: &Value) -> String {
    bytes
        .as_u64()
        .map_or_else(|| "unknown".to_owned(), |bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)))
}
