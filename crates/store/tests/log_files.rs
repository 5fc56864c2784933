//! What holds of a log's files: who may read them, what reopening finds, which are refused.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use store::log::{Append, LogOptions, Record, Start, verify};
use store::{Log, LogError};

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 32 * 1024,
        record_bytes_max: 8_000,
        ..LogOptions::new(4, 0x5a17_0bad_cafe_f00d)
    }
}

async fn open(directory: &Path) -> Log {
    Log::open(directory, options(), 0).await.unwrap()
}

#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hubs").join("log");
    let log = open(&path).await;
    fill(&log, 0..600).await;
    log.close().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let files: Vec<PathBuf> = fs::read_dir(&path).unwrap().map(|it| it.unwrap().path()).collect();
    assert!(files.len() > 4);
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn reopening_finds_everything_and_goes_on_counting() {
    let directory = tempfile::tempdir().unwrap();
    let mut before = None;
    for round in 0..4 {
        let log = open(directory.path()).await;
        if let Some(before) = before {
            assert_eq!(everything(&log).await, before);
        }
        let next = log.bounds(1).unwrap().next_sequence;
        fill(&log, round * 250..round * 250 + 250).await;
        assert_eq!(
            log.bounds(1).unwrap().next_sequence,
            next + if round % 2 == 0 { 63 } else { 62 }
        );
        before = Some(everything(&log).await);
        if round % 2 == 0 {
            log.close().await;
        }
        if round == 1 {
            // The indexes are a cache.
            for index in files(directory.path(), "idx") {
                fs::remove_file(index).unwrap();
            }
        }
    }
    let verified = verify(directory.path()).unwrap();
    assert_eq!((verified.records, verified.bad, verified.torn_tail), (1_000, 0, false));
    assert_eq!(verified.segments, files(directory.path(), "seg").len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_written_and_trimmed_meanwhile_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    fill(&log, 0..100).await;
    let (is_done, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(100)));
    let writing = {
        let (log, is_done, written) = (log.clone(), is_done.clone(), written.clone());
        tokio::spawn(async move {
            while !is_done.load(Ordering::Relaxed) {
                let next = written.load(Ordering::Relaxed);
                fill(&log, next..next + 50).await;
                written.store(next + 50, Ordering::Relaxed);
                log.trim(i64::try_from(next).unwrap() - 250).await.unwrap();
            }
        })
    };
    // As often as it takes: a machine that has other work writes little meanwhile.
    let mut verified = 0;
    while verified < 200 || written.load(Ordering::Relaxed) < 1_000 {
        verified += 1;
        let path = directory.path().to_owned();
        let verified = tokio::task::spawn_blocking(move || verify(&path)).await.unwrap().unwrap();
        assert_eq!(verified.bad, 0, "{verified:?}");
    }
    is_done.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    log.close().await;
}

#[tokio::test]
async fn every_segment_but_the_newest_has_its_index_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    fill(&log, 0..1_000).await;
    log.close().await;
    let (segments, indexes) = (files(directory.path(), "seg"), files(directory.path(), "idx"));
    assert_eq!(segments.len(), indexes.len() + 1);
    // A damaged index costs a look into the segment, no more.
    for (at, index) in indexes.iter().enumerate() {
        let mut bytes = fs::read(index).unwrap();
        let length = bytes.len();
        match at % 3 {
            0 => bytes[length / 2] ^= 1,
            1 => bytes.truncate(length / 2),
            _ => bytes.clear(),
        }
        fs::write(index, bytes).unwrap();
    }
    let log = open(directory.path()).await;
    assert_eq!(everything(&log).await.len(), 1_000);
    assert_eq!(log.damage(), []);
}

