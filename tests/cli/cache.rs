//! `--cache`: a hit is a miss bit for bit, whatever becomes of the cache.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;

use crate::tool::{ECOLI, Ended, Run, Scratch, as_nobody, has, is_root, model, open_to_all, program};

/// Three proteins, one of them longer than the model was trained on.
fn proteins() -> String {
    let long: String =
        fs::read_to_string(ECOLI).unwrap().lines().filter(|line| !line.starts_with('>')).collect();
    format!(">a\nMKVLATGHHW\n>b\n{}\n>c\nACDEFGHIKL\n", &long[..1500])
}

/// What the summary `s.json` says of the cache.
fn told(scratch: &Scratch) -> Value {
    serde_json::from_str::<Value>(&scratch.text("s.json")).unwrap()["cache"].clone()
}

/// Hits and misses of the last run.
fn hits(scratch: &Scratch) -> (u64, u64) {
    let told = told(scratch);
    (told["hits"].as_u64().unwrap(), told["misses"].as_u64().unwrap())
}

const CACHE: [&str; 4] = ["--cache", "c.sqlite", "--summary", "s.json"];

/// Runs with the cache and more words; gives what was written to `out.npz`.
#[track_caller]
fn cached(scratch: &Scratch, more: &[&str]) -> Vec<u8> {
    scratch.embed(&[&CACHE, more].concat()).code(0);
    scratch.read("out.npz")
}

#[test]
fn a_hit_is_a_miss_bit_for_bit() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", proteins());
    for more in [
        &["--residues", "r.npz"][..],
        &["--pool", "max", "--layer", "-1,0"],
        &["--pool", "cls", "--out-dtype", "f16"],
        &["--layer", "1", "--residues", "r.npz", "--long", "truncate"],
        &["--long", "window", "--window", "700", "--residues", "r.npz", "--precision", "bf16"],
        &["--cpu-path", "portable", "--max-batch-tokens", "64"],
    ] {
        let _ = fs::remove_file(scratch.path("c.sqlite"));
        scratch.embed(more).code(0);
        let states = || more.contains(&"--residues").then(|| scratch.read("r.npz"));
        let plain = (scratch.read("out.npz"), states());
        for wanted in [(0, 3), (3, 0)] {
            assert!((cached(&scratch, more), states()) == plain, "{more:?}");
            assert_eq!(hits(&scratch), wanted, "{more:?}");
        }
        let computed =
            serde_json::from_str::<Value>(&scratch.text("s.json")).unwrap()["residues_computed"].clone();
        assert_eq!(computed, 0);
        assert_eq!(told(&scratch)["faults"], 0);
    }
}

#[test]
fn what_changes_a_number_is_found_apart() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", proteins());
    cached(&scratch, &[]);
    for (more, wanted) in [
        (&[][..], (3, 0)),
        // What changes the file and no number.
        (&["--out-dtype", "f16", "--max-batch-tokens", "100", "--id", "full"], (3, 0)),
        (&["--layer", "1"], (0, 3)),
        (&["--pool", "max"], (0, 3)),
        (&["--precision", "bf16"], (0, 3)),
        (&["--cpu-path", "portable"], (0, 3)),
        // Only the long one is another under another policy.
        (&["--long", "truncate"], (2, 1)),
        (&["--long", "window"], (2, 1)),
        (&["--long", "window", "--window", "900"], (2, 1)),
        (&["--long", "window", "--window", "900", "--stride", "300"], (2, 1)),
        (&["--long", "skip"], (2, 0)),
        // States are wanted too now, and one layer more.
        (&["--residues", "r.npz"], (0, 3)),
        (&["--layer", "-1,0"], (0, 3)),
        (&["--layer", "0"], (3, 0)),
    ] {
        scratch.embedding("in.fasta", "plain.npz", more).go().code(0);
        assert!(cached(&scratch, more) == scratch.read("plain.npz"), "{more:?}");
        assert_eq!(hits(&scratch), wanted, "{more:?}");
    }
    // Another name and another place of the same sequence change nothing; another letter does.
    scratch.write("in.fasta", ">z\nACDEFGHIKL\n>y\nMKVLATGHHW\n>x\nMKVLATGHHV\n");
    cached(&scratch, &[]);
    assert_eq!(hits(&scratch), (2, 1));
}

