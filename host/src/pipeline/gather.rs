//! Packs to rows: what was computed in the order of packs returns to the order of the input.

use std::ops::Range;

use pliant_seq::Pack;

use super::Row;
use super::group::{Job, Slot};
use super::recall::Found;
use crate::cli::embed::Pool;
use crate::engine::{Engine, Hidden};

/// Collects the results of one group.
pub(super) struct Gatherer<'a> {
    engine: &'a Engine,
    pool: Pool,
    keep_states: bool,
    slots: Vec<Slot>,
    rows: Vec<Row>,
}

impl<'a> Gatherer<'a> {
    /// Room for the results of `slots`.
    pub(super) fn new(engine: &'a Engine, pool: Pool, keep_states: bool, mut slots: Vec<Slot>) -> Self {
        let layers = engine.layers().len();
        let row = |slot: &mut Slot| {
            if let Some(Found { pooled, states }) = slot.found.take() {
                return Row { id: slot.id.clone(), length: slot.length, pooled, states };
            }
            let stitched = slot.jobs > 1;
            let numbers = if keep_states || stitched { slot.length * engine.width() } else { 0 };
            let states = if numbers > 0 { vec![vec![0.0; numbers]; layers] } else { Vec::new() };
            Row { id: slot.id.clone(), length: slot.length, pooled: vec![Vec::new(); layers], states }
        };
        let rows = slots.iter_mut().map(row).collect();
        Self { engine, pool, keep_states, slots, rows }
    }

    /// Takes what was computed of `pack`.
    pub(super) fn take(&mut self, pack: &Pack, jobs: &[Job], hidden: &Hidden) -> anyhow::Result<()> {
        let mut spans = Vec::with_capacity(pack.sequences());
        let mut pooled_slots = Vec::with_capacity(pack.sequences());
        for (b, &row) in pack.rows.iter().enumerate() {
            let job = &jobs[row as usize];
            if self.slots[job.slot].jobs == 1 {
                spans.push(self.span(pack, b));
                pooled_slots.push(job.slot);
            }
            self.keep(pack.residues[b].start, job, hidden);
        }
        let width = self.engine.width();
        for layer in 0..self.engine.layers().len() {
            if spans.is_empty() {
                break;
            }
            let pooled = self.engine.pool(hidden, layer, self.pool, &spans)?;
            for (&slot, values) in pooled_slots.iter().zip(pooled.chunks_exact(width)) {
                self.rows[slot].pooled[layer] = values.to_vec();
            }
        }
        Ok(())
    }

    /// The tokens that are pooled of sequence `b`.
    fn span(&self, pack: &Pack, b: usize) -> (usize, usize) {
        let first = pack.offsets[b];
        match self.pool {
            Pool::Cls => (first, first + 1),
            Pool::Mean | Pool::Max => (pack.residues[b].start, pack.residues[b].end),
        }
    }

    /// Copies the states that `job` owns, where states are kept. Its first residue is token `first` of the pack.
    fn keep(&mut self, first: usize, job: &Job, hidden: &Hidden) {
        let width = self.engine.width();
        let Range { start, end } = job.span.owned;
        let from = first + start - job.span.residues.start;
        for (layer, states) in self.rows[job.slot].states.iter_mut().enumerate() {
            let owned = hidden.rows(layer, from..from + (end - start));
            states[start * width..end * width].copy_from_slice(owned);
        }
    }

    /// The records and their rows, in the order of the input.
    pub(super) fn finish(mut self) -> anyhow::Result<(Vec<Slot>, Vec<Row>)> {
        for (slot, row) in self.slots.iter().zip(&mut self.rows) {
            if slot.jobs > 1 {
                for (pooled, states) in row.pooled.iter_mut().zip(&row.states) {
                    *pooled = self.engine.pool_states(states, self.pool)?;
                }
            }
            if !self.keep_states {
                row.states = Vec::new();
            }
        }
        Ok((self.slots, self.rows))
    }
}
