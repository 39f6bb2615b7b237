//! What an LC-PLM is: its published `config.json`, read as the published code reads it.
//!
//! `layer` outside of `ssm_cfg` is ignored there, and `pad_token_id` is only what its loss leaves out, so neither says
//! anything here. `tie_embeddings` is never read there either: a head that is stored is the head, whatever it says; here
//! it makes the embedding the head where none is stored, and in new models.

use std::collections::BTreeMap;

use pliant_kernels::ops::{conv1d, selective_scan};
use pliant_nn::{MambaSizes, Strategy};
use serde_json::Value;

use crate::config::{Fields, LAYERS_MAX, WIDTH_MAX, shortest};
use crate::error::ModelError;
use crate::family::LmHeadKind;

/// Tokens of the vocabulary, the first rows of the table.
const VOCABULARY: usize = 33;

/// Most rows that a table may have.
const ROWS_MAX: usize = 1 << 16;

/// Widest scan, in widths of the model.
const EXPAND_MAX: usize = 64;

/// What is known of `ssm_cfg`.
const SSM_KEYS: [&str; 13] = [
    "layer",
    "d_state",
    "d_conv",
    "expand",
    "dt_rank",
    "dt_min",
    "dt_max",
    "dt_init",
    "dt_scale",
    "dt_init_floor",
    "conv_bias",
    "bias",
    "use_fast_path",
];

/// Names of the strategies.
const STRATEGIES: [(&str, Strategy); 2] = [("add", Strategy::Add), ("ew_multiply", Strategy::Multiply)];

/// What a model is, named as in the published `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// C
    pub d_model: usize,
    /// Blocks.
    pub n_layer: usize,
    /// Rows of the table before they are filled up.
    pub vocab_size: usize,
    /// The number of rows is a multiple of this.
    pub pad_vocab_size_multiple: usize,
    /// ε of every norm.
    pub norm_epsilon: f32,
    /// What the results of the two directions become.
    pub bidirectional_strategy: Strategy,
    /// Whether the embedding is the head where no head is stored.
    pub tie_embeddings: bool,
    /// The mixer.
    pub ssm_cfg: SsmConfig,
    /// Standard deviation of a random embedding.
    pub initializer_range: f32,
}

/// What a mixer is, named as in the published `ssm_cfg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SsmConfig {
    /// N
    pub d_state: usize,
    /// K
    pub d_conv: usize,
    /// E in units of C.
    pub expand: usize,
    /// Width through which steps are made.
    pub dt_rank: usize,
}

impl Config {
    /// Reads and checks a config. Where a key is absent the defaults of the published code hold, but for the sizes.
    pub(crate) fn read(fields: &Fields) -> Result<Self, ModelError> {
        for key in ["rms_norm", "residual_in_fp32", "bidirectional", "bidirectional_weight_tie", "weight_tie"]
        {
            fields.must_be_on(key, true)?;
        }
        fields.must_be_number("d_intermediate", 0.0)?;
        if fields
            .get("attn_layer_idx")
            .is_some_and(|layers| layers.as_array().is_none_or(|all| !all.is_empty()))
        {
            let wanted = "an empty list or null: attention is not supported";
            return Err(fields.refuse("attn_layer_idx", wanted.to_owned()));
        }
        let strategy = strategy(fields)?;
        let initializer = fields.section("initializer_cfg")?;
        initializer.only(&["initializer_range"])?;
        let d_model = fields.count("d_model", 1..=WIDTH_MAX, None)?;
        let config = Self {
            d_model,
            n_layer: fields.count("n_layer", 1..=LAYERS_MAX, None)?,
            vocab_size: fields.count("vocab_size", VOCABULARY..=ROWS_MAX, Some(VOCABULARY))?,
            pad_vocab_size_multiple: fields.count("pad_vocab_size_multiple", 1..=ROWS_MAX, Some(8))?,
            norm_epsilon: fields.positive("norm_epsilon", 1e-5)?,
            bidirectional_strategy: strategy,
            tie_embeddings: fields.flag("tie_embeddings", false)?,
            ssm_cfg: SsmConfig::read(&fields.section("ssm_cfg")?, d_model)?,
            initializer_range: initializer.positive("initializer_range", 0.02)?,
        };
        Ok(config)
    }

