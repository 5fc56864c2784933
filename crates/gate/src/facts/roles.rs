//! Roles, and what of them grants what.

use super::Facts;
use crate::condition::Condition;
use model::operations::known;
use model::trace::{Caller, TraceHead};
use model::{ActionName, ActionPattern, ObjectId, Plane, Scope, Timestamp};
use std::sync::Arc;

/// One block of a role: what it grants minus what it leaves out.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Permission {
    pub actions: Vec<ActionPattern>,
    pub not_actions: Vec<ActionPattern>,
    pub data_actions: Vec<ActionPattern>,
    pub not_data_actions: Vec<ActionPattern>,
    /// What must be fulfilled, too, for the block to grant.
    pub condition: Option<Condition>,
}

/// Which of a role's lists counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum List {
    Actions,
    DataActions,
}

impl List {
    /// The planes are apart: devices and services are data, all else is not.
    pub const fn of(plane: Plane) -> Self {
        match plane {
            Plane::Service | Plane::Device => Self::DataActions,
            Plane::Control | Plane::Directory | Plane::Open | Plane::Token => Self::Actions,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actions => "actions",
            Self::DataActions => "dataActions",
        }
    }
}

impl Permission {
    /// The pattern that grants `action` in this block, where one does and no subtraction takes it away.
    fn grants(&self, action: &str, list: List, naming: Naming) -> Option<&ActionPattern> {
        let (given, taken) = self.lists(list);
        let fits = |it: &&ActionPattern| naming.is_met_by(it.as_str()) && it.matches_text(action);
        let pattern = given.iter().find(fits)?;
        match taken.iter().any(|it| it.matches_text(action)) {
            true => None,
            false => Some(pattern),
        }
    }

    /// The pattern that covers `action` in this block, whether it names it or not.
    pub(crate) fn covers(&self, action: &str, list: List) -> Option<&ActionPattern> {
        self.grants(action, list, Naming::None)
    }

    /// True where all that `other` subtracts is subtracted here, too.
    fn takes_all_of(&self, other: &Self, list: List) -> bool {
        let (_, mine) = self.lists(list);
        let is_taken = |it: &ActionPattern| mine.iter().any(|my| my.matches_text(it.as_str()));
        other.lists(list).1.iter().all(is_taken)
    }

    const fn lists(&self, list: List) -> (&Vec<ActionPattern>, &Vec<ActionPattern>) {
        match list {
            List::Actions => (&self.actions, &self.not_actions),
            List::DataActions => (&self.data_actions, &self.not_data_actions),
        }
    }
}

/// The provider of applications, principals and their secrets: who may make secrets for any application
/// may become any of them, which no `*` of another role than Owner was meant to say.
pub(super) const DIRECTORY: &str = "Microsoft.Directory/";
/// What devices may do at all is nobody's by the way, not even Owner's.
pub(super) const SECURITY_POLICIES: &str = "Microsoft.Devices/IotHubs/securityPolicies/";

/// How far a pattern must name an action to grant it.
#[derive(Clone, Copy)]
enum Naming {
    /// A wildcard reaches it from anywhere.
    None,
    /// Up to here.
    Prefix(&'static str),
}

impl Naming {
    fn is_met_by(self, pattern: &str) -> bool {
        match self {
            Self::None => true,
            Self::Prefix(it) => starts(pattern, it),
        }
    }
}

pub(super) fn starts(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix))
}

/// A role definition.
#[derive(Clone, Debug)]
pub struct Role {
    pub id: ObjectId,
    pub name: String,
    pub is_builtin: bool,
    pub permissions: Vec<Permission>,
    pub assignable_scopes: Vec<Scope>,
}

impl Role {
    /// Every block that grants `action`, if its condition is fulfilled; each with its own subtraction.
    fn granting<'a>(
        &'a self,
        action: &str,
        list: List,
        naming: Naming,
    ) -> impl Iterator<Item = Granting<'a>> {
        self.permissions.iter().enumerate().filter_map(move |(index, block)| {
            let pattern = block.grants(action, list, naming)?;
            Some(Granting { index, block, pattern })
        })
    }

    fn is_owner(&self) -> bool {
        self.is_builtin && self.id.to_string() == model::roles::OWNER
    }
}

/// A block of a role, and the pattern by which it grants what was looked for.
#[derive(Clone, Copy, Debug)]
pub struct Granting<'a> {
    /// Which of the role's blocks, from 0.
    pub index: usize,
    pub block: &'a Permission,
    pub pattern: &'a ActionPattern,
}

/// A role given to a principal or a group at a scope.
#[derive(Clone, Debug)]
pub struct RoleAssignment {
    /// Its full id.
    pub id: String,
    pub name: String,
    pub principal: ObjectId,
    pub role: ObjectId,
    pub scope: Scope,
    pub created: Timestamp,
    /// What must be fulfilled, too, for the role to grant anything.
    pub condition: Option<Condition>,
    /// When it was taken away, where it still counts for views that have not seen that.
    pub deleted: Option<Timestamp>,
}

/// Whether a view counts a role assignment, and for how long, or until when not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    Yes,
    /// Taken away, and still counted for so many seconds.
    StillFor(i64),
    /// Given, and not counted for so many seconds more.
    NotFor(i64),
    Gone,
}

impl Seen {
    pub(crate) const fn counts(self) -> bool {
        matches!(self, Self::Yes | Self::StillFor(_))
    }
}

