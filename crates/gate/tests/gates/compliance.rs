//! How resources that exist stand to the policies assigned to them.

use super::world::*;
use gate::Facts;
use gate::policy::{
    Compliance, Declared, Detail, Exemption, Existing, Initiative, PolicyAssignment, State,
    parse_members, parse_overrides, parse_resource_selectors, percentage, reaching, states,
};
use model::trace::{Object, Verb};
use serde_json::{Value, json};
use std::sync::Arc;

const SUBSCRIPTION: &str = "/subscriptions/s1";
const HUBS: &str = "Microsoft.Devices/IotHubs";

/// A hub without an owner's tag breaks it.
fn owned(effect: &str) -> Value {
    json!({ "if": { "allOf": [{ "field": "type", "equals": HUBS },
        { "field": "tags.owner", "exists": false }] }, "then": { "effect": effect } })
}

fn named(pattern: &str, effect: &str) -> Value {
    json!({ "if": { "allOf": [{ "field": "type", "equals": HUBS },
        { "field": "name", "like": pattern }] }, "then": { "effect": effect } })
}

fn object(id: &str, body: Value) -> Object {
    let place = scope(id);
    let kind = place.resource_type().unwrap();
    Object { kind, name: place.name().into(), id: id.into(), body, verb: Verb::Write }
}

fn hub() -> Object {
    object(HUB, json!({ "location": "westus", "tags": { "line": "3" } }))
}

fn told<'a>(facts: &'a Facts, object: &Object) -> Vec<State<'a>> {
    let place = scope(&object.id);
    let existing = Existing { object, scope: &place, now: NOW, detail: Detail::Conditions };
    let all = reaching(&place, facts).into_iter();
    all.flat_map(|it| states(existing, it, facts)).collect()
}

/// The states of a hub: effect, rule and member.
fn check(facts: &Facts, object: &Object, expected: &[(Compliance, &str, Option<usize>, &str)]) {
    let all = told(facts, object);
    let found: Vec<_> = all
        .iter()
        .map(|it| {
            let member = it.member.map_or("", |it| it.reference_id.as_str());
            (it.compliance, it.effect, it.rule, member)
        })
        .collect();
    assert_eq!(found, expected);
}

fn change(facts: &mut Facts, name: &str, how: impl FnOnce(&mut PolicyAssignment)) {
    let id = policy_assignment_id(name, SUBSCRIPTION).to_ascii_lowercase();
    let mut assignment = PolicyAssignment::clone(&facts.policy_assignments[&id]);
    how(&mut assignment);
    facts.put_policy_assignment(assignment);
}

fn assigned(name: &str, rules: &Value) -> Facts {
    let mut facts = facts();
    policy(&mut facts, name, rules, SUBSCRIPTION);
    facts
}

fn exempt(facts: &mut Facts, name: &str, how: impl FnOnce(&mut Exemption)) {
    let mut exemption = Exemption {
        id: format!("{HUB}/providers/Microsoft.Authorization/policyExemptions/e"),
        name: "e".into(),
        scope: scope(HUB),
        assignment_id: policy_assignment_id(name, SUBSCRIPTION),
        expires: None,
        principal_ids: Vec::new(),
        reference_ids: Vec::new(),
        resource_selectors: Vec::new(),
    };
    how(&mut exemption);
    facts.put_policy_exemption(exemption);
}

/// An initiative whose members are called after their definitions, assigned as `all`.
fn initiative(rules: &[(&str, Value)]) -> Facts {
    let mut facts = facts();
    for (name, rules) in rules {
        policy(&mut facts, name, rules, SUBSCRIPTION);
        facts.remove_policy_assignment(&policy_assignment_id(name, SUBSCRIPTION));
    }
    let definition = |it: &str| {
        format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/policyDefinitions/{it}")
    };
    let members: Vec<Value> =
        rules.iter().map(|(it, _)| json!({ "policyDefinitionId": definition(it) })).collect();
    let id = format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/policySetDefinitions/set");
    facts.put_initiative(Initiative {
        id: id.clone(),
        name: "set".into(),
        display_name: String::new(),
        version: "1.0.0".into(),
        members: parse_members(&json!({ "policyDefinitions": members }), &Declared::default())
            .unwrap(),
        parameters: Declared::default(),
    });
    policy(&mut facts, "all", &named("none", "deny"), SUBSCRIPTION);
    change(&mut facts, "all", |it| {
        it.definition_key = id.to_ascii_lowercase();
        it.definition_id = id;
    });
    facts
}

#[test]
fn a_resource_that_a_write_would_be_refused_or_noted_for_does_not_comply() {
    use Compliance::{Compliant, NonCompliant};
    for effect in ["deny", "audit"] {
        let facts = assigned("owned", &owned(effect));
        check(&facts, &hub(), &[(NonCompliant, effect, Some(0), "")]);
        let mine = object(HUB, json!({ "tags": { "owner": "ana" } }));
        check(&facts, &mine, &[(Compliant, effect, None, "")]);
        let told = told(&facts, &hub());
        assert_eq!(told[0].conditions.len(), 2, "{told:?}");
        assert_eq!(told[0].assignment.name, "owned");
        assert_eq!(told[0].definition.unwrap().name, "owned");
    }
    for silent in ["disabled", "allow"] {
        check(&assigned("owned", &owned(silent)), &hub(), &[]);
    }
    let keep = json!({ "if": { "field": "type", "equals": HUBS },
        "then": { "effect": "denyAction", "details": { "actionNames": ["delete"] } } });
    check(&assigned("keep", &keep), &hub(), &[]);
    check(&facts(), &hub(), &[]);
}

