//! Heads: their numbers are those of the original code, pairs have no order, and packs no influence.

use std::collections::BTreeSet;

use pliant_kernels::{Device, Precision};
use pliant_models::heads::{Activation, Given, HeadConfig, HeadKind, LoadedHead, Pooling};
use pliant_models::{Purpose, composition, load};
use pliant_tensor::{Ids, Offsets, Tape, Tensor};

use crate::common::{Stored, Tensors, outside_data, read_tensors, write_tensors};

fn config(kind: HeadKind, inputs: usize, outputs: usize) -> HeadConfig {
    let pooling = kind.pools().then_some(Pooling::Mean);
    HeadConfig {
        kind,
        inputs,
        outputs,
        pooling,
        hidden: None,
        embedding: None,
        activation: Activation::Relu,
        dropout: 0.0,
        standardized: false,
    }
}

fn random(config: &HeadConfig) -> LoadedHead {
    LoadedHead::random(config, 7, (&Device::cpu(1).unwrap(), Precision::F32)).unwrap()
}

fn tensor(rows: usize, width: usize, values: &[f32]) -> Tensor {
    Tensor::from_f32(&Device::cpu(1).unwrap(), [rows, width], values).unwrap()
}

fn off() -> Tape {
    Tape::off(&Device::cpu(1).unwrap(), Precision::F32)
}

fn noise(count: usize) -> Vec<f32> {
    (0..count).map(|place| ((place * 37 + 11) % 101) as f32 / 50.0 - 1.0).collect()
}

fn near(found: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() <= tolerance * (1.0 + wanted.abs()), "{found} {wanted}");
    }
}

/// The tensors of a head whose names begin with `prefix`, as a file of their own.
fn part(tensors: &Tensors, prefix: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let own: Tensors = tensors
        .iter()
        .filter_map(|(name, stored)| Some((name.strip_prefix(prefix)?.to_owned(), stored.clone())))
        .collect();
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("head.safetensors");
    write_tensors(&path, &own);
    (folder, path)
}

#[test]
fn published_heads_give_the_numbers_of_the_original_code() {
    let Some(data) = outside_data("heads of PLUS") else { return };
    let tensors = read_tensors(&data.join("golden_reference_numerics/plus_mlp_heads.safetensors"));
    let device = Device::cpu(1).unwrap();
    let both = [&tensors["x0"], &tensors["x1"]];
    let states: Vec<f32> = both.iter().flat_map(|stored| stored.values()).collect();
    let rows = tensor(10, 48, &states);
    let spans = [(0, 7), (7, 10)];
    for (prefix, kind, outputs, wanted) in [
        ("seq.w.", HeadKind::Sequence, 10, tensors["seq.logits"].values()),
        (
            "res.w.",
            HeadKind::Residue,
            8,
            [tensors["res.logits0"].values(), tensors["res.logits1"].values()].concat(),
        ),
    ] {
        let pooling = (kind == HeadKind::Sequence).then_some(Pooling::Sum);
        let config = HeadConfig { hidden: Some(12), pooling, ..config(kind, 48, outputs) };
        let (_folder, path) = part(&tensors, prefix);
        let head = LoadedHead::load(&path, &config, (&device, Precision::F32), false).unwrap();
        let found = head.forward(&off(), Given::States(&rows, &spans)).unwrap().to_vec_f32();
        // Sums of 48 products of f32 in another order.
        near(&found, &wanted, 2e-5);
        if kind == HeadKind::Sequence {
            let means = HeadConfig { pooling: Some(Pooling::Mean), ..config };
            let head = LoadedHead::load(&path, &means, (&device, Precision::F32), false).unwrap();
            let other = head.forward(&off(), Given::States(&rows, &spans)).unwrap().to_vec_f32();
            assert!(other.iter().zip(&wanted).any(|(a, b)| (a - b).abs() > 1e-2), "the sum matters");
        }
    }
}

