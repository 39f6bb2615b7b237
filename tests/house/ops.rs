//! An op folder is complete, and its row in the table of `kernels/README.md` says what is true.
//!
//! The table's columns are `op | cpu | simd | cuda | grad | fixture | bench`; a dash means there is none. Under `cuda`
//! `kernels only` means that there are kernels which no device runs yet, `CPU only: reason` that there are none. Rows
//! of the parity and gradient tests are strings in the constants `PARITY` and `GRADIENTS` of `tests/kernels`.

use crate::table::{head, rows};
use crate::tree::Tree;

const OPS: &str = "kernels/src/ops/";
const HEADING: &str = "## Operations";
const COLUMNS: [&str; 7] = ["op", "cpu", "simd", "cuda", "grad", "fixture", "bench"];

fn breaches(tree: &Tree) -> Vec<String> {
    let page = tree.text("kernels/README.md");
    if head(page, HEADING) != COLUMNS {
        return vec![format!("kernels/README.md: below {HEADING} wanted a table with columns {COLUMNS:?}")];
    }
    let rows = rows(page, HEADING);
    let ops = tree.folders(OPS);
    let mut breaches = Vec::new();
    for op in &ops {
        match rows.iter().find(|row| row[0] == *op) {
            Some(row) if row.len() == COLUMNS.len() => breaches.extend(row_breaches(tree, op, row)),
            Some(_) => breaches.push(format!("{op}: its row wants {} cells", COLUMNS.len())),
            None => breaches.push(format!("{op} has no row in kernels/README.md")),
        }
        for file in ["mod.rs", "cpu.rs"].iter().filter(|file| !tree.has(&format!("{OPS}{op}/{file}"))) {
            breaches.push(format!("{op} lacks {file}"));
        }
        if !listed(tree, "PARITY", op) {
            breaches.push(format!("{op} has no row in PARITY of tests/kernels"));
        }
    }
    let gone = rows.iter().filter(|row| !ops.contains(&row[0].as_str()));
    breaches
        .extend(gone.map(|row| format!("kernels/README.md has a row for {}, which has no folder", row[0])));
    breaches
}

/// Where a row and the tree say different things.
fn row_breaches(tree: &Tree, op: &str, row: &[String]) -> Vec<String> {
    let file = |name: &str| tree.has(&format!("{OPS}{op}/{name}"));
    let fixture = tree.below(&format!("tests/fixtures/{op}/")).next().is_some();
    let bench = tree.has(&format!("kernels/benches/{}", row[6]));
    let is = [file("cpu.rs"), fast_path(tree, op), true, listed(tree, "GRADIENTS", op), fixture, bench];
    let mut breaches: Vec<String> = cuda_breach(tree, op, &row[3]).into_iter().collect();
    for ((column, cell), is) in COLUMNS[1..].iter().zip(&row[1..]).zip(is) {
        if *column != "cuda" && (cell != "–") != is {
            breaches.push(format!("{op}: column {column} says {cell:?}, the tree says {is}"));
        }
    }
    if !fixture {
        breaches.push(format!("{op} lacks a fixture in tests/fixtures/{op}/"));
    }
    breaches
}

/// What the column `cuda` says wrongly. A `.cu` file is of use only where the table of sources names it.
fn cuda_breach(tree: &Tree, op: &str, cell: &str) -> Option<String> {
    let file = |name: &str| tree.has(&format!("{OPS}{op}/{name}"));
    let kernels = file(&format!("{op}.cu"));
    if kernels && !tree.text("kernels/src/cuda/sources.rs").contains(&format!("op: \"{op}\"")) {
        return Some(format!("{op}: kernels/src/cuda/sources.rs lacks its kernels"));
    }
    let has_cuda = tree.below("kernels/src/cuda/").next().is_some();
    let wanted = match (kernels, file("cuda.rs"), has_cuda) {
        (true, true, _) => "yes",
        (true, false, _) => "kernels only",
        (false, _, true) => "CPU only: ",
        (false, _, false) => "–",
    };
    let fits = if wanted == "CPU only: " { cell.starts_with(wanted) } else { cell == wanted };
    (!fits).then(|| format!("{op}: column cuda says {cell:?}, wanted {wanted:?}"))
}

/// Whether there is a file beside the contract and the plain text.
fn fast_path(tree: &Tree, op: &str) -> bool {
    const OTHERS: [&str; 3] = ["mod.rs", "cpu.rs", "cuda.rs"];
    let folder = format!("{OPS}{op}/");
    tree.below(&folder).any(|(path, _)| path.ends_with(".rs") && !OTHERS.contains(&&path[folder.len()..]))
}

/// Whether a constant of `tests/kernels` names the op.
fn listed(tree: &Tree, constant: &str, op: &str) -> bool {
    let start = format!("const {constant}:");
    let body = |text: &str| {
        let from = text.find(&start)?;
        let length = text[from..].find("];")?;
        Some(text[from..from + length].to_owned())
    };
    tree.below("tests/kernels/")
        .filter_map(|(_, text)| body(text))
        .any(|body| body.contains(&format!("\"{op}\"")))
}

