//! Rules that change what is written: in which order, who gives way, and what the other rules see of it.

use super::world::*;
use gate::policy::{Change, Exemption, Override, PolicyAssignment, parse};
use gate::{Facts, Judgement, replay};
use model::trace::{FindingResult, Gate, Object, Verb};
use model::{Op, Verdict};
use serde_json::{Value, json};

const HUBS: &str = "Microsoft.Devices/IotHubs";
const SUBSCRIPTION: &str = "/subscriptions/s1";

fn open() -> Facts {
    let mut facts = facts();
    assign(&mut facts, ANA, OWNER, SUBSCRIPTION);
    facts
}

fn hub(body: Value) -> Object {
    let (kind, name) = (HUBS.to_owned(), HUB.rsplit('/').next().unwrap().to_owned());
    Object { kind, name, id: HUB.into(), body, verb: Verb::Write }
}

/// What becomes of a hub that is written with these tags.
fn writes(facts: &Facts, tags: Value) -> Judgement {
    does(facts, ANA, Op::PutHub, HUB, &[hub(json!({ "location": "westus", "tags": tags }))])
}

/// The body that is left after all changes.
fn left(facts: &Facts, tags: Value) -> Value {
    let judged = writes(facts, tags.clone());
    assert!(judged.denial.is_none(), "{:?}", judged.denial);
    let mut body = json!({ "tags": tags });
    judged.changes.iter().for_each(|it| it.apply(&mut body));
    body["tags"].clone()
}

fn rule(then: Value) -> Value {
    json!({ "if": { "field": "type", "equals": HUBS }, "then": then })
}

fn modify(operation: &str, tag: &str, value: &str, on_conflict: &str) -> Value {
    rule(json!({ "effect": "modify", "details": { "conflictEffect": on_conflict, "operations": [
        { "operation": operation, "field": format!("tags.{tag}"), "value": value } ] } }))
}

fn append(tag: &str, value: &str) -> Value {
    rule(
        json!({ "effect": "append", "details": [{ "field": format!("tags['{tag}']"), "value": value }] }),
    )
}

fn change(facts: &mut Facts, name: &str, how: fn(&mut PolicyAssignment)) {
    let id = policy_assignment_id(name, HUB).to_ascii_lowercase();
    let mut assignment = (**facts.policy_assignments.get(&id).unwrap()).clone();
    how(&mut assignment);
    facts.put_policy_assignment(assignment);
}

fn results(judged: &Judgement) -> Vec<(&str, FindingResult)> {
    judged.trace.steps[1].findings.iter().map(|it| (it.name.as_str(), it.result)).collect()
}

#[test]
fn a_change_is_told_with_the_call_and_with_the_rule_that_made_it() {
    let mut facts = open();
    policy(&mut facts, "line", &modify("addOrReplace", "line", "7", "deny"), HUB);
    let judged = writes(&facts, json!({ "Line": "8" }));
    assert!(judged.denial.is_none());
    let line = Change { path: vec!["tags".into(), "line".into()], value: Some(json!("7")) };
    assert_eq!(judged.changes, [line]);
    let found = &judged.trace.steps[1].findings;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].result, FindingResult::Change);
    assert_eq!(found[0].reason, "rule 0 matches: modify, set `tags.line` to `7`");
    assert_eq!(found[0].rule.as_ref().unwrap().effect, "modify");
    // Names of tags have no case, so the tag keeps the one that it has.
    assert_eq!(left(&facts, json!({ "Line": "8" })), json!({ "Line": "7" }));
    assert_eq!(left(&facts, json!(null)), json!({ "line": "7" }));
}

#[test]
fn a_deny_sees_the_changed_object_wherever_it_is_assigned() {
    let mut facts = open();
    let needs_line = json!({ "if": { "allOf": [{ "field": "type", "equals": HUBS },
        { "field": "tags.line", "exists": false }] }, "then": { "effect": "deny" } });
    policy(&mut facts, "a-needs-line", &needs_line, SUBSCRIPTION);
    assert!(writes(&facts, json!({})).denial.is_some());
    policy(&mut facts, "z-line", &append("line", "7"), HUB);
    assert!(writes(&facts, json!({})).denial.is_none());
    let not_seven =
        json!({ "if": { "field": "tags.line", "equals": "7" }, "then": { "effect": "deny" } });
    policy(&mut facts, "not-seven", &not_seven, HUB);
    let judged = writes(&facts, json!({}));
    assert_eq!(judged.denial.unwrap().gate, Gate::Policy);
    assert!(judged.changes.is_empty());
    assert_eq!(judged.trace.deciding().unwrap().conditions[0].actual, Some(json!("7")));
}

