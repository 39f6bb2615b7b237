//! What was kept, the strongest first, with ranks and with how far each pair stands out among those of its proteins.

use super::Edge;
use super::tally::{Step, Tally, descending};

/// A kept pair.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kept {
    edge: Edge,
    /// Whether it is among the best of its first protein, and of its second.
    best_of: [bool; 2],
}

/// A row of the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// The pair.
    pub edge: Edge,
    /// The place of the second protein among the partners of the first, from 1, and the other way round; `None` where it is
    /// behind the best that were kept.
    pub ranks: [Option<u64>; 2],
    /// Standard deviations above the mean of all logits of the first protein, and of the second; no number where there are
    /// fewer than two, or all are the same.
    pub z: [f64; 2],
}

impl Row {
    /// The mean of one over each rank; what has no rank counts as nothing.
    pub fn reciprocal_rank(&self) -> f64 {
        self.ranks.iter().flatten().map(|&rank| 1.0 / rank as f64).sum::<f64>() / 2.0
    }
}

/// All kept pairs, the strongest first; of equal ones the one with the lower numbers.
pub struct Answer {
    kept: Vec<Kept>,
    /// `[proteins]` mean and standard deviation.
    spreads: Vec<Option<(f64, f64)>>,
}

impl Answer {
    /// The answer of a whole screen.
    pub fn of(mut tally: Tally, step: Step) -> Self {
        let spreads = tally.moments.iter().map(|moments| step.spread(moments)).collect();
        let mut kept: Vec<Kept> = if tally.keep.best.is_some() {
            of_best(&mut tally)
        } else {
            std::mem::take(&mut tally.edges)
                .into_iter()
                .map(|edge| Kept { edge, best_of: [true; 2] })
                .collect()
        };
        kept.sort_unstable_by(|one, other| {
            let (one, other) = (&one.edge, &other.edge);
            descending(one.logit, other.logit).then((one.first, one.second).cmp(&(other.first, other.second)))
        });
        Self { kept, spreads }
    }

    /// Leaves out the pairs of a lower logit. Ranks stay, as what is left out comes behind what stays.
    pub fn cut(&mut self, least: f32) {
        self.kept.retain(|kept| kept.edge.logit >= least);
    }

    /// How many pairs.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Its rows.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        // The strongest come first, so the rank of a pair is the number of pairs of its protein so far.
        let mut seen = vec![0_u64; self.spreads.len()];
        self.kept.iter().map(move |&Kept { edge, best_of }| {
            let numbers = [edge.first, edge.second].map(|number| number as usize);
            let ranks = std::array::from_fn(|side| {
                best_of[side].then(|| {
                    seen[numbers[side]] += 1;
                    seen[numbers[side]]
                })
            });
            let z = numbers.map(|number| match self.spreads[number] {
                Some((mean, deviation)) => (f64::from(edge.logit) - mean) / deviation,
                None => f64::NAN,
            });
            Row { edge, ranks, z }
        })
    }
}

/// Every pair that is among the best of one of its proteins, once.
fn of_best(tally: &mut Tally) -> Vec<Kept> {
    let mut kept = Vec::new();
    for (own, partners) in tally.best().iter().enumerate() {
        let own = own as u32;
        for partner in partners {
            let is_first = own < partner.number;
            let (first, second) = if is_first { (own, partner.number) } else { (partner.number, own) };
            let edge = Edge { first, second, logit: partner.logit };
            kept.push(Kept { edge, best_of: [is_first, !is_first] });
        }
    }
    kept.sort_unstable_by_key(|kept| (kept.edge.first, kept.edge.second));
    kept.dedup_by(|later, earlier| {
        let is_same = (later.edge.first, later.edge.second) == (earlier.edge.first, earlier.edge.second);
        if is_same {
            earlier.best_of = [0, 1].map(|side| earlier.best_of[side] || later.best_of[side]);
        }
        is_same
    });
    kept
}
