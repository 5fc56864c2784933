//! The built-in endpoint: what devices have sent, read by services as from an event hub of the hub's name.

use super::hubs;
use super::logs::{self, HubLog};
use super::message::Message;
use super::message::routed::EVENTS;
use super::readers::Claim;
use crate::call::{Failed, Passed};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::link::{Answering, Link};
use crate::session::{Ended, Shown};
use crate::targets::event_hubs;
use crate::targets::uses::Use;
use bytes::Bytes;
use gate::Permit;
use gate::facts::Hub;
use model::{Credential, Error, Scope, Timestamp, TrackingId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::log::{Bounds, Start};
use tokio::sync::watch;

/// The consumer group that every hub has.
pub const DEFAULT_GROUP: &str = "$Default";
/// Most messages that one look into the log takes, and most bytes of them.
const READ_RECORDS_MAX: usize = 256;
const READ_BYTES_MAX: usize = 512 << 10;

/// From where a reader wants to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    Start,
    End,
    /// Behind this offset, or at it where it is inclusive.
    Offset {
        offset: u64,
        is_inclusive: bool,
    },
    Sequence {
        sequence: u64,
        is_inclusive: bool,
    },
    /// What was enqueued later than this, in milliseconds since 1970, or then.
    Time {
        ms: i64,
        is_inclusive: bool,
    },
}

impl From {
    const fn start(self) -> Start {
        match self {
            Self::Start => Start::Earliest,
            Self::End => Start::Latest,
            Self::Offset { offset, is_inclusive: true } => Start::Offset(offset),
            Self::Offset { offset, is_inclusive: false } => Start::Offset(offset.saturating_add(1)),
            Self::Sequence { sequence, is_inclusive: true } => Start::Sequence(sequence),
            Self::Sequence { sequence, is_inclusive: false } => {
                Start::Sequence(sequence.saturating_add(1))
            }
            Self::Time { ms, is_inclusive: true } => Start::Time(ms),
            Self::Time { ms, is_inclusive: false } => Start::Time(ms.saturating_add(1)),
        }
    }
}

/// What a reader asks for, besides the place that its address names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    pub from: From,
    /// Its owner level: it wants the partition alone.
    pub level: Option<i64>,
    /// What it calls itself.
    pub name: String,
}

/// What was sent, where it lies.
#[derive(Clone, Debug)]
pub struct Event {
    pub sequence: u64,
    pub offset: u64,
    pub enqueued: Timestamp,
    pub kept: Kept,
}

#[derive(Clone, Debug)]
pub enum Kept {
    OfDevice(Message),
    /// To an event hub of a namespace: the whole message, encoded.
    AsSent(Bytes),
}

/// Somebody who reads a partition.
pub struct Reader {
    link: Link,
    log: HubLog,
    partition: u16,
    next: Start,
    claim: Claim,
}

impl Reader {
    /// Lets a reader in that has passed the gates.
    pub(crate) async fn begin(
        env: &Env,
        passed: Passed<'_>,
        shown: Shown,
        wish: Wish,
    ) -> Result<Self, Failed> {
        let input = passed.input.clone();
        let tracking = passed.head.id;
        let link = Link::begin(env, passed, shown)?;
        Self::at(env, &input, link, wish).await.map_err(|error| Failed { error, tracking })
    }

    async fn at(env: &Env, input: &Input, link: Link, wish: Wish) -> Result<Self, Error> {
        let group = input.param("group");
        let (log, uid) = match &link.answering {
            Answering::Hub(hub) => {
                expect_name(&hub.scope, input.param("eventHub"))?;
                let is_there = hubs::has_consumer_group(env, &hub.scope, group).await?;
                expect_group(is_there, "the hub", hub.scope.name(), group)?;
                (env.logs.of(hub, env).await?, hub.uid.clone())
            }
            Answering::Target(_) => {
                let facts = env.facts.load();
                let event_hub = event_hubs::active(&facts, link.scope(), Use::Receive)?;
                let is_there = facts.entity(link.scope()).is_some();
                expect_group(is_there, "the event hub", event_hub.scope.name(), group)?;
                (env.logs.of_event_hub(&event_hub, env).await?, event_hub.uid.clone())
            }
        };
        let partition = partition(input.param("partition"), log.partitions)?;
        let place = (uid, group.to_lowercase(), partition);
        let claim = env.readers.claim(place, wish.level, &wish.name)?;
        // The end is where it is now: what comes between here and the first look is to be read.
        let next = match wish.from.start() {
            Start::Latest => Start::Sequence(bounds(&log, partition)?.next_sequence),
            start @ (Start::Earliest | Start::Offset(_) | Start::Sequence(_) | Start::Time(_)) => {
                start
            }
        };
        Ok(Self { link, log, partition, next, claim })
    }

