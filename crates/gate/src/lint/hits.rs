//! Whom policies hit: which rules can match a device that registers, and which calls of whom they would refuse.
//!
//! Start at [`hits`]. A registration is laid before each rule by itself, so that one that an earlier rule shadows is
//! found, too. What is refused is told by all rules as they stand: calls are made up from the rules' own words, and made
//! by each principal that has a role for them.

use super::provisioning::{Way, identity, registers, ways, which};
use super::stopped::caller_of;
use super::wanted::{Wanted, judged, met, object_kinds, place, writing};
use crate::decide::{Ask, Judgement, is_granted};
use crate::facts::{Facts, Hub, Principal};
use crate::policy::{Arguments, Brought, Effect, PolicyAssignment, PolicyDefinition, Rule, Then};
use model::principal::AuthType;
use model::trace::{Caller, Finding, FindingKind, FindingResult, Gate, Trace};
use model::{ObjectId, Scope, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Most rules that are looked at.
const RULES_MAX: usize = 500;
/// Most hubs at which calls are made up.
const HUBS_MAX: usize = 10;
/// Most services that devices come to one hub through.
const SERVICES_MAX: usize = 10;
/// Most calls that one rule's words make.
const OF_RULE_MAX: usize = 8;
/// Most calls that are made up at a hub.
const CALLS_MAX: usize = 100;
const HUBS: &str = "Microsoft.Devices/IotHubs";
/// Most principals that make them.
const PRINCIPALS_MAX: usize = 100;

/// A rule, and whom it hits.
#[derive(Clone, Debug)]
pub struct Hit {
    pub assignment_id: String,
    pub assignment_name: String,
    pub assignment_scope: Scope,
    pub definition_id: String,
    pub definition_name: String,
    /// Which of the definition's rules, from 0.
    pub rule: usize,
    /// The rule as it was written.
    pub source: Value,
    pub effect: &'static str,
    /// The registrations that it can match.
    pub registrations: Vec<Registration>,
    /// Whom it refuses, each with what.
    pub refuses: Vec<Refused>,
}

/// Devices that register through a service at a hub.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The service; nothing where none is linked with the hub, and one is made up.
    pub dps: Option<Scope>,
    pub hub: Scope,
    /// ` by an enrollment group over MQTT`; empty where it is every registration.
    pub which: String,
    /// The refusal, where this very rule refuses one.
    pub refused: Option<Trace>,
}

/// A principal with a role for the calls, that the rule refuses.
#[derive(Clone, Debug)]
pub struct Refused {
    pub caller: Caller,
    /// Which actions, and at which places.
    pub calls: BTreeSet<(&'static str, String)>,
    /// The first of them.
    pub trace: Trace,
}

/// A service, where there is one, and a hub.
type Places = (Option<String>, String);

/// A rule of an assignment: by the ids of the two, and its number.
type Key = (String, String, usize);

/// The rules that count at, above or below a scope, and hit anybody. `is_asked_for` leaves others out.
pub fn hits(
    facts: &Facts,
    scope: &Scope,
    now: Timestamp,
    is_asked_for: &dyn Fn(&PolicyAssignment, &PolicyDefinition) -> bool,
) -> Vec<Hit> {
    let mut found = rules(facts, scope, is_asked_for);
    let near = facts
        .hubs
        .values()
        .filter(|it| facts.contains(scope, &it.scope) || facts.contains(&it.scope, scope));
    let hubs: Vec<&Hub> = near.map(|it| &**it).take(HUBS_MAX).collect();
    let ways = hubs.iter().flat_map(|hub| registrations(hub, facts));
    let come: Vec<(Coming<'_>, Judgement)> = ways
        .map(|it| {
            let judged = it.judged(facts, now);
            (it, judged)
        })
        .collect();
    for hit in found.values_mut() {
        let (alone, key) = (hit.alone(facts), hit.hit.key());
        let is_its = |it: &Finding| key_of(it).as_ref() == Some(&key);
        for (coming, judged) in &come {
            if speaks(&coming.judged(&alone, now).trace).any(is_its) {
                let refuses = refusing(&judged.trace).any(is_its);
                hit.registers(coming, refuses.then(|| judged.trace.clone()));
            }
        }
    }
    for hub in &hubs {
        for (call, row) in calls(hub, &found) {
            let (place, _) = place(&call, row, &hub.scope);
            for caller in callers(hub, facts) {
                let head = super::provisioning::head(String::new(), now);
                if !is_granted(&Ask::new(row, &place, &caller, &head), facts) {
                    continue;
                }
                let Some(judged) = judged(&call, &hub.scope, &caller, now, facts) else { continue };
                let actions = row.actions.iter().filter(|it| it.is_write() || it.ends_in("delete"));
                let action = actions.map(|it| it.as_str()).next().unwrap_or("");
                for finding in refusing(&judged.trace) {
                    let Some(hit) = key_of(finding).and_then(|it| found.get_mut(&it)) else {
                        continue;
                    };
                    hit.refuses(&caller, (action, place.as_str().to_owned()), &judged.trace);
                }
            }
        }
    }
    let all = found.into_values().map(Asked::told);
    all.filter(|it| !it.registrations.is_empty() || !it.refuses.is_empty()).collect()
}

/// A rule while it is asked about.
struct Asked<'f> {
    hit: Hit,
    rule: &'f Rule,
    definition: &'f PolicyDefinition,
    ways: BTreeMap<Places, (Vec<Way>, Option<Trace>)>,
    refused: BTreeMap<ObjectId, Refused>,
}

impl Hit {
    fn key(&self) -> Key {
        let lower = |it: &String| it.to_ascii_lowercase();
        (lower(&self.assignment_id), lower(&self.definition_id), self.rule)
    }
}

impl Asked<'_> {
    /// The facts, in which the rule is the only one of its definition, and denies.
    fn alone(&self, facts: &Facts) -> Facts {
        let rule = Rule {
            then: Then::Is(Effect::Deny),
            required: None,
            changes: None,
            ..self.rule.clone()
        };
        let mut alone = facts.clone();
        alone.put_policy_definition(PolicyDefinition {
            rules: vec![rule],
            ..self.definition.clone()
        });
        alone
    }

