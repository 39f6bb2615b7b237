//! The sequences of a training: what is learnt from, and what is kept apart.

use std::path::PathBuf;

use pliant_seq::{
    Corpus, CorpusError, CorpusOptions, CorpusReport, Count, ExcludeList, Failure, Families, FamilyOptions,
    FamilyReport, IdStyle, PairReport, PairSet, ReadOptions, RecordReader, Source, Totals, Vocabulary,
};
use serde_json::{Value, json};

use crate::cli::reading::OnError;
use crate::tasks::intake::{self, Warnings, counted};
use crate::train::config::{ObjectiveKind, TrainConfig};

/// Sequences in memory, and what became of the records that they come from.
pub(super) struct Data {
    /// What is learnt from.
    pub(super) train: Sequences,
    /// What is kept apart.
    pub(super) held_out: Option<Sequences>,
    /// What is evaluated of it, where that is not all.
    pub(super) evaluated: Option<Corpus>,
    /// Pairs that are evaluated.
    pub(super) pairs: Option<PairSet>,
    /// Records that failed.
    pub(super) failures: Vec<Failure>,
    /// What may not be what was meant.
    pub(super) warnings: Warnings,
}

/// Sequences, each for itself or in families.
pub(super) enum Sequences {
    /// Each for itself.
    Alone(Corpus),
    /// In families.
    Related(Families),
}

impl Sequences {
    /// The sequences.
    pub(super) fn corpus(&self) -> &Corpus {
        match self {
            Self::Alone(corpus) => corpus,
            Self::Related(families) => families.corpus(),
        }
    }

    /// The families, where there are any.
    pub(super) fn families(&self) -> Option<&Families> {
        match self {
            Self::Alone(_) => None,
            Self::Related(families) => Some(families),
        }
    }

    /// What names them.
    pub(super) fn digest(&self) -> String {
        match self {
            Self::Alone(corpus) => corpus.digest(),
            Self::Related(families) => families.digest(),
        }
    }

    fn hold_out(&self, fraction: f64, seed: u64) -> Result<(Self, Self), CorpusError> {
        Ok(match self {
            Self::Alone(corpus) => {
                let (train, apart) = corpus.hold_out(fraction, seed)?;
                (Self::Alone(train), Self::Alone(apart))
            }
            Self::Related(families) => {
                let (train, apart) = families.hold_out(fraction, seed)?;
                (Self::Related(train), Self::Related(apart))
            }
        })
    }

    fn without(&self, other: &Corpus) -> Result<(Self, usize), CorpusError> {
        Ok(match self {
            Self::Alone(corpus) => {
                let (rest, removed) = corpus.without(other)?;
                (Self::Alone(rest), removed)
            }
            Self::Related(families) => {
                let (rest, removed) = families.without(other)?;
                (Self::Related(rest), removed)
            }
        })
    }

    fn json(&self) -> Value {
        let corpus = self.corpus();
        let mut told = json!({
            "sequences": corpus.sequences(), "residues": corpus.residues(), "digest": self.digest(),
        });
        if let Self::Related(families) = self {
            told["families"] = json!(families.families());
        }
        told
    }
}

impl Data {
    /// Reads every file that `config` names.
    ///
    /// # Errors
    /// An input that cannot be read, failed records where they end a run, and nothing to learn from.
    pub(super) fn read(config: &TrainConfig, vocabulary: &'static Vocabulary) -> anyhow::Result<Self> {
        let (data, seed) = (&config.data, config.run.seed);
        let exclude = ExcludeList::read(&Source::from_arguments(&data.exclude)?)?;
        let options =
            CorpusOptions { vocabulary, exclude: &exclude, min_residues: data.min_residues as usize };
        let mut account = Account::of(vocabulary);
        let mut train = account.sequences(config, &options, ("the sequences to learn from", &data.train))?;
        let (mut held_out, mut pairs) = (None, None);
        if let Some(path) = &data.held_out_file {
            let what = ("the held-out sequences", std::slice::from_ref(path));
            let apart = account.sequences(config, &options, what)?;
            train = account.apart(&train, apart.corpus())?;
            held_out = Some(apart);
        } else if data.held_out > 0.0 {
            let (rest, apart) = train.hold_out(data.held_out, seed)?;
            (train, held_out) = (rest, Some(apart));
        } else if !data.pairs.is_empty() {
            let (set, report) = PairSet::read(&Source::from_arguments(&data.pairs)?, data.max_residues)?;
            account.add_pairs(report);
            train = account.apart(&train, set.corpus())?;
            pairs = Some(set);
        }
        let Account { failures, warnings, headers, .. } = account;
        if data.on_error == OnError::Fail && !failures.is_empty() {
            intake::refuse(&failures, headers, None)?;
        }
        let families = held_out.as_ref().and_then(Sequences::families);
        if let Some(families) = families.filter(|_| config.objective.kind == ObjectiveKind::MlmSfp) {
            pairs = Some(PairSet::drawn(families, config.log.evaluate_pairs, seed)?);
        }
        let limit = config.log.evaluate_sequences;
        let evaluated = held_out.as_ref().zip(limit).map(|(apart, limit)| apart.corpus().pick(limit, seed));
        Ok(Self { train, held_out, evaluated, pairs, failures, warnings })
    }

