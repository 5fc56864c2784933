//! The bytes of a segment: how its header and its records are written and recognised.
//!
//! Numbers are little-endian. `docs/reference/log-format.md` says the same for people; a change here
//! is a new [`VERSION`] and a change there. Decoding takes any bytes and never panics.

use std::ops::Range;

use crc32fast::Hasher;

use super::{PARTITIONS_MAX, SEGMENT_BYTES_MAX};

/// What every segment starts with, in every version.
pub(super) const MAGIC: [u8; 8] = *b"HUBWLOG\n";

pub(super) const VERSION: u32 = 1;

/// The size of one copy of a segment's header. It is written twice.
pub(super) const HEADER_BYTES: usize = 4_096;

/// Where the copies start.
pub(super) const HEADER_COPIES: [u64; 2] = [0, HEADER_BYTES as u64];

/// Where a segment's records start.
pub(super) const RECORDS_FROM: u64 = 2 * HEADER_BYTES as u64;

/// What a record takes beside its payload.
pub(super) const RECORD_HEADER_BYTES: usize = 44;

/// What a record with a payload of so many bytes takes.
pub(super) fn record_bytes(payload: u64) -> u64 {
    payload.saturating_add(RECORD_HEADER_BYTES as u64)
}

/// How far a partition had come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) next_sequence: u64,
    /// Time and offset of the newest record.
    pub(super) last: Option<(i64, u64)>,
}

/// A segment's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The offset of the file's first byte.
    pub(super) base: u64,
    pub(super) salt: u64,
    /// The file's full size.
    pub(super) capacity: u64,
    /// How far each partition had come when the segment was made. It is what keeps numbers from
    /// being used again after the records that had them are trimmed.
    pub(super) starts: Vec<Mark>,
}

pub(super) enum Decoded {
    Header(SegmentHeader),
    /// A header of a version that is not known here.
    Newer(u32),
    Bad,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        let prefix = crc32fast::hash(&bytes);
        bytes.extend(prefix.to_le_bytes());
        for number in [self.base, self.salt, self.capacity, self.starts.len() as u64] {
            bytes.extend(number.to_le_bytes());
        }
        for start in &self.starts {
            let (time_ms, offset) = start.last.unwrap_or((0, NO_OFFSET));
            bytes.extend(start.next_sequence.to_le_bytes());
            bytes.extend(time_ms.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(HEADER_BYTES - 4, 0);
        let whole = crc32fast::hash(&bytes);
        bytes.extend(whole.to_le_bytes());
        bytes
    }

    /// Reads one copy of [`HEADER_BYTES`].
    pub(super) fn decode(bytes: &[u8]) -> Decoded {
        match version(bytes) {
            Some(VERSION) => Self::decode_known(bytes).map_or(Decoded::Bad, Decoded::Header),
            Some(found) if found > VERSION => Decoded::Newer(found),
            Some(_) | None => Decoded::Bad,
        }
    }

    fn decode_known(bytes: &[u8]) -> Option<Self> {
        let (content, checksum) = bytes.get(..HEADER_BYTES)?.split_last_chunk::<4>()?;
        if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let mut fields = Fields(content.get(16..)?);
        let (base, salt, capacity) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let partitions = fields.u64()?;
        let is_sane = (1..=u64::from(PARTITIONS_MAX)).contains(&partitions)
            && (RECORDS_FROM..=SEGMENT_BYTES_MAX).contains(&capacity)
            && base <= NUMBER_MAX;
        if !is_sane {
            return None;
        }
        let mut starts = Vec::new();
        for _ in 0..partitions {
            let next_sequence = fields.u64()?;
            let (time_ms, offset) = (fields.i64()?, fields.u64()?);
            if next_sequence > NUMBER_MAX {
                return None;
            }
            starts.push(Mark {
                next_sequence,
                last: (offset != NO_OFFSET).then_some((time_ms, offset)),
            });
        }
        Some(Self { base, salt, capacity, starts })
    }
}

/// The version that a header says it has; `None` where it is no header.
fn version(bytes: &[u8]) -> Option<u32> {
    let prefix = bytes.get(..12)?;
    let mut fields = Fields(bytes.get(8..)?);
    let (version, checksum) = (fields.u32()?, fields.u32()?);
    (prefix.starts_with(&MAGIC) && checksum == crc32fast::hash(prefix)).then_some(version)
}

/// What a log's records have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    /// How a record starts.
    pub(super) marker: [u8; 4],
    /// What a header's checksum starts from.
    checksum_from: u32,
}

impl Seal {
    pub(super) fn new(salt: u64) -> Self {
        let [a, b, c, d, high @ ..] = salt.to_le_bytes();
        // Odd, so that it is never what empty space holds.
        let marker = (u32::from_le_bytes(high) | 1).to_le_bytes();
        Self { marker, checksum_from: u32::from_le_bytes([a, b, c, d]) }
    }

