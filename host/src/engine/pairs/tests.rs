//! Losses of pairs: means over a step whatever packs it is in, what counts how much, and what was published.

use pliant_kernels::{Device, Precision};
use pliant_seq::{
    CorpusOptions, ExcludeList, Families, FamilyOptions, MlmSettings, PairForm, PairSampler, Replacement,
    Rounding, Sampler, SamplerSettings, Source,
};

use super::*;

/// Models with nothing that drops numbers: one that reads both members in one chain, one that reads each in its own.
const MODELS: [&str; 2] = [
    r#"{ "model_type": "TFM", "num_layers": 1, "hidden_dim": 16, "num_heads": 2,
    "feedforward_dim": 32, "pos_encode": true, "max_len": 128, "dropout": 0.0 }"#,
    r#"{ "model_type": "RNN", "rnn_type": "B", "num_layers": 2, "hidden_dim": 8, "embedding_dim": 6 }"#,
];

const WEIGHTS: PairWeights = PairWeights { mlm: 0.7, sfp: 0.3, first_alone: false, threshold: 0.0 };

struct World {
    device: Device,
    pupil: Pupil,
    families: Families,
}

impl World {
    fn new(config: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("config.json");
        std::fs::write(&path, config).unwrap();
        let device = Device::cpu(1).unwrap();
        let pupil = Pupil::create(&path, 3, (&device, Precision::F32)).unwrap();
        let letters = b"ACDEFGHIKLMNPQRSTVWY";
        let residues = |number: usize| -> String {
            (0..20 + number * 3 % 17)
                .map(|place| letters[(number * 7 + place * place) % 20] as char)
                .collect()
        };
        let rows: String = (0..12).map(|number| format!("f{},{}\n", number % 3, residues(number))).collect();
        let source = Source::from_bytes("f.csv", format!("family,sequence\n{rows}").into_bytes());
        let exclude = ExcludeList::default();
        let corpus = CorpusOptions { vocabulary: pupil.vocabulary(), exclude: &exclude, min_residues: 7 };
        let options = FamilyOptions { corpus, max_residues: 100, min_family: 1 };
        let (families, _) = Families::read(&[source], &options).unwrap();
        Self { device, pupil, families }
    }

    /// All packs of an epoch, each of so many pairs.
    fn packs(&self, pairs: usize) -> Vec<PairPack> {
        let masking = MlmSettings::default();
        let settings = SamplerSettings { seed: 5, budget_tokens: 1, crop: None, masking };
        let sampler = Sampler::new(self.pupil.vocabulary(), settings)
            .unwrap()
            .with_masking(Rounding::Down { most: 50 }, Replacement::Standard)
            .with_least_sequences(2 * pairs);
        let one_chain = self.pupil.model().pairs_in_one_chain();
        let form = if one_chain { PairForm::Joined } else { PairForm::Apart };
        let sampler = PairSampler::new(sampler, &self.families, (form, None)).unwrap();
        (0..sampler.epoch_start(&self.families, 1))
            .map(|number| sampler.batch(&self.families, number))
            .collect()
    }

    /// The loss of all packs together, the sums, and the gradients of the parameters that were reached.
    fn learn(&self, packs: &[PairPack], weights: &PairWeights) -> (f64, PairSums, Vec<Vec<f32>>) {
        let params = self.pupil.model().params_learning(true);
        params.iter().for_each(|param| param.zero_grad());
        let mut sums = PairSums { counts: PairCounts::of(packs), ..PairSums::default() };
        let mut loss = 0.0;
        for pack in packs {
            let tape = Tape::on(&self.device, Precision::F32).with_random(1, 0);
            let part = pair_loss(&self.pupil, &tape, pack, weights, &mut sums).unwrap();
            loss += f64::from(number_of(&part).unwrap());
            tape.backward(&part).unwrap();
        }
        (loss, sums, params.iter().map(|param| param.grad()).collect())
    }
}