    /// What comes next, at most `count` messages; none where nothing has come yet. A record that is no message,
    /// or that routes take elsewhere, is left out.
    ///
    /// # Errors
    /// Why the link is over.
    pub async fn read(&mut self, env: &Env, count: usize) -> Result<Vec<Event>, Ended> {
        self.stands(env).await?;
        let count = count.clamp(1, READ_RECORDS_MAX);
        loop {
            let read = self.log.log.read(self.partition, self.next, count, READ_BYTES_MAX).await;
            let records = read.map_err(|it| Ended::Failed(logs::failed(&it)))?;
            let Some(last) = records.last() else { return Ok(Vec::new()) };
            self.next = Start::Sequence(last.position.sequence.saturating_add(1));
            let events: Vec<Event> = records
                .iter()
                .filter_map(|it| {
                    let kept = match &self.link.answering {
                        Answering::Hub(_) => {
                            Kept::OfDevice(Message::parse_for(&it.payload, EVENTS)?)
                        }
                        Answering::Target(_) => Kept::AsSent(it.payload.clone()),
                    };
                    Some(Event {
                        sequence: it.position.sequence,
                        offset: it.position.offset,
                        enqueued: Timestamp::from_millis(it.time_ms),
                        kept,
                    })
                })
                .collect();
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    /// Whether the reader may go on.
    ///
    /// # Errors
    /// Why its link is over.
    pub async fn stands(&mut self, env: &Env) -> Result<(), Ended> {
        if let Some(message) = self.claim.lost() {
            let error = Error::LinkStolen { message };
            return Err(Ended::Refused(Box::new((error, env.new_tracking_id()))));
        }
        self.link.stands(env).await
    }

    /// When to look again whether it [`Reader::stands`], though nothing happens.
    pub fn next_look(&self) -> Option<Timestamp> {
        self.link.next_look()
    }

    /// Goes on with another credential, see [`Link::renew`].
    ///
    /// # Errors
    /// Why the reader is not let in by it.
    pub async fn renew(&mut self, env: &Env, credential: Credential) -> Result<(), Ended> {
        self.link.renew(env, credential).await
    }

    /// Ends once its claim is lost, and where it `wants` something also once there is more to read than it has
    /// seen.
    ///
    /// # Errors
    /// [`Error::Internal`] where the log is closed.
    pub fn bell(&self, wants: bool) -> Result<impl Future<Output = ()> + Send + 'static, Error> {
        let mut tail = self.tail()?;
        let stolen = self.claim.bell();
        let seen = match self.next {
            Start::Sequence(next) => next,
            // Where it begins is found by looking.
            Start::Earliest | Start::Latest | Start::Offset(_) | Start::Time(_) => 0,
        };
        Ok(async move {
            tokio::select! {
                Ok(_) = tail.wait_for(|it| *it > seen), if wants => {}
                () = stolen => {}
            }
        })
    }

    fn tail(&self) -> Result<watch::Receiver<u64>, Error> {
        self.log.log.tail(self.partition).map_err(|it| logs::failed(&it))
    }

    /// The newest event of the partition: its sequence, offset and time, where there ever was one.
    pub fn newest(&self) -> Option<(u64, u64, Timestamp)> {
        newest(&self.log.log.bounds(self.partition).ok()?)
    }
}

fn expect_group(is_there: bool, whose: &str, name: &str, group: &str) -> Result<(), Error> {
    match is_there {
        true => Ok(()),
        false => Err(not_found(format!(
            "{whose} `{name}` has no consumer group `{}`",
            group.escape_debug()
        ))),
    }
}

fn newest(bounds: &Bounds) -> Option<(u64, u64, Timestamp)> {
    let sequence = bounds.next_sequence.checked_sub(1)?;
    Some((sequence, bounds.last_offset?, Timestamp::from_millis(bounds.last_time_ms?)))
}

/// Where to read: the event hub's name, which is the hub's.
pub(crate) fn find(permit: &Permit, _input: &Input, _env: &Env) -> Result<Reply, Error> {
    Ok(Reply::ok(json!({ "path": path(permit.scope()) })))
}

/// The event hub that a hub is.
pub(crate) async fn get_hub(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, input, env)?;
    let (partitions, _) = hubs::events(env, &hub.scope).await?;
    let ids: Vec<String> = (0..partitions).map(|it| it.to_string()).collect();
    Ok(Reply::ok(json!({
        "name": path(&hub.scope),
        "createdAt": hubs::created(&hub.uid).millis(),
        "partitionIds": ids,
    })))
}

