//! A session and its links: windows, credit, and messages that come or go in parts.

use super::{
    Connection, Delivery, Event, FRAME_BYTES_MAX, KIND_AMQP, LINKS_MAX, LinkId, PARTIAL_BYTES_MAX,
    illegal,
};
use crate::performative::{
    Attach, Begin, Condition, Disposition, Flow, Performative, Role, Transfer,
};
use crate::value::Value;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};

/// How many frames a peer may send before it hears that there is room for more.
const INCOMING_WINDOW: u32 = 2_048;
/// What we say that we might send; nobody holds anybody to it.
const OUTGOING_WINDOW: u32 = 2_048;
/// The highest handle of a link in its session.
pub(super) const HANDLE_MAX: u32 = 1_023;
/// The longest tag of a message. Source: the standard, section 2.8.7.
const TAG_BYTES_MAX: usize = 32;
/// What a frame of a transfer takes beside its part of the message, at most.
const TRANSFER_BYTES: u32 = 128;

pub(super) struct Session {
    pub(super) links: BTreeMap<u32, Link>,
    /// Of the next frame of a transfer that comes.
    next_incoming_id: u32,
    /// How many of them may still come.
    incoming_window: u32,
    next_outgoing_id: u32,
    remote_incoming_window: u32,
    next_delivery_id: u32,
    /// Parts of a message that wait for the peer's window.
    pub(super) pending: VecDeque<Transfer>,
    /// What the peer has not settled yet, with the handle of its link.
    pub(super) unsettled: BTreeMap<u32, u32>,
}

pub(super) struct Link {
    /// The peer's.
    pub(super) role: Role,
    pub(super) name: String,
    attach: Option<Box<Attach>>,
    pub(super) delivery_count: u32,
    /// How many messages may still come, or go.
    pub(super) credit: u32,
    pub(super) partial: Option<Partial>,
    /// We have detached it; the peer has not answered yet.
    pub(super) is_leaving: bool,
    /// The driver says what came of what the peer decided.
    pub(super) concludes: bool,
}

/// A message of which more is to come.
pub(super) struct Partial {
    id: u32,
    tag: Bytes,
    settled: bool,
    format: u32,
    pub(super) payload: BytesMut,
}

impl Link {
    /// A link that we ask for.
    pub(super) fn ours(attach: &Attach) -> Self {
        Self {
            role: match attach.role {
                Role::Sender => Role::Receiver,
                Role::Receiver => Role::Sender,
            },
            name: attach.name.clone(),
            attach: None,
            delivery_count: 0,
            credit: 0,
            partial: None,
            is_leaving: false,
            concludes: false,
        }
    }

    /// Our side of the link: what the peer asked for, as it asked.
    pub(super) fn answer(&mut self, handle: u32) -> Attach {
        let asked = self.attach.take();
        let (source, target, settles) = match asked {
            Some(it) => (it.source, it.target, (it.sender_settles, it.receiver_settles)),
            None => Default::default(),
        };
        let is_sender = self.role == Role::Receiver;
        Attach {
            name: self.name.clone(),
            handle,
            role: if is_sender { Role::Sender } else { Role::Receiver },
            sender_settles: settles.0,
            // The second mode needs another round for each message: only where the driver takes part in it.
            receiver_settles: if self.concludes { settles.1 } else { 0 },
            source,
            target,
            initial_delivery_count: is_sender.then_some(0),
            max_message_size: None,
            desired_capabilities: Value::Null,
            properties: Value::Map(Vec::new()),
        }
    }
}

impl Session {
    pub(super) const fn new(begin: &Begin) -> Self {
        Self {
            links: BTreeMap::new(),
            next_incoming_id: begin.next_outgoing_id,
            incoming_window: INCOMING_WINDOW,
            next_outgoing_id: 0,
            remote_incoming_window: begin.incoming_window,
            next_delivery_id: 0,
            pending: VecDeque::new(),
            unsettled: BTreeMap::new(),
        }
    }

    /// Our side of the session; `answered` is the peer's channel where it has begun.
    pub(super) const fn begin(&self, answered: Option<u16>) -> Begin {
        Begin {
            remote_channel: answered,
            next_outgoing_id: self.next_outgoing_id,
            incoming_window: self.incoming_window,
            outgoing_window: OUTGOING_WINDOW,
            handle_max: Some(HANDLE_MAX),
        }
    }

