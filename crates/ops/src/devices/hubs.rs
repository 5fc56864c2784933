//! Hubs: made, changed, shown and deleted.
//!
//! What a body may say is in `body.rs`, which address a hub gets in `addresses.rs`, its keys in
//! `keys.rs`. A hub's devices lie in a shard of their own, named by the hub's uid; deleting the hub drops
//! it, see `resources/long_running.rs`.

use super::addresses;
use super::body::{self, Place};
use super::keys;
use super::names::{HUBS, host_name};
use super::routing::{self, numbers::Numbers};
use super::secrets;
use super::security::SettingsDocument;
use crate::call::may_see;
use crate::certificates::{self, CertificateDocument};
use crate::control;
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
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::facts::{Hub, SharedAccess, SwitchedOff};
use gate::{Facts, Permit};
use model::json::set;
use model::operations::Right;
use model::{Error, Op, Scope, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Change, Expect, tables};

/// A hub as it is kept. It holds keys: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HubDocument {
    /// The hub as ARM shows it, but with the connection strings of its endpoints whole.
    pub(crate) resource: Value,
    /// Names the hub's shard. Sorts by age, and is never used again.
    pub(crate) uid: String,
    /// The loopback address that the hub's names lead to.
    pub(crate) address: String,
    /// Grows with every write; the etag is made of it.
    pub(crate) version: u64,
    pub(crate) policies: Vec<PolicyDocument>,
    /// Its system-assigned identity, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<Identity>,
    /// The CAs whose devices it takes.
    #[serde(default)]
    pub(crate) certificates: Vec<CertificateDocument>,
    /// What was said of its devices' security as a whole, where anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) security: Option<SettingsDocument>,
    /// Who has switched off the keys of its policies, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys_off: Option<KeysOff>,
    /// Of its endpoints.
    #[serde(default)]
    pub(crate) numbers: Numbers,
}

/// When keys were switched off, and by whom: a name for people.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeysOff {
    since: Timestamp,
    by: String,
}

/// Brings a hub's document into the facts.
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
        facts.remove_hub(&scope);
        return Ok(());
    };
    let document: HubDocument = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    let text = |path: &[&str]| model::json::text(&document.resource, path);
    let is_set = |name: &str| {
        let value = model::json::at(&document.resource, &["properties", name]);
        value.and_then(Value::as_bool).unwrap_or(false)
    };
    facts.put_hub(Hub {
        location: text(&["location"]).unwrap_or("").to_owned(),
        access: SharedAccess {
            is_disabled: is_set("disableLocalAuth"),
            is_disabled_for_devices: is_set("disableDeviceSAS"),
            is_disabled_for_modules: is_set("disableModuleSAS"),
            off: document.keys_off.map(|it| Arc::new(SwitchedOff { since: it.since, by: it.by })),
            policies: shared_access::facts_of(&document.policies)?,
        },
        authorities: certificates::facts_of(&document.certificates)?,
        security: document.security.map(|it| it.defaults()).map(Arc::new),
        network: network::facts_of(&document.resource)?,
        routing: routing::is_any(&document.resource).then_some(document.version),
        uid: document.uid,
        host: document.address,
        scope: scope_as_made(key, &document.resource)?,
    });
    Ok(())
}

/// The hub that the path names, with the revision of its document.
///
/// # Errors
/// `SubscriptionNotFound`, `ResourceGroupNotFound` or `ResourceNotFound`.
pub(crate) async fn named(input: &Input, env: &Env) -> Result<(HubDocument, u64), Error> {
    let scope = scope_of(input, &env.facts.load())?;
    stored(env, &scope).await?.ok_or_else(|| no_resource(&scope))
}

/// The document of a hub, where it exists, with its revision.
pub(crate) async fn stored(env: &Env, scope: &Scope) -> Result<Option<(HubDocument, u64)>, Error> {
    let found = control::get::<HubDocument>(env, tables::RESOURCES, &scope.key()).await?;
    Ok(found.map(|(mut hub, revision)| {
        // The port is the running server's; only the address is the hub's own.
        let host = host_name(&hub.address, env.settings.hub_port);
        if let Some(name) = hub.resource.pointer_mut("/properties/hostName") {
            *name = Value::String(host);
        }
        (hub, revision)
    }))
}

/// Keeps what was changed in a hub that is there, and lets the gates and its sessions know.
///
/// # Errors
/// [`Error::Stale`] where somebody else changed it meanwhile.
pub(crate) async fn save(
    permit: &Permit,
    env: &Env,
    hub: &HubDocument,
    revision: u64,
) -> Result<(), Error> {
    save_with(permit, env, hub, revision, None).await
}

