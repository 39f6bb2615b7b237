//! What is proven of which operation.

use crate::{
    activation, adamw, attention, attention_pool, bce, contacts, conv1d, conv2d, cross_entropy, dropout,
    elementwise, embedding, gate, layer_norm, layout, linear, lstm, mse, ordinal, pair_features, pair_logits,
    pair_sums, pool, reduce, rms_norm, rotary, selective_scan, soft_alignment, softmax,
};
use pliant_tests::kernels::{Case, Gradient, Invariance};

/// An operation and the proofs of one kind about it.
type Row<T> = (&'static str, fn() -> Vec<T>);

/// Fast path against oracle on every device: close, and the same bits within a numerics class.
const PARITY: &[Row<Case>] = &[
    ("adamw", adamw::parity),
    ("attention", attention::parity),
    ("attention_pool", attention_pool::parity),
    ("bce", bce::parity),
    ("contacts", contacts::parity),
    ("conv1d", conv1d::parity),
    ("conv2d", conv2d::parity),
    ("cross_entropy", cross_entropy::parity),
    ("dropout", dropout::parity),
    ("elementwise", activation::parity),
    ("elementwise", elementwise::parity),
    ("elementwise", gate::parity),
    ("embedding", embedding::parity),
    ("layer_norm", layer_norm::parity),
    ("layout", layout::parity),
    ("linear", linear::parity),
    ("lstm", lstm::parity),
    ("mse", mse::parity),
    ("ordinal", ordinal::parity),
    ("pair_features", pair_features::parity),
    ("pair_logits", pair_logits::parity),
    ("pair_sums", pair_sums::parity),
    ("pool", pool::parity),
    ("reduce", reduce::parity),
    ("rms_norm", rms_norm::parity),
    ("rotary", rotary::parity),
    ("selective_scan", selective_scan::parity),
    ("soft_alignment", soft_alignment::parity),
    ("softmax", softmax::parity),
];

/// A sequence's or row's bits do not depend on its neighbours. Operations on single numbers have none.
const INVARIANCE: &[Row<Invariance>] = &[
    ("attention", attention::invariance),
    ("attention_pool", attention_pool::invariance),
    ("bce", bce::invariance),
    ("contacts", contacts::invariance),
    ("conv1d", conv1d::invariance),
    ("conv2d", conv2d::invariance),
    ("cross_entropy", cross_entropy::invariance),
    ("embedding", embedding::invariance),
    ("layer_norm", layer_norm::invariance),
    ("layout", layout::invariance),
    ("linear", linear::invariance),
    ("lstm", lstm::invariance),
    ("mse", mse::invariance),
    ("ordinal", ordinal::invariance),
    ("pair_features", pair_features::invariance),
    ("pair_logits", pair_logits::invariance),
    ("pool", pool::invariance),
    ("rms_norm", rms_norm::invariance),
    ("rotary", rotary::invariance),
    ("selective_scan", selective_scan::invariance),
    ("soft_alignment", soft_alignment::invariance),
    ("softmax", softmax::invariance),
];

/// Plain backward against differences of the plain forward.
const GRADIENTS: &[Row<Gradient>] = &[
    ("attention", attention::gradients),
    ("attention_pool", attention_pool::gradients),
    ("bce", bce::gradients),
    ("conv1d", conv1d::gradients),
    ("conv2d", conv2d::gradients),
    ("cross_entropy", cross_entropy::gradients),
    ("dropout", dropout::gradients),
    ("elementwise", activation::gradients),
    ("elementwise", elementwise::gradients),
    ("elementwise", gate::gradients),
    ("embedding", embedding::gradients),
    ("layer_norm", layer_norm::gradients),
    ("layout", layout::gradients),
    ("linear", linear::gradients),
    ("lstm", lstm::gradients),
    ("mse", mse::gradients),
    ("ordinal", ordinal::gradients),
    ("pair_features", pair_features::gradients),
    ("pool", pool::gradients),
    ("rms_norm", rms_norm::gradients),
    ("rotary", rotary::gradients),
    ("selective_scan", selective_scan::gradients),
    ("soft_alignment", soft_alignment::gradients),
    ("softmax", softmax::gradients),
];

/// Makes the proofs of a table, each operation at least one.
fn proofs<T>(table: &[Row<T>]) -> Vec<T> {
    let make = |(op, make): &Row<T>| {
        let proofs = make();
        assert!(!proofs.is_empty(), "{op} has a row but no proof");
        proofs
    };
    table.iter().flat_map(make).collect()
}

#[test]
fn parity() {
    proofs(PARITY).iter().for_each(Case::check);
}

#[test]
fn batch_invariance() {
    proofs(INVARIANCE).iter().for_each(Invariance::check);
}

#[test]
fn gradients() {
    proofs(GRADIENTS).iter().for_each(Gradient::check);
}
