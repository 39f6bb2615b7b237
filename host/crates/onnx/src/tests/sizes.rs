//! Files that would make something huge.

use tract_onnx::pb::{AttributeProto, NodeProto};

use super::{Scratch, floats, head, integers, node};
use crate::Limits;

/// A small limit, so that nothing large is made where a check does not bite.
const SMALL: Limits = Limits {
    file_bytes: 1 << 20,
    data_bytes: 1 << 20,
    parts: 10_000,
    nesting: 3,
    result_bytes: 1 << 20,
    held_bytes: 4 << 20,
    call_ms: 10_000,
};

#[test]
fn what_is_made_of_numbers_of_the_file_is_bounded() {
    let (column, row) = (floats("c", &[1000, 1], &[1.0; 1000]), floats("r", &[1, 1000], &[1.0; 1000]));
    let used = |name: &str| {
        vec![node("ReduceSum", &[name], "s"), node("ReduceSum", &["x"], "t"), node("Add", &["s", "t"], "y")]
    };
    let with = |made: Vec<NodeProto>, tensors| {
        let name = made.last().unwrap().output[0].clone();
        let nodes = made.into_iter().chain(used(&name)).collect();
        Scratch::graph(head(nodes, tensors)).refusal_within(&SMALL)
    };
    for operator in ["Add", "MatMul"] {
        let refused = with(vec![node(operator, &["c", "r"], "b")], vec![column.clone(), row.clone()]);
        assert!(
            refused.contains(&format!("node \"{operator}_b\"")) && refused.contains("8000000"),
            "{refused}"
        );
    }
    let huge = integers("n", &[1_000_000, 1_000_000]);
    let refused = with(vec![node("ConstantOfShape", &["n"], "b")], vec![huge.clone()]);
    assert!(refused.contains("8000000000000"), "{refused}");
    for operator in ["Expand", "Tile"] {
        let one = floats("o", &[1, 1], &[1.0]);
        let refused = with(vec![node(operator, &["o", "n"], "b")], vec![one, huge.clone()]);
        assert!(refused.contains("8000000000000"), "{refused}");
    }
    // Through what only hands it on.
    let handed = vec![node("Identity", &["n"], "m"), node("ConstantOfShape", &["m"], "b")];
    assert!(with(handed, vec![huge.clone()]).contains("8000000000000"));
    // A size that is computed.
    let computed = vec![node("Mul", &["n", "n"], "m"), node("ConstantOfShape", &["m"], "b")];
    assert!(with(computed, vec![huge]).contains("whose size is computed"));
}

#[test]
fn what_is_made_of_rows_is_bounded() {
    let wide = integers("n", &[1, 1_000_000_000]);
    let nodes = vec![
        node("ReduceSum", &["x"], "one"),
        node("Expand", &["one", "n"], "wide"),
        node("ReduceSum", &["wide"], "s"),
        node("Add", &["one", "s"], "y"),
    ];
    let refused = Scratch::graph(head(nodes, vec![wide])).refusal_within(&SMALL);
    assert!(refused.contains("4000000000, more than the 1048576"), "{refused}");
}

/// Twelve tables of half a megabyte, which all must be there before they are joined to one of six.
#[test]
fn what_is_held_at_once_is_bounded() {
    let width = 2000;
    let (mut nodes, mut tensors, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for table in 0..12 {
        let (weights, name) = (format!("w{table}"), format!("t{table}"));
        nodes.push(node("MatMul", &["x", &weights], &name));
        tensors.push(floats(&weights, &[4, width], &vec![0.1 * table as f32; 4 * width as usize]));
        names.push(name);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let axis = AttributeProto { name: "axis".to_owned(), i: 1, r#type: 2, ..AttributeProto::default() };
    nodes.push(NodeProto { attribute: vec![axis], ..node("Concat", &names, "joined") });
    // Which keeps tract from taking the sum apart.
    nodes.push(node("Softmax", &["joined"], "shares"));
    nodes.push(node("MatMul", &["shares", "e"], "y"));
    tensors.push(floats("e", &[12 * width, 1], &vec![1.0; 12 * width as usize]));
    let scratch = Scratch::graph(head(nodes, tensors));
    let held = |held_bytes| Limits { result_bytes: 8 << 20, held_bytes, ..SMALL };
    let refused = scratch.refusal_within(&held(10 << 20));
    assert!(refused.contains("what it holds at once of"), "{refused}");
    let _ = scratch.open(&held(40 << 20)).unwrap();
}

/// A hundred functions of a table of four million numbers take longer than the few weights let expect.
#[test]
fn a_call_that_takes_too_long_is_an_error() {
    let (side, layers) = (65_536, 100);
    let wide = floats("w", &[1, side], &vec![0.001; side as usize]);
    let mut nodes = vec![node("ReduceSum", &["x", "axis"], "sum"), node("MatMul", &["sum", "w"], "h0")];
    for layer in 0..layers {
        nodes.push(node("Tanh", &[&format!("h{layer}")], &format!("h{}", layer + 1)));
    }
    nodes.push(node("ReduceSum", &[&format!("h{layers}"), "axis"], "y"));
    let scratch = Scratch::graph(head(nodes, vec![wide, integers("axis", &[1])]));
    let within = |call_ms| Limits { call_ms, result_bytes: 32 << 20, held_bytes: 128 << 20, ..SMALL };
    let refused = scratch.refusal_within(&within(0));
    assert!(refused.contains("running it took more than"), "{refused}");
    let _ = scratch.open(&within(600_000)).unwrap();
}

#[test]
fn what_has_no_size_that_can_be_told_is_refused() {
    let nodes = vec![node("NonZero", &["x"], "places"), node("Cast", &["places"], "y")];
    let refused = Scratch::graph(head(nodes, Vec::new())).refusal();
    assert!(!refused.is_empty());
}

#[test]
fn parts_are_counted_before_they_are_made() {
    let scratch = Scratch::graph(super::summed());
    assert!(scratch.open(&SMALL).is_ok());
    let few = Limits { parts: 10, ..SMALL };
    assert!(scratch.refusal_within(&few).contains("the number of parts"));
    let small = Limits { file_bytes: 20, ..SMALL };
    assert!(scratch.refusal_within(&small).contains("its size in bytes"));
    // A hundred thousand nodes without anything in them, two bytes each.
    let mut bytes = vec![0x3a, 0xc0, 0x9a, 0x0c];
    bytes.extend([0x0a, 0x00].repeat(100_000));
    assert!(Scratch::of(&bytes).refusal_within(&SMALL).contains("the number of parts"));
}

#[test]
fn graphs_within_graphs_end() {
    let mut graph = super::summed();
    for _ in 0..5 {
        let mut node = node("If", &["x"], "z");
        let branch = |name: &str| tract_onnx::pb::AttributeProto {
            name: name.to_owned(),
            g: Some(graph.clone()),
            ..Default::default()
        };
        node.attribute = vec![branch("then_branch")];
        graph = head(vec![node], Vec::new());
    }
    assert!(Scratch::graph(graph).refusal_within(&SMALL).contains("graphs within graphs"));
}
