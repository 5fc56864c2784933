//! Management groups: what lies above subscriptions, and with it the question of what contains what.

use super::{Facts, Quick};
use model::{Place, Scope};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// Where management groups are.
const PLACE: &str = "/providers/Microsoft.Management/managementGroups/";
/// How many segments the scope of one has.
const DEPTH: usize = 4;
/// Most steps from a subscription to the root: six levels below the root, and the root.
pub const LEVELS_MAX: usize = 7;

/// A management group.
#[derive(Clone, Debug)]
pub struct ManagementGroup {
    pub name: String,
    pub display_name: String,
    /// The name of the group above; none for the root.
    pub parent: Option<String>,
}

/// All management groups, with who is in which. Names compare without regard to case.
#[derive(Clone, Debug, Default)]
pub struct ManagementGroups {
    by_name: HashMap<String, ManagementGroup>,
    /// By subscription id: the group it was put in.
    subscriptions: HashMap<String, String>,
    /// Where everything is that was put nowhere else.
    root: String,
    /// What lies above each subscription, once a decision has asked.
    above: OnceLock<Above>,
}

/// The groups above subscriptions, the nearest first.
#[derive(Clone, Debug, Default)]
struct Above {
    /// By the place of the subscription, with itself: places may share a number.
    by_subscription: HashMap<Place, (Scope, Box<[Scope]>), Quick>,
    others: Box<[Scope]>,
}

impl ManagementGroups {
    pub fn get(&self, name: &str) -> Option<&ManagementGroup> {
        self.by_name.get(&name.to_ascii_lowercase())
    }

    pub fn all(&self) -> impl Iterator<Item = &ManagementGroup> {
        self.by_name.values()
    }

    /// The root's name.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The group that a subscription is in.
    pub fn of_subscription(&self, id: &str) -> &str {
        self.subscriptions.get(&id.to_ascii_lowercase()).map_or(&self.root, String::as_str)
    }

    /// The group above a group; none above the root.
    pub fn parent(&self, name: &str) -> Option<&str> {
        self.get(name)?.parent.as_deref()
    }

    /// The groups from `name` up to the root, itself first. Ends also where they should form a circle.
    pub fn upwards<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        std::iter::successors(Some(name), |it| self.parent(it)).take(LEVELS_MAX + 1)
    }

    /// The scopes of the groups that contain `inner`, the nearest first.
    pub(crate) fn above(&self, inner: &Scope) -> Cow<'_, [Scope]> {
        let above = self.above.get_or_init(|| self.above_subscriptions());
        let found = inner.ways().get(2).and_then(|it| above.by_subscription.get(it));
        if let Some((subscription, all)) = found
            && subscription.contains(inner)
        {
            return Cow::Borrowed(all);
        }
        match (inner.subscription_id(), management_group(inner)) {
            (Some(_), _) if found.is_none() => Cow::Borrowed(&above.others),
            (Some(id), _) => Cow::Owned(self.scopes(self.of_subscription(id))),
            (None, Some(group)) => Cow::Owned(self.scopes(group)),
            (None, None) => Cow::Borrowed(&[]),
        }
    }

    fn above_subscriptions(&self) -> Above {
        let all = self.subscriptions.iter().map(|(id, group)| {
            let scope = Scope::subscription(id);
            (scope.place(), (scope, self.scopes(group).into()))
        });
        Above { by_subscription: all.collect(), others: self.scopes(&self.root).into() }
    }

    /// Of a group and of those above it. A name that is in no scope is nowhere.
    fn scopes(&self, group: &str) -> Vec<Scope> {
        let scope = |it| Scope::parse(&format!("{PLACE}{it}")).ok();
        self.upwards(group).filter_map(scope).filter(|it| it.depth() == DEPTH).collect()
    }

    /// Called by whatever changes a group or where a subscription is.
    fn forget_above(&mut self) {
        self.above = OnceLock::new();
    }

    /// True where the group `outer` is `inner` or above it.
    fn holds(&self, outer: &str, inner: &str) -> bool {
        self.upwards(inner).any(|it| it.eq_ignore_ascii_case(outer))
    }
}

/// The name of the management group that a scope is or lies at; none for other scopes.
pub fn management_group(scope: &Scope) -> Option<&str> {
    let text = scope.as_str();
    let (head, tail) = text.split_at_checked(PLACE.len())?;
    head.eq_ignore_ascii_case(PLACE).then(|| tail.split('/').next().unwrap_or(tail))
}

