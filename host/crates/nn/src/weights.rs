//! Where a model's parameters come from: one handle that loads them, makes them, or only lists them.
//!
//! A model's constructor walks its parameters by name, `weights.at("layer.0").matrix("weight", …)`, and
//! is the only text that knows names and shapes. What happens there is the handle's business: with a
//! [`Checkpoint`] behind it a parameter is read, without one it is made from a seed; and with less than
//! [`Take::Values`] nothing is kept, so that the same walk checks a header, hashes a model or plans a file.
//!
//! The names are canonical. How files spell them is a function of the family, which sees all stored
//! names at once and says what each one means.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use pliant_kernels::{Device, Precision};
use pliant_tensor::{Param, ParamKind};

use crate::checkpoint::{Checkpoint, Planned, Settings, Stored, StoredType};
use crate::error::{CheckpointError, FileProblem, TensorProblem};
use crate::init::Init;
use crate::live::{Live, LiveValues};

mod copy;
mod sides;

pub use copy::{Content, Copied};
pub use sides::{LowRankValues, Side, Sides, Siding};

/// What a stored name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The parameter of that canonical name; whether a model has it, its constructor says.
    Parameter(String),
    /// Something the family knows and does not use.
    Extra,
}

/// What is taken of each tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// Nothing is read or made: names and shapes are checked, what is missing is noted, and a parameter
    /// is a placeholder that cannot be computed with.
    Shapes,
    /// Everything is read and hashed; a parameter is a placeholder that cannot be computed with.
    Hashes,
    /// Everything is read and kept.
    Values {
        /// Whether parameters can be trained.
        trainable: bool,
    },
}

/// One tensor that a model uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Canonical name.
    pub name: String,
    /// Name in the file, `None` for a tensor made from a seed.
    pub stored_as: Option<String>,
    /// Number type in the file.
    pub dtype: StoredType,
    /// Sides, outermost first.
    pub shape: Vec<usize>,
    /// BLAKE3 of its bytes as stored, `None` where only shapes were taken.
    pub hash: Option<blake3::Hash>,
}

/// What became of the names in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyReport {
    /// Stored names that the model uses.
    pub used: Vec<String>,
    /// Canonical names that the model wants and the checkpoint lacks.
    pub missing: Vec<String>,
    /// Stored names that nobody knows.
    pub unexpected: Vec<String>,
    /// Stored names that the family knows and does not use.
    pub ignored: Vec<String>,
}

/// A place among the parameters of a model; [`Weights::at`] goes deeper.
#[derive(Debug, Clone)]
pub struct Weights {
    source: Rc<Source>,
    log: Rc<RefCell<Log>>,
    take: Take,
    device: Device,
    precision: Precision,
    path: String,
    /// Names of the parameters that can be trained where others are taken so; `None`: all.
    chosen: Option<Rc<BTreeSet<String>>>,
    /// What stands beside matrices.
    sides: Option<Rc<Sides>>,
}

#[derive(Debug)]
enum Source {
    Stored {
        checkpoint: Checkpoint,
        /// Canonical name to stored name.
        names: BTreeMap<String, String>,
        extras: Vec<String>,
    },
    Random {
        seed: u64,
    },
}

#[derive(Debug, Default)]
struct Log {
    used: BTreeMap<String, Record>,
    missing: Vec<String>,
    passed: BTreeSet<String>,
    planned: Vec<Planned>,
    params: Vec<Arc<Param>>,
    live: Vec<Live>,
    sides: Vec<Side>,
}

/// What is asked of a parameter.
struct Wanted<'a> {
    /// Sides in memory.
    shape: &'a [usize],
    /// Sides in files.
    stored: &'a [usize],
    kind: ParamKind,
    decay: bool,
}

impl<'a> Wanted<'a> {
    fn new(shape: &'a [usize], kind: ParamKind) -> Self {
        Self { shape, stored: shape, kind, decay: kind != ParamKind::Vector }
    }
}

