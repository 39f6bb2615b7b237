//! What happened to a cache during a run, counted by whoever sees it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::error::CacheFault;

/// Faults that are kept with their words; all are counted.
const KEPT_FAULTS: usize = 8;

/// The counts of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    written: AtomicU64,
    bytes_written: AtomicU64,
    bytes_read: AtomicU64,
    dropped: AtomicU64,
    faults: AtomicU64,
    kept: Mutex<Vec<CacheFault>>,
}

/// What a cache did, in entries and bytes of values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Entries added.
    pub written: u64,
    /// Entries that could not be added.
    pub dropped: u64,
    /// Things that went wrong; none of them changes a result.
    pub faults: u64,
    /// Bytes of the values found.
    pub bytes_read: u64,
    /// Bytes of the values added.
    pub bytes_written: u64,
}

impl Tally {
    pub(super) fn written(&self, rows: u64, bytes: u64) {
        self.written.fetch_add(rows, Ordering::Relaxed);
        self.bytes_written.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn read(&self, bytes: u64) {
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, entries: u64) {
        self.dropped.fetch_add(entries, Ordering::Relaxed);
    }

    pub(super) fn fault(&self, fault: CacheFault) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_FAULTS {
            kept.push(fault);
        }
    }

    /// What was written is lost after all.
    pub(super) fn lost(&self) {
        self.dropped(self.written.swap(0, Ordering::Relaxed));
        self.bytes_written.store(0, Ordering::Relaxed);
    }

    /// The counts so far.
    pub(super) fn stats(&self) -> CacheStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheStats {
            written: read(&self.written),
            dropped: read(&self.dropped),
            faults: read(&self.faults),
            bytes_read: read(&self.bytes_read),
            bytes_written: read(&self.bytes_written),
        }
    }

    /// The first of the faults.
    pub(super) fn faults(&self) -> Vec<CacheFault> {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
