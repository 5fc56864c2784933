//! The smallest role for what was used, and where it would be given.

use crate::authorization::check_scope;
use crate::observed::Use;
use gate::Facts;
use gate::facts::{List, Role};
use model::operations::{known, named};
use model::{ActionName, Scope};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most places at which a role is proposed each for itself; more are taken together by what they lie in.
const PLACES_MAX: usize = 10;

/// What somebody needs at one place, as its uses tell.
#[derive(Clone, Default)]
pub(super) struct Need {
    actions: BTreeSet<&'static str>,
    data_actions: BTreeSet<&'static str>,
}

impl Need {
    pub(super) fn of<'a>(uses: impl IntoIterator<Item = &'a Use>) -> Self {
        let mut need = Self::default();
        for used in uses {
            let Some(row) = named(&used.operation) else { continue };
            let list = List::of(row.role_plane());
            row.actions.iter().for_each(|it| need.add(*it, list));
        }
        need
    }

    pub(super) fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.data_actions.is_empty()
    }

    fn add(&mut self, action: ActionName, list: List) {
        match list {
            List::Actions => self.actions.insert(action.as_str()),
            List::DataActions => self.data_actions.insert(action.as_str()),
        };
    }

    fn merge(&mut self, other: &Self) {
        self.actions.extend(&other.actions);
        self.data_actions.extend(&other.data_actions);
    }

    fn list(&self, list: List) -> Vec<ActionName> {
        let all = match list {
            List::Actions => &self.actions,
            List::DataActions => &self.data_actions,
        };
        all.iter().filter_map(|it| model::operations::action(it)).collect()
    }

    /// The smallest roles that grant all of it at a place: one where one has both planes, else one for each. Nothing
    /// where no role grants some of it.
    pub(super) fn roles(&self, at: &Scope, facts: &Facts) -> Vec<Arc<Role>> {
        let fitting = |list| {
            let mut roles = facts.roles_that_grant(&self.list(list), list);
            let is_assignable =
                |role: &Role| role.assignable_scopes.iter().any(|it| facts.contains(it, at));
            roles.retain(|it| is_assignable(it));
            // Stable: of equals the narrowest stays first.
            roles.sort_by_cached_key(|it| self.writes_beside(it, list, facts));
            roles
        };
        match (self.actions.is_empty(), self.data_actions.is_empty()) {
            (true, true) => Vec::new(),
            (false, true) => fitting(List::Actions).into_iter().take(1).collect(),
            (true, false) => fitting(List::DataActions).into_iter().take(1).collect(),
            (false, false) => {
                let (control, data) = (fitting(List::Actions), fitting(List::DataActions));
                match (control.first(), data.first()) {
                    (Some(one), Some(other)) if one.id == other.id => vec![Arc::clone(one)],
                    (Some(one), Some(other)) => vec![Arc::clone(one), Arc::clone(other)],
                    (_, _) => Vec::new(),
                }
            }
        }
    }

    /// How much more a role lets do than that, what only reads left out: whoever only reads needs no role that writes.
    fn writes_beside(&self, role: &Role, list: List, facts: &Facts) -> usize {
        let needed = match list {
            List::Actions => &self.actions,
            List::DataActions => &self.data_actions,
        };
        let rows = known().filter(|it| List::of(it.role_plane()) == list);
        let all: BTreeSet<&str> = rows.flat_map(|it| it.actions).map(|it| it.as_str()).collect();
        let is_more = |it: &&str| {
            let reads = it.to_ascii_lowercase().ends_with("/read");
            !reads && !needed.contains(*it) && facts.grants(role, it, list).is_some()
        };
        all.into_iter().filter(is_more).count()
    }

    /// A role of exactly that, as `az role definition create` takes it.
    pub(super) fn custom(&self, name: &str, at: &Scope) -> Value {
        json!({
            "Name": name,
            "Description": "Exactly what was used there",
            "Actions": self.actions,
            "DataActions": self.data_actions,
            "NotActions": [],
            "NotDataActions": [],
            "AssignableScopes": [at.subscription_scope().unwrap_or_else(Scope::root)],
        })
    }

    pub(super) fn told(&self) -> Value {
        json!({ "actions": self.actions, "dataActions": self.data_actions })
    }
}

/// What somebody needs, by the narrowest places at which a role for it can be given.
pub(super) fn needs(uses: &[&Use], facts: &Facts) -> Vec<(Scope, Need)> {
    let mut places: BTreeMap<String, (Scope, Need)> = BTreeMap::new();
    let mut add = |at: Scope, need: &Need| {
        let (_, known) = places.entry(at.key()).or_insert_with(|| (at, Need::default()));
        known.merge(need);
    };
    for used in uses {
        let need = Need::of([*used]);
        if need.is_empty() {
            continue;
        }
        add(place_for(used, facts), &need);
        // What a call reaches elsewhere it needs there.
        for link in used.samples.iter().flat_map(|it| &it.call.linked) {
            let (Some(action), Ok(at)) =
                (model::operations::action(&link.action), Scope::parse(&link.scope))
            else {
                continue;
            };
            let mut need = Need::default();
            need.add(action, List::Actions);
            add(assignable(at, facts), &need);
        }
    }
    for above in [Scope::resource_group_scope, Scope::subscription_scope] {
        if places.len() <= PLACES_MAX {
            break;
        }
        let mut wider: BTreeMap<String, (Scope, Need)> = BTreeMap::new();
        for (at, need) in places.into_values() {
            let at = above(&at).unwrap_or(at);
            let (_, known) = wider.entry(at.key()).or_insert_with(|| (at, Need::default()));
            known.merge(&need);
        }
        places = wider;
    }
    places.into_values().collect()
}

