//! What inference and training leave behind.

use super::network::{IDS, Network, WIDTH};
use crate::{Dtype, Tensor};
use pliant_kernels::{Device, Precision};

/// Memory of one `[T,C]` of the network.
const STATES: usize = IDS.len() * WIDTH * 4;

fn pool_bytes(network: &Network) -> usize {
    network.device.pool().free_bytes()
}

#[test]
fn repeated_passes_use_the_same_memory() {
    let device = Device::cpu(2).unwrap();
    for precision in [Precision::F32, Precision::Bf16] {
        let network = Network::new(&device, precision, |name| name.starts_with('n') || name == "up.weight");
        let infer = || network.forward(&network.off()).unwrap();
        drop(infer());
        let before = pool_bytes(&network);
        (0..5).for_each(|_| drop(infer()));
        assert_eq!(pool_bytes(&network), before);
        let train = || {
            network.gradients(Network::forward);
            network.params.values().for_each(|param| param.zero_grad());
        };
        train();
        let before = pool_bytes(&network);
        (0..5).for_each(|_| train());
        assert_eq!(pool_bytes(&network), before);
    }
}

#[test]
fn a_tensor_returns_its_memory_with_its_last_clone() {
    let device = Device::cpu(1).unwrap();
    let tensor = Tensor::from_f32(&device, [100, 16], &[1.0; 1600]).unwrap();
    let clone = tensor.clone();
    drop(tensor);
    assert_eq!(device.pool().free_bytes(), 0);
    assert_eq!(clone.dtype(), Dtype::F32);
    drop(clone);
    assert!(device.pool().free_bytes() >= 6400);
}

#[test]
fn inference_holds_no_more_than_the_widest_place() {
    // Twenty blocks on one after the other: were anything kept, the pool would grow with their number.
    let bytes = |blocks: usize, on: bool| {
        let device = Device::cpu(1).unwrap();
        let network = Network::new(&device, Precision::F32, |_| on);
        let tape = if on { network.on() } else { network.off() };
        let mut states = network.embed(&tape).unwrap();
        for _ in 0..blocks {
            states = network.attend(&tape, &states).unwrap();
            states = network.feed(&tape, &states).unwrap();
        }
        drop((states, tape));
        device.pool().free_bytes()
    };
    assert_eq!(bytes(20, false), bytes(2, false));
    assert!(bytes(20, true) > bytes(2, true) + 18 * 8 * STATES);
}

#[test]
fn checkpoints_hold_their_inputs_only() {
    let bytes = |blocks: usize, checkpointed: bool| {
        let device = Device::cpu(1).unwrap();
        let network = Network::new(&device, Precision::F32, |_| true);
        network.gradients(|network, tape| {
            let mut states = network.embed(tape)?;
            for _ in 0..blocks {
                let inside = network.clone();
                let block = move |tape: &crate::Tape, inputs: &[Tensor]| {
                    inside.feed(tape, &inside.attend(tape, &inputs[0])?)
                };
                states =
                    if checkpointed { tape.checkpoint(&[&states], block)? } else { block(tape, &[states])? };
            }
            network.loss(tape, &states)
        });
        network.params.values().for_each(|param| param.zero_grad());
        device.pool().free_bytes()
    };
    let growth = |checkpointed| (bytes(40, checkpointed) - bytes(10, checkpointed)) / 30;
    let (plain, checkpointed) = (growth(false), growth(true));
    assert!(plain > 8 * STATES, "{plain} of {STATES}");
    assert!((STATES..2 * STATES).contains(&checkpointed), "{checkpointed} of {STATES}");
}

#[test]
fn threads_share_one_network() {
    let device = Device::cpu(2).unwrap();
    let network = Network::new(&device, Precision::Bf16, |name| name == "up.weight");
    let loss = || network.forward(&network.off()).unwrap().to_vec_f32()[0];
    // Packed forms of the table and of what is trained are made by whichever thread comes first.
    let losses: Vec<f32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(loss)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(losses, [loss(); 4]);
}
