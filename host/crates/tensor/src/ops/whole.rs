//! Matrices that no linear layer multiplies with, with what stands beside them added up for the time of one pass.

use std::sync::Arc;

use pliant_kernels::cpu::gemm::Orientation;
use pliant_kernels::ops::elementwise;
use pliant_kernels::ops::linear::{self, Epilogue, Part, Weights};
use pliant_kernels::{Buffer, Input, Output, Precision};

use crate::error::{TensorError, in_op};
use crate::gradients::Gradients;
use crate::low_rank::{LowRank, merged};
use crate::param::Param;

const OP: &str = "low rank";

/// A matrix as a whole, and whose gradients its gradient is made of.
pub(super) struct Whole {
    /// What is to be multiplied with.
    pub(super) matrix: Arc<Param>,
    side: Option<LowRank>,
}

impl Whole {
    /// The matrix itself, or a passing one of `W + s·B·A`. Nothing is dropped beside it.
    pub(super) fn of(weight: &Arc<Param>) -> Result<Self, TensorError> {
        let Some(side) = weight.side() else { return Ok(Self { matrix: Arc::clone(weight), side: None }) };
        let (outputs, inputs) = weight.matrix_shape(OP)?;
        let (values, halves) = (weight.values()?, (side.a.values()?, side.b.values()?));
        let shape = [outputs, side.a.shape()[0], inputs];
        let sum = merged(weight.device(), &values, (&halves.0, &halves.1), shape, side.scale)?;
        let (device, precision, name) = (weight.device(), weight.precision(), weight.name());
        let matrix = Param::frozen(device, precision, name, weight.shape(), &sum, weight.kind())?;
        Ok(Self { matrix: Arc::new(matrix), side: Some(side.clone()) })
    }

    /// The parameters that learn by it.
    pub(super) fn learners(&self) -> Vec<&Arc<Param>> {
        let own = || vec![&self.matrix];
        self.side.as_ref().map_or_else(own, |side| vec![&side.a, &side.b])
    }

    /// Whether any of them can be trained.
    pub(super) fn learns(&self) -> bool {
        self.learners().iter().any(|param| param.is_trainable())
    }

    /// Memory for the gradient of the matrix, and whether a kernel is to add to what is in it.
    pub(super) fn lend(&self) -> (Buffer<f32>, bool) {
        match &self.side {
            None => self.matrix.lend_gradient(&(0..self.matrix.shape()[0])),
            Some(_) => (self.matrix.device().scratch(self.matrix.len()), false),
        }
    }

    /// Hands the gradient `dw [N,K]` of the matrix on: `dB += s·dW·Aᵀ`, `dA += s·Bᵀ·dW`.
    pub(super) fn give(&self, gradients: &mut Gradients, dw: Buffer<f32>) -> Result<(), TensorError> {
        let Some(side) = &self.side else {
            gradients.give(&self.matrix, dw);
            return Ok(());
        };
        let (outputs, inputs) = self.matrix.matrix_shape(OP)?;
        let (device, rank) = (gradients.device(), side.a.shape()[0]);
        let failed = || in_op(OP, [[outputs, inputs]]);
        let shape = (rank, inputs);
        let a = Weights::pack(&device, Precision::F32, &side.a.values()?, shape, Orientation::Forward);
        let (a, mut of_b) = (a.map_err(failed())?, device.scratch(outputs * rank));
        let output = Output::F32(&mut of_b);
        let part = Part { weights: &a, bias: None, epilogue: Epilogue::Store, output };
        linear::forward(&device, outputs, Input::F32(&dw), &mut [part]).map_err(failed())?;
        elementwise::scale(&device, side.scale, &mut of_b).map_err(failed())?;
        let mut db = side.b.take_gradient();
        elementwise::add_into(&device, &of_b, &mut db).map_err(failed())?;
        let mut b = device.upload(&side.b.values()?);
        elementwise::scale(&device, side.scale, &mut b).map_err(failed())?;
        let mut da = side.a.take_gradient();
        let operands = (&b, Input::F32(&dw));
        let sizes = (outputs, Precision::F32);
        linear::backward_weights(&device, sizes, operands, (shape, 0..rank), (&mut da, true), None)
            .map_err(failed())?;
        gradients.give(&side.b, db);
        gradients.give(&side.a, da);
        Ok(())
    }
}