#[test]
fn a_step_is_the_same_in_one_pack_and_in_many() {
    for model in MODELS {
        let world = World::new(model);
        let (one, many) = (world.packs(12), world.packs(3));
        assert_eq!((one.len(), many.len()), (1, 4));
        let (loss, sums, gradients) = world.learn(&one, &WEIGHTS);
        let (parts_loss, parts_sums, parts_gradients) = world.learn(&many, &WEIGHTS);
        assert_eq!(sums.counts, parts_sums.counts);
        assert_eq!(sums.right, parts_sums.right);
        // Sums of a few hundred numbers in another order.
        assert!((loss - parts_loss).abs() < 1e-5, "{loss}, in parts {parts_loss}");
        assert!((sums.loss(&WEIGHTS).unwrap() - loss).abs() < 1e-5, "{sums:?}, {loss}");
        let pairs = gradients.iter().flatten().zip(parts_gradients.iter().flatten());
        let apart = pairs.map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
        let largest = gradients.iter().flatten().fold(0.0f32, |most, value| most.max(value.abs()));
        assert!(apart < 1e-5 * largest.max(1.0) && largest > 0.0, "{apart} of {largest}");
        // An optimiser would refuse those without a gradient.
        let params = world.pupil.model().params_learning(true);
        let named = params.iter().zip(&gradients).filter(|(param, _)| param.is_trainable());
        let unreached = named.filter(|(_, gradient)| gradient.iter().all(|value| *value == 0.0));
        let unreached: Vec<&str> = unreached.map(|(param, _)| param.name()).collect();
        assert!(unreached.is_empty(), "{unreached:?}");
    }
}

#[test]
fn an_examination_finds_what_a_step_finds() {
    for model in MODELS {
        let world = World::new(model);
        let packs = world.packs(5);
        let (_, told, _) = world.learn(&packs, &WEIGHTS);
        let tape = Tape::off(&world.device, Precision::F32);
        let found = examine_pairs(&world.pupil, &tape, packs.into_iter(), 0.0).unwrap();
        assert_eq!((found.counts, found.right), (told.counts, told.right));
        for (one, other) in [(found.first, told.first), (found.second, told.second), (found.sfp, told.sfp)] {
            assert!((one - other).abs() < 1e-3, "{found:?}, {told:?}");
        }
        assert!(found.hidden_places > 0 && found.hidden_places < found.counts.places());
    }
}

#[test]
fn weights_count_as_they_say() {
    let sums = PairSums {
        counts: PairCounts { pairs: 4, first_places: 10, second_places: 20 },
        first: 30.0,
        second: 40.0,
        sfp: 2.0,
        right: 3,
        ..PairSums::default()
    };
    let loss = |weights: PairWeights| sums.loss(&weights).unwrap();
    assert!((loss(WEIGHTS) - (0.7 * (3.0 + 2.0) + 0.3 * 0.5)).abs() < 1e-12);
    // As published: the first loss, and that loss once more after its weight.
    let published = PairWeights { first_alone: true, ..WEIGHTS };
    assert!((loss(published) - (0.7 * 3.0 + 0.7 * 0.7 * 3.0 + 0.3 * 0.5)).abs() < 1e-12);
    assert_eq!((sums.mlm_loss(), sums.accuracy(), sums.hidden_loss()), (Some(70.0 / 30.0), Some(0.75), None));
}

/// The heads do their part: without one of the weights the other's gradient is all there is.
#[test]
fn both_parts_teach() {
    for model in MODELS {
        let world = World::new(model);
        let packs = world.packs(12);
        let of = |mlm: f64, sfp: f64| world.learn(&packs, &PairWeights { mlm, sfp, ..WEIGHTS }).2;
        let (both, residues, families) = (of(0.7, 0.3), of(0.7, 0.0), of(0.0, 0.3));
        let mut largest = [0.0f32; 2];
        for ((both, residues), families) in
            both.iter().flatten().zip(residues.iter().flatten()).zip(families.iter().flatten())
        {
            assert!((both - residues - families).abs() < 1e-5, "{both}, {residues}, {families}");
            largest = [largest[0].max(residues.abs()), largest[1].max(families.abs())];
        }
        assert!(largest.iter().all(|value| *value > 1e-3), "{largest:?}");
    }
}
