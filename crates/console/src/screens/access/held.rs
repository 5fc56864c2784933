//! Who holds which role where: what the API says of a place, now or as it was before the newest changes.

use crate::paths;
use crate::trouble::Trouble;
use crate::visit::{GRAPH, Visit, ok, text};
use hyper::Method;
use model::Scope;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Most principals whose names are asked for in one call. Source: Microsoft Graph, "directoryObject: getByIds".
const NAMES_MAX: usize = 1_000;
/// Most groups whose members are shown, and how deep groups in groups are followed.
const GROUPS_MAX: usize = 60;
const NESTED_MAX: usize = 10;
/// Most management groups whose subscriptions are asked for.
const MANAGEMENT_GROUPS_MAX: usize = 60;
/// The id that stands for everybody.
const EVERYONE: &str = "00000000-0000-0000-0000-000000000000";

/// What somebody is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Person,
    Group,
    Application,
    /// The identity of a resource, made and removed with it.
    System,
    /// An identity that is a resource of its own.
    User,
    Everyone,
    /// The directory has nobody of this id.
    Gone,
}

impl Kind {
    /// Of an object as Graph shows it.
    pub(super) fn of(object: &Value) -> Self {
        let is_own = |it: &str| it.eq_ignore_ascii_case("isExplicit=True");
        match (text(object, "/@odata.type"), text(object, "/servicePrincipalType")) {
            ("#microsoft.graph.user", _) => Self::Person,
            ("#microsoft.graph.group", _) => Self::Group,
            (_, "ManagedIdentity") if is_own(text(object, "/alternativeNames/0")) => Self::User,
            (_, "ManagedIdentity") => Self::System,
            _ => Self::Application,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Group => "group",
            Self::Application => "application",
            Self::System => "system-assigned identity",
            Self::User => "user-assigned identity",
            Self::Everyone => "everyone",
            Self::Gone => "deleted",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The resource of an identity, the sign-in name of a person.
    pub(super) detail: String,
}

/// A role that somebody was given, or a denial.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) id: String,
    pub(super) principal: String,
    /// A role's GUID, or the id of a denial.
    pub(super) role: String,
    pub(super) scope: String,
    pub(super) condition: String,
    pub(super) since: String,
    pub(super) is_denial: bool,
}

/// A change of an assignment.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) time: String,
    pub(super) author: String,
    pub(super) tracking: String,
    id: String,
    /// As it was before; none where that is not kept any more.
    before: Option<Value>,
    after: Value,
}

impl Change {
    pub(super) const fn verb(&self) -> &'static str {
        match (&self.before, &self.after) {
            (_, Value::Null) => "took",
            (Some(Value::Null), _) => "gave",
            _ => "changed",
        }
    }

    /// What was given, taken or changed.
    pub(super) fn grant(&self) -> Option<Grant> {
        let shown = if self.after.is_null() { self.before.as_ref()? } else { &self.after };
        grant(shown)
    }
}

/// Everything that the screen shows of a place.
pub(super) struct Held {
    pub(super) grants: Vec<Grant>,
    /// Names of roles and denials by the id that a grant has.
    pub(super) roles: BTreeMap<String, String>,
    pub(super) denials: Vec<Value>,
    /// By object id.
    pub(super) principals: BTreeMap<String, Principal>,
    /// Object ids of who is in a group, by the group's.
    pub(super) members: BTreeMap<String, BTreeSet<String>>,
    /// Ids of subscriptions below a management group, by its lower-case id.
    pub(super) managed: BTreeMap<String, BTreeSet<String>>,
    /// Oldest first.
    pub(super) changes: Vec<Change>,
    /// How many of the changes had been made.
    pub(super) at: usize,
}

impl Held {
    /// Asks for all of it. `at` says how many of the changes are to have been made; all of them where it says nothing.
    pub(super) async fn read(
        visit: &Visit<'_>,
        scope: &str,
        at: Option<usize>,
    ) -> Result<Self, Trouble> {
        let here = paths::id(scope.trim_end_matches('/'));
        let path = |kind: &str| format!("{here}/providers/Microsoft.Authorization/{kind}");
        let assignments = visit.list(&path("roleAssignments")).await?;
        let definitions = visit.list(&path("roleDefinitions")).await?;
        let denials = visit.list(&path("denyAssignments")).await?;
        let changes = visit.list(&path("roleAssignmentHistory")).await?;
        let changes: Vec<Change> = changes.iter().map(change).collect();
        let at = at.unwrap_or(changes.len()).min(changes.len());
        let mut roles: BTreeMap<String, String> = definitions
            .iter()
            .map(|it| (text(it, "/name").to_owned(), text(it, "/properties/roleName").to_owned()))
            .collect();
        let mut grants = before(&assignments, changes.get(at..).unwrap_or(&[]));
        for it in &denials {
            roles.insert(
                text(it, "/id").to_owned(),
                text(it, "/properties/denyAssignmentName").to_owned(),
            );
            grants.extend(denied(it));
        }
        let mut held = Self {
            grants,
            roles,
            denials,
            principals: BTreeMap::new(),
            members: BTreeMap::new(),
            managed: BTreeMap::new(),
            changes,
            at,
        };
        held.name(visit).await?;
        held.follow_groups(visit).await?;
        held.follow_management(visit).await;
        held.grants
            .sort_by(|a, b| held_order(a, &held.principals).cmp(&held_order(b, &held.principals)));
        Ok(held)
    }

