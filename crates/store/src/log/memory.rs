//! A log in this process, for tests.
//!
//! Means the same as the files in all that a caller can see, but for restarts and damage, offsets
//! and segments included. It never blocks for long, so its functions are plain ones.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, oneshot, watch};

use super::error::LogError;
use super::format::{RECORDS_FROM, record_bytes};
use super::queue::Answer;
use super::read::Limit;
use super::{Append, Bounds, LogOptions, Outcome, Position, Record, Start};
use crate::locked;

/// A log that forgets at exit and can be told to fail, to be slow, and what a kill would leave.
#[derive(Clone)]
pub struct MemoryLog {
    options: Arc<LogOptions>,
    state: Arc<Mutex<State>>,
    /// `None` where appends do not wait. Locked before the state.
    held: Arc<Mutex<Option<Held>>>,
}

#[derive(Clone)]
struct State {
    lanes: Vec<Lane>,
    /// The newest time in each segment, by the segment's offset. Never empty.
    segments: BTreeMap<u64, Option<i64>>,
    /// Where the next record goes.
    offset: u64,
    /// Why nothing more is appended, if so.
    ended: Option<LogError>,
    is_closed: bool,
    fail_next_append: bool,
}

/// Appends that wait for somebody to write them.
struct Held {
    /// The oldest first.
    waiting: VecDeque<Waiting>,
    bell: Arc<Notify>,
}

struct Waiting {
    records: Vec<Append>,
    answer: oneshot::Sender<Result<Vec<Position>, LogError>>,
}

#[derive(Clone, Default)]
struct Lane {
    records: VecDeque<Record>,
    bounds: Bounds,
    tail: watch::Sender<u64>,
}

impl MemoryLog {
    pub(super) fn new(options: LogOptions) -> Self {
        let state = State {
            lanes: (0..options.partitions).map(|_| Lane::default()).collect(),
            segments: BTreeMap::from([(0, None)]),
            offset: RECORDS_FROM,
            ended: None,
            is_closed: false,
            fail_next_append: false,
        };
        Self::of(Arc::new(options), state)
    }

    fn of(options: Arc<LogOptions>, state: State) -> Self {
        Self { options, state: Arc::new(Mutex::new(state)), held: Arc::default() }
    }

    /// Makes the next append fail as a disk would, with [`LogError::WriterStopped`], and all later
    /// ones with it.
    pub fn fail_next_append(&self) {
        locked(&self.state).fail_next_append = true;
    }

    /// Makes every append from now on wait for [`MemoryLog::write_next`], as for a disk: until then nobody
    /// sees its records, and nobody is answered. Each of them rings `bell`.
    pub fn hold(&self, bell: Arc<Notify>) {
        *locked(&self.held) = Some(Held { waiting: VecDeque::new(), bell });
    }

    /// Writes the records of the append that has waited longest: false where none waits.
    pub fn write_next(&self) -> bool {
        let next = locked(&self.held).as_mut().and_then(|it| it.waiting.pop_front());
        let Some(Waiting { records, answer }) = next else { return false };
        // Who has gone away misses only the answer.
        let _ = answer.send(self.append(records));
        true
    }

    /// What a restart would find if the process were killed now: of the records that still wait, the first
    /// `records`, which had reached the disk unsynced. A log that has failed writes none of them.
    #[must_use]
    pub fn killed(&self, records: usize) -> Self {
        let held = locked(&self.held);
        let state = locked(&self.state).clone();
        let records = if state.ended.is_some() { 0 } else { records };
        let mut left = State { ended: None, is_closed: false, fail_next_append: false, ..state };
        for lane in &mut left.lanes {
            lane.tail = watch::Sender::new(lane.bounds.next_sequence);
        }
        let all = held.iter().flat_map(|it| &it.waiting).flat_map(|it| it.records.iter().cloned());
        left.append(all.take(records).collect(), self.options.segment_bytes);
        Self::of(Arc::clone(&self.options), left)
    }

    pub(super) fn queue(&self, records: Vec<Append>) -> Outcome {
        match &mut *locked(&self.held) {
            None => Outcome::Known(self.append(records)),
            Some(held) => {
                let (answer, awaited) = Answer::promised();
                held.waiting.push_back(Waiting { records, answer });
                held.bell.notify_one();
                Outcome::Awaited(awaited)
            }
        }
    }

    fn append(&self, records: Vec<Append>) -> Result<Vec<Position>, LogError> {
        let state = &mut *locked(&self.state);
        if std::mem::take(&mut state.fail_next_append) {
            let source = LogError::io("write to", "memory", io::Error::other("told to fail"));
            let source = Arc::new(source);
            state.ended = Some(LogError::WriterStopped { path: "memory".into(), source });
        }
        match &state.ended {
            _ if state.is_closed => Err(LogError::Closed),
            Some(why) => Err(why.clone()),
            None => Ok(state.append(records, self.options.segment_bytes)),
        }
    }

