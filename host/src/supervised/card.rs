//! The folder of a head: `head.json` says what it is, `head.safetensors` holds its weights, and `encoder/` is the model
//! below it where that was taught too.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use pliant_models::heads::{HeadConfig, Pooling};
use pliant_seq::tables::{Label, LabelKind, LabelledSet};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::HeadError;
use super::registry::{self, Task};
use super::targets::Scale;
use crate::train::tuning::FormConfig;

/// What a head of this version calls itself.
pub const FORMAT: &str = "pliant-head-1";

/// What says what a head is.
pub const CARD_FILE: &str = "head.json";

/// Its weights.
pub const WEIGHTS_FILE: &str = "head.safetensors";

/// The encoder below it.
pub const ENCODER_FOLDER: &str = "encoder";

/// What is added to the weights of the encoder.
pub const ADAPTER_FOLDER: &str = "adapter";

/// Bytes of a description, at most.
const LARGEST_CARD: u64 = 16 << 20;

/// What a head is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadCard {
    /// [`FORMAT`].
    pub format: String,
    /// The name of its task.
    pub task: String,
    /// What its labels are.
    pub labels: LabelsCard,
    /// Its layers.
    pub head: HeadConfig,
    /// What it reads.
    pub encoder: EncoderCard,
    /// How the examples that it was taught stood in their files.
    pub reader: FormConfig,
    /// BLAKE3 of its weights.
    pub weights: String,
    /// What it was taught, and how well it does.
    pub training: Value,
}

/// What the labels of a task are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelsCard {
    /// Their kind: class, classes, number, level or residues.
    pub kind: String,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// How numbers are scaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// How frequent each class or level is among the training labels, or their mean: what is answered without looking.
    pub prior: Vec<f64>,
}

/// What a head reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderCard {
    /// What the encoder is, in 64 hexadecimal digits.
    pub identity: String,
    /// Its family.
    pub family: String,
    /// How residues become its tokens.
    pub vocabulary: String,
    /// The layer.
    pub layer: usize,
    /// What became of long proteins.
    pub long: String,
    /// Whether it lies in the folder of the head.
    pub inside: bool,
    /// What the adapter in the folder of the head is, in 64 hexadecimal digits, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
}

impl LabelsCard {
    /// That of training examples.
    pub fn of(set: &LabelledSet) -> Self {
        let scale = (set.kind() == LabelKind::Number).then(|| Scale::of(set));
        Self { kind: set.kind().to_string(), classes: set.classes().to_vec(), scale, prior: prior(set) }
    }

    /// The kind.
    ///
    /// # Errors
    /// A kind that there is not.
    pub fn kind(&self) -> Option<LabelKind> {
        let kinds =
            [LabelKind::Class, LabelKind::Classes, LabelKind::Number, LabelKind::Level, LabelKind::Residues];
        kinds.into_iter().find(|kind| kind.to_string() == self.kind)
    }
}

/// What is answered without looking: how frequent each class is, how frequent each level, or the mean of numbers.
fn prior(set: &LabelledSet) -> Vec<f64> {
    let counts = set.counts();
    let all = match set.kind() {
        LabelKind::Number => {
            let number = |example| if let Label::Number(number) = set.label(example) { number } else { 0.0 };
            return vec![(0..set.len()).map(number).sum::<f64>() / set.len() as f64];
        }
        LabelKind::Classes => set.len() as f64,
        _ => counts.iter().sum::<u64>() as f64,
    };
    counts.into_iter().map(|count| count as f64 / all.max(1.0)).collect()
}

/// A head in its folder.
#[derive(Debug)]
pub struct HeadFolder {
    /// The folder.
    pub path: PathBuf,
    /// What it says.
    pub card: HeadCard,
    /// Its task.
    pub task: &'static Task,
    /// What its labels are.
    pub kind: LabelKind,
}

