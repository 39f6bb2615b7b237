//! How far chance carries a number that was found of a sample: a bootstrap over its items.

use pliant_seq::resample;

/// Part of the draws below the interval, and above it: 95 of 100 lie within.
const TAIL: f64 = 0.025;

/// How intervals are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The seed of the draws.
    pub seed: u64,
    /// How many; none leaves the intervals out.
    pub draws: u64,
}

impl Interval {
    /// What `measure` says of as many items, each drawn from all of them, time and again; it is given their numbers. One item
    /// says nothing of others.
    pub fn draws<T>(
        &self,
        items: usize,
        mut measure: impl FnMut(&mut dyn Iterator<Item = usize>) -> T,
    ) -> Vec<T> {
        let Some(count) = u32::try_from(items).ok().filter(|&count| count > 1) else {
            return Vec::new();
        };
        let mut draw =
            |number: u64| measure(&mut resample(self.seed, number, count).map(|item| item as usize));
        (0..self.draws).map(&mut draw).collect()
    }
}

/// Between which two numbers 95 of 100 lie; between two draws the line that joins them. Draws that say nothing are left out;
/// nothing where none is left.
pub fn ends(mut drawn: Vec<f64>) -> Option<(f64, f64)> {
    drawn.retain(|number| number.is_finite());
    if drawn.is_empty() {
        return None;
    }
    drawn.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| {
        let place = part * (drawn.len() - 1) as f64;
        let below = place.floor() as usize;
        let above = (below + 1).min(drawn.len() - 1);
        drawn[below] + (drawn[above] - drawn[below]) * (place - below as f64)
    };
    Some((at(TAIL), at(1.0 - TAIL)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_lie_between_draws() {
        let (low, high) = ends((0..=100).map(f64::from).collect()).unwrap();
        assert!((low - 2.5).abs() < 1e-9 && (high - 97.5).abs() < 1e-9);
        assert_eq!(ends(vec![7.0, f64::NAN]), Some((7.0, 7.0)));
        assert_eq!(ends(vec![f64::NAN]), None);
    }

    #[test]
    fn draws_are_as_many_as_items() {
        let interval = Interval { seed: 1, draws: 3 };
        let counts = interval.draws(9, |drawn| drawn.filter(|&item| item < 9).count());
        assert_eq!(counts, [9; 3]);
        assert!(interval.draws(1, |drawn| drawn.count()).is_empty());
        assert!(Interval { draws: 0, ..interval }.draws(9, |drawn| drawn.count()).is_empty());
    }
}
