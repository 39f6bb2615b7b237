//! What the families of PLUS have in common: how their files name parameters, and what is no encoder.
//!
//! Canonical names are those that mswzeus/PLUS saves. Files that were saved from several GPUs begin every name with
//! `module.`. Heads of tasks are saved in files of their own, and are known by their names.

mod pairs;

use std::path::Path;

use pliant_nn::{Meaning, Weights};
use serde_json::{Value, json};

use crate::about::Cost;
use crate::config::Fields;
use crate::error::ModelError;

use pairs::ORDINAL;
pub(crate) use pairs::PairHead;

/// What training on several GPUs puts before every name.
const WRAPPER: &str = "module.";

/// Names of the two kinds of heads that PLUS saves apart: how they begin, and what they are.
const HEADS: [(&[&str], &str); 2] = [
    (&["attention.", "hidden.", "output."], "the prediction layers of a task"),
    (&["conv1.", "conv2."], "a head for contact maps"),
];

/// Why no family of PLUS can be exported for transformers.
pub(crate) const NOT_IN_TRANSFORMERS: &str =
    "Hugging Face transformers has no PLUS; --plus writes the form of its authors";

/// Most ordered classes of a head for pairs.
const CLASSES_MAX: usize = 1 << 12;

/// What a config of a recurrent model leaves open and the checkpoint decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Whether there is a language-model head.
    pub decoder: bool,
    /// K, one less than the ordered classes of pairs; 0 where there is no head for pairs.
    pub levels: usize,
}

impl Parts {
    /// The parts of a checkpoint. Heads of one class are stored without a number, and are none.
    pub(crate) fn of(weights: &Weights) -> Self {
        let levels = weights.stored_as(ORDINAL[1]).and_then(|(_, shape)| shape.first().copied());
        Self { decoder: weights.has("decoder.weight"), levels: levels.unwrap_or(0) }
    }

    /// The ordered classes of pairs, 0 for no head.
    pub(crate) fn classes(self) -> usize {
        if self.levels == 0 { 0 } else { self.levels + 1 }
    }

    /// The keys that say so in a config.
    pub(crate) fn settled(self) -> Vec<(&'static str, Value)> {
        vec![("decoder", json!(self.decoder)), ("num_classes", json!(self.classes()))]
    }

    /// What is not there.
    pub(crate) fn absent(self) -> Vec<&'static str> {
        let parts = [
            (self.decoder, "the language-model head (decoder.*)"),
            (self.levels > 0, "the head for pairs (ordinal_weight, ordinal_bias)"),
        ];
        parts.into_iter().filter(|(there, _)| !there).map(|(_, what)| what).collect()
    }
}

/// The parts of a new model: as in pretraining, where the config does not say otherwise.
pub(crate) fn begun(fields: &Fields) -> Result<Parts, ModelError> {
    let classes = fields.count("num_classes", 0..=CLASSES_MAX, Some(2))?;
    Ok(Parts { decoder: fields.flag("decoder", true)?, levels: classes.saturating_sub(1) })
}

/// Whether a config is the authors' of a recurrent model of that type.
pub(crate) fn is_recurrent(fields: &Fields, rnn_type: &str) -> bool {
    let text = |key| fields.get(key).and_then(Value::as_str);
    let is = text("rnn_type") == Some(rnn_type);
    is && text("model_type").is_none_or(|model_type| model_type == "RNN")
}

/// Whether such a config is of a model that reads a language model.
pub(crate) fn reads_language_model(fields: &Fields) -> bool {
    fields.get("lm_proj_dim").is_some_and(|width| width.as_i64() != Some(-1))
}

/// Tokens that are worth computing together by a recurrent model, whose steps take a row of each chain: some seventy
/// proteins of the length that most have, so that a step is worth reading the weights for.
const RECURRENT_PACK_TOKENS: usize = 24_576;

/// What a forward of a recurrent model takes: two operations for each weight and token.
pub(crate) fn recurrent_cost(bytes_per_token: usize, parameters: u64) -> Cost {
    Cost {
        bytes_per_token: bytes_per_token as u64,
        tile_bytes_per_token: 0,
        tile_tokens: 0,
        least_bytes_per_token: bytes_per_token as u64,
        pack_tokens: RECURRENT_PACK_TOKENS,
        flops_per_token: 2.0 * parameters as f64,
        flops_per_pair: 0.0,
    }
}

