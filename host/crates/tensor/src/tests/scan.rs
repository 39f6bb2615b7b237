//! The filter and the scan on a tape, against differences of their plain text in f64.

use crate::ops::{self, ScanInputs};
use crate::{Carry, Direction, Ids, Offsets, Param, ParamKind, Tape, Tensor, TensorError};
use pliant_kernels::ops::selective_scan::Operands;
use pliant_kernels::ops::{conv1d, selective_scan};
use pliant_kernels::{Device, Precision, Sequences, Tolerance};
use std::sync::Arc;

const WIDTH: usize = 5;
const FILTER: usize = 4;
const STATES: usize = 3;
const ROWS: usize = 4;
const IDS: [u32; 7] = [0, 3, 1, 2, 0, 1, 3];
const TARGETS: [u32; 7] = [1, 0, 4, 2, 2, 3, 0];
const OFFSETS: [usize; 3] = [0, 3, 7];

/// Name, kind and shape: what the tokens look up, then the weights of filter and scan.
const PARAMS: [(&str, ParamKind, &[usize]); 7] = [
    ("x", ParamKind::Table, &[ROWS, WIDTH]),
    ("delta", ParamKind::Table, &[ROWS, WIDTH]),
    ("bc", ParamKind::Table, &[ROWS, 2 * STATES]),
    ("w", ParamKind::Table, &[WIDTH, FILTER]),
    ("b", ParamKind::Vector, &[WIDTH]),
    ("a_log", ParamKind::Table, &[WIDTH, STATES]),
    ("d", ParamKind::Vector, &[WIDTH]),
];

/// Distance from the oracle: 32-bit sums of gradients of size up to one.
const TOLERANCE: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-5 };

fn values(which: usize) -> Vec<f32> {
    let length = PARAMS[which].2.iter().product();
    (0..length).map(|place: usize| ((place * 37 + which * 11) % 23) as f32 * 0.1 - 1.1).collect()
}

fn params(device: &Device, trained: bool) -> Vec<Arc<Param>> {
    let make = if trained { Param::trainable } else { Param::frozen };
    let param = |(which, (name, kind, shape)): (usize, (&str, ParamKind, &[usize]))| {
        Arc::new(make(device, Precision::F32, name, shape, &values(which), kind).unwrap())
    };
    PARAMS.into_iter().enumerate().map(param).collect()
}

fn looked_up(tape: &Tape, table: &Arc<Param>) -> Result<Tensor, TensorError> {
    let offsets = Offsets::new(&OFFSETS)?;
    ops::embedding(tape, &Ids::new(tape.device(), &IDS), &offsets, table, None)
}

fn forward(tape: &Tape, params: &[Arc<Param>], direction: Direction) -> Result<Tensor, TensorError> {
    let offsets = Offsets::new(&OFFSETS)?;
    let x = looked_up(tape, &params[0])?;
    let u = ops::conv1d(tape, &x, &params[3], &params[4], &offsets, direction)?;
    let (delta, bc) = (looked_up(tape, &params[1])?, looked_up(tape, &params[2])?);
    let inputs = ScanInputs { u: &u, delta: &delta, bc: &bc };
    ops::selective_scan(tape, inputs, &params[5], &params[6], &offsets, direction)
}

fn loss(tape: &Tape, params: &[Arc<Param>], direction: Direction) -> Result<Tensor, TensorError> {
    let y = forward(tape, params, direction)?;
    ops::cross_entropy(tape, &y, &Ids::new(tape.device(), &TARGETS))
}

fn oracle(params: &[Vec<f64>], direction: Direction) -> f64 {
    let rows = |table: &[f64]| -> Vec<f64> {
        let width = table.len() / ROWS;
        IDS.iter().flat_map(|&id| table[id as usize * width..][..width].to_vec()).collect()
    };
    let (tokens, sequences) = (IDS.len(), Sequences { offsets: &OFFSETS, direction });
    let [mut u, mut y] = [(); 2].map(|()| vec![0.0; tokens * WIDTH]);
    let sizes = conv1d::Sizes { tokens, width: WIDTH, filter: FILTER };
    conv1d::cpu::forward((sizes, sequences), &rows(&params[0]), (&params[3], &params[4]), None, &mut u);
    let sizes = selective_scan::Sizes { tokens, width: WIDTH, states: STATES };
    let (delta, bc) = (rows(&params[1]), rows(&params[2]));
    let operands = Operands { u: &u[..], delta: &delta, bc: &bc, a_log: &params[5], d: &params[6] };
    selective_scan::cpu::forward((sizes, sequences), operands, None, &mut y);
    let row = |(row, &target): (&[f64], &u32)| {
        row.iter().map(|score| score.exp()).sum::<f64>().ln() - row[target as usize]
    };
    y.chunks(WIDTH).zip(&TARGETS).map(row).sum::<f64>() / tokens as f64
}

