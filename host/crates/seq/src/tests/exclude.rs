//! Exclude lists: what is read, and what is refused.

use std::io::Write;

use niffler::Level;
use niffler::send::compression::Format;

use crate::{ExcludeList, InputError, Source};

/// `printf MKV | sha256sum`
const MKV: &str = "06101e170c22fd1e3eb5769d9ec67e9b76a226c73f20c30aa46e2436cb60abce";
/// `printf ACD | sha256sum`
const ACD: &str = "00e66854ddc46722ac3db985136265f4a24bcbbf0b45103d80cfea510e9217bf";

fn read(text: impl AsRef<[u8]>) -> Result<ExcludeList, InputError> {
    ExcludeList::read(&[Source::from_bytes("list.sha256", text.as_ref())])
}

fn refused(text: impl AsRef<[u8]>) -> String {
    read(text).unwrap_err().to_string()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = niffler::send::to_path(file.path(), Format::Gzip, Level::One).unwrap();
    writer.write_all(text).unwrap();
    drop(writer);
    std::fs::read(file.path()).unwrap()
}

#[test]
fn hashes_are_those_of_sha256sum() {
    for text in [format!("{MKV}\n"), MKV.to_uppercase(), format!("\n  {MKV}\t\r\n\r\n{ACD}\r\n{MKV}\n   \n")]
    {
        let list = read(&text).unwrap();
        assert!(list.holds(b"MKV") && !list.holds(b"MK") && !list.holds(b"mkv"), "{text}");
        assert_eq!((list.len(), list.holds(b"ACD")), if text.contains(ACD) { (2, true) } else { (1, false) });
    }
    assert!(read(gzip(format!("{ACD}\n").as_bytes())).unwrap().holds(b"ACD"));
    let nothing = ExcludeList::default();
    assert!(nothing.is_empty() && !nothing.holds(b"MKV"));
}

#[test]
fn several_files_are_one_list() {
    let source = |text: &str| Source::from_bytes("l", text.as_bytes());
    let list = ExcludeList::read(&[source(MKV), source(ACD), source(MKV)]).unwrap();
    assert!(list.len() == 2 && list.holds(b"MKV") && list.holds(b"ACD"));
    assert!(matches!(ExcludeList::read(&[source(MKV), source("")]), Err(InputError::NoHashes { .. })));
    assert_eq!(ExcludeList::read(&[]).unwrap(), ExcludeList::default());
}

#[test]
fn anything_else_is_refused_with_its_line() {
    let tail =
        " where the SHA-256 of a sequence was wanted, 64 hexadecimal digits; an exclude list has one a line";
    for (line, found) in [
        (&MKV[..63], "63 digits"),
        (&format!("{MKV}0"), "more than 64 characters"),
        (&format!("{MKV} -"), "more than 64 characters"),
        (&MKV.replacen(&MKV[..1], "g", 1), "'g' at place 1"),
        (">sp|P1|X", "'>' at place 1"),
        ("abc\0", "byte 0x00 at place 4"),
        ("ab\u{e9}", "'é' at place 3"),
        ("0", "1 digits"),
        (&"0".repeat(300), "more than 64 characters"),
        // Longer than a line may be, and only blanks within that.
        (&" ".repeat(300), "0 digits"),
    ] {
        let wanted = format!("list.sha256: line 3: found {found}{tail}");
        assert_eq!(refused(format!("{ACD}\n\n{line}\n{MKV}\n")), wanted, "{line}");
    }
    assert!(refused([b'0', 0xff, b'\n']).contains("byte 0xff at place 2"));
}

#[test]
fn no_hashes_are_no_list() {
    for text in ["", "\n", " \r\n\n\t\n"] {
        let wanted = "list.sha256: holds no hash; an exclude list has one SHA-256 of a sequence a line";
        assert_eq!(refused(text), wanted);
    }
}

#[test]
fn an_endless_line_is_not_held() {
    // A hundred million digits, of which a few hundred are looked at.
    let bomb = gzip(&vec![b'a'; 100_000_000]);
    assert!(bomb.len() < 1_000_000);
    assert!(refused(bomb).contains("line 1: found more than 64 characters"));
}

#[test]
fn damage_is_told() {
    let mut stored = gzip(format!("{MKV}\n{ACD}\n").as_bytes());
    stored.truncate(stored.len() - 5);
    let error = read(stored).unwrap_err();
    assert!(matches!(error, InputError::Damaged { line: 3, .. }), "{error:?}");
}
