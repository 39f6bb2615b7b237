//! The segment overlap of one class in one protein.
//!
//! Over all pairs of a known and a told segment of the class that share a residue,
//! `sum = Σ len(known) · (shared + δ) / joined`, where `joined` is the extent of both together and
//! `δ = min(joined - shared, shared, len(known) / 2, len(told) / 2)` with whole halves; `count` adds `len(known)` for each
//! pair and for each known segment that shares nothing.

use std::ops::Range;

/// What is divided in the end.
pub struct Overlap {
    pub sum: f64,
    pub count: f64,
}

/// A mean that is being added up.
#[derive(Default)]
pub struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    pub fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

pub fn segment_overlap(told: &[usize], known: &[Option<usize>], class: usize) -> Overlap {
    let is_told = |place: usize| told[place] == class && known[place].is_some();
    let told = segments(told.len(), is_told);
    let mut overlap = Overlap { sum: 0.0, count: 0.0 };
    for known in segments(known.len(), |place| known[place] == Some(class)) {
        let mut alone = true;
        for told in &told {
            let shared = known.end.min(told.end).saturating_sub(known.start.max(told.start));
            if shared == 0 {
                continue;
            }
            alone = false;
            let joined = known.end.max(told.end) - known.start.min(told.start);
            let tolerance = (joined - shared).min(shared).min(known.len() / 2).min(told.len() / 2);
            overlap.sum += (shared + tolerance) as f64 / joined as f64 * known.len() as f64;
            overlap.count += known.len() as f64;
        }
        if alone {
            overlap.count += known.len() as f64;
        }
    }
    overlap
}

/// Runs of places that are meant.
fn segments(length: usize, is_meant: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut segments: Vec<Range<usize>> = Vec::new();
    for place in (0..length).filter(|place| is_meant(*place)) {
        match segments.last_mut() {
            Some(last) if last.end == place => last.end += 1,
            _ => segments.push(place..place + 1),
        }
    }
    segments
}
