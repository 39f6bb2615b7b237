//! The same network as plain sums in f64, token by token.

use super::network::{
    EPSILON, HEAD_WIDTH, HEADS, IDS, MASK, OFFSETS, SCALE, SHAPES, TARGETS, TRAIN_FRACTION, WIDTH,
    frequencies, values,
};
use crate::ops::IGNORE;
use std::collections::BTreeMap;

pub(super) type Values = BTreeMap<&'static str, Vec<f64>>;
type Rows = Vec<Vec<f64>>;

pub(super) fn parameters() -> Values {
    let widened = |name, shape: &[usize]| values(name, shape.iter().product()).into_iter().map(f64::from);
    SHAPES.iter().map(|&(name, shape)| (name, widened(name, shape).collect())).collect()
}

fn linear(x: &Rows, weight: &[f64], bias: &[f64]) -> Rows {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let row = |x: &Vec<f64>| weight.chunks(x.len()).zip(bias).map(|(w, b)| dot(x, w) + b).collect();
    x.iter().map(row).collect()
}

fn norm(x: &Rows, gamma: &[f64], beta: &[f64]) -> Rows {
    let row = |x: &Vec<f64>| {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let deviation = (variance + f64::from(EPSILON)).sqrt();
        x.iter().zip(gamma).zip(beta).map(|((v, g), b)| (v - mean) / deviation * g + b).collect()
    };
    x.iter().map(row).collect()
}

fn sum(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

fn embed(table: &[f64]) -> Rows {
    let mut rows = Rows::new();
    for pair in OFFSETS.windows(2) {
        let ids = &IDS[pair[0]..pair[1]];
        let masks = ids.iter().filter(|&&id| id == MASK).count() as f64 / ids.len() as f64;
        let factor = (1.0 - f64::from(TRAIN_FRACTION)) / (1.0 - masks);
        rows.extend(ids.iter().map(|&id| {
            let row = &table[id as usize * WIDTH..(id as usize + 1) * WIDTH];
            row.iter().map(|value| if id == MASK { 0.0 } else { value * factor }).collect()
        }));
    }
    rows
}

fn turn(x: &Rows, scale: f64) -> Rows {
    let half = HEAD_WIDTH / 2;
    let starts = OFFSETS.windows(2).flat_map(|pair| vec![pair[0]; pair[1] - pair[0]]);
    let mut rows = Rows::new();
    for ((token, x), start) in x.iter().enumerate().zip(starts) {
        let mut row = vec![0.0; WIDTH];
        for head in 0..HEADS {
            for (j, frequency) in frequencies().into_iter().enumerate() {
                let angle = f64::from((token - start) as f32 * frequency);
                let (a, b) = (head * HEAD_WIDTH + j, head * HEAD_WIDTH + j + half);
                row[a] = scale * (x[a] * angle.cos() - x[b] * angle.sin());
                row[b] = scale * (x[b] * angle.cos() + x[a] * angle.sin());
            }
        }
        rows.push(row);
    }
    rows
}

fn attend(q: &Rows, k: &Rows, v: &Rows) -> Rows {
    let mut out = vec![vec![0.0; WIDTH]; q.len()];
    for pair in OFFSETS.windows(2) {
        for i in pair[0]..pair[1] {
            for head in 0..HEADS {
                let columns = head * HEAD_WIDTH..(head + 1) * HEAD_WIDTH;
                let score = |j: usize| columns.clone().map(|c| q[i][c] * k[j][c]).sum::<f64>().exp();
                let scores: Vec<_> = (pair[0]..pair[1]).map(score).collect();
                let total: f64 = scores.iter().sum();
                for c in columns.clone() {
                    let mixed = scores.iter().zip(&v[pair[0]..pair[1]]).map(|(p, v)| p * v[c]);
                    out[i][c] = mixed.sum::<f64>() / total;
                }
            }
        }
    }
    out
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + libm::erf(x / std::f64::consts::SQRT_2))
}

/// Loss of the network, with the embedding added once more after the block.
pub(super) fn loss(p: &Values) -> f64 {
    let part = |x: &Rows, name: &str| {
        linear(x, &p[format!("{name}.weight").as_str()], &p[format!("{name}.bias").as_str()])
    };
    let start = embed(&p["table"]);
    let normed = norm(&start, &p["norm1.weight"], &p["norm1.bias"]);
    let q = turn(&part(&normed, "query"), f64::from(SCALE));
    let k = turn(&part(&normed, "key"), 1.0);
    let attended = sum(&part(&attend(&q, &k, &part(&normed, "value")), "output"), &start);
    let up = part(&norm(&attended, &p["norm2.weight"], &p["norm2.bias"]), "up");
    let up: Rows = up.into_iter().map(|row| row.into_iter().map(gelu).collect()).collect();
    let fed = sum(&part(&up, "down"), &attended);
    let logits = linear(&sum(&fed, &start), &p["table"], &p["head.bias"]);
    let counted = || logits.iter().zip(TARGETS).filter(|(_, target)| *target != IGNORE);
    let row = |(row, target): (&Vec<f64>, u32)| {
        row.iter().map(|logit| logit.exp()).sum::<f64>().ln() - row[target as usize]
    };
    counted().map(row).sum::<f64>() / counted().count() as f64
}

/// Slope of the loss at one value, by central differences.
pub(super) fn slope(p: &mut Values, name: &'static str, index: usize) -> f64 {
    const STEP: f64 = 1e-5;
    let mut at = |value: f64| {
        if let Some(values) = p.get_mut(name) {
            values[index] = value;
        }
        loss(p)
    };
    let value = f64::from(values(name, index + 1)[index]);
    let slope = (at(value + STEP) - at(value - STEP)) / (2.0 * STEP);
    at(value);
    slope
}
