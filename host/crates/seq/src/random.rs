//! Randomness of sampling: ChaCha, seeded by what it is for.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Names the way seeds are made; changes when that way or any draw changes.
const DOMAIN: &[u8] = b"pliant sampling 1\n";

/// What random numbers are for. Each purpose has numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The order of sequences in an epoch.
    Order,
    /// Where crops begin in an epoch.
    Crop,
    /// Which residues are hidden in an epoch.
    Mask,
    /// Crops of sequences that are evaluated.
    EvaluationCrop,
    /// Hidden residues of sequences that are evaluated.
    EvaluationMask,
    /// Which sequences are held out.
    HoldOut,
    /// Which of those are evaluated.
    Pick,
    /// What is drawn again, to see how far chance goes.
    Resample,
    /// Which sequences stand in pairs in an epoch.
    Pair,
    /// Where crops of members of pairs begin in an epoch.
    PairCrop,
    /// Which residues of members of pairs are hidden in an epoch.
    PairMask,
    /// Pairs that are evaluated.
    EvaluationPair,
    /// Pairs of domains of a level.
    Domains,
}

/// The 32 bytes that stand for a seed, a purpose and what it is done to.
pub(crate) fn digest(seed: u64, purpose: Purpose, what: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(DOMAIN);
    hasher.update(&seed.to_le_bytes());
    hasher.update(&[purpose as u8]);
    hasher.update(what);
    *hasher.finalize().as_bytes()
}

/// The generator of a purpose in an epoch, at the start of its stream 0.
pub(crate) fn of_epoch(seed: u64, purpose: Purpose, epoch: u64) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(digest(seed, purpose, &epoch.to_le_bytes()))
}

/// The generator of one sequence in an epoch: the numbers of another sequence are independent of it.
pub(crate) fn of_sequence(epoch: &ChaCha8Rng, sequence: u64) -> ChaCha8Rng {
    let mut random = epoch.clone();
    random.set_stream(sequence);
    random
}

/// The generator of a sequence by its residues alone.
pub(crate) fn of_residues(seed: u64, purpose: Purpose, residues: &[u8]) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(digest(seed, purpose, residues))
}

/// Evenly one of `0..limit`, without the small bias of a remainder (Lemire 2019, doi:10.1145/3230636). `limit` is at
/// least 1.
pub(crate) fn below(random: &mut ChaCha8Rng, limit: u32) -> u32 {
    let mut product = u64::from(random.next_u32()) * u64::from(limit);
    if (product as u32) < limit {
        let least = limit.wrapping_neg() % limit.max(1);
        while (product as u32) < least {
            product = u64::from(random.next_u32()) * u64::from(limit);
        }
    }
    (product >> 32) as u32
}

/// Evenly one of the multiples of 2⁻⁵³ in `[0, 1)`.
pub(crate) fn unit(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Puts `count` of `items`, evenly chosen, to the front, in even order (Fisher and Yates).
pub(crate) fn draw<T>(random: &mut ChaCha8Rng, items: &mut [T], count: usize) {
    for place in 0..count.min(items.len()) {
        // Nothing that is drawn from here has more than u32::MAX items.
        let left = u32::try_from(items.len() - place).unwrap_or(u32::MAX);
        items.swap(place, place + below(random, left) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_is_even() {
        for limit in [1u32, 2, 3, 20, 37] {
            let mut random = of_epoch(1, Purpose::Order, u64::from(limit));
            let mut counts = vec![0u32; limit as usize];
            let draws = 10_000 * limit;
            for _ in 0..draws {
                counts[below(&mut random, limit) as usize] += 1;
            }
            // Six standard deviations of a binomial count with mean 10,000.
            assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 600), "{limit}: {counts:?}");
        }
        // Two thirds of the range: the plain product would give even numbers twice as often.
        let (limit, mut odd) = (0xaaaa_aaabu32, 0u32);
        let mut random = of_epoch(2, Purpose::Order, 0);
        for _ in 0..10_000 {
            odd += below(&mut random, limit) % 2;
        }
        assert!(odd.abs_diff(5_000) < 300, "{odd}");
    }

    #[test]
    fn units_fill_the_interval() {
        let mut random = of_epoch(3, Purpose::Mask, 0);
        let units: Vec<f64> = (0..10_000).map(|_| unit(&mut random)).collect();
        assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)));
        assert!((units.iter().sum::<f64>() / 1e4 - 0.5).abs() < 0.02);
    }

    #[test]
    fn every_order_comes_as_often() {
        let mut random = of_epoch(4, Purpose::Order, 0);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            draw(&mut random, &mut items, 4);
            *counts.entry(items).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|&count| count.abs_diff(1_000) < 190), "{counts:?}");
    }

    #[test]
    fn seeds_purposes_epochs_and_sequences_differ() {
        let first = |mut random: ChaCha8Rng| random.next_u64();
        let epoch = of_epoch(5, Purpose::Mask, 0);
        let numbers = [
            first(epoch.clone()),
            first(of_epoch(6, Purpose::Mask, 0)),
            first(of_epoch(5, Purpose::Crop, 0)),
            first(of_epoch(5, Purpose::Mask, 1)),
            first(of_sequence(&epoch, 1)),
            first(of_sequence(&epoch, 2)),
            first(of_residues(5, Purpose::EvaluationMask, b"MK")),
            first(of_residues(5, Purpose::EvaluationMask, b"MKV")),
        ];
        let distinct: std::collections::BTreeSet<u64> = numbers.into_iter().collect();
        assert_eq!(distinct.len(), numbers.len());
        assert_eq!(first(of_sequence(&epoch, 0)), numbers[0]);
    }
}