impl HeadFolder {
    /// Reads the description of a head, and compares every byte of its weights with what it says.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn open(path: &Path) -> Result<Self, HeadError> {
        let file = path.join(CARD_FILE);
        let refuse = |reason: String| HeadError::Text { path: file.clone(), reason };
        let text = match fs::metadata(&file) {
            Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(HeadError::Missing { folder: path.to_owned() });
            }
            Ok(about) if about.len() > LARGEST_CARD => {
                return Err(refuse(format!("has {} bytes, wanted at most {LARGEST_CARD}", about.len())));
            }
            _ => fs::read_to_string(&file).map_err(|source| HeadError::Io {
                action: "read",
                path: file.clone(),
                source,
            })?,
        };
        let value: Value =
            serde_json::from_str(&text).map_err(|error| refuse(format!("is no JSON: {error}")))?;
        if value["format"] != FORMAT {
            return Err(refuse(format!("\"format\" is {}, wanted \"{FORMAT}\"", value["format"])));
        }
        let card: HeadCard = serde_json::from_value(value)
            .map_err(|error| refuse(format!("is no head of {FORMAT}: {error}")))?;
        let task = registry::find(&card.task).ok_or_else(|| no_task(&card.task))?;
        let kind = card.labels.kind().ok_or_else(|| {
            refuse(format!("\"labels.kind\" is {:?}, which there is not", card.labels.kind))
        })?;
        card.check().map_err(refuse)?;
        let weights = path.join(WEIGHTS_FILE);
        let found = digest(&weights)?;
        if found != card.weights {
            let (card, wanted) = (file, card.weights);
            return Err(HeadError::Weights { weights, card, found, wanted });
        }
        Ok(Self { path: path.to_owned(), card, task, kind })
    }

    /// The file of its weights.
    pub fn weights(&self) -> PathBuf {
        self.path.join(WEIGHTS_FILE)
    }

    /// The encoder to use: the one that was named, or the head's own.
    ///
    /// # Errors
    /// [`HeadError::NoEncoder`].
    pub fn encoder(&self, named: Option<&Path>) -> Result<PathBuf, HeadError> {
        let EncoderCard { identity, family, inside, .. } = &self.card.encoder;
        match named {
            Some(model) => Ok(model.to_owned()),
            None if *inside => Ok(self.path.join(ENCODER_FOLDER)),
            // There is one of it, and it lies in no folder.
            None if family == pliant_models::composition::NAME => Ok(family.into()),
            None => {
                let (wanted, family) = (identity.clone(), family.clone());
                Err(HeadError::NoEncoder { folder: self.path.clone(), wanted, family })
            }
        }
    }

    /// The folder of its adapter, where it was taught with one.
    pub fn adapter(&self) -> Option<PathBuf> {
        self.card.encoder.adapter.as_ref().map(|_| self.path.join(ADAPTER_FOLDER))
    }

    /// Refuses another encoder than the head was taught on.
    ///
    /// # Errors
    /// [`HeadError::Encoder`] naming both.
    pub fn check_encoder(&self, model: &Path, identity: &str) -> Result<(), HeadError> {
        let encoder = &self.card.encoder;
        if identity == encoder.identity {
            return Ok(());
        }
        let (found, wanted, family) = (identity.to_owned(), encoder.identity.clone(), encoder.family.clone());
        let (folder, model) = (self.path.clone(), model.to_owned());
        Err(HeadError::Encoder { folder, model, found, wanted, family })
    }

    /// How its numbers are scaled.
    pub fn scale(&self) -> Scale {
        self.card.labels.scale.unwrap_or_default()
    }

    /// How states become vectors; the mean where every residue is asked about.
    pub fn pooling(&self) -> Pooling {
        self.card.head.pooling.unwrap_or(Pooling::Mean)
    }
}

impl HeadCard {
    /// Refuses numbers that do not go together.
    fn check(&self) -> Result<(), String> {
        self.head.check().map_err(|error| error.to_string())?;
        let classes = self.labels.classes.len();
        let (outputs, prior) = (self.head.outputs, self.labels.prior.len());
        let wanted = match self.labels.kind() {
            Some(LabelKind::Number) => 1,
            Some(LabelKind::Level) => prior.saturating_sub(1),
            // One number can say which of two it is.
            Some(LabelKind::Class) if classes == 2 && outputs == 1 => 1,
            _ => classes,
        };
        if outputs != wanted || prior == 0 {
            return Err(format!("\"head.outputs\" is {outputs}, but the labels want {wanted}"));
        }
        Ok(())
    }
}

/// The error of a name that no task has.
pub fn no_task(found: &str) -> HeadError {
    let known = registry::TASKS.iter().map(|task| task.name).collect::<Vec<_>>().join(", ");
    HeadError::NoTask { found: found.to_owned(), known }
}

/// BLAKE3 of a file, in hex.
///
/// # Errors
/// What the system says.
pub fn digest(path: &Path) -> Result<String, HeadError> {
    let failed = |source| HeadError::Io { action: "read", path: path.to_owned(), source };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path).map_err(failed)?).map_err(failed)?;
    Ok(hasher.finalize().to_hex().to_string())
}
