//! The third gate: does a role, or a right of a shared access policy, cover what is asked?
//!
//! The two planes of a role are strictly apart: `actions` never grant a data action, nor the other way
//! round. Grants add up over assignments, a caller's own and those of each group that it is in; a
//! subtraction counts inside its own block only. An assignment or a block with a condition grants where
//! that is fulfilled, and denies nothing where it is not.

mod beside;
mod quick;
mod word;

use crate::condition::Subject;
use crate::decide::{Ask, Findings, Link, Ruling};
use crate::deny;
use crate::facts::{Facts, List, Role, RoleAssignment, Seen};
use beside::Beside;
use model::error::{Denial, DenialKind};
use model::operations::{Right, Surface};
use model::principal::AuthType;
use model::trace::{Caller, Finding, FindingKind, FindingResult, RolePlace};
use model::{ActionName, ActionPattern, Gate, ObjectId, Plane, PrincipalKind, Scope};
use std::fmt::Write as _;
use std::sync::Arc;
use word::Told;

pub(crate) fn rule(ask: &Ask<'_>, facts: &Facts, findings: &mut Findings) -> Ruling {
    let list = match ask.operation.plane {
        Plane::Open | Plane::Token => return allow(findings, "nobody needs a role for this"),
        Plane::Device if ask.caller.kind == PrincipalKind::Device => {
            return allow(findings, "a device may do this for itself");
        }
        Plane::Control | Plane::Directory | Plane::Service | Plane::Device => {
            List::of(ask.operation.role_plane())
        }
    };
    // Rights come with a key or, of blobs that are public, with nothing at all.
    let is_anyone = ask.caller.kind == PrincipalKind::Anyone;
    if ask.caller.kind == PrincipalKind::SasKey || (is_anyone && !ask.caller.rights.is_empty()) {
        return rights(ask, findings);
    }
    let Some(principal) = ask.caller.object_id else {
        let why = "the caller is nobody in the directory".to_owned();
        return refuse(ask, ask.operation.actions, why.into());
    };
    // An address that somebody signed opens no more than what it says, and no more than who signed it may.
    if ask.caller.auth == AuthType::Sas {
        let ruled = rights(ask, findings);
        if ruled.denial.is_some() {
            return ruled;
        }
    }
    if ask.operation.plane == Plane::Device {
        return refuse(ask, &[], "devices alone may do this, each for itself".to_owned().into());
    }
    if ask.operation.actions.is_empty() {
        return allow(findings, "every signed-in caller may do this");
    }
    if let Some(denied) =
        deny::rule(ask, ask.operation.actions, ask.scope, principal, facts, findings)
    {
        return denied;
    }
    let wanted = Wanted { list, principal, facts, ask };
    if !findings.are_wanted() {
        return rule_quickly(&wanted, findings);
    }
    let held = facts.assignments_of(principal);
    let mut missing: Vec<ActionName> = Vec::new();
    let mut unfulfilled: Vec<ActionName> = Vec::new();
    let mut is_coming = ask.head.replica.is_some();
    for action in ask.operation.actions {
        let found = look_for(*action, ask.scope, held.clone(), &wanted, findings);
        if !matches!(found, Grant::Yes) {
            missing.push(*action);
        }
        if matches!(found, Grant::Unfulfilled) {
            unfulfilled.push(*action);
        }
        is_coming &= matches!(found, Grant::Yes | Grant::Coming);
    }
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
            false if !unfulfilled.is_empty() => format!(
                "a role at this scope would grant {}, but a condition is not fulfilled",
                names(&unfulfilled)
            ),
            false => format!("no role at this scope grants {}", names(&missing)),
        };
        let is_by_condition = !unfulfilled.is_empty();
        let mut ruling = refuse(ask, &missing, Cause { why, is_by_condition });
        if is_coming {
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
        match look_for(link.action, &link.scope, held.clone(), &wanted, findings) {
            Grant::Yes => {}
            Grant::No | Grant::Coming | Grant::Unfulfilled => return refuse_linked(ask, link),
        }
    }
    let reason = findings.told(|| format!("granted: {}", names(ask.operation.actions)));
    Ruling { denial: None, reason }
}

