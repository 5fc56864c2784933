//! What a hub holds for its services: what became of messages to devices, and which files were uploaded.
//!
//! Both are queues of records that services receive in batches and settle as a whole. As with messages, who
//! holds a batch is kept in memory alone.

use super::messages::{Ack, Waiting};
use super::messaging::{self, QueueSettings};
use super::registry::{hub_of, shard};
use crate::control::{delete, failed, put as keep, unread};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use gate::facts::Hub;
use model::error::HubFault;
use model::{DeviceId, Error, Op, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::{Change, CommitError, Expect, Scan, Table, tables};
use uuid::Uuid;

/// Most records of a batch. Source: IoT Hub developer guide, "Message feedback".
pub const BATCH_MAX: usize = 64;
/// Most records that wait, oldest first out: nobody may ever ask for them.
const QUEUE_MAX: u64 = 100_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Queue {
    Feedback,
    FileNotifications,
}

impl Queue {
    const fn table(self) -> Table {
        match self {
            Self::Feedback => tables::FEEDBACK,
            Self::FileNotifications => tables::FILE_NOTIFICATIONS,
        }
    }

    /// Most records that are received together.
    const fn batch_max(self) -> usize {
        match self {
            Self::Feedback => BATCH_MAX,
            Self::FileNotifications => 1,
        }
    }
}

/// How a message to a device ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Success,
    Expired,
    DeliveryCountExceeded,
    Rejected,
    Purged,
}

