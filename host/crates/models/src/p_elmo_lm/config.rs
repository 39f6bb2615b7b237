//! What a language model of P-ELMo is: the authors' model configuration.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{Fields, LAYERS_MAX, WIDTH_MAX};
use crate::error::ModelError;
use crate::plus_rnn::VOCABULARY;

/// The published sizes.
const LAYERS: usize = 2;
const HIDDEN: usize = 1024;

/// Keys that are known.
const KEYS: [&str; 9] = [
    "format",
    "family",
    "vocabulary",
    "model_type",
    "rnn_type",
    "input_dim",
    "num_layers",
    "hidden_dim",
    "decoder",
];

/// What a model is, named as the authors name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Layers.
    pub num_layers: usize,
    /// H
    pub hidden_dim: usize,
}

impl Config {
    /// Reads and checks a config; absent sizes are the published ones.
    pub(crate) fn read(fields: &Fields) -> Result<Self, ModelError> {
        fields.only(&KEYS)?;
        fields.must_be("rnn_type", "TFR", "TFR")?;
        fields.count("input_dim", VOCABULARY..=VOCABULARY, Some(VOCABULARY))?;
        Ok(Self {
            num_layers: fields.count("num_layers", 1..=LAYERS_MAX, Some(LAYERS))?,
            hidden_dim: fields.count("hidden_dim", 1..=WIDTH_MAX, Some(HIDDEN))?,
        })
    }

    /// Everything that changes a number of this model, by key, in canonical form.
    pub(crate) fn semantics(&self, decoder: bool) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([
            ("family", "p_elmo_lm".into()),
            ("rnn_type", "TFR".into()),
            ("num_layers", self.num_layers.into()),
            ("hidden_dim", self.hidden_dim.into()),
            ("decoder", decoder.into()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::p_elmo_lm::PElmoLm;
    use pliant_kernels::{Device, Precision};
    use pliant_nn::Weights;
    use std::path::Path;

    #[test]
    fn the_published_size_has_the_published_number_of_parameters() {
        let text = r#"{"model_type": "RNN", "rnn_type": "TFR", "num_layers": 2, "hidden_dim": 1024}"#;
        let config = Config::read(&Fields::parse(Path::new("MODEL.json"), text).unwrap()).unwrap();
        let plan = Weights::random(0, &Device::cpu(1).unwrap(), Precision::F32);
        PElmoLm::new(&config, true, &plan).unwrap();
        let parameters: usize = plan.planned().iter().map(|t| t.shape.iter().product::<usize>()).sum();
        assert_eq!(parameters, 12_707_299);
    }
}
