//! A screen, or a shard of one, from its checkpoint to its file.

use std::path::Path;
use std::time::{Duration, Instant};

use pliant_store::OutputSet;

use super::answer::Answer;
use super::asked::Asked;
use super::checkpoint::Checkpoint;
use super::kill::point;
use super::part::{self, Head};
use super::report::{self, ReportFormat};
use super::scorer::Scorer;
use super::tally::Tally;
use super::work::{Limits, work};

/// What is to be done. It begins with `head.done` at 0.
pub struct Order<'a> {
    /// What scores.
    pub scorer: &'a Scorer,
    /// What is scored.
    pub asked: &'a Asked,
    /// What the part says of itself.
    pub head: Head,
    /// How large the pieces are.
    pub limits: Limits,
    /// Where checkpoints go, and the time between two of them.
    pub folder: Option<(&'a Path, Duration)>,
    /// Where the answer goes.
    pub out: &'a Path,
    /// How it is written; as a part where nothing is named.
    pub format: Option<ReportFormat>,
}

/// How much there was, and how much of it an earlier process had done that was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Pairs that were scored, by all processes together.
    pub scored: u64,
    /// Those of them that were scored before this process began.
    pub resumed: u64,
    /// Pairs that were kept.
    pub kept: usize,
    /// Units of work.
    pub units: usize,
    /// Those of them that were done before this process began.
    pub units_resumed: usize,
    /// What scoring and keeping took this process, without writing.
    pub scoring: Duration,
}

/// Scores what is left, writes the answer, lets `more` add to its files, gives all of them their names and removes the
/// checkpoint. `done` is told how many pairs every unit has.
///
/// # Errors
/// What the device or the system says; no output has then changed.
pub fn run(
    mut order: Order<'_>,
    mut done: impl FnMut(u64),
    more: impl FnOnce(&mut OutputSet, Counts) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut tally = Tally::new(order.scorer.proteins(), order.head.keep());
    let mut checkpoint = match order.folder {
        Some((folder, every)) => Some(Checkpoint::open(folder, every, &mut order.head, &mut tally)?),
        None => None,
    };
    let proteins = order.scorer.proteins();
    let units = order.asked.of_shard(order.head.shard, proteins);
    let (units_resumed, mut pairs) = (order.head.done, order.asked.pairs(proteins));
    let pairs: Vec<u64> = pairs.drain(units).collect();
    let (scored, resumed) = (pairs.iter().sum(), pairs.iter().take(units_resumed).sum());
    let place = (order.scorer, order.asked);
    let begin = Instant::now();
    work(place, (&mut order.head, &mut tally), checkpoint.as_mut(), order.limits, &mut done)?;
    let scoring = begin.elapsed();
    let (mut files, kept) = match order.format {
        None => {
            let kept = tally.kept();
            (OutputSet::from(vec![part::write(order.out, &order.head, &tally)?]), kept)
        }
        Some(format) => {
            let answer = Answer::of(tally, order.head.step());
            let from = (&order.head.proteins, &answer);
            (report::write(order.out, format, from, &order.head.about)?, answer.len())
        }
    };
    let counts = Counts { scored, resumed, kept, units: pairs.len(), units_resumed, scoring };
    more(&mut files, counts)?;
    point("answer: written");
    files.commit()?;
    point("answer: named");
    checkpoint.map_or(Ok(()), Checkpoint::remove)?;
    Ok(())
}
