//! Matrices, token numbers and sequence borders on a device.

use crate::error::{TensorError, in_op};
use pliant_kernels::{Buffer, Device, Input, Output, Precision, bf16};
use std::ops::Range;
use std::sync::Arc;

/// How the numbers of a tensor are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit numbers.
    F32,
    /// bfloat16 numbers: only what is read as a matrix operand and nowhere else.
    Bf16,
}

impl Dtype {
    /// Name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

impl From<Precision> for Dtype {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 | Precision::Int8 => Self::Bf16,
        }
    }
}

/// The numbers of a tensor.
#[derive(Debug)]
pub(crate) enum Values {
    F32(Buffer<f32>),
    Bf16(Buffer<bf16>),
}

impl Values {
    pub(crate) fn scratch(device: &Device, dtype: Dtype, length: usize) -> Self {
        match dtype {
            Dtype::F32 => Self::F32(device.scratch(length)),
            Dtype::Bf16 => Self::Bf16(device.scratch(length)),
        }
    }

    pub(crate) fn output(&mut self) -> Output<'_> {
        match self {
            Self::F32(buffer) => Output::F32(buffer),
            Self::Bf16(buffer) => Output::Bf16(buffer),
        }
    }
}

/// Place of a tensor's gradient on the tape that recorded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) tape: u64,
    pub(crate) index: usize,
}

/// A matrix `[rows, columns]` on a device: `[T,C]` for the states of a pack, `[B,C]` for pooled
/// sequences, `[1,1]` for a loss. Clones share the numbers, which never change.
#[derive(Debug, Clone)]
pub struct Tensor {
    values: Arc<Values>,
    shape: [usize; 2],
    slot: Option<Slot>,
}

impl Tensor {
    /// Copies `values`, row by row, to the device. No gradient flows into such a tensor.
    ///
    /// # Errors
    /// [`TensorError::Shape`] when the values do not fill `[rows, columns]`.
    pub fn from_f32(device: &Device, shape: [usize; 2], values: &[f32]) -> Result<Self, TensorError> {
        if values.len() == shape[0] * shape[1] {
            Ok(Self::new(shape, Values::F32(device.upload(values))))
        } else {
            Err(TensorError::Shape {
                op: "tensor",
                what: "list of values",
                found: vec![values.len()],
                wanted: shape.to_vec(),
            })
        }
    }

    /// The rows of several f32 tensors of one width, one after the other. No gradient flows into such a tensor.
    ///
    /// # Errors
    /// [`TensorError`] when they differ in width or one is not f32.
    pub fn joined(device: &Device, parts: &[Self]) -> Result<Self, TensorError> {
        const OP: &str = "join";
        let columns = parts.first().map_or(0, Self::columns);
        let mut pieces = Vec::with_capacity(parts.len());
        for part in parts {
            part.check_shape(OP, "part", [part.rows(), columns])?;
            let values = part.f32_of(OP, "part")?;
            pieces.push((values, 0..values.len()));
        }
        let shape = [parts.iter().map(Self::rows).sum(), columns];
        Ok(Self::from_buffer(shape, device.join(&pieces).map_err(in_op(OP, [shape]))?))
    }

    pub(crate) fn new(shape: [usize; 2], values: Values) -> Self {
        Self { values: Arc::new(values), shape, slot: None }
    }

    pub(crate) fn from_buffer(shape: [usize; 2], values: Buffer<f32>) -> Self {
        Self::new(shape, Values::F32(values))
    }

    pub(crate) fn with_slot(self, slot: Slot) -> Self {
        Self { slot: Some(slot), ..self }
    }

    pub(crate) fn slot(&self) -> Option<Slot> {
        self.slot
    }

    /// `[rows, columns]`
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape[0]
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.shape[1]
    }

    /// How the numbers are held.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        match *self.values {
            Values::F32(_) => Dtype::F32,
            Values::Bf16(_) => Dtype::Bf16,
        }
    }

    /// Whether a tape recorded how this tensor came to be, so that a gradient can flow into it.
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        self.slot.is_some()
    }

    /// The same numbers, cut off from the tape.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self { slot: None, ..self.clone() }
    }

    /// The same numbers in another shape of as many, cut off from the tape.
    pub(crate) fn cut(&self, shape: [usize; 2]) -> Self {
        Self { shape, slot: None, ..self.clone() }
    }

    /// The numbers, where they are 32-bit.
    ///
    /// # Errors
    /// [`TensorError::Dtype`] for bf16 tensors.
    pub fn f32(&self) -> Result<&Buffer<f32>, TensorError> {
        self.f32_of("tensor", "tensor")
    }

    pub(crate) fn f32_of(&self, op: &'static str, what: &'static str) -> Result<&Buffer<f32>, TensorError> {
        match &*self.values {
            Values::F32(buffer) => Ok(buffer),
            Values::Bf16(_) => Err(TensorError::Dtype { op, what, found: Dtype::Bf16, wanted: Dtype::F32 }),
        }
    }

    /// The numbers as an operand of kernels.
    #[must_use]
    pub fn input(&self) -> Input<'_> {
        match &*self.values {
            Values::F32(buffer) => Input::F32(buffer),
            Values::Bf16(buffer) => Input::Bf16(buffer),
        }
    }

    /// The numbers row by row; bf16 is widened, which is exact.
    #[must_use]
    pub fn to_vec_f32(&self) -> Vec<f32> {
        match &*self.values {
            Values::F32(buffer) => buffer.as_slice().to_vec(),
            Values::Bf16(buffer) => buffer.as_slice().iter().map(|value| value.to_f32()).collect(),
        }
    }

    pub(crate) fn check_shape(
        &self,
        op: &'static str,
        what: &'static str,
        wanted: [usize; 2],
    ) -> Result<(), TensorError> {
        if self.shape == wanted {
            return Ok(());
        }
        Err(TensorError::Shape { op, what, found: self.shape.to_vec(), wanted: wanted.to_vec() })
    }
}

