//! What a corpus keeps, leaves out, holds out and says of itself.

use std::fmt::Write;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use super::{ReadOptions, admit, reader};
use crate::{Corpus, CorpusError, CorpusOptions, CorpusReport, Count, ESM2, ExcludeList, LeftOut, Source};

/// A corpus of these sequences, in this order.
pub(super) fn corpus_of<T: AsRef<[u8]>>(sequences: impl IntoIterator<Item = T>) -> Corpus {
    let mut text = Vec::new();
    for (number, residues) in sequences.into_iter().enumerate() {
        text.extend_from_slice(format!(">s{number}\n").as_bytes());
        text.extend_from_slice(residues.as_ref());
        text.push(b'\n');
    }
    let exclude = ExcludeList::default();
    let options = CorpusOptions { vocabulary: &ESM2, exclude: &exclude, min_residues: 1 };
    Corpus::read(reader(text, ReadOptions::default()), &options).unwrap().0
}

/// `count` different sequences of 20 standard residues, of lengths between `shortest` and `longest`.
pub(super) fn proteins(count: usize, shortest: usize, longest: usize) -> Vec<Vec<u8>> {
    let mut random = ChaCha8Rng::seed_from_u64(count as u64);
    let protein = |_| {
        let length = shortest + random.next_u32() as usize % (longest - shortest + 1);
        let residue = |_| crate::STANDARD_RESIDUES[random.next_u32() as usize % 20];
        (0..length).map(residue).collect()
    };
    (0..count).map(protein).collect()
}

fn read(text: impl AsRef<[u8]>) -> Result<(Corpus, CorpusReport), CorpusError> {
    read_without(text, &ExcludeList::default(), 1)
}

fn read_without(
    text: impl AsRef<[u8]>,
    exclude: &ExcludeList,
    min_residues: usize,
) -> Result<(Corpus, CorpusReport), CorpusError> {
    let options = CorpusOptions { vocabulary: &ESM2, exclude, min_residues };
    Corpus::read(reader(text, admit(12)), &options)
}

