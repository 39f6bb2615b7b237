//! What the proofs of the families of PLUS share: the numbers of the published code, and folders with its weights.

use std::collections::BTreeMap;

use pliant_models::Loaded;
use pliant_tensor::{Offsets, Param};
use tempfile::TempDir;

use crate::common::{Tensors, folder, outside_data, read_tensors};

/// The numbers of `name` in the folder of reference numerics, where there is one.
pub(crate) fn golden(name: &str) -> Option<Tensors> {
    let data = outside_data(&format!("golden numbers of {name}"))?;
    Some(read_tensors(&data.join(format!("golden_reference_numerics/{name}.safetensors"))))
}

/// A model folder with the weights `w.*` of golden numbers.
pub(crate) fn model_of(golden: &Tensors, config: &str) -> TempDir {
    let own = golden
        .iter()
        .filter_map(|(name, stored)| Some((name.strip_prefix("w.")?.to_owned(), stored.clone())));
    folder(config, &own.collect::<BTreeMap<_, _>>())
}

/// The chains of a padded batch `[B,S]`, without their padding.
pub(crate) fn chains(golden: &Tensors, tokens: &str, lengths: &[usize]) -> Vec<Vec<u32>> {
    let stored = &golden[tokens];
    let ids: Vec<u32> = stored.integers().iter().map(|&id| u32::try_from(id).unwrap()).collect();
    let chains = ids.chunks(stored.shape[1]).zip(lengths);
    chains.map(|(chain, &length)| chain[..length].to_vec()).collect()
}

/// Rows of a padded batch `[B,S,C]` that a pack has: of each chain so many from `skipped` on.
pub(crate) fn unpadded(golden: &Tensors, name: &str, lengths: &[usize]) -> Vec<f32> {
    let (stored, values) = (&golden[name], golden[name].values());
    let [_, rows, width] = stored.shape[..] else { panic!("{name}: {:?}", stored.shape) };
    let chains = values.chunks(rows * width).zip(lengths);
    chains.flat_map(|(chain, &length)| chain[..length * width].to_vec()).collect()
}

/// The whole numbers of a tensor as counts.
pub(crate) fn counts(golden: &Tensors, name: &str) -> Vec<usize> {
    golden[name].integers().iter().map(|&count| usize::try_from(count).unwrap()).collect()
}

/// One number.
pub(crate) fn number(golden: &Tensors, name: &str) -> f32 {
    let values = golden[name].values();
    assert_eq!(values.len(), 1, "{name}");
    values[0]
}

/// Borders of residues alone, of chains that have an end on either side.
pub(crate) fn borders(lengths: &[usize]) -> Offsets {
    let mut offsets = vec![0];
    offsets.extend(lengths.iter().scan(0, |end, length| {
        *end += length - 2;
        Some(*end)
    }));
    Offsets::new(&offsets).unwrap()
}

/// The rows of residues in a pack of chains that have an end on either side.
pub(crate) fn residue_rows(lengths: &[usize]) -> Vec<usize> {
    let starts = lengths.iter().scan(0, |start, length| {
        *start += length;
        Some(*start - length)
    });
    starts.zip(lengths).flat_map(|(start, length)| start + 1..start + length - 1).collect()
}

/// Compares the gradients of all parameters with those of PyTorch, which `name` names, and gives how many there were. One that
/// PyTorch has none of must have none here. Distances are relative to the norm of a gradient: 1e-4 is what two orders of f32
/// sums leave over some layers. Some gradients are sums that come to nothing but for rounding, such as those of a bias of keys
/// or of what only differences are taken of, so no norm counts as less than a thousandth of that of all gradients together.
pub(crate) fn compare_gradients(loaded: &Loaded, golden: &Tensors, name: impl Fn(&str) -> String) -> usize {
    let trained = || loaded.model.params().iter().filter(|param| param.is_trainable());
    let wanted_of = |param: &Param| golden[&name(param.name())].values();
    let all = trained().map(|param| norm(&wanted_of(param)).powi(2)).sum::<f64>().sqrt();
    for param in trained() {
        let (found, wanted) = (param.grad(), wanted_of(param));
        if wanted.iter().all(|value| *value == 0.0) {
            assert!(found.iter().all(|value| *value == 0.0), "{}", param.name());
            continue;
        }
        let unit = norm(&wanted).max(all / 1000.0);
        let distance = |wanted: &[f32]| {
            let apart: Vec<f32> = found.iter().zip(wanted).map(|(one, other)| one - other).collect();
            norm(&apart) / unit
        };
        let far = distance(&wanted);
        assert!(far < 1e-4, "gradient of {}: {far}", param.name());
        let mut moved = wanted.clone();
        moved[0] += (unit / 1000.0) as f32;
        assert!(distance(&moved) > 1e-4, "{}: the tolerance does not bite", param.name());
    }
    trained().count()
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}
