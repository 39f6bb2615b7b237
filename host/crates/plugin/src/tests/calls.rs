//! Harm while a guest is asked for predictions: each ends with its call, and the next call is as if nothing had been.

use super::*;
use crate::contract::LogLevel;
use crate::metric::Rows;

/// What stands before the honest body of `predict`, and what the error must say.
const PREDICT: [(&str, &str, &str); 12] = [
    ("endless loop", "(loop $l (br $l))", "more than 300 ms"),
    (
        "endless filling",
        "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $l))",
        "300 ms",
    ),
    ("recursion", "(drop (call $deep (i32.const 1)))", "stack"),
    (
        "memory growth",
        "(loop $l (drop (memory.grow (i32.const 16))) (br $l))",
        "wanted more than 16 MiB of memory: --limit memory_mib",
    ),
    ("memory at once", "(drop (memory.grow (i32.const 40000)))", "16 MiB of memory"),
    (
        "table growth",
        "(loop $l (drop (table.grow $t (ref.null func) (i32.const 10000))) (br $l))",
        "more than 100000 elements of tables",
    ),
    ("unreachable", "unreachable", "unreachable"),
    ("load outside", "(drop (i32.load (i32.const -4)))", "out of bounds memory access"),
    ("store outside", "(i32.store (i32.const 131072) (i32.const 1))", "out of bounds memory access"),
    ("division by zero", "(drop (i32.div_s (i32.const 1) (i32.const 0)))", "divide by zero"),
    ("conversion", "(drop (i32.trunc_f32_s (f32.const nan)))", "conversion to integer"),
    ("call of nothing", "(call_indirect $t (i32.const 0))", "uninitialized element"),
];

#[test]
fn what_goes_wrong_in_a_call_ends_with_it() {
    let top = "(table $t 1 funcref) (func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))";
    for (name, body, wanted) in PREDICT {
        let condition = format!("(if (f32.eq (f32.load (local.get $from)) (f32.const 13)) (then {body}))");
        let mut head = head(&[("top", top), ("predict", &condition)]).unwrap();
        let answers = head.predict_each(&[13.0, 1.0, 3.0], 1).unwrap();
        let [bad, second, third] = <[_; 3]>::try_from(answers).unwrap();
        assert_eq!((second.unwrap(), third.unwrap()), (vec![1.0], vec![3.0]), "{name}");
        let error = refused(name, bad, wanted);
        assert!(error.concerns_input(), "{name}");
        assert_eq!(head.predict(&[5.0], 1).unwrap(), [5.0], "{name}: the next call");
    }
    unharmed();
}

/// What stands behind the honest body of `predict` that got 2 vectors: at 256 is the answer.
const ANSWERS: [(&str, &str, &str); 18] = [
    (
        "not a number",
        "(f32.store (i32.load (i32.const 268)) (f32.const nan))",
        "found NaN in row 0, column 0",
    ),
    (
        "infinity",
        "(f32.store offset=4 (i32.load (i32.const 268)) (f32.const -inf))",
        "found -inf in row 1, column 0",
    ),
    (
        "a row less",
        "(i32.store (i32.const 260) (i32.const 1))",
        "found 1 rows and 1 columns, wanted 2 rows and 1 columns",
    ),
    ("a row more", "(i32.store (i32.const 260) (i32.const 3))", "found 3 rows"),
    ("a column more", "(i32.store (i32.const 264) (i32.const 2))", "found 2 rows and 2 columns"),
    ("no column", "(i32.store (i32.const 264) (i32.const 0))", "0 columns"),
    ("rows times columns beyond 32 bits", "(i64.store (i32.const 260) (i64.const -1))", "4294967295 rows"),
    ("less numbers", "(i32.store (i32.const 272) (i32.const 1))", "found 1 numbers, wanted 2"),
    ("more numbers", "(i32.store (i32.const 272) (i32.const 3))", "found 3 numbers, wanted 2"),
    ("no numbers", "(i32.store (i32.const 272) (i32.const 0))", "found 0 numbers"),
    ("a list beyond the memory", "(i32.store (i32.const 272) (i32.const 1000000))", "out of bounds"),
    ("a list of all addresses", "(i32.store (i32.const 272) (i32.const -1))", "out of bounds"),
    ("a list before the memory", "(i32.store (i32.const 268) (i32.const -4))", "out of bounds"),
    ("a list that is not aligned", "(i32.store (i32.const 268) (i32.const 65537))", "not aligned"),
    ("neither answer nor error", "(i32.store8 (i32.const 256) (i32.const 2))", "discriminant"),
    (
        "an answer beyond the limit",
        "(drop (memory.grow (i32.const 160))) (i32.store (i32.const 268) (i32.const 0)) (i32.store (i32.const 272) (i32.const 2500000))",
        "more than 8 MiB of answer: --limit output_mib",
    ),
    (
        "an error of its own",
        "(i64.store (i32.const 256) (i64.const 1)) (i64.store (i32.const 264) (i64.const 0x0000000500000080))",
        "says in predict (bad input): plain",
    ),
    (
        "an error that is no text",
        "(i64.store (i32.const 256) (i64.const 1)) (i64.store (i32.const 264) (i64.const 0x0000000500000008)) (i32.store8 (i32.const 8) (i32.const 255))",
        "utf-8",
    ),
];