impl Weights {
    /// The tensors of a checkpoint; `meanings` says for each stored name, in the order given, what it is.
    ///
    /// # Errors
    /// [`CheckpointError::File`] when two stored names mean one parameter.
    pub fn stored(
        checkpoint: Checkpoint,
        meanings: impl Fn(&[&str]) -> Vec<Meaning>,
        (device, precision): (&Device, Precision),
    ) -> Result<Self, CheckpointError> {
        let stored: Vec<&str> = checkpoint.tensors().map(|(name, _)| name).collect();
        let (mut names, mut extras) = (BTreeMap::<String, String>::new(), Vec::new());
        for (&name, meaning) in stored.iter().zip(meanings(&stored)) {
            let Meaning::Parameter(canonical) = meaning else {
                extras.push(name.to_owned());
                continue;
            };
            if let Some(first) = names.insert(canonical, name.to_owned()) {
                let path =
                    checkpoint.get(name).map_or(checkpoint.folder(), |stored| checkpoint.path_of(stored));
                let problem = FileProblem::Spellings { first: first.as_str().into(), second: name.into() };
                return Err(CheckpointError::file(path, problem));
            }
        }
        Ok(Self::new(Source::Stored { checkpoint, names, extras }, device, precision))
    }

    /// Parameters made from `seed`.
    #[must_use]
    pub fn random(seed: u64, device: &Device, precision: Precision) -> Self {
        Self::new(Source::Random { seed }, device, precision)
    }

    fn new(source: Source, device: &Device, precision: Precision) -> Self {
        Self {
            source: Rc::new(source),
            log: Rc::default(),
            take: Take::Shapes,
            device: device.clone(),
            precision,
            path: String::new(),
            chosen: None,
            sides: None,
        }
    }

    /// The same source from its root, with nothing used yet.
    #[must_use]
    pub fn take(&self, take: Take) -> Self {
        Self { log: Rc::default(), take, path: String::new(), ..self.clone() }
    }

    /// The same source with no other parameter trainable than those of these names.
    #[must_use]
    pub fn only_trainable(self, names: BTreeSet<String>) -> Self {
        Self { chosen: Some(Rc::new(names)), ..self }
    }

    /// The place `segment` below this one.
    #[must_use]
    pub fn at(&self, segment: &str) -> Self {
        Self { path: self.name(segment), ..self.clone() }
    }

    /// The same place for matrices whose products need more than 8-bit operands.
    #[must_use]
    pub fn without_bytes(&self) -> Self {
        let precision = if self.precision == Precision::Int8 { Precision::Bf16 } else { self.precision };
        Self { precision, ..self.clone() }
    }

    /// The same place for parameters that are never trained.
    #[must_use]
    pub fn frozen(&self) -> Self {
        let take = match self.take {
            Take::Values { .. } => Take::Values { trainable: false },
            other => other,
        };
        Self { take, ..self.clone() }
    }

    /// Passes over a stored parameter that this model has no use for: it is ignored, and no breach.
    pub fn pass_over(&self, name: &str) {
        self.log.borrow_mut().passed.insert(self.name(name));
    }

