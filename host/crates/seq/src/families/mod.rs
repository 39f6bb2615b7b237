//! Sequences in families: what pairs of related and unrelated proteins are drawn from.
//!
//! A family is a name that records bear. A sequence is kept once, in the family of its first record; families with too
//! few sequences are left out whole. In memory a residue takes a byte, and a sequence sixteen more.

mod draw;
mod fixed;
mod read;

pub use draw::{Pair, PairForm, PairPack, PairSampler};
pub use fixed::{PairReport, PairSet};
pub use read::{FamilyOptions, FamilyReport};

use std::collections::HashSet;
use std::ops::Range;

use crate::corpus::{Builder, Corpus, held_out_below};
use crate::error::CorpusError;

/// Names the way families enter the digest; changes when that way changes.
const DOMAIN: &[u8] = b"pliant families 1\n";

/// A corpus whose sequences belong to families: at least one, each with at least one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Families {
    corpus: Corpus,
    /// `[families]` in the order of their first sequences.
    names: Vec<String>,
    /// `[sequences]` the family of each.
    family_of: Vec<u32>,
    /// `[sequences]` those of the first family, then those of the second, and so on; in a family in their order.
    members: Vec<u32>,
    /// `[families+1]` where each family begins in `members`; the first is 0.
    starts: Vec<usize>,
    digest: [u8; 32],
}

impl Families {
    /// Families of the sequences of `corpus`: `family_of [sequences]` numbers `names`. Names of no sequence are dropped,
    /// and the rest is in the order of first sequences.
    fn new(corpus: Corpus, names: &[String], mut family_of: Vec<u32>) -> Self {
        let mut numbers = vec![u32::MAX; names.len()];
        let mut kept = Vec::new();
        for family in &mut family_of {
            let old = *family as usize;
            if numbers[old] == u32::MAX {
                // There are no more families than sequences, and those are numbered by u32.
                numbers[old] = kept.len() as u32;
                kept.push(names[old].clone());
            }
            *family = numbers[old];
        }
        let mut starts = vec![0; kept.len() + 1];
        family_of.iter().for_each(|&family| starts[family as usize + 1] += 1);
        (1..starts.len()).for_each(|place| starts[place] += starts[place - 1]);
        let (mut next, mut members) = (starts.clone(), vec![0; family_of.len()]);
        for (sequence, &family) in (0..).zip(&family_of) {
            members[next[family as usize]] = sequence;
            next[family as usize] += 1;
        }
        let digest = digest(&corpus, &kept, &family_of);
        Self { corpus, names: kept, family_of, members, starts, digest }
    }

    /// The sequences.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// Number of families, at least 1.
    pub fn families(&self) -> usize {
        self.names.len()
    }

    /// Name of family `number`.
    ///
    /// # Panics
    /// When there is no such family.
    pub fn name(&self, number: usize) -> &str {
        &self.names[number]
    }

    /// The family of sequence `number`.
    ///
    /// # Panics
    /// When there is no such sequence.
    pub fn family_of(&self, number: usize) -> usize {
        self.family_of[number] as usize
    }

    /// The sequences of family `number`, ascending; at least one.
    ///
    /// # Panics
    /// When there is no such family.
    pub fn members(&self, number: usize) -> &[u32] {
        let Range { start, end } = self.starts[number]..self.starts[number + 1];
        &self.members[start..end]
    }

    /// BLAKE3 over the sequences in order and the names of their families, as 64 lower-case hexadecimal digits.
    pub fn digest(&self) -> String {
        blake3::Hash::from_bytes(self.digest).to_hex().to_string()
    }

    /// The digest's bytes.
    fn key(&self) -> [u8; 32] {
        self.digest
    }

    /// Two sets of families: what to train on, and the share of the sequences that is held out, chosen as by
    /// [`Corpus::hold_out`].
    ///
    /// # Errors
    /// As [`Corpus::hold_out`].
    pub fn hold_out(&self, fraction: f64, seed: u64) -> Result<(Self, Self), CorpusError> {
        let is_held_out = held_out_below(fraction, seed)?;
        let (train, apart) = (self.only(|residues| !is_held_out(residues)), self.only(&is_held_out));
        let held_out = apart.as_ref().map_or(0, |apart| apart.corpus.sequences());
        let one_sided = CorpusError::OneSided { sequences: self.corpus.sequences(), fraction, held_out };
        train.zip(apart).ok_or(one_sided)
    }

    /// These families without the sequences that stand in `other` too, and how many those were.
    ///
    /// # Errors
    /// [`CorpusError::AllHeldOut`] when nothing is left.
    pub fn without(&self, other: &Corpus) -> Result<(Self, usize), CorpusError> {
        let others: HashSet<&[u8]> = other.iter().collect();
        let sequences = self.corpus.sequences();
        let kept = self.only(|residues| !others.contains(residues));
        let kept = kept.ok_or(CorpusError::AllHeldOut { sequences })?;
        let removed = sequences - kept.corpus.sequences();
        Ok((kept, removed))
    }

    /// Those of the sequences that are wanted, unless there are none.
    fn only(&self, wanted: impl Fn(&[u8]) -> bool) -> Option<Self> {
        let (mut kept, mut family_of) = (Builder::new(), Vec::new());
        for (residues, &family) in self.corpus.iter().zip(&self.family_of) {
            if wanted(residues) {
                kept.push(residues);
                family_of.push(family);
            }
        }
        Some(Self::new(kept.finish()?, &self.names, family_of))
    }
}

fn digest(corpus: &Corpus, names: &[String], family_of: &[u32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(DOMAIN);
    hasher.update(&corpus.key());
    for name in names {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
    }
    for family in family_of {
        hasher.update(&family.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}
