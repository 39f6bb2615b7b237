//! What the families of PLUS have in common: how their files name parameters, and what is no encoder.
//!
//! Canonical names are those that mswzeus/PLUS saves. Files that were saved from several GPUs begin every name with
//! `module.`. Heads of tasks are saved in files of their own, and are known by their names.

use std::path::Path;

use pliant_nn::Meaning;

use crate::error::ModelError;

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
