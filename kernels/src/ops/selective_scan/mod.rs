//! The selective scan of Mamba-1: a linear recurrence whose step size, input and output weights come from the
//! tokens themselves.
//!
//! Shapes: `u [T,E]`, `δ [T,E]`, `bc [T,2N]` (`B` then `C` of a token), `A_log [E,N]`, `D [E]`, `y [T,E]`, carry
//! `[E,N]`; N from 1 to 256.
//!
//! `Δ = softplus(δ) = ln(1 + e^δ)`, `A = -e^A_log`, and for the steps of every sequence, its state `s [E,N]` zero
//! at the start:
//! `s_i = e^(Δ_i A) ⊙ s_{i-1} + (Δ_i ⊙ u_i) B_i`, `y_i = s_i · C_i + D ⊙ u_i`.
//! In reverse a sequence is walked from its last token to its first.
//!
//! Backward, with `g_i = dy_i C_i + e^(Δ_{i+1} A) ⊙ g_{i+1}` and `q_i = g_i ⊙ e^(Δ_i A) ⊙ s_{i-1}`, both `[E,N]`:
//! `dC_i = Σ_e dy_i s_i`, `dB_i = Σ_e g_i Δ_i u_i`, `du_i = Δ_i Σ_n g_i B_i + D dy_i`,
//! `dδ_i = σ(δ_i)(u_i Σ_n g_i B_i + Σ_n q_i A)`, `dA_log += A Σ_i q_i Δ_i`, `dD += Σ_i dy_i u_i`.
//!
//! Memory of the backward grows with T, not with T·N: the forward keeps the states at the borders of chunks of
//! [`Sizes::chunk`] steps, counted from the sequence's own start, and the backward computes those between anew.
//! While it runs the backward holds `dB` and `dC` of every group of 64 channels, 2·N·⌈E/64⌉ numbers a token.
//!
//! Streaming: the rows are a stretch of a longer run. The carry holds the state of the sequence that continues
//! into the first row in walking order (zeros where one begins), and afterwards the state that the last row left
//! behind.
//!
//! Rounding: all 32-bit. A step is `fma(e^(Δ A), s, (Δ u) B)` with the power taken of two, `A` being multiplied
//! by log2 e beforehand. To `D u` blocks of 16, then 4, then single states are added in order, each as two
//! chains over its even and its odd states; `Σ_n` of the backward are chains with n ascending. `dB` and `dC` are
//! 16-lane trees over groups of 64 channels that are added in order; `dA_log` and `dD` are sums over chunks,
//! those over portions of the pack (whole sequences of together at least 1024 tokens), always in order.

mod backward;
pub mod cpu;
mod cuda;
mod forward;
mod simd;

use crate::buffer::Buffer;
use crate::cuda::no_training;
use crate::error::{KernelError, check_size};
use crate::sequences::Sequences;
use crate::{Device, Tolerance};

const OP: &str = "selective_scan";

/// Largest number of states of a channel.
pub const STATES_MAX: usize = 256;

/// Distance of the fast path from the f64 oracle for inputs of size about one: a state forgets what lies
/// longer back than its decay reaches, so it carries the roundings (6e-8 each) of that many steps and those of
/// Δ and its powers (a few 1e-7); `y` sums N of them.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 2e-6, relative: 2e-6 };

/// The same for gradients of size about one: sums over N, over E or over T of products of two such numbers
/// that partly cancel.
pub const TOLERANCE_GRADIENTS: Tolerance = Tolerance { absolute: 3e-6, relative: 3e-6 };

/// Sizes of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// T
    pub tokens: usize,
    /// E
    pub width: usize,
    /// N, from 1 to [`STATES_MAX`].
    pub states: usize,
}

impl Sizes {
    /// Numbers of a carry: `[E,N]`.
    #[must_use]
    pub fn carry(&self) -> usize {
        self.width * self.states
    }

    /// Steps between two states that the forward keeps: so many that the kept states are about half the size of
    /// an input, within what a second-level cache can hold of the states between.
    #[must_use]
    pub fn chunk(&self) -> usize {
        (2 * self.states).next_power_of_two().clamp(32, 128)
    }

    /// Numbers of the kept states of a pack: one state `[E,N]`, E rounded up to 64, for every border inside a
    /// sequence.
    #[must_use]
    pub fn borders(&self, sequences: Sequences<'_>) -> usize {
        let inside = |b| sequences.span(b).len().div_ceil(self.chunk()).saturating_sub(1);
        (0..sequences.count()).map(inside).sum::<usize>() * self.width.next_multiple_of(64) * self.states
    }

    fn check(
        &self,
        sequences: Sequences<'_>,
        operands: Operands<'_, Buffer<f32>>,
    ) -> Result<(), KernelError> {
        if !(1..=STATES_MAX).contains(&self.states) {
            let (found, supported) = (self.states.to_string(), "1 to 256");
            return Err(KernelError::Unsupported { op: OP, what: "number of states", found, supported });
        }
        check_size(OP, "width of at least one", self.width.min(1), 1)?;
        sequences.check(OP, self.tokens)?;
        check_size(OP, "input", operands.u.len(), self.tokens * self.width)?;
        check_size(OP, "step sizes", operands.delta.len(), self.tokens * self.width)?;
        check_size(OP, "input and output weights", operands.bc.len(), 2 * self.tokens * self.states)?;
        check_size(OP, "rates", operands.a_log.len(), self.width * self.states)?;
        check_size(OP, "skip weights", operands.d.len(), self.width)
    }
}

