//! A message of a device as AMQP has it, for whoever reads it: at the built-in endpoint, or where routes take it.
//!
//! Source: IoT Hub documentation, "Understand IoT Hub message routing", and "Create and read IoT Hub messages".

use super::{Message, SystemProperty};
use egress::amqp::{Body, Message as Outgoing, Properties, Value};
use model::Timestamp;

/// The whole of it, behind what the place where it is read says of it in annotations.
pub fn of_device(
    message: Message,
    enqueued: Timestamp,
    mut annotations: Vec<(Value, Value)>,
) -> Outgoing {
    let mut say = |name: &str, value: Value| annotations.push((Value::symbol(name), value));
    say("iothub-enqueuedtime", Value::Timestamp(enqueued.millis()));
    say("iothub-message-source", Value::string(message.source.annotation()));
    for (name, value) in [
        ("iothub-connection-device-id", message.device),
        ("iothub-connection-auth-generation-id", message.generation),
        ("iothub-connection-module-id", message.module),
    ] {
        // What is told of a job is told of no device.
        if !value.is_empty() {
            say(name, Value::String(value));
        }
    }
    if let Some(method) = message.auth.annotation() {
        say("iothub-connection-auth-method", Value::string(method));
    }
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
