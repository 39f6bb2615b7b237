//! Where the libraries of CUDA may be. Files are only opened here, by one function that never panics.

use crate::error::KernelError;
use libloading::Library;
use std::ffi::CStr;
use std::path::{Path, PathBuf};

/// A library that is looked for.
pub(super) struct Wanted {
    /// What it is, in messages.
    pub(super) name: &'static str,
    /// Names that the loader is asked for, the first that serves wins.
    files: &'static [&'static str],
    /// Folders of it below `nvidia` among the packages of a Python.
    wheels: &'static [&'static str],
    /// Whether only the driver's own places have it, and no toolkit (which has stubs that do nothing).
    driver: bool,
    /// How the names of the libraries begin that it loads by name and that stand in its own folder.
    beside: &'static str,
    /// What to do when it is nowhere.
    install: &'static str,
}

/// The library of the driver.
pub(super) const DRIVER: Wanted = Wanted {
    name: "the CUDA driver",
    files: &["libcuda.so.1"],
    wheels: &[],
    driver: true,
    beside: "",
    install: "install NVIDIA's driver, or start the container with its GPUs (`docker run --gpus all`, `apptainer exec \
              --nv`)",
};

/// The run-time compiler. Code of CUDA 12 runs under drivers of 12 and 13, hence first.
pub(super) const NVRTC: Wanted = Wanted {
    name: "the run-time compiler NVRTC",
    files: &["libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so"],
    wheels: &["cuda_nvrtc", "cu12", "cu13"],
    driver: false,
    beside: "libnvrtc-builtins.so",
    install: "install it with `pip install nvidia-cuda-nvrtc-cu12` or with the CUDA toolkit, or name its folder in \
              LD_LIBRARY_PATH",
};

/// Matrix products.
pub(super) const CUBLASLT: Wanted = Wanted {
    name: "the matrix products cuBLASLt",
    files: &["libcublasLt.so.13", "libcublasLt.so.12"],
    wheels: &["cublas", "cu13", "cu12"],
    driver: false,
    beside: "",
    install: "install it with `pip install nvidia-cublas-cu12` or with the CUDA toolkit, or name its folder in \
              LD_LIBRARY_PATH",
};

/// Where drivers are beside the loader's own places: containers, the Windows subsystem, NixOS.
const DRIVER_FOLDERS: [&str; 7] = [
    "/usr/lib64/nvidia",
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/local/cuda/compat",
    "/usr/lib/wsl/lib",
    "/run/opengl-driver/lib",
    "/usr/lib/x86_64-linux-gnu",
];

/// A library that was opened, with what had to be opened before it.
pub(super) struct Opened {
    pub(super) library: Library,
    pub(super) path: PathBuf,
    /// Kept open: the library asks the loader for them by name.
    _beside: Vec<Library>,
}

impl Opened {
    /// One function of the library.
    ///
    /// # Safety
    /// `T` is the type that the library's header declares for the function, and the copy lives no longer than the
    /// library.
    ///
    /// # Errors
    /// [`KernelError::Library`] when the library has no such function.
    pub(super) unsafe fn function<T: Copy>(&self, wanted: &Wanted, name: &CStr) -> Result<T, KernelError> {
        // SAFETY: as this function demands.
        let symbol = unsafe { self.library.get::<T>(name) };
        symbol.map(|symbol| *symbol).map_err(|error| KernelError::Library {
            name: wanted.name,
            reason: format!("{}: {}", self.path.display(), words(&error)),
            install: "the file is none of CUDA 12 or 13: remove it from the places that are searched",
        })
    }
}

/// Opens a library at `path`, a file or a name for the loader.
///
/// # Errors
/// [`KernelError::Library`] when it cannot be opened.
pub(super) fn open(wanted: &Wanted, path: &Path) -> Result<Opened, KernelError> {
    let told = |error| missing(wanted, format!("{}: {}", path.display(), words(&error)));
    load_beside(wanted, path).map_err(told)
}

/// The library at `path`, after those that it asks for by name.
fn load_beside(wanted: &Wanted, path: &Path) -> Result<Opened, libloading::Error> {
    let kept = beside(wanted, path).iter().filter_map(|path| load(path).ok()).collect();
    Ok(Opened { library: load(path)?, path: path.to_owned(), _beside: kept })
}

