//! A file tried out in a process of its own before this one reads it.
//!
//! What tract computes while it reads a graph can neither be stopped from within nor told beforehand in all cases: sizes may
//! come out of the shapes of inputs by any computation. So another process does the same first, limits its own memory and is
//! ended when its time is over. What is wrong with a file it leaves to this process to say.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::encoder::{Encoder, Wanted};
use crate::error::OnnxError;
use crate::file::{Contents, ModelFile};
use crate::head::Head;
use crate::limits::Limits;
use crate::sidecar::{EncoderSidecar, HeadSidecar};

/// Between two looks whether the other process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Address space of a process that reads nothing: program, libraries and deep stacks.
const EMPTY_BYTES: u64 = 2 << 30;

/// How often weights may be there while a file is read: as they came, as tensors, simplified, and packed.
const COPIES: u64 = 8;

/// What a process may take, and what it takes more for a gigabyte of files.
const TIME: Duration = Duration::from_secs(60);

/// What stands before the time of a call that took too long.
const SLOW: &str = "slow";

/// What can be done with a file where tract speaks against it.
const STAGES: [&str; 4] = ["reading the graph", "preparing the graph", "giving the input", "running it"];

/// What a file is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A head.
    Head,
    /// An encoder, for its states.
    States,
    /// An encoder, for its logits.
    Logits,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Head, Self::States, Self::Logits];

    /// Its name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::States => "states",
            Self::Logits => "logits",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("found {name:?}"))
    }
}

/// A program that calls [`serve`] when it is given these words, the name of a [`Kind`] and a file.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The program.
    pub program: PathBuf,
    /// Its words.
    pub arguments: Vec<OsString>,
    /// A variable that is set for it.
    pub variable: &'static str,
}

/// Lets another process read a file, and ends it where it takes too long.
///
/// # Errors
/// [`OnnxError::Apart`] where it took too much, and what tract said against the file. What else is wrong with it is not told
/// here.
pub fn apart(reader: &Reader, path: &Path, kind: Kind) -> Result<(), OnnxError> {
    let failed = |source| OnnxError::Io { action: "start a process for", path: path.to_owned(), source };
    let mut child = Command::new(&reader.program)
        .args(&reader.arguments)
        .arg(kind.name())
        .arg(path)
        .env(reader.variable, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let output = child.stdout.take();
    let time = time(path);
    let (ended, said) = thread::scope(|scope| {
        let said = scope.spawn(move || {
            let mut said = String::new();
            output.map(|output| output.take(1 << 14).read_to_string(&mut said));
            said
        });
        (wait(&mut child, time), said.join().unwrap_or_default())
    });
    let refuse = |reason| Err(OnnxError::Apart { path: path.to_owned(), reason });
    let (memory, against) = said.split_once('\n').unwrap_or_default();
    match ended.map_err(failed)? {
        None => refuse(format!("took more than {} s", time.as_secs())),
        Some(status) => match status.signal() {
            None => verdict(path, against).map_or(Ok(()), Err),
            // Rust ends a process that gets no more memory with this signal.
            Some(signal) if signal == rustix::process::Signal::ABORT.as_raw() && !memory.is_empty() => {
                refuse(format!("wanted more than {memory} MiB of memory"))
            }
            Some(_) => refuse(format!("ended with {status}")),
        },
    }
}

/// What the program of a [`Reader`] does: tells the MiB of memory that it may take, reads the file, and tells what tract said
/// against it, as that may come of too little memory. The lines go to its standard output.
///
/// # Errors
/// What else is wrong with the file, or what the system says.
pub fn serve(
    path: &Path,
    kind: Kind,
    limits: &Limits,
    mut tell: impl FnMut(&str) -> io::Result<()>,
) -> Result<(), OnnxError> {
    let failed = |source| OnnxError::Io { action: "try out", path: path.to_owned(), source };
    let file = ModelFile::open(path, Contents::Outline, limits)?;
    let own = fs::metadata(path).map_err(failed)?.len();
    let bytes = EMPTY_BYTES + COPIES * (own + file.stored_bytes()) + limits.result_bytes;
    drop(file);
    tell(&format!("{}\n", bytes >> 20)).map_err(failed)?;
    let most = Some(bytes);
    setrlimit(Resource::As, Rlimit { current: most, maximum: most }).map_err(|cause| failed(cause.into()))?;
    let read = match kind {
        Kind::Head => HeadSidecar::read(path).and_then(|own| Head::open(path, &own, limits).map(drop)),
        Kind::States => encoder(path, Wanted::States, limits),
        Kind::Logits => encoder(path, Wanted::Logits, limits),
    };
    match read {
        Err(OnnxError::Graph { stage, reason, .. }) => tell(&format!("{stage}: {reason}\n")).map_err(failed),
        Err(OnnxError::Slow { time, .. }) => tell(&format!("{SLOW}: {}\n", time.as_millis())).map_err(failed),
        other => other,
    }
}

fn encoder(path: &Path, wanted: Wanted, limits: &Limits) -> Result<(), OnnxError> {
    Encoder::open(path, &EncoderSidecar::read(path)?, wanted, limits).map(drop)
}

/// What the other process says against a file.
fn verdict(path: &Path, said: &str) -> Option<OnnxError> {
    let (what, reason) = said.trim_end().split_once(": ")?;
    let path = path.to_owned();
    if what == SLOW {
        let time = Duration::from_millis(reason.parse().ok()?);
        return Some(OnnxError::Slow { path, time });
    }
    let stage = STAGES.into_iter().find(|stage| *stage == what)?;
    Some(OnnxError::Graph { path, stage, reason: reason.to_owned() })
}

/// How long reading a file may take, by the sizes of all files in its folder, which may hold its weights.
fn time(path: &Path) -> Duration {
    let folder = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let sizes = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()?.metadata().ok());
    let bytes: u64 = sizes.filter(fs::Metadata::is_file).map(|about| about.len()).sum();
    TIME + TIME.mul_f64(bytes as f64 / f64::from(1 << 30))
}

