//! Numbers that describe a corpus.

use super::Corpus;
use crate::vocabulary::Vocabulary;

/// How long the sequences of a corpus are, in residues.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LengthStatistics {
    /// Residues of the shortest sequence.
    pub shortest: usize,
    /// The smallest length that half of the sequences do not exceed.
    pub median: usize,
    /// Residues over sequences.
    pub mean: f64,
    /// The smallest length that 95 of 100 sequences do not exceed.
    pub percentile_95: usize,
    /// Residues of the longest sequence.
    pub longest: usize,
}

impl Corpus {
    /// How long the sequences are.
    pub fn lengths(&self) -> LengthStatistics {
        let mut lengths: Vec<usize> = self.iter().map(<[u8]>::len).collect();
        lengths.sort_unstable();
        // A corpus has one sequence at least; a rank counts from 1.
        let ranked = |percent: usize| lengths[(lengths.len() * percent).div_ceil(100).max(1) - 1];
        LengthStatistics {
            shortest: ranked(0),
            median: ranked(50),
            mean: self.residues() as f64 / self.sequences() as f64,
            percentile_95: ranked(95),
            longest: ranked(100),
        }
    }

    /// How often each letter `A..=Z` stands in the sequences.
    pub fn letters(&self) -> &[u64; 26] {
        &self.counts
    }

    /// Entropy of single residues over the tokens of `vocabulary`, in nats: the loss of the best model that knows how
    /// frequent each token is and nothing of its neighbours. Letters without a token count as the unknown token.
    pub fn entropy(&self, vocabulary: &Vocabulary) -> f64 {
        vocabulary.entropy(&self.counts)
    }
}
