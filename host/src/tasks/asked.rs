//! The head that a command asks: one that was taught, or one that was brought.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pliant_kernels::Device;
use pliant_models::heads::HeadKind;
use pliant_onnx::OnnxError;
use pliant_plugin::{LogLine, Manifest, PluginError, Way};
use pliant_seq::SequenceColumns;
use pliant_seq::tables::{LabelledSet, Members};
use pliant_store::{Metadata, Sheet};
use serde_json::{Value, json};

use crate::Context;
use crate::cli::embed::{Pool, Written};
use crate::cli::plugin::GuestFlags;
use crate::engine::{self, Card, Judge};
use crate::pipeline::{Output, Row};
use crate::supervised::HeadError;
use crate::supervised::brought::{Brought, is_brought};
use crate::supervised::card::HeadFolder;
use crate::supervised::onnx_head::OnnxHead;
use crate::supervised::stored::Stored;
use crate::supervised::telling::Telling;
use crate::tasks::encode::pool;
use crate::tasks::files::path_text;
use crate::train::tuning::FormConfig;

/// The columns of the ids of both proteins of a pair.
const PAIR_COLUMNS: [&str; 2] = ["id_a", "id_b"];

/// A head that is asked.
pub(super) enum Asked {
    /// One that was taught here.
    Taught(Box<HeadFolder>),
    /// One that a user brings as a plugin.
    Brought(Box<Brought>),
    /// One that a user brings as an ONNX file.
    Onnx(Box<OnnxHead>),
}

