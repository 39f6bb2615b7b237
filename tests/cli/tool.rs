//! The program, a scratch folder to run it in, and a tiny model.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use pliant_store::{NpzContents, ResultReader, StoredRecord, read_npz};
use tempfile::TempDir;

/// Names a program to test instead of the one beside the tests.
const OTHER_PROGRAM: &str = "PLIANT_TEST_BINARY";

/// The configuration of the tiny model.
pub(crate) const CONFIG: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/esm2_tiny_random.config.json");

/// Twenty real proteins.
pub(crate) const ECOLI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/fasta/ecoli20.fasta");

/// The program, built as the tests are.
///
/// # Panics
/// Where it is not there and cannot be built.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| std::env::var_os(OTHER_PROGRAM).map_or_else(built, PathBuf::from))
}

/// Lets cargo bring the program up to date; it lies two folders above this very file's test program.
fn built() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.parent().and_then(Path::parent).unwrap();
    let program = folder.join("pliant");
    let profile = match folder.file_name().and_then(OsStr::to_str).unwrap() {
        "debug" => "dev",
        other => other,
    };
    let target = folder.parent().unwrap();
    let by_hand = format!("cargo build --package pliant --bin pliant --profile {profile}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "pliant",
            "--bin",
            "pliant",
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status();
    let built = status.is_ok_and(|status| status.success());
    assert!(
        built && program.exists(),
        "there is no program at {}: run '{by_hand}', or name one in {OTHER_PROGRAM}",
        program.display()
    );
    program
}

/// The folder of a tiny model with random weights, the same for all tests.
pub(crate) fn model() -> &'static str {
    static MODEL: OnceLock<(TempDir, String)> = OnceLock::new();
    let (_, folder) = MODEL.get_or_init(|| {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("tiny").to_str().unwrap().to_owned();
        let made = Run::new(&["model", "new", "--config", CONFIG, "--seed", "20", "--out", &folder]).go();
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        // Other users run some of the tests.
        open_to_all(scratch.path());
        open_to_all(&scratch.path().join("tiny"));
        (scratch, folder)
    });
    folder
}

/// Lets everybody look into a folder.
pub(crate) fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// What it wrote to standard output.
    pub(crate) stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub(crate) stderr: String,
}

impl Ended {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn code(self, wanted: i32) -> Self {
        assert_eq!(self.code, Some(wanted), "stdout: {}\nstderr: {}", self.text(), self.stderr);
        self
    }
}

/// A run to be.
pub(crate) struct Run {
    command: Command,
    input: Vec<u8>,
}

impl Run {
    /// The program with these words, without any variable of its own.
    pub(crate) fn new(words: &[impl AsRef<OsStr>]) -> Self {
        let mut command = Command::new(program());
        command.args(words);
        Self::of(command)
    }

    /// Another command, usually one that starts the program.
    pub(crate) fn of(mut command: Command) -> Self {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PLIANT_") {
                command.env_remove(name);
            }
        }
        Self { command, input: Vec::new() }
    }

    /// `script` for the shell; `"$@"` in it is the program with these words.
    pub(crate) fn shell(script: &str, words: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(program()).args(words);
        Self::of(command)
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs in a folder.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Gives it something to read.
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> std::process::Child {
        let command = &mut self.command;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs it to its end.
    pub(crate) fn go(mut self) -> Ended {
        use std::io::Write;
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = std::mem::take(&mut self.input);
        // A program that ends early does not read all of it.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        Ended {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A folder to run in.
pub(crate) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Writes a file into it.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), bytes).unwrap();
        self
    }

    /// The bytes of a file in it.
    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The text of a file in it.
    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// Every record of a result file of any format.
    pub(crate) fn records(&self, name: &str) -> Vec<StoredRecord> {
        let mut reader = ResultReader::open(&self.path(name)).unwrap();
        std::iter::from_fn(|| reader.next_record().unwrap()).collect()
    }

    /// The arrays of a result in it.
    pub(crate) fn npz(&self, name: &str) -> NpzContents {
        read_npz(&self.path(name)).unwrap()
    }

    /// The names of everything in it, hidden files too, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// `pliant` with these words, in this folder.
    pub(crate) fn run(&self, words: &[&str]) -> Run {
        Run::new(words).within(self.folder())
    }

    /// `pliant embed` of `in.fasta` to `out.npz` with the tiny model, two threads and more words.
    pub(crate) fn embed(&self, more: &[&str]) -> Ended {
        self.embedding("in.fasta", "out.npz", more).go()
    }

    /// The same of another input to another output, not yet started.
    pub(crate) fn embedding(&self, input: &str, out: &str, more: &[&str]) -> Run {
        let mut words = vec!["embed", input, "--model", model(), "--out", out, "--threads", "2"];
        words.extend(more);
        self.run(&words)
    }
}

/// Whether the tests run as root, who may do what some of them need others to be refused.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a command of the system is there.
pub(crate) fn has(command: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {command}")]).output();
    found.is_ok_and(|found| found.status.success())
}

/// Runs the program as somebody without rights.
pub(crate) fn as_nobody(scratch: &Scratch, words: &[&str]) -> Option<Ended> {
    if !is_root() {
        return Some(Run::new(words).within(scratch.folder()).go());
    }
    if !has("setpriv") {
        println!("SKIPPED: no setpriv here to give up the rights of root");
        return None;
    }
    let copy = scratch.path("pliant");
    fs::copy(program(), &copy).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy).args(words);
    command.current_dir(scratch.folder());
    Some(Run::of(command).go())
}
