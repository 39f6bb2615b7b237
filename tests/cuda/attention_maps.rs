//! Attention maps, whole and mixed.

use crate::proof::check;
use crate::script::{Place, Script};
use pliant_kernels::Precision;
use pliant_kernels::ops::attention::{Sizes, TOLERANCE_MIXED, TOLERANCE_PROBS, cpu};
use pliant_tests::kernels::inputs::{operand_reals, reals, rounded};
use pliant_tests::kernels::{Expected, Inputs};

/// Heads, head width, tokens before the sequence, its tokens, and its residues.
type Case = (usize, usize, usize, usize, (usize, usize));

const SIZES: [Case; 4] =
    [(1, 8, 0, 1, (0, 1)), (3, 16, 5, 33, (1, 32)), (2, 24, 1, 64, (0, 64)), (4, 64, 2, 40, (1, 39))];

/// Names of a precision's kernels.
fn kernels(precision: Precision) -> [&'static str; 4] {
    match precision {
        Precision::F32 => {
            ["attention_statistics_f32", "attention_maps_f32", "attention_mix_f32", "attention_margins_f32"]
        }
        _ => [
            "attention_statistics_bf16",
            "attention_maps_bf16",
            "attention_mix_bf16",
            "attention_margins_bf16",
        ],
    }
}

struct Places {
    maps: Place,
    mixed: Place,
    margins: Place,
}

/// Runs all four kernels on one sequence of a pack.
fn run(
    script: &mut Script,
    precision: Precision,
    (heads, head_width, start, length, (first, residues)): (usize, usize, usize, usize, (usize, usize)),
    (q, k, weights, map): (&[f32], &[f32], &[f32], &[f32]),
) -> Places {
    let names = kernels(precision);
    let [q, k] = [q, k].map(|values| match precision {
        Precision::F32 => script.reads(values),
        _ => script.reads(&rounded(values)),
    });
    let weights = script.reads(weights);
    let (found, maps) =
        (script.writes::<f32>(2 * heads * length), script.writes::<f32>(heads * length * length));
    let (mixed, margins) = (script.changes(map), script.writes::<f32>(heads * residues));
    let sizes = |launch: &mut crate::script::Launch| {
        launch.give(start).give(length).give(heads).give(head_width);
    };
    sizes(script.launch(names[0]).give(q).give(k).give(found));
    sizes(script.launch(names[1]).give(q).give(k).give(found).give(maps));
    sizes(
        script
            .launch(names[2])
            .give(q)
            .give(k)
            .give(found)
            .give(weights)
            .give(mixed)
            .give(first)
            .give(residues),
    );
    sizes(script.launch(names[3]).give(q).give(k).give(found).give(margins).give(first).give(residues));
    Places { maps, mixed, margins }
}

#[test]
fn maps_and_their_mixtures_agree_with_the_oracle() {
    for size in SIZES {
        let (heads, head_width, start, length, (first, residues)) = size;
        let sizes = Sizes { heads, head_width };
        let mut inputs = Inputs::new(&format!("maps on the device {size:?}"));
        let count = (start + length) * sizes.width();
        let q = inputs.normal(count, 1.0 / (head_width as f32).sqrt());
        let (k, weights) = (inputs.normal(count, 1.0), inputs.normal(heads, 1.0));
        let map = inputs.normal(residues * residues, 1.0);
        for precision in [Precision::F32, Precision::Bf16] {
            let [wide_q, wide_k] = [&q, &k].map(|values| operand_reals(precision, values));
            let mut probs = vec![0.0; heads * length * length];
            cpu::probs(sizes, (start, start + length), (&wide_q, &wide_k), &mut probs);
            let (mut mixed, mut margins) = (reals(&map), vec![0.0; heads * residues]);
            let into = (&mut mixed[..], &mut margins[..]);
            cpu::mix((heads, length), (first, residues), &probs, &reals(&weights), into);
            let mut script = Script::default();
            let places = run(&mut script, precision, size, (&q, &k, &weights, &map));
            let results = [
                (places.maps, Expected::new("maps", probs, TOLERANCE_PROBS)),
                (places.mixed, Expected::new("mixed map", mixed, TOLERANCE_MIXED)),
                (places.margins, Expected::new("margins", margins, TOLERANCE_MIXED)),
            ];
            check("attention", &format!("maps {size:?} {}", precision.name()), &script, &results);
        }
    }
}
