//! Scheduled jobs: a method or a change of twins, for every device or module that a condition names, from a time on.
//!
//! A job is a document; `jobs/run.rs` does what it says, as whoever wrote it was permitted to ask for. What became of
//! each device is a document of its own. Source: IoT Hub developer guide, "Schedule jobs on multiple devices".

pub(crate) mod run;

use super::methods;
use super::query::{Condition, Source};
use super::registry::{TRIES, hub_of, shard};
use super::twin::Wanted;
use crate::control::{self, delete, failed, parse, put as keep, unread};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use gate::facts::Hub;
use model::error::HubFault;
use model::json::{member, text};
use model::trace::{Object, Verb};
use model::{DeviceId, Error, Op, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use store::{CommitError, Expect, Scan, ShardId, tables};

/// Most jobs of a hub, past ones included.
const JOBS_MAX: u64 = 10_000;
/// Most jobs of a page.
const PAGE_MAX: usize = 100;
/// How long a past job is known. Source: IoT Hub quotas and throttling.
const HISTORY_S: i64 = 30 * 24 * 3_600;
/// How long a job may take.
const EXECUTION_S: RangeInclusive<i64> = 1..=172_800;
const EXECUTION_S_DEFAULT: i64 = 3_600;

/// What a job does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    ScheduleDeviceMethod,
    ScheduleUpdateTwin,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ScheduleDeviceMethod => "scheduleDeviceMethod",
            Self::ScheduleUpdateTwin => "scheduleUpdateTwin",
        }
    }
}

/// How far a job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Status {
    Scheduled,
    Running,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    const fn is_open(self) -> bool {
        matches!(self, Self::Scheduled | Self::Running)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Counts {
    failed: u64,
    succeeded: u64,
}

/// A job as it is kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    id: String,
    kind: Kind,
    condition: String,
    /// `cloudToDeviceMethod` or `updateTwin`, as it was sent.
    request: Value,
    created: Timestamp,
    start: Timestamp,
    end: Option<Timestamp>,
    execution_s: i64,
    status: Status,
    failure: Option<String>,
    counts: Counts,
    /// The key of the last device that was dealt with.
    after: Option<String>,
}

impl Job {
    fn shown(&self) -> Value {
        let Counts { failed, succeeded } = self.counts;
        let of = |kind: Kind| (self.kind == kind).then_some(&self.request);
        json!({
            "jobId": self.id,
            "queryCondition": self.condition,
            "createdTime": self.created.rfc3339(),
            "startTime": self.start.rfc3339(),
            "endTime": self.end.map(Timestamp::rfc3339),
            "maxExecutionTimeInSeconds": self.execution_s,
            "type": self.kind.as_str(),
            "cloudToDeviceMethod": of(Kind::ScheduleDeviceMethod),
            "updateTwin": of(Kind::ScheduleUpdateTwin),
            "status": self.status.as_str(),
            "failureReason": self.failure,
            "statusMessage": null,
            "deviceJobStatistics": {
                "deviceCount": failed + succeeded,
                "failedCount": failed,
                "succeededCount": succeeded,
                "runningCount": 0,
                "pendingCount": 0,
            },
        })
    }

    fn deadline(&self) -> Timestamp {
        self.start.plus_seconds(self.execution_s)
    }

    fn ends(&mut self, status: Status, failure: Option<String>, now: Timestamp) {
        (self.status, self.failure, self.end) = (status, failure, Some(now));
    }
}

pub(super) fn id_of(input: &Input) -> Result<String, Error> {
    let id = DeviceId::parse(input.param("job"))
        .map_err(|it| Error::DeviceInvalid { at: "jobId".into(), message: it.to_string() })?;
    Ok(id.as_str().to_owned())
}

/// The job that a body describes, checked.
fn wanted(id: &str, body: &Value, now: Timestamp) -> Result<Job, Error> {
    let invalid = |at: &str, message: String| Error::DeviceInvalid { at: at.into(), message };
    if text(body, &["jobId"]).is_some_and(|it| it != id) {
        return Err(invalid("jobId", format!("the path names `{id}`, the body another")));
    }
    let word = text(body, &["type"]).unwrap_or("").to_ascii_lowercase();
    let kind = match word.as_str() {
        "scheduledevicemethod" => Kind::ScheduleDeviceMethod,
        // The second is what the query language calls it.
        "scheduleupdatetwin" | "scheduletwinupdate" => Kind::ScheduleUpdateTwin,
        _ => {
            let sentence = "expected scheduleDeviceMethod or scheduleUpdateTwin";
            return Err(invalid("type", sentence.into()));
        }
    };
    let place = match kind {
        Kind::ScheduleDeviceMethod => "cloudToDeviceMethod",
        Kind::ScheduleUpdateTwin => "updateTwin",
    };
    let request = member(body, place).filter(|it| !it.is_null()).cloned();
    let request = request.ok_or_else(|| invalid(place, "it is required for this type".into()))?;
    match kind {
        Kind::ScheduleDeviceMethod => drop(methods::Wanted::read(&request)?),
        Kind::ScheduleUpdateTwin if Wanted::read(&request)?.is_empty() => {
            let sentence = "tags or properties.desired are required";
            return Err(invalid(place, sentence.into()));
        }
        Kind::ScheduleUpdateTwin => {}
    }
    let condition = text(body, &["queryCondition"]).unwrap_or("");
    condition_of(condition).map_err(|because| invalid("queryCondition", because))?;
    let start = match member(body, "startTime").filter(|it| !it.is_null()) {
        None => now,
        Some(it) => it.as_str().and_then(Timestamp::parse).ok_or_else(|| {
            invalid("startTime", "a time such as 2026-11-22T10:00:00Z is expected".into())
        })?,
    };
    let execution_s = match member(body, "maxExecutionTimeInSeconds").filter(|it| !it.is_null()) {
        None => EXECUTION_S_DEFAULT,
        Some(it) => it.as_i64().filter(|it| EXECUTION_S.contains(it)).ok_or_else(|| {
            let (least, most) = (EXECUTION_S.start(), EXECUTION_S.end());
            invalid("maxExecutionTimeInSeconds", format!("{least} to {most} seconds are possible"))
        })?,
    };
    Ok(Job {
        id: id.to_owned(),
        kind,
        condition: condition.to_owned(),
        request,
        created: now,
        start: start.max(now),
        end: None,
        execution_s,
        status: Status::Scheduled,
        failure: None,
        counts: Counts::default(),
        after: None,
    })
}

