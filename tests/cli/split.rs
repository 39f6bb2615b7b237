//! `pliant split`: shards that hold the input, and the file that tells them apart.

use std::fs;
use std::path::Path;

use crate::snapshot::{check, told};
use crate::tool::{ECOLI, Ended, Scratch, model};
use pliant_store::SplitFile;

const TEXT: &str = ">a first\nMKV\nLA-TG\n>b\nacdefw*\n>c\nMKVLATGA\n";

/// `pliant split` of `in.fasta` into `shards`.
fn split(scratch: &Scratch, more: &[&str]) -> Ended {
    let mut words = vec!["split", "in.fasta", "--out-dir", "shards"];
    words.extend(more);
    scratch.run(&words).go()
}

fn manifest(scratch: &Scratch, folder: &str) -> SplitFile {
    SplitFile::read(&scratch.path(folder).join("split.json")).unwrap()
}

/// The names of everything in the folder of the shards, sorted.
fn names(scratch: &Scratch) -> Vec<String> {
    let entries = fs::read_dir(scratch.path("shards")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What `pliant embed` calls an input.
fn input_hash(scratch: &Scratch, input: &str, more: &[&str]) -> String {
    let mut words = vec!["embed", input, "--model", model(), "--dry-run"];
    words.extend(more);
    scratch.run(&words).go().code(0).json()["input_hash"].as_str().unwrap().to_owned()
}

#[test]
fn shards_hold_the_records_repaired_and_wrapped() {
    let scratch = Scratch::new();
    let long = "ACDEFGHIKL".repeat(17);
    scratch.write("in.fasta", format!("{TEXT}>d\n{long}\n"));
    let ended = split(&scratch, &["--shards", "2"]).code(0);
    check("split_warnings", &told(&ended));
    assert_eq!(names(&scratch), ["shard_0001.fasta", "shard_0002.fasta", "split.json"]);
    assert_eq!(scratch.text("shards/shard_0001.fasta"), ">a\nMKVLATG\n>b\nACDEFW\n>c\nMKVLATGA\n");
    let lines = [&long[..80], &long[80..160], &long[160..]].join("\n");
    assert_eq!(scratch.text("shards/shard_0002.fasta"), format!(">d\n{lines}\n"));
    check("split_json", &scratch.text("shards/split.json"));
}

#[test]
fn the_file_tells_what_embed_will_find() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", fs::read(ECOLI).unwrap());
    split(&scratch, &["--shards", "4", "--summary", "s.json"]).code(0);
    let found = manifest(&scratch, "shards");
    assert_eq!((found.records, found.shards.len(), found.id.as_str()), (20, 4, "word"));
    assert_eq!(found.input, input_hash(&scratch, "in.fasta", &[]));
    for shard in &found.shards {
        assert_eq!(shard.input, input_hash(&scratch, &format!("shards/{}", shard.file), &[]));
    }
    let share = found.residues / 4;
    let longest = 1000;
    assert!(found.shards.iter().all(|shard| shard.residues.abs_diff(share) < longest), "{found:?}");
    let summary: serde_json::Value = serde_json::from_str(&scratch.text("s.json")).unwrap();
    assert_eq!(summary["records"], 20);
    assert_eq!(summary["shards"][3], "shard_0004.fasta");
    assert_eq!(summary["input"]["hash"], found.input.as_str());
}

#[test]
fn ids_of_every_style_survive() {
    let text = ">sp|P0A7G6|RECA_ECOLI Protein  RecA, \u{a0}of E. coli\u{a0}\nMAIDENK\n>tr|A0|B x\nMKV\n\
                >>a>b ;c\nMKA\n>;semi sp|x\nMKL\n>β-lactamase x\nMKM\n>sp||N y\nMKI\n";
    for style in ["word", "uniprot", "full"] {
        let scratch = Scratch::new();
        scratch.write("in.fasta", text);
        split(&scratch, &["--shards", "3", "--id", style]).code(0);
        let found = manifest(&scratch, "shards");
        assert_eq!(found.id, style);
        assert_eq!(found.input, input_hash(&scratch, "in.fasta", &["--id", style]));
        let mut ids = Vec::new();
        for shard in &found.shards {
            let file = format!("shards/{}", shard.file);
            assert_eq!(shard.input, input_hash(&scratch, &file, &["--id", style]), "{style}");
            scratch.embedding(&file, "part.npz", &["--id", style]).go().code(0);
            ids.extend(scratch.npz("part.npz").ids);
        }
        scratch.embed(&["--id", style]).code(0);
        assert_eq!(ids, scratch.npz("out.npz").ids, "{style}");
        assert_eq!(ids.len(), 6);
    }
}

#[test]
fn the_same_records_give_the_same_bytes_whatever_they_came_in() {
    let scratch = Scratch::new();
    let text = fs::read(ECOLI).unwrap();
    scratch.write("in.fasta", &text);
    split(&scratch, &["--shards", "3"]).code(0);
    let all =
        || names(&scratch).iter().map(|name| scratch.read(&format!("shards/{name}"))).collect::<Vec<_>>();
    let plain = all();
    assert_eq!(plain.len(), 4);
    scratch.run(&["split", "-", "--shards", "3", "--out-dir", "shards"]).input(text.clone()).go().code(0);
    assert!(plain == all(), "standard input");
    for (tool, suffix) in [("gzip", "gz"), ("bzip2", "bz2"), ("xz", "xz"), ("zstd", "zst")] {
        if !crate::tool::has(tool) {
            println!("skipped: {tool} is not there");
            continue;
        }
        let packed = std::process::Command::new(tool).args(["-c", ECOLI]).output().unwrap().stdout;
        scratch.write(&format!("in.{suffix}"), packed);
        scratch.run(&["split", &format!("in.{suffix}"), "--shards", "3", "--out-dir", "shards"]).go().code(0);
        assert!(plain == all(), "{suffix}");
    }
    // Two files, repetitions, other line breaks.
    let text = String::from_utf8(text).unwrap();
    let half = text[text.len() / 2..].find("\n>").unwrap() + text.len() / 2 + 1;
    scratch.write("a.fasta", &text[..half]).write("b.fasta", text[half..].replace('\n', "\r\n"));
    scratch
        .run(&["split", "a.fasta", "b.fasta", "a.fasta", "--shards", "3", "--out-dir", "shards", "--quiet"])
        .go()
        .code(0);
    assert!(plain == all(), "files");
}

#[test]
fn shards_of_an_earlier_split_go_and_other_files_stay() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", TEXT);
    split(&scratch, &["--shards", "9"]).code(0);
    let three = ["shard_0001.fasta", "shard_0002.fasta", "shard_0003.fasta", "split.json"];
    assert_eq!(names(&scratch), three, "as many shards as records");
    for name in ["shard_0001.fasta.bak", "shard_12.fasta", "other.fasta", "shard_00007.fasta"] {
        scratch.write(&format!("shards/{name}"), "kept?");
    }
    split(&scratch, &["--shard-residues", "15"]).code(0);
    let left = [
        "other.fasta",
        "shard_0001.fasta",
        "shard_0001.fasta.bak",
        "shard_0002.fasta",
        "shard_12.fasta",
        "split.json",
    ];
    assert_eq!(names(&scratch), left);
    let residues: Vec<u64> = manifest(&scratch, "shards").shards.iter().map(|shard| shard.residues).collect();
    assert_eq!(residues, [13, 8]);
}

