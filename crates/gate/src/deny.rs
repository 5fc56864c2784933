//! Deny assignments: what somebody may not do at a scope, whatever roles say.
//!
//! They are looked at before roles. What manages them is not denied by one, or one that names everybody
//! could never be taken back. Source: Azure RBAC documentation, "Understand Azure deny assignments".

use crate::decide::{Ask, Findings, Ruling};
use crate::facts::{Facts, List, Permission};
use model::error::{Denial, DenialKind};
use model::trace::{Finding, FindingKind, FindingResult, RolePlace};
use model::{ActionName, ActionPattern, Gate, ObjectId, Plane, Scope};
use std::sync::Arc;

/// The actions that manage deny assignments.
const MANAGE: &str = "Microsoft.Authorization/denyAssignments/";

/// What is taken from whom, and where.
#[derive(Clone, Debug)]
pub struct DenyAssignment {
    /// Its full id.
    pub id: String,
    pub name: String,
    pub scope: Scope,
    /// True where it denies at its scope alone and nowhere below.
    pub is_at_scope_only: bool,
    /// In each block, what the `not` lists hold is not denied.
    pub permissions: Vec<Permission>,
    pub whom: Whom,
    /// Principals and groups that it leaves alone.
    pub excluded: Vec<ObjectId>,
}

/// Whom a deny assignment names.
#[derive(Clone, Debug)]
pub enum Whom {
    Everyone,
    /// Principals and groups.
    These(Vec<ObjectId>),
}

impl DenyAssignment {
    fn is_at(&self, scope: &Scope, facts: &Facts) -> bool {
        match self.is_at_scope_only {
            true => self.scope.same_place(scope),
            false => facts.contains(&self.scope, scope),
        }
    }

    fn names(&self, caller: ObjectId, facts: &Facts) -> bool {
        match &self.whom {
            Whom::Everyone => true,
            Whom::These(all) => is_among(caller, all, facts),
        }
    }

    fn denied_by(&self, action: ActionName, list: List) -> Option<&ActionPattern> {
        self.permissions.iter().find_map(|it| it.covers(action.as_str(), list))
    }
}

/// True where the list names the caller or a group that it is in.
fn is_among(caller: ObjectId, all: &[ObjectId], facts: &Facts) -> bool {
    all.contains(&caller) || facts.groups.of(caller).iter().any(|it| all.contains(&it.group))
}

impl Facts {
    pub fn put_deny_assignment(&mut self, assignment: DenyAssignment) {
        let key = assignment.id.to_ascii_lowercase();
        Arc::make_mut(&mut self.deny_assignments).insert(key, Arc::new(assignment));
    }

    /// `id` is the full id, in any casing.
    pub fn remove_deny_assignment(&mut self, id: &str) {
        Arc::make_mut(&mut self.deny_assignments).remove(&id.to_ascii_lowercase());
    }
}

/// The refusal, where a deny assignment stands against one of `actions` at `scope`.
pub(crate) fn rule(
    ask: &Ask<'_>,
    actions: &[ActionName],
    scope: &Scope,
    caller: ObjectId,
    facts: &Facts,
    findings: &mut Findings,
) -> Option<Ruling> {
    let list = List::of(ask.operation.role_plane());
    let mut denial = None;
    for assignment in facts.deny_assignments.values().filter(|it| it.is_at(scope, facts)) {
        let is_named = assignment.names(caller, facts);
        let is_excluded = is_named && is_among(caller, &assignment.excluded, facts);
        let denied = actions
            .iter()
            .filter(|it| !it.as_str().starts_with(MANAGE))
            .find_map(|it| Some((*it, assignment.denied_by(*it, list)?)));
        let denies = denied.filter(|_| is_named && !is_excluded);
        findings.add(|| {
            let (result, reason) = match (denies, denied) {
                (Some((action, it)), _) => {
                    (FindingResult::Deny, format!("`{}` denies `{action}`", it.as_str()))
                }
                (None, None) => (FindingResult::NoMatch, "it denies other actions".to_owned()),
                (None, Some(_)) if is_excluded => {
                    (FindingResult::Excluded, "it excludes this caller".to_owned())
                }
                (None, Some(_)) => (FindingResult::NoMatch, "it denies other callers".to_owned()),
            };
            finding(assignment, list, denied.map(|(_, it)| it), result, reason)
        });
        if let (Some((action, _)), None) = (denies, &denial) {
            denial = Some(refuse(ask, assignment, action, scope));
            // Where only the verdict counts, the first is enough.
            if !findings.are_wanted() {
                break;
            }
        }
    }
    let denial = denial?;
    let reason = findings.told(|| denial.message.clone());
    Some(Ruling { denial: Some(denial), reason })
}

fn finding(
    assignment: &DenyAssignment,
    list: List,
    pattern: Option<&ActionPattern>,
    result: FindingResult,
    reason: String,
) -> Finding {
    Finding {
        kind: FindingKind::DenyAssignment,
        id: assignment.id.clone(),
        name: assignment.name.clone(),
        result,
        reason,
        rule: None,
        role: Some(RolePlace {
            role_id: assignment.id.clone(),
            role_name: assignment.name.clone(),
            scope: assignment.scope.as_str().to_owned(),
            pattern: pattern.map(|it| it.as_str().to_owned()),
            list: list.as_str().to_owned(),
            through: Vec::new(),
        }),
        lock: None,
        conditions: Vec::new(),
    }
}

/// Azure's sentence on the control plane; the hub's and the directory's are those of a missing role.
fn refuse(ask: &Ask<'_>, assignment: &DenyAssignment, action: ActionName, scope: &Scope) -> Denial {
    let (id, app) = crate::access::ids(ask.caller);
    let by = format!(
        "the deny assignment with name '{}' and Id '{}' at scope '{}'",
        assignment.name, assignment.id, assignment.scope
    );
    let message = match ask.operation.plane {
        Plane::Service | Plane::Device => {
            format!("Principal {} is not authorized for {action} because of {by}", ask.caller.name)
        }
        Plane::Control | Plane::Directory | Plane::Open | Plane::Token => format!(
            "The client '{app}' with object id '{id}' has permission to perform action '{action}' on scope '{scope}'; \
             however, the access is denied because of {by}."
        ),
    };
    Denial {
        gate: Gate::Access,
        kind: DenialKind::DeniedByAssignment,
        message,
        violations: Vec::new(),
        target: scope.as_str().to_owned(),
    }
}
