//! The operations of inference, each on sizes around those at which kernels change their ways.

use super::inputs::{Operand, indices, numbers};
use super::{Case, Extent, Outcome};
use crate::cpu::gemm::Orientation;
use crate::error::KernelError;
use crate::ops::elementwise::Activation;
use crate::ops::{
    attention, contacts, conv1d, cross_entropy, elementwise, embedding, layer_norm, layout, linear, pool,
    rms_norm, rotary, selective_scan, softmax,
};
use crate::{Device, Direction, Precision, Sequences, Tolerance};

pub(super) type Outcomes = Result<Vec<Outcome>, KernelError>;

/// Lengths of the sequences of a pack.
pub(super) const LENGTHS: [usize; 5] = [1, 33, 2, 64, 31];

pub(super) const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

pub(super) fn offsets(lengths: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0];
    offsets.extend(lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end)
    }));
    offsets
}

pub(super) fn case(op: &'static str, what: String, run: impl Fn(&Device) -> Outcomes + 'static) -> Case {
    Case { op, what, run: Box::new(run) }
}

pub(super) fn near(what: &'static str, values: Vec<f32>, tolerance: Tolerance) -> Outcome {
    Outcome { what, values, tolerance: Some(tolerance) }
}

/// What a result may be apart where it is rounded to `precision`: one unit more where the rounding tips over.
pub(super) fn rounded(tolerance: Tolerance, precision: Precision) -> Tolerance {
    match precision {
        Precision::F32 => tolerance,
        Precision::Bf16 | Precision::Int8 => {
            Tolerance { absolute: tolerance.absolute, relative: tolerance.relative + 1.0 / 200.0 }
        }
    }
}

/// Some of the sizes, or all.
pub(super) fn some<T: Copy>(extent: Extent, sizes: &[T]) -> Vec<T> {
    match extent {
        Extent::Few => sizes.last().copied().into_iter().collect(),
        Extent::All => sizes.to_vec(),
    }
}

/// All of them.
pub(super) fn all(extent: Extent) -> Vec<Case> {
    let mut cases = Vec::new();
    attentions(extent, &mut cases);
    convolutions(&mut cases);
    losses(extent, &mut cases);
    single_numbers(&mut cases);
    embeddings(&mut cases);
    norms(extent, &mut cases);
    layouts(&mut cases);
    linears(extent, &mut cases);
    pools(&mut cases);
    super::lstm::all(extent, &mut cases);
    super::pairs::all(extent, &mut cases);
    rotations(&mut cases);
    scans(extent, &mut cases);
    cases
}

fn attentions(extent: Extent, cases: &mut Vec<Case>) {
    for head_width in some(extent, &[8, 16, 24, 32, 64, 128, 40]) {
        for precision in PRECISIONS {
            let what = format!("head width {head_width} {}", precision.name());
            for out in PRECISIONS {
                cases.push(case("attention", format!("{what} to {}", out.name()), move |device| {
                    attention(device, head_width, (precision, out))
                }));
            }
            cases.push(case("attention", format!("{what} alone and in a pack"), move |device| {
                attention_alone(device, head_width, precision)
            }));
            cases.push(case("contacts", what, move |device| maps(device, head_width, precision)));
        }
    }
}

fn attend(
    device: &Device,
    sizes: attention::Sizes,
    lengths: &[usize],
    (precision, out): (Precision, Precision),
    [q, k, v]: &[Vec<f32>; 3],
) -> Result<Vec<f32>, KernelError> {
    let [q, k, v] = [q, k, v].map(|values| Operand::new(device, precision, values));
    let offsets = offsets(lengths);
    let tokens: usize = lengths.iter().sum();
    let mut out = Operand::room(device, out, tokens * sizes.width());
    let operands = (q.input(), k.input(), v.input());
    attention::forward(device, sizes, &offsets, operands, out.output(), None)?;
    Ok(out.to_vec())
}

fn attention_inputs(sizes: attention::Sizes, tokens: usize) -> [Vec<f32>; 3] {
    let length = tokens * sizes.width();
    let scale = 1.0 / (sizes.head_width as f32).sqrt();
    [1, 2, 3].map(|stream| {
        let scale = if stream == 1 { scale } else { 1.0 };
        numbers(stream, length).into_iter().map(|value| scale * value).collect()
    })
}

