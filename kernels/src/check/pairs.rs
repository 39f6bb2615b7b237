//! The operations of heads and of pairs of sequences.

use super::cases::{LENGTHS, PRECISIONS, case, near, offsets, rounded, some};
use super::inputs::{Operand, numbers};
use super::{Case, Extent};
use crate::ops::{attention_pool, conv2d, ordinal, pair_features, pair_logits, soft_alignment};

/// All of them.
pub(super) fn all(extent: Extent, cases: &mut Vec<Case>) {
    cases.push(case("attention_pool", "spans of a pack".to_owned(), |device| {
        let sizes = attention_pool::Sizes { tokens: LENGTHS.iter().sum(), width: 70 };
        let spans: Vec<(usize, usize)> =
            offsets(&LENGTHS).windows(2).map(|pair| (pair[0], pair[1])).collect();
        let x = device.upload(&numbers(40, sizes.tokens * sizes.width));
        let scores = device.upload(&numbers(41, sizes.tokens));
        let (mut weights, mut y) = (device.scratch(sizes.tokens), device.scratch(spans.len() * sizes.width));
        attention_pool::forward(device, sizes, &spans, (&x, &scores), &mut weights, &mut y)?;
        Ok(vec![
            near("weights", weights.as_slice().to_vec(), attention_pool::TOLERANCE),
            near("y", y.as_slice().to_vec(), attention_pool::TOLERANCE),
        ])
    }));
    cases.push(case("ordinal", "four thresholds".to_owned(), |device| {
        let sizes = ordinal::Sizes { rows: 131, thresholds: 4 };
        let scores = device.upload(&numbers(42, sizes.rows));
        let [weights, shifts] = [43, 44].map(|stream| device.upload(&numbers(stream, 4)));
        let (mut logits, mut levels) = (device.scratch(131 * 4), device.scratch(131 * 5));
        ordinal::forward(device, sizes, &scores, (&weights, &shifts), &mut logits)?;
        ordinal::levels(device, sizes, &logits, &mut levels)?;
        Ok(vec![
            near("logits", logits.as_slice().to_vec(), ordinal::TOLERANCE),
            near("levels", levels.as_slice().to_vec(), ordinal::TOLERANCE),
        ])
    }));
    maps(extent, cases);
    alignments(cases);
    logits(cases);
}

fn maps(extent: Extent, cases: &mut Vec<Case>) {
    for precision in PRECISIONS {
        cases.push(case("pair_features", precision.name().to_owned(), move |device| {
            let sizes = pair_features::Sizes { length: 19, width: 35 };
            let z = device.upload(&numbers(45, sizes.length * sizes.width));
            let mut features = Operand::room(device, precision, sizes.features());
            pair_features::forward(device, sizes, &z, features.output())?;
            Ok(vec![near("features", features.to_vec(), rounded(pair_features::TOLERANCE, precision))])
        }));
    }
    for (height, breadth, side) in some(extent, &[(1, 1, 3), (9, 17, 1), (13, 7, 7)]) {
        cases.push(case("conv2d", format!("{height}x{breadth} side {side}"), move |device| {
            let sizes = conv2d::Sizes { height, breadth, inputs: 5, outputs: 3, side };
            let x = device.upload(&numbers(46, sizes.places() * sizes.inputs));
            let weights = device.upload(&numbers(47, sizes.weights()));
            let shifts = device.upload(&numbers(48, sizes.outputs));
            let mut y = device.scratch(sizes.places() * sizes.outputs);
            conv2d::forward(device, sizes, &x, (&weights, &shifts), &mut y)?;
            Ok(vec![near("y", y.as_slice().to_vec(), conv2d::TOLERANCE)])
        }));
    }
}

fn alignments(cases: &mut Vec<Case>) {
    cases.push(case("soft_alignment", "pairs".to_owned(), |device| {
        let (first, second) = (offsets(&LENGTHS), offsets(&[31, 1, 40, 9, 64]));
        let side = |stream: u32, offsets: &[usize]| device.upload(&numbers(stream, offsets[5] * 20));
        let (a, b) = (side(49, &first), side(50, &second));
        let pairs = soft_alignment::Pairs {
            width: 20,
            a: soft_alignment::Side { vectors: &a, offsets: &first },
            b: soft_alignment::Side { vectors: &b, offsets: &second },
        };
        let mut scores = device.scratch(5);
        soft_alignment::forward(device, pairs, &mut scores)?;
        let (one, other) = (device.upload(&numbers(51, 33 * 20)), device.upload(&numbers(52, 65 * 20)));
        let pair = soft_alignment::Pairs {
            width: 20,
            a: soft_alignment::Side { vectors: &one, offsets: &[0, 33] },
            b: soft_alignment::Side { vectors: &other, offsets: &[0, 65] },
        };
        let [mut similarities, mut weights] = [(); 2].map(|()| device.scratch(33 * 65));
        let score = soft_alignment::matrices(device, pair, &mut similarities, &mut weights)?;
        Ok(vec![
            near("scores", scores.as_slice().to_vec(), soft_alignment::TOLERANCE),
            near("score", vec![score], soft_alignment::TOLERANCE),
            near("similarities", similarities.as_slice().to_vec(), soft_alignment::TOLERANCE),
            near("weights", weights.as_slice().to_vec(), soft_alignment::TOLERANCE_WEIGHTS),
        ])
    }));
}

fn logits(cases: &mut Vec<Case>) {
    for (rows, columns, units) in [(33, 70, 128), (5, 31, 3)] {
        cases.push(case("pair_logits", format!("{rows}x{columns}, {units} units"), move |device| {
            let sizes = pair_logits::Sizes { rows, columns, units };
            let (first, second) =
                (device.upload(&numbers(57, rows * units)), device.upload(&numbers(58, columns * units)));
            let weights = numbers(59, units);
            let (tolerance, weights) = (pair_logits::tolerance(&weights), device.upload(&weights));
            let mut y = device.scratch(rows * columns);
            pair_logits::forward(device, sizes, (&first, &second), (&weights, 0.3), &mut y)?;
            Ok(vec![near("y", y.as_slice().to_vec(), tolerance)])
        }));
    }
}
