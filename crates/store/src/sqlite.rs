//! Documents in SQLite files, one file per shard.
//!
//! A shard is opened by its first use and then stays open: one writer thread (`writer.rs`), a few
//! read-only connections (`readers.rs`), and the engine's one checkpoint thread (`checkpoints.rs`).
//! What a file looks like, and which files are refused, is in `file.rs`; `slot.rs` follows a shard
//! from closed to gone.

mod bodies;
mod checkpoints;
mod file;
mod filter;
mod indexes;
mod readers;
mod slot;
mod thread;
mod writer;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use self::checkpoints::Asker;
use self::readers::Reader;
use self::slot::{Open, Refusal, Slot};
use self::thread::OwnThread;
use crate::document::{Change, Committed, Document, Scan};
use crate::error::{CommitError, StoreError};
use crate::lookup::{Found, Lookup};
use crate::{ShardId, Table, locked};

/// An engine over the files of one directory.
#[derive(Clone)]
pub struct Sqlite {
    parts: Arc<Parts>,
}

struct Parts {
    directory: PathBuf,
    // INVARIANT: these two before `_checkpoints`, whose drop waits for a thread that lives as long
    // as somebody can ask.
    slots: Mutex<Slots>,
    asker: Asker,
    _checkpoints: OwnThread<()>,
}

#[derive(Default)]
struct Slots {
    closed: bool,
    by_shard: BTreeMap<ShardId, Arc<Slot>>,
}

