//! The bounded queue between callers and the writer thread.
//!
//! Callers wait for room without blocking a thread; the writer takes all that waits at once. How
//! long it waits for more is decided in [`Queue::take`].

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::error::LogError;
use super::{Append, Position, format};
use crate::locked;

pub(super) struct Queue {
    /// The room left, in bytes of records.
    room: Semaphore,
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

struct Waiting {
    requests: VecDeque<Request>,
    bytes: usize,
    /// The writer wants to be woken from so many requests on.
    wake_at: usize,
    /// Why nothing more is taken in, if so.
    ended: Option<LogError>,
}

/// One caller's records, and where their positions go.
pub(super) struct Request {
    pub(super) records: Vec<Append>,
    bytes: usize,
    answer: oneshot::Sender<Result<Vec<Position>, LogError>>,
}

impl Request {
    pub(super) fn answer(self, outcome: Result<Vec<Position>, LogError>) {
        // A caller who has gone away misses only the answer.
        let _ = self.answer.send(outcome);
    }
}

/// What will be answered once the records are synced.
pub(super) struct Answer(oneshot::Receiver<Result<Vec<Position>, LogError>>);

impl Answer {
    /// An answer to come, for a log without a writer of its own.
    pub(super) fn promised() -> (oneshot::Sender<Result<Vec<Position>, LogError>>, Self) {
        let (sender, awaited) = oneshot::channel();
        (sender, Self(awaited))
    }

    pub(super) async fn outcome(self) -> Result<Vec<Position>, LogError> {
        // The writer answers all that it takes, unless it panicked.
        self.0.await.unwrap_or(Err(LogError::Closed))
    }
}

impl Queue {
    pub(super) fn new() -> Self {
        let waiting =
            Waiting { requests: VecDeque::new(), bytes: 0, wake_at: usize::MAX, ended: None };
        Self {
            room: Semaphore::new(QUEUE_BYTES_MAX),
            waiting: Mutex::new(waiting),
            arrived: Condvar::new(),
        }
    }

    /// Waits for room and takes the records in.
    pub(super) async fn push(&self, records: Vec<Append>) -> Result<Answer, LogError> {
        let bytes: u64 =
            records.iter().map(|it| format::record_bytes(it.payload.len() as u64)).sum();
        // No append is larger than the queue: `APPEND_BYTES_MAX`, `RECORD_BYTES_CEILING`.
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        match self.room.acquire_many(permits).await {
            // Given back by the writer.
            Ok(room) => room.forget(),
            Err(_ended) => return Err(self.why_ended().unwrap_or(LogError::Closed)),
        }
        let (answer, awaited) = oneshot::channel();
        let mut waiting = locked(&self.waiting);
        if let Some(why) = &waiting.ended {
            return Err(why.clone());
        }
        waiting.requests.push_back(Request { records, bytes, answer });
        waiting.bytes += bytes;
        let is_due = waiting.requests.len() >= waiting.wake_at || waiting.bytes >= GROUP_BYTES_MAX;
        drop(waiting);
        if is_due {
            self.arrived.notify_one();
        }
        Ok(Answer(awaited))
    }

    /// All that waits, up to the bound of a group; none once ended and empty.
    ///
    /// Sleeps while nothing waits. Where `expected`, the number of requests that shared the last
    /// sync, is more than one, callers are presumably on their way back, and a sync that they share
    /// is worth `wait`; where none of them has come by then, the log is idle and the next request
    /// does not wait.
    pub(super) fn take(&self, expected: usize, wait: Duration) -> Option<Vec<Request>> {
        let mut waiting = locked(&self.waiting);
        if expected > 1 {
            waiting.wake_at = expected;
            let is_early = |it: &mut Waiting| {
                it.requests.len() < expected && it.bytes < GROUP_BYTES_MAX && it.ended.is_none()
            };
            let waited = self.arrived.wait_timeout_while(waiting, wait, is_early);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.wake_at = 1;
        let is_idle = |it: &mut Waiting| it.requests.is_empty() && it.ended.is_none();
        let waited = self.arrived.wait_while(waiting, is_idle);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.wake_at = usize::MAX;

        let mut group = Vec::with_capacity(waiting.requests.len());
        let mut bytes = 0;
        while bytes < GROUP_BYTES_MAX
            && let Some(request) = waiting.requests.pop_front()
        {
            bytes += request.bytes;
            group.push(request);
        }
        waiting.bytes -= bytes;
        drop(waiting);
        self.room.add_permits(bytes);
        (!group.is_empty()).then_some(group)
    }

    /// Takes no more in. What waits is still to be taken out. Later callers learn `why`, and so do
    /// those who wait for room.
    pub(super) fn end(&self, why: LogError) {
        locked(&self.waiting).ended.get_or_insert(why);
        self.room.close();
        self.arrived.notify_one();
    }

    pub(super) fn why_ended(&self) -> Option<LogError> {
        locked(&self.waiting).ended.clone()
    }
}

/// How many bytes of records may wait for the writer; further callers wait to be let in.
const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A group takes no further request from this size on.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