impl Facts {
    /// Where nothing is said, everything is in the root group, which goes by the tenant's id.
    pub(super) fn with_root_group(mut self) -> Self {
        let name = self.tenant.to_string();
        self.put_management_group(ManagementGroup {
            name: name.clone(),
            display_name: "Tenant Root Group".into(),
            parent: None,
        });
        let all = Arc::make_mut(&mut self.management);
        all.root = name;
        all.forget_above();
        self
    }

    pub fn put_management_group(&mut self, group: ManagementGroup) {
        let all = Arc::make_mut(&mut self.management);
        all.by_name.insert(group.name.to_ascii_lowercase(), group);
        all.forget_above();
    }

    pub fn remove_management_group(&mut self, name: &str) {
        let all = Arc::make_mut(&mut self.management);
        all.by_name.remove(&name.to_ascii_lowercase());
        all.forget_above();
    }

    /// Puts a subscription into a group; `None` takes it back to the root.
    pub fn put_subscription(&mut self, id: &str, group: Option<&str>) {
        let all = Arc::make_mut(&mut self.management);
        match group {
            Some(group) => all.subscriptions.insert(id.to_ascii_lowercase(), group.to_owned()),
            None => all.subscriptions.remove(&id.to_ascii_lowercase()),
        };
        all.forget_above();
    }

    /// True where `inner` is `outer` or lies below it, management groups included. The one question of
    /// what a role, a policy or a denial at a scope reaches.
    pub fn contains(&self, outer: &Scope, inner: &Scope) -> bool {
        if outer.contains(inner) {
            return true;
        }
        let Some(group) = management_group(outer) else { return false };
        // What lies at a management group is no place that anything else is below.
        if outer.depth() != DEPTH {
            return false;
        }
        match (inner.subscription_id(), management_group(inner)) {
            (Some(id), _) => self.management.holds(group, self.management.of_subscription(id)),
            (None, Some(inner)) => self.management.holds(group, inner),
            (None, None) => false,
        }
    }

    /// How far below the root a scope is: a broad one comes before a narrow one. Every management group
    /// is broader than a subscription.
    pub(crate) fn depth(&self, scope: &Scope) -> usize {
        match management_group(scope) {
            Some(group) => self.management.upwards(group).count(),
            None if scope.is_root() => 0,
            None => LEVELS_MAX + 1 + scope.segments().count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ObjectId;

    fn facts() -> Facts {
        let tenant = ObjectId::parse("99999999-0000-0000-0000-000000000000").unwrap();
        let mut facts = Facts::new(tenant, "");
        for (name, parent) in
            [("plants", None), ("north", Some("plants")), ("north1", Some("plants"))]
        {
            let parent = parent.map_or_else(|| tenant.to_string(), str::to_owned);
            facts.put_management_group(ManagementGroup {
                name: name.into(),
                display_name: name.into(),
                parent: Some(parent),
            });
        }
        facts.put_subscription("s1", Some("north"));
        facts
    }

    #[test]
    fn a_group_contains_what_is_in_groups_below_it_and_no_namesake() {
        let facts = facts();
        let check = |outer: &str, inner: &str, expected: bool| {
            let scope = |it: &str| match it.starts_with('/') {
                true => Scope::parse(it).unwrap(),
                false => Scope::parse(&format!("{PLACE}{it}")).unwrap(),
            };
            assert_eq!(facts.contains(&scope(outer), &scope(inner)), expected, "{outer} {inner}");
        };
        let hub = "/subscriptions/S1/resourceGroups/rg/providers/Microsoft.Devices/IotHubs/h";
        check("north", hub, true);
        check("NORTH", "/subscriptions/s1", true);
        check("plants", hub, true);
        check("99999999-0000-0000-0000-000000000000", hub, true);
        check("north1", hub, false);
        check("north", "/subscriptions/s10", false);
        check("plants", "/subscriptions/s10", false);
        check("99999999-0000-0000-0000-000000000000", "/subscriptions/s10", true);
        check("plants", "north", true);
        check("north", "plants", false);
        check("/", "north", true);
        check("/subscriptions/s1", "north", false);
        check(
            "north",
            "/providers/Microsoft.Management/managementGroups/north/providers/Microsoft.Authorization/locks/x",
            true,
        );
        check("plants", "/decisions/x", false);
    }

    #[test]
    fn groups_in_a_circle_contain_nothing_and_end() {
        let mut facts = facts();
        for (name, parent) in [("a", "b"), ("b", "a")] {
            facts.put_management_group(ManagementGroup {
                name: name.into(),
                display_name: name.into(),
                parent: Some(parent.into()),
            });
        }
        facts.put_subscription("s1", Some("a"));
        let outer = Scope::parse(&format!("{PLACE}plants")).unwrap();
        assert!(!facts.contains(&outer, &Scope::parse("/subscriptions/s1").unwrap()));
    }
}
