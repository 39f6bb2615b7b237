//! The record of one pass.

use crate::error::TensorError;
use crate::gradients::{Gradients, Slopes, Touched};
use crate::param::Param;
use crate::tensor::{Dtype, Slot, Tensor};
use pliant_kernels::{Buffer, Device, Precision};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What an operation does to gradients: it gets those of its outputs (`None` where nothing used an
/// output) and hands on those of its inputs and parameters.
type Backward = Box<dyn FnOnce(&mut Gradients, Vec<Option<Buffer<f32>>>) -> Result<(), TensorError>>;

/// One recorded operation. Dropping it frees whatever it kept for its backward.
pub(crate) struct Node {
    outputs: Vec<usize>,
    backward: Backward,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nothing is kept.
    Off,
    /// Nothing is kept but the names of trainable parameters: the first run of a checkpoint.
    Watch,
    /// Everything that a gradient has to pass is recorded.
    On,
}

#[derive(Default)]
struct Record {
    nodes: Vec<Node>,
    slots: usize,
    slopes: Slopes,
    touched: Vec<Touched>,
}

/// What a pass is run with, besides what is recorded.
#[derive(Clone, Copy, Default)]
struct Settings {
    /// Seed and step of everything random.
    random: Option<(u64, u32)>,
    recompute: bool,
}

/// Device, precision and, while training, the record of one pass from inputs to loss.
///
/// Only operations that a trainable parameter reaches are recorded, so a frozen start of a model costs
/// what inference costs. A tape is used by one thread.
pub struct Tape {
    device: Device,
    precision: Precision,
    id: u64,
    mode: Mode,
    settings: Settings,
    record: RefCell<Record>,
}

impl Tape {
    /// A tape that records nothing, for inference.
    #[must_use]
    pub fn off(device: &Device, precision: Precision) -> Self {
        Self::with_mode(device, precision, Mode::Off)
    }

    /// A tape that records, for training.
    #[must_use]
    pub fn on(device: &Device, precision: Precision) -> Self {
        Self::with_mode(device, precision, Mode::On)
    }

    /// The same tape with random numbers that are a function of `seed` and `step`, for dropout. A step is one pass: packs
    /// whose gradients are added up are steps of their own.
    #[must_use]
    pub fn with_random(self, seed: u64, step: u32) -> Self {
        Self { settings: Settings { random: Some((seed, step)), ..self.settings }, ..self }
    }

    /// The same tape, asking models to run their blocks under [`Tape::checkpoint`] or not.
    #[must_use]
    pub fn with_recompute(self, recompute: bool) -> Self {
        Self { settings: Settings { recompute, ..self.settings }, ..self }
    }

    /// Whether models are to run their blocks under [`Tape::checkpoint`]. Never inside one: what is recomputed once need
    /// not be recomputed twice.
    #[must_use]
    pub fn recomputes(&self) -> bool {
        self.settings.recompute && self.is_on()
    }

    /// What runs a checkpoint for the first time.
    pub(crate) fn watch(&self) -> Self {
        Self { settings: self.inner(), ..Self::with_mode(&self.device, self.precision, Mode::Watch) }
    }

    /// What runs a checkpoint again; `self` is the tape that ran it first.
    pub(crate) fn replay(&self) -> Self {
        Self { settings: self.inner(), ..Self::with_mode(&self.device, self.precision, Mode::On) }
    }

    fn inner(&self) -> Settings {
        Settings { recompute: false, ..self.settings }
    }

    fn with_mode(device: &Device, precision: Precision, mode: Mode) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let (settings, record) = (Settings::default(), RefCell::default());
        Self { device: device.clone(), precision, id, mode, settings, record }
    }

    /// Where operations run.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How matrix operands are held.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// What an operation should write when only matrix products and attention read its result.
    #[must_use]
    pub fn operand(&self) -> Dtype {
        self.precision.into()
    }

    /// Whether operations are recorded.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.mode == Mode::On
    }

    /// Whether this is a pass of a training, recorded or for the first time under a checkpoint.
    pub(crate) fn learns(&self) -> bool {
        self.mode != Mode::Off
    }

    /// Seed and step of random numbers, `None` for inference.
    pub(crate) fn random(&self, op: &'static str) -> Result<Option<(u64, u32)>, TensorError> {
        match (self.mode, self.settings.random) {
            (Mode::Off, _) => Ok(None),
            (Mode::On | Mode::Watch, None) => Err(TensorError::NoRandom { op }),
            (Mode::On | Mode::Watch, random) => Ok(random),
        }
    }

    /// Adds the gradient of `loss` `[1,1]` to every trainable parameter it depends on, operations taken
    /// in reverse order of recording.
    ///
    /// Memory kept for an operation, and the gradient of its result, is freed as soon as it is used.
    ///
    /// # Errors
    /// - [`TensorError::Unrecorded`] when the loss depends on nothing trained.
    /// - [`TensorError::NoGradient`] naming trainable parameters that recorded operations used although
    ///   the loss does not depend on them; all others have their gradient then.
    /// - [`TensorError::ParamChanged`] when a parameter got new values since the forward.
    /// - Whatever a kernel refuses.
    pub fn backward(self, loss: &Tensor) -> Result<(), TensorError> {
        loss.check_shape("backward", "loss", [1, 1])?;
        let slot = self.slot("backward", loss)?.ok_or(TensorError::Unrecorded)?;
        let mut gradients = self.gradients();
        gradients.add(Some(slot), gradients.device().upload(&[1.0]))?;
        self.play(&mut gradients)?;
        gradients.check_complete()
    }

    /// Gradients of this tape, all still empty.
    pub(crate) fn gradients(&self) -> Gradients {
        let mut record = self.record.borrow_mut();
        let (slopes, touched) = (std::mem::take(&mut record.slopes), std::mem::take(&mut record.touched));
        Gradients::new(&self.device, record.slots, slopes, touched)
    }

    /// Runs the backward of everything recorded, last first.
    pub(crate) fn play(self, gradients: &mut Gradients) -> Result<(), TensorError> {
        gradients.check_versions()?;
        let mut nodes = self.record.into_inner().nodes;
        while let Some(node) = nodes.pop() {
            let grads: Vec<_> = node.outputs.iter().map(|&output| gradients.take(output)).collect();
            if grads.iter().any(Option::is_some) {
                (node.backward)(gradients, grads)?;
            }
        }
        Ok(())
    }

    /// Notes which trainable parameters `op` uses, and tells whether it must be recorded.
    pub(crate) fn wants(
        &self,
        op: &'static str,
        tensors: &[&Tensor],
        params: &[&Arc<Param>],
    ) -> Result<bool, TensorError> {
        if self.mode == Mode::Off {
            return Ok(false);
        }
        let mut wanted = false;
        for tensor in tensors {
            wanted |= self.slot(op, tensor)?.is_some();
        }
        let touched = &mut self.record.borrow_mut().touched;
        for param in params.iter().filter(|param| param.is_trainable()) {
            wanted = true;
            if !touched.iter().any(|known| known.is(param)) {
                touched.push(Touched::new(param));
            }
        }
        Ok(wanted && self.is_on())
    }

    /// Place of the tensor's gradient on this tape.
    fn slot(&self, op: &'static str, tensor: &Tensor) -> Result<Option<Slot>, TensorError> {
        match tensor.slot() {
            Some(slot) if slot.tape != self.id => Err(TensorError::Foreign { op }),
            slot => Ok(slot),
        }
    }

    /// The trainable parameters used so far.
    pub(crate) fn touched(&self) -> Vec<Arc<Param>> {
        self.record.borrow().touched.iter().map(|touched| Arc::clone(touched.param())).collect()
    }

    /// The tensor as the start of a record: it gets a gradient, which goes nowhere by itself.
    pub(crate) fn leaf(&self, tensor: &Tensor) -> Tensor {
        let mut record = self.record.borrow_mut();
        record.slots += 1;
        tensor.detach().with_slot(Slot { tape: self.id, index: record.slots - 1 })
    }

    /// Notes that a recorded tensor is the GELU of `sums`: its gradient will be gathered as that of the sums.
    pub(crate) fn through_gelu(&self, slot: Option<Slot>, sums: Arc<Buffer<f32>>) {
        if let Some(slot) = slot {
            self.record.borrow_mut().slopes.insert(slot.index, sums);
        }
    }

    /// Records the operation that made `output`.
    pub(crate) fn record(
        &self,
        output: Tensor,
        backward: impl FnOnce(&mut Gradients, Buffer<f32>) -> Result<(), TensorError> + 'static,
    ) -> Tensor {
        let output = self.leaf(&output);
        self.push(std::slice::from_ref(&output), move |gradients, grads| {
            match grads.into_iter().flatten().next() {
                Some(grad) => backward(gradients, grad),
                None => Ok(()),
            }
        });
        output
    }

    /// Records the operation that made all `outputs`.
    pub(crate) fn record_all(
        &self,
        outputs: Vec<Tensor>,
        backward: impl FnOnce(&mut Gradients, Vec<Option<Buffer<f32>>>) -> Result<(), TensorError> + 'static,
    ) -> Vec<Tensor> {
        let outputs: Vec<_> = outputs.iter().map(|output| self.leaf(output)).collect();
        self.push(&outputs, backward);
        outputs
    }

    fn push(
        &self,
        outputs: &[Tensor],
        backward: impl FnOnce(&mut Gradients, Vec<Option<Buffer<f32>>>) -> Result<(), TensorError> + 'static,
    ) {
        let outputs = outputs.iter().filter_map(Tensor::slot).map(|slot| slot.index).collect();
        self.record.borrow_mut().nodes.push(Node { outputs, backward: Box::new(backward) });
    }
}
