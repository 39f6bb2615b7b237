//! Checkpoints: all that a run needs to go on, in folders that appear whole or not at all.
//!
//! ```text
//! checkpoints/step_00000100/
//!     model/                   a model folder: config.json, model.safetensors, vocab.txt
//!     optimizer.safetensors    the moments of every parameter
//!     state.json               where the run is; lengths and BLAKE3 of all other files; written last
//! ```
//!
//! Every file is on its device before the folder gets its name. Whoever reads a checkpoint compares every byte with
//! `state.json`, and that with its own digest.

mod files;
mod state;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::TrainError;
use super::folder::{HIDDEN, remove, sync_folder, write_text};
use super::kill::point;
use files::Listing;
pub use state::{Exact, HeldOut, Interval, Origin, Seen, State, Sum};

/// How the name of a checkpoint begins.
const PREFIX: &str = "step_";

/// How that of one that was found damaged begins.
const DAMAGED: &str = "damaged_";

/// The file that says what all others must be.
const STATE: &str = "state.json";

/// What a state of this version calls itself.
const FORMAT: &str = "pliant-training-1";

/// Bytes of a state, at most.
const LARGEST_STATE: u64 = 1 << 20;

/// The model folder in a checkpoint.
pub const MODEL: &str = "model";

/// The moments in a checkpoint.
pub const OPTIMIZER: &str = "optimizer.safetensors";

/// A checkpoint that is whole.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// Where the run was.
    pub state: State,
}

/// One that is not.
#[derive(Debug)]
pub struct Damaged {
    /// Where it lies now: aside.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Writes the checkpoint of `state` below `folder`; `fill` writes everything else that belongs to it into the folder that
/// it is given: [`MODEL`] and [`OPTIMIZER`] and whatever more.
///
/// # Errors
/// What the system says, and what `fill` fails with.
pub fn write(
    folder: &Path,
    state: &State,
    fill: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    fs::create_dir_all(folder).map_err(TrainError::io("make the folder", folder))?;
    let hidden = folder.join(format!("{HIDDEN}{}.partial", name(state.step)));
    remove(&hidden)?;
    fs::create_dir(&hidden).map_err(TrainError::io("make the folder", &hidden))?;
    point("checkpoint: folder made");
    let filled = fill(&hidden).and_then(|()| seal(&hidden, state));
    if let Err(error) = filled {
        // The write has failed already; that a rest may stay behind is the lesser trouble.
        let _ = remove(&hidden);
        return Err(error);
    }
    point("checkpoint: state written");
    let path = path_of(folder, state.step);
    // Only a run that went on from an earlier step comes here twice.
    discard(&path)?;
    fs::rename(&hidden, &path).map_err(TrainError::io("name", &path))?;
    sync_folder(folder);
    folder.parent().into_iter().for_each(sync_folder);
    point("checkpoint: named");
    Ok(())
}

/// Writes what the files must be.
fn seal(hidden: &Path, state: &State) -> anyhow::Result<()> {
    let listing = Listing::of(hidden)?;
    let body = json!({ "state": state, "files": listing });
    let digest = blake3::hash(body.to_string().as_bytes()).to_hex().to_string();
    let text = json!({
        "format": FORMAT, "version": env!("CARGO_PKG_VERSION"), "blake3": digest,
        "state": body["state"], "files": body["files"],
    });
    write_text(&hidden.join(STATE), &format!("{text:#}\n"))?;
    let entries = fs::read_dir(hidden).map_err(TrainError::io("read the folder", hidden))?;
    entries.flatten().filter(|entry| entry.path().is_dir()).for_each(|entry| sync_folder(&entry.path()));
    sync_folder(hidden);
    Ok(())
}

/// The newest checkpoint that is whole, and the damaged ones that are newer, which are put aside.
///
/// # Errors
/// What the system says, and [`TrainError::NoneWhole`] where there are checkpoints and all are damaged.
pub fn newest(folder: &Path) -> Result<(Option<Checkpoint>, Vec<Damaged>), TrainError> {
    let mut damaged: Vec<Damaged> = Vec::new();
    for (step, path) in steps(folder)?.into_iter().rev() {
        let reason = match verify(&path) {
            Ok(state) if state.step == step => {
                for Damaged { path, .. } in &mut damaged {
                    *path = put_aside(folder, path)?;
                }
                return Ok((Some(Checkpoint { path, state }), damaged));
            }
            Ok(state) => format!("is of step {}", state.step),
            Err(reason) => reason,
        };
        damaged.push(Damaged { path, reason });
    }
    match damaged.into_iter().next() {
        None => Ok((None, Vec::new())),
        Some(Damaged { path, reason }) => {
            let reason = format!("{} {reason}", path.display());
            Err(TrainError::NoneWhole { folder: folder.to_owned(), reason })
        }
    }
}

/// Gives a damaged checkpoint a name under which no run looks for it.
fn put_aside(folder: &Path, path: &Path) -> Result<PathBuf, TrainError> {
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = folder.join(format!("{DAMAGED}{own}"));
    remove(&aside)?;
    fs::rename(path, &aside).map_err(TrainError::io("rename", path))?;
    Ok(aside)
}

/// Removes all checkpoints but the `last` newest and the `best` that held-out sequences, looked at after the very same
/// step, say the best of; where they say it by two numbers, so many by each.
///
/// # Errors
/// What the system says.
pub fn prune(folder: &Path, last: usize, best: usize) -> Result<(), TrainError> {
    let all = steps(folder)?;
    let mut keep: Vec<u64> = all.iter().rev().take(last).map(|(step, _)| *step).collect();
    let looked_at = |(step, path): &(u64, PathBuf)| {
        let state = read(path).ok()?.0;
        state.held_out.filter(|held_out| held_out.step == *step)
    };
    let looks: Vec<HeldOut> = all.iter().filter_map(looked_at).collect();
    let by: [fn(&HeldOut) -> Option<f64>; 2] = [|look| Some(look.rank()), HeldOut::other_rank];
    for rank in by {
        let mut ranks: Vec<(f64, u64)> =
            looks.iter().filter_map(|look| Some((rank(look)?, look.step))).collect();
        ranks.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        keep.extend(ranks.into_iter().take(best).map(|(_, step)| step));
    }
    for (_, path) in all.iter().filter(|(step, _)| !keep.contains(step)) {
        discard(path)?;
    }
    Ok(())
}

/// Removes a checkpoint so that no moment sees a part of it.
fn discard(path: &Path) -> Result<(), TrainError> {
    if !path.exists() {
        return Ok(());
    }
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = path.with_file_name(format!("{HIDDEN}{own}.old"));
    remove(&hidden)?;
    fs::rename(path, &hidden).map_err(TrainError::io("rename", path))?;
    point("checkpoint: old one hidden");
    remove(&hidden)?;
    point("checkpoint: old one removed");
    Ok(())
}

/// The folder of the checkpoint of a step.
pub fn path_of(folder: &Path, step: u64) -> PathBuf {
    folder.join(name(step))
}

fn name(step: u64) -> String {
    format!("{PREFIX}{step:08}")
}

/// The checkpoints by their steps, in that order.
fn steps(folder: &Path) -> Result<Vec<(u64, PathBuf)>, TrainError> {
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(TrainError::io("read the folder", folder))?,
    };
    let mut steps = Vec::new();
    for entry in entries {
        let path = entry.map_err(TrainError::io("read the folder", folder))?.path();
        let own = path.file_name().unwrap_or_default().to_string_lossy();
        let step = own.strip_prefix(PREFIX).and_then(|step| step.parse().ok());
        if let Some(step) = step.filter(|step| own == name(*step)) {
            steps.push((step, path));
        }
    }
    steps.sort_unstable();
    Ok(steps)
}

