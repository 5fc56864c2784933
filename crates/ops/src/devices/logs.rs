//! Where each hub keeps what its devices send, and what happens to them: a log each per hub, opened when the first
//! record comes. What is sent to event hubs of namespaces is kept likewise.

use super::registry::shard;
use super::{hubs, journal};
use crate::env::Env;
use crate::targets::event_hubs;
use gate::facts::{Entity, Hub};
use model::{Error, Timestamp};
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::future::ready;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::ShardId;
use store::log::{Log, LogError, LogOptions};
use tokio::sync::OnceCell;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a log holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Holds {
    /// What devices send. The hub says in how many partitions, and for how many days.
    #[default]
    Messages,
    /// What happens to devices, see [`journal`].
    Journal,
}

/// The logs of all hubs.
#[derive(Default)]
pub struct Logs {
    holds: Holds,
    /// The directory with one directory per hub; `None` keeps everything in memory.
    directory: Option<PathBuf>,
    /// By the hub's shard. A cell that is empty is a log that somebody is opening.
    open: Mutex<BTreeMap<ShardId, Arc<OnceCell<Opened>>>>,
}

#[derive(Clone)]
struct Opened {
    log: Log,
    partitions: u16,
}

/// A hub's log, and how many partitions it has.
#[derive(Clone)]
pub struct HubLog {
    pub log: Log,
    pub partitions: u16,
}

impl Logs {
    /// What devices send, below a directory that is made with the first log.
    pub fn below(directory: PathBuf) -> Self {
        Self { directory: Some(directory), ..Self::default() }
    }

    /// What happens to devices, below another.
    pub fn journals_below(directory: PathBuf) -> Self {
        Self { directory: Some(directory), ..Self::journals() }
    }

    /// What happens to devices, in memory.
    pub fn journals() -> Self {
        Self { holds: Holds::Journal, ..Self::default() }
    }

    /// Logs in memory, of which one is there already: for whoever keeps it longer than a server lives.
    pub fn with(shard: ShardId, HubLog { log, partitions }: HubLog) -> Self {
        let cell = Arc::new(OnceCell::new_with(Some(Opened { log, partitions })));
        Self { open: Mutex::new(BTreeMap::from([(shard, cell)])), ..Self::default() }
    }

    /// The log of a hub, made or opened where it is not open yet.
    ///
    /// # Errors
    /// [`Error::Internal`] with what is wrong with its files.
    pub async fn of(&self, hub: &Hub, env: &Env) -> Result<HubLog, Error> {
        let shard = shard(hub)?;
        self.opened(&shard, self.reach(hub, env), env).await
    }

    /// The log of an event hub, likewise.
    ///
    /// # Errors
    /// As [`Logs::of`].
    pub(crate) async fn of_event_hub(&self, it: &Entity, env: &Env) -> Result<HubLog, Error> {
        let shard = ShardId::target(&it.uid);
        let shard = shard.map_err(|it| Error::Internal { message: it.to_string() })?;
        self.opened(&shard, ready(Ok(event_hubs::reach(it))), env).await
    }

    async fn opened(
        &self,
        shard: &ShardId,
        reach: impl Future<Output = Result<(u16, u32), Error>>,
        env: &Env,
    ) -> Result<HubLog, Error> {
        let cell = Arc::clone(self.lock().entry(shard.clone()).or_default());
        let opened =
            cell.get_or_try_init(|| async { self.open(shard, reach.await?, env).await }).await?;
        Ok(HubLog { log: opened.log.clone(), partitions: opened.partitions })
    }

    async fn open(
        &self,
        shard: &ShardId,
        (partitions, days): (u16, u32),
        env: &Env,
    ) -> Result<Opened, Error> {
        let salt = u64::from_le_bytes(env.random());
        let mut options = LogOptions { retention: DAY * days, ..LogOptions::new(partitions, salt) };
        if self.holds == Holds::Journal {
            options.segment_bytes = journal::SEGMENT_BYTES;
        }
        if shard.target_uid().is_some() {
            options.record_bytes_max = event_hubs::TRANSFER_BYTES_MAX;
        }
        let log = match &self.directory {
            Some(all) => {
                // What devices send is for the server's user alone.
                let made = DirBuilder::new().recursive(true).mode(0o700).create(all);
                made.map_err(|it| unusable(shard, &it))?;
                Log::open(&all.join(shard.to_string()), options, env.now().millis()).await
            }
            None => Log::memory_with(options),
        };
        Ok(Opened { log: log.map_err(|it| unusable(shard, &it))?, partitions })
    }

