//! Labels of proteins, residues and pairs, by a head on an encoder that learns with it or does not.

mod standard;

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use pliant_kernels::{Device, Precision};
use pliant_models::ModelError;
use pliant_models::heads::{Given, HeadKind, LoadedHead, Pooling};
use pliant_seq::tables::{LabelledSet, Members};
use pliant_seq::{
    Masked, MlmSettings, Pack, Replacement, Rounding, Sampler, SamplerSettings, Tokens, epoch_order,
    plan_packs,
};
use pliant_tensor::ops::{add, cross_entropy_over, gather_rows, gradient_squares, scale};
use pliant_tensor::{Ids, Param, Tape, Tensor};
use serde_json::{Value, json};

use super::{Course, Findings, Part, Told};
use crate::engine::{LearnError, Learner, Pupil};
use crate::machine;
use crate::supervised::card::ADAPTER_FOLDER;
use crate::supervised::stored::Stored;
use crate::supervised::targets::Targets;
use crate::train::TrainError;
use crate::train::checkpoint::{MODEL, OPTIMIZER};
use crate::train::kill::point;

/// The weights of the head in a checkpoint.
pub const HEAD: &str = "head.safetensors";

/// Packs of a step that have random numbers of their own.
const PACKS_OF_A_STEP: u64 = 1 << 10;

/// Where states come from.
pub enum States<'a> {
    /// They were computed once and for all: pooled, unless residues are asked about.
    Stored {
        /// Of the sequences that are learnt from.
        train: &'a Stored,
        /// Of those kept apart.
        held_out: Option<&'a Stored>,
    },
    /// An encoder that learns.
    Pupil {
        /// The encoder.
        pupil: &'a Pupil,
        /// The layer that the head reads.
        layer: usize,
        /// States of a layer below which nothing learns, which need not be computed again.
        prefix: Option<Prefix<'a>>,
    },
}

/// States of all tokens of a layer that never change.
#[derive(Clone, Copy)]
pub struct Prefix<'a> {
    /// The layer.
    pub layer: usize,
    /// Of the sequences that are learnt from.
    pub train: &'a Stored,
    /// Of those kept apart.
    pub held_out: Option<&'a Stored>,
}

/// Numbers by which a step is made.
#[derive(Debug, Clone, Copy)]
pub struct Batches {
    /// Examples of a step.
    pub examples: usize,
    /// Examples of an epoch, at most.
    pub of_epoch: usize,
    /// Tokens of a pack.
    pub budget_tokens: usize,
    /// The seed of the order.
    pub seed: u64,
}

/// Hidden residues beside the task.
#[derive(Debug, Clone, Copy)]
pub struct Beside {
    /// Weight of the loss of the task.
    pub task: f64,
    /// Weight of that of hidden residues; 0 hides none.
    pub mlm: f64,
    /// How they are hidden.
    pub masking: MlmSettings,
    /// How many.
    pub rounding: Rounding,
}

/// What is asked, and how what is answered is to be judged.
pub struct Lecture<'a> {
    /// The head.
    pub head: &'a LoadedHead,
    /// What it is asked about.
    pub kind: HeadKind,
    /// How it pools.
    pub pooling: Pooling,
    /// Whether it reads the states of all residues.
    pub reads_states: bool,
    /// What it reads.
    pub states: States<'a>,
    /// Labels that are learnt.
    pub train: Targets<'a>,
    /// Labels that are kept apart.
    pub held_out: Option<Targets<'a>>,
    /// How steps are made.
    pub batches: Batches,
    /// What else is learnt.
    pub beside: Beside,
    /// Examples with a label that counts: [`usable`].
    pub usable: Vec<usize>,
    /// The order of the epoch that was asked for last. It saves time and changes nothing.
    pub order: RefCell<Option<(u64, Vec<usize>)>>,
}

