//! Role assignments by who holds them: found at once, and changed without a copy of all the others.

use super::RoleAssignment;
use model::ObjectId;
use rpds::HashTrieMapSync;
use std::sync::Arc;

/// All role assignments. Versions share what did not change, as there may be very many.
#[derive(Clone, Debug, Default)]
pub struct RoleAssignments {
    /// By principal or group, in the order in which they came.
    held: HashTrieMapSync<ObjectId, Arc<[Arc<RoleAssignment>]>>,
    /// By lower-case id: who holds it.
    holders: HashTrieMapSync<Box<str>, ObjectId>,
}

impl RoleAssignments {
    /// What a principal or a group holds itself.
    pub fn of(&self, holder: ObjectId) -> &[Arc<RoleAssignment>] {
        self.held.get(&holder).map_or(&[], |it| it)
    }

    /// All of them, holder by holder.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<RoleAssignment>> {
        self.held.values().flat_map(|it| it.iter())
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn put(&mut self, assignment: RoleAssignment) {
        self.remove(&assignment.id);
        let (key, holder) = (assignment.id.to_ascii_lowercase().into(), assignment.principal);
        let all = self.of(holder).iter().cloned().chain([Arc::new(assignment)]).collect();
        self.held.insert_mut(holder, all);
        self.holders.insert_mut(key, holder);
    }

    /// `id` is the full id, in any casing.
    pub(super) fn remove(&mut self, id: &str) {
        let key = id.to_ascii_lowercase();
        let Some(holder) = self.holders.get(key.as_str()).copied() else { return };
        self.holders.remove_mut(key.as_str());
        let is_other = |it: &&Arc<RoleAssignment>| !it.id.eq_ignore_ascii_case(id);
        let left: Arc<[_]> = self.of(holder).iter().filter(is_other).cloned().collect();
        if left.is_empty() {
            self.held.remove_mut(&holder);
        } else {
            self.held.insert_mut(holder, left);
        }
    }
}
