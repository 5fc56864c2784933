//! The third gate: does a role, or a right of a shared access policy, cover what is asked?
//!
//! The two planes of a role are strictly apart: `actions` never grant a data action, nor the other way
//! round. Grants add up over assignments, a caller's own and those of each group that it is in; a
//! subtraction counts inside its own block only.

use crate::decide::{Ask, Findings, Link, Ruling};
use crate::deny;
use crate::facts::{Facts, List, RoleAssignment, Seen};
use model::error::{Denial, DenialKind};
use model::operations::Right;
use model::trace::{Caller, Finding, FindingKind, FindingResult, RolePlace};
use model::{ActionName, Gate, ObjectId, Plane, PrincipalKind, Scope};
use std::fmt::Write as _;
use std::sync::Arc;

pub(crate) fn rule(ask: &Ask<'_>, facts: &Facts, findings: &mut Findings) -> Ruling {
    let list = match ask.operation.plane {
        Plane::Open | Plane::Token => return allow(findings, "nobody needs a role for this"),
        Plane::Device if ask.caller.kind == PrincipalKind::Device => {
            return allow(findings, "a device may do this for itself");
        }
        plane @ (Plane::Control | Plane::Directory | Plane::Service | Plane::Device) => {
            List::of(plane)
        }
    };
    if ask.caller.kind == PrincipalKind::SasKey {
        return rights(ask, findings);
    }
    let Some(principal) = ask.caller.object_id else {
        return refuse(ask, ask.operation.actions, "the caller is nobody in the directory".into());
    };
    if ask.operation.actions.is_empty() {
        return allow(findings, "every signed-in caller may do this");
    }
    if let Some(denied) =
        deny::rule(ask, ask.operation.actions, ask.scope, principal, facts, findings)
    {
        return denied;
    }
    let held = facts.assignments_of(principal);
    let missing: Vec<ActionName> = ask
        .operation
        .actions
        .iter()
        .filter(|it| {
            !is_granted(ask, **it, list, ask.scope, principal, held.clone(), facts, findings)
        })
        .copied()
        .collect();
    if !missing.is_empty() {
        let why = match held.clone().next().is_none() {
            true => format!(
                "no role is assigned to `{}`{}, so nothing grants {}",
                ask.caller.name,
                match facts.groups.of(principal) {
                    [] => "",
                    _ => " or to a group that it is in",
                },
                names(&missing)
            ),
            false => format!("no role at this scope grants {}", names(&missing)),
        };
        let mut ruling = refuse(ask, &missing, why);
        let comes = |it: &ActionName| is_coming(ask, *it, list, held.clone(), facts);
        if ask.head.replica.is_some() && missing.iter().all(comes) {
            ruling.reason.push_str("; a role that does is on its way");
            ruling.denial =
                ruling.denial.map(|it| Denial { kind: DenialKind::NotAuthorizedYet, ..it });
        }
        return ruling;
    }
    for link in ask.linked {
        let actions = [link.action];
        if let Some(denied) = deny::rule(ask, &actions, &link.scope, principal, facts, findings) {
            return denied;
        }
        if !is_granted(
            ask,
            link.action,
            list,
            &link.scope,
            principal,
            held.clone(),
            facts,
            findings,
        ) {
            return refuse_linked(ask, link);
        }
    }
    let reason = findings.told(|| format!("granted: {}", names(ask.operation.actions)));
    Ruling { denial: None, reason }
}

fn allow(findings: &Findings, reason: &str) -> Ruling {
    Ruling { denial: None, reason: findings.told(|| reason.to_owned()) }
}

