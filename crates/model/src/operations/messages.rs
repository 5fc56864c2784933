//! What clients of Service Bus do at a namespace: they send to queues and topics, and receive from queues and
//! subscriptions. AMQP alone leads there.

use super::row::{act, amqp_service_bus as amqp, bare, service};
use super::{Effect, Op, Operation, Right};
use crate::action::ActionName;

const SEND: &[ActionName] = &[act("Microsoft.ServiceBus/namespaces/messages/send/action")];
const RECEIVE: &[ActionName] = &[act("Microsoft.ServiceBus/namespaces/messages/receive/action")];

pub(super) const ROWS: &[Operation] = &[
    service(
        Op::ConnectToServiceBus,
        &[],
        Right::NAMESPACE,
        Effect::Reads,
        &[amqp("PUT-TOKEN", "/{entity}")],
        "Takes the credential of who sends messages or receives them",
    ),
    bare(service(
        Op::SendToEntity,
        SEND,
        &[Right::Send],
        Effect::Appends,
        &[amqp("SEND", "/{entity}")],
        "Sends messages to a queue or a topic",
    )),
    bare(service(
        Op::ReceiveFromEntity,
        RECEIVE,
        &[Right::Listen],
        Effect::Writes,
        &[
            amqp("RECEIVE", "/{entity}"),
            amqp("RECEIVE", "/{entity}/$DeadLetterQueue"),
            amqp("RECEIVE", "/{entity}/Subscriptions/{subscription}"),
            amqp("RECEIVE", "/{entity}/Subscriptions/{subscription}/$DeadLetterQueue"),
        ],
        "Receives messages of a queue or a subscription, and settles them",
    )),
    service(
        Op::PeekMessages,
        RECEIVE,
        &[Right::Listen],
        Effect::Reads,
        &[amqp("com.microsoft:peek-message", "/{entity}/$management")],
        "Shows messages of a queue or a subscription, and leaves them there",
    ),
    service(
        Op::RenewMessageLock,
        RECEIVE,
        &[Right::Listen],
        Effect::Reads,
        &[amqp("com.microsoft:renew-lock", "/{entity}/$management")],
        "Holds a received message for longer",
    ),
    bare(service(
        Op::SettleMessage,
        RECEIVE,
        &[Right::Listen],
        Effect::Writes,
        &[amqp("com.microsoft:update-disposition", "/{entity}/$management")],
        "Settles a message whose link is gone",
    )),
];
