//! What the hub keeps: documents, in shards, and records, in a [`log`].
//!
//! A document is a body under a key in a [`Table`]; a shard ([`ShardId`]) is a set of tables that
//! commit together. [`Engine::commit`] is all or nothing within one shard and returns only once the
//! change is on the disk; nothing commits across shards, and [`intents`] says how a call changes
//! two all the same.
//!
//! This crate decides what "kept" means: what a reader sees, when a write counts, what a crash may
//! lose (nothing acknowledged). It looks into a body only where it is asked to, see [`lookup`].
//! Start at [`Engine`]; the files on disk are in `sqlite.rs`; which tables there are is in
//! `tables.rs`. Telemetry lies in a [`Log`].

mod document;
mod error;
pub mod intents;
pub mod log;
pub mod lookup;
mod memory;
mod shard;
mod sqlite;
pub mod tables;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub use document::{Change, Committed, Document, Expect, Scan, Write};
pub use error::{CommitError, StoreError};
pub use log::{Log, LogError, LogOptions};
pub use lookup::{Filter, Found, Lookup};
pub use memory::Memory;
pub use shard::{NotAShardId, ShardId};
pub use sqlite::Sqlite;
pub use tables::Table;

/// Where documents are kept. Cloning is cheap, and clones share everything.
///
/// Both pass `tests/contract.rs`. Reading a shard that does not exist answers that nothing is
/// there, and creates nothing; the first commit, also one that ends in a conflict, creates the
/// shard.
#[derive(Clone)]
pub enum Engine {
    /// For tests: forgets at exit, can be told to fail.
    Memory(Memory),
    /// The default: files on one machine.
    Sqlite(Sqlite),
}

impl Engine {
    /// An empty engine that keeps everything in this process and nothing on disk.
    pub fn memory() -> Self {
        Self::Memory(Memory::default())
    }

    /// Keeps one file per shard in `directory`, which is created, for its owner alone, where
    /// missing.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the directory cannot be created. Shards are opened on first use, so
    /// that what is wrong with one of them is told by the first call that needs it.
    pub fn sqlite(directory: &Path) -> Result<Self, StoreError> {
        Sqlite::open(directory).map(Self::Sqlite)
    }

    /// The document under `key`, or none. Sees every commit that was acknowledged before the call.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after [`Engine::close`]; otherwise what is wrong with the shard's
    /// file.
    pub async fn get(
        &self,
        shard: &ShardId,
        table: Table,
        key: &str,
    ) -> Result<Option<Document>, StoreError> {
        match self {
            Self::Memory(memory) => memory.get(shard, table, key),
            Self::Sqlite(sqlite) => sqlite.get(shard, table, key).await,
        }
    }

    /// One answer per key, in the order of `keys`, all from one moment: no commit is seen by half.
    ///
    /// # Errors
    /// [`StoreError::TooManyKeys`] above [`GET_KEYS_MAX`]; otherwise as [`Engine::get`].
    pub async fn get_many(
        &self,
        shard: &ShardId,
        table: Table,
        keys: &[&str],
    ) -> Result<Vec<Option<Document>>, StoreError> {
        if keys.len() > GET_KEYS_MAX {
            return Err(StoreError::TooManyKeys { keys: keys.len() });
        }
        match self {
            Self::Memory(memory) => memory.get_many(shard, table, keys),
            Self::Sqlite(sqlite) => sqlite.get_many(shard, table, keys).await,
        }
    }

    /// Applies `changes` to one shard: all of them, or none.
    ///
    /// They apply in order, and each expectation sees the changes before it. The answer comes once
    /// the commit is synced and every later read sees it. Dropping the future does not take a
    /// commit back: it may still happen.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] names the first expectation that did not hold;
    /// [`CommitError::ShardGone`] after [`Engine::drop_shard`]; [`StoreError::CommitTooLarge`]
    /// above [`COMMIT_CHANGES_MAX`] or [`COMMIT_BYTES_MAX`]; [`StoreError::WriterStopped`] where
    /// writing to the disk failed, now or earlier.
    pub async fn commit(
        &self,
        shard: &ShardId,
        changes: Vec<Change>,
    ) -> Result<Committed, CommitError> {
        let bytes = changes.iter().map(Change::bytes).sum();
        if changes.len() > COMMIT_CHANGES_MAX || bytes > COMMIT_BYTES_MAX {
            return Err(StoreError::CommitTooLarge { changes: changes.len(), bytes }.into());
        }
        match self {
            Self::Memory(memory) => memory.commit(shard, changes).await,
            Self::Sqlite(sqlite) => sqlite.commit(shard, changes).await,
        }
    }

