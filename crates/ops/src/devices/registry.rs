//! The registry over REST: devices and their modules, create, read, update, delete, list. Many at once are in
//! `bulk.rs`, what an identity is in `identity.rs`.

use super::identity::{Device, Live, built, provisioned};
use super::journal::{self, Entry, Happened};
use super::named::Named;
use super::{
    bulk, configurations, jobs, messages, queries, regenerate, security, transfers, twins,
};
use crate::control::{delete as remove, failed, put as keep, unread};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use gate::facts::Hub;
use model::json::{member, text};
use model::trace::{Object, Verb};
use model::{DeviceId, Error, Op, Operation};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Change, CommitError, Document, Expect, Scan, ShardId, tables};

/// Most devices of one page.
const PAGE_MAX: usize = 1_000;
/// Most modules of a device. Source: IoT Hub quotas and throttling.
pub(super) const MODULES_MAX: usize = 50;
/// How often a write is tried anew when something else of the document changed under it.
pub(super) const TRIES: usize = 16;

/// What policy judges in a call: each identity that it would create or change, as it would be stored, but
/// without its keys. A body that cannot be stored is refused here, before anything is decided by it.
pub(crate) async fn objects(
    op: Op,
    input: &Input,
    hub: &Hub,
    env: &Env,
) -> Result<Vec<Object>, Error> {
    if op == Op::PatchTwin || op == Op::ReplaceTwin || op == Op::PatchDigitalTwin {
        return twins::objects(op, input, hub, env).await;
    }
    let is_provisioned = op == Op::ProvisionDevice || op == Op::ProvisionDeviceWithTwin;
    if op == Op::BulkDevices || op == Op::ImportEntries || op == Op::ImportEntriesOfHub {
        let guards = gate::policy::guards_deletions(&env.facts.load(), &hub.scope);
        return bulk::objects(&input.body, hub, guards, env).await;
    }
    if op == Op::RegenerateKeys {
        return regenerate::objects(&input.body, hub, env).await;
    }
    if op == Op::CreateTransfer || op == Op::CancelTransfer {
        return transfers::objects(op, input, hub, env).await;
    }
    if op == Op::PutJob || op == Op::PutConfiguration {
        return service_objects(op, input, hub, env).await;
    }
    if !(op == Op::PutDevice || op == Op::PutModule || is_provisioned) {
        return deleted(op, input, hub, env).await;
    }
    let (named, body) = (Named::of(input)?, &input.body);
    let former = read(env, &shard(hub)?, &named).await?;
    let former = former.as_ref().map(|(it, _)| it);
    let device = match is_provisioned {
        true => provisioned(&named, body, former, env)?,
        false => built(&named, body, former, env, "")?,
    };
    let mut found = vec![object(&named, hub, device.judged(), Verb::Write)];
    if let Some(twin) = member(body, "initialTwin").filter(|_| op == Op::ProvisionDeviceWithTwin) {
        found.push(twins::object(&named, hub, twin.clone()));
    }
    Ok(found)
}

/// What policy judges of a job or a configuration.
async fn service_objects(
    op: Op,
    input: &Input,
    hub: &Hub,
    env: &Env,
) -> Result<Vec<Object>, Error> {
    match op == Op::PutJob || op == Op::CancelJob {
        true => jobs::objects(op, input, hub, env).await,
        false => configurations::objects(op, input, hub, env).await,
    }
}