impl Outcome {
    /// `statusCode` and `description`. Source: IoT Hub developer guide, "Message feedback".
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Success => ("Success", "Success"),
            Self::Expired => ("Expired", "Message expired"),
            Self::DeliveryCountExceeded => {
                ("DeliveryCountExceeded", "Message delivery count exceeded")
            }
            Self::Rejected => ("Rejected", "Message rejected"),
            Self::Purged => ("Purged", "Message purged"),
        }
    }

    fn is_wanted(self, ack: Ack) -> bool {
        match ack {
            Ack::None => false,
            Ack::Full => true,
            Ack::Positive => self == Self::Success,
            Ack::Negative => self != Self::Success,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    kept: Timestamp,
    delivery_count: u32,
    body: Value,
}

/// What is kept of the end of a message, where its sender wants to hear of it.
pub(super) fn told(
    device: &DeviceId,
    it: &Waiting,
    outcome: Outcome,
    now: Timestamp,
) -> Result<Option<Change>, Error> {
    if !outcome.is_wanted(it.message.ack) {
        return Ok(None);
    }
    let (code, description) = outcome.words();
    let body = json!({
        "originalMessageId": it.message.message_id.as_deref().unwrap_or(""),
        "description": description,
        "deviceGenerationId": it.generation,
        "deviceId": device.as_str(),
        "enqueuedTimeUtc": now.rfc3339(),
        "statusCode": code,
    });
    let key = format!("{:016}/{device}/{:020}", now.millis(), it.sequence);
    let record = Record { kept: now, delivery_count: 0, body };
    keep(tables::FEEDBACK, key, Expect::Anything, &record).map(Some)
}

/// What is kept of a file that a device has uploaded.
pub(super) fn uploaded(
    device: &DeviceId,
    body: Value,
    now: Timestamp,
    env: &Env,
) -> Result<Change, Error> {
    let key = format!("{:016}/{device}/{}", now.millis(), env.new_uuid().simple());
    let record = Record { kept: now, delivery_count: 0, body };
    keep(tables::FILE_NOTIFICATIONS, key, Expect::Absent, &record)
}

/// Records in the hands of a service.
#[derive(Clone, PartialEq, Debug)]
pub struct Batch {
    /// By which it is settled.
    pub lock: Uuid,
    pub records: Vec<Value>,
    /// When the last of them was kept.
    pub kept: Timestamp,
}

/// Which records are held, by hub and queue.
#[derive(Debug, Default)]
pub struct Held(Mutex<HashMap<(String, Queue), Vec<HeldBatch>>>);

#[derive(Clone, Debug)]
struct HeldBatch {
    lock: Uuid,
    until: Timestamp,
    keys: Vec<String>,
}

impl Held {
    fn all(&self) -> MutexGuard<'_, HashMap<(String, Queue), Vec<HeldBatch>>> {
        // No critical section leaves the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands a service what waits for it, under a lock: 204 where nothing does. Feedback comes as a list of records,
/// a notification as itself.
pub(crate) async fn take(permit: &Permit, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let queue = queue_of(permit);
    let Some(mut batch) = receive(env, &hub, queue).await? else { return Ok(Reply::empty(204)) };
    let body = match queue {
        Queue::Feedback => Value::Array(batch.records),
        Queue::FileNotifications => batch.records.pop().unwrap_or_default(),
    };
    Ok(Reply::ok(body).with_header("ETag", format!("\"{}\"", batch.lock)))
}

/// Ends what [`take`] began.
pub(crate) async fn end(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let lock = Uuid::try_parse(input.param("lock").trim_matches('"')).unwrap_or_default();
    let is_abandoned =
        matches!(permit.operation().op, Op::AbandonFeedback | Op::AbandonFileNotification);
    let how = if is_abandoned { Settled::Abandon } else { Settled::Complete };
    settle(env, &hub, queue_of(permit), lock, how).await?;
    Ok(Reply::empty(204))
}

fn queue_of(permit: &Permit) -> Queue {
    let is_of_files = matches!(
        permit.operation().op,
        Op::ReceiveFileNotification | Op::CompleteFileNotification | Op::AbandonFileNotification
    );
    if is_of_files { Queue::FileNotifications } else { Queue::Feedback }
}

/// The oldest records that nobody holds; none where there are none.
pub(crate) async fn receive(env: &Env, hub: &Hub, queue: Queue) -> Result<Option<Batch>, Error> {
    let shard = shard(hub)?;
    let now = env.now();
    let settings = messaging::of(env, hub).await?.queue(queue);
    let (mut after, mut gone, mut found) = (None, Vec::new(), Vec::new());
    while found.len() < queue.batch_max() {
        let scan = Scan { prefix: String::new(), after: after.take(), limit: BATCH_MAX };
        let page = env.store.scan(&shard, queue.table(), scan).await.map_err(|it| unread(&it))?;
        for (key, document) in &page {
            let record: Record = parse(&document.body)?;
            if record.kept.plus_seconds(settings.ttl_s) <= now {
                gone.push(delete(queue.table(), key.clone(), Expect::Anything));
            } else if found.len() < queue.batch_max() && !is_held(env, hub, queue, key, now) {
                found.push((key.clone(), record));
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == BATCH_MAX => after = Some(key.clone()),
            Some(_) | None => break,
        }
    }
    if !gone.is_empty() {
        env.store.commit(&shard, gone).await.map_err(|it| failed(&it))?;
    }
    let Some(kept) = found.last().map(|(_, it)| it.kept) else { return Ok(None) };
    let lock = env.new_uuid();
    let (keys, records) = found.into_iter().map(|(key, it)| (key, it.body)).unzip();
    let held = HeldBatch { lock, until: now.plus_seconds(settings.lock_s), keys };
    env.held.all().entry((hub.uid.clone(), queue)).or_default().push(held);
    Ok(Some(Batch { lock, records, kept }))
}

fn is_held(env: &Env, hub: &Hub, queue: Queue, key: &String, now: Timestamp) -> bool {
    let mut all = env.held.all();
    let Some(batches) = all.get_mut(&(hub.uid.clone(), queue)) else { return false };
    batches.retain(|it| now < it.until);
    batches.iter().any(|it| it.keys.contains(key))
}

/// What a service does with a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    Complete,
    /// To be received again, and counted.
    Abandon,
}

/// Ends the hold on a batch.
///
/// # Errors
/// [`HubFault::MessageLockLost`] where it is not held by this lock any more.
pub(crate) async fn settle(
    env: &Env,
    hub: &Hub,
    queue: Queue,
    lock: Uuid,
    how: Settled,
) -> Result<(), Error> {
    let now = env.now();
    let held = {
        let mut all = env.held.all();
        let batches = all.entry((hub.uid.clone(), queue)).or_default();
        let index = batches.iter().position(|it| it.lock == lock);
        index.map(|it| batches.remove(it)).filter(|it| now < it.until)
    };
    let Some(held) = held else {
        let sentence =
            "the batch is not held by this lock: it was settled already, or its time is over";
        return Err(Error::hub(HubFault::MessageLockLost, sentence));
    };
    let shard = shard(hub)?;
    let settings = messaging::of(env, hub).await?.queue(queue);
    let mut changes = Vec::new();
    for key in held.keys {
        changes.extend(match how {
            Settled::Complete => Some(delete(queue.table(), key, Expect::Anything)),
            Settled::Abandon => abandoned(env, &shard, queue, key, settings).await?,
        });
    }
    match env.store.commit(&shard, changes).await {
        Ok(_) => {
            env.presence.ring_services(&hub.uid);
            Ok(())
        }
        // Another service has the records by now.
        Err(CommitError::Conflict { .. }) => Ok(()),
        Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => Err(failed(&it)),
    }
}

async fn abandoned(
    env: &Env,
    shard: &store::ShardId,
    queue: Queue,
    key: String,
    settings: QueueSettings,
) -> Result<Option<Change>, Error> {
    let found = env.store.get(shard, queue.table(), &key).await.map_err(|it| unread(&it))?;
    let Some(document) = found else { return Ok(None) };
    let mut record: Record = parse(&document.body)?;
    record.delivery_count += 1;
    let expect = Expect::Revision(document.revision);
    match record.delivery_count < settings.delivery_count_max {
        true => keep(queue.table(), key, expect, &record).map(Some),
        false => Ok(Some(delete(queue.table(), key, expect))),
    }
}

fn parse(body: &[u8]) -> Result<Record, Error> {
    serde_json::from_slice(body).map_err(|it| Error::Internal {
        message: format!("a record for services cannot be read: {it}"),
    })
}

/// Keeps a queue that nobody reads from growing for ever.
pub(super) async fn trim(env: &Env, hub: &Hub, queue: Queue) -> Result<(), Error> {
    let shard = shard(hub)?;
    let count = env.store.count(&shard, queue.table()).await.map_err(|it| unread(&it))?;
    let Some(surplus) = count.checked_sub(QUEUE_MAX).filter(|it| *it > 0) else { return Ok(()) };
    let limit = usize::try_from(surplus).unwrap_or(usize::MAX);
    let scan = Scan { prefix: String::new(), after: None, limit };
    let page = env.store.scan(&shard, queue.table(), scan).await.map_err(|it| unread(&it))?;
    let changes = page.into_iter().map(|(key, _)| delete(queue.table(), key, Expect::Anything));
    env.store.commit(&shard, changes.collect()).await.map(drop).map_err(|it| failed(&it))
}
