//! The loop: steps, the log, looks at held-out sequences, and checkpoints.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use pliant_nn::optim::Schedule;
use serde_json::{Map, Value, json};

use super::TrainError;
use super::checkpoint::{self, Exact, HeldOut, Interval, State};
use super::config::CheckpointConfig;
use super::course::{Course, Findings, MASKED_LOSS, Told};
use super::folder::RunFolder;
use super::kill::point;
use super::log::Log;
use super::stop::Stop;
use crate::cli::print::Progress;
use crate::engine::LearnError;

/// Sequences of a pack that an error names.
const NAMED_SEQUENCES: usize = 8;

/// How a run goes, whatever is learnt in it.
#[derive(Debug, Clone)]
pub struct Pace<'a> {
    /// Where it goes.
    pub folder: &'a RunFolder,
    /// Steps to be done.
    pub steps: u64,
    /// Packs of a step.
    pub accumulate: u64,
    /// Peak of the schedule.
    pub learning_rate: f64,
    /// The learning rate over the steps.
    pub schedule: Schedule,
    /// What is kept on the way.
    pub checkpoint: &'a CheckpointConfig,
    /// Steps of a line of the log.
    pub log_every: u64,
    /// After which steps held-out sequences are looked at; after the last one they are in any case.
    pub examine: Rhythm,
    /// Looks at held-out sequences without a better one than before after which the run is over; `None`: it never is.
    pub patience: Option<u64>,
    /// Time after which it stops, to go on later.
    pub minutes: Option<f64>,
}

/// After which steps something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rhythm {
    /// None.
    Never,
    /// Multiples of a number.
    Every(u64),
    /// These, ascending: ends of epochs are not equally far apart.
    At(Vec<u64>),
}

impl Rhythm {
    fn falls_on(&self, step: u64) -> bool {
        match self {
            Self::Never => false,
            Self::Every(every) => step.is_multiple_of(*every),
            Self::At(steps) => steps.binary_search(&step).is_ok(),
        }
    }
}

/// A run on its way.
pub struct Run<'a> {
    pace: Pace<'a>,
    course: &'a mut dyn Course,
    state: State,
    log: Log,
    stop: Stop,
    saved: Saved,
    /// Time of steps that is no whole thousandth of a second yet: small steps take less than one.
    rest: Duration,
}

/// The last checkpoint of this process.
struct Saved {
    step: Option<u64>,
    at: Instant,
}

impl<'a> Run<'a> {
    /// A run of `course` at `state`, which is that of the newest checkpoint, where there is one.
    ///
    /// # Errors
    /// What the system says to the log.
    pub fn new(
        pace: Pace<'a>,
        course: &'a mut dyn Course,
        state: State,
        saved: bool,
    ) -> anyhow::Result<Self> {
        let log = Log::open(&pace.folder.log(), state.step)?;
        let stop = Stop::new(pace.minutes)?;
        let saved = Saved { step: saved.then_some(state.step), at: Instant::now() };
        Ok(Self { pace, course, state, log, stop, saved, rest: Duration::ZERO })
    }

    /// Does the steps that are left; the last one has a checkpoint. Gives the state after it.
    ///
    /// # Errors
    /// [`TrainError::Stopped`] where a signal or the clock asked for it, [`TrainError::NotFinite`], and what the system or
    /// the device cannot do.
    pub fn finish(mut self, progress: &Progress) -> anyhow::Result<State> {
        while !self.is_over() {
            let lesson = self.step()?;
            point("run: update done");
            progress.tell(lesson);
            progress.advance(1);
            let best = self.tell()?;
            let (asked, over) = (self.stop.asked(), self.is_over());
            if best || asked.is_some() || self.checkpoint_is_due() || over {
                self.checkpoint()?;
            }
            if let Some(by) = asked.filter(|_| !over) {
                let (step, steps, folder) =
                    (self.state.step, self.pace.steps, self.pace.folder.path().to_owned());
                return Err(TrainError::Stopped { by, step, steps, folder }.into());
            }
        }
        // A run that was killed between the last checkpoint and the removal of those before it has kept them.
        self.prune()?;
        Ok(self.state)
    }

    /// Whether all steps are done, or nothing better is to be hoped for.
    fn is_over(&self) -> bool {
        let tired = self.pace.patience.is_some_and(|patience| self.state.waited >= patience);
        self.state.step >= self.pace.steps || tired
    }

