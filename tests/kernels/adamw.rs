//! Proofs of the optimiser's step.

use pliant_kernels::Device;
use pliant_kernels::ops::adamw::{
    self, State, Step, TOLERANCE_FIRST, TOLERANCE_SECOND, TOLERANCE_VALUES, cpu,
};
use pliant_tests::kernels::inputs::reals;
use pliant_tests::kernels::{Case, Expected, Fixture, Found, Inputs, assert_close, devices};

/// Lengths: one, around a vector, over a piece of work, large.
const LENGTHS: [usize; 7] = [1, 15, 16, 17, 33, 16 * 1024 + 1, 100_003];

const STEP: Step = Step {
    number: 1,
    learning_rate: 1e-2,
    beta1: 0.9,
    beta2: 0.98,
    epsilon: 1e-8,
    weight_decay: 0.05,
    factor: 1.0,
};

#[derive(Clone)]
struct Problem {
    step: Step,
    gradient: Vec<f32>,
    /// Values, first and second moments.
    state: [Vec<f32>; 3],
}

impl Problem {
    /// A step far into a run: moments that gradients of that size leave.
    fn late(length: usize) -> Self {
        let mut inputs = Inputs::new(&format!("adamw {length}"));
        let state =
            [inputs.normal(length, 1.0), inputs.normal(length, 0.5), inputs.uniform(length, 0.5, 4.0)];
        let step = Step { number: 1234, factor: 0.3, ..STEP };
        Self { step, gradient: inputs.normal(length, 3.0), state }
    }

    /// The first step.
    fn first(length: usize) -> Self {
        let mut late = Self::late(length);
        late.state[1].fill(0.0);
        late.state[2].fill(0.0);
        // Away from zero, where the direction of a first step is its sign alone.
        late.gradient.iter_mut().for_each(|gradient| *gradient += gradient.signum());
        Self { step: Step { number: 1, ..late.step }, ..late }
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let mut state = self.state.clone().map(|values| device.upload(&values));
        let [values, first, second] = &mut state;
        let gradient = device.upload(&self.gradient);
        adamw::update(device, &self.step, &gradient, State { values, first, second }).unwrap();
        let [values, first, second] = &state;
        vec![Found::new("values", values), Found::new("first", first), Found::new("second", second)]
    }

    fn plain(&self) -> [Vec<f64>; 3] {
        let mut state = self.state.clone().map(|values| reals(&values));
        let [values, first, second] = &mut state;
        cpu::update(&self.step, &reals(&self.gradient), values, first, second);
        state
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |(name, problem): (String, Problem)| {
        let [values, first, second] = problem.plain();
        let oracle = vec![
            Expected::new("values", values, TOLERANCE_VALUES),
            Expected::new("first", first, TOLERANCE_FIRST),
            Expected::new("second", second, TOLERANCE_SECOND),
        ];
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    let problems = LENGTHS.into_iter().flat_map(|length| {
        [
            (format!("adamw first step, {length}"), Problem::first(length)),
            (format!("adamw late step, {length}"), Problem::late(length)),
        ]
    });
    problems.map(case).collect()
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("adamw");
    let settings = file.f64("settings");
    let [learning_rate, beta1, beta2, epsilon, weight_decay] = settings[..] else { panic!("{settings:?}") };
    let start = [file.f32("values_0"), vec![0.0; 37], vec![0.0; 37]];
    let mut plain = start.clone().map(|values| reals(&values));
    let mut fast: Vec<_> = devices().iter().map(|_| start.clone()).collect();
    for number in 1..=3 {
        let factor = file.f64(&format!("factor_{number}"))[0];
        assert_eq!(factor < 0.5, number == 3, "the third step is clipped");
        let step = Step { number, learning_rate, beta1, beta2, epsilon, weight_decay, factor };
        let gradient = file.f32(&format!("gradient_{number}"));
        let wanted = ["values", "first", "second"].map(|name| file.f64(&format!("{name}_{number}")));
        let [values, first, second] = &mut plain;
        cpu::update(&step, &reals(&gradient), values, first, second);
        for (found, wanted) in plain.iter().zip(&wanted) {
            let exact = pliant_kernels::Tolerance { absolute: 1e-14, relative: 1e-12 };
            assert_close("plain", found, wanted, exact);
        }
        for (device, state) in devices().iter().zip(&mut fast) {
            let problem = Problem { step, gradient: gradient.clone(), state: state.clone() };
            let found = problem.fast(device);
            let tolerances = [TOLERANCE_VALUES, TOLERANCE_FIRST, TOLERANCE_SECOND];
            for place in 0..3 {
                let values = found[place].values.reals();
                let mut tolerance = tolerances[place];
                // Errors of the steps before stay.
                tolerance.absolute *= number as f64;
                tolerance.relative *= number as f64;
                assert_close(found[place].what, &values, &wanted[place], tolerance);
                state[place] = values.iter().map(|&value| value as f32).collect();
            }
        }
    }
}

#[test]
fn without_gradient_there_is_decay_alone() {
    for device in devices() {
        let problem = Problem {
            step: STEP,
            gradient: vec![0.0; 20],
            state: [vec![2.0; 20], vec![0.0; 20], vec![0.0; 20]],
        };
        let found = problem.fast(device);
        assert_eq!(found[0].values.reals(), [f64::from(2.0 * (1.0 - 1e-2 * 0.05) as f32); 20]);
        let still = Problem { step: Step { weight_decay: 0.0, ..STEP }, ..problem };
        assert_eq!(still.fast(device)[0].values.reals(), [2.0; 20]);
    }
}

#[test]
fn sizes_that_differ_and_steps_before_the_first_are_refused() {
    let device = &devices()[0];
    let refused = |step: Step, lengths: [usize; 4]| {
        let [gradient, mut values, mut first, mut second] = lengths.map(|length| device.zeros::<f32>(length));
        let state = State { values: &mut values, first: &mut first, second: &mut second };
        adamw::update(device, &step, &gradient, state).is_err()
    };
    assert!(!refused(STEP, [3; 4]) && !refused(STEP, [0; 4]));
    assert!(refused(Step { number: 0, ..STEP }, [3; 4]));
    assert!(refused(STEP, [2, 3, 3, 3]) && refused(STEP, [3, 3, 2, 3]) && refused(STEP, [3, 3, 3, 4]));
}