fn load(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: opening a library runs its initialisers. Those of NVIDIA's only set up tables of their own; other files
    // are opened only where the user names one.
    unsafe { Library::new(path) }
}

/// What the loader says of a failure.
fn words(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Whether a library could not be opened because there is none of that name, and not because it is damaged or because another
/// that it needs is missing.
fn is_absent(wanted: &Path, error: &libloading::Error) -> bool {
    let words = words(error);
    words.contains("No such file") && words.contains(&*wanted.to_string_lossy())
}

/// Opens the first library that can be opened and that `serves`; the first reason against one that is there is told.
///
/// # Errors
/// [`KernelError::Library`] that says what to install when there is none.
pub(super) fn find_with<T>(
    wanted: &Wanted,
    serves: impl Fn(Opened) -> Result<T, KernelError>,
) -> Result<T, KernelError> {
    let candidates = candidates(wanted, &|name| std::env::var_os(name).map(PathBuf::from));
    let mut refused = None;
    for path in &candidates {
        // A name that the loader does not know says nothing; a library that is there and does not serve does.
        let found = match load_beside(wanted, path) {
            Ok(opened) => serves(opened),
            Err(error) if is_absent(path, &error) => continue,
            Err(error) => Err(missing(wanted, format!("{}: {}", path.display(), words(&error)))),
        };
        match found {
            Ok(found) => return Ok(found),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| missing(wanted, format!("none of {} places has it", candidates.len()))))
}

fn missing(wanted: &Wanted, reason: String) -> KernelError {
    KernelError::Library { name: wanted.name, reason, install: wanted.install }
}

/// The libraries that one loads by name and that stand in its own folder.
fn beside(wanted: &Wanted, path: &Path) -> Vec<PathBuf> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !wanted.beside.is_empty() => {
            entries(folder, |name| name.starts_with(wanted.beside))
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
fn candidates(wanted: &Wanted, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let mut candidates: Vec<PathBuf> = wanted.files.iter().map(PathBuf::from).collect();
    let folders = if wanted.driver {
        DRIVER_FOLDERS.iter().map(PathBuf::from).collect()
    } else {
        toolkit_folders(wanted, variable)
    };
    for folder in folders {
        let files = wanted.files.iter().map(|name| folder.join(name));
        candidates.extend(files.filter(|path| path.is_file()));
    }
    candidates
}

/// Folders of toolkits, of conda and of the wheels of pip.
fn toolkit_folders(wanted: &Wanted, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
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
                folders.extend(wanted.wheels.iter().map(|wheel| wheels.join(wheel).join("lib")));
            }
        }
    }
    folders
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
        let found = candidates(&NVRTC, &|name| (name == "VIRTUAL_ENV").then(|| root.clone()));
        assert_eq!(found[..3], ["libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so"].map(PathBuf::from));
        let wheel = lib.join("libnvrtc.so.12");
        assert!(found[3..].contains(&wheel), "{found:?}");
        assert_eq!(beside(&NVRTC, &wheel), [lib.join("libnvrtc-builtins.so.12.9")]);
        assert!(beside(&NVRTC, Path::new("libnvrtc.so.12")).is_empty());
        let others = candidates(&CUBLASLT, &|name| (name == "VIRTUAL_ENV").then(|| root.clone()));
        assert!(!others.contains(&wheel));
    }

    #[test]
    fn what_is_damaged_is_not_taken_for_what_is_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libcuda.so.1");
        assert!(is_absent(&path, &load(&path).err().unwrap()));
        assert!(is_absent(Path::new("libnone.so.1"), &load(Path::new("libnone.so.1")).err().unwrap()));
        std::fs::write(&path, "no library").unwrap();
        assert!(!is_absent(&path, &load(&path).err().unwrap()));
    }

    #[test]
    fn what_is_no_library_is_an_error_that_says_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libnvrtc.so.12");
        std::fs::write(&path, "no library").unwrap();
        for path in [path, folder.path().join("missing.so")] {
            let error = open(&NVRTC, &path).err().unwrap().to_string();
            assert!(error.contains("pip install") && error.contains(path.to_str().unwrap()), "{error}");
        }
    }
}
