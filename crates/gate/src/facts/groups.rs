//! Groups of the directory, and what a principal holds through them.
//!
//! Who is in which group, however deep, is worked out when a group changes and only for whom the change
//! reaches. A decision looks its caller up and walks nothing.

use super::{Facts, Lookups, Quick, RoleAssignment};
use model::trace::GroupPlace;
use model::{ObjectId, PrincipalKind, Scope};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// A group of the directory.
#[derive(Clone, Debug)]
pub struct Group {
    pub id: ObjectId,
    pub display_name: String,
    /// Principals and other groups. A member that was deleted stays listed and counts for nothing: ids
    /// are never used again.
    pub members: BTreeSet<ObjectId>,
}

/// A group that somebody is in, directly or through others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Membership {
    pub group: ObjectId,
    /// The group in it that the way leads through; none where it lists the member itself.
    pub below: Option<ObjectId>,
}

/// All groups, with who is in them.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    by_id: HashMap<ObjectId, Arc<Group>>,
    /// By member: the groups that list it.
    listed_in: HashMap<ObjectId, BTreeSet<ObjectId>>,
    /// By member: every group that it is in, the nearest first.
    memberships: HashMap<ObjectId, Arc<[Membership]>, Quick>,
}

impl Groups {
    pub fn get(&self, id: ObjectId) -> Option<&Arc<Group>> {
        self.by_id.get(&id)
    }

    /// Every group that `member`, a principal or a group, is in, the nearest first.
    pub fn of(&self, member: ObjectId) -> &[Membership] {
        self.memberships.get(&member).map_or(&[], |it| it)
    }

    /// True where `member` is in `group`, directly or through others.
    pub fn is_in(&self, member: ObjectId, group: ObjectId) -> bool {
        self.of(member).iter().any(|it| it.group == group)
    }

    /// How many groups the one is in that is in most.
    pub fn most_of_one(&self) -> usize {
        self.memberships.values().map(|it| it.len()).max().unwrap_or(0)
    }

    /// The shortest way by which `member` is in `group`, from the group that lists it on; nothing where
    /// it is not.
    fn way(&self, member: ObjectId, group: ObjectId) -> Vec<ObjectId> {
        let all = self.of(member);
        let mut way = Vec::new();
        let mut next = Some(group);
        while let Some(found) = next.and_then(|id| all.iter().find(|it| it.group == id)) {
            way.push(found.group);
            next = found.below;
        }
        way.reverse();
        way
    }

    fn put(&mut self, group: Group) {
        let id = group.id;
        let members = group.members.clone();
        let former = self.by_id.insert(id, Arc::new(group));
        let before = former.map(|it| it.members.clone()).unwrap_or_default();
        self.relist(id, &before, &members);
    }

    fn remove(&mut self, id: ObjectId) {
        if let Some(former) = self.by_id.remove(&id) {
            self.relist(id, &former.members, &BTreeSet::new());
        }
    }

    /// Takes over whom `group` lists now, and works out anew what that changes: for who came, who went,
    /// and everybody in these.
    fn relist(&mut self, group: ObjectId, before: &BTreeSet<ObjectId>, after: &BTreeSet<ObjectId>) {
        for gone in before.difference(after) {
            if let Some(listing) = self.listed_in.get_mut(gone) {
                listing.remove(&group);
                if listing.is_empty() {
                    self.listed_in.remove(gone);
                }
            }
        }
        for new in after.difference(before) {
            self.listed_in.entry(*new).or_default().insert(group);
        }
        let mut reached: BTreeSet<ObjectId> = BTreeSet::new();
        let mut next: Vec<ObjectId> = before.symmetric_difference(after).copied().collect();
        while let Some(id) = next.pop() {
            if reached.insert(id) {
                next.extend(self.by_id.get(&id).iter().flat_map(|it| it.members.iter().copied()));
            }
        }
        for id in reached {
            let all = self.walk(id);
            match all.is_empty() {
                true => self.memberships.remove(&id),
                false => self.memberships.insert(id, all.into()),
            };
        }
    }

    /// Every group above `member`, each once: also where groups should form a circle, this ends.
    fn walk(&self, member: ObjectId) -> Vec<Membership> {
        let mut seen = HashSet::from([member]);
        let mut found: Vec<Membership> = Vec::new();
        let mut at = member;
        let mut below = None;
        let mut done = 0;
        loop {
            for group in self.listed_in.get(&at).into_iter().flatten() {
                if seen.insert(*group) {
                    found.push(Membership { group: *group, below });
                }
            }
            let Some(next) = found.get(done) else { return found };
            at = next.group;
            below = Some(next.group);
            done += 1;
        }
    }
}

impl Facts {
    pub fn put_group(&mut self, group: Group) {
        Arc::make_mut(&mut self.groups).put(group);
    }

    pub fn remove_group(&mut self, id: ObjectId) {
        Arc::make_mut(&mut self.groups).remove(id);
    }

    /// What is behind an object id that can hold a role or be in a group.
    pub fn kind_of(&self, id: ObjectId) -> Option<PrincipalKind> {
        let principal = self.principals.get(&id).map(|it| it.kind);
        principal.or_else(|| self.groups.get(id).map(|_| PrincipalKind::Group))
    }

    /// The name of a principal or group for people, or its id where it is gone.
    pub fn name_of(&self, id: ObjectId) -> String {
        let principal = self.principals.get(&id).map(|it| &it.display_name);
        let name = principal.or_else(|| self.groups.get(id).map(|it| &it.display_name));
        name.map_or_else(|| id.to_string(), Clone::clone)
    }

    /// The role assignments of a principal: its own, then those of each group that it is in.
    pub fn held_by(
        &self,
        principal: ObjectId,
    ) -> impl Iterator<Item = &Arc<RoleAssignment>> + Clone {
        let groups = self.groups.of(principal).iter().map(|it| it.group);
        std::iter::once(principal).chain(groups).flat_map(|it| self.role_assignments.of(it))
    }

    /// The same with what was taken away of late, the look-up counted.
    pub(crate) fn assignments_of(
        &self,
        principal: ObjectId,
    ) -> impl Iterator<Item = &Arc<RoleAssignment>> + Clone {
        Lookups::count(&self.lookups.role);
        self.held_or_faded(principal)
    }

    /// The same for a policy that requires roles: it grants nothing by what it finds, and the look-up is not
    /// counted among those of the access gate.
    pub(crate) fn held_or_faded(
        &self,
        principal: ObjectId,
    ) -> impl Iterator<Item = &Arc<RoleAssignment>> + Clone {
        let groups = self.groups.of(principal).iter().map(|it| it.group);
        let faded = std::iter::once(principal)
            .chain(groups)
            .filter(|_| !self.faded.is_empty())
            .flat_map(|it| self.faded.get(&it).map_or(&[][..], Vec::as_slice));
        self.held_by(principal).chain(faded)
    }

    /// The groups by which `principal` holds `assignment`, from the one that lists it to the one that was
    /// given the role; none where the assignment is its own.
    pub(crate) fn through(
        &self,
        principal: ObjectId,
        assignment: &RoleAssignment,
    ) -> Vec<GroupPlace> {
        let way = self.groups.way(principal, assignment.principal);
        way.into_iter().map(|id| GroupPlace { id, name: self.name_of(id) }).collect()
    }

    /// True where the principal holds any role at, above or below `scope`: it may know that the scope exists.
    pub fn has_any_role_near(&self, principal: ObjectId, scope: &Scope) -> bool {
        self.assignments_of(principal)
            .any(|it| self.contains(&it.scope, scope) || self.contains(scope, &it.scope))
    }
}
