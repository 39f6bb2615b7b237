//! `pliant pretrain`: a model learns to tell hidden residues.

mod account;
mod data;

use std::time::Instant;

use anyhow::Context as _;
use pliant_kernels::Device;
use pliant_nn::optim::{AdamWSettings, Schedule};
use pliant_seq::{MlmSettings, Sampler, SamplerSettings};

use crate::Context;
use crate::cli::pretrain::PretrainPlan;
use crate::cli::print::Printer;
use crate::engine::{self, Learner, LearnerSettings};
use crate::tasks::files;
use crate::tasks::run::device;
use crate::train::checkpoint::{self, Checkpoint, MODEL, OPTIMIZER, Origin, State};
use crate::train::config::{self, Beginning, ModelConfig, ScheduleKind, TrainConfig};
use crate::train::folder::{CONFIG_FILE, RunFolder};
use crate::train::kill::point;
use crate::train::run::{Parts, Run};
use crate::train::{TrainError, result};
use account::Account;
use data::Data;

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
    let device = device(plan.device, plan.cpu_path, plan.threads, print)?;
    let folder = RunFolder::open(out, plan.resume)?;
    let newest = newest(&folder, print)?;
    let model = beginning(&config.model)?;
    let learner = learner(&config, newest.as_ref(), &device)?;
    let data = Data::read(&config, learner.vocabulary())?;
    let mut session = Session::new(&config, &folder, learner, data)?;
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

/// The checkpoint to go on from.
fn newest(folder: &RunFolder, print: &Printer) -> Result<Option<Checkpoint>, TrainError> {
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

/// What learns: from its beginning, or as a checkpoint has it.
fn learner(config: &TrainConfig, newest: Option<&Checkpoint>, device: &Device) -> anyhow::Result<Learner> {
    let TrainConfig { model, optimizer, run, .. } = config;
    let settings = LearnerSettings {
        precision: run.precision.into(),
        optimizer: AdamWSettings {
            beta1: optimizer.beta1,
            beta2: optimizer.beta2,
            epsilon: optimizer.epsilon,
            weight_decay: optimizer.weight_decay,
        },
        clip: Some(optimizer.clip).filter(|clip| *clip > 0.0),
        recompute: run.recompute,
        seed: run.seed,
    };
    if let Some(Checkpoint { path, state }) = newest {
        let mut learner = Learner::load(&path.join(MODEL), device, settings)?;
        learner.restore(&path.join(OPTIMIZER), state.step)?;
        return Ok(learner);
    }
    match model.beginning() {
        Beginning::Random(config) => Learner::create(config, run.seed, device, settings),
        Beginning::Weights(model) => Learner::load(&engine::card(model)?.folder, device, settings),
    }
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
    learner: Learner,
    data: Data,
    sampler: Sampler,
    schedule: Schedule,
    /// Steps to be done.
    steps: u64,
    /// Step of the end of the schedule; 0 where it has none.
    schedule_end: u64,
}

impl<'a> Session<'a> {
    fn new(
        config: &'a TrainConfig,
        folder: &'a RunFolder,
        learner: Learner,
        data: Data,
    ) -> anyhow::Result<Self> {
        let TrainConfig { data: asked, masking, schedule, run, .. } = config;
        let masking = MlmSettings { choose: masking.choose, mask: masking.mask, random: masking.random };
        let settings =
            SamplerSettings { seed: run.seed, budget_tokens: run.budget_tokens, crop: asked.crop, masking };
        let sampler = Sampler::new(learner.vocabulary(), settings)?;
        let steps = match (run.steps, run.epochs) {
            (Some(steps), _) => steps,
            (None, epochs) => sampler.epoch_start(&data.train, epochs.unwrap_or(1)).div_ceil(run.accumulate),
        };
        let end = schedule.steps.unwrap_or(steps);
        let (warmup_steps, final_fraction) = (schedule.warmup_steps, schedule.final_fraction);
        let shape = match schedule.kind {
            ScheduleKind::Constant => Schedule::Constant { warmup_steps },
            ScheduleKind::Linear => Schedule::Linear { warmup_steps, steps: end, final_fraction },
            ScheduleKind::Cosine => Schedule::Cosine { warmup_steps, steps: end, final_fraction },
            ScheduleKind::CosineRestarts => {
                Schedule::CosineRestarts { warmup_steps, steps: end, final_fraction, cycles: schedule.cycles }
            }
        };
        shape.check().context("the schedule cannot be")?;
        let schedule_end = if schedule.kind == ScheduleKind::Constant { 0 } else { end };
        Ok(Self { config, folder, learner, data, sampler, schedule: shape, steps, schedule_end })
    }

    /// Where the run is, once what it goes on with is known to be what it began with.
    fn state(&self, newest: Option<State>, model: String) -> Result<State, TrainError> {
        let settings = self.config.binding().into_iter().map(|(key, value)| (key.to_owned(), value));
        let origin = Origin {
            settings: settings.collect(),
            model,
            train: self.data.train.digest(),
            held_out: self.data.held_out.as_ref().map(pliant_seq::Corpus::digest).unwrap_or_default(),
            schedule_end: self.schedule_end,
            numerics: self.learner.device().numerics().to_owned(),
        };
        let Some(state) = newest else { return Ok(State { origin, ..State::default() }) };
        let folder = || self.folder.path().to_owned();
        if let Some((what, found, wanted)) = origin.difference(&state.origin) {
            return Err(TrainError::Changed { folder: folder(), what, found, wanted });
        }
        if state.step > self.steps {
            return Err(TrainError::Beyond { folder: folder(), step: state.step, steps: self.steps });
        }
        Ok(state)
    }

    /// Does what is left to be done.
    fn train(&mut self, state: State, print: &Printer) -> anyhow::Result<State> {
        let Self { config, folder, learner, data, sampler, schedule, steps, .. } = self;
        data.warnings.0.iter().for_each(|warning| print.warning(&warning.message));
        folder.write(CONFIG_FILE, &config.to_toml())?;
        point("run: configuration named");
        if !data.failures.is_empty() {
            files::failure_list(&folder.path().join("failures.tsv"), &data.failures)?.commit()?;
        }
        let progress = print.progress_from(state.step, *steps, "steps");
        let parts = Parts {
            config,
            folder,
            learner,
            sampler,
            corpus: &data.train,
            held_out: data.evaluated.as_ref().or(data.held_out.as_ref()),
            schedule: *schedule,
            steps: *steps,
        };
        let saved = state.step > 0;
        Run::new(parts, state, saved)?.finish(&progress)
    }
}

#[cfg(test)]
mod tests;
