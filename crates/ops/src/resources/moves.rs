//! Moving hubs, provisioning services and targets to another resource group of the subscription.
//!
//! A resource's id names its group, so it gets a new one. Its shard, address, keys and identity stay, and
//! devices notice nothing. What was assigned or set at the old id is deleted in the same commit: a later
//! resource of the same name must not inherit it, see `cascade.rs` and decision 0019. The gates see each
//! resource as written at its new place, and the old group as the place of the call.

use super::cascade::{Attached, CASCADE_DOCUMENTS_MAX, attached};
use super::{group_of, no_group, no_resource};
use crate::control;
use crate::devices::{self, hubs};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::insights::settings;
use crate::objects::object;
use crate::provisioning::services;
use crate::targets;
use gate::{Facts, Link, Permit};
use model::json::set;
use model::trace::{Object, Verb};
use model::{ActionName, Error, Op, Scope};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::{Table, tables};

/// Most resources of one move.
/// Source: Azure Resource Manager documentation, "Move resources to a new resource group".
const RESOURCES_MAX: usize = 800;

const TARGET: &str = "targetResourceGroup";
const WRITE_GROUP: ActionName =
    ActionName::new("Microsoft.Resources/subscriptions/resourceGroups/write");

/// What keeps something out or on record, and who may take it away: a move must not be a way round that.
const LIFTED: [(Table, ActionName); 3] = [
    (tables::DENY_ASSIGNMENTS, ActionName::new("Microsoft.Authorization/denyAssignments/delete")),
    (
        tables::POLICY_ASSIGNMENTS,
        ActionName::new("Microsoft.Authorization/policyAssignments/delete"),
    ),
    (tables::DIAGNOSTIC_SETTINGS, ActionName::new("Microsoft.Insights/diagnosticSettings/delete")),
];

/// What an answer calls the documents that a move deletes.
const NOUNS: [(Table, &str); 6] = [
    (tables::ROLE_ASSIGNMENTS, "role assignments"),
    (tables::DENY_ASSIGNMENTS, "deny assignments"),
    (tables::POLICY_ASSIGNMENTS, "policy assignments"),
    (tables::POLICY_EXEMPTIONS, "policy exemptions"),
    (tables::LOCKS, "locks"),
    (tables::DIAGNOSTIC_SETTINGS, "diagnostic settings"),
];

/// A kind of resource that can move.
#[derive(Clone, Copy)]
enum Kind {
    Hub,
    Dps,
    Target,
}

/// A resource with the place where it is and the one where it is wanted.
struct Way {
    kind: Kind,
    from: Scope,
    to: Scope,
}

/// `POST .../moveResources` and `POST .../validateMoveResources`. Both answer 204; the header
/// `x-hubward-removed` counts what lies at the old ids and does not go along.
///
/// # Errors
/// The place in the body that breaks a rule; `ResourceGroupNotFound` for either group; `ResourceNotFound`;
/// `ResourceMoveNotSupported` for other types; `ResourceExists`; `ScopeTooLarge` above
/// [`CASCADE_DOCUMENTS_MAX`]. Nothing was moved then.
pub(crate) async fn run(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let (mut changes, mut removed) = (Vec::new(), Vec::new());
    let ways = ways(input, &facts)?;
    for way in &ways {
        removed.extend(attached(&way.from, env).await?);
        changes.extend(match way.kind {
            Kind::Hub => hubs::changes_to_move(env, &way.from, &way.to).await?,
            Kind::Dps => services::changes_to_move(env, &way.from, &way.to).await?,
            Kind::Target => targets::changes_to_move(env, &way.from, &way.to).await?,
        });
    }
    let documents = changes.len().saturating_add(removed.len());
    if documents > CASCADE_DOCUMENTS_MAX {
        return Err(Error::Conflict {
            code: "ScopeTooLarge",
            message: format!(
                "the move changes {documents} documents; at most {CASCADE_DOCUMENTS_MAX} are changed at once: \
                 move fewer resources, or delete role assignments at them first"
            ),
        });
    }
    let reply = Reply::empty(204);
    let reply = match told(&removed) {
        it if it.is_empty() => reply,
        it => reply.with_header("x-hubward-removed", it),
    };
    if permit.operation().op == Op::ValidateMoveResources {
        return Ok(reply);
    }
    changes.extend(removed.into_iter().map(Attached::deletion));
    control::commit(permit, env, changes).await?;

    // INVARIANT: from here on the move is acknowledged, whatever comes of the rest.
    if let Err(error) = settings::load(env).await {
        let tracking = permit.trace().map_or_else(|| env.new_tracking_id(), |it| it.id);
        env.metrics
            .log_fault(tracking, &format!("diagnostic settings were not loaded again: {error}"));
    }
    for way in &ways {
        // Who is silent must hear of it, too: other roles and policies may hold at the new place.
        if let Some(hub) = env.facts.load().hub(&way.to) {
            env.presence.changed_all(&hub.uid);
        }
    }
    Ok(reply)
}

/// `2 role assignments, 1 locks`: empty where nothing is removed.
fn told(removed: &[Attached]) -> String {
    let count = |table: Table| removed.iter().filter(|it| it.table == table).count();
    let all = NOUNS.iter().map(|(table, noun)| (count(*table), *noun)).filter(|it| it.0 > 0);
    all.map(|(count, noun)| format!("{count} {noun}")).collect::<Vec<_>>().join(", ")
}

