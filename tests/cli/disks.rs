//! Disks that are full, files that may not grow, folders that may not be written.

use std::fs;
use std::process::Command;

use crate::tool::{ECOLI, Ended, Run, Scratch, as_nobody, has, is_root, model, open_to_all, program};

/// Checks a run that could not write: its code, its words, and that only `names` are there.
#[track_caller]
fn refused(scratch: &Scratch, ended: Ended, words: &str, names: &[&str]) {
    let ended = ended.code(74);
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    assert_eq!(scratch.names(), names);
}

#[test]
fn a_full_device_is_an_error_for_every_output() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKV\n>b\nACD\n");
    for (out, more) in [
        ("/dev/full", &["--format", "tsv"][..]),
        ("/dev/full", &["--format", "npz"]),
        ("/dev/full", &["--format", "h5"]),
        ("/dev/full", &["--format", "parquet"]),
        ("/dev/full", &["--format", "safetensors"]),
        ("out.npz", &["--residues", "/dev/full"]),
        ("out.npz", &["--summary", "/dev/full"]),
    ] {
        let ended = scratch.embedding("in.fasta", out, more).go();
        refused(&scratch, ended, "/dev/full: no space left on the device", &["in.fasta"]);
    }
    let ended = Run::shell("\"$@\" > /dev/full", &["doctor"]).go().code(74);
    assert!(ended.stderr.contains("cannot write to standard output"), "{}", ended.stderr);
}

#[test]
fn a_file_that_may_not_grow_is_an_error() {
    let scratch = Scratch::new();
    scratch.write("out.npz", "old");
    // 64 blocks of 512 bytes; the states of twenty proteins are larger.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";
    let words = ["embed", ECOLI, "--model", model(), "--out", "out.npz", "--residues", "r.npz"];
    let ended = Run::shell(script, &words).within(scratch.folder()).go();
    refused(&scratch, ended, "it would exceed a size limit", &["out.npz"]);
    assert_eq!(scratch.text("out.npz"), "old");
}

#[test]
fn a_full_file_system_is_an_error() {
    if !is_root() || !has("unshare") {
        println!("SKIPPED: only root can mount a small file system");
        return;
    }
    let scratch = Scratch::new();
    let small = scratch.path("small");
    fs::create_dir(&small).unwrap();
    // The file system is seen by this shell alone and goes with it; what is left in it is told on standard output.
    let script = format!(
        "mount -t tmpfs -o size=256k none '{0}' || exit 99; echo old > '{0}/out.npz'; \"$@\"; code=$?; ls -A '{0}'; \
         cat '{0}/out.npz'; exit $code",
        small.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(program()).current_dir(scratch.folder());
    command.args(["embed", ECOLI, "--model", model(), "--out", "small/out.npz", "--residues", "small/r.npz"]);
    let ended = Run::of(command).go();
    if ended.code == Some(99) {
        println!("SKIPPED: mounting is not allowed here: {}", ended.stderr);
        return;
    }
    let ended = ended.code(74);
    assert!(ended.stderr.contains("no space left on the device"), "{}", ended.stderr);
    assert_eq!(ended.text(), "out.npz\nold\n");
}

#[test]
fn a_folder_that_may_not_be_written_is_an_error() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKV\n").write("pliant", "");
    open_to_all(scratch.folder());
    fs::create_dir(scratch.path("closed")).unwrap();
    fs::set_permissions(scratch.path("closed"), read_only(0o555)).unwrap();
    let words = ["embed", "in.fasta", "--model", model(), "--out", "closed/out.npz"];
    let Some(ended) = as_nobody(&scratch, &words) else { return };
    refused(&scratch, ended, "no permission", &["closed", "in.fasta", "pliant"]);
    assert_eq!(fs::read_dir(scratch.path("closed")).unwrap().count(), 0);
}

#[test]
fn an_input_that_may_not_be_read_is_an_error() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKV\n").write("pliant", "");
    open_to_all(scratch.folder());
    fs::set_permissions(scratch.path("in.fasta"), read_only(0o000)).unwrap();
    let words = ["embed", "in.fasta", "--model", model(), "--out", "/dev/null"];
    let Some(ended) = as_nobody(&scratch, &words) else { return };
    refused(&scratch, ended, "in.fasta: cannot be opened: Permission denied", &["in.fasta", "pliant"]);
}

fn read_only(mode: u32) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(mode)
}
