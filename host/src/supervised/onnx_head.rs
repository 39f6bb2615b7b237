//! Heads that users bring as ONNX files, asked where a head that was taught would be.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pliant_onnx::apart::Kind as ReadAs;
use pliant_onnx::{Gives, Head, HeadSidecar, LabelKind, Reads};
use pliant_plugin::Way;
use pliant_seq::tables::LabelKind as Kind;
use serde_json::{Value, json};

use super::error::HeadError;
use super::targets::Scale;
use super::telling::{Scored, Telling};
use crate::cli::embed::Pool;
use crate::engine::{onnx_limits, onnx_pool, try_onnx};

/// A head of an ONNX file with its sidecar.
pub struct OnnxHead {
    path: PathBuf,
    sidecar: HeadSidecar,
    head: Head,
}

impl OnnxHead {
    /// Reads, checks and prepares a file.
    ///
    /// # Errors
    /// A file or a sidecar that is wrong, too large or not supported.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let unusable = || format!("the head {} cannot be used", path.display());
        let sidecar = HeadSidecar::read(path).with_context(unusable)?;
        try_onnx(path, ReadAs::Head).with_context(unusable)?;
        let head = Head::open(path, &sidecar, &onnx_limits()).with_context(unusable)?;
        Ok(Self { path: path.to_owned(), sidecar, head })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// BLAKE3 over all that its answers depend on.
    pub fn identity(&self) -> &str {
        self.head.identity()
    }

    /// The width of vectors that it wants.
    pub fn width(&self) -> usize {
        self.head.inputs()
    }

    /// What it is asked about.
    pub fn way(&self) -> Way {
        match self.sidecar.reads.what {
            Reads::Pooled => Way::Pooled,
            Reads::Residues => Way::Residues,
            Reads::Pairs => Way::Pairs,
        }
    }

    /// How states become one vector for it.
    pub fn pool(&self) -> Pool {
        onnx_pool(self.sidecar.reads.pool.unwrap_or_default())
    }

    /// The number of the layer that it reads, of a model whose last one is `last`.
    ///
    /// # Errors
    /// A layer that the model does not have.
    pub fn layer(&self, last: usize) -> Result<usize, HeadError> {
        let asked = self.sidecar.reads.layer.unwrap_or(-1);
        let from_start = if asked < 0 { asked.saturating_add(last as i64 + 1) } else { asked };
        usize::try_from(from_start).ok().filter(|layer| *layer <= last).ok_or_else(|| HeadError::Unfit {
            what: format!(
                "{}: \"reads.layer\" of its sidecar is {asked}, and the last layer of the model is {last}",
                self.path.display()
            ),
        })
    }

    /// What its sidecar wants stored vectors to say of themselves: what, under which key, and the value.
    pub fn wanted(&self) -> Vec<(&'static str, &'static str, Value)> {
        let reads = &self.sidecar.reads;
        let mut wanted = Vec::new();
        wanted.extend(reads.model.as_ref().map(|model| ("the model", "model", json!(model))));
        let layer = reads.layer.and_then(|layer| usize::try_from(layer).ok());
        wanted.extend(layer.map(|layer| ("the layer", "layers", json!([layer]))));
        let pooled = reads.pool.filter(|_| reads.what != Reads::Residues);
        wanted.extend(pooled.map(|_| ("the pooling", "pool", json!(self.pool().name()))));
        wanted
    }

    /// Refuses another encoder than its sidecar names.
    ///
    /// # Errors
    /// [`HeadError::Encoder`].
    pub fn check_encoder(&self, model: &Path, (identity, family): (&str, &str)) -> Result<(), HeadError> {
        match &self.sidecar.reads.model {
            Some(wanted) if wanted != identity => Err(HeadError::Encoder {
                folder: self.path.clone(),
                model: model.to_owned(),
                found: format!("{identity} ({family})"),
                wanted: wanted.clone(),
                family: "as its sidecar says".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// How its numbers are told.
    pub fn telling(&self) -> Telling {
        let labels = &self.sidecar.labels;
        let kind = match labels.kind {
            LabelKind::Class => Kind::Class,
            LabelKind::Classes => Kind::Classes,
            LabelKind::Number => Kind::Number,
            LabelKind::Level => Kind::Level,
            LabelKind::Residues => Kind::Residues,
        };
        let scored =
            if labels.gives == Gives::Probabilities { Scored::Probabilities } else { Scored::Scores };
        let plain = Scale::default();
        let scale = Scale {
            mean: labels.mean.unwrap_or(plain.mean),
            deviation: labels.deviation.unwrap_or(plain.deviation),
        };
        let (names, width, by_residue) = (labels.names.clone(), self.head.outputs(), kind == Kind::Residues);
        Telling { kind, names, width, scale, scored, by_residue }
    }

    /// The name of its task, where its sidecar says it.
    pub fn task(&self) -> Option<&str> {
        self.sidecar.labels.task.as_deref()
    }

    /// Its numbers for vectors, for states of residues, or for the first ones of pairs and then the second ones.
    ///
    /// # Errors
    /// What goes wrong within it, and numbers that are none.
    pub fn answer(&self, rows: &[f32]) -> anyhow::Result<Vec<f32>> {
        self.head.answer(rows).with_context(|| format!("the head {}", self.path.display()))
    }
}
