//! What holds of every log. Each case runs over a fresh one of each kind.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of tests may panic as they do"
)]
#![expect(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]

use std::time::Duration;

use bytes::Bytes;
use store::log::{Append, Bounds, LogOptions, Position, Record, Start};
use store::{Log, LogError};

macro_rules! over_every_log {
    ($($case:ident,)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(store::Log::memory_with(super::options()).unwrap()).await;
            })*
        }
        mod files {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().join("log");
                super::$case(store::Log::open(&path, super::options(), 0).await.unwrap()).await;
            })*
        }
    };
}

over_every_log! {
    a_record_is_read_back_under_its_position,
    each_partition_counts_from_zero_and_keeps_its_order,
    offsets_grow_over_all_partitions,
    a_read_starts_at_a_sequence,
    a_read_starts_at_an_offset_or_behind_it,
    a_read_starts_at_a_time_also_where_times_go_back,
    a_read_goes_on_over_many_segments,
    a_read_is_never_over_its_limits_but_for_one_record,
    nothing_is_read_at_the_tail,
    bounds_tell_what_a_partition_holds,
    a_tail_wakes_on_its_own_partition_only,
    trimming_removes_whole_segments_from_the_old_end,
    numbers_are_not_used_again_after_trimming,
    what_is_one_past_a_limit_is_refused_and_nothing_is_appended,
    a_payload_may_be_empty_or_any_bytes,
    appends_that_are_queued_in_order_are_kept_in_order,
    sixteen_appenders_lose_nothing_and_keep_their_order,
    a_closed_log_refuses_everything,
}

const PAYLOAD_MAX: usize = 8_000;

/// Small segments, so that tests cross many.
fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 32 * 1024,
        record_bytes_max: PAYLOAD_MAX,
        ..LogOptions::new(4, 0x5a17_0bad_cafe_f00d)
    }
}

async fn a_record_is_read_back_under_its_position(log: Log) {
    let position = log.append(2, 77, "on".into()).await.unwrap();
    assert_eq!((position.partition, position.sequence), (2, 0));
    let expected = vec![Record { position, time_ms: 77, payload: "on".into() }];
    assert_eq!(all(&log, 2).await, expected);
    assert_eq!(all(&log, 1).await, []);
    assert_eq!(log.damage(), []);
}

async fn each_partition_counts_from_zero_and_keeps_its_order(log: Log) {
    for count in 0..30_u64 {
        let partition = (count % 3) as u16;
        let position = log.append(partition, 0, count.to_string().into()).await.unwrap();
        assert_eq!(position.sequence, count / 3);
    }
    for partition in 0..3 {
        let texts: Vec<u64> = all(&log, partition).await.iter().map(number).collect();
        assert_eq!(texts, (0..10).map(|it| it * 3 + u64::from(partition)).collect::<Vec<_>>());
    }
}

async fn offsets_grow_over_all_partitions(log: Log) {
    let positions = fill(&log, 300).await;
    assert!(positions.windows(2).all(|it| it[0].offset < it[1].offset));
}

async fn a_read_starts_at_a_sequence(log: Log) {
    let positions = fill(&log, 200).await;
    let in_one = of(&positions, 1);
    for wanted in [0, 1, 17, 49] {
        let found = log.read(1, Start::Sequence(wanted), 1, 100_000).await.unwrap();
        assert_eq!(found[0].position, in_one[wanted as usize]);
    }
    assert_eq!(log.read(1, Start::Sequence(50), 1, 100_000).await.unwrap(), []);
    assert_eq!(log.read(1, Start::Sequence(u64::MAX), 1, 100_000).await.unwrap(), []);
}

async fn a_read_starts_at_an_offset_or_behind_it(log: Log) {
    let positions = fill(&log, 200).await;
    let in_one = of(&positions, 1);
    for (at, position) in in_one.iter().enumerate() {
        let exact = log.read(1, Start::Offset(position.offset), 1, 100_000).await.unwrap();
        assert_eq!(exact[0].position, *position);
        let behind = log.read(1, Start::Offset(position.offset + 1), 1, 100_000).await.unwrap();
        assert_eq!(behind.first().map(|it| it.position), in_one.get(at + 1).copied());
    }
    assert_eq!(log.read(1, Start::Offset(0), 1, 1).await.unwrap()[0].position, in_one[0]);
    assert_eq!(log.read(1, Start::Offset(u64::MAX), 1, 1).await.unwrap(), []);
}

