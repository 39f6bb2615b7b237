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
//! A model reads the members of a pair as two chains, or as one: `start a end b end` ([`PairForm`]).
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

/// How a model reads a pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PairForm {
    /// Each member for itself.
    #[default]
    Apart,
    /// Both in one chain, an end behind each and one start before the first.
    Joined,
}

/// A pack of pairs to train on or to evaluate with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairPack {
    /// Apart, `2P` chains with residues hidden: the first members of P pairs, then their second members in the same order;
    /// `rows` holds their numbers in the corpus. Joined, P chains, with the numbers of first members; the residues of such a
    /// chain go from the first of one member to the last of the other, the end between them too.
    pub chains: TrainingPack,
    /// `[P]` whether the members of a pair are of one family.
    pub same: Vec<bool>,
    /// How many of the places that are asked for are those of first members, or of both where they are joined; they come
    /// first.
    pub first_places: usize,
    /// `[P]` the numbers of second members in the corpus.
    pub seconds: Vec<u64>,
}

impl PairPack {
    /// P, its pairs.
    pub fn pairs(&self) -> usize {
        self.same.len()
    }

    /// Residues of both members of all pairs.
    pub fn residues(&self) -> u64 {
        let between = if self.chains.pack.sequences() == self.pairs() { self.pairs() as u64 } else { 0 };
        self.chains.residues() - between
    }

    fn of(epoch: u64, members: Vec<[(u64, Masked); 2]>, (same, form): (Vec<bool>, PairForm)) -> Self {
        let mut chains = TrainingPack::empty(epoch);
        let mut others = Vec::with_capacity(members.len());
        for [(row, first), second] in members {
            match form {
                PairForm::Apart => lay(&mut chains, row, first),
                PairForm::Joined => lay(&mut chains, row, joined(first, &second.1)),
            }
            others.push(second);
        }
        let first_places = chains.places.len();
        let seconds = others.iter().map(|(row, _)| *row).collect();
        if form == PairForm::Apart {
            others.into_iter().for_each(|(row, second)| lay(&mut chains, row, second));
        }
        Self { chains, same, first_places, seconds }
    }
}

/// One chain of both members; the second loses its start.
fn joined(first: Masked, second: &Masked) -> Masked {
    let Masked { mut tokens, mut places, mut targets } = first;
    let start = second.tokens.residues.start;
    let shift = tokens.ids.len();
    tokens.ids.extend_from_slice(&second.tokens.ids[start..]);
    tokens.residues.end = shift + second.tokens.residues.len();
    places.extend(second.places.iter().map(|place| place - start + shift));
    targets.extend_from_slice(&second.targets);
    Masked { tokens, places, targets }
}

/// Draws packs of pairs. Can be shared between threads.
#[derive(Debug)]
pub struct PairSampler {
    sampler: Sampler,
    form: PairForm,
    longest: Option<usize>,
    /// Plans of the families asked for last. They save time and change nothing.
    epochs: Mutex<Option<Epochs>>,
}

impl PairSampler {
    /// A sampler of pairs of `families` whose members are cropped and hidden, and whose packs are cut, as `sampler` does it
    /// with single sequences. Models read pairs in this `form`; a pair has `longest` tokens at most, those of both members
    /// counted.
    ///
    /// # Errors
    /// [`SettingError::OneFamily`], and [`SettingError::Sampler`] for a limit that not every sequence keeps with the
    /// shortest one.
    pub fn new(
        sampler: Sampler,
        families: &Families,
        (form, longest): (PairForm, Option<usize>),
    ) -> Result<Self, SettingError> {
        if families.families() < 2 {
            return Err(SettingError::OneFamily { name: families.name(0).to_owned() });
        }
        let lengths = families.corpus().lengths();
        let pairs = Self { sampler, form, longest, epochs: Mutex::new(None) };
        let least = pairs.tokens(lengths.shortest, lengths.longest);
        if let Some(found) = longest.filter(|longest| *longest < least) {
            let wanted = "room for the longest sequence beside the shortest one";
            return Err(SettingError::Sampler {
                name: "the limit of pairs",
                found: found.to_string(),
                wanted,
            });
        }
        Ok(pairs)
    }

