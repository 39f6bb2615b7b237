//! Heads: rows in blocks of a fixed size to the numbers of a task.

use std::collections::BTreeMap;
use std::path::Path;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::{DatumType, Tensor};

use crate::error::OnnxError;
use crate::file::{Contents, ModelFile};
use crate::limits::Limits;
use crate::program::{Program, Signature};
use crate::sidecar::{Gives, HeadSidecar, LabelKind, Reads};

/// Rows that are computed together, always: the last block is filled up with zeros.
pub const BLOCK: usize = 64;

/// A head that is ready to run.
pub struct Head {
    program: Program,
    inputs: Vec<String>,
    inputs_width: usize,
    outputs: usize,
    identity: String,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Head").field("path", &self.program.path()).finish_non_exhaustive()
    }
}

impl Head {
    /// Reads, checks and prepares a file, and sees whether its answer for a row depends on the others of a block.
    ///
    /// # Errors
    /// [`OnnxError`] naming the file and what of it is wrong, too large or not supported.
    pub fn open(path: &Path, sidecar: &HeadSidecar, limits: &Limits) -> Result<Self, OnnxError> {
        let file = ModelFile::open(path, Contents::All, limits)?;
        let refuse = |reason| OnnxError::Signature { path: path.to_owned(), reason };
        let taken = file.inputs();
        let wanted = if sidecar.reads.what == Reads::Pairs { 2 } else { 1 };
        let inputs = if sidecar.inputs.is_empty() {
            taken.iter().map(|(name, _)| (*name).to_owned()).collect()
        } else {
            sidecar.inputs.clone()
        };
        if inputs.len() != wanted || taken.len() != wanted {
            let names = taken.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            return Err(refuse(format!("it takes {names}, and a head of this kind takes {wanted} input(s)")));
        }
        let mut widths = Vec::new();
        for (name, dtype) in &taken {
            let width =
                file.width_of(name).filter(|_| *dtype == DataType::Float && file.rank_of(name) == Some(2));
            let reason = || format!("the input {name:?} must be 32-bit floats [rows, W] with a number for W");
            widths.push(width.ok_or_else(|| refuse(reason()))?);
        }
        let inputs_width = widths.first().copied().unwrap_or_default();
        if widths.iter().any(|width| *width != inputs_width) {
            return Err(refuse(format!("its inputs are {widths:?} wide, wanted the same width")));
        }
        let output = match (&sidecar.output, file.outputs().as_slice()) {
            (Some(output), _) => output.clone(),
            (None, [only]) => (*only).to_owned(),
            (None, several) => {
                let several = several.join(", ");
                return Err(refuse(format!("it has the outputs {several}: name one in the sidecar")));
            }
        };
        let signature = |name: &String| Signature {
            name: name.clone(),
            dtype: DatumType::F32,
            sides: vec![Some(BLOCK), Some(inputs_width)],
        };
        let signatures: Vec<Signature> = inputs.iter().map(signature).collect();
        let program = Program::new(&file, &signatures, &output, limits)?;
        let identity = file.identity(&sidecar.canonical());
        let mut head = Self { program, inputs, inputs_width, outputs: 0, identity };
        head.outputs = head.probe()?;
        head.check_labels(sidecar).map(|()| head)
    }