async fn a_read_starts_at_a_time_also_where_times_go_back(log: Log) {
    let times = [10, 20, 20, 50, 30, 30, 60, -5];
    for round in 0..40_i64 {
        for time_ms in times {
            let payload = Bytes::from(vec![0; 100]);
            log.append(3, round * 100 + time_ms, payload).await.unwrap();
        }
    }
    let everything = all(&log, 3).await;
    for time_ms in (-10..4_100).step_by(5) {
        let expected = everything.iter().position(|it| it.time_ms >= time_ms);
        let expected = expected.map_or(&[][..], |it| &everything[it..]);
        let found = log.read(3, Start::Time(time_ms), 1_000, 1_000_000).await.unwrap();
        assert_eq!(found, expected, "{time_ms}");
    }
    assert_eq!(log.read(3, Start::Time(i64::MIN), 1_000, 1_000_000).await.unwrap(), everything);
    assert_eq!(log.read(3, Start::Time(i64::MAX), 1_000, 1_000_000).await.unwrap(), []);
}

async fn a_read_goes_on_over_many_segments(log: Log) {
    let positions = fill(&log, 1_000).await;
    for partition in 0..4 {
        let (mut found, mut next) = (Vec::new(), 0);
        loop {
            let page = log.read(partition, Start::Sequence(next), 7, 100_000).await.unwrap();
            let Some(last) = page.last() else { break };
            next = last.position.sequence + 1;
            found.extend(page.iter().map(|it| it.position));
        }
        assert_eq!(found, of(&positions, partition));
        let at_once = all(&log, partition).await;
        assert_eq!(at_once.iter().map(|it| it.position).collect::<Vec<_>>(), found);
    }
}

async fn a_read_is_never_over_its_limits_but_for_one_record(log: Log) {
    for _ in 0..10 {
        log.append(0, 0, vec![7; 100].into()).await.unwrap();
    }
    let read =
        async |records, bytes| log.read(0, Start::Earliest, records, bytes).await.unwrap().len();
    assert_eq!(read(0, 1_000).await, 0);
    assert_eq!(read(3, 1_000).await, 3);
    assert_eq!(read(100, 299).await, 2);
    assert_eq!(read(100, 300).await, 3);
    assert_eq!(read(100, 99).await, 1, "or a reader could never go on");
    assert_eq!(read(100, 0).await, 1);
    assert_eq!(read(usize::MAX, usize::MAX).await, 10);
}

async fn nothing_is_read_at_the_tail(log: Log) {
    assert_eq!(log.read(0, Start::Latest, 10, 1_000).await.unwrap(), []);
    assert_eq!(log.read(0, Start::Earliest, 10, 1_000).await.unwrap(), []);
    log.append(0, 0, "a".into()).await.unwrap();
    assert_eq!(log.read(0, Start::Latest, 10, 1_000).await.unwrap(), []);
    let next = log.bounds(0).unwrap().next_sequence;
    log.append(0, 0, "b".into()).await.unwrap();
    let found = log.read(0, Start::Sequence(next), 10, 1_000).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].payload, "b");
}

async fn bounds_tell_what_a_partition_holds(log: Log) {
    assert_eq!(log.bounds(0).unwrap(), Bounds::default());
    log.append(0, 5, "a".into()).await.unwrap();
    let last = log.append(0, 4, "b".into()).await.unwrap();
    let expected = Bounds {
        first_sequence: 0,
        next_sequence: 2,
        last_time_ms: Some(4),
        last_offset: Some(last.offset),
    };
    assert_eq!(log.bounds(0).unwrap(), expected);
    assert_eq!(log.bounds(1).unwrap(), Bounds::default());
}

async fn a_tail_wakes_on_its_own_partition_only(log: Log) {
    let (mut mine, other) = (log.tail(1).unwrap(), log.tail(0).unwrap());
    assert_eq!(*mine.borrow_and_update(), 0);
    let appender = log.clone();
    let append = tokio::spawn(async move { appender.append(1, 0, "a".into()).await.unwrap() });
    tokio::time::timeout(Duration::from_secs(10), mine.changed()).await.unwrap().unwrap();
    assert_eq!(*mine.borrow_and_update(), 1);
    assert_eq!(all(&log, 1).await.len(), 1, "what woke a reader can be read");
    append.await.unwrap();
    assert!(!other.has_changed().unwrap());
    log.close().await;
    assert!(mine.changed().await.is_err());
    assert!(matches!(log.tail(1), Err(LogError::Closed)));
}

