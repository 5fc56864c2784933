//! Who sends to queues and topics of a namespace, and who receives from queues and subscriptions.
//!
//! What one read brings is kept together, and settled once that is synced; so are the decisions about messages that were
//! handed out. A client that awaits what came of its decision hears so, also that its lock was lost.

use super::address::{BusPlace, Place};
use super::condition;
use super::driver::{Driver, Link, OUTGOING_BYTES_MAX};
use super::messages::{self, NotTaken};
use super::service::armed;
use ::amqp::message::BATCH;
use ::amqp::{Body, Condition, Delivery, LinkId, Message, Outcome, Value};
use bytes::Bytes;
use model::Op;
use ops::Env;
use ops::targets::service_bus::{
    Dead, Found, Handed, Outgoing, Part, Receiver, Sender, Settlement, Wish,
};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use uuid::Uuid;

/// Most messages that one look takes.
const MESSAGES_MAX: u32 = 256;
const REASON: &str = "DeadLetterReason";
const DESCRIPTION: &str = "DeadLetterErrorDescription";
/// What a queue itself says of each message. Source: the public client libraries for Service Bus.
const OWN: [&str; 4] =
    ["x-opt-sequence-number", "x-opt-enqueued-time", "x-opt-locked-until", "x-opt-message-state"];
/// A message that is to be there later.
const SCHEDULED: &str = "x-opt-scheduled-enqueue-time";

/// A link over which a client sends to a queue or a topic.
pub(super) struct BusSend {
    pub(super) sender: Sender,
    pub(super) path: String,
    /// What the last read brought: the delivery's number, whether it is settled, what it holds.
    came: Vec<(u32, bool, Vec<Outgoing>)>,
}

/// A link on which a client receives from a queue or a subscription.
pub(super) struct BusQueue {
    pub(super) receiver: Receiver,
    pub(super) path: String,
    is_settled: bool,
    /// The locks of what was sent, by number.
    handed: BTreeMap<u32, Uuid>,
    /// What was received, and waits for room.
    read: VecDeque<Handed>,
    /// What the last read decided: the delivery's number, the decision, and whether the client waits.
    decided: Vec<(u32, Option<Outcome>, bool)>,
    bell: Arc<Notify>,
    rung: Pin<Box<OwnedNotified>>,
    number: u64,
}

impl BusQueue {
    /// True where something was received that is not sent yet.
    pub(super) fn waits(&self) -> bool {
        !self.read.is_empty()
    }

    /// Ends when there may be something new, and tells so again until somebody looks.
    pub(super) fn rings(&mut self) -> impl Future<Output = ()> + Send + '_ {
        self.rung.as_mut()
    }

    /// Notes what became of a message. It is done with all else that the read brings.
    pub(super) fn settled(&mut self, id: u32, outcome: Option<Outcome>, is_awaited: bool) {
        self.decided.push((id, outcome, is_awaited));
    }

    /// What was not sent yet is for somebody else. What was sent stays locked for its time: it can be settled at the
    /// desk.
    pub(super) async fn give_back(self: Box<Self>, env: &Env) {
        let unsent = self.read.iter().filter_map(|it| it.lock);
        let all: Vec<_> = unsent.map(|(lock, _)| (lock, Settlement::Release)).collect();
        if !all.is_empty() {
            // Where that fails their time ends by itself.
            drop(self.receiver.settle(env, all).await);
        }
    }
}

/// What a client's word for a message comes to.
fn settlement(outcome: Option<&Outcome>) -> Result<Settlement, Condition> {
    Ok(match outcome {
        Some(Outcome::Accepted) => Settlement::Complete,
        Some(Outcome::Rejected(why)) => {
            let info = |name: &str| {
                let found = why.as_ref().and_then(|it| it.info.iter().find(|it| it.0 == name));
                found.and_then(|it| it.1.text()).unwrap_or("")
            };
            Settlement::Bury(Dead::of(info(REASON), info(DESCRIPTION)))
        }
        Some(Outcome::Modified { is_undeliverable: true, .. }) => {
            let sentence = "messages cannot be deferred yet; abandon it, or leave it locked";
            return Err(Condition::new("amqp:not-implemented", sentence));
        }
        Some(Outcome::Modified { .. }) => Settlement::Abandon,
        Some(Outcome::Released | Outcome::Other) | None => Settlement::Release,
    })
}

