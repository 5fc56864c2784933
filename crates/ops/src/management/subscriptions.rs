//! Which management group a subscription is in.

use super::{WRITE, group, scope_of};
use crate::control::{commit, delete as remove, put as keep};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::management::lists;
use gate::{Facts, Link, Permit};
use model::{ActionName, Error, Scope};
use serde_json::{Value, json};
use store::{Expect, tables};

/// Moving a subscription changes who holds roles there, so it takes the right to assign them, and the
/// right to change the group that it leaves.
pub(crate) fn links(input: &Input, facts: &Facts) -> Vec<Link> {
    let subscription = Scope::subscription(input.param("subscription"));
    let before = facts.management.of_subscription(input.param("subscription"));
    let assign = ActionName::new("Microsoft.Authorization/roleAssignments/write");
    vec![
        Link { action: assign, scope: subscription },
        Link { action: WRITE, scope: scope_of(before) },
    ]
}

pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let group = group(input, &facts)?;
    let subscription = subscription(input, &facts)?;
    let key = subscription.name().to_ascii_lowercase();
    let place = json!({ "group": group.name });
    let change = keep(tables::SUBSCRIPTION_PLACES, &key, Expect::Anything, &place)?;
    commit(permit, env, vec![change]).await?;
    Ok(Reply::ok(shown(&subscription, &group.name, env)))
}

pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let group = group(input, &facts)?;
    let subscription = subscription(input, &facts)?;
    match facts.management.of_subscription(subscription.name()).eq_ignore_ascii_case(&group.name) {
        true => Ok(Reply::ok(shown(&subscription, &group.name, env))),
        false => Err(not_in(&subscription, &group.name)),
    }
}

pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let group = group(input, &facts)?;
    let held = lists::subscriptions(&facts)
        .filter(|it| facts.management.of_subscription(it.name()).eq_ignore_ascii_case(&group.name));
    Ok(Reply::list(held.map(|it| shown(it, &group.name, env)).collect()))
}

pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let group = group(input, &facts)?;
    let subscription = subscription(input, &facts)?;
    if !facts.management.of_subscription(subscription.name()).eq_ignore_ascii_case(&group.name) {
        return Ok(Reply::empty(204));
    }
    let key = subscription.name().to_ascii_lowercase();
    let change = remove(tables::SUBSCRIPTION_PLACES, key, Expect::Anything);
    commit(permit, env, vec![change]).await?;
    Ok(Reply::empty(200))
}

fn subscription(input: &Input, facts: &Facts) -> Result<Scope, Error> {
    crate::resources::subscription_of(input, facts)
}

fn not_in(subscription: &Scope, group: &str) -> Error {
    Error::NotFound {
        code: "SubscriptionNotFound",
        message: format!(
            "the subscription `{}` is not in the management group `{group}`",
            subscription.name()
        ),
    }
}

fn shown(subscription: &Scope, group: &str, env: &Env) -> Value {
    json!({
        "id": scope_of(group).join(&format!("subscriptions/{}", subscription.name())),
        "type": "Microsoft.Management/managementGroups/subscriptions",
        "name": subscription.name(),
        "properties": {
            "tenant": env.settings.tenant,
            "displayName": subscription.name(),
            "parent": { "id": scope_of(group) },
            "state": "Active",
        },
    })
}
