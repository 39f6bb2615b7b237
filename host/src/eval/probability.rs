//! Measures of probabilities: whether what is told with some chance comes with that chance.

use super::undefined::{Measured, Times, Undefined, same_length};

/// Bins of the calibration error.
pub const BINS: usize = 10;

/// A probability of 0 for what is true would cost without end; this is the least that is charged for, the distance from 1 to
/// the next number.
const LEAST: f64 = f64::EPSILON;

fn mean(count: usize, times: Times<'_>, of: impl Fn(usize) -> f64) -> Measured {
    let (mut sum, mut all) = (0.0, 0);
    for row in 0..count {
        let here = times.of(row);
        if here > 0 {
            sum += here as f64 * of(row);
            all += here;
        }
    }
    if all == 0 { Err(Undefined::Empty) } else { Ok(sum / all as f64) }
}

/// The mean of -ln of the probabilities `[R]` of what is true, in nats.
///
/// # Errors
/// [`Undefined`] of nothing.
pub fn cross_entropy(of_truth: &[f64], times: Times<'_>) -> Measured {
    mean(of_truth.len(), times, |row| -libm::log(of_truth[row].max(LEAST)))
}

/// Brier's score: the mean over rows of the sum over classes of the squared distance between probability and truth, from 0
/// to 2. `told` is `[R, K]`. Of two classes both terms are equal and that of the second is taken, from 0 to 1.
///
/// # Errors
/// [`Undefined::Lengths`], and of nothing.
pub fn brier(labels: &[u32], told: &[f64], classes: usize, times: Times<'_>) -> Measured {
    same_length(told.len(), labels.len() * classes)?;
    let left_out = usize::from(classes == 2);
    mean(labels.len(), times, |row| {
        let each = told[row * classes..(row + 1) * classes].iter().enumerate().skip(left_out);
        let distance = |(class, chance): (usize, &f64)| {
            let truth = f64::from(u8::from(class == labels[row] as usize));
            (chance - truth) * (chance - truth)
        };
        each.map(distance).sum::<f64>()
    })
}

/// [`brier`] of examples of any of several classes: the mean over rows and classes of the squared distance between the
/// probability `told` `[R, K]` of being of a class and whether it is, `flags` `[R, K]`.
///
/// # Errors
/// [`Undefined::Lengths`], and of nothing.
pub fn brier_of_flags(flags: &[bool], told: &[f64], classes: usize, times: Times<'_>) -> Measured {
    same_length(told.len(), flags.len())?;
    let classes = classes.max(1);
    mean(flags.len() / classes, times, |row| {
        let row = row * classes..(row + 1) * classes;
        let distance = |(flag, chance): (&bool, &f64)| (chance - f64::from(u8::from(*flag))).powi(2);
        flags[row.clone()].iter().zip(&told[row]).map(distance).sum::<f64>() / classes as f64
    })
}

/// The mean over [`BINS`] equal bins of confidence, weighed by their rows, of the distance between the mean confidence and
/// the part that is right. `sure` `[R]` is the probability of what is told.
///
/// # Errors
/// [`Undefined::Lengths`], and of nothing.
pub fn calibration_error(sure: &[f64], right: &[bool], times: Times<'_>) -> Measured {
    same_length(sure.len(), right.len())?;
    let mut bins = [(0u64, 0.0, 0u64); BINS];
    for (row, (&sure, &right)) in sure.iter().zip(right).enumerate() {
        let here = times.of(row);
        // A bin has its upper end and not its lower one.
        let bin = (sure * BINS as f64).ceil().clamp(1.0, BINS as f64) as usize - 1;
        bins[bin].0 += here;
        bins[bin].1 += here as f64 * sure;
        bins[bin].2 += here * u64::from(right);
    }
    let all: u64 = bins.iter().map(|(rows, ..)| rows).sum();
    if all == 0 {
        return Err(Undefined::Empty);
    }
    Ok(bins.iter().map(|(_, sure, right)| (sure - *right as f64).abs()).sum::<f64>() / all as f64)
}

/// Probabilities `[K]` of scores: their exponentials over the sum of these.
pub fn softmax(scores: &[f64]) -> Vec<f64> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let each: Vec<f64> = scores.iter().map(|score| libm::exp(score - most)).collect();
    let sum: f64 = each.iter().sum();
    each.into_iter().map(|each| each / sum).collect()
}

/// The probability of a score: `1 / (1 + e^-score)`.
pub fn logistic(score: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-score))
}
