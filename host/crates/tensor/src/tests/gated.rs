//! A gated block on a tape against plain sums in f64: norm, stretches of one weight, gate, product, dropout, picked
//! rows and a loss over a denominator.

use crate::ops::{self, Epilogue, LinearPart};
use crate::{Dtype, Ids, Offsets, Param, ParamKind, Tape, Tensor, TensorError};
use pliant_kernels::ops::dropout::{Mask, cpu};
use pliant_kernels::rng::Philox;
use pliant_kernels::{Device, Precision};
use std::collections::BTreeMap;
use std::sync::Arc;

const TOKENS: usize = 7;
const WIDTH: usize = 6;
const EPSILON: f32 = 1e-3;
const ROWS: [usize; 3] = [5, 0, 4];
const TARGETS: [u32; 3] = [2, 0, 5];
const DENOMINATOR: usize = 8;
const PROBABILITY: f32 = 0.25;
const OPERATION: u32 = 9;
const RANDOM: (u64, u32) = (77, 5);

const SHAPES: [(&str, &[usize], ParamKind); 3] = [
    ("table", &[TOKENS, WIDTH], ParamKind::Table),
    ("gamma", &[WIDTH], ParamKind::Vector),
    ("project", &[2 * WIDTH, WIDTH], ParamKind::Matrix),
];

type Values = BTreeMap<&'static str, Vec<f64>>;

fn values(name: &str, count: usize) -> Vec<f32> {
    let stream = Philox::new(3, name.len() as u32, 0);
    (0..count as u64).map(|index| stream.normal(index)).collect()
}

#[derive(Clone)]
struct Block {
    device: Device,
    params: BTreeMap<&'static str, Arc<Param>>,
}

impl Block {
    fn new() -> Self {
        let device = Device::cpu(2).unwrap();
        let param = |&(name, shape, kind): &(&'static str, &[usize], ParamKind)| {
            let values = values(name, shape.iter().product());
            let param = Param::trainable(&device, Precision::F32, name, shape, &values, kind);
            (name, Arc::new(param.unwrap()))
        };
        Self { params: SHAPES.iter().map(param).collect(), device }
    }

    fn on(&self) -> Tape {
        Tape::on(&self.device, Precision::F32).with_random(RANDOM.0, RANDOM.1)
    }

    fn embed(&self, tape: &Tape) -> Result<Tensor, TensorError> {
        let ids: Vec<u32> = (0..TOKENS as u32).collect();
        let offsets = Offsets::new(&[0, TOKENS])?;
        ops::embedding(tape, &Ids::new(&self.device, &ids), &offsets, &self.params["table"], None)
    }

    /// `x + dropout(gate(a + n, z) · n)`, with a and z from stretches of one weight.
    fn run(&self, tape: &Tape, x: &Tensor) -> Result<Tensor, TensorError> {
        let normed = ops::rms_norm(tape, x, &self.params["gamma"], EPSILON, Dtype::F32)?;
        let weight = &self.params["project"];
        let parts = [0..WIDTH, WIDTH..2 * WIDTH].map(|rows| {
            let (epilogue, out) = (Epilogue::Store, Dtype::F32);
            LinearPart { weight, rows: Some(rows), bias: &[], epilogue, out }
        });
        let halves = ops::linear(tape, &normed, &parts)?;
        let gated = ops::gate(tape, &halves[0], Some(&normed), &halves[1], Dtype::F32)?;
        // Once more without a second summand, so that both forms have a gradient.
        let gated = ops::gate(tape, &gated, None, &normed, Dtype::F32)?;
        let product = ops::multiply(tape, &gated, &normed)?;
        ops::add(tape, x, &ops::dropout(tape, &product, PROBABILITY, OPERATION)?)
    }

    fn loss(&self, tape: &Tape, x: &Tensor) -> Result<Tensor, TensorError> {
        // Picked twice, so that the second gradient is added to the first.
        let picked = [(); 2].map(|()| ops::gather_rows(tape, x, &ROWS));
        let [once, twice] = picked;
        let logits = ops::add(tape, &once?, &twice?)?;
        ops::cross_entropy_over(tape, &logits, &Ids::new(&self.device, &TARGETS), DENOMINATOR)
    }

