//! Stretches of one weight's rows against weights of their own, bit by bit.

use crate::ops::{self, Epilogue, LinearPart};
use crate::{Dtype, Ids, Param, ParamKind, Tape, Tensor};
use pliant_kernels::{Device, Precision};
use std::sync::Arc;

const TOKENS: usize = 9;
const INNER: usize = 40;
const OUTPUTS: usize = 70;
const CUT: usize = 44;

fn numbers(count: usize, step: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * step % 103) as f32 - 51.0) / 64.0).collect()
}

fn param(
    device: &Device,
    precision: Precision,
    rows: std::ops::Range<usize>,
    width: usize,
    trainable: bool,
) -> Arc<Param> {
    let values = &numbers(OUTPUTS * width, 37)[rows.start * width..rows.end * width];
    let make = if trainable { Param::trainable } else { Param::frozen };
    let (shape, kind) = match width {
        1 => (vec![rows.len()], ParamKind::Vector),
        width => (vec![rows.len(), width], ParamKind::Matrix),
    };
    Arc::new(make(device, precision, "w", &shape, values, kind).unwrap())
}

/// Gradient of what `parts` make of an input that is trained: values of both results, then the input's gradient.
fn run(device: &Device, precision: Precision, parts: [LinearPart<'_>; 2]) -> [Vec<f32>; 3] {
    let x = numbers(TOKENS * INNER, 23);
    let x = Param::trainable(device, precision, "x", &[TOKENS, INNER], &x, ParamKind::Table);
    let (x, tape) = (Arc::new(x.unwrap()), Tape::on(device, precision));
    let ids: Vec<u32> = (0..TOKENS as u32).collect();
    let offsets = crate::Offsets::new(&[0, TOKENS]).unwrap();
    let rows = ops::embedding(&tape, &Ids::new(device, &ids), &offsets, &x, None).unwrap();
    let results = ops::linear(&tape, &rows, &parts).unwrap();
    let loss = |x: &Tensor| ops::cross_entropy(&tape, x, &Ids::new(device, &[3; TOKENS])).unwrap();
    let sum = ops::add(&tape, &loss(&results[0]), &loss(&results[1])).unwrap();
    tape.backward(&sum).unwrap();
    [results[0].to_vec_f32(), results[1].to_vec_f32(), x.grad()]
}

#[test]
fn stretches_are_weights_of_their_own() {
    let device = Device::cpu(2).unwrap();
    let make = |precision, rows, width, trainable| param(&device, precision, rows, width, trainable);
    for (precision, trainable) in
        [(Precision::F32, true), (Precision::F32, false), (Precision::Bf16, true), (Precision::Bf16, false)]
    {
        let part = |weight, bias, rows| LinearPart {
            weight,
            rows,
            bias: std::slice::from_ref(bias),
            epilogue: Epilogue::Gelu,
            out: Dtype::F32,
        };
        let [first, second] = [0..CUT, CUT..OUTPUTS]
            .map(|rows| [INNER, 1].map(|width| make(precision, rows.clone(), width, trainable)));
        let apart =
            run(&device, precision, [part(&first[0], &first[1], None), part(&second[0], &second[1], None)]);
        let [weight, bias] = [INNER, 1].map(|width| make(precision, 0..OUTPUTS, width, trainable));
        let stretches = [Some(0..CUT), Some(CUT..OUTPUTS)].map(|rows| part(&weight, &bias, rows));
        assert_eq!(run(&device, precision, stretches), apart, "{precision:?} {trainable}");
        for (whole, [first, second]) in [(&weight, [&first[0], &second[0]]), (&bias, [&first[1], &second[1]])]
        {
            assert_eq!(whole.grad(), [first.grad(), second.grad()].concat());
            assert_eq!(whole.grad().iter().any(|&slope| slope != 0.0), trainable);
        }
    }
}

#[test]
fn new_values_reach_every_stretch() {
    let device = Device::cpu(1).unwrap();
    let weight = param(&device, Precision::F32, 0..OUTPUTS, INNER, true);
    let tape = Tape::off(&device, Precision::F32);
    let x = Tensor::from_f32(&device, [1, INNER], &[1.0; INNER]).unwrap();
    let run = |rows| {
        let part = LinearPart {
            weight: &weight,
            rows: Some(rows),
            bias: &[],
            epilogue: Epilogue::Store,
            out: Dtype::F32,
        };
        ops::linear(&tape, &x, &[part]).unwrap()[0].to_vec_f32()
    };
    [0..3, 60..62, 0..OUTPUTS].into_iter().for_each(|rows| drop(run(rows)));
    weight.set_values(&vec![0.5; OUTPUTS * INNER]).unwrap();
    assert_eq!((run(0..3), run(60..62)), (vec![20.0; 3], vec![20.0; 2]));
}

#[test]
fn stretches_of_a_frozen_matrix_share_its_memory() {
    let device = Device::cpu(1).unwrap();
    let weight = param(&device, Precision::F32, 0..OUTPUTS, INNER, false);
    let before = weight.bytes();
    weight.forward_weights("test", &(0..50)).unwrap();
    weight.forward_weights("test", &(32..70)).unwrap();
    assert_eq!(weight.bytes(), before);
    weight.forward_weights("test", &(33..70)).unwrap();
    assert!(weight.bytes() > before);
    let tape = Tape::off(&device, Precision::F32);
    let x = Tensor::from_f32(&device, [1, INNER], &[1.0; INNER]).unwrap();
    let part = LinearPart {
        weight: &weight,
        rows: Some(60..71),
        bias: &[],
        epilogue: Epilogue::Store,
        out: Dtype::F32,
    };
    assert!(ops::linear(&tape, &x, &[part]).is_err());
}

#[test]
fn columns_go_out_and_come_back_side_by_side() {
    const COLUMNS: usize = 37;
    const FIRST: usize = 5;
    let device = Device::cpu(2).unwrap();
    let x = numbers(TOKENS * COLUMNS, 23);
    let ids: Vec<u32> = (0..TOKENS as u32).collect();
    let offsets = crate::Offsets::new(&[0, TOKENS]).unwrap();
    let run = |turned: bool| {
        let table = Param::trainable(&device, Precision::F32, "x", &[TOKENS, COLUMNS], &x, ParamKind::Table);
        let (table, tape) = (Arc::new(table.unwrap()), Tape::on(&device, Precision::F32));
        let rows = ops::embedding(&tape, &Ids::new(&device, &ids), &offsets, &table, None).unwrap();
        let (rows, target) = if turned {
            let [head, tail] =
                [0..FIRST, FIRST..COLUMNS].map(|range| ops::columns(&tape, &rows, range).unwrap());
            (ops::beside(&tape, &[&tail, &head]).unwrap(), COLUMNS - FIRST + 3)
        } else {
            (rows, 3)
        };
        let targets = Ids::new(&device, &[target as u32; TOKENS]);
        let loss = ops::cross_entropy(&tape, &rows, &targets).unwrap();
        tape.backward(&loss).unwrap();
        (rows.to_vec_f32(), table.grad())
    };
    let ((straight, gradient), (turned, back)) = (run(false), run(true));
    for (straight, turned) in straight.chunks_exact(COLUMNS).zip(turned.chunks_exact(COLUMNS)) {
        assert_eq!([&straight[FIRST..], &straight[..FIRST]].concat(), turned);
    }
    assert!(gradient.iter().any(|value| value.abs() > 1e-3));
    // The loss adds up the same numbers in another order.
    assert!(gradient.iter().zip(&back).all(|(one, other)| (one - other).abs() < 1e-7));
}

#[test]
fn columns_outside_and_rows_that_are_not_as_many_are_refused() {
    let device = Device::cpu(1).unwrap();
    let tape = Tape::on(&device, Precision::F32);
    let of = |rows: usize| Tensor::from_f32(&device, [rows, 3], &vec![0.0; rows * 3]).unwrap();
    let outside = ops::columns(&tape, &of(2), 1..4).unwrap_err();
    let outside = std::error::Error::source(&outside).unwrap().to_string();
    assert!(outside.contains("end of the columns 4 is outside 0..4"), "{outside}");
    let rows = ops::beside(&tape, &[&of(2), &of(1)]).unwrap_err().to_string();
    assert!(rows.contains("[1, 3]") && rows.contains("[2, 3]"), "{rows}");
}
