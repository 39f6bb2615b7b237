//! Calibrations beside scikit-learn's.

use std::path::Path;

use serde_json::Value;

use super::*;
use crate::screen::report::Worth;

fn fixture() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/calibration/calibration.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// The pairs of the fixture; both halves are the same.
fn pairs(file: &Value) -> Vec<Labelled> {
    let labels = file["labels"].as_array().unwrap();
    let pairs = numbers(&file["logits"]).into_iter().zip(labels);
    let both = |fits| {
        pairs.clone().map(move |(logit, label)| Labelled { logit, is_true: label.as_u64() == Some(1), fits })
    };
    both(true).chain(both(false)).collect()
}

fn calibration(method: Method) -> Calibration {
    Calibration::fit(&pairs(&fixture()), method, ("head", "pairs")).unwrap()
}

fn near(found: f64, wanted: f64, tolerance: f64) {
    assert!((found - wanted).abs() <= tolerance, "found {found}, wanted {wanted}");
}

#[test]
fn platts_curve_is_the_one_of_scikit_learn() {
    let file = fixture();
    let own = calibration(Method::Platt);
    let Curve::Platt { slope, shift } = own.curve else { panic!("no curve of Platt") };
    // The same sum made least by SciPy to the last digits; scikit-learn ends a little earlier.
    near(slope, file["platt"]["slope"].as_f64().unwrap(), 1e-7);
    near(shift, file["platt"]["shift"].as_f64().unwrap(), 1e-7);
    for (&at, wanted) in numbers(&file["grid"]).iter().zip(numbers(&file["platt"]["scikit_learn"])) {
        near(own.plain(at), wanted, 1e-4);
    }
}

#[test]
fn the_isotonic_curve_is_the_one_of_scikit_learn() {
    let file = fixture();
    let own = calibration(Method::Isotonic);
    for (&at, wanted) in numbers(&file["grid"]).iter().zip(numbers(&file["isotonic"])) {
        let least = 1.0 / (file["labels"].as_array().unwrap().len() as f64 + 2.0);
        near(own.plain(at), wanted.clamp(least, 1.0 - least), 1e-12);
    }
}

#[test]
fn quality_is_that_of_scikit_learn() {
    let (file, own) = (fixture(), calibration(Method::Platt));
    near(own.quality.brier, file["quality"]["brier"].as_f64().unwrap(), 1e-6);
    near(own.quality.cross_entropy, file["quality"]["cross_entropy"].as_f64().unwrap(), 1e-6);
}

#[test]
fn expected_precisions_follow_from_the_curve_of_scikit_learn() {
    let file = fixture();
    let own = calibration(Method::Platt);
    let precisions = own.precisions(file["prevalence"].as_f64().unwrap());
    let (logits, wanted) = (numbers(&file["cuts"]["logits"]), numbers(&file["cuts"]["precisions"]));
    let mut same = 0;
    for (&logit, &wanted) in logits.iter().zip(&wanted) {
        let found = precisions.at(logit);
        // Cuts that are left out make it less, never more, and hardly less.
        assert!(found <= wanted + 1e-12 && found >= wanted * 0.97, "{logit}: {found} {wanted}");
        same += usize::from((found - wanted).abs() < 1e-12);
    }
    assert!(same > wanted.len() / 3, "{same} of {}", wanted.len());
    let best = wanted[0];
    let Err((found, _)) = precisions.reach(best * 1.01) else { panic!("reached more than there is") };
    near(found, best, 1e-12);
    let logit = precisions.reach(best / 2.0).unwrap();
    assert!(precisions.at(logit) >= best / 2.0 && precisions.at(logit - 1e-9) < best / 2.0);
}

#[test]
fn rarer_pairs_are_less_probable() {
    let own = calibration(Method::Platt);
    let [all_true, all_false] = own.fitted.map(|count| count as f64);
    let same = all_true / (all_true + all_false);
    for logit in [-1.0, 0.0, 2.5] {
        near(own.probability(logit, same), own.plain(logit), 1e-12);
        let odds = |p: f64| p / (1.0 - p);
        let ratio = odds(own.probability(logit, 1.0 / 301.0)) / odds(own.plain(logit));
        near(ratio * 300.0 * all_true / all_false, 1.0, 1e-9);
    }
    let worth = Worth::new(own, 1.0 / 301.0);
    for wanted in [1e-4, 0.01, 0.3] {
        let least = worth.least(wanted).unwrap();
        let below = f32::from_bits(if least > 0.0 { least.to_bits() - 1 } else { least.to_bits() + 1 });
        assert!(worth.probability(f64::from(least)) >= wanted);
        assert!(worth.probability(f64::from(below)) < wanted, "{wanted}: {least}");
    }
}

#[test]
fn halves_follow_from_ids_in_any_order() {
    let count = (0..1000).filter(|number| fits("a", &number.to_string())).count();
    assert!((400..600).contains(&count), "{count}");
    assert!((0..100).all(|number| fits("a", &number.to_string()) == fits(&number.to_string(), "a")));
}

#[test]
fn files_are_read_again_and_refused_where_they_are_none() {
    let path = Path::new("calibration.json");
    for method in [Method::Platt, Method::Isotonic] {
        let own = calibration(method);
        let text = serde_json::to_string_pretty(&own).unwrap();
        let read = Calibration::read(&text, path, "head").unwrap();
        near(read.plain(0.3), own.plain(0.3), 1e-12);
        let refused = |text: &str| Calibration::read(text, path, "head").unwrap_err().to_string();
        assert!(
            Calibration::read(&text, path, "other").is_err_and(|error| error.to_string().contains("other"))
        );
        assert!(refused("{}").contains("is no calibration"));
        assert!(refused(&text.replace(FORMAT, "pliant-calibration-9")).contains("format"));
        let mut broken = own.clone();
        broken.cuts.reverse();
        assert!(refused(&serde_json::to_string(&broken).unwrap()).contains("no order"));
    }
}

#[test]
fn too_few_pairs_calibrate_nothing() {
    let few: Vec<Labelled> = pairs(&fixture()).into_iter().filter(|pair| !pair.is_true).collect();
    let error = Calibration::fit(&few, Method::Platt, ("head", "pairs")).unwrap_err().to_string();
    assert!(error.contains("0 positive"), "{error}");
}
