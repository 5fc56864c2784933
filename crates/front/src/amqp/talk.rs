//! What a connected device is told, and what it answers: messages from services, methods, its twin.

use super::address::Peer;
use super::condition;
use super::device::Device;
use super::driver::{Driver, Link};
use super::messages::{self, symbol};
use ::amqp::{Body, Condition, Delivery, LinkId, Message, Outcome, Properties, Value};
use bytes::Bytes;
use model::operations::Surface;
use ops::devices::messages::Settlement;
use ops::devices::methods::{self, MethodAnswer};
use ops::devices::presence::{Interest, Invocation, Notice, Told};
use ops::session::{Ended, Gone};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

/// Most messages that a device is handed before it settles the first.
const MESSAGES_MAX: usize = 50;
/// Most methods that a device has under way.
const METHODS_MAX: usize = 64;
const METHOD_NAME: &str = "IoThub-methodname";
const METHOD_STATUS: &str = "IoThub-status";
/// The resources of a twin that requests name.
const REPORTED: &str = "/properties/reported";
const DESIRED: &str = "/properties/desired";
const DESIRED_NOTICES: &str = "/notifications/twin/properties/desired";

impl Driver<'_> {
    /// A session was told something.
    pub(super) async fn device_told(&mut self, peer: &Peer, told: Told) {
        let Some(device) = self.devices.get_mut(peer) else { return };
        match told {
            Told::Look => {
                device.forget_old();
                match device.session.stands(self.env).await {
                    Ok(()) => self.deliver(peer).await,
                    Err(ended) => self.end_device(peer, ended, true).await,
                }
            }
            Told::Notice(Notice::Message) => self.deliver(peer).await,
            Told::Notice(Notice::Desired(desired)) => {
                let notice = Message {
                    annotations: vec![
                        symbol("resource", Value::string(DESIRED)),
                        symbol("version", Value::Long(desired.version.cast_signed())),
                    ],
                    body: body(desired.body.to_string()),
                    ..Message::default()
                };
                let to = self.links.iter().find_map(|(id, it)| match it {
                    Link::TwinAnswers { peer: its, .. } if its == peer => Some(*id),
                    _ => None,
                });
                if let Some(to) = to {
                    self.tell(to, notice.write()).await;
                }
            }
            Told::Notice(Notice::Method(invocation)) => self.invoke(peer, *invocation).await,
        }
    }

    /// Hands a device the messages that wait for it, as many as its link takes.
    pub(super) async fn deliver(&mut self, peer: &Peer) {
        while let Some((link, is_settled)) = self.bound(peer) {
            let Some(device) = self.devices.get_mut(peer) else { return };
            if device.handed.len() >= MESSAGES_MAX {
                return;
            }
            let delivery = match device.session.receive(self.env).await {
                Ok(Some(delivery)) => delivery,
                Ok(None) => return,
                Err(ended) => return self.end_device(peer, ended, true).await,
            };
            let lock = delivery.lock;
            let tag = Bytes::copy_from_slice(lock.as_bytes());
            let payload = messages::device_bound(&peer.device, delivery).write();
            let number = self.engine.send(link, tag, &payload, 0, is_settled);
            match number {
                Some(number) if !is_settled => {
                    device.handed.insert((link, number), (lock, Instant::now()));
                }
                Some(_) => self.settle_message(peer, lock, Settlement::Complete).await,
                None => device.session.release(self.env, [lock]).await,
            }
        }
    }

    /// A link of a device that takes a message.
    fn bound(&self, peer: &Peer) -> Option<(LinkId, bool)> {
        self.links.iter().find_map(|(id, it)| match it {
            Link::DeviceBound { peer: its, is_settled } if its == peer => {
                self.engine.can_send(*id).then_some((*id, *is_settled))
            }
            _ => None,
        })
    }

    /// The client said what became of something that we sent.
    pub(super) async fn settled(&mut self, link: LinkId, id: u32, outcome: Option<Outcome>) {
        match self.links.get(&link) {
            Some(Link::DeviceBound { peer, .. }) => {
                let peer = peer.clone();
                let Some(device) = self.devices.get_mut(&peer) else { return };
                let Some((lock, _)) = device.handed.get(&(link, id)).copied() else { return };
                let settlement = match outcome {
                    Some(Outcome::Accepted) => Settlement::Complete,
                    Some(Outcome::Rejected(_)) => Settlement::Reject,
                    Some(Outcome::Modified { is_undeliverable: true, .. }) => Settlement::Reject,
                    Some(Outcome::Released | Outcome::Modified { .. }) => Settlement::Abandon,
                    Some(Outcome::Other) | None => Settlement::Release,
                };
                self.settle_message(&peer, lock, settlement).await;
                // Until here it was to be given back where the session ends.
                if let Some(device) = self.devices.get_mut(&peer) {
                    device.handed.remove(&(link, id));
                }
                self.deliver(&peer).await;
            }
            Some(Link::Queue(_)) => self.queue_settled(link, id, outcome.as_ref()).await,
            _ => {}
        }
    }

    async fn settle_message(&mut self, peer: &Peer, lock: Uuid, settlement: Settlement) {
        let Some(device) = self.devices.get_mut(peer) else { return };
        // Whose time was over waits for the device again.
        if let Err(ended) = device.session.settle(self.env, lock, settlement).await {
            self.end_device(peer, ended, true).await;
        }
    }

    async fn invoke(&mut self, peer: &Peer, invocation: Invocation) {
        let to = self.links.iter().find_map(|(id, it)| match it {
            Link::MethodCalls { peer: its, .. } if its == peer => Some(*id),
            _ => None,
        });
        let Invocation { name, payload, answer } = invocation;
        let (Some(to), Some(device)) = (to, self.devices.get_mut(peer)) else { return };
        // Where too many are under way, dropping the answer tells who called.
        let Some(number) = add(device, answer, self.env.new_uuid()) else { return };
        let request = Message {
            properties: Properties {
                correlation_id: Value::Uuid(number.into_bytes()),
                ..Properties::default()
            },
            application: vec![(Value::string(METHOD_NAME), Value::String(name))],
            body: body(payload.to_string()),
            ..Message::default()
        };
        self.tell(to, request.write()).await;
    }

    /// Hands the answer of a device to who called. An answer that nobody waits for is none.
    pub(super) fn method_answered(&mut self, link: LinkId, peer: &Peer, delivery: Delivery) {
        let Delivery { id, settled, payload, .. } = delivery;
        let outcome = match self.method_answer(peer, payload) {
            Ok(()) => Outcome::Accepted,
            Err(sentence) => {
                let why = Condition::new("com.microsoft:argument-error", sentence);
                Outcome::Rejected(Some(why))
            }
        };
        if !settled {
            self.engine.settle(link, id, outcome);
        }
    }

    fn method_answer(&mut self, peer: &Peer, payload: Bytes) -> Result<(), String> {
        let message = messages::read(payload).map_err(|it| messages::described(&it))?;
        let status = message.property(METHOD_STATUS).and_then(Value::signed);
        let status = status.ok_or_else(|| format!("`{METHOD_STATUS}` is a whole number"))?;
        let data = message.data().unwrap_or_default();
        if data.len() > methods::PAYLOAD_BYTES_MAX {
            let most = methods::PAYLOAD_BYTES_MAX;
            return Err(format!("an answer to a method has at most {most} bytes"));
        }
        let payload = json(&data).unwrap_or_else(|_| {
            // What is not JSON is handed on as text: the device's answer is not ours to judge.
            serde_json::Value::String(String::from_utf8_lossy(&data).into_owned())
        });
        let number = messages::text(&message.properties.correlation_id);
        let number = number.and_then(|it| Uuid::try_parse(&it).ok());
        let device = self.devices.get_mut(peer);
        let waiting = number.zip(device).and_then(|(it, device)| device.called.remove(&it));
        if let Some(waiting) = waiting {
            let _ = waiting.send(MethodAnswer { status, payload });
        }
        Ok(())
    }

    /// Answers what a device asks about its twin.
    pub(super) async fn twin_asked(
        &mut self,
        link: LinkId,
        peer: &Peer,
        pair: &str,
        delivery: Delivery,
    ) {
        let Delivery { id, settled, payload, .. } = delivery;
        let read = messages::read(payload);
        if !settled {
            let outcome = match &read {
                Ok(_) => Outcome::Accepted,
                Err(because) => {
                    let because = messages::described(because);
                    Outcome::Rejected(Some(Condition::new("amqp:decode-error", because)))
                }
            };
            self.engine.settle(link, id, outcome);
        }
        let Ok(request) = read else { return };
        let correlation = match request.properties.correlation_id.clone() {
            Value::Null => request.properties.message_id.clone(),
            some => some,
        };
        let (annotations, body) = match self.twin_answer(peer, &request).await {
            Ok(answer) => answer,
            Err(ended) => return self.end_device(peer, ended, true).await,
        };
        let answer = Message {
            annotations,
            properties: Properties { correlation_id: correlation, ..Properties::default() },
            body,
            ..Message::default()
        };
        let its = self.links.iter().filter_map(|(id, it)| match it {
            Link::TwinAnswers { peer: of, pair: other, .. } if of == peer => Some((*id, other)),
            _ => None,
        });
        let to = its.max_by_key(|(_, other)| *other == pair).map(|(id, _)| id);
        if let Some(to) = to {
            self.tell(to, answer.write()).await;
        }
    }

    async fn twin_answer(
        &mut self,
        peer: &Peer,
        request: &Message,
    ) -> Result<(Vec<(Value, Value)>, Body), Ended> {
        let annotation = |name: &str| {
            let found = request.annotations.iter().find(|(key, _)| key.text() == Some(name));
            found.and_then(|(_, it)| it.text()).unwrap_or("").to_ascii_lowercase()
        };
        let (operation, resource) = (annotation("operation"), annotation("resource"));
        let Some(device) = self.devices.get_mut(peer) else {
            return Err(Ended::Gone(Gone::Closed));
        };
        let session = &mut device.session;
        let answer = match (operation.as_str(), resource.as_str()) {
            ("get", _) => session.twin(self.env).await?.map(|it| (200, None, it.to_string())),
            ("patch", REPORTED) => {
                let data = request.data().unwrap_or_default();
                let reported = match json(&data) {
                    Ok(patch) => session.report(self.env, &patch).await?,
                    Err(error) => Err(error),
                };
                reported.map(|it| (200, Some(it), String::new()))
            }
            ("put", DESIRED_NOTICES) => {
                self.hears(peer, |it| it.with(Interest::Desired)).await;
                Ok((200, None, String::new()))
            }
            ("delete", DESIRED_NOTICES) => {
                self.hears(peer, |it| it.without(Interest::Desired)).await;
                Ok((200, None, String::new()))
            }
            (_, _) => Err(model::Error::DeviceInvalid {
                at: "operation".into(),
                message:
                    "a twin takes GET, PATCH of what is reported, and PUT and DELETE of notices"
                        .into(),
            }),
        };
        Ok(match answer {
            Ok((status, version, text)) => {
                let mut annotations = vec![symbol("status", Value::Int(status))];
                if let Some(version) = version {
                    annotations.push(symbol("version", Value::Long(version.cast_signed())));
                }
                let body =
                    if text.is_empty() { Body::Data(vec![Bytes::new()]) } else { body(text) };
                (annotations, body)
            }
            Err(error) => {
                let tracking = self.env.new_tracking_id();
                let text = error.body(Surface::Hub, tracking, self.env.now()).to_string();
                let status = error.status(Surface::Hub);
                let condition = condition::of(&error, tracking).condition;
                let annotations = vec![
                    symbol("status", Value::Int(status.into())),
                    symbol("error-condition", Value::Symbol(condition)),
                ];
                (annotations, body(text))
            }
        })
    }
}

/// The number under which a device answers; `None` where it has as many methods under way as it can.
fn add(device: &mut Device, answer: oneshot::Sender<MethodAnswer>, number: Uuid) -> Option<Uuid> {
    // Who called may have given up.
    device.called.retain(|_, it| !it.is_closed());
    if device.called.len() >= METHODS_MAX {
        return None;
    }
    device.called.insert(number, answer);
    Some(number)
}

fn body(text: String) -> Body {
    Body::Data(vec![Bytes::from(text)])
}

/// A payload as JSON; an empty one, or the blank that some clients send for it, is `null`.
fn json(payload: &[u8]) -> Result<serde_json::Value, model::Error> {
    match payload.trim_ascii() {
        [] => Ok(serde_json::Value::Null),
        text => model::json::parse(text).map_err(|it| model::Error::DeviceInvalid {
            at: "payload".into(),
            message: it.to_string(),
        }),
    }
}
