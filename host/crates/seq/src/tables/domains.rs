//! Domains by their structure, and pairs drawn of them.
//!
//! Most pairs share nothing, and few share a family. So a level is drawn first, by the number of its pairs to a power below
//! 1, and then one of the pairs of that level, each as likely (Bepler and Berger 2019, arXiv:1902.08661, with the power
//! 0.5). The sampler that PLUS published draws nearly all of its pairs from level 0, and none from level 4.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;

use super::error::TableError;
use super::forms::SCOP_LEVELS;
use super::labels::{Label, Labels};
use super::proteins::grouped;
use super::set::{LabelledSet, Texts};
use crate::random::{self, Purpose};

/// Fields of a code: class, fold, superfamily, family.
const FIELDS: usize = SCOP_LEVELS as usize;

/// What a class should be.
const WANTED_FORM: &str = "a code of structure with four fields, as a.1.2.3";

/// Groups of domains that share a level, and how many pairs of just that level each has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Depth {
    /// Places in the order of codes.
    groups: Vec<Range<usize>>,
    /// `[groups]` pairs of this group and those before it; a pair and its reverse are two.
    sums: Vec<u64>,
}

/// Domains in the order of their codes.
#[derive(Debug, Clone, PartialEq)]
pub struct Domains<'a> {
    set: &'a LabelledSet,
    /// `[domains]` examples of the set, sorted by code.
    order: Vec<usize>,
    /// `[domains]` codes in that order.
    codes: Vec<[String; FIELDS]>,
    /// `[levels]`
    depths: Vec<Depth>,
}

impl<'a> Domains<'a> {
    /// Takes a set whose classes are codes, as [`forms::plus_domains`](super::forms::plus_domains) and
    /// [`forms::domain_codes`](super::forms::domain_codes) read them.
    ///
    /// # Errors
    /// [`TableError::Form`] naming the first example whose class is no code, and [`TableError::Options`] for pairs and for
    /// labels that are no classes.
    pub fn of(set: &'a LabelledSet) -> Result<Self, TableError> {
        let Labels::Class { classes, of } = set.labels() else {
            return Err(TableError::Options { what: "domains need their codes of structure as classes" });
        };
        if set.are_pairs() {
            return Err(TableError::Options { what: "domains are single proteins, not pairs" });
        }
        let mut coded = Vec::with_capacity(set.len());
        for (example, &class) in of.iter().enumerate() {
            let text = &classes[class as usize];
            let fields: Vec<String> = text.split('.').map(str::to_owned).collect();
            let fields =
                fields.try_into().ok().filter(|fields: &[String; FIELDS]| !fields.contains(&String::new()));
            let (file, line) = set.place(example);
            let refused = || TableError::Form {
                file: std::sync::Arc::clone(file),
                line,
                found: format!("'{text}'"),
                wanted: WANTED_FORM,
            };
            coded.push((fields.ok_or_else(refused)?, example));
        }
        coded.sort();
        let (codes, order): (Vec<_>, Vec<_>) = coded.into_iter().unzip();
        let depths = (0..=FIELDS).map(|level| depth(&codes, level)).collect();
        Ok(Self { set, order, codes, depths })
    }

    /// `[levels]` how many pairs share just each level; a pair and its reverse are two, and no domain is its own pair.
    pub fn pairs(&self) -> Vec<u64> {
        self.depths.iter().map(|depth| depth.sums.last().copied().unwrap_or_default()).collect()
    }

