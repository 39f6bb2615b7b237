//! Comparison with an oracle, and the proof that the comparison can fail.

use pliant_kernels::Tolerance;

/// The tolerance of the same numbers once they are rounded to bf16, whose half unit is up to 2^-8 of the
/// number.
#[must_use]
pub fn narrowed(tolerance: Tolerance) -> Tolerance {
    Tolerance { absolute: tolerance.absolute, relative: tolerance.relative + 1.0 / 256.0 }
}

/// Whether a number is close enough; NaN and infinities must be met exactly.
fn is_close(found: f64, expected: f64, tolerance: Tolerance) -> bool {
    if expected.is_finite() {
        (found - expected).abs() <= tolerance.at(expected)
    } else {
        found == expected || (found.is_nan() && expected.is_nan())
    }
}

/// The worst place, in words; `None` when all numbers are close enough.
fn difference(found: &[f64], expected: &[f64], tolerance: Tolerance) -> Option<String> {
    if found.len() != expected.len() {
        return Some(format!("{} numbers, wanted {}", found.len(), expected.len()));
    }
    let excess = |place: usize| {
        let ratio = (found[place] - expected[place]).abs() / tolerance.at(expected[place]);
        if ratio.is_nan() { f64::INFINITY } else { ratio }
    };
    let far = (0..found.len()).filter(|&place| !is_close(found[place], expected[place], tolerance));
    let (mut count, mut worst) = (0, None);
    for place in far {
        count += 1;
        if worst.is_none_or(|worst| excess(place) > excess(worst)) {
            worst = Some(place);
        }
    }
    worst.map(|place| {
        format!(
            "{count} of {} numbers are too far, worst at {place}: {:e}, wanted {:e} ± {:e} ({:.2} times the tolerance)",
            found.len(),
            found[place],
            expected[place],
            tolerance.at(expected[place]),
            excess(place)
        )
    })
}

/// Fails when a number is further from its oracle than the tolerance allows.
///
/// # Panics
/// With the worst place.
pub fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: Tolerance) {
    if let Some(difference) = difference(found, expected, tolerance) {
        panic!("{what}: {difference}");
    }
}

/// Places that the full comparison is tried on; every other place is tried by itself.
const PROBES: usize = 8;

/// Fails when the comparison would let an error pass: any one expected number moved by ten times its
/// tolerance, all numbers zero, all numbers two per cent too large.
///
/// # Panics
/// When the comparison does not bite.
pub fn assert_bites(what: &str, found: &[f64], expected: &[f64], tolerance: Tolerance) {
    let moved = |place: usize, sign: f64| expected[place] + sign * 10.0 * tolerance.at(expected[place]);
    for place in 0..expected.len() {
        let caught = [1.0, -1.0].map(|sign| !is_close(found[place], moved(place, sign), tolerance));
        let exact = !expected[place].is_finite();
        assert!(exact || caught == [true; 2], "{what}: ten times the tolerance passes at {place}");
    }
    let mut changed = expected.to_vec();
    for place in (0..expected.len()).step_by(expected.len().div_ceil(PROBES).max(1)) {
        changed[place] = if expected[place].is_finite() { moved(place, 1.0) } else { 0.0 };
        assert!(difference(found, &changed, tolerance).is_some(), "{what}: a wrong number passes at {place}");
        changed[place] = expected[place];
    }
    let zeros = vec![0.0; expected.len()];
    assert!(difference(&zeros, expected, tolerance).is_some(), "{what}: zeros pass");
    let larger: Vec<f64> = expected.iter().map(|value| value * 1.02).collect();
    let finite = expected.iter().any(|value| value.is_finite());
    assert!(!finite || difference(&larger, expected, tolerance).is_some(), "{what}: two per cent pass");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    const TIGHT: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };

    #[test]
    fn what_is_far_is_refused() {
        assert_close("same", &[1.0, f64::NAN, f64::INFINITY], &[1.0 + 1e-6, f64::NAN, f64::INFINITY], TIGHT);
        let refused = |found: &[f64], expected: &[f64]| {
            let (found, expected) = (found.to_vec(), expected.to_vec());
            assert!(catch_unwind(|| assert_close("far", &found, &expected, TIGHT)).is_err());
        };
        refused(&[1.0], &[1.000_003]);
        refused(&[1.0], &[1.0, 2.0]);
        refused(&[f64::NAN], &[1.0]);
        refused(&[1.0], &[f64::NAN]);
        refused(&[f64::INFINITY], &[f64::NEG_INFINITY]);
        refused(&[1e300], &[f64::INFINITY]);
    }

    #[test]
    fn a_tolerance_as_large_as_the_numbers_does_not_bite() {
        assert_bites("tight", &[1.0, 2.0], &[1.0, 2.0], TIGHT);
        let loose = Tolerance { absolute: 2.0, relative: 0.0 };
        assert!(catch_unwind(|| assert_bites("loose", &[1.0], &[1.0], loose)).is_err());
        let loose = Tolerance { absolute: 0.0, relative: 0.5 };
        assert!(catch_unwind(|| assert_bites("loose", &[1.0], &[1.0], loose)).is_err());
        assert!(catch_unwind(|| assert_bites("nothing", &[0.0], &[0.0], TIGHT)).is_err());
    }
}