/// The number of the layer of a recurrent model that a parameter of this canonical name belongs to, after
/// [`Blueprint::layer_of`](crate::family::Blueprint::layer_of): PyTorch ends names with the layer and the direction.
pub(crate) fn layer_of(name: &str, layers: usize) -> Option<usize> {
    if ["fc.", "decoder.", "ordinal_"].iter().any(|start| name.starts_with(start)) {
        return Some(layers);
    }
    let (_, place) = name.strip_prefix("rnn.")?.rsplit_once("_l")?;
    let below = place.strip_suffix("_reverse").unwrap_or(place);
    below.parse::<usize>().ok().map(|below| below + 1)
}

/// The name without what training wraps around it.
pub(crate) fn unwrapped(stored: &str) -> &str {
    stored.strip_prefix(WRAPPER).unwrap_or(stored)
}

/// Which kind of head a canonical name belongs to.
fn head(name: &str) -> Option<&'static str> {
    let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    HEADS.iter().find(|(starts, _)| begins(starts)).map(|(_, what)| *what)
}

/// What each stored name means, where every name is that of a parameter or of the head of a task.
pub(crate) fn meanings(stored: &[&str]) -> Vec<Meaning> {
    let meaning = |name: &&str| match unwrapped(name) {
        name if head(name).is_some() => Meaning::Extra,
        name => Meaning::Parameter(name.to_owned()),
    };
    stored.iter().map(meaning).collect()
}

/// Refuses a file that holds the head of a task alone.
pub(crate) fn refuse_heads<'a>(path: &Path, stored: impl Iterator<Item = &'a str>) -> Result<(), ModelError> {
    let mut what = None;
    for name in stored {
        match head(unwrapped(name)) {
            None => return Ok(()),
            found => what = found,
        }
    }
    match what {
        None => Ok(()),
        Some(what) => Err(ModelError::HeadAlone { path: path.to_owned(), what }),
    }
}

/// The name of the family whose parameters these are, as far as names tell.
pub(crate) fn family_of<'a>(mut stored: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    let known = |name: &str| match unwrapped(name) {
        "fc_lm.weight" | "x_embed.weight" => Some("P-ELMo or PLUS-TFM"),
        "rnn.weight_ih_l0" => Some("PLUS-RNN or P-ELMo"),
        "rnn.0.weight_ih_l0" => Some("the language model of P-ELMo"),
        "transformer.embed.tok_embed.weight" => Some("PLUS-TFM"),
        _ => None,
    };
    stored.find_map(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pytorch_tell_their_layers() {
        let of = |name| layer_of(name, 3);
        assert_eq!((of("rnn.weight_ih_l0"), of("rnn.bias_hh_l2_reverse")), (Some(1), Some(3)));
        assert_eq!(["fc.bias", "decoder.weight", "ordinal_weight"].map(of), [Some(3); 3]);
        assert_eq!(
            ["embed.weight", "fc_lm.weight", "x_embed.weight", "lm.rnn.0.weight_ih_l0"].map(of),
            [None; 4]
        );
    }

    #[test]
    fn wrappers_fall_and_heads_are_known() {
        let found =
            meanings(&["module.rnn.weight_ih_l0", "decoder.bias", "module.hidden.weight", "conv2.bias"]);
        let parameter = |name: &str| Meaning::Parameter(name.to_owned());
        let wanted =
            [parameter("rnn.weight_ih_l0"), parameter("decoder.bias"), Meaning::Extra, Meaning::Extra];
        assert_eq!(found, wanted);
        let refused = |names: &[&str]| {
            let path = Path::new("x.pt");
            refuse_heads(path, names.iter().copied()).map_err(|error| error.to_string())
        };
        assert_eq!(refused(&["hidden.weight", "fc.weight"]), Ok(()));
        assert_eq!(refused(&[]), Ok(()));
        assert!(refused(&["module.hidden.weight", "output.bias"]).unwrap_err().contains("prediction layers"));
        assert!(refused(&["conv1.weight"]).unwrap_err().contains("contact maps"));
    }
}
