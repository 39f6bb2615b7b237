//! Heads as ONNX files.

use std::fs;
use std::path::Path;

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, attribute_proto::AttributeType, type_proto,
};

use crate::error::OnnxError;
use crate::sidecar::{HeadSidecar, path_of};

/// The version of the operators: old enough for every runtime in use.
const OPERATORS: i64 = 13;

/// The version of the file's form that goes with it.
const FORM: i64 = 7;

/// The name of the open side.
const ROWS: &str = "rows";

/// A linear layer: `y = x·Wᵀ + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// W, numbers that it reads.
    pub inputs: usize,
    /// N, numbers that it gives.
    pub outputs: usize,
    /// `[N,W]`
    pub weight: Vec<f32>,
    /// `[N]`, or none.
    pub bias: Option<Vec<f32>>,
}

/// What a head computes of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum HeadGraph {
    /// Layers one after the other, with a rectifier between them.
    Perceptron(Vec<Layer>),
    /// Of pairs: `|a - b|` through the first and `a·b` through the second layer, added; then the third of the rectified sums.
    Symmetric {
        /// For the distance.
        distance: Layer,
        /// For the product.
        product: Layer,
        /// After the rectifier, where there is one.
        output: Option<Layer>,
    },
}

/// The graph as it grows.
#[derive(Default)]
struct Builder {
    nodes: Vec<NodeProto>,
    tensors: Vec<TensorProto>,
}

/// Writes a head as an ONNX file with its sidecar beside it; what the sidecar says of inputs and outputs must be
/// [`HeadGraph::inputs`] and [`HeadGraph::OUTPUT`].
///
/// # Errors
/// What the system says.
pub fn write_head(path: &Path, graph: &HeadGraph, sidecar: &HeadSidecar) -> Result<(), OnnxError> {
    let write = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).map_err(|source| OnnxError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
    };
    write(path, &graph.model().encode_to_vec())?;
    write(&path_of(path), sidecar.text()?.as_bytes())
}

impl HeadGraph {
    /// The name of the output `[rows,N]`.
    pub const OUTPUT: &str = "y";

    /// The names of the inputs `[rows,W]`.
    #[must_use]
    pub fn inputs(&self) -> Vec<String> {
        match self {
            Self::Perceptron(_) => vec!["x".to_owned()],
            Self::Symmetric { .. } => vec!["first".to_owned(), "second".to_owned()],
        }
    }

    fn model(&self) -> ModelProto {
        let mut builder = Builder::default();
        let (inputs, outputs) = match self {
            Self::Perceptron(layers) => {
                let mut from = "x".to_owned();
                for (number, layer) in layers.iter().enumerate() {
                    let is_last = number + 1 == layers.len();
                    if number > 0 {
                        from = builder.node("Relu", &[&from], &format!("rectified{number}"));
                    }
                    let to = if is_last { Self::OUTPUT.to_owned() } else { format!("hidden{number}") };
                    from = builder.layer(layer, &from, &format!("layer{number}"), &to);
                }
                let width =
                    |layer: Option<&Layer>, of: fn(&Layer) -> usize| layer.map(of).unwrap_or_default();
                (width(layers.first(), |layer| layer.inputs), width(layers.last(), |layer| layer.outputs))
            }
            Self::Symmetric { distance, product, output } => {
                let difference = builder.node("Sub", &["first", "second"], "difference");
                let apart = builder.node("Abs", &[&difference], "distance");
                let both = builder.node("Mul", &["first", "second"], "product");
                let apart = builder.layer(distance, &apart, "of_distance", "from_distance");
                let both = builder.layer(product, &both, "of_product", "from_product");
                let outputs = output.as_ref().map_or(distance.outputs, |layer| layer.outputs);
                let to = if output.is_some() { "sums" } else { Self::OUTPUT };
                let sums = builder.node("Add", &[&apart, &both], to);
                if let Some(output) = output {
                    let rectified = builder.node("Relu", &[&sums], "rectified");
                    builder.layer(output, &rectified, "output", Self::OUTPUT);
                }
                (distance.inputs, outputs)
            }
        };
        let graph = GraphProto {
            name: "head".to_owned(),
            node: builder.nodes,
            initializer: builder.tensors,
            input: self.inputs().iter().map(|name| value(name, inputs)).collect(),
            output: vec![value(Self::OUTPUT, outputs)],
            ..GraphProto::default()
        };
        ModelProto {
            ir_version: FORM,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPERATORS }],
            producer_name: "pliant".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(graph),
            ..ModelProto::default()
        }
    }
}

impl Builder {
    fn node(&mut self, operator: &str, inputs: &[&str], output: &str) -> String {
        self.nodes.push(NodeProto {
            name: format!("make_{output}"),
            op_type: operator.to_owned(),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        });
        output.to_owned()
    }

    fn layer(&mut self, layer: &Layer, from: &str, name: &str, to: &str) -> String {
        let weight = format!("{name}.weight");
        self.tensor(&weight, &[layer.outputs, layer.inputs], &layer.weight);
        let bias = layer.bias.as_ref().map(|values| {
            let bias = format!("{name}.bias");
            self.tensor(&bias, &[layer.outputs], values);
            bias
        });
        let inputs: Vec<&str> = [from, &weight].into_iter().chain(bias.as_deref()).collect();
        let output = self.node("Gemm", &inputs, to);
        if let Some(node) = self.nodes.last_mut() {
            let (name, r#type) = ("transB".to_owned(), AttributeType::Int as i32);
            node.attribute.push(AttributeProto { name, r#type, i: 1, ..AttributeProto::default() });
        }
        output
    }

    fn tensor(&mut self, name: &str, sides: &[usize], values: &[f32]) {
        self.tensors.push(TensorProto {
            name: name.to_owned(),
            dims: sides.iter().map(|&side| side as i64).collect(),
            data_type: DataType::Float as i32,
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
    }
}

/// An input or output `[rows, width]` of 32-bit floats.
fn value(name: &str, width: usize) -> ValueInfoProto {
    let side = |value| Dimension { value: Some(value), ..Dimension::default() };
    let dim = vec![
        side(dimension::Value::DimParam(ROWS.to_owned())),
        side(dimension::Value::DimValue(width as i64)),
    ];
    let (elem_type, shape) = (DataType::Float as i32, Some(TensorShapeProto { dim }));
    let value = Some(type_proto::Value::TensorType(type_proto::Tensor { elem_type, shape }));
    let r#type = Some(TypeProto { value, ..TypeProto::default() });
    ValueInfoProto { name: name.to_owned(), r#type, ..ValueInfoProto::default() }
}
