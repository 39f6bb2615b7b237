//! `pliant pretrain`: a model learns to tell hidden residues, or what else sequences alone can teach.

mod account;
mod data;
mod drawing;

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use pliant_kernels::Device;
use pliant_nn::optim::Schedule;

use crate::cli::pretrain::PretrainPlan;
use crate::cli::print::Printer;
use crate::engine::{self, Group, Learner, LearnerSettings, Pupil};
use crate::tasks::files;
use crate::train::checkpoint::{self, Checkpoint, MODEL, OPTIMIZER, Origin, State};
use crate::train::config::{self, Beginning, ModelConfig, ObjectiveKind, TrainConfig};
use crate::train::folder::{CONFIG_FILE, RunFolder};
use crate::train::kill::point;
use crate::train::run::{Pace, Rhythm, Run};
use crate::train::{TrainError, result, resume};
use crate::{Context, device};
use account::Account;
use data::Data;
use drawing::Drawing;

/// Trains a model, from its beginning or from a checkpoint.
///
/// # Errors
/// Whatever ends it before its last step.
pub fn run(plan: &PretrainPlan, context: &Context) -> anyhow::Result<()> {
    let (begin, print) = (Instant::now(), &context.print);
    let Some(file) = &plan.config else { return Ok(print.data(&config::template())?) };
    let config = config::read(file, &plan.sets, &plan.changes)?;
    let Some(out) = plan.out.as_ref().filter(|_| !plan.print_config) else {
        return Ok(print.data(&config.to_toml())?);
    };
    let device = device::for_training(plan.device, plan.cpu_path, plan.threads, print)?;
    let folder = RunFolder::open(out, plan.resume)?;
    let newest = resume::newest(&folder, print)?;
    let model = beginning(&config.model)?;
    let pupil = pupil(&config, newest.as_ref(), &device)?;
    let learner = learner(&config, newest.as_ref(), &device, &pupil)?;
    let data = Data::read(&config, pupil.vocabulary())?;
    let mut session = Session::new(&config, &folder, (pupil, learner), data)?;
    let state = session.state(newest.map(|newest| newest.state), model)?;
    let before = state.step;
    let state = session.train(state, print)?;
    let account = Account { plan, config: &config, session: &session, state: &state, before, begin };
    result::publish(&folder, &checkpoint::path_of(&folder.checkpoints(), state.step), &account.training())?;
    if let Some(path) = &plan.summary {
        files::text_file(path, &account.summary(context)?)?.commit()?;
    }
    Ok(())
}

/// What learns: from its beginning, or as a checkpoint has it.
fn pupil(config: &TrainConfig, newest: Option<&Checkpoint>, device: &Device) -> anyhow::Result<Pupil> {
    let TrainConfig { model, objective, run, .. } = config;
    let place = (device, run.precision.into());
    let load = |folder: &Path| {
        let pupil = Pupil::load(folder, place)?;
        fits(&pupil, objective.kind)
            .with_context(|| format!("the model {} cannot be used", folder.display()))?;
        Ok(pupil)
    };
    match (newest, model.beginning()) {
        (Some(Checkpoint { path, .. }), _) => load(&path.join(MODEL)),
        (None, Beginning::Weights(model)) => load(&engine::card(model)?.folder),
        (None, Beginning::Random(config)) => {
            let pupil = Pupil::create(config, run.seed, place)?;
            fits(&pupil, objective.kind)?;
            Ok(pupil)
        }
    }
}

/// Tells whether the model can learn what it is to learn.
fn fits(pupil: &Pupil, objective: ObjectiveKind) -> anyhow::Result<()> {
    pupil.check_lm_head()?;
    match objective {
        ObjectiveKind::Mlm => Ok(()),
        ObjectiveKind::MlmSfp => Ok(pupil.model().check_pairs()?),
        ObjectiveKind::Bilm => Ok(pupil.model().check_unseen()?),
    }
}

