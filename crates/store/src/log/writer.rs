//! The one thread that writes to a log.
//!
//! Syncing is what an append costs, and one sync can serve many: the thread takes every append that
//! waits, gives each record its numbers, writes them in one piece, syncs, shows them to readers, and
//! only then answers. When the segment is full it goes on in the next, which has been filled with
//! zeros ahead, so that no sync has to allocate.
//!
//! A write or a sync that fails is the last: it is not tried again, since the system may hold pages
//! for clean that are not on the disk, and everything from there on is answered with its cause.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::error::LogError;
use super::files::{Segment, Shared};
use super::format::{Mark, RECORDS_FROM, RecordHeader, Seal, SegmentHeader, record_bytes};
use super::index::Index;
use super::queue::Request;
use super::{Append, Position, segment};
use crate::locked;

pub(super) struct Writer {
    shared: Arc<Shared>,
    seal: Seal,
    active: Active,
    /// How far each partition has come, with what is not synced yet.
    marks: Vec<Mark>,
    spare: Option<Spare>,
    /// Records that are not written yet, and their headers with their positions in the file.
    bytes: Vec<u8>,
    headers: Vec<(RecordHeader, u64)>,
}

/// The segment that is written to.
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    pub(super) file: File,
    /// Where the next record goes, from the start of the file.
    pub(super) position: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, active: Active, marks: Vec<Mark>) -> Self {
        let seal = Seal::new(shared.kind.salt);
        let (bytes, headers) = (Vec::new(), Vec::new());
        Self { shared, seal, active, marks, spare: None, bytes, headers }
    }

    /// Writes until the queue is ended and empty.
    pub(super) fn run(mut self) {
        let shared = self.shared.clone();
        let mut expected = 1;
        while let Some(group) = shared.queue.take(expected, shared.options.wait_max) {
            expected = group.len();
            match self.append(&group) {
                Ok(positions) => {
                    for (request, positions) in group.into_iter().zip(positions) {
                        request.answer(Ok(positions));
                    }
                }
                Err(error) => {
                    let why = LogError::WriterStopped {
                        path: shared.directory.clone(),
                        source: Arc::new(error),
                    };
                    shared.queue.end(why.clone());
                    refuse(group, &why);
                    while let Some(group) = shared.queue.take(1, shared.options.wait_max) {
                        refuse(group, &why);
                    }
                }
            }
            self.bytes.shrink_to(BYTES_KEPT);
        }
    }

    /// Appends a group, and answers each request's positions, which hold once this returns.
    ///
    /// # Errors
    /// Nothing in the group may be acknowledged, nor anything later.
    fn append(&mut self, group: &[Request]) -> Result<Vec<Vec<Position>>, LogError> {
        let mut answers = Vec::with_capacity(group.len());
        for request in group {
            let mut positions = Vec::with_capacity(request.records.len());
            for record in &request.records {
                positions.push(self.place(record)?);
            }
            answers.push(positions);
        }
        self.sync()?;
        Ok(answers)
    }

    /// Gives a record its numbers and its place, in the next segment where this one is full.
    fn place(&mut self, record: &Append) -> Result<Position, LogError> {
        let bytes = record_bytes(record.payload.len() as u64);
        if self.room() < bytes {
            self.sync()?;
            // A new segment has room for every record: `LogOptions::checked`.
            self.go_on_in_next()?;
        }
        let mark =
            self.marks.get_mut(usize::from(record.partition)).ok_or(LogError::NoSuchPartition {
                partition: record.partition,
                partitions: self.shared.kind.partitions,
            })?;
        let position = self.active.position;
        let header = RecordHeader {
            payload_checksum: crc32fast::hash(&record.payload),
            // Checked against `RECORD_BYTES_CEILING`.
            length: u32::try_from(record.payload.len()).unwrap_or(u32::MAX),
            offset: self.active.segment.base + position,
            sequence: mark.next_sequence,
            time_ms: record.time_ms,
            partition: record.partition,
        };
        self.bytes.extend(header.encode(self.seal));
        self.bytes.extend(&record.payload);
        self.headers.push((header, position));
        self.active.position += bytes;
        mark.next_sequence += 1;
        mark.last = Some((header.time_ms, header.offset));
        Ok(Position {
            partition: header.partition,
            sequence: header.sequence,
            offset: header.offset,
        })
    }

    fn room(&self) -> u64 {
        self.active.segment.capacity.saturating_sub(self.active.position)
    }

    /// Writes and syncs what was placed, then shows it to readers.
    fn sync(&mut self) -> Result<(), LogError> {
        let Some((_, from)) = self.headers.first() else { return Ok(()) };
        let Active { segment, file, .. } = &self.active;
        file.write_all_at(&self.bytes, *from)
            .map_err(|source| LogError::io("write to", &segment.path, source))?;
        // On Linux this is fdatasync: the file has its size and its blocks already.
        file.sync_data().map_err(|source| LogError::io("sync", &segment.path, source))?;
        {
            let mut index = locked(&segment.index);
            for (header, position) in &self.headers {
                index.add(header, *position);
            }
        }
        let touched = self.headers.iter().map(|(header, _)| header.partition);
        self.shared.publish(touched, &self.marks);
        self.bytes.clear();
        self.headers.clear();
        if self.spare.is_none() && self.room() < self.active.segment.capacity / 2 {
            self.spare = Spare::start(&self.shared.directory, self.shared.options.segment_bytes);
        }
        Ok(())
    }

    /// Makes the next segment and turns to it. Everything placed is synced.
    fn go_on_in_next(&mut self) -> Result<(), LogError> {
        let shared = &self.shared;
        let spare = match self.spare.take() {
            Some(spare) => spare.made(),
            None => None,
        };
        let closed = self.active.segment.clone();
        let base = closed.base + closed.capacity;
        self.active = start_segment(shared, base, &self.marks, spare)?;
        locked(&shared.state).segments.insert(base, self.active.segment.clone());
        // A damaged segment is left without, so that each opening finds and tells the damage.
        if closed.is_sound {
            let index = locked(&closed.index).encode(shared.kind.salt, closed.base);
            let _ = segment::write_index(&closed.path, &index);
        }
        Ok(())
    }
}

