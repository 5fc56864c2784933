//! A device's connection: its messages into the hub's log and their acknowledgements back, its twin, methods
//! that services call, messages that they send.
//!
//! What one read brings goes into the log together, and the next is read while that is synced: a device may
//! have many messages under way. When the log cannot follow, nothing is read, and TCP holds the device up.

mod talk;

use super::names::{Named, Peer};
use super::pipe::{Fault, Pipe};
use super::topics::{Request, Topics};
use super::under_way::{Called, Handed};
use super::{About, Greeting, Waiting, code_of, properties};
use crate::connections::DRAIN;
use bytes::Bytes;
use model::operations::Surface;
use model::{Op, Timestamp};
use ops::call::body_of;
use ops::devices::message::MESSAGE_BYTES_MAX;
use ops::devices::messages::Settlement;
use ops::devices::presence::Told;
use ops::devices::telemetry::Sent;
use ops::session::{Ended, Gone, Violation, Weighed};
use ops::{Env, Session};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use wire::mqtt::{ConnectCode, Packet, Publish, Qos, Will};

/// Largest packet: a message, and its topic.
const PACKET_BYTES_MAX: usize = MESSAGE_BYTES_MAX + (16 << 10);
/// How many reads may wait for their sync.
const UNDER_WAY_MAX: usize = 16;
/// A device that is held up is looked at so often: the server's clock may leap.
const LOOK_WHILE_HELD: Duration = Duration::from_secs(1);
/// Timers are set anew after so long at the latest: a signature may hold for a hundred years.
const LOOK_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Opens the session of a device and serves it to its end. `waiting` is its place among those who have not
/// proven themselves.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    greeting: &Greeting<'_>,
    named: &Named,
    pipe: Pipe<S>,
    waiting: Waiting,
) {
    let Peer::Device { host, device, module } = &named.peer else { return };
    let mut about = About {
        path: format!("/devices/{device}"),
        params: BTreeMap::from([("device", device.clone())]),
    };
    let mut request = format!("CONNECT {host}/{device}");
    if let Some(module) = module {
        about.path = format!("/devices/{device}/modules/{module}");
        about.params.insert("module", module.clone());
        request = format!("{request}/{module}");
    }
    let call = greeting.call(Op::ConnectDevice, named, request, about, body_of(Bytes::new()));
    // Apart, as all that is done once or seldom: thousands wait here, each with the memory for its largest way on.
    let session = match Box::pin(ops::call::open(greeting.env, call)).await.map(Box::new) {
        Ok(session) => session,
        Err(answer) => return pipe.refuse(code_of(&answer)).await,
    };
    waiting.over();
    let mut connection = Connection {
        env: greeting.env,
        session,
        device,
        module: module.as_deref(),
        topics: Topics::of(Surface::Hub, device, module.as_deref()),
        pipe,
        under_way: VecDeque::new(),
        handed: Handed::default(),
        called: Called::default(),
        is_clean: greeting.connect.clean_session,
        silence: greeting.silence(),
        heard: Instant::now(),
        held: None,
    };
    // A will is a message like any other: who may not send it now may not send it later.
    let will = match greeting.connect.will.as_ref().map(|it| connection.will(it)).transpose() {
        Ok(will) => will,
        Err(rule) => {
            let Connection { env, session, pipe, .. } = connection;
            let violation =
                Violation { op: Op::SendTelemetry, packet: "CONNECT with a will".to_owned(), rule };
            Box::pin(session.end(env, Ended::Misbehaved(violation))).await;
            return pipe.refuse(ConnectCode::NotAuthorized).await;
        }
    };
    let ended = connection.run().await;
    Box::pin(connection.session.release(connection.env, connection.handed.locks())).await;
    // What was taken is acknowledged, or not: never lost in between.
    let _ = timeout(DRAIN, connection.settle()).await;
    if let Some(will) = will.filter(|_| ended.is_unwilling()) {
        Box::pin(connection.publish_will(will)).await;
    }
    let Connection { env, session, pipe, .. } = connection;
    Box::pin(session.end(env, ended)).await;
    pipe.close().await;
}

