//! One shard's place in the engine, from before its file is opened until after it is gone.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

use super::checkpoints::{Asker, Log};
use super::indexes::{Indexes, New};
use super::readers::Readers;
use super::thread::OwnThread;
use super::writer::{Message, QUEUE_MAX, Request, Writer};
use super::{blocking, file};
use crate::document::{Change, Committed};
use crate::error::{CommitError, StoreError};
use crate::{ShardId, locked};

pub(super) struct Slot {
    pub(super) shard: ShardId,
    pub(super) path: PathBuf,
    /// Held while the file is opened, so that it is opened once.
    state: Mutex<State>,
}

enum State {
    /// Not opened yet; watchers may wait already.
    Idle(watch::Sender<u64>),
    Open(Arc<Open>),
    Ended(Refusal),
}

/// Why a shard cannot be used.
#[derive(Clone)]
pub(super) enum Refusal {
    Dropped,
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for CommitError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Dropped => Self::ShardGone,
            Refusal::Store(error) => Self::Store(error),
        }
    }
}

impl Slot {
    pub(super) fn new(shard: ShardId, path: PathBuf) -> Arc<Self> {
        let state = Mutex::new(State::Idle(watch::Sender::default()));
        Arc::new(Self { shard, path, state })
    }

    /// The open shard or why there will be none; `None` where only [`Slot::open`] can tell. Never
    /// blocks.
    pub(super) fn decided(&self) -> Option<Result<Arc<Open>, Refusal>> {
        let state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        match &*state {
            State::Idle(_) => None,
            State::Open(open) => Some(Ok(open.clone())),
            State::Ended(refusal) => Some(Err(refusal.clone())),
        }
    }

    /// Opens the shard, and makes its file first where it is missing. Blocks.
    pub(super) fn open(&self, asker: &Asker) -> Result<Arc<Open>, Refusal> {
        self.open_locked(&mut locked(&self.state), asker)
    }

    /// Opens the shard if there is a file to open, and watches it. Blocks.
    pub(super) fn watch(&self, asker: &Asker) -> watch::Receiver<u64> {
        let mut state = locked(&self.state);
        if self.path.exists() {
            // Where this fails, so will the next read, and it can say so.
            let _ = self.open_locked(&mut state, asker);
        }
        match &*state {
            State::Idle(newest) => newest.subscribe(),
            State::Open(open) => open.newest.subscribe(),
            State::Ended(_) => watch::channel(0).1,
        }
    }

    /// Ends the slot, and gives back what has to be stopped. Waits for an opening under way.
    pub(super) fn end(&self, refusal: Refusal) -> Option<Arc<Open>> {
        match std::mem::replace(&mut *locked(&self.state), State::Ended(refusal)) {
            State::Open(open) => Some(open),
            State::Idle(_) | State::Ended(_) => None,
        }
    }

    /// Why an open shard turned a caller away.
    pub(super) fn refusal(&self) -> Refusal {
        match &*locked(&self.state) {
            State::Ended(refusal) => refusal.clone(),
            State::Idle(_) | State::Open(_) => StoreError::Closed.into(),
        }
    }

    fn open_locked(&self, state: &mut State, asker: &Asker) -> Result<Arc<Open>, Refusal> {
        let newest = match state {
            State::Idle(newest) => newest.clone(),
            State::Open(open) => return Ok(open.clone()),
            State::Ended(refusal) => return Err(refusal.clone()),
        };
        let open = Arc::new(Open::start(self, newest, asker.clone())?);
        *state = State::Open(open.clone());
        Ok(open)
    }
}

/// A shard with its file open. Dropping it finishes what is queued, and blocks for that.
pub(super) struct Open {
    pub(super) readers: Arc<Readers>,
    pub(super) indexes: Arc<Indexes>,
    newest: watch::Sender<u64>,
    // INVARIANT: before `writer`, whose drop waits for a thread that lives as long as somebody can
    // ask.
    queue: mpsc::Sender<Message>,
    writer: OwnThread<Result<(), StoreError>>,
}

impl Open {
    fn start(slot: &Slot, newest: watch::Sender<u64>, asker: Asker) -> Result<Self, StoreError> {
        let path = slot.path.clone();
        let connection = file::open(&path)?;
        let unread = |source| StoreError::sqlite("read from", &path, source);
        let revision = file::revision(&connection).map_err(unread)?;
        let indexes = Arc::new(Indexes::of(&connection).map_err(unread)?);
        newest.send_if_modified(|it| std::mem::replace(it, revision) != revision);

        let (queue, queued) = mpsc::channel(QUEUE_MAX);
        let writer = Writer {
            shard: slot.shard.clone(),
            path: path.clone(),
            connection,
            queue: queued,
            indexes: indexes.clone(),
            newest: newest.clone(),
            log: Log::new(&path),
            asker,
        };
        let writer = OwnThread::start(&slot.shard.to_string(), &path, move || writer.run())?;
        Ok(Self { readers: Readers::new(&path), indexes, newest, queue, writer })
    }

    /// Queues a commit and waits for its outcome. `None` where the writer has stopped.
    pub(super) async fn commit(
        &self,
        changes: Vec<Change>,
    ) -> Option<Result<Committed, CommitError>> {
        let (answer, outcome) = oneshot::channel();
        let message = Message::Commit(Request { changes, answer });
        self.queue.send(message).await.ok()?;
        outcome.await.ok()
    }

    /// Has an index made, if the writer has room for that; nobody waits for it.
    pub(super) fn make(&self, new: New) {
        if self.queue.try_send(Message::Index(new)).is_err() {
            self.indexes.give_up();
        }
    }

    /// Finishes what is queued, empties the log and closes the file.
    pub(super) async fn stop(&self) -> Result<(), StoreError> {
        // Readers first: none of them then keeps the log from being emptied.
        self.readers.close().await;
        // An error means that the writer has stopped already.
        let _ = self.queue.send(Message::Stop).await;
        match self.writer.take() {
            Some(writer) => blocking(move || joined(writer)).await,
            None => Ok(()),
        }
    }
}

fn joined<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