#[test]
fn gradients_agree_with_central_differences() {
    const STEP: f64 = 1e-4;
    let device = Device::cpu(2).unwrap();
    for direction in Direction::BOTH {
        let params = params(&device, true);
        let tape = Tape::on(&device, Precision::F32);
        let found = loss(&tape, &params, direction).unwrap();
        let mut values: Vec<Vec<f64>> =
            (0..PARAMS.len()).map(|which| values(which).into_iter().map(f64::from).collect()).collect();
        assert!((f64::from(found.to_vec_f32()[0]) - oracle(&values, direction)).abs() < 1e-6);
        tape.backward(&found).unwrap();
        for (which, param) in params.iter().enumerate() {
            for (place, found) in param.grad().into_iter().map(f64::from).enumerate() {
                let center = values[which][place];
                let mut at = |step: f64| {
                    values[which][place] = center + step;
                    oracle(&values, direction)
                };
                let wanted = (at(STEP) - at(-STEP)) / (2.0 * STEP);
                values[which][place] = center;
                let limit = TOLERANCE.at(wanted);
                assert!((found - wanted).abs() <= limit, "{param:?} {place}: {found} {wanted}");
            }
            assert!(param.grad().iter().any(|grad| grad.abs() > 1e-3), "{param:?}");
        }
    }
}

#[test]
fn a_checkpoint_changes_no_bit() {
    let device = Device::cpu(2).unwrap();
    let run = |checkpoint: bool| {
        let params = params(&device, true);
        let tape = Tape::on(&device, Precision::F32);
        let inside = params.clone();
        let y = if checkpoint {
            tape.checkpoint(&[], move |tape, _| forward(tape, &inside, Direction::Reverse))
        } else {
            forward(&tape, &inside, Direction::Reverse)
        };
        let loss = ops::cross_entropy(&tape, &y.unwrap(), &Ids::new(&device, &TARGETS)).unwrap();
        tape.backward(&loss).unwrap();
        params.iter().map(|param| param.grad()).collect::<Vec<_>>()
    };
    assert_eq!(run(true), run(false));
}

/// The last sequence in two stretches, after and before which nothing stands.
#[test]
fn stretches_give_the_bits_of_the_whole_and_cannot_be_trained_through() {
    let device = Device::cpu(1).unwrap();
    let (tape, params) = (Tape::off(&device, Precision::F32), params(&device, false));
    for direction in Direction::BOTH {
        let whole = forward(&tape, &params, direction).unwrap().to_vec_f32();
        let [x, delta, bc] = [0, 1, 2].map(|which| looked_up(&tape, &params[which]).unwrap());
        let mut filter = Carry::new(&device, [FILTER - 1, WIDTH]);
        let mut scan = Carry::new(&device, [WIDTH, STATES]);
        let mut stretches = [(0..5, [0, 3, 5]), (5..7, [0, 0, 2])];
        if direction == Direction::Reverse {
            stretches.reverse();
        }
        for (rows, offsets) in stretches {
            let part = |tensor: &Tensor| {
                let width = tensor.columns();
                let values = &tensor.to_vec_f32()[rows.start * width..rows.end * width];
                Tensor::from_f32(&device, [rows.len(), width], values).unwrap()
            };
            // The stretch of one sequence has no other before it.
            let offsets = Offsets::new(if offsets[1] == 0 { &offsets[1..] } else { &offsets }).unwrap();
            let (weight, bias) = (&params[3], &params[4]);
            let u = ops::conv1d_stretch(&tape, &part(&x), weight, bias, &offsets, direction, &mut filter)
                .unwrap();
            let (delta, bc) = (part(&delta), part(&bc));
            let inputs = ScanInputs { u: &u, delta: &delta, bc: &bc };
            let (a_log, d) = (&params[5], &params[6]);
            let y =
                ops::selective_scan_stretch(&tape, inputs, a_log, d, &offsets, direction, &mut scan).unwrap();
            assert_eq!(y.to_vec_f32(), whole[rows.start * WIDTH..rows.end * WIDTH], "{}", direction.name());
        }
        assert!(scan.to_vec().iter().chain(&filter.to_vec()).any(|&value| value != 0.0));
        scan.clear();
        assert!(scan.to_vec().iter().all(|&value| value == 0.0));
    }
    let (tape, trained) = (Tape::on(&device, Precision::F32), self::params(&device, true));
    let (x, offsets) = (looked_up(&tape, &trained[0]).unwrap(), Offsets::new(&OFFSETS).unwrap());
    let mut carry = Carry::new(&device, [FILTER - 1, WIDTH]);
    let (weight, bias, way) = (&trained[3], &trained[4], Direction::Forward);
    let error = ops::conv1d_stretch(&tape, &x, weight, bias, &offsets, way, &mut carry);
    assert_eq!(error.unwrap_err(), TensorError::NoBackward { op: "conv1d of a stretch" });
}

#[test]
fn what_does_not_fit_is_named() {
    let device = Device::cpu(1).unwrap();
    let (tape, params) = (Tape::off(&device, Precision::F32), params(&device, false));
    let x = looked_up(&tape, &params[0]).unwrap();
    let error = |weight: &Arc<Param>, offsets: &[usize]| {
        let offsets = Offsets::new(offsets).unwrap();
        let u = ops::conv1d(&tape, &x, weight, &params[4], &offsets, Direction::Forward);
        u.unwrap_err().to_string()
    };
    assert_eq!(error(&params[3], &[0, 6]), "conv1d: tokens of the offsets has shape [6], wanted [7]");
    assert_eq!(error(&params[2], &OFFSETS), "conv1d: filter has shape [4, 6], wanted [5, 6]");
    let shape = [WIDTH, FILTER];
    let matrix = Param::frozen(&device, Precision::F32, "w", &shape, &values(3), ParamKind::Matrix).unwrap();
    let wanted = "conv1d: parameter w is a frozen matrix, wanted a vector, a table or a trainable parameter";
    assert_eq!(error(&Arc::new(matrix), &OFFSETS), wanted);
}
