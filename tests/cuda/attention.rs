//! Attention on the plain path and by tensor cores.

use crate::program::program;
use crate::proof::{blind_to_neighbours, check, indices};
use crate::script::{PLANS, Place, Script};
use pliant_kernels::ops::attention::{LARGE_SCORES, Sizes, TOLERANCE, TOLERANCE_BF16, TOLERANCE_LSE, cpu};
use pliant_kernels::{Precision, Tolerance, bf16};
use pliant_tests::kernels::compare::narrowed;
use pliant_tests::kernels::inputs::{gather, offsets, operand_reals, rounded};
use pliant_tests::kernels::{Expected, Inputs};

/// How attention is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    PlainF32,
    PlainBf16,
    Tensors,
}

impl Way {
    const ALL: [Self; 3] = [Self::PlainF32, Self::PlainBf16, Self::Tensors];

    fn precision(self) -> Precision {
        if self == Self::PlainF32 { Precision::F32 } else { Precision::Bf16 }
    }

    /// Queries of one task, as the kernels take them.
    fn queries(self, head_width: usize) -> usize {
        match self {
            Self::Tensors if head_width <= 64 => 128,
            Self::Tensors => 64,
            _ => 32,
        }
    }
}

/// Heads, head width and lengths: every head width that models have and one between, lengths around a tile of keys and of
/// queries, without tokens.
const PACKS: [(usize, usize, &[usize]); 7] = [
    (1, 8, &[1]),
    (2, 16, &[31, 0, 2]),
    (3, 24, &[33, 1, 64]),
    (2, 32, &[65, 32]),
    (1, 40, &[3, 70]),
    (2, 64, &[100, 1]),
    (1, 128, &[40, 33]),
];

/// Scaled queries, keys and values.
struct Problem {
    sizes: Sizes,
    lengths: Vec<usize>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Problem {
    fn new((heads, head_width, lengths): (usize, usize, &[usize]), spread: f32) -> Self {
        let sizes = Sizes { heads, head_width };
        let mut inputs = Inputs::new(&format!("attention on the device {sizes:?} {lengths:?} {spread}"));
        let count = lengths.iter().sum::<usize>() * sizes.width();
        let q = inputs.normal(count, spread / (head_width as f32).sqrt());
        let (k, v) = (inputs.normal(count, 1.0), inputs.normal(count, 1.0));
        Self { sizes, lengths: lengths.to_vec(), q, k, v }
    }

    fn plain(&self, precision: Precision) -> (Vec<f64>, Vec<f64>) {
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|values| operand_reals(precision, values));
        let offsets = offsets(&self.lengths);
        let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; q.len() / self.sizes.head_width]);
        cpu::forward(self.sizes, &offsets, (&q, &k, &v), &mut out, &mut lse);
        (out, lse)
    }

    fn run(&self, script: &mut Script, way: Way, narrow: bool) -> (Place, Place) {
        let tasks = tasks(&self.lengths, way.queries(self.sizes.head_width));
        let (tasks, count) = (script.reads(&indices(&tasks)), tasks.len() / 3);
        let operands = [&self.q, &self.k, &self.v].map(|values| match way.precision() {
            Precision::F32 => script.reads(values),
            _ => script.reads(&rounded(values)),
        });
        let length = self.q.len();
        let out = if narrow { script.writes::<bf16>(length) } else { script.writes::<f32>(length) };
        let lse = script.writes::<f32>(length / self.sizes.head_width);
        let launch = script.launch(kernel(self.sizes.head_width, way, narrow)).give(tasks);
        operands.iter().for_each(|&operand| {
            launch.give(operand);
        });
        launch.give(out).give(lse).give(count).give(self.sizes.heads).give(self.sizes.head_width);
        (out, lse)
    }
}

/// First query, first token and end of every stretch of queries.
fn tasks(lengths: &[usize], queries: usize) -> Vec<usize> {
    let offsets = offsets(lengths);
    let sequences = offsets.windows(2);
    sequences
        .flat_map(|pair| (pair[0]..pair[1]).step_by(queries).flat_map(|first| [first, pair[0], pair[1]]))
        .collect()
}

fn kernel(head_width: usize, way: Way, narrow: bool) -> &'static str {
    if way == Way::Tensors {
        let names = match head_width {
            ..=16 => ["attention_tensor_16_to_f32", "attention_tensor_16_to_bf16"],
            17..=32 => ["attention_tensor_32_to_f32", "attention_tensor_32_to_bf16"],
            33..=64 => ["attention_tensor_64_to_f32", "attention_tensor_64_to_bf16"],
            _ => ["attention_tensor_128_to_f32", "attention_tensor_128_to_bf16"],
        };
        return names[usize::from(narrow)];
    }
    let names = match head_width {
        ..=32 => [
            "attention_32_f32_to_f32",
            "attention_32_f32_to_bf16",
            "attention_32_bf16_to_f32",
            "attention_32_bf16_to_bf16",
        ],
        33..=64 => [
            "attention_64_f32_to_f32",
            "attention_64_f32_to_bf16",
            "attention_64_bf16_to_f32",
            "attention_64_bf16_to_bf16",
        ],
        _ => [
            "attention_128_f32_to_f32",
            "attention_128_f32_to_bf16",
            "attention_128_bf16_to_f32",
            "attention_128_bf16_to_bf16",
        ],
    };
    names[2 * usize::from(way == Way::PlainBf16) + usize::from(narrow)]
}

