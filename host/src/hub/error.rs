//! What can go wrong between a name and a model folder.

use std::io;
use std::path::{Path, PathBuf};

use crate::exit::Code;

/// Why a model cannot be found, fetched or trusted. Addresses are given without what follows a `?`, which may be a
/// secret.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No model can have that name.
    #[error("{typed:?} is no name of a model: {reason}")]
    Name {
        /// As it was typed.
        typed: String,
        /// What was wanted.
        reason: String,
    },
    /// An address that is no endpoint of a hub.
    #[error("the endpoint {typed:?} cannot be used: {reason}")]
    Endpoint {
        /// As it was typed.
        typed: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something from the environment that cannot be used.
    #[error("{name} cannot be used: {reason}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such folder and the model store does not have it.
    #[error("there is no folder {typed}, and the model store has no such model")]
    NotHere {
        /// The model as it was typed.
        typed: String,
    },
    /// There is no such folder and no model can have that name.
    #[error("there is no folder {typed}")]
    NoFolder {
        /// The model as it was typed.
        typed: String,
        /// What a name would be.
        reason: String,
    },
    /// The server does not have it.
    #[error("the server has no {what} (404, {url})")]
    Absent {
        /// The model or the file.
        what: String,
        /// Where it was looked for.
        url: String,
    },
    /// The server does not give it to everybody.
    #[error("the server refuses {what} ({status}, {url})")]
    Refused {
        /// The model or the file.
        what: String,
        /// 401 or 403.
        status: u16,
        /// Where it was asked for.
        url: String,
        /// Whether a token was sent.
        token: bool,
        /// The page of the model, where terms are accepted.
        page: String,
    },
    /// An answer that another try would not change.
    #[error("{url}: {reason}")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The server cannot prove who it is.
    #[error("{url}: no safe connection: {reason}")]
    Tls {
        /// What was asked.
        url: String,
        /// What the library says.
        reason: String,
    },
    /// The network or the server failed until patience ended.
    #[error("{url}: {reason}; gave up after {}", counted(*.tries))]
    Network {
        /// What was asked.
        url: String,
        /// What happened last.
        reason: String,
        /// Tries without progress.
        tries: u32,
    },
    /// A file of another size than the server declares.
    #[error("{file}: the server sends {found} bytes, but declares {wanted}")]
    Size {
        /// The file.
        file: String,
        /// What came.
        found: String,
        /// What was declared.
        wanted: u64,
    },
    /// A file with another content than the server declares.
    #[error("{file}: found {kind} {found}, but the server declares {wanted}; the file was removed")]
    Hash {
        /// The file.
        file: String,
        /// Which hash.
        kind: &'static str,
        /// Of what came.
        found: String,
        /// What was declared.
        wanted: String,
    },
    /// The note that Git LFS keeps in the place of a large file.
    #[error("{file}: the server sends the Git-LFS pointer of the file and not the file itself")]
    Pointer {
        /// The file.
        file: String,
    },
    /// A repository without weights that can be used.
    #[error("{repo} has no weights as safetensors: found {}", found_or_none(.found))]
    NoWeights {
        /// The repository.
        repo: String,
        /// Weights of other kinds, or several safetensors files of which none is the model's for certain.
        found: Vec<String>,
        /// Whether PyTorch's files are among them.
        pytorch: bool,
    },
    /// The folder to make is in use.
    #[error("{} holds {holds}", .folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
        /// What is in it.
        holds: String,
    },
    /// The disk is too small.
    #[error("{needed_mib} MiB are needed in {}, and {free_mib} MiB are free", .folder.display())]
    Space {
        /// What is still to come, in MiB.
        needed_mib: u64,
        /// What is free, in MiB.
        free_mib: u64,
        /// Where.
        folder: PathBuf,
    },
    /// A lock that cannot be read.
    #[error("{}: {reason}", .path.display())]
    LockText {
        /// The lock.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder that is not what its lock says.
    #[error("{} is not as it was pulled", .folder.display())]
    Changed {
        /// The folder.
        folder: PathBuf,
        /// File by file, what was found and what was wanted.
        problems: Vec<String>,
    },
    /// The system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl HubError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    /// The exit code that it ends with; `None` where the cause decides.
    pub fn code(&self) -> Option<Code> {
        Some(match self {
            Self::Name { .. } | Self::Endpoint { .. } | Self::Variable { .. } => Code::Usage,
            Self::NotHere { .. } | Self::NoFolder { .. } | Self::Absent { .. } | Self::Refused { .. } => {
                Code::MissingInput
            }
            Self::Answer { .. }
            | Self::Size { .. }
            | Self::Hash { .. }
            | Self::Pointer { .. }
            | Self::NoWeights { .. }
            | Self::LockText { .. }
            | Self::Changed { .. } => Code::Data,
            Self::Network { .. } => Code::TryAgain,
            Self::Tls { .. } | Self::Occupied { .. } | Self::Space { .. } => Code::Io,
            Self::Io { .. } => return None,
        })
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotHere { typed } => format!(
                "fetch it with 'pliant model pull {typed}'; PLIANT_MODELS names the folder of the model store"
            ),
            Self::NoFolder { reason, .. } => format!("for the name of a model that was pulled, {reason}"),
            Self::Refused { token: false, page, .. } => {
                format!("it is private, gated or not there: accept its terms on {page} and set HF_TOKEN to a token of yours")
            }
            Self::Refused { token: true, page, .. } => {
                format!("the account of HF_TOKEN may not read it: accept its terms on {page}, or use another token")
            }
            Self::Network { .. } => {
                "run it again: what has come is kept, and the rest is asked for. HTTPS_PROXY names a proxy".to_owned()
            }
            Self::Tls { .. } => "SSL_CERT_FILE names a file with the certificates to trust".to_owned(),
            Self::Hash { .. } | Self::Size { .. } => {
                "run it again; where it stays so, the server is at fault: try another with --endpoint".to_owned()
            }
            Self::Pointer { .. } => {
                "the server holds a clone without its large files: try another with --endpoint, or run 'git lfs pull' there"
                    .to_owned()
            }
            Self::NoWeights { pytorch: true, .. } => {
                "fetch them with --pytorch --out DIR, and make a model folder of that with 'pliant model import'".to_owned()
            }
            Self::Occupied { .. } => "choose another folder with --out".to_owned(),
            Self::LockText { .. } | Self::Changed { .. } => {
                "pull the model again into another folder, or, where the change is meant, remove pliant.lock.json".to_owned()
            }
            _ => return None,
        })
    }

    /// Its parts, one line each.
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::Changed { problems, .. } => problems.clone(),
            _ => Vec::new(),
        }
    }
}

fn counted(tries: u32) -> String {
    if tries == 1 { "one try".to_owned() } else { format!("{tries} tries") }
}

fn found_or_none(found: &[String]) -> String {
    if found.is_empty() { "no weights at all".to_owned() } else { found.join(", ") }
}
