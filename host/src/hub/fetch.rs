//! One file: fetched, continued where it broke off, and checked.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use ureq::http::StatusCode;

use crate::hub::HubError;
use crate::hub::client::{Answer, Asked, Client, Fault, text};
use crate::hub::digest::{CHUNK_BYTES, Declared, Hasher};
use crate::hub::listing::Wanted;
use crate::hub::lock::LockedFile;

/// How the pointers of Git LFS begin.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Bytes that must come for patience to start anew.
const PROGRESS_BYTES: u64 = 1 << 20;

/// Bytes that must come within the silence that is borne; less is no transfer.
const LEAST_BYTES: u64 = 1 << 10;

/// The longest `ETag` that is kept.
const LONGEST_TAG: usize = 256;

/// A file of which a part is there, beside its later name.
struct Partial<'a> {
    wanted: &'a Wanted,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    /// Bytes that are there and in the hasher.
    length: u64,
    /// The name that the server gave to this content.
    tag: Option<String>,
    /// Whether some of it came in an earlier run.
    resumed: bool,
    /// Bytes that came at best, and of these the ones that were told to the caller.
    best: u64,
}

/// Fetches a file into `folder`, unless it is there already, and calls `moved` with the bytes that are new.
///
/// # Errors
/// A file that the server does not have or that is not what it declares, a network that fails for too long, and a
/// disk that does.
pub(super) fn fetch(
    client: &Client,
    (address, what): (&str, &Asked<'_>),
    wanted: &Wanted,
    folder: &Path,
    moved: &mut dyn FnMut(u64),
) -> Result<LockedFile, HubError> {
    let path = folder.join(&wanted.name);
    if let Some(there) = there(&path, wanted)? {
        moved(wanted.size);
        return Ok(there);
    }
    loop {
        let mut partial = Partial::open(&path, wanted)?;
        moved(partial.length);
        client.patiently(|| partial.receive(client, address, what, moved))?;
        let resumed = partial.resumed;
        match partial.finish(&path) {
            // What an earlier run left may be the part that is wrong.
            Err(HubError::Hash { .. }) if resumed => {}
            answer => return answer,
        }
    }
}

/// The file, where it is there and right; a wrong one is removed.
fn there(path: &Path, wanted: &Wanted) -> Result<Option<LockedFile>, HubError> {
    let failed = |source| HubError::io("read", path, source);
    let Ok(mut file) = File::open(path) else { return Ok(None) };
    let mut hasher = Hasher::new(wanted.size, &wanted.declared);
    let size = hasher.read(&mut file).map_err(failed)?;
    let hashes = hasher.finish();
    if size == wanted.size && hashes.of_kind(&wanted.declared) == wanted.declared.parts().1 {
        return Ok(Some(LockedFile { sha256: hashes.sha256, size }));
    }
    fs::remove_file(path).map_err(|source| HubError::io("remove", path, source))?;
    Ok(None)
}

impl<'a> Partial<'a> {
    /// Opens what an earlier try left of the same content, or begins.
    fn open(path: &Path, wanted: &'a Wanted) -> Result<Self, HubError> {
        let path = with_suffix(path, ".partial");
        let failed = |source| HubError::io("open", &path, source);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(failed)?;
        let note = fs::read_to_string(with_suffix(&path, ".etag")).unwrap_or_default();
        let (content, tag) = note.split_once('\n').unwrap_or((&note, ""));
        let known = content == describe(&wanted.declared);
        let mut hasher = Hasher::new(wanted.size, &wanted.declared);
        let mut length = if known { hasher.read(&mut file).map_err(failed)? } else { 0 };
        if length > wanted.size || !known {
            (length, hasher) = (0, Hasher::new(wanted.size, &wanted.declared));
            file.set_len(0).map_err(failed)?;
            file.rewind().map_err(failed)?;
        }
        let tag = (known && !tag.is_empty() && tag.len() <= LONGEST_TAG).then(|| tag.to_owned());
        Ok(Self { wanted, path, file, hasher, length, tag, resumed: length > 0, best: length })
    }

    /// Asks for what is missing and takes what comes.
    fn receive(
        &mut self,
        client: &Client,
        address: &str,
        what: &Asked<'_>,
        moved: &mut dyn FnMut(u64),
    ) -> Result<(), Fault> {
        if self.length == self.wanted.size {
            return Ok(());
        }
        let mut answer = client.ask("GET", address, &self.range(), what)?;
        self.agree(&answer)?;
        let began = self.best;
        let far = |best: u64| best >= began + PROGRESS_BYTES;
        let mut body = answer.response.body_mut().as_reader();
        let mut buffer = vec![0; CHUNK_BYTES];
        let (mut since, mut few) = (Instant::now(), 0);
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(cause) => return Err(self.cut_off(client.broken(&answer.url, cause, far(self.best)))),
            };
            if self.length + count as u64 > self.wanted.size {
                let found = format!("more than {}", self.wanted.size);
                return Err(self.refuse(|file, wanted| HubError::Size { file, found, wanted }));
            }
            self.take(&buffer[..count], moved)?;
            few += count as u64;
            if since.elapsed() >= client.timeout() {
                if few < LEAST_BYTES && self.length < self.wanted.size {
                    let reason = format!("only {few} bytes within {} s", client.timeout().as_secs_f32());
                    return Err(Fault::Passing {
                        url: answer.url,
                        reason,
                        wait: None,
                        moved: far(self.best),
                    });
                }
                (since, few) = (Instant::now(), 0);
            }
        }
        if self.length < self.wanted.size {
            let reason = format!("the connection ended after {} of {} bytes", self.length, self.wanted.size);
            let broken = Fault::Passing { url: answer.url, reason, wait: None, moved: far(self.best) };
            return Err(self.cut_off(broken));
        }
        Ok(())
    }

    /// The headers that ask for the rest, of this very content.
    fn range(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if self.length > 0 {
            headers.push(("range", format!("bytes={}-", self.length)));
            // A weak name does not promise the same bytes.
            headers.extend(
                self.tag.iter().filter(|tag| tag.starts_with('"')).map(|tag| ("if-range", tag.clone())),
            );
        }
        headers
    }

    /// Makes ready for the body of an answer: at its end, or at the beginning where the server begins anew.
    fn agree(&mut self, answer: &Answer) -> Result<(), Fault> {
        let headers = answer.response.headers();
        let begins = match answer.response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = text(headers, "content-range").unwrap_or_default();
                if range != format!("bytes {}-{}/{}", self.length, self.wanted.size - 1, self.wanted.size) {
                    return Err(self.begin_anew(
                        &answer.url,
                        format!("sends the part {range:?}, which was not asked for"),
                    ));
                }
                self.length
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(self.begin_anew(&answer.url, "does not have the rest of the file".to_owned()));
            }
            _ => 0,
        };
        if begins == 0 {
            self.empty()?;
        }
        let announced = text(headers, "content-length").and_then(|length| length.parse::<u64>().ok());
        let missing = self.wanted.size - self.length;
        if let Some(found) = announced.filter(|found| *found > missing) {
            let found = (self.length + found).to_string();
            return Err(self.refuse(|file, wanted| HubError::Size { file, found, wanted }));
        }
        let tag = text(headers, "etag").filter(|tag| tag.len() <= LONGEST_TAG).map(str::to_owned);
        if begins == 0 {
            self.tag = tag;
            self.note()?;
        }
        Ok(())
    }

    /// Writes down what the part is a part of.
    fn note(&self) -> Result<(), HubError> {
        let path = with_suffix(&self.path, ".etag");
        let text =
            format!("{}\n{}", describe(&self.wanted.declared), self.tag.as_deref().unwrap_or_default());
        fs::write(&path, text).map_err(|source| HubError::io("write", &path, source))
    }

    fn take(&mut self, bytes: &[u8], moved: &mut dyn FnMut(u64)) -> Result<(), HubError> {
        self.file.write_all(bytes).map_err(|source| HubError::io("write", &self.path, source))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        if self.length > self.best {
            moved(self.length - self.best);
            self.best = self.length;
        }
        Ok(())
    }

    fn empty(&mut self) -> Result<(), HubError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|source| HubError::io("write", &self.path, source))?;
        (self.length, self.resumed) = (0, false);
        self.hasher = Hasher::new(self.wanted.size, &self.wanted.declared);
        Ok(())
    }

    fn begin_anew(&mut self, url: &str, reason: String) -> Fault {
        match self.empty() {
            Ok(()) => Fault::Passing { url: url.to_owned(), reason, wait: None, moved: false },
            Err(error) => error.into(),
        }
    }

    /// A body that ended early: broken off, or a pointer, which is complete and short.
    fn cut_off(&mut self, broken: Fault) -> Fault {
        if self.is_pointer() { self.refuse(|file, _| HubError::Pointer { file }) } else { broken }
    }

    /// Removes the file and gives the error about it.
    fn refuse(&self, error: impl FnOnce(String, u64) -> HubError) -> Fault {
        self.remove();
        error(self.wanted.name.clone(), self.wanted.size).into()
    }

    fn remove(&self) {
        // The error that follows matters more than one of the removal.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(with_suffix(&self.path, ".etag"));
    }

    fn is_pointer(&mut self) -> bool {
        let mut start = [0; POINTER.len()];
        let read = self.file.rewind().and_then(|()| self.file.read_exact(&mut start));
        let back = self.file.seek(SeekFrom::Start(self.length));
        read.is_ok() && back.is_ok() && start == POINTER
    }

    /// Checks the whole file and gives it its name.
    fn finish(mut self, path: &Path) -> Result<LockedFile, HubError> {
        let Wanted { name, size, declared } = self.wanted;
        if self.is_pointer() {
            self.remove();
            return Err(HubError::Pointer { file: name.clone() });
        }
        let hasher = std::mem::replace(&mut self.hasher, Hasher::new(0, declared));
        let hashes = hasher.finish();
        let ((kind, wanted), found) = (declared.parts(), hashes.of_kind(declared));
        if found != wanted {
            self.remove();
            let (file, found, wanted) = (name.clone(), found.to_owned(), wanted.to_owned());
            return Err(HubError::Hash { file, kind, found, wanted });
        }
        self.file.sync_all().map_err(|source| HubError::io("write", &self.path, source))?;
        fs::rename(&self.path, path).map_err(|source| HubError::io("rename", &self.path, source))?;
        let _ = fs::remove_file(with_suffix(&self.path, ".etag"));
        Ok(LockedFile { sha256: hashes.sha256, size: *size })
    }
}

fn describe(declared: &Declared) -> String {
    let (kind, hex) = declared.parts();
    format!("{kind} {hex}")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
