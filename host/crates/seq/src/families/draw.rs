//! Pairs of proteins, of one family or of two, and the packs that they are learnt in: all a pure function of families,
//! settings and number.
//!
//! An epoch has a pair for each sequence, which is its first member; the order of an epoch is that of
//! [`Sampler`]'s. The second member is drawn from (seed, epoch, first member):
//!
//! - with one half from the family of the first, evenly; it may be the first itself;
//! - with one half from another family: that evenly among all others, however many sequences they have, and then the
//!   sequence evenly in it.
//!
//! Where pairs may not be longer than a limit, a longer one is drawn again, and after every ten failures the sequence that
//! follows in the corpus becomes the first member.

use std::sync::{Mutex, PoisonError};

use rand_chacha::ChaCha8Rng;

use super::{Families, PairSet};
use crate::error::SettingError;
use crate::pack::plan_packs;
use crate::random::{self, Purpose};
use crate::sampler::{Epochs, Masked, Sampler, TrainingPack, lay};

/// Pairs that are too long before the first member changes.
const TRIES: u32 = 10;

/// Two sequences by their numbers in the corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The first member.
    pub first: u32,
    /// The second one.
    pub second: u32,
    /// Whether they are of one family.
    pub same: bool,
}

/// A pack of pairs to train on or to evaluate with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairPack {
    /// `2P` chains with residues hidden: the first members of P pairs, then their second members in the same order;
    /// `rows` holds their numbers in the corpus.
    pub chains: TrainingPack,
    /// `[P]` whether the members of a pair are of one family.
    pub same: Vec<bool>,
    /// How many of the places that are asked for are those of first members; they come first.
    pub first_places: usize,
}

impl PairPack {
    /// P, its pairs.
    pub fn pairs(&self) -> usize {
        self.same.len()
    }

    fn of(epoch: u64, members: Vec<[(u64, Masked); 2]>, same: Vec<bool>) -> Self {
        let mut chains = TrainingPack::empty(epoch);
        let mut seconds = Vec::with_capacity(members.len());
        for [(row, first), second] in members {
            lay(&mut chains, row, first);
            seconds.push(second);
        }
        let first_places = chains.places.len();
        for (row, second) in seconds {
            lay(&mut chains, row, second);
        }
        Self { chains, same, first_places }
    }
}

/// Draws packs of pairs. Can be shared between threads.
#[derive(Debug)]
pub struct PairSampler {
    sampler: Sampler,
    longest: Option<usize>,
    /// Plans of the families asked for last. They save time and change nothing.
    epochs: Mutex<Option<Epochs>>,
}

impl PairSampler {
    /// A sampler of pairs of `families` whose members are cropped and hidden, and whose packs are cut, as `sampler` does it
    /// with single sequences. A pair has `longest` tokens at most, those of both members counted.
    ///
    /// # Errors
    /// [`SettingError::OneFamily`], and [`SettingError::Sampler`] for a limit that not every sequence keeps with the
    /// shortest one.
    pub fn new(sampler: Sampler, families: &Families, longest: Option<usize>) -> Result<Self, SettingError> {
        if families.families() < 2 {
            return Err(SettingError::OneFamily { name: families.name(0).to_owned() });
        }
        let lengths = families.corpus().lengths();
        let least = sampler.tokens_of(lengths.shortest) + sampler.tokens_of(lengths.longest);
        if let Some(found) = longest.filter(|longest| *longest < least) {
            let wanted = "room for the longest sequence beside the shortest one";
            return Err(SettingError::Sampler {
                name: "the limit of pairs",
                found: found.to_string(),
                wanted,
            });
        }
        Ok(Self { sampler, longest, epochs: Mutex::new(None) })
    }

    /// How single sequences are treated.
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// The pair that sequence `number` begins in an epoch.
    pub fn pair(&self, families: &Families, epoch: u64, number: u32) -> Pair {
        let pairs = random::of_epoch(self.sampler.settings().seed, Purpose::Pair, epoch);
        self.drawn(families, &pairs, number)
    }

    fn drawn(&self, families: &Families, pairs: &ChaCha8Rng, number: u32) -> Pair {
        let mut random = random::of_sequence(pairs, u64::from(number));
        // A corpus numbers its sequences by u32.
        let sequences = families.corpus().sequences() as u32;
        let (mut first, mut tries) = (number, 0);
        loop {
            let pair = partner(families, first, &mut random);
            let fits = self.longest.is_none_or(|longest| self.tokens_of(families, pair) <= longest);
            if fits {
                return pair;
            }
            tries += 1;
            if tries % TRIES == 0 {
                first = (first + 1) % sequences;
            }
        }
    }

