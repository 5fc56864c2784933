//! Messages from services to devices: each is a document until it is settled, and a queue has its head beside
//! it, so that its depth and order hold however many send at once.
//!
//! Whoever receives a message holds it for a while. That is kept in memory alone: after a restart a message is
//! there again, and who comes to settle it late learns that it lost it. Source: IoT Hub developer guide, "Send
//! cloud-to-device messages".

mod locks;
mod outgoing;

pub use locks::Locks;
pub use outgoing::{Ack, Outgoing};

use super::named::Named;
use super::presence::Notice;
use super::registry::{TRIES, hub_of, keeps_changing, read, shard};
use super::{messaging, service_queues};
use crate::control::{delete, failed, put as keep, unread};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use gate::facts::Hub;
use model::error::HubFault;
use model::{DeviceId, Error, Op, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Change, CommitError, Expect, Scan, ShardId, tables};
use uuid::Uuid;

/// Most messages that wait for a device. Source: IoT Hub quotas and throttling.
pub const QUEUE_MAX: u32 = 50;
/// Most bytes of a message with its properties. Source: IoT Hub quotas and throttling.
pub const BYTES_MAX: usize = 64 << 10;
/// How long a message is held for who received it, before it is there for the next.
pub const LOCK_S: i64 = 60;
/// Queues that a sweep looks at together.
const SWEEP_PAGE: usize = 500;
/// A message's own expiry lies at most so far ahead.
const TTL_S_MAX: i64 = 172_800;

/// A message that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Waiting {
    pub(super) sequence: u64,
    pub(super) enqueued: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) delivery_count: u32,
    /// Of the device that it is for: one of the same name that came later does not get it.
    pub(super) generation: String,
    pub(super) message: Outgoing,
}

/// How many wait, and the last number given.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Head {
    count: u32,
    last: u64,
}

/// A message in the hands of a device.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivery {
    /// By which it is settled.
    pub lock: Uuid,
    pub sequence: u64,
    pub enqueued: Timestamp,
    pub expires: Timestamp,
    /// How often it was handed back before.
    pub delivery_count: u32,
    pub message: Outgoing,
}

/// What a device does with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settlement {
    Complete,
    Reject,
    /// To be delivered again, and counted.
    Abandon,
    /// To be delivered again: nobody is left to settle it.
    Release,
}

fn place(hub: &Hub, device: &DeviceId) -> (String, String) {
    (hub.uid.clone(), device.as_str().to_owned())
}

fn key(device: &DeviceId, sequence: u64) -> String {
    format!("{device}/{sequence:020}")
}

async fn head(env: &Env, shard: &ShardId, device: &DeviceId) -> Result<(Head, Expect), Error> {
    let found = env.store.get(shard, tables::MESSAGE_QUEUES, device.as_str()).await;
    match found.map_err(|it| unread(&it))? {
        None => Ok((Head::default(), Expect::Absent)),
        Some(it) => Ok((parse(&it.body)?, Expect::Revision(it.revision))),
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|it| Error::Internal {
        message: format!("a message to a device cannot be read: {it}"),
    })
}

async fn waiting(
    env: &Env,
    shard: &ShardId,
    device: &DeviceId,
) -> Result<Vec<(Waiting, u64)>, Error> {
    let limit = usize::try_from(QUEUE_MAX).unwrap_or(usize::MAX);
    let scan = Scan { prefix: format!("{device}/"), after: None, limit };
    let page = env.store.scan(shard, tables::MESSAGES, scan).await.map_err(|it| unread(&it))?;
    page.iter().map(|(_, it)| Ok((parse(&it.body)?, it.revision))).collect()
}

