//! Documents in this process, for tests.
//!
//! Means the same as the files in all that a caller can see, but for restarts. It never blocks for
//! long, so its functions are plain ones.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::document::{Change, Committed, Document, Scan, Write};
use crate::error::{CommitError, StoreError};
use crate::lookup::{Found, Lookup};
use crate::{ShardId, Table, locked};

/// An engine that forgets at exit and can be told to fail.
#[derive(Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    shards: BTreeMap<ShardId, Shard>,
    /// Apart from the shards, since watching a shard does not create it.
    newest: BTreeMap<ShardId, watch::Sender<u64>>,
    gone: BTreeSet<ShardId>,
    closed: bool,
    fail_next_commit: bool,
}

#[derive(Default)]
struct Shard {
    revision: u64,
    tables: BTreeMap<Table, BTreeMap<String, Document>>,
}

impl Memory {
    /// Makes the next commit to any shard fail as a disk would, with [`StoreError::WriterStopped`],
    /// and write nothing. Unlike a disk's, the shard takes the commits after it.
    pub fn fail_next_commit(&self) {
        locked(&self.state).fail_next_commit = true;
    }

    pub(crate) fn get(
        &self,
        shard: &ShardId,
        table: Table,
        key: &str,
    ) -> Result<Option<Document>, StoreError> {
        self.read(shard, table, |documents| documents.get(key).cloned())
    }

    pub(crate) fn get_many(
        &self,
        shard: &ShardId,
        table: Table,
        keys: &[&str],
    ) -> Result<Vec<Option<Document>>, StoreError> {
        self.read(shard, table, |documents| {
            keys.iter().map(|key| documents.get(*key).cloned()).collect()
        })
    }

    pub(crate) fn scan(
        &self,
        shard: &ShardId,
        table: Table,
        range: &Scan,
    ) -> Result<Vec<(String, Document)>, StoreError> {
        let start = match &range.after {
            Some(after) if *after >= range.prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(range.prefix.as_str()),
        };
        self.read(shard, table, |documents| {
            documents
                .range::<str, _>((start, Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(&range.prefix))
                .take(range.limit)
                .map(|(key, document)| (key.clone(), document.clone()))
                .collect()
        })
    }

    /// Gives whatever there is: a filter may be taken for less than it says.
    pub(crate) fn query(
        &self,
        shard: &ShardId,
        table: Table,
        lookup: &Lookup,
    ) -> Result<Found, StoreError> {
        let limit = lookup.limit.min(lookup.examine);
        let range = Scan { prefix: String::new(), after: lookup.after.clone(), limit: limit + 1 };
        let mut documents = self.scan(shard, table, &range)?;
        let has_more = documents.len() > limit;
        documents.truncate(limit);
        let last = documents.last().map(|(key, _)| key.clone());
        let examined = documents.len();
        Ok(Found { documents, examined, next: last.filter(|_| has_more) })
    }

    pub(crate) fn count(&self, shard: &ShardId, table: Table) -> Result<u64, StoreError> {
        self.read(shard, table, |documents| documents.len() as u64)
    }

    pub(crate) fn watch(&self, shard: &ShardId) -> watch::Receiver<u64> {
        let mut state = locked(&self.state);
        if state.closed || state.gone.contains(shard) {
            return watch::channel(0).1;
        }
        state.newest.entry(shard.clone()).or_default().subscribe()
    }

    pub(crate) fn shards(&self) -> Result<Vec<ShardId>, StoreError> {
        let state = locked(&self.state);
        match state.closed {
            true => Err(StoreError::Closed),
            false => Ok(state.shards.keys().cloned().collect()),
        }
    }

    pub(crate) fn commit(
        &self,
        shard: &ShardId,
        changes: &[Change],
    ) -> Result<Committed, CommitError> {
        let state = &mut *locked(&self.state);
        if state.closed {
            return Err(StoreError::Closed.into());
        }
        if state.gone.contains(shard) {
            return Err(CommitError::ShardGone);
        }
        let documents = state.shards.entry(shard.clone()).or_default();
        if std::mem::take(&mut state.fail_next_commit) {
            let told = io::Error::other("told to fail");
            let source = Arc::new(StoreError::io("commit to", shard.to_string(), told));
            return Err(StoreError::WriterStopped { shard: shard.clone(), source }.into());
        }
        let revision = documents.commit(changes)?;
        state.newest.entry(shard.clone()).or_default().send_replace(revision);
        Ok(Committed { revision })
    }

    pub(crate) fn drop_shard(&self, shard: &ShardId) -> Result<(), StoreError> {
        let mut state = locked(&self.state);
        if state.closed {
            return Err(StoreError::Closed);
        }
        state.shards.remove(shard);
        state.newest.remove(shard);
        state.gone.insert(shard.clone());
        Ok(())
    }

    pub(crate) fn close(&self) {
        let mut state = locked(&self.state);
        state.closed = true;
        state.newest.clear();
    }

    fn read<T>(
        &self,
        shard: &ShardId,
        table: Table,
        answer: impl FnOnce(&BTreeMap<String, Document>) -> T,
    ) -> Result<T, StoreError> {
        let state = locked(&self.state);
        if state.closed {
            return Err(StoreError::Closed);
        }
        let documents = state.shards.get(shard).and_then(|it| it.tables.get(&table));
        Ok(answer(documents.unwrap_or(&BTreeMap::new())))
    }
}

impl Shard {
    /// Checks all, then writes all, and answers the new revision.
    fn commit(&mut self, changes: &[Change]) -> Result<u64, CommitError> {
        let revision = self.revision + 1;
        // What the changes so far would leave, for the expectations of those after them.
        let mut pending = BTreeMap::new();
        for change in changes {
            let place = (change.table, change.key.as_str());
            let found = pending.get(&place).copied().unwrap_or_else(|| self.revision_of(place));
            if !change.expect.holds(found) {
                let (table, key) = (change.table, change.key.clone());
                return Err(CommitError::Conflict { table, key, found });
            }
            match &change.write {
                Write::Put(_) => pending.insert(place, Some(revision)),
                Write::Delete => pending.insert(place, None),
                Write::Check => None,
            };
        }
        for change in changes {
            let documents = self.tables.entry(change.table).or_default();
            match &change.write {
                Write::Put(body) => {
                    let document = Document { revision, body: body.clone() };
                    documents.insert(change.key.clone(), document);
                }
                Write::Delete => {
                    documents.remove(&change.key);
                }
                Write::Check => {}
            }
        }
        self.revision = revision;
        Ok(revision)
    }

    fn revision_of(&self, (table, key): (Table, &str)) -> Option<u64> {
        self.tables.get(&table)?.get(key).map(|it| it.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_to_fail_it_fails_once_and_writes_nothing() {
        let (memory, shard) = (Memory::default(), ShardId::control());
        memory.fail_next_commit();
        let error = memory.commit(&shard, &[]).unwrap_err();
        assert!(matches!(error, CommitError::Store(StoreError::WriterStopped { .. })), "{error}");
        assert_eq!(*memory.watch(&shard).borrow(), 0);
        assert_eq!(memory.commit(&shard, &[]).unwrap().revision, 1);
    }
}
