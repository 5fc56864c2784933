//! Everything that somebody can do, place by place, through what, and what stands against it: the question of
//! [`crate::who_can`], asked of one principal for every action.
//!
//! Decides nothing itself. An action is asked about where it can mean something: at the place of the question and
//! where the principal holds a role every action of management, at each hub, provisioning service and target below
//! it those of its own type.

use crate::env::Env;
use crate::input::{Input, Reply};
use crate::questions::{caller_as, caller_named, head, objects_named, row_named};
use crate::standing::{Asker, Question, keys_at, opens, who};
use gate::standing::{Standing, Survey};
use gate::{Facts, Permit};
use model::operations::{Operation, known, operation};
use model::trace::Caller;
use model::{Error, ObjectId, Plane, Scope};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Most places that an answer tells of; it says how many more there are.
const PLACES_MAX: usize = 100;
/// Questions that are judged before others get their turn.
const BETWEEN_PAUSES: usize = 100;
/// What the asker calls itself.
const ME: &str = "me";
/// Management that any resource has.
const OF_EVERY_RESOURCE: [&str; 3] =
    ["Microsoft.Authorization/", "Microsoft.Insights/", "Hubward.Decisions/"];

/// Every action, in the order of names, with the operation that stands for it.
static ACTIONS: LazyLock<BTreeMap<&'static str, &'static Operation>> = LazyLock::new(|| {
    let all = known().flat_map(|it| it.actions).map(|it| it.as_str());
    all.filter_map(|it| Some((it, row_named(it).ok()?))).collect()
});

/// True where the question is about who asks.
pub(crate) fn is_own(input: &Input, caller: &Caller, facts: &Facts) -> bool {
    let named = input.text(&["principal"]).filter(|it| !it.eq_ignore_ascii_case(ME));
    let Some(id) = named.map(|it| caller_named(it, facts)) else { return true };
    id.is_ok_and(|it| it.object_id.is_some() && it.object_id == caller.object_id)
}

/// `POST /decisions/access`.
pub(crate) async fn ask(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let is_own = is_own(input, permit.caller(), &facts);
    let caller = match input.text(&["principal"]) {
        Some(it) if !is_own => caller_named(it, &facts)?,
        Some(_) | None => {
            let me = permit.caller().object_id.and_then(|it| facts.principals.get(&it));
            me.map_or_else(|| permit.caller().clone(), caller_as)
        }
    };
    let id = caller.object_id.ok_or_else(|| {
        Error::invalid("principal", "only principals of the directory hold roles")
    })?;
    let is_enabled = facts.principals.get(&id).is_some_and(|it| it.is_enabled);
    let scope = permit.scope();
    let mut places = places(id, scope, &facts);
    let more = places.len().saturating_sub(PLACES_MAX);
    places.truncate(PLACES_MAX);
    let survey = Survey::new(&facts);
    let asker = Asker { permit, env, facts: &facts, is_own };
    let (mut access, mut keys) = (Vec::new(), Vec::new());
    for place in &places {
        let asked = Asked { id, caller: &caller, is_enabled, asker, survey: &survey };
        let (told, more) = asked.at(place, place.same_place(scope), input).await?;
        access.extend(told);
        keys.extend(more);
    }
    let mut answer = who(&caller);
    for (name, value) in [
        ("enabled", json!(is_enabled)),
        ("scope", json!(scope)),
        ("access", json!(access)),
        ("keys", json!(keys)),
        ("more", json!(more)),
    ] {
        model::json::set(&mut answer, name, value);
    }
    Ok(Reply::ok(answer))
}

/// The place of the question, where below it the principal holds a role, and what answers at an address of its own
/// below it and near one of its roles.
fn places(principal: ObjectId, scope: &Scope, facts: &Facts) -> Vec<Scope> {
    let held = facts.held_by(principal).map(|it| &it.scope);
    let hubs = facts.hubs.values().map(|it| &it.scope);
    let services = facts.provisioning.values().map(|it| &it.scope);
    let targets = facts.targets.values().map(|it| &it.scope);
    let near = hubs.chain(services).chain(targets);
    let near =
        near.filter(|it| facts.held_by(principal).any(|held| facts.contains(&held.scope, it)));
    let below = held.chain(near).filter(|it| facts.contains(scope, it) && !it.same_place(scope));
    let below: BTreeMap<String, &Scope> = below.map(|it| (it.key(), it)).collect();
    [scope].into_iter().chain(below.into_values()).cloned().collect()
}