    /// V, rows of the table.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.vocab_size.next_multiple_of(self.pad_vocab_size_multiple)
    }

    /// Sizes of the mixers.
    #[must_use]
    pub fn sizes(&self) -> MambaSizes {
        let SsmConfig { d_state, d_conv, expand, dt_rank } = self.ssm_cfg;
        let inner = expand * self.d_model;
        MambaSizes { width: self.d_model, inner, states: d_state, filter: d_conv, rank: dt_rank }
    }

    /// Bytes held of every token: the stream, an input and a result of the scans, and copies of the stream where the
    /// tiles of a layer are joined.
    pub(crate) fn bytes_per_token(&self) -> usize {
        let MambaSizes { width, .. } = self.sizes();
        self.least_bytes_per_token() + 4 * 2 * width
    }

    /// Bytes held of every token while a block runs.
    pub(crate) fn least_bytes_per_token(&self) -> usize {
        let MambaSizes { width, inner, .. } = self.sizes();
        4 * (width + 2 * inner)
    }

    /// Bytes held of every token of a tile beside those: filtered input, steps, the other direction, gate, gated, and
    /// what goes into the products.
    pub(crate) fn tile_bytes_per_token(&self) -> usize {
        let MambaSizes { width, inner, states, rank, .. } = self.sizes();
        4 * (2 * width + 5 * inner + 2 * states + rank)
    }

    /// Name of the strategy.
    pub(crate) fn strategy(&self) -> &'static str {
        let named = |(_, strategy): &&(_, Strategy)| *strategy == self.bidirectional_strategy;
        STRATEGIES.iter().find(named).map_or("add", |(name, _)| name)
    }

    /// Everything that changes a number of this model with its head, by key, in canonical form.
    pub(crate) fn semantics(&self, head: LmHeadKind) -> BTreeMap<&'static str, Value> {
        let MambaSizes { inner, states, filter, rank, .. } = self.sizes();
        BTreeMap::from([
            ("family", "lc_plm".into()),
            ("layer", "Mamba1".into()),
            ("d_model", self.d_model.into()),
            ("n_layer", self.n_layer.into()),
            ("vocab_size", self.rows().into()),
            ("norm_epsilon", shortest(self.norm_epsilon)),
            ("bidirectional_strategy", self.strategy().into()),
            ("bidirectional_weight_tie", true.into()),
            ("d_inner", inner.into()),
            ("d_state", states.into()),
            ("d_conv", filter.into()),
            ("dt_rank", rank.into()),
            ("lm_head", head.name().into()),
        ])
    }
}

/// What the results of the two directions become; the key is found in two spellings.
fn strategy(fields: &Fields) -> Result<Strategy, ModelError> {
    let names = STRATEGIES.map(|(name, _)| name);
    let mut found = None;
    for key in ["bidirectional_strategy", "strategy"] {
        if fields.get(key).is_none() {
            continue;
        }
        let (name, strategy) = STRATEGIES[fields.one_of(key, &names)?];
        if found.replace(strategy).is_some_and(|first| first != strategy) {
            return Err(fields.refuse("bidirectional_strategy", format!("\"{name}\", as \"strategy\" says")));
        }
    }
    Ok(found.unwrap_or(Strategy::Add))
}

