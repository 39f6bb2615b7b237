//! The first reading of the input: what there is to compute, what fails, and what a user should know.

use std::collections::BTreeSet;

use pliant_seq::{
    Cut, Failure, InputError, Item, LongPolicy, ReadOptions, RecordError, RecordReader, Source, Span,
    Summary, scan,
};

use crate::cli::shared::Long;
use crate::exit::TaskError;
use crate::pipeline::{Ability, Masks};
use crate::tasks::intake::{Warning, Warnings, counted};

/// What the first reading found.
pub(in crate::tasks) struct Survey {
    /// The inputs as they were named.
    pub(super) inputs: Vec<String>,
    /// Counts, lengths and the hash of the records.
    pub(super) summary: Summary,
    /// Records that are not computed, in the order of the input.
    pub(super) failures: Vec<Failure>,
    /// How many of them end a run that is told to fail.
    pub(super) fatal: usize,
    /// What is computed.
    pub(super) selection: Selection,
    /// What a user should know.
    pub(super) warnings: Vec<Warning>,
}

/// What is computed, after the policy for long records.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::tasks) struct Selection {
    /// Records with a result.
    pub(in crate::tasks) records: usize,
    /// Residues with a result.
    pub(in crate::tasks) residues: usize,
    /// Rows of the results: the residues, or those that were chosen.
    pub(in crate::tasks) rows: usize,
    /// Passes over a sequence.
    pub(super) passes: u64,
    /// Residues of the longest sequence that is computed in one piece.
    pub(super) longest_piece: usize,
    /// Residues that are computed: in overlaps of windows again, and for every mask.
    pub(super) computed: u64,
    /// The sum of the squared lengths over all passes, which attention grows with.
    pub(in crate::tasks) computed_squares: f64,
    /// Records longer than the training length of the model.
    pub(in crate::tasks) over: u64,
}

/// What the survey must know of the model and the plan.
pub(super) struct Rules<'a> {
    /// How records are read.
    pub(super) read: ReadOptions,
    /// What becomes of long records.
    pub(super) long: LongPolicy,
    /// The same, as it was asked for.
    pub(super) asked: Long,
    /// The training length of the model, in residues.
    pub(super) trained: usize,
    /// What can be computed, and how residues become tokens.
    pub(super) ability: Ability,
    /// Which residues are masked.
    pub(super) masks: &'a Masks,
}

impl Survey {
    /// Reads the input from its start to its end.
    ///
    /// # Errors
    /// An input that cannot be read to its end.
    pub(super) fn of(sources: &[Source], rules: &Rules<'_>) -> Result<Self, InputError> {
        let mut summary = scan(RecordReader::new(sources, rules.read))?;
        let over = summary.lengths.iter().any(|&length| length as usize > rules.trained);
        let refusing = over && matches!(rules.asked, Long::Error | Long::Skip);
        let mut failures = std::mem::take(&mut summary.failures);
        let (mut fatal, mut left_out) = (failures.len(), BTreeSet::new());
        if refusing || rules.ability.may_refuse(&summary.lengths, &summary.totals.letters) {
            let refused = refused(sources, rules)?;
            let skipped = |failure: &Failure| matches!(failure.reason, RecordError::OverTrained { .. });
            let skips = rules.asked == Long::Skip;
            fatal += refused.iter().filter(|(_, failure)| !(skips && skipped(failure))).count();
            for (index, failure) in refused {
                left_out.insert(index);
                failures.push(failure);
            }
            failures.sort_by_key(|failure| failure.record);
        }
        let selection = Selection::of(&summary.lengths, &left_out, rules);
        let warnings = warnings(&summary, &selection, &failures, rules);
        let inputs = sources.iter().map(|source| source.name().to_string()).collect();
        Ok(Self { inputs, summary, failures, fatal, selection, warnings })
    }

    /// Refuses an input without a good record. One whose good records are all left out, as too long, has a result
    /// without rows, so that a shard of an input ends as the input itself would.
    ///
    /// # Errors
    /// [`TaskError::NoRecords`].
    pub(super) fn wants_records(&self) -> Result<(), TaskError> {
        if self.summary.totals.records > 0 {
            return Ok(());
        }
        let (headers, failed) = (self.summary.totals.headers, self.failures.len());
        Err(TaskError::NoRecords { headers, failed, inputs: self.inputs.join(", ") })
    }
}

