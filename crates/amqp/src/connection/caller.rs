//! The end that began the connection: it comes in anonymously, has one session, and attaches the links.
//!
//! What came over a session is the same for both ends. Here is what differs: the first bytes, who says something
//! first, and that the peer has numbers of its own for the channel and the links, which are ours from here on.

use super::session::Session;
use super::{
    Connection, Event, HEADER_AMQP, HEADER_BYTES, HEADER_SASL, KIND_AMQP, KIND_SASL, LINKS_MAX,
    LinkId, Phase, illegal,
};
use crate::performative::{Attach, Begin, Condition, Performative};
use bytes::{Buf as _, BufMut as _};
use std::collections::BTreeMap;

/// The one session's.
const CHANNEL: u16 = 0;
/// Tokens are put once the connection is there.
const MECHANISM: &str = "ANONYMOUS";

/// What only the end has that began.
pub(super) struct Caller {
    hostname: String,
    /// The peer's number of the session's channel.
    channel: Option<u16>,
    /// Our handles by those of the peer.
    handles: BTreeMap<u32, u32>,
}

impl Caller {
    /// The peer has let go of a link.
    pub(super) fn forget(&mut self, handle: u32) {
        self.handles.retain(|_, it| *it != handle);
    }
}

impl Connection {
    /// A connection that we begin, to a peer that calls itself `hostname`. [`Event::Opened`] tells when links may be
    /// attached.
    pub fn to(container_id: String, hostname: String, message_bytes_max: usize) -> Self {
        let caller = Caller { hostname, channel: None, handles: BTreeMap::new() };
        let mut connection = Self::new(container_id, &[], message_bytes_max);
        connection.caller = Some(caller);
        connection.outgoing.put_slice(&HEADER_SASL);
        connection
    }

    /// Attaches a link, whose handle is chosen here. [`Event::Attached`] brings the peer's side of it; a peer that
    /// refuses it says [`Event::Detached`] at once behind that. `None` where the connection takes none.
    pub fn attach(&mut self, mut attach: Attach) -> Option<LinkId> {
        let is_full = self.links >= LINKS_MAX;
        let session = self.sessions.get_mut(&CHANNEL).filter(|_| !is_full)?;
        let handle = (0..=super::session::HANDLE_MAX).find(|it| !session.links.contains_key(it))?;
        attach.handle = handle;
        session.links.insert(handle, super::Link::ours(&attach));
        self.links += 1;
        self.put(KIND_AMQP, CHANNEL, &Performative::Attach(Box::new(attach)));
        Some(LinkId { channel: CHANNEL, handle })
    }

    pub(super) fn header_of_answerer(&mut self, after_sasl: bool) -> Result<bool, Condition> {
        let Some(header) = self.incoming.first_chunk::<HEADER_BYTES>().copied() else {
            return Ok(false);
        };
        self.incoming.advance(HEADER_BYTES);
        match (header, after_sasl) {
            (HEADER_SASL, false) => self.phase = Phase::Sasl { is_challenged: false },
            (HEADER_AMQP, true) => {
                self.put_open();
                self.phase = Phase::Opening;
            }
            (_, _) => {
                self.end();
                let error = Condition::new("amqp:framing-error", "the first bytes are no header");
                self.events.push_back(Event::Failed(error));
            }
        }
        Ok(true)
    }