    fn registers(&mut self, coming: &Coming<'_>, refused: Option<Trace>) {
        let text = |it: &Scope| it.as_str().to_owned();
        let places = (coming.dps.as_ref().map(text), text(&coming.hub.scope));
        let entry = self.ways.entry(places).or_default();
        entry.0.push(coming.way);
        if entry.1.is_none() {
            entry.1 = refused;
        }
    }

    fn refuses(&mut self, caller: &Caller, call: (&'static str, String), trace: &Trace) {
        let Some(id) = caller.object_id else { return };
        let entry = self.refused.entry(id).or_insert_with(|| Refused {
            caller: caller.clone(),
            calls: BTreeSet::new(),
            trace: trace.clone(),
        });
        entry.calls.insert(call);
    }

    fn told(self) -> Hit {
        let scope = |it: &str| Scope::parse(it).unwrap_or_else(|_| Scope::root());
        let ways = self.ways.into_iter();
        let registrations = ways.map(|((dps, hub), (ways, refused))| Registration {
            dps: dps.map(|it| scope(&it)),
            hub: scope(&hub),
            which: which(&ways),
            refused,
        });
        let registrations = registrations.collect();
        let mut refuses: Vec<Refused> = self.refused.into_values().collect();
        refuses.sort_by(|a, b| {
            (&a.caller.name, a.caller.object_id).cmp(&(&b.caller.name, b.caller.object_id))
        });
        Hit { registrations, refuses, ..self.hit }
    }
}

/// Every rule that is assigned near a scope, but for those that are switched off.
fn rules<'f>(
    facts: &'f Facts,
    scope: &Scope,
    is_asked_for: &dyn Fn(&PolicyAssignment, &PolicyDefinition) -> bool,
) -> BTreeMap<Key, Asked<'f>> {
    let near = facts
        .policy_assignments
        .values()
        .filter(|it| facts.contains(&it.scope, scope) || facts.contains(scope, &it.scope));
    let mut found = BTreeMap::new();
    for assignment in near {
        let brought = Brought::of(assignment, facts);
        for part in brought.parts(facts) {
            let Some(definition) = part.definition.filter(|it| is_asked_for(assignment, it)) else {
                continue;
            };
            let Ok(given) = brought.given(assignment, part) else { continue };
            for rule in &definition.rules {
                let arguments = Arguments { declared: &definition.parameters, given: &given };
                let effect = rule.effect(arguments).map_or("error", Effect::as_str);
                if effect == Effect::Disabled.as_str() || found.len() >= RULES_MAX {
                    continue;
                }
                let hit = Hit {
                    assignment_id: assignment.id.clone(),
                    assignment_name: assignment.name.clone(),
                    assignment_scope: assignment.scope.clone(),
                    definition_id: definition.id.clone(),
                    definition_name: definition.name.clone(),
                    rule: rule.index,
                    source: rule.source.clone(),
                    effect,
                    registrations: Vec::new(),
                    refuses: Vec::new(),
                };
                let (ways, refused) = (BTreeMap::new(), BTreeMap::new());
                found.insert(hit.key(), Asked { hit, rule, definition, ways, refused });
            }
        }
    }
    found
}

/// A device that registers.
struct Coming<'f> {
    hub: &'f Hub,
    way: Way,
    dps: Option<Scope>,
    caller: Caller,
    id_scope: String,
}

impl Coming<'_> {
    fn judged(&self, facts: &Facts, now: Timestamp) -> Judgement {
        registers(self.way, &self.caller, &self.hub.scope, &self.id_scope, facts, now)
    }
}

