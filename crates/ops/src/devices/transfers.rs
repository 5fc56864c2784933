//! Import and export of identities: jobs that read lines from a blob, or write them to one.
//!
//! Such a job is a document; `transfers/run.rs` does what it says. What an import writes takes the road line by line as
//! whoever has made the job, so the gates judge it when it is written. A hub has one at a time. Source: IoT Hub
//! developer guide, "Import and export IoT Hub device identities in bulk".

mod body;
mod export;
mod import;
mod lines;
pub(crate) mod run;
mod storage;

use super::hubs;
use super::jobs::{id_of, object};
use super::registry::{TRIES, hub_of, shard};
use crate::control::{self, delete, failed, put as keep, unread};
use crate::env::Env;
use crate::input::{Input, Reply};
use body::Wanted;
use gate::Permit;
use gate::facts::Hub;
use model::error::HubFault;
use model::trace::{Caller, Object, Verb};
use model::{Error, Op, Scope, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{CommitError, Expect, ShardId, tables};

/// Most imports and exports of a hub that are known, past ones included.
const TRANSFERS_MAX: u64 = 10_000;
/// How long a past one is known. Source: IoT Hub quotas and throttling, on jobs.
const HISTORY_S: i64 = 30 * 24 * 3_600;
/// How long one may take.
const EXECUTION_S: i64 = 7 * 24 * 3_600;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    Import,
    Export,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Export => "export",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Status {
    Enqueued,
    Running,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    const fn is_open(self) -> bool {
        matches!(self, Self::Enqueued | Self::Running)
    }
}

/// How far one is: where it goes on after a crash.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Cursor {
    /// Of an export: which table is read, and the last key of it that is written.
    table: usize,
    after: Option<String>,
    /// Of an import: the offset behind the last line that was dealt with, and the etag of the blob that is read.
    from: u64,
    etag: Option<String>,
    /// How many lines were read or written, and how many of them were refused.
    lines: u64,
    refused: u64,
    /// How many blocks of the output are written.
    blocks: u32,
    /// What belongs into the next block.
    pending: String,
    percent: u64,
}

/// One as it is kept. It may hold signatures of containers: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transfer {
    id: String,
    wanted: Wanted,
    /// Who has made it.
    maker: Caller,
    /// True where it was asked for at the control plane.
    is_of_hub: bool,
    /// Whence it was asked for.
    address: String,
    created: Timestamp,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    status: Status,
    failure: Option<String>,
    cursor: Cursor,
}

impl Transfer {
    /// As the service API shows it: without the signatures in addresses of containers.
    fn shown(&self) -> Value {
        let mut all = json!({
            "jobId": self.id,
            "startTimeUtc": self.start.unwrap_or(self.created).rfc3339(),
            "endTimeUtc": self.end.map(Timestamp::rfc3339),
            "type": self.wanted.kind.as_str(),
            "status": self.status.as_str(),
            "progress": self.progress(),
            "failureReason": self.failure,
        });
        self.wanted.show(&mut all);
        all
    }

    /// As the control plane shows it.
    fn shown_of_hub(&self) -> Value {
        json!({
            "jobId": self.id,
            "startTimeUtc": self.start.unwrap_or(self.created).rfc1123(),
            "endTimeUtc": self.end.map(Timestamp::rfc1123),
            "type": self.wanted.kind.as_str(),
            "status": self.status.as_str(),
            "failureReason": self.failure,
            "statusMessage": null,
            "parentJobId": null,
        })
    }

    const fn progress(&self) -> u64 {
        match self.status {
            Status::Completed => 100,
            Status::Enqueued | Status::Running | Status::Failed | Status::Cancelled => {
                self.cursor.percent
            }
        }
    }

    fn ends(&mut self, status: Status, failure: Option<String>, now: Timestamp) {
        (self.status, self.failure, self.end) = (status, failure, Some(now));
        // What opens containers is not kept longer than it is needed.
        self.wanted.forget_signatures();
        self.cursor.pending.clear();
    }
}

