//! Provisioning services (DPS): made, changed, shown and deleted, with their identity and their keys.
//!
//! What a body may say is in `services_body.rs`, its linked hubs in `links.rs`. Enrollments and
//! registrations lie in a shard of their own, named by the service's uid; deleting the service drops it,
//! see `resources/long_running.rs`. Its system-assigned identity is a service principal of the
//! directory, made and removed in the same commit as the switch; roles that it held stay, orphaned.

use super::links;
use super::services_body::{self as body, Place};
use crate::call::may_see;
use crate::certificates::{self, CertificateDocument};
use crate::control;
use crate::devices::addresses;
use crate::devices::hubs::{etag, first_version, new_uid, set_place};
use crate::devices::names::{PROVISIONING_SERVICES, host_name};
use crate::entra::principals;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::managed_identity::Identity;
use crate::managed_identity::attached::Identities;
use crate::network;
use crate::resources::{
    Cascade, check_etag, container_of, group_of, long_running, no_resource, scope_as_made,
};
use crate::shared_access::{self, PolicyDocument};
use gate::facts::{Allocation, Dps, SharedAccess};
use gate::{Facts, Permit};
use model::operations::Right;
use model::{Error, Op, Scope};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Change, Expect, tables};

/// What every new provisioning service has.
/// Source: Azure documentation, "Control access to Azure IoT Hub Device Provisioning Service".
const DEFAULTS: [(&str, &[Right]); 1] = [("provisioningserviceowner", Right::DPS)];
/// How often an id scope is drawn before the server gives up. Two are the same once in four billion.
const DRAWS_MAX: usize = 16;

/// A provisioning service as it is kept. It holds keys: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DpsDocument {
    /// As ARM shows it, but with the connection strings of its links whole and without its host names.
    pub(crate) resource: Value,
    /// Names its shard. Sorts by age, and is never used again.
    pub(crate) uid: String,
    /// The loopback address that its names lead to.
    pub(crate) address: String,
    /// What devices name it by: `0ne` and 8 hexadecimal digits.
    pub(crate) id_scope: String,
    /// Grows with every write; the etag is made of it.
    pub(crate) version: u64,
    pub(crate) policies: Vec<PolicyDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<Identity>,
    /// The CAs that enrollments may refer to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) certificates: Vec<CertificateDocument>,
}

impl DpsDocument {
    fn show(&self, env: &Env, api_version: &str) -> Value {
        let port = env.settings.hub_port;
        body::show(&self.resource, &host_name(&self.address, port), port, api_version)
    }
}

/// Brings a provisioning service's document into the facts.
///
/// # Errors
/// Says what cannot be read, and repeats no key.
pub(crate) fn change_facts(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        let scope = Scope::parse(key).map_err(|it| it.to_string())?;
        facts.remove_dps(&scope);
        return Ok(());
    };
    let document: DpsDocument = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    let text = |path: &[&str]| model::json::text(&document.resource, path);
    let property = |name: &str| model::json::at(&document.resource, &["properties", name]);
    let links = property("iotHubs").and_then(Value::as_array);
    facts.put_dps(Dps {
        location: text(&["location"]).unwrap_or("").to_owned(),
        access: SharedAccess {
            is_disabled: property("disableLocalAuth").and_then(Value::as_bool).unwrap_or(false),
            is_disabled_for_devices: false,
            is_disabled_for_modules: false,
            off: None,
            policies: shared_access::facts_of(&document.policies)?,
        },
        links: links.into_iter().flatten().map(links::facts_of).collect::<Result<_, _>>()?,
        authorities: certificates::facts_of(&document.certificates)?,
        network: network::facts_of(&document.resource)?,
        allocation: match property("allocationPolicy").and_then(Value::as_str) {
            Some("GeoLatency") => Allocation::GeoLatency,
            Some("Static") => Allocation::Static,
            Some(_) | None => Allocation::Hashed,
        },
        uid: document.uid,
        host: document.address,
        id_scope: document.id_scope,
        identity: document.identity.map(|it| it.principal_id),
        user_assigned: Identities::of(Some(&document.resource)).principals(),
        scope: scope_as_made(key, &document.resource)?,
    });
    Ok(())
}