#[test]
fn a_policy_that_is_not_enforced_is_evaluated_and_shown() {
    let mut facts = assigned("owned", &owned("deny"));
    change(&mut facts, "owned", |it| it.is_enforced = false);
    check(&facts, &hub(), &[(Compliance::NonCompliant, "deny", Some(0), "")]);
}

#[test]
fn an_exempt_resource_is_shown_as_exempt_until_the_exemption_ends() {
    let exempted = [(Compliance::Exempt, "deny", None, "")];
    let broken = [(Compliance::NonCompliant, "deny", Some(0), "")];
    let mut facts = assigned("owned", &owned("deny"));
    exempt(&mut facts, "owned", |_| ());
    check(&facts, &hub(), &exempted);
    let other = object(HUB10, json!({}));
    check(&facts, &other, &broken);
    exempt(&mut facts, "owned", |it| it.expires = Some(NOW.plus_seconds(1)));
    check(&facts, &hub(), &exempted);
    exempt(&mut facts, "owned", |it| it.expires = Some(NOW));
    check(&facts, &hub(), &broken);
    // Nobody calls, so nobody in particular is exempt.
    exempt(&mut facts, "owned", |it| it.principal_ids = vec![id(ANA)]);
    check(&facts, &hub(), &broken);
    // From a rule that is not about it nothing is exempt.
    let mut facts = assigned(
        "groups",
        &json!({ "if": { "field": "type", "equals": "other/type" },
        "then": { "effect": "deny" } }),
    );
    exempt(&mut facts, "groups", |_| ());
    check(&facts, &hub(), &[]);
}

#[test]
fn what_an_assignment_leaves_out_is_not_evaluated() {
    let mut facts = assigned("owned", &owned("deny"));
    change(&mut facts, "owned", |it| it.not_scopes = vec![scope(HUB)]);
    exempt(&mut facts, "owned", |_| ());
    check(&facts, &hub(), &[]);
    check(&facts, &object(HUB10, json!({})), &[(Compliance::NonCompliant, "deny", Some(0), "")]);
    let far = json!({ "resourceSelectors": [{ "selectors": [
        { "kind": "resourceLocation", "in": ["japaneast"] }] }] });
    let mut facts = assigned("owned", &owned("deny"));
    change(&mut facts, "owned", |it| {
        it.resource_selectors = parse_resource_selectors(&far).unwrap();
    });
    check(&facts, &hub(), &[]);
    let mut facts = assigned("owned", &owned("deny"));
    let id = policy_assignment_id("owned", SUBSCRIPTION).to_ascii_lowercase();
    let moved = PolicyAssignment::clone(&facts.policy_assignments[&id]);
    facts.remove_policy_assignment(&id);
    facts.put_policy_assignment(PolicyAssignment { scope: scope(HUB10), ..moved });
    check(&facts, &hub(), &[]);
}

#[test]
fn an_allow_shields_from_the_later_rules_and_members_of_its_assignment_alone() {
    use Compliance::{Compliant, NonCompliant};
    let before = json!([named("hub1", "allow"), owned("deny")]);
    check(&assigned("a", &before), &hub(), &[(Compliant, "deny", Some(0), "")]);
    check(
        &assigned("a", &before),
        &object(HUB10, json!({})),
        &[(NonCompliant, "deny", Some(1), "")],
    );
    let behind = json!([owned("deny"), named("hub1", "allow")]);
    check(&assigned("a", &behind), &hub(), &[(NonCompliant, "deny", Some(0), "")]);
    // What is on record before the shield stays.
    let noted = json!([owned("audit"), named("hub1", "allow"), owned("deny")]);
    check(&assigned("a", &noted), &hub(), &[(NonCompliant, "audit", Some(0), "")]);

    let mut facts = initiative(&[
        ("early", owned("audit")),
        ("shield", named("hub1", "allow")),
        ("late", owned("deny")),
    ]);
    check(
        &facts,
        &hub(),
        &[(NonCompliant, "audit", Some(0), "early"), (Compliant, "deny", None, "late")],
    );
    assert!(told(&facts, &hub())[1].reason.contains("shields"));
    policy(&mut facts, "other", &owned("deny"), HUB);
    let others = told(&facts, &hub());
    assert_eq!(others.len(), 3);
    assert_eq!(others[2].compliance, NonCompliant);
}

