//! What reaches an object: where it is judged, and which assignments are about that place.

use super::initiative::Brought;
use super::{Effect, PolicyAssignment, PolicyDefinition, Then};
use crate::decide::Ask;
use crate::facts::{Facts, management_group};
use model::Scope;
use model::trace::{Object, Verb};
use std::borrow::Cow;
use std::sync::Arc;

/// True where a policy that is assigned at, above or below a scope has a rule against deletions, so that
/// whoever would delete has to tell what. A policy that cannot be read counts as one.
pub fn guards_deletions(facts: &Facts, scope: &Scope) -> bool {
    let guards = |it: &PolicyDefinition| {
        it.rules.iter().any(|rule| match &rule.then {
            Then::Is(it) => matches!(it, Effect::DenyAction(_)),
            // Parameters may make it one.
            Then::Computed { .. } => true,
        })
    };
    facts
        .policy_assignments
        .values()
        .filter(|it| facts.contains(&it.scope, scope) || facts.contains(scope, &it.scope))
        .flat_map(|it| Brought::of(it, facts).parts(facts))
        .any(|it| it.definition.is_none_or(guards))
}

/// Where an object is judged. What goes with its resource group is judged where it lies itself: a policy on
/// one hub protects it from the deletion of the group around it. What moves is judged where it would lie.
pub(super) fn judged_at<'a>(object: &Object, ask: &Ask<'a>) -> Cow<'a, Scope> {
    match object.verb {
        Verb::Write | Verb::Delete => Cow::Borrowed(ask.scope),
        Verb::DeleteWithGroup | Verb::Move => {
            Scope::parse(&object.id).map_or(Cow::Borrowed(ask.scope), Cow::Owned)
        }
    }
}

/// The assignments whose scope contains a place, broad before narrow, then by name.
pub(super) fn applicable<'a>(at: &Scope, facts: &'a Facts) -> Vec<&'a PolicyAssignment> {
    let all = facts.policy_assignments.values().map(Arc::as_ref);
    let mut found: Vec<&PolicyAssignment> =
        all.filter(|it| facts.contains(&it.scope, at)).collect();
    found.sort_by_cached_key(|it| (facts.depth(&it.scope), it.name.to_ascii_lowercase()));
    found
}

/// True where `outer` contains `place`. Down to the judged scope case does not matter, as everywhere in
/// ARM; below it stand devices, whose ids differ by case.
pub(super) fn covers(outer: &Scope, place: &Scope, judged: &Scope, facts: &Facts) -> bool {
    if management_group(outer).is_some() {
        return facts.contains(outer, place);
    }
    let depth = judged.segments().count();
    let pairs = outer.segments().skip(depth).zip(place.segments().skip(depth));
    // Kinds and names take turns there, and kinds have no case.
    outer.contains(place) && pairs.skip(1).step_by(2).all(|(a, b)| a == b)
}
