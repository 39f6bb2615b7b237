//! The parts of an ONNX file, counted before anything is made of them: a part of two bytes becomes hundreds in memory.

use std::path::Path;

use crate::error::OnnxError;
use crate::limits::Limits;

/// What a message is, as far as its parts have parts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Function,
    Training,
    Tensor,
    Sparse,
    Value,
    Type,
    TensorType,
    Shape,
    /// A message whose parts have none.
    Flat,
    /// Bytes, texts and numbers.
    Bytes,
}

/// What field `number` of a message holds.
fn part(kind: Kind, number: u64) -> Kind {
    match (kind, number) {
        (Kind::Model, 7) | (Kind::Training, 1 | 2) | (Kind::Attribute, 6 | 11) => Kind::Graph,
        (Kind::Model, 20) => Kind::Training,
        (Kind::Model, 25) => Kind::Function,
        (Kind::Graph, 1) | (Kind::Function, 7) => Kind::Node,
        (Kind::Node, 5) => Kind::Attribute,
        (Kind::Graph, 5) | (Kind::Attribute, 5 | 10) | (Kind::Sparse, 1 | 2) => Kind::Tensor,
        (Kind::Graph, 15) | (Kind::Attribute, 22 | 23) => Kind::Sparse,
        (Kind::Graph, 11..=13) => Kind::Value,
        (Kind::Value, 2) | (Kind::Attribute, 15) => Kind::Type,
        (Kind::Type, 1) => Kind::TensorType,
        (Kind::TensorType, 2) => Kind::Shape,
        (Kind::Model, 8 | 14) | (Kind::Graph, 14) | (Kind::Tensor, 13) | (Kind::Shape, 1) => Kind::Flat,
        _ => Kind::Bytes,
    }
}

/// Counts the parts of a file.
struct Counter<'a> {
    path: &'a Path,
    limits: &'a Limits,
    parts: u64,
}

/// Refuses a file with too many parts, or with too many graphs in each other.
pub(crate) fn check(path: &Path, bytes: &[u8], limits: &Limits) -> Result<(), OnnxError> {
    Counter { path, limits, parts: 0 }.message(Kind::Model, bytes, 0)
}

impl Counter<'_> {
    fn message(&mut self, kind: Kind, mut bytes: &[u8], graphs: usize) -> Result<(), OnnxError> {
        let graphs = graphs + usize::from(kind == Kind::Graph);
        if graphs > self.limits.nesting {
            return Err(self.over("graphs within graphs", graphs as u64, self.limits.nesting as u64));
        }
        while !bytes.is_empty() {
            let key = self.number(&mut bytes)?;
            self.parts += 1;
            if self.parts > self.limits.parts {
                return Err(self.over("the number of parts", self.parts, self.limits.parts));
            }
            match key & 7 {
                0 => drop(self.number(&mut bytes)?),
                1 => drop(self.take(&mut bytes, 8)?),
                5 => drop(self.take(&mut bytes, 4)?),
                2 => {
                    let length = self.number(&mut bytes)?;
                    let inner = self.take(&mut bytes, length)?;
                    match part(kind, key >> 3) {
                        Kind::Bytes => {}
                        kind => self.message(kind, inner, graphs)?,
                    }
                }
                other => return Err(self.refuse(format!("found a field of the wire type {other}"))),
            }
        }
        Ok(())
    }

    fn number(&self, bytes: &mut &[u8]) -> Result<u64, OnnxError> {
        number(bytes).ok_or_else(|| self.refuse("it ends within a number".to_owned()))
    }

    fn take<'b>(&self, bytes: &mut &'b [u8], length: u64) -> Result<&'b [u8], OnnxError> {
        let split = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
        let (taken, rest) = split.ok_or_else(|| {
            let left = bytes.len();
            self.refuse(format!("it ends within a part: found {left} bytes, wanted {length}"))
        })?;
        *bytes = rest;
        Ok(taken)
    }

    fn refuse(&self, reason: String) -> OnnxError {
        OnnxError::Text { path: self.path.to_owned(), reason }
    }

    fn over(&self, what: &str, found: u64, limit: u64) -> OnnxError {
        OnnxError::TooLarge { path: self.path.to_owned(), what: what.to_owned(), found, limit }
    }
}

/// A variable-length number.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for place in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(7 * place)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
