//! Model folders as the host sees them: what they say, and what comes of loading them.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pliant_kernels::{KernelError, Precision};
use pliant_models::{About, Beside, ModelError, NewModel, Transfer, composition};
use pliant_nn::CheckpointError;
use pliant_onnx::{EncoderSidecar, OnnxError, Rows};
use pliant_seq::{VOCABULARIES, Vocabulary};

use super::brought::{self, onnx_file};
use super::{CardAdapter, Head};
use crate::cli::embed::Pool;
use crate::exit::{Code, TaskError};
use crate::hub;

/// What a model folder says of its model before the weights are read.
#[derive(Debug, Clone)]
pub struct Card {
    /// The folder.
    pub folder: PathBuf,
    /// What its configuration and its headers say.
    pub about: About,
    /// How residues become tokens.
    pub vocabulary: &'static Vocabulary,
    /// What is added to its weights.
    pub adapter: Option<CardAdapter>,
    /// The sidecar of an ONNX file, where the model is one.
    pub sidecar: Option<Box<EncoderSidecar>>,
    /// The file of a head that tells its contacts, in the place of its own.
    pub contact_head: Option<PathBuf>,
}

/// Reads the configuration of a model and the headers of its weights. The model is a folder, or the name of one that
/// was pulled, or an ONNX file with its sidecar, or a folder with one; `composition` is the yardstick that lies in no folder.
///
/// # Errors
/// A model that is missing or damaged or is not as it was pulled, and a vocabulary that is not the model's.
pub fn card(model: &Path) -> anyhow::Result<Card> {
    if model == Path::new(composition::NAME) && !model.exists() {
        let about = pliant_models::about_composition()?;
        let vocabulary = vocabulary(&about)?;
        return Ok(Card {
            folder: model.to_owned(),
            about,
            vocabulary,
            adapter: None,
            sidecar: None,
            contact_head: None,
        });
    }
    if let Some(file) = onnx_file(model) {
        return brought::card(&file).with_context(|| format!("the model {} cannot be used", file.display()));
    }
    let folder = hub::locate(model)?;
    let unusable = || format!("the model {} cannot be used", folder.display());
    hub::check_sizes(&folder).with_context(unusable)?;
    let about = pliant_models::inspect(&folder).with_context(unusable)?;
    let vocabulary = vocabulary(&about).with_context(unusable)?;
    Ok(Card { folder, about, vocabulary, adapter: None, sidecar: None, contact_head: None })
}

/// The vocabulary that a model names, once the folder's own list of it is known to be the same.
pub(super) fn vocabulary(about: &About) -> anyhow::Result<&'static Vocabulary> {
    let vocabulary = named(about.vocabulary)?;
    if let Some(text) = &about.vocab_txt {
        vocabulary.check(text).context("vocab.txt")?;
    }
    Ok(vocabulary)
}

/// The vocabulary of that identity.
pub(super) fn named(identity: &str) -> anyhow::Result<&'static Vocabulary> {
    let found = VOCABULARIES.into_iter().find(|vocabulary| vocabulary.identity == identity);
    found.with_context(|| format!("unknown vocabulary {identity}"))
}

impl Card {
    /// Numbers that a pair of residues takes while a head in a file of its own makes its map.
    pub fn numbers_of_a_pair(&self) -> u64 {
        let width = self.about.projection.filter(|_| self.contact_head.is_some());
        width.map_or(0, super::maps::Maps::numbers_of_a_pair)
    }

    /// The layers that `asked` names: numbers from 0, or from the end where they are negative.
    ///
    /// # Errors
    /// A layer that the model does not have, and one that is named twice.
    pub fn layers_asked(&self, asked: &[i64]) -> Result<Vec<usize>, TaskError> {
        let (first, last) = (self.about.first_layer, self.about.layers);
        let mut layers = Vec::with_capacity(asked.len());
        for &number in asked {
            let from_start = if number < 0 { number.saturating_add(last as i64 + 1) } else { number };
            let layer = usize::try_from(from_start).ok().filter(|layer| (first..=last).contains(layer));
            let layer = layer.ok_or_else(|| TaskError::Usage {
                what: format!(
                    "--layer {number}: the model has layers {first}{} to {last}, or -{} to -1 from the end",
                    if first == 0 { " (embedding)" } else { "" },
                    last + 1 - first
                ),
            })?;
            if layers.contains(&layer) {
                let what = format!("--layer {number}: layer {layer} is named twice");
                return Err(TaskError::Usage { what });
            }
            layers.push(layer);
        }
        Ok(layers)
    }

    /// Whether the model makes one vector of a protein by itself.
    pub fn pools_itself(&self) -> bool {
        self.sidecar.as_ref().is_some_and(|sidecar| sidecar.states.rows == Rows::Protein)
    }

    /// How states become one vector where nobody says otherwise, if the model says it.
    pub fn pool(&self) -> Option<Pool> {
        self.sidecar.as_ref().map(|sidecar| brought::pool(sidecar.states.pooling))
    }

