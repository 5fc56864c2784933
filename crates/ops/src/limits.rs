//! Tier quotas and throttles, where they are switched on: every hub is limited as one of the edition named.
//!
//! What is counted together and how often it may come is in [`model::limits`]; a hub's [`Meter`] says what is
//! left of it, by the server's clock. A call is looked at once its caller is proven, before its body is read or a
//! gate is asked, and counts once it is admitted: who may not do something uses nothing up, and what is refused
//! here costs little and leaves no trace of its own. What a session does counts in `session.rs`, what a job does in
//! `devices/jobs/run.rs`. Meters are in memory: a restart begins the day anew.

mod bucket;
mod day;
pub mod management;
mod meter;
mod places;
mod tab;
#[cfg(test)]
mod tests;

pub use management::Throttling;
pub(crate) use meter::{Amount, Meter, QUEUE_MS};
pub(crate) use places::Place;
pub(crate) use tab::Tab;

use crate::env::Env;
use crate::metrics::{head, sample};
use gate::facts::Hub;
use model::Error;
use model::limits::{Sku, Throttle};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::ShardId;

/// What waits for its turn asks again after so long at the latest: the server's clock may leap.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The meters of all hubs, or nothing at all; and those of resource management and sign-in.
#[derive(Debug, Default)]
pub struct Limits {
    hubs: Option<Limited>,
    management: management::Management,
}

#[derive(Debug)]
struct Limited {
    sku: Sku,
    /// By the hub's uid; no more than there are hubs.
    meters: Mutex<BTreeMap<String, Arc<Meter>>>,
}

impl Limits {
    /// Every hub as one of this edition; no hub is limited without one.
    pub fn new(sku: Option<Sku>, management: Throttling) -> Self {
        let hubs = sku.map(|sku| Limited { sku, meters: Mutex::default() });
        Self { hubs, management: management::Management::new(management) }
    }

    /// A hub's meter, where hubs are limited.
    pub(crate) fn of(&self, hub: &Hub, env: &Env) -> Option<Arc<Meter>> {
        let Limited { sku, meters } = self.hubs.as_ref()?;
        let mut meters = meters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = meters.get(&hub.uid) {
            return Some(Arc::clone(found));
        }
        let facts = env.facts.load();
        meters.retain(|uid, _| facts.hubs.values().any(|it| it.uid == *uid));
        let meter = Arc::new(Meter::new(hub.scope.name(), *sku, env.now().millis()));
        meters.insert(hub.uid.clone(), Arc::clone(&meter));
        Some(meter)
    }

    /// Room for new devices and modules, to be kept until they are in the registry.
    ///
    /// # Errors
    /// [`Error::Limited`] where the hub has as many as it can.
    pub(crate) async fn place(
        &self,
        hub: &Hub,
        count: usize,
        shard: &ShardId,
        env: &Env,
    ) -> Result<Option<Place>, Error> {
        match self.of(hub, env) {
            Some(meter) => places::take(&meter, count, shard, env).await.map(Some),
            None => Ok(None),
        }
    }

    /// Counts the messages of a request, by their bytes: all of them or none.
    ///
    /// # Errors
    /// [`Error::Limited`].
    pub(crate) fn send(
        &self,
        hub: &Hub,
        bytes: impl Iterator<Item = usize>,
        env: &Env,
    ) -> Result<(), Error> {
        self.of(hub, env).map_or(Ok(()), |it| it.send(bytes, 0, env.now()))
    }

    /// Counts devices that a job is about to deal with; how long it must wait where it comes too fast.
    pub(crate) fn pause(&self, hub: &Hub, devices: usize, env: &Env) -> Option<Duration> {
        let meter = self.of(hub, env)?;
        let count = u64::try_from(devices).unwrap_or(u64::MAX);
        let amount = Amount { tokens: count, messages: count, debt_ms: 0 };
        let refused = meter.take(Throttle::JobDevices.class(), amount, env.now()).err()?;
        Some(ASK_AGAIN.min(Duration::from_secs(refused.retry_after_s().unwrap_or(1))))
    }

    /// The meters in Prometheus' text form; nothing where nothing is limited.
    pub fn render(&self, env: &Env) -> String {
        let mut text = self.management.render();
        let Some(Limited { meters, .. }) = &self.hubs else { return text };
        let all: Vec<Arc<Meter>> = {
            let meters = meters.lock().unwrap_or_else(PoisonError::into_inner);
            meters.values().cloned().collect()
        };
        let now = env.now();
        let mut each = |name: &str, kind: &str, says: &str, number: &dyn Fn(&Meter) -> u64| {
            head(&mut text, name, kind, says);
            for it in &all {
                sample(&mut text, name, &[("hub", &it.hub)], number(it));
            }
        };
        each(
            "hubward_messages_today",
            "gauge",
            "Messages that a hub has had since 00:00 UTC.",
            &|it| it.used(now),
        );
        each("hubward_messages_per_day", "gauge", "Messages that a hub takes in a day.", &|it| {
            it.sku.messages_per_day()
        });
        each(
            "hubward_quota_refused_total",
            "counter",
            "Refusals because the messages of the day were over.",
            &|it| it.over_quota.load(Ordering::Relaxed),
        );
        each(
            "hubward_held_up_total",
            "counter",
            "Times that a device was read from more slowly, because devices sent too fast.",
            &|it| it.held_up.load(Ordering::Relaxed),
        );
        let by_class = [
            ("hubward_throttle_taken_total", "What a hub has let in, by class."),
            ("hubward_throttle_refused_total", "What came too fast for a hub, by class."),
        ];
        for (at, (name, says)) in by_class.into_iter().enumerate() {
            head(&mut text, name, "counter", says);
            for meter in &all {
                for (class, taken, refused) in meter.read() {
                    let number = if at == 0 { taken } else { refused };
                    if number > 0 {
                        sample(&mut text, name, &[("hub", &meter.hub), ("class", class)], number);
                    }
                }
            }
        }
        text
    }
}
