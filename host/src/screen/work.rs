//! Unit after unit.

use super::asked::{Asked, Unit};
use super::checkpoint::Checkpoint;
use super::part::Head;
use super::scorer::Scorer;
use super::sift::{Block, sift, take};
use super::tally::Tally;
use super::{Edge, ScreenError};

/// How large the pieces are.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Proteins across a block, on which nothing of the result depends.
    pub columns: usize,
    /// Pairs that may be kept, where all are.
    pub most: u64,
}

/// Scores what is left of a shard; `done` is told how many pairs every unit has.
///
/// # Errors
/// What the device or the system says, and [`ScreenError::TooMany`].
pub fn work(
    (scorer, asked): (&Scorer, &Asked),
    (head, tally): (&mut Head, &mut Tally),
    mut checkpoint: Option<&mut Checkpoint>,
    Limits { columns, most }: Limits,
    mut done: impl FnMut(u64),
) -> anyhow::Result<()> {
    let proteins = scorer.proteins();
    let (units, pairs) = (asked.of_shard(head.shard, proteins), asked.pairs(proteins));
    pairs[units.clone()].iter().take(head.done).for_each(|&pairs| done(pairs));
    for number in units.start + head.done..units.end {
        match asked.unit(number, proteins) {
            Unit::Strip(rows) => {
                let mut start = rows.start + 1;
                while start < proteins {
                    let end = proteins.min(scorer.end(start + columns.max(1)));
                    if is_any(asked, &rows, start..end) {
                        let logits = scorer.block(rows.clone(), start..end, asked)?;
                        let block = Block { rows: rows.clone(), columns: start..end, logits };
                        sift(scorer.device(), tally, asked, (scorer.step(), &block))?;
                    }
                    start = end;
                }
            }
            Unit::Listed(range) => named(scorer, asked, tally, range)?,
        }
        head.done += 1;
        done(pairs[number]);
        if let Some(checkpoint) = &mut checkpoint {
            checkpoint.keep(head, tally)?;
        }
        let found = tally.edges.len() as u64 + checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.edges());
        if found > most {
            return Err(ScreenError::TooMany { found, most }.into());
        }
    }
    if let Some(checkpoint) = checkpoint {
        checkpoint.gather(tally)?;
    }
    Ok(())
}

/// Whether any pair of a block is asked for.
fn is_any(asked: &Asked, rows: &std::ops::Range<usize>, columns: std::ops::Range<usize>) -> bool {
    let Asked::Between(sides) = asked else { return true };
    let (first, columns) = (sides[rows.start], &sides[columns]);
    let one_sided = sides[rows.clone()].iter().all(|&side| side == first);
    !one_sided || columns.iter().any(|&side| side.meets(first))
}

/// Named pairs.
fn named(
    scorer: &Scorer,
    asked: &Asked,
    tally: &mut Tally,
    range: std::ops::Range<usize>,
) -> anyhow::Result<()> {
    let Asked::Listed(pairs) = asked else { return Ok(()) };
    let pairs = &pairs[range];
    for (&[first, second], logit) in pairs.iter().zip(scorer.listed(pairs)?) {
        take(tally, scorer.step(), Edge { first, second, logit });
    }
    Ok(())
}

/// Refuses a screen without pairs.
///
/// # Errors
/// [`ScreenError::NoPairs`].
pub fn wants_pairs(asked: &Asked, proteins: usize, inputs: &str) -> Result<(), ScreenError> {
    if asked.pairs(proteins).iter().any(|&pairs| pairs > 0) {
        return Ok(());
    }
    Err(ScreenError::NoPairs { proteins, inputs: inputs.to_owned() })
}
