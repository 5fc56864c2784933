//! A fleet that stops onboarding, with the unmodified clients: devices register over HTTPS, MQTT and AMQP, the latter
//! two with and without WebSockets, on the provisioning service's own address, one of them stays connected, and a person changes policies and roles with
//! `az`. The server is killed and started again between any two steps.

use super::az::text;
use super::fleet::{
    DEVICES, Over, POLICY, Stage, TWIN_ROLE, deny, has_the_three_facts, tracking, verdicts,
};
use serde_json::{Value, json};

/// New devices that try while the policy stands, over each protocol.
const REFUSED: usize = 20;

/// S0-02, S0-03, S0-06, S0-26: what stops, what goes on, each fix alone, and who stays refused after the narrow ones.
#[test]
fn a_fleet_stops_onboarding_and_each_fix_alone_brings_it_back() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    let key = stage.enroll_group("fleet", &Value::Null);
    let outsider = stage.outsider();
    stage.crash();
    stage.is_provisioned(Over::Mqtt, &key, "before");
    for over in Over::ALL {
        stage.is_provisioned(over, &key, &format!("before-{}", over.name()));
    }
    stage.writes_device(&outsider, "by-hand").expect(200);
    stage.crash();
    let mut before = stage.living(&key, "before");
    before.connects();
    before.sends("all is well");
    before.does(r#"report {"rate":1}"#);
    before.sends("all is still well");
    let mut sent = 2;
    let (status, said) = stage.diagnosed(&[]);
    assert_eq!(status, 0, "{said}");

    stage.write_rules("create", &deny());
    stage.crash();
    // The device's own client finds its way back.
    before.sends("the server was killed");
    sent += 1;
    let assignment = stage.assign_policy();

    // Every new registration fails, and each says why; who was there before goes on.
    let mut refused = Vec::new();
    for over in Over::ALL {
        let name = over.name();
        let fleet: Vec<String> = (1..=REFUSED).map(|it| format!("new-{name}-{it}")).collect();
        let fleet: Vec<&str> = fleet.iter().map(String::as_str).collect();
        for (outcome, device) in stage.register(over, &key, &fleet).into_iter().zip(&fleet) {
            has_the_three_facts(&outcome);
            refused.push((outcome, (*device).to_owned()));
        }
        before.sends("the same session");
        assert_eq!(before.says("disconnect")["connected"], false);
        before.connects();
        before.sends("a new session");
        before.does(r#"report {"rate":2}"#);
        assert_eq!(before.does("twin")["twin"]["reported"]["rate"], 2);
        sent += 2;
    }
    assert_eq!(refused.len(), Over::ALL.len() * REFUSED);
    stage.crash();
    before.sends("killed again");
    sent += 1;
    assert!(stage.kept_messages() >= sent, "every message that was acknowledged is kept");

    // One command on any of them names policy, rule and condition, and who was refused for whom.
    for (outcome, device) in refused.iter().step_by(REFUSED - 1) {
        let line = tracking(text(outcome, "/error/message"));
        let said = stage.explain(line, &[]);
        for word in [POLICY, "rule 0", "policyRule.if", DEVICES, &stage.identity, "not evaluated"] {
            assert!(said.contains(word), "{word}: {said}");
        }
        let explained = stage.explained(line);
        assert_eq!(verdicts(&explained), ["allow", "deny", "notEvaluated", "notEvaluated"]);
        let call = &explained["decision"]["call"];
        assert_eq!(text(call, "/caller/objectId"), stage.identity, "{call}");
        // Many refusals of one kind share the id of the last that was kept by itself.
        let named = text(call, "/channel/onBehalfOf/name");
        assert!(named == device || named.starts_with("new-"), "{named} for {device}");
        assert!(call["channel"]["onBehalfOf"].to_string().contains("fleet"), "{call}");
    }

    // So does the diagnosis, with what was changed and the first refusal behind it.
    let (status, said) = stage.diagnosed(&[]);
    assert_eq!(status, 1, "{said}");
    let onset = format!("policy assignment `{POLICY}` created");
    for word in [&onset, "first refusal", "rule 0", "policyRule.if", DEVICES, "section 3 fails"] {
        assert!(said.contains(word), "{word}: {said}");
    }

    // What was there before is there still, and nothing of what was refused.
    let listed = stage.with_hub_key("/devices").expect(200).body;
    let mut ids: Vec<&str> =
        listed.as_array().unwrap().iter().map(|it| text(it, "/deviceId")).collect();
    ids.sort_unstable();
    let former = ids.iter().filter(|it| it.starts_with("before-")).count();
    assert_eq!(former, Over::ALL.len());
    ids.retain(|it| !it.starts_with("before-"));
    assert_eq!(ids, ["before", "by-hand", "device-1"]);

    // (a) An exemption of the hub: everybody is let through, and the trace says so.
    let exemption = [
        "--name",
        "whole-hub",
        "--policy-assignment",
        &assignment,
        "--exemption-category",
        "Waiver",
        "--scope",
        &stage.hub,
    ];
    stage.az.run(&[&["policy", "exemption", "create"], &exemption[..]].concat()).json();
    stage.crash();
    stage.is_provisioned(Over::Mqtt, &key, "new-mqtt-1");
    stage.writes_device(&outsider, "anybody").expect(200);
    let said = stage.would_register("new-2");
    assert!(said.contains("`whole-hub` exempts every caller"), "{said}");
    stage.delete_exemption("whole-hub");
    stage.crash();
    stage.is_refused_by_the_policy(Over::Mqtt, &key, "new-mqtt-2");

    // (b) The same for the provisioning service alone.
    let url = format!(
        "{}/providers/Microsoft.Authorization/policyExemptions/onboarding?api-version=2026-01-01-preview",
        stage.hub
    );
    let body = json!({ "properties": {
        "policyAssignmentId": assignment, "exemptionCategory": "Waiver",
        "principalIds": [stage.identity] } })
    .to_string();
    stage.az.run(&["rest", "--method", "put", "--url", &url, "--body", &body]).json();
    stage.crash();
    stage.is_provisioned(Over::Https, &key, "new-https-2");
    stage.is_provisioned(Over::Mqtt, &key, "new-mqtt-2");
    let others = stage.writes_device(&outsider, "anybody-else").expect(403);
    assert!(others.text().contains(POLICY), "{others:?}");
    stage.delete_exemption("onboarding");
    stage.crash();
    let message = stage.is_refused_by_the_policy(Over::Https, &key, "new-https-3");

    // (c) An `allow` in front of the deny.
    let allow = json!({ "if": { "allOf": [
        { "field": "type", "equals": DEVICES },
        { "field": "identity.principalId", "equals": stage.identity } ] },
        "then": { "effect": "allow" } });
    let explained = stage.explained(tracking(&message));
    let proposed: String =
        explained["fixes"].as_array().unwrap().iter().map(|it| text(it, "/command")).collect();
    for command in ["az policy definition update", "az rest", "az policy exemption create"] {
        assert!(proposed.contains(command), "{command}: {proposed}");
    }
    assert!(proposed.contains(&allow.to_string()), "{proposed}");
    stage.write_rules("update", &json!([allow, deny()]));
    stage.crash();
    stage.is_provisioned(Over::Https, &key, "new-https-3");
    stage.is_provisioned(Over::Mqtt, &key, "new-mqtt-3");
    let others = stage.writes_device(&outsider, "anybody-else").expect(403);
    assert!(others.text().contains(POLICY), "{others:?}");
    stage.crash();

    // Who was refused, and who was provisioned, may come back.
    for device in ["new-mqtt-4", "new-https-4", "before"] {
        stage.is_provisioned(Over::Mqtt, &key, device);
    }
    for over in Over::ALL {
        stage.is_provisioned(over, &key, &format!("new-{}-5", over.name()));
    }
    let (status, said) = stage.diagnosed(&[]);
    assert_eq!(status, 0, "{said}");
    let key = stage.enroll_group("second-fleet", &Value::Null);
    stage.crash();
    stage.is_provisioned(Over::Mqtt, &key, "second-1");
    let mut newcomer = stage.living(&key, "second-1");
    newcomer.connects();
    newcomer.sends("here I am");
    before.sends("still here");
}

/// S0-04, S0-28: the log that `az` switched on names policy, rule and condition; its correlation id leads to the
/// other side, which has the three lines that the device was told, and the command line has the same.
#[test]
fn the_logs_name_the_rule_and_join_both_sides() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new(home.path());
    let key = stage.enroll_group("fleet", &Value::Null);
    let category = json!([{ "category": "DeviceIdentityOperations", "enabled": true }]);
    stage.send_logs(&stage.hub, &category);
    stage.send_logs(&stage.dps, &json!([{ "categoryGroup": "allLogs", "enabled": true }]));
    stage.write_rules("create", &deny());
    stage.assign_policy();
    let message = stage.is_refused_by_the_policy(Over::Https, &key, "new-1");
    let id = tracking(&message).trim_start_matches("Tracking ID:").trim();

    let written = stage.logs(id, &["--category", "DeviceIdentityOperations", "-o", "json"]);
    let record = written.lines().find(|it| it.contains(id)).unwrap();
    let record: Value = serde_json::from_str(record).unwrap();
    let properties: Value = serde_json::from_str(text(&record, "/properties")).unwrap();
    assert_eq!((text(&properties, "/trackingId"), text(&properties, "/policy")), (id, POLICY));
    assert_eq!(properties["ruleIndex"], 0);
    let rule = properties["chain"].as_array().unwrap().iter().find(|it| it["result"] == "deny");
    let condition = json!({ "path": "policyRule.if", "field": "type", "operator": "equals",
        "expected": DEVICES, "actual": DEVICES, "result": true });
    assert_eq!(rule.unwrap()["details"]["conditions"], json!([condition]));

    let correlation = text(&record, "/correlationId");
    let shown = stage.logs("RegistrationAttempt", &["--correlation", correlation]);
    for word in ["Register ", "create", "deny 403000", "Failure 403", POLICY, id] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let joined = stage.logs("Register\"", &["--correlation", correlation, "-o", "json"]);
    for fact in ["HTTP 403: Forbidden", "Error: Device registration denied", "Policy: custom"] {
        assert!(joined.contains(fact), "{fact}: {joined}");
    }
    let said = stage.explain(id, &[]);
    for fact in
        ["refused with 403", "403 DeviceRegistrationDenied", &format!("by policy `{POLICY}`")]
    {
        assert!(said.contains(fact), "{fact}: {said}");
    }
}