#[tokio::test]
async fn numbers_are_not_used_again_after_trimming_and_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    log.append(3, 0, "rare".into()).await.unwrap();
    for count in 0..1_000 {
        log.append(0, count, vec![0; 100].into()).await.unwrap();
    }
    let rare = log.bounds(3).unwrap();
    log.close().await;
    let expired = LogOptions { retention: Duration::from_millis(10), ..options() };
    for _ in 0..2 {
        let log = Log::open(directory.path(), expired.clone(), 1_000_000).await.unwrap();
        assert_eq!(files(directory.path(), "seg").len(), 1, "opening trims");
        let bounds = log.bounds(3).unwrap();
        assert_eq!((bounds.first_sequence, bounds.next_sequence), (1, 1));
        assert_eq!(bounds.last_offset, rare.last_offset);
        assert_eq!(log.bounds(0).unwrap().next_sequence, 1_000);
        log.close().await;
    }
    let log = open(directory.path()).await;
    let position = log.append(3, 0, "next".into()).await.unwrap();
    assert_eq!(position.sequence, 1);
    assert!(Some(position.offset) > rare.last_offset);
}

#[tokio::test]
async fn one_process_has_a_log_open_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let error = Log::open(directory.path(), options(), 0).await.err().unwrap();
    assert!(matches!(error, LogError::InUse { .. }), "{error}");
    log.close().await;
    drop(open(directory.path()).await);
    drop(open(directory.path()).await);
}

#[tokio::test]
async fn a_log_keeps_its_number_of_partitions() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).await.close().await;
    let other = LogOptions { partitions: 5, ..options() };
    let error = Log::open(directory.path(), other, 0).await.err().unwrap();
    assert!(matches!(error, LogError::PartitionsChanged { found: 4, asked: 5, .. }), "{error}");
    // Its salt and the size of the segments it has are its own, too.
    let other = LogOptions { salt: 1, segment_bytes: 64 * 1024, ..options() };
    let log = Log::open(directory.path(), other, 0).await.unwrap();
    fill(&log, 0..1_000).await;
    log.close().await;
    assert_eq!(everything(&open(directory.path()).await).await.len(), 1_000);
}

#[tokio::test]
async fn options_out_of_range_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let least = LogOptions { segment_bytes: 8_192 + 44 + 8_000, ..options() };
    for wrong in [
        LogOptions { partitions: 0, ..options() },
        LogOptions { partitions: 129, ..options() },
        LogOptions { segment_bytes: least.segment_bytes - 1, ..options() },
        LogOptions { segment_bytes: store::log::SEGMENT_BYTES_MAX + 1, ..options() },
        LogOptions { record_bytes_max: 0, ..options() },
    ] {
        let error = Log::open(&path, wrong, 0).await.err().unwrap();
        assert!(matches!(error, LogError::OptionOutOfRange { .. }), "{error}");
    }
    assert!(!path.exists());
    let log = Log::open(&path, least, 0).await.unwrap();
    for _ in 0..3 {
        log.append(0, 0, vec![1; 8_000].into()).await.unwrap();
    }
    assert_eq!(files(&path, "seg").len(), 3, "one record fills a segment to its last byte");
}

#[tokio::test]
async fn a_segment_of_a_newer_version_is_refused_with_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).await.close().await;
    let segment = files(directory.path(), "seg").remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..12]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&segment, bytes).unwrap();
    let expected = format!(
        "`{}` has format version `2`, and this program knows versions up to `1`; \
         start the program that wrote it or a newer one",
        segment.display()
    );
    let error = Log::open(directory.path(), options(), 0).await.err().unwrap();
    assert_eq!(error.to_string(), expected);
    assert_eq!(verify(directory.path()).unwrap_err().to_string(), expected);
}

