//! How files spell the names of adapted matrices.
//!
//! | spelling | written by |
//! |---|---|
//! | `base_model.model.esm.encoder.….query.lora_A.weight` | adapters saved alone, beside a model with a head |
//! | `base_model.model.encoder.….query.lora_A.weight` | the same beside a bare `EsmModel` |
//! | `….base_model.model.encoder.….query.lora_A.default.weight` beside `query.weight` | whole models, peft up to 0.5 |
//! | the same beside `query.base_layer.weight` | whole models, later versions |

use std::collections::BTreeSet;

/// What stands before the names of a model in its wrappers.
const WRAPPER: &str = "base_model.model.";

/// One of the two narrow matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Half {
    A,
    B,
}

/// What a stored name says: the path of the module inside the model, which half, and the name of the adapter where
/// several could be.
pub(super) fn parsed(stored: &str) -> Option<(&str, Half, Option<&str>)> {
    let inside = stored.rfind(WRAPPER).map_or(stored, |at| &stored[at + WRAPPER.len()..]);
    [(".lora_A", Half::A), (".lora_B", Half::B)].into_iter().find_map(|(mark, half)| {
        let (module, end) = inside.rsplit_once(mark)?;
        let name = end.strip_suffix(".weight")?;
        match name.strip_prefix('.') {
            Some(name) if !name.is_empty() && !name.contains('.') => Some((module, half, Some(name))),
            None if name.is_empty() => Some((module, half, None)),
            _ => None,
        }
    })
}

/// The names of adapters in a file.
pub(super) fn adapters<'a>(stored: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    stored.filter_map(parsed).filter_map(|(_, _, name)| name).collect()
}

/// The name that a tensor of a wrapped model has in the model itself; none for the halves of adapters.
pub(super) fn unwrapped(stored: &str) -> Option<String> {
    if parsed(stored).is_some() {
        return None;
    }
    let inside = stored.rfind(WRAPPER).map_or(stored, |at| &stored[at + WRAPPER.len()..]);
    Some(inside.replace(".base_layer.", "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_layouts_are_read() {
        let module = "encoder.layer.3.attention.self.key";
        for (stored, name) in [
            ("base_model.model.encoder.layer.3.attention.self.key.lora_A.weight", None),
            (
                "language_model.base_model.model.encoder.layer.3.attention.self.key.lora_A.default.weight",
                Some("default"),
            ),
            ("encoder.layer.3.attention.self.key.lora_A.mine.weight", Some("mine")),
        ] {
            assert_eq!(parsed(stored), Some((module, Half::A, name)), "{stored}");
        }
        assert_eq!(parsed("base_model.model.x.lora_B.weight"), Some(("x", Half::B, None)));
        for other in
            ["x.lora_A.bias", "x.lora_embedding_A", "x.lora_A.a.b.weight", "x.weight", "x.lora_Aweight"]
        {
            assert_eq!(parsed(other), None, "{other}");
        }
        let base = "language_model.base_model.model.encoder.layer.3.attention.self.key.base_layer.weight";
        assert_eq!(unwrapped(base).as_deref(), Some("encoder.layer.3.attention.self.key.weight"));
        assert_eq!(unwrapped("base_model.model.x.lora_B.weight"), None);
    }
}