/// The examples with a label that counts.
///
/// # Errors
/// None at all.
pub fn usable(targets: &Targets<'_>) -> anyhow::Result<Vec<usize>> {
    let usable: Vec<usize> = (0..targets.set.len()).filter(|&example| targets.places(example) > 0).collect();
    anyhow::ensure!(!usable.is_empty(), "no example to learn from has a label that counts");
    Ok(usable)
}

/// Which of the two sets is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Train,
    HeldOut,
}

/// Losses of a pack.
struct Losses {
    task: Tensor,
    mlm: Option<Tensor>,
}

/// What is kept of the tokens of a batch.
struct Shown {
    tokens: Tokens,
    places: Vec<usize>,
    targets: Vec<u32>,
}

impl<'a> Lecture<'a> {
    /// Steps of an epoch.
    pub fn steps(&self) -> u64 {
        self.batches.of_epoch.min(self.usable.len()).div_ceil(self.batches.examples) as u64
    }

    /// The epoch of a step, and the examples of it.
    fn batch(&self, step: u64) -> (u64, Vec<usize>) {
        let (epoch, place) = (step / self.steps(), (step % self.steps()) as usize);
        let mut order = self.order.borrow_mut();
        let known = order.as_ref().is_some_and(|(known, _)| *known == epoch);
        if !known {
            let mut drawn = epoch_order(self.batches.seed, epoch, self.usable.len());
            drawn.truncate(self.batches.of_epoch);
            *order = Some((epoch, drawn));
        }
        let order = order.as_ref().map(|(_, order)| order.as_slice()).unwrap_or_default();
        let from = place * self.batches.examples;
        let to = (from + self.batches.examples).min(order.len());
        (epoch, order[from..to].iter().map(|&number| self.usable[number]).collect())
    }

