//! Sequences to packs: laid end to end, no padding, cut by a token budget from a length-sorted window.

use std::ops::Range;

use crate::vocabulary::Tokens;

/// B sequences laid end to end, T tokens in all. Sequences are whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pack {
    /// `[T]` token ids.
    pub ids: Vec<u32>,
    /// `[B+1]` where each sequence begins in `ids`; the first is 0 and the last is T.
    pub offsets: Vec<usize>,
    /// `[B]` the caller's number of each sequence: a record's index, or a job's where records are cut to
    /// windows.
    pub rows: Vec<u64>,
    /// `[B]` where the residues of each sequence stand in `ids`.
    pub residues: Vec<Range<usize>>,
}

impl Pack {
    /// A pack of nothing.
    pub fn new() -> Self {
        Self { offsets: vec![0], ..Self::default() }
    }

    /// Lays one more sequence behind the others.
    pub fn push(&mut self, row: u64, tokens: &Tokens) {
        let start = self.ids.len();
        self.ids.extend_from_slice(&tokens.ids);
        self.offsets.push(self.ids.len());
        self.rows.push(row);
        self.residues.push(start + tokens.residues.start..start + tokens.residues.end);
    }

    /// B, the number of sequences.
    pub fn sequences(&self) -> usize {
        self.rows.len()
    }

    /// T, the number of tokens.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }
}

/// How many sequences are gathered before they are sorted and cut. A larger window makes packs of more equal
/// lengths and holds back more results, which return to input order behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Sequences that fill the window.
    pub max_records: usize,
    /// Tokens that fill the window.
    pub max_tokens: usize,
}

/// Gathers sequences and cuts them to packs. Deterministic: packs depend on the sequences, their order, the
/// window and the budget, never on time.
#[derive(Debug)]
pub struct Packer {
    window: Window,
    budget_tokens: usize,
    waiting: Vec<(u64, Tokens)>,
    waiting_tokens: usize,
}

impl Packer {
    /// Packs of at most `budget_tokens` tokens; a longer sequence is a pack of its own.
    pub fn new(window: Window, budget_tokens: usize) -> Self {
        Self { window, budget_tokens, waiting: Vec::new(), waiting_tokens: 0 }
    }

    /// Takes a sequence. Returns the packs of the window when this one fills it, else nothing.
    pub fn push(&mut self, row: u64, tokens: Tokens) -> Vec<Pack> {
        self.waiting_tokens += tokens.ids.len();
        self.waiting.push((row, tokens));
        let full =
            self.waiting.len() >= self.window.max_records || self.waiting_tokens >= self.window.max_tokens;
        if full { self.flush() } else { Vec::new() }
    }

    /// The packs of what is waiting, longest sequences first; the order of arrival decides between equals.
    pub fn flush(&mut self) -> Vec<Pack> {
        self.waiting_tokens = 0;
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|(_, tokens)| std::cmp::Reverse(tokens.ids.len()));
        let mut packs = Vec::new();
        let mut pack = Pack::new();
        for (row, tokens) in waiting {
            if pack.sequences() > 0 && pack.tokens() + tokens.ids.len() > self.budget_tokens {
                packs.push(std::mem::replace(&mut pack, Pack::new()));
            }
            pack.push(row, &tokens);
        }
        if pack.sequences() > 0 {
            packs.push(pack);
        }
        packs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::ESM2;

    const WIDE: Window = Window { max_records: usize::MAX, max_tokens: usize::MAX };

    fn sequence(length: usize) -> Tokens {
        ESM2.encode(&b"LAGVSERTIDPKQNFYMHWC".repeat(length / 20 + 1)[..length])
    }

    fn packs(lengths: &[usize], window: Window, budget_tokens: usize) -> Vec<Pack> {
        let mut packer = Packer::new(window, budget_tokens);
        let mut packs = Vec::new();
        for (row, &length) in lengths.iter().enumerate() {
            packs.extend(packer.push(row as u64, sequence(length)));
        }
        packs.extend(packer.flush());
        packs
    }

    fn rows(packs: &[Pack]) -> Vec<Vec<u64>> {
        packs.iter().map(|pack| pack.rows.clone()).collect()
    }

    #[test]
    fn a_pack_says_where_everything_is() {
        let mut pack = Pack::new();
        assert_eq!((pack.sequences(), pack.tokens(), pack.offsets.as_slice()), (0, 0, &[0][..]));
        pack.push(7, &ESM2.encode(b"MK"));
        pack.push(9, &ESM2.encode(b"A"));
        assert_eq!(pack.ids, [0, 20, 15, 2, 0, 5, 2]);
        assert_eq!(pack.offsets, [0, 4, 7]);
        assert_eq!(pack.rows, [7, 9]);
        assert_eq!(pack.residues, [1..3, 5..6]);
    }

    #[test]
    fn longest_first_equals_by_arrival_and_the_budget_is_kept() {
        // Tokens: 5, 12, 5, 7, 12.
        let packs = packs(&[3, 10, 3, 5, 10], WIDE, 24);
        assert_eq!(rows(&packs), [vec![1, 4], vec![3, 0, 2]]);
        // A budget that one more token would fit exactly.
        assert_eq!(packs[0].tokens(), 24);
    }

    #[test]
    fn a_sequence_over_the_budget_is_alone_and_whole() {
        let packs = packs(&[3, 100, 4], WIDE, 10);
        assert_eq!(rows(&packs), [vec![1], vec![2], vec![0]]);
        assert_eq!(packs[0].tokens(), 102);
        let zero = super::tests::packs(&[1, 1], WIDE, 0);
        assert_eq!(rows(&zero), [vec![0], vec![1]]);
    }

    #[test]
    fn a_full_window_is_cut_at_once() {
        let mut packer = Packer::new(Window { max_records: 2, max_tokens: usize::MAX }, 1000);
        assert!(packer.push(0, sequence(3)).is_empty());
        assert_eq!(rows(&packer.push(1, sequence(9))), [vec![1, 0]]);
        assert!(packer.flush().is_empty());
        let mut packer = Packer::new(Window { max_records: usize::MAX, max_tokens: 12 }, 1000);
        assert!(packer.push(0, sequence(3)).is_empty());
        assert_eq!(rows(&packer.push(1, sequence(5))), [vec![1, 0]]);
        // The count starts anew.
        assert!(packer.push(2, sequence(3)).is_empty());
    }

    #[test]
    fn every_sequence_comes_out_once_and_whole() {
        let lengths: Vec<usize> = (0..200usize).map(|i| 1 + (i * 7919) % 61).collect();
        for budget_tokens in [1, 63, 64, 100, 1000] {
            for max_records in [1, 7, 64, 1000] {
                let window = Window { max_records, max_tokens: 2000 };
                let mut seen = vec![false; lengths.len()];
                for pack in packs(&lengths, window, budget_tokens) {
                    assert!(pack.tokens() <= budget_tokens || pack.sequences() == 1);
                    assert_eq!(pack.offsets.len(), pack.sequences() + 1);
                    for (b, &row) in pack.rows.iter().enumerate() {
                        let whole = sequence(lengths[row as usize]);
                        assert_eq!(pack.ids[pack.offsets[b]..pack.offsets[b + 1]], whole.ids);
                        assert_eq!(pack.residues[b].len(), lengths[row as usize]);
                        assert_eq!(pack.residues[b].start, pack.offsets[b] + 1);
                        assert!(!std::mem::replace(&mut seen[row as usize], true));
                    }
                }
                assert!(seen.iter().all(|&seen| seen));
            }
        }
    }
}
