//! A queue, or the queue that a subscription of a topic is: what waits in it, and in which part.
//!
//! Of each message there are two documents: a short one of what is known of it, and the message as it came. Both are
//! written, and synced, before anybody hears that it was taken. Who receives a message holds it for a while, and that is
//! in memory; that it was handed out is counted in its document first. So after a restart it is there again, and one
//! delivery further. Whoever changes what is in a namespace takes turns with the others.

use crate::control::{delete, failed, put, unread};
use crate::env::Env;
use crate::resources::fields::duration_seconds;
use bytes::Bytes;
use gate::facts::{Entity, Target};
use model::json::{at, text};
use model::{Error, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Change, CommitError, Expect, Scan, ShardId, Write, tables};

/// Longest hold of a message. Source: Service Bus, "Message transfers, locks, and settlement".
const LOCK_S_MAX: u64 = 300;
/// What counts of a message beside its bytes.
const OVERHEAD_BYTES: u64 = 256;
/// So many changes and bytes go into one commit: the store takes some more.
const CHANGES_MAX: usize = 900;
const COMMIT_BYTES: usize = 6 << 20;
/// Messages that one look takes from the store.
const PAGE: usize = 300;
/// Most messages that a look passes over because they have expired or were handed out too often: the next goes on.
const REMOVED_MAX: usize = 200;
/// Pages that are looked through for what has expired, where a queue is full.
const SWEPT_PAGES_MAX: u32 = 4;
/// Longest reason that a message is put aside for, and its description, in characters.
const REASON_CHARS_MAX: usize = 4_096;

/// Where in a queue a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Active,
    /// Put aside: it could not be delivered, or was rejected.
    Dead,
}

impl Part {
    const fn key(self) -> &'static str {
        match self {
            Self::Active => "a",
            Self::Dead => "d",
        }
    }
}

/// What is known of a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Known {
    pub(super) sequence: u64,
    pub(super) enqueued: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<Timestamp>,
    /// How often it was handed out.
    pub(super) deliveries: u32,
    pub(super) bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dead: Option<Dead>,
}

/// Why a message was put aside.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dead {
    pub reason: Option<String>,
    pub description: Option<String>,
}

impl Dead {
    pub fn of(reason: &str, description: &str) -> Self {
        let short = |it: &str| it.chars().take(REASON_CHARS_MAX).collect::<String>();
        let text = |it: &str| (!it.is_empty()).then(|| short(it));
        Self { reason: text(reason), description: text(description) }
    }
}

/// How much a queue holds, and the last number given.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Head {
    count: u64,
    bytes: u64,
    last: u64,
}

/// What its ARM resource says of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) lock_s: i64,
    /// `None` where messages do not end by themselves.
    ttl_s: Option<i64>,
    buries_expired: bool,
    deliveries_max: u32,
    /// `None` for a subscription, which its topic bounds.
    pub(super) bytes_max: Option<u64>,
}

impl Rules {
    pub(super) fn of(entity: &Entity) -> Self {
        let is = |name: &str| at(&entity.properties, &[name]).and_then(Value::as_bool);
        let number = |name: &str| at(&entity.properties, &[name]).and_then(Value::as_u64);
        let seconds = |name: &str| text(&entity.properties, &[name]).and_then(duration_seconds);
        let lock_s = seconds("lockDuration").unwrap_or(60).clamp(1, LOCK_S_MAX);
        Self {
            lock_s: lock_s.cast_signed(),
            ttl_s: seconds("defaultMessageTimeToLive").and_then(|it| i64::try_from(it).ok()),
            buries_expired: is("deadLetteringOnMessageExpiration").unwrap_or(false),
            deliveries_max: number("maxDeliveryCount")
                .and_then(|it| u32::try_from(it).ok())
                .unwrap_or(10),
            bytes_max: number("maxSizeInMegabytes").map(|it| it << 20),
        }
    }

    /// When a message ends that may live so long: the shorter of both counts.
    fn expires(&self, ttl_ms: Option<u32>, now: Timestamp) -> Option<Timestamp> {
        let own = ttl_ms.map(i64::from);
        let all = [self.ttl_s.map(|it| it.saturating_mul(1_000)), own];
        let shortest = all.into_iter().flatten().min()?;
        let end = now.millis().checked_add(shortest)?;
        // What ends behind the last day that can be written does not end.
        (end < LAST_MS).then(|| Timestamp::from_millis(end))
    }
}