    /// Whether a checkpoint holds that parameter. Without a checkpoint there is none.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match &*self.source {
            Source::Stored { names, .. } => names.contains_key(&self.name(name)),
            Source::Random { .. } => false,
        }
    }

    /// A matrix `[outputs, inputs]` of a linear layer.
    ///
    /// # Errors
    /// [`CheckpointError`] for a tensor that is missing, of another shape or damaged.
    pub fn matrix(&self, name: &str, shape: [usize; 2], init: Init) -> Result<Arc<Param>, CheckpointError> {
        self.param(name, &Wanted::new(&shape, ParamKind::Matrix), init)
    }

    /// A vector `[width]`.
    ///
    /// # Errors
    /// As [`Weights::matrix`].
    pub fn vector(&self, name: &str, width: usize, init: Init) -> Result<Arc<Param>, CheckpointError> {
        self.param(name, &Wanted::new(&[width], ParamKind::Vector), init)
    }

    /// A table `[rows, width]` whose rows are looked up.
    ///
    /// # Errors
    /// As [`Weights::matrix`].
    pub fn table(&self, name: &str, shape: [usize; 2], init: Init) -> Result<Arc<Param>, CheckpointError> {
        self.param(name, &Wanted::new(&shape, ParamKind::Table), init)
    }

    /// Numbers `[rows, width]` that are used as they are, in f32, and that no weight decay pulls to zero.
    ///
    /// # Errors
    /// As [`Weights::matrix`].
    pub fn constants(
        &self,
        name: &str,
        shape: [usize; 2],
        init: Init,
    ) -> Result<Arc<Param>, CheckpointError> {
        self.param(name, &Wanted { decay: false, ..Wanted::new(&shape, ParamKind::Table) }, init)
    }

    /// Filters `[E,K]`, one for each channel, which files hold as `[E,1,K]`; used as they are, in f32.
    ///
    /// # Errors
    /// As [`Weights::matrix`].
    pub fn filters(
        &self,
        name: &str,
        shape @ [channels, length]: [usize; 2],
        init: Init,
    ) -> Result<Arc<Param>, CheckpointError> {
        let stored = [channels, 1, length];
        self.param(name, &Wanted { stored: &stored, ..Wanted::new(&shape, ParamKind::Table) }, init)
    }

    /// A filter over maps `[O,I·K·K]`, which files hold as `[O,I,K,K]`; used as it is, in f32.
    ///
    /// # Errors
    /// As [`Weights::matrix`].
    pub fn squares(
        &self,
        name: &str,
        [outputs, inputs, side]: [usize; 3],
        init: Init,
    ) -> Result<Arc<Param>, CheckpointError> {
        let (shape, stored) = ([outputs, inputs * side * side], [outputs, inputs, side, side]);
        self.param(name, &Wanted { stored: &stored, ..Wanted::new(&shape, ParamKind::Table) }, init)
    }

    /// The matrix `[O,I]` of a filter over maps that sees one place at a time, which files hold as `[O,I,1,1]`.
    ///
    /// # Errors
    /// As [`Weights::matrix`].
    pub fn points(
        &self,
        name: &str,
        shape @ [outputs, inputs]: [usize; 2],
        init: Init,
    ) -> Result<Arc<Param>, CheckpointError> {
        let stored = [outputs, inputs, 1, 1];
        self.param(name, &Wanted { stored: &stored, ..Wanted::new(&shape, ParamKind::Matrix) }, init)
    }

    /// A matrix of these numbers that is part of a computation and no parameter of the model: no file has it. Its products are
    /// those of the precision without 8-bit operands.
    ///
    /// # Errors
    /// [`CheckpointError::Parameter`] for numbers that do not fill the shape.
    pub fn fixed(
        &self,
        name: &str,
        shape: [usize; 2],
        values: &[f32],
    ) -> Result<Arc<Param>, CheckpointError> {
        let precision = self.without_bytes().precision;
        let param = Param::frozen(&self.device, precision, name, &shape, values, ParamKind::Matrix);
        let name = name.to_owned();
        param.map(Arc::new).map_err(|source| CheckpointError::Parameter { name, source: Box::new(source) })
    }

    /// A table `[rows, width]` that files hold as `[1, rows, width]` and that is part of the model: never trained.
    ///
    /// # Errors
    /// As [`Weights::matrix`].
    pub fn buffer(
        &self,
        name: &str,
        shape @ [rows, width]: [usize; 2],
        init: Init,
    ) -> Result<Arc<Param>, CheckpointError> {
        let stored = [1, rows, width];
        let wanted = Wanted { stored: &stored, decay: false, ..Wanted::new(&shape, ParamKind::Table) };
        self.frozen().param(name, &wanted, init)
    }

    /// Numbers of that shape that are part of the model and never trained.
    ///
    /// # Errors
    /// As [`Weights::matrix`].
    pub fn list(&self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, CheckpointError> {
        let first = init.values(0, "", shape.iter().product());
        let name = self.name(name);
        let Some(values) = self.numbers(&name, shape, init)? else { return Ok(first) };
        let live = Live { name, shape: shape.to_vec(), values: LiveValues::Fixed(values.clone()) };
        self.log.borrow_mut().live.push(live);
        Ok(values)
    }

    /// Takes a stored tensor into the identity without keeping it; only a checkpoint has such.
    ///
    /// # Errors
    /// As [`Weights::matrix`].
    pub fn note(&self, name: &str, shape: &[usize]) -> Result<(), CheckpointError> {
        let Source::Stored { checkpoint, names, .. } = &*self.source else { return Ok(()) };
        let take = if self.take == Take::Shapes { Take::Shapes } else { Take::Hashes };
        load(checkpoint, names, &self.name(name), shape, (take, &self.log)).map(drop)
    }

    /// Every tensor used so far, in the order of the names. This, and not a file, is what a model is: a
    /// list of hashes that was published with the model is to be compared with it.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.log.borrow().used.values().cloned().collect()
    }

    /// Every parameter given out so far, in that order.
    #[must_use]
    pub fn params(&self) -> Vec<Arc<Param>> {
        self.log.borrow().params.clone()
    }

    /// Everything given out so far that can be computed with, as files name and shape it.
    #[must_use]
    pub fn live(&self) -> Vec<Live> {
        self.log.borrow().live.clone()
    }

    /// The tensors asked for so far that no checkpoint gives.
    #[must_use]
    pub fn planned(&self) -> Vec<Planned> {
        self.log.borrow().planned.clone()
    }

    /// What became of every stored name so far.
    #[must_use]
    pub fn report(&self) -> KeyReport {
        let log = self.log.borrow();
        let mut used: Vec<String> = log.used.values().filter_map(|record| record.stored_as.clone()).collect();
        used.sort_unstable();
        let (mut unexpected, mut ignored) = (Vec::new(), Vec::new());
        if let Source::Stored { names, extras, .. } = &*self.source {
            ignored.clone_from(extras);
            for (name, stored) in names.iter().filter(|(name, _)| !log.used.contains_key(*name)) {
                let list = if log.passed.contains(name) { &mut ignored } else { &mut unexpected };
                list.push(stored.clone());
            }
        }
        unexpected.sort_unstable();
        ignored.sort_unstable();
        KeyReport { used, missing: log.missing.clone(), unexpected, ignored }
    }

    /// How a file names a parameter, and its sides there.
    #[must_use]
    pub fn stored_as(&self, name: &str) -> Option<(&str, &[usize])> {
        let Source::Stored { checkpoint, names, .. } = &*self.source else { return None };
        let stored = names.get(&self.name(name))?;
        Some((stored, &checkpoint.get(stored)?.shape))
    }

    /// Plain values that were saved beside the tensors.
    #[must_use]
    pub fn settings(&self) -> Option<&Settings> {
        match &*self.source {
            Source::Stored { checkpoint, .. } => Some(checkpoint.settings()),
            Source::Random { .. } => None,
        }
    }

    /// The folder that the weights come from.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match &*self.source {
            Source::Stored { checkpoint, .. } => Some(checkpoint.folder()),
            Source::Random { .. } => None,
        }
    }

    fn name(&self, segment: &str) -> String {
        if self.path.is_empty() { segment.to_owned() } else { format!("{}.{segment}", self.path) }
    }

    fn param(&self, name: &str, wanted: &Wanted<'_>, init: Init) -> Result<Arc<Param>, CheckpointError> {
        let name = self.name(name);
        let &Wanted { shape, stored, kind, decay } = wanted;
        let values = self.numbers(&name, stored, init)?;
        let values = values.map(|values| self.merged(&name, shape, values)).transpose()?;
        let (device, precision) = (&self.device, self.precision);
        let kept = values.is_some();
        let param = match (values, self.take) {
            (None, _) => Param::frozen(device, precision, &name, &[1], &[0.0], ParamKind::Vector),
            (Some(values), Take::Values { trainable: true }) if self.is_chosen(&name) => {
                Param::trainable(device, precision, &name, shape, &values, kind)
            }
            (Some(values), _) => Param::frozen(device, precision, &name, shape, &values, kind),
        };
        let failed = |source| CheckpointError::Parameter { name: name.clone(), source: Box::new(source) };
        let (param, side) = self.beside(&name, param.map_err(failed)?.with_decay(decay), kept)?;
        let param = Arc::new(param);
        let mut log = self.log.borrow_mut();
        log.params.push(Arc::clone(&param));
        if let Some(side) = side {
            log.params.extend([Arc::clone(&side.low_rank.a), Arc::clone(&side.low_rank.b)]);
            log.sides.push(side);
        }
        if kept {
            let values = LiveValues::Param(Arc::clone(&param));
            log.live.push(Live { name, shape: stored.to_vec(), values });
        }
        Ok(param)
    }

    fn is_chosen(&self, name: &str) -> bool {
        self.chosen.as_ref().is_none_or(|names| names.contains(name))
    }

    /// The numbers of a parameter where they are kept.
    fn numbers(&self, name: &str, shape: &[usize], init: Init) -> Result<Option<Vec<f32>>, CheckpointError> {
        match &*self.source {
            Source::Stored { checkpoint, names, .. } => {
                load(checkpoint, names, name, shape, (self.take, &self.log))
            }
            Source::Random { seed } => Ok(self.make(*seed, name, shape, init)),
        }
    }

    fn make(&self, seed: u64, name: &str, shape: &[usize], init: Init) -> Option<Vec<f32>> {
        let values = (self.take != Take::Shapes).then(|| init.values(seed, name, shape.iter().product()));
        let hash = values.as_ref().map(|values| blake3::hash(bytemuck::cast_slice(values)));
        let shape = shape.to_vec();
        let mut log = self.log.borrow_mut();
        log.planned.push(Planned { name: name.to_owned(), shape: shape.clone(), init });
        let record = Record { name: name.to_owned(), stored_as: None, dtype: StoredType::F32, shape, hash };
        log.used.insert(name.to_owned(), record);
        values.filter(|_| self.take != Take::Hashes)
    }
}

