//! Takes messages to the endpoints of hubs: a task for each, from where it was when it stopped.
//!
//! An endpoint that is new, or says another thing than it did, gets a task; one that is gone loses it. What was under way
//! then is sent again, so that each message arrives at least once.

mod avro;
mod endpoint;
mod file;
mod files;
mod progress;
mod way;

pub use endpoint::Health;

use super::{Kind, endpoints_of};
use crate::control;
use crate::devices::hubs::HubDocument;
use crate::env::Env;
use gate::facts::Hub;
use model::json::text;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::tables;
use tokio::task::{AbortHandle, JoinSet};

/// An endpoint, as its task needs it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Endpoint {
    pub(super) kind: Kind,
    pub(super) number: u32,
    pub(super) name: String,
    /// As the hub keeps it, with its key.
    pub(super) body: Value,
    /// What the hub says of its identities.
    pub(super) hub: Value,
}

/// By the hub's uid and the endpoint's number.
type Place = (String, u32);

/// How sending goes, by endpoint. Kept in memory alone.
#[derive(Debug, Default)]
pub struct Healths(Mutex<BTreeMap<Place, Health>>);

impl Healths {
    pub(crate) fn of(&self, hub: &str, number: u32) -> Health {
        self.lock().get(&(hub.to_owned(), number)).cloned().unwrap_or_default()
    }

    fn change(&self, hub: &str, number: u32, how: impl FnOnce(&mut Health)) {
        how(self.lock().entry((hub.to_owned(), number)).or_default());
    }

    /// Forgets endpoints that are gone: no other ever has their numbers.
    fn keep(&self, is_there: impl Fn(&Place) -> bool) {
        self.lock().retain(|place, _| is_there(place));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Health>> {
        // No critical section leaves the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does it until the future is dropped. Whoever closes the logs of hubs after that ends the tasks first.
pub async fn run(env: Arc<Env>, tasks: &mut JoinSet<()>) {
    let mut versions = env.facts.versions();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut running: BTreeMap<Place, (Endpoint, AbortHandle)> = BTreeMap::new();
    loop {
        versions.borrow_and_update();
        let facts = env.facts.load();
        let there: BTreeSet<&str> = facts.hubs.values().map(|it| it.uid.as_str()).collect();
        running.retain(|(uid, _), (_, task)| {
            if task.is_finished() {
                // It panicked: its hub is looked at anew, which begins it again.
                seen.remove(uid);
                return false;
            }
            let is_there = there.contains(uid.as_str());
            if !is_there {
                task.abort();
            }
            is_there
        });
        seen.retain(|uid, _| there.contains(uid.as_str()));
        for hub in facts.hubs.values() {
            let version = hub.routing.unwrap_or(0);
            if seen.get(&hub.uid) == Some(&version) {
                continue;
            }
            let Ok(endpoints) = endpoints(&env, hub).await else { continue };
            seen.insert(hub.uid.clone(), version);
            running.retain(|(uid, _), (former, task)| {
                let stays = *uid != hub.uid || endpoints.contains(former);
                if !stays {
                    task.abort();
                }
                stays
            });
            for it in endpoints {
                let place = (hub.uid.clone(), it.number);
                running.entry(place).or_insert_with(|| {
                    let (env, hub) = (Arc::clone(&env), Arc::clone(hub));
                    (it.clone(), tasks.spawn(endpoint::deliver(env, hub, it)))
                });
            }
        }
        env.routings.healths.keep(|place| running.contains_key(place));
        loop {
            tokio::select! {
                changed = versions.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                // One ends only where it was aborted, or panicked: the next change of facts begins that again, and not
                // this moment, so that what panics at once does not do so all the time.
                Some(ended) = tasks.join_next() => if let Err(error) = ended
                    && error.is_panic()
                {
                    env.metrics.log_fault(env.new_tracking_id(), "a task that sends to an endpoint ended in a panic");
                },
            }
        }
    }
}

/// The endpoints that a hub's messages are sent to.
async fn endpoints(env: &Env, hub: &Hub) -> Result<Vec<Endpoint>, model::Error> {
    if hub.routing.is_none() {
        return Ok(Vec::new());
    }
    let found = control::get::<HubDocument>(env, tables::RESOURCES, &hub.scope.key()).await?;
    let Some((document, _)) = found.filter(|(it, _)| it.uid == hub.uid) else {
        return Ok(Vec::new());
    };
    let nothing = Value::Null;
    let properties = document.resource.get("properties").unwrap_or(&nothing);
    let mut about = serde_json::Map::new();
    for name in ["name", "identity"] {
        about.extend(document.resource.get(name).map(|it| (name.to_owned(), it.clone())));
    }
    let all = endpoints_of(properties).filter_map(|(kind, _, body)| {
        let name = text(body, &["name"])?;
        let number = document.numbers.get(kind, name)?;
        let hub = Value::Object(about.clone());
        Some(Endpoint { kind, number, name: name.to_owned(), body: body.clone(), hub })
    });
    Ok(all.collect())
}
