//! The network on a tape: one transformer block between an embedding and its tied output matrix.

use crate::ops::{self, Epilogue, IGNORE, LinearPart, NormKind, Table, TokenDropout};
use crate::{Dtype, Ids, Offsets, Param, ParamKind, Tape, Tensor, TensorError};
use pliant_kernels::{Device, Precision};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const VOCABULARY: usize = 9;
pub(super) const WIDTH: usize = 32;
pub(super) const HEADS: usize = 2;
pub(super) const HEAD_WIDTH: usize = WIDTH / HEADS;
pub(super) const INNER: usize = 40;
pub(super) const EPSILON: f32 = 1e-5;
pub(super) const SCALE: f32 = 0.25;
pub(super) const MASK: u32 = 4;
pub(super) const TRAIN_FRACTION: f32 = 0.12;

pub(super) const OFFSETS: [usize; 4] = [0, 5, 6, 13];
pub(super) const IDS: [u32; 13] = [0, 3, 4, 5, 8, 7, 0, 4, 4, 2, 1, 3, 6];
pub(super) const TARGETS: [u32; 13] = [1, IGNORE, 8, 0, 2, IGNORE, 7, 3, 3, 5, 4, IGNORE, 6];

/// Name and shape of every parameter.
pub(super) const SHAPES: [(&str, &[usize]); 18] = [
    ("table", &[VOCABULARY, WIDTH]),
    ("norm1.weight", &[WIDTH]),
    ("norm1.bias", &[WIDTH]),
    ("query.weight", &[WIDTH, WIDTH]),
    ("query.bias", &[WIDTH]),
    ("key.weight", &[WIDTH, WIDTH]),
    ("key.bias", &[WIDTH]),
    ("value.weight", &[WIDTH, WIDTH]),
    ("value.bias", &[WIDTH]),
    ("output.weight", &[WIDTH, WIDTH]),
    ("output.bias", &[WIDTH]),
    ("norm2.weight", &[WIDTH]),
    ("norm2.bias", &[WIDTH]),
    ("up.weight", &[INNER, WIDTH]),
    ("up.bias", &[INNER]),
    ("down.weight", &[WIDTH, INNER]),
    ("down.bias", &[WIDTH]),
    ("head.bias", &[VOCABULARY]),
];

/// Repeatable numbers of size about one, other ones for every name.
pub(super) fn values(name: &str, count: usize) -> Vec<f32> {
    let mut state = name.bytes().fold(1_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let scale = if name.ends_with("weight") && !name.starts_with("norm") { 0.4 } else { 1.0 };
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / 8_388_608.0 - 1.0) * scale
    };
    (0..count).map(|_| next()).collect()
}

pub(super) fn frequencies() -> Vec<f32> {
    (0..HEAD_WIDTH / 2).map(|j| 1.0 / (1.0 + j as f32 * 1.7)).collect()
}

/// Everything the forward needs; clones share it.
#[derive(Clone)]
pub(super) struct Network {
    pub(super) device: Device,
    pub(super) precision: Precision,
    pub(super) params: BTreeMap<&'static str, Arc<Param>>,
    rotation: Arc<Table>,
    pub(super) offsets: Offsets,
}

impl Network {
    /// The network with those parameters trainable whose name `trained` accepts.
    pub(super) fn new(device: &Device, precision: Precision, trained: impl Fn(&str) -> bool) -> Self {
        let param = |&(name, shape): &(&'static str, &[usize])| {
            let kind = match (name, shape.len()) {
                ("table", _) => ParamKind::Table,
                (_, 1) => ParamKind::Vector,
                _ => ParamKind::Matrix,
            };
            let values = values(name, shape.iter().product());
            let param = if trained(name) {
                Param::trainable(device, precision, name, shape, &values, kind)
            } else {
                Param::frozen(device, precision, name, shape, &values, kind)
            };
            (name, Arc::new(param.unwrap()))
        };
        Self {
            device: device.clone(),
            precision,
            params: SHAPES.iter().map(param).collect(),
            rotation: Arc::new(Table::new(device, &frequencies(), 16)),
            offsets: Offsets::new(&OFFSETS).unwrap(),
        }
    }

    pub(super) fn on(&self) -> Tape {
        Tape::on(&self.device, self.precision)
    }

