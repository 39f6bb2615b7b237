//! Training sequences in memory, one byte a residue.
//!
//! A corpus knows sequences, not records: ids end with the reading, and a sequence that stands under several ids is
//! kept once, in the place of its first record. A protein copied a hundred times would otherwise be trained on a
//! hundred times as often, and one copy could be held out while another is trained on.

mod exclude;
mod read;
mod statistics;

pub use exclude::ExcludeList;
pub use read::{CorpusOptions, CorpusReport, Count, LeftOut};
pub(crate) use read::{Intake, MOST_SEQUENCES};
pub use statistics::LengthStatistics;

use std::collections::HashSet;

use crate::error::CorpusError;
use crate::random::{self, Purpose};

/// Names the way sequences enter the digest; changes when that way changes.
const DOMAIN: &[u8] = b"pliant corpus 1\n";

/// Sequences to train on or to evaluate with: at least one, each non-empty, of upper-case letters, no two alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    /// Residues of all sequences, end to end.
    letters: Vec<u8>,
    /// `[sequences+1]` where each sequence begins in `letters`; the first is 0.
    offsets: Vec<usize>,
    /// How often each letter `A..=Z` stands in `letters`.
    counts: [u64; 26],
    digest: [u8; 32],
}

impl Corpus {
    /// Number of sequences, at least 1.
    pub fn sequences(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Residues of all sequences together.
    pub fn residues(&self) -> u64 {
        self.letters.len() as u64
    }

    /// Residues `[L]` of sequence `number`, from 0 in the order of reading.
    ///
    /// # Panics
    /// When there is no such sequence.
    pub fn sequence(&self, number: usize) -> &[u8] {
        &self.letters[self.offsets[number]..self.offsets[number + 1]]
    }

    /// All sequences in the order of reading.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.sequences()).map(|number| self.sequence(number))
    }

    /// BLAKE3 over the sequences in order, each with its length before it, as 64 lower-case hexadecimal digits. It
    /// names what a [`Sampler`](crate::Sampler) draws from: ids, files, spelling and what was left out do not enter.
    pub fn digest(&self) -> String {
        blake3::Hash::from_bytes(self.digest).to_hex().to_string()
    }

    /// The digest's bytes.
    pub(crate) fn key(&self) -> [u8; 32] {
        self.digest
    }

    /// Two corpora, in the order of this one: what to train on, and the share held out. A sequence is held out where
    /// the hash of `seed` and its residues falls into the lowest `fraction` of all hashes; so it falls on the same side
    /// whatever else is in the corpus, and the share is met about, not exactly.
    ///
    /// # Errors
    /// [`CorpusError::Fraction`] unless `0 < fraction < 1`, [`CorpusError::OneSided`] when a side has no sequence.
    pub fn hold_out(&self, fraction: f64, seed: u64) -> Result<(Self, Self), CorpusError> {
        let held_out = held_out_below(fraction, seed)?;
        let (mut train, mut test) = (Builder::new(), Builder::new());
        for residues in self.iter() {
            if held_out(residues) { test.push(residues) } else { train.push(residues) }
        }
        let one_sided =
            CorpusError::OneSided { sequences: self.sequences(), fraction, held_out: test.sequences() };
        match (train.finish(), test.finish()) {
            (Some(train), Some(test)) => Ok((train, test)),
            _ => Err(one_sided),
        }
    }

    /// `count` of its sequences, in its order; all, where it has no more or `count` is 0. They are those with the lowest
    /// hashes of `seed` and their residues, so that most stay the same in a corpus that changes a little.
    #[must_use]
    pub fn pick(&self, count: usize, seed: u64) -> Self {
        let hash = |number: usize| random::digest(seed, Purpose::Pick, self.sequence(number));
        let mut hashes: Vec<([u8; 32], usize)> =
            (0..self.sequences()).map(|number| (hash(number), number)).collect();
        hashes.sort_unstable();
        let mut numbers: Vec<usize> = hashes.into_iter().take(count).map(|(_, number)| number).collect();
        numbers.sort_unstable();
        let mut picked = Builder::new();
        numbers.into_iter().for_each(|number| picked.push(self.sequence(number)));
        picked.finish().unwrap_or_else(|| self.clone())
    }

