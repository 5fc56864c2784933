//! Initiatives, what assignments and exemptions say of their members, and rules against deletion.

use super::world::*;
use gate::Facts;
use gate::policy::{
    Declared, Exemption, Initiative, Message, PolicyAssignment, guards_deletions, parse_members,
    parse_overrides, parse_resource_selectors,
};
use model::Op;
use model::trace::{FindingResult, Object, Verb};
use serde_json::{Value, json};

const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const SUBSCRIPTION: &str = "/subscriptions/s1";
const GROUP: &str = "/subscriptions/s1/resourceGroups/rg1";

fn deny(name: &str) -> Value {
    json!({ "if": { "field": "name", "like": name }, "then": { "effect": "deny" } })
}

fn allow(name: &str) -> Value {
    json!({ "if": { "field": "name", "like": name }, "then": { "effect": "allow" } })
}

fn guard(kind: &str) -> Value {
    json!({ "if": { "field": "type", "equals": kind },
        "then": { "effect": "denyAction", "details": { "actionNames": ["delete"] } } })
}

/// Everybody may do everything; only policies stand in the way.
fn open() -> Facts {
    let mut facts = facts();
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, SUBSCRIPTION);
    assign(&mut facts, ANA, OWNER, SUBSCRIPTION);
    facts
}

fn definition_id(name: &str) -> String {
    format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/policyDefinitions/{name}")
}

/// An initiative `set` of definitions that are there, each under its own name, assigned as `all` at the hub.
fn initiative(facts: &mut Facts, rules: &[(&str, Value)]) {
    for (name, rules) in rules {
        policy(facts, name, rules, HUB);
        facts.remove_policy_assignment(&policy_assignment_id(name, HUB));
    }
    let members: Vec<Value> =
        rules.iter().map(|(it, _)| json!({ "policyDefinitionId": definition_id(it) })).collect();
    let id = format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/policySetDefinitions/set");
    facts.put_initiative(Initiative {
        id: id.clone(),
        name: "set".into(),
        display_name: "The set".into(),
        version: "1.0.0".into(),
        members: parse_members(&json!({ "policyDefinitions": members }), &Declared::default())
            .unwrap(),
        parameters: Declared::default(),
    });
    policy(facts, "all", &deny("none"), HUB);
    change(facts, |it| {
        it.definition_key = id.to_ascii_lowercase();
        it.definition_id = id;
    });
}

fn change(facts: &mut Facts, how: impl FnOnce(&mut PolicyAssignment)) {
    let id = policy_assignment_id("all", HUB).to_ascii_lowercase();
    let mut assignment = (*facts.policy_assignments[&id]).clone();
    how(&mut assignment);
    facts.put_policy_assignment(assignment);
}

fn exempt(facts: &mut Facts, members: &[&str]) {
    facts.put_policy_exemption(Exemption {
        id: format!("{HUB}/providers/Microsoft.Authorization/policyExemptions/e"),
        name: "e".into(),
        scope: scope(HUB),
        assignment_id: policy_assignment_id("all", HUB),
        expires: None,
        principal_ids: Vec::new(),
        reference_ids: members.iter().map(|it| (*it).to_owned()).collect(),
        resource_selectors: Vec::new(),
    });
}

fn is_denied(facts: &Facts, device: &str) -> bool {
    registers(facts, ANA, HUB, device).denial.is_some()
}

#[test]
fn the_members_of_an_initiative_are_walked_in_their_order() {
    let mut facts = open();
    initiative(&mut facts, &[("shield", allow("pump-*")), ("names", deny("*"))]);
    assert!(!is_denied(&facts, "pump-1"));
    assert!(is_denied(&facts, "valve-1"));
    initiative(&mut facts, &[("names", deny("*")), ("shield", allow("pump-*"))]);
    assert!(is_denied(&facts, "pump-1"));
    // What its definitions say now counts, not what they said when it was written.
    policy(&mut facts, "names", &deny("valve-*"), HUB10);
    assert!(!is_denied(&facts, "pump-1"));
    assert!(is_denied(&facts, "valve-1"));
}

#[test]
fn a_refusal_names_initiative_member_and_rule() {
    let mut facts = open();
    initiative(
        &mut facts,
        &[("first", deny("a-*")), ("second", json!([deny("b-*"), deny("c-*")]))],
    );
    let message = |text: &str, member: Option<&str>| Message {
        text: text.into(),
        reference_id: member.map(str::to_owned),
    };
    change(&mut facts, |it| {
        it.messages = vec![message("for all", None), message("for one", Some("SECOND"))];
    });
    let judged = registers(&facts, ANA, HUB, "c-1");
    let place = judged.trace.deciding().unwrap().rule.clone().unwrap();
    assert_eq!((place.definition_name.as_str(), place.index), ("second", 1));
    let member = place.initiative.unwrap();
    assert_eq!((member.name.as_str(), member.reference_id.as_str()), ("set", "second"));
    let denial = judged.denial.unwrap();
    assert!(denial.message.starts_with("Reasons: 'for one'. "), "{}", denial.message);
    assert!(denial.message.contains("policySetDefinition"), "{}", denial.message);
    let shown = &denial.violations[0];
    for (name, expected) in [
        ("policyDefinitionName", "second"),
        ("policySetDefinitionName", "set"),
        ("policySetDefinitionDisplayName", "The set"),
        ("policyDefinitionReferenceId", "second"),
    ] {
        assert_eq!(shown[name], expected, "{name}");
    }
    assert_eq!(shown["ruleIndex"], 1);
    let other = registers(&facts, ANA, HUB, "a-1").denial.unwrap();
    assert!(other.message.starts_with("Reasons: 'for all'. "), "{}", other.message);
}