fn refuse(group: Vec<Request>, why: &LogError) {
    for request in group {
        request.answer(Err(why.clone()));
    }
}

/// Makes the segment at `base`, out of `spare` where there is one.
pub(super) fn start_segment(
    shared: &Shared,
    base: u64,
    marks: &[Mark],
    spare: Option<(File, u64)>,
) -> Result<Active, LogError> {
    let (file, capacity) = match spare {
        Some(spare) => spare,
        None => {
            let bytes = shared.options.segment_bytes;
            let made = segment::make_spare(&shared.directory, bytes, &AtomicBool::new(false))?;
            // Only one that is told to stop makes none.
            (made.ok_or(LogError::Closed)?, bytes)
        }
    };
    let header = SegmentHeader { base, salt: shared.kind.salt, capacity, starts: marks.to_vec() };
    let path = segment::install(&shared.directory, &file, &header)?;
    let index = Index::new(marks.len(), RECORDS_FROM);
    let segment = Segment { base, path, capacity, is_sound: true, index: Mutex::new(index) };
    Ok(Active { segment: Arc::new(segment), file, position: RECORDS_FROM })
}

/// The next segment's file in the making, on a thread of its own.
struct Spare {
    stop: Arc<AtomicBool>,
    bytes: u64,
    thread: Option<JoinHandle<Option<File>>>,
}

impl Spare {
    /// None where no thread can be started: then the segment is made when it is needed.
    fn start(directory: &Path, bytes: u64) -> Option<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, directory) = (stop.clone(), directory.to_owned());
        // Where this fails, making it again when it is needed tells why.
        let work = move || segment::make_spare(&directory, bytes, &told).ok().flatten();
        let thread = thread::Builder::new().name("store-log-spare".to_owned()).spawn(work);
        thread.ok().map(|it| Self { stop, bytes, thread: Some(it) })
    }

    /// The file and its size, once it is made.
    fn made(mut self) -> Option<(File, u64)> {
        let file = self.thread.take()?.join().ok().flatten()?;
        Some((file, self.bytes))
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // An error is the thread's panic, which has been reported on its own.
        self.thread.take().map(JoinHandle::join);
    }
}

/// How much of the buffer stays between groups.
const BYTES_KEPT: usize = 1024 * 1024;
