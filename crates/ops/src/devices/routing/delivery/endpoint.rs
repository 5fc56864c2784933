//! One endpoint: reads the hub's log from where it was, sends what is for it in order, and goes on once the target has
//! taken it.
//!
//! What the target will never take is dropped and counted; whatever else goes wrong is tried again, later and later. A
//! message is tried as long as the hub keeps it: what is trimmed before it was sent is lost, and that is told.

use super::Endpoint;
use super::way::Way;
use crate::control;
use crate::devices::events::bounds;
use crate::devices::logs::{self, HubLog};
use crate::devices::message::Message;
use crate::devices::registry::shard;
use crate::devices::routing::outgoing::outgoing;
use crate::env::Env;
use egress::amqp::{SendError, Why};
use gate::facts::Hub;
use model::{Error, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use store::log::Start;
use store::{Expect, tables};
use tokio::time::sleep;

/// Most records that one look takes, and most bytes of them.
const READ_RECORDS_MAX: usize = 256;
const READ_BYTES_MAX: usize = 512 << 10;
/// How long to wait behind a failure: twice as long each time.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Behind so many records of others the place is kept, so that a restart does not look at them again.
const PASSED_MAX: u64 = 10_000;
/// For so long a target may fail before it counts as unhealthy, and before it counts as dead.
const UNHEALTHY_AFTER_S: i64 = 60;
const DEAD_AFTER_S: i64 = 24 * 60 * 60;

/// How sending to an endpoint goes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Health {
    pub last_error: Option<(Timestamp, String)>,
    pub last_success: Option<Timestamp>,
    pub last_attempt: Option<Timestamp>,
    /// Since when nothing but failures.
    pub failing_since: Option<Timestamp>,
}

impl Health {
    /// In the words of Azure.
    pub fn status(&self, now: Timestamp) -> &'static str {
        match (self.failing_since, self.last_success) {
            (None, None) => "unknown",
            (None, Some(_)) => "healthy",
            (Some(since), _) => match now.seconds() - since.seconds() {
                ..UNHEALTHY_AFTER_S => "degraded",
                UNHEALTHY_AFTER_S..DEAD_AFTER_S => "unhealthy",
                _ => "dead",
            },
        }
    }
}

/// How far an endpoint is: the next sequence of each partition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Cursor {
    next: BTreeMap<u16, u64>,
}

/// Sends until it is aborted.
pub(super) async fn deliver(env: Arc<Env>, hub: Arc<Hub>, endpoint: Endpoint) {
    let mut wait = WAIT_MIN;
    loop {
        let failure = match Delivery::begin(&env, &hub, &endpoint).await {
            Ok(mut delivery) => delivery.run(&mut wait).await,
            Err(error) => error,
        };
        env.routings.healths.change(&hub.uid, endpoint.number, |it| {
            let now = env.now();
            it.failing_since.get_or_insert(now);
            it.last_attempt = Some(now);
            it.last_error = Some((now, failure));
        });
        sleep(wait).await;
        wait = WAIT_MAX.min(wait * 2);
    }
}

struct Delivery<'a> {
    env: &'a Arc<Env>,
    hub: &'a Hub,
    endpoint: &'a Endpoint,
    log: HubLog,
    way: Way,
    cursor: Cursor,
    /// As it is kept.
    kept: Cursor,
}

impl<'a> Delivery<'a> {
    async fn begin(
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
        let found = env.store.get(&shard, tables::DELIVERIES, &key).await;
        let found = found.map_err(|it| it.to_string())?;
        let cursor: Cursor = match found {
            Some(it) => serde_json::from_slice(&it.body).map_err(|it| it.to_string())?,
            None => Cursor::default(),
        };
        let way = Way::of(env, endpoint)?;
        Ok(Self { env, hub, endpoint, log, way, kept: cursor.clone(), cursor })
    }

    /// Sends until something fails: why.
    async fn run(&mut self, wait: &mut Duration) -> String {
        loop {
            let mut has_found = false;
            for partition in 0..self.log.partitions {
                match self.step(partition, wait).await {
                    Ok(has_more) => has_found |= has_more,
                    Err(failure) => return failure,
                }
            }
            if !has_found && let Err(error) = self.wait_for_more().await {
                return error.cause();
            }
        }
    }

