//! What devices and their modules do at their hub.

use super::row::{amqp, at_hub, hub, mqtt};
use super::{Body, Effect, Op, Operation, Surface};

pub(super) const ROWS: &[Operation] = &[
    at_hub(
        Op::ConnectDevice,
        Effect::Reads,
        &[
            mqtt(Surface::Hub, "CONNECT", "{host}/{device}"),
            amqp("PUT-TOKEN", "/devices/{device}"),
            amqp("PUT-TOKEN", "/devices/{device}/modules/{module}"),
        ],
        "Opens a device's session, and ends the one that it had",
    ),
    Operation {
        body: Body::Raw,
        ..at_hub(
            Op::SendTelemetry,
            Effect::Appends,
            &[
                mqtt(Surface::Hub, "PUBLISH", "devices/{device}/messages/events/"),
                mqtt(Surface::Hub, "PUBLISH", "devices/{device}/modules/{module}/messages/events/"),
                amqp("SEND", "/devices/{device}/messages/events"),
                amqp("SEND", "/devices/{device}/modules/{module}/messages/events"),
                hub("POST", "/devices/{device}/messages/events"),
                hub("POST", "/devices/{device}/modules/{module}/messages/events"),
            ],
            "Keeps messages of a device or module in the hub's log",
        )
    },
    at_hub(
        Op::GetOwnTwin,
        Effect::Reads,
        &[
            mqtt(Surface::Hub, "PUBLISH", "$iothub/twin/GET/"),
            mqtt(Surface::Hub, "SUBSCRIBE", "$iothub/twin/res/#"),
            amqp("GET", "/devices/{device}/twin"),
            amqp("GET", "/devices/{device}/modules/{module}/twin"),
        ],
        "Shows a device or module its own twin",
    ),
    at_hub(
        Op::ReportProperties,
        Effect::Writes,
        &[
            mqtt(Surface::Hub, "PUBLISH", "$iothub/twin/PATCH/properties/reported/"),
            amqp("PATCH", "/devices/{device}/twin"),
            amqp("PATCH", "/devices/{device}/modules/{module}/twin"),
        ],
        "Changes the reported properties of the device or module that calls",
    ),
    at_hub(
        Op::ReceiveDesired,
        Effect::Reads,
        &[
            mqtt(Surface::Hub, "SUBSCRIBE", "$iothub/twin/PATCH/properties/desired/#"),
            amqp("PUT", "/devices/{device}/twin"),
            amqp("PUT", "/devices/{device}/modules/{module}/twin"),
        ],
        "Tells a device or module of changes of its desired properties",
    ),
    at_hub(
        Op::ReceiveMethods,
        Effect::Reads,
        &[
            mqtt(Surface::Hub, "SUBSCRIBE", "$iothub/methods/POST/#"),
            amqp("RECEIVE", "/devices/{device}/methods/devicebound"),
            amqp("RECEIVE", "/devices/{device}/modules/{module}/methods/devicebound"),
        ],
        "Hands methods that are called to a device or module, and takes its answers",
    ),
    at_hub(
        Op::ReceiveMessages,
        Effect::Writes,
        &[
            mqtt(Surface::Hub, "SUBSCRIBE", "devices/{device}/messages/devicebound/#"),
            amqp("RECEIVE", "/devices/{device}/messages/devicebound"),
            hub("GET", "/devices/{device}/messages/deviceBound"),
        ],
        "Hands a device the messages that wait for it, and settles them over MQTT and AMQP",
    ),
    Operation {
        body: Body::Json,
        ..at_hub(
            Op::BeginUpload,
            Effect::Calls,
            &[hub("POST", "/devices/{device}/files")],
            "Gives a device an address at which it may put one file into the hub's storage",
        )
    },
    Operation {
        body: Body::Json,
        ..at_hub(
            Op::EndUpload,
            Effect::Calls,
            &[
                hub("POST", "/devices/{device}/files/notifications"),
                hub("POST", "/devices/{device}/files/notifications/{correlation}"),
            ],
            "Takes how the upload of a file has ended, and tells services of it",
        )
    },
    at_hub(
        Op::CompleteMessage,
        Effect::Writes,
        &[hub("DELETE", "/devices/{device}/messages/deviceBound/{lock}")],
        "Completes or rejects a message that a device has received",
    ),
    at_hub(
        Op::AbandonMessage,
        Effect::Writes,
        &[hub("POST", "/devices/{device}/messages/deviceBound/{lock}/abandon")],
        "Gives a message back that a device has received",
    ),
];
