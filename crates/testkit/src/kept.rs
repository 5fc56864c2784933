//! What devices have sent, as it lies in the log.

use ops::devices::message::Message;
use std::path::Path;
use store::log::{Log, LogOptions, Start};
use tokio::runtime::Runtime;

/// Of a hub, where nobody chose otherwise.
const PARTITIONS: u16 = 4;

/// Every message that a data directory holds, while no server uses it.
pub fn messages_in(data: &Path) -> Vec<Message> {
    let runtime = Runtime::new().expect("the system has threads");
    let logs = std::fs::read_dir(data.join("log")).expect("messages were kept");
    let mut all = Vec::new();
    for log in logs {
        let path = log.expect("the directory can be read").path();
        all.extend(runtime.block_on(async {
            // A hub's partitions, where nobody chose otherwise; the salt is the log's own.
            let options = LogOptions::new(PARTITIONS, 0);
            let log = Log::open(&path, options, 0).await.expect("it is a log");
            let messages = messages(&log, PARTITIONS).await;
            log.close().await;
            messages
        }));
    }
    all
}

pub(crate) async fn messages(log: &Log, partitions: u16) -> Vec<Message> {
    let mut all = Vec::new();
    for partition in 0..partitions {
        let mut from = Start::Earliest;
        loop {
            let records = log.read(partition, from, 10_000, 8 << 20).await;
            let records = records.expect("the log can be read");
            let Some(last) = records.last() else { break };
            from = Start::Sequence(last.position.sequence + 1);
            let read = records.iter().map(|it| Message::parse(&it.payload));
            all.extend(read.map(|it| it.expect("the log holds messages")));
        }
    }
    all
}
