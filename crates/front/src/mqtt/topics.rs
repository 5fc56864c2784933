//! Which operation a device means by the topic that it publishes to: the table's routes, made its own.

use model::operations::{OPERATIONS, Operation, Protocol, Surface};

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
