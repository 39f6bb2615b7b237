//! The cache as the pipeline uses it: asked for every record before it is computed, filled after.

use std::sync::atomic::{AtomicU64, Ordering};

use pliant_store::cache::{Cache, CacheReport, Key, KeyBase, Kind, NewEntry, Shape};

use super::Row;
use super::group::Slot;

/// One part of the result of a record, as the cache keeps it.
pub struct Entry {
    /// What it is found by.
    pub keys: CutKeys,
    /// Its numbers.
    pub form: Form,
}

/// The numbers of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// So many in all.
    Vector(usize),
    /// So many in each row.
    Rows(usize),
    /// One in each row: few enough to be kept as one vector.
    Column,
}

impl Form {
    fn shape(self, rows: usize) -> Shape {
        match self {
            Self::Vector(width) => Shape { kind: Kind::Pooled, rows: 1, width },
            Self::Rows(width) => Shape { kind: Kind::Residues, rows, width },
            Self::Column => Shape { kind: Kind::Pooled, rows: 1, width: rows },
        }
    }
}

/// A record that the policy for long ones does not touch has the same numbers under every policy.
pub struct CutKeys {
    /// For records that are computed whole.
    pub whole: KeyBase,
    /// For those that the policy cuts.
    pub cut: KeyBase,
}

impl CutKeys {
    fn key(&self, question: &Question<'_>) -> Key {
        let base = if question.whole { &self.whole } else { &self.cut };
        let Some(chosen) = question.chosen else { return base.key(question.residues) };
        // No letter is 0, so that no sequence is taken for another with chosen residues.
        let mut text = question.residues.to_vec();
        text.push(0);
        chosen.iter().for_each(|&place| text.extend_from_slice(&(place as u64).to_le_bytes()));
        base.key(&text)
    }
}

/// An open cache with what the entries of this run are found by.
pub struct Recall {
    cache: Cache,
    entries: Vec<Entry>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// A record to be found.
pub(super) struct Question<'a> {
    /// The letters of its residues, all of them.
    pub(super) residues: &'a [u8],
    /// Whether it is computed whole.
    pub(super) whole: bool,
    /// Rows of the result.
    pub(super) rows: usize,
    /// The residues that have one, where not all do.
    pub(super) chosen: Option<&'a [usize]>,
}

/// What the cache holds of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Keys(Vec<Key>);

/// The result of one record, found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// As in [`Row`].
    pub(super) pooled: Vec<Vec<f32>>,
    /// As in [`Row`].
    pub(super) residues: Vec<Vec<f32>>,
}

/// What became of the cache in a run.
#[derive(Debug)]
pub struct Recalled {
    /// Records that were found with everything that was wanted of them.
    pub hits: u64,
    /// Records that were computed.
    pub misses: u64,
    /// What the cache says.
    pub report: CacheReport,
}

impl Recall {
    /// `entries` are the parts of every record: those of [`Row::pooled`], then those of [`Row::residues`].
    pub fn new(cache: Cache, entries: Vec<Entry>) -> Self {
        Self { cache, entries, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// The keys of a record, and its result where all of it is there: one that lacks a part is computed.
    pub(super) fn ask(&self, question: &Question<'_>) -> (Keys, Option<Found>) {
        let keys = Keys(self.entries.iter().map(|entry| entry.keys.key(question)).collect());
        let mut entries = keys.0.iter().zip(self.shapes(question.rows));
        let mut values = Vec::with_capacity(keys.0.len());
        let complete = entries.all(|(key, shape)| {
            let found = self.cache.get(key, shape);
            let there = found.is_some();
            values.extend(found);
            there
        });
        if !complete {
            self.misses.fetch_add(1, Ordering::Relaxed);
            return (keys, None);
        }
        self.hits.fetch_add(1, Ordering::Relaxed);
        let vectors = self.entries.iter().filter(|entry| matches!(entry.form, Form::Vector(_))).count();
        let residues = values.split_off(vectors);
        (keys, Some(Found { pooled: values, residues }))
    }

    /// Keeps the results of the records that were computed.
    pub(super) fn keep(&self, slots: &[Slot], rows: &[Row]) {
        let mut entries = Vec::new();
        for (slot, row) in slots.iter().zip(rows).filter(|(slot, _)| slot.jobs > 0) {
            let values = row.pooled.iter().chain(&row.residues);
            let shaped = slot.keys.0.iter().zip(self.shapes(slot.rows));
            entries.extend(shaped.zip(values).map(|((key, shape), values)| NewEntry {
                key: *key,
                shape,
                values,
            }));
        }
        if !entries.is_empty() {
            self.cache.put(&entries);
        }
    }

    /// Waits until everything is kept.
    pub fn finish(self) -> Recalled {
        let Self { cache, hits, misses, .. } = self;
        Recalled { hits: hits.into_inner(), misses: misses.into_inner(), report: cache.finish() }
    }

    /// The shapes of all entries, in the order of their keys.
    fn shapes(&self, rows: usize) -> impl Iterator<Item = Shape> {
        self.entries.iter().map(move |entry| entry.form.shape(rows))
    }
}