impl Selection {
    fn of(lengths: &[u32], left_out: &BTreeSet<u64>, rules: &Rules<'_>) -> Self {
        let mut selection = Self::default();
        let whole = |residues: std::ops::Range<usize>| Span { residues: residues.clone(), owned: residues };
        for (index, &length) in (0..).zip(lengths) {
            let length = length as usize;
            selection.over += u64::from(length > rules.trained);
            if left_out.contains(&index) {
                continue;
            }
            let (residues, spans) = match rules.long.cut(length, rules.trained) {
                Cut::Whole => (length, vec![whole(0..length)]),
                Cut::Beginning(residues) => (residues.len(), vec![whole(residues)]),
                Cut::Windows(spans) => (length, spans),
                Cut::Refused | Cut::Skipped => continue,
            };
            selection.records += 1;
            selection.residues += residues;
            selection.rows += rules.masks.rows(index, residues);
            for Span { residues, owned } in spans {
                let (piece, passes) = (residues.len(), rules.masks.passes(index, &owned));
                selection.longest_piece = selection.longest_piece.max(piece);
                selection.passes += passes as u64;
                selection.computed += (passes * piece) as u64;
                selection.computed_squares += passes as f64 * (piece as f64) * (piece as f64);
            }
        }
        selection
    }
}

/// The records, by their numbers, that the policy for long ones leaves out, and those that the model cannot compute. They
/// are known by their lengths alone so far.
fn refused(sources: &[Source], rules: &Rules<'_>) -> Result<Vec<(u64, Failure)>, InputError> {
    let mut failures = Vec::new();
    for item in RecordReader::new(sources, rules.read) {
        let Item::Record(record) = item? else { continue };
        if let Some(reason) = refusal(&record.residues, (&rules.long, rules.trained), &rules.ability) {
            failures.push((record.index, record.failure(reason)));
        }
    }
    Ok(failures)
}

/// Why residues are not computed, if they are not: by the policy for those longer than `trained`, or for what the model is.
pub(super) fn refusal(
    residues: &[u8],
    (long, trained): (&LongPolicy, usize),
    ability: &Ability,
) -> Option<RecordError> {
    match long.cut(residues.len(), trained) {
        Cut::Refused | Cut::Skipped => Some(RecordError::OverTrained { residues: residues.len(), trained }),
        cut => ability.refusal(residues, &cut),
    }
}