/// Every way in which a device can come to the hub, through each service that is linked with it, or through one that is
/// made up.
fn registrations<'f>(hub: &'f Hub, facts: &Facts) -> Vec<Coming<'f>> {
    let mut services: Vec<(Option<Scope>, Caller, String)> = Vec::new();
    for dps in facts.provisioning.values() {
        for link in &dps.links {
            let is_its = facts.hub_at(&link.hub).is_some_and(|it| it.scope.same_place(&hub.scope));
            if let Some(caller) = is_its.then(|| caller_of(dps, link, hub, facts)).flatten() {
                services.push((Some(dps.scope.clone()), caller, dps.id_scope.clone()));
            }
        }
    }
    if services.is_empty() {
        let nobody = ObjectId(uuid::Uuid::from_u128(1));
        let caller = identity(nobody, None, "a provisioning service");
        services.push((None, caller, "0ne00000000".into()));
    }
    services.truncate(SERVICES_MAX);
    let coming = |(dps, caller, id_scope): (Option<Scope>, Caller, String)| {
        ways().map(move |way| Coming {
            hub,
            way,
            dps: dps.clone(),
            caller: caller.clone(),
            id_scope: id_scope.clone(),
        })
    };
    services.into_iter().flat_map(coming).collect()
}

/// Calls of every kind, and such as the rules' own words tell of, each with its operation.
fn calls(hub: &Hub, rules: &BTreeMap<Key, Asked<'_>>) -> Vec<(Wanted, &'static model::Operation)> {
    let of_kind = |kind: String| {
        let write =
            Wanted { kind: Some(kind), protocol: Some("https".into()), ..Wanted::default() };
        [Wanted { is_deletion: true, ..write.clone() }, write]
    };
    let plain: Vec<Wanted> = object_kinds().into_iter().flat_map(of_kind).collect();
    let of_rules = rules.values().flat_map(|it| {
        let is_deletion = it.hit.effect == "denyAction";
        let base = Wanted { is_deletion, protocol: Some("https".into()), ..Wanted::default() };
        let met = met(&it.rule.condition, vec![base], true);
        met.into_iter().take(OF_RULE_MAX).flat_map(|it| match it.kind {
            Some(_) => vec![it],
            None => object_kinds()
                .into_iter()
                .map(|kind| Wanted { kind: Some(kind), ..it.clone() })
                .collect(),
        })
    });
    let mut found: Vec<(Wanted, &'static model::Operation)> = Vec::new();
    for call in plain.into_iter().chain(of_rules) {
        // Who calls is who is asked about, and comes through no enrollment.
        let mut call = Wanted { principal: None, enrollment: None, ..call };
        let is_of_hubs = call.kind.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(HUBS));
        if is_of_hubs && call.name == Wanted::default().name {
            // The hub that there is.
            call.name = hub.scope.name().to_owned();
        }
        if found.len() >= CALLS_MAX || found.iter().any(|it| it.0 == call) {
            continue;
        }
        found.extend(writing(&call).map(|row| (call, row)));
    }
    found
}

/// The principals with a role near the hub.
fn callers(hub: &Hub, facts: &Facts) -> Vec<Caller> {
    let mut near: Vec<&Principal> = facts
        .principals
        .values()
        .filter(|it| {
            let mut held = facts.held_by(it.id);
            it.is_enabled && held.any(|held| facts.contains(&held.scope, &hub.scope))
        })
        .collect();
    near.sort_by(|a, b| (&a.display_name, a.id).cmp(&(&b.display_name, b.id)));
    near.truncate(PRINCIPALS_MAX);
    let as_it_calls = |it: &Principal| Caller {
        kind: it.kind,
        object_id: Some(it.id),
        app_id: it.app_id,
        name: it.display_name.clone(),
        auth: AuthType::Entra,
        signed_in: "not at all: nobody calls".into(),
        ..Caller::anyone()
    };
    near.into_iter().map(as_it_calls).collect()
}

/// The rules that say anything.
fn speaks(trace: &Trace) -> impl Iterator<Item = &Finding> {
    let step = trace.step(Gate::Policy);
    let found = step.into_iter().flat_map(|it| &it.findings);
    found.filter(|it| it.kind == FindingKind::PolicyRule && it.rule.is_some()).filter(|it| {
        matches!(it.result, FindingResult::Deny | FindingResult::Error | FindingResult::WouldDeny)
    })
}

fn refusing(trace: &Trace) -> impl Iterator<Item = &Finding> {
    speaks(trace).filter(|it| it.result != FindingResult::WouldDeny)
}

fn key_of(finding: &Finding) -> Option<Key> {
    let rule = finding.rule.as_ref()?;
    let lower = |it: &String| it.to_ascii_lowercase();
    Some((lower(&finding.id), lower(&rule.definition_id), rule.index))
}
