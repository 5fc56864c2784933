//! One connection, from the first eight bytes to the last. Most is about a server; [`Connection::to`] makes the other
//! end.
//!
//! The driver feeds bytes, takes [`Event`]s one at a time, and writes what [`Connection::take_outgoing`] gives.
//! Nothing is read further than the events that were taken, so whoever stops taking holds the peer up. Channels
//! and handles of ours have the numbers that the peer chose for its own. A peer that breaks the protocol gets a
//! close with the condition that says so, and nothing of it is read any more.

mod caller;
mod frames;
mod session;

use crate::performative::{
    Attach, Condition, Disposition, Open, Outcome, Performative, Role, write,
};
use bytes::{BufMut, Bytes, BytesMut};
use caller::Caller;
use session::{Link, Session};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The largest frame that is taken, and that is announced.
pub const FRAME_BYTES_MAX: u32 = 65_536;
/// The largest frame before a peer said what it takes. Source: the standard, section 2.4.1.
const FRAME_BYTES_MIN: u32 = 512;
/// The longest challenge: what such a frame has room for, behind its headers.
pub const CHALLENGE_BYTES_MAX: usize = 480;
/// The highest channel, and so one less than the most sessions of a connection.
pub const CHANNEL_MAX: u16 = 255;
/// Most links of a connection, those included that wait for the peer's detach.
pub const LINKS_MAX: usize = 1_024;
/// Most bytes of messages that have come in part, over all links.
pub const PARTIAL_BYTES_MAX: usize = 4 << 20;
/// What the peer is told: it hears something at least so often, and must be heard at least so often.
pub const IDLE_TIME_OUT: Duration = Duration::from_secs(240);
/// The shortest time out of a peer that is kept to.
const IDLE_TIME_OUT_MIN: Duration = Duration::from_secs(1);
/// Most messages of a session that wait for the peer to settle them.
pub const UNSETTLED_MAX: usize = 8_192;

const HEADER_BYTES: usize = 8;
const HEADER_AMQP: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
const HEADER_SASL: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
const KIND_AMQP: u8 = 0;
const KIND_SASL: u8 = 1;

/// A link: a session's channel, and the link's handle there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LinkId {
    pub channel: u16,
    pub handle: u32,
}

/// What came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The peer chose a mechanism: answer with [`Connection::sasl`] or [`Connection::challenge`].
    Sasl { mechanism: String, response: Option<Bytes> },
    /// The peer answered a challenge: answer in the same way.
    SaslResponse(Bytes),
    /// The connection is open; it was answered.
    Opened(Open),
    /// The peer wants a link: answer with [`Connection::accept`] or [`Connection::refuse`]. Where we began the
    /// connection, it is the peer's answer to [`Connection::attach`].
    Attached { link: LinkId, attach: Box<Attach> },
    /// The peer said how much it takes over a link that we send on.
    Credit { link: LinkId, drain: bool },
    /// A whole message.
    Delivery { link: LinkId, delivery: Delivery },
    /// The peer said what became of a message that we sent. Where it is awaited, the peer waits for
    /// [`Connection::conclude`].
    Settled { link: LinkId, id: u32, outcome: Option<Outcome>, is_awaited: bool },
    /// A link is gone, and not because we wanted; it was answered. The peer's reason, where it has one.
    Detached { link: LinkId, error: Option<Condition> },
    /// The peer said good-bye; it was answered. Nothing comes behind this.
    Closed(Option<Condition>),
    /// The peer broke the protocol, and was told. Nothing comes behind this.
    Failed(Condition),
}

/// A message that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// What [`Connection::settle`] takes. Unique among what waits in its session.
    pub id: u32,
    pub tag: Bytes,
    /// The peer wants no answer.
    pub settled: bool,
    pub format: u32,
    pub payload: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The first eight bytes are awaited; once SASL is done, the second eight.
    Header {
        after_sasl: bool,
    },
    /// The peer's choice of a mechanism is awaited, or its answer to a challenge, or what the driver says to either.
    Sasl {
        is_challenged: bool,
    },
    Opening,
    Open,
    /// Nothing is read any more.
    Over,
}

