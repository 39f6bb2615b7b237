//! The head of P-ELMo that tells which residues of a protein touch, from the projections z of its states.
//!
//! ```text
//! x      = |z_i - z_j| beside z_i ⊙ z_j, all pairs of residues   [L²,2E]
//! x      = ReLU(conv1(x))                                        [L²,50]   the place alone
//! logits = conv2(x)                                              [L²,1]    7 by 7 places, zero outside of the map
//! ```
//!
//! Keys: `conv1.weight [50,2E,1,1]`, `conv1.bias [50]`, `conv2.weight [1,50,7,7]`, `conv2.bias [1]`, as PLUS saves them. A map
//! is as symmetric as the filters of `conv2` are, which begin so and are made so again after every step of a training.

use std::path::Path;
use std::sync::Arc;

use pliant_kernels::{Device, Precision};
use pliant_nn::{Checkpoint, CheckpointError, Conv2d, Meaning, Take, TensorProblem, Weights};
use pliant_tensor::ops::{pair_features, relu};
use pliant_tensor::{Dtype, Param, Tape, Tensor, TensorError};

use crate::error::ModelError;

/// Width between the filters.
const HIDDEN: usize = 50;

/// Places along each side of a filter of `conv2`.
const SIDE: usize = 7;

/// A head of contact maps.
#[derive(Debug)]
pub struct ContactMapHead {
    conv1: Conv2d,
    conv2: Conv2d,
    params: Vec<Arc<Param>>,
}

impl ContactMapHead {
    /// Width between its filters: numbers of a pair of residues.
    pub const HIDDEN: usize = HIDDEN;

    /// A head with random weights, for projections of `width` numbers, that can be trained.
    ///
    /// # Errors
    /// [`ModelError`] where the filters cannot be made.
    pub fn random(
        width: usize,
        seed: u64,
        (device, precision): (&Device, Precision),
    ) -> Result<Self, ModelError> {
        let weights = Weights::random(seed, device, precision).take(Take::Values { trainable: true });
        let head = Self::new(width, &weights)?;
        head.make_symmetric()?;
        Ok(head)
    }

    /// The head of a file of weights, as PLUS wrote it.
    ///
    /// # Errors
    /// [`ModelError::Checkpoint`] naming the file and the tensor for one that is missing, of another shape, no number or not of
    /// the head.
    pub fn load(
        path: &Path,
        width: usize,
        (device, precision): (&Device, Precision),
        trainable: bool,
    ) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::open_files(path, None)?;
        let meanings = |names: &[&str]| {
            names.iter().map(|name| Meaning::Parameter(crate::plus::unwrapped(name).to_owned())).collect()
        };
        let weights =
            Weights::stored(checkpoint, meanings, (device, precision))?.take(Take::Values { trainable });
        let head = Self::new(width, &weights)?;
        match weights.report().unexpected.into_iter().next() {
            Some(name) => {
                let (tensor, problem) = (name.as_str().into(), Box::new(TensorProblem::Unknown));
                Err(CheckpointError::Tensor { path: path.to_owned(), tensor, problem }.into())
            }
            None => Ok(head),
        }
    }

    fn new(width: usize, weights: &Weights) -> Result<Self, CheckpointError> {
        Ok(Self {
            conv1: Conv2d::new(&weights.at("conv1"), 2 * width, HIDDEN, 1)?,
            conv2: Conv2d::new(&weights.at("conv2"), HIDDEN, 1, SIDE)?,
            params: weights.params(),
        })
    }

    /// Every parameter once.
    #[must_use]
    pub fn params(&self) -> &[Arc<Param>] {
        &self.params
    }

    /// Logits `[L²,1]`, row `i·L + j`, that residues i and j touch, from `z [L,E]` of one protein.
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit.
    pub fn forward(&self, tape: &Tape, z: &Tensor) -> Result<Tensor, TensorError> {
        let map = (z.rows(), z.rows());
        let x = pair_features(tape, z, Dtype::F32)?;
        let x = relu(tape, &self.conv1.forward(tape, &x, map)?)?;
        self.conv2.forward(tape, &x, map)
    }

    /// Gives each filter of `conv2` the mean of itself and of what it is with its rows as columns: to be called after every
    /// step of an optimiser, as PLUS does.
    ///
    /// # Errors
    /// [`TensorError`] for weights that cannot be trained.
    pub fn make_symmetric(&self) -> Result<(), TensorError> {
        let Conv2d::Square { weight, .. } = &self.conv2 else { return Ok(()) };
        let mut values = weight.values()?;
        for filter in values.chunks_exact_mut(SIDE * SIDE) {
            for (row, column) in (0..SIDE).flat_map(|row| (0..row).map(move |column| (row, column))) {
                let (one, other) = (row * SIDE + column, column * SIDE + row);
                let mean = 0.5 * (filter[one] + filter[other]);
                (filter[one], filter[other]) = (mean, mean);
            }
        }
        weight.set_values(&values)
    }
}
