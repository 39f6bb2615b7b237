//! The order of work: reader, packer, device worker, ordered writer.
//!
//! ```text
//!  thread 1                 │ this thread and the device's            │ thread 2
//!  read ─ cut ─ ask ─ jobs ─► group ─► packs ─► tokens ─► states ─► rows ─► write
//!              cache    bounded channel                      cache  bounded channel
//! ```
//!
//! A group is a stretch of the input, at least one record and as many as fit its limits. Its packs are computed in
//! any order, its rows leave in the order of the input, and groups follow each other; so at most three groups are
//! held at a time, whatever the size of the input. Packs are planned as lists of jobs, and the tokens of one pack are
//! made when its turn comes: a record that is computed with each of its residues masked has as many jobs as residues.

mod ability;
pub mod contacts;
mod gather;
mod group;
mod masks;
mod passes;
mod recall;

use std::thread::{self, ScopedJoinHandle};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, bounded};
use pliant_seq::{Item, LongPolicy, ReadOptions, RecordReader, Source, Totals};

use crate::cli::embed::{Pool, Written};
use crate::cli::print::Progress;
use crate::engine::{Card, Engine, Head};
use crate::exit::TaskError;
pub use ability::Ability;
use group::{Builder, Group, Limits, Rules};
pub use masks::Masks;
use passes::Passes;
pub use recall::{CutKeys, Entry, Form, Recall, Recalled};

/// What is computed of which records.
pub struct Work<'a> {
    /// The inputs in their order.
    pub sources: &'a [Source],
    /// How records are read.
    pub read: ReadOptions,
    /// What becomes of long ones.
    pub long: LongPolicy,
    /// The training length of the model, in residues.
    pub trained: usize,
    /// What is computed.
    pub output: Output,
    /// Which residues are masked.
    pub masks: &'a Masks,
    /// Tokens computed together.
    pub batch_tokens: usize,
    /// Where results of earlier runs are, and those of this one go.
    pub recall: Option<&'a Recall>,
}

/// What is computed of every record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// States of a model.
    States {
        /// The layers, counted from 0, the embedding.
        layers: Vec<usize>,
        /// How they become one vector.
        pool: Pool,
        /// Whether the states of all residues are wanted too.
        residues: bool,
        /// What is taken of them.
        written: Written,
    },
    /// The logarithms of the probabilities of all tokens.
    LogProbs,
    /// The negative logarithm of the probability of the true token.
    Losses,
    /// The same of the residues that are drawn, each with whether the true token is the likeliest.
    Answers,
    /// The probabilities that residues touch, pair by pair: see [`contacts`].
    Contacts,
}

impl Output {
    /// What the model must make for it.
    pub fn head(&self) -> Head {
        match self {
            Self::States { written: Written::Z, .. } => Head::Projection,
            Self::States { layers, pool: Pool::ClsApart, .. } => Head::Apart(layers.clone()),
            Self::States { layers, .. } => Head::States(layers.clone()),
            Self::LogProbs | Self::Losses | Self::Answers => Head::LogProbs,
            Self::Contacts => Head::Contacts,
        }
    }

    /// What of records can be computed for it by the model of `card`.
    pub fn ability(&self, card: &Card) -> Ability {
        let likelihoods = matches!(self, Self::Losses);
        Ability { vocabulary: card.vocabulary, longest: card.about.longest, likelihoods }
    }

    /// Numbers that a residue leaves in one layer of the results, of the `width` that the model makes.
    fn kept(&self, width: usize) -> usize {
        match self {
            Self::States { residues: false, .. } | Self::Contacts => 0,
            Self::States { .. } | Self::LogProbs => width,
            Self::Losses => 1,
            Self::Answers => ANSWER,
        }
    }

    /// Bytes that a residue leaves in the results, of the `width` that the model makes.
    pub fn kept_bytes(&self, width: usize) -> usize {
        let layers = if let Self::States { layers, .. } = self { layers.len() } else { 1 };
        self.kept(width) * layers * size_of::<f32>()
    }
}

/// The result of one record.
pub struct Row {
    /// Its id.
    pub id: String,
    /// L, its residues.
    pub length: usize,
    /// `[C]` for each layer, of states; else nothing.
    pub pooled: Vec<Vec<f32>>,
    /// For each layer the rows of residues where they are wanted, else nothing: `[L, C]` of states, `[L, V]` of
    /// log-probabilities, `[L]` of losses, `[L, L]` of contacts. Where residues were chosen to be masked, those of the
    /// chosen ones. Of answers `[M, 3]`, M residues that were drawn: what is lost, 1 where it is right, and 1 where the
    /// mask stood there; else 0.
    pub residues: Vec<Vec<f32>>,
    /// Of answers the letters of all residues; else nothing.
    pub sequence: Vec<u8>,
}

impl Row {
    /// Of losses: the sum over residues of the logarithm of the probability of the true one.
    pub fn log_likelihood(&self) -> f64 {
        // Begins with zero, so that a record without loss has no negative zero.
        self.residues.iter().flatten().fold(0.0, |sum, &loss| sum - f64::from(loss))
    }
}

/// Numbers of an answer.
pub const ANSWER: usize = 3;

