//! The device registry over REST: create, read, update, delete, list. Many at once are in `bulk.rs`, what a
//! device identity is in `identity.rs`.

use super::bulk;
use super::identity::{Device, built, etag, provisioned};
use crate::control::{failed, put as keep, unread};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use gate::facts::Hub;
use model::json::{member, text};
use model::trace::{Object, Verb};
use model::{DeviceId, Error, Op};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Change, CommitError, Document, Expect, Scan, ShardId, Write, tables};

/// Most devices of one page.
const PAGE_MAX: usize = 1_000;
/// What policy judges in a call: each device that it would create or change, as it would be stored, but
/// without its keys. A body that cannot be stored is refused here, before anything is decided by it.
pub(crate) async fn objects(
    op: Op,
    input: &Input,
    hub: &Hub,
    env: &Env,
) -> Result<Vec<Object>, Error> {
    let is_provisioned = op == Op::ProvisionDevice || op == Op::ProvisionDeviceWithTwin;
    let entries = if op == Op::PutDevice || is_provisioned {
        vec![(device_id(input.param("device"))?, &input.body, String::new())]
    } else if op == Op::BulkDevices {
        bulk::written(&input.body)?
    } else {
        Vec::new()
    };
    let mut found = deleted(op, input, hub, env).await?;
    if entries.is_empty() {
        return Ok(found);
    }
    let shard = shard(hub)?;
    for (id, body, place) in entries {
        let former = read(env, &shard, &id).await?;
        let former = former.as_ref().map(|(it, _)| it);
        let device = match is_provisioned {
            true => provisioned(&id, body, former, env)?,
            false => built(&id, body, former, env, &place)?,
        };
        found.push(Object {
            kind: "Microsoft.Devices/IotHubs/devices".into(),
            name: id.as_str().to_owned(),
            id: format!("{}/devices/{id}", hub.scope),
            body: device.judged(),
            verb: Verb::Write,
        });
        if let Some(twin) =
            member(body, "initialTwin").filter(|_| op == Op::ProvisionDeviceWithTwin)
        {
            found.push(Object {
                kind: "Microsoft.Devices/IotHubs/twins".into(),
                name: id.as_str().to_owned(),
                id: format!("{}/devices/{id}", hub.scope),
                body: twin.clone(),
                verb: Verb::Write,
            });
        }
    }
    Ok(found)
}

/// The devices that a call would delete, as they are stored; nothing where no policy guards deletions, see
/// [`crate::deletions`].
async fn deleted(op: Op, input: &Input, hub: &Hub, env: &Env) -> Result<Vec<Object>, Error> {
    let guards = || gate::policy::guards_deletions(&env.facts.load(), &hub.scope);
    let ids = if op == Op::DeleteDevice && guards() {
        vec![device_id(input.param("device"))?]
    } else if op == Op::BulkDevices && guards() {
        bulk::deleted(&input.body)?
    } else {
        return Ok(Vec::new());
    };
    let shard = shard(hub)?;
    let mut found = Vec::new();
    for id in ids {
        let stored = read(env, &shard, &id).await?;
        found.push(Object {
            kind: "Microsoft.Devices/IotHubs/devices".into(),
            name: id.as_str().to_owned(),
            id: format!("{}/devices/{id}", hub.scope),
            body: stored.map_or_else(|| json!({}), |(it, _)| it.judged()),
            verb: Verb::Delete,
        });
    }
    Ok(found)
}

pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let id = device_id(input.param("device"))?;
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let former = read(env, &shard, &id).await?;
    let if_match = input.headers.if_match.as_deref();
    let expect = match (&former, if_match) {
        (Some(_), None) => return Err(Error::DeviceAlreadyExists(id)),
        (Some((_, revision)), Some(tag)) if tag == "*" || tag == etag(*revision) => {
            Expect::Revision(*revision)
        }
        (Some(_), Some(_)) => return Err(Error::DeviceStale(id)),
        (None, None) => Expect::Absent,
        (None, Some(_)) => return Err(Error::DeviceNotFound(id)),
    };
    if let Some(named) = text(&input.body, &["deviceId"])
        && named != id.as_str()
    {
        return Err(Error::DeviceInvalid {
            at: "deviceId".into(),
            message: format!("the path names `{id}`, the body another device"),
        });
    }
    let device = built(&id, &input.body, former.as_ref().map(|(it, _)| it), env, "")?;
    let change = keep(tables::DEVICES, id.as_str(), expect, &device)?;
    let committed = env.store.commit(&shard, vec![change]).await.map_err(|it| match it {
        CommitError::Conflict { .. } if if_match.is_none() => {
            Error::DeviceAlreadyExists(id.clone())
        }
        CommitError::Conflict { .. } => Error::DeviceStale(id.clone()),
        CommitError::ShardGone | CommitError::Store(_) => failed(&it),
    })?;
    Ok(written(env, &hub, &device, committed.revision))
}

