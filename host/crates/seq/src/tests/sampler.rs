//! Packs of a sampler: order, budget, crops, and that nothing but corpus, settings and number decides.

use std::collections::BTreeMap;

use super::corpus::{corpus_of, proteins};
use crate::{Corpus, ESM2, MlmSettings, Sampler, SamplerSettings, TrainingPack};

const SETTINGS: SamplerSettings = SamplerSettings {
    seed: 11,
    budget_tokens: 200,
    crop: None,
    masking: MlmSettings { choose: 0.15, mask: 0.8, random: 0.1 },
};

fn sampler(settings: SamplerSettings) -> Sampler {
    Sampler::new(&ESM2, settings).unwrap()
}

/// All packs of an epoch.
fn epoch(sampler: &Sampler, corpus: &Corpus, number: u64) -> Vec<TrainingPack> {
    let packs = sampler.epoch_start(corpus, number)..sampler.epoch_start(corpus, number + 1);
    packs.map(|pack| sampler.batch(corpus, pack)).collect()
}

/// Sequences in the order of an epoch.
fn order(sampler: &Sampler, corpus: &Corpus, number: u64) -> Vec<u64> {
    epoch(sampler, corpus, number).into_iter().flat_map(|batch| batch.pack.rows).collect()
}

/// The tokens of each sequence of a pack before anything was hidden.
fn uncovered(batch: &TrainingPack) -> Vec<Vec<u32>> {
    let mut ids = batch.pack.ids.clone();
    for (&place, &target) in batch.places.iter().zip(&batch.targets) {
        ids[place] = target;
    }
    batch.pack.offsets.windows(2).map(|ends| ids[ends[0]..ends[1]].to_vec()).collect()
}

/// What is asked of each sequence of some packs: its tokens as shown, its places from its own start, its targets.
type Asked = BTreeMap<u64, (Vec<u32>, Vec<usize>, Vec<u32>)>;

fn asked(batches: &[TrainingPack]) -> Asked {
    let mut asked = Asked::new();
    for batch in batches {
        for (number, &row) in batch.pack.rows.iter().enumerate() {
            let (start, end) = (batch.pack.offsets[number], batch.pack.offsets[number + 1]);
            let own = |place: &usize| (start..end).contains(place);
            let places = batch.places.iter().filter(|place| own(place)).map(|place| place - start);
            let targets = batch.places.iter().zip(&batch.targets).filter(|(place, _)| own(place));
            let targets = targets.map(|(_, &target)| target).collect();
            let all = (batch.pack.ids[start..end].to_vec(), places.collect(), targets);
            assert!(asked.insert(row, all).is_none(), "sequence {row} stands twice");
        }
    }
    asked
}

#[test]
fn an_epoch_holds_every_sequence_once_within_the_budget() {
    let corpus = corpus_of(proteins(300, 5, 90));
    let sampler = sampler(SETTINGS);
    for number in [0, 1, 7] {
        let batches = epoch(&sampler, &corpus, number);
        let mut rows = Vec::new();
        for (place, batch) in batches.iter().enumerate() {
            assert_eq!(batch.epoch, number);
            assert!(batch.pack.tokens() <= 200);
            assert_eq!(batch.residues(), batch.pack.tokens() as u64 - 2 * batch.pack.sequences() as u64);
            if let Some(next) = batches.get(place + 1) {
                let first = next.pack.offsets[1];
                assert!(batch.pack.tokens() + first > 200, "pack {place} has room for the next sequence");
            }
            for (&row, tokens) in batch.pack.rows.iter().zip(uncovered(batch)) {
                assert_eq!(tokens, ESM2.encode(corpus.sequence(row as usize)).ids);
            }
            rows.extend(batch.pack.rows.iter().copied());
        }
        rows.sort_unstable();
        assert!(rows.into_iter().eq(0..300), "epoch {number}");
    }
}

#[test]
fn a_sequence_over_the_budget_stands_alone() {
    let corpus = corpus_of(proteins(60, 50, 250));
    let long = corpus.iter().filter(|residues| residues.len() > 198).count();
    assert!(long > 5);
    let batches = epoch(&sampler(SETTINGS), &corpus, 0);
    let over: Vec<_> = batches.iter().filter(|batch| batch.pack.tokens() > 200).collect();
    assert_eq!(over.len(), long);
    assert!(over.iter().all(|batch| batch.pack.sequences() == 1));
    let tiny = sampler(SamplerSettings { budget_tokens: 1, ..SETTINGS });
    assert_eq!(tiny.epoch_start(&corpus, 1), 60);
}

