//! The stated shares of masked language modelling, and what is never hidden.

use super::corpus::{corpus_of, proteins};
use crate::{Corpus, ESM2, MlmSettings, STANDARD_RESIDUES, Sampler, SamplerSettings, TrainingPack};

fn sampler(masking: MlmSettings) -> Sampler {
    let settings = SamplerSettings { seed: 3, budget_tokens: 5_000, crop: None, masking };
    Sampler::new(&ESM2, settings).unwrap()
}

fn batches(corpus: &Corpus, masking: MlmSettings, packs: u64) -> Vec<TrainingPack> {
    let sampler = sampler(masking);
    (0..packs).map(|number| sampler.batch(corpus, number)).collect()
}

/// How far counts lie from equal ones, in standard deviations of the chi-square of so many degrees of freedom.
pub(super) fn unevenness(counts: &[f64]) -> f64 {
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    let chi: f64 = counts.iter().map(|count| (count - mean).powi(2) / mean).sum();
    let freedom = counts.len() as f64 - 1.0;
    (chi - freedom) / (2.0 * freedom).sqrt()
}

/// Whether a count of a share of `all` is within four standard deviations.
pub(super) fn near(count: usize, all: usize, share: f64) -> bool {
    let deviation = (all as f64 * share * (1.0 - share)).sqrt();
    (count as f64 - all as f64 * share).abs() < 4.0 * deviation
}

#[test]
fn the_shares_are_those_that_are_stated() {
    let corpus = corpus_of(proteins(400, 60, 140));
    let batches = batches(&corpus, MlmSettings::default(), 160);
    let residues: u64 = batches.iter().map(TrainingPack::residues).sum();
    let (mut places, mut masked, mut random, mut same) = (0, 0, 0, 0);
    let mut replacements = [0f64; 20];
    for batch in &batches {
        for (&place, &target) in batch.places.iter().zip(&batch.targets) {
            let shown = batch.pack.ids[place];
            places += 1;
            if shown == ESM2.mask {
                masked += 1;
            } else if shown == target {
                same += 1;
            } else {
                random += 1;
                let standard = STANDARD_RESIDUES.iter().position(|&residue| ESM2.token(residue) == shown);
                replacements[standard.expect("a standard residue")] += 1.0;
            }
        }
    }
    // Rounding by chance leaves at most half a place for each sequence, so the share is nearer than that of draws.
    assert!((places as f64 / residues as f64 - 0.15).abs() < 3e-4, "{places} of {residues}");
    assert!(near(masked, places, 0.8), "{masked} of {places} are masked");
    // One replacement in twenty is the residue that stood there.
    assert!(near(random, places, 0.095), "{random} of {places} are replaced");
    assert!(near(same, places, 0.105), "{same} of {places} stay");
    assert!(unevenness(&replacements).abs() < 4.0, "{replacements:?}");
}

#[test]
fn other_shares_hold_too() {
    let corpus = corpus_of(proteins(300, 60, 140));
    for masking in [
        MlmSettings { choose: 0.5, mask: 1.0, random: 0.0 },
        MlmSettings { choose: 0.3, mask: 0.0, random: 1.0 },
        MlmSettings { choose: 1.0, mask: 0.0, random: 0.0 },
    ] {
        let (mut residues, mut places, mut masked, mut changed) = (0, 0, 0, 0);
        for batch in batches(&corpus, masking, 30) {
            residues += batch.residues();
            places += batch.places.len();
            let shown = |place: &&usize| batch.pack.ids[**place] == ESM2.mask;
            masked += batch.places.iter().filter(shown).count();
            let pairs = batch.places.iter().zip(&batch.targets);
            changed += pairs.filter(|(place, target)| batch.pack.ids[**place] != **target).count();
        }
        assert!((places as f64 / residues as f64 - masking.choose).abs() < 1e-3, "{masking:?}");
        assert_eq!(masked, if masking.mask == 1.0 { places } else { 0 });
        match masking.random {
            1.0 => assert!(near(changed, places, 0.95), "{changed} of {places}"),
            _ => assert_eq!(changed, masked),
        }
    }
}

#[test]
fn every_place_is_chosen_alike() {
    let corpus = corpus_of(proteins(1, 60, 60));
    let mut counts = vec![0f64; 60];
    for batch in batches(&corpus, MlmSettings::default(), 6_000) {
        assert_eq!(batch.places.len(), 9, "0.15 of 60");
        assert!(batch.places.is_sorted_by(|one, two| one < two));
        for place in batch.places {
            counts[place - 1] += 1.0;
        }
    }
    // Counts of draws without replacement lie a little nearer together than independent ones.
    assert!(unevenness(&counts).abs() < 4.0, "{counts:?}");
}

#[test]
fn fractions_of_a_place_are_rounded_by_chance_and_one_is_asked_at_least() {
    for (length, wanted) in [(1, 1.0), (6, 1.0), (10, 1.5), (25, 3.75)] {
        let corpus = corpus_of(proteins(1, length, length));
        let batches = batches(&corpus, MlmSettings::default(), 4_000);
        let counts: Vec<usize> = batches.iter().map(|batch| batch.places.len()).collect();
        let (least, most) = (*counts.iter().min().unwrap(), *counts.iter().max().unwrap());
        assert!(least as f64 <= wanted && most as f64 >= wanted && most - least <= 1, "{length}");
        let mean = counts.iter().sum::<usize>() as f64 / 4_000.0;
        assert!((mean - wanted).abs() < 0.035, "{length}: {mean}");
    }
}

#[test]
fn only_residues_that_the_vocabulary_knows_are_asked_for() {
    let corpus = corpus_of(["JXBUZOJMKVJ", "JJJJJJJJJJA", "XXXX"]);
    for batch in batches(&corpus, MlmSettings { choose: 0.9, ..MlmSettings::default() }, 300) {
        for (row, residues) in batch.pack.rows.iter().zip(&batch.pack.residues) {
            let own: Vec<usize> =
                batch.places.iter().copied().filter(|place| residues.contains(place)).collect();
            let wanted = [7..=8, 1..=1, 3..=4][*row as usize].clone();
            assert!(wanted.contains(&own.len()), "sequence {row}: {own:?}");
        }
        assert!(!batch.targets.contains(&ESM2.unknown));
        assert!(batch.targets.iter().all(|&target| (4..=28).contains(&target)), "a residue");
        for (number, residues) in batch.pack.residues.iter().enumerate() {
            assert_eq!(batch.pack.ids[batch.pack.offsets[number]], 0);
            assert_eq!(batch.pack.ids[residues.end], 2);
        }
        assert!(batch.places.iter().all(|place| batch.pack.residues.iter().any(|own| own.contains(place))));
    }
}
