//! Inputs by name: what can be opened, what is kept, what is refused.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::{InputError, Progress, ReadOptions, RecordReader, Source, scan};

fn text_of(source: &Source) -> String {
    let mut text = String::new();
    source.open(&Progress::default()).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn files_of_any_length_open_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["", ">", ">a\nM", ">a\nMK", ">a\nMKV\n"] {
        let path = folder.path().join("in.fa");
        std::fs::write(&path, text).unwrap();
        let source = Source::from_path(&path).unwrap();
        assert_eq!(source.bytes(), text.len() as u64);
        assert_eq!(source.name().as_ref(), path.to_str().unwrap());
        assert_eq!((text_of(&source), text_of(&source)), (text.to_owned(), text.to_owned()));
    }
}

#[test]
fn a_pipe_is_kept_for_a_second_reading() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
    let text = format!(">a\n{}\n", "MK".repeat(500_000));
    let written = text.clone();
    let thread = std::thread::spawn(move || writer.write_all(written.as_bytes()).unwrap());
    let source = Source::from_path(&path).unwrap();
    thread.join().unwrap();
    assert_eq!(source.bytes(), text.len() as u64);
    let (mut one, mut other) = (String::new(), String::new());
    let mut first = source.open(&Progress::default()).unwrap();
    first.by_ref().take(100).read_to_string(&mut one).unwrap();
    source.open(&Progress::default()).unwrap().read_to_string(&mut other).unwrap();
    first.read_to_string(&mut one).unwrap();
    assert!(one == text && other == text, "two readings have positions of their own");
}

#[test]
fn missing_files_folders_and_a_second_stdin_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.fa");
    assert!(matches!(Source::from_path(&missing), Err(InputError::Missing { .. })));
    assert!(matches!(Source::from_path(folder.path()), Err(InputError::Folder { .. })));
    assert!(matches!(Source::from_path(Path::new("/dev/null/x")), Err(InputError::Open { .. })));
    assert!(matches!(Source::from_arguments(&["-", "x", "-"]), Err(InputError::StdinTwice)));
    let error = Source::from_path(&missing).unwrap_err().to_string();
    assert!(error.contains("none.fa: no such file"), "{error}");
    assert_eq!(text_of(&Source::from_path(Path::new("/dev/null")).unwrap()), "");
}

#[test]
fn a_file_that_vanishes_between_readings_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.fa");
    std::fs::write(&path, ">a\nMK\n").unwrap();
    let sources = Source::from_arguments(&[&path]).unwrap();
    let first = scan(RecordReader::new(&sources, ReadOptions::default())).unwrap();
    std::fs::write(&path, ">a\nML\n").unwrap();
    let second = scan(RecordReader::new(&sources, ReadOptions::default())).unwrap();
    assert_ne!(first.input_hash, second.input_hash);
    std::fs::remove_file(&path).unwrap();
    let error = scan(RecordReader::new(&sources, ReadOptions::default())).unwrap_err();
    assert!(matches!(error, InputError::Missing { .. }));
}

#[test]
fn a_failing_read_is_no_damaged_file() {
    // The first page of a process is never mapped: the system refuses to read it.
    let source = Source::from_path(Path::new("/proc/self/mem")).unwrap();
    let error = scan(RecordReader::new(&[source], ReadOptions::default())).unwrap_err();
    assert!(matches!(error, InputError::Read { line: 1, .. }), "{error}");
}