fn not_found(id: &str) -> Error {
    Error::hub(HubFault::JobNotFound, format!("there is no import or export `{id}` in this hub"))
}

/// What policy judges: the one that is made and, where deletions are guarded, the one that is cancelled.
pub(super) async fn objects(
    op: Op,
    input: &Input,
    hub: &Hub,
    env: &Env,
) -> Result<Vec<Object>, Error> {
    let (name, body, verb) = if op == Op::CreateTransfer {
        let wanted = Wanted::read(&input.body, env)?;
        let mut body = json!({ "type": wanted.kind.as_str() });
        wanted.show(&mut body);
        ("create".to_owned(), body, Verb::Write)
    } else {
        if !gate::policy::guards_deletions(&env.facts.load(), &hub.scope) {
            return Ok(Vec::new());
        }
        let id = id_of(input)?;
        let found = read(env, &shard(hub)?, &id).await?;
        (id, found.map_or_else(|| json!({}), |(it, _)| it.shown()), Verb::Delete)
    };
    Ok(vec![object(hub, name, body, verb)])
}

async fn read(env: &Env, shard: &ShardId, id: &str) -> Result<Option<(Transfer, u64)>, Error> {
    control::get_in(env, shard, tables::TRANSFERS, id).await
}

/// All of a hub, the newest first.
async fn all(env: &Env, shard: &ShardId) -> Result<Vec<(Transfer, u64)>, Error> {
    let found = control::all_in(env, shard, tables::TRANSFERS, "").await?;
    let mut found: Vec<(Transfer, u64)> =
        found.into_iter().map(|(_, it, revision)| (it, revision)).collect();
    found.sort_by(|(a, _), (b, _)| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    Ok(found)
}

/// `POST /jobs/create`.
pub(crate) async fn create(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let wanted = Wanted::read(&input.body, env)?;
    let made = make(permit, input, env, (&hub, wanted, false)).await?;
    Ok(Reply::ok(made.shown()))
}

/// `POST .../exportDevices` and `POST .../importDevices` of the control plane.
pub(crate) async fn create_of_hub(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let hub = named(input, env).await?;
    let is_export = permit.operation().op == Op::ExportDevices;
    let kind = if is_export { Kind::Export } else { Kind::Import };
    let wanted = Wanted::read_of_hub(kind, &input.body, env)?;
    let made = make(permit, input, env, (&hub, wanted, true)).await?;
    Ok(Reply::ok(made.shown_of_hub()))
}

/// The hub of a path of the control plane.
async fn named(input: &Input, env: &Env) -> Result<Arc<Hub>, Error> {
    let (document, _) = hubs::named(input, env).await?;
    let id = model::json::text(&document.resource, &["id"]).unwrap_or_default();
    let facts = env.facts.load();
    let hub = Scope::parse(id).ok().and_then(|it| facts.hub(&it).cloned());
    hub.ok_or_else(|| Error::Internal { message: "a hub is not among the facts".to_owned() })
}

async fn make(
    permit: &Permit,
    input: &Input,
    env: &Env,
    (hub, wanted, is_of_hub): (&Hub, Wanted, bool),
) -> Result<Transfer, Error> {
    let shard = shard(hub)?;
    if env.store.count(&shard, tables::TRANSFERS).await.map_err(|it| unread(&it))? >= TRANSFERS_MAX
    {
        let sentence =
            format!("a hub knows at most {TRANSFERS_MAX} imports and exports of the last 30 days");
        return Err(Error::hub(HubFault::TooManyJobs, sentence));
    }
    // One that a second call makes at the same moment waits until this one has ended.
    if let Some((open, _)) = all(env, &shard).await?.iter().find(|(it, _)| it.status.is_open()) {
        let sentence = format!(
            "the {} `{}` is {} and a hub does one at a time; wait until it has ended, or cancel it",
            open.wanted.kind.as_str(),
            open.id,
            open.status.as_str()
        );
        return Err(Error::hub(HubFault::TooManyJobs, sentence));
    }
    let transfer = Transfer {
        id: env.new_uuid().to_string(),
        wanted,
        maker: permit.caller().clone(),
        is_of_hub,
        address: input.channel.address.clone(),
        created: env.now(),
        start: None,
        end: None,
        status: Status::Enqueued,
        failure: None,
        cursor: Cursor::default(),
    };
    let change = keep(tables::TRANSFERS, transfer.id.as_str(), Expect::Absent, &transfer)?;
    env.store.commit(&shard, vec![change]).await.map_err(|it| failed(&it))?;
    env.chores.add_job(&hub.uid);
    Ok(transfer)
}

/// `GET /jobs/{job}`.
pub(crate) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    found(input, env, &hub).await.map(|it| Reply::ok(it.shown()))
}

