//! Packs to rows: what was computed in the order of packs returns to the order of the input.

use std::ops::Range;

use pliant_seq::{Masked, Pack};

use super::group::{Job, Slot};
use super::recall::Found;
use super::{ANSWER, Output, Row};
use crate::cli::embed::Pool;
use crate::engine::{Engine, Hidden, Pooled};

/// Collects the results of one group.
pub(super) struct Gatherer<'a> {
    engine: &'a Engine,
    output: &'a Output,
    slots: Vec<Slot>,
    rows: Vec<Row>,
}

/// What was asked of a pack, some of it perhaps not there yet.
pub(super) struct Asked {
    /// The states, where rows of them are wanted.
    hidden: Option<Hidden>,
    /// `[B, C]` of each layer.
    pooled: Vec<Pooled>,
    /// Records that the vectors are of.
    slots: Vec<usize>,
}

impl<'a> Gatherer<'a> {
    /// Room for the results of `slots`.
    pub(super) fn new(engine: &'a Engine, output: &'a Output, mut slots: Vec<Slot>) -> Self {
        let layers = engine.layers().len();
        let vectors = if matches!(output, Output::States { .. }) { layers } else { 0 };
        let kept = output.kept(engine.width());
        let row = |slot: &mut Slot| {
            if let Some(Found { pooled, residues }) = slot.found.take() {
                return Row {
                    id: slot.id.clone(),
                    length: slot.length,
                    pooled,
                    residues,
                    sequence: Vec::new(),
                };
            }
            // The vector of a record in several windows is made of the states of all of them.
            let kept = if vectors > 0 && slot.jobs > 1 { engine.width() } else { kept };
            let residues = if kept > 0 { vec![vec![0.0; slot.rows * kept]; layers] } else { Vec::new() };
            let (pooled, sequence) = (vec![Vec::new(); vectors], Vec::new());
            Row { id: slot.id.clone(), length: slot.length, pooled, residues, sequence }
        };
        let rows = slots.iter_mut().map(row).collect();
        Self { engine, output, slots, rows }
    }

    /// The records of the group.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Asks for what is wanted of the states of `pack`, without waiting for any of it.
    pub(super) fn ask(&self, pack: &Pack, jobs: &[Job], hidden: Hidden) -> anyhow::Result<Asked> {
        let (mut pooled, mut slots) = (Vec::new(), Vec::new());
        if let Output::States { pool, .. } = self.output {
            (pooled, slots) = self.pool(*pool, pack, jobs, &hidden)?;
        }
        let kept = |row: &u64| !self.rows[jobs[*row as usize].slot].residues.is_empty();
        Ok(Asked { hidden: pack.rows.iter().any(kept).then_some(hidden), pooled, slots })
    }

    /// Takes what was asked of `pack`.
    pub(super) fn take(&mut self, pack: &Pack, jobs: &[Job], asked: &Asked) -> anyhow::Result<()> {
        if let Some(hidden) = &asked.hidden {
            self.take_rows(pack, jobs, hidden);
        }
        let width = self.engine.width();
        for (layer, pooled) in asked.pooled.iter().enumerate() {
            for (&slot, values) in asked.slots.iter().zip(pooled.to_vec().chunks_exact(width)) {
                self.rows[slot].pooled[layer] = values.to_vec();
            }
        }
        self.engine.check()
    }

    fn take_rows(&mut self, pack: &Pack, jobs: &[Job], hidden: &Hidden) {
        for (b, &row) in pack.rows.iter().enumerate() {
            let (first, job) = (pack.residues[b].start, &jobs[row as usize]);
            match self.output {
                Output::States { .. } | Output::LogProbs => self.keep(first, job, hidden),
                Output::Losses => self.keep_losses(first, job, hidden),
                Output::Answers => self.keep_answers(first, job, hidden),
                // They have an order of work of their own.
                Output::Contacts => {}
            }
        }
    }

