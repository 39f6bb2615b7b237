//! The log of a run: one JSON object a line, in the order of the steps.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::TrainError;
use super::folder::write_text;
use super::kill::point;

/// A log that is written to.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens a log and cuts it back to its lines up to `step`; those that a killed run wrote after its last checkpoint
    /// are written again.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path, step: u64) -> anyhow::Result<Self> {
        let kept = lines_until(path, step).map_err(TrainError::io("read", path))?;
        if fs::metadata(path).map_or(0, |found| found.len()) != kept.len() as u64 {
            write_text(path, &kept)?;
        }
        point("run: log cut");
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { path: path.to_owned(), file: file.map_err(TrainError::io("open", path))? })
    }

    /// Adds a line, in one write.
    ///
    /// # Errors
    /// What the system says.
    pub fn push(&mut self, line: &Value) -> Result<(), TrainError> {
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        written.map_err(TrainError::io("write", &self.path))?;
        point("log: line written");
        Ok(())
    }

    /// Waits until every line is on its device, so that no checkpoint is newer than the log.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> Result<(), TrainError> {
        match self.file.sync_all() {
            // Some network file systems have no fsync; a refusal of the call is no lost byte.
            Err(refused) if matches!(refused.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                Ok(())
            }
            answer => answer.map_err(TrainError::io("write", &self.path)),
        }
    }
}

/// The lines up to a step, as they stand in the file; from the first one that is none, nothing.
fn lines_until(path: &Path, step: u64) -> std::io::Result<String> {
    let file = match File::open(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(String::new()),
        file => file?,
    };
    let mut reader = BufReader::new(file);
    let (mut kept, mut line) = (String::new(), Vec::new());
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        let value = serde_json::from_slice::<Value>(&line).unwrap_or_default();
        let is_kept = line.ends_with(b"\n") && value["step"].as_u64().is_some_and(|found| found <= step);
        match std::str::from_utf8(&line) {
            Ok(text) if is_kept => kept.push_str(text),
            _ => return Ok(kept),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_log_is_cut_back_to_a_step() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log.jsonl");
        let mut log = Log::open(&path, 0).unwrap();
        for step in 1..=4 {
            log.push(&json!({ "kind": "train", "step": step })).unwrap();
        }
        log.push(&json!({ "kind": "held_out", "step": 4 })).unwrap();
        log.sync().unwrap();
        drop(log);
        let whole = fs::read_to_string(&path).unwrap();
        drop(Log::open(&path, 4).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        fs::write(&path, format!("{whole}{{\"step\": 5, \"los")).unwrap();
        drop(Log::open(&path, 7).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), whole, "a line that is cut short is none");
        drop(Log::open(&path, 2).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
        drop(Log::open(&path, 0).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
}
