//! Reading a partition from the segments.
//!
//! A read finds its segment and block in memory, then walks the file. It shows only what the writer
//! has published, so nothing that is not synced. It opens the file anew each time: there may be more
//! segments than a process can hold open, and a file that was trimmed meanwhile is simply not there.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::error::LogError;
use super::files::{Segment, Shared};
use super::format::{RECORDS_FROM, Seal};
use super::walk::{Step, Walk};
use super::{Position, Record, Start};
use crate::locked;

/// How much one read may answer.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Limit {
    /// True where another record of `length` bytes would be too much after `records`.
    pub(super) fn is_reached(&self, records: &[Record], bytes: usize, length: usize) -> bool {
        records.len() >= self.records
            || (!records.is_empty() && bytes.saturating_add(length) > self.bytes)
    }
}

/// False where there is certainly nothing to read yet, which is how most reads at the tail end.
pub(super) fn may_find(shared: &Shared, partition: u16, start: Start) -> bool {
    let state = locked(&shared.state);
    let Some(bounds) = state.bounds.get(usize::from(partition)) else { return false };
    match start {
        Start::Sequence(sequence) => sequence < bounds.next_sequence,
        Start::Offset(offset) => bounds.last_offset.is_some_and(|last| offset <= last),
        Start::Time(_) | Start::Earliest => bounds.first_sequence < bounds.next_sequence,
        Start::Latest => false,
    }
}

/// Where to walk in one segment.
struct Stretch {
    segment: Arc<Segment>,
    /// Where the lane's first record is.
    first: u64,
    from: u64,
    end: u64,
    /// The lane's newest sequence in this segment: nothing follows it.
    last: u64,
}

/// The records from `start` on, up to the limit. Blocks.
pub(super) fn read(
    shared: &Shared,
    partition: u16,
    start: Start,
    limit: Limit,
) -> Result<Vec<Record>, LogError> {
    let mut found = Found { start, limit, bytes: 0, records: Vec::new(), is_full: false };
    for stretch in stretches(shared, partition, start) {
        match found.walk(shared, partition, &stretch) {
            Ok(()) => {}
            // Trimmed since: as if it had been before.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(LogError::io("read", &stretch.segment.path, source)),
        }
        if found.is_full {
            break;
        }
    }
    Ok(found.records)
}

/// The parts of the segments that can hold what is asked for, in order.
fn stretches(shared: &Shared, partition: u16, start: Start) -> Vec<Stretch> {
    let state = locked(&shared.state);
    let mut stretches = Vec::new();
    // From the newest back: most readers are near the tail.
    for segment in state.segments.values().rev() {
        let index = locked(&segment.index);
        let Some(lane) = index.lane(partition) else { continue };
        let (Some(first), Some(newest)) = (lane.blocks.first(), lane.newest) else { continue };
        let is_past = match start {
            Start::Sequence(sequence) => newest.sequence < sequence,
            Start::Offset(offset) => newest.offset < offset,
            Start::Time(_) | Start::Earliest | Start::Latest => false,
        };
        if is_past {
            break;
        }
        let wanted = match start {
            Start::Sequence(sequence) => {
                lane.blocks.partition_point(|it| it.sequence <= sequence).checked_sub(1)
            }
            Start::Offset(offset) => {
                let position = offset.checked_sub(segment.base);
                position.and_then(|position| {
                    lane.blocks.partition_point(|it| it.position <= position).checked_sub(1)
                })
            }
            Start::Time(time_ms) => lane.blocks.iter().position(|it| it.time_max >= time_ms),
            Start::Earliest | Start::Latest => None,
        };
        let block = wanted.and_then(|at| lane.blocks.get(at)).unwrap_or(first);
        let from = match start {
            Start::Sequence(sequence) => {
                hinted(shared, partition, sequence, segment, block.position)
            }
            Start::Offset(_) | Start::Time(_) | Start::Earliest | Start::Latest => block.position,
        };
        let is_early = matches!(start, Start::Time(_)) && wanted.is_none();
        let (end, last) = (index.end, newest.sequence);
        let stretch = Stretch { segment: segment.clone(), first: first.position, from, end, last };
        stretches.push((stretch, is_early));
    }
    let wanted = stretches.into_iter().rev().skip_while(|(_, is_early)| *is_early);
    let mut stretches: Vec<Stretch> = wanted.map(|(it, _)| it).collect();
    // Everything behind the first hit is wanted, also where times go back.
    for stretch in stretches.iter_mut().skip(1) {
        stretch.from = stretch.first;
    }
    stretches
}

