//! `pliant gather`: the bytes of one run, or an error that names what does not fit.

use std::fs;

use pliant_store::Format;

use crate::snapshot::{check, told};
use crate::tool::{ECOLI, Ended, Run, Scratch, model};

const SHARDS: usize = 3;

/// The parts in an order that is not that of the shards, with names that tell nothing.
const ORDER: [(usize, &str); SHARDS] = [(3, "a"), (1, "b"), (2, "c")];

/// A folder with `in.fasta`, split.
fn split(text: impl AsRef<[u8]>, more: &[&str]) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("in.fasta", text);
    let shards = SHARDS.to_string();
    let mut words = vec!["split", "in.fasta", "--shards", &shards, "--out-dir", "shards", "--quiet"];
    words.extend(more);
    scratch.run(&words).go().code(0);
    scratch
}

fn ecoli() -> Scratch {
    split(fs::read(ECOLI).unwrap(), &[])
}

/// A small input, split and embedded as text into `a.tsv`, `b.tsv` and `c.tsv`.
fn small() -> Scratch {
    let scratch = split(">p1\nMKVLATG\n>p2\nACDEFW\n>p3\nMKVL\n>p4\nWWYV\n", &[]);
    embed_parts(&scratch, "tsv", &[]);
    scratch
}

/// Embeds each shard to a part with that suffix.
fn embed_parts(scratch: &Scratch, suffix: &str, more: &[&str]) {
    for (shard, name) in ORDER {
        let residues = format!("{name}_states.{suffix}");
        let mut words: Vec<&str> = more.to_vec();
        if let Some(place) = words.iter().position(|word| *word == "STATES") {
            words[place] = &residues;
        }
        let input = format!("shards/shard_{shard:04}.fasta");
        scratch.embedding(&input, &format!("{name}.{suffix}"), &words).go().code(0);
    }
}

fn gathering(scratch: &Scratch, parts: &[&str], out: &str, more: &[&str]) -> Run {
    let mut words = vec!["gather", "--split", "shards/split.json", "--out", out];
    words.extend(parts);
    words.extend(more);
    scratch.run(&words)
}

/// Gathers `<part><tail>` and compares with the file of one run.
#[track_caller]
fn same_as_one_run(scratch: &Scratch, tail: &str, wanted: &str) {
    let parts = ORDER.map(|(_, name)| format!("{name}{tail}"));
    let out = format!("whole{tail}");
    let ended = gathering(scratch, &parts.each_ref().map(|part| part.as_str()), &out, &[]).go().code(0);
    assert_eq!((ended.text(), ended.stderr), (String::new(), String::new()), "{tail}");
    assert!(scratch.read(&out) == scratch.read(wanted), "{out} is not {wanted}");
    assert!(!scratch.path(&format!("{out}.failures.tsv")).exists(), "nothing failed");
}

#[test]
fn parts_in_any_order_give_the_bytes_of_one_run() {
    let scratch = ecoli();
    for format in Format::ALL {
        let suffix = format.name();
        for (dtype, layers) in [("f32", "-1"), ("f16", "2,0")] {
            let mut more = vec!["--out-dtype", dtype, "--layer", layers, "--quiet"];
            if format.holds_residues() {
                more.extend(["--residues", "STATES"]);
            }
            embed_parts(&scratch, suffix, &more);
            let states = format!("one_states.{suffix}");
            let more: Vec<&str> =
                more.iter().map(|word| if *word == "STATES" { states.as_str() } else { *word }).collect();
            scratch.embedding("in.fasta", &format!("one.{suffix}"), &more).go().code(0);
            let tails: &[&str] = match (format.holds_layers(), layers) {
                (false, "2,0") => &[".layer2", ".layer0"],
                _ => &[""],
            };
            let kinds: &[&str] = if format.holds_residues() { &["", "_states"] } else { &[""] };
            for (kind, tail) in kinds.iter().flat_map(|kind| tails.iter().map(move |tail| (kind, tail))) {
                let tail = format!("{kind}{tail}.{suffix}");
                same_as_one_run(&scratch, &tail, &format!("one{tail}"));
            }
        }
    }
}

#[test]
fn tables_of_scores_are_joined_as_text() {
    let scratch = ecoli();
    let score = |input: &str, out: &str| {
        let words =
            ["perplexity", input, "--model", model(), "--method", "one-pass", "--out", out, "--quiet"];
        scratch.run(&words).go().code(0);
    };
    for (shard, name) in ORDER {
        score(&format!("shards/shard_{shard:04}.fasta"), &format!("{name}.tsv"));
    }
    score("in.fasta", "one.tsv");
    same_as_one_run(&scratch, ".tsv", "one.tsv");
    let parts = ORDER.map(|(_, name)| format!("{name}.tsv"));
    let ended =
        gathering(&scratch, &parts.each_ref().map(|part| part.as_str()), "whole.npz", &[]).go().code(2);
    check("error_gather_scores", &told(&ended));
}

