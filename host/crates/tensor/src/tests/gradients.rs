//! Gradients against central differences in f64, against each other bit by bit, and missing ones.

use super::network::{Network, SHAPES};
use super::oracle;
use crate::ops::{self, Epilogue};
use crate::{Dtype, TensorError};
use pliant_kernels::{Device, Precision, Tolerance};

/// Distance from the oracle: 32-bit sums of gradients of size up to one.
const TOLERANCE: Tolerance = Tolerance { absolute: 2e-6, relative: 2e-5 };

/// Every so many values of a parameter are checked; shares no factor with any of their sizes.
const STRIDE: usize = 7;

fn device() -> Device {
    Device::cpu(2).unwrap()
}

#[test]
fn loss_and_gradients_agree_with_central_differences() {
    let network = Network::new(&device(), Precision::F32, |_| true);
    let mut parameters = oracle::parameters();
    let loss = f64::from(network.forward(&network.off()).unwrap().to_vec_f32()[0]);
    let wanted = oracle::loss(&parameters);
    assert!((loss - wanted).abs() < 2e-6 * wanted, "{loss} {wanted}");
    let gradients = network.gradients(Network::forward);
    for (name, _) in SHAPES {
        let mut largest = 0.0_f64;
        for index in (0..gradients[name].len()).step_by(STRIDE) {
            let (found, wanted) =
                (f64::from(gradients[name][index]), oracle::slope(&mut parameters, name, index));
            let limit = TOLERANCE.at(wanted);
            assert!((found - wanted).abs() <= limit, "{name}[{index}]: {found} {wanted}");
            assert!((found - wanted - 10.0 * limit).abs() > limit, "{name}[{index}]: any number would do");
            largest = largest.max(wanted.abs());
        }
        // A softmax does not see what all its scores have in common, the rest must tell something.
        assert!(largest > 100.0 * TOLERANCE.absolute || name == "key.bias", "{name}: {largest}");
    }
}

#[test]
fn bf16_operands_change_gradients_by_their_rounding_only() {
    let exact = Network::new(&device(), Precision::F32, |_| true).gradients(Network::forward);
    let rounded = Network::new(&device(), Precision::Bf16, |_| true).gradients(Network::forward);
    let norm =
        |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    for (name, _) in SHAPES {
        let (exact, rounded) = (&exact[name], &rounded[name]);
        let distance = norm(&mut exact.iter().zip(rounded).map(|(a, b)| a - b));
        let size = norm(&mut exact.iter().copied());
        assert!(distance > 0.0 && distance < 0.03 * size + 1e-3, "{name}: {distance} of {size}");
    }
}

#[test]
fn what_is_frozen_changes_no_other_gradient() {
    for precision in [Precision::F32, Precision::Bf16] {
        let all = Network::new(&device(), precision, |_| true).gradients(Network::forward);
        let some: [fn(&str) -> bool; 4] = [
            |name| name == "table",
            |name| name.ends_with("bias"),
            |name| name == "query.weight" || name == "up.weight",
            |name| name == "norm1.weight",
        ];
        for trained in some {
            let network = Network::new(&device(), precision, trained);
            let gradients = network.gradients(Network::forward);
            assert!(!gradients.is_empty());
            for (name, gradient) in gradients {
                assert_eq!(gradient, all[name], "{name} {precision:?}");
            }
            network.params.values().filter(|param| !param.is_trainable()).for_each(|param| {
                assert!(param.grad().iter().all(|&value| value == 0.0), "{param:?}");
            });
        }
    }
}

#[test]
fn gradients_add_up_over_passes() {
    let network = Network::new(&device(), Precision::F32, |_| true);
    let once = network.gradients(Network::forward);
    let tape = network.on();
    let loss = network.forward(&tape).unwrap();
    let loss = ops::scale(&tape, &loss, 3.0).unwrap();
    tape.backward(&loss).unwrap();
    for (name, _) in SHAPES {
        for (sum, one) in network.params[name].grad().iter().zip(&once[name]) {
            assert!((sum - 4.0 * one).abs() <= 1e-5 * one.abs() + 1e-6, "{name}: {sum} {one}");
        }
    }
}

#[test]
fn checkpoints_change_no_bit() {
    for precision in [Precision::F32, Precision::Bf16] {
        let network = Network::new(&device(), precision, |_| true);
        let plain = network.gradients(Network::forward);
        let nested = network.gradients(|network, tape| {
            let start = network.embed(tape)?;
            let inside = network.clone();
            let fed = tape.checkpoint(&[&start], move |tape, inputs| {
                let deeper = inside.clone();
                let attended = inside.attend(tape, &inputs[0])?;
                tape.checkpoint(&[&attended], move |tape, inputs| deeper.feed(tape, &inputs[0]))
            })?;
            network.loss(tape, &ops::add(tape, &fed, &start)?)
        });
        assert_eq!(plain, nested);
        let twice = network.gradients(|network, tape| {
            let start = network.embed(tape)?;
            let inside = network.clone();
            tape.checkpoint(&[&start, &start], move |tape, inputs| {
                let attended = inside.attend(tape, &inputs[0])?;
                let fed = inside.feed(tape, &attended)?;
                inside.loss(tape, &ops::add(tape, &fed, &inputs[1])?)
            })
        });
        assert_eq!(plain, twice);
    }
}

