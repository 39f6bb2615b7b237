//! How large what is computed while a file is read can become.
//!
//! tract computes what depends on nothing but numbers of the file as soon as it can. Two columns of a million numbers are a
//! small file, and their sum as a table is terabytes; so the results of such operators are bounded from the sizes of what
//! goes in, before tract sees the file.

use std::collections::BTreeMap;
use std::path::Path;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use crate::error::OnnxError;
use crate::file::{inner, name_of, size_of};
use crate::limits::Limits;

/// Bytes of a number, at most.
const NUMBER_BYTES: u64 = 8;

/// Numbers of a tensor whose values are looked at: shapes.
const MOST_VALUES: usize = 64;

/// Operators whose result has no more numbers than all that goes in together.
const KEEPING: [&str; 44] = [
    "Abs",
    "Cast",
    "CastLike",
    "Ceil",
    "Clip",
    "Concat",
    "Cos",
    "CumSum",
    "DequantizeLinear",
    "Dropout",
    "Erf",
    "Exp",
    "Flatten",
    "Floor",
    "Identity",
    "Log",
    "LogSoftmax",
    "Neg",
    "Not",
    "QuantizeLinear",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Round",
    "Rsqrt",
    "Shape",
    "Sigmoid",
    "Sign",
    "Sin",
    "Size",
    "Slice",
    "Softmax",
    "Split",
    "Sqrt",
    "Squeeze",
    "Tanh",
    "Transpose",
    "Trilu",
    "Unsqueeze",
];

/// Operators that only rearrange what goes in, so that small lists of numbers can be followed through them.
const FOLLOWED: [&str; 6] = ["Cast", "Concat", "Identity", "Reshape", "Squeeze", "Unsqueeze"];

/// Operators whose size is what goes in as a number.
const BY_VALUE: [&str; 10] = [
    "ConstantOfShape",
    "EyeLike",
    "Expand",
    "MelWeightMatrix",
    "OneHot",
    "Pad",
    "Range",
    "Resize",
    "Tile",
    "Upsample",
];

/// A tensor that is known before anything is given.
#[derive(Debug, Clone)]
struct Known {
    elements: u64,
    values: Option<Vec<i64>>,
}

/// Refuses a file that makes something too large of its own numbers.
pub(crate) fn check(path: &Path, graph: &GraphProto, limits: &Limits) -> Result<(), OnnxError> {
    graph_of(path, graph, limits, &BTreeMap::new())
}

fn graph_of(
    path: &Path,
    graph: &GraphProto,
    limits: &Limits,
    outer: &BTreeMap<String, Known>,
) -> Result<(), OnnxError> {
    let mut known = outer.clone();
    for tensor in &graph.initializer {
        known.insert(tensor.name.clone(), known_of(path, tensor)?);
    }
    for node in &graph.node {
        if let Some(result) = result(path, node, &known)? {
            if result.elements.saturating_mul(NUMBER_BYTES) > limits.result_bytes {
                let what = format!(
                    "what node {:?} ({}) makes of numbers of the file, in bytes",
                    name_of(node),
                    node.op_type
                );
                let found = result.elements.saturating_mul(NUMBER_BYTES);
                return Err(OnnxError::TooLarge {
                    path: path.to_owned(),
                    what,
                    found,
                    limit: limits.result_bytes,
                });
            }
            for output in &node.output {
                known.insert(output.clone(), result.clone());
            }
        }
        for graph in inner(node) {
            graph_of(path, graph, limits, &known)?;
        }
    }
    Ok(())
}

fn known_of(path: &Path, tensor: &TensorProto) -> Result<Known, OnnxError> {
    let elements = size_of(path, tensor)?.elements;
    let values = (elements as usize <= MOST_VALUES).then(|| integers(tensor)).flatten();
    Ok(Known { elements, values })
}

