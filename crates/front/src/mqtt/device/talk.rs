//! What a connected device is told, and what it is answered: its twin, methods, messages from services.

use super::super::properties;
use super::super::topics::{self, Filter, Request};
use super::Connection;
use bytes::Bytes;
use model::Op;
use model::operations::Surface;
use ops::devices::messages::Settlement;
use ops::devices::methods::{self, MethodAnswer};
use ops::devices::presence::{Interest, Interests, Invocation, Notice};
use ops::session::{Ended, Gone, Violation};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use wire::mqtt::{ByteString, ConnectCode, Packet, Publish, Qos};

/// What a front keeps beside the interests of a device: it hears answers about its twin.
const HEARS_TWIN: u8 = 1 << 6;
/// It takes messages without acknowledging them.
const TAKES_AT_MOST_ONCE: u8 = 1 << 7;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    /// Accepts the device. One that comes back goes on hearing what it asked for, unless it wants a clean
    /// session.
    pub(super) async fn resume(&mut self) -> Result<(), Ended> {
        let remembered = if self.is_clean { 0 } else { self.session.hears() };
        let accepted =
            Packet::ConnAck { session_present: remembered != 0, code: ConnectCode::Accepted };
        self.pipe.put(&accepted);
        self.hears(remembered, true).await
    }

    /// Has the device told of something more, or of something less.
    async fn hears(&mut self, all: u8, is_kept: bool) -> Result<(), Ended> {
        if all == 0 && self.session.hears() == 0 {
            return Ok(());
        }
        self.session.listen(self.env, all, is_kept).await?;
        match Interests(all).has(Interest::Messages) {
            true => self.deliver().await,
            false => Ok(()),
        }
    }

    /// Hands the device what a session was told.
    pub(super) async fn hear(&mut self, notice: Notice) -> Result<(), Ended> {
        match notice {
            Notice::Message => return self.deliver().await,
            Notice::Desired(desired) => {
                let body = Bytes::from(desired.body.to_string());
                self.pipe.put(&topics::desired(desired.version, body));
            }
            Notice::Method(invocation) => {
                let Invocation { name, payload, answer } = *invocation;
                // Where too many are under way, dropping the answer tells who called.
                if let Some(number) = self.called.add(answer) {
                    let body = Bytes::from(payload.to_string());
                    self.pipe.put(&topics::method(&name, number, body));
                }
            }
        }
        Ok(())
    }

    /// Hands the device the messages that wait for it, as many as it may have at a time.
    pub(super) async fn deliver(&mut self) -> Result<(), Ended> {
        while self.handed.has_room() {
            let Some(delivery) = self.session.receive(self.env).await? else { return Ok(()) };
            let is_at_most_once = self.session.hears() & TAKES_AT_MOST_ONCE != 0;
            let bag = properties::write(self.device, &delivery);
            let id = self.handed.add(delivery.lock, Instant::now());
            self.pipe.put(&Packet::Publish(Publish {
                dup: false,
                qos: if is_at_most_once { Qos::AtMostOnce } else { Qos::AtLeastOnce },
                retain: false,
                topic: ByteString::from(format!(
                    "devices/{}/messages/devicebound/{bag}",
                    self.device
                )),
                id: (!is_at_most_once).then_some(id),
                payload: Bytes::from(delivery.message.body),
            }));
            if is_at_most_once {
                if self.pipe.flush().await.is_err() {
                    return Err(Ended::Gone(Gone::Closed));
                }
                let _ = self.session.settle(self.env, delivery.lock, Settlement::Complete).await?;
                self.handed.settled(id);
            }
        }
        Ok(())
    }

    /// Answers what a device asks about its twin, and takes its answers to methods.
    pub(super) async fn requested(
        &mut self,
        request: Request<'_>,
        payload: &[u8],
    ) -> Result<(), Ended> {
        let (request_id, outcome) = match request {
            Request::MethodAnswer { status, request_id } => {
                if payload.len() > methods::PAYLOAD_BYTES_MAX {
                    return Err(Ended::Misbehaved(Violation {
                        op: Op::ReceiveMethods,
                        packet: format!("PUBLISH $iothub/methods/res/{status}/"),
                        rule: format!(
                            "an answer to a method came with {} bytes; at most {} are taken",
                            payload.len(),
                            methods::PAYLOAD_BYTES_MAX
                        ),
                    }));
                }
                let payload = json(payload).unwrap_or_else(|_| {
                    // What is not JSON is handed on as text: the device's answer is not ours to judge.
                    Value::String(String::from_utf8_lossy(payload).into_owned())
                });
                self.called.answered(request_id, MethodAnswer { status, payload });
                return Ok(());
            }
            Request::GetTwin { request_id } => {
                let twin = self.session.twin(self.env).await?;
                (request_id, twin.map(|it| (200, None, it.to_string())))
            }
            Request::Report { request_id } => {
                let reported = match json(payload) {
                    Ok(patch) => self.session.report(self.env, &patch).await?,
                    Err(error) => Err(error),
                };
                (request_id, reported.map(|it| (204, Some(it), String::new())))
            }
        };
        if self.session.hears() & HEARS_TWIN == 0 {
            return Ok(());
        }
        let answer = match outcome {
            Ok((status, version, body)) => {
                topics::twin_answer(status, request_id, version, Bytes::from(body))
            }
            Err(error) => {
                let tracking = self.env.new_tracking_id();
                let body = error.body(Surface::Hub, tracking, self.env.now()).to_string();
                let status = error.status(Surface::Hub);
                topics::twin_answer(status, request_id, None, Bytes::from(body))
            }
        };
        self.pipe.put(&answer);
        Ok(())
    }

    /// Grants what the device may subscribe to.
    pub(super) async fn subscribed(
        &mut self,
        id: u16,
        filters: &[(String, Qos)],
    ) -> Result<(), Ended> {
        let mut all = self.session.hears();
        let mut granted = Vec::new();
        for (filter, qos) in filters {
            let qos = (*qos).min(Qos::AtLeastOnce);
            let found = Filter::parse(filter, self.device, self.module);
            granted.push(found.map(|_| qos));
            match found {
                Some(Filter::Interest(interest)) => {
                    all = Interests(all).with(interest).0;
                    if interest == Interest::Messages {
                        all = match qos {
                            Qos::AtMostOnce => all | TAKES_AT_MOST_ONCE,
                            Qos::AtLeastOnce | Qos::ExactlyOnce => all & !TAKES_AT_MOST_ONCE,
                        };
                    }
                }
                Some(Filter::TwinAnswers) => all |= HEARS_TWIN,
                Some(Filter::Inputs) | None => {}
            }
        }
        self.pipe.put(&Packet::SubAck { id, granted });
        self.hears(all, !self.is_clean).await
    }

    pub(super) async fn unsubscribed(&mut self, id: u16, filters: &[String]) -> Result<(), Ended> {
        let mut all = self.session.hears();
        for filter in filters {
            match Filter::parse(filter, self.device, self.module) {
                Some(Filter::Interest(interest)) => all = Interests(all).without(interest).0,
                Some(Filter::TwinAnswers) => all &= !HEARS_TWIN,
                Some(Filter::Inputs) | None => {}
            }
        }
        self.pipe.put(&Packet::UnsubAck(id));
        self.hears(all, !self.is_clean).await
    }
}

/// A payload as JSON; an empty one, or the blank that some clients send for it, is `null`.
fn json(payload: &[u8]) -> Result<Value, model::Error> {
    match payload.trim_ascii() {
        [] => Ok(Value::Null),
        text => model::json::parse(text).map_err(|it| model::Error::DeviceInvalid {
            at: "payload".into(),
            message: it.to_string(),
        }),
    }
}
