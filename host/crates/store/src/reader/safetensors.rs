//! `.safetensors`: see [`crate::safetensors_table`]. The header is checked here and not by the crate of that name,
//! which wants the whole file in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde_json::{Map, Value};

use super::npz::check_offsets;
use super::{Head, ResultKind, StoredRecord, layers_in};
use crate::metadata::{METADATA_KEY, Metadata};
use crate::npy::bad;
use crate::npz::{EMBEDDINGS, IDS, OFFSETS};
use crate::safetensors_table::{MAX_HEADER_BYTES, dtype_name};
use crate::table::LOGPROBS;
use crate::values::{OutDtype, decode};

/// Everything of a file but its embeddings, which are read record by record.
pub(crate) struct SafetensorsRows {
    file: File,
    ids: Vec<String>,
    offsets: Option<Vec<usize>>,
    /// Where the numbers of each layer begin in the file.
    starts: Vec<u64>,
    width: usize,
    dtype: OutDtype,
    next: usize,
}

impl SafetensorsRows {
    /// Reads the header and the offsets of a file of `size` bytes.
    pub(crate) fn open(file: File, size: u64) -> io::Result<(Head, Self)> {
        let (header, data) = header(&file, size)?;
        let (metadata, ids) = metadata(&header)?;
        let mut tensors = Vec::new();
        let mut offsets = None;
        for (name, entry) in &header {
            let layer = name.strip_prefix(EMBEDDINGS).and_then(|rest| rest.strip_prefix('.'));
            if ![EMBEDDINGS, LOGPROBS, OFFSETS].contains(&name.as_str()) && layer.is_none() {
                continue;
            }
            let tensor =
                Tensor::read(entry, data, size).map_err(|cause| bad(&format!("tensor {name}: {cause}")))?;
            if name == OFFSETS {
                offsets = Some(tensor.numbers(&file)?);
            } else {
                let layer = layer
                    .map(|digits| digits.parse::<usize>().map_err(|_| bad("it has a tensor of no layer")));
                tensors.push((tensor, layer.transpose()?));
            }
        }
        tensors.sort_by_key(|(tensor, _)| tensor.start);
        let (width, rows, dtype) = shape(&tensors)?;
        let kind = match &offsets {
            None if ids.len() == rows => ResultKind::Pooled,
            None => return Err(bad(&format!("it has {} ids for {rows} rows", ids.len()))),
            Some(offsets) => {
                check_offsets(offsets, ids.len(), rows)?;
                ResultKind::Residues
            }
        };
        let named: Option<Vec<usize>> = tensors.iter().map(|(_, layer)| *layer).collect();
        let head = Head {
            kind,
            width,
            layers: named.unwrap_or_else(|| layers_in(Some(&metadata))),
            dtype,
            metadata: Some(metadata),
            records: ids.len(),
            residues: offsets.is_some().then_some(rows),
        };
        let starts = tensors.iter().map(|(tensor, _)| tensor.start).collect();
        Ok((head, Self { file, ids, offsets, starts, width, dtype, next: 0 }))
    }

    pub(crate) fn next_record(&mut self) -> io::Result<Option<StoredRecord>> {
        let Some(id) = self.ids.get(self.next) else { return Ok(None) };
        let (first, end) = match &self.offsets {
            None => (self.next, self.next + 1),
            Some(offsets) => (offsets[self.next], offsets[self.next + 1]),
        };
        let row = self.width * self.dtype.bytes();
        let read = |start: &u64| {
            let mut bytes = vec![0; (end - first) * row];
            self.file.read_exact_at(&mut bytes, start + (first * row) as u64)?;
            Ok(decode(self.dtype, &bytes))
        };
        let layers: io::Result<Vec<_>> = self.starts.iter().map(read).collect();
        let length = self.offsets.as_ref().map(|_| end - first);
        let record = StoredRecord { id: id.clone(), length, layers: layers? };
        self.next += 1;
        Ok(Some(record))
    }
}

