//! The text beside an ONNX file, which says what the file itself does not: `x.onnx.toml` beside `x.onnx`.
//!
//! ```toml
//! format = "pliant-onnx-1"
//! kind = "encoder"
//! vocabulary = "esm2-33/1"        # or a table [vocabulary] with the tokens themselves
//! training_length = 1022          # residues; where the model has such a length
//! longest = 1022                  # residues; where it cannot compute more
//!
//! [inputs]                        # every input of the file
//! input_ids = "tokens"            # tokens, ones, zeros, places
//! attention_mask = "ones"
//!
//! [states]
//! output = "last_hidden_state"
//! rows = "tokens"                 # tokens, residues, protein
//! pooling = "mean"                # how a protein's rows become one vector where nobody says otherwise
//!
//! [logits]                        # where the file tells tokens
//! output = "logits"
//! ```
//!
//! ```toml
//! format = "pliant-onnx-1"
//! kind = "head"
//! inputs = ["x"]                  # two of a head of pairs
//! output = "y"
//!
//! [reads]                         # what is not said is open: any encoder, its last layer, the mean of its states
//! what = "pooled"                 # pooled, residues, pairs
//! model = "…"                     # the identity of the encoder
//! layer = -1
//! pool = "mean"
//!
//! [labels]
//! kind = "class"                  # class, classes, number, level, residues
//! names = ["no", "yes"]
//! gives = "scores"                # scores, probabilities
//! task = "solubility"
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::OnnxError;
use crate::limits::Limits;

/// What a sidecar of this version calls itself.
pub const FORMAT: &str = "pliant-onnx-1";

/// What comes after the name of the ONNX file in that of its sidecar.
pub const SUFFIX: &str = "toml";

/// Tokens of a vocabulary, at most.
const MOST_TOKENS: usize = 65_536;

/// The sidecar of an encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSidecar {
    format: String,
    kind: String,
    /// How residues become tokens.
    pub vocabulary: VocabularyName,
    /// Residues of the longest sequence of its training, where it has such a length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_length: Option<usize>,
    /// The most residues that it computes together, where there is such a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest: Option<usize>,
    /// What each input of the file takes.
    pub inputs: BTreeMap<String, Input>,
    /// Where the states are.
    pub states: States,
    /// Where the logits of tokens are, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logits: Option<Logits>,
}

/// A vocabulary that Pliant knows, or one that the sidecar brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum VocabularyName {
    /// Its identity.
    Known(String),
    /// The tokens themselves.
    Brought(VocabularyText),
}

/// The tokens of a vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VocabularyText {
    /// Tokens by id; a capital letter alone stands for the residue.
    pub tokens: Vec<String>,
    /// The token before the residues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// The token after them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// The token of a letter that has none.
    pub unknown: String,
    /// The token of a hidden residue, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// Letters that are read as another.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub read_as: BTreeMap<String, String>,
    /// Whether the start token speaks for the whole sequence.
    #[serde(default)]
    pub cls: bool,
}

/// What an input takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// The ids of the tokens.
    Tokens,
    /// A one for each token: none is padding.
    Ones,
    /// A zero for each token: all of one segment.
    Zeros,
    /// The place of each token, from 0.
    Places,
}

/// Where the states are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct States {
    /// The output.
    pub output: String,
    /// What its rows are.
    #[serde(default)]
    pub rows: Rows,
    /// How they become one vector where nobody says otherwise.
    #[serde(default)]
    pub pooling: Pooling,
    /// C, where the file does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
}

/// Where the logits are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logits {
    /// The output: a row for each token, a column for each token of the vocabulary, and perhaps more after them.
    pub output: String,
}

/// What the rows of an output are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// `[T,C]`, the tokens.
    #[default]
    Tokens,
    /// `[L,C]`, the residues alone.
    Residues,
    /// `[C]`: the model pools by itself.
    Protein,
}

/// How states become one vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean of its residues.
    #[default]
    Mean,
    /// The state of the token before its residues.
    Cls,
    /// The largest value of its residues, column by column.
    Max,
    /// The sum of its residues.
    Sum,
}

/// The sidecar of a head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSidecar {
    format: String,
    kind: String,
    /// The inputs: one, or two of a head of pairs. None: those of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// The output. `None`: the only one of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What it reads.
    #[serde(default)]
    pub reads: ReadsText,
    /// What its numbers mean.
    pub labels: LabelsText,
}

/// What a head reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadsText {
    /// What a row is.
    #[serde(default)]
    pub what: Reads,
    /// The identity of the encoder that it was made on, in 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The layer; negative numbers count from the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<i64>,
    /// How states become one vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pooling>,
}

/// What a row of a head is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reads {
    /// A protein: its vector.
    #[default]
    Pooled,
    /// A residue: its state.
    Residues,
    /// Two proteins: their vectors.
    Pairs,
}

/// What the numbers of a head mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelsText {
    /// What they are about.
    pub kind: LabelKind,
    /// The names of the classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// What the numbers of classes are.
    #[serde(default)]
    pub gives: Gives,
    /// What is added to a number once it is multiplied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// What a number is multiplied by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
    /// The name of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

/// What the numbers of a head are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelKind {
    /// One of the classes.
    Class,
    /// Any of the classes.
    Classes,
    /// A number.
    Number,
    /// A level: scores that it is at least 1, 2, ….
    Level,
    /// One of the classes for each residue.
    Residues,
}

/// What the numbers of classes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gives {
    /// Scores that become probabilities.
    #[default]
    Scores,
    /// Probabilities already.
    Probabilities,
}

/// Where the sidecar of an ONNX file is.
#[must_use]
pub fn path_of(model: &Path) -> PathBuf {
    let mut name = model.as_os_str().to_owned();
    name.push(".");
    name.push(SUFFIX);
    PathBuf::from(name)
}