/// How many messages wait for each of some devices; expired ones count until somebody looks at them.
pub(super) async fn counts(
    env: &Env,
    shard: &ShardId,
    devices: &[&str],
) -> Result<Vec<u32>, Error> {
    let found = env.store.get_many(shard, tables::MESSAGE_QUEUES, devices).await;
    let found = found.map_err(|it| unread(&it))?;
    let count = |it: &Option<store::Document>| match it {
        None => Ok(0),
        Some(it) => parse::<Head>(&it.body).map(|head| head.count),
    };
    found.iter().map(count).collect()
}

/// What is left of a device that goes.
pub(super) async fn forget(
    env: &Env,
    shard: &ShardId,
    device: &DeviceId,
) -> Result<Vec<Change>, Error> {
    let (_, expect) = head(env, shard, device).await?;
    if matches!(expect, Expect::Absent) {
        return Ok(Vec::new());
    }
    let mut changes = vec![delete(tables::MESSAGE_QUEUES, device.as_str(), expect)];
    for (it, revision) in waiting(env, shard, device).await? {
        let key = key(device, it.sequence);
        changes.push(delete(tables::MESSAGES, key, Expect::Revision(revision)));
    }
    Ok(changes)
}

/// Messages that leave the queue together, and what is told of them.
struct Leaving<'a> {
    hub: &'a Hub,
    device: &'a DeviceId,
    head: Head,
    expect: Expect,
    changes: Vec<Change>,
}

impl<'a> Leaving<'a> {
    fn of(hub: &'a Hub, device: &'a DeviceId, head: Head, expect: Expect) -> Self {
        Self { hub, device, head, expect, changes: Vec::new() }
    }

    fn take(
        &mut self,
        it: &Waiting,
        revision: u64,
        why: service_queues::Outcome,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.head.count = self.head.count.saturating_sub(1);
        let key = key(self.device, it.sequence);
        self.changes.push(delete(tables::MESSAGES, key, Expect::Revision(revision)));
        self.changes.extend(service_queues::told(self.device, it, why, now)?);
        Ok(())
    }

    /// Writes the new head with everything else; false where the queue has changed meanwhile.
    async fn commit(mut self, env: &Env, shard: &ShardId) -> Result<bool, Error> {
        let key = self.device.as_str();
        self.changes.push(keep(tables::MESSAGE_QUEUES, key, self.expect, &self.head)?);
        match env.store.commit(shard, self.changes).await {
            Ok(_) => {
                env.presence.ring_services(&self.hub.uid);
                Ok(true)
            }
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => Err(failed(&it)),
        }
    }
}

/// Puts a message behind those that wait for a device: synced when this returns.
///
/// # Errors
/// [`Error::DeviceNotFound`]; [`HubFault::QueueFull`], [`HubFault::MessageTooLarge`] and
/// [`HubFault::InvalidExpiry`] for what a queue does not take.
pub async fn send(
    permit: &Permit,
    device: &DeviceId,
    message: Outgoing,
    env: &Env,
) -> Result<(), Error> {
    debug_assert_eq!(permit.operation().op, Op::SendMessage);
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let now = env.now();
    let bytes = message.bytes();
    if bytes > BYTES_MAX {
        let sentence = format!(
            "the message has {bytes} bytes with its properties; at most {BYTES_MAX} are taken"
        );
        return Err(Error::hub(HubFault::MessageTooLarge, sentence));
    }
    let latest = now.plus_seconds(TTL_S_MAX);
    let expires = match message.expiry {
        Some(it) if it <= now || it > latest => {
            let sentence = format!(
                "a message expires after now and within two days; this one would at {}",
                it.rfc3339()
            );
            return Err(Error::hub(HubFault::InvalidExpiry, sentence));
        }
        Some(it) => it,
        None => now.plus_seconds(messaging::of(env, &hub).await?.ttl_s),
    };
    let named = Named::device(device.clone());
    for _ in 0..TRIES {
        let Some((known, _)) = read(env, &shard, &named).await? else {
            return Err(named.not_found());
        };
        let (head, expect) = head(env, &shard, device).await?;
        let mut leaving = Leaving::of(&hub, device, head, expect);
        if head.count >= QUEUE_MAX {
            for (it, revision) in waiting(env, &shard, device).await? {
                if it.expires <= now {
                    leaving.take(&it, revision, service_queues::Outcome::Expired, now)?;
                }
            }
        }
        if leaving.head.count >= QUEUE_MAX {
            let sentence = format!(
                "{QUEUE_MAX} messages wait for `{device}`, and no more can; it must receive or somebody purge them"
            );
            return Err(Error::hub(HubFault::QueueFull, sentence));
        }
        leaving.head.count += 1;
        let micros = u64::try_from(now.millis()).unwrap_or(0).saturating_mul(1_000);
        leaving.head.last = (leaving.head.last + 1).max(micros);
        let one = Waiting {
            sequence: leaving.head.last,
            enqueued: now,
            expires,
            delivery_count: 0,
            generation: known.generation_id,
            message: message.clone(),
        };
        let key = key(device, one.sequence);
        leaving.changes.push(keep(tables::MESSAGES, key, Expect::Absent, &one)?);
        if leaving.commit(env, &shard).await? {
            env.presence.tell(&hub.uid, device.as_str(), Notice::Message);
            return Ok(());
        }
    }
    Err(keeps_changing(&named))
}

