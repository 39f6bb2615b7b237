//! Numbers that PyTorch gave, committed with the script that asked for them.

use safetensors::{Dtype, SafeTensors};
use std::path::Path;

/// The tensors of one file below `tests/fixtures`.
pub struct Fixture {
    name: String,
    bytes: Vec<u8>,
}

impl Fixture {
    /// The fixture of operation `name`: `fixtures/<name>/<name>.safetensors`.
    ///
    /// # Panics
    /// When the file cannot be read.
    #[must_use]
    pub fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures")
            .join(name)
            .join(format!("{name}.safetensors"));
        match std::fs::read(&path) {
            Ok(bytes) => Self { name: name.to_owned(), bytes },
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    fn read<const N: usize, T>(&self, tensor: &str, dtype: Dtype, value: impl Fn([u8; N]) -> T) -> Vec<T> {
        let file = match SafeTensors::deserialize(&self.bytes) {
            Ok(file) => file,
            Err(error) => panic!("fixture {}: {error}", self.name),
        };
        let view = match file.tensor(tensor) {
            Ok(view) => view,
            Err(error) => panic!("fixture {}, tensor {tensor}: {error}", self.name),
        };
        assert_eq!(view.dtype(), dtype, "fixture {}, tensor {tensor}", self.name);
        view.data().as_chunks::<N>().0.iter().map(|&bytes| value(bytes)).collect()
    }

    /// A tensor of 32-bit numbers (inputs, which the fast path takes as they are).
    ///
    /// # Panics
    /// When the tensor is missing or has another type.
    #[must_use]
    pub fn f32(&self, tensor: &str) -> Vec<f32> {
        self.read(tensor, Dtype::F32, f32::from_le_bytes)
    }

    /// A tensor of 64-bit numbers (results, which PyTorch computed in 64 bits).
    ///
    /// # Panics
    /// When the tensor is missing or has another type.
    #[must_use]
    pub fn f64(&self, tensor: &str) -> Vec<f64> {
        self.read(tensor, Dtype::F64, f64::from_le_bytes)
    }

    /// A tensor of 64-bit whole numbers (sizes, lengths, ids).
    ///
    /// # Panics
    /// When the tensor is missing, has another type or holds a negative number.
    #[must_use]
    pub fn whole(&self, tensor: &str) -> Vec<usize> {
        self.read(tensor, Dtype::I64, |bytes| match usize::try_from(i64::from_le_bytes(bytes)) {
            Ok(number) => number,
            Err(error) => panic!("fixture {}, tensor {tensor}: {error}", self.name),
        })
    }
}
