//! An AMQP client for tests: says what it is told, and shows what came back.

use crate::mqtt_client::{Closed, Stream};
use crate::wire_client::{PATIENCE, Wire};
use amqp::performative::{
    Begin, Disposition, Flow, Open, Performative, Role, Terminus, Transfer, read, write,
};
use amqp::{Attach, Body, Condition, Message, Outcome, Properties, Value};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// What of a message goes into one frame: the server takes 65,536 bytes.
const PART_BYTES: usize = 60_000;
const HEADER: &[u8] = b"AMQP\0\x01\0\0";

/// A message that came, with the number by which it is settled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivered {
    pub handle: u32,
    pub id: u32,
    pub tag: Bytes,
    pub settled: bool,
    pub message: Message,
}

/// Whether what comes over a link is settled by that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IsSettled {
    Yes,
    No,
}

/// A connection to a server's AMQP port, or in a WebSocket, with one session.
pub struct Amqp {
    stream: Box<dyn Stream>,
    incoming: BytesMut,
    /// What came while something else was awaited.
    aside: VecDeque<Performative>,
    handles: u32,
    deliveries: u32,
    partial: BytesMut,
    /// Of the first part of what comes.
    first: (u32, Bytes),
    /// The links to `$cbs`, once they are there.
    cbs: Option<u32>,
}

impl Amqp {
    /// Opens a connection and says nothing yet.
    ///
    /// # Errors
    /// Where nobody listens, or the server does not prove itself.
    pub fn open(wire: &Wire, host: &str, port: u16) -> io::Result<Self> {
        Ok(Self::over(wire.connects(&format!("{host}:{port}"))?))
    }

