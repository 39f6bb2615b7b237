//! Sequences to packs: laid end to end, no padding, cut by a token budget from the longest to the shortest.

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

/// Which sequences stand in a pack together, by their numbers in `lengths`, the tokens of each: packs of at most
/// `budget_tokens` tokens, a longer sequence alone; longest first, the order of arrival between equals. It depends on
/// nothing else.
pub fn plan_packs(lengths: impl IntoIterator<Item = usize>, budget_tokens: usize) -> Vec<Vec<usize>> {
    let mut waiting: Vec<(usize, usize)> = lengths.into_iter().enumerate().collect();
    waiting.sort_by_key(|&(_, length)| std::cmp::Reverse(length));
    let mut packs = Vec::new();
    let (mut pack, mut tokens) = (Vec::new(), 0);
    for (number, length) in waiting {
        if !pack.is_empty() && tokens + length > budget_tokens {
            packs.push(std::mem::take(&mut pack));
            tokens = 0;
        }
        pack.push(number);
        tokens += length;
    }
    if !pack.is_empty() {
        packs.push(pack);
    }
    packs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::ESM2;

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
        // The second budget is one that a token more would fit exactly.
        for budget_tokens in [24, 25] {
            assert_eq!(plan_packs([5, 12, 5, 7, 12], budget_tokens), [vec![1, 4], vec![3, 0, 2]]);
        }
        assert_eq!(plan_packs([], 24), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn a_sequence_over_the_budget_is_alone() {
        assert_eq!(plan_packs([5, 102, 6], 10), [vec![1], vec![2], vec![0]]);
        assert_eq!(plan_packs([1, 1], 0), [vec![0], vec![1]]);
    }

    #[test]
    fn every_sequence_is_in_one_pack() {
        let lengths: Vec<usize> = (0..200usize).map(|i| 1 + (i * 7919) % 61).collect();
        for budget_tokens in [1, 63, 64, 100, 1000] {
            let packs = plan_packs(lengths.iter().copied(), budget_tokens);
            for pack in &packs {
                let tokens: usize = pack.iter().map(|&number| lengths[number]).sum();
                assert!(tokens <= budget_tokens || pack.len() == 1);
            }
            let mut seen: Vec<usize> = packs.into_iter().flatten().collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..200).collect::<Vec<_>>());
        }
    }
}
