//! Groups of parameters: rates and clips of their own, one file of moments, and all or none move.

use pliant_nn::optim::Rule;
use pliant_tensor::Dtype;
use pliant_tensor::ParamKind;
use pliant_tensor::ops::{Epilogue, LinearPart, add, linear, scale};

use super::*;

const SETTINGS: LearnerSettings = LearnerSettings {
    precision: Precision::F32,
    optimizer: AdamWSettings { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.0, rule: Rule::AdamW },
    recompute: false,
    seed: 1,
};

/// A model and a head whose parameters have the same name.
struct World {
    device: Device,
    model: Arc<Param>,
    head: Arc<Param>,
}

impl World {
    fn new() -> Self {
        let device = Device::cpu(1).unwrap();
        let param = |values: &[f32]| {
            let kind = ParamKind::Matrix;
            Arc::new(Param::trainable(&device, Precision::F32, "fc.weight", &[1, 2], values, kind).unwrap())
        };
        let (model, head) = (param(&[1.0, -2.0]), param(&[0.5, 0.25]));
        Self { device, model, head }
    }

    fn learner(&self, rates: [f64; 2], clips: [Option<f64>; 2]) -> Learner {
        let groups = [("", &self.model), ("head.", &self.head)];
        let group = |place: usize| Group {
            prefix: groups[place].0,
            params: std::slice::from_ref(groups[place].1),
            rate: rates[place],
            clip: clips[place],
        };
        Learner::new(&self.device, SETTINGS, &[group(0), group(1)]).unwrap()
    }

    /// A loss whose gradients are `slopes` in every element of the model and of the head.
    fn loss(&self, tape: &Tape, slopes: [f32; 2]) -> anyhow::Result<Tensor> {
        let ones = Tensor::from_f32(&self.device, [1, 2], &[1.0, 1.0])?;
        let mut parts = Vec::new();
        for (param, slope) in [(&self.model, slopes[0]), (&self.head, slopes[1])] {
            let part = LinearPart {
                weight: param,
                rows: None,
                bias: &[],
                epilogue: Epilogue::Store,
                out: Dtype::F32,
            };
            parts.push(scale(tape, &linear(tape, &ones, &[part])?[0], slope)?);
        }
        Ok(add(tape, &parts[0], &parts[1])?)
    }

    fn values(&self) -> [Vec<f32>; 2] {
        [&self.model, &self.head].map(|param| param.values().unwrap())
    }
}

fn near(found: &[f32], wanted: [f32; 2]) {
    let apart = found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).abs());
    // A few roundings of numbers up to 2, and ε over gradients of at least a tenth.
    assert!(apart.fold(0.0, f32::max) < 1e-6, "{found:?}, wanted {wanted:?}");
}

#[test]
fn each_group_has_its_rate_and_its_clip() {
    let world = World::new();
    let mut learner = world.learner([1.0, 0.25], [None, Some(0.5)]);
    let lesson = learner.learn(2, 0, 0.01, |tape, number| world.loss(tape, [[3.0, 1.0], [1.0, 2.0]][number]));
    // Two elements of slope 4 and two of slope 3.
    assert!((lesson.unwrap().gradient_norm - (2.0 * (16.0 + 9.0f64)).sqrt()).abs() < 1e-5);
    // The first step goes as far as the rate, whatever the gradient.
    let [model, head] = world.values();
    near(&model, [0.99, -2.01]);
    near(&head, [0.4975, 0.2475]);
    let first = |group: usize| learner.groups[group].optimizer.moments().next().unwrap().1.to_vec();
    near(&first(0), [0.4, 0.4]);
    // Of norm 3·√2 they were made to be of norm one half.
    near(&first(1), [0.05 / 2f32.sqrt(); 2]);
}

#[test]
fn moments_of_all_groups_are_kept_in_one_file() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("moments.safetensors");
    let step = |world: &World, learner: &mut Learner, number: u64| {
        let slopes = [1.0 + number as f32, 0.5 - number as f32];
        learner.learn(1, number, 0.01, |tape, _| world.loss(tape, slopes)).unwrap();
    };
    let (through, halves) = (World::new(), World::new());
    let mut learner = through.learner([1.0, 0.5], [Some(1.0), None]);
    (0..6).for_each(|number| step(&through, &mut learner, number));
    let mut before = halves.learner([1.0, 0.5], [Some(1.0), None]);
    (0..3).for_each(|number| step(&halves, &mut before, number));
    before.save_moments(&path).unwrap();
    let mut after = halves.learner([1.0, 0.5], [Some(1.0), None]);
    after.restore(&path, 3).unwrap();
    (3..6).for_each(|number| step(&halves, &mut after, number));
    assert_eq!(halves.values(), through.values());
    // A head's moments are nothing to a model alone, and the other way round.
    let group = |prefix, params| Group { prefix, params, rate: 1.0, clip: None };
    let alone = |groups: &[Group<'_>]| Learner::new(&through.device, SETTINGS, groups).unwrap();
    let model = std::slice::from_ref(&through.model);
    let refused = format!("{:#}", alone(&[group("", model)]).restore(&path, 3).unwrap_err());
    assert!(refused.contains("has moments of \"head.fc.weight\", which is no parameter"), "{refused}");
    alone(&[group("", model)]).save_moments(&path).unwrap();
    let refused = format!("{:#}", learner.restore(&path, 3).unwrap_err());
    assert!(refused.contains("no moments of parameter fc.weight"), "{refused}");
}

#[test]
fn nothing_moves_where_one_gradient_is_no_number() {
    for slopes in [[f32::MAX, 1.0], [1.0, f32::MAX]] {
        let world = World::new();
        let mut learner = world.learner([1.0, 1.0], [None, None]);
        let small = |param: &Param| param.set_values(&[1e-20, -1e-20]).unwrap();
        [&world.model, &world.head].into_iter().for_each(|param| small(param));
        let before = world.values();
        // The losses are numbers, and so is each gradient; their sum is none.
        let tried = learner.learn(2, 0, 0.01, |tape, _| world.loss(tape, slopes));
        assert!(matches!(tried, Err(LearnError::Gradient(_))), "{tried:?}");
        assert_eq!(world.values(), before);
    }
    let world = World::new();
    let mut learner = world.learner([1.0, 1.0], [None, None]);
    let before = world.values();
    let tried =
        learner.learn(2, 0, 0.01, |tape, number| world.loss(tape, [[1.0, 1.0], [f32::NAN, 1.0]][number]));
    assert!(matches!(tried, Err(LearnError::Loss { pack: 1, value }) if value.is_nan()), "{tried:?}");
    assert_eq!(world.values(), before);
}
