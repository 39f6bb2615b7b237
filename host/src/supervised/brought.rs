//! Heads that users bring: guests of WebAssembly, asked where a head that was taught would be.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pliant_plugin::{Head, LogLine, Manifest, Meaning, Plugin, Pooled, Reads, Row, Way};
use pliant_seq::tables::LabelKind;
use serde_json::{Value, json};

use super::error::HeadError;
use super::targets::Scale;
use super::telling::{Scored, Telling};
use crate::cli::embed::Pool;
use crate::plugins::{self, GuestWords};

/// The suffix of manifests.
const MANIFEST_SUFFIX: &str = "toml";

/// A head that was brought, alive.
pub struct Brought {
    path: PathBuf,
    manifest: Manifest,
    plugin: Plugin,
    guest: Head,
    identity: String,
    reads: Reads,
    way: Way,
}

/// Whether a path names a head that was brought, and not the folder of one that was taught.
pub fn is_brought(path: &Path) -> bool {
    path.extension().is_some_and(|suffix| suffix == MANIFEST_SUFFIX)
}

impl Brought {
    /// Reads, checks and compiles the plugin of a manifest. It is asked in the way that is named, else in that of its
    /// manifest, else in the first of those that it takes.
    ///
    /// # Errors
    /// Everything that keeps a guest out, and a way that it does not take.
    pub fn open(path: &Path, way: Option<Way>, words: &GuestWords) -> anyhow::Result<Self> {
        let named = || format!("plugin {}", path.display());
        let (manifest, plugin) = plugins::load(path, words).with_context(named)?;
        let guest = plugin.head().with_context(named)?;
        let about = guest.about();
        let takes = |way: &Way| match way {
            Way::Pooled => about.takes_pooled,
            Way::Residues => about.takes_residues,
            Way::Pairs => about.takes_pairs,
        };
        let reads = manifest.reads();
        let wanted = way.or(reads.what);
        let taken: Vec<Way> = Way::ALL.into_iter().filter(takes).collect();
        let chosen = taken.iter().copied().find(|way| wanted.is_none_or(|wanted| wanted == *way));
        let Some(way) = chosen else {
            let list = taken.iter().map(|way| way.name()).collect::<Vec<_>>().join(", ");
            let found = wanted.map_or("nothing", Way::name);
            let what = format!("the head {} takes {list}, and is asked about {found}", path.display());
            return Err(HeadError::Unfit { what }.into());
        };
        let identity = plugin.identity().to_owned();
        Ok(Self { path: path.to_owned(), manifest, plugin, guest, identity, reads, way })
    }

    /// Another guest of the same plugin, to be asked at the same time.
    ///
    /// # Errors
    /// What goes wrong as it starts.
    pub fn again(&self) -> anyhow::Result<Self> {
        let guest = self.plugin.head().with_context(|| format!("plugin {}", self.path.display()))?;
        let (path, identity) = (self.path.clone(), self.identity.clone());
        let (manifest, plugin) = (self.manifest.clone(), self.plugin.clone());
        Ok(Self { path, manifest, plugin, guest, identity, reads: self.reads.clone(), way: self.way })
    }

    /// The manifest.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name in the manifest.
    pub fn name(&self) -> &str {
        self.manifest.name()
    }

    /// How it is asked.
    pub fn way(&self) -> Way {
        self.way
    }

    /// SHA-256 over all that its answers depend on.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The width of vectors that it wants, where it wants a certain one.
    pub fn width(&self) -> Option<usize> {
        self.guest.about().width
    }

    /// How states become one vector for it.
    pub fn pool(&self) -> Pool {
        match self.reads.pool {
            None | Some(Pooled::Mean) => Pool::Mean,
            Some(Pooled::Cls) => Pool::Cls,
            Some(Pooled::Max) => Pool::Max,
            Some(Pooled::Sum) => Pool::Sum,
        }
    }