/// Where the record of `sequence` is known to be, if that is in `segment`; otherwise `from`.
fn hinted(shared: &Shared, partition: u16, sequence: u64, segment: &Segment, from: u64) -> u64 {
    let hints = locked(&shared.hints);
    let lane = hints.get(usize::from(partition));
    let hint = lane.and_then(|it| it.iter().find(|(it, _)| *it == sequence));
    let position = hint.and_then(|(_, offset)| offset.checked_sub(segment.base));
    position
        .filter(|it| (RECORDS_FROM..segment.capacity).contains(it))
        .map_or(from, |it| it.max(from))
}

/// What a read has found so far.
struct Found {
    /// Becomes [`Start::Earliest`] with the first record.
    start: Start,
    limit: Limit,
    bytes: usize,
    records: Vec<Record>,
    is_full: bool,
}

impl Found {
    fn walk(&mut self, shared: &Shared, partition: u16, stretch: &Stretch) -> io::Result<()> {
        let Stretch { segment, from, end, last, .. } = stretch;
        let file = File::open(&segment.path)?;
        let seal = Seal::new(shared.kind.salt);
        let piece = READ_PIECE_BYTES;
        let walk = Walk::new(&file, segment.base, seal, *from, *end, piece);
        let mut walk = walk.only(partition);
        while let Some(step) = walk.step()? {
            let (header, position) = match step {
                Step::Record { header, position } => (header, position),
                Step::BadPayload { header, position } => {
                    let end = position + header.bytes();
                    shared.note_damage(&segment.path, segment.base, position, end);
                    continue;
                }
                Step::Lost { from, to } => {
                    shared.note_damage(&segment.path, segment.base, from, to);
                    continue;
                }
                Step::Rest { from, .. } => {
                    // Up to the end there were records when this was indexed.
                    shared.note_damage(&segment.path, segment.base, from, *end);
                    continue;
                }
            };
            if header.partition != partition {
                continue;
            }
            let is_wanted = match self.start {
                Start::Sequence(sequence) => header.sequence >= sequence,
                Start::Offset(offset) => header.offset >= offset,
                Start::Time(time_ms) => header.time_ms >= time_ms,
                Start::Earliest | Start::Latest => true,
            };
            if is_wanted {
                let length = usize::try_from(header.length).unwrap_or(usize::MAX);
                if self.limit.is_reached(&self.records, self.bytes, length) {
                    self.is_full = true;
                    return Ok(());
                }
                let payload = walk.payload(&header, position)?.map(Bytes::copy_from_slice);
                // The walk has checked it.
                let Some(payload) = payload else { continue };
                self.bytes += length;
                let (sequence, offset) = (header.sequence, header.offset);
                let position = Position { partition, sequence, offset };
                self.records.push(Record { position, time_ms: header.time_ms, payload });
                self.start = Start::Earliest;
                self.is_full = self.records.len() >= self.limit.records;
            }
            if self.is_full || header.sequence >= *last {
                break;
            }
        }
        if let Some(record) = self.records.last() {
            remember(shared, record);
        }
        Ok(())
    }
}

/// Remembers where the record behind this one will be found.
fn remember(shared: &Shared, record: &Record) {
    let Position { partition, sequence, offset } = record.position;
    let behind = offset + super::format::record_bytes(record.payload.len() as u64);
    let mut hints = locked(&shared.hints);
    let Some(lane) = hints.get_mut(usize::from(partition)) else { return };
    if lane.iter().any(|it| *it == (sequence + 1, behind)) {
        return;
    }
    if lane.len() >= HINTS_MAX {
        lane.pop_front();
    }
    lane.push_back((sequence + 1, behind));
}

/// How much of a file is read at once.
const READ_PIECE_BYTES: usize = 64 * 1024;

/// How many places are remembered per partition: about one for each reader.
const HINTS_MAX: usize = 16;
