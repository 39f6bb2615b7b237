//! The only place that writes to standard output and standard error.
//!
//! Standard output carries data, standard error everything else: messages as text or as one JSON object a line.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::exit::{PrintError, Report};

/// Time between two lines about progress where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// How messages are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Note,
    Warning,
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// The escape sequence of its colour: bold blue, yellow or red.
    fn colour(self) -> &'static str {
        match self {
            Self::Note => "\x1b[1;34m",
            Self::Warning => "\x1b[1;33m",
            Self::Error => "\x1b[1;31m",
        }
    }
}

/// Says things.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    format: LogFormat,
    quiet: bool,
    terminal: bool,
    coloured: bool,
}

impl Printer {
    /// A printer; a quiet one tells errors only.
    pub fn new(format: LogFormat, quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { format, quiet, terminal, coloured: terminal && !plain }
    }

    /// Something worth knowing.
    pub fn note(&self, message: &str) {
        if !self.quiet {
            self.say(Level::Note, message);
        }
    }

    /// Something that may not be what was meant.
    pub fn warning(&self, message: &str) {
        if !self.quiet {
            self.say(Level::Warning, message);
        }
    }

    /// The end of a run that failed.
    pub fn error(&self, report: &Report) {
        let Report { message, details, causes, hint, code } = report;
        if self.format == LogFormat::Json {
            self.line(
                &json!({
                    "level": Level::Error.name(), "message": message, "details": details, "causes": causes,
                    "hint": hint, "exit_code": *code as u8,
                })
                .to_string(),
            );
            return;
        }
        self.say(Level::Error, message);
        details.iter().for_each(|detail| self.line(&format!("  {detail}")));
        causes.iter().for_each(|cause| self.line(&format!("  caused by: {cause}")));
        if let Some(hint) = hint {
            self.line(&format!("hint: {hint}"));
        }
    }

    /// Writes results or reports to standard output.
    ///
    /// # Errors
    /// What the system says; a reader that has gone is an error like any other here.
    pub fn data(&self, text: &str) -> Result<(), PrintError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// Begins to show how far a piece of work is: a bar on a terminal, else a line now and then.
    pub fn progress(&self, total: u64, unit: &'static str) -> Progress {
        self.progress_from(0, total, unit)
    }

    /// The same of work of which `done` units were done before.
    pub fn progress_from(&self, done: u64, total: u64, unit: &'static str) -> Progress {
        let bar =
            (self.terminal && !self.quiet && self.format == LogFormat::Text).then(|| bar(done, total, unit));
        let now = Instant::now();
        Progress {
            print: *self,
            bar,
            total,
            unit,
            before: done,
            start: now,
            state: Mutex::new(State { done, said: now, more: String::new() }),
        }
    }

    fn say(&self, level: Level, message: &str) {
        let name = level.name();
        self.line(&match self.format {
            LogFormat::Json => json!({ "level": name, "message": message }).to_string(),
            LogFormat::Text if self.coloured => format!("{}{name}:\x1b[0m {message}", level.colour()),
            LogFormat::Text => format!("{name}: {message}"),
        });
    }

    /// One line in one write, so that lines of several processes do not mix. Nobody can be told when it fails.
    fn line(&self, text: &str) {
        let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
    }
}

fn bar(done: u64, total: u64, unit: &'static str) -> ProgressBar {
    let template = format!("{{bar:40}} {{percent:>3}} % of {{human_len}} {unit}, {{eta}} left{{msg}}");
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    bar.set_position(done);
    bar.reset_eta();
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}

/// A piece of work being done. Dropped, its bar disappears.
pub struct Progress {
    print: Printer,
    bar: Option<ProgressBar>,
    total: u64,
    unit: &'static str,
    before: u64,
    start: Instant,
    state: Mutex<State>,
}

struct State {
    done: u64,
    said: Instant,
    more: String,
}

impl Progress {
    /// `count` more units are done.
    pub fn advance(&self, count: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(count);
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += count;
        if state.said.elapsed() >= LINE_EVERY && !self.print.quiet {
            state.said = Instant::now();
            self.say(state.done, &state.more);
        }
    }

    /// Something that may not be what was meant, beside the numbers.
    pub fn warning(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.print.warning(message)),
            None => self.print.warning(message),
        }
    }

    /// What is to be said with the numbers from now on.
    pub fn tell(&self, more: String) {
        let more = if more.is_empty() { more } else { format!(", {more}") };
        match &self.bar {
            Some(bar) => bar.set_message(more),
            None => self.state.lock().unwrap_or_else(PoisonError::into_inner).more = more,
        }
    }

    fn say(&self, done: u64, more: &str) {
        let Self { total, unit, before, .. } = self;
        let per_second = (done - before) as f64 / self.start.elapsed().as_secs_f64();
        // Of slow work, the digits behind the point are what there is to know.
        let per_second =
            if per_second < 10.0 { (per_second * 100.0).round() / 100.0 } else { per_second.round() };
        match self.print.format {
            LogFormat::Json => self.print.line(
                &json!({
                    "level": "progress", "done": done, "total": total, "unit": unit,
                    "per_second": per_second, "more": more.trim_start_matches(", "),
                })
                .to_string(),
            ),
            LogFormat::Text => {
                self.print.note(&format!("{done} of {total} {unit}, {per_second} a second{more}"))
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Prints what the parser of the command line has to say: help and version to standard output, errors to standard
/// error.
pub(super) fn usage(answer: &clap::Error) {
    // As for every message: nobody can be told when it fails.
    let _ = answer.print();
}