#[test]
fn without_a_cache_the_summary_says_so() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKV\n");
    scratch.embed(&["--summary", "s.json"]).code(0);
    assert_eq!(told(&scratch), Value::Null);
    scratch.embedding("in.fasta", "out.npz", &["--summary", "s.json"]).env("PLIANT_CACHE", "").go().code(0);
    assert_eq!(told(&scratch), Value::Null);
    scratch.embedding("in.fasta", "out.npz", &["--summary", "s.json"]).env("PLIANT_CACHE", "c").go().code(0);
    assert_eq!((told(&scratch)["path"].clone(), told(&scratch)["written"].clone()), ("c".into(), 1.into()));
}

#[test]
fn a_link_to_a_cache_is_the_cache() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKV\n");
    fs::create_dir(scratch.path("there")).unwrap();
    scratch.embed(&["--cache", "there/c.sqlite", "--residues", "r.npz"]).code(0);
    std::os::unix::fs::symlink("there/c.sqlite", scratch.path("c.sqlite")).unwrap();
    cached(&scratch, &["--residues", "r.npz"]);
    assert_eq!((hits(&scratch), told(&scratch)["faults"].clone()), ((1, 0), 0.into()));
    assert!(!scratch.path("c.sqlite.d").exists());
}

#[test]
fn eight_processes_share_a_file() {
    let scratch = Scratch::new();
    let text = fs::read_to_string(ECOLI).unwrap();
    let records: Vec<String> = text.split('>').skip(1).map(|record| format!(">{record}")).collect();
    assert_eq!(records.len(), 20);
    let parts: Vec<String> = (0..8).map(|part| records[part..part + 13].concat()).collect();
    for (part, text) in parts.iter().enumerate() {
        scratch.write(&format!("{part}.fasta"), text);
        scratch
            .embedding(&format!("{part}.fasta"), &format!("plain{part}.npz"), &["--residues", "r.npz"])
            .go()
            .code(0);
        fs::rename(scratch.path("r.npz"), scratch.path(&format!("plain_r{part}.npz"))).unwrap();
    }
    let start = |part: usize| {
        let (states, summary) = (format!("r{part}.npz"), format!("s{part}.json"));
        let more = ["--cache", "c.sqlite", "--residues", &states, "--summary", &summary, "--threads", "1"];
        scratch
            .run(
                &[
                    &[
                        "embed",
                        &format!("{part}.fasta"),
                        "--model",
                        model(),
                        "--out",
                        &format!("out{part}.npz"),
                    ],
                    &more[..],
                ]
                .concat(),
            )
            .start()
    };
    let running: Vec<_> = (0..8).map(start).collect();
    for (part, child) in running.into_iter().enumerate() {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{part}: {}", String::from_utf8_lossy(&ended.stderr));
        let said: Value = serde_json::from_str(&scratch.text(&format!("s{part}.json"))).unwrap();
        assert_eq!((&said["cache"]["faults"], &said["cache"]["dropped"]), (&0.into(), &0.into()), "{said}");
        for (found, wanted) in [("out", "plain"), ("r", "plain_r")] {
            let [found, wanted] = [found, wanted].map(|name| scratch.read(&format!("{name}{part}.npz")));
            assert!(found == wanted, "{part}");
        }
    }
    scratch.write("in.fasta", text);
    cached(&scratch, &["--residues", "r.npz"]);
    assert_eq!(hits(&scratch), (20, 0));
    scratch.run(&["cache", "verify", "--cache", "c.sqlite"]).go().code(0);
}

/// A run whose cache is of no use: it succeeds, warns once, and its result is right.
#[track_caller]
fn is_harmless(scratch: &Scratch, ended: Ended, words: &str) {
    let ended = ended.code(0);
    let warnings: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("warning")).collect();
    assert_eq!(warnings.len(), 1, "{}", ended.stderr);
    assert!(warnings[0].contains(words), "{}", ended.stderr);
    scratch.embedding("in.fasta", "plain.npz", &[]).go().code(0);
    assert!(scratch.read("out.npz") == scratch.read("plain.npz"), "the result is another");
}

