//! Which roles are not needed beside another: those that grant nothing that it does not.

use crate::decide::Ask;
use crate::facts::{Facts, List, Role, RoleAssignment, Seen};
use model::Scope;
use std::sync::Arc;

/// Most role assignments of a caller that are compared with each other.
const COMPARED_MAX: usize = 16;

/// Role assignments that grant what is asked at a place, whatever the call is like, with their roles.
pub(super) struct Beside<'a>(Vec<(&'a RoleAssignment, &'a Role)>);

impl<'a> Beside<'a> {
    pub(super) fn of(
        action: &str,
        scope: &Scope,
        list: List,
        held: impl Iterator<Item = &'a Arc<RoleAssignment>>,
        ask: &Ask<'_>,
        facts: &'a Facts,
    ) -> Self {
        let counts = |it: &&Arc<RoleAssignment>| {
            it.condition.is_none()
                && facts.contains(&it.scope, scope)
                && it.seen(ask.head, ask.caller) == Seen::Yes
        };
        let all = held.filter(counts).filter_map(|it| {
            let role = facts.roles.get(&it.role)?;
            facts.grants(role, action, list).map(|_| (&**it, &**role))
        });
        Self(all.take(COMPARED_MAX).collect())
    }

    /// The names of the roles that are not needed beside that of `assignment`.
    pub(super) fn needless(&self, assignment: &RoleAssignment, facts: &Facts) -> Vec<&'a str> {
        let covers = |outer: &(&RoleAssignment, &Role), inner: &(&RoleAssignment, &Role)| {
            facts.contains(&outer.0.scope, &inner.0.scope) && facts.role_contains(outer.1, inner.1)
        };
        let Some(at) = self.0.iter().position(|(it, _)| it.id == assignment.id) else {
            return Vec::new();
        };
        let Some(mine) = self.0.get(at) else { return Vec::new() };
        let others = self.0.iter().enumerate().filter(|(index, it)| {
            // Of two that grant the same at the same place, the later one is too much.
            *index != at && covers(mine, it) && (*index > at || !covers(it, mine))
        });
        others.map(|(_, (_, role))| role.name.as_str()).collect()
    }
}
