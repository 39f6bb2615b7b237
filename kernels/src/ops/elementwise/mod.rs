//! Operations on single numbers: sums, products, distances, activations, scaling, rounding, gates, and the slope of GELU.
//!
//! Shapes: any, all buffers of one call have the same number of elements `n`.
//!
//! | function | equation |
//! |---|---|
//! | [`gelu`] | `y = s · Φ(s)`, Φ the standard normal distribution |
//! | [`gelu_backward`] | `dx = dy · (Φ(s) + s·φ(s))`, Φ and φ the standard normal distribution and density |
//! | [`add`] | `y = a + b` |
//! | [`add_into`] | `y += x` |
//! | [`multiply`] | `y = a · b` |
//! | [`distance`] | `y = \|a - b\|` |
//! | [`distance_backward`] | `da = dy · sign(a - b)`, `db = -da`; both are 0 where `a = b` |
//! | [`activate`] | `y = max(x, 0)`, `tanh(x)` or `1/(1 + e^-x)` |
//! | [`activate_backward`] | `dx = dy · [y > 0]`, `dy · (1 - y²)` or `dy · y·(1 - y)` |
//! | [`gate`] | `y = a · SiLU(z)` or `y = (a + b) · SiLU(z)`, with `SiLU(z) = z·p`, `p = 1/(1 + e^-z)` |
//! | [`gate_backward`] | `da = db = dy · SiLU(z)`, `dz = dy · (a + b) · p·(1 + z·(1 - p))` |
//! | [`scale`] | `x *= factor` |
//! | [`to_bf16`] | `y = x` rounded to nearest even; denormal numbers become zero |
//! | [`to_f32`] | `y = x`, exact |
//!
//! GELU is an epilogue of [`super::linear`] too, with the same bits; sums are their own backward, the
//! backward of scaling is scaling, that of products is products, that of rounding passes the gradient on.
//!
//! Rounding: every step is 32-bit; the result of a gate is rounded once more where it is bf16.

mod activation;
pub mod cpu;
pub(super) mod cuda;
mod gate;
mod simd;

use crate::buffer::{Buffer, Output};
use crate::cuda::no_training;
use crate::error::{KernelError, check_size};
use crate::{Device, Tolerance};
use half::bf16;

const OP: &str = "elementwise";

/// Distance of the fast path from the f64 oracle for operands of size up to about ten. Sums and products
/// are rounded once (6e-8 of the result); GELU carries at most 1e-6 of itself, its slope the errors of Φ (2e-7) and of
/// x·φ(x) (3e-7 of at most 0.25), times the gradient.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };

/// The same for gates of operands of size up to about ten: SiLU carries 7e-7 of itself, its slope an absolute 1.1e-6,
/// times a product of size up to some tens.
pub const TOLERANCE_GATE: Tolerance = Tolerance { absolute: 5e-6, relative: 2e-6 };

/// The same for activations and their slopes: tanh carries 1e-6 of itself and the logistic function 6e-7, and twice that
/// goes into `1 - y²`, times a gradient of size up to a few.
pub const TOLERANCE_ACTIVATION: Tolerance = Tolerance { absolute: 1e-5, relative: 2e-6 };

/// The same for results in bf16, which has 8 significant bits: half a unit is up to 2^-8 of the number.
pub const TOLERANCE_BF16: Tolerance = Tolerance { absolute: 1e-37, relative: 1.0 / 256.0 };