    fn checksum(self, fields: &[u8]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.checksum_from);
        hasher.update(fields);
        hasher.finalize()
    }
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) payload_checksum: u32,
    pub(super) length: u32,
    /// Where the record is, from the start of the log. What was copied or left over elsewhere is no
    /// record there.
    pub(super) offset: u64,
    pub(super) sequence: u64,
    pub(super) time_ms: i64,
    pub(super) partition: u16,
}

impl RecordHeader {
    pub(super) fn encode(&self, seal: Seal) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        let mut put = |at: Range<usize>, field: &[u8]| {
            if let Some(place) = bytes.get_mut(at) {
                place.copy_from_slice(field);
            }
        };
        put(0..4, &seal.marker);
        put(8..12, &self.payload_checksum.to_le_bytes());
        put(12..16, &self.length.to_le_bytes());
        put(16..24, &self.offset.to_le_bytes());
        put(24..32, &self.sequence.to_le_bytes());
        put(32..40, &self.time_ms.to_le_bytes());
        put(40..42, &self.partition.to_le_bytes());
        let checksum = seal.checksum(bytes.get(8..).unwrap_or_default());
        if let Some(place) = bytes.get_mut(4..8) {
            place.copy_from_slice(&checksum.to_le_bytes());
        }
        bytes
    }

    /// The header at the start of `bytes`, which lie at `offset` of the log; `None` where there is
    /// none.
    pub(super) fn decode(bytes: &[u8], offset: u64, seal: Seal) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER_BYTES)?;
        let checked = bytes.strip_prefix(&seal.marker)?;
        let mut fields = Fields(checked);
        let checksum = fields.u32()?;
        if seal.checksum(fields.0) != checksum {
            return None;
        }
        let header = Self {
            payload_checksum: fields.u32()?,
            length: fields.u32()?,
            offset: fields.u64()?,
            sequence: fields.u64()?,
            time_ms: fields.i64()?,
            partition: fields.u16()?,
        };
        (header.offset == offset && header.sequence < NUMBER_MAX).then_some(header)
    }

    /// What the record takes, header and payload.
    pub(super) fn bytes(&self) -> u64 {
        record_bytes(u64::from(self.length))
    }
}

/// Takes numbers from the front of bytes; `None` where they have run out.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }
}

/// The highest offset and sequence, of which no log comes near: so that counting on from what a file
/// says stays in range.
pub(super) const NUMBER_MAX: u64 = u64::MAX / 2;

/// Stands for "none" where an offset is expected. No record can lie there.
pub(super) const NO_OFFSET: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        let starts = vec![
            Mark { next_sequence: 7, last: Some((-5, 1 << 40)) },
            Mark::default(),
            Mark { next_sequence: NUMBER_MAX, last: None },
        ];
        SegmentHeader { base: 1 << 33, salt: 0x1234_5678_9abc_def0, capacity: 1 << 20, starts }
    }

    #[test]
    fn a_segment_header_is_read_back() {
        let bytes = header().encode();
        assert_eq!(bytes.len(), HEADER_BYTES);
        assert!(matches!(SegmentHeader::decode(&bytes), Decoded::Header(it) if it == header()));
        let full = SegmentHeader { starts: vec![Mark::default(); 128], ..header() };
        assert!(matches!(SegmentHeader::decode(&full.encode()), Decoded::Header(it) if it == full));
    }

    #[test]
    fn a_segment_header_with_any_flipped_bit_or_cut_is_bad() {
        let bytes = header().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(SegmentHeader::decode(&flipped), Decoded::Bad), "{bit}");
        }
        for length in 0..bytes.len() {
            assert!(matches!(SegmentHeader::decode(&bytes[..length]), Decoded::Bad), "{length}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = header().encode();
        bytes[8] = 2;
        assert!(matches!(SegmentHeader::decode(&bytes), Decoded::Bad));
        let checksum = crc32fast::hash(&bytes[..12]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        assert!(matches!(SegmentHeader::decode(&bytes), Decoded::Newer(2)));
    }

    #[test]
    fn a_record_header_counts_only_whole_in_its_place_and_in_its_log() {
        let seal = Seal::new(0x1234_5678_9abc_def0);
        let header = RecordHeader {
            payload_checksum: 1,
            length: 2,
            offset: 1 << 40,
            sequence: 3,
            time_ms: -4,
            partition: 5,
        };
        let bytes = header.encode(seal);
        assert_eq!(RecordHeader::decode(&bytes, 1 << 40, seal), Some(header));
        assert_eq!(RecordHeader::decode(&bytes, (1 << 40) + 1, seal), None);
        assert_eq!(RecordHeader::decode(&bytes, 1 << 40, Seal::new(0x1234_5678_9abc_def1)), None);
        assert_eq!(RecordHeader::decode(&bytes[..43], 1 << 40, seal), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&flipped, 1 << 40, seal), None, "{bit}");
        }
    }
}
