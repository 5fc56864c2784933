//! A queue, or the queue that a subscription of a topic is: what waits in it, and in which part.
//!
//! Of each message there are two documents: a short one of what is known of it, and the message as it came. Both are
//! written, and synced, before anybody hears that it was taken. Who receives a message holds it for a while, and that is
//! in memory; that it was handed out is counted in its document first. So after a restart it is there again, and one
//! delivery further. Whoever changes what is in a namespace takes turns with the others.

use super::message::{Dead, Found, Head, Known, Look, Outgoing, Part, Rules, Settlement};
use crate::control::{self, delete, failed, parse, put, unread};
use crate::env::Env;
use bytes::Bytes;
use gate::facts::{Entity, Target};
use model::{Error, Timestamp};
use store::{Change, CommitError, Expect, Scan, ShardId, Write, tables};

/// What counts of a message beside its bytes.
const OVERHEAD_BYTES: u64 = 256;
/// So many changes and bytes go into one commit: the store takes some more.
const CHANGES_MAX: usize = 900;
const COMMIT_BYTES: usize = 6 << 20;
/// Messages that one look takes from the store.
pub(super) const PAGE: usize = 300;
/// Most messages that a look passes over because they have expired or were handed out too often: the next goes on.
const REMOVED_MAX: usize = 200;

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
        let found = control::get_in(env, &self.shard, tables::BUS_QUEUES, &self.uid).await?;
        let (head, expect) = match found {
            None => (Head::default(), Expect::Absent),
            Some((head, revision)) => (head, Expect::Revision(revision)),
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
        self.look_once(env, Part::Active, Look::for_old(), None).await?;
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
            let (found, rest) = self.look_once(env, part, wish, None).await?;
            if rest.is_none() || !found.is_empty() {
                return Ok(found);
            }
        }
    }

    /// The same for as much as one commit holds, behind a key: behind which there may be more.
    pub(super) async fn look_once(
        &self,
        env: &Env,
        part: Part,
        wish: Look,
        mut after: Option<String>,
    ) -> Result<(Vec<Found>, Option<String>), Error> {
        let now = env.now();
        let held = env.message_locks.held(&self.place(part), now);
        let mut changing = self.changing(env).await?;
        let (mut found, mut bytes, mut removed) = (Vec::new(), 0, 0);
        let (mut pages, mut seen, mut rest) = (0, None, None);
        'pages: loop {
            let scan = Scan { prefix: self.prefix(part), after: after.take(), limit: PAGE };
            let page = env.store.scan(&self.shard, tables::BUS_MESSAGES, scan).await;
            let page = page.map_err(|it| unread(&it))?;
            for (key, document) in &page {
                let known: Known = parse(tables::BUS_MESSAGES, key, document)?;
                if held.contains(&known.sequence) {
                    continue;
                }
                let is_full = found.len() >= wish.count || bytes >= wish.bytes;
                if !changing.has_room() || removed >= REMOVED_MAX {
                    // Behind what was looked at, or from the front where that is nothing.
                    rest = Some(seen.unwrap_or_default());
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
                seen = Some(key.clone());
            }
            pages += 1;
            match page.last() {
                Some((key, _))
                    if page.len() == PAGE && wish.pages_max.is_some_and(|it| pages >= it) =>
                {
                    rest = Some(key.clone());
                    break;
                }
                Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
                Some(_) | None => break,
            }
        }
        // Before they are taken out.
        let found = self.with_payloads(env, found).await?;
        changing.commit(env).await?;
        Ok((found, rest))
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
        let all = page
            .iter()
            .map(|(key, it)| parse(tables::BUS_MESSAGES, key, it))
            .collect::<Result<Vec<Known>, _>>()?;
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
            for (((_, settlement), key), document) in all.iter().zip(keys).zip(found) {
                were_there.push(document.is_some());
                let Some(document) = document else { continue };
                let mut known: Known = parse(tables::BUS_MESSAGES, key, &document)?;
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
