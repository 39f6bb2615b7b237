//! The loop: packs, steps, the log, held-out losses and checkpoints.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use pliant_nn::optim::Schedule;
use pliant_seq::{Corpus, Sampler, TrainingPack};
use serde_json::{Value, json};

use super::TrainError;
use super::checkpoint::{self, Exact, HeldOut, Interval, State};
use super::config::TrainConfig;
use super::folder::RunFolder;
use super::kill::point;
use super::log::Log;
use super::stop::Stop;
use crate::cli::print::Progress;
use crate::engine::{LearnError, Learner};

/// Sequences of a pack that an error names.
const NAMED_SEQUENCES: usize = 8;

/// What a run is made of.
pub struct Parts<'a> {
    /// What was asked for.
    pub config: &'a TrainConfig,
    /// Where it goes.
    pub folder: &'a RunFolder,
    /// What learns.
    pub learner: &'a mut Learner,
    /// What draws packs.
    pub sampler: &'a Sampler,
    /// What they are drawn from.
    pub corpus: &'a Corpus,
    /// What held-out losses are taken of.
    pub held_out: Option<&'a Corpus>,
    /// The learning rate over the steps.
    pub schedule: Schedule,
    /// Steps to be done.
    pub steps: u64,
}

/// A run on its way.
pub struct Run<'a> {
    parts: Parts<'a>,
    state: State,
    log: Log,
    stop: Stop,
    saved: Saved,
}

/// The last checkpoint of this process.
struct Saved {
    step: Option<u64>,
    at: Instant,
}

impl<'a> Run<'a> {
    /// A run at `state`, which is that of the newest checkpoint, where there is one.
    ///
    /// # Errors
    /// What the system says to the log.
    pub fn new(parts: Parts<'a>, state: State, saved: bool) -> anyhow::Result<Self> {
        let log = Log::open(&parts.folder.log(), state.step)?;
        let stop = Stop::new(parts.config.run.minutes)?;
        let saved = Saved { step: saved.then_some(state.step), at: Instant::now() };
        Ok(Self { parts, state, log, stop, saved })
    }

    /// Does the steps that are left; the last one has a checkpoint. Gives the state after it.
    ///
    /// # Errors
    /// [`TrainError::Stopped`] where a signal or the clock asked for it, [`TrainError::NotFinite`], and what the system or
    /// the device cannot do.
    pub fn finish(mut self, progress: &Progress) -> anyhow::Result<State> {
        let steps = self.parts.steps;
        while self.state.step < steps {
            let lesson = self.step()?;
            point("run: update done");
            progress.tell(lesson);
            progress.advance(1);
            let best = self.tell()?;
            let asked = self.stop.asked();
            if best || asked.is_some() || self.checkpoint_is_due() || self.state.step == steps {
                self.checkpoint()?;
            }
            if let Some(by) = asked.filter(|_| self.state.step < steps) {
                let (step, folder) = (self.state.step, self.parts.folder.path().to_owned());
                return Err(TrainError::Stopped { by, step, steps, folder }.into());
            }
        }
        // A run that was killed between the last checkpoint and the removal of those before it has kept them.
        self.prune()?;
        Ok(self.state)
    }

    fn prune(&self) -> Result<(), TrainError> {
        let config = &self.parts.config.checkpoint;
        checkpoint::prune(&self.parts.folder.checkpoints(), config.keep_last, config.keep_best)
    }

    /// One update of the weights, and what to say of it.
    fn step(&mut self) -> anyhow::Result<String> {
        let Parts { config, learner, sampler, corpus, schedule, .. } = &mut self.parts;
        let begin = Instant::now();
        let (step, accumulate) = (self.state.step, config.run.accumulate);
        let first = step * accumulate;
        let packs: Vec<TrainingPack> =
            (first..first + accumulate).map(|number| sampler.batch(corpus, number)).collect();
        let rate = config.optimizer.learning_rate * schedule.factor(step);
        let lesson =
            learner.learn(&packs, first, rate).map_err(|error| not_finite(error, step, first, &packs))?;
        let places: u64 = packs.iter().map(|pack| pack.places.len() as u64).sum();
        let tokens: u64 = packs.iter().map(|pack| pack.pack.tokens() as u64).sum();
        let spent = millis(begin.elapsed());
        let State { seen, interval, .. } = &mut self.state;
        seen.tokens += tokens;
        seen.residues += packs.iter().map(TrainingPack::residues).sum::<u64>();
        seen.epoch = packs.last().map_or(seen.epoch, |pack| pack.epoch);
        interval.steps += 1;
        interval.tokens += tokens;
        interval.places += places;
        interval.losses.0 += lesson.loss * places as f64;
        interval.norms.0 += lesson.gradient_norm;
        interval.milliseconds += spent;
        self.state.milliseconds += spent;
        self.state.step += 1;
        let speed = per_second(tokens, spent);
        Ok(format!("loss {:.4}, {speed:.0} tokens a second", lesson.loss))
    }