#[test]
fn a_pair_has_no_order() {
    for config in [
        config(HeadKind::Symmetric, 6, 3),
        HeadConfig { hidden: Some(5), ..config(HeadKind::Symmetric, 6, 3) },
        HeadConfig { pooling: Some(Pooling::Attention), ..config(HeadKind::Symmetric, 6, 3) },
        HeadConfig { hidden: Some(5), activation: Activation::Tanh, ..config(HeadKind::Average, 6, 3) },
        HeadConfig { pooling: Some(Pooling::Attention), ..config(HeadKind::Average, 6, 1) },
        HeadConfig { pooling: Some(Pooling::Random), ..config(HeadKind::Average, 6, 1) },
        HeadConfig { embedding: Some(4), ..config(HeadKind::Alignment, 6, 3) },
    ] {
        let head = random(&config);
        let values = noise(9 * 6);
        let rows = tensor(9, 6, &values);
        let told = |spans: &[(usize, usize)]| {
            if config.pooling == Some(Pooling::Random) {
                // What the published pooler reads of a protein is one row, that of its first token.
                let spans: Vec<_> = spans.iter().map(|&(from, _)| (from, from + 1)).collect();
                return head.forward(&off(), Given::States(&rows, &spans)).unwrap().to_vec_f32();
            }
            if config.pooling != Some(Pooling::Attention) {
                return head.forward(&off(), Given::States(&rows, spans)).unwrap().to_vec_f32();
            }
            // Sums of attention want their spans in the order of the rows.
            let own: Vec<f32> =
                spans.iter().flat_map(|&(from, to)| values[from * 6..to * 6].to_vec()).collect();
            let middle = spans[0].1 - spans[0].0;
            let spans = [(0, middle), (middle, own.len() / 6)];
            let rows = tensor(own.len() / 6, 6, &own);
            head.forward(&off(), Given::States(&rows, &spans)).unwrap().to_vec_f32()
        };
        let (one, other) = (told(&[(0, 4), (4, 9)]), told(&[(4, 9), (0, 4)]));
        // The score of an alignment sums its rows in another order.
        near(&one, &other, 1e-6);
        let same = told(&[(0, 4), (0, 4)]);
        assert!(one.iter().zip(&same).any(|(a, b)| (a - b).abs() > 1e-4), "{one:?} {same:?}");
    }
}

#[test]
fn neighbours_change_no_bit() {
    for config in [
        config(HeadKind::Sequence, 6, 2),
        HeadConfig { pooling: Some(Pooling::Attention), hidden: Some(7), ..config(HeadKind::Sequence, 6, 2) },
        config(HeadKind::Residue, 6, 2),
    ] {
        let head = random(&config);
        let values = noise(9 * 6);
        let all = tensor(9, 6, &values);
        let together = head.forward(&off(), Given::States(&all, &[(0, 4), (4, 9)])).unwrap().to_vec_f32();
        let second = tensor(5, 6, &values[4 * 6..]);
        let alone = head.forward(&off(), Given::States(&second, &[(0, 5)])).unwrap().to_vec_f32();
        assert_eq!(together[together.len() - alone.len()..], alone, "{config:?}");
    }
}

/// A standardized head is a head of vectors that someone else has standardized; its scale is no parameter that learns.
#[test]
fn a_standardized_head_reads_numbers_of_one_scale() {
    let (means, deviations) = ([3.0, -2.0, 0.5, 7.0, 0.0, 1e6], [0.01, 2.0, 1.0, 0.0, 0.5, 0.1]);
    let values = noise(8 * 6);
    let moved = |place: usize, value: f32| {
        let (mean, deviation) = (means[place % 6], deviations[place % 6]);
        // What does not vary, or by no more than its own rounding, keeps its scale.
        let scale = if deviation > 1e-6 * f64::abs(mean) { deviation } else { 1.0 };
        (scale * f64::from(value) + mean) as f32
    };
    let raw: Vec<f32> = values.iter().enumerate().map(|(place, &value)| moved(place, value)).collect();
    for plain in [
        HeadConfig { hidden: Some(5), ..config(HeadKind::Sequence, 6, 2) },
        HeadConfig { hidden: Some(5), ..config(HeadKind::Symmetric, 6, 2) },
        HeadConfig { activation: Activation::Tanh, ..config(HeadKind::Average, 6, 2) },
    ] {
        let standardized = HeadConfig { standardized: true, ..plain.clone() };
        let (plain, head) = (random(&plain), random(&standardized));
        assert!(plain.standardize(&means, &deviations).is_err());
        assert_eq!(head.params().len(), plain.params().len());
        for (to, from) in head.params().iter().zip(plain.params()) {
            to.set_values(&from.values().unwrap()).unwrap();
        }
        head.standardize(&means, &deviations).unwrap();
        let of = |head: &LoadedHead, values: &[f32]| {
            head.forward(&off(), Given::Vectors(&tensor(8, 6, values))).unwrap().to_vec_f32()
        };
        let wanted = of(&plain, &values);
        // A number of size 1e6 is known to 0.06, which its deviation of 0.1 would make 0.6: it is left as it is.
        near(&of(&head, &raw), &wanted, 0.15);
        let close = |values: &[f32]| -> Vec<f32> {
            values
                .iter()
                .enumerate()
                .map(|(place, &value)| if place % 6 == 5 { 0.0 } else { value })
                .collect()
        };
        let raw: Vec<f32> =
            raw.iter().enumerate().map(|(place, &value)| if place % 6 == 5 { 1e6 } else { value }).collect();
        near(&of(&head, &raw), &of(&plain, &close(&values)), 2e-4);
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("head.safetensors");
        head.save(&path).unwrap();
        let place = (&Device::cpu(1).unwrap(), Precision::F32);
        let again = LoadedHead::load(&path, &standardized, place, false).unwrap();
        assert_eq!(of(&again, &raw), of(&head, &raw));
        let fresh = random(&standardized);
        fresh.restore(&path).unwrap();
        assert_eq!(of(&fresh, &raw), of(&head, &raw));
    }
    let residue = HeadConfig { standardized: true, ..config(HeadKind::Residue, 6, 2) };
    assert!(residue.check().unwrap_err().to_string().contains("standardized"));
}