async fn trimming_removes_whole_segments_from_the_old_end(log: Log) {
    for time_ms in 0..1_000 {
        log.append((time_ms % 3) as u16, time_ms, vec![1; 100].into()).await.unwrap();
    }
    assert_eq!(log.trim(0).await.unwrap(), 0);
    let mut removed = log.trim(500).await.unwrap();
    assert!(removed > 0);
    assert_eq!(log.trim(500).await.unwrap(), 0, "again there is nothing to do");
    let oldest = log.bounds(0).unwrap().first_sequence * 3;
    assert!((300..500).contains(&oldest), "a segment holds about 220 records: `{oldest}`");
    for partition in 0..3 {
        let kept = all(&log, partition).await;
        let bounds = log.bounds(partition).unwrap();
        assert_eq!(kept[0].position.sequence, bounds.first_sequence);
        assert_eq!(kept.len() as u64, bounds.next_sequence - bounds.first_sequence);
        assert!(kept.iter().any(|it| it.time_ms >= 500 && it.time_ms < 503));
        let below = log.read(partition, Start::Sequence(0), 1, 1_000).await.unwrap();
        assert_eq!(below, kept[..1], "what was trimmed reads as the oldest that is kept");
    }
    removed += log.trim(i64::MAX).await.unwrap();
    assert!(removed >= 4);
    assert!(!all(&log, 0).await.is_empty(), "the newest segment stays");
    assert_eq!(log.bounds(3).unwrap(), Bounds::default());
}

async fn numbers_are_not_used_again_after_trimming(log: Log) {
    let rare = log.append(3, 0, "rare".into()).await.unwrap();
    let last = *fill(&log, 1_000).await.last().unwrap();
    let before = log.bounds(3).unwrap();
    assert!(log.trim(i64::MAX).await.unwrap() > 2);
    let after = log.bounds(3).unwrap();
    assert_eq!(after.next_sequence, before.next_sequence);
    assert_eq!(after.last_offset, before.last_offset);
    let next = log.append(3, 0, "next".into()).await.unwrap();
    assert_eq!(next.sequence, before.next_sequence);
    assert!(next.offset > last.offset && next.offset > rare.offset);
}

async fn what_is_one_past_a_limit_is_refused_and_nothing_is_appended(log: Log) {
    let record =
        |partition, length| Append { partition, time_ms: 0, payload: vec![0; length].into() };
    log.append(3, 0, vec![0; PAYLOAD_MAX].into()).await.unwrap();
    let error = log.append(3, 0, vec![0; PAYLOAD_MAX + 1].into()).await.unwrap_err();
    assert_eq!(error.to_string(), "a record of `8001` bytes is over the limit of `8000`");
    let error = log.append(4, 0, "a".into()).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no partition `4` among `4`, counted from 0");
    let mixed = vec![record(0, 1), record(4, 1)];
    assert!(matches!(log.append_many(mixed).await, Err(LogError::NoSuchPartition { .. })));
    let many = vec![record(0, 0); store::log::APPEND_RECORDS_MAX + 1];
    assert!(matches!(log.append_many(many).await, Err(LogError::AppendTooLarge { .. })));
    let large = vec![record(0, PAYLOAD_MAX); store::log::APPEND_BYTES_MAX / PAYLOAD_MAX + 1];
    assert!(matches!(log.append_many(large).await, Err(LogError::AppendTooLarge { .. })));
    assert_eq!(log.bounds(0).unwrap(), Bounds::default());
    assert!(matches!(log.bounds(4), Err(LogError::NoSuchPartition { .. })));
    assert!(matches!(log.tail(4), Err(LogError::NoSuchPartition { .. })));
    let read = log.read(4, Start::Earliest, 1, 1).await;
    assert!(matches!(read, Err(LogError::NoSuchPartition { .. })));

    let most = vec![record(0, 0); store::log::APPEND_RECORDS_MAX];
    assert_eq!(log.append_many(most).await.unwrap().len(), store::log::APPEND_RECORDS_MAX);
    assert_eq!(log.append_many(Vec::new()).await.unwrap(), []);
}

