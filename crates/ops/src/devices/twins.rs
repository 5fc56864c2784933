//! Reads and writes twins: what services ask for, and what devices ask about their own.

use super::digital_twins;
use super::identity::Device;
use super::message::routed::Source;
use super::named::Named;
use super::presence::{Notice, Seat};
use super::registry::{TRIES, hub_of, keeps_changing, live, read, shard};
use super::routing::events::{self, Told};
use super::twin::{Desired, Twin, Wanted};
use crate::control::{failed, put as keep};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use gate::facts::Hub;
use model::trace::{Object, Verb};
use model::{Error, Op};
use serde_json::Value;
use std::sync::Arc;
use store::{CommitError, Expect};

/// What policy judges in a write of a twin: tags and desired properties as they would be stored.
pub(super) async fn objects(
    op: Op,
    input: &Input,
    hub: &Hub,
    env: &Env,
) -> Result<Vec<Object>, Error> {
    let named = Named::of(input)?;
    // Who may not know whether it is there learns that from the gates.
    let Some((mut device, _)) = read(env, &shard(hub)?, &named).await? else {
        return Ok(vec![object(&named, hub, input.body.clone())]);
    };
    change(op, &mut device, &wanted(op, &input.body)?, env)?;
    Ok(vec![object(&named, hub, device.twin.judged())])
}

pub(super) fn object(named: &Named, hub: &Hub, body: Value) -> Object {
    Object {
        kind: "Microsoft.Devices/IotHubs/twins".into(),
        name: named.module.as_ref().unwrap_or(&named.device).as_str().to_owned(),
        id: named.id_at(hub),
        body,
        verb: Verb::Write,
    }
}

fn wanted(op: Op, body: &Value) -> Result<Wanted, Error> {
    match op == Op::PatchDigitalTwin {
        true => digital_twins::wanted(body),
        false => Wanted::read(body),
    }
}

fn change(
    op: Op,
    device: &mut Device,
    wanted: &Wanted,
    env: &Env,
) -> Result<Option<Desired>, Error> {
    match op == Op::ReplaceTwin {
        true => device.twin.replace(wanted, env.now()),
        false => device.twin.write(wanted, env.now()),
    }
}

pub(crate) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    match read(env, &shard(&hub)?, &named).await? {
        Some((device, _)) => answer(env, &hub, &named, &device).await,
        None => Err(named.not_found()),
    }
}

/// `PATCH` merges, `PUT` replaces; the device hears of its desired properties.
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let device = write(permit, &named, &Wanted::read(&input.body)?, input, env).await?;
    answer(env, &*hub_of(permit, env)?, &named, &device).await
}

/// Writes a twin, unless `If-Match` names another version: the identity with its twin then.
pub(super) async fn write(
    permit: &Permit,
    named: &Named,
    wanted: &Wanted,
    input: &Input,
    env: &Env,
) -> Result<Device, Error> {
    let hub = hub_of(permit, env)?;
    let op = permit.operation().op;
    let if_match = input.headers.if_match.as_deref();
    let what = if op == Op::ReplaceTwin { Change::Replaced } else { Change::Updated };
    lay_as(what, env, &hub, named, if_match, |it| change(op, it, wanted, env)).await
}

/// How a twin was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Updated,
    Replaced,
}

/// Changes a twin, unless `if_match` names another version: the identity with its twin then. Its device hears of
/// what `how` says it is to hear of.
pub(super) async fn lay(
    env: &Env,
    hub: &Hub,
    named: &Named,
    if_match: Option<&str>,
    how: impl Fn(&mut Device) -> Result<Option<Desired>, Error>,
) -> Result<Device, Error> {
    lay_as(Change::Updated, env, hub, named, if_match, how).await
}

async fn lay_as(
    what: Change,
    env: &Env,
    hub: &Hub,
    named: &Named,
    if_match: Option<&str>,
    how: impl Fn(&mut Device) -> Result<Option<Desired>, Error>,
) -> Result<Device, Error> {
    let shard = shard(hub)?;
    let is_told = events::are_wanted(env, hub, Source::TwinChangeEvents).await;
    for _ in 0..TRIES {
        let Some((mut device, revision)) = read(env, &shard, named).await? else {
            return Err(named.not_found());
        };
        if if_match.is_some_and(|it| it != "*" && it != device.twin.etag()) {
            return Err(named.is_stale());
        }
        let before = is_told.then(|| device.twin.clone());
        let told = how(&mut device)?;
        match keep_twin(env, &shard, named, &device, revision).await? {
            Kept::Yes => {
                if let Some(before) = before {
                    tell(env, hub, &device, &before, what).await;
                }
                if let Some(desired) = told {
                    let notice = Notice::Desired(Arc::new(desired));
                    env.presence.tell(&hub.uid, &named.key(), notice);
                }
                return Ok(device);
            }
            Kept::Changed => {}
        }
    }
    Err(keeps_changing(named))
}

