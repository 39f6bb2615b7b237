//! Compiling in a process of its own, and how often.

use super::*;
use crate::Compiler;
use std::fs;

/// A compiler that writes a line for each call, and ends as it is told.
fn compiler(folder: &std::path::Path, end: &str) -> Compiler {
    let script = format!("cat >/dev/null; echo called >>'{}'; {end}", folder.join("calls").display());
    Compiler { program: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] }
}

#[test]
fn a_guest_is_compiled_apart_once_and_again_within_other_limits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let cache = folder.join("cache");
    fs::create_dir(&cache).unwrap();
    let calls = || fs::read_to_string(folder.join("calls")).unwrap_or_default().lines().count();
    let load = |end: &str, limits: Limits| {
        let compiler = Some(compiler(&folder, end));
        let options = SandboxOptions { deterministic: false, cache: Some(cache.clone()), compiler };
        let setup = Setup { config: "{}".to_owned(), weights: None };
        Plugin::compile(&Sandbox::new(options).unwrap(), &bytes(HEAD), World::Head, setup, limits)
    };
    // What did not go well is not noted down.
    refused("a failure", load("exit 3", limits()).map(drop), "has ended with exit status: 3");
    refused("a refusal", load("echo '{\"compile\":\"no\"}'", limits()).map(drop), "no");
    assert_eq!(calls(), 2);
    for wanted in [3, 3, 3] {
        let mut head = load("echo '{}'", limits()).unwrap().head().unwrap();
        assert_eq!(head.predict(&[7.0], 1).unwrap(), [7.0]);
        assert_eq!(calls(), wanted);
    }
    load("echo '{}'", Limits { compile_mib: 1024, ..limits() }).unwrap();
    assert_eq!(calls(), 4);
}
