use super::*;
use crate::page::Colours;
use serde_json::{Value, json};

const HUB: &str = "/subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1";
const OWN: &str = "11111111-0000-4000-8000-000000000001";

fn shown(answer: &Value, question: Question) -> String {
    let answer: Answer = serde_json::from_value(answer.clone()).unwrap();
    render(&answer, question, Page::new(100, Colours::Off))
}

fn step(gate: &str, verdict: &str, reason: &str, findings: &Value) -> Value {
    json!({ "gate": gate, "verdict": verdict, "reason": reason, "tookNs": 12_400, "findings": findings })
}

fn unasked(gate: &str) -> Value {
    json!({ "gate": gate, "verdict": "notEvaluated", "reason": "" })
}

fn decision(steps: &[Value], outcome: &Value) -> Value {
    json!({
        "id": "3f0c0f5e-1111-4222-8333-444455556666",
        "time": 1_795_334_400_250_u64,
        "correlationId": "3f0c0f5e-1111-4222-8333-444455556666",
        "call": {
            "operation": "PutDevice",
            "actions": ["Microsoft.Devices/IotHubs/devices/write"],
            "plane": "service",
            "scope": HUB,
            "objects": [{
                "type": "Microsoft.Devices/IotHubs/devices", "name": "d1", "id": format!("{HUB}/devices/d1"), "body": {},
            }],
            "caller": {
                "kind": "ServicePrincipal", "objectId": OWN, "name": "line-3-provisioner", "auth": "entra",
                "signedIn": "client secret, token issued 2026-11-22T07:59:58.000Z",
            },
            "channel": { "protocol": "https", "request": "PUT /devices/d1", "address": "127.0.0.1" },
        },
        "facts": 12,
        "steps": steps,
        "outcome": outcome,
    })
}

fn token_is_live() -> Value {
    step("authentication", "allow", "the token is live", &json!([]))
}

fn policy_finding(name: &str, result: &str, reason: &str) -> Value {
    json!({
        "kind": "policyRule",
        "id": format!("/subscriptions/s1/providers/Microsoft.Authorization/policyAssignments/{name}"),
        "name": name,
        "result": result,
        "reason": reason,
        "rule": {
            "definitionId": "/subscriptions/s1/providers/Microsoft.Authorization/policyDefinitions/entra-only",
            "definitionName": "entra-only",
            "displayName": "Devices are registered by Entra callers",
            "index": 0,
            "effect": "deny",
            "assignmentScope": "/subscriptions/s1/resourceGroups/rg1",
        },
        "conditions": [
            { "path": "policyRule.if.allOf[0]", "left": "field", "expression": "type", "operator": "equals",
              "expected": "Microsoft.Devices/IotHubs/devices", "actual": "Microsoft.Devices/IotHubs/devices", "result": true },
            { "path": "policyRule.if.allOf[1]", "left": "field", "expression": "identity.principalId", "operator": "notIn",
              "expected": ["22222222-0000-4000-8000-000000000002"], "result": true },
        ],
    })
}

fn refused_by_policy() -> Value {
    let findings = json!([
        policy_finding("custom-security-policy-v2", "deny", "all conditions hold"),
        policy_finding(
            "audit-only",
            "wouldDeny",
            "not enforced: `enforcementMode` is `DoNotEnforce`"
        ),
        policy_finding("other", "noMatch", "the type is another"),
    ]);
    let mut decision = decision(
        &[
            token_is_live(),
            step("policy", "deny", "1 rule denies", &findings),
            unasked("access"),
            unasked("resource"),
        ],
        &json!({ "verdict": "deny", "gate": "policy", "status": 403, "code": "DeviceRegistrationDenied",
                 "message": "Resource 'd1' was disallowed by policy." }),
    );
    decision["repeats"] = json!(3);
    json!({ "decision": decision, "redacted": false, "fixes": [
        { "says": "Exempt the hub from this assignment.",
          "command": format!("az policy exemption create --name let-line-3 --policy-assignment custom-security-policy-v2 --exemption-category Waiver --scope {HUB}"),
          "then": "`access` would allow", "warning": "every device write to the hub is then outside this policy" },
        { "says": "Switch the assignment to audit only.", "command": "az policy assignment update --name custom-security-policy-v2 --enforcement-mode DoNotEnforce",
          "then": "`access` would allow", "warning": null },
    ] })
}