#[tokio::test]
async fn a_segment_of_another_log_or_another_place_is_refused() {
    let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = open(directory.path()).await;
    fill(&log, 0..600).await;
    log.close().await;
    let foreign = LogOptions { salt: 2, ..options() };
    let log = Log::open(other.path(), foreign, 0).await.unwrap();
    fill(&log, 0..600).await;
    log.close().await;

    let mine = files(directory.path(), "seg");
    let copy = other.path().join(mine[1].file_name().unwrap());
    let original = fs::read(&copy).unwrap();
    fs::copy(&mine[1], &copy).unwrap();
    let error = Log::open(other.path(), options(), 0).await.err().unwrap();
    assert!(matches!(error, LogError::ForeignFile { .. }), "{error}");
    fs::write(&copy, original).unwrap();

    for name in ["00000000000000000007.seg", "18446744073709551615.seg"] {
        let moved = directory.path().join(name);
        fs::copy(&mine[0], &moved).unwrap();
        let error = Log::open(directory.path(), options(), 0).await.err().unwrap();
        assert!(matches!(error, LogError::ForeignFile { .. }), "{error}");
        fs::write(&moved, [0; 9]).unwrap();
        let error = Log::open(directory.path(), options(), 0).await.err().unwrap();
        assert!(matches!(error, LogError::ForeignFile { .. }), "{error}");
        fs::remove_file(moved).unwrap();
    }
    // Names that are no segment's are none of ours.
    fs::write(directory.path().join("7.seg"), "").unwrap();
    fs::write(directory.path().join("notes.txt"), "").unwrap();
    drop(open(directory.path()).await);
}

#[tokio::test]
async fn what_a_crash_leaves_while_a_segment_is_made_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).await.close().await;
    for name in ["00000000000000000000.idx-new", "00000000000000099999.idx"] {
        fs::write(directory.path().join(name), "half").unwrap();
    }
    open(directory.path()).await.close().await;
    assert_eq!(files(directory.path(), "idx").len(), 0);
    assert_eq!(files(directory.path(), "idx-new").len(), 0);
}

#[tokio::test]
async fn a_spare_that_was_left_becomes_the_next_segment_whatever_its_size() {
    for length in [0, 4, 32 * 1024 - 1, 32 * 1024, 100_000] {
        let directory = tempfile::tempdir().unwrap();
        let spare = directory.path().join("spare");
        for counts in [0..100, 100..1_000] {
            fs::write(&spare, vec![7; length]).unwrap();
            let log = open(directory.path()).await;
            fill(&log, counts).await;
            log.close().await;
        }
        for segment in files(directory.path(), "seg") {
            assert_eq!(fs::metadata(segment).unwrap().len(), 32 * 1024);
        }
        let verified = verify(directory.path()).unwrap();
        assert_eq!((verified.records, verified.bad, verified.torn_tail), (1_000, 0, false));
        assert_eq!(everything(&open(directory.path()).await).await.len(), 1_000);
    }
}

#[tokio::test]
async fn a_segment_that_somebody_removed_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    fill(&log, 0..1_000).await;
    log.close().await;
    let segments = files(directory.path(), "seg");
    fs::remove_file(&segments[1]).unwrap();
    let verified = verify(directory.path()).unwrap();
    assert!(verified.bad > 0 && verified.records < 1_000, "{verified:?}");
    assert_eq!(verified.damage[0].offset, 32 * 1024);
    let log = open(directory.path()).await;
    assert_eq!(log.damage()[0].bytes, 32 * 1024);
    assert_eq!(everything(&log).await.len() as u64, verified.records);
    assert_eq!(log.append(0, 0, "next".into()).await.unwrap().sequence, 250);
}

async fn fill(log: &Log, counts: std::ops::Range<u64>) {
    let record = |count: u64| Append {
        partition: (count % 4) as u16,
        time_ms: count as i64,
        payload: vec![(count % 251) as u8; 100 + (count % 7) as usize * 20].into(),
    };
    log.append_many(counts.map(record).collect()).await.unwrap();
}

async fn everything(log: &Log) -> Vec<Record> {
    let mut found = Vec::new();
    for partition in 0..4 {
        found.extend(log.read(partition, Start::Earliest, usize::MAX, usize::MAX).await.unwrap());
    }
    found
}

/// The files with this ending, in order.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|it| it.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|it| it.extension().is_some_and(|it| it == ending))
        .filter(|it| it.file_stem().unwrap().len() == 20)
        .collect();
    files.sort();
    files
}