fn names(actions: &[ActionName]) -> String {
    actions.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

/// Looks through what the principal holds, itself or by its groups. Where only the verdict counts, the
/// first grant ends the search.
#[expect(clippy::too_many_arguments, reason = "the parts of one question, each from another hand")]
fn is_granted<'a>(
    ask: &Ask<'_>,
    action: ActionName,
    list: List,
    scope: &Scope,
    principal: ObjectId,
    held: impl Iterator<Item = &'a Arc<RoleAssignment>>,
    facts: &Facts,
    findings: &mut Findings,
) -> bool {
    let mut granted = false;
    for assignment in held {
        let is_here = facts.contains(&assignment.scope, scope);
        if !is_here && !findings.are_wanted() {
            continue;
        }
        let role = facts.roles.get(&assignment.role);
        let pattern = role.and_then(|it| facts.grants(it, action.as_str(), list));
        let seen = assignment.seen(ask.head, ask.caller);
        if seen == Seen::Gone {
            continue;
        }
        let would_grant = is_here && pattern.is_some();
        let grants = would_grant && seen.counts();
        if grants && !findings.are_wanted() {
            return true;
        }
        let is_first = grants && !granted;
        granted |= grants;
        findings.add(|| {
            let name = role.map_or_else(|| assignment.role.to_string(), |it| it.name.clone());
            let through = facts.through(principal, assignment);
            let (result, mut reason) = match (grants, is_first) {
                (true, true) => (FindingResult::Allow, format!("`{name}` grants `{action}`")),
                (true, false) => (FindingResult::Match, format!("`{name}` grants `{action}`, too")),
                (false, _) if would_grant => (FindingResult::NotVisible, format!("`{name}` grants `{action}`")),
                (false, _) => (
                    FindingResult::NoMatch,
                    near_miss(action, list, scope, assignment, &name, facts, is_here),
                ),
            };
            if !through.is_empty() {
                let names: Vec<String> =
                    through.iter().map(|it| format!("`{}`", it.name)).collect();
                // Writing to a `String` cannot fail.
                let _ = write!(reason, ", through the group {}", names.join(" in "));
            }
            match seen {
                // Writing to a `String` cannot fail.
                Seen::NotFor(s) => drop(write!(
                    reason,
                    ", but the assignment is not seen here for {s} s more; a new token sees it at once"
                )),
                Seen::StillFor(s) => drop(write!(
                    reason,
                    "; the assignment is deleted, which is not seen here for {s} s more"
                )),
                Seen::Yes | Seen::Gone => {}
            }
            Finding {
                kind: FindingKind::RoleAssignment,
                id: assignment.id.clone(),
                name: assignment.name.clone(),
                result,
                reason,
                rule: None,
                role: Some(RolePlace {
                    role_id: assignment.role.to_string(),
                    role_name: name,
                    scope: assignment.scope.as_str().to_owned(),
                    pattern: pattern.map(|it| it.as_str().to_owned()),
                    list: list.as_str().to_owned(),
                    through,
                }),
                lock: None,
                conditions: Vec::new(),
            }
        });
    }
    granted
}

/// True where an assignment would grant the action, once it is seen here.
fn is_coming<'a>(
    ask: &Ask<'_>,
    action: ActionName,
    list: List,
    mut held: impl Iterator<Item = &'a Arc<RoleAssignment>>,
    facts: &Facts,
) -> bool {
    held.any(|it| {
        matches!(it.seen(ask.head, ask.caller), Seen::NotFor(_))
            && facts.contains(&it.scope, ask.scope)
            && facts
                .roles
                .get(&it.role)
                .is_some_and(|role| facts.grants(role, action.as_str(), list).is_some())
    })
}

/// Why an assignment did not grant, in the words that lead to a fix.
fn near_miss(
    action: ActionName,
    list: List,
    scope: &Scope,
    assignment: &RoleAssignment,
    name: &str,
    facts: &Facts,
    is_here: bool,
) -> String {
    let Some(role) = facts.roles.get(&assignment.role) else {
        return format!("the role `{name}` does not exist any more");
    };
    let other = match list {
        List::Actions => List::DataActions,
        List::DataActions => List::Actions,
    };
    if is_here && let Some(pattern) = facts.grants_by_wildcard(role, action.as_str(), list) {
        return format!(
            "`{}` of `{name}` does not cover `{action}`: that needs a role that names it",
            pattern.as_str()
        );
    }
    let grants = |list| facts.grants(role, action.as_str(), list);
    match (grants(list), grants(other)) {
        (Some(_), _) if !is_here => {
            format!(
                "`{name}` would grant `{action}`, but at `{}`, which does not contain `{scope}`",
                assignment.scope
            )
        }
        (None, Some(pattern)) => format!(
            "`{name}` has `{}` in its {}, but `{action}` needs it in its {}",
            pattern.as_str(),
            other.as_str(),
            list.as_str()
        ),
        (_, _) => format!("`{name}` does not grant `{action}`"),
    }
}

