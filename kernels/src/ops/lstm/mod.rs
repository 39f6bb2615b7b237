//! One layer of a bidirectional LSTM on packed sequences, without the product of its input.
//!
//! Shapes: gate inputs `x [T,4H]` and recurrent weights `W [4H,H]` of each direction, `h [T,2H]` (forward beside
//! reverse), gates `[T,4H]`, cells `c [T,H]`. Columns of gates stand in PyTorch's order i, f, g, o; `x` holds the product
//! of the layer's input and all biases.
//!
//! For the steps of every sequence, `h` and `c` zero before the first, in reverse from its last token to its first:
//! `z = x + h_{-1}·Wᵀ`, `i, f, o = 1/(1 + e^-z)`, `g = tanh z`, `c = f ⊙ c_{-1} + i ⊙ g`, `h = o ⊙ tanh c`.
//!
//! Backward, steps taken from the last to the first, `dc` zero after the last: `dh = dy + dz_{+1}·W`,
//! `dc = dc_{+1} ⊙ f_{+1} + dh ⊙ o ⊙ (1 - tanh² c)`, `dz_o = dh ⊙ tanh c ⊙ o(1-o)`, `dz_i = dc ⊙ g ⊙ i(1-i)`,
//! `dz_f = dc ⊙ c_{-1} ⊙ f(1-f)`, `dz_g = dc ⊙ i ⊙ (1-g²)`; `dx = dz`, `dW += Σ_t dz_tᵀ·h_{t-1}`.
//!
//! Order of the work: sequences are laid into lanes one after the other, longest first, and all lanes make one step
//! together, so that a step is a product of as many rows as there are lanes; there are as many as make all steps together
//! cheapest. On a device of CUDA every sequence has a lane of its own. Memory grows with T alone.
//!
//! Rounding: one sum per gate and unit takes H in ascending order (pairs with bf16) and begins with zero; `x` is added
//! to it. With bf16 matrices `h`, `W` and, in the backward, `dz` are rounded to bf16 as operands of products; all else is
//! 32-bit. `dz·W` is the sum of its four gates' products, i, f, g, o in this order. `dW` is that of a linear layer over
//! the pack's tokens in their order. There are no 8-bit operands: their steps would add up over a sequence, so models in
//! 8 bits give bf16 matrices here.

mod backward;
pub mod cpu;
mod crew;
mod cuda;
mod forward;
mod plan;
mod strips;

use crate::buffer::{Buffer, Input};
use crate::cuda::no_training;
use crate::error::{KernelError, check_offsets, check_size};
use crate::ops::linear::{self, Weights};
use crate::sequences::{Direction, Sequences};
use crate::{Device, Precision, Tolerance};

const OP: &str = "lstm";

/// Gates of a unit.
pub const GATES: usize = 4;

/// Distance of the fast f32 path from the f64 oracle for weights of size 1/√H and inputs of size one: gates are off by
/// some 6e-7 and carry that of the states before, of which a cell forgets a part at every step.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 4e-6, relative: 4e-6 };

/// The same for gradients of size about one, which are products of several such numbers, and sums over T for `dW`.
pub const TOLERANCE_GRADIENTS: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };

/// The same with bf16 operands against an oracle that rounds the same numbers: now and then one of them lies so near
/// the middle between two bf16 numbers that the two round apart, by 2^-8 of it; one of H terms of a sum is then off by that
/// times its weight, and what follows with it.
pub const TOLERANCE_BF16: Tolerance = Tolerance { absolute: 1e-3, relative: 1e-3 };

/// Sizes of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// T
    pub tokens: usize,
    /// H
    pub hidden: usize,
}

impl Sizes {
    /// Numbers of the gates of one direction, `[T,4H]`.
    #[must_use]
    pub fn gates(&self) -> usize {
        self.tokens * GATES * self.hidden
    }

    /// Numbers of the cells of one direction, `[T,H]`.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.tokens * self.hidden
    }

    fn check(&self, offsets: &[usize], weights: [[&Weights; GATES]; 2]) -> Result<(), KernelError> {
        check_size(OP, "width of at least one", self.hidden.min(1), 1)?;
        check_offsets(OP, offsets, self.tokens)?;
        let first = weights[0][0].precision();
        for weights in weights.into_iter().flatten() {
            check_size(OP, "columns of the recurrent weights of a gate", weights.columns(), self.hidden)?;
            check_size(OP, "inner dimension of the recurrent weights", weights.inner(), self.hidden)?;
            let precision = weights.precision();
            if precision == Precision::Int8 || precision != first {
                let (found, supported) =
                    (precision.name().to_owned(), "f32 or bf16, the same in both directions");
                let what = "precision of the recurrent weights";
                return Err(KernelError::Unsupported { op: OP, what, found, supported });
            }
        }
        Ok(())
    }
}

