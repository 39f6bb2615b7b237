//! What a logit is worth: its calibrated probability, and the precision that a cut of the scores is expected to have.
//!
//! One half of labelled pairs, which the head was not taught, fits the probability: Platt's curve, whose two numbers make the
//! labels likeliest with a little doubt in each, or an isotonic one, the nearest that never falls. The other half tells how
//! good the fit is, and how many true and false pairs are above every logit. Which half a pair is in follows from its two
//! sequences alone.
//!
//! Labelled sets hold about as many true pairs as false ones, and proteomes do not. With π the share of true pairs where the
//! head is used and π₀ that among the pairs it was fitted on,
//!
//! ```text
//! odds(logit)      = p/(1 - p) · π/(1 - π) · (1 - π₀)/π₀
//! precision(logit) = π·TPR / (π·TPR + (1 - π)·FPR),   TPR = TP/P,   FPR = (FP + 1)/(N + 1)
//! ```
//!
//! where one false pair more is counted than was seen, as none among N is not none among millions.

mod fit;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ScreenError;
use fit::{isotonic, platt};

/// What a calibration of this version calls itself.
const FORMAT: &str = "pliant-calibration-1";

/// The file in the folder of a head.
pub const CALIBRATION_FILE: &str = "calibration.json";

/// Bytes of the file, at most.
const LARGEST: u64 = 16 << 20;

/// True pairs, and false ones, that each half must have.
const LEAST: usize = 10;

/// Cuts are told apart by at least this part of the false pairs above them.
const FINE: f64 = 0.01;

/// How probabilities are fitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A logistic curve.
    #[default]
    Platt,
    /// The nearest curve that never falls.
    Isotonic,
}

/// The curve of probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Curve {
    /// `1 / (1 + e^-(slope·logit + shift))`
    Platt {
        /// By which a logit is multiplied.
        slope: f64,
        /// What is added.
        shift: f64,
    },
    /// Between two logits a straight line, beyond the ends level.
    Isotonic {
        /// Ascending.
        logits: Vec<f64>,
        /// The probability at each.
        probabilities: Vec<f64>,
    },
}

/// How many pairs have at least a logit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// The logit.
    pub logit: f64,
    /// True pairs.
    pub true_pairs: u64,
    /// False ones.
    pub false_pairs: u64,
}

/// How good the probabilities are, on pairs that did not fit them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Mean of `(p - label)²`.
    pub brier: f64,
    /// Mean of `-ln p(label)`, in nats.
    pub cross_entropy: f64,
    /// Mean distance of probability and share of true pairs, over ten bins of probabilities.
    pub calibration_error: f64,
}

/// A calibration of a head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    format: String,
    /// BLAKE3 of the weights of the head; of one that was brought its identity.
    pub head: String,
    /// Digest of the labelled pairs.
    pub pairs: String,
    /// The curve of probabilities.
    pub curve: Curve,
    /// True and false pairs that fitted it.
    pub fitted: [u64; 2],
    /// True and false pairs that measured it.
    pub measured: [u64; 2],
    /// How good it is on those.
    pub quality: Quality,
    /// Cuts of the scores, from the highest logit down.
    pub cuts: Vec<Cut>,
}

/// A labelled pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Labelled {
    /// What the head says.
    pub logit: f64,
    /// Whether it is a true pair.
    pub is_true: bool,
    /// Whether it fits the curve; else it measures it.
    pub fits: bool,
}

/// Which half a pair is in, by what names its proteins, in whatever order.
pub fn fits(first: &str, second: &str) -> bool {
    let (low, high) = if first <= second { (first, second) } else { (second, first) };
    let mut hasher = blake3::Hasher::new();
    hasher.update(low.as_bytes()).update(b"\0").update(high.as_bytes());
    hasher.finalize().as_bytes()[0] & 1 == 0
}

