//! Soft symmetric alignment.

use crate::program::program;
use crate::proof::check;
use crate::script::{PLANS, Place, Script};
use pliant_kernels::ops::soft_alignment::{TOLERANCE, TOLERANCE_WEIGHTS, cpu};
use pliant_tests::kernels::inputs::reals;
use pliant_tests::kernels::{Expected, Inputs};

/// Width and lengths of a pair: smallest, around a warp, around a block, as of real proteins.
const SIZES: [(usize, usize, usize); 6] =
    [(1, 2, 3), (5, 1, 2), (7, 33, 31), (16, 32, 64), (21, 5, 130), (100, 40, 83)];

/// Similarities, weights and score.
fn aligned(script: &mut Script, (a, b): (&[f32], &[f32]), width: usize) -> [Place; 3] {
    let (rows, columns) = (a.len() / width, b.len() / width);
    let [left, right] = [a, b].map(|values| script.reads(values));
    let [s, weights] = [(); 2].map(|()| script.writes::<f32>(rows * columns));
    let [by_row, by_column, sums] = [rows, columns, rows].map(|count| script.writes::<f32>(2 * count));
    let score = script.writes::<f32>(1);
    let launch = script.launch("soft_alignment_similarities").give(left).give(right).give(s);
    launch.give(rows).give(columns).give(width);
    script.launch("soft_alignment_rows").give(s).give(by_row).give(rows).give(columns);
    script.launch("soft_alignment_columns").give(s).give(by_column).give(rows).give(columns);
    let launch = script.launch("soft_alignment_weights").give(s).give(by_row).give(by_column);
    launch.give(weights).give(sums).give(rows).give(columns);
    script.launch("soft_alignment_score").give(sums).give(score).give(rows);
    [s, weights, score]
}

#[test]
fn pairs_agree_with_the_oracle() {
    for (width, rows, columns) in SIZES {
        let name = format!("{rows}x{columns}x{width}");
        let mut inputs = Inputs::new(&format!("soft_alignment {name}"));
        let spread = 4.0 / (width as f32 + 8.0);
        let [a, b] = [rows, columns].map(|length| inputs.normal(length * width, spread));
        let plain = cpu::matrices(width, &reals(&a), &reals(&b));
        let mut script = Script::default();
        let [s, weights, score] = aligned(&mut script, (&a, &b), width);
        let results = [
            (s, Expected::new("similarities", plain.similarities, TOLERANCE)),
            (weights, Expected::new("weights", plain.weights, TOLERANCE_WEIGHTS)),
            (score, Expected::new("score", vec![plain.score], TOLERANCE)),
        ];
        check("soft_alignment", &name, &script, &results);
    }
}

#[test]
fn what_is_not_a_number_is_seen_in_the_score() {
    let mut a = Inputs::new("soft_alignment broken").normal(8 * 40, 0.3);
    let b = a.clone();
    a[17] = f32::NAN;
    let mut script = Script::default();
    let [_, _, score] = aligned(&mut script, (&a, &b), 8);
    let Some(program) = program("soft_alignment") else { return };
    assert!(script.run(&program, PLANS[0]).unwrap().values(score).reals()[0].is_nan());
}
