//! Which operation a device means by the topic that it publishes to: the table's routes, made its own.

use bytes::Bytes;
use model::operations::{OPERATIONS, Operation, Protocol, Surface};
use wire::mqtt::{ByteString, Packet, Publish, Qos};

/// The topics of one connection.
pub(super) struct Topics(Vec<(&'static Operation, String)>);

/// A topic that is in the table.
#[derive(Debug)]
pub(super) struct Topic<'a> {
    pub(super) operation: &'static Operation,
    /// What stands behind its last `/`.
    pub(super) properties: &'a str,
}

impl Topics {
    /// Those to which a peer of a surface publishes. `device` stands for `{device}`: no other device's topic
    /// is among them.
    pub(super) fn of(surface: Surface, device: &str) -> Self {
        let routes = OPERATIONS.iter().flat_map(|row| row.routes.iter().map(move |it| (row, it)));
        let published = routes.filter(|(_, it)| {
            it.protocol == Protocol::Mqtt && it.surface == surface && it.method == "PUBLISH"
        });
        Self(published.map(|(row, it)| (row, it.path.replace("{device}", device))).collect())
    }

    /// The operation that a topic names; `None` for every other topic.
    pub(super) fn find<'a>(&self, topic: &'a str) -> Option<Topic<'a>> {
        self.0.iter().find_map(|(operation, known)| {
            let properties = match topic.strip_prefix(known.as_str()) {
                Some(rest) => rest,
                // The last `/` may be missing where nothing follows.
                None if known.strip_suffix('/') == Some(topic) => "",
                None => return None,
            };
            (!properties.contains('/')).then_some(Topic { operation, properties })
        })
    }
}

/// Where a device hears of its twin.
pub(super) const TWIN_ANSWERS: &str = "$iothub/twin/res/#";

/// What devices say that no operation answers yet. A hub takes it, so it ends no connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Aside<'a> {
    /// A read of the device's twin, or a change of its reported properties.
    Twin {
        request_id: &'a str,
    },
    MethodResponse,
}

/// Reads a topic as an [`Aside`].
pub(super) fn aside(topic: &str) -> Option<Aside<'_>> {
    if topic.starts_with("$iothub/methods/res/") {
        return Some(Aside::MethodResponse);
    }
    let asked = ["$iothub/twin/GET/?", "$iothub/twin/PATCH/properties/reported/?"];
    let query = asked.iter().find_map(|it| topic.strip_prefix(it))?;
    value_of(query, "$rid").map(|request_id| Aside::Twin { request_id })
}

/// The answer 501 to a request about a twin.
pub(super) fn not_offered(request_id: &str) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: ByteString::from(format!("$iothub/twin/res/501/?$rid={request_id}")),
        id: None,
        payload: Bytes::new(),
    })
}

/// Longest id of a request, which comes back as it was sent.
const REQUEST_ID_BYTES_MAX: usize = 256;

/// A value of the query behind a topic, as it stands there.
pub(super) fn value_of<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.trim_start_matches('?').split('&').filter_map(|it| it.split_once('='));
    let value = pairs.into_iter().find(|(key, _)| *key == name).map(|(_, it)| it)?;
    (value.len() <= REQUEST_ID_BYTES_MAX && !value.contains(['+', '#'])).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Op;

    #[test]
    fn a_device_publishes_to_its_own_topics_only() {
        let topics = Topics::of(Surface::Hub, "device1");
        let check = |topic: &str, expected: Option<&str>| {
            let found = topics.find(topic);
            assert_eq!(found.as_ref().map(|it| it.properties), expected, "{topic}");
            assert!(found.is_none_or(|it| it.operation.op == Op::SendTelemetry));
        };
        check("devices/device1/messages/events/", Some(""));
        check("devices/device1/messages/events", Some(""));
        check("devices/device1/messages/events/a=b&%24.ct=x%2Fy", Some("a=b&%24.ct=x%2Fy"));
        check("devices/device10/messages/events/", None);
        check("devices/device1/messages/events/a/b", None);
        check("devices/device1/messages/eventsx", None);
        check("devices/Device1/messages/events/", None);
        check("/devices/device1/messages/events/", None);
        check("devices/device1/messages/devicebound/", None);
        check("$dps/registrations/PUT/iotdps-register/?$rid=1", None);
        check("", None);
    }

    #[test]
    fn a_request_id_is_taken_as_it_stands_within_its_limits() {
        let check =
            |query: &str, expected: Option<&str>| assert_eq!(value_of(query, "$rid"), expected);
        check("?$rid=a%20b-1", Some("a%20b-1"));
        check("?operationId=4&$rid=2", Some("2"));
        check("?rid=2", None);
        check("", None);
        // An answer goes to a topic, and a topic holds no wildcard.
        check("?$rid=a#", None);
        check(&format!("?$rid={}", "x".repeat(257)), None);
    }

    #[test]
    fn twins_and_answers_to_methods_are_known_and_nothing_like_them() {
        let check = |topic: &str, expected: Option<Aside<'_>>| assert_eq!(aside(topic), expected);
        check("$iothub/twin/GET/?$rid=7", Some(Aside::Twin { request_id: "7" }));
        let patch = "$iothub/twin/PATCH/properties/reported/?$rid=a&$version=3";
        check(patch, Some(Aside::Twin { request_id: "a" }));
        check("$iothub/methods/res/200/?$rid=1", Some(Aside::MethodResponse));
        check("$iothub/twin/GET/", None);
        check("$iothub/twin/PATCH/properties/desired/?$rid=1", None);
        check("$iothub/methods/POST/x/?$rid=1", None);
    }

    #[test]
    fn who_registers_publishes_to_two_topics() {
        let topics = Topics::of(Surface::Dps, "pump-1");
        let check = |topic: &str, expected: Option<(Op, &str)>| {
            let found = topics.find(topic);
            assert_eq!(found.map(|it| (it.operation.op, it.properties)), expected, "{topic}");
        };
        check(
            "$dps/registrations/PUT/iotdps-register/?$rid=a-1",
            Some((Op::RegisterDevice, "?$rid=a-1")),
        );
        check(
            "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1&operationId=4.x",
            Some((Op::GetRegistrationOperation, "?$rid=1&operationId=4.x")),
        );
        check("$dps/registrations/POST/iotdps-register/?$rid=1", None);
        check("devices/pump-1/messages/events/", None);
    }
}