/// The numbers of a small tensor of whole numbers.
fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    let raw = tensor.raw_data.as_slice();
    match DataType::try_from(tensor.data_type).ok()? {
        DataType::Int64 if raw.is_empty() => Some(tensor.int64_data.clone()),
        DataType::Int32 if raw.is_empty() => Some(tensor.int32_data.iter().copied().map(i64::from).collect()),
        DataType::Int64 => {
            Some(raw.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
        }
        DataType::Int32 => {
            Some(raw.as_chunks::<4>().0.iter().map(|bytes| i64::from(i32::from_le_bytes(*bytes))).collect())
        }
        _ => None,
    }
}

/// What a node makes where all that goes in is known; `None` where something is given from outside.
fn result(
    path: &Path,
    node: &NodeProto,
    known: &BTreeMap<String, Known>,
) -> Result<Option<Known>, OnnxError> {
    if node.op_type == "Constant" {
        return constant(path, node).map(Some);
    }
    let given: Vec<&str> = node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let inputs: Option<Vec<&Known>> = given.iter().map(|name| known.get(*name)).collect();
    let Some(inputs) = inputs.filter(|inputs| !inputs.is_empty()) else { return Ok(None) };
    let operator = node.op_type.as_str();
    let sum = inputs.iter().fold(0u64, |sum, input| sum.saturating_add(input.elements));
    if BY_VALUE.contains(&operator) {
        let elements = by_value(operator, &inputs).ok_or_else(|| OnnxError::Operator {
            path: path.to_owned(),
            node: name_of(node),
            operator: operator.to_owned(),
            reason: "whose size is computed from numbers of the file: export the model with constants folded",
        })?;
        return Ok(Some(Known { elements, values: None }));
    }
    if KEEPING.contains(&operator) {
        let lists: Option<Vec<&[i64]>> = match operator {
            "Concat" => inputs.iter().map(|input| input.values.as_deref()).collect(),
            _ => inputs
                .first()
                .map(|input| input.values.as_deref().map(|values| vec![values]))
                .unwrap_or_default(),
        };
        let values = lists.filter(|_| FOLLOWED.contains(&operator)).map(|lists| lists.concat());
        return Ok(Some(Known {
            elements: sum,
            values: values.filter(|values| values.len() <= MOST_VALUES),
        }));
    }
    // Every number of one with every number of the others: sums of tables, products of matrices, lookups.
    let elements = inputs.iter().fold(1u64, |product, input| product.saturating_mul(input.elements.max(1)));
    Ok(Some(Known { elements, values: None }))
}

fn constant(path: &Path, node: &NodeProto) -> Result<Known, OnnxError> {
    let of = |values: Vec<i64>| Known { elements: values.len() as u64, values: Some(values) };
    for attribute in &node.attribute {
        match (attribute.name.as_str(), &attribute.t) {
            ("value", Some(tensor)) => return known_of(path, tensor),
            ("value_int", _) => return Ok(of(vec![attribute.i])),
            ("value_ints", _) if attribute.ints.len() <= MOST_VALUES => {
                return Ok(of(attribute.ints.clone()));
            }
            ("value_ints", _) => return Ok(Known { elements: attribute.ints.len() as u64, values: None }),
            ("value_floats", _) => {
                return Ok(Known { elements: attribute.floats.len() as u64, values: None });
            }
            _ => {}
        }
    }
    Ok(Known { elements: 1, values: None })
}

/// Numbers of the result of an operator whose size is what goes in; `None` where that is not known.
fn by_value(operator: &str, inputs: &[&Known]) -> Option<u64> {
    let product = |values: &[i64]| {
        let sides = values.iter().map(|&side| u64::try_from(side.max(1)).unwrap_or(u64::MAX));
        sides.fold(1u64, u64::saturating_mul)
    };
    let first = inputs.first()?;
    match operator {
        "ConstantOfShape" => Some(product(first.values.as_deref()?)),
        "Expand" | "Tile" => Some(first.elements.saturating_mul(product(inputs.get(1)?.values.as_deref()?))),
        "OneHot" => Some(first.elements.saturating_mul(product(inputs.get(1)?.values.as_deref()?))),
        "Range" => match (first.values.as_deref()?, inputs.get(1)?.values.as_deref()?) {
            ([start], [limit]) => Some(start.abs_diff(*limit)),
            _ => None,
        },
        _ => None,
    }
}
