//! The device registry over REST: create, read, update, delete, list. Many at once are in `bulk.rs`.
//!
//! A device and its twin are one document in its hub's shard; its etag derives from the revision.

use super::bulk;
use crate::control::{failed, put as keep, unread};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::shared_access::{self, KEY_BYTES};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::Permit;
use gate::facts::Hub;
use model::json::{at, member, text};
use model::trace::Object;
use model::{DeviceId, Error, Op};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::{Change, CommitError, Document, Expect, Scan, ShardId, Write, tables};

/// Most devices of one page.
const PAGE_MAX: usize = 1_000;
/// Longest `statusReason`, in characters.
const REASON_CHARS_MAX: usize = 128;
/// The time of what never happened, as clients expect it.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A device as it is kept. It holds keys: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Device {
    pub(crate) device_id: String,
    /// Tells this device from an earlier one of the same id.
    pub(crate) generation_id: String,
    pub(crate) status: String,
    pub(crate) status_reason: Option<String>,
    pub(crate) status_updated_time: String,
    /// `type`, `symmetricKey` and `x509Thumbprint`, as the service API writes them.
    pub(crate) authentication: Value,
    pub(crate) capabilities: Value,
    /// The provisioning service and the enrollment that it came by; `null` for one made by hand.
    #[serde(default)]
    pub(crate) provisioned_by: Option<String>,
    /// Tags and desired properties that it started with.
    #[serde(default)]
    pub(crate) initial_twin: Option<Value>,
}

impl Device {
    /// The identity as the service API shows it.
    fn shown(&self, revision: u64) -> Value {
        json!({
            "deviceId": self.device_id,
            "generationId": self.generation_id,
            "etag": etag(revision),
            "connectionState": "Disconnected",
            "status": self.status,
            "statusReason": self.status_reason,
            "connectionStateUpdatedTime": NEVER,
            "statusUpdatedTime": self.status_updated_time,
            "lastActivityTime": NEVER,
            "cloudToDeviceMessageCount": 0,
            "authentication": self.authentication,
            "capabilities": self.capabilities,
            "deviceScope": null,
            "parentScopes": [],
        })
    }
}

impl Device {
    /// The device as policy sees it.
    fn judged(&self) -> Value {
        json!({
            "deviceId": self.device_id,
            "status": self.status,
            "statusReason": self.status_reason,
            "authentication": {
                "type": self.authentication.get("type"),
                "x509Thumbprint": self.authentication.get("x509Thumbprint"),
            },
            "capabilities": self.capabilities,
        })
    }
}

/// The base64 text of a revision. Clients send it back as it is, with or without quotes.
pub(super) fn etag(revision: u64) -> String {
    STANDARD.encode(revision.to_string())
}

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
        return Ok(Vec::new());
    };
    let shard = ShardId::hub(&hub.uid).map_err(|it| Error::Internal { message: it.to_string() })?;
    let mut found = Vec::new();
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
        });
        if let Some(twin) =
            member(body, "initialTwin").filter(|_| op == Op::ProvisionDeviceWithTwin)
        {
            found.push(Object {
                kind: "Microsoft.Devices/IotHubs/twins".into(),
                name: id.as_str().to_owned(),
                id: format!("{}/devices/{id}", hub.scope),
                body: twin.clone(),
            });
        }
    }
    Ok(found)
}

pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let id = device_id(input.param("device"))?;
    let shard = shard_of(permit, env)?;
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
    Ok(tagged(device.shown(committed.revision), committed.revision))
}

/// A device as a registration leaves it. One that is there stays as the hub's people made it since, so that
/// a disabled device does not enable itself by registering again. Only the keys are those that it has just
/// proven: an enrollment whose keys were changed reaches its devices this way.
fn provisioned(
    id: &DeviceId,
    body: &Value,
    former: Option<&Device>,
    env: &Env,
) -> Result<Device, Error> {
    let new = built(id, body, None, env, "")?;
    let mut device = match former {
        Some(former) => Device { authentication: new.authentication, ..former.clone() },
        None => new,
    };
    device.provisioned_by = text(body, &["provisionedBy"]).map(str::to_owned);
    if let Some(twin) = member(body, "initialTwin") {
        device.initial_twin = Some(twin.clone());
    }
    Ok(device)
}

