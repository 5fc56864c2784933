//! Who reaches more than its roles say: by keys, by roles that it can give or rewrite, by identities that it can attach,
//! and by credentials that it can put on others.
//!
//! For each principal the call that would do it is laid before all the gates. Where that passes, and there is something
//! that the principal has no role for and would have then, it is told, once for each way and place.

use super::super::{Code, Warning};
use super::{ACTIONS, Found, caller, head, holds, is_near};
use crate::condition::Attributes;
use crate::decide::{Ask, Judgement, Link, judge};
use crate::facts::{Facts, List, Role, RoleAssignment, SharedAccess};
use crate::standing::{Standing, Survey, granting};
use crate::writes::links_of_change;
use model::operations::{Operation, Surface, known, operation};
use model::trace::{Caller, TraceHead};
use model::{ActionName, ObjectId, Op, Plane, PrincipalKind, Scope, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Most principals that are looked at.
const PRINCIPALS_MAX: usize = 300;
/// Most places at which each is.
const PLACES_MAX: usize = 100;

const ASSIGNS: ActionName =
    ActionName::new("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action");
const DEFINES: ActionName = ActionName::new("Microsoft.Authorization/roleDefinitions/write");

pub(super) fn escalations(facts: &Facts, scope: &Scope, now: Timestamp) -> Vec<Found> {
    let facts = &facts.uncounted();
    let mut principals: Vec<_> = facts
        .principals
        .values()
        .filter(|it| it.is_enabled && facts.has_any_role_near(it.id, scope))
        .collect();
    principals.sort_by(|a, b| (&a.display_name, a.id).cmp(&(&b.display_name, b.id)));
    let head = head(now);
    let mut found = Vec::new();
    for principal in principals.into_iter().take(PRINCIPALS_MAX) {
        let who = Who { id: principal.id, caller: caller(principal.id, facts), facts, head: &head };
        found.extend(who.by_keys(scope));
        found.extend(who.by_giving(scope));
        found.extend(who.by_rewriting(scope));
        found.extend(who.by_identities(scope));
        found.extend(who.by_credentials(scope));
    }
    found
}

struct Who<'a> {
    id: ObjectId,
    caller: Caller,
    facts: &'a Facts,
    head: &'a TraceHead,
}

/// What somebody would have and does not.
struct More {
    action: ActionName,
    /// How many others there are.
    others: usize,
}

impl More {
    fn of(mut actions: impl Iterator<Item = ActionName>) -> Option<Self> {
        let action = actions.next()?;
        Some(Self { action, others: actions.count() })
    }

    fn told(&self) -> String {
        match self.others {
            0 => format!("`{}`", self.action),
            1 => format!("`{}` and 1 action more", self.action),
            more => format!("`{}` and {more} actions more", self.action),
        }
    }
}

