//! Whether who was proven once is still who it was, as far as facts tell: what proved it is not kept.

use super::{Door, Proof, finding, no, signature, token_no};
use crate::facts::{Facts, SharedAccess};
use model::error::AuthFault;
use model::operations::Surface;
use model::principal::AuthType;
use model::trace::{Caller, FindingKind, FindingResult};
use model::{Plane, PrincipalKind};

/// A principal must be there and switched on, a shared access policy be there and its keys count, and so must those of
/// devices, where one had called by its own.
pub(crate) fn still(caller: &Caller, door: &Door<'_>, facts: &Facts) -> Proof {
    let allow = |caller: Caller, kind, why: &str| {
        Ok((caller, finding(kind, "", FindingResult::Allow, why)))
    };
    if let Some(id) = caller.object_id {
        return match facts.principals.get(&id) {
            Some(it) if it.is_enabled => {
                let caller = Caller { name: it.display_name.clone(), ..caller.clone() };
                allow(caller, FindingKind::Token, "the principal is there and switched on")
            }
            Some(_) => {
                token_no(AuthFault::Invalid, format!("the principal `{id}` is switched off"))
            }
            None => {
                let told = format!("the principal `{id}` does not exist any more");
                token_no(AuthFault::Invalid, told)
            }
        };
    }
    if caller.kind == PrincipalKind::SasKey {
        return of_policy(caller, door, facts);
    }
    if caller.kind == PrincipalKind::Device
        && caller.auth == AuthType::Sas
        && door.operation.plane == Plane::Device
        && let Some(hub) = facts.hub(door.scope)
        && let Some(message) = signature::own_keys_are_off(&hub.access, caller.name.contains('/'))
    {
        let found = finding(FindingKind::Sas, &caller.name, FindingResult::Deny, message);
        return Err(no(AuthFault::LocalAuthDisabled, message.to_owned(), found));
    }
    allow(caller.clone(), FindingKind::Sas, "the caller is taken as it was")
}

fn of_policy(caller: &Caller, door: &Door<'_>, facts: &Facts) -> Proof {
    let name = &caller.name;
    let deny = |fault, message: String| {
        let found = finding(FindingKind::Sas, name, FindingResult::Deny, &message);
        Err(no(fault, message, found))
    };
    if door.operation.surface() == Surface::Blob {
        let takes_keys = facts.target_around(door.scope).map(|it| it.takes_keys);
        return match takes_keys {
            // What was signed said what it opens, and says so still.
            Some(true) => {
                let found = finding(FindingKind::Sas, name, FindingResult::Allow, "keys count");
                Ok((caller.clone(), found))
            }
            Some(false) => deny(
                AuthFault::LocalAuthDisabled,
                signature::keys_are_off(Surface::Blob).to_owned(),
            ),
            None => {
                let told = format!("`{}` does not exist any more", door.scope.name());
                deny(AuthFault::Invalid, told)
            }
        };
    }
    let of_target;
    let access: Option<&SharedAccess> = match facts.target_around(door.scope) {
        Some(target) => {
            of_target = facts.access_to(target, door.scope, name);
            Some(&of_target)
        }
        None => (facts.hub(door.scope).map(|it| &it.access))
            .or_else(|| facts.dps(door.scope).map(|it| &it.access)),
    };
    let Some(access) = access else {
        let told = format!("`{}` does not exist any more", door.scope.name());
        return deny(AuthFault::Invalid, told);
    };
    if access.is_disabled {
        let told = signature::keys_are_off(door.operation.surface());
        return deny(AuthFault::LocalAuthDisabled, told.to_owned());
    }
    match access.policies.iter().find(|it| it.name.eq_ignore_ascii_case(name)) {
        Some(policy) => {
            let why = "the policy is there, and keys count";
            let found = finding(FindingKind::Sas, name, FindingResult::Allow, why);
            Ok((Caller { rights: policy.rights.clone(), ..caller.clone() }, found))
        }
        None => {
            let told = format!("there is no shared access policy `{name}` any more");
            deny(AuthFault::Invalid, told)
        }
    }
}
