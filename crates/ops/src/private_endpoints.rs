//! Private endpoint connections of hubs and provisioning services.
//!
//! In Azure a private endpoint in somebody's virtual network asks for one, and it is approved here. There are no
//! virtual networks here: who may write one makes it, and `up --private-net` says from which addresses callers come
//! through one. They lie in their owner's properties, which no other write of it changes.

use crate::env::Env;
use crate::input::{Input, Reply};
use crate::owner::Owner;
use crate::resources::fields::Fields;
use crate::resources::no_resource;
use gate::Permit;
use model::json::set;
use model::{Error, Scope};
use serde_json::{Value, json};

/// Where they stand below `properties`.
pub(crate) const PROPERTY: &str = "privateEndpointConnections";
/// Most of one hub or provisioning service: a bound of ours.
const CONNECTIONS_MAX: usize = 50;
/// Longest name of one. Source: Azure's naming rules for private endpoints.
const NAME_CHARACTERS_MAX: usize = 80;
/// Longest description and longest id of an endpoint: bounds of ours.
const TEXT_CHARACTERS_MAX: usize = 512;

const APPROVED: &str = "Approved";

/// True where properties have one that counts.
pub(crate) fn is_any_approved(properties: &Value) -> bool {
    let path = ["properties", "privateLinkServiceConnectionState", "status"];
    of(properties).iter().any(|it| model::json::text(it, &path) == Some(APPROVED))
}

fn of(properties: &Value) -> &[Value] {
    let all = model::json::member(properties, PROPERTY).and_then(Value::as_array);
    all.map_or(&[], Vec::as_slice)
}

fn all(owner: &Owner) -> &[Value] {
    owner.resource().get("properties").map_or(&[], of)
}

fn index(owner: &Owner, name: &str) -> Option<usize> {
    let is_it = |it: &Value| {
        model::json::text(it, &["name"]).is_some_and(|its| its.eq_ignore_ascii_case(name))
    };
    all(owner).iter().position(is_it)
}

/// The one at a scope, where it exists: what policies see of one that would be deleted.
pub(crate) async fn current(env: &Env, scope: &Scope) -> Result<Option<Value>, Error> {
    let Some(owner) = Owner::above(scope, env).await? else { return Ok(None) };
    Ok(index(&owner, scope.name()).and_then(|it| all(&owner).get(it).cloned()))
}

/// # Errors
/// `ResourceNotFound` for the owner.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (owner, _) = Owner::of(input, env).await?;
    // A list alone, as the contract has it.
    Ok(Reply::ok(json!(all(&owner))))
}

/// # Errors
/// `ResourceNotFound` for the owner or the connection.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (owner, _) = Owner::of(input, env).await?;
    let found = index(&owner, input.param("connection")).and_then(|it| all(&owner).get(it));
    found.cloned().map(Reply::ok).ok_or_else(|| no_resource(&input.scope))
}

/// Makes, approves or rejects one.
///
/// # Errors
/// The place in the body that breaks a rule; [`Error::Stale`]; `PrivateEndpointConnectionQuotaExceeded`.
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (mut owner, revision) = Owner::of(input, env).await?;
    let name = checked_name(input)?;
    let mut connections = all(&owner).to_vec();
    let slot = index(&owner, name);
    let former = slot.and_then(|it| connections.get(it));
    let made = read(&input.body, former, &owner.scope()?, name)?;
    match slot.and_then(|it| connections.get_mut(it)) {
        Some(former) => former.clone_from(&made),
        None => connections.push(made.clone()),
    }
    if connections.len() > CONNECTIONS_MAX {
        return Err(Error::Conflict {
            code: "PrivateEndpointConnectionQuotaExceeded",
            message: format!(
                "{} has at most {CONNECTIONS_MAX} private endpoint connections; delete one first",
                owner.noun()
            ),
        });
    }
    owner.set_property(PROPERTY, Value::Array(connections));
    owner.save(permit, env, revision).await?;
    Ok(match slot {
        Some(_) => Reply::ok(made),
        None => Reply::created(made),
    })
}

/// Takes one away: who came through it alone is out from here on. One that is not there is deleted already.
///
/// # Errors
/// `ResourceNotFound` for the owner; [`Error::Stale`].
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (mut owner, revision) = Owner::of(input, env).await?;
    let Some(at) = index(&owner, input.param("connection")) else { return Ok(Reply::empty(204)) };
    let mut connections = all(&owner).to_vec();
    connections.remove(at);
    owner.set_property(PROPERTY, Value::Array(connections));
    owner.save(permit, env, revision).await?;
    Ok(Reply::empty(200))
}

fn read(body: &Value, former: Option<&Value>, owner: &Scope, name: &str) -> Result<Value, Error> {
    let fields = Fields::of(body)?;
    let refused = || fields.refuse("properties.privateLinkServiceConnectionState", "required");
    let properties = fields.object("properties")?.ok_or_else(refused)?;
    let given = properties.object("privateLinkServiceConnectionState")?.ok_or_else(refused)?;
    let statuses = ["Pending", APPROVED, "Rejected", "Disconnected"];
    let Some(status) = given.word("status", &statuses)? else {
        return Err(given.refuse("status", format!("required: one of {}", statuses.join(", "))));
    };
    let text = |given: &Fields<'_>, name: &str| match given.text(name)? {
        Some(it) if it.chars().count() > TEXT_CHARACTERS_MAX => {
            let because = format!("longer than {TEXT_CHARACTERS_MAX} characters");
            Err(given.refuse(name, because))
        }
        it => Ok(it.map(str::to_owned)),
    };
    let mut made = json!({
        "id": format!("{owner}/{PROPERTY}/{name}"),
        "name": former.and_then(|it| model::json::text(it, &["name"])).unwrap_or(name),
        "type": format!("{}/{PROPERTY}", owner.resource_type().unwrap_or_default()),
        "properties": { "privateLinkServiceConnectionState": {
            "status": status,
            "description": text(&given, "description")?.unwrap_or_default(),
            "actionsRequired": text(&given, "actionsRequired")?.unwrap_or_else(|| "None".into()),
        } },
    });
    let told = match properties.object("privateEndpoint")? {
        Some(it) => text(&it, "id")?,
        None => None,
    };
    let kept = || {
        let path = ["properties", "privateEndpoint", "id"];
        former.and_then(|it| model::json::text(it, &path)).map(str::to_owned)
    };
    if let (Some(id), Some(properties)) = (told.or_else(kept), made.get_mut("properties")) {
        set(properties, "privateEndpoint", json!({ "id": id }));
    }
    Ok(made)
}

fn checked_name(input: &Input) -> Result<&str, Error> {
    let name = input.param("connection");
    let is_fine = |it: u8| it.is_ascii_alphanumeric() || b"-._".contains(&it);
    match (1..=NAME_CHARACTERS_MAX).contains(&name.len()) && name.bytes().all(is_fine) {
        true => Ok(name),
        false => Err(Error::invalid(
            "name",
            format!(
                "a private endpoint connection's name has 1 to {NAME_CHARACTERS_MAX} letters, digits and `-._`"
            ),
        )),
    }
}
