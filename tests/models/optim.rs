//! The optimiser over parameters, and its schedules, against PyTorch.

use std::collections::BTreeMap;
use std::sync::Arc;

use pliant_kernels::{Device, Precision};
use pliant_nn::Linear;
use pliant_nn::optim::{AdamW, AdamWSettings, OptimError, Rule, Schedule};
use pliant_tensor::ops::{Epilogue, add};
use pliant_tensor::{Dtype, Param, ParamKind, Tape, Tensor, TensorError};
use pliant_tests::kernels::Fixture;

use crate::common::{device, outside_data, read_tensors};

/// Those of the golden numbers.
const SETTINGS: AdamWSettings =
    AdamWSettings { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weight_decay: 0.05, rule: Rule::AdamW };

const RATE: f64 = 1e-2;

/// First and second moments by the name of their parameter.
type Saved = BTreeMap<String, (Vec<f32>, Vec<f32>)>;

fn param(device: &Device, name: &str, shape: &[usize], values: &[f32]) -> Param {
    let kind = if shape.len() == 1 { ParamKind::Vector } else { ParamKind::Matrix };
    Param::trainable(device, Precision::F32, name, shape, values, kind).unwrap()
}

/// Gives a parameter the gradient `wanted`, by a loss that is the sum of all its values times that.
fn lend(device: &Device, param: &Arc<Param>, wanted: &[f32]) {
    let frozen = |shape: [usize; 2], values: &[f32]| {
        Arc::new(Param::frozen(device, Precision::F32, "frozen", &shape, values, ParamKind::Matrix).unwrap())
    };
    let tape = Tape::on(device, Precision::F32);
    let forward = |layer: &Linear, x: &Tensor| layer.forward(&tape, x, Epilogue::Store, Dtype::F32).unwrap();
    let (rows, columns) = (param.shape()[0], param.shape().get(1).copied().unwrap_or(1));
    let mut losses = Vec::new();
    for column in 0..columns {
        let weighed: Vec<f32> = wanted.iter().skip(column).step_by(columns).copied().collect();
        let (layer, input) = if param.kind() == ParamKind::Vector {
            let weight = frozen([rows, 1], &vec![0.0; rows]);
            (Linear { weight, bias: Some(Arc::clone(param)) }, vec![0.0])
        } else {
            let mut unit = vec![0.0; columns];
            unit[column] = 1.0;
            (Linear { weight: Arc::clone(param), bias: None }, unit)
        };
        let x = Tensor::from_f32(device, [1, input.len()], &input).unwrap();
        // Trainable, because the packed form of a frozen matrix cannot tell where it holds what is no number.
        let weigh =
            Linear { weight: Arc::new(self::param(device, "weigh", &[1, rows], &weighed)), bias: None };
        losses.push(forward(&weigh, &forward(&layer, &x)));
    }
    let sum = losses.into_iter().reduce(|sum, loss| add(&tape, &sum, &loss).unwrap()).unwrap();
    tape.backward(&sum).unwrap();
    if wanted.iter().all(|value| value.is_finite()) {
        assert_eq!(param.grad(), wanted);
    }
}

fn largest_distance(found: &[f32], wanted: &[f32]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let apart = found.iter().zip(wanted).map(|(&found, &wanted)| f64::from((found - wanted).abs()));
    apart.fold(0.0, f64::max)
}

/// The second and the third of three steps, the third clipped, of a matrix and a vector with decay on both. The values
/// that the file calls the first are those after the last step, so it starts from what the first step left; that one is
/// proven with the kernel.
#[test]
fn steps_are_those_of_pytorch() {
    let Some(data) = outside_data("steps of AdamW") else { return };
    let golden = read_tensors(&data.join("golden_reference_numerics/adamw_3steps.safetensors"));
    let value = |name: &str| golden[name].values();
    let device = device();
    let p = Arc::new(param(&device, "p", &[5, 3], &value("p1")));
    let q = Arc::new(param(&device, "q", &[4], &value("q1")).with_decay(true));
    let mut optimiser = AdamW::new(&[Arc::clone(&p), Arc::clone(&q)], SETTINGS).unwrap();
    let left = |name: &str| {
        let gradient = value(&format!("g{name}0"));
        let moment = |of: &dyn Fn(f32) -> f32| gradient.iter().map(|&value| of(value)).collect();
        Some((moment(&|value| 0.1 * value), moment(&|value| 0.02 * value * value)))
    };
    optimiser.restore(1, ["p", "q"], left).unwrap();
    for step in [1, 2] {
        // The stored gradients of the third step are the clipped ones. Made larger by a power of two, which is exact,
        // they have to be clipped again.
        let scale = if step == 2 { 4.0 } else { 1.0 };
        for (param, name) in [(&p, "gp"), (&q, "gq")] {
            let gradient: Vec<f32> =
                value(&format!("{name}{step}")).iter().map(|value| value * scale).collect();
            lend(&device, param, &gradient);
        }
        let report = optimiser.step(RATE, (step == 2).then_some(1.0)).unwrap();
        assert_eq!(report.clipped, step == 2, "{report:?}");
        for (param, name) in [(&p, "p"), (&q, "q")] {
            let (before, after) = (value(&format!("{name}{step}")), value(&format!("{name}{}", step + 1)));
            let apart = largest_distance(&param.values().unwrap(), &after);
            let moved = largest_distance(&before, &after);
            assert!(apart <= 5e-7 && moved > 5e-3, "{name} after step {step}: {apart:.1e} of {moved:.1e}");
        }
    }
    assert_eq!(optimiser.steps_done(), 3);
    assert!((p.version(), q.version()) == (2, 2) && p.grad() == [0.0; 15]);
}

