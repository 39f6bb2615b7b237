//! Encoders: proteins one by one to states.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::{Tensor, TractResult};

use crate::error::OnnxError;
use crate::file::{Contents, ModelFile};
use crate::limits::Limits;
use crate::program::{Program, STACK_BYTES, Signature, datum_type};
use crate::sidecar::{EncoderSidecar, Input, Rows};

/// What is wanted of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Its states.
    States,
    /// Its logits of tokens.
    Logits,
}

/// An encoder that is ready to run. Records are computed one at a time, so that nothing depends on the company.
pub struct Encoder {
    program: Program,
    inputs: Vec<(String, DataType, usize, Input)>,
    rows: Rows,
    /// Numbers of a row, once it is known.
    width: Option<usize>,
    identity: String,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Encoder").field("path", &self.program.path()).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Reads, checks and prepares a file.
    ///
    /// # Errors
    /// [`OnnxError`] naming the file and what of it is wrong, too large or not supported.
    pub fn open(
        path: &Path,
        sidecar: &EncoderSidecar,
        wanted: Wanted,
        limits: &Limits,
    ) -> Result<Self, OnnxError> {
        let file = ModelFile::open(path, Contents::All, limits)?;
        let refuse = |reason| OnnxError::Signature { path: path.to_owned(), reason };
        let (output, rows, width) = match wanted {
            Wanted::States => {
                let states = &sidecar.states;
                (&states.output, states.rows, states.width.or_else(|| file.width_of(&states.output)))
            }
            Wanted::Logits => {
                let logits = sidecar.logits.as_ref();
                let logits = logits.ok_or_else(|| refuse("its sidecar names no logits".to_owned()))?;
                (&logits.output, Rows::Tokens, file.width_of(&logits.output))
            }
        };
        let mut inputs = Vec::new();
        for (name, dtype) in file.inputs() {
            let Some(kind) = sidecar.inputs.get(name).copied() else {
                return Err(refuse(format!("it takes the input {name:?}, which the sidecar does not give")));
            };
            let rank = file.rank_of(name).unwrap_or(2);
            if datum_type(dtype).is_none()
                || !(1..=2).contains(&rank)
                || (kind != Input::Ones && dtype == DataType::Bool)
            {
                let found = dtype.as_str_name();
                return Err(refuse(format!(
                    "the input {name:?} is {found} with {rank} sides, wanted whole numbers [batch, tokens] or [tokens]"
                )));
            }
            inputs.push((name.to_owned(), dtype, rank, kind));
        }
        let mut signatures = Vec::new();
        for (name, dtype, rank, _) in &inputs {
            let sides = if *rank == 1 { vec![None] } else { vec![Some(1), None] };
            let dtype = datum_type(*dtype)
                .ok_or_else(|| refuse(format!("the input {name:?} is of no known type")))?;
            signatures.push(Signature { name: name.clone(), dtype, sides });
        }
        // A name in the sidecar alone would be taken for one that is given.
        if let Some(name) = sidecar.inputs.keys().find(|name| !inputs.iter().any(|input| input.0 == **name)) {
            let taken = inputs.iter().map(|input| input.0.as_str()).collect::<Vec<_>>().join(", ");
            return Err(refuse(format!("the sidecar gives {name:?}, and it takes {taken}")));
        }
        let program = Program::new(&file, &signatures, output, limits)?;
        let identity = file.identity(&sidecar.canonical());
        Ok(Self { program, inputs, rows, width, identity })
    }

    /// What it is, in 64 hexadecimal digits.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What the rows of its output are.
    #[must_use]
    pub fn rows(&self) -> Rows {
        self.rows
    }

    /// The rows of the records, each given as the ids of its tokens, `special` of which are no residues: `[T,C]`, `[L,C]` or `[C]`.
    /// Each is computed by itself; `threads` of them at a time. Whether its numbers are finite is for the caller to see, who
    /// knows whose they are.
    ///
    /// # Errors
    /// The first record's, of those that went wrong: [`OnnxError`].
    pub fn run(
        &self,
        records: &[&[u32]],
        special: usize,
        threads: usize,
    ) -> Result<Vec<Vec<f32>>, OnnxError> {
        let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        let work = || loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(ids) = records.get(number) else { return };
            let result = self.one(ids, special);
            let is_error = result.is_err();
            if let Ok(mut results) = results.lock() {
                results.insert(number, result);
            }
            if is_error {
                next.store(records.len(), Ordering::Relaxed);
            }
        };
        let failed = |source| OnnxError::Io {
            action: "start a thread for",
            path: self.program.path().to_owned(),
            source,
        };
        thread::scope(|scope| -> Result<(), OnnxError> {
            for _ in 0..threads.clamp(1, records.len().max(1)) {
                let builder = thread::Builder::new().name("onnx".to_owned()).stack_size(STACK_BYTES);
                builder.spawn_scoped(scope, work).map_err(failed)?;
            }
            Ok(())
        })?;
        results.into_inner().unwrap_or_default().into_values().collect()
    }

    fn one(&self, ids: &[u32], special: usize) -> Result<Vec<f32>, OnnxError> {
        let tokens = ids.len();
        let path = self.program.path();
        let mut given = BTreeMap::new();
        for (name, dtype, rank, kind) in &self.inputs {
            let numbers: Vec<i64> = match kind {
                Input::Tokens => ids.iter().map(|&id| i64::from(id)).collect(),
                Input::Ones => vec![1; tokens],
                Input::Zeros => vec![0; tokens],
                Input::Places => (0..tokens as i64).collect(),
            };
            let sides = if *rank == 1 { vec![tokens] } else { vec![1, tokens] };
            let tensor = tensor_of(*dtype, &sides, &numbers).map_err(|error| {
                let reason = error.to_string();
                OnnxError::Graph { path: path.to_owned(), stage: "giving the input", reason }
            })?;
            given.insert(name.as_str(), tensor);
        }
        let (found, values) = self.program.run(&mut given, tokens)?;
        let rows = match self.rows {
            Rows::Tokens => tokens,
            Rows::Residues => tokens - special.min(tokens),
            Rows::Protein => 1,
        };
        let (before, width) = match found.as_slice() {
            [.., width] => (found[..found.len() - 1].iter().product::<usize>(), *width),
            [] => (0, 0),
        };
        if before != rows || width == 0 || self.width.is_some_and(|wanted| wanted != width) {
            let width = self.width.map_or_else(|| "C".to_owned(), |width| width.to_string());
            return Err(self.program.wrong_shape(found, format!("[1, {rows}, {width}] of {tokens} tokens")));
        }
        Ok(values)
    }
}

fn tensor_of(dtype: DataType, sides: &[usize], numbers: &[i64]) -> TractResult<Tensor> {
    match dtype {
        DataType::Int32 => {
            Tensor::from_shape(sides, &numbers.iter().map(|&number| number as i32).collect::<Vec<_>>())
        }
        DataType::Float => {
            Tensor::from_shape(sides, &numbers.iter().map(|&number| number as f32).collect::<Vec<_>>())
        }
        DataType::Bool => {
            Tensor::from_shape(sides, &numbers.iter().map(|&number| number != 0).collect::<Vec<_>>())
        }
        _ => Tensor::from_shape(sides, numbers),
    }
}