impl Calibration {
    /// Fits one.
    ///
    /// # Errors
    /// [`ScreenError::TooFew`].
    pub fn fit(
        labelled: &[Labelled],
        method: Method,
        (head, pairs): (&str, &str),
    ) -> Result<Self, ScreenError> {
        let half = |fits: bool| -> Vec<Labelled> {
            labelled.iter().filter(|pair| pair.fits == fits).copied().collect()
        };
        let (fitting, mut measuring) = (half(true), half(false));
        let [fitted, measured] = [&fitting, &measuring].map(|pairs| counts(pairs));
        if [fitted, measured].iter().flatten().any(|&count| count < LEAST as u64) {
            let positives = labelled.iter().filter(|pair| pair.is_true).count();
            let reason = "wanted at least ten true and ten false ones in each half";
            return Err(ScreenError::TooFew { pairs: labelled.len(), positives, reason });
        }
        let curve = match method {
            Method::Platt => platt(&fitting),
            Method::Isotonic => isotonic(&fitting),
        };
        measuring.sort_by(|one, other| other.logit.total_cmp(&one.logit));
        let mut calibration = Self {
            format: FORMAT.to_owned(),
            head: head.to_owned(),
            pairs: pairs.to_owned(),
            curve,
            fitted,
            measured,
            quality: Quality { brier: 0.0, cross_entropy: 0.0, calibration_error: 0.0 },
            cuts: cuts(&measuring),
        };
        calibration.quality = calibration.measure(&measuring);
        Ok(calibration)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// [`ScreenError::Calibration`] for one that is too large, and what the system says.
    pub fn text(path: &Path) -> Result<String, ScreenError> {
        let about = std::fs::metadata(path).map_err(ScreenError::io("read", path))?;
        if about.len() > LARGEST {
            let reason = format!("has {} bytes, wanted at most {LARGEST}", about.len());
            return Err(ScreenError::Calibration { path: path.to_owned(), reason });
        }
        std::fs::read_to_string(path).map_err(ScreenError::io("read", path))
    }

    /// Reads the text of the file `path`, and refuses one of another head.
    ///
    /// # Errors
    /// [`ScreenError::Calibration`].
    pub fn read(text: &str, path: &Path, head: &str) -> Result<Self, ScreenError> {
        let refuse = |reason: String| ScreenError::Calibration { path: path.to_owned(), reason };
        let own: Self = serde_json::from_str(text)
            .map_err(|error| refuse(format!("is no calibration of {FORMAT}: {error}")))?;
        own.check().map_err(|reason| refuse(reason.to_owned()))?;
        if own.head != head {
            return Err(refuse(format!("is that of a head with the weights {}, wanted {head}", own.head)));
        }
        Ok(own)
    }

    fn check(&self) -> Result<(), &'static str> {
        let ascending = |values: &[f64]| values.windows(2).all(|pair| pair[0] <= pair[1]);
        let is_curve = match &self.curve {
            Curve::Platt { slope, shift } => slope.is_finite() && shift.is_finite(),
            Curve::Isotonic { logits, probabilities } => {
                !logits.is_empty()
                    && logits.len() == probabilities.len()
                    && ascending(logits)
                    && ascending(probabilities)
                    && probabilities.iter().all(|value| (0.0..=1.0).contains(value))
            }
        };
        let falls = |pair: &[Cut]| {
            pair[0].logit > pair[1].logit
                && pair[0].true_pairs <= pair[1].true_pairs
                && pair[0].false_pairs <= pair[1].false_pairs
        };
        if self.format != FORMAT {
            return Err("has another format, wanted \"pliant-calibration-1\"");
        }
        if !is_curve || self.cuts.is_empty() || !self.cuts.windows(2).all(falls) {
            return Err("has a curve or cuts that are in no order");
        }
        if self.fitted.iter().chain(&self.measured).any(|&count| count == 0) {
            return Err("was made without true or without false pairs");
        }
        Ok(())
    }

    /// The probability among the pairs that it was fitted on.
    pub fn plain(&self, logit: f64) -> f64 {
        match &self.curve {
            Curve::Platt { slope, shift } => 1.0 / (1.0 + libm::exp(-(slope * logit + shift))),
            Curve::Isotonic { logits, probabilities } => {
                let after = logits.partition_point(|&own| own <= logit);
                let least = 1.0 / (self.fitted.iter().sum::<u64>() as f64 + 2.0);
                let found = if after == 0 {
                    probabilities[0]
                } else if after == logits.len() {
                    probabilities[after - 1]
                } else {
                    let (from, to) = (after - 1, after);
                    let part = (logit - logits[from]) / (logits[to] - logits[from]);
                    probabilities[from] + part * (probabilities[to] - probabilities[from])
                };
                // As many pairs as there are cannot show that something is certain.
                found.clamp(least, 1.0 - least)
            }
        }
    }

