//! Harm as a guest begins and as it describes itself.

use super::*;

/// Other bytes of the record at 64, or other code, and what the error must say.
const TELLING: [(&str, &str, &str, &str); 18] = [
    ("no outputs", "data", "(data (i32.const 96) \"\\00\")", "found 0 outputs, wanted 1 to 100000"),
    ("outputs beyond the memory", "data", "(data (i32.const 96) \"\\ff\\ff\\ff\\0f\")", "out of bounds"),
    ("a name beyond the memory", "data", "(data (i32.const 64) \"\\00\\00\\00\\70\")", "out of bounds"),
    ("a name of 4 GB", "data", "(data (i32.const 68) \"\\ff\\ff\\ff\\ff\")", "out of bounds"),
    ("no name", "data", "(data (i32.const 68) \"\\00\")", "the name \"\""),
    ("a name that is no text", "data", "(data (i32.const 128) \"\\ff\\fe\")", "utf-8"),
    ("a name with control characters", "data", "(data (i32.const 129) \"\\1b[\")", "the name \"p [in\""),
    ("an output with a tab", "data", "(data (i32.const 146) \"\\09\")", "the name \"va ue\""),
    ("takes nothing", "data", "(data (i32.const 80) \"\\00\\00\\00\")", "a head that takes nothing"),
    ("a width of 0", "data", "(data (i32.const 84) \"\\01\")", "found a width of 0"),
    ("a row of no kind", "data", "(data (i32.const 100) \"\\07\")", "discriminant"),
    ("a meaning of no kind", "data", "(data (i32.const 101) \"\\03\")", "discriminant"),
    ("an option of no kind", "data", "(data (i32.const 84) \"\\02\")", "discriminant"),
    ("a record outside", "describe", "(return (i32.const 131064))", "out of bounds"),
    ("a record that is not aligned", "describe", "(return (i32.const 65))", "not aligned"),
    (
        "two descriptions",
        "describe",
        "(i32.store8 (i32.const 101) (i32.add (i32.load8_u (i32.const 101)) (i32.const 1)))",
        "two descriptions that differ",
    ),
    (
        "an endless description",
        "describe",
        "(loop $l (br $l))",
        "stopped in describe: it wanted more than 300 ms",
    ),
    ("a trap", "describe", "unreachable", "failed in describe"),
];

#[test]
fn descriptions_that_cannot_be_true_are_not_believed() {
    for (name, mark, part, wanted) in TELLING {
        refused(name, head(&[(mark, part)]).map(drop), wanted);
    }
    unharmed();
}

#[test]
fn the_same_name_twice_is_refused() {
    let twice = "(data (i32.const 160) \"\\90\\00\\00\\00\\05\\00\\00\\00\\90\\00\\00\\00\\05\\00\\00\\00\")
        (data (i32.const 92) \"\\a0\\00\\00\\00\\02\")";
    refused("twice", head(&[("data", twice)]).map(drop), "the name \"value\" twice");
}

/// A million names that are one and the same megabyte would be a terabyte on this side.
#[test]
fn one_text_named_a_million_times_does_not_fill_the_memory() {
    let describe = "(local $i i32)
        (drop (memory.grow (i32.const 200)))
        (loop $l
          (i32.store (i32.add (i32.const 1048576) (i32.mul (local.get $i) (i32.const 8))) (i32.const 1048576))
          (i32.store offset=4 (i32.add (i32.const 1048576) (i32.mul (local.get $i) (i32.const 8))) (i32.const 8388608))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (i32.const 1000000))))
        (i32.store (i32.const 92) (i32.const 1048576))
        (i32.store (i32.const 96) (i32.const 1000000))";
    refused("amplified", head(&[("describe", describe)]).map(drop), "8 MiB of answer: --limit output_mib");
    let small = "(local $i i32) (drop (memory.grow (i32.const 30)))
        (i32.store (i32.const 92) (i32.const 262144)) (i32.store (i32.const 96) (i32.const 200000))
        (loop $l
          (i64.store (i32.add (i32.const 262144) (i32.mul (local.get $i) (i32.const 8))) (i64.const 0x0000000100000080))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (i32.const 200000))))";
    refused("many", head(&[("describe", small)]).map(drop), "");
    unharmed();
}

#[test]
fn harm_as_a_guest_begins_is_contained() {
    let start = |body: &str| format!("(func $start {body}) (start $start)");
    let error = "(i64.store (i32.const 16) (i64.const 0x0000000100000001)) (i64.store (i32.const 24) (i64.const 0x0000000500000080))";
    let cases = [
        ("endless start", "end", start("(loop $l (br $l))"), "stopped in start: it wanted more than 300 ms"),
        ("trap in start", "end", start("unreachable"), "failed in start"),
        ("memory in start", "end", start("(drop (memory.grow (i32.const 1000)))"), "16 MiB of memory"),
        ("a large table", "end", "(table 2000000 funcref)".to_owned(), "100000 elements"),
        ("many tables", "end", "(table 1 funcref)".repeat(80), "table"),
        ("data outside", "data", "(data (i32.const 131070) \"abcd\")".to_owned(), "out of bounds"),
        ("endless init", "init", "(loop $l (br $l))".to_owned(), "stopped in init"),
        ("trap in init", "init", "unreachable".to_owned(), "failed in init"),
        ("an error of init", "init", error.to_owned(), "says in init (unsupported): plain"),
        ("an answer of init outside", "init", "(return (i32.const 200000))".to_owned(), "out of bounds"),
    ];
    for (name, mark, part, wanted) in cases {
        refused(name, head(&[(mark, &part)]).map(drop), wanted);
    }
    let large = HEAD.replace("(memory (export \"memory\") 2)", "(memory (export \"memory\") 60000)");
    refused(
        "a large memory",
        compile(&bytes(&large), World::Head, limits()).and_then(|p| p.head()).map(drop),
        "16 MiB",
    );
    unharmed();
}

#[test]
fn a_metric_that_describes_itself_wrongly_is_refused() {
    let cases = [
        ("no scores", "(data (i32.const 92) \"\\00\")", "found 0 scores"),
        ("0 columns", "(data (i32.const 80) \"\\01\")", "found 0 columns"),
        ("a name of nothing", "(data (i32.const 148) \"\\00\")", "the name \"\""),
        ("neither true nor false", "(data (i32.const 152) \"\\05\")", ""),
    ];
    for (name, part, wanted) in cases {
        if name == "neither true nor false" {
            // Any number but 0 is true, by the rules of components.
            assert!(metric(&[("data", part)]).unwrap().about().scores[0].higher_is_better);
            continue;
        }
        refused(name, metric(&[("data", part)]).map(drop), wanted);
    }
}

/// After a death the next call has a guest again, which may die as well.
#[test]
fn a_guest_that_dies_is_brought_to_life_each_time() {
    let mut head = head(&[("predict", "unreachable")]).unwrap();
    refused("first", head.predict(&[1.0], 1), "failed in predict");
    refused("second", head.predict(&[1.0], 1), "failed in predict");
    unharmed();
}
