//! The cache as the pipeline uses it: asked for every record before it is computed, filled after.

use std::sync::atomic::{AtomicU64, Ordering};

use pliant_store::cache::{Cache, CacheReport, Key, KeyBase, Kind, NewEntry, Shape};

use super::Row;
use super::group::Slot;

/// What the entries of one layer are found by.
pub struct LayerKeys {
    /// The pooled vectors.
    pub pooled: CutKeys,
    /// The states of residues, where they are wanted.
    pub residues: Option<CutKeys>,
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
        base.key(question.residues)
    }
}

/// An open cache with what the entries of this run are found by.
pub struct Recall {
    cache: Cache,
    layers: Vec<LayerKeys>,
    width: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// A record to be found.
pub(super) struct Question<'a> {
    /// The letters of its residues, all of them.
    pub(super) residues: &'a [u8],
    /// Whether it is computed whole.
    pub(super) whole: bool,
    /// L, residues that have a result.
    pub(super) length: usize,
}

/// What the cache holds of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Keys(Vec<Key>);

/// The result of one record, found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// `[C]` for each layer.
    pub(super) pooled: Vec<Vec<f32>>,
    /// `[L, C]` for each layer where states are wanted.
    pub(super) states: Vec<Vec<f32>>,
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
    /// `layers` has the keys of the layers asked for, in their order; states have `width` columns.
    pub fn new(cache: Cache, layers: Vec<LayerKeys>, width: usize) -> Self {
        Self { cache, layers, width, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// The keys of a record, and its result where all of it is there: one that lacks a part is computed.
    pub(super) fn ask(&self, question: &Question<'_>) -> (Keys, Option<Found>) {
        let keys = self.keys(question);
        let mut entries = keys.0.iter().zip(self.shapes(question.length));
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
        let states = values.split_off(self.layers.len());
        (keys, Some(Found { pooled: values, states }))
    }

    /// Keeps the results of the records that were computed.
    pub(super) fn keep(&self, slots: &[Slot], rows: &[Row]) {
        let mut entries = Vec::new();
        for (slot, row) in slots.iter().zip(rows).filter(|(slot, _)| slot.jobs > 0) {
            let values = row.pooled.iter().chain(&row.states);
            let shaped = slot.keys.0.iter().zip(self.shapes(slot.length));
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

    /// The keys of all entries: pooled vectors first, which are small and tell soonest that something is missing.
    fn keys(&self, question: &Question<'_>) -> Keys {
        let pooled = self.layers.iter().map(|layer| layer.pooled.key(question));
        let residues = self.layers.iter().filter_map(|layer| layer.residues.as_ref());
        Keys(pooled.chain(residues.map(|keys| keys.key(question))).collect())
    }

    /// The shapes of all entries, in the order of their keys.
    fn shapes(&self, length: usize) -> impl Iterator<Item = Shape> + use<> {
        let width = self.width;
        let pooled = std::iter::repeat_n(Shape { kind: Kind::Pooled, rows: 1, width }, self.layers.len());
        pooled.chain(std::iter::repeat(Shape { kind: Kind::Residues, rows: length, width }))
    }
}
