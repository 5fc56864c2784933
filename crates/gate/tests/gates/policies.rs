//! Policies: order inside an assignment, deny across assignments, exemptions, and what is not judged.

use super::world::*;
use gate::Facts;
use gate::facts::ManagementGroup;
use gate::policy::Exemption;
use model::trace::{FindingResult, Gate, Verb};
use model::{Op, Timestamp, Verdict};
use serde_json::{Value, json};

const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";

fn deny_devices() -> Value {
    json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } })
}

fn allow(who: &str) -> Value {
    json!({ "if": { "allOf": [
        { "field": "type", "equals": DEVICES },
        { "field": "identity.principalId", "equals": who } ] }, "then": { "effect": "allow" } })
}

/// Everybody may register; only policies stand in the way.
fn open() -> Facts {
    let mut facts = facts();
    for who in [ANA, BOB] {
        assign(&mut facts, who, DATA_CONTRIBUTOR, "/subscriptions/s1");
        assign(&mut facts, who, OWNER, "/subscriptions/s1");
    }
    facts
}

fn passes(facts: &Facts, who: &str) -> bool {
    registers(facts, who, HUB, "d1").denial.is_none()
}

/// S0-38, S0-37: an explicit deny beats Owner and Data Contributor together.
#[test]
fn a_deny_beats_every_role_and_names_its_assignment() {
    let mut facts = open();
    policy(&mut facts, "custom-security-policy-v2", &deny_devices(), HUB);
    let judged = registers(&facts, ANA, HUB, "d1");
    let denial = judged.denial.unwrap();
    assert_eq!(denial.gate, Gate::Policy);
    assert!(denial.message.contains("custom-security-policy-v2"), "{}", denial.message);
    assert_eq!(
        (judged.trace.outcome.status, judged.trace.outcome.code.as_str()),
        (403, "DeviceRegistrationDenied")
    );
    let found = judged.trace.deciding().unwrap();
    assert_eq!(found.rule.as_ref().unwrap().index, 0);
    assert_eq!(found.conditions[0].path, "policyRule.if");
    assert_eq!(found.conditions[0].actual, Some(json!(DEVICES)));
    // Its namesake and reads are untouched.
    assert!(registers(&facts, ANA, HUB10, "d1").denial.is_none());
    assert!(does(&facts, ANA, Op::GetDevice, HUB, &[]).denial.is_none());
    assert!(does(&facts, ANA, Op::DeleteDevice, HUB, &[]).denial.is_none());
}

/// S0-24: the order of the gates, in every trace.
#[test]
fn every_trace_lists_the_gates_in_one_order() {
    let facts = open();
    let gates: Vec<&str> =
        registers(&facts, ANA, HUB, "d1").trace.steps.iter().map(|it| it.gate.as_str()).collect();
    assert_eq!(gates, ["authentication", "policy", "access", "resource"]);
}

#[test]
fn an_allow_shields_before_the_deny_and_not_behind_it() {
    let mut facts = open();
    policy(&mut facts, "v2", &json!([allow(ANA), deny_devices()]), HUB);
    assert!(passes(&facts, ANA) && !passes(&facts, BOB));
    policy(&mut facts, "v2", &json!([deny_devices(), allow(ANA)]), HUB);
    assert!(!passes(&facts, ANA) && !passes(&facts, BOB));
}

/// S0-17: `allow` passes the policy gate and grants nothing behind it.
#[test]
fn an_allow_lifts_no_other_assignments_deny_and_grants_no_role() {
    let mut facts = open();
    policy(&mut facts, "a-allows", &allow(ANA), HUB);
    policy(&mut facts, "b-denies", &deny_devices(), HUB);
    assert!(!passes(&facts, ANA));

    let mut bare = self::facts();
    policy(&mut bare, "allows", &allow(ANA), HUB);
    let judged = registers(&bare, ANA, HUB, "d1");
    assert_eq!(judged.trace.steps[1].verdict, Verdict::Allow);
    assert_eq!(judged.denial.unwrap().gate, Gate::Access);
}

/// S0-15: the condition on the type holds for device writes by anybody, and for nothing else.
#[test]
fn a_condition_on_the_type_holds_for_device_writes_only() {
    let mut facts = open();
    policy(&mut facts, "v2", &deny_devices(), "/subscriptions/s1");
    assert!(!passes(&facts, ANA) && !passes(&facts, BOB));
    assert!(does(&facts, ANA, Op::GetDevice, HUB, &[]).denial.is_none());
    let hub = model::trace::Object {
        kind: "Microsoft.Devices/IotHubs".into(),
        name: "hub1".into(),
        id: HUB.into(),
        body: json!({ "location": "westus" }),
        verb: Verb::Write,
    };
    assert!(does(&facts, ANA, Op::PutHub, HUB, &[hub]).denial.is_none());
}

