//! A hub's journal: when its devices came and went and why, and which were made, changed and deleted.
//!
//! Connection-state and lifecycle events are read from it, and it tells a device's story. No call waits for its
//! entry to be synced: of a server that is killed the last entries may be missing, and never what they tell of.

use super::identity::Device;
use super::logs::{self, HubLog};
use super::named::Named;
use super::routing::events;
use super::telemetry::partition_of;
use crate::env::Env;
use bytes::Bytes;
use gate::Permit;
use gate::facts::Hub;
use model::trace::{Caller, TraceHead};
use model::{Error, Timestamp, TrackingId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::log::{Append, Log, Start};

/// A device's entries are in one of them.
pub(super) const PARTITIONS: u16 = 16;
/// For how long entries are kept.
pub(super) const DAYS: u32 = 7;
/// Most bytes of them that a hub keeps, to within a segment; the oldest go first.
const BYTES_MAX: u64 = 256 << 20;
pub(super) const SEGMENT_BYTES: u64 = 4 << 20;

/// What happened to a device or module.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Happened {
    Connected,
    /// It tried to connect and was refused.
    Refused,
    Disconnected,
    Created,
    Updated,
    Deleted,
    SecurityPolicyWritten,
    SecurityPolicyDeleted,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) event: Happened,
    pub(crate) device_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module_id: Option<String>,
    /// Tells the device from others of its id, where it is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    generation_id: String,
    /// Of what has to do with a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connection: Option<Connection>,
    /// Why it was refused, or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// Who made, changed or deleted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<By>,
    /// Of what was made or changed: `enabled` or `disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// Of what was made or deleted, as its lifecycle event tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) twin: Option<Value>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    /// The correlation id of the session.
    id: String,
    protocol: String,
    address: String,
    /// How the device proved itself, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signed_in: Option<String>,
    /// When it began, where it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

/// Why a device was refused, or a session ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reason {
    /// The hub's number and word for it: 400027, `ConnectionForcefullyClosedOnNewConnection`.
    pub(crate) number: u32,
    pub(crate) code: String,
    pub(crate) message: String,
    /// Under which `hubward explain` finds the decision, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tracking_id: Option<TrackingId>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct By {
    kind: String,
    name: String,
}

impl Entry {
    fn new(event: Happened, named: &Named) -> Self {
        Self {
            event,
            device_id: named.device.as_str().to_owned(),
            module_id: named.module.as_ref().map(|it| it.as_str().to_owned()),
            generation_id: String::new(),
            connection: None,
            reason: None,
            by: None,
            status: None,
            twin: None,
        }
    }

    /// A session began.
    pub(crate) fn connected(named: &Named, generation: &str, who: &Caller, at: &TraceHead) -> Self {
        Self {
            generation_id: generation.to_owned(),
            connection: Some(Connection::of(at, Some(who), None)),
            ..Self::new(Happened::Connected, named)
        }
    }

    /// A session ended that began at `since`; without a reason where the device said good-bye or the server stops.
    pub(crate) fn disconnected(
        named: &Named,
        generation: &str,
        (since, at): (Timestamp, &TraceHead),
        reason: Option<Reason>,
    ) -> Self {
        Self {
            generation_id: generation.to_owned(),
            connection: Some(Connection::of(at, None, Some(since))),
            reason,
            ..Self::new(Happened::Disconnected, named)
        }
    }

    /// No session began.
    pub(crate) fn refused(named: &Named, at: &TraceHead, reason: Reason) -> Self {
        Self {
            connection: Some(Connection::of(at, None, None)),
            reason: Some(reason),
            ..Self::new(Happened::Refused, named)
        }
    }

