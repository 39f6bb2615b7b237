//! Contiguous shards of an input, balanced by residues.
//!
//! The rule: of all ways to cut `n` records into `N` shards of at least one record each, take one whose largest
//! shard is as small as can be, where a record that is alone in its shard does not count, as nothing can make it
//! smaller. Among those, cut from the left, each time where the shard comes nearest to an equal share of the
//! residues that are left for the shards that are left; of two cuts equally near take the earlier. So the cuts
//! depend on nothing but the lengths and `N`.

use std::ops::Range;

/// Cuts records of these lengths into `count` shards: ranges of record indices, in order, without gaps, none
/// empty. Fewer records than `count` give a shard for each, no records none. Time grows as
/// `count · log(records) · log(residues)`.
pub fn shards(lengths: &[u32], count: usize) -> Vec<Range<usize>> {
    let sums = Sums::of(lengths);
    let count = count.min(lengths.len());
    // The smallest limit is at least 0 and at most all residues.
    let (mut low, mut high) = (0, sums.total());
    while low < high {
        let middle = low + (high - low) / 2;
        match sums.needs_more_than(count, middle) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    sums.balanced(count, low)
}

/// Cuts records of these lengths into as few shards as there can be with at most `most` residues each; a longer
/// record is a shard of its own. Among as many shards, the rule of [`shards`] holds.
pub fn shards_of_residues(lengths: &[u32], most: u64) -> Vec<Range<usize>> {
    let sums = Sums::of(lengths);
    let (mut count, mut start) = (0, 0);
    while start < lengths.len() {
        start = sums.farthest(start, most);
        count += 1;
    }
    shards(lengths, count)
}

/// `sums[i]` residues stand before record `i`.
struct Sums(Vec<u64>);

impl Sums {
    fn of(lengths: &[u32]) -> Self {
        let mut sums = Vec::with_capacity(lengths.len() + 1);
        let mut sum = 0;
        sums.push(sum);
        for &length in lengths {
            sum += u64::from(length);
            sums.push(sum);
        }
        Self(sums)
    }

    fn records(&self) -> usize {
        self.0.len() - 1
    }

    fn total(&self) -> u64 {
        self.0[self.records()]
    }

    /// The end of the longest shard from `start` on with at most `limit` residues, or of one record alone.
    fn farthest(&self, start: usize, limit: u64) -> usize {
        let most = self.0[start].saturating_add(limit);
        let fitting = self.0[start + 1..].partition_point(|&sum| sum <= most);
        start + fitting.max(1)
    }

    /// The start of the longest shard that ends at `end`, by the same limit.
    fn nearest(&self, end: usize, limit: u64) -> usize {
        let least = self.0[end].saturating_sub(limit);
        self.0[..end].partition_point(|&sum| sum < least).min(end - 1)
    }

    fn needs_more_than(&self, count: usize, limit: u64) -> bool {
        let mut start = 0;
        for _ in 0..count {
            if start == self.records() {
                return false;
            }
            start = self.farthest(start, limit);
        }
        start < self.records()
    }

    /// Cuts into `count` shards, at most one for each record, under a limit that `count` shards can keep.
    fn balanced(&self, count: usize, limit: u64) -> Vec<Range<usize>> {
        let records = self.records();
        // earliest[k]: from there on, k shards suffice.
        let mut earliest = vec![records; count];
        for shards in 1..count {
            let end = earliest[shards - 1];
            earliest[shards] = if end == 0 { 0 } else { self.nearest(end, limit) };
        }
        let (mut start, mut ranges) = (0, Vec::with_capacity(count));
        for after in (0..count).rev() {
            let first = earliest[after].max(start + 1);
            let last = self.farthest(start, limit).min(records - after);
            let end = self.nearest_to_share(start, first, last, after as u64 + 1);
            ranges.push(start..end);
            start = end;
        }
        ranges
    }

    /// The end in `first..=last` that gives the shard from `start` on nearest to one of `shares` equal shares of
    /// what is left.
    fn nearest_to_share(&self, start: usize, first: usize, last: usize, shares: u64) -> usize {
        let left = self.total() - self.0[start];
        // Compared as multiples of `shares`, so that nothing is rounded.
        let distance = |end: usize| {
            let here = u128::from(self.0[end] - self.0[start]) * u128::from(shares);
            here.abs_diff(u128::from(left))
        };
        let over = self.0[first..=last]
            .partition_point(|&sum| u128::from(sum - self.0[start]) * u128::from(shares) < u128::from(left));
        let after = (first + over).min(last);
        let before = after.saturating_sub(1).max(first);
        if distance(before) <= distance(after) { before } else { after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(lengths: &[u32], shards: &[Range<usize>]) -> Vec<u64> {
        let size =
            |range: &Range<usize>| lengths[range.clone()].iter().map(|&length| u64::from(length)).sum();
        shards.iter().map(size).collect()
    }

    /// Every promise that holds for any lengths.
    fn check(lengths: &[u32], shards: &[Range<usize>]) {
        let mut next = 0;
        for shard in shards {
            assert_eq!(shard.start, next, "{shards:?}");
            assert!(!shard.is_empty(), "{shards:?}");
            next = shard.end;
        }
        assert_eq!(next, lengths.len(), "{shards:?}");
    }

    fn by_count(lengths: &[u32], count: usize) -> Vec<u64> {
        let found = shards(lengths, count);
        check(lengths, &found);
        assert_eq!(found.len(), count.min(lengths.len()));
        sizes(lengths, &found)
    }

    fn by_residues(lengths: &[u32], most: u64) -> Vec<u64> {
        let found = shards_of_residues(lengths, most);
        check(lengths, &found);
        for shard in &found {
            let size = sizes(lengths, std::slice::from_ref(shard))[0];
            assert!(size <= most || shard.len() == 1, "{shard:?} of {lengths:?} has {size}");
        }
        sizes(lengths, &found)
    }

    /// The smallest largest shard by trying every way to cut; a record alone counts as nothing.
    fn best(lengths: &[u32], count: usize) -> u64 {
        let own = |part: &[u32]| match part {
            [_] => 0,
            more => more.iter().map(|&length| u64::from(length)).sum(),
        };
        if count == 1 {
            return own(lengths);
        }
        let cuts = 1..=lengths.len() - (count - 1);
        cuts.map(|cut| own(&lengths[..cut]).max(best(&lengths[cut..], count - 1))).min().unwrap()
    }

    #[test]
    fn equal_records_give_equal_shards() {
        assert_eq!(by_count(&[5; 12], 4), [15; 4]);
        assert_eq!(by_count(&[5; 10], 4), [10, 15, 10, 15]);
        assert_eq!(by_count(&[5; 10], 1), [50]);
    }

    #[test]
    fn a_giant_record_is_alone_and_the_others_are_balanced() {
        let mut lengths = vec![1; 99];
        lengths.insert(0, 1000);
        assert_eq!(by_count(&lengths, 4), [1000, 33, 33, 33]);
        lengths.rotate_left(50);
        // The half with one record more is cut, as 49 is then the most.
        assert_eq!(by_count(&lengths, 4), [49, 1, 1000, 49]);
        lengths.rotate_left(51);
        assert_eq!(by_count(&lengths, 4), [33, 33, 33, 1000]);
        assert_eq!(by_count(&[7, 1000, 3], 2), [7, 1003]);
    }

    #[test]
    fn there_are_never_more_shards_than_records() {
        assert_eq!(by_count(&[9, 1, 4], 3), [9, 1, 4]);
        assert_eq!(by_count(&[9, 1, 4], 4), [9, 1, 4]);
        assert_eq!(by_count(&[9, 1, 4], usize::MAX), [9, 1, 4]);
        assert_eq!(by_count(&[9], 1), [9]);
        assert_eq!(by_count(&[], 3), [0; 0]);
        assert!(shards(&[9], 0).is_empty());
        assert_eq!(by_residues(&[], 3), [0; 0]);
    }

    #[test]
    fn no_way_to_cut_has_a_smaller_largest_shard() {
        let mut state = 7u32;
        for case in 0..300 {
            let count = 1 + case % 5;
            let lengths: Vec<u32> = (0..count + case % 9)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    1 + (state >> 20) % [4, 40, 400][case % 3]
                })
                .collect();
            let found = shards(&lengths, count);
            check(&lengths, &found);
            let own = |(range, size): (&Range<usize>, u64)| if range.len() == 1 { 0 } else { size };
            let largest = found.iter().zip(sizes(&lengths, &found)).map(own).max().unwrap();
            assert_eq!(largest, best(&lengths, count), "{lengths:?} in {count}: {found:?}");
        }
    }

    #[test]
    fn a_limit_of_residues_gives_the_fewest_shards() {
        assert_eq!(by_residues(&[5; 10], 50), [50]);
        assert_eq!(by_residues(&[5; 10], 49), [25, 25]);
        assert_eq!(by_residues(&[5; 10], 14), [10; 5]);
        assert_eq!(by_residues(&[5; 4], 5), [5; 4]);
        assert_eq!(by_residues(&[5; 4], 1), [5; 4]);
        assert_eq!(by_residues(&[2, 100, 2, 2, 3], 5), [2, 100, 4, 3]);
        assert_eq!(by_residues(&[u32::MAX; 3], u64::MAX), [3 * u64::from(u32::MAX)]);
    }

    #[test]
    fn a_substituted_residue_moves_no_cut() {
        // Lengths are all that is looked at; a record more moves only what must move.
        let lengths: Vec<u32> = (0..200).map(|number| 50 + (number * 7919) % 411).collect();
        let sizes = by_count(&lengths, 7);
        let share = sizes.iter().sum::<u64>() / 7;
        assert!(sizes.iter().all(|&size| size.abs_diff(share) <= 460), "{sizes:?} around {share}");
    }
}