#[test]
fn broad_assignments_change_before_narrow_ones_and_each_sees_what_was_left() {
    let mut facts = open();
    let follows = json!({ "if": { "field": "tags.line", "equals": "7" }, "then": { "effect": "modify",
        "details": { "operations": [{ "operation": "add", "field": "tags.hall", "value": "[concat('hall-', field('tags.line'))]" }] } } });
    policy(&mut facts, "a-follows", &follows, HUB);
    assert_eq!(left(&facts, json!({})), json!({}));
    policy(&mut facts, "z-line", &append("line", "7"), SUBSCRIPTION);
    assert_eq!(left(&facts, json!({})), json!({ "line": "7", "hall": "hall-7" }));
    // At one scope names decide, and the follower comes first.
    facts.remove_policy_assignment(&policy_assignment_id("z-line", SUBSCRIPTION));
    policy(&mut facts, "z-line", &append("line", "7"), HUB);
    assert_eq!(left(&facts, json!({})), json!({ "line": "7" }));
}

#[test]
fn an_append_denies_where_the_request_says_otherwise() {
    let mut facts = open();
    policy(&mut facts, "line", &append("line", "7"), HUB);
    assert_eq!(left(&facts, json!({ "line": "7" })), json!({ "line": "7" }));
    let judged = writes(&facts, json!({ "line": "8" }));
    let denial = judged.denial.as_ref().unwrap();
    assert!(denial.message.contains("policyAssignments/line"), "{}", denial.message);
    let found = judged.trace.deciding().unwrap();
    assert_eq!(
        found.reason,
        "rule 0 matches: append, denies: `tags.line` is to be `7`, and is `8` already"
    );
}

#[test]
fn of_two_rules_the_one_that_must_not_give_way_has_the_field() {
    let check = |broad: &str, narrow: &str, expected: Option<&str>| {
        let mut facts = open();
        policy(&mut facts, "broad", &modify("addOrReplace", "line", "7", broad), SUBSCRIPTION);
        policy(&mut facts, "narrow", &modify("addOrReplace", "line", "8", narrow), HUB);
        let judged = writes(&facts, json!({ "line": "0" }));
        assert_eq!(judged.denial.is_none(), expected.is_some(), "{broad} {narrow}");
        if let Some(line) = expected {
            let found = left(&facts, json!({ "line": "0" }));
            assert_eq!(found, json!({ "line": line }), "{broad} {narrow}");
        }
    };
    check("deny", "deny", None);
    check("deny", "audit", Some("7"));
    check("audit", "deny", Some("8"));
    check("disabled", "deny", Some("8"));
    check("audit", "audit", Some("0"));
    check("disabled", "audit", Some("0"));
}

#[test]
fn a_rule_that_gives_way_changes_nothing_at_all_and_an_audit_says_so() {
    let mut facts = open();
    policy(&mut facts, "broad", &modify("add", "line", "7", "deny"), SUBSCRIPTION);
    let two =
        rule(json!({ "effect": "modify", "details": { "conflictEffect": "audit", "operations": [
        { "operation": "add", "field": "tags.hall", "value": "h" },
        { "operation": "add", "field": "tags.line", "value": "8" } ] } }));
    policy(&mut facts, "narrow", &two, HUB);
    assert_eq!(left(&facts, json!({})), json!({ "line": "7" }));
    let judged = writes(&facts, json!({}));
    let expected = [("broad", FindingResult::Change), ("narrow", FindingResult::Audit)];
    assert_eq!(results(&judged), expected);
    // The request is no rule, but to `add` it is another opinion, too.
    facts.remove_policy_assignment(&policy_assignment_id("broad", SUBSCRIPTION));
    assert_eq!(left(&facts, json!({ "line": "0" })), json!({ "line": "0" }));
    assert_eq!(left(&facts, json!({})), json!({ "hall": "h", "line": "8" }));
}

