//! One direction of a Mamba-1 mixer, between its projections (Gu and Dao, arXiv 2312.00752; state-spaces/mamba
//! `mamba_simple.py`).
//!
//! ```text
//! u           = conv1d(x)                       depthwise over K tokens, SiLU
//! [dt | B C]  = u · x_projᵀ
//! delta       = dt · dt_projᵀ + bias
//! y           = selective_scan(u, delta, B, C; A = -e^A_log, D)
//! ```
//!
//! Shapes: `x, u, delta, y [T,E]`, `dt [T,rank]`, `B, C [T,N]`. Keys: `conv1d.weight [E,1,K]`, `conv1d.bias [E]`,
//! `x_proj.weight [rank+2N,E]`, `dt_proj.weight [E,rank]`, `dt_proj.bias [E]`, `A_log [E,N]`, `D [E]`. Filter and scan
//! compute in f32 whatever the precision; A_log and D have no weight decay.

use std::sync::Arc;

use pliant_kernels::{Device, Direction};
use pliant_tensor::ops::{
    Epilogue, LinearPart, ScanInputs, conv1d, conv1d_stretch, selective_scan, selective_scan_stretch,
};
use pliant_tensor::{Carry, Dtype, Offsets, Param, Tape, Tensor, TensorError};

use crate::error::CheckpointError;
use crate::init::Init;
use crate::linear::{Linear, together};
use crate::weights::Weights;

/// Steps of a new model: evenly many in each tenfold from the first to the second, none below the third.
const STEPS: Init = Init::Steps { least: 1e-3, most: 0.1, floor: 1e-4 };

/// Sizes of a mixer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MambaSizes {
    /// C, width of the model.
    pub width: usize,
    /// E, width of the scan.
    pub inner: usize,
    /// N, numbers of state for each of E columns.
    pub states: usize,
    /// K, tokens that the filter sees.
    pub filter: usize,
    /// Width through which steps are made.
    pub rank: usize,
}

/// Filter, steps and scan of one direction.
#[derive(Debug)]
pub struct Mamba {
    sizes: MambaSizes,
    /// `[E,K]`
    conv1d_weight: Arc<Param>,
    /// `[E]`
    conv1d_bias: Arc<Param>,
    /// `[rank+2N,E]`: first the steps, then B, then C.
    x_proj: Arc<Param>,
    dt_proj: Linear,
    /// `[E,N]`
    a_log: Arc<Param>,
    /// `[E]`
    d: Arc<Param>,
}

/// What one direction leaves behind between the stretches of a run.
#[derive(Debug)]
pub struct MambaCarry {
    filter: Carry,
    scan: Carry,
}

impl MambaCarry {
    /// Forgets everything: the next stretch begins a sequence.
    pub fn clear(&mut self) {
        self.filter.clear();
        self.scan.clear();
    }
}

impl Mamba {
    /// Takes every parameter of the direction, begun as the authors begin them.
    ///
    /// # Errors
    /// [`CheckpointError`] when one of them cannot be had.
    pub fn new(weights: &Weights, sizes: MambaSizes) -> Result<Self, CheckpointError> {
        let MambaSizes { inner, states, filter, rank, .. } = sizes;
        // A step's rounding is multiplied by the length of a sequence, so it gets more than 8-bit operands.
        let fine = weights.without_bytes();
        let rates = (1..=states).map(|state| (state as f32).ln()).collect();
        let steps = fine.at("dt_proj");
        Ok(Self {
            sizes,
            conv1d_weight: weights.filters("conv1d.weight", [inner, filter], Init::kaiming(filter))?,
            conv1d_bias: weights.vector("conv1d.bias", inner, Init::kaiming(filter))?,
            x_proj: fine.matrix("x_proj.weight", [rank + 2 * states, inner], Init::kaiming(inner))?,
            dt_proj: Linear {
                weight: steps.matrix("weight", [inner, rank], Init::kaiming(rank))?,
                bias: Some(steps.vector("bias", inner, STEPS)?),
            },
            a_log: weights.constants("A_log", [inner, states], Init::Repeated(rates))?,
            d: weights.vector("D", inner, Init::Ones)?,
        })
    }

    /// What stands before the first stretch of a run.
    #[must_use]
    pub fn carry(&self, device: &Device) -> MambaCarry {
        let MambaSizes { inner, states, filter, .. } = self.sizes;
        let filter = Carry::new(device, [filter.saturating_sub(1), inner]);
        MambaCarry { filter, scan: Carry::new(device, [inner, states]) }
    }

    /// `y [T,E]` of `x [T,E]` (f32).
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit.
    pub fn forward(
        &self,
        tape: &Tape,
        x: &Tensor,
        offsets: &Offsets,
        direction: Direction,
    ) -> Result<Tensor, TensorError> {
        let u = conv1d(tape, x, &self.conv1d_weight, &self.conv1d_bias, offsets, direction)?;
        let (delta, bc) = self.steps(tape, &u)?;
        let inputs = ScanInputs { u: &u, delta: &delta, bc: &bc };
        selective_scan(tape, inputs, &self.a_log, &self.d, offsets, direction)
    }

    /// The same for rows that are a stretch of a longer run: the first sequence met in the `direction` goes on from
    /// `carry`. Without a tape; a run has the same bits however it is cut.
    ///
    /// # Errors
    /// [`TensorError`] when the shapes do not fit or the tape would have to record.
    pub fn stretch(
        &self,
        tape: &Tape,
        x: &Tensor,
        offsets: &Offsets,
        direction: Direction,
        carry: &mut MambaCarry,
    ) -> Result<Tensor, TensorError> {
        let (weight, bias) = (&self.conv1d_weight, &self.conv1d_bias);
        let u = conv1d_stretch(tape, x, weight, bias, offsets, direction, &mut carry.filter)?;
        let (delta, bc) = self.steps(tape, &u)?;
        let inputs = ScanInputs { u: &u, delta: &delta, bc: &bc };
        selective_scan_stretch(tape, inputs, &self.a_log, &self.d, offsets, direction, &mut carry.scan)
    }

    /// Steps before softplus `[T,E]`, and B beside C `[T,2N]`.
    fn steps(&self, tape: &Tape, u: &Tensor) -> Result<(Tensor, Tensor), TensorError> {
        let MambaSizes { states, rank, .. } = self.sizes;
        let part = |rows, out| LinearPart {
            weight: &self.x_proj,
            rows: Some(rows),
            bias: &[],
            epilogue: Epilogue::Store,
            out,
        };
        let parts = [part(0..rank, tape.operand()), part(rank..rank + 2 * states, Dtype::F32)];
        let [low, bc] = together(tape, u, parts)?;
        Ok((self.dt_proj.forward(tape, &low, Epilogue::Store, Dtype::F32)?, bc))
    }
}