/// How far a partition reaches.
///
/// # Errors
/// [`Error::NotFound`] where the hub has no such partition.
pub(crate) async fn get_partition(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let hub = hub_of(permit, input, env)?;
    let log = env.logs.of(&hub, env).await?;
    Ok(Reply::ok(describe_partition(&path(&hub.scope), input, &log)?))
}

/// How far the partition reaches that is asked about, of an event hub of this name.
///
/// # Errors
/// [`Error::NotFound`] where it has no such partition.
pub(crate) fn describe_partition(name: &str, input: &Input, log: &HubLog) -> Result<Value, Error> {
    let partition = partition(input.param("partition"), log.partitions)?;
    let bounds = bounds(log, partition)?;
    let newest = newest(&bounds);
    Ok(json!({
        "name": name,
        "partition": partition.to_string(),
        "beginSequence": bounds.first_sequence,
        "lastSequence": newest.map(|it| it.0),
        "lastOffset": newest.map(|it| it.1),
        "lastEnqueued": newest.map(|it| it.2.millis()),
        "isEmpty": bounds.first_sequence == bounds.next_sequence,
    }))
}

fn hub_of(permit: &Permit, input: &Input, env: &Env) -> Result<Arc<Hub>, Error> {
    let name = permit.scope().name();
    expect_name(permit.scope(), input.param("eventHub"))?;
    let facts = env.facts.load();
    let hub = facts.hub(permit.scope()).cloned();
    hub.ok_or_else(|| Error::UnknownHost { host: name.to_owned() })
}

/// What the event hub of a hub is called.
fn path(hub: &Scope) -> String {
    hub.name().to_ascii_lowercase()
}

fn expect_name(hub: &Scope, name: &str) -> Result<(), Error> {
    match hub.name().eq_ignore_ascii_case(name) {
        true => Ok(()),
        false => Err(not_found(format!(
            "there is no event hub `{}` here; that of the hub is called `{}`",
            name.escape_debug(),
            path(hub)
        ))),
    }
}

pub(crate) fn partition(text: &str, count: u16) -> Result<u16, Error> {
    text.parse().ok().filter(|it| *it < count).ok_or_else(|| {
        not_found(format!(
            "there is no partition `{}`; there are those from 0 to {}",
            text.escape_debug(),
            count.saturating_sub(1)
        ))
    })
}

pub(crate) fn bounds(log: &HubLog, partition: u16) -> Result<Bounds, Error> {
    log.log.bounds(partition).map_err(|it| logs::failed(&it))
}

pub(crate) fn not_found(message: String) -> Error {
    Error::NotFound { code: "ResourceNotFound", message }
}

/// The id under which a fault of ours that ended a reader is in the log.
pub fn noted(env: &Env, error: Error) -> TrackingId {
    let tracking = env.new_tracking_id();
    env.metrics.log_fault(tracking, &error.cause());
    tracking
}
