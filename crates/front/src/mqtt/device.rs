//! A device's connection: its messages into the hub's log, and their acknowledgements back.
//!
//! What one read brings goes into the log together, and the next is read while that is synced: a device may
//! have many messages under way. When the log cannot follow, nothing is read, and TCP holds the device up.

use super::names::{Named, Peer};
use super::pipe::{Fault, Pipe};
use super::topics::Topics;
use super::{About, Greeting, body_of, code_of, properties};
use crate::connections::DRAIN;
use bytes::Bytes;
use model::Op;
use model::operations::Surface;
use ops::devices::message::MESSAGE_BYTES_MAX;
use ops::devices::telemetry::Sent;
use ops::session::Ended;
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
/// Timers are set anew after so long at the latest: a signature may hold for a hundred years.
const LOOK_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Opens the session of a device and serves it to its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    greeting: &Greeting<'_>,
    named: &Named,
    mut pipe: Pipe<S>,
) {
    let Peer::Device { host, device } = &named.peer else { return };
    let topics = Topics::of(Surface::Hub, device);
    let will = greeting.connect.will.as_ref();
    if will.is_some_and(|it| it.qos == Qos::ExactlyOnce || topics.find(&it.topic).is_none()) {
        // A will is a message like any other: who may not send it now may not send it later.
        return pipe.refuse(ConnectCode::NotAuthorized).await;
    }
    let about = About {
        path: format!("/devices/{device}"),
        params: BTreeMap::from([("device", device.clone())]),
    };
    let request = format!("CONNECT {host}/{device}");
    let call = greeting.call(Op::ConnectDevice, named, request, about, body_of(Bytes::new()));
    let session = match ops::call::open(greeting.env, call).await {
        Ok(session) => session,
        Err(answer) => return pipe.refuse(code_of(&answer)).await,
    };
    pipe.put(&Packet::ConnAck { session_present: false, code: ConnectCode::Accepted });
    let mut connection = Connection {
        env: greeting.env,
        session,
        topics,
        pipe,
        under_way: VecDeque::new(),
        silence: greeting.silence(),
        heard: Instant::now(),
    };
    let ended = connection.run().await;
    // What was taken is acknowledged, or not: never lost in between.
    let _ = timeout(DRAIN, connection.settle()).await;
    if let Some(will) = will.filter(|_| ended.is_unwilling()) {
        connection.publish_will(will).await;
    }
    let Connection { env, session, pipe, .. } = connection;
    session.end(env, ended);
    pipe.close().await;
}

/// Messages of one read that are being synced, and the ids to acknowledge then.
struct UnderWay {
    sent: Pin<Box<dyn Future<Output = Result<(), model::Error>> + Send>>,
    ids: Vec<u16>,
}

