//! Hashes of files, as hubs declare them and locks keep them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::hub::HubError;

/// Bytes read at once.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

/// The hash that a hub declares for a file, in hex: of its content for files of Git LFS, else Git's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Declared {
    /// SHA-256 of the bytes.
    Sha256(String),
    /// SHA-1 of `blob <size>\0` and the bytes.
    GitBlob(String),
}

impl Declared {
    /// Name and value.
    pub(super) fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Sha256(hex) => ("sha256", hex),
            Self::GitBlob(hex) => ("git blob", hex),
        }
    }
}

/// The hashes of a file that comes piece by piece.
pub(super) struct Hasher {
    sha256: Sha256,
    blob: Option<Sha1>,
}

/// The hashes of a whole file, in hex.
pub(super) struct Hashes {
    /// SHA-256 of its bytes.
    pub(super) sha256: String,
    blob: Option<String>,
}

impl Hasher {
    /// For a file of `size` bytes for which `declared` is declared.
    pub(super) fn new(size: u64, declared: &Declared) -> Self {
        let blob = matches!(declared, Declared::GitBlob(_));
        Self { sha256: Sha256::new(), blob: blob.then(|| Sha1::new_with_prefix(format!("blob {size}\0"))) }
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(blob) = &mut self.blob {
            blob.update(bytes);
        }
    }

    /// Takes everything that `from` holds; gives its number of bytes.
    pub(super) fn read(&mut self, from: &mut impl Read) -> io::Result<u64> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut bytes = 0;
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(bytes),
                Ok(count) => {
                    self.update(&buffer[..count]);
                    bytes += count as u64;
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
    }

    /// The hashes of what was taken.
    pub(super) fn finish(self) -> Hashes {
        let blob = self.blob.map(|blob| hex(&blob.finalize()));
        Hashes { sha256: hex(&self.sha256.finalize()), blob }
    }
}

impl Hashes {
    /// The hash of the kind that is declared.
    pub(super) fn of_kind(&self, declared: &Declared) -> &str {
        match declared {
            Declared::Sha256(_) => &self.sha256,
            Declared::GitBlob(_) => self.blob.as_deref().unwrap_or_default(),
        }
    }
}

/// SHA-256 of a file, in hex.
pub(super) fn sha256(path: &Path) -> Result<String, HubError> {
    let failed = |source| HubError::io("read", path, source);
    let mut hasher = Hasher { sha256: Sha256::new(), blob: None };
    hasher.read(&mut File::open(path).map_err(failed)?).map_err(failed)?;
    Ok(hasher.finish().sha256)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 'hello\n' | git hash-object --stdin` and `sha256sum`.
    #[test]
    fn hashes_are_those_of_the_tools() {
        let declared = Declared::GitBlob("ce013625030ba8dba906f756967f9e9ca394464a".to_owned());
        let mut hasher = Hasher::new(6, &declared);
        hasher.update(b"hel");
        assert_eq!(hasher.read(&mut b"lo\n".as_slice()).unwrap(), 3);
        let hashes = hasher.finish();
        assert_eq!(hashes.of_kind(&declared), declared.parts().1);
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert_eq!(hashes.sha256, sha256);
        assert_eq!(hashes.of_kind(&Declared::Sha256(String::new())), sha256);
    }
}