/// How the process has ended; `None` where it was ended.
fn wait(child: &mut Child, most: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > most {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_process_says_comes_back_as_it_was() {
        let path = Path::new("m.onnx");
        for error in [
            OnnxError::Graph { path: path.to_owned(), stage: STAGES[3], reason: "a: b".to_owned() },
            OnnxError::Slow { path: path.to_owned(), time: Duration::from_millis(1500) },
        ] {
            let said = match &error {
                OnnxError::Graph { stage, reason, .. } => format!("{stage}: {reason}\n"),
                _ => format!("{SLOW}: 1500\n"),
            };
            assert_eq!(verdict(path, &said).unwrap().to_string(), error.to_string());
        }
        assert!(verdict(path, "").is_none() && verdict(path, "nothing: known").is_none());
    }

    /// A program that does what it is told by a shell, with the words of a file after it.
    fn tried(script: &str) -> Result<(), OnnxError> {
        let arguments = ["-c", script].map(Into::into).to_vec();
        let reader = Reader { program: "/bin/sh".into(), arguments, variable: "PLIANT_INNER" };
        apart(&reader, Path::new("m.onnx"), Kind::Head)
    }

    #[test]
    fn how_another_process_ends_decides() {
        assert!(tried("exit 0").is_ok());
        // What is wrong is this process's to say.
        assert!(tried("echo 900; exit 65").is_ok());
        let told = tried("echo 900; kill -ABRT $$").unwrap_err().to_string();
        assert!(
            told.starts_with("m.onnx: ") && told.ends_with("wanted more than 900 MiB of memory"),
            "{told}"
        );
        let told = tried("kill -KILL $$").unwrap_err().to_string();
        assert!(told.contains("ended with signal: 9"), "{told}");
        let told = tried("echo 900; echo 'running it: no'").unwrap_err().to_string();
        assert_eq!(told, "m.onnx: running it: no");
        assert!(tried("test \"$PLIANT_INNER\" = 1 || kill -KILL $$").is_ok());
    }
}