impl Sqlite {
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        match DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) => file::sync_directory_of(directory)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(StoreError::io("create", directory, error)),
        }
        let (asker, checkpoints) = checkpoints::start(directory)?;
        let parts = Parts {
            directory: directory.to_owned(),
            slots: Mutex::default(),
            asker,
            _checkpoints: checkpoints,
        };
        Ok(Self { parts: Arc::new(parts) })
    }

    pub(crate) async fn get(
        &self,
        shard: &ShardId,
        table: Table,
        key: &str,
    ) -> Result<Option<Document>, StoreError> {
        match self.reader(shard).await? {
            // A few µs, which is less than handing it to another thread.
            Some(mut reader) => reader.get(table, key),
            None => Ok(None),
        }
    }

    pub(crate) async fn get_many(
        &self,
        shard: &ShardId,
        table: Table,
        keys: &[&str],
    ) -> Result<Vec<Option<Document>>, StoreError> {
        match self.reader(shard).await? {
            None => Ok(vec![None; keys.len()]),
            Some(mut reader) if keys.len() <= KEYS_AT_ONCE => reader.get_many(table, keys),
            Some(mut reader) => {
                let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
                blocking(move || reader.get_many(table, &keys)).await
            }
        }
    }

    pub(crate) async fn commit(
        &self,
        shard: &ShardId,
        changes: Vec<Change>,
    ) -> Result<Committed, CommitError> {
        let slot = self.slot(shard)?;
        let open = self.opened(&slot).await?;
        open.commit(changes).await.unwrap_or_else(|| Err(slot.refusal().into()))
    }

    pub(crate) async fn scan(
        &self,
        shard: &ShardId,
        table: Table,
        range: Scan,
    ) -> Result<Vec<(String, Document)>, StoreError> {
        match self.reader(shard).await? {
            Some(mut reader) => blocking(move || reader.scan(table, &range)).await,
            None => Ok(Vec::new()),
        }
    }

    pub(crate) async fn query(
        &self,
        shard: &ShardId,
        table: Table,
        lookup: Lookup,
    ) -> Result<Found, StoreError> {
        let Some((open, mut reader)) = self.lent(shard).await? else {
            return Ok(Found { documents: Vec::new(), examined: 0, next: None });
        };
        let indexes = open.indexes.clone();
        let (found, new) = blocking(move || reader.query(table, &lookup, &indexes)).await?;
        if let Some(new) = new {
            open.make(new);
        }
        Ok(found)
    }

    pub(crate) async fn count(&self, shard: &ShardId, table: Table) -> Result<u64, StoreError> {
        match self.reader(shard).await? {
            Some(mut reader) => blocking(move || reader.count(table)).await,
            None => Ok(0),
        }
    }

    pub(crate) fn watch(&self, shard: &ShardId) -> watch::Receiver<u64> {
        match self.slot(shard) {
            Ok(slot) => slot.watch(&self.parts.asker),
            Err(_closed) => watch::channel(0).1,
        }
    }

    pub(crate) async fn shards(&self) -> Result<Vec<ShardId>, StoreError> {
        let directory = self.parts.directory.clone();
        let mut shards = blocking(move || {
            list(&directory).map_err(|source| StoreError::io("list", directory, source))
        })
        .await?;
        let slots = self.slots()?;
        // One that is being dropped may still have its file.
        shards.retain(|shard| {
            let decided = slots.by_shard.get(shard).and_then(|slot| slot.decided());
            !matches!(decided, Some(Err(Refusal::Dropped)))
        });
        shards.sort();
        Ok(shards)
    }

    pub(crate) async fn drop_shard(&self, shard: &ShardId) -> Result<(), StoreError> {
        let slot = self.slot(shard)?;
        if let Some(open) = end(slot.clone(), Refusal::Dropped).await? {
            // That its log could not be emptied is of no interest: it is removed.
            let _ = open.stop().await;
        }
        blocking(move || file::remove(&slot.path)).await
    }

    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        let slots = {
            let mut slots = locked(&self.parts.slots);
            slots.closed = true;
            std::mem::take(&mut slots.by_shard)
        };
        let mut closed = Ok(());
        for slot in slots.into_values() {
            if let Some(open) = end(slot, StoreError::Closed.into()).await? {
                closed = closed.and(open.stop().await);
            }
        }
        closed
    }

    /// A connection to read from the shard; `None` where there is no such shard.
    async fn reader(&self, shard: &ShardId) -> Result<Option<Reader>, StoreError> {
        Ok(self.lent(shard).await?.map(|(_, reader)| reader))
    }

    async fn lent(&self, shard: &ShardId) -> Result<Option<(Arc<Open>, Reader)>, StoreError> {
        let Some(slot) = self.slot_if_there(shard)? else {
            return Ok(None);
        };
        let lent = match self.opened(&slot).await {
            Ok(open) => {
                let reader = open.readers.lend().await?;
                reader.map(|it| (open, it)).ok_or_else(|| slot.refusal())
            }
            Err(refusal) => Err(refusal),
        };
        match lent {
            Ok(lent) => Ok(Some(lent)),
            Err(Refusal::Dropped) => Ok(None),
            Err(Refusal::Store(error)) => Err(error),
        }
    }

    async fn opened(&self, slot: &Arc<Slot>) -> Result<Arc<Open>, Refusal> {
        match slot.decided() {
            Some(decided) => decided,
            None => {
                let (slot, asker) = (slot.clone(), self.parts.asker.clone());
                blocking(move || slot.open(&asker)).await
            }
        }
    }

    /// The shard's slot, unless it is not open and there is no file to open.
    fn slot_if_there(&self, shard: &ShardId) -> Result<Option<Arc<Slot>>, StoreError> {
        let slot = self.slots()?.by_shard.get(shard).cloned();
        match slot {
            Some(slot) if slot.decided().is_some() || slot.path.exists() => Ok(Some(slot)),
            None if self.path(shard).exists() => self.slot(shard).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    fn slot(&self, shard: &ShardId) -> Result<Arc<Slot>, StoreError> {
        let mut slots = self.slots()?;
        let new = || Slot::new(shard.clone(), self.path(shard));
        Ok(slots.by_shard.entry(shard.clone()).or_insert_with(new).clone())
    }

    fn slots(&self) -> Result<MutexGuard<'_, Slots>, StoreError> {
        let slots = locked(&self.parts.slots);
        match slots.closed {
            true => Err(StoreError::Closed),
            false => Ok(slots),
        }
    }

    fn path(&self, shard: &ShardId) -> PathBuf {
        self.parts.directory.join(format!("{shard}{ENDING}"))
    }
}

async fn end(slot: Arc<Slot>, refusal: Refusal) -> Result<Option<Arc<Open>>, StoreError> {
    blocking(move || Ok(slot.end(refusal))).await
}

/// The shards that have a file in `directory`. Files of other names are not ours to judge.
fn list(directory: &Path) -> io::Result<Vec<ShardId>> {
    let mut shards = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|it| it.strip_suffix(ENDING));
        shards.extend(stem.and_then(|it| ShardId::parse(it).ok()));
    }
    Ok(shards)
}

/// Runs what may take longer than a task should hold its thread.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and the store with it.
            Err(_cancelled) => Err(StoreError::Closed.into()),
        },
    }
}

/// What a shard's file name ends in.
const ENDING: &str = ".sqlite";

/// Up to so many keys are read in the caller's task; more go to another thread.
const KEYS_AT_ONCE: usize = 32;