    /// Sends what comes next in a partition. True where there was anything.
    async fn step(&mut self, partition: u16, wait: &mut Duration) -> Result<bool, String> {
        let told = |it: Error| it.cause();
        let first = bounds(&self.log, partition).map_err(told)?.first_sequence;
        let next = self.cursor.next.get(&partition).copied();
        if let Some(lost) = next.and_then(|it| first.checked_sub(it)).filter(|it| *it > 0) {
            let sentence = format!(
                "up to {lost} messages for the endpoint `{}` of `{}` were older than the hub keeps them before they could be sent",
                self.endpoint.name, self.hub.scope
            );
            self.env.metrics.log_fault(self.env.new_tracking_id(), &sentence);
        }
        let from = Start::Sequence(next.unwrap_or(first).max(first));
        let read = self.log.log.read(partition, from, READ_RECORDS_MAX, READ_BYTES_MAX).await;
        let records = read.map_err(|it| logs::failed(&it).cause())?;
        let Some(last) = records.last() else { return Ok(false) };
        let behind = last.position.sequence.saturating_add(1);
        let mine = records.iter().filter_map(|it| {
            let message = Message::parse_for(&it.payload, self.endpoint.number)?;
            Some((it.position.sequence, outgoing(message, Timestamp::from_millis(it.time_ms))))
        });
        let (sequences, messages): (Vec<u64>, Vec<_>) = mine.unzip();
        if messages.is_empty() {
            self.cursor.next.insert(partition, behind);
            let kept = self.kept.next.get(&partition).copied().unwrap_or(0);
            if behind.saturating_sub(kept) >= PASSED_MAX {
                self.keep().await.map_err(told)?;
            }
            return Ok(true);
        }
        let verdicts = self.way.send(&messages).await;
        let stopped =
            verdicts.iter().zip(&sequences).find_map(|(verdict, sequence)| match verdict {
                Err(error) if error.why != Why::Refused => Some((*sequence, error.clone())),
                Err(_) | Ok(()) => None,
            });
        let until = stopped.as_ref().map_or(behind, |(sequence, _)| *sequence);
        let refused = verdicts.iter().filter(|it| is_refused(it)).count();
        self.env.metrics.count_invalid(refused);
        if let Some(Err(error)) = verdicts.iter().find(|it| is_refused(it)) {
            let sentence = format!("`{}` will never take a message: {error}", self.endpoint.name);
            self.env.metrics.log_fault(self.env.new_tracking_id(), &sentence);
        }
        if self.cursor.next.insert(partition, until) != Some(until) {
            self.keep().await.map_err(told)?;
        }
        let now = self.env.now();
        let has_success = verdicts.iter().any(Result::is_ok);
        self.env.routings.healths.change(&self.hub.uid, self.endpoint.number, |it| {
            it.last_attempt = Some(now);
            if has_success {
                it.last_success = Some(now);
                it.failing_since = None;
            }
        });
        match stopped {
            None => {
                *wait = WAIT_MIN;
                Ok(true)
            }
            Some((_, error)) => {
                if has_success {
                    *wait = WAIT_MIN;
                }
                if let Some(after) = error.retry_after {
                    *wait = after.clamp(WAIT_MIN, WAIT_MAX);
                }
                Err(error.to_string())
            }
        }
    }

    /// Keeps how far the endpoint is.
    async fn keep(&mut self) -> Result<(), Error> {
        let shard = shard(self.hub)?;
        let key = self.endpoint.number.to_string();
        let change = control::put(tables::DELIVERIES, key, Expect::Anything, &self.cursor)?;
        let committed = self.env.store.commit(&shard, vec![change]).await;
        committed.map_err(|it| control::failed(&it))?;
        self.kept = self.cursor.clone();
        Ok(())
    }

    /// Ends once some partition has more than was looked at.
    async fn wait_for_more(&mut self) -> Result<(), Error> {
        let mut tails = Vec::new();
        for partition in 0..self.log.partitions {
            let tail = self.log.log.tail(partition).map_err(|it| logs::failed(&it))?;
            let next = self.cursor.next.get(&partition).copied().unwrap_or(0);
            tails.push((tail, next));
        }
        let mut waiting: Vec<Pin<Box<dyn Future<Output = bool> + Send>>> = Vec::new();
        for (mut tail, next) in tails {
            waiting.push(Box::pin(async move { tail.wait_for(|it| *it > next).await.is_ok() }));
        }
        let any = poll_fn(|context| {
            for it in &mut waiting {
                if let Poll::Ready(is_open) = it.as_mut().poll(context) {
                    return Poll::Ready(is_open);
                }
            }
            Poll::Pending
        });
        tokio::select! {
            is_open = any => match is_open {
                true => Ok(()),
                false => Err(Error::Unavailable { message: "the hub's log is closed".to_owned() }),
            },
            () = self.way.rest() => Ok(()),
        }
    }
}

fn is_refused(verdict: &Result<(), SendError>) -> bool {
    verdict.as_ref().is_err_and(|it| it.why == Why::Refused)
}
