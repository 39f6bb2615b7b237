//! The zip archive around a pickle: where its entries begin.
//!
//! `torch.save` stores entries as they are, so an entry is a piece of the file and nothing is ever unpacked; a
//! compressed entry is refused. The directory is read here, entry by entry, and not by a library: a library
//! keeps some hundred bytes for each of 46, of which only names and places of storages are wanted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::input::{Fault, Input};
use super::problem::PickleProblem;

/// First bytes of an archive, those of its first entry.
pub(super) const SIGNATURE: [u8; 4] = *b"PK\x03\x04";

const DIRECTORY_ENTRY: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const LONG_END: [u8; 4] = *b"PK\x06\x06";
const LONG_END_PLACE: [u8; 4] = *b"PK\x06\x07";

/// Bytes of the record at the end of an archive, of its long form, and of what says where that is.
const END_BYTES: u64 = 22;
const LONG_END_BYTES: u64 = 56;
const LONG_END_PLACE_BYTES: u64 = 20;

/// Longest comment behind the record at the end.
const COMMENT_LIMIT: u64 = 0xffff;

/// Most entries that are kept: more than there can be tensors.
const ENTRIES_LIMIT: usize = 1 << 16;

/// Longest name that is kept: `<name of the file>/data/<number>`.
const NAME_LIMIT: usize = 512;

/// One entry as the directory describes it.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Stored as it is, not encrypted, with one length.
    plain: bool,
    length: u64,
    /// Byte of its own header.
    header: u64,
}

/// Entries by their names without the folder that all of them are in.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    file: &'a File,
    entries: BTreeMap<Box<str>, Entry>,
    /// First byte of the directory, which all entries stand before.
    directory: u64,
}

impl<'a> Archive<'a> {
    /// Reads the directory.
    pub(super) fn open(file: &'a File, length: u64) -> Result<Self, Fault> {
        let (directory, bytes, count) = find_directory(file, length)?;
        let mut input = Input::new(file, directory, directory + bytes);
        let (mut entries, mut folder) = (BTreeMap::new(), None);
        for _ in 0..count {
            if let Some((name, entry)) = read_entry(&mut input)? {
                let Some((before, name)) = name.split_once('/') else { continue };
                if folder.get_or_insert_with(|| before.to_owned()) != before {
                    return Err(damaged("its entries are in several folders"));
                }
                if !["byteorder", "data.pkl"].contains(&name) && !name.starts_with("data/") {
                    continue;
                }
                if entries.len() == ENTRIES_LIMIT {
                    return Err(damaged("it has more entries than any model has tensors"));
                }
                if entries.insert(name.into(), entry).is_some() {
                    return Err(refuse(name, "is there twice"));
                }
            }
        }
        if input.at() != directory + bytes {
            return Err(damaged("its directory has another length than it says"));
        }
        Ok(Self { file, entries, directory })
    }

    /// First byte and length of an entry's content; `None` where there is no such entry.
    pub(super) fn find(&self, name: &str) -> Result<Option<(u64, u64)>, Fault> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        if !entry.plain {
            return Err(refuse(name, "is compressed or encrypted, which torch.save never does"));
        }
        let outside = || refuse(name, "reaches outside the archive");
        let mut input = Input::new(self.file, entry.header.min(self.directory), self.directory);
        let header: [u8; 30] = input.array().map_err(|fault| match fault {
            Fault::Io(error) => Fault::Io(error),
            Fault::Problem(_) => outside(),
        })?;
        if header[..4] != SIGNATURE {
            return Err(refuse(name, "has no header"));
        }
        let [names, extra] = [26, 28].map(|at| u64::from(short(&header, at)));
        let begin = input.at().saturating_add(names + extra);
        let end = begin.checked_add(entry.length).filter(|end| *end <= self.directory);
        if end.is_some() { Ok(Some((begin, entry.length))) } else { Err(outside()) }
    }

    /// As [`Archive::find`], for an entry that must be there.
    pub(super) fn require(&self, name: &str) -> Result<(u64, u64), Fault> {
        self.find(name)?.ok_or_else(|| refuse(name, "is not there"))
    }
}

fn damaged(what: &'static str) -> Fault {
    PickleProblem::Archive { what }.into()
}

fn refuse(entry: &str, what: &'static str) -> Fault {
    PickleProblem::ArchiveEntry { entry: entry.into(), what }.into()
}

