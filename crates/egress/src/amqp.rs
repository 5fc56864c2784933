//! Messages to an event hub, a queue or a topic, over AMQP.
//!
//! A [`Sender`] is one link to one entity. It connects when it has something to send, keeps the connection for the next
//! time, and connects anew after whatever ended it. What becomes of each message is answered; nothing is tried again
//! here but what a connection that was kept has lost. A target that wants us elsewhere is not followed.

mod batch;
mod error;
mod link;
mod token;

use crate::client::Client;
use crate::credential::{Now, TokenSource};
use batch::{Batch, Next, Queue};
use link::Link;
use model::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

pub use ::amqp::{Body, Message, Properties, Value};
pub use batch::PARTITION_KEY;
pub use error::{SendError, Why};

/// How long a connection may take, TLS and the first words of AMQP included.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long each answer of the target may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// For how long a connection is kept that nothing is sent over.
pub const IDLE: Duration = Duration::from_secs(60);
/// How many bytes of messages may wait for their answers.
const UNDER_WAY_BYTES_MAX: usize = 4 << 20;

/// Where messages go: `{host}:{port}`, and there an event hub, one of its partitions as `hub/Partitions/0`, a queue or
/// a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub entity: String,
}

/// By what the target lets us in.
#[derive(Clone)]
pub enum Credential {
    /// A shared access policy's name and key, the text that connection strings hold.
    Key {
        name: String,
        key: Secret<String>,
    },
    Token(Arc<dyn TokenSource>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { name, key } => {
                f.debug_struct("Key").field("name", name).field("key", key).finish()
            }
            Self::Token(_) => f.write_str("Token"),
        }
    }
}

/// Sends to one entity.
pub struct Sender {
    client: Client,
    endpoint: Endpoint,
    credential: Credential,
    now: Now,
    link: Option<Link>,
}

/// What becomes of each message, in their order.
pub type Verdicts = Vec<Result<(), SendError>>;

impl Sender {
    /// A sender that has not connected yet. `now` is the wall clock, by which tokens are made and renewed.
    pub const fn new(client: Client, endpoint: Endpoint, credential: Credential, now: Now) -> Self {
        Self { client, endpoint, credential, now, link: None }
    }

    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Shows another credential from now on; the connection begins anew with it.
    pub fn set_credential(&mut self, credential: Credential) {
        self.credential = credential;
        self.link = None;
    }

    /// Sends messages and answers what became of each: one verdict a message, in their order.
    ///
    /// They go in batches of at most 1 MiB, and of no more than the entity takes; those with one
    /// [`PARTITION_KEY`] go together and in their order. After the first that the target does not take *now*
    /// nothing more is sent, and all that are left have that verdict: sending them again keeps their order. A message
    /// that is refused for good holds none of the others up. One without a verdict of the target may have arrived all
    /// the same.
    pub async fn send(&mut self, messages: &[Message]) -> Verdicts {
        let mut sending = Sending::new(messages);
        while !sending.is_done() {
            let was_kept = self.link.is_some();
            let error = match self.ready().await {
                Ok(link) => match sending.run(link).await {
                    Ok(()) => break,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            self.link = None;
            // What a kept connection says may be old: of a token, of a peer that has gone since.
            let is_over = matches!(error.why, Why::Unreachable | Why::Unauthorized);
            if !was_kept || !is_over {
                sending.give_up(&error);
            }
        }
        let unsaid = || Err(SendError::unreachable("the message was not sent"));
        sending.verdicts.into_iter().map(|it| it.unwrap_or_else(unsaid)).collect()
    }

    /// Keeps the connection while nothing is to be sent: says that we are there, renews the token, and closes once
    /// nothing has been sent for [`IDLE`]. Never ends; wait for it beside whatever else is awaited, and drop it at any
    /// time.
    pub async fn rest(&mut self) -> Infallible {
        loop {
            let Some(link) = &mut self.link else { return std::future::pending().await };
            let renewal = Instant::now() + link.renewal_in((self.now)());
            let idle = link.used + IDLE;
            tokio::select! {
                event = link.event() => if event.is_err() {
                    self.link = None;
                },
                () = sleep_until(idle) => self.close().await,
                () = sleep_until(renewal) => if self.ready().await.is_err() {
                    self.link = None;
                },
            }
        }
    }

    /// Says good-bye.
    pub async fn close(&mut self) {
        if let Some(link) = self.link.take() {
            link.close().await;
        }
    }

    /// A link that can be sent over, by a token that holds.
    async fn ready(&mut self) -> Result<&mut Link, SendError> {
        let now = (self.now)();
        if self.link.as_ref().is_some_and(|it| it.used.elapsed() >= IDLE) {
            self.link = None;
        }
        let link = match self.link.take() {
            Some(mut link) => {
                if link.renewal_in(now) == Duration::ZERO {
                    let token = token::of(&self.credential, &self.endpoint, now).await?;
                    link.put(&token).await?;
                }
                link
            }
            None => {
                let token = token::of(&self.credential, &self.endpoint, now).await?;
                Link::open(&self.client, &self.endpoint, &token).await?
            }
        };
        Ok(self.link.insert(link))
    }
}

/// How far the messages of one call are.
struct Sending<'a> {
    messages: &'a [Message],
    verdicts: Vec<Option<Result<(), SendError>>>,
}

/// Batches on their way.
#[derive(Default)]
struct UnderWay {
    batches: BTreeMap<u32, Batch>,
    keys: BTreeSet<Option<String>>,
    bytes: usize,
}

impl UnderWay {
    fn insert(&mut self, id: u32, batch: Batch) {
        self.bytes += batch.payload.len();
        self.keys.insert(batch.key.clone());
        self.batches.insert(id, batch);
    }

