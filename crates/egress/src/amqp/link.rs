//! One connection with one link to an entity, and a pair to put tokens.

use super::error::{SendError, Why};
use super::token::Put;
use super::{ANSWER_WITHIN, CONNECT_WITHIN, Endpoint};
use crate::client::{Client, EgressError, shortened};
use ::amqp::message::BATCH;
use ::amqp::performative::{Role, Terminus};
use ::amqp::{Attach, Connection, Event, LinkId, Message, Outcome, Value};
use bytes::{Bytes, BytesMut};
use model::Timestamp;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::client::TlsStream;

/// Largest message that comes: answers to tokens.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// How much is read at once.
const READ_BYTES: usize = 16 << 10;
/// How many answers about tokens may come at once.
const CREDIT: u32 = 8;
const CBS: &str = "$cbs";
const REPLIES: &str = "cbs-replies";

pub(super) struct Link {
    reader: ReadHalf<TlsStream<TcpStream>>,
    writer: WriteHalf<TlsStream<TcpStream>>,
    engine: Connection,
    incoming: BytesMut,
    outgoing: BytesMut,
    is_flushed: bool,
    spoke: Instant,
    entity: LinkId,
    requests: LinkId,
    replies: LinkId,
    /// Of the next token.
    next_id: u64,
    sent: u64,
    renewal: Timestamp,
    /// The largest message that the entity takes.
    pub(super) message_bytes_max: usize,
    /// When something was sent last.
    pub(super) used: Instant,
}

/// What became of a message.
pub(super) type Settled = (u32, Result<(), SendError>);

impl Link {
    /// Connects, puts the token and attaches the link to the entity.
    pub(super) async fn open(
        client: &Client,
        endpoint: &Endpoint,
        token: &Put,
    ) -> Result<Self, SendError> {
        let connected = timeout(CONNECT_WITHIN, Self::connect(client, endpoint)).await;
        let mut link = connected.unwrap_or_else(|_| Err(EgressError::TimedOut.into()))?;
        let attached = timeout(ANSWER_WITHIN, async {
            link.requests = link.attach(Role::Sender, CBS, "cbs-requests").await?;
            link.replies = link.attach(Role::Receiver, CBS, REPLIES).await?;
            link.engine.grant(link.replies, CREDIT);
            Ok::<(), SendError>(())
        });
        attached.await.unwrap_or_else(|_| Err(EgressError::TimedOut.into()))?;
        link.put(token).await?;
        let ready = timeout(ANSWER_WITHIN, async {
            link.entity = link.attach(Role::Sender, &endpoint.entity, "sender").await?;
            // A link that is refused is there for a moment; one that is let be gets credit.
            while !link.engine.can_send(link.entity) {
                link.event().await?;
            }
            Ok::<(), SendError>(())
        });
        ready.await.unwrap_or_else(|_| Err(EgressError::TimedOut.into()))?;
        Ok(link)
    }

    async fn connect(client: &Client, endpoint: &Endpoint) -> Result<Self, SendError> {
        let Endpoint { host, port, .. } = endpoint;
        let stream = client.dial(host, *port).await?;
        // A batch and its answer go one after the other.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = split(client.secure(host, stream).await?);
        // Until it is attached, a link is none that there could be.
        let none = LinkId { channel: u16::MAX, handle: u32::MAX };
        let mut link = Self {
            reader,
            writer,
            engine: Connection::to("hubward".to_owned(), host.clone(), MESSAGE_BYTES_MAX),
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            is_flushed: true,
            spoke: Instant::now(),
            entity: none,
            requests: none,
            replies: none,
            next_id: 0,
            sent: 0,
            renewal: Timestamp::from_seconds(0),
            message_bytes_max: usize::MAX,
            used: Instant::now(),
        };
        while !link.engine.is_open() {
            link.next().await?;
        }
        Ok(link)
    }

    async fn attach(&mut self, role: Role, address: &str, name: &str) -> Result<LinkId, SendError> {
        let at =
            |address: &str| Terminus { address: Some(address.to_owned()), ..Terminus::default() };
        let (source, target) = match role {
            Role::Sender => (at(name), at(address)),
            Role::Receiver => (at(address), at(name)),
        };
        let attach = Attach {
            name: name.to_owned(),
            handle: 0,
            role,
            sender_settles: if role == Role::Sender { 0 } else { 2 },
            receiver_settles: 0,
            source,
            target,
            initial_delivery_count: (role == Role::Sender).then_some(0),
            max_message_size: Some(MESSAGE_BYTES_MAX as u64),
            desired_capabilities: Value::Null,
            properties: Value::Null,
        };
        let full = || SendError::unreachable("the connection takes no more links");
        let ours = self.engine.attach(attach).ok_or_else(full)?;
        loop {
            match self.next().await? {
                Event::Attached { link, attach } if link == ours => {
                    let largest = attach.max_message_size.filter(|it| *it > 0);
                    self.message_bytes_max =
                        largest.and_then(|it| usize::try_from(it).ok()).unwrap_or(usize::MAX);
                    return Ok(ours);
                }
                Event::Detached { error, .. } => return Err(SendError::of(error)),
                _ => {}
            }
        }
    }