/// `GET .../jobs/{job}` of the control plane.
pub(crate) async fn get_of_hub(_: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = named(input, env).await?;
    found(input, env, &hub).await.map(|it| Reply::ok(it.shown_of_hub()))
}

async fn found(input: &Input, env: &Env, hub: &Hub) -> Result<Transfer, Error> {
    let id = id_of(input)?;
    let found = read(env, &shard(hub)?, &id).await?;
    found.map(|(it, _)| it).ok_or_else(|| not_found(&id))
}

/// `GET /jobs`, the newest first.
pub(crate) async fn list(permit: &Permit, _: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let all = all(env, &shard(&hub)?).await?;
    Ok(Reply::ok(all.iter().map(|(it, _)| it.shown()).collect()))
}

/// `GET .../jobs` of the control plane.
pub(crate) async fn list_of_hub(_: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = named(input, env).await?;
    let all = all(env, &shard(&hub)?).await?;
    let shown: Vec<Value> = all.iter().map(|(it, _)| it.shown_of_hub()).collect();
    Ok(Reply::ok(json!({ "value": shown })))
}

/// `DELETE /jobs/{job}`: what was imported stays, and nothing more is read.
pub(crate) async fn cancel(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let id = id_of(input)?;
    let Some((transfer, _)) = read(env, &shard, &id).await? else { return Err(not_found(&id)) };
    if !transfer.status.is_open() {
        let sentence = format!("the job `{id}` is {} already", transfer.status.as_str());
        return Err(Error::hub(HubFault::InvalidOperation, sentence));
    }
    let cancelled = change(env, &shard, &id, |it, now| it.ends(Status::Cancelled, None, now));
    match cancelled.await? {
        Some(it) => Ok(Reply::ok(it.shown())),
        None => Err(not_found(&id)),
    }
}

/// Changes one that is open, and answers it as it is then; one that is not open, or gone, stays as it is.
async fn change(
    env: &Env,
    shard: &ShardId,
    id: &str,
    how: impl Fn(&mut Transfer, Timestamp),
) -> Result<Option<Transfer>, Error> {
    for _ in 0..TRIES {
        let Some((mut transfer, revision)) = read(env, shard, id).await? else { return Ok(None) };
        if !transfer.status.is_open() {
            return Ok(Some(transfer));
        }
        how(&mut transfer, env.now());
        let change = keep(tables::TRANSFERS, id, Expect::Revision(revision), &transfer)?;
        match env.store.commit(shard, vec![change]).await {
            Ok(_) => return Ok(Some(transfer)),
            Err(CommitError::Conflict { .. }) => {}
            Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => return Err(failed(&it)),
        }
    }
    Err(Error::Unavailable { message: "the job kept changing under the call; repeat it".into() })
}

/// Forgets those that ended 30 days ago.
pub(super) async fn forget_old(env: &Env, hub: &Hub) -> Result<(), Error> {
    let shard = shard(hub)?;
    if env.store.count(&shard, tables::TRANSFERS).await.map_err(|it| unread(&it))? == 0 {
        return Ok(());
    }
    for (it, revision) in all(env, &shard).await? {
        if it.end.is_some_and(|it| it.plus_seconds(HISTORY_S) <= env.now()) {
            let change = delete(tables::TRANSFERS, it.id.as_str(), Expect::Revision(revision));
            env.store.commit(&shard, vec![change]).await.map_err(|it| failed(&it))?;
        }
    }
    Ok(())
}
