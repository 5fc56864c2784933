//! Tenants, subscriptions and locations: the top of the tree.
//!
//! A subscription exists where its document does, so there may be several. Only the first start makes
//! one; no call does.

use super::subscription_of;
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::resource_types::LOCATIONS;
use model::{Error, ObjectId, Scope};
use serde_json::{Value, json};
use store::{Change, Expect, tables};

/// The change that makes a subscription. For the first start, before anybody can call.
///
/// # Errors
/// None that can happen: the document is made here.
pub fn change_create(id: ObjectId, display_name: &str) -> Result<Change, Error> {
    let scope = Scope::subscription(&id.to_string());
    let document = json!({
        "id": scope.as_str(),
        "type": "Microsoft.Resources/subscriptions",
        "subscriptionId": id,
        "displayName": display_name,
    });
    control::put(tables::RESOURCES, scope.key(), Expect::Absent, &document)
}

/// `GET /subscriptions`: those at, above or below which the caller holds any role.
pub(crate) async fn list(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let mut seen = Vec::new();
    if let Some(principal) = permit.caller().object_id {
        let subscriptions = facts.containers.values().filter(|it| it.segments().count() == 2);
        for scope in subscriptions.filter(|it| facts.has_any_role_near(principal, it)) {
            if let Some(shown) = show(env, scope).await? {
                seen.push(shown);
            }
        }
    }
    let count = json!({ "type": "Total", "value": seen.len() });
    Ok(Reply::ok(json!({ "value": seen, "count": count })))
}

/// `GET /subscriptions/{subscription}`.
///
/// # Errors
/// `SubscriptionNotFound`.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let scope = subscription_of(input, &env.facts.load())?;
    match show(env, &scope).await? {
        Some(shown) => Ok(Reply::ok(shown)),
        None => Err(Error::NotFound {
            code: "SubscriptionNotFound",
            message: format!("there is no subscription `{}`", scope.name()),
        }),
    }
}

async fn show(env: &Env, scope: &Scope) -> Result<Option<Value>, Error> {
    let found = control::get::<Value>(env, tables::RESOURCES, &scope.key()).await?;
    Ok(found.map(|(document, _)| {
        let id = scope.name();
        json!({
            "id": scope.as_str(),
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
            "subscriptionId": id,
            "tenantId": env.settings.tenant,
            "displayName": model::json::text(&document, &["displayName"]).unwrap_or(id),
            "state": "Enabled",
            "subscriptionPolicies": {
                "locationPlacementId": "Public_2014-09-01",
                "quotaId": "SelfHosted",
                "spendingLimit": "Off",
            },
        })
    }))
}

/// `GET /tenants`: there is one.
pub(crate) async fn list_tenants(
    _permit: &Permit,
    _input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let tenant = env.settings.tenant;
    Ok(Reply::list(vec![json!({
        "id": format!("/tenants/{tenant}"),
        "tenantId": tenant,
        "displayName": "Hubward",
        "tenantCategory": "Home",
        "domains": [],
    })]))
}

/// `GET /subscriptions/{subscription}/locations`.
///
/// # Errors
/// `SubscriptionNotFound`.
pub(crate) async fn list_locations(
    _permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let scope = subscription_of(input, &env.facts.load())?;
    let locations = LOCATIONS.iter().map(|(name, display_name)| {
        json!({
            "id": scope.join(&format!("locations/{name}")).as_str(),
            "name": name,
            "type": "Region",
            "displayName": display_name,
            "regionalDisplayName": display_name,
            "metadata": { "regionType": "Logical", "regionCategory": "Other" },
        })
    });
    Ok(Reply::list(locations.collect()))
}
