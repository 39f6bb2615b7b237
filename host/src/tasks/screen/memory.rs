//! What a screen needs of memory, and how large its pieces and its files are.

use serde_json::{Value, json};

use super::proteins::{Content, Intake};
use crate::cli::screen::ScreenPlan;
use crate::exit::TaskError;
use crate::machine;
use crate::screen::asked::Asked;
use crate::screen::report::row_bytes;
use crate::screen::work::Limits;
use crate::screen::{Shard, tally};

/// First proteins of a block.
const ROWS: usize = 512;

/// Proteins across a piece of a block where memory admits as many: more make nothing faster.
const MOST_COLUMNS: usize = 2048;

/// Bytes of a pair that is kept for its score, and in the answer.
const KEPT: u64 = 40;

/// Bytes of a protein in the description of a part, beside its name.
const NAMED: u64 = 9;

/// What a screen, or a shard of one, needs of memory.
pub(super) struct Memory {
    /// Bytes that no size of pieces changes.
    fixed: u64,
    /// Whether pairs that are kept are among them; otherwise a cut decides how many there are.
    knows_kept: bool,
    /// Bytes of a protein across a piece.
    column: u64,
    /// Bytes that may be used.
    limit: u64,
    /// What sets the limit.
    by: &'static str,
}

impl Memory {
    /// What pairs of proteins need that give `units` numbers each.
    pub(super) fn of(plan: &ScreenPlan, intake: &Intake, asked: &Asked, units: usize) -> Self {
        let proteins = intake.count() as u64;
        let vectors = match &intake.content {
            Content::Vectors(values) => 4 * values.len() as u64,
            Content::Sequences(_) => intake.residues(),
        };
        // Partners while they are gathered and in the answer, or all pairs, where no cut keeps them few.
        let kept = match (plan.top_k, plan.cut) {
            (Some(best), _) => proteins * 2 * 20 * (best as u64).min(proteins),
            (None, None) => KEPT * pairs(plan, intake, asked),
            (None, Some(_)) => 0,
        };
        let (limit, by) = match (plan.memory, machine::memory_limit()) {
            (Some(bytes), _) => (bytes, "--memory"),
            (None, Some(limit)) => (limit.bytes / 2, limit.by),
            (None, None) => (u64::MAX, "nothing"),
        };
        Self {
            fixed: proteins * (8 * units as u64 + 200) + vectors + kept,
            knows_kept: kept > 0,
            // Logits, powers, bits of pairs to look at, and sums.
            column: (4 * ROWS + 8 * units + ROWS / 8 + 96) as u64,
            limit,
            by,
        }
    }

    /// How large pieces may be, so that all fits.
    ///
    /// # Errors
    /// [`TaskError::Memory`] where not even the smallest do.
    pub(super) fn limits(&self, plan: &ScreenPlan) -> Result<Limits, TaskError> {
        let Self { fixed, column, limit, .. } = *self;
        let least = fixed + column * tally::LANES_OF_BLOCKS as u64;
        if least > limit {
            let (needed_mib, limit_mib) = ((least >> 20) + 1, limit >> 20);
            return Err(TaskError::Memory { needed_mib, limit_mib, limit: self.by });
        }
        let left = limit - fixed;
        let columns =
            plan.block.unwrap_or(MOST_COLUMNS).min(usize::try_from(left / column).unwrap_or(usize::MAX));
        let most = if self.knows_kept { u64::MAX } else { (left - column * columns as u64) / KEPT };
        Ok(Limits { columns, most })
    }

    /// Bytes that may be used.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes at the peak of the scoring; pairs that a cut will keep are not among them.
    pub(super) fn peak(&self, plan: &ScreenPlan, proteins: usize) -> u64 {
        let columns = self.limits(plan).map_or(tally::LANES_OF_BLOCKS, |limits| limits.columns);
        self.fixed + self.column * columns.min(proteins) as u64
    }
}

/// Pairs of the shard.
pub(super) fn pairs(plan: &ScreenPlan, intake: &Intake, asked: &Asked) -> u64 {
    let units = asked.of_shard(plan.shard.unwrap_or(Shard::WHOLE), intake.count());
    asked.pairs(intake.count())[units].iter().sum()
}

/// Pairs that are kept at most; nothing where a cut alone decides.
pub(super) fn most_kept(plan: &ScreenPlan, intake: &Intake, asked: &Asked) -> Option<u64> {
    let pairs = pairs(plan, intake, asked);
    match (plan.top_k, plan.cut) {
        (Some(best), _) => {
            let partners = asked.partners(intake.count());
            Some(partners.iter().map(|&own| own.min(best as u64)).sum::<u64>().min(pairs))
        }
        (None, None) => Some(pairs),
        (None, Some(_)) => None,
    }
}

/// Bytes of the answer, where as many pairs are kept as can be, and of a pair in it.
pub(super) fn output_bytes(plan: &ScreenPlan, intake: &Intake, asked: &Asked, is_calibrated: bool) -> Value {
    let (most, count) = (most_kept(plan, intake, asked), intake.count() as u64);
    let names: u64 = intake.proteins.ids.iter().map(|id| id.len() as u64).sum();
    let Some(format) = plan.format.filter(|_| plan.shard.is_none()) else {
        // Counts, sums and squares of each protein, partners or pairs, and the description.
        let described = names + count * NAMED;
        let (each, of_a_pair) = if plan.top_k.is_some() { (24, 8) } else { (20, 12) };
        let kept = plan.top_k.map_or(most, |best| {
            let (room, partners) = (tally::room(best) as u64, asked.partners(intake.count()));
            Some(partners.iter().map(|&own| own.min(room)).sum())
        });
        let total = kept.map(|kept| described + count * each + kept * of_a_pair);
        return json!({ "total": total, "pair": of_a_pair });
    };
    let is_packed = plan.out.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("gz"));
    let row = row_bytes(format, &intake.proteins, is_calibrated, is_packed).round();
    json!({ "total": most.map(|most| (most as f64 * row) as u64), "pair": row as u64 })
}