    /// The peer's side of a session that we began.
    pub(super) const fn answered(&mut self, begin: &Begin) {
        self.next_incoming_id = begin.next_outgoing_id;
        self.remote_incoming_window = begin.incoming_window;
    }

    fn flow(&self) -> Flow {
        Flow {
            next_incoming_id: Some(self.next_incoming_id),
            incoming_window: self.incoming_window,
            next_outgoing_id: self.next_outgoing_id,
            outgoing_window: OUTGOING_WINDOW,
            ..Flow::default()
        }
    }

    pub(super) fn flow_of(&self, handle: u32, delivery_count: u32, credit: u32) -> Flow {
        Flow {
            handle: Some(handle),
            delivery_count: Some(delivery_count),
            link_credit: Some(credit),
            ..self.flow()
        }
    }

    /// Cuts a message into frames and queues them.
    pub(super) fn send(
        &mut self,
        handle: u32,
        tag: Bytes,
        payload: &Bytes,
        format: u32,
        settled: bool,
        frame_bytes: u32,
    ) -> Option<u32> {
        let link = self.links.get_mut(&handle)?;
        link.credit = link.credit.checked_sub(1)?;
        link.delivery_count = link.delivery_count.wrapping_add(1);
        let id = self.next_delivery_id;
        self.next_delivery_id = id.wrapping_add(1);
        if !settled {
            self.unsettled.insert(id, handle);
        }
        let room = usize::try_from(frame_bytes.min(FRAME_BYTES_MAX).saturating_sub(TRANSFER_BYTES));
        let room = room.unwrap_or(usize::MAX).max(1);
        let mut rest = payload.clone();
        let mut is_first = true;
        loop {
            let part = rest.split_to(rest.len().min(room));
            let more = !rest.is_empty();
            self.pending.push_back(Transfer {
                handle,
                delivery_id: is_first.then_some(id),
                delivery_tag: is_first.then(|| tag.clone()),
                message_format: is_first.then_some(format),
                settled: Some(settled),
                more,
                aborted: false,
                payload: part,
            });
            is_first = false;
            if !more {
                return Some(id);
            }
        }
    }

    /// The next frame that the peer's window has room for.
    pub(super) fn next_transfer(&mut self) -> Option<Transfer> {
        if self.remote_incoming_window == 0 {
            return None;
        }
        let transfer = self.pending.pop_front()?;
        self.remote_incoming_window -= 1;
        self.next_outgoing_id = self.next_outgoing_id.wrapping_add(1);
        Some(transfer)
    }

    /// Drops what waits of a link that is gone.
    pub(super) fn forget(&mut self, handle: u32) {
        self.unsettled.retain(|_, it| *it != handle);
        self.pending.retain(|it| it.handle != handle);
    }
}

impl Connection {
    /// What came for a session.
    pub(super) fn within(
        &mut self,
        channel: u16,
        performative: Performative,
    ) -> Result<(), Condition> {
        if !self.sessions.contains_key(&channel) {
            return Err(illegal("a frame came for a session that is not there"));
        }
        match performative {
            Performative::Attach(attach) => self.attached(channel, attach),
            Performative::Flow(flow) => self.flowed(channel, &flow),
            Performative::Transfer(transfer) => self.transferred(channel, transfer),
            Performative::Disposition(disposition) => {
                self.disposed(channel, &disposition);
                Ok(())
            }
            Performative::Detach { handle, closed, error } => {
                self.detached(channel, handle, closed, error)
            }
            _ => Err(illegal("a frame came that is not awaited now")),
        }
    }

    fn attached(&mut self, channel: u16, attach: Box<Attach>) -> Result<(), Condition> {
        let handle = attach.handle;
        let id = LinkId { channel, handle };
        let is_full = self.links >= LINKS_MAX;
        let Some(session) = self.sessions.get_mut(&channel) else { return Ok(()) };
        if handle > HANDLE_MAX {
            let what = format!("handles go up to {HANDLE_MAX}");
            return Err(Condition::new("amqp:connection:framing-error", what));
        }
        if session.links.contains_key(&handle) {
            return Err(Condition::new(
                "amqp:session:handle-in-use",
                "a link was attached with a handle that one has",
            ));
        }
        let link = Link {
            role: attach.role,
            name: attach.name.clone(),
            delivery_count: match attach.role {
                Role::Sender => attach.initial_delivery_count.unwrap_or(0),
                Role::Receiver => 0,
            },
            attach: Some(attach.clone()),
            credit: 0,
            partial: None,
            is_leaving: false,
            concludes: false,
        };
        session.links.insert(handle, link);
        self.links += 1;
        if is_full {
            let what = format!("a connection has at most {LINKS_MAX} links");
            self.refuse(id, Condition::new("amqp:resource-limit-exceeded", what));
            // One more that waits for its end, and no second.
            if self.links > LINKS_MAX + 1 {
                return Err(Condition::new("amqp:resource-limit-exceeded", "too many links"));
            }
            return Ok(());
        }
        if attach.source.is_dynamic || attach.target.is_dynamic {
            let what = "nodes are not made on demand; name an address";
            self.refuse(id, Condition::new("amqp:not-implemented", what));
            return Ok(());
        }
        self.events.push_back(Event::Attached { link: id, attach });
        Ok(())
    }

