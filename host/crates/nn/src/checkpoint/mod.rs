//! A model folder: `config.json` and the weights as safetensors or as files of `torch.save`, in one file or in
//! shards; or the weights alone, in one file of `torch.save`.
//!
//! Both forms come down to the same: a list of tensors, each a piece of a file ([`header`], [`pickle`]).
//! Files are taken for hostile: every length is checked before memory is asked for, every byte of data
//! must belong to one tensor, and each error names the file and the tensor. Tensors are read one by one
//! with plain positioned reads; nothing is mapped into memory, so a file that changes or vanishes is an
//! error and never a signal.

mod header;
mod pickle;
mod read;
mod write;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use pickle::{PickleProblem, Setting, Settings};
pub(crate) use write::write_tensors;
pub use write::{NamedValues, Planned, write_safetensors, write_values};

use crate::error::{CheckpointError, FileProblem};
use header::{Members, refuse_duplicates};

/// The weights in one file.
const SINGLE: &str = "model.safetensors";

/// The list of shards, and how their names end.
const INDEX: (&str, &str) = ("model.safetensors.index.json", ENDING);

/// How names of safetensors files end.
const ENDING: &str = ".safetensors";

/// The same of `torch.save`, in folders that have no safetensors file.
const TORCH_SINGLE: &str = "pytorch_model.bin";
const TORCH_INDEX: (&str, &str) = ("pytorch_model.bin.index.json", ".bin");

/// The model's description.
pub const CONFIG: &str = "config.json";

/// Longest text file read from a model folder: real ones have kilobytes.
const TEXT_LIMIT: u64 = 16 << 20;

/// Longest index read: the limit of a header.
const INDEX_LIMIT: u64 = 100_000_000;

/// How the text begins that git keeps in the place of a large file (git-lfs `docs/spec.md`).
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Number types of safetensors files that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoredType {
    /// 32-bit floats.
    F32,
    /// IEEE half floats.
    F16,
    /// bfloat16.
    Bf16,
    /// Anything that no weight is read from: name and bytes of one element.
    Other(&'static str, u64),
}

impl StoredType {
    const OTHERS: [Self; 10] = [
        Self::Other("F64", 8),
        Self::Other("I64", 8),
        Self::Other("I32", 4),
        Self::Other("I16", 2),
        Self::Other("I8", 1),
        Self::Other("U64", 8),
        Self::Other("U32", 4),
        Self::Other("U16", 2),
        Self::Other("U8", 1),
        Self::Other("BOOL", 1),
    ];

    fn from_name(name: &str) -> Option<Self> {
        let floats = [Self::F32, Self::F16, Self::Bf16];
        floats.into_iter().chain(Self::OTHERS).find(|dtype| dtype.name() == name)
    }

    /// Name as safetensors spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Other(name, _) => name,
        }
    }

    /// Bytes of one element.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Other(_, bytes) => bytes,
        }
    }
}

/// One tensor of a checkpoint, known from its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Number type in the file.
    pub dtype: StoredType,
    /// Sides, outermost first.
    pub shape: Vec<usize>,
    /// Which of the checkpoint's files.
    file: usize,
    /// First byte in that file.
    begin: u64,
    /// Elements from one place of a side to the next, `None` for a tensor that lies in one piece, row by row.
    strides: Option<Vec<u64>>,
}

impl Stored {
    /// Number of elements.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A file of weights.
#[derive(Debug)]
struct Shard {
    path: PathBuf,
    file: File,
}

/// An open model folder: headers read and checked, no weight read yet.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    shards: Vec<Shard>,
    tensors: BTreeMap<String, Stored>,
    settings: Settings,
}