impl Driver<'_> {
    pub(super) async fn bus_sender(&mut self, place: BusPlace) -> Result<Link, Condition> {
        let params = place.params();
        let path = Place::Bus(place).path();
        let asking = self.at(Op::SendToEntity, "SEND", path.clone(), params);
        let opened = ops::call::open_bus_sender(self.env, self.call(asking));
        let sender = Box::pin(opened).await.map_err(|answer| condition::of_answer(&answer))?;
        Ok(Link::BusSend(Box::new(BusSend { sender, path, came: Vec::new() })))
    }

    pub(super) async fn bus_receiver(
        &mut self,
        bus: BusPlace,
        is_settled: bool,
    ) -> Result<Link, Condition> {
        let part = if bus.is_dead { Part::Dead } else { Part::Active };
        let params = bus.params();
        let path = Place::Bus(bus).path();
        let asking = self.at(Op::ReceiveFromEntity, "RECEIVE", path.clone(), params);
        let wish = Wish { part, removes: is_settled };
        let opened = ops::call::open_bus_receiver(self.env, self.call(asking), wish);
        let receiver = Box::pin(opened).await.map_err(|answer| condition::of_answer(&answer))?;
        let bell = receiver.bell(self.env);
        Ok(Link::BusQueue(Box::new(BusQueue {
            receiver,
            path,
            is_settled,
            handed: BTreeMap::new(),
            read: VecDeque::new(),
            decided: Vec::new(),
            rung: armed(&bell),
            bell,
            number: 0,
        })))
    }

    /// Takes a transfer; it is kept with all else that the read brought.
    pub(super) fn bus_sent(&mut self, link: LinkId, delivery: Delivery) {
        let Delivery { id, settled, format, payload, .. } = delivery;
        let Some(Link::BusSend(it)) = self.links.get_mut(&link) else { return };
        match to_queue(payload, format, self.env) {
            Ok(messages) => it.came.push((id, settled, messages)),
            Err(why) => {
                self.env.metrics.count_early_refusal(400);
                if !settled {
                    self.engine.settle(link, id, Outcome::Rejected(Some(why)));
                }
            }
        }
    }

    /// Does what the last read brought: keeps what was sent, and ends what was decided.
    pub(super) async fn bus_came(&mut self) {
        let has_some = |it: &Link| match it {
            Link::BusSend(it) => !it.came.is_empty(),
            Link::BusQueue(it) => !it.decided.is_empty(),
            _ => false,
        };
        let links: Vec<LinkId> =
            self.links.iter().filter(|(_, it)| has_some(it)).map(|(id, _)| *id).collect();
        for link in links {
            match self.links.get(&link) {
                Some(Link::BusSend(_)) => self.keep_bus(link).await,
                _ => self.settle_bus(link).await,
            }
        }
    }

    async fn keep_bus(&mut self, link: LinkId) {
        let Some(Link::BusSend(it)) = self.links.get_mut(&link) else { return };
        let (mut ids, mut transfers) = (Vec::new(), Vec::new());
        for (id, settled, messages) in std::mem::take(&mut it.came) {
            ids.push((id, settled));
            transfers.push(messages);
        }
        let outcomes = match it.sender.send(self.env, transfers).await {
            Ok(outcomes) => outcomes,
            Err(ended) => return self.drop_link(link, condition::of_end(&ended)).await,
        };
        for ((id, settled), outcome) in ids.into_iter().zip(outcomes) {
            let outcome = match outcome {
                Ok(()) => Outcome::Accepted,
                Err(error) => {
                    Outcome::Rejected(Some(condition::of(&error, self.env.new_tracking_id())))
                }
            };
            if !settled {
                self.engine.settle(link, id, outcome);
            }
        }
    }

    async fn settle_bus(&mut self, link: LinkId) {
        let Some(Link::BusQueue(it)) = self.links.get_mut(&link) else { return };
        let (mut told, mut all) = (Vec::new(), Vec::new());
        let mut refused = Vec::new();
        for (id, outcome, is_awaited) in std::mem::take(&mut it.decided) {
            let Some(lock) = it.handed.remove(&id) else { continue };
            match settlement(outcome.as_ref()) {
                Ok(settlement) => {
                    all.push((lock, settlement));
                    told.push((id, outcome, is_awaited));
                }
                // It stays locked until its time is over, or it is settled at the desk.
                Err(why) => refused.push((id, is_awaited, why)),
            }
        }
        let results = it.receiver.settle(self.env, all).await;
        for ((id, outcome, is_awaited), result) in told.into_iter().zip(results) {
            if !is_awaited {
                continue;
            }
            let outcome = match result {
                // Who rejected it hears that it was rejected, and not that this failed.
                Ok(()) => match outcome {
                    Some(Outcome::Rejected(_)) => Outcome::Rejected(None),
                    Some(outcome) => outcome,
                    None => Outcome::Released,
                },
                Err(error) => {
                    Outcome::Rejected(Some(condition::of(&error, self.env.new_tracking_id())))
                }
            };
            self.engine.conclude(link, id, outcome);
        }
        for (id, is_awaited, why) in refused {
            if is_awaited {
                self.engine.conclude(link, id, Outcome::Rejected(Some(why)));
            }
        }
        self.pump_bus(link).await;
    }

    /// Sends a client what comes next, as far as it has credit and there is room.
    pub(super) async fn pump_bus(&mut self, link: LinkId) {
        let room = OUTGOING_BYTES_MAX.saturating_sub(self.outgoing_bytes());
        let can_send = self.engine.can_send(link);
        let Some(Link::BusQueue(it)) = self.links.get_mut(&link) else { return };
        if it.read.is_empty() && can_send && room > 0 {
            // First the bell, then the look: what comes in between rings.
            it.rung = armed(&it.bell);
            let count = self.engine.credit(link).min(MESSAGES_MAX);
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            match it.receiver.receive(self.env, count, room).await {
                Ok(read) => it.read.extend(read),
                Err(ended) => return self.drop_link(link, condition::of_end(&ended)).await,
            }
        }
        while self.engine.can_send(link)
            && let Some(handed) = it.read.pop_front()
        {
            it.number += 1;
            let until = handed.lock.map(|it| it.1.millis());
            let tag = match handed.lock {
                // Source: the public client libraries, which read a GUID of little ends.
                Some((lock, _)) => Bytes::copy_from_slice(&lock.to_bytes_le()),
                None => Bytes::copy_from_slice(&it.number.to_be_bytes()),
            };
            let payload = received(handed.message, until).write();
            let number = self.engine.send(link, tag, &payload, 0, it.is_settled);
            if let (Some(number), Some((lock, _))) = (number, handed.lock) {
                it.handed.insert(number, lock);
            }
        }
    }
}