    /// One page of a table, in the byte order of the keys, all from one moment.
    ///
    /// At most [`SCAN_LIMIT_MAX`] documents, however high the limit. A page shorter than the
    /// smaller of the two is the last.
    ///
    /// # Errors
    /// As [`Engine::get`].
    pub async fn scan(
        &self,
        shard: &ShardId,
        table: Table,
        mut range: Scan,
    ) -> Result<Vec<(String, Document)>, StoreError> {
        range.limit = range.limit.min(SCAN_LIMIT_MAX);
        match self {
            Self::Memory(memory) => memory.scan(shard, table, &range),
            Self::Sqlite(sqlite) => sqlite.scan(shard, table, range).await,
        }
    }

    /// Looks through a table in the byte order of the keys, all from one moment: every document up to
    /// [`Found::next`] that fulfils the filter, and perhaps others.
    ///
    /// At most [`SCAN_LIMIT_MAX`] documents out of [`EXAMINE_MAX`], however much is asked for.
    ///
    /// # Errors
    /// [`StoreError::FilterTooLarge`] above [`FILTER_TESTS_MAX`]; otherwise as [`Engine::get`].
    pub async fn query(
        &self,
        shard: &ShardId,
        table: Table,
        mut lookup: Lookup,
    ) -> Result<Found, StoreError> {
        let tests = lookup.filter.tests();
        if tests > FILTER_TESTS_MAX {
            return Err(StoreError::FilterTooLarge { tests });
        }
        lookup.limit = lookup.limit.clamp(1, SCAN_LIMIT_MAX);
        lookup.examine = lookup.examine.clamp(1, EXAMINE_MAX);
        match self {
            Self::Memory(memory) => memory.query(shard, table, &lookup),
            Self::Sqlite(sqlite) => sqlite.query(shard, table, lookup).await,
        }
    }

    /// How many documents a table holds. Takes time in proportion to the answer.
    ///
    /// # Errors
    /// As [`Engine::get`].
    pub async fn count(&self, shard: &ShardId, table: Table) -> Result<u64, StoreError> {
        match self {
            Self::Memory(memory) => memory.count(shard, table),
            Self::Sqlite(sqlite) => sqlite.count(shard, table).await,
        }
    }

    /// The newest committed revision, now and whenever it grows; 0 before the first commit.
    ///
    /// Ends when the shard is dropped or the store closed. Where the shard's file cannot be opened
    /// it starts at 0, and the reads tell why. The first use of a shard opens its file, which
    /// blocks for some milliseconds.
    pub fn watch(&self, shard: &ShardId) -> watch::Receiver<u64> {
        match self {
            Self::Memory(memory) => memory.watch(shard),
            Self::Sqlite(sqlite) => sqlite.watch(shard),
        }
    }

    /// Every shard that exists, in order.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the directory cannot be listed; [`StoreError::Closed`].
    pub async fn shards(&self) -> Result<Vec<ShardId>, StoreError> {
        match self {
            Self::Memory(memory) => memory.shards(),
            Self::Sqlite(sqlite) => sqlite.shards().await,
        }
    }

    /// Removes a shard and its files, after the commits it had already taken. Dropping one that is
    /// not there succeeds.
    ///
    /// While this process lives, the shard reads as empty and commits to it answer
    /// [`CommitError::ShardGone`], so that a late call cannot bring half a hub back.
    ///
    /// # Errors
    /// [`StoreError::Io`] where a file cannot be removed; calling again goes on where it stopped.
    pub async fn drop_shard(&self, shard: &ShardId) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.drop_shard(shard),
            Self::Sqlite(sqlite) => sqlite.drop_shard(shard).await,
        }
    }

    /// Finishes the commits already taken, brings the files up to date and releases them.
    /// Everything later answers [`StoreError::Closed`]. Closing twice is closing once.
    ///
    /// # Errors
    /// The first shard that could not be brought up to date; it has still lost nothing
    /// acknowledged.
    pub async fn close(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => {
                memory.close();
                Ok(())
            }
            Self::Sqlite(sqlite) => sqlite.close().await,
        }
    }
}

/// Locks. A panic elsewhere while the lock was held is no reason to fail here: no critical section
/// of this crate leaves its value half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most changes in one commit.
pub const COMMIT_CHANGES_MAX: usize = 1_000;

/// The most bytes of keys and bodies in one commit: 8 MiB, twice the largest ARM template.
pub const COMMIT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most keys in one [`Engine::get_many`].
pub const GET_KEYS_MAX: usize = 1_000;

/// The most documents in one page of [`Engine::scan`].
pub const SCAN_LIMIT_MAX: usize = 1_000;

/// The most documents that one [`Engine::query`] looks at.
pub const EXAMINE_MAX: usize = 10_000;

/// The most tests in one [`Filter`].
pub const FILTER_TESTS_MAX: usize = 4_096;