/// The state of a checkpoint whose every byte is as it was written; else what is wrong.
fn verify(path: &Path) -> Result<State, String> {
    let (state, listing) = read(path)?;
    let found = Listing::of(path).map_err(|error| format!("cannot be read: {}", with_cause(&error)))?;
    listing.compare(&found)?;
    Ok(state)
}

fn with_cause(error: &TrainError) -> String {
    match error {
        TrainError::Io { source, .. } => format!("{error}: {source}"),
        other => other.to_string(),
    }
}

/// What a checkpoint says of itself; its files are not looked at.
fn read(path: &Path) -> Result<(State, Listing), String> {
    let file = path.join(STATE);
    let size = fs::metadata(&file).map_err(|error| format!("has no readable {STATE}: {error}"))?.len();
    if size > LARGEST_STATE {
        return Err(format!("has a {STATE} of {size} bytes, more than {LARGEST_STATE}"));
    }
    let text = fs::read_to_string(&file).map_err(|error| format!("has no readable {STATE}: {error}"))?;
    let refuse = |reason: &str| format!("has a {STATE} that {reason}");
    let mut value: Value =
        serde_json::from_str(&text).map_err(|error| refuse(&format!("is no JSON: {error}")))?;
    if value["format"] != FORMAT {
        return Err(refuse(&format!("is of format {}, wanted \"{FORMAT}\"", value["format"])));
    }
    let body = json!({ "state": value["state"].take(), "files": value["files"].take() });
    let digest = blake3::hash(body.to_string().as_bytes()).to_hex().to_string();
    if value["blake3"] != digest {
        return Err(refuse("is not as it was written: its digest differs"));
    }
    let wrong = |error: serde_json::Error| refuse(&format!("says something else than a state: {error}"));
    let state = serde_json::from_value(body["state"].clone()).map_err(wrong)?;
    Ok((state, serde_json::from_value(body["files"].clone()).map_err(wrong)?))
}

#[cfg(test)]
mod tests;
