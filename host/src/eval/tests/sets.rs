//! Answers to labelled sets: residues, helices, intervals, baselines.

use pliant_seq::Source;
use pliant_seq::tables::{IGNORED, LabelledSet, Labels, SetOptions, forms};

use super::super::{Baseline, Interval, Score};
use super::*;

fn set(text: &str, options: &SetOptions) -> LabelledSet {
    let (set, report) = LabelledSet::read(&[Source::from_bytes("in", text.as_bytes())], options).unwrap();
    assert_eq!(report.failures, []);
    set
}

/// All of a probability on one of `width` classes.
fn sure(class: usize, width: usize) -> Vec<f32> {
    (0..width).map(|other| f32::from(u8::from(other == class))).collect()
}

#[test]
fn helix_strand_and_coil_are_sums_of_their_classes() {
    let residues = set(">a:sequence\nMKVA\n>a:secstr\n1470\n", &forms::plus_secondary_structure());
    let mut answers = Answers::new(Subject::of(residues.labels()));
    // G, H, I, B, E, S, T, C. The likeliest class of the first is C, the likeliest group helix.
    let told = [
        [0.2, 0.3, 0.05, 0.0, 0.0, 0.0, 0.05, 0.4],
        [0.0, 0.3, 0.0, 0.2, 0.25, 0.0, 0.0, 0.25],
        [0.0, 0.4, 0.0, 0.0, 0.0, 0.25, 0.25, 0.1],
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ];
    answers.push(told.as_flattened(), residues.label(0)).unwrap();
    assert_eq!((measure(&answers, "accuracy"), measure(&answers, "q3")), (Ok(0.25), Ok(1.0)));
    assert!(Metric::named(answers.subject(), "proteins_right").is_err());
    assert_eq!((answers.examples(), answers.rows()), (1, 4));
}

#[test]
fn residues_that_do_not_count_do_not() {
    let text = "id\tsequence\tss3\tresolved_mask\na\tMKV\tHEC\t110\nb\tMK\tEE\t01\n";
    let residues = set(text, &forms::secondary_structure_3());
    let mut answers = Answers::new(Subject::of(residues.labels()));
    answers.push(&[sure(0, 3), sure(1, 3), sure(0, 3)].concat(), residues.label(0)).unwrap();
    answers.push(&[sure(0, 3), sure(2, 3)].concat(), residues.label(1)).unwrap();
    assert_eq!((answers.rows(), measure(&answers, "accuracy")), (3, Ok(2.0 / 3.0)));
    let none = Answers::new(Subject::of(residues.labels()));
    assert_eq!(measure(&none, "mcc"), Err(Undefined::Empty));
}

#[test]
fn proteins_have_the_right_helices_or_not() {
    let (helix, loops) = ("M".repeat(21), "I".repeat(9));
    let text = format!(
        ">a\n{}\n{loops}{helix}{}\n>b\n{}\n{loops}\n>c\n{}\n{loops}{helix}{loops}\n",
        "A".repeat(39),
        "O".repeat(9),
        "A".repeat(9),
        "A".repeat(39)
    );
    let membranes = set(&text, &forms::plus_transmembrane());
    let mut answers = Answers::new(Subject::of(membranes.labels()));
    for example in 0..3 {
        let Label::Residues(labels) = membranes.label(example) else { panic!("residues") };
        // Of the third no helix is told.
        let told = labels.iter().map(|&label| if example == 2 { 0 } else { usize::from(label) });
        let told: Vec<f32> =
            told.flat_map(|class| [0, 1, 2].map(|k| if k == class { 0.9 } else { 0.05 })).collect();
        answers.push(&told, membranes.label(example)).unwrap();
    }
    assert_eq!(measure(&answers, "proteins_right"), Ok(2.0 / 3.0));
    assert_eq!(measure(&answers, "membrane_proteins_right"), Ok(0.5));
    let Labels::Residues { of, .. } = membranes.labels() else { panic!("residues") };
    assert!(!of.contains(&IGNORED));
}

