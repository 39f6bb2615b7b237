//! A database whose structure is damaged gives way to a new one with the rows that can still be read.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::database::{self, Use, is_busy};
use super::super::error::CacheFault;
use super::super::files::{StateFiles, with_suffix};
use super::super::writer::insert;
use super::{Owned, check_file, scan};
use crate::atomic::hidden_file;

/// Moves the damaged file aside, copies its good rows into a new one, and gives that its name. Says where the damaged
/// file is now.
pub(super) fn move_aside(owned: Owned) -> Result<PathBuf, CacheFault> {
    let path = owned.path.clone();
    wants_no_other(&owned)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fresh = hidden_file(folder).map_err(CacheFault::io("create", &path))?.into_temp_path();
    fs::remove_file(&fresh).map_err(CacheFault::io("create", &path))?;
    database::create(&fresh)?;
    copy_good_rows(&owned, &fresh)?;
    let Owned { connection, _lock, .. } = owned;
    // It is damaged: closing it may fail, and changes nothing.
    let _ = connection.close();
    let aside = free_name(&path);
    fs::rename(&path, &aside).map_err(CacheFault::io("move aside", &path))?;
    for part in ["-wal", "-shm"] {
        // A log without its database would be taken for that of the new one.
        let _ = fs::rename(with_suffix(&path, part), with_suffix(&aside, part));
    }
    fresh.persist(&path).map_err(|refused| CacheFault::io("replace", &path)(refused.error))?;
    Ok(aside)
}

/// Refuses while a task has the cache open.
fn wants_no_other(owned: &Owned) -> Result<(), CacheFault> {
    if owned.copy.is_some() {
        return Ok(());
    }
    let connection = &owned.connection;
    let alone = connection
        .pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))
        .and_then(|()| connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK"));
    match alone {
        Err(error) if is_busy(&error) => Err(CacheFault::Locked { path: owned.path.clone(), seconds: 0 }),
        // Any other refusal is what is to be repaired.
        _ => Ok(()),
    }
}

fn copy_good_rows(owned: &Owned, fresh: &Path) -> Result<(), CacheFault> {
    let target = database::open(fresh, Use::Write)?;
    let begun = database::own(&target).and_then(|()| target.execute_batch("BEGIN IMMEDIATE"));
    begun.map_err(CacheFault::database("write", fresh))?;
    let files = StateFiles::beside(&owned.path);
    let take = |scanned: super::Scanned<'_>| {
        let Ok((columns, shape)) = scanned.entry else { return Ok(()) };
        if check_file(&files, &columns, shape).is_ok() {
            insert(&target, &columns).map_err(CacheFault::database("write", fresh))?;
        }
        Ok(())
    };
    // Reading ends where the damage is; what came before it is saved.
    match scan(&owned.connection, false, take, |error| CacheFault::database("read", &owned.path)(error)) {
        Err(CacheFault::Database { action: "read", .. }) | Ok(()) => {}
        Err(fault) => return Err(fault),
    }
    let done = target.execute_batch("COMMIT").and_then(|()| database::share(&target));
    done.map_err(CacheFault::database("write", fresh))?;
    target.close().map_err(|(_, error)| CacheFault::database("write", fresh)(error))
}

/// `<cache>.damaged-1`, or the first number that is free.
fn free_name(path: &Path) -> PathBuf {
    let mut names = (1_u64..).map(|number| with_suffix(path, &format!(".damaged-{number}")));
    // Some number is free.
    names.find(|name| fs::symlink_metadata(name).is_err()).unwrap_or_default()
}
