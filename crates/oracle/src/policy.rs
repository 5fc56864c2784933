//! Azure Policy: which assignments apply to a write, and what each says.
//!
//! Source: Azure Policy documentation, "Azure Policy assignment structure", "Azure Policy exemption
//! structure", "Understand Azure Policy effects". Ordered rules, `allow`, `principalIds` and objects of the
//! data plane are Hubward's own, see `docs/reference/policies.md`.

use crate::condition::{Caller, holds};
use crate::request::{Object, Who};
use crate::scopes::{self, segments};
use crate::world::{Exemption, PolicyAssignment};
use crate::{Answer, Gate, Plane, Request, World};
use serde_json::Value;

/// What all policies together say.
#[derive(Default)]
pub(crate) struct Said {
    /// The enforced assignments that deny the first denied object.
    pub(crate) denied_by: Vec<String>,
    denied_kind: String,
    pub(crate) is_on_record: bool,
}

/// What one assignment says of one object.
#[derive(Default)]
struct Word {
    denies: bool,
    is_audited: bool,
}

pub(crate) fn refused(request: &Request, said: Said) -> Answer {
    let is_device = said.denied_kind.to_lowercase().ends_with("/devices");
    let code = match (request.operation.plane, is_device) {
        (Plane::Data, true) => "DeviceRegistrationDenied",
        (_, _) => "RequestDisallowedByPolicy",
    };
    Answer { denied_by: said.denied_by, ..Answer::refused(Gate::Policy, 403, code) }
}

/// Any denial of any object denies the whole call.
pub(crate) fn judge(world: &World, request: &Request) -> Said {
    let mut said = Said::default();
    if !is_judged(request) {
        return said;
    }
    for object in &request.objects {
        for assignment in &world.policy_assignments {
            let word = word_of(world, request, object, assignment);
            said.is_on_record |= word.is_audited || (word.denies && !assignment.is_enforced);
            if word.denies && assignment.is_enforced {
                said.denied_by.push(assignment.name.clone());
            }
        }
        if !said.denied_by.is_empty() {
            said.denied_kind.clone_from(&object.kind);
            break;
        }
    }
    said.denied_by.sort();
    said
}

/// Creates and updates of resources and of what is in a hub. Reads, deletes and actions are not judged, nor
/// are policies themselves.
fn is_judged(request: &Request) -> bool {
    let is_plane = matches!(request.operation.plane, Plane::Control | Plane::Data);
    is_plane
        && request
            .operation
            .actions
            .iter()
            .map(|it| it.to_lowercase())
            .any(|it| it.ends_with("/write") && !it.starts_with("microsoft.authorization/policy"))
}

fn word_of(
    world: &World,
    request: &Request,
    object: &Object,
    assignment: &PolicyAssignment,
) -> Word {
    let quiet = Word::default();
    if !scopes::is_at_or_below(world, &request.scope, &assignment.scope) {
        return quiet;
    }
    if assignment.not_scopes.iter().any(|it| reaches(world, request, object, it)) {
        return quiet;
    }
    let is_exempt = world.exemptions.iter().any(|it| {
        it.assignment.eq_ignore_ascii_case(&assignment.name) && exempts(world, request, object, it)
    });
    if is_exempt {
        return quiet;
    }
    let mut definitions = world.definitions.iter();
    let Some(definition) =
        definitions.find(|it| it.name.eq_ignore_ascii_case(&assignment.definition))
    else {
        // A policy that cannot be evaluated denies, as far as it is enforced.
        return Word { denies: true, is_audited: false };
    };
    walk(&definition.rules, &Caller::of(world, request), object)
}

/// The rules in their order: `audit` is noted and the walk goes on, `allow` and `deny` end it.
fn walk(rules: &[Value], caller: &Caller, object: &Object) -> Word {
    let mut word = Word::default();
    for rule in rules {
        let effect =
            rule.pointer("/then/effect").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        if effect == "disabled" || !rule.get("if").is_some_and(|it| holds(it, caller, object)) {
            continue;
        }
        match effect.as_str() {
            "audit" => word.is_audited = true,
            "deny" => {
                word.denies = true;
                return word;
            }
            _ => return word,
        }
    }
    word
}

/// Honoured strictly before it expires, for the callers that it names or for all.
fn exempts(world: &World, request: &Request, object: &Object, exemption: &Exemption) -> bool {
    let is_live = exemption.expires_ms.is_none_or(|it| request.now_ms < it);
    let is_for_caller = exemption.principal_ids.is_empty()
        || match &request.who {
            Who::Principal { id, .. } => {
                exemption.principal_ids.iter().any(|it| it.eq_ignore_ascii_case(id))
            }
            Who::Key { .. } | Who::Device(_) => false,
        };
    is_live && is_for_caller && reaches(world, request, object, &exemption.scope)
}

/// True where the object lies at or below `outer`. Names of resources compare without regard to case; below
/// the hub stand devices, whose ids differ by case.
fn reaches(world: &World, request: &Request, object: &Object, outer: &str) -> bool {
    if !scopes::is_at_or_below(world, &object.id, outer) {
        return false;
    }
    if scopes::management_group(outer).is_some() {
        return true;
    }
    let above = segments(&request.scope).len();
    let (outer, object) = (segments(outer), segments(&object.id));
    let names = |of: &[&str]| -> Vec<String> {
        of.iter().skip(above).skip(1).step_by(2).map(|it| (*it).to_owned()).collect()
    };
    names(&object).starts_with(&names(&outer))
}
