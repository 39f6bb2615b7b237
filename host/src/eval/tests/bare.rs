//! Measures as functions, where they have no value, and thresholds.

use super::super::confusion::{Confusion, OfClass, largest};
use super::super::level::{Thresholds, expected_level, level_probabilities, likeliest_level};
use super::super::rank::{auroc, average_precision, mean_ranks};
use super::super::{AnswerError, Times, Undefined, number, probability};
use super::*;

#[test]
fn ties_share_the_mean_of_their_ranks() {
    assert_eq!(mean_ranks(&[3.0, 1.0, 3.0, 2.0, 3.0]), [4.0, 1.0, 4.0, 2.0, 4.0]);
    assert_eq!(mean_ranks(&[0.0, -0.0, 1.0]), [1.5, 1.5, 3.0]);
    assert_eq!(mean_ranks(&[]), [0.0; 0]);
}

#[test]
fn scores_alone_order_positives() {
    let positive = [false, true, false, true];
    assert_eq!(auroc(&[0.1, 0.4, 0.35, 0.8], &positive), Ok(1.0));
    assert_eq!(auroc(&[0.1, 0.35, 0.4, 0.8], &positive), Ok(0.75));
    assert_eq!(auroc(&[1.0; 4], &positive), Ok(0.5));
    assert_eq!(average_precision(&[1.0; 4], &positive), Ok(0.5));
    assert_eq!(average_precision(&[0.1, 0.35, 0.4, 0.8], &positive), Ok((1.0 + 2.0 / 3.0) / 2.0));
    for measure in [auroc, average_precision] {
        assert_eq!(measure(&[1.0, 2.0], &[true, true]), Err(Undefined::OneClass { class: 1 }));
        assert_eq!(measure(&[1.0, 2.0], &[false, false]), Err(Undefined::NoLabel { class: 1 }));
        assert_eq!(measure(&[], &[]), Err(Undefined::Empty));
        assert_eq!(measure(&[1.0, f64::NAN], &[true, false]), Err(Undefined::NotFinite { row: 1 }));
        assert_eq!(measure(&[1.0], &[true, false]), Err(Undefined::Lengths { answers: 1, labels: 2 }));
    }
}

#[test]
fn what_has_no_value_says_why() {
    let (some, same) = ([1.0, 2.0, 4.0], [3.0; 3]);
    for correlation in [number::pearson, number::spearman] {
        assert_eq!(correlation(&some, &same), Err(Undefined::ConstantLabels));
        assert_eq!(correlation(&same, &some), Err(Undefined::ConstantAnswers));
        assert_eq!(correlation(&[], &[]), Err(Undefined::Empty));
        assert_eq!(correlation(&some, &[1.0, f64::INFINITY, 0.0]), Err(Undefined::NotFinite { row: 1 }));
        assert_eq!(correlation(&some, &some), Ok(1.0));
    }
    // A mean that is rounded leaves a variance where there is none.
    let tenth = [0.1; 3];
    assert_eq!(number::pearson(&tenth, &some), Err(Undefined::ConstantAnswers));
    assert_eq!(number::r_squared(&some, &tenth), Err(Undefined::ConstantLabels));
    assert_eq!(number::mean_squared_error(&[], &[]), Err(Undefined::Empty));

    let confusion = |labels: &[u32], answers: &[u32]| Confusion::of(labels, answers, 3, Times::ONCE).unwrap();
    assert_eq!(confusion(&[1, 1], &[0, 1]).mcc(), Err(Undefined::OneClass { class: 1 }));
    assert_eq!(confusion(&[1, 2], &[2, 2]).mcc(), Err(Undefined::OneAnswer { class: 2 }));
    assert_eq!(confusion(&[], &[]).accuracy(), Err(Undefined::Empty));
    let some = confusion(&[0, 0, 1], &[0, 2, 2]);
    assert_eq!(some.of_class(OfClass::Precision, 1), Err(Undefined::NoAnswer { class: 1 }));
    assert_eq!(some.of_class(OfClass::Recall, 2), Err(Undefined::NoLabel { class: 2 }));
    assert_eq!(some.mean(OfClass::Precision), Err(Undefined::NoAnswer { class: 1 }));
    assert_eq!(some.mean(OfClass::F1), Ok((2.0 / 3.0) / 3.0));
    assert_eq!(some.balanced_accuracy(), Ok(0.25));
    assert_eq!(some.pooled(OfClass::F1), some.accuracy());
    assert_eq!(Confusion::of(&[3], &[0], 3, Times::ONCE), Err(Undefined::Class { class: 3, classes: 3 }));
    let text = Undefined::NoAnswer { class: 1 }.to_string();
    assert_eq!(text, "class 1 is never the answer");
}