#[test]
fn answers_that_cannot_be_true_are_not_believed() {
    for (name, body, wanted) in ANSWERS {
        let condition = format!("(if (i32.eq (local.get $rows) (i32.const 2)) (then {body}))");
        let mut head = head(&[("answer", &condition)]).unwrap();
        refused(name, head.predict(&[1.0, 2.0], 1), wanted);
        assert_eq!(head.predict(&[5.0], 1).unwrap(), [5.0], "{name}: the next call");
    }
    unharmed();
}

#[test]
fn an_answer_of_another_size_each_time_is_told_each_time() {
    let top = "(global $turn (mut i32) (i32.const 0))";
    let answer = "(global.set $turn (i32.add (global.get $turn) (i32.const 1)))
        (i32.store (i32.const 260) (global.get $turn)) (i32.store (i32.const 272) (global.get $turn))";
    let mut head = head(&[("top", top), ("answer", answer)]).unwrap();
    assert_eq!(head.predict(&[1.0], 1).unwrap(), [1.0]);
    refused("second", head.predict(&[1.0], 1), "found 2 rows and 1 columns, wanted 1 rows");
    refused("third", head.predict(&[1.0], 1), "found 3 rows");
}

/// Memory for what a guest is given, as the guest hands it out.
#[test]
fn memory_for_the_input_is_not_believed_either() {
    let cases = [
        ("outside", "(return (i32.const -65536))", "beyond end of memory"),
        ("not aligned", "(return (i32.const 65537))", "not aligned"),
        ("trap", "unreachable", "unreachable"),
        ("endless", "(loop $l (br $l))", "300 ms"),
    ];
    for (name, body, wanted) in cases {
        let condition = format!("(if (i32.eq (local.get $new) (i32.const 12)) (then {body}))");
        let mut head = head(&[("realloc", &condition)]).unwrap();
        refused(name, head.predict(&[1.0, 2.0, 3.0], 3), wanted);
        assert_eq!(head.predict(&[5.0], 1).unwrap(), [5.0], "{name}: the next call");
    }
    unharmed();
}

/// What stands before the honest body of the other two functions where they are given 2 vectors: $first has answered at 256.
const OTHERS: [(&str, &str, &str); 8] = [
    ("trap", "unreachable", "unreachable"),
    ("endless loop", "(loop $l (br $l))", "more than 300 ms"),
    ("memory", "(drop (memory.grow (i32.const 40000)))", "16 MiB of memory"),
    (
        "a row less",
        "(i32.store (i32.const 260) (i32.const 1))",
        "found 1 rows and 1 columns, wanted 2 rows and 1 columns",
    ),
    ("a column more", "(i32.store (i32.const 264) (i32.const 2))", "found 2 rows and 2 columns"),
    ("less numbers", "(i32.store (i32.const 272) (i32.const 1))", "found 1 numbers, wanted 2"),
    (
        "not a number",
        "(f32.store (i32.load (i32.const 268)) (f32.const nan))",
        "found NaN in row 0, column 0",
    ),
    ("a list of all addresses", "(i32.store (i32.const 272) (i32.const -1))", "out of bounds"),
];