    /// Writes what this step has to say. Tells whether its held-out loss is the least so far.
    fn tell(&mut self) -> anyhow::Result<bool> {
        let Parts { config, steps, held_out, .. } = self.parts;
        let (step, log) = (self.state.step, &config.log);
        let last = step == steps;
        if last || step.is_multiple_of(log.every_steps) {
            let line = self.line();
            self.log.push(&line)?;
            self.state.interval = Interval::default();
        }
        let asked = log.evaluate_every_steps.is_some_and(|every| step.is_multiple_of(every));
        match held_out {
            Some(corpus) if last || asked => self.evaluate(corpus),
            _ => Ok(false),
        }
    }

    /// The line of the interval that ends with this step.
    fn line(&mut self) -> Value {
        let Parts { config, schedule, .. } = &self.parts;
        let State { step, seen, interval, milliseconds, loss, .. } = &mut self.state;
        let mean = interval.losses.0 / interval.places as f64;
        *loss = Some(Exact(mean));
        json!({
            "kind": "train",
            "step": step,
            "epoch": seen.epoch,
            "tokens": seen.tokens,
            "residues": seen.residues,
            "loss": mean,
            "learning_rate": config.optimizer.learning_rate * schedule.factor(*step - 1),
            "gradient_norm": interval.norms.0 / interval.steps as f64,
            "tokens_per_second": per_second(interval.tokens, interval.milliseconds).round(),
            "seconds": *milliseconds as f64 / 1000.0,
        })
    }

    fn evaluate(&mut self, corpus: &Corpus) -> anyhow::Result<bool> {
        let Parts { learner, sampler, .. } = &self.parts;
        let found = learner.evaluate(sampler.evaluation_packs(corpus)).context("evaluating")?;
        let State { step, seen, milliseconds, held_out, best, .. } = &mut self.state;
        if !found.loss.is_finite() {
            return Err(TrainError::HeldOutNotFinite { step: *step, value: found.loss }.into());
        }
        let now = HeldOut { step: *step, loss: Exact(found.loss), masked_loss: found.masked_loss.map(Exact) };
        *held_out = Some(now);
        let is_best = best.is_none_or(|best| found.loss < best.loss.0);
        if is_best {
            *best = Some(now);
        }
        let line = json!({
            "kind": "held_out",
            "step": step,
            "epoch": seen.epoch,
            "tokens": seen.tokens,
            "residues": seen.residues,
            "held_out_loss": found.loss,
            "held_out_masked_loss": found.masked_loss,
            "seconds": *milliseconds as f64 / 1000.0,
        });
        self.log.push(&line)?;
        Ok(is_best && self.parts.config.checkpoint.keep_best > 0)
    }

    fn checkpoint_is_due(&self) -> bool {
        let config = &self.parts.config.checkpoint;
        let by_steps = config.every_steps.is_some_and(|every| self.state.step.is_multiple_of(every));
        by_steps || self.saved.at.elapsed().as_secs_f64() >= 60.0 * config.every_minutes
    }

    fn checkpoint(&mut self) -> anyhow::Result<()> {
        let step = self.state.step;
        if self.saved.step != Some(step) {
            let folder = self.parts.folder.checkpoints();
            self.log.sync()?;
            let learner = &self.parts.learner;
            let fill = |model: &Path, moments: &Path| {
                learner.save_model(model)?;
                point("checkpoint: model written");
                learner.save_moments(moments)?;
                point("checkpoint: moments written");
                Ok(())
            };
            checkpoint::write(&folder, &self.state, fill)
                .with_context(|| format!("writing the checkpoint of step {step}"))?;
            self.prune()?;
        }
        self.saved = Saved { step: Some(step), at: Instant::now() };
        Ok(())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn per_second(count: u64, milliseconds: u64) -> f64 {
    count as f64 * 1000.0 / milliseconds.max(1) as f64
}

/// Says where a loss or a gradient was no number.
fn not_finite(error: LearnError, step: u64, first: u64, packs: &[TrainingPack]) -> anyhow::Error {
    let (what, concerned) = match &error {
        LearnError::Other(_) => return anyhow::Error::from(error).context(format!("step {}", step + 1)),
        LearnError::Loss { pack, value } => (format!("the loss ({value})"), *pack..*pack + 1),
        LearnError::Gradient(gradient) => (gradient.to_string(), 0..packs.len()),
    };
    let end = first + concerned.end as u64 - 1;
    let begin = first + concerned.start as u64;
    let pack = if begin == end { format!("{begin}") } else { format!("{begin} to {end}") };
    let numbers: Vec<u64> = packs[concerned].iter().flat_map(|pack| pack.pack.rows.iter().copied()).collect();
    let shown: Vec<String> = numbers.iter().take(NAMED_SEQUENCES).map(u64::to_string).collect();
    let more = numbers.len().saturating_sub(NAMED_SEQUENCES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let records = format!("the training sequences {}{more}, counted from 0", shown.join(", "));
    TrainError::NotFinite { step: step + 1, what, pack, records }.into()
}