    fn prune(&self) -> Result<(), TrainError> {
        let config = &self.pace.checkpoint;
        checkpoint::prune(&self.pace.folder.checkpoints(), config.keep_last, config.keep_best)
    }

    /// One update of the weights, and what to say of it.
    fn step(&mut self) -> anyhow::Result<String> {
        let begin = Instant::now();
        let (step, accumulate) = (self.state.step, self.pace.accumulate);
        let packs = step * accumulate..(step + 1) * accumulate;
        let rate = self.pace.learning_rate * self.pace.schedule.factor(step);
        let told = match self.course.learn(packs.clone(), rate) {
            Ok(told) => told,
            Err(error) => return Err(not_finite(error, step, packs, self.course)),
        };
        let took = self.rest + begin.elapsed();
        let spent = millis(took);
        self.rest = took - Duration::from_millis(spent);
        let State { seen, interval, .. } = &mut self.state;
        seen.tokens += told.tokens;
        seen.residues += told.residues;
        seen.epoch = told.epoch;
        add(interval, &told, spent);
        self.state.milliseconds += spent;
        self.state.step += 1;
        let speed = per_second(told.tokens, spent);
        Ok(format!("loss {:.4}, {speed:.0} tokens a second", told.loss))
    }

    /// Writes what this step has to say. Tells whether held-out sequences say that it is the best so far, and its
    /// checkpoint is to be kept for that.
    fn tell(&mut self) -> anyhow::Result<bool> {
        let step = self.state.step;
        let last = step == self.pace.steps;
        if last || step.is_multiple_of(self.pace.log_every) {
            self.close_interval()?;
        }
        let best = if last || self.pace.examine.falls_on(step) { self.examine()? } else { false };
        if self.is_over() && self.state.interval.steps > 0 {
            self.close_interval()?;
        }
        Ok(best)
    }

    fn close_interval(&mut self) -> Result<(), TrainError> {
        let line = self.line();
        self.log.push(&line)?;
        self.state.interval = Interval::default();
        Ok(())
    }

    /// The line of the interval that ends with this step.
    fn line(&mut self) -> Value {
        let State { step, interval, milliseconds, loss, .. } = &mut self.state;
        let mean = interval.losses.0 / interval.places as f64;
        *loss = Some(Exact(mean));
        let rate = self.pace.learning_rate * self.pace.schedule.factor(*step - 1);
        let mut numbers = vec![("loss".to_owned(), json!(mean))];
        for (name, part) in &interval.parts {
            let mean = (part.count > 0).then(|| part.sum.0 / part.count as f64);
            numbers.push((name.clone(), json!(mean)));
        }
        numbers.extend([
            ("learning_rate".to_owned(), json!(rate)),
            ("gradient_norm".to_owned(), json!(interval.norms.0 / interval.steps as f64)),
            (
                "tokens_per_second".to_owned(),
                json!(per_second(interval.tokens, interval.milliseconds).round()),
            ),
            ("seconds".to_owned(), json!(*milliseconds as f64 / 1000.0)),
        ]);
        self.line_of("train", numbers)
    }

    /// A line of the log: where the run is, then `numbers`.
    fn line_of(&self, kind: &str, numbers: impl IntoIterator<Item = (String, Value)>) -> Value {
        let State { step, seen, .. } = &self.state;
        let place = [
            ("kind", json!(kind)),
            ("step", json!(step)),
            ("epoch", json!(seen.epoch)),
            ("tokens", json!(seen.tokens)),
            ("residues", json!(seen.residues)),
        ];
        let place = place.into_iter().map(|(name, value)| (name.to_owned(), value));
        Value::Object(place.chain(numbers).collect::<Map<_, _>>())
    }

