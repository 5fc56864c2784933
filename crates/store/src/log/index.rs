//! What is known of a segment without reading it: where it ends, and a sparse index by partition.
//!
//! An entry per [`BLOCK_BYTES`] and partition says where to start looking, and the newest time
//! among the records up to the next entry says whether to. Once a segment is closed its index lies
//! in a file beside it. The file is a cache: it is checked when read, never synced, and made anew
//! from the segment where it is missing, damaged or of another version.

use super::format::{Fields, Mark, RecordHeader};

/// The index of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// Behind the last record, from the start of the file.
    pub(super) end: u64,
    pub(super) records: u64,
    /// The newest time; none where there are no records.
    pub(super) time_max: Option<i64>,
    pub(super) lanes: Vec<Lane>,
}

/// One partition's part of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) newest: Option<Newest>,
    pub(super) blocks: Vec<Block>,
}

/// A lane's newest record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) sequence: u64,
    pub(super) time_ms: i64,
    pub(super) offset: u64,
}

/// Some of a lane's records, up to the next block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Where the first one is, from the start of the file.
    pub(super) position: u64,
    /// Of the first one.
    pub(super) sequence: u64,
    pub(super) time_max: i64,
}

impl Index {
    pub(super) fn new(partitions: usize, end: u64) -> Self {
        let lanes = vec![Lane::default(); partitions];
        Self { end, records: 0, time_max: None, lanes }
    }

    /// Adds a record that lies behind all others.
    pub(super) fn add(&mut self, header: &RecordHeader, position: u64) {
        self.end = position + header.bytes();
        let Some(lane) = self.lanes.get_mut(usize::from(header.partition)) else { return };
        self.records += 1;
        self.time_max = self.time_max.max(Some(header.time_ms));
        let RecordHeader { sequence, time_ms, offset, .. } = *header;
        lane.newest = Some(Newest { sequence, time_ms, offset });
        match lane.blocks.last_mut() {
            Some(block) if position < block.position + BLOCK_BYTES => {
                block.time_max = block.time_max.max(time_ms);
            }
            Some(_) | None => lane.blocks.push(Block { position, sequence, time_max: time_ms }),
        }
    }

    pub(super) fn lane(&self, partition: u16) -> Option<&Lane> {
        self.lanes.get(usize::from(partition)).filter(|it| it.newest.is_some())
    }

    pub(super) fn encode(&self, salt: u64, base: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        for number in [salt, base, self.end, self.records, self.lanes.len() as u64] {
            bytes.extend(number.to_le_bytes());
        }
        for lane in &self.lanes {
            bytes.extend((lane.blocks.len() as u64).to_le_bytes());
            let Some(newest) = lane.newest else { continue };
            bytes.extend(newest.sequence.to_le_bytes());
            bytes.extend(newest.time_ms.to_le_bytes());
            bytes.extend(newest.offset.to_le_bytes());
            for block in &lane.blocks {
                bytes.extend(block.position.to_le_bytes());
                bytes.extend(block.sequence.to_le_bytes());
                bytes.extend(block.time_max.to_le_bytes());
            }
        }
        let checksum = crc32fast::hash(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    /// The index, where `bytes` are the whole one of the segment at `base`.
    pub(super) fn decode(bytes: &[u8], salt: u64, base: u64, partitions: usize) -> Option<Self> {
        let (content, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let mut fields = Fields(content.strip_prefix(&MAGIC)?);
        let is_ours = fields.u32()? == VERSION && fields.u64()? == salt && fields.u64()? == base;
        if !is_ours {
            return None;
        }
        let (end, records) = (fields.u64()?, fields.u64()?);
        if fields.u64()? != partitions as u64 {
            return None;
        }
        let mut index = Self { end, records, ..Self::new(partitions, end) };
        for lane in &mut index.lanes {
            let blocks = fields.u64()?;
            if blocks == 0 {
                continue;
            }
            let (sequence, time_ms, offset) = (fields.u64()?, fields.i64()?, fields.u64()?);
            lane.newest = Some(Newest { sequence, time_ms, offset });
            for _ in 0..blocks {
                let (position, sequence) = (fields.u64()?, fields.u64()?);
                let time_max = fields.i64()?;
                lane.blocks.push(Block { position, sequence, time_max });
                index.time_max = index.time_max.max(Some(time_max));
            }
        }
        fields.0.is_empty().then_some(index)
    }

    /// Brings `marks` forward to where this segment's records left the partitions.
    pub(super) fn advance(&self, marks: &mut [Mark]) {
        for (mark, lane) in marks.iter_mut().zip(&self.lanes) {
            if let Some(newest) = lane.newest {
                mark.next_sequence = mark.next_sequence.max(newest.sequence.saturating_add(1));
                mark.last = Some((newest.time_ms, newest.offset));
            }
        }
    }
}

/// How far apart a lane's entries are: 1 MiB, so that finding a record reads no more than that,
/// and the entries of 100 GiB in 4 partitions take 10 MiB of memory.
pub(super) const BLOCK_BYTES: u64 = 1024 * 1024;

/// A longer index file is not read. 1,024 blocks in each of 128 partitions take 3 MiB.
pub(super) const INDEX_BYTES_MAX: u64 = 8 * 1024 * 1024;

const MAGIC: [u8; 8] = *b"HUBWIDX\n";

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::new(3, 0);
        for sequence in 0..100_u64 {
            let (time_ms, offset) = ((sequence ^ 5).cast_signed(), sequence * 50_000);
            let header = RecordHeader {
                payload_checksum: 0,
                length: 10,
                offset,
                sequence,
                time_ms,
                partition: if sequence % 3 == 0 { 2 } else { 0 },
            };
            index.add(&header, offset);
        }
        index
    }

    #[test]
    fn an_index_is_read_back_for_its_own_segment_only() {
        let (index, bytes) = (index(), index().encode(7, 8));
        assert!(index.lanes[0].blocks.len() > 3 && index.lanes[1].newest.is_none());
        assert_eq!(Index::decode(&bytes, 7, 8, 3), Some(index));
        assert_eq!(Index::decode(&bytes, 6, 8, 3), None);
        assert_eq!(Index::decode(&bytes, 7, 9, 3), None);
        assert_eq!(Index::decode(&bytes, 7, 8, 4), None);
    }

    #[test]
    fn an_index_with_any_flipped_bit_or_cut_is_none() {
        let bytes = index().encode(7, 8);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert_eq!(Index::decode(&flipped, 7, 8, 3), None, "{at}");
            assert_eq!(Index::decode(&bytes[..at], 7, 8, 3), None, "{at}");
        }
    }
}
