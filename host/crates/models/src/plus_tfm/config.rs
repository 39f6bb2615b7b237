//! What a PLUS-TFM is: the authors' model configuration, read as their code reads it, with keys of Pliant's own for what
//! they leave to the task.

use std::collections::BTreeMap;

use pliant_kernels::ops::attention::HEAD_WIDTH_MAX;
use pliant_nn::Weights;
use serde_json::Value;

use super::VOCABULARY;
use super::keys::{CLASSIFIER, LM_HEAD, PLACES, PLACES_LEARNT};
use crate::config::{Fields, LAYERS_MAX, WIDTH_MAX};
use crate::error::ModelError;

/// Rows of the table of places beyond `max_len`, as published.
const SPARE_PLACES: usize = 3;

/// `max_len` where none is named, as published.
const MAX_LEN: usize = 5000;

/// The most that `max_len` may be.
const PLACES_MAX: usize = 1 << 20;

/// Base of the wave lengths of the sinusoid.
const BASE: f64 = 10_000.0;

/// Most classes of a classifier.
const CLASSES_MAX: usize = 1 << 16;

/// Keys that are known.
const KEYS: [&str; 15] = [
    "format",
    "family",
    "vocabulary",
    "model_type",
    "input_dim",
    "num_layers",
    "hidden_dim",
    "num_heads",
    "feedforward_dim",
    "pos_encode",
    "max_len",
    "dropout",
    "num_classes",
    "lm_head",
    "architectures",
];

/// What a model is, named as the authors name it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Blocks.
    pub num_layers: usize,
    /// C
    pub hidden_dim: usize,
    /// H
    pub num_heads: usize,
    /// F
    pub feedforward_dim: usize,
    /// Whether places are told by a sinusoid and not by a table that is learnt.
    pub pos_encode: bool,
    /// Tokens of the longest chain in training; the table of places has three rows more.
    pub max_len: usize,
    /// Part of the numbers that training drops.
    pub dropout: f32,
    /// K of a new model, 0 for no classifier.
    pub num_classes: usize,
    /// Whether a new model has a language-model head.
    pub lm_head: bool,
}

impl Config {
    /// Reads and checks a config. Where a key is absent the defaults of the published code hold.
    pub(crate) fn read(fields: &Fields) -> Result<Self, ModelError> {
        fields.only(&KEYS)?;
        fields.count("input_dim", VOCABULARY..=VOCABULARY, Some(VOCABULARY))?;
        let dropout = fields.get("dropout").map_or(Some(0.1), Value::as_f64);
        let dropout = dropout.filter(|part| (0.0..1.0).contains(part));
        let config = Self {
            num_layers: fields.count("num_layers", 1..=LAYERS_MAX, Some(12))?,
            hidden_dim: fields.count("hidden_dim", 1..=WIDTH_MAX, Some(768))?,
            num_heads: fields.count("num_heads", 1..=WIDTH_MAX, Some(12))?,
            feedforward_dim: fields.count("feedforward_dim", 1..=WIDTH_MAX, Some(3072))?,
            pos_encode: fields.flag("pos_encode", true)?,
            max_len: fields.count("max_len", 4..=PLACES_MAX, Some(MAX_LEN))?,
            dropout: dropout.ok_or_else(|| fields.refuse("dropout", "a number from 0, below 1".to_owned()))?
                as f32,
            num_classes: fields.count("num_classes", 0..=CLASSES_MAX, Some(2))?,
            lm_head: fields.flag("lm_head", true)?,
        };
        config.check_heads(fields)?;
        Ok(config)
    }

    fn check_heads(&self, fields: &Fields) -> Result<(), ModelError> {
        let (width, heads) = (self.hidden_dim, self.num_heads);
        if !width.is_multiple_of(heads) {
            let wanted = format!("a divisor of \"hidden_dim\", which is {width}");
            return Err(fields.refuse("num_heads", wanted));
        }
        let head_width = self.head_width();
        if frame(head_width) <= HEAD_WIDTH_MAX {
            return Ok(());
        }
        let wanted = format!(
            "heads at most {HEAD_WIDTH_MAX} wide: \"hidden_dim\" {width} makes them {head_width} wide"
        );
        Err(fields.refuse("num_heads", wanted))
    }

    /// D
    #[must_use]
    pub fn head_width(&self) -> usize {
        self.hidden_dim / self.num_heads
    }

    /// Residues of the longest protein in training: ends take a token each.
    #[must_use]
    pub fn training_length(&self) -> usize {
        self.max_len - 2
    }