/// The end of the year 9999.
const LAST_MS: i64 = 253_402_300_799_000;

/// A message as it is sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The whole message, encoded.
    pub payload: Bytes,
    /// How long it may wait, in milliseconds.
    pub ttl_ms: Option<u32>,
}

/// A message that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub sequence: u64,
    pub enqueued: Timestamp,
    pub expires: Option<Timestamp>,
    /// How often it was handed out before.
    pub deliveries: u32,
    pub dead: Option<Dead>,
    /// The whole message, as it was sent.
    pub payload: Bytes,
}

/// What becomes of a message that was received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Settlement {
    Complete,
    /// To be delivered again, and counted.
    Abandon,
    /// To be delivered again as if it had not been handed out.
    Release,
    /// To be put aside.
    Bury(Dead),
}

/// One queue of a namespace.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    shard: ShardId,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) rules: Rules,
}

/// Changes that go together, and what they make of the queue's head.
struct Changing<'a> {
    queue: &'a Queue,
    head: Head,
    expect: Expect,
    changes: Vec<Change>,
    bytes: usize,
}

impl Changing<'_> {
    fn has_room(&self) -> bool {
        self.changes.len() + 4 <= CHANGES_MAX && self.bytes < COMMIT_BYTES
    }

    fn add(&mut self, known: &Known, payload: &Bytes) -> Result<(), Error> {
        let key = self.queue.key(Part::Active, known.sequence);
        self.changes.push(put(tables::BUS_MESSAGES, key, Expect::Absent, known)?);
        self.changes.push(Change {
            table: tables::BUS_PAYLOADS,
            key: self.queue.payload_key(known.sequence),
            expect: Expect::Absent,
            write: Write::Put(payload.clone()),
        });
        self.bytes += payload.len();
        self.head.count += 1;
        self.head.bytes += known.bytes;
        Ok(())
    }

    fn remove(&mut self, part: Part, known: &Known) {
        let key = self.queue.key(part, known.sequence);
        self.changes.push(delete(tables::BUS_MESSAGES, key, Expect::Present));
        let key = self.queue.payload_key(known.sequence);
        self.changes.push(delete(tables::BUS_PAYLOADS, key, Expect::Anything));
        self.head.count = self.head.count.saturating_sub(1);
        self.head.bytes = self.head.bytes.saturating_sub(known.bytes);
    }

    fn keep(&mut self, part: Part, known: &Known) -> Result<(), Error> {
        let key = self.queue.key(part, known.sequence);
        self.changes.push(put(tables::BUS_MESSAGES, key, Expect::Present, known)?);
        Ok(())
    }

    fn bury(&mut self, known: &Known, dead: Dead) -> Result<(), Error> {
        let key = self.queue.key(Part::Active, known.sequence);
        self.changes.push(delete(tables::BUS_MESSAGES, key, Expect::Present));
        let known = Known { dead: Some(dead), expires: None, ..known.clone() };
        let key = self.queue.key(Part::Dead, known.sequence);
        self.changes.push(put(tables::BUS_MESSAGES, key, Expect::Absent, &known)?);
        Ok(())
    }

    /// What is done with a message that nobody gets any more.
    fn expire(&mut self, known: &Known) -> Result<(), Error> {
        match self.queue.rules.buries_expired {
            true => self.bury(known, Dead::of("TTLExpiredException", "The message has expired.")),
            false => {
                self.remove(Part::Active, known);
                Ok(())
            }
        }
    }

    fn bury_worn(&mut self, known: &Known) -> Result<(), Error> {
        let most = self.queue.rules.deliveries_max;
        let why = format!("The message was handed out {most} times and not completed.");
        self.bury(known, Dead::of("MaxDeliveryCountExceeded", &why))
    }

    async fn commit(mut self, env: &Env) -> Result<(), Error> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let key = self.queue.uid.as_str();
        self.changes.push(put(tables::BUS_QUEUES, key, self.expect, &self.head)?);
        match env.store.commit(&self.queue.shard, self.changes).await {
            Ok(_) => Ok(()),
            // Whoever changes it has its turn, so nobody else did.
            Err(it @ (CommitError::Conflict { .. } | CommitError::ShardGone)) => Err(failed(&it)),
            Err(it @ CommitError::Store(_)) => Err(failed(&it)),
        }
    }
}