/// What policy and locks see: each resource as it would be at its new place. Nothing where the body breaks
/// a rule, as nothing is moved then and the operation says why.
pub(crate) async fn objects(input: &Input, env: &Env) -> Result<Vec<Object>, Error> {
    let Ok(ways) = ways(input, &env.facts.load()) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for Way { kind, from, to } in &ways {
        let current = match kind {
            Kind::Hub => devices::hubs::current(env, from).await?,
            Kind::Dps => services::current(env, from).await?,
            Kind::Target => targets::current(env, from).await?,
        };
        let mut body = current.ok_or_else(|| no_resource(from))?;
        set(&mut body, "id", json!(to));
        set(&mut body, "resourcegroup", json!(to.resource_group()));
        all.push(Object { verb: Verb::Move, ..object(to, &body) });
    }
    Ok(all)
}

/// What the caller must be allowed besides: to write the target group, and to take away what a move takes
/// away from the resources, but for what only gives.
pub(crate) async fn links(input: &Input, env: &Env) -> Result<Vec<Link>, Error> {
    let facts = env.facts.load();
    let mut links = Vec::new();
    // Before anything is known of the target: whoever may not write it learns nothing of it.
    if let Some(scope) = input.text(&[TARGET]).and_then(|it| Scope::parse(it).ok()) {
        links.push(Link { action: WRITE_GROUP, scope });
    }
    let Ok(ways) = ways(input, &facts) else { return Ok(links) };
    for Way { from, .. } in &ways {
        let attached = attached(from, env).await?;
        let lifted =
            LIFTED.iter().filter(|(table, _)| attached.iter().any(|it| it.table == *table));
        links.extend(lifted.map(|(_, action)| Link { action: *action, scope: from.clone() }));
    }
    Ok(links)
}

/// Reads the body against what there is.
fn ways(input: &Input, facts: &Facts) -> Result<Vec<Way>, Error> {
    let source = group_of(input, facts)?;
    let target = target(input, &source, facts)?;
    let given = model::json::member(&input.body, "resources").and_then(Value::as_array);
    let given = given.filter(|it| (1..=RESOURCES_MAX).contains(&it.len())).ok_or_else(|| {
        Error::invalid(
            "resources",
            format!("a list of 1 to {RESOURCES_MAX} resource ids is required"),
        )
    })?;
    let mut seen = BTreeSet::new();
    let mut ways = Vec::with_capacity(given.len());
    for (index, it) in given.iter().enumerate() {
        let at = format!("resources[{index}]");
        let way = way(&at, it, &source, &target, facts)?;
        if !seen.insert(way.from.key()) {
            return Err(Error::invalid(at, "this resource stands in the list already"));
        }
        ways.push(way);
    }
    Ok(ways)
}

/// The group that the body names, in the casing that it was made with.
fn target(input: &Input, source: &Scope, facts: &Facts) -> Result<Scope, Error> {
    let refuse = |because: &str| Err(Error::invalid(TARGET, because));
    let Some(target) = input.text(&[TARGET]) else {
        return refuse("the id of a resource group is required");
    };
    let target = Scope::parse(target).map_err(|it| Error::invalid(TARGET, it.to_string()))?;
    if target.resource_group().is_none() || target.segments().count() != 4 {
        return refuse(
            "this is no id of a resource group: `/subscriptions/{id}/resourceGroups/{name}`",
        );
    }
    if target.same_place(source) {
        return refuse("the resources are in this group already");
    }
    let own = source.subscription_scope();
    if !own.is_some_and(|it| it.contains(&target)) {
        return refuse("the group lies in another subscription; moves stay within one");
    }
    facts.containers.get(&target.key()).cloned().ok_or_else(|| no_group(target.name()))
}

fn way(
    at: &str,
    given: &Value,
    source: &Scope,
    target: &Scope,
    facts: &Facts,
) -> Result<Way, Error> {
    let id =
        given.as_str().ok_or_else(|| Error::invalid(at, "the id of a resource is required"))?;
    let id = Scope::parse(id).map_err(|it| Error::invalid(at, it.to_string()))?;
    let kind = match id.resource_type().unwrap_or_default().to_ascii_lowercase().as_str() {
        "microsoft.devices/iothubs" => Kind::Hub,
        "microsoft.devices/provisioningservices" => Kind::Dps,
        _ if targets::is_top_key(&id.key()) => Kind::Target,
        _ => {
            return Err(Error::Invalid {
                code: "ResourceMoveNotSupported",
                at: Some(at.to_owned()),
                message: format!(
                    "`{id}` cannot be moved: hubs, provisioning services, namespaces and storage accounts can, and what lies below them goes along"
                ),
            });
        }
    };
    if !source.contains(&id) {
        return Err(Error::invalid(at, format!("`{id}` does not lie in `{source}`")));
    }
    let found = match kind {
        Kind::Hub => facts.hub(&id).map(|it| &it.scope),
        Kind::Dps => facts.dps(&id).map(|it| &it.scope),
        Kind::Target => facts.target(&id).map(|it| &it.scope),
    };
    let from = found.cloned().ok_or_else(|| Error::NotFound {
        code: "ResourceNotFound",
        message: format!("{at}: the resource `{id}` could not be found"),
    })?;
    let below: Vec<&str> = from.segments().skip(source.segments().count()).collect();
    let to = target.join(&below.join("/"));
    // Names are unique over all groups, so this cannot be, unless a name were to become free to repeat.
    if facts.hub(&to).is_some() || facts.dps(&to).is_some() || facts.target(&to).is_some() {
        return Err(Error::Conflict {
            code: "ResourceExists",
            message: format!("{at}: there is a resource `{to}` already"),
        });
    }
    Ok(Way { kind, from, to })
}