#[test]
fn what_is_written_comes_back_and_strangers_do_not() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("head.safetensors");
    let config = HeadConfig { hidden: Some(5), ..config(HeadKind::Sequence, 6, 3) };
    let head = random(&config);
    head.save(&path).unwrap();
    let place = (&Device::cpu(1).unwrap(), Precision::F32);
    let again = LoadedHead::load(&path, &config, place, true).unwrap();
    for (one, other) in head.params().iter().zip(again.params()) {
        assert_eq!(one.values().unwrap(), other.values().unwrap());
    }
    let refused =
        |config: &HeadConfig| LoadedHead::load(&path, config, place, false).unwrap_err().to_string();
    assert!(refused(&HeadConfig { hidden: None, ..config.clone() }).contains("head.safetensors"));
    assert!(refused(&HeadConfig { outputs: 4, ..config.clone() }).contains("output.weight"));
    assert!(refused(&HeadConfig { dropout: 1.5, ..config.clone() }).contains("\"dropout\" 1.5"));
    let mut tensors = read_tensors(&path);
    tensors.insert("output.bias".to_owned(), Stored::f32(&[3], &[0.0, f32::NAN, 0.0]));
    write_tensors(&path, &tensors);
    assert!(refused(&config).contains("NaN"));
}

#[test]
fn the_yardstick_knows_letters_and_lengths() {
    let device = Device::cpu(1).unwrap();
    let loaded = composition(&device, Precision::F32).unwrap();
    let ids = Ids::new(&device, &[0, 5, 4, 5, 2, 0, 24, 2]);
    let states = loaded.model.encode(&off(), &ids, &Offsets::new(&[0, 5, 8]).unwrap(), &[0]).unwrap();
    let values = states[0].to_vec_f32();
    let row = |token: usize| &values[token * 21..(token + 1) * 21];
    assert_eq!((row(1)[1], row(2)[0], row(6)[..20].iter().sum::<f32>()), (10.0, 10.0, 0.0));
    assert!((row(1)[20] - 3f32.ln() / 10.0).abs() < 1e-7 && row(6)[20] == 0.0);
    assert_eq!(loaded.identity, composition(&device, Precision::F32).unwrap().identity);
}

#[test]
fn the_last_layers_alone_can_be_trained() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/esm2_tiny_random");
    let device = Device::cpu(1).unwrap();
    let loaded = load(folder.as_ref(), &device, Precision::F32, Purpose::Top(1)).unwrap();
    let trainable: Vec<&str> =
        loaded.model.params().iter().filter(|param| param.is_trainable()).map(|param| param.name()).collect();
    let last = format!("esm.encoder.layer.{}.", loaded.model.layers() - 1);
    assert!(trainable.iter().any(|name| name.starts_with(&last)));
    let others = |name: &&&str| !name.starts_with(&last) && !name.starts_with("lm_head.");
    assert!(
        trainable.iter().filter(others).all(|name| name.contains("emb_layer_norm_after")),
        "{trainable:?}"
    );
}

#[test]
fn the_last_layers_of_a_recurrent_model_alone_can_be_trained() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/plus_rnn_tiny_random");
    let device = Device::cpu(1).unwrap();
    let trainable = |layers| -> Vec<String> {
        let loaded = load(folder.as_ref(), &device, Precision::F32, Purpose::Top(layers)).unwrap();
        let params = loaded.model.params().iter().filter(|param| param.is_trainable());
        params.map(|param| param.name().to_owned()).collect()
    };
    let last = load(folder.as_ref(), &device, Precision::F32, Purpose::Inference).unwrap().model.layers() - 1;
    let found = trainable(1);
    let (of_layer, others): (Vec<&String>, Vec<&String>) =
        found.iter().partition(|name| name.starts_with("rnn."));
    let marks = [format!("_l{last}"), format!("_l{last}_reverse")];
    assert_eq!(of_layer.len(), 8);
    assert!(of_layer.iter().all(|name| marks.iter().any(|mark| name.ends_with(mark))), "{of_layer:?}");
    let after = ["decoder.bias", "decoder.weight", "fc.bias", "fc.weight", "ordinal_bias", "ordinal_weight"];
    assert_eq!(others.into_iter().collect::<BTreeSet<_>>(), after.map(str::to_owned).iter().collect());
    let all = trainable(last + 1);
    assert!(
        all.iter().any(|name| name.ends_with("_l0")) && !all.iter().any(|name| name.starts_with("embed."))
    );
    let none = load(folder.as_ref(), &device, Precision::F32, Purpose::Top(0)).unwrap_err().to_string();
    assert!(none.contains("last 0 layers"), "{none}");
}