/// The header, and where the data begin.
fn header(file: &File, size: u64) -> io::Result<(Map<String, Value>, u64)> {
    let mut length = [0; 8];
    file.read_exact_at(&mut length, 0)?;
    let length = u64::from_le_bytes(length);
    let data = length.checked_add(8).filter(|data| *data <= size && length <= MAX_HEADER_BYTES as u64);
    let data = data.ok_or_else(|| bad("its header is longer than the file or than 100 MB"))?;
    let mut text = vec![0; length as usize];
    file.read_exact_at(&mut text, 8)?;
    let header = serde_json::from_slice(&text);
    Ok((header.map_err(|cause| bad(&format!("its header is no JSON object: {cause}")))?, data))
}

/// The metadata without the ids, and the ids.
fn metadata(header: &Map<String, Value>) -> io::Result<(Metadata, Vec<String>)> {
    let text = header.get("__metadata__").and_then(|entry| entry.get(METADATA_KEY)).and_then(Value::as_str);
    let text = text.ok_or_else(|| bad("it has no ids: its metadata lack the key pliant_meta"))?;
    let found = Metadata::from_json(text);
    let mut metadata =
        found.map_err(|cause| bad(&format!("its pliant_meta is not a JSON object: {cause}")))?;
    let text = |id: Value| match id {
        Value::String(id) => Some(id),
        _ => None,
    };
    match metadata.take(IDS) {
        Some(Value::Array(ids)) => ids.into_iter().map(text).collect::<Option<Vec<_>>>(),
        _ => None,
    }
    .map(|ids| (metadata, ids))
    .ok_or_else(|| bad("its pliant_meta has no list of ids"))
}

/// One tensor, its bounds checked.
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    start: u64,
    bytes: usize,
}

impl Tensor {
    fn read(entry: &Value, data: u64, size: u64) -> io::Result<Self> {
        let numbers = |key: &str| -> Option<Vec<u64>> {
            entry.get(key)?.as_array()?.iter().map(Value::as_u64).collect()
        };
        let parts =
            || Some((entry.get("dtype")?.as_str()?.to_owned(), numbers("shape")?, numbers("data_offsets")?));
        let (dtype, shape, place) = parts().ok_or_else(|| bad("its entry in the header is incomplete"))?;
        let item = match dtype.as_str() {
            "F32" => 4,
            "F16" => 2,
            "I64" => 8,
            other => return Err(bad(&format!("its type is {other}, F32, F16 or I64 was wanted"))),
        };
        let wanted = shape.iter().try_fold(item, |bytes: u64, extent| bytes.checked_mul(*extent));
        let &[first, end] = place.as_slice() else { return Err(bad("its place is not two numbers")) };
        if end < first || wanted != Some(end - first) || data.checked_add(end).is_none_or(|end| end > size) {
            return Err(bad("its shape does not fit its place in the file"));
        }
        let shape: Result<Vec<usize>, _> = shape.into_iter().map(usize::try_from).collect();
        let bytes = usize::try_from(end - first).map_err(io::Error::other)?;
        Ok(Self { dtype, shape: shape.map_err(io::Error::other)?, start: data + first, bytes })
    }

    fn numbers(&self, file: &File) -> io::Result<Vec<usize>> {
        if self.dtype != "I64" || self.shape.len() != 1 {
            return Err(bad("its offsets are not one row of I64"));
        }
        let mut bytes = vec![0; self.bytes];
        file.read_exact_at(&mut bytes, self.start)?;
        let numbers = bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
        numbers
            .map(|number| usize::try_from(number).map_err(|_| bad("its offsets are not all positive")))
            .collect()
    }
}

/// C, rows and number type, which are those of every layer.
fn shape(tensors: &[(Tensor, Option<usize>)]) -> io::Result<(usize, usize, OutDtype)> {
    let Some((first, _)) = tensors.first() else { return Err(bad("it has no tensor embeddings")) };
    let &[rows, width] = first.shape.as_slice() else {
        return Err(bad(&format!("the shape of its embeddings is {:?}, two axes were wanted", first.shape)));
    };
    if width == 0 {
        return Err(bad("its rows have no numbers"));
    }
    if tensors.iter().any(|(tensor, _)| (&tensor.shape, &tensor.dtype) != (&first.shape, &first.dtype)) {
        return Err(bad("its layers have different shapes or types"));
    }
    let dtype = [OutDtype::F32, OutDtype::F16].into_iter().find(|dtype| dtype_name(*dtype) == first.dtype);
    Ok((width, rows, dtype.ok_or_else(|| bad("its embeddings are no floats"))?))
}