    /// Looks up everybody who holds or held something.
    async fn name(&mut self, visit: &Visit<'_>) -> Result<(), Trouble> {
        let of_changes = self.changes.iter().filter_map(Change::grant).map(|it| it.principal);
        let of_grants = self.grants.iter().map(|it| it.principal.clone());
        let all: BTreeSet<String> = of_grants.chain(of_changes).collect();
        let all: Vec<String> = all.into_iter().collect();
        for ids in all.chunks(NAMES_MAX) {
            let (target, body) = ("/v1.0/directoryObjects/getByIds", json!({ "ids": ids }));
            let told =
                visit.as_person(GRAPH, None, Method::POST, target.into(), Some(&body)).await?;
            for it in ok(told)?.get("value").and_then(Value::as_array).into_iter().flatten() {
                self.know(it);
            }
        }
        for id in all {
            let is_all = id == EVERYONE;
            let (name, kind) = match is_all {
                true => ("Everyone".to_owned(), Kind::Everyone),
                false => (id.clone(), Kind::Gone),
            };
            let unknown = Principal { name, kind, detail: String::new() };
            self.principals.entry(id).or_insert(unknown);
        }
        Ok(())
    }

    fn know(&mut self, object: &Value) {
        let kind = Kind::of(object);
        let detail = match kind {
            Kind::Person => text(object, "/userPrincipalName"),
            Kind::System | Kind::User => text(object, "/alternativeNames/1"),
            Kind::Group | Kind::Application | Kind::Everyone | Kind::Gone => "",
        };
        let name = text(object, "/displayName").to_owned();
        let known = Principal { name, kind, detail: detail.to_owned() };
        self.principals.insert(text(object, "/id").to_owned(), known);
    }

    /// Looks up who is in the groups that hold something, and in the groups in them.
    async fn follow_groups(&mut self, visit: &Visit<'_>) -> Result<(), Trouble> {
        for _ in 0..NESTED_MAX {
            let is_new = |(id, it): &(&String, &Principal)| {
                it.kind == Kind::Group && !self.members.contains_key(*id)
            };
            let room = GROUPS_MAX.saturating_sub(self.members.len());
            let new: Vec<String> = self
                .principals
                .iter()
                .filter(is_new)
                .take(room)
                .map(|(id, _)| id.clone())
                .collect();
            if new.is_empty() {
                break;
            }
            for id in new {
                let all =
                    visit.graph(&format!("/v1.0/groups/{}/members", paths::segment(&id))).await?;
                let ids = all.iter().map(|it| text(it, "/id").to_owned()).collect();
                all.iter().for_each(|it| self.know(it));
                self.members.insert(id, ids);
            }
        }
        Ok(())
    }

    /// Which subscriptions lie below the management groups, as far as the person may know.
    async fn follow_management(&mut self, visit: &Visit<'_>) {
        let groups: BTreeSet<String> =
            self.grants.iter().map(|it| it.scope.clone()).filter(|it| is_management(it)).collect();
        for group in groups.into_iter().take(MANAGEMENT_GROUPS_MAX) {
            let found = visit.list(&format!("{}/descendants", paths::id(&group))).await;
            let ids = found.unwrap_or_default();
            let ids = ids.iter().map(|it| text(it, "/id").to_ascii_lowercase()).collect();
            self.managed.insert(group.to_ascii_lowercase(), ids);
        }
    }

    /// True where what is given at `above` counts at `below`.
    pub(super) fn reaches(&self, above: &str, below: &str) -> bool {
        let (Ok(upper), Ok(lower)) = (Scope::parse(above), Scope::parse(below)) else {
            return false;
        };
        let subscription = lower.subscription_scope().map_or_else(|| lower.key(), |it| it.key());
        let managed = self.managed.get(&upper.key());
        upper.contains(&lower) || managed.is_some_and(|it| it.contains(&subscription))
    }

    /// The groups that somebody is in, directly and through others.
    pub(super) fn groups_of(&self, id: &str) -> BTreeSet<&str> {
        let mut found: BTreeSet<&str> = BTreeSet::new();
        let mut looked_at = vec![id];
        while let Some(one) = looked_at.pop() {
            for (group, members) in &self.members {
                if members.contains(one) && found.insert(group) {
                    looked_at.push(group);
                }
            }
        }
        found
    }

    pub(super) fn name_of<'s>(&'s self, id: &'s str) -> &'s str {
        self.principals.get(id).map_or(id, |it| it.name.as_str())
    }

