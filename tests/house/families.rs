//! Every model family has its row in the README and its file.

use crate::code::code;
use crate::table::rows;
use crate::tree::Tree;

const MODELS: &str = "host/crates/models/src/";

fn breaches(tree: &Tree) -> Vec<String> {
    let listed: Vec<(String, String)> = rows(tree.text("README.md"), "## Families")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let mut breaches: Vec<String> = listed
        .iter()
        .filter(|(_, file)| !file.starts_with(MODELS) || !tree.has(file))
        .map(|(family, file)| format!("family {family}: {file} is no file of {MODELS}"))
        .collect();
    let arms = arms(tree);
    if arms.is_empty() {
        breaches.push(format!("no `pub enum Model` with families in {MODELS}"));
    }
    let file = |arm: &String| format!("{MODELS}{}", snake(arm));
    let in_table = |arm: &String| {
        listed.iter().any(|(_, listed)| {
            *listed == format!("{}.rs", file(arm)) || *listed == format!("{}/mod.rs", file(arm))
        })
    };
    breaches.extend(
        arms.iter().filter(|arm| !in_table(arm)).map(|arm| format!("family {arm} has no row in the README")),
    );
    breaches
}

/// Names of the arms of `pub enum Model`.
fn arms(tree: &Tree) -> Vec<String> {
    let body = |text: &str| {
        let code = code(text);
        let start = code.find("pub enum Model {")? + "pub enum Model {".len();
        let length = code[start..].find("\n}")?;
        Some(code[start..start + length].to_owned())
    };
    let body = tree.below(MODELS).find_map(|(_, text)| body(text)).unwrap_or_default();
    let arm = |line: &str| {
        let name: String = line.trim().chars().take_while(|letter| letter.is_alphanumeric()).collect();
        name.starts_with(char::is_uppercase).then_some(name)
    };
    body.lines().filter_map(arm).collect()
}

/// `LcPlm` as `lc_plm`.
fn snake(name: &str) -> String {
    let mut result = String::new();
    for (place, letter) in name.chars().enumerate() {
        if place > 0 && letter.is_uppercase() {
            result.push('_');
        }
        result.extend(letter.to_lowercase());
    }
    result
}

#[test]
fn families_have_a_row_and_a_file() {
    crate::hold("families", &breaches(&Tree::repository()));
}

#[test]
fn bites() {
    let readme = "## Families\n| family | file |\n|---|---|\n| ESM-2 | `host/crates/models/src/esm2.rs` |\n\
                  | PLUS | `host/crates/models/src/plus_rnn.rs` |\n";
    let models = "/// One.\npub enum Model {\n    /// a\n    Esm2(Esm2),\n    LcPlm(Box<LcPlm>),\n}\n";
    let files = [
        ("README.md", readme),
        ("host/crates/models/src/lib.rs", models),
        ("host/crates/models/src/esm2.rs", ""),
    ];
    let found = breaches(&Tree::of(&files));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("PLUS") && found[1].contains("LcPlm"));
}