    /// How many partitions a hub's log has, and for how many days it keeps what it holds.
    async fn reach(&self, hub: &Hub, env: &Env) -> Result<(u16, u32), Error> {
        match self.holds {
            Holds::Messages => hubs::events(env, &hub.scope).await,
            Holds::Journal => Ok((journal::PARTITIONS, journal::DAYS)),
        }
    }

    /// Removes what is older than its hub keeps, in every log that is open, and of a journal the oldest beyond its
    /// bytes. Opening one does the same with what is too old.
    pub async fn trim(&self, now: Timestamp, env: &Env) {
        let open: Vec<(ShardId, Opened)> = self
            .lock()
            .iter()
            .filter_map(|(shard, cell)| Some((shard.clone(), cell.get()?.clone())))
            .collect();
        let facts = env.facts.load();
        for (shard, Opened { log, .. }) in open {
            // Asked each time: a hub may keep its messages longer than it did when its log was opened, and may
            // lie in another resource group.
            let hub = facts.hubs.values().find(|it| Some(&*it.uid) == shard.hub_uid());
            let event_hub = facts.entities.values().find(|it| Some(&*it.uid) == shard.target_uid());
            let days = match (hub, event_hub) {
                (Some(hub), _) => self.reach(hub, env).await.map(|it| it.1).ok(),
                (None, found) => found.map(|it| event_hubs::reach(it).1),
            };
            let Some(days) = days else { continue };
            let kept_ms = i64::try_from((DAY * days).as_millis()).unwrap_or(i64::MAX);
            let mut before_ms = now.millis().saturating_sub(kept_ms);
            if self.holds == Holds::Journal {
                before_ms = before_ms.max(journal::too_much_before(&log).await);
            }
            if let Err(error) = log.trim(before_ms).await {
                let sentence = format!("old records of `{shard}` cannot be removed: {error}");
                env.metrics.log_fault(env.new_tracking_id(), &sentence);
            }
        }
    }

    /// Closes the log of a hub that is gone and removes its files. Removing one that is not there succeeds.
    ///
    /// # Errors
    /// [`Error::Internal`] where a file cannot be removed.
    pub async fn remove(&self, shard: &ShardId) -> Result<(), Error> {
        let cell = self.lock().remove(shard);
        // Somebody may just be opening it: then this waits until that is done.
        if let Some(cell) = cell
            && let Ok(opened) = cell.get_or_try_init(|| async { Err(()) }).await
        {
            opened.log.close().await;
        }
        let Some(all) = &self.directory else { return Ok(()) };
        match tokio::fs::remove_dir_all(all.join(shard.to_string())).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(unusable(shard, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The hubs that have files here.
    ///
    /// # Errors
    /// [`Error::Internal`] where the directory cannot be listed.
    pub fn kept(&self) -> Result<Vec<ShardId>, Error> {
        let Some(all) = &self.directory else { return Ok(Vec::new()) };
        let told = |it: std::io::Error| Error::Internal {
            message: format!("the logs in `{}` cannot be listed: {it}", all.display()),
        };
        let entries = match std::fs::read_dir(all) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(told)?,
        };
        let names: Result<Vec<_>, _> = entries.map(|it| it.map(|it| it.file_name())).collect();
        let names = names.map_err(told)?;
        // What is called otherwise is not ours to remove.
        Ok(names.iter().filter_map(|it| ShardId::parse(it.to_str()?).ok()).collect())
    }

    /// Finishes what waits to be written and releases every file.
    pub async fn close(&self) {
        let all = std::mem::take(&mut *self.lock());
        for cell in all.into_values() {
            if let Some(opened) = cell.get() {
                opened.log.close().await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ShardId, Arc<OnceCell<Opened>>>> {
        // No critical section leaves the map half changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unusable(shard: &ShardId, error: &dyn std::error::Error) -> Error {
    told(&format!("the log of `{shard}` cannot be used"), error)
}

/// What a failed append tells its sender.
pub(super) fn failed(error: &LogError) -> Error {
    told("a message could not be kept", error)
}

fn told(what: &str, error: &dyn std::error::Error) -> Error {
    let cause = error.source().map(|it| format!(": {it}")).unwrap_or_default();
    Error::Internal { message: format!("{what}: {error}{cause}") }
}
