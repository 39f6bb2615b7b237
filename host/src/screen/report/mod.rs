//! The answer of a screen as files.
//!
//! | format | file |
//! |---|---|
//! | `tsv`, `parquet` | a table with everything that is known of each pair |
//! | `dscript` | as D-SCRIPT writes it: id, id and probability without a line of names; those that reach the cut again in `.positive.tsv` |
//! | `string` | as STRING writes it: `protein1 protein2 combined_score` with blanks between, the score from 0 to 1000; `.gz` compressed |
//! | `graphml` | proteins and pairs as a graph |

mod graph;
mod lines;
mod size;
mod table;

use std::path::{Path, PathBuf};

use pliant_store::{Format, Metadata, OutputSet};
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Row};
use super::calibration::{Calibration, Precisions};
use super::{Proteins, ScreenError};
pub use size::row_bytes;

/// A protein whose nearest protein of the training is no nearer is called novel.
const NOVEL: f32 = 0.4;

/// What an answer is made with. It stands in parts as text, so that the numbers of a screen in parts are those of one in
/// a piece to the last bit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// What a table tells of itself: one object.
    pub metadata: String,
    /// BLAKE3 of the weights of the head; of one that was brought its identity.
    pub head: String,
    /// The text of the head's calibration.
    pub calibration: Option<String>,
    /// The share of true pairs: a fraction, or `1:300`.
    pub prevalence: String,
    /// The bits of the least logit that was asked for.
    pub cut: Option<u32>,
    /// Residues of the longest protein that the encoder or the head was trained on.
    pub longest: Option<u32>,
    /// The name of the format that was asked for.
    pub format: Option<String>,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// A table with everything.
    Table(Format),
    /// As D-SCRIPT writes it.
    Dscript,
    /// As STRING writes it.
    Links,
    /// A graph.
    GraphMl,
}

impl ReportFormat {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Table(Format::Tsv), Self::Table(Format::Parquet), Self::Dscript, Self::Links, Self::GraphMl];

    /// The name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table(format) => format.name(),
            Self::Dscript => "dscript",
            Self::Links => "string",
            Self::GraphMl => "graphml",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// The format of a suffix.
    pub fn of_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let suffixes = [
            (".tsv", Self::ALL[0]),
            (".parquet", Self::ALL[1]),
            (".txt", Self::Links),
            (".txt.gz", Self::Links),
            (".graphml", Self::GraphMl),
        ];
        suffixes.into_iter().find(|(suffix, _)| name.ends_with(suffix)).map(|(_, format)| format)
    }

    /// What suffixes there are.
    pub const SUFFIXES: &'static str = ".tsv, .parquet, .txt, .txt.gz, .graphml";

    /// Whether it writes probabilities and nothing else.
    pub fn wants_calibration(self) -> bool {
        matches!(self, Self::Dscript | Self::Links)
    }
}

/// The share of true pairs of `1:300` (one true to 300 false) or a fraction.
///
/// # Errors
/// What was wanted.
pub fn prevalence(text: &str) -> Result<f64, String> {
    let wanted = || format!("found {text:?}, wanted a ratio as 1:300 or a fraction between 0 and 1");
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wanted());
    let share = match text.split_once(':') {
        Some((right, wrong)) => {
            let (right, wrong) = (number(right)?, number(wrong)?);
            right / (right + wrong)
        }
        None => number(text)?,
    };
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err(wanted()) }
}

/// What a logit is worth, where the head is calibrated.
pub struct Worth {
    calibration: Calibration,
    precisions: Precisions,
    prevalence: f64,
}

impl Worth {
    /// Of a calibration where this share of all pairs is true.
    pub fn new(calibration: Calibration, prevalence: f64) -> Self {
        let precisions = calibration.precisions(prevalence);
        Self { calibration, precisions, prevalence }
    }

    /// The probability that a pair is true.
    pub fn probability(&self, logit: f64) -> f64 {
        self.calibration.probability(logit, self.prevalence)
    }

    /// The precision of the best cut that keeps a pair.
    pub fn precision(&self, logit: f64) -> f64 {
        self.precisions.at(logit)
    }

    /// The lowest logit of a cut with at least this precision.
    ///
    /// # Errors
    /// [`ScreenError::Unreachable`].
    pub fn reach(&self, wanted: f64) -> Result<f64, ScreenError> {
        let prevalence = self.prevalence;
        self.precisions.reach(wanted).map_err(|(best, logit)| ScreenError::Unreachable {
            wanted,
            prevalence,
            best,
            logit,
        })
    }

