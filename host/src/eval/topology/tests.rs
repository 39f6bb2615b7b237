//! Paths against every path there is, and verdicts case by case.

use super::*;

const FORMS: [GrammarForm; 2] = [GrammarForm::Corrected, GrammarForm::Published];

const ROLES: Roles = Roles { inner: 0, outer: 1, membrane: 2, signal: Some(3) };

/// Probabilities `[L, 4]` that are as good as random.
fn random_probabilities(length: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f64 / (1u64 << 24) as f64).powi(4) + 1e-6
    };
    let mut told = Vec::new();
    for _ in 0..length {
        let row: Vec<f64> = (0..4).map(|_| next()).collect();
        let sum: f64 = row.iter().sum();
        told.extend(row.iter().map(|chance| chance / sum));
    }
    told
}

fn score(grammar: &Grammar, roles: &Roles, told: &[f64], states: &[usize]) -> f64 {
    let tells: Vec<Vec<f64>> = told.chunks(4).map(|row| grammar.tells(roles, row)).collect();
    let mut sum = grammar.start(states[0]) + tells[0][states[0]];
    for at in 1..states.len() {
        sum = sum + grammar.step(states[at - 1], states[at]) + tells[at][states[at]];
    }
    sum + grammar.end(states[states.len() - 1])
}

/// The best score of all paths, and the places of all that have it but for rounding.
fn brute(grammar: &Grammar, roles: &Roles, told: &[f64]) -> (f64, Vec<Vec<Place>>) {
    let (length, states) = (told.len() / 4, grammar.states());
    let mut found: Vec<(f64, Vec<Place>)> = Vec::new();
    for number in 0..states.pow(u32::try_from(length).unwrap()) {
        let path: Vec<usize> = (0..length).map(|at| number / states.pow(at as u32) % states).collect();
        let places = path.iter().map(|&state| grammar.place(state)).collect();
        found.push((score(grammar, roles, told, &path), places));
    }
    let most = found.iter().map(|(score, _)| *score).fold(f64::NEG_INFINITY, f64::max);
    let near = found.into_iter().filter(|(score, _)| most - score < 1e-9).map(|(_, places)| places);
    (most, near.collect())
}

#[test]
fn the_path_is_the_best_of_all() {
    let mut kinds = std::collections::BTreeSet::new();
    for form in FORMS {
        for (helix, lengths) in [(1, 1..=6), (2, 1..=5), (3, 3..=4)] {
            let grammar = Grammar::with_helix(form, helix);
            for length in lengths {
                for seed in 0..6 {
                    for roles in [ROLES, Roles { signal: None, ..ROLES }] {
                        let told = random_probabilities(length, seed);
                        let path = grammar.path(&roles, &told, 4);
                        let (_, all) = brute(&grammar, &roles, &told);
                        assert!(
                            all.contains(&path),
                            "{form:?} {helix} {length} {seed}: {path:?} is none of {all:?}"
                        );
                        kinds.extend(path.iter().map(|place| format!("{form:?} {place:?}")));
                    }
                }
            }
        }
    }
    // Every place was seen but that which the published form cannot tell.
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    assert!(!kinds.contains("Published Signal"));
}

/// Probabilities of a protein whose classes are all but certain.
fn sure(places: &str) -> Vec<f64> {
    let row = |letter: char| {
        let class = "IOMS".find(letter).unwrap();
        (0..4).map(move |other| if other == class { 0.97 } else { 0.01 })
    };
    places.chars().flat_map(row).collect()
}

fn letters(path: &[Place]) -> String {
    let letter = |place: &Place| match place {
        Place::Inner => 'I',
        Place::Outer => 'O',
        Place::Membrane => 'M',
        Place::Signal => 'S',
    };
    path.iter().map(letter).collect()
}

#[test]
fn a_helix_leads_to_the_other_side() {
    let grammar = Grammar::new(GrammarForm::Corrected);
    assert_eq!(grammar.states(), 45);
    let helix = "M".repeat(21);
    let told = sure(&format!("IIIII{helix}IIIII{helix}OO"));
    // Sides tell the same, so the grammar decides on them, and prefers the inner side at the end.
    assert_eq!(letters(&grammar.path(&ROLES, &told, 4)), format!("IIIII{helix}OOOOO{helix}II"));
    let signal = sure(&format!("SSSSSSSSSSOOOOO{helix}OOOO"));
    assert_eq!(letters(&grammar.path(&ROLES, &signal, 4)), format!("SSSSSSSSSSOOOOO{helix}IIII"));
    let published = letters(&Grammar::new(GrammarForm::Published).path(&ROLES, &signal, 4));
    assert!(!published.contains('S'), "{published}");
    assert_eq!(grammar.path(&ROLES, &[], 4), []);
    assert_eq!(letters(&grammar.path(&ROLES, &sure("M"), 4)).len(), 1);
}

