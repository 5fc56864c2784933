//! What follows from a rule: its effect, what that looks at, and what an assignment's override makes of it.

use super::selectors::refuse;
use super::{NotAPolicy, Then};
use model::json::member;
use model::trace::Verb;
use serde_json::Value;

/// What a rule does where its condition holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    Deny,
    /// Shields from the later rules of its own assignment.
    Allow,
    /// Puts the call on record and goes on.
    Audit,
    /// The rule is not evaluated.
    Disabled,
    /// Denies deletions, and nothing else.
    DenyAction(Cascade),
    /// Adds what is not there to what is written, before anything is denied.
    Append,
    /// Changes what is written, before anything is denied.
    Modify,
}

/// Whether a rule against deletions also holds for what is deleted along with its resource group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cascade {
    /// Nothing is written there, which means [`Cascade::Deny`].
    Unsaid,
    Deny,
    Allow,
}

impl Effect {
    pub const ALL: [Self; 7] = [
        Self::Deny,
        Self::Allow,
        Self::Audit,
        Self::Disabled,
        Self::DenyAction(Cascade::Unsaid),
        Self::Append,
        Self::Modify,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
            Self::Audit => "audit",
            Self::Disabled => "disabled",
            Self::DenyAction(_) => "denyAction",
            Self::Append => "append",
            Self::Modify => "modify",
        }
    }

    /// True where it has its turn before everything else, see `walk/changing.rs`.
    pub(super) const fn changes(self) -> bool {
        matches!(self, Self::Append | Self::Modify)
    }

    /// True where a rule of this effect looks at what is done to an object.
    pub(super) const fn judges(self, verb: Verb) -> bool {
        match (self, verb) {
            (Self::DenyAction(_), Verb::Delete)
            | (Self::DenyAction(Cascade::Unsaid | Cascade::Deny), Verb::DeleteWithGroup) => true,
            (Self::DenyAction(_), Verb::Write | Verb::Move | Verb::DeleteWithGroup) => false,
            (
                Self::Deny
                | Self::Allow
                | Self::Audit
                | Self::Disabled
                | Self::Append
                | Self::Modify,
                _,
            ) => verb.is_write(),
        }
    }

    /// The effect under an assignment's override. What a rule looks at stays: an override never turns a
    /// rule about writes into one about deletions. An `allow` stays, too, unless it is switched off: it says
    /// who is meant, and not what happens.
    pub(super) const fn overridden(self, with: Option<Self>) -> Self {
        match (self, with) {
            (_, Some(Self::Disabled)) => Self::Disabled,
            (Self::Allow, _) | (Self::DenyAction(_), Some(Self::Deny)) | (_, None) => self,
            (_, Some(effect)) => effect,
        }
    }

    /// The word of an override, see [`super::Override`].
    pub(super) fn of_override(word: &str) -> Option<Self> {
        [Self::Audit, Self::Deny, Self::Disabled]
            .into_iter()
            .find(|it| it.as_str().eq_ignore_ascii_case(word))
    }
}

/// Reads the `details` of a `denyAction`: the one action that it knows, and what becomes of things in a
/// resource group that is deleted.
///
/// Source: Azure Policy documentation, "Azure Policy definitions denyAction effect".
pub(super) fn guarded(at: &str, details: Option<&Value>) -> Result<Cascade, NotAPolicy> {
    let Some(details) = details.filter(|it| it.is_object()) else {
        return refuse(at, "`denyAction` takes `details`: {\"actionNames\": [\"delete\"]}");
    };
    for key in details.as_object().into_iter().flat_map(|it| it.keys()) {
        if !["actionNames", "cascadeBehaviors"].iter().any(|it| key.eq_ignore_ascii_case(it)) {
            return refuse(
                &format!("{at}.{key}"),
                "the details of `denyAction` are `actionNames` and `cascadeBehaviors`",
            );
        }
    }
    let is_delete = |it: &Value| it.as_str().is_some_and(|it| it.eq_ignore_ascii_case("delete"));
    let names = member(details, "actionNames").and_then(Value::as_array);
    if !names.is_some_and(|it| !it.is_empty() && it.iter().all(is_delete)) {
        return refuse(
            &format!("{at}.actionNames"),
            "this is a list with the one action that can be denied: [\"delete\"]",
        );
    }
    let place = format!("{at}.cascadeBehaviors");
    let Some(behaviors) = member(details, "cascadeBehaviors").filter(|it| !it.is_null()) else {
        return Ok(Cascade::Unsaid);
    };
    let is_known = |it: &serde_json::Map<String, Value>| {
        it.len() == 1 && it.keys().all(|key| key.eq_ignore_ascii_case("resourceGroup"))
    };
    if !behaviors.as_object().is_some_and(is_known) {
        return refuse(&place, "this is an object with `resourceGroup`: `allow` or `deny`");
    }
    match member(behaviors, "resourceGroup").and_then(Value::as_str) {
        Some(word) if word.eq_ignore_ascii_case("deny") => Ok(Cascade::Deny),
        Some(word) if word.eq_ignore_ascii_case("allow") => Ok(Cascade::Allow),
        Some(_) | None => {
            refuse(&format!("{place}.resourceGroup"), "`allow` and `deny` are possible")
        }
    }
}