#[test]
fn a_bad_record_ends_the_split_or_is_left_out() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", format!("{TEXT}>bad x\nMK1V\n>a\nMMM\n>e\nMKV\n"));
    let ended = split(&scratch, &["--shards", "2"]).code(65);
    check("error_split_bad_records", &told(&ended));
    assert_eq!(names(&scratch), ["split.failures.tsv"]);
    let list = scratch.text("shards/split.failures.tsv");
    assert_eq!(list.lines().count(), 3);
    assert!(list.contains("in.fasta\t8\t4\tbad\t"), "{list}");
    split(&scratch, &["--shards", "2", "--on-error", "skip"]).code(0);
    assert_eq!(scratch.text("shards/split.failures.tsv"), list);
    assert_eq!(manifest(&scratch, "shards").records, 4);
    // Nothing of a failed run touches what is there.
    let before = scratch.read("shards/split.json");
    split(&scratch, &["--shards", "1"]).code(65);
    assert_eq!(scratch.read("shards/split.json"), before);
    assert_eq!(names(&scratch).len(), 4);
    // A list that is there is brought up to date.
    scratch.write("in.fasta", TEXT);
    split(&scratch, &["--shards", "2"]).code(0);
    assert_eq!(scratch.text("shards/split.failures.tsv").lines().count(), 1);
}