/// True where the hub has a device of this id.
pub(crate) async fn exists(env: &Env, hub: &Hub, id: &str) -> Result<bool, Error> {
    let shard = shard(hub)?;
    Ok(read(env, &shard, &device_id(id)?).await?.is_some())
}

/// Writes a device that registered through a provisioning service: new, or known from the same enrollment.
///
/// # Errors
/// [`Error::DeviceAlreadyExists`] where the device came by another enrollment, or by hand: nobody takes a
/// device over by choosing its name.
pub(crate) async fn provision(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let id = device_id(input.param("device"))?;
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let former = read(env, &shard, &id).await?;
    let by = text(&input.body, &["provisionedBy"]).map(str::to_owned);
    let expect = match &former {
        None => Expect::Absent,
        Some((device, revision)) if device.provisioned_by == by => Expect::Revision(*revision),
        Some(_) => return Err(Error::DeviceAlreadyExists(id)),
    };
    let device = provisioned(&id, &input.body, former.as_ref().map(|(it, _)| it), env)?;
    let change = keep(tables::DEVICES, id.as_str(), expect, &device)?;
    let committed = env.store.commit(&shard, vec![change]).await.map_err(|it| failed(&it))?;
    Ok(written(env, &hub, &device, committed.revision))
}

pub(crate) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let id = device_id(input.param("device"))?;
    let hub = hub_of(permit, env)?;
    let found = read(env, &shard(&hub)?, &id).await?;
    match found {
        Some((device, revision)) => Ok(tagged(shown(env, &hub, &device, revision), revision)),
        None => Err(Error::DeviceNotFound(id)),
    }
}

pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let id = device_id(input.param("device"))?;
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let Some((_, revision)) = read(env, &shard, &id).await? else {
        return Err(Error::DeviceNotFound(id));
    };
    let Some(tag) = input.headers.if_match.as_deref() else {
        return Err(Error::Stale {
            message: "`If-Match` is required to delete a device: its etag, or `*` for any version"
                .into(),
        });
    };
    if tag != "*" && tag != etag(revision) {
        return Err(Error::DeviceStale(id));
    }
    let change = Change {
        table: tables::DEVICES,
        key: id.as_str().to_owned(),
        expect: Expect::Revision(revision),
        write: Write::Delete,
    };
    env.store.commit(&shard, vec![change]).await.map_err(|it| match it {
        CommitError::Conflict { .. } => Error::DeviceStale(id.clone()),
        CommitError::ShardGone | CommitError::Store(_) => failed(&it),
    })?;
    env.presence.changed(&hub.uid, id.as_str());
    Ok(Reply::empty(204))
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
    let page = env.store.scan(&shard(&hub)?, tables::DEVICES, scan).await;
    let page = page.map_err(|it| unread(&it))?;
    let devices: Result<Vec<Value>, Error> =
        page.iter().map(|(key, it)| Ok(shown(env, &hub, &parse(key, it)?, it.revision))).collect();
    Ok(Reply::ok(Value::Array(devices?)))
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
    id: &DeviceId,
) -> Result<Option<(Device, u64)>, Error> {
    let found =
        env.store.get(shard, tables::DEVICES, id.as_str()).await.map_err(|it| unread(&it))?;
    found.map(|it| Ok((parse(id.as_str(), &it)?, it.revision))).transpose()
}

fn parse(key: &str, document: &Document) -> Result<Device, Error> {
    serde_json::from_slice(&document.body).map_err(|it| Error::Internal {
        message: format!("the device `{key}` cannot be read: {it}"),
    })
}

/// A device as it is now: with its connection, which is no part of its document.
fn shown(env: &Env, hub: &Hub, device: &Device, revision: u64) -> Value {
    device.shown(revision, env.presence.connected_since(&hub.uid, &device.device_id))
}

/// A device that was just written: its session hears of it.
fn written(env: &Env, hub: &Hub, device: &Device, revision: u64) -> Reply {
    env.presence.changed(&hub.uid, &device.device_id);
    tagged(shown(env, hub, device, revision), revision)
}

fn tagged(body: Value, revision: u64) -> Reply {
    Reply::ok(body).with_header("ETag", format!("\"{}\"", etag(revision)))
}

/// A device made at first start, with its primary key, for the printed connection string.
pub fn first(id: &str, env: &Env) -> Result<(Change, String), Error> {
    let id = device_id(id)?;
    let device = built(&id, &json!({}), None, env, "")?;
    let key =
        text(&device.authentication, &["symmetricKey", "primaryKey"]).unwrap_or("").to_owned();
    Ok((keep(tables::DEVICES, id.as_str(), Expect::Anything, &device)?, key))
}

/// A device's primary key, where the device exists and has one. For the printed connection string.
pub async fn primary_key(env: &Env, hub: &Hub, id: &str) -> Option<String> {
    let shard = shard(hub).ok()?;
    let (device, _) = read(env, &shard, &DeviceId::parse(id).ok()?).await.ok()??;
    text(&device.authentication, &["symmetricKey", "primaryKey"]).map(str::to_owned)
}