/// The messages of a transfer to a queue or a topic: one, or as many as a batch holds.
///
/// Whatever comes without an id gets one: clients know by it what they hold. Source: the public client libraries.
fn to_queue(payload: Bytes, format: u32, env: &Env) -> Result<Vec<Outgoing>, Condition> {
    let malformed = |it: NotTaken| match it {
        NotTaken::Malformed(_) => Condition::new("amqp:decode-error", messages::described(&it)),
        _ => Condition::new("com.microsoft:argument-error", messages::described(&it)),
    };
    let one = |payload: Bytes, mut message: Message| {
        let due = message.annotations.iter().find(|it| it.0.text() == Some(SCHEDULED));
        if due.and_then(|it| it.1.signed()).is_some_and(|it| it > env.now().millis()) {
            let sentence = "messages cannot be scheduled yet; send it when it is to be there";
            return Err(Condition::new("amqp:not-implemented", sentence));
        }
        let ttl_ms = message.header.and_then(|it| it.ttl);
        let payload = match &message.properties.message_id {
            Value::Null => {
                message.properties.message_id = Value::String(env.new_uuid().simple().to_string());
                message.write()
            }
            _ => payload,
        };
        Ok(Outgoing { payload, ttl_ms })
    };
    let message = messages::read(payload.clone()).map_err(malformed)?;
    if format != BATCH {
        return Ok(vec![one(payload, message)?]);
    }
    let Body::Data(parts) = message.body else { return Err(malformed(NotTaken::Body)) };
    parts.into_iter().map(|it| one(it.clone(), messages::read(it).map_err(malformed)?)).collect()
}

/// A message as who receives it, or looks at it, sees it.
pub(super) fn received(found: Found, locked_until_ms: Option<i64>) -> Message {
    // It was read when it came.
    let mut message = messages::read(found.payload).unwrap_or_default();
    let header = message.header.get_or_insert_default();
    header.delivery_count = found.deliveries;
    if let Some(expires) = found.expires {
        let lives_ms = expires.millis().saturating_sub(found.enqueued.millis());
        header.ttl = Some(u32::try_from(lives_ms).unwrap_or(u32::MAX));
    }
    // What only the queue says of a message, nobody says for it.
    message.annotations.retain(|it| !it.0.text().is_some_and(|it| OWN.contains(&it)));
    message.delivery_annotations = Vec::new();
    message.annotations.extend([
        messages::symbol(OWN[0], Value::Long(found.sequence.cast_signed())),
        messages::symbol(OWN[1], Value::Timestamp(found.enqueued.millis())),
    ]);
    if let Some(until) = locked_until_ms {
        message.annotations.push(messages::symbol(OWN[2], Value::Timestamp(until)));
    }
    if let Some(Dead { reason, description }) = found.dead {
        message.application.retain(|it| !matches!(it.0.text(), Some(REASON | DESCRIPTION)));
        for (name, value) in [(REASON, reason), (DESCRIPTION, description)] {
            if let Some(value) = value {
                message.application.push((Value::string(name), Value::String(value)));
            }
        }
    }
    message
}
