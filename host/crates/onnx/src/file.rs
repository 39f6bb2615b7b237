//! An ONNX file, checked before tract sees it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use prost::Message;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, type_proto};

use crate::error::OnnxError;
use crate::limits::Limits;
use crate::{constants, outline};

/// First line of what is hashed: another form must have another name.
const FORM: &str = "pliant-onnx-identity-1";

/// Domains whose operators tract may know.
const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// Operators that draw random numbers: their results are not those of the record alone.
const RANDOM: [&str; 6] =
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"];

/// What is read of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Everything, data in other files too.
    All,
    /// The file itself: what it says of its inputs, outputs and tensors.
    Outline,
}

/// A file whose sizes and operators have been checked.
#[derive(Debug)]
pub struct ModelFile {
    path: PathBuf,
    proto: ModelProto,
    digests: Vec<String>,
    parameters: u64,
    stored_bytes: u64,
}

impl ModelFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`OnnxError`] naming the file and what of it is wrong or too large.
    pub fn open(path: &Path, contents: Contents, limits: &Limits) -> Result<Self, OnnxError> {
        let bytes = read(path, limits)?;
        outline::check(path, &bytes, limits)?;
        let proto = ModelProto::decode(bytes.as_slice())
            .map_err(|error| OnnxError::Text { path: path.to_owned(), reason: error.to_string() })?;
        let digests = match contents {
            Contents::All => vec![blake3::hash(&bytes).to_hex().to_string()],
            Contents::Outline => Vec::new(),
        };
        drop(bytes);
        let mut file = Self { path: path.to_owned(), proto, digests, parameters: 0, stored_bytes: 0 };
        file.check(contents, limits)?;
        Ok(file)
    }

    fn check(&mut self, contents: Contents, limits: &Limits) -> Result<(), OnnxError> {
        let path = self.path.clone();
        if !self.proto.functions.is_empty() {
            let reason =
                "it defines functions of its own: export it with all of them put in place".to_owned();
            return Err(OnnxError::Text { path, reason });
        }
        let Some(graph) = self.proto.graph.as_mut() else {
            return Err(OnnxError::Text { path, reason: "it holds no graph".to_owned() });
        };
        let known = tract_onnx::onnx().op_register.0;
        check_operators(&path, graph, &|operator| known.contains_key(operator))?;
        let mut tensors =
            Tensors { path: &path, contents, limits, data_bytes: 0, digests: &mut self.digests };
        tensors.graph(graph)?;
        for tensor in &graph.initializer {
            let size = size_of(&path, tensor)?;
            if is_real(tensor) {
                self.parameters += size.elements;
                self.stored_bytes += size.bytes;
            }
        }
        constants::check(&path, graph, limits)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Numbers of its weights.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Bytes of its weights.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// The number types of its weights, joined by `+`.
    #[must_use]
    pub fn dtypes(&self) -> String {
        let weights = self.graph().map(|graph| graph.initializer.as_slice()).unwrap_or_default();
        let names: BTreeSet<&str> = weights
            .iter()
            .filter(|tensor| is_real(tensor))
            .filter_map(|tensor| DataType::try_from(tensor.data_type).ok())
            .map(short_name)
            .collect();
        names.into_iter().collect::<Vec<_>>().join("+")
    }

    /// What the file and `sidecar` are, in 64 hexadecimal digits: BLAKE3 over the sidecar's text in canonical form and
    /// the BLAKE3 of every byte that is read, in the order of reading.
    #[must_use]
    pub fn identity(&self, sidecar: &str) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{FORM}\n{sidecar}\n").as_bytes());
        for digest in &self.digests {
            hasher.update(digest.as_bytes());
            hasher.update(b"\n");
        }
        hasher.finalize().to_hex().to_string()
    }

    pub(crate) fn proto(&self) -> &ModelProto {
        &self.proto
    }

    pub(crate) fn graph(&self) -> Option<&GraphProto> {
        self.proto.graph.as_ref()
    }

    /// The inputs that are given from outside, with their number types.
    pub(crate) fn inputs(&self) -> Vec<(&str, DataType)> {
        let Some(graph) = self.graph() else { return Vec::new() };
        let weight = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
        let given = graph.input.iter().filter(|input| !weight(&input.name));
        given.map(|input| (input.name.as_str(), dtype(input))).collect()
    }

    /// The names of the outputs.
    pub(crate) fn outputs(&self) -> Vec<&str> {
        let outputs = self.graph().map(|graph| graph.output.as_slice()).unwrap_or_default();
        outputs.iter().map(|output| output.name.as_str()).collect()
    }

    /// How many sides an input has, where the file says it.
    pub(crate) fn rank_of(&self, name: &str) -> Option<usize> {
        let value = self.graph()?.input.iter().find(|value| value.name == name)?;
        Some(tensor_type(value)?.shape.as_ref()?.dim.len())
    }

    /// The innermost side of an input or output, where the file says it.
    #[must_use]
    pub fn width_of(&self, name: &str) -> Option<usize> {
        use tract_onnx::pb::tensor_shape_proto::dimension::Value;
        let graph = self.graph()?;
        let value = graph.output.iter().chain(&graph.input).find(|value| value.name == name)?;
        let dimension = tensor_type(value)?.shape.as_ref()?.dim.last()?;
        match dimension.value {
            Some(Value::DimValue(width)) => usize::try_from(width).ok().filter(|width| *width > 0),
            _ => None,
        }
    }
}

