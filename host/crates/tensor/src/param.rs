//! What a model has learnt: values, packed forms and gradient of one named parameter.

use crate::error::{TensorError, in_op};
use crate::low_rank::LowRank;
use crate::packed::PackedForms;
use pliant_kernels::cpu::gemm::Orientation;
use pliant_kernels::ops::linear::{self, Epilogue, Part, Weights};
use pliant_kernels::{Buffer, Device, Input, KernelError, Output, Precision};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a parameter is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// `[N,K]`: rows are outputs of a linear layer.
    Matrix,
    /// `[C]`: a bias, or a scale or shift per column.
    Vector,
    /// `[V,C]`: rows are looked up; it may serve as the matrix of a linear layer too (tied weights).
    Table,
}

impl ParamKind {
    /// Name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Matrix => "matrix",
            Self::Vector => "vector",
            Self::Table => "table",
        }
    }

    /// Number of dimensions.
    #[must_use]
    pub fn rank(self) -> usize {
        match self {
            Self::Matrix | Self::Table => 2,
            Self::Vector => 1,
        }
    }
}

/// One parameter of a model, shared as `Arc<Param>`.
///
/// What is held:
///
/// | | plain f32 values | packed for the forward | packed for input gradients |
/// |---|---|---|---|
/// | frozen matrix | no | from the start | from first use |
/// | frozen vector | yes | | |
/// | frozen table | yes | from first use | from first use |
/// | trainable | yes (the master) | from first use after a change | likewise |
///
/// A frozen matrix is thus held once for inference. Where linear layers use stretches of a matrix's rows, each stretch
/// has forms of its own; forward forms of a frozen matrix share its memory as far as panels allow. The precision decides whether packed forms hold f32 or
/// bf16; plain values are always f32.
///
/// Reading from many threads is safe. Gradients and changes belong to one training thread.
pub struct Param {
    name: String,
    shape: Vec<usize>,
    kind: ParamKind,
    trainable: bool,
    decay: bool,
    device: Device,
    precision: Precision,
    side: Option<LowRank>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` for frozen matrices.
    values: Option<Arc<Buffer<f32>>>,
    packed: PackedForms,
    /// `None` until a gradient arrives.
    gradient: Option<Buffer<f32>>,
    version: u64,
}

impl State {
    /// The plain values, to be changed in place: nothing made of the old ones stays.
    ///
    /// Whoever still holds the old values keeps them, at the price of a copy.
    fn values_mut(&mut self, device: &Device) -> Option<&mut Buffer<f32>> {
        let values = self.values.as_mut()?;
        if Arc::get_mut(values).is_none() {
            *values = Arc::new(device.upload(values.as_slice()));
        }
        self.packed = PackedForms::default();
        self.version += 1;
        Arc::get_mut(values)
    }
}

impl Param {
    /// A parameter that never changes and gets no gradient.
    ///
    /// # Errors
    /// [`TensorError::ParamShape`] and [`TensorError::ParamValues`] when kind, shape and values do not fit.
    pub fn frozen(
        device: &Device,
        precision: Precision,
        name: &str,
        shape: &[usize],
        values: &[f32],
        kind: ParamKind,
    ) -> Result<Self, TensorError> {
        let param = Self::empty(device, precision, name, shape, kind, false);
        param.check(values)?;
        let mut state = State::default();
        if kind == ParamKind::Matrix {
            let weights = param.pack(values, Orientation::Forward, 0..shape[0])?;
            state.packed.keep(Orientation::Forward, weights);
        } else {
            state.values = Some(Arc::new(device.upload(values)));
        }
        Ok(Self { state: Mutex::new(state), ..param })
    }

    /// A parameter to be trained, with its master values in f32.
    ///
    /// # Errors
    /// As [`Param::frozen`].
    pub fn trainable(
        device: &Device,
        precision: Precision,
        name: &str,
        shape: &[usize],
        values: &[f32],
        kind: ParamKind,
    ) -> Result<Self, TensorError> {
        let param = Self::empty(device, precision, name, shape, kind, true);
        param.check(values)?;
        let state = State { values: Some(Arc::new(device.upload(values))), ..State::default() };
        Ok(Self { state: Mutex::new(state), ..param })
    }

    fn empty(
        device: &Device,
        precision: Precision,
        name: &str,
        shape: &[usize],
        kind: ParamKind,
        trainable: bool,
    ) -> Self {
        Self {
            name: name.to_owned(),
            shape: shape.to_vec(),
            kind,
            trainable,
            decay: kind != ParamKind::Vector,
            device: device.clone(),
            precision,
            side: None,
            state: Mutex::default(),
        }
    }

    /// The same matrix with a product of low rank beside it, which linear layers add to what they make of it.
    ///
    /// # Errors
    /// [`TensorError::Shape`] for one that does not fit.
    pub fn with_side(self, side: LowRank) -> Result<Self, TensorError> {
        let (outputs, inputs) = self.matrix_shape("low rank")?;
        side.check([outputs, inputs])?;
        Ok(Self { side: Some(side), ..self })
    }

    /// What stands beside it, where that counts.
    #[must_use]
    pub fn side(&self) -> Option<&LowRank> {
        self.side.as_ref().filter(|side| side.active.is_on())
    }

    /// The same parameter with weight decay on or off; without this call it is on for matrices and tables
    /// and off for vectors.
    #[must_use]
    pub fn with_decay(self, decay: bool) -> Self {
        Self { decay, ..self }
    }

    /// Name, as in the checkpoint.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `[N,K]`, `[V,C]` or `[C]`.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// What it is used for.
    #[must_use]
    pub fn kind(&self) -> ParamKind {
        self.kind
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Never: parameters have no empty dimension.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is trained.
    #[must_use]
    pub fn is_trainable(&self) -> bool {
        self.trainable
    }

    /// Whether an optimiser applies weight decay to it.
    #[must_use]
    pub fn decay(&self) -> bool {
        self.decay
    }

    /// How matrix operands made of it are held.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// How often the values have been changed.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// Memory held now, in bytes: values, packed forms and gradient.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let state = self.lock();
        let values = state.values.as_ref().map_or(0, |values| values.len());
        state.packed.bytes() + 4 * (values + state.gradient.as_ref().map_or(0, Buffer::len))
    }

    /// The values row by row. Those of a frozen matrix are read back from its packed form, so with bf16
    /// operands they are the rounded ones.
    ///
    /// # Errors
    /// [`TensorError::Kernel`] when reading back fails.
    pub fn values(&self) -> Result<Vec<f32>, TensorError> {
        let (values, forward) = {
            let state = self.lock();
            (state.values.clone(), state.packed.whole(Orientation::Forward))
        };
        values.map_or_else(|| self.read_back(forward), |values| Ok(values.as_slice().to_vec()))
    }

    /// Replaces the values of a trainable parameter; packed forms are made anew on next use.
    ///
    /// # Errors
    /// [`TensorError::ParamKind`] for frozen parameters, [`TensorError::ParamValues`] when `values` do not
    /// fill the shape.
    pub fn set_values(&self, values: &[f32]) -> Result<(), TensorError> {
        if !self.trainable {
            return Err(self.unfit("set values", "a trainable parameter"));
        }
        self.check(values)?;
        if let Some(place) = self.lock().values_mut(&self.device) {
            place.as_mut_slice().copy_from_slice(values);
        }
        Ok(())
    }

    /// Lets `change` move the values of a trainable parameter in place along their gradient; packed forms are made
    /// anew on next use. The gradient stays as it is.
    ///
    /// # Errors
    /// [`TensorError::ParamKind`] for frozen parameters, [`TensorError::NoGradient`] where no gradient arrived, and
    /// what `change` refuses, before it has changed anything.
    pub(crate) fn update(
        &self,
        op: &'static str,
        change: impl FnOnce(&Device, &mut Buffer<f32>, &Buffer<f32>) -> Result<(), KernelError>,
    ) -> Result<(), TensorError> {
        if !self.trainable {
            return Err(self.unfit(op, "a trainable parameter"));
        }
        let mut state = self.lock();
        let Some(gradient) = state.gradient.take() else {
            return Err(TensorError::NoGradient { names: vec![self.name.clone()] });
        };
        let outcome =
            state.values_mut(&self.device).map_or(Ok(()), |values| change(&self.device, values, &gradient));
        state.gradient = Some(gradient);
        outcome.map_err(in_op(op, [[1, self.len()]]))
    }

    /// What `read` makes of the gradient; `None` where none arrived.
    pub(crate) fn read_gradient<T>(&self, read: impl FnOnce(&Device, &Buffer<f32>) -> T) -> Option<T> {
        self.lock().gradient.as_ref().map(|gradient| read(&self.device, gradient))
    }

    /// Where the parameter is.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The gradient summed since the last [`Param::zero_grad`], zeros where none arrived.
    #[must_use]
    pub fn grad(&self) -> Vec<f32> {
        let state = self.lock();
        state.gradient.as_ref().map_or_else(|| vec![0.0; self.len()], |grad| grad.as_slice().to_vec())
    }

    /// Sets the gradient to zero and gives its memory back to the pool.
    pub fn zero_grad(&self) {
        self.lock().gradient = None;
    }

    /// The plain values on the device, of anything but a frozen matrix.
    pub(crate) fn buffer(&self, op: &'static str) -> Result<Arc<Buffer<f32>>, TensorError> {
        let wanted = "a vector, a table or a trainable parameter";
        self.lock().values.clone().ok_or_else(|| self.unfit(op, wanted))
    }

    /// The form of some rows that `x·Wᵀ` multiplies with.
    pub(crate) fn forward_weights(
        &self,
        op: &'static str,
        rows: &Range<usize>,
    ) -> Result<Arc<Weights>, TensorError> {
        let shape = self.matrix_shape(op)?;
        let mut state = self.lock();
        if let Some(weights) = state.packed.find(Orientation::Forward, rows) {
            return Ok(weights);
        }
        let packed = match (&state.values, state.packed.whole(Orientation::Forward)) {
            (_, Some(whole)) => {
                whole.take_rows(&self.device, rows.clone()).map_err(in_op(op, [[shape.0, shape.1]]))?
            }
            (Some(values), None) => self.pack(values.as_slice(), Orientation::Forward, rows.clone())?,
            (None, None) => return Err(self.unfit(op, "a parameter with values")),
        };
        Ok(state.packed.keep(Orientation::Forward, packed))
    }

    /// The form of some rows that `dy·W` multiplies with.
    pub(crate) fn input_gradient_weights(
        &self,
        op: &'static str,
        rows: &Range<usize>,
    ) -> Result<Arc<Weights>, TensorError> {
        self.matrix_shape(op)?;
        let mut state = self.lock();
        if let Some(weights) = state.packed.find(Orientation::InputGradient, rows) {
            return Ok(weights);
        }
        let packed = match &state.values {
            Some(values) => self.pack(values.as_slice(), Orientation::InputGradient, rows.clone())?,
            None => {
                let values = self.read_back(state.packed.whole(Orientation::Forward))?;
                self.pack(&values, Orientation::InputGradient, rows.clone())?
            }
        };
        Ok(state.packed.keep(Orientation::InputGradient, packed))
    }

    /// `(N, K)` of what a linear layer can multiply with.
    pub(crate) fn matrix_shape(&self, op: &'static str) -> Result<(usize, usize), TensorError> {
        match self.shape[..] {
            [outputs, inputs] => Ok((outputs, inputs)),
            _ => Err(self.unfit(op, "a matrix or a table")),
        }
    }

    /// Checks that this is a vector of `wanted` values.
    pub(crate) fn check_vector(
        &self,
        op: &'static str,
        what: &'static str,
        wanted: usize,
    ) -> Result<(), TensorError> {
        if self.shape[..] == [wanted] {
            return Ok(());
        }
        Err(TensorError::Shape { op, what, found: self.shape.clone(), wanted: vec![wanted] })
    }

    /// The gradient so far, to be added to and put back with [`Param::put_gradient`]. A frozen parameter
    /// lends zeros that are thrown away.
    pub(crate) fn take_gradient(&self) -> Buffer<f32> {
        let gradient = self.lock().gradient.take();
        gradient.unwrap_or_else(|| self.device.zeros(self.len()))
    }

    /// As [`Param::take_gradient`] for a kernel that adds to `rows`, or writes them where `false` comes with the memory:
    /// its numbers are unspecified then, which spares zeros that nobody reads.
    pub(crate) fn lend_gradient(&self, rows: &Range<usize>) -> (Buffer<f32>, bool) {
        match self.lock().gradient.take() {
            Some(gradient) => (gradient, true),
            None if rows.len() == self.shape[0] => (self.device.scratch(self.len()), false),
            None => (self.device.zeros(self.len()), true),
        }
    }

    pub(crate) fn put_gradient(&self, gradient: Buffer<f32>) {
        if self.trainable {
            self.lock().gradient = Some(gradient);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, values: &[f32]) -> Result<(), TensorError> {
        let (name, shape) = (self.name.clone(), self.shape.clone());
        if shape.len() != self.kind.rank() || shape.contains(&0) {
            return Err(TensorError::ParamShape { name, shape, kind: self.kind });
        }
        if values.len() == self.len() {
            return Ok(());
        }
        Err(TensorError::ParamValues { name, shape, found: values.len(), wanted: self.len() })
    }

    fn unfit(&self, op: &'static str, wanted: &'static str) -> TensorError {
        let Self { kind, trainable, .. } = *self;
        TensorError::ParamKind { op, name: self.name.clone(), kind, trainable, wanted }
    }

    fn pack(
        &self,
        values: &[f32],
        orientation: Orientation,
        rows: Range<usize>,
    ) -> Result<Weights, TensorError> {
        let shape = self.matrix_shape("pack")?;
        Weights::pack_rows(&self.device, self.precision, values, (shape, rows), orientation)
            .map_err(in_op("pack", [[shape.0, shape.1]]))
    }

    /// Multiplies rows of the identity with the packed matrix: every sum is one value times one plus
    /// zeros, so this is exact. It spares a second copy of all frozen weights for the few that lie above
    /// something trained.
    fn read_back(&self, forward: Option<Arc<Weights>>) -> Result<Vec<f32>, TensorError> {
        let (outputs, inputs) = self.matrix_shape("read back")?;
        let weights = forward.ok_or_else(|| self.unfit("read back", "a packed matrix"))?;
        self.multiply_identity(&weights, outputs, inputs).map_err(in_op("read back", [[outputs, inputs]]))
    }

    fn multiply_identity(
        &self,
        weights: &Weights,
        outputs: usize,
        inputs: usize,
    ) -> Result<Vec<f32>, KernelError> {
        const ROWS: usize = 256;
        let mut values = vec![0.0; outputs * inputs];
        for first in (0..inputs).step_by(ROWS) {
            let rows = ROWS.min(inputs - first);
            let mut identity = vec![0.0; rows * inputs];
            identity.iter_mut().skip(first).step_by(inputs + 1).for_each(|one| *one = 1.0);
            let identity = self.device.upload(&identity);
            let mut columns = self.device.scratch::<f32>(rows * outputs);
            let output = Output::F32(&mut columns);
            let part = Part { weights, bias: None, epilogue: Epilogue::Store, output };
            linear::forward(&self.device, rows, Input::F32(&identity), &mut [part])?;
            for (row, column) in columns.as_slice().chunks_exact(outputs).enumerate() {
                let places = values.iter_mut().skip(first + row).step_by(inputs);
                places.zip(column).for_each(|(place, value)| *place = *value);
            }
        }
        Ok(values)
    }
}

impl std::fmt::Debug for Param {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if self.trainable { "trainable" } else { "frozen" };
        write!(formatter, "Param({}, {:?}, {state})", self.name, self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0).collect()
    }

    #[test]
    fn a_frozen_matrix_is_held_once_and_read_back_exactly() {
        let device = Device::cpu(1).unwrap();
        for (outputs, inputs) in [(3, 5), (33, 300)] {
            let values = numbers(outputs * inputs);
            let shape = [outputs, inputs];
            let frozen = |precision| {
                Param::frozen(&device, precision, "w", &shape, &values, ParamKind::Matrix).unwrap()
            };
            assert_eq!(frozen(Precision::F32).values().unwrap(), values);
            let rounded: Vec<f32> =
                values.iter().map(|&value| half::bf16::from_f32(value).to_f32()).collect();
            let param = frozen(Precision::Bf16);
            assert_eq!(param.values().unwrap(), rounded);
            let before = param.bytes();
            param.input_gradient_weights("test", &(0..outputs)).unwrap();
            assert!(param.bytes() > before);
            assert!(param.buffer("test").is_err());
        }
    }

    #[test]
    fn new_values_make_new_packed_forms() {
        let device = Device::cpu(1).unwrap();
        let values = numbers(12);
        let param =
            Param::trainable(&device, Precision::F32, "w", &[3, 4], &values, ParamKind::Matrix).unwrap();
        let first = param.forward_weights("test", &(0..3)).unwrap();
        assert!(Arc::ptr_eq(&first, &param.forward_weights("test", &(0..3)).unwrap()));
        param.set_values(&[1.0; 12]).unwrap();
        assert!(!Arc::ptr_eq(&first, &param.forward_weights("test", &(0..3)).unwrap()));
        assert_eq!((param.version(), param.values().unwrap()), (1, vec![1.0; 12]));
    }

    #[test]
    fn an_update_works_in_place_and_leaves_nothing_stale() {
        let device = Device::cpu(1).unwrap();
        let param =
            Param::trainable(&device, Precision::F32, "w", &[3, 4], &numbers(12), ParamKind::Matrix).unwrap();
        let descend = |param: &Param| {
            param.update("test", |_, values, gradient| {
                let pairs = values.as_mut_slice().iter_mut().zip(gradient.as_slice());
                pairs.for_each(|(value, gradient)| *value -= gradient);
                Ok(())
            })
        };
        let refused = descend(&param).unwrap_err();
        assert_eq!(refused, TensorError::NoGradient { names: vec!["w".to_owned()] });
        param.put_gradient(device.upload(&[0.5; 12]));
        let (first, back) = (
            param.forward_weights("test", &(0..3)).unwrap(),
            param.input_gradient_weights("test", &(0..3)).unwrap(),
        );
        let place = param.buffer("test").unwrap().as_slice().as_ptr();
        descend(&param).unwrap();
        let moved: Vec<f32> = numbers(12).iter().map(|value| value - 0.5).collect();
        assert_eq!((param.version(), param.values().unwrap()), (1, moved));
        assert_eq!(param.buffer("test").unwrap().as_slice().as_ptr(), place, "values were allocated anew");
        assert!(!Arc::ptr_eq(&first, &param.forward_weights("test", &(0..3)).unwrap()));
        assert!(!Arc::ptr_eq(&back, &param.input_gradient_weights("test", &(0..3)).unwrap()));
        assert_eq!(param.grad(), [0.5; 12]);

        let held = param.buffer("test").unwrap();
        let before = held.as_slice().to_vec();
        descend(&param).unwrap();
        assert_eq!(held.as_slice(), before, "values that somebody holds changed");
        assert_ne!(param.values().unwrap(), before);
        param.zero_grad();
        assert!(descend(&param).is_err());
    }

    #[test]
    fn shapes_and_values_must_fit_the_kind() {
        let device = Device::cpu(1).unwrap();
        let frozen = |shape: &[usize], count, kind| {
            Param::frozen(&device, Precision::F32, "p", shape, &vec![0.0; count], kind)
                .map(drop)
                .map_err(|error| error.to_string())
        };
        assert!(frozen(&[4], 4, ParamKind::Matrix).unwrap_err().contains("[4] for a matrix, wanted 2"));
        assert!(frozen(&[0], 0, ParamKind::Vector).is_err());
        assert!(frozen(&[2, 3], 5, ParamKind::Table).unwrap_err().contains("5 values, wanted 6"));
        assert_eq!(frozen(&[2, 3], 6, ParamKind::Table), Ok(()));
        let vector = Param::frozen(&device, Precision::F32, "p", &[2], &[1.0, 2.0], ParamKind::Vector);
        let vector = vector.unwrap();
        assert!(vector.set_values(&[3.0, 4.0]).unwrap_err().to_string().contains("frozen vector"));
        assert!(vector.update("adamw", |_, _, _| Ok(())).unwrap_err().to_string().contains("frozen vector"));
        assert!(!vector.decay() && vector.with_decay(true).decay());
    }
}