/// Checks what only some modes of a definition take.
///
/// # Errors
/// Where a rule says what becomes of things in a resource group and the mode is not `Indexed`.
pub fn check_mode(mode: &str, rules: &[super::Rule]) -> Result<(), NotAPolicy> {
    let says = |it: &&super::Rule| {
        let cascade = match &it.then {
            Then::Is(Effect::DenyAction(it)) => Some(*it),
            Then::Is(_) => None,
            Then::Computed { guard, .. } => *guard,
        };
        matches!(cascade, Some(Cascade::Deny | Cascade::Allow))
    };
    match rules.iter().find(says) {
        Some(rule) if !mode.eq_ignore_ascii_case("Indexed") => refuse(
            "mode",
            format!(
                "rule {} has `cascadeBehaviors`, which the mode `Indexed` alone takes",
                rule.index
            ),
        ),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn deny_action_knows_deletions_and_says_where_it_is_not_understood() {
        let check = |details: Value, expected: Result<Cascade, &str>| {
            let found = guarded("d", Some(&details));
            assert_eq!(found.as_ref().map_err(|it| it.at.as_str()).copied(), expected, "{details}");
        };
        check(json!({ "actionNames": ["delete"] }), Ok(Cascade::Unsaid));
        let cascade = |word: &str| json!({ "ActionNames": ["DELETE"], "cascadeBehaviors": { "ResourceGroup": word } });
        check(cascade("allow"), Ok(Cascade::Allow));
        check(cascade("Deny"), Ok(Cascade::Deny));
        check(cascade("ask"), Err("d.cascadeBehaviors.resourceGroup"));
        check(json!({}), Err("d.actionNames"));
        check(json!({ "actionNames": [] }), Err("d.actionNames"));
        check(json!({ "actionNames": ["delete", "write"] }), Err("d.actionNames"));
        check(json!({ "actionNames": "delete" }), Err("d.actionNames"));
        check(json!({ "actionNames": ["delete"], "names": 1 }), Err("d.names"));
        let other =
            json!({ "actionNames": ["delete"], "cascadeBehaviors": { "subscription": "deny" } });
        check(other, Err("d.cascadeBehaviors"));
        assert!(guarded("d", None).is_err());
    }

    #[test]
    fn an_override_changes_what_happens_and_not_what_is_looked_at() {
        let guard = Effect::DenyAction(Cascade::Deny);
        let check = |own: Effect, with: Option<Effect>, expected: Effect| {
            assert_eq!(own.overridden(with), expected, "{own:?} {with:?}");
        };
        check(Effect::Deny, None, Effect::Deny);
        check(Effect::Deny, Some(Effect::Audit), Effect::Audit);
        check(Effect::Disabled, Some(Effect::Deny), Effect::Deny);
        check(Effect::Allow, Some(Effect::Deny), Effect::Allow);
        check(Effect::Allow, Some(Effect::Disabled), Effect::Disabled);
        check(guard, Some(Effect::Deny), guard);
        check(guard, Some(Effect::Audit), Effect::Audit);
        check(Effect::Modify, Some(Effect::Deny), Effect::Deny);
        check(Effect::Append, Some(Effect::Disabled), Effect::Disabled);
    }

    #[test]
    fn writes_and_deletions_are_judged_by_different_effects() {
        for effect in Effect::ALL {
            let guards = matches!(effect, Effect::DenyAction(_));
            assert_eq!(effect.judges(Verb::Write), !guards, "{effect:?}");
            assert_eq!(effect.judges(Verb::Delete), guards, "{effect:?}");
            assert_eq!(effect.judges(Verb::DeleteWithGroup), guards, "{effect:?}");
        }
        assert!(!Effect::DenyAction(Cascade::Allow).judges(Verb::DeleteWithGroup));
    }
}
