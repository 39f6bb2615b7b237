//! Every folder of fixtures says where it comes from: a script that makes it, or a README.

use crate::tree::Tree;

const FIXTURES: &str = "tests/fixtures/";

fn breaches(tree: &Tree) -> Vec<String> {
    let told = |folder: &&str| {
        ["make.py", "README.md"].iter().any(|name| tree.has(&format!("{FIXTURES}{folder}/{name}")))
    };
    let mut breaches: Vec<String> = tree
        .folders(FIXTURES)
        .into_iter()
        .filter(|folder| !told(folder))
        .map(|folder| format!("{FIXTURES}{folder} has neither make.py nor README.md"))
        .collect();
    let loose = tree.below(FIXTURES).filter(|(path, _)| !path[FIXTURES.len()..].contains('/'));
    breaches.extend(loose.map(|(path, _)| format!("{path} stands in no folder")));
    breaches
}

#[test]
fn fixtures_say_where_they_come_from() {
    crate::hold("fixtures", &breaches(&Tree::repository()));
}

#[test]
fn bites() {
    let files = [
        ("tests/fixtures/a/make.py", ""),
        ("tests/fixtures/b/README.md", ""),
        ("tests/fixtures/c/x.npz", ""),
        ("tests/fixtures/x.npz", ""),
    ];
    let found = breaches(&Tree::of(&files));
    assert_eq!(found.len(), 2, "{found:?}");
}
