//! Small questions of the walk, and sentences that it tells.

use super::super::{Exemption, Member};
use crate::decide::Ask;
use crate::facts::Facts;
use model::ActionName;
use model::trace::{Condition, Object, Verb};

/// Of the actions that do to the object what is judged, the one of its type.
pub(super) fn action(ask: &Ask<'_>, object: &Object) -> &'static str {
    let does = |it: &&ActionName| match object.verb {
        Verb::Write => it.is_write(),
        Verb::Delete | Verb::DeleteWithGroup => it.ends_in("delete"),
        Verb::Move => it.ends_in("action"),
    };
    let is_own = |it: &&ActionName| {
        it.as_str()
            .rsplit_once('/')
            .is_some_and(|(kind, _)| kind.eq_ignore_ascii_case(&object.kind))
    };
    let all = || ask.operation.actions.iter().filter(does);
    all().find(is_own).or_else(|| all().next()).map_or("", |it| it.as_str())
}

pub(super) fn names(exemption: &Exemption, member: &Member) -> bool {
    exemption.reference_ids.iter().any(|it| it.eq_ignore_ascii_case(&member.reference_id))
}

/// Rules of several members stand at the same places of their definitions.
pub(super) fn of_member(mut condition: Condition, member: Option<&Member>) -> Condition {
    if let Some(it) = member {
        condition.path = format!("{}: {}", it.reference_id, condition.path);
    }
    condition
}

/// That a policy goes before what a provisioning service may do by its roles. Which these are is not looked up.
pub(super) fn overridden(ask: &Ask<'_>, facts: &Facts, names: &str) -> Option<String> {
    ask.head.channel.enrollment?;
    let id = ask.caller.object_id?;
    let is_service = facts.provisioning.values().any(|it| it.is_at_work_as(id, true));
    is_service.then(|| format!("default DPS permission overridden by policy `{names}`"))
}

pub(super) fn exempt_reason(exemption: &Exemption, member: Option<&Member>) -> String {
    let whom = match exemption.principal_ids.is_empty() {
        true => "every caller",
        false => "this caller",
    };
    let from = match member {
        Some(it) => format!(" from `{}`", it.reference_id),
        None => String::new(),
    };
    let until = exemption.expires.map_or_else(String::new, |end| format!(" until {end}"));
    format!("the exemption `{}` exempts {whom}{from}{until}", exemption.name)
}