    /// What names that which is kept apart; empty where there is nothing.
    pub(super) fn held_out_digest(&self) -> String {
        let pairs = self.pairs.as_ref().map(PairSet::digest);
        self.held_out.as_ref().map(Sequences::digest).or(pairs).unwrap_or_default()
    }

    /// The sequences for the account of the training.
    pub(super) fn json(&self) -> Vec<(&'static str, Value)> {
        let mut told = vec![
            ("train", self.train.json()),
            ("held_out", self.held_out.as_ref().map_or(Value::Null, Sequences::json)),
        ];
        told.extend(self.pairs.as_ref().map(|pairs| {
            let same = pairs.pairs().iter().filter(|pair| pair.same).count();
            let (count, digest) = (pairs.pairs().len(), pairs.digest());
            ("held_out_pairs", json!({ "pairs": count, "same_family": same, "digest": digest }))
        }));
        told
    }
}

/// What became of records, over several inputs.
struct Account {
    vocabulary: &'static Vocabulary,
    failures: Vec<Failure>,
    warnings: Warnings,
    headers: u64,
}

impl Account {
    fn of(vocabulary: &'static Vocabulary) -> Self {
        Self { vocabulary, failures: Vec::new(), warnings: Warnings::default(), headers: 0 }
    }

    /// Reads the sequences of some files, which messages call `what`.
    fn sequences(
        &mut self,
        config: &TrainConfig,
        options: &CorpusOptions<'_>,
        (what, paths): (&str, &[PathBuf]),
    ) -> anyhow::Result<Sequences> {
        let data = &config.data;
        let sources = Source::from_arguments(paths)?;
        if !config.has_families() {
            let read = ReadOptions { id_style: IdStyle::Word, max_residues: data.max_residues };
            let (corpus, report) = Corpus::read(RecordReader::new(&sources, read), options)?;
            self.add(what, &report);
            return Ok(Sequences::Alone(corpus));
        }
        let (max_residues, min_family) = (data.max_residues, data.min_family);
        let options = FamilyOptions { corpus: *options, max_residues, min_family };
        let (families, report) = Families::read(&sources, &options)?;
        let FamilyReport { corpus, small_families, small: Count { records, .. } } = report;
        self.add(what, &corpus);
        self.warnings.add("small_families", small_families, || {
            let (families, records) =
                (counted(small_families, "family", "families"), counted(records, "sequence", "sequences"));
            format!("of {what} {families} with {records} were not taken: each has fewer than {min_family}")
        });
        Ok(Sequences::Related(families))
    }

    /// What is left to learn from without what is kept apart.
    fn apart(&mut self, train: &Sequences, apart: &Corpus) -> anyhow::Result<Sequences> {
        let (rest, removed) = train.without(apart)?;
        self.warnings.add("held_out_twice", removed as u64, || {
            let sequences = counted(removed as u64, "sequence is", "sequences are");
            format!("{sequences} held out and not learnt from, though among those to learn from")
        });
        Ok(rest)
    }

    fn add(&mut self, what: &str, report: &CorpusReport) {
        let CorpusReport { totals, failures, left_out } = report;
        self.failures.extend_from_slice(failures);
        self.headers += totals.headers;
        self.warnings.add_repairs(totals, "taken");
        let count = left_out.short.records
            + left_out.unknown.records
            + left_out.excluded.records
            + left_out.identical.records;
        self.warnings.add("not_taken", count, || format!("of {what} were not taken: {left_out}"));
        for (letter, residues) in self.vocabulary.unknown_letters(&totals.letters) {
            self.warnings.add("unknown_letters", residues, || {
                let residues = counted(residues, "residue", "residues");
                format!(
                    "{letter} has no token in {}: {residues} of {what} computed as unknown",
                    self.vocabulary.identity
                )
            });
        }
        self.warnings.add_left_out(failures.len() as u64);
    }

    fn add_pairs(&mut self, report: PairReport) {
        let PairReport { rows, failures, warnings } = report;
        self.headers += rows;
        self.warnings.add_repairs(&Totals { warnings, ..Totals::default() }, "taken");
        self.warnings.add_left_out(failures.len() as u64);
        self.failures.extend(failures);
    }
}