#[test]
fn epochs_and_seeds_give_other_orders() {
    let corpus = corpus_of(proteins(100, 10, 40));
    let first = sampler(SETTINGS);
    let orders = [order(&first, &corpus, 0), order(&first, &corpus, 1), order(&first, &corpus, 2)];
    let other = order(&sampler(SamplerSettings { seed: 12, ..SETTINGS }), &corpus, 0);
    for (one, two) in [(0, 1), (0, 2), (1, 2)] {
        let same = orders[one].iter().zip(&orders[two]).filter(|(a, b)| a == b).count();
        assert!(same < 8, "{same} of 100 places agree");
    }
    assert_ne!(orders[0], other);
    // Each sequence comes first about as often as any other: 5 times of 500, over 100 sequences.
    let mut firsts = vec![0f64; 100];
    for number in 0..500 {
        let pack = first.batch(&corpus, first.epoch_start(&corpus, number));
        firsts[pack.pack.rows[0] as usize] += 1.0;
    }
    let chi: f64 = firsts.iter().map(|count| (count - 5.0).powi(2) / 5.0).sum();
    assert!((50.0..160.0).contains(&chi), "chi-square {chi} at 99 degrees of freedom");
}

#[test]
fn the_order_of_calls_does_not_matter() {
    let (one, two) = (corpus_of(proteins(80, 5, 60)), corpus_of(proteins(50, 5, 60)));
    let crops = SamplerSettings { crop: Some(30), ..SETTINGS };
    let forward = sampler(crops);
    let wanted: Vec<_> = (0..60).map(|number| forward.batch(&one, number)).collect();
    assert!(wanted[59].epoch > 2);
    let backward = sampler(crops);
    for number in (0..60).rev() {
        assert_eq!(backward.batch(&one, number), wanted[number as usize]);
    }
    let mixed = sampler(crops);
    for turn in 0..60u64 {
        let number = turn * 37 % 60;
        mixed.batch(&two, number * 3);
        mixed.evaluation_packs(&two).next();
        assert_eq!(mixed.batch(&one, number), wanted[number as usize]);
        assert_eq!(sampler(crops).batch(&one, number), wanted[number as usize]);
        assert_eq!(mixed.clone().batch(&one, number), wanted[number as usize]);
    }
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (mixed, one, wanted) = (&mixed, &one, &wanted);
            scope.spawn(move || {
                for number in (0..60).map(|turn| (turn * 7 + thread * 13) % 60) {
                    assert_eq!(mixed.batch(one, number), wanted[number as usize]);
                }
            });
        }
    });
}

#[test]
fn a_far_pack_is_near() {
    let corpus = corpus_of(proteins(90, 40, 80));
    let sampler = sampler(SETTINGS);
    let far = sampler.batch(&corpus, 1_000_000);
    assert!((25_000..45_000).contains(&far.epoch), "epoch {}", far.epoch);
    let start = sampler.epoch_start(&corpus, far.epoch);
    assert!(start <= 1_000_000 && 1_000_000 < sampler.epoch_start(&corpus, far.epoch + 1));
    assert_eq!(sampler.epoch_start(&corpus, 0), 0);
}

#[test]
fn crops_begin_anywhere_alike() {
    let (length, crop) = (50, 20);
    let protein = proteins(1, length, length).remove(0);
    let tokens = ESM2.encode(&protein).ids;
    let corpus = corpus_of([&protein]);
    let sampler = sampler(SamplerSettings { crop: Some(crop), ..SETTINGS });
    let mut starts = vec![0f64; length - crop + 1];
    let draws = 31 * 300;
    for number in 0..draws {
        let batch = sampler.batch(&corpus, number);
        let window = uncovered(&batch).remove(0);
        assert_eq!((window.len(), batch.residues()), (crop + 2, crop as u64));
        let residues = &window[1..=crop];
        let found = tokens[1..=length].windows(crop).position(|window| window == residues);
        starts[found.expect("a window of the sequence")] += 1.0;
    }
    let chi: f64 = starts.iter().map(|count| (count - 300.0).powi(2) / 300.0).sum();
    assert!((11.0..60.0).contains(&chi), "chi-square {chi} at 30 degrees of freedom");
}

