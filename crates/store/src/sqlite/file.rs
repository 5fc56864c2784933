//! One shard's file: how it is made, recognised and opened.
//!
//! The form, version 1: `documents` holds every table's documents, `meta` one row with the form's
//! version and the revision of the newest commit. The application id in the file's header says the
//! file is ours.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::error::StoreError;

/// Opens a shard's file for writing, and makes it first where it is missing. It then survives a
/// power cut.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    make(path)?;
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    recognise(&connection, path)?;
    prepare(&mut connection, path)?;
    // Also for a file that was there: who made it may have died before this line.
    sync_directory_of(path)?;
    Ok(connection)
}

/// Opens one more connection, to read from a file that [`open`] has accepted.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Opens one more connection, to checkpoint a file that [`open`] has accepted.
pub(super) fn open_to_checkpoint(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection
        .execute_batch(SYNC_ALWAYS)
        .map_err(|source| StoreError::sqlite("prepare", path, source))?;
    Ok(connection)
}

/// The revision of the newest commit; 0 before the first.
pub(super) fn revision(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached(SELECT_REVISION)?.query_one([], |row| row.get(0)).map(from_sql)
}

/// Removes a shard's files; those that are not there count as removed.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    // The main file first: without it the others mean nothing, and the shard does not exist.
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", file, error));
            }
            _ => {}
        }
    }
    sync_directory_of(path)
}

/// Makes the entries of the directory that holds `path` survive a power cut.
pub(super) fn sync_directory_of(path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|it| it.sync_all())
        .map_err(|source| StoreError::io("sync", directory, source))
}

/// A revision as SQLite keeps it. A shard would need 292,000 years at a million commits a second to
/// pass what an `i64` holds.
pub(super) fn to_sql(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// The inverse of [`to_sql`].
pub(super) fn from_sql(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .and_then(|connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            // Checkpoints happen where their failure is noticed, never in passing.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            Ok(connection)
        })
        .map_err(|source| StoreError::sqlite("open", path, source))
}

/// Makes an empty file where there is none. SQLite gives the files beside it the same mode.
fn make(path: &Path) -> Result<(), StoreError> {
    // One that exists is not opened here: closing it again would release the locks that this
    // process's connections hold on it.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(StoreError::io("create", path, error))
        }
        _ => Ok(()),
    }
}

/// Passes ours and the empty, which is what a crash in [`prepare`] leaves.
fn recognise(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let id = connection.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0));
    let content =
        connection.query_one("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    match (id, content) {
        (Ok(APPLICATION_ID), Ok(_)) | (Ok(0), Ok(0)) => Ok(()),
        (Ok(_), Ok(_)) => Err(StoreError::ForeignFile { path: path.to_owned() }),
        (Err(source), _) | (_, Err(source)) => match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Err(StoreError::ForeignFile { path: path.to_owned() }),
            _ => Err(StoreError::sqlite("read from", path, source)),
        },
    }
}

/// Sets up the connection, and the schema where the file is new.
fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let cannot = |source| StoreError::sqlite("prepare", path, source);
    connection.pragma_update(None, "journal_mode", "WAL").map_err(cannot)?;
    connection.execute_batch(SYNC_ALWAYS).map_err(cannot)?;
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(cannot)?;
    let found = match transaction.table_exists(None, "meta").map_err(cannot)? {
        true => transaction.query_one("SELECT schema FROM meta", [], |row| row.get(0)),
        false => {
            transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(cannot)?;
            transaction.execute_batch(SCHEMA).map_err(cannot)?;
            Ok(SCHEMA_VERSION)
        }
    };
    match found.map_err(cannot)? {
        SCHEMA_VERSION => transaction.commit().map_err(cannot),
        found => {
            Err(StoreError::NewerSchema { path: path.to_owned(), found, known: SCHEMA_VERSION })
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// `Hubw` in ASCII.
const APPLICATION_ID: i32 = 0x4875_6277;

const SCHEMA_VERSION: i64 = 1;

/// A table with row ids and an index beside it, not `WITHOUT ROWID`, which would keep bodies in the
/// index: with bodies of 1,500 bytes that made the file 2.2 times as large, point reads 3.4 times
/// and compare-and-set 2.9 times as slow, and with 300 bytes no faster. Measured over 100,000
/// documents on 2 cores.
const SCHEMA: &str = "
    CREATE TABLE meta (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        schema INTEGER NOT NULL,
        revision INTEGER NOT NULL
    );
    INSERT INTO meta (one, schema, revision) VALUES (1, 1, 0);
    CREATE TABLE documents (
        tbl TEXT NOT NULL,
        key TEXT NOT NULL,
        revision INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (tbl, key)
    );
";

/// FULL syncs the log on each commit, which the default of some builds does not.
const SYNC_ALWAYS: &str = "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;";

const SELECT_REVISION: &str = "SELECT revision FROM meta";

/// How long a connection waits for another's lock. Within this process only openings and
/// checkpoints ever make one wait; an operator with a tool on the file might, too.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