/// The same together with what changes in the directory.
async fn save_with(
    permit: &Permit,
    env: &Env,
    hub: &HubDocument,
    revision: u64,
    besides: Option<Change>,
) -> Result<(), Error> {
    let scope = scope_of_document(hub)?;
    let expect = Expect::Revision(revision);
    let change = control::put(tables::RESOURCES, scope.key(), expect, hub)?;
    control::commit(permit, env, besides.into_iter().chain([change]).collect()).await?;
    // Keys of devices may have been switched off, or a CA taken away: who is silent must hear of it, too.
    env.presence.changed_all(&hub.uid);
    Ok(())
}

/// In the casing that the hub was made with.
pub(crate) fn scope_of_document(hub: &HubDocument) -> Result<Scope, Error> {
    let id = model::json::text(&hub.resource, &["id"]).unwrap_or("");
    Scope::parse(id).map_err(|it| Error::Internal { message: it.to_string() })
}

/// How many partitions a hub's messages are spread over, and for how many days they are kept.
///
/// # Errors
/// [`Error::UnknownHost`] where the hub is gone.
pub(super) async fn events(env: &Env, scope: &Scope) -> Result<(u16, u32), Error> {
    let found = control::get::<HubDocument>(env, tables::RESOURCES, &scope.key()).await?;
    let (hub, _) = found.ok_or_else(|| Error::UnknownHost { host: scope.name().to_owned() })?;
    let number = |name: &str| {
        let path = ["properties", "eventHubEndpoints", "events", name];
        model::json::at(&hub.resource, &path).and_then(Value::as_u64)
    };
    let partitions = number("partitionCount").and_then(|it| u16::try_from(it).ok());
    let days = number("retentionTimeInDays").and_then(|it| u32::try_from(it).ok());
    Ok((partitions.unwrap_or(1), days.unwrap_or(1)))
}

/// Whether a consumer group of a hub's events exists.
///
/// # Errors
/// [`Error::Internal`] where the store fails.
pub(super) async fn has_consumer_group(
    _env: &Env,
    _scope: &Scope,
    group: &str,
) -> Result<bool, Error> {
    Ok(group.eq_ignore_ascii_case(super::events::DEFAULT_GROUP))
}

/// When a hub was made: its uid begins with that.
pub(super) fn created(uid: &str) -> Timestamp {
    let digits = uid.split('-').next().unwrap_or("");
    Timestamp::from_millis(i64::from_str_radix(digits, 16).unwrap_or(0))
}

/// The hub at `scope` as an answer shows it, where it exists: what a patch is laid over.
pub(crate) async fn current(env: &Env, scope: &Scope) -> Result<Option<Value>, Error> {
    Ok(stored(env, scope).await?.map(|(hub, _)| secrets::show(&hub.resource)))
}

/// The hub as a `PUT` of the body would store it, for policy to judge: what a body leaves out has a value
/// all the same. `None` where the body breaks a rule: nothing is stored then, and the write says why.
pub(crate) async fn as_stored(
    env: &Env,
    scope: &Scope,
    body: &Value,
) -> Result<Option<Value>, Error> {
    let former = stored(env, scope).await?;
    let former = former.as_ref().map(|(it, _)| it);
    let address = former.map_or("", |it| it.address.as_str());
    let resource = former.map(|it| &it.resource);
    let identities = Identities::of(resource).wanted(body, &env.facts.load());
    let Ok(identities) = identities else { return Ok(None) };
    let identity = &identities.shown(former.and_then(|it| it.identity), env.settings.tenant);
    let place = Place { scope, address, host_name: address, etag: "", identity };
    Ok(body::read(body, resource, &place).ok())
}

/// The changes that take a hub to another group, and its identity with it. Its shard, its address and its keys stay.
///
/// # Errors
/// `ResourceNotFound`.
pub(crate) async fn changes_to_move(
    env: &Env,
    from: &Scope,
    to: &Scope,
) -> Result<Vec<Change>, Error> {
    let found = control::get::<HubDocument>(env, tables::RESOURCES, &from.key()).await?;
    let (mut hub, revision) = found.ok_or_else(|| no_resource(from))?;
    hub.version = hub.version.saturating_add(1);
    set_place(&mut hub.resource, to, &etag(hub.version));
    let mut changes = vec![
        control::delete(tables::RESOURCES, from.key(), Expect::Revision(revision)),
        control::put(tables::RESOURCES, to.key(), Expect::Absent, &hub)?,
    ];
    if let Some(it) = hub.identity {
        changes.push(principals::change_moved_identity(env, it.principal_id, to).await?);
    }
    Ok(changes)
}

/// Writes into a resource where it lies now.
pub(crate) fn set_place(resource: &mut Value, at: &Scope, etag: &str) {
    set(resource, "id", json!(at));
    set(resource, "resourcegroup", json!(at.resource_group()));
    set(resource, "etag", json!(etag));
}