/// Whom a job is for.
fn condition_of(text: &str) -> Result<Condition, String> {
    if text.trim().is_empty() {
        return Err("a condition is required; `*` is everybody".to_owned());
    }
    let condition = Condition::parse(text).map_err(|it| it.to_string())?;
    match condition.source() {
        Source::Devices | Source::Modules => Ok(condition),
        Source::Jobs => Err("a job is for devices or modules, not for jobs".to_owned()),
    }
}

/// What policy judges: the job that is written and, where deletions are guarded, the one that is cancelled.
pub(super) async fn objects(
    op: Op,
    input: &Input,
    hub: &Hub,
    env: &Env,
) -> Result<Vec<Object>, Error> {
    let id = id_of(input)?;
    let (body, verb) = if op == Op::PutJob {
        (wanted(&id, &input.body, env.now())?.shown(), Verb::Write)
    } else {
        let found = read(env, &shard(hub)?, &id).await?;
        (found.map_or_else(|| json!({}), |(it, _)| it.shown()), Verb::Delete)
    };
    Ok(vec![object(hub, id, body, verb)])
}

/// A job of a hub, of whatever kind, as policy judges it.
pub(super) fn object(hub: &Hub, name: String, body: Value, verb: Verb) -> Object {
    Object {
        kind: "Microsoft.Devices/IotHubs/jobs".into(),
        id: format!("{}/jobs/{name}", hub.scope),
        name,
        body,
        verb,
    }
}

async fn read(env: &Env, shard: &ShardId, id: &str) -> Result<Option<(Job, u64)>, Error> {
    control::get_in(env, shard, tables::JOBS, id).await
}

fn not_found(id: &str) -> Error {
    Error::hub(HubFault::JobNotFound, format!("there is no job `{id}` in this hub"))
}

/// `PUT /jobs/v2/{job}`.
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let id = id_of(input)?;
    let job = wanted(&id, &input.body, env.now())?;
    if env.store.count(&shard, tables::JOBS).await.map_err(|it| unread(&it))? >= JOBS_MAX {
        let sentence = format!("a hub knows at most {JOBS_MAX} jobs of the last 30 days");
        return Err(Error::hub(HubFault::TooManyJobs, sentence));
    }
    let change = keep(tables::JOBS, id.as_str(), Expect::Absent, &job)?;
    match env.store.commit(&shard, vec![change]).await {
        Ok(_) => {}
        Err(CommitError::Conflict { .. }) => {
            let sentence = format!("there is a job `{id}` already; give this one another id");
            return Err(Error::hub(HubFault::JobAlreadyExists, sentence));
        }
        Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => return Err(failed(&it)),
    }
    env.chores.add_job(&hub.uid);
    Ok(Reply::ok(job.shown()))
}

/// `GET /jobs/v2/{job}`.
pub(crate) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let id = id_of(input)?;
    match read(env, &shard(&hub)?, &id).await? {
        Some((job, _)) => Ok(Reply::ok(job.shown())),
        None => Err(not_found(&id)),
    }
}

/// `POST /jobs/v2/{job}/cancel`: what was begun on a device goes on there, and nothing is begun any more.
pub(crate) async fn cancel(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let id = id_of(input)?;
    for _ in 0..TRIES {
        let Some((mut job, revision)) = read(env, &shard, &id).await? else {
            return Err(not_found(&id));
        };
        if !job.status.is_open() {
            let sentence = format!("the job `{id}` is {} already", job.status.as_str());
            return Err(Error::hub(HubFault::InvalidOperation, sentence));
        }
        job.ends(Status::Cancelled, None, env.now());
        let change = keep(tables::JOBS, id.as_str(), Expect::Revision(revision), &job)?;
        match env.store.commit(&shard, vec![change]).await {
            Ok(_) => return Ok(Reply::ok(job.shown())),
            Err(CommitError::Conflict { .. }) => {}
            Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => return Err(failed(&it)),
        }
    }
    Err(Error::Unavailable { message: "the job kept changing under the call; repeat it".into() })
}