fn larger(tolerance: Tolerance, factor: f64) -> Tolerance {
    Tolerance { absolute: tolerance.absolute * factor, relative: tolerance.relative * factor }
}

fn prove(problem: &Problem, factor: f64) {
    Way::ALL.into_iter().for_each(|way| prove_way(problem, way, factor));
}

fn prove_way(problem: &Problem, way: Way, factor: f64) {
    let (out, lse) = problem.plain(way.precision());
    let tolerance = if way == Way::PlainF32 { larger(TOLERANCE, factor) } else { TOLERANCE_BF16 };
    let mut script = Script::default();
    let (wide, sums) = problem.run(&mut script, way, false);
    let (narrow, _) = problem.run(&mut script, way, true);
    let results = [
        (wide, Expected::new("out", out.clone(), tolerance)),
        (narrow, Expected::new("out in bf16", out, narrowed(tolerance))),
        (sums, Expected::new("lse", lse, larger(TOLERANCE_LSE, factor))),
    ];
    let name = format!("{:?} {:?} {way:?}", problem.sizes, problem.lengths);
    check("attention", &name, &script, &results);
}

#[test]
fn heads_agree_with_the_oracle() {
    for pack in PACKS {
        prove(&Problem::new(pack, 1.0), 1.0);
    }
}

/// Tensor cores take 32 queries a warp, 128 a block, keys by 64, of the widest heads half of that: lengths around all of these
/// and over several turns, every head width with more than one head, so that a load beyond a head's columns or a sequence's rows
/// finds others' numbers.
#[test]
fn tensor_cores_agree_with_the_oracle_at_every_width_and_length() {
    const HEADS: [(usize, usize); 7] = [(3, 8), (2, 16), (3, 24), (2, 32), (2, 40), (2, 64), (2, 128)];
    const LENGTHS: [&[usize]; 3] = [&[15, 16, 17], &[63, 64, 65], &[33, 129, 1]];
    for (place, (heads, head_width)) in HEADS.into_iter().enumerate() {
        // The widest are the slowest: each width takes every length in turn, and 24 and 64, which models have, take all.
        for (turn, lengths) in LENGTHS.into_iter().enumerate() {
            if turn == place % LENGTHS.len() || [24, 64].contains(&head_width) {
                prove_way(&Problem::new((heads, head_width, lengths), 1.0), Way::Tensors, 1.0);
            }
        }
    }
}

/// Scores up to about a hundred, and equal ones.
#[test]
fn large_and_equal_scores_agree_with_the_oracle() {
    prove(&Problem::new((2, 24, &[3, 80]), 25.0), LARGE_SCORES);
    let mut equal = Problem::new((2, 24, &[3, 80]), 1.0);
    equal.q.fill(0.0);
    prove(&equal, 1.0);
}

#[test]
fn sequences_are_blind_to_their_neighbours() {
    const LENGTHS: [usize; 4] = [1, 33, 2, 100];
    for way in Way::ALL {
        let sizes = Sizes { heads: 3, head_width: 24 };
        let mut inputs = Inputs::new("attention sequences on the device");
        let mut draw = |spread| -> Vec<Vec<f32>> {
            LENGTHS.map(|length| inputs.normal(length * sizes.width(), spread)).into()
        };
        let [q, k, v] = [draw(0.2), draw(1.0), draw(1.0)];
        blind_to_neighbours("attention", &LENGTHS.map(|length| length * sizes.width()), |order| {
            let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
            let [q, k, v] = [&q, &k, &v].map(|values| gather(values, order));
            let mut script = Script::default();
            let (out, _) = Problem { sizes, lengths, q, k, v }.run(&mut script, way, false);
            (script, out)
        });
    }
}

#[test]
fn what_is_not_a_number_stays_in_its_sequence() {
    let mut problem = Problem::new((1, 16, &[40, 40]), 1.0);
    problem.k[5] = f32::NAN;
    for way in Way::ALL {
        let mut script = Script::default();
        let (out, _) = problem.run(&mut script, way, false);
        let Some(program) = program("attention") else { return };
        let found = script.run(&program, PLANS[0]).unwrap().values(out).reals();
        let (first, other) = found.split_at(640);
        assert!(first.iter().all(|value| value.is_nan()), "{way:?}");
        assert!(other.iter().all(|value| value.is_finite()), "{way:?}");
    }
}