/// Two parameters, one with decay and one without, and an optimiser of them.
struct Run {
    device: Device,
    params: [Arc<Param>; 2],
    optimiser: AdamW,
}

impl Run {
    fn new() -> Self {
        let device = device();
        let weight = param(&device, "layer.weight", &[2, 3], &[1.0, -2.0, 3.0, -4.0, 5.0, -6.0]);
        let bias = param(&device, "layer.bias", &[4], &[1.0, -2.0, 3.0, -4.0]);
        let params = [weight, bias].map(Arc::new);
        let optimiser = AdamW::new(&params, SETTINGS).unwrap();
        Self { device, params, optimiser }
    }

    fn lend(&self, factor: f32) {
        let numbers: Vec<f32> = (1..=6u8).map(|number| f32::from(number) * factor).collect();
        lend(&self.device, &self.params[0], &numbers);
        lend(&self.device, &self.params[1], &numbers[..4]);
    }

    fn step(&mut self, factor: f32) {
        self.lend(factor);
        self.optimiser.step(RATE, Some(1.0)).unwrap();
    }

    fn values(&self) -> Vec<Vec<f32>> {
        self.params.iter().map(|param| param.values().unwrap()).collect()
    }

    fn saved(&self) -> Saved {
        let copy = |(param, first, second): (&Arc<Param>, &[f32], &[f32])| {
            (param.name().to_owned(), (first.to_vec(), second.to_vec()))
        };
        self.optimiser.moments().map(copy).collect()
    }
}

#[test]
fn decay_is_for_those_that_have_it() {
    let mut run = Run::new();
    let before = run.values();
    run.lend(0.0);
    let report = run.optimiser.step(RATE, None).unwrap();
    assert_eq!((report.gradient_norm, report.clipped), (0.0, false));
    let kept: Vec<f32> = before[0].iter().map(|value| value * (1.0 - RATE * 0.05) as f32).collect();
    assert_eq!(run.values(), [kept, before[1].clone()]);
}

#[test]
fn gradients_are_clipped_by_the_norm_of_all_of_them() {
    let mut run = Run::new();
    run.lend(2.0);
    let norm = (4.0 * (91.0 + 30.0_f64)).sqrt();
    assert_eq!(run.optimiser.gradient_norm().unwrap(), norm);
    let report = run.optimiser.step(RATE, Some(1.0)).unwrap();
    assert_eq!((report.gradient_norm, report.clipped), (norm, true));
    let moments: Vec<f64> =
        run.optimiser.moments().flat_map(|(_, first, _)| first.to_vec()).map(f64::from).collect();
    let clipped = moments.iter().map(|value| value * value).sum::<f64>().sqrt() / 0.1;
    assert!((clipped - 1.0).abs() < 1e-6, "{clipped}");
    run.lend(1e-3);
    assert!(!run.optimiser.step(RATE, Some(1.0)).unwrap().clipped);
}