/// Messages of one read that are being synced, and the ids to acknowledge then.
struct UnderWay {
    sent: Pin<Box<dyn Future<Output = Result<(), model::Error>> + Send>>,
    ids: Vec<u16>,
}

struct Connection<'a, S> {
    env: &'a Env,
    session: Box<Session>,
    device: &'a str,
    module: Option<&'a str>,
    topics: Topics,
    pipe: Pipe<S>,
    under_way: VecDeque<UnderWay>,
    handed: Handed,
    called: Called,
    /// Nothing of this session is to be remembered for the next.
    is_clean: bool,
    silence: Duration,
    heard: Instant,
    /// Until when nothing is read: devices have sent more than their hub takes.
    held: Option<Timestamp>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    async fn run(&mut self) -> Ended {
        // A client may go on behind its CONNECT without waiting for the answer.
        let begun = match Box::pin(self.resume()).await {
            Ok(()) => self.take().await,
            Err(ended) => Err(ended),
        };
        if let Err(ended) = begun {
            let _ = self.pipe.flush().await;
            return ended;
        }
        let mut alarm = pin!(sleep_until(self.next_look()));
        loop {
            if self.pipe.flush().await.is_err() {
                return Ended::Gone(Gone::Closed);
            }
            // Messages come first: each of them asks whether the session still stands.
            let went_on = tokio::select! {
                biased;
                synced = synced(&mut self.under_way), if !self.under_way.is_empty() => {
                    self.acknowledge(synced)
                }
                filled = self.pipe.fill(), if self.listens() => match filled {
                    Ok(()) => {
                        self.heard = Instant::now();
                        let taken = self.take().await;
                        if self.held.is_some() {
                            alarm.as_mut().reset(self.next_look());
                        }
                        taken
                    }
                    Err(fault) => Err(ended(fault)),
                },
                told = self.session.told() => match told {
                    Told::Look => self.session.stands(self.env).await,
                    Told::Notice(notice) => {
                        let heard = Box::pin(self.hear(notice)).await;
                        alarm.as_mut().reset(self.next_look());
                        heard
                    }
                },
                () = alarm.as_mut() => {
                    // Who is not listened to cannot be told silent.
                    if self.listens() && self.heard.elapsed() >= self.silence {
                        return Ended::Gone(Gone::Silent);
                    }
                    if self.held.is_some_and(|it| it <= self.env.now()) {
                        self.held = None;
                        self.heard = Instant::now();
                    }
                    let stands = match self.handed.forget_old(Instant::now()) {
                        // They wait for the device again.
                        true => Box::pin(self.deliver()).await,
                        false => self.session.stands(self.env).await,
                    };
                    alarm.as_mut().reset(self.next_look());
                    stands
                }
            };
            if let Err(ended) = went_on {
                return ended;
            }
        }
    }

    /// Whether the device is read from.
    fn listens(&self) -> bool {
        self.under_way.len() < UNDER_WAY_MAX && self.held.is_none()
    }

    /// When silence would have lasted too long, the device's signature ends, or it has been held up for long enough.
    fn next_look(&self) -> Instant {
        let now = Instant::now();
        let next = match self.held {
            None => self.heard + self.silence,
            Some(until) => now + self.left_until(until, 0).min(LOOK_WHILE_HELD),
        };
        // Just behind its end: a signature holds to the end of its second.
        let left = self.session.expires().map_or(LOOK_AGAIN, |it| self.left_until(it, 1_000));
        let next = next.min(now + left.min(LOOK_AGAIN));
        self.handed.next_look().map_or(next, |it| next.min(it))
    }

    /// How long it is by the server's clock until so many milliseconds after a time.
    fn left_until(&self, time: Timestamp, after_ms: i64) -> Duration {
        let left_ms = time.millis().saturating_sub(self.env.now().millis());
        Duration::from_millis(u64::try_from(left_ms.saturating_add(after_ms)).unwrap_or(0))
    }

    /// Takes every packet that is there. What came before one that ends the connection still counts.
    async fn take(&mut self) -> Result<(), Ended> {
        let (mut records, mut ids) = (Vec::new(), Vec::new());
        let taken = loop {
            let packet = match self.pipe.next(PACKET_BYTES_MAX) {
                Ok(Some(packet)) => packet,
                Ok(None) => break Ok(()),
                Err(fault) => break Err(ended(fault)),
            };
            let taken = if let Packet::Publish(publish) = &packet {
                // What was not taken is not acknowledged.
                let published = self.published(publish, &mut records).await;
                published.map(|()| ids.extend(publish.id))
            } else {
                Box::pin(self.answer(&packet)).await
            };
            if taken.is_err() {
                break taken;
            }
        };
        if !records.is_empty() {
            let sent = self.session.send(self.env, records).await?;
            self.held = self.session.held_until(self.env);
            self.under_way.push_back(UnderWay { sent: Box::pin(Sent::synced(sent)), ids });
            return taken;
        }
        // Acknowledgements keep their order, also those of what is not kept.
        if !ids.is_empty() {
            self.under_way.push_back(UnderWay { sent: Box::pin(async { Ok(()) }), ids });
        }
        self.session.stands(self.env).await?;
        taken
    }

    /// Takes what the device publishes: a message for the log becomes a record, a request is answered.
    async fn published(
        &mut self,
        publish: &Publish,
        records: &mut Vec<Weighed>,
    ) -> Result<(), Ended> {
        if publish.qos != Qos::ExactlyOnce
            && let Some(request) = Request::parse(&publish.topic)
        {
            return Box::pin(self.requested(request, &publish.payload)).await;
        }
        match self.record(publish) {
            Ok(record) => {
                records.push(self.session.weigh(self.env, record)?);
                Ok(())
            }
            Err(rule) => {
                self.env.metrics.count_early_refusal(400);
                let packet = format!("PUBLISH {}", crate::path::shown(&publish.topic));
                Err(Ended::Misbehaved(Violation { op: Op::SendTelemetry, packet, rule }))
            }
        }
    }

    /// A message as the log keeps it, or what is wrong with it.
    fn record(&self, publish: &Publish) -> Result<Bytes, String> {
        if publish.qos == Qos::ExactlyOnce {
            return Err("a message came with QoS 2, which a hub does not have".to_owned());
        }
        self.record_of(&publish.topic, &publish.payload, publish.retain, None)
    }

    fn record_of(
        &self,
        topic: &str,
        body: &[u8],
        retain: bool,
        kind: Option<&str>,
    ) -> Result<Bytes, String> {
        let found = self.topics.find(topic).filter(|it| it.operation.op == Op::SendTelemetry);
        let properties = found.map(|it| it.properties).ok_or_else(|| {
            format!("the device may not publish to `{}`", crate::path::shown(topic))
        })?;
        let mut draft = self.session.sender().message(properties.len() + body.len());
        properties::read(properties, &mut draft).map_err(|it| it.to_string())?;
        let flags = [
            // A hub keeps no retained messages; readers learn that the device had asked for it.
            ("mqtt-retain", retain.then_some("true")),
            ("iothub-MessageType", kind),
        ];
        for (name, value) in flags.into_iter().filter(|(_, it)| it.is_some()) {
            draft.application(name, value).map_err(|it| it.to_string())?;
        }
        draft.finish(body).map_err(|it| it.to_string())
    }

    /// Answers what is not published.
    async fn answer(&mut self, packet: &Packet) -> Result<(), Ended> {
        match packet {
            Packet::PingReq => self.pipe.put(&Packet::PingResp),
            Packet::Subscribe { id, filters } => return self.subscribed(*id, filters).await,
            Packet::Unsubscribe { id, filters } => return self.unsubscribed(*id, filters).await,
            Packet::PubAck(id) => {
                if let Some(lock) = self.handed.lock(*id) {
                    // Whose time was over waits for the device again.
                    let _ = self.session.settle(self.env, lock, Settlement::Complete).await?;
                    self.handed.settled(*id);
                    return self.deliver().await;
                }
            }
            Packet::Disconnect => return Err(Ended::Orderly),
            Packet::Connect(_) => {
                return Err(unexpected("CONNECT", "a connection has one CONNECT, and it had come"));
            }
            Packet::ConnAck { .. }
            | Packet::Publish(_)
            | Packet::SubAck { .. }
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Unsupported(_) => {
                return Err(unexpected("a packet of a server's", "no device sends such a packet"));
            }
        }
        Ok(())
    }

    /// Acknowledges what was synced; where that failed, nothing is acknowledged any more.
    fn acknowledge(&mut self, synced: Result<Vec<u16>, model::Error>) -> Result<(), Ended> {
        let ids = synced.map_err(Ended::Failed)?;
        ids.into_iter().for_each(|it| self.pipe.put_ack(it));
        Ok(())
    }

    async fn settle(&mut self) {
        while !self.under_way.is_empty() {
            let synced = synced(&mut self.under_way).await;
            if self.acknowledge(synced).is_err() || self.pipe.flush().await.is_err() {
                return;
            }
        }
    }

    /// The device's last message, as the log would keep it, or what is wrong with it.
    fn will(&self, will: &Will) -> Result<Bytes, String> {
        if will.qos == Qos::ExactlyOnce {
            return Err("it asks for QoS 2, which a hub does not have".to_owned());
        }
        self.record_of(&will.topic, &will.payload, will.retain, Some("Will"))
    }

    async fn publish_will(&mut self, record: Bytes) {
        if let Ok(sent) = self.session.send_will(self.env, record).await {
            // Nobody waits for it; it is in the log before the session gives its place back.
            let _ = sent.synced().await;
        }
    }
}

