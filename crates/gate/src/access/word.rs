//! What one assignment says to one action where it counts: its role's blocks, and the conditions of both.

use crate::condition::{Condition, Fault, Subject};
use crate::facts::{Facts, List, Role, RoleAssignment};
use model::ActionPattern;
use model::trace;

/// Most comparisons that a reason names; the finding lists them all.
const COMPARISONS_MAX: usize = 3;

pub(super) struct Word<'a> {
    /// Of the block that grants, or that would if a condition were fulfilled.
    pub(super) pattern: &'a ActionPattern,
    pub(super) grants: bool,
    /// What was looked at, where that is wanted.
    pub(super) told: Told,
}

/// The word of an assignment, or `None` where no block of its role has the action.
pub(super) fn word<'a>(
    assignment: &RoleAssignment,
    role: &'a Role,
    list: List,
    subject: &Subject<'_>,
    facts: &Facts,
    mut told: Told,
) -> Option<Word<'a>> {
    let mut blocks = facts.granting(role, subject.action, list);
    let first = blocks.next()?;
    let says = |grants, pattern, told| Some(Word { pattern, grants, told });
    if !told.fulfils(assignment.condition.as_ref(), subject, || "condition".into()) {
        return says(false, first.pattern, told);
    }
    for it in std::iter::once(first).chain(blocks) {
        let name = || format!("permissions[{}].condition", it.index);
        if told.fulfils(it.block.condition.as_ref(), subject, name) {
            return says(true, it.pattern, told);
        }
    }
    says(false, first.pattern, told)
}

impl RoleAssignment {
    /// The pattern by which the assignment's `role` grants the action, where conditions let it.
    pub fn grants<'a>(
        &self,
        role: &'a Role,
        list: List,
        subject: &Subject<'_>,
        facts: &Facts,
    ) -> Option<&'a ActionPattern> {
        let word = word(self, role, list, subject, facts, Told::new(false));
        word.filter(|it| it.grants).map(|it| it.pattern)
    }
}

/// The comparisons of conditions, noted where they are wanted.
pub(super) struct Told {
    pub(super) conditions: Option<Vec<trace::Condition>>,
    fault: Option<Fault>,
}

impl Told {
    pub(super) fn new(is_wanted: bool) -> Self {
        Self { conditions: is_wanted.then(Vec::new), fault: None }
    }

    /// True where there is no condition or it is fulfilled.
    fn fulfils(
        &mut self,
        condition: Option<&Condition>,
        subject: &Subject<'_>,
        name: impl FnOnce() -> String,
    ) -> bool {
        let Some(condition) = condition else { return true };
        let found = match &mut self.conditions {
            None => condition.holds(subject, None),
            Some(all) => condition.holds(subject, Some((&name(), all))),
        };
        // INVARIANT: a condition that cannot be evaluated grants nothing.
        found.unwrap_or_else(|fault| {
            self.fault = Some(fault);
            false
        })
    }

    /// Why nothing was granted, behind "would grant, but".
    pub(super) fn reason(&self) -> String {
        if let Some(fault) = self.fault {
            return format!("a condition cannot be evaluated, at {fault}");
        }
        let failing = self.conditions.iter().flatten().filter(|it| !it.result);
        let named: Vec<String> = failing.take(COMPARISONS_MAX).map(shown).collect();
        match named.is_empty() {
            true => "a condition is not fulfilled".into(),
            false => format!("a condition is not fulfilled: {}", named.join(", and ")),
        }
    }
}

fn shown(it: &trace::Condition) -> String {
    let found = match &it.actual {
        Some(value) => format!("is {value}"),
        None => "is absent".into(),
    };
    format!("`{} {}` is false, as the left {found}", it.expression, it.operator)
}
