//! Security policies: what each device of a hub is held to, one document a device; and the hub's settings for the
//! devices that have none.
//!
//! What a body may say is in `security/body.rs`, the settings are in `security/settings.rs`. What applies to a device
//! that proves itself is read in `security/applied.rs`; whether a call keeps to it is decided in `gate/src/security.rs`.

mod applied;
mod body;
mod rates;
mod settings;

pub(crate) use applied::{applied, certificate_began};
pub use rates::Rates;
pub(crate) use settings::{
    SettingsDocument, get as get_settings, list as list_settings, put as put_settings,
};

use super::hubs::{self, etag, first_version};
use super::journal::{self, Entry, Happened};
use super::named::Named;
use super::registry::{TRIES, keeps_changing, read, shard};
use crate::control::{self, delete as remove, failed, parse, put as keep, unread};
use crate::decisions;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::resources::{check_etag, no_resource};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gate::Permit;
use gate::facts::Hub;
use model::security::SecurityPolicy;
use model::{DeviceId, Error, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Change, CommitError, Expect, Scan, ShardId, Write, tables};

/// Most policies of a page.
const PAGE_MAX: usize = 1_000;

/// A device's policy as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicyDocument {
    policy: SecurityPolicy,
    /// Grows with every write; the etag is made of it.
    version: u64,
}

impl PolicyDocument {
    fn shown(&self, hub: &Hub, device: &str) -> Value {
        json!({
            "id": format!("{}/securityPolicies/{device}", hub.scope),
            "name": device,
            "type": "Microsoft.Devices/IotHubs/securityPolicies",
            "etag": etag(self.version),
            "properties": self.policy,
        })
    }
}

/// Whose policy a path names.
struct Place {
    hub: Arc<Hub>,
    shard: ShardId,
    named: Named,
}

impl Place {
    /// # Errors
    /// `ResourceNotFound` for the hub; [`Error::DeviceIdInvalid`].
    fn of(input: &Input, env: &Env) -> Result<Self, Error> {
        let hub = hub_of(input, env)?;
        Ok(Self { shard: shard(&hub)?, hub, named: Named::parse(input.param("device"), None)? })
    }

    fn device(&self) -> &str {
        self.named.device.as_str()
    }

    /// The session of the device and those of its modules are to look at the policy.
    fn tell(&self, env: &Env) {
        env.presence.changed(&self.hub.uid, self.device());
        env.presence.changed_modules(&self.hub.uid, self.device());
    }

    fn no_device(&self) -> Error {
        let (hub, device) = (self.hub.scope.name(), self.device());
        Error::NotFound {
            code: "DeviceNotFound",
            message: format!(
                "the hub `{hub}` has no device `{device}`, and a security policy is of a device that is there; register \
                 the device first: `az iot hub device-identity create --hub-name {hub} --device-id {device}`"
            ),
        }
    }
}

fn hub_of(input: &Input, env: &Env) -> Result<Arc<Hub>, Error> {
    let facts = env.facts.load();
    let scope = hubs::scope_of(input, &facts)?;
    facts.hub(&scope).cloned().ok_or_else(|| no_resource(&scope))
}

async fn stored(
    env: &Env,
    shard: &ShardId,
    device: &DeviceId,
) -> Result<Option<(PolicyDocument, u64)>, Error> {
    control::get_in(env, shard, tables::SECURITY_POLICIES, device.as_str()).await
}

/// The policy at a scope as an answer shows it, where there is one.
pub(crate) async fn current(env: &Env, scope: &Scope) -> Result<Option<Value>, Error> {
    let above = scope.as_str().rsplitn(3, '/').last().and_then(|it| Scope::parse(it).ok());
    let hub = above.and_then(|it| env.facts.load().hub(&it).cloned());
    let (Some(hub), Ok(device)) = (hub, DeviceId::parse(scope.name())) else { return Ok(None) };
    let found = stored(env, &shard(&hub)?, &device).await?;
    Ok(found.map(|(it, _)| it.shown(&hub, device.as_str())))
}

/// `PUT`: a device has one policy, and this is the whole of it.
///
/// # Errors
/// `DeviceNotFound`; the place in the body that breaks a rule; [`Error::Stale`].
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let place = Place::of(input, env)?;
    let policy = body::policy(&input.body)?;
    for _ in 0..TRIES {
        let Some((device, _)) = read(env, &place.shard, &place.named).await? else {
            return Err(place.no_device());
        };
        let former = stored(env, &place.shard, &place.named.device).await?;
        check_etag(input, former.as_ref().map(|(it, _)| etag(it.version)).as_deref())?;
        let (version, expect) = match &former {
            Some((it, revision)) => (it.version.saturating_add(1), Expect::Revision(*revision)),
            None => (first_version(env.now()), Expect::Absent),
        };
        let document = PolicyDocument { policy: policy.clone(), version };
        let table = tables::SECURITY_POLICIES;
        let changes = vec![
            // Its deletion takes the policy along, so that the one must see the other.
            check(tables::DEVICES, &place.named.device, Expect::Present),
            keep(table, place.device(), expect, &document)?,
        ];
        match env.store.commit(&place.shard, changes).await {
            Ok(_) => {}
            Err(CommitError::Conflict { .. }) => continue,
            Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => return Err(failed(&it)),
        }
        done(permit, env, &place, Happened::SecurityPolicyWritten, &device).await?;
        let shown = document.shown(&place.hub, place.device());
        return Ok(if former.is_some() { Reply::ok(shown) } else { Reply::created(shown) });
    }
    Err(keeps_changing(&place.named))
}