#[test]
fn a_sure_model_gets_a_helix_of_another_length() {
    let grammar = Grammar::new(GrammarForm::Corrected);
    for (length, told) in [(5, 0), (10, 10), (16, 21), (21, 21), (25, 21), (31, 31)] {
        let sides = ["I", "O"].map(|side| side.repeat(30));
        let row = sure(&format!("{}{}{}", sides[0], "M".repeat(length), sides[1]));
        let path = letters(&grammar.path(&ROLES, &row, 4));
        assert_eq!(path.matches('M').count(), told, "{length}: {path}");
    }
}

fn found(places: &str, form: GrammarForm) -> Vec<Range<usize>> {
    let place = |letter: char| match letter {
        'M' => Some(Place::Membrane),
        '?' => None,
        _ => Some(Place::Inner),
    };
    helices(&places.chars().map(place).collect::<Vec<_>>(), form)
}

#[test]
fn helices_at_either_end_count() {
    let corrected = |places: &str| found(places, GrammarForm::Corrected);
    assert_eq!(corrected("MMIMMIM"), [0..2, 3..5, 6..7]);
    assert_eq!(corrected("IM?MI"), [1..2, 3..4]);
    assert_eq!(corrected("MMM").first(), Some(&(0..3)));
    assert!(corrected("").is_empty());
    let published = |places: &str| found(places, GrammarForm::Published);
    assert!(published("MMIMMIM").is_empty());
    assert!(published("MMM").is_empty());
    assert_eq!(published("IMMIM"), [1..3, 4..5]);
}

#[test]
fn helices_share_five_residues_each() {
    let right = [10..30, 50..70];
    assert!(same_helices(&[25..45, 50..71], &right));
    assert!(!same_helices(&[26..45, 50..71], &right));
    assert!(!same_helices(&right[..1], &right));
    assert!(!same_helices(&[35..45, 50..71], &right));
    assert!(same_helices(&[], &[]));
}

#[test]
fn proteins_are_judged_by_what_is_known() {
    let (helix, grammar) = ("M".repeat(21), Grammar::new(GrammarForm::Corrected));
    let told = sure(&format!("IIIII{helix}OOOOO{helix}II"));
    let class = |letter: char| "IOMS".find(letter).map_or(IGNORED, |class| class as u8);
    let labels = |text: &str| text.chars().map(class).collect::<Vec<u8>>();
    let judged = |text: &str| judge(&grammar, &ROLES, &told, &labels(text)).unwrap();
    let yes = Verdict { right: true, has_helices: true };
    assert_eq!(judged(&format!("IIIII{helix}OOOOO{helix}II")), yes);
    assert_eq!(judged(&format!("{helix}IIIIIOOOOO{helix}II")), yes);
    assert_eq!(judged(&format!("IIIII{helix}OOOOO{}II", "O".repeat(21))), Verdict { right: false, ..yes });
    // Nothing is known of the second, so it is not held against the model; if little is known, it is.
    assert_eq!(judged(&format!("IIIII{helix}OOOOO{}II", "U".repeat(21))), yes);
    let half = format!("IIIII{helix}OOOOO{}{}II", "U".repeat(10), "O".repeat(11));
    assert_eq!(judged(&half), Verdict { right: false, ..yes });
    assert_eq!(judge(&grammar, &ROLES, &told, &[IGNORED; 54]), None);
    let outside = judge(&grammar, &ROLES, &sure("OOO"), &labels("OOU"));
    assert_eq!(outside, Some(Verdict { right: true, has_helices: false }));
}

#[test]
fn classes_have_their_roles_by_name() {
    let classes = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(Roles::of_classes(&classes(&["I", "O", "M", "S"])), Some(ROLES));
    let without = Roles::of_classes(&classes(&["M", "O", "I"]));
    assert_eq!(without, Some(Roles { inner: 2, outer: 1, membrane: 0, signal: None }));
    assert_eq!(Roles::of_classes(&classes(&["H", "E", "C"])), None);
}
