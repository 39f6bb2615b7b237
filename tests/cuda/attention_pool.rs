//! Attention pooling.

use crate::proof::{blind_to_neighbours, check, indices};
use crate::script::{Place, Script};
use pliant_kernels::ops::attention_pool::{Sizes, TOLERANCE, cpu};
use pliant_tests::kernels::inputs::{gather, offsets, reals};
use pliant_tests::kernels::{Expected, Inputs};

/// Width and token ranges.
const SIZES: [(usize, &[(usize, usize)]); 4] =
    [(1, &[(0, 1)]), (31, &[(1, 4), (5, 37)]), (128, &[(0, 70), (70, 71)]), (300, &[(2, 203)])];

/// Pooled vectors.
fn pooled(script: &mut Script, (x, scores): (&[f32], &[f32]), spans: &[(usize, usize)]) -> Place {
    let width = x.len() / scores.len();
    let ends: Vec<usize> = spans.iter().flat_map(|&(start, end)| [start, end]).collect();
    let ends = script.reads(&indices(&ends));
    let [states, places] = [x, scores].map(|values| script.reads(values));
    let (weights, y) = (script.writes::<f32>(scores.len()), script.writes::<f32>(spans.len() * width));
    let launch = script.launch("attention_pool_weights").give(ends).give(places);
    launch.give(weights).give(spans.len());
    let launch = script.launch("attention_pool_states").give(ends).give(states).give(weights);
    launch.give(y).give(spans.len()).give(width);
    y
}

#[test]
fn vectors_agree_with_the_oracle() {
    for (width, spans) in SIZES {
        let name = format!("{width} {spans:?}");
        let tokens = spans.iter().map(|span| span.1).max().unwrap();
        let mut inputs = Inputs::new(&format!("attention_pool {name}"));
        let (x, scores) = (inputs.normal(tokens * width, 1.0), inputs.normal(tokens, 2.0));
        let mut y = vec![0.0; spans.len() * width];
        let weights = cpu::weights(spans, &reals(&scores));
        cpu::forward(Sizes { tokens, width }, spans, &reals(&x), &weights, &mut y);
        let mut script = Script::default();
        let place = pooled(&mut script, (&x, &scores), spans);
        check("attention_pool", &name, &script, &[(place, Expected::new("y", y, TOLERANCE))]);
    }
}

#[test]
fn sequences_are_blind_to_their_neighbours() {
    const LENGTHS: [usize; 4] = [1, 33, 2, 70];
    let width = 83;
    let mut inputs = Inputs::new("attention_pool sequences");
    let x: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * width, 1.0)).into();
    let scores: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length, 2.0)).into();
    blind_to_neighbours("attention_pool", &[width; 4], |order| {
        let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
        let spans: Vec<(usize, usize)> =
            offsets(&lengths).windows(2).map(|pair| (pair[0], pair[1])).collect();
        let mut script = Script::default();
        let y = pooled(&mut script, (&gather(&x, order), &gather(&scores, order)), &spans);
        (script, y)
    });
}