/// A head that answers.
pub(super) enum Teller<'a> {
    /// One that was taught, on a device.
    Taught(&'a HeadFolder, Judge),
    /// A guest, with the width of vectors.
    Brought(&'a mut Brought, usize),
    /// An ONNX file.
    Onnx(&'a OnnxHead),
}

impl Asked {
    /// The head of a folder or of a manifest; `others` is how many plugins there are beside it.
    ///
    /// # Errors
    /// A head that cannot be used, and words for plugins where there are none.
    pub(super) fn open(
        path: &Path,
        (flags, way): (&GuestFlags, Option<Way>),
        others: usize,
    ) -> anyhow::Result<Self> {
        if is_brought(path) {
            let manifest = Manifest::read(path)?;
            let words = flags.words_to(manifest.name(), others == 0);
            return Ok(Self::Brought(Box::new(Brought::open(path, way, &words)?)));
        }
        if way.is_some() || (flags.says_something() && others == 0) {
            let what = "--ask, --set, --limit and --deterministic are for plugins, and the --head is none";
            return Err(HeadError::Unfit { what: what.to_owned() }.into());
        }
        if let Some(file) = engine::onnx_file(path) {
            return Ok(Self::Onnx(Box::new(OnnxHead::open(&file)?)));
        }
        Ok(Self::Taught(Box::new(HeadFolder::open(path)?)))
    }

    /// The name of the plugin that it is, if it is one.
    pub(super) fn plugin(&self) -> Option<&str> {
        match self {
            Self::Taught(_) | Self::Onnx(_) => None,
            Self::Brought(head) => Some(head.name()),
        }
    }

    /// What its answers depend on: a digest of its weights, or of all of a plugin.
    pub(super) fn identity(&self) -> &str {
        match self {
            Self::Taught(head) => &head.card.weights,
            Self::Brought(head) => head.identity(),
            Self::Onnx(head) => head.identity(),
        }
    }

    /// The lines that a plugin has written since they were taken last, with its name.
    pub(super) fn take_log(&mut self) -> Option<(String, Vec<LogLine>)> {
        match self {
            Self::Taught(_) | Self::Onnx(_) => None,
            Self::Brought(head) => Some(head.take_log()),
        }
    }

    /// How the examples that it was taught stood in their files.
    pub(super) fn reader(&self) -> FormConfig {
        match self {
            Self::Taught(head) => head.card.reader.clone(),
            Self::Brought(_) | Self::Onnx(_) => FormConfig::default(),
        }
    }

    /// What is answered without looking, where that is known: how frequent each class is, or the mean of numbers.
    pub(super) fn prior(&self) -> Vec<f32> {
        match self {
            Self::Taught(head) => head.card.labels.prior.iter().map(|&number| number as f32).collect(),
            Self::Brought(_) | Self::Onnx(_) => Vec::new(),
        }
    }

    /// What became of long proteins when it was taught, where that is known.
    pub(super) fn taught_long(&self) -> Option<&str> {
        match self {
            Self::Taught(head) => Some(&head.card.encoder.long),
            Self::Brought(_) | Self::Onnx(_) => None,
        }
    }

    /// What it is asked about.
    pub(super) fn way(&self) -> Way {
        match self {
            Self::Brought(head) => head.way(),
            Self::Onnx(head) => head.way(),
            Self::Taught(head) => match head.card.head.kind {
                kind if kind.takes_pairs() => Way::Pairs,
                HeadKind::Residue => Way::Residues,
                _ => Way::Pooled,
            },
        }
    }

    /// Whether it reads the states of all residues, and not one vector of them.
    pub(super) fn reads_states(&self) -> bool {
        match self {
            Self::Brought(head) => head.way() == Way::Residues,
            Self::Onnx(head) => head.way() == Way::Residues,
            Self::Taught(head) => head.card.head.reads_states(),
        }
    }

    /// How states become one vector for it.
    pub(super) fn pool(&self) -> Pool {
        match self {
            Self::Brought(head) => head.pool(),
            Self::Onnx(head) => head.pool(),
            Self::Taught(head) => pool(head.pooling()),
        }
    }

    /// The layer that it reads of a model whose last one is `last`.
    ///
    /// # Errors
    /// A layer that the model does not have.
    pub(super) fn layer(&self, last: usize) -> Result<usize, HeadError> {
        match self {
            Self::Brought(head) => head.layer(last),
            Self::Onnx(head) => head.layer(last),
            Self::Taught(head) => Ok(head.card.encoder.layer),
        }
    }

    /// What is computed of every protein for it.
    pub(super) fn output(&self, layer: usize) -> Output {
        let (pool, residues) = (self.pool(), self.reads_states());
        Output::States { layers: vec![layer], pool, residues, written: Written::H }
    }

    /// The encoder to use.
    ///
    /// # Errors
    /// [`HeadError::NoEncoder`], and nothing named beside a plugin, which has no encoder of its own.
    pub(super) fn encoder(&self, named: Option<&Path>) -> Result<PathBuf, HeadError> {
        match (self, named) {
            (Self::Taught(head), named) => head.encoder(named),
            (Self::Brought(_) | Self::Onnx(_), Some(model)) => Ok(model.to_owned()),
            (Self::Onnx(head), None) => Err(HeadError::Unfit {
                what: format!(
                    "the head {} is an ONNX file: name its encoder with --model",
                    head.path().display()
                ),
            }),
            (Self::Brought(head), None) => Err(HeadError::Unfit {
                what: format!(
                    "the head {} is a plugin: name its encoder with --model",
                    head.path().display()
                ),
            }),
        }
    }

    /// The model that encodes for it, with the adapter that it was taught with or that is named.
    ///
    /// # Errors
    /// Those of [`Asked::encoder`], and a model that cannot be used.
    pub(super) fn card(
        &self,
        named: Option<&Path>,
        adapter: Option<&Path>,
    ) -> anyhow::Result<(PathBuf, Card)> {
        let model = self.encoder(named)?;
        let card = match self {
            Self::Taught(head) => engine::card_of_head(head, named, adapter)?,
            Self::Brought(_) | Self::Onnx(_) => engine::adapted_card(&model, adapter)?,
        };
        Ok((model, card))
    }

    /// Refuses another encoder than it goes with.
    ///
    /// # Errors
    /// [`HeadError::Encoder`].
    pub(super) fn check_encoder(
        &self,
        model: &Path,
        (identity, family): (&str, &str),
    ) -> Result<(), HeadError> {
        match self {
            Self::Taught(head) => head.check_encoder(model, identity),
            Self::Brought(head) => head.check_encoder(model, (identity, family)),
            Self::Onnx(head) => head.check_encoder(model, (identity, family)),
        }
    }

    /// Its folder or manifest.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Taught(head) => &head.path,
            Self::Brought(head) => head.path(),
            Self::Onnx(head) => head.path(),
        }
    }

    /// The width of vectors that it wants, where it wants a certain one.
    pub(super) fn width(&self) -> Option<usize> {
        match self {
            Self::Taught(head) => Some(head.card.head.inputs),
            Self::Brought(head) => head.width(),
            Self::Onnx(head) => Some(head.width()),
        }
    }

    /// The columns of the ids of pairs, where nobody names others.
    pub(super) fn id_columns(&self, sheet: &Sheet) -> Vec<&str> {
        match self {
            Self::Taught(head) if head.card.reader.id_columns.is_empty() => own_columns(head, sheet).to_vec(),
            Self::Taught(head) => head.card.reader.id_columns.iter().map(String::as_str).collect(),
            Self::Brought(_) | Self::Onnx(_) => PAIR_COLUMNS.to_vec(),
        }
    }

    /// The columns of a table of sequences, where nobody names others.
    pub(super) fn sequence_columns(&self) -> SequenceColumns {
        let texts = |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
        let Self::Taught(head) = self else {
            return SequenceColumns {
                sequence: texts(&["sequence"]),
                id: vec![texts(&["id"])],
                must_be_named: false,
            };
        };
        let (form, task) = (&head.card.reader, &head.task);
        let own = || std::iter::once(&task.columns).chain(task.others.iter().map(|other| &other.columns));
        let sequence = match form.sequence_columns.as_slice() {
            // Mutants have their changes there.
            named if form.wild_type.is_none() && !named.is_empty() => named.to_vec(),
            _ => own().flat_map(|columns| texts(columns.sequences)).collect(),
        };
        let named = !form.id_columns.is_empty();
        let id = if named { vec![form.id_columns.clone()] } else { own().map(|own| texts(own.id)).collect() };
        SequenceColumns { sequence, id, must_be_named: named }
    }

    /// What stored vectors must say of themselves: what, under which key, and the value.
    pub(super) fn wanted(&self) -> Vec<(&'static str, &'static str, Value)> {
        match self {
            Self::Brought(head) => head.wanted(),
            Self::Onnx(head) => head.wanted(),
            Self::Taught(head) => {
                let encoder = &head.card.encoder;
                let mut wanted = vec![
                    ("the model", "model", json!(encoder.identity)),
                    ("the adapter", "adapter", json!(encoder.adapter)),
                    ("the layer", "layers", json!([encoder.layer])),
                ];
                let pool = || ("the pooling", "pool", json!(self.pool().name()));
                wanted.extend((!self.reads_states()).then(pool));
                wanted
            }
        }
    }

    /// Refuses stored vectors of another encoder, layer or pooling than it reads, as far as their file says what made it.
    ///
    /// # Errors
    /// [`HeadError::Vectors`].
    pub(super) fn check_vectors(
        &self,
        file: &Path,
        metadata: Option<&Metadata>,
        context: &Context,
    ) -> Result<(), HeadError> {
        let wanted = self.wanted();
        let Some(metadata) = metadata else {
            if !wanted.is_empty() {
                context.print.warning(&format!(
                    "{} does not say what made it: that its vectors are those of the head's encoder cannot be checked",
                    file.display()
                ));
            }
            return Ok(());
        };
        for (what, key, wanted) in wanted {
            let found = metadata.get(key).cloned().unwrap_or(Value::Null);
            if found != wanted {
                let (path, folder) = (file.to_owned(), self.path().to_owned());
                let (found, wanted) = (found.to_string(), wanted.to_string());
                return Err(HeadError::Vectors { path, folder, what, found, wanted });
            }
        }
        Ok(())
    }

    /// How its numbers are told.
    pub(super) fn telling(&self) -> Telling {
        match self {
            Self::Taught(head) => Telling::of(head),
            Self::Brought(head) => head.telling(),
            Self::Onnx(head) => head.telling(),
        }
    }

    /// What every file of labels says of itself.
    pub(super) fn describe(&self, metadata: Metadata) -> Metadata {
        match self {
            Self::Taught(head) => metadata
                .with("task", head.card.task.as_str())
                .with("head", head.card.weights.as_str())
                .with("classes", json!(head.card.labels.classes)),
            Self::Brought(head) => metadata
                .with("task", Value::Null)
                .with("head", head.identity())
                .with("plugin", head.described())
                .with("classes", json!(head.telling().names)),
            Self::Onnx(head) => metadata
                .with("task", head.task())
                .with("head", head.identity())
                .with("head_numerics", pliant_onnx::numerics())
                .with("classes", json!(head.telling().names)),
        }
    }

    /// What the summary says of it.
    pub(super) fn details(&self) -> [(&'static str, Value); 2] {
        match self {
            Self::Taught(head) => {
                let folder = path_text(&head.path);
                let told = json!({ "folder": folder, "weights": head.card.weights });
                [("head", told), ("labels", json!(head.card.task))]
            }
            Self::Brought(head) => {
                let told = json!({ "manifest": path_text(head.path()), "plugin": head.described() });
                [("head", told), ("labels", Value::Null)]
            }
            Self::Onnx(head) => {
                let told = json!({ "file": path_text(head.path()), "identity": head.identity() });
                [("head", told), ("labels", json!(head.task()))]
            }
        }
    }

    /// Refuses vectors of another width than it wants.
    ///
    /// # Errors
    /// That width, and the one it wants.
    pub(super) fn check_width(&self, width: usize) -> anyhow::Result<()> {
        let Some(wanted) = self.width().filter(|wanted| *wanted != width) else { return Ok(()) };
        match self {
            // Its own encoder makes what it was taught on.
            Self::Taught(_) => Ok(()),
            Self::Brought(head) => {
                let (found, wanted) = (format!("vectors of {width} numbers"), format!("{wanted} numbers"));
                let error = PluginError::Input { call: "describe", found, wanted };
                Err(error).with_context(|| format!("plugin {}", head.path().display()))
            }
            Self::Onnx(head) => {
                let path = head.path().display();
                let what =
                    format!("the head {path} reads vectors of {wanted} numbers, and the model makes {width}");
                Err(HeadError::Unfit { what }.into())
            }
        }
    }

    /// The head ready to answer about vectors of `width` numbers.
    ///
    /// # Errors
    /// Weights that are damaged, and vectors that it does not take.
    pub(super) fn teller(&mut self, device: &Device, width: usize) -> anyhow::Result<Teller<'_>> {
        self.check_width(width)?;
        match self {
            Self::Taught(head) => Ok(Teller::Taught(head, Judge::load(head, device)?)),
            Self::Brought(head) => Ok(Teller::Brought(head, width)),
            Self::Onnx(head) => Ok(Teller::Onnx(head)),
        }
    }
}

