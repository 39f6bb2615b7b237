//! Machine code kept in a folder, so that a source is compiled once per machine.

use super::compile::{Architecture, Compiler, Cubin, key};
use super::sources::Source;
use crate::error::KernelError;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder of compiled kernels: one file `<op>-<architecture>-<key>-<major>.<minor>.cubin` each, named by what was
/// compiled and by the compiler's version; it holds the module and 32 bytes of its BLAKE3 hash.
///
/// Files are written beside their place and renamed, so that a reader never sees half of one; a file whose hash does
/// not fit is as good as missing and is written anew.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// Length of the hash at the end of a file.
const HASH: usize = blake3::OUT_LEN;

const ENDING: &str = ".cubin";

/// Largest file that is read: a hundred times what the largest source gives.
const LONGEST: u64 = 64 << 20;

impl Cache {
    /// The cache in `folder`, which is made when something is kept.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Where the machine code of a source is kept.
    #[must_use]
    pub fn path(&self, source: &Source, architecture: Architecture, version: (u32, u32)) -> PathBuf {
        let (major, minor) = version;
        self.folder.join(format!("{}{major}.{minor}{ENDING}", stem(source, architecture)))
    }

    /// What is kept; `None` where nothing is, or something damaged.
    #[must_use]
    pub fn get(&self, source: &Source, architecture: Architecture, version: (u32, u32)) -> Option<Cubin> {
        read(&self.path(source, architecture, version))
    }

    /// The oldest version of which something whole is kept, for places without a compiler: the most drivers know it.
    #[must_use]
    pub fn oldest_version(&self, source: &Source, architecture: Architecture) -> Option<(u32, u32)> {
        let stem = stem(source, architecture);
        let version = |name: &str| -> Option<(u32, u32)> {
            let (major, minor) = name.strip_prefix(&stem)?.strip_suffix(ENDING)?.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        };
        let names = fs::read_dir(&self.folder).ok()?.flatten().map(|entry| entry.file_name());
        let mut versions: Vec<(u32, u32)> = names.filter_map(|name| version(name.to_str()?)).collect();
        versions.sort_unstable();
        versions.into_iter().find(|&version| self.get(source, architecture, version).is_some())
    }

    /// Keeps machine code.
    ///
    /// # Errors
    /// [`KernelError::File`] when the folder cannot be written to.
    pub fn put(
        &self,
        (source, architecture, version): (&Source, Architecture, (u32, u32)),
        cubin: &Cubin,
    ) -> Result<(), KernelError> {
        static TURN: AtomicU64 = AtomicU64::new(0);
        let path = self.path(source, architecture, version);
        let failed = |error: std::io::Error| KernelError::File {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let beside = self.folder.join(format!(".{}-{}-{turn}.part", source.op, std::process::id()));
        let written = write(&beside, &cubin.bytes).and_then(|()| fs::rename(&beside, &path));
        if written.is_err() {
            match fs::remove_file(&beside) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        written.map_err(failed)
    }

    /// What is kept, else what `compiler` makes of the source, which is then kept. A folder that cannot be written to
    /// costs time and nothing else.
    ///
    /// # Errors
    /// [`KernelError::Compile`] when the source does not compile.
    pub fn cubin(
        &self,
        compiler: &Compiler,
        source: &Source,
        architecture: Architecture,
    ) -> Result<Cubin, KernelError> {
        if let Some(cubin) = self.get(source, architecture, compiler.version()) {
            return Ok(cubin);
        }
        let cubin = compiler.compile(source, architecture)?;
        // Without a cache the next start compiles again, which is slow but right.
        let _unkept = self.put((source, architecture, compiler.version()), &cubin);
        Ok(cubin)
    }
}

/// Name of a file up to the version.
fn stem(source: &Source, architecture: Architecture) -> String {
    format!("{}-{architecture}-{}-", source.op, key(source, architecture))
}

/// The module in a file; `None` where there is none or a damaged one.
fn read(path: &Path) -> Option<Cubin> {
    let length = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.len();
    if length > LONGEST {
        return None;
    }
    let mut bytes = fs::read(path).ok()?;
    let hash = bytes.split_off(bytes.len().checked_sub(HASH)?);
    (blake3::hash(&bytes).as_bytes()[..] == hash[..]).then_some(Cubin { bytes })
}

/// Writes a file that must not be there and brings it to the disk.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    file.write_all(bytes)?;
    file.write_all(blake3::hash(bytes).as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::SOURCES;

    const PLACE: (&Source, Architecture, (u32, u32)) = (&SOURCES[0], Architecture::SM_80, (12, 9));

    fn get(cache: &Cache) -> Option<Cubin> {
        cache.get(PLACE.0, PLACE.1, PLACE.2)
    }

    #[test]
    fn what_is_kept_comes_back_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(&folder.path().join("new/kernels"));
        assert_eq!(get(&cache), None);
        let cubin = Cubin { bytes: b"machine code".to_vec() };
        cache.put(PLACE, &cubin).unwrap();
        cache.put(PLACE, &cubin).unwrap();
        assert_eq!(get(&cache), Some(cubin.clone()));
        assert_eq!(cache.get(PLACE.0, Architecture::SM_90, PLACE.2), None);
        assert_eq!(fs::read_dir(folder.path().join("new/kernels")).unwrap().count(), 1);
        let path = cache.path(PLACE.0, PLACE.1, PLACE.2);
        let whole = fs::read(&path).unwrap();
        let mut turned = whole.clone();
        turned[3] ^= 1;
        for damaged in [&whole[..whole.len() - 1], &whole[..10], &[], &turned] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(get(&cache), None);
        }
        cache.put(PLACE, &cubin).unwrap();
        assert_eq!(get(&cache), Some(cubin));
    }

    #[test]
    fn without_a_compiler_the_oldest_version_that_is_whole_serves() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        assert_eq!(cache.oldest_version(PLACE.0, PLACE.1), None);
        let kept = |text: &str| Cubin { bytes: text.as_bytes().to_vec() };
        for (version, text) in [((13, 0), "13.0"), ((12, 10), "12.10"), ((12, 9), "12.9")] {
            cache.put((PLACE.0, PLACE.1, version), &kept(text)).unwrap();
        }
        cache.put((PLACE.0, Architecture::SM_90, (11, 0)), &kept("another")).unwrap();
        assert_eq!(cache.oldest_version(PLACE.0, PLACE.1), Some((12, 9)));
        fs::write(cache.path(PLACE.0, PLACE.1, (12, 9)), "damaged").unwrap();
        assert_eq!(cache.oldest_version(PLACE.0, PLACE.1), Some((12, 10)));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Cache::new(&file).put(PLACE, &Cubin { bytes: Vec::new() }).unwrap_err().to_string();
        assert!(error.contains(file.to_str().unwrap()), "{error}");
    }
}
