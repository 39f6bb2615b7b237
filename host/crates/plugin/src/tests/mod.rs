//! Guests of every kind, as text of WebAssembly: honest ones, and those that try to do harm.

mod apart;
mod calls;
mod honest;
mod manifest;
mod outside;
mod shapes;
mod telling;

use std::sync::OnceLock;

use crate::contract::World;
use crate::error::PluginError;
use crate::head::Head;
use crate::limits::Limits;
use crate::metric::Metric;
use crate::plugin::{Plugin, Setup};
use crate::sandbox::{Sandbox, SandboxOptions};

pub(crate) const HEAD: &str = include_str!("guests/head.wat");
pub(crate) const METRIC: &str = include_str!("guests/metric.wat");

/// Limits that a test need not wait long for.
pub(crate) fn limits() -> Limits {
    Limits { memory_mib: 16, call_ms: 300, output_mib: 8, ..Limits::default() }
}

pub(crate) fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::new(SandboxOptions::default()).unwrap())
}

/// `base` with other text in the place of its marks.
pub(crate) fn text(base: &str, marks: &[(&str, &str)]) -> String {
    let mut text = base.to_owned();
    for (mark, part) in marks {
        let line = format!(";;@{mark}\n");
        assert!(text.contains(&line), "no mark {mark}");
        text = text.replace(&line, &format!("{part}\n"));
    }
    text
}

pub(crate) fn bytes(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub(crate) fn compile(bytes: &[u8], world: World, limits: Limits) -> Result<Plugin, PluginError> {
    Plugin::compile(sandbox(), bytes, world, Setup { config: "{}".to_owned(), weights: None }, limits)
}

/// The head of `head.wat` with other text in the place of its marks.
pub(crate) fn head(marks: &[(&str, &str)]) -> Result<Head, PluginError> {
    compile(&bytes(&text(HEAD, marks)), World::Head, limits())?.head()
}

pub(crate) fn metric(marks: &[(&str, &str)]) -> Result<Metric, PluginError> {
    compile(&bytes(&text(METRIC, marks)), World::Metric, limits())?.metric()
}

/// What a hostile case was let do.
#[track_caller]
pub(crate) fn refused<T>(name: &str, answer: Result<T, PluginError>, wanted: &str) -> PluginError {
    let Err(error) = answer else { panic!("{name}: it was let pass") };
    let found = error.to_string();
    assert!(found.contains(wanted), "{name}: found {found:?}, wanted {wanted:?}");
    error
}

/// The machine is as it was: an honest guest still answers.
#[track_caller]
pub(crate) fn unharmed() {
    let mut honest = head(&[]).unwrap();
    assert_eq!(honest.predict(&[1.0, 2.0, 3.0, 4.0], 2).unwrap(), [1.0, 3.0]);
}
