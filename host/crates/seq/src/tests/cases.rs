//! The FASTA edge cases, one test each.

use super::{admit, failure, fatal, good, items, one, reader, reason, record};
use crate::{InputError, RecordError};

#[test]
fn line_ends_of_every_kind() {
    let wanted = [one("a", "MKV", 1), one("b", "AC", 4)];
    assert_eq!(good(">a x\nMK\nV\n>b\nAC\n"), wanted);
    assert_eq!(good(">a x\r\nMK\r\nV\r\n>b\r\nAC\r\n"), wanted);
    assert_eq!(good(">a x\rMK\rV\r>b\rAC\r"), wanted);
    assert_eq!(good(">a x\r\nMK\nV\r>b\nAC"), wanted);
    assert_eq!(good(">a x\nMK\nV\n>b\nAC"), wanted, "no final newline");
    assert_eq!(good(">a x\nMK\nV\n>b\nAC\r"), wanted);
}

#[test]
fn byte_order_mark_is_skipped_at_the_start_alone() {
    assert_eq!(good("\u{feff}>a\nMK\n"), [one("a", "MK", 1)]);
    assert_eq!(good("\u{feff}"), []);
    assert_eq!(good("\u{feff}\n;c\n>a\nMK\n"), [one("a", "MK", 3)]);
    assert!(reason(">a\nMK\n\u{feff}V\n").contains("position 3"));
    assert!(matches!(fatal(b"\xef\xbb"), InputError::NotFasta { line: 1, .. }));
    assert!(matches!(fatal(b"\xef\xbbx"), InputError::NotFasta { line: 1, .. }));
    assert!(matches!(fatal(b"\xff\xfe>\0a\0\n\0"), InputError::NotFasta { line: 1, .. }));
}

#[test]
fn lower_case_becomes_upper_case() {
    assert_eq!(good(">a\nmkVacdefghiklmnpqrstvwyxbuzoj\n"), [one("a", "MKVACDEFGHIKLMNPQRSTVWYXBUZOJ", 1)]);
}

#[test]
fn one_stop_at_the_end_is_dropped() {
    for text in [">a\nMKV*\n", ">a\nMKV*", ">a\nMKV\n*\n", ">a\nMKV* \n\n", ">a\nMKV*--\n", ">a\nMKV-*\r\n"] {
        let mut reader = reader(text, admit(100));
        assert_eq!(record(reader.next().unwrap().unwrap()).residues, b"MKV", "{text:?}");
        assert!(reader.next().is_none());
        assert_eq!(reader.totals().warnings.stop_records, 1);
    }
}

#[test]
fn a_stop_inside_fails_and_says_where() {
    let wanted = |position, line| RecordError::InnerStop { position, line };
    for (text, position, line) in [
        (">a\nMK*V\n", 3, 2),
        (">a\nMK\n*V\n", 3, 3),
        (">a\nMK*\nV\n", 3, 2),
        (">a\nMK**\n", 3, 2),
        (">a\n*MK\n", 1, 2),
        (">a\nM-K *  \n\nV*\n", 4, 2),
    ] {
        let items = items(text);
        assert_eq!(failure(&items[0]).reason, wanted(position, line), "{text:?}");
    }
    assert!(reason(">a\nMK*V\n").contains("position 3 (line 2)"));
    assert_eq!(reason(">a\n*\n"), RecordError::Empty.to_string());
}

#[test]
fn gaps_are_removed_and_counted() {
    let mut reader = reader(">a\n--M.K-\nV\n>b\nAC\n>c\nA-C\n>d\n--\n", admit(100));
    let residues: Vec<_> = reader.by_ref().map(|item| item.unwrap()).collect();
    assert_eq!(record(residues[0].clone()).residues, b"MKV");
    assert_eq!(record(residues[2].clone()).residues, b"AC");
    assert_eq!(failure(&residues[3]).reason, RecordError::Empty);
    let warnings = reader.totals().warnings;
    assert_eq!((warnings.gap_records, warnings.gaps), (2, 5));
}

