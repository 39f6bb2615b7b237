//! Stand-ins for the libraries of CUDA, built from `tests/cuda/standin`: with them the program goes all its way to a GPU
//! where there is none. They prove what it asks of a device, and nothing of hardware.

use crate::cpp::{FLAGS, compiler};
use pliant_kernels::cuda::sources::{HEADER, SOURCES, Source};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const DRIVER: &str = include_str!("../cuda/standin/driver.cpp");
const KERNELS: &str = include_str!("../cuda/standin/kernels.cpp");
const SHARED: &str = include_str!("../cuda/standin/shared.h");
const FIBERS: &str = include_str!("../cuda/fibers.h");
const SHIM: &str = include_str!("../cuda/shim.h");

/// A library: its file, and its text.
const LIBRARIES: [(&str, &str); 2] = [
    ("libnvrtc.so.12", include_str!("../cuda/standin/nvrtc.cpp")),
    ("libcublasLt.so.12", include_str!("../cuda/standin/cublaslt.cpp")),
];

/// The folders of the stand-ins.
#[derive(Debug)]
pub struct StandIns {
    folder: PathBuf,
}

impl StandIns {
    /// The folder of the driver alone.
    #[must_use]
    pub fn driver(&self) -> PathBuf {
        self.folder.join("libcuda.so.1.d")
    }

    /// The folder of the compiler alone.
    #[must_use]
    pub fn compiler(&self) -> PathBuf {
        self.folder.join("libnvrtc.so.12.d")
    }

    /// The folder of the matrix products alone.
    #[must_use]
    pub fn products(&self) -> PathBuf {
        self.folder.join("libcublasLt.so.12.d")
    }

    /// All of them, as `LD_LIBRARY_PATH` has it.
    #[must_use]
    pub fn all(&self) -> String {
        [self.driver(), self.compiler(), self.products()].map(|folder| folder.display().to_string()).join(":")
    }
}

/// The stand-ins, built once for every text; `None` without a C++ compiler. `target` is where test files are kept.
///
/// # Panics
/// When they cannot be built.
pub fn stand_ins(target: &str) -> Option<&'static StandIns> {
    static MADE: OnceLock<Option<StandIns>> = OnceLock::new();
    MADE.get_or_init(|| compiler().map(|compiler| build(compiler, target))).as_ref()
}

fn name_of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

fn build(compiler: &str, target: &str) -> StandIns {
    let root = Path::new(target).join("stand-ins");
    fs::create_dir_all(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let mut parts = vec![DRIVER, KERNELS, SHARED, FIBERS, SHIM, HEADER, compiler];
    parts.extend(SOURCES.iter().map(|source| source.text));
    parts.extend(LIBRARIES.iter().map(|(_, text)| *text));
    let folder = root.join(name_of(&parts));
    if folder.is_dir() {
        return named_current(&root, folder);
    }
    let work = tempfile::tempdir_in(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let write = |name: &str, text: &str| fs::write(work.path().join(name), text);
    let texts = [
        ("driver.cpp", DRIVER),
        ("kernels.cpp", KERNELS),
        ("shared.h", SHARED),
        ("fibers.h", FIBERS),
        ("shim.h", SHIM),
        ("common.cuh", HEADER),
        ("modules.h", &modules()),
    ];
    let written = texts.into_iter().try_for_each(|(name, text)| write(name, text));
    written.unwrap_or_else(|error| panic!("{}: {error}", work.path().display()));
    let mut words = vec!["-shared".to_owned(), "driver.cpp".to_owned()];
    words.extend(SOURCES.iter().map(|source| object(compiler, &root, work.path(), source)));
    library(compiler, work.path(), "libcuda.so.1", &words);
    for (name, text) in LIBRARIES {
        write("library.cpp", text).unwrap_or_else(|error| panic!("{name}: {error}"));
        library(compiler, work.path(), name, &["-shared".to_owned(), "library.cpp".to_owned()]);
    }
    // Another process may have been faster, with the same files.
    let made = fs::rename(work.path(), &folder);
    assert!(made.is_ok() || folder.is_dir(), "{made:?}");
    named_current(&root, folder)
}

/// The stand-ins in a folder, which the link `current` beside it names for scripts.
fn named_current(root: &Path, folder: PathBuf) -> StandIns {
    let beside = root.join(format!(".current-{}", std::process::id()));
    let linked = std::os::unix::fs::symlink(&folder, &beside);
    let linked = linked.and_then(|()| fs::rename(&beside, root.join("current")));
    linked.unwrap_or_else(|error| panic!("{}: {error}", beside.display()));
    StandIns { folder }
}

/// The kernels of a source as an object file, kept for every text.
fn object(compiler: &str, root: &Path, work: &Path, source: &Source) -> String {
    let names: Vec<String> = source.kernels.iter().map(|kernel| format!("X({})", kernel.name)).collect();
    let kernels = names.join(" ");
    let name = name_of(&[KERNELS, SHARED, SHIM, HEADER, source.text, &kernels, compiler]);
    let path = root.join(format!("{}-{name}.o", source.op));
    let shown = path.display().to_string();
    if path.is_file() {
        return shown;
    }
    let (text, made) = (format!("{}.cu", source.op), format!("{}.o", source.op));
    fs::write(work.join(&text), source.text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let table = format!("-DTABLE=entries_{}", source.op);
    let words =
        ["-c", "kernels.cpp", &format!("-DSOURCE=\"{text}\""), &format!("-DKERNELS={kernels}"), &table]
            .map(str::to_owned);
    run(compiler, work, &words, &made);
    fs::rename(work.join(made), &path).unwrap_or_else(|error| panic!("{shown}: {error}"));
    shown
}

/// What the driver knows of the sources.
fn modules() -> String {
    let hash = |text: &str| {
        text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    let named = |source: &Source| format!("extern const Entry entries_{}[];\n", source.op);
    let row =
        |source: &Source| format!("    {{\"{0}\", {1:#x}u, entries_{0}}},\n", source.op, hash(source.text));
    let [named, rows]: [String; 2] = [SOURCES.iter().map(named).collect(), SOURCES.iter().map(row).collect()];
    format!("{named}static const Module MODULES[] = {{\n{rows}}};\n")
}

fn library(compiler: &str, work: &Path, name: &str, words: &[String]) {
    let folder = work.join(format!("{name}.d"));
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
    run(compiler, work, words, &format!("{name}.d/{name}"));
}

fn run(compiler: &str, work: &Path, words: &[String], to: &str) {
    let output = Command::new(compiler)
        .current_dir(work)
        .args(FLAGS)
        .args(["-fPIC", "-o", to])
        .args(words)
        .args(["-ldl", "-pthread"])
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(output.status.success(), "{to}: {}", String::from_utf8_lossy(&output.stderr));
}