#[test]
fn a_policy_denial_shows_the_rule_its_conditions_and_the_way_out() {
    insta::assert_snapshot!(shown(&refused_by_policy(), Question::Why), @r#"
    `PUT /devices/d1` was refused with 403 by policy `custom-security-policy-v2`

    when         2026-11-22T08:00:00.250Z
    tracking id  3f0c0f5e-1111-4222-8333-444455556666
    caller       `line-3-provisioner` (ServicePrincipal, object id 11111111-0000-4000-8000-000000000001)
    signed in    client secret, token issued 2026-11-22T07:59:58.000Z
    from         127.0.0.1 over https
    operation    PutDevice: Microsoft.Devices/IotHubs/devices/write
    scope        /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1
    writes       Microsoft.Devices/IotHubs/devices `d1`
    answer       403 DeviceRegistrationDenied: Resource 'd1' was disallowed by policy.
    repeats      refused 3 times more within the minute; only counted

    gate            verdict        took     reason
    authentication  allow          12.4 us  the token is live
    policy          deny           12.4 us  1 rule denies
    access          not evaluated           an earlier gate had refused
    resource        not evaluated           an earlier gate had refused

    Decided by policy `custom-security-policy-v2`: all conditions hold
      assignment   /subscriptions/s1/providers/Microsoft.Authorization/policyAssignments/custom-security-policy-v2
      definition   /subscriptions/s1/providers/Microsoft.Authorization/policyDefinitions/entra-only
                   (`Devices are registered by Entra callers`)
      rule         index 0 of `entra-only`
      effect       deny
      at scope     /subscriptions/s1/resourceGroups/rg1

      condition               field                 operator  expected           actual            holds
      policyRule.if.allOf[0]  type                  equals    "Microsoft.        "Microsoft.       true
                                                              Devices/IotHubs/   Devices/IotHubs/
                                                              devices"           devices"
      policyRule.if.allOf[1]  identity.principalId  notIn     ["22222222-0000-   absent            true
                                                              4000-8000-
                                                              000000000002"]

    Policies that did not refuse, but concern this call
      name                 at scope                          result      why
      policy `audit-only`  /subscriptions/s1/                would deny  not enforced: `enforcementMode`
                           resourceGroups/rg1                            is `DoNotEnforce`

    1 more policy rule was looked at and does not match; `-o json` shows why.

    The smallest change
      Exempt the hub from this assignment.
      warning: every device write to the hub is then outside this policy

        az policy exemption create --name let-line-3 --policy-assignment custom-security-policy-v2 --exemption-category Waiver --scope /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1

      then: `access` would allow

    Another change
      Switch the assignment to audit only.

        az policy assignment update --name custom-security-policy-v2 --enforcement-mode DoNotEnforce

      then: `access` would allow
    "#);
}

fn role_finding(
    role: &str,
    scope: &str,
    result: &str,
    pattern: Option<&str>,
    reason: &str,
) -> Value {
    json!({
        "kind": "roleAssignment",
        "id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/a1"),
        "name": "a1",
        "result": result,
        "reason": reason,
        "role": { "roleId": "4763f8f2-0000-4000-8000-000000000001", "roleName": role, "scope": scope,
                  "pattern": pattern, "list": "dataActions" },
    })
}

fn refused_by_access() -> Value {
    let findings = json!([
        role_finding(
            "IoT Hub Data Reader",
            HUB,
            "noMatch",
            None,
            "`IoT Hub Data Reader` does not grant `Microsoft.Devices/IotHubs/devices/write`"
        ),
        role_finding(
            "IoT Hub Registry Contributor",
            &format!("{HUB}0"),
            "noMatch",
            Some("Microsoft.Devices/IotHubs/devices/*"),
            "would grant, but at another scope"
        ),
    ]);
    let steps = [
        token_is_live(),
        step("policy", "allow", "no policy applies", &json!([])),
        step(
            "access",
            "deny",
            "no role at this scope grants `Microsoft.Devices/IotHubs/devices/write`",
            &findings,
        ),
        unasked("resource"),
    ];
    let outcome = json!({ "verdict": "deny", "gate": "access", "status": 401, "code": "IotHubUnauthorized",
                          "message": "Principal line-3-provisioner is not authorized" });
    json!({ "decision": decision(&steps, &outcome), "redacted": false, "fixes": [
        { "says": "Assign IoT Hub Registry Contributor at the hub.",
          "command": format!("az role assignment create --assignee-object-id {OWN} --assignee-principal-type ServicePrincipal --role 'IoT Hub Registry Contributor' --scope {HUB}"),
          "then": "`resource` would allow", "warning": null },
    ] })
}

#[test]
fn an_access_denial_shows_why_each_role_did_not_do() {
    insta::assert_snapshot!(shown(&refused_by_access(), Question::Why), @r"
    `PUT /devices/d1` was refused with 401 at the access gate: no role at this scope grants
    `Microsoft.Devices/IotHubs/devices/write`

    when         2026-11-22T08:00:00.250Z
    tracking id  3f0c0f5e-1111-4222-8333-444455556666
    caller       `line-3-provisioner` (ServicePrincipal, object id 11111111-0000-4000-8000-000000000001)
    signed in    client secret, token issued 2026-11-22T07:59:58.000Z
    from         127.0.0.1 over https
    operation    PutDevice: Microsoft.Devices/IotHubs/devices/write
    scope        /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1
    writes       Microsoft.Devices/IotHubs/devices `d1`
    answer       401 IotHubUnauthorized: Principal line-3-provisioner is not authorized

    gate            verdict        took     reason
    authentication  allow          12.4 us  the token is live
    policy          allow          12.4 us  no policy applies
    access          deny           12.4 us  no role at this scope grants
                                            `Microsoft.Devices/IotHubs/devices/write`
    resource        not evaluated           an earlier gate had refused

    Roles looked at, and why each did not do
      name                          at scope                      result    why
      IoT Hub Data Reader           /subscriptions/s1/            no match  `IoT Hub Data Reader` does
                                    resourceGroups/rg1/                     not grant
                                    providers/Microsoft.Devices/            `Microsoft.Devices/IotHubs/
                                    IotHubs/hub1                            devices/write`
      IoT Hub Registry Contributor  /subscriptions/s1/            no match  would grant, but at another
                                    resourceGroups/rg1/                     scope
                                    providers/Microsoft.Devices/
                                    IotHubs/hub10

    The smallest change
      Assign IoT Hub Registry Contributor at the hub.

        az role assignment create --assignee-object-id 11111111-0000-4000-8000-000000000001 --assignee-principal-type ServicePrincipal --role 'IoT Hub Registry Contributor' --scope /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1

      then: `resource` would allow
    ");
}

#[test]
fn a_condition_that_was_not_fulfilled_is_shown_comparison_by_comparison() {
    let mut answer = refused_by_access();
    let found = &mut answer["decision"]["steps"][2]["findings"][0];
    found["conditions"] = json!([{
        "path": "condition, line 2, character 5", "left": "attribute", "expression": "@Request[colour]",
        "operator": "StringEquals", "expected": "red", "result": false,
    }]);
    let shown = shown(&answer, Question::Why);
    let (_, table) = shown.split_once("Conditions of role assignment `a1`\n").unwrap();
    let (table, _) = table.split_once("\n\nThe smallest change").unwrap();
    insta::assert_snapshot!(table.trim(), @r#"
    condition                       field             operator      expected  actual  holds
      condition, line 2, character 5  @Request[colour]  StringEquals  "red"     absent  false
    "#);
}

fn allowed() -> Value {
    let granted = role_finding(
        "IoT Hub Registry Contributor",
        HUB,
        "allow",
        Some("Microsoft.Devices/IotHubs/devices/*"),
        "`IoT Hub Registry Contributor` grants `Microsoft.Devices/IotHubs/devices/write`",
    );
    let steps = [
        token_is_live(),
        step("policy", "allow", "no policy applies", &json!([])),
        step(
            "access",
            "allow",
            "granted: `Microsoft.Devices/IotHubs/devices/write`",
            &json!([granted]),
        ),
        step("resource", "allow", "nothing in the resource's state stands against it", &json!([])),
    ];
    let outcome = json!({ "verdict": "allow", "status": 200, "code": "OK", "message": "" });
    json!({ "decision": decision(&steps, &outcome), "redacted": false, "fixes": [] })
}

#[test]
fn an_allowed_call_names_the_role_that_allowed_it() {
    insta::assert_snapshot!(shown(&allowed(), Question::Why), @r"
    `PUT /devices/d1` was allowed by role `IoT Hub Registry Contributor`

    when         2026-11-22T08:00:00.250Z
    tracking id  3f0c0f5e-1111-4222-8333-444455556666
    caller       `line-3-provisioner` (ServicePrincipal, object id 11111111-0000-4000-8000-000000000001)
    signed in    client secret, token issued 2026-11-22T07:59:58.000Z
    from         127.0.0.1 over https
    operation    PutDevice: Microsoft.Devices/IotHubs/devices/write
    scope        /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1
    writes       Microsoft.Devices/IotHubs/devices `d1`

    gate            verdict  took     reason
    authentication  allow    12.4 us  the token is live
    policy          allow    12.4 us  no policy applies
    access          allow    12.4 us  granted: `Microsoft.Devices/IotHubs/devices/write`
    resource        allow    12.4 us  nothing in the resource's state stands against it

    Decided by role assignment `a1`: `IoT Hub Registry Contributor` grants
    `Microsoft.Devices/IotHubs/devices/write`
      assignment   /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1/providers/Microsoft.Authorization/roleAssignments/a1
      role         `IoT Hub Registry Contributor` (4763f8f2-0000-4000-8000-000000000001)
      by           `Microsoft.Devices/IotHubs/devices/*` in its dataActions
      at scope     /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1
    ");
}

#[test]
fn a_question_names_the_action_and_no_tracking_id() {
    let said = shown(&refused_by_policy(), Question::WhatIf);
    let first = "`Microsoft.Devices/IotHubs/devices/write` by `line-3-provisioner` would be refused with 403 by policy";
    assert!(said.replace('\n', " ").starts_with(first), "{said}");
    assert!(!said.contains("tracking id") && !said.contains("127.0.0.1"), "{said}");
}

#[test]
fn a_redacted_decision_says_what_is_left_out() {
    let mut answer = refused_by_policy();
    let decision: Trace = serde_json::from_value(answer["decision"].clone()).unwrap();
    answer["decision"] = serde_json::to_value(decision.redacted()).unwrap();
    answer["redacted"] = json!(true);
    answer["fixes"] = json!([]);
    let said = shown(&answer, Question::Why);
    assert!(
        said.contains("by policy `custom-security-policy-v2`") && said.contains("Left out:"),
        "{said}"
    );
    assert!(
        said.contains("the server knows none") && !said.contains("identity.principalId"),
        "{said}"
    );
}

#[test]
fn nobody_proven_is_said_so() {
    let steps = [
        json!({ "gate": "authentication", "verdict": "deny", "reason": "the token expired 61 s ago", "tookNs": 850 }),
        unasked("policy"),
        unasked("access"),
        unasked("resource"),
    ];
    let outcome = json!({ "verdict": "deny", "gate": "authentication", "status": 401, "code": "IotHubUnauthorizedAccess", "message": "expired" });
    let mut decision = decision(&steps, &outcome);
    decision["call"].as_object_mut().unwrap().remove("caller");
    let said = shown(&json!({ "decision": decision }), Question::Why);
    let first = "`PUT /devices/d1` was refused with 401 at the authentication gate: the token expired 61 s ago\n";
    assert!(
        said.starts_with(first) && said.contains("nobody was proven") && said.contains("850 ns"),
        "{said}"
    );
}

/// Puts `hostile` before every text in a JSON value but those that are words of the protocol.
fn poison(value: &mut Value, key: &str, hostile: &str) {
    const WORDS: [&str; 9] =
        ["id", "gate", "verdict", "kind", "result", "auth", "objectId", "list", "plane"];
    match value {
        Value::String(text) if !WORDS.contains(&key) => text.insert_str(0, hostile),
        Value::Array(all) => all.iter_mut().for_each(|it| poison(it, key, hostile)),
        Value::Object(all) => all.iter_mut().for_each(|(key, it)| poison(it, key, hostile)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn hostile_text_moves_no_cursor_wherever_it_stands() {
    for mut answer in [refused_by_policy(), refused_by_access(), allowed()] {
        poison(&mut answer, "", "\u{1b}[2J\u{9b}1A\r\n\u{202e}");
        let parsed: Answer = serde_json::from_value(answer).unwrap();
        for question in [Question::Why, Question::WhatIf] {
            let said = render(&parsed, question, Page::new(100, Colours::Off));
            assert!(said.contains("\\u{1b}[2J\\u{9b}1A\\r\\n\\u{202e}"), "{said}");
            assert!(
                said.chars().all(|it| it == '\n' || !(it.is_control() || it == '\u{202e}')),
                "{said:?}"
            );
        }
    }
}

#[test]
fn a_command_that_cannot_be_shown_as_it_is_warns() {
    let mut answer = refused_by_access();
    answer["fixes"][0]["command"] = json!("az role assignment list\nrm -rf ~");
    let said = shown(&answer, Question::Why);
    assert!(said.contains("    az role assignment list\\nrm -rf ~\n"), "{said}");
    assert!(said.contains("do not paste it"), "{said}");
    assert!(!shown(&refused_by_access(), Question::Why).contains("do not paste it"));
}

#[test]
fn a_command_stays_on_one_line_in_a_narrow_terminal() {
    let answer: Answer = serde_json::from_value(refused_by_access()).unwrap();
    let said = render(&answer, Question::Why, Page::new(40, Colours::Off));
    let command = answer.fixes[0].command.as_ref().unwrap();
    assert!(said.lines().any(|it| it.trim() == command), "{said}");
}

#[test]
fn long_lists_end_in_a_count() {
    let mut answer = refused_by_access();
    let one = answer["decision"]["steps"][2]["findings"][0].clone();
    answer["decision"]["steps"][2]["findings"] = json!(vec![one; ROWS_MAX + 2]);
    assert!(shown(&answer, Question::Why).contains("and 2 more; `-o json` shows all"));
}

#[test]
fn durations_have_a_unit_that_fits() {
    let check = |ns, expected: &str| assert_eq!(took(ns), expected);
    check(0, "");
    check(999, "999 ns");
    check(1_000, "1.0 us");
    check(999_999, "999.9 us");
    check(3_160_000, "3.1 ms");
}
