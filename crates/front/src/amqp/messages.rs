//! Messages as AMQP has them, to and from what the hub keeps.

use ::amqp::message::BATCH;
use ::amqp::{Body, Message, Properties, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::Timestamp;
use ops::devices::events::{Event, Kept};
use ops::devices::message::amqp::of_device;
use ops::devices::message::{Draft, NotAMessage, Sender, SystemProperty};
use ops::devices::messages::{Ack, Delivery};
use ops::targets::event_hubs::Outgoing;
use serde_json::{Map, json};
use std::fmt;
use std::fmt::Write as _;

/// Why a message cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NotTaken {
    /// Its bytes are no message.
    Malformed(String),
    /// The body is a sequence, or a value that is neither bytes nor text.
    Body,
    /// A property's value is a list, a map or the like.
    Property(String),
    Message(NotAMessage),
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(because) => f.write_str(because),
            Self::Body => f.write_str("the body of a message is of bytes or of text"),
            Self::Property(name) => {
                write!(
                    f,
                    "the property `{}` is no text, number or truth value",
                    name.escape_debug()
                )
            }
            Self::Message(because) => because.fmt(f),
        }
    }
}

/// A delivery of a device, as records of the log: one, or as many as a batch holds.
pub(super) fn records(
    sender: &Sender,
    payload: Bytes,
    format: u32,
) -> Result<Vec<Bytes>, NotTaken> {
    let message = read(payload)?;
    if format != BATCH {
        return record(sender, &message).map(|it| vec![it]);
    }
    let Body::Data(parts) = message.body else { return Err(NotTaken::Body) };
    parts.into_iter().map(|it| record(sender, &read(it)?)).collect()
}

pub(super) fn read(payload: Bytes) -> Result<Message, NotTaken> {
    Message::read(payload).map_err(|it| NotTaken::Malformed(it.to_string()))
}

fn record(sender: &Sender, message: &Message) -> Result<Bytes, NotTaken> {
    let body = message.data().ok_or(NotTaken::Body)?;
    let mut draft = sender.message(body.len());
    let mut put = |which, value: Option<&str>| match value {
        Some(value) => draft.system(which, value).map_err(NotTaken::Message),
        None => Ok(()),
    };
    let own = &message.properties;
    let (id, correlation) = (text(&own.message_id), text(&own.correlation_id));
    put(SystemProperty::MessageId, id.as_deref())?;
    put(SystemProperty::CorrelationId, correlation.as_deref())?;
    let user = own.user_id.as_deref().map(String::from_utf8_lossy);
    put(SystemProperty::UserId, user.as_deref())?;
    put(SystemProperty::ContentType, own.content_type.as_deref())?;
    put(SystemProperty::ContentEncoding, own.content_encoding.as_deref())?;
    put(SystemProperty::To, own.to.as_deref())?;
    let expiry = own.absolute_expiry_time.map(|it| Timestamp::from_millis(it).rfc3339());
    put(SystemProperty::AbsoluteExpiry, expiry.as_deref())?;
    for (key, value) in &message.annotations {
        let which = match key.text() {
            Some("iothub-interface-id") => SystemProperty::InterfaceId,
            Some("dt-subject") => SystemProperty::Subject,
            _ => continue,
        };
        put(which, text(value).as_deref())?;
    }
    for (key, value) in &message.application {
        let name = key.text().unwrap_or("");
        let value = value_of(name, value)?;
        property(&mut draft, name, value.as_deref()).map_err(NotTaken::Message)?;
    }
    draft.finish(&body).map_err(NotTaken::Message)
}

fn property(draft: &mut Draft, name: &str, value: Option<&str>) -> Result<(), NotAMessage> {
    let which = match name {
        "iothub-creation-time-utc" => SystemProperty::CreationTime,
        "iothub-interface-id" => SystemProperty::InterfaceId,
        "iothub-outputname" => SystemProperty::OutputName,
        _ => return draft.application(name, value),
    };
    draft.system(which, value.unwrap_or(""))
}

/// A property's value as text; nothing where it is null.
fn value_of(name: &str, value: &Value) -> Result<Option<String>, NotTaken> {
    match (value, text(value)) {
        (Value::Null, _) => Ok(None),
        (_, Some(text)) => Ok(Some(text)),
        (_, None) => Err(NotTaken::Property(name.to_owned())),
    }
}

