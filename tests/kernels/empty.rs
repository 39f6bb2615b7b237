//! Packs without tokens: no operation may fail or touch a number.

use pliant_kernels::cpu::gemm::Orientation;
use pliant_kernels::ops::{cross_entropy, elementwise, embedding, layer_norm, linear, pool, rotary};
use pliant_kernels::{Output, Precision};
use pliant_tests::kernels::devices;

#[test]
fn no_tokens_are_no_error() {
    for device in devices() {
        let (x, mut y) = (device.zeros::<f32>(0), device.zeros::<f32>(0));
        let (ids, vector) = (device.zeros::<u32>(0), device.upload(&[1.0_f32; 8]));
        let sizes = embedding::Sizes { tokens: 0, vocabulary: 1, width: 8 };
        embedding::forward(device, sizes, &[0, 0], &ids, &vector, None, &mut y).unwrap();
        let sizes = layer_norm::Sizes { rows: 0, width: 8, epsilon: 1e-5 };
        layer_norm::forward(device, sizes, &x, &vector, &vector, Output::F32(&mut y), None).unwrap();
        let table = rotary::Table::new(device, &[1.0], 1);
        let sizes = rotary::Sizes { tokens: 0, heads: 4, head_width: 2 };
        rotary::forward(device, sizes, &[0], &table, &x, 1.0, Output::F32(&mut y)).unwrap();
        let sizes = pool::Sizes { tokens: 0, width: 8 };
        pool::forward(device, sizes, pool::Kind::Mean, &[], &x, &mut y, None).unwrap();
        let sizes = cross_entropy::Sizes { rows: 0, classes: 8 };
        cross_entropy::forward(device, sizes, &x, &ids, &mut y).unwrap();
        elementwise::add_into(device, &x, &mut y).unwrap();
        let packed =
            linear::Weights::pack(device, Precision::F32, &[0.5; 8], (1, 8), Orientation::Forward).unwrap();
        let epilogue = linear::Epilogue::Store;
        let part = linear::Part { weights: &packed, bias: None, epilogue, output: Output::F32(&mut y) };
        linear::forward(device, 0, pliant_kernels::Input::F32(&x), &mut [part]).unwrap();
    }
}

#[test]
fn no_rows_leave_gradients_as_they_were() {
    let device = &devices()[0];
    let (x, mut dx) = (device.zeros::<f32>(0), device.zeros::<f32>(0));
    let start = [1.0_f32, -2.0, 3.0];
    let [mut first, mut second, mut third] = [(); 3].map(|()| device.upload(&start));
    let gamma = device.upload(&start);
    let grads = layer_norm::Grads { dx: &mut dx, dgamma: &mut first, dbeta: &mut second };
    let sizes = layer_norm::Sizes { rows: 0, width: 3, epsilon: 1e-5 };
    layer_norm::backward(device, sizes, (&x, &x), &gamma, &x, grads).unwrap();
    let sizes = embedding::Sizes { tokens: 0, vocabulary: 1, width: 3 };
    embedding::backward(device, sizes, &[0], &device.zeros(0), None, &x, &mut third).unwrap();
    for buffer in [first, second, third] {
        assert_eq!(buffer.as_slice(), start);
    }
}