    fn remove(&mut self, id: u32) -> Option<Batch> {
        let batch = self.batches.remove(&id)?;
        self.bytes -= batch.payload.len();
        self.keys.remove(&batch.key);
        Some(batch)
    }

    /// One batch of a key at a time keeps its order.
    fn has_room_for(&self, batch: &Batch) -> bool {
        let is_empty = self.batches.is_empty();
        let fits = self.bytes + batch.payload.len() <= UNDER_WAY_BYTES_MAX;
        is_empty || (fits && !self.keys.contains(&batch.key))
    }
}

impl<'a> Sending<'a> {
    fn new(messages: &'a [Message]) -> Self {
        Self { messages, verdicts: vec![None; messages.len()] }
    }

    fn is_done(&self) -> bool {
        self.verdicts.iter().all(Option::is_some)
    }

    /// Whatever has no verdict has this one.
    fn give_up(&mut self, error: &SendError) {
        for it in self.verdicts.iter_mut().filter(|it| it.is_none()) {
            *it = Some(Err(error.clone()));
        }
    }

    fn judge(&mut self, messages: &[usize], verdict: &Result<(), SendError>) {
        for at in messages {
            if let Some(place) = self.verdicts.get_mut(*at) {
                *place = Some(verdict.clone());
            }
        }
    }

    /// Sends all that has no verdict. Then all have one, unless the link is over.
    ///
    /// # Errors
    /// Why the link is over.
    async fn run(&mut self, link: &mut Link) -> Result<(), SendError> {
        let left = (0..).zip(&self.verdicts).filter(|(_, it)| it.is_none()).map(|(at, _)| at);
        let mut queue = Queue::new(self.messages, left);
        let mut under_way = UnderWay::default();
        let mut waiting: Option<Batch> = None;
        let mut stop: Option<SendError> = None;
        let mut deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            while stop.is_none() {
                let Some(batch) = waiting.take().or_else(|| self.next(&mut queue, link)) else {
                    break;
                };
                if !under_way.has_room_for(&batch) || !link.can_send() {
                    waiting = Some(batch);
                    break;
                }
                match link.send(&batch.payload) {
                    Some(id) => under_way.insert(id, batch),
                    None => waiting = Some(batch),
                }
            }
            if under_way.batches.is_empty() && (stop.is_some() || waiting.is_none()) {
                if let Some(error) = stop {
                    self.give_up(&error);
                }
                return Ok(());
            }
            let silent = |_| SendError::unreachable("the target did not answer in time");
            let event = timeout_at(deadline, link.event()).await.map_err(silent)??;
            let Some((id, verdict)) = event else { continue };
            let Some(batch) = under_way.remove(id) else { continue };
            deadline = Instant::now() + ANSWER_WITHIN;
            match verdict {
                // It may be for one of them: alone, each answers for itself.
                Err(error) if error.why == Why::Refused && batch.messages.len() > 1 => {
                    if let Some(later) = waiting.take() {
                        queue.again(later);
                    }
                    queue.again_singly(batch);
                }
                verdict => {
                    self.judge(&batch.messages, &verdict);
                    let is_now = |it: &SendError| it.why != Why::Refused;
                    stop = stop.or(verdict.err().filter(is_now));
                }
            }
        }
    }

    /// The next batch; what no batch has room for is refused here.
    fn next(&mut self, queue: &mut Queue<'_>, link: &Link) -> Option<Batch> {
        loop {
            match queue.next(link.message_bytes_max)? {
                Next::Batch(batch) => return Some(batch),
                Next::TooLong(at, length) => {
                    let what =
                        format!("a message of {length} bytes is longer than the target takes");
                    let condition = "amqp:link:message-size-exceeded";
                    self.judge(&[at], &Err(SendError::new(Why::Refused, condition, what)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rule;
    use model::Timestamp;
    use tokio::net::TcpListener;

    /// Somebody who accepts connections and says nothing holds nobody up for long.
    #[tokio::test(start_paused = true)]
    async fn a_silent_target_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let rule = Rule::new(vec!["127.0.0.1".parse().unwrap()]);
        // A file without certificates: nobody is believed.
        let client = Client::new(rule, concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into());
        let endpoint = Endpoint { host: "127.0.0.1".into(), port, entity: "readings".into() };
        let key = Secret::new("c2VjcmV0".to_owned());
        let credential = Credential::Key { name: "send".to_owned(), key };
        assert_eq!(format!("{credential:?}"), r#"Key { name: "send", key: *** }"#);
        let now = Arc::new(|| Timestamp::from_seconds(1_000_000));
        let mut sender = Sender::new(client, endpoint, credential, now);
        let began = Instant::now();
        let verdicts = sender.send(&[Message::default()]).await;
        let Some(Err(error)) = verdicts.first() else { panic!("{verdicts:?}") };
        assert_eq!(
            (error.why, error.description.as_str()),
            (Why::Unreachable, "it did not answer in time")
        );
        assert_eq!(began.elapsed().as_secs(), CONNECT_WITHIN.as_secs());
    }
}
