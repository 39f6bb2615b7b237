//! The pieces of an HDF5 file, as bytes: superblock 0, object headers 1, one group with a symbol table.
//!
//! This is the oldest form of the format (HDF5 File Format Specification 3.0, sections II.A, III.A to III.E and IV.A),
//! which every reader knows. It is written here because `hdf5-pure` holds every dataset in memory until the file is
//! complete. All numbers are little-endian; addresses and lengths have 8 bytes.

use crate::values::OutDtype;

/// Bytes of the superblock, behind which the data begin.
pub(crate) const SUPERBLOCK_BYTES: u64 = 96;

/// Half of the entries of a leaf of the group, and half of the children of a node above it.
const LEAF_K: usize = 32;
const NODE_K: usize = 32;

/// Bytes of a full leaf and of a full node, which is what they take on the disk.
const LEAF_BYTES: usize = 8 + 2 * LEAF_K * 40;
const NODE_BYTES: usize = 24 + 2 * NODE_K * 8 + (2 * NODE_K + 1) * 8;

/// The least size of a heap of strings.
const MIN_HEAP_BYTES: usize = 4096;

/// No address.
const UNDEFINED: u64 = u64::MAX;

/// Where a string lies in a file: an attribute holds this in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StringPlace {
    length: u32,
    heap: u64,
    index: u32,
}

impl StringPlace {
    /// What stands for the string.
    fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.heap.to_le_bytes());
        bytes[12..].copy_from_slice(&self.index.to_le_bytes());
        bytes
    }
}

/// Heaps with `texts`, the first at `address`: their bytes, and the place of each text.
///
/// A heap is as small as the format allows, because a reader takes all of it in for one string.
pub(crate) fn string_heaps<'a>(
    texts: impl Iterator<Item = &'a str>,
    address: u64,
) -> (Vec<u8>, Vec<StringPlace>) {
    let (mut bytes, mut places) = (Vec::new(), Vec::new());
    let mut start = 0;
    let mut index = 0_u16;
    for text in texts {
        let wanted = 16 + text.len().next_multiple_of(8);
        if index > 0 && bytes.len() - start + wanted + 16 > MIN_HEAP_BYTES {
            close_heap(&mut bytes, start);
            (start, index) = (bytes.len(), 0);
        }
        if index == 0 {
            bytes.extend_from_slice(b"GCOL\x01\0\0\0");
            bytes.extend_from_slice(&[0; 8]);
        }
        index += 1;
        bytes.extend_from_slice(&index.to_le_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        put_padded(&mut bytes, text.as_bytes());
        // The format writes an empty string as one that has no place.
        let heap = if text.is_empty() { 0 } else { address + start as u64 };
        let index = if text.is_empty() { 0 } else { u32::from(index) };
        places.push(StringPlace { length: text.len() as u32, heap, index });
    }
    if index > 0 {
        close_heap(&mut bytes, start);
    }
    (bytes, places)
}

/// Ends the heap that begins at `start` with its free space, and writes its size into its front.
fn close_heap(bytes: &mut Vec<u8>, start: usize) {
    let used = bytes.len() - start;
    let size = (used + 16).max(MIN_HEAP_BYTES);
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&((size - used) as u64).to_le_bytes());
    bytes.resize(start + size, 0);
    bytes[start + 8..start + 16].copy_from_slice(&(size as u64).to_le_bytes());
}

/// One dataset.
pub(crate) struct DatasetHeader<'a> {
    pub(crate) dtype: OutDtype,
    pub(crate) shape: &'a [u64],
    /// Where its numbers begin.
    pub(crate) data: u64,
    pub(crate) original_id: StringPlace,
    /// Number of the record, where the name does not tell it.
    pub(crate) index: Option<u64>,
}

impl DatasetHeader<'_> {
    /// The object header.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut messages = Messages::default();
        let mut space = vec![1, self.shape.len() as u8, 0, 0, 0, 0, 0, 0];
        self.shape.iter().for_each(|extent| space.extend_from_slice(&extent.to_le_bytes()));
        messages.add(0x0001, &space);
        messages.add(0x0003, &float_type(self.dtype));
        // Space taken late, filled where a value is set, the default value: what HDF5 itself writes.
        messages.add(0x0005, &[2, 2, 2, 1, 0, 0, 0, 0]);
        let bytes = self.shape.iter().product::<u64>() * self.dtype.bytes() as u64;
        let mut layout = vec![3, 1];
        layout.extend_from_slice(&self.data.to_le_bytes());
        layout.extend_from_slice(&bytes.to_le_bytes());
        messages.add(0x0008, &layout);
        messages.add_string("original_id", self.original_id);
        if let Some(index) = self.index {
            messages.add_attribute("index", &INT64, None, &index.to_le_bytes());
        }
        messages.header()
    }
}