#[test]
fn residues_and_pairs_are_held_to_the_same() {
    for (name, body, wanted) in OTHERS {
        let told = "(drop (call $first (local.get 0) (local.get 1) (local.get 2)))";
        let condition = format!(
            "(if (i32.eq (local.get 0) (i32.const 2)) (then {told} {body} (return (i32.const 256))))"
        );
        for mark in ["residues", "pairs"] {
            let mut head = head(&[(mark, &condition)]).unwrap();
            let mut ask = |vectors: &[f32]| match mark {
                "pairs" => head.predict_pairs(vectors, vectors, 1),
                _ => head.predict_residues(vectors, 1, &[0, vectors.len()]),
            };
            refused(name, ask(&[1.0, 2.0]), wanted);
            assert_eq!(ask(&[5.0]).unwrap(), [5.0], "{name}: the next call of {mark}");
        }
    }
    // A head that says it has a row for each protein, and gives one for each residue.
    let mut head = head(&[("data", "(data (i32.const 100) \"\\00\")")]).unwrap();
    let answer = head.predict_residues(&[1.0, 2.0, 3.0], 1, &[0, 1, 3]);
    refused("rows of residues", answer, "found 3 rows and 1 columns, wanted 2 rows");
    unharmed();
}

#[test]
fn a_protein_that_fits_in_no_memory_is_named() {
    let mut head = head(&[]).unwrap();
    let states = vec![0.5; 5 << 20];
    let error = refused("titin", head.predict_residues(&states, 1 << 10, &[0, 5 << 10]), "memory_mib");
    assert!(error.to_string().contains("20971520 bytes"), "{error}");
    assert_eq!(head.predict(&[5.0], 1).unwrap(), [5.0]);
}

#[test]
fn probabilities_are_held_to_their_bounds() {
    let data = "(data (i32.const 101) \"\\02\")";
    let mut head = head(&[("data", data)]).unwrap();
    assert_eq!(head.about().meaning, crate::Meaning::Probabilities);
    assert_eq!(head.predict(&[0.0, 1.0, 0.5], 1).unwrap(), [0.0, 1.0, 0.5]);
    refused("above", head.predict(&[0.5, 1.5], 1), "found 1.5 in row 1, column 0, wanted a probability");
}

#[test]
fn a_flood_of_lines_is_cut() {
    let say = "(import \"pliant:plugin/host@0.1.0\" \"log\" (func $say (type $log)))";
    let flood = "(loop $l (call $say (i32.const 1) (i32.const 128) (i32.const 5))
        (local.set $at (i32.add (local.get $at) (i32.const 1))) (br_if $l (i32.lt_u (local.get $at) (i32.const 5000))))";
    let mut head = head(&[("imports", say), ("predict", flood)]).unwrap();
    assert_eq!(head.predict(&[5.0], 1).unwrap(), [5.0]);
    assert_eq!(head.take_log().len(), 1000);
    let endless = "(loop $l (call $say (i32.const 1) (i32.const 128) (i32.const 5)) (br $l))";
    let mut head = super::head(&[("imports", say), ("predict", endless)]).unwrap();
    refused("endless", head.predict(&[5.0], 1), "300 ms");
    let long = "(i32.store8 (i32.const 514) (i32.const 97)) (i32.store8 (i32.const 515) (i32.const 27)) (call $say (i32.const 3) (i32.const 512) (i32.const 60000))";
    let mut head = super::head(&[("imports", say), ("predict", long)]).unwrap();
    head.predict(&[5.0], 1).unwrap();
    let log = head.take_log();
    assert_eq!((log[0].level, log[0].message.len()), (LogLevel::Error, 1000));
    assert!(log[0].message.starts_with("  a  "), "{:?}", log[0].message);
    let level = "(call $say (i32.const 9) (i32.const 128) (i32.const 5))";
    let mut head = super::head(&[("imports", say), ("predict", level)]).unwrap();
    refused("a level that is not there", head.predict(&[5.0], 1), "discriminant");
}

