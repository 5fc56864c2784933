//! Roles that would let a call pass which the access gate refused.

use super::{Fix, assigns, place_name, preset, proposed, quoted, still_refused, then};
use crate::env::Env;
use crate::questions::row_of;
use gate::facts::List;
use gate::{Facts, Link};
use model::trace::{FindingKind, FindingResult, Gate, Trace};
use model::{ActionName, ObjectId, Scope};

/// The narrowest known role that grants what is missing.
pub(crate) fn access_fixes(trace: &Trace, facts: &Facts, env: &Env) -> Vec<Fix> {
    let (Some(row), Some(caller)) = (row_of(trace), &trace.call.caller) else { return Vec::new() };
    let scope = trace.scope();
    let Some(principal) = caller.object_id else {
        let rights: Vec<&str> = row.sas.iter().map(|it| it.as_str()).collect();
        return vec![Fix {
            says: format!(
                "use a shared access policy with {}; this one lists them",
                rights.join(" or ")
            ),
            command: format!(
                "az iot hub policy list --hub-name {} --resource-group {}",
                quoted(scope.name()),
                quoted(scope.resource_group().unwrap_or(""))
            ),
            then: "with such a key this gate would pass".into(),
            warning: None,
        }];
    };
    let is_missing =
        |it: &ActionName| !is_held(*it, &scope, (principal, List::of(row.role_plane())), facts);
    let missing: Vec<ActionName> = row.actions.iter().copied().filter(is_missing).collect();
    let found = role_fixes(trace, &missing, &[&preset::place(&scope)], facts, env);
    match found.is_empty() {
        true => preset::named_role(trace, &missing, (caller, principal), facts, env)
            .into_iter()
            .collect(),
        false => found,
    }
}

/// The same for what the call reaches besides, as far as one action is missing there.
pub(super) fn linked_fixes(trace: &Trace, facts: &Facts, env: &Env) -> Vec<Fix> {
    let (Some(row), Some(principal)) =
        (row_of(trace), trace.call.caller.as_ref().and_then(|it| it.object_id))
    else {
        return Vec::new();
    };
    let linked: Vec<Link> = trace.call.linked.iter().filter_map(Link::replayed).collect();
    let is_missing =
        |it: &&Link| !is_held(it.action, &it.scope, (principal, List::of(row.role_plane())), facts);
    let missing: Vec<&Link> = linked.iter().filter(is_missing).collect();
    match missing.as_slice() {
        // Of several actions, a role that has all of them would be given where it is not needed.
        [first, others @ ..] if others.iter().all(|it| it.action == first.action) => {
            let scopes: Vec<&Scope> = missing.iter().map(|it| &it.scope).collect();
            role_fixes(trace, &[first.action], &scopes, facts, env)
        }
        _ => Vec::new(),
    }
}

fn is_held(
    action: ActionName,
    scope: &Scope,
    (principal, list): (ObjectId, List),
    facts: &Facts,
) -> bool {
    let here = facts.held_by(principal).filter(|it| facts.contains(&it.scope, scope));
    here.filter(|it| it.condition.is_none()).any(|it| {
        facts
            .roles
            .get(&it.role)
            .is_some_and(|role| facts.grants(role, action.as_str(), list).is_some())
    })
}

/// The narrowest known roles that grant what is `missing`, given at every one of the scopes.
fn role_fixes(
    trace: &Trace,
    missing: &[ActionName],
    scopes: &[&Scope],
    facts: &Facts,
    env: &Env,
) -> Vec<Fix> {
    let (Some(row), Some(caller)) = (row_of(trace), &trace.call.caller) else { return Vec::new() };
    let Some(principal) = caller.object_id else { return Vec::new() };
    let looked_at = trace.step(Gate::Access).into_iter().flat_map(|it| &it.findings);
    let is_by_condition = looked_at
        .filter(|it| it.kind == FindingKind::RoleAssignment && it.result == FindingResult::NoMatch)
        .any(|it| !it.conditions.is_empty());
    let mut found = Vec::new();
    for role in facts.roles_that_grant(missing, List::of(row.role_plane())).into_iter().take(2) {
        let is_assignable =
            |at: &Scope| role.assignable_scopes.iter().any(|it| facts.contains(it, at));
        if !scopes.iter().all(|it| is_assignable(it)) {
            continue;
        }
        let mut changed = facts.clone();
        for scope in scopes {
            changed.put_role_assignment(proposed(scope, "proposed", principal, role.id, env));
        }
        if still_refused(trace, &changed, env) == Some(Gate::Access) {
            continue;
        }
        let places: Vec<String> = scopes.iter().map(|it| format!("`{}`", place_name(it))).collect();
        let commands: Vec<String> =
            scopes.iter().map(|it| assigns(caller, principal, &role.name, it)).collect();
        found.push(Fix {
            says: format!(
                "give `{}` the role `{}` on {}",
                caller.name,
                role.name,
                places.join(" and ")
            ),
            command: commands.join(" && "),
            then: then(trace, &changed, env),
            warning: is_by_condition.then(|| {
                "a condition limits the roles that are held now: without one, this role is not limited"
                    .into()
            }),
        });
    }
    found
}