impl RoleAssignment {
    /// How the view that judges the call sees this. A token that was issued after a change brings it along; tokens
    /// tell whole seconds alone, so the second of the change is after it.
    pub(crate) fn seen(&self, head: &TraceHead, caller: &Caller) -> Seen {
        let Some(replica) = head.replica else {
            return if self.deleted.is_some() { Seen::Gone } else { Seen::Yes };
        };
        // Seconds until a change at `then` is seen; none once it is.
        let left = |then: Timestamp| {
            let due = then.plus_seconds(i64::from(replica.delay_s));
            let is_fresh = replica.is_healed_by_token
                && caller.token_issued.is_some_and(|it| it.seconds() >= then.seconds());
            (head.time < due && !is_fresh).then(|| due.seconds() - head.time.seconds())
        };
        match (left(self.created), self.deleted.map(left)) {
            (_, Some(None)) => Seen::Gone,
            (Some(s), _) => Seen::NotFor(s),
            (None, Some(Some(s))) => Seen::StillFor(s),
            (None, None) => Seen::Yes,
        }
    }
}

impl Facts {
    /// Every block of `role` that grants `action`, if its condition is fulfilled. Some actions only those
    /// patterns grant that name them.
    pub fn granting<'a>(
        &self,
        role: &'a Role,
        action: &str,
        list: List,
    ) -> impl Iterator<Item = Granting<'a>> {
        role.granting(action, list, self.naming_of(role, action))
    }

    /// The pattern by which `role` grants `action` whatever the call is like: of a block without a condition.
    pub fn grants<'a>(
        &self,
        role: &'a Role,
        action: &str,
        list: List,
    ) -> Option<&'a ActionPattern> {
        let mut granting = self.granting(role, action, list);
        granting.find(|it| it.block.condition.is_none()).map(|it| it.pattern)
    }

    /// The pattern that would grant `action`, were it not for a pattern's having to name it.
    pub(crate) fn grants_by_wildcard<'a>(
        &self,
        role: &'a Role,
        action: &str,
        list: List,
    ) -> Option<&'a ActionPattern> {
        match self.granting(role, action, list).next() {
            Some(_) => None,
            None => role.granting(action, list, Naming::None).next().map(|it| it.pattern),
        }
    }

    /// True where `more` grants all that `less` grants: as their patterns say it, so for every action there may be.
    /// What a condition limits contains nothing and is in nothing.
    pub(crate) fn role_contains(&self, more: &Role, less: &Role) -> bool {
        if less.is_owner() && !more.is_owner()
            || less.permissions.iter().any(|it| it.condition.is_some())
        {
            return false;
        }
        [List::Actions, List::DataActions].into_iter().all(|list| {
            less.permissions.iter().all(|inner| {
                let has = |pattern: &ActionPattern| {
                    let naming = self.naming_of(more, pattern.as_str());
                    more.permissions.iter().any(|outer| {
                        outer.condition.is_none()
                            && outer.grants(pattern.as_str(), list, naming).is_some()
                            && inner.takes_all_of(outer, list)
                    })
                };
                inner.lists(list).0.iter().all(has)
            })
        })
    }

    fn naming_of(&self, role: &Role, action: &str) -> Naming {
        match () {
            () if starts(action, SECURITY_POLICIES) && self.has_explicit_grants => {
                Naming::Prefix(SECURITY_POLICIES)
            }
            () if starts(action, DIRECTORY) && !role.is_owner() => Naming::Prefix(DIRECTORY),
            () => Naming::None,
        }
    }

    /// Every role that grants all of `actions`, narrowest first: fewest grants over the operation table,
    /// then the patterns that say most.
    pub fn roles_that_grant(&self, actions: &[ActionName], list: List) -> Vec<Arc<Role>> {
        let mut fitting: Vec<Arc<Role>> = self
            .roles
            .values()
            .filter(|role| actions.iter().all(|it| self.grants(role, it.as_str(), list).is_some()))
            .cloned()
            .collect();
        fitting.sort_by_cached_key(|role| (self.breadth(role), role.name.clone()));
        fitting
    }

    /// How much a role grants, for "which is the narrowest". The tables alone do not tell: a wildcard
    /// reaches operations that are in none, and the shorter its fixed part, the more of them.
    fn breadth(&self, role: &Role) -> (usize, std::cmp::Reverse<usize>) {
        let granted = known()
            .flat_map(|row| row.actions.iter().map(move |it| (row.role_plane(), it)))
            .filter(|(plane, it)| self.grants(role, it.as_str(), List::of(*plane)).is_some())
            .count();
        let patterns =
            role.permissions.iter().flat_map(|it| it.actions.iter().chain(&it.data_actions));
        let shortest = patterns.map(|it| it.as_str().split('*').next().map_or(0, str::len)).min();
        (granted, std::cmp::Reverse(shortest.unwrap_or(0)))
    }
}

pub(super) fn builtin(id: ObjectId, row: &model::roles::BuiltinRole) -> Role {
    let patterns = |texts: &[&str]| texts.iter().map(|it| ActionPattern::new(it)).collect();
    Role {
        id,
        name: row.name.to_owned(),
        is_builtin: true,
        permissions: vec![Permission {
            actions: patterns(row.actions),
            not_actions: patterns(row.not_actions),
            data_actions: patterns(row.data_actions),
            not_data_actions: patterns(row.not_data_actions),
            condition: None,
        }],
        assignable_scopes: vec![Scope::root()],
    }
}