fn exclude<T: AsRef<[u8]>>(sequences: &[T]) -> ExcludeList {
    let mut text = String::new();
    for residues in sequences {
        for byte in Sha256::digest(residues) {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    ExcludeList::read(&[Source::from_bytes("list", text.into_bytes())]).unwrap()
}

fn texts(corpus: &Corpus) -> Vec<&str> {
    corpus.iter().map(|residues| std::str::from_utf8(residues).unwrap()).collect()
}

#[test]
fn every_record_is_accounted_for() {
    let text = ">a\nMKV\n>b\nmkv*\n>c\nACDEF\n>a\nMKV\n>d\nAC\n>e\nJJJJ\n>f\nWWWWW\n>g\nM1K\n>c\nYYYYY\n\
                >h\nACDEFGHIKLMNP\n>i\n\n>j\nwwww-w*\n>k\nMKJ\n";
    let (corpus, report) = read_without(text, &exclude(&["WWWWW", "GGGGG"]), 3).unwrap();
    assert_eq!(texts(&corpus), ["MKV", "ACDEF", "MKJ"]);
    assert_eq!((corpus.sequences(), corpus.residues(), corpus.sequence(1)), (3, 11, &b"ACDEF"[..]));
    let count = |records, residues| Count { records, residues };
    let wanted =
        LeftOut { short: count(1, 2), unknown: count(1, 4), excluded: count(2, 10), identical: count(1, 3) };
    assert_eq!(report.left_out, wanted);
    let totals = &report.totals;
    assert_eq!((totals.headers, totals.records, totals.duplicates, totals.failures), (13, 8, 1, 4));
    let failed: Vec<&str> = report.failures.iter().map(|failure| failure.id.as_str()).collect();
    assert_eq!(failed, ["g", "c", "h", "i"]);
}

#[test]
fn nothing_left_is_an_error_with_numbers() {
    let error = read_without(">a\nMK\n>b\nM2\n>c\nWWWW\n>c\nWWWW\n>d\nJJJ\n", &exclude(&["WWWW"]), 3);
    let error = error.unwrap_err().to_string();
    assert_eq!(
        error,
        "no sequences to train on: of 5 records 1 failed, 1 repeat an id with its sequence, and left out were 1 too \
         short, 1 without a known letter, 1 on the exclude list and 0 with the sequence of an earlier record; give \
         more sequences or leave out fewer"
    );
    assert!(matches!(read(""), Err(CorpusError::Empty { headers: 0, .. })));
    assert!(matches!(read("MKV\n"), Err(CorpusError::Input(_))));
}

#[test]
fn what_is_excluded_never_appears() {
    let sequences = proteins(300, 4, 12);
    let list = exclude(&sequences[100..200]);
    assert_eq!(list.len(), 100);
    let mut text = String::new();
    for (number, residues) in sequences.iter().enumerate() {
        let residues = String::from_utf8_lossy(residues);
        // Lower case, gaps and a stop do not hide a sequence.
        let spelled = match number % 3 {
            0 => residues.to_lowercase() + "*",
            1 => format!("{}-{}", &residues[..2], &residues[2..]),
            _ => residues.into_owned(),
        };
        writeln!(text, ">p{number}\n{spelled}").unwrap();
    }
    let (corpus, report) = read_without(text, &list, 1).unwrap();
    assert_eq!(report.left_out.excluded.records, 100);
    assert!(corpus.iter().eq(sequences[..100].iter().chain(&sequences[200..]).map(Vec::as_slice)));
    assert!(!corpus.iter().any(|residues| list.holds(residues)));
}

#[test]
fn the_digest_names_sequences_and_their_order() {
    let digest = |text: &str| read(text).unwrap().0.digest();
    let wanted = digest(">a\nMKV\n>b\nAC\n");
    assert_eq!(wanted.len(), 64);
    assert_eq!(digest(">x\nm\nkv*\r\n>y z\nA-C\n>x\nMKV\n"), wanted);
    for other in [">a\nAC\n>b\nMKV\n", ">a\nMK\n>b\nVAC\n", ">a\nMKV\n", ">a\nMKV\n>b\nAC\n>c\nA\n"] {
        assert_ne!(digest(other), wanted, "{other}");
    }
    // What a run wrote down must hold for the next version.
    assert_eq!(wanted, "39f2c8809ce65d926793f6133563b06c997c6a49ed0eff5d5f3a2a30e1014e75");
}

#[test]
fn holding_out_follows_the_sequence_alone() {
    let sequences = proteins(4000, 20, 30);
    let all = corpus_of(&sequences);
    let (train, test) = all.hold_out(0.1, 7).unwrap();
    assert_eq!(train.sequences() + test.sequences(), 4000);
    assert_eq!(train.residues() + test.residues(), all.residues());
    // Mean 400, standard deviation 19.
    assert!(test.sequences().abs_diff(400) < 76, "{}", test.sequences());
    let held_out: std::collections::BTreeSet<&[u8]> = test.iter().collect();
    assert!(!train.iter().any(|residues| held_out.contains(residues)));
    assert!(all.iter().filter(|residues| held_out.contains(residues)).eq(test.iter()), "the order is kept");

    let mut backwards = sequences[..2000].to_vec();
    backwards.reverse();
    let (_, half) = corpus_of(&backwards).hold_out(0.1, 7).unwrap();
    let wanted = test.iter().filter(|residues| backwards.iter().any(|other| other == residues)).count();
    assert_eq!(half.sequences(), wanted);
    assert!(half.iter().all(|residues| held_out.contains(residues)));

    let (_, more) = all.hold_out(0.2, 7).unwrap();
    let more: std::collections::BTreeSet<&[u8]> = more.iter().collect();
    assert!(held_out.is_subset(&more), "a larger share holds out the same and more");
    let (_, other) = all.hold_out(0.1, 8).unwrap();
    let common = other.iter().filter(|residues| held_out.contains(residues)).count();
    assert!(common < 80, "another seed shares a tenth: {common}");
}

#[test]
fn holding_out_needs_both_sides() {
    let corpus = corpus_of(["MKV", "ACD"]);
    for fraction in [0.0, 1.0, -0.1, 1.5, f64::NAN] {
        assert!(matches!(corpus.hold_out(fraction, 1), Err(CorpusError::Fraction { .. })), "{fraction}");
    }
    let error = corpus.hold_out(1e-9, 1).unwrap_err().to_string();
    assert!(error.starts_with("holding out 0.000000001 of 2 sequences takes 0 of them"), "{error}");
    assert!(matches!(corpus.hold_out(0.999_999_999, 1), Err(CorpusError::OneSided { held_out: 2, .. })));
}

#[test]
fn a_file_held_out_is_taken_out_of_training() {
    let corpus = corpus_of(["MKV", "ACD", "WWW", "YYY"]);
    let (rest, removed) = corpus.without(&corpus_of(["WWW", "GGG", "MKV"])).unwrap();
    assert_eq!((texts(&rest), removed), (vec!["ACD", "YYY"], 2));
    assert_eq!(rest, corpus_of(["ACD", "YYY"]));
    let error = corpus_of(["MKV"]).without(&corpus).unwrap_err().to_string();
    assert_eq!(error, "all 1 sequences are among those held out; train on other sequences");
}

#[test]
fn numbers_describe_it() {
    let corpus = corpus_of(["LAGVSERTID", "PKQNFYMHWC"]);
    assert!((corpus.entropy(&ESM2) - 20f64.ln()).abs() < 1e-12);
    assert_eq!(corpus_of(["AAAA", "AA"]).entropy(&ESM2), 0.0);
    let mixed = corpus_of(["AAJ", "AAA", "JJA"]);
    let wanted = -(6.0 / 9.0 * (6.0f64 / 9.0).ln() + 3.0 / 9.0 * (3.0f64 / 9.0).ln());
    assert!((mixed.entropy(&ESM2) - wanted).abs() < 1e-12);
    assert_eq!((mixed.letters()[0], mixed.letters()[9]), (6, 3));

    let lengths = corpus_of(["A", "AC", "ACD", "ACDEFGHIKL"]).lengths();
    let found = (lengths.shortest, lengths.median, lengths.mean, lengths.percentile_95, lengths.longest);
    assert_eq!(found, (1, 2, 4.0, 10, 10));
}