fn foreign_includes(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for (path, text) in tree.ending(".cu").chain(tree.ending(".cuh")) {
        let wanted = if path.ends_with(".cu") { "#include \"common.cuh\"" } else { "nothing" };
        let other =
            text.lines().filter(|line| line.trim_start().starts_with("#include") && line.trim() != wanted);
        breaches.extend(other.map(|line| format!("{path}: {line}, wanted {wanted}")));
    }
    breaches
}

#[test]
fn op_folders_are_complete() {
    crate::hold("op folders", &breaches(&Tree::repository()));
}

#[test]
fn cuda_sources_include_the_common_header_alone() {
    crate::hold("includes", &foreign_includes(&Tree::repository()));
}

const PAGE: &str = "## Operations\n| op | cpu | simd | cuda | grad | fixture | bench |\n|---|---|---|---|---|---|---|\n\
                    | `good` | yes | yes | – | yes | yes | `ops.rs` |\n";

const GOOD: [(&str, &str); 6] = [
    ("kernels/src/ops/good/mod.rs", ""),
    ("kernels/src/ops/good/cpu.rs", ""),
    ("kernels/src/ops/good/simd.rs", ""),
    ("kernels/benches/ops.rs", ""),
    ("tests/fixtures/good/make.py", ""),
    (
        "tests/kernels/main.rs",
        "const PARITY: &[Row] = &[(\"good\", f)];\nconst GRADIENTS: &[Row] = &[\n(\"good\", f)\n];",
    ),
];

#[test]
fn a_complete_folder_passes() {
    let files: Vec<_> = GOOD.into_iter().chain([("kernels/README.md", PAGE)]).collect();
    assert_eq!(breaches(&Tree::of(&files)), Vec::<String>::new());
}

#[test]
fn every_missing_part_is_found() {
    for (missing, _) in GOOD {
        let rest = GOOD.into_iter().filter(|(path, _)| *path != missing);
        let files: Vec<_> = rest.chain([("kernels/README.md", PAGE)]).collect();
        assert!(!breaches(&Tree::of(&files)).is_empty(), "{missing}");
    }
    let bare: Vec<_> = GOOD.into_iter().chain([("kernels/README.md", "## Operations\n")]).collect();
    assert_eq!(breaches(&Tree::of(&bare)).len(), 1);
}

#[test]
fn a_row_that_says_too_much_or_too_little_is_found() {
    let pages = [
        PAGE.replace("| – |", "| yes |"),
        PAGE.replace("| yes | yes | – |", "| yes | – | – |"),
        PAGE.replace("| – | yes |", "| – | – |"),
        PAGE.replace("good", "other"),
        format!("{PAGE}| `gone` | yes | – | – | – | yes | – |\n"),
    ];
    for page in pages {
        let files: Vec<_> = GOOD.into_iter().chain([("kernels/README.md", page.as_str())]).collect();
        assert!(!breaches(&Tree::of(&files)).is_empty(), "{page}");
    }
}

#[test]
fn once_there_is_cuda_an_op_has_it_or_says_why_not() {
    let with = |page: &str| {
        let files: Vec<_> =
            GOOD.into_iter().chain([("kernels/src/cuda/mod.rs", ""), ("kernels/README.md", page)]).collect();
        breaches(&Tree::of(&files))
    };
    assert_eq!(with(PAGE).len(), 1);
    assert_eq!(with(&PAGE.replace("| – |", "| CPU only: a scan of files |")), Vec::<String>::new());
}

#[test]
fn kernels_that_no_device_runs_are_called_so_and_stand_in_the_table_of_sources() {
    let found = |cell: &str, launched: bool, sources: &str| {
        let page = PAGE.replace("| – |", &format!("| {cell} |"));
        let mut files: Vec<_> = GOOD.into_iter().collect();
        files.extend([("kernels/README.md", page.as_str()), ("kernels/src/ops/good/good.cu", "")]);
        files.push(("kernels/src/cuda/sources.rs", sources));
        if launched {
            files.push(("kernels/src/ops/good/cuda.rs", ""));
        }
        breaches(&Tree::of(&files)).len()
    };
    let table = "op: \"good\"";
    assert_eq!([found("kernels only", false, table), found("yes", true, table)], [0, 0]);
    assert_eq!(
        [found("yes", false, table), found("kernels only", true, table), found("–", false, table)],
        [1; 3]
    );
    assert_eq!([found("kernels only", false, ""), found("yes", true, "")], [1; 2]);
}

#[test]
fn foreign_includes_are_found() {
    let files = [
        ("kernels/src/ops/a/a.cu", "#include \"common.cuh\"\n"),
        ("kernels/src/ops/b/b.cu", "#include <math.h>\n"),
        ("kernels/src/cuda/common.cuh", "#include <stdint.h>\n"),
    ];
    assert_eq!(foreign_includes(&Tree::of(&files)).len(), 2);
}