/// `y = GELU(s)`, bit for bit what a linear layer makes of its sums `s`.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ.
pub fn gelu(device: &Device, sums: &Buffer<f32>, y: &mut Buffer<f32>) -> Result<(), KernelError> {
    check_size(OP, "result of the gelu", y.len(), sums.len())?;
    match device {
        Device::Cpu(cpu) => activation::gelu(cpu, sums, y),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

/// `dx = dy · GELU'(s)` for `s` the sums before the GELU.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ.
pub fn gelu_backward(
    device: &Device,
    sums: &Buffer<f32>,
    dy: &Buffer<f32>,
    dx: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check_size(OP, "gradient of the gelu", dy.len(), sums.len())?;
    check_size(OP, "gradient of the sums", dx.len(), sums.len())?;
    match device {
        Device::Cpu(cpu) => simd::gelu_backward(cpu, sums, dy, dx),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

/// `y = a + b`.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ.
pub fn add(
    device: &Device,
    a: &Buffer<f32>,
    b: &Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check_size(OP, "second summand", b.len(), a.len())?;
    check_size(OP, "sum", y.len(), a.len())?;
    match device {
        Device::Cpu(cpu) => simd::add(cpu, a, b, y),
        Device::Cuda(cuda) => cuda::of_two(cuda, "elementwise_add", (a, b), y)?,
    }
    Ok(())
}

/// `y = a · b`.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ.
pub fn multiply(
    device: &Device,
    a: &Buffer<f32>,
    b: &Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check_size(OP, "second factor", b.len(), a.len())?;
    check_size(OP, "product", y.len(), a.len())?;
    match device {
        Device::Cpu(cpu) => simd::multiply(cpu, a, b, y),
        Device::Cuda(cuda) => cuda::of_two(cuda, "elementwise_multiply", (a, b), y)?,
    }
    Ok(())
}

/// `y = |a - b|`.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ.
pub fn distance(
    device: &Device,
    a: &Buffer<f32>,
    b: &Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check_size(OP, "second place", b.len(), a.len())?;
    check_size(OP, "distance", y.len(), a.len())?;
    match device {
        Device::Cpu(cpu) => simd::distance(cpu, a, b, y),
        Device::Cuda(cuda) => cuda::of_two(cuda, "elementwise_distance", (a, b), y)?,
    }
    Ok(())
}

/// `da`, overwritten, for the gradient `dy` of distances; `db` is `-da`.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ.
pub fn distance_backward(
    device: &Device,
    (a, b): (&Buffer<f32>, &Buffer<f32>),
    dy: &Buffer<f32>,
    da: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check_size(OP, "second place", b.len(), a.len())?;
    check_size(OP, "gradient of the distance", dy.len(), a.len())?;
    check_size(OP, "gradient of the first place", da.len(), a.len())?;
    match device {
        Device::Cpu(cpu) => activation::distance_backward(cpu, (a, b), dy, da),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

/// What a number becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `tanh(x)`
    Tanh,
    /// `1 / (1 + e^-x)`
    Logistic,
}

impl Activation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Relu, Self::Tanh, Self::Logistic];
}

/// `y = activation(x)`.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ.
pub fn activate(
    device: &Device,
    activation: Activation,
    x: &Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check_size(OP, "result of the activation", y.len(), x.len())?;
    match device {
        Device::Cpu(cpu) => activation::forward(cpu, activation, x, y),
        Device::Cuda(cuda) => cuda::activate(cuda, activation, x, y)?,
    }
    Ok(())
}

/// `dx`, overwritten, for the results `y` of an activation and their gradient `dy`.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ.
pub fn activate_backward(
    device: &Device,
    activation: Activation,
    (y, dy): (&Buffer<f32>, &Buffer<f32>),
    dx: &mut Buffer<f32>,
) -> Result<(), KernelError> {
    check_size(OP, "gradient of the activation", dy.len(), y.len())?;
    check_size(OP, "gradient before the activation", dx.len(), y.len())?;
    match device {
        Device::Cpu(cpu) => activation::backward(cpu, activation, (y, dy), dx),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

fn check_gate((a, b): (&Buffer<f32>, Option<&Buffer<f32>>), z: &Buffer<f32>) -> Result<(), KernelError> {
    check_size(OP, "gated numbers", a.len(), z.len())?;
    b.map_or(Ok(()), |b| check_size(OP, "second summand", b.len(), z.len()))
}

/// `y = (a + b) · SiLU(z)`, or `a · SiLU(z)` without a `b`.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ.
pub fn gate(
    device: &Device,
    passing: (&Buffer<f32>, Option<&Buffer<f32>>),
    z: &Buffer<f32>,
    y: Output<'_>,
) -> Result<(), KernelError> {
    check_gate(passing, z)?;
    y.check(OP, "result of the gate", z.len())?;
    match device {
        Device::Cpu(cpu) => gate::forward(cpu, passing, z, y),
        Device::Cuda(cuda) => cuda::gate(cuda, passing, z, y)?,
    }
    Ok(())
}

/// `da`, which is `db` too, and `dz`, both overwritten, for the gradient `dy` of a gate.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ.
pub fn gate_backward(
    device: &Device,
    passing: (&Buffer<f32>, Option<&Buffer<f32>>),
    (z, dy): (&Buffer<f32>, &Buffer<f32>),
    (da, dz): (&mut Buffer<f32>, &mut Buffer<f32>),
) -> Result<(), KernelError> {
    check_gate(passing, z)?;
    check_size(OP, "gradient of the gate", dy.len(), z.len())?;
    check_size(OP, "gradient of the gated numbers", da.len(), z.len())?;
    check_size(OP, "gradient of the gating numbers", dz.len(), z.len())?;
    match device {
        Device::Cpu(cpu) => gate::backward(cpu, passing, (z, dy), (da, dz)),
        Device::Cuda(_) => return Err(no_training(OP)),
    }
    Ok(())
}

/// `y += x`.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ.
pub fn add_into(device: &Device, x: &Buffer<f32>, y: &mut Buffer<f32>) -> Result<(), KernelError> {
    check_size(OP, "sum", y.len(), x.len())?;
    match device {
        Device::Cpu(cpu) => simd::add_into(cpu, x, y),
        Device::Cuda(cuda) => cuda::of_one(cuda, "elementwise_add_into", x, y)?,
    }
    Ok(())
}

/// `x *= factor`.
///
/// # Errors
/// None on the processor; other devices may refuse.
pub fn scale(device: &Device, factor: f32, x: &mut Buffer<f32>) -> Result<(), KernelError> {
    match device {
        Device::Cpu(cpu) => simd::scale(cpu, factor, x),
        Device::Cuda(cuda) => cuda::scale(cuda, factor, x)?,
    }
    Ok(())
}

/// `y = x` rounded to bf16, ties to even.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ.
pub fn to_bf16(device: &Device, x: &Buffer<f32>, y: &mut Buffer<bf16>) -> Result<(), KernelError> {
    check_size(OP, "rounded numbers", y.len(), x.len())?;
    match device {
        Device::Cpu(cpu) => simd::to_bf16(cpu, x, y),
        Device::Cuda(cuda) => cuda::of_one(cuda, "elementwise_to_bf16", x, y)?,
    }
    Ok(())
}

/// `y = x`, exact.
///
/// # Errors
/// [`KernelError::Size`] when lengths differ.
pub fn to_f32(device: &Device, x: &Buffer<bf16>, y: &mut Buffer<f32>) -> Result<(), KernelError> {
    check_size(OP, "widened numbers", y.len(), x.len())?;
    match device {
        Device::Cpu(cpu) => simd::to_f32(cpu, x, y),
        Device::Cuda(cuda) => cuda::of_one(cuda, "elementwise_to_f32", x, y)?,
    }
    Ok(())
}