    /// This corpus without the sequences that stand in `other` too, such as a file of sequences held out, and how many
    /// those were.
    ///
    /// # Errors
    /// [`CorpusError::AllHeldOut`] when nothing is left.
    pub fn without(&self, other: &Self) -> Result<(Self, usize), CorpusError> {
        let others: HashSet<&[u8]> = other.iter().collect();
        let mut kept = Builder::new();
        for residues in self.iter().filter(|residues| !others.contains(residues)) {
            kept.push(residues);
        }
        let sequences = self.sequences();
        let removed = sequences - kept.sequences();
        let kept = kept.finish().ok_or(CorpusError::AllHeldOut { sequences })?;
        Ok((kept, removed))
    }
}

/// Which residues `[L]` are held out where a `fraction` of all is.
pub(crate) fn held_out_below(fraction: f64, seed: u64) -> Result<impl Fn(&[u8]) -> bool, CorpusError> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(CorpusError::Fraction { fraction });
    }
    // 2⁶⁴ hashes; the product lies below 2⁶⁴, so nothing is cut off.
    let limit = (fraction * 2f64.powi(64)) as u64;
    Ok(move |residues: &[u8]| {
        let mut first = [0; 8];
        first.copy_from_slice(&random::digest(seed, Purpose::HoldOut, residues)[..8]);
        u64::from_le_bytes(first) < limit
    })
}

/// A corpus as it grows.
pub(crate) struct Builder {
    letters: Vec<u8>,
    offsets: Vec<usize>,
    counts: [u64; 26],
    hasher: blake3::Hasher,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(DOMAIN);
        Self { letters: Vec::new(), offsets: vec![0], counts: [0; 26], hasher }
    }

    pub(crate) fn sequences(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(crate) fn sequence(&self, number: usize) -> &[u8] {
        &self.letters[self.offsets[number]..self.offsets[number + 1]]
    }

    pub(crate) fn push(&mut self, residues: &[u8]) {
        self.note(residues);
        self.letters.extend_from_slice(residues);
    }

    /// Takes a sequence into account that is behind the others in `letters`, or will be.
    fn note(&mut self, residues: &[u8]) {
        self.hasher.update(&(residues.len() as u64).to_le_bytes());
        self.hasher.update(residues);
        for letter in residues {
            if let Some(count) = self.counts.get_mut(usize::from(letter.wrapping_sub(b'A'))) {
                *count += 1;
            }
        }
        self.offsets.push(self.offsets[self.offsets.len() - 1] + residues.len());
    }

    /// The same without the sequences that `keep` `[sequences]` does not want. They are moved together where they are,
    /// because a second copy may not fit into memory.
    pub(crate) fn retain(self, keep: &[bool]) -> Self {
        let Self { mut letters, offsets, .. } = self;
        let (mut kept, mut end) = (Self::new(), 0);
        for (place, _) in keep.iter().enumerate().filter(|(_, keep)| **keep) {
            let own = offsets[place]..offsets[place + 1];
            let start = end;
            end += own.len();
            letters.copy_within(own, start);
            kept.note(&letters[start..end]);
        }
        letters.truncate(end);
        Self { letters, ..kept }
    }

    /// The corpus, unless there is no sequence.
    pub(crate) fn finish(mut self) -> Option<Corpus> {
        if self.sequences() == 0 {
            return None;
        }
        self.letters.shrink_to_fit();
        self.offsets.shrink_to_fit();
        let Self { letters, offsets, counts, hasher } = self;
        Some(Corpus { letters, offsets, counts, digest: *hasher.finalize().as_bytes() })
    }
}