    /// The number of the layer that it reads, of a model whose last one is `last`.
    ///
    /// # Errors
    /// A layer that the model does not have.
    pub fn layer(&self, last: usize) -> Result<usize, HeadError> {
        let asked = self.reads.layer.unwrap_or(-1);
        let from_start = if asked < 0 { asked.saturating_add(last as i64 + 1) } else { asked };
        usize::try_from(from_start).ok().filter(|layer| *layer <= last).ok_or_else(|| HeadError::Unfit {
            what: format!(
                "{}: \"reads.layer\" is {asked}, and the model has layers 0 (embedding) to {last}",
                self.path.display()
            ),
        })
    }

    /// What its manifest wants stored vectors to say of themselves: what, under which key, and the value.
    pub fn wanted(&self) -> Vec<(&'static str, &'static str, Value)> {
        let Reads { model, layer, pool, .. } = &self.reads;
        let mut wanted = Vec::new();
        wanted.extend(model.as_ref().map(|model| ("the model", "model", json!(model))));
        let layer = layer.and_then(|layer| usize::try_from(layer).ok());
        wanted.extend(layer.map(|layer| ("the layer", "layers", json!([layer]))));
        let pooled = pool.filter(|_| self.way != Way::Residues);
        wanted.extend(pooled.map(|_| ("the pooling", "pool", json!(self.pool().name()))));
        wanted
    }

    /// Refuses another encoder than its manifest names.
    ///
    /// # Errors
    /// [`HeadError::Encoder`].
    pub fn check_encoder(&self, model: &Path, (identity, family): (&str, &str)) -> Result<(), HeadError> {
        match &self.reads.model {
            Some(wanted) if wanted != identity => Err(HeadError::Encoder {
                folder: self.path.clone(),
                model: model.to_owned(),
                found: format!("{identity} ({family})"),
                wanted: wanted.clone(),
                family: "as its manifest says".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// How its numbers are told. One number for a class is that of a class that holds or does not.
    pub fn telling(&self) -> Telling {
        let about = self.guest.about();
        let by_residue = self.way == Way::Residues && about.row == Row::Residue;
        let width = about.outputs.len();
        let kind = match about.meaning {
            Meaning::Values => LabelKind::Number,
            _ if by_residue => LabelKind::Residues,
            _ if width == 1 => LabelKind::Classes,
            _ => LabelKind::Class,
        };
        let scored =
            if about.meaning == Meaning::Probabilities { Scored::Probabilities } else { Scored::Scores };
        Telling { kind, names: about.outputs.clone(), width, scale: Scale::default(), scored, by_residue }
    }

    /// What results say of it.
    pub fn described(&self) -> Value {
        let about = self.guest.about();
        json!({
            "name": about.name, "version": about.version, "sha256": self.manifest.sha256(),
            "identity": self.identity, "asked": self.way.name(), "meaning": about.meaning.name(),
        })
    }

    /// Its numbers for the rows of one protein: its vector, the states of its residues, or the vectors of both of a pair,
    /// each of `width` numbers. It is asked of each by itself, so that nothing depends on the company.
    ///
    /// # Errors
    /// Whatever goes wrong within the guest.
    pub fn answer(&mut self, rows: &[f32], width: usize) -> anyhow::Result<Vec<f32>> {
        let count = rows.len() / width.max(1);
        let answer = match self.way {
            Way::Pooled => self.guest.predict(rows, width),
            Way::Residues => self.guest.predict_residues(rows, width, &[0, count]),
            Way::Pairs => {
                let (first, second) = rows.split_at(rows.len() / 2);
                self.guest.predict_pairs(first, second, width)
            }
        };
        answer.with_context(|| format!("plugin {}", self.manifest.name()))
    }

    /// The name of its manifest, and the lines that it has written since they were taken last.
    pub fn take_log(&mut self) -> (String, Vec<LogLine>) {
        (self.manifest.name().to_owned(), self.guest.take_log())
    }
}
