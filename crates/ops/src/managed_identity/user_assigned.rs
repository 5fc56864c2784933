//! User-assigned identities: made, shown and deleted, each with its principal in the directory.
//!
//! The principal is made and removed in the same commit; roles that it held elsewhere stay, orphaned. An identity may
//! be deleted while a hub or provisioning service has it attached, as in Azure: there it goes on being named, and proves
//! nothing any more. One that is made again under the same name is another principal, and counts there once it
//! is attached anew. Source: the published contract of Microsoft.ManagedIdentity, api-version 2023-01-31.

use super::Identity;
use crate::call::may_see;
use crate::control;
use crate::entra::principals;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::resources::fields::Fields;
use crate::resources::{
    Cascade, check_etag, container_of, group_of, location, long_running, no_resource,
    scope_as_made, tags,
};
use gate::facts::UserAssigned;
use gate::{Facts, Permit};
use model::json::set;
use model::{Error, Op, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use store::{Expect, tables};

/// Source: Azure resource naming rules, Microsoft.ManagedIdentity.
const NAME_CHARACTERS: RangeInclusive<usize> = 3..=128;
/// Most user-assigned identities of a tenant. A bound of ours.
const IDENTITIES_MAX: usize = 10_000;

/// A user-assigned identity as it is kept.
#[derive(Clone, Serialize, Deserialize)]
struct Document {
    /// As ARM shows it.
    resource: Value,
    identity: Identity,
}

/// Brings an identity's document into the facts.
///
/// # Errors
/// Says what cannot be read.
pub(crate) fn change_facts(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        facts.remove_user_assigned(&Scope::parse(key).map_err(|it| it.to_string())?);
        return Ok(());
    };
    let Document { resource, identity } =
        serde_json::from_slice(body).map_err(|it| it.to_string())?;
    facts.put_user_assigned(UserAssigned {
        scope: scope_as_made(key, &resource)?,
        principal: identity.principal_id,
        client: identity.client_id,
    });
    Ok(())
}

/// The identity at `scope` as an answer shows it, where it exists: what a patch is laid over.
pub(crate) async fn current(env: &Env, scope: &Scope) -> Result<Option<Value>, Error> {
    Ok(stored(env, scope).await?.map(|(it, _)| it.resource))
}

async fn stored(env: &Env, scope: &Scope) -> Result<Option<(Document, u64)>, Error> {
    control::get(env, tables::RESOURCES, &scope.key()).await
}

/// The scope of the identity that the path names, whether it exists or not.
fn scope_of(input: &Input, facts: &Facts) -> Result<Scope, Error> {
    let name = input.param("identity");
    let below = format!("providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
    Ok(group_of(input, facts)?.join(&below))
}

/// `PUT` and `PATCH` of an identity. The body of a `PATCH` is merged already.
///
/// # Errors
/// The place in the body that breaks a rule; `QuotaExceeded`; `ResourceNotFound` of a `PATCH`.
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let scope = scope_of(input, &facts)?;
    check_name(scope.name())?;
    let stored = stored(env, &scope).await?;
    check_etag(input, stored.is_some().then_some("*"))?;
    let location = location(&input.body, "LocationNotAvailableForResourceType")?;
    let tags = tags(&input.body)?;
    check_isolation(&input.body)?;
    let Some((mut document, revision)) = stored else {
        if permit.operation().op == Op::PatchUserAssignedIdentity {
            return Err(no_resource(&scope));
        }
        return create(permit, env, &facts, &scope, &json!({ "location": location, "tags": tags }))
            .await;
    };
    let current = model::json::text(&document.resource, &["location"]).unwrap_or("");
    if current != location {
        let because = format!("the identity is in `{current}`; it cannot move to another location");
        return Err(Error::invalid("location", because));
    }
    set(&mut document.resource, "tags", json!(tags));
    let expect = Expect::Revision(revision);
    let change = control::put(tables::RESOURCES, scope.key(), expect, &document)?;
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::ok(document.resource))
}

async fn create(
    permit: &Permit,
    env: &Env,
    facts: &Facts,
    scope: &Scope,
    given: &Value,
) -> Result<Reply, Error> {
    if facts.user_assigned.len() >= IDENTITIES_MAX {
        return Err(Error::Conflict {
            code: "QuotaExceeded",
            message: format!(
                "there are {IDENTITIES_MAX} user-assigned identities, which is the most; delete some first"
            ),
        });
    }
    let identity = Identity::new(env);
    let resource = json!({
        "id": scope,
        "name": scope.name(),
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
        "location": given["location"],
        "tags": given["tags"],
        "properties": {
            "isolationScope": "None",
            "tenantId": env.settings.tenant,
            "principalId": identity.principal_id,
            "clientId": identity.client_id,
        },
    });
    let document = Document { resource, identity };
    let changes = vec![
        control::put(tables::RESOURCES, scope.key(), Expect::Absent, &document)?,
        principals::change_managed_identity(identity, scope, env)?,
    ];
    control::commit(permit, env, changes).await?;
    Ok(Reply::created(document.resource))
}

fn check_name(name: &str) -> Result<(), Error> {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"-_".contains(&it);
    match NAME_CHARACTERS.contains(&name.len())
        && name.bytes().all(allowed)
        && name.starts_with(|it: char| it.is_ascii_alphanumeric())
    {
        true => Ok(()),
        false => Err(Error::invalid(
            "name",
            format!(
                "an identity's name has {} to {} letters, digits, `-` and `_`, and begins with a letter or digit",
                NAME_CHARACTERS.start(),
                NAME_CHARACTERS.end()
            ),
        )),
    }
}

/// Refused and not ignored: the caller would count on an identity that other regions cannot use.
fn check_isolation(body: &Value) -> Result<(), Error> {
    let Some(properties) = Fields::of(body)?.object("properties")? else { return Ok(()) };
    properties.word("isolationScope", &["None"]).map(drop)
}

/// # Errors
/// `ResourceNotFound`.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let scope = scope_of(input, &env.facts.load())?;
    current(env, &scope).await?.map(Reply::ok).ok_or_else(|| no_resource(&scope))
}

/// Lists the identities of a group, or of a subscription where the path names no group.
///
/// # Errors
/// `SubscriptionNotFound` or `ResourceGroupNotFound`.
pub(crate) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let above = container_of(input, &facts)?;
    let is_shown = |it: &Scope| {
        above.contains(it) && may_see(permit, Op::GetUserAssignedIdentity, it, &facts, env)
    };
    let mut all = Vec::new();
    for identity in facts.user_assigned.values().filter(|it| is_shown(&it.scope)) {
        // One that is deleted while the list is made is not in it.
        all.extend(current(env, &identity.scope).await?);
    }
    Ok(Reply::list(all))
}

/// Deletes an identity, its principal and what lies at it. One that is not there is deleted already.
///
/// # Errors
/// `ScopeTooLarge`, see [`Cascade::of`].
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let scope = scope_of(input, &env.facts.load())?;
    if stored(env, &scope).await?.is_none() {
        return Ok(Reply::empty(204));
    }
    check_etag(input, Some("*"))?;
    let cascade = Cascade::of(&scope, env).await?;
    long_running::delete(permit, env, &scope, cascade).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["abc", "7a_", "Plant-7_id", &"a".repeat(128)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "ab", "-ab", "_ab", "a b", "a.b", "äbc", &"a".repeat(129)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
