//! `pliant cache …`: counting, checking, merging, shrinking.

use std::fs;

use crate::tool::Scratch;

/// A scratch folder with a cache of three proteins, their states among them.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKVLATGHHW\n>b\nMKV\n>c\nACDEFGHIKL\n");
    scratch.embed(&["--cache", "c.sqlite", "--residues", "r.npz"]).code(0);
    scratch
}

#[test]
fn a_cache_is_counted() {
    let scratch = scratch();
    let said = scratch.run(&["cache", "stats"]).env("PLIANT_CACHE", "c.sqlite").go().code(0).json();
    assert_eq!(said["entries"], serde_json::json!({ "pooled": 3, "residues": 3, "damaged": 0 }));
    assert_eq!((&said["files"], &said["file_bytes"]), (&3.into(), &(23 * 32 * 4).into()));
    assert!(said["database_bytes"].as_u64().unwrap() > 3 * 32 * 4, "{said}");
    assert_eq!((&said["schema"], &said["shards"]), (&1.into(), &0.into()));
    assert!(said["last_used"].as_u64().unwrap() > 1_700_000_000);
    scratch.run(&["cache", "verify", "--cache", "c.sqlite"]).go().code(0);
    assert_eq!(scratch.names(), ["c.sqlite", "c.sqlite.d", "in.fasta", "out.npz", "r.npz"], "no log is left");
}

#[test]
fn what_is_no_cache_is_an_error_here() {
    let scratch = Scratch::new();
    scratch.write("garbage", "garbage");
    for command in ["stats", "verify", "gc"] {
        scratch.run(&["cache", command, "--cache", "none"]).go().code(66);
        let ended = scratch.run(&["cache", command, "--cache", "garbage"]).go().code(65);
        assert!(ended.stderr.contains("garbage is no Pliant cache"), "{}", ended.stderr);
        scratch.run(&["cache", command]).go().code(2);
        scratch.run(&["cache", command, "--cache", ""]).go().code(2);
    }
    scratch.run(&["cache", "merge", "garbage", "--cache", "new"]).go().code(65);
    scratch.run(&["cache", "merge", "missing", "--cache", "new"]).go().code(66);
    scratch.run(&["cache", "merge", "--cache", "no/such/cache"]).go().code(74);
    assert_eq!(scratch.text("garbage"), "garbage");
}

#[test]
fn what_is_damaged_is_listed_and_repaired() {
    let scratch = scratch();
    let verify =
        |more: &[&str]| scratch.run(&[&["cache", "verify", "--cache", "c.sqlite"], more].concat()).go();
    assert_eq!(verify(&[]).code(0).json()["entries"], 6);
    let raw = rusqlite::Connection::open(scratch.path("c.sqlite")).unwrap();
    raw.execute_batch("UPDATE entry SET rows = rows + 1 WHERE rowid IN (1, 5)").unwrap();
    drop(raw);
    let before = scratch.read("c.sqlite");
    let listed = verify(&[]).code(65);
    let rows: Vec<i64> =
        listed.json()["bad"].as_array().unwrap().iter().map(|bad| bad["row"].as_i64().unwrap()).collect();
    assert_eq!(rows, [1, 5]);
    assert!(
        listed.stderr.contains("'pliant cache verify --repair' removes what is damaged"),
        "{}",
        listed.stderr
    );
    assert!(scratch.read("c.sqlite") == before, "checking changes nothing");
    let repaired = verify(&["--repair"]).code(0).json();
    assert_eq!((&repaired["repaired"], &repaired["moved_to"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(verify(&[]).code(0).json()["entries"], 4);
}

#[test]
fn caches_are_merged() {
    let scratch = scratch();
    scratch.write("in.fasta", ">a\nMKVLATGHHW\n>d\nWWWW\n");
    scratch.embed(&["--cache", "other.sqlite", "--residues", "r.npz"]).code(0);
    let merge = ["cache", "merge", "c.sqlite", "other.sqlite", "--cache", "all.sqlite"];
    let said = scratch.run(&merge).go().code(0).json();
    assert_eq!((&said["added"], &said["known"]), (&8.into(), &2.into()), "{said}");
    for part in ["c.sqlite", "other.sqlite"] {
        fs::remove_file(scratch.path(part)).unwrap();
        fs::remove_dir_all(scratch.path(&format!("{part}.d"))).unwrap();
    }
    let more = ["--cache", "all.sqlite", "--residues", "r.npz", "--summary", "s.json"];
    scratch.embed(&more).code(0);
    assert!(scratch.text("s.json").contains("\"hits\": 2,"), "{}", scratch.text("s.json"));
}

#[test]
fn a_cache_is_shrunk() {
    let scratch = scratch();
    let gc = |more: &[&str]| {
        scratch.run(&[&["cache", "gc", "--cache", "c.sqlite"], more].concat()).go().code(0).json()
    };
    assert_eq!(gc(&["--max-size", "0", "--dry-run"])["removed"], 6);
    assert_eq!(gc(&["--max-age", "1", "--max-size", "1G"])["left"], 6);
    let said = gc(&["--max-size", "2K"]);
    assert!(said["left"].as_u64().unwrap() < 6 && said["left_bytes"].as_u64().unwrap() <= 2048, "{said}");
    assert_eq!(gc(&["--max-size", "0"])["left"], 0);
    scratch.run(&["cache", "verify", "--cache", "c.sqlite"]).go().code(0);
    scratch.run(&["cache", "gc", "--cache", "c.sqlite", "--max-size", "much"]).go().code(2);
}

#[test]
fn a_cache_is_no_output() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKV\n");
    for cache in ["out.npz", "./out.npz", "s.json", "out.npz.failures.tsv"] {
        let ended = scratch.embed(&["--summary", "s.json", "--cache", cache]).code(2);
        assert!(ended.stderr.contains("are the same file"), "{}", ended.stderr);
    }
}
