//! The files of the repository as the rules see them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Paths with `/`, relative to the repository's root, with their text; files that are no text are empty.
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// A made-up repository, for showing that a rule bites.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Self { files: files.iter().map(own).collect() }
    }

    /// This repository: what git tracks or would track; without git, everything but build outputs.
    pub(crate) fn repository() -> Self {
        let root = root();
        let paths = tracked(&root).unwrap_or_else(|| walked(&root));
        let read = |path: String| {
            let bytes = fs::read(root.join(&path)).ok()?;
            Some((path, String::from_utf8(bytes).unwrap_or_default()))
        };
        Self { files: paths.into_iter().filter_map(read).collect() }
    }

    /// Every file, in the order of paths.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Files whose name ends so, as `.rs`.
    pub(crate) fn ending(&self, end: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(move |(path, _)| path.ends_with(end))
    }

    /// Files below a folder, which ends in `/`.
    pub(crate) fn below(&self, folder: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(move |(path, _)| path.starts_with(folder))
    }

    /// Names of the folders right below a folder, which ends in `/`.
    pub(crate) fn folders(&self, folder: &str) -> Vec<&str> {
        let name = |path: &'_ str| path.len() > folder.len() && path[folder.len()..].contains('/');
        let mut names: Vec<&str> = self
            .below(folder)
            .filter(|(path, _)| name(path))
            .filter_map(|(path, _)| path[folder.len()..].split('/').next())
            .collect();
        names.dedup();
        names
    }

    /// Whether the file is there.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// The file's text; empty where there is none.
    pub(crate) fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository is there")
}

fn tracked(root: &Path) -> Option<Vec<String>> {
    let listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").arg("-C").arg(root).args(listed).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<String> = text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

fn walked(root: &Path) -> Vec<String> {
    const OUTPUTS: [&str; 3] = [".git", "target", "__pycache__"];
    let (mut open, mut paths) = (vec![root.to_path_buf()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if OUTPUTS.iter().any(|output| name == *output) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if let Ok(inside) = path.strip_prefix(root) {
                paths.push(inside.to_string_lossy().into_owned());
            }
        }
    }
    paths
}

#[test]
fn folders_are_those_right_below() {
    let tree =
        Tree::of(&[("a/b/x.rs", ""), ("a/b/y/z.rs", ""), ("a/c.rs", ""), ("a/d/x.rs", ""), ("e/f/g.rs", "")]);
    assert_eq!(tree.folders("a/"), ["b", "d"]);
}

#[test]
fn without_git_the_same_files_are_found() {
    let root = root();
    let walked = walked(&root);
    assert!(walked.contains(&"Cargo.toml".to_owned()) && walked.contains(&"tests/house/tree.rs".to_owned()));
    assert!(!walked.iter().any(|path| path.starts_with("target/") || path.starts_with(".git/")));
}
