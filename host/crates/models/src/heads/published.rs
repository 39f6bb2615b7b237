//! The published heads of interactions and of symmetry out of the files of their training code (Sledzieski et al. 2024,
//! microsoft/peft_proteomics), of a whole model or of the head alone.
//!
//! | there | here |
//! |---|---|
//! | `classifier.dense.*`, or `dense.*` of a head alone | `hidden.*` |
//! | `classifier.out_proj.*`, or `out_proj.*` | `output.*` |
//! | `pooler.dense.*` | `pooler.*` |

use std::path::Path;

use pliant_nn::{Checkpoint, NamedValues, write_values};

use crate::error::ModelError;

/// What such a head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedHead {
    /// W, numbers of a state.
    pub inputs: usize,
    /// Width of its hidden layer.
    pub hidden: usize,
    /// N, numbers that it gives: 1 of interactions, 18 of symmetry.
    pub outputs: usize,
    /// Whether the frozen random pooler that it was trained on is there.
    pub pooler: bool,
}

/// Names there and here.
const LAYERS: [(&str, &str); 3] = [("dense", "hidden"), ("out_proj", "output"), ("pooler.dense", "pooler")];

/// A tensor by its name here.
type Found = (String, Vec<usize>, Vec<f32>);

/// Takes the head out of the file `path`, of whose tensors `rest` are stored names and names in the model, and writes its
/// weights as `out`.
///
/// # Errors
/// [`ModelError::Adapter`] naming what is missing or of another shape, and [`ModelError::Checkpoint`] for a damaged file.
pub fn take_published(
    path: &Path,
    rest: &[(String, String)],
    out: &Path,
) -> Result<PublishedHead, ModelError> {
    let problem = |problem: String| ModelError::Adapter { path: path.to_owned(), problem };
    let checkpoint = Checkpoint::open_files(path, None)?;
    let mut found: Vec<Found> = Vec::new();
    for (there, here) in LAYERS {
        for end in ["weight", "bias"] {
            let names = [format!("classifier.{there}.{end}"), format!("{there}.{end}")];
            let stored = names.iter().find_map(|wanted| rest.iter().find(|(_, name)| name == wanted));
            let Some((stored, _)) = stored else { continue };
            let Some(tensor) = checkpoint.get(stored) else { continue };
            let (values, _) = checkpoint.read(stored, tensor)?;
            found.push((format!("{here}.{end}"), tensor.shape.clone(), values));
        }
    }
    let shape =
        |name: &str| found.iter().find(|(known, ..)| known == name).map(|(_, shape, _)| shape.clone());
    let wanted = |name: &str| {
        shape(name).ok_or_else(|| {
            problem(format!(
                "holds no head: found nothing for {name} (classifier.dense, classifier.out_proj)"
            ))
        })
    };
    let (hidden, output) = (wanted("hidden.weight")?, wanted("output.weight")?);
    let (&[width, inputs], &[outputs, of_hidden]) = (hidden.as_slice(), output.as_slice()) else {
        return Err(problem(format!("has layers of the shapes {hidden:?} and {output:?}, wanted matrices")));
    };
    let pooler = shape("pooler.weight").is_some();
    let mut shapes = vec![("hidden.bias", vec![width]), ("output.bias", vec![outputs])];
    if pooler {
        shapes.extend([("pooler.weight", vec![inputs, inputs]), ("pooler.bias", vec![inputs])]);
    }
    for (name, shape) in shapes {
        let found = wanted(name)?;
        if found != shape || of_hidden != width {
            return Err(problem(format!(
                "has {name} of the shape {found:?} beside {hidden:?} and {output:?}, wanted {shape:?}"
            )));
        }
    }
    let tensors: Vec<NamedValues<'_>> =
        found.iter().map(|(name, shape, values)| NamedValues { name, shape, values }).collect();
    write_values(out, &tensors)?;
    Ok(PublishedHead { inputs, hidden: width, outputs, pooler })
}
