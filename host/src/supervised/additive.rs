//! What each protein by itself tells of the pairs that it is in: `logit = b + w_first + w_second`, a number for each training
//! protein and nothing of its residues. Where negatives were not drawn with care, this alone tells much.
//!
//! Learnt with a penalty of `½·Σw²` by Newton's steps of one number after the other, in the order of the proteins, in 64
//! bits: the same numbers everywhere. A protein that the training has not counts 0.

use std::collections::BTreeMap;

use pliant_seq::tables::{Label, LabelledSet, Members};

use super::error::HeadError;

/// Passes over all numbers at most.
const MOST_PASSES: usize = 200;

/// A pass that changes no number by more is the last.
const SMALL: f64 = 1e-7;

/// A number for each protein.
#[derive(Debug)]
pub struct Additive {
    bias: f64,
    /// By residues.
    weights: BTreeMap<Vec<u8>, f64>,
}

impl Additive {
    /// Learns of pairs of two classes.
    ///
    /// # Errors
    /// [`HeadError::Unfit`] for other examples.
    pub fn learn(set: &LabelledSet) -> Result<Self, HeadError> {
        if !set.are_pairs() || set.classes().len() != 2 {
            let what = "--controls additive is for pairs of two classes".to_owned();
            return Err(HeadError::Unfit { what });
        }
        let labels: Vec<f64> =
            (0..set.len()).map(|at| if set.label(at) == Label::Class(1) { 1.0 } else { 0.0 }).collect();
        let members: Vec<[usize; 2]> = (0..set.len()).map(|at| both(set, at)).collect();
        // Pairs of each protein, with how often it stands in them.
        let mut own: Vec<Vec<(usize, f64)>> = vec![Vec::new(); set.sequences()];
        for (pair, &[first, second]) in members.iter().enumerate() {
            if first == second {
                own[first].push((pair, 2.0));
            } else {
                own[first].push((pair, 1.0));
                own[second].push((pair, 1.0));
            }
        }
        let everywhere: Vec<(usize, f64)> = (0..set.len()).map(|pair| (pair, 1.0)).collect();
        let (mut bias, mut weights) = (0.0, vec![0.0; set.sequences()]);
        let mut logits = vec![0.0; set.len()];
        for _ in 0..MOST_PASSES {
            let mut most = newton(&everywhere, &labels, &mut logits, &mut bias, 0.0);
            for (pairs, weight) in own.iter().zip(&mut weights) {
                most = most.max(newton(pairs, &labels, &mut logits, weight, 1.0));
            }
            if most < SMALL {
                break;
            }
        }
        let weights = weights.iter().enumerate().map(|(at, &weight)| (set.sequence(at).to_vec(), weight));
        Ok(Self { bias, weights: weights.collect() })
    }

    /// The logits of pairs.
    pub fn told(&self, set: &LabelledSet) -> Vec<f32> {
        let weight = |sequence: usize| self.weights.get(set.sequence(sequence)).copied().unwrap_or_default();
        let logit = |at: usize| {
            let [first, second] = both(set, at);
            (self.bias + weight(first) + weight(second)) as f32
        };
        (0..set.len()).map(logit).collect()
    }

    /// Proteins of a set that were learnt of.
    pub fn known(&self, set: &LabelledSet) -> usize {
        (0..set.sequences()).filter(|&at| self.weights.contains_key(set.sequence(at))).count()
    }
}

fn both(set: &LabelledSet, example: usize) -> [usize; 2] {
    match set.members(example) {
        Members::One(sequence) => [sequence; 2],
        Members::Two(both) => both,
    }
}

/// One step of one number along the pairs it stands in; gives how far it went.
fn newton(pairs: &[(usize, f64)], labels: &[f64], logits: &mut [f64], number: &mut f64, penalty: f64) -> f64 {
    /// A step is not longer, so that far logits do not throw it further.
    const LONGEST: f64 = 4.0;
    let (mut slope, mut curve) = (penalty * *number, penalty);
    for &(pair, times) in pairs {
        let chance = 1.0 / (1.0 + libm::exp(-logits[pair]));
        slope += times * (chance - labels[pair]);
        curve += times * times * chance * (1.0 - chance);
    }
    if curve <= f64::MIN_POSITIVE {
        return 0.0;
    }
    let step = (-slope / curve).clamp(-LONGEST, LONGEST);
    *number += step;
    for &(pair, times) in pairs {
        logits[pair] += times * step;
    }
    step.abs()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pliant_seq::Source;
    use pliant_seq::tables::{Proteins, forms};

    use super::*;

    fn set(pairs: &[(usize, usize, u8)]) -> LabelledSet {
        let letters = b"ACDEFGHIKLMNPQRSTVWY";
        let fasta: String = (0..20).map(|at| format!(">p{at}\nMK{}\n", letters[at] as char)).collect();
        let proteins = Proteins::read(&Source::from_bytes("p", fasta.as_bytes()), 100, None).unwrap();
        let mut text = "id_a\tid_b\tlabel\n".to_owned();
        for (first, second, label) in pairs {
            text += &format!("p{first}\tp{second}\t{label}\n");
        }
        let options = forms::interactions(Arc::new(proteins));
        LabelledSet::read(&[Source::from_bytes("t", text.as_bytes())], &options).unwrap().0
    }

    /// The gradient of the penalised loss is zero: what scikit-learn's `LogisticRegression(C=1)` on counts of proteins
    /// ends with, but for its own tolerance.
    #[test]
    fn what_is_learnt_is_the_least_of_the_loss() {
        let mut pairs: Vec<(usize, usize, u8)> =
            (0..60).map(|at| (at % 7, (at * at + 3) % 11, u8::from((at * 5 + at / 3) % 3 == 0))).collect();
        pairs.sort_unstable();
        pairs.dedup_by_key(|(first, second, _)| (*first, *second));
        let set = set(&pairs);
        let model = Additive::learn(&set).unwrap();
        let told = model.told(&set);
        let mut slopes = BTreeMap::<Vec<u8>, f64>::new();
        let mut whole = 0.0;
        for (at, logit) in told.iter().enumerate() {
            let wanted = if set.label(at) == Label::Class(1) { 1.0 } else { 0.0 };
            let off = 1.0 / (1.0 + (-f64::from(*logit)).exp()) - wanted;
            whole += off;
            for sequence in both(&set, at) {
                *slopes.entry(set.sequence(sequence).to_vec()).or_default() += off;
            }
        }
        assert!(whole.abs() < 1e-4, "{whole}");
        for (residues, slope) in slopes {
            assert!((slope + model.weights[&residues]).abs() < 1e-4, "{slope}");
        }
    }

    #[test]
    fn hubs_are_known_and_strangers_are_not() {
        // Whatever has protein 0 interacts, whatever has protein 1 does not.
        let pairs: Vec<(usize, usize, u8)> =
            (2..12).flat_map(|other| [(0, other, 1), (1, other, 0)]).collect();
        let model = Additive::learn(&set(&pairs)).unwrap();
        let asked = set(&[(0, 15, 1), (1, 15, 0), (14, 15, 1), (0, 0, 0)]);
        let told = model.told(&asked);
        assert!(told[0] > 1.0 && told[1] < -1.0 && told[3] > told[0], "{told:?}");
        assert!((f64::from(told[2]) - model.bias).abs() < 1e-6 && model.known(&asked) == 2, "{told:?}");
    }
}
