use super::*;
use crate::page::Colours;
use serde_json::{Value, json};

const GROUP: &str = "/subscriptions/s1/resourceGroups/rg1/providers";

fn shown(diagnosis: &Value) -> String {
    let diagnosis: Diagnosis = serde_json::from_value(diagnosis.clone()).unwrap();
    render(&diagnosis, Page::new(100, Colours::Off))
}

fn hub() -> String {
    format!("{GROUP}/Microsoft.Devices/IotHubs/hub1")
}

fn diagnosis(verdicts: [&str; 3]) -> Value {
    let right = |name: &str, is_needed: bool, role: &str, pattern: &str| {
        json!({ "action": format!("Microsoft.Devices/IotHubs/{name}"), "isNeeded": is_needed, "isGranted": true,
            "by": [{ "role": role, "pattern": pattern, "scope": hub(), "assignment": "/a" }] })
    };
    let registry = "IoT Hub Registry Contributor";
    json!({
        "time": "2026-11-22T14:09:40.000Z",
        "provisioningService": format!("{GROUP}/Microsoft.Devices/provisioningServices/dps1"),
        "hub": hub(),
        "device": "any-device",
        "caller": { "kind": "ManagedIdentity", "objectId": "11111111-0000-4000-8000-000000000001", "name": "dps1",
            "auth": "entra", "signedIn": "access token" },
        "verdict": if verdicts.contains(&"fail") { "fail" } else { "pass" },
        "redacted": false,
        "sections": [
            { "name": "IoT Hub IAM roles", "verdict": verdicts[0], "says": "`dps1` may do at `hub1` what registrations take",
              "checks": [{ "mark": "note", "says": "`IoT Hub Registry Contributor` is not needed at this hub beside `IoT Hub Data Contributor`" }],
              "rights": [
                right("devices/write", true, registry, "Microsoft.Devices/IotHubs/devices/*"),
                right("twins/write", false, "IoT Hub Twin Contributor", "Microsoft.Devices/IotHubs/twins/*"),
                right("devices/read", false, registry, "Microsoft.Devices/IotHubs/devices/*") ],
              "fixes": [] },
            { "name": "DPS integration permissions", "verdict": verdicts[1], "says": "`dps1` reaches `hub1` and proves itself there",
              "checks": [
                { "mark": "pass", "says": "`hub1` is linked by the service's own identity (`SystemAssigned`), weight 1" },
                { "mark": "warning", "says": "the enrollment `stray` names hub10, and no hub of that name is linked" } ],
              "fixes": [] },
            { "name": "Custom security policy restrictions", "verdict": verdicts[2], "says": "no policy is assigned here", "fixes": [] },
        ],
        "onset": null,
    })
}

fn refused_by_policy() -> Value {
    let mut told = diagnosis(["pass", "pass", "fail"]);
    let assignment = format!(
        "{}/providers/Microsoft.Authorization/policyAssignments/custom-security-policy-v2",
        hub()
    );
    told["sections"][2] = json!({
        "name": "Custom security policy restrictions", "verdict": "fail",
        "says": "denied by policy `custom-security-policy-v2`",
        "findings": [
            { "kind": "policyRule", "id": assignment, "name": "custom-security-policy-v2", "result": "deny",
              "reason": "rule 0 matches: deny",
              "rule": { "definitionId": "/d/custom-security-policy-v2", "definitionName": "custom-security-policy-v2",
                "index": 0, "effect": "deny", "assignmentScope": hub() },
              "conditions": [{ "path": "policyRule.if", "left": "field", "expression": "type", "operator": "equals",
                "expected": "Microsoft.Devices/IotHubs/devices", "actual": "Microsoft.Devices/IotHubs/devices", "result": true }] },
            { "kind": "policyRule", "id": "/a/watch", "name": "watch", "result": "audit", "reason": "rule 0 matches: audit" },
        ],
        "fixes": [{ "says": "put an `allow` for `dps1` before rule 0", "command": "az policy definition update --name custom-security-policy-v2",
            "then": "the call would pass every gate", "warning": null }],
    });
    told["onset"] = json!({
        "gate": "policy", "by": ["custom-security-policy-v2"],
        "change": { "kind": "policyAssignment", "id": assignment, "name": "custom-security-policy-v2", "verb": "created",
            "time": "2026-11-22T14:02:10.000Z", "author": { "name": "administrator", "objectId": null }, "trackingId": "t" },
        "firstRefusal": { "time": "2026-11-22T14:02:11.000Z", "trackingId": "3f0c0f5e-1111-4222-8333-444455556666", "device": "pump-1" },
        "lastRefusal": { "time": "2026-11-22T14:09:33.000Z", "trackingId": "3f0c0f5e-1111-4222-8333-444455557777", "device": "pump-20" },
        "refusals": 20, "lateS": 1, "notes": [],
    });
    told
}

