//! Whole sets of answers, as scikit-learn and SciPy measure them.

use std::path::Path;

use pliant_seq::tables::{Label, LabelKind};
use serde_json::Value;

use super::super::level::level_probabilities;
use super::super::{Answers, Metric};
use super::{measure, subject};

/// Sums of at most a thousand terms in f64, in another order.
const TOLERANCE: f64 = 1e-12;

fn cases() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/metrics/metrics.json");
    let text = std::fs::read_to_string(path).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    whole["cases"].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn answers(case: &Value) -> Answers {
    let list = |name: &str| case[name].as_array().unwrap();
    let told: Vec<Vec<f32>> = list("told")
        .iter()
        .map(|row| {
            let row = if row.is_array() { numbers(row) } else { vec![row.as_f64().unwrap()] };
            let row = if case["kind"] == "level" { level_probabilities(&row) } else { row };
            row.into_iter().map(|number| number as f32).collect()
        })
        .collect();
    let kind = match case["kind"].as_str().unwrap() {
        "class" => LabelKind::Class,
        "classes" => LabelKind::Classes,
        "number" => LabelKind::Number,
        _ => LabelKind::Level,
    };
    let mut answers = Answers::new(subject(kind, told[0].len()));
    for (told, label) in told.iter().zip(list("labels")) {
        let flags: Vec<bool>;
        let label = match kind {
            LabelKind::Class => Label::Class(label.as_u64().unwrap() as u32),
            LabelKind::Level => Label::Level(label.as_u64().unwrap() as u8),
            LabelKind::Number => Label::Number(label.as_f64().unwrap()),
            _ => {
                flags = label.as_array().unwrap().iter().map(|flag| flag.as_bool().unwrap()).collect();
                Label::Classes(&flags)
            }
        };
        answers.push(told, label).unwrap();
    }
    answers
}

/// What differs from the library, as text.
fn breaches(tolerance: f64, off: f64) -> (usize, Vec<String>) {
    let (mut compared, mut breaches) = (0, Vec::new());
    for (number, case) in cases().iter().enumerate() {
        let answers = answers(case);
        let mut left: Vec<&str> =
            Metric::of_subject(answers.subject()).iter().map(|metric| metric.name).collect();
        for (name, wanted) in case["wanted"].as_object().unwrap() {
            let found = measure(&answers, name);
            left.retain(|left| left != name);
            match (wanted.as_f64(), &found) {
                (Some(wanted), Ok(found))
                    if (found + off - wanted).abs() <= tolerance * wanted.abs().max(1.0) => {}
                // A mean recall of the classes that labels have is there though answers have others.
                (None, Err(_)) | (None, Ok(_))
                    if wanted.is_null() && (found.is_err() || name == "balanced_accuracy") => {}
                _ => breaches.push(format!("case {number}: {name} is {found:?}, wanted {wanted}")),
            }
            compared += 1;
        }
        left.retain(|name| {
            !(case["kind"] == "level" && ["cross_entropy", "calibration_error"].contains(name))
        });
        assert!(left.is_empty(), "case {number}: nobody compared {left:?}");
    }
    (compared, breaches)
}

#[test]
fn measures_are_those_of_scikit_learn_and_scipy() {
    let (compared, breaches) = breaches(TOLERANCE, 0.0);
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    assert!(compared > 150, "{compared}");
}

#[test]
fn the_tolerance_bites() {
    let (compared, breaches) = breaches(TOLERANCE, 1e-10);
    // Values that are not there, and some above a hundred, hide it.
    assert!(breaches.len() > compared * 8 / 10, "{} of {compared}", breaches.len());
}