async fn a_payload_may_be_empty_or_any_bytes(log: Log) {
    let payloads = [vec![], vec![0; 500], (0..=255).collect(), vec![0xff; PAYLOAD_MAX]];
    for payload in &payloads {
        log.append(0, i64::MIN, payload.clone().into()).await.unwrap();
    }
    let found = all(&log, 0).await;
    assert_eq!(found.iter().map(|it| it.payload.to_vec()).collect::<Vec<_>>(), payloads);
}

async fn appends_that_are_queued_in_order_are_kept_in_order(log: Log) {
    let mut queued = Vec::new();
    for count in 0..500_u64 {
        let payload = count.to_string().into();
        queued.push(log.queue(vec![Append { partition: 0, time_ms: 0, payload }]).await.unwrap());
    }
    for (count, queued) in (0..500).zip(queued) {
        assert_eq!(queued.synced().await.unwrap()[0].sequence, count);
    }
    let numbers: Vec<u64> = all(&log, 0).await.iter().map(number).collect();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
}

async fn sixteen_appenders_lose_nothing_and_keep_their_order(log: Log) {
    let mut appenders = tokio::task::JoinSet::new();
    for appender in 0..16_u64 {
        let log = log.clone();
        appenders.spawn(async move {
            let mut positions = Vec::new();
            for count in 0..200_u64 {
                let payload = (appender * 1_000 + count).to_string();
                let partition = (appender % 4) as u16;
                positions.push((log.append(partition, 0, payload.into()).await.unwrap(), count));
            }
            (appender, positions)
        });
    }
    let acknowledged = appenders.join_all().await;
    for partition in 0..4 {
        let found = all(&log, partition).await;
        assert_eq!(found.len(), 800);
        assert!(found.iter().zip(0..).all(|(it, sequence)| it.position.sequence == sequence));
        for (appender, positions) in &acknowledged {
            if appender % 4 == u64::from(partition) {
                let mine: Vec<(Position, u64)> = found
                    .iter()
                    .filter(|it| number(it) / 1_000 == *appender)
                    .map(|it| (it.position, number(it) % 1_000))
                    .collect();
                assert_eq!(mine, *positions);
            }
        }
    }
}

async fn a_closed_log_refuses_everything(log: Log) {
    log.append(0, 0, "a".into()).await.unwrap();
    log.close().await;
    log.close().await;
    assert!(matches!(log.append(0, 0, "b".into()).await, Err(LogError::Closed)));
    assert!(matches!(log.append_many(Vec::new()).await, Err(LogError::Closed)));
    assert!(matches!(log.read(0, Start::Earliest, 1, 1).await, Err(LogError::Closed)));
    assert!(matches!(log.trim(0).await, Err(LogError::Closed)));
    assert!(matches!(log.tail(0), Err(LogError::Closed)));
}

#[tokio::test]
async fn a_memory_log_that_is_told_to_fail_stops_for_good() {
    let log = Log::memory(1);
    let Log::Memory(memory) = &log else { panic!() };
    memory.fail_next_append();
    for _ in 0..2 {
        let error = log.append(0, 0, "a".into()).await.unwrap_err();
        assert!(matches!(error, LogError::WriterStopped { .. }), "{error}");
    }
    assert_eq!(all(&log, 0).await, []);
}

/// Appends so many records of some hundred bytes, in turn to each partition.
async fn fill(log: &Log, records: u64) -> Vec<Position> {
    let record = |count: u64| Append {
        partition: (count % 4) as u16,
        time_ms: count as i64,
        payload: vec![count as u8; 100 + (count % 7) as usize * 20].into(),
    };
    log.append_many((0..records).map(record).collect()).await.unwrap()
}

fn of(positions: &[Position], partition: u16) -> Vec<Position> {
    positions.iter().filter(|it| it.partition == partition).copied().collect()
}

async fn all(log: &Log, partition: u16) -> Vec<Record> {
    log.read(partition, Start::Earliest, usize::MAX, usize::MAX).await.unwrap()
}

fn number(record: &Record) -> u64 {
    std::str::from_utf8(&record.payload).unwrap().parse().unwrap()
}
