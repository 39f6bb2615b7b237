//! Gradients on their way back.

use crate::error::{TensorError, in_op};
use crate::param::Param;
use crate::tensor::Slot;
use pliant_kernels::ops::elementwise;
use pliant_kernels::ops::linear::Landing;
use pliant_kernels::{Buffer, Device, KernelError};
use std::collections::BTreeMap;
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
    /// Sums before the GELU that made a tensor, by its slot.
    slopes: Slopes,
    touched: Vec<Touched>,
}

/// Sums by slot.
pub(crate) type Slopes = BTreeMap<usize, Arc<Buffer<f32>>>;

impl Gradients {
    pub(crate) fn new(device: &Device, slots: usize, slopes: Slopes, touched: Vec<Touched>) -> Self {
        Self { device: device.clone(), slots: (0..slots).map(|_| None).collect(), slopes, touched }
    }

    pub(crate) fn device(&self) -> Device {
        self.device.clone()
    }

    /// Takes the gradient out of its slot.
    pub(crate) fn take(&mut self, index: usize) -> Option<Buffer<f32>> {
        self.slopes.remove(&index);
        self.slots.get_mut(index)?.take()
    }

    /// Takes over a gradient that [`Gradients::take`] gave, of a tensor that has none yet.
    pub(crate) fn put(&mut self, slot: Option<Slot>, grad: Buffer<f32>) {
        if let Some(place) = slot.and_then(|slot| self.slots.get_mut(slot.index)) {
            *place = Some(grad);
        }
    }

    /// The sums `s`, where the tensor is `GELU(s)`: then the gradient that is gathered is that of `s`.
    pub(crate) fn sums(&self, slot: Slot) -> Option<Arc<Buffer<f32>>> {
        self.slopes.get(&slot.index).map(Arc::clone)
    }

    /// Adds to the gradient of a tensor; for tensors that are not recorded nothing happens.
    pub(crate) fn add(&mut self, slot: Option<Slot>, grad: Buffer<f32>) -> Result<(), TensorError> {
        self.gather(slot, grad).map_err(in_op("add", []))
    }

    fn gather(&mut self, slot: Option<Slot>, grad: Buffer<f32>) -> Result<(), KernelError> {
        let Some(slot) = slot.filter(|slot| slot.index < self.slots.len()) else { return Ok(()) };
        let grad = match self.sums(slot) {
            None => grad,
            Some(sums) => {
                let mut before = self.device.scratch(grad.len());
                elementwise::gelu_backward(&self.device, &sums, &grad, &mut before)?;
                before
            }
        };
        match &mut self.slots[slot.index] {
            place @ None => *place = Some(grad),
            Some(sum) => elementwise::add_into(&self.device, &grad, sum)?,
        }
        Ok(())
    }

    /// Lets a kernel write (`false`) or add (`true`) the gradient of a tensor of `length` numbers in place; that of a
    /// tensor that is not recorded is thrown away.
    pub(crate) fn write(
        &mut self,
        slot: Option<Slot>,
        length: usize,
        kernel: impl FnOnce(&Device, &mut Buffer<f32>, bool) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let through = slot.filter(|&slot| self.sums(slot).is_none());
        let before = through.and_then(|slot| self.take(slot.index));
        let accumulate = before.is_some();
        let mut grad = before.unwrap_or_else(|| self.device.scratch(length));
        kernel(&self.device, &mut grad, accumulate)?;
        if through.is_some() {
            self.put(through, grad);
            return Ok(());
        }
        self.gather(slot, grad)
    }

    /// As [`Gradients::write`] for a kernel that can also write its result times the slope of the GELU that made the
    /// tensor.
    pub(crate) fn write_product(
        &mut self,
        slot: Slot,
        length: usize,
        kernel: impl FnOnce(&Device, &mut Buffer<f32>, Landing<'_>) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let free = self.slots.get(slot.index).is_some_and(Option::is_none);
        if let (true, Some(sums)) = (free, self.sums(slot)) {
            let mut grad = self.device.scratch(length);
            kernel(&self.device, &mut grad, Landing::ThroughGelu(&sums))?;
            self.put(Some(slot), grad);
            return Ok(());
        }
        self.write(Some(slot), length, |device, grad, accumulate| {
            kernel(device, grad, if accumulate { Landing::Add } else { Landing::Write })
        })
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
