//! `pliant kernels build`.

use crate::tool::{Run, Scratch};
use std::path::Path;

#[test]
fn a_missing_compiler_and_an_unknown_architecture_are_named() {
    let scratch = Scratch::new();
    let run = |words: &[&str]| Run::new(words).within(scratch.folder()).go();
    let library = scratch.folder().join("libnvrtc.so.12");
    std::fs::write(&library, "no library").unwrap();
    let missing =
        run(&["kernels", "build", "--out", "kernels", "--nvrtc", library.to_str().unwrap()]).code(69);
    assert!(
        missing.stderr.contains("pip install") && missing.stderr.contains("libnvrtc.so.12"),
        "{}",
        missing.stderr
    );
    assert!(!scratch.folder().join("kernels").exists());
    let old = run(&["kernels", "build", "--out", "kernels", "--arch", "sm_80,sm_70"]).code(2);
    assert!(old.stderr.contains("sm_70") && old.stderr.contains("sm_80 and newer"), "{}", old.stderr);
}

/// Into the folder where the proofs of machine code keep theirs, so that nothing is compiled twice.
#[test]
fn what_is_there_is_not_compiled_again() {
    let named = std::env::var_os("PLIANT_TEST_NVRTC").filter(|paths| !paths.is_empty());
    let Some(compiler) = named.and_then(|paths| std::env::split_paths(&paths).next()) else {
        eprintln!("SKIPPED: no kernels were built (name libnvrtc in PLIANT_TEST_NVRTC)");
        return;
    };
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels-for-devices");
    let (out, compiler) = (out.to_str().unwrap(), compiler.to_str().unwrap());
    let words = ["kernels", "build", "--arch", "sm_90", "--out", out, "--nvrtc", compiler];
    let build = || Run::new(&words).go().code(0).stderr;
    build();
    let again = build();
    assert!(again.contains("0 of ") && again.contains("the others were there"), "{again}");
}
