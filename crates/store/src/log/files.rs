//! A log in segment files.
//!
//! A writer thread (`writer.rs`) appends; readers (`read.rs`) open the segments themselves and see
//! what the writer has published in [`State`]. What opening does with the files is in
//! `recovery.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use tokio::sync::watch;

use super::error::LogError;
use super::format::Mark;
use super::index::Index;
use super::queue::{Answer, Queue};
use super::read::{self, Limit};
use super::recovery::{self, Recovered};
use super::segment::{self, Kind};
use super::writer::{Active, Writer};
use super::{Append, Bounds, DAMAGE_LISTED_MAX, Damage, LogOptions, Record, Start};
use crate::locked;

/// A log over the files of one directory.
#[derive(Clone)]
pub struct FileLog {
    shared: Arc<Shared>,
    /// Dropping the last clone finishes what is queued, and blocks for that.
    thread: Arc<WriterThread>,
}

/// What callers and the writer thread share.
pub(super) struct Shared {
    pub(super) directory: PathBuf,
    pub(super) options: LogOptions,
    pub(super) kind: Kind,
    pub(super) queue: Queue,
    pub(super) state: Mutex<State>,
    /// Per partition: where the record of a sequence, or the next of its partition, will be found.
    /// Readers that follow the tail start from there and not from a block's first record.
    pub(super) hints: Mutex<Vec<VecDeque<(u64, u64)>>>,
    damage: Mutex<BTreeMap<u64, Damage>>,
    /// Held while segments are removed.
    trimming: Mutex<()>,
    /// Held as long as the log is open; none once it is closed.
    lock: Mutex<Option<File>>,
}

/// What readers see.
pub(super) struct State {
    /// By offset. Never empty.
    pub(super) segments: BTreeMap<u64, Arc<Segment>>,
    pub(super) bounds: Vec<Bounds>,
    /// None once the log is closed.
    tails: Option<Vec<watch::Sender<u64>>>,
}

pub(super) struct Segment {
    pub(super) base: u64,
    pub(super) path: PathBuf,
    pub(super) capacity: u64,
    /// No damage was found when it was opened.
    pub(super) is_sound: bool,
    /// Grows as long as the segment is written to.
    pub(super) index: Mutex<Index>,
}

impl FileLog {
    /// Blocks.
    pub(super) fn open(
        directory: &Path,
        options: LogOptions,
        now_ms: i64,
    ) -> Result<Self, LogError> {
        let (shared, active, marks) = Self::recovered(directory, options, now_ms)?;
        Self::start(shared, active, marks)
    }

    fn recovered(
        directory: &Path,
        options: LogOptions,
        now_ms: i64,
    ) -> Result<(Arc<Shared>, Active, Vec<Mark>), LogError> {
        let lock = recovery::prepare(directory)?;
        let expired_before = options.expired_before(now_ms);
        let Recovered { kind, segments, marks, damage, newest } =
            recovery::recover(directory, &options)?;
        let shared = Shared {
            directory: directory.to_owned(),
            options,
            kind,
            queue: Queue::new(),
            state: Mutex::new(State::new(segments, &marks)),
            hints: Mutex::new(vec![VecDeque::new(); usize::from(kind.partitions)]),
            damage: Mutex::default(),
            trimming: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        };
        for (path, base, from, to) in damage {
            shared.note_damage(&path, base, from, to);
        }
        let active = recovery::activate(&shared, newest, &marks)?;
        shared.trim(expired_before)?;
        Ok((Arc::new(shared), active, marks))
    }

    fn start(shared: Arc<Shared>, active: Active, marks: Vec<Mark>) -> Result<Self, LogError> {
        let writer = Writer::new(shared.clone(), active, marks);
        let thread = thread::Builder::new().name("store-log".to_owned());
        let thread = thread
            .spawn(move || writer.run())
            .map_err(|source| LogError::io("start a thread for", &shared.directory, source))?;
        let thread = WriterThread { shared: shared.clone(), thread: Mutex::new(Some(thread)) };
        Ok(Self { shared, thread: Arc::new(thread) })
    }

    pub(super) async fn queue(&self, records: Vec<Append>) -> Result<Answer, LogError> {
        self.check_open()?;
        self.shared.queue.push(records).await
    }

    pub(super) async fn read(
        &self,
        partition: u16,
        start: Start,
        limit: Limit,
    ) -> Result<Vec<Record>, LogError> {
        self.check_open()?;
        if limit.records == 0 || !read::may_find(&self.shared, partition, start) {
            return Ok(Vec::new());
        }
        let shared = self.shared.clone();
        blocking(move || read::read(&shared, partition, start, limit)).await
    }