/// The row by which a call at a hub is judged: most by their own.
pub(crate) fn judged(row: &'static Operation, input: &Input) -> Result<&'static Operation, Error> {
    match row.op == Op::BulkDevices {
        true => bulk::judged(&input.body),
        false => queries::judged(row, &input.body),
    }
}

pub(super) fn object(named: &Named, hub: &Hub, body: Value, verb: Verb) -> Object {
    let (kind, name) = match &named.module {
        None => ("Microsoft.Devices/IotHubs/devices", &named.device),
        Some(module) => ("Microsoft.Devices/IotHubs/devices/modules", module),
    };
    Object { kind: kind.into(), name: name.as_str().to_owned(), id: named.id_at(hub), body, verb }
}

/// The identities that a call would delete, as they are stored; nothing where no policy guards deletions, see
/// [`crate::deletions`].
async fn deleted(op: Op, input: &Input, hub: &Hub, env: &Env) -> Result<Vec<Object>, Error> {
    let guards = || gate::policy::guards_deletions(&env.facts.load(), &hub.scope);
    if (op == Op::CancelJob || op == Op::DeleteConfiguration) && guards() {
        return service_objects(op, input, hub, env).await;
    }
    if !((op == Op::DeleteDevice || op == Op::DeleteModule) && guards()) {
        return Ok(Vec::new());
    }
    let named = Named::of(input)?;
    let stored = read(env, &shard(hub)?, &named).await?;
    let body = stored.map_or_else(|| json!({}), |(it, _)| it.judged());
    Ok(vec![object(&named, hub, body, Verb::Delete)])
}

pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let if_match = input.headers.if_match.as_deref();
    let ids = [("deviceId", Some(&named.device)), ("moduleId", named.module.as_ref())];
    for (name, id) in ids {
        if let (Some(given), Some(id)) = (text(&input.body, &[name]), id)
            && given != id.as_str()
        {
            return Err(Error::DeviceInvalid {
                at: name.into(),
                message: format!("the path names `{id}`, the body another"),
            });
        }
    }
    if named.module.is_some() {
        check_room_for_a_module(env, &shard, &named).await?;
    }
    let expected = |former: Option<&(Device, u64)>| match (former, if_match) {
        (Some(_), None) => Err(named.exists_already()),
        (Some((device, revision)), Some(tag)) if tag == "*" || tag == device.etag() => {
            Ok(Expect::Revision(*revision))
        }
        (Some(_), Some(_)) => Err(named.is_stale()),
        (None, None) => Ok(Expect::Absent),
        (None, Some(_)) => Err(named.not_found()),
    };
    let made = |former: Option<&Device>| built(&named, &input.body, former, env, "");
    write(permit, &named, &hub, env, expected, made).await
}

/// Writes what is `made` of the device that is there, or of none, where that is as `expected`; and looks again where
/// it has changed in between.
async fn write(
    permit: &Permit,
    named: &Named,
    hub: &Hub,
    env: &Env,
    expected: impl Fn(Option<&(Device, u64)>) -> Result<Expect, Error>,
    made: impl Fn(Option<&Device>) -> Result<Device, Error>,
) -> Result<Reply, Error> {
    let shard = shard(hub)?;
    let mut place = None;
    for _ in 0..TRIES {
        let former = read(env, &shard, named).await?;
        let expect = expected(former.as_ref())?;
        if former.is_none() && place.is_none() {
            place = env.limits.place(hub, 1, &shard, env).await?;
        }
        let device = made(former.as_ref().map(|(it, _)| it))?;
        let change = keep(named.table(), named.key(), expect, &device)?;
        match env.store.commit(&shard, vec![change]).await {
            Ok(_) => return written(permit, env, (hub, named), &device, former.is_none()).await,
            // Its twin may have changed, or somebody was faster: look again.
            Err(CommitError::Conflict { .. }) => {}
            Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => return Err(failed(&it)),
        }
    }
    Err(keeps_changing(named))
}

pub(super) fn keeps_changing(named: &Named) -> Error {
    Error::Unavailable { message: format!("`{named}` kept changing under the call; repeat it") }
}

/// A module needs its device, and a device has so many and no more.
async fn check_room_for_a_module(env: &Env, shard: &ShardId, named: &Named) -> Result<(), Error> {
    let device = Named::device(named.device.clone());
    if read(env, shard, &device).await?.is_none() {
        return Err(device.not_found());
    }
    let all = modules_of(env, shard, &named.device).await?;
    let is_there = all
        .iter()
        .any(|(it, _)| it.module_id.as_deref() == named.module.as_ref().map(DeviceId::as_str));
    match all.len() < MODULES_MAX || is_there {
        true => Ok(()),
        false => Err(named.has_no_room(MODULES_MAX)),
    }
}

pub(super) async fn modules_of(
    env: &Env,
    shard: &ShardId,
    device: &DeviceId,
) -> Result<Vec<(Device, u64)>, Error> {
    let scan = Scan { prefix: format!("{device}/"), after: None, limit: MODULES_MAX + 1 };
    let page = env.store.scan(shard, tables::MODULES, scan).await.map_err(|it| unread(&it))?;
    page.iter().map(|(key, it)| Ok((parse(key, it)?, it.revision))).collect()
}

/// True where the hub has the device or module.
pub(crate) async fn exists(env: &Env, hub: &Hub, named: &Named) -> Result<bool, Error> {
    Ok(read(env, &shard(hub)?, named).await?.is_some())
}

/// What a device came by: none inside, where it was made by hand. `None` where the hub has no such device.
pub(crate) async fn origin(
    env: &Env,
    hub: &Hub,
    named: &Named,
) -> Result<Option<Option<String>>, Error> {
    Ok(read(env, &shard(hub)?, named).await?.map(|(it, _)| it.provisioned_by))
}

