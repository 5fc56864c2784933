//! Runs imports and exports to their end. How far one is is kept as it goes, so that a restart goes on there.

use super::{Cursor, EXECUTION_S, Kind, Status, Transfer, all, change, export, import, read};
use crate::devices::registry::shard;
use crate::env::Env;
use gate::facts::Hub;
use model::{Error, Timestamp};
use std::sync::Arc;
use store::{ShardId, tables};

/// Why one does not go on.
pub(super) enum Stop {
    /// It has failed, for this reason.
    Failed(String),
    /// Somebody has cancelled it, or its hub is gone.
    Gone,
    /// The server cannot go on now; the next start does.
    Broken(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

/// Those of a hub that are to be run, by id: the oldest alone.
pub(in crate::devices) async fn due(env: &Env, hub: &Hub) -> Result<Option<String>, Error> {
    let shard = shard(hub)?;
    let count = env.store.count(&shard, tables::TRANSFERS).await;
    if count.map_err(|it| crate::control::unread(&it))? == 0 {
        return Ok(None);
    }
    let all = all(env, &shard).await?;
    Ok(all.into_iter().rev().map(|(it, _)| it).find(|it| it.status.is_open()).map(|it| it.id))
}

/// One at work.
pub(super) struct Work {
    pub(super) env: Arc<Env>,
    pub(super) hub: Arc<Hub>,
    pub(super) shard: ShardId,
    pub(super) transfer: Transfer,
}

impl Work {
    /// When it ends, whatever is left.
    pub(super) fn until(&self) -> Timestamp {
        self.transfer.created.plus_seconds(EXECUTION_S)
    }

    /// Keeps how far it is.
    ///
    /// # Errors
    /// [`Stop::Gone`] where it is not to go on.
    pub(super) async fn reached(&mut self, cursor: &Cursor) -> Result<(), Stop> {
        if self.env.now() >= self.until() {
            return Err(Stop::Failed("it has taken longer than 7 days".to_owned()));
        }
        let keeps = |it: &mut Transfer, _| it.cursor.clone_from(cursor);
        match change(&self.env, &self.shard, &self.transfer.id, keeps).await? {
            Some(it) if it.status.is_open() => Ok(()),
            Some(_) | None => Err(Stop::Gone),
        }
    }
}

/// Runs one to its end, or until somebody has cancelled it.
pub(in crate::devices) async fn run(env: Arc<Env>, hub: Arc<Hub>, id: &str) -> Result<(), Error> {
    let shard = shard(&hub)?;
    let begins = |it: &mut Transfer, now| {
        it.status = Status::Running;
        it.start.get_or_insert(now);
    };
    match change(&env, &shard, id, begins).await? {
        Some(it) if it.status.is_open() => {}
        Some(_) | None => return Ok(()),
    }
    let Some((transfer, _)) = read(&env, &shard, id).await? else { return Ok(()) };
    let kind = transfer.wanted.kind;
    let mut work = Work { env: Arc::clone(&env), hub, shard: shard.clone(), transfer };
    let outcome = match kind {
        Kind::Export => export::run(&mut work).await,
        Kind::Import => import::run(&mut work).await,
    };
    let (status, failure) = match outcome {
        Ok(()) => (Status::Completed, None),
        Err(Stop::Failed(because)) => (Status::Failed, Some(because)),
        Err(Stop::Gone) => return Ok(()),
        Err(Stop::Broken(error)) => return Err(error),
    };
    change(&env, &shard, id, |it, now| it.ends(status, failure.clone(), now)).await.map(drop)
}