/// The provisioning service that the path names, with the revision of its document.
///
/// # Errors
/// `SubscriptionNotFound`, `ResourceGroupNotFound` or `ResourceNotFound`.
pub(crate) async fn named(input: &Input, env: &Env) -> Result<(DpsDocument, u64), Error> {
    let scope = scope_of(input, &env.facts.load())?;
    stored(env, &scope).await?.ok_or_else(|| no_resource(&scope))
}

/// Keeps what was changed in a provisioning service that is there, and lets the gates know.
///
/// # Errors
/// [`Error::Stale`] where somebody else changed it meanwhile.
pub(crate) async fn save(
    permit: &Permit,
    env: &Env,
    dps: &DpsDocument,
    revision: u64,
) -> Result<(), Error> {
    let scope = scope_of_document(dps)?;
    let change = control::put(tables::RESOURCES, scope.key(), Expect::Revision(revision), dps)?;
    control::commit(permit, env, vec![change]).await?;
    Ok(())
}

/// In the casing that the provisioning service was made with.
pub(crate) fn scope_of_document(dps: &DpsDocument) -> Result<Scope, Error> {
    let id = model::json::text(&dps.resource, &["id"]).unwrap_or("");
    Scope::parse(id).map_err(|it| Error::Internal { message: it.to_string() })
}

/// The document at `scope`, where there is one, with its revision.
pub(crate) async fn stored(env: &Env, scope: &Scope) -> Result<Option<(DpsDocument, u64)>, Error> {
    control::get(env, tables::RESOURCES, &scope.key()).await
}

/// The provisioning service at `scope` as an answer shows it, where it exists: what a patch is laid over.
pub(crate) async fn current(env: &Env, scope: &Scope) -> Result<Option<Value>, Error> {
    Ok(stored(env, scope).await?.map(|(dps, _)| dps.show(env, "")))
}

/// The provisioning service as a `PUT` of the body would store it, for policy to judge, see
/// [`crate::devices::hubs::as_stored`]. `None` where the body breaks a rule.
pub(crate) async fn as_stored(
    env: &Env,
    scope: &Scope,
    body: &Value,
) -> Result<Option<Value>, Error> {
    let former = stored(env, scope).await?;
    let former = former.as_ref().map(|(it, _)| it);
    let facts = &env.facts.load();
    let resource = former.map(|it| &it.resource);
    let Ok(identities) = Identities::of(resource).wanted(body, facts) else { return Ok(None) };
    let place = Place {
        scope,
        id_scope: former.map_or("", |it| it.id_scope.as_str()),
        etag: "",
        identity: &identities.shown(former.and_then(|it| it.identity), env.settings.tenant),
        facts,
    };
    Ok(body::read(body, resource, &place).ok())
}

/// The changes that take a provisioning service to another group, and its identity with it. Its shard, its
/// address, its id scope, its keys and its links stay.
///
/// # Errors
/// `ResourceNotFound`.
pub(crate) async fn changes_to_move(
    env: &Env,
    from: &Scope,
    to: &Scope,
) -> Result<Vec<Change>, Error> {
    let (mut dps, revision) = stored(env, from).await?.ok_or_else(|| no_resource(from))?;
    dps.version = dps.version.saturating_add(1);
    set_place(&mut dps.resource, to, &etag(dps.version));
    let mut changes = vec![
        control::delete(tables::RESOURCES, from.key(), Expect::Revision(revision)),
        control::put(tables::RESOURCES, to.key(), Expect::Absent, &dps)?,
    ];
    if let Some(it) = dps.identity {
        changes.push(principals::change_moved_identity(env, it.principal_id, to).await?);
    }
    Ok(changes)
}