    fn examine(&mut self) -> anyhow::Result<bool> {
        let Some(found) = self.course.examine().context("evaluating")? else { return Ok(false) };
        let step = self.state.step;
        if !found.loss.is_finite() {
            return Err(TrainError::HeldOutNotFinite { step, value: found.loss }.into());
        }
        let mut numbers = vec![("held_out_loss".to_owned(), json!(found.loss))];
        numbers.extend(found.parts.iter().map(|(name, value)| (name.to_string(), json!(value))));
        numbers.push(("seconds".to_owned(), json!(self.state.milliseconds as f64 / 1000.0)));
        numbers.extend(self.course.beside().into_iter().map(|(name, value)| (name.to_owned(), value)));
        let now = held_out(step, found);
        let is_best = self.state.best.as_ref().is_none_or(|best| now.rank() < best.rank());
        if is_best {
            self.state.best = Some(now.clone());
        }
        let known = self.state.other.as_ref().and_then(HeldOut::other_rank);
        let is_other = now.other_rank().is_some_and(|rank| known.is_none_or(|known| rank < known));
        if is_other {
            self.state.other = Some(now.clone());
        }
        if self.pace.patience.is_some() {
            self.state.waited = if is_best { 0 } else { self.state.waited + 1 };
        }
        self.state.held_out = Some(now);
        let line = self.line_of("held_out", numbers);
        self.log.push(&line)?;
        Ok((is_best || is_other) && self.pace.checkpoint.keep_best > 0)
    }

    fn checkpoint_is_due(&self) -> bool {
        let config = &self.pace.checkpoint;
        let by_steps = config.every_steps.is_some_and(|every| self.state.step.is_multiple_of(every));
        by_steps || self.saved.at.elapsed().as_secs_f64() >= 60.0 * config.every_minutes
    }

    fn checkpoint(&mut self) -> anyhow::Result<()> {
        let step = self.state.step;
        if self.saved.step != Some(step) {
            let folder = self.pace.folder.checkpoints();
            self.log.sync()?;
            checkpoint::write(&folder, &self.state, |folder| self.course.save(folder))
                .with_context(|| format!("writing the checkpoint of step {step}"))?;
            self.prune()?;
        }
        self.saved = Saved { step: Some(step), at: Instant::now() };
        Ok(())
    }
}

/// Adds a step to the interval.
fn add(interval: &mut Interval, told: &Told, milliseconds: u64) {
    interval.steps += 1;
    interval.tokens += told.tokens;
    interval.places += told.places;
    interval.losses.0 += told.loss * told.places as f64;
    interval.norms.0 += told.gradient_norm;
    interval.milliseconds += milliseconds;
    for part in &told.parts {
        let sum = interval.parts.entry(part.name.to_owned()).or_default();
        sum.sum.0 += part.sum;
        sum.count += part.count;
    }
}

/// What a state keeps of an examination.
fn held_out(step: u64, found: Findings) -> HeldOut {
    let mut parts = found.parts;
    let masked = parts.iter().position(|(name, _)| *name == MASKED_LOSS);
    let masked_loss = masked.and_then(|place| parts.remove(place).1).map(Exact);
    let parts = parts.into_iter().map(|(name, value)| (name.into_owned(), value.map(Exact))).collect();
    let [rank, other] = [found.rank, found.other].map(|number| number.map(Exact));
    HeldOut { step, loss: Exact(found.loss), masked_loss, parts, rank, other }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn per_second(count: u64, milliseconds: u64) -> f64 {
    count as f64 * 1000.0 / milliseconds.max(1) as f64
}

/// Says where a loss or a gradient was no number.
fn not_finite(error: LearnError, step: u64, packs: Range<u64>, course: &dyn Course) -> anyhow::Error {
    let (what, concerned) = match &error {
        LearnError::Other(_) => return anyhow::Error::from(error).context(format!("step {}", step + 1)),
        LearnError::Loss { pack, value } => {
            let pack = packs.start + *pack as u64;
            (format!("the loss ({value})"), pack..pack + 1)
        }
        LearnError::Gradient(gradient) => (gradient.to_string(), packs),
    };
    let (begin, end) = (concerned.start, concerned.end - 1);
    let pack = if begin == end { format!("{begin}") } else { format!("{begin} to {end}") };
    let numbers: Vec<u64> = concerned.flat_map(|pack| course.sequences(pack)).collect();
    let shown: Vec<String> = numbers.iter().take(NAMED_SEQUENCES).map(u64::to_string).collect();
    let more = numbers.len().saturating_sub(NAMED_SEQUENCES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let records = format!("the training sequences {}{more}, counted from 0", shown.join(", "));
    TrainError::NotFinite { step: step + 1, what, pack, records }.into()
}

#[cfg(test)]
mod tests;
