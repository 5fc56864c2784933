//! How fast the log is on this disk: `cargo run --release -p store --example log_rate -- DIRECTORY`.
//!
//! Appends records of 256 bytes, each appender awaiting each acknowledgement, and prints the rates;
//! then fills 1 GiB and prints how long opening it takes, with and without the indexes.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement is run by hand")]
#![expect(clippy::disallowed_methods, reason = "a measurement measures time")]

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::Log;
use store::log::{Append, LogOptions, Start};

const SECONDS: u64 = 5;
const PAYLOAD: usize = 256;

#[tokio::main]
async fn main() {
    let directory = std::env::args().nth(1).expect("a directory to measure in");
    let directory = Path::new(&directory);
    for appenders in [1, 2, 8, 50, 800] {
        let each = directory.join(format!("appenders-{appenders}"));
        measure(&each, appenders).await;
        std::fs::remove_dir_all(each).unwrap();
    }
    let each = directory.join("gib");
    measure_opening(&each).await;
    std::fs::remove_dir_all(each).unwrap();
}

async fn measure(directory: &Path, appenders: u16) {
    let log = Log::open(directory, LogOptions::new(4, 7), 0).await.unwrap();
    let begin = Instant::now();
    let end = begin + Duration::from_secs(SECONDS);
    let payload = Bytes::from(vec![7; PAYLOAD]);
    let mut tasks = tokio::task::JoinSet::new();
    for appender in 0..appenders {
        let (log, payload) = (log.clone(), payload.clone());
        tasks.spawn(async move {
            let mut waits = Vec::new();
            while Instant::now() < end {
                let asked = Instant::now();
                log.append(appender % 4, 0, payload.clone()).await.unwrap();
                waits.push(asked.elapsed());
            }
            waits
        });
    }
    let mut waits: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let seconds = begin.elapsed().as_secs_f64();
    log.close().await;
    waits.sort();
    let rate = waits.len() as f64 / seconds;
    let share = |percent: usize| waits.get(waits.len() * percent / 100).or(waits.last());
    println!(
        "{appenders} appenders: {rate:.0} records/s, {:.1} MB/s, p50 {:?}, p99 {:?}, max {:?}",
        rate * PAYLOAD as f64 / 1e6,
        share(50).unwrap(),
        share(99).unwrap(),
        share(100).unwrap(),
    );
}

async fn measure_opening(directory: &Path) {
    let options = LogOptions::new(4, 7);
    let log = Log::open(directory, options.clone(), 0).await.unwrap();
    let payload = Bytes::from(vec![7; PAYLOAD]);
    let record = |count: u16| Append { partition: count % 4, time_ms: 0, payload: payload.clone() };
    let batch: Vec<Append> = (0..4_000).map(record).collect();
    let begin = Instant::now();
    let batches = (1 << 30) / (batch.len() * (PAYLOAD + 44));
    for _ in 0..batches {
        log.append_many(batch.clone()).await.unwrap();
    }
    println!("filled 1 GiB in {:?}", begin.elapsed());
    let begin = Instant::now();
    let (mut next, mut records) = (0, 0);
    loop {
        let page = log.read(0, Start::Sequence(next), 10_000, 1 << 23).await.unwrap();
        let Some(last) = page.last() else { break };
        next = last.position.sequence + 1;
        records += page.len();
    }
    println!("read one partition of 4, {records} records, in {:?}", begin.elapsed());
    log.close().await;

    let begin = Instant::now();
    let log = Log::open(directory, options.clone(), 0).await.unwrap();
    println!("opened 1 GiB in {:?}", begin.elapsed());
    log.close().await;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "idx") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let begin = Instant::now();
    let log = Log::open(directory, options, 0).await.unwrap();
    println!("opened 1 GiB without indexes in {:?}", begin.elapsed());
    log.close().await;
    let begin = Instant::now();
    let verified = store::log::verify(directory).unwrap();
    println!("verified {} records in {:?}", verified.records, begin.elapsed());
}