/// What the reader found.
pub struct Reading {
    /// The hash of the records.
    pub input_hash: String,
    /// Counts of everything.
    pub totals: Totals,
    /// Residues that were computed: in overlaps of windows again, and for every mask.
    pub computed: u64,
}

/// Bytes of results that one group may hold, for inputs whose records are shorter.
pub const GROUP_BYTES: usize = 32 << 20;

/// Bytes of results that a group may hold for the sake of one full pack.
pub const PACK_BYTES: usize = 8 * GROUP_BYTES;

/// Packs in a group: enough that the last one, which is not full, matters little.
pub const GROUP_PACKS: usize = 8;

/// Tokens that fill a group, when each of them leaves `kept_bytes` in the results.
pub fn group_tokens(batch_tokens: usize, kept_bytes: usize) -> usize {
    let held = |bytes: usize| bytes / kept_bytes.max(1);
    let by_packs = batch_tokens.saturating_mul(GROUP_PACKS).min(held(GROUP_BYTES));
    by_packs.max(batch_tokens.min(held(PACK_BYTES))).max(1)
}

/// Computes every record and hands its row to `write`, in the order of the input.
///
/// # Errors
/// The first of what the writer, the device or the reader could not do.
pub fn run(
    work: &Work<'_>,
    engine: &Engine,
    progress: &Progress,
    write: impl FnMut(Row) -> anyhow::Result<()> + Send,
) -> anyhow::Result<Reading> {
    staged(
        |groups| read(work, engine, groups),
        |groups, rows| compute(work, engine, progress, groups, rows),
        write,
    )
}

/// Runs the three stages beside each other: the reader sends pieces of work, this thread computes them, and the writer
/// takes their rows.
///
/// # Errors
/// The first of what the writer, the device or the reader could not do.
fn staged<P: Send>(
    read: impl FnOnce(&Sender<P>) -> anyhow::Result<Reading> + Send,
    compute: impl FnOnce(Receiver<P>, Sender<Vec<Row>>) -> anyhow::Result<()>,
    mut write: impl FnMut(Row) -> anyhow::Result<()> + Send,
) -> anyhow::Result<Reading> {
    let (pieces_in, pieces) = bounded(1);
    let (rows_in, rows) = bounded::<Vec<Row>>(1);
    thread::scope(|scope| {
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let reader = named("reader")
            .spawn_scoped(scope, move || read(&pieces_in))
            .context("cannot start the reader")?;
        let writer = named("writer")
            .spawn_scoped(scope, move || rows.into_iter().flatten().try_for_each(&mut write))
            .context("cannot start the writer")?;
        let computed = compute(pieces, rows_in);
        // A writer that fails ends the computing, and a device that fails the reading: the cause comes first.
        joined(writer, "writer")?;
        computed?;
        joined(reader, "reader")
    })
}

fn joined<T>(thread: ScopedJoinHandle<'_, anyhow::Result<T>>, part: &'static str) -> anyhow::Result<T> {
    thread.join().unwrap_or_else(|_| Err(TaskError::Broken { part }.into()))
}

/// Sends the groups of all inputs. Ends early, without an error of its own, when nobody takes them.
fn read(work: &Work<'_>, engine: &Engine, groups: &Sender<Group>) -> anyhow::Result<Reading> {
    let mut reader = RecordReader::new(work.sources, work.read);
    let kept_bytes = work.output.kept_bytes(engine.width());
    let limits = Limits { tokens: group_tokens(work.batch_tokens, kept_bytes) };
    let Work { long, trained, masks, recall, .. } = *work;
    let rules = Rules { ability: work.output.ability(engine.card()), long, trained, masks, recall };
    let mut builder = Builder::new(rules, limits);
    for item in reader.by_ref() {
        let Item::Record(record) = item? else { continue };
        if let Some(group) = builder.push(record)
            && groups.send(group).is_err()
        {
            break;
        }
    }
    if let Some(group) = builder.finish() {
        let _ = groups.send(group);
    }
    let computed = builder.computed();
    Ok(Reading { input_hash: reader.input_hash(), totals: *reader.totals(), computed })
}

fn compute(
    work: &Work<'_>,
    engine: &Engine,
    progress: &Progress,
    groups: Receiver<Group>,
    rows: Sender<Vec<Row>>,
) -> anyhow::Result<()> {
    let mut passes = Passes::new(engine, progress, work.batch_tokens);
    for group in groups {
        let Group { slots, jobs } = group;
        let found = slots.iter().filter(|slot| slot.found.is_some());
        progress.advance(found.map(|slot| slot.rows as u64).sum());
        let mut gatherer = gather::Gatherer::new(engine, &work.output, slots);
        passes.run(&jobs, &mut gatherer)?;
        let (slots, finished) = gatherer.finish()?;
        if let Some(recall) = work.recall {
            recall.keep(&slots, &finished);
        }
        if rows.send(finished).is_err() {
            return Err(TaskError::Broken { part: "writer" }.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_holds_a_full_pack_where_results_are_large() {
        assert_eq!(group_tokens(4096, 0), 8 * 4096);
        assert_eq!(group_tokens(4096, 5120), 6553);
        assert_eq!(group_tokens(24_576, 8192), 24_576);
        assert_eq!(group_tokens(1 << 20, 8192), 32_768);
        assert_eq!(group_tokens(1, 1 << 30), 1);
    }
}
