//! Words that belong to one room: `unsafe` to the kernels and their proofs, printing to `print.rs`, outside paths to `.ci/run`.

use crate::code::{code, lines_with, shipped};
use crate::tree::Tree;

/// The only file that writes to the user's terminal.
const PRINTER: &str = "host/src/cli/print.rs";

/// Hands the standard output on as a result file where the user names it with `-`.
const DATA_STREAM: &str = "host/crates/store/src/atomic.rs";

fn unsafe_outside_kernels(tree: &Tree) -> Vec<String> {
    let kernels = |path: &str| path.starts_with("kernels/") || path.starts_with("tests/kernels/");
    let outside = tree.ending(".rs").filter(|(path, _)| !kernels(path));
    outside
        .flat_map(|(path, text)| {
            lines_with(&code(text), "unsafe", "")
                .into_iter()
                .map(move |line| format!("{path}:{line}: unsafe"))
        })
        .collect()
}

fn prints(tree: &Tree) -> Vec<String> {
    const MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];
    let mut breaches = Vec::new();
    // Scripts of builds speak to cargo, by printing.
    let free = |path: &str| path == PRINTER || path.contains("/benches/") || path.ends_with("/build.rs");
    for (path, text) in tree.ending(".rs").filter(|(path, _)| !free(path)) {
        let code = shipped(path, text);
        for word in MACROS {
            breaches
                .extend(lines_with(&code, word, "!").iter().map(|line| format!("{path}:{line}: {word}!")));
        }
        for word in ["stdout", "stderr"] {
            let lines = if path == DATA_STREAM { Vec::new() } else { lines_with(&code, word, "()") };
            breaches.extend(lines.iter().map(|line| format!("{path}:{line}: {word}()")));
        }
    }
    breaches
}

/// Paths that exist on one machine only. Taken apart, so that this file does not hold them.
fn outside_paths() -> [String; 4] {
    ["work/", "root/", "home/"]
        .map(|folder| format!("/{folder}"))
        .into_iter()
        .chain([["..", "shared"].join("/")])
        .collect::<Vec<_>>()
        .try_into()
        .expect("four")
}

fn machine_paths(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| *path != ".ci/run") {
        for word in outside_paths() {
            let lines = text.lines().enumerate().filter(|(_, line)| starts_a_path(line, &word));
            breaches.extend(lines.map(|(number, _)| format!("{path}:{}: {word}", number + 1)));
        }
    }
    breaches
}

/// Whether the line holds `word` where a path begins, so that `host/work/` is no breach.
fn starts_a_path(line: &str, word: &str) -> bool {
    let inside = |letter: char| letter.is_alphanumeric() || "_-.}".contains(letter);
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(inside))
}

#[test]
fn unsafe_stays_in_the_kernels() {
    crate::hold("unsafe", &unsafe_outside_kernels(&Tree::repository()));
}

#[test]
fn only_print_rs_prints() {
    crate::hold("printing", &prints(&Tree::repository()));
}

#[test]
fn nothing_names_a_machine() {
    crate::hold("paths of one machine", &machine_paths(&Tree::repository()));
}

#[test]
fn unsafe_bites() {
    let files = [
        ("host/src/a.rs", "fn f() {\n    unsafe { g() }\n}\n"),
        ("host/src/b.rs", "// unsafe\nconst A: &str = \"unsafe\";\n"),
        ("kernels/src/a.rs", "unsafe fn f() {}\n"),
    ];
    assert_eq!(unsafe_outside_kernels(&Tree::of(&files)), ["host/src/a.rs:2: unsafe"]);
}

#[test]
fn prints_bite() {
    let files = [
        ("host/src/main.rs", "fn main() {\n    println!(\"x\");\n}\n"),
        ("host/src/a.rs", "fn f() {\n    let out = std::io::stdout();\n}\n"),
        ("host/src/b.rs", "// println!()\n#[cfg(test)]\nmod tests {\n    fn f() { println!() }\n}\n"),
        (PRINTER, "fn f() { eprintln!() }\n"),
        ("host/crates/a/build.rs", "fn main() { println!() }\n"),
        (DATA_STREAM, "fn f() { io::stdout() }\n"),
    ];
    assert_eq!(prints(&Tree::of(&files)), ["host/src/a.rs:2: stdout()", "host/src/main.rs:2: println!"]);
}

#[test]
fn machine_paths_bite() {
    let [work, root, _, shared] = outside_paths();
    let (a, b, c) = (format!("cp {work}x"), format!("\"{root}x\""), format!("ls {shared}/data"));
    let fine = format!("host{work} and folder/{}", shared.replace("..", "x"));
    let files = [("a.sh", a.as_str()), ("b.rs", &b), ("c.md", &c), ("d.md", &fine), (".ci/run", &c)];
    let found = machine_paths(&Tree::of(&files));
    assert_eq!(found.len(), 3, "{found:?}");
}
