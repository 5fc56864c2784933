//! One connection from its first byte to its last: what comes is taken, what is due is written.
//!
//! All that the connection serves lives in one task. It waits for bytes, for messages to be synced, for its
//! devices and readers to be told something, and for time to pass, and does one thing after the other. While
//! much waits to be written or synced nothing is read, and TCP holds the client up.

use super::address::{Audience, Peer, Place, Registrant};
use super::bus::{BusQueue, BusSend};
use super::claims::Claims;
use super::condition;
use super::device::{Device, UnderWay, synced};
use super::events::{EventSend, Events};
use super::sasl::{MECHANISMS, Tpm};
use super::service::Queue;
use super::waits::{Woken, first, waits};
use crate::connections::{DRAIN, stopped};
use crate::scratch;
use crate::sessions::{Client, Waiting};
use ::amqp::{Condition, Connection, Event, LinkId};
use bytes::{Bytes, BytesMut};
use model::operations::Surface;
use model::security::TlsVersion;
use model::{Credential, Timestamp};
use ops::Env;
use ops::devices::message::MESSAGE_BYTES_MAX;
use ops::devices::presence::Told;
use ops::session::Gone;
use ops::targets::{event_hubs, service_bus};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// Largest message of a device or of a service of a hub: what a hub takes, and its sections.
const PAYLOAD_BYTES_MAX: usize = MESSAGE_BYTES_MAX + (16 << 10);
/// With so many bytes to be written nothing more is read, nor sent to readers.
pub(super) const OUTGOING_BYTES_MAX: usize = 512 << 10;
/// How many reads may wait for their sync.
pub(super) const UNDER_WAY_MAX: usize = 16;
/// How many messages a client may send over a link before it hears that there is room for more.
pub(super) const CREDIT: u32 = 256;
/// Most tokens that are refused before one is taken.
const REFUSALS_MAX: usize = 16;
/// Most answers that wait for a link on which the client takes none.
const OUTBOX_MAX: usize = 128;

/// What a link does.
pub(super) enum Link {
    /// The client asks there.
    Requests(Place),
    /// It hears there what it asked; `to` is what it calls the place.
    Replies {
        desk: Place,
        to: String,
        out: Outbox,
    },
    Telemetry(Peer),
    DeviceBound {
        peer: Peer,
        is_settled: bool,
    },
    MethodCalls {
        peer: Peer,
        out: Outbox,
    },
    MethodAnswers(Peer),
    TwinRequests {
        peer: Peer,
        pair: String,
    },
    TwinAnswers {
        peer: Peer,
        pair: String,
        out: Outbox,
    },
    /// A device asks to be registered, and how far that is.
    RegistrationRequests(Registrant),
    RegistrationAnswers {
        registrant: Registrant,
        out: Outbox,
    },
    /// A service sends to devices.
    ServiceSend(Box<ops::link::Link>),
    Queue(Box<Queue>),
    Events(Box<Events>),
    /// A client sends to an event hub.
    EventSend(Box<EventSend>),
    /// A client sends to a queue or a topic.
    BusSend(Box<BusSend>),
    /// It receives from a queue or a subscription.
    BusQueue(Box<BusQueue>),
}

/// What waits for a link's credit.
pub(super) type Outbox = VecDeque<Bytes>;

pub(super) struct Driver<'a> {
    pub(super) env: &'a Arc<Env>,
    pub(super) peer: IpAddr,
    pub(super) tls: Option<TlsVersion>,
    pub(super) local: SocketAddr,
    /// What its handshake has shown.
    pub(super) own: Credential,
    pub(super) engine: Connection,
    pub(super) claims: Claims,
    /// Who said with SASL that it registers, and what it has shown for that.
    pub(super) registers: Option<(Registrant, Credential)>,
    /// How far a device with a TPM has come with SASL.
    pub(super) tpm: Option<Box<Tpm>>,
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) devices: BTreeMap<Peer, Device>,
    pub(super) under_way: VecDeque<UnderWay>,
    /// Its place among those who have not proven themselves.
    pub(super) waiting: Option<Waiting>,
    refusals: usize,
    /// What the client did that AMQP does not have.
    pub(super) fault: Option<Condition>,
    pub(super) began: Instant,
    pub(super) heard: Instant,
    pub(super) spoke: Instant,
    /// Since when something waits to be written.
    pub(super) stuck: Option<Instant>,
    /// Until when nothing is read: devices have sent more than their hub takes.
    pub(super) held: Option<Timestamp>,
    out: BytesMut,
}

