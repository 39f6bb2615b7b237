//! The same input gives the same bytes, whatever the threads, the packs and the company.

use std::collections::BTreeMap;
use std::fs;

use crate::tool::{ECOLI, Scratch, model};

/// Runs over the twenty proteins and gives the bytes of all results.
fn results(threads: &str, budget: &str, precision: &str) -> (Vec<u8>, Vec<u8>) {
    results_by(&[], threads, budget, precision)
}

fn results_by(more: &[&str], threads: &str, budget: &str, precision: &str) -> (Vec<u8>, Vec<u8>) {
    let scratch = Scratch::new();
    let words = [
        "embed",
        ECOLI,
        "--model",
        model(),
        "--out=out.npz",
        "--residues=r.npz",
        "--layer=-1,1",
        "--threads",
        threads,
        "--precision",
        precision,
        "--max-batch-tokens",
        budget,
    ];
    let words = [&words, more].concat();
    scratch.run(&words).go().code(0);
    (scratch.read("out.npz"), scratch.read("r.npz"))
}

/// Vectors of 256 and of 512 bits are one numerics class: files made with either are the same bytes.
#[test]
fn vector_widths_leave_no_trace() {
    let paths = ["avx2", "avx512", "avx512-bf16"];
    let has = |path: &&str| pliant_kernels::CpuPath::from_name(path).is_some_and(|path| path.available());
    let paths: Vec<&str> = paths.into_iter().filter(has).collect();
    if paths.len() < 2 {
        eprintln!("SKIPPED: vector widths are not compared, this processor has only {paths:?}");
        return;
    }
    for precision in ["f32", "bf16"] {
        let wanted = results(if precision == "f32" { "2" } else { "1" }, "4096", precision);
        for path in &paths {
            let found = results_by(&["--cpu-path", path], "2", "700", precision);
            assert!(found == wanted, "{precision} by {path}");
        }
        let portable = results_by(&["--cpu-path", "portable"], "2", "700", precision);
        assert!(portable != wanted, "the portable class names itself in its files");
    }
}

#[test]
fn threads_and_budgets_leave_no_trace() {
    for precision in ["f32", "bf16"] {
        let wanted = results("2", "4096", precision);
        for (threads, budget) in
            [("1", "1"), ("2", "1"), ("4", "1"), ("1", "700"), ("3", "700"), ("4", "4096"), ("2", "1000000")]
        {
            let found = results(threads, budget, precision);
            assert!(found == wanted, "{precision} with {threads} threads and {budget} tokens");
        }
    }
}

/// Id and sequence of each record of the twenty.
fn records() -> Vec<(String, String)> {
    let text = fs::read_to_string(ECOLI).unwrap();
    let record = |part: &str| {
        let (header, sequence) = part.split_once('\n').unwrap();
        (header.split(' ').next().unwrap().to_owned(), sequence.replace('\n', ""))
    };
    text.split('>').skip(1).map(record).collect()
}

/// The bits of the vector of each id.
fn vectors(records: &[(String, String)]) -> BTreeMap<String, Vec<u32>> {
    let scratch = Scratch::new();
    let text: String = records.iter().map(|(id, sequence)| format!(">{id}\n{sequence}\n")).collect();
    scratch.write("in.fasta", text);
    scratch.embed(&[]).code(0);
    let found = scratch.npz("out.npz");
    assert!(found.ids.iter().zip(records).all(|(id, record)| *id == record.0), "the order is the input's");
    let width = found.embeddings[0].width;
    let rows = found.embeddings[0].values.chunks(width);
    found
        .ids
        .into_iter()
        .zip(rows)
        .map(|(id, row)| (id, row.iter().map(|value| value.to_bits()).collect()))
        .collect()
}

#[test]
fn the_company_leaves_no_trace() {
    let mut records = records();
    let wanted = vectors(&records);
    records.reverse();
    assert_eq!(vectors(&records), wanted, "another order");
    records.sort_by_key(|(_, sequence)| sequence.len());
    assert_eq!(vectors(&records), wanted, "sorted by length");
    for record in records.chunks(1).chain(records.chunks(7)) {
        for (id, vector) in vectors(record) {
            assert_eq!(wanted[&id], vector, "{id} among {}", record.len());
        }
    }
}

#[test]
fn formats_hold_the_same_numbers() {
    let scratch = Scratch::new();
    for dtype in ["f32", "f16"] {
        let more = ["--layer", "2,0", "--out-dtype", dtype];
        let states = [&more[..], &["--residues", "r.npz"]].concat();
        scratch.embedding(ECOLI, "out.npz", &states).go().code(0);
        let (pooled, residues) = (scratch.records("out.npz"), scratch.records("r.npz"));
        scratch.embedding(ECOLI, "out.tsv", &more).go().code(0);
        same(&scratch, "out.layer{}.tsv", &pooled);
        for suffix in ["h5", "parquet", "safetensors"] {
            let (out, states) = (format!("out.{suffix}"), format!("r.{suffix}"));
            scratch.embedding(ECOLI, &out, &[&more[..], &["--residues", &states]].concat()).go().code(0);
            let one_file = suffix == "safetensors";
            same(&scratch, &if one_file { out } else { format!("out.layer{{}}.{suffix}") }, &pooled);
            same(&scratch, &if one_file { states } else { format!("r.layer{{}}.{suffix}") }, &residues);
        }
    }
}

/// Checks that the file, or the files of layers 2 and 0 where the name has a place for them, hold these records.
fn same(scratch: &Scratch, name: &str, wanted: &[pliant_store::StoredRecord]) {
    let layers = if name.contains("{}") { vec![Some(2), Some(0)] } else { vec![None] };
    for (place, layer) in layers.into_iter().enumerate() {
        let name = layer.map_or(name.to_owned(), |layer: usize| name.replace("{}", &layer.to_string()));
        let found = scratch.records(&name);
        assert_eq!(found.len(), wanted.len(), "{name}");
        for (found, wanted) in found.iter().zip(wanted) {
            assert_eq!(found.id, wanted.id, "{name}");
            let values = if layer.is_some() { &wanted.layers[place..=place] } else { &wanted.layers[..] };
            assert!(found.layers == values, "{name}: {}", found.id);
        }
    }
}

#[test]
fn layouts_of_h5_differ_in_names_alone() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">sp|P1|A/B\nMKV\n>a\nACDEF\n");
    scratch.embedding("in.fasta", "id.h5", &[]).go().code(0);
    scratch.embedding("in.fasta", "number.h5", &["--h5-layout", "bio_embeddings"]).go().code(0);
    let ids = |name: &str| scratch.records(name).into_iter().map(|record| record.id).collect::<Vec<_>>();
    assert_eq!(ids("id.h5"), ["sp|P1|A/B", "a"]);
    assert!(scratch.records("id.h5") == scratch.records("number.h5"));
    let has =
        |name: &str, word: &str| scratch.read(name).windows(word.len()).any(|bytes| bytes == word.as_bytes());
    assert!(has("id.h5", "sp|P1|A%2FB\0") && !has("number.h5", "%2F"));
}