    /// The lowest of 32-bit logits with at least this probability.
    ///
    /// # Errors
    /// [`ScreenError::Improbable`].
    pub fn least(&self, wanted: f64) -> Result<f32, ScreenError> {
        // The probability never falls, so that halving the numbers in the order of their bits finds it.
        let ordered = |place: u32| f32::from_bits(if place >> 31 == 1 { place ^ (1 << 31) } else { !place });
        let (mut low, mut high) = (0_u32, u32::MAX);
        while low < high {
            let middle = low + (high - low) / 2;
            let logit = ordered(middle);
            let is_enough = !logit.is_nan() && self.probability(f64::from(logit)) >= wanted;
            let is_above = logit.is_nan() && middle >> 31 == 1;
            if is_enough || is_above {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        let (prevalence, best) = (self.prevalence, self.probability(f64::INFINITY));
        let found = Some(ordered(low)).filter(|logit| !logit.is_nan());
        found.ok_or(ScreenError::Improbable { wanted, prevalence, best })
    }
}

/// What writes rows.
struct Report<'a> {
    proteins: &'a Proteins,
    worth: Option<&'a Worth>,
    cut: Option<f32>,
    longest: Option<u32>,
}

/// Writes an answer, complete but for its name.
///
/// # Errors
/// What the system says.
pub fn write(
    out: &Path,
    format: ReportFormat,
    (proteins, answer): (&Proteins, &Answer),
    about: &About,
) -> anyhow::Result<OutputSet> {
    let calibration = about.calibration.as_deref();
    let calibration = calibration.map(|text| Calibration::read(text, out, &about.head)).transpose()?;
    let share = prevalence(&about.prevalence).map_err(anyhow::Error::msg)?;
    let worth = calibration.map(|calibration| Worth::new(calibration, share));
    let report = Report {
        proteins,
        worth: worth.as_ref(),
        cut: about.cut.map(f32::from_bits),
        longest: about.longest,
    };
    match format {
        ReportFormat::Table(format) => {
            table::write(out, format, &report, answer, &Metadata::from_json(&about.metadata)?)
        }
        ReportFormat::Dscript => lines::dscript(out, &report, answer),
        ReportFormat::Links => lines::links(out, &report, answer),
        ReportFormat::GraphMl => graph::write(out, &report, answer),
    }
}

/// The second file of D-SCRIPT's format.
pub fn positive_path(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".tsv").unwrap_or(&name);
    out.with_file_name(format!("{stem}.positive.tsv"))
}

impl Report<'_> {
    fn id(&self, number: u32) -> &str {
        &self.proteins.ids[number as usize]
    }

    fn length(&self, number: u32) -> Option<u32> {
        self.proteins.lengths.as_ref().map(|lengths| lengths[number as usize])
    }

    fn identity(&self, number: u32) -> Option<f32> {
        self.proteins.identities.as_ref().map(|identities| identities[number as usize])
    }

    /// What should make one doubt, with commas between.
    fn flags(&self, row: &Row) -> String {
        let mut flags = Vec::new();
        for (side, number) in [(1, row.edge.first), (2, row.edge.second)] {
            if self.length(number).zip(self.longest).is_some_and(|(own, longest)| own > longest) {
                flags.push(format!("long{side}"));
            }
            if self.identity(number).is_some_and(|identity| identity < NOVEL) {
                flags.push(format!("novel{side}"));
            }
        }
        flags.join(",")
    }

    /// The probability, which the formats that need one have.
    fn probability(&self, row: &Row) -> f64 {
        self.worth.map_or(f64::NAN, |worth| worth.probability(f64::from(row.edge.logit)))
    }
}

/// A 32-bit number as the shortest decimal number that is it.
fn short(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// Six significant digits.
fn rounded(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return number;
    }
    let digits = 5 - libm::floor(libm::log10(number.abs())) as i32;
    // A power of ten that is a whole number is exact, and so is the rounded number that it divides.
    if digits >= 0 {
        let scale = 10_f64.powi(digits.min(300));
        (number * scale).round() / scale
    } else {
        let scale = 10_f64.powi(-digits);
        (number / scale).round() * scale
    }
}