fn warnings(
    summary: &Summary,
    selection: &Selection,
    failures: &[Failure],
    rules: &Rules<'_>,
) -> Vec<Warning> {
    let (totals, trained) = (&summary.totals, rules.trained);
    let mut warnings = Warnings::default();
    warnings.add_repairs(totals, "computed and written");
    for (letter, count) in rules.ability.vocabulary.unknown_letters(&totals.letters) {
        warnings.add("unknown_letters", count, || {
            let residues = counted(count, "residue", "residues");
            format!("the model does not know the letter {letter}: {residues} computed as unknown")
        });
    }
    let over = counted(selection.over, "record has", "records have");
    let over = format!("{over} more residues than the {trained} of the model's training");
    match rules.asked {
        Long::Whole => warnings.add("beyond_training", selection.over, || {
            format!("{over}: computed whole, which the model was not trained for (see --long)")
        }),
        Long::Window => warnings.add("windowed", selection.over, || format!("{over}: computed in windows")),
        Long::Truncate => warnings.add("truncated", selection.over, || {
            format!("{over}: cut to their first {trained}, the rest has no result")
        }),
        // They are failures, and counted as such.
        Long::Error | Long::Skip => {}
    }
    warnings.add_left_out(failures.len() as u64);
    warnings.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use pliant_seq::{ESM2, PLUS, Windows};

    fn rules(asked: Long) -> Rules<'static> {
        let long = match asked {
            Long::Whole => LongPolicy::Whole,
            Long::Error => LongPolicy::Error,
            Long::Skip => LongPolicy::Skip,
            Long::Window => LongPolicy::Window(Windows::new(4, 2).unwrap()),
            Long::Truncate => LongPolicy::Truncate,
        };
        Rules {
            read: ReadOptions::default(),
            long,
            asked,
            trained: 4,
            ability: Ability { vocabulary: &ESM2, longest: None, likelihoods: false },
            masks: &Masks::None,
        }
    }

    fn survey(text: &str, asked: Long) -> Survey {
        let sources = [Source::from_bytes("in.fasta", text.as_bytes())];
        Survey::of(&sources, &rules(asked)).unwrap()
    }

    #[test]
    fn a_policy_changes_what_is_computed_and_what_fails() {
        let text = ">a\nMKV\n>bad\n>b\nMKVLA\n>c\nMKVL\n";
        for (asked, records, residues, longest, failures, fatal) in [
            (Long::Whole, 3, 12, 5, 1, 1),
            (Long::Error, 2, 7, 4, 2, 2),
            (Long::Skip, 2, 7, 4, 2, 1),
            (Long::Window, 3, 12, 4, 1, 1),
            (Long::Truncate, 3, 11, 4, 1, 1),
        ] {
            let found = survey(text, asked);
            let selection = found.selection;
            assert_eq!((selection.records, selection.residues), (records, residues), "{asked:?}");
            assert_eq!(selection.longest_piece, longest, "{asked:?}");
            assert_eq!((found.failures.len(), found.fatal), (failures, fatal), "{asked:?}");
        }
    }

    #[test]
    fn what_the_model_cannot_compute_fails_under_every_policy_that_leaves_it_whole() {
        let text = ">a\nMKV\n>b\nMKVLATG\n>c\nMXV\n";
        let found = |asked, longest, likelihoods| {
            let sources = [Source::from_bytes("in.fasta", text.as_bytes())];
            let ability = Ability { vocabulary: &PLUS, longest, likelihoods };
            let found = Survey::of(&sources, &Rules { ability, ..rules(asked) }).unwrap();
            let failed: Vec<u64> = found.failures.iter().map(|failure| failure.record).collect();
            (found.selection.records, found.selection.residues, found.fatal, failed)
        };
        assert_eq!(found(Long::Whole, Some(6), false), (2, 6, 1, vec![2]));
        assert_eq!(found(Long::Window, Some(6), false), (3, 13, 0, vec![]));
        assert_eq!(found(Long::Whole, Some(6), true), (1, 3, 2, vec![2, 3]));
        assert_eq!(found(Long::Skip, None, true), (1, 3, 1, vec![2, 3]));
        assert_eq!(found(Long::Error, Some(6), true), (1, 3, 2, vec![2, 3]));
    }

    #[test]
    fn failures_of_both_kinds_stand_in_the_order_of_the_input() {
        let found = survey(">a\nMKVLA\n>b\n>c\nMKVLAT\n", Long::Error);
        let lines: Vec<(u64, u64)> =
            found.failures.iter().map(|failure| (failure.line, failure.record)).collect();
        assert_eq!(lines, [(1, 1), (3, 2), (4, 3)]);
        assert!(found.wants_records().is_ok(), "good records that are left out are no missing ones");
        assert!(survey(">b\n", Long::Whole).wants_records().is_err());
        let shown = crate::tasks::intake::shown(&found.failures);
        assert_eq!(shown[1], "in.fasta:3 b: the record has no residues");
    }

    #[test]
    fn what_deserves_a_warning_is_counted() {
        let found = survey(">a\nMJ-J*\n>a\nMJJ\n>b\nMKVLA\n>c\n@\n", Long::Truncate);
        let kinds: Vec<(&str, u64)> =
            found.warnings.iter().map(|warning| (warning.kind, warning.count)).collect();
        let wanted = [
            ("duplicates", 1),
            ("gaps", 1),
            ("stops", 1),
            ("unknown_letters", 2),
            ("truncated", 1),
            ("left_out", 1),
        ];
        assert_eq!(kinds, wanted);
        assert_eq!(survey(">a\nMK\n", Long::Whole).warnings, []);
    }
}
