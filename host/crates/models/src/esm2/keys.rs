//! How files spell the parameters of ESM-2.
//!
//! Canonical is what transformers 4 writes for `EsmForMaskedLM`. Other spellings:
//!
//! | stored | canonical | written by |
//! |---|---|---|
//! | no `esm.` before `embeddings`, `encoder`, `contact_head` | with it | a bare `EsmModel` |
//! | `….LayerNorm.gamma`, `….LayerNorm.beta` | `….LayerNorm.weight`, `….LayerNorm.bias` | transformers 5, for the two norms inside a layer |
//! | `encoder.layer.*.attention.self.rotary_embeddings.inv_freq` with a literal star | [`SHARED_INV_FREQ`] | transformers 5 |
//! | `rotary_embeddings.inv_freq` | [`SHARED_INV_FREQ`] | transformers 5, as the name stands in memory |
//! | `lm_head.decoder.weight` alone | [`EMBEDDING`] | writers that keep the other name of a tied tensor |
//! | `layers.0.self_attn.q_proj.weight` and its like, after `encoder.sentence_encoder.` or `encoder.` | [`fair_esm`] | fair-esm |

use pliant_nn::Meaning;

use crate::identity::{INV_FREQ, SHARED_INV_FREQ};

/// The embedding table `[V,C]`.
pub(crate) const EMBEDDING: &str = "esm.embeddings.word_embeddings.weight";

/// The decoder of the language-model head `[V,C]`.
pub(crate) const DECODER: &str = "lm_head.decoder.weight";

/// Place of the contact head, and its weight `[1, N·H]`.
pub(crate) const CONTACT_HEAD: &str = "esm.contact_head.regression";
pub(crate) const CONTACT_WEIGHT: &str = "esm.contact_head.regression.weight";

/// Name of the frequencies of one layer.
pub(crate) fn layer_inv_freq(layer: usize) -> String {
    format!("esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq")
}

/// What each stored name means. With `tied` a decoder without an embedding is the embedding.
pub(crate) fn meanings(stored: &[&str], tied: bool) -> Vec<Meaning> {
    let mut meanings: Vec<Meaning> = stored.iter().map(|name| meaning(name)).collect();
    let is = |name: &'static str| move |meaning: &Meaning| *meaning == Meaning::Parameter(name.to_owned());
    if tied && !meanings.iter().any(is(EMBEDDING)) {
        let decoder = meanings.iter().position(is(DECODER));
        if let Some(decoder) = decoder {
            meanings[decoder] = Meaning::Parameter(EMBEDDING.to_owned());
        }
    }
    meanings
}

fn meaning(stored: &str) -> Meaning {
    if let Some(canonical) = fair_esm(stored) {
        return Meaning::Parameter(canonical);
    }
    if stored.starts_with("lm_head.") {
        return Meaning::Parameter(stored.to_owned());
    }
    let body = stored.strip_prefix("esm.").unwrap_or(stored);
    if is_extra(body) {
        return Meaning::Extra;
    }
    if matches!(body, INV_FREQ | "encoder.layer.*.attention.self.rotary_embeddings.inv_freq") {
        return Meaning::Parameter(SHARED_INV_FREQ.to_owned());
    }
    let canonical = match body.rsplit_once('.') {
        Some((norm, "gamma")) if norm.ends_with(".LayerNorm") => format!("esm.{norm}.weight"),
        Some((norm, "beta")) if norm.ends_with(".LayerNorm") => format!("esm.{norm}.bias"),
        _ => format!("esm.{body}"),
    };
    Meaning::Parameter(canonical)
}

/// The parts of a layer as fair-esm names them, and here.
const FAIR_ESM_LAYER: [(&str, &str); 9] = [
    ("self_attn.q_proj", "attention.self.query"),
    ("self_attn.k_proj", "attention.self.key"),
    ("self_attn.v_proj", "attention.self.value"),
    ("self_attn.out_proj", "attention.output.dense"),
    ("self_attn.rot_emb", "attention.self.rotary_embeddings"),
    ("self_attn_layer_norm", "attention.LayerNorm"),
    ("fc1", "intermediate.dense"),
    ("fc2", "output.dense"),
    ("final_layer_norm", "LayerNorm"),
];

