//! A run that is killed at each of its moments leaves, once it has gone on, what one that was never stopped leaves.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::POINTS;
use crate::kill::KILL_AT;

/// Names the folder in which the process that is killed works, and its threads.
const FOLDER: &str = "PLIANT_TEST_KILL_FOLDER";
const THREADS: &str = "PLIANT_TEST_KILL_THREADS";

/// A kind of run.
pub(crate) struct Moments {
    /// The test that makes the run in `run` in the folder that [`asked`] gives.
    pub(crate) test: &'static str,
    /// Puts into a folder all that the run reads.
    pub(crate) prepare: fn(&Path),
    /// Moments that such a run does not come to.
    pub(crate) without: &'static [&'static str],
    /// Some of the files that it leaves.
    pub(crate) leaves: &'static [&'static str],
}

/// In the process that is killed: where it works, with how many threads.
pub(crate) fn asked() -> Option<(PathBuf, usize)> {
    let folder = std::env::var_os(FOLDER)?;
    Some((folder.into(), std::env::var(THREADS).unwrap().parse().unwrap()))
}

impl Moments {
    /// Kills the run at every moment, at those of its passings that `passings` gives.
    pub(crate) fn every(&self, passings: fn(usize) -> Vec<usize>) {
        let whole = tempfile::tempdir().unwrap();
        (self.prepare)(whole.path());
        assert!(!self.killed_at(whole.path(), "none", 0, 1));
        let wanted = left(&whole.path().join("run"));
        let names: Vec<&str> = wanted.keys().map(|path| path.to_str().unwrap()).collect();
        for name in self.leaves {
            assert!(names.contains(name), "{names:?}");
        }
        let mut reached = Vec::new();
        for (index, point) in POINTS.into_iter().enumerate() {
            for times in passings(index) {
                let scratch = tempfile::tempdir().unwrap();
                (self.prepare)(scratch.path());
                if self.killed_at(scratch.path(), point, times, 1) {
                    reached.push(point);
                    // Killed while it goes on, with another number of threads, at another moment.
                    self.killed_at(scratch.path(), POINTS[(index * 7 + 3) % POINTS.len()], 0, 2);
                }
                assert!(!self.killed_at(scratch.path(), "none", 0, 3));
                let found = left(&scratch.path().join("run"));
                assert_eq!(
                    found.keys().collect::<Vec<_>>(),
                    wanted.keys().collect::<Vec<_>>(),
                    "{point}, {times}"
                );
                for (path, bytes) in &wanted {
                    assert!(found[path] == *bytes, "{point}, {times} before: {} differs", path.display());
                }
            }
        }
        reached.dedup();
        let all: Vec<&str> = POINTS.into_iter().filter(|point| !self.without.contains(point)).collect();
        assert_eq!(reached, all, "each of them was reached");
    }

    /// Whether the process was killed; it may also come to its end.
    fn killed_at(&self, folder: &Path, point: &str, times: usize, threads: usize) -> bool {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", self.test, "--quiet"]);
        command
            .env(FOLDER, folder)
            .env(THREADS, threads.to_string())
            .env(KILL_AT, format!("{point}#{times}"));
        let output = command.output().unwrap();
        let killed = output.status.signal() == Some(9);
        assert!(killed || output.status.success(), "{point}: {output:?}");
        killed
    }
}

/// Everything that a run leaves and that does not depend on the time it took.
fn left(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(place) = folders.pop() {
        for entry in fs::read_dir(&place).unwrap() {
            let path = entry.unwrap().path();
            let bytes = match path.file_name().unwrap().to_str().unwrap() {
                _ if path.is_dir() => {
                    folders.push(path);
                    continue;
                }
                "state.json" => timeless(&fs::read_to_string(&path).unwrap()),
                "log.jsonl" => fs::read_to_string(&path).unwrap().lines().flat_map(timeless).collect(),
                "run.toml" => continue,
                _ => fs::read(&path).unwrap(),
            };
            files.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
        }
    }
    files
}

/// The same JSON without what a clock says, and the memory of the process.
fn timeless(text: &str) -> Vec<u8> {
    let mut value: Value = serde_json::from_str(text).unwrap();
    for key in ["seconds", "tokens_per_second", "peak_memory_bytes", "blake3"] {
        value.as_object_mut().unwrap().remove(key);
    }
    if let Some(state) = value.get_mut("state") {
        state["milliseconds"] = Value::Null;
        state["interval"]["milliseconds"] = Value::Null;
    }
    value.to_string().into_bytes()
}