    fn flowed(&mut self, channel: u16, flow: &Flow) -> Result<(), Condition> {
        let Some(session) = self.sessions.get_mut(&channel) else { return Ok(()) };
        // The window counts from what the peer has seen.
        let seen = flow.next_incoming_id.unwrap_or(0);
        let window = seen.wrapping_add(flow.incoming_window).wrapping_sub(session.next_outgoing_id);
        // What was under way meanwhile may be more than the window: then there is no room.
        let is_behind = session.next_outgoing_id.wrapping_sub(seen) > flow.incoming_window;
        session.remote_incoming_window = if is_behind { 0 } else { window };
        let mut answer = flow.echo.then(|| session.flow());
        if let Some(handle) = flow.handle {
            let Some(link) = session.links.get_mut(&handle) else {
                return Err(Condition::new(
                    "amqp:session:unattached-handle",
                    "a flow came for a link that is not there",
                ));
            };
            if link.role == Role::Receiver && !link.is_leaving {
                let seen = flow.delivery_count.unwrap_or(0);
                let sent = link.delivery_count.wrapping_sub(seen);
                link.credit = flow.link_credit.unwrap_or(0).saturating_sub(sent);
                let id = LinkId { channel, handle };
                self.events.push_back(Event::Credit { link: id, drain: flow.drain });
            }
            let (count, credit) = (link.delivery_count, link.credit);
            answer = flow.echo.then(|| session.flow_of(handle, count, credit));
        }
        if let Some(answer) = answer {
            self.put(KIND_AMQP, channel, &Performative::Flow(answer));
        }
        let had_pending = self.sessions.get(&channel).is_some_and(|it| !it.pending.is_empty());
        self.pump(channel);
        // Links that had to wait for the window are told: their credit came before.
        if had_pending
            && let Some(session) = self.sessions.get(&channel)
            && session.pending.is_empty()
        {
            let is_ready = |it: &Link| it.role == Role::Receiver && it.credit > 0 && !it.is_leaving;
            let ready = session.links.iter().filter(|(_, it)| is_ready(it));
            let ready = ready.map(|(handle, _)| LinkId { channel, handle: *handle });
            self.events.extend(ready.map(|link| Event::Credit { link, drain: false }));
        }
        Ok(())
    }

