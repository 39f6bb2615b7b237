//! Which sequences stand in which pack, epoch by epoch. An item is a sequence, or a pair by the sequence that it begins
//! with.

use std::sync::Arc;

use crate::random::{self, Purpose};

/// How an epoch is cut into packs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cuts {
    /// Tokens of a pack at most.
    pub(crate) budget: u64,
    /// Items that a pack holds whatever their tokens, as long as there are so many; 1 at least.
    pub(crate) least: usize,
}

/// Tokens of every item in an epoch by its number, at least one item.
pub(crate) type Lengths<'a> = &'a dyn Fn(u64) -> Vec<u32>;

/// The plan of one epoch.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) number: u64,
    /// Items in their order in this epoch.
    order: Vec<u32>,
    /// `[packs+1]` where each pack begins in `order`.
    cuts: Vec<usize>,
}

impl Epoch {
    fn plan(seed: u64, number: u64, tokens: Lengths<'_>, limits: Cuts) -> Self {
        let mut random = random::of_epoch(seed, Purpose::Order, number);
        let tokens = tokens(number);
        // A corpus numbers its sequences by u32.
        let mut order: Vec<u32> = (0..).take(tokens.len()).collect();
        let all = order.len();
        random::draw(&mut random, &mut order, all);
        let (mut cuts, mut filled, mut held) = (vec![0], 0, 0);
        for (place, &item) in order.iter().enumerate() {
            let tokens = u64::from(tokens[item as usize]);
            if held >= limits.least && filled + tokens > limits.budget {
                cuts.push(place);
                (filled, held) = (0, 0);
            }
            filled += tokens;
            held += 1;
        }
        cuts.push(all);
        Self { number, order, cuts }
    }

    fn packs(&self) -> usize {
        self.cuts.len() - 1
    }

    /// The items of a pack, by its place in the epoch.
    pub(crate) fn pack(&self, place: usize) -> &[u32] {
        &self.order[self.cuts[place]..self.cuts[place + 1]]
    }
}

/// Plans of a corpus, as far as they were needed.
#[derive(Debug)]
pub(crate) struct Epochs {
    /// The corpus they belong to.
    pub(crate) key: [u8; 32],
    seed: u64,
    cuts: Cuts,
    /// The first pack of every epoch planned so far, and of the one after them; the first is 0.
    starts: Vec<u64>,
    current: Option<Arc<Epoch>>,
}

impl Epochs {
    pub(crate) fn new(key: [u8; 32], seed: u64, cuts: Cuts) -> Self {
        Self { key, seed, cuts, starts: vec![0], current: None }
    }

    /// The epoch that holds pack `number`, and the pack's place in it.
    pub(crate) fn locate(&mut self, number: u64, tokens: Lengths<'_>) -> (Arc<Epoch>, usize) {
        while self.known() <= number {
            self.plan_next(tokens);
        }
        // The starts ascend, and the first is 0.
        let epoch = self.starts.partition_point(|&start| start <= number) - 1;
        // A place in an epoch numbers at most as many packs as there are sequences.
        let place = (number - self.starts[epoch]) as usize;
        let number = epoch as u64;
        let current = match self.current.take() {
            Some(current) if current.number == number => current,
            _ => Arc::new(Epoch::plan(self.seed, number, tokens, self.cuts)),
        };
        self.current = Some(Arc::clone(&current));
        (current, place)
    }

    /// The first pack of `epoch`.
    pub(crate) fn start(&mut self, epoch: u64, tokens: Lengths<'_>) -> u64 {
        while (self.starts.len() as u64) <= epoch {
            self.plan_next(tokens);
        }
        self.starts[epoch as usize]
    }

    /// Packs of the epochs planned so far.
    fn known(&self) -> u64 {
        self.starts[self.starts.len() - 1]
    }

    fn plan_next(&mut self, tokens: Lengths<'_>) {
        let number = self.starts.len() as u64 - 1;
        let epoch = Epoch::plan(self.seed, number, tokens, self.cuts);
        self.starts.push(self.known() + epoch.packs() as u64);
        self.current = Some(Arc::new(epoch));
    }
}