#[test]
fn a_cache_that_is_none_is_left_alone() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKV\n>b\nACD\n").write("c.sqlite", "garbage ".repeat(1000));
    is_harmless(&scratch, scratch.embed(&CACHE), "c.sqlite is no Pliant cache (no SQLite database)");
    assert_eq!(scratch.text("c.sqlite"), "garbage ".repeat(1000));
    assert_eq!((hits(&scratch), told(&scratch)["dropped"].clone()), ((0, 2), 2.into()));
    fs::remove_file(scratch.path("c.sqlite")).unwrap();
    let other = Connection::open(scratch.path("c.sqlite")).unwrap();
    other.execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (1)").unwrap();
    drop(other);
    let before = scratch.read("c.sqlite");
    is_harmless(&scratch, scratch.embed(&CACHE), "a database of another program");
    assert!(scratch.read("c.sqlite") == before);
    fs::remove_file(scratch.path("c.sqlite")).unwrap();
    cached(&scratch, &[]);
    Connection::open(scratch.path("c.sqlite")).unwrap().pragma_update(None, "user_version", 9).unwrap();
    is_harmless(&scratch, scratch.embed(&CACHE), "has schema 9");
    fs::remove_file(scratch.path("c.sqlite")).unwrap();
    fs::create_dir(scratch.path("c.sqlite")).unwrap();
    is_harmless(&scratch, scratch.embed(&CACHE), "no regular file");
    is_harmless(&scratch, scratch.embed(&["--cache", "no/such/c.sqlite"]), "does not exist");
    is_harmless(&scratch, scratch.embed(&["--cache", "/proc/c.sqlite"]), "cannot create /proc/c.sqlite: ");
}

#[test]
fn damaged_entries_are_computed_again() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", proteins());
    cached(&scratch, &[]);
    let raw = Connection::open(scratch.path("c.sqlite")).unwrap();
    raw.execute_batch("UPDATE entry SET data = zeroblob(length(data)) WHERE rowid = 2").unwrap();
    drop(raw);
    let listed = scratch.run(&["cache", "verify", "--cache", "c.sqlite"]).go().code(65);
    assert_eq!(listed.json()["bad"].as_array().unwrap().len(), 1);
    assert!(listed.stderr.contains("1 bad entries"), "{}", listed.stderr);
    let plain = ["--long", "whole", "--summary", "s.json"];
    scratch.embedding("in.fasta", "plain.npz", &plain).go().code(0);
    let ended = scratch.embed(&CACHE).code(0);
    assert!(ended.stderr.contains("is damaged: its checksum"), "{}", ended.stderr);
    assert!(scratch.read("out.npz") == scratch.read("plain.npz"));
    assert_eq!((hits(&scratch), told(&scratch)["faults"].clone()), ((2, 1), 1.into()));
    cached(&scratch, &[]);
    assert_eq!(hits(&scratch), (3, 0), "it was written anew");
    scratch.run(&["cache", "verify", "--cache", "c.sqlite"]).go().code(0);
}

#[test]
fn a_lock_that_stays_costs_entries_and_no_result() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKV\n>b\nACD\n");
    cached(&scratch, &[]);
    scratch.write("in.fasta", ">a\nMKV\n>b\nACDE\n");
    let holder = Connection::open(scratch.path("c.sqlite")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    is_harmless(&scratch, scratch.embed(&CACHE), "was locked by another process");
    assert!(start.elapsed() < Duration::from_secs(60));
    assert_eq!((hits(&scratch), told(&scratch)["dropped"].clone()), ((1, 1), 1.into()));
}

