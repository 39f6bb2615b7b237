//! Records to groups of jobs: what is computed of each record, and what is kept of it.

use pliant_seq::{Cut, LongPolicy, Record, Span, Tokens, Vocabulary};

use super::recall::{Found, Keys, Question, Recall};

/// A sequence to compute: a record, its beginning, or one of its windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    /// Number of the record in its group.
    pub(super) slot: usize,
    /// Which residues are computed, and whose states are kept.
    pub(super) span: Span,
}

/// A record of a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slot {
    /// Its id.
    pub(super) id: String,
    /// L, residues that have a result.
    pub(super) length: usize,
    /// Jobs that its result is made of; none where it was found.
    pub(super) jobs: usize,
    /// What the cache knows it by; nothing without a cache.
    pub(super) keys: Keys,
    /// Its result, where the cache had it and until it becomes a row.
    pub(super) found: Option<Found>,
}

/// A stretch of the input.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Its records, in the order of the input.
    pub(super) slots: Vec<Slot>,
    /// What is computed.
    pub(super) jobs: Vec<Job>,
    /// The tokens of each job.
    pub(super) tokens: Vec<Tokens>,
}

/// How large a group grows; the record that passes a limit is its last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Tokens.
    pub(super) tokens: usize,
}

/// What becomes of records.
pub(super) struct Rules<'a> {
    /// How residues become tokens.
    pub(super) vocabulary: &'static Vocabulary,
    /// What becomes of long ones.
    pub(super) long: LongPolicy,
    /// The training length of the model, in residues.
    pub(super) trained: usize,
    /// Where a result may be already.
    pub(super) recall: Option<&'a Recall>,
}

/// Makes groups of records.
pub(super) struct Builder<'a> {
    rules: Rules<'a>,
    limits: Limits,
    group: Group,
    group_tokens: usize,
    computed: u64,
}

impl<'a> Builder<'a> {
    pub(super) fn new(rules: Rules<'a>, limits: Limits) -> Self {
        Self { rules, limits, group: Group::default(), group_tokens: 0, computed: 0 }
    }

    /// Residues that were to be computed so far, those in overlaps of windows again.
    pub(super) fn computed(&self) -> u64 {
        self.computed
    }

    /// Takes a record; gives the group that it completes.
    pub(super) fn push(&mut self, record: Record) -> Option<Group> {
        let length = record.residues.len();
        let whole = |residues: std::ops::Range<usize>| Span { residues: residues.clone(), owned: residues };
        let cut = self.rules.long.cut(length, self.rules.trained);
        let untouched = cut == Cut::Whole;
        let mut spans = match cut {
            Cut::Whole => vec![whole(0..length)],
            Cut::Beginning(residues) => vec![whole(residues)],
            Cut::Windows(spans) => spans,
            // The survey has listed it.
            Cut::Refused | Cut::Skipped => return None,
        };
        let length = spans.last().map_or(0, |span| span.owned.end);
        let slot = self.group.slots.len();
        let question = Question { residues: &record.residues, whole: untouched, length };
        let (keys, found) = self.rules.recall.map(|recall| recall.ask(&question)).unwrap_or_default();
        if found.is_some() {
            // It takes the room of what it would have been made of.
            self.group_tokens += self.rules.vocabulary.tokens_for(length);
            spans.clear();
        }
        self.group.slots.push(Slot { id: record.id, length, jobs: spans.len(), keys, found });
        for span in spans {
            let tokens = self.rules.vocabulary.encode(&record.residues[span.residues.clone()]);
            self.group_tokens += tokens.ids.len();
            self.computed += span.residues.len() as u64;
            self.group.tokens.push(tokens);
            self.group.jobs.push(Job { slot, span });
        }
        (self.group_tokens >= self.limits.tokens).then(|| self.take())
    }

    /// The records that wait, if any.
    pub(super) fn finish(&mut self) -> Option<Group> {
        (!self.group.slots.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> Group {
        self.group_tokens = 0;
        std::mem::take(&mut self.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pliant_seq::{ESM2, Windows};

    fn record(index: u64, length: usize) -> Record {
        let residues = b"MKVLATGSHR".iter().copied().cycle().take(length).collect();
        Record {
            index,
            id: format!("r{index}"),
            residues,
            file: "f".into(),
            line: index + 1,
            record: index + 1,
        }
    }

    fn groups(long: LongPolicy, tokens: usize, lengths: &[usize]) -> Vec<Group> {
        let rules = Rules { vocabulary: &ESM2, long, trained: 10, recall: None };
        let mut builder = Builder::new(rules, Limits { tokens });
        let mut groups: Vec<Group> =
            (0..).zip(lengths).filter_map(|(index, &length)| builder.push(record(index, length))).collect();
        groups.extend(builder.finish());
        groups
    }

    #[test]
    fn every_record_is_in_one_group_in_its_order() {
        let groups = groups(LongPolicy::Whole, 30, &[3, 20, 4, 40, 5]);
        let ids: Vec<Vec<&str>> =
            groups.iter().map(|group| group.slots.iter().map(|slot| slot.id.as_str()).collect()).collect();
        // 5 + 22, then 6 more make 33; the next is over the limit alone.
        assert_eq!(ids, [vec!["r0", "r1", "r2"], vec!["r3"], vec!["r4"]]);
    }

    #[test]
    fn policies_cut_what_is_long_and_nothing_else() {
        let lengths = [10, 25];
        let windows = LongPolicy::Window(Windows::new(10, 5).unwrap());
        for (long, slots, jobs) in [
            (LongPolicy::Whole, vec![(10, 1), (25, 1)], 2),
            (LongPolicy::Truncate, vec![(10, 1), (10, 1)], 2),
            (LongPolicy::Skip, vec![(10, 1)], 1),
            (LongPolicy::Error, vec![(10, 1)], 1),
            (windows, vec![(10, 1), (25, 4)], 5),
        ] {
            let groups = groups(long, 1000, &lengths);
            let found: Vec<(usize, usize)> =
                groups[0].slots.iter().map(|slot| (slot.length, slot.jobs)).collect();
            assert_eq!((found, groups[0].jobs.len()), (slots, jobs), "{long}");
        }
    }

    #[test]
    fn owned_residues_of_windows_tile_the_record() {
        let windows = LongPolicy::Window(Windows::new(10, 4).unwrap());
        let groups = groups(windows, 1, &[37]);
        let mut next = 0;
        for (job, tokens) in groups[0].jobs.iter().zip(&groups[0].tokens) {
            assert_eq!(job.span.owned.start, next);
            assert_eq!(tokens.residues.len(), job.span.residues.len());
            next = job.span.owned.end;
        }
        assert_eq!((next, groups[0].slots[0].length), (37, 37));
    }
}