/// The scope of the hub that the path names, whether the hub exists or not.
pub(super) fn scope_of(input: &Input, facts: &Facts) -> Result<Scope, Error> {
    let group = group_of(input, facts)?;
    Ok(group.join(&format!("providers/Microsoft.Devices/IotHubs/{}", input.param("hub"))))
}

/// `PUT` and `PATCH` of a hub. The body of a `PATCH` is merged already.
///
/// # Errors
/// The place in the body that breaks a rule; `NameNotAvailable`; `IotHubQuotaExceeded` where no address
/// is free; [`Error::Stale`]; [`Error::Unavailable`] where the server cannot listen at the hub's address.
/// Nothing was changed then.
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let scope = scope_of(input, &facts)?;
    HUBS.check_rules(scope.name()).map_err(|it| Error::invalid("name", it))?;
    let stored = stored(env, &scope).await?;
    let etag = stored.as_ref().and_then(|(it, _)| model::json::text(&it.resource, &["etag"]));
    check_etag(input, etag)?;
    match stored {
        Some((hub, revision)) => update(permit, input, env, &facts, hub, revision).await,
        None if permit.operation().op == Op::PatchHub => Err(no_resource(&scope)),
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
    HUBS.check_free(facts, scope.name())?;
    let now = env.now();
    let blank = HubDocument {
        resource: Value::Null,
        uid: new_uid(now, env),
        address: addresses::lowest_free(facts, &env.settings.loopback_net, "IotHubQuotaExceeded")?,
        version: first_version(now),
        policies: shared_access::made(&keys::DEFAULTS, &|| shared_access::new_key(env)),
        identity: None,
        certificates: Vec::new(),
        security: None,
        keys_off: None,
        numbers: Numbers::default(),
    };
    let (mut hub, besides) = composed(input, env, facts, &scope, blank)?;
    note_switch(permit, &mut hub, env);
    routing::saving::check_endpoints(env, facts, &hub, None).await?;
    let change = control::put(tables::RESOURCES, scope.key(), Expect::Absent, &hub)?;
    // Before the commit: a hub that cannot be reached must not be there.
    env.open_host(&hub.address).await.map_err(|it| Error::Unavailable {
        message: format!("the server cannot listen at `{}`, so no hub was made: {it}", hub.address),
    })?;
    control::commit(permit, env, besides.into_iter().chain([change]).collect()).await?;
    Ok(Reply::created(secrets::show(&hub.resource)))
}

async fn update(
    permit: &Permit,
    input: &Input,
    env: &Env,
    facts: &Facts,
    former: HubDocument,
    revision: u64,
) -> Result<Reply, Error> {
    let scope = scope_of_document(&former)?;
    let before = former.resource.clone();
    let next = HubDocument { version: former.version.saturating_add(1), ..former };
    let (mut hub, besides) = composed(input, env, facts, &scope, next)?;
    note_switch(permit, &mut hub, env);
    routing::saving::check_endpoints(env, facts, &hub, Some(&before)).await?;
    save_with(permit, env, &hub, revision, besides).await?;
    Ok(Reply::ok(secrets::show(&hub.resource)))
}

/// Notes who has switched keys off, for as long as they are.
fn note_switch(permit: &Permit, hub: &mut HubDocument, env: &Env) {
    let off = model::json::at(&hub.resource, &["properties", "disableLocalAuth"]);
    let is_off = off.and_then(Value::as_bool).unwrap_or(false);
    let now = || KeysOff { since: env.now(), by: permit.caller().name.clone() };
    hub.keys_off = is_off.then(|| hub.keys_off.take().unwrap_or_else(now));
}

/// `hub` as the body wants it, and what changes in the directory with it.
fn composed(
    input: &Input,
    env: &Env,
    facts: &Facts,
    scope: &Scope,
    mut hub: HubDocument,
) -> Result<(HubDocument, Option<Change>), Error> {
    let stored = Some(&hub.resource).filter(|it| it.is_object());
    let identities = Identities::of(stored).wanted(&input.body, facts)?;
    let (identity, change) = identities.system(hub.identity, scope, env)?;
    let place = Place {
        scope,
        address: &hub.address,
        host_name: &host_name(&hub.address, env.settings.hub_port),
        etag: &etag(hub.version),
        identity: &identities.shown(identity, env.settings.tenant),
    };
    let resource = body::read(&input.body, stored, &place)?;
    let stored = stored.map_or(&[][..], |_| hub.policies.as_slice());
    if let Some(given) = shared_access::given(&input.body, Right::HUB, stored, env)? {
        hub.policies = given;
    }
    (hub.resource, hub.identity) = (resource, identity);
    hub.numbers.draw(&mut hub.resource, || env.new_uuid());
    Ok((hub, change))
}

