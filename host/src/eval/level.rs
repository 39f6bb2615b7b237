//! Ordered levels, 0 to K: what cumulative probabilities say of them.

use super::confusion::largest;
use super::undefined::{Undefined, same_length};

/// Probabilities `[K+1]` of the levels from those `[K]` of reaching level 1, 2, …: a level has the chance that it is reached
/// and that the next is not, over the sum of all these.
pub fn level_probabilities(reached: &[f64]) -> Vec<f64> {
    let highest = reached.len();
    let at_least = |level: usize| if level == 0 { 1.0 } else { reached[level - 1] };
    let below_next = |level: usize| if level == highest { 1.0 } else { 1.0 - reached[level] };
    let each: Vec<f64> = (0..=highest).map(|level| at_least(level) * below_next(level)).collect();
    let sum: f64 = each.iter().sum();
    each.into_iter().map(|each| each / sum).collect()
}

/// The mean level under probabilities `[K+1]`.
pub fn expected_level(probabilities: &[f64]) -> f64 {
    (0u32..).zip(probabilities).map(|(level, chance)| f64::from(level) * chance).sum()
}

/// The likeliest level, the lower of two that are as likely. It asks no threshold, so nothing is fitted to the set that is
/// measured.
pub fn likeliest_level(probabilities: &[f64]) -> usize {
    largest(probabilities)
}

/// Where one level ends and the next begins on a scale of scores.
///
/// Thresholds fitted on the very set that is measured, as PLUS publishes them, say how well the best reader of that set
/// would do, not how well levels are told: fit them on another set.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds(Vec<f64>);

impl Thresholds {
    /// The thresholds `[K]`, ascending, under which most of `levels` `[R]`, up to `highest`, are told right by `scores`
    /// `[R]`.
    ///
    /// # Errors
    /// [`Undefined`] of nothing, of numbers that are not finite, and of levels over the highest.
    pub fn fit(scores: &[f64], levels: &[u8], highest: u8) -> Result<Self, Undefined> {
        same_length(scores.len(), levels.len())?;
        super::undefined::all_finite(scores)?;
        if scores.is_empty() {
            return Err(Undefined::Empty);
        }
        let classes = usize::from(highest) + 1;
        if let Some(&class) = levels.iter().find(|&&level| level > highest) {
            return Err(Undefined::Class { class: usize::from(class), classes });
        }
        let mut rows: Vec<(f64, u8)> = scores.iter().copied().zip(levels.iter().copied()).collect();
        rows.sort_by(|one, other| one.0.total_cmp(&other.0));
        let groups: Vec<&[(f64, u8)]> = rows.chunk_by(|one, other| one.0 == other.0).collect();
        // right[l]: the most that are right when the groups so far have ascending levels and the last has level l at most.
        let mut right = vec![0u64; classes];
        // The level that the last group has there.
        let mut chosen: Vec<Vec<usize>> = Vec::with_capacity(groups.len());
        for group in &groups {
            let mut best = vec![0; classes];
            let mut levels = vec![0; classes];
            for level in 0..classes {
                let here = group.iter().filter(|(_, truth)| usize::from(*truth) == level).count() as u64;
                best[level] = right[level] + here;
                levels[level] = level;
                if level > 0 && best[level - 1] >= best[level] {
                    best[level] = best[level - 1];
                    levels[level] = levels[level - 1];
                }
            }
            right = best;
            chosen.push(levels);
        }
        let mut level = classes - 1;
        let mut thresholds = vec![f64::INFINITY; classes - 1];
        for (at, group) in groups.iter().enumerate().rev() {
            level = chosen[at][level];
            // Groups from here on reach every level up to theirs.
            let before = at.checked_sub(1).map_or(f64::NEG_INFINITY, |before| groups[before][0].0);
            let middle = before + (group[0].0 - before) / 2.0;
            // Between neighbouring numbers there is no middle.
            let border = if middle.is_finite() && middle < group[0].0 { middle } else { before };
            thresholds[..level].iter_mut().for_each(|threshold| *threshold = border);
        }
        Ok(Self(thresholds))
    }

    /// The level of a score: how many thresholds lie below it.
    pub fn level(&self, score: f64) -> usize {
        self.0.iter().filter(|&&threshold| score > threshold).count()
    }
}