impl Checkpoint {
    /// Opens the model folder and checks the headers of its weights.
    ///
    /// The weights are `model.safetensors`, else the shards of `model.safetensors.index.json`, else
    /// `pytorch_model.bin` or the shards of its index, else the only safetensors file of the folder.
    ///
    /// # Errors
    /// [`CheckpointError`] naming the file for a folder without weights or config, and for a file that is
    /// damaged in any way a header can show.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let opened = |source| CheckpointError::io("open", folder, source);
        if !fs::metadata(folder).map_err(opened)?.is_dir() {
            return Err(CheckpointError::NotAFolder { path: folder.to_owned() });
        }
        let mut checkpoint = Self::empty(folder);
        if !exists(&folder.join(CONFIG)) {
            let (folder, found) = (folder.to_owned(), Vec::new());
            return Err(CheckpointError::MissingFile { folder, wanted: CONFIG, found });
        }
        let there = |name: &str| exists(&folder.join(name));
        if there(SINGLE) {
            checkpoint.add_file(SINGLE)?;
        } else if there(INDEX.0) {
            checkpoint.add_shards(INDEX)?;
        } else if there(TORCH_SINGLE) {
            checkpoint.add_file(TORCH_SINGLE)?;
        } else if there(TORCH_INDEX.0) {
            checkpoint.add_shards(TORCH_INDEX)?;
        } else {
            checkpoint.add_file(&only_safetensors(folder)?)?;
        }
        Ok(checkpoint)
    }

    /// Opens files of `torch.save`, which make one checkpoint without a config: `first`, and tensors of `more`, which
    /// replace those of the same name.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_files(first: &Path, more: Option<&Path>) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self::empty(first);
        for path in [Some(first), more].into_iter().flatten() {
            for (name, stored) in checkpoint.read_file(path.to_owned())? {
                checkpoint.tensors.insert(name, stored);
            }
        }
        Ok(checkpoint)
    }

    /// Opens files of weights that make one checkpoint without a config, each with what stands before its names.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_parts(parts: &[(&Path, &str)]) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self::empty(parts.first().map_or(Path::new(""), |(path, _)| path));
        for (path, prefix) in parts {
            for (name, stored) in checkpoint.read_file((*path).to_owned())? {
                checkpoint.tensors.insert(format!("{prefix}{name}"), stored);
            }
        }
        Ok(checkpoint)
    }

    fn empty(folder: &Path) -> Self {
        let (shards, tensors, settings) = (Vec::new(), BTreeMap::new(), Settings::new());
        Self { folder: folder.to_owned(), shards, tensors, settings }
    }

    /// The folder; the first file where there is none.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The tensors, by their names in the files.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Stored)> {
        self.tensors.iter().map(|(name, stored)| (name.as_str(), stored))
    }

    /// The tensor of that name in the files.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Stored> {
        self.tensors.get(name)
    }

    /// The file that holds a tensor.
    #[must_use]
    pub fn path_of(&self, stored: &Stored) -> &Path {
        &self.shards[stored.file].path
    }

    /// Plain values that were saved beside the tensors, as fairseq does.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The folder's `config.json`.
    ///
    /// # Errors
    /// As [`Checkpoint::text`], and when there is none.
    pub fn config(&self) -> Result<String, CheckpointError> {
        self.text(CONFIG)?.ok_or_else(|| CheckpointError::MissingFile {
            folder: self.folder.clone(),
            wanted: CONFIG,
            found: Vec::new(),
        })
    }

    /// A small text file of the folder, such as `vocab.txt`; `None` when there is none.
    ///
    /// # Errors
    /// [`CheckpointError`] for a file that cannot be read, is too long or is no text.
    pub fn text(&self, name: &str) -> Result<Option<String>, CheckpointError> {
        let path = self.folder.join(name);
        if exists(&path) { read_text(&path, TEXT_LIMIT).map(Some) } else { Ok(None) }
    }

    /// Adds all tensors of one file of the folder.
    fn add_file(&mut self, name: &str) -> Result<(), CheckpointError> {
        let path = self.folder.join(name);
        for (tensor, stored) in self.read_file(path.clone())? {
            if let Some(before) = self.tensors.get(&tensor) {
                let (wanted, found) = (file_name(self.path_of(before)), Some(name.into()));
                let problem = FileProblem::Misplaced { tensor: tensor.as_str().into(), wanted, found };
                return Err(CheckpointError::file(&path, problem));
            }
            self.tensors.insert(tensor, stored);
        }
        Ok(())
    }

    /// The tensors of a file, which becomes one of the shards.
    fn read_file(&mut self, path: PathBuf) -> Result<Vec<(String, Stored)>, CheckpointError> {
        let (file, length) = open_regular(&path)?;
        let mut start = [0; LFS_POINTER.len()];
        if file.read_exact_at(&mut start, 0).is_ok() && start == LFS_POINTER {
            return Err(CheckpointError::file(&path, FileProblem::LfsPointer));
        }
        let entries = if path.as_os_str().as_encoded_bytes().ends_with(ENDING.as_bytes()) {
            header::read(&file, length, &path)?
        } else {
            let pickle::TorchFile { tensors, settings } = pickle::read(&file, length, &path)?;
            for (name, setting) in settings {
                self.settings.entry(name).or_insert(setting);
            }
            tensors
        };
        let shard = self.shards.len();
        self.shards.push(Shard { path, file });
        let stored = |entry: header::Entry| {
            let header::Entry { name, dtype, shape, begin, strides } = entry;
            (name, Stored { dtype, shape, file: shard, begin, strides })
        };
        Ok(entries.into_iter().map(stored).collect())
    }

    /// Adds the shards of the index and checks that index and shards agree.
    fn add_shards(&mut self, (index, ending): (&str, &'static str)) -> Result<(), CheckpointError> {
        #[derive(serde::Deserialize)]
        struct Index {
            weight_map: Members<String>,
        }
        let path = self.folder.join(index);
        let refuse = |problem| CheckpointError::file(&path, problem);
        let text = read_text(&path, INDEX_LIMIT)?;
        let Index { weight_map: Members(map) } = serde_json::from_str(&text)
            .map_err(|error| refuse(FileProblem::Json { reason: error.to_string() }))?;
        refuse_duplicates(map.iter().map(|(name, _)| name.as_str())).map_err(refuse)?;
        let map: BTreeMap<String, String> = map.into_iter().collect();
        let mut shards: Vec<&String> = map.values().collect();
        shards.sort_unstable();
        shards.dedup();
        for &shard in &shards {
            let plain = shard.ends_with(ending) && !shard.contains(['/', '\\', '\0']) && shard != "..";
            if !plain || shard.starts_with('.') {
                return Err(refuse(FileProblem::ShardName { shard: shard.as_str().into(), ending }));
            }
        }
        for shard in shards {
            self.add_file(shard)?;
        }
        self.compare(&map).map_err(refuse)
    }

    /// Checks that every tensor is where the index says and that the index knows every tensor.
    fn compare(&self, map: &BTreeMap<String, String>) -> Result<(), FileProblem> {
        for (name, shard) in map {
            let found = self.tensors.get(name).map(|stored| file_name(self.path_of(stored)));
            if found.as_ref().is_none_or(|found| found.0 != *shard) {
                let (tensor, wanted) = (name.as_str().into(), shard.as_str().into());
                return Err(FileProblem::Misplaced { tensor, wanted, found });
            }
        }
        match self.tensors.iter().find(|(name, _)| !map.contains_key(*name)) {
            None => Ok(()),
            Some((name, stored)) => Err(FileProblem::Misplaced {
                tensor: name.as_str().into(),
                wanted: "no shard".into(),
                found: Some(file_name(self.path_of(stored))),
            }),
        }
    }
}