#[test]
fn long_records_fail_where_they_are_told_to() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", TEXT);
    let ended = split(&scratch, &["--shards", "2", "--max-residues", "7"]).code(65);
    assert!(
        ended.stderr.contains("in.fasta:6 c: has 8 residues, more than --max-residues 7"),
        "{}",
        ended.stderr
    );
}

#[test]
fn an_input_that_changes_while_it_is_read_is_an_error() {
    let scratch = Scratch::new();
    // The first reading ends with the FIFO below; the file before it changes only then.
    scratch.write("in.fasta", TEXT);
    assert!(std::process::Command::new("mkfifo").arg(scratch.path("pipe")).status().unwrap().success());
    let text: String = (0..30_000).map(|number| format!(">r{number}\n{}\n", "MKVLATG".repeat(40))).collect();
    scratch.write("in.fasta", &text);
    let mut child =
        scratch.run(&["split", "in.fasta", "--shards", "2", "--out-dir", "shards", "--quiet"]).start();
    // The folder is made between the readings.
    let start = std::time::Instant::now();
    while !scratch.path("shards").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        assert!(start.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    scratch.write("in.fasta", TEXT);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(65), "it was read before it changed, or not seen to change");
    assert_eq!(names(&scratch), [""; 0]);
}

#[test]
fn many_shards_need_few_descriptors() {
    let scratch = Scratch::new();
    let text: String = (0..300).map(|number| format!(">r{number}\nMKV\n")).collect();
    scratch.write("in.fasta", text);
    let script = "ulimit -n 40; \"$@\"";
    let words = ["split", "in.fasta", "--shards", "300", "--out-dir", "shards"];
    crate::tool::Run::shell(script, &words).within(scratch.folder()).go().code(0);
    assert_eq!(manifest(&scratch, "shards").shards.len(), 300);
}

/// Runs in a folder with a good `in.fasta`; compares what is said; nothing may be new.
#[track_caller]
fn case(name: &str, code: i32, words: &[&str]) {
    let scratch = Scratch::new();
    scratch.write("in.fasta", TEXT).write("empty.fasta", "");
    let before = scratch.names();
    let ended = scratch.run(words).go().code(code);
    check(&format!("error_split_{name}"), &told(&ended));
    assert_eq!(scratch.names(), before);
}

#[test]
fn flags_that_do_not_go_together() {
    case("no_size", 2, &["split", "in.fasta", "--out-dir", "d"]);
    case("two_sizes", 2, &["split", "in.fasta", "--out-dir", "d", "--shards", "2", "--shard-residues", "9"]);
    case("zero", 2, &["split", "in.fasta", "--out-dir", "d", "--shards", "0"]);
    case("no_folder", 2, &["split", "in.fasta", "--shards", "2"]);
    case("folder_is_a_file", 2, &["split", "in.fasta", "--shards", "2", "--out-dir", "in.fasta"]);
    case("missing_input", 66, &["split", "no.fasta", "--shards", "2", "--out-dir", "d"]);
    case(
        "summary_is_input",
        2,
        &["split", "in.fasta", "--shards", "2", "--out-dir", "d", "--summary", "in.fasta"],
    );
}

#[test]
fn nothing_to_split_is_an_error() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", "");
    let ended = split(&scratch, &["--shards", "2"]).code(65);
    check("error_split_empty", &told(&ended));
    assert_eq!(names(&scratch), [""; 0]);
}

#[test]
fn no_output_takes_the_place_of_an_input() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("shards")).unwrap();
    scratch.write("shards/shard_0007.fasta", TEXT);
    let words = ["split", "shards/shard_0007.fasta", "--shards", "2", "--out-dir", "shards"];
    let ended = scratch.run(&words).go().code(2);
    assert!(ended.stderr.contains("has the name of an output"), "{}", ended.stderr);
    assert_eq!(names(&scratch), ["shard_0007.fasta"]);
    scratch.write("in.fasta", TEXT);
    let ended = split(&scratch, &["--shards", "2", "--summary", "shards/shard_0002.fasta"]).code(2);
    assert!(ended.stderr.contains("has the name of a shard"), "{}", ended.stderr);
    let ended = split(&scratch, &["--shards", "2", "--summary", "shards/split.json"]).code(2);
    assert!(ended.stderr.contains("are the same file"), "{}", ended.stderr);
    assert!(Path::exists(&scratch.path("shards/shard_0007.fasta")));
}
