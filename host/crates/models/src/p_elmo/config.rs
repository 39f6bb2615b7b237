//! What a P-ELMo is: the authors' model configuration, with that of its language model as the member `lm`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::config::{Fields, LAYERS_MAX, WIDTH_MAX};
use crate::error::ModelError;
use crate::import::LANGUAGE_MODEL;
use crate::p_elmo_lm;
use crate::plus_rnn::VOCABULARY;

/// Keys that are known.
const KEYS: [&str; 13] = [
    "format",
    "family",
    "vocabulary",
    "model_type",
    "rnn_type",
    "input_dim",
    "num_layers",
    "hidden_dim",
    "lm_proj_dim",
    "embedding_dim",
    "num_classes",
    "decoder",
    "lm",
];

/// What a model is, named as the authors name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Layers of the recurrent network.
    pub num_layers: usize,
    /// H, numbers of one direction.
    pub hidden_dim: usize,
    /// Width of what the layers read.
    pub lm_proj_dim: usize,
    /// Width of z.
    pub embedding_dim: usize,
    /// The language model.
    pub lm: p_elmo_lm::Config,
}

impl Config {
    /// Reads and checks a config. Where a key is absent the defaults of the published code hold, but for the widths, which
    /// have none; a language model that is not described is the published one.
    pub(crate) fn read(fields: &Fields) -> Result<Self, ModelError> {
        fields.only(&KEYS)?;
        fields.must_be("rnn_type", "B", "B")?;
        fields.count("input_dim", VOCABULARY..=VOCABULARY, Some(VOCABULARY))?;
        Ok(Self {
            num_layers: fields.count("num_layers", 1..=LAYERS_MAX, Some(3))?,
            hidden_dim: fields.count("hidden_dim", 1..=WIDTH_MAX, Some(512))?,
            lm_proj_dim: fields.count("lm_proj_dim", 1..=WIDTH_MAX, None)?,
            embedding_dim: fields.count("embedding_dim", 1..=WIDTH_MAX, None)?,
            lm: p_elmo_lm::Config::read(&fields.section(LANGUAGE_MODEL.1)?)?,
        })
    }

    /// W, numbers of all layers of the language model for a residue.
    #[must_use]
    pub fn told(&self) -> usize {
        self.lm.num_layers * 2 * self.lm.hidden_dim
    }

    /// The language model as a member of a config.
    pub(crate) fn lm_member(&self) -> Value {
        json!({ "rnn_type": "TFR", "num_layers": self.lm.num_layers, "hidden_dim": self.lm.hidden_dim })
    }

    /// Everything that changes a number of this model, by key, in canonical form.
    pub(crate) fn semantics(&self, classes: usize) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([
            ("family", "p_elmo".into()),
            ("rnn_type", "B".into()),
            ("num_layers", self.num_layers.into()),
            ("hidden_dim", self.hidden_dim.into()),
            ("lm_proj_dim", self.lm_proj_dim.into()),
            ("embedding_dim", self.embedding_dim.into()),
            ("lm_num_layers", self.lm.num_layers.into()),
            ("lm_hidden_dim", self.lm.hidden_dim.into()),
            ("num_classes", classes.into()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::p_elmo::PElmo;
    use pliant_kernels::{Device, Precision};
    use pliant_nn::Weights;
    use std::path::Path;

    fn read(text: &str) -> Result<Config, ModelError> {
        Config::read(&Fields::parse(Path::new("MODEL.json"), text)?)
    }

    /// Counted from the published code: the model itself with its unused decoder of 21 · 1025 numbers and the language
    /// model with its decoder of as many, both of which are passed over, and the eight numbers of homology.
    #[test]
    fn the_published_size_has_the_published_number_of_parameters() {
        let config = read(
            r#"{"model_type": "RNN", "rnn_type": "B", "num_layers": 3, "hidden_dim": 512, "lm_proj_dim": 512,
                "embedding_dim": 100}"#,
        );
        let config = config.unwrap();
        assert_eq!(config.told(), 4096);
        let plan = Weights::random(0, &Device::cpu(1).unwrap(), Precision::F32);
        PElmo::new(&config, 4, &plan).unwrap();
        let parameters: usize = plan.planned().iter().map(|t| t.shape.iter().product::<usize>()).sum();
        assert_eq!(parameters, 19_034_233 + 12_707_299 + 8 - 2 * 21 * 1025);
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (more, words) in [
            (r#""lm_proj_dim": -1"#, "\"lm_proj_dim\" is -1"),
            (r#""lm_proj_dim": 8, "lm": {"hidden": 8}"#, "\"lm.hidden\" is 8"),
            (r#""lm_proj_dim": 8, "lm": {"rnn_type": "B"}"#, "\"lm.rnn_type\" is \"B\", wanted \"TFR\""),
        ] {
            let error = read(&format!(r#"{{"rnn_type": "B", "embedding_dim": 8, {more}}}"#)).unwrap_err();
            assert!(error.to_string().contains(words), "wanted {words}: {error}");
        }
    }
}
