//! A tiny ESM-2 masked language model against transformers: states, logits, loss and every gradient.

use std::fs;

use pliant_kernels::Precision;
use pliant_models::Purpose;
use pliant_tensor::ops::cross_entropy;
use pliant_tensor::ops::cross_entropy::IGNORE;
use pliant_tensor::{Ids, Tape};

use crate::common::{
    Tensors, assert_close, device, distance, folder, loaded, outside_data, pack, read_tensors,
};

/// Gradients are small, so an absolute tolerance would pass zeros: their distance is measured against
/// the norm of the whole gradient. Both programs sum in 32 bits, over at most some hundred terms.
const GRADIENT_TOLERANCE: f64 = 2e-5;

const LAYERS: usize = 3;

struct Reference {
    config: String,
    tensors: Tensors,
}

impl Reference {
    fn open(proof: &str) -> Option<Self> {
        let data = outside_data(proof)?.join("golden_reference_numerics");
        let config = fs::read_to_string(data.join("esm2_tiny_mlm_config.json")).unwrap();
        Some(Self { config, tensors: read_tensors(&data.join("esm2_tiny_mlm.safetensors")) })
    }

    fn weights(&self) -> Tensors {
        let weight =
            |(name, stored): (&String, _)| Some((name.strip_prefix("w.")?.to_owned(), Clone::clone(stored)));
        self.tensors.iter().filter_map(weight).collect()
    }

    /// Which positions of the padded batch are tokens.
    fn kept(&self) -> Vec<usize> {
        let mask = self.tensors["attention_mask"].integers();
        (0..mask.len()).filter(|&at| mask[at] == 1).collect()
    }

    fn sequences(&self) -> Vec<Vec<u32>> {
        let ids = &self.tensors["input_ids"];
        let (values, length) = (ids.integers(), ids.shape[1]);
        let mut sequences = vec![Vec::new(); ids.shape[0]];
        self.kept().into_iter().for_each(|at| sequences[at / length].push(values[at] as u32));
        sequences
    }

    fn targets(&self) -> Vec<u32> {
        let labels = self.tensors["labels"].integers();
        self.kept().into_iter().map(|at| u32::try_from(labels[at]).unwrap_or(IGNORE)).collect()
    }

    /// The rows of tokens in a padded result `[B,L,C]`.
    fn rows(&self, name: &str) -> Vec<f32> {
        let stored = &self.tensors[name];
        let (values, width) = (stored.values(), stored.shape[2]);
        self.kept().into_iter().flat_map(|at| values[at * width..][..width].to_vec()).collect()
    }
}

/// `‖found − wanted‖ / ‖wanted‖`
fn relative(found: &[f32], wanted: &[f32]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let apart = norm(&mut found.iter().zip(wanted).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    apart / norm(&mut wanted.iter().map(|&value| f64::from(value)))
}

#[test]
fn states_logits_loss_and_gradients_are_those_of_transformers() {
    let Some(reference) = Reference::open("tiny masked language model") else { return };
    let device = device();
    let folder = folder(&reference.config, &reference.weights());
    let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Training);
    let model = &loaded.model;
    let tape = Tape::on(&device, Precision::F32);
    let (ids, offsets) = pack(&device, &reference.sequences());
    let hidden = model.encode(&tape, &ids, &offsets, &[0, 1, 2, 3]).unwrap();
    for (layer, hidden) in hidden.iter().enumerate() {
        let name = format!("hidden_{layer}");
        assert_close(&name, &hidden.to_vec_f32(), &reference.rows(&name));
    }
    let logits = model.lm_logits(&tape, &hidden[LAYERS]).unwrap();
    assert_close("logits", &logits.to_vec_f32(), &reference.rows("logits"));
    let targets = Ids::new(&device, &reference.targets());
    let loss = cross_entropy(&tape, &logits, &targets).unwrap();
    let wanted = reference.tensors["loss"].values();
    assert_close("loss", &loss.to_vec_f32(), &wanted);

    drop((hidden, logits));
    tape.backward(&loss).unwrap();
    let mut left: Vec<&String> = reference.tensors.keys().filter(|name| name.starts_with("grad.")).collect();
    let mut worst = 0.0f64;
    for param in model.params() {
        let name = format!("grad.{}", param.name());
        let (found, wanted) = (param.grad(), reference.tensors[&name].values());
        assert_close(&name, &found, &wanted);
        let apart = relative(&found, &wanted);
        assert!(apart <= GRADIENT_TOLERANCE, "{name}: {apart:.1e} of its norm");
        worst = worst.max(apart);
        left.retain(|left| **left != name);
    }
    assert!(left.is_empty(), "no parameter for {left:?}");
    println!("{} gradients, worst {worst:.1e} of its norm", model.params().len());
    let factor = 1.0 + 10.0 * GRADIENT_TOLERANCE as f32;
    let moved: Vec<f32> = wanted.iter().map(|value| value * factor).collect();
    assert!(relative(&wanted, &moved) > GRADIENT_TOLERANCE, "the tolerance of gradients does not bite");
}

/// Without a decoder of its own in the file, or with nothing but the decoder, the tied table serves both.
#[test]
fn a_tied_table_may_have_either_name_or_both() {
    let Some(reference) = Reference::open("tied decoder") else { return };
    let (decoder, embedding) = ("lm_head.decoder.weight", "esm.embeddings.word_embeddings.weight");
    let device = device();
    let mut identities = Vec::new();
    for removed in [None, Some(decoder), Some(embedding)] {
        let mut weights = reference.weights();
        removed.map(|name| weights.remove(name).unwrap());
        let folder = folder(&reference.config, &weights);
        let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Inference);
        let tape = Tape::off(&device, Precision::F32);
        let (ids, offsets) = pack(&device, &reference.sequences());
        let hidden = loaded.model.encode(&tape, &ids, &offsets, &[LAYERS]).unwrap();
        let logits = loaded.model.lm_logits(&tape, &hidden[0]).unwrap();
        assert!(distance(&logits.to_vec_f32(), &reference.rows("logits")) <= 1.0);
        identities.push((loaded.identity, loaded.about.parameters));
    }
    assert_eq!(identities[0], identities[1]);
    assert_eq!(identities[0], identities[2]);
}
