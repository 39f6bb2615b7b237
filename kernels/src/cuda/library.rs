//! Where the run-time compiler may be. Files are only opened here, by one function that never panics.

use crate::error::KernelError;
use libloading::Library;
use std::path::{Path, PathBuf};

/// What to do when it is nowhere.
const INSTALL: &str = "install it with `pip install nvidia-cuda-nvrtc-cu12` or with the CUDA toolkit, or name its \
                       folder in LD_LIBRARY_PATH";

/// Names that the loader is asked for. Code of CUDA 12 runs under drivers of 12 and 13, hence first.
const NAMES: [&str; 3] = ["libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so"];

/// A library that was opened, with what had to be opened before it.
pub(super) struct Opened {
    pub(super) library: Library,
    pub(super) path: PathBuf,
    /// Kept open: the compiler asks the loader for it by name.
    _builtins: Vec<Library>,
}

/// Opens the compiler at `path`, a file or a name for the loader.
///
/// # Errors
/// [`KernelError::Library`] when it cannot be opened.
pub(super) fn open(path: &Path) -> Result<Opened, KernelError> {
    let builtins = beside(path).iter().filter_map(|path| load(path).ok()).collect();
    match load(path) {
        Ok(library) => Ok(Opened { library, path: path.to_owned(), _builtins: builtins }),
        Err(error) => Err(missing(format!("{}: {error}", path.display()))),
    }
}

fn load(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: opening a library runs its initialisers. Those of NVIDIA's compiler only set up its own tables; other
    // files are opened only where the user names one.
    unsafe { Library::new(path) }
}

/// Opens the first compiler that can be opened.
///
/// # Errors
/// [`KernelError::Library`] that says what to install when there is none.
pub(super) fn find() -> Result<Opened, KernelError> {
    let candidates = candidates(&|name| std::env::var_os(name).map(PathBuf::from));
    let found = candidates.iter().find_map(|path| open(path).ok());
    found.ok_or_else(|| missing(format!("none of {} places has it", candidates.len())))
}

fn missing(reason: String) -> KernelError {
    KernelError::Library { name: "the run-time compiler NVRTC", reason, install: INSTALL }
}

/// The libraries that the compiler loads by name and that stand in its own folder.
fn beside(path: &Path) -> Vec<PathBuf> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            entries(folder, |name| name.starts_with("libnvrtc-builtins.so"))
        }
        _ => Vec::new(),
    }
}

/// Entries of a folder whose name fits, in the order of names; none where it cannot be read.
fn entries(folder: &Path, fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = listed
        .filter(|entry| entry.file_name().to_str().is_some_and(&fits))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// Places in the order in which they are tried: the loader's own (which has containers' and what the user set), the
/// toolkit, conda, wheels of pip. `variable` gives the environment.
pub(super) fn candidates(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let mut candidates: Vec<PathBuf> = NAMES.iter().map(PathBuf::from).collect();
    let mut folders = Vec::new();
    for name in ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"] {
        folders.extend(variable(name).map(|root| root.join("lib64")));
    }
    folders.extend(
        entries(Path::new("/usr/local"), |name| name.starts_with("cuda"))
            .iter()
            .map(|root| root.join("lib64")),
    );
    let prefixes: Vec<PathBuf> =
        ["CONDA_PREFIX", "VIRTUAL_ENV"].iter().filter_map(|name| variable(name)).collect();
    folders.extend(prefixes.iter().map(|prefix| prefix.join("lib")));
    let local = variable("HOME").map(|home| home.join(".local"));
    let system = ["/usr/local", "/usr"].map(PathBuf::from);
    for prefix in prefixes.into_iter().chain(local).chain(system) {
        for python in entries(&prefix.join("lib"), |name| name.starts_with("python3")) {
            for packages in ["site-packages", "dist-packages"] {
                let wheels = python.join(packages).join("nvidia");
                folders.extend(["cuda_nvrtc", "cu12", "cu13"].map(|wheel| wheels.join(wheel).join("lib")));
            }
        }
    }
    for folder in folders {
        candidates.extend(NAMES.map(|name| folder.join(name)).into_iter().filter(|path| path.is_file()));
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels_of_an_environment_are_found_after_what_the_loader_knows() {
        let folder = tempfile::tempdir().unwrap();
        let lib = folder.path().join("lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib");
        std::fs::create_dir_all(&lib).unwrap();
        std::fs::write(lib.join("libnvrtc.so.12"), "").unwrap();
        std::fs::write(lib.join("libnvrtc-builtins.so.12.9"), "").unwrap();
        let root = folder.path().to_owned();
        let found = candidates(&|name| (name == "VIRTUAL_ENV").then(|| root.clone()));
        assert_eq!(found[..3], NAMES.map(PathBuf::from));
        let wheel = lib.join("libnvrtc.so.12");
        assert!(found[3..].contains(&wheel), "{found:?}");
        assert_eq!(beside(&wheel), [lib.join("libnvrtc-builtins.so.12.9")]);
        assert!(beside(Path::new("libnvrtc.so.12")).is_empty());
    }

    #[test]
    fn what_is_no_library_is_an_error_that_says_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libnvrtc.so.12");
        std::fs::write(&path, "no library").unwrap();
        for path in [path, folder.path().join("missing.so")] {
            let error = open(&path).err().unwrap().to_string();
            assert!(error.contains("pip install") && error.contains(path.to_str().unwrap()), "{error}");
        }
    }
}
