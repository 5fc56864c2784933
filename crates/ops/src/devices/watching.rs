//! What devices have sent, a page at a time over HTTPS: for people at a terminal and for scripts. Clients of Event
//! Hubs read the same over AMQP, see [`super::events`].
//!
//! A call that waits answers with nothing once there is something: the next call is judged anew and gets it, so that
//! a key that was taken away meanwhile opens nothing more.

use super::events::{bounds, partition};
use super::logs::{self, HubLog};
use super::message::routed::{EVENTS, Source};
use super::message::{Message, SystemProperty};
use super::registry::{device_id, hub_of};
use super::telemetry::partition_of;
use crate::env::Env;
use crate::input::{Input, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::Permit;
use model::{Error, Timestamp};
use serde_json::{Map, Value, json};
use std::time::Duration;
use store::log::{Record, Start};

/// Most messages in a page, and most bytes of them as they are kept.
const PAGE_RECORDS_MAX: usize = 256;
const PAGE_BYTES_MAX: usize = 512 << 10;
/// Most records among which those of one device are looked for, and how many are read at a time.
const LOOK_RECORDS_MAX: usize = 20_000;
const READ_RECORDS_MAX: usize = 2_000;
/// Longest time that a call may wait.
const WAIT_S_MAX: u64 = 30;

/// `GET /messages/events/partitions/{partition}?from=FROM&waitInSeconds=SECONDS`: a page from `earliest`, `latest`,
/// a sequence number or a time on, and where the next page begins.
///
/// # Errors
/// [`Error::NotFound`] for the partition; [`Error::DeviceInvalid`] for what is asked.
pub(crate) async fn watch(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let log = env.logs.of(&hub, env).await?;
    let partition = partition(input.param("partition"), log.partitions)?;
    let from = from(input.query("from").unwrap_or("latest"))?;
    let wait = wait(input.query("waitInSeconds").unwrap_or("0"))?;
    let end = bounds(&log, partition)?.next_sequence;
    let read = log.log.read(partition, from, PAGE_RECORDS_MAX, PAGE_BYTES_MAX).await;
    let records = read.map_err(|it| logs::failed(&it))?;
    let next = match (records.last(), from) {
        (Some(last), _) => last.position.sequence.saturating_add(1),
        (None, Start::Sequence(from)) => from,
        (None, Start::Earliest | Start::Latest | Start::Offset(_) | Start::Time(_)) => end,
    };
    if records.is_empty() {
        wait_for_more(&log, partition, next, wait).await?;
    }
    let events: Vec<Value> =
        records.iter().filter_map(|it| Some(shown(it, read_event(it)?))).collect();
    Ok(Reply::ok(json!({
        "partition": partition,
        "partitionCount": log.partitions,
        "next": next,
        "events": events,
    })))
}

/// `GET /devices/{device}/messages/events?from=FROM&waitInSeconds=SECONDS`: the same of one device and its modules. A
/// page that has looked long enough may be empty although more is to come: `next` is before `end` then.
///
/// # Errors
/// [`Error::DeviceInvalid`] for what is asked. A device that does not exist has sent nothing, unless it once did.
pub(crate) async fn watch_device(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let device = device_id(input.param("device"))?;
    let hub = hub_of(permit, env)?;
    let log = env.logs.of(&hub, env).await?;
    let partition = partition_of(device.as_str(), log.partitions);
    let mut from = from(input.query("from").unwrap_or("latest"))?;
    let wait = wait(input.query("waitInSeconds").unwrap_or("0"))?;
    let end = bounds(&log, partition)?.next_sequence;
    let (mut events, mut bytes, mut looked) = (Vec::new(), 0, 0);
    let next = loop {
        let read = log.log.read(partition, from, READ_RECORDS_MAX, PAGE_BYTES_MAX).await;
        let records = read.map_err(|it| logs::failed(&it))?;
        let mut next = match from {
            Start::Sequence(from) => from,
            Start::Earliest | Start::Latest | Start::Offset(_) | Start::Time(_) => end,
        };
        for record in &records {
            next = record.position.sequence.saturating_add(1);
            let message = read_event(record).filter(|it| it.device == device.as_str());
            if let Some(message) = message {
                bytes += record.payload.len();
                events.push(shown(record, message));
            }
            if events.len() == PAGE_RECORDS_MAX || bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        looked += records.len();
        let is_full = events.len() == PAGE_RECORDS_MAX || bytes >= PAGE_BYTES_MAX;
        if records.is_empty() || is_full || looked >= LOOK_RECORDS_MAX || next >= end {
            break next;
        }
        from = Start::Sequence(next);
    };
    if events.is_empty() && next >= end {
        wait_for_more(&log, partition, next, wait).await?;
    }
    Ok(Reply::ok(json!({
        "deviceId": device.as_str(),
        "next": next,
        "end": end,
        "events": events,
    })))
}

/// Until something lies at `next`, or the time is over: the next call sees which.
async fn wait_for_more(
    log: &HubLog,
    partition: u16,
    next: u64,
    wait: Duration,
) -> Result<(), Error> {
    if !wait.is_zero() {
        let mut tail = log.log.tail(partition).map_err(|it| logs::failed(&it))?;
        let _ = tokio::time::timeout(wait, tail.wait_for(|it| *it > next)).await;
    }
    Ok(())
}

/// Where reading is to begin: `earliest`, `latest`, a sequence number, or a time.
pub(super) fn from(text: &str) -> Result<Start, Error> {
    let time = || Timestamp::parse(text).map(|it| Start::Time(it.millis()));
    match text {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        _ => text.parse().ok().map(Start::Sequence).or_else(time).ok_or_else(|| {
            Error::DeviceInvalid {
                at: "from".into(),
                message: "`earliest`, `latest`, a sequence number or a time as `2026-11-22T08:00:00Z` is expected"
                    .into(),
            }
        }),
    }
}

fn wait(text: &str) -> Result<Duration, Error> {
    let seconds = text.parse().ok().filter(|it| *it <= WAIT_S_MAX);
    seconds.map(Duration::from_secs).ok_or_else(|| Error::DeviceInvalid {
        at: "waitInSeconds".into(),
        message: format!("a number from 0 to {WAIT_S_MAX} is expected"),
    })
}

/// `None` for a record that is no message, or that routes take elsewhere.
fn read_event(record: &Record) -> Option<Message> {
    Message::parse_for(&record.payload, EVENTS)
}

/// A message with where it lies.
fn shown(record: &Record, message: Message) -> Value {
    let mut event = Map::new();
    let mut put = |name: &str, value: Value| {
        event.insert(name.to_owned(), value);
    };
    put("sequenceNumber", json!(record.position.sequence));
    put("offset", json!(record.position.offset));
    put("enqueuedTime", json!(Timestamp::from_millis(record.time_ms).rfc3339()));
    put("deviceId", json!(message.device));
    if !message.module.is_empty() {
        put("moduleId", json!(message.module));
    }
    if message.source != Source::DeviceMessages {
        put("source", json!(message.source.as_str()));
    }
    let system: Map<String, Value> = message
        .system
        .into_iter()
        .map(|(which, value)| (name(which).to_owned(), json!(value)))
        .collect();
    put("systemProperties", Value::Object(system));
    let own: Map<String, Value> =
        message.application.into_iter().map(|(name, value)| (name, json!(value))).collect();
    put("properties", Value::Object(own));
    match std::str::from_utf8(&message.body) {
        Ok(text) => put("body", json!(text)),
        Err(_) => put("bodyBase64", json!(STANDARD.encode(&message.body))),
    }
    Value::Object(event)
}

const fn name(which: SystemProperty) -> &'static str {
    match which {
        SystemProperty::MessageId => "messageId",
        SystemProperty::CorrelationId => "correlationId",
        SystemProperty::UserId => "userId",
        SystemProperty::ContentType => "contentType",
        SystemProperty::ContentEncoding => "contentEncoding",
        SystemProperty::To => "to",
        SystemProperty::AbsoluteExpiry => "absoluteExpiryTime",
        SystemProperty::CreationTime => "creationTime",
        SystemProperty::OutputName => "outputName",
        SystemProperty::InterfaceId => "interfaceId",
        SystemProperty::Subject => "subject",
    }
}