/// Whether something of that name is there, a broken link included: opening it says what is wrong.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn file_name(path: &Path) -> crate::error::Name {
    crate::error::Name(path.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// Opens a regular file; anything else (a FIFO would wait for ever) is refused.
fn open_regular(path: &Path) -> Result<(File, u64), CheckpointError> {
    let failed = |source| CheckpointError::io("open", path, source);
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(CheckpointError::file(path, FileProblem::NotAFile));
    }
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    Ok((file, length))
}

/// Reads a text file of at most `limit` bytes.
fn read_text(path: &Path, limit: u64) -> Result<String, CheckpointError> {
    let (file, found) = open_regular(path)?;
    if found > limit {
        return Err(CheckpointError::file(path, FileProblem::TooLong { found, limit }));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(|source| CheckpointError::io("read", path, source))?;
    String::from_utf8(bytes).map_err(|_| CheckpointError::file(path, FileProblem::NotText))
}

/// The only safetensors file of a folder that has none of the usual names.
fn only_safetensors(folder: &Path) -> Result<String, CheckpointError> {
    let failed = |source| CheckpointError::io("read", folder, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    let (mut weights, others): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| name.ends_with(ENDING));
    match (weights.pop(), weights.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            weights.push(last);
            Err(CheckpointError::SeveralFiles { folder: folder.to_owned(), files: weights })
        }
        (None, _) => {
            let unread = [".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack"];
            let found = others.into_iter().filter(|name| unread.iter().any(|end| name.ends_with(end)));
            let (folder, found) = (folder.to_owned(), found.take(8).collect());
            Err(CheckpointError::MissingFile { folder, wanted: SINGLE, found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::Init;
    use half::{bf16, f16};
    use safetensors::tensor::TensorView;
    use safetensors::{Dtype, SafeTensors, serialize_to_file};

    /// More than one chunk, so that borders between chunks are read too.
    const LENGTH: usize = 70_001;

    fn numbers() -> Vec<f32> {
        (0..LENGTH).map(|at| (at as f32 - 300.0) / 64.0).collect()
    }

    fn folder(tensors: &[(&str, Dtype, Vec<u8>)]) -> tempfile::TempDir {
        let folder = tempfile::TempDir::new().unwrap();
        fs::write(folder.path().join(CONFIG), "{}").unwrap();
        let views = tensors.iter().map(|(name, dtype, bytes)| {
            let length = bytes.len() * 8 / dtype.bitsize();
            (*name, TensorView::new(*dtype, vec![length], bytes).unwrap())
        });
        serialize_to_file(views, None, &folder.path().join(SINGLE)).unwrap();
        folder
    }

    #[test]
    fn every_number_type_is_widened_exactly_and_hashed_as_stored() {
        let values = numbers();
        let full: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let half: Vec<u8> = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        let brain: Vec<u8> = values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect();
        let stored = [("a", Dtype::F32, full), ("b", Dtype::F16, half), ("c", Dtype::BF16, brain)];
        let folder = folder(&stored);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let rounds: [fn(f32) -> f32; 3] =
            [|value| value, |value| f16::from_f32(value).to_f32(), |value| bf16::from_f32(value).to_f32()];
        for ((name, _, bytes), round) in stored.iter().zip(rounds) {
            let tensor = checkpoint.get(name).unwrap();
            let (found, hash) = checkpoint.read(name, tensor).unwrap();
            assert_eq!(found, values.iter().map(|&value| round(value)).collect::<Vec<_>>(), "{name}");
            assert_eq!(hash, blake3::hash(bytes), "{name}");
            assert_eq!(hash, checkpoint.hash(name, tensor).unwrap());
        }
    }

    #[test]
    fn a_number_that_is_none_is_found_behind_a_chunk() {
        let mut values = numbers();
        values[LENGTH - 1] = f32::NAN;
        let folder =
            folder(&[("a", Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())]);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let error = checkpoint.hash("a", checkpoint.get("a").unwrap()).unwrap_err().to_string();
        assert!(error.contains("tensor \"a\": element 70000 is NaN"), "{error}");
    }

    #[test]
    fn integers_are_known_and_not_read_as_weights() {
        let folder = folder(&[("a", Dtype::I64, vec![0; 16])]);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let error = checkpoint.read("a", checkpoint.get("a").unwrap()).unwrap_err().to_string();
        assert!(error.contains("model.safetensors: tensor \"a\": has dtype I64"), "{error}");
    }

    /// A file cut after it was opened is an error of reading, not a signal.
    #[test]
    fn a_file_that_shrinks_is_an_error() {
        let folder = folder(&[("a", Dtype::F32, vec![0; 4 * LENGTH])]);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        fs::OpenOptions::new().write(true).open(folder.path().join(SINGLE)).unwrap().set_len(5_000).unwrap();
        let error = checkpoint.read("a", checkpoint.get("a").unwrap()).unwrap_err();
        assert!(matches!(error, CheckpointError::Io { action: "read", .. }), "{error}");
    }

    #[test]
    fn what_is_written_the_library_reads() {
        let planned = |name: &str, shape: &[usize], init| Planned {
            name: name.to_owned(),
            shape: shape.to_vec(),
            init,
        };
        let tensors = [
            planned("b.weight", &[3, 5], Init::Normal { deviation: 0.5 }),
            planned("a.bias", &[3], Init::List(vec![1.0, 2.0, 3.0])),
            planned("c", &[0], Init::Zeros),
        ];
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join(SINGLE);
        write_safetensors(&path, &tensors, 9).unwrap();
        let bytes = fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.len(), 3);
        for tensor in &tensors {
            let view = file.tensor(&tensor.name).unwrap();
            let values = tensor.init.values(9, &tensor.name, tensor.shape.iter().product());
            assert_eq!((view.dtype(), view.shape()), (Dtype::F32, &*tensor.shape));
            assert_eq!(view.data(), values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>());
        }
        assert_eq!(bytes.len() % 4, 0);
        let refused = write_safetensors(&folder.path().join("none/x"), &tensors, 9).unwrap_err();
        assert!(refused.to_string().contains("cannot write"), "{refused}");
    }
}
