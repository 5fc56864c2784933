//! How far an endpoint is in the log of its hub, kept with the hub so that it outlives a restart.

use super::Endpoint;
use crate::control;
use crate::devices::events::bounds;
use crate::devices::logs::{self, HubLog};
use crate::devices::message::Message;
use crate::devices::registry::shard;
use crate::env::Env;
use gate::facts::Hub;
use model::{Error, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use store::log::{Record, Start};
use store::{Expect, tables};

/// Most records that one look takes, and most bytes of them.
const READ_RECORDS_MAX: usize = 256;
const READ_BYTES_MAX: usize = 512 << 10;
/// Behind so many records of others the place is kept, so that a restart does not look at them again.
const PASSED_MAX: u64 = 10_000;

/// The next sequence of each partition, and of a container what its last file is called.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Cursor {
    pub(super) next: BTreeMap<u16, u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) files: BTreeMap<u16, Written>,
}

/// A file that is whole: its name as its time makes it, and how many of that name were before it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) before: u32,
}

pub(super) struct Progress<'a> {
    pub(super) env: &'a Arc<Env>,
    pub(super) hub: &'a Arc<Hub>,
    pub(super) endpoint: &'a Endpoint,
    pub(super) log: HubLog,
    pub(super) cursor: Cursor,
    /// As it is kept.
    kept: Cursor,
}

impl<'a> Progress<'a> {
    pub(super) async fn begin(
        env: &'a Arc<Env>,
        hub: &'a Arc<Hub>,
        endpoint: &'a Endpoint,
    ) -> Result<Self, String> {
        let told = |it: Error| it.cause();
        // Apart: a log that is opened must be opened to its end, also where this task is ended meanwhile. Its files are
        // locked, and nobody else could open them.
        let (its_env, its_hub) = (Arc::clone(env), Arc::clone(hub));
        let opening = tokio::spawn(async move { its_env.logs.of(&its_hub, &its_env).await });
        let log = opening.await.map_err(|it| it.to_string())?.map_err(told)?;
        let key = endpoint.number.to_string();
        let shard = shard(hub).map_err(told)?;
        let found = control::get_in(env, &shard, tables::DELIVERIES, &key).await.map_err(told)?;
        let cursor: Cursor = found.map(|(it, _)| it).unwrap_or_default();
        Ok(Self { env, hub, endpoint, log, kept: cursor.clone(), cursor })
    }

    /// The sequence at which a partition goes on. What is gone before it was sent is told.
    pub(super) async fn next(&mut self, partition: u16) -> Result<u64, String> {
        let first = bounds(&self.log, partition).map_err(|it| it.cause())?.first_sequence;
        let next = self.cursor.next.get(&partition).copied();
        if let Some(lost) = next.and_then(|it| first.checked_sub(it)).filter(|it| *it > 0) {
            let sentence = format!(
                "up to {lost} messages for the endpoint `{}` of `{}` were older than the hub keeps them before they could be sent",
                self.endpoint.name, self.hub.scope
            );
            self.env.metrics.log_fault(self.env.new_tracking_id(), &sentence);
            // It is told once.
            self.cursor.next.insert(partition, first);
            self.keep().await?;
        }
        Ok(next.unwrap_or(first).max(first))
    }

    /// Records of a partition from a sequence on, as many as one look takes.
    pub(super) async fn read(&self, partition: u16, from: u64) -> Result<Vec<Record>, String> {
        let from = Start::Sequence(from);
        let read = self.log.log.read(partition, from, READ_RECORDS_MAX, READ_BYTES_MAX).await;
        read.map_err(|it| logs::failed(&it).cause())
    }

    /// The message of a record and when it came, where it is for the endpoint.
    pub(super) fn mine(&self, record: &Record) -> Option<(Message, Timestamp)> {
        let message = Message::parse_for(&record.payload, self.endpoint.number)?;
        Some((message, Timestamp::from_millis(record.time_ms)))
    }

    /// Goes on behind records of which none is for the endpoint.
    pub(super) async fn pass(&mut self, partition: u16, behind: u64) -> Result<(), String> {
        self.cursor.next.insert(partition, behind);
        let kept = self.kept.next.get(&partition).copied().unwrap_or(0);
        match behind.saturating_sub(kept) >= PASSED_MAX {
            true => self.keep().await,
            false => Ok(()),
        }
    }

    /// Keeps how far the endpoint is.
    pub(super) async fn keep(&mut self) -> Result<(), String> {
        let told = |it: Error| it.cause();
        let shard = shard(self.hub).map_err(told)?;
        let key = self.endpoint.number.to_string();
        let change =
            control::put(tables::DELIVERIES, key, Expect::Anything, &self.cursor).map_err(told)?;
        let committed = self.env.store.commit(&shard, vec![change]).await;
        committed.map_err(|it| control::failed(&it).cause())?;
        self.kept = self.cursor.clone();
        Ok(())
    }

    /// The endpoint was tried, with or without success.
    pub(super) fn tell(&self, has_success: bool) {
        let now = self.env.now();
        self.env.routings.healths.change(&self.hub.uid, self.endpoint.number, |it| {
            it.last_attempt = Some(now);
            if has_success {
                it.last_success = Some(now);
                it.failing_since = None;
            }
        });
    }

    /// Ends once some partition has more than was looked at: than `next` says of it.
    pub(super) fn more(
        &self,
        next: &dyn Fn(u16) -> u64,
    ) -> Result<impl Future<Output = Result<(), String>> + Send + use<>, String> {
        let mut waiting: Vec<Pin<Box<dyn Future<Output = bool> + Send>>> = Vec::new();
        for partition in 0..self.log.partitions {
            let mut tail = self.log.log.tail(partition).map_err(|it| logs::failed(&it).cause())?;
            let next = next(partition);
            waiting.push(Box::pin(async move { tail.wait_for(|it| *it > next).await.is_ok() }));
        }
        Ok(async move {
            let any = poll_fn(|context| {
                for it in &mut waiting {
                    if let Poll::Ready(is_open) = it.as_mut().poll(context) {
                        return Poll::Ready(is_open);
                    }
                }
                Poll::Pending
            });
            any.await.then_some(()).ok_or_else(|| "the hub's log is closed".to_owned())
        })
    }
}