impl EncoderSidecar {
    /// Reads the sidecar of the encoder `model`.
    ///
    /// # Errors
    /// [`OnnxError::NoSidecar`], and [`OnnxError::Sidecar`] for one that says what cannot be.
    pub fn read(model: &Path) -> Result<Self, OnnxError> {
        let path = path_of(model);
        let sidecar: Self = read(model, &path, "encoder")?;
        sidecar.check().map_err(|reason| OnnxError::Sidecar { path, reason })?;
        Ok(sidecar)
    }

    fn check(&self) -> Result<(), String> {
        let tokens = self.inputs.values().filter(|input| **input == Input::Tokens).count();
        if tokens != 1 {
            return Err(format!("\"inputs\" has {tokens} that take the tokens, wanted one"));
        }
        for (name, length) in [("training_length", self.training_length), ("longest", self.longest)] {
            if length == Some(0) {
                return Err(format!("{name:?} is 0, wanted at least 1"));
            }
        }
        match &self.vocabulary {
            VocabularyName::Brought(text) if text.tokens.len() > MOST_TOKENS => Err(format!(
                "\"vocabulary.tokens\" has {} tokens, wanted at most {MOST_TOKENS}",
                text.tokens.len()
            )),
            _ => Ok(()),
        }
    }

    /// Everything in it, with sorted keys, as it enters the identity of the model.
    #[must_use]
    pub fn canonical(&self) -> String {
        canonical(self)
    }
}

impl HeadSidecar {
    /// What a head that is written here says.
    #[must_use]
    pub fn new(inputs: Vec<String>, output: String, reads: ReadsText, labels: LabelsText) -> Self {
        let (format, kind) = (FORMAT.to_owned(), "head".to_owned());
        Self { format, kind, inputs, output: Some(output), reads, labels }
    }

    /// Reads the sidecar of the head `model`.
    ///
    /// # Errors
    /// [`OnnxError::NoSidecar`], and [`OnnxError::Sidecar`] for one that says what cannot be.
    pub fn read(model: &Path) -> Result<Self, OnnxError> {
        let path = path_of(model);
        let sidecar: Self = read(model, &path, "head")?;
        sidecar.check().map_err(|reason| OnnxError::Sidecar { path, reason })?;
        Ok(sidecar)
    }

    fn check(&self) -> Result<(), String> {
        let LabelsText { kind, names, gives, mean, deviation, .. } = &self.labels;
        let is_number = *kind == LabelKind::Number;
        if is_number != names.is_empty() && *kind != LabelKind::Level {
            let wanted = if is_number { "none of a number" } else { "one for each class" };
            return Err(format!("\"labels.names\" has {} names, wanted {wanted}", names.len()));
        }
        if (*kind == LabelKind::Residues) != (self.reads.what == Reads::Residues) {
            return Err("\"labels.kind\" and \"reads.what\" must both be \"residues\", or neither".to_owned());
        }
        if *gives == Gives::Probabilities && is_number {
            return Err("\"labels.gives\" is \"probabilities\", which numbers are not".to_owned());
        }
        if let Some(scale) =
            [mean, deviation].into_iter().flatten().find(|scale| !is_number || !scale.is_finite())
        {
            return Err(format!(
                "\"labels\" has the scale {scale}, wanted finite numbers, for numbers alone"
            ));
        }
        let wanted = if self.reads.what == Reads::Pairs { 2 } else { 1 };
        if !self.inputs.is_empty() && self.inputs.len() != wanted {
            return Err(format!("\"inputs\" has {} names, wanted {wanted}", self.inputs.len()));
        }
        let is_digest = |text: &String| {
            text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        match &self.reads.model {
            Some(model) if !is_digest(model) => Err(format!(
                "\"reads.model\" is {model:?}, wanted 64 small hexadecimal digits, as 'pliant model verify' tells"
            )),
            _ => Ok(()),
        }
    }

    /// Everything in it, with sorted keys, as it enters the identity of the head.
    #[must_use]
    pub fn canonical(&self) -> String {
        canonical(self)
    }

    /// Its text.
    ///
    /// # Errors
    /// None that was seen: everything in it can be written.
    pub fn text(&self) -> Result<String, OnnxError> {
        toml::to_string(self)
            .map_err(|error| OnnxError::Sidecar { path: PathBuf::new(), reason: error.to_string() })
    }
}

/// Sorted keys: maps of JSON keep the order in which fields are declared, which is fixed, and maps here are sorted.
fn canonical(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn read<T: DeserializeOwned>(model: &Path, path: &Path, kind: &str) -> Result<T, OnnxError> {
    let refuse = |reason: String| OnnxError::Sidecar { path: path.to_owned(), reason };
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => OnnxError::NoSidecar { model: model.to_owned(), path: path.to_owned() },
        _ => OnnxError::Io { action: "read", path: path.to_owned(), source },
    };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(Limits::SIDECAR_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > Limits::SIDECAR_BYTES {
        return Err(refuse(format!("it has more than {} bytes", Limits::SIDECAR_BYTES)));
    }
    let value: toml::Value = toml::from_str(&text).map_err(|error| refuse(format!("is no TOML: {error}")))?;
    for (key, wanted) in [("format", FORMAT), ("kind", kind)] {
        let found = value.get(key).and_then(toml::Value::as_str);
        if found != Some(wanted) {
            let found = found.map_or_else(|| "missing".to_owned(), |found| format!("{found:?}"));
            return Err(refuse(format!("{key:?} is {found}, wanted {wanted:?}")));
        }
    }
    toml::from_str(&text).map_err(|error| refuse(format!("is no sidecar of {FORMAT}: {error}")))
}
