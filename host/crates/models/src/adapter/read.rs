//! Adapters read: from a folder of their own, or out of a file of a whole model that holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use pliant_nn::{Checkpoint, LowRankValues, Meaning};

use super::config::PeftConfig;
use super::keys::{Half, adapters, parsed, unwrapped};
use super::{Adapted, Adapter, Target, open, scale, targets};
use crate::error::ModelError;
use crate::import::Import;

/// What says what an adapter is.
pub(super) const CONFIG_FILE: &str = "adapter_config.json";

/// The files of numbers that are read, the first one where there are both.
const WEIGHTS_FILES: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

/// The name that peft gives to the only adapter.
const USUAL: &str = "default";

/// Names that an error lists before it says how many more there are.
const LISTED: usize = 5;

/// An adapter out of a file of a whole model.
#[derive(Debug)]
pub struct Bare {
    /// The adapter, where there is one.
    pub adapter: Option<Adapter>,
    /// The other tensors, as they are stored and as the model in its wrappers names them.
    pub rest: Vec<(String, String)>,
    /// Canonical names of weights of the model itself that have other numbers in that file than in the model's folder.
    pub changed: Vec<String>,
}

/// The halves of a matrix in a file.
#[derive(Debug, Default)]
struct Pair {
    /// The path of the module as the file has it.
    module: String,
    a: Option<String>,
    b: Option<String>,
}

/// What a file of an adapter holds.
struct Gathered<'a> {
    path: &'a Path,
    checkpoint: Checkpoint,
    import: Import,
    targets: Vec<Target>,
    /// By places in the list of targets.
    pairs: BTreeMap<usize, Pair>,
    rest: Vec<String>,
}

/// Reads the adapter in the folder `adapter`, which peft or [`Adapter::write`] wrote, for the model in the folder `model`.
///
/// # Errors
/// [`ModelError::Adapter`] naming the file and what of it does not fit: a configuration that is not followed, matrices that
/// the model does not have or that lack a half, numbers of another shape; and those of [`crate::inspect`] for the model.
pub fn read_adapter(adapter: &Path, model: &Path) -> Result<Adapter, ModelError> {
    let path = adapter.join(CONFIG_FILE);
    let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
        ErrorKind::NotFound if !adapter.exists() => ModelError::NoAdapter { path: adapter.to_owned() },
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            let problem = format!("holds no adapter: found no {CONFIG_FILE}");
            ModelError::Adapter { path: adapter.to_owned(), problem }
        }
        _ => ModelError::Io { action: "read", path: path.clone(), source },
    })?;
    let config = PeftConfig::parse(&path, &text)?;
    let file = weights_file(adapter)?;
    let gathered = Gathered::of(&file, model)?;
    gathered.refuse_weights_of_the_model()?;
    gathered.check_chosen(&config)?;
    let mut matrices = BTreeMap::new();
    for (&place, pair) in &gathered.pairs {
        let (rank, alpha) = config.of(&pair.module);
        let adapted = gathered.adapted(place, pair, (Some(rank), alpha, config.rank_stabilised))?;
        matrices.insert(gathered.targets[place].name.clone(), adapted);
    }
    if matrices.is_empty() {
        return Err(gathered.problem("holds no adapted matrix of the model".to_owned()));
    }
    let Gathered { rest: beside, .. } = gathered;
    let (dropout, rank_stabilised) = (config.dropout, config.rank_stabilised);
    Ok(Adapter { matrices, dropout, rank_stabilised, beside })
}

/// Reads the adapter out of the file `path` of a whole model, as training code saves one, for the model in the folder
/// `model`. Such a file does not say `alpha`; where it holds an adapter, somebody must.
///
/// # Errors
/// As [`read_adapter`].
pub fn read_bare(path: &Path, model: &Path, alpha: Option<f64>) -> Result<Bare, ModelError> {
    let gathered = Gathered::of(path, model)?;
    let mut matrices = BTreeMap::new();
    for (&place, pair) in &gathered.pairs {
        let alpha = alpha.ok_or_else(|| {
            gathered
                .problem("holds an adapter and does not say its alpha: name it with --lora-alpha".to_owned())
        })?;
        let adapted = gathered.adapted(place, pair, (None, alpha, false))?;
        matrices.insert(gathered.targets[place].name.clone(), adapted);
    }
    let adapter = (!matrices.is_empty()).then(|| Adapter {
        matrices,
        dropout: 0.0,
        rank_stabilised: false,
        beside: Vec::new(),
    });
    let changed = gathered.changed(model)?;
    let named = |stored: String| unwrapped(&stored).map(|name| (stored, name));
    let rest = gathered.rest.into_iter().filter_map(named).collect();
    Ok(Bare { adapter, rest, changed })
}