/// Steps of BertAdam, worked out in 64 bits after the equations of the implementation that PLUS uses: no correction, decay
/// on everything, each parameter clipped by itself.
#[test]
fn steps_of_bert_are_those_of_its_equations() {
    let settings = AdamWSettings { epsilon: 1e-6, rule: Rule::Bert, ..SETTINGS };
    let mut run = Run::new();
    run.optimiser = AdamW::new(&run.params, settings).unwrap();
    let mut wanted: Vec<Vec<[f64; 3]>> = run
        .values()
        .iter()
        .map(|values| values.iter().map(|&p| [f64::from(p), 0.0, 0.0]).collect())
        .collect();
    for factor in [2.0f32, -0.05, 0.5] {
        run.lend(factor);
        let report = run.optimiser.step(RATE, Some(1.0)).unwrap();
        for param in &mut wanted {
            let gradient: Vec<f64> =
                (1..=param.len()).map(|number| number as f64 * f64::from(factor)).collect();
            let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            let clip = (1.0 / (norm + 1e-6)).min(1.0);
            for ([p, m, v], g) in param.iter_mut().zip(gradient) {
                let g = g * clip;
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.98 * *v + 0.02 * g * g;
                *p -= RATE * (*m / (v.sqrt() + 1e-6) + 0.05 * *p);
            }
        }
        assert_eq!(report.clipped, factor != -0.05, "{report:?}");
        for (found, wanted) in run.values().iter().zip(&wanted) {
            let wanted: Vec<f32> = wanted.iter().map(|[p, ..]| *p as f32).collect();
            // Values up to six are rounded three times a step, 3e-7 each, and moments count with the rate.
            let apart = largest_distance(found, &wanted);
            assert!(apart < 2e-6, "{found:?}, wanted {wanted:?}");
        }
    }
    let mut other = Run::new();
    other.step(2.0);
    let apart = largest_distance(&other.values()[0], &run.values()[0]);
    assert!(apart > 1e-3, "the rule counts for nothing: {apart}");
}

/// Ten steps in one go, and five, everything saved, and five more: the same bits.
#[test]
fn a_restored_optimiser_goes_on_as_if_nothing_had_been() {
    let (mut through, mut first) = (Run::new(), Run::new());
    (0..10).for_each(|step| through.step(step as f32 - 3.0));
    (0..5).for_each(|step| first.step(step as f32 - 3.0));
    let saved = first.saved();
    let mut second = Run::new();
    for (param, values) in second.params.iter().zip(first.values()) {
        param.set_values(&values).unwrap();
    }
    let names = saved.keys().map(String::as_str);
    second.optimiser.restore(5, names, |name| saved.get(name).cloned()).unwrap();
    (5..10).for_each(|step| second.step(step as f32 - 3.0));
    assert_eq!((second.values(), second.saved()), (through.values(), through.saved()));
    assert_eq!(second.optimiser.steps_done(), 10);

    let mut forgetful = Run::new();
    let names: Vec<&str> = saved.keys().map(String::as_str).collect();
    forgetful.optimiser.restore(4, names, |name| saved.get(name).cloned()).unwrap();
    forgetful
        .params
        .iter()
        .zip(first.values())
        .for_each(|(param, values)| param.set_values(&values).unwrap());
    (5..10).for_each(|step| forgetful.step(step as f32 - 3.0));
    assert_ne!(forgetful.values(), through.values(), "the number of the step counts for nothing");
}