impl SsmConfig {
    fn read(fields: &Fields, d_model: usize) -> Result<Self, ModelError> {
        fields.only(&SSM_KEYS)?;
        fields.must_be("layer", "Mamba1", "Mamba1")?;
        fields.must_be("dt_init", "random", "random")?;
        for (key, default) in [("dt_min", 1e-3), ("dt_max", 0.1), ("dt_scale", 1.0), ("dt_init_floor", 1e-4)]
        {
            fields.must_be_number(key, default)?;
        }
        fields.must_be_on("conv_bias", true)?;
        fields.must_be_off("bias")?;
        let automatic = fields.get("dt_rank").is_none_or(|rank| rank.as_str() == Some("auto"));
        Ok(Self {
            d_state: fields.count("d_state", 1..=selective_scan::STATES_MAX, Some(16))?,
            d_conv: fields.count("d_conv", 1..=conv1d::FILTER_MAX, Some(4))?,
            expand: fields.count("expand", 1..=EXPAND_MAX, Some(2))?,
            dt_rank: match automatic {
                true => d_model.div_ceil(16),
                false => fields.count("dt_rank", 1..=WIDTH_MAX, None)?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lc_plm::LcPlm;
    use pliant_kernels::{Device, Precision};
    use pliant_nn::Weights;
    use std::path::Path;

    fn read(text: &str) -> Result<Config, ModelError> {
        Config::read(&Fields::parse(Path::new("config.json"), text)?)
    }

    /// The published config, and the ladder of Mamba's sizes (arXiv 2312.00752) with shared projections.
    #[test]
    fn published_sizes_have_the_published_number_of_parameters() {
        let device = Device::cpu(1).unwrap();
        for (width, layers, published) in [(1536, 48, 752_788_992usize), (768, 24, 96_283_392)] {
            let text = format!(
                r#"{{"d_model": {width}, "n_layer": {layers}, "vocab_size": 128, "pad_vocab_size_multiple": 128,
                    "ssm_cfg": {{}}, "attn_layer_idx": null, "tie_embeddings": false, "layer": "Mamba2",
                    "pad_token_id": -100}}"#
            );
            let config = read(&text).unwrap();
            assert_eq!((config.rows(), config.ssm_cfg.dt_rank), (128, width / 16));
            let plan = Weights::random(0, &device, Precision::F32);
            LcPlm::new(&config, LmHeadKind::Own, &plan).unwrap();
            let planned = plan.planned();
            assert_eq!(planned.len(), 3 + layers * 17);
            let parameters: usize = planned.iter().map(|t| t.shape.iter().product::<usize>()).sum();
            assert_eq!(parameters, published);
        }
    }

    #[test]
    fn absent_keys_mean_what_the_published_code_means() {
        let config = read(r#"{"d_model": 40, "n_layer": 2}"#).unwrap();
        assert_eq!((config.rows(), config.norm_epsilon, config.strategy()), (40, 1e-5, "add"));
        let sizes = MambaSizes { width: 40, inner: 80, states: 16, filter: 4, rank: 3 };
        assert_eq!(config.sizes(), sizes);
        let other = r#"{"d_model": 40, "n_layer": 2, "bidirectional_strategy": "ew_multiply",
            "ssm_cfg": {"layer": "Mamba1", "d_state": 4, "d_conv": 2, "expand": 1, "dt_rank": 7}}"#;
        let other = read(other).unwrap();
        let sizes = MambaSizes { width: 40, inner: 40, states: 4, filter: 2, rank: 7 };
        assert_eq!((other.sizes(), other.strategy()), (sizes, "ew_multiply"));
        let short = r#"{"d_model": 40, "n_layer": 2, "strategy": "ew_multiply", "weight_tie": true}"#;
        assert_eq!(read(short).unwrap().strategy(), "ew_multiply");
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (key, value, words) in [
            ("rms_norm", "false", "\"rms_norm\" is false, wanted true"),
            ("bidirectional", "false", "\"bidirectional\" is false, wanted true"),
            ("bidirectional_weight_tie", "false", "wanted true: nothing else is supported"),
            ("residual_in_fp32", "false", "\"residual_in_fp32\" is false"),
            ("d_intermediate", "64", "\"d_intermediate\" is 64, wanted 0"),
            ("attn_layer_idx", "[3]", "attention is not supported"),
            ("weight_tie", "false", "\"weight_tie\" is false"),
            ("strategy", "\"max\"", "wanted \"add\" or \"ew_multiply\""),
            ("bidirectional_strategy", "\"max\"", "wanted \"add\" or \"ew_multiply\""),
            ("vocab_size", "32", "\"vocab_size\" is 32"),
            ("ssm_cfg", "7", "\"ssm_cfg\" is 7, wanted an object"),
            ("ssm_cfg", r#"{"layer": "Mamba2"}"#, "\"ssm_cfg.layer\" is \"Mamba2\", wanted \"Mamba1\""),
            ("ssm_cfg", r#"{"headdim": 64}"#, "\"ssm_cfg.headdim\" is 64"),
            ("ssm_cfg", r#"{"d_state": 100000}"#, "\"ssm_cfg.d_state\" is 100000"),
            ("ssm_cfg", r#"{"bias": true}"#, "\"ssm_cfg.bias\" is true"),
            ("ssm_cfg", r#"{"dt_rank": "some"}"#, "\"ssm_cfg.dt_rank\" is \"some\""),
            ("initializer_cfg", r#"{"rescale_prenorm_residual": false}"#, "initializer_cfg.rescale_prenorm"),
        ] {
            let error = read(&format!(r#"{{"d_model": 40, "n_layer": 2, "{key}": {value}}}"#)).unwrap_err();
            assert!(error.to_string().contains(words), "wanted {words}: {error}");
        }
    }
}
