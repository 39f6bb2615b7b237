//! How files spell the parameters of LC-PLM.
//!
//! Canonical is what the published file holds. Other spellings:
//!
//! | stored | canonical | written by |
//! |---|---|---|
//! | no `bimamba.` before `backbone` | with it | the model without a head |
//! | `module.` or `model.` before everything | without it | training wrappers |
//! | `mixer.mamba_rev.in_proj.weight`, `mixer.mamba_rev.out_proj.weight` | those of `mamba_fwd`, where these are absent | writers that keep the other name of a tied tensor |

use std::collections::BTreeSet;

use pliant_nn::Meaning;

/// Place of the blocks.
pub(super) const BACKBONE: &str = "bimamba.backbone";

/// The embedding table `[V,C]`.
pub(super) const EMBEDDING: &str = "bimamba.backbone.embedding.weight";

/// The decoder `[V,C]`.
pub(super) const LM_HEAD: &str = "lm_head.weight";

/// The projections that the directions share, after `mixer.mamba_fwd.` and `mixer.mamba_rev.`.
const SHARED: [&str; 2] = ["in_proj.weight", "out_proj.weight"];

/// The shared tensors of a block, under the name that counts and under the other one.
pub(super) fn shared(layer: usize) -> [(String, String); 2] {
    let name =
        |direction: &str, end: &str| format!("{BACKBONE}.layers.{layer}.mixer.mamba_{direction}.{end}");
    SHARED.map(|end| (name("fwd", end), name("rev", end)))
}

/// What each stored name means.
pub(super) fn meanings(stored: &[&str]) -> Vec<Meaning> {
    let names: Vec<String> = stored.iter().map(|name| canonical(name)).collect();
    let there: BTreeSet<&String> = names.iter().collect();
    let meant = |name: &String| match twin(name) {
        Some(first) if !there.contains(&first) => Meaning::Parameter(first),
        _ => Meaning::Parameter(name.clone()),
    };
    names.iter().map(meant).collect()
}

fn canonical(stored: &str) -> String {
    let body = ["module.", "model."].iter().find_map(|prefix| stored.strip_prefix(prefix)).unwrap_or(stored);
    let prefix = if body.starts_with("backbone.") { "bimamba." } else { "" };
    format!("{prefix}{body}")
}

/// The name that counts, of a shared tensor under its other name.
fn twin(name: &str) -> Option<String> {
    let (place, end) = name.split_once(".mixer.mamba_rev.")?;
    SHARED.contains(&end).then(|| format!("{place}.mixer.mamba_fwd.{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_has_one_canonical_name() {
        let norm = "bimamba.backbone.layers.3.norm.weight";
        let parameter = |name: &str| Meaning::Parameter(name.to_owned());
        for stored in
            [norm, "backbone.layers.3.norm.weight", &format!("module.{norm}"), &format!("model.{norm}")]
        {
            assert_eq!(meanings(&[stored]), [parameter(norm)], "{stored}");
        }
        assert_eq!(meanings(&["lm_head.weight"]), [parameter(LM_HEAD)]);
    }

    #[test]
    fn a_shared_tensor_may_have_either_name_or_both() {
        let [(first, second), _] = shared(7);
        let parameter = |name: &String| Meaning::Parameter(name.clone());
        assert_eq!(meanings(&[&second]), [parameter(&first)]);
        assert_eq!(meanings(&[&first, &second]), [parameter(&first), parameter(&second)]);
        let own = "bimamba.backbone.layers.0.mixer.mamba_rev.x_proj.weight";
        assert_eq!(meanings(&[own]), [Meaning::Parameter(own.to_owned())]);
    }
}
