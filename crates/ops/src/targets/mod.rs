//! What hubs send to: Event Hubs and Service Bus namespaces with what lies in them, and storage accounts with their
//! containers. The control plane of each stands here; each answers its own clients at an address of its own.
//!
//! Every type is a row of `kinds.rs`, and one set of functions serves them all. Each thing is a document under its own
//! id, so a deletion of what it lies in takes it along, see `resources/cascade.rs`. Keys are in `keys.rs`, network rules
//! in `rules.rs`, what a path of its clients leads to in `places.rs`.

mod composed;
pub(crate) mod deeds;
pub mod event_hubs;
pub(crate) mod keys;
mod kinds;
mod places;
pub mod reaching;
pub(crate) mod rules;
pub mod service_bus;
pub(crate) mod uses;

pub(crate) use places::place;

use crate::blobs;
use crate::call::may_see;
use crate::control;
use crate::devices::{addresses, telemetry};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::resources::{
    Cascade, container_of, group_of, long_running, no_resource, reading, scope_as_made,
};
use composed::composed;
use gate::facts::{Entity, Target, TargetKind};
use gate::{Facts, Permit};
use keys::Keys;
use kinds::{Keyed, Kind};
use model::json::{at, set, text};
use model::{Error, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, Expect, tables};

/// Largest body of one, in bytes of JSON.
const BYTES_MAX: usize = 64 << 10;

/// A target, or a thing in one, as it is kept. It may hold keys: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TargetDocument {
    /// As ARM shows it.
    resource: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Keys>,
    /// Of a namespace: its rule set, once one was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<Value>,
    /// Stable, and never used again. Empty in what was made before targets were served.
    #[serde(default)]
    uid: String,
    /// Of a namespace or storage account: where it answers, without a port. Empty likewise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    host: String,
}

impl TargetDocument {
    fn new(kind: &Kind, resource: Value, host: String, env: &Env) -> Self {
        let uid = env.new_uuid().simple().to_string();
        Self { resource, keys: Keys::made(kind.keys, env), network: None, uid, host }
    }
}

/// True for the key of a document of this module.
pub(crate) fn is_key(key: &str) -> bool {
    let providers = ["microsoft.eventhub", "microsoft.servicebus", "microsoft.storage"];
    providers.iter().any(|it| key.contains(&format!("/providers/{it}/")))
}

/// True for what this module serves, and not for what is assigned to it.
pub(crate) fn is_target(scope: &Scope) -> bool {
    kinds::of(scope).is_some()
}

/// True where a list of resources has it: what lies in a target is no resource of its own.
pub(crate) fn is_top_key(key: &str) -> bool {
    Scope::parse(key).ok().and_then(|it| kinds::of(&it)).is_some_and(Kind::is_top)
}

/// True where what is under the key keeps more than its document: an event hub its log, a Service Bus namespace its
/// messages. What a container keeps goes by itself, see `blobs/tidy.rs`.
pub(crate) fn has_shard(key: &str) -> bool {
    let kind = Scope::parse(key).ok().and_then(|it| kinds::of(&it));
    kind.is_some_and(|it| it.has_shard)
}

/// What is shown where no address is: no such name leads to somebody else.
const NO_HOST: &str = "unserved.invalid";

/// Brings a document into the facts: of what lies in a target, that it is there.
///
/// # Errors
/// Says what cannot be read, and repeats no key.
pub(crate) fn change_facts(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let scope = Scope::parse(key).map_err(|it| it.to_string())?;
    let Some(kind) = kinds::of(&scope) else { return Err(format!("`{scope}` is no target")) };
    let Some(body) = body else {
        facts.put_target_keys(&scope, None);
        match kind.is_top() {
            true => facts.remove_target(&scope),
            false => facts.remove_entity(&scope),
        }
        return Ok(());
    };
    let document: TargetDocument = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    let keys = document.keys.as_ref().map(|it| it.facts_of(&document.resource)).transpose()?;
    facts.put_target_keys(&scope, keys);
    let scope = scope_as_made(key, &document.resource)?;
    let uid = match document.uid.is_empty() {
        // Made before anything was kept in it.
        true => format!("{:016x}", telemetry::hash_of(key)),
        false => document.uid.clone(),
    };
    if !kind.is_top() {
        let properties = document.resource.get("properties").cloned().unwrap_or_default();
        facts.put_entity(Entity { scope, uid, properties });
        return Ok(());
    }
    let is = |name: &str| at(&document.resource, &["properties", name]).and_then(Value::as_bool);
    facts.put_target(Target {
        network: rules::facts_of(&document)?,
        takes_keys: is("allowSharedKeyAccess").unwrap_or(true)
            && !is("disableLocalAuth").unwrap_or(false),
        is_public: is("allowBlobPublicAccess").unwrap_or(false),
        kind: kind.service,
        host: document.host,
        uid,
        scope,
    });
    Ok(())
}

