//! Operations that outlive their call: documents that survive a restart, and end.
//!
//! Deleting a hub or a provisioning service changes two shards. The control plane forgets it in one
//! commit, which also writes an intent; then its own shard is dropped and the intent cleared. A crash in
//! between leaves the intent open, and [`finish_open_intents`] finishes it at the next start.

use super::{Cascade, no_resource, subscription_of};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::insights::settings;
use gate::Permit;
use model::json::set;
use model::{Error, Scope, Timestamp, TrackingId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::intents::{self, Intent};
use store::{Change, CommitError, Expect, ShardId, tables};
use uuid::Uuid;

/// How long an ended operation can still be asked for: a day.
const KEPT_S: i64 = 24 * 60 * 60;
/// Most ended operations that one deletion clears away.
const CLEARED_MAX: usize = 50;
/// Seconds after which a client asks again. Not 0, which the Python clients take for "no answer" and
/// replace by 30.
const RETRY_AFTER_S: &str = "1";
/// The api-version in the addresses that clients follow; they send it back as it stands.
const API_VERSION: &str = "2021-04-01";
/// The kind of intent that this module finishes.
const DROP_SHARD: &str = "drop_shard";
/// The same as it was written when only hubs had shards: it names the hub's uid.
const DROP_HUB: &str = "drop_hub";

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Status {
    InProgress,
    Succeeded,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
        }
    }
}

/// One long-running operation, under its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperationDocument {
    id: Uuid,
    /// The subscription's id, in lower case.
    subscription: String,
    status: Status,
    start_time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_time: Option<Timestamp>,
    resource_id: String,
}

/// What finishing a deletion needs to know.
#[derive(Debug, Serialize, Deserialize)]
struct DropShard {
    /// As the shard displays; of a [`DROP_HUB`], the hub's uid.
    #[serde(alias = "uid")]
    shard: String,
    operation: Uuid,
}

fn is_ours(intent: &Intent) -> bool {
    intent.kind == DROP_SHARD || intent.kind == DROP_HUB
}

/// Deletes what the cascade names. Answers 200 where all of it is gone, and 202 with the address of the
/// operation where a shard is still to go.
///
/// 200 is more than a courtesy: who held a role only at what was deleted may no longer ask how it went.
///
/// # Errors
/// [`Error::Stale`] or [`Error::Unavailable`] where nothing was deleted. What fails after the commit is
/// logged and finished at the next start.
pub(crate) async fn delete(
    permit: &Permit,
    env: &Env,
    scope: &Scope,
    cascade: Cascade,
) -> Result<Reply, Error> {
    let now = env.now();
    let id = env.new_uuid();
    let tracking = permit.trace().map_or_else(|| env.new_tracking_id(), |it| it.id);
    let is_done = cascade.shards.is_empty();
    let operation = OperationDocument {
        id,
        subscription: scope.subscription_id().unwrap_or("").to_ascii_lowercase(),
        status: if is_done { Status::Succeeded } else { Status::InProgress },
        start_time: now,
        end_time: is_done.then_some(now),
        resource_id: scope.as_str().to_owned(),
    };
    let begun = begin(&cascade.shards, id, tracking)?;
    let mut changes = cascade.changes;
    changes.extend(begun.iter().map(intents::change_begin));
    changes.extend(ended_long_ago(env, now).await?);
    changes.push(control::put(tables::OPERATIONS, id.to_string(), Expect::Absent, &operation)?);
    control::commit(permit, env, changes).await?;

    // INVARIANT: from here on the deletion is acknowledged. Whatever fails is finished later, and the
    // caller is told "accepted" in any case.
    if let Err(error) = settings::load(env).await {
        env.metrics
            .log_fault(tracking, &format!("diagnostic settings were not loaded again: {error}"));
    }
    let mut has_ended = true;
    for intent in &begun {
        if let Err(error) = finish(env, intent).await {
            has_ended = false;
            let message =
                format!("the intent `{}` stays open until the next start: {error}", intent.name);
            env.metrics.log_fault(tracking, &message);
        }
    }
    Ok(if has_ended { Reply::empty(200) } else { accepted(env, &operation) })
}

fn begin(shards: &[ShardId], operation: Uuid, tracking: TrackingId) -> Result<Vec<Intent>, Error> {
    let intents = shards.iter().map(|shard| {
        let body = serde_json::to_vec(&DropShard { shard: shard.to_string(), operation })
            .map_err(|it| Error::Internal { message: it.to_string() })?;
        Ok(Intent {
            name: format!("{DROP_SHARD} {shard}"),
            kind: DROP_SHARD.to_owned(),
            tracking_id: tracking.to_string(),
            body: body.into(),
        })
    });
    intents.collect()
}

/// Finishes every deletion that a stop interrupted. For the start, before the first call. Finishing
/// twice is finishing once.
///
/// # Errors
/// The first that cannot be finished; the others after it stay open as well.
pub async fn finish_open_intents(env: &Env) -> Result<usize, Error> {
    let open =
        intents::open(&env.store, &ShardId::control()).await.map_err(|it| control::unread(&it))?;
    let mut finished = 0;
    for intent in open.iter().filter(|it| is_ours(it)) {
        finish(env, intent).await?;
        finished += 1;
    }
    Ok(finished)
}

