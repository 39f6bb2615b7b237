//! From a block of logits to the tally: which pairs are kept, and the moments of each protein's logits.
//!
//! The sums come from the kernel, which also says which pairs reach what one of their proteins asks for. Every thread then
//! takes those of some columns, and with them the proteins of these columns. What concerns the proteins of the rows, which
//! are those of every thread, is gathered and added when all are done.

use std::ops::Range;

use pliant_kernels::ops::pair_sums::{self, Bars, Counted, Found, GROUP};
use pliant_kernels::{Buffer, Device};

use super::Edge;
use super::asked::Asked;
use super::tally::{Partner, Slice, Step, Tally, offer};

/// Groups of pairs to look at that are worth a thread.
const WORTH: usize = 4096;

/// A block of pairs: each protein of the rows with those of the columns that come after it.
pub struct Block {
    /// The proteins of the rows.
    pub rows: Range<usize>,
    /// Those of the columns.
    pub columns: Range<usize>,
    /// Logits `[R,N]`.
    pub logits: Buffer<f32>,
}

/// What a thread found for the proteins of the rows, and pairs where all are kept.
#[derive(Default)]
struct Gathered {
    /// Row of the block and partner.
    partners: Vec<(usize, Partner)>,
    edges: Vec<Edge>,
}

/// Takes all pairs of a block that are asked for.
///
/// # Errors
/// What the device says.
pub fn sift(
    device: &Device,
    tally: &mut Tally,
    asked: &Asked,
    (step, block): (Step, &Block),
) -> anyhow::Result<()> {
    let Block { rows, columns, .. } = block;
    let found = sums(device, tally, asked, (step, block))?;
    tally.moments[rows.clone()].iter_mut().zip(&found.rows).for_each(|(own, found)| own.add(found));
    tally.moments[columns.clone()].iter_mut().zip(&found.columns).for_each(|(own, found)| own.add(found));
    let looked_at = found.reached.iter().filter(|&&reached| reached != 0).count();
    let threads = match device {
        Device::Cpu(cpu) => cpu.threads().count().min(looked_at / WORTH),
        Device::Cuda(_) => 1,
    };
    let least: Vec<f32> = tally.least[rows.clone()].to_vec();
    let size = columns.len().div_ceil(threads.max(1)).next_multiple_of(GROUP);
    let best = tally.keep.best;
    let logits = block.logits.as_slice();
    let sifter = Sifter { block, logits, reached: &found.reached, least: &least, best };
    let mut slices = tally.slices(columns.clone(), size);
    let gathered: Vec<Gathered> = if let [only] = slices.as_mut_slice() {
        vec![sifter.columns(only)]
    } else {
        std::thread::scope(|scope| {
            let sifter = &sifter;
            let workers: Vec<_> =
                slices.iter_mut().map(|slice| scope.spawn(move || sifter.columns(slice))).collect();
            let joined = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
            // What went wrong in a thread goes wrong here.
            joined.map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    };
    for Gathered { partners, edges } in gathered {
        for (row, partner) in partners {
            let own = rows.start + row;
            offer(&mut tally.best[own], &mut tally.least[own], best.unwrap_or(1), partner);
        }
        tally.edges.extend(edges);
    }
    Ok(())
}

/// Sums over the pairs of a block, and those that must be looked at.
fn sums(
    device: &Device,
    tally: &Tally,
    asked: &Asked,
    (step, block): (Step, &Block),
) -> anyhow::Result<Found> {
    let Block { rows, columns, logits } = block;
    let lists = match asked {
        Asked::Between(sides) => Some((
            sides[rows.clone()].iter().map(|side| side.wanted()).collect::<Vec<_>>(),
            sides[columns.clone()].iter().map(|side| side.bits()).collect::<Vec<_>>(),
        )),
        Asked::All | Asked::Listed(_) => None,
    };
    // Columns up to a row's protein itself are no partners that come after it.
    let begins: Vec<usize> = rows.clone().map(|row| (row + 1).saturating_sub(columns.start)).collect();
    let counted = Counted {
        begins: &begins,
        lists: lists.as_ref().map(|(own, others)| (own.as_slice(), others.as_slice())),
    };
    let bars = Bars { rows: &tally.least[rows.clone()], columns: &tally.least[columns.clone()] };
    let size = (rows.len(), columns.len());
    Ok(pair_sums::forward(device, size, (logits, step.inverse()), counted, bars)?)
}

/// Takes a pair alone.
pub fn take(tally: &mut Tally, step: Step, edge: Edge) {
    let steps = pair_sums::steps(edge.logit, step.inverse());
    for own in [edge.first, edge.second] {
        tally.moments[own as usize].push(steps);
    }
    if edge.logit >= tally.keep.least {
        tally.push(edge);
    }
}

struct Sifter<'a> {
    block: &'a Block,
    /// `[R,N]`
    logits: &'a [f32],
    /// `[R,⌈N/16⌉]` bits of the pairs that must be looked at.
    reached: &'a [u16],
    /// `[R]` what a pair must reach for the protein of its row.
    least: &'a [f32],
    best: Option<usize>,
}

/// A pair of a block.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    /// Among those of the slice.
    column: usize,
    logit: f32,
}

impl Sifter<'_> {
    /// All rows with the columns of a slice, of which the first begins a group.
    fn columns(&self, slice: &mut Slice<'_>) -> Gathered {
        let Block { rows, columns, .. } = self.block;
        let (first, width) = (slice.first - columns.start, slice.least.len());
        let (groups, own) = (columns.len().div_ceil(GROUP), first / GROUP..(first + width).div_ceil(GROUP));
        let mut gathered = Gathered::default();
        for row in 0..rows.len() {
            let logits = &self.logits[row * columns.len() + first..][..width];
            let reached = &self.reached[row * groups..][own.clone()];
            for (group, &reached) in reached.iter().enumerate() {
                let mut left = reached;
                while left != 0 {
                    let column = group * GROUP + left.trailing_zeros() as usize;
                    left &= left - 1;
                    self.keep(slice, &mut gathered, Place { row, column, logit: logits[column] });
                }
            }
        }
        gathered
    }

    /// Keeps a pair for the protein of its row, for that of its column, or as one of all.
    fn keep(&self, slice: &mut Slice<'_>, gathered: &mut Gathered, place: Place) {
        let Place { row, column, logit } = place;
        let [first, second] = [self.block.rows.start + row, slice.first + column].map(|number| number as u32);
        let Some(count) = self.best else {
            if logit >= self.least[row] {
                gathered.edges.push(Edge { first, second, logit });
            }
            return;
        };
        if logit >= self.least[row] {
            gathered.partners.push((row, Partner { logit, number: second }));
        }
        if logit >= slice.least[column] {
            let partner = Partner { logit, number: first };
            offer(&mut slice.best[column], &mut slice.least[column], count, partner);
        }
    }
}