/// Writes a device that registered through a provisioning service: new, or known from the same enrollment.
///
/// # Errors
/// [`Error::DeviceAlreadyExists`] where the device came by another enrollment, or by hand: nobody takes a
/// device over by choosing its name.
pub(crate) async fn provision(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    let by = text(&input.body, &["provisionedBy"]).map(str::to_owned);
    let expected = |former: Option<&(Device, u64)>| match former {
        None => Ok(Expect::Absent),
        Some((device, revision)) if device.provisioned_by == by => Ok(Expect::Revision(*revision)),
        Some(_) => Err(named.exists_already()),
    };
    let made = |former: Option<&Device>| provisioned(&named, &input.body, former, env);
    write(permit, &named, &hub, env, expected, made).await
}

pub(crate) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    let found = read(env, &shard(&hub)?, &named).await?;
    let Some((device, _)) = found else { return Err(named.not_found()) };
    let now = live(env, &hub, &named).await?;
    Ok(tagged(device.shown(&now), &device))
}

pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    for _ in 0..TRIES {
        let Some((device, revision)) = read(env, &shard, &named).await? else {
            return Err(named.not_found());
        };
        let Some(tag) = input.headers.if_match.as_deref() else {
            return Err(Error::Stale {
                message:
                    "`If-Match` is required to delete a device or module: its etag, or `*` for any version"
                        .into(),
            });
        };
        if tag != "*" && tag != device.etag() {
            return Err(named.is_stale());
        }
        let (changes, gone) = deletion(env, &shard, &named, (device, revision)).await?;
        match env.store.commit(&shard, changes).await {
            Ok(_) => {
                gone.iter().for_each(|(_, it)| env.presence.changed(&hub.uid, &it.key()));
                let entry = |(event, it): &(_, Device)| Entry::of_identity(*event, it, permit);
                journal::note(env, &hub, gone.iter().map(entry).collect()).await;
                return Ok(Reply::empty(204));
            }
            Err(CommitError::Conflict { .. }) => {}
            Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => return Err(failed(&it)),
        }
    }
    Err(keeps_changing(&named))
}

/// What goes with a device: its modules, its security policy and the messages that wait for it. What is gone then, and
/// whose it was.
pub(super) async fn deletion(
    env: &Env,
    shard: &ShardId,
    named: &Named,
    (device, revision): (Device, u64),
) -> Result<(Vec<Change>, Vec<(Happened, Device)>), Error> {
    let mut changes = vec![remove(named.table(), named.key(), Expect::Revision(revision))];
    let mut gone = vec![(Happened::Deleted, device)];
    if named.module.is_none() {
        let (change, had_policy) = security::deletion(env, shard, &named.device).await?;
        changes.push(change);
        if let Some((_, device)) = gone.first().filter(|_| had_policy) {
            gone.push((Happened::SecurityPolicyDeleted, device.clone()));
        }
        for (module, revision) in modules_of(env, shard, &named.device).await? {
            changes.push(remove(tables::MODULES, module.key(), Expect::Revision(revision)));
            gone.push((Happened::Deleted, module));
        }
        changes.extend(messages::forget(env, shard, &named.device).await?);
    }
    Ok((changes, gone))
}

/// `GET /devices?top=N`: the first N devices by id, at most 1,000.
pub(crate) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let top = match input.query("top") {
        None => PAGE_MAX,
        Some(text) => {
            text.parse::<usize>().ok().filter(|it| (1..=PAGE_MAX).contains(it)).ok_or_else(
                || Error::DeviceInvalid {
                    at: "top".into(),
                    message: format!("a number from 1 to {PAGE_MAX} is expected"),
                },
            )?
        }
    };
    let scan = Scan { prefix: String::new(), after: None, limit: top };
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let page = env.store.scan(&shard, tables::DEVICES, scan).await;
    let page = page.map_err(|it| unread(&it))?;
    let keys: Vec<&str> = page.iter().map(|(key, _)| key.as_str()).collect();
    let counts = messages::counts(env, &shard, &keys).await?;
    let devices: Result<Vec<Value>, Error> = page
        .iter()
        .zip(counts)
        .map(|((key, it), messages)| {
            let device: Device = parse(key, it)?;
            let connected_since = env.presence.connected_since(&hub.uid, key);
            Ok(device.shown(&Live { connected_since, messages }))
        })
        .collect();
    Ok(Reply::ok(Value::Array(devices?)))
}

/// `GET /devices/{device}/modules`.
pub(crate) async fn list_modules(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    if read(env, &shard, &named).await?.is_none() {
        return Err(named.not_found());
    }
    let all = modules_of(env, &shard, &named.device).await?;
    let shown = all.iter().map(|(it, _)| {
        let key = format!("{}/{}", named.device, it.module_id.as_deref().unwrap_or_default());
        let connected_since = env.presence.connected_since(&hub.uid, &key);
        it.shown(&Live { connected_since, messages: 0 })
    });
    Ok(Reply::ok(Value::Array(shown.collect())))
}