/// The document at a scope, where there is one, with its revision.
async fn stored(env: &Env, scope: &Scope) -> Result<Option<(TargetDocument, u64)>, Error> {
    control::get(env, tables::RESOURCES, &scope.key()).await
}

/// The same as an answer shows it.
pub(crate) async fn found(env: &Env, scope: &Scope) -> Result<Option<(Value, u64)>, Error> {
    Ok(stored(env, scope).await?.map(|(it, revision)| (it.resource, revision)))
}

/// What is at `scope` as an answer shows it, where it exists: what a patch is laid over, what policies see.
pub(crate) async fn current(env: &Env, scope: &Scope) -> Result<Option<Value>, Error> {
    Ok(found(env, scope).await?.map(|(it, _)| it))
}

/// What a `PUT` of the body would store, for policy to judge. `None` where the body breaks a rule.
pub(crate) async fn as_stored(
    env: &Env,
    scope: &Scope,
    body: &Value,
) -> Result<Option<Value>, Error> {
    let Some(kind) = kinds::of(scope) else { return Ok(None) };
    let former = stored(env, scope).await?.map(|(it, _)| it);
    let id = match kind.is_top() {
        true => scope.clone(),
        false => match owner(env, kind, scope).await? {
            Some(owner) => owner.join(&format!("{}/{}", kind.path, scope.name())),
            None => return Ok(None),
        },
    };
    let host = former.as_ref().map_or("", |it| &it.host);
    let former = former.as_ref().map(|it| &it.resource);
    Ok(composed(kind, body, former, &id, host, env).ok())
}

/// What a thing lies in, in the casing that it was made with, where it exists.
async fn owner(env: &Env, kind: &Kind, scope: &Scope) -> Result<Option<Scope>, Error> {
    let all: Vec<&str> = scope.segments().collect();
    let below = kind.path.split('/').count() + 1;
    let above = all.get(..all.len().saturating_sub(below)).unwrap_or(&[]).join("/");
    let Ok(above) = Scope::parse(&format!("/{above}")) else { return Ok(None) };
    let found = stored(env, &above).await?;
    Ok(found.and_then(|(it, _)| Scope::parse(text(&it.resource, &["id"])?).ok()))
}

/// The namespace or storage account that the path names or lies in.
async fn top(input: &Input, env: &Env) -> Result<(TargetDocument, u64), Error> {
    let all: Vec<&str> = input.scope.segments().collect();
    // Subscription, group, `providers`, its namespace, a type and a name.
    let scope = Scope::parse(&format!("/{}", all.get(..8).unwrap_or(&[]).join("/")))
        .map_err(|it| Error::invalid("path", it.to_string()))?;
    group_of(input, &env.facts.load())?;
    stored(env, &scope).await?.ok_or_else(|| no_resource(&scope))
}

async fn save(
    permit: &Permit,
    env: &Env,
    document: &TargetDocument,
    revision: Option<u64>,
) -> Result<(), Error> {
    let mut changes = vec![change(document, revision)?];
    let scope = scope_of(document)?;
    let inherent = if revision.is_none() { kind_of(&scope)?.inherent() } else { None };
    if let Some((path, body)) = inherent {
        let id = scope.join(path);
        let kind = kind_of(&id)?;
        let resource = composed(kind, &body, None, &id, "", env)?;
        changes.push(change(&TargetDocument::new(kind, resource, String::new(), env), None)?);
    }
    control::commit(permit, env, changes).await.map(drop)
}

fn change(document: &TargetDocument, revision: Option<u64>) -> Result<Change, Error> {
    let expect = revision.map_or(Expect::Absent, Expect::Revision);
    control::put(tables::RESOURCES, scope_of(document)?.key(), expect, document)
}

fn scope_of(document: &TargetDocument) -> Result<Scope, Error> {
    let id = text(&document.resource, &["id"]).unwrap_or_default();
    Scope::parse(id).map_err(|it| Error::Internal { message: it.to_string() })
}