    fn targets(&self, side: Side) -> &Targets<'a> {
        match (side, &self.held_out) {
            (Side::HeldOut, Some(held_out)) => held_out,
            _ => &self.train,
        }
    }

    /// Cuts examples into packs of the budget; where every sequence is one vector by now, `by_vectors`.
    fn packs(&self, side: Side, examples: &[usize], by_vectors: bool) -> Vec<Vec<usize>> {
        let targets = self.targets(side);
        let stored_vectors = matches!(self.states, States::Stored { .. }) && !self.reads_states;
        let tokens = |&example: &usize| -> usize {
            let members = targets.set.members(example).into_iter();
            if stored_vectors || by_vectors {
                1
            } else {
                members.map(|sequence| targets.length(sequence) + 2).sum()
            }
        };
        let packs = plan_packs(examples.iter().map(tokens), self.batches.budget_tokens);
        packs.into_iter().map(|pack| pack.into_iter().map(|place| examples[place]).collect()).collect()
    }

    /// The sequences of examples, of pairs all first ones before all second ones.
    fn sequences(&self, side: Side, examples: &[usize]) -> Vec<usize> {
        let set = self.targets(side).set;
        let member = |place: usize| {
            move |&example: &usize| match set.members(example) {
                Members::One(sequence) => sequence,
                Members::Two(both) => both[place],
            }
        };
        let first = examples.iter().map(member(0));
        if set.are_pairs() { first.chain(examples.iter().map(member(1))).collect() } else { first.collect() }
    }

    /// Numbers `[·,N]` of examples without anything hidden.
    fn answers(&self, tape: &Tape, side: Side, examples: &[usize]) -> anyhow::Result<Tensor> {
        self.made(tape, (side, examples), |given| self.head.forward(tape, given))
    }

    /// What `make` makes of what the head is given of examples.
    fn made(
        &self,
        tape: &Tape,
        (side, examples): (Side, &[usize]),
        make: impl Fn(Given<'_>) -> Result<Tensor, ModelError>,
    ) -> anyhow::Result<Tensor> {
        let sequences = self.sequences(side, examples);
        match &self.states {
            States::Stored { train, held_out } => {
                let stored = if side == Side::HeldOut { held_out.unwrap_or(train) } else { train };
                self.of_stored(tape, stored, &sequences, make)
            }
            States::Pupil { .. } => {
                let (states, pack) = self.states(tape, side, &sequences)?;
                Ok(make(Given::States(&states, &self.spans(&pack)))?)
            }
        }
    }

    /// The states of all tokens of sequences by an encoder that learns, and their pack.
    fn states(&self, tape: &Tape, side: Side, sequences: &[usize]) -> anyhow::Result<(Tensor, Pack)> {
        let States::Pupil { pupil, layer, prefix } = &self.states else {
            anyhow::bail!("states of an encoder that is not there")
        };
        let tokens = sequences.iter().map(|&sequence| {
            let targets = self.targets(side);
            pupil.vocabulary().encode(&targets.set.sequence(sequence)[..targets.length(sequence)])
        });
        let pack = packed(sequences, tokens);
        let states = match prefix {
            None => pupil.layer_states(tape, &pack, *layer)?,
            Some(prefix) => {
                let stored = match side {
                    Side::HeldOut => prefix.held_out.unwrap_or(prefix.train),
                    Side::Train => prefix.train,
                };
                let x = gathered(tape, stored, sequences)?.0;
                pupil.states_above(tape, x, &pack, (prefix.layer, *layer))?
            }
        };
        Ok((states, pack))
    }

    /// The vectors of all sequences kept apart, where examples are pairs of them: an encoder that learns would compute each
    /// sequence anew for every pair that it is in. No bit changes, as none depends on the pack.
    fn once(&self, tape: &Tape) -> anyhow::Result<Option<Stored>> {
        let (States::Pupil { pupil, .. }, Some(targets)) = (&self.states, &self.held_out) else {
            return Ok(None);
        };
        let set = targets.set;
        if !set.are_pairs() || self.reads_states || !self.kind.pools() {
            return Ok(None);
        }
        let width = pupil.about().width;
        let mut vectors = vec![Vec::new(); set.sequences()];
        let tokens = (0..set.sequences()).map(|sequence| targets.length(sequence) + 2);
        for sequences in plan_packs(tokens, self.batches.budget_tokens) {
            let (states, pack) = self.states(tape, Side::HeldOut, &sequences)?;
            let chosen = self.pooling.choose(tape, &states, &self.spans(&pack))?.to_vec_f32();
            for (vector, &sequence) in chosen.chunks(width).zip(&sequences) {
                vectors[sequence] = vector.to_vec();
            }
        }
        let mut stored = Stored::new(width);
        vectors.iter().try_for_each(|vector| stored.push(vector))?;
        Ok(Some(stored))
    }

    fn of_stored(
        &self,
        tape: &Tape,
        stored: &Stored,
        sequences: &[usize],
        make: impl Fn(Given<'_>) -> Result<Tensor, ModelError>,
    ) -> anyhow::Result<Tensor> {
        let (rows, spans) = gathered(tape, stored, sequences)?;
        Ok(make(if self.reads_states { Given::States(&rows, &spans) } else { Given::Vectors(&rows) })?)
    }

    /// The rows of a pack that the head reads of each sequence.
    fn spans(&self, pack: &Pack) -> Vec<(usize, usize)> {
        let span = |(residues, &first): (&Range<usize>, &usize)| match self.pooling {
            pooling if pooling.reads_cls() && self.kind.pools() => (first, first + 1),
            _ => (residues.start, residues.end),
        };
        pack.residues.iter().zip(&pack.offsets).map(span).collect()
    }

    /// The losses of a pack of a step, each divided by its denominator.
    fn losses(
        &self,
        tape: &Tape,
        (epoch, examples): (u64, &[usize]),
        (places, hidden): (usize, usize),
    ) -> anyhow::Result<Losses> {
        let (States::Pupil { pupil, layer, .. }, true) = (&self.states, self.beside.mlm > 0.0) else {
            let given = self.answers(tape, Side::Train, examples)?;
            return Ok(Losses { task: self.train.loss(tape, &given, examples, places)?, mlm: None });
        };
        let sequences = self.sequences(Side::Train, examples);
        let shown = self.shown(pupil, epoch, &sequences)?;
        let (mut asked, mut targets, mut first) = (Vec::new(), Vec::new(), 0);
        for Shown { tokens, places, targets: own } in &shown {
            asked.extend(places.iter().map(|place| first + place));
            targets.extend_from_slice(own);
            first += tokens.ids.len();
        }
        let pack = packed(&sequences, shown.into_iter().map(|shown| shown.tokens));
        let last = pupil.model().layers();
        let both = pupil.states_of(tape, &pack, &[*layer, last])?;
        let [states, top] = <[Tensor; 2]>::try_from(both).ok().context("the model gave no states")?;
        let given = self.head.forward(tape, Given::States(&states, &self.spans(&pack)))?;
        let task = self.train.loss(tape, &given, examples, places)?;
        if asked.is_empty() {
            return Ok(Losses { task, mlm: None });
        }
        let logits = pupil.model().lm_logits(tape, &gather_rows(tape, &top, &asked)?)?;
        let targets = Ids::new(tape.device(), &targets);
        Ok(Losses { task, mlm: Some(cross_entropy_over(tape, &logits, &targets, hidden)?) })
    }

    /// The tokens of sequences with residues hidden: a function of the seed, the epoch and the residues.
    fn shown(&self, pupil: &Pupil, epoch: u64, sequences: &[usize]) -> anyhow::Result<Vec<Shown>> {
        let settings = SamplerSettings {
            seed: self.batches.seed.wrapping_add(epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            budget_tokens: self.batches.budget_tokens,
            crop: None,
            masking: self.beside.masking,
        };
        let sampler = Sampler::new(pupil.vocabulary(), settings)?
            .with_masking(self.beside.rounding, Replacement::default());
        let shown = |&sequence: &usize| {
            let residues = &self.train.set.sequence(sequence)[..self.train.length(sequence)];
            let Masked { tokens, places, targets } = sampler.evaluation(residues);
            Shown { tokens, places, targets }
        };
        Ok(sequences.iter().map(shown).collect())
    }

    /// Residues that a step hides.
    fn hidden(&self, epoch: u64, examples: &[usize]) -> anyhow::Result<usize> {
        match &self.states {
            States::Pupil { pupil, .. } if self.beside.mlm > 0.0 => {
                let sequences = self.sequences(Side::Train, examples);
                Ok(self.shown(pupil, epoch, &sequences)?.iter().map(|shown| shown.places.len()).sum())
            }
            _ => Ok(0),
        }
    }

    /// The loss that gradients are taken of.
    fn together(&self, tape: &Tape, losses: &Losses) -> anyhow::Result<Tensor> {
        let weighted = |loss: &Tensor, weight: f64| match weight {
            1.0 => Ok(loss.clone()),
            weight => scale(tape, loss, weight as f32),
        };
        let task = weighted(&losses.task, self.beside.task)?;
        match &losses.mlm {
            None => Ok(task),
            Some(mlm) => Ok(add(tape, &task, &weighted(mlm, self.beside.mlm)?)?),
        }
    }

    /// Which of `params` the loss reaches: those that have a gradient after a pass over the first example.
    ///
    /// # Errors
    /// What the model or the device cannot do.
    pub fn reached(
        &self,
        (device, precision): (&Device, Precision),
        params: &[Arc<Param>],
    ) -> anyhow::Result<Vec<Arc<Param>>> {
        let tape = Tape::on(device, precision).with_random(self.batches.seed, 0);
        let examples = &self.usable[..1];
        let hidden = self.hidden(0, examples)?.max(1);
        let losses = self.losses(&tape, (0, examples), (self.train.places(examples[0]), hidden))?;
        let loss = self.together(&tape, &losses)?;
        drop(losses);
        tape.backward(&loss)?;
        let mut reached = Vec::new();
        for param in params {
            if param.is_trainable() && gradient_squares(param)?.is_some() {
                reached.push(Arc::clone(param));
            }
        }
        params.iter().chain(self.head.params()).for_each(|param| param.zero_grad());
        Ok(reached)
    }

    /// The numbers of all examples kept apart, one list each in their order, and what is lost on each.
    ///
    /// # Errors
    /// What the model or the device cannot do.
    pub fn told(&self, tape: &Tape) -> anyhow::Result<Vec<Vec<f32>>> {
        let Some(targets) = &self.held_out else { return Ok(Vec::new()) };
        let mut told = vec![Vec::new(); targets.set.len()];
        let examples: Vec<usize> = (0..targets.set.len()).collect();
        let once = self.once(tape)?;
        for pack in self.packs(Side::HeldOut, &examples, once.is_some()) {
            let given = match &once {
                Some(stored) => {
                    let sequences = self.sequences(Side::HeldOut, &pack);
                    self.of_stored(tape, stored, &sequences, |given| self.head.forward(tape, given))?
                }
                None => self.answers(tape, Side::HeldOut, &pack)?,
            };
            let (width, values) = (given.columns(), given.to_vec_f32());
            let mut from = 0;
            for &example in &pack {
                let count = targets.rows(example) * width;
                told[example] = values[from..from + count].to_vec();
                from += count;
            }
        }
        Ok(told)
    }
}

/// The rows of sequences one after the other, and from where to where those of each stand.
fn gathered(
    tape: &Tape,
    stored: &Stored,
    sequences: &[usize],
) -> anyhow::Result<(Tensor, Vec<(usize, usize)>)> {
    let mut rows = Vec::new();
    let (mut spans, mut first) = (Vec::with_capacity(sequences.len()), 0);
    for &sequence in sequences {
        stored.read(sequence, &mut rows)?;
        spans.push((first, first + stored.rows(sequence)));
        first += stored.rows(sequence);
    }
    let width = stored.width();
    Ok((Tensor::from_f32(tape.device(), [rows.len() / width, width], &rows)?, spans))
}

/// States of a layer for all tokens of the sequences of a set, cut to `limit` residues, in packs of so many tokens.
///
/// # Errors
/// What the model, the device or the system cannot do.
pub fn prefix_states(
    pupil: &Pupil,
    tape: &Tape,
    set: &LabelledSet,
    (layer, limit, budget_tokens): (usize, usize, usize),
) -> anyhow::Result<Stored> {
    let mut stored = Stored::new(pupil.model().width());
    let residues = |sequence: usize| {
        let residues = set.sequence(sequence);
        &residues[..limit.min(residues.len())]
    };
    let mut first = 0;
    while first < set.sequences() {
        let (mut pack, mut end) = (Pack::new(), first);
        while end < set.sequences()
            && (end == first || pack.tokens() + residues(end).len() + 2 <= budget_tokens)
        {
            pack.push(end as u64, &pupil.vocabulary().encode(residues(end)));
            end += 1;
        }
        let states = pupil.layer_states(tape, &pack, layer)?;
        let (width, values) = (states.columns(), states.to_vec_f32());
        for tokens in pack.offsets.windows(2) {
            stored.push(&values[tokens[0] * width..tokens[1] * width])?;
        }
        first = end;
    }
    Ok(stored)
}

/// A pack of sequences with their tokens.
fn packed(sequences: &[usize], tokens: impl Iterator<Item = Tokens>) -> Pack {
    let mut pack = Pack::new();
    for (&sequence, tokens) in sequences.iter().zip(tokens) {
        pack.push(sequence as u64, &tokens);
    }
    pack
}

/// What is measured of the answers to the examples kept apart: names in the log with their values, the main one first,
/// and whether more of that is better.
pub type Measure<'a> = dyn Fn(&Targets<'_>, &[Vec<f32>]) -> anyhow::Result<Measured> + 'a;

/// What was measured.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Names in the log with their values, the main measure first.
    pub values: Vec<(Cow<'static, str>, Option<f64>)>,
    /// The number by which epochs are better or worse, less is better; `None`: the loss.
    pub rank: Option<f64>,
    /// The same by the main measure, where the loss ranks.
    pub other: Option<f64>,
}

/// A head that learns, alone or with its encoder.
pub struct LabelCourse<'a> {
    /// What is learnt.
    pub lecture: Lecture<'a>,
    /// How.
    pub learner: &'a mut Learner,
    /// What is measured of what was learnt.
    pub measure: &'a Measure<'a>,
    /// Parameters that learn, and all there are.
    pub parameters: [u64; 2],
}

