//! The verdict alone, for the many calls whose trace nobody reads: the same question as in the file above, asked
//! only of what a caller holds at the places that contain what it reaches.

use super::Wanted;
use super::word::{Told, word};
use crate::condition::Subject;
use crate::facts::{Held, Lookups, RoleAssignment, Says, numbered};
use model::{ActionName, ObjectId, Scope};
use std::sync::Arc;

/// True where roles grant the operation at its scope, and what it reaches at theirs.
pub(super) fn is_granted(wanted: &Wanted<'_>) -> bool {
    let Wanted { facts, ask, .. } = *wanted;
    Lookups::count(&facts.lookups.role);
    let mut linked = ask.linked.iter();
    numbered(ask.operation).all(|(action, number)| grants(action, number, ask.scope, wanted))
        && linked.all(|it| grants(it.action, usize::MAX, &it.scope, wanted))
}

fn grants(action: ActionName, number: usize, scope: &Scope, wanted: &Wanted<'_>) -> bool {
    let Wanted { list, principal, facts, ask } = *wanted;
    let by_patterns = |it: &RoleAssignment| {
        let now = Some(ask.head.time);
        let subject = Subject { action: action.as_str(), attributes: ask.attributes, now };
        let role = facts.roles.get(&it.role);
        let word = role.and_then(|role| word(it, role, list, &subject, facts, Told::new(false)));
        word.is_some_and(|it| it.grants)
    };
    let grants = |it: &Arc<RoleAssignment>| {
        it.seen(ask.head, ask.caller).counts()
            && match facts.says(it.role, list, number) {
                Says::No => false,
                Says::Yes if it.condition.is_none() => true,
                Says::Yes | Says::Depends => by_patterns(it),
            }
    };
    let places = facts.places_around(scope);
    let grants_here =
        |held: &Held| held.any_at(&places, |it| places.prove(&it.scope, scope) && grants(it));
    let faded = |holder: ObjectId| {
        // Nearly always there are none, and then nobody is looked up.
        let all = if facts.faded.is_empty() { None } else { facts.faded.get(&holder) };
        all.into_iter().flatten().any(|it| facts.contains(&it.scope, scope) && grants(it))
    };
    let groups = facts.groups.of(principal).iter().map(|it| it.group);
    std::iter::once(principal)
        .chain(groups)
        .any(|holder| facts.role_assignments.held(holder).is_some_and(grants_here) || faded(holder))
}
