//! Pooled sequences and attention maps.

use crate::ops::{self, Kind};
use crate::{Ids, Offsets, Param, ParamKind, Tape, Tensor};
use pliant_kernels::{Device, Precision};
use std::sync::Arc;

const WIDTH: usize = 3;
const TABLE: [f32; 15] = [0.5, -1.0, 2.0, 1.5, 0.25, -0.5, -2.0, 0.75, 1.0, 0.1, 0.2, 0.3, 3.0, -3.0, 0.0];

/// Share that row `token` of a span of `rows` has in the pooled value of one column.
fn share(kind: Kind, rows: &[usize], token: usize, column: usize) -> f64 {
    let value = |row: usize| TABLE[row * WIDTH + column];
    let first = |row: usize| f64::from(u8::from(row == token));
    match kind {
        Kind::Mean => 1.0 / rows.len() as f64,
        Kind::Sum => 1.0,
        Kind::Cls => first(0),
        Kind::Max => first(
            (0..rows.len()).fold(0, |best, i| if value(rows[i]) > value(rows[best]) { i } else { best }),
        ),
    }
}

/// The pooled vectors serve as scores of a cross-entropy, so gradients are known in closed form.
#[test]
fn pooled_gradients_reach_the_tokens_they_come_from() {
    let device = Device::cpu(1).unwrap();
    let (ids, targets) = ([0_u32, 3, 1, 2, 4], [2_u32, 0]);
    for kind in [Kind::Mean, Kind::Sum, Kind::Cls, Kind::Max] {
        let table = Param::trainable(&device, Precision::F32, "t", &[5, WIDTH], &TABLE, ParamKind::Table);
        let table = Arc::new(table.unwrap());
        let tape = Tape::on(&device, Precision::F32);
        let offsets = Offsets::new(&[0, 3, 5]).unwrap();
        let x = ops::embedding(&tape, &Ids::new(&device, &ids), &offsets, &table, None).unwrap();
        let spans = if kind == Kind::Cls { [(0, 1), (3, 4)] } else { [(0, 3), (3, 5)] };
        // Pooled twice, so that the second gradient is added to the first.
        let half = ops::scale(&tape, &ops::pool(&tape, &x, kind, &spans).unwrap(), 0.5).unwrap();
        let other = ops::scale(&tape, &ops::pool(&tape, &x, kind, &spans).unwrap(), 0.5).unwrap();
        let pooled = ops::add(&tape, &half, &other).unwrap();
        let scores = pooled.to_vec_f32();
        let loss = ops::cross_entropy(&tape, &pooled, &Ids::new(&device, &targets)).unwrap();
        tape.backward(&loss).unwrap();
        let mut wanted = vec![0.0; TABLE.len()];
        for (b, target) in targets.into_iter().enumerate() {
            let rows: Vec<_> = ids[offsets.range(b)].iter().map(|&id| id as usize).collect();
            let scores = &scores[b * WIDTH..(b + 1) * WIDTH];
            let total: f64 = scores.iter().map(|&score| f64::from(score).exp()).sum();
            for (column, &score) in scores.iter().enumerate() {
                let hit = f64::from(u8::from(column == target as usize));
                let slope = (f64::from(score).exp() / total - hit) / 2.0;
                for (token, row) in rows.iter().enumerate() {
                    wanted[row * WIDTH + column] += slope * share(kind, &rows, token, column);
                }
            }
        }
        for (found, wanted) in table.grad().iter().zip(&wanted) {
            assert!((f64::from(*found) - wanted).abs() < 1e-6, "{kind:?}: {found} {wanted}");
        }
        assert!(wanted.iter().any(|value| value.abs() > 0.05));
    }
}

#[test]
fn attention_maps_are_probabilities_of_one_sequence() {
    let device = Device::cpu(1).unwrap();
    let offsets = Offsets::new(&[0, 2, 5]).unwrap();
    let values: Vec<f32> = (0..5 * 16).map(|i| (i * 7 % 13) as f32 / 6.0 - 1.0).collect();
    let x = Tensor::from_f32(&device, [5, 16], &values).unwrap();
    let tape = Tape::off(&device, Precision::F32);
    let maps = ops::attention_probs(&tape, &x, &x, &offsets, 2, 1).unwrap();
    assert_eq!(maps.len(), 2 * 3 * 3);
    for row in maps.chunks(3) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(row.iter().any(|&p| (p - 1.0 / 3.0).abs() > 0.05));
    }
    assert!(ops::attention_probs(&tape, &x, &x, &offsets, 2, 2).is_err());
    assert!(ops::attention_probs(&tape, &x, &x, &offsets, 3, 0).is_err());
}
