//! Heads that users bring, asked about pairs: several at a time, and about a pair always in the same company.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, ensure};

use super::ScreenError;
use super::asked::Asked;

/// Pairs that such a head is asked about at once, at most.
pub(super) const COMPANY: usize = 64;

/// No logit may be larger: sums of larger ones have no steps.
const LARGEST: f32 = 512.0;

/// A head that a user brings, as one thread asks it.
pub trait Asks: Send {
    /// The logits of P pairs, by the vectors `[P,C]` of the first of each, and then those of the second.
    ///
    /// # Errors
    /// Whatever goes wrong within it.
    fn logits(&mut self, both: &[f32]) -> anyhow::Result<Vec<f32>>;
}

/// Pairs of one protein, by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) first: usize,
    pub(super) seconds: Vec<usize>,
}

/// What is known of proteins by their numbers: their ids, and their vectors `[proteins,C]`.
#[derive(Clone, Copy)]
pub(super) struct Vectors<'a> {
    pub(super) ids: &'a [String],
    pub(super) values: &'a [f32],
    pub(super) width: usize,
}

/// The pairs of a block that are asked for: those of one protein with some of [`COMPANY`] proteins that follow each other,
/// counted from the first of the screen.
pub(super) fn of_block(rows: Range<usize>, columns: &Range<usize>, asked: &Asked) -> Vec<Group> {
    let mut groups = Vec::new();
    for first in rows {
        let after = columns.start.max(first + 1)..columns.end;
        let seconds: Vec<usize> = after.filter(|&second| asked.holds(first, second)).collect();
        let near = seconds.chunk_by(|one, other| one / COMPANY == other / COMPANY);
        groups.extend(near.map(|seconds| Group { first, seconds: seconds.to_vec() }));
    }
    groups
}

/// Named pairs, those of one first protein together, and no more than `most`.
pub(super) fn of_list(pairs: &[[u32; 2]], most: usize) -> Vec<Group> {
    let mut groups = Vec::new();
    for own in pairs.chunk_by(|one, other| one[0] == other[0]) {
        groups.extend(own.chunks(most).map(|own| Group {
            first: own[0][0] as usize,
            seconds: own.iter().map(|pair| pair[1] as usize).collect(),
        }));
    }
    groups
}

impl Vectors<'_> {
    fn of(&self, number: usize) -> &[f32] {
        &self.values[number * self.width..(number + 1) * self.width]
    }

    /// The vectors of the first of each pair of groups, and then those of the second.
    pub(super) fn both(&self, groups: &[Group]) -> Vec<f32> {
        let pairs: usize = groups.iter().map(|group| group.seconds.len()).sum();
        let mut both = Vec::with_capacity(2 * pairs * self.width);
        for group in groups {
            group.seconds.iter().for_each(|_| both.extend_from_slice(self.of(group.first)));
        }
        for group in groups {
            group.seconds.iter().for_each(|&second| both.extend_from_slice(self.of(second)));
        }
        both
    }

    fn pair(&self, first: usize, second: usize) -> String {
        format!("pair {:?}", format!("{}/{}", self.ids[first], self.ids[second]))
    }
}

/// A head for each thread.
pub(super) struct Lanes(Vec<Mutex<Box<dyn Asks>>>);

impl Lanes {
    pub(super) fn new(heads: Vec<Box<dyn Asks>>) -> Self {
        Self(heads.into_iter().map(Mutex::new).collect())
    }

    /// The logits of every group.
    ///
    /// # Errors
    /// That of the first pair that has none, which is named.
    pub(super) fn ask(&self, groups: &[Group], vectors: Vectors<'_>) -> anyhow::Result<Vec<Vec<f32>>> {
        let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        let work = |lane: &Mutex<Box<dyn Asks>>| {
            let Ok(mut head) = lane.lock() else { return };
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(group) = groups.get(number) else { return };
                let told = told(head.as_mut(), group, vectors);
                if told.is_err() {
                    // Those before it have been taken, and the first of what goes wrong is told.
                    next.store(groups.len(), Ordering::Relaxed);
                }
                if let Ok(mut found) = found.lock() {
                    found.insert(number, told);
                }
            }
        };
        match &self.0[..self.0.len().min(groups.len())] {
            [only] => work(only),
            lanes => thread::scope(|scope| {
                let work = &work;
                lanes.iter().for_each(|lane| drop(scope.spawn(move || work(lane))));
            }),
        }
        let found = found.into_inner().unwrap_or_default();
        let told: Vec<Vec<f32>> = found.into_values().collect::<anyhow::Result<_>>()?;
        ensure!(told.len() == groups.len(), "a thread that asked the head has ended before its time");
        Ok(told)
    }
}

/// The logits of a group.
fn told(head: &mut dyn Asks, group: &Group, vectors: Vectors<'_>) -> anyhow::Result<Vec<f32>> {
    let first = group.first;
    let logits = match head.logits(&vectors.both(std::slice::from_ref(group))) {
        Ok(logits) => logits,
        // What goes wrong together may be the fault of one, who is to be named.
        Err(_) => {
            let mut logits = Vec::with_capacity(group.seconds.len());
            for &second in &group.seconds {
                let alone = Group { first, seconds: vec![second] };
                let told = head.logits(&vectors.both(&[alone]));
                logits.extend(told.with_context(|| vectors.pair(first, second))?);
            }
            logits
        }
    };
    for (&second, &logit) in group.seconds.iter().zip(&logits) {
        if !(-LARGEST..=LARGEST).contains(&logit) {
            let pair = vectors.pair(first, second);
            return Err(ScreenError::Beyond { pair, value: logit, most: LARGEST }.into());
        }
    }
    Ok(logits)
}
