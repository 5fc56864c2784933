//! The managed identity by which a provisioning service signs in at its hub: whether it is there, and what brings it back.

use super::case::Case;
use super::integration::Proposal;
use super::{Check, Mark, check};
use crate::advice::quoted;
use gate::Facts;
use gate::facts::{Dps, DpsLink, LinkAuthentication, Principal};
use model::principal::AuthType;
use model::trace::Caller;
use model::{PrincipalKind, Scope};
use serde_json::{Map, Value, json};

/// The identity of a link, or the service's own: one that it would have, where it has none.
pub(super) fn meant(facts: &Facts, dps: &Dps, link: Option<&DpsLink>) -> Caller {
    let (id, name) = match link {
        Some(it) => (dps.signs_in_as(it), name(dps, it)),
        None => (dps.identity, dps.scope.name()),
    };
    let principal = id.and_then(|it| facts.principals.get(&it));
    Caller {
        kind: PrincipalKind::ManagedIdentity,
        object_id: principal.map(|it| it.id),
        app_id: principal.and_then(|it| it.app_id),
        name: name.to_owned(),
        auth: AuthType::Entra,
        signed_in: "not at all: a diagnosis takes the identity as given".into(),
        token_issued: None,
        via: None,
        rights: Vec::new(),
    }
}

fn name<'a>(dps: &'a Dps, link: &'a DpsLink) -> &'a str {
    match &link.authentication {
        LinkAuthentication::UserAssigned { identity } => identity.name(),
        LinkAuthentication::SystemAssigned | LinkAuthentication::KeyBased { .. } => {
            dps.scope.name()
        }
    }
}

/// Whether the service's own identity is there.
pub(super) fn own(case: &Case<'_>) -> Check {
    let name = case.dps.scope.name();
    let principal = |id| case.facts.principals.get(id);
    match case.dps.identity.as_ref().map(|id| (id, principal(id))) {
        None => check(Mark::Fail, format!("`{name}` has no system-assigned identity")),
        Some((id, None)) => {
            check(Mark::Fail, format!("the identity `{id}` of `{name}` does not exist any more"))
        }
        Some((_, Some(it))) => {
            standing(it, &format!("the identity `{}` of `{name}`", it.id), || {
                format!("`{name}` has an identity, object id {}, and it is switched on", it.id)
            })
        }
    }
}

fn standing(it: &Principal, called: &str, well: impl FnOnce() -> String) -> Check {
    match it.is_enabled {
        true => check(Mark::Pass, well()),
        false => check(Mark::Fail, format!("{called} is switched off")),
    }
}

/// Whether a user-assigned one is there, and the one that was attached.
pub(super) fn attached(case: &Case<'_>, id: &Scope) -> Check {
    let (dps, name) = (case.dps.scope.name(), id.name());
    let held = case.dps.user_assigned.get(&id.key());
    let principal = held.and_then(|it| case.facts.principals.get(it));
    match (held, principal, case.facts.user_assigned(id)) {
        (None, _, None) => check(
            Mark::Fail,
            format!("the identity `{name}` is not attached to `{dps}`, and does not exist"),
        ),
        (None, _, Some(_)) => {
            check(Mark::Fail, format!("the identity `{name}` is not attached to `{dps}` any more"))
        }
        (Some(_), None, None) => check(
            Mark::Fail,
            format!("the identity `{name}` was deleted; `{dps}` still has it attached"),
        ),
        (Some(_), None, Some(_)) => check(
            Mark::Fail,
            format!(
                "the identity `{name}` was deleted and made again; `{dps}` still has the former one attached"
            ),
        ),
        (Some(_), Some(it), _) => standing(it, &format!("the identity `{name}`"), || {
            format!("`{dps}` has the identity `{name}` attached, object id {}", it.id)
        }),
    }
}

/// What brings a user-assigned identity back to the service: made again where it is gone, and attached.
pub(super) fn mended(case: &Case<'_>, id: &Scope) -> Option<Proposal> {
    let (dps, name) = (case.dps.scope.name(), id.name());
    let attach = attach(case.dps, id);
    let warning = None;
    let Some(current) = case.facts.user_assigned(id) else {
        let group = id.resource_group().unwrap_or("");
        return Some(Proposal {
            says: format!("make `{name}` again, and attach it to `{dps}`"),
            command: format!(
                "az identity create --name {} --resource-group {} && {attach}",
                quoted(name),
                quoted(group)
            ),
            changed: None,
            warning,
        });
    };
    if case.dps.user_assigned.get(&id.key()) == Some(&current.principal) {
        return None;
    }
    let mut with = case.dps.clone();
    with.user_assigned.insert(id.key(), current.principal);
    let mut changed = case.facts.clone();
    changed.put_dps(with);
    Some(Proposal {
        says: format!("attach `{name}` to `{dps}`, as it is today"),
        command: attach,
        changed: Some(changed),
        warning,
    })
}

/// The command that attaches an identity beside all that are attached.
fn attach(dps: &Dps, id: &Scope) -> String {
    let others = dps.user_assigned.keys().filter(|it| **it != id.key()).cloned();
    let all: Map<String, Value> =
        others.chain([id.as_str().to_owned()]).map(|it| (it, json!({}))).collect();
    let kind = match dps.identity {
        Some(_) => "SystemAssigned, UserAssigned",
        None => "UserAssigned",
    };
    let identity = json!({ "type": kind, "userAssignedIdentities": all });
    format!(
        "az resource update --ids {} --set {}",
        quoted(dps.scope.as_str()),
        quoted(&format!("identity={identity}"))
    )
}