#[test]
fn a_crop_always_holds_something_to_ask() {
    let protein = [b"J".repeat(400), b"M".to_vec(), b"J".repeat(99)].concat();
    let corpus = corpus_of([&protein, &b"MKVAC".repeat(2)]);
    let sampler = sampler(SamplerSettings { crop: Some(10), ..SETTINGS });
    for number in 0..200 {
        let batch = sampler.batch(&corpus, number);
        assert_eq!(batch.pack.sequences(), 2);
        let long = asked(&[batch]).remove(&0).unwrap();
        assert_eq!((long.1.len(), &long.2), (1, &vec![20]));
    }
}

#[test]
fn neither_budget_nor_neighbours_change_what_is_asked() {
    let corpus = corpus_of(proteins(70, 5, 60));
    let settings = SamplerSettings { crop: Some(25), ..SETTINGS };
    let wanted = asked(&epoch(&sampler(settings), &corpus, 3));
    for budget_tokens in [1, 77, 4000] {
        let other = sampler(SamplerSettings { budget_tokens, ..settings });
        assert_eq!(asked(&epoch(&other, &corpus, 3)), wanted);
    }
    assert_ne!(asked(&epoch(&sampler(settings), &corpus, 4)), wanted);
}

#[test]
fn evaluation_asks_the_same_of_a_protein_everywhere() {
    let sequences = proteins(70, 5, 60);
    let corpus = corpus_of(&sequences);
    let settings = SamplerSettings { crop: Some(25), ..SETTINGS };
    let first = sampler(settings);
    let batches: Vec<_> = first.evaluation_packs(&corpus).collect();
    assert!(batches.len() > 3);
    assert!(batches.iter().all(|batch| batch.pack.tokens() <= 200 && batch.epoch == 0));
    let wanted = asked(&batches);
    assert_eq!(wanted.len(), 70);
    let again: Vec<_> = first.evaluation_packs(&corpus).collect();
    assert_eq!(again, batches);

    let mut backwards = sequences[10..].to_vec();
    backwards.reverse();
    let other = sampler(SamplerSettings { budget_tokens: 90, ..settings });
    let found = asked(&other.evaluation_packs(&corpus_of(&backwards)).collect::<Vec<_>>());
    assert_eq!(found.len(), 60);
    for (row, one) in &found {
        assert_eq!(one, &wanted[&(69 - row)], "sequence {row}");
    }
    let other = sampler(SamplerSettings { seed: 12, ..settings });
    assert_ne!(asked(&other.evaluation_packs(&corpus).collect::<Vec<_>>()), wanted);
}

#[test]
fn settings_out_of_range_are_refused() {
    let masking = SETTINGS.masking;
    let error = |settings| Sampler::new(&ESM2, settings).unwrap_err().to_string();
    let budget = SamplerSettings { budget_tokens: 0, ..SETTINGS };
    assert_eq!(error(budget), "budget_tokens is 0, wanted 1 or more");
    let crop = SamplerSettings { crop: Some(0), ..SETTINGS };
    assert_eq!(error(crop), "crop is 0, wanted 1 or more");
    for (masking, wanted) in [
        (MlmSettings { choose: 0.0, ..masking }, "choose is 0, wanted a number over 0 and at most 1"),
        (MlmSettings { choose: 1.1, ..masking }, "choose is 1.1, wanted a number over 0 and at most 1"),
        (MlmSettings { choose: f64::NAN, ..masking }, "choose is NaN, wanted a number over 0 and at most 1"),
        (MlmSettings { mask: -0.1, ..masking }, "mask is -0.1, wanted a number from 0 to 1"),
        (MlmSettings { random: 2.0, ..masking }, "random is 2, wanted a number from 0 to 1"),
        (MlmSettings { mask: 0.75, random: 0.5, ..masking }, "mask + random is 1.25, wanted 1 at most"),
    ] {
        assert_eq!(error(SamplerSettings { masking, ..SETTINGS }), wanted);
    }
    assert_eq!(MlmSettings::default(), masking);
}

/// What a run drew must hold for the version that resumes it: a change here breaks running trainings.
#[test]
fn the_draws_are_those_of_earlier_versions() {
    let corpus = corpus_of(proteins(40, 20, 60));
    let sampler = sampler(SamplerSettings { crop: Some(50), ..SETTINGS });
    let mut hasher = blake3::Hasher::new();
    let numbered = (0..30).map(|number| sampler.batch(&corpus, number));
    for batch in numbered.chain(sampler.evaluation_packs(&corpus)) {
        hasher.update(format!("{batch:?}").as_bytes());
    }
    let (train, _) = corpus.hold_out(0.3, 5).unwrap();
    hasher.update(train.digest().as_bytes());
    assert_eq!(&hasher.finalize().to_hex()[..16], "9202d2bbb9656ac8");
}