    pub(super) fn role<'s>(&'s self, id: &'s str) -> &'s str {
        self.roles.get(id).map_or(id, String::as_str)
    }
}

fn held_order<'h>(
    grant: &'h Grant,
    principals: &'h BTreeMap<String, Principal>,
) -> (Option<&'h str>, &'h str, &'h str) {
    let name = principals.get(&grant.principal).map(|it| it.name.as_str());
    (name, &grant.scope, &grant.role)
}

pub(super) fn is_management(scope: &str) -> bool {
    let prefix = "/providers/Microsoft.Management/managementGroups/";
    scope.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix))
}

fn change(shown: &Value) -> Change {
    Change {
        time: text(shown, "/time").to_owned(),
        author: text(shown, "/author/name").to_owned(),
        tracking: text(shown, "/trackingId").to_owned(),
        id: text(shown, "/id").to_ascii_lowercase(),
        before: shown.get("before").cloned(),
        after: shown.get("after").cloned().unwrap_or(Value::Null),
    }
}

/// What was held before these changes.
fn before(now: &[Value], changes: &[Change]) -> Vec<Grant> {
    let by_id = |it: &Value| Some((text(it, "/id").to_ascii_lowercase(), grant(it)?));
    let mut all: BTreeMap<String, Grant> = now.iter().filter_map(by_id).collect();
    for it in changes.iter().rev() {
        match it.before.as_ref() {
            Some(Value::Null) => {
                all.remove(&it.id);
            }
            Some(document) => all.extend(grant(document).map(|grant| (it.id.clone(), grant))),
            None => {}
        }
    }
    all.into_values().collect()
}

fn grant(document: &Value) -> Option<Grant> {
    let own = |name: &str| text(document, &format!("/properties/{name}")).to_owned();
    let role = own("roleDefinitionId").rsplit('/').next()?.to_ascii_lowercase();
    Some(Grant {
        id: text(document, "/id").to_owned(),
        principal: own("principalId"),
        role,
        scope: own("scope"),
        condition: own("condition"),
        since: own("createdOn"),
        is_denial: false,
    })
}

/// A denial as a grant to each whom it names.
fn denied(document: &Value) -> Vec<Grant> {
    let whom = document.pointer("/properties/principals").and_then(Value::as_array);
    let told = |it: &Value| Grant {
        id: text(document, "/id").to_owned(),
        principal: text(it, "/id").to_owned(),
        role: text(document, "/id").to_owned(),
        scope: text(document, "/properties/scope").to_owned(),
        condition: String::new(),
        since: text(document, "/properties/createdOn").to_owned(),
        is_denial: true,
    };
    whom.into_iter().flatten().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(name: &str, role: &str) -> Value {
        json!({ "id": format!("/A/{name}"), "properties": { "principalId": "p", "scope": "/",
            "roleDefinitionId": format!("/x/{role}") } })
    }

    fn changed(name: &str, before: Option<Value>, after: Value) -> Change {
        let mut shown = json!({ "id": format!("/a/{name}"), "after": after });
        if let Some(before) = before {
            model::json::set(&mut shown, "before", before);
        }
        change(&shown)
    }

    #[test]
    fn what_was_held_before_is_what_is_held_without_the_changes_since() {
        let now = [assignment("1", "owner"), assignment("2", "reader")];
        let changes = [
            changed("1", Some(Value::Null), assignment("1", "reader")),
            changed("3", Some(assignment("3", "gone")), Value::Null),
            changed("1", Some(assignment("1", "reader")), assignment("1", "owner")),
            changed("2", None, assignment("2", "reader")),
        ];
        let held = |at: usize| {
            let all = before(&now, &changes[at..]);
            all.into_iter().map(|it| it.role).collect::<Vec<_>>()
        };
        assert_eq!(held(4), ["owner", "reader"]);
        assert_eq!(held(3), ["owner", "reader"]);
        assert_eq!(held(2), ["reader", "reader"]);
        assert_eq!(held(1), ["reader", "reader", "gone"]);
        assert_eq!(held(0), ["reader", "gone"]);
        let verbs: Vec<_> = changes.iter().map(Change::verb).collect();
        assert_eq!(verbs, ["gave", "took", "changed", "changed"]);
    }

    #[test]
    fn identities_are_told_by_kind() {
        let managed = |explicit: &str| {
            json!({ "@odata.type": "#microsoft.graph.servicePrincipal",
            "servicePrincipalType": "ManagedIdentity", "alternativeNames": [explicit, "/x"] })
        };
        assert_eq!(Kind::of(&managed("isExplicit=False")), Kind::System);
        assert_eq!(Kind::of(&managed("isExplicit=True")), Kind::User);
        assert_eq!(Kind::of(&json!({ "servicePrincipalType": "Application" })), Kind::Application);
        assert_eq!(Kind::of(&json!({ "@odata.type": "#microsoft.graph.group" })), Kind::Group);
    }
}