/// S0-16: `identity.principalId` is the caller's object id, and a key has none.
#[test]
fn the_principal_condition_is_about_the_caller() {
    let mut facts = open();
    let rule = json!({ "if": { "field": "identity.principalId", "equals": BOB.to_uppercase() }, "then": { "effect": "deny" } });
    policy(&mut facts, "not-bob", &rule, HUB);
    assert!(passes(&facts, ANA) && !passes(&facts, BOB));
}

/// S0-23: a rule can name the action; allowing one write allows no other.
#[test]
fn a_rule_can_name_the_action() {
    let mut facts = open();
    let allow_write = json!({ "if": { "allOf": [
        { "field": "identity.principalId", "equals": ANA },
        { "field": "request.action", "equals": "Microsoft.Devices/IotHubs/devices/write" } ] }, "then": { "effect": "allow" } });
    let deny_all =
        json!({ "if": { "field": "type", "exists": true }, "then": { "effect": "deny" } });
    policy(&mut facts, "v2", &json!([allow_write, deny_all]), HUB);
    assert!(passes(&facts, ANA) && !passes(&facts, BOB));
    let hub = model::trace::Object {
        kind: "Microsoft.Devices/IotHubs".into(),
        name: "hub1".into(),
        id: HUB.into(),
        body: json!({}),
        verb: Verb::Write,
    };
    assert!(does(&facts, ANA, Op::PutHub, HUB, &[hub]).denial.is_some());
}

#[test]
fn a_rule_can_name_endpoint_and_protocol() {
    let mut facts = open();
    let rule = json!({ "if": { "allOf": [
        { "field": "request.endpoint", "like": "/devices/*" },
        { "field": "request.protocol", "equals": "https" } ] }, "then": { "effect": "deny" } });
    policy(&mut facts, "no-https", &rule, HUB);
    assert!(!passes(&facts, ANA));
}

fn exempt(facts: &mut Facts, at: &str, expires: Option<Timestamp>, whom: &[&str]) {
    facts.put_policy_exemption(Exemption {
        id: format!("{at}/providers/Microsoft.Authorization/policyExemptions/e"),
        name: "e".into(),
        scope: scope(at),
        assignment_id: policy_assignment_id("v2", HUB),
        expires,
        principal_ids: whom.iter().map(|it| id(it)).collect(),
        reference_ids: Vec::new(),
        resource_selectors: Vec::new(),
    });
}

#[test]
fn an_exemption_ends_at_its_instant_and_holds_for_its_place_alone() {
    let check = |at: &str, expires: Option<Timestamp>, expected: bool| {
        let mut facts = open();
        policy(&mut facts, "v2", &deny_devices(), HUB);
        exempt(&mut facts, at, expires, &[]);
        assert_eq!(passes(&facts, ANA), expected, "{at} {expires:?}");
    };
    check(HUB, None, true);
    check("/subscriptions/s1/resourceGroups/rg1", None, true);
    check(HUB10, None, false);
    check(HUB, Some(NOW.plus_seconds(1)), true);
    check(HUB, Some(NOW), false);
    check(HUB, Some(NOW.plus_seconds(-1)), false);
    check(&format!("{HUB}/devices/d1"), None, true);
    check(&format!("{HUB}/Devices/d1"), None, true);
    check(&format!("{HUB}/devices/D1"), None, false);
    check(&format!("{HUB}/devices/d10"), None, false);
}

#[test]
fn a_management_group_is_a_place_for_exemptions_and_for_what_is_left_out() {
    const PLANTS: &str = "/providers/Microsoft.Management/managementGroups/plants";
    let mut facts = open();
    facts.put_management_group(ManagementGroup {
        name: "plants".into(),
        display_name: "plants".into(),
        parent: Some(TENANT.into()),
    });
    policy(&mut facts, "v2", &deny_devices(), HUB);
    let mut exempted = facts.clone();
    exempt(&mut exempted, PLANTS, None, &[]);
    let mut assignment = facts.policy_assignments.values().next().map(|it| (**it).clone()).unwrap();
    assignment.not_scopes = vec![scope(PLANTS)];
    facts.put_policy_assignment(assignment);
    for mut facts in [exempted, facts] {
        assert!(!passes(&facts, ANA));
        facts.put_subscription("s1", Some("plants"));
        assert!(passes(&facts, ANA));
    }
}