    /// The probability where a share `prevalence` of all pairs is true.
    pub fn probability(&self, logit: f64, prevalence: f64) -> f64 {
        let plain = self.plain(logit);
        let [true_pairs, false_pairs] = self.fitted.map(|count| count as f64);
        let weight = prevalence / (1.0 - prevalence) * (false_pairs / true_pairs);
        plain * weight / (plain * weight + (1.0 - plain))
    }

    /// Every cut's precision where a share `prevalence` of all pairs is true; never less than that of a lower cut, which
    /// could be made instead.
    pub fn precisions(&self, prevalence: f64) -> Precisions {
        let [all_true, all_false] = self.measured.map(|count| count as f64);
        let mut precisions: Vec<f64> = self
            .cuts
            .iter()
            .map(|cut| {
                let right = prevalence * cut.true_pairs as f64 / all_true;
                let wrong = (1.0 - prevalence) * (cut.false_pairs as f64 + 1.0) / (all_false + 1.0);
                right / (right + wrong)
            })
            .collect();
        for place in (1..precisions.len()).rev() {
            precisions[place - 1] = precisions[place - 1].max(precisions[place]);
        }
        Precisions { logits: self.cuts.iter().map(|cut| cut.logit).collect(), precisions }
    }

    fn measure(&self, pairs: &[Labelled]) -> Quality {
        const BINS: usize = 10;
        let mut bins = [[0.0; 3]; BINS];
        let (mut brier, mut entropy) = (0.0, 0.0);
        for pair in pairs {
            let (p, label) = (self.plain(pair.logit), f64::from(u8::from(pair.is_true)));
            brier += (p - label) * (p - label);
            let of_label = if pair.is_true { p } else { 1.0 - p };
            entropy -= libm::log(of_label.max(f64::MIN_POSITIVE));
            let bin = &mut bins[((p * BINS as f64) as usize).min(BINS - 1)];
            bin.iter_mut().zip([p, label, 1.0]).for_each(|(sum, value)| *sum += value);
        }
        let count = pairs.len() as f64;
        let error: f64 = bins.iter().map(|[p, label, _]| (p - label).abs()).sum();
        Quality { brier: brier / count, cross_entropy: entropy / count, calibration_error: error / count }
    }
}

/// Expected precisions by logit.
#[derive(Debug, Clone, PartialEq)]
pub struct Precisions {
    /// From the highest down.
    logits: Vec<f64>,
    precisions: Vec<f64>,
}

impl Precisions {
    /// That of the best cut which keeps a pair with this logit; of no cut for one that is below all of them.
    pub fn at(&self, logit: f64) -> f64 {
        let place = self.logits.partition_point(|&own| own > logit);
        self.precisions.get(place).copied().unwrap_or_default()
    }

    /// The lowest logit of a cut with at least this precision.
    ///
    /// # Errors
    /// The highest precision, and its logit.
    pub fn reach(&self, wanted: f64) -> Result<f64, (f64, f64)> {
        let reached = self.precisions.iter().rposition(|&own| own >= wanted);
        match reached {
            Some(place) => Ok(self.logits[place]),
            None => Err((self.precisions[0], self.logits[0])),
        }
    }
}

/// True and false ones.
fn counts(pairs: &[Labelled]) -> [u64; 2] {
    let all = pairs.iter().filter(|pair| pair.is_true).count();
    [all as u64, (pairs.len() - all) as u64]
}

/// Cuts of pairs that stand from the highest logit down: at logits where one more false pair, or more of them by a part,
/// would come in.
fn cuts(pairs: &[Labelled]) -> Vec<Cut> {
    let mut all: Vec<Cut> = Vec::new();
    let (mut right, mut wrong) = (0, 0);
    for pairs in pairs.chunk_by(|one, other| one.logit == other.logit) {
        let [more_true, more_false] = counts(pairs);
        (right, wrong) = (right + more_true, wrong + more_false);
        let Some(first) = pairs.first() else { continue };
        all.push(Cut { logit: first.logit, true_pairs: right, false_pairs: wrong });
    }
    // Of cuts with hardly more false pairs the lowest counts; and what has no false pair at all has its own.
    let mut kept: Vec<Cut> = Vec::new();
    for (place, cut) in all.iter().enumerate() {
        let next = all.get(place + 1).map_or(u64::MAX, |next| next.false_pairs);
        let since = kept.last().map_or(-1.0, |last| last.false_pairs as f64);
        let is_last = next > cut.false_pairs;
        if is_last && (cut.false_pairs as f64 > since * (1.0 + FINE) || since < 0.0 || next == u64::MAX) {
            kept.push(*cut);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
