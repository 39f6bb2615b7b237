//! Linear layers that share their input.

use super::low_rank;
use crate::error::{TensorError, in_op};
use crate::gradients::Gradients;
use crate::param::Param;
use crate::tape::Tape;
use crate::tensor::{Dtype, Slot, Tensor, Values};
use pliant_kernels::ops::elementwise;
use pliant_kernels::ops::linear::{self, Part, Weights};
use pliant_kernels::{Buffer, Device, Input};
use std::ops::Range;
use std::sync::Arc;

const OP: &str = "linear";

/// Last step of a linear layer on its sums `s = x·Wᵀ + b` `[R,N]`.
#[derive(Debug, Clone, Copy)]
pub enum Epilogue<'a> {
    /// `s`
    Store,
    /// `GELU(s)`, the exact form with erf.
    Gelu,
    /// `s + r` with a residual `r` (f32 `[R,N]`).
    Residual(&'a Tensor),
}

/// One of several linear layers on the same input, or of several stretches of one layer's outputs.
#[derive(Debug, Clone)]
pub struct LinearPart<'a> {
    /// `W [N,K]`: a matrix, or a table whose rows serve as outputs.
    pub weight: &'a Arc<Param>,
    /// Which rows of `W` and of its bias are the outputs, where it is not all of them; N is their number then.
    pub rows: Option<Range<usize>>,
    /// Vectors whose sum is `b`, one number per row of `W`; without any it is zero.
    pub bias: &'a [Arc<Param>],
    /// Last step.
    pub epilogue: Epilogue<'a>,
    /// How the result is held: bf16 where only matrix products and attention read it.
    pub out: Dtype,
}

impl LinearPart<'_> {
    /// Rows of the weight that are the columns of the result.
    fn checked_rows(&self, [rows, inner]: [usize; 2]) -> Result<Range<usize>, TensorError> {
        let (outputs, inputs) = self.weight.matrix_shape(OP)?;
        if inputs != inner {
            let (found, wanted) = (self.weight.shape().to_vec(), vec![outputs, inner]);
            return Err(TensorError::Shape { op: OP, what: "weight", found, wanted });
        }
        self.bias.iter().try_for_each(|bias| bias.check_vector(OP, "bias", outputs))?;
        let stretch = self.rows.clone().unwrap_or(0..outputs);
        if let Epilogue::Residual(residual) = self.epilogue {
            residual.check_shape(OP, "residual", [rows, stretch.len()])?;
        }
        Ok(stretch)
    }

    fn params(&self) -> impl Iterator<Item = &Arc<Param>> {
        std::iter::once(self.weight).chain(self.bias)
    }

    fn residual(&self) -> Option<&Tensor> {
        match self.epilogue {
            Epilogue::Residual(residual) => Some(residual),
            Epilogue::Store | Epilogue::Gelu => None,
        }
    }
}