    pub(super) fn bounds(&self, partition: u16) -> Option<Bounds> {
        locked(&self.shared.state).bounds.get(usize::from(partition)).copied()
    }

    pub(super) fn tail(&self, partition: u16) -> Option<watch::Receiver<u64>> {
        let state = locked(&self.shared.state);
        state.tails.as_ref()?.get(usize::from(partition)).map(watch::Sender::subscribe)
    }

    pub(super) async fn trim(&self, before_ms: i64) -> Result<usize, LogError> {
        self.check_open()?;
        let shared = self.shared.clone();
        blocking(move || shared.trim(before_ms)).await
    }

    pub(super) fn damage(&self) -> Vec<Damage> {
        locked(&self.shared.damage).values().cloned().collect()
    }

    pub(super) async fn close(&self) {
        let thread = self.thread.clone();
        // An error means that the runtime is shutting down; dropping the log then closes it.
        let _ = blocking(move || {
            thread.end();
            Ok(())
        })
        .await;
    }

    /// # Errors
    /// [`LogError::Closed`]. A writer that has stopped does not keep anybody from reading.
    pub(super) fn check_open(&self) -> Result<(), LogError> {
        match locked(&self.shared.state).tails {
            Some(_) => Ok(()),
            None => Err(LogError::Closed),
        }
    }

    pub(super) fn options(&self) -> &LogOptions {
        &self.shared.options
    }
}

impl State {
    fn new(segments: Vec<Segment>, marks: &[Mark]) -> Self {
        let segments: BTreeMap<u64, Arc<Segment>> =
            segments.into_iter().map(|it| (it.base, Arc::new(it))).collect();
        let bounds = marks.iter().map(|mark| Bounds {
            first_sequence: mark.next_sequence,
            next_sequence: mark.next_sequence,
            last_time_ms: mark.last.map(|(time_ms, _)| time_ms),
            last_offset: mark.last.map(|(_, offset)| offset),
        });
        let tails = marks.iter().map(|it| watch::Sender::new(it.next_sequence)).collect();
        let mut state = Self { segments, bounds: bounds.collect(), tails: Some(tails) };
        state.find_first();
        state
    }

    /// Finds each partition's oldest record anew, and answers where the oldest segment starts.
    fn find_first(&mut self) -> u64 {
        let mut missing = self.bounds.len();
        let mut found: Vec<Option<u64>> = vec![None; missing];
        for segment in self.segments.values() {
            let index = locked(&segment.index);
            for (found, lane) in found.iter_mut().zip(&index.lanes) {
                if let (None, Some(block)) = (&found, lane.blocks.first()) {
                    *found = Some(block.sequence);
                    missing -= 1;
                }
            }
            if missing == 0 {
                break;
            }
        }
        for (bounds, found) in self.bounds.iter_mut().zip(found) {
            bounds.first_sequence = found.unwrap_or(bounds.next_sequence);
        }
        self.segments.keys().next().copied().unwrap_or(0)
    }
}

impl Shared {
    /// Shows readers what was synced.
    pub(super) fn publish(&self, touched: impl Iterator<Item = u16>, marks: &[Mark]) {
        let mut is_touched = vec![false; marks.len()];
        for partition in touched {
            if let Some(it) = is_touched.get_mut(usize::from(partition)) {
                *it = true;
            }
        }
        let mut state = locked(&self.state);
        let State { bounds, tails, .. } = &mut *state;
        for (at, mark) in
            marks.iter().enumerate().filter(|(at, _)| is_touched.get(*at) == Some(&true))
        {
            if let Some(bounds) = bounds.get_mut(at) {
                bounds.next_sequence = mark.next_sequence;
                bounds.last_time_ms = mark.last.map(|(time_ms, _)| time_ms);
                bounds.last_offset = mark.last.map(|(_, offset)| offset);
            }
            if let Some(tail) = tails.as_ref().and_then(|it| it.get(at)) {
                tail.send_replace(mark.next_sequence);
            }
        }
    }