    /// What it is, in 64 hexadecimal digits.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// W, numbers of a row that it reads.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs_width
    }

    /// N, numbers that it gives for a row.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Numbers `[R,N]` of R rows `[R,W]`; of pairs `[R/2,N]`, the first ones standing before the second ones.
    ///
    /// # Errors
    /// Rows that are not as wide as the head, and what goes wrong within it.
    pub fn answer(&self, rows: &[f32]) -> Result<Vec<f32>, OnnxError> {
        let width = self.inputs_width;
        let whole = width * self.inputs.len();
        if !rows.len().is_multiple_of(whole) {
            let reason = format!("it is given {} numbers, wanted rows of {width}", rows.len());
            return Err(OnnxError::Signature { path: self.program.path().to_owned(), reason });
        }
        let sides: Vec<&[f32]> = match self.inputs.len() {
            2 => <[&[f32]; 2]>::from(rows.split_at(rows.len() / 2)).to_vec(),
            _ => vec![rows],
        };
        let count = rows.len() / whole;
        let mut answers = Vec::with_capacity(count * self.outputs);
        for first in (0..count).step_by(BLOCK) {
            let last = count.min(first + BLOCK);
            let part: Vec<&[f32]> = sides.iter().map(|side| &side[first * width..last * width]).collect();
            let block = self.block(&part)?;
            answers.extend_from_slice(&block[..(last - first) * self.outputs]);
        }
        self.program.check_finite(&answers, self.outputs)?;
        Ok(answers)
    }

    /// The numbers of a whole block, of which at most so many rows are given for each input.
    fn block(&self, given: &[&[f32]]) -> Result<Vec<f32>, OnnxError> {
        let mut tensors = BTreeMap::new();
        for (name, rows) in self.inputs.iter().zip(given) {
            let mut filled = rows.to_vec();
            filled.resize(BLOCK * self.inputs_width, 0.0);
            let tensor = Tensor::from_shape(&[BLOCK, self.inputs_width], &filled).map_err(|error| {
                let (path, reason) = (self.program.path().to_owned(), error.to_string());
                OnnxError::Graph { path, stage: "giving the input", reason }
            })?;
            tensors.insert(name.as_str(), tensor);
        }
        let (found, values) = self.program.run(&mut tensors, BLOCK)?;
        let outputs = match found.as_slice() {
            [BLOCK, outputs] => *outputs,
            // One number for each row.
            [BLOCK] => 1,
            _ => 0,
        };
        if outputs == 0 || (self.outputs != 0 && outputs != self.outputs) {
            return Err(self.program.wrong_shape(found, format!("[{BLOCK}, N] of {BLOCK} rows")));
        }
        Ok(values)
    }

    /// Asks it about the same row in other company and in another place. Gives N.
    fn probe(&self) -> Result<usize, OnnxError> {
        let number = |place: usize, salt: usize| ((place * 37 + salt * 101) % 29) as f32 / 29.0 - 0.5;
        let rows = |salt: usize| -> Vec<f32> {
            (0..BLOCK * self.inputs_width).map(|place| number(place, salt)).collect()
        };
        let (one, mut other) = (rows(1), rows(2));
        let width = self.inputs_width;
        // Row 0 of the first block stands in row 0 and in the last row of the second.
        let last = (BLOCK - 1) * width;
        other[..width].copy_from_slice(&one[..width]);
        other[last..].copy_from_slice(&one[..width]);
        let many = |rows: &[f32]| self.block(&vec![rows; self.inputs.len()]);
        let (first, second) = (many(&one)?, many(&other)?);
        let outputs = first.len() / BLOCK;
        for row in [0, BLOCK - 1] {
            for column in 0..outputs {
                let [found, wanted] = [second[row * outputs + column], first[column]];
                if found.to_bits() != wanted.to_bits() && !(found.is_nan() && wanted.is_nan()) {
                    return Err(OnnxError::Mixes { path: self.program.path().to_owned(), row, column });
                }
            }
        }
        Ok(outputs)
    }

    /// Compares what the sidecar says of labels with the numbers there are.
    fn check_labels(&self, sidecar: &HeadSidecar) -> Result<(), OnnxError> {
        let names = sidecar.labels.names.len();
        let labels = &sidecar.labels;
        let wanted = match labels.kind {
            LabelKind::Number => 1,
            LabelKind::Level => self.outputs,
            // One score can say which of two it is.
            LabelKind::Class if names == 2 && self.outputs == 1 && labels.gives == Gives::Scores => 1,
            _ => names,
        };
        if wanted == self.outputs {
            return Ok(());
        }
        let reason = format!(
            "its output {:?} has {} numbers for a row, but the labels of its sidecar want {wanted}",
            self.program.output(),
            self.outputs
        );
        Err(OnnxError::Signature { path: self.program.path().to_owned(), reason })
    }
}