/// The object header of the root group, with one attribute that is a string, and perhaps one that is a list of strings.
pub(crate) fn root_header(
    (tree, heap): (u64, u64),
    (name, text): (&str, StringPlace),
    list: Option<(&str, &[StringPlace])>,
) -> Vec<u8> {
    let mut messages = Messages::default();
    messages.add(0x0011, &[tree.to_le_bytes(), heap.to_le_bytes()].concat());
    messages.add_string(name, text);
    if let Some((name, texts)) = list {
        let value: Vec<u8> = texts.iter().flat_map(|text| text.bytes()).collect();
        messages.add_attribute(name, &STRING, Some(texts.len() as u64), &value);
    }
    messages.header()
}

/// Signed whole numbers of 8 bytes.
const INT64: [u8; 12] = [0x10, 0x08, 0, 0, 8, 0, 0, 0, 0, 0, 64, 0];

/// Strings of any length in UTF-8: a sequence of bytes, 16 bytes in place of it.
const STRING: [u8; 20] = [0x19, 0x01, 0x01, 0, 16, 0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0];

/// IEEE floats: place and size of sign, exponent and mantissa, and the exponent's bias.
fn float_type(dtype: OutDtype) -> [u8; 20] {
    match dtype {
        OutDtype::F32 => [0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0],
        OutDtype::F16 => [0x11, 0x20, 15, 0, 2, 0, 0, 0, 0, 0, 16, 0, 10, 5, 0, 10, 15, 0, 0, 0],
    }
}

/// The messages of an object header.
#[derive(Default)]
struct Messages {
    count: u16,
    bytes: Vec<u8>,
}

impl Messages {
    fn add(&mut self, kind: u16, body: &[u8]) {
        self.count += 1;
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        self.bytes.extend_from_slice(&(body.len().next_multiple_of(8) as u16).to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        put_padded(&mut self.bytes, body);
    }

    /// An attribute of one value, or of a list of `count` values.
    fn add_attribute(&mut self, name: &str, datatype: &[u8], count: Option<u64>, value: &[u8]) {
        let mut space = vec![1, u8::from(count.is_some()), 0, 0, 0, 0, 0, 0];
        count.iter().for_each(|count| space.extend_from_slice(&count.to_le_bytes()));
        let mut body = vec![1, 0];
        for length in [name.len() + 1, datatype.len(), space.len()] {
            body.extend_from_slice(&(length as u16).to_le_bytes());
        }
        put_padded(&mut body, &[name.as_bytes(), &[0]].concat());
        put_padded(&mut body, datatype);
        body.extend_from_slice(&space);
        body.extend_from_slice(value);
        self.add(0x000c, &body);
    }

    fn add_string(&mut self, name: &str, place: StringPlace) {
        self.add_attribute(name, &STRING, None, &place.bytes());
    }

    fn header(self) -> Vec<u8> {
        let mut header = vec![1, 0];
        header.extend_from_slice(&self.count.to_le_bytes());
        header.extend_from_slice(&1_u32.to_le_bytes());
        header.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&self.bytes);
        header
    }
}

/// The names of a group and what they lead to.
pub(crate) struct GroupBytes {
    /// Everything, to be written at the address that was given.
    pub(crate) bytes: Vec<u8>,
    /// Where the tree of the names begins.
    pub(crate) tree: u64,
    /// Where the text of the names begins.
    pub(crate) heap: u64,
}

