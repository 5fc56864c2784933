//! What the hub keeps in order: records, in a partitioned log.
//!
//! One log per hub. A record is a payload under a time in a partition; a partition numbers its
//! records and never changes one. [`Log::append`] returns only once its record is on the disk, and
//! a reader sees a record only then.
//!
//! This module decides what "appended" means: which numbers a record gets, when it counts, what a
//! crash or a damaged disk may cost (nothing acknowledged; nothing but what is damaged). It never
//! looks into a payload and never reads a clock. Start at [`Log`]; the files' format is in
//! `docs/reference/log-format.md` and `log/format.rs`, the way from a call to the disk in
//! `log/writer.rs`, what opening does in `log/recovery.rs`.

mod error;
mod files;
mod format;
mod index;
mod memory;
mod queue;
mod read;
mod recovery;
mod segment;
mod verify;
mod walk;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

pub use error::LogError;
pub use files::FileLog;
pub use memory::MemoryLog;
pub use verify::{Verified, verify, verify_watched};

/// Where records are kept. Cloning is cheap, and clones share everything.
///
/// Both pass `tests/log_contract.rs`.
#[derive(Clone)]
pub enum Log {
    /// For tests: forgets at exit, can be told to fail.
    Memory(MemoryLog),
    /// The default: segment files in one directory.
    Files(FileLog),
}

/// What a log is made and opened with.
#[derive(Clone)]
pub struct LogOptions {
    /// How many partitions, 1 to [`PARTITIONS_MAX`]. Fixed when the log is made.
    pub partitions: u16,
    /// A number that no device can guess. Marks the log's records, so that no payload can pass for
    /// one when a damaged file is searched for the next. Counts when the log is made.
    pub salt: u64,
    /// The size of a segment file; trimming removes whole segments. At most [`SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
    /// Opening the log trims what is older.
    pub retention: Duration,
    /// The longest payload.
    pub record_bytes_max: usize,
    /// How long the writer waits for as many appends as shared the last sync. It never waits when
    /// it was idle.
    pub wait_max: Duration,
}

impl LogOptions {
    /// The defaults: segments of 64 MiB, one day, payloads of 256 KiB and as much again as a
    /// message's properties may take, a wait of up to 2 ms.
    pub fn new(partitions: u16, salt: u64) -> Self {
        Self {
            partitions,
            salt,
            segment_bytes: 64 * 1024 * 1024,
            retention: Duration::from_secs(24 * 60 * 60),
            record_bytes_max: 256 * 1024 + 64 * 1024,
            wait_max: Duration::from_millis(2),
        }
    }

    /// # Errors
    /// [`LogError::OptionOutOfRange`] names the first that is.
    fn checked(self) -> Result<Self, LogError> {
        let record = self.record_bytes_max as u64;
        let segment_bytes_min = format::record_bytes(record).saturating_add(format::RECORDS_FROM);
        let ranges = [
            ("partitions", u64::from(self.partitions), 1, u64::from(PARTITIONS_MAX)),
            ("record_bytes_max", record, 1, RECORD_BYTES_CEILING),
            ("segment_bytes", self.segment_bytes, segment_bytes_min, SEGMENT_BYTES_MAX),
        ];
        for (option, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(LogError::OptionOutOfRange { option, value, least, most });
            }
        }
        Ok(self)
    }

    /// The time before which records are too old.
    fn expired_before(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(i64::try_from(self.retention.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Debug for LogOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogOptions")
            .field("partitions", &self.partitions)
            .field("segment_bytes", &self.segment_bytes)
            .field("retention", &self.retention)
            .field("record_bytes_max", &self.record_bytes_max)
            .field("wait_max", &self.wait_max)
            .finish_non_exhaustive()
    }
}

/// A record to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    pub partition: u16,
    /// Milliseconds since 1970. Kept as it is; the log does not mind where it goes back.
    pub time_ms: i64,
    pub payload: Bytes,
}

/// Where a record is. Never changes, and is never given to another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub partition: u16,
    /// Counts from 0 in each partition. Skips numbers only where damage took records.
    pub sequence: u64,
    /// Grows with each record of the whole log, by more than 1.
    pub offset: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub position: Position,
    pub time_ms: i64,
    pub payload: Bytes,
}

/// Where reading starts, in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first record with this sequence or a higher one.
    Sequence(u64),
    /// The first record at this offset or behind it.
    Offset(u64),
    /// The first record of this time or later, and everything behind it.
    Time(i64),
    /// The oldest record that is kept.
    Earliest,
    /// Behind the newest record: there is nothing to read yet.
    Latest,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest record that is kept; [`Bounds::next_sequence`] where none is.
    pub first_sequence: u64,
    /// What the next record will have.
    pub next_sequence: u64,
    /// Of the newest record, also where it was trimmed; none before the first.
    pub last_time_ms: Option<i64>,
    /// Of the newest record, also where it was trimmed; none before the first.
    pub last_offset: Option<u64>,
}

