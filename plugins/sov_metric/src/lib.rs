//! Segment overlap of secondary structure, SOV as of 1999 (Zemla, Venclovas, Fidelis and Rost, Proteins 34, 220).
//!
//! Predictions are one number for each class and residue, of which the largest is the class that is told; labels are the
//! numbers of the classes. A residue whose label is not known ends a segment and counts nowhere. All scores are means over
//! proteins, from 0 to 1.

mod sov;

wit_bindgen::generate!({ world: "metric-plugin", path: "../wit/v0.1.0" });

use std::cell::RefCell;

use exports::pliant::plugin::metric::{Error, Guest, MetricInfo, Score, Tensor};
use keys::Keys;
use pliant::plugin::types::ScoreInfo;
use sov::{Mean, segment_overlap};

#[derive(Default)]
struct Sum {
    classes: Vec<String>,
    /// Over all classes, of each class, and the part of residues that is right.
    overall: Mean,
    each: Vec<Mean>,
    right: Mean,
}

thread_local! {
    static SUM: RefCell<Sum> = RefCell::new(Sum::default());
}

impl Sum {
    fn new(config: &str) -> Result<Self, String> {
        let classes = Keys::read(config)?.texts("classes")?;
        if classes.is_empty() {
            return Err("no class is named".to_owned());
        }
        let each = classes.iter().map(|_| Mean::default()).collect();
        Ok(Self { classes, each, ..Self::default() })
    }

    fn names(&self) -> Vec<String> {
        let each = self.classes.iter().map(|class| format!("sov_{class}"));
        ["sov".to_owned()].into_iter().chain(each).chain(["accuracy".to_owned()]).collect()
    }

    fn means(&self) -> Vec<Option<f64>> {
        let means = [&self.overall].into_iter().chain(&self.each).chain([&self.right]);
        means.map(Mean::value).collect()
    }

    /// One protein: the class that is told and the class that is known of each residue.
    fn protein(&mut self, told: &[usize], known: &[Option<usize>]) {
        let (mut sum, mut count) = (0.0, 0.0);
        for (class, mean) in self.each.iter_mut().enumerate() {
            let overlap = segment_overlap(told, known, class);
            if overlap.count > 0.0 {
                mean.add(overlap.sum / overlap.count);
            }
            sum += overlap.sum;
            count += overlap.count;
        }
        if count > 0.0 {
            self.overall.add(sum / count);
        }
        let pairs = || told.iter().zip(known).filter_map(|(told, known)| known.map(|known| *told == known));
        let residues = pairs().count();
        if residues > 0 {
            self.right.add(pairs().filter(|right| *right).count() as f64 / residues as f64);
        }
    }
}

/// The place of the largest number; the first of several.
fn largest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, place| if row[place] > row[best] { place } else { best })
}

struct Plugin;

impl Guest for Plugin {
    fn init(config: String) -> Result<(), Error> {
        let sum = Sum::new(&config).map_err(Error::BadInput)?;
        SUM.with_borrow_mut(|place| *place = sum);
        Ok(())
    }

    fn describe() -> MetricInfo {
        SUM.with_borrow(|sum| MetricInfo {
            name: "sov-metric".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            columns: Some(sum.classes.len() as u32),
            scores: sum.names().into_iter().map(|name| ScoreInfo { name, higher_is_better: true }).collect(),
        })
    }

    fn add(predictions: Tensor, labels: Tensor, offsets: Vec<u32>) -> Result<(), Error> {
        if labels.columns != 1 {
            return Err(Error::BadInput(format!("found {} labels for a residue, wanted 1", labels.columns)));
        }
        SUM.with_borrow_mut(|sum| {
            let classes = sum.classes.len();
            let told: Vec<usize> =
                predictions.data.chunks_exact(predictions.columns as usize).map(largest).collect();
            let mut known = Vec::with_capacity(labels.data.len());
            for (row, label) in labels.data.iter().enumerate() {
                let class = *label as usize;
                if !label.is_nan() && (class as f32 != *label || class >= classes) {
                    return Err(Error::BadInput(format!(
                        "row {row}: the label is none of the {classes} classes"
                    )));
                }
                known.push((!label.is_nan()).then_some(class));
            }
            for bounds in offsets.windows(2) {
                let residues = bounds[0] as usize..bounds[1] as usize;
                sum.protein(&told[residues.clone()], &known[residues]);
            }
            Ok(())
        })
    }

    fn finish() -> Result<Vec<Score>, Error> {
        SUM.with_borrow(|sum| {
            let pairs = sum.names().into_iter().zip(sum.means());
            Ok(pairs.map(|(name, value)| Score { name, value }).collect())
        })
    }
}

export!(Plugin);
