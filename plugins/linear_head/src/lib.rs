//! A linear head: `y = W x + b`, and the softmax of it where that is asked for.
//!
//! Weights, all little endian: `C` and `K` as 32-bit numbers, then `b [K]` and `W [K, C]` as 32-bit floats. The script
//! `make_weights.py` writes them from arrays of numpy.

wit_bindgen::generate!({ world: "head-plugin", path: "../wit/v0.1.0" });

use std::cell::RefCell;

use exports::pliant::plugin::head::{Error, Guest, HeadInfo, Tensor};
use keys::Keys;
use pliant::plugin::types::{Inputs, Meaning, Row};

/// Numbers that are added up side by side: as many as fit four registers of the processor.
const LANES: usize = 16;

struct Linear {
    columns: usize,
    classes: Vec<String>,
    bias: Vec<f32>,
    /// `[K, C]`
    weight: Vec<f32>,
    softmax: bool,
}

thread_local! {
    static HEAD: RefCell<Option<Linear>> = const { RefCell::new(None) };
}

impl Linear {
    fn new(config: &str, weights: Option<&[u8]>) -> Result<Self, String> {
        let keys = Keys::read(config)?;
        let (softmax, classes) = (keys.boolean("softmax")?, keys.texts("classes")?);

        let bytes = weights.ok_or("no weights: name their file in the manifest")?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        let [columns, outputs, values @ ..] = numbers else {
            return Err("the weights end in their head".into());
        };
        let (columns, outputs) =
            (u32::from_le_bytes(*columns) as usize, u32::from_le_bytes(*outputs) as usize);
        let wanted = outputs.checked_mul(columns).and_then(|count| count.checked_add(outputs));
        if !rest.is_empty() || Some(values.len()) != wanted || columns == 0 {
            return Err(format!(
                "the weights have {} numbers for C = {columns} and K = {outputs}",
                values.len()
            ));
        }
        if classes.len() != outputs {
            return Err(format!("{} classes are named, but the weights have {outputs}", classes.len()));
        }
        let mut values = values.iter().map(|value| f32::from_le_bytes(*value));
        let bias = values.by_ref().take(outputs).collect();
        Ok(Self { columns, classes, bias, weight: values.collect(), softmax })
    }

    /// Rows `[R, C]` to `[R, K]`.
    fn rows(&self, input: &Tensor) -> Result<Tensor, Error> {
        if input.columns as usize != self.columns {
            return Err(Error::BadInput(format!(
                "found vectors of {} numbers, wanted {}",
                input.columns, self.columns
            )));
        }
        let outputs = self.classes.len();
        let mut data = Vec::with_capacity(input.rows as usize * outputs);
        for row in input.data.chunks_exact(self.columns) {
            let start = data.len();
            let weights = self.weight.chunks_exact(self.columns);
            data.extend(weights.zip(&self.bias).map(|(weights, bias)| bias + dot(row, weights)));
            if self.softmax {
                softmax(&mut data[start..]);
            }
        }
        Ok(Tensor { rows: input.rows, columns: outputs as u32, data })
    }
}

/// The sum of products, in an order that does not depend on the machine.
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    let mut lanes = [0.0_f32; LANES];
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            lanes[lane] += left[lane] * right[lane];
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    lanes.iter().sum::<f32>() + rest
}

fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|value| *value = (*value - most).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|value| *value /= sum);
}

struct Plugin;

impl Guest for Plugin {
    fn init(config: String, weights: Option<Vec<u8>>) -> Result<(), Error> {
        let head = Linear::new(&config, weights.as_deref()).map_err(Error::BadInput)?;
        HEAD.with_borrow_mut(|place| *place = Some(head));
        Ok(())
    }

    fn describe() -> HeadInfo {
        HEAD.with_borrow(|head| HeadInfo {
            name: "linear-head".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            takes: Inputs { pooled: true, residues: true, pairs: false },
            width: head.as_ref().map(|head| head.columns as u32),
            outputs: head.as_ref().map(|head| head.classes.clone()).unwrap_or_default(),
            row: Row::Residue,
            meaning: match head {
                Some(head) if head.softmax => Meaning::Probabilities,
                _ => Meaning::Logits,
            },
        })
    }

    fn predict(vectors: Tensor) -> Result<Tensor, Error> {
        HEAD.with_borrow(|head| match head {
            Some(head) => head.rows(&vectors),
            None => Err(Error::Internal("init was not called".to_owned())),
        })
    }

    /// Every residue has a row of its own, so the bounds of proteins do not matter.
    fn predict_residues(states: Tensor, _offsets: Vec<u32>) -> Result<Tensor, Error> {
        Self::predict(states)
    }

    fn predict_pairs(_first: Tensor, _second: Tensor) -> Result<Tensor, Error> {
        Err(Error::Unsupported("this head takes no pairs".to_owned()))
    }
}

export!(Plugin);
