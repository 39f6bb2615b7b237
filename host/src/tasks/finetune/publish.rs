//! The folder of a head that a run ends with.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use pliant_models::adapter::ADAPTER_FILES;
use pliant_store::{Access, Action, AtomicFile, StoreError};
use serde_json::{Value, json};

use super::account::Account;
use crate::engine;
use crate::supervised::card::{
    ADAPTER_FOLDER, CARD_FILE, ENCODER_FOLDER, EncoderCard, FORMAT, HeadCard, LabelsCard, WEIGHTS_FILE,
    digest,
};
use crate::supervised::registry::Task;
use crate::tasks::files::{self, make_folder};
use crate::train::TrainError;
use crate::train::checkpoint::{MODEL, path_of};
use crate::train::course::labels::HEAD;
use crate::train::folder::{RunFolder, remove};
use crate::train::kill::point;
use crate::train::result::TRAINING_FILE;
use crate::train::tuning::EncoderTuning;

/// The head that was best, in the folder of the run; and the one that was best by what did not rank, the loss or the main
/// measure, in a folder within it, where that is another one.
///
/// # Errors
/// What the system says.
pub(super) fn publish(folder: &RunFolder, account: &Account<'_>, task: &'static Task) -> anyhow::Result<()> {
    let state = &account.outcome.state;
    let best = state.best.as_ref().map_or(state.step, |best| best.step);
    let at = |step| path_of(&folder.checkpoints(), step);
    let beside = folder.path().join(account.other_name());
    match state.other.as_ref().map(|other| other.step).filter(|&step| step != best) {
        Some(step) => {
            make_folder(&beside)?;
            put(&beside, &at(step), (account, step), task)?;
        }
        // That of a training that was over before it went on.
        None => remove(&beside)?,
    }
    put(folder.path(), &at(best), (account, best), task)
}

/// Copies the head of a checkpoint, and the encoder where it learnt, into a folder. Each file appears whole, the description
/// of the head last: without it nobody takes the folder for a head.
///
/// # Errors
/// What the system says.
fn put(
    to: &Path,
    checkpoint: &Path,
    (account, step): (&Account<'_>, u64),
    task: &'static Task,
) -> anyhow::Result<()> {
    point("result: begun");
    let mut encoder = account.encoder();
    if encoder.inside {
        let (from, to) = (checkpoint.join(MODEL), to.join(ENCODER_FOLDER));
        make_folder(&to)?;
        for name in ["vocab.txt", "model.safetensors", "config.json"] {
            copy(&from.join(name), &to.join(name))?;
        }
        encoder.identity = engine::verify(&to)?;
    }
    if account.outcome.encoder.adapts {
        encoder.adapter = Some(adapter(account, checkpoint, to)?);
    }
    copy(&checkpoint.join(HEAD), &to.join(WEIGHTS_FILE))?;
    point("result: model.safetensors named");
    let mut training = account.training();
    training["head_step"] = json!(step);
    files::text_file(&to.join(TRAINING_FILE), &format!("{training:#}\n"))?.commit()?;
    point("result: training.json named");
    let card = card(account, task, encoder, digest(&to.join(WEIGHTS_FILE))?, training)?;
    files::text_file(&to.join(CARD_FILE), &card)?.commit()?;
    point("result: config.json named");
    Ok(())
}

/// Copies the adapter that learnt, or that was given, and gives its identity.
fn adapter(account: &Account<'_>, checkpoint: &Path, to: &Path) -> anyhow::Result<String> {
    let config = account.work.config;
    let learnt = checkpoint.join(ADAPTER_FOLDER);
    let from = if config.tuning.encoder == EncoderTuning::Lora {
        Some(&learnt)
    } else {
        config.tuning.adapter.as_ref()
    };
    let from = from.context("an adapter without a folder")?;
    let to = to.join(ADAPTER_FOLDER);
    make_folder(&to)?;
    let model = config.model.init.as_deref().context("an adapter without a model")?;
    for name in ADAPTER_FILES {
        if from.join(name).is_file() {
            copy(&from.join(name), &to.join(name))?;
        }
    }
    let card = engine::adapted_card(model, Some(&to))?;
    Ok(card.adapter_identity().unwrap_or_default().to_owned())
}

/// What the head says of itself.
fn card(
    account: &Account<'_>,
    task: &'static Task,
    encoder: EncoderCard,
    weights: String,
    training: Value,
) -> anyhow::Result<String> {
    let mut reader = account.work.config.data.form.clone();
    // Files of this machine are none of the head's business.
    (reader.proteins, reader.wild_type) = (None, None);
    let card = HeadCard {
        format: FORMAT.to_owned(),
        task: task.name.to_owned(),
        labels: LabelsCard::of(&account.examples.train),
        head: account.outcome.head.clone(),
        encoder,
        reader,
        weights,
        training,
    };
    Ok(format!("{}\n", serde_json::to_string_pretty(&card)?))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut source = fs::File::open(from).map_err(|source| TrainError::Io {
        action: "read",
        path: from.to_owned(),
        source,
    })?;
    let mut file = AtomicFile::create(to, Access::Stream)?;
    std::io::copy(&mut source, &mut file).map_err(|source| StoreError::io(Action::Write, to, source))?;
    Ok(file.commit()?)
}
