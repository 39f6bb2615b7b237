//! A hub on this machine: it serves one model the way Hugging Face does, and misbehaves where a test wants it to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sha1::Digest;

/// The repository that is served.
pub(crate) const REPO: &str = "me/tiny";

/// Its commit.
pub(crate) const COMMIT: &str = "c731040fcd8d73dceaa04b0a8e6329b345b0f5df";

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `GET` or `HEAD`.
    pub(crate) method: String,
    /// What stands after the host.
    pub(crate) path: String,
    /// Headers, names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Asked {
    /// The first byte that is asked for.
    pub(crate) fn from(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }

    /// Whether it asks for the weights themselves, on a server that does not redirect.
    pub(crate) fn weights(&self) -> bool {
        self.method == "GET" && self.path.ends_with("/model.safetensors")
    }
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// Headers beside the length.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body that is announced.
    pub(crate) body: Vec<u8>,
    /// Bytes of the body that are sent before the connection ends; all where it is `None`.
    pub(crate) cut: Option<usize>,
    /// Time in which nothing happens once these bytes are sent.
    pub(crate) pause: Option<Duration>,
    /// Send the body again and again, without a length.
    pub(crate) endless: bool,
}

impl Reply {
    /// A status and a body.
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn send(&self, to: &mut TcpStream, head: bool) -> std::io::Result<()> {
        let Self { status, headers, body, .. } = self;
        let length = if self.endless {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {}", body.len())
        };
        write!(to, "HTTP/1.1 {status} x\r\n{length}\r\nconnection: close\r\n")?;
        headers.iter().try_for_each(|(name, value)| write!(to, "{name}: {value}\r\n"))?;
        to.write_all(b"\r\n")?;
        if self.endless {
            // Until the client goes away, which is an error here.
            loop {
                write!(to, "{:x}\r\n", body.len())?;
                to.write_all(body)?;
                to.write_all(b"\r\n")?;
            }
        }
        if !head {
            to.write_all(&body[..self.cut.unwrap_or(body.len())])?;
        }
        to.flush()?;
        std::thread::sleep(self.pause.unwrap_or_default());
        Ok(())
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Hub {
    /// Its address.
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
}

impl Hub {
    /// Starts one that answers as `answer` says.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (log, ended, answer) = (Arc::clone(&seen), Arc::clone(&over), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                // A client that goes away is part of what is tested.
                std::thread::spawn(move || {
                    let mut stream = stream?;
                    let asked = read(&stream)?;
                    log.lock().unwrap().push(asked.clone());
                    answer(&asked).send(&mut stream, asked.method == "HEAD")
                });
            }
        });
        Self { url, seen, over }
    }

    /// An address where nobody answers.
    pub(crate) fn gone(url: &str) -> Self {
        Self { url: url.to_owned(), seen: Arc::default(), over: Arc::default() }
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

fn read(stream: &TcpStream) -> std::io::Result<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(Asked { method, path, headers })
}

/// A repository: its files, and which of them Git LFS keeps.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    /// Content by name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// The commit that every revision means.
    pub(crate) commit: String,
    /// Where large files are kept; empty for the hub itself.
    pub(crate) elsewhere: String,
    /// Whether parts of files can be had.
    pub(crate) parts: bool,
}

impl Repo {
    /// The files of a folder, and a README.
    pub(crate) fn of(folder: &str) -> Self {
        let read = |name: &str| (name.to_owned(), std::fs::read(Path::new(folder).join(name)).unwrap());
        let mut files: BTreeMap<_, _> = ["config.json", "model.safetensors", "vocab.txt"].map(read).into();
        files.insert("README.md".to_owned(), b"---\nlicense: mit\n---\n".to_vec());
        files.insert(".gitattributes".to_owned(), b"*.safetensors filter=lfs\n".to_vec());
        files.insert("tf_model.h5".to_owned(), b"unused".to_vec());
        Self { files, commit: COMMIT.to_owned(), elsewhere: String::new(), parts: true }
    }

    /// The list of the files.
    pub(crate) fn listing(&self) -> Value {
        let sibling = |(name, bytes): (&String, &Vec<u8>)| {
            let size = bytes.len();
            if large(name) {
                let lfs = json!({ "sha256": sha256(bytes), "size": size, "pointerSize": 134 });
                return json!({ "rfilename": name, "size": size, "blobId": "0".repeat(40), "lfs": lfs });
            }
            json!({ "rfilename": name, "size": size, "blobId": blob(bytes) })
        };
        let siblings: Vec<Value> = self.files.iter().map(sibling).collect();
        json!({ "id": REPO, "sha": self.commit, "tags": ["esm", "license:mit"], "siblings": siblings })
    }

    /// What a good hub answers.
    pub(crate) fn answer(&self, asked: &Asked) -> Reply {
        let path = asked.path.as_str();
        if path.starts_with(&format!("/api/models/{REPO}/revision/")) {
            return Reply::new(200, self.listing().to_string());
        }
        let resolved = path.strip_prefix(&format!("/{REPO}/resolve/{}/", self.commit));
        match (resolved, path.strip_prefix("/store/").and_then(|rest| rest.split('?').next())) {
            (Some(name), _) if large(name) && !self.elsewhere.is_empty() => {
                let location = format!("{}/store/{name}?Signature=secret", self.elsewhere);
                let linked = sha256(&self.files[name]);
                Reply::new(302, "").with("location", location).with("x-linked-etag", format!("\"{linked}\""))
            }
            (Some(name), _) | (None, Some(name)) if self.files.contains_key(name) => {
                self.file(&self.files[name], asked, large(name))
            }
            _ => Reply::new(404, "no").with("x-error-code", "RepoNotFound"),
        }
    }

    fn file(&self, bytes: &[u8], asked: &Asked, large: bool) -> Reply {
        let tag = format!("\"{}\"", if large { sha256(bytes) } else { blob(bytes) });
        let same = asked.headers.get("if-range").is_none_or(|wanted| *wanted == tag);
        match asked.from() {
            Some(from) if self.parts && same => Reply::new(206, &bytes[from..])
                .with("content-range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len())),
            _ => Reply::new(200, bytes),
        }
        .with("etag", tag)
    }
}

fn large(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".bin")
}

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Git's hash of a file, in hex.
pub(crate) fn blob(bytes: &[u8]) -> String {
    let mut hasher = sha1::Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
