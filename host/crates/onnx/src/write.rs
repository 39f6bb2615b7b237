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

/// What becomes of the sums of a layer before the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The sum where it is above 0, else 0.
    Relu,
    /// Its hyperbolic tangent.
    Tanh,
}

/// What a head computes of a row, with the same activation between all layers.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadGraph {
    /// How its layers stand.
    pub form: Form,
    /// What is between them.
    pub activation: Activation,
}

/// How the layers of a head stand.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// One after the other.
    Perceptron(Vec<Layer>),
    /// Of pairs: one after the other, on `(a + b)/2`.
    Average(Vec<Layer>),
    /// Of pairs: `|a - b|` through the first and `a·b` through the second layer, added; then the third.
    Symmetric {
        /// For the distance.
        distance: Layer,
        /// For the product.
        product: Layer,
        /// After the activation, where there is one.
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
        match self.form {
            Form::Perceptron(_) => vec!["x".to_owned()],
            Form::Average(_) | Form::Symmetric { .. } => vec!["first".to_owned(), "second".to_owned()],
        }
    }

    /// W and N.
    fn widths(&self) -> (usize, usize) {
        match &self.form {
            Form::Perceptron(layers) | Form::Average(layers) => {
                let inputs = layers.first().map(|layer| layer.inputs).unwrap_or_default();
                (inputs, layers.last().map(|layer| layer.outputs).unwrap_or_default())
            }
            Form::Symmetric { distance, output, .. } => {
                (distance.inputs, output.as_ref().map_or(distance.outputs, |layer| layer.outputs))
            }
        }
    }

    fn model(&self) -> ModelProto {
        let mut builder = Builder::default();
        match &self.form {
            Form::Perceptron(layers) => builder.layers(layers, "x", self.activation),
            Form::Average(layers) => {
                let sum = builder.node("Add", &["first", "second"], "sum");
                builder.tensor("half", &[1], &[0.5]);
                let mean = builder.node("Mul", &[&sum, "half"], "mean");
                builder.layers(layers, &mean, self.activation);
            }
            Form::Symmetric { distance, product, output } => {
                let difference = builder.node("Sub", &["first", "second"], "difference");
                let apart = builder.node("Abs", &[&difference], "distance");
                let both = builder.node("Mul", &["first", "second"], "product");
                let apart = builder.layer(distance, &apart, "of_distance", "from_distance");
                let both = builder.layer(product, &both, "of_product", "from_product");
                let to = if output.is_some() { "sums" } else { Self::OUTPUT };
                let sums = builder.node("Add", &[&apart, &both], to);
                if let Some(output) = output {
                    let active = builder.node(self.activation.operator(), &[&sums], "active");
                    builder.layer(output, &active, "output", Self::OUTPUT);
                }
            }
        }
        let (inputs, outputs) = self.widths();
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

impl Activation {
    fn operator(self) -> &'static str {
        match self {
            Self::Relu => "Relu",
            Self::Tanh => "Tanh",
        }
    }
}

impl Builder {
    /// Layers one after the other, the last of which makes the output.
    fn layers(&mut self, layers: &[Layer], from: &str, activation: Activation) {
        let mut from = from.to_owned();
        for (number, layer) in layers.iter().enumerate() {
            if number > 0 {
                from = self.node(activation.operator(), &[&from], &format!("active{number}"));
            }
            let is_last = number + 1 == layers.len();
            let to = if is_last { HeadGraph::OUTPUT.to_owned() } else { format!("hidden{number}") };
            from = self.layer(layer, &from, &format!("layer{number}"), &to);
        }
    }

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