    /// Shows a token, and waits until it is taken.
    pub(super) async fn put(&mut self, token: &Put) -> Result<(), SendError> {
        let put = timeout(ANSWER_WITHIN, self.putting(token)).await;
        put.unwrap_or_else(|_| Err(EgressError::TimedOut.into()))?;
        self.renewal = token.renewal;
        Ok(())
    }

    async fn putting(&mut self, token: &Put) -> Result<(), SendError> {
        let id = self.next_id;
        self.next_id += 1;
        while !self.engine.can_send(self.requests) {
            self.event().await?;
        }
        let request = token.message(id, REPLIES).write();
        self.sent += 1;
        self.engine.send(self.requests, tag(self.sent), &request, 0, false);
        let own = Value::string(id.to_string());
        loop {
            let Event::Delivery { link, delivery } = self.next().await? else { continue };
            if !delivery.settled {
                self.engine.settle(link, delivery.id, Outcome::Accepted);
            }
            self.engine.grant(link, 1);
            let Ok(answer) = Message::read(delivery.payload) else { continue };
            if answer.properties.correlation_id != own {
                continue;
            }
            let status = answer.property("status-code").and_then(Value::signed);
            let said = answer.property("status-description").and_then(Value::text);
            return match status {
                Some(200..=299) => Ok(()),
                status => Err(refused(status.unwrap_or_default(), said.unwrap_or_default())),
            };
        }
    }

    /// Sends a batch: its number.
    pub(super) fn send(&mut self, payload: &Bytes) -> Option<u32> {
        self.sent += 1;
        self.used = Instant::now();
        self.engine.send(self.entity, tag(self.sent), payload, BATCH, false)
    }

    pub(super) fn can_send(&self) -> bool {
        self.engine.can_send(self.entity)
    }

    /// How long the token is good enough.
    pub(super) fn renewal_in(&self, now: Timestamp) -> Duration {
        let left = self.renewal.seconds() - now.seconds();
        Duration::from_secs(u64::try_from(left).unwrap_or(0))
    }

    /// Waits for something to happen that the link goes on after: what became of a message, where it is that. May be
    /// dropped at any time.
    ///
    /// # Errors
    /// Where the link or the connection is over.
    pub(super) async fn event(&mut self) -> Result<Option<Settled>, SendError> {
        match self.next().await? {
            Event::Settled { link, id, outcome, .. } if link == self.entity => {
                self.used = Instant::now();
                Ok(Some((id, SendError::verdict(outcome))))
            }
            // Each of the three is needed.
            Event::Detached { error, .. } => Err(SendError::of(error)),
            _ => Ok(None),
        }
    }

    /// The next thing that comes, while what waits is written. May be dropped at any time.
    async fn next(&mut self) -> Result<Event, SendError> {
        loop {
            match self.engine.next_event() {
                Some(Event::Closed(condition)) => return Err(SendError::of(condition)),
                Some(Event::Failed(condition)) => {
                    let what = format!("the target does not speak AMQP as it should: {condition}");
                    return Err(SendError::unreachable(what));
                }
                Some(event) => return Ok(event),
                None => {}
            }
            self.outgoing.unsplit(self.engine.take_outgoing());
            self.is_flushed &= self.outgoing.is_empty();
            // Twice as often as the peer wants to hear us.
            let silence = self.engine.peer_idle().map_or(ANSWER_WITHIN, |it| it / 2);
            let Self { reader, writer, incoming, outgoing, .. } = self;
            incoming.reserve(READ_BYTES);
            let gone = |it: std::io::Error| SendError::unreachable(it.to_string());
            tokio::select! {
                read = reader.read_buf(incoming) => {
                    if read.map_err(gone)? == 0 {
                        return Err(SendError::unreachable("the target has closed the connection"));
                    }
                    self.engine.feed(incoming);
                    incoming.clear();
                }
                wrote = write(writer, outgoing), if !self.is_flushed => {
                    wrote.map_err(gone)?;
                    self.spoke = Instant::now();
                    self.is_flushed = self.outgoing.is_empty();
                }
                () = sleep_until(self.spoke + silence) => {
                    self.engine.keep_alive();
                    self.spoke = Instant::now();
                }
            }
        }
    }

    /// Says good-bye, as far as that goes without waiting.
    pub(super) async fn close(mut self) {
        self.engine.close(None);
        self.outgoing.unsplit(self.engine.take_outgoing());
        let last = async {
            write(&mut self.writer, &mut self.outgoing).await?;
            self.writer.shutdown().await
        };
        let _ = timeout(Duration::from_secs(1), last).await;
    }
}

async fn write(
    writer: &mut WriteHalf<TlsStream<TcpStream>>,
    outgoing: &mut BytesMut,
) -> std::io::Result<()> {
    while !outgoing.is_empty() {
        if writer.write_buf(outgoing).await? == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
    }
    writer.flush().await
}

/// A tag that no other message of the connection has.
fn tag(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// Why a token was not taken.
fn refused(status: i64, said: &str) -> SendError {
    let why = match status {
        429 | 503 => Why::Throttled,
        500..=599 => Why::Unreachable,
        404 => Why::NotFound,
        _ => Why::Unauthorized,
    };
    SendError::new(why, &status.to_string(), shortened(said))
}