fn ended(fault: Fault) -> Ended {
    match fault {
        Fault::Gone => Ended::Gone(Gone::Closed),
        Fault::NotMqtt(because) => unexpected("bytes", &because.to_string()),
    }
}

/// What has no place in a session.
fn unexpected(packet: &str, rule: &str) -> Ended {
    let (packet, rule) = (packet.to_owned(), rule.to_owned());
    Ended::Misbehaved(Violation { op: Op::ConnectDevice, packet, rule })
}

/// Waits for the oldest messages to be synced: the ids of all that are. Dropping the future loses none.
///
/// After an error nothing is under way any more: what came behind what failed is not acknowledged either.
async fn synced(under_way: &mut VecDeque<UnderWay>) -> Result<Vec<u16>, model::Error> {
    poll_fn(|context| {
        let mut done = Vec::new();
        let mut is_any = false;
        while let Some(oldest) = under_way.front_mut() {
            let Poll::Ready(outcome) = oldest.sent.as_mut().poll(context) else { break };
            if let Err(error) = outcome {
                under_way.clear();
                return Poll::Ready(Err(error));
            }
            done.append(&mut oldest.ids);
            under_way.pop_front();
            is_any = true;
        }
        if is_any { Poll::Ready(Ok(done)) } else { Poll::Pending }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn behind_messages_that_could_not_be_kept_none_is_acknowledged() {
        let waits = |outcome: Result<(), model::Error>, ids: &[u16]| UnderWay {
            sent: Box::pin(async { outcome }),
            ids: ids.to_vec(),
        };
        let full = model::Error::Internal { message: "the disk is full".into() };
        let mut under_way = VecDeque::from([waits(Ok(()), &[1, 2]), waits(Ok(()), &[3])]);
        assert_eq!(synced(&mut under_way).await, Ok(vec![1, 2, 3]));
        under_way.extend([waits(Err(full.clone()), &[4]), waits(Ok(()), &[5])]);
        assert_eq!(synced(&mut under_way).await, Err(full));
        assert!(under_way.is_empty());
    }
}