/// The time first, in a fixed width, so that uids sort by age.
pub(crate) fn new_uid(now: Timestamp, env: &Env) -> String {
    format!("{:012x}-{}", now.millis().max(0), env.new_uuid().simple())
}

/// Versions begin with the time of creation: a resource that is made again has none of its forerunner's etags.
pub(crate) fn first_version(now: Timestamp) -> u64 {
    u64::try_from(now.millis()).unwrap_or(0)
}

pub(crate) fn etag(version: u64) -> String {
    STANDARD.encode(version.to_be_bytes())
}

/// # Errors
/// `ResourceNotFound`.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (hub, _) = named(input, env).await?;
    Ok(Reply::ok(secrets::show(&hub.resource)))
}

/// Lists the hubs of a group, or of a subscription where the path names no group.
///
/// # Errors
/// `SubscriptionNotFound` or `ResourceGroupNotFound`.
pub(crate) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let above = container_of(input, &facts)?;
    let mut hubs = Vec::new();
    let is_shown = |it: &Scope| above.contains(it) && may_see(permit, Op::GetHub, it, &facts, env);
    for hub in facts.hubs.values().filter(|it| is_shown(&it.scope)) {
        // One that is deleted while the list is made is not in it.
        if let Some((hub, _)) = stored(env, &hub.scope).await? {
            hubs.push(secrets::show(&hub.resource));
        }
    }
    Ok(Reply::list(hubs))
}

/// Deletes a hub with its devices and with everything that lies at it, see `resources/cascade.rs`. One
/// that is not there is deleted already.
///
/// # Errors
/// `ScopeTooLarge`, see [`Cascade::of`]; [`Error::Stale`] where `If-Match` names another version.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let scope = scope_of(input, &env.facts.load())?;
    let Some((hub, _)) = stored(env, &scope).await? else { return Ok(Reply::empty(204)) };
    check_etag(input, model::json::text(&hub.resource, &["etag"]))?;
    let cascade = Cascade::of(&scope, env).await?;
    long_running::delete(permit, env, &scope, cascade).await
}

/// `POST .../checkNameAvailability`: clients also ask it whether a hub exists.
///
/// # Errors
/// Where the body has no `name`.
pub(crate) async fn check_name(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let name = input.required_text(&["name"])?;
    Ok(Reply::ok(HUBS.availability(&env.facts.load(), name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ObjectId;

    #[test]
    fn etags_differ_from_write_to_write() {
        assert_ne!(etag(1), etag(2));
        assert_eq!(etag(1), "AAAAAAAAAAE=");
    }

    fn document(name: &str, is_disabled: bool) -> Vec<u8> {
        let hub = HubDocument {
            resource: json!({
                "id": format!("/subscriptions/s/resourceGroups/RG/providers/Microsoft.Devices/IotHubs/{name}"),
                "location": "westus",
                "properties": { "disableLocalAuth": is_disabled },
            }),
            uid: "0-u".into(),
            address: "127.71.3.2".into(),
            version: 1,
            policies: shared_access::made(&keys::DEFAULTS, &|| {
                "AAAAAAAAAAAAAAAAAAAAAA==".to_owned()
            }),
            identity: None,
            certificates: Vec::new(),
            security: None,
            keys_off: None,
            numbers: Numbers::default(),
        };
        serde_json::to_vec(&hub).unwrap()
    }

    #[test]
    fn a_document_becomes_what_the_gates_know_of_a_hub() {
        let mut facts = Facts::new(ObjectId(uuid::Uuid::nil()), "https://localhost");
        let key = "/subscriptions/s/resourcegroups/rg/providers/microsoft.devices/iothubs/plant";
        change_facts(&mut facts, key, Some(&document("Plant", true))).unwrap();
        let hub = facts.hub_at("127.71.3.2").unwrap();
        assert_eq!(hub.scope.name(), "Plant");
        assert!(hub.access.is_disabled);
        assert_eq!(hub.access.policies.len(), 5);
        let reason = |name: &str| HUBS.availability(&facts, name)["reason"].clone();
        assert_eq!(reason("PLANT"), "AlreadyExists");
        assert_eq!(reason("plant2"), Value::Null);
        assert_eq!(reason("-"), "Invalid");
        change_facts(&mut facts, key, Some(&document("Plant", false))).unwrap();
        assert!(!facts.hub_at("127.71.3.2").unwrap().access.is_disabled);
        change_facts(&mut facts, key, None).unwrap();
        assert!(facts.hub_at("127.71.3.2").is_none());
        assert!(change_facts(&mut facts, key, Some(b"{}")).is_err());
    }
}