#[test]
fn intervals_come_of_shared_draws() {
    // Right with a chance of 0.8: of 400, a standard deviation of 0.02.
    let rows: Vec<(u32, Vec<f32>)> = (0..400)
        .map(|at| (at / 5 % 2, sure(if at % 5 == 0 { 1 - at / 5 % 2 } else { at / 5 % 2 } as usize, 2)))
        .collect();
    let rows: Vec<(u32, &[f32])> = rows.iter().map(|(label, told)| (*label, told.as_slice())).collect();
    let answers = of_class(2, &rows);
    let metrics = Metric::of_subject(answers.subject());
    let interval = Interval { seed: 3, draws: 500 };
    let scores = answers.scores(&metrics, &interval);
    let accuracy = scores.iter().find(|score| score.metric.name == "accuracy").unwrap();
    assert_eq!((accuracy.value, accuracy.draws_without), (Ok(0.8), 0));
    let (low, high) = accuracy.interval.unwrap();
    assert!((low - 0.7608).abs() < 0.01 && (high - 0.8392).abs() < 0.01, "{low} {high}");
    assert_eq!(scores, answers.scores(&metrics, &interval));
    assert_ne!(scores, answers.scores(&metrics, &Interval { seed: 4, ..interval }));
    // One measure alone has the draws that it has in company.
    let alone = answers.scores(&[accuracy.metric], &interval);
    assert_eq!(&alone[0], accuracy);
    let none = answers.scores(&metrics, &Interval { draws: 0, ..interval });
    assert!(none.iter().all(|score| score.interval.is_none() && score.value.is_ok()));
}

#[test]
fn draws_without_a_value_are_counted() {
    // One positive of six is missing in a third of the draws: (5/6)⁶.
    let rows: Vec<(u32, Vec<f32>)> =
        (0..6).map(|at| (u32::from(at == 0), vec![0.1 * at as f32, 1.0 - 0.1 * at as f32])).collect();
    let rows: Vec<(u32, &[f32])> = rows.iter().map(|(label, told)| (*label, told.as_slice())).collect();
    let answers = of_class(2, &rows);
    let auroc = Metric::named(answers.subject(), "auroc").unwrap();
    let score = &answers.scores(&[auroc], &Interval { seed: 1, draws: 1000 })[0];
    assert_eq!((score.value, score.interval), (Ok(1.0), Some((1.0, 1.0))));
    assert!(score.draws_without.abs_diff(335) < 60, "{}", score.draws_without);
    let one = of_class(2, &rows[1..]);
    let score = &one.scores(&[auroc], &Interval { seed: 1, draws: 10 })[0];
    assert_eq!(
        (score.value, score.interval, score.draws_without),
        (Err(Undefined::NoLabel { class: 1 }), None, 0)
    );
}

#[test]
fn proteins_are_drawn_not_residues() {
    let text = format!(
        "id\tsequence\tss3\tresolved_mask\na\t{0}\t{1}\t{2}\nb\t{0}\t{1}\t{2}\n",
        "A".repeat(50),
        "H".repeat(50),
        "1".repeat(50)
    );
    let residues = set(&text, &forms::secondary_structure_3());
    let mut answers = Answers::new(Subject::of(residues.labels()));
    answers.push(&sure(0, 3).repeat(50), residues.label(0)).unwrap();
    answers.push(&sure(1, 3).repeat(50), residues.label(1)).unwrap();
    let accuracy = Metric::named(answers.subject(), "accuracy").unwrap();
    let score = &answers.scores(&[accuracy], &Interval { seed: 1, draws: 200 })[0];
    // A protein is right whole or wrong whole.
    assert_eq!((score.value, score.interval), (Ok(0.5), Some((0.0, 1.0))));
}

