//! What results hold, and what they say of themselves.

use std::fs;

use serde_json::{Value, json};

use crate::tool::{ECOLI, Scratch, model};

const TEXT: &str = ">a\nMKVLATG\n>b\nACDEFW\n";

fn metadata(scratch: &Scratch, name: &str) -> Value {
    serde_json::from_str(&scratch.npz(name).metadata.unwrap().to_json()).unwrap()
}

fn close(found: f32, wanted: f64) -> bool {
    (f64::from(found) - wanted).abs() < 1e-5
}

#[test]
fn pooled_vectors_are_those_of_the_states() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", TEXT);
    let run = |pool: &str| {
        scratch.embed(&["--pool", pool, "--residues", "r.npz"]).code(0);
        (scratch.npz("out.npz").embeddings[0].values.clone(), scratch.npz("r.npz"))
    };
    let (mean, states) = run("mean");
    let (max, _) = run("max");
    let (cls, _) = run("cls");
    assert_eq!(states.ids, ["a", "b"]);
    let offsets = states.offsets.unwrap();
    assert_eq!(offsets, [0, 7, 13]);
    let (width, values) = (states.embeddings[0].width, &states.embeddings[0].values);
    assert_eq!((width, values.len(), mean.len()), (32, 13 * 32, 2 * 32));
    for (record, rows) in offsets.windows(2).enumerate() {
        for column in 0..width {
            let column_values = || (rows[0]..rows[1]).map(|row| values[row * width + column]);
            let place = record * width + column;
            let wanted = column_values().map(f64::from).sum::<f64>() / (rows[1] - rows[0]) as f64;
            assert!(close(mean[place], wanted), "mean of record {record}, column {column}");
            assert_eq!(max[place], column_values().fold(f32::NEG_INFINITY, f32::max));
        }
    }
    // The token before the residues is none of them.
    assert!(values.chunks(width).all(|row| row != &cls[..width]));
    assert_ne!(cls[..width], mean[..width]);
}

#[test]
fn layers_are_those_asked_for_in_that_order() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", TEXT);
    scratch.embed(&["--layer", "-1", "--layer", "0", "--residues", "r.npz"]).code(0);
    let (pooled, states) = (scratch.npz("out.npz"), scratch.npz("r.npz"));
    let layers = |contents: &pliant_store::NpzContents| -> Vec<Option<usize>> {
        contents.embeddings.iter().map(|embedding| embedding.layer).collect()
    };
    assert_eq!(layers(&pooled), [Some(2), Some(0)]);
    assert_eq!(layers(&states), [Some(2), Some(0)]);
    assert_eq!(metadata(&scratch, "out.npz")["layers"], json!([2, 0]));
    for (layer, place) in [("-1", 0), ("2", 0), ("-3", 1), ("0", 1), ("-1,-2", 0)] {
        scratch.embedding("in.fasta", "one.npz", &["--layer", layer]).go().code(0);
        assert_eq!(scratch.npz("one.npz").embeddings[0].values, pooled.embeddings[place].values, "{layer}");
    }
}

#[test]
fn a_result_says_what_made_it_and_nothing_else() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", TEXT);
    scratch.embed(&["--residues", "r.npz", "--summary", "s.json"]).code(0);
    let said = metadata(&scratch, "out.npz");
    let summary: Value = serde_json::from_str(&scratch.text("s.json")).unwrap();
    let wanted = json!({
        "adapter": null, "compatibility": [], "dtype": "f32", "input": summary["input"]["hash"], "layers": [2],
        "long": "whole", "model": summary["model"]["identity"], "numerics": summary["numerics"],
        "output": "pooled", "plugin": null, "pool": "mean", "precision": "f32", "schema": 1,
        "tokenizer": "esm2-33/1", "training_length": 1022,
    });
    assert_eq!(said, wanted);
    let mut states = wanted;
    states["output"] = json!("residues");
    states["pool"] = json!(null);
    assert_eq!(metadata(&scratch, "r.npz"), states);
    scratch.embed(&["--out-dtype", "f16", "--precision", "bf16", "--pool", "max"]).code(0);
    let said = metadata(&scratch, "out.npz");
    assert_eq!(
        (&said["dtype"], &said["precision"], &said["pool"]),
        (&json!("f16"), &json!("bf16"), &json!("max"))
    );
    scratch.embedding("in.fasta", "out.tsv", &[]).go().code(0);
    let first = scratch.text("out.tsv").lines().next().unwrap().to_owned();
    let said: Value = serde_json::from_str(first.strip_prefix("# pliant_meta ").unwrap()).unwrap();
    assert_eq!(said["model"], summary["model"]["identity"]);
}