#[test]
fn rows_that_count_twice_are_rows_that_stand_twice() {
    let (labels, told) = ([1.0, 2.0, 2.0, 5.0, 3.0], [0.5, 2.5, 2.5, 2.5, 9.0]);
    let times = [2, 0, 3, 1, 1];
    let again = |numbers: &[f64]| -> Vec<f64> {
        numbers
            .iter()
            .zip(times)
            .flat_map(|(&number, times)| std::iter::repeat_n(number, times as usize))
            .collect()
    };
    let order = super::super::rank::Order::of;
    let drawn =
        number::spearman_in([&order(&told), &order(&labels)], &told, &labels, Times::new(&times)).unwrap();
    assert!((drawn - number::spearman(&again(&told), &again(&labels)).unwrap()).abs() < 1e-14);
    let positive = labels.map(|label| label > 2.0);
    let stand = again(&labels).iter().map(|&label| label > 2.0).collect::<Vec<_>>();
    let [drawn, twice] = [
        super::super::rank::auroc_in(&order(&told), &told, &positive, Times::new(&times)),
        auroc(&again(&told), &stand),
    ];
    assert_eq!(drawn, twice);
    let drawn = super::super::rank::average_precision_in(&order(&told), &told, &positive, Times::new(&times));
    assert!((drawn.unwrap() - average_precision(&again(&told), &stand).unwrap()).abs() < 1e-14);
    assert_eq!(
        number::pearson_of(&told, &labels, Times::new(&[0, 2, 5, 0, 0])),
        Err(Undefined::ConstantLabels)
    );
}

#[test]
fn levels_follow_from_cumulative_probabilities() {
    let told = level_probabilities(&[0.9, 0.6, 0.2]);
    let parts = [0.1, 0.9 * 0.4, 0.6 * 0.8, 0.2];
    let sum: f64 = parts.iter().sum();
    assert!(told.iter().zip(parts).all(|(told, part)| (told - part / sum).abs() < 1e-15));
    assert_eq!(likeliest_level(&told), 2);
    assert!((expected_level(&told) - (0.36 + 2.0 * 0.48 + 3.0 * 0.2) / sum).abs() < 1e-12);
    // Probabilities that do not descend, and certain ones.
    for reached in [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]] {
        let told = level_probabilities(&reached);
        assert!((told.iter().sum::<f64>() - 1.0).abs() < 1e-15, "{reached:?}: {told:?}");
    }
    assert_eq!(largest(&[1.0, 3.0, 3.0]), 1);
}

/// The most that thresholds at any border can get right, by trying all.
fn most_right(rows: &[(f64, u8)], highest: u8, least: f64) -> usize {
    if highest == 0 {
        return rows.iter().filter(|(_, level)| *level == 0).count();
    }
    let mut borders: Vec<f64> =
        rows.iter().map(|(score, _)| *score).filter(|score| *score >= least).collect();
    borders.extend([least]);
    let right = |border: f64| {
        let above: Vec<(f64, u8)> =
            rows.iter().filter(|row| row.0 > border).map(|row| (row.0, row.1)).collect();
        let below = rows.iter().filter(|row| row.0 <= border && row.1 == 0).count();
        let above: Vec<(f64, u8)> = above.iter().map(|(s, l)| (*s, l.wrapping_sub(1))).collect();
        below + most_right(&above, highest - 1, border)
    };
    borders.into_iter().map(right).max().unwrap()
}