fn weights_file(adapter: &Path) -> Result<PathBuf, ModelError> {
    let files = WEIGHTS_FILES.map(|name| adapter.join(name));
    files.into_iter().find(|file| file.is_file()).ok_or_else(|| ModelError::Adapter {
        path: adapter.to_owned(),
        problem: format!("holds no numbers: found neither {} nor {}", WEIGHTS_FILES[0], WEIGHTS_FILES[1]),
    })
}

impl<'a> Gathered<'a> {
    fn of(path: &'a Path, model: &Path) -> Result<Self, ModelError> {
        let import = open(model)?;
        let (targets, checkpoint) = (targets(&import)?, Checkpoint::open_files(path, None)?);
        let mut gathered =
            Self { path, checkpoint, import, targets, pairs: BTreeMap::new(), rest: Vec::new() };
        gathered.gather()?;
        Ok(gathered)
    }

    /// Finds the halves of every matrix.
    fn gather(&mut self) -> Result<(), ModelError> {
        let names: Vec<String> = self.checkpoint.tensors().map(|(name, _)| name.to_owned()).collect();
        let known = adapters(names.iter().map(String::as_str));
        if known.len() > 1 && !known.contains(USUAL) {
            let names: Vec<&str> = known.into_iter().collect();
            return Err(self.problem(format!(
                "holds the adapters {}, and none is named \"{USUAL}\": save the one that is meant alone",
                names.join(", ")
            )));
        }
        let several = known.len() > 1;
        let (mut strange, mut twice) = (Vec::new(), Vec::new());
        for stored in &names {
            let Some((module, half, name)) = parsed(stored) else {
                self.rest.push(stored.clone());
                continue;
            };
            if several && name.is_some_and(|name| name != USUAL) {
                continue;
            }
            let Some(place) = self.place(module) else {
                strange.push(stored.clone());
                continue;
            };
            let pair = self.pairs.entry(place).or_default();
            module.clone_into(&mut pair.module);
            let slot = if half == Half::A { &mut pair.a } else { &mut pair.b };
            if slot.replace(stored.clone()).is_some() {
                twice.push(stored.clone());
            }
        }
        if !strange.is_empty() {
            let words = super::words(&*self.import.blueprint).join(", ");
            return Err(self.problem(format!(
                "adapts what a model of the family {} does not have or does not compute with: {}; its matrices are: {words}",
                self.import.family.name,
                listed(&strange)
            )));
        }
        if !twice.is_empty() {
            return Err(self.problem(format!("names the same numbers twice: {}", listed(&twice))));
        }
        Ok(())
    }

    /// The place of the matrix of a module in the list of targets.
    fn place(&self, module: &str) -> Option<usize> {
        let spellings = [format!("{module}.weight"), module.to_owned()];
        spellings.iter().find_map(|spelling| {
            let meaning = self.import.blueprint.meanings(&[spelling]).pop()?;
            let Meaning::Parameter(name) = meaning else { return None };
            self.targets.iter().position(|target| target.name == name)
        })
    }

    /// Refuses numbers that would take the place of those of the model, and parts of adapters of other kinds.
    fn refuse_weights_of_the_model(&self) -> Result<(), ModelError> {
        let own: BTreeSet<String> =
            self.import.survey()?.records().into_iter().map(|record| record.name).collect();
        for stored in &self.rest {
            let name = unwrapped(stored).unwrap_or_default();
            if stored.contains("lora_") || stored.contains("dora_") {
                return Err(
                    self.problem(format!("holds {stored:?}, which is no part of plain LoRA of matrices"))
                );
            }
            let plain = name.replace(".modules_to_save.default.", ".");
            if let Some(Meaning::Parameter(name)) = self.import.blueprint.meanings(&[&plain]).pop()
                && own.contains(&name)
            {
                return Err(self.problem(format!(
                    "holds {stored:?}, a weight of the model itself that was trained beside the adapter: that is not \
                     supported"
                )));
            }
        }
        Ok(())
    }

