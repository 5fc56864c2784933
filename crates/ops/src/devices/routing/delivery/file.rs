//! A file of messages in a container: what it is called, and what stands in it.
//!
//! Source: IoT Hub documentation, "Understand IoT Hub message routing endpoints", "Azure Storage as a routing endpoint".

use super::avro;
use crate::devices::message::{Message, SystemProperty};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The name that a format gives to a file whose first message came then, without its extension.
pub(super) fn name_of(format: &str, hub: &str, partition: u16, first: Timestamp) -> String {
    let time = first.rfc3339();
    // `2026-11-22T08:00:00.000Z`
    let part = |from: usize, to: usize| time.get(from..to).unwrap_or_default();
    format
        .replace("{partition}", &format!("{partition:02}"))
        .replace("{YYYY}", part(0, 4))
        .replace("{MM}", part(5, 7))
        .replace("{DD}", part(8, 10))
        .replace("{HH}", part(11, 13))
        .replace("{mm}", part(14, 16))
        .replace("{iothub}", hub)
}

/// How messages stand in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    Avro,
    Json,
}

impl Encoding {
    /// The one of this name, if files are written in it.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "avro" => Some(Self::Avro),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// The name of a file as a blob, behind so many of that name.
    pub(super) fn blob_of(self, name: &str, before: u32) -> String {
        let extension = match self {
            Self::Avro => "avro",
            Self::Json => "json",
        };
        match before {
            0 => format!("{name}.{extension}"),
            _ => format!("{name}_{before:02}.{extension}"),
        }
    }

    /// What a file begins with. `mark` is any, and of the whole file.
    pub(super) fn head(self, mark: avro::Mark) -> Vec<u8> {
        match self {
            Self::Avro => avro::head(mark),
            Self::Json => Vec::new(),
        }
    }

    /// A message, which is as long with one mark as with another.
    pub(super) fn of(self, message: &Message, enqueued: Timestamp, mark: avro::Mark) -> Vec<u8> {
        match self {
            Self::Avro => {
                let enqueued_utc = enqueued.rfc3339();
                let text = |it: &Option<String>| it.clone().unwrap_or_default();
                let own = message.application.iter();
                let own = own.map(|(name, value)| (name.as_str(), text(value))).collect();
                let system = system(message, enqueued).collect();
                avro::message(&enqueued_utc, &own, &system, &message.body, mark)
            }
            Self::Json => line(message, enqueued),
        }
    }
}

/// A message as a line of JSON.
fn line(message: &Message, enqueued: Timestamp) -> Vec<u8> {
    let text = |it: &str| Value::String(it.to_owned());
    let properties: Map<String, Value> = message
        .application
        .iter()
        .map(|(name, value)| (name.clone(), value.as_deref().map_or(Value::Null, text)))
        .collect();
    let system: Map<String, Value> =
        system(message, enqueued).map(|(name, value)| (name.to_owned(), text(&value))).collect();
    let quoted = || text(&STANDARD.encode(&message.body)).to_string();
    let body = json_body(message).unwrap_or_else(quoted);
    let mut line = format!(
        "{{\"EnqueuedTimeUtc\":{},\"Properties\":{},\"SystemProperties\":{},\"Body\":{body}}}",
        text(&enqueued.rfc3339()),
        Value::Object(properties),
        Value::Object(system),
    );
    line.push('\n');
    line.into_bytes()
}

/// A body that says that it is JSON in UTF-8, and is: to the last digit as it came, but in one line.
fn json_body(message: &Message) -> Option<String> {
    let kind = message.system(SystemProperty::ContentType)?.split(';').next()?.trim();
    let encoding = message.system(SystemProperty::ContentEncoding)?.trim();
    if !(kind.eq_ignore_ascii_case("application/json") && encoding.eq_ignore_ascii_case("utf-8")) {
        return None;
    }
    let body: &RawValue = serde_json::from_slice(&message.body).ok()?;
    // Outside of texts they are mere space, and inside they are written as signs.
    Some(body.get().replace(['\r', '\n'], " "))
}

/// What is known of a message besides its own properties.
fn system(message: &Message, enqueued: Timestamp) -> impl Iterator<Item = (&str, String)> {
    let of_sender = [
        ("connectionDeviceId", message.device.as_str()),
        ("connectionModuleId", message.module.as_str()),
        ("connectionAuthMethod", message.auth.annotation().unwrap_or_default()),
        ("connectionDeviceGenerationId", message.generation.as_str()),
    ];
    let of_sender = of_sender.into_iter().filter(|(_, it)| !it.is_empty());
    let said =
        message.system.iter().map(|(which, value)| (name_of_property(*which), value.clone()));
    let enqueued = ("enqueuedTime", enqueued.rfc3339());
    of_sender.map(|(name, it)| (name, it.to_owned())).chain(said).chain([enqueued])
}

const fn name_of_property(which: SystemProperty) -> &'static str {
    match which {
        SystemProperty::MessageId => "messageId",
        SystemProperty::CorrelationId => "correlationId",
        SystemProperty::UserId => "userId",
        SystemProperty::ContentType => "contentType",
        SystemProperty::ContentEncoding => "contentEncoding",
        SystemProperty::To => "to",
        SystemProperty::AbsoluteExpiry => "absoluteExpiryTime",
        SystemProperty::CreationTime => "iothub-creation-time-utc",
        SystemProperty::OutputName => "iothub-outputname",
        SystemProperty::InterfaceId => "iothub-interface-id",
        SystemProperty::Subject => "dt-subject",
    }
}