/// Forty pairs of one hub with a protein each. Where the hub is not drawn nothing is, and who draws pairs never sees that.
#[test]
fn of_pairs_proteins_are_drawn() {
    let told = [vec![0.75, 0.25], vec![0.25, 0.75]];
    let rows: Vec<(u32, &[f32])> =
        (0..40).map(|row| (row % 2, told[usize::from(row % 4 < 2)].as_slice())).collect();
    let by_pairs = of_class(2, &rows);
    let hub = |answers: Answers| answers.of_pairs((1..41).map(|other| [0, other]).collect(), 41);
    let accuracy = Metric::named(by_pairs.subject(), "accuracy").unwrap();
    let interval = Interval { seed: 1, draws: 1000 };
    let score = |answers: &Answers| answers.scores(&[accuracy], &interval)[0].clone();
    let (pairs, proteins) = (score(&by_pairs), score(&hub(of_class(2, &rows))));
    assert_eq!((pairs.value, pairs.draws_without), (Ok(0.5), 0));
    // (1 - 1/41)^41 of the draws have no hub.
    assert_eq!(proteins.value, Ok(0.5));
    assert!(proteins.draws_without.abs_diff(363) < 60, "{}", proteins.draws_without);
    // Ten proteins with themselves: such a pair counts as often as its protein, so both ways are one.
    let own = of_class(2, &rows[..10]).of_pairs((0..10).map(|protein| [protein; 2]).collect(), 10);
    assert_eq!(score(&own), score(&of_class(2, &rows[..10])));
    // Every pair of twenty proteins, right where both are of the first half: the value is the square of a share of twenty
    // draws, which varies 3.6 times as much as a share of 190. (Right where both are of one half would not do: the
    // share of such pairs is flat at one half, so what proteins carry cancels.)
    let (mut all, mut members) = (Vec::new(), Vec::new());
    for first in 0..20usize {
        for second in 0..first {
            all.push((1, told[usize::from(first < 10 && second < 10)].as_slice()));
            members.push([first, second]);
        }
    }
    let wide = |score: Score| score.interval.map(|(low, high)| high - low).unwrap();
    let pairs = wide(score(&of_class(2, &all)));
    let proteins = wide(score(&of_class(2, &all).of_pairs(members, 20)));
    assert!(proteins > 2.5 * pairs, "{proteins} {pairs}");
}

#[test]
fn baselines_know_labels_and_no_protein() {
    let options = forms::solubility();
    let train = set("id\tsoluble\tsequence\na\t1\tMK\nb\t1\tMV\nc\t0\tML\nd\t1\tMW\n", &options);
    let test = set("id\tsoluble\tsequence\na\t1\tAK\nb\t0\tAV\nc\t0\tAL\n", &options);
    let baseline = Baseline::of(&train);
    assert_eq!(baseline.answer(), [0.25, 0.75]);
    let answers = baseline.answers(&test).unwrap();
    assert_eq!(measure(&answers, "accuracy"), Ok(1.0 / 3.0));
    assert_eq!(measure(&answers, "auroc"), Ok(0.5));
    assert_eq!(measure(&answers, "aupr"), Ok(1.0 / 3.0));
    assert_eq!(measure(&answers, "mcc"), Err(Undefined::OneAnswer { class: 1 }));

    let numbers = |text: &str| set(text, &forms::melting_points());
    let train = numbers("id\tmelting_point_c\tsequence\na\t40\tMK\nb\t60\tMV\n");
    let test = numbers("id\tmelting_point_c\tsequence\na\t45\tAK\nb\t52\tAV\n");
    let answers = Baseline::of(&train).answers(&test).unwrap();
    assert_eq!(
        (measure(&answers, "mae"), measure(&answers, "spearman")),
        (Ok(3.5), Err(Undefined::ConstantAnswers))
    );

    let text = "id\tsequence\tss3\tresolved_mask\na\tMKVA\tHHEC\t1111\n";
    let residues = set(text, &forms::secondary_structure_3());
    let answers = Baseline::of(&residues).answers(&residues).unwrap();
    assert_eq!(measure(&answers, "accuracy"), Ok(0.5));

    let labels = "accession\tlabels\tpartition\tkingdom\tmembrane\tsequence\n";
    let places = set(
        &format!("{labels}a\tX|Y\t0\t-\t0\tMK\nb\tX\t0\t-\t0\tMV\n"),
        &forms::locations(pliant_seq::tables::ClassList::Found),
    );
    let answers = Baseline::of(&places).answers(&places).unwrap();
    assert_eq!(
        (measure(&answers, "micro_f1"), measure(&answers, "subset_accuracy")),
        (Ok(6.0 / 7.0), Ok(0.5))
    );
    let classes = answers.class_scores().unwrap();
    assert_eq!((classes[1].labels, classes[1].answers, classes[1].recall), (1, 2, Ok(1.0)));
}