/// A group of `members`: names in the order of their bytes, each with the address of its object header.
pub(crate) fn group(members: &[(String, u64)], address: u64) -> GroupBytes {
    let (mut bytes, places) = names(members, address);
    let mut level = Vec::new();
    for (members, places) in members.chunks(2 * LEAF_K).zip(places.chunks(2 * LEAF_K)) {
        let start = bytes.len();
        level.push(Child { address: address + start as u64, last: places.last().copied().unwrap_or(0) });
        bytes.extend_from_slice(b"SNOD\x01\0");
        bytes.extend_from_slice(&(members.len() as u16).to_le_bytes());
        for ((_, header), place) in members.iter().zip(places) {
            bytes.extend_from_slice(&place.to_le_bytes());
            bytes.extend_from_slice(&header.to_le_bytes());
            bytes.extend_from_slice(&[0; 24]);
        }
        bytes.resize(start + LEAF_BYTES, 0);
    }
    let mut height = 0;
    loop {
        level = nodes(&level, height, address, &mut bytes);
        if let [root] = level.as_slice() {
            return GroupBytes { tree: root.address, heap: address, bytes };
        }
        height += 1;
    }
}

/// The heap of names, whose first is the empty one, and the place of each name in it.
fn names(members: &[(String, u64)], address: u64) -> (Vec<u8>, Vec<u64>) {
    let mut text = vec![0; 8];
    let mut places = Vec::with_capacity(members.len());
    for (name, _) in members {
        places.push(text.len() as u64);
        text.extend_from_slice(name.as_bytes());
        text.resize((text.len() + 1).next_multiple_of(8), 0);
    }
    let mut bytes = b"HEAP\0\0\0\0".to_vec();
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    // 1 says that there is no free space.
    bytes.extend_from_slice(&1_u64.to_le_bytes());
    bytes.extend_from_slice(&(address + 32).to_le_bytes());
    bytes.extend_from_slice(&text);
    (bytes, places)
}

/// A leaf or node below another: where it is, and the place of its last name.
struct Child {
    address: u64,
    last: u64,
}

/// Appends the nodes above `children`: at least one, so that a group without members has a tree too.
fn nodes(children: &[Child], height: u8, address: u64, bytes: &mut Vec<u8>) -> Vec<Child> {
    let count = children.len().div_ceil(2 * NODE_K).max(1);
    let place = |node: usize, start: usize| address + (start + node * NODE_BYTES) as u64;
    let start = bytes.len();
    let mut parents = Vec::with_capacity(count);
    let mut first = 0;
    for node in 0..count {
        let end = children.len().min((node + 1) * 2 * NODE_K);
        let below = &children[node * 2 * NODE_K..end];
        bytes.extend_from_slice(b"TREE\0");
        bytes.push(height);
        bytes.extend_from_slice(&(below.len() as u16).to_le_bytes());
        let left = if node == 0 { UNDEFINED } else { place(node - 1, start) };
        let right = if node + 1 == count { UNDEFINED } else { place(node + 1, start) };
        bytes.extend_from_slice(&left.to_le_bytes());
        bytes.extend_from_slice(&right.to_le_bytes());
        bytes.extend_from_slice(&u64::to_le_bytes(first));
        for child in below {
            bytes.extend_from_slice(&child.address.to_le_bytes());
            bytes.extend_from_slice(&child.last.to_le_bytes());
            first = child.last;
        }
        bytes.resize(start + (node + 1) * NODE_BYTES, 0);
        parents.push(Child { address: place(node, start), last: first });
    }
    parents
}

/// The front of a file of `size` bytes whose root group has its object header at `root`.
pub(crate) fn superblock(size: u64, root: u64, tree: u64, heap: u64) -> Vec<u8> {
    let mut bytes = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0".to_vec();
    bytes.extend_from_slice(&(LEAF_K as u16).to_le_bytes());
    bytes.extend_from_slice(&(NODE_K as u16).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for address in [0, UNDEFINED, size, UNDEFINED, 0, root] {
        bytes.extend_from_slice(&address.to_le_bytes());
    }
    // The entry of the root group holds its tree and its heap too.
    bytes.extend_from_slice(&1_u64.to_le_bytes());
    bytes.extend_from_slice(&tree.to_le_bytes());
    bytes.extend_from_slice(&heap.to_le_bytes());
    bytes
}

/// Appends `body` and zeros up to a multiple of 8 bytes of it.
fn put_padded(bytes: &mut Vec<u8>, body: &[u8]) {
    let end = bytes.len() + body.len().next_multiple_of(8);
    bytes.extend_from_slice(body);
    bytes.resize(end, 0);
}