#[test]
fn counted_instructions_end_at_the_same_place() {
    let options = SandboxOptions { deterministic: true, ..SandboxOptions::default() };
    let counted = Sandbox::new(options).unwrap();
    let count = "(loop $l (global.set $turn (i32.add (global.get $turn) (i32.const 1))) (br $l))";
    let text = text(HEAD, &[("top", "(global $turn (mut i32) (i32.const 0))"), ("predict", count)]);
    let limits = Limits { fuel: 1_000_000, call_ms: 60_000, ..limits() };
    let setup = Setup { config: "{}".to_owned(), weights: None };
    let plugin = Plugin::compile(&counted, &bytes(&text), World::Head, setup, limits).unwrap();
    assert_ne!(plugin.identity(), compile(&bytes(&text), World::Head, limits).unwrap().identity());
    let mut head = plugin.head().unwrap();
    refused("fuel", head.predict(&[1.0], 1), "more than 1000000 instructions: --limit fuel");
}

#[test]
fn a_metric_that_lies_is_not_believed() {
    let cases = [
        ("not a number", "(f64.store (i32.const 336) (f64.const nan))", "found NaN for \"rows\""),
        (
            "another name",
            "(i32.store (i32.const 324) (i32.const 3))",
            "found the score \"row\", wanted the score \"rows\"",
        ),
        ("no scores", "(i32.store (i32.const 264) (i32.const 0))", "found 0 scores, wanted 1 scores"),
        ("scores beyond the memory", "(i32.store (i32.const 264) (i32.const 9999999))", "out of bounds"),
        ("endless loop", "(loop $l (br $l))", "300 ms"),
        ("trap", "unreachable", "unreachable"),
    ];
    for (name, body, wanted) in cases {
        let mut metric = metric(&[("finish", body)]).unwrap();
        refused(name, metric.finish(), wanted);
    }
    let undefined =
        metric(&[("finish", "(i32.store8 (i32.const 328) (i32.const 0))")]).unwrap().finish().unwrap();
    assert_eq!(undefined[0].value, None);
    let rows = Rows { predictions: &[1.0], columns: 1, labels: &[0.0], label_columns: 1, offsets: &[0, 1] };
    let mut dead = metric(&[("add", "unreachable")]).unwrap();
    refused("trap in add", dead.add(&rows), "failed in add");
    refused("after a trap", dead.finish(), "an earlier call has ended the guest");
    unharmed();
}

#[test]
fn what_does_not_fit_a_guest_does_not_reach_it() {
    let mut head = head(&[("predict", "unreachable")]).unwrap();
    let cases = [
        ("half a row", head.predict(&[1.0, 2.0, 3.0], 2), "3 numbers in rows of 2"),
        ("no width", head.predict(&[1.0], 0), "rows of 0"),
        ("not a number", head.predict(&[1.0, f32::NAN], 2), "found NaN in row 0, column 1"),
        ("offsets", head.predict_residues(&[1.0, 2.0], 1, &[0, 3]), "ascending offsets from 0 to 2"),
        ("sides", head.predict_pairs(&[1.0, 2.0], &[1.0], 1), "2 and 1 vectors"),
    ];
    for (name, answer, wanted) in cases {
        refused(name, answer, wanted);
    }
    let mut metric = metric(&[("add", "unreachable")]).unwrap();
    let rows =
        |predictions, labels, offsets| Rows { predictions, columns: 1, labels, label_columns: 1, offsets };
    refused("labels", metric.add(&rows(&[1.0, 2.0], &[1.0], &[0, 2])), "1 labels for 2 rows");
    refused("prediction", metric.add(&rows(&[f32::INFINITY], &[1.0], &[0, 1])), "found inf in row 0");
    refused("offsets", metric.add(&rows(&[1.0], &[1.0], &[0])), "offsets");
}
