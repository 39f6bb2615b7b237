//! Packages run on every machine, say the version that they are, and can be used by workflow engines.

use crate::tree::Tree;

const RECIPE: &str = "host/packaging/conda/meta.yaml";
const IMAGE: &str = "host/packaging/container/Dockerfile";

/// Text after `before` and up to `after` in the first line that has both.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.split_once(before)?.1.split_once(after).map(|(found, _)| found))
}

fn versions(tree: &Tree) -> Vec<String> {
    let program = between(tree.text("Cargo.toml"), "version = \"", "\"");
    let rust = between(tree.text("rust-toolchain.toml"), "channel = \"", "\"");
    let image = tree.text(IMAGE);
    let wanted = [
        (RECIPE, "set version", between(tree.text(RECIPE), "set version = \"", "\""), program),
        (IMAGE, "image.version", between(image, "image.version=\"", "\""), program),
        (IMAGE, "RUST_IMAGE", between(image, "RUST_IMAGE=docker.io/library/rust:", "-"), rust),
        (
            IMAGE,
            "RUSTUP_TOOLCHAIN",
            image.lines().find_map(|line| line.strip_prefix("ENV RUSTUP_TOOLCHAIN=")),
            rust,
        ),
    ];
    let differ = wanted.into_iter().filter(|(_, _, found, wanted)| found.is_none() || found != wanted);
    differ
        .map(|(path, what, found, wanted)| format!("{path}: {what} is {found:?}, wanted {wanted:?}"))
        .collect()
}

/// Settings that make a program for the kind of processor that it was built on.
fn native(tree: &Tree) -> Vec<String> {
    let flag = ["target-cpu", "native"].join("=");
    let mut breaches = Vec::new();
    for (path, text) in tree.files() {
        let lines = text.lines().enumerate().filter(|(_, line)| line.replace(' ', "").contains(&flag));
        breaches.extend(lines.map(|(number, _)| format!("{path}:{}: {flag}", number + 1)));
    }
    breaches
}

/// What a workflow engine needs of the image.
fn image(tree: &Tree) -> Vec<String> {
    let text = tree.text(IMAGE);
    let last = text.rsplit("\nFROM ").next().unwrap_or_default();
    let instruction = |word: &str| text.lines().any(|line| line.trim_start().starts_with(word));
    let mut breaches = Vec::new();
    for word in ["ENTRYPOINT", "USER"] {
        if instruction(word) {
            breaches.push(format!(
                "{IMAGE}: {word} keeps engines from starting bash as the user of the workflow"
            ));
        }
    }
    for part in ["procps", "COPY --from=build", "RUN pliant --version"] {
        if !last.contains(part) {
            breaches.push(format!("{IMAGE}: the last stage lacks `{part}`"));
        }
    }
    breaches
}

#[test]
fn packages_have_the_version_of_the_program() {
    crate::hold("versions of packages", &versions(&Tree::repository()));
}

#[test]
fn nothing_is_built_for_one_machine() {
    crate::hold("kind of processor", &native(&Tree::repository()));
}

#[test]
fn the_image_serves_workflow_engines() {
    crate::hold("image", &image(&Tree::repository()));
}

#[test]
fn versions_bite() {
    let docker = "ARG RUST_IMAGE=docker.io/library/rust:1.9.0-slim\nENV RUSTUP_TOOLCHAIN=1.8.0\n";
    let files = [
        ("Cargo.toml", "version = \"1.2.3\"\n"),
        ("rust-toolchain.toml", "channel = \"1.9.0\"\n"),
        (RECIPE, "{% set version = \"1.2.2\" %}\n"),
        (IMAGE, docker),
    ];
    let found = versions(&Tree::of(&files));
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn native_bites() {
    let line = ["rustflags = [\"-C\", \"target-cpu ", " native\"]\n"].join("=");
    let files = [(".cargo/config.toml", line.as_str()), ("host/x.sh", "target-cpu) exit 2\n")];
    assert_eq!(native(&Tree::of(&files)).len(), 1);
}

#[test]
fn image_bites() {
    let text = "FROM rust AS build\nRUN pliant --version\nFROM debian\nRUN apt-get install procps\nENTRYPOINT [\"pliant\"]\n";
    let found = image(&Tree::of(&[(IMAGE, text)]));
    assert_eq!(found.len(), 3, "{found:?}");
}
