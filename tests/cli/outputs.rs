//! Where results go: files that appear whole, standard output, FIFOs.

use std::fs;
use std::process::Command;

use crate::tool::{Run, Scratch, model};

const TEXT: &str = ">a\nMKVLATG\n>b\nACDEFW\n";

#[test]
fn standard_output_takes_what_a_file_would() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", TEXT);
    for format in ["tsv", "npz", "h5", "parquet", "safetensors"] {
        let file = &format!("out.{format}");
        scratch.embedding("in.fasta", file, &[]).go().code(0);
        let piped = scratch.embedding("in.fasta", "-", &["--format", format]).go().code(0);
        assert!(piped.stdout == scratch.read(file), "{format}");
        let redirected = Run::shell(
            "\"$@\" > redirected",
            &["embed", "in.fasta", "--model", model(), "--out", "/dev/stdout", "--format", format],
        );
        redirected.within(scratch.folder()).go().code(0);
        assert!(scratch.read("redirected") == scratch.read(file), "{format}");
    }
    let text = scratch.embedding("in.fasta", "-", &[]).go().code(0);
    assert!(text.text().starts_with("# pliant_meta {"), "a stream is text unless told otherwise");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let scratch = Scratch::new();
    let text: String = (0..3000).map(|number| format!(">r{number}\nMKV\n")).collect();
    scratch.write("in.fasta", text);
    let words = ["embed", "in.fasta", "--model", model(), "--out", "-", "--quiet"];
    let ended = Run::shell("{ \"$@\"; echo \"ended with $?\" >&2; } | head -n 1", &words)
        .within(scratch.folder())
        .go();
    assert_eq!(ended.stderr, "ended with 0\n");
    let ended = Run::shell("{ \"$@\"; echo \"ended with $?\" >&2; } | true", &["doctor"]).go();
    assert!(ended.stderr == "ended with 0\n", "{}", ended.stderr);
}

#[test]
fn a_fifo_takes_a_result() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", TEXT);
    assert!(Command::new("mkfifo").arg(scratch.path("pipe")).status().unwrap().success());
    let pipe = scratch.path("pipe");
    let reader = std::thread::spawn(move || fs::read(pipe).unwrap());
    scratch.embedding("in.fasta", "pipe", &["--format", "h5"]).go().code(0);
    scratch.embedding("in.fasta", "out.h5", &[]).go().code(0);
    assert!(reader.join().unwrap() == scratch.read("out.h5"));
}

#[test]
fn a_result_is_replaced_by_a_run_that_succeeds_only() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", TEXT).write("out.npz", "old").write("s.json", "old");
    scratch.write("bad.fasta", ">a\nMKV\n>b\n");
    scratch.embedding("bad.fasta", "out.npz", &["--summary", "s.json"]).go().code(65);
    assert_eq!((scratch.text("out.npz"), scratch.text("s.json")), ("old".to_owned(), "old".to_owned()));
    scratch.embed(&["--summary", "s.json"]).code(0);
    assert_eq!(scratch.npz("out.npz").ids, ["a", "b"]);
    assert!(scratch.text("s.json").starts_with('{'));
    assert_eq!(scratch.names(), ["bad.fasta", "in.fasta", "out.npz", "out.npz.failures.tsv", "s.json"]);
}
