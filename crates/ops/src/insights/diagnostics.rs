//! Which calls become diagnostic records, and the way of a record to its file.
//!
//! A call is never held up: a record goes into a bounded queue, and where the queue is full it is dropped
//! and counted. What a record says is in `record.rs`, which operations are recorded in `categories.rs`, how
//! files are kept in `files.rs`, and which settings there are in `settings.rs`.

use super::categories::{self, Logged};
use super::files;
use super::record::{self, Attempt, Entry, Failure};
use crate::call::{Answer, Call};
use crate::env::Env;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use gate::Permit;
use gate::facts::{Dps, Hub, Instance};
use model::trace::{Caller, Channel, TraceHead};
use model::{Error, Scope, Trace, TrackingId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Records that may wait to be written. Together with [`record::RECORD_BYTES_MAX`] this bounds memory.
pub const QUEUE_RECORDS_MAX: usize = 1_024;

/// One enabled diagnostic setting, as far as writing goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// The resource whose records are wanted: its id in lower case.
    pub resource: String,
    /// The full id of the workspace that they go to.
    pub workspace: String,
    /// Those that the type of the resource has.
    pub categories: BTreeSet<&'static str>,
}

/// What is wanted, by resource: categories and the stem of the file they go to.
type Index = BTreeMap<String, Vec<(BTreeSet<&'static str>, Arc<str>)>>;

/// Takes calls and lets those be written that a diagnostic setting asks for.
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

/// A record in the making: it learns of its call while that runs. Empty where nobody asked for one, which is
/// the usual case and costs nothing.
#[must_use = "a record that is not ended is not written"]
pub(crate) struct Draft(Option<Box<Wanted>>);

struct Wanted {
    /// Of the files that it goes to.
    stems: Vec<Arc<str>>,
    entry: Entry,
}

impl Draft {
    /// Of what no category covers.
    pub(crate) const fn unwanted() -> Self {
        Self(None)
    }

    /// Authentication has proven who calls.
    pub(crate) fn proven(&mut self, caller: &Caller) {
        if let Some(wanted) = &mut self.0 {
            wanted.entry.caller = Some(caller.clone());
        }
    }

    /// The gates let the call pass.
    pub(crate) fn permitted(&mut self, permit: &Permit) {
        if let Some(wanted) = &mut self.0 {
            wanted.entry.epoch = Some(permit.epoch());
            wanted.entry.trace = permit.trace().cloned();
        }
    }

    /// A gate refused it.
    pub(crate) fn refused(&mut self, trace: &Trace) {
        if let Some(wanted) = &mut self.0 {
            wanted.entry.caller.clone_from(&trace.call.caller);
            wanted.entry.trace = Some(trace.clone());
        }
    }

    /// It ended with an error. What a gate said is told whole: the caller may have been told less.
    pub(crate) fn failed(&mut self, error: &Error) {
        if let Some(wanted) = &mut self.0 {
            let wire = error.wire();
            let refusal = wanted.entry.trace.as_ref().map(|it| &it.outcome);
            let refusal = refusal.filter(|it| it.gate.is_some());
            wanted.entry.failure = Some(Failure {
                number: wire.hub_code,
                code: wire.hub_name.to_owned(),
                message: refusal.map_or(wire.message, |it| it.message.clone()),
            });
        }
    }
}

/// What became of a registration.
pub(crate) struct Outcome<'a> {
    pub(crate) registration_id: &'a str,
    /// The device, as it proved itself to the provisioning service, and over what.
    pub(crate) caller: &'a Caller,
    pub(crate) channel: &'a Channel,
    /// Of the device's own call.
    pub(crate) correlation_id: &'a str,
    /// The hub that was chosen, where one was.
    pub(crate) hub: Option<&'a Scope>,
    /// Of the decision at the hub, where it was asked.
    pub(crate) tracking_id: Option<&'a str>,
    /// The number and the sentence that the device is told.
    pub(crate) failure: Option<(u32, &'a str)>,
    pub(crate) took_ns: u64,
}

/// How a device's session ended.
pub(crate) struct Departure<'a> {
    pub(crate) device: &'a str,
    pub(crate) caller: &'a Caller,
    /// Of the session's beginning; the time is that of its end.
    pub(crate) head: &'a TraceHead,
    pub(crate) status: u16,
    /// Why, where that was not as it should be: the hub's number, its word, a sentence.
    pub(crate) failure: Option<(u32, &'static str, String)>,
    /// Of the decision that ended it, where one did.
    pub(crate) tracking_id: Option<TrackingId>,
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

    /// Begins the record of a call, where one is wanted. Costs one load of a pointer where no setting exists.
    pub(crate) fn begin(&self, call: &Call, correlation_id: &str, env: &Env) -> Draft {
        if self.index.load().is_empty() {
            return Draft::unwanted();
        }
        Draft(self.wanted(call, correlation_id, env).map(Box::new))
    }

    fn wanted(&self, call: &Call, correlation_id: &str, env: &Env) -> Option<Wanted> {
        let logged = categories::logged(call.operation.op)?;
        let facts = env.facts.load();
        let (resource, location) = match facts.instance_at(&call.host)? {
            Instance::Hub(hub) => (&hub.scope, &hub.location),
            Instance::Dps(dps) => (&dps.scope, &dps.location),
            Instance::Target(_) => return None,
        };
        let stems = self.stems(resource, logged);
        if stems.is_empty() {
            return None;
        }
        let version = call.query.iter().find(|(key, _)| key.eq_ignore_ascii_case("api-version"));
        let entry = Entry {
            logged,
            resource: resource.clone(),
            location: location.clone(),
            time: env.now(),
            took_ns: 0,
            correlation_id: correlation_id.to_owned(),
            api_version: version.map(|(_, it)| it.clone()),
            channel: call.channel.clone(),
            subject: call.params.get(logged.about.parameter()).cloned(),
            caller: None,
            epoch: None,
            trace: None,
            tracking_id: None,
            status: 0,
            failure: None,
            attempt: None,
        };
        Some(Wanted { stems, entry })
    }

    /// The files that records of a resource's category go to.
    fn stems(&self, resource: &Scope, logged: &Logged) -> Vec<Arc<str>> {
        let index = self.index.load();
        if index.is_empty() {
            return Vec::new();
        }
        let wanted = index.get(&resource.key()).map_or(&[][..], Vec::as_slice);
        let fitting = wanted.iter().filter(|(categories, _)| categories.contains(logged.category));
        fitting.map(|(_, stem)| Arc::clone(stem)).collect()
    }

    /// Writes the record of a call that was answered.
    pub(crate) fn end(&self, draft: Draft, answer: &Answer, took_ns: u64) {
        if let Some(mut wanted) = draft.0 {
            wanted.entry.status = answer.status;
            wanted.entry.tracking_id = Some(answer.tracking.to_string());
            wanted.entry.took_ns = took_ns;
            self.write(*wanted);
        }
    }

    /// Writes what became of a registration, for the provisioning service's side.
    pub(crate) fn outcome(&self, outcome: &Outcome<'_>, dps: &Dps, env: &Env) {
        let logged = categories::REGISTRATION_ATTEMPT;
        let stems = self.stems(&dps.scope, logged);
        if stems.is_empty() {
            return;
        }
        // The number begins with the HTTP status that it stands for: 403000.
        let status = |number: u32| u16::try_from(number / 1_000).unwrap_or(500);
        let entry = Entry {
            logged,
            resource: dps.scope.clone(),
            location: dps.location.clone(),
            time: env.now(),
            took_ns: outcome.took_ns,
            correlation_id: outcome.correlation_id.to_owned(),
            api_version: None,
            channel: outcome.channel.clone(),
            subject: Some(outcome.registration_id.to_owned()),
            caller: Some(outcome.caller.clone()),
            epoch: None,
            trace: None,
            tracking_id: outcome.tracking_id.map(str::to_owned),
            status: outcome.failure.map_or(200, |(number, _)| status(number)),
            failure: outcome.failure.map(|(number, message)| Failure {
                number,
                code: String::new(),
                message: message.to_owned(),
            }),
            attempt: Some(Attempt { hub: outcome.hub.map(|it| it.as_str().to_owned()) }),
        };
        self.write(Wanted { stems, entry });
    }

    /// Writes that a device's session at a hub has ended.
    pub(crate) fn departed(&self, departure: Departure<'_>, hub: &Hub) {
        let logged = categories::DISCONNECT;
        let stems = self.stems(&hub.scope, logged);
        if stems.is_empty() {
            return;
        }
        let head = departure.head;
        let entry = Entry {
            logged,
            resource: hub.scope.clone(),
            location: hub.location.clone(),
            time: head.time,
            took_ns: 0,
            correlation_id: head.correlation_id.clone(),
            api_version: None,
            channel: head.channel.clone(),
            subject: Some(departure.device.to_owned()),
            caller: Some(departure.caller.clone()),
            epoch: None,
            trace: None,
            tracking_id: departure.tracking_id.map(|it| it.to_string()),
            status: departure.status,
            failure: departure.failure.map(|(number, code, message)| Failure {
                number,
                code: code.to_owned(),
                message,
            }),
            attempt: None,
        };
        self.write(Wanted { stems, entry });
    }

    fn write(&self, wanted: Wanted) {
        let line: Arc<str> = record::line(&wanted.entry).into();
        for stem in wanted.stems {
            let message = Message::Record { stem, line: Arc::clone(&line) };
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

#[cfg(test)]
#[path = "diagnostics_tests.rs"]
mod tests;
