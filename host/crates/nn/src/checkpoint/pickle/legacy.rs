//! The container of PyTorch before 1.6: five pickles, then the storages one behind the other.
//!
//! The pickles are a magic number, the version of the protocol, sizes and byte order of the machine, what was saved,
//! and the keys of the storages in the order in which these follow. Each storage is its number of elements
//! (8 bytes, little-endian) and its numbers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::Places;
use super::input::{Fault, Input};
use super::machine;
use super::problem::PickleProblem;
use super::value::{Heap, Value};

/// The magic number, as it stands in its pickle.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Bytes in which the magic number must stand.
const HEAD: usize = 32;

/// Version of the protocol.
const VERSION: i64 = 1001;

/// Bytes of the number of elements before a storage.
const COUNT_BYTES: u64 = 8;

/// Whether a file begins as this container does.
pub(super) fn is_it(file: &File) -> Result<bool, Fault> {
    let mut head = [0; HEAD];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(head[0] == 0x80 && head.windows(MAGIC.len()).any(|window| window == MAGIC)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(Fault::Io(error)),
    }
}

/// What was saved, and for each key of a storage the first byte of its numbers.
pub(super) fn open(file: &File, length: u64) -> Result<(Heap, Value, Places), Fault> {
    let mut input = Input::new(file, 0, length);
    machine::run(&mut input)?;
    if machine::run(&mut input)?.1 != Value::Int(VERSION) {
        return Err(input.form("it is of another version than 1001"));
    }
    let (heap, system) = machine::run(&mut input)?;
    let Value::Dict(system) = system else { return Err(input.form("nothing is said of the machine")) };
    if heap.member(system, "little_endian") != Some(Value::Bool(true)) {
        return Err(PickleProblem::BigEndian.into());
    }
    drop(heap);
    let (heap, root) = machine::run(&mut input)?;
    let (keys_heap, keys) = machine::run(&mut input)?;
    let Value::List(keys) = keys else { return Err(input.form("the keys of storages are no list")) };
    let places = place(&heap, (&keys_heap, keys), file, (input.at(), length))?;
    Ok((heap, root, places))
}

/// Walks the storages: each must have the size that the pickle gives it, and the last one ends the file.
fn place(
    heap: &Heap,
    (keys_heap, keys): (&Heap, super::value::Id),
    file: &File,
    (mut at, length): (u64, u64),
) -> Result<Places, Fault> {
    let sizes: BTreeMap<&str, (u64, u64)> = heap
        .storages()
        .iter()
        .map(|storage| (heap.text(storage.key), (storage.elements, storage.dtype.bytes())))
        .collect();
    let mut places = Places::new();
    for &key in keys_heap.items(keys) {
        let refuse = |what| PickleProblem::Form { what, at }.into();
        let Value::Text(key) = key else { return Err(refuse("a key of a storage is no text")) };
        let key = keys_heap.text(key);
        let &(elements, width) =
            sizes.get(key).ok_or_else(|| refuse("a storage follows that the pickle does not have"))?;
        let ends =
            elements.checked_mul(width).and_then(|bytes| at.checked_add(COUNT_BYTES)?.checked_add(bytes));
        let end = ends.unwrap_or(u64::MAX);
        if end > length {
            return Err(PickleProblem::Length { found: length, wanted: end }.into());
        }
        let mut count = [0; COUNT_BYTES as usize];
        file.read_exact_at(&mut count, at).map_err(Fault::Io)?;
        if u64::from_le_bytes(count) != elements {
            return Err(refuse("a storage has another size than its pickle says"));
        }
        if places.insert(key.to_owned(), (at + COUNT_BYTES, end - at - COUNT_BYTES)).is_some() {
            return Err(refuse("a storage follows twice"));
        }
        at = end;
    }
    if at == length { Ok(places) } else { Err(PickleProblem::Length { found: length, wanted: at }.into()) }
}
