//! Random texts: nothing panics, and how the bytes arrive does not matter.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::reader;
use crate::fasta::{FastaError, FastaReader, RawRecord};
use crate::{Item, ReadOptions};

/// Hands out a text in chunks whose sizes repeat, now and then interrupted.
struct Chunks<'a> {
    text: &'a [u8],
    sizes: &'a [usize],
    turn: usize,
    interrupt: bool,
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Chunks<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.interrupt = !self.interrupt;
        if self.interrupt {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let size = self.sizes[self.turn % self.sizes.len()].min(self.text.len());
        Ok(&self.text[..size])
    }

    fn consume(&mut self, count: usize) {
        self.text = &self.text[count..];
        self.turn += 1;
    }
}

type Outcome = (Vec<RawRecord>, Option<String>, u64);

fn raw_records(input: impl BufRead) -> Outcome {
    let mut fasta = FastaReader::new(input, 6);
    let mut records = Vec::new();
    loop {
        match fasta.next_record() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return (records, None, fasta.line()),
            Err(FastaError::NotFasta(found)) => return (records, Some(found), fasta.line()),
            Err(FastaError::Io(error)) => panic!("{error}"),
        }
    }
}

/// Pieces that FASTA is made of, and some that it is not.
const PIECES: [&[u8]; 24] = [
    b">",
    b">a",
    b">b x",
    b">sp|P1|N y",
    b"\n",
    b"\n",
    b"\r\n",
    b"\r",
    b"MKV",
    b"acd",
    b"J",
    b"*",
    b"-",
    b".",
    b" ",
    b"\t",
    b";",
    b"7",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xc3\xa9",
    b"\xff",
    b"\n>c\nAC\n",
    b"\n>a\nMKV\n",
];

fn random_text(random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut text: Vec<u8> = match random.next_u32() % 4 {
        0 => Vec::new(),
        1 => b"\xef\xbb\xbf>q\n".to_vec(),
        _ => b">q\n".to_vec(),
    };
    for _ in 0..random.next_u32() % 40 {
        let piece = PIECES[random.next_u32() as usize % PIECES.len()];
        text.extend_from_slice(piece);
    }
    text
}

#[test]
fn records_do_not_depend_on_how_bytes_arrive() {
    for seed in 0..3000 {
        let text = random_text(&mut ChaCha8Rng::seed_from_u64(seed));
        let whole = raw_records(text.as_slice());
        for sizes in [&[1][..], &[2], &[3], &[7], &[1, 5, 2, 64, 3]] {
            let chunks = Chunks { text: &text, sizes, turn: 0, interrupt: false };
            assert_eq!(raw_records(chunks), whole, "seed {seed} sizes {sizes:?}: {text:?}");
        }
    }
}

#[test]
fn whatever_comes_in_the_promises_hold() {
    for seed in 0..3000 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut text = random_text(&mut random);
        if seed % 3 == 0 {
            let at = random.next_u32() as usize % (text.len() + 1);
            let mut noise = [0; 9];
            random.fill_bytes(&mut noise);
            text.splice(at..at, noise);
        }
        let options = ReadOptions { max_residues: 9, ..ReadOptions::default() };
        let mut reader = reader(&text, options);
        let (mut index, mut headers) = (0, 0);
        for item in reader.by_ref().map_while(Result::ok) {
            headers += 1;
            match item {
                Item::Record(record) => {
                    assert_eq!(record.index, index, "seed {seed}");
                    assert!((1..=9).contains(&record.residues.len()), "seed {seed}");
                    assert!(record.residues.iter().all(u8::is_ascii_uppercase), "seed {seed}");
                    assert!(!record.id.is_empty() && !record.id.contains(char::is_control), "seed {seed}");
                    assert_eq!(record.file, Arc::from("in.fasta"));
                    index += 1;
                }
                Item::Failure(failure) => assert_eq!(failure.record, headers, "seed {seed}"),
                Item::Duplicate(duplicate) => assert!(duplicate.of < index, "seed {seed}"),
            }
        }
        let totals = reader.totals();
        assert_eq!(totals.headers, headers);
        assert_eq!(totals.headers, totals.records + totals.duplicates + totals.failures, "seed {seed}");
        assert_eq!(totals.letters.iter().sum::<u64>(), totals.residues);
    }
}