struct Connection<'a, S> {
    env: &'a Env,
    session: Session,
    topics: Topics,
    pipe: Pipe<S>,
    under_way: VecDeque<UnderWay>,
    silence: Duration,
    heard: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    async fn run(&mut self) -> Ended {
        let mut alarm = pin!(sleep_until(self.next_look()));
        loop {
            if self.pipe.flush().await.is_err() {
                return Ended::Gone;
            }
            // Messages come first: each of them asks whether the session still stands.
            let went_on = tokio::select! {
                biased;
                synced = synced(&mut self.under_way), if !self.under_way.is_empty() => {
                    self.acknowledge(synced)
                }
                filled = self.pipe.fill(), if self.under_way.len() < UNDER_WAY_MAX => match filled {
                    Ok(()) => {
                        self.heard = Instant::now();
                        self.take().await
                    }
                    Err(fault) => Err(ended(fault)),
                },
                () = self.session.called() => self.session.stands(self.env).await,
                () = alarm.as_mut() => {
                    if self.heard.elapsed() >= self.silence {
                        return Ended::Gone;
                    }
                    let stands = self.session.stands(self.env).await;
                    alarm.as_mut().reset(self.next_look());
                    stands
                }
            };
            if let Err(ended) = went_on {
                return ended;
            }
        }
    }

    /// When silence would have lasted too long, or the device's signature ends.
    fn next_look(&self) -> Instant {
        let silent = self.heard + self.silence;
        let left_ms = self.session.expires().map_or(i64::MAX, |it| {
            // Just behind it: a signature holds to the end of its second.
            it.millis().saturating_sub(self.env.now().millis()).saturating_add(1_000)
        });
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)).min(LOOK_AGAIN);
        silent.min(Instant::now() + left)
    }

    /// Takes every packet that is there. What came before one that ends the connection still counts.
    async fn take(&mut self) -> Result<(), Ended> {
        let (mut records, mut ids) = (Vec::new(), Vec::new());
        let taken = loop {
            match self.pipe.next(PACKET_BYTES_MAX) {
                Ok(None) => break Ok(()),
                Ok(Some(Packet::Publish(publish))) => match self.record(&publish) {
                    Ok(record) => {
                        records.push(record);
                        ids.extend(publish.id);
                    }
                    Err(sentence) => {
                        self.env.metrics.count_early_refusal(400);
                        break Err(Ended::Misbehaved(sentence));
                    }
                },
                Ok(Some(packet)) => match self.answer(&packet) {
                    Ok(()) => {}
                    Err(ended) => break Err(ended),
                },
                Err(fault) => break Err(ended(fault)),
            }
        };
        if !records.is_empty() {
            let sent = self.session.send(self.env, records).await?;
            self.under_way.push_back(UnderWay { sent: Box::pin(Sent::synced(sent)), ids });
        }
        taken
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

    /// Answers what is not a message.
    fn answer(&mut self, packet: &Packet) -> Result<(), Ended> {
        match packet {
            Packet::PingReq => self.pipe.put(&Packet::PingResp),
            Packet::Subscribe { id, filters } => {
                // Nothing is sent to devices yet, so no filter can be granted.
                let granted = vec![None; filters.len()];
                self.pipe.put(&Packet::SubAck { id: *id, granted });
            }
            Packet::Unsubscribe { id, .. } => self.pipe.put(&Packet::UnsubAck(*id)),
            Packet::PubAck(_) => {}
            Packet::Disconnect => return Err(Ended::Orderly),
            Packet::Connect(_) => {
                return Err(Ended::Misbehaved("a second CONNECT came".to_owned()));
            }
            Packet::ConnAck { .. }
            | Packet::Publish(_)
            | Packet::SubAck { .. }
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Unsupported(_) => {
                return Err(Ended::Misbehaved("a packet came that no device sends".to_owned()));
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

    async fn publish_will(&mut self, will: &Will) {
        let record = self.record_of(&will.topic, &will.payload, will.retain, Some("Will"));
        if let Ok(record) = record
            && let Ok(sent) = self.session.send(self.env, vec![record]).await
        {
            // Nobody waits for it; it is in the log before the session gives its place back.
            let _ = sent.synced().await;
        }
    }
}

fn ended(fault: Fault) -> Ended {
    match fault {
        Fault::Gone => Ended::Gone,
        Fault::NotMqtt(because) => Ended::Misbehaved(because.to_string()),
    }
}

/// Waits for the oldest messages to be synced: the ids of all that are. Dropping the future loses none.
async fn synced(under_way: &mut VecDeque<UnderWay>) -> Result<Vec<u16>, model::Error> {
    poll_fn(|context| {
        let mut done = Vec::new();
        let mut is_any = false;
        while let Some(oldest) = under_way.front_mut() {
            match oldest.sent.as_mut().poll(context) {
                Poll::Ready(Ok(())) => {
                    done.append(&mut oldest.ids);
                    under_way.pop_front();
                    is_any = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        if is_any { Poll::Ready(Ok(done)) } else { Poll::Pending }
    })
    .await
}
