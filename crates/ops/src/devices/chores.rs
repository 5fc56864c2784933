//! What hubs do by themselves: jobs whose time has come, and configurations that are brought to their devices.
//!
//! A hub with something to do is on a list that is looked at every second, and at once when something is added;
//! every other hub costs nothing. Configurations are looked at again every minute, as twins change. Nothing here
//! decides whether something may be done: that was decided when the job or configuration was written.

use super::{configurations, jobs, transfers};
use crate::env::Env;
use gate::facts::Hub;
use model::Error;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// How often the list is looked at: a job begins so late at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many looks make a round of all hubs.
const LOOKS_PER_ROUND: u32 = 60;
/// Most jobs that run at a time; the others wait.
const JOBS_AT_ONCE: usize = 64;

/// The hubs with something to do, by uid. Clones of an environment share it.
#[derive(Debug, Default)]
pub struct Chores {
    lists: Mutex<Lists>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Lists {
    jobs: BTreeSet<String>,
    configurations: BTreeSet<String>,
}

impl Chores {
    /// A hub has a new job.
    pub(super) fn add_job(&self, hub: &str) {
        self.lists().jobs.insert(hub.to_owned());
        self.bell.notify_one();
    }

    /// A hub has a new configuration, or one less.
    pub(super) fn add_configuration(&self, hub: &str) {
        self.lists().configurations.insert(hub.to_owned());
        self.bell.notify_one();
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        // No critical section leaves the lists half changed.
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job, by hub and id.
type Of = (String, String);
type Running = BTreeSet<Of>;
/// Jobs that run, and how each of them ends.
type Tasks = JoinSet<(Of, Result<(), Error>)>;

/// Does it until the future is dropped: what is under way then goes on at the next start.
pub async fn run(env: Arc<Env>) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut until_round, mut running) = (0, Running::new());
    let mut tasks = Tasks::new();
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = env.chores.bell.notified() => {}
            Some(ended) = tasks.join_next() => match ended {
                Ok((job, outcome)) => {
                    if let Err(error) = outcome {
                        told(&env, "a job stopped before its end", error);
                    }
                    running.remove(&job);
                    continue;
                }
                // Which one it was nobody knows: it is begun again at the next start.
                Err(_) => {
                    let panicked = Error::Internal { message: "a job ended in a panic".to_owned() };
                    told(&env, "a job failed", panicked);
                    continue;
                }
            },
        }
        let is_round = until_round == 0;
        until_round = if is_round { LOOKS_PER_ROUND } else { until_round - 1 };
        let Lists { jobs, configurations } = std::mem::take(&mut *env.chores.lists());
        let facts = env.facts.load();
        for hub in facts.hubs.values() {
            let (has_jobs, is_new) = (jobs.contains(&hub.uid), configurations.contains(&hub.uid));
            if has_jobs || is_round {
                match begin(&env, hub, &mut running, &mut tasks).await {
                    Ok(true) => drop(env.chores.lists().jobs.insert(hub.uid.clone())),
                    Ok(false) => {}
                    Err(error) => told(&env, "the jobs of a hub cannot be seen", error),
                }
            }
            if (is_new || is_round)
                && let Err(error) = configurations::apply::round(&env, hub, is_new).await
            {
                told(&env, "the configurations of a hub cannot be brought to its devices", error);
            }
            if is_round && let Err(error) = jobs::forget_old(&env, hub).await {
                told(&env, "the past jobs of a hub cannot be forgotten", error);
            }
            if is_round && let Err(error) = transfers::forget_old(&env, hub).await {
                told(&env, "the past imports and exports of a hub cannot be forgotten", error);
            }
        }
    }
}

fn told(env: &Env, what: &str, error: Error) {
    env.metrics.log_fault(env.new_tracking_id(), &format!("{what}: {}", error.cause()));
}

/// Begins the jobs that are due at a hub. True where others are to come without anybody adding them.
async fn begin(
    env: &Arc<Env>,
    hub: &Arc<Hub>,
    running: &mut Running,
    tasks: &mut Tasks,
) -> Result<bool, Error> {
    let (due, mut is_more_to_come) = jobs::run::due(env, hub).await?;
    let transfer = transfers::run::due(env, hub).await?;
    let due = due.into_iter().map(|it| (it, false)).chain(transfer.map(|it| (it, true)));
    for (id, is_transfer) in due {
        let job = (hub.uid.clone(), id);
        // One that a store failed is tried again.
        is_more_to_come |= is_transfer || running.len() >= JOBS_AT_ONCE;
        if running.len() < JOBS_AT_ONCE && running.insert(job.clone()) {
            let (env, hub) = (Arc::clone(env), Arc::clone(hub));
            tasks.spawn(async move {
                let outcome = match is_transfer {
                    true => transfers::run::run(env, hub, &job.1).await,
                    false => jobs::run::run(env, hub, &job.1).await,
                };
                (job, outcome)
            });
        }
    }
    Ok(is_more_to_come)
}