/// One connection.
pub struct Connection {
    container_id: String,
    /// There where we began the connection.
    caller: Option<Caller>,
    mechanisms: &'static [&'static str],
    /// The largest message that links take.
    message_bytes_max: usize,
    phase: Phase,
    incoming: BytesMut,
    outgoing: BytesMut,
    events: VecDeque<Event>,
    sessions: BTreeMap<u16, Session>,
    links: usize,
    partial_bytes: usize,
    /// What the peer takes.
    frame_bytes: u32,
    idle: Option<Duration>,
}

impl Connection {
    /// A connection that nothing has come over yet. A peer that wants SASL chooses among `mechanisms`.
    pub fn new(
        container_id: String,
        mechanisms: &'static [&'static str],
        message_bytes_max: usize,
    ) -> Self {
        Self {
            container_id,
            caller: None,
            mechanisms,
            message_bytes_max,
            phase: Phase::Header { after_sasl: false },
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            events: VecDeque::new(),
            sessions: BTreeMap::new(),
            links: 0,
            partial_bytes: 0,
            frame_bytes: FRAME_BYTES_MIN,
            idle: None,
        }
    }

    /// Takes bytes that came. The driver takes every event before it feeds more.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.phase != Phase::Over {
            self.incoming.extend_from_slice(bytes);
        }
    }

    /// The next thing that came as a whole.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let went_on = match self.phase {
                Phase::Over => return None,
                Phase::Header { after_sasl } => self.header(after_sasl),
                Phase::Sasl { .. } | Phase::Opening | Phase::Open => self.frame(),
            };
            match went_on {
                Ok(true) => {}
                Ok(false) => {
                    if self.incoming.is_empty() {
                        self.incoming = BytesMut::new();
                    }
                    return None;
                }
                Err(condition) => self.fail(condition),
            }
        }
    }

    /// What is to be written now.
    pub fn take_outgoing(&mut self) -> BytesMut {
        std::mem::take(&mut self.outgoing)
    }

    /// How many bytes wait to be written.
    pub fn outgoing_bytes(&self) -> usize {
        self.outgoing.len()
    }

    /// True once nothing more will be read: what waits is still to be written.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// True once the peer may attach links.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// How long the peer waits for a word of ours, where it said so.
    pub fn peer_idle(&self) -> Option<Duration> {
        self.idle
    }

    /// An empty frame, which says that we are there.
    pub fn keep_alive(&mut self) {
        if self.phase == Phase::Open {
            self.outgoing.put_slice(&[0, 0, 0, 8, 2, KIND_AMQP, 0, 0]);
        }
    }

    /// Asks a peer that chose a mechanism for more: a challenge is at most [`CHALLENGE_BYTES_MAX`] long.
    pub fn challenge(&mut self, challenge: Bytes) {
        if matches!(self.phase, Phase::Sasl { .. }) {
            self.put(KIND_SASL, 0, &Performative::Challenge(challenge));
            self.phase = Phase::Sasl { is_challenged: true };
        }
    }

    /// Answers a peer that chose a mechanism. A refusal ends the connection.
    pub fn sasl(&mut self, is_accepted: bool) {
        if !matches!(self.phase, Phase::Sasl { .. }) {
            return;
        }
        // 1 is `auth`: the credential is refused.
        let code = if is_accepted { 0 } else { 1 };
        self.put(KIND_SASL, 0, &Performative::Outcome(code));
        self.phase = if is_accepted { Phase::Header { after_sasl: true } } else { Phase::Over };
    }

    /// Closes the connection, with the reason where there is one.
    pub fn close(&mut self, condition: Option<Condition>) {
        if self.phase == Phase::Opening && condition.is_some() {
            // A close needs an open before it. Who began has said it.
            if self.caller.is_none() {
                self.put_open();
            }
            self.phase = Phase::Open;
        }
        if self.phase == Phase::Open {
            self.put(KIND_AMQP, 0, &Performative::Close(condition));
        }
        self.end();
    }

    /// Lets a link be: a peer that sends gets `credit` messages' worth of room.
    pub fn accept(&mut self, id: LinkId, credit: u32) {
        let message_bytes_max = self.message_bytes_max as u64;
        let Some(link) = self.link(id) else { return };
        let mut answer = link.answer(id.handle);
        answer.max_message_size = Some(message_bytes_max);
        self.put(KIND_AMQP, id.channel, &Performative::Attach(Box::new(answer)));
        self.grant(id, credit);
    }

    /// Has the driver say itself, with [`Connection::conclude`], what came of what the peer decided about a message of
    /// this link. To be asked for before the link is let be.
    pub fn concludes(&mut self, id: LinkId) {
        if let Some(link) = self.link(id) {
            link.concludes = true;
        }
    }

    /// Says what came of what the peer decided about a message that we sent.
    pub fn conclude(&mut self, id: LinkId, delivery: u32, outcome: Outcome) {
        if self.sessions.contains_key(&id.channel) {
            self.let_go(id.channel, (delivery, delivery), Some(outcome));
        }
    }

    fn let_go(&mut self, channel: u16, (first, last): (u32, u32), outcome: Option<Outcome>) {
        let settled =
            Disposition { role: Role::Sender, settled: true, first, last: Some(last), outcome };
        self.put(KIND_AMQP, channel, &Performative::Disposition(settled));
    }

    /// Refuses a link: it is there for a moment, and says why it goes.
    pub fn refuse(&mut self, id: LinkId, condition: Condition) {
        let Some(link) = self.link(id) else { return };
        let answer = link.answer(id.handle);
        self.put(KIND_AMQP, id.channel, &Performative::Attach(Box::new(answer)));
        self.detach(id, Some(condition));
    }

    /// Ends a link. The peer's answer is awaited here, and needs nobody.
    pub fn detach(&mut self, id: LinkId, error: Option<Condition>) {
        let Some(link) = self.link(id) else { return };
        link.is_leaving = true;
        let partial = link.partial.take().map_or(0, |it| it.payload.len());
        self.partial_bytes = self.partial_bytes.saturating_sub(partial);
        if let Some(session) = self.sessions.get_mut(&id.channel) {
            session.forget(id.handle);
        }
        let detach = Performative::Detach { handle: id.handle, closed: true, error };
        self.put(KIND_AMQP, id.channel, &detach);
    }

    /// Gives a peer that sends room for `credit` messages more.
    pub fn grant(&mut self, id: LinkId, credit: u32) {
        let Some(link) = self.link(id).filter(|it| it.role == Role::Sender) else { return };
        link.credit = link.credit.saturating_add(credit);
        let (count, credit) = (link.delivery_count, link.credit);
        let Some(session) = self.sessions.get(&id.channel) else { return };
        let flow = session.flow_of(id.handle, count, credit);
        self.put(KIND_AMQP, id.channel, &Performative::Flow(flow));
    }

    /// How many messages may still come over a link, or go.
    pub fn credit(&self, id: LinkId) -> u32 {
        let link = self.sessions.get(&id.channel).and_then(|it| it.links.get(&id.handle));
        link.map_or(0, |it| it.credit)
    }

    /// True where the peer takes another message over a link, and nothing of an earlier one waits.
    pub fn can_send(&self, id: LinkId) -> bool {
        let Some(session) = self.sessions.get(&id.channel) else { return false };
        let link = session.links.get(&id.handle);
        session.pending.is_empty()
            && session.unsettled.len() < UNSETTLED_MAX
            && link.is_some_and(|it| it.role == Role::Receiver && !it.is_leaving && it.credit > 0)
    }

    /// Sends a message, and answers its number in the session; `None` where [`Connection::can_send`] is false.
    /// `settled` leaves it to the peer to keep it; otherwise [`Event::Settled`] tells what became of it.
    pub fn send(
        &mut self,
        id: LinkId,
        tag: Bytes,
        payload: &Bytes,
        format: u32,
        settled: bool,
    ) -> Option<u32> {
        if !self.can_send(id) {
            return None;
        }
        let frame_bytes = self.frame_bytes;
        let session = self.sessions.get_mut(&id.channel)?;
        let number = session.send(id.handle, tag, payload, format, settled, frame_bytes)?;
        self.pump(id.channel);
        Some(number)
    }

    /// Tells a peer that wanted a link drained that nothing more comes.
    pub fn drained(&mut self, id: LinkId) {
        let Some(link) = self.link(id).filter(|it| it.role == Role::Receiver) else { return };
        link.delivery_count = link.delivery_count.wrapping_add(link.credit);
        link.credit = 0;
        let count = link.delivery_count;
        let Some(session) = self.sessions.get(&id.channel) else { return };
        let mut flow = session.flow_of(id.handle, count, 0);
        flow.drain = true;
        self.put(KIND_AMQP, id.channel, &Performative::Flow(flow));
    }

    /// Says what became of a message that came.
    pub fn settle(&mut self, id: LinkId, delivery: u32, outcome: Outcome) {
        self.settle_all(id, delivery, delivery, outcome);
    }

    /// The same of all from one number to another.
    pub fn settle_all(&mut self, id: LinkId, first: u32, last: u32, outcome: Outcome) {
        if !self.sessions.contains_key(&id.channel) {
            return;
        }
        let disposition = Disposition {
            role: Role::Receiver,
            first,
            last: Some(last),
            settled: true,
            outcome: Some(outcome),
        };
        self.put(KIND_AMQP, id.channel, &Performative::Disposition(disposition));
    }

    /// A link that is there and that we have not ended.
    fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        let link = self.sessions.get_mut(&id.channel)?.links.get_mut(&id.handle)?;
        (!link.is_leaving).then_some(link)
    }

    /// Gives back what a link held.
    fn left(&mut self, link: &Link) {
        self.links = self.links.saturating_sub(1);
        let partial = link.partial.as_ref().map_or(0, |it| it.payload.len());
        self.partial_bytes = self.partial_bytes.saturating_sub(partial);
    }

    /// Writes what a session may send by now.
    fn pump(&mut self, channel: u16) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        while let Some(transfer) = session.next_transfer() {
            put(&mut self.outgoing, KIND_AMQP, channel, &Performative::Transfer(transfer));
        }
    }

    fn put(&mut self, kind: u8, channel: u16, performative: &Performative) {
        put(&mut self.outgoing, kind, channel, performative);
    }

    fn fail(&mut self, condition: Condition) {
        self.close(Some(condition.clone()));
        self.events.push_back(Event::Failed(condition));
    }

    fn end(&mut self) {
        self.phase = Phase::Over;
        self.incoming = BytesMut::new();
        self.sessions.clear();
        (self.links, self.partial_bytes) = (0, 0);
    }
}

/// Appends a frame.
fn put(outgoing: &mut BytesMut, kind: u8, channel: u16, performative: &Performative) {
    let from = outgoing.len();
    outgoing.put_slice(&[0, 0, 0, 0, 2, kind]);
    outgoing.put_u16(channel);
    write(performative, outgoing);
    let size = u32::try_from(outgoing.len() - from).unwrap_or(u32::MAX);
    if let Some(place) = outgoing.get_mut(from..from + 4) {
        place.copy_from_slice(&size.to_be_bytes());
    }
}

fn illegal(what: &str) -> Condition {
    Condition::new("amqp:illegal-state", what)
}
