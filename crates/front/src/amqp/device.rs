//! A device's part of a connection: how it comes, what it sends, how it goes.
//!
//! A device comes with its token and has a session from then on, whichever links it attaches. What one read
//! brings goes into the log together, and is settled once that is synced.

use super::address::Peer;
use super::asking::Asking;
use super::condition;
use super::driver::{Driver, Link};
use super::messages;
use ::amqp::{Condition, Delivery, LinkId, Outcome};
use model::{Credential, Op};
use ops::Session;
use ops::devices::messages::LOCK_S;
use ops::devices::methods::MethodAnswer;
use ops::devices::telemetry::Sent;
use ops::session::{Ended, Gone, Violation, Weighed};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

/// Most devices of a connection.
const DEVICES_MAX: usize = 1_024;

pub(super) struct Device {
    pub(super) session: Session,
    /// Of the deliveries that the last read brought.
    records: Vec<Weighed>,
    deliveries: Vec<(LinkId, u32)>,
    /// Messages that it was handed, by link and number.
    pub(super) handed: BTreeMap<(LinkId, u32), (Uuid, Instant)>,
    /// Methods that it has not answered.
    pub(super) called: BTreeMap<Uuid, oneshot::Sender<MethodAnswer>>,
}

impl Device {
    /// When the first message may be handed out again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.handed.values().map(|(_, since)| *since + held_for()).min()
    }

    /// Forgets what was not settled in time.
    pub(super) fn forget_old(&mut self) {
        let now = Instant::now();
        self.handed.retain(|_, (_, since)| now < *since + held_for());
    }
}

/// Just longer than the lock.
fn held_for() -> Duration {
    Duration::from_secs(u64::try_from(LOCK_S).unwrap_or(60) + 1)
}

/// Messages of one read that are being synced, and what to settle then.
pub(super) struct UnderWay {
    sent: Pin<Box<dyn Future<Output = Result<(), model::Error>> + Send>>,
    whose: Whose,
    deliveries: Vec<(LinkId, u32)>,
}

/// Who has sent what is being synced.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Whose {
    Device(Peer),
    /// Whoever holds it.
    Link(LinkId),
}

impl UnderWay {
    pub(super) fn of_link(link: LinkId, sent: Sent, deliveries: Vec<(LinkId, u32)>) -> Self {
        Self { sent: Box::pin(sent.synced()), whose: Whose::Link(link), deliveries }
    }
}

/// Deliveries that are synced, or why they are not.
pub(super) type Synced = Result<Vec<(LinkId, u32)>, (Whose, model::Error)>;