/// The second role is needed for the twin alone, and holds from the next request on.
#[test]
fn an_initial_twin_needs_a_second_role() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    let twin = json!({ "tags": { "line": 7 }, "properties": { "desired": { "rate": 5 } } });
    let (plain, with_twin) =
        (stage.enroll_group("plain", &Value::Null), stage.enroll_group("with-twin", &twin));
    let held = stage.az.run(&["role", "assignment", "list", "--scope", &stage.hub]).json();
    let is_twin = |it: &&Value| {
        it["principalId"] == stage.identity.as_str() && it["roleDefinitionName"] == TWIN_ROLE
    };
    let second: Vec<&Value> = held.as_array().unwrap().iter().filter(is_twin).collect();
    assert_eq!(second.len(), 1, "{held}");
    stage.az.run(&["role", "assignment", "delete", "--ids", text(second[0], "/id")]).json();
    stage.crash();

    stage.is_provisioned(Over::Mqtt, &plain, "plain-1");
    let refused = stage.register(Over::Mqtt, &with_twin, &["twin-1"]).remove(0);
    let message = text(&refused, "/error/message");
    for fact in [
        "HTTP 401: Unauthorized",
        "Error: Device registration denied",
        "Microsoft.Devices/IotHubs/twins/write",
    ] {
        assert!(message.contains(fact), "{fact}: {message}");
    }
    assert_eq!(refused["error"]["code"], 401_003);
    stage.with_hub_key("/devices/twin-1").expect(404);
    stage.crash();

    let explained = stage.explained(tracking(message));
    assert_eq!(verdicts(&explained), ["allow", "allow", "deny", "notEvaluated"]);
    let said = stage.explain(tracking(message), &[]);
    for word in
        ["no role at this scope grants", "az role assignment create", TWIN_ROLE, &stage.identity]
    {
        assert!(said.contains(word), "{word}: {said}");
    }
    let role = [
        "--assignee-object-id",
        &stage.identity,
        "--assignee-principal-type",
        "ServicePrincipal",
        "--role",
        TWIN_ROLE,
        "--scope",
        &stage.hub,
    ];
    stage.az.run(&[&["role", "assignment", "create"], &role[..]].concat()).json();
    stage.is_provisioned(Over::Mqtt, &with_twin, "twin-1");
    stage.crash();
    stage.is_provisioned(Over::Https, &with_twin, "twin-2");
}

/// Whatever a device is refused for, its client shows the reason: over AMQP as over HTTPS.
#[test]
fn a_device_that_may_not_register_is_told_why_over_amqp() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new(home.path());
    let key = stage.enroll_group("fleet", &Value::Null);
    let stranger = stage.enroll_group("other-fleet", &Value::Null);
    stage.write_group("other-fleet", &json!({ "provisioningStatus": "disabled" }));
    for over in [Over::Https, Over::Amqp, Over::AmqpWs] {
        stage.is_provisioned(over, &key, over.name());
        for (key, word) in [
            ("c3RyYW5nZXI=", "the signature fits no device or enrollment of this name"),
            (&stranger, "the device or its enrollment is disabled"),
        ] {
            let refused = stage.register(over, key, &["new"]).remove(0);
            let said = text(&refused, "/error/message");
            assert!(said.contains(word), "{over:?}: {refused}");
        }
    }
}