/// True where the hub has a device of this id.
pub(crate) async fn exists(env: &Env, hub: &Hub, id: &str) -> Result<bool, Error> {
    let shard = ShardId::hub(&hub.uid).map_err(|it| Error::Internal { message: it.to_string() })?;
    Ok(read(env, &shard, &device_id(id)?).await?.is_some())
}

/// Writes a device that registered through a provisioning service: new, or known from the same enrollment.
///
/// # Errors
/// [`Error::DeviceAlreadyExists`] where the device came by another enrollment, or by hand: nobody takes a
/// device over by choosing its name.
pub(crate) async fn provision(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let id = device_id(input.param("device"))?;
    let shard = shard_of(permit, env)?;
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
    Ok(tagged(device.shown(committed.revision), committed.revision))
}

pub(crate) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let id = device_id(input.param("device"))?;
    let found = read(env, &shard_of(permit, env)?, &id).await?;
    match found {
        Some((device, revision)) => Ok(tagged(device.shown(revision), revision)),
        None => Err(Error::DeviceNotFound(id)),
    }
}

pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let id = device_id(input.param("device"))?;
    let shard = shard_of(permit, env)?;
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
        CommitError::Conflict { .. } => Error::DeviceStale(id),
        CommitError::ShardGone | CommitError::Store(_) => failed(&it),
    })?;
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
    let page = env
        .store
        .scan(&shard_of(permit, env)?, tables::DEVICES, scan)
        .await
        .map_err(|it| unread(&it))?;
    let devices: Result<Vec<Value>, Error> =
        page.iter().map(|(key, it)| Ok(parse(key, it)?.shown(it.revision))).collect();
    Ok(Reply::ok(Value::Array(devices?)))
}

/// The device that a body describes, checked, with keys made where none are given.
pub(super) fn built(
    id: &DeviceId,
    body: &Value,
    former: Option<&Device>,
    env: &Env,
    place: &str,
) -> Result<Device, Error> {
    if !body.is_object() {
        return Err(Error::DeviceInvalid {
            at: format!("{place}body"),
            message: "a JSON object is required".into(),
        });
    }
    let invalid =
        |at: &str, message: String| Error::DeviceInvalid { at: format!("{place}{at}"), message };
    let now = env.now().rfc3339();
    let status = text(body, &["status"]).unwrap_or("enabled").to_ascii_lowercase();
    if !["enabled", "disabled"].contains(&status.as_str()) {
        return Err(invalid("status", "a device is enabled or disabled".into()));
    }
    let status_reason = text(body, &["statusReason"]).map(str::to_owned);
    if status_reason.as_ref().is_some_and(|it| it.chars().count() > REASON_CHARS_MAX) {
        return Err(invalid("statusReason", format!("at most {REASON_CHARS_MAX} characters")));
    }
    let authentication =
        authentication(body, former, env).map_err(|(at, message)| invalid(&at, message))?;
    let capabilities = match member(body, "capabilities") {
        None | Some(Value::Null) => json!({ "iotEdge": false }),
        Some(Value::Object(it)) if it.values().all(Value::is_boolean) => Value::Object(it.clone()),
        Some(_) => {
            return Err(invalid("capabilities", "an object of true and false is expected".into()));
        }
    };
    Ok(Device {
        device_id: id.as_str().to_owned(),
        generation_id: former
            .map_or_else(|| env.now().millis().to_string(), |it| it.generation_id.clone()),
        status_updated_time: match former {
            Some(it) if it.status == status => it.status_updated_time.clone(),
            Some(_) => now,
            None => NEVER.to_owned(),
        },
        status,
        status_reason,
        authentication,
        capabilities,
        provisioned_by: former.and_then(|it| it.provisioned_by.clone()),
        initial_twin: former.and_then(|it| it.initial_twin.clone()),
    })
}