fn attention(device: &Device, head_width: usize, types: (Precision, Precision)) -> Outcomes {
    let sizes = attention::Sizes { heads: 3, head_width };
    let inputs = attention_inputs(sizes, LENGTHS.iter().sum());
    let out = attend(device, sizes, &LENGTHS, types, &inputs)?;
    let tolerance = match types.0 {
        Precision::F32 => attention::TOLERANCE,
        Precision::Bf16 | Precision::Int8 => attention::TOLERANCE_BF16,
    };
    Ok(vec![near("out", out, rounded(tolerance, types.1))])
}

/// What a device gives a sequence alone, less what it gives it in a pack: nothing but zeros.
fn attention_alone(device: &Device, head_width: usize, precision: Precision) -> Outcomes {
    let sizes = attention::Sizes { heads: 3, head_width };
    let inputs = attention_inputs(sizes, LENGTHS.iter().sum());
    let together = attend(device, sizes, &LENGTHS, (precision, precision), &inputs)?;
    let (borders, mut differences) = (offsets(&LENGTHS), Vec::new());
    for pair in borders.windows(2) {
        let part = pair[0] * sizes.width()..pair[1] * sizes.width();
        let own = inputs.each_ref().map(|values| values[part.clone()].to_vec());
        let alone = attend(device, sizes, &[pair[1] - pair[0]], (precision, precision), &own)?;
        differences.extend(different(&alone, &together[part]));
    }
    Ok(vec![Outcome { what: "bits", values: differences, tolerance: None }])
}

/// One where bits differ, else zero.
pub(super) fn different(one: &[f32], other: &[f32]) -> Vec<f32> {
    one.iter().zip(other).map(|(one, other)| f32::from(u8::from(one.to_bits() != other.to_bits()))).collect()
}

fn maps(device: &Device, head_width: usize, precision: Precision) -> Outcomes {
    let sizes = attention::Sizes { heads: 3, head_width };
    let borders = offsets(&LENGTHS);
    let [q, k, _] = attention_inputs(sizes, LENGTHS.iter().sum());
    let [q, k] = [q, k].map(|values| Operand::new(device, precision, &values));
    let (sequence, length) = (3, LENGTHS[3]);
    let mut probs = device.scratch(sizes.heads * length * length);
    attention::probs(device, sizes, &borders, sequence, q.input(), k.input(), &mut probs)?;
    // Without the first and the last token, as residues are.
    let (residues, inside) = (borders[sequence] + 1..borders[sequence + 1] - 1, length - 2);
    let weights = device.upload(&[0.7_f32, -1.2, 0.4]);
    let (mut map, mut sums) = (device.zeros(inside * inside), device.zeros(sizes.heads * inside));
    let mixture = attention::Mixture { weights: &weights, map: &mut map, sums: &mut sums };
    attention::mix(device, sizes, &borders, (sequence, residues), (q.input(), k.input()), mixture)?;
    let evidence = contacts::Evidence { map: &map, sums: &sums, weights: &weights, bias: -0.3 };
    let mut y = device.scratch(inside * inside);
    let of_contacts = contacts::Sizes { length: inside, channels: sizes.heads };
    contacts::forward(device, of_contacts, evidence, &mut y)?;
    Ok(vec![
        near("maps", probs.as_slice().to_vec(), attention::TOLERANCE_PROBS),
        near("mixed map", map.as_slice().to_vec(), attention::TOLERANCE_MIXED),
        near("margins", sums.as_slice().to_vec(), attention::TOLERANCE_MIXED),
        near("contacts", y.as_slice().to_vec(), contacts::TOLERANCE),
    ])
}

fn convolutions(cases: &mut Vec<Case>) {
    for direction in Direction::BOTH {
        for filter in [1, 4] {
            let what = format!("{} filter {filter}", direction.name());
            cases.push(case("conv1d", what, move |device| {
                let sizes = conv1d::Sizes { tokens: LENGTHS.iter().sum(), width: 133, filter };
                let borders = offsets(&LENGTHS);
                let sequences = Sequences { offsets: &borders, direction };
                let x = device.upload(&numbers(4, sizes.tokens * sizes.width));
                let w = device.upload(&numbers(5, sizes.width * filter));
                let b = device.upload(&numbers(6, sizes.width));
                let mut carry = device.upload(&numbers(7, sizes.carry()));
                let (mut u, mut continued) = (device.scratch(x.len()), device.scratch(x.len()));
                conv1d::forward(device, sizes, sequences, &x, (&w, &b), None, &mut u)?;
                conv1d::forward(device, sizes, sequences, &x, (&w, &b), Some(&mut carry), &mut continued)?;
                Ok(vec![
                    near("u", u.as_slice().to_vec(), conv1d::TOLERANCE),
                    near("continued u", continued.as_slice().to_vec(), conv1d::TOLERANCE),
                    near("carry", carry.as_slice().to_vec(), conv1d::TOLERANCE),
                ])
            }));
        }
    }
}

