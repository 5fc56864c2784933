//! Segment files of the log.
//!
//! Bytes alone would never get past a checksum, so they are read as edits of a sound log; some of the edits
//! set the checksums right again. What a record and a header look like is written down once more here, from
//! `docs/reference/log-format.md`, so that the reader is not judged by itself.

use bytes::Bytes;
use crc32fast::Hasher;
use std::fs;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;
use store::log::{Log, LogOptions, Record, Start, verify};
use tokio::runtime::Runtime;

const PARTITIONS: u16 = 2;
const SALT: u64 = 0x0dd5_a175_c0ff_ee11;
const SEGMENT_BYTES: usize = 10 * 1024;
const HEADER_BYTES: usize = 4_096;
const RECORDS_FROM: usize = 2 * HEADER_BYTES;
const RECORD_HEADER_BYTES: usize = 44;
const EDITS_MAX: usize = 32;
/// In place of edits, the bytes behind it are the only segment there is.
const RAW: u8 = 0xff;

/// Nothing that lies in the files makes verifying, opening or reading panic; whatever is served stands in them
/// with checksums that hold; and where the log opens, it goes on, unless somebody who knows its salt wrote to it.
pub fn log_reader(bytes: &[u8]) {
    let (files, is_forged) = laid_out(bytes);
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in &files {
        fs::write(directory.path().join(name), content).unwrap();
    }
    let _ = verify(directory.path());
    runtime().block_on(async {
        let Ok(log) = Log::open(directory.path(), options(), 0).await else { return };
        for record in everything(&log).await {
            assert!(stands_in(&files, &record), "{:?} was served", record.position);
        }
        // Forged sequences and offsets may be ahead of the next, or leave no room for it.
        let appended = log.append(0, 0, Bytes::from_static(b"on")).await;
        if !is_forged {
            let start = Start::Sequence(appended.unwrap().sequence);
            let found = log.read(0, start, 1, usize::MAX).await.unwrap();
            assert_eq!(found.first().map(|it| &it.payload[..]), Some(&b"on"[..]));
        }
        log.close().await;
    });
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap()
    })
}

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: SEGMENT_BYTES as u64,
        record_bytes_max: 1_000,
        retention: Duration::MAX,
        wait_max: Duration::ZERO,
        ..LogOptions::new(PARTITIONS, SALT)
    }
}

async fn everything(log: &Log) -> Vec<Record> {
    let mut found = Vec::new();
    for partition in 0..PARTITIONS {
        found.extend(log.read(partition, Start::Earliest, usize::MAX, usize::MAX).await.unwrap());
    }
    found
}

type Files = Vec<(String, Vec<u8>)>;

/// Three segments with a dozen records each, as the log writes them.
fn sound() -> &'static Files {
    static SOUND: OnceLock<Files> = OnceLock::new();
    SOUND.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let log = Log::open(directory.path(), options(), 0).await.unwrap();
            for count in 0..34_u8 {
                let payload = vec![count + 1; usize::from(count) * 4 + 50];
                log.append(u16::from(count) % PARTITIONS, count.into(), payload.into())
                    .await
                    .unwrap();
            }
            log.close().await;
        });
        let names = (0..3).map(|it| format!("{:020}.seg", it * SEGMENT_BYTES));
        names.map(|it| (it.clone(), fs::read(directory.path().join(it)).unwrap())).collect()
    })
}

/// The files that the bytes ask for, and whether checksums were set right again in them.
fn laid_out(bytes: &[u8]) -> (Files, bool) {
    let mut files = sound().clone();
    if let Some((&RAW, raw)) = bytes.split_first() {
        files.truncate(1);
        files[0].1 = raw.to_vec();
        return (files, true);
    }
    let (mut rest, mut is_forged) = (bytes, false);
    for _ in 0..EDITS_MAX {
        let Some((&[kind, segment, low, high, length], behind)) = rest.split_first_chunk() else {
            break;
        };
        let (new, behind) = behind.split_at(behind.len().min(length.into()));
        rest = behind;
        let segment = usize::from(segment) % files.len();
        let place = usize::from(u16::from_le_bytes([low, high]));
        is_forged |= edit(&mut files, kind, segment, place, new);
        if files.is_empty() {
            break;
        }
    }
    (files, is_forged)
}

/// One edit; true where it set checksums right again.
fn edit(files: &mut Files, kind: u8, segment: usize, place: usize, new: &[u8]) -> bool {
    let count = files.len();
    let base = base(&files[segment].0);
    let content = &mut files[segment].1;
    match kind % 8 {
        0 => put(content, place, new),
        1 => content.truncate(place),
        2 => drop(files.remove(segment)),
        3 => files[segment].1 = files[place % count].1.clone(),
        4 => content.extend(new),
        5 => {
            for copy in [0, HEADER_BYTES] {
                forge_header(content, copy, 16 + place % 128, new);
            }
            return true;
        }
        6 => {
            let records = records(content, base);
            if let Some(at) = records.get(place % records.len().max(1)) {
                put(content, at + 8 + place / 256 % 36, new);
                forge_record(content, *at);
            }
            return true;
        }
        _ => {
            let mut record = vec![0; RECORD_HEADER_BYTES];
            put(&mut record, 8, &crc32fast::hash(new).to_le_bytes());
            put(&mut record, 12, &u32::try_from(new.len()).unwrap().to_le_bytes());
            put(&mut record, 16, &(base + place as u64).to_le_bytes());
            put(&mut record, 24, &(place as u64).to_le_bytes());
            record.extend(new);
            put(content, place, &record);
            forge_record(content, place);
            return true;
        }
    }
    false
}