/// Bytes of the log that should be records and are not. They are skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment file.
    pub path: PathBuf,
    /// The first bad byte, from the start of the log; the file's name is where the file starts.
    pub offset: u64,
    pub bytes: u64,
}

/// An append that has its place in the queue, in the order of the calls.
#[must_use = "an append is acknowledged by `synced`"]
pub struct Queued(Outcome);

enum Outcome {
    Known(Result<Vec<Position>, LogError>),
    Awaited(queue::Answer),
}

impl Queued {
    /// Waits until the records are on the disk, and says where. Dropping this takes nothing back.
    ///
    /// # Errors
    /// [`LogError::WriterStopped`] where writing failed: the records may be found after a restart.
    pub async fn synced(self) -> Result<Vec<Position>, LogError> {
        match self.0 {
            Outcome::Known(outcome) => outcome,
            Outcome::Awaited(answer) => answer.outcome().await,
        }
    }
}

impl Log {
    /// An empty log in this process, with the default options and 1 to [`PARTITIONS_MAX`]
    /// partitions.
    pub fn memory(partitions: u16) -> Self {
        let options = LogOptions::new(partitions.clamp(1, PARTITIONS_MAX), 0);
        Self::Memory(MemoryLog::new(options))
    }

    /// As [`Log::memory`], with the limits and the segments of `options`, which decide what
    /// [`Log::trim`] removes.
    ///
    /// # Errors
    /// [`LogError::OptionOutOfRange`].
    pub fn memory_with(options: LogOptions) -> Result<Self, LogError> {
        options.checked().map(|it| Self::Memory(MemoryLog::new(it)))
    }

    /// Opens the log in `directory`, which is created, for its owner alone, where missing. Finishes
    /// what a crash interrupted and trims what is older than the retention at `now_ms`.
    ///
    /// # Errors
    /// [`LogError::InUse`] where a process has it open; [`LogError::NewerFormat`],
    /// [`LogError::ForeignFile`], [`LogError::UnreadableSegment`], [`LogError::PartitionsChanged`]
    /// where the files are not what they should be; [`LogError::OptionOutOfRange`];
    /// [`LogError::Io`].
    pub async fn open(
        directory: &Path,
        options: LogOptions,
        now_ms: i64,
    ) -> Result<Self, LogError> {
        let (directory, options) = (directory.to_owned(), options.checked()?);
        files::blocking(move || FileLog::open(&directory, options, now_ms)).await.map(Self::Files)
    }

    /// Appends one record and returns once it is on the disk and readers see it.
    ///
    /// Waits where the queue is full. Dropping the future does not take the record back.
    ///
    /// # Errors
    /// [`LogError::NoSuchPartition`] and [`LogError::RecordTooLarge`], with nothing appended;
    /// [`LogError::WriterStopped`] where writing failed, now or earlier; [`LogError::Closed`].
    pub async fn append(
        &self,
        partition: u16,
        time_ms: i64,
        payload: Bytes,
    ) -> Result<Position, LogError> {
        let positions = self.append_many(vec![Append { partition, time_ms, payload }]).await?;
        // Never missing: there is a position for each record.
        positions.first().copied().ok_or(LogError::Closed)
    }

    /// Appends records in their order, and answers their positions once all are on the disk.
    ///
    /// # Errors
    /// As [`Log::append`], and [`LogError::AppendTooLarge`] above [`APPEND_RECORDS_MAX`] or
    /// [`APPEND_BYTES_MAX`]. A crash may leave the first few of the records.
    pub async fn append_many(&self, records: Vec<Append>) -> Result<Vec<Position>, LogError> {
        self.queue(records).await?.synced().await
    }

    /// The first half of [`Log::append_many`]: returns as soon as there is room in the queue. Who
    /// awaits one call before the next has their records appended in that order, without waiting
    /// for a sync between them.
    ///
    /// # Errors
    /// As [`Log::append_many`].
    pub async fn queue(&self, records: Vec<Append>) -> Result<Queued, LogError> {
        self.check(&records)?;
        match self {
            Self::Memory(memory) => Ok(Queued(memory.queue(records))),
            Self::Files(files) if records.is_empty() => files.check_open().map(|()| nothing()),
            Self::Files(files) => files.queue(records).await.map(|it| Queued(Outcome::Awaited(it))),
        }
    }

