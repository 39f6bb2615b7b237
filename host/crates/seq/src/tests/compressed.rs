//! Compressed input: every format, in members, cut short and damaged.

use std::io::Write;

use niffler::Level;
use niffler::send::compression::Format;

use super::{one, plain, record};
use crate::{InputError, Item, ReadOptions, RecordReader, Source};

const FORMATS: [Format; 4] = [Format::Gzip, Format::Bzip, Format::Lzma, Format::Zstd];

fn compress(text: &[u8], format: Format) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = niffler::send::to_path(file.path(), format, Level::One).unwrap();
    writer.write_all(text).unwrap();
    drop(writer);
    std::fs::read(file.path()).unwrap()
}

fn read(bytes: Vec<u8>) -> Result<Vec<Item>, InputError> {
    RecordReader::new(&[Source::from_bytes("in.fa.x", bytes)], ReadOptions::default()).collect()
}

fn text(records: usize) -> Vec<u8> {
    (0..records)
        .flat_map(|number| format!(">r{number}\nMKV{}\n", "ACDEFGHIKL".repeat(number % 9)).into_bytes())
        .collect()
}

#[test]
fn every_format_is_told_by_its_first_bytes() {
    let text = text(500);
    let wanted = read(text.clone()).unwrap();
    assert_eq!(wanted.len(), 500);
    for format in FORMATS {
        let stored = compress(&text, format);
        assert_ne!(stored, text);
        assert!(read(stored).unwrap() == wanted, "{format:?}");
    }
}

#[test]
fn all_members_are_read() {
    for format in FORMATS {
        let mut stored = compress(b">a\nMK\n>b\nAC", format);
        stored.extend(compress(b"DE\n", format));
        stored.extend(compress(b"", format));
        stored.extend(compress(b">c\nWW\n", format));
        let records: Vec<_> = read(stored).unwrap().into_iter().map(|item| plain(record(item))).collect();
        assert_eq!(records, [one("a", "MK", 1), one("b", "ACDE", 3), one("c", "WW", 5)], "{format:?}");
    }
}

#[test]
fn nothing_compressed_is_no_records() {
    for format in FORMATS {
        assert_eq!(read(compress(b"", format)).unwrap(), [], "{format:?}");
    }
}

#[test]
fn wherever_it_is_cut_the_end_is_missed() {
    let text = text(40);
    for format in FORMATS {
        let stored = compress(&text, format);
        for length in 5..stored.len() {
            match read(stored[..length].to_vec()) {
                Err(InputError::Damaged { file, .. }) => assert_eq!(file.as_ref(), "in.fa.x"),
                other => panic!("{format:?} cut to {length} of {} bytes gave {other:?}", stored.len()),
            }
        }
    }
}

#[test]
fn a_flipped_bit_never_changes_a_result_silently() {
    let text = text(40);
    let wanted = read(text.clone()).unwrap();
    // zstd of this writer carries no checksum, so it is left out here.
    for format in [Format::Gzip, Format::Bzip, Format::Lzma] {
        let stored = compress(&text, format);
        for at in 5..stored.len() {
            let mut damaged = stored.clone();
            damaged[at] ^= 0x10;
            if let Ok(items) = read(damaged) {
                assert!(items == wanted, "{format:?} byte {at}");
            }
        }
    }
}

#[test]
fn damage_is_told_with_the_file_and_the_line() {
    let mut stored = compress(&text(40), Format::Gzip);
    stored.truncate(stored.len() - 4);
    let error = read(stored).unwrap_err().to_string();
    let begin = "in.fa.x: the compressed data is damaged or cut short, at line 81 of its text: ";
    assert!(error.starts_with(begin), "{error}");
}
