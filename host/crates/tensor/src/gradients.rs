//! Gradients on their way back.

use crate::error::{TensorError, in_op};
use crate::param::Param;
use crate::tensor::Slot;
use pliant_kernels::ops::elementwise;
use pliant_kernels::{Buffer, Device, KernelError};
use std::sync::Arc;

/// A trainable parameter that a pass has used.
pub(crate) struct Touched {
    param: Arc<Param>,
    /// Version of the values the forward has seen.
    version: u64,
    received: bool,
}

impl Touched {
    pub(crate) fn new(param: &Arc<Param>) -> Self {
        Self { param: Arc::clone(param), version: param.version(), received: false }
    }

    pub(crate) fn is(&self, param: &Arc<Param>) -> bool {
        Arc::ptr_eq(&self.param, param)
    }

    pub(crate) fn param(&self) -> &Arc<Param> {
        &self.param
    }
}

/// What the backward of one operation hands to the next: f32 gradients of recorded tensors, and which
/// parameters have got theirs.
pub(crate) struct Gradients {
    device: Device,
    slots: Vec<Option<Buffer<f32>>>,
    touched: Vec<Touched>,
}

impl Gradients {
    pub(crate) fn new(device: &Device, slots: usize, touched: Vec<Touched>) -> Self {
        Self { device: device.clone(), slots: (0..slots).map(|_| None).collect(), touched }
    }

    pub(crate) fn device(&self) -> Device {
        self.device.clone()
    }

    /// Takes the gradient out of its slot.
    pub(crate) fn take(&mut self, index: usize) -> Option<Buffer<f32>> {
        self.slots.get_mut(index)?.take()
    }

    /// Adds to the gradient of a tensor; for tensors that are not recorded nothing happens.
    pub(crate) fn add(&mut self, slot: Option<Slot>, grad: Buffer<f32>) -> Result<(), TensorError> {
        let Some(place) = slot.and_then(|slot| self.slots.get_mut(slot.index)) else { return Ok(()) };
        match place {
            None => *place = Some(grad),
            Some(sum) => elementwise::add_into(&self.device, &grad, sum).map_err(in_op("add", []))?,
        }
        Ok(())
    }

    /// Lets a kernel write (`false`) or add (`true`) the gradient of a recorded tensor of `length`
    /// numbers in place.
    pub(crate) fn write(
        &mut self,
        slot: Slot,
        length: usize,
        kernel: impl FnOnce(&Device, &mut Buffer<f32>, bool) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let before = self.take(slot.index);
        let accumulate = before.is_some();
        let mut grad = before.unwrap_or_else(|| self.device.scratch(length));
        kernel(&self.device, &mut grad, accumulate)?;
        if let Some(place) = self.slots.get_mut(slot.index) {
            *place = Some(grad);
        }
        Ok(())
    }

    /// Puts the gradient of a parameter back after a kernel has added to it.
    pub(crate) fn give(&mut self, param: &Arc<Param>, grad: Buffer<f32>) {
        param.put_gradient(grad);
        self.mark(param);
    }

    fn mark(&mut self, param: &Arc<Param>) {
        if let Some(touched) = self.touched.iter_mut().find(|touched| touched.is(param)) {
            touched.received = true;
        }
    }

    /// Takes over which parameters got gradients in a nested run.
    pub(crate) fn mark_all_of(&mut self, nested: &Self) {
        nested
            .touched
            .iter()
            .filter(|touched| touched.received)
            .for_each(|touched| self.mark(&touched.param));
    }

    pub(crate) fn check_versions(&self) -> Result<(), TensorError> {
        match self.touched.iter().find(|touched| touched.param.version() != touched.version) {
            None => Ok(()),
            Some(changed) => Err(TensorError::ParamChanged { name: changed.param.name().to_owned() }),
        }
    }

    pub(crate) fn check_complete(&self) -> Result<(), TensorError> {
        let missing = self.touched.iter().filter(|touched| !touched.received);
        let names: Vec<_> = missing.map(|touched| touched.param.name().to_owned()).collect();
        if names.is_empty() { Ok(()) } else { Err(TensorError::NoGradient { names }) }
    }
}
