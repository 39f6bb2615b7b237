//! The compiler's and clippy's part of the rules is switched on, for every crate, and stays on.

use crate::code::code;
use crate::tree::Tree;

/// Lints that hold a rule of the house; they are errors everywhere.
const DENIED: [(&str, &[&str]); 2] = [
    ("[workspace.lints.rust]", &["missing_docs", "unsafe_op_in_unsafe_fn"]),
    (
        "[workspace.lints.clippy]",
        &[
            "dbg_macro",
            "exit",
            "iter_over_hash_type",
            "print_stderr",
            "print_stdout",
            "todo",
            "unimplemented",
            "too_many_arguments",
            "too_many_lines",
            "undocumented_unsafe_blocks",
            "unwrap_used",
        ],
    ),
];

const THRESHOLDS: [(&str, usize); 2] =
    [("too-many-lines-threshold", 60), ("too-many-arguments-threshold", 7)];

/// Where a lint may be switched off, and which.
const EXEMPT: [(&str, &[&str]); 3] = [
    ("host/src/cli/print.rs", &["print_stdout", "print_stderr"]),
    ("kernels/benches/", &["print_stdout", "unwrap_used"]),
    ("tests/", &["print_stdout", "print_stderr", "unwrap_used"]),
];

/// `key = value` lines of one section of a settings file; the top section is "".
fn section<'a>(text: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let mut current = "";
    let mut entries = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            current = line;
        } else if let (true, Some((key, value))) = (current == name, line.split_once('=')) {
            entries.push((key.trim(), value.trim()));
        }
    }
    entries
}

fn settings(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for (name, lints) in DENIED {
        let found = section(tree.text("Cargo.toml"), name);
        let denied = |lint: &&&str| found.iter().any(|(key, value)| key == *lint && *value == "\"deny\"");
        breaches.extend(
            lints.iter().filter(|lint| !denied(lint)).map(|lint| format!("{name}: {lint} is not \"deny\"")),
        );
    }
    let clippy = section(tree.text("clippy.toml"), "");
    for (key, most) in THRESHOLDS {
        let value =
            clippy.iter().find(|(found, _)| *found == key).and_then(|(_, value)| value.parse::<usize>().ok());
        if value.is_none_or(|value| value > most) {
            breaches.push(format!("clippy.toml: {key} is {value:?}, wanted at most {most}"));
        }
    }
    breaches
}

fn members(tree: &Tree) -> Vec<String> {
    let inherits = |text: &str| section(text, "[lints]").contains(&("workspace", "true"));
    let manifests = tree.ending("/Cargo.toml").filter(|(path, _)| !path.starts_with("plugins/"));
    manifests
        .filter(|(_, text)| !inherits(text))
        .map(|(path, _)| format!("{path} lacks `[lints] workspace = true`"))
        .collect()
}

fn switched_off(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let exempt = EXEMPT.iter().filter(|(place, _)| path.starts_with(place)).flat_map(|(_, lints)| *lints);
        let exempt: Vec<&&str> = exempt.collect();
        for attribute in relaxing(&code(text)) {
            let guarded = DENIED.iter().flat_map(|(_, lints)| *lints);
            let off = guarded.filter(|lint| names(&attribute, lint) && !exempt.contains(lint));
            breaches.extend(off.map(|lint| format!("{path} switches off {lint}")));
        }
    }
    breaches
}

/// Attributes that allow or expect something.
fn relaxing(code: &str) -> Vec<String> {
    let attributes = code.split("#[").skip(1).chain(code.split("#![").skip(1));
    let own = attributes.map(|text| text.split(']').next().unwrap_or_default().to_owned());
    own.filter(|text| text.contains("allow(") || text.contains("expect(")).collect()
}

fn names(attribute: &str, lint: &str) -> bool {
    !crate::code::lines_with(attribute, lint, "").is_empty()
}

#[test]
fn the_lints_of_the_house_are_errors() {
    crate::hold("lint settings", &settings(&Tree::repository()));
}

#[test]
fn every_crate_takes_the_lints() {
    crate::hold("lints of crates", &members(&Tree::repository()));
}

#[test]
fn nobody_switches_them_off() {
    crate::hold("lints switched off", &switched_off(&Tree::repository()));
}

#[test]
fn settings_bite() {
    let manifest = "[workspace.lints.rust]\nmissing_docs = \"warn\"\nunsafe_op_in_unsafe_fn = \"deny\"\n";
    let found =
        settings(&Tree::of(&[("Cargo.toml", manifest), ("clippy.toml", "too-many-lines-threshold = 61\n")]));
    assert_eq!(found.len(), 1 + DENIED[1].1.len() + 2, "{found:?}");
}

#[test]
fn members_bite() {
    let files = [
        ("a/Cargo.toml", "[lints]\nworkspace = true\n"),
        ("b/Cargo.toml", "[lints]\n[x]\nworkspace = true\n"),
    ];
    assert_eq!(members(&Tree::of(&files)), ["b/Cargo.toml lacks `[lints] workspace = true`"]);
}

#[test]
fn switches_bite() {
    let files = [
        ("host/src/a.rs", "#![allow(clippy::too_many_lines)]\n"),
        ("host/src/b.rs", "#[cfg_attr(test, allow(missing_docs, reason = \"x\"))]\nfn f() {}\n"),
        ("host/src/c.rs", "#[expect(\n    clippy::print_stdout,\n)]\nfn f() {}\n// #[allow(clippy::exit)]\n"),
        ("host/src/cli/print.rs", "#[allow(clippy::print_stdout)]\nfn f() {}\n"),
        ("tests/x.rs", "#![allow(clippy::unwrap_used)]\n#[allow(dead_code)]\nfn f() {}\n"),
    ];
    let found = switched_off(&Tree::of(&files));
    assert_eq!(found.len(), 3, "{found:?}");
}
