//! Files of `torch.save`, read without Python: the tensors of a state dict, and where their bytes are.
//!
//! A pickle is a program that may call anything. Here nothing is called: the opcodes are those that
//! `torch.save` writes, names are words of an allow-list ([`rebuild`]), and whatever else stands in the file
//! becomes a value that is passed over, unless a tensor is made of it. Every length is checked against the file
//! before memory is asked for.
//!
//! **What it takes.** Reading a file takes at most its values (32 MiB, counted; with the slack of growing lists less
//! than 128 MiB), the list of its entries (at most 65,536) and its tensors (at most 16,384 with names of at most 1 KiB),
//! so below 192 MiB whatever it says, and one window of at most the file's own size while a tensor is gathered
//! that does not lie in one piece.

mod archive;
mod input;
mod legacy;
mod machine;
mod problem;
mod rebuild;
mod settings;
mod value;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub use problem::PickleProblem;
pub use settings::{Setting, Settings};

use super::header::{Entry, refuse_duplicates};
use crate::error::{CheckpointError, FileProblem, TensorProblem};
use archive::Archive;
use input::{Fault, Input};
use value::{Heap, Value, View};

/// How often the bytes of a file may be shared by its tensors, on average. Tied weights share theirs twice, a model
/// of one layer used many times as often as it has layers; far more would turn a small file into a huge model.
const SHARING_LIMIT: u64 = 16;

/// Most tensors of a file, and longest name of one. A name can stand for many bytes of a pickle, so it is held against
/// this before it is copied.
const TENSORS_LIMIT: usize = 1 << 14;
const NAME_LIMIT: usize = 1 << 10;

/// What a file of `torch.save` holds.
#[derive(Debug)]
pub(super) struct TorchFile {
    pub(super) tensors: Vec<Entry>,
    pub(super) settings: Settings,
}

/// Reads the pickles of a file.
///
/// # Errors
/// [`CheckpointError`] naming the file, and the tensor where it is one.
pub(super) fn read(file: &File, length: u64, path: &Path) -> Result<TorchFile, CheckpointError> {
    let (heap, root, places) = open(file, length).map_err(|fault| match fault {
        Fault::Io(source) => CheckpointError::io("read", path, source),
        Fault::Problem(problem) => CheckpointError::file(path, problem.into()),
    })?;
    let refuse = |problem: FileProblem| CheckpointError::file(path, problem);
    let states = states(&heap, root).ok_or_else(|| refuse(PickleProblem::NoTensors.into()))?;
    let named = named(&heap, states).map_err(refuse)?;
    let (mut tensors, mut bytes) = (Vec::new(), 0u64);
    for (name, value) in named {
        if let Some(entry) = entry(&heap, name, value, &places, path)? {
            let elements: usize = entry.shape.iter().product();
            bytes = bytes.saturating_add((elements as u64).saturating_mul(entry.dtype.bytes()));
            tensors.push(entry);
        }
    }
    if bytes / SHARING_LIMIT > length {
        return Err(refuse(PickleProblem::Shared { found: bytes, length, times: SHARING_LIMIT }.into()));
    }
    Ok(TorchFile { tensors, settings: settings::collect(&heap, root) })
}

/// The members of the dictionary that have names, once these are known to be few, short and all different.
fn named<'a>(heap: &'a Heap, states: &[(Value, Value)]) -> Result<Vec<(&'a str, Value)>, FileProblem> {
    let refuse = |what| FileProblem::from(PickleProblem::Tensors { what });
    if states.len() > TENSORS_LIMIT {
        return Err(refuse("has more than 16384 members"));
    }
    let name = |&(key, value): &(Value, Value)| match key {
        Value::Text(name) => Some((heap.text(name), value)),
        _ => None,
    };
    let named: Vec<(&str, Value)> = states.iter().filter_map(name).collect();
    if named.iter().any(|(name, _)| name.len() > NAME_LIMIT) {
        return Err(refuse("has a name of more than 1024 bytes"));
    }
    refuse_duplicates(named.iter().map(|(name, _)| *name))?;
    Ok(named)
}