fn losses(extent: Extent, cases: &mut Vec<Case>) {
    for (rows, classes) in some(extent, &[(1, 1), (5, 33), (130, 20), (9, 700)]) {
        cases.push(case("cross_entropy", format!("{rows}x{classes}"), move |device| {
            let logits = device.upload(&numbers(8, rows * classes));
            let mut targets = indices(9, rows, classes as u32);
            targets[0] = cross_entropy::IGNORE;
            let (targets, mut losses) = (device.upload(&targets), device.scratch(rows));
            let sizes = cross_entropy::Sizes { rows, classes };
            cross_entropy::forward(device, sizes, &logits, &targets, &mut losses)?;
            Ok(vec![near("losses", losses.as_slice().to_vec(), cross_entropy::TOLERANCE)])
        }));
        for kind in [softmax::Kind::Probabilities, softmax::Kind::Logarithms] {
            cases.push(case("softmax", format!("{kind:?} {rows}x{classes}"), move |device| {
                let x = device.upload(&numbers(10, rows * classes));
                let mut y = device.scratch(x.len());
                softmax::forward(device, softmax::Sizes { rows, classes }, kind, &x, &mut y)?;
                let tolerance = match kind {
                    softmax::Kind::Probabilities => softmax::TOLERANCE,
                    softmax::Kind::Logarithms => softmax::TOLERANCE_LOGARITHMS,
                };
                Ok(vec![near("y", y.as_slice().to_vec(), tolerance)])
            }));
        }
    }
}

fn single_numbers(cases: &mut Vec<Case>) {
    use elementwise::{TOLERANCE, TOLERANCE_ACTIVATION, TOLERANCE_GATE};
    const COUNT: usize = 1037;
    cases.push(case("elementwise", "sums and products".to_owned(), |device| {
        let [a, b] = [11, 12].map(|stream| device.upload(&numbers(stream, COUNT)));
        let [mut sum, mut product, mut apart] = [(); 3].map(|()| device.scratch(COUNT));
        elementwise::add(device, &a, &b, &mut sum)?;
        elementwise::multiply(device, &a, &b, &mut product)?;
        elementwise::distance(device, &a, &b, &mut apart)?;
        let mut more = device.copy(&sum)?;
        elementwise::add_into(device, &a, &mut more)?;
        elementwise::scale(device, 0.3, &mut more)?;
        let (mut narrow, mut wide) = (device.scratch(COUNT), device.scratch(COUNT));
        elementwise::to_bf16(device, &more, &mut narrow)?;
        elementwise::to_f32(device, &narrow, &mut wide)?;
        let joined = device.join(&[(&a, 5..70), (&b, 0..3)])?;
        let outcomes = [("a + b", &sum), ("a b", &product), ("|a - b|", &apart), ("scaled sum", &more)];
        let mut outcomes: Vec<Outcome> =
            outcomes.map(|(what, y)| near(what, y.as_slice().to_vec(), TOLERANCE)).into();
        outcomes.push(near("in bf16", wide.as_slice().to_vec(), rounded(TOLERANCE, Precision::Bf16)));
        outcomes.push(Outcome { what: "joined", values: joined.as_slice().to_vec(), tolerance: None });
        Ok(outcomes)
    }));
    cases.push(case("elementwise", "activations".to_owned(), |device| {
        let x = device.upload(&numbers(13, COUNT));
        let outcomes = Activation::ALL.map(|activation| {
            let mut y = device.scratch(COUNT);
            elementwise::activate(device, activation, &x, &mut y)?;
            Ok(near("y", y.as_slice().to_vec(), TOLERANCE_ACTIVATION))
        });
        outcomes.into_iter().collect()
    }));
    for precision in PRECISIONS {
        cases.push(case("elementwise", format!("gates {}", precision.name()), move |device| {
            let [a, b, z] = [14, 15, 16].map(|stream| device.upload(&numbers(stream, COUNT)));
            let outcomes = [None, Some(&b)].map(|b| {
                let mut y = Operand::room(device, precision, COUNT);
                elementwise::gate(device, (&a, b), &z, y.output())?;
                Ok(near("y", y.to_vec(), rounded(TOLERANCE_GATE, precision)))
            });
            outcomes.into_iter().collect()
        }));
    }
}

