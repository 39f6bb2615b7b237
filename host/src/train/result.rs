//! The model folder that a run ends with.

use std::fs::File;
use std::io;
use std::path::Path;

use pliant_store::{Access, Action, AtomicFile, StoreError};

use super::TrainError;
use super::checkpoint::MODEL;
use super::folder::{RunFolder, write_text};
use super::kill::point;

/// What the training was.
pub const TRAINING_FILE: &str = "training.json";

/// Copies the model of a checkpoint into the folder of the run, with the account of the training beside it. Each file
/// appears whole, the configuration last: without it nobody takes the folder for a model.
///
/// # Errors
/// What the system says.
pub fn publish(folder: &RunFolder, checkpoint: &Path, training: &str) -> anyhow::Result<()> {
    point("result: begun");
    let (from, to) = (checkpoint.join(MODEL), folder.path());
    copy(&from.join("vocab.txt"), &to.join("vocab.txt"))?;
    point("result: vocab.txt named");
    copy(&from.join("model.safetensors"), &to.join("model.safetensors"))?;
    point("result: model.safetensors named");
    write_text(&to.join(TRAINING_FILE), training)?;
    point("result: training.json named");
    copy(&from.join("config.json"), &to.join("config.json"))?;
    point("result: config.json named");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut source = File::open(from).map_err(TrainError::io("read", from))?;
    let mut file = AtomicFile::create(to, Access::Stream)?;
    io::copy(&mut source, &mut file).map_err(|source| StoreError::io(Action::Write, to, source))?;
    Ok(file.commit()?)
}