/// First byte and length of each storage, by its key.
type Places = BTreeMap<String, (u64, u64)>;

/// What was saved, and where its storages are.
fn open(file: &File, length: u64) -> Result<(Heap, Value, Places), Fault> {
    let mut head = [0; archive::SIGNATURE.len()];
    let short = length < head.len() as u64;
    if !short {
        file.read_exact_at(&mut head, 0).map_err(Fault::Io)?;
    }
    if head != archive::SIGNATURE {
        if !legacy::is_it(file)? {
            return Err(PickleProblem::NotTorch.into());
        }
        return legacy::open(file, length);
    }
    let archive = Archive::open(file, length)?;
    // Before PyTorch 2.1 there was no such entry; those files are of little-endian machines.
    if let Some((at, bytes)) = archive.find("byteorder")?
        && Input::new(file, at, at + bytes).bytes(bytes.min(8) as usize)? != b"little"
    {
        return Err(PickleProblem::BigEndian.into());
    }
    let (at, bytes) = archive.require("data.pkl")?;
    let (heap, root) = machine::run(&mut Input::new(file, at, at + bytes))?;
    let mut places = Places::new();
    for storage in heap.storages() {
        let key = heap.text(storage.key);
        if !places.contains_key(key) {
            places.insert(key.to_owned(), archive.require(&format!("data/{key}"))?);
        }
    }
    Ok((heap, root, places))
}

/// The members of the dictionary of tensors: what was saved, or what it holds under the names that fair-esm, fairseq
/// and Lightning use.
fn states(heap: &Heap, root: Value) -> Option<&[(Value, Value)]> {
    let is_tensor = |value: Value| match value {
        Value::View(_) => true,
        Value::Object(object) => heap.object(object).tensor,
        _ => false,
    };
    let Value::Dict(root) = root else { return None };
    let holds = |dict| heap.members(dict).iter().any(|(_, value)| is_tensor(*value));
    if holds(root) {
        return Some(heap.members(root));
    }
    ["model", "state_dict"].into_iter().find_map(|name| match heap.member(root, name) {
        Some(Value::Dict(dict)) if holds(dict) => Some(heap.members(dict)),
        _ => None,
    })
}

/// A tensor and where its bytes are; `None` for a value that is no tensor.
fn entry(
    heap: &Heap,
    name: &str,
    value: Value,
    places: &Places,
    path: &Path,
) -> Result<Option<Entry>, CheckpointError> {
    let refuse = |problem| CheckpointError::tensor(path, name, problem);
    let view = match value {
        Value::View(view) => heap.view(view),
        Value::Object(object) if heap.object(object).tensor => {
            let global = heap.object(object).global.map_or("", |global| &*heap.global(global).name);
            return Err(refuse(TensorProblem::Unread { made_by: global.into() }));
        }
        _ => return Ok(None),
    };
    let storage = heap.storage(view.storage);
    let bytes = storage.dtype.bytes();
    // Every storage of the pickle was looked up when the file was opened.
    let &(begin, found) = places.get(heap.text(storage.key)).unwrap_or(&(0, 0));
    let wanted = storage.elements.saturating_mul(bytes);
    if found != wanted {
        return Err(refuse(TensorProblem::Size { found, wanted }));
    }
    let begin = begin.saturating_add(view.offset.saturating_mul(bytes));
    let (dtype, shape) = (storage.dtype, view.shape.clone());
    Ok(Some(Entry { name: name.to_owned(), dtype, shape, begin, strides: strides(view) }))
}

/// The strides of a tensor that does not lie in one piece, row by row.
fn strides(view: &View) -> Option<Vec<u64>> {
    let mut wanted = 1u64;
    let mut whole = true;
    for (&side, &stride) in view.shape.iter().zip(&view.strides).rev() {
        // Where there is only one place, the way to the next does not matter.
        whole &= side == 1 || stride == wanted;
        wanted = wanted.saturating_mul(side as u64);
    }
    let step = |(&side, &stride): (&usize, &u64)| if side == 1 { 0 } else { stride };
    (!whole && wanted > 0).then(|| view.shape.iter().zip(&view.strides).map(step).collect())
}