fn embeddings(cases: &mut Vec<Case>) {
    for dropout in [None, Some(embedding::TokenDropout { mask_id: 3, train_fraction: 0.12 })] {
        cases.push(case("embedding", format!("dropout {}", dropout.is_some()), move |device| {
            let sizes = embedding::Sizes { tokens: LENGTHS.iter().sum(), vocabulary: 33, width: 70 };
            let ids = device.upload(&indices(17, sizes.tokens, 33));
            let table = device.upload(&numbers(18, sizes.vocabulary * sizes.width));
            let mut y = device.scratch(sizes.tokens * sizes.width);
            embedding::forward(device, sizes, &offsets(&LENGTHS), &ids, &table, dropout, &mut y)?;
            Ok(vec![near("y", y.as_slice().to_vec(), embedding::TOLERANCE)])
        }));
    }
}

fn norms(extent: Extent, cases: &mut Vec<Case>) {
    for (rows, width) in some(extent, &[(1, 3), (33, 64), (5, 1283), (131, 320)]) {
        for precision in PRECISIONS {
            let what = format!("{rows}x{width} to {}", precision.name());
            for kind in [layer_norm::Kind::Deviation, layer_norm::Kind::RootDeviation] {
                cases.push(case("layer_norm", format!("{kind:?} {what}"), move |device| {
                    let sizes = layer_norm::Sizes { rows, width, epsilon: 1e-5, kind };
                    let x = device.upload(&numbers(19, rows * width));
                    let [gamma, beta] = [20, 21].map(|stream| device.upload(&numbers(stream, width)));
                    let mut y = Operand::room(device, precision, rows * width);
                    layer_norm::forward(device, sizes, &x, &gamma, &beta, y.output(), None)?;
                    Ok(vec![near("y", y.to_vec(), rounded(layer_norm::TOLERANCE, precision))])
                }));
            }
            cases.push(case("rms_norm", what, move |device| {
                let sizes = rms_norm::Sizes { rows, width, epsilon: 1e-5 };
                let x = device.upload(&numbers(22, rows * width));
                let gamma = device.upload(&numbers(23, width));
                let mut y = Operand::room(device, precision, rows * width);
                rms_norm::forward(device, sizes, &x, &gamma, y.output(), None)?;
                Ok(vec![near("y", y.to_vec(), rounded(rms_norm::TOLERANCE, precision))])
            }));
        }
    }
}

fn layouts(cases: &mut Vec<Case>) {
    for precision in PRECISIONS {
        cases.push(case("layout", format!("picked rows {}", precision.name()), move |device| {
            let sizes = layout::Sizes { rows: 40, width: 67 };
            let x = Operand::new(device, precision, &numbers(24, sizes.rows * sizes.width));
            let rows = [39, 0, 7, 21, 20];
            let mut y = Operand::room(device, precision, rows.len() * sizes.width);
            layout::gather_rows(device, sizes, &rows, x.input(), y.output())?;
            Ok(vec![Outcome { what: "y", values: y.to_vec(), tolerance: None }])
        }));
    }
    cases.push(case("layout", "rows put back".to_owned(), |device| {
        let sizes = layout::Sizes { rows: 40, width: 67 };
        let rows = [39, 0, 7, 21, 20];
        let dy = device.upload(&numbers(24, rows.len() * sizes.width));
        let mut dx = device.scratch(sizes.rows * sizes.width);
        layout::scatter_rows(device, sizes, &rows, &dy, &mut dx, false)?;
        Ok(vec![Outcome { what: "dx", values: dx.as_slice().to_vec(), tolerance: None }])
    }));
    cases.push(case("layout", "columns".to_owned(), |device| {
        let columns = layout::Columns { rows: 40, width: 33, from: (67, 9), to: (50, 17) };
        let x = device.upload(&numbers(25, columns.rows * columns.from.0));
        let mut y = device.zeros(columns.rows * columns.to.0);
        layout::copy_columns(device, columns, &x, &mut y)?;
        Ok(vec![Outcome { what: "y", values: y.as_slice().to_vec(), tolerance: None }])
    }));
}