    fn gradients(&self, forward: impl FnOnce(&Tape) -> Result<Tensor, TensorError>) -> Vec<Vec<f32>> {
        self.params.values().for_each(|param| param.zero_grad());
        let tape = self.on();
        let loss = forward(&tape).unwrap();
        tape.backward(&loss).unwrap();
        self.params.values().map(|param| param.grad()).collect()
    }

    fn plain_gradients(&self) -> Vec<Vec<f32>> {
        self.gradients(|tape| self.loss(tape, &self.run(tape, &self.embed(tape)?)?))
    }
}

fn silu(z: f64) -> f64 {
    z / (1.0 + (-z).exp())
}

/// The loss as plain sums.
fn oracle(values: &Values) -> f64 {
    let mut added = Vec::new();
    for x in values["table"].chunks(WIDTH) {
        let square = x.iter().map(|x| x * x).sum::<f64>() / WIDTH as f64;
        let root = (square + f64::from(EPSILON)).sqrt();
        let normed: Vec<f64> = x.iter().zip(&values["gamma"]).map(|(x, gamma)| x / root * gamma).collect();
        let rows = values["project"].chunks(WIDTH);
        let halves: Vec<f64> = rows.map(|row| row.iter().zip(&normed).map(|(w, n)| w * n).sum()).collect();
        added.extend(
            (0..WIDTH)
                .map(|c| (halves[c] + normed[c]) * silu(halves[WIDTH + c]) * silu(normed[c]) * normed[c]),
        );
    }
    let mut dropped = vec![0.0; added.len()];
    let stream = Philox::new(RANDOM.0, OPERATION, RANDOM.1);
    cpu::apply(Mask { stream, probability: PROBABILITY }, &added, &mut dropped);
    let row_loss = |(&row, &target): (&usize, &u32)| {
        let place = row * WIDTH..(row + 1) * WIDTH;
        let x = values["table"][place.clone()].iter().zip(&dropped[place]);
        let logits: Vec<f64> = x.map(|(x, added)| 2.0 * (x + added)).collect();
        logits.iter().map(|logit| logit.exp()).sum::<f64>().ln() - logits[target as usize]
    };
    ROWS.iter().zip(&TARGETS).map(row_loss).sum::<f64>() / DENOMINATOR as f64
}

#[test]
fn loss_and_gradients_agree_with_central_differences() {
    const STEP: f64 = 1e-5;
    let block = Block::new();
    let widened = |&(name, shape, _): &(&'static str, &[usize], ParamKind)| {
        (name, values(name, shape.iter().product()).into_iter().map(f64::from).collect())
    };
    let mut point: Values = SHAPES.iter().map(widened).collect();
    let tape = block.on();
    let loss = block.loss(&tape, &block.run(&tape, &block.embed(&tape).unwrap()).unwrap()).unwrap();
    let wanted = oracle(&point);
    assert!((f64::from(loss.to_vec_f32()[0]) - wanted).abs() < 2e-6 * wanted, "{loss:?} {wanted}");
    for (name, found) in block.params.keys().copied().zip(block.plain_gradients()) {
        let mut largest = 0.0_f64;
        for (index, &found) in found.iter().enumerate() {
            let center = point[name][index];
            let mut at = |value: f64| {
                point.get_mut(name).unwrap()[index] = value;
                oracle(&point)
            };
            let slope = (at(center + STEP) - at(center - STEP)) / (2.0 * STEP);
            at(center);
            let limit = 2e-6 + 2e-5 * slope.abs();
            assert!((f64::from(found) - slope).abs() < limit, "{name}[{index}]: {found} {slope}");
            largest = largest.max(slope.abs());
        }
        assert!(largest > 0.01, "{name}: {largest}");
    }
}

