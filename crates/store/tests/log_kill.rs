//! Nothing acknowledged is lost from the log when the process is killed.
//!
//! A child process appends with many appenders at once and says so on its standard output, line by
//! line, which is a record that the kill cannot touch. The parent kills it at random moments, a
//! hundred times over one directory, and holds what the log says against the record. Segments are
//! small and the children trim, so kills also hit the making and the removing of segments.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]
#![expect(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]

#[path = "support/killed_child.rs"]
mod killed_child;
#[path = "support/random.rs"]
mod random;

use killed_child::{ACKNOWLEDGED, kill_at_random};
use random::Random;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use store::Log;
use store::log::{Bounds, LogOptions, Record, Start, verify};

const KILLS: u64 = 100;
const APPENDERS: u64 = 16;
const PARTITIONS: u16 = 4;

/// How many children's records are kept. A record's time is the number of its child.
const KEPT: i64 = 5;

/// Where the child finds its directory and its number; unset in an ordinary test run.
const DIRECTORY: &str = "STORE_LOG_KILL_DIRECTORY";
const NUMBER: &str = "STORE_LOG_KILL_NUMBER";

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 256 * 1024,
        record_bytes_max: 4_096,
        ..LogOptions::new(PARTITIONS, 0x6b11_1ed0_0dd5_a175)
    }
}

#[test]
fn a_killed_process_has_lost_nothing_acknowledged() {
    let seed = 0x5eed_u64 ^ u64::from(std::process::id());
    println!("seed `{seed}`");
    let mut random = Random(seed);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut told = Told::default();
    for kill in 0..KILLS {
        let lines = kill_at_random(
            "the_child_appends_until_it_is_killed",
            &[(DIRECTORY, path), (NUMBER, &kill.to_string())],
            &mut random,
        );
        for line in &lines {
            told.note(line);
        }
        // Looking changes nothing, so the next child finds what the kill left.
        let verified = verify(directory.path()).unwrap();
        assert_eq!(verified.bad, 0, "{verified:?}");
        if kill % 2 == 0 {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let log = Log::open(directory.path(), options(), 0).await.unwrap();
                told.check(&log, kill).await;
                log.close().await;
            });
        }
    }
    println!("{} appends acknowledged over {KILLS} kills", told.acknowledged_ever);
}

/// The child. Each appender counts up from 0, in a partition of its own choice.
#[test]
#[expect(clippy::disallowed_methods, reason = "only the environment tells this process its part")]
fn the_child_appends_until_it_is_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let child: i64 = std::env::var(NUMBER).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    // The test harness has begun a line with this test's name; end it.
    println!();
    runtime.block_on(async {
        let log = Log::open(Path::new(&directory), options(), 0).await.unwrap();
        let mut appenders = tokio::task::JoinSet::new();
        for appender in 0..APPENDERS {
            appenders.spawn(append_for_ever(log.clone(), child, appender));
        }
        log.trim(child - KEPT).await.unwrap();
        // Should the parent die first, nobody else ends this process.
        tokio::time::timeout(Duration::from_secs(60), appenders.join_all()).await.unwrap();
    });
}

async fn append_for_ever(log: Log, child: i64, appender: u64) {
    let mut count = 0_u64;
    loop {
        let filler = "x".repeat((count * 37 % 600) as usize);
        let payload = format!("{appender} {count} {filler}");
        let position = log.append(partition(appender), child, payload.into()).await.unwrap();
        let line = format!(
            "{ACKNOWLEDGED}{child} {appender} {count} {} {}\n",
            position.sequence, position.offset
        );
        // One write of one short line: a pipe takes it whole or not at all.
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
        count += 1;
    }
}

/// What the children said, and what was found before.
#[derive(Default)]
struct Told {
    /// Sequence and offset of each child's, appender's and count's record; of the kept children.
    acknowledged: BTreeMap<(u64, u64, u64), (u64, u64)>,
    acknowledged_ever: u64,
    bounds: BTreeMap<u16, Bounds>,
}

impl Told {
    fn note(&mut self, line: &str) {
        let numbers: Vec<u64> = line
            .trim_start_matches(ACKNOWLEDGED)
            .split_whitespace()
            .map(|it| it.parse().unwrap())
            .collect();
        let [child, appender, count, sequence, offset] = numbers[..] else { panic!("{line}") };
        let known = self.acknowledged.insert((child, appender, count), (sequence, offset));
        assert_eq!(known, None);
        self.acknowledged_ever += 1;
    }

    /// Checks all records of the children that no trim can have reached.
    async fn check(&mut self, log: &Log, newest_child: u64) {
        assert_eq!(log.damage(), []);
        let oldest_child = newest_child.saturating_sub(KEPT as u64 - 1);
        self.acknowledged = self.acknowledged.split_off(&(oldest_child, 0, 0));
        let mut found: BTreeMap<(u64, u64, u64), (u64, u64)> = BTreeMap::new();
        for partition in 0..PARTITIONS {
            self.check_bounds(log, partition);
            let mut newest: BTreeMap<(u64, u64), u64> = BTreeMap::new();
            for record in all(log, partition).await {
                let (child, appender, count) = numbers(&record);
                assert_eq!(self::partition(appender), partition);
                // No duplicate, no gap, no change of order.
                let expected = match newest.insert((child, appender), count) {
                    Some(before) => before + 1,
                    // Trimming may have taken the first ones of the older children.
                    None if child < oldest_child => count,
                    None => 0,
                };
                assert_eq!(count, expected, "appender `{appender}` of child `{child}`");
                let position = (record.position.sequence, record.position.offset);
                found.insert((child, appender, count), position);
            }
        }
        for (told, position) in &self.acknowledged {
            assert_eq!(found.get(told), Some(position), "acknowledged: {told:?}");
        }
        // Beyond what was acknowledged, each appender can have had one more on its way.
        for (child, appender, count) in found.keys().filter(|(child, ..)| *child >= oldest_child) {
            let is_one_more =
                *count == 0 || self.acknowledged.contains_key(&(*child, *appender, count - 1));
            assert!(is_one_more, "record `{count}` of appender `{appender}` of child `{child}`");
        }
    }

    fn check_bounds(&mut self, log: &Log, partition: u16) {
        let bounds = log.bounds(partition).unwrap();
        let before = self.bounds.insert(partition, bounds).unwrap_or_default();
        assert!(bounds.first_sequence >= before.first_sequence);
        assert!(bounds.next_sequence >= before.next_sequence);
        assert!(bounds.last_offset >= before.last_offset);
    }
}

/// Everything in the partition, whose sequences have no gap.
async fn all(log: &Log, partition: u16) -> Vec<Record> {
    let bounds = log.bounds(partition).unwrap();
    let (mut found, mut next) = (Vec::new(), bounds.first_sequence);
    while next < bounds.next_sequence {
        let page = log.read(partition, Start::Sequence(next), 1_000, 1 << 20).await.unwrap();
        assert!(!page.is_empty());
        for record in page {
            assert_eq!(record.position.sequence, next);
            next += 1;
            found.push(record);
        }
    }
    found
}

fn numbers(record: &Record) -> (u64, u64, u64) {
    let text = std::str::from_utf8(&record.payload).unwrap();
    let mut parts = text.split(' ');
    let mut number = || parts.next().unwrap().parse().unwrap();
    (record.time_ms as u64, number(), number())
}

fn partition(appender: u64) -> u16 {
    (appender % u64::from(PARTITIONS)) as u16
}