fn linears(extent: Extent, cases: &mut Vec<Case>) {
    const SIZES: [(usize, usize, usize); 9] = [
        (1, 1, 1),
        (3, 5, 15),
        (63, 64, 16),
        (65, 63, 17),
        (130, 7, 40),
        (70, 130, 33),
        (9, 20, 1000),
        // With room in memory for the rows of a whole block.
        (382, 64, 64),
        (300, 260, 512),
    ];
    for size in some(extent, &SIZES) {
        for precision in PRECISIONS {
            let what = format!("{size:?} {}", precision.name());
            cases.push(case("linear", what.clone(), move |device| linear(device, size, precision)));
            cases.push(case("linear", format!("{what} alone and among others"), move |device| {
                linear_alone(device, size, precision)
            }));
        }
    }
}

fn linear(device: &Device, size: (usize, usize, usize), precision: Precision) -> Outcomes {
    let (rows, columns, inner) = size;
    let tolerance = linear::TOLERANCE;
    let x = Operand::new(device, precision, &numbers(25, rows * inner));
    let bias = device.upload(&numbers(27, columns));
    let residual = device.upload(&numbers(28, rows * columns));
    let weights = weights(device, size, precision)?;
    let [mut plain, mut added, mut kept] = [(); 3].map(|()| device.scratch(rows * columns));
    let mut active = Operand::room(device, precision, rows * columns);
    let mut narrow = Operand::room(device, Precision::Bf16, rows * columns);
    let part = |bias, epilogue, output| linear::Part { weights: &weights, bias, epilogue, output };
    let mut parts = [
        part(None, linear::Epilogue::Store, crate::Output::F32(&mut plain)),
        part(Some(&bias), linear::Epilogue::Residual(&residual), crate::Output::F32(&mut added)),
        part(Some(&bias), linear::Epilogue::Gelu(Some(&mut kept)), active.output()),
        part(Some(&bias), linear::Epilogue::Store, narrow.output()),
    ];
    linear::forward(device, rows, x.input(), &mut parts)?;
    // A stretch of the rows of the weights, with its part of the bias.
    let first = columns / 3;
    let stretch = weights.take_rows(device, first..columns)?;
    let mut piece = device.scratch(rows * (columns - first));
    let output = crate::Output::F32(&mut piece);
    let epilogue = linear::Epilogue::Store;
    let mut parts = [linear::Part { weights: &stretch, bias: Some(&bias), epilogue, output }];
    linear::forward(device, rows, x.input(), &mut parts)?;
    Ok(vec![
        near("sums", plain.as_slice().to_vec(), tolerance),
        near("residual", added.as_slice().to_vec(), tolerance),
        near("kept sums", kept.as_slice().to_vec(), tolerance),
        near("gelu", active.to_vec(), rounded(tolerance, precision)),
        near("in bf16", narrow.to_vec(), rounded(tolerance, Precision::Bf16)),
        near("stretch", piece.as_slice().to_vec(), tolerance),
    ])
}

fn weights(
    device: &Device,
    (_, columns, inner): (usize, usize, usize),
    precision: Precision,
) -> Result<linear::Weights, KernelError> {
    let scale = 1.0 / (inner as f32).sqrt();
    let values: Vec<f32> = numbers(26, columns * inner).into_iter().map(|value| scale * value).collect();
    linear::Weights::pack(device, precision, &values, (columns, inner), Orientation::Forward)
}

/// What a device gives rows alone, less what it gives them among others: nothing but zeros.
fn linear_alone(device: &Device, size: (usize, usize, usize), precision: Precision) -> Outcomes {
    let (rows, columns, inner) = size;
    let x = numbers(25, rows * inner);
    let (weights, bias) = (weights(device, size, precision)?, device.upload(&numbers(27, columns)));
    let run = |part: std::ops::Range<usize>| {
        let x = Operand::new(device, precision, &x[part.start * inner..part.end * inner]);
        let mut y = device.scratch(part.len() * columns);
        let (epilogue, output) = (linear::Epilogue::Gelu(None), crate::Output::F32(&mut y));
        let mut parts = [linear::Part { weights: &weights, bias: Some(&bias), epilogue, output }];
        linear::forward(device, part.len(), x.input(), &mut parts)?;
        Ok::<_, KernelError>(y.as_slice().to_vec())
    };
    let (whole, cut) = (run(0..rows)?, rows - rows / 3);
    let mut alone = run(0..cut)?;
    if cut < rows {
        alone.extend(run(cut..rows)?);
    }
    Ok(vec![Outcome { what: "bits", values: different(&alone, &whole), tolerance: None }])
}