/// What a scan reads, as buffers or (plain text) as slices.
#[derive(Debug)]
pub struct Operands<'a, V: ?Sized> {
    /// `u [T,E]`
    pub u: &'a V,
    /// `δ [T,E]`, before softplus, its bias already added.
    pub delta: &'a V,
    /// `B` then `C` of every token, `[T,2N]`.
    pub bc: &'a V,
    /// `A_log [E,N]`
    pub a_log: &'a V,
    /// `D [E]`
    pub d: &'a V,
}

impl<V: ?Sized> Clone for Operands<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: ?Sized> Copy for Operands<'_, V> {}

/// Gradients that the backward writes, as buffers or (plain text) as slices.
#[derive(Debug)]
pub struct Grads<'a, V: ?Sized> {
    /// `du [T,E]`, overwritten.
    pub du: &'a mut V,
    /// `dδ [T,E]`, overwritten.
    pub ddelta: &'a mut V,
    /// `dB` then `dC` of every token, `[T,2N]`, overwritten.
    pub dbc: &'a mut V,
    /// `dA_log [E,N]`, added to.
    pub da_log: &'a mut V,
    /// `dD [E]`, added to.
    pub dd: &'a mut V,
}

/// What a forward leaves besides its result.
#[derive(Debug)]
pub enum Keep<'a> {
    /// Nothing.
    Nothing,
    /// The states at the borders of chunks, [`Sizes::borders`] numbers in an order of the device's own, for the
    /// backward on the same device.
    Borders(&'a mut Buffer<f32>),
    /// The rows are a stretch of a longer run: the carry `[E,N]` is read and written.
    Carry(&'a mut Buffer<f32>),
}

/// Scans `u` into `y`.
///
/// # Errors
/// [`KernelError::Size`] when sizes do not fit, [`KernelError::Unsupported`] for more than [`STATES_MAX`]
/// states or none.
pub fn forward(
    device: &Device,
    sizes: Sizes,
    sequences: Sequences<'_>,
    operands: Operands<'_, Buffer<f32>>,
    keep: Keep<'_>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    sizes.check(sequences, operands)?;
    check_size(OP, "output", y.len(), sizes.tokens * sizes.width)?;
    match &keep {
        Keep::Nothing => {}
        Keep::Borders(borders) => check_size(OP, "kept states", borders.len(), sizes.borders(sequences))?,
        Keep::Carry(carry) => check_size(OP, "carry", carry.len(), sizes.carry())?,
    }
    match device {
        Device::Cpu(cpu) => forward::forward(cpu, (sizes, sequences), operands.slices(), keep, y),
        Device::Cuda(cuda) => cuda::forward(cuda, (sizes, sequences), operands, keep, y)?,
    }
    Ok(())
}

/// Gradients from the gradient `dy [T,E]` and the states `borders` that the forward kept.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    device: &Device,
    sizes: Sizes,
    sequences: Sequences<'_>,
    operands: Operands<'_, Buffer<f32>>,
    borders: &Buffer<f32>,
    dy: &Buffer<f32>,
    grads: Grads<'_, Buffer<f32>>,
) -> Result<(), KernelError> {
    sizes.check(sequences, operands)?;
    check_size(OP, "kept states", borders.len(), sizes.borders(sequences))?;
    check_size(OP, "gradient", dy.len(), operands.u.len())?;
    check_size(OP, "input gradient", grads.du.len(), operands.u.len())?;
    check_size(OP, "step size gradient", grads.ddelta.len(), operands.u.len())?;
    check_size(OP, "gradient of input and output weights", grads.dbc.len(), operands.bc.len())?;
    check_size(OP, "rate gradient", grads.da_log.len(), operands.a_log.len())?;
    check_size(OP, "skip gradient", grads.dd.len(), operands.d.len())?;
    match device {
        Device::Cpu(cpu) => {
            backward::backward(cpu, (sizes, sequences), operands.slices(), borders, dy, grads.slices());
        }
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

impl<'a> Operands<'a, Buffer<f32>> {
    /// The numbers themselves.
    fn slices(self) -> Operands<'a, [f32]> {
        Operands {
            u: self.u.as_slice(),
            delta: self.delta.as_slice(),
            bc: self.bc.as_slice(),
            a_log: self.a_log.as_slice(),
            d: self.d.as_slice(),
        }
    }
}

impl<'a> Grads<'a, Buffer<f32>> {
    fn slices(self) -> Grads<'a, [f32]> {
        Grads {
            du: self.du.as_mut_slice(),
            ddelta: self.ddelta.as_mut_slice(),
            dbc: self.dbc.as_mut_slice(),
            da_log: self.da_log.as_mut_slice(),
            dd: self.dd.as_mut_slice(),
        }
    }
}
