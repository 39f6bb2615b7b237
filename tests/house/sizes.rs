//! No text file that people change is longer than 600 lines. Lengths of functions are clippy's (see `lints`).

use crate::tree::Tree;

const LONGEST: usize = 600;
const ENDINGS: [&str; 11] =
    [".rs", ".cu", ".cuh", ".py", ".sh", ".nf", ".smk", ".toml", ".yml", ".md", ".ci/run"];

fn breaches(tree: &Tree) -> Vec<String> {
    let written = |path: &str| ENDINGS.iter().any(|ending| path.ends_with(ending));
    let long = tree.files().map(|(path, text)| (path, text.lines().count()));
    long.filter(|(path, lines)| written(path) && *lines > LONGEST)
        .map(|(path, lines)| {
            format!("{path} has {lines} lines, allowed are {LONGEST}: split it by what it knows")
        })
        .collect()
}

#[test]
fn files_are_short() {
    crate::hold("length of files", &breaches(&Tree::repository()));
}

#[test]
fn bites() {
    let (allowed, long) = ("x\n".repeat(LONGEST), "x\n".repeat(LONGEST + 1));
    let files = [("a.rs", allowed.as_str()), ("b.rs", &long), ("c.cu", &long), ("Cargo.lock", &long)];
    assert_eq!(breaches(&Tree::of(&files)).len(), 2);
}
