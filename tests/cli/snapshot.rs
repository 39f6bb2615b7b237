//! Text that is compared with a file beside the tests.
//!
//! `PLIANT_UPDATE_SNAPSHOTS=1 cargo test --package pliant-tests --test cli` writes the files anew.

use std::fs;
use std::path::Path;

use crate::tool::{Ended, model, program};

/// Writes the files anew.
const UPDATE: &str = "PLIANT_UPDATE_SNAPSHOTS";

/// Names of what the processor of this machine may have.
const CPU_PATHS: [&str; 4] = ["portable", "avx2", "avx512", "avx512-bf16"];

/// What a run said, in one text: exit code, standard output, standard error. Paths and hashes that differ from run
/// to run are replaced.
pub(crate) fn told(ended: &Ended) -> String {
    let code = ended.code.map_or("signal".to_owned(), |code| code.to_string());
    let (stdout, stderr) = (ended.text(), &ended.stderr);
    let text = format!("exit {code}\n--- stdout\n{stdout}--- stderr\n{stderr}");
    let text = text.replace(model(), "[MODEL]").replace(program().to_str().unwrap(), "[PLIANT]");
    let text =
        CPU_PATHS.iter().fold(text, |text, path| text.replace(&format!("cpu ({path},"), "cpu ([PATH],"));
    trimmed(&text)
}

/// Without blanks at the ends of lines, which editors remove.
fn trimmed(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// Compares a text with the file `name`.
#[track_caller]
pub(crate) fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cli/snapshots").join(format!("{name}.txt"));
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, text).unwrap();
        return;
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        wanted == text,
        "{name} has changed; with {UPDATE}=1 the file is written anew\n--- wanted\n{wanted}--- found\n{text}"
    );
}
