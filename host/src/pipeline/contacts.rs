//! The order of work of contacts, whose results grow with the square of a protein.
//!
//! ```text
//!  thread 1            │ this thread and the device's │ thread 2
//!  read ─ cut ─ tokens ─► batch ─► maps of a pack ─────► rows ─► write
//!                 bounded channel              bounded channel
//! ```
//!
//! A batch is a stretch of the input that is computed as one pack, so its maps leave in the order of the input. It is
//! filled by its tokens and by the numbers of its maps; at most three are held at a time.

use crossbeam_channel::{Receiver, Sender};
use pliant_seq::{Cut, Item, Pack, Record, RecordReader, Tokens};

use super::passes::Budget;
use super::{GROUP_BYTES, Reading, Row, Work, staged};
use crate::cli::print::Progress;
use crate::engine::Engine;
use crate::exit::TaskError;

/// Copies of a map while it is made: what attention adds up, what the head makes of it, and the result.
const COPIES_IN_MAKING: u64 = 3;

/// Copies of a batch at a time at most: two while it is made, the one before on its way, and the one being written.
const BATCHES: u64 = 4;

/// Bytes of maps without which a protein of `longest` residues cannot be computed.
pub fn least_map_bytes(longest: usize) -> u64 {
    COPIES_IN_MAKING.saturating_mul(map_bytes(longest))
}

/// Bytes of maps that a run over proteins of `longest` residues at most holds at its peak.
pub fn peak_map_bytes(longest: usize) -> u64 {
    let map = map_bytes(longest);
    map.saturating_add(BATCHES.saturating_mul(map.max(GROUP_BYTES as u64)))
}

fn map_bytes(length: usize) -> u64 {
    (length as u64).saturating_mul(length as u64).saturating_mul(size_of::<f32>() as u64)
}

/// Records that are computed together.
#[derive(Default)]
struct Batch {
    /// Their ids and lengths.
    records: Vec<(String, usize)>,
    pack: Pack,
    map_bytes: u64,
}

impl Batch {
    fn new() -> Self {
        Self { pack: Pack::new(), ..Self::default() }
    }
}

/// Computes the contacts of every record and hands its row, with the map as its only rows, to `write`, in the order of
/// the input.
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
        |batches| read(work, engine, batches),
        |batches, rows| compute(work.batch_tokens, engine, progress, batches, rows),
        write,
    )
}

/// Sends the batches of all inputs. Ends early, without an error of its own, when nobody takes them.
fn read(work: &Work<'_>, engine: &Engine, batches: &Sender<Batch>) -> anyhow::Result<Reading> {
    let mut reader = RecordReader::new(work.sources, work.read);
    let (mut batch, mut computed) = (Batch::new(), 0);
    for item in reader.by_ref() {
        let Item::Record(record) = item? else { continue };
        let Some(length) = length(work, &record)? else { continue };
        let tokens = engine.vocabulary().tokens_for(length);
        let full = batch.pack.tokens() + tokens > work.batch_tokens
            || batch.map_bytes + map_bytes(length) > GROUP_BYTES as u64;
        if full
            && !batch.records.is_empty()
            && batches.send(std::mem::replace(&mut batch, Batch::new())).is_err()
        {
            break;
        }
        let number = batch.records.len() as u64;
        batch.pack.push(number, &engine.vocabulary().encode(&record.residues[..length]));
        batch.map_bytes += map_bytes(length);
        batch.records.push((record.id, length));
        computed += length as u64;
    }
    if !batch.records.is_empty() {
        let _ = batches.send(batch);
    }
    Ok(Reading { input_hash: reader.input_hash(), totals: *reader.totals(), computed })
}

/// Residues of a record that are computed; none where the survey has listed it.
fn length(work: &Work<'_>, record: &Record) -> Result<Option<usize>, TaskError> {
    let length = record.residues.len();
    match work.long.cut(length, work.trained) {
        Cut::Whole => Ok(Some(length)),
        Cut::Beginning(residues) => Ok(Some(residues.end)),
        Cut::Refused | Cut::Skipped => Ok(None),
        Cut::Windows(_) => Err(TaskError::Usage { what: NO_WINDOWS.to_owned() }),
    }
}

/// Why there are no contacts with windows.
pub const NO_WINDOWS: &str = "--long window cannot be had for contacts: two residues that no window holds together would \
                              have no number; choose --long whole or truncate";

/// The maps of each sequence of a pack, computed alone: as little memory as there can be.
fn one_by_one(engine: &Engine, pack: &Pack) -> anyhow::Result<Vec<Vec<f32>>> {
    let mut maps = Vec::with_capacity(pack.sequences());
    for (b, residues) in pack.residues.iter().enumerate() {
        let (start, end) = (pack.offsets[b], pack.offsets[b + 1]);
        let ids = pack.ids[start..end].to_vec();
        let mut alone = Pack::new();
        alone.push(0, &Tokens { ids, residues: residues.start - start..residues.end - start });
        maps.extend(engine.contacts(&alone)?);
    }
    Ok(maps)
}

fn compute(
    batch_tokens: usize,
    engine: &Engine,
    progress: &Progress,
    batches: Receiver<Batch>,
    rows: Sender<Vec<Row>>,
) -> anyhow::Result<()> {
    let mut budget = Budget::new(batch_tokens);
    for batch in batches {
        let maps = match engine.contacts(&batch.pack) {
            Err(error) if budget.halve(&error, engine, progress) => one_by_one(engine, &batch.pack)?,
            maps => maps?,
        };
        progress.advance(batch.records.iter().map(|(_, length)| *length as u64).sum());
        let row = |((id, length), map)| {
            let (pooled, sequence) = (Vec::new(), Vec::new());
            Row { id, length, pooled, residues: vec![map], sequence }
        };
        let finished = batch.records.into_iter().zip(maps).map(row).collect();
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
    fn memory_grows_with_the_square_of_the_longest_protein() {
        assert_eq!(least_map_bytes(1000), 12_000_000);
        assert_eq!(peak_map_bytes(10), 400 + 4 * GROUP_BYTES as u64);
        assert_eq!(peak_map_bytes(10_000), 5 * 400_000_000);
        assert_eq!(least_map_bytes(usize::MAX), u64::MAX);
    }
}