#[test]
fn what_is_not_enforced_is_told_and_changes_nothing() {
    let mut facts = open();
    policy(&mut facts, "line", &append("line", "7"), HUB);
    change(&mut facts, "line", |it| it.is_enforced = false);
    assert_eq!(left(&facts, json!({})), json!({}));
    let judged = writes(&facts, json!({}));
    assert_eq!(results(&judged), [("line", FindingResult::WouldChange)]);
    let reason = &judged.trace.steps[1].findings[0].reason;
    assert!(reason.contains("would set `tags.line` to `7`"), "{reason}");
    let judged = writes(&facts, json!({ "line": "8" }));
    assert!(judged.denial.is_none());
    assert_eq!(results(&judged), [("line", FindingResult::WouldDeny)]);
}

#[test]
fn exemptions_excluded_scopes_and_overrides_hold_for_changes() {
    let mut facts = open();
    policy(&mut facts, "line", &append("line", "7"), SUBSCRIPTION);
    let id = policy_assignment_id("line", SUBSCRIPTION);
    facts.put_policy_exemption(Exemption {
        id: format!("{HUB}/providers/Microsoft.Authorization/policyExemptions/x"),
        name: "x".into(),
        scope: scope(HUB),
        assignment_id: id.clone(),
        expires: None,
        principal_ids: Vec::new(),
        reference_ids: Vec::new(),
        resource_selectors: Vec::new(),
    });
    assert_eq!(left(&facts, json!({ "line": "8" })), json!({ "line": "8" }));
    assert_eq!(results(&writes(&facts, json!({}))), [("line", FindingResult::Exempt)]);

    let mut facts = open();
    policy(&mut facts, "line", &append("line", "7"), HUB);
    change(&mut facts, "line", |it| it.not_scopes = vec![scope(HUB)]);
    assert_eq!(left(&facts, json!({})), json!({}));

    policy(&mut facts, "line", &append("line", "7"), HUB);
    change(&mut facts, "line", |it| {
        let effect = gate::policy::Effect::Deny;
        it.overrides = vec![Override { effect, selectors: Vec::new() }];
    });
    assert_eq!(writes(&facts, json!({})).denial.unwrap().gate, Gate::Policy);
}

#[test]
fn an_allow_shields_from_the_later_changes_of_its_own_assignment() {
    let mut facts = open();
    let allow = json!({ "if": { "field": "identity.principalId", "equals": ANA }, "then": { "effect": "allow" } });
    policy(&mut facts, "line", &json!([allow, append("line", "7")]), HUB);
    assert_eq!(left(&facts, json!({})), json!({}));
    policy(&mut facts, "line", &json!([append("line", "7"), allow]), HUB);
    assert_eq!(left(&facts, json!({})), json!({ "line": "7" }));
}

#[test]
fn a_changed_call_is_decided_again_from_its_trace_with_the_same_words() {
    let mut facts = open();
    policy(&mut facts, "line", &modify("addOrReplace", "line", "7", "deny"), SUBSCRIPTION);
    let not_seven =
        json!({ "if": { "field": "tags.line", "equals": "7" }, "then": { "effect": "audit" } });
    policy(&mut facts, "seven", &not_seven, HUB);
    for tags in [json!({}), json!({ "line": "8" }), json!({ "line": "7" })] {
        let judged = writes(&facts, tags);
        let again = replay(&judged.trace, &facts).unwrap();
        assert_eq!(again.trace.steps[1].findings, judged.trace.steps[1].findings);
        assert_eq!((again.trace.outcome, again.changes), (judged.trace.outcome, judged.changes));
    }
    policy(&mut facts, "line-2", &modify("addOrReplace", "line", "8", "deny"), HUB);
    let judged = writes(&facts, json!({}));
    let again = replay(&judged.trace, &facts).unwrap();
    assert_eq!(again.denial, judged.denial);
    assert_eq!(again.denial.unwrap().gate, Gate::Policy);
}

