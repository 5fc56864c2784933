//! Nothing acknowledged is lost when the process is killed.
//!
//! A child process commits with many writers at once and says so on its standard output, line by
//! line, which is a record that the kill cannot touch. The parent kills it at random moments, a
//! hundred times over one data directory, and holds what the files say against the record.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

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

use store::tables::{DEVICES, SETTINGS};
use store::{Change, Document, Engine, Expect, Scan, ShardId, Table, Write};

const KILLS: u64 = 100;
const WRITERS: u64 = 12;

/// Where the child finds its data directory; unset in an ordinary test run.
const DIRECTORY: &str = "STORE_KILL_DIRECTORY";

#[test]
fn a_killed_process_has_lost_nothing_acknowledged() {
    let seed = 0x5eed_u64 ^ u64::from(std::process::id());
    println!("seed `{seed}`");
    let mut random = Random(seed);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut record = Record::default();
    for kill in 0..KILLS {
        let lines = kill_at_random(
            "the_child_writes_until_it_is_killed",
            &[(DIRECTORY, path)],
            &mut random,
        );
        for line in &lines {
            record.note(line);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let engine = Engine::sqlite(directory.path()).unwrap();
            record.check(&engine).await;
            // Mostly the next child finds what the kill left, log and all.
            if kill % 8 == 7 {
                engine.close().await.unwrap();
            }
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(record.check_everything(&Engine::sqlite(directory.path()).unwrap()));
    println!("{} commits acknowledged over {KILLS} kills", record.acknowledged.len());
}

/// The child. Each writer counts up in commits of four documents, and goes on where the files say
/// it was.
#[test]
#[expect(clippy::disallowed_methods, reason = "only the environment tells this process its part")]
fn the_child_writes_until_it_is_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    // The test harness has begun a line with this test's name; end it.
    println!();
    runtime.block_on(async {
        let engine = Engine::sqlite(Path::new(&directory)).unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write_for_ever(engine.clone(), writer));
        }
        // Should the parent die first, nobody else ends this process.
        tokio::time::timeout(Duration::from_secs(60), writers.join_all()).await.unwrap();
    });
}

