//! The duplicate rule, ids, indices, counts and the input hash.

use std::sync::Arc;

use super::{admit, failure, items, reader, record};
use crate::{Duplicate, IdStyle, Item, ReadOptions, RecordError, RecordReader, Source, scan};

fn source(name: &str, text: &str) -> Source {
    Source::from_bytes(name, text.as_bytes())
}

fn hash(text: &str) -> String {
    let mut reader = reader(text, ReadOptions::default());
    for item in reader.by_ref() {
        item.unwrap();
    }
    reader.input_hash()
}

#[test]
fn a_repeated_record_is_counted_and_not_yielded_again() {
    let items = items(">a\nMKV\n>b\nMKV\n>a again\nm-k\nv*\n>c\nAC\n");
    assert_eq!(record(items[1].clone()).id, "b", "the same sequence under another id is another record");
    let wanted = Duplicate { file: Arc::from("in.fasta"), line: 5, record: 3, id: "a".to_owned(), of: 0 };
    assert_eq!(items[2], Item::Duplicate(wanted));
    let last = record(items[3].clone());
    assert_eq!((last.index, last.record), (2, 4), "indices have no gaps, ordinals count every header");
    let reason = RecordError::OverTrained { residues: 2, trained: 1 };
    let failed = last.failure(reason.clone());
    assert_eq!((failed.record, failed.line, failed.id.as_str(), failed.reason), (4, 8, "c", reason));
}

#[test]
fn an_id_with_another_sequence_fails_and_names_both_lines_and_files() {
    let sources = [source("one.fa", "\n>x\nAC\n>a\nMKV\n"), source("two.fa", ">b\nAC\n>a\nMKL\n>a\nMKV\n")];
    let mut reader = RecordReader::new(&sources, ReadOptions::default());
    let items: Vec<_> = reader.by_ref().map(|item| item.unwrap()).collect();
    let failed = failure(&items[3]);
    assert_eq!((failed.file.as_ref(), failed.line, failed.record, failed.id.as_str()), ("two.fa", 3, 4, "a"));
    let text = failed.reason.to_string();
    assert!(text.contains("two.fa line 3") && text.contains("one.fa line 4"), "{text}");
    assert!(matches!(&items[4], Item::Duplicate(duplicate) if duplicate.of == 1), "the first record stands");
    let totals = reader.totals();
    assert_eq!((totals.headers, totals.records, totals.duplicates, totals.failures), (5, 3, 1, 1));
    assert_eq!(totals.residues, 7);
    assert_eq!(totals.letters[usize::from(b'A' - b'A')], 2);
    assert_eq!(totals.letters[usize::from(b'K' - b'A')], 1);
}

#[test]
fn the_file_of_the_first_record_is_named_wherever_it_stands() {
    let sources =
        [source("one.fa", ">x\nAC\n"), source("two.fa", ">a\nMK\n"), source("three.fa", ">a\nML\n")];
    let items: Vec<_> =
        RecordReader::new(&sources, ReadOptions::default()).map(|item| item.unwrap()).collect();
    let text = failure(&items[2]).reason.to_string();
    assert!(text.contains("three.fa line 1") && text.contains("two.fa line 1"), "{text}");
}

#[test]
fn a_failed_record_takes_no_id() {
    let items = items(">a\nM7\n>a\nMK\n");
    assert!(matches!(failure(&items[0]).reason, RecordError::Character { .. }));
    assert_eq!(record(items[1].clone()).residues, b"MK");
}

#[test]
fn the_id_style_decides_what_is_the_same() {
    let text = ">sp|P1|A_X one\nMK\n>tr|P1|B_X two\nMK\n";
    let count = |id_style| {
        let options = ReadOptions { id_style, ..ReadOptions::default() };
        let ids: Vec<_> = reader(text, options)
            .filter_map(|item| match item.unwrap() {
                Item::Record(record) => Some(record.id),
                _ => None,
            })
            .collect();
        ids
    };
    assert_eq!(count(IdStyle::Word), ["sp|P1|A_X", "tr|P1|B_X"]);
    assert_eq!(count(IdStyle::Uniprot), ["P1"]);
    assert_eq!(count(IdStyle::Full), ["sp|P1|A_X one", "tr|P1|B_X two"]);
}

#[test]
fn full_ids_are_trimmed() {
    let options = ReadOptions { id_style: IdStyle::Full, ..ReadOptions::default() };
    let text = format!("> a  b {}\r\nMK\r\n", " ".repeat(10_000));
    let item = reader(text, options).next().unwrap().unwrap();
    assert_eq!(record(item).id, "a  b");
    let text = format!(">a {} b\nMK\n", " ".repeat(10_000));
    let item = reader(text, options).next().unwrap().unwrap();
    assert_eq!(failure(&item).reason, RecordError::IdTooLong { limit: 1024 });
}

#[test]
fn a_new_file_begins_a_new_record() {
    let sources = [source("one", ">a\nMK"), source("two", ""), source("three", "\u{feff}>b\r\nAC")];
    let records: Vec<_> = RecordReader::new(&sources, ReadOptions::default())
        .map(|item| record(item.unwrap()))
        .map(|record| (record.index, record.id, record.residues, record.file.to_string(), record.line))
        .collect();
    assert_eq!(records[0], (0, "a".to_owned(), b"MK".to_vec(), "one".to_owned(), 1));
    assert_eq!(records[1], (1, "b".to_owned(), b"AC".to_vec(), "three".to_owned(), 1));
}

#[test]
fn the_input_hash_names_records_and_not_their_spelling() {
    let wanted = hash(">a\nMKV\n>b\nAC\n");
    assert_eq!(wanted.len(), 64);
    for same in [">a x\r\nmk\r\nv*\r\n;c\n>b\nA-C", ">a\nMKV\n>a\nMKV\n>bad\n\n>b\nAC\n>b\nACD\n"] {
        assert_eq!(hash(same), wanted, "{same:?}");
    }
    let others = [">b\nAC\n>a\nMKV\n", ">a\nMKV\n", ">aM\nKV\n>b\nAC\n", ">a\nMKVb\n>AC\nK\n", ""];
    for other in others {
        assert_ne!(hash(other), wanted, "{other:?}");
    }
}

#[test]
fn the_input_hash_is_pinned() {
    // It stands in result files: a change of it must be meant, and changes the domain string.
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"pliant input records 1\n");
    hasher.update(b"\x01\0\0\0\0\0\0\0a\x03\0\0\0\0\0\0\0MKV");
    assert_eq!(hash(">a\nMKV\n"), hasher.finalize().to_hex().to_string());
}

#[test]
fn a_scan_sums_up() {
    let text = ">a\nMKV\n>b\nACDE\n>c\nWWWW\n>b\nACDE\n>bad\n1\n";
    let summary = scan(reader(text, admit(4))).unwrap();
    assert_eq!(summary.lengths, [3, 4, 4]);
    let longest = summary.longest.unwrap();
    assert_eq!((longest.id.as_str(), longest.residues), ("b", 4));
    assert_eq!(summary.failures.len(), 1);
    assert_eq!(summary.totals.duplicates, 1);
    assert_eq!(summary.totals.residues, 11);
    assert_eq!(summary.input_hash, hash(text));
    let empty = scan(reader("", admit(4))).unwrap();
    assert_eq!((empty.lengths.len(), empty.longest), (0, None));
}
