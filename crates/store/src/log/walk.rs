//! The walk along a segment's bytes, from record to record, and past what is damaged.
//!
//! Decides what is a record and where the next one starts after something that is none. Believes
//! nothing that it has not checked: a length counts only once its header's checksum holds, and
//! then fits the segment. It never holds more of a file than one record or one piece.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::format::{RECORD_HEADER_BYTES, RecordHeader, Seal};

pub(super) struct Walk<'f> {
    file: &'f File,
    /// The offset of the file's first byte.
    base: u64,
    seal: Seal,
    position: u64,
    end: u64,
    /// Some of the file, from `held_from` on.
    held: Vec<u8>,
    held_from: u64,
    piece: usize,
    /// Payloads of other partitions are not read.
    partition: Option<u16>,
}

pub(super) enum Step {
    /// A record. Its payload is checked, unless only another partition's are.
    Record { header: RecordHeader, position: u64 },
    /// A record whose payload is damaged.
    BadPayload { header: RecordHeader, position: u64 },
    /// No record starts at `from`; the next one starts at `to`.
    Lost { from: u64, to: u64 },
    /// No record starts at `from` or behind it. `content_end` is behind the last byte that is not
    /// zero, at least `from`.
    Rest { from: u64, content_end: u64 },
}

impl<'f> Walk<'f> {
    /// From `position`, where a record starts, up to `end`, reading pieces of `piece` bytes.
    pub(super) fn new(
        file: &'f File,
        base: u64,
        seal: Seal,
        position: u64,
        end: u64,
        piece: usize,
    ) -> Self {
        let end = end.min(u64::MAX - base);
        let held = Vec::new();
        Self { file, base, seal, position, end, held, held_from: 0, piece, partition: None }
    }

    pub(super) fn only(mut self, partition: u16) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The next step; none after [`Step::Rest`], and none where the last record ends at the end.
    pub(super) fn step(&mut self) -> io::Result<Option<Step>> {
        let position = self.position;
        if position >= self.end {
            return Ok(None);
        }
        let Some(header) = self.header_at(position)? else {
            return match self.find_header(position + 1)? {
                Some(to) => {
                    self.position = to;
                    Ok(Some(Step::Lost { from: position, to }))
                }
                None => {
                    self.position = self.end;
                    let content_end = self.content_end(position)?;
                    Ok(Some(Step::Rest { from: position, content_end }))
                }
            };
        };
        self.position = position + header.bytes();
        let is_wanted = self.partition.is_none_or(|it| it == header.partition);
        let is_good = !is_wanted || {
            let payload = self.payload(&header, position)?;
            payload.is_some_and(|it| crc32fast::hash(it) == header.payload_checksum)
        };
        Ok(Some(match is_good {
            true => Step::Record { header, position },
            false => Step::BadPayload { header, position },
        }))
    }

    /// The payload of a record that [`Walk::step`] has just answered.
    pub(super) fn payload(
        &mut self,
        header: &RecordHeader,
        position: u64,
    ) -> io::Result<Option<&[u8]>> {
        // The header fits the segment, so the sum does not wrap.
        self.bytes(position + RECORD_HEADER_BYTES as u64, u64::from(header.length))
    }

    /// The record header at `position`, if there is one and its record fits.
    fn header_at(&mut self, position: u64) -> io::Result<Option<RecordHeader>> {
        let (offset, seal) = (self.base + position, self.seal);
        let bytes = self.bytes(position, RECORD_HEADER_BYTES as u64)?;
        let header = bytes.and_then(|it| RecordHeader::decode(it, offset, seal));
        Ok(header.filter(|it| it.bytes() <= self.end.saturating_sub(position)))
    }

    /// Where the next record header starts, at `position` or behind it.
    fn find_header(&mut self, mut position: u64) -> io::Result<Option<u64>> {
        let marker = self.seal.marker;
        loop {
            let held = self.held_at(position)?;
            if held.len() < RECORD_HEADER_BYTES {
                return Ok(None);
            }
            if held.starts_with(&ZEROS) {
                // A marker is not zero, but may begin with the last of these.
                position += ZEROS.len() as u64 - 3;
                continue;
            }
            // Up to where the next look finds zeros, or the piece ends.
            let look = held.get(..ZEROS.len().min(held.len())).unwrap_or(held);
            match look.windows(marker.len()).position(|it| it == marker) {
                Some(found) => {
                    position += found as u64;
                    if self.header_at(position)?.is_some() {
                        return Ok(Some(position));
                    }
                    position += 1;
                }
                None => position += (look.len() - marker.len() + 1) as u64,
            }
        }
    }

    /// Behind the last byte from `position` on that is not zero.
    fn content_end(&mut self, mut position: u64) -> io::Result<u64> {
        let mut content_end = position;
        loop {
            let held = self.held_at(position)?;
            if held.is_empty() {
                return Ok(content_end);
            }
            let length = held.len().min(ZEROS.len());
            let look = held.get(..length).unwrap_or(held);
            if Some(look) != ZEROS.get(..length)
                && let Some(last) = look.iter().rposition(|it| *it != 0)
            {
                content_end = position + last as u64 + 1;
            }
            position += length as u64;
        }
    }

    /// What is held from `position` on, at least a record header's worth unless the end is nearer.
    fn held_at(&mut self, position: u64) -> io::Result<&[u8]> {
        let left = self.end.saturating_sub(position);
        let length = left.min(RECORD_HEADER_BYTES as u64);
        if self.bytes(position, length)?.is_none() {
            return Ok(&[]);
        }
        let from = usize::try_from(position - self.held_from).unwrap_or(usize::MAX);
        Ok(self.held.get(from..).unwrap_or_default())
    }

    /// `length` bytes of the file at `position`; `None` where there are fewer before the end.
    fn bytes(&mut self, position: u64, length: u64) -> io::Result<Option<&[u8]>> {
        if length > self.end.saturating_sub(position) {
            return Ok(None);
        }
        // What fits a segment fits memory: `SEGMENT_BYTES_MAX`.
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        if !self.holds(position, length) {
            self.hold(position, length)?;
        }
        if !self.holds(position, length) {
            return Ok(None);
        }
        let from = usize::try_from(position - self.held_from).unwrap_or(usize::MAX);
        Ok(self.held.get(from..).and_then(|it| it.get(..length)))
    }

    fn holds(&self, position: u64, length: usize) -> bool {
        let held_end = self.held_from + self.held.len() as u64;
        position >= self.held_from && position + length as u64 <= held_end
    }

    /// Reads a piece, or more where `length` is more. Shorter files than were believed end there.
    fn hold(&mut self, position: u64, length: usize) -> io::Result<()> {
        let left = usize::try_from(self.end - position).unwrap_or(usize::MAX);
        self.held.resize(length.max(self.piece).min(left), 0);
        self.held_from = position;
        let mut filled = 0;
        while let Some(rest) = self.held.get_mut(filled..).filter(|it| !it.is_empty()) {
            match self.file.read_at(rest, position + filled as u64) {
                Ok(0) => {
                    self.held.truncate(filled);
                    self.end = self.end.min(position + filled as u64);
                }
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Empty space is compared in pieces of this size.
const ZEROS: [u8; 4_096] = [0; 4_096];
