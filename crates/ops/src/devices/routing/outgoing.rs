//! A message as an event hub, a queue or a topic gets it.
//!
//! Source: IoT Hub documentation, "Understand IoT Hub message routing", and "Create and read IoT Hub messages".

use crate::devices::message::{Message, SystemProperty};
use egress::amqp::{Body, Message as Outgoing, PARTITION_KEY, Properties, Value};
use model::Timestamp;

/// All that a device has sent stays together and in order: its id is the partition key.
pub(super) fn outgoing(message: Message, enqueued: Timestamp) -> Outgoing {
    let mut annotations = Vec::new();
    let mut say = |name: &str, value: Value| annotations.push((Value::symbol(name), value));
    if !message.device.is_empty() {
        say(PARTITION_KEY, Value::string(&message.device));
    }
    for (name, value) in [
        ("iothub-connection-device-id", message.device),
        ("iothub-connection-module-id", message.module),
        ("iothub-connection-auth-generation-id", message.generation),
    ] {
        if !value.is_empty() {
            say(name, Value::String(value));
        }
    }
    if let Some(method) = message.auth.annotation() {
        say("iothub-connection-auth-method", Value::string(method));
    }
    say("iothub-enqueuedtime", Value::Timestamp(enqueued.millis()));
    say("iothub-message-source", Value::string(message.source.annotation()));
    let mut properties = Properties::default();
    let mut application = Vec::new();
    for (which, value) in message.system {
        let mut also = |name: &str, value: String| {
            application.push((Value::string(name), Value::String(value)));
        };
        match which {
            SystemProperty::MessageId => properties.message_id = Value::String(value),
            SystemProperty::CorrelationId => properties.correlation_id = Value::String(value),
            SystemProperty::UserId => properties.user_id = Some(value.into()),
            SystemProperty::ContentType => properties.content_type = Some(value),
            SystemProperty::ContentEncoding => properties.content_encoding = Some(value),
            SystemProperty::To => properties.to = Some(value),
            SystemProperty::AbsoluteExpiry => {
                properties.absolute_expiry_time = Timestamp::parse(&value).map(|it| it.millis());
            }
            SystemProperty::CreationTime => also("iothub-creation-time-utc", value),
            SystemProperty::OutputName => also("iothub-outputname", value),
            SystemProperty::InterfaceId => say("iothub-interface-id", Value::String(value)),
            SystemProperty::Subject => say("dt-subject", Value::String(value)),
        }
    }
    let own = message.application.into_iter();
    application.extend(
        own.map(|(name, value)| (Value::String(name), value.map_or(Value::Null, Value::String))),
    );
    Outgoing {
        annotations,
        properties,
        application,
        body: Body::Data(vec![message.body]),
        ..Outgoing::default()
    }
}