#[test]
fn parts_of_other_formats_give_the_same_bytes_too() {
    let scratch = ecoli();
    embed_parts(&scratch, "tsv", &[]);
    embed_parts(&scratch, "npz", &[]);
    let parts = ["a.tsv", "b.npz", "c.tsv"];
    for out in ["whole.npz", "whole.tsv", "whole.h5", "whole.safetensors"] {
        scratch.embedding("in.fasta", "one", &["--format", &out[6..]]).go().code(0);
        gathering(&scratch, &parts, out, &[]).go().code(0);
        assert!(scratch.read(out) == scratch.read("one"), "{out}");
    }
    let ended = gathering(&scratch, &parts, "whole.parquet", &[]).go().code(2);
    check("error_gather_no_lengths", &told(&ended));
    embed_parts(&scratch, "parquet", &[]);
    scratch.embedding("in.fasta", "one.h5", &["--h5-layout", "bio_embeddings"]).go().code(0);
    let columns = ["a.parquet", "b.parquet", "c.parquet"];
    gathering(&scratch, &columns, "whole.h5", &["--h5-layout", "bio_embeddings"]).go().code(0);
    assert!(scratch.read("whole.h5") == scratch.read("one.h5"));
    let piped = gathering(&scratch, &parts, "-", &[]).go().code(0);
    assert!(piped.stdout == scratch.read("whole.tsv"));
    let piped = gathering(&scratch, &parts, "-", &["--format", "npz"]).go().code(0);
    assert!(piped.stdout == scratch.read("whole.npz"));
}

