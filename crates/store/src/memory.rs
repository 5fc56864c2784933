//! Documents in this process, for tests.
//!
//! Means the same as the files in all that a caller can see, but for restarts. It never blocks for
//! long, so its functions are plain ones.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, oneshot, watch};

use crate::document::{Change, Committed, Document, Scan, Write};
use crate::error::{CommitError, StoreError};
use crate::lookup::{Found, Lookup};
use crate::{ShardId, Table, locked};

/// An engine that forgets at exit and can be told to fail, to be slow, and what a kill would leave.
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
    /// Where commits wait for somebody to write them.
    held: Option<Held>,
}

struct Held {
    /// The oldest first.
    waiting: VecDeque<Waiting>,
    bell: Arc<Notify>,
}

struct Waiting {
    shard: ShardId,
    changes: Vec<Change>,
    answer: oneshot::Sender<Result<Committed, CommitError>>,
}

#[derive(Clone, Default)]
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

    /// Makes every commit from now on wait for [`Memory::write_next`], as for a disk: until then nobody sees
    /// it, and nobody is answered. Each of them rings `bell`.
    pub fn hold(&self, bell: Arc<Notify>) {
        locked(&self.state).held = Some(Held { waiting: VecDeque::new(), bell });
    }

    /// Writes the commit that has waited longest: false where none waits.
    pub fn write_next(&self) -> bool {
        locked(&self.state).write_next()
    }

    /// What a restart would find if the process were killed now: nothing that still waits.
    #[must_use]
    pub fn killed(&self) -> Self {
        let state = locked(&self.state);
        let newest = state.shards.iter().map(|(shard, it)| {
            let sender = watch::Sender::new(it.revision);
            (shard.clone(), sender)
        });
        let left =
            State { newest: newest.collect(), shards: state.shards.clone(), ..State::default() };
        Self { state: Arc::new(Mutex::new(left)) }
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

    pub(crate) async fn commit(
        &self,
        shard: &ShardId,
        changes: Vec<Change>,
    ) -> Result<Committed, CommitError> {
        let awaited = {
            let state = &mut *locked(&self.state);
            state.check_open(shard)?;
            let Some(held) = &mut state.held else { return state.commit(shard, &changes) };
            let (answer, awaited) = oneshot::channel();
            held.waiting.push_back(Waiting { shard: shard.clone(), changes, answer });
            held.bell.notify_one();
            awaited
        };
        awaited.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    pub(crate) fn drop_shard(&self, shard: &ShardId) -> Result<(), StoreError> {
        let mut state = locked(&self.state);
        if state.closed {
            return Err(StoreError::Closed);
        }
        while state.write_next() {}
        state.shards.remove(shard);
        state.newest.remove(shard);
        state.gone.insert(shard.clone());
        Ok(())
    }

    pub(crate) fn close(&self) {
        let mut state = locked(&self.state);
        while state.write_next() {}
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

impl State {
    fn check_open(&self, shard: &ShardId) -> Result<(), CommitError> {
        match self.closed {
            true => Err(StoreError::Closed.into()),
            false if self.gone.contains(shard) => Err(CommitError::ShardGone),
            false => Ok(()),
        }
    }

    fn write_next(&mut self) -> bool {
        let next = self.held.as_mut().and_then(|it| it.waiting.pop_front());
        let Some(Waiting { shard, changes, answer }) = next else { return false };
        // Who has gone away misses only the answer.
        let _ = answer.send(self.commit(&shard, &changes));
        true
    }

    fn commit(&mut self, shard: &ShardId, changes: &[Change]) -> Result<Committed, CommitError> {
        self.check_open(shard)?;
        let documents = self.shards.entry(shard.clone()).or_default();
        if std::mem::take(&mut self.fail_next_commit) {
            let told = io::Error::other("told to fail");
            let source = Arc::new(StoreError::io("commit to", shard.to_string(), told));
            return Err(StoreError::WriterStopped { shard: shard.clone(), source }.into());
        }
        let revision = documents.commit(changes)?;
        self.newest.entry(shard.clone()).or_default().send_replace(revision);
        Ok(Committed { revision })
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
    use crate::document::Expect;
    use crate::tables;
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn put(key: &str) -> Vec<Change> {
        let write = Write::Put("x".into());
        vec![Change { table: tables::SETTINGS, key: key.into(), expect: Expect::Anything, write }]
    }

    #[tokio::test]
    async fn told_to_fail_it_fails_once_and_writes_nothing() {
        let (memory, shard) = (Memory::default(), ShardId::control());
        memory.fail_next_commit();
        let error = memory.commit(&shard, Vec::new()).await.unwrap_err();
        assert!(matches!(error, CommitError::Store(StoreError::WriterStopped { .. })), "{error}");
        assert_eq!(*memory.watch(&shard).borrow(), 0);
        assert_eq!(memory.commit(&shard, Vec::new()).await.unwrap().revision, 1);
    }

    #[test]
    fn what_waits_is_neither_seen_nor_answered_and_a_kill_takes_it() {
        let (memory, shard) = (Memory::default(), ShardId::control());
        memory.hold(Arc::default());
        assert!(!memory.write_next());
        let mut first = pin!(memory.commit(&shard, put("a")));
        let context = &mut Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(context).is_pending());
        // Who gives up does not take a commit back.
        assert!(pin!(memory.commit(&shard, put("b"))).poll(context).is_pending());
        let count = |it: &Memory| it.count(&shard, tables::SETTINGS).unwrap();
        assert_eq!(count(&memory), 0);
        let nothing = memory.killed();
        assert!(memory.write_next());
        let Poll::Ready(answer) = first.poll(context) else { panic!("not answered") };
        assert_eq!(answer.unwrap().revision, 1);
        let half = memory.killed();
        assert!(memory.write_next() && !memory.write_next());
        assert_eq!([&nothing, &half, &memory].map(count), [0, 1, 2]);
        assert_eq!([&half, &memory].map(|it| *it.watch(&shard).borrow()), [1, 2]);
    }
}
