//! Which groups somebody is in.

use crate::World;

/// The caller and every group that it is in, however deep: groups are added until nothing changes.
/// Source: Azure RBAC documentation, "Groups": role assignments to groups are transitive.
pub(crate) fn caller_and_groups(world: &World, caller: &str) -> Vec<String> {
    let mut found = vec![caller.to_lowercase()];
    loop {
        let before = found.len();
        for group in &world.groups {
            let id = group.id.to_lowercase();
            let lists_one = group.members.iter().any(|it| found.contains(&it.to_lowercase()));
            if lists_one && !found.contains(&id) {
                found.push(id);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}
