//! Encoders that users bring as ONNX files, as the engine asks them.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pliant_kernels::Device;
use pliant_models::{About, Cost, ModelError};
use pliant_nn::KeyReport;
use pliant_onnx::apart::{Kind, Reader, apart, serve};
use pliant_onnx::sidecar::{VocabularyName, VocabularyText};
use pliant_onnx::{Contents, Encoder, EncoderSidecar, Limits, ModelFile, OnnxError, Pooling, Rows, Wanted};
use pliant_seq::{Pack, TokenList, Vocabulary};
use pliant_tensor::Tensor;

use super::Head;
use super::family::{Card, named};
use crate::cli::embed::Pool;
use crate::exit::TaskError;
use crate::machine;

/// The suffix of ONNX files.
const SUFFIX: &str = "onnx";

/// What stands for the family of a model that is brought.
const FAMILY: &str = "onnx";

/// Is set for a process that tries a file out, which starts no other one.
const INNER: &str = "PLIANT_INNER";

/// The only layer: the states that its sidecar names.
const LAYER: usize = 1;

/// Tensors as wide as the states that a forward is estimated to hold at its peak.
const HELD: u64 = 24;

/// An encoder that is ready to run.
pub(super) struct Brought {
    encoder: Encoder,
}

/// The ONNX file that is named: by its suffix, or as the only one of a folder that is no model or head of another form.
pub fn onnx_file(named: &Path) -> Option<PathBuf> {
    if has_suffix(named) {
        return Some(named.to_owned());
    }
    if ["config.json", "head.json"].iter().any(|name| named.join(name).exists()) {
        return None;
    }
    let entries = fs::read_dir(named).ok()?;
    let mut files = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| has_suffix(path));
    let only = files.next()?;
    files.next().is_none().then_some(only)
}

fn has_suffix(path: &Path) -> bool {
    path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case(SUFFIX))
}

/// Refuses to train what is brought.
pub(super) fn refuse_brought(model: &Path) -> Result<(), TaskError> {
    if onnx_file(model).is_none() {
        return Ok(());
    }
    let what =
        format!("{} is an ONNX file: it computes and cannot be trained; leave it frozen", model.display());
    Err(TaskError::Usage { what })
}

/// The error of asking for more than it has.
pub(super) fn only_states(what: &str) -> TaskError {
    TaskError::Usage { what: format!("an ONNX file gives states, and perhaps logits; it tells {what}") }
}

/// The pooling of a sidecar.
pub fn pool(pooling: Pooling) -> Pool {
    match pooling {
        Pooling::Mean => Pool::Mean,
        Pooling::Cls => Pool::Cls,
        Pooling::Max => Pool::Max,
        Pooling::Sum => Pool::Sum,
    }
}

/// How large files and what is made of them may be: the defaults, and neither a result nor all that are held at once beyond
/// half of the memory there is.
pub fn limits() -> Limits {
    let defaults = Limits::default();
    let half = machine::memory_limit().map_or(u64::MAX, |limit| limit.bytes / 2);
    let (result, held) = (defaults.result_bytes.min(half), defaults.held_bytes.min(half));
    Limits { result_bytes: result, held_bytes: held, ..defaults }
}

/// Lets another process of this program read a file before this one does.
///
/// # Errors
/// A file with which it takes too much.
pub fn try_out(path: &Path, kind: Kind) -> Result<(), OnnxError> {
    let is_inner = env::var_os(INNER).is_some();
    let Some(program) = env::current_exe().ok().filter(|_| !is_inner) else { return Ok(()) };
    let arguments = ["model", "read", "--"].map(Into::into).to_vec();
    apart(&Reader { program, arguments, variable: INNER }, path, kind)
}

/// What that process does; `tell` writes to its standard output.
///
/// # Errors
/// What is wrong with the file.
pub fn read(path: &Path, kind: Kind, tell: impl FnMut(&str) -> io::Result<()>) -> Result<(), OnnxError> {
    serve(path, kind, &limits(), tell)
}

