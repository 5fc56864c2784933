//! Many devices and modules in one call: up to 100 entries, each with its own verdict. The good ones are applied
//! together, in one commit; what no commit can hold is refused as a whole.
//!
//! What an entry is, is in `bulk/entry.rs`.

mod entry;

use super::identity::Device;
use super::journal::{self, Happened};
use super::named::Named;
use super::presence::Notice;
use super::registry::{MODULES_MAX, deletion, hub_of, modules_of, object, read, shard};
use super::twin::{Desired, Twin};
use super::twins;
use crate::control::{failed, put as keep};
use crate::env::Env;
use crate::input::{Input, Reply};
use entry::{Entry, Mode, Written};
use gate::Permit;
use gate::facts::Hub;
use model::error::HubFault;
use model::operations::operation;
use model::trace::{Object, Verb};
use model::{Error, Op, Operation};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{
    COMMIT_BYTES_MAX, COMMIT_CHANGES_MAX, Change, CommitError, Expect, ShardId, StoreError,
};

/// Most entries in a bulk call.
const BULK_MAX: usize = 100;
/// How often a bulk call is tried anew when devices changed under it.
const BULK_TRIES: usize = 5;

fn entries(body: &Value) -> Result<Vec<Entry<'_>>, Error> {
    let entries = body.as_array().filter(|it| !it.is_empty()).ok_or_else(|| {
        Error::DeviceInvalid { at: "body".into(), message: "a list of devices is required".into() }
    })?;
    match entries.len() {
        0..=BULK_MAX => entries.iter().enumerate().map(|(at, it)| Entry::read(it, at)).collect(),
        _ => Err(Error::TooManyDevices { limit: BULK_MAX }),
    }
}

/// The row by which a bulk call is judged: one that touches twins is no way round the right to write them.
///
/// # Errors
/// [`Error::DeviceInvalid`] with the place that cannot be read.
pub(super) fn judged(body: &Value) -> Result<&'static Operation, Error> {
    let has_twins = entries(body)?.iter().any(|it| it.twin.is_some());
    Ok(operation(if has_twins { Op::BulkDevicesWithTwins } else { Op::BulkDevices }))
}

/// What policy judges: each identity and twin as it would be stored and, where deletions are guarded, each
/// that would be deleted.
pub(super) async fn objects(
    body: &Value,
    hub: &Hub,
    guards_deletions: bool,
    env: &Env,
) -> Result<Vec<Object>, Error> {
    let shard = shard(hub)?;
    let mut found = Vec::new();
    for entry in entries(body)? {
        if entry.mode.deletes() && !guards_deletions {
            continue;
        }
        let named = &entry.named;
        let former = read(env, &shard, named).await?.map(|(it, _)| it);
        if entry.mode.deletes() {
            let body = former.map_or_else(|| json!({}), |it| it.judged());
            found.push(object(named, hub, body, Verb::Delete));
            continue;
        }
        let Some(Written { device, .. }) = entry.written(former.as_ref(), env)? else { continue };
        if entry.mode.writes_identity() {
            found.push(object(named, hub, device.judged(), Verb::Write));
        }
        if entry.twin.is_some() {
            found.push(twins::object(named, hub, device.twin.judged()));
        }
    }
    Ok(found)
}

/// What a call comes to, before it is committed.
#[derive(Default)]
struct Outcome {
    changes: Vec<Change>,
    errors: Vec<Value>,
    /// Whose identity is written or deleted: their sessions are to look at it.
    touched: Vec<String>,
    told: Vec<(String, Desired)>,
    /// The keys of what is made in this call.
    made: BTreeSet<String>,
    /// What happens to identities.
    happens: Vec<(Happened, Device)>,
    /// The twins that change, as they were, and whose they are.
    twins: Vec<(Twin, Device)>,
}

