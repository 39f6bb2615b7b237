//! Packs without tokens: no operation may fail or touch a number.

use pliant_kernels::cpu::gemm::Orientation;
use pliant_kernels::ops::selective_scan::{self, Keep, Operands};
use pliant_kernels::ops::{
    conv1d, cross_entropy, elementwise, embedding, layer_norm, linear, lstm, pool, rotary,
};
use pliant_kernels::{Direction, Output, Precision, Sequences};
use pliant_tests::kernels::devices;

#[test]
fn no_tokens_are_no_error() {
    for device in devices() {
        let (x, mut y) = (device.zeros::<f32>(0), device.zeros::<f32>(0));
        let (ids, vector) = (device.zeros::<u32>(0), device.upload(&[1.0_f32; 8]));
        let sizes = embedding::Sizes { tokens: 0, vocabulary: 1, width: 8 };
        embedding::forward(device, sizes, &[0, 0], &ids, &vector, None, &mut y).unwrap();
        let sizes = layer_norm::Sizes { rows: 0, width: 8, epsilon: 1e-5, kind: layer_norm::Kind::Deviation };
        layer_norm::forward(device, sizes, &x, &vector, &vector, Output::F32(&mut y), None).unwrap();
        let table = rotary::Table::new(device, &[1.0], 1);
        let sizes = rotary::Sizes { tokens: 0, heads: 4, head_width: 2 };
        rotary::forward(device, sizes, &[0], &table, &x, 1.0, Output::F32(&mut y)).unwrap();
        let sizes = pool::Sizes { tokens: 0, width: 8 };
        pool::forward(device, sizes, pool::Kind::Mean, &[], &x, &mut y, None).unwrap();
        let sizes = cross_entropy::Sizes { rows: 0, classes: 8 };
        cross_entropy::forward(device, sizes, &x, &ids, &mut y).unwrap();
        elementwise::add_into(device, &x, &mut y).unwrap();
        let sequences = Sequences { offsets: &[0, 0], direction: Direction::Reverse };
        let carry = vector.as_slice();
        let mut kept = device.upload(carry);
        let sizes = conv1d::Sizes { tokens: 0, width: 4, filter: 3 };
        let (filter, bias) = (device.zeros(12), device.zeros(4));
        conv1d::forward(device, sizes, sequences, &x, (&filter, &bias), Some(&mut kept), &mut y).unwrap();
        assert_eq!(kept.as_slice(), carry);
        let sizes = selective_scan::Sizes { tokens: 0, width: 4, states: 2 };
        let operands = Operands { u: &x, delta: &x, bc: &x, a_log: &vector, d: &bias };
        selective_scan::forward(device, sizes, sequences, operands, Keep::Carry(&mut kept), &mut y).unwrap();
        assert_eq!(kept.as_slice(), carry);
        let packed =
            linear::Weights::pack(device, Precision::F32, &[0.5; 8], (1, 8), Orientation::Forward).unwrap();
        let epilogue = linear::Epilogue::Store;
        let part = linear::Part { weights: &packed, bias: None, epilogue, output: Output::F32(&mut y) };
        linear::forward(device, 0, pliant_kernels::Input::F32(&x), &mut [part]).unwrap();
        let gate =
            linear::Weights::pack(device, Precision::F32, &[0.5; 64], (8, 8), Orientation::Forward).unwrap();
        let sizes = lstm::Sizes { tokens: 0, hidden: 8 };
        lstm::forward(device, sizes, &[0, 0], [&x, &x], [[&gate; 4]; 2], None, &mut y).unwrap();
        let kept = [(); 2].map(|()| lstm::Kept::scratch(device, sizes));
        let [mut first, mut second] = [(); 2].map(|()| device.zeros::<f32>(0));
        let dx = [&mut first, &mut second];
        lstm::backward(device, sizes, &[0], [[&gate; 4]; 2], &kept, &x, dx).unwrap();
    }
}

#[test]
fn no_rows_leave_gradients_as_they_were() {
    let device = &devices()[0];
    let (x, mut dx) = (device.zeros::<f32>(0), device.zeros::<f32>(0));
    let start = [1.0_f32, -2.0, 3.0];
    let [mut first, mut second, mut third] = [(); 3].map(|()| device.upload(&start));
    let gamma = device.upload(&start);
    let grads = layer_norm::Grads { dx: &mut dx, accumulate: true, dgamma: &mut first, dbeta: &mut second };
    let sizes = layer_norm::Sizes { rows: 0, width: 3, epsilon: 1e-5, kind: layer_norm::Kind::Deviation };
    layer_norm::backward(device, sizes, (&x, &x), &gamma, &x, grads).unwrap();
    let sizes = embedding::Sizes { tokens: 0, vocabulary: 1, width: 3 };
    embedding::backward(device, sizes, &[0], &device.zeros(0), None, &x, &mut third).unwrap();
    let sequences = Sequences { offsets: &[0, 0], direction: Direction::Forward };
    let (sizes, w) = (conv1d::Sizes { tokens: 0, width: 3, filter: 1 }, &gamma);
    let grads = conv1d::Grads { dx: &mut dx, dw: &mut first, db: &mut second };
    conv1d::backward(device, sizes, sequences, &x, (w, &gamma), &x, grads).unwrap();
    let sizes = selective_scan::Sizes { tokens: 0, width: 3, states: 1 };
    let operands = Operands { u: &x, delta: &x, bc: &x, a_log: &gamma, d: &gamma };
    let [mut ddelta, mut dbc] = [(); 2].map(|()| device.zeros(0));
    let grads = selective_scan::Grads {
        du: &mut dx,
        ddelta: &mut ddelta,
        dbc: &mut dbc,
        da_log: &mut second,
        dd: &mut third,
    };
    selective_scan::backward(device, sizes, sequences, operands, &x, &x, grads).unwrap();
    let sizes = (lstm::Sizes { tokens: 0, hidden: 1 }, Precision::F32);
    let mut recurrent = device.upload(&[1.0, -2.0, 3.0, 4.0]);
    lstm::backward_weights(device, sizes, sequences, (&x, &x), (&mut recurrent, true)).unwrap();
    assert_eq!(recurrent.as_slice(), [1.0, -2.0, 3.0, 4.0]);
    for buffer in [first, second, third] {
        assert_eq!(buffer.as_slice(), start);
    }
}