#[test]
fn half_precision_is_the_rounding_of_full() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", TEXT);
    scratch.embed(&[]).code(0);
    let full = scratch.npz("out.npz").embeddings[0].values.clone();
    scratch.embed(&["--out-dtype", "f16"]).code(0);
    let half = scratch.npz("out.npz").embeddings[0].values.clone();
    for (full, half) in full.iter().zip(&half) {
        assert!((full - half).abs() <= full.abs() / 1024.0, "{full} {half}");
    }
    assert_ne!(full, half);
}

#[test]
fn a_summary_tells_how_it_went() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMK-V\n>b\n>c\nACD\n");
    scratch.embed(&["--summary", "s.json", "--on-error", "skip"]).code(0);
    let said: Value = serde_json::from_str(&scratch.text("s.json")).unwrap();
    for (key, wanted) in [
        ("task", json!("embed")),
        ("headers", json!(3)),
        ("records", json!(2)),
        ("residues", json!(6)),
        ("failures", json!(1)),
        ("duplicates", json!(0)),
        ("threads", json!(2)),
        ("precision", json!("f32")),
        ("outputs", json!(["out.npz", "out.npz.failures.tsv"])),
    ] {
        assert_eq!(said[key], wanted, "{key}");
    }
    let kinds: Vec<&str> = said["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|warning| warning["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["gaps", "left_out"]);
    assert_eq!(said["command"].as_array().unwrap()[1], "embed");
    assert_eq!(said["model"]["identity"].as_str().unwrap().len(), 64);
    assert!(said["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
    assert!(said["residues_per_second"].as_f64().unwrap() > 0.0);
    assert!(said["wall_seconds"].as_f64().unwrap() >= said["compute_seconds"].as_f64().unwrap());
    assert!(said["device"].as_str().unwrap().starts_with("cpu ("));
}

#[test]
fn a_dry_run_computes_and_writes_nothing() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKV\n>b\n>c\nACDEFG\n>a\nMKV\n");
    let ended = scratch.run(&["embed", "in.fasta", "--model", model(), "--dry-run"]).go().code(0);
    let said = ended.json();
    for (key, wanted) in [
        ("headers", json!(4)),
        ("records", json!(2)),
        ("residues", json!(9)),
        ("longest", json!({"id": "c", "residues": 6})),
        ("duplicates", json!(1)),
        ("bad_records", json!(1)),
        ("would_fail", json!(true)),
    ] {
        assert_eq!(said[key], wanted, "{key}");
    }
    assert_eq!(said["bad_records_first"][0]["line"], 3);
    assert_eq!(scratch.names(), ["in.fasta"]);
    for key in ["estimated_memory_bytes", "estimated_flops", "assumed_flops_per_second_per_thread"] {
        assert!(said[key].as_f64().unwrap() > 0.0, "{key}");
    }
    scratch.embed(&["--dry-run", "--on-error", "skip"]).code(0);
    assert_eq!(scratch.names(), ["in.fasta"]);
}

#[test]
fn estimates_are_near_what_happens() {
    let scratch = Scratch::new();
    let more = ["--residues", "r.npz", "--summary", "s.json"];
    let dry = scratch.embedding(ECOLI, "out.npz", &["--residues", "r.npz", "--dry-run"]).go().code(0).json();
    scratch.embedding(ECOLI, "out.npz", &more).go().code(0);
    let summary: Value = serde_json::from_str(&scratch.text("s.json")).unwrap();
    assert_eq!(dry["input_hash"], summary["input"]["hash"]);
    assert_eq!(dry["residues"], summary["residues"]);
    for (kind, file) in [("pooled", "out.npz"), ("residues", "r.npz")] {
        let wanted = fs::metadata(scratch.path(file)).unwrap().len() as f64;
        let found = dry["estimated_output_bytes"][kind].as_f64().unwrap();
        // Headers and metadata are not counted.
        assert!((found - wanted).abs() < 4096.0 + wanted / 20.0, "{kind}: {found} of {wanted}");
    }
    let (estimated, peak) =
        (dry["estimated_memory_bytes"].as_f64().unwrap(), summary["peak_memory_bytes"].as_f64().unwrap());
    assert!((0.9..8.0).contains(&(estimated / peak)), "memory: {estimated} estimated, {peak} used");
}

#[test]
fn progress_says_what_device_it_took() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", TEXT);
    let ended = scratch.embed(&[]).code(0);
    assert!(ended.stderr.starts_with("note: device auto: cpu ("), "{}", ended.stderr);
    assert!(ended.stderr.contains("2 threads"), "{}", ended.stderr);
    assert_eq!(scratch.embed(&["--device", "cpu"]).code(0).stderr, "");
    assert!(!ended.stderr.contains('\x1b'), "colours are for terminals");
}
