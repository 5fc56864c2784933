//! Bytes to frames, and the frames that are about the connection itself.

use super::session::Session;
use super::{
    CHANNEL_MAX, Connection, Event, FRAME_BYTES_MAX, FRAME_BYTES_MIN, HEADER_AMQP, HEADER_BYTES,
    HEADER_SASL, IDLE_TIME_OUT, IDLE_TIME_OUT_MIN, KIND_AMQP, KIND_SASL, LinkId, Phase, illegal,
};
use crate::performative::{Begin, Condition, Open, Performative, read};
use bytes::{Buf, BufMut};
use std::time::Duration;

impl Connection {
    pub(super) fn header(&mut self, after_sasl: bool) -> Result<bool, Condition> {
        if self.caller.is_some() {
            return self.header_of_answerer(after_sasl);
        }
        let Some(header) = self.incoming.first_chunk::<HEADER_BYTES>().copied() else {
            return Ok(false);
        };
        self.incoming.advance(HEADER_BYTES);
        match (header, after_sasl) {
            (HEADER_AMQP, _) => {
                self.outgoing.put_slice(&HEADER_AMQP);
                self.phase = Phase::Opening;
                Ok(true)
            }
            (HEADER_SASL, false) => {
                self.outgoing.put_slice(&HEADER_SASL);
                let mechanisms = self.mechanisms.iter().map(|it| (*it).to_owned()).collect();
                self.put(KIND_SASL, 0, &Performative::Mechanisms(mechanisms));
                self.phase = Phase::Sasl { is_challenged: false };
                Ok(true)
            }
            (_, _) => {
                // The header that is served, and then nothing. Source: the standard, section 2.2.
                self.outgoing.put_slice(&HEADER_AMQP);
                let error = Condition::new("amqp:framing-error", "the first bytes are no header");
                self.end();
                self.events.push_back(Event::Failed(error));
                Ok(true)
            }
        }
    }

    /// Takes one frame, where one is there.
    pub(super) fn frame(&mut self) -> Result<bool, Condition> {
        let broken = |what: &str| Condition::new("amqp:connection:framing-error", what);
        let Some(head) = self.incoming.first_chunk::<HEADER_BYTES>().copied() else {
            return Ok(false);
        };
        let [a, b, c, d, offset, kind, high, low] = head;
        let size = u32::from_be_bytes([a, b, c, d]);
        let from = usize::from(offset) * 4;
        if size > FRAME_BYTES_MAX {
            let what =
                format!("a frame of {size} bytes came, and at most {FRAME_BYTES_MAX} are taken");
            return Err(broken(&what));
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if from < HEADER_BYTES || size < from {
            return Err(broken("a frame is shorter than its header"));
        }
        if self.incoming.len() < size {
            return Ok(false);
        }
        let mut body = self.incoming.split_to(size).freeze();
        body.advance(from);
        let wanted = match self.phase {
            Phase::Sasl { .. } => KIND_SASL,
            _ => KIND_AMQP,
        };
        if kind != wanted {
            return Err(broken("a frame is of another kind than is awaited"));
        }
        if body.is_empty() {
            return Ok(true);
        }
        let undecodable =
            |it: &dyn std::fmt::Display| Condition::new("amqp:decode-error", it.to_string());
        let performative = read(&mut body).map_err(|it| undecodable(&it))?;
        self.performed(u16::from_be_bytes([high, low]), performative).map(|()| true)
    }

    fn performed(&mut self, channel: u16, performative: Performative) -> Result<(), Condition> {
        if self.caller.is_some() {
            return self.answered(channel, performative);
        }
        match (self.phase, performative) {
            (
                Phase::Sasl { is_challenged: false },
                Performative::Init { mechanism, response, .. },
            ) => match self.mechanisms.contains(&mechanism.as_str()) {
                true => self.events.push_back(Event::Sasl { mechanism, response }),
                false => self.sasl(false),
            },
            (Phase::Sasl { is_challenged: true }, Performative::Response(response)) => {
                self.events.push_back(Event::SaslResponse(response));
            }
            (Phase::Opening, Performative::Open(open)) => self.opened(open)?,
            (Phase::Open, Performative::Begin(begin)) => self.begun(channel, &begin)?,
            (Phase::Open, Performative::Close(error)) => {
                self.close(None);
                self.events.push_back(Event::Closed(error));
            }
            (Phase::Open, Performative::End(error)) => self.ended(channel, error.as_ref())?,
            (Phase::Open, performative) => self.within(channel, performative)?,
            (_, _) => return Err(illegal("a frame came that is not awaited now")),
        }
        Ok(())
    }

    pub(super) fn opened(&mut self, open: Open) -> Result<(), Condition> {
        self.frame_bytes = open.max_frame_size.unwrap_or(u32::MAX).min(FRAME_BYTES_MAX);
        if self.frame_bytes < FRAME_BYTES_MIN {
            let what = format!("`max-frame-size` is at least {FRAME_BYTES_MIN}");
            return Err(Condition::new("amqp:invalid-field", what));
        }
        self.idle =
            open.idle_time_out.filter(|it| *it > 0).map(|it| Duration::from_millis(it.into()));
        self.phase = Phase::Open;
        if self.caller.is_none() {
            self.put_open();
        }
        if self.idle.is_some_and(|it| it < IDLE_TIME_OUT_MIN) {
            let what = "an `idle-time-out` below a second cannot be kept to";
            return Err(Condition::new("amqp:not-allowed", what));
        }
        self.events.push_back(Event::Opened(open));
        Ok(())
    }

    pub(super) fn put_open(&mut self) {
        let open = Open {
            container_id: self.container_id.clone(),
            hostname: self.hostname(),
            max_frame_size: Some(FRAME_BYTES_MAX),
            channel_max: Some(CHANNEL_MAX),
            idle_time_out: u32::try_from(IDLE_TIME_OUT.as_millis()).ok(),
        };
        self.put(KIND_AMQP, 0, &Performative::Open(open));
    }

    fn begun(&mut self, channel: u16, begin: &Begin) -> Result<(), Condition> {
        if channel > CHANNEL_MAX {
            let what = format!("channels go up to {CHANNEL_MAX}");
            return Err(Condition::new("amqp:connection:framing-error", what));
        }
        if self.sessions.contains_key(&channel) {
            return Err(illegal("a session began on a channel that has one"));
        }
        let session = Session::new(begin);
        let answer = session.begin(Some(channel));
        self.sessions.insert(channel, session);
        self.put(KIND_AMQP, channel, &Performative::Begin(answer));
        Ok(())
    }

    fn ended(&mut self, channel: u16, error: Option<&Condition>) -> Result<(), Condition> {
        let Some(session) = self.sessions.remove(&channel) else {
            return Err(illegal("a session ended that is not there"));
        };
        for (handle, link) in session.links {
            self.left(&link);
            if !link.is_leaving {
                let link = LinkId { channel, handle };
                self.events.push_back(Event::Detached { link, error: error.cloned() });
            }
        }
        self.put(KIND_AMQP, channel, &Performative::End(None));
        Ok(())
    }
}