/// S0-06: after the narrow fix everybody else stays refused by the same policy.
#[test]
fn an_exemption_by_principal_exempts_nobody_else() {
    let mut facts = open();
    policy(&mut facts, "v2", &deny_devices(), HUB);
    exempt(&mut facts, HUB, None, &[ANA]);
    assert!(passes(&facts, ANA) && !passes(&facts, BOB));
    let step = registers(&facts, ANA, HUB, "d1").trace.steps[1].clone();
    assert_eq!(step.findings[0].result, FindingResult::Exempt);
}

#[test]
fn not_scopes_leave_out_what_they_name() {
    let mut facts = open();
    policy(&mut facts, "v2", &deny_devices(), "/subscriptions/s1");
    let mut assignment = facts.policy_assignments.values().next().map(|it| (**it).clone()).unwrap();
    assignment.not_scopes = vec![scope(HUB10)];
    facts.put_policy_assignment(assignment);
    assert!(!passes(&facts, ANA));
    assert!(registers(&facts, ANA, HUB10, "d1").denial.is_none());
}

#[test]
fn unenforced_and_audited_denials_are_told_and_not_applied() {
    let mut facts = open();
    policy(&mut facts, "v2", &deny_devices(), HUB);
    let mut assignment = facts.policy_assignments.values().next().map(|it| (**it).clone()).unwrap();
    assignment.is_enforced = false;
    facts.put_policy_assignment(assignment);
    let judged = registers(&facts, ANA, HUB, "d1");
    assert!(judged.denial.is_none());
    assert_eq!(judged.trace.steps[1].findings[0].result, FindingResult::WouldDeny);

    let audit =
        json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "audit" } });
    policy(&mut facts, "watch", &audit, HUB);
    assert!(passes(&facts, ANA));
    let disabled =
        json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "disabled" } });
    policy(&mut facts, "off", &json!([disabled]), HUB);
    assert!(passes(&facts, ANA));
}

#[test]
fn an_assignment_whose_definition_is_gone_denies() {
    let mut facts = open();
    policy(&mut facts, "v2", &deny_devices(), HUB);
    facts.remove_policy_definition(
        "/subscriptions/s1/providers/Microsoft.Authorization/policyDefinitions/v2",
    );
    let judged = registers(&facts, ANA, HUB, "d1");
    assert_eq!(judged.denial.unwrap().gate, Gate::Policy);
    assert_eq!(judged.trace.steps[1].findings[0].result, FindingResult::Error);
    let mut assignment = facts.policy_assignments.values().next().map(|it| (**it).clone()).unwrap();
    assignment.is_enforced = false;
    facts.put_policy_assignment(assignment);
    let judged = registers(&facts, ANA, HUB, "d1");
    assert!(judged.denial.is_none());
    assert_eq!(judged.trace.steps[1].findings[0].result, FindingResult::WouldDeny);
}

#[test]
fn what_a_rule_audits_stays_on_record_whatever_a_later_rule_says() {
    let mut facts = open();
    let audit =
        json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "audit" } });
    policy(&mut facts, "v2", &json!([audit, allow(ANA), deny_devices()]), HUB);
    for (who, last) in [(ANA, FindingResult::Allow), (BOB, FindingResult::Deny)] {
        let judged = registers(&facts, who, HUB, "d1");
        let results: Vec<_> = judged.trace.steps[1].findings.iter().map(|it| it.result).collect();
        assert_eq!(results, [FindingResult::Audit, last]);
    }
}

#[test]
fn one_denied_device_denies_a_bulk_call() {
    let mut facts = open();
    let rule = json!({ "if": { "field": "name", "like": "bad-*" }, "then": { "effect": "deny" } });
    policy(&mut facts, "names", &rule, HUB);
    let judged =
        does(&facts, ANA, Op::BulkDevices, HUB, &[device(HUB, "good"), device(HUB, "bad-1")]);
    assert_eq!(judged.denial.unwrap().target, "bad-1");
    assert!(does(&facts, ANA, Op::BulkDevices, HUB, &[device(HUB, "good")]).denial.is_none());
    let twice = [device(HUB, "bad-1"), device(HUB, "bad-1")];
    let denial = does(&facts, ANA, Op::BulkDevices, HUB, &twice).denial.unwrap();
    assert_eq!(denial.violations.len(), 1, "each policy is named once");
}

/// Policies are not judged by policies: a rule that catches everything can still be repaired.
#[test]
fn a_catch_all_deny_does_not_stop_its_own_repair() {
    let mut facts = open();
    let rule = json!({ "if": { "field": "type", "exists": "true" }, "then": { "effect": "deny" } });
    policy(&mut facts, "everything", &rule, "/subscriptions/s1");
    let object = |kind: &str| model::trace::Object {
        kind: kind.into(),
        name: "x".into(),
        id: HUB.into(),
        body: json!({}),
        verb: Verb::Write,
    };
    for op in [Op::PutPolicyAssignment, Op::PutPolicyDefinition, Op::PutPolicyExemption] {
        assert!(
            does(&facts, ANA, op, HUB, &[object("Microsoft.Authorization/policyDefinitions")])
                .denial
                .is_none(),
            "{op:?}"
        );
    }
    assert!(
        does(&facts, ANA, Op::PutHub, HUB, &[object("Microsoft.Devices/IotHubs")]).denial.is_some()
    );
}

