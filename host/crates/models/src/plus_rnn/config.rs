//! What a PLUS-RNN is: the authors' model configuration, read as their code reads it, with keys of Pliant's own for what
//! they leave to the task.

use std::collections::BTreeMap;

use serde_json::Value;

use super::VOCABULARY;
use crate::config::{Fields, LAYERS_MAX, WIDTH_MAX};
use crate::error::ModelError;
use crate::plus;

pub use crate::plus::Parts;

/// Keys that are known.
const KEYS: [&str; 11] = [
    "format",
    "family",
    "vocabulary",
    "model_type",
    "rnn_type",
    "input_dim",
    "num_layers",
    "hidden_dim",
    "embedding_dim",
    "num_classes",
    "decoder",
];

/// What a model is, named as the authors name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Layers of the recurrent network.
    pub num_layers: usize,
    /// H, numbers of one direction.
    pub hidden_dim: usize,
    /// Width of z.
    pub embedding_dim: usize,
    /// Parts of a new model.
    pub begun: Parts,
}

impl Config {
    /// Reads and checks a config. Where a key is absent the defaults of the published code hold, but for the width of z,
    /// which has none.
    pub(crate) fn read(fields: &Fields) -> Result<Self, ModelError> {
        fields.only(&KEYS)?;
        fields.must_be("rnn_type", "B", "B")?;
        fields.count("input_dim", VOCABULARY..=VOCABULARY, Some(VOCABULARY))?;
        Ok(Self {
            num_layers: fields.count("num_layers", 1..=LAYERS_MAX, Some(3))?,
            hidden_dim: fields.count("hidden_dim", 1..=WIDTH_MAX, Some(512))?,
            embedding_dim: fields.count("embedding_dim", 1..=WIDTH_MAX, None)?,
            begun: plus::begun(fields)?,
        })
    }

    /// Everything that changes a number of this model with its parts, by key, in canonical form.
    pub(crate) fn semantics(&self, parts: Parts) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([
            ("family", "plus_rnn".into()),
            ("rnn_type", "B".into()),
            ("num_layers", self.num_layers.into()),
            ("hidden_dim", self.hidden_dim.into()),
            ("embedding_dim", self.embedding_dim.into()),
            ("decoder", parts.decoder.into()),
            ("num_classes", parts.classes().into()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plus_rnn::PlusRnn;
    use pliant_kernels::{Device, Precision};
    use pliant_nn::Weights;
    use std::path::Path;

    fn read(text: &str) -> Result<Config, ModelError> {
        Config::read(&Fields::parse(Path::new("MODEL.json"), text)?)
    }

    /// Counted from the published code, with the head of two numbers that tells families apart.
    #[test]
    fn published_sizes_have_the_published_number_of_parameters() {
        for (hidden, published) in [(512, 14_915_143usize), (1024, 59_189_831)] {
            let config = read(&format!(
                r#"{{"model_type": "RNN", "rnn_type": "B", "num_layers": 3, "hidden_dim": {hidden},
                    "embedding_dim": 100}}"#
            ));
            let config = config.unwrap();
            let plan = Weights::random(0, &Device::cpu(1).unwrap(), Precision::F32);
            PlusRnn::new(&config, config.begun, &plan).unwrap();
            let parameters: usize = plan.planned().iter().map(|t| t.shape.iter().product::<usize>()).sum();
            assert_eq!(parameters, published + 2);
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (text, words) in [
            (r#"{"hidden_dim": 8}"#, "\"embedding_dim\" is missing"),
            (r#"{"rnn_type": "U", "embedding_dim": 8}"#, "\"rnn_type\" is \"U\", wanted \"B\""),
            (r#"{"input_dim": 25, "embedding_dim": 8}"#, "\"input_dim\" is 25"),
            (r#"{"hiden_dim": 8, "embedding_dim": 8}"#, "\"hiden_dim\" is 8, wanted none but"),
            (r#"{"num_classes": -1, "embedding_dim": 8}"#, "\"num_classes\" is -1"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().contains(words), "wanted {words}: {error}");
        }
        let none = read(r#"{"embedding_dim": 8, "num_classes": 0, "decoder": false}"#).unwrap().begun;
        assert_eq!(none, Parts { decoder: false, levels: 0 });
    }
}
