//! Operations on single numbers.

use crate::program::program;
use crate::proof::check;
use crate::script::{PLANS, Place, Script};
use pliant_kernels::ops::elementwise::{
    Activation, TOLERANCE, TOLERANCE_ACTIVATION, TOLERANCE_BF16, TOLERANCE_GATE, cpu,
};
use pliant_kernels::{Tolerance, bf16};
use pliant_tests::kernels::case::assert_same_bits;
use pliant_tests::kernels::compare::narrowed;
use pliant_tests::kernels::inputs::{reals, rounded, rounded_reals};
use pliant_tests::kernels::{Expected, Inputs, Values};

/// An operation on two lists, as the oracle has it.
type Plain<'a> = &'a dyn Fn(&[f64], &[f64], &mut [f64]);

const LENGTHS: [usize; 5] = [1, 127, 128, 129, 1000];

#[test]
fn sums_products_and_roundings_agree_with_the_oracle() {
    for length in LENGTHS {
        let mut inputs = Inputs::new(&format!("elementwise {length}"));
        let [a, b] = [(); 2].map(|()| inputs.normal(length, 3.0));
        let plain = |compute: Plain| {
            let mut y = vec![0.0; length];
            compute(&reals(&a), &reals(&b), &mut y);
            y
        };
        let mut script = Script::default();
        let [left, right] = [&a, &b].map(|values| script.reads(values));
        let mut two = |kernel| {
            let y = script.writes::<f32>(length);
            script.launch(kernel).give(left).give(right).give(y).give(length as u64);
            y
        };
        let [sum, product] = ["elementwise_add", "elementwise_multiply"].map(&mut two);
        let (grown, scaled) = (script.changes(&a), script.changes(&a));
        script.launch("elementwise_add_into").give(right).give(grown).give(length as u64);
        script.launch("elementwise_scale").give(scaled).give(length as u64).give(0.3_f32);
        let (narrow, wide) = (script.writes::<bf16>(length), script.writes::<f32>(length));
        script.launch("elementwise_to_bf16").give(left).give(narrow).give(length as u64);
        script.launch("elementwise_to_f32").give(narrow).give(wide).give(length as u64);
        let mut by_factor = reals(&a);
        cpu::scale(f64::from(0.3_f32), &mut by_factor);
        let exact = Tolerance { absolute: 1e-30, relative: 1e-9 };
        let results = [
            (sum, Expected::new("a + b", plain(&cpu::add), TOLERANCE)),
            (product, Expected::new("a · b", plain(&cpu::multiply), TOLERANCE)),
            (grown, Expected::new("a += b", plain(&cpu::add), TOLERANCE)),
            (scaled, Expected::new("a *= 0.3", by_factor, TOLERANCE)),
            (narrow, Expected::new("bf16", reals(&a), TOLERANCE_BF16)),
            (wide, Expected::new("bf16 and back", rounded_reals(&a), exact)),
        ];
        check("elementwise", &length.to_string(), &script, &results);
    }
}

#[test]
fn distances_and_activations_agree_with_the_oracle() {
    for length in LENGTHS {
        let mut inputs = Inputs::new(&format!("activations {length}"));
        let [mut a, b] = [(); 2].map(|()| inputs.normal(length, 3.0));
        // So that a number alone is not cut to zero, which no comparison could tell from nothing.
        a[0] = a[0].abs();
        let mut script = Script::default();
        let [left, right] = [&a, &b].map(|values| script.reads(values));
        let (apart, mut wanted) = (script.writes::<f32>(length), vec![0.0; length]);
        let launch = script.launch("elementwise_distance").give(left).give(right);
        launch.give(apart).give(length as u64);
        cpu::distance(&reals(&a), &reals(&b), &mut wanted);
        let mut results = vec![(apart, Expected::new("|a - b|", wanted, TOLERANCE))];
        for (activation, kernel) in [
            (Activation::Relu, "elementwise_relu"),
            (Activation::Tanh, "elementwise_tanh"),
            (Activation::Logistic, "elementwise_logistic"),
        ] {
            let (y, mut wanted) = (script.writes::<f32>(length), vec![0.0; length]);
            script.launch(kernel).give(left).give(y).give(length as u64);
            cpu::activate(activation, &reals(&a), &mut wanted);
            results.push((y, Expected::new(kernel, wanted, TOLERANCE_ACTIVATION)));
        }
        check("elementwise", &length.to_string(), &script, &results);
    }
}

#[test]
fn gates_agree_with_the_oracle() {
    for length in LENGTHS {
        let mut inputs = Inputs::new(&format!("gates {length}"));
        let [a, b, z] = [(); 3].map(|()| inputs.normal(length, 3.0));
        let mut script = Script::default();
        let places: [Place; 3] = [&a, &b, &z].map(|values| script.reads(values));
        for second in [true, false] {
            let mut y = vec![0.0; length];
            let other = reals(&b);
            cpu::gate((&reals(&a), second.then_some(&other[..])), &reals(&z), &mut y);
            let (wide, narrow) = (script.writes::<f32>(length), script.writes::<bf16>(length));
            for (kernel, place) in [("elementwise_gate_f32", wide), ("elementwise_gate_bf16", narrow)] {
                let launch = script.launch(kernel).give(places[0]).give(second.then_some(places[1]));
                launch.give(places[2]).give(place).give(length as u64);
            }
            let results = [
                (wide, Expected::new("gate", y.clone(), TOLERANCE_GATE)),
                (narrow, Expected::new("gate in bf16", y, narrowed(TOLERANCE_GATE))),
            ];
            check("elementwise", &length.to_string(), &script, &results);
        }
    }
}

/// Ties, both zeros, the largest number, denormal numbers, infinities and what is not a number.
#[test]
fn rounding_is_that_of_another_library_and_denormal_numbers_are_zero() {
    let special = [
        0x3f80_8000,
        0x3f81_8000,
        0x3f80_8001,
        0x3f80_7fff,
        0x8000_0000,
        0,
        0x7f7f_ffff,
        0x7f80_0000,
        0xff80_0000,
        0x7fc0_0001,
        0x7f80_0001,
        0xffff_ffff,
        0x0080_0000,
        0x807f_ffff,
        0x0000_0001,
    ];
    let mut bits: Vec<u32> = Inputs::new("rounding").words(4000);
    bits.extend(special);
    let x: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
    let flushed: Vec<f32> =
        x.iter().map(|x| if x.is_subnormal() { 0.0_f32.copysign(*x) } else { *x }).collect();
    let mut script = Script::default();
    let (from, y) = (script.reads(&x), script.writes::<bf16>(x.len()));
    script.launch("elementwise_to_bf16").give(from).give(y).give(x.len() as u64);
    let Some(program) = program("elementwise") else { return };
    let found = script.run(&program, PLANS[0]).unwrap();
    assert_same_bits("to bf16", &found.values(y).bits(), &Values::Bf16(rounded(&flushed)).bits());
}