    /// How single sequences are treated.
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// Tokens of the longest pair of `set`.
    pub fn longest_of(&self, set: &PairSet) -> usize {
        let length = |number: u32| set.corpus().sequence(number as usize).len();
        let tokens = set.pairs().iter().map(|pair| self.tokens(length(pair.first), length(pair.second)));
        tokens.max().unwrap_or(0)
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
        let [first, second] =
            [pair.first, pair.second].map(|number| families.corpus().sequence(number as usize).len());
        self.tokens(first, second)
    }

    /// Tokens of a pair of so many residues each.
    fn tokens(&self, first: usize, second: usize) -> usize {
        let both = self.sampler.tokens_of(first) + self.sampler.tokens_of(second);
        match self.form {
            PairForm::Apart => both,
            PairForm::Joined => both - usize::from(self.sampler.vocabulary().start.is_some()),
        }
    }

    /// Two members, cropped and hidden with random numbers of their own.
    fn masked(&self, members: [&[u8]; 2], random: [(ChaCha8Rng, ChaCha8Rng); 2]) -> [Masked; 2] {
        let (masking, vocabulary) = (self.sampler.masking(), self.sampler.vocabulary());
        let [(mut crop, mask), (mut other_crop, other_mask)] = random;
        let first = self.sampler.window(members[0], &mut crop);
        let second = self.sampler.window(members[1], &mut other_crop);
        let lengths = [first.len(), second.len()];
        let shares = match self.form {
            PairForm::Apart => None,
            PairForm::Joined => masking.shares(lengths, self.tokens(lengths[0], lengths[1])),
        };
        let hide = |residues: &[u8], side: usize, mut mask: ChaCha8Rng| {
            masking.hide_some(vocabulary.encode(residues), shares.map(|shares| shares[side]), &mut mask)
        };
        [hide(first, 0, mask), hide(second, 1, other_mask)]
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
            let random = [0, 1].map(|side| {
                let stream = 2 * u64::from(item) + side;
                (random::of_sequence(&crops, stream), random::of_sequence(&masks, stream))
            });
            let numbers = [pair.first, pair.second];
            let residues = numbers.map(|number| families.corpus().sequence(number as usize));
            let [first, second] = self.masked(residues, random);
            members.push([(u64::from(pair.first), first), (u64::from(pair.second), second)]);
            same.push(pair.same);
        }
        PairPack::of(epoch.number, members, (same, self.form))
    }

    /// The number of the first pack of `epoch`: as many packs are in the epochs before it.
    pub fn epoch_start(&self, families: &Families, epoch: u64) -> u64 {
        let lengths = |epoch| self.lengths(families, epoch);
        self.with_epochs(families, |epochs| epochs.start(epoch, &lengths))
    }

    /// Every pair of `set` once, longest first, its members cropped and hidden as [`Sampler::evaluation`] does it; joined,
    /// how much of each is asked for follows from both.
    pub fn evaluation_packs<'a>(&'a self, set: &'a PairSet) -> impl Iterator<Item = PairPack> + 'a {
        let length = |number: u32| set.corpus().sequence(number as usize).len();
        let lengths = set.pairs().iter().map(|pair| self.tokens(length(pair.first), length(pair.second)));
        let packs = plan_packs(lengths, self.sampler.settings().budget_tokens);
        packs.into_iter().map(move |numbers| {
            let members = |pair: Pair| {
                let numbers = [pair.first, pair.second];
                let residues = numbers.map(|number| set.corpus().sequence(number as usize));
                let seed = self.sampler.settings().seed;
                let random = residues.map(|residues| {
                    let of = |purpose| random::of_residues(seed, purpose, residues);
                    (of(Purpose::EvaluationCrop), of(Purpose::EvaluationMask))
                });
                let [first, second] = self.masked(residues, random);
                [(u64::from(pair.first), first), (u64::from(pair.second), second)]
            };
            let pairs = numbers.iter().map(|&number| set.pairs()[number]);
            let same = pairs.clone().map(|pair| pair.same).collect();
            PairPack::of(0, pairs.map(members).collect(), (same, self.form))
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