async fn write_for_ever(engine: Engine, writer: u64) {
    let mut count = match get(&engine, DEVICES, &left(writer)).await {
        Some(document) => number(&document),
        None => 0,
    };
    loop {
        count += 1;
        let committed = engine.commit(&shard(writer), changes(writer, count)).await.unwrap();
        let line = format!("{ACKNOWLEDGED}{writer} {count} {}\n", committed.revision);
        // One write of one short line: a pipe takes it whole or not at all.
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

/// Writer `writer`'s commit number `count`: two documents that must agree, one that comes and goes,
/// and one that stays for good.
fn changes(writer: u64, count: u64) -> Vec<Change> {
    let body = || Write::Put(count.to_string().into());
    let expect = if count == 1 { Expect::Absent } else { Expect::Present };
    let (odd_expect, odd) = match count % 2 {
        1 => (Expect::Absent, body()),
        _ => (Expect::Present, Write::Delete),
    };
    vec![
        Change { table: DEVICES, key: left(writer), expect, write: body() },
        Change { table: SETTINGS, key: odd_key(writer), expect: odd_expect, write: odd },
        Change { table: SETTINGS, key: kept(writer, count), expect: Expect::Absent, write: body() },
        Change { table: DEVICES, key: right(writer), expect, write: body() },
    ]
}

/// What the children said, over all kills.
#[derive(Default)]
struct Record {
    /// The revision of each writer's each commit.
    acknowledged: BTreeMap<(u64, u64), u64>,
    /// Each writer's newest commit that the last check found.
    found: BTreeMap<u64, u64>,
    /// The newest revision of each shard that was acknowledged or found.
    newest: BTreeMap<ShardId, u64>,
}

impl Record {
    fn note(&mut self, line: &str) {
        let numbers: Vec<u64> = line
            .trim_start_matches(ACKNOWLEDGED)
            .split_whitespace()
            .map(|it| it.parse().unwrap())
            .collect();
        let [writer, count, revision] = numbers[..] else { panic!("{line}") };
        let last = self.found.get(&writer).copied().unwrap_or(0);
        let before = self.acknowledged.range((writer, 0)..(writer, count)).next_back();
        let last = before.map_or(last, |((_, count), _)| last.max(*count));
        assert_eq!(count, last + 1, "a writer goes on where the files say it was");
        assert_eq!(self.acknowledged.insert((writer, count), revision), None);
        let newest = self.newest.entry(shard(writer)).or_default();
        *newest = revision.max(*newest);
    }

    /// Checks all that changed since the last check.
    async fn check(&mut self, engine: &Engine) {
        for (shard, newest) in &mut self.newest {
            let found = *engine.watch(shard).borrow();
            assert!(found >= *newest, "{shard} went back from revision `{newest}` to `{found}`");
            *newest = found;
        }
        for writer in 0..WRITERS {
            let known = self.found.get(&writer).copied().unwrap_or(0);
            let acknowledged =
                self.acknowledged.range((writer, 0)..=(writer, u64::MAX)).next_back();
            let acknowledged = acknowledged.map_or(0, |((_, count), _)| *count).max(known);

            let left = get(engine, DEVICES, &left(writer)).await;
            assert_eq!(left, get(engine, DEVICES, &right(writer)).await, "a commit is whole");
            let found = left.as_ref().map_or(0, number);
            // The writer waits for each answer, so it can have attempted one more and no further.
            assert!(
                found == acknowledged || found == acknowledged + 1,
                "writer `{writer}` was at `{acknowledged}` and is found at `{found}`"
            );
            let odd = get(engine, SETTINGS, &odd_key(writer)).await;
            assert_eq!(odd, left.filter(|_| found % 2 == 1), "a commit is whole");
            for count in known + 1..=found {
                let kept = get(engine, SETTINGS, &kept(writer, count)).await.unwrap();
                self.check_kept(writer, count, &kept);
            }
            assert_eq!(get(engine, SETTINGS, &kept(writer, found + 1)).await, None);
            self.found.insert(writer, found);
        }
    }

    /// Checks every document that was ever to be kept.
    async fn check_everything(&self, engine: &Engine) {
        for writer in 0..WRITERS {
            let found = self.found.get(&writer).copied().unwrap_or(0);
            let prefix = format!("kept {writer}/");
            let mut after = None;
            let mut seen = 0;
            loop {
                let range = Scan { prefix: prefix.clone(), after, limit: 1_000 };
                let page = engine.scan(&shard(writer), SETTINGS, range).await.unwrap();
                let Some((last, _)) = page.last() else { break };
                after = Some(last.clone());
                for (key, document) in page {
                    seen += 1;
                    assert_eq!(key, kept(writer, number(&document)));
                    self.check_kept(writer, number(&document), &document);
                }
            }
            assert_eq!(seen, found, "writer `{writer}`");
        }
    }

    fn check_kept(&self, writer: u64, count: u64, kept: &Document) {
        assert_eq!(number(kept), count);
        // None where the kill came between the commit and its line.
        if let Some(revision) = self.acknowledged.get(&(writer, count)) {
            assert_eq!(kept.revision, *revision, "commit `{count}` of writer `{writer}`");
        }
    }
}

/// Two shards, so that two writer threads are killed at once.
fn shard(writer: u64) -> ShardId {
    ShardId::hub(if writer.is_multiple_of(2) { "even" } else { "odd" }).unwrap()
}

async fn get(engine: &Engine, table: Table, key: &str) -> Option<Document> {
    let writer = key.split([' ', '/']).nth(1).unwrap().parse().unwrap();
    engine.get(&shard(writer), table, key).await.unwrap()
}

fn number(document: &Document) -> u64 {
    std::str::from_utf8(&document.body).unwrap().parse().unwrap()
}

fn left(writer: u64) -> String {
    format!("left {writer}")
}

fn right(writer: u64) -> String {
    format!("right {writer}")
}

fn odd_key(writer: u64) -> String {
    format!("odd {writer}")
}

fn kept(writer: u64, count: u64) -> String {
    format!("kept {writer}/{count:08}")
}
