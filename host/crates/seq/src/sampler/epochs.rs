//! Which sequences stand in which pack, epoch by epoch.

use std::sync::Arc;

use crate::random::{self, Purpose};

/// What plans depend on beside the seed.
#[derive(Debug)]
pub(super) struct Lengths {
    /// Tokens of each sequence of the corpus, at least one sequence.
    pub(super) tokens: Vec<u32>,
    /// Tokens of a pack at most.
    pub(super) budget: u64,
}

/// The plan of one epoch.
#[derive(Debug)]
pub(super) struct Epoch {
    pub(super) number: u64,
    /// Sequences in their order in this epoch.
    order: Vec<u32>,
    /// `[packs+1]` where each pack begins in `order`.
    cuts: Vec<usize>,
}

impl Epoch {
    fn plan(seed: u64, number: u64, lengths: &Lengths) -> Self {
        let mut random = random::of_epoch(seed, Purpose::Order, number);
        // A corpus numbers its sequences by u32.
        let mut order: Vec<u32> = (0..).take(lengths.tokens.len()).collect();
        let all = order.len();
        random::draw(&mut random, &mut order, all);
        let (mut cuts, mut filled) = (vec![0], 0);
        for (place, &sequence) in order.iter().enumerate() {
            let tokens = u64::from(lengths.tokens[sequence as usize]);
            if filled > 0 && filled + tokens > lengths.budget {
                cuts.push(place);
                filled = 0;
            }
            filled += tokens;
        }
        cuts.push(all);
        Self { number, order, cuts }
    }

    fn packs(&self) -> usize {
        self.cuts.len() - 1
    }

    /// The sequences of a pack, by its place in the epoch.
    pub(super) fn pack(&self, place: usize) -> &[u32] {
        &self.order[self.cuts[place]..self.cuts[place + 1]]
    }
}

/// Plans of a corpus, as far as they were needed.
#[derive(Debug)]
pub(super) struct Epochs {
    /// The corpus they belong to.
    pub(super) key: [u8; 32],
    seed: u64,
    lengths: Lengths,
    /// The first pack of every epoch planned so far, and of the one after them; the first is 0.
    starts: Vec<u64>,
    current: Option<Arc<Epoch>>,
}

impl Epochs {
    pub(super) fn new(key: [u8; 32], seed: u64, lengths: Lengths) -> Self {
        Self { key, seed, lengths, starts: vec![0], current: None }
    }

    /// The epoch that holds pack `number`, and the pack's place in it.
    pub(super) fn locate(&mut self, number: u64) -> (Arc<Epoch>, usize) {
        while self.known() <= number {
            self.plan_next();
        }
        // The starts ascend, and the first is 0.
        let epoch = self.starts.partition_point(|&start| start <= number) - 1;
        // A place in an epoch numbers at most as many packs as there are sequences.
        let place = (number - self.starts[epoch]) as usize;
        let number = epoch as u64;
        let current = match self.current.take() {
            Some(current) if current.number == number => current,
            _ => Arc::new(Epoch::plan(self.seed, number, &self.lengths)),
        };
        self.current = Some(Arc::clone(&current));
        (current, place)
    }

    /// The first pack of `epoch`.
    pub(super) fn start(&mut self, epoch: u64) -> u64 {
        while (self.starts.len() as u64) <= epoch {
            self.plan_next();
        }
        self.starts[epoch as usize]
    }

    /// Packs of the epochs planned so far.
    fn known(&self) -> u64 {
        self.starts[self.starts.len() - 1]
    }

    fn plan_next(&mut self) {
        let number = self.starts.len() as u64 - 1;
        let epoch = Epoch::plan(self.seed, number, &self.lengths);
        self.starts.push(self.known() + epoch.packs() as u64);
        self.current = Some(Arc::new(epoch));
    }
}
