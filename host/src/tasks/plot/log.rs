//! Logs of training: JSON lines to points.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use pliant_store::{Action, StoreError};
use serde_json::{Map, Value};

use super::error::PlotError;

/// The log in the folder of a run.
pub(super) const LOG_FILE: &str = "log.jsonl";

/// Bytes of a line at most: a thousand times those of any that was ever written.
const MOST_LINE_BYTES: usize = 1 << 20;

/// Bad lines that are told one by one.
const SHOWN_LINES: usize = 10;

/// What is read of every log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// What lies on the horizontal axis.
    pub(super) across: &'a str,
    /// What is drawn over it.
    pub(super) keys: &'a [String],
}

/// A number of a log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// The update after which it was written.
    step: f64,
    /// Which of the wanted keys it belongs to.
    pub(super) key: usize,
    /// Whether it is one of held-out proteins.
    pub(super) held_out: bool,
    /// Its place across.
    pub(super) x: f64,
    /// The number; not finite where the log has none.
    pub(super) y: f64,
}

/// What was read of a log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// In the order of their steps.
    pub(super) points: Vec<Point>,
    /// Every name that stands for a number anywhere.
    pub(super) found: BTreeSet<String>,
    /// The last line, where it is not complete: it may be being written.
    pub(super) cut_line: Option<u64>,
}

/// The file of a log, which may be named by its folder.
pub(super) fn file_of(log: &Path) -> PathBuf {
    if log.is_dir() { log.join(LOG_FILE) } else { log.to_path_buf() }
}

impl Log {
    /// Reads the log at `path`; `-` is standard input.
    ///
    /// # Errors
    /// A file that cannot be read, and [`PlotError::BadLines`].
    pub(super) fn read(path: &Path, wanted: &Wanted<'_>) -> anyhow::Result<Self> {
        let failed = |cause| StoreError::io(Action::Read, path, cause);
        let name = path.display().to_string();
        if path.as_os_str() == "-" {
            return Self::of(&name, io::stdin().lock(), wanted)?.map_err(|cause| failed(cause).into());
        }
        let file = File::open(path).map_err(failed)?;
        Self::of(&name, BufReader::new(file), wanted)?.map_err(|cause| failed(cause).into())
    }

    /// Reads the lines of `input`. The outer error is about them, the inner one about reading.
    fn of(name: &str, mut input: impl BufRead, wanted: &Wanted<'_>) -> Result<io::Result<Self>, PlotError> {
        let mut log = Self::default();
        let (mut shown, mut bad, mut number) = (Vec::new(), 0, 0);
        let mut line = Vec::new();
        loop {
            line.clear();
            match input.by_ref().take(MOST_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => number += 1,
                Err(cause) => return Ok(Err(cause)),
            }
            let endless = line.len() > MOST_LINE_BYTES;
            let reason = match endless {
                true => Err(format!("found more than {MOST_LINE_BYTES} bytes")),
                false => log.take(&line, wanted),
            };
            let Err(reason) = reason else { continue };
            if !line.ends_with(b"\n") && !endless {
                log.cut_line = Some(number);
                break;
            }
            bad += 1;
            if shown.len() < SHOWN_LINES {
                shown.push(format!("{name}:{number}: {reason}"));
            }
            if endless {
                break;
            }
        }
        if bad > 0 {
            return Err(PlotError::BadLines { file: name.to_owned(), count: bad, shown });
        }
        Ok(Ok(log))
    }

    /// Takes a line; says what is wrong with it.
    fn take(&mut self, line: &[u8], wanted: &Wanted<'_>) -> Result<(), String> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let object: Map<String, Value> =
            serde_json::from_slice(line).map_err(|error| format!("found no JSON object ({error})"))?;
        let number = |key: &str| match object.get(key) {
            None => Ok(None),
            // What is no number in JSON was none when it was written: a loss that was not finite.
            Some(Value::Null) => Ok(Some(f64::NAN)),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(other) => Err(format!("found {other} under {key:?}, wanted a number")),
        };
        let Some(step) = number("step")?.filter(|step| step.is_finite()) else {
            return Err("found no number under \"step\"".to_owned());
        };
        let held_out = object.get("kind").and_then(Value::as_str) == Some("held_out");
        let numbers = object.iter().filter(|(_, value)| value.is_number() || value.is_null());
        for (key, _) in numbers {
            if !self.found.contains(key) {
                self.found.insert(key.clone());
            }
        }
        let mut points = Vec::new();
        for (key, name) in wanted.keys.iter().enumerate() {
            let Some(y) = number(name)? else { continue };
            let across = number(wanted.across)?.filter(|x| x.is_finite());
            let x = across.ok_or_else(|| format!("found no number under {:?}", wanted.across))?;
            points.push(Point { step, key, held_out, x, y });
        }
        self.go_back(step, &points);
        self.points.extend(points);
        Ok(())
    }