/// The first message that nobody holds, held from now on; none where none waits.
pub(crate) async fn receive(
    env: &Env,
    hub: &Hub,
    device: &DeviceId,
) -> Result<Option<Delivery>, Error> {
    let shard = shard(hub)?;
    let now = env.now();
    let (head, expect) = head(env, &shard, device).await?;
    if head.count == 0 {
        return Ok(None);
    }
    let mut leaving = Leaving::of(hub, device, head, expect);
    let at = place(hub, device);
    let mut found = None;
    for (it, revision) in waiting(env, &shard, device).await? {
        let lock = env.new_uuid();
        if it.expires <= now {
            leaving.take(&it, revision, service_queues::Outcome::Expired, now)?;
        } else if found.is_none()
            && env.message_locks.take(&at, it.sequence, lock, now, now.plus_seconds(LOCK_S))
        {
            found = Some(Delivery {
                lock,
                sequence: it.sequence,
                enqueued: it.enqueued,
                expires: it.expires,
                delivery_count: it.delivery_count,
                message: it.message,
            });
        }
    }
    // Who is faster removes them: they are looked at again next time.
    if !leaving.changes.is_empty()
        && let Err(error) = leaving.commit(env, &shard).await
    {
        // Nobody gets what was found, so nobody holds it.
        if let Some(Delivery { lock, .. }) = found {
            env.message_locks.give_up(&at, lock, now);
        }
        return Err(error);
    }
    Ok(found)
}

/// Ends a delivery.
///
/// # Errors
/// [`HubFault::MessageLockLost`] where the message is not held by this lock any more.
pub(crate) async fn settle(
    env: &Env,
    hub: &Hub,
    device: &DeviceId,
    lock: Uuid,
    settlement: Settlement,
) -> Result<(), Error> {
    let shard = shard(hub)?;
    let now = env.now();
    let lost = || {
        Error::hub(
            HubFault::MessageLockLost,
            format!(
                "the message is not held by this lock: it was settled already, or {LOCK_S} s are over"
            ),
        )
    };
    let sequence = env.message_locks.give_up(&place(hub, device), lock, now).ok_or_else(lost)?;
    let is_back = match settlement {
        Settlement::Release => true,
        Settlement::Complete | Settlement::Reject | Settlement::Abandon => {
            leave(env, hub, &shard, device, sequence, settlement, now).await?.ok_or_else(lost)?
        }
    };
    if is_back {
        env.presence.tell(&hub.uid, device.as_str(), Notice::Message);
    }
    Ok(())
}