/// How it learns.
fn learner(
    config: &TrainConfig,
    newest: Option<&Checkpoint>,
    device: &Device,
    pupil: &Pupil,
) -> anyhow::Result<Learner> {
    let TrainConfig { objective, optimizer, run, .. } = config;
    let settings = LearnerSettings {
        precision: run.precision.into(),
        optimizer: optimizer.settings(),
        recompute: run.recompute,
        seed: run.seed,
    };
    let pairs = objective.kind == ObjectiveKind::MlmSfp;
    let params = pupil.model().params_learning(pairs);
    let group = Group { prefix: "", params: &params, rate: 1.0, clip: optimizer.largest_norm() };
    let mut learner = Learner::new(device, settings, &[group])?;
    if let Some(Checkpoint { path, state }) = newest {
        learner.restore(&path.join(OPTIMIZER), state.step)?;
    }
    Ok(learner)
}

/// A digest of what the weights begin with.
fn beginning(model: &ModelConfig) -> anyhow::Result<String> {
    match model.beginning() {
        Beginning::Random(config) => {
            let text = std::fs::read(config).with_context(|| format!("cannot read {}", config.display()))?;
            Ok(blake3::hash(&text).to_hex().to_string())
        }
        Beginning::Weights(model) => engine::verify(&engine::card(model)?.folder),
    }
}

/// Everything that a run needs, read and checked.
struct Session<'a> {
    config: &'a TrainConfig,
    folder: &'a RunFolder,
    pupil: Pupil,
    learner: Learner,
    data: Data,
    drawing: Drawing,
    schedule: Schedule,
    /// Steps to be done.
    steps: u64,
}

impl<'a> Session<'a> {
    fn new(
        config: &'a TrainConfig,
        folder: &'a RunFolder,
        (pupil, learner): (Pupil, Learner),
        data: Data,
    ) -> anyhow::Result<Self> {
        let run = &config.run;
        let drawing = Drawing::new(config, &pupil, &data)?;
        let steps = match (run.steps, run.epochs) {
            (Some(steps), _) => steps,
            (None, epochs) => drawing.epoch_start(&data.train, epochs.unwrap_or(1))?.div_ceil(run.accumulate),
        };
        let schedule = config.schedule.over(steps).context("the schedule cannot be")?;
        Ok(Self { config, folder, pupil, learner, data, drawing, schedule, steps })
    }

    /// Where the run is, once what it goes on with is known to be what it began with.
    fn state(&self, newest: Option<State>, model: String) -> Result<State, TrainError> {
        let settings = self.config.binding().into_iter().map(|(key, value)| (key.to_owned(), value));
        let origin = Origin {
            settings: settings.collect(),
            model,
            train: self.data.train.digest(),
            held_out: self.data.held_out_digest(),
            schedule_end: self.config.schedule.end(self.steps),
            numerics: self.learner.device().numerics().to_owned(),
        };
        resume::state(self.folder, origin, newest, self.steps)
    }

    /// Does what is left to be done.
    fn train(&mut self, state: State, print: &Printer) -> anyhow::Result<State> {
        let Self { config, folder, pupil, learner, data, drawing, schedule, steps } = self;
        data.warnings.0.iter().for_each(|warning| print.warning(&warning.message));
        folder.write(CONFIG_FILE, &config.to_toml())?;
        point("run: configuration named");
        if !data.failures.is_empty() {
            files::failure_list(&folder.path().join("failures.tsv"), &data.failures)?.commit()?;
        }
        let progress = print.progress_from(state.step, *steps, "steps");
        let pace = Pace {
            folder,
            steps: *steps,
            accumulate: config.run.accumulate,
            learning_rate: config.optimizer.learning_rate,
            schedule: *schedule,
            checkpoint: &config.checkpoint,
            log_every: config.log.every_steps,
            examine: config.log.evaluate_every_steps.map_or(Rhythm::Never, Rhythm::Every),
            patience: None,
            minutes: config.run.minutes,
        };
        let mut course = drawing.course(config, (pupil, learner), data)?;
        let saved = state.step > 0;
        Run::new(pace, &mut *course, state, saved)?.finish(&progress)
    }
}

#[cfg(test)]
mod tests;
