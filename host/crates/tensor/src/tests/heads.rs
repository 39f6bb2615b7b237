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
