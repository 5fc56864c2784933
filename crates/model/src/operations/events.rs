//! What clients of Event Hubs do at a namespace: they send, receive and ask what there is. AMQP alone leads there.
//!
//! Who is signed in, or holds any key, may ask which partitions an event hub has: senders have no right to receive and
//! receivers none to send, and both have to ask.

use super::row::{act, amqp_event_hubs, service};
use super::{Effect, Op, Operation, Right};

pub(super) const ROWS: &[Operation] = &[
    service(
        Op::ConnectToEventHub,
        &[],
        Right::NAMESPACE,
        Effect::Reads,
        &[amqp_event_hubs("PUT-TOKEN", "/{eventHub}")],
        "Takes the credential of who sends events or receives them",
    ),
    Operation {
        body: super::Body::None,
        ..service(
            Op::SendEvents,
            &[act("Microsoft.EventHub/namespaces/messages/send/action")],
            &[Right::Send],
            Effect::Appends,
            &[
                amqp_event_hubs("SEND", "/{eventHub}"),
                amqp_event_hubs("SEND", "/{eventHub}/Partitions/{partition}"),
            ],
            "Sends events to an event hub",
        )
    },
    service(
        Op::ReceiveEvents,
        &[act("Microsoft.EventHub/namespaces/messages/receive/action")],
        &[Right::Listen],
        Effect::Reads,
        &[amqp_event_hubs("RECEIVE", "/{eventHub}/ConsumerGroups/{group}/Partitions/{partition}")],
        "Receives events of a partition",
    ),
    service(
        Op::DescribeEventHub,
        &[],
        Right::NAMESPACE,
        Effect::Reads,
        &[amqp_event_hubs("READ com.microsoft:eventhub", "/{eventHub}/$management")],
        "Shows which partitions an event hub has",
    ),
    service(
        Op::DescribePartition,
        &[act("Microsoft.EventHub/namespaces/messages/receive/action")],
        &[Right::Listen],
        Effect::Reads,
        &[amqp_event_hubs("READ com.microsoft:partition", "/{eventHub}/$management")],
        "Shows how far a partition of an event hub reaches",
    ),
];