/// The scope of the provisioning service that the path names, whether it exists or not.
fn scope_of(input: &Input, facts: &Facts) -> Result<Scope, Error> {
    let group = group_of(input, facts)?;
    let below = format!("providers/Microsoft.Devices/provisioningServices/{}", input.param("dps"));
    Ok(group.join(&below))
}

fn api_version(input: &Input) -> &str {
    input.query("api-version").unwrap_or("")
}

/// `PUT` and `PATCH` of a provisioning service. The body of a `PATCH` is merged already.
///
/// # Errors
/// The place in the body that breaks a rule; `NameNotAvailable`; `DpsQuotaExceeded` where no address is
/// free; [`Error::Stale`]; [`Error::Unavailable`] where the server cannot listen at its address. Nothing
/// was changed then.
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let scope = scope_of(input, &facts)?;
    PROVISIONING_SERVICES.check_rules(scope.name()).map_err(|it| Error::invalid("name", it))?;
    let stored = stored(env, &scope).await?;
    let etag = stored.as_ref().and_then(|(it, _)| model::json::text(&it.resource, &["etag"]));
    check_etag(input, etag)?;
    match stored {
        Some((dps, revision)) => update(permit, input, env, &facts, dps, revision).await,
        None if permit.operation().op == Op::PatchDps => Err(no_resource(&scope)),
        None => create(permit, input, env, &facts, scope).await,
    }
}

async fn create(
    permit: &Permit,
    input: &Input,
    env: &Env,
    facts: &Facts,
    scope: Scope,
) -> Result<Reply, Error> {
    PROVISIONING_SERVICES.check_free(facts, scope.name())?;
    let now = env.now();
    let blank = DpsDocument {
        resource: Value::Null,
        uid: new_uid(now, env),
        address: addresses::lowest_free(facts, &env.settings.loopback_net, "DpsQuotaExceeded")?,
        id_scope: new_id_scope(facts, env)?,
        version: first_version(now),
        policies: shared_access::made(&DEFAULTS, &|| shared_access::new_key(env)),
        identity: None,
        certificates: Vec::new(),
    };
    let (dps, mut changes) = composed(input, env, facts, &scope, blank)?;
    changes.push(control::put(tables::RESOURCES, scope.key(), Expect::Absent, &dps)?);
    // Before the commit: what cannot be reached must not be there.
    env.open_host(&dps.address).await.map_err(|it| Error::Unavailable {
        message: format!(
            "the server cannot listen at `{}`, so no provisioning service was made: {it}",
            dps.address
        ),
    })?;
    control::commit(permit, env, changes).await?;
    Ok(Reply::created(dps.show(env, api_version(input))))
}

async fn update(
    permit: &Permit,
    input: &Input,
    env: &Env,
    facts: &Facts,
    former: DpsDocument,
    revision: u64,
) -> Result<Reply, Error> {
    let scope = scope_of_document(&former)?;
    let next = DpsDocument { version: former.version.saturating_add(1), ..former };
    let (dps, mut changes) = composed(input, env, facts, &scope, next)?;
    let expect = Expect::Revision(revision);
    changes.push(control::put(tables::RESOURCES, scope.key(), expect, &dps)?);
    control::commit(permit, env, changes).await?;
    Ok(Reply::ok(dps.show(env, api_version(input))))
}

/// `dps` as the body wants it, and what else changes with it: its identity in the directory.
fn composed(
    input: &Input,
    env: &Env,
    facts: &Facts,
    scope: &Scope,
    mut dps: DpsDocument,
) -> Result<(DpsDocument, Vec<Change>), Error> {
    let stored = Some(&dps.resource).filter(|it| it.is_object());
    let identities = Identities::of(stored).wanted(&input.body, facts)?;
    let (identity, change) = identities.system(dps.identity, scope, env)?;
    let place = Place {
        scope,
        id_scope: &dps.id_scope,
        etag: &etag(dps.version),
        identity: &identities.shown(identity, env.settings.tenant),
        facts,
    };
    let resource = body::read(&input.body, stored, &place)?;
    let stored = stored.map_or(&[][..], |_| dps.policies.as_slice());
    if let Some(given) = shared_access::given(&input.body, Right::DPS, stored, env)? {
        dps.policies = given;
    }
    (dps.resource, dps.identity) = (resource, identity);
    Ok((dps, change.into_iter().collect()))
}

