//! Walks over a source of weights.

use super::*;

const INIT: Init = Init::Normal { deviation: 1.0 };

fn random(take: Take) -> Weights {
    Weights::random(3, &Device::cpu(1).unwrap(), Precision::F32).take(take)
}

#[test]
fn the_walk_is_the_same_whatever_is_taken() {
    let kept = random(Take::Values { trainable: true });
    let param = kept.at("layer.0").at("dense").matrix("weight", [2, 3], INIT).unwrap();
    assert_eq!((param.name(), param.shape()), ("layer.0.dense.weight", &[2, 3][..]));
    assert_eq!(param.values().unwrap(), INIT.values(3, "layer.0.dense.weight", 6));
    let hashed = random(Take::Hashes);
    let placeholder = hashed.at("layer.0.dense").matrix("weight", [2, 3], INIT).unwrap();
    assert_eq!(placeholder.len(), 1);
    assert_eq!(hashed.records(), kept.records());
    let planned = random(Take::Shapes);
    planned.at("layer.0.dense").matrix("weight", [2, 3], INIT).unwrap();
    assert_eq!(planned.planned(), kept.planned());
    assert!(planned.records()[0].hash.is_none());
}

#[test]
fn a_source_can_be_walked_again() {
    let weights = random(Take::Shapes);
    weights.at("a").vector("bias", 4, Init::Zeros).unwrap();
    let again = weights.at("a").take(Take::Values { trainable: false });
    assert!(again.records().is_empty());
    let param = again.vector("bias", 4, Init::Zeros).unwrap();
    assert_eq!((param.name(), again.params().len(), param.is_trainable()), ("bias", 1, false));
    assert_eq!(weights.records()[0].name, "a.bias");
}