/// # Errors
/// `DeviceNotFound`; `ResourceNotFound` where the device has no policy.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let place = Place::of(input, env)?;
    if let Some((found, _)) = stored(env, &place.shard, &place.named.device).await? {
        return Ok(Reply::ok(found.shown(&place.hub, place.device())));
    }
    match read(env, &place.shard, &place.named).await? {
        Some(_) => Err(no_resource(&input.scope)),
        None => Err(place.no_device()),
    }
}

/// By device id, `$top` at a time; `nextLink` leads to the rest.
///
/// # Errors
/// `ResourceNotFound` for the hub; [`Error::Invalid`] for `$top` and `$skipToken`.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(input, env)?;
    let limit = match input.query("$top") {
        None => PAGE_MAX,
        Some(text) => {
            text.parse().ok().filter(|it| (1..=PAGE_MAX).contains(it)).ok_or_else(|| {
                Error::invalid("$top", format!("a number from 1 to {PAGE_MAX} is expected"))
            })?
        }
    };
    let after = input.query("$skipToken").map(|token| {
        let key = URL_SAFE_NO_PAD.decode(token).ok().and_then(|it| String::from_utf8(it).ok());
        key.ok_or_else(|| Error::invalid("$skipToken", "send the `nextLink` of a page as it is"))
    });
    let scan = Scan { prefix: String::new(), after: after.transpose()?, limit };
    let page = env.store.scan(&shard(&hub)?, tables::SECURITY_POLICIES, scan).await;
    let page = page.map_err(|it| unread(&it))?;
    let shown = page.iter().map(|(key, it)| {
        let document: PolicyDocument = parse(tables::SECURITY_POLICIES, key, it)?;
        Ok(document.shown(&hub, key))
    });
    let mut body = json!({ "value": shown.collect::<Result<Vec<Value>, Error>>()? });
    if let Some((last, _)) = page.last().filter(|_| page.len() == limit) {
        let link = format!(
            "{}{}?api-version={}&$top={limit}&$skipToken={}",
            env.settings.origin,
            input.path,
            input.query("api-version").unwrap_or(""),
            URL_SAFE_NO_PAD.encode(last)
        );
        model::json::set(&mut body, "nextLink", json!(link));
    }
    Ok(Reply::ok(body))
}

/// Takes a policy away. One that is not there is deleted already.
///
/// # Errors
/// [`Error::Stale`]; `ResourceNotFound` for the hub.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let place = Place::of(input, env)?;
    for _ in 0..TRIES {
        let Some((former, revision)) = stored(env, &place.shard, &place.named.device).await? else {
            return Ok(Reply::empty(204));
        };
        check_etag(input, Some(&etag(former.version)))?;
        let Some((device, _)) = read(env, &place.shard, &place.named).await? else {
            continue;
        };
        let expect = Expect::Revision(revision);
        let change = remove(tables::SECURITY_POLICIES, place.device(), expect);
        match env.store.commit(&place.shard, vec![change]).await {
            Ok(_) => {}
            Err(CommitError::Conflict { .. }) => continue,
            Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => return Err(failed(&it)),
        }
        done(permit, env, &place, Happened::SecurityPolicyDeleted, &device).await?;
        return Ok(Reply::empty(200));
    }
    Err(keeps_changing(&place.named))
}

/// A policy was written or deleted: the device's sessions hear of it, and it is on record.
async fn done(
    permit: &Permit,
    env: &Env,
    place: &Place,
    event: Happened,
    device: &super::identity::Device,
) -> Result<(), Error> {
    place.tell(env);
    journal::note(env, &place.hub, vec![Entry::of_identity(event, device, permit)]).await;
    decisions::keep_change(env, permit).await
}

/// What the deletion of a device has to change of its policy, and whether it had one. Without one it makes sure that
/// none is written meanwhile.
pub(super) async fn deletion(
    env: &Env,
    shard: &ShardId,
    device: &DeviceId,
) -> Result<(Change, bool), Error> {
    Ok(match stored(env, shard, device).await? {
        Some((_, revision)) => {
            let expect = Expect::Revision(revision);
            (remove(tables::SECURITY_POLICIES, device.as_str(), expect), true)
        }
        None => (check(tables::SECURITY_POLICIES, device, Expect::Absent), false),
    })
}

fn check(table: store::Table, device: &DeviceId, expect: Expect) -> Change {
    Change { table, key: device.as_str().to_owned(), expect, write: Write::Check }
}
