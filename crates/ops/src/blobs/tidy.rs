//! What is cleaned up behind blobs: what a crash left, containers that are gone, blocks that nobody committed.

use super::documents::{Container, disk};
use super::files::Files;
use crate::control;
use crate::env::Env;
use model::Error;
use std::collections::BTreeSet;
use store::ShardId;

/// How long blocks wait for a list. Source: Azure Storage, "Put Block".
const WAIT_S: i64 = 7 * 86_400;

/// The uids of all that lies in targets.
fn known(env: &Env) -> BTreeSet<String> {
    env.facts.load().entities.values().map(|it| it.uid.clone()).collect()
}

/// Removes what a crash has left. Only before anybody is served: what came a moment ago looks like it.
///
/// # Errors
/// What the disk or the store says.
pub async fn mend(env: &Env) -> Result<(), Error> {
    let (files, known) = (Files::of(&env.settings.data_dir), known(env));
    files.drop_incoming().await.map_err(|it| disk(&it))?;
    for uid in files.containers().await.map_err(|it| disk(&it))? {
        match known.contains(&uid) {
            true => Container::of(env, &uid)?.mend().await?,
            false => files.remove_all(&uid).await.map_err(|it| disk(&it))?,
        }
    }
    Ok(())
}

/// What is done every hour: blocks that waited too long end, and what a deletion could not take away goes.
///
/// # Errors
/// As [`mend`].
pub async fn round(env: &Env) -> Result<(), Error> {
    let files = Files::of(&env.settings.data_dir);
    let before = env.now().plus_seconds(-WAIT_S);
    let kept = files.containers().await.map_err(|it| disk(&it))?;
    let known = known(env);
    for uid in kept {
        match known.contains(&uid) {
            true => Container::of(env, &uid)?.forget_old(before).await?,
            false => forget(env, &uid).await?,
        }
    }
    Ok(())
}

/// Removes all blobs of a container that is gone.
///
/// # Errors
/// As [`mend`].
pub(crate) async fn forget(env: &Env, uid: &str) -> Result<(), Error> {
    let shard = ShardId::target(uid).map_err(|it| Error::Internal { message: it.to_string() })?;
    env.store.drop_shard(&shard).await.map_err(|it| control::unread(&it))?;
    Files::of(&env.settings.data_dir).remove_all(uid).await.map_err(|it| disk(&it))
}