#[test]
fn fitted_thresholds_are_the_best_there_are() {
    let mut state = 1u32;
    let mut next = |limit: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % limit
    };
    for case in 0..60 {
        let highest = 1 + case % 3;
        let rows: Vec<(f64, u8)> = (0..8)
            .map(|_| {
                let level = next(u32::from(highest) + 1);
                (f64::from(level * 2 + next(5)), level as u8)
            })
            .collect();
        let (scores, levels): (Vec<f64>, Vec<u8>) = rows.iter().copied().unzip();
        let thresholds = Thresholds::fit(&scores, &levels, highest).unwrap();
        let right =
            rows.iter().filter(|(score, level)| thresholds.level(*score) == usize::from(*level)).count();
        assert_eq!(right, most_right(&rows, highest, f64::NEG_INFINITY), "{rows:?}: {thresholds:?}");
    }
    assert_eq!(Thresholds::fit(&[], &[], 4), Err(Undefined::Empty));
    assert_eq!(Thresholds::fit(&[1.0], &[5], 4), Err(Undefined::Class { class: 5, classes: 5 }));
    // Neighbouring numbers have no middle.
    let (low, high) = (1.0, f64::from_bits(1f64.to_bits() + 1));
    let thresholds = Thresholds::fit(&[low, high], &[0, 1], 1).unwrap();
    assert_eq!((thresholds.level(low), thresholds.level(high)), (0, 1));
}

#[test]
fn probabilities_are_asked_for_what_they_promise() {
    let sure = [0.95, 0.95, 0.6, 0.6];
    let error = probability::calibration_error(&sure, &[true, true, true, false], Times::ONCE).unwrap();
    assert!((error - (0.1 + 0.2) / 4.0).abs() < 1e-12, "{error}");
    let zero = probability::cross_entropy(&[0.0, 1.0], Times::ONCE).unwrap();
    assert!((zero - 52.0 * 2f64.ln() / 2.0).abs() < 1e-12, "{zero}");
    assert_eq!(probability::calibration_error(&[], &[], Times::ONCE), Err(Undefined::Empty));
    let told = probability::softmax(&[1000.0, 999.0, f64::NEG_INFINITY]);
    assert!((told[0] - 1.0 / (1.0 + (-1f64).exp())).abs() < 1e-15 && told[2] == 0.0);
    assert_eq!(probability::logistic(0.0), 0.5);
}

#[test]
fn answers_that_are_none_are_refused() {
    let mut answers = Answers::new(subject(LabelKind::Class, 2));
    let push = |answers: &mut Answers, told: &[f32], label: u32| answers.push(told, Label::Class(label));
    assert_eq!(push(&mut answers, &[1.0], 0), Err(AnswerError::Width { example: 0, found: 1, wanted: 2 }));
    assert_eq!(push(&mut answers, &[0.5, 0.5], 2), Err(AnswerError::Label { example: 0 }));
    assert_eq!(push(&mut answers, &[0.5, f32::NAN], 0), Err(AnswerError::NotFinite { example: 0, place: 1 }));
    assert_eq!(
        push(&mut answers, &[1.5, -0.5], 0),
        Err(AnswerError::NotProbability { example: 0, place: 0 })
    );
    assert_eq!(push(&mut answers, &[0.5, 0.4], 0), Err(AnswerError::NotProbability { example: 0, place: 0 }));
    assert_eq!(answers.push(&[0.5, 0.5], Label::Number(1.0)), Err(AnswerError::Label { example: 0 }));
    assert_eq!((answers.examples(), answers.rows()), (0, 0));
    assert_eq!(measure(&answers, "accuracy"), Err(Undefined::Empty));
    push(&mut answers, &[0.25, 0.75], 1).unwrap();
    assert_eq!(push(&mut answers, &[0.5, 0.4], 0), Err(AnswerError::NotProbability { example: 1, place: 0 }));
    assert_eq!(measure(&answers, "accuracy"), Ok(1.0));
    let unknown = Metric::named(answers.subject(), "speed").unwrap_err().to_string();
    assert!(unknown.starts_with("found the metric 'speed', wanted one of mcc, accuracy"), "{unknown}");
    assert!(Metric::named(&subject(LabelKind::Class, 3), "f1").is_err(), "F1 of the second of three classes");
}