/// What a file and its sidecar say before the weights are read.
pub(super) fn card(path: &Path) -> anyhow::Result<Card> {
    let sidecar = EncoderSidecar::read(path)?;
    let file = ModelFile::open(path, Contents::Outline, &limits())?;
    let vocabulary = vocabulary(&sidecar)?;
    let states = &sidecar.states;
    let width = states.width.or_else(|| file.width_of(&states.output)).ok_or_else(|| OnnxError::Sidecar {
        path: pliant_onnx::sidecar::path_of(path),
        reason: format!("the file does not say how wide {:?} is: name it as states.width", states.output),
    })?;
    let bytes_per_token = HELD * (width * size_of::<f32>()) as u64;
    let about = About {
        family: FAMILY,
        config_summary: sidecar.canonical(),
        dtype: file.dtypes(),
        parameters: file.parameters(),
        stored_bytes: file.stored_bytes(),
        layers: LAYER,
        first_layer: LAYER,
        width,
        projection: None,
        training_length: sidecar.training_length,
        longest: sidecar.longest,
        cost: Cost {
            bytes_per_token,
            tile_bytes_per_token: 0,
            tile_tokens: 0,
            least_bytes_per_token: (width * size_of::<f32>()) as u64,
            flops_per_token: 2.0 * file.parameters() as f64,
            flops_per_pair: 4.0 * width as f64,
            // Records run one by one through such a file.
            pack_tokens: 4096,
        },
        vocabulary: vocabulary.identity,
        vocab_txt: None,
        report: KeyReport::default(),
        absent: Vec::new(),
    };
    Ok(Card {
        folder: path.to_owned(),
        about,
        vocabulary,
        adapter: None,
        sidecar: Some(Box::new(sidecar)),
        contact_head: None,
    })
}

fn vocabulary(sidecar: &EncoderSidecar) -> anyhow::Result<&'static Vocabulary> {
    match &sidecar.vocabulary {
        VocabularyName::Known(identity) => named(identity),
        VocabularyName::Brought(VocabularyText { tokens, start, end, unknown, mask, read_as, cls }) => {
            let read_as: BTreeMap<&str, &str> =
                read_as.iter().map(|(letter, other)| (letter.as_str(), other.as_str())).collect();
            let list = TokenList {
                tokens,
                start: start.as_deref(),
                end: end.as_deref(),
                unknown,
                mask: mask.as_deref(),
                read_as,
                cls: *cls,
            };
            Vocabulary::brought(&list).context("the vocabulary of the sidecar")
        }
    }
}

/// Reads every byte and gives the identity, in hex.
pub(super) fn verify(path: &Path) -> anyhow::Result<String> {
    let sidecar = EncoderSidecar::read(path)?;
    vocabulary(&sidecar)?;
    try_out(path, Kind::States)?;
    Ok(Encoder::open(path, &sidecar, Wanted::States, &limits())?.identity().to_owned())
}

impl Brought {
    /// Reads and prepares the file of `card` for what is asked.
    pub(super) fn load(card: &Card, sidecar: &EncoderSidecar, head: &Head) -> anyhow::Result<Self> {
        let wanted = match head {
            Head::States(layers) => match layers.iter().find(|layer| **layer != LAYER) {
                Some(&found) => return Err(ModelError::Layer { found, first: LAYER, last: LAYER }.into()),
                None => Wanted::States,
            },
            Head::LogProbs if sidecar.logits.is_none() => return Err(ModelError::NoHead.into()),
            Head::LogProbs => Wanted::Logits,
            Head::Projection => return Err(ModelError::NoProjection.into()),
            Head::Apart(_) => return Err(ModelError::NotApart.into()),
            Head::Contacts => return Err(only_states("no contacts").into()),
        };
        let kind = if wanted == Wanted::States { Kind::States } else { Kind::Logits };
        try_out(&card.folder, kind)?;
        Ok(Self { encoder: Encoder::open(&card.folder, sidecar, wanted, &limits())? })
    }

    /// What it is, in hex.
    pub(super) fn identity(&self) -> &str {
        self.encoder.identity()
    }

    /// Its rows `[T,C]` for the tokens of a pack: zeros for special tokens where it gives those of residues alone, the same
    /// row for all tokens of a protein where it gives one vector.
    pub(super) fn encode(
        &self,
        card: &Card,
        device: &Device,
        pack: &Pack,
        threads: usize,
    ) -> anyhow::Result<Tensor> {
        let records: Vec<&[u32]> = pack.offsets.windows(2).map(|ends| &pack.ids[ends[0]..ends[1]]).collect();
        let special = card.vocabulary.tokens_for(0);
        let rows = self.encoder.run(&records, special, threads)?;
        let width = rows.iter().zip(&records).find_map(|(rows, ids)| {
            let count = match self.encoder.rows() {
                Rows::Tokens => ids.len(),
                Rows::Residues => ids.len() - special,
                Rows::Protein => 1,
            };
            (count > 0).then(|| rows.len() / count)
        });
        let width = width.context("a pack without residues")?;
        let mut states = vec![0.0; pack.tokens() * width];
        for ((rows, ends), residues) in rows.iter().zip(pack.offsets.windows(2)).zip(&pack.residues) {
            match self.encoder.rows() {
                Rows::Tokens => states[ends[0] * width..ends[1] * width].copy_from_slice(rows),
                Rows::Residues => states[residues.start * width..residues.end * width].copy_from_slice(rows),
                Rows::Protein => {
                    states[ends[0] * width..ends[1] * width]
                        .chunks_exact_mut(width)
                        .for_each(|row| row.copy_from_slice(rows));
                }
            }
        }
        Ok(Tensor::from_f32(device, [pack.tokens(), width], &states)?)
    }
}