#[test]
fn settings_change_where_they_are_their_own_types_and_a_default_is_no_opinion() {
    let mut facts = open();
    let append = |value: bool| {
        let field = format!("{HUBS}/disableLocalAuth");
        json!({ "if": { "field": "location", "equals": "westus" },
            "then": { "effect": "append", "details": [{ "field": field, "value": value }] } })
    };
    policy(&mut facts, "no-keys", &append(true), SUBSCRIPTION);
    let with = |is_off: bool| {
        hub(json!({ "location": "westus", "properties": { "disableLocalAuth": is_off } }))
    };
    let judged = does(&facts, ANA, Op::PutHub, HUB, &[with(false)]);
    assert!(judged.denial.is_none());
    let mut body = json!({});
    judged.changes.iter().for_each(|it| it.apply(&mut body));
    assert_eq!(body, json!({ "properties": { "disableLocalAuth": true } }));
    assert!(does(&facts, ANA, Op::PutHub, HUB, &[with(true)]).changes.is_empty());
    policy(&mut facts, "no-keys", &append(false), SUBSCRIPTION);
    assert!(does(&facts, ANA, Op::PutHub, HUB, &[with(true)]).denial.is_some());
    // Nothing about a group is a setting of hubs.
    let group = scope(HUB).resource_group().map(|it| format!("{SUBSCRIPTION}/resourceGroups/{it}"));
    let object = Object {
        kind: "Microsoft.Resources/subscriptions/resourceGroups".into(),
        id: group.clone().unwrap(),
        ..with(true)
    };
    let judged = does(&facts, ANA, Op::PutResourceGroup, &group.unwrap(), &[object]);
    assert!(judged.denial.is_none() && judged.changes.is_empty());
}

#[test]
fn a_value_without_an_answer_denies_and_a_condition_spares() {
    let mut facts = open();
    let one = |more: Value| {
        let mut operation =
            json!({ "operation": "add", "field": "[concat('tags[', 'line', ']')]", "value": "7" });
        operation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule(json!({ "effect": "modify", "details": { "operations": [operation] } }))
    };
    policy(&mut facts, "p", &one(json!({ "condition": "[equals(field('tags.a'), 'b')]" })), HUB);
    assert_eq!(left(&facts, json!({})), json!({}));
    assert_eq!(left(&facts, json!({ "a": "b" })), json!({ "a": "b", "line": "7" }));
    for bad in [
        json!({ "value": "[length(field('tags.a'))]" }),
        json!({ "value": "[substring('', 1, 1)]" }),
        json!({ "field": "[concat('loc', 'ation')]" }),
        json!({ "condition": "[string(1)]" }),
    ] {
        policy(&mut facts, "p", &one(bad.clone()), HUB);
        let judged = writes(&facts, json!({}));
        assert_eq!(judged.trace.steps[1].verdict, Verdict::Deny, "{bad}");
        let found = judged.trace.deciding().unwrap();
        assert_eq!(found.result, FindingResult::Error, "{bad}");
        assert!(found.reason.contains("then.details.operations[0]."), "{}", found.reason);
        change(&mut facts, "p", |it| it.is_enforced = false);
        assert!(writes(&facts, json!({})).denial.is_none(), "{bad}");
    }
}

#[test]
fn devices_reads_and_deletions_are_never_changed() {
    let mut facts = open();
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, SUBSCRIPTION);
    let any = json!({ "if": { "field": "name", "exists": true },
        "then": { "effect": "append", "details": [{ "field": "tags.line", "value": "7" }] } });
    policy(&mut facts, "any", &any, SUBSCRIPTION);
    let judged = registers(&facts, ANA, HUB, "d1");
    assert!(judged.denial.is_none() && judged.changes.is_empty());
    let gone = Object { verb: Verb::Delete, ..hub(json!({})) };
    assert!(does(&facts, ANA, Op::DeleteHub, HUB, &[gone]).changes.is_empty());
    assert!(does(&facts, ANA, Op::GetHub, HUB, &[]).changes.is_empty());
}

#[test]
fn the_effect_may_come_from_a_parameter_with_details_of_its_form() {
    let properties = |details: Value| {
        json!({ "parameters": { "effect": { "type": "String", "defaultValue": "Modify" } },
            "policyRule": rule(json!({ "effect": "[parameters('effect')]", "details": details })) })
    };
    let operations = json!({ "operations": [{ "operation": "remove", "field": "tags.old" }] });
    let parsed = parse(&properties(operations)).unwrap();
    let mut facts = open();
    policy(&mut facts, "p", &append("x", "y"), HUB);
    let mut definition = (**facts.policy_definitions.values().next().unwrap()).clone();
    definition.parameters = parsed.parameters;
    definition.rules = parsed.rules;
    facts.put_policy_definition(definition.clone());
    assert_eq!(left(&facts, json!({ "old": "1", "a": "b" })), json!({ "a": "b" }));
    // Details of the other form are none for this effect.
    let parsed = parse(&properties(json!([{ "field": "tags.x", "value": "y" }]))).unwrap();
    definition.rules = parsed.rules;
    facts.put_policy_definition(definition);
    assert_eq!(writes(&facts, json!({})).denial.unwrap().gate, Gate::Policy);
}