/// Drops the shard, clears the intent, and ends the operation with its last intent.
async fn finish(env: &Env, intent: &Intent) -> Result<(), Error> {
    let unreadable = |it: String| Error::Internal {
        message: format!("the intent `{}` cannot be read: {it}", intent.name),
    };
    let DropShard { shard, operation } =
        serde_json::from_slice(&intent.body).map_err(|it| unreadable(it.to_string()))?;
    let shard = match intent.kind == DROP_HUB {
        true => ShardId::hub(&shard),
        false => ShardId::parse(&shard),
    };
    let shard = shard.map_err(|it| unreadable(it.to_string()))?;
    env.store.drop_shard(&shard).await.map_err(|it| control::unread(&it))?;
    if let Some(uid) = shard.hub_uid() {
        env.presence.close(uid);
        env.journals.remove(&shard).await?;
    }
    if shard.hub_uid().or(shard.target_uid()).is_some() {
        env.logs.remove(&shard).await?;
    }

    let mut changes = vec![intents::change_clear(&intent.name)];
    if !has_other_intents(env, intent, operation).await? {
        changes.extend(ended(env, operation).await?);
    }
    match env.store.commit(&ShardId::control(), changes).await {
        // A conflict means that somebody else has cleared it: finished is finished.
        Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
        Err(error @ (CommitError::ShardGone | CommitError::Store(_))) => {
            Err(control::failed(&error))
        }
    }
}

async fn has_other_intents(env: &Env, own: &Intent, operation: Uuid) -> Result<bool, Error> {
    let open =
        intents::open(&env.store, &ShardId::control()).await.map_err(|it| control::unread(&it))?;
    Ok(open.iter().any(|it| {
        it.name != own.name
            && is_ours(it)
            && serde_json::from_slice::<DropShard>(&it.body)
                .is_ok_and(|it| it.operation == operation)
    }))
}

/// The change that ends an operation, where it is still there.
async fn ended(env: &Env, id: Uuid) -> Result<Option<Change>, Error> {
    let key = id.to_string();
    let Some((document, revision)) =
        control::get::<OperationDocument>(env, tables::OPERATIONS, &key).await?
    else {
        return Ok(None);
    };
    let document =
        OperationDocument { status: Status::Succeeded, end_time: Some(env.now()), ..document };
    control::put(tables::OPERATIONS, key, Expect::Revision(revision), &document).map(Some)
}

/// Changes that clear away operations which nobody asks for any more.
async fn ended_long_ago(env: &Env, now: Timestamp) -> Result<Vec<Change>, Error> {
    let all = control::all::<OperationDocument>(env, tables::OPERATIONS, "").await?;
    let old = all
        .into_iter()
        .filter(|(_, it)| it.end_time.is_some_and(|end| end.plus_seconds(KEPT_S) < now));
    Ok(old
        .take(CLEARED_MAX)
        .map(|(key, _)| control::delete(tables::OPERATIONS, key, Expect::Anything))
        .collect())
}

/// `GET .../operationresults/{id}`: 202 while it runs, then 204. `GET .../operationstatuses/{id}`: always
/// 200, with the state in words.
///
/// # Errors
/// `ResourceNotFound` where there is no such operation in this subscription.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let subscription = subscription_of(input, &env.facts.load())?;
    let missing = || no_resource(&input.scope);
    let id = Uuid::try_parse(input.param("id")).map_err(|_| missing())?;
    let found = control::get::<OperationDocument>(env, tables::OPERATIONS, &id.to_string()).await?;
    let operation = found
        .map(|(it, _)| it)
        .filter(|it| it.subscription.eq_ignore_ascii_case(subscription.name()))
        .ok_or_else(missing)?;
    let asks_for_status =
        input.scope.segments().any(|it| it.eq_ignore_ascii_case("operationstatuses"));
    Ok(match (asks_for_status, operation.status) {
        (true, _) => status(env, &operation),
        (false, Status::InProgress) => accepted(env, &operation),
        (false, Status::Succeeded) => Reply::empty(204),
    })
}

fn status(env: &Env, operation: &OperationDocument) -> Reply {
    let mut body = json!({
        "id": path(operation, "operationstatuses"),
        "name": operation.id,
        "status": operation.status.as_str(),
        "startTime": operation.start_time.rfc3339(),
        "percentComplete": match operation.status {
            Status::InProgress => 50,
            Status::Succeeded => 100,
        },
        "resourceId": operation.resource_id,
    });
    if let Some(end) = operation.end_time {
        set(&mut body, "endTime", json!(end.rfc3339()));
    }
    let reply = Reply::ok(body);
    match operation.status {
        Status::InProgress => reply
            .with_header("Retry-After", RETRY_AFTER_S)
            .with_header("Azure-AsyncOperation", address(env, operation, "operationstatuses")),
        Status::Succeeded => reply,
    }
}

fn accepted(env: &Env, operation: &OperationDocument) -> Reply {
    Reply::empty(202)
        .with_header("Location", address(env, operation, "operationresults"))
        .with_header("Azure-AsyncOperation", address(env, operation, "operationstatuses"))
        .with_header("Retry-After", RETRY_AFTER_S)
}

fn path(operation: &OperationDocument, kind: &str) -> String {
    format!("/subscriptions/{}/{kind}/{}", operation.subscription, operation.id)
}

fn address(env: &Env, operation: &OperationDocument, kind: &str) -> String {
    format!("{}{}?api-version={API_VERSION}", env.settings.origin, path(operation, kind))
}

#[cfg(test)]
#[path = "long_running_tests.rs"]
mod tests;
