//! Rows of the pipeline to scores of mutants.

use std::collections::HashMap;

use pliant_seq::{RecordError, Vocabulary};

use super::error::VariantError;
use super::input::{Input, Variant};
use crate::cli::variants::Score;
use crate::pipeline::{Masks, Output, Row};

/// Makes scores of what is computed, record by record.
pub(super) struct Scorer<'a> {
    score: Score,
    input: &'a Input,
    vocabulary: &'static Vocabulary,
    /// What is computed: wild types, or mutants, each once.
    records: Vec<Vec<u8>>,
    /// For each wild type the places that are mutated, ascending.
    places: Vec<Vec<usize>>,
    /// For each record its variants.
    variants_of: Vec<Vec<usize>>,
    scores: Vec<f64>,
    /// Records that came.
    next: usize,
}

impl<'a> Scorer<'a> {
    /// A scorer of all mutants of `input`.
    pub(super) fn new(score: Score, input: &'a Input, vocabulary: &'static Vocabulary) -> Self {
        let (records, record_of) = match score {
            Score::WtMarginals | Score::MaskedMarginals => {
                (input.wild_types.clone(), input.variants.iter().map(|variant| variant.wild).collect())
            }
            Score::PseudoPpl => mutants(input),
        };
        let mut places = vec![Vec::new(); input.wild_types.len()];
        for Variant { wild, mutations } in &input.variants {
            places[*wild].extend(mutations.iter().map(|mutation| mutation.place));
        }
        for places in &mut places {
            places.sort_unstable();
            places.dedup();
        }
        let mut variants_of = vec![Vec::new(); records.len()];
        for (variant, &record) in record_of.iter().enumerate() {
            variants_of[record].push(variant);
        }
        let scores = vec![0.0; input.variants.len()];
        Self { score, input, vocabulary, records, places, variants_of, scores, next: 0 }
    }

    /// The records that are to be computed.
    pub(super) fn fasta(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (number, residues) in self.records.iter().enumerate() {
            text.extend_from_slice(format!(">{number}\n").as_bytes());
            text.extend_from_slice(residues);
            text.push(b'\n');
        }
        text
    }

    /// Refuses proteins that cannot be computed, the first of them.
    ///
    /// # Errors
    /// [`VariantError::Refused`].
    pub(super) fn check(&self, refused: impl Fn(&[u8]) -> Option<RecordError>) -> Result<(), VariantError> {
        for (residues, variants) in self.records.iter().zip(&self.variants_of) {
            if let (Some(reason), Some(&variant)) = (refused(residues), variants.first()) {
                return Err(self.input.refused(variant, self.score == Score::PseudoPpl, &reason));
            }
        }
        Ok(())
    }

    /// What is to be computed of them.
    pub(super) fn output(&self) -> Output {
        match self.score {
            Score::WtMarginals | Score::MaskedMarginals => Output::LogProbs,
            Score::PseudoPpl => Output::Losses,
        }
    }

    /// Which of their residues are masked.
    pub(super) fn masks(&self) -> Masks {
        match self.score {
            Score::WtMarginals => Masks::None,
            Score::MaskedMarginals => Masks::Chosen(self.places.clone()),
            Score::PseudoPpl => Masks::Each,
        }
    }

    /// Takes the result of the next record.
    pub(super) fn take(&mut self, row: &Row) {
        let Some(variants) = self.variants_of.get(self.next) else { return };
        for &variant in variants {
            self.scores[variant] = match self.score {
                Score::PseudoPpl => row.log_likelihood(),
                Score::WtMarginals | Score::MaskedMarginals => {
                    self.marginal(&self.input.variants[variant], row)
                }
            };
        }
        self.next += 1;
    }

    /// The sum over mutations of what the model believes more in the new letter than in the old one.
    fn marginal(&self, variant: &Variant, row: &Row) -> f64 {
        let width = self.vocabulary.told;
        let rows = row.residues.first().map_or(&[][..], Vec::as_slice);
        let places = &self.places[variant.wild];
        let of = |mutation: &super::mutant::Mutation| {
            let number = match self.score {
                Score::MaskedMarginals => places.partition_point(|&place| place < mutation.place),
                _ => mutation.place,
            };
            let believed =
                |letter: u8| f64::from(rows[number * width + self.vocabulary.token(letter) as usize]);
            believed(mutation.mutated) - believed(mutation.wild)
        };
        variant.mutations.iter().map(of).fold(0.0, |sum, one| sum + one)
    }

    /// The scores in the order of the mutants.
    pub(super) fn finish(self) -> Vec<f64> {
        self.scores
    }
}

/// The mutants themselves, each once, and for each variant the number of its own.
fn mutants(input: &Input) -> (Vec<Vec<u8>>, Vec<usize>) {
    let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
    let (mut records, mut record_of) = (Vec::new(), Vec::new());
    for Variant { wild, mutations } in &input.variants {
        let mut residues = input.wild_types[*wild].clone();
        mutations.iter().for_each(|mutation| residues[mutation.place] = mutation.mutated);
        let number = *known.entry(residues).or_insert_with_key(|residues| {
            records.push(residues.clone());
            records.len() - 1
        });
        record_of.push(number);
    }
    (records, record_of)
}
