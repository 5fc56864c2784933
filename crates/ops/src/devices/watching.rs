//! What devices have sent, a page at a time over HTTPS: for people at a terminal and for scripts. Clients of Event
//! Hubs read the same over AMQP, see [`super::events`].
//!
//! A call that waits answers with nothing once there is something: the next call is judged anew and gets it, so that
//! a key that was taken away meanwhile opens nothing more.

use super::events::{bounds, partition};
use super::logs;
use super::message::routed::{EVENTS, Source};
use super::message::{Message, SystemProperty};
use super::registry::hub_of;
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
    if records.is_empty() && !wait.is_zero() {
        let mut tail = log.log.tail(partition).map_err(|it| logs::failed(&it))?;
        // Whether something came or the time is over, the next call sees.
        let _ = tokio::time::timeout(wait, tail.wait_for(|it| *it > next)).await;
    }
    let events: Vec<Value> = records.iter().filter_map(shown).collect();
    Ok(Reply::ok(json!({
        "partition": partition,
        "partitionCount": log.partitions,
        "next": next,
        "events": events,
    })))
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

/// A message with where it lies; `None` for a record that is none, or that routes take elsewhere.
fn shown(record: &Record) -> Option<Value> {
    let message = Message::parse_for(&record.payload, EVENTS)?;
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
    Some(Value::Object(event))
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