    /// W, numbers of a row that `head` makes.
    pub fn row_width(&self, head: &Head) -> usize {
        match head {
            Head::States(_) | Head::Apart(_) => self.about.width,
            Head::Projection => self.about.projection.unwrap_or_default(),
            Head::LogProbs => self.vocabulary.told,
            Head::Contacts => 1,
        }
    }

    /// The layers that rows of `head` come from, counted from 0, the embedding.
    pub fn row_layers(&self, head: &Head) -> Vec<usize> {
        match head {
            Head::States(layers) | Head::Apart(layers) => layers.clone(),
            Head::Projection | Head::LogProbs | Head::Contacts => vec![self.about.layers],
        }
    }

    /// Bytes of the weights in memory: their number alone, tables that are kept in f32 in bf16 runs left out.
    pub fn weight_bytes(&self, precision: Precision) -> u64 {
        self.about.parameters * number_bytes(precision)
    }

    /// Bytes that a forward over `tokens` holds at its peak.
    pub fn pack_bytes(&self, tokens: usize) -> u64 {
        self.about.cost.pack_bytes(tokens)
    }

    /// Bytes without which no forward over `tokens` can be.
    pub fn least_pack_bytes(&self, tokens: usize) -> u64 {
        tokens as u64 * self.about.cost.least_bytes_per_token
    }

    /// Operations of a forward over `tokens` in sequences whose squared lengths sum to `squares`.
    pub fn flops(&self, tokens: f64, squares: f64) -> f64 {
        let cost = &self.about.cost;
        cost.flops_per_token * tokens + cost.flops_per_pair * squares
    }
}

fn number_bytes(precision: Precision) -> u64 {
    match precision {
        Precision::F32 => 4,
        Precision::Bf16 => 2,
        Precision::Int8 => 1,
    }
}

/// Reads every byte of a model folder, keeps nothing, and gives its identity in hex.
///
/// # Errors
/// A folder that is missing, damaged, or holds another model than its configuration says.
pub fn verify(folder: &Path) -> anyhow::Result<String> {
    let unusable = || format!("the model {} cannot be used", folder.display());
    if let Some(file) = onnx_file(folder) {
        return brought::verify(&file).with_context(unusable);
    }
    let (identity, about) = pliant_models::verify(folder).with_context(unusable)?;
    vocabulary(&about).with_context(unusable)?;
    Ok(identity)
}

/// Makes a model folder with random weights after the configuration in `config`.
///
/// # Errors
/// A configuration that is missing or does not fit, and a folder that cannot be made.
pub fn new_folder(config: &Path, seed: u64, out: &Path) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(config).with_context(|| format!("cannot read {}", config.display()))?;
    let vocabulary = named(pliant_models::vocabulary_of(&text, config)?)?.text();
    let new = NewModel { config: &text, config_path: config, seed, vocabulary: &vocabulary, out };
    Ok(pliant_models::new_folder(&new)?)
}

/// Copies a model of any form that is read into the model folder `out`. Gives its identity and what it holds; the names
/// in the report are the source's.
///
/// # Errors
/// A source that is missing or damaged, and a folder that cannot be made.
pub fn import(source: &Path, beside: &Beside<'_>, out: &Path) -> anyhow::Result<(String, Card)> {
    let unusable = || format!("the model {} cannot be imported", source.display());
    let text = source_vocabulary(source, beside).with_context(unusable)?.text();
    let transfer = Transfer { source, beside: *beside, vocabulary: &text, out };
    let (identity, about) = pliant_models::import(&transfer).with_context(unusable)?;
    let vocabulary = vocabulary(&about).with_context(unusable)?;
    Ok((
        identity,
        Card {
            folder: out.to_path_buf(),
            about,
            vocabulary,
            adapter: None,
            sidecar: None,
            contact_head: None,
        },
    ))
}

/// The form in which a model leaves for another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// That of Hugging Face transformers.
    HuggingFace,
    /// That of the authors of PLUS.
    Plus,
}

/// Copies a model of any form that is read into the folder `out` for another program, and gives its identity.
///
/// # Errors
/// As [`import`], and a model that the other program does not know.
pub fn export(source: &Path, form: Export, out: &Path) -> anyhow::Result<String> {
    let unusable = || format!("the model {} cannot be exported", source.display());
    let text = source_vocabulary(source, &Beside::default()).with_context(unusable)?.text();
    let transfer = Transfer { source, beside: Beside::default(), vocabulary: &text, out };
    let exported = match form {
        Export::HuggingFace => pliant_models::export_hugging_face(&transfer),
        Export::Plus => pliant_models::export_plus(&transfer),
    };
    Ok(exported.with_context(unusable)?.0)
}