fn authentication(
    body: &Value,
    former: Option<&Device>,
    env: &Env,
) -> Result<Value, (String, String)> {
    let given = member(body, "authentication").filter(|it| !it.is_null());
    if let (None, Some(former)) = (given, former) {
        return Ok(former.authentication.clone());
    }
    let nothing = Value::Object(Map::new());
    let given = given.unwrap_or(&nothing);
    let kind = match (
        text(given, &["type"]),
        at(given, &["x509Thumbprint", "primaryThumbprint"]).is_some_and(Value::is_string),
    ) {
        (Some(word), _) => ["sas", "selfSigned", "certificateAuthority", "none"]
            .into_iter()
            .find(|it| it.eq_ignore_ascii_case(word))
            .ok_or_else(|| {
                (
                    "authentication.type".to_owned(),
                    "types are sas, selfSigned, certificateAuthority and none".to_owned(),
                )
            })?,
        (None, true) => "selfSigned",
        (None, false) => "sas",
    };
    let key = |name: &str| -> Result<Value, (String, String)> {
        let place = format!("authentication.symmetricKey.{name}");
        if kind != "sas" {
            return Ok(Value::Null);
        }
        match text(given, &["symmetricKey", name]).filter(|it| !it.is_empty()) {
            Some(it) => match STANDARD.decode(it) {
                Ok(bytes) if KEY_BYTES.contains(&bytes.len()) => Ok(json!(it)),
                Ok(_) | Err(_) => Err((place, "a key is base64 of 16 to 64 bytes".to_owned())),
            },
            None => match former
                .and_then(|it| text(&it.authentication, &["symmetricKey", name]).map(str::to_owned))
            {
                Some(kept) => Ok(json!(kept)),
                None => Ok(json!(shared_access::new_key(env))),
            },
        }
    };
    let thumbprint = |name: &str| -> Result<Value, (String, String)> {
        let place = format!("authentication.x509Thumbprint.{name}");
        match text(given, &["x509Thumbprint", name]).filter(|it| !it.is_empty()) {
            None => Ok(Value::Null),
            Some(it) => {
                let hex: String = it.chars().filter(|it| *it != ':').collect();
                let fits =
                    matches!(hex.len(), 40 | 64) && hex.bytes().all(|it| it.is_ascii_hexdigit());
                match fits {
                    true => Ok(json!(hex.to_ascii_uppercase())),
                    false => {
                        Err((place, "a thumbprint is SHA-1 or SHA-256 in hexadecimal".to_owned()))
                    }
                }
            }
        }
    };
    let primary = thumbprint("primaryThumbprint")?;
    if kind == "selfSigned" && primary.is_null() {
        return Err((
            "authentication.x509Thumbprint.primaryThumbprint".to_owned(),
            "a self-signed device needs a thumbprint".to_owned(),
        ));
    }
    Ok(json!({
        "symmetricKey": { "primaryKey": key("primaryKey")?, "secondaryKey": key("secondaryKey")? },
        "x509Thumbprint": { "primaryThumbprint": primary, "secondaryThumbprint": thumbprint("secondaryThumbprint")? },
        "type": kind,
    }))
}

pub(super) fn device_id(text: &str) -> Result<DeviceId, Error> {
    DeviceId::parse(text).map_err(|it| Error::DeviceIdInvalid { message: it.to_string() })
}

pub(super) fn shard_of(permit: &Permit, env: &Env) -> Result<ShardId, Error> {
    let facts = env.facts.load();
    let hub = facts
        .hub(permit.scope())
        .ok_or_else(|| Error::UnknownHost { host: permit.scope().name().to_owned() })?;
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
    let shard = ShardId::hub(&hub.uid).ok()?;
    let (device, _) = read(env, &shard, &DeviceId::parse(id).ok()?).await.ok()??;
    text(&device.authentication, &["symmetricKey", "primaryKey"]).map(str::to_owned)
}
