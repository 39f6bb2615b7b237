//! Draws with replacement, for intervals of numbers that were found of a sample (Efron 1979, doi:10.1214/aos/1176344552).

use crate::random::{self, Purpose};

/// As many numbers below `items` as there are items, each drawn evenly from all of them: a pure function of the seed, the
/// number of the draw and the number of items.
pub fn resample(seed: u64, draw: u64, items: u32) -> impl Iterator<Item = u32> {
    let mut random = random::of_sequence(&random::of_epoch(seed, Purpose::Resample, 0), draw);
    (0..items).map(move |_| random::below(&mut random, items))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_even_with_replacement_and_their_own() {
        let drawn = |seed, draw| resample(seed, draw, 1000).collect::<Vec<u32>>();
        assert_eq!(drawn(1, 2), drawn(1, 2));
        assert!(drawn(1, 2) != drawn(1, 3) && drawn(1, 2) != drawn(2, 2));
        let mut counts = vec![0u32; 1000];
        (0..100).flat_map(|draw| drawn(5, draw)).for_each(|item| counts[item as usize] += 1);
        // Six standard deviations of a binomial count with mean 100.
        assert!(counts.iter().all(|&count| count.abs_diff(100) < 60));
        let mut once = drawn(5, 0);
        once.sort_unstable();
        once.dedup();
        // 1 - 1/e of the items come up.
        assert!(once.len().abs_diff(632) < 60, "{}", once.len());
        assert_eq!(resample(1, 1, 0).count(), 0);
    }
}
