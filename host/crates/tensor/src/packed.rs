//! Packed forms of one matrix, each made on first use.

use pliant_kernels::cpu::gemm::Orientation;
use pliant_kernels::ops::linear::Weights;
use std::ops::Range;
use std::sync::Arc;

/// What matrix products read of a parameter: a form for every direction and stretch of rows that was asked for.
#[derive(Default)]
pub(crate) struct PackedForms(Vec<(Orientation, Arc<Weights>)>);

impl PackedForms {
    /// The form of exactly these rows.
    pub(crate) fn find(&self, orientation: Orientation, rows: &Range<usize>) -> Option<Arc<Weights>> {
        self.of(orientation).find(|weights| weights.rows() == *rows).map(Arc::clone)
    }

    /// The form of all rows.
    pub(crate) fn whole(&self, orientation: Orientation) -> Option<Arc<Weights>> {
        self.of(orientation).find(|weights| weights.is_whole()).map(Arc::clone)
    }

    /// Keeps a form for later.
    pub(crate) fn keep(&mut self, orientation: Orientation, weights: Weights) -> Arc<Weights> {
        let weights = Arc::new(weights);
        self.0.push((orientation, Arc::clone(&weights)));
        weights
    }

    /// Memory of all forms; what several share counts once.
    pub(crate) fn bytes(&self) -> usize {
        let first = |(index, (_, weights)): &(usize, &(Orientation, Arc<Weights>))| {
            !self.0[..*index].iter().any(|(_, other)| other.shares_memory_with(weights))
        };
        self.0.iter().enumerate().filter(first).map(|(_, (_, weights))| weights.bytes()).sum()
    }

    fn of(&self, orientation: Orientation) -> impl Iterator<Item = &Arc<Weights>> {
        self.0.iter().filter(move |(other, _)| *other == orientation).map(|(_, weights)| weights)
    }
}
