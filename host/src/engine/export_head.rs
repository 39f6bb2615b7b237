//! Heads that leave as ONNX files.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context as _;
use pliant_kernels::Device;
use pliant_models::ModelError;
use pliant_models::heads::{Activation as Between, HeadConfig, HeadKind, Pooling};
use pliant_onnx::sidecar::{LabelsText, ReadsText};
use pliant_onnx::{
    Activation, Form, Gives, Head, HeadGraph, HeadSidecar, LabelKind, Layer, Reads, write_head,
};
use pliant_seq::tables::LabelKind as Kind;

use super::brought::limits;
use super::judge::Judge;
use crate::supervised::HeadError;
use crate::supervised::card::HeadFolder;

/// The file in the folder that is made.
const FILE: &str = "head.onnx";

/// Writes a head into the folder `out` as an ONNX file with its sidecar, reads it back, and gives its identity.
///
/// # Errors
/// A head whose numbers for a row need more than the row, and a folder that cannot be made.
pub fn export_head(head: &HeadFolder, out: &Path) -> anyhow::Result<String> {
    let unusable = || format!("the head {} cannot be exported", head.path.display());
    let graph = graph(head).with_context(unusable)?;
    let sidecar = HeadSidecar::new(graph.inputs(), HeadGraph::OUTPUT.to_owned(), reads(head), labels(head));
    let io = |action, source| ModelError::Io { action, path: out.to_owned(), source };
    let is_empty = match fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(source) => return Err(io("read the folder", source).into()),
    };
    if !is_empty {
        return Err(ModelError::NotEmpty { folder: out.to_owned() }.into());
    }
    let parent = out.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|source| io("make the folder", source))?;
    let hidden = tempfile::Builder::new()
        .prefix(".pliant-")
        .suffix(".partial")
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(parent)
        .map_err(|source| io("make the folder", source))?;
    let file = hidden.path().join(FILE);
    write_head(&file, &graph, &sidecar)?;
    let identity = Head::open(&file, &HeadSidecar::read(&file)?, &limits())?.identity().to_owned();
    fs::rename(hidden.path(), out).map_err(|source| io("make the folder", source))?;
    // What had the hidden name has another one now: there is nothing to remove.
    let _ = hidden.keep();
    Ok(identity)
}

/// The layers of a head with their weights.
fn graph(head: &HeadFolder) -> anyhow::Result<HeadGraph> {
    let config = &head.card.head;
    let refuse = |what: &str| Err(HeadError::Unfit { what: what.to_owned() }.into());
    let judge = Judge::load(head, &Device::cpu(1)?)?;
    let find = |name: String| {
        let live = judge.weights().iter().find(|live| live.name == name);
        live.map(|live| live.numbers()).transpose()
    };
    let layer = |name: &str, inputs: usize, outputs: usize| -> anyhow::Result<Layer> {
        let weight = find(format!("{name}.weight"))?.with_context(|| format!("it has no layer {name}"))?;
        Ok(Layer { inputs, outputs, weight, bias: find(format!("{name}.bias"))? })
    };
    let &HeadConfig { kind, inputs, outputs, hidden, pooling, activation, .. } = config;
    if matches!(pooling, Some(Pooling::Attention | Pooling::Random | Pooling::Published)) {
        return refuse(
            "it pools by weights of its own, and a head of an ONNX file is given one vector of a protein",
        );
    }
    if config.standardized && kind == HeadKind::Symmetric {
        return refuse("products of standardized vectors have no layer in an ONNX file of pairs");
    }
    if head.card.encoder.adapter.is_some() {
        return refuse(
            "it was taught with an adapter, and the sidecar of an ONNX file names an encoder alone",
        );
    }
    let output = || layer("output", hidden.unwrap_or(inputs), outputs);
    let layers = || -> anyhow::Result<Vec<Layer>> {
        let hidden = hidden.map(|width| layer("hidden", inputs, width)).transpose()?;
        let mut layers: Vec<Layer> = hidden.into_iter().chain([output()?]).collect();
        if let (Some(first), Some(means), Some(scale)) =
            (layers.first_mut(), find("standard.mean".to_owned())?, find("standard.scale".to_owned())?)
        {
            take_up(first, &means, &scale);
        }
        Ok(layers)
    };
    let form = match kind {
        HeadKind::Sequence | HeadKind::Residue => Form::Perceptron(layers()?),
        HeadKind::Average => Form::Average(layers()?),
        HeadKind::Symmetric => {
            let width = hidden.unwrap_or(outputs);
            let (distance, product) = (layer("distance", inputs, width)?, layer("product", inputs, width)?);
            Form::Symmetric { distance, product, output: hidden.map(|_| output()).transpose()? }
        }
        HeadKind::Alignment => {
            return refuse(
                "it aligns the residues of two proteins, and a head of an ONNX file is given one vector of each",
            );
        }
    };
    let activation = match activation {
        Between::Relu => Activation::Relu,
        Between::Tanh => Activation::Tanh,
    };
    Ok(HeadGraph { form, activation })
}

/// Makes a layer that reads `(x - mean) · scale` one that reads `x`.
fn take_up(layer: &mut Layer, means: &[f32], scale: &[f32]) {
    let mut bias = layer.bias.take().unwrap_or_else(|| vec![0.0; layer.outputs]);
    for (row, bias) in layer.weight.chunks_exact_mut(layer.inputs).zip(&mut bias) {
        let mut away = f64::from(*bias);
        for (weight, (mean, scale)) in row.iter_mut().zip(means.iter().zip(scale)) {
            away -= f64::from(*weight) * f64::from(*scale) * f64::from(*mean);
            *weight *= scale;
        }
        *bias = away as f32;
    }
    layer.bias = Some(bias);
}

fn reads(head: &HeadFolder) -> ReadsText {
    let config = &head.card.head;
    let pool = config.pooling.and_then(|pooling| match pooling {
        Pooling::Mean => Some(pliant_onnx::Pooling::Mean),
        Pooling::Cls => Some(pliant_onnx::Pooling::Cls),
        Pooling::Max => Some(pliant_onnx::Pooling::Max),
        Pooling::Sum => Some(pliant_onnx::Pooling::Sum),
        Pooling::Attention | Pooling::Random | Pooling::Published => None,
    });
    let what = match config.kind {
        HeadKind::Residue => Reads::Residues,
        kind if kind.takes_pairs() => Reads::Pairs,
        _ => Reads::Pooled,
    };
    let encoder = &head.card.encoder;
    ReadsText { what, model: Some(encoder.identity.clone()), layer: i64::try_from(encoder.layer).ok(), pool }
}

fn labels(head: &HeadFolder) -> LabelsText {
    let kind = match head.kind {
        Kind::Class => LabelKind::Class,
        Kind::Classes => LabelKind::Classes,
        Kind::Number => LabelKind::Number,
        Kind::Level => LabelKind::Level,
        Kind::Residues => LabelKind::Residues,
    };
    let labels = &head.card.labels;
    LabelsText {
        kind,
        names: labels.classes.clone(),
        gives: Gives::Scores,
        mean: labels.scale.map(|scale| scale.mean),
        deviation: labels.scale.map(|scale| scale.deviation),
        task: Some(head.card.task.clone()),
    }
}