#[test]
fn moments_of_another_model_are_refused() {
    let mut run = Run::new();
    run.step(1.0);
    let refused = |change: &dyn Fn(&mut Saved)| {
        let mut saved = run.saved();
        change(&mut saved);
        let names = saved.keys().map(String::as_str);
        let error = Run::new().optimiser.restore(1, names, |name| saved.get(name).cloned()).unwrap_err();
        error.to_string()
    };
    let missing = refused(&|saved| drop(saved.remove("layer.bias")));
    assert!(missing.contains("no moments of parameter layer.bias"), "{missing}");
    let unknown = refused(&|saved| drop(saved.insert("other\n".to_owned(), (vec![], vec![]))));
    assert!(unknown.contains(r#"moments of "other\n", which is no parameter"#), "{unknown}");
    let longer = refused(&|saved| saved.get_mut("layer.bias").unwrap().1.push(0.0));
    assert!(longer.contains("second moment of parameter layer.bias has 5 values, wanted 4"), "{longer}");
    let shorter = refused(&|saved| saved.get_mut("layer.weight").unwrap().0.truncate(5));
    assert!(shorter.contains("first moment of parameter layer.weight has 5 values, wanted 6"), "{shorter}");
    let broken = refused(&|saved| saved.get_mut("layer.weight").unwrap().0[2] = f32::NAN);
    assert!(broken.contains("is NaN at element 2"), "{broken}");
    let negative = refused(&|saved| saved.get_mut("layer.weight").unwrap().1[1] = -1.0);
    assert!(negative.contains("second moment of parameter layer.weight is -1 at element 1"), "{negative}");
}

#[test]
fn gradients_that_are_not_finite_or_not_there_stop_the_step() {
    for value in [f32::NAN, f32::INFINITY] {
        let mut run = Run::new();
        run.lend(1.0);
        lend(&run.device, &run.params[1], &[1.0, 2.0, value, 4.0]);
        let before = run.values();
        let error = run.optimiser.step(RATE, Some(1.0)).unwrap_err();
        assert!(
            matches!(&error, OptimError::NotFinite { name, index: 2, .. } if name == "layer.bias"),
            "{error}"
        );
        assert!(error.to_string().contains("the gradient of parameter layer.bias is"), "{error}");
        assert_eq!((run.values(), run.optimiser.steps_done()), (before, 0));
        run.params.iter().for_each(|param| param.zero_grad());
        run.step(1.0);
    }
    let mut run = Run::new();
    lend(&run.device, &run.params[0], &[1.0; 6]);
    let error = run.optimiser.step(RATE, None).unwrap_err();
    let names = vec!["layer.bias".to_owned()];
    assert!(matches!(error, OptimError::Tensor(found) if found == TensorError::NoGradient { names }));
}

#[test]
fn what_cannot_be_optimised_is_refused() {
    let device = device();
    let one = Arc::new(param(&device, "w", &[1, 2], &[1.0, 2.0]));
    let frozen =
        Arc::new(Param::frozen(&device, Precision::F32, "f", &[1], &[1.0], ParamKind::Vector).unwrap());
    let refused = |params: &[Arc<Param>], settings| AdamW::new(params, settings).unwrap_err().to_string();
    let nothing = refused(std::slice::from_ref(&frozen), SETTINGS);
    assert!(nothing.contains("none of the 1 parameters can be trained"), "{nothing}");
    assert!(refused(&[Arc::clone(&one), Arc::clone(&one)], SETTINGS).contains("named w"));
    for (settings, what) in [
        (AdamWSettings { beta1: 1.0, ..SETTINGS }, "beta1 is 1"),
        (AdamWSettings { beta2: f64::NAN, ..SETTINGS }, "beta2 is NaN"),
        (AdamWSettings { epsilon: 0.0, ..SETTINGS }, "epsilon is 0"),
        (AdamWSettings { weight_decay: -0.1, ..SETTINGS }, "weight_decay is -0.1"),
    ] {
        let error = refused(std::slice::from_ref(&one), settings);
        assert!(error.contains(what), "{error}");
    }
    let mut optimiser = AdamW::new(&[one, frozen], SETTINGS).unwrap();
    assert_eq!(optimiser.moments().count(), 1);
    assert!(optimiser.step(f64::NAN, None).unwrap_err().to_string().contains("the learning rate is NaN"));
    assert!(optimiser.step(RATE, Some(0.0)).unwrap_err().to_string().contains("the norm to clip to is 0"));
}

const WARMUP: u64 = 10;
const STEPS: u64 = 110;

/// Every schedule with the tensor of the fixture that it has to meet.
fn schedules() -> [(&'static str, Schedule); 9] {
    let (warmup_steps, steps) = (WARMUP, STEPS);
    let linear = |final_fraction| Schedule::Linear { warmup_steps, steps, final_fraction };
    let cosine = |final_fraction| Schedule::Cosine { warmup_steps, steps, final_fraction };
    let restarts =
        |final_fraction| Schedule::CosineRestarts { warmup_steps, steps, final_fraction, cycles: 4 };
    [
        ("torch_constant", Schedule::Constant { warmup_steps }),
        ("torch_linear", linear(0.1)),
        ("torch_cosine", cosine(0.1)),
        ("torch_restarts", restarts(0.1)),
        ("transformers_constant", Schedule::Constant { warmup_steps }),
        ("transformers_linear", linear(0.0)),
        ("transformers_cosine", cosine(0.0)),
        ("transformers_cosine_final", cosine(0.1)),
        ("transformers_restarts", restarts(0.0)),
    ]
}

/// The largest distance of a schedule from the rates of every update.
fn worst(schedule: Schedule, wanted: &[f64]) -> f64 {
    let apart = wanted.iter().zip(0..).map(|(wanted, step)| (schedule.factor(step) - wanted).abs());
    apart.fold(0.0, f64::max)
}

#[test]
fn schedules_are_those_of_pytorch_and_transformers() {
    let file = Fixture::open("schedules");
    for (name, schedule) in schedules() {
        schedule.check().unwrap();
        let wanted = file.f64(name);
        assert!(wanted.len() >= STEPS as usize, "{name}: {} rates", wanted.len());
        assert!(worst(schedule, &wanted) < 1e-12, "{name}: {:.1e}", worst(schedule, &wanted));
        let late = |step: u64| schedule.factor(step + 1);
        let shifted = wanted.iter().zip(0..).any(|(wanted, step)| (late(step) - wanted).abs() > 1e-3);
        assert!(shifted, "{name}: a schedule one update too late passes");
    }
    // `LinearLR` cannot begin at zero; the fixture's begins at 1e-9.
    assert!(worst(Schedule::Constant { warmup_steps: WARMUP }, &file.f64("torch_warmup")) < 2e-9);
    let other = Schedule::Cosine { warmup_steps: WARMUP, steps: STEPS, final_fraction: 0.11 };
    assert!(worst(other, &file.f64("torch_cosine")) > 1e-3);
}
