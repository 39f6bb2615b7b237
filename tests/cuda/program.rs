//! Kernels compiled for the processor.

use pliant_kernels::cuda::sources::{HEADER, SOURCES, Source};
use pliant_tests::cpp::{FLAGS, compiler};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

const HARNESS: &str = include_str!("harness.cpp");
const FIBERS: &str = include_str!("fibers.h");
const SHIM: &str = include_str!("shim.h");

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
    for part in [HARNESS, FIBERS, SHIM, HEADER, source.text, &kernels, compiler, &FLAGS.join(" ")] {
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
    for (file, text) in [
        ("harness.cpp", HARNESS),
        ("fibers.h", FIBERS),
        ("shim.h", SHIM),
        ("common.cuh", HEADER),
        ("source.cu", source.text),
    ] {
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
