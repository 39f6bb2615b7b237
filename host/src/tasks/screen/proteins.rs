//! The proteins of a screen, from FASTA or from vectors.

use std::collections::BTreeMap;
use std::path::Path;

use pliant_seq::{Failure, Item, RecordReader, Source, WordIndex};
use pliant_store::{Metadata, read_vectors};
use serde_json::{Value, json};

use super::numbers::Encoder;
use crate::Context;
use crate::cli::screen::ScreenPlan;
use crate::screen::asked::Side;
use crate::screen::{Proteins, ScreenError};
use crate::tasks::asked::Asked;
use crate::tasks::encode::refused;
use crate::tasks::intake::Warnings;
use crate::tasks::run::long_name;

/// Residues of the words that tell how near proteins are.
const WORD: usize = 5;

/// What is known of each protein.
pub(super) enum Content {
    /// Its residues.
    Sequences(Vec<Vec<u8>>),
    /// `[proteins,C]` its vector.
    Vectors(Vec<f32>),
}

/// The proteins of one list or two, each once.
pub(super) struct Intake {
    /// What the answer tells of them.
    pub(super) proteins: Proteins,
    /// What the head is given.
    pub(super) content: Content,
    /// Which list each stands in, where there are two.
    pub(super) sides: Option<Vec<Side>>,
    /// What a file of vectors tells of itself.
    pub(super) metadata: Option<Metadata>,
    /// Records that cannot be computed.
    pub(super) failures: Vec<Failure>,
    /// Records of all files.
    pub(super) headers: u64,
    /// What may not be what was meant.
    pub(super) warnings: Warnings,
    /// The inputs as they were named.
    pub(super) inputs: String,
    /// The policy for long proteins with its lengths; nothing where vectors do not say it.
    pub(super) long: Value,
    /// BLAKE3 of everything, in hex.
    pub(super) digest: String,
}

/// Numbers of proteins by their ids.
#[derive(Default)]
struct Known {
    ids: Vec<String>,
    sides: Vec<Side>,
    files: Vec<usize>,
    numbers: BTreeMap<String, usize>,
}

impl Known {
    /// The number of a protein of a list, and whether it is a new one.
    fn number(&mut self, id: &str, list: usize) -> (usize, bool) {
        let side = [Side::First, Side::Second][list.min(1)];
        if let Some(&number) = self.numbers.get(id) {
            if self.sides[number] != side {
                self.sides[number] = Side::Both;
            }
            return (number, false);
        }
        let number = self.ids.len();
        self.numbers.insert(id.to_owned(), number);
        self.ids.push(id.to_owned());
        self.sides.push(side);
        self.files.push(list);
        (number, true)
    }

    fn clash(&self, number: usize, paths: &[std::path::PathBuf], list: usize) -> ScreenError {
        let name = |list: usize| paths.get(list).map(|path| path.display().to_string()).unwrap_or_default();
        let (first, second) = (name(self.files[number]), name(list));
        ScreenError::Clash { id: self.ids[number].clone(), first, second }
    }
}

impl Intake {
    /// Reads what a plan names.
    ///
    /// # Errors
    /// Files that cannot be read, vectors of another encoder, and ids with two meanings.
    pub(super) fn read(
        plan: &ScreenPlan,
        (head, encoder): (&Asked, Option<&Encoder>),
        context: &Context,
    ) -> anyhow::Result<Self> {
        let mut intake = match encoder {
            Some(encoder) => of_fasta(plan, encoder)?,
            None => of_vectors(plan, head, context)?,
        };
        let mut hasher = blake3::Hasher::new();
        for (number, id) in intake.proteins.ids.iter().enumerate() {
            let side = intake.sides.as_ref().map_or(0, |sides| sides[number] as u8);
            hasher.update(&(id.len() as u64).to_le_bytes()).update(id.as_bytes()).update(&[side]);
            match &intake.content {
                Content::Sequences(sequences) => {
                    let residues = &sequences[number];
                    hasher.update(&(residues.len() as u64).to_le_bytes()).update(residues);
                }
                Content::Vectors(values) => {
                    let width = values.len() / intake.proteins.ids.len();
                    for value in &values[number * width..(number + 1) * width] {
                        hasher.update(&value.to_le_bytes());
                    }
                }
            }
        }
        intake.digest = hasher.finalize().to_hex().to_string();
        Ok(intake)
    }

    /// How many proteins.
    pub(super) fn count(&self) -> usize {
        self.proteins.ids.len()
    }

    /// Residues of all, where there are sequences.
    pub(super) fn residues(&self) -> u64 {
        match &self.content {
            Content::Vectors(_) => 0,
            Content::Sequences(sequences) => sequences.iter().map(|own| own.len() as u64).sum(),
        }
    }

