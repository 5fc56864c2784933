//! Which operation a device means by the topic that it publishes to: the table's routes, made its own.

use super::properties;
use bytes::Bytes;
use model::operations::{OPERATIONS, Operation, Protocol, Surface};
use ops::devices::presence::Interest;
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
    /// Those to which a peer of a surface publishes. `device` stands for `{device}`, and `module` for `{module}`:
    /// no other's topic is among them.
    pub(super) fn of(surface: Surface, device: &str, module: Option<&str>) -> Self {
        let routes = OPERATIONS.iter().flat_map(|row| row.routes.iter().map(move |it| (row, it)));
        let published = routes.filter(|(_, it)| {
            it.protocol == Protocol::Mqtt && it.surface == surface && it.method == "PUBLISH"
        });
        let own = published.filter(|(_, it)| {
            // What names neither is the same topic for both.
            !it.path.contains("{device}") || it.path.contains("{module}") == module.is_some()
        });
        let named = own.map(|(row, it)| {
            let path = it.path.replace("{device}", device);
            (row, path.replace("{module}", module.unwrap_or_default()))
        });
        Self(named.collect())
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

/// What a device publishes that is no message: it waits for an answer, or is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Request<'a> {
    GetTwin { request_id: &'a str },
    Report { request_id: &'a str },
    MethodAnswer { status: i64, request_id: &'a str },
}

impl<'a> Request<'a> {
    /// `None` for every other topic.
    pub(super) fn parse(topic: &'a str) -> Option<Self> {
        let (path, query) = topic.split_once("/?")?;
        let request_id = value_of(query, "$rid")?;
        match path {
            "$iothub/twin/GET" => Some(Self::GetTwin { request_id }),
            "$iothub/twin/PATCH/properties/reported" => Some(Self::Report { request_id }),
            _ => {
                let status = path.strip_prefix("$iothub/methods/res/")?.parse().ok()?;
                Some(Self::MethodAnswer { status, request_id })
            }
        }
    }
}

/// What a device subscribes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Filter {
    Interest(Interest),
    /// Answers to its questions about its twin.
    TwinAnswers,
    /// What other modules of an edge device send: granted, and nothing comes.
    Inputs,
}

impl Filter {
    /// The filter of a device or module; `None` for every other one, which is refused.
    pub(super) fn parse(filter: &str, device: &str, module: Option<&str>) -> Option<Self> {
        match filter {
            "$iothub/twin/res/#" => return Some(Self::TwinAnswers),
            "$iothub/methods/POST/#" => return Some(Self::Interest(Interest::Methods)),
            "$iothub/twin/PATCH/properties/desired/#" => {
                return Some(Self::Interest(Interest::Desired));
            }
            _ => {}
        }
        let rest = filter.strip_prefix("devices/")?.strip_prefix(device)?.strip_prefix('/')?;
        match module {
            None => {
                (rest == "messages/devicebound/#").then_some(Self::Interest(Interest::Messages))
            }
            Some(module) => {
                let rest = rest.strip_prefix("modules/")?.strip_prefix(module)?;
                matches!(rest, "/#" | "/inputs/#").then_some(Self::Inputs)
            }
        }
    }
}

/// An answer about a device's twin.
pub(super) fn twin_answer(
    status: u16,
    request_id: &str,
    version: Option<u64>,
    body: Bytes,
) -> Packet {
    let version = version.map_or_else(String::new, |it| format!("&$version={it}"));
    message(format!("$iothub/twin/res/{status}/?$rid={request_id}{version}"), body)
}

/// A change of desired properties.
pub(super) fn desired(version: u64, body: Bytes) -> Packet {
    message(format!("$iothub/twin/PATCH/properties/desired/?$version={version}"), body)
}

/// A method that a service calls.
pub(super) fn method(name: &str, request_id: u64, body: Bytes) -> Packet {
    let name = properties::encoded(name);
    message(format!("$iothub/methods/POST/{name}/?$rid={request_id:x}"), body)
}

/// What needs no acknowledgement: a device that misses it asks again.
fn message(topic: String, payload: Bytes) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: ByteString::from(topic),
        id: None,
        payload,
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
        let topics = Topics::of(Surface::Hub, "device1", None);
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
        check("devices/device1/modules/m/messages/events/", None);
        check("", None);
        let topics = Topics::of(Surface::Hub, "device1", Some("m"));
        let of_module = |topic: &str| topics.find(topic).is_some();
        assert!(of_module("devices/device1/modules/m/messages/events/a=b"));
        for other in
            ["devices/device1/messages/events/", "devices/device1/modules/m1/messages/events/"]
        {
            assert!(!of_module(other), "{other}");
        }
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
    fn requests_are_known_and_nothing_like_them() {
        let check = |topic: &str, expected: Option<Request<'_>>| {
            assert_eq!(Request::parse(topic), expected, "{topic}");
        };
        check("$iothub/twin/GET/?$rid=7", Some(Request::GetTwin { request_id: "7" }));
        let patch = "$iothub/twin/PATCH/properties/reported/?$rid=a&$version=3";
        check(patch, Some(Request::Report { request_id: "a" }));
        let answer = Request::MethodAnswer { status: 200, request_id: "1f" };
        check("$iothub/methods/res/200/?$rid=1f", Some(answer));
        check("$iothub/twin/GET/", None);
        check("$iothub/twin/GET/?rid=7", None);
        check("$iothub/twin/PATCH/properties/desired/?$rid=1", None);
        check("$iothub/methods/POST/x/?$rid=1", None);
        check("$iothub/methods/res/ok/?$rid=1", None);
    }

    #[test]
    fn a_device_subscribes_to_its_own_topics_only() {
        let check = |filter: &str, module: Option<&str>, expected: Option<Filter>| {
            assert_eq!(Filter::parse(filter, "device1", module), expected, "{filter}");
        };
        let messages = Some(Filter::Interest(Interest::Messages));
        check("devices/device1/messages/devicebound/#", None, messages);
        check("devices/device10/messages/devicebound/#", None, None);
        check("devices/device1/messages/devicebound/", None, None);
        check("devices/device1/messages/devicebound/#", Some("m"), None);
        check("devices/device1/modules/m/#", Some("m"), Some(Filter::Inputs));
        check("devices/device1/modules/m/inputs/#", Some("m"), Some(Filter::Inputs));
        check("devices/device1/modules/m1/#", Some("m"), None);
        check("devices/device1/modules/m/#", None, None);
        check("$iothub/methods/POST/#", None, Some(Filter::Interest(Interest::Methods)));
        check("$iothub/twin/res/#", Some("m"), Some(Filter::TwinAnswers));
        let desired = Some(Filter::Interest(Interest::Desired));
        check("$iothub/twin/PATCH/properties/desired/#", Some("m"), desired);
        for other in ["#", "+", "devices/#", "$iothub/#", "$SYS/#", ""] {
            check(other, None, None);
        }
    }

    #[test]
    fn who_registers_publishes_to_two_topics() {
        let topics = Topics::of(Surface::Dps, "pump-1", None);
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
