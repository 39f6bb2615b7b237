//! Models of a hub: their names, the store that keeps them, downloads that are checked, and locks that go on checking.
//!
//! | file | what it knows |
//! |---|---|
//! | `name` | `NAME`, `OWNER/REPO@REV` and the short names |
//! | `address`, `client` | endpoints, redirects, secrets, patience |
//! | `listing` | what a repository holds and what of it makes a model folder |
//! | `fetch`, `digest` | one file: continued where it broke off, compared with the hash that is declared |
//! | `pull` | the order of the work |
//! | `store`, `lock` | where models are, and what they must hold |
//!
//! A hub speaks as Hugging Face's does: `/api/models/<repo>/revision/<rev>` lists files with their hashes,
//! `/<repo>/resolve/<commit>/<file>` gives one. Nothing but `pliant model pull` ever asks a server.

mod address;
mod client;
mod digest;
mod error;
mod fetch;
mod listing;
mod lock;
mod name;
mod pull;
mod store;

use std::fs;
use std::path::{Path, PathBuf};

pub use address::DEFAULT_ENDPOINT;
pub use client::Access;
pub use error::HubError;
pub use lock::{LOCK_FILE, Lock, LockedFile};
pub use name::ModelName;
pub use pull::{Order, pull};
pub use store::{Kept, ModelStore};

/// The folder of a model that was named on the command line: a folder, else a name in the model store. No server is
/// asked.
///
/// # Errors
/// [`HubError::NotHere`] for a name that was not pulled, [`HubError::NoFolder`] for what is no name.
pub fn locate(model: &Path) -> Result<PathBuf, HubError> {
    // Whatever it is: opening it says what is wrong with it.
    if fs::symlink_metadata(model).is_ok() {
        return Ok(model.to_path_buf());
    }
    let typed = model.to_string_lossy();
    // What can only be a path is not looked up.
    if model.is_absolute() || typed.starts_with('.') || typed.ends_with('/') {
        return Ok(model.to_path_buf());
    }
    let name = ModelName::parse(&typed).map_err(|error| match error {
        HubError::Name { typed, reason } => HubError::NoFolder { typed, reason },
        error => error,
    })?;
    let kept = ModelStore::of_environment()?.find(&name)?;
    kept.map(|kept| kept.folder).ok_or(HubError::NotHere { typed: name.typed })
}

/// Compares the sizes of a model folder's files with its lock, where it has one.
///
/// # Errors
/// [`HubError::Changed`].
pub fn check_sizes(folder: &Path) -> Result<(), HubError> {
    Lock::read(folder)?.map_or(Ok(()), |lock| lock.check_sizes(folder))
}

/// Compares every byte of a model folder with its lock; gives the lock, where there is one.
///
/// # Errors
/// [`HubError::Changed`], naming every file that is not as it was.
pub fn check_bytes(folder: &Path) -> Result<Option<Lock>, HubError> {
    let lock = Lock::read(folder)?;
    lock.as_ref().map_or(Ok(()), |lock| lock.check_bytes(folder))?;
    Ok(lock)
}
