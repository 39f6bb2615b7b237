//! The sums of a manifest brought up to date, after its author has built its files anew.

use std::fs;
use std::path::Path;

use toml::Table;

use crate::error::PluginError;
use crate::plugin::sha256;

/// Writes the SHA-256 of the guest and of the weights, as they are now, into a manifest; nothing else of it changes.
///
/// # Errors
/// [`PluginError::Io`], and [`PluginError::Manifest`] where it names no file or has no line for the sum.
pub fn seal(path: &Path) -> Result<(), PluginError> {
    let wrong = |reason: String| PluginError::Manifest { path: path.to_path_buf(), reason };
    let io = |action, path: &Path, source| PluginError::Io { action, path: path.to_path_buf(), source };
    let text = fs::read_to_string(path).map_err(|source| io("read", path, source))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for section in ["", "weights"] {
        let keys =
            if section.is_empty() { Some(&table) } else { table.get(section).and_then(|it| it.as_table()) };
        let Some(keys) = keys else { continue };
        let file = keys.get("file").and_then(|file| file.as_str());
        let file = file.ok_or_else(|| wrong("it names no file".to_owned()))?;
        let file = path.parent().unwrap_or(Path::new("")).join(file);
        let bytes = fs::read(&file).map_err(|source| io("read", &file, source))?;
        let line = sum_line(&lines, section).ok_or_else(|| {
            wrong(format!(
                "a line sha256 = \"…\" is missing{}",
                if section.is_empty() { "" } else { " in [weights]" }
            ))
        })?;
        lines[line] = format!("sha256 = \"{}\"", sha256(&bytes));
    }
    fs::write(path, lines.join("\n") + "\n").map_err(|source| io("write", path, source))
}

/// The number of the line with the sum of a section.
fn sum_line(lines: &[String], wanted: &str) -> Option<usize> {
    let mut section = "";
    for (number, line) in lines.iter().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = name.trim();
        }
        let key = line.split('=').next().unwrap_or_default().trim();
        if section == wanted && key == "sha256" {
            return Some(number);
        }
    }
    None
}