    /// An identity or its security policy was made, changed or deleted by a call that was allowed.
    pub(super) fn of_identity(event: Happened, device: &Device, permit: &Permit) -> Self {
        let by = permit.caller();
        Self {
            event,
            device_id: device.device_id.clone(),
            module_id: device.module_id.clone(),
            generation_id: device.generation_id.clone(),
            connection: None,
            reason: None,
            by: Some(By { kind: by.kind.as_str().to_owned(), name: by.name.clone() }),
            status: matches!(event, Happened::Created | Happened::Updated)
                .then(|| device.status.clone()),
            twin: matches!(event, Happened::Created | Happened::Deleted)
                .then(|| device.told_twin()),
        }
    }

    pub(super) fn generation_id(&self) -> &str {
        &self.generation_id
    }

    /// Whose it is: a module's begins with its device's.
    fn key(&self) -> String {
        match &self.module_id {
            None => self.device_id.clone(),
            Some(module) => format!("{}/{module}", self.device_id),
        }
    }

    /// As it lies in the log: whose it is, a line feed, which no id has, and the rest as JSON.
    fn record(&self) -> Bytes {
        let mut bytes = self.key().into_bytes();
        bytes.push(b'\n');
        // Text and numbers alone: there is nothing that JSON could not hold.
        bytes.extend(serde_json::to_vec(self).unwrap_or_default());
        bytes.into()
    }

    /// Reads an entry where it is of the device or one of its modules.
    pub(super) fn of_device(device: &str, record: &[u8]) -> Option<Self> {
        let end = record.iter().position(|it| *it == b'\n')?;
        let (key, rest) = record.split_at_checked(end)?;
        let behind = key.strip_prefix(device.as_bytes())?;
        if !(behind.is_empty() || behind.starts_with(b"/")) {
            return None;
        }
        serde_json::from_slice(rest.get(1..)?).ok()
    }
}

impl Connection {
    fn of(at: &TraceHead, who: Option<&Caller>, since: Option<Timestamp>) -> Self {
        Self {
            id: at.correlation_id.clone(),
            protocol: at.channel.protocol.clone(),
            address: at.channel.address.clone(),
            signed_in: who.map(|it| it.signed_in.clone()),
            since: since.map(Timestamp::rfc3339),
        }
    }
}

impl Reason {
    /// What a refusal says of itself.
    pub(crate) fn of(error: &Error, tracking_id: Option<TrackingId>) -> Self {
        let wire = error.wire();
        let code = wire.hub_name.to_owned();
        Self { number: wire.hub_code, code, message: wire.message, tracking_id }
    }
}

/// Writes down what happened, in this order, and tells it to routes that take it. Waits where the log cannot follow, and
/// not for the disk, except where it was told.
pub(crate) async fn note(env: &Env, hub: &Hub, entries: Vec<Entry>) {
    events::tell_entries(env, hub, &entries).await;
    let time_ms = env.now().millis();
    let noted = async {
        let HubLog { log, partitions } = env.journals.of(hub, env).await?;
        let append = |it: Entry| {
            let partition = partition_of(&it.device_id, partitions);
            Append { partition, time_ms, payload: it.record() }
        };
        let queued = log.queue(entries.into_iter().map(append).collect()).await;
        queued.map(drop).map_err(|it| logs::failed(&it))
    };
    // What happened has happened, whether it could be written down or not.
    if let Err(error) = noted.await {
        let sentence = format!("what happened to a device is not on record: {}", error.cause());
        env.metrics.log_fault(env.new_tracking_id(), &sentence);
    }
}

/// The time before which a journal is too much to keep; of one that is not, the beginning of time.
pub(super) async fn too_much_before(log: &Log) -> i64 {
    let bounds = (0..PARTITIONS).filter_map(|it| log.bounds(it).ok());
    let last = bounds.filter_map(|it| it.last_offset).max().unwrap_or(0);
    let Some(first_kept) = last.checked_sub(BYTES_MAX) else { return i64::MIN };
    for partition in 0..PARTITIONS {
        let found = log.read(partition, Start::Offset(first_kept), 1, 1).await;
        if let Ok([first]) = found.as_deref() {
            return first.time_ms;
        }
    }
    i64::MIN
}