#[test]
fn each_member_of_an_initiative_has_a_state_of_its_own() {
    use Compliance::{Compliant, Exempt, NonCompliant};
    let members =
        [("tags", owned("deny")), ("names", named("x-*", "deny")), ("again", owned("audit"))];
    let mut facts = initiative(&members);
    check(
        &facts,
        &hub(),
        &[
            (NonCompliant, "deny", Some(0), "tags"),
            (Compliant, "deny", None, "names"),
            (NonCompliant, "audit", Some(0), "again"),
        ],
    );
    assert_eq!(told(&facts, &hub())[0].initiative.unwrap().name, "set");
    exempt(&mut facts, "all", |it| it.reference_ids = vec!["TAGS".into()]);
    let overrides = json!({ "overrides": [{ "kind": "policyEffect", "value": "disabled",
        "selectors": [{ "kind": "policyDefinitionReferenceId", "in": ["again"] }] }] });
    change(&mut facts, "all", |it| it.overrides = parse_overrides(&overrides).unwrap());
    check(&facts, &hub(), &[(Exempt, "deny", None, "tags"), (Compliant, "deny", None, "names")]);
    exempt(&mut facts, "all", |_| ());
    check(&facts, &hub(), &[(Exempt, "deny", None, "tags"), (Exempt, "deny", None, "names")]);
}

#[test]
fn a_rule_is_about_what_its_types_names_and_kinds_leave_in() {
    let shown = |condition: Value| {
        let rule = json!({ "if": condition, "then": { "effect": "audit" } });
        !told(&assigned("a", &rule), &hub()).is_empty()
    };
    let (is_hub, is_group) = (
        json!({ "field": "type", "equals": HUBS }),
        json!({ "field": "type", "equals": "Microsoft.Resources/subscriptions/resourceGroups" }),
    );
    let (is_other, is_tagged) = (
        json!({ "field": "name", "equals": "other" }),
        json!({ "field": "tags.a", "equals": "b" }),
    );
    let check = |condition: Value, expected: bool| {
        assert_eq!(shown(condition.clone()), expected, "{condition}");
    };
    check(is_hub.clone(), true);
    check(is_group.clone(), false);
    check(json!({ "not": is_hub }), false);
    check(json!({ "not": is_group }), true);
    check(json!({ "allOf": [is_hub, is_tagged] }), true);
    check(json!({ "allOf": [is_group, is_tagged] }), false);
    check(json!({ "anyOf": [is_group, is_tagged] }), true);
    // What is left out under `not` counts as what lets the whole hold, too.
    check(json!({ "allOf": [is_hub, { "not": is_tagged }] }), true);
    check(json!({ "not": { "anyOf": [is_group, is_tagged] } }), true);
    check(json!({ "not": { "anyOf": [is_hub, is_tagged] } }), false);
    // With a type alone a name tells who complies; beside more it tells whom the rule is about.
    check(is_other.clone(), true);
    check(json!({ "allOf": [is_hub, is_other] }), true);
    check(json!({ "allOf": [is_hub, is_other, is_tagged] }), false);
    let computed = json!({ "value": "[field('type')]", "equals": "other/type" });
    check(computed, true);
}

#[test]
fn a_rule_that_cannot_be_evaluated_is_broken_by_what_it_is_about() {
    let rule = |kind: &str| {
        json!({ "if": { "allOf": [{ "field": "type", "equals": kind },
            { "field": "tags.line", "greater": 2 }] }, "then": { "effect": "audit" } })
    };
    let facts = assigned("a", &rule(HUBS));
    check(&facts, &hub(), &[(Compliance::NonCompliant, "audit", Some(0), "")]);
    assert!(told(&facts, &hub())[0].reason.contains("cannot be evaluated"));
    check(&assigned("a", &rule("other/type")), &hub(), &[]);
    // A definition that is gone refuses every write.
    let mut facts = assigned("a", &owned("deny"));
    Arc::make_mut(&mut facts.policy_definitions).clear();
    check(&facts, &hub(), &[(Compliance::NonCompliant, "", None, "")]);
}

#[test]
fn rules_about_callers_are_asked_of_nobody() {
    let rule = |operator: &str| {
        json!({ "if": { "allOf": [{ "field": "type", "equals": HUBS },
            { "field": "identity.principalId", operator: ANA }] }, "then": { "effect": "deny" } })
    };
    check(&assigned("a", &rule("equals")), &hub(), &[(Compliance::Compliant, "deny", None, "")]);
    check(
        &assigned("a", &rule("notEquals")),
        &hub(),
        &[(Compliance::NonCompliant, "deny", Some(0), "")],
    );
}

#[test]
fn the_gravest_state_stands_for_all_and_only_breaches_lower_the_percentage() {
    use Compliance::{Compliant, Exempt, NonCompliant};
    assert_eq!([Exempt, Compliant, NonCompliant].iter().min(), Some(&NonCompliant));
    assert_eq!([Exempt, Compliant].iter().min(), Some(&Compliant));
    let check = |all: &[Compliance], expected: f64| {
        assert!((percentage(all) - expected).abs() < 1e-9, "{all:?}");
    };
    check(&[], 100.0);
    check(&[Compliant, Exempt], 100.0);
    check(&[Compliant, Exempt, NonCompliant, NonCompliant], 50.0);
    check(&[NonCompliant], 0.0);
}
