//! Passes over packs: one asked of the device while the results of the one before are on their way.

use std::collections::VecDeque;

use pliant_kernels::KernelError;
use pliant_seq::{Pack, plan_packs};

use super::gather::{Asked, Gatherer};
use super::group::Job;
use crate::cli::print::Progress;
use crate::engine::Engine;

/// The passes of a run.
pub(super) struct Passes<'a> {
    engine: &'a Engine,
    progress: &'a Progress,
    budget: Budget,
}

/// Tokens of a pack. A device that runs out of memory makes it half of what it was, once.
pub(super) struct Budget {
    tokens: usize,
    halved: bool,
}

impl Budget {
    /// So many tokens.
    pub(super) fn new(tokens: usize) -> Self {
        Self { tokens, halved: false }
    }

    /// Whether the work that ended in `error` may be tried again with half the tokens, which is said.
    pub(super) fn halve(&mut self, error: &anyhow::Error, engine: &Engine, progress: &Progress) -> bool {
        let fault = error.chain().find_map(|cause| cause.downcast_ref::<KernelError>());
        let Some(fault @ KernelError::OutOfMemory { .. }) = fault else { return false };
        if self.halved || !engine.device().recover() {
            return false;
        }
        let before = self.tokens;
        (self.tokens, self.halved) = (before.div_ceil(2), true);
        progress.warning(&format!(
            "{fault}; going on with {} tokens together instead of {before}; results stay the same",
            self.tokens
        ));
        true
    }
}

impl<'a> Passes<'a> {
    /// Passes of `tokens` tokens.
    pub(super) fn new(engine: &'a Engine, progress: &'a Progress, tokens: usize) -> Self {
        Self { engine, progress, budget: Budget::new(tokens) }
    }

    /// Computes all `jobs` of a group.
    pub(super) fn run(&mut self, jobs: &[Job], gatherer: &mut Gatherer<'_>) -> anyhow::Result<()> {
        let mut packs = self.plan(jobs, (0..jobs.len()).collect());
        let mut ahead: Option<(Pack, Asked)> = None;
        while let Some(planned) = packs.pop_front() {
            match self.ask(jobs, gatherer, &planned) {
                Ok(asked) => {
                    if let Some(before) = ahead.replace(asked) {
                        self.take(jobs, gatherer, &before)?;
                    }
                }
                Err(error) if self.budget.halve(&error, self.engine, self.progress) => {
                    let left = planned.into_iter().chain(packs.drain(..).flatten()).collect();
                    packs = self.plan(jobs, left);
                }
                Err(error) => return Err(error),
            }
            if !self.engine.device().runs_ahead()
                && let Some(now) = ahead.take()
            {
                self.take(jobs, gatherer, &now)?;
            }
        }
        ahead.map_or(Ok(()), |last| self.take(jobs, gatherer, &last))
    }

    /// Packs of some of the jobs.
    fn plan(&self, jobs: &[Job], left: Vec<usize>) -> VecDeque<Vec<usize>> {
        let vocabulary = self.engine.vocabulary();
        let lengths = left.iter().map(|&job| vocabulary.tokens_for(jobs[job].span.residues.len()));
        let packs = plan_packs(lengths, self.budget.tokens);
        packs.into_iter().map(|pack| pack.into_iter().map(|place| left[place]).collect()).collect()
    }

    /// Asks the device for a pass, and for what is wanted of it.
    fn ask(&self, jobs: &[Job], gatherer: &Gatherer<'_>, planned: &[usize]) -> anyhow::Result<(Pack, Asked)> {
        let mut pack = Pack::new();
        for &job in planned {
            pack.push(job as u64, &jobs[job].tokens(gatherer.slots(), self.engine.vocabulary()));
        }
        let hidden = self.engine.encode(&pack)?;
        let asked = gatherer.ask(&pack, jobs, hidden)?;
        Ok((pack, asked))
    }

    /// Takes what a pass gave.
    fn take(
        &self,
        jobs: &[Job],
        gatherer: &mut Gatherer<'_>,
        (pack, asked): &(Pack, Asked),
    ) -> anyhow::Result<()> {
        gatherer.take(pack, jobs, asked)?;
        self.progress.advance(pack.rows.iter().map(|&row| jobs[row as usize].span.owned.len() as u64).sum());
        Ok(())
    }
}