#[test]
fn recomputation_draws_the_same_mask() {
    let block = Block::new();
    let plain = block.plain_gradients();
    let nested = block.gradients(|tape| {
        let (outer, start) = (block.clone(), block.embed(tape)?);
        let end = tape.checkpoint(&[&start], move |tape, inputs| {
            let inside = outer.clone();
            tape.checkpoint(&[&inputs[0]], move |tape, inputs| inside.run(tape, &inputs[0]))
        })?;
        block.loss(tape, &end)
    });
    assert_eq!(plain, nested);
}

#[test]
fn masks_follow_seed_step_and_operation() {
    let block = Block::new();
    let x = Tensor::from_f32(&block.device, [20, 30], &[1.0; 600]).unwrap();
    let draw = |seed, step, operation| {
        let tape = Tape::on(&block.device, Precision::F32).with_random(seed, step);
        ops::dropout(&tape, &x, 0.5, operation).unwrap().to_vec_f32()
    };
    let first = draw(1, 2, 3);
    assert_eq!(first, draw(1, 2, 3));
    for other in [draw(0, 2, 3), draw(1, 3, 3), draw(1, 2, 4)] {
        let same = first.iter().zip(&other).filter(|(one, other)| one == other).count();
        assert!((220..380).contains(&same), "{same}");
    }
    assert!(first.iter().all(|&value| value == 0.0 || value == 2.0));
}

#[test]
fn dropout_leaves_inference_alone() {
    let block = Block::new();
    let x = Tensor::from_f32(&block.device, [2, 2], &[1.0, -2.0, 3.0, 0.5]).unwrap();
    let off = Tape::off(&block.device, Precision::F32);
    assert_eq!(ops::dropout(&off, &x, 0.9, 1).unwrap().to_vec_f32(), x.to_vec_f32());
    let on = Tape::on(&block.device, Precision::F32);
    assert_eq!(ops::dropout(&on, &x, 0.0, 1).unwrap().to_vec_f32(), x.to_vec_f32());
    assert_eq!(ops::dropout(&on, &x, 0.9, 1).map(drop), Err(TensorError::NoRandom { op: "dropout" }));
    let on = on.with_random(1, 1);
    assert!(ops::dropout(&on, &x, 1.0, 1).is_err());
}

#[test]
fn packs_over_one_denominator_add_up_to_the_whole() {
    let block = Block::new();
    let part = |rows: &[usize], targets: &[u32]| {
        let (rows, targets) = (rows.to_vec(), Ids::new(&block.device, targets));
        let tape = block.on();
        let picked = ops::gather_rows(&tape, &block.embed(&tape).unwrap(), &rows).unwrap();
        let loss = ops::cross_entropy_over(&tape, &picked, &targets, 3).unwrap();
        let value = loss.to_vec_f32()[0];
        tape.backward(&loss).unwrap();
        value
    };
    let table = &block.params["table"];
    let whole = part(&ROWS, &TARGETS);
    let wanted = table.grad();
    table.zero_grad();
    let sum = part(&ROWS[..2], &TARGETS[..2]) + part(&ROWS[2..], &TARGETS[2..]);
    assert!((sum - whole).abs() < 1e-6, "{sum} {whole}");
    assert!(table.grad().iter().zip(&wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-7));
    let tape = block.on();
    let logits = Tensor::from_f32(&block.device, [1, 2], &[0.0; 2]).unwrap();
    assert!(ops::cross_entropy_over(&tape, &logits, &Ids::new(&block.device, &[0]), 0).is_err());
}

#[test]
fn a_tape_tells_models_to_recompute_but_not_twice() {
    let device = Device::cpu(1).unwrap();
    assert!(!Tape::on(&device, Precision::F32).recomputes());
    assert!(!Tape::off(&device, Precision::F32).with_recompute(true).recomputes());
    let tape = Tape::on(&device, Precision::F32).with_recompute(true);
    assert!(tape.recomputes());
    let x = Tensor::from_f32(&device, [1, 1], &[1.0]).unwrap();
    let inside = |tape: &Tape, inputs: &[Tensor]| {
        assert!(!tape.recomputes());
        Ok(inputs[0].clone())
    };
    tape.checkpoint(&[&x], inside).unwrap();
}
