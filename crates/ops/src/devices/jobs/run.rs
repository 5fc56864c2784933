//! Does what jobs say, a few devices at a time, until they end, are cancelled or run out of time.
//!
//! How far a job is is kept with what became of its devices: a restart goes on there, and does the few devices
//! again that were under way.

use super::{Counts, Job, Kind, Status, condition_of, read};
use crate::control::{failed, parse, put as keep, unread};
use crate::devices::message::routed::Source as MessageSource;
use crate::devices::methods;
use crate::devices::named::Named;
use crate::devices::query::{Condition, Source};
use crate::devices::registry::{TRIES, parse as parse_device, shard};
use crate::devices::routing::events::{self, Told};
use crate::devices::twin::Wanted;
use crate::devices::{identity::Live, twins};
use crate::env::Env;
use gate::facts::Hub;
use model::{Error, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Change, CommitError, Expect, Scan, ShardId, Table, tables};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Devices that a job deals with together.
const DEVICES_AT_ONCE: usize = 16;
/// Devices that are read together.
const PAGE: usize = 200;

/// The jobs of a hub whose time has come, by id, and whether others are still to come.
pub(in crate::devices) async fn due(env: &Env, hub: &Hub) -> Result<(Vec<String>, bool), Error> {
    let shard = shard(hub)?;
    let (mut found, mut is_more_to_come, mut after) = (Vec::new(), false, None);
    loop {
        let scan = Scan { prefix: String::new(), after: after.take(), limit: PAGE };
        let page = env.store.scan(&shard, tables::JOBS, scan).await.map_err(|it| unread(&it))?;
        for (key, document) in &page {
            let job: Job = parse(tables::JOBS, key, document)?;
            match job.status.is_open() {
                true if job.start <= env.now() => found.push(key.clone()),
                is_open => is_more_to_come |= is_open,
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
            Some(_) | None => return Ok((found, is_more_to_come)),
        }
    }
}

/// Runs a job to its end, or until somebody has cancelled it.
pub(in crate::devices) async fn run(env: Arc<Env>, hub: Arc<Hub>, id: &str) -> Result<(), Error> {
    let shard = shard(&hub)?;
    let Some((job, _)) = read(&env, &shard, id).await? else { return Ok(()) };
    let condition = condition_of(&job.condition).map_err(|message| Error::Internal { message })?;
    let (table, source) = match condition.source() {
        Source::Modules => (tables::MODULES, Source::Modules),
        Source::Devices | Source::Jobs => (tables::DEVICES, Source::Devices),
    };
    let mut after = job.after.clone();
    loop {
        let (targets, last) = targets(&env, &hub, table, source, &condition, after).await?;
        for chunk in targets.chunks(DEVICES_AT_ONCE) {
            let job = loop {
                let Some((job, _)) = read(&env, &shard, id).await? else { return Ok(()) };
                if !job.status.is_open() {
                    return Ok(());
                }
                if env.now() >= job.deadline() {
                    let sentence = "maxExecutionTimeInSeconds went by before every device was done";
                    let ends =
                        |it: &mut Job, now| it.ends(Status::Failed, Some(sentence.into()), now);
                    return write(&env, &shard, id, Vec::new(), ends).await;
                }
                match env.limits.pause(&hub, chunk.len(), &env) {
                    Some(pause) => sleep(pause).await,
                    None => break job,
                }
            };
            let done = together(&env, &hub, &job, chunk).await;
            let (mut counts, mut changes) = (Counts::default(), Vec::new());
            for (named, began, outcome) in done {
                match outcome {
                    Ok(_) => counts.succeeded += 1,
                    Err(_) => counts.failed += 1,
                }
                let key = format!("{id}/{}", named.key());
                let told = told(&job, &named, began, env.now(), &outcome);
                changes.push(keep(tables::DEVICE_JOBS, key, Expect::Anything, &told)?);
            }
            let until = chunk.last().map(Named::key);
            write(&env, &shard, id, changes, |it: &mut Job, _| {
                if it.status == Status::Scheduled {
                    it.status = Status::Running;
                }
                it.counts.failed += counts.failed;
                it.counts.succeeded += counts.succeeded;
                it.after.clone_from(&until);
            })
            .await?;
        }
        match last {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    let ends = |it: &mut Job, now| {
        if it.status.is_open() {
            it.ends(Status::Completed, None, now);
        }
    };
    write(&env, &shard, id, Vec::new(), ends).await?;
    tell(&env, &hub, &shard, id).await
}

/// Lets routes know how a job has ended.
async fn tell(env: &Env, hub: &Hub, shard: &ShardId, id: &str) -> Result<(), Error> {
    let source = MessageSource::DeviceJobLifecycleEvents;
    if !events::are_wanted(env, hub, source).await {
        return Ok(());
    }
    let Some((job, _)) = read(env, shard, id).await? else { return Ok(()) };
    let what = match job.status {
        Status::Completed => "jobCompleted",
        Status::Failed => "jobFailed",
        Status::Cancelled => "jobCancelled",
        Status::Scheduled | Status::Running => return Ok(()),
    };
    let (device, generation) = (String::new(), String::new());
    let told = Told { source, device, module: None, generation, what, body: job.shown() };
    events::tell(env, hub, vec![told]).await;
    Ok(())
}

/// Those behind `after` who fulfil the condition, and where to go on.
async fn targets(
    env: &Env,
    hub: &Hub,
    table: Table,
    source: Source,
    condition: &Condition,
    after: Option<String>,
) -> Result<(Vec<Named>, Option<String>), Error> {
    let scan = Scan { prefix: String::new(), after, limit: PAGE };
    let page = env.store.scan(&shard(hub)?, table, scan).await.map_err(|it| unread(&it))?;
    let mut found = Vec::new();
    for (key, document) in &page {
        let device = parse_device(key, document)?;
        let connected_since = env.presence.connected_since(&hub.uid, key);
        let shown = device.shown_twin(&Live { connected_since, messages: 0 });
        if condition.matches(&shown) {
            let module = device.module_id.as_deref().filter(|_| source == Source::Modules);
            found.push(Named::parse(&device.device_id, module)?);
        }
    }
    let next = page.last().filter(|_| page.len() == PAGE).map(|(key, _)| key.clone());
    Ok((found, next))
}

type Done = (Named, Timestamp, Result<Value, Error>);

/// Deals with a few devices at the same time; in the order in which they were named.
async fn together(env: &Arc<Env>, hub: &Arc<Hub>, job: &Job, chunk: &[Named]) -> Vec<Done> {
    let mut tasks = JoinSet::new();
    for (at, named) in chunk.iter().cloned().enumerate() {
        let (env, hub) = (Arc::clone(env), Arc::clone(hub));
        let (kind, request) = (job.kind, job.request.clone());
        tasks.spawn(async move {
            let began = env.now();
            let outcome = one(&env, &hub, kind, &request, &named).await;
            (at, (named, began, outcome))
        });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        // A task that panics has told the log; its device is not counted.
        all.extend(done.ok());
    }
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, it)| it).collect()
}

async fn one(
    env: &Env,
    hub: &Hub,
    kind: Kind,
    request: &Value,
    named: &Named,
) -> Result<Value, Error> {
    match kind {
        Kind::ScheduleDeviceMethod => {
            let wanted = methods::Wanted::read(request)?;
            let answer = methods::call_known(env, hub, named, wanted).await?;
            Ok(json!({ "deviceMethodResponse": {
                "status": answer.status, "payload": answer.payload } }))
        }
        Kind::ScheduleUpdateTwin => {
            let wanted = Wanted::read(request)?;
            let _write = env.facts.writing().await;
            let how = |it: &mut crate::devices::identity::Device| it.twin.write(&wanted, env.now());
            twins::lay(env, hub, named, None, how).await?;
            Ok(json!({}))
        }
    }
}

/// What became of a device, as queries over jobs show it.
fn told(
    job: &Job,
    named: &Named,
    began: Timestamp,
    now: Timestamp,
    outcome: &Result<Value, Error>,
) -> Value {
    let mut all = json!({
        "jobId": job.id,
        "deviceId": named.device.as_str(),
        "jobType": match job.kind {
            Kind::ScheduleDeviceMethod => "scheduleDeviceMethod",
            Kind::ScheduleUpdateTwin => "scheduleTwinUpdate",
        },
        "status": if outcome.is_ok() { "completed" } else { "failed" },
        "startTimeUtc": began.rfc3339(),
        "endTimeUtc": now.rfc3339(),
        "createdDateTimeUtc": job.created.rfc3339(),
        "lastUpdatedDateTimeUtc": now.rfc3339(),
    });
    if let Some(module) = &named.module {
        model::json::set(&mut all, "moduleId", json!(module.as_str()));
    }
    match outcome {
        Ok(outcome) => model::json::set(&mut all, "outcome", outcome.clone()),
        Err(error) => {
            let wire = error.wire();
            let error = json!({ "code": wire.hub_name, "description": wire.message });
            model::json::set(&mut all, "error", error);
        }
    }
    all
}

/// Changes a job together with what became of its devices. One that is gone stays gone.
async fn write(
    env: &Env,
    shard: &ShardId,
    id: &str,
    also: Vec<Change>,
    how: impl Fn(&mut Job, Timestamp),
) -> Result<(), Error> {
    for _ in 0..TRIES {
        let Some((mut job, revision)) = read(env, shard, id).await? else { return Ok(()) };
        how(&mut job, env.now());
        let mut changes = also.clone();
        changes.push(keep(tables::JOBS, id, Expect::Revision(revision), &job)?);
        match env.store.commit(shard, changes).await {
            Ok(_) => return Ok(()),
            Err(CommitError::Conflict { .. }) => {}
            Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => return Err(failed(&it)),
        }
    }
    Err(Error::Unavailable { message: format!("the job `{id}` kept changing") })
}
