//! Records to groups of jobs: what is computed of each record, and what is kept of it.

use pliant_seq::{Cut, LongPolicy, Masked, Record, Span, Tokens, Vocabulary};

use super::ability::Ability;
use super::masks::Masks;
use super::recall::{Found, Keys, Question, Recall};

/// A sequence to compute: a record, its beginning, or one of its windows, with a residue masked or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    /// Number of the record in its group.
    pub(super) slot: usize,
    /// Which residues are computed, and whose rows are kept.
    pub(super) span: Span,
    /// Number of the first of these rows in the result.
    pub(super) row: usize,
    /// Whether the residue whose row is kept is masked.
    pub(super) masked: bool,
}

impl Job {
    /// Its tokens.
    pub(super) fn tokens(&self, slots: &[Slot], vocabulary: &Vocabulary) -> Tokens {
        let Span { residues, owned } = &self.span;
        let slot = &slots[self.slot];
        if let Some(Masked { tokens: shown, .. }) = &slot.asked {
            let mut tokens = vocabulary.encode(&slot.residues[residues.clone()]);
            let shown = &shown.ids[shown.residues.clone()][residues.clone()];
            tokens.ids[tokens.residues.clone()].copy_from_slice(shown);
            return tokens;
        }
        let mut tokens = vocabulary.encode(&slot.residues[residues.clone()]);
        if self.masked {
            tokens.ids[tokens.residues.start + owned.start - residues.start] = vocabulary.mask;
        }
        tokens
    }
}

/// A record of a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slot {
    /// Its id.
    pub(super) id: String,
    /// L, residues that have a result.
    pub(super) length: usize,
    /// Rows of its result: L, or the residues that were chosen.
    pub(super) rows: usize,
    /// Its letters, all of them.
    pub(super) residues: Vec<u8>,
    /// What is hidden of it and asked for, where that is drawn.
    pub(super) asked: Option<Masked>,
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
}

/// How large a group grows; the record that passes a limit is its last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Tokens.
    pub(super) tokens: usize,
}

/// What becomes of records.
pub(super) struct Rules<'a> {
    /// What can be computed of them, and how residues become tokens.
    pub(super) ability: Ability,
    /// What becomes of long ones.
    pub(super) long: LongPolicy,
    /// The training length of the model, in residues.
    pub(super) trained: usize,
    /// Which residues are masked.
    pub(super) masks: &'a Masks,
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
        if self.rules.ability.refusal(&record.residues, &cut).is_some() {
            // The survey has listed it.
            return None;
        }
        let untouched = cut == Cut::Whole;
        let mut spans = match cut {
            Cut::Whole => vec![whole(0..length)],
            Cut::Beginning(residues) => vec![whole(residues)],
            Cut::Windows(spans) => spans,
            // The survey has listed it.
            Cut::Refused | Cut::Skipped => return None,
        };
        let Rules { masks, ability: Ability { vocabulary, .. }, .. } = self.rules;
        let length = spans.last().map_or(0, |span| span.owned.end);
        let asked = match masks {
            Masks::Drawn(sampler) => Some(sampler.evaluation(&record.residues[..length])),
            _ => None,
        };
        let rows =
            asked.as_ref().map_or_else(|| masks.rows(record.index, length), |asked| asked.places.len());
        let (slot, first) = (self.group.slots.len(), self.group.jobs.len());
        let chosen = masks.part(record.index, length);
        let question = Question { residues: &record.residues, whole: untouched, rows, chosen };
        let (keys, found) = self.rules.recall.map(|recall| recall.ask(&question)).unwrap_or_default();
        if found.is_some() {
            // It takes the room of what it would have been made of.
            self.group_tokens += vocabulary.tokens_for(length);
            spans.clear();
        }
        for span in spans {
            for (row, span) in masks.spans(record.index, &span) {
                self.group_tokens += vocabulary.tokens_for(span.residues.len());
                self.computed += span.residues.len() as u64;
                self.group.jobs.push(Job { slot, span, row, masked: masks.one_by_one() });
            }
        }
        let jobs = self.group.jobs.len() - first;
        let Record { id, residues, .. } = record;
        self.group.slots.push(Slot { id, length, rows, residues, asked, jobs, keys, found });
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
        masked_groups(&Masks::None, long, tokens, lengths)
    }

    fn masked_groups(masks: &Masks, long: LongPolicy, tokens: usize, lengths: &[usize]) -> Vec<Group> {
        let ability = Ability { vocabulary: &ESM2, longest: None, likelihoods: false };
        let rules = Rules { ability, long, trained: 10, masks, recall: None };
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
        for job in &groups[0].jobs {
            assert_eq!((job.row, job.span.owned.start), (next, next));
            let tokens = job.tokens(&groups[0].slots, &ESM2);
            assert_eq!(tokens, ESM2.encode(&groups[0].slots[0].residues[job.span.residues.clone()]));
            next = job.span.owned.end;
        }
        assert_eq!((next, groups[0].slots[0].length), (37, 37));
    }

    #[test]
    fn each_mask_is_a_job_in_the_window_that_owns_it() {
        let windows = LongPolicy::Window(Windows::new(10, 4).unwrap());
        let groups = masked_groups(&Masks::Each, windows, 1, &[17]);
        let (slots, jobs) = (&groups[0].slots, &groups[0].jobs);
        assert_eq!((jobs.len(), slots[0].jobs, slots[0].rows), (17, 17, 17));
        assert!(size_of::<Job>() <= 64, "a pass that waits costs no more, whatever the length of its record");
        for (place, job) in jobs.iter().enumerate() {
            assert_eq!((job.row, job.span.owned.clone()), (place, place..place + 1));
            let tokens = job.tokens(slots, &ESM2);
            let masks: Vec<usize> =
                (0..tokens.ids.len()).filter(|&token| tokens.ids[token] == ESM2.mask).collect();
            assert_eq!(masks, [1 + place - job.span.residues.start]);
            assert_eq!(tokens.ids.len(), 12);
        }
    }
}