    pub(super) fn off(&self) -> Tape {
        Tape::off(&self.device, self.precision)
    }

    pub(super) fn part<'a>(&'a self, name: &str, epilogue: Epilogue<'a>, out: Dtype) -> LinearPart<'a> {
        let weight = &self.params[format!("{name}.weight").as_str()];
        let bias = std::slice::from_ref(&self.params[format!("{name}.bias").as_str()]);
        LinearPart { weight, rows: None, bias, epilogue, out }
    }

    fn norm(&self, tape: &Tape, x: &Tensor, name: &str) -> Result<Tensor, TensorError> {
        let [weight, bias] = ["weight", "bias"].map(|end| &self.params[format!("{name}.{end}").as_str()]);
        ops::layer_norm(tape, x, weight, bias, (NormKind::Deviation, EPSILON), tape.operand())
    }

    pub(super) fn embed(&self, tape: &Tape) -> Result<Tensor, TensorError> {
        let ids = Ids::new(&self.device, &IDS);
        let dropout = TokenDropout { mask_id: MASK, train_fraction: TRAIN_FRACTION };
        ops::embedding(tape, &ids, &self.offsets, &self.params["table"], Some(dropout))
    }

    pub(super) fn attend(&self, tape: &Tape, x: &Tensor) -> Result<Tensor, TensorError> {
        let operand = tape.operand();
        let normed = self.norm(tape, x, "norm1")?;
        let parts = [
            self.part("query", Epilogue::Store, Dtype::F32),
            self.part("key", Epilogue::Store, Dtype::F32),
            self.part("value", Epilogue::Store, operand),
        ];
        let states = ops::linear(tape, &normed, &parts)?;
        let turn = |x, scale| ops::rotary(tape, x, &self.offsets, &self.rotation, HEADS, scale, operand);
        let (q, k) = (turn(&states[0], SCALE)?, turn(&states[1], 1.0)?);
        let mixed = ops::attention(tape, &q, &k, &states[2], &self.offsets, HEADS, operand)?;
        let part = self.part("output", Epilogue::Residual(x), Dtype::F32);
        Ok(ops::linear(tape, &mixed, &[part])?.swap_remove(0))
    }

    pub(super) fn feed(&self, tape: &Tape, x: &Tensor) -> Result<Tensor, TensorError> {
        let normed = self.norm(tape, x, "norm2")?;
        let up = ops::linear(tape, &normed, &[self.part("up", Epilogue::Gelu, tape.operand())])?;
        let part = self.part("down", Epilogue::Residual(x), Dtype::F32);
        Ok(ops::linear(tape, &up[0], &[part])?.swap_remove(0))
    }

    pub(super) fn loss(&self, tape: &Tape, x: &Tensor) -> Result<Tensor, TensorError> {
        let (weight, bias) = (&self.params["table"], std::slice::from_ref(&self.params["head.bias"]));
        let part = LinearPart { weight, rows: None, bias, epilogue: Epilogue::Store, out: Dtype::F32 };
        let logits = ops::linear(tape, x, &[part])?;
        ops::cross_entropy(tape, &logits[0], &Ids::new(&self.device, &TARGETS))
    }

    /// The whole forward; the embedding is added once more after the block, so that it has users before,
    /// inside and after what a checkpoint may cover.
    pub(super) fn forward(&self, tape: &Tape) -> Result<Tensor, TensorError> {
        let start = self.embed(tape)?;
        let attended = self.attend(tape, &start)?;
        let fed = self.feed(tape, &attended)?;
        self.loss(tape, &ops::add(tape, &fed, &start)?)
    }

    /// Gradient of every trainable parameter, after one backward through `forward`.
    pub(super) fn gradients(
        &self,
        forward: impl FnOnce(&Self, &Tape) -> Result<Tensor, TensorError>,
    ) -> BTreeMap<&'static str, Vec<f32>> {
        let trained = || self.params.iter().filter(|(_, param)| param.is_trainable());
        trained().for_each(|(_, param)| param.zero_grad());
        let tape = self.on();
        let loss = forward(self, &tape).unwrap();
        tape.backward(&loss).unwrap();
        trained().map(|(name, param)| (*name, param.grad())).collect()
    }
}
