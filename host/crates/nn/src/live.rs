//! The parameters of a model in memory, written to a file and read back into it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use pliant_tensor::Param;

use crate::checkpoint::{Checkpoint, Stored, StoredType, write_tensors};
use crate::error::{CheckpointError, TensorProblem};

/// A tensor of a model in memory, as files name and shape it.
#[derive(Debug, Clone)]
pub struct Live {
    /// Canonical name.
    pub name: String,
    /// Sides in files, outermost first.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub values: LiveValues,
}

/// The numbers of a tensor in memory.
#[derive(Debug, Clone)]
pub enum LiveValues {
    /// Those that a parameter has at the time of asking.
    Param(Arc<Param>),
    /// Numbers that are never trained.
    Fixed(Vec<f32>),
}

impl Live {
    /// Its numbers at the time of asking, row by row.
    ///
    /// # Errors
    /// [`CheckpointError::Parameter`] when reading back a packed matrix fails.
    pub fn numbers(&self) -> Result<Vec<f32>, CheckpointError> {
        match &self.values {
            LiveValues::Param(param) => param.values().map_err(|source| self.parameter(source)),
            LiveValues::Fixed(values) => Ok(values.clone()),
        }
    }

    fn parameter(&self, source: pliant_tensor::TensorError) -> CheckpointError {
        CheckpointError::Parameter { name: self.name.clone(), source: Box::new(source) }
    }
}

/// Writes the tensors with the values that they have now as 32-bit floats, in the order of their names, one of them in
/// memory at a time. A frozen matrix with operands of fewer bits is written as rounded as it is held.
///
/// # Errors
/// [`CheckpointError::Io`] naming the file; what was written is removed.
pub fn write_live(path: &Path, tensors: &[Live]) -> Result<(), CheckpointError> {
    let mut sorted: Vec<&Live> = tensors.iter().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    let outline = |live: &&Live| (live.name.clone(), StoredType::F32, live.shape.clone());
    write_tensors(path, &sorted.iter().map(outline).collect::<Vec<_>>(), |at, write| {
        let live = sorted[at];
        match &live.values {
            LiveValues::Param(param) => {
                let values = param.values().map_err(|source| live.parameter(source))?;
                write(bytemuck::cast_slice(&values))
            }
            LiveValues::Fixed(values) => write(bytemuck::cast_slice(values)),
        }
    })
}

/// Gives the trainable parameters among `tensors` the values of a file that [`write_live`] wrote of the same model. The
/// file is checked whole before the first value changes.
///
/// # Errors
/// [`CheckpointError`] naming file and tensor for one that is missing or too many, of another shape, damaged,
/// or one that is never trained and differs.
pub fn read_live(path: &Path, tensors: &[Live]) -> Result<(), CheckpointError> {
    let checkpoint = Checkpoint::open_files(path, None)?;
    let known: BTreeSet<&str> = tensors.iter().map(|live| live.name.as_str()).collect();
    if let Some((name, _)) = checkpoint.tensors().find(|(name, _)| !known.contains(name)) {
        return Err(CheckpointError::tensor(path, name, TensorProblem::Unknown));
    }
    for live in tensors {
        let stored = stored(&checkpoint, live)?;
        match &live.values {
            LiveValues::Param(param) if param.is_trainable() => drop(checkpoint.hash(&live.name, stored)?),
            LiveValues::Param(param) => {
                let wanted = param.values().map_err(|source| live.parameter(source))?;
                same(&checkpoint, live, stored, &wanted)?;
            }
            LiveValues::Fixed(wanted) => same(&checkpoint, live, stored, wanted)?,
        }
    }
    for live in tensors {
        if let LiveValues::Param(param) = &live.values
            && param.is_trainable()
        {
            let (values, _) = checkpoint.read(&live.name, stored(&checkpoint, live)?)?;
            param.set_values(&values).map_err(|source| live.parameter(source))?;
        }
    }
    Ok(())
}

/// Refuses a file whose numbers of a tensor that never changes are not those in memory.
fn same(
    checkpoint: &Checkpoint,
    live: &Live,
    stored: &Stored,
    wanted: &[f32],
) -> Result<(), CheckpointError> {
    let (found, _) = checkpoint.read(&live.name, stored)?;
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    if bits(&found) == bits(wanted) {
        return Ok(());
    }
    Err(CheckpointError::tensor(checkpoint.path_of(stored), &live.name, TensorProblem::OfAnother))
}

fn stored<'a>(checkpoint: &'a Checkpoint, live: &Live) -> Result<&'a Stored, CheckpointError> {
    let stored = checkpoint.get(&live.name).ok_or_else(|| CheckpointError::MissingTensor {
        folder: checkpoint.folder().to_owned(),
        tensor: live.name.clone(),
    })?;
    if stored.shape == live.shape {
        return Ok(stored);
    }
    let problem = TensorProblem::Shape { found: stored.shape.clone(), wanted: live.shape.clone() };
    Err(CheckpointError::tensor(checkpoint.path_of(stored), &live.name, problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::Init;
    use crate::weights::{Take, Weights};
    use pliant_kernels::{Device, Precision};

    fn model(seed: u64) -> Weights {
        let device = Device::cpu(1).unwrap();
        let weights = Weights::random(seed, &device, Precision::F32).take(Take::Values { trainable: true });
        let init = || Init::Normal { deviation: 1.0 };
        weights.at("layer").matrix("weight", [3, 4], init()).unwrap();
        weights.filters("conv", [5, 2], init()).unwrap();
        weights.list("turns", &[1, 2], Init::List(vec![0.5, 2.0])).unwrap();
        weights
    }

    fn numbers(weights: &Weights) -> Vec<Vec<f32>> {
        weights.params().iter().map(|param| param.values().unwrap()).collect()
    }

    #[test]
    fn what_is_written_comes_back() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("weights.safetensors");
        let (one, other) = (model(1), model(2));
        assert_ne!(numbers(&one), numbers(&other));
        write_live(&path, &one.live()).unwrap();
        read_live(&path, &other.live()).unwrap();
        assert_eq!(numbers(&one), numbers(&other));
        let checkpoint = Checkpoint::open_files(&path, None).unwrap();
        assert_eq!(checkpoint.get("conv").unwrap().shape, [5, 1, 2]);
        assert_eq!(checkpoint.get("turns").unwrap().shape, [1, 2]);
        let decays: Vec<bool> = one.params().iter().map(|param| param.decay()).collect();
        assert_eq!(decays, [true, true]);
    }

    #[test]
    fn another_model_is_refused_and_nothing_changes() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("weights.safetensors");
        let (weights, before) = (model(1), numbers(&model(1)));
        let refused = |change: &dyn Fn(&mut Vec<Live>)| {
            let mut live = model(2).live();
            change(&mut live);
            write_live(&path, &live).unwrap();
            let text = read_live(&path, &weights.live()).unwrap_err().to_string();
            assert!(text.contains("weights.safetensors"), "{text}");
            assert_eq!(numbers(&weights), before);
            text
        };
        assert!(refused(&|live| drop(live.remove(1))).contains("no tensor \"conv\""));
        assert!(refused(&|live| live[0].name = "other".to_owned()).contains("\"other\""));
        assert!(refused(&|live| live[1].shape = vec![5, 2]).contains("has shape [5, 2], wanted [5, 1, 2]"));
        assert!(refused(&|live| live[2].values = LiveValues::Fixed(vec![0.5, 3.0])).contains("\"turns\""));
        let nan = refused(&|live| live[0].values = LiveValues::Fixed(vec![f32::NAN; 12]));
        assert!(nan.contains("is NaN"), "{nan}");
    }
}