#[test]
fn a_failing_section_shows_its_evidence_its_way_out_and_since_when() {
    insta::assert_snapshot!(shown(&refused_by_policy()), @r#"
    Devices cannot register through `dps1` at `hub1`: section 3 fails

    when     2026-11-22T14:09:40.000Z
    service  /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/provisioningServices/dps1
    hub      /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1
    caller   `dps1` (ManagedIdentity, object id 11111111-0000-4000-8000-000000000001)
    device   judged as `any-device`

    1 IoT Hub IAM roles: PASS
      `dps1` may do at `hub1` what registrations take

      right          needed  granted  by
      devices/write  yes     yes      `IoT Hub Registry Contributor` by
                                      `Microsoft.Devices/IotHubs/devices/*` at `hub1`
      twins/write    no      yes      `IoT Hub Twin Contributor` by `Microsoft.Devices/IotHubs/twins/*`
                                      at `hub1`
      devices/read   no      yes      `IoT Hub Registry Contributor` by
                                      `Microsoft.Devices/IotHubs/devices/*` at `hub1`

      check  found
      note   `IoT Hub Registry Contributor` is not needed at this hub beside `IoT Hub Data Contributor`

    2 DPS integration permissions: PASS
      `dps1` reaches `hub1` and proves itself there

      check    found
      PASS     `hub1` is linked by the service's own identity (`SystemAssigned`), weight 1
      WARNING  the enrollment `stray` names hub10, and no hub of that name is linked

    3 Custom security policy restrictions: FAIL
      denied by policy `custom-security-policy-v2`

    Decided by policy `custom-security-policy-v2`: rule 0 matches: deny
      assignment   /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1/providers/Microsoft.Authorization/policyAssignments/custom-security-policy-v2
      definition   /d/custom-security-policy-v2
      rule         index 0 of `custom-security-policy-v2`
      effect       deny
      at scope     /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1

      condition      field  operator  expected                       actual                        holds
      policyRule.if  type   equals    "Microsoft.Devices/IotHubs/    "Microsoft.Devices/IotHubs/   true
                                      devices"                       devices"

    Looked at besides
      name            result  why
      policy `watch`  audit   rule 0 matches: audit

    What helps
      put an `allow` for `dps1` before rule 0

        az policy definition update --name custom-security-policy-v2

      then: the call would pass every gate

    Onset
      policy assignment `custom-security-policy-v2` created 2026-11-22 14:02:10 by `administrator`;
      first refusal 14:02:11 (1 second later), 20 refusals since
      change   /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1/providers/Microsoft.Authorization/policyAssignments/custom-security-policy-v2
      first    2026-11-22 14:02:11 device `pump-1`, tracking id 3f0c0f5e-1111-4222-8333-444455556666
      last     2026-11-22 14:09:33 device `pump-20`, tracking id 3f0c0f5e-1111-4222-8333-444455557777
    "#);
}

#[test]
fn what_passes_shows_its_evidence_too() {
    insta::assert_snapshot!(shown(&diagnosis(["pass", "pass", "pass"])), @r#"
    Devices can register through `dps1` at `hub1`

    when     2026-11-22T14:09:40.000Z
    service  /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/provisioningServices/dps1
    hub      /subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1
    caller   `dps1` (ManagedIdentity, object id 11111111-0000-4000-8000-000000000001)
    device   judged as `any-device`

    1 IoT Hub IAM roles: PASS
      `dps1` may do at `hub1` what registrations take

      right          needed  granted  by
      devices/write  yes     yes      `IoT Hub Registry Contributor` by
                                      `Microsoft.Devices/IotHubs/devices/*` at `hub1`
      twins/write    no      yes      `IoT Hub Twin Contributor` by `Microsoft.Devices/IotHubs/twins/*`
                                      at `hub1`
      devices/read   no      yes      `IoT Hub Registry Contributor` by
                                      `Microsoft.Devices/IotHubs/devices/*` at `hub1`

      check  found
      note   `IoT Hub Registry Contributor` is not needed at this hub beside `IoT Hub Data Contributor`

    2 DPS integration permissions: PASS
      `dps1` reaches `hub1` and proves itself there

      check    found
      PASS     `hub1` is linked by the service's own identity (`SystemAssigned`), weight 1
      WARNING  the enrollment `stray` names hub10, and no hub of that name is linked

    3 Custom security policy restrictions: PASS
      no policy is assigned here

    Onset
      no registration would be refused now
    "#);
}

#[test]
fn an_onset_says_what_it_knows_and_no_more() {
    let mut told = refused_by_policy();
    told["redacted"] = json!(true);
    told["onset"]["change"] = Value::Null;
    told["onset"]["lateS"] = Value::Null;
    told["onset"]["lastRefusal"] = Value::Null;
    told["onset"]["refusals"] = json!(1);
    told["onset"]["notes"] = json!(["the first refusal may be forgotten already"]);
    let text = shown(&told);
    assert!(
        text.contains("denied by policy `custom-security-policy-v2`; first refusal 2026-11-22 14:02:11, 1 refusal since"),
        "{text}"
    );
    assert!(text.contains("note: the first refusal may be forgotten already"), "{text}");
    assert!(text.contains("Left out: the conditions of policies"), "{text}");

    let onset = |change: Value| {
        let mut told = refused_by_policy();
        for (name, value) in change.as_object().unwrap() {
            told["onset"][name] = value.clone();
        }
        shown(&told)
    };
    let text = onset(
        json!({ "gate": "access", "by": ["no role at this scope grants `x`"], "change": null, "firstRefusal": null }),
    );
    assert!(
        text.contains("refused at the access gate: no role at this scope grants `x`\n"),
        "{text}"
    );
    // The next day's refusal has its day.
    let text = onset(
        json!({ "firstRefusal": { "time": "2026-11-23T00:00:01.000Z", "trackingId": "t", "device": "d" } }),
    );
    assert!(text.contains("first refusal 2026-11-23 00:00:01"), "{text}");
}

#[test]
fn nothing_from_a_server_moves_the_cursor() {
    let mut told = refused_by_policy();
    told["sections"][2]["says"] = json!("\u{1b}[2Jcleared");
    told["onset"]["change"]["name"] = json!("\u{202e}reversed");
    told["onset"]["notes"] = json!(["\u{9b}1A"]);
    let text = shown(&told);
    assert!(!text.chars().any(|it| it.is_control() && it != '\n' || it == '\u{202e}'), "{text}");
}