    /// The records of a partition from `start` on, in order: at most `records_max` with at most
    /// `bytes_max` of payload between them, but one, however long, where there is one.
    ///
    /// None where nothing has come yet; [`Log::tail`] tells when something has. At most
    /// [`READ_RECORDS_MAX`] and [`READ_BYTES_MAX`], however high the limits. Goes on behind the
    /// last with its sequence plus 1. Damaged records are left out ([`Log::damage`]).
    ///
    /// # Errors
    /// [`LogError::NoSuchPartition`]; [`LogError::Io`]; [`LogError::Closed`].
    pub async fn read(
        &self,
        partition: u16,
        start: Start,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Record>, LogError> {
        self.check_partition(partition)?;
        let limit = read::Limit {
            records: records_max.min(READ_RECORDS_MAX),
            bytes: bytes_max.min(READ_BYTES_MAX),
        };
        match self {
            Self::Memory(memory) => memory.read(partition, start, limit),
            Self::Files(files) => files.read(partition, start, limit).await,
        }
    }

    /// What the partition holds now.
    ///
    /// # Errors
    /// [`LogError::NoSuchPartition`].
    pub fn bounds(&self, partition: u16) -> Result<Bounds, LogError> {
        let bounds = match self {
            Self::Memory(memory) => memory.bounds(partition),
            Self::Files(files) => files.bounds(partition),
        };
        bounds.ok_or_else(|| self.no_such(partition))
    }

    /// The partition's next sequence, now and whenever it grows. Ends when the log is closed.
    ///
    /// # Errors
    /// [`LogError::NoSuchPartition`]; [`LogError::Closed`].
    pub fn tail(&self, partition: u16) -> Result<watch::Receiver<u64>, LogError> {
        self.check_partition(partition)?;
        let tail = match self {
            Self::Memory(memory) => memory.tail(partition),
            Self::Files(files) => files.tail(partition),
        };
        tail.ok_or(LogError::Closed)
    }

    /// Removes the oldest segments, as long as all their records are older than `before_ms`, and
    /// answers how many. Never the newest segment; numbers are not used again.
    ///
    /// # Errors
    /// [`LogError::Io`] where a file cannot be removed; calling again goes on there.
    /// [`LogError::Closed`].
    pub async fn trim(&self, before_ms: i64) -> Result<usize, LogError> {
        match self {
            Self::Memory(memory) => memory.trim(before_ms),
            Self::Files(files) => files.trim(before_ms).await,
        }
    }

    /// The damage that opening and reading have come upon since the log was opened, by offset; the
    /// first [`DAMAGE_LISTED_MAX`]. [`verify`] looks everywhere.
    pub fn damage(&self) -> Vec<Damage> {
        match self {
            Self::Memory(_) => Vec::new(),
            Self::Files(files) => files.damage(),
        }
    }

    /// Finishes the appends already queued and releases the files. Everything later answers
    /// [`LogError::Closed`]. Closing twice is closing once.
    pub async fn close(&self) {
        match self {
            Self::Memory(memory) => memory.close(),
            Self::Files(files) => files.close().await,
        }
    }

    fn check(&self, records: &[Append]) -> Result<(), LogError> {
        let mut bytes = 0_usize;
        for record in records {
            self.check_partition(record.partition)?;
            let (length, most) = (record.payload.len(), self.options().record_bytes_max);
            if length > most {
                return Err(LogError::RecordTooLarge { bytes: length, most });
            }
            bytes = bytes.saturating_add(length);
        }
        // One record may be as long as the options say.
        let is_one = records.len() <= 1;
        if records.len() > APPEND_RECORDS_MAX || (bytes > APPEND_BYTES_MAX && !is_one) {
            return Err(LogError::AppendTooLarge { records: records.len(), bytes });
        }
        Ok(())
    }

    fn check_partition(&self, partition: u16) -> Result<(), LogError> {
        match partition < self.options().partitions {
            true => Ok(()),
            false => Err(self.no_such(partition)),
        }
    }

    fn no_such(&self, partition: u16) -> LogError {
        LogError::NoSuchPartition { partition, partitions: self.options().partitions }
    }

    fn options(&self) -> &LogOptions {
        match self {
            Self::Memory(memory) => memory.options(),
            Self::Files(files) => files.options(),
        }
    }
}

fn nothing() -> Queued {
    Queued(Outcome::Known(Ok(Vec::new())))
}

/// The most partitions of a log: what an Event Hubs-compatible endpoint can have. The header of a
/// segment has room for no more.
pub const PARTITIONS_MAX: u16 = 128;

/// The most records in one [`Log::append_many`].
pub const APPEND_RECORDS_MAX: usize = 4_096;

/// The most bytes of payload in one [`Log::append_many`], unless it is one record.
pub const APPEND_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most records that one [`Log::read`] answers.
pub const READ_RECORDS_MAX: usize = 10_000;

/// The most bytes of payload that one [`Log::read`] answers, unless one record is longer.
pub const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most places that [`Log::damage`] and [`Verified::damage`] list.
pub const DAMAGE_LISTED_MAX: usize = 1_000;

/// The largest [`LogOptions::segment_bytes`]: 1 GiB.
pub const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The largest [`LogOptions::record_bytes_max`]: 8 MiB, which fits the queue.
pub const RECORD_BYTES_CEILING: u64 = 8 * 1024 * 1024;