impl Teller<'_> {
    /// Whether it reads the states of all residues, and not vectors of them.
    pub(super) fn reads_states(&self) -> bool {
        match self {
            Self::Taught(head, _) => head.card.head.reads_states(),
            Self::Brought(head, _) => head.way() == Way::Residues,
            Self::Onnx(head) => head.way() == Way::Residues,
        }
    }

    /// The numbers of the head for rows: vectors of sequences, or with `spans` states of residues and where those of each
    /// sequence stand; of pairs the first ones before the second ones.
    ///
    /// # Errors
    /// What the device cannot do, and whatever goes wrong within a guest.
    pub(super) fn answer(
        &mut self,
        rows: &[f32],
        spans: Option<&[(usize, usize)]>,
    ) -> anyhow::Result<Vec<f32>> {
        match self {
            Self::Taught(_, judge) => judge.answer(rows, spans),
            Self::Brought(head, width) => head.answer(rows, *width),
            Self::Onnx(head) => head.answer(rows),
        }
    }

    /// The numbers of the head for every example of a set.
    ///
    /// # Errors
    /// As [`Teller::answer`], naming the example.
    pub(super) fn told(&mut self, stored: &Stored, set: &LabelledSet) -> anyhow::Result<Vec<Vec<f32>>> {
        let mut told = Vec::with_capacity(set.len());
        for example in 0..set.len() {
            let answer = match set.members(example) {
                Members::One(sequence) => self.told_of(stored, &[sequence]),
                Members::Two(both) => self.told_of(stored, &both),
            };
            told.push(answer.with_context(|| format!("example {}", example + 1))?);
        }
        Ok(told)
    }

    /// The numbers of the head for the sequences of an example: one, or both of a pair.
    ///
    /// # Errors
    /// As [`Teller::answer`].
    pub(super) fn told_of(&mut self, stored: &Stored, sequences: &[usize]) -> anyhow::Result<Vec<f32>> {
        let (mut rows, mut spans) = (Vec::new(), Vec::with_capacity(sequences.len()));
        for &sequence in sequences {
            let first = rows.len() / stored.width();
            stored.read(sequence, &mut rows)?;
            spans.push((first, rows.len() / stored.width()));
        }
        let reads_states = self.reads_states();
        self.answer(&rows, reads_states.then_some(spans.as_slice()))
    }

    /// The numbers of the head for a record.
    ///
    /// # Errors
    /// As [`Teller::answer`].
    pub(super) fn answer_row(&mut self, row: &Row) -> anyhow::Result<Vec<f32>> {
        let reads_states = self.reads_states();
        let rows = if reads_states { &row.residues } else { &row.pooled };
        let rows = rows.first().map(Vec::as_slice).unwrap_or_default();
        self.answer(rows, reads_states.then_some([(0, row.length)].as_slice()))
    }
}

/// The columns of ids that the task is known to have: those that are there.
fn own_columns(head: &HeadFolder, sheet: &Sheet) -> &'static [&'static str] {
    let mut others = head.task.others.iter().map(|other| other.columns.id);
    let there = |ids: &&'static [&'static str]| ids.iter().all(|id| sheet.column(id).is_some());
    others.find(there).unwrap_or(head.task.columns.id)
}

/// Whether an error is that of one record, so that others may do.
pub(super) fn concerns_record(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<PluginError>().is_some_and(PluginError::concerns_input)
            || matches!(cause.downcast_ref(), Some(OnnxError::NotFinite { .. }))
    })
}
