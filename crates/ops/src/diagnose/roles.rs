//! Section 1: which role gives the provisioning service which right at the hub.

use super::case::{Case, without_policies};
use super::integration::How;
use super::{Check, Mark, Section, check};
use crate::advice;
use crate::call::may_see;
use crate::questions::hide_roles;
use gate::condition::Subject;
use gate::facts::{List, Role, RoleAssignment};
use gate::{Attributes, Facts};
use model::operations::known;
use model::trace::FindingResult;
use model::{ActionName, Gate, Op, Plane, Scope};
use serde::Serialize;
use std::collections::BTreeSet;

pub(super) const NAME: &str = "IoT Hub IAM roles";

const DEVICES_WRITE: ActionName = ActionName::new("Microsoft.Devices/IotHubs/devices/write");
const DEVICES_READ: ActionName = ActionName::new("Microsoft.Devices/IotHubs/devices/read");
const TWINS_WRITE: ActionName = ActionName::new("Microsoft.Devices/IotHubs/twins/write");

/// A right at the hub and where it comes from.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RightHeld {
    pub(super) action: &'static str,
    /// Whether what is diagnosed takes it as things are now.
    pub(super) is_needed: bool,
    pub(super) is_granted: bool,
    /// The grants that the asker may read.
    pub(super) by: Vec<Grant>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Grant {
    pub(super) role: String,
    pub(super) pattern: String,
    pub(super) scope: String,
    pub(super) assignment: String,
}

pub(super) fn section(case: &Case<'_>, policies: Mark) -> Section {
    let blank = Section {
        name: NAME,
        verdict: Mark::Pass,
        says: String::new(),
        checks: Vec::new(),
        rights: Vec::new(),
        findings: Vec::new(),
        fixes: Vec::new(),
    };
    if let How::ByKey { policy, .. } = &case.proof.how {
        let says = format!(
            "roles do not count: the hub is linked with a key of its shared access policy `{policy}`, and that \
             policy's rights decide (section 2)"
        );
        return Section { says, ..blank };
    }
    let held = held(case);
    let lifted = without_policies(case.facts);
    let refused = case.refused_at(Gate::Access, &lifted);
    let rights = rights(case, &held);
    let lacking: Vec<String> = rights
        .iter()
        .filter(|it| it.is_needed && !it.is_granted)
        .map(|it| format!("`{}`", it.action))
        .collect();
    // What is refused last needs most: the call with a twin.
    let Some((_, judged)) = refused.last() else {
        let says = format!(
            "`{}` may do at `{}` what registrations take",
            case.who(),
            case.hub.scope.name()
        );
        return Section { says, checks: notes(case, &held), rights, ..blank };
    };
    let mut trace = judged.trace.clone();
    hide_roles(&mut trace, case.permit, case.facts, case.env);
    let looked_at = trace.step(Gate::Access).map_or(&[][..], |it| &it.findings);
    let findings =
        looked_at.iter().filter(|it| it.result == FindingResult::NoMatch).cloned().collect();
    let is_reader =
        may_see(case.permit, Op::GetRoleAssignment, &case.hub.scope, case.facts, case.env);
    let mut fixes = match case.proof.caller.object_id {
        Some(_) if is_reader => advice::access_fixes(&judged.trace, &lifted, case.env),
        Some(_) | None => Vec::new(),
    };
    for fix in &mut fixes {
        if policies == Mark::Fail {
            fix.then = "this section would pass; section 3 refuses before roles are asked".into();
        }
    }
    let mut says =
        format!("`{}` lacks {} at `{}`", case.who(), lacking.join(", "), case.hub.scope.name());
    if case.proof.caller.object_id.is_none() {
        says.push_str("; roles can be given to it once it has an identity (section 2)");
    }
    Section {
        verdict: Mark::Fail,
        says,
        checks: notes(case, &held),
        rights,
        findings,
        fixes,
        ..blank
    }
}

/// The role assignments of the service's identity and its groups that count at the hub, each with its role.
fn held<'a>(case: &Case<'a>) -> Vec<(&'a RoleAssignment, &'a Role)> {
    let identity = case.proof.caller.object_id;
    let all = identity.into_iter().flat_map(|it| case.facts.held_by(it));
    let here = all.filter(|it| case.facts.contains(&it.scope, &case.hub.scope));
    here.filter_map(|it| Some((&**it, &**case.facts.roles.get(&it.role)?))).collect()
}

fn rights(case: &Case<'_>, held: &[(&RoleAssignment, &Role)]) -> Vec<RightHeld> {
    let right = |action: ActionName| {
        let subject = Subject {
            action: action.as_str(),
            attributes: Attributes::default(),
            now: Some(case.head.time),
        };
        let grants: Vec<(&RoleAssignment, &Role, &str)> = held
            .iter()
            .filter_map(|(assignment, role)| {
                let pattern = assignment.grants(role, List::DataActions, &subject, case.facts)?;
                Some((*assignment, *role, pattern.as_str()))
            })
            .collect();
        let is_shown = |id: &str| {
            Scope::parse(id).is_ok_and(|it| {
                may_see(case.permit, Op::GetRoleAssignment, &it, case.facts, case.env)
            })
        };
        RightHeld {
            action: action.as_str(),
            is_needed: case.calls().any(|it| it.operation.actions.contains(&action)),
            is_granted: !grants.is_empty(),
            by: grants
                .into_iter()
                .filter(|(assignment, _, _)| is_shown(&assignment.id))
                .map(|(assignment, role, pattern)| Grant {
                    role: role.name.clone(),
                    pattern: pattern.to_owned(),
                    scope: assignment.scope.as_str().to_owned(),
                    assignment: assignment.id.clone(),
                })
                .collect(),
        }
    };
    [DEVICES_WRITE, TWINS_WRITE, DEVICES_READ].map(right).into()
}