impl Queue {
    pub(super) fn of(namespace: &Target, entity: &Entity) -> Result<Self, Error> {
        let shard = ShardId::target(&namespace.uid)
            .map_err(|it| Error::Internal { message: it.to_string() })?;
        let (namespace, uid) = (namespace.uid.clone(), entity.uid.clone());
        Ok(Self { shard, namespace, uid, rules: Rules::of(entity) })
    }

    fn key(&self, part: Part, sequence: u64) -> String {
        format!("{}{sequence:020}", self.prefix(part))
    }

    fn prefix(&self, part: Part) -> String {
        format!("{}/{}/", self.uid, part.key())
    }

    fn payload_key(&self, sequence: u64) -> String {
        format!("{}/{sequence:020}", self.uid)
    }

    /// Under which its locks are kept.
    pub(super) fn place(&self, part: Part) -> (String, String) {
        (self.namespace.clone(), format!("{}/{}", self.uid, part.key()))
    }

    async fn changing(&self, env: &Env) -> Result<Changing<'_>, Error> {
        let found = env.store.get(&self.shard, tables::BUS_QUEUES, &self.uid).await;
        let (head, expect) = match found.map_err(|it| unread(&it))? {
            None => (Head::default(), Expect::Absent),
            Some(it) => (parse(&it.body)?, Expect::Revision(it.revision)),
        };
        Ok(Changing { queue: self, head, expect, changes: Vec::new(), bytes: 0 })
    }

    /// How many bytes it holds.
    pub(super) async fn bytes(&self, env: &Env) -> Result<u64, Error> {
        Ok(self.changing(env).await?.head.bytes)
    }

    /// What one message counts.
    pub(super) fn weight(message: &Outgoing) -> u64 {
        message.payload.len() as u64 + OVERHEAD_BYTES
    }

    /// True where there is room for so many bytes more. What has expired is taken out first.
    pub(super) async fn has_room(&self, env: &Env, more: u64) -> Result<bool, Error> {
        let Some(most) = self.rules.bytes_max else { return Ok(true) };
        if self.bytes(env).await? + more <= most {
            return Ok(true);
        }
        self.look_once(env, Part::Active, Look::default()).await?;
        Ok(self.bytes(env).await? + more <= most)
    }

    /// Puts messages behind those that wait. All are synced when this returns.
    pub(super) async fn put(
        &self,
        env: &Env,
        messages: &[Outgoing],
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut changing = self.changing(env).await?;
        for message in messages {
            if !changing.has_room() {
                changing.commit(env).await?;
                changing = self.changing(env).await?;
            }
            changing.head.last += 1;
            let known = Known {
                sequence: changing.head.last,
                enqueued: now,
                expires: self.rules.expires(message.ttl_ms, now),
                deliveries: 0,
                bytes: Self::weight(message),
                dead: None,
            };
            changing.add(&known, &message.payload)?;
        }
        changing.commit(env).await
    }

    /// The next messages that nobody holds, counted as handed out, or taken out where whoever gets them settles
    /// nothing. What has expired, or was handed out too often, is put where it belongs.
    pub(super) async fn look(
        &self,
        env: &Env,
        part: Part,
        wish: Look,
    ) -> Result<Vec<Found>, Error> {
        loop {
            let (found, goes_on) = self.look_once(env, part, wish).await?;
            if !goes_on || !found.is_empty() {
                return Ok(found);
            }
        }
    }

    /// The same for as much as one commit holds: whether there may be more.
    async fn look_once(
        &self,
        env: &Env,
        part: Part,
        wish: Look,
    ) -> Result<(Vec<Found>, bool), Error> {
        let now = env.now();
        let held = env.message_locks.held(&self.place(part), now);
        let mut changing = self.changing(env).await?;
        let (mut found, mut bytes, mut removed) = (Vec::new(), 0, 0);
        let (mut after, mut pages, mut goes_on) = (None, 0, false);
        'pages: loop {
            let scan = Scan { prefix: self.prefix(part), after: after.take(), limit: PAGE };
            let page = env.store.scan(&self.shard, tables::BUS_MESSAGES, scan).await;
            let page = page.map_err(|it| unread(&it))?;
            for (_, document) in &page {
                let known: Known = parse(&document.body)?;
                if held.contains(&known.sequence) {
                    continue;
                }
                let is_full = found.len() >= wish.count || bytes >= wish.bytes;
                if !changing.has_room() || removed >= REMOVED_MAX {
                    goes_on = true;
                    break 'pages;
                }
                if is_full && wish.count > 0 {
                    break 'pages;
                }
                let is_active = part == Part::Active;
                if is_active && known.expires.is_some_and(|it| it <= now) {
                    changing.expire(&known)?;
                    removed += 1;
                } else if is_active && known.deliveries >= self.rules.deliveries_max {
                    changing.bury_worn(&known)?;
                    removed += 1;
                } else if !is_full {
                    bytes += usize::try_from(known.bytes).unwrap_or(usize::MAX);
                    match wish.removes {
                        true => changing.remove(part, &known),
                        false => {
                            let deliveries = known.deliveries.saturating_add(1);
                            changing.keep(part, &Known { deliveries, ..known.clone() })?;
                        }
                    }
                    found.push(known);
                }
            }
            pages += 1;
            match page.last() {
                Some(_) if wish.count == 0 && pages >= SWEPT_PAGES_MAX => break,
                Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
                Some(_) | None => break,
            }
        }
        // Before they are taken out.
        let found = self.with_payloads(env, found).await?;
        changing.commit(env).await?;
        Ok((found, goes_on))
    }

    /// Messages from a number on, whoever holds them.
    pub(super) async fn peek(
        &self,
        env: &Env,
        part: Part,
        from: u64,
        count: usize,
    ) -> Result<Vec<Found>, Error> {
        let after = from.checked_sub(1).map(|it| self.key(part, it));
        let scan = Scan { prefix: self.prefix(part), after, limit: count };
        let page = env.store.scan(&self.shard, tables::BUS_MESSAGES, scan).await;
        let page = page.map_err(|it| unread(&it))?;
        let all = page.iter().map(|(_, it)| parse(&it.body)).collect::<Result<Vec<Known>, _>>()?;
        self.with_payloads(env, all).await
    }

    async fn with_payloads(&self, env: &Env, all: Vec<Known>) -> Result<Vec<Found>, Error> {
        let keys: Vec<String> = all.iter().map(|it| self.payload_key(it.sequence)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let payloads = env.store.get_many(&self.shard, tables::BUS_PAYLOADS, &keys).await;
        let payloads = payloads.map_err(|it| unread(&it))?;
        let both = all.into_iter().zip(payloads);
        both.map(|(known, payload)| {
            let payload = payload.ok_or_else(|| Error::Internal {
                message: format!("the message {} of a queue has no bytes", known.sequence),
            })?;
            let Known { sequence, enqueued, expires, deliveries, dead, .. } = known;
            Ok(Found { sequence, enqueued, expires, deliveries, dead, payload: payload.body })
        })
        .collect()
    }

    /// Ends deliveries of messages, by their numbers: true for each that was still there.
    pub(super) async fn settle(
        &self,
        env: &Env,
        part: Part,
        all: &[(u64, Settlement)],
    ) -> Result<Vec<bool>, Error> {
        let keys: Vec<String> = all.iter().map(|it| self.key(part, it.0)).collect();
        let mut were_there = Vec::with_capacity(all.len());
        for (all, keys) in all.chunks(SETTLED_MAX).zip(keys.chunks(SETTLED_MAX)) {
            let mut changing = self.changing(env).await?;
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let found = env.store.get_many(&self.shard, tables::BUS_MESSAGES, &keys).await;
            let found = found.map_err(|it| unread(&it))?;
            for ((_, settlement), document) in all.iter().zip(found) {
                were_there.push(document.is_some());
                let Some(document) = document else { continue };
                let mut known: Known = parse(&document.body)?;
                let is_worn = known.deliveries >= self.rules.deliveries_max;
                match settlement {
                    Settlement::Complete => changing.remove(part, &known),
                    Settlement::Bury(dead) if part == Part::Active => {
                        changing.bury(&known, dead.clone())?;
                    }
                    Settlement::Abandon if part == Part::Active && is_worn => {
                        changing.bury_worn(&known)?;
                    }
                    // It was counted when it was handed out; and what was put aside stays there.
                    Settlement::Abandon | Settlement::Bury(_) => {}
                    Settlement::Release => {
                        known.deliveries = known.deliveries.saturating_sub(1);
                        changing.keep(part, &known)?;
                    }
                }
            }
            changing.commit(env).await?;
        }
        Ok(were_there)
    }
}

/// Deliveries that one commit ends.
const SETTLED_MAX: usize = 400;

/// What somebody who receives takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    pub(super) count: usize,
    pub(super) bytes: usize,
    /// They are settled by being handed out.
    pub(super) removes: bool,
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|it| Error::Internal {
        message: format!("a message of a queue cannot be read: {it}"),
    })
}
