//! What tells the families apart, in one row each.
//!
//! A family is a file with its model, its [`Blueprint`], its row in [`FAMILIES`] and its arm in [`crate::Model`];
//! everything that is done with model folders goes through these.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pliant_nn::{CheckpointError, Content, Copied, Meaning, Record, Weights};
use serde_json::{Map, Value, json};

use crate::about::Cost;
use crate::config::Fields;
use crate::error::ModelError;
use crate::model::Model;
use crate::{composition, esm2, lc_plm, p_elmo, p_elmo_lm, plus_rnn, plus_tfm};

/// What a folder of Pliant's own says it is, under `format`.
pub(crate) const FORMAT: &str = "pliant-model-1";

/// The keys by which a folder of Pliant's own says what it is.
pub(crate) const OWN_KEYS: [&str; 3] = ["format", "family", "vocabulary"];

/// Every family.
static FAMILIES: [&Family; 7] = [
    &esm2::FAMILY,
    &lc_plm::FAMILY,
    &plus_rnn::FAMILY,
    &plus_tfm::FAMILY,
    &p_elmo::FAMILY,
    &p_elmo_lm::FAMILY,
    &composition::FAMILY,
];

/// One family.
#[derive(Debug)]
pub(crate) struct Family {
    /// Name in configs of Pliant's own and in reports.
    pub(crate) name: &'static str,
    /// `model_type` in configs of Hugging Face's form.
    pub(crate) model_type: &'static str,
    /// Whether a config is one of this family that does not name a `model_type`, or names one that nobody knows.
    pub(crate) known: fn(&Fields) -> bool,
    /// Identity of the vocabulary.
    pub(crate) vocabulary: &'static str,
    /// Reads and checks a config. What it leaves open is as in a new model.
    pub(crate) read: fn(&Fields) -> Result<Box<dyn Blueprint>, ModelError>,
}

impl Family {
    /// The family of a config: Pliant's own name it, others by `model_type`.
    pub(crate) fn of(fields: &Fields) -> Result<&'static Self, ModelError> {
        if fields.get("format").is_none() {
            let names = FAMILIES.map(|family| family.model_type);
            let by_name = fields.one_of("model_type", &names).map(|place| FAMILIES[place]);
            let known = |family: &&Self| (family.known)(fields);
            return by_name.or_else(|refused| FAMILIES.into_iter().find(known).ok_or(refused));
        }
        fields.must_be("format", FORMAT, FORMAT)?;
        let family = FAMILIES[fields.one_of("family", &FAMILIES.map(|family| family.name))?];
        fields.must_be("vocabulary", family.vocabulary, family.vocabulary)?;
        Ok(family)
    }

    /// The config given, with the keys that name format, family and vocabulary, and those of the blueprint.
    pub(crate) fn complete(
        &self,
        given: &Map<String, Value>,
        blueprint: &dyn Blueprint,
    ) -> Map<String, Value> {
        let mut members = given.clone();
        let own = [
            ("format", json!(FORMAT)),
            ("family", json!(self.name)),
            ("vocabulary", json!(self.vocabulary)),
            ("model_type", json!(self.model_type)),
        ];
        for (key, value) in own.into_iter().chain(blueprint.settled()) {
            members.insert(key.to_owned(), value);
        }
        members
    }
}

/// A config that was read, and all that follows from it.
pub(crate) trait Blueprint: fmt::Debug {
    /// What each stored name means.
    fn meanings(&self, stored: &[&str]) -> Vec<Meaning>;

    /// Settles what the config leaves open after what the checkpoint holds.
    fn settle(&mut self, weights: &Weights);

    /// Takes every parameter from `weights`.
    fn construct(&self, weights: &Weights) -> Result<Model, CheckpointError>;

    /// Everything that changes a number of the model, by key, in canonical form.
    fn semantics(&self) -> BTreeMap<&'static str, Value>;

    /// Tensors that are another one, and do not count where they are stored.
    fn twins(&self) -> Vec<Twin>;

    /// The keys that a config does not leave open once it is one of a folder of Pliant's own.
    fn settled(&self) -> Vec<(&'static str, Value)>;

    /// Number of the last layer, and C.
    fn sizes(&self) -> (usize, usize);

    /// Number of the first layer that is as wide as the others.
    fn first_layer(&self) -> usize {
        0
    }

    /// Width of the projection z of states, where there is one.
    fn projection(&self) -> Option<usize> {
        None
    }

    /// The most residues that can be computed together, where there is such a limit.
    fn longest(&self) -> Option<usize> {
        None
    }

    /// Parts that a model of this family may have and this one has not, once that is settled.
    fn absent(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Whether it reads the states of a language model, which is a part of it.
    fn reads_language_model(&self) -> bool {
        false
    }

    /// The number of the layer that a parameter of this canonical name belongs to, the first block's being 1; what comes
    /// after the last block belongs to the last layer. `None` for what lies below all of them, such as the embedding.
    fn layer_of(&self, _name: &str) -> Option<usize> {
        None
    }

    /// The matrices beside which something of low rank may stand.
    fn matrices(&self) -> &'static [Matrix] {
        &[]
    }

    /// Residues of the longest sequence seen in training, where the config tells or the architecture sets a limit.
    fn training_length(&self) -> Option<usize>;

    /// What a forward takes with a model of so many parameters.
    fn cost(&self, parameters: u64) -> Cost;

    /// The tensors of a folder of Pliant's own, canonical names.
    fn copied(&self, records: Vec<Record>) -> Vec<Copied> {
        let twins = self.twins();
        let seconds = seconds(&twins);
        let copied = |record: Record| Copied { name: record.name.clone(), content: Content::Stored(record) };
        records.into_iter().filter(|record| !seconds.contains(&*record.name)).map(copied).collect()
    }

    /// The tensors of a folder for other programs; an error says what these do not have.
    fn published(&self, records: Vec<Record>) -> Result<Vec<Copied>, &'static str>;

    /// The config of such a folder: every key that the other program would otherwise take for something else.
    /// `dtype` is the number type of the tensors.
    fn published_config(&self, given: &Map<String, Value>, dtype: &str) -> Map<String, Value>;

    /// The tensors and the config in the form of the authors of PLUS; an error says what they do not have.
    fn authors(&self, _records: Vec<Record>) -> Result<(Vec<Copied>, Map<String, Value>), &'static str> {
        Err("it is no model of the authors of PLUS")
    }
}

