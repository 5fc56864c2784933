//! The property bag behind a message's topic: `key=value` pairs, percent-encoded, joined by `&`.
//!
//! A key alone has no value, `key=` has an empty one, and `+` is a plus. Names that start with `$.` are the
//! system's. Source: IoT Hub developer guide, "Create and read IoT Hub messages"; the public SDKs.

use ops::devices::message::{Draft, NotAMessage, SystemProperty};
use ops::devices::messages::{Ack, Delivery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;
use std::fmt;

/// What the keys of a bag mean.
const SYSTEM: &[(&str, SystemProperty)] = &[
    ("$.mid", SystemProperty::MessageId),
    ("$.cid", SystemProperty::CorrelationId),
    ("$.uid", SystemProperty::UserId),
    ("$.ct", SystemProperty::ContentType),
    ("$.ce", SystemProperty::ContentEncoding),
    ("$.to", SystemProperty::To),
    ("$.exp", SystemProperty::AbsoluteExpiry),
    ("$.ctime", SystemProperty::CreationTime),
    ("iothub-creation-time-utc", SystemProperty::CreationTime),
    ("$.on", SystemProperty::OutputName),
    ("$.ifid", SystemProperty::InterfaceId),
    ("iothub-interface-id", SystemProperty::InterfaceId),
    ("$.sub", SystemProperty::Subject),
];

/// Why a bag cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NotABag {
    NotUtf8,
    Message(NotAMessage),
}

impl fmt::Display for NotABag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("a property does not decode to UTF-8"),
            Self::Message(because) => because.fmt(f),
        }
    }
}

/// Puts the properties of a bag into a message.
pub(super) fn read(bag: &str, message: &mut Draft) -> Result<(), NotABag> {
    let bag = bag.strip_prefix('?').unwrap_or(bag);
    for pair in bag.split('&').filter(|it| !it.is_empty()) {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (decoded(name)?, Some(decoded(value)?)),
            None => (decoded(pair)?, None),
        };
        let put = match SYSTEM.iter().find(|(known, _)| *known == name) {
            Some((_, which)) => message.system(*which, value.as_deref().unwrap_or("")),
            None => message.application(&name, value.as_deref()),
        };
        put.map_err(NotABag::Message)?;
    }
    Ok(())
}

fn decoded(text: &str) -> Result<Cow<'_, str>, NotABag> {
    percent_decode_str(text).decode_utf8().map_err(|_| NotABag::NotUtf8)
}

/// What stands as it is in a bag.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(super) fn encoded(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, KEPT)
}

/// The bag of a message to a device.
pub(super) fn write(device: &str, delivery: &Delivery) -> String {
    let message = &delivery.message;
    let to = format!("/devices/{device}/messages/devicebound");
    let expiry = message.expiry.map(|it| it.rfc3339());
    let ack = (message.ack != Ack::None).then(|| message.ack.as_str());
    let system = [
        ("$.to", Some(to.as_str())),
        ("$.mid", message.message_id.as_deref()),
        ("$.cid", message.correlation_id.as_deref()),
        ("$.uid", message.user_id.as_deref()),
        ("$.ct", message.content_type.as_deref()),
        ("$.ce", message.content_encoding.as_deref()),
        ("$.exp", expiry.as_deref()),
        ("iothub-ack", ack),
    ];
    let system = system.into_iter().filter_map(|(name, value)| value.map(|it| (name, it)));
    let own = message.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let pairs =
        system.chain(own).map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ops::devices::message::{AuthMethod, Message, Sender};

    fn bag(text: &str) -> Result<Message, NotABag> {
        let mut draft = Sender::new("d", "", "1", AuthMethod::DeviceKey).message(0);
        read(text, &mut draft)?;
        Ok(Message::parse(&draft.finish(b"").unwrap()).unwrap())
    }

    #[test]
    fn a_bag_of_the_clients_is_read() {
        let text = "?%24.mid=m%201&$.ct=application%2Fjson&level=3+2&alarm&empty=&a%3Db=%26&&";
        let message = bag(text).unwrap();
        let system = [
            (SystemProperty::MessageId, "m 1".to_owned()),
            (SystemProperty::ContentType, "application/json".to_owned()),
        ];
        assert_eq!(message.system, system);
        let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let application = [
            pair("level", Some("3+2")),
            pair("alarm", None),
            pair("empty", Some("")),
            pair("a=b", Some("&")),
        ];
        assert_eq!(message.application, application);
        assert_eq!(bag("").unwrap().application, []);
    }

    #[test]
    fn the_bag_of_a_message_to_a_device_reads_back() {
        let message = ops::devices::messages::Outgoing {
            message_id: Some("m 1".into()),
            ack: Ack::Full,
            properties: vec![("a=b".into(), "&ä".into()), ("e".into(), String::new())],
            ..Default::default()
        };
        let delivery = Delivery {
            lock: uuid::Uuid::nil(),
            sequence: 1,
            enqueued: model::Timestamp::from_seconds(0),
            expires: model::Timestamp::from_seconds(9),
            delivery_count: 0,
            message,
        };
        let bag = write("d", &delivery);
        let expected = "%24.to=%2Fdevices%2Fd%2Fmessages%2Fdevicebound&%24.mid=m%201&iothub-ack=full&a%3Db=%26%C3%A4&e=";
        assert_eq!(bag, expected);
    }

    #[test]
    fn what_no_hub_takes_is_refused() {
        assert_eq!(bag("a=%ff").unwrap_err(), NotABag::NotUtf8);
        let reserved = "iothub-connection-device-id=device10";
        assert!(matches!(bag(reserved), Err(NotABag::Message(NotAMessage::Reserved(_)))));
        assert!(matches!(bag("%24.mid=1&$.mid=2"), Err(NotABag::Message(NotAMessage::Twice(_)))));
        assert!(matches!(bag("=x"), Err(NotABag::Message(NotAMessage::Name))));
        let many = "a=b&".repeat(101);
        assert!(matches!(bag(&many), Err(NotABag::Message(NotAMessage::TooManyProperties))));
    }
}
