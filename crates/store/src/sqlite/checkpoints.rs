//! Keeping each shard's write-ahead log short.
//!
//! Copying the log into the file is slow, so a thread of its own does it, one for all shards.
//! SQLite starts the log over only where all of it is copied and nobody is adding to it, which
//! under steady load never comes about by itself; so the writer copies the little that was added
//! meanwhile, between two commits.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};

use rusqlite::Connection;

use super::file;
use super::thread::OwnThread;
use crate::error::StoreError;
use crate::locked;

/// Where writers ask for a checkpoint.
pub(super) type Asker = SyncSender<Arc<Log>>;

/// What a shard's writer and the checkpoint thread tell each other.
pub(super) struct Log {
    path: PathBuf,
    turn: Mutex<Turn>,
    /// Why nothing may be written any more. After a failed sync the system may hold pages for clean
    /// that are not on the disk, so that trying again would succeed and mean nothing.
    failure: OnceLock<Arc<StoreError>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Nobody,
    Thread,
    Writer,
}

/// Starts the thread. It ends once every [`Asker`] is dropped.
pub(super) fn start(directory: &Path) -> Result<(Asker, OwnThread<()>), StoreError> {
    let (asker, asked) = sync_channel(ASKED_MAX);
    let thread = OwnThread::start("checkpoints", directory, move || run(&asked))?;
    Ok((asker, thread))
}

impl Log {
    pub(super) fn new(path: &Path) -> Arc<Self> {
        let turn = Mutex::new(Turn::Nobody);
        Arc::new(Self { path: path.to_owned(), turn, failure: OnceLock::new() })
    }

    /// Why nothing may be written any more, if so.
    pub(super) fn failure(&self) -> Option<&Arc<StoreError>> {
        self.failure.get()
    }

    /// Notes that a write failed, and answers the first such failure.
    pub(super) fn fail(&self, failure: StoreError) -> &Arc<StoreError> {
        self.failure.get_or_init(|| Arc::new(failure))
    }

    /// Called by the writer, between commits.
    pub(super) fn keep_short(self: &Arc<Self>, connection: &Connection, asker: &Asker) {
        if self.failure().is_some() {
            return;
        }
        match frames(connection) {
            Ok(frames) if frames < LOG_FRAMES => return,
            Ok(_) => {}
            Err(source) => {
                self.fail(StoreError::sqlite("checkpoint", &self.path, source));
                return;
            }
        }
        let mut turn = locked(&self.turn);
        match *turn {
            // A full queue is no harm: the next commit asks again.
            Turn::Nobody if asker.try_send(self.clone()).is_ok() => *turn = Turn::Thread,
            Turn::Nobody | Turn::Thread => {}
            Turn::Writer => {
                self.copy(connection, PASSIVE);
                *turn = Turn::Nobody;
            }
        }
    }

    /// Copies all of the log and empties it, as far as other processes let us.
    pub(super) fn empty(&self, connection: &Connection) -> Result<(), StoreError> {
        if self.failure().is_none() {
            self.copy(connection, TRUNCATE);
        }
        self.failure().map_or(Ok(()), |failure| Err(failure.as_ref().clone()))
    }

    fn copy(&self, connection: &Connection, sql: &str) {
        // The row tells how far it came. What it left waits in the log, as safe as before.
        if let Err(source) = connection.query_one(sql, [], |_| Ok(())) {
            self.fail(StoreError::sqlite("checkpoint", &self.path, source));
        }
    }
}

fn run(asked: &Receiver<Arc<Log>>) {
    while let Ok(log) = asked.recv() {
        // Without a connection the writer copies it all: slower, and no less safe.
        if let Ok(connection) = file::open_to_checkpoint(&log.path) {
            log.copy(&connection, PASSIVE);
        }
        *locked(&log.turn) = Turn::Writer;
    }
}

/// How much of the log is in use.
fn frames(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached(NOOP)?.query_one([], |row| row.get(1))
}

const NOOP: &str = "PRAGMA wal_checkpoint(NOOP)";
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// The log's length, in pages of 4 KiB, from which it is copied: 16 MiB, which also bounds what
/// opening after a crash has to read.
const LOG_FRAMES: i64 = 4_096;

/// How many shards may wait for the thread.
const ASKED_MAX: usize = 64;
