//! The numbers of a head, as what they mean.

use pliant_seq::tables::LabelKind;

use super::targets::Scale;

/// What a row of numbers means: probabilities of the classes; of each class by itself where an example may be of several;
/// of the levels from 0; or the number itself.
pub fn meaning(kind: LabelKind, scale: Scale, row: &[f32]) -> Vec<f64> {
    match kind {
        // One number says how much rather the second of two classes it is.
        LabelKind::Class if row.len() == 1 => {
            let score = f64::from(row[0]);
            vec![logistic(-score), logistic(score)]
        }
        LabelKind::Class | LabelKind::Residues => softmax(row),
        LabelKind::Classes => row.iter().map(|&score| logistic(f64::from(score))).collect(),
        LabelKind::Level => levels(row),
        LabelKind::Number => row.iter().map(|&number| scale.meant(number)).collect(),
    }
}

fn softmax(row: &[f32]) -> Vec<f64> {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|&score| libm::exp(f64::from(score - most))).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

fn logistic(score: f64) -> f64 {
    if score >= 0.0 {
        1.0 / (1.0 + libm::exp(-score))
    } else {
        let power = libm::exp(score);
        power / (1.0 + power)
    }
}

/// Probabilities of the levels from the scores that the level is at least 1, 2, …: of level k in proportion to the
/// probability of at least k times that of less than k + 1 (as PLUS).
fn levels(row: &[f32]) -> Vec<f64> {
    let at_least: Vec<f64> = row.iter().map(|&score| logistic(f64::from(score))).collect();
    let reached = std::iter::once(1.0).chain(at_least.iter().copied());
    let short = at_least.iter().map(|&p| 1.0 - p).chain([1.0]);
    let products: Vec<f64> = reached.zip(short).map(|(reached, short)| reached * short).collect();
    let sum: f64 = products.iter().sum();
    if sum > 0.0 {
        products.into_iter().map(|product| product / sum).collect()
    } else {
        // Every score is beyond what 64 bits tell apart, and they contradict each other.
        vec![1.0 / products.len() as f64; products.len()]
    }
}

/// The place of the greatest number, the first of several.
pub fn greatest(numbers: &[f64]) -> usize {
    (1..numbers.len()).fold(0, |best, place| if numbers[place] > numbers[best] { place } else { best })
}

/// The level that is to be expected.
pub fn expected(levels: &[f64]) -> f64 {
    levels.iter().enumerate().map(|(level, probability)| level as f64 * probability).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_become_what_they_mean() {
        let near = |found: Vec<f64>, wanted: &[f64]| {
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-7, "{found} {wanted}");
            }
        };
        let scale = Scale { mean: 3.0, deviation: 2.0 };
        near(meaning(LabelKind::Class, scale, &[0.0, 3f32.ln()]), &[0.25, 0.75]);
        near(meaning(LabelKind::Class, scale, &[3f32.ln()]), &[0.25, 0.75]);
        near(meaning(LabelKind::Classes, scale, &[0.0, -800.0, 800.0]), &[0.5, 0.0, 1.0]);
        near(meaning(LabelKind::Number, scale, &[-1.5]), &[0.0]);
        // At least 1 is certain and at least 2 is not: 0, 1/2, 1/2 in proportion.
        near(meaning(LabelKind::Level, scale, &[800.0, 0.0]), &[0.0, 0.5, 0.5]);
        near(meaning(LabelKind::Level, scale, &[-800.0, 800.0]), &[1.0 / 2.0, 0.0, 1.0 / 2.0]);
        assert_eq!((greatest(&[0.2, 0.4, 0.4]), expected(&[0.0, 0.5, 0.5])), (1, 1.5));
    }
}
