//! Where proteins come from: files, standard input, pipes, plain and compressed, one and several.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::tool::{ECOLI, Run, Scratch, has, model};

const TEXT: &str = ">a\nMKVLATG\n>b\nACDEFW\n>c\nMHHHHHHSSG\n";

fn plain() -> Vec<u8> {
    let scratch = Scratch::new();
    scratch.write("in.fasta", TEXT);
    scratch.embed(&[]).code(0);
    scratch.read("out.npz")
}

/// What a command of the system makes of some bytes.
fn through(command: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn compressed_inputs_give_the_same_bytes() {
    let wanted = plain();
    for compressor in [&["gzip", "-c"][..], &["bzip2", "-c"], &["xz", "-c"], &["zstd", "-q", "-c"]] {
        if !has(compressor[0]) {
            println!("SKIPPED: no {} here", compressor[0]);
            continue;
        }
        let scratch = Scratch::new();
        // The suffix says nothing: the first bytes do.
        let halves = TEXT.split_at(TEXT.find(">b").unwrap());
        let mut members = through(compressor, halves.0.as_bytes());
        members.extend(through(compressor, halves.1.as_bytes()));
        for bytes in [through(compressor, TEXT.as_bytes()), members] {
            scratch.write("in.fasta", bytes);
            scratch.embed(&[]).code(0);
            assert!(scratch.read("out.npz") == wanted, "{}", compressor[0]);
        }
    }
}

#[test]
fn standard_input_is_one_of_the_inputs() {
    let scratch = Scratch::new();
    scratch.embedding("-", "out.npz", &[]).input(TEXT).go().code(0);
    assert!(scratch.read("out.npz") == plain());
    if has("gzip") {
        scratch.embedding("-", "out.npz", &[]).input(through(&["gzip", "-c"], TEXT.as_bytes())).go().code(0);
        assert!(scratch.read("out.npz") == plain());
    }
    let twice = scratch.embedding("-", "twice.npz", &["-"]).input(TEXT).go().code(2);
    assert!(twice.stderr.contains("named more than once"), "{}", twice.stderr);
    let bad = scratch.embedding("-", "bad.npz", &[]).input(">a\n>b\nMK\n").go().code(65);
    assert!(bad.stderr.contains("-:1 a: the record has no residues"), "{}", bad.stderr);
}

#[test]
fn a_fifo_is_read_once_and_kept() {
    let scratch = Scratch::new();
    let fifo = scratch.path("pipe");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let writer = std::thread::spawn(move || fs::write(fifo, TEXT).unwrap());
    scratch.embedding("pipe", "out.npz", &[]).go().code(0);
    writer.join().unwrap();
    assert!(scratch.read("out.npz") == plain());
}

#[test]
fn several_inputs_are_one() {
    let scratch = Scratch::new();
    scratch
        .write("1.fa", ">a\nMKVLATG\n")
        .write("2.fa", ">b\nACDEFW")
        .write("3.fa", ">c\nMHHHHHHSSG\n>a\nMKVLATG");
    let words = ["embed", "1.fa", "2.fa", "3.fa", "--model", model(), "--out", "out.npz"];
    scratch.run(&words).go().code(0);
    assert!(scratch.read("out.npz") == plain());
    scratch.write("2.fa", ">a\nACDEFW\n");
    let ended = scratch.run(&words).go().code(65);
    let wanted = "2.fa:1 a: the id at 2.fa line 1 already stands for another sequence at 1.fa line 1";
    assert!(ended.stderr.contains(wanted), "{}", ended.stderr);
}

#[test]
fn variables_stand_for_flags_and_flags_win() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", TEXT);
    let words = ["embed", "in.fasta"];
    let run = |words: &[&str]| {
        Run::new(words)
            .within(scratch.folder())
            .env("PLIANT_MODEL", model())
            .env("PLIANT_OUT", "env.npz")
            .env("PLIANT_POOL", "max")
            .env("PLIANT_LAYER", "-1,0")
            .env("PLIANT_QUIET", "1")
    };
    assert_eq!(run(&words).go().code(0).stderr, "");
    let layers: Vec<Option<usize>> =
        scratch.npz("env.npz").embeddings.iter().map(|embedding| embedding.layer).collect();
    assert_eq!(layers, [Some(2), Some(0)]);
    run(&["embed", "in.fasta", "--out", "flag.npz", "--pool", "mean", "--layer", "-1"]).go().code(0);
    assert!(scratch.read("flag.npz") == plain());
    let ended = run(&words).env("PLIANT_PRECISION", "f64").go().code(2);
    assert!(ended.stderr.contains("invalid value 'f64'"), "{}", ended.stderr);
}

#[test]
fn real_proteins_come_out_in_their_order() {
    let scratch = Scratch::new();
    scratch.embedding(ECOLI, "out.npz", &["--id", "uniprot"]).go().code(0);
    let text = fs::read_to_string(ECOLI).unwrap();
    let wanted: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix('>'))
        .map(|header| header.split('|').nth(1).unwrap())
        .collect();
    assert_eq!(scratch.npz("out.npz").ids, wanted);
}