/// What is worth knowing of the roles, whether they are enough or not.
fn notes(case: &Case<'_>, held: &[(&RoleAssignment, &Role)]) -> Vec<Check> {
    let mut notes = Vec::new();
    if let Some((enrollment, _, _)) = &case.enrolled.twin {
        let says = format!(
            "`{TWINS_WRITE}` is needed because the enrollment `{enrollment}` has an initial twin"
        );
        notes.push(check(Mark::Note, says));
    }
    let may_see_all = held.iter().all(|(it, _)| {
        Scope::parse(&it.id)
            .is_ok_and(|it| may_see(case.permit, Op::GetRoleAssignment, &it, case.facts, case.env))
    });
    if may_see_all {
        notes.extend(redundant(held, case.facts));
    }
    notes
}

/// Roles that another one contains, as far as hubs are concerned. What a condition limits is not compared.
fn redundant(held: &[(&RoleAssignment, &Role)], facts: &Facts) -> Vec<Check> {
    let is_limited = |(assignment, role): &&(&RoleAssignment, &Role)| {
        assignment.condition.is_some() || role.permissions.iter().any(|it| it.condition.is_some())
    };
    let held: Vec<_> = held.iter().filter(|it| !is_limited(it)).collect();
    let granted: Vec<BTreeSet<&str>> = held.iter().map(|(_, role)| at_hubs(role, facts)).collect();
    let contains = |outer: usize, inner: usize| match (granted.get(outer), granted.get(inner)) {
        (Some(more), Some(less)) if outer != inner && !less.is_empty() => {
            // Of two that grant the same, the later one is too much.
            less.is_subset(more) && (less.len() < more.len() || outer < inner)
        }
        _ => false,
    };
    let mut notes = Vec::new();
    for (inner, (_, less)) in held.iter().enumerate() {
        let outer = held.iter().enumerate().find(|(outer, _)| contains(*outer, inner));
        if let Some((_, (_, more))) = outer {
            let says = format!(
                "`{}` is not needed at this hub beside `{}`, which grants all that it grants",
                less.name, more.name
            );
            notes.push(check(Mark::Note, says));
        }
    }
    notes
}

/// What a role grants of the data actions of hubs.
fn at_hubs(role: &Role, facts: &Facts) -> BTreeSet<&'static str> {
    known()
        .filter(|it| it.plane == Plane::Service)
        .flat_map(|it| it.actions)
        .map(|it| it.as_str())
        .filter(|it| it.starts_with("Microsoft.Devices/IotHubs/"))
        .filter(|it| facts.grants(role, it, List::DataActions).is_some())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate::facts::Permission;
    use model::{ActionPattern, ObjectId, Timestamp};

    fn role(name: &str, patterns: &[&str]) -> (RoleAssignment, Role) {
        let id = ObjectId(uuid::Uuid::nil());
        let data_actions = patterns.iter().map(|it| ActionPattern::new(it)).collect();
        let assignment = RoleAssignment {
            id: name.into(),
            name: name.into(),
            principal: id,
            role: id,
            scope: Scope::root(),
            created: Timestamp::default(),
            deleted: None,
            condition: None,
        };
        let permission = Permission { data_actions, ..Permission::default() };
        let role = Role {
            id,
            name: name.into(),
            is_builtin: false,
            permissions: vec![permission],
            assignable_scopes: Vec::new(),
        };
        (assignment, role)
    }

    #[test]
    fn a_role_is_needless_where_another_grants_all_that_it_grants() {
        let facts = Facts::new(ObjectId(uuid::Uuid::nil()), "");
        let check = |roles: &[(&str, &[&str])], expected: &[&str]| {
            let held: Vec<(RoleAssignment, Role)> =
                roles.iter().map(|(name, patterns)| role(name, patterns)).collect();
            let held: Vec<(&RoleAssignment, &Role)> = held.iter().map(|(a, b)| (a, b)).collect();
            let said: Vec<String> =
                redundant(&held, &facts).into_iter().map(|it| it.says).collect();
            assert_eq!(said.len(), expected.len(), "{said:?}");
            for (said, name) in said.iter().zip(expected) {
                assert!(said.starts_with(&format!("`{name}` is not needed")), "{said}");
            }
        };
        let wide: &[&str] = &["Microsoft.Devices/IotHubs/*"];
        let devices: &[&str] = &["Microsoft.Devices/IotHubs/devices/*"];
        let twins: &[&str] = &["Microsoft.Devices/IotHubs/twins/*"];
        check(&[("registry", devices), ("data", wide)], &["registry"]);
        check(&[("data", wide), ("registry", devices)], &["registry"]);
        check(&[("registry", devices), ("twin", twins)], &[]);
        // Of two that grant the same, one stays.
        check(&[("first", devices), ("second", devices)], &["second"]);
        check(&[("blob", &["Microsoft.Storage/*"]), ("data", wide)], &[]);
        check(&[("data", wide)], &[]);
    }
}
