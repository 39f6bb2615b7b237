//! What is not a number is seen in every result that it enters, and in no other.

use pliant_kernels::cpu::gemm::Orientation;
use pliant_kernels::ops::selective_scan::{self, Keep, Operands};
use pliant_kernels::ops::{attention, conv1d, cross_entropy, linear, lstm};
use pliant_kernels::{Device, Direction, Input, Output, Precision, Sequences};
use pliant_tests::kernels::devices;

const SIZES: attention::Sizes = attention::Sizes { heads: 2, head_width: 8 };

/// Two sequences of 20 and 40 tokens.
const OFFSETS: [usize; 3] = [0, 20, 60];

/// Which tokens have a result that is not a number, when one number of q, k or v of `token` is none.
fn spoiled(device: &Device, operand: usize, token: usize) -> Vec<usize> {
    let width = SIZES.width();
    let mut values = [(); 3].map(|()| vec![0.25_f32; 60 * width]);
    values[operand][token * width + 3] = f32::NAN;
    let [q, k, v] = values.map(|values| device.upload(&values));
    let mut out = device.zeros::<f32>(60 * width);
    let operands = (Input::F32(&q), Input::F32(&k), Input::F32(&v));
    attention::forward(device, SIZES, &OFFSETS, operands, Output::F32(&mut out), None).unwrap();
    let rows = out.as_slice().chunks_exact(width).enumerate();
    rows.filter(|(_, row)| row.iter().any(|value| value.is_nan())).map(|(token, _)| token).collect()
}

#[test]
fn attention_shows_it_to_whom_it_concerns() {
    for device in devices() {
        assert_eq!(spoiled(device, 0, 30), [30], "a query, {}", device.describe());
        let sequence: Vec<usize> = (20..60).collect();
        assert_eq!(spoiled(device, 1, 30), sequence, "a key, {}", device.describe());
        assert_eq!(spoiled(device, 2, 30), sequence, "a value, {}", device.describe());
    }
}

#[test]
fn a_layer_with_gelu_shows_it_in_its_row() {
    for (device, precision) in
        devices().iter().flat_map(|device| [Precision::F32, Precision::Bf16].map(|kind| (device, kind)))
    {
        let mut x = vec![0.5_f32; 4 * 16];
        x[2 * 16 + 5] = f32::NAN;
        let narrow: Vec<pliant_kernels::bf16> =
            x.iter().map(|&x| pliant_kernels::bf16::from_f32(x)).collect();
        let (wide, narrow) = (device.upload(&x), device.upload(&narrow));
        let input = if precision == Precision::F32 { Input::F32(&wide) } else { Input::Bf16(&narrow) };
        let weights =
            linear::Weights::pack(device, precision, &[0.5; 48], (3, 16), Orientation::Forward).unwrap();
        let mut y = device.zeros::<f32>(4 * 3);
        let epilogue = linear::Epilogue::Gelu(None);
        let part = linear::Part { weights: &weights, bias: None, epilogue, output: Output::F32(&mut y) };
        linear::forward(device, 4, input, &mut [part]).unwrap();
        let found: Vec<bool> = y.as_slice().iter().map(|y| y.is_nan()).collect();
        let wanted: Vec<bool> = (0..12).map(|place| place / 3 == 2).collect();
        assert_eq!(found, wanted, "{} {}", precision.name(), device.describe());
    }
}

#[test]
fn a_loss_shows_it_in_its_row() {
    let sizes = cross_entropy::Sizes { rows: 3, classes: 20 };
    for device in devices() {
        let mut logits = vec![0.5_f32; 60];
        logits[27] = f32::NAN;
        let (logits, labels) = (device.upload(&logits), device.upload(&[1_u32, 2, 3]));
        let mut loss = device.zeros::<f32>(3);
        cross_entropy::forward(device, sizes, &logits, &labels, &mut loss).unwrap();
        let found: Vec<bool> = loss.as_slice().iter().map(|loss| loss.is_nan()).collect();
        assert_eq!(found, [false, true, false], "{}", device.describe());
    }
}