#[test]
fn a_cache_that_may_not_be_written_is_read() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKV\n>b\nACD\n").write("pliant", "");
    open_to_all(scratch.folder());
    fs::create_dir(scratch.path("closed")).unwrap();
    scratch.embed(&["--cache", "closed/c.sqlite"]).code(0);
    scratch.embed(&[]).code(0);
    for (name, mode) in [("closed/c.sqlite", 0o444), ("closed", 0o555)] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(scratch.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(scratch.path("theirs")).unwrap();
    open_to_all(&scratch.path("theirs"));
    if is_root() {
        std::os::unix::fs::chown(scratch.path("theirs"), Some(65534), Some(65534)).unwrap();
    }
    let before = scratch.read("closed/c.sqlite");
    let words = [
        "embed",
        "in.fasta",
        "--model",
        model(),
        "--out",
        "theirs/out.npz",
        "--cache",
        "closed/c.sqlite",
        "--summary",
        "theirs/s.json",
    ];
    let Some(ended) = as_nobody(&scratch, &words) else { return };
    assert!(ended.stderr.contains("may not be written: what it holds is used"), "{}", ended.stderr);
    let ended = ended.code(0);
    assert_eq!(ended.stderr.matches("warning").count(), 1);
    let said: Value = serde_json::from_str(&scratch.text("theirs/s.json")).unwrap();
    assert_eq!((&said["cache"]["hits"], &said["cache"]["misses"]), (&2.into(), &0.into()));
    assert!(
        scratch.read("theirs/out.npz") == scratch.read("out.npz")
            && scratch.read("closed/c.sqlite") == before
    );
    assert_eq!(fs::read_dir(scratch.path("closed")).unwrap().count(), 1);
}

#[test]
fn a_full_disk_costs_entries_and_no_result() {
    if !is_root() || !has("unshare") {
        println!("SKIPPED: only root can mount a small file system");
        return;
    }
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("small")).unwrap();
    for size in ["4k", "64k", "160k", "400k"] {
        // The file system is seen by this shell alone and goes with it.
        let script = format!("mount -t tmpfs -o size={size} none small || exit 99; \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]).arg(program()).current_dir(scratch.folder());
        command.args(["embed", ECOLI, "--model", model(), "--out", "out.npz", "--residues", "r.npz"]);
        command.args(["--cache", "small/c.sqlite", "--summary", "s.json"]);
        let ended = Run::of(command).go();
        if ended.code == Some(99) {
            println!("SKIPPED: mounting is not allowed here: {}", ended.stderr);
            return;
        }
        let ended = ended.code(0);
        assert!(ended.stderr.contains("warning"), "{size}: {}", ended.stderr);
        assert!(told(&scratch)["dropped"].as_u64().unwrap() > 0, "{size}: {}", told(&scratch));
        scratch.embedding(ECOLI, "plain.npz", &["--residues", "plain_r.npz"]).go().code(0);
        assert!(scratch.read("out.npz") == scratch.read("plain.npz"), "{size}");
        assert!(scratch.read("r.npz") == scratch.read("plain_r.npz"), "{size}");
    }
}

#[test]
fn a_run_that_is_killed_leaves_a_good_cache() {
    let scratch = Scratch::new();
    let text = fs::read_to_string(ECOLI).unwrap();
    // The same proteins with one letter more each time: nothing is found before it was kept.
    let letters = "ACDEFGHIKLMNPQRSTVWY";
    let many: String =
        letters.chars().map(|letter| text.replace('>', &format!("{letter}\n>{letter}_"))).collect();
    scratch.write("in.fasta", format!(">first\nMK\n{}", &many[2..]));
    let more = ["--residues", "r.npz", "--max-batch-tokens", "512", "--layer", "1,2"];
    scratch.embed(&more).code(0);
    let plain = (scratch.read("out.npz"), scratch.read("r.npz"));
    let start = Instant::now();
    scratch.embed(&[&CACHE[..], &more].concat()).code(0);
    let whole = start.elapsed();
    fs::remove_file(scratch.path("c.sqlite")).unwrap();
    for moment in [0.13, 0.29, 0.47, 0.66, 0.88] {
        let mut child = scratch.embedding("in.fasta", "out.npz", &[&CACHE[..], &more].concat()).start();
        std::thread::sleep(whole.mul_f64(moment));
        child.kill().unwrap();
        child.wait().unwrap();
        if scratch.path("c.sqlite").exists() {
            scratch.run(&["cache", "verify", "--cache", "c.sqlite"]).go().code(0);
        }
        let _ = fs::remove_file(scratch.path("c.sqlite-shm"));
    }
    cached(&scratch, &more);
    assert!((scratch.read("out.npz"), scratch.read("r.npz")) == plain);
    assert_eq!(told(&scratch)["faults"], 0);
    println!("after five killings: {:?} hits and misses", hits(&scratch));
    cached(&scratch, &more);
    assert!((scratch.read("out.npz"), scratch.read("r.npz")) == plain);
    assert_eq!(hits(&scratch).1, 0);
}