    /// The vectors of records that are in one piece, layer by layer, and whose they are.
    fn pool(
        &self,
        pool: Pool,
        pack: &Pack,
        jobs: &[Job],
        hidden: &Hidden,
    ) -> anyhow::Result<(Vec<Pooled>, Vec<usize>)> {
        let slot_of = |row: u64| jobs[row as usize].slot;
        let alone = pack.rows.iter().enumerate().filter(|(_, row)| self.slots[slot_of(**row)].jobs == 1);
        let (spans, slots): (Vec<_>, Vec<_>) =
            alone.map(|(b, row)| (span(pool, pack, b), slot_of(*row))).unzip();
        if spans.is_empty() {
            return Ok((Vec::new(), slots));
        }
        let layers = 0..self.engine.layers().len();
        let pooled = layers.map(|layer| self.engine.pool(hidden, layer, pool, &spans));
        Ok((pooled.collect::<anyhow::Result<_>>()?, slots))
    }

    /// Copies the rows that `job` owns, where they are kept. Its first residue is token `first` of the pack.
    fn keep(&mut self, first: usize, job: &Job, hidden: &Hidden) {
        let width = self.engine.width();
        let tokens = owned_tokens(first, job);
        for (layer, rows) in self.rows[job.slot].residues.iter_mut().enumerate() {
            let owned = hidden.rows(layer, tokens.clone());
            rows[job.row * width..][..owned.len()].copy_from_slice(owned);
        }
    }

    /// The same of what is lost on the true tokens.
    fn keep_losses(&mut self, first: usize, job: &Job, hidden: &Hidden) {
        let vocabulary = self.engine.vocabulary();
        let residues = &self.slots[job.slot].residues[job.span.owned.clone()];
        for losses in &mut self.rows[job.slot].residues {
            let places = losses[job.row..].iter_mut();
            for ((loss, &residue), token) in places.zip(residues).zip(owned_tokens(first, job)) {
                *loss = -hidden.rows(0, token..token + 1)[vocabulary.token(residue) as usize];
            }
        }
    }

    /// The same of what is asked of a record: what is lost on the true tokens, and whether they are the likeliest.
    fn keep_answers(&mut self, first: usize, job: &Job, hidden: &Hidden) {
        let Some(Masked { tokens, places, targets }) = &self.slots[job.slot].asked else { return };
        let Some(answers) = self.rows[job.slot].residues.first_mut() else { return };
        let mask = self.engine.vocabulary().mask;
        let before =
            |residue: usize| places.partition_point(|&place| place < tokens.residues.start + residue);
        for number in before(job.span.owned.start)..before(job.span.owned.end) {
            let token = first + places[number] - tokens.residues.start - job.span.residues.start;
            let (row, target) = (hidden.rows(0, token..token + 1), targets[number] as usize);
            let [right, masked] = [likeliest(row) == target, tokens.ids[places[number]] == mask];
            let flag = |is: bool| f32::from(u8::from(is));
            answers[ANSWER * number..][..ANSWER].copy_from_slice(&[-row[target], flag(right), flag(masked)]);
        }
    }

    /// The records and their rows, in the order of the input.
    pub(super) fn finish(mut self) -> anyhow::Result<(Vec<Slot>, Vec<Row>)> {
        if let Output::States { pool, residues: keep, .. } = self.output {
            for (slot, row) in self.slots.iter().zip(&mut self.rows) {
                if slot.jobs > 1 {
                    for (pooled, states) in row.pooled.iter_mut().zip(&row.residues) {
                        *pooled = self.engine.pool_states(states, *pool)?;
                    }
                }
                if !keep {
                    row.residues = Vec::new();
                }
            }
        }
        if *self.output == Output::Answers {
            for (slot, row) in self.slots.iter_mut().zip(&mut self.rows) {
                slot.residues.truncate(slot.length);
                row.sequence = std::mem::take(&mut slot.residues);
            }
        }
        Ok((self.slots, self.rows))
    }
}

/// The token of the greatest value, the first of several.
fn likeliest(row: &[f32]) -> usize {
    let greater = |best: usize, token: usize| if row[token] > row[best] { token } else { best };
    (1..row.len()).fold(0, greater)
}

/// The tokens that are pooled of sequence `b`.
fn span(pool: Pool, pack: &Pack, b: usize) -> (usize, usize) {
    let first = pack.offsets[b];
    match pool {
        Pool::Cls | Pool::ClsApart => (first, first + 1),
        Pool::Mean | Pool::Max | Pool::Sum => (pack.residues[b].start, pack.residues[b].end),
    }
}

/// The tokens of the residues that `job` owns; its first residue is token `first`.
fn owned_tokens(first: usize, job: &Job) -> Range<usize> {
    let Range { start, end } = job.span.owned;
    let from = first + start - job.span.residues.start;
    from..from + (end - start)
}