#[test]
fn an_exemption_of_one_member_leaves_the_others_denying() {
    let mut facts = open();
    initiative(&mut facts, &[("a", deny("a-*")), ("ab", deny("*b"))]);
    exempt(&mut facts, &["A"]);
    assert!(!is_denied(&facts, "a-1"));
    assert!(is_denied(&facts, "a-b"));
    let step = registers(&facts, ANA, HUB, "a-1").trace.steps[1].clone();
    assert_eq!(step.findings[0].result, FindingResult::Exempt);
    assert_eq!(step.findings[0].reason, "the exemption `e` exempts every caller from `a`");
    let denial = registers(&facts, ANA, HUB, "a-b").denial.unwrap();
    assert!(denial.violations[0]["policyExemptionIds"][0].as_str().unwrap().ends_with("/e"));
    // A name that is no member's exempts nobody, least of all from everything.
    exempt(&mut facts, &["abc"]);
    assert!(is_denied(&facts, "a-1"));
    exempt(&mut facts, &[]);
    assert!(!is_denied(&facts, "a-b"));
}

#[test]
fn an_override_changes_the_effect_of_the_members_that_it_names() {
    let mut facts = open();
    initiative(&mut facts, &[("a", deny("a-*")), ("ab", deny("ab-*"))]);
    let with = |facts: &mut Facts, value: &str, selectors: Value| {
        let told = json!({ "overrides": [
            { "kind": "policyEffect", "value": value, "selectors": selectors } ] });
        change(facts, |it| it.overrides = parse_overrides(&told).unwrap());
    };
    let named = json!([{ "kind": "policyDefinitionReferenceId", "in": ["a"] }]);
    with(&mut facts, "audit", named.clone());
    assert!(!is_denied(&facts, "a-1"));
    assert!(is_denied(&facts, "ab-1"));
    let step = registers(&facts, ANA, HUB, "a-1").trace.steps[1].clone();
    assert_eq!(step.findings[0].result, FindingResult::Audit);
    with(&mut facts, "disabled", named);
    let step = registers(&facts, ANA, HUB, "a-1").trace.steps[1].clone();
    assert_eq!(step.findings[0].result, FindingResult::NoMatch);
    // The hub is in westus, and its devices with it.
    with(&mut facts, "audit", json!([{ "kind": "resourceLocation", "in": ["West US"] }]));
    assert!(!is_denied(&facts, "ab-1"));
    with(&mut facts, "audit", json!([{ "kind": "resourceLocation", "in": ["westus2"] }]));
    assert!(is_denied(&facts, "ab-1"));
}

#[test]
fn an_assignment_is_about_the_resources_that_it_selects() {
    let mut facts = open();
    policy(&mut facts, "all", &deny("*"), HUB);
    let select = |facts: &mut Facts, kind: &str, word: &str, value: &str| {
        let mut selector = json!({ "kind": kind });
        selector[word] = json!([value]);
        let told = json!({ "resourceSelectors": [{ "selectors": [selector] }] });
        change(facts, |it| it.resource_selectors = parse_resource_selectors(&told).unwrap());
    };
    select(&mut facts, "resourceLocation", "in", "westus");
    assert!(is_denied(&facts, "d1"));
    select(&mut facts, "resourceLocation", "notIn", "westus");
    assert!(!is_denied(&facts, "d1"));
    let step = registers(&facts, ANA, HUB, "d1").trace.steps[1].clone();
    assert_eq!(step.findings[0].result, FindingResult::Excluded);
    select(&mut facts, "resourceType", "in", "microsoft.devices/iothubs/devices");
    assert!(is_denied(&facts, "d1"));
    select(&mut facts, "resourceType", "in", "Microsoft.Devices/IotHubs");
    assert!(!is_denied(&facts, "d1"));
}

#[test]
fn a_member_whose_definition_is_gone_denies_unless_it_is_not_enforced() {
    let mut facts = open();
    initiative(&mut facts, &[("a", deny("a-*")), ("b", deny("b-*"))]);
    facts.remove_policy_definition(&definition_id("b"));
    assert!(is_denied(&facts, "d1"));
    let judged = registers(&facts, ANA, HUB, "d1");
    let found = judged.trace.deciding().unwrap();
    assert_eq!(found.result, FindingResult::Error);
    assert_eq!(found.rule.as_ref().unwrap().initiative.as_ref().unwrap().reference_id, "b");
    change(&mut facts, |it| it.is_enforced = false);
    let judged = registers(&facts, ANA, HUB, "d1");
    assert!(judged.denial.is_none());
    assert_eq!(judged.trace.steps[1].findings[0].result, FindingResult::WouldDeny);
}

