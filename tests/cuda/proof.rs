//! The shapes of a proof on the processor.

use crate::program::program;
use crate::script::{PLANS, Place, Plan, Script};
use pliant_kernels::Direction;
use pliant_tests::kernels::case::assert_same_bits;
use pliant_tests::kernels::inputs::split;
use pliant_tests::kernels::{Expected, assert_bites, assert_close};
use std::ops::Range;

/// Checks what a script leaves: close to the oracle, with a comparison that bites, and the same bits however many blocks
/// there are and in whatever order their threads come.
pub(crate) fn check(op: &str, name: &str, script: &Script, results: &[(Place, Expected)]) {
    let Some(program) = program(op) else { return };
    let mut wanted: Option<Vec<Vec<u32>>> = None;
    for plan in PLANS {
        let found =
            script.run(&program, plan).unwrap_or_else(|error| panic!("{op} {name} {plan:?}: {error}"));
        let mut bits = Vec::new();
        for (place, expected) in results {
            let what = format!("{op} {name} {} {plan:?}", expected.what);
            let values = found.values(*place);
            assert_close(&what, &values.reals(), &expected.values, expected.tolerance);
            if wanted.is_none() {
                assert_bites(&what, &values.reals(), &expected.values, expected.tolerance);
            }
            bits.push(values.bits());
        }
        let wanted = wanted.get_or_insert_with(|| bits.clone());
        for ((bits, wanted), (_, expected)) in bits.iter().zip(wanted.iter()).zip(results) {
            assert_same_bits(&format!("{op} {name} {} {plan:?}", expected.what), bits, wanted);
        }
    }
}

/// Checks that each of some sequences has the same bits alone, among the others, and with the order reversed. `pack`
/// makes the script for some of them and names the result, `lengths` gives the numbers of each sequence's part in it.
pub(crate) fn blind_to_neighbours(op: &str, lengths: &[usize], pack: impl Fn(&[usize]) -> (Script, Place)) {
    let Some(program) = program(op) else { return };
    let run = |order: &[usize]| {
        let (script, place) = pack(order);
        let plan = Plan { blocks: order.len() as u64, order: 0 };
        let found = script.run(&program, plan).unwrap_or_else(|error| panic!("{op} {order:?}: {error}"));
        split(&found.values(place).bits(), order.iter().map(|&sequence| lengths[sequence]))
    };
    let forward: Vec<usize> = (0..lengths.len()).collect();
    let backward: Vec<usize> = forward.iter().rev().copied().collect();
    let alone: Vec<Vec<u32>> = forward.iter().map(|&sequence| run(&[sequence]).swap_remove(0)).collect();
    for order in [forward, backward] {
        for (found, &sequence) in run(&order).iter().zip(&order) {
            let what = format!("{op} sequence {sequence} among {order:?}");
            assert!(found.iter().any(|&bits| bits != 0), "{what}: nothing to compare");
            assert_same_bits(&what, found, &alone[sequence]);
        }
    }
}

/// Rows of a stretch and what it continues from, to the script for it, its result and what it leaves behind.
type Stretch<'a> = &'a dyn Fn(Range<usize>, Option<&[f32]>) -> (Script, Place, Place);

/// Checks that a run over `rows` rows of `width` numbers has the same bits however it is cut into stretches.
pub(crate) fn same_in_stretches(
    op: &str,
    (direction, width, rows): (Direction, usize, usize),
    stretch: Stretch<'_>,
) {
    let Some(program) = program(op) else { return };
    let run = |cuts: &[usize]| {
        let (mut bits, mut carry) = (vec![0; rows * width], None);
        for turn in 0..cuts.len() - 1 {
            let place = if direction == Direction::Forward { turn } else { cuts.len() - 2 - turn };
            let (script, result, left) = stretch(cuts[place]..cuts[place + 1], carry.as_deref());
            let found =
                script.run(&program, PLANS[0]).unwrap_or_else(|error| panic!("{op} {cuts:?}: {error}"));
            bits[cuts[place] * width..cuts[place + 1] * width].copy_from_slice(&found.values(result).bits());
            carry = Some(found.values(left).bits().into_iter().map(f32::from_bits).collect::<Vec<f32>>());
        }
        bits
    };
    let whole = run(&[0, rows]);
    for cuts in [vec![0, 1, rows], vec![0, rows / 2, rows / 2 + 1, rows - 2, rows]] {
        assert_same_bits(&format!("{op} {} cut at {cuts:?}", direction.name()), &run(&cuts), &whole);
    }
}

/// Indices as kernels take them.
pub(crate) fn indices(values: &[usize]) -> Vec<u32> {
    values.iter().map(|&value| u32::try_from(value).unwrap()).collect()
}