/// Takes a stored tensor and notes that it is used, or that it is missing.
fn load(
    checkpoint: &Checkpoint,
    names: &BTreeMap<String, String>,
    name: &str,
    shape: &[usize],
    (take, log): (Take, &RefCell<Log>),
) -> Result<Option<Vec<f32>>, CheckpointError> {
    let found = names.get(name).and_then(|stored| Some((stored, checkpoint.get(stored)?)));
    let Some((stored_as, stored)) = found else {
        if take == Take::Shapes {
            log.borrow_mut().missing.push(name.to_owned());
            return Ok(None);
        }
        let (folder, tensor) = (checkpoint.folder().to_owned(), name.to_owned());
        return Err(CheckpointError::MissingTensor { folder, tensor });
    };
    check_shape(checkpoint, stored_as, stored, shape)?;
    let (values, hash) = match take {
        Take::Shapes => (None, None),
        Take::Hashes => (None, Some(checkpoint.hash(stored_as, stored)?)),
        Take::Values { .. } => {
            let (values, hash) = checkpoint.read(stored_as, stored)?;
            (Some(values), Some(hash))
        }
    };
    let (dtype, shape) = (stored.dtype, shape.to_vec());
    let record = Record { name: name.to_owned(), stored_as: Some(stored_as.clone()), dtype, shape, hash };
    log.borrow_mut().used.insert(name.to_owned(), record);
    Ok(values)
}

/// Checks what a header can show: shape, and a dtype that weights can have.
fn check_shape(
    checkpoint: &Checkpoint,
    name: &str,
    stored: &Stored,
    wanted: &[usize],
) -> Result<(), CheckpointError> {
    let problem = if let StoredType::Other(found, _) = stored.dtype {
        TensorProblem::Dtype { found }
    } else if stored.shape != wanted {
        TensorProblem::Shape { found: stored.shape.clone(), wanted: wanted.to_vec() }
    } else {
        return Ok(());
    };
    Err(CheckpointError::tensor(checkpoint.path_of(stored), name, problem))
}

#[cfg(test)]
mod tests;