impl Course for LabelCourse<'_> {
    fn learn(&mut self, packs: Range<u64>, rate: f64) -> Result<Told, LearnError> {
        let Self { lecture, learner, .. } = self;
        let step = packs.start;
        let (epoch, examples) = lecture.batch(step);
        let places: usize = examples.iter().map(|&example| lecture.train.places(example)).sum();
        let hidden = lecture.hidden(epoch, &examples)?;
        let packs = lecture.packs(Side::Train, &examples, false);
        let first = step * PACKS_OF_A_STEP;
        let mut sums = [0.0; 2];
        let lesson = learner.learn(packs.len(), first, rate, |tape, number| {
            let losses = lecture.losses(tape, (epoch, &packs[number]), (places, hidden.max(1)))?;
            for (sum, loss) in sums.iter_mut().zip([Some(&losses.task), losses.mlm.as_ref()]) {
                *sum += loss.map_or(0.0, |loss| f64::from(loss.to_vec_f32()[0]));
            }
            lecture.together(tape, &losses)
        })?;
        let residues = |&sequence: &usize| lecture.train.length(sequence) as u64;
        let residues: u64 = lecture.sequences(Side::Train, &examples).iter().map(residues).sum();
        let sequences = lecture.sequences(Side::Train, &examples).len() as u64;
        let part = |name, sum: f64, count: usize| Part { name, sum: sum * count as f64, count: count as u64 };
        let parts = match hidden {
            0 => Vec::new(),
            hidden => vec![part("mlm_loss", sums[1], hidden), part("task_loss", sums[0], places)],
        };
        Ok(Told {
            loss: lesson.loss,
            places: places as u64,
            gradient_norm: lesson.gradient_norm,
            tokens: residues + 2 * sequences,
            residues,
            epoch: (step + 1) / lecture.steps(),
            parts,
        })
    }

    fn sequences(&self, pack: u64) -> Vec<u64> {
        self.lecture.batch(pack).1.into_iter().map(|example| example as u64).collect()
    }

    fn examine(&self) -> anyhow::Result<Option<Findings>> {
        let Some(targets) = &self.lecture.held_out else { return Ok(None) };
        let told = self.lecture.told(&self.learner.tape())?;
        let places: usize = (0..told.len()).map(|example| targets.places(example)).sum();
        let lost: f64 = told.iter().enumerate().map(|(example, given)| targets.lost(given, example)).sum();
        let loss = lost / places.max(1) as f64;
        let Measured { values, rank, other } = (self.measure)(targets, &told)?;
        // Where a measure ranks the other is the loss.
        let other = if rank.is_some() { Some(loss) } else { other };
        Ok(Some(Findings { loss, parts: values, rank, other }))
    }

    fn beside(&self) -> Vec<(&'static str, Value)> {
        let [trained, all] = self.parameters;
        vec![
            ("trainable_parameters", json!(trained)),
            ("parameters", json!(all)),
            ("peak_memory_bytes", json!(machine::peak_memory())),
        ]
    }

    fn save(&self, folder: &Path) -> anyhow::Result<()> {
        if let States::Pupil { pupil, .. } = &self.lecture.states {
            if pupil.is_adapted() {
                let to = folder.join(ADAPTER_FOLDER);
                fs::create_dir_all(&to).map_err(TrainError::io("make the folder", &to))?;
                pupil.save_adapter(&to)?;
            } else {
                pupil.save(&folder.join(MODEL))?;
            }
            point("checkpoint: model written");
        }
        self.lecture.head.save(&folder.join(HEAD))?;
        self.learner.save_moments(&folder.join(OPTIMIZER))?;
        point("checkpoint: moments written");
        Ok(())
    }
}