#[test]
fn a_checkpoint_of_frozen_inputs_trains_what_is_inside() {
    let network = Network::new(&device(), Precision::F32, |name| name == "up.weight");
    let plain = network.gradients(Network::forward);
    let checkpointed = network.gradients(|network, tape| {
        let start = network.embed(tape)?;
        let attended = network.attend(tape, &start)?;
        assert!(!attended.is_tracked());
        let inside = network.clone();
        let fed = tape.checkpoint(&[&attended], move |tape, inputs| inside.feed(tape, &inputs[0]))?;
        network.loss(tape, &ops::add(tape, &fed, &start)?)
    });
    assert_eq!(plain, checkpointed);
}

#[test]
fn parameters_without_a_gradient_are_named() {
    let unused = ["up.weight", "query.bias"];
    let network = Network::new(&device(), Precision::F32, |name| name == "table" || unused.contains(&name));
    let tape = network.on();
    let start = network.embed(&tape).unwrap();
    // One is used where nothing reads the result, the other likewise inside a checkpoint.
    let part = network.part("up", Epilogue::Store, Dtype::F32);
    ops::linear(&tape, &start, &[part]).unwrap();
    let inside = network.clone();
    let end = tape.checkpoint(&[&start], move |tape, inputs| {
        let part = inside.part("query", Epilogue::Store, Dtype::F32);
        ops::linear(tape, &inputs[0], &[part])?;
        ops::scale(tape, &inputs[0], 0.5)
    });
    let loss = network.loss(&tape, &end.unwrap()).unwrap();
    let error = tape.backward(&loss).unwrap_err();
    assert_eq!(error, TensorError::NoGradient { names: unused.map(str::to_owned).to_vec() });
    assert!(network.params["table"].grad().iter().any(|&value| value != 0.0));
}

#[test]
fn misuse_of_a_tape_is_refused() {
    let network = Network::new(&device(), Precision::F32, |name| name == "table");
    let (tape, other) = (network.on(), network.on());
    let start = network.embed(&tape).unwrap();
    let foreign = Err(TensorError::Foreign { op: "scale" });
    assert_eq!(ops::scale(&other, &start, 2.0).map(drop), foreign);
    let caught = start.clone();
    let part = move |tape: &crate::Tape, _: &[crate::Tensor]| ops::scale(tape, &caught, 2.0);
    assert_eq!(tape.checkpoint(&[], part).map(drop), foreign);
    let caught = start.clone();
    let passed = tape.checkpoint(&[], move |_, _| Ok(caught.clone()));
    assert_eq!(passed.map(drop), Err(TensorError::Foreign { op: "checkpoint" }));
    assert!(matches!(network.on().backward(&start), Err(TensorError::Shape { .. })));

    let loss = network.loss(&tape, &start).unwrap();
    assert_eq!(network.on().backward(&loss.detach()), Err(TensorError::Unrecorded));
    network.params["table"].set_values(&[0.5; 9 * 32]).unwrap();
    assert_eq!(tape.backward(&loss), Err(TensorError::ParamChanged { name: "table".to_owned() }));
}

#[test]
fn wrong_shapes_are_named() {
    let network = Network::new(&device(), Precision::F32, |_| false);
    let tape = network.off();
    let narrow = crate::Tensor::from_f32(&network.device, [2, 8], &[0.0; 16]).unwrap();
    let part = network.part("up", Epilogue::Store, Dtype::F32);
    let error = ops::linear(&tape, &narrow, &[part]).unwrap_err().to_string();
    assert_eq!(error, "linear: weight has shape [40, 32], wanted [40, 8]");
    let start = network.embed(&tape).unwrap();
    let part = network.part("up", Epilogue::Residual(&start), Dtype::F32);
    let error = ops::linear(&tape, &start, &[part]).unwrap_err().to_string();
    assert_eq!(error, "linear: residual has shape [13, 32], wanted [13, 40]");
    let error = ops::layer_norm(
        &tape,
        &narrow,
        &network.params["norm1.weight"],
        &network.params["norm1.bias"],
        (ops::NormKind::Deviation, 1e-5),
        Dtype::F32,
    );
    assert_eq!(error.unwrap_err().to_string(), "layer_norm: scale has shape [32], wanted [8]");
}