/// Matrices beside which something of low rank may stand: one of each layer, or one of the model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix {
    /// The word by which they are chosen; several may share it.
    pub(crate) word: &'static str,
    /// Canonical name, `{}` in the place of the number of the block from 0.
    pub(crate) name: &'static str,
}

impl Matrix {
    /// Those of this name under this word.
    pub(crate) const fn new(word: &'static str, name: &'static str) -> Self {
        Self { word, name }
    }
}

/// Two names of one tensor.
#[derive(Debug, Clone)]
pub(crate) struct Twin {
    /// The name that counts.
    pub(crate) first: String,
    /// The one that does not.
    pub(crate) second: String,
    /// The key of the config that says so.
    pub(crate) key: &'static str,
    /// What to do about two that differ.
    pub(crate) advice: &'static str,
}

/// The number of the layer of a name like `{place}.{block}.…`, or the last of `layers` where it begins with one of `after`.
pub(crate) fn layer_of(name: &str, place: &str, after: &[&str], layers: usize) -> Option<usize> {
    if after.iter().any(|start| name.starts_with(start)) {
        return Some(layers);
    }
    let (block, _) = name.strip_prefix(place)?.strip_prefix('.')?.split_once('.')?;
    block.parse::<usize>().ok().map(|block| block + 1)
}

/// The names that do not count.
pub(crate) fn seconds(twins: &[Twin]) -> BTreeSet<&str> {
    twins.iter().map(|twin| twin.second.as_str()).collect()
}

/// Where the decoder of the language-model head comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LmHeadKind {
    /// There is no head.
    Absent,
    /// The decoder is the embedding.
    Tied,
    /// The decoder is a table of its own.
    Own,
}

impl LmHeadKind {
    /// Name in what makes an identity.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Tied => "tied",
            Self::Own => "own",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_name_tells_its_layer() {
        let of = |name| layer_of(name, "a.layer", &["a.norm", "lm_head."], 6);
        assert_eq!(of("a.layer.0.x"), Some(1));
        assert_eq!(of("a.layer.11.x"), Some(12));
        assert_eq!((of("a.norm.weight"), of("lm_head.bias")), (Some(6), Some(6)));
        assert_eq!((of("a.embed.weight"), of("a.layer.x.y"), of("a.layers.1.x")), (None, None, None));
    }

    #[test]
    fn a_config_without_a_known_model_type_is_told_by_its_keys() {
        let name = |text: &str| {
            let fields = Fields::parse(Path::new("config.json"), text).unwrap();
            Family::of(&fields).map(|family| family.name).map_err(|error| error.to_string())
        };
        let marks = r#""d_model": 8, "n_layer": 2, "bidirectional": true"#;
        assert_eq!(name(&format!("{{{marks}}}")), Ok("lc_plm"));
        assert_eq!(name(&format!(r#"{{{marks}, "model_type": "bimamba"}}"#)), Ok("lc_plm"));
        assert_eq!(name(&format!(r#"{{{marks}, "model_type": "esm"}}"#)), Ok("esm2"));
        assert_eq!(name(r#"{"model_type": "TFM", "num_layers": 2}"#), Ok("plus_tfm"));
        let recurrent = |more: &str| name(&format!(r#"{{"model_type": "RNN", "num_layers": 2{more}}}"#));
        assert_eq!(recurrent(r#", "rnn_type": "B", "embedding_dim": 100"#), Ok("plus_rnn"));
        assert_eq!(recurrent(r#", "rnn_type": "B", "lm_proj_dim": -1"#), Ok("plus_rnn"));
        assert_eq!(recurrent(r#", "rnn_type": "B", "lm_proj_dim": 512"#), Ok("p_elmo"));
        assert_eq!(recurrent(r#", "rnn_type": "TFR""#), Ok("p_elmo_lm"));
        assert!(recurrent("").unwrap_err().contains("\"model_type\" is \"RNN\""));
        assert!(name(r#"{"d_model": 8, "n_layer": 2}"#).unwrap_err().contains("\"model_type\" is missing"));
    }
}
