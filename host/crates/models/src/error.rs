//! The one error type of this crate.

use std::io;
use std::path::PathBuf;

use pliant_kernels::KernelError;
use pliant_nn::CheckpointError;
use pliant_tensor::TensorError;

/// Names that an error lists before it says how many more there are.
const LISTED: usize = 5;

/// Why a model could not be read, made or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The files of the model.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A computation.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A device.
    #[error(transparent)]
    Device(#[from] KernelError),
    /// A config that is no JSON object.
    #[error("{}: {reason}", path.display())]
    ConfigText {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A key of the config that cannot be used.
    #[error("{}: \"{key}\" is {found}, wanted {wanted}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The key, after a dot where it stands in an object of its own.
        key: String,
        /// Its value, shortened.
        found: String,
        /// What works.
        wanted: String,
    },
    /// Tensors that are missing, or that nobody knows.
    #[error("the weights in {} are not those of its config.json or its own settings: {}{}", folder.display(),
        listed("missing", missing), listed("unexpected", unexpected))]
    Keys {
        /// The model folder.
        folder: PathBuf,
        /// Canonical names that are not there.
        missing: Vec<String>,
        /// Stored names that the family does not know.
        unexpected: Vec<String>,
    },
    /// A tensor that the config says is another one, and that is not.
    #[error("{}: {second} differs from {first}, but \"{key}\" says they are one: {advice}", folder.display())]
    Untied {
        /// The model folder.
        folder: PathBuf,
        /// Name of the first in the file.
        first: String,
        /// Name of the second in the file.
        second: String,
        /// The key of the config.
        key: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// A file of weights that is none of fair-esm's ESM-2.
    #[error(
        "{} holds no ESM-2 as fair-esm publishes it: found no {missing}; for weights of Hugging Face name the \
         folder with their config.json", path.display()
    )]
    NotFairEsm {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        missing: &'static str,
    },
    /// A file of a contact head for a model that comes with its own.
    #[error(
        "the contact regression {} goes with a file of fair-esm, but {} is a folder, which has its contact head \
         among its weights", found.display(), source_path.display()
    )]
    NoRegression {
        /// The model.
        source_path: PathBuf,
        /// The file of the contact head.
        found: PathBuf,
    },
    /// A model that another program would compute in another way.
    #[error("{} cannot be exported: {reason}", path.display())]
    NotExportable {
        /// The model.
        path: PathBuf,
        /// What the other program does not have.
        reason: &'static str,
    },
    /// A layer that the model does not have.
    #[error("layer {found} was asked for, the model gives the states of layers {first} to {last}")]
    Layer {
        /// The layer asked for.
        found: usize,
        /// The first one.
        first: usize,
        /// The last one.
        last: usize,
    },
    /// Logits were asked of a model without a language-model head.
    #[error("this checkpoint has no language-model head (lm_head.*), so it gives no logits")]
    NoHead,
    /// Contacts were asked of a model without the regression that tells them.
    #[error(
        "this checkpoint has no contact head (esm.contact_head.regression), so it tells no contacts: \
         'pliant model import MODEL.pt --contact-regression FILE.pt --out FOLDER' makes a model with the one that \
         fair-esm publishes beside its weights"
    )]
    NoContactHead,
    /// Contacts were asked of a family that has no attention to tell them from.
    #[error("a model of the family {family} tells no contacts: they come from the attention of ESM-2")]
    NoContacts {
        /// The family.
        family: &'static str,
    },
    /// Something was asked of pairs of a model that compares none.
    #[error(
        "this model has no head for pairs of proteins, so it cannot tell whether they are of one family: PLUS-RNN and \
         PLUS-TFM can"
    )]
    NoPairs,
    /// A model was to tell each residue from its neighbours, and sees the residue.
    #[error(
        "the states of this model see the very residue that they are to tell, so nothing would be learnt: hide residues \
         (mlm), or take the language model of P-ELMo"
    )]
    SeesItself,
    /// The last layers of a model were to be trained, and no parameter belongs to them.
    #[error("this model has no parameters in its last {found} layers that could be trained alone")]
    NoTop {
        /// The number of layers asked for.
        found: usize,
    },
    /// An adapter that is not there.
    #[error("{} is not there: an adapter is a folder with adapter_config.json", path.display())]
    NoAdapter {
        /// The folder.
        path: PathBuf,
    },
    /// A projection was asked of a model without one.
    #[error("this model has no projection z of its states: PLUS-RNN and P-ELMo have one")]
    NoProjection,
    /// States with first tokens apart were asked of a family without them.
    #[error(
        "only a model of the family esm2 computes the state of its first token as the published code of interactions does \
         (cls-apart, the pooling \"published\")"
    )]
    NotApart,
    /// States of a layer of a model that does not go on from them.
    #[error("a model of this family does not go on from the states of a layer")]
    NoContinuation,
    /// An adapter that cannot be used as it is.
    #[error("{}: {problem}", path.display())]
    Adapter {
        /// Its folder, or the file of it that is meant.
        path: PathBuf,
        /// What was found, what was wanted, and what to do.
        problem: String,
    },
    /// Parameters that there are not.
    #[error(
        "no parameter of the model has {found:?} in its name: wanted whole words of names with dots between, as in {example:?}"
    )]
    NoParameters {
        /// What was asked for.
        found: String,
        /// A name.
        example: String,
    },
    /// Matrices beside which nothing of low rank can stand.
    #[error("a model of the family {family} has no matrices {found:?} to adapt, wanted some of: {wanted}")]
    NoMatrices {
        /// The family.
        family: &'static str,
        /// What was asked for.
        found: String,
        /// The words that it knows.
        wanted: String,
    },
    /// A chain that has more tokens than there are places.
    #[error(
        "a chain of {found} tokens was to be computed, but the model has {limit} places, two of which are for the ends: \
         proteins of at most {} residues", limit.saturating_sub(2)
    )]
    TooLong {
        /// Tokens of the chain.
        found: usize,
        /// Rows of the table of places.
        limit: usize,
    },
    /// A file that holds the head of a task and no encoder.
    #[error(
        "{} holds {what} alone, which PLUS saves beside its encoder, and no encoder: import the file of the encoder, and \
         train a head for it with 'pliant finetune'", path.display()
    )]
    HeadAlone {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A file of weights whose sizes stand in a file of its own.
    #[error(
        "{} holds {family}, whose sizes stand in the authors' file of the model: name it with 'pliant model import {} \
         --config MODEL.json --out FOLDER'", path.display(), path.display()
    )]
    WantsConfig {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        family: &'static str,
    },
    /// P-ELMo without its language model, or a language model for something else.
    #[error("{}: {problem}", path.display())]
    LanguageModel {
        /// The file of the model.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// A configuration for a folder that has one.
    #[error("{} is a folder with a config.json of its own: a configuration goes with a file of weights", path.display())]
    ConfigOfFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A head with sizes that cannot be.
    #[error("a head cannot have \"{what}\" {found}, wanted {wanted}")]
    Head {
        /// The key.
        what: &'static str,
        /// Its value.
        found: String,
        /// What works.
        wanted: &'static str,
    },
    /// A folder for a new model that holds something already.
    #[error("{} exists and is not empty: name a new folder", folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// The system refused to write a new model.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn listed(what: &str, names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown: Vec<String> =
        names.iter().take(LISTED).map(|name| pliant_nn::Name(name.clone()).to_string()).collect();
    let more = names.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{what} {}{more}. ", shown.join(", "))
}