impl Who<'_> {
    fn judged(&self, row: &'static Operation, scope: &Scope) -> Judgement {
        judge(&Ask::new(row, scope, &self.caller, self.head), self.facts)
    }

    /// What the gates say to a call that roles allow; the others are many, and quickly passed over.
    fn passing(&self, op: Op, scope: &Scope) -> Option<Judgement> {
        let row = operation(op);
        let judged = (!self.lacks(row, scope)).then(|| self.judged(row, scope));
        judged.filter(|it| it.denial.is_none())
    }

    fn found(&self, judged: &Judgement, place: &Scope, because: String, advice: &str) -> Found {
        let ways = granting(&judged.trace);
        let roles: Vec<String> = ways
            .iter()
            .filter_map(|it| it.role.as_ref())
            .map(|it| format!("`{}` at `{}`", it.role_name, it.scope))
            .collect();
        let through = match roles.is_empty() {
            true => String::new(),
            false => format!(", by {}", roles.join(" and ")),
        };
        let warning = Warning {
            at: String::new(),
            rule: None,
            code: Code::Escalates,
            because: format!("`{}` {because}{through}", self.caller.name),
            advice: advice.to_owned(),
        };
        let ids = ways.into_iter().map(|it| it.id);
        let tells_of = ids.chain([place.as_str().to_owned()]).collect();
        Found { id: place.as_str().to_owned(), warning, tells_of }
    }

    fn lacks(&self, row: &'static Operation, scope: &Scope) -> bool {
        !holds(row, scope, &self.caller, self.head, self.facts)
    }

    /// Every action that no role gives at a place.
    fn lacking(&self, scope: &Scope) -> Vec<(ActionName, &'static Operation)> {
        ACTIONS.iter().filter(|it| self.lacks(it.1, scope)).copied().collect()
    }

    /// What a role gives of what is lacking.
    fn more_by(&self, role: &Role, lacking: &[(ActionName, &'static Operation)]) -> Option<More> {
        let given = lacking.iter().filter(|(action, row)| {
            let list = List::of(row.role_plane());
            self.facts.granting(role, action.as_str(), list).next().is_some()
        });
        More::of(given.map(|it| it.0))
    }

    /// What somebody else has and this one has not, and by which assignment.
    fn more_of(&self, other: ObjectId) -> Option<(More, &RoleAssignment)> {
        self.facts.held_by(other).find_map(|held| {
            let role = self.facts.roles.get(&held.role)?;
            Some((self.more_by(role, &self.lacking(&held.scope))?, &**held))
        })
    }

    /// Keys do what the rights of their policy allow, whatever roles say.
    fn by_keys(&self, scope: &Scope) -> Vec<Found> {
        let facts = self.facts;
        let hubs = facts
            .hubs
            .values()
            .map(|it| (&it.scope, &it.access, Surface::Hub, [Op::ListHubKeys, Op::PutHub]));
        let services = facts
            .provisioning
            .values()
            .map(|it| (&it.scope, &it.access, Surface::Dps, [Op::ListDpsKeys, Op::PutDps]));
        let here = hubs.chain(services).filter(|it| facts.contains(scope, it.0));
        let mut found = Vec::new();
        for (place, access, surface, [lists, writes]) in here.take(PLACES_MAX) {
            let listing =
                (!access.is_disabled).then_some((lists, "may list the keys of", Some(access)));
            for (op, does, policies) in
                listing.into_iter().chain([(writes, "may set the keys of", None)])
            {
                let Some(judged) = self.passing(op, place) else { continue };
                let data =
                    known().filter(|it| it.surface() == surface && it.plane == Plane::Service);
                let opened = data.filter(|it| opens(it, policies) && self.lacks(it, place));
                let actions: BTreeMap<&str, ActionName> =
                    opened.flat_map(|it| it.actions).map(|it| (it.as_str(), *it)).collect();
                let Some(more) = More::of(actions.into_values()) else { continue };
                let because = format!(
                    "{does} `{}`, which do what no role gives it: {}",
                    place.name(),
                    more.told()
                );
                let advice = match policies {
                    Some(_) => {
                        "give it a role without `listkeys`, as Reader, or switch the keys off with `disableLocalAuth`"
                    }
                    None => {
                        "give it a role that does not write the service: a body can set keys, and switch them on"
                    }
                };
                found.push(self.found(&judged, place, because, advice));
            }
        }
        found
    }

    /// Whoever gives roles gives them to itself.
    fn by_giving(&self, scope: &Scope) -> Option<Found> {
        let held = self.facts.held_by(self.id).map(|it| &it.scope);
        let below = held.filter(|it| self.facts.contains(scope, it));
        let mut roles: Vec<&Role> = self.facts.roles.values().map(|it| &**it).collect();
        roles.sort_by_key(|it| it.id);
        let row = operation(Op::PutRoleAssignment);
        let survey = Survey::new(self.facts);
        for place in [scope].into_iter().chain(below).take(PLACES_MAX) {
            let at = place.join("providers/Microsoft.Authorization/roleAssignments/any");
            let could = survey.standing(&Ask::new(row, &at, &self.caller, self.head));
            if matches!(could, Standing::Cannot) {
                continue;
            }
            let lacking = self.lacking(place);
            for role in &roles {
                if !role.assignable_scopes.iter().any(|it| self.facts.contains(it, place)) {
                    continue;
                }
                let Some(more) = self.more_by(role, &lacking) else { continue };
                let given = self.given(role);
                let attributes = Attributes { request: Some(&given), ..Attributes::default() };
                let ask = Ask { attributes, ..Ask::new(row, &at, &self.caller, self.head) };
                let judged = judge(&ask, self.facts);
                if judged.denial.is_some() {
                    continue;
                }
                let because = format!(
                    "may give itself `{}` at `{place}`, and has by no other role {}",
                    role.name,
                    more.told()
                );
                let advice =
                    "put a condition on its assignment that names the roles which it may give";
                return Some(self.found(&judged, place, because, advice));
            }
        }
        None
    }

    /// What conditions see of the assignment that would be made.
    fn given(&self, role: &Role) -> Map<String, Value> {
        let kind = match self.caller.kind {
            PrincipalKind::User => "User",
            PrincipalKind::Group
            | PrincipalKind::ServicePrincipal
            | PrincipalKind::ManagedIdentity
            | PrincipalKind::Device
            | PrincipalKind::SasKey
            | PrincipalKind::Anyone
            | PrincipalKind::System => "ServicePrincipal",
        };
        let all = [
            ("RoleDefinitionId", json!(role.id)),
            ("PrincipalId", json!(self.id)),
            ("PrincipalType", json!(kind)),
        ];
        let named = |(name, it)| (format!("Microsoft.Authorization/roleAssignments:{name}"), it);
        all.into_iter().map(named).collect()
    }

    /// Whoever may rewrite a role that it holds has whatever it writes into it.
    fn by_rewriting(&self, scope: &Scope) -> Option<Found> {
        let near = self.facts.held_by(self.id).filter(|it| is_near(scope, &it.scope, self.facts));
        near.take(PLACES_MAX).find_map(|held| {
            let role = self.facts.roles.get(&held.role).filter(|it| !it.is_builtin)?;
            let home = role.assignable_scopes.first()?;
            let at = home
                .join(&format!("providers/Microsoft.Authorization/roleDefinitions/{}", role.id));
            let scopes = role.assignable_scopes.iter();
            let mut linked: Vec<Link> =
                scopes.map(|it| Link { action: DEFINES, scope: it.clone() }).collect();
            // Whoever widens what is held gives it.
            let all = json!({ "permissions": [{ "actions": ["*"], "dataActions": ["*"] }] });
            linked.extend(links_of_change(role.id, &all, self.facts));
            let row = operation(Op::PutRoleDefinition);
            let ask = Ask::new(row, &at, &self.caller, self.head);
            let judged = judge(&Ask { linked: &linked, ..ask }, self.facts);
            let lacking = self.lacking(&held.scope).into_iter().map(|it| it.0);
            let more = More::of(lacking).filter(|_| judged.denial.is_none())?;
            let because = format!(
                "may rewrite the role `{}` that it holds at `{}`, and has now no role for {}",
                role.name,
                held.scope,
                more.told()
            );
            Some(self.found(
                &judged,
                &held.scope,
                because,
                "let somebody else write the roles that it holds",
            ))
        })
    }

    /// Whoever attaches an identity to a hub that it writes lets the hub act with it.
    fn by_identities(&self, scope: &Scope) -> Vec<Found> {
        let facts = self.facts;
        let Some(row) = known().find(|it| it.actions == [ASSIGNS]) else { return Vec::new() };
        let hubs = facts.hubs.values().filter(|it| facts.contains(scope, &it.scope));
        let writes = |it: &Scope| self.passing(Op::PutHub, it).is_some();
        let Some(hub) = hubs.take(PLACES_MAX).find(|it| writes(&it.scope)) else {
            return Vec::new();
        };
        let near = facts.user_assigned.values().filter(|it| is_near(scope, &it.scope, facts));
        let told = near.take(PLACES_MAX).filter_map(|identity| {
            let judged = self.judged(row, &identity.scope);
            let (more, held) = self.more_of(identity.principal).filter(|_| judged.denial.is_none())?;
            let because = format!(
                "may attach the identity `{}` to `{}`, which then acts with what it has not itself: {} at `{}`",
                identity.scope.name(),
                hub.scope.name(),
                more.told(),
                held.scope
            );
            let advice = "give `assign` on that identity to nobody who has not its roles";
            let mut found = self.found(&judged, &identity.scope, because, advice);
            found.tells_of.extend([held.id.clone(), hub.scope.as_str().to_owned()]);
            Some(found)
        });
        told.collect()
    }

    /// Whoever puts credentials on others signs in as them.
    fn by_credentials(&self, scope: &Scope) -> Vec<Found> {
        let facts = self.facts;
        let root = Scope::root();
        let ways = [
            (
                Op::CreateFederatedCredential,
                "may put a secret or a federated credential on any application",
                facts.applications.values().filter_map(|it| it.principal).collect::<Vec<_>>(),
            ),
            (
                Op::AddGroupMember,
                "may put itself into any group",
                facts
                    .role_assignments
                    .iter()
                    .map(|it| it.principal)
                    .filter(|it| facts.groups.get(*it).is_some())
                    .collect(),
            ),
            (
                Op::PatchUser,
                "may set the password of any person",
                facts
                    .principals
                    .values()
                    .filter(|it| it.kind == PrincipalKind::User)
                    .map(|it| it.id)
                    .collect(),
            ),
        ];
        let told = ways.into_iter().filter_map(|(op, does, mut others)| {
            let judged = self.passing(op, &root)?;
            others.sort();
            others.dedup();
            let (other, more, held) = others
                .into_iter()
                .filter(|it| *it != self.id && facts.has_any_role_near(*it, scope))
                .take(PRINCIPALS_MAX)
                .find_map(|it| self.more_of(it).map(|(more, held)| (it, more, held)))?;
            let because = format!(
                "{does}, also `{}`, which has what it has not itself: {} at `{}`",
                facts.name_of(other),
                more.told(),
                held.scope
            );
            let advice = "give it no role with `Microsoft.Directory/` that it does not need";
            let mut found = self.found(&judged, &root, because, advice);
            found.tells_of.push(held.id.clone());
            Some(found)
        });
        told.collect()
    }
}

/// True where a key does it: of the policies that there are, or of one that a body can set.
fn opens(row: &Operation, access: Option<&SharedAccess>) -> bool {
    match access {
        None => !row.sas.is_empty(),
        Some(access) => access
            .policies
            .iter()
            .flat_map(|it| &it.rights)
            .any(|held| row.sas.iter().any(|needed| held.covers(*needed))),
    }
}
