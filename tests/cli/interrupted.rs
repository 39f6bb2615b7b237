//! Runs that are disturbed at a known moment: an input that changes, a process that is killed.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::tool::{ECOLI, Scratch};

/// The gap gives a warning, which the program writes when it has read its input for the first time.
const TEXT: &str = ">a\nMKV-LATG\n>b\nACDEFW\n";

/// A run that writes `out.npz` and the states to a FIFO without a reader.
fn waiting(scratch: &Scratch) -> Child {
    scratch.write("in.fasta", TEXT);
    assert!(Command::new("mkfifo").arg(scratch.path("states.npz")).status().unwrap().success());
    scratch.embedding("in.fasta", "out.npz", &["--residues", "states.npz"]).start()
}

/// Lets the FIFO's writer go on, for as long as the file lives. Does not wait for a writer.
fn reader(fifo: &Path) -> File {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(nonblocking).open(fifo).unwrap()
}

#[test]
fn an_input_that_changes_between_its_readings_is_an_error() {
    let scratch = Scratch::new();
    scratch.write("out.npz", "old");
    let mut child = waiting(&scratch);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let warned = lines.by_ref().any(|line| line.contains("1 gap"));
    assert!(warned, "no warning of the gap: {:?}", child.wait());
    // The first reading is over, and the second waits behind the FIFO.
    scratch.write("in.fasta", TEXT.replace("ACDEFW", "ACDEFY"));
    let reader = reader(&scratch.path("states.npz"));
    let status = child.wait().unwrap();
    drop(reader);
    let said: Vec<String> = lines.collect();
    assert_eq!(status.code(), Some(65), "{said:?}");
    let said = said.join("\n");
    assert!(said.contains("the input changed while it was read: found records "), "{said}");
    assert!(said.contains("run again when nothing writes to the input any more"), "{said}");
    assert_eq!(scratch.names(), ["in.fasta", "out.npz", "states.npz"]);
    assert_eq!(scratch.text("out.npz"), "old");
}

/// The same disturbance without a change, so that the test above is known to see the change.
#[test]
fn an_input_that_stays_the_same_is_none() {
    let scratch = Scratch::new();
    let mut child = waiting(&scratch);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.contains("1 gap")));
    // Another spelling of the same records.
    scratch.write("in.fasta", TEXT.replace("ACDEFW", "acd\nefw"));
    let reader = reader(&scratch.path("states.npz"));
    let said: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said:?}");
    drop(reader);
    assert!(!scratch.read("out.npz").is_empty());
}

/// Files of `folder` that a process writes to, with their sizes in bytes.
fn written(process: u32, folder: &Path) -> Vec<(String, u64)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/fd")) else { return Vec::new() };
    let file = |entry: fs::DirEntry| {
        let link = fs::read_link(entry.path()).ok()?;
        let name = link.strip_prefix(folder).ok()?.to_string_lossy().into_owned();
        Some((name, fs::metadata(entry.path()).ok()?.len()))
    };
    let files = entries.flatten().filter_map(file);
    files.filter(|(name, _)| name != "in.fasta").collect()
}

#[test]
fn a_run_killed_outright_leaves_nothing() {
    if !Path::new("/proc/self/fd").exists() {
        println!("SKIPPED: there is no /proc here to see the open files of a process in");
        return;
    }
    let scratch = Scratch::new();
    let text = fs::read_to_string(ECOLI).unwrap();
    let many: String = (0..200).map(|copy| text.replace('>', &format!(">{copy}_"))).collect();
    scratch.write("in.fasta", many).write("out.npz", "old");
    let more = ["--residues", "r.npz", "--summary", "s.json"];
    let mut child = scratch.embedding("in.fasta", "out.npz", &more).start();
    let (start, folder) = (Instant::now(), fs::canonicalize(scratch.folder()).unwrap());
    let files = loop {
        let files = written(child.id(), &folder);
        if files.iter().any(|(_, bytes)| *bytes > 100_000) {
            break files;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        assert!(start.elapsed() < Duration::from_secs(60), "nothing was written for a minute: {files:?}");
        std::thread::sleep(Duration::from_millis(5));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(scratch.text("out.npz"), "old");
    let mut left = scratch.names();
    let unnamed = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
    if rustix::fs::open(&folder, unnamed, rustix::fs::Mode::RUSR).is_err() {
        println!("SKIPPED: the file system of {} has no files without names: {files:?}", folder.display());
        left.retain(|name| !name.starts_with('.'));
    }
    assert_eq!(left, ["in.fasta", "out.npz"]);
}
