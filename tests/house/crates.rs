//! Crates use only the crates that the README's table allows them.

use crate::table::{names, rows};
use crate::tree::{Tree, root};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// What each crate of the workspace uses of the others, tests and build scripts included.
type Uses = BTreeMap<String, Vec<String>>;

/// What `cargo metadata` says.
fn workspace() -> Uses {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let wanted = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new(cargo).current_dir(root()).args(wanted).output().expect("cargo runs");
    uses(&serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON"))
}

fn uses(metadata: &Value) -> Uses {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let packages = list(&metadata["packages"]);
    let own: Vec<String> = packages.iter().map(name).collect();
    let used = |package: &Value| {
        let mut used: Vec<String> = list(&package["dependencies"]).iter().map(name).collect();
        used.retain(|used| own.contains(used));
        used.sort();
        used.dedup();
        used
    };
    packages.iter().map(|package| (name(package), used(package))).collect()
}

/// Breaches of the table `crate | folder | may use | …`.
fn breaches(readme: &str, uses: &Uses) -> Vec<String> {
    let allowed: BTreeMap<String, String> =
        rows(readme, "## Crates").into_iter().map(|row| (row[0].clone(), row[2].clone())).collect();
    let mut breaches = Vec::new();
    for (package, used) in uses {
        let Some(allowed) = allowed.get(package) else {
            breaches.push(format!("{package} has no row in the README's table of crates"));
            continue;
        };
        let allowed = names(allowed);
        let forbidden = used.iter().filter(|used| !allowed.contains(&used.as_str()));
        breaches.extend(forbidden.map(|used| format!("{package} uses {used}, its row allows {allowed:?}")));
    }
    let gone = allowed.keys().filter(|package| !uses.contains_key(*package));
    breaches.extend(gone.map(|package| format!("{package} has a row but is no crate of the workspace")));
    breaches
}

#[test]
fn crates_use_only_what_their_row_allows() {
    let tree = Tree::repository();
    crate::hold("arrows between crates", &breaches(tree.text("README.md"), &workspace()));
}

#[test]
fn bites() {
    let readme = "## Crates\n| crate | folder | may use |\n|---|---|---|\n| `a` | x | – |\n| `b` | y | `a` |\n| `d` | z | – |\n";
    let uses: Value = serde_json::json!({"packages": [
        {"name": "a", "dependencies": [{"name": "serde"}, {"name": "b", "kind": "dev"}]},
        {"name": "b", "dependencies": [{"name": "a"}]},
        {"name": "c", "dependencies": []},
    ]});
    let found = breaches(readme, &self::uses(&uses));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("a uses b")
            && found[1].starts_with("c has no row")
            && found[2].starts_with("d has")
    );
}