#[test]
fn the_denial_envelope_lists_every_policy_that_denies() {
    let mut facts = open();
    policy(&mut facts, "first", &deny_devices(), HUB);
    policy(&mut facts, "second", &deny_devices(), "/subscriptions/s1");
    let denial = registers(&facts, ANA, HUB, "d1").denial.unwrap();
    let names: Vec<&Value> =
        denial.violations.iter().map(|it| &it["policyAssignmentName"]).collect();
    assert_eq!(names, ["second", "first"]);
    let shown = &denial.violations[0]["evaluationDetails"]["evaluatedExpressions"][0];
    assert_eq!(shown["operator"], "Equals");
    assert_eq!(shown["result"], "True");
}

/// S0-23: what lets a write through lets no deletion through, neither here nor at the access gate.
#[test]
fn letting_the_write_of_devices_through_lets_no_deletion_through() {
    let rule = |action: &str, effect: Value| {
        json!({ "if": { "allOf": [
            { "field": "identity.principalId", "equals": ANA },
            { "field": "request.action", "equals": format!("Microsoft.Devices/IotHubs/devices/{action}") } ] },
            "then": effect })
    };
    let allow = || json!({ "effect": "allow" });
    let guard = json!({ "if": { "field": "type", "equals": DEVICES },
        "then": { "effect": "denyAction", "details": { "actionNames": ["delete"] } } });
    let gone = || model::trace::Object { verb: Verb::Delete, ..device(HUB, "d1") };
    let deletes = |facts: &Facts, who: &str| {
        does(facts, who, Op::DeleteDevice, HUB, &[gone()]).denial.map(|it| it.gate)
    };
    let rules = json!([rule("write", allow()), rule("delete", allow()), guard, deny_devices()]);
    let mut facts = open();
    policy(&mut facts, "v2", &rules, HUB);
    assert!(passes(&facts, ANA) && !passes(&facts, BOB));
    // An `allow` is about writes, also where it names the deletion.
    assert_eq!(deletes(&facts, ANA), Some(Gate::Policy));
    assert_eq!(deletes(&facts, BOB), Some(Gate::Policy));

    // Without the guard policy has no word on deletions, and the role alone decides: the right to write is none.
    let mut facts = self::facts();
    policy(&mut facts, "v2", &json!([rule("write", allow()), deny_devices()]), HUB);
    facts.put_role(gate::facts::Role {
        id: id("dddddddd-0000-4000-8000-000000000007"),
        name: "writer".into(),
        is_builtin: false,
        permissions: vec![gate::facts::Permission {
            data_actions: vec![model::ActionPattern::new(
                "Microsoft.Devices/IotHubs/devices/write",
            )],
            ..gate::facts::Permission::default()
        }],
        assignable_scopes: vec![scope("/")],
    });
    assign(&mut facts, ANA, "dddddddd-0000-4000-8000-000000000007", HUB);
    assert!(passes(&facts, ANA));
    assert_eq!(deletes(&facts, ANA), Some(Gate::Access));
}

/// A rule on the kind of caller is about that kind and no other.
#[test]
fn a_rule_tells_every_kind_of_caller_from_the_others() {
    use model::PrincipalKind::{Device, Group, ManagedIdentity, SasKey, ServicePrincipal, User};
    let kinds = [User, Group, ServicePrincipal, ManagedIdentity, Device, SasKey];
    let (place, head) = (scope(HUB), head("PUT /devices/d1"));
    let objects = [device(HUB, "d1")];
    for denied in kinds {
        let mut facts = open();
        let rule = json!({ "if": { "field": "identity.principalType", "equals": denied.as_str() },
            "then": { "effect": "deny" } });
        policy(&mut facts, "kinds", &rule, HUB);
        for kind in kinds {
            let caller = model::trace::Caller { kind, ..caller(ANA) };
            let ask = gate::Ask {
                objects: &objects,
                ..gate::Ask::new(
                    model::operations::operation(Op::PutDevice),
                    &place,
                    &caller,
                    &head,
                )
            };
            let by_policy = judged(&ask, &facts).denial.is_some_and(|it| it.gate == Gate::Policy);
            assert_eq!(by_policy, kind == denied, "{kind:?} under a rule on {denied:?}");
        }
    }
}
