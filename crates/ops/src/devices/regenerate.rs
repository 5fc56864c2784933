//! New keys for many devices and modules in one call: `POST /devices/keys/regenerate`.
//!
//! Source: the public client's model of the call, `BulkRegenerateDeviceKey`.

use super::identity::{Device, KeyTimes};
use super::journal::{self, Entry, Happened};
use super::named::Named;
use super::registry::{TRIES, hub_of, object, read, shard};
use crate::control::{failed, put as keep};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::shared_access;
use gate::Permit;
use gate::facts::Hub;
use model::error::HubFault;
use model::json::{at, member, set, text};
use model::trace::{Object, Verb};
use model::{DeviceId, Error};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::{Change, CommitError, Expect};

/// Most devices and modules in a call, as in a bulk call.
const DEVICES_MAX: usize = 100;

/// Which of the two keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    Primary,
    Secondary,
    Both,
}

impl Which {
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Primary => &["primaryKey"],
            Self::Secondary => &["secondaryKey"],
            Self::Both => &["primaryKey", "secondaryKey"],
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primaryKey",
            Self::Secondary => "secondaryKey",
            Self::Both => "both",
        }
    }
}

struct Wanted {
    which: Which,
    all: Vec<Named>,
}

fn wanted(body: &Value) -> Result<Wanted, Error> {
    let word = text(body, &["policyKey"]).unwrap_or("");
    let all = [Which::Primary, Which::Secondary, Which::Both];
    let which = all.into_iter().find(|it| it.as_str().eq_ignore_ascii_case(word));
    let which = which.ok_or_else(|| {
        let sentence = "expected primaryKey, secondaryKey or both";
        Error::hub(HubFault::InvalidPolicyKey, sentence)
    })?;
    let entries = member(body, "devices").and_then(Value::as_array).filter(|it| !it.is_empty());
    let entries = entries.ok_or_else(|| Error::DeviceInvalid {
        at: "devices".into(),
        message: "a list of devices is required".into(),
    })?;
    if entries.len() > DEVICES_MAX {
        return Err(Error::TooManyDevices { limit: DEVICES_MAX });
    }
    let id = |index: usize, at: &str, text: &str| {
        DeviceId::parse(text).map_err(|it| Error::DeviceInvalid {
            at: format!("devices[{index}].{at}"),
            message: it.to_string(),
        })
    };
    let named = |(index, entry): (usize, &Value)| {
        let module = text(entry, &["moduleId"]).filter(|it| !it.is_empty());
        Ok(Named {
            device: id(index, "id", text(entry, &["id"]).unwrap_or(""))?,
            module: module.map(|it| id(index, "moduleId", it)).transpose()?,
        })
    };
    let all = entries.iter().enumerate().map(named).collect::<Result<_, Error>>()?;
    Ok(Wanted { which, all })
}

/// What policy judges: each identity as it would be stored. It sees no keys.
pub(super) async fn objects(body: &Value, hub: &Hub, env: &Env) -> Result<Vec<Object>, Error> {
    let shard = shard(hub)?;
    let mut found = Vec::new();
    for named in wanted(body)?.all {
        if let Some((device, _)) = read(env, &shard, &named).await? {
            found.push(object(&named, hub, device.judged(), Verb::Write));
        }
    }
    Ok(found)
}

/// Answers 200 where all have new keys, 207 where some do, 400 where none does.
pub(crate) async fn regenerate(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let Wanted { which, all } = wanted(&input.body)?;
    for _ in 0..TRIES {
        let (mut changes, mut rotated, mut errors): (Vec<Change>, Vec<Value>, Vec<Value>) =
            (Vec::new(), Vec::new(), Vec::new());
        let mut changed = Vec::new();
        let mut seen = BTreeSet::new();
        for named in &all {
            let found = read(env, &shard, named).await?;
            let outcome = match (seen.insert(named.key()), found) {
                (false, _) => {
                    let sentence = format!("`{named}` stands twice in the call");
                    Err(Error::hub(HubFault::DefinedTwice, sentence))
                }
                (true, None) => Err(named.not_found()),
                (true, Some((device, revision))) => {
                    with_new_keys(named, device, which, env).map(|it| (it, revision))
                }
            };
            match outcome {
                Ok((device, revision)) => {
                    rotated.push(shown(named, &device));
                    let expect = Expect::Revision(revision);
                    changes.push(keep(named.table(), named.key(), expect, &device)?);
                    changed.push(Entry::of_identity(Happened::Updated, &device, permit));
                }
                Err(error) => errors.push(refused(named, &error)),
            }
        }
        match env.store.commit(&shard, changes).await {
            Ok(_) => {}
            Err(CommitError::Conflict { .. }) => continue,
            Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => return Err(failed(&it)),
        }
        all.iter().for_each(|it| env.presence.changed(&hub.uid, &it.key()));
        journal::note(env, &hub, changed).await;
        let status = match (rotated.is_empty(), errors.is_empty()) {
            (_, true) => 200,
            (false, false) => 207,
            (true, false) => 400,
        };
        let body = json!({ "policyKey": which.as_str(), "rotatedKeys": rotated, "errors": errors });
        return Ok(Reply::with(status, Some(body)));
    }
    Err(Error::Unavailable {
        message: "the devices of the call kept changing under it; repeat it".into(),
    })
}

fn with_new_keys(
    named: &Named,
    mut device: Device,
    which: Which,
    env: &Env,
) -> Result<Device, Error> {
    if text(&device.authentication, &["type"]) != Some("sas") {
        let sentence = format!("`{named}` proves itself with a certificate, and has no keys");
        return Err(Error::hub(HubFault::InvalidOperation, sentence));
    }
    let mut keys = at(&device.authentication, &["symmetricKey"]).cloned().unwrap_or(json!({}));
    for name in which.names() {
        set(&mut keys, name, json!(shared_access::new_key(env)));
    }
    let mut authentication = device.authentication.clone();
    set(&mut authentication, "symmetricKey", keys);
    device.key_times = KeyTimes::after(Some(&device), &authentication, env.now());
    device.authentication = authentication;
    device.count(env);
    Ok(device)
}

fn shown(named: &Named, device: &Device) -> Value {
    let key = |name| at(&device.authentication, &["symmetricKey", name]);
    json!({
        "id": named.device.as_str(),
        "moduleId": named.module.as_ref().map(DeviceId::as_str),
        "primaryKey": key("primaryKey"),
        "secondaryKey": key("secondaryKey"),
    })
}

fn refused(named: &Named, error: &Error) -> Value {
    let wire = error.wire();
    json!({
        "id": named.device.as_str(),
        "moduleId": named.module.as_ref().map(DeviceId::as_str),
        "errorCode": wire.hub_name,
        "errorStatus": wire.message,
    })
}
