//! Writing to the control plane: the change, its record in the activity log and the facts move as one.

use crate::authorization::role_assignments::check_an_owner_stays;
use crate::decisions;
use crate::env::Env;
use crate::facts::former;
use gate::{Facts, Permit};
use model::{ActionName, Error};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Change, CommitError, Document, Expect, Scan, ShardId, Table, Write};

/// Commits `changes` to the control plane together with the call's activity record, then lets the gates
/// see them. When this returns, the changes are on disk and decide.
///
/// # Errors
/// [`Error::Stale`] where a document was not in the expected state; [`Error::Unavailable`] where the
/// store refused. Nothing was changed then.
pub(crate) async fn commit(
    permit: &Permit,
    env: &Env,
    mut changes: Vec<Change>,
) -> Result<u64, Error> {
    debug_assert_eq!(permit.operation().effect, model::operations::Effect::ChangesFacts);
    // The new facts first: what gates could not decide by must not be kept either.
    let before = env.facts.load();
    let mut facts = env.facts.with(&changes)?;
    let warnings = warnings(permit, &before, &facts, env);
    changes.extend(decisions::activity_changes(permit, warnings)?);
    check_an_owner_stays(&before, &facts)?;
    let now = env.now();
    env.settings.propagation.fade(&before, &mut facts, &changes, now);
    changes.extend(former::change(env, &before, &changes, now).await?);
    let committed =
        env.store.commit(&ShardId::control(), changes).await.map_err(|it| failed(&it))?;
    env.facts.swap(facts, committed.revision);
    Ok(committed.revision)
}

/// What a change of policies would stop. Nothing else can: roles are told by who lacks them.
fn warnings(permit: &Permit, before: &Facts, after: &Facts, env: &Env) -> Vec<String> {
    const POLICIES: &str = "Microsoft.Authorization/policy";
    let is_about = |it: &ActionName| it.as_str().starts_with(POLICIES);
    match permit.operation().actions.iter().any(is_about) {
        true => gate::lint::newly_stopped(before, after, env.now()),
        false => Vec::new(),
    }
}

/// The store's no, as the caller's error.
pub(crate) fn failed(error: &CommitError) -> Error {
    match error {
        CommitError::Conflict { key, .. } => Error::Stale {
            message: format!(
                "`{key}` has changed since it was read; read it again and repeat the call"
            ),
        },
        CommitError::ShardGone => {
            Error::NotFound { code: "ResourceNotFound", message: "the hub is being deleted".into() }
        }
        CommitError::Store(source) => {
            Error::Unavailable { message: format!("the store refused the write: {source}") }
        }
    }
}

/// The same for a read.
pub(crate) fn unread(error: &store::StoreError) -> Error {
    Error::Unavailable { message: format!("the store could not be read: {error}") }
}

/// Writes a document in its JSON form.
pub(crate) fn put<T: Serialize>(
    table: Table,
    key: impl Into<String>,
    expect: Expect,
    document: &T,
) -> Result<Change, Error> {
    let body =
        serde_json::to_vec(document).map_err(|it| Error::Internal { message: it.to_string() })?;
    Ok(Change { table, key: key.into(), expect, write: Write::Put(body.into()) })
}

/// Deletes a document.
pub(crate) fn delete(table: Table, key: impl Into<String>, expect: Expect) -> Change {
    Change { table, key: key.into(), expect, write: Write::Delete }
}

/// Reads a document of the control plane with its revision.
pub(crate) async fn get<T: DeserializeOwned>(
    env: &Env,
    table: Table,
    key: &str,
) -> Result<Option<(T, u64)>, Error> {
    get_in(env, &ShardId::control(), table, key).await
}

/// Reads a document of a shard with its revision.
pub(crate) async fn get_in<T: DeserializeOwned>(
    env: &Env,
    shard: &ShardId,
    table: Table,
    key: &str,
) -> Result<Option<(T, u64)>, Error> {
    let found = env.store.get(shard, table, key).await.map_err(|it| unread(&it))?;
    found.map(|it| Ok((parse(table, key, &it)?, it.revision))).transpose()
}

/// Reads every document whose key starts with `prefix`, in key order.
pub(crate) async fn all<T: DeserializeOwned>(
    env: &Env,
    table: Table,
    prefix: &str,
) -> Result<Vec<(String, T)>, Error> {
    let found = all_in(env, &ShardId::control(), table, prefix).await?;
    Ok(found.into_iter().map(|(key, document, _)| (key, document)).collect())
}

/// The same of a shard, each with its revision. For what is bounded in number.
pub(crate) async fn all_in<T: DeserializeOwned>(
    env: &Env,
    shard: &ShardId,
    table: Table,
    prefix: &str,
) -> Result<Vec<(String, T, u64)>, Error> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let scan = Scan { prefix: prefix.to_owned(), after, limit: PAGE };
        let page = env.store.scan(shard, table, scan).await.map_err(|it| unread(&it))?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|(key, _)| key.clone());
        for (key, document) in page {
            let value = parse(table, &key, &document)?;
            found.push((key, value, document.revision));
        }
        if is_last {
            return Ok(found);
        }
    }
}

/// Documents a scan asks for at once.
const PAGE: usize = 500;

pub(crate) fn parse<T: DeserializeOwned>(
    table: Table,
    key: &str,
    document: &Document,
) -> Result<T, Error> {
    serde_json::from_slice(&document.body).map_err(|it| Error::Internal {
        message: format!("the document `{key}` in `{table:?}` cannot be read: {it}"),
    })
}