/// Numbers of tokens or classes `[T]` on a device, and on the host, so that nobody waits for a device to read them;
/// clones share them.
#[derive(Debug, Clone)]
pub struct Ids {
    host: Arc<[u32]>,
    there: Arc<Buffer<u32>>,
}

impl Ids {
    /// Copies `ids` to the device.
    #[must_use]
    pub fn new(device: &Device, ids: &[u32]) -> Self {
        Self { host: ids.into(), there: Arc::new(device.upload(ids)) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.host.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.host.is_empty()
    }

    /// The numbers, on the host.
    #[must_use]
    pub fn as_slice(&self) -> &[u32] {
        &self.host
    }

    /// The numbers, on the device.
    #[must_use]
    pub fn buffer(&self) -> &Buffer<u32> {
        &self.there
    }
}

/// Borders of the B sequences of a pack: B+1 offsets from 0 to T that never fall. Clones share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offsets(Arc<[usize]>);

impl Offsets {
    /// Takes offsets over.
    ///
    /// # Errors
    /// [`TensorError::Offsets`] when there are none, the first is not 0 or one falls below the one before.
    pub fn new(offsets: &[usize]) -> Result<Self, TensorError> {
        match offsets.first() {
            None => return Err(TensorError::Offsets { index: 0, found: 0, wanted: "at least the offset 0" }),
            Some(0) => {}
            Some(&found) => return Err(TensorError::Offsets { index: 0, found, wanted: "0" }),
        }
        match offsets.windows(2).position(|pair| pair[1] < pair[0]) {
            None => Ok(Self(offsets.into())),
            Some(before) => Err(TensorError::Offsets {
                index: before + 1,
                found: offsets[before + 1],
                wanted: "at least the offset before it",
            }),
        }
    }

    /// Number of sequences, B.
    #[must_use]
    pub fn sequences(&self) -> usize {
        self.0.len() - 1
    }

    /// Number of tokens, T.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.0[self.0.len() - 1]
    }

    /// Token rows of one sequence.
    ///
    /// # Panics
    /// When `sequence` is not below [`Offsets::sequences`].
    #[must_use]
    pub fn range(&self, sequence: usize) -> Range<usize> {
        self.0[sequence]..self.0[sequence + 1]
    }

    /// Checks that the sequences fill `tokens` rows.
    ///
    /// # Errors
    /// [`TensorError::Shape`] naming `op` when they do not.
    pub fn check_tokens(&self, op: &'static str, tokens: usize) -> Result<(), TensorError> {
        if self.tokens() == tokens {
            return Ok(());
        }
        let (found, wanted) = (vec![self.tokens()], vec![tokens]);
        Err(TensorError::Shape { op, what: "tokens of the offsets", found, wanted })
    }

    /// All B+1 offsets.
    #[must_use]
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_must_start_at_zero_and_never_fall() {
        let offsets = Offsets::new(&[0, 3, 3, 7]).unwrap();
        assert_eq!((offsets.sequences(), offsets.tokens()), (3, 7));
        assert_eq!((offsets.range(1), offsets.range(2)), (3..3, 3..7));
        for wrong in [&[][..], &[1, 2], &[0, 4, 3]] {
            assert!(matches!(Offsets::new(wrong), Err(TensorError::Offsets { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn values_must_fill_the_shape() {
        let device = Device::cpu(1).unwrap();
        let error = Tensor::from_f32(&device, [2, 3], &[0.0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "tensor: list of values has shape [5], wanted [2, 3]");
        let tensor = Tensor::from_f32(&device, [2, 3], &[1.5; 6]).unwrap();
        assert_eq!((tensor.shape(), tensor.to_vec_f32()), ([2, 3], vec![1.5; 6]));
    }

    #[test]
    fn tensors_and_parameters_can_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Tensor>();
        shared::<Ids>();
        shared::<Offsets>();
        shared::<crate::Param>();
    }
}
