//! Pooling.

use crate::proof::{blind_to_neighbours, check, indices};
use crate::script::{Place, Script};
use pliant_kernels::Tolerance;
use pliant_kernels::ops::pool::{Kind, Sizes, TOLERANCE, TOLERANCE_SUM, cpu};
use pliant_tests::kernels::case::WHOLE;
use pliant_tests::kernels::inputs::{gather, offsets, reals};
use pliant_tests::kernels::{Expected, Inputs};

/// Width and token ranges.
const SIZES: [(usize, &[(usize, usize)]); 4] =
    [(1, &[(0, 1)]), (31, &[(1, 4), (5, 37)]), (128, &[(0, 70), (3, 9), (70, 71)]), (300, &[(2, 203)])];

fn pooled(
    script: &mut Script,
    kernel: &'static str,
    (spans, width): (&[(usize, usize)], usize),
    x: Place,
) -> (Place, Option<Place>) {
    let ends: Vec<usize> = spans.iter().flat_map(|&(start, end)| [start, end]).collect();
    let (ends, y) = (script.reads(&indices(&ends)), script.writes::<f32>(spans.len() * width));
    let places = (kernel == "pool_max").then(|| script.writes::<u32>(spans.len() * width));
    let launch = script.launch(kernel).give(ends).give(x).give(y);
    if let Some(places) = places {
        launch.give(places);
    }
    launch.give(spans.len()).give(width);
    (y, places)
}

#[test]
fn vectors_agree_with_the_oracle() {
    const EXACT: Tolerance = Tolerance { absolute: 1e-30, relative: 1e-9 };
    for (width, spans) in SIZES {
        let name = format!("{width} {spans:?}");
        let tokens = spans.iter().map(|span| span.1).max().unwrap();
        // Few different values, so that maxima are met more than once.
        let draw = Inputs::new(&format!("pool {name}")).normal(tokens * width, 1.0);
        let x: Vec<f32> = draw.iter().map(|value| (value * 4.0).round() / 4.0 + 0.01).collect();
        let first: Vec<(usize, usize)> = spans.iter().map(|&(start, _)| (start, start + 1)).collect();
        let plain = |kind, spans: &[(usize, usize)]| {
            let mut y = vec![0.0; spans.len() * width];
            let mut places = vec![0; y.len()];
            cpu::forward(Sizes { tokens, width }, kind, spans, &reals(&x), &mut y, &mut places);
            (y, places.into_iter().map(f64::from).collect::<Vec<f64>>())
        };
        let mut script = Script::default();
        let states = script.reads(&x);
        let (mean, _) = pooled(&mut script, "pool_mean", (spans, width), states);
        let (sum, _) = pooled(&mut script, "pool_sum", (spans, width), states);
        let (cls, _) = pooled(&mut script, "pool_cls", (&first, width), states);
        let (max, places) = pooled(&mut script, "pool_max", (spans, width), states);
        let largest = plain(Kind::Max, spans);
        let results = [
            (mean, Expected::new("mean", plain(Kind::Mean, spans).0, TOLERANCE)),
            (sum, Expected::new("sum", plain(Kind::Sum, spans).0, TOLERANCE_SUM)),
            (cls, Expected::new("cls", plain(Kind::Cls, &first).0, EXACT)),
            (max, Expected::new("max", largest.0, EXACT)),
        ];
        check("pool", &name, &script, &results);
        if tokens > 1 {
            check("pool", &name, &script, &[(places.unwrap(), Expected::new("places", largest.1, WHOLE))]);
        }
    }
}

#[test]
fn sequences_are_blind_to_their_neighbours() {
    const LENGTHS: [usize; 4] = [1, 33, 2, 70];
    let width = 83;
    let mut inputs = Inputs::new("pool sequences");
    let x: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * width, 1.0)).into();
    blind_to_neighbours("pool", &[width; 4], |order| {
        let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
        let spans: Vec<(usize, usize)> =
            offsets(&lengths).windows(2).map(|pair| (pair[0], pair[1])).collect();
        let mut script = Script::default();
        let x = script.reads(&gather(&x, order));
        let (y, _) = pooled(&mut script, "pool_mean", (&spans, width), x);
        (script, y)
    });
}