fn pools(cases: &mut Vec<Case>) {
    for kind in [pool::Kind::Mean, pool::Kind::Sum, pool::Kind::Cls, pool::Kind::Max] {
        cases.push(case("pool", format!("{kind:?}"), move |device| {
            let sizes = pool::Sizes { tokens: LENGTHS.iter().sum(), width: 133 };
            let borders = offsets(&LENGTHS);
            let spans: Vec<(usize, usize)> = borders
                .windows(2)
                .map(|pair| (pair[0], if kind == pool::Kind::Cls { pair[0] + 1 } else { pair[1] }))
                .collect();
            let x = device.upload(&numbers(29, sizes.tokens * sizes.width));
            let mut y = device.scratch(spans.len() * sizes.width);
            pool::forward(device, sizes, kind, &spans, &x, &mut y, None)?;
            let tolerance = if kind == pool::Kind::Sum { pool::TOLERANCE_SUM } else { pool::TOLERANCE };
            Ok(vec![near("y", y.as_slice().to_vec(), tolerance)])
        }));
    }
}

fn rotations(cases: &mut Vec<Case>) {
    for precision in PRECISIONS {
        cases.push(case("rotary", format!("to {}", precision.name()), move |device| {
            let sizes = rotary::Sizes { tokens: LENGTHS.iter().sum(), heads: 3, head_width: 24 };
            let inv_freq: Vec<f32> = (0..12).map(|j| 10_000_f32.powf(-f32::from(j as u8) / 12.0)).collect();
            let table = rotary::Table::new(device, &inv_freq, 64);
            let x = device.upload(&numbers(30, sizes.tokens * 72));
            let mut y = Operand::room(device, precision, x.len());
            rotary::forward(device, sizes, &offsets(&LENGTHS), &table, &x, 0.2, y.output())?;
            Ok(vec![near("y", y.to_vec(), rounded(rotary::TOLERANCE, precision))])
        }));
    }
}

fn scans(extent: Extent, cases: &mut Vec<Case>) {
    for states in some(extent, &[1, 17, 16]) {
        for direction in Direction::BOTH {
            cases.push(case(
                "selective_scan",
                format!("{} {states} states", direction.name()),
                move |device| scan(device, states, direction),
            ));
        }
    }
}

fn scan(device: &Device, states: usize, direction: Direction) -> Outcomes {
    let sizes = selective_scan::Sizes { tokens: LENGTHS.iter().sum(), width: 133, states };
    let borders = offsets(&LENGTHS);
    let sequences = Sequences { offsets: &borders, direction };
    let rows = sizes.tokens * sizes.width;
    // As models have them: steps from small to some, rates that grow with the number of the state, `y` of size one.
    let steps: Vec<f32> = numbers(32, rows).into_iter().map(|step| step - 1.1).collect();
    let rates = numbers(34, sizes.carry()).into_iter().enumerate();
    let rates: Vec<f32> =
        rates.map(|(place, noise)| ((place % states + 1) as f32).ln() + 0.3 * noise).collect();
    let spread = 1.0 / (states as f32).sqrt();
    let weights = numbers(33, 2 * sizes.tokens * states).into_iter();
    let weights: Vec<f32> = weights.map(|weight| spread * weight).collect();
    let (u, delta, bc) = (device.upload(&numbers(31, rows)), device.upload(&steps), device.upload(&weights));
    let (a_log, d) = (device.upload(&rates), device.upload(&numbers(35, sizes.width)));
    let operands = selective_scan::Operands { u: &u, delta: &delta, bc: &bc, a_log: &a_log, d: &d };
    let mut carry = device.upload(&numbers(36, sizes.carry()));
    let [mut y, mut continued] = [(); 2].map(|()| device.scratch(rows));
    selective_scan::forward(device, sizes, sequences, operands, selective_scan::Keep::Nothing, &mut y)?;
    let keep = selective_scan::Keep::Carry(&mut carry);
    selective_scan::forward(device, sizes, sequences, operands, keep, &mut continued)?;
    Ok(vec![
        near("y", y.as_slice().to_vec(), selective_scan::TOLERANCE),
        near("continued y", continued.as_slice().to_vec(), selective_scan::TOLERANCE),
        near("carry", carry.as_slice().to_vec(), selective_scan::TOLERANCE),
    ])
}
