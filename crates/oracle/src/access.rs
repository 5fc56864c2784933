//! Role-based access control, and the rights of shared access policies.
//!
//! Source: Azure RBAC documentation, "What is Azure role-based access control": how a decision is made;
//! "Understand Azure role definitions"; "Understand Azure deny assignments"; IoT Hub documentation,
//! "Control access to IoT Hub by using shared access signatures".

use crate::groups::caller_and_groups;
use crate::operations::Right;
use crate::request::{Token, View, Who};
use crate::scopes;
use crate::wildcard::matches;
use crate::world::{DenyAssignment, Permission, Role, RoleAssignment};
use crate::{Answer, Gate, Plane, Request, World};

pub(crate) fn refusal(world: &World, request: &Request) -> Option<Answer> {
    match &request.who {
        Who::Device(_) => None,
        Who::Key { policy, .. } => {
            let no = Answer::refused(Gate::Access, 401, "IotHubUnauthorizedAccess");
            (!key_covers(world, request, policy)).then_some(no)
        }
        Who::Principal { id, token } => refusal_of_principal(world, request, id, token),
    }
}

/// Any one of the rights that the operation takes is enough, and writing implies reading.
fn key_covers(world: &World, request: &Request, policy: &str) -> bool {
    world
        .hubs
        .iter()
        .filter(|it| scopes::is_same(&it.scope, &request.scope))
        .flat_map(|it| &it.policies)
        .filter(|it| it.name.eq_ignore_ascii_case(policy))
        .flat_map(|it| &it.rights)
        .any(|held| {
            request.operation.rights.iter().any(|needed| {
                held == needed || (*held == Right::RegistryWrite && *needed == Right::RegistryRead)
            })
        })
}

fn refusal_of_principal(
    world: &World,
    request: &Request,
    id: &str,
    token: &Token,
) -> Option<Answer> {
    let is_data = matches!(request.operation.plane, Plane::Data | Plane::Device);
    let refused = |code| match is_data {
        true => Answer::refused(Gate::Access, 401, "IotHubUnauthorized"),
        false => Answer::refused(Gate::Access, 403, code),
    };
    let me = caller_and_groups(world, id);
    // Denials first, whatever roles there are.
    for action in request.operation.actions {
        if is_denied(world, action, &request.scope, is_data, &me) {
            return Some(refused("DenyAssignmentAuthorizationFailed"));
        }
    }
    for action in request.operation.actions {
        if !is_granted(world, action, &request.scope, is_data, &me, request, token) {
            return Some(refused("AuthorizationFailed"));
        }
    }
    for link in &request.linked {
        if is_denied(world, link.action, &link.scope, is_data, &me) {
            return Some(refused("DenyAssignmentAuthorizationFailed"));
        }
        if !is_granted(world, link.action, &link.scope, is_data, &me, request, token) {
            return Some(refused("LinkedAuthorizationFailed"));
        }
    }
    None
}

fn is_denied(world: &World, action: &str, scope: &str, is_data: bool, me: &[String]) -> bool {
    // Hubward's own: what manages deny assignments cannot be denied.
    let manages = action.to_lowercase().starts_with("microsoft.authorization/denyassignments/");
    !manages
        && world.deny_assignments.iter().any(|it| {
            is_where(world, it, scope)
                && it.principals.as_ref().is_none_or(|named| any_of(me, named))
                && !any_of(me, &it.excluded)
                && it.permissions.iter().any(|block| covers(block, action, is_data, ""))
        })
}

fn is_where(world: &World, denial: &DenyAssignment, scope: &str) -> bool {
    match denial.is_at_scope_only {
        true => scopes::is_same(&denial.scope, scope),
        false => scopes::is_at_or_below(world, scope, &denial.scope),
    }
}

fn any_of(me: &[String], named: &[String]) -> bool {
    named.iter().any(|it| me.contains(&it.to_lowercase()))
}

/// Grants add up: one assignment with one block is enough.
fn is_granted(
    world: &World,
    action: &str,
    scope: &str,
    is_data: bool,
    me: &[String],
    request: &Request,
    token: &Token,
) -> bool {
    world.role_assignments.iter().any(|assignment| {
        me.contains(&assignment.principal.to_lowercase())
            && counts(assignment, request, token)
            && scopes::is_at_or_below(world, scope, &assignment.scope)
            && world.roles.iter().filter(|it| it.id.eq_ignore_ascii_case(&assignment.role)).any(
                |role| {
                    let prefix = must_start_with(world, role, action);
                    role.permissions.iter().any(|block| covers(block, action, is_data, prefix))
                },
            )
    })
}

/// What a block grants: what its actions match, without what its not-actions match. The two planes have
/// lists of their own. Patterns count that start with `prefix`.
fn covers(block: &Permission, action: &str, is_data: bool, prefix: &str) -> bool {
    let (given, taken) = match is_data {
        true => (&block.data_actions, &block.not_data_actions),
        false => (&block.actions, &block.not_actions),
    };
    given
        .iter()
        .any(|it| it.to_lowercase().starts_with(&prefix.to_lowercase()) && matches(it, action))
        && !taken.iter().any(|it| matches(it, action))
}

/// Hubward's own: some actions only those patterns grant that name their kind. Nobody has security policies
/// by the way, where the switch is on; and only Owner has the directory by the way.
fn must_start_with(world: &World, role: &Role, action: &str) -> &'static str {
    const SECURITY_POLICIES: &str = "Microsoft.Devices/IotHubs/securityPolicies/";
    const DIRECTORY: &str = "Microsoft.Directory/";
    let is_about = |kind: &str| action.to_lowercase().starts_with(&kind.to_lowercase());
    if world.has_explicit_grants && is_about(SECURITY_POLICIES) {
        return SECURITY_POLICIES;
    }
    if is_about(DIRECTORY) && !role.is_owner {
        return DIRECTORY;
    }
    ""
}

/// True where the assignment was made and not taken away, as far as the request's view knows.
fn counts(assignment: &RoleAssignment, request: &Request, token: &Token) -> bool {
    let Some(view) = request.view else { return assignment.deleted_ms.is_none() };
    is_visible(assignment.created_ms, view, request.now_ms, token)
        && !assignment.deleted_ms.is_some_and(|it| is_visible(it, view, request.now_ms, token))
}

/// A change is visible once it is as old as the delay, and at once to a token from after it or from its second.
fn is_visible(change_ms: i64, view: View, now_ms: i64, token: &Token) -> bool {
    now_ms >= change_ms + i64::from(view.delay_s) * 1_000
        || (view.is_healed_by_token && token.issued_ms / 1_000 >= change_ms / 1_000)
}