/// `GET /jobs/v2/query?jobType=&jobStatus=`, by id and a page at a time.
pub(crate) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let fits = |wanted: Option<&str>, is: &str| {
        wanted.is_none_or(|it| it.is_empty() || it.eq_ignore_ascii_case(is))
    };
    let most = input.headers.max_item_count.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let mut after = input.headers.continuation.clone();
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let scan = Scan { prefix: String::new(), after: after.take(), limit: PAGE_MAX };
        let page = env.store.scan(&shard, tables::JOBS, scan).await.map_err(|it| unread(&it))?;
        for (key, document) in &page {
            let job: Job = parse(tables::JOBS, key, document)?;
            if !fits(input.query("jobType"), job.kind.as_str())
                || !fits(input.query("jobStatus"), job.status.as_str())
            {
                continue;
            }
            if found.len() == most {
                let reply = Reply::ok(Value::Array(found)).with_header(ITEM_TYPE, "JobResponse");
                return Ok(reply.with_header("x-ms-continuation", next.unwrap_or_default()));
            }
            next = Some(job.id.clone());
            found.push(job.shown());
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE_MAX => after = Some(key.clone()),
            Some(_) | None => break,
        }
    }
    Ok(Reply::ok(Value::Array(found)).with_header(ITEM_TYPE, "JobResponse"))
}

const ITEM_TYPE: &str = "x-ms-item-type";

/// Forgets jobs that ended 30 days ago, with what became of their devices.
pub(super) async fn forget_old(env: &Env, hub: &Hub) -> Result<(), Error> {
    let shard = shard(hub)?;
    let mut after = None;
    loop {
        let scan = Scan { prefix: String::new(), after: after.take(), limit: PAGE_MAX };
        let page = env.store.scan(&shard, tables::JOBS, scan).await.map_err(|it| unread(&it))?;
        for (key, document) in &page {
            let job: Job = parse(tables::JOBS, key, document)?;
            if job.end.is_some_and(|it| it.plus_seconds(HISTORY_S) <= env.now()) {
                forget(env, &shard, key, document.revision).await?;
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE_MAX => after = Some(key.clone()),
            Some(_) | None => return Ok(()),
        }
    }
}

async fn forget(env: &Env, shard: &ShardId, id: &str, revision: u64) -> Result<(), Error> {
    loop {
        let scan = Scan { prefix: format!("{id}/"), after: None, limit: PAGE_MAX };
        let page = env.store.scan(shard, tables::DEVICE_JOBS, scan).await;
        let page = page.map_err(|it| unread(&it))?;
        let is_last = page.len() < PAGE_MAX;
        let mut changes: Vec<_> = page
            .into_iter()
            .map(|(key, _)| delete(tables::DEVICE_JOBS, key, Expect::Anything))
            .collect();
        if is_last {
            changes.push(delete(tables::JOBS, id, Expect::Revision(revision)));
        }
        env.store.commit(shard, changes).await.map_err(|it| failed(&it))?;
        if is_last {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(body: Value) -> String {
        match wanted("j1", &body, Timestamp::from_seconds(1_000)) {
            Ok(_) => String::new(),
            Err(error) => {
                let Error::DeviceInvalid { at, .. } = error else { panic!("{error:?}") };
                at
            }
        }
    }

    #[test]
    fn a_job_is_read_or_refused_with_its_place() {
        let method = json!({ "type": "scheduleDeviceMethod", "queryCondition": "*",
            "cloudToDeviceMethod": { "methodName": "reboot" } });
        let with = |name: &str, value: Value| {
            let mut body = method.clone();
            model::json::set(&mut body, name, value);
            body
        };
        assert_eq!(place(method.clone()), "");
        assert_eq!(place(with("jobId", json!("j1"))), "");
        assert_eq!(place(with("jobId", json!("j2"))), "jobId");
        assert_eq!(place(with("type", json!("export"))), "type");
        assert_eq!(place(with("type", json!("scheduleUpdateTwin"))), "updateTwin");
        assert_eq!(place(with("cloudToDeviceMethod", json!({}))), "methodName");
        assert_eq!(place(with("queryCondition", json!(""))), "queryCondition");
        assert_eq!(place(with("queryCondition", json!("tags.a ="))), "queryCondition");
        assert_eq!(place(with("queryCondition", json!("FROM devices.modules WHERE a = 1"))), "");
        assert_eq!(place(with("startTime", json!("soon"))), "startTime");
        assert_eq!(place(with("startTime", json!("2026-11-22T10:00:00Z"))), "");
        for seconds in [0, 172_801] {
            let body = with("maxExecutionTimeInSeconds", json!(seconds));
            assert_eq!(place(body), "maxExecutionTimeInSeconds");
        }
        let twin = json!({ "type": "scheduleUpdateTwin", "queryCondition": "*", "updateTwin": {} });
        assert_eq!(place(twin), "updateTwin");
    }
}