/// Where the directory begins, its bytes and its entries.
fn find_directory(file: &File, length: u64) -> Result<(u64, u64, u64), Fault> {
    let at = find_end(file, length)?;
    let end: [u8; END_BYTES as usize] = read(file, at)?;
    let short_form = (long(&end, 16).into(), long(&end, 12).into(), u64::from(short(&end, 10)));
    let place: Option<[u8; LONG_END_PLACE_BYTES as usize]> =
        at.checked_sub(LONG_END_PLACE_BYTES).map(|at| read(file, at)).transpose()?;
    let (limit, (directory, bytes, count)) = match place.filter(|place| place[..4] == LONG_END_PLACE) {
        None => (at, short_form),
        Some(place) => {
            let before = wide(&place, 8);
            let fits = before.checked_add(LONG_END_BYTES).is_some_and(|end| end <= at - LONG_END_PLACE_BYTES);
            if !fits {
                return Err(damaged("its end points outside the file"));
            }
            let record: [u8; LONG_END_BYTES as usize] = read(file, before)?;
            if record[..4] != LONG_END {
                return Err(damaged("its end points at something else"));
            }
            (before, (wide(&record, 48), wide(&record, 40), wide(&record, 32)))
        }
    };
    let fits = directory.checked_add(bytes).is_some_and(|end: u64| end <= limit);
    if fits { Ok((directory, bytes, count)) } else { Err(damaged("its directory reaches outside the file")) }
}

/// The record at the end of the archive: the last place where it stands and its comment ends the file.
fn find_end(file: &File, length: u64) -> Result<u64, Fault> {
    let missing = || damaged("it has no end: truncated?");
    let from = length.saturating_sub(END_BYTES + COMMENT_LIMIT);
    let mut tail = vec![0; (length - from) as usize];
    file.read_exact_at(&mut tail, from).map_err(Fault::Io)?;
    let last = tail.len().checked_sub(END_BYTES as usize).ok_or_else(missing)?;
    let is_end = |at: &usize| {
        let comment = tail.len() - at - END_BYTES as usize;
        tail[*at..*at + 4] == END && usize::from(short(&tail, at + 20)) == comment
    };
    (0..=last).rev().find(is_end).map(|at| from + at as u64).ok_or_else(missing)
}

/// The next entry of the directory, with its name where that could be one that is wanted.
fn read_entry(input: &mut Input<'_>) -> Result<Option<(String, Entry)>, Fault> {
    let header: [u8; 46] = input.array().map_err(outside_directory)?;
    if header[..4] != DIRECTORY_ENTRY {
        return Err(damaged("its directory holds something else than entries"));
    }
    let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(short(&header, at)));
    let [mut stored, mut length, mut begin] = [20, 24, 42].map(|at| u64::from(long(&header, at)));
    let name = if name <= NAME_LIMIT {
        String::from_utf8(input.bytes(name).map_err(outside_directory)?).ok()
    } else {
        input.skip(name as u64).map_err(outside_directory)?;
        None
    };
    let extra = input.bytes(extra).map_err(outside_directory)?;
    input.skip(comment as u64).map_err(outside_directory)?;
    let mut wide_fields = wide_fields(&extra);
    for field in [&mut length, &mut stored, &mut begin] {
        if *field == u64::from(u32::MAX) {
            *field = wide_fields.next().ok_or_else(|| damaged("an entry lacks its long sizes"))?;
        }
    }
    let plain = short(&header, 10) == 0 && short(&header, 8) & 1 == 0 && stored == length;
    Ok(name.map(|name| (name, Entry { plain, length, header: begin })))
}

fn outside_directory(fault: Fault) -> Fault {
    match fault {
        Fault::Io(error) => Fault::Io(error),
        Fault::Problem(_) => damaged("its directory ends inside an entry"),
    }
}

/// The numbers of 64 bits among the extra fields of an entry.
fn wide_fields(extra: &[u8]) -> impl Iterator<Item = u64> {
    let (mut rest, mut found) = (extra, &extra[..0]);
    while rest.len() >= 4 {
        let (head, body) = rest.split_at(4);
        let length = usize::from(short(head, 2)).min(body.len());
        if short(head, 0) == 1 {
            found = &body[..length];
        }
        rest = &body[length..];
    }
    found.chunks_exact(8).map(|bytes| wide(bytes, 0))
}

fn read<const N: usize>(file: &File, at: u64) -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it ends inside its end"),
        _ => Fault::Io(error),
    })?;
    Ok(bytes)
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from(short(bytes, at)) | u32::from(short(bytes, at + 2)) << 16
}

fn wide(bytes: &[u8], at: usize) -> u64 {
    u64::from(long(bytes, at)) | u64::from(long(bytes, at + 4)) << 32
}