/// Devices carry it for life, so it never names two services at a time.
fn new_id_scope(facts: &Facts, env: &Env) -> Result<String, Error> {
    let draw = || format!("0ne{:08X}", u32::from_be_bytes(env.random::<4>()));
    let is_free =
        |it: &String| !facts.provisioning.values().any(|dps| dps.id_scope.eq_ignore_ascii_case(it));
    std::iter::repeat_with(draw).take(DRAWS_MAX).find(is_free).ok_or_else(|| Error::Internal {
        message: format!("none of {DRAWS_MAX} random id scopes is free; repeat the call"),
    })
}

/// # Errors
/// `ResourceNotFound`.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (dps, _) = named(input, env).await?;
    Ok(Reply::ok(dps.show(env, api_version(input))))
}

/// Lists the provisioning services of a group, or of a subscription where the path names no group.
///
/// # Errors
/// `SubscriptionNotFound` or `ResourceGroupNotFound`.
pub(crate) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let above = container_of(input, &facts)?;
    let mut all = Vec::new();
    let is_shown = |it: &Scope| above.contains(it) && may_see(permit, Op::GetDps, it, &facts, env);
    for dps in facts.provisioning.values().filter(|it| is_shown(&it.scope)) {
        // One that is deleted while the list is made is not in it.
        if let Some((dps, _)) = stored(env, &dps.scope).await? {
            all.push(dps.show(env, api_version(input)));
        }
    }
    Ok(Reply::list(all))
}

/// Deletes a provisioning service with its enrollments, its identity and everything that lies at it, see
/// `resources/cascade.rs`. Devices that it registered stay. One that is not there is deleted already.
///
/// # Errors
/// `ScopeTooLarge`, see [`Cascade::of`]; [`Error::Stale`] where `If-Match` names another version.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let scope = scope_of(input, &env.facts.load())?;
    let Some((dps, _)) = stored(env, &scope).await? else { return Ok(Reply::empty(204)) };
    check_etag(input, model::json::text(&dps.resource, &["etag"]))?;
    let cascade = Cascade::of(&scope, env).await?;
    long_running::delete(permit, env, &scope, cascade).await
}

/// `POST .../listkeys`: every shared access policy with its keys.
///
/// # Errors
/// `ResourceNotFound`.
pub(crate) async fn list_keys(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (DpsDocument { policies, .. }, _) = named(input, env).await?;
    Ok(Reply::list(policies.iter().map(shared_access::show).collect()))
}

/// `POST .../keys/{key}/listkeys`: one shared access policy with its keys.
///
/// # Errors
/// `ResourceNotFound` for the provisioning service; `ProvisioningServiceKeyNotFound` for the policy.
pub(crate) async fn get_key(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (DpsDocument { policies, .. }, _) = named(input, env).await?;
    let name = input.param("key");
    let found = shared_access::named(&policies, name).ok_or_else(|| Error::NotFound {
        code: "ProvisioningServiceKeyNotFound",
        message: shared_access::no_policy("provisioning service", name),
    })?;
    Ok(Reply::ok(shared_access::show(found)))
}

/// `POST .../checkProvisioningServiceNameAvailability`.
///
/// # Errors
/// Where the body has no `name`.
pub(crate) async fn check_name(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let name = input.required_text(&["name"])?;
    Ok(Reply::ok(PROVISIONING_SERVICES.availability(&env.facts.load(), name)))
}

#[cfg(test)]
#[path = "services_tests.rs"]
mod tests;
