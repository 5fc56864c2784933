//! What is below a management group, and what of the tree a caller may see.

use super::{group, scope_of};
use crate::call::may_see;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::facts::ManagementGroup;
use gate::{Facts, Permit};
use model::{Error, Op, Scope};
use serde_json::{Value, json};

const GROUP: &str = "Microsoft.Management/managementGroups";

/// The subscriptions that exist.
pub(crate) fn subscriptions(facts: &Facts) -> impl Iterator<Item = &Scope> {
    facts.containers.values().filter(|it| it.segments().count() == 2)
}

/// The groups that the caller may read, by name.
pub(super) fn readable<'a>(
    permit: &Permit,
    facts: &'a Facts,
    env: &Env,
) -> Vec<&'a ManagementGroup> {
    let sees = |it: &&ManagementGroup| {
        may_see(permit, Op::GetManagementGroup, &scope_of(&it.name), facts, env)
    };
    let mut found: Vec<&ManagementGroup> = facts.management.all().filter(sees).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The groups and subscriptions right below a group, each with its own where it `is_deep`.
pub(super) fn children(name: &str, is_deep: bool, facts: &Facts) -> Value {
    let is_mine = |it: &str| it.eq_ignore_ascii_case(name);
    let mut groups: Vec<&ManagementGroup> =
        facts.management.all().filter(|it| it.parent.as_deref().is_some_and(is_mine)).collect();
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    let groups = groups.into_iter().map(|it| {
        let below = match is_deep {
            true => children(&it.name, true, facts),
            false => Value::Null,
        };
        json!({
            "type": GROUP, "id": scope_of(&it.name), "name": it.name,
            "displayName": it.display_name, "children": below,
        })
    });
    let held =
        subscriptions(facts).filter(|it| is_mine(facts.management.of_subscription(it.name())));
    let held = held.map(|it| {
        json!({ "type": "/subscriptions", "id": it, "name": it.name(), "displayName": it.name() })
    });
    groups.chain(held).collect()
}

/// `GET .../descendants`: everything below a group, flat.
pub(crate) async fn descendants(
    _permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let group = group(input, &facts)?;
    let top = scope_of(&group.name);
    let groups = facts.management.all().filter_map(|it| {
        let parent = it.parent.as_ref()?;
        let is_below = facts.contains(&top, &scope_of(parent));
        is_below.then(|| descendant(GROUP, &scope_of(&it.name), &it.display_name, parent))
    });
    let held = subscriptions(&facts).filter(|it| facts.contains(&top, it)).map(|it| {
        descendant("/subscriptions", it, it.name(), facts.management.of_subscription(it.name()))
    });
    Ok(Reply::list(groups.chain(held).collect()))
}

fn descendant(kind: &str, scope: &Scope, display_name: &str, parent: &str) -> Value {
    json!({
        "id": scope, "type": kind, "name": scope.name(),
        "properties": { "displayName": display_name, "parent": { "id": scope_of(parent) } },
    })
}

/// `POST /providers/Microsoft.Management/getEntities`: groups and subscriptions, flat.
pub(crate) async fn entities(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let entity = |kind: &str, scope: &Scope, display_name: &str, parent: Option<&str>| {
        let above: Vec<&str> =
            parent.into_iter().flat_map(|it| facts.management.upwards(it)).collect();
        json!({
            "id": scope, "type": kind, "name": scope.name(),
            "properties": {
                "tenantId": env.settings.tenant,
                "displayName": display_name,
                "parent": { "id": parent.map(scope_of) },
                "parentNameChain": above,
                "permissions": "view",
                "inheritedPermissions": "view",
                "numberOfDescendants": 0,
                "numberOfChildren": 0,
                "numberOfChildGroups": 0,
            },
        })
    };
    let groups = readable(permit, &facts, env);
    let groups = groups
        .into_iter()
        .map(|it| entity(GROUP, &scope_of(&it.name), &it.display_name, it.parent.as_deref()));
    let held = subscriptions(&facts)
        .filter(|it| may_see(permit, Op::GetSubscription, it, &facts, env))
        .map(|it| {
            let parent = facts.management.of_subscription(it.name());
            entity("/subscriptions", it, it.name(), Some(parent))
        });
    Ok(Reply::list(groups.chain(held).collect()))
}
