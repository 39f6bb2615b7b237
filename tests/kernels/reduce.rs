//! Proofs of the sums over all numbers.

use pliant_kernels::Device;
use pliant_kernels::ops::reduce::{self, TOLERANCE, TOLERANCE_MEAN, cpu};
use pliant_tests::kernels::inputs::reals;
use pliant_tests::kernels::{Case, Expected, Fixture, Found, Inputs, Values, assert_close, devices};

/// Lengths: one, around a vector, around a piece of work, large.
const LENGTHS: [usize; 9] = [1, 15, 16, 17, 33, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 100_003];

fn sum(device: &Device, x: &[f32]) -> f64 {
    reduce::sum_of_squares(device, &device.upload(x)).unwrap()
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |length| {
        let x = Inputs::new(&format!("reduce {length}")).normal(length, 3.0);
        let oracle = vec![
            Expected::new("squares", vec![cpu::sum_of_squares(&reals(&x))], TOLERANCE),
            Expected::new("mean", vec![cpu::mean_over(&reals(&x), 7)], TOLERANCE_MEAN),
        ];
        let fast = move |device: &Device| {
            let mean = reduce::mean_over(device, "reduce", &device.upload(&x), 7).unwrap();
            let squares = Found::new("squares", Values::F64(vec![sum(device, &x)]));
            vec![squares, Found::new("mean", Values::F32(vec![mean]))]
        };
        Case { name: format!("reduce {length}"), fast: Box::new(fast), oracle }
    };
    LENGTHS.map(case).into()
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("reduce");
    let (x, wanted) = (file.f32("x"), file.f64("sum_of_squares"));
    assert_close("plain", &[cpu::sum_of_squares(&reals(&x))], &wanted, TOLERANCE);
    for device in devices() {
        assert_close("fast", &[sum(device, &x)], &wanted, TOLERANCE);
    }
}

#[test]
fn a_sum_is_finite_exactly_when_all_numbers_are() {
    for device in devices() {
        assert_eq!(sum(device, &[]), 0.0);
        let mut x = vec![f32::MAX; 20_000];
        assert!(sum(device, &x).is_finite());
        for place in [0, 3, 16_383, 16_384, 19_999] {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let before = std::mem::replace(&mut x[place], value);
                assert!(!sum(device, &x).is_finite(), "{value} at {place} on {}", device.describe());
                x[place] = before;
            }
        }
    }
}
