//! What is kept of all pairs that were scored.

use std::cmp::Ordering;
use std::ops::Range;

use pliant_kernels::ops::pair_sums::{MOST, Sums};

use super::Edge;

/// Logits are added up as whole numbers of this part of the largest logit that a head can give: sums of them are exact, so
/// that no order of adding matters. One of up to twice the size that was said counts as what it is.
const STEPS: f64 = MOST as f64 / 2.0;

/// A partner of a protein.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Partner {
    /// What the head says of both.
    pub logit: f32,
    /// Its number.
    pub number: u32,
}

impl Partner {
    /// The better one first: the larger logit, and of equal ones the lower number.
    pub fn order(&self, other: &Self) -> Ordering {
        descending(self.logit, other.logit).then(self.number.cmp(&other.number))
    }
}

/// The order of logits, the largest first; 0 and -0 are the same.
pub fn descending(one: f32, other: f32) -> Ordering {
    (other + 0.0).total_cmp(&(one + 0.0))
}

/// Which pairs are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keep {
    /// The best so many partners of every protein; all where there is no number.
    pub best: Option<usize>,
    /// The least logit.
    pub least: f32,
}

/// The size of a step, a power of two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step(f32);

impl Step {
    /// For logits of at most this size.
    pub fn of(largest: f64) -> Self {
        let wanted = (largest.max(f64::from(f32::MIN_POSITIVE)) / STEPS).log2().ceil();
        Self(wanted.clamp(-120.0, 120.0).exp2() as f32)
    }

    /// One over the size.
    pub(super) fn inverse(self) -> f32 {
        self.0.recip()
    }

    /// Mean and standard deviation of the logits; nothing where there are fewer than two, or all are the same.
    pub fn spread(self, moments: &Sums) -> Option<(f64, f64)> {
        let count = f64::from(moments.count);
        if moments.count < 2 {
            return None;
        }
        let (sum, squares) = (i128::from(moments.sum), i128::from(moments.squares));
        // Σ q² - (Σ q)²/n over whole numbers, so that nothing is lost in the difference.
        let above = squares * i128::from(moments.count) - sum * sum;
        let deviation = (above as f64 / count / (count - 1.0)).sqrt() * f64::from(self.0);
        (deviation > 0.0).then(|| (sum as f64 / count * f64::from(self.0), deviation))
    }
}

/// What is kept of the pairs of some proteins that follow each other, and of a whole screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// What is kept.
    pub keep: Keep,
    /// `[proteins]` what a pair must reach to be looked at: no better than the last of the best.
    pub(super) least: Vec<f32>,
    /// `[proteins]` at least the best partners so far, in no order.
    pub(super) best: Vec<Vec<Partner>>,
    /// `[proteins]`
    pub moments: Vec<Sums>,
    /// Pairs, where all are kept, in no order.
    pub(super) edges: Vec<Edge>,
}

impl Tally {
    /// Nothing yet of so many proteins.
    pub fn new(proteins: usize, keep: Keep) -> Self {
        Self {
            keep,
            least: vec![keep.least; proteins],
            best: vec![Vec::new(); if keep.best.is_some() { proteins } else { 0 }],
            moments: vec![Sums::default(); proteins],
            edges: Vec::new(),
        }
    }

    /// How many proteins.
    pub fn proteins(&self) -> usize {
        self.moments.len()
    }

    /// Pairs that are kept, those among the best of both of their proteins twice.
    pub fn kept(&self) -> usize {
        let count = self.keep.best.unwrap_or(usize::MAX);
        self.edges.len() + self.best.iter().map(|best| best.len().min(count)).sum::<usize>()
    }

    /// Takes a pair; the moments are taken by themselves.
    pub fn push(&mut self, edge: Edge) {
        let Some(count) = self.keep.best else {
            self.edges.push(edge);
            return;
        };
        let Edge { first, second, logit } = edge;
        for (own, number) in [(first, second), (second, first)] {
            let own = own as usize;
            offer(&mut self.best[own], &mut self.least[own], count, Partner { logit, number });
        }
    }

    /// Adds what was kept of other pairs of the same proteins.
    pub fn add(&mut self, other: Self) {
        self.moments.iter_mut().zip(&other.moments).for_each(|(own, other)| own.add(other));
        self.edges.extend(other.edges);
        if let Some(count) = self.keep.best {
            for (own, partners) in other.best.into_iter().enumerate() {
                for partner in partners {
                    offer(&mut self.best[own], &mut self.least[own], count, partner);
                }
            }
        }
    }

    /// The best partners of every protein, the best first, and no more than wanted.
    pub fn best(&mut self) -> &[Vec<Partner>] {
        let count = self.keep.best.unwrap_or(usize::MAX);
        for partners in &mut self.best {
            partners.sort_unstable_by(Partner::order);
            partners.truncate(count);
        }
        &self.best
    }
}

/// Takes a partner of a protein among its best `count`.
#[inline]
pub(super) fn offer(best: &mut Vec<Partner>, least: &mut f32, count: usize, partner: Partner) {
    best.push(partner);
    if best.len() >= room(count) {
        best.select_nth_unstable_by(count - 1, Partner::order);
        best.truncate(count);
        // What is no better than the last of them cannot come in; an equal one still may, by its number.
        *least = best[count - 1].logit;
    }
}

/// Proteins across the smallest block.
pub const LANES_OF_BLOCKS: usize = 16;

/// Partners that are gathered before the best of them are chosen.
pub fn room(count: usize) -> usize {
    2 * count + 14
}

/// The proteins of a range, apart, for threads that each take some.
pub(super) struct Slice<'a> {
    /// Number of the first of them.
    pub(super) first: usize,
    pub(super) least: &'a mut [f32],
    pub(super) best: &'a mut [Vec<Partner>],
}

impl Tally {
    /// Proteins of a range, cut into pieces of at most `size`.
    pub(super) fn slices(&mut self, range: Range<usize>, size: usize) -> Vec<Slice<'_>> {
        let starts = range.clone().step_by(size);
        let mut best: Vec<&mut [Vec<Partner>]> = if self.best.is_empty() {
            starts.clone().map(|_| &mut [][..]).collect()
        } else {
            self.best[range.clone()].chunks_mut(size).collect()
        };
        let least = self.least[range].chunks_mut(size);
        starts
            .zip(least)
            .zip(best.drain(..))
            .map(|((first, least), best)| Slice { first, least, best })
            .collect()
    }
}
