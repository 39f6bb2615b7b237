//! Layers of an LSTM.

use super::cases::{LENGTHS, Outcomes, PRECISIONS, case, different, near, offsets, some};
use super::inputs::numbers;
use super::{Case, Extent, Outcome};
use crate::cpu::gemm::Orientation;
use crate::error::KernelError;
use crate::ops::linear::Weights;
use crate::ops::lstm::{self, GATES, Sizes};
use crate::{Device, Precision};

pub(super) fn all(extent: Extent, cases: &mut Vec<Case>) {
    for hidden in some(extent, &[1, 16, 37]) {
        for precision in PRECISIONS {
            // Gates as parts of one matrix, and as matrices of their own.
            for whole in [true, false] {
                let what = format!("{hidden} units {} in one {whole}", precision.name());
                cases.push(case("lstm", what, move |device| layer(device, hidden, precision, whole)));
            }
        }
    }
}

/// The recurrent weights of the four gates of a direction.
fn gates(
    device: &Device,
    (stream, hidden): (u32, usize),
    precision: Precision,
    whole: bool,
) -> Result<[Weights; GATES], KernelError> {
    let scale = 1.0 / (hidden as f32).sqrt();
    let rows = GATES * hidden;
    let values: Vec<f32> = numbers(stream, rows * hidden).into_iter().map(|value| scale * value).collect();
    let matrix = Weights::pack(device, precision, &values, (rows, hidden), Orientation::Forward)?;
    let gate = |gate: usize| {
        let part = gate * hidden..(gate + 1) * hidden;
        if whole {
            return matrix.take_rows(device, part);
        }
        Weights::pack_rows(device, precision, &values, ((rows, hidden), part), Orientation::Forward)
    };
    Ok([gate(0)?, gate(1)?, gate(2)?, gate(3)?])
}

fn layer(device: &Device, hidden: usize, precision: Precision, whole: bool) -> Outcomes {
    let weights = [53, 54].map(|stream| gates(device, (stream, hidden), precision, whole));
    let [there, back] = weights;
    let (there, back) = (there?, back?);
    let tokens: usize = LENGTHS.iter().sum();
    let inputs = [55, 56].map(|stream| numbers(stream, tokens * GATES * hidden));
    let run = |lengths: &[usize], rows: std::ops::Range<usize>| {
        let wide = GATES * hidden;
        let [one, other] =
            inputs.each_ref().map(|values| device.upload(&values[rows.start * wide..rows.end * wide]));
        let sizes = Sizes { tokens: rows.len(), hidden };
        let mut h = device.scratch(2 * sizes.cells());
        let gates = [there.each_ref(), back.each_ref()];
        lstm::forward(device, sizes, &offsets(lengths), [&one, &other], gates, None, &mut h)?;
        Ok::<_, KernelError>(h.as_slice().to_vec())
    };
    let (together, borders) = (run(&LENGTHS, 0..tokens)?, offsets(&LENGTHS));
    let mut differences = Vec::new();
    for pair in borders.windows(2) {
        let alone = run(&[pair[1] - pair[0]], pair[0]..pair[1])?;
        differences.extend(different(&alone, &together[2 * hidden * pair[0]..2 * hidden * pair[1]]));
    }
    let tolerance = match precision {
        Precision::F32 => lstm::TOLERANCE,
        Precision::Bf16 | Precision::Int8 => lstm::TOLERANCE_BF16,
    };
    Ok(vec![near("h", together, tolerance), Outcome { what: "bits", values: differences, tolerance: None }])
}
