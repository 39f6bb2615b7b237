//! Checking every row and every file of states, and mending what is damaged.

use rusqlite::Connection;

use super::super::database;
use super::super::error::{CacheFault, Damage};
use super::super::files::StateFiles;
use super::super::key::Key;
use super::{CacheOptions, Owned, check_file, salvage, scan};

/// Complaints of SQLite that are kept.
const COMPLAINTS: usize = 100;

/// An entry that is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadEntry {
    /// Number of the row in its table.
    pub row: i64,
    /// Its key, where that could be read.
    pub key: Option<Key>,
    /// How it is damaged.
    pub damage: Damage,
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Entries that were read to their last byte.
    pub entries: u64,
    /// Those that are damaged.
    pub bad: Vec<BadEntry>,
    /// What SQLite says of the structure of the file, if it is damaged.
    pub structure: Vec<String>,
    /// Whether what is damaged has been removed.
    pub repaired: bool,
    /// Where the damaged file went, if all good rows had to move to a new one.
    pub moved_to: Option<std::path::PathBuf>,
}

impl Checked {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.bad.is_empty() && self.structure.is_empty()
    }
}

/// Reads every byte of a cache, and changes none.
///
/// # Errors
/// A cache that is missing, no cache, or cannot be opened. What is damaged in it is no error here.
pub fn verify(options: &CacheOptions) -> Result<Checked, CacheFault> {
    let connection = database::look(&options.path, options.sharing)?;
    Ok(check(&connection, &StateFiles::beside(&options.path)))
}

/// Reads every byte of a cache and removes what is damaged. Where the structure of the file is damaged, it moves
/// aside, and what can be read of it goes to a new one.
///
/// # Errors
/// As [`verify`]; also when the cache is in use by a task, another owner, or cannot be written.
pub fn repair(options: &CacheOptions) -> Result<Checked, CacheFault> {
    let owned = Owned::open(options, false)?;
    let mut found = check(&owned.connection, &owned.files);
    if found.is_sound() {
        return Ok(found);
    }
    if found.structure.is_empty() {
        remove(&owned, &found.bad)?;
        // A deletion can show that an index does not fit its table.
        found.structure = complaints(&owned.connection);
    }
    if found.structure.is_empty() {
        owned.publish()?;
    } else {
        found.moved_to = Some(salvage::move_aside(owned)?);
    }
    found.repaired = true;
    Ok(found)
}

fn check(connection: &Connection, files: &StateFiles) -> Checked {
    let mut found = Checked { structure: complaints(connection), ..Checked::default() };
    let mut bad = Vec::new();
    let look = |scanned: super::Scanned<'_>| {
        found.entries += 1;
        let key = scanned.entry.as_ref().ok().map(|(columns, _)| columns.key);
        let checked = scanned.entry.and_then(|(columns, shape)| check_file(files, &columns, shape));
        if let Err(damage) = checked {
            bad.push(BadEntry { row: scanned.rowid, key, damage });
        }
        Ok(())
    };
    let nowhere = std::path::Path::new("");
    let scanned = scan(connection, false, look, |error| CacheFault::database("read", nowhere)(error));
    found.bad = bad;
    if let Err(CacheFault::Database { source, .. }) = scanned {
        found.structure.push(source.to_string());
    }
    found
}

/// What SQLite finds wrong with the structure of a file.
fn complaints(connection: &Connection) -> Vec<String> {
    let ask = || {
        let mut statement = connection.prepare(&format!("PRAGMA integrity_check({COMPLAINTS})"))?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
        lines.collect::<Result<Vec<String>, _>>()
    };
    match ask() {
        Ok(lines) => lines.into_iter().filter(|line| line != "ok").collect(),
        Err(error) => vec![error.to_string()],
    }
}

fn remove(owned: &Owned, bad: &[BadEntry]) -> Result<(), CacheFault> {
    let work = || {
        owned.connection.execute_batch("BEGIN IMMEDIATE")?;
        for entry in bad {
            let data = "SELECT data FROM entry WHERE rowid = ?1 AND kind = 2 AND length(data) = 32";
            let named = owned.connection.query_row(data, [entry.row], |row| row.get::<_, Vec<u8>>(0));
            // A file that is as it should be stays for its other rows; one that is not can serve none.
            if let (Damage::Content | Damage::NotFinite, Some(hash)) =
                (entry.damage, named.ok().and_then(|data| data.try_into().ok()))
            {
                owned.files.remove(&hash);
            }
            owned.connection.execute("DELETE FROM entry WHERE rowid = ?1", [entry.row])?;
        }
        owned.connection.execute_batch("COMMIT")
    };
    work().map_err(owned.failed("repair"))
}
