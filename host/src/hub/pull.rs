//! A model from a hub to a folder, whole or not at all.

use std::path::{Path, PathBuf};

use crate::cli::print::Printer;
use crate::hub::HubError;
use crate::hub::client::{Access, Asked, Client};
use crate::hub::fetch::fetch;
use crate::hub::listing::{Listing, Wanted, file_path, shards};
use crate::hub::lock::Lock;
use crate::hub::name::{ModelName, is_commit};
use crate::hub::store::{Kept, ModelStore, Staging};

/// What to fetch, and where to.
pub struct Order {
    /// The model.
    pub name: ModelName,
    /// How its hub is spoken to.
    pub access: Access,
    /// The folder to make, in the place of the model store.
    pub out: Option<PathBuf>,
    /// Whether the hub is asked what the revision means now, though the model is there.
    pub update: bool,
    /// Whether PyTorch's weights are taken where there are no safetensors.
    pub pytorch: bool,
}

/// Where the model goes.
enum Place {
    Store(ModelStore),
    Folder(PathBuf),
}

/// Fetches a model, unless it is there; gives its folder and whether something was fetched.
///
/// # Errors
/// Whatever keeps it from being there whole. What has come is kept for the next try.
pub fn pull(order: &Order, print: &Printer) -> anyhow::Result<(Kept, bool)> {
    let name = &order.name;
    let place = match &order.out {
        Some(folder) => Place::Folder(folder.clone()),
        None => Place::Store(ModelStore::of_environment()?),
    };
    if let Some(kept) = place.there(name)?.filter(|_| !order.update) {
        return Ok((kept, false));
    }
    let client = Client::new(&order.access)?;
    let staging = Staging::enter(place.staging(name)?, print)?;
    if let Some(kept) = place.there(name)?.filter(|_| !order.update) {
        return Ok((kept, false));
    }
    let listing = Listing::ask(&client, name)?;
    if let Some(kept) = place.at(name, &listing.commit)? {
        place.remember(name, &listing.commit)?;
        return Ok((kept, false));
    }
    let target = place.target(name, &listing.commit);
    let lock = fetch_all(&client, order, &listing, &staging, print)?;
    lock.write(staging.folder())?;
    staging.publish(&lock, &target)?;
    place.remember(name, &listing.commit)?;
    Ok((Kept { folder: target, lock }, true))
}

/// Fetches every file of the model into the folder that becomes its own.
fn fetch_all(
    client: &Client,
    order: &Order,
    listing: &Listing,
    staging: &Staging,
    print: &Printer,
) -> Result<Lock, HubError> {
    let (repo, folder) = (order.name.repo.as_str(), staging.folder());
    let chosen = listing.choose(repo, order.pytorch)?;
    let mut lock = Lock::new(client.endpoint(), repo, &listing.commit, listing.licence.clone());
    let mut get = |wanted: &Wanted, moved: &mut dyn FnMut(u64)| -> Result<(), HubError> {
        let what = Asked { repo, revision: &listing.commit, file: Some(&wanted.name) };
        let address = file_path(repo, &listing.commit, &wanted.name);
        let file = fetch(client, (&address, &what), wanted, folder, moved)?;
        lock.files.insert(wanted.name.clone(), file);
        Ok(())
    };
    let mut names = chosen.names;
    if let Some(index) = &chosen.index {
        get(&listing.want(client, repo, index)?, &mut |_| {})?;
        names.retain(|name| name != index);
        names.extend(shards(&folder.join(index))?);
    }
    let wanted = names.iter().map(|name| listing.want(client, repo, name)).collect::<Result<Vec<_>, _>>()?;
    let bytes = wanted.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size));
    has_room(folder, bytes)?;
    let licence = listing.licence.as_deref().unwrap_or("none is named");
    let (files, commit) = (wanted.len(), &listing.commit);
    print.note(&format!("{repo} at {commit}: {files} files, {bytes} bytes, licence: {licence}"));
    let progress = print.progress(bytes, "bytes");
    for file in &wanted {
        get(file, &mut |more| progress.advance(more))?;
    }
    Ok(lock)
}

/// Refuses a download that the disk cannot hold; what an earlier try left of it counts as room.
fn has_room(folder: &Path, bytes: u64) -> Result<(), HubError> {
    let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let failed = |source| HubError::io("read", folder, source);
    let mut free = disk.f_bavail.saturating_mul(disk.f_frsize);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        free = free.saturating_add(entry.and_then(|entry| entry.metadata()).map_err(failed)?.len());
    }
    if free >= bytes {
        return Ok(());
    }
    let (needed_mib, free_mib) = (bytes.div_ceil(1 << 20), free >> 20);
    Err(HubError::Space { needed_mib, free_mib, folder: folder.to_path_buf() })
}

impl Place {
    /// The model, where it is there; a folder with something else in it is refused.
    fn there(&self, name: &ModelName) -> Result<Option<Kept>, HubError> {
        match self {
            Self::Store(store) => store.find(name),
            Self::Folder(folder) => in_folder(folder, name),
        }
    }

    /// The model at one commit, where it is there.
    fn at(&self, name: &ModelName, commit: &str) -> Result<Option<Kept>, HubError> {
        match self {
            Self::Store(store) => store.kept(name, commit),
            Self::Folder(folder) => match in_folder(folder, name)? {
                Some(kept) if kept.lock.revision != commit => Err(HubError::Occupied {
                    folder: folder.clone(),
                    holds: format!("{} at {}, and now {commit} is wanted", name.repo, kept.lock.revision),
                }),
                kept => Ok(kept),
            },
        }
    }

    fn target(&self, name: &ModelName, commit: &str) -> PathBuf {
        match self {
            Self::Store(store) => store.folder(name, commit),
            Self::Folder(folder) => folder.clone(),
        }
    }

    /// Beside the later folder, so that a rename makes it.
    fn staging(&self, name: &ModelName) -> Result<PathBuf, HubError> {
        match self {
            Self::Store(store) => Ok(store.staging(name)),
            Self::Folder(folder) => {
                let last = folder.file_name().ok_or_else(|| HubError::Occupied {
                    folder: folder.clone(),
                    holds: "no name of a folder to make".to_owned(),
                })?;
                Ok(folder.with_file_name(format!(".{}.partial", last.to_string_lossy())))
            }
        }
    }

    fn remember(&self, name: &ModelName, commit: &str) -> anyhow::Result<()> {
        match self {
            Self::Store(store) => store.remember(name, commit),
            Self::Folder(_) => Ok(()),
        }
    }
}

/// The model in a folder of the user's choice; `None` for one that can be made.
fn in_folder(folder: &Path, name: &ModelName) -> Result<Option<Kept>, HubError> {
    let occupied = |holds: String| HubError::Occupied { folder: folder.to_path_buf(), holds };
    match Lock::read(folder)? {
        Some(lock) if lock.repo != name.repo => Err(occupied(format!("the model {}", lock.repo))),
        Some(lock) if is_commit(&name.revision) && lock.revision != name.revision => {
            Err(occupied(format!("{} at {}", lock.repo, lock.revision)))
        }
        Some(lock) => Ok(Some(Kept { folder: folder.to_path_buf(), lock })),
        None => match std::fs::read_dir(folder) {
            Ok(mut entries) => match entries.next() {
                None => Ok(None),
                Some(_) => Err(occupied("something that was not pulled".to_owned())),
            },
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(HubError::io("read", folder, cause)),
        },
    }
}
