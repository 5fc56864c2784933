//! The last gate: locks, and whether the hub is there at all.

use crate::scopes;
use crate::{Answer, Gate, Plane, Request, World};

/// Source: Azure Resource Manager documentation, "Lock your resources to protect your infrastructure".
pub(crate) fn refusal(world: &World, request: &Request) -> Option<Answer> {
    match request.operation.plane {
        // Locks keep the control plane and nothing else.
        Plane::Data => {
            let is_there = world.hubs.iter().any(|it| scopes::is_same(&it.scope, &request.scope));
            (!is_there).then(|| Answer::refused(Gate::Resource, 404, "IotHubNotFound"))
        }
        Plane::Device | Plane::Directory => None,
        Plane::Control => {
            let stands = world.locks.iter().any(|it| stands_against(it, request));
            stands.then(|| Answer::refused(Gate::Resource, 409, "ScopeLocked"))
        }
    }
}

fn stands_against(lock: &crate::world::Lock, request: &Request) -> bool {
    let verbs: Vec<String> = request
        .operation
        .actions
        .iter()
        .filter_map(|it| it.rsplit('/').next())
        .map(str::to_lowercase)
        .collect();
    let manages_locks = request
        .operation
        .actions
        .iter()
        .any(|it| it.to_lowercase().starts_with("microsoft.authorization/locks/"));
    if manages_locks {
        return false;
    }
    let is_locked = scopes::begins(&lock.scope, &request.scope);
    if verbs.iter().any(|it| it == "delete") {
        // Both levels forbid it, also where what is locked lies in what would be deleted.
        return is_locked || scopes::begins(&request.scope, &lock.scope);
    }
    // A POST action counts as a change.
    let changes = verbs.iter().any(|it| it == "write" || it == "action");
    changes && lock.is_read_only && is_locked
}
