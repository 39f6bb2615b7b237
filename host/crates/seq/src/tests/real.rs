//! Corpora of real proteins, where the environment names a folder of data.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::{
    Corpus, CorpusOptions, ESM2, ExcludeList, MlmSettings, ReadOptions, RecordReader, Sampler,
    SamplerSettings, Source,
};

const FILES: [&str; 6] = [
    "fluorescence_gfp/wt.fasta.gz",
    "ppi_bernett_human/proteins.fasta.gz",
    "ppi_dscript_yeast/proteins.fasta.gz",
    "ppi_graph_shs27k/proteins.fasta.gz",
    "ppi_guo_yeast_small/proteins.fasta.gz",
    "proteome_ecoli_k12/UP000000625_83333.fasta.gz",
];

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("PLIANT_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED corpora of real proteins: PLIANT_TEST_DATA names no folder with reference data");
    }
    folder
}

fn sources(folder: &Path, names: &[&str]) -> Vec<Source> {
    names.iter().map(|name| Source::from_path(&folder.join(name)).unwrap()).collect()
}

#[test]
fn proteomes_are_read_and_what_resembles_test_sets_is_left_out() {
    let Some(folder) = data() else { return };
    let begun = Instant::now();
    let list = ["leakage_blocklists/benchmark_like.sha256.gz"];
    let exclude = ExcludeList::read(&sources(&folder, &list)).unwrap();
    assert_eq!(exclude.len(), 40_588);
    eprintln!("exclude list: {} hashes in {:.2?}", exclude.len(), begun.elapsed());
    for name in FILES {
        let begun = Instant::now();
        let options = CorpusOptions { vocabulary: &ESM2, exclude: &exclude, min_residues: 1 };
        let reader = RecordReader::new(&sources(&folder, &[name]), ReadOptions::default());
        match Corpus::read(reader, &options) {
            Ok((corpus, report)) => {
                assert!(!corpus.iter().any(|residues| exclude.holds(residues)));
                let left_out = report.left_out;
                let gone = [left_out.short, left_out.unknown, left_out.excluded, left_out.identical];
                let gone = gone.iter().map(|count| count.residues).sum::<u64>();
                assert_eq!(corpus.residues() + gone, report.totals.residues);
                eprintln!(
                    "{name}: {} records, {} residues; left out: {left_out}; kept {} sequences, {} residues, \
                     {:.4} nats, {:?}; {:.2?}",
                    report.totals.records,
                    report.totals.residues,
                    corpus.sequences(),
                    corpus.residues(),
                    corpus.entropy(&ESM2),
                    corpus.lengths(),
                    begun.elapsed()
                );
            }
            Err(error) => eprintln!("{name}: {error}"),
        }
    }
}

#[test]
fn a_million_packs_of_a_proteome_are_soon_planned() {
    let Some(folder) = data() else { return };
    let exclude = ExcludeList::default();
    let options = CorpusOptions { vocabulary: &ESM2, exclude: &exclude, min_residues: 1 };
    let reader = RecordReader::new(&sources(&folder, &FILES), ReadOptions::default());
    let (corpus, _) = Corpus::read(reader, &options).unwrap();
    let settings = SamplerSettings {
        seed: 1,
        budget_tokens: 16_384,
        crop: Some(1_024),
        masking: MlmSettings::default(),
    };
    let sampler = Sampler::new(&ESM2, settings).unwrap();
    let mut begun = Instant::now();
    for number in [0, 1, 1_000_000, 1_000_001] {
        let batch = sampler.batch(&corpus, number);
        let (sequences, tokens) = (batch.pack.sequences(), batch.pack.tokens());
        eprintln!(
            "pack {number}: epoch {}, {sequences} sequences, {tokens} tokens, {} places in {:.2?}",
            batch.epoch,
            batch.places.len(),
            begun.elapsed()
        );
        begun = Instant::now();
    }
}