impl<'a> Driver<'a> {
    pub(super) fn new(env: &'a Arc<Env>, client: Client, waiting: Waiting) -> Self {
        let Client { peer, local, certificate, tls } = client;
        // A device whose handshake has shown a certificate need put no token.
        let own = certificate.map_or(Credential::None, Credential::Certificate);
        let now = Instant::now();
        Self {
            env,
            peer,
            tls,
            local,
            own,
            engine: Connection::new("hubward".into(), MECHANISMS, payload_bytes_max(env, local)),
            claims: Claims::default(),
            registers: None,
            tpm: None,
            links: BTreeMap::new(),
            devices: BTreeMap::new(),
            under_way: VecDeque::new(),
            waiting: Some(waiting),
            refusals: 0,
            fault: None,
            began: now,
            heard: now,
            spoke: now,
            stuck: None,
            held: None,
            out: BytesMut::new(),
        }
    }

    pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        mut self,
        stream: S,
        mut stop: watch::Receiver<bool>,
    ) {
        let (mut reader, mut writer) = split(stream);
        let served = self.serve(&mut reader, &mut writer, &mut stop).await;
        let _ = timeout(DRAIN, self.last_words(&mut writer)).await;
        for peer in self.devices.keys().cloned().collect::<Vec<_>>() {
            let ended = self.ended(served);
            self.end_device(&peer, ended, false).await;
        }
        let _ = timeout(Duration::from_secs(1), writer.shutdown()).await;
    }

    /// Serves the client to the end of what it says: well where it meant to go, or we did.
    async fn serve(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Gone> {
        let mut versions = self.env.facts.versions();
        let mut alarm = pin!(sleep_until(self.next_look()));
        let mut is_flushed = true;
        while !self.engine.is_over() {
            // Asked here as well: whoever sends without end keeps all else below from its turn.
            if !self.in_time() {
                return Err(Gone::Silent);
            }
            if *stop.borrow() {
                break;
            }
            self.collect();
            is_flushed &= self.out.is_empty();
            let has_room = self.listens() && self.out.len() < OUTGOING_BYTES_MAX;
            let Self { devices, links, engine, out, under_way, .. } = self;
            let all = waits(devices, links, engine);
            tokio::select! {
                biased;
                acks = synced(under_way), if !under_way.is_empty() => self.acknowledge(acks).await,
                wrote = write(writer, out), if !is_flushed => match wrote {
                    Ok(()) => {
                        is_flushed = self.out.is_empty();
                        self.spoke = Instant::now();
                        self.stuck = None;
                        self.pump_all().await;
                    }
                    Err(_) => return Err(Gone::Closed),
                },
                is_there = scratch::read(reader, |bytes| engine.feed(bytes)), if has_room => {
                    if !is_there {
                        return Err(Gone::Closed);
                    }
                    self.heard = Instant::now();
                    self.take().await;
                    alarm.as_mut().reset(self.next_look());
                }
                woken = first(all) => {
                    self.wake(woken).await;
                    alarm.as_mut().reset(self.next_look());
                }
                Ok(()) = versions.changed() => {
                    // Devices are told of what concerns them.
                    self.look_at_links().await;
                }
                () = alarm.as_mut() => {
                    self.look().await;
                    alarm.as_mut().reset(self.next_look());
                }
                () = stopped(stop) => break,
            }
        }
        let why = Condition::new("amqp:connection:forced", "the server is stopping");
        self.engine.close(Some(why));
        Ok(())
    }

    /// Takes all that has come.
    async fn take(&mut self) {
        while let Some(event) = self.engine.next_event() {
            match event {
                Event::Sasl { mechanism, response } => {
                    self.sasl(&mechanism, response.as_ref()).await;
                }
                Event::SaslResponse(response) => self.sasl_response(&response).await,
                Event::Opened(_) | Event::Closed(_) => {}
                Event::Failed(fault) => self.fault = Some(fault),
                Event::Attached { link, attach } => self.attached(link, *attach).await,
                Event::Credit { link, drain } => {
                    self.pump(link).await;
                    if drain {
                        self.engine.drained(link);
                    }
                }
                Event::Delivery { link, delivery } => self.delivered(link, delivery).await,
                Event::Settled { link, id, outcome, is_awaited } => {
                    match self.links.get_mut(&link) {
                        Some(Link::BusQueue(queue)) => queue.settled(id, outcome, is_awaited),
                        _ => self.settled(link, id, outcome).await,
                    }
                }
                Event::Detached { link, .. } => self.detached(link).await,
            }
            self.collect();
        }
        self.keep_records().await;
        self.bus_came().await;
    }

    async fn delivered(&mut self, link: LinkId, delivery: ::amqp::Delivery) {
        match self.links.get(&link) {
            Some(Link::Requests(desk)) => {
                let desk = desk.clone();
                self.requested(link, &desk, delivery).await;
            }
            Some(Link::Telemetry(peer)) => {
                let peer = peer.clone();
                self.sent(link, &peer, delivery);
            }
            Some(Link::MethodAnswers(peer)) => {
                let peer = peer.clone();
                self.method_answered(link, &peer, delivery);
            }
            Some(Link::TwinRequests { peer, pair }) => {
                let (peer, pair) = (peer.clone(), pair.clone());
                self.twin_asked(link, &peer, &pair, delivery).await;
            }
            Some(Link::RegistrationRequests(registrant)) => {
                let registrant = registrant.clone();
                self.registration_asked(link, &registrant, delivery).await;
            }
            Some(Link::ServiceSend(_)) => self.service_sent(link, delivery).await,
            Some(Link::EventSend(_)) => self.events_sent(link, delivery).await,
            Some(Link::BusSend(_)) => self.bus_sent(link, delivery),
            Some(
                Link::Replies { .. }
                | Link::RegistrationAnswers { .. }
                | Link::DeviceBound { .. }
                | Link::MethodCalls { .. }
                | Link::TwinAnswers { .. }
                | Link::Queue(_)
                | Link::BusQueue(_)
                | Link::Events(_),
            )
            | None => {}
        }
        let left = self.engine.credit(link);
        if left < CREDIT / 2 {
            self.engine.grant(link, CREDIT - left);
        }
    }

    /// Sends something over a link, now or once the client takes it. A client that lets too much wait loses the
    /// link.
    pub(super) async fn tell(&mut self, link: LinkId, payload: Bytes) {
        let out = match self.links.get_mut(&link) {
            Some(
                Link::Replies { out, .. }
                | Link::MethodCalls { out, .. }
                | Link::RegistrationAnswers { out, .. }
                | Link::TwinAnswers { out, .. },
            ) => out,
            _ => return,
        };
        if out.len() >= OUTBOX_MAX {
            let what = format!("more than {OUTBOX_MAX} answers wait for credit");
            return self
                .drop_link(link, Condition::new("amqp:resource-limit-exceeded", what))
                .await;
        }
        out.push_back(payload);
        self.pump(link).await;
    }

    /// Sends what a link has credit for.
    async fn pump(&mut self, link: LinkId) {
        let engine = &mut self.engine;
        match self.links.get_mut(&link) {
            Some(
                Link::Replies { out, .. }
                | Link::MethodCalls { out, .. }
                | Link::RegistrationAnswers { out, .. }
                | Link::TwinAnswers { out, .. },
            ) => {
                while engine.can_send(link)
                    && let Some(payload) = out.pop_front()
                {
                    engine.send(link, tag_of(engine.credit(link)), &payload, 0, true);
                }
            }
            Some(Link::DeviceBound { peer, .. }) => {
                let peer = peer.clone();
                self.deliver(&peer).await;
            }
            Some(Link::Queue(_)) => self.pump_queue(link).await,
            Some(Link::Events(_)) => self.pump_events(link).await,
            Some(Link::BusQueue(_)) => self.pump_bus(link).await,
            Some(
                Link::Requests(_)
                | Link::Telemetry(_)
                | Link::MethodAnswers(_)
                | Link::TwinRequests { .. }
                | Link::RegistrationRequests(_)
                | Link::ServiceSend(_)
                | Link::BusSend(_)
                | Link::EventSend(_),
            )
            | None => {}
        }
    }

    /// What waited for room to write goes on.
    async fn pump_all(&mut self) {
        let waits = |it: &Link| match it {
            Link::Events(events) => events.waits(),
            Link::BusQueue(queue) => queue.waits(),
            _ => false,
        };
        let waiting: Vec<LinkId> =
            self.links.iter().filter(|(_, it)| waits(it)).map(|(id, _)| *id).collect();
        for link in waiting {
            self.pump(link).await;
        }
    }

    async fn wake(&mut self, woken: Woken) {
        match woken {
            Woken::Device(peer, told) => self.device_told(&peer, told).await,
            Woken::Link(link) => match self.links.get(&link) {
                Some(Link::Queue(_)) => self.pump_queue(link).await,
                Some(Link::Events(_)) => self.pump_events(link).await,
                Some(Link::BusQueue(_)) => self.pump_bus(link).await,
                _ => {}
            },
        }
    }

    /// Looks whether everybody may go on.
    async fn look(&mut self) {
        self.release();
        for peer in self.devices.keys().cloned().collect::<Vec<_>>() {
            self.device_told(&peer, Told::Look).await;
        }
        self.look_at_registrations().await;
        self.look_at_links().await;
    }

    async fn look_at_links(&mut self) {
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            let stands = match self.links.get_mut(&link) {
                Some(Link::ServiceSend(held)) => held.stands(self.env).await,
                Some(Link::Queue(queue)) => queue.held.stands(self.env).await,
                Some(Link::Events(events)) => events.reader.stands(self.env).await,
                Some(Link::EventSend(it)) => it.sender.stands(self.env).await,
                Some(Link::BusSend(it)) => it.sender.link().stands(self.env).await,
                Some(Link::BusQueue(it)) => it.receiver.stands(self.env).await,
                _ => Ok(()),
            };
            match stands {
                Ok(()) => self.pump(link).await,
                Err(ended) => self.drop_link(link, condition::of_end(&ended)).await,
            }
        }
    }

    /// Services and readers that the credential is for go on by it, where it lets them.
    pub(super) async fn renew(&mut self, audience: &Audience, credential: &Credential) {
        for it in self.links.values_mut() {
            let renewed = match it {
                Link::ServiceSend(held) if audience.covers(&Place::ServiceSend.path()) => {
                    held.renew(self.env, credential.clone()).await
                }
                Link::Queue(queue) if audience.covers(&queue.path) => {
                    queue.held.renew(self.env, credential.clone()).await
                }
                Link::Events(events) if audience.covers(&events.path) => {
                    events.reader.renew(self.env, credential.clone()).await
                }
                Link::EventSend(it) if audience.covers(&it.path) => {
                    it.sender.renew(self.env, credential.clone()).await
                }
                Link::BusSend(it) if audience.covers(&it.path) => {
                    it.sender.link().renew(self.env, credential.clone()).await
                }
                Link::BusQueue(it) if audience.covers(&it.path) => {
                    it.receiver.renew(self.env, credential.clone()).await
                }
                _ => continue,
            };
            // Whom the new one does not let go on goes on by the former, to the end of that.
            drop(renewed);
        }
    }

    /// Ends a link, and says why.
    pub(super) async fn drop_link(&mut self, link: LinkId, why: Condition) {
        self.engine.detach(link, Some(why));
        self.detached(link).await;
    }

    /// The connection is somebody's.
    pub(super) fn proven(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.over();
        }
    }

    /// A token was refused. Whoever goes on guessing has to connect anew.
    pub(super) fn refused(&mut self) {
        self.refusals += 1;
        if self.refusals >= REFUSALS_MAX && self.waiting.is_some() {
            let what = format!("{REFUSALS_MAX} tokens were refused, and none was taken");
            self.engine.close(Some(Condition::new("amqp:unauthorized-access", what)));
        }
    }

    /// Takes over what the engine has to say.
    fn collect(&mut self) {
        if self.engine.outgoing_bytes() > 0 {
            self.stuck.get_or_insert_with(Instant::now);
            self.out.unsplit(self.engine.take_outgoing());
        }
    }

    pub(super) fn outgoing_bytes(&self) -> usize {
        self.out.len() + self.engine.outgoing_bytes()
    }

    /// Settles what is synced yet, and writes what waits.
    async fn last_words(&mut self, writer: &mut (impl AsyncWrite + Unpin)) {
        while !self.under_way.is_empty() {
            let acks = synced(&mut self.under_way).await;
            self.acknowledge(acks).await;
        }
        self.collect();
        let _ = write(writer, &mut self.out).await;
    }
}

/// Largest message of a client that comes to an address.
fn payload_bytes_max(env: &Env, local: SocketAddr) -> usize {
    match ops::call::surface_at(env, &local.ip().to_canonical().to_string()) {
        Some(Surface::EventHubs) => event_hubs::TRANSFER_BYTES_MAX,
        Some(Surface::ServiceBus) => service_bus::TRANSFER_BYTES_MAX,
        _ => PAYLOAD_BYTES_MAX,
    }
}

/// A tag for what is settled already: nobody will name it again.
fn tag_of(credit: u32) -> Bytes {
    Bytes::copy_from_slice(&credit.to_be_bytes())
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), out: &mut BytesMut) -> io::Result<()> {
    while !out.is_empty() {
        if writer.write_buf(out).await? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    writer.flush().await
}