/// Lets routes know that a twin changed.
pub(super) async fn tell(env: &Env, hub: &Hub, device: &Device, before: &Twin, what: Change) {
    let (what, body) = match what {
        Change::Updated => ("updateTwin", device.twin.since(before)),
        Change::Replaced => ("replaceTwin", device.told_twin()),
    };
    let told = Told {
        source: Source::TwinChangeEvents,
        device: device.device_id.clone(),
        module: device.module_id.clone(),
        generation: device.generation_id.clone(),
        what,
        body,
    };
    events::tell(env, hub, vec![told]).await;
}

async fn answer(env: &Env, hub: &Hub, named: &Named, device: &Device) -> Result<Reply, Error> {
    let shown = device.shown_twin(&live(env, hub, named).await?);
    Ok(Reply::ok(shown).with_header("ETag", format!("\"{}\"", device.twin.etag())))
}

enum Kept {
    Yes,
    /// Somebody was faster: to be read again.
    Changed,
}

async fn keep_twin(
    env: &Env,
    shard: &store::ShardId,
    named: &Named,
    device: &Device,
    revision: u64,
) -> Result<Kept, Error> {
    let change = keep(named.table(), named.key(), Expect::Revision(revision), device)?;
    match env.store.commit(shard, vec![change]).await {
        Ok(_) => Ok(Kept::Yes),
        Err(CommitError::Conflict { .. }) => Ok(Kept::Changed),
        Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => Err(failed(&it)),
    }
}

/// A device's own twin, as devices get it.
pub(crate) async fn own(
    permit: &Permit,
    named: &Named,
    hub: &Hub,
    env: &Env,
) -> Result<Value, Error> {
    debug_assert_eq!(permit.operation().op, Op::GetOwnTwin);
    match read(env, &shard(hub)?, named).await? {
        Some((device, _)) => Ok(device.twin.own()),
        None => Err(named.not_found()),
    }
}

/// Merges what a device reports of itself: the version of its reported properties then; none where another
/// session of the device has begun, which may have reported something newer.
///
/// # Errors
/// [`Error::DeviceInvalid`] with the place that breaks a limit; nothing was stored then.
pub(crate) async fn report(
    permit: &Permit,
    named: &Named,
    hub: &Hub,
    patch: &Value,
    seat: &Seat,
    env: &Env,
) -> Result<Option<u64>, Error> {
    debug_assert_eq!(permit.operation().op, Op::ReportProperties);
    let shard = shard(hub)?;
    let is_told = events::are_wanted(env, hub, Source::TwinChangeEvents).await;
    for _ in 0..TRIES {
        let Some((mut device, revision)) = read(env, &shard, named).await? else {
            return Err(named.not_found());
        };
        // INVARIANT: asked behind the read. What a later session has written since then is a conflict.
        if seat.is_taken_over() {
            return Ok(None);
        }
        let before = is_told.then(|| device.twin.clone());
        let version = device.twin.report(patch, env.now())?;
        match keep_twin(env, &shard, named, &device, revision).await? {
            Kept::Yes => {
                if let Some(before) = before {
                    tell(env, hub, &device, &before, Change::Updated).await;
                }
                return Ok(Some(version));
            }
            Kept::Changed => {}
        }
    }
    Err(keeps_changing(named))
}

/// Keeps something of a device for when it comes back: `kept` says whether it was anything new.
pub(crate) async fn remember(
    env: &Env,
    named: &Named,
    hub: &Hub,
    kept: impl Fn(&mut Device) -> bool,
) -> Result<(), Error> {
    let shard = shard(hub)?;
    for _ in 0..TRIES {
        let Some((mut device, revision)) = read(env, &shard, named).await? else {
            return Err(named.not_found());
        };
        if !kept(&mut device) {
            return Ok(());
        }
        match keep_twin(env, &shard, named, &device, revision).await? {
            Kept::Yes => return Ok(()),
            Kept::Changed => {}
        }
    }
    Err(keeps_changing(named))
}