/// The vocabulary of a source. One with another list of tokens is refused before anything is written.
fn source_vocabulary(source: &Path, beside: &Beside<'_>) -> anyhow::Result<&'static Vocabulary> {
    vocabulary(&pliant_models::inspect_with(source, beside)?)
}

/// The exit code of errors of the rooms below, where no cause of theirs has one.
pub(super) fn error_code(cause: &(dyn StdError + 'static)) -> Option<Code> {
    if let Some(error) = cause.downcast_ref::<CheckpointError>() {
        return Some(checkpoint_code(error));
    }
    if let Some(error) = cause.downcast_ref::<OnnxError>() {
        return Some(match error {
            OnnxError::NoSidecar { .. } => Code::MissingInput,
            OnnxError::Environment { .. } => Code::Usage,
            _ => Code::Data,
        });
    }
    Some(match cause.downcast_ref::<ModelError>()? {
        ModelError::Checkpoint(error) => checkpoint_code(error),
        ModelError::ConfigText { .. }
        | ModelError::Config { .. }
        | ModelError::Keys { .. }
        | ModelError::Untied { .. }
        | ModelError::NotFairEsm { .. }
        | ModelError::NotExportable { .. }
        | ModelError::NoHead
        | ModelError::NoContactHead
        | ModelError::NoPairs
        | ModelError::SeesItself
        | ModelError::NoTop { .. }
        | ModelError::NoContacts { .. }
        | ModelError::NoProjection
        | ModelError::NotApart
        | ModelError::TooLong { .. }
        | ModelError::Head { .. }
        | ModelError::Adapter { .. }
        | ModelError::HeadAlone { .. } => Code::Data,
        ModelError::WantsConfig { .. }
        | ModelError::LanguageModel { .. }
        | ModelError::NoMatrices { .. }
        | ModelError::NoParameters { .. }
        | ModelError::ConfigOfFolder { .. } => Code::Usage,
        ModelError::NoAdapter { .. } => Code::MissingInput,
        ModelError::Device(KernelError::Device { .. }) => Code::Device,
        ModelError::Layer { .. } | ModelError::NoRegression { .. } => Code::Usage,
        ModelError::NotEmpty { .. } | ModelError::Io { .. } => Code::Io,
        ModelError::Device(_) | ModelError::Tensor(_) | ModelError::NoContinuation => Code::Internal,
    })
}

fn checkpoint_code(error: &CheckpointError) -> Code {
    match error {
        CheckpointError::NotAFolder { .. } | CheckpointError::MissingFile { .. } => Code::MissingInput,
        CheckpointError::Io { .. } => Code::Io,
        CheckpointError::Parameter { .. } => Code::Internal,
        CheckpointError::SeveralFiles { .. }
        | CheckpointError::File { .. }
        | CheckpointError::Tensor { .. }
        | CheckpointError::MissingTensor { .. } => Code::Data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pliant_models::Cost;
    use pliant_seq::ESM2;

    fn card(layers: usize) -> Card {
        let cost = Cost {
            bytes_per_token: 360,
            tile_bytes_per_token: 0,
            tile_tokens: 0,
            least_bytes_per_token: 80,
            pack_tokens: 4096,
            flops_per_token: 2000.0,
            flops_per_pair: 240.0,
        };
        let about = About {
            family: "esm2",
            config_summary: "{}".to_owned(),
            dtype: "F32".to_owned(),
            parameters: 1000,
            stored_bytes: 4000,
            layers,
            first_layer: 0,
            width: 10,
            projection: None,
            training_length: Some(1022),
            longest: None,
            cost,
            vocabulary: ESM2.identity,
            vocab_txt: None,
            report: pliant_nn::KeyReport::default(),
            absent: Vec::new(),
        };
        Card {
            folder: PathBuf::from("m"),
            about,
            vocabulary: &ESM2,
            adapter: None,
            sidecar: None,
            contact_head: None,
        }
    }

    #[test]
    fn layers_count_from_both_ends() {
        assert_eq!(card(6).layers_asked(&[-1, 0, -7 + 1, 3]).unwrap(), [6, 0, 1, 3]);
        for wrong in [&[7][..], &[-8], &[i64::MIN], &[i64::MAX], &[6, -1]] {
            assert!(matches!(card(6).layers_asked(wrong), Err(TaskError::Usage { .. })), "{wrong:?}");
        }
        let mut narrow = card(3);
        narrow.about.first_layer = 1;
        assert_eq!(narrow.layers_asked(&[1, -1]).unwrap(), [1, 3]);
        for wrong in [0, -4] {
            let refused = narrow.layers_asked(&[wrong]).unwrap_err().to_string();
            assert!(refused.contains("layers 1 to 3, or -3 to -1"), "{refused}");
        }
    }

    #[test]
    fn a_vocabulary_file_that_differs_is_refused() {
        let mut card = card(1);
        card.about.vocab_txt = Some(ESM2.tokens.join("\n"));
        assert!(vocabulary(&card.about).is_ok());
        card.about.vocab_txt = Some("<cls>\n<pad>\nA\n".to_owned());
        assert!(vocabulary(&card.about).is_err());
        card.about.vocab_txt = None;
        card.about.vocabulary = "plus-21/1";
        assert!(vocabulary(&card.about).is_err());
    }
}