/// `PUT` of any of them, and `PATCH`, whose body is merged already. All are there at once.
///
/// # Errors
/// The place in the body that breaks a rule; `ResourceNotFound` for what it would lie in; `NameNotAvailable`;
/// `QuotaExceeded`; [`Error::Stale`].
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let group = group_of(input, &facts)?;
    let kind = kind_of(permit.scope())?;
    kind.naming.check(permit.scope().name()).map_err(|it| Error::invalid("name", it))?;
    let found = stored(env, permit.scope()).await?;
    let id = match (&found, kind.is_top()) {
        (Some((it, _)), _) => scope_of(it)?,
        (None, true) => {
            check_free(&facts, kind, permit.scope().name())?;
            group.join(&format!("providers/{}/{}", kind.full_type, permit.scope().name()))
        }
        (None, false) => {
            let owner = owner(env, kind, permit.scope()).await?;
            let owner = owner.ok_or_else(|| no_resource(permit.scope()))?;
            let place = owner.join(kind.path);
            check_room(below(env, &place, kind).await?.len(), kind)?;
            place.join(permit.scope().name())
        }
    };
    let former = found.as_ref().map(|(it, _)| it);
    let known = former.map(|it| it.host.clone()).filter(|it| !it.is_empty());
    let host = match known {
        None if kind.is_top() => {
            addresses::lowest_free(&facts, &env.settings.loopback_net, "QuotaExceeded")?
        }
        known => known.unwrap_or_default(),
    };
    let resource = composed(kind, &input.body, former.map(|it| &it.resource), &id, &host, env)?;
    let revision = found.as_ref().map(|(_, revision)| *revision);
    let document = match found {
        Some((it, _)) => TargetDocument { resource, host, ..it },
        None => TargetDocument::new(kind, resource, host, env),
    };
    if kind.is_top() {
        // Before the commit: what cannot be reached must not be there.
        env.open_host(&document.host).await.map_err(|it| Error::Unavailable {
            message: format!(
                "the server cannot listen at `{}`, so nothing was made: {it}",
                document.host
            ),
        })?;
    }
    save(permit, env, &document, revision).await?;
    Ok(Reply::ok(document.resource))
}

fn kind_of(scope: &Scope) -> Result<&'static Kind, Error> {
    kinds::of(scope).ok_or_else(|| no_resource(scope))
}

/// Names are part of host names, which Event Hubs and Service Bus share.
fn is_taken(facts: &Facts, kind: &Kind, name: &str) -> bool {
    let is_storage = kind.keys == Keyed::Account;
    facts.targets.values().any(|it| {
        let its = kinds::of(&it.scope).is_some_and(|it| it.keys == Keyed::Account);
        its == is_storage && it.scope.name().eq_ignore_ascii_case(name)
    })
}

fn check_free(facts: &Facts, kind: &Kind, name: &str) -> Result<(), Error> {
    let of_kind = |it: &Scope| kinds::of(it).is_some_and(|it| it.full_type == kind.full_type);
    check_room(facts.targets.values().filter(|it| of_kind(&it.scope)).count(), kind)?;
    match is_taken(facts, kind, name) {
        false => Ok(()),
        true => Err(Error::Conflict {
            code: "NameNotAvailable",
            message: format!("the name `{name}` is taken; choose another name"),
        }),
    }
}

fn check_room(count: usize, kind: &Kind) -> Result<(), Error> {
    match count < kind.count_max {
        true => Ok(()),
        false => Err(Error::Conflict {
            code: "QuotaExceeded",
            message: format!(
                "there are {count} of `{}` there, which is the most; delete one first",
                kind.full_type
            ),
        }),
    }
}

/// # Errors
/// `ResourceNotFound`.
pub(crate) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    group_of(input, &env.facts.load())?;
    let found = current(env, permit.scope()).await?;
    found.map(Reply::ok).ok_or_else(|| no_resource(permit.scope()))
}

/// Lists what lies in a namespace, an entity or a storage account.
///
/// # Errors
/// `ResourceNotFound` for what it lies in.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let kind = kind_of(&input.scope)?;
    group_of(input, &env.facts.load())?;
    // A name behind it makes a place in it, whose owner is the one that the list is of.
    let owner = owner(env, kind, &input.scope.join("any")).await?;
    let owner = owner.ok_or_else(|| no_resource(&input.scope))?;
    Ok(Reply::list(below(env, &owner.join(kind.path), kind).await?))
}

/// Those of a kind that lie directly at a place.
async fn below(env: &Env, place: &Scope, kind: &Kind) -> Result<Vec<Value>, Error> {
    let found =
        control::all::<TargetDocument>(env, tables::RESOURCES, &format!("{}/", place.key()))
            .await?;
    let of_kind = |it: &TargetDocument| text(&it.resource, &["type"]) == Some(kind.full_type);
    Ok(found.into_iter().filter(|(_, it)| of_kind(it)).map(|(_, it)| it.resource).collect())
}