    /// `count` pairs with their levels: a pure function of the domains, `seed`, `round` (such as an epoch) and `power`. A
    /// level is drawn by the number of its pairs to `power`: 1 takes all pairs alike, 0 all levels. Pairs are kept together
    /// by their folds.
    ///
    /// # Errors
    /// [`TableError::Options`] without any pair.
    pub fn draw(&self, count: usize, seed: u64, round: u64, power: f64) -> Result<LabelledSet, TableError> {
        let pairs = self.pairs();
        let weights: Vec<f64> = pairs
            .iter()
            .map(|&pairs| if pairs == 0 { 0.0 } else { libm::pow(pairs as f64, power) })
            .collect();
        let all: f64 = weights.iter().sum();
        if count == 0 || !(all > 0.0 && all.is_finite()) {
            return Err(TableError::Options {
                what: "pairs need two domains at least, and a number to draw",
            });
        }
        let round = random::of_epoch(seed, Purpose::Domains, round);
        let mut drawn = Drawn::of(self.set);
        for number in 0..count as u64 {
            let mut random = random::of_sequence(&round, number);
            let mut left = random::unit(&mut random) * all;
            let mut level = 0;
            for (place, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                level = place;
                if left < *weight {
                    break;
                }
                left -= weight;
            }
            let pair = self.pair(level, &mut random).map(|place| self.order[place]);
            // Levels are 0 to 4.
            drawn.push(self.set, pair, level as u8);
        }
        Ok(drawn.set.sealed())
    }

    /// Two places that share just `level`, which some do.
    fn pair(&self, level: usize, random: &mut ChaCha8Rng) -> [usize; 2] {
        let depth = &self.depths[level];
        let all = depth.sums.last().copied().unwrap_or_default();
        let at = (random::unit(random) * all as f64) as u64;
        let group = depth.sums.partition_point(|&sum| sum <= at).min(depth.groups.len() - 1);
        let group = depth.groups[group].clone();
        // Sets have no more than u32::MAX examples.
        let size = u32::try_from(group.len()).unwrap_or(u32::MAX);
        loop {
            // The group has such a pair, so this ends; all its pairs are tried alike.
            let [first, second] = [0; 2].map(|_| group.start + random::below(random, size) as usize);
            if first != second && shared(&self.codes[first], &self.codes[second]) == level {
                return [first, second];
            }
        }
    }
}

/// How many fields two codes share from the first on.
fn shared(one: &[String; FIELDS], other: &[String; FIELDS]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

fn depth(codes: &[[String; FIELDS]], level: usize) -> Depth {
    let (mut groups, mut sums, mut start, mut sum) = (Vec::new(), Vec::new(), 0, 0);
    for group in codes.chunk_by(|one, other| one[..level] == other[..level]) {
        let square = |size: usize| (size * size) as u64;
        let closer: u64 = match level {
            FIELDS => group.len() as u64,
            _ => group
                .chunk_by(|one, other| one[..=level] == other[..=level])
                .map(|part| square(part.len()))
                .sum(),
        };
        sum += square(group.len()) - closer;
        groups.push(start..start + group.len());
        sums.push(sum);
        start += group.len();
    }
    Depth { groups, sums }
}

/// Pairs as they are drawn.
struct Drawn {
    set: LabelledSet,
    /// The number among the sequences drawn of each of all.
    numbers: Vec<Option<u32>>,
}

impl Drawn {
    fn of(set: &LabelledSet) -> Self {
        let labels = Labels::Level { highest: SCOP_LEVELS, of: Vec::new() };
        let drawn = LabelledSet {
            letters: Vec::new(),
            offsets: vec![0],
            ids: Texts::default(),
            pairs: Some(Vec::new()),
            labels,
            weights: None,
            parts: None,
            groups: Some(Texts::default()),
            files: set.files.clone(),
            places: Vec::new(),
            digest: [0; 32],
        };
        Self { set: drawn, numbers: vec![None; set.sequences()] }
    }

    fn push(&mut self, from: &LabelledSet, pair: [usize; 2], level: u8) {
        let own = pair.map(|domain| match self.numbers[domain] {
            Some(number) => number,
            None => {
                let number = self.set.take_sequence(from, domain);
                // A set that keeps its domains together in a way of its own has been asked already.
                if let (None, Some(groups), Label::Class(class)) =
                    (from.group(domain), &mut self.set.groups, from.label(domain))
                {
                    groups.push(&grouped(from.classes()[class as usize].as_bytes(), Some(2)));
                }
                *self.numbers[domain].insert(number)
            }
        });
        self.set.pairs.get_or_insert_default().push(own);
        self.set.places.push(from.places[pair[0]]);
        if let Labels::Level { of, .. } = &mut self.set.labels {
            of.push(level);
        }
    }
}