    /// Forgets what a run had written of steps that it has come to again.
    fn go_back(&mut self, step: f64, again: &[Point]) {
        let later = self.points.iter().rev().take_while(|point| point.step > step).count();
        self.points.truncate(self.points.len() - later);
        let same = self.points.iter().rev().take_while(|point| point.step == step).count();
        let first = self.points.len() - same;
        for place in (first..self.points.len()).rev() {
            if again.iter().any(|point| point.key == self.points[place].key) {
                self.points.remove(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, across: &str) -> Result<Log, PlotError> {
        let keys = ["loss".to_owned(), "held_out_loss".to_owned()];
        let wanted = Wanted { across, keys: &keys };
        Log::of("log", text.as_bytes(), &wanted).map(Result::unwrap)
    }

    fn points(log: &Log) -> Vec<(usize, f64, f64)> {
        log.points.iter().map(|point| (point.key, point.x, point.y)).collect()
    }

    #[test]
    fn lines_become_points() {
        let text = "{\"kind\": \"train\", \"step\": 1, \"tokens\": 10, \"loss\": 3.5}\n\n\
                    {\"kind\": \"held_out\", \"step\": 1, \"tokens\": 10, \"held_out_loss\": 3.25}\r\n\
                    {\"step\": 2, \"tokens\": 20, \"loss\": null, \"device\": \"cpu\"}";
        let log = read(text, "tokens").unwrap();
        assert_eq!(points(&log)[..2], [(0, 10.0, 3.5), (1, 10.0, 3.25)]);
        assert!(log.points[2].y.is_nan());
        assert_eq!(log.points.iter().map(|point| point.held_out).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(log.found.iter().collect::<Vec<_>>(), ["held_out_loss", "loss", "step", "tokens"]);
        assert_eq!(log.cut_line, None, "a complete line needs no end");
    }

    #[test]
    fn a_resumed_run_writes_some_steps_again() {
        let line = |step: u32, loss: f32| format!("{{\"step\": {step}, \"loss\": {loss}}}\n");
        let held_out = |step: u32, loss: f32| format!("{{\"step\": {step}, \"held_out_loss\": {loss}}}\n");
        let first = [line(10, 3.0), line(20, 2.0), held_out(20, 2.5), line(30, 1.0), held_out(30, 1.5)];
        let text = first.concat() + &line(20, 2.0625) + &line(30, 1.0625);
        let found = points(&read(&text, "step").unwrap());
        let wanted = [(0, 10.0, 3.0), (1, 20.0, 2.5), (0, 20.0, 2.0625), (0, 30.0, 1.0625)];
        assert_eq!(found, wanted);
    }

    #[test]
    fn bad_lines_are_named_and_a_cut_one_is_left_out() {
        let text =
            "{\"step\": 1, \"loss\": 1}\nloss 2\n[1]\n{\"loss\": 1}\n{\"step\": 2, \"loss\": \"low\"}\n";
        let error = read(text, "step").unwrap_err();
        assert_eq!(error.to_string(), "4 bad lines in log");
        let details = error.details();
        for (detail, start) in details.iter().zip(["log:2: ", "log:3: ", "log:4: ", "log:5: "]) {
            assert!(detail.starts_with(start), "{detail}");
        }
        assert!(details[2].contains("found no number under \"step\""), "{details:?}");
        assert!(details[3].contains("found \"low\" under \"loss\""), "{details:?}");
        assert!(
            read("{\"step\": 1, \"loss\": 1}\n", "tokens").unwrap_err().details()[0].contains("\"tokens\"")
        );
        let log = read("{\"step\": 1, \"loss\": 1}\n{\"step\": 2, \"lo", "step").unwrap();
        assert_eq!((log.points.len(), log.cut_line), (1, Some(2)));
        let many = read(&"x\n".repeat(14), "step").unwrap_err().details();
        assert_eq!((many.len(), many[10].as_str()), (11, "and 4 more"));
        let endless = read(&"[".repeat(MOST_LINE_BYTES + 7), "step").unwrap_err().details();
        assert!(endless[0].contains("log:1: found more than"), "{endless:?}");
    }
}