/// A value as text, where it is a simple one.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) | Value::Symbol(text) => Some(text.clone()),
        Value::Bool(it) => Some(it.to_string()),
        Value::Char(it) => Some(it.to_string()),
        Value::Float(it) => Some(f32::from_bits(*it).to_string()),
        Value::Double(it) => Some(f64::from_bits(*it).to_string()),
        Value::Uuid(it) => Some(uuid::Uuid::from_bytes(*it).to_string()),
        Value::Timestamp(ms) => Some(Timestamp::from_millis(*ms).rfc3339()),
        Value::Binary(it) => match <[u8; 16]>::try_from(&it[..]) {
            Ok(bytes) => Some(uuid::Uuid::from_bytes(bytes).to_string()),
            Err(_) => std::str::from_utf8(it).ok().map(str::to_owned),
        },
        Value::Ulong(it) => Some(it.to_string()),
        number => number.signed().map(|it| it.to_string()),
    }
}

/// A message to a device, as the JSON that the operation takes.
pub(super) fn outgoing(message: &Message) -> Result<serde_json::Value, NotTaken> {
    let body = message.data().ok_or(NotTaken::Body)?;
    let own = &message.properties;
    let (mut properties, mut ack) = (Map::new(), None);
    for (key, value) in &message.application {
        let name = key.text().unwrap_or("");
        let value = value_of(name, value)?.unwrap_or_default();
        match name.eq_ignore_ascii_case("iothub-ack") {
            true => ack = Some(value),
            false => {
                properties.insert(name.to_owned(), value.into());
            }
        }
    }
    Ok(json!({
        "body": STANDARD.encode(&body),
        "messageId": text(&own.message_id),
        "correlationId": text(&own.correlation_id),
        "userId": own.user_id.as_deref().map(String::from_utf8_lossy),
        "contentType": own.content_type,
        "contentEncoding": own.content_encoding,
        // Some clients write 0 for none.
        "expiry": own.absolute_expiry_time.filter(|it| *it > 0)
            .map(|it| Timestamp::from_millis(it).rfc3339()),
        "ack": ack,
        "properties": properties,
    }))
}

/// A message from a service, as a device receives it.
pub(super) fn device_bound(device: &str, delivery: Delivery) -> Message {
    let message = delivery.message;
    let text = |it: Option<String>| it.map_or(Value::Null, Value::String);
    let mut application: Vec<(Value, Value)> = message
        .properties
        .into_iter()
        .map(|(name, value)| (Value::String(name), Value::String(value)))
        .collect();
    if message.ack != Ack::None {
        application.push((Value::string("iothub-ack"), Value::string(message.ack.as_str())));
    }
    let count = u8::try_from(delivery.delivery_count).unwrap_or(u8::MAX);
    Message {
        annotations: vec![
            symbol("iothub-sequencenumber", Value::Ulong(delivery.sequence)),
            symbol("iothub-enqueuedtime", Value::Timestamp(delivery.enqueued.millis())),
            symbol("iothub-deliverycount", Value::Ubyte(count)),
        ],
        properties: Properties {
            message_id: text(message.message_id),
            correlation_id: text(message.correlation_id),
            user_id: message.user_id.map(Bytes::from),
            to: Some(format!("/devices/{device}/messages/devicebound")),
            content_type: message.content_type,
            content_encoding: message.content_encoding,
            absolute_expiry_time: message.expiry.map(|it| it.millis()),
            ..Properties::default()
        },
        application,
        body: Body::Data(vec![message.body.into()]),
        ..Message::default()
    }
}

/// What an event hub itself says of each event.
const OF_EVENT_HUBS: [&str; 3] = ["x-opt-sequence-number", "x-opt-offset", "x-opt-enqueued-time"];
/// By which clients of Event Hubs keep events together. Source: the public client libraries.
const PARTITION_KEY: &str = "x-opt-partition-key";

/// The events of a transfer to an event hub: one, or as many as a batch holds.
pub(super) fn to_event_hub(payload: Bytes, format: u32) -> Result<Vec<Outgoing>, NotTaken> {
    let key = |message: &Message| {
        let found = message.annotations.iter().find(|it| it.0.text() == Some(PARTITION_KEY));
        found.and_then(|it| text(&it.1))
    };
    let outer = read(payload.clone())?;
    let of_all = key(&outer);
    if format != BATCH {
        return Ok(vec![Outgoing { key: of_all, payload }]);
    }
    let Body::Data(parts) = outer.body else { return Err(NotTaken::Body) };
    let one = |payload: Bytes| {
        let message = read(payload.clone())?;
        Ok(Outgoing { key: of_all.clone().or_else(|| key(&message)), payload })
    };
    parts.into_iter().map(one).collect()
}