    /// Numbers of a vector of a protein, of those that there are, or of those that the encoder will make.
    pub(super) fn width(&self, encoder: Option<&Encoder>) -> usize {
        match &self.content {
            Content::Vectors(values) => values.len() / self.count().max(1),
            Content::Sequences(_) => encoder.map_or(0, Encoder::width),
        }
    }
}

fn shown(paths: &[std::path::PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn of_fasta(plan: &ScreenPlan, encoder: &Encoder) -> anyhow::Result<Intake> {
    let sources = Source::from_arguments(&plan.proteins)?;
    let card = encoder.card();
    let (refused, long) = (refused(card, &plan.run.long)?, long_name(card, &plan.run.long)?);
    let (mut known, mut sequences, mut failures) = (Known::default(), Vec::<Vec<u8>>::new(), Vec::new());
    let (mut headers, mut warnings) = (0, Warnings::default());
    for (list, source) in sources.into_iter().enumerate() {
        let mut reader = RecordReader::new(std::slice::from_ref(&source), plan.run.read);
        for item in reader.by_ref() {
            match item? {
                Item::Record(record) => match refused(&record.residues) {
                    Some(reason) => failures.push(record.failure(reason)),
                    None => match known.number(&record.id, list) {
                        (_, true) => sequences.push(record.residues),
                        (number, false) if sequences[number] != record.residues => {
                            return Err(known.clash(number, &plan.proteins, list).into());
                        }
                        _ => {}
                    },
                },
                Item::Failure(failure) => failures.push(failure),
                Item::Duplicate(_) => {}
            }
        }
        let totals = reader.totals();
        headers += totals.headers;
        warnings.add_repairs(totals, "scored");
    }
    let identities = plan.training.as_deref().map(|path| identities(path, plan, &sequences)).transpose()?;
    let lengths = sequences.iter().map(|residues| residues.len() as u32).collect();
    Ok(Intake {
        proteins: Proteins { ids: known.ids, lengths: Some(lengths), identities },
        content: Content::Sequences(sequences),
        sides: (plan.proteins.len() > 1).then_some(known.sides),
        metadata: None,
        failures,
        headers,
        warnings,
        inputs: shown(&plan.proteins),
        long: json!(long),
        digest: String::new(),
    })
}

/// How near each protein is to the nearest that the head was taught.
fn identities(path: &Path, plan: &ScreenPlan, sequences: &[Vec<u8>]) -> anyhow::Result<Vec<f32>> {
    let sources = Source::from_arguments(&[path])?;
    let mut taught = Vec::new();
    for item in RecordReader::new(&sources, plan.run.read) {
        // What cannot be read was not taught.
        if let Item::Record(record) = item? {
            taught.push(record.residues);
        }
    }
    let index = WordIndex::new(taught.iter().map(Vec::as_slice), WORD);
    let identity =
        |residues: &Vec<u8>| index.nearest(residues).map_or(0.0, |nearest| nearest.identity as f32);
    Ok(sequences.iter().map(identity).collect())
}

fn of_vectors(plan: &ScreenPlan, head: &Asked, context: &Context) -> anyhow::Result<Intake> {
    let (mut known, mut values, mut about) = (Known::default(), Vec::<f32>::new(), None);
    let (mut headers, mut repeated, mut width) = (0, 0, head.width());
    for (list, file) in plan.embeddings.iter().enumerate() {
        let vectors = read_vectors(file, width)?;
        head.check_vectors(file, vectors.metadata.as_ref(), context)?;
        if !vectors.ids.is_empty() {
            // The vectors of both lists are those of one encoder.
            width = Some(vectors.width);
        }
        headers += vectors.ids.len() as u64;
        for (id, vector) in vectors.ids.iter().zip(vectors.values.chunks_exact(vectors.width.max(1))) {
            let (number, is_new) = known.number(id, list);
            if is_new {
                values.extend_from_slice(vector);
            } else if values[number * vectors.width..][..vectors.width] != *vector {
                return Err(known.clash(number, &plan.embeddings, list).into());
            } else if known.files[number] == list {
                repeated += 1;
            }
        }
        about = about.or(vectors.metadata);
    }
    let mut warnings = Warnings::default();
    warnings.add(Warnings::DUPLICATES, repeated, || {
        format!("{repeated} vectors repeat the id and the numbers of earlier ones: each is scored once")
    });
    Ok(Intake {
        proteins: Proteins { ids: known.ids, lengths: None, identities: None },
        content: Content::Vectors(values),
        sides: (plan.embeddings.len() > 1).then_some(known.sides),
        long: about.as_ref().and_then(|about| about.get("long")).cloned().unwrap_or_default(),
        metadata: about,
        failures: Vec::new(),
        headers,
        warnings,
        inputs: shown(&plan.embeddings),
        digest: String::new(),
    })
}