/// The verdict alone, where nothing denies at the call's own scope.
fn rule_quickly(wanted: &Wanted<'_>, findings: &mut Findings) -> Ruling {
    let Wanted { principal, facts, ask, .. } = *wanted;
    let denied = ask
        .linked
        .iter()
        .find_map(|it| deny::rule(ask, &[it.action], &it.scope, principal, facts, findings));
    if let Some(denied) = denied {
        return denied;
    }
    let denial = Denial {
        gate: Gate::Access,
        kind: DenialKind::NotAuthorized,
        message: String::new(),
        violations: Vec::new(),
        target: String::new(),
    };
    let denial = (!quick::is_granted(wanted)).then_some(denial);
    Ruling { denial, reason: String::new() }
}

/// For whom a grant is looked for, and by what.
struct Wanted<'a> {
    list: List,
    principal: ObjectId,
    facts: &'a Facts,
    ask: &'a Ask<'a>,
}

enum Grant {
    Yes,
    No,
    /// An assignment grants it that is not seen here yet.
    Coming,
    /// A role has the action, but a condition stands before it.
    Unfulfilled,
}

fn allow(findings: &Findings, reason: &str) -> Ruling {
    Ruling { denial: None, reason: findings.told(|| reason.to_owned()) }
}

fn names(actions: &[ActionName]) -> String {
    actions.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

/// Looks through all that the principal holds, itself or by its groups; where only the verdict counts, see
/// [`quick`].
fn look_for<'a>(
    action: ActionName,
    scope: &Scope,
    held: impl Iterator<Item = &'a Arc<RoleAssignment>> + Clone,
    wanted: &Wanted<'a>,
    findings: &mut Findings,
) -> Grant {
    let Wanted { list, principal, facts, ask } = *wanted;
    let beside = findings
        .are_wanted()
        .then(|| Beside::of(action.as_str(), scope, list, held.clone(), ask, facts));
    let now = Some(ask.head.time);
    let subject = Subject { action: action.as_str(), attributes: ask.attributes, now };
    let mut found = Grant::No;
    for assignment in held {
        let is_here = facts.contains(&assignment.scope, scope);
        let role = facts.roles.get(&assignment.role);
        let seen = assignment.seen(ask.head, ask.caller);
        if seen == Seen::Gone {
            continue;
        }
        let told = Told::new(true);
        let word = role
            .filter(|_| is_here)
            .and_then(|role| word::word(assignment, role, list, &subject, facts, told));
        let would_grant = word.as_ref().is_some_and(|it| it.grants);
        let grants = would_grant && seen.counts();
        let is_first = grants && !matches!(found, Grant::Yes);
        match (&found, &word) {
            (_, Some(_)) if grants => found = Grant::Yes,
            (Grant::No | Grant::Unfulfilled, Some(_)) if would_grant => found = Grant::Coming,
            (Grant::No, Some(_)) => found = Grant::Unfulfilled,
            (_, _) => {}
        }
        findings.add(|| {
            let name = role.map_or_else(|| assignment.role.to_string(), |it| it.name.clone());
            let through = facts.through(principal, assignment);
            let (result, mut reason) = match (&word, is_first) {
                (Some(it), _) if !it.grants => (
                    FindingResult::NoMatch,
                    format!("`{name}` would grant `{action}`, but {}", it.told.reason()),
                ),
                (Some(_), _) if !grants => {
                    (FindingResult::NotVisible, format!("`{name}` grants `{action}`"))
                }
                (Some(_), true) => (FindingResult::Allow, format!("`{name}` grants `{action}`")),
                (Some(_), false) => {
                    (FindingResult::Match, format!("`{name}` grants `{action}`, too"))
                }
                (None, _) => (
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
            let needless = match &beside {
                Some(it) if grants => it.needless(assignment, facts),
                _ => Vec::new(),
            };
            if !needless.is_empty() {
                let names: Vec<String> = needless.iter().map(|it| format!("`{it}`")).collect();
                // Writing to a `String` cannot fail.
                let _ = write!(
                    reason,
                    "; it grants all that {} grants, which is not needed beside it",
                    names.join(" or ")
                );
            }
            match seen {
                // Writing to a `String` cannot fail.
                // Of what would not grant, it is no reason.
                Seen::NotFor(s) if would_grant => drop(write!(
                    reason,
                    ", but the assignment is not seen here for {s} s more; a new token {}",
                    match ask.head.replica.is_some_and(|it| it.is_healed_by_token) {
                        true => "sees it at once",
                        false => "waits as long",
                    }
                )),
                Seen::StillFor(s) => drop(write!(
                    reason,
                    "; the assignment is deleted, which is not seen here for {s} s more"
                )),
                Seen::Yes | Seen::NotFor(_) | Seen::Gone => {}
            }
            let pattern = match &word {
                Some(it) => Some(it.pattern),
                None => role.and_then(|it| pattern(it, action, list, facts)),
            };
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
                conditions: word.and_then(|it| it.told.conditions).unwrap_or_default(),
            }
        });
    }
    found
}

/// The pattern by which a role has an action, whatever its conditions say.
fn pattern<'a>(
    role: &'a Role,
    action: ActionName,
    list: List,
    facts: &Facts,
) -> Option<&'a ActionPattern> {
    facts.granting(role, action.as_str(), list).next().map(|it| it.pattern)
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
    let elsewhere = pattern(role, action, other, facts)
        .or_else(|| facts.grants_by_wildcard(role, action.as_str(), other));
    match (pattern(role, action, list, facts), elsewhere) {
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
            let why = match ask.operation.surface() {
                Surface::Blob => {
                    format!("the signature by `{}` lacks {}", ask.caller.name, wanted())
                }
                _ => format!("the shared access policy `{}` lacks {}", ask.caller.name, wanted()),
            };
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

/// Why a call is refused.
struct Cause {
    why: String,
    /// A role has what is missing, and only a condition stands before it.
    is_by_condition: bool,
}

impl From<String> for Cause {
    fn from(why: String) -> Self {
        Self { why, is_by_condition: false }
    }
}

/// The refusal in the words of its plane, naming what is `missing`.
fn refuse(ask: &Ask<'_>, missing: &[ActionName], cause: Cause) -> Ruling {
    let first = missing.first().map_or("", |it| it.as_str());
    let (id, app) = ids(ask.caller);
    let Cause { why, is_by_condition } = cause;
    // Source: observed messages of Azure Resource Manager. What a hub says to a condition is not known.
    let (on_arm, on_hub) = match is_by_condition {
        true => (
            "authorization or an ABAC condition not fulfilled",
            "no assigned permissions or an ABAC condition not fulfilled",
        ),
        false => ("authorization", "no assigned permissions"),
    };
    let message = match ask.operation.plane {
        Plane::Service | Plane::Device => format!(
            "Principal {} is not authorized for {} due to {on_hub}; needed: {}",
            ask.caller.name,
            request(ask),
            missing.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ")
        ),
        Plane::Directory => "Insufficient privileges to complete the operation.".into(),
        Plane::Control | Plane::Open | Plane::Token => format!(
            "The client '{app}' with object id '{id}' does not have {on_arm} to perform action '{first}' over \
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

/// The caller's object id, and its application's or the person's own name, as Azure's sentences name them.
pub(crate) fn ids(caller: &Caller) -> (String, String) {
    let id = caller.object_id.as_ref().map_or_else(String::new, ObjectId::to_string);
    if caller.kind == PrincipalKind::User {
        return (id, caller.name.clone());
    }
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
