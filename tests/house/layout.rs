//! Only the top-level entries of the picture exist.

use crate::tree::Tree;

const FOLDERS: [&str; 9] =
    ["host", "plugins", "kernels", "nextflow", "snakemake", "tests", ".cargo", ".ci", ".github"];

const FILES: [&str; 12] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "clippy.toml",
    "deny.toml",
    "nextflow.config",
    ".gitignore",
];

fn breaches(tree: &Tree) -> Vec<String> {
    let stray = |path: &&str| match path.split_once('/') {
        Some((folder, _)) => !FOLDERS.contains(&folder),
        None => !FILES.contains(path),
    };
    let paths = tree.files().map(|(path, _)| path);
    paths.filter(stray).map(|path| format!("{path} has no place at the top; choose a room for it")).collect()
}

#[test]
fn nothing_else_stands_at_the_top() {
    crate::hold("top level", &breaches(&Tree::repository()));
}

#[test]
fn bites() {
    let files =
        [("README.md", ""), ("docs/x.md", ""), ("notes.txt", ""), ("host/src/main.rs", ""), (".ci/run", "")];
    let found = breaches(&Tree::of(&files));
    assert_eq!(found.len(), 2, "{found:?}");
}
