//! The one thread that writes to a shard's file.
//!
//! Syncing is what a commit costs, and one sync can serve many: the thread takes every commit that
//! waits, gives each a savepoint, so that a conflict undoes its own changes alone, commits the
//! transaction, and only then answers them all.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::checkpoints::{Asker, Log};
use super::file;
use super::indexes::{Indexes, New};
use crate::ShardId;
use crate::document::{Change, Committed, Write};
use crate::error::{CommitError, StoreError};

pub(super) struct Writer {
    pub(super) shard: ShardId,
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    pub(super) queue: mpsc::Receiver<Message>,
    pub(super) indexes: Arc<Indexes>,
    pub(super) newest: watch::Sender<u64>,
    pub(super) log: Arc<Log>,
    pub(super) asker: Asker,
}

pub(super) enum Message {
    Commit(Request),
    /// Make an index, behind what is queued.
    Index(New),
    /// Do what is already queued, take no more, and leave the file without a log.
    Stop,
}

/// What a group is followed by.
enum Then {
    GoOn,
    Index(New),
    Stop,
}

/// One caller's commit, and where its outcome goes.
pub(super) struct Request {
    pub(super) changes: Vec<Change>,
    pub(super) answer: oneshot::Sender<Outcome>,
}

type Outcome = Result<Committed, CommitError>;

impl Writer {
    /// Writes until told to stop, or until nobody is left who could ask.
    ///
    /// # Errors
    /// Where it was told to stop and the log could not be emptied.
    pub(super) fn run(mut self) -> Result<(), StoreError> {
        let mut told = false;
        while let Some(message) = self.queue.blocking_recv() {
            let (group, then) = self.group_from(message);
            if matches!(then, Then::Stop) {
                self.queue.close();
                told = true;
            }
            self.commit(group);
            if let Then::Index(new) = then {
                // Looks do without it then, and a fault of the file shows at the next commit.
                let _ = self.indexes.make(&mut self.connection, new);
            }
            self.log.keep_short(&self.connection, &self.asker);
        }
        match told {
            true => self.log.empty(&self.connection),
            false => Ok(()),
        }
    }

    /// Everything that waits, up to the bounds of a group, and what comes after it.
    fn group_from(&mut self, first: Message) -> (Vec<Request>, Then) {
        let mut group = Vec::new();
        let mut bytes = 0_usize;
        let mut next = Some(first);
        while let Some(message) = next {
            let request = match message {
                Message::Commit(request) => request,
                Message::Index(new) => return (group, Then::Index(new)),
                Message::Stop => return (group, Then::Stop),
            };
            bytes += request.changes.iter().map(Change::bytes).sum::<usize>();
            group.push(request);
            let full = group.len() >= GROUP_MAX || bytes >= GROUP_BYTES_MAX;
            next = if full { None } else { self.queue.try_recv().ok() };
        }
        (group, Then::GoOn)
    }

    /// Commits a group and answers everyone in it. A caller who has gone away misses only the
    /// answer.
    fn commit(&mut self, group: Vec<Request>) {
        if group.is_empty() {
            return;
        }
        match self.write(&group) {
            Ok(outcomes) => {
                for (request, outcome) in group.into_iter().zip(outcomes) {
                    let _ = request.answer.send(outcome);
                }
            }
            Err(error) => {
                for request in group {
                    let _ = request.answer.send(Err(error.clone().into()));
                }
            }
        }
    }

    /// # Errors
    /// Nothing in the group may be acknowledged. After [`StoreError::WriterStopped`] nothing later
    /// either.
    fn write(&mut self, group: &[Request]) -> Result<Vec<Outcome>, StoreError> {
        if let Some(failure) = self.log.failure() {
            return Err(self.stopped_by(failure));
        }
        let failed = |source| StoreError::sqlite("write to", &self.path, source);
        // Failing to begin, as when an operator's tool holds the lock, leaves the file as it was.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        match write_group(transaction, group) {
            Ok((outcomes, revision)) => {
                self.newest
                    .send_if_modified(|newest| std::mem::replace(newest, revision) != revision);
                Ok(outcomes)
            }
            Err(source) => Err(self.stopped_by(self.log.fail(failed(source)))),
        }
    }

    fn stopped_by(&self, failure: &Arc<StoreError>) -> StoreError {
        StoreError::WriterStopped { shard: self.shard.clone(), source: failure.clone() }
    }
}

/// Answers each request's outcome, which holds once this returns, and the newest revision.
fn write_group(
    mut transaction: Transaction<'_>,
    group: &[Request],
) -> rusqlite::Result<(Vec<Outcome>, u64)> {
    // Read anew for each group, so that the file alone says how far it is.
    let before = file::revision(&transaction)?;
    let mut revision = before;
    let mut outcomes = Vec::with_capacity(group.len());
    for request in group {
        let savepoint = transaction.savepoint()?;
        match apply(&savepoint, &request.changes, revision + 1)? {
            Ok(()) => {
                savepoint.commit()?;
                revision += 1;
                outcomes.push(Ok(Committed { revision }));
            }
            Err(conflict) => {
                savepoint.finish()?;
                outcomes.push(Err(conflict));
            }
        }
    }
    if revision == before {
        transaction.rollback()?;
    } else {
        transaction.prepare_cached(SET_REVISION)?.execute([file::to_sql(revision)])?;
        transaction.commit()?;
    }
    Ok((outcomes, revision))
}

/// Applies one request's changes in order, up to its first conflict.
fn apply(
    connection: &Connection,
    changes: &[Change],
    revision: u64,
) -> rusqlite::Result<Result<(), CommitError>> {
    for change in changes {
        let (table, key) = (change.table, &change.key);
        let found = connection
            .prepare_cached(FIND)?
            .query_one(params![table.name(), key], |row| row.get(0))
            .optional()?
            .map(file::from_sql);
        if !change.expect.holds(found) {
            return Ok(Err(CommitError::Conflict { table, key: key.clone(), found }));
        }
        match &change.write {
            Write::Put(body) => {
                let row = params![table.name(), key, file::to_sql(revision), body.as_ref()];
                connection.prepare_cached(PUT)?.execute(row)?;
            }
            Write::Delete => {
                connection.prepare_cached(DELETE)?.execute(params![table.name(), key])?;
            }
            Write::Check => {}
        }
    }
    Ok(Ok(()))
}

const FIND: &str = "SELECT revision FROM documents WHERE tbl = ?1 AND key = ?2";
const PUT: &str = "INSERT INTO documents (tbl, key, revision, body) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (tbl, key) DO UPDATE SET revision = excluded.revision, body = excluded.body";
const DELETE: &str = "DELETE FROM documents WHERE tbl = ?1 AND key = ?2";
const SET_REVISION: &str = "UPDATE meta SET revision = ?1";

/// How many commits may wait for the writer; further callers wait to be let in.
pub(super) const QUEUE_MAX: usize = 256;

/// The most commits that share one sync.
const GROUP_MAX: usize = 256;

/// A group takes no further commit from this size on.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