impl Driver<'_> {
    /// Opens the session of a device, or lets the one that it has go on by the new credential.
    ///
    /// # Errors
    /// The status as HTTP would have it, and the condition.
    pub(super) async fn connect(
        &mut self,
        peer: Peer,
        host: &str,
        credential: Credential,
    ) -> Result<(), (u16, Condition)> {
        if let Some(device) = self.devices.get_mut(&peer) {
            match device.session.renew(self.env, credential.clone()).await {
                Ok(()) => return Ok(()),
                Err(Ended::Refused(refused)) => {
                    let (error, tracking) = *refused;
                    let status = error.status(model::operations::Surface::Hub);
                    // The former credential still counts, where it does.
                    if let Err(ended) = device.session.stands(self.env).await {
                        self.end_device(&peer, ended, true).await;
                    }
                    return Err((status, condition::of(&error, tracking)));
                }
                Err(over) => self.end_device(&peer, over, true).await,
            }
        }
        if self.devices.len() >= DEVICES_MAX {
            let what = format!("a connection serves at most {DEVICES_MAX} devices");
            return Err((403, Condition::new("amqp:resource-limit-exceeded", what)));
        }
        let asking = Asking {
            op: Op::ConnectDevice,
            host: host.to_owned(),
            verb: "PUT-TOKEN",
            path: peer.path(),
            params: peer.params(),
            credential,
        };
        let opened = Box::pin(ops::call::open(self.env, self.call(asking))).await;
        let mut session =
            opened.map_err(|answer| (answer.status, condition::of_answer(&answer)))?;
        // What it asked to be told of over MQTT is not asked for here.
        if session.hears() != 0
            && let Err(ended) = session.listen(self.env, 0, false).await
        {
            let why = condition::of_end(&ended);
            session.end(self.env, ended).await;
            return Err((401, why));
        }
        self.proven();
        let device = Device {
            session,
            records: Vec::new(),
            deliveries: Vec::new(),
            handed: BTreeMap::new(),
            called: BTreeMap::new(),
        };
        self.devices.insert(peer, device);
        Ok(())
    }

    /// Takes what a device sends; it is kept with all else that the read brought.
    pub(super) fn sent(&mut self, link: LinkId, peer: &Peer, delivery: Delivery) {
        let Some(device) = self.devices.get_mut(peer) else { return };
        let Delivery { id, settled, format, payload, .. } = delivery;
        let refused = match messages::records(device.session.sender(), payload, format) {
            Ok(records) => match device.session.weigh_all(self.env, records) {
                Ok(mut records) => {
                    device.records.append(&mut records);
                    if !settled {
                        device.deliveries.push((link, id));
                    }
                    return;
                }
                Err(limited) => condition::of(&limited, self.env.new_tracking_id()),
            },
            Err(because) => {
                self.env.metrics.count_early_refusal(400);
                Condition::new("com.microsoft:argument-error", messages::described(&because))
            }
        };
        if !settled {
            self.engine.settle(link, id, Outcome::Rejected(Some(refused)));
        }
    }

    /// Puts what came into the log.
    pub(super) async fn keep_records(&mut self) {
        let mut over = Vec::new();
        for (peer, device) in &mut self.devices {
            let records = std::mem::take(&mut device.records);
            let deliveries = std::mem::take(&mut device.deliveries);
            if records.is_empty() {
                // An empty batch is kept at once.
                for (link, id) in deliveries {
                    self.engine.settle(link, id, Outcome::Accepted);
                }
                continue;
            }
            match device.session.send(self.env, records).await {
                Ok(sent) => {
                    self.held = self.held.max(device.session.held_until(self.env));
                    self.under_way.push_back(UnderWay {
                        sent: Box::pin(sent.synced()),
                        whose: Whose::Device(peer.clone()),
                        deliveries,
                    });
                }
                Err(ended) => over.push((peer.clone(), ended)),
            }
        }
        for (peer, ended) in over {
            self.end_device(&peer, ended, true).await;
        }
    }

    /// Settles what was synced. Where that failed the device's session, or the link, is over, and nothing of it is settled.
    pub(super) async fn acknowledge(&mut self, synced: Synced) {
        match synced {
            Ok(deliveries) => {
                for (link, id) in deliveries {
                    if self.links.contains_key(&link) {
                        self.engine.settle(link, id, Outcome::Accepted);
                    }
                }
            }
            Err((Whose::Device(peer), error)) => {
                self.end_device(&peer, Ended::Failed(error), true).await;
            }
            Err((Whose::Link(link), error)) => {
                self.drop_link(link, condition::of_end(&Ended::Failed(error))).await;
            }
        }
    }

    /// What a device's session ended with, where its connection is over.
    pub(super) fn ended(&self, served: Result<(), Gone>) -> Ended {
        match (&self.fault, served) {
            (Some(fault), _) => Ended::Misbehaved(Violation {
                op: Op::ConnectDevice,
                packet: format!("a frame: {}", fault.condition),
                rule: fault.description.clone().unwrap_or_default(),
            }),
            (None, Ok(())) => Ended::Orderly,
            (None, Err(gone)) => Ended::Gone(gone),
        }
    }

    /// Ends the session of a device, and its links where the client is still there to hear of it.
    pub(super) async fn end_device(&mut self, peer: &Peer, ended: Ended, is_told: bool) {
        let Some(device) = self.devices.remove(peer) else { return };
        let locks: Vec<Uuid> = device.handed.values().map(|(lock, _)| *lock).collect();
        device.session.release(self.env, locks).await;
        let its = self.links.iter().filter(|(_, it)| it.peer() == Some(peer)).map(|(id, _)| *id);
        for link in its.collect::<Vec<_>>() {
            self.links.remove(&link);
            if is_told {
                self.engine.detach(link, Some(condition::of_end(&ended)));
            }
        }
        device.session.end(self.env, ended).await;
    }
}

impl Link {
    /// Whose it is, where it is a device's.
    pub(super) fn peer(&self) -> Option<&Peer> {
        match self {
            Self::Telemetry(peer)
            | Self::DeviceBound { peer, .. }
            | Self::MethodCalls { peer, .. }
            | Self::MethodAnswers(peer)
            | Self::TwinRequests { peer, .. }
            | Self::TwinAnswers { peer, .. } => Some(peer),
            Self::Requests(_)
            | Self::Replies { .. }
            | Self::RegistrationRequests(_)
            | Self::RegistrationAnswers { .. }
            | Self::ServiceSend(_)
            | Self::Queue(_)
            | Self::Events(_)
            | Self::BusSend(_)
            | Self::BusQueue(_)
            | Self::EventSend(_) => None,
        }
    }
}

/// Waits for the oldest messages to be synced. Dropping the future loses none.
///
/// After an error nothing of that device is under way any more: what came behind what failed is not settled.
pub(super) async fn synced(under_way: &mut VecDeque<UnderWay>) -> Synced {
    poll_fn(|context| {
        let Some(oldest) = under_way.front_mut() else { return Poll::Pending };
        let Poll::Ready(outcome) = oldest.sent.as_mut().poll(context) else {
            return Poll::Pending;
        };
        let deliveries = std::mem::take(&mut oldest.deliveries);
        let whose = oldest.whose.clone();
        under_way.pop_front();
        Poll::Ready(match outcome {
            Ok(()) => Ok(deliveries),
            Err(error) => {
                under_way.retain(|it| it.whose != whose);
                Err((whose, error))
            }
        })
    })
    .await
}
