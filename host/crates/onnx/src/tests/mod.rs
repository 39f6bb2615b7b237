//! Honest files beside PyTorch's numbers, and hostile ones.

mod honest;
mod hostile;
mod sizes;

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use tempfile::TempDir;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

use crate::{Head, HeadSidecar, Limits, OnnxError};

/// A folder with an ONNX file and its sidecar.
pub(super) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// The file `bytes` with the sidecar of a head of one number.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Self { folder };
        fs::write(scratch.model(), bytes).unwrap();
        scratch.say("format = \"pliant-onnx-1\"\nkind = \"head\"\n[labels]\nkind = \"number\"\n");
        scratch
    }

    /// The file of a graph.
    pub(super) fn graph(graph: GraphProto) -> Self {
        Self::of(&model(graph).encode_to_vec())
    }

    /// Writes another sidecar.
    pub(super) fn say(&self, text: &str) {
        fs::write(self.path("m.onnx.toml"), text).unwrap();
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn model(&self) -> PathBuf {
        self.path("m.onnx")
    }

    /// Opens it as a head.
    pub(super) fn open(&self, limits: &Limits) -> Result<Head, OnnxError> {
        let sidecar = HeadSidecar::read(&self.model())?;
        Head::open(&self.model(), &sidecar, limits)
    }

    /// What opening it as a head says.
    pub(super) fn refusal(&self) -> String {
        self.refusal_within(&Limits::default())
    }

    pub(super) fn refusal_within(&self, limits: &Limits) -> String {
        let refused = self.open(limits).unwrap_err().to_string();
        assert!(refused.contains("m.onnx"), "names no file: {refused}");
        refused
    }
}

pub(super) fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// A head of rows of four numbers that does what `nodes` say; the last output must be `y`.
pub(super) fn head(nodes: Vec<NodeProto>, tensors: Vec<TensorProto>) -> GraphProto {
    GraphProto {
        name: "g".to_owned(),
        node: nodes,
        initializer: tensors,
        input: vec![value("x", 4)],
        output: vec![value("y", 1)],
        ..GraphProto::default()
    }
}

pub(super) fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: format!("{operator}_{output}"),
        op_type: operator.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

pub(super) fn floats(name: &str, sides: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: sides.to_vec(),
        data_type: DataType::Float as i32,
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

pub(super) fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// The product with four ones, which makes an honest head.
pub(super) fn summed() -> GraphProto {
    head(vec![node("MatMul", &["x", "w"], "y")], vec![floats("w", &[4, 1], &[1.0; 4])])
}

fn value(name: &str, width: i64) -> ValueInfoProto {
    let side = |value| Dimension { value: Some(value), ..Dimension::default() };
    let dim =
        vec![side(dimension::Value::DimParam("rows".to_owned())), side(dimension::Value::DimValue(width))];
    let (elem_type, shape) = (DataType::Float as i32, Some(TensorShapeProto { dim }));
    let value = Some(type_proto::Value::TensorType(type_proto::Tensor { elem_type, shape }));
    let r#type = Some(TypeProto { value, ..TypeProto::default() });
    ValueInfoProto { name: name.to_owned(), r#type, ..ValueInfoProto::default() }
}

/// A file of the fixtures.
pub(super) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/fixtures/onnx").join(name)
}