    /// Removes the oldest segments as long as they hold nothing that is not older. Blocks.
    fn trim(&self, before_ms: i64) -> Result<usize, LogError> {
        let _alone = locked(&self.trimming);
        let mut removed = 0;
        let mut outcome = Ok(());
        while let Some(segment) = self.expired(before_ms) {
            outcome = segment::remove(&segment.path);
            if outcome.is_err() {
                break;
            }
            locked(&self.state).segments.remove(&segment.base);
            removed += 1;
        }
        if removed > 0 {
            let first = locked(&self.state).find_first();
            let mut damage = locked(&self.damage);
            *damage = damage.split_off(&first);
            drop(damage);
            outcome = outcome.and(segment::sync_directory(&self.directory));
        }
        outcome.map(|()| removed)
    }

    /// The oldest segment, if it is closed and everything in it is older.
    fn expired(&self, before_ms: i64) -> Option<Arc<Segment>> {
        let state = locked(&self.state);
        let oldest = state.segments.values().next().filter(|_| state.segments.len() > 1)?;
        let is_expired = locked(&oldest.index).time_max.is_none_or(|it| it < before_ms);
        is_expired.then(|| oldest.clone())
    }

    /// `from` and `to` are positions in the file that starts at `base`.
    pub(super) fn note_damage(&self, path: &Path, base: u64, from: u64, to: u64) {
        let mut damage = locked(&self.damage);
        let (offset, bytes) = (base.saturating_add(from), to.saturating_sub(from));
        if damage.len() < DAMAGE_LISTED_MAX || damage.contains_key(&offset) {
            damage.insert(offset, Damage { path: path.to_owned(), offset, bytes });
        }
    }
}

struct WriterThread {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl WriterThread {
    /// Lets the writer finish, waits for it, and releases the files.
    fn end(&self) {
        self.shared.queue.end(LogError::Closed);
        // Held while waiting, so that who closes at the same time waits, too.
        let mut thread = locked(&self.thread);
        // An error is the thread's panic, which has been reported on its own.
        thread.take().map(JoinHandle::join);
        locked(&self.shared.state).tails = None;
        locked(&self.shared.lock).take();
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs what may take longer than a task should hold its thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and the log with it.
            Err(_cancelled) => Err(LogError::Closed),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log whose newest segment is another file than it should be.
    fn over(directory: &Path, file: File) -> FileLog {
        let options = LogOptions { segment_bytes: 512 * 1024, ..LogOptions::new(2, 7) };
        let (shared, mut active, marks) = FileLog::recovered(directory, options, 0).unwrap();
        active.file = file;
        FileLog::start(shared, active, marks).unwrap()
    }

    async fn append(log: &FileLog) -> Result<Vec<super::super::Position>, LogError> {
        let record = Append { partition: 1, time_ms: 0, payload: "a".into() };
        log.queue(vec![record]).await?.outcome().await
    }

    async fn check_stops_for_good(file: File, doing: &str) {
        let directory = tempfile::tempdir().unwrap();
        let log = over(directory.path(), file);
        let first = append(&log).await.unwrap_err();
        let LogError::WriterStopped { source, .. } = &first else { panic!("{first}") };
        assert!(source.to_string().starts_with(&format!("cannot {doing} `")), "{source}");
        // Not even an attempt: the answer is the first failure.
        let second = append(&log).await.unwrap_err();
        assert_eq!(format!("{second:?}"), format!("{first:?}"));
        assert_eq!(log.bounds(1), Some(Bounds::default()));
        assert!(read::read(&log.shared, 1, Start::Earliest, ALL).unwrap().is_empty());
        log.close().await;
        assert!(matches!(append(&log).await, Err(LogError::Closed)));
    }

    const ALL: Limit = Limit { records: 10, bytes: 10 };

    #[tokio::test]
    async fn a_failed_write_stops_the_writer_for_good() {
        check_stops_for_good(File::open("/dev/null").unwrap(), "write to").await;
    }

    #[tokio::test]
    async fn a_failed_sync_stops_the_writer_for_good() {
        // Takes every write, and cannot be synced.
        let file = File::options().write(true).open("/dev/null").unwrap();
        check_stops_for_good(file, "sync").await;
    }

    #[tokio::test]
    async fn those_who_wait_for_room_learn_that_the_writer_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let log = over(directory.path(), File::open("/dev/null").unwrap());
        let mut appends = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let log = log.clone();
            appends.spawn(async move {
                let payload = vec![0; 300_000].into();
                let record = Append { partition: 0, time_ms: 0, payload };
                log.queue(vec![record]).await?.outcome().await
            });
        }
        for outcome in appends.join_all().await {
            assert!(matches!(outcome, Err(LogError::WriterStopped { .. })), "{outcome:?}");
        }
    }
}