/// Up to 100 entries, each with its own verdict. Good ones are applied together; the answer lists the rest.
pub(crate) async fn bulk(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let all = entries(&input.body)?;
    for _ in 0..BULK_TRIES {
        let Outcome { changes, errors, touched, told, made, happens, twins: changed } =
            outcome(&all, &shard, env).await?;
        if changes.len() > COMMIT_CHANGES_MAX {
            return Err(too_large(changes.len()));
        }
        let _places = match made.len() {
            0 => None,
            count => env.limits.place(&hub, count, &shard, env).await?,
        };
        let count = changes.len();
        match env.store.commit(&shard, changes).await {
            Ok(_) => {}
            Err(CommitError::Conflict { .. }) => continue,
            Err(CommitError::Store(StoreError::CommitTooLarge { .. })) => {
                return Err(too_large(count));
            }
            Err(error @ (CommitError::ShardGone | CommitError::Store(_))) => {
                return Err(failed(&error));
            }
        }
        touched.iter().for_each(|it| {
            env.presence.changed(&hub.uid, it);
            env.presence.changed_modules(&hub.uid, it);
        });
        told.into_iter().for_each(|(key, desired)| {
            env.presence.tell(&hub.uid, &key, Notice::Desired(Arc::new(desired)));
        });
        let entry =
            |(event, device): &(_, Device)| journal::Entry::of_identity(*event, device, permit);
        journal::note(env, &hub, happens.iter().map(entry).collect()).await;
        for (before, device) in &changed {
            twins::tell(env, &hub, device, before, twins::Change::Updated).await;
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

/// A device that is deleted takes its modules and messages with it, so that a hundred may be too many.
fn too_large(changes: usize) -> Error {
    Error::hub(
        HubFault::TooManyChanges,
        format!(
            "the call comes to {changes} changes with the modules, messages and security policies of devices that it deletes; one call \
             takes at most {COMMIT_CHANGES_MAX} and {COMMIT_BYTES_MAX} bytes: send its entries in smaller calls"
        ),
    )
}

async fn outcome(all: &[Entry<'_>], shard: &ShardId, env: &Env) -> Result<Outcome, Error> {
    let mut so_far = Outcome::default();
    let mut seen = BTreeSet::new();
    let gone: BTreeSet<String> = all
        .iter()
        .filter(|it| it.mode.deletes() && it.named.module.is_none())
        .map(|it| it.named.key())
        .collect();
    for entry in all {
        let goes_anyway =
            entry.named.module.is_some() && gone.contains(entry.named.device.as_str());
        let applied = match seen.insert(entry.named.key()) && !goes_anyway {
            true => apply(entry, shard, env, &mut so_far).await,
            false => Err(Error::hub(
                HubFault::DefinedTwice,
                format!(
                    "`{}` stands twice in the call, or is deleted with its device",
                    entry.named
                ),
            )),
        };
        if let Err(error) = applied {
            if matches!(error, Error::Unavailable { .. } | Error::Internal { .. }) {
                return Err(error);
            }
            so_far.errors.push(entry_error(entry, &error));
        }
    }
    Ok(so_far)
}

async fn apply(
    entry: &Entry<'_>,
    shard: &ShardId,
    env: &Env,
    so_far: &mut Outcome,
) -> Result<(), Error> {
    let named = &entry.named;
    let former = read(env, shard, named).await?;
    entry.check(former.as_ref().map(|(it, _)| it))?;
    let revision = former.as_ref().map(|(_, revision)| *revision);
    if entry.mode.deletes()
        && let Some(former) = former
    {
        let (changes, gone) = deletion(env, shard, named, former).await?;
        so_far.changes.extend(changes);
        so_far.touched.extend(gone.iter().map(|(_, it)| it.key()));
        so_far.happens.extend(gone);
        return Ok(());
    }
    if former.is_none() && named.module.is_some() {
        check_room(named, shard, env, so_far).await?;
    }
    let written = entry.written(former.as_ref().map(|(it, _)| it), env)?;
    let Some(Written { device, told }) = written else { return Err(named.not_found()) };
    let expect = revision.map_or(Expect::Absent, Expect::Revision);
    so_far.changes.push(keep(named.table(), named.key(), expect, &device)?);
    so_far.told.extend(told.map(|it| (named.key(), it)));
    if let Some((former, _)) = former.as_ref().filter(|(it, _)| it.twin != device.twin) {
        so_far.twins.push((former.twin.clone(), device.clone()));
    }
    if former.is_none() {
        so_far.made.insert(named.key());
    }
    if entry.mode.writes_identity() {
        so_far.touched.push(named.key());
        let event = if former.is_none() { Happened::Created } else { Happened::Updated };
        so_far.happens.push((event, device));
    }
    Ok(())
}

/// A module needs its device, from before or from an entry above, and a device has so many and no more.
async fn check_room(
    named: &Named,
    shard: &ShardId,
    env: &Env,
    so_far: &Outcome,
) -> Result<(), Error> {
    let device = Named::device(named.device.clone());
    if !so_far.made.contains(&device.key()) && read(env, shard, &device).await?.is_none() {
        return Err(device.not_found());
    }
    let prefix = format!("{}/", named.device);
    let new = so_far.made.iter().filter(|it| it.starts_with(&prefix)).count();
    match modules_of(env, shard, &named.device).await?.len() + new < MODULES_MAX {
        true => Ok(()),
        false => Err(named.has_no_room(MODULES_MAX)),
    }
}

fn entry_error(entry: &Entry<'_>, error: &Error) -> Value {
    let wire = error.wire();
    json!({
        "deviceId": entry.named.device.as_str(),
        "moduleId": entry.named.module.as_ref().map(|it| it.as_str()),
        "errorCode": wire.hub_name,
        "errorStatus": wire.message,
        "operation": operation_of(entry.mode),
    })
}

/// What an entry tried, in the word of the service API.
const fn operation_of(mode: Mode) -> &'static str {
    match mode {
        Mode::Create => "create",
        Mode::CreateOrUpdate | Mode::CreateOrUpdateIfMatch => "createOrUpdate",
        Mode::Update | Mode::UpdateIfMatch => "update",
        Mode::UpdateTwin | Mode::UpdateTwinIfMatch => "updateTwin",
        Mode::Delete | Mode::DeleteIfMatch => "delete",
    }
}
