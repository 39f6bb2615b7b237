//! Rotary position embedding.

use crate::proof::{blind_to_neighbours, check, indices};
use crate::script::{Place, Script};
use pliant_kernels::bf16;
use pliant_kernels::ops::rotary::{Sizes, TOLERANCE, TOLERANCE_BF16, cpu};
use pliant_tests::kernels::inputs::{gather, offsets, reals};
use pliant_tests::kernels::{Expected, Inputs};

/// Heads, head width, lengths of sequences.
const SIZES: [(usize, usize, &[usize]); 5] =
    [(1, 2, &[1]), (3, 16, &[5, 0, 9]), (20, 24, &[33, 1]), (5, 64, &[40, 31]), (2, 128, &[7, 70])];

/// Positions of the table.
const POSITIONS: usize = 70;

/// Cosines and sines of angles as models have them.
fn table(half: usize) -> (Vec<f32>, Vec<f32>) {
    let angle = |at: usize| (at / half) as f32 * 10_000_f32.powf(-((at % half) as f32) / half as f32);
    let angles: Vec<f32> = (0..POSITIONS * half).map(angle).collect();
    (angles.iter().map(|angle| angle.cos()).collect(), angles.iter().map(|angle| angle.sin()).collect())
}

fn turned(
    script: &mut Script,
    (heads, head_width, lengths): (usize, usize, &[usize]),
    x: &[f32],
    (kernel, y): (&'static str, Place),
    scale: f32,
) {
    let (cos, sin) = table(head_width / 2);
    let offsets = offsets(lengths);
    let [cos, sin, x] = [&cos, &sin, x].map(|values| script.reads(values));
    let places = script.reads(&indices(&offsets));
    let launch = script.launch(kernel).give(places).give(cos).give(sin).give(x).give(y);
    launch.give(lengths.len()).give(offsets[lengths.len()]).give(heads).give(head_width).give(scale);
}

#[test]
fn heads_agree_with_the_oracle() {
    for (heads, head_width, lengths) in SIZES {
        let name = format!("{heads}x{head_width} {lengths:?}");
        let (offsets, scale) = (offsets(lengths), 0.125);
        let tokens = offsets[lengths.len()];
        let x = Inputs::new(&format!("rotary {name}")).normal(tokens * heads * head_width, 1.0);
        let (cos, sin) = table(head_width / 2);
        let mut y = vec![0.0; x.len()];
        let sizes = Sizes { tokens, heads, head_width };
        let angles = (&reals(&cos)[..], &reals(&sin)[..]);
        cpu::forward(sizes, &offsets, angles, &reals(&x), f64::from(scale), &mut y);
        let mut script = Script::default();
        let (wide, narrow) = (script.writes::<f32>(x.len()), script.writes::<bf16>(x.len()));
        turned(&mut script, (heads, head_width, lengths), &x, ("rotary_f32", wide), scale);
        turned(&mut script, (heads, head_width, lengths), &x, ("rotary_bf16", narrow), scale);
        let results = [
            (wide, Expected::new("y", y.clone(), TOLERANCE)),
            (narrow, Expected::new("y in bf16", y, TOLERANCE_BF16)),
        ];
        check("rotary", &name, &script, &results);
    }
}

#[test]
fn sequences_are_blind_to_their_neighbours() {
    const LENGTHS: [usize; 4] = [1, 33, 2, 70];
    let width = 3 * 24;
    let mut inputs = Inputs::new("rotary sequences");
    let x: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * width, 1.0)).into();
    blind_to_neighbours("rotary", &LENGTHS.map(|length| width * length), |order| {
        let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
        let (x, mut script) = (gather(&x, order), Script::default());
        let y = script.writes::<f32>(x.len());
        turned(&mut script, (3, 24, &lengths), &x, ("rotary_f32", y), 0.2);
        (script, y)
    });
}
