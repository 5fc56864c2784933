//! Many devices in one call: up to 100 entries, each with its own verdict.

use super::identity::built;
use super::named::Named;
use super::registry::{deletion, device_id, hub_of, read, shard};
use crate::control::{failed, put as keep};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::json::text;
use model::{DeviceId, Error};
use serde_json::{Value, json};
use store::{Change, CommitError, Expect, ShardId, tables};

/// Most devices in a bulk call.
const BULK_MAX: usize = 100;
/// How often a bulk call is tried anew when devices changed under it.
const BULK_TRIES: usize = 5;

/// The entries that create or change a device, each with its id and its place in the call.
pub(super) fn written(body: &Value) -> Result<Vec<(Named, &Value, String)>, Error> {
    let mut found = Vec::new();
    for (index, entry) in entries(body)?.iter().enumerate() {
        let id = id_of(entry, index)?;
        if Mode::of(entry, index)?.writes() {
            found.push((id, entry, format!("[{index}].")));
        }
    }
    Ok(found)
}

/// The devices that entries delete.
pub(super) fn deleted(body: &Value) -> Result<Vec<Named>, Error> {
    let mut found = Vec::new();
    for (index, entry) in entries(body)?.iter().enumerate() {
        if !Mode::of(entry, index)?.writes() {
            found.push(id_of(entry, index)?);
        }
    }
    Ok(found)
}

fn id_of(entry: &Value, index: usize) -> Result<Named, Error> {
    DeviceId::parse(named(entry))
        .map(Named::device)
        .map_err(|it| Error::DeviceInvalid { at: format!("[{index}].id"), message: it.to_string() })
}

/// The device that an entry is about, in either of the names that clients use.
fn named(entry: &Value) -> &str {
    text(entry, &["id"]).or_else(|| text(entry, &["deviceId"])).unwrap_or("")
}

/// What a bulk entry asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Create,
    CreateOrUpdate,
    CreateOrUpdateIfMatch,
    Update,
    UpdateIfMatch,
    Delete,
    DeleteIfMatch,
}

impl Mode {
    fn of(entry: &Value, index: usize) -> Result<Self, Error> {
        let word = text(entry, &["importMode"]).unwrap_or("createOrUpdate");
        match word.to_ascii_lowercase().as_str() {
            "create" => Ok(Self::Create),
            "createorupdate" => Ok(Self::CreateOrUpdate),
            "createorupdateifmatchetag" => Ok(Self::CreateOrUpdateIfMatch),
            "update" => Ok(Self::Update),
            "updateifmatchetag" => Ok(Self::UpdateIfMatch),
            "delete" => Ok(Self::Delete),
            "deleteifmatchetag" => Ok(Self::DeleteIfMatch),
            _ => Err(Error::DeviceInvalid {
                at: format!("[{index}].importMode"),
                message: format!(
                    "`{}` is not a mode; modes are create, update, updateIfMatchETag, createOrUpdate, createOrUpdateIfMatchETag, delete and deleteIfMatchETag",
                    word.escape_debug()
                ),
            }),
        }
    }

    const fn writes(self) -> bool {
        !matches!(self, Self::Delete | Self::DeleteIfMatch)
    }

    const fn matches_etag(self) -> bool {
        matches!(self, Self::UpdateIfMatch | Self::DeleteIfMatch | Self::CreateOrUpdateIfMatch)
    }
}

/// Up to 100 entries, each with its own verdict. Good ones are applied together; the answer lists the rest.
pub(crate) async fn bulk(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let all = entries(&input.body)?;
    for _ in 0..BULK_TRIES {
        let mut changes = Vec::new();
        let mut errors = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for (index, entry) in all.iter().enumerate() {
            let name = named(entry);
            let outcome = match seen.insert(name.to_owned()) {
                true => entry_change(entry, index, &shard, env).await,
                false => Err(Error::DeviceInvalid {
                    at: format!("[{index}].id"),
                    message: "the device stands twice in the call".into(),
                }),
            };
            match outcome {
                Ok(change) => changes.extend(change),
                Err(error) => errors.push(entry_error(name, &error)),
            }
        }
        match env.store.commit(&shard, changes).await {
            // Those of entries that failed have not changed; to look is all that it costs them.
            Ok(_) => seen.iter().for_each(|it| {
                env.presence.changed(&hub.uid, it);
                env.presence.changed_modules(&hub.uid, it);
            }),
            Err(CommitError::Conflict { .. }) => continue,
            Err(error @ (CommitError::ShardGone | CommitError::Store(_))) => {
                return Err(failed(&error));
            }
        }
        let is_successful = errors.is_empty();
        let result = json!({ "isSuccessful": is_successful, "errors": errors, "warnings": [] });
        return match is_successful {
            true => Ok(Reply::ok(result)),
            false => Err(Error::BulkFailed { result }),
        };
    }
    Err(Error::Unavailable {
        message: "the devices of the call kept changing under it; repeat it".into(),
    })
}

fn entry_error(id: &str, error: &Error) -> Value {
    let wire = error.wire();
    json!({ "deviceId": id, "errorCode": wire.hub_name, "errorStatus": wire.message, "moduleId": null, "operation": null })
}

async fn entry_change(
    entry: &Value,
    index: usize,
    shard: &ShardId,
    env: &Env,
) -> Result<Vec<Change>, Error> {
    let mode = Mode::of(entry, index)?;
    let id = device_id(named(entry))?;
    let its = Named::device(id.clone());
    let former = read(env, shard, &its).await?;
    let tag = text(entry, &["eTag"]).map(|it| it.trim_matches('"'));
    let expect = match (&former, mode) {
        (Some(_), Mode::Create) => return Err(Error::DeviceAlreadyExists(id)),
        (None, Mode::Update | Mode::UpdateIfMatch | Mode::Delete | Mode::DeleteIfMatch) => {
            return Err(Error::DeviceNotFound(id));
        }
        (None, Mode::Create | Mode::CreateOrUpdate | Mode::CreateOrUpdateIfMatch) => Expect::Absent,
        (Some((device, _)), _)
            if mode.matches_etag() && tag != Some(device.etag().as_str()) && tag != Some("*") =>
        {
            return Err(Error::DeviceStale(id));
        }
        (Some((_, revision)), _) => Expect::Revision(*revision),
    };
    if mode.writes() {
        let place = format!("[{index}].");
        let device = built(&its, entry, former.as_ref().map(|(it, _)| it), env, &place)?;
        return Ok(vec![keep(tables::DEVICES, its.key(), expect, &device)?]);
    }
    let revision = former.map_or(0, |(_, revision)| revision);
    deletion(env, shard, &its, revision).await.map(|(changes, _)| changes)
}

fn entries(body: &Value) -> Result<&Vec<Value>, Error> {
    let entries = body.as_array().filter(|it| !it.is_empty()).ok_or_else(|| {
        Error::DeviceInvalid { at: "body".into(), message: "a list of devices is required".into() }
    })?;
    match entries.len() {
        0..=BULK_MAX => Ok(entries),
        _ => Err(Error::TooManyDevices { limit: BULK_MAX }),
    }
}
