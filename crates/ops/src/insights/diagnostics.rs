//! Which decisions become diagnostic records, and the way of a record to its file.
//!
//! A call is never held up: a record goes into a bounded queue, and where the queue is full it is dropped
//! and counted. What a record says is in `record.rs`, how files are kept is in `files.rs`, and which
//! settings there are is in `settings.rs`.

use super::{files, record};
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use gate::Facts;
use model::{Op, Trace};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Records that may wait to be written. Together with [`record::RECORD_BYTES_MAX`] this bounds memory.
pub const QUEUE_RECORDS_MAX: usize = 1_024;

/// The log categories of a hub. Source: IoT Hub monitoring data reference, "Resource logs".
pub(crate) const HUB_CATEGORIES: &[&str] = &[
    "Connections",
    "DeviceTelemetry",
    "C2DCommands",
    "DeviceIdentityOperations",
    "FileUploadOperations",
    "Routes",
    "D2CTwinOperations",
    "C2DTwinOperations",
    "TwinQueries",
    "JobsOperations",
    "DirectMethods",
    "DistributedTracing",
    "Configurations",
    "DeviceStreams",
];

/// One enabled diagnostic setting, as far as writing goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// The resource whose records are wanted: its id in lower case.
    pub resource: String,
    /// The full id of the workspace that they go to.
    pub workspace: String,
    /// Names of [`HUB_CATEGORIES`].
    pub categories: BTreeSet<&'static str>,
}

/// What is wanted, by resource: categories and the stem of the file they go to.
type Index = BTreeMap<String, Vec<(BTreeSet<&'static str>, Arc<str>)>>;

/// Takes decisions and lets those be written that a diagnostic setting asks for.
pub struct Diagnostics {
    index: ArcSwap<Index>,
    queue: mpsc::Sender<Message>,
    metrics: Metrics,
}

/// Owns the task that writes. Dropping it leaves the task running until every [`Diagnostics`] is gone.
pub struct DiagnosticsWriter {
    queue: mpsc::Sender<Message>,
    task: JoinHandle<()>,
}

pub(super) enum Message {
    Record { stem: Arc<str>, line: Arc<str> },
    Flush(oneshot::Sender<()>),
    Stop,
}

impl Diagnostics {
    /// Starts the writer of `data_dir/diagnostics`. Nothing is written before [`Diagnostics::reload`].
    /// Needs a tokio runtime.
    pub fn start(data_dir: PathBuf, metrics: Metrics) -> (Self, DiagnosticsWriter) {
        let (queue, waiting) = mpsc::channel(QUEUE_RECORDS_MAX);
        let directory = data_dir.join("diagnostics");
        let counted = metrics.clone();
        // Files are blocking; the pool for blocking work is the place for them.
        let task = tokio::task::spawn_blocking(move || files::write(directory, waiting, &counted));
        let writer = DiagnosticsWriter { queue: queue.clone(), task };
        (Self { index: ArcSwap::default(), queue, metrics }, writer)
    }

    /// Replaces what is wanted.
    pub fn reload(&self, sinks: Vec<Sink>) {
        let mut index = Index::new();
        for sink in sinks {
            let stem = files::stem(&sink.workspace).into();
            index.entry(sink.resource).or_default().push((sink.categories, stem));
        }
        self.index.store(Arc::new(index));
    }

    /// Takes one decision: every refusal comes by here, and every control-plane write. Costs one load of
    /// a pointer where no setting exists.
    pub fn record(&self, trace: &Trace, facts: &Facts) {
        if let Some(gate) = trace.outcome.gate {
            self.metrics.count_refusal(gate);
        }
        let index = self.index.load();
        if index.is_empty() {
            return;
        }
        let Some((category, operation)) = category_of(trace) else { return };
        let Some(hub) = facts.hub(&trace.scope()) else { return };
        let wanted = index.get(&hub.scope.key()).map_or(&[][..], Vec::as_slice);
        let mut line: Option<Arc<str>> = None;
        for (_, stem) in wanted.iter().filter(|(categories, _)| categories.contains(category)) {
            let line =
                line.get_or_insert_with(|| record::line(trace, hub, category, operation).into());
            let message = Message::Record { stem: Arc::clone(stem), line: Arc::clone(line) };
            if self.queue.try_send(message).is_err() {
                self.metrics.count_dropped_record();
            }
        }
    }

    /// Waits until everything recorded before is in its file.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.queue.send(Message::Flush(done)).await.is_ok() {
            // An error means that the writer has stopped: nothing is left to wait for.
            let _ = written.await;
        }
    }
}

