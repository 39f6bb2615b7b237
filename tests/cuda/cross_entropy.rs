//! Losses of rows.

use crate::proof::{blind_to_neighbours, check};
use crate::script::{Place, Script};
use pliant_kernels::ops::cross_entropy::{IGNORE, Sizes, TOLERANCE, cpu};
use pliant_tests::kernels::inputs::{gather, reals};
use pliant_tests::kernels::{Expected, Inputs};

/// Rows and classes.
const SIZES: [(usize, usize); 5] = [(1, 2), (3, 31), (9, 33), (40, 32), (6, 1030)];

fn losses(script: &mut Script, logits: &[f32], targets: &[u32], classes: usize) -> Place {
    let (logits, y) = (script.reads(logits), script.writes::<f32>(targets.len()));
    let places = script.reads(targets);
    script.launch("cross_entropy_losses").give(logits).give(places).give(y).give(targets.len()).give(classes);
    y
}

#[test]
fn losses_agree_with_the_oracle() {
    for (rows, classes) in SIZES {
        let name = format!("{rows}x{classes}");
        let mut inputs = Inputs::new(&format!("cross_entropy {name}"));
        let (logits, mut targets) = (inputs.normal(rows * classes, 3.0), inputs.ids(rows, classes as u32));
        targets.iter_mut().skip(1).step_by(3).for_each(|target| *target = IGNORE);
        let mut wanted = vec![0.0; rows];
        cpu::forward(Sizes { rows, classes }, &reals(&logits), &targets, &mut wanted);
        let mut script = Script::default();
        let place = losses(&mut script, &logits, &targets, classes);
        check("cross_entropy", &name, &script, &[(place, Expected::new("losses", wanted, TOLERANCE))]);
    }
}

#[test]
fn rows_are_blind_to_their_neighbours() {
    const LENGTHS: [usize; 4] = [1, 31, 2, 7];
    let mut inputs = Inputs::new("losses of sequences");
    let logits: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * 33, 3.0)).into();
    let targets: Vec<Vec<u32>> = LENGTHS.map(|length| inputs.ids(length, 33)).into();
    blind_to_neighbours("cross_entropy", &LENGTHS, |order| {
        let mut script = Script::default();
        let y = losses(&mut script, &gather(&logits, order), &gather(&targets, order), 33);
        (script, y)
    });
}
