//! One endpoint: reads the hub's log from where it was, sends what is for it in order, and goes on once the target has
//! taken it.
//!
//! What the target will never take is dropped and counted; whatever else goes wrong is tried again, later and later. A
//! message is tried as long as the hub keeps it: what is trimmed before it was sent is lost, and that is told.

use super::progress::Progress;
use super::way::Way;
use super::{Endpoint, files};
use crate::devices::message::Message;
use crate::devices::message::amqp::of_device;
use crate::devices::routing::Kind;
use crate::env::Env;
use egress::amqp::{PARTITION_KEY, SendError, Value, Why};
use gate::facts::Hub;
use model::Timestamp;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How long to wait behind a failure: twice as long each time.
pub(super) const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);
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

/// Sends until it is aborted.
pub(super) async fn deliver(env: Arc<Env>, hub: Arc<Hub>, endpoint: Endpoint) {
    let mut wait = WAIT_MIN;
    loop {
        let sent = match endpoint.kind {
            Kind::StorageContainers => files::write(&env, &hub, &endpoint, &mut wait).await,
            Kind::EventHubs | Kind::ServiceBusQueues | Kind::ServiceBusTopics => {
                send(&env, &hub, &endpoint, &mut wait).await
            }
        };
        let Err(failure) = sent;
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

/// Sends to an event hub, a queue or a topic until something fails: why.
async fn send(
    env: &Arc<Env>,
    hub: &Arc<Hub>,
    endpoint: &Endpoint,
    wait: &mut Duration,
) -> Result<Infallible, String> {
    let way = Way::of(env, endpoint)?;
    let progress = Progress::begin(env, hub, endpoint).await?;
    let mut delivery = Delivery { progress, way };
    loop {
        let mut has_found = false;
        for partition in 0..delivery.progress.log.partitions {
            has_found |= delivery.step(partition, wait).await?;
        }
        if !has_found {
            delivery.wait_for_more().await?;
        }
    }
}

struct Delivery<'a> {
    progress: Progress<'a>,
    way: Way,
}

impl Delivery<'_> {
    /// Sends what comes next in a partition. True where there was anything.
    async fn step(&mut self, partition: u16, wait: &mut Duration) -> Result<bool, String> {
        let progress = &mut self.progress;
        let next = progress.next(partition).await?;
        let records = progress.read(partition, next).await?;
        let Some(last) = records.last() else { return Ok(false) };
        let behind = last.position.sequence.saturating_add(1);
        let mine = records.iter().filter_map(|it| {
            let (message, enqueued) = progress.mine(it)?;
            Some((it.position.sequence, keyed(message, enqueued)))
        });
        let (sequences, messages): (Vec<u64>, Vec<_>) = mine.unzip();
        if messages.is_empty() {
            progress.pass(partition, behind).await?;
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
        progress.env.metrics.count_invalid(refused);
        if let Some(Err(error)) = verdicts.iter().find(|it| is_refused(it)) {
            let sentence =
                format!("`{}` will never take a message: {}", progress.endpoint.name, error.told());
            progress.env.metrics.log_fault(progress.env.new_tracking_id(), &sentence);
        }
        if progress.cursor.next.insert(partition, until) != Some(until) {
            progress.keep().await?;
        }
        let has_success = verdicts.iter().any(Result::is_ok);
        progress.tell(has_success);
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
                Err(error.told())
            }
        }
    }

    /// Ends once some partition has more than was looked at.
    async fn wait_for_more(&mut self) -> Result<(), String> {
        let next = &self.progress.cursor.next;
        let more = self.progress.more(&|it| next.get(&it).copied().unwrap_or(0))?;
        tokio::select! {
            more = more => more,
            () = self.way.rest() => Ok(()),
        }
    }
}

/// All that a device has sent stays together and in order: its id is the partition key.
fn keyed(message: Message, enqueued: Timestamp) -> egress::amqp::Message {
    let key = Some(&message.device).filter(|it| !it.is_empty());
    let key = key.map(|it| (Value::symbol(PARTITION_KEY), Value::string(it)));
    of_device(message, enqueued, key.into_iter().collect())
}

fn is_refused(verdict: &Result<(), SendError>) -> bool {
    verdict.as_ref().is_err_and(|it| it.why == Why::Refused)
}
