//! Pairs that never change: what a training is examined with.

use std::collections::HashMap;

use super::Families;
use super::draw::{Pair, partner};
use super::read::{Labelled, residues_of, warn};
use crate::corpus::{Builder, Corpus};
use crate::error::{CorpusError, RecordError, SettingError};
use crate::fasta::RawRecord;
use crate::input::Source;
use crate::random::{self, Purpose};
use crate::record::{Failure, Warnings};

/// Names the way pairs enter the digest; changes when that way changes.
const DOMAIN: &[u8] = b"pliant pairs 1\n";

/// The columns of a table of pairs, as PLUS has them.
const COLUMNS: [&str; 3] = ["sequence_A", "sequence_B", "is_samefamily"];

/// Pairs of sequences: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairSet {
    corpus: Corpus,
    pairs: Vec<Pair>,
    digest: [u8; 32],
}

/// What was read of pairs and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PairReport {
    /// Rows of the tables.
    pub rows: u64,
    /// Rows that failed. They are not in the set; whether to go on is the caller's decision.
    pub failures: Vec<Failure>,
    /// Repairs made in the sequences of the others.
    pub warnings: Warnings,
}

impl PairSet {
    /// Reads tables with the columns `sequence_A`, `sequence_B` and `is_samefamily`, which is 1 or 0 (or `true` or
    /// `false`); other columns are not looked at. Sequences with more than `max_residues` residues fail.
    ///
    /// # Errors
    /// [`CorpusError`] where a table cannot be read to its end, has no such column, and where no pair is left.
    pub fn read(sources: &[Source], max_residues: u32) -> Result<(Self, PairReport), CorpusError> {
        let (mut draft, mut report) = (Draft::new(), PairReport::default());
        for source in sources {
            let mut table = Labelled::open(source, &COLUMNS)?;
            while table.next_row()? {
                report.rows += 1;
                let understood = pair(&table.cells(), (table.line(), max_residues));
                match understood {
                    Ok((first, second, same)) => {
                        warn(&mut report.warnings, &first);
                        warn(&mut report.warnings, &second);
                        draft.push([&first.residues, &second.residues], same);
                    }
                    Err(reason) => report.failures.push(table.failure(report.rows, reason)),
                }
            }
        }
        let (rows, failures) = (report.rows, report.failures.len() as u64);
        let set = draft.finish().ok_or(CorpusError::NoPairs { rows, failures })?;
        Ok((set, report))
    }

    /// So many pairs of sequences of `families`, drawn once as a training draws them: the first members in an even order,
    /// and again from its beginning where more pairs are asked for than there are sequences.
    ///
    /// # Errors
    /// [`SettingError::OneFamily`], and [`SettingError::Sampler`] for no pairs.
    pub fn drawn(families: &Families, pairs: usize, seed: u64) -> Result<Self, SettingError> {
        if families.families() < 2 {
            return Err(SettingError::OneFamily { name: families.name(0).to_owned() });
        }
        let corpus = families.corpus();
        let mut order: Vec<u32> = (0..).take(corpus.sequences()).collect();
        let all = order.len();
        random::draw(&mut random::of_epoch(seed, Purpose::EvaluationPair, 0), &mut order, all);
        let partners = random::of_epoch(seed, Purpose::EvaluationPair, 1);
        let mut draft = Draft::new();
        for (number, &first) in (0..).zip(order.iter().cycle()).take(pairs) {
            let pair = partner(families, first, &mut random::of_sequence(&partners, number));
            let members = [pair.first, pair.second].map(|number| corpus.sequence(number as usize));
            draft.push(members, pair.same);
        }
        let none = || SettingError::Sampler { name: "pairs", found: pairs.to_string(), wanted: "1 or more" };
        draft.finish().ok_or_else(none)
    }

    /// The sequences, each once.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// The pairs, by the numbers of their sequences.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// BLAKE3 over sequences and pairs in order, as 64 lower-case hexadecimal digits.
    pub fn digest(&self) -> String {
        blake3::Hash::from_bytes(self.digest).to_hex().to_string()
    }
}

/// Pairs as they come.
struct Draft {
    sequences: Builder,
    numbers: HashMap<Vec<u8>, u32>,
    pairs: Vec<Pair>,
}

impl Draft {
    fn new() -> Self {
        Self { sequences: Builder::new(), numbers: HashMap::new(), pairs: Vec::new() }
    }

    fn push(&mut self, members: [&[u8]; 2], same: bool) {
        let [first, second] = members.map(|residues| {
            if let Some(&number) = self.numbers.get(residues) {
                return number;
            }
            let number = u32::try_from(self.sequences.sequences()).unwrap_or(u32::MAX);
            self.sequences.push(residues);
            self.numbers.insert(residues.to_vec(), number);
            number
        });
        self.pairs.push(Pair { first, second, same });
    }

    fn finish(self) -> Option<PairSet> {
        let corpus = self.sequences.finish()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(DOMAIN);
        hasher.update(&corpus.key());
        for Pair { first, second, same } in &self.pairs {
            hasher.update(&first.to_le_bytes());
            hasher.update(&second.to_le_bytes());
            hasher.update(&[u8::from(*same)]);
        }
        Some(PairSet { corpus, pairs: self.pairs, digest: *hasher.finalize().as_bytes() })
    }
}

/// The two sequences of a row, and whether they are of one family.
fn pair(
    cells: &[&[u8]],
    (line, max_residues): (u64, u32),
) -> Result<(RawRecord, RawRecord, bool), RecordError> {
    let [first, second, same] = [0, 1, 2].map(|place| cells.get(place).copied().unwrap_or_default());
    let same = match same.to_ascii_lowercase().as_slice() {
        b"1" | b"1.0" | b"true" => true,
        b"0" | b"0.0" | b"false" => false,
        _ => {
            let (place, found) =
                (format!("the column '{}'", COLUMNS[2]), format!("'{}'", crate::id::shown(same)));
            return Err(RecordError::Cell { place, found, wanted: "1 or 0".to_owned() });
        }
    };
    Ok((residues_of(first, line, max_residues)?, residues_of(second, line, max_residues)?, same))
}
