//! Where a run begins: at its beginning, or at its newest checkpoint.

use super::TrainError;
use super::checkpoint::{self, Checkpoint, Origin, State};
use super::folder::RunFolder;
use crate::cli::print::Printer;

/// The checkpoint to go on from, where there is one; damaged ones are put aside and told.
///
/// # Errors
/// As [`checkpoint::newest`].
pub fn newest(folder: &RunFolder, print: &Printer) -> Result<Option<Checkpoint>, TrainError> {
    let (newest, damaged) = checkpoint::newest(&folder.checkpoints())?;
    for damaged in damaged {
        let (path, reason) = (damaged.path.display(), damaged.reason);
        print.warning(&format!("a checkpoint is damaged and was put aside as {path}: it {reason}"));
    }
    if let Some(Checkpoint { path, state }) = &newest {
        print.note(&format!("going on after step {} from {}", state.step, path.display()));
    }
    Ok(newest)
}

/// Where a run of `steps` steps is, once what it goes on with is known to be what it began with.
///
/// # Errors
/// [`TrainError::Changed`] and [`TrainError::Beyond`].
pub fn state(
    folder: &RunFolder,
    origin: Origin,
    newest: Option<State>,
    steps: u64,
) -> Result<State, TrainError> {
    let Some(state) = newest else { return Ok(State { origin, ..State::default() }) };
    let folder = || folder.path().to_owned();
    if let Some((what, found, wanted)) = origin.difference(&state.origin) {
        return Err(TrainError::Changed { folder: folder(), what, found, wanted });
    }
    if state.step > steps {
        return Err(TrainError::Beyond { folder: folder(), step: state.step, steps });
    }
    Ok(state)
}