/// The files below a folder, by their paths in it.
fn below(folder: &Path) -> Vec<String> {
    let mut open = vec![folder.to_path_buf()];
    let mut found = Vec::new();
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn tasks_of_many_machines_leave_shards_to_be_merged() {
    let scratch = Scratch::new();
    let shared = ["--cache-mode", "shared", "--residues", "r.npz"];
    scratch.write("in.fasta", ">a\nMKV\n>b\nACD\n");
    let ended = scratch.embed(&[&CACHE[..], &shared].concat()).code(0);
    assert!(ended.stderr.contains("4 new results are in c.sqlite.d/shards/"), "{}", ended.stderr);
    assert!(told(&scratch)["shard"].as_str().unwrap().starts_with("c.sqlite.d/shards/"));
    scratch.write("in.fasta", ">b\nACD\n>c\nMKVW\n");
    cached(&scratch, &shared);
    assert_eq!(hits(&scratch), (0, 2), "shards are not read");
    assert!(!scratch.path("c.sqlite").exists());
    let merge = ["cache", "merge", "--cache", "c.sqlite", "--cache-mode", "shared"];
    let said = scratch.run(&merge).go().code(0).json();
    assert_eq!((&said["added"], &said["known"]), (&6.into(), &2.into()), "{said}");
    assert!(below(&scratch.path("c.sqlite.d")).iter().all(|name| !name.starts_with("shards/")));
    scratch.write("in.fasta", ">x\nMKV\n>y\nACD\n>z\nMKVW\n");
    let before = scratch.read("c.sqlite");
    scratch.embedding("in.fasta", "plain.npz", &["--residues", "plain_r.npz"]).go().code(0);
    assert!(cached(&scratch, &shared) == scratch.read("plain.npz"));
    assert!(scratch.read("r.npz") == scratch.read("plain_r.npz"));
    assert_eq!((hits(&scratch), told(&scratch)["shard"].clone()), ((3, 0), Value::Null));
    assert!(scratch.read("c.sqlite") == before, "the base is only read");
    // The same cache on one machine.
    cached(&scratch, &["--cache-mode", "local", "--residues", "r.npz"]);
    assert_eq!(hits(&scratch), (3, 0));
}

#[test]
fn names_that_are_no_unicode_are_names() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKV\n");
    let (out, cache) = (OsStr::from_bytes(b"o\xff.npz"), OsStr::from_bytes(b"c\xff.sqlite"));
    let words = |words: &[&str]| words.iter().map(|word| OsStr::new(word).to_owned()).collect::<Vec<_>>();
    let go = |mut words: Vec<std::ffi::OsString>| {
        words.extend([OsStr::new("--cache").to_owned(), cache.to_owned()]);
        Run::new(&words).within(scratch.folder()).go().code(0)
    };
    for mode in ["shared", "local"] {
        let mut embed = words(&["embed", "in.fasta", "--model", model(), "--summary", "s.json", "--out"]);
        embed.extend([out.to_owned(), "--cache-mode".into(), mode.into()]);
        go(embed);
        let said: Value = serde_json::from_str(&scratch.text("s.json")).unwrap();
        assert_eq!(
            (&said["outputs"][0], &said["cache"]["path"]),
            (&"o\u{fffd}.npz".into(), &"c\u{fffd}.sqlite".into())
        );
        for action in ["merge", "stats", "verify", "gc"] {
            assert_eq!(go(words(&["cache", action])).json()["path"], "c\u{fffd}.sqlite");
        }
    }
    let mut doctor = Command::new(program());
    doctor.args(["doctor", "--json"]).env("PLIANT_CACHE", cache);
    assert!(doctor.output().unwrap().status.success());
}