/// Lists namespaces or storage accounts of a group, or of a subscription where the path names no group.
///
/// # Errors
/// `SubscriptionNotFound` or `ResourceGroupNotFound`.
pub(crate) async fn list_top(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let (above, kind) = (container_of(input, &facts)?, kind_of(&input.scope)?);
    let mut all = Vec::new();
    let is_shown = |it: &Scope| {
        let is_of_kind = kinds::of(it).is_some_and(|it| it.full_type == kind.full_type);
        is_of_kind && above.contains(it) && may_see(permit, reading(it), it, &facts, env)
    };
    for target in facts.targets.values().filter(|it| is_shown(&it.scope)) {
        all.extend(current(env, &target.scope).await?);
    }
    Ok(Reply::list(all))
}

/// Deletes one with all that lies in it and at it. One that is not there is deleted already.
///
/// # Errors
/// `ScopeTooLarge`, see [`Cascade::of`].
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    group_of(input, &env.facts.load())?;
    if stored(env, permit.scope()).await?.is_none() {
        return Ok(Reply::empty(204));
    }
    let cascade = Cascade::of(permit.scope(), env).await?;
    let gone = containers_in(permit.scope(), &env.facts.load());
    if !cascade.shards.is_empty() {
        return long_running::delete(permit, env, permit.scope(), cascade).await;
    }
    control::commit(permit, env, cascade.changes).await?;
    for uid in gone {
        // What could not be removed now is removed within the hour.
        let _ = blobs::tidy::forget(env, &uid).await;
    }
    Ok(Reply::empty(200))
}

/// The containers of blobs at a scope or below it, by their uids.
fn containers_in(scope: &Scope, facts: &Facts) -> Vec<String> {
    let is_container =
        |it: &Scope| kinds::of(it).is_some_and(|it| it.service == TargetKind::Storage);
    let all =
        facts.entities.values().filter(|it| scope.contains(&it.scope) && is_container(&it.scope));
    all.map(|it| it.uid.clone()).collect()
}

/// The changes that take a target to another group, with all that lies in it. Its keys stay.
///
/// # Errors
/// `ResourceNotFound`.
pub(crate) async fn changes_to_move(
    env: &Env,
    from: &Scope,
    to: &Scope,
) -> Result<Vec<Change>, Error> {
    let (own, _) = stored(env, from).await?.ok_or_else(|| no_resource(from))?;
    let mut all = vec![(from.key(), own)];
    let inside = format!("{}/", from.key());
    all.extend(control::all::<TargetDocument>(env, tables::RESOURCES, &inside).await?);
    let mut changes = Vec::with_capacity(all.len() * 2);
    for (key, mut document) in all {
        let id = text(&document.resource, &["id"]).unwrap_or_default();
        let below = id.get(from.as_str().len()..).unwrap_or_default();
        let id = format!("{to}{below}");
        set(&mut document.resource, "id", json!(id));
        changes.push(control::delete(tables::RESOURCES, key, Expect::Present));
        changes.push(change(&document, None)?);
    }
    Ok(changes)
}

/// `POST .../checkNameAvailability`.
///
/// # Errors
/// Where the body has no `name`.
pub(crate) async fn check_name(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let name = input.required_text(&["name"])?;
    let mut behind = input.scope.segments().skip_while(|it| !it.eq_ignore_ascii_case("providers"));
    let namespace = behind.nth(1).unwrap_or_default();
    let mut known = kinds::KINDS.iter().filter(|it| it.is_top() && it.is_in(namespace));
    let kind = known.next().ok_or_else(|| no_resource(&input.scope))?;
    // Each provider has words of its own for why not.
    let (wrong, taken, free) = match kind.keys {
        Keyed::Account => ("AccountNameInvalid", "AlreadyExists", Value::Null),
        Keyed::No | Keyed::Rule => ("InvalidName", "NameInUse", json!("None")),
    };
    let (reason, message) = match kind.naming.check(name) {
        Err(rule) => (json!(wrong), rule),
        Ok(()) if is_taken(&env.facts.load(), kind, name) => {
            (json!(taken), format!("the name `{name}` is taken"))
        }
        Ok(()) => (free, String::new()),
    };
    let is_free = message.is_empty();
    Ok(Reply::ok(json!({ "nameAvailable": is_free, "reason": reason, "message": message })))
}
