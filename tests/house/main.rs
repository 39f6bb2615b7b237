//! The rules of the house as tests.
//!
//! A rule is a function from the repository's files to a list of what breaks it. Beside each stands a test
//! that shows it to bite on a made-up repository.

mod code;
mod crates;
mod families;
mod fixtures;
mod layout;
mod lints;
mod ops;
mod packaging;
mod readme;
mod sizes;
mod table;
mod tree;
mod words;

/// Fails with every breach of a rule.
fn hold(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}
