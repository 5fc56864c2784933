//! How somebody stands to an operation: may do it, may not, or would but for something that stands against it.
//!
//! Each answer is what the gates say of a call that nobody makes. What stands before the roles, or behind them, is
//! left out in turn, so that it can be told whether a role would let somebody and what stops it. Nothing here permits
//! or denies.

use crate::decide::{Ask, Judgement, judge};
use crate::facts::{Facts, RoleAssignment};
use model::Gate;
use model::error::DenialKind;
use model::trace::{Finding, FindingKind, FindingResult, Trace};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What was found.
#[derive(Clone, Debug)]
pub enum Standing {
    /// The call would pass.
    Can { through: Vec<Finding> },
    /// A role would let it pass, and something stands against it.
    Stopped {
        through: Vec<Finding>,
        /// The first gate that says no.
        gate: Gate,
        /// Everything that stands against it: policies, deny assignments, conditions of roles, locks, network rules.
        against: Vec<Finding>,
    },
    /// No role would.
    Cannot,
}

/// Facts, with what they would be if nothing were denied by an assignment.
#[derive(Debug)]
pub struct Survey<'f> {
    facts: &'f Facts,
    undenied: Facts,
}

impl<'f> Survey<'f> {
    pub fn new(facts: &'f Facts) -> Self {
        let mut undenied = facts.clone();
        undenied.deny_assignments = Arc::default();
        Self { facts, undenied }
    }

    pub const fn facts(&self) -> &'f Facts {
        self.facts
    }

    /// How the caller of a call that nobody makes stands to it.
    pub fn standing(&self, ask: &Ask<'_>) -> Standing {
        let judged = judge(ask, self.facts);
        let Some(denial) = &judged.denial else {
            return Standing::Can { through: granting(&judged.trace) };
        };
        if matches!(denial.kind, DenialKind::NotAuthorized | DenialKind::NotAuthorizedLinked)
            && unfulfilled(&judged.trace).is_empty()
        {
            return Standing::Cannot;
        }
        let gate = denial.gate;
        let mut against = denying(&judged);
        // What writes nothing is no matter of policies.
        let bare = Ask { objects: &[], ..*ask };
        let mut last = judged;
        if last.denial.as_ref().is_some_and(|it| it.gate == Gate::Policy) {
            last = judge(&bare, self.facts);
            against.extend(denying(&last));
        }
        let is_denied = |it: &Judgement| {
            it.denial.as_ref().map(|it| &it.kind) == Some(&DenialKind::DeniedByAssignment)
        };
        if is_denied(&last) {
            last = judge(&bare, &self.undenied);
            against.extend(denying(&last));
        }
        let by_condition = unfulfilled(&last.trace);
        if !is_granted(&last) && !by_condition.is_empty() {
            last = judge(&bare, &unconditioned(&self.undenied, ask));
            against.extend(by_condition);
        }
        match is_granted(&last) {
            true => Standing::Stopped { through: granting(&last.trace), gate, against },
            false => Standing::Cannot,
        }
    }
}

fn is_granted(judged: &Judgement) -> bool {
    judged.denial.as_ref().is_none_or(|it| it.gate == Gate::Resource)
}

/// The same facts, where nothing that the caller holds has a condition.
fn unconditioned(facts: &Facts, ask: &Ask<'_>) -> Facts {
    let mut other = facts.clone();
    for held in ask.caller.object_id.into_iter().flat_map(|it| facts.held_by(it)) {
        if held.condition.is_some() {
            other.put_role_assignment(RoleAssignment { condition: None, ..(**held).clone() });
        }
        let Some(role) = facts.roles.get(&held.role) else { continue };
        if role.permissions.iter().any(|it| it.condition.is_some()) {
            let mut role = (**role).clone();
            role.permissions.iter_mut().for_each(|it| it.condition = None);
            other.put_role(role);
        }
    }
    other
}

/// Every role assignment that grants it, once: to take it away, all of them have to go.
pub fn granting(trace: &Trace) -> Vec<Finding> {
    let grants = |it: &Finding| {
        it.kind == FindingKind::RoleAssignment
            && matches!(it.result, FindingResult::Allow | FindingResult::Match)
    };
    once(trace, grants)
}

/// Every role assignment that would grant it, were a condition fulfilled.
fn unfulfilled(trace: &Trace) -> Vec<Finding> {
    let would = |it: &Finding| {
        it.kind == FindingKind::RoleAssignment
            && it.result == FindingResult::NoMatch
            && !it.conditions.is_empty()
    };
    once(trace, would)
}

fn once(trace: &Trace, is_meant: impl Fn(&Finding) -> bool) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let access = trace.step(Gate::Access);
    let found = access.into_iter().flat_map(|it| &it.findings).filter(|it| is_meant(it));
    found.filter(|it| seen.insert(it.id.as_str())).cloned().collect()
}

/// What says no at the gate that refuses. Of roles, those that lack the action are not meant.
fn denying(judged: &Judgement) -> Vec<Finding> {
    let step = judged.denial.as_ref().and_then(|it| judged.trace.step(it.gate));
    let says_no = |it: &&Finding| {
        matches!(it.result, FindingResult::Deny | FindingResult::Error)
            && it.kind != FindingKind::RoleAssignment
    };
    step.into_iter().flat_map(|it| &it.findings).filter(says_no).cloned().collect()
}
