//! What services do over a link: send to devices, and receive what a hub holds for them.
//!
//! A link is held for as long as its credential lets it; each message over it is a call for itself.

use super::address::Place;
use super::condition;
use super::driver::{Driver, Link};
use super::messages;
use ::amqp::{Body, Condition, Delivery, LinkId, Message, Outcome, Properties};
use bytes::Bytes;
use model::{Error, Op};
use ops::Env;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

/// Most batches that a service holds over one link.
const BATCHES_MAX: usize = 16;
/// Batches whose time is over wait again, and nobody is told: they are looked for so often.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// A link on which a service receives what a hub holds for it.
pub(super) struct Queue {
    pub(super) held: ops::link::Link,
    pub(super) path: String,
    is_feedback: bool,
    /// The locks of what was sent, by number.
    under_way: BTreeMap<u32, String>,
    bell: Arc<Notify>,
    rung: Pin<Box<OwnedNotified>>,
    looked: Instant,
}

impl Queue {
    pub(super) fn new(held: ops::link::Link, place: &Place, env: &Env) -> Self {
        let bell = held.bell(env);
        Self {
            held,
            path: place.path(),
            is_feedback: *place == Place::Feedback,
            under_way: BTreeMap::new(),
            rung: armed(&bell),
            bell,
            looked: Instant::now(),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.under_way.len() < BATCHES_MAX
    }

    /// Ends when there may be something new, and tells so again until somebody looks.
    pub(super) fn rings(&mut self) -> impl Future<Output = ()> + Send + '_ {
        self.rung.as_mut()
    }

    pub(super) fn look_again(&self) -> Instant {
        self.looked + LOOK_EVERY
    }

    const fn ops(&self) -> (Op, Op, Op) {
        match self.is_feedback {
            true => (Op::ReceiveFeedback, Op::CompleteFeedback, Op::AbandonFeedback),
            false => (
                Op::ReceiveFileNotification,
                Op::CompleteFileNotification,
                Op::AbandonFileNotification,
            ),
        }
    }
}

/// Hears what rings from now on.
pub(super) fn armed(bell: &Arc<Notify>) -> Pin<Box<OwnedNotified>> {
    let mut rung = Box::pin(Arc::clone(bell).notified_owned());
    rung.as_mut().enable();
    rung
}

impl Driver<'_> {
    /// Takes a message to a device, whose address it says in `to`.
    pub(super) async fn service_sent(&mut self, link: LinkId, delivery: Delivery) {
        let Delivery { id, settled, payload, .. } = delivery;
        let outcome = match self.send_to_device(payload).await {
            Ok(()) => Outcome::Accepted,
            Err(why) => Outcome::Rejected(Some(why)),
        };
        if !settled {
            self.engine.settle(link, id, outcome);
        }
    }

    async fn send_to_device(&mut self, payload: Bytes) -> Result<(), Condition> {
        let invalid = |what: String| Condition::new("com.microsoft:argument-error", what);
        let message = messages::read(payload)
            .map_err(|it| Condition::new("amqp:decode-error", messages::described(&it)))?;
        let to = message.properties.to.as_deref().unwrap_or("");
        let peer = match Place::parse(to) {
            Some(Place::DeviceBound(peer)) if peer.module.is_none() => peer,
            Some(_) | None => {
                let what = "`to` is `/devices/{device}/messages/devicebound`";
                return Err(invalid(what.to_owned()));
            }
        };
        let body = messages::outgoing(&message).map_err(|it| invalid(messages::described(&it)))?;
        let mut asking = self.at(Op::SendMessage, "SEND", Place::ServiceSend.path(), peer.params());
        asking.path = format!("{}/messages/deviceBound", peer.path());
        let call = self.call_with(asking, Bytes::from(body.to_string()));
        let answer = Box::pin(ops::call::run(self.env, call)).await;
        match answer.error {
            None => Ok(()),
            Some(error) => Err(condition::of(&error, answer.tracking)),
        }
    }

    /// Sends a service what waits for it.
    pub(super) async fn pump_queue(&mut self, link: LinkId) {
        if let Some(Link::Queue(queue)) = self.links.get_mut(&link) {
            // First the bell, then the look: what comes in between rings.
            queue.rung = armed(&queue.bell);
            queue.looked = Instant::now();
        }
        loop {
            let Some(Link::Queue(queue)) = self.links.get(&link) else { return };
            if !queue.has_room() || !self.engine.can_send(link) {
                return;
            }
            let (receive, ..) = queue.ops();
            let (path, is_feedback) = (queue.path.clone(), queue.is_feedback);
            let asking = self.at(receive, "RECEIVE", path, BTreeMap::new());
            let answer = Box::pin(ops::call::run(self.env, self.call(asking))).await;
            if let Some(error) = &answer.error {
                if !matches!(error, Error::Unavailable { .. }) {
                    self.drop_link(link, condition::of(error, answer.tracking)).await;
                }
                return;
            }
            let lock = answer.headers.iter().find(|(name, _)| *name == "ETag");
            let (Some((_, lock)), Some(body)) = (lock, answer.body) else { return };
            let kind = if is_feedback { "feedback" } else { "filenotification" };
            let message = Message {
                properties: Properties {
                    content_type: Some(format!("application/vnd.microsoft.iothub.{kind}.json")),
                    content_encoding: Some("utf-8".to_owned()),
                    creation_time: Some(self.env.now().millis()),
                    ..Properties::default()
                },
                body: Body::Data(vec![Bytes::from(body.to_string())]),
                ..Message::default()
            };
            let lock = lock.trim_matches('"').to_owned();
            let tag = uuid::Uuid::try_parse(&lock).unwrap_or_default();
            let tag = Bytes::copy_from_slice(tag.as_bytes());
            let number = self.engine.send(link, tag, &message.write(), 0, false);
            if let (Some(number), Some(Link::Queue(queue))) = (number, self.links.get_mut(&link)) {
                queue.under_way.insert(number, lock);
            }
        }
    }

    /// A service said what became of a batch.
    pub(super) async fn queue_settled(&mut self, link: LinkId, id: u32, outcome: Option<&Outcome>) {
        let Some(Link::Queue(queue)) = self.links.get_mut(&link) else { return };
        let Some(lock) = queue.under_way.remove(&id) else { return };
        let ((_, complete, abandon), path) = (queue.ops(), queue.path.clone());
        let (op, verb) = match outcome {
            // Who rejects a record wants to see it no more.
            Some(Outcome::Accepted | Outcome::Rejected(_)) => (complete, "ACCEPT"),
            Some(Outcome::Released | Outcome::Modified { .. } | Outcome::Other) | None => {
                (abandon, "RELEASE")
            }
        };
        let asking = self.at(op, verb, path, BTreeMap::from([("lock", lock)]));
        // A lock whose time is over is no lock any more: the batch waits again.
        let _ = Box::pin(ops::call::run(self.env, self.call(asking))).await;
        self.pump_queue(link).await;
    }
}