/// The canonical name of a parameter that fair-esm names in its own way; `None` for any other name.
fn fair_esm(stored: &str) -> Option<String> {
    let prefixes = ["encoder.sentence_encoder.", "encoder."];
    let body = prefixes.iter().find_map(|prefix| stored.strip_prefix(prefix)).unwrap_or(stored);
    if body == "embed_tokens.weight" {
        return Some(EMBEDDING.to_owned());
    }
    if let Some(layer) = body.strip_prefix("layers.") {
        let (number, part) = layer.split_once('.')?;
        let (part, end) = part.rsplit_once('.')?;
        let (_, canonical) = FAIR_ESM_LAYER.iter().find(|(name, _)| *name == part)?;
        return Some(format!("esm.encoder.layer.{number}.{canonical}.{end}"));
    }
    if body.starts_with("emb_layer_norm_after.") {
        return Some(format!("esm.encoder.{body}"));
    }
    if body.starts_with("contact_head.") {
        return Some(format!("esm.{body}"));
    }
    match body.strip_prefix("lm_head.")? {
        "weight" => Some(DECODER.to_owned()),
        _ if body != stored => Some(body.to_owned()),
        _ => None,
    }
}

/// Tensors that Hugging Face writes and no ESM-2 computes with: a table of positions that rotary
/// embedding replaced, position numbers, an untrained pooler, and heads of tasks.
fn is_extra(body: &str) -> bool {
    let starts = ["classifier.", "pooler."];
    matches!(body, "embeddings.position_embeddings.weight" | "embeddings.position_ids")
        || starts.iter().any(|start| body.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(stored: &str) -> Option<String> {
        match meaning(stored) {
            Meaning::Parameter(name) => Some(name),
            Meaning::Extra => None,
        }
    }

    #[test]
    fn every_spelling_has_one_canonical_name() {
        for (stored, wanted) in [
            ("encoder.layer.3.output.dense.bias", "esm.encoder.layer.3.output.dense.bias"),
            ("esm.encoder.layer.3.output.dense.bias", "esm.encoder.layer.3.output.dense.bias"),
            ("esm.encoder.layer.0.LayerNorm.gamma", "esm.encoder.layer.0.LayerNorm.weight"),
            ("encoder.layer.0.attention.LayerNorm.beta", "esm.encoder.layer.0.attention.LayerNorm.bias"),
            ("esm.encoder.layer.*.attention.self.rotary_embeddings.inv_freq", SHARED_INV_FREQ),
            ("encoder.layer.*.attention.self.rotary_embeddings.inv_freq", SHARED_INV_FREQ),
            ("rotary_embeddings.inv_freq", SHARED_INV_FREQ),
            ("contact_head.regression.bias", "esm.contact_head.regression.bias"),
            ("lm_head.layer_norm.weight", "lm_head.layer_norm.weight"),
            ("encoder.sentence_encoder.embed_tokens.weight", EMBEDDING),
            ("embed_tokens.weight", EMBEDDING),
            ("encoder.lm_head.weight", DECODER),
            ("lm_head.weight", DECODER),
            ("encoder.lm_head.layer_norm.bias", "lm_head.layer_norm.bias"),
            ("encoder.sentence_encoder.emb_layer_norm_after.bias", "esm.encoder.emb_layer_norm_after.bias"),
            ("emb_layer_norm_after.bias", "esm.encoder.emb_layer_norm_after.bias"),
            (
                "encoder.sentence_encoder.layers.11.self_attn.k_proj.bias",
                "esm.encoder.layer.11.attention.self.key.bias",
            ),
            ("layers.0.final_layer_norm.weight", "esm.encoder.layer.0.LayerNorm.weight"),
            ("layers.0.fc2.bias", "esm.encoder.layer.0.output.dense.bias"),
            (
                "layers.5.self_attn.rot_emb.inv_freq",
                "esm.encoder.layer.5.attention.self.rotary_embeddings.inv_freq",
            ),
            ("layers.0.self_attn.bias_k", "esm.layers.0.self_attn.bias_k"),
            ("encoder.sentence_encoder.version", "esm.encoder.sentence_encoder.version"),
        ] {
            assert_eq!(canonical(stored).as_deref(), Some(wanted), "{stored}");
        }
        for extra in [
            "esm.embeddings.position_ids",
            "pooler.dense.weight",
            "esm.pooler.dense.bias",
            "classifier.dense.bias",
        ] {
            assert_eq!(meaning(extra), Meaning::Extra, "{extra}");
        }
    }

    #[test]
    fn a_decoder_without_an_embedding_is_the_embedding_when_tied() {
        let parameters = |names: &[&str]| -> Vec<Meaning> {
            names.iter().map(|name| Meaning::Parameter((*name).to_owned())).collect()
        };
        assert_eq!(meanings(&[DECODER], true), parameters(&[EMBEDDING]));
        assert_eq!(meanings(&[DECODER], false), parameters(&[DECODER]));
        let both = meanings(&["embeddings.word_embeddings.weight", DECODER], true);
        assert_eq!(both, parameters(&[EMBEDDING, DECODER]));
    }
}