    /// The same over any stream, such as a WebSocket's.
    pub fn over(stream: impl Read + Write + Send + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            incoming: BytesMut::new(),
            aside: VecDeque::new(),
            handles: 0,
            deliveries: 0,
            partial: BytesMut::new(),
            first: (0, Bytes::new()),
            cbs: None,
        }
    }

    /// Opens a connection and a session, without SASL.
    pub fn begin(wire: &Wire, host: &str, port: u16) -> Self {
        let mut client = Self::open(wire, host, port).expect("the server listens");
        client.says_hello();
        client
    }

    /// The header, an open and a begin.
    pub fn says_hello(&mut self) {
        self.send_bytes(HEADER).expect("sent");
        let open =
            Open { container_id: "test".into(), max_frame_size: Some(65_536), ..Open::default() };
        self.says(0, &Performative::Open(open));
        let begin =
            Begin { incoming_window: 1_000_000, outgoing_window: 1_000_000, ..Begin::default() };
        self.says(0, &Performative::Begin(begin));
        self.awaits(|it| matches!(it, Performative::Begin(_)));
    }

    /// Puts a token: the status and description of the answer.
    pub fn puts_token(&mut self, name: &str, token: &str) -> (i64, String) {
        let cbs = match self.cbs {
            Some(cbs) => cbs,
            None => {
                self.receives("$cbs").expect("attached");
                let cbs = self.sends_to("$cbs").expect("attached");
                *self.cbs.insert(cbs)
            }
        };
        let pair = |name: &str, value: &str| (Value::string(name), Value::string(value));
        let request = Message {
            // As a service's client for Python has it.
            properties: Properties { message_id: Value::Ulong(7), ..Properties::default() },
            application: vec![
                pair("operation", "put-token"),
                pair("type", "servicebus.windows.net:sastoken"),
                pair("name", name),
            ],
            body: Body::Value(Value::string(token)),
            ..Message::default()
        };
        assert_eq!(self.sends(cbs, &request), Outcome::Accepted);
        let answer = self.hears().message;
        assert_eq!(answer.properties.correlation_id, Value::Ulong(7));
        let status = answer.property("status-code").and_then(Value::signed).unwrap_or_default();
        let description = answer.property("status-description").and_then(Value::text);
        (status, description.unwrap_or("").to_owned())
    }

    /// Attaches a link over which it sends: its handle.
    ///
    /// # Errors
    /// Why the server refused it.
    pub fn sends_to(&mut self, address: &str) -> Result<u32, Condition> {
        self.attaches(Role::Sender, address, None, Value::Null, 2)
    }

    /// Attaches a link on which it receives, with credit for a hundred messages.
    ///
    /// # Errors
    /// Why the server refused it.
    pub fn receives(&mut self, address: &str) -> Result<u32, Condition> {
        self.receives_with(address, None, Value::Null)
    }

    /// The same with the text of a filter and with properties.
    ///
    /// # Errors
    /// Why the server refused it.
    pub fn receives_with(
        &mut self,
        address: &str,
        filter: Option<&str>,
        properties: Value,
    ) -> Result<u32, Condition> {
        let handle = self.attaches(Role::Receiver, address, filter, properties, 0)?;
        self.takes(handle, 0, 100);
        Ok(handle)
    }

    /// The same for so many messages, each settled by being sent where `is_settled`.
    ///
    /// # Errors
    /// Why the server refused it.
    pub fn receives_some(
        &mut self,
        address: &str,
        is_settled: IsSettled,
        count: u32,
    ) -> Result<u32, Condition> {
        let mode = u8::from(is_settled == IsSettled::Yes);
        let handle = self.attaches(Role::Receiver, address, None, Value::Null, mode)?;
        self.takes(handle, 0, count);
        Ok(handle)
    }

    /// Takes so many messages over a link, after as many came as it says.
    pub fn takes(&mut self, handle: u32, came: u32, count: u32) {
        let flow = Flow {
            next_incoming_id: Some(0),
            incoming_window: 1_000_000,
            handle: Some(handle),
            delivery_count: Some(came),
            link_credit: Some(count),
            ..Flow::default()
        };
        self.says(0, &Performative::Flow(flow));
    }

    fn attaches(
        &mut self,
        role: Role,
        address: &str,
        filter: Option<&str>,
        properties: Value,
        sender_settles: u8,
    ) -> Result<u32, Condition> {
        let handle = self.handles;
        self.handles += 1;
        let selector = Value::symbol("apache.org:selector-filter:string");
        let filter = filter.map(|it| {
            let described = Value::Described(Box::new((selector.clone(), Value::string(it))));
            Value::Map(vec![(selector.clone(), described)])
        });
        let at = |filter| Terminus { address: Some(address.to_owned()), is_dynamic: false, filter };
        let attach = Attach {
            name: format!("link-{handle}"),
            handle,
            role,
            sender_settles,
            // The second, where it can be had: who decides waits to hear what came of it.
            receiver_settles: u8::from(sender_settles == 0),
            source: at(filter),
            target: at(None),
            initial_delivery_count: (role == Role::Sender).then_some(0),
            max_message_size: None,
            desired_capabilities: Value::Null,
            properties,
        };
        self.says(0, &Performative::Attach(Box::new(attach)));
        self.awaits(|it| matches!(it, Performative::Attach(it) if it.handle == handle));
        // Whoever may send hears so; a receiver that is let be hears nothing, and an echo tells.
        if role == Role::Receiver {
            let echo = Flow { incoming_window: 1_000_000, echo: true, ..Flow::default() };
            self.says(0, &Performative::Flow(echo));
        }
        let own = (role == Role::Sender).then_some(handle);
        let is_echo = |it: &Performative| matches!(it, Performative::Flow(it) if it.handle == own);
        let is_end = |it: &Performative| matches!(it, Performative::Detach { handle: its, .. } if *its == handle);
        let mut refused = None;
        if let Performative::Detach { error, .. } = self.awaits(|it| is_echo(it) || is_end(it)) {
            refused = error;
            if role == Role::Receiver {
                self.awaits(is_echo);
            }
        }
        match refused {
            Some(_) => Err(self.answers_detach(handle, refused)),
            None => Ok(handle),
        }
    }

    fn answers_detach(&mut self, handle: u32, error: Option<Condition>) -> Condition {
        self.says(0, &Performative::Detach { handle, closed: true, error: None });
        error.expect("a refusal has a reason")
    }

    /// Detaches a link.
    pub fn detaches(&mut self, handle: u32) {
        self.says(0, &Performative::Detach { handle, closed: true, error: None });
        self.awaits(|it| matches!(it, Performative::Detach { handle: its, .. } if *its == handle));
    }

    /// Sends a message and waits for what becomes of it.
    pub fn sends(&mut self, handle: u32, message: &Message) -> Outcome {
        self.sends_as(handle, message.write(), 0)
    }

    /// The same for any bytes, in any format.
    pub fn sends_as(&mut self, handle: u32, payload: Bytes, format: u32) -> Outcome {
        let id = self.transfers(handle, payload, format, false);
        let heard = self.awaits(|it| {
            matches!(it, Performative::Disposition(it)
                if (it.first..=it.last.unwrap_or(it.first)).contains(&id) && it.role == Role::Receiver)
        });
        let Performative::Disposition(Disposition { outcome: Some(outcome), .. }) = heard else {
            panic!("the server says nothing of a message: {heard:?}");
        };
        outcome
    }

    /// Sends and does not wait: the delivery's number.
    pub fn transfers(&mut self, handle: u32, payload: Bytes, format: u32, more: bool) -> u32 {
        let id = self.deliveries;
        self.deliveries += 1;
        let mut left = payload;
        loop {
            let payload = left.split_to(left.len().min(PART_BYTES));
            let transfer = Transfer {
                handle,
                delivery_id: Some(id),
                delivery_tag: Some(Bytes::copy_from_slice(&id.to_be_bytes())),
                message_format: Some(format),
                settled: Some(false),
                more: more || !left.is_empty(),
                payload,
                ..Transfer::default()
            };
            self.says(0, &Performative::Transfer(transfer));
            if left.is_empty() {
                return id;
            }
        }
    }

    /// The next message.
    #[track_caller]
    pub fn hears(&mut self) -> Delivered {
        loop {
            let heard = self
                .awaits(|it| matches!(it, Performative::Transfer(_) | Performative::Detach { .. }));
            let Performative::Transfer(part) = heard else {
                panic!("a message was awaited and came {heard:?}");
            };
            self.partial.extend_from_slice(&part.payload);
            if let (Some(id), Some(tag)) = (part.delivery_id, part.delivery_tag) {
                self.first = (id, tag);
            }
            if !part.more {
                let payload = std::mem::take(&mut self.partial).freeze();
                return Delivered {
                    handle: part.handle,
                    id: self.first.0,
                    tag: self.first.1.clone(),
                    settled: part.settled.unwrap_or(false),
                    message: Message::read(payload).expect("the server sends messages"),
                };
            }
        }
    }

    /// Says what became of a message.
    pub fn settles(&mut self, delivered: &Delivered, outcome: Outcome) {
        let disposition = Disposition {
            role: Role::Receiver,
            first: delivered.id,
            last: None,
            settled: true,
            outcome: Some(outcome),
        };
        self.says(0, &Performative::Disposition(disposition));
    }

    /// Says what is to become of a message, and waits to hear what came of that.
    #[track_caller]
    pub fn decides(&mut self, delivered: &Delivered, outcome: Outcome) -> Outcome {
        let id = delivered.id;
        let disposition = Disposition {
            role: Role::Receiver,
            first: id,
            last: None,
            settled: false,
            outcome: Some(outcome),
        };
        self.says(0, &Performative::Disposition(disposition));
        let heard = self.awaits(|it| {
            matches!(it, Performative::Disposition(it)
                if (it.first..=it.last.unwrap_or(it.first)).contains(&id) && it.role == Role::Sender)
        });
        let Performative::Disposition(Disposition { outcome: Some(outcome), .. }) = heard else {
            panic!("the server says nothing of a message: {heard:?}");
        };
        outcome
    }

    /// Asks at a desk, over links of its own: the answer.
    #[track_caller]
    pub fn asks(&mut self, desk: &str, operation: &str, body: Value) -> Message {
        let answers = self.receives(desk).expect("attached");
        let link = self.sends_to(desk).expect("attached");
        let request = Message {
            properties: Properties { message_id: Value::string("1"), ..Properties::default() },
            application: vec![(Value::string("operation"), Value::string(operation))],
            body: Body::Value(body),
            ..Message::default()
        };
        assert_eq!(self.sends(link, &request), Outcome::Accepted);
        let answer = self.hears().message;
        self.detaches(link);
        self.detaches(answers);
        answer
    }

    /// Waits until a link is ended: why.
    #[track_caller]
    pub fn loses(&mut self, handle: u32) -> Condition {
        let heard = self
            .awaits(|it| matches!(it, Performative::Detach { handle: its, .. } if *its == handle));
        let Performative::Detach { error, .. } = heard else { panic!("{heard:?}") };
        self.answers_detach(handle, error)
    }

    /// Waits until the server closes the connection: why, where it says so.
    pub fn until_closed(&mut self) -> Option<Condition> {
        let mut why = None;
        while let Ok(heard) = self.receive() {
            if let Performative::Close(condition) = heard {
                why = condition;
            }
        }
        why
    }

    /// True where the server has said nothing that was not awaited, once it has answered an echo.
    pub fn is_quiet(&mut self) -> bool {
        let echo = Flow { incoming_window: 1_000_000, echo: true, ..Flow::default() };
        self.says(0, &Performative::Flow(echo));
        self.awaits(|it| matches!(it, Performative::Flow(it) if it.handle.is_none()));
        !self.aside.iter().any(|it| matches!(it, Performative::Transfer(_)))
    }

    /// Writes a frame.
    pub fn says(&mut self, channel: u16, performative: &Performative) {
        let is_sasl = matches!(performative, Performative::Init { .. } | Performative::Response(_));
        let mut frame = BytesMut::from(&[0, 0, 0, 0, 2, is_sasl.into()][..]);
        frame.put_u16(channel);
        write(performative, &mut frame);
        let size = u32::try_from(frame.len()).expect("frames are short");
        frame.get_mut(..4).expect("a frame has a head").copy_from_slice(&size.to_be_bytes());
        // Whoever writes to one that is gone hears so when it reads.
        let _ = self.send_bytes(&frame);
    }

    /// Sends what may be no frame at all.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).map_err(|_| Closed)
    }

    /// The first thing of a kind; what comes before it is kept for later.
    #[track_caller]
    pub fn awaits(&mut self, is_it: impl Fn(&Performative) -> bool) -> Performative {
        if let Some(at) = self.aside.iter().position(&is_it) {
            return self.aside.remove(at).expect("it was found there");
        }
        loop {
            let heard = self.receive().expect("the server goes on");
            if is_it(&heard) {
                return heard;
            }
            assert!(!matches!(heard, Performative::Close(Some(_))), "{heard:?}");
            self.aside.push_back(heard);
        }
    }

    /// The next frame of the server that says something.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn receive(&mut self) -> Result<Performative, Closed> {
        loop {
            if self.incoming.starts_with(b"AMQP") && self.incoming.len() >= HEADER.len() {
                self.incoming.advance(HEADER.len());
            }
            if let Some(head) = self.incoming.first_chunk::<4>() {
                let size = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
                if !self.incoming.starts_with(b"AM") && self.incoming.len() >= size {
                    let mut body = self.incoming.split_to(size).freeze();
                    body.advance(8);
                    if body.is_empty() {
                        continue;
                    }
                    return Ok(read(&mut body).expect("the server sends frames"));
                }
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(Closed),
                Ok(count) => {
                    self.incoming.extend_from_slice(piece.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("the server said nothing for {PATIENCE:?}")
                }
                Err(_) => return Err(Closed),
            }
        }
    }
}