    pub(super) fn read(
        &self,
        partition: u16,
        start: Start,
        limit: Limit,
    ) -> Result<Vec<Record>, LogError> {
        let state = locked(&self.state);
        if state.is_closed {
            return Err(LogError::Closed);
        }
        let Some(lane) = state.lanes.get(usize::from(partition)) else { return Ok(Vec::new()) };
        let records = &lane.records;
        let from = match start {
            Start::Sequence(it) => records.partition_point(|record| record.position.sequence < it),
            Start::Offset(it) => records.partition_point(|record| record.position.offset < it),
            Start::Time(it) => {
                records.iter().position(|record| record.time_ms >= it).unwrap_or(records.len())
            }
            Start::Earliest => 0,
            Start::Latest => records.len(),
        };
        let (mut found, mut bytes) = (Vec::new(), 0);
        for record in records.range(from..) {
            if limit.is_reached(&found, bytes, record.payload.len()) {
                break;
            }
            bytes += record.payload.len();
            found.push(record.clone());
        }
        Ok(found)
    }

    pub(super) fn bounds(&self, partition: u16) -> Option<Bounds> {
        locked(&self.state).lanes.get(usize::from(partition)).map(|it| it.bounds)
    }

    pub(super) fn tail(&self, partition: u16) -> Option<watch::Receiver<u64>> {
        let state = locked(&self.state);
        let lane = state.lanes.get(usize::from(partition)).filter(|_| !state.is_closed)?;
        Some(lane.tail.subscribe())
    }

    pub(super) fn trim(&self, before_ms: i64) -> Result<usize, LogError> {
        let state = &mut *locked(&self.state);
        if state.is_closed {
            return Err(LogError::Closed);
        }
        let closed = state.segments.len() - 1;
        let expired = state.segments.values().take(closed);
        let removed = expired.take_while(|it| it.is_none_or(|it| it < before_ms)).count();
        let first = state.segments.keys().nth(removed).copied().unwrap_or(0);
        state.segments = state.segments.split_off(&first);
        for lane in &mut state.lanes {
            let trimmed = lane.records.partition_point(|it| it.position.offset < first);
            lane.records.drain(..trimmed);
            let oldest = lane.records.front().map(|it| it.position.sequence);
            lane.bounds.first_sequence = oldest.unwrap_or(lane.bounds.next_sequence);
        }
        Ok(removed)
    }

    pub(super) fn close(&self) {
        while self.write_next() {}
        let mut state = locked(&self.state);
        state.is_closed = true;
        for lane in &mut state.lanes {
            lane.tail = watch::Sender::default();
        }
    }

    pub(super) fn options(&self) -> &LogOptions {
        &self.options
    }
}

impl State {
    fn append(&mut self, records: Vec<Append>, segment_bytes: u64) -> Vec<Position> {
        let mut positions = Vec::with_capacity(records.len());
        for Append { partition, time_ms, payload } in records {
            let bytes = record_bytes(payload.len() as u64);
            let segment = self.segments.last_key_value().map_or(0, |(base, _)| *base);
            if self.offset + bytes > segment + segment_bytes {
                self.segments.insert(segment + segment_bytes, None);
                self.offset = segment + segment_bytes + RECORDS_FROM;
            }
            // `Log` has checked the partition.
            let Some(lane) = self.lanes.get_mut(usize::from(partition)) else { continue };
            if let Some(mut newest) = self.segments.last_entry() {
                let time_max = newest.get_mut();
                *time_max = (*time_max).max(Some(time_ms));
            }
            let (sequence, offset) = (lane.bounds.next_sequence, self.offset);
            let position = Position { partition, sequence, offset };
            lane.records.push_back(Record { position, time_ms, payload });
            lane.bounds.next_sequence += 1;
            lane.bounds.last_time_ms = Some(time_ms);
            lane.bounds.last_offset = Some(offset);
            lane.tail.send_replace(lane.bounds.next_sequence);
            self.offset += bytes;
            positions.push(position);
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Log;

    fn one(payload: &'static str) -> Append {
        Append { partition: 0, time_ms: 0, payload: payload.into() }
    }

    #[tokio::test]
    async fn what_waits_is_neither_seen_nor_answered_and_a_kill_leaves_its_first_records() {
        let memory = MemoryLog::new(LogOptions::new(1, 0));
        memory.hold(Arc::default());
        assert!(!memory.write_next());
        let log = Log::Memory(memory.clone());
        let first = log.queue(vec![one("a"), one("b")]).await.unwrap();
        let second = log.queue(vec![one("c")]).await.unwrap();
        let next = |it: &MemoryLog| it.bounds(0).unwrap().next_sequence;
        let killed = [0, 1, 3].map(|records| next(&memory.killed(records)));
        assert_eq!((next(&memory), killed), (0, [0, 1, 3]));
        assert!(memory.write_next());
        assert_eq!(first.synced().await.unwrap().len(), 2);
        assert_eq!((next(&memory), next(&memory.killed(0))), (2, 2));
        let failed = MemoryLog::new(LogOptions::new(1, 0));
        failed.hold(Arc::default());
        let log_that_fails = Log::Memory(failed.clone());
        let lost = log_that_fails.queue(vec![one("a")]).await.unwrap();
        let _behind = log_that_fails.queue(vec![one("b")]).await.unwrap();
        failed.fail_next_append();
        assert!(failed.write_next() && lost.synced().await.is_err());
        assert_eq!(next(&failed.killed(1)), 0);
        // A log that is closed in order finishes what it took.
        log.close().await;
        assert_eq!(second.synced().await.unwrap().len(), 1);
        assert_eq!(next(&memory.killed(0)), 3);
    }
}
