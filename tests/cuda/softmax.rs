//! Softmax and its logarithm.

use crate::program::program;
use crate::proof::{blind_to_neighbours, check};
use crate::script::{PLANS, Place, Script};
use pliant_kernels::ops::softmax::{Kind, Sizes, TOLERANCE, TOLERANCE_LOGARITHMS, cpu};
use pliant_tests::kernels::inputs::{gather, reals};
use pliant_tests::kernels::{Expected, Inputs};

/// Rows and classes.
const SIZES: [(usize, usize); 6] = [(1, 2), (3, 31), (5, 32), (9, 33), (6, 65), (2, 1030)];

fn softmax(script: &mut Script, kernel: &'static str, x: &[f32], classes: usize) -> Place {
    let (from, y) = (script.reads(x), script.writes::<f32>(x.len()));
    script.launch(kernel).give(from).give(y).give(x.len() / classes).give(classes);
    y
}

#[test]
fn rows_agree_with_the_oracle() {
    for (rows, classes) in SIZES {
        let name = format!("{rows}x{classes}");
        let x = Inputs::new(&format!("softmax {name}")).normal(rows * classes, 3.0);
        let plain = |kind| {
            let mut y = vec![0.0; x.len()];
            cpu::forward(Sizes { rows, classes }, kind, &reals(&x), &mut y);
            y
        };
        let mut script = Script::default();
        let probabilities = softmax(&mut script, "softmax_probabilities", &x, classes);
        let logarithms = softmax(&mut script, "softmax_logarithms", &x, classes);
        let results = [
            (probabilities, Expected::new("probabilities", plain(Kind::Probabilities), TOLERANCE)),
            (logarithms, Expected::new("logarithms", plain(Kind::Logarithms), TOLERANCE_LOGARITHMS)),
        ];
        check("softmax", &name, &script, &results);
    }
}

#[test]
fn rows_are_blind_to_their_neighbours() {
    const LENGTHS: [usize; 4] = [1, 31, 2, 7];
    let mut inputs = Inputs::new("softmax of sequences");
    let rows: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * 33, 3.0)).into();
    for kernel in ["softmax_probabilities", "softmax_logarithms"] {
        blind_to_neighbours("softmax", &LENGTHS.map(|length| length * 33), |order| {
            let mut script = Script::default();
            let y = softmax(&mut script, kernel, &gather(&rows, order), 33);
            (script, y)
        });
    }
}

#[test]
fn a_broken_row_does_not_look_well() {
    let mut x = Inputs::new("broken rows").normal(5 * 40, 1.0);
    x[5] = f32::NAN;
    x[45] = f32::INFINITY;
    x[80..120].fill(f32::NEG_INFINITY);
    x[125] = f32::NEG_INFINITY;
    let mut script = Script::default();
    let places =
        ["softmax_probabilities", "softmax_logarithms"].map(|kernel| softmax(&mut script, kernel, &x, 40));
    let Some(program) = program("softmax") else { return };
    let found = script.run(&program, PLANS[0]).unwrap();
    for place in places {
        let found = found.values(place).reals();
        let broken: Vec<bool> = found.chunks(40).map(|row| row.iter().all(|value| value.is_nan())).collect();
        assert_eq!(broken, [true, true, true, false, false]);
        assert!(found[120..].iter().all(|value| !value.is_nan()));
    }
}