#[test]
fn other_characters_fail_and_are_named_with_their_place() {
    for (text, found, position, line) in [
        (&b">a\nMK7V\n"[..], "'7'", 3, 2),
        (b">a\nM\n\n K@\n", "'@'", 3, 4),
        (b">a\n>", "", 0, 0),
        ("\u{feff}>a\nMKé7\n".as_bytes(), "'é'", 3, 2),
        (">a\nM漢字\n".as_bytes(), "'漢'", 2, 2),
        (">a\nM🧬\n".as_bytes(), "'🧬'", 2, 2),
        (b">a\nM\xff\xff\n", "byte 0xff", 2, 2),
        (b">a\nM\xc3\n\xa9\n", "byte 0xc3", 2, 2),
        (b">a\nM\0K\n", "byte 0x00", 2, 2),
        (b">a\nM >b\n", "'>'", 2, 2),
        (b">a\nM\x1b[0m\n", "byte 0x1b", 2, 2),
        (b">a\nM;K\n", "';'", 2, 2),
        (b">a\nM<mask>K\n", "'<'", 2, 2),
        (b">a\nM7K*V\n", "'7'", 2, 2),
    ] {
        let items = items(text);
        let reason = &failure(&items[0]).reason;
        if found.is_empty() {
            assert_eq!(reason, &RecordError::Empty);
            continue;
        }
        let wanted = RecordError::Character { found: found.to_owned(), position, line };
        assert_eq!(reason, &wanted, "{}", String::from_utf8_lossy(text));
    }
    let text = reason(">a\nMK7V\n");
    assert!(text.contains("'7' at position 3 of the sequence (line 2)"), "{text}");
}

#[test]
fn blanks_and_blank_lines_do_not_matter() {
    let text = "\n \t\n>a  x\n\n M K\tV \n\n\x0c\n  \n>b\nA C\n\n\n";
    assert_eq!(good(text), [one("a", "MKV", 3), one("b", "AC", 9)]);
}

