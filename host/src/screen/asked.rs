//! Which pairs are scored.

use std::ops::Range;

use super::Shard;

/// First proteins of a unit of work. It is the same everywhere, as shards and checkpoints count in units.
const STRIP: usize = 512;

/// Named pairs of a unit of work.
const LISTED: usize = 1 << 16;

/// Which list of two a protein stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    First,
    /// The second.
    Second,
    /// Both.
    Both,
}

impl Side {
    /// Whether one of each list can be found among the two.
    pub fn meets(self, other: Self) -> bool {
        self.wanted() & other.bits() != 0
    }

    /// The lists that it stands in, a bit each.
    pub fn bits(self) -> u8 {
        match self {
            Self::First => 1,
            Self::Second => 2,
            Self::Both => 3,
        }
    }

    /// The lists that its partners stand in.
    pub fn wanted(self) -> u8 {
        match self {
            Self::First => 2,
            Self::Second => 1,
            Self::Both => 3,
        }
    }
}

/// Pairs of proteins, by their numbers. No protein is paired with itself, and no pair is there twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// All of them.
    All,
    /// Those of a protein of one list with one of another; the lists of each protein.
    Between(Vec<Side>),
    /// Named ones, each with the lower number first, sorted.
    Listed(Vec<[u32; 2]>),
}

/// A unit of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// First proteins, with all that come after each.
    Strip(Range<usize>),
    /// Named pairs, by their places.
    Listed(Range<usize>),
}

impl Asked {
    /// Units of work for so many proteins.
    pub fn units(&self, proteins: usize) -> usize {
        match self {
            Self::All | Self::Between(_) => proteins.div_ceil(STRIP),
            Self::Listed(pairs) => pairs.len().div_ceil(LISTED),
        }
    }

    /// The unit of a number.
    pub fn unit(&self, number: usize, proteins: usize) -> Unit {
        let range = |size: usize, length: usize| number * size..length.min((number + 1) * size);
        match self {
            Self::All | Self::Between(_) => Unit::Strip(range(STRIP, proteins)),
            Self::Listed(pairs) => Unit::Listed(range(LISTED, pairs.len())),
        }
    }

    /// Whether a pair is asked for; numbers of two different proteins.
    pub fn holds(&self, first: usize, second: usize) -> bool {
        match self {
            Self::All => true,
            Self::Between(sides) => sides[first].meets(sides[second]),
            Self::Listed(pairs) => {
                let (low, high) = (first.min(second) as u32, first.max(second) as u32);
                pairs.binary_search(&[low, high]).is_ok()
            }
        }
    }

    /// `[units]` pairs of each unit.
    pub fn pairs(&self, proteins: usize) -> Vec<u64> {
        let mut pairs = vec![0; self.units(proteins)];
        match self {
            Self::Listed(list) => {
                pairs.iter_mut().enumerate().for_each(|(number, pairs)| {
                    *pairs = (list.len() - number * LISTED).min(LISTED) as u64;
                });
            }
            Self::All => {
                (0..proteins).for_each(|first| pairs[first / STRIP] += (proteins - 1 - first) as u64);
            }
            Self::Between(sides) => {
                // Of the proteins after the one that is looked at: alone in the first list, alone in the second, in both.
                let mut after = [0_u64; 3];
                for first in (0..proteins).rev() {
                    let [one, other, both] = after;
                    let (met, own) = match sides[first] {
                        Side::First => (other + both, 0),
                        Side::Second => (one + both, 1),
                        Side::Both => (one + other + both, 2),
                    };
                    pairs[first / STRIP] += met;
                    after[own] += 1;
                }
            }
        }
        pairs
    }

    /// `[proteins]` how many others each is asked for with.
    pub fn partners(&self, proteins: usize) -> Vec<u64> {
        match self {
            Self::All => vec![proteins.saturating_sub(1) as u64; proteins],
            Self::Between(sides) => {
                let count = |side: Side| sides.iter().filter(|own| own.meets(side)).count() as u64;
                let [first, second] = [Side::First, Side::Second].map(count);
                let of = |side: &Side| match side {
                    Side::First => first,
                    Side::Second => second,
                    Side::Both => proteins as u64 - 1,
                };
                sides.iter().map(of).collect()
            }
            Self::Listed(pairs) => {
                let mut partners = vec![0; proteins];
                pairs.iter().flatten().for_each(|&number| partners[number as usize] += 1);
                partners
            }
        }
    }

    /// The units of a shard: one after the other, with about as many pairs as those of any other shard.
    pub fn of_shard(&self, shard: Shard, proteins: usize) -> Range<usize> {
        let pairs = self.pairs(proteins);
        let total: u128 = pairs.iter().map(|&pairs| u128::from(pairs)).sum();
        let start = |number: usize| {
            if number >= shard.count {
                return pairs.len();
            }
            let mut sum = 0_u128;
            pairs
                .iter()
                .position(|&own| {
                    let is_start = sum * shard.count as u128 >= total * number as u128;
                    sum += u128::from(own);
                    is_start
                })
                .unwrap_or(pairs.len())
        };
        start(shard.number - 1)..start(shard.number)
    }
}
