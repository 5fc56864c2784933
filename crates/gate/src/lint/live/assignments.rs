//! Role assignments without which the same is granted, and roles of one's own with actions that nothing has.

use super::super::{Code, Warning, role};
use super::{ACTIONS, Found, caller, head, holds, is_near};
use crate::decide::{Ask, judge};
use crate::facts::{Facts, List, Role, RoleAssignment};
use crate::standing::granting;
use model::{ActionPattern, Operation, Scope, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most role assignments that are looked at.
const ASSIGNMENTS_MAX: usize = 2_000;
/// Most actions that are asked of what else grants them.
const ASKED_MAX: usize = 50;
/// Most other assignments that a warning names.
const NAMED_MAX: usize = 3;

pub(super) fn assignments(facts: &Facts, scope: &Scope, now: Timestamp) -> Vec<Found> {
    let mut found = needless(facts, scope, now);
    let mut roles: Vec<&Arc<Role>> = facts.roles.values().filter(|it| !it.is_builtin).collect();
    roles.sort_by_key(|it| it.id);
    for own in roles {
        let Some(home) = own.assignable_scopes.iter().find(|it| is_near(scope, it, facts)) else {
            continue;
        };
        let path = format!("providers/Microsoft.Authorization/roleDefinitions/{}", own.id);
        let id = home.join(&path).as_str().to_owned();
        let warnings = role(&written(own)).unwrap_or_default();
        found.extend(warnings.into_iter().map(|warning| Found {
            id: id.clone(),
            warning,
            tells_of: vec![id.clone()],
        }));
    }
    found
}

/// From the narrowest on: one that is told of is left out in what follows, so that all of them can be taken away.
fn needless(facts: &Facts, scope: &Scope, now: Timestamp) -> Vec<Found> {
    let here = facts.role_assignments.iter().filter(|it| facts.contains(scope, &it.scope));
    let mut all: Vec<&Arc<RoleAssignment>> = here.collect();
    all.sort_by(|a, b| {
        let order = |it: &RoleAssignment| (it.scope.depth(), it.created, it.id.clone());
        order(b).cmp(&order(a))
    });
    let mut left = facts.clone();
    let mut found = Vec::new();
    for assignment in all.into_iter().take(ASSIGNMENTS_MAX) {
        let mut without = left.clone();
        without.remove_role_assignment(&assignment.id);
        if let Some(others) = covering(assignment, &without, now) {
            found.push(told(assignment, &others, facts));
            left = without;
        }
    }
    found.reverse();
    found
}

/// The names and ids of what grants the same, where something grants all of it.
fn covering(
    assignment: &RoleAssignment,
    without: &Facts,
    now: Timestamp,
) -> Option<BTreeSet<(String, String)>> {
    let role = without.roles.get(&assignment.role)?;
    without.held_by(assignment.principal).next()?;
    let (who, head) = (caller(assignment.principal, without), head(now));
    let granted: Vec<&'static Operation> = ACTIONS
        .iter()
        .filter(|(action, row)| {
            let list = List::of(row.role_plane());
            without.granting(role, action.as_str(), list).next().is_some()
        })
        .map(|it| it.1)
        .collect();
    let is_covered = !granted.is_empty()
        && granted.iter().all(|row| holds(row, &assignment.scope, &who, &head, without));
    if !is_covered {
        return None;
    }
    let mut others = BTreeSet::new();
    let step = granted.len().div_ceil(ASKED_MAX);
    for row in granted.into_iter().step_by(step) {
        let judged = judge(&Ask::new(row, &assignment.scope, &who, &head), without);
        for it in granting(&judged.trace) {
            let place = it.role.as_ref()?;
            let groups: Vec<&str> = place.through.iter().map(|it| it.name.as_str()).collect();
            let through = match groups.is_empty() {
                true => String::new(),
                false => format!(" through the group `{}`", groups.join("` in `")),
            };
            let name = format!("`{}` at `{}`{through}", place.role_name, place.scope);
            others.insert((name, it.id.clone()));
        }
    }
    Some(others)
}

fn told(assignment: &RoleAssignment, others: &BTreeSet<(String, String)>, facts: &Facts) -> Found {
    let role = facts.roles.get(&assignment.role).map_or("", |it| it.name.as_str());
    let names: Vec<&str> = others.iter().take(NAMED_MAX).map(|it| it.0.as_str()).collect();
    let warning = Warning {
        at: "properties".into(),
        rule: None,
        code: Code::NeedlessAssignment,
        because: format!(
            "all that `{role}` at `{}` gives `{}` it has anyway, by {}",
            assignment.scope,
            facts.name_of(assignment.principal),
            names.join(" and ")
        ),
        advice: format!("az role assignment delete --ids {}", assignment.id),
    };
    let ids = others.iter().map(|it| it.1.clone());
    let tells_of = [assignment.id.clone()].into_iter().chain(ids).collect();
    Found { id: assignment.id.clone(), warning, tells_of }
}

/// A role's blocks as they are written.
fn written(role: &Role) -> Vec<Value> {
    let texts = |all: &[ActionPattern]| all.iter().map(|it| json!(it.as_str())).collect::<Value>();
    let block = |it: &crate::facts::Permission| {
        json!({
            "actions": texts(&it.actions),
            "notActions": texts(&it.not_actions),
            "dataActions": texts(&it.data_actions),
            "notDataActions": texts(&it.not_data_actions),
        })
    };
    role.permissions.iter().map(block).collect()
}