/// About whom, and for whom.
#[derive(Clone, Copy)]
struct Asked<'a> {
    id: ObjectId,
    caller: &'a Caller,
    is_enabled: bool,
    asker: Asker<'a>,
    survey: &'a Survey<'a>,
}

impl Asked<'_> {
    /// What is told of one place, where anything is; and the keys that are reached there.
    async fn at(
        &self,
        place: &Scope,
        is_asked_for: bool,
        input: &Input,
    ) -> Result<(Option<Value>, Vec<Value>), Error> {
        let (env, facts) = (self.asker.env, self.asker.facts);
        let holds_here = || facts.held_by(self.id).any(|it| it.scope.same_place(place));
        let is_whole = is_asked_for || holds_here();
        let mut groups: Vec<Group> = Vec::new();
        for (index, (action, row)) in ACTIONS.iter().enumerate() {
            if index % BETWEEN_PAUSES == BETWEEN_PAUSES - 1 {
                // Others wait for this thread, too.
                tokio::task::yield_now().await;
            }
            if !is_meant(action, row, place, is_whole) {
                continue;
            }
            let head = head(action, env);
            // First without what would be deleted along: most of what is asked about nobody may.
            let question = Question { row, scope: place, objects: &[], head: &head };
            if matches!(question.standing(self.caller, self.survey), Standing::Cannot) {
                continue;
            }
            let objects = objects_named(row, action, place, input, env).await?;
            let question = Question { objects: &objects, ..question };
            if let Some(told) = self.told(question.standing(self.caller, self.survey)) {
                Group::add(&mut groups, action, told);
            }
        }
        let keys = self.keys(place);
        if groups.is_empty() && !is_asked_for {
            return Ok((None, keys));
        }
        let list = |is_stopped: bool| -> Vec<Value> {
            groups.iter().filter(|it| it.told.is_stopped == is_stopped).map(Group::shown).collect()
        };
        let rules = facts.network_rules(place);
        let told = json!({
            "scope": place,
            // From where somebody comes is not known here, so these rules were not asked.
            "networkRules": rules.is_some_and(|it| !it.is_open()),
            "can": list(false),
            "stopped": list(true),
        });
        Ok((Some(told), keys))
    }

    fn told(&self, standing: Standing) -> Option<Told> {
        let is_off = !self.is_enabled;
        let switched_off = || json!({ "kind": "account", "reason": "the account is switched off" });
        match standing {
            Standing::Cannot => None,
            Standing::Can { through } => Some(Told {
                is_stopped: is_off,
                rest: match is_off {
                    false => json!({ "through": self.asker.through(&through) }),
                    true => json!({
                        "through": self.asker.through(&through),
                        "gate": model::Gate::Authentication.as_str(),
                        "against": [switched_off()],
                    }),
                },
            }),
            Standing::Stopped { through, gate, against } => {
                let mut against = self.asker.against(&against);
                if let Some(all) = against.as_array_mut().filter(|_| is_off) {
                    all.insert(0, switched_off());
                }
                let gate = if is_off { model::Gate::Authentication } else { gate };
                let through = self.asker.through(&through);
                let rest = json!({ "through": through, "gate": gate.as_str(), "against": against });
                Some(Told { is_stopped: true, rest })
            }
        }
    }

    /// The keys that the principal can list or set, which open what they open whatever its roles say.
    fn keys(&self, place: &Scope) -> Vec<Value> {
        let facts = self.asker.facts;
        let Some((ops, _)) = keys_at(place, facts).filter(|_| self.is_enabled) else {
            return Vec::new();
        };
        let ways = ["lists", "writes"].into_iter().zip(ops);
        let told = ways.filter_map(|(by, op)| {
            let row = operation(op);
            let action = row.actions.first()?.as_str();
            let head = head(action, self.asker.env);
            let question = Question { row, scope: place, objects: &[], head: &head };
            let Standing::Can { through } = question.standing(self.caller, self.survey) else {
                return None;
            };
            Some(json!({
                "scope": place,
                "by": by,
                "action": action,
                "through": self.asker.through(&through),
                "opens": opens(row, place, facts),
            }))
        });
        told.collect()
    }
}