    /// The weights of the model itself that have other numbers in this file than in the folder of the model.
    fn changed(&self, model: &Path) -> Result<Vec<String>, ModelError> {
        let own: BTreeSet<String> =
            self.import.survey()?.records().into_iter().map(|record| record.name).collect();
        let (folder, mut changed) = (Checkpoint::open(model)?, Vec::new());
        for stored in &self.rest {
            let name = unwrapped(stored).unwrap_or_default();
            let Some(Meaning::Parameter(name)) = self.import.blueprint.meanings(&[&name]).pop() else {
                continue;
            };
            let there = own.contains(&name).then(|| self.import.weights.stored_as(&name)).flatten();
            let Some((there, _)) = there else { continue };
            let (Some(one), Some(other)) = (self.checkpoint.get(stored), folder.get(there)) else { continue };
            let same = one.shape == other.shape
                && self.checkpoint.read(stored, one)?.0 == folder.read(there, other)?.0;
            if !same {
                changed.push(name);
            }
        }
        Ok(changed)
    }

    /// Compares what the configuration chooses with what is there.
    fn check_chosen(&self, config: &PeftConfig) -> Result<(), ModelError> {
        let found = self.pairs.values().find(|pair| !config.has(&pair.module));
        if let Some(pair) = found {
            return Err(config.problem(format!(
                "chooses other matrices than {} holds: \"target_modules\" and \"layers_to_transform\" leave out {:?}",
                self.path.display(),
                pair.module
            )));
        }
        // How names of this file begin, of those of the model.
        let Some((place, pair)) = self.pairs.iter().next() else { return Ok(()) };
        let name = module_of(&self.targets[*place].name);
        let start = name.strip_suffix(pair.module.as_str()).unwrap_or_default();
        for (place, target) in self.targets.iter().enumerate() {
            let module = module_of(&target.name);
            let module = module.strip_prefix(start).unwrap_or(module);
            if config.has(module) && !self.pairs.contains_key(&place) {
                return Err(config
                    .problem(format!("chooses {module:?}, of which {} holds nothing", self.path.display())));
            }
        }
        Ok(())
    }

    /// The numbers of a matrix; with a `rank` they must be of that.
    fn adapted(
        &self,
        place: usize,
        pair: &Pair,
        (wanted, alpha, stabilised): (Option<usize>, f64, bool),
    ) -> Result<Adapted, ModelError> {
        let Target { name, shape: [outputs, inputs], .. } = &self.targets[place];
        let (Some(a), Some(b)) = (&pair.a, &pair.b) else {
            let (there, lacks) = if pair.a.is_some() { ("lora_A", "lora_B") } else { ("lora_B", "lora_A") };
            return Err(self.problem(format!("has {there} of {:?} and no {lacks}", pair.module)));
        };
        let sides = |name: &str| self.checkpoint.get(name).map(|stored| stored.shape.clone());
        let (found_a, found_b) = (sides(a).unwrap_or_default(), sides(b).unwrap_or_default());
        let rank = wanted.or(found_a.first().copied()).unwrap_or_default();
        if rank == 0 || found_a != [rank, *inputs] || found_b != [*outputs, rank] {
            return Err(self.problem(format!(
                "A and B of {:?} have the shapes {found_a:?} and {found_b:?}, wanted [{rank}, {inputs}] and [{outputs}, \
                 {rank}] beside {name:?}",
                pair.module
            )));
        }
        let values = |name: &str| -> Result<Vec<f32>, ModelError> {
            let stored = self.checkpoint.get(name);
            let stored = stored.ok_or_else(|| self.problem(format!("has no tensor {name:?}")))?;
            Ok(self.checkpoint.read(name, stored)?.0)
        };
        let scale = scale(alpha, rank, stabilised);
        Ok(Adapted { alpha, values: LowRankValues { rank, scale, a: values(a)?, b: values(b)? } })
    }

    fn problem(&self, problem: String) -> ModelError {
        ModelError::Adapter { path: self.path.to_owned(), problem }
    }
}

/// The path of the module of a matrix.
pub(super) fn module_of(name: &str) -> &str {
    name.strip_suffix(".weight").unwrap_or(name)
}

fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(LISTED).map(|name| format!("{name:?}")).collect();
    let more = names.len().saturating_sub(LISTED);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
