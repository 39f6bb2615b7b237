//! Guests that want something from outside, or are of another kind than they say.

use super::*;

#[track_caller]
fn kept_out(name: &str, text: &str, wanted: &str) {
    refused(name, compile(&bytes(text), World::Head, limits()).map(drop), wanted);
}

#[test]
fn imports_are_refused_by_name() {
    let imports = [
        ("wasi_snapshot_preview1", "fd_write", "(func (param i32 i32 i32 i32) (result i32))"),
        ("wasi_snapshot_preview1", "random_get", "(func (param i32 i32) (result i32))"),
        ("wasi_snapshot_preview1", "clock_time_get", "(func (param i32 i64 i32) (result i32))"),
        ("env", "abort", "(func (param i32 i32 i32 i32))"),
        ("pliant:plugin/host@0.1.0", "open", "(func (param i32) (result i32))"),
        ("pliant:plugin/host@0.2.0", "log", "(func (type $log))"),
        ("pliant:plugin/host@0.1.0", "log", "(global i32)"),
        ("env", "table", "(table 1 funcref)"),
    ];
    for (module, field, what) in imports {
        let text = text(HEAD, &[("imports", &format!("(import {module:?} {field:?} {what})"))]);
        kept_out(field, &text, &format!("imports \"{module} {field}\""));
    }
    let memory = HEAD.replace("(memory (export \"memory\") 2)", "(import \"env\" \"memory\" (memory 2))");
    kept_out("memory", &memory, "imports \"env memory\"");
}

#[test]
fn imports_of_components_are_refused_by_name() {
    let cases = [
        ("(component (import \"wasi:clocks/wall-clock@0.2.0\" (instance)))", "wasi:clocks/wall-clock@0.2.0"),
        (
            "(component (import \"wasi:random/random@0.2.0\" (instance (export \"get-random-u64\" (func (result u64))))))",
            "wasi:random/random",
        ),
        ("(component (import \"read-file\" (func)))", "read-file"),
        ("(component (import \"pliant:plugin/head@0.1.0\" (instance)))", "pliant:plugin/head@0.1.0"),
        ("(component (core module $m) (import \"m\" (core module)))", "\"m\""),
        ("(component (import \"c\" (component)))", "imports a component"),
    ];
    for (text, wanted) in cases {
        kept_out(wanted, text, wanted);
    }
    // The right instance with one function too many.
    let host =
        "(component (import \"pliant:plugin/host@0.1.0\" (instance (export \"clock\" (func (result u64))))))";
    kept_out("clock", host, "clock");
}

#[test]
fn what_is_no_plugin_is_refused() {
    let without = |name: &str| HEAD.replace(&format!("(export \"{name}\")"), "");
    let cases = [
        ("an empty module", "(module)".to_owned(), "pliant:plugin/head@0.1.0"),
        ("an empty component", "(component)".to_owned(), "does not export pliant:plugin/head@0.1.0"),
        ("no predict", without("pliant:plugin/head@0.1.0#predict"), "predict"),
        ("no memory", without("memory"), "memory"),
        ("no realloc", without("cabi_realloc"), "cabi_realloc"),
        ("another version", HEAD.replace("head@0.1.0", "head@0.2.0"), "head@0.1.0"),
        (
            "another type",
            HEAD.replace(
                "(param $rows i32) (param $columns i32) (param $from i32) (param $count i32)",
                "(param $rows i32) (param $columns i64) (param $from i32) (param $count i32)",
            )
            .replace(
                "(local.get $columns) (local.get $from)))\n    ;;@answer",
                "(i32.const 1) (local.get $from)))\n    ;;@answer",
            ),
            "predict",
        ),
        ("a metric", METRIC.to_owned(), "head@0.1.0"),
        ("functions of other types", functions("(param \"x\" u32) (result u32)"), "init"),
    ];
    for (name, text, wanted) in cases {
        let answer = compile(&bytes(&text), World::Head, limits()).and_then(|plugin| plugin.head().map(drop));
        let error = refused(name, answer, wanted);
        assert!(matches!(error, PluginError::Contract { .. }), "{name}: {error}");
    }
    let metric = compile(&bytes(METRIC), World::Metric, limits()).unwrap();
    refused("asked for a head", metric.head().map(drop), "it is a metric-plugin");
}

/// A component with the names of the contract and functions of another type.
fn functions(types: &str) -> String {
    let mut text = "(component (core module $m (func (export \"f\") (param i32) (result i32) (local.get 0)))
        (core instance $i (instantiate $m))"
        .to_owned();
    for name in ["init", "describe", "predict", "predict-residues", "predict-pairs"] {
        text.push_str(&format!("(func ${name} {types} (canon lift (core func $i \"f\")))"));
    }
    text.push_str("(instance $head");
    for name in ["init", "describe", "predict", "predict-residues", "predict-pairs"] {
        text.push_str(&format!("(export \"{name}\" (func ${name}))"));
    }
    text.push_str(") (export \"pliant:plugin/head@0.1.0\" (instance $head)))");
    text
}

/// What the contract leaves out is not even compiled.
#[test]
fn features_that_the_contract_leaves_out_are_refused() {
    let memory = |with: &str| HEAD.replace("(memory (export \"memory\") 2)", with);
    let cases = [
        ("several memories", text(HEAD, &[("end", "(memory $second 1)")]), "multiple memories"),
        ("memory of 64 bits", memory("(memory $second i64 1)"), "memory64"),
        ("shared memory", memory("(memory (export \"memory\") 2 4 shared)"), "threads"),
        ("exceptions", text(HEAD, &[("end", "(tag $t)")]), "exceptions"),
        ("garbage collection", text(HEAD, &[("end", "(type $s (struct))")]), "gc"),
    ];
    for (name, text, wanted) in cases {
        let error = refused(name, compile(&bytes(&text), World::Head, limits()).map(drop), wanted);
        assert!(matches!(error, PluginError::Malformed { .. }), "{name}: {error}");
    }
}
