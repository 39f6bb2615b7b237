//! Guests that are damaged, or would keep a compiler busy.

use super::*;
use std::time::Instant;

fn kept_out(name: &str, bytes: &[u8], wanted: &str) -> PluginError {
    refused(name, compile(bytes, World::Head, limits()).map(drop), wanted)
}

#[test]
fn bytes_that_are_no_guest_are_refused() {
    let whole = bytes(HEAD);
    let cases: [(&str, &[u8], &str); 7] = [
        ("nothing", b"", "found no byte"),
        ("text", b"fn main() {}", "other first bytes than those of WebAssembly"),
        ("half a head", b"\0asm", "version"),
        ("another version", b"\0asm\x07\0\0\0", "version"),
        ("another component", b"\0asm\x07\0\x01\0", "version"),
        ("half a module", &whole[..whole.len() / 2], "at byte"),
        ("a module and more", &[whole.as_slice(), b"\xff\xff\xff\xff"].concat(), "at byte"),
    ];
    for (name, bytes, wanted) in cases {
        let error = kept_out(name, bytes, wanted);
        assert!(matches!(error, PluginError::Malformed { .. }), "{name}: {error}");
    }
}

#[test]
fn what_would_not_validate_is_refused() {
    let text = text(HEAD, &[("end", "(func (result i32) (f32.const 1))")]);
    kept_out("a function of the wrong type", &bytes(&text), "type mismatch");
    let damaged = [bytes(HEAD), b"\0\x10\x0ecomponent-type\xff".to_vec()].concat();
    kept_out("damaged types", &damaged, "contract of head-plugin");
}

/// Any byte of an honest guest changed, and any part of it cut away: an answer or an error, never a panic.
#[test]
fn no_damage_ends_the_program() {
    let whole = bytes(HEAD);
    let mut state = 7_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let (mut passed, mut stopped) = (0, 0);
    for turn in 0..150 {
        let mut damaged = whole.clone();
        for _ in 0..=turn % 3 {
            let at = next() % damaged.len();
            damaged[at] = next() as u8;
        }
        let limits = Limits { call_ms: 20, ..limits() };
        let answer = compile(&damaged, World::Head, limits).and_then(|plugin| plugin.head());
        match answer.and_then(|mut head| head.predict(&[1.0, 2.0], 1)) {
            Ok(_) => passed += 1,
            Err(_) => stopped += 1,
        }
    }
    assert!(passed > 0 && stopped > 0, "{passed} {stopped}");
    unharmed();
}

#[test]
fn what_is_too_large_is_refused_before_it_is_compiled() {
    let small = Limits { file_mib: 1, functions: 100, function_kib: 4, locals: 2000, ..limits() };
    let functions = text(HEAD, &[("end", &"(func)".repeat(200))]);
    let long = text(HEAD, &[("end", &format!("(func {})", "(drop (i32.const 1))".repeat(3000)))]);
    let locals =
        text(HEAD, &[("end", &"(func (local i64 f64 i32))".repeat(20).replace("i32", &"i32 ".repeat(100)))]);
    let cases = [
        ("functions", bytes(&functions), "more than the 100 that are allowed: --limit functions"),
        (
            "a long function",
            bytes(&long),
            "bytes in a function, more than the 4096 that are allowed: --limit function_kib",
        ),
        (
            "local variables",
            bytes(&locals),
            "local variables, more than the 2000 that are allowed: --limit locals",
        ),
        ("a large file", vec![0; 2 << 20], "more than the 1048576 that are allowed: --limit file_mib"),
    ];
    for (name, bytes, wanted) in cases {
        let error = refused(name, compile(&bytes, World::Head, small).map(drop), wanted);
        assert!(matches!(error, PluginError::Structure { .. }), "{name}: {error}");
    }
}

/// Components of components: every level brings the one below to life ten times.
fn doubling(levels: usize, each: usize) -> String {
    let mut text = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..=levels {
        let lives = format!("(instance (instantiate $c{}))", level - 1).repeat(each);
        text.push_str(&format!(
            "(component $c{level} (alias outer 1 $c{} (component $c{})) {lives})",
            level - 1,
            level - 1
        ));
    }
    format!("(component {text} (instance (instantiate $c{levels})))")
}

#[test]
fn components_that_multiply_are_counted_before_they_are_compiled() {
    let start = Instant::now();
    let bomb = bytes(&doubling(8, 10));
    assert!(bomb.len() < 4096, "{} bytes", bomb.len());
    let error = kept_out(
        "a hundred million instances",
        &bomb,
        "instances, more than the 64 that are allowed: --limit instances",
    );
    assert!(matches!(error, PluginError::Structure { .. }), "{error}");
    kept_out("many instances side by side", &bytes(&doubling(1, 80)), "instances, more than the 64");
    let nested = format!("{}{}", "(component ".repeat(12), ")".repeat(12));
    kept_out(
        "twelve components within each other",
        &bytes(&nested),
        "found 5 levels of nesting".trim_start_matches("found "),
    );
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    // What the limit allows is exactly what is counted.
    let structure = crate::examine(&bytes(&doubling(1, 20)), &limits()).unwrap();
    assert_eq!(structure.instances, 1 + (1 + 20 * 2));
}

#[test]
fn components_that_cannot_be_counted_are_refused() {
    let cases = [
        (
            "an exported component",
            "(component (component $c) (export \"c\" (component $c)))",
            "exports a component",
        ),
        (
            "a component out of an instance",
            "(component (import \"i\" (instance $i (export \"c\" (component)))) (alias export $i \"c\" (component $c)) (instance (instantiate $c)))",
            "takes a component out of an instance",
        ),
    ];
    for (name, text, wanted) in cases {
        kept_out(name, &bytes(text), wanted);
    }
}
