//! A device's connection: its messages into the hub's log, and their acknowledgements back.
//!
//! What one read brings goes into the log together, and the next is read while that is synced: a device may
//! have many messages under way. When the log cannot follow, nothing is read, and TCP holds the device up.

use super::names::{Named, Peer};
use super::pipe::{Fault, Pipe};
use super::topics::Topics;
use super::{About, Greeting, body_of, code_of, properties};
use crate::connections::{DRAIN, stopped};
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
use tokio::sync::watch;
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
    stop: watch::Receiver<bool>,
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
    let end = connection.run(stop).await;
    // What was taken is acknowledged, or not: never lost in between.
    let _ = timeout(DRAIN, connection.settle()).await;
    if let (End::Lost, Some(will)) = (&end, will) {
        connection.publish_will(will).await;
    }
    connection.pipe.close().await;
}

/// How a connection ended.
enum End {
    /// The device said that it would go, or may not go on, or the server stops.
    Orderly,
    /// The device is gone without a word, or what it sent was none.
    Lost,
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
    async fn run(&mut self, mut stop: watch::Receiver<bool>) -> End {
        let mut alarm = pin!(sleep_until(self.next_look()));
        loop {
            if self.pipe.flush().await.is_err() {
                return End::Lost;
            }
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return End::Orderly,
                synced = synced(&mut self.under_way), if !self.under_way.is_empty() => {
                    if self.acknowledge(synced).is_err() {
                        return End::Orderly;
                    }
                }
                () = self.session.called() => {
                    if self.session.stands(self.env).await.is_err() {
                        return End::Orderly;
                    }
                }
                filled = self.pipe.fill(), if self.under_way.len() < UNDER_WAY_MAX => {
                    if filled.is_err() {
                        return End::Lost;
                    }
                    self.heard = Instant::now();
                    if let Some(end) = self.take().await {
                        return end;
                    }
                }
                () = alarm.as_mut() => {
                    if self.heard.elapsed() >= self.silence {
                        return End::Lost;
                    }
                    if self.session.stands(self.env).await.is_err() {
                        return End::Orderly;
                    }
                    alarm.as_mut().reset(self.next_look());
                }
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

    /// Takes every packet that is there; the end of the connection, where one of them is it.
    async fn take(&mut self) -> Option<End> {
        let (mut records, mut ids) = (Vec::new(), Vec::new());
        let end = loop {
            match self.pipe.next(PACKET_BYTES_MAX) {
                Ok(None) => break None,
                Ok(Some(Packet::Publish(publish))) => match self.record(&publish) {
                    Some(record) => {
                        records.push(record);
                        ids.extend(publish.id);
                    }
                    None => {
                        self.env.metrics.count_early_refusal(400);
                        break Some(End::Lost);
                    }
                },
                Ok(Some(packet)) => {
                    if let Some(end) = self.answer(&packet) {
                        break Some(end);
                    }
                }
                Err(Fault::Gone | Fault::NotMqtt(_)) => break Some(End::Lost),
            }
        };
        if !records.is_empty() {
            match self.session.send(self.env, records).await {
                Ok(sent) => {
                    self.under_way.push_back(UnderWay { sent: Box::pin(Sent::synced(sent)), ids })
                }
                Err(Ended::TakenOver | Ended::Closed | Ended::Refused(_)) => {
                    return Some(End::Orderly);
                }
                Err(Ended::Failed(error)) => {
                    self.env.metrics.log_fault(self.env.new_tracking_id(), &error.cause());
                    return Some(End::Orderly);
                }
            }
        }
        end
    }

    /// A message as the log keeps it; `None` for what no hub takes.
    fn record(&self, publish: &Publish) -> Option<Bytes> {
        if publish.qos == Qos::ExactlyOnce {
            return None;
        }
        self.record_of(&publish.topic, &publish.payload, publish.retain, None)
    }

    fn record_of(
        &self,
        topic: &str,
        body: &[u8],
        retain: bool,
        kind: Option<&str>,
    ) -> Option<Bytes> {
        let topic = self.topics.find(topic).filter(|it| it.operation.op == Op::SendTelemetry)?;
        let mut draft = self.session.sender().message(topic.properties.len() + body.len());
        properties::read(topic.properties, &mut draft).ok()?;
        if retain {
            // A hub keeps no retained messages; readers learn that the device had asked for it.
            draft.application("mqtt-retain", Some("true")).ok()?;
        }
        if let Some(kind) = kind {
            draft.application("iothub-MessageType", Some(kind)).ok()?;
        }
        draft.finish(body).ok()
    }

    /// Answers what is not a message.
    fn answer(&mut self, packet: &Packet) -> Option<End> {
        match packet {
            Packet::PingReq => self.pipe.put(&Packet::PingResp),
            Packet::Subscribe { id, filters } => {
                // Nothing is sent to devices yet, so no filter can be granted.
                let granted = vec![None; filters.len()];
                self.pipe.put(&Packet::SubAck { id: *id, granted });
            }
            Packet::Unsubscribe { id, .. } => self.pipe.put(&Packet::UnsubAck(*id)),
            Packet::PubAck(_) => {}
            Packet::Disconnect => return Some(End::Orderly),
            Packet::Connect(_)
            | Packet::ConnAck { .. }
            | Packet::Publish(_)
            | Packet::SubAck { .. }
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Unsupported(_) => return Some(End::Lost),
        }
        None
    }

    /// Acknowledges what was synced; where that failed, nothing is acknowledged any more.
    fn acknowledge(&mut self, synced: Result<Vec<u16>, model::Error>) -> Result<(), ()> {
        match synced {
            Ok(ids) => {
                ids.into_iter().for_each(|it| self.pipe.put_ack(it));
                Ok(())
            }
            Err(error) => {
                self.env.metrics.log_fault(self.env.new_tracking_id(), &error.cause());
                Err(())
            }
        }
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
        if let Some(record) = record
            && let Ok(sent) = self.session.send(self.env, vec![record]).await
        {
            // Nobody waits for it; it is in the log before the session gives its place back.
            let _ = sent.synced().await;
        }
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