#[test]
fn empty_records_fail_wherever_they_stand() {
    let items = items(">a\n>b\nMK\n>c\n\n \n>d");
    let failed: Vec<_> = [0, 2, 3].map(|at| failure(&items[at])).into();
    for failure in &failed {
        assert_eq!(failure.reason, RecordError::Empty);
    }
    assert_eq!(failed.iter().map(|failure| failure.id.as_str()).collect::<Vec<_>>(), ["a", "c", "d"]);
    assert_eq!(failed.iter().map(|failure| failure.line).collect::<Vec<_>>(), [1, 4, 7]);
    assert_eq!(failed.iter().map(|failure| failure.record).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!(record(items[1].clone()).index, 0, "failures take no index");
}

#[test]
fn headers_without_an_id_fail() {
    for text in [">\nMK\n", "> \t\nMK\n", ">\r\nMK\r\n", ">"] {
        assert_eq!(reason(text), RecordError::NoId.to_string(), "{text:?}");
    }
    assert_eq!(good("> a b\nMK\n"), [one("a", "MK", 1)]);
}

#[test]
fn comment_lines_are_skipped() {
    assert_eq!(good(";first\n; >no\n>a\nMK\n;inside 7@\nV\n"), [one("a", "MKV", 3)]);
    assert_eq!(good(";only"), []);
}

#[test]
fn nothing_but_blanks_is_no_records() {
    for text in ["", "\n", "\r\n\r\n", "  \n\t", "\r"] {
        assert_eq!(good(text), [], "{text:?}");
    }
}

#[test]
fn text_before_the_first_header_is_an_error_that_names_the_line() {
    let error = fatal("\n\nMKV\n>a\nMK\n").to_string();
    assert_eq!(
        error,
        "in.fasta: line 3: found 'M' where the first FASTA header was wanted; a header is a line that begins with '>'"
    );
    for text in [
        &b"PAR1\x15\x04\x15\x10"[..],
        b"\x89PNG\r\n\x1a\n",
        b"\0\0\0\0\0\0\0",
        b" >a\nMK\n",
        b"@r\nACGT\n+\n",
    ] {
        assert!(matches!(fatal(text), InputError::NotFasta { line: 1, .. }));
    }
    assert!(fatal(b"\0\0").to_string().contains("found byte 0x00"));
}

#[test]
fn ids_with_pipes_and_long_ids() {
    let exact = "i".repeat(1024);
    assert_eq!(good(format!(">{exact} text\nMK\n")), [one(&exact, "MK", 1)]);
    assert_eq!(good(">sp|P0A7G6|RECA_ECOLI x\nMK\n"), [one("sp|P0A7G6|RECA_ECOLI", "MK", 1)]);
    for length in [1025, 5000, 200_000] {
        let items = items(format!(">{}\nMK\n>b\nAC\n", "i".repeat(length)));
        let failed = failure(&items[0]);
        assert_eq!(failed.reason, RecordError::IdTooLong { limit: 1024 });
        assert!(failed.id.chars().count() < 100 && failed.id.ends_with('…'));
        assert_eq!(record(items[1].clone()).id, "b");
    }
    // A long description is no long id.
    assert_eq!(good(format!(">a {}\nMK\n", "x ".repeat(100_000))), [one("a", "MK", 1)]);
}

#[test]
fn ids_that_are_no_text_fail() {
    assert!(reason(b">a\0b\nMK\n").contains("control character 0x00"));
    assert!(reason(b">a\xffb\nMK\n").contains("not UTF-8"));
    assert_eq!(failure(&items(b">a\0b\nMK\n")[0]).id, "a\\u{0}b");
}

#[test]
fn the_length_limit_is_exact_and_names_its_flag() {
    let mut reader = reader(">a\nMKVA\n>b\nMK-\nVA\nC\n>c\nA-C-D-E*\n", admit(4));
    assert_eq!(record(reader.next().unwrap().unwrap()).residues, b"MKVA");
    let item = reader.next().unwrap().unwrap();
    let failed = failure(&item);
    assert_eq!(failed.reason, RecordError::TooLong { residues: 5, max_residues: 4 });
    assert!(failed.reason.to_string().contains("has 5 residues, more than --max-residues 4"));
    assert_eq!((failed.line, failed.record, failed.id.as_str()), (3, 2, "b"));
    // Gaps and the last stop are no residues.
    assert_eq!(record(reader.next().unwrap().unwrap()).residues, b"ACDE");
}

#[test]
fn a_protein_of_35_000_residues_is_admitted() {
    let residues = "MKVLATGSHR".repeat(3500);
    assert_eq!(good(format!(">titin\n{residues}\n")), [one("titin", &residues, 1)]);
}

#[test]
fn seventy_megabytes_on_one_line_are_refused_for_their_length() {
    let mut text = b">long\n".to_vec();
    text.resize(text.len() + 70_000_000, b'A');
    text.extend_from_slice(b"\n>next\nMK\n");
    let start = std::time::Instant::now();
    let items = items(&text);
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(
        failure(&items[0]).reason,
        RecordError::TooLong { residues: 70_000_000, max_residues: 65_536 }
    );
    assert_eq!(record(items[1].clone()).id, "next");
    // Five seconds are promised of an optimised build; tests are barely optimised.
    assert!(seconds < 5.0, "{seconds} s");
}

#[test]
fn no_more_than_the_limits_is_held() {
    use std::io::{BufReader, Read};
    let endless = |byte| std::io::repeat(byte).take(70_000_000);
    let text = b">".chain(endless(b'i')).chain(&b"\n"[..]).chain(endless(b'A'));
    let mut fasta = crate::fasta::FastaReader::new(BufReader::new(text), 100);
    let raw = fasta.next_record().unwrap().unwrap();
    assert_eq!((raw.header.len(), raw.header_cut), (crate::fasta::HEADER_BYTES, true));
    assert!(raw.header.capacity() <= 2 * crate::fasta::HEADER_BYTES);
    assert_eq!((raw.letters, raw.residues.capacity()), (70_000_000, 0));
    let noise = b">a\n".chain(endless(0xff));
    let mut fasta = crate::fasta::FastaReader::new(BufReader::new(noise), 100);
    let fault = fasta.next_record().unwrap().unwrap().fault.unwrap();
    assert_eq!(fault.character.unwrap().len(), 4);
}
