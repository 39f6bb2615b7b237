//! Kernels compiled for the processor.

use pliant_kernels::cuda::sources::{HEADER, SOURCES, Source};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

const HARNESS: &str = include_str!("harness.cpp");
const SHIM: &str = include_str!("shim.h");

/// Products are fused where the text says so, as on the device. The compiler's own checks of jumps between stacks do
/// not know fibers.
const FLAGS: [&str; 6] = [
    "-std=c++17",
    "-O1",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-Wno-unknown-pragmas",
    "-U_FORTIFY_SOURCE",
];

/// The first C++ compiler that runs; where there is none, says so once.
pub(crate) fn compiler() -> Option<&'static str> {
    static COMPILER: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let named = std::env::var("CXX").ok().filter(|name| !name.is_empty());
        let names = named.into_iter().chain(["g++", "clang++", "c++"].map(str::to_owned));
        let runs = |name: &String| {
            Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
        };
        let found = names.into_iter().find(runs);
        if found.is_none() {
            eprintln!("SKIPPED: no CUDA kernel was run on the processor (g++ or clang++ is needed)");
        }
        found
    };
    COMPILER.get_or_init(find).as_deref()
}

/// The program that runs the kernels of an operation; `None` without a compiler.
pub(crate) fn program(op: &str) -> Option<PathBuf> {
    let source = SOURCES.iter().find(|source| source.op == op).expect("an operation with kernels");
    compile(source)
}

/// The program that runs the kernels of a source, compiled once for every text.
pub(crate) fn compile(source: &Source) -> Option<PathBuf> {
    static MADE: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let compiler = compiler()?;
    let mut made = MADE.lock().unwrap();
    if let Some(path) = made.get(source.op) {
        return Some(path.clone());
    }
    let path = build(compiler, source);
    made.insert(source.op.to_owned(), path.clone());
    Some(path)
}

fn build(compiler: &str, source: &Source) -> PathBuf {
    let kernels: Vec<String> = source.kernels.iter().map(|kernel| format!("X({})", kernel.name)).collect();
    let kernels = kernels.join(" ");
    let mut hash = Sha256::new();
    for part in [HARNESS, SHIM, HEADER, source.text, &kernels, compiler, &FLAGS.join(" ")] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let name: String = hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels-on-the-processor");
    let path = folder.join(format!("{}-{name}", source.op));
    if path.is_file() {
        return path;
    }
    fs::create_dir_all(&folder).unwrap();
    let work = tempfile::tempdir_in(&folder).unwrap();
    for (file, text) in
        [("harness.cpp", HARNESS), ("shim.h", SHIM), ("common.cuh", HEADER), ("source.cu", source.text)]
    {
        fs::write(work.path().join(file), text).unwrap();
    }
    let output = Command::new(compiler)
        .current_dir(work.path())
        .args(FLAGS)
        .args(["-DSOURCE=\"source.cu\"", &format!("-DKERNELS={kernels}"), "harness.cpp", "-o", "program"])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} does not compile as C++:\n{words}", source.op);
    fs::rename(work.path().join("program"), &path).unwrap();
    path
}