/// True where the action can mean something at the place.
fn is_meant(action: &str, row: &Operation, place: &Scope, is_whole: bool) -> bool {
    let starts =
        |prefix: &str| action.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix));
    let kind = place.resource_type().unwrap_or_default();
    let is_resource = place.resource_group_scope().is_some_and(|it| !it.same_place(place));
    match row.plane {
        Plane::Directory => is_whole && place.is_root(),
        _ if is_resource => {
            starts(&format!("{kind}/")) || is_whole && OF_EVERY_RESOURCE.iter().any(|it| starts(it))
        }
        Plane::Control => is_whole,
        Plane::Service | Plane::Device | Plane::Open | Plane::Token => false,
    }
}

/// What is said of an action.
#[derive(PartialEq)]
struct Told {
    is_stopped: bool,
    rest: Value,
}

/// Actions on one kind of thing that are held in the same way.
struct Group {
    name: &'static str,
    actions: Vec<&'static str>,
    told: Told,
}

impl Group {
    fn add(all: &mut Vec<Self>, action: &'static str, told: Told) {
        let name = noun(action);
        let same = all.iter_mut().find(|it| it.name.eq_ignore_ascii_case(name) && it.told == told);
        match same {
            Some(it) => it.actions.push(action),
            None => all.push(Self { name, actions: vec![action], told }),
        }
    }

    fn shown(&self) -> Value {
        let mut shown = json!({ "group": self.name, "actions": self.actions });
        for (name, value) in self.told.rest.as_object().into_iter().flatten() {
            model::json::set(&mut shown, name, value.clone());
        }
        shown
    }
}

/// What an action is done to: `Microsoft.Devices/IotHubs` of `Microsoft.Devices/IotHubs/listkeys/action`.
fn noun(action: &str) -> &str {
    let cut = |it: &'static str| action.strip_suffix(it);
    let whole = cut("/action").unwrap_or(action);
    whole.rsplit_once('/').map_or(action, |it| it.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_done_to_something() {
        let check = |action: &str, expected: &str| assert_eq!(noun(action), expected, "{action}");
        check("Microsoft.Devices/IotHubs/devices/read", "Microsoft.Devices/IotHubs/devices");
        check("Microsoft.Devices/IotHubs/listkeys/action", "Microsoft.Devices/IotHubs");
        check(
            "Microsoft.Devices/IotHubs/directMethods/invoke/action",
            "Microsoft.Devices/IotHubs/directMethods",
        );
        check("plain", "plain");
    }

    #[test]
    fn an_action_is_asked_about_where_it_can_mean_something() {
        let scope = |it: &str| Scope::parse(it).unwrap();
        let group = scope("/subscriptions/s/resourceGroups/rg");
        let hub = group.join("providers/Microsoft.Devices/IotHubs/h");
        let dps = group.join("providers/Microsoft.Devices/provisioningServices/d");
        let check = |action: &str, place: &Scope, is_whole: bool, expected: bool| {
            let row = row_named(action).unwrap();
            assert_eq!(is_meant(action, row, place, is_whole), expected, "{action} {place}");
        };
        const DATA: &str = "Microsoft.Devices/IotHubs/devices/read";
        check(DATA, &hub, false, true);
        check(DATA, &dps, true, false);
        check(DATA, &group, true, false);
        const GIVES: &str = "Microsoft.Authorization/roleAssignments/write";
        check(GIVES, &group, true, true);
        check(GIVES, &hub, true, true);
        check(GIVES, &hub, false, false);
        check("Microsoft.Devices/IotHubs/write", &group, true, true);
        check("Microsoft.Directory/users/write", &group, true, false);
        check("Microsoft.Directory/users/write", &Scope::root(), true, true);
    }
}