/// A shared access policy's rights: any one of those the operation takes is enough.
fn rights(ask: &Ask<'_>, findings: &mut Findings) -> Ruling {
    let held = &ask.caller.rights;
    let fitting =
        held.iter().find(|mine| ask.operation.sas.iter().any(|needed| mine.covers(*needed)));
    let wanted = || ask.operation.sas.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(" or ");
    findings.add(|| Finding {
        kind: FindingKind::SasRight,
        id: String::new(),
        name: ask.caller.name.clone(),
        result: if fitting.is_some() { FindingResult::Allow } else { FindingResult::Deny },
        reason: format!("the policy holds {}; needed is {}", Right::join(held), wanted()),
        rule: None,
        role: None,
        lock: None,
        conditions: Vec::new(),
    });
    match fitting {
        Some(right) => {
            let reason = findings.told(|| format!("{} covers it", right.as_str()));
            Ruling { denial: None, reason }
        }
        None => {
            let why = format!("the shared access policy `{}` lacks {}", ask.caller.name, wanted());
            let denial = Denial {
                gate: Gate::Access,
                kind: DenialKind::LacksRight,
                message: why.clone(),
                violations: Vec::new(),
                target: ask.scope.as_str().to_owned(),
            };
            Ruling { denial: Some(denial), reason: why }
        }
    }
}

/// The refusal in the words of its plane, naming what is `missing`.
fn refuse(ask: &Ask<'_>, missing: &[ActionName], why: String) -> Ruling {
    let first = missing.first().map_or("", |it| it.as_str());
    let (id, app) = ids(ask.caller);
    let message = match ask.operation.plane {
        Plane::Service | Plane::Device => format!(
            "Principal {} is not authorized for {} due to no assigned permissions; needed: {}",
            ask.caller.name,
            request(ask),
            missing.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ")
        ),
        Plane::Directory => "Insufficient privileges to complete the operation.".into(),
        Plane::Control | Plane::Open | Plane::Token => format!(
            "The client '{app}' with object id '{id}' does not have authorization to perform action '{first}' over \
             scope '{}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
            ask.scope
        ),
    };
    let denial = Denial {
        gate: Gate::Access,
        kind: DenialKind::NotAuthorized,
        message,
        violations: Vec::new(),
        target: ask.scope.as_str().to_owned(),
    };
    Ruling { denial: Some(denial), reason: why }
}

/// What the caller asked of the hub: its own request, or the write that a registration led it to.
fn request(ask: &Ask<'_>) -> String {
    let channel = &ask.head.channel;
    match (&channel.on_behalf_of, ask.objects.first()) {
        (Some(_), Some(device)) => format!("PUT on /devices/{}", device.name),
        (_, _) => channel.request.replacen(' ', " on ", 1),
    }
}

/// The caller's object id, and its application's, as Azure's sentences name them.
pub(crate) fn ids(caller: &Caller) -> (String, String) {
    let id = caller.object_id.as_ref().map_or_else(String::new, ObjectId::to_string);
    let app = caller.app_id.as_ref().map_or_else(|| id.clone(), ObjectId::to_string);
    (id, app)
}

fn refuse_linked(ask: &Ask<'_>, link: &Link) -> Ruling {
    let (id, app) = ids(ask.caller);
    let first = ask.operation.actions.first().map_or("", |it| it.as_str());
    let message = format!(
        "The client '{app}' with object id '{id}' has permission to perform action '{first}' on scope '{}'; however, \
         it does not have permission to perform action '{}' on the linked scope(s) '{}' or the linked scope(s) are invalid.",
        ask.scope, link.action, link.scope
    );
    let denial = Denial {
        gate: Gate::Access,
        kind: DenialKind::NotAuthorizedLinked,
        message,
        violations: Vec::new(),
        target: link.scope.as_str().to_owned(),
    };
    Ruling {
        denial: Some(denial),
        reason: format!("no role grants `{}` at the linked scope `{}`", link.action, link.scope),
    }
}