/// `GET /statistics/devices`.
pub(crate) async fn statistics(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let (mut total, mut disabled, mut after) = (0_u64, 0_u64, None);
    loop {
        let scan = Scan { prefix: String::new(), after: after.take(), limit: PAGE_MAX };
        let page = env.store.scan(&shard, tables::DEVICES, scan).await.map_err(|it| unread(&it))?;
        for (key, document) in &page {
            total += 1;
            let device: Device = parse(key, document)?;
            disabled += u64::from(device.status != "enabled");
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE_MAX => after = Some(key.clone()),
            Some(_) | None => break,
        }
    }
    Ok(Reply::ok(json!({
        "totalDeviceCount": total,
        "enabledDeviceCount": total - disabled,
        "disabledDeviceCount": disabled,
    })))
}

/// `GET /statistics/service`.
pub(crate) async fn service_statistics(
    permit: &Permit,
    _input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    Ok(Reply::ok(json!({ "connectedDeviceCount": env.presence.connected_devices(&hub.uid) })))
}

pub(super) fn device_id(text: &str) -> Result<DeviceId, Error> {
    DeviceId::parse(text).map_err(|it| Error::DeviceIdInvalid { message: it.to_string() })
}

/// The hub that a call was admitted at.
pub(super) fn hub_of(permit: &Permit, env: &Env) -> Result<Arc<Hub>, Error> {
    let facts = env.facts.load();
    let hub = facts.hub(permit.scope()).cloned();
    hub.ok_or_else(|| Error::UnknownHost { host: permit.scope().name().to_owned() })
}

/// Where a hub's devices and messages lie.
pub(super) fn shard(hub: &Hub) -> Result<ShardId, Error> {
    ShardId::hub(&hub.uid).map_err(|it| Error::Internal { message: it.to_string() })
}

pub(super) async fn read(
    env: &Env,
    shard: &ShardId,
    named: &Named,
) -> Result<Option<(Device, u64)>, Error> {
    let key = named.key();
    let found = env.store.get(shard, named.table(), &key).await.map_err(|it| unread(&it))?;
    found.map(|it| Ok((parse(&key, &it)?, it.revision))).transpose()
}

pub(super) fn parse(key: &str, document: &Document) -> Result<Device, Error> {
    serde_json::from_slice(&document.body).map_err(|it| Error::Internal {
        message: format!("the device `{key}` cannot be read: {it}"),
    })
}

/// What is true of an identity now besides what its document says.
pub(super) async fn live(env: &Env, hub: &Hub, named: &Named) -> Result<Live, Error> {
    let connected_since = env.presence.connected_since(&hub.uid, &named.key());
    let messages = match &named.module {
        None => messages::counts(env, &shard(hub)?, &[named.device.as_str()]).await?,
        Some(_) => Vec::new(),
    };
    Ok(Live { connected_since, messages: messages.first().copied().unwrap_or(0) })
}

/// An identity that was just written: its session hears of it, and its journal.
async fn written(
    permit: &Permit,
    env: &Env,
    (hub, named): (&Hub, &Named),
    device: &Device,
    is_new: bool,
) -> Result<Reply, Error> {
    let event = if is_new { Happened::Created } else { Happened::Updated };
    journal::note(env, hub, vec![Entry::of_identity(event, device, permit)]).await;
    env.presence.changed(&hub.uid, &named.key());
    // The session of a module asks whether its device is enabled.
    if named.module.is_none() {
        env.presence.changed_modules(&hub.uid, named.device.as_str());
    }
    Ok(tagged(device.shown(&live(env, hub, named).await?), device))
}

fn tagged(body: Value, device: &Device) -> Reply {
    Reply::ok(body).with_header("ETag", format!("\"{}\"", device.etag()))
}

/// A device made at first start, with its primary key, for the printed connection string.
pub fn first(id: &str, env: &Env) -> Result<(Change, String), Error> {
    let named = Named::parse(id, None)?;
    let device = built(&named, &json!({}), None, env, "")?;
    let key =
        text(&device.authentication, &["symmetricKey", "primaryKey"]).unwrap_or("").to_owned();
    Ok((keep(tables::DEVICES, named.key(), Expect::Anything, &device)?, key))
}

/// A device's primary key, where the device exists and has one. For the printed connection string.
pub async fn primary_key(env: &Env, hub: &Hub, id: &str) -> Option<String> {
    let shard = shard(hub).ok()?;
    let (device, _) = read(env, &shard, &Named::parse(id, None).ok()?).await.ok()??;
    text(&device.authentication, &["symmetricKey", "primaryKey"]).map(str::to_owned)
}