/// Where a role for a use can be given. What makes a resource needs it where that is made.
fn place_for(used: &Use, facts: &Facts) -> Scope {
    let at = used.place();
    let makes = named(&used.operation).is_some_and(|it| it.actions.iter().any(|it| it.is_write()));
    let is_service = at
        .resource_type()
        .is_some_and(|it| it.to_ascii_lowercase().starts_with("microsoft.devices/"));
    match at.resource_group_scope() {
        // It was not there when it was first written.
        Some(group) if makes && is_service && used.uid.is_empty() => assignable(group, facts),
        Some(_) | None => assignable(at, facts),
    }
}

/// The place itself where roles can be given there, else the next around it where they can.
fn assignable(mut at: Scope, facts: &Facts) -> Scope {
    while check_scope(&at, facts).is_err() {
        at = around(&at);
    }
    at
}

/// What a place lies in, as its id says it.
fn around(at: &Scope) -> Scope {
    let all: Vec<&str> = at.segments().collect();
    let provider = all.iter().rposition(|it| it.eq_ignore_ascii_case("providers"));
    let keep = match provider {
        // Behind the provider stand its namespace and pairs of a type and a name.
        Some(at) if all.len() - at > 4 => all.len() - 2,
        Some(at) => at,
        None => all.len().saturating_sub(2),
    };
    let text = format!("/{}", all.get(..keep).unwrap_or_default().join("/"));
    Scope::parse(&text).unwrap_or_else(|_| Scope::root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_place_for_roles_leads_to_what_it_lies_in() {
        let check = |at: &str, expected: &str| {
            assert_eq!(around(&Scope::parse(at).unwrap()).as_str(), expected, "{at}");
        };
        let hub = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices/IotHubs/h";
        check(&format!("{hub}/IotHubKeys/k"), hub);
        check(&format!("{hub}/providers/Microsoft.Authorization/roleAssignments/x"), hub);
        check(hub, "/subscriptions/s/resourceGroups/rg");
        check("/subscriptions/s/resourceGroups/rg", "/subscriptions/s");
        check("/subscriptions/s", "/");
        check("/providers/Microsoft.Management/managementGroups/g", "/");
        check("/", "/");
    }

    #[test]
    fn who_only_reads_is_given_no_role_that_writes() {
        let facts = Facts::new(model::ObjectId(uuid::Uuid::nil()), "");
        let check = |data: &[&'static str], expected: &str| {
            let data_actions = data.iter().copied().collect();
            let need = Need { actions: BTreeSet::new(), data_actions };
            let roles = need.roles(&Scope::root(), &facts);
            let names: Vec<&str> = roles.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(names, [expected], "{data:?}");
        };
        check(&["Microsoft.Devices/IotHubs/devices/read"], "IoT Hub Data Reader");
        check(&["Microsoft.Devices/IotHubs/devices/write"], "IoT Hub Registry Contributor");
        let twins = "Microsoft.Devices/IotHubs/twins/write";
        check(&["Microsoft.Devices/IotHubs/devices/write", twins], "IoT Hub Data Contributor");
    }

    /// Each operation that needs a role: with what is proposed for it, and that at the very place, it is granted.
    #[test]
    fn what_is_proposed_grants_what_was_used() {
        let mut facts = Facts::new(model::ObjectId(uuid::Uuid::nil()), "");
        facts.has_explicit_grants = false;
        let hub = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices/IotHubs/h";
        let at = Scope::parse(hub).unwrap();
        let id = model::ObjectId(uuid::Uuid::from_u128(7));
        let head = model::trace::TraceHead::new(
            model::TrackingId(uuid::Uuid::nil()),
            model::Timestamp::from_seconds(9),
            model::trace::Channel::default(),
        );
        let caller = model::trace::Caller {
            kind: model::PrincipalKind::ServicePrincipal,
            object_id: Some(id),
            auth: model::principal::AuthType::Entra,
            ..model::trace::Caller::anyone()
        };
        let mut tried = 0;
        for row in model::OPERATIONS.iter().filter(|it| !it.actions.is_empty()) {
            let mut need = Need::default();
            row.actions.iter().for_each(|it| need.add(*it, List::of(row.role_plane())));
            let roles = need.roles(&at, &facts);
            let mut changed = facts.clone();
            for role in &roles {
                changed.put_role_assignment(gate::facts::RoleAssignment {
                    id: format!(
                        "{hub}/providers/Microsoft.Authorization/roleAssignments/{}",
                        role.id
                    ),
                    name: role.id.to_string(),
                    principal: id,
                    role: role.id,
                    scope: at.clone(),
                    created: model::Timestamp::default(),
                    deleted: None,
                    condition: None,
                });
            }
            let gate_of = |scope: &Scope| {
                let ask = gate::Ask::new(row, scope, &caller, &head);
                gate::judge(&ask, &changed).denial.map(|it| it.gate)
            };
            let is_refused = gate_of(&at) == Some(model::Gate::Access);
            assert_eq!(is_refused, roles.is_empty(), "{:?}: {roles:?}", row.op);
            // At a namesake it opens nothing.
            let namesake = Scope::parse(&format!("{hub}0")).unwrap();
            assert_eq!(gate_of(&namesake), Some(model::Gate::Access), "{:?}", row.op);
            tried += usize::from(!roles.is_empty());
        }
        assert!(tried > 100, "{tried}");
    }
}