    /// Everything that changes a number of this model with its parts, by key, in canonical form.
    pub(crate) fn semantics(&self, parts: Parts) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([
            ("family", "plus_tfm".into()),
            ("num_layers", self.num_layers.into()),
            ("hidden_dim", self.hidden_dim.into()),
            ("num_heads", self.num_heads.into()),
            ("feedforward_dim", self.feedforward_dim.into()),
            ("pos_encode", self.pos_encode.into()),
            ("places", parts.places.into()),
            ("lm_head", parts.lm_head.into()),
            ("num_classes", parts.classes.into()),
        ])
    }
}

/// What a config leaves open and the checkpoint decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Rows of the table of places.
    pub places: usize,
    /// Whether there is a language-model head.
    pub lm_head: bool,
    /// K, 0 where there is no classifier.
    pub classes: usize,
}

impl Parts {
    /// The parts of a checkpoint.
    #[must_use]
    pub fn of(config: &Config, weights: &Weights) -> Self {
        let side = |name: &str, place: usize| {
            let (_, shape) = weights.stored_as(name)?;
            shape.get(place).copied().filter(|rows| (1..=PLACES_MAX).contains(rows))
        };
        let places = if config.pos_encode { side(PLACES, 1) } else { side(PLACES_LEARNT, 0) };
        Self {
            places: places.unwrap_or(config.max_len + SPARE_PLACES),
            lm_head: weights.has(LM_HEAD),
            classes: side(CLASSIFIER, 0).unwrap_or(0),
        }
    }

    /// The parts of a new model.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let Config { max_len, lm_head, num_classes, .. } = *config;
        Self { places: max_len + SPARE_PLACES, lm_head, classes: num_classes }
    }
}

/// Columns that attention takes for a head of `width`.
pub(super) fn frame(width: usize) -> usize {
    width.next_multiple_of(8)
}

/// The published sinusoid `[rows, width]`: sines in even columns, cosines in odd ones.
pub(super) fn sinusoid([rows, width]: [usize; 2]) -> Vec<f32> {
    let angle = |place: usize, column: usize| {
        let even = (column - column % 2) as f64;
        place as f64 * BASE.powf(-even / width as f64)
    };
    let number = |place: usize, column: usize| match column % 2 {
        0 => angle(place, column).sin() as f32,
        _ => angle(place, column).cos() as f32,
    };
    (0..rows).flat_map(|place| (0..width).map(move |column| number(place, column))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plus_tfm::PlusTfm;
    use pliant_kernels::{Device, Precision};
    use std::path::Path;

    fn read(text: &str) -> Result<Config, ModelError> {
        Config::read(&Fields::parse(Path::new("MODEL.json"), text)?)
    }

    const PUBLISHED: &str = r#"{"model_type": "TFM", "num_layers": 12, "hidden_dim": 768, "num_heads": 12,
        "feedforward_dim": 3072, "pos_encode": true, "max_len": 512, "dropout": 0.1}"#;

    /// Counted from the published code; the sinusoid of 395,520 numbers is no parameter.
    #[test]
    fn the_published_size_has_the_published_number_of_parameters() {
        let config = read(PUBLISHED).unwrap();
        assert_eq!((config.training_length(), config.head_width()), (510, 64));
        let plan = Weights::random(0, &Device::cpu(1).unwrap(), Precision::F32);
        PlusTfm::new(&config, Parts::new(&config), &plan).unwrap();
        let parameters: usize = plan.planned().iter().map(|t| t.shape.iter().product::<usize>()).sum();
        assert_eq!(parameters, 85_670_427 + 395_520);
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (key, value, words) in [
            ("num_heads", "7", "a divisor of \"hidden_dim\", which is 768"),
            ("num_heads", "2", "makes them 384 wide"),
            ("max_len", "3", "\"max_len\" is 3"),
            ("dropout", "1.0", "\"dropout\" is 1.0, wanted a number from 0, below 1"),
            ("input_dim", "22", "\"input_dim\" is 22"),
            ("hiden_dim", "22", "\"hiden_dim\" is 22, wanted none but"),
        ] {
            let error = read(&format!(r#"{{"model_type": "TFM", "{key}": {value}}}"#)).unwrap_err();
            assert!(error.to_string().contains(words), "wanted {words}: {error}");
        }
    }

    #[test]
    fn the_sinusoid_begins_as_published() {
        let table = sinusoid([3, 4]);
        assert_eq!(table[..4], [0.0, 1.0, 0.0, 1.0]);
        let near = |found: f32, wanted: f64| assert!((f64::from(found) - wanted).abs() < 1e-7, "{found}");
        near(table[4], 1f64.sin());
        near(table[7], 0.01f64.cos());
        near(table[10], 0.02f64.sin());
    }
}
