//! The database file: how it is made, and how it is opened without trusting it.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::Sharing;
use super::error::{CacheFault, FaultKind};
use super::kill::point;
use crate::atomic::hidden_file;

/// Says that a database is a Pliant cache: `PLNT`.
const APPLICATION_ID: i64 = 0x504c_4e54;

/// Bytes of a page: room for three rows of a vector of 1,280 numbers.
const PAGE_BYTES: u32 = 16 << 10;

/// Every schema that there was. A new one is a new element, and the tables of the old ones stay readable.
const MIGRATIONS: [&str; 1] = ["CREATE TABLE entry (
        key BLOB NOT NULL UNIQUE,
        kind INTEGER NOT NULL,
        rows INTEGER NOT NULL,
        width INTEGER NOT NULL,
        data BLOB NOT NULL,
        created INTEGER NOT NULL,
        last_used INTEGER NOT NULL,
        checksum BLOB NOT NULL
    ) STRICT;"];

/// The newest schema.
pub(super) const SCHEMA: i64 = MIGRATIONS.len() as i64;

/// How a database is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Read and written, together with other processes of this machine.
    Write,
    /// Read, while others write.
    Read,
    /// Read, where nobody writes: without locks and without the write-ahead log.
    Frozen,
}

/// How long reading and opening wait for others.
const READ_WAIT: Duration = Duration::from_secs(2);

/// Makes an empty cache at `path`, where there is nothing yet: written under another name and then named, so that
/// nobody ever finds half of one. That somebody else was first is fine.
pub(super) fn create(path: &Path) -> Result<(), CacheFault> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(CacheFault::MissingFolder { path: path.to_path_buf(), folder: folder.to_path_buf() });
    }
    let partial = hidden_file(folder).map_err(CacheFault::io("create", path))?.into_temp_path();
    lay_out(&partial).map_err(CacheFault::database("create", path))?;
    point("create: schema written");
    match partial.persist_noclobber(path) {
        Err(refused) if refused.error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(CacheFault::io("create", path)(refused.error))
        }
        _ => {
            point("create: named");
            Ok(())
        }
    }
}

/// Fills an empty file, whose pages and header must be right before its first table.
fn lay_out(path: &Path) -> Result<(), rusqlite::Error> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    migrate(&mut connection, SCHEMA)?;
    // Here and not when it is opened, where others may hold it.
    share(&connection)?;
    connection.close().map_err(|(_, error)| error)
}

fn migrations() -> Migrations<'static> {
    Migrations::from_iter(MIGRATIONS.map(M::up))
}

fn migrate(connection: &mut Connection, version: i64) -> Result<(), rusqlite::Error> {
    let version = usize::try_from(version).unwrap_or(0);
    match migrations().to_version(connection, version) {
        Ok(()) => Ok(()),
        Err(rusqlite_migration::Error::RusqliteError { err, .. }) => Err(err),
        Err(_) => Err(rusqlite::Error::InvalidQuery),
    }
}

/// Opens an existing cache, once it is known to be one, and of which schema.
pub(super) fn open(path: &Path, usage: Use) -> Result<Connection, CacheFault> {
    if !path.exists() {
        return Err(CacheFault::Missing { path: path.to_path_buf() });
    }
    if !path.is_file() {
        return Err(CacheFault::NotACache { path: path.to_path_buf(), found: "no regular file" });
    }
    let mut connection = connect(path, usage).map_err(CacheFault::database("open", path))?;
    let version = version(&connection, path)?;
    if version > SCHEMA {
        return Err(CacheFault::Newer { path: path.to_path_buf(), found: version, known: SCHEMA });
    }
    if usage == Use::Write {
        let writable = !connection.is_readonly("main").map_err(CacheFault::database("open", path))?;
        if !writable {
            return Err(CacheFault::ReadOnly { path: path.to_path_buf() });
        }
        if version < SCHEMA {
            migrate(&mut connection, SCHEMA).map_err(CacheFault::database("migrate", path))?;
            return has_our_tables(&connection, path, SCHEMA).map(|()| connection);
        }
    }
    has_our_tables(&connection, path, version)?;
    Ok(connection)
}

/// Opens an existing cache to look at it, whether it may be written or not.
pub(super) fn look(path: &Path, sharing: Sharing) -> Result<Connection, CacheFault> {
    if sharing == Sharing::Network {
        return open(path, Use::Frozen);
    }
    match open(path, Use::Read) {
        Err(fault) if fault.kind() == FaultKind::Io => open(path, Use::Frozen),
        answer => answer,
    }
}

