//! Losses, activations and distances: gradients that reach the parameters, against the plain kernels in 64 bits.

use crate::ops;
use crate::{Ids, Offsets, Param, ParamKind, Tape, Tensor};
use pliant_kernels::ops::elementwise::{Activation, cpu};
use pliant_kernels::{Device, Precision};
use std::sync::Arc;

const SHAPE: [usize; 2] = [3, 5];

fn numbers(step: usize) -> Vec<f32> {
    (0..SHAPE[0] * SHAPE[1]).map(|i| ((i * step % 31) as f32 - 14.5) / 8.0).collect()
}

fn reals(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// A trained matrix as a tensor.
pub(super) fn leaf(tape: &Tape, [rows, width]: [usize; 2], values: &[f32]) -> (Arc<Param>, Tensor) {
    let device = tape.device();
    let param = Param::trainable(device, Precision::F32, "x", &[rows, width], values, ParamKind::Table);
    let param = Arc::new(param.unwrap());
    let ids: Vec<u32> = (0..u32::try_from(rows).unwrap()).collect();
    let offsets = Offsets::new(&[0, rows]).unwrap();
    let x = ops::embedding(tape, &Ids::new(device, &ids), &offsets, &param, None).unwrap();
    (param, x)
}

pub(super) fn near(what: &str, found: &[f32], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    assert!(wanted.iter().any(|value| value.abs() > 1e-3), "{what}: nothing to compare");
    for (place, (&found, wanted)) in found.iter().zip(wanted).enumerate() {
        let distance = (f64::from(found) - wanted).abs();
        assert!(distance < 3e-6 * wanted.abs().max(1.0), "{what} {place}: {found} {wanted}");
    }
}

/// Gradient of the mean squared error of `y`.
fn slopes(y: &[f64], targets: &[f64]) -> Vec<f64> {
    let count = y.len() as f64;
    y.iter().zip(targets).map(|(y, target)| 2.0 * (y - target) / count).collect()
}

#[test]
fn activations_pass_the_gradient_of_a_squared_error() {
    let device = Device::cpu(1).unwrap();
    let (x, targets) = (numbers(7), numbers(11));
    for activation in Activation::ALL {
        let tape = Tape::on(&device, Precision::F32);
        let (param, start) = leaf(&tape, SHAPE, &x);
        let y = match activation {
            Activation::Relu => ops::relu(&tape, &start),
            Activation::Tanh => ops::tanh(&tape, &start),
            Activation::Logistic => ops::logistic(&tape, &start),
        };
        let loss = ops::mse(&tape, &y.unwrap(), &targets, None).unwrap();
        let found = loss.to_vec_f32()[0];
        tape.backward(&loss).unwrap();
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        cpu::activate(activation, &reals(&x), &mut y);
        let dy = slopes(&y, &reals(&targets));
        cpu::activate_backward(activation, (&y, &dy), &mut dx);
        near(&format!("{activation:?}"), &param.grad(), &dx);
        let errors = y.iter().zip(reals(&targets)).map(|(y, target)| (y - target).powi(2));
        near("loss", &[found], &[errors.sum::<f64>() / y.len() as f64]);
    }
}

#[test]
fn a_distance_pulls_both_sides() {
    let device = Device::cpu(1).unwrap();
    let (a, mut b, targets) = (numbers(7), numbers(12), numbers(11));
    b[3] = a[3];
    let tape = Tape::on(&device, Precision::F32);
    let ((first, left), (second, right)) = (leaf(&tape, SHAPE, &a), leaf(&tape, SHAPE, &b));
    let y = ops::distance(&tape, &left, &right).unwrap();
    let loss = ops::mse(&tape, &y, &targets, None).unwrap();
    tape.backward(&loss).unwrap();
    let (mut y, mut da) = (vec![0.0; a.len()], vec![0.0; a.len()]);
    cpu::distance(&reals(&a), &reals(&b), &mut y);
    cpu::distance_backward((&reals(&a), &reals(&b)), &slopes(&y, &reals(&targets)), &mut da);
    near("da", &first.grad(), &da);
    near("db", &second.grad(), &da.iter().map(|slope| -slope).collect::<Vec<f64>>());
    assert_eq!((first.grad()[3], second.grad()[3]), (0.0, 0.0));
}

/// Losses over the number of places of both packs add up to the loss of all places, and so do their gradients.
#[test]
fn losses_of_packs_add_up() {
    let device = Device::cpu(1).unwrap();
    let x = numbers(7);
    let mut targets: Vec<f32> = numbers(11).iter().map(|target| f32::from(u8::from(*target > 0.0))).collect();
    targets[4] = ops::bce::IGNORE;
    let weights: Vec<f32> = (0..x.len()).map(|i| i as f32 / 7.0).collect();
    let run = |cuts: &[usize], square: bool| {
        let (mut total, mut gradient) = (0.0, Vec::new());
        for range in cuts.windows(2).map(|pair| pair[0]..pair[1]) {
            let tape = Tape::on(&device, Precision::F32);
            let shape = [range.len() / SHAPE[1], SHAPE[1]];
            let (param, start) = leaf(&tape, shape, &x[range.clone()]);
            let (targets, weights) = (&targets[range.clone()], Some(&weights[range.clone()]));
            let loss = if square {
                ops::mse_over(&tape, &start, targets, weights, 15)
            } else {
                ops::bce_with_logits_over(&tape, &start, targets, weights, 14)
            };
            let loss = loss.unwrap();
            total += loss.to_vec_f32()[0];
            tape.backward(&loss).unwrap();
            gradient.extend(param.grad());
        }
        (total, gradient)
    };
    for square in [true, false] {
        let (whole, parts) = (run(&[0, 15], square), run(&[0, 5, 15], square));
        assert_eq!(whole.1, parts.1, "{square}");
        near("sum", &[parts.0], &[f64::from(whole.0)]);
    }
    let (_, gradient) = run(&[0, 15], false);
    assert_eq!(gradient[4], 0.0);
    let wanted: Vec<f64> = (0..15)
        .map(|i| {
            let slope = 1.0 / (1.0 + (-f64::from(x[i])).exp()) - f64::from(targets[i]);
            if i == 4 { 0.0 } else { f64::from(weights[i]) * slope / 14.0 }
        })
        .collect();
    near("bce", &gradient, &wanted);
}

#[test]
fn a_loss_of_nothing_is_refused() {
    let device = Device::cpu(1).unwrap();
    let tape = Tape::off(&device, Precision::F32);
    let x = Tensor::from_f32(&device, [1, 2], &[0.5, -1.0]).unwrap();
    let error = ops::bce_with_logits(&tape, &x, &[-1.0, -1.0], None).unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    let wanted = "bce: denominator (targets that count), of at least one, is 0, wanted 1";
    assert_eq!(cause.as_deref(), Some(wanted));
    assert!(ops::mse(&tape, &x, &[1.0], None).is_err());
}

#[test]
fn scores_pull_on_both_sides_of_a_pair() {
    use pliant_kernels::ops::soft_alignment::cpu;
    const WIDTH: usize = 3;
    let device = Device::cpu(2).unwrap();
    let (first, second) = ([0, 2, 5], [0, 4, 6]);
    let a: Vec<f32> = (0..5 * WIDTH).map(|i| (i * 7 % 11) as f32 / 5.0).collect();
    let b: Vec<f32> = (0..6 * WIDTH).map(|i| (i * 5 % 13) as f32 / 6.0 - 0.2).collect();
    let tape = Tape::on(&device, Precision::F32);
    let ((left, x), (right, y)) = (leaf(&tape, [5, WIDTH], &a), leaf(&tape, [6, WIDTH], &b));
    let [a_offsets, b_offsets] = [&first, &second].map(|offsets| Offsets::new(offsets).unwrap());
    let scores = ops::soft_alignment(&tape, &x, &a_offsets, &y, &b_offsets).unwrap();
    assert_eq!(scores.shape(), [2, 1]);
    let found = scores.to_vec_f32();
    let loss = ops::mse(&tape, &scores, &[0.5, -3.0], None).unwrap();
    tape.backward(&loss).unwrap();
    let (mut da, mut db) = (vec![0.0; a.len()], vec![0.0; b.len()]);
    for (pair, target) in [0.5, -3.0].into_iter().enumerate() {
        let here = first[pair] * WIDTH..first[pair + 1] * WIDTH;
        let there = second[pair] * WIDTH..second[pair + 1] * WIDTH;
        let (a, b) = (reals(&a[here.clone()]), reals(&b[there.clone()]));
        let score = cpu::matrices(WIDTH, &a, &b).score;
        near("score", &found[pair..=pair], &[score]);
        cpu::backward(WIDTH, (&a, &b), score - target, (&mut da[here], &mut db[there]));
    }
    near("da", &left.grad(), &da);
    near("db", &right.grad(), &db);
}

#[test]
fn a_pair_laid_open_has_the_score_that_is_trained() {
    let device = Device::cpu(1).unwrap();
    let tape = Tape::off(&device, Precision::F32);
    let a = Tensor::from_f32(&device, [3, 4], &numbers(7)[..12]).unwrap();
    let b = Tensor::from_f32(&device, [2, 4], &numbers(11)[..8]).unwrap();
    let open = ops::soft_alignment_of(&tape, &a, &b).unwrap();
    let [first, second] = [[0, 3], [0, 2]].map(|offsets| Offsets::new(&offsets).unwrap());
    let scores = ops::soft_alignment(&tape, &a, &first, &b, &second).unwrap();
    assert_eq!(scores.to_vec_f32(), [open.score]);
    let sum: f64 = open.weights.iter().map(|&weight| f64::from(weight)).sum();
    let weighted = open.weights.iter().zip(&open.similarities);
    let weighted: f64 = weighted.map(|(&weight, &s)| f64::from(weight) * f64::from(s)).sum();
    assert!((weighted / sum - f64::from(open.score)).abs() < 1e-5);
    let narrow = Tensor::from_f32(&device, [2, 3], &numbers(11)[..6]).unwrap();
    let error = ops::soft_alignment_of(&tape, &a, &narrow).unwrap_err().to_string();
    assert_eq!(error, "soft_alignment: second vectors has shape [2, 3], wanted [2, 4]");
}

#[test]
fn attention_pooling_trains_states_and_scores() {
    use pliant_kernels::ops::attention_pool::{Sizes, cpu};
    let device = Device::cpu(1).unwrap();
    let tape = Tape::on(&device, Precision::F32);
    let spans = [(0, 1), (2, 6)];
    let (x, scores) = (&numbers(7)[..14], &numbers(12)[..7]);
    let ((states, rows), (places, column)) = (leaf(&tape, [7, 2], x), leaf(&tape, [7, 1], scores));
    let y = ops::attention_pool(&tape, &rows, &column, &spans).unwrap();
    let targets = [0.25, -1.0, 2.0, 0.5];
    let loss = ops::mse(&tape, &y, &targets, None).unwrap();
    tape.backward(&loss).unwrap();
    let (sizes, x) = (Sizes { tokens: 7, width: 2 }, reals(x));
    let weights = cpu::weights(&spans, &reals(scores));
    let (mut y, mut dx, mut dscores) = (vec![0.0; 4], vec![0.0; 14], vec![0.0; 7]);
    cpu::forward(sizes, &spans, &x, &weights, &mut y);
    let dy = slopes(&y, &reals(&targets));
    cpu::backward(sizes, &spans, (&x, &weights), &dy, (&mut dx, &mut dscores));
    near("states", &states.grad(), &dx);
    near("scores", &places.grad(), &dscores);
}

#[test]
fn ordered_levels_train_scores_weights_and_shifts() {
    use pliant_kernels::ops::ordinal::{Sizes, cpu};
    let device = Device::cpu(1).unwrap();
    let tape = Tape::on(&device, Precision::Bf16);
    let (scores, weights, shifts) = (&numbers(7)[..4], [0.75, 1.0, 1.25], [1.0, -0.5, 0.25]);
    let (param, column) = leaf(&tape, [4, 1], scores);
    let vector = |values: &[f32], shape: &[usize], kind| {
        Arc::new(Param::trainable(&device, Precision::Bf16, "w", shape, values, kind).unwrap())
    };
    // A weight that files hold with two sides.
    let weight = vector(&weights, &[1, 3], ParamKind::Table);
    let shift = vector(&shifts, &[3], ParamKind::Vector);
    let logits = ops::ordinal(&tape, &column, &weight, &shift).unwrap();
    let targets = &numbers(11)[..12];
    let loss = ops::mse(&tape, &logits, targets, None).unwrap();
    let levels = ops::ordinal_levels(&tape, &logits).unwrap();
    assert_eq!(levels.shape(), [4, 4]);
    tape.backward(&loss).unwrap();
    let sizes = Sizes { rows: 4, thresholds: 3 };
    let (scores, weights) = (reals(scores), reals(&weights));
    let (mut z, mut dscores, mut dweights, mut dshifts) =
        (vec![0.0; 12], vec![0.0; 4], vec![0.0; 3], vec![0.0; 3]);
    cpu::forward(sizes, &scores, (&weights, &reals(&shifts)), &mut z);
    let dz = slopes(&z, &reals(targets));
    cpu::backward(sizes, (&scores, &weights), &dz, &mut dscores, (&mut dweights, &mut dshifts));
    near("scores", &param.grad(), &dscores);
    near("weights", &weight.grad(), &dweights);
    near("shifts", &shift.grad(), &dshifts);
}

/// Features of pairs, a filter of every place, then one over squares of places: what a contact map is made of.
#[test]
fn maps_of_pairs_train_vectors_and_filters() {
    use pliant_kernels::ops::{conv2d, pair_features};
    let device = Device::cpu(2).unwrap();
    let tape = Tape::on(&device, Precision::F32);
    let (length, width) = (4, 3);
    let (param, z) = leaf(&tape, [length, width], &numbers(7)[..12]);
    let features = ops::pair_features(&tape, &z, crate::Dtype::F32).unwrap();
    let values: Vec<f32> = (0..6 * 9).map(|i| (i * 7 % 19) as f32 / 20.0 - 0.45).collect();
    let make = |values: &[f32], shape: &[usize], kind| {
        Arc::new(Param::trainable(&device, Precision::F32, "w", shape, values, kind).unwrap())
    };
    let (weight, bias) = (make(&values, &[1, 54], ParamKind::Table), make(&[0.5], &[1], ParamKind::Vector));
    let y = ops::conv2d(&tape, &features, (&weight, &bias), (length, length)).unwrap();
    assert_eq!(y.shape(), [16, 1]);
    let targets: Vec<f32> = (0..16).map(|i| (i * 5 % 7) as f32 / 3.0).collect();
    let loss = ops::mse(&tape, &y, &targets, None).unwrap();
    tape.backward(&loss).unwrap();
    let pairs = pair_features::Sizes { length, width };
    let map = conv2d::Sizes { height: length, breadth: length, inputs: 6, outputs: 1, side: 3 };
    let (z, weights) = (reals(&numbers(7)[..12]), reals(&values));
    let (mut features, mut y) = (vec![0.0; pairs.features()], vec![0.0; 16]);
    pair_features::cpu::forward(pairs, &z, &mut features);
    conv2d::cpu::forward(map, &features, (&weights, &[0.5]), &mut y);
    let dy = slopes(&y, &reals(&targets));
    let (mut dfeatures, mut dz) = (vec![0.0; features.len()], vec![0.0; z.len()]);
    let (mut dweights, mut dbias) = (vec![0.0; 54], vec![0.0]);
    let grads = (&mut dweights[..], &mut dbias[..]);
    conv2d::cpu::backward(map, (&features, &weights), &dy, &mut dfeatures, grads);
    pair_features::cpu::backward(pairs, &z, &dfeatures, &mut dz);
    near("z", &param.grad(), &dz);
    near("weights", &weight.grad(), &dweights);
    near("bias", &bias.grad(), &dbias);
    let tape = Tape::off(&device, Precision::F32);
    let narrow = Tensor::from_f32(&device, [16, 5], &[0.0; 80]).unwrap();
    assert!(ops::conv2d(&tape, &narrow, (&weight, &bias), (length, length)).is_err());
}
