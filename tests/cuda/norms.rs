//! Both normalisations of rows.

use crate::program::program;
use crate::proof::{blind_to_neighbours, check};
use crate::script::{PLANS, Place, Script};
use pliant_kernels::bf16;
use pliant_kernels::ops::{layer_norm, rms_norm};
use pliant_tests::kernels::inputs::{gather, reals};
use pliant_tests::kernels::{Expected, Inputs};

/// Rows and widths: one lane, around a warp, around a block's rows, wide.
const SIZES: [(usize, usize); 7] = [(1, 3), (3, 31), (4, 32), (5, 33), (33, 64), (9, 320), (2, 1283)];

const EPSILON: f32 = 1e-5;

struct Problem {
    rows: usize,
    width: usize,
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Problem {
    fn new((rows, width): (usize, usize)) -> Self {
        let mut inputs = Inputs::new(&format!("norms {rows} {width}"));
        let x = inputs.normal(rows * width, 1.0).into_iter().map(|value| value + 0.5).collect();
        let (gamma, beta) = (inputs.normal(width, 1.0), inputs.normal(width, 1.0));
        Self { rows, width, x, gamma, beta }
    }

    fn layer_norm(&self, script: &mut Script, kernel: &'static str, y: Place, statistics: Option<Place>) {
        let [x, gamma, beta] = [&self.x, &self.gamma, &self.beta].map(|values| script.reads(values));
        let launch = script.launch(kernel).give(x).give(gamma).give(beta).give(y).give(statistics);
        launch.give(self.rows).give(self.width).give(EPSILON);
    }

    fn rms_norm(&self, script: &mut Script, kernel: &'static str, y: Place, statistics: Option<Place>) {
        let [x, gamma] = [&self.x, &self.gamma].map(|values| script.reads(values));
        let launch = script.launch(kernel).give(x).give(gamma).give(y).give(statistics);
        launch.give(self.rows).give(self.width).give(EPSILON);
    }
}

#[test]
fn layer_norm_agrees_with_its_oracle() {
    agrees(layer_norm::Kind::Deviation, ["layer_norm_f32", "layer_norm_bf16"]);
    agrees(layer_norm::Kind::RootDeviation, ["layer_norm_root_f32", "layer_norm_root_bf16"]);
}

fn agrees(kind: layer_norm::Kind, kernels: [&'static str; 2]) {
    use layer_norm::{TOLERANCE, TOLERANCE_BF16};
    for size in SIZES {
        let problem = Problem::new(size);
        let Problem { rows, width, .. } = problem;
        let (mut y, mut statistics) = (vec![0.0; rows * width], vec![0.0; 2 * rows]);
        let sizes = layer_norm::Sizes { rows, width, epsilon: EPSILON, kind };
        let [x, gamma, beta] = [&problem.x, &problem.gamma, &problem.beta].map(|values| reals(values));
        layer_norm::cpu::forward(sizes, &x, &gamma, &beta, &mut y, &mut statistics);
        let mut script = Script::default();
        let [wide, kept] = [rows * width, 2 * rows].map(|length| script.writes::<f32>(length));
        let narrow = script.writes::<bf16>(rows * width);
        problem.layer_norm(&mut script, kernels[0], wide, Some(kept));
        problem.layer_norm(&mut script, kernels[1], narrow, None);
        let results = [
            (wide, Expected::new("y", y.clone(), TOLERANCE)),
            (narrow, Expected::new("y in bf16", y, TOLERANCE_BF16)),
            (kept, Expected::new("statistics", statistics, TOLERANCE)),
        ];
        check("layer_norm", &format!("{kind:?} {rows}x{width}"), &script, &results);
    }
}

#[test]
fn rms_norm_agrees_with_its_oracle() {
    use rms_norm::{TOLERANCE, TOLERANCE_BF16};
    for size in SIZES {
        let problem = Problem::new(size);
        let Problem { rows, width, .. } = problem;
        let (mut y, mut statistics) = (vec![0.0; rows * width], vec![0.0; rows]);
        let sizes = rms_norm::Sizes { rows, width, epsilon: EPSILON };
        rms_norm::cpu::forward(sizes, &reals(&problem.x), &reals(&problem.gamma), &mut y, &mut statistics);
        let mut script = Script::default();
        let [wide, kept] = [rows * width, rows].map(|length| script.writes::<f32>(length));
        let narrow = script.writes::<bf16>(rows * width);
        problem.rms_norm(&mut script, "rms_norm_f32", wide, Some(kept));
        problem.rms_norm(&mut script, "rms_norm_bf16", narrow, None);
        let results = [
            (wide, Expected::new("y", y.clone(), TOLERANCE)),
            (narrow, Expected::new("y in bf16", y, TOLERANCE_BF16)),
            (kept, Expected::new("statistics", statistics, TOLERANCE)),
        ];
        check("rms_norm", &format!("{rows}x{width}"), &script, &results);
    }
}

#[test]
fn rows_are_blind_to_their_neighbours() {
    const LENGTHS: [usize; 4] = [1, 31, 2, 7];
    let width = 83;
    let mut inputs = Inputs::new("norms of sequences");
    let rows: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * width, 1.0)).into();
    let (gamma, beta) = (inputs.normal(width, 1.0), inputs.normal(width, 1.0));
    let pack = |order: &[usize]| {
        let x = gather(&rows, order);
        Problem { rows: x.len() / width, width, x, gamma: gamma.clone(), beta: beta.clone() }
    };
    let lengths = LENGTHS.map(|length| length * width);
    blind_to_neighbours("layer_norm", &lengths, |order| {
        let (problem, mut script) = (pack(order), Script::default());
        let y = script.writes::<f32>(problem.x.len());
        problem.layer_norm(&mut script, "layer_norm_f32", y, None);
        (script, y)
    });
    blind_to_neighbours("rms_norm", &lengths, |order| {
        let (problem, mut script) = (pack(order), Script::default());
        let y = script.writes::<bf16>(problem.x.len());
        problem.rms_norm(&mut script, "rms_norm_bf16", y, None);
        (script, y)
    });
}

#[test]
fn a_row_that_is_not_a_number_stays_so() {
    let mut problem = Problem::new((3, 40));
    problem.x[50] = f32::NAN;
    let mut script = Script::default();
    let y = script.writes::<f32>(120);
    problem.layer_norm(&mut script, "layer_norm_f32", y, None);
    let Some(program) = program("layer_norm") else { return };
    let found = script.run(&program, PLANS[0]).unwrap().values(y).reals();
    let broken: Vec<bool> = found.chunks(40).map(|row| row.iter().all(|value| value.is_nan())).collect();
    assert_eq!(broken, [false, true, false]);
    assert!(found[..40].iter().all(|value| value.is_finite()));
}