fn tensor_type(value: &ValueInfoProto) -> Option<&type_proto::Tensor> {
    match value.r#type.as_ref() {
        Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) => Some(tensor),
        _ => None,
    }
}

fn dtype(value: &ValueInfoProto) -> DataType {
    tensor_type(value)
        .and_then(|tensor| DataType::try_from(tensor.elem_type).ok())
        .unwrap_or(DataType::Undefined)
}

/// The bytes of a file.
fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, OnnxError> {
    let failed = |source| OnnxError::Io { action: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(OnnxError::Text { path: path.to_owned(), reason: "it is no regular file".to_owned() });
    }
    let (found, limit) = (about.len(), limits.file_bytes);
    if found > limit {
        return Err(OnnxError::TooLarge {
            path: path.to_owned(),
            what: "its size in bytes".to_owned(),
            found,
            limit,
        });
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The graphs within a node.
pub(crate) fn inner(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// What a node is called: by its name, else by what it makes.
pub(crate) fn name_of(node: &NodeProto) -> String {
    let named = Some(&node.name).filter(|name| !name.is_empty());
    named.or_else(|| node.output.first()).cloned().unwrap_or_default()
}

fn check_operators(path: &Path, graph: &GraphProto, known: &dyn Fn(&str) -> bool) -> Result<(), OnnxError> {
    if !graph.sparse_initializer.is_empty() {
        let reason = "it holds sparse tensors, which are not supported".to_owned();
        return Err(OnnxError::Text { path: path.to_owned(), reason });
    }
    for node in &graph.node {
        let operator = match node.domain.as_str() {
            "" => node.op_type.clone(),
            domain => format!("{domain}.{}", node.op_type),
        };
        let refuse = |reason| {
            let (path, node) = (path.to_owned(), name_of(node));
            Err(OnnxError::Operator { path, node, operator: operator.clone(), reason })
        };
        if RANDOM.contains(&node.op_type.as_str()) {
            return refuse("which draws random numbers: the same protein would not have the same numbers");
        }
        if !DOMAINS.contains(&node.domain.as_str()) || !known(&node.op_type) {
            return refuse("which is not supported");
        }
        inner(node).try_for_each(|graph| check_operators(path, graph, known))?;
    }
    Ok(())
}

/// Checks every tensor, and reads those that lie in other files.
struct Tensors<'a> {
    path: &'a Path,
    contents: Contents,
    limits: &'a Limits,
    data_bytes: u64,
    digests: &'a mut Vec<String>,
}

impl Tensors<'_> {
    fn graph(&mut self, graph: &mut GraphProto) -> Result<(), OnnxError> {
        graph.initializer.iter_mut().try_for_each(|tensor| self.tensor(tensor))?;
        for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
            let tensors = attribute.t.iter_mut().chain(&mut attribute.tensors);
            for tensor in tensors {
                self.tensor(tensor)?;
            }
            for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                self.graph(graph)?;
            }
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &mut TensorProto) -> Result<(), OnnxError> {
        let Size { elements, bytes } = size_of(self.path, tensor)?;
        let refuse = |reason| Err(refused(self.path, tensor, reason));
        if tensor.segment.is_some() {
            return refuse("it comes in segments, which are not supported".to_owned());
        }
        if tensor.data_location == Some(DataLocation::External as i32) {
            if !tensor.raw_data.is_empty() {
                return refuse("its data are in the file and beside it".to_owned());
            }
            return self.external(tensor, bytes);
        }
        let (found, wanted) = match tensor.raw_data.len() as u64 {
            0 => (typed_numbers(tensor) as u64, elements),
            raw => (raw, bytes),
        };
        if found != wanted {
            let unit = if tensor.raw_data.is_empty() { "numbers" } else { "bytes" };
            return refuse(format!("found {found} {unit}, but its sides {:?} want {wanted}", tensor.dims));
        }
        Ok(())
    }

    /// Reads the data of a tensor from a file below the folder of the model.
    fn external(&mut self, tensor: &mut TensorProto, bytes: u64) -> Result<(), OnnxError> {
        self.data_bytes = self.data_bytes.saturating_add(bytes);
        if self.data_bytes > self.limits.data_bytes {
            let (path, what) = (self.path.to_owned(), "the bytes of data in other files".to_owned());
            return Err(OnnxError::TooLarge {
                path,
                what,
                found: self.data_bytes,
                limit: self.limits.data_bytes,
            });
        }
        let (path, offset) = self.place(tensor, bytes)?;
        let failed = |source| OnnxError::Io { action: "read", path: path.clone(), source };
        let mut file = File::open(&path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let end = offset.checked_add(bytes);
        if !about.is_file() || end.is_none_or(|end| end > about.len()) {
            let reason = format!(
                "{} has {} bytes, wanted {bytes} from {offset} on, of a regular file",
                path.display(),
                about.len()
            );
            return Err(refused(self.path, tensor, reason));
        }
        if self.contents == Contents::Outline {
            return Ok(());
        }
        let mut data = Vec::new();
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        file.take(bytes).read_to_end(&mut data).map_err(failed)?;
        if data.len() as u64 != bytes {
            return Err(refused(self.path, tensor, format!("{} became shorter", path.display())));
        }
        self.digests.push(blake3::hash(&data).to_hex().to_string());
        tensor.raw_data = data;
        tensor.external_data.clear();
        tensor.data_location = None;
        Ok(())
    }

    /// The file and the place in it where the data of a tensor are.
    fn place(&self, tensor: &TensorProto, bytes: u64) -> Result<(PathBuf, u64), OnnxError> {
        let refuse = |reason| refused(self.path, tensor, reason);
        let entry =
            |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
        let number = |key: &str| {
            let parse = |text: &String| {
                text.parse::<u64>().map_err(|_| refuse(format!("its {key} is {text:?}, no number")))
            };
            entry(key).map(parse).transpose()
        };
        let offset = number("offset")?.unwrap_or(0);
        if let Some(length) = number("length")?.filter(|length| *length != bytes) {
            return Err(refuse(format!(
                "it has {length} bytes of data, but its sides {:?} want {bytes}",
                tensor.dims
            )));
        }
        let location =
            entry("location").ok_or_else(|| refuse("it does not say where its data are".to_owned()))?;
        let inside = Path::new(location).components().all(|part| matches!(part, Component::Normal(_)));
        let outside =
            || refuse(format!("its data are in {location:?}, wanted a file below the folder of the model"));
        if !inside || location.is_empty() {
            return Err(outside());
        }
        let folder = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let resolved = |path: &Path| {
            let path = path.to_owned();
            fs::canonicalize(&path).map_err(|source| OnnxError::Io { action: "find", path, source })
        };
        let (folder, path) = (resolved(folder)?, resolved(&folder.join(location))?);
        if path.starts_with(&folder) { Ok((path, offset)) } else { Err(outside()) }
    }
}

/// How large a tensor is.
pub(crate) struct Size {
    pub(crate) elements: u64,
    pub(crate) bytes: u64,
}

/// How large a tensor is by its sides and number type.
pub(crate) fn size_of(path: &Path, tensor: &TensorProto) -> Result<Size, OnnxError> {
    let mut elements = 1u64;
    for &side in &tensor.dims {
        let side = u64::try_from(side).ok();
        let product = side.and_then(|side| elements.checked_mul(side)).filter(|product| *product < 1 << 48);
        elements = product.ok_or_else(|| {
            refused(
                path,
                tensor,
                format!(
                    "its sides are {:?}, wanted numbers of at least 0 whose product is below 2^48",
                    tensor.dims
                ),
            )
        })?;
    }
    let dtype = DataType::try_from(tensor.data_type).unwrap_or(DataType::Undefined);
    let width = match dtype {
        DataType::Bool | DataType::Int8 | DataType::Uint8 => 1,
        DataType::Int16 | DataType::Uint16 | DataType::Float16 => 2,
        DataType::Int32 | DataType::Uint32 | DataType::Float => 4,
        DataType::Int64 | DataType::Uint64 | DataType::Double => 8,
        other => {
            let found = other.as_str_name();
            return Err(refused(path, tensor, format!("its number type is {found}, which is not supported")));
        }
    };
    Ok(Size { elements, bytes: elements * width })
}

/// Numbers of a tensor that are written one by one.
fn typed_numbers(tensor: &TensorProto) -> usize {
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => tensor.float_data.len(),
        Ok(DataType::Double) => tensor.double_data.len(),
        Ok(DataType::Int64 | DataType::Uint64) => tensor.int64_data.len(),
        _ => tensor.int32_data.len(),
    }
}

fn is_real(tensor: &TensorProto) -> bool {
    matches!(DataType::try_from(tensor.data_type), Ok(DataType::Float | DataType::Float16 | DataType::Double))
}

fn short_name(dtype: DataType) -> &'static str {
    match dtype {
        DataType::Float16 => "F16",
        DataType::Double => "F64",
        _ => "F32",
    }
}

fn refused(path: &Path, tensor: &TensorProto, reason: String) -> OnnxError {
    OnnxError::Tensor { path: path.to_owned(), tensor: tensor.name.clone(), reason }
}