/// Writes over what is there, as far as it goes.
fn put(content: &mut [u8], place: usize, new: &[u8]) {
    for (old, new) in content.iter_mut().skip(place).zip(new) {
        *old = *new;
    }
}

fn forge_header(content: &mut [u8], copy: usize, place: usize, new: &[u8]) {
    let Some(header) = content.get_mut(copy..copy + HEADER_BYTES) else { return };
    put(header, place, new);
    // Opening fills a segment up to its capacity, which should not be a gigabyte here.
    put(header, 34, &[0; 6]);
    let checksum = crc32fast::hash(&header[..HEADER_BYTES - 4]);
    put(header, HEADER_BYTES - 4, &checksum.to_le_bytes());
}

fn forge_record(content: &mut [u8], at: usize) {
    if let Some(header) = content.get_mut(at..at + RECORD_HEADER_BYTES) {
        put(header, 0, &marker(SALT));
        let checksum = checksum(SALT, &header[8..]);
        put(header, 4, &checksum.to_le_bytes());
    }
}

fn marker(salt: u64) -> [u8; 4] {
    (u32::try_from(salt >> 32).unwrap() | 1).to_le_bytes()
}

fn checksum(salt: u64, fields: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(u32::try_from(salt & 0xffff_ffff).unwrap());
    hasher.update(fields);
    hasher.finalize()
}

/// Where the records of the sound log start in a segment.
fn records(content: &[u8], base: u64) -> Vec<usize> {
    let is_record = |at: &usize| {
        let starts = content[*at..].starts_with(&marker(SALT));
        starts && number(content, at + 16..at + 24) == Some(base + *at as u64)
    };
    (RECORDS_FROM..content.len()).filter(is_record).collect()
}

/// True where the record stands in the files as it was served, in its place, with checksums that hold.
fn stands_in(files: &Files, record: &Record) -> bool {
    let salts: Vec<u64> = files.iter().flat_map(|(_, content)| salts(content)).collect();
    files.iter().any(|(name, content)| {
        let place = record.position.offset.checked_sub(base(name));
        let at = place.and_then(|it| usize::try_from(it).ok()).filter(|it| *it < content.len());
        let Some(found) = at.and_then(|it| content.get(it..)) else { return false };
        let Some((header, behind)) = found.split_at_checked(RECORD_HEADER_BYTES) else {
            return false;
        };
        let Some(length) = number(header, 12..16).and_then(|it| usize::try_from(it).ok()) else {
            return false;
        };
        let is_sealed = salts.iter().any(|salt| {
            header.starts_with(&marker(*salt))
                && number(header, 4..8) == Some(checksum(*salt, &header[8..]).into())
        });
        let is_the_same = number(header, 16..24) == Some(record.position.offset)
            && number(header, 24..32) == Some(record.position.sequence)
            && number(header, 32..40) == Some(record.time_ms.cast_unsigned())
            && number(header, 40..42) == Some(record.position.partition.into());
        let payload = behind.get(..length);
        let has_payload = payload.is_some_and(|it| {
            record.payload == it && number(header, 8..12) == Some(crc32fast::hash(it).into())
        });
        is_sealed && is_the_same && has_payload
    })
}

/// What the readable copies of a segment's header say.
fn salts(content: &[u8]) -> Vec<u64> {
    let copies = [0, HEADER_BYTES].into_iter().filter_map(|it| content.get(it..it + HEADER_BYTES));
    let sound = copies.filter(|it| {
        let checksum = crc32fast::hash(&it[..HEADER_BYTES - 4]);
        number(it, HEADER_BYTES - 4..HEADER_BYTES) == Some(checksum.into())
    });
    sound.filter_map(|it| number(it, 24..32)).collect()
}

fn base(name: &str) -> u64 {
    name.trim_end_matches(".seg").parse().unwrap()
}

/// A little-endian number of up to eight bytes.
fn number(bytes: &[u8], at: Range<usize>) -> Option<u64> {
    let digits = bytes.get(at)?.iter().rev();
    Some(digits.fold(0, |number, digit| number << 8 | u64::from(*digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The judge itself: it takes the records of the sound log, and none with a byte of them changed.
    #[test]
    fn only_what_stands_in_the_files_was_rightly_served() {
        let at = records(&sound()[1].1, SEGMENT_BYTES as u64)[3];
        let header = &sound()[1].1[at..at + RECORD_HEADER_BYTES];
        let length = usize::try_from(number(header, 12..16).unwrap()).unwrap();
        let end = at + RECORD_HEADER_BYTES + length;
        let record = Record {
            position: store::log::Position {
                partition: u16::try_from(number(header, 40..42).unwrap()).unwrap(),
                sequence: number(header, 24..32).unwrap(),
                offset: (SEGMENT_BYTES + at) as u64,
            },
            time_ms: number(header, 32..40).unwrap().cast_signed(),
            payload: sound()[1].1[end - length..end].to_vec().into(),
        };
        assert!(stands_in(sound(), &record));
        for place in at..end {
            let mut files = sound().clone();
            files[1].1[place] ^= 0x10;
            assert!(!stands_in(&files, &record), "{place}");
        }
    }
}