/// An event, as readers receive it.
pub(super) fn event(event: Event) -> Message {
    let Event { sequence, offset, enqueued, kept } = event;
    let mut annotations = vec![
        symbol(OF_EVENT_HUBS[0], Value::Long(sequence.cast_signed())),
        symbol(OF_EVENT_HUBS[1], Value::String(offset.to_string())),
        symbol(OF_EVENT_HUBS[2], Value::Timestamp(enqueued.millis())),
    ];
    match kept {
        Kept::OfDevice(message) => of_device(message, enqueued, annotations),
        Kept::AsSent(payload) => {
            // It was read when it came.
            let mut message = read(payload).unwrap_or_default();
            let own =
                |it: &(Value, Value)| it.0.text().is_some_and(|it| OF_EVENT_HUBS.contains(&it));
            message.annotations.retain(|it| !own(it));
            annotations.append(&mut message.annotations);
            Message { annotations, delivery_annotations: Vec::new(), ..message }
        }
    }
}

pub(super) fn symbol(key: &str, value: Value) -> (Value, Value) {
    (Value::symbol(key), value)
}

/// What a client may want to hear again has a length.
pub(super) fn described(error: &dyn fmt::Display) -> String {
    let mut text = String::new();
    let _ = write!(text, "{error}");
    crate::path::shown(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ops::devices::message::{AuthMethod, Message as Kept};

    fn sender() -> Sender {
        Sender::new("d", "", "1", AuthMethod::DeviceKey)
    }

    fn pair(name: &str, value: Value) -> (Value, Value) {
        (Value::string(name), value)
    }

    fn sent() -> Message {
        Message {
            annotations: vec![symbol("dt-subject", Value::string("pump"))],
            properties: Properties {
                message_id: Value::Uuid([1; 16]),
                user_id: Some(Bytes::from_static(b"ana")),
                content_type: Some("application/json".into()),
                ..Properties::default()
            },
            application: vec![
                pair("level", Value::Int(-3)),
                pair("on", Value::Bool(true)),
                pair("none", Value::Null),
            ],
            body: Body::Data(vec![Bytes::from_static(b"{}")]),
            ..Message::default()
        }
    }

    #[test]
    fn a_message_of_a_device_is_kept_with_all_that_it_says() {
        let records = records(&sender(), sent().write(), 0).unwrap();
        let kept = Kept::parse(&records[0]).unwrap();
        let id = "01010101-0101-0101-0101-010101010101".to_owned();
        let system = [
            (SystemProperty::MessageId, id),
            (SystemProperty::UserId, "ana".into()),
            (SystemProperty::ContentType, "application/json".into()),
            (SystemProperty::Subject, "pump".into()),
        ];
        assert_eq!(kept.system, system);
        let own = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let application = [own("level", Some("-3")), own("on", Some("true")), own("none", None)];
        assert_eq!((kept.application.as_slice(), &kept.body[..]), (&application[..], &b"{}"[..]));
    }

    #[test]
    fn a_batch_is_as_many_messages_as_it_holds() {
        let parts = vec![sent().write(), sent().write()];
        let batch = Message { body: Body::Data(parts), ..Message::default() };
        assert_eq!(records(&sender(), batch.write(), BATCH).unwrap().len(), 2);
        let torn =
            Message { body: Body::Data(vec![Bytes::from_static(b"x")]), ..Message::default() };
        assert!(matches!(records(&sender(), torn.write(), BATCH), Err(NotTaken::Malformed(_))));
    }

    #[test]
    fn a_device_speaks_for_nobody_else_and_says_nothing_that_has_no_text() {
        let with = |name: &str, value: Value| {
            let message = Message { application: vec![pair(name, value)], ..sent() };
            records(&sender(), message.write(), 0).unwrap_err()
        };
        let reserved = with("iothub-connection-device-id", Value::string("other"));
        assert!(matches!(reserved, NotTaken::Message(NotAMessage::Reserved(_))));
        assert!(matches!(with("a", Value::Map(Vec::new())), NotTaken::Property(_)));
        let body = Message { body: Body::Value(Value::Long(1)), ..Message::default() };
        assert_eq!(records(&sender(), body.write(), 0), Err(NotTaken::Body));
    }

    #[test]
    fn a_message_to_a_device_says_all_that_the_operation_takes() {
        let mut message = sent();
        message.application =
            vec![pair("iothub-ack", Value::string("full")), pair("a", Value::string("b"))];
        message.properties.absolute_expiry_time = Some(0);
        let read = outgoing(&message).unwrap();
        assert_eq!(read["ack"], "full");
        assert_eq!(read["properties"], json!({ "a": "b" }));
        assert_eq!((&read["body"], &read["expiry"]), (&json!("e30="), &json!(null)));
    }
}
