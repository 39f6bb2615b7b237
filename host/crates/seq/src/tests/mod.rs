//! Tests of the room as a whole: text in, items out.

mod bio_reader;
mod cases;
mod compressed;
mod corpus;
mod exclude;
mod families;
mod inputs;
mod masking;
mod random;
mod real;
mod rules;
mod sampler;

use crate::{Failure, InputError, Item, ReadOptions, Record, RecordReader, Source};

/// Options with a limit.
fn admit(max_residues: u32) -> ReadOptions {
    ReadOptions { max_residues, ..ReadOptions::default() }
}

/// A reader over one text called `in.fasta`.
fn reader(text: impl AsRef<[u8]>, options: ReadOptions) -> RecordReader {
    RecordReader::new(&[Source::from_bytes("in.fasta", text.as_ref())], options)
}

/// Every item of a text.
fn items(text: impl AsRef<[u8]>) -> Vec<Item> {
    reader(text, ReadOptions::default()).collect::<Result<_, _>>().unwrap()
}

/// Id, residues and line of every item of a text that has good records only.
fn good(text: impl AsRef<[u8]>) -> Vec<(String, String, u64)> {
    items(text).into_iter().map(|item| plain(record(item))).collect()
}

fn plain(record: Record) -> (String, String, u64) {
    (record.id, String::from_utf8(record.residues).unwrap(), record.line)
}

fn record(item: Item) -> Record {
    match item {
        Item::Record(record) => record,
        other => panic!("wanted a record, found {other:?}"),
    }
}

fn failure(item: &Item) -> &Failure {
    match item {
        Item::Failure(failure) => failure,
        other => panic!("wanted a failure, found {other:?}"),
    }
}

/// The reason, as text, of the only item of a text.
fn reason(text: impl AsRef<[u8]>) -> String {
    let items = items(text);
    assert_eq!(items.len(), 1, "{items:?}");
    failure(&items[0]).reason.to_string()
}

/// The error that ends a text.
fn fatal(text: impl AsRef<[u8]>) -> InputError {
    let mut reader = reader(text, ReadOptions::default());
    let error = reader.find_map(Result::err).unwrap();
    assert!(reader.next().is_none(), "nothing comes after a fatal error");
    error
}

/// One expected good record.
fn one(id: &str, residues: &str, line: u64) -> (String, String, u64) {
    (id.to_owned(), residues.to_owned(), line)
}