/// All `parts` on `x` `[R,K]`, in one run over its rows; results `[R,N]` in the same order.
///
/// Gradients: those of `x` add up in the order of the parts; a frozen weight or bias gets none and what
/// only its gradient would need is not kept. With bf16 operands the gradient of the sums is rounded to
/// bf16 where it is multiplied. Where something of low rank stands beside a weight, it is added to the sums.
///
/// # Errors
/// [`TensorError`] when shapes do not fit, a residual is not f32, or parts differ in precision.
pub fn linear(tape: &Tape, x: &Tensor, parts: &[LinearPart<'_>]) -> Result<Vec<Tensor>, TensorError> {
    if parts.iter().any(|part| part.weight.side().is_some()) {
        return low_rank::linear(tape, x, parts);
    }
    alone(tape, x, parts)
}

/// The same, whatever stands beside the weights.
pub(super) fn alone(tape: &Tape, x: &Tensor, parts: &[LinearPart<'_>]) -> Result<Vec<Tensor>, TensorError> {
    let mut runs = Vec::with_capacity(parts.len());
    let wanted = {
        let params: Vec<_> = parts.iter().flat_map(LinearPart::params).collect();
        let residuals = parts.iter().filter_map(LinearPart::residual);
        tape.wants(OP, &std::iter::once(x).chain(residuals).collect::<Vec<_>>(), &params)?
    };
    for part in parts {
        runs.push(Run::new(tape.device(), x.shape(), part, wanted)?);
    }
    let mut kernels = Vec::with_capacity(parts.len());
    for (run, part) in runs.iter_mut().zip(parts) {
        kernels.push(run.kernel(part)?);
    }
    linear::forward(tape.device(), x.rows(), x.input(), &mut kernels).map_err(in_op(OP, [x.shape()]))?;
    drop(kernels);
    if !wanted {
        return Ok(runs.into_iter().map(|run| Tensor::new(run.shape, run.output)).collect());
    }
    let saved = Saved::new(x, parts);
    let sums: Vec<_> = runs.iter_mut().map(|run| run.sums.take()).collect();
    let (outputs, steps): (Vec<_>, Vec<_>) =
        runs.into_iter().zip(parts).map(|(run, part)| run.into_step(part)).unzip();
    let outputs = tape.record_all(outputs, move |gradients, grads| {
        let given = steps.into_iter().zip(grads);
        given
            .filter_map(|(step, grad)| Some((step, grad?)))
            .try_for_each(|(step, grad)| step.backward(gradients, &saved, grad))
    });
    for (output, sums) in outputs.iter().zip(sums) {
        if let Some(sums) = sums {
            tape.through_gelu(output.slot(), Arc::new(sums));
        }
    }
    Ok(outputs)
}

/// What one part needs while it runs.
struct Run {
    rows: Range<usize>,
    shape: [usize; 2],
    weights: Arc<Weights>,
    bias: Option<Arc<Buffer<f32>>>,
    output: Values,
    /// Sums before a GELU, for its backward.
    sums: Option<Buffer<f32>>,
}

impl Run {
    fn new(
        device: &Device,
        input: [usize; 2],
        part: &LinearPart<'_>,
        wanted: bool,
    ) -> Result<Self, TensorError> {
        let rows = part.checked_rows(input)?;
        let shape = [input[0], rows.len()];
        let length = shape[0] * shape[1];
        let keep = wanted && matches!(part.epilogue, Epilogue::Gelu);
        Ok(Self {
            shape,
            weights: part.weight.forward_weights(OP, &rows)?,
            bias: bias_of(device, part.bias)?,
            output: Values::scratch(device, part.out, length),
            sums: keep.then(|| device.scratch(length)),
            rows,
        })
    }

    fn kernel<'a>(&'a mut self, part: &LinearPart<'a>) -> Result<Part<'a>, TensorError> {
        let epilogue = match part.epilogue {
            Epilogue::Store => linear::Epilogue::Store,
            Epilogue::Gelu => linear::Epilogue::Gelu(self.sums.as_mut()),
            Epilogue::Residual(residual) => linear::Epilogue::Residual(residual.f32_of(OP, "residual")?),
        };
        let output = self.output.output();
        Ok(Part { weights: &self.weights, bias: self.bias.as_deref(), epilogue, output })
    }

    fn into_step(self, part: &LinearPart<'_>) -> (Tensor, Step) {
        let step = Step {
            weight: Arc::clone(part.weight),
            rows: self.rows,
            bias: part.bias.iter().filter(|bias| bias.is_trainable()).map(Arc::clone).collect(),
            residual: part.residual().and_then(Tensor::slot),
        };
        (Tensor::new(self.shape, self.output), step)
    }
}

/// What all parts keep for the backward.
struct Saved {
    /// Shape of the input.
    shape: [usize; 2],
    slot: Option<Slot>,
    /// The input, where a weight is trained.
    x: Option<Tensor>,
}

impl Saved {
    fn new(x: &Tensor, parts: &[LinearPart<'_>]) -> Self {
        let trained = parts.iter().any(|part| part.weight.is_trainable());
        Self { shape: x.shape(), slot: x.slot(), x: trained.then(|| x.clone()) }
    }
}

/// What one part keeps for the backward.
struct Step {
    weight: Arc<Param>,
    rows: Range<usize>,
    /// Those that are trained.
    bias: Vec<Arc<Param>>,
    residual: Option<Slot>,
}

impl Step {
    fn backward(
        self,
        gradients: &mut Gradients,
        saved: &Saved,
        grad: Buffer<f32>,
    ) -> Result<(), TensorError> {
        self.backward_weights(gradients, saved, &grad)?;
        if let Some(slot) = saved.slot {
            let weights = self.weight.input_gradient_weights(OP, &self.rows)?;
            let [rows, inner] = saved.shape;
            gradients
                .write_product(slot, rows * inner, |device, dx, landing| {
                    linear::backward_input(device, rows, (&grad, &weights), dx, landing)
                })
                .map_err(in_op(OP, [saved.shape]))?;
        }
        gradients.add(self.residual, grad)
    }

    fn backward_weights(
        &self,
        gradients: &mut Gradients,
        saved: &Saved,
        grad: &Buffer<f32>,
    ) -> Result<(), TensorError> {
        let device = gradients.device();
        let mut db = match &self.bias[..] {
            [] => None,
            [bias] => Some(bias.take_gradient()),
            [first, ..] => Some(device.zeros(first.len())),
        };
        let (outputs, inner) = self.weight.matrix_shape(OP)?;
        let sizes = (saved.shape[0], self.weight.precision());
        if let (true, Some(x)) = (self.weight.is_trainable(), &saved.x) {
            let (mut dw, accumulate) = self.weight.lend_gradient(&self.rows);
            let shape = ((outputs, inner), self.rows.clone());
            linear::backward_weights(
                &device,
                sizes,
                (grad, x.input()),
                shape,
                (&mut dw, accumulate),
                db.as_mut(),
            )
            .map_err(in_op(OP, [saved.shape]))?;
            gradients.give(&self.weight, dw);
        } else if db.is_some() {
            // The kernel sums the bias beside a weight gradient: a column of zeros makes that one cheap.
            let (x, mut dw) = (device.zeros(saved.shape[0]), device.zeros(outputs));
            let (operands, shape) = ((grad, Input::F32(&x)), ((outputs, 1), self.rows.clone()));
            linear::backward_weights(&device, sizes, operands, shape, (&mut dw, true), db.as_mut())
                .map_err(in_op(OP, [saved.shape]))?;
        }
        let Some(db) = db else { return Ok(()) };
        if let [bias] = &self.bias[..] {
            gradients.give(bias, db);
            return Ok(());
        }
        self.bias.iter().try_for_each(|bias| {
            let mut sum = bias.take_gradient();
            elementwise::add_into(&device, &db, &mut sum).map_err(in_op(OP, [saved.shape]))?;
            gradients.give(bias, sum);
            Ok(())
        })
    }
}

/// Sum of the vectors, where there are any.
fn bias_of(device: &Device, bias: &[Arc<Param>]) -> Result<Option<Arc<Buffer<f32>>>, TensorError> {
    let mut vectors = bias.iter().map(|bias| bias.buffer(OP));
    let Some(mut sum) = vectors.next().transpose()? else { return Ok(None) };
    for vector in vectors {
        let (vector, mut next) = (vector?, device.scratch(sum.len()));
        elementwise::add(device, &sum, &vector, &mut next).map_err(in_op(OP, [[1, sum.len()]]))?;
        sum = Arc::new(next);
    }
    Ok(Some(sum))
}