#[test]
fn ids_of_every_style_are_gathered() {
    let text = ">sp|P1|A x  y\nMKV\n>tr|P2|B z\nMKVA\n>P3 \u{a0}w\nMKVLA\n>sp||P4 v\nMK\n";
    for style in ["uniprot", "full"] {
        let scratch = split(text, &["--id", style]);
        embed_parts(&scratch, "npz", &["--id", style]);
        scratch.embed(&["--id", style]).code(0);
        same_as_one_run(&scratch, ".npz", "out.npz");
    }
    // Shards of full ids, embedded with their first words, are other records.
    let scratch = split(text, &["--id", "full"]);
    embed_parts(&scratch, "npz", &[]);
    let ended = gathering(&scratch, &["a.npz", "b.npz", "c.npz"], "whole.npz", &[]).go().code(65);
    assert!(
        ended.stderr.contains("a.npz was not computed from a shard of shards/split.json"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("with --id full"), "{}", ended.stderr);
}

#[test]
fn a_changed_record_changes_its_shard_alone() {
    let scratch = ecoli();
    let shards = || [1, 2, 3].map(|shard| scratch.read(&format!("shards/shard_{shard:04}.fasta")));
    let before = shards();
    let text = fs::read_to_string(ECOLI).unwrap();
    let place = text.rfind('\n').unwrap() - 2;
    let letter = if text.as_bytes()[place] == b'A' { "C" } else { "A" };
    scratch.write("in.fasta", format!("{}{letter}{}", &text[..place], &text[place + 1..]));
    scratch.run(&["split", "in.fasta", "--shards", "3", "--out-dir", "shards"]).go().code(0);
    let after = shards();
    assert!(before[0] == after[0] && before[1] == after[1] && before[2] != after[2]);
}

/// Seven records: a bad one, two too long for the training of the tiny model, of which one is a shard of its own.
fn with_long_records() -> Scratch {
    let long = "MKVLATGAWY".repeat(103);
    let text = format!(">p1\nMKV\n>bad\nM1\n>p2\n{long}\n>p3\n{long}A\n>p4\nMKVL\n>p5\nMK\n");
    let scratch = split(text, &["--on-error", "skip"]);
    let shards = scratch.text("shards/split.json");
    let records = |count: usize| shards.matches(&format!("\"records\": {count},")).count();
    assert_eq!((records(1), records(2)), (1, 2), "{shards}");
    scratch
}

#[test]
fn records_that_a_policy_leaves_out_are_listed_for_the_whole() {
    let scratch = with_long_records();
    for policy in [&["--long", "skip", "--quiet"][..], &["--long", "error", "--on-error", "skip", "--quiet"]]
    {
        for format in Format::ALL {
            let (suffix, mut more) = (format.name(), policy.to_vec());
            if format.holds_residues() {
                more.extend(["--residues", "STATES"]);
            }
            embed_parts(&scratch, suffix, &more);
            let states = format!("one_states.{suffix}");
            let more: Vec<&str> =
                more.iter().map(|word| if *word == "STATES" { states.as_str() } else { *word }).collect();
            let more = [&more[..], &["--on-error", "skip"]].concat();
            let more = if policy.len() > 3 { &more[..more.len() - 2] } else { &more[..] };
            scratch.embedding("in.fasta", &format!("one.{suffix}"), more).go().code(0);
            for kind in if format.holds_residues() { &["", "_states"][..] } else { &[""] } {
                let tail = format!("{kind}.{suffix}");
                let parts = ORDER.map(|(_, name)| format!("{name}{tail}"));
                let out = format!("whole{tail}");
                let parts = parts.each_ref().map(|part| part.as_str());
                gathering(&scratch, &parts, &out, &["--quiet"]).go().code(0);
                assert!(scratch.read(&out) == scratch.read(&format!("one{tail}")), "{out} {policy:?}");
            }
        }
    }
}

#[test]
fn lists_of_failed_records_are_joined() {
    let scratch = with_long_records();
    embed_parts(&scratch, "tsv", &["--long", "skip", "--quiet"]);
    let parts = ["a.tsv", "b.tsv", "c.tsv"];
    let ended = gathering(&scratch, &parts, "whole.tsv", &[]).go().code(0);
    assert_eq!(ended.stderr, "warning: 3 records are left out because of errors\n");
    check("gather_failures", &scratch.text("whole.tsv.failures.tsv"));
    // Lists that do not explain what is missing, or are none.
    for (text, wanted) in [
        ("file\tline\trecord\tid\treason\n", "b.tsv.failures.tsv lists 0 failed records"),
        ("nonsense", "b.tsv.failures.tsv"),
    ] {
        scratch.write("b.tsv.failures.tsv", text);
        let ended = gathering(&scratch, &parts, "whole.tsv", &[]).go().code(65);
        assert!(ended.stderr.contains(wanted), "{}", ended.stderr);
    }
    // Without a list the policy explains it; and an older list of the whole is brought up to date.
    for name in ["a.tsv", "b.tsv", "c.tsv", "shards/split"] {
        let _ = fs::remove_file(scratch.path(&format!("{name}.failures.tsv")));
    }
    gathering(&scratch, &parts, "whole.tsv", &[]).go().code(0);
    assert_eq!(scratch.text("whole.tsv.failures.tsv").lines().count(), 1);
}

#[test]
fn the_list_of_a_layer_is_that_of_its_run() {
    let scratch = with_long_records();
    embed_parts(&scratch, "tsv", &["--long", "skip", "--layer", "1,2", "--quiet"]);
    let parts = ["a.layer2.tsv", "b.layer2.tsv", "c.layer2.tsv"];
    let ended = gathering(&scratch, &parts, "whole.layer2.tsv", &[]).go().code(0);
    assert_eq!(ended.stderr, "warning: 3 records are left out because of errors\n");
    assert_eq!(scratch.text("whole.layer2.tsv.failures.tsv").lines().count(), 4);
    let ended = gathering(&scratch, &["a.layer1.tsv", "b.layer2.tsv", "c.layer2.tsv"], "whole.tsv", &[]).go();
    assert!(ended.code(65).stderr.contains("gathered layer by layer"));
}

/// Runs in a folder of small parts; compares what is said; nothing may be new.
#[track_caller]
fn case(scratch: &Scratch, name: &str, code: i32, parts: &[&str], more: &[&str]) -> Ended {
    let before = scratch.names();
    let ended = gathering(scratch, parts, "whole.tsv", more).go().code(code);
    check(&format!("error_gather_{name}"), &told(&ended));
    assert_eq!(scratch.names(), before, "{name}");
    ended
}

#[test]
fn parts_that_are_no_whole_are_refused() {
    let scratch = small();
    case(&scratch, "missing_part", 65, &["a.tsv", "c.tsv"], &[]);
    case(&scratch, "doubled_part", 65, &["a.tsv", "b.tsv", "c.tsv", "b.tsv"], &[]);
    case(&scratch, "no_parts", 2, &[], &[]);
    case(&scratch, "no_such_part", 66, &["a.tsv", "b.tsv", "no.tsv"], &[]);
    scratch.write("other.fasta", ">x\nMKV\n");
    scratch.embedding("other.fasta", "other.tsv", &[]).go().code(0);
    case(&scratch, "foreign_part", 65, &["a.tsv", "b.tsv", "c.tsv", "other.tsv"], &[]);
    scratch.embedding("in.fasta", "all.tsv", &[]).go().code(0);
    case(&scratch, "whole_as_part", 65, &["all.tsv"], &[]);
    let named = scratch.text("a.tsv");
    let nameless: String = named.lines().skip(1).map(|line| format!("{line}\n")).collect();
    scratch.write("nameless.tsv", nameless).write("empty.tsv", "").write("noise.npz", [7; 100]);
    case(&scratch, "nameless_part", 65, &["nameless.tsv", "b.tsv", "c.tsv"], &[]);
    case(&scratch, "empty_part", 65, &["a.tsv", "empty.tsv", "c.tsv"], &[]);
    gathering(&scratch, &["a.tsv", "b.tsv", "noise.npz"], "whole.tsv", &[]).go().code(65);
    // A doubled last record and a lost one.
    let last = named.lines().last().unwrap();
    scratch.write("more.tsv", format!("{named}{last}\n"));
    case(&scratch, "too_many_records", 65, &["more.tsv", "b.tsv", "c.tsv"], &[]);
    scratch.write("fewer.tsv", &named[..named.len() - last.len() - 1]);
    case(&scratch, "too_few_records", 65, &["fewer.tsv", "b.tsv", "c.tsv"], &[]);
}

#[test]
fn parts_of_different_settings_are_refused() {
    let scratch = small();
    let again = |out: &str, more: &[&str]| {
        scratch.embedding("shards/shard_0003.fasta", out, more).go().code(0);
    };
    again("pool.tsv", &["--pool", "cls"]);
    case(&scratch, "other_pool", 65, &["pool.tsv", "b.tsv", "c.tsv"], &[]);
    again("layer.tsv", &["--layer", "1"]);
    case(&scratch, "other_layer", 65, &["layer.tsv", "b.tsv", "c.tsv"], &[]);
    again("half.tsv", &["--out-dtype", "f16"]);
    gathering(&scratch, &["half.tsv", "b.tsv", "c.tsv"], "whole.tsv", &[]).go().code(65);
    again("pooled.npz", &["--residues", "states.npz"]);
    let ended = gathering(&scratch, &["states.npz", "b.tsv", "c.tsv"], "whole.tsv", &[]).go().code(65);
    assert!(ended.stderr.contains("output is \"pooled\" in the first and \"residues\""), "{}", ended.stderr);
    // A node with another processor, whatever this machine has.
    let text = scratch.text("a.tsv");
    let ours = text.split("\"numerics\":\"").nth(1).unwrap().split('"').next().unwrap();
    scratch.write("node.tsv", text.replace(ours, "other-9"));
    let ended = gathering(&scratch, &["node.tsv", "b.tsv", "c.tsv"], "whole.tsv", &[]).go().code(65);
    let wanted = format!(
        "b.tsv and node.tsv cannot be one result: numerics is \"{ours}\" in the first and \"other-9\""
    );
    assert!(ended.stderr.contains(&wanted) && ended.stderr.contains("--cpu-path"), "{}", ended.stderr);
}

#[test]
fn outputs_that_cannot_be_are_refused() {
    let scratch = small();
    let parts = ["a.tsv", "b.tsv", "c.tsv"];
    let before = scratch.read("a.tsv");
    let ended = gathering(&scratch, &parts, "a.tsv", &[]).go().code(2);
    assert!(ended.stderr.contains("the output a.tsv is the input a.tsv"), "{}", ended.stderr);
    gathering(&scratch, &parts, "shards/split.json", &["--format", "tsv"]).go().code(2);
    gathering(&scratch, &parts, "whole.csv", &[]).go().code(2);
    gathering(&scratch, &parts, "no/whole.tsv", &[]).go().code(74);
    assert_eq!(scratch.read("a.tsv"), before);
    embed_parts(&scratch, "npz", &["--residues", "STATES"]);
    let states = ["a_states.npz", "b_states.npz", "c_states.npz"];
    let ended = gathering(&scratch, &states, "whole.tsv", &[]).go().code(2);
    assert!(ended.stderr.contains("per-residue"), "{}", ended.stderr);
}

#[test]
fn a_split_file_is_hostile_until_checked() {
    let scratch = small();
    let good = scratch.text("shards/split.json");
    let parts = ["a.tsv", "b.tsv", "c.tsv"];
    for (name, text) in [
        ("split_cut", good[..good.len() / 2].to_owned()),
        ("split_path", good.replace("\"shard_0002.fasta\"", "\"../shard_0002.fasta\"")),
        ("split_format", good.replace("pliant-split-1", "pliant-split-2")),
        ("split_unknown_key", good.replace("\"id\":", "\"extra\": 1, \"id\":")),
    ] {
        scratch.write("shards/split.json", text);
        case(&scratch, name, 65, &parts, &[]);
    }
    fs::remove_file(scratch.path("shards/split.json")).unwrap();
    gathering(&scratch, &parts, "whole.tsv", &[]).go().code(66);
}