/// What the backward needs of one direction's forward.
#[derive(Debug)]
pub struct Kept {
    /// `i, f, g, o` of every token, `[T,4H]`.
    pub gates: Buffer<f32>,
    /// `c [T,H]`
    pub cells: Buffer<f32>,
}

impl Kept {
    /// Room for one direction.
    #[must_use]
    pub fn scratch(device: &Device, sizes: Sizes) -> Self {
        Self { gates: device.scratch(sizes.gates()), cells: device.scratch(sizes.cells()) }
    }

    fn check(&self, sizes: Sizes) -> Result<(), KernelError> {
        check_size(OP, "kept gates", self.gates.len(), sizes.gates())?;
        check_size(OP, "kept cells", self.cells.len(), sizes.cells())
    }
}

/// `h [T,2H]` of the gate inputs `[T,4H]` of both directions; `weights` are, for each direction, the rows of `W` of
/// each gate, packed in [`Orientation::Forward`](crate::cpu::gemm::Orientation::Forward). What the backward needs is
/// kept where there is room for it.
///
/// # Errors
/// [`KernelError`] when sizes do not fit or weights are in 8 bits.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    offsets: &[usize],
    inputs: [&Buffer<f32>; 2],
    weights: [[&Weights; GATES]; 2],
    kept: Option<&mut [Kept; 2]>,
    h: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    sizes.check(offsets, weights)?;
    inputs.iter().try_for_each(|input| check_size(OP, "gate inputs", input.len(), sizes.gates()))?;
    kept.iter().flat_map(|kept| kept.iter()).try_for_each(|kept| kept.check(sizes))?;
    check_size(OP, "result", h.len(), 2 * sizes.cells())?;
    match device {
        Device::Cpu(cpu) => forward::forward(cpu, (sizes, offsets), inputs, weights, kept, h),
        Device::Cuda(_) if kept.is_some() => return Err(no_training(OP)),
        Device::Cuda(cuda) => cuda::forward(cuda, (sizes, offsets), inputs, weights, h)?,
    }
    Ok(())
}

/// Gradients `dx [T,4H]` of the gate inputs of both directions from `dy [T,2H]`, overwritten; `weights` as for
/// [`forward`], but packed in [`Orientation::InputGradient`](crate::cpu::gemm::Orientation::InputGradient).
///
/// # Errors
/// As [`forward`].
pub fn backward(
    device: &Device,
    sizes: Sizes,
    offsets: &[usize],
    weights: [[&Weights; GATES]; 2],
    kept: &[Kept; 2],
    dy: &Buffer<f32>,
    dx: [&mut Buffer<f32>; 2],
) -> Result<(), KernelError> {
    sizes.check(offsets, weights)?;
    kept.iter().try_for_each(|kept| kept.check(sizes))?;
    check_size(OP, "gradient", dy.len(), 2 * sizes.cells())?;
    dx.iter().try_for_each(|dx| check_size(OP, "gradient of the gate inputs", dx.len(), sizes.gates()))?;
    match device {
        Device::Cpu(cpu) => backward::backward(cpu, (sizes, offsets), weights, kept, dy, dx),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

/// `dW += Σ_t dz_tᵀ·h_{t-1}` of one direction from its `dz [T,4H]` and the result `h [T,2H]`, or `=` without
/// `accumulate`.
///
/// # Errors
/// [`KernelError`] when sizes do not fit.
pub fn backward_weights(
    device: &Device,
    (sizes, precision): (Sizes, Precision),
    sequences: Sequences<'_>,
    (dz, h): (&Buffer<f32>, &Buffer<f32>),
    (dw, accumulate): (&mut Buffer<f32>, bool),
) -> Result<(), KernelError> {
    let Sizes { tokens, hidden } = sizes;
    sequences.check(OP, tokens)?;
    check_size(OP, "gradient of the gate inputs", dz.len(), sizes.gates())?;
    check_size(OP, "result", h.len(), 2 * sizes.cells())?;
    let mut before = device.scratch(sizes.cells());
    match device {
        Device::Cpu(cpu) => forward::shift(cpu, sizes, sequences, h.as_slice(), before.as_mut_slice()),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    let shape = ((GATES * hidden, hidden), 0..GATES * hidden);
    let operands = (dz, Input::F32(&before));
    linear::backward_weights(device, (tokens, precision), operands, shape, (dw, accumulate), None)
}

/// Column of `h [T,2H]` with which a direction begins.
fn first_column(direction: Direction, hidden: usize) -> usize {
    match direction {
        Direction::Forward => 0,
        Direction::Reverse => hidden,
    }
}