    fn transferred(&mut self, channel: u16, transfer: Transfer) -> Result<(), Condition> {
        let message_bytes_max = self.message_bytes_max;
        let Some(session) = self.sessions.get_mut(&channel) else { return Ok(()) };
        let Some(window) = session.incoming_window.checked_sub(1) else {
            let what = "more frames came than the window of the session has room for";
            return Err(Condition::new("amqp:session:window-violation", what));
        };
        session.incoming_window = window;
        session.next_incoming_id = session.next_incoming_id.wrapping_add(1);
        let renewed = (window < INCOMING_WINDOW / 2).then(|| {
            session.incoming_window = INCOMING_WINDOW;
            session.flow()
        });
        let id = LinkId { channel, handle: transfer.handle };
        let Some(link) = session.links.get_mut(&transfer.handle) else {
            return Err(Condition::new(
                "amqp:session:unattached-handle",
                "a message came for a link that is not there",
            ));
        };
        if link.role != Role::Sender {
            return Err(illegal("a message came over a link on which the peer receives"));
        }
        if let Some(flow) = renewed {
            super::put(&mut self.outgoing, KIND_AMQP, channel, &Performative::Flow(flow));
        }
        if link.is_leaving {
            return Ok(());
        }
        let mut partial = match link.partial.take() {
            Some(partial) => partial,
            None => {
                let Some(credit) = link.credit.checked_sub(1) else {
                    let what = "more messages came than the link has credit for";
                    let error = Condition::new("amqp:link:transfer-limit-exceeded", what);
                    self.detach_by_us(id, error);
                    return Ok(());
                };
                let delivery = transfer.delivery_id.zip(transfer.delivery_tag.clone());
                let Some((delivery_id, tag)) = delivery.filter(|it| it.1.len() <= TAG_BYTES_MAX)
                else {
                    let what = "a message has no id, no tag or a long one";
                    return Err(Condition::new("amqp:invalid-field", what));
                };
                link.credit = credit;
                link.delivery_count = link.delivery_count.wrapping_add(1);
                Partial {
                    id: delivery_id,
                    tag,
                    settled: false,
                    format: transfer.message_format.unwrap_or(0),
                    payload: BytesMut::new(),
                }
            }
        };
        self.partial_bytes = self.partial_bytes.saturating_sub(partial.payload.len());
        if transfer.aborted {
            return Ok(());
        }
        partial.settled |= transfer.settled.unwrap_or(false);
        if partial.payload.len() + transfer.payload.len() > message_bytes_max {
            let what = format!("a message has at most {message_bytes_max} bytes");
            self.detach_by_us(id, Condition::new("amqp:link:message-size-exceeded", what));
            return Ok(());
        }
        if !transfer.more && partial.payload.is_empty() {
            // The usual case: a message in one frame is taken as it lies in the buffer.
            let Partial { id: number, tag, settled, format, .. } = partial;
            let delivery = Delivery { id: number, tag, settled, format, payload: transfer.payload };
            self.events.push_back(Event::Delivery { link: id, delivery });
            return Ok(());
        }
        partial.payload.extend_from_slice(&transfer.payload);
        if transfer.more {
            self.partial_bytes += partial.payload.len();
            if self.partial_bytes > PARTIAL_BYTES_MAX {
                let what =
                    format!("at most {PARTIAL_BYTES_MAX} bytes of messages may be under way");
                return Err(Condition::new("amqp:resource-limit-exceeded", what));
            }
            link.partial = Some(partial);
            return Ok(());
        }
        let Partial { id: number, tag, settled, format, payload } = partial;
        let delivery = Delivery { id: number, tag, settled, format, payload: payload.freeze() };
        self.events.push_back(Event::Delivery { link: id, delivery });
        Ok(())
    }

    /// Ends a link over which the peer did what it may not.
    fn detach_by_us(&mut self, id: LinkId, error: Condition) {
        self.detach(id, Some(error));
        self.events.push_back(Event::Detached { link: id, error: None });
    }

    fn disposed(&mut self, channel: u16, disposition: &Disposition) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        if disposition.role != Role::Receiver {
            return;
        }
        let (first, last) = (disposition.first, disposition.last.unwrap_or(disposition.first));
        if first > last || !(disposition.settled || disposition.outcome.is_some()) {
            return;
        }
        let of_it: Vec<(u32, u32)> =
            session.unsettled.range(first..=last).map(|(id, handle)| (*id, *handle)).collect();
        let awaits = !disposition.settled;
        let mut is_ours = false;
        for (id, handle) in &of_it {
            session.unsettled.remove(id);
            let is_awaited = awaits && session.links.get(handle).is_some_and(|it| it.concludes);
            is_ours |= is_awaited;
            let link = LinkId { channel, handle: *handle };
            let outcome = disposition.outcome.clone();
            self.events.push_back(Event::Settled { link, id: *id, outcome, is_awaited });
        }
        if awaits && !of_it.is_empty() && !is_ours {
            // The peer has decided, and waits for us to let go.
            self.let_go(channel, (first, last), disposition.outcome.clone());
        }
    }

    fn detached(
        &mut self,
        channel: u16,
        handle: u32,
        closed: bool,
        error: Option<Condition>,
    ) -> Result<(), Condition> {
        let Some(session) = self.sessions.get_mut(&channel) else { return Ok(()) };
        let Some(link) = session.links.remove(&handle) else {
            return Err(Condition::new(
                "amqp:session:unattached-handle",
                "a link was detached that is not there",
            ));
        };
        session.forget(handle);
        if let Some(caller) = &mut self.caller {
            caller.forget(handle);
        }
        self.left(&link);
        if !link.is_leaving {
            let detach = Performative::Detach { handle, closed, error: None };
            self.put(KIND_AMQP, channel, &detach);
            self.events.push_back(Event::Detached { link: LinkId { channel, handle }, error });
        }
        Ok(())
    }
}
