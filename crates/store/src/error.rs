//! What can go wrong with keeping things, in sentences for an operator.
//!
//! Errors are `Clone`, because one failed sync answers every commit that shared it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{COMMIT_BYTES_MAX, COMMIT_CHANGES_MAX, FILTER_TESTS_MAX, GET_KEYS_MAX, ShardId, Table};

/// The store could not do what it was asked.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// The file system said no. `doing` completes "cannot … `path`".
    Io { doing: &'static str, path: PathBuf, source: Arc<io::Error> },
    /// SQLite said no. `doing` completes "cannot … `path`".
    Sqlite { doing: &'static str, path: PathBuf, source: Arc<rusqlite::Error> },
    /// A file stands where a shard's should, and is not one.
    ForeignFile { path: PathBuf },
    /// A shard's file was written by a newer program.
    NewerSchema { path: PathBuf, found: i64, known: i64 },
    /// A write to the shard failed, so that what the disk holds is uncertain until it is opened
    /// anew.
    WriterStopped { shard: ShardId, source: Arc<StoreError> },
    /// The caller asked for too much in one commit.
    CommitTooLarge { changes: usize, bytes: usize },
    /// The caller asked for too much in one read.
    TooManyKeys { keys: usize },
    /// The caller asked for too much in one filter.
    FilterTooLarge { tests: usize },
    /// The document under `name` in the table of intents is not an intent.
    UnreadableIntent { shard: ShardId, name: String },
    /// The store was closed.
    Closed,
}

impl StoreError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source: Arc::new(source) }
    }

    pub(crate) fn sqlite(
        doing: &'static str,
        path: impl Into<PathBuf>,
        source: rusqlite::Error,
    ) -> Self {
        Self::Sqlite { doing, path: path.into(), source: Arc::new(source) }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, path, .. } | Self::Sqlite { doing, path, .. } => {
                write!(f, "cannot {doing} `{}`", path.display())
            }
            Self::ForeignFile { path } => write!(
                f,
                "`{}` is not a file of this store; move it out of the data directory",
                path.display()
            ),
            Self::NewerSchema { path, found, known } => write!(
                f,
                "`{}` has schema version `{found}`, and this program knows versions up to `{known}`; \
                 start the program that wrote it or a newer one",
                path.display()
            ),
            Self::WriterStopped { shard, .. } => write!(
                f,
                "shard `{shard}` takes no commits since a write to it failed; \
                 see to the disk, then restart"
            ),
            Self::CommitTooLarge { changes, bytes } => write!(
                f,
                "a commit of `{changes}` changes and `{bytes}` bytes is over the limit of \
                 `{COMMIT_CHANGES_MAX}` changes and `{COMMIT_BYTES_MAX}` bytes"
            ),
            Self::TooManyKeys { keys } => {
                write!(f, "a read of `{keys}` keys is over the limit of `{GET_KEYS_MAX}`")
            }
            Self::FilterTooLarge { tests } => {
                write!(f, "a filter of `{tests}` tests is over the limit of `{FILTER_TESTS_MAX}`")
            }
            Self::UnreadableIntent { shard, name } => {
                write!(f, "intent `{name}` in shard `{shard}` is not in a form this program knows")
            }
            Self::Closed => write!(f, "the store is closed"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source.as_ref()),
            Self::Sqlite { source, .. } => Some(source.as_ref()),
            Self::WriterStopped { source, .. } => Some(source.as_ref()),
            Self::ForeignFile { .. }
            | Self::NewerSchema { .. }
            | Self::CommitTooLarge { .. }
            | Self::TooManyKeys { .. }
            | Self::FilterTooLarge { .. }
            | Self::UnreadableIntent { .. }
            | Self::Closed => None,
        }
    }
}

/// A commit that did not happen, or of which the store cannot say that it did.
#[derive(Clone, Debug)]
pub enum CommitError {
    /// An expectation did not hold; nothing was written. `found` is the document's revision, if
    /// there is one.
    Conflict { table: Table, key: String, found: Option<u64> },
    /// The shard was dropped; nothing was written.
    ShardGone,
    /// The store failed. After [`StoreError::WriterStopped`] a restart may find the commit done.
    Store(StoreError),
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { table, key, found: Some(revision) } => {
                write!(
                    f,
                    "`{key}` in `{table}` is at revision `{revision}`, which was not expected"
                )
            }
            Self::Conflict { table, key, found: None } => {
                write!(f, "`{key}` is not in `{table}`, which was not expected")
            }
            Self::ShardGone => write!(f, "the shard was dropped"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for CommitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // The sentence is the inner error's own, so the chain goes on below it.
            Self::Store(error) => error.source(),
            Self::Conflict { .. } | Self::ShardGone => None,
        }
    }
}
