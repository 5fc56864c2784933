//! Expressions and parameters at work: what an error means, whose parameters count, and what a refusal shows.

use super::world::*;
use gate::Facts;
use gate::policy::{PolicyAssignment, PolicyDefinition, Values, bind, parse};
use model::Op;
use model::trace::{FindingResult, Gate, Object};
use serde_json::{Value, json};

const HUBS: &str = "Microsoft.Devices/IotHubs";

fn open() -> Facts {
    let mut facts = facts();
    assign(&mut facts, ANA, OWNER, "/subscriptions/s1");
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, "/subscriptions/s1");
    facts
}

/// Puts a definition with parameters, and an assignment that gives them values.
fn assigned(
    facts: &mut Facts,
    properties: &Value,
    given: &Value,
    change: fn(&mut PolicyAssignment),
) {
    policy(
        facts,
        "p",
        &json!({ "if": { "field": "name", "exists": true }, "then": { "effect": "disabled" } }),
        HUB,
    );
    let former = facts.policy_definitions.values().next().unwrap();
    let parsed = parse(properties).unwrap();
    let definition = PolicyDefinition {
        parameters: parsed.parameters,
        rules: parsed.rules,
        ..(**former).clone()
    };
    let mut assignment = (**facts.policy_assignments.values().next().unwrap()).clone();
    assignment.parameters = bind(&definition, Some(given)).unwrap();
    change(&mut assignment);
    facts.put_policy_definition(definition);
    facts.put_policy_assignment(assignment);
}

/// An audit that fails for every name shorter than nine characters.
fn failing() -> Value {
    json!({ "policyRule": { "if": { "value": "[substring(field('name'), 0, 9)]", "equals": "x" }, "then": { "effect": "audit" } } })
}

#[test]
fn an_error_denies_whatever_the_effect_and_says_where() {
    let mut facts = open();
    assigned(&mut facts, &failing(), &json!({}), |_| {});
    let judged = registers(&facts, ANA, HUB, "d1");
    assert_eq!(judged.denial.as_ref().unwrap().gate, Gate::Policy);
    let found = judged.trace.deciding().unwrap();
    assert_eq!(found.result, FindingResult::Error);
    assert!(found.reason.contains("rule 0"), "{}", found.reason);
    assert!(found.reason.contains("policyRule.if: `substring`"), "{}", found.reason);
    let failed = &found.conditions[0];
    assert_eq!((failed.left.as_str(), failed.result), ("value", false));
    assert!(failed.error.as_ref().unwrap().contains("2 characters"), "{failed:?}");
    // A name that is long enough fails nothing.
    assert!(registers(&facts, ANA, HUB, "device-12").denial.is_none());
}

#[test]
fn an_error_of_what_is_not_enforced_is_told_and_not_applied() {
    let mut facts = open();
    assigned(&mut facts, &failing(), &json!({}), |it| it.is_enforced = false);
    let judged = registers(&facts, ANA, HUB, "d1");
    assert!(judged.denial.is_none());
    assert_eq!(judged.trace.steps[1].findings[0].result, FindingResult::WouldDeny);
}

#[test]
fn an_error_behind_an_allow_is_never_met() {
    let mut facts = open();
    let allow = json!({ "if": { "field": "identity.principalId", "equals": ANA }, "then": { "effect": "allow" } });
    let rules = json!({ "policyRules": [allow, failing()["policyRule"]] });
    assigned(&mut facts, &rules, &json!({}), |_| {});
    assert!(registers(&facts, ANA, HUB, "d1").denial.is_none());
    assert!(registers(&facts, BOB, HUB, "d1").denial.is_some());
}

#[test]
fn parameters_decide_and_stand_in_the_refusal() {
    let definition = json!({
        "parameters": {
            "effect": { "type": "String", "defaultValue": "Deny" },
            "masks": { "type": "Array" },
        },
        "policyRule": {
            "if": { "count": {
                "field": format!("{HUBS}/ipFilterRules[*]"),
                "where": { "field": format!("{HUBS}/ipFilterRules[*].ipMask"), "in": "[parameters('masks')]" },
            }, "greater": 0 },
            "then": { "effect": "[parameters('effect')]" },
        },
    });
    let hub = |mask: &str| Object {
        kind: HUBS.into(),
        name: "hub1".into(),
        id: HUB.into(),
        body: json!({ "properties": { "ipFilterRules": [{ "ipMask": mask }] } }),
        verb: model::trace::Verb::Write,
    };
    let mut facts = open();
    let given = json!({ "masks": { "value": ["0.0.0.0/0"] } });
    assigned(&mut facts, &definition, &given, |_| {});
    assert!(does(&facts, ANA, Op::PutHub, HUB, &[hub("10.0.0.0/8")]).denial.is_none());
    let denial = does(&facts, ANA, Op::PutHub, HUB, &[hub("0.0.0.0/0")]).denial.unwrap();
    let shown = &denial.violations[0];
    assert_eq!(shown["policyAssignmentParameters"], given);
    assert_eq!(shown["policyDefinitionEffect"], "deny");
    let expression = &shown["evaluationDetails"]["evaluatedExpressions"][0];
    assert_eq!(expression["expressionKind"], "Count");
    assert_eq!(expression["expressionValue"], 1);
    assert_eq!(expression["operator"], "Greater");

    let off = json!({ "effect": { "value": "disabled" }, "masks": { "value": ["0.0.0.0/0"] } });
    assigned(&mut facts, &definition, &off, |_| {});
    assert!(does(&facts, ANA, Op::PutHub, HUB, &[hub("0.0.0.0/0")]).denial.is_none());
}

/// A definition may ask for more than its assignments once gave.
#[test]
fn a_value_that_is_missing_denies() {
    let definition = json!({
        "parameters": { "name": { "type": "String" } },
        "policyRule": { "if": { "field": "name", "equals": "[parameters('name')]" }, "then": { "effect": "audit" } },
    });
    let mut facts = open();
    let given = json!({ "name": { "value": "x" } });
    assigned(&mut facts, &definition, &given, |it| it.parameters = Values::default());
    let judged = registers(&facts, ANA, HUB, "d1");
    assert!(judged.trace.deciding().unwrap().reason.contains("`name` has no value"));
}
