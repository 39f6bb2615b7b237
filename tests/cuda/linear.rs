//! The plain linear layer, and the last steps of a product that a library made.

use crate::proof::{blind_to_neighbours, check};
use crate::script::{Place, Script};
use pliant_kernels::ops::elementwise::cpu::gelu;
use pliant_kernels::ops::linear::{TOLERANCE, cpu};
use pliant_kernels::{Precision, bf16};
use pliant_tests::kernels::compare::narrowed;
use pliant_tests::kernels::inputs::{gather, operand_reals, reals, rounded};
use pliant_tests::kernels::{Expected, Inputs};

/// Rows, columns, inner dimension: one, around the tile and its depth, deep.
const SIZES: [(usize, usize, usize); 6] =
    [(1, 1, 1), (3, 5, 15), (63, 64, 16), (65, 63, 17), (70, 130, 33), (9, 20, 1000)];

/// Codes of the last steps.
const STORE: usize = 0;
const GELU: usize = 1;
const RESIDUAL: usize = 2;

struct Problem {
    size: (usize, usize, usize),
    x: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    residual: Vec<f32>,
}

impl Problem {
    fn new(size: (usize, usize, usize)) -> Self {
        let (rows, columns, inner) = size;
        let mut inputs = Inputs::new(&format!("linear {size:?}"));
        Self {
            size,
            x: inputs.normal(rows * inner, 1.0),
            weights: inputs.normal(columns * inner, 1.0 / (inner as f32).sqrt()),
            bias: inputs.normal(columns, 1.0),
            residual: inputs.normal(rows * columns, 1.0),
        }
    }

    /// Sums with and without the bias.
    fn sums(&self, precision: Precision, bias: bool) -> Vec<f64> {
        let bias = bias.then(|| reals(&self.bias));
        let [x, weights] = [&self.x, &self.weights].map(|values| operand_reals(precision, values));
        let mut y = vec![0.0; self.residual.len()];
        cpu::forward(self.size, &x, &weights, bias.as_deref(), &mut y);
        y
    }

    /// What the three last steps make of sums.
    fn finished(&self, sums: &[f64]) -> [Vec<f64>; 2] {
        let residual = sums.iter().zip(&self.residual).map(|(sum, &residual)| sum + f64::from(residual));
        [sums.iter().map(|&sum| gelu(sum)).collect(), residual.collect()]
    }

    fn operand(script: &mut Script, precision: Precision, values: &[f32]) -> Place {
        match precision {
            Precision::F32 => script.reads(values),
            _ => script.reads(&rounded(values)),
        }
    }
}

fn proof(problem: &Problem, precision: Precision) {
    let (rows, columns, inner) = problem.size;
    let (biased, bare) = (problem.sums(precision, true), problem.sums(precision, false));
    let [active, added] = problem.finished(&biased);
    let mut script = Script::default();
    let [x, weights] =
        [&problem.x, &problem.weights].map(|values| Problem::operand(&mut script, precision, values));
    let [bias, residual] = [&problem.bias, &problem.residual].map(|values| script.reads(values));
    let (to_f32, to_bf16) = match precision {
        Precision::F32 => ("linear_f32_to_f32", "linear_f32_to_bf16"),
        _ => ("linear_bf16_to_f32", "linear_bf16_to_bf16"),
    };
    let count = rows * columns;
    let [plain, active_place, kept, added_place] = [(); 4].map(|()| script.writes::<f32>(count));
    let narrow = script.writes::<bf16>(count);
    let mut run =
        |kernel, y: Place, bias: Option<Place>, kept: Option<Place>, residual: Option<Place>, last: usize| {
            let launch =
                script.launch(kernel).give(x).give(weights).give(bias).give(kept).give(residual).give(y);
            launch.give(rows).give(columns).give(inner).give(last);
        };
    run(to_f32, plain, None, None, None, STORE);
    run(to_f32, active_place, Some(bias), Some(kept), None, GELU);
    run(to_f32, added_place, Some(bias), None, Some(residual), RESIDUAL);
    run(to_bf16, narrow, Some(bias), None, None, GELU);
    let results = [
        (plain, Expected::new("sums", bare, TOLERANCE)),
        (active_place, Expected::new("gelu", active.clone(), TOLERANCE)),
        (kept, Expected::new("kept sums", biased, TOLERANCE)),
        (added_place, Expected::new("residual", added, TOLERANCE)),
        (narrow, Expected::new("gelu in bf16", active, narrowed(TOLERANCE))),
    ];
    check("linear", &format!("{:?} {}", problem.size, precision.name()), &script, &results);
}

#[test]
fn products_agree_with_the_oracle() {
    for size in SIZES {
        let problem = Problem::new(size);
        proof(&problem, Precision::F32);
        proof(&problem, Precision::Bf16);
    }
}

#[test]
fn the_last_step_alone_agrees_with_the_oracle() {
    for size in SIZES {
        let problem = Problem::new(size);
        let (rows, columns, _) = size;
        let sums: Vec<f32> = problem.sums(Precision::F32, false).iter().map(|&sum| sum as f32).collect();
        let biased: Vec<f64> = sums
            .iter()
            .enumerate()
            .map(|(at, &sum)| f64::from(sum) + f64::from(problem.bias[at % columns]))
            .collect();
        let [active, added] = problem.finished(&biased);
        let mut script = Script::default();
        let [bias, residual] = [&problem.bias, &problem.residual].map(|values| script.reads(values));
        // In place, as after a library's product.
        let (first, second, kept) =
            (script.changes(&sums), script.reads(&sums), script.writes::<f32>(sums.len()));
        let narrow = script.writes::<bf16>(sums.len());
        let launch =
            script.launch("linear_epilogue_to_bf16").give(second).give(bias).give(kept).give(None::<Place>);
        launch.give(narrow).give(rows).give(columns).give(GELU);
        let launch =
            script.launch("linear_epilogue_to_f32").give(first).give(bias).give(None::<Place>).give(residual);
        launch.give(first).give(rows).give(columns).give(RESIDUAL);
        let results = [
            (narrow, Expected::new("gelu in bf16", active, narrowed(TOLERANCE))),
            (kept, Expected::new("kept sums", biased, TOLERANCE)),
            (first, Expected::new("residual", added, TOLERANCE)),
        ];
        check("linear", &format!("epilogue {size:?}"), &script, &results);
    }
}

#[test]
fn rows_are_blind_to_their_neighbours() {
    const LENGTHS: [usize; 4] = [1, 63, 2, 70];
    let mut inputs = Inputs::new("rows of products");
    let x: Vec<Vec<f32>> = LENGTHS.map(|length| inputs.normal(length * 40, 1.0)).into();
    let weights = inputs.normal(70 * 40, 0.2);
    blind_to_neighbours("linear", &LENGTHS.map(|length| length * 70), |order| {
        let (x, mut script) = (gather(&x, order), Script::default());
        let rows = x.len() / 40;
        let (from, weights, y) = (script.reads(&x), script.reads(&weights), script.writes::<f32>(rows * 70));
        let launch = script.launch("linear_f32_to_f32").give(from).give(weights).give(None::<Place>);
        launch
            .give(None::<Place>)
            .give(None::<Place>)
            .give(y)
            .give(rows)
            .give(70_usize)
            .give(40_usize)
            .give(STORE);
        (script, y)
    });
}