impl DiagnosticsWriter {
    /// Writes what is waiting and ends. Records that come later are dropped and counted.
    pub async fn stop(self) {
        // Both errors mean that the writer has ended already.
        let _ = self.queue.send(Message::Stop).await;
        let _ = self.task.await;
    }
}

/// The category of a decision and the word for its operation; `None` where no category covers it.
fn category_of(trace: &Trace) -> Option<(&'static str, &'static str)> {
    IDENTITY_OPERATIONS
        .iter()
        .find(|(op, _)| trace.call.operation == format!("{op:?}"))
        .map(|(_, word)| ("DeviceIdentityOperations", *word))
}

/// Operations on device identities, with the words that records have for them. A refused write that
/// would have updated a device is a `create` too: nobody looked whether the device exists.
const IDENTITY_OPERATIONS: &[(Op, &str)] = &[
    (Op::PutDevice, "create"),
    (Op::GetDevice, "get"),
    (Op::DeleteDevice, "delete"),
    (Op::ListDevices, "list"),
    (Op::BulkDevices, "bulk"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insights::record::tests::{hub, refused_by_policy};
    use gate::facts::Lookups;
    use model::ObjectId;

    const WORKSPACE: &str = "/subscriptions/s/resourceGroups/rg/providers/p/workspaces/audit";

    fn facts() -> Facts {
        let mut facts = Facts::new(ObjectId(uuid::Uuid::nil()), "https://localhost");
        facts.put_hub(hub());
        facts
    }

    fn sink(resource: &str, category: &'static str) -> Sink {
        Sink {
            resource: resource.to_owned(),
            workspace: WORKSPACE.to_owned(),
            categories: BTreeSet::from([category]),
        }
    }

    #[tokio::test]
    async fn a_refusal_is_written_where_a_setting_of_its_hub_asks_for_it() {
        let directory =
            std::env::temp_dir().join(format!("hubward-records-{}", std::process::id()));
        let (diagnostics, writer) = Diagnostics::start(directory.clone(), Metrics::default());
        let key = hub().scope.key();
        let path = directory.join("diagnostics").join(format!("{}.jsonl", files::stem(WORKSPACE)));
        let (trace, facts) = (refused_by_policy(), facts());

        // No setting, another hub's setting, another category's setting.
        diagnostics.record(&trace, &facts);
        diagnostics.reload(vec![
            sink(&format!("{key}2"), "DeviceIdentityOperations"),
            sink(&key, "Connections"),
        ]);
        diagnostics.record(&trace, &facts);
        diagnostics.flush().await;
        assert!(!path.exists());

        diagnostics.reload(vec![sink(&key, "DeviceIdentityOperations")]);
        diagnostics.record(&trace, &facts);
        diagnostics.flush().await;
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");

        // What no category covers is not written.
        let mut other = trace.clone();
        other.call.operation = "PutHub".into();
        diagnostics.record(&other, &facts);
        diagnostics.record(&trace, &facts);
        writer.stop().await;
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[tokio::test]
    async fn what_cannot_be_queued_is_dropped_and_counted() {
        let metrics = Metrics::default();
        let (diagnostics, writer) = Diagnostics::start("/nowhere".into(), metrics.clone());
        writer.stop().await;
        diagnostics.reload(vec![sink(&hub().scope.key(), "DeviceIdentityOperations")]);
        diagnostics.record(&refused_by_policy(), &facts());
        let text = metrics.render(&Lookups::default());
        assert!(text.contains("hubward_diagnostic_records_dropped_total 1\n"), "{text}");
        assert!(text.contains("hubward_refusals_total{gate=\"policy\"} 1\n"), "{text}");
    }
}