fn deleted(kind: &str, id: &str, verb: Verb) -> Object {
    Object {
        kind: kind.into(),
        name: scope(id).name().to_owned(),
        id: id.into(),
        body: json!({}),
        verb,
    }
}

#[test]
fn a_deny_stops_no_deletion_and_a_deny_action_stops_nothing_else() {
    let mut facts = open();
    let device = format!("{HUB}/devices/d1");
    let deletes = |facts: &Facts| {
        let object = deleted(DEVICES, &device, Verb::Delete);
        does(facts, ANA, Op::DeleteDevice, HUB, &[object])
    };
    policy(&mut facts, "no-writes", &deny("*"), HUB);
    assert!(deletes(&facts).denial.is_none());
    assert!(!guards_deletions(&facts, &scope(HUB)));
    facts.remove_policy_assignment(&policy_assignment_id("no-writes", HUB));

    policy(&mut facts, "keep", &guard(DEVICES), HUB);
    assert!(guards_deletions(&facts, &scope(HUB)) && guards_deletions(&facts, &scope(GROUP)));
    assert!(!guards_deletions(&facts, &scope(HUB10)));
    assert!(!is_denied(&facts, "d1"));
    let denial = deletes(&facts).denial.unwrap();
    assert_eq!(denial.violations[0]["policyDefinitionEffect"], "denyAction");
    let error = model::Error::Denied(Box::new(denial));
    assert_eq!(error.wire().hub_name, "RequestDisallowedByPolicy");

    // Of a bulk call only what it deletes is guarded.
    let (written, gone) =
        (super::world::device(HUB, "d2"), deleted(DEVICES, &device, Verb::Delete));
    assert!(
        does(&facts, ANA, Op::BulkDevices, HUB, std::slice::from_ref(&written)).denial.is_none()
    );
    let bulk = does(&facts, ANA, Op::BulkDevices, HUB, &[written, gone]);
    assert_eq!(bulk.denial.unwrap().target, "d1");
    // Nor does it see whoever would lift it.
    for op in [Op::DeletePolicyAssignment, Op::DeletePolicyExemption, Op::DeleteLock] {
        let object = deleted(DEVICES, &device, Verb::Delete);
        assert!(does(&facts, ANA, op, HUB, &[object]).denial.is_none(), "{op:?}");
    }
}

/// S0-23: a rule can name the deletion, and is about no other.
#[test]
fn a_rule_against_deletions_can_name_the_action() {
    let mut facts = open();
    let mut rule = guard(DEVICES);
    let action = "microsoft.devices/iothubs/devices/DELETE";
    rule["if"] = json!({ "field": "request.action", "equals": action });
    policy(&mut facts, "keep", &rule, HUB);
    let device = deleted(DEVICES, &format!("{HUB}/devices/d1"), Verb::Delete);
    let hub = deleted("Microsoft.Devices/IotHubs", HUB, Verb::Delete);
    for op in [Op::DeleteDevice, Op::BulkDevices] {
        let judged = does(&facts, ANA, op, HUB, std::slice::from_ref(&device));
        assert!(judged.denial.is_some(), "{op:?}");
    }
    assert!(does(&facts, ANA, Op::DeleteHub, HUB, &[hub]).denial.is_none());
    assert!(!is_denied(&facts, "d1"));
}

#[test]
fn a_guarded_hub_keeps_its_resource_group_unless_the_rule_says_otherwise() {
    let mut facts = open();
    let kind = "Microsoft.Devices/IotHubs";
    let group = deleted("Microsoft.Resources/subscriptions/resourceGroups", GROUP, Verb::Delete);
    let objects = [group, deleted(kind, HUB, Verb::DeleteWithGroup)];
    let deletes = |facts: &Facts| does(facts, ANA, Op::DeleteResourceGroup, GROUP, &objects);
    // Assigned to the hub alone, and to the group around it.
    for at in [HUB, GROUP] {
        policy(&mut facts, "keep", &guard(kind), at);
        assert_eq!(deletes(&facts).denial.unwrap().target, "hub1", "{at}");
        facts.remove_policy_assignment(&policy_assignment_id("keep", at));
    }
    policy(&mut facts, "keep", &guard(kind), HUB10);
    assert!(deletes(&facts).denial.is_none(), "its namesake is not in the call");
    facts.remove_policy_assignment(&policy_assignment_id("keep", HUB10));

    let mut lenient = guard(kind);
    lenient["then"]["details"]["cascadeBehaviors"] = json!({ "resourceGroup": "allow" });
    policy(&mut facts, "keep", &lenient, HUB);
    assert!(deletes(&facts).denial.is_none());
    let alone = deleted(kind, HUB, Verb::Delete);
    assert!(does(&facts, ANA, Op::DeleteHub, HUB, &[alone]).denial.is_some());
}