/// Which of the rows of 20 channels have a result that is not a number in channel 17, and in no other.
fn spoiled_rows(results: &[f32]) -> Vec<usize> {
    let found = results.iter().enumerate().filter(|(_, value)| value.is_nan());
    let places: Vec<usize> = found.map(|(place, _)| place).collect();
    assert!(places.iter().all(|place| place % 20 == 17), "{places:?}");
    places.into_iter().map(|place| place / 20).collect()
}

#[test]
fn a_filter_and_a_scan_show_it_to_what_comes_after() {
    for device in devices() {
        let mut x = vec![0.5_f32; 40 * 20];
        x[12 * 20 + 17] = f32::NAN;
        let [x, sound] = [x, vec![0.5; 40 * 20]].map(|values| device.upload(&values));
        let [bias, filter, rates, weights] =
            [20, 60, 40, 160].map(|length| device.upload(&vec![0.5; length]));
        let mut y = device.zeros::<f32>(40 * 20);
        for (direction, reached, after) in
            [(Direction::Forward, 12..15, 12..30), (Direction::Reverse, 10..13, 5..13)]
        {
            let sequences = Sequences { offsets: &[0, 5, 30, 40], direction };
            let sizes = conv1d::Sizes { tokens: 40, width: 20, filter: 3 };
            conv1d::forward(device, sizes, sequences, &x, (&filter, &bias), None, &mut y).unwrap();
            assert_eq!(spoiled_rows(y.as_slice()), reached.collect::<Vec<_>>(), "{}", device.describe());
            let sizes = selective_scan::Sizes { tokens: 40, width: 20, states: 2 };
            let after: Vec<usize> = after.collect();
            for (u, delta) in [(&x, &sound), (&sound, &x)] {
                let operands = Operands { u, delta, bc: &weights, a_log: &rates, d: &bias };
                selective_scan::forward(device, sizes, sequences, operands, Keep::Nothing, &mut y).unwrap();
                assert_eq!(spoiled_rows(y.as_slice()), after, "{}", device.describe());
            }
        }
    }
}

/// One unit of one gate of one token spoils what its sequence has from there on, and all units from the next step on; but
/// nothing of the many others, of which some are made in the same lane after it.
#[test]
fn an_lstm_shows_it_to_what_comes_after() {
    let (tokens, hidden) = (160, 40);
    let offsets: Vec<usize> = [0, 4, 15].into_iter().chain((20..120).step_by(5)).chain([120, 160]).collect();
    for (device, gate) in devices().iter().flat_map(|device| (0..4).map(move |gate| (device, gate))) {
        let mut x = vec![0.5_f32; tokens * 4 * hidden];
        x[(9 * 4 + gate) * hidden + 35] = f32::NAN;
        let [x, sound] = [x, vec![0.5; tokens * 4 * hidden]].map(|values| device.upload(&values));
        let values = vec![0.01; hidden * hidden];
        let weights =
            linear::Weights::pack(device, Precision::F32, &values, (hidden, hidden), Orientation::Forward);
        let (weights, sizes) = (weights.unwrap(), lstm::Sizes { tokens, hidden });
        let mut y = device.zeros::<f32>(tokens * 2 * hidden);
        for (direction, inputs) in [[&x, &sound], [&sound, &x]].into_iter().enumerate() {
            lstm::forward(device, sizes, &offsets, inputs, [[&weights; 4]; 2], None, &mut y).unwrap();
            for (place, value) in y.as_slice().iter().enumerate() {
                let (row, column) = (place / (2 * hidden), place % (2 * hidden));
                let after = if direction == 0 { (10..15).contains(&row) } else { (4..9).contains(&row) };
                let spoiled = column / hidden == direction && (after || (row == 9 && column % hidden == 35));
                assert_eq!(value.is_nan(), spoiled, "{direction} {row} {column} {}", device.describe());
            }
        }
    }
}
