//! What a hub itself tells of its devices, as messages in its log: that one was made or deleted, came or went, that its
//! twin changed, that a job ended.
//!
//! They are told only where an enabled route takes them, and lie in the log before the answer to the call that caused
//! them. Source: IoT Hub documentation, "Understand IoT Hub message routing", "Non-telemetry events".

use crate::devices::journal::{Entry, Happened};
use crate::devices::message::routed::Source;
use crate::devices::message::{AuthMethod, NotAMessage, Sender, SystemProperty};
use crate::devices::named::Named;
use crate::devices::telemetry;
use crate::env::Env;
use bytes::Bytes;
use gate::facts::Hub;
use model::{Error, Timestamp};
use serde_json::{Value, json};

/// Something that happened.
pub(crate) struct Told {
    pub(crate) source: Source,
    pub(crate) device: String,
    pub(crate) module: Option<String>,
    pub(crate) generation: String,
    /// What happened: `opType`.
    pub(crate) what: &'static str,
    pub(crate) body: Value,
}

impl Told {
    /// What the journal notes, where it is something that routes take.
    fn of(entry: &Entry, env: &Env) -> Option<Self> {
        let (source, what) = match entry.event {
            Happened::Created => (Source::DeviceLifecycleEvents, "createDeviceIdentity"),
            Happened::Deleted => (Source::DeviceLifecycleEvents, "deleteDeviceIdentity"),
            Happened::Connected => (Source::DeviceConnectionStateEvents, "deviceConnected"),
            Happened::Disconnected => (Source::DeviceConnectionStateEvents, "deviceDisconnected"),
            Happened::Refused
            | Happened::Updated
            | Happened::SecurityPolicyWritten
            | Happened::SecurityPolicyDeleted => return None,
        };
        let body = match &entry.twin {
            Some(twin) => twin.clone(),
            // Grows, also over restarts: of two states of a device the one with the greater number is the newer.
            None => {
                let (now, tick) = (env.now().millis().max(0), (env.clock.monotonic_ns)());
                json!({ "sequenceNumber": format!("{now:032x}{tick:032x}") })
            }
        };
        let (device, module) = (entry.device_id.clone(), entry.module_id.clone());
        let generation = entry.generation_id().to_owned();
        Some(Self { source, device, module, generation, what, body })
    }

    fn record(&self, hub: &str, correlation: &str, now: Timestamp) -> Result<Bytes, NotAMessage> {
        let module = self.module.as_deref().unwrap_or_default();
        let body = self.body.to_string();
        let sender = Sender::new(&self.device, module, &self.generation, AuthMethod::Hub);
        let mut draft = sender.message(body.len());
        draft.system(SystemProperty::ContentType, "application/json")?;
        draft.system(SystemProperty::ContentEncoding, "utf-8")?;
        draft.system(SystemProperty::CorrelationId, correlation)?;
        draft.system(SystemProperty::UserId, hub)?;
        draft.application("hubName", Some(hub))?;
        if !self.device.is_empty() {
            draft.application("deviceId", Some(&self.device))?;
        }
        if !module.is_empty() {
            draft.application("moduleId", Some(module))?;
        }
        draft.application("operationTimestamp", Some(&now.rfc3339()))?;
        draft.application("iothub-message-schema", self.source.schema())?;
        draft.application("opType", Some(self.what))?;
        draft.finish(body.as_bytes())
    }
}

/// True where some route of a hub takes from a source: without that nothing needs to be told.
pub(crate) async fn are_wanted(env: &Env, hub: &Hub, source: Source) -> bool {
    match env.routings.of(hub, env).await {
        Ok(routing) => routing.is_some_and(|it| it.takes(source)),
        Err(error) => {
            noted(env, error);
            false
        }
    }
}

/// Tells what the journal notes.
pub(crate) async fn tell_entries(env: &Env, hub: &Hub, entries: &[Entry]) {
    if hub.routing.is_some() {
        tell(env, hub, entries.iter().filter_map(|it| Told::of(it, env)).collect()).await;
    }
}

/// Puts what happened into the hub's log, where routes take it. What happened has happened, whether it can be told or
/// not: a failure is in the error log.
pub(crate) async fn tell(env: &Env, hub: &Hub, all: Vec<Told>) {
    if let Err(error) = Box::pin(try_tell(env, hub, all)).await {
        noted(env, error);
    }
}

fn noted(env: &Env, error: Error) {
    let sentence = format!("what happened to a device was not sent to routes: {}", error.cause());
    env.metrics.log_fault(env.new_tracking_id(), &sentence);
}

async fn try_tell(env: &Env, hub: &Hub, all: Vec<Told>) -> Result<(), Error> {
    let Some(routing) = env.routings.of(hub, env).await? else { return Ok(()) };
    let now = env.now();
    let mut waiting = Vec::new();
    for told in all.iter().filter(|it| routing.takes(it.source)) {
        let correlation = env.new_uuid().to_string();
        let record = told.record(hub.scope.name(), &correlation, now);
        let record = record.map_err(|it| Error::Internal { message: it.to_string() })?;
        let named = Named::parse(&told.device, told.module.as_deref()).ok();
        let of = (hub, &*routing);
        let records = super::route(env, of, named.as_ref(), told.source, now, vec![record]).await?;
        let log = env.logs.of(hub, env).await?;
        waiting.push(telemetry::append(&log, &told.device, now, records).await?);
    }
    for it in waiting {
        it.synced().await?;
    }
    Ok(())
}