    /// Tokens of both members.
    fn tokens_of(&self, families: &Families, pair: Pair) -> usize {
        let tokens = |number: u32| self.sampler.tokens_of(families.corpus().sequence(number as usize).len());
        tokens(pair.first) + tokens(pair.second)
    }

    /// Pack `number` of an endless training run over `families`, from 0: the epochs follow one another without a gap.
    pub fn batch(&self, families: &Families, number: u64) -> PairPack {
        let lengths = |epoch| self.lengths(families, epoch);
        let (epoch, place) = self.with_epochs(families, |epochs| epochs.locate(number, &lengths));
        let seed = self.sampler.settings().seed;
        let of_epoch = |purpose| random::of_epoch(seed, purpose, epoch.number);
        let (pairs, crops, masks) =
            (of_epoch(Purpose::Pair), of_epoch(Purpose::PairCrop), of_epoch(Purpose::PairMask));
        let (mut members, mut same) = (Vec::new(), Vec::new());
        for &item in epoch.pack(place) {
            let pair = self.drawn(families, &pairs, item);
            // Each member of each pair has random numbers of its own.
            let member = |sequence: u32, side: u64| {
                let stream = 2 * u64::from(item) + side;
                let mut crop = random::of_sequence(&crops, stream);
                let mut mask = random::of_sequence(&masks, stream);
                let residues = families.corpus().sequence(sequence as usize);
                (u64::from(sequence), self.sampler.masked(residues, &mut crop, &mut mask))
            };
            members.push([member(pair.first, 0), member(pair.second, 1)]);
            same.push(pair.same);
        }
        PairPack::of(epoch.number, members, same)
    }

    /// The number of the first pack of `epoch`: as many packs are in the epochs before it.
    pub fn epoch_start(&self, families: &Families, epoch: u64) -> u64 {
        let lengths = |epoch| self.lengths(families, epoch);
        self.with_epochs(families, |epochs| epochs.start(epoch, &lengths))
    }

    /// Every pair of `set` once, longest first, its members cropped and hidden as [`Sampler::evaluation`] does it.
    pub fn evaluation_packs<'a>(&'a self, set: &'a PairSet) -> impl Iterator<Item = PairPack> + 'a {
        let tokens = |number: u32| self.sampler.tokens_of(set.corpus().sequence(number as usize).len());
        let lengths = set.pairs().iter().map(|pair| tokens(pair.first) + tokens(pair.second));
        let packs = plan_packs(lengths, self.sampler.settings().budget_tokens);
        packs.into_iter().map(move |numbers| {
            let member = |number: u32| {
                let residues = set.corpus().sequence(number as usize);
                (u64::from(number), self.sampler.evaluation(residues))
            };
            let pairs = numbers.iter().map(|&number| set.pairs()[number]);
            let members = pairs.clone().map(|pair| [member(pair.first), member(pair.second)]).collect();
            PairPack::of(0, members, pairs.map(|pair| pair.same).collect())
        })
    }

    /// Tokens of the pair that each sequence begins in an epoch.
    fn lengths(&self, families: &Families, epoch: u64) -> Vec<u32> {
        let pairs = random::of_epoch(self.sampler.settings().seed, Purpose::Pair, epoch);
        let tokens = (0..).take(families.corpus().sequences()).map(|number| {
            let pair = self.drawn(families, &pairs, number);
            u32::try_from(self.tokens_of(families, pair)).unwrap_or(u32::MAX)
        });
        tokens.collect()
    }

    fn with_epochs<T>(&self, families: &Families, work: impl FnOnce(&mut Epochs) -> T) -> T {
        // A plan enters when it is whole, so a thread that panicked leaves nothing wrong behind.
        let mut slot = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let cuts = self.sampler.cuts(self.sampler.least_sequences().div_ceil(2));
        let fresh = || Epochs::new(families.key(), self.sampler.settings().seed, cuts);
        match &mut *slot {
            Some(epochs) if epochs.key == families.key() => work(epochs),
            slot => work(slot.insert(fresh())),
        }
    }
}

/// A pair that begins with `first`, of families of which there are two at least.
pub(super) fn partner(families: &Families, first: u32, random: &mut ChaCha8Rng) -> Pair {
    let own = families.family_of(first as usize);
    let same = random::below(random, 2) == 0;
    let family = if same {
        own
    } else {
        // The others are numbered without a gap: those behind the own one are one less.
        let other = random::below(random, count(families.families()) - 1) as usize;
        if other < own { other } else { other + 1 }
    };
    let members = families.members(family);
    let second = members[random::below(random, count(members.len())) as usize];
    Pair { first, second, same }
}

/// Families and sequences are numbered by u32.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
