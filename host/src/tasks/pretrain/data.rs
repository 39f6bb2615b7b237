//! The sequences of a training: what is learnt from, and what is kept apart.

use pliant_seq::{
    Corpus, CorpusOptions, CorpusReport, ExcludeList, Failure, IdStyle, ReadOptions, RecordReader, Source,
    Vocabulary,
};
use serde_json::{Value, json};

use crate::cli::reading::OnError;
use crate::tasks::intake::{self, Warnings, counted};
use crate::train::config::TrainConfig;

/// Sequences in memory, and what became of the records that they come from.
pub(super) struct Data {
    /// What is learnt from.
    pub(super) train: Corpus,
    /// What is kept apart.
    pub(super) held_out: Option<Corpus>,
    /// What is evaluated of it, where that is not all.
    pub(super) evaluated: Option<Corpus>,
    /// Records that failed.
    pub(super) failures: Vec<Failure>,
    /// What may not be what was meant.
    pub(super) warnings: Warnings,
}

impl Data {
    /// Reads every file that `config` names.
    ///
    /// # Errors
    /// An input that cannot be read, failed records where they end a run, and nothing to learn from.
    pub(super) fn read(config: &TrainConfig, vocabulary: &'static Vocabulary) -> anyhow::Result<Self> {
        let data = &config.data;
        let exclude = ExcludeList::read(&Source::from_arguments(&data.exclude)?)?;
        let options =
            CorpusOptions { vocabulary, exclude: &exclude, min_residues: data.min_residues as usize };
        let read = ReadOptions { id_style: IdStyle::Word, max_residues: data.max_residues };
        let corpus = |sources: &[Source]| Corpus::read(RecordReader::new(sources, read), &options);
        let (mut train, report) = corpus(&Source::from_arguments(&data.train)?)?;
        let mut account = Account::default();
        account.add("the sequences to learn from", &report, vocabulary);
        let mut held_out = None;
        if let Some(path) = &data.held_out_file {
            let (apart, report) = corpus(&Source::from_arguments(&[path])?)?;
            account.add("the held-out sequences", &report, vocabulary);
            let (rest, removed) = train.without(&apart)?;
            account.warnings.add("held_out_twice", removed as u64, || {
                let sequences = counted(removed as u64, "sequence is", "sequences are");
                format!("{sequences} held out and not learnt from, though among those to learn from")
            });
            (train, held_out) = (rest, Some(apart));
        } else if data.held_out > 0.0 {
            let (rest, apart) = train.hold_out(data.held_out, config.run.seed)?;
            (train, held_out) = (rest, Some(apart));
        }
        let Account { failures, warnings, headers } = account;
        if data.on_error == OnError::Fail && !failures.is_empty() {
            intake::refuse(&failures, headers, None)?;
        }
        let limit = config.log.evaluate_sequences;
        let evaluated = held_out.as_ref().zip(limit).map(|(apart, limit)| apart.pick(limit, config.run.seed));
        Ok(Self { train, held_out, evaluated, failures, warnings })
    }

    /// The sequences for the account of the training.
    pub(super) fn json(&self) -> [(&'static str, Value); 2] {
        let tell = |corpus: &Corpus| json!({ "sequences": corpus.sequences(), "residues": corpus.residues(), "digest": corpus.digest() });
        [("train", tell(&self.train)), ("held_out", self.held_out.as_ref().map_or(Value::Null, tell))]
    }
}

/// What became of records, over several inputs.
#[derive(Default)]
struct Account {
    failures: Vec<Failure>,
    warnings: Warnings,
    headers: u64,
}

impl Account {
    fn add(&mut self, what: &str, report: &CorpusReport, vocabulary: &Vocabulary) {
        let CorpusReport { totals, failures, left_out } = report;
        self.failures.extend_from_slice(failures);
        self.headers += totals.headers;
        self.warnings.add_repairs(totals, "taken");
        let count = left_out.short.records
            + left_out.unknown.records
            + left_out.excluded.records
            + left_out.identical.records;
        self.warnings.add("not_taken", count, || format!("of {what} were not taken: {left_out}"));
        for (letter, residues) in vocabulary.unknown_letters(&totals.letters) {
            self.warnings.add("unknown_letters", residues, || {
                let residues = counted(residues, "residue", "residues");
                format!(
                    "{letter} has no token in {}: {residues} of {what} computed as unknown",
                    vocabulary.identity
                )
            });
        }
        self.warnings.add_left_out(failures.len() as u64);
    }
}
