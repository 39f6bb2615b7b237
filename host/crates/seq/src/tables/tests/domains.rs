//! Pairs of domains: as many as there are, each as likely as it should be.

use super::super::{Domains, forms};
use super::*;

fn domains(codes: &[&str]) -> LabelledSet {
    let mut text = "id\tsccs\tsequence\n".to_owned();
    for (number, code) in codes.iter().enumerate() {
        let sequence: String =
            [100, 10, 1].iter().map(|unit| char::from(b'A' + (number / unit % 10) as u8)).collect();
        text += &format!("d{number}\t{code}\t{sequence}\n");
    }
    good(&text, &forms::domain_codes())
}

fn level(one: &str, other: &str) -> usize {
    one.split('.').zip(other.split('.')).take_while(|(one, other)| one == other).count()
}

const CODES: [&str; 9] =
    ["a.1.1.1", "b.1.1.1", "a.1.1.2", "a.10.1.1", "a.1.1.1", "a.1.2.1", "b.1.1.1", "a.1.1.1", "c.3.1.1"];

#[test]
fn pairs_are_counted_by_their_levels() {
    let set = domains(&CODES);
    let mut wanted = vec![0; 5];
    for (at, one) in CODES.iter().enumerate() {
        for (_, other) in CODES.iter().enumerate().filter(|(place, _)| *place != at) {
            wanted[level(one, other)] += 1;
        }
    }
    assert_eq!(Domains::of(&set).unwrap().pairs(), wanted);
    assert_eq!(wanted.iter().sum::<u64>(), 9 * 8);
}

#[test]
fn levels_come_as_their_weights_and_pairs_alike() {
    let set = domains(&CODES);
    let all = Domains::of(&set).unwrap();
    let code = |drawn: &LabelledSet, sequence: usize| {
        let number: usize = drawn.id(sequence)[1..].parse().unwrap();
        (number, CODES[number])
    };
    let mut pairs = std::collections::BTreeMap::new();
    let count = 40_000;
    let drawn = all.draw(count, 5, 0, 0.5).unwrap();
    for example in 0..drawn.len() {
        let Members::Two([first, second]) = drawn.members(example) else { panic!("pairs") };
        let ((one, first_code), (other, second_code)) = (code(&drawn, first), code(&drawn, second));
        assert_eq!(drawn.label(example), Label::Level(level(first_code, second_code) as u8));
        assert_ne!(one, other);
        assert_eq!(drawn.group(first), Some(first_code.rsplitn(3, '.').nth(2).unwrap()));
        *pairs.entry((one, other)).or_insert(0u64) += 1;
    }
    let weights: Vec<f64> = all.pairs().iter().map(|&pairs| (pairs as f64).sqrt()).collect();
    let sum: f64 = weights.iter().sum();
    for (level, (found, weight)) in drawn.counts().iter().zip(&weights).enumerate() {
        let (mean, share) = (count as f64 * weight / sum, weight / sum);
        let deviation = (mean * (1.0 - share)).sqrt();
        assert!(
            (*found as f64 - mean).abs() < 5.0 * deviation,
            "level {level}: {found}, wanted about {mean}"
        );
    }
    // Every pair comes, and those of a level alike.
    assert_eq!(pairs.len(), 72);
    for ((one, other), found) in &pairs {
        let level = level(CODES[*one], CODES[*other]);
        let mean = drawn.counts()[level] as f64 / all.pairs()[level] as f64;
        assert!(
            (*found as f64 - mean).abs() < 6.0 * mean.sqrt(),
            "{one} {other}: {found}, wanted about {mean}"
        );
    }
}

#[test]
fn draws_are_functions_of_seed_and_round() {
    let set = domains(&CODES);
    let all = Domains::of(&set).unwrap();
    let digest = |count, seed, round| all.draw(count, seed, round, 0.5).unwrap().digest();
    assert_eq!(digest(50, 1, 2), digest(50, 1, 2));
    assert!(digest(50, 1, 2) != digest(50, 1, 3) && digest(50, 1, 2) != digest(50, 2, 2));
    let (few, many) = (all.draw(20, 1, 0, 0.5).unwrap(), all.draw(50, 1, 0, 0.5).unwrap());
    assert_eq!(few.digest(), many.select(&(0..20).collect::<Vec<_>>()).unwrap().digest());
}

#[test]
fn what_is_no_domain_is_refused() {
    for bad in ["a.1.1", "a.1.1.1.1", "a..1.1", "x"] {
        let set = domains(&["b.1.1.1", bad]);
        match Domains::of(&set) {
            Err(TableError::Form { line, found, .. }) => assert_eq!((line, found), (3, format!("'{bad}'"))),
            other => panic!("{bad}: {other:?}"),
        }
    }
    let numbers = good("seq,y\nMK,1\nMV,2\n", &table(Columns::one("seq", "y"), LabelForm::Number));
    assert!(matches!(Domains::of(&numbers), Err(TableError::Options { .. })));
    let set = domains(&["a.1.1.1", "b.1.1.1"]);
    let all = Domains::of(&set).unwrap();
    assert!(matches!(all.draw(0, 1, 0, 0.5), Err(TableError::Options { .. })));
    assert_eq!(all.draw(7, 1, 0, 0.5).unwrap().counts(), [7, 0, 0, 0, 0]);
    let fasta = good(">d1 a.1.1.1 x\nMK\n>d2 b.1.1.1\nMV\n", &forms::plus_domains());
    assert_eq!(Domains::of(&fasta).unwrap().pairs(), [2, 0, 0, 0, 0]);
}