fn connect(path: &Path, usage: Use) -> Result<Connection, rusqlite::Error> {
    let base = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match usage {
        Use::Write | Use::Read => Connection::open_with_flags(path, base | OpenFlags::SQLITE_OPEN_READ_WRITE),
        Use::Frozen => {
            let flags = base | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(frozen_uri(path), flags)
        }
    }?;
    connection.busy_timeout(READ_WAIT)?;
    // A reader that could not write at all would leave its log behind when it is the last to close.
    connection.pragma_update(None, "query_only", usage == Use::Read)?;
    // Whatever a file from elsewhere defines, it is not run.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    Ok(connection)
}

/// The address of a file that nobody writes while it is read.
fn frozen_uri(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut uri = "file://".to_owned();
    for &byte in absolute.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri + "?mode=ro&immutable=1"
}

/// The schema of a Pliant cache.
fn version(connection: &Connection, path: &Path) -> Result<i64, CacheFault> {
    let not_ours = |found| CacheFault::NotACache { path: path.to_path_buf(), found };
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let id = match pragma("application_id") {
        Ok(id) => id,
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            return Err(not_ours("no SQLite database"));
        }
        Err(error) => return Err(CacheFault::database("read", path)(error)),
    };
    let pages = pragma("page_count").map_err(CacheFault::database("read", path))?;
    let version = pragma("user_version").map_err(CacheFault::database("read", path))?;
    match (id, pages, version) {
        (_, 0, _) => Err(not_ours("an empty file")),
        (APPLICATION_ID, _, 1..) => Ok(version),
        (APPLICATION_ID, ..) => Err(not_ours("a database of no known schema")),
        _ => Err(not_ours("a database of another program")),
    }
}

/// Refuses a file that only says it is a cache: its tables must be ours to the letter, and there may be no others.
fn has_our_tables(connection: &Connection, path: &Path, version: i64) -> Result<(), CacheFault> {
    let found = tables(connection).map_err(CacheFault::database("read", path))?;
    let wanted = Connection::open_in_memory().and_then(|mut model| {
        migrate(&mut model, version)?;
        tables(&model)
    });
    if wanted.map_err(CacheFault::database("read", path))? == found {
        return Ok(());
    }
    Err(CacheFault::NotACache { path: path.to_path_buf(), found: "a database with other tables" })
}

fn tables(connection: &Connection) -> Result<Vec<(String, String, Option<String>)>, rusqlite::Error> {
    let mut statement =
        connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name LIMIT 100")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

/// Prepares a writing connection for many processes at once on a local disk. A crash of the machine may lose the
/// last batches, never damage the file.
pub(super) fn share(connection: &Connection) -> Result<(), rusqlite::Error> {
    match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
        // Others hold a file that is not in this mode: it stays as it is, which is slower and as safe.
        Err(error) if is_busy(&error) => {}
        answer => answer?,
    }
    connection.pragma_update(None, "synchronous", "NORMAL")
}

/// Prepares a writing connection to a file that no other process knows of.
pub(super) fn own(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "OFF")
}

/// Whether a process that got this answer may hope that waiting helps.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_follow_each_other() {
        migrations().validate().unwrap();
    }

    #[test]
    fn names_with_signs_of_addresses_are_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a?mode=rw&b#c%41 é.sqlite");
        create(&path).unwrap();
        create(&path).unwrap();
        open(&path, Use::Frozen).unwrap();
        open(&path, Use::Write).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_our_own_tables_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        for (number, damage) in [
            "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry; END",
            "CREATE TABLE other (x)",
            "ALTER TABLE entry ADD COLUMN more INTEGER",
            "DROP TABLE entry",
            "DROP TABLE entry; CREATE VIEW entry AS SELECT 1 AS key",
            "PRAGMA application_id = 1",
            "PRAGMA user_version = 0",
        ]
        .into_iter()
        .enumerate()
        {
            let path = folder.path().join(number.to_string());
            create(&path).unwrap();
            Connection::open(&path).unwrap().execute_batch(damage).unwrap();
            let fault = open(&path, Use::Write).unwrap_err();
            assert!(matches!(fault, CacheFault::NotACache { .. }), "{damage}: {fault}");
        }
    }

    #[test]
    fn tables_whose_names_are_no_text_are_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        create(&path).unwrap();
        let damage = "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = CAST(sql || x'202d2dff' AS TEXT) \
                      WHERE sql IS NOT NULL";
        Connection::open(&path).unwrap().execute_batch(damage).unwrap();
        assert_eq!(open(&path, Use::Write).unwrap_err().kind(), FaultKind::Data);
    }
}