/// Takes a message out, or counts that it came back: true where it is there again, `None` where it is gone.
async fn leave(
    env: &Env,
    hub: &Hub,
    shard: &ShardId,
    device: &DeviceId,
    sequence: u64,
    settlement: Settlement,
    now: Timestamp,
) -> Result<Option<bool>, Error> {
    for _ in 0..TRIES {
        let (head, expect) = head(env, shard, device).await?;
        let key = key(device, sequence);
        let found = env.store.get(shard, tables::MESSAGES, &key).await.map_err(|it| unread(&it))?;
        let Some(document) = found else { return Ok(None) };
        let mut it: Waiting = parse(&document.body)?;
        let mut leaving = Leaving::of(hub, device, head, expect);
        let outcome = match settlement {
            Settlement::Complete => Some(service_queues::Outcome::Success),
            Settlement::Reject => Some(service_queues::Outcome::Rejected),
            Settlement::Abandon | Settlement::Release => {
                it.delivery_count += 1;
                let most = messaging::of(env, hub).await?.delivery_count_max;
                (it.delivery_count >= most)
                    .then_some(service_queues::Outcome::DeliveryCountExceeded)
            }
        };
        match outcome {
            Some(outcome) => leaving.take(&it, document.revision, outcome, now)?,
            None => {
                let expect = Expect::Revision(document.revision);
                leaving.changes.push(keep(tables::MESSAGES, key, expect, &it)?);
            }
        }
        if leaving.commit(env, shard).await? {
            return Ok(Some(outcome.is_none()));
        }
    }
    Err(keeps_changing(&Named::device(device.clone())))
}

/// `DELETE /devices/{device}/commands`: deletes what waits for a device.
pub(crate) async fn purge(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let now = env.now();
    for _ in 0..TRIES {
        if read(env, &shard, &named).await?.is_none() {
            return Err(named.not_found());
        }
        let (head, expect) = head(env, &shard, &named.device).await?;
        let all = match head.count {
            0 => Vec::new(),
            _ => waiting(env, &shard, &named.device).await?,
        };
        let mut leaving = Leaving::of(&hub, &named.device, head, expect);
        for (it, revision) in &all {
            leaving.take(it, *revision, service_queues::Outcome::Purged, now)?;
        }
        if all.is_empty() || leaving.commit(env, &shard).await? {
            env.message_locks.forget(&place(&hub, &named.device));
            return Ok(Reply::ok(json!({
                "deviceId": named.device.as_str(),
                "moduleId": null,
                "totalMessagesPurged": all.len(),
            })));
        }
    }
    Err(keeps_changing(&named))
}

/// Takes out what has expired at every device of a hub, so that its senders hear of it.
pub(crate) async fn sweep(env: &Env, hub: &Hub) -> Result<(), Error> {
    let shard = shard(hub)?;
    let mut after = None;
    loop {
        let scan = Scan { prefix: String::new(), after: after.take(), limit: SWEEP_PAGE };
        let page = env.store.scan(&shard, tables::MESSAGE_QUEUES, scan).await;
        let page = page.map_err(|it| unread(&it))?;
        for (key, document) in &page {
            let head: Head = parse(&document.body)?;
            if head.count > 0
                && let Ok(device) = DeviceId::parse(key)
            {
                expire(env, hub, &shard, &device).await?;
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == SWEEP_PAGE => after = Some(key.clone()),
            Some(_) | None => return Ok(()),
        }
    }
}

async fn expire(env: &Env, hub: &Hub, shard: &ShardId, device: &DeviceId) -> Result<(), Error> {
    let now = env.now();
    let (head, expect) = head(env, shard, device).await?;
    let mut leaving = Leaving::of(hub, device, head, expect);
    for (it, revision) in waiting(env, shard, device).await? {
        if it.expires <= now {
            leaving.take(&it, revision, service_queues::Outcome::Expired, now)?;
        }
    }
    if !leaving.changes.is_empty() {
        // Who is faster leaves them for the next round.
        leaving.commit(env, shard).await?;
    }
    Ok(())
}