    /// What the peer says.
    pub(super) fn answered(
        &mut self,
        channel: u16,
        performative: Performative,
    ) -> Result<(), Condition> {
        match (self.phase, performative) {
            (Phase::Sasl { .. }, Performative::Mechanisms(all)) => {
                if !all.iter().any(|it| it == MECHANISM) {
                    let what = format!("the peer lets nobody in with `{MECHANISM}`");
                    return Err(Condition::new("amqp:not-implemented", what));
                }
                let init = Performative::Init {
                    mechanism: MECHANISM.to_owned(),
                    response: None,
                    hostname: self.hostname(),
                };
                self.put(KIND_SASL, 0, &init);
            }
            (Phase::Sasl { .. }, Performative::Outcome(0)) => {
                self.outgoing.put_slice(&HEADER_AMQP);
                self.phase = Phase::Header { after_sasl: true };
            }
            (Phase::Sasl { .. }, Performative::Outcome(_)) => {
                let what = format!("the peer does not let us in with `{MECHANISM}`");
                return Err(Condition::new("amqp:unauthorized-access", what));
            }
            (Phase::Opening, Performative::Open(open)) => {
                self.opened(open)?;
                // It is used before it is answered: until then nothing may be sent there.
                let session = Session::new(&Begin::default());
                self.put(KIND_AMQP, CHANNEL, &Performative::Begin(session.begin(None)));
                self.sessions.insert(CHANNEL, session);
            }
            (Phase::Open, Performative::Begin(begin)) => self.session_answered(channel, &begin)?,
            // With its one session the connection has no use any more.
            (Phase::Open, Performative::Close(error) | Performative::End(error)) => {
                self.close(None);
                self.events.push_back(Event::Closed(error));
            }
            (Phase::Open, performative) => {
                if self.caller.as_ref().and_then(|it| it.channel) != Some(channel) {
                    return Err(illegal("a frame came for a session that is not there"));
                }
                match performative {
                    Performative::Attach(attach) => self.link_answered(attach)?,
                    other => {
                        let ours = self.with_our_handle(other)?;
                        self.within(CHANNEL, ours)?;
                    }
                }
            }
            (_, _) => return Err(illegal("a frame came that is not awaited now")),
        }
        Ok(())
    }

    pub(super) fn hostname(&self) -> Option<String> {
        self.caller.as_ref().map(|it| it.hostname.clone())
    }

    fn session_answered(&mut self, channel: u16, begin: &Begin) -> Result<(), Condition> {
        let (Some(caller), Some(session)) = (&mut self.caller, self.sessions.get_mut(&CHANNEL))
        else {
            return Ok(());
        };
        if begin.remote_channel != Some(CHANNEL) || caller.channel.replace(channel).is_some() {
            return Err(illegal("a session began that nobody asked for"));
        }
        session.answered(begin);
        Ok(())
    }

    fn link_answered(&mut self, attach: Box<Attach>) -> Result<(), Condition> {
        let (Some(caller), Some(session)) = (&mut self.caller, self.sessions.get_mut(&CHANNEL))
        else {
            return Ok(());
        };
        let is_it = |(handle, link): &(&u32, &mut super::Link)| {
            let is_answered = caller.handles.values().any(|it| it == *handle);
            !is_answered && link.role == attach.role && link.name == attach.name
        };
        let Some((handle, link)) = session.links.iter_mut().find(is_it) else {
            return Err(illegal("a link was attached that nobody asked for"));
        };
        if caller.handles.insert(attach.handle, *handle).is_some() {
            return Err(Condition::new(
                "amqp:session:handle-in-use",
                "a link was attached with a handle that one has",
            ));
        }
        link.delivery_count = attach.initial_delivery_count.unwrap_or(0);
        let link = LinkId { channel: CHANNEL, handle: *handle };
        self.events.push_back(Event::Attached { link, attach });
        Ok(())
    }

    /// What the peer says of a link, with our number of it.
    fn with_our_handle(&self, mut performative: Performative) -> Result<Performative, Condition> {
        let place = match &mut performative {
            Performative::Flow(flow) => flow.handle.as_mut(),
            Performative::Transfer(transfer) => Some(&mut transfer.handle),
            Performative::Detach { handle, .. } => Some(handle),
            _ => None,
        };
        if let Some(handle) = place {
            let ours = self.caller.as_ref().and_then(|it| it.handles.get(handle));
            *handle = *ours.ok_or_else(|| {
                Condition::new(
                    "amqp:session:unattached-handle",
                    "a frame came for a link that is not there",
                )
            })?;
        }
        Ok(performative)
    }
}
