//! What policies can ask of a registration: the roles of the service that writes the device.

use super::registration::{Fleet, is_denied_with_the_three_facts};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::{Answer, Identity};

const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const POLICY: &str = "custom-security-policy-v2";

/// What the fleet's service holds at the hub, without what it does not need for plain devices.
fn holds_only(fleet: &Fleet, role: &str) {
    let hub = fleet.world.hub();
    let path = format!(
        "{hub}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId%20eq%20'{}'",
        fleet.identity
    );
    let held = fleet.world.arm("GET", &path, &Value::Null).expect(200).body;
    for it in held["value"].as_array().unwrap() {
        if !it["properties"]["roleDefinitionId"].as_str().unwrap().ends_with(role) {
            fleet.world.arm("DELETE", it["id"].as_str().unwrap(), &Value::Null).expect(200);
        }
    }
}

/// S0-41: a policy requires a role that the service's identity lacks. The device, the trace and the advice name
/// both; given that role, it registers.
#[test]
fn a_policy_requires_a_role_of_the_provisioning_service() {
    const REGISTRY_CONTRIBUTOR: &str = "4ea46cd5-c1b2-4a8e-910b-273211f9ce47";
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    holds_only(&fleet, REGISTRY_CONTRIBUTOR);
    assert_eq!(fleet.registers("pump-0")["status"], "assigned", "roles alone would do");
    let rule = |role: &str| {
        json!({ "if": { "field": "type", "equals": DEVICES }, "requiredRoles": [role],
            "then": { "effect": "deny" } })
    };
    world.define_policy(POLICY, &rule("IoT Hub Data Contributor")).expect(201);
    world.assign_policy(POLICY, &hub).expect(201);

    let state = fleet.registers("pump-1");
    is_denied_with_the_three_facts(&state);
    let told = world.explained(&Fleet::tracking(&state));
    let found = &told["decision"]["steps"][1]["findings"][0];
    let lacked = &found["rule"]["lacks"][0];
    assert_eq!(lacked["roleName"], "IoT Hub Data Contributor");
    assert_eq!(lacked["principalId"], fleet.identity);
    let service = lacked["principalName"].as_str().unwrap();
    let line = format!("\nMissing role: IoT Hub Data Contributor of {service}\n");
    assert!(state["errorMessage"].as_str().unwrap().contains(&line), "{state}");
    assert_eq!(told["decision"]["steps"][2]["verdict"], "notEvaluated");

    // The smallest fix comes first: the role, for that identity, on that hub.
    let fix = &told["fixes"][0];
    let command = format!(
        "az role assignment create --assignee-object-id {} --assignee-principal-type ServicePrincipal \
         --role 'IoT Hub Data Contributor' --scope {hub}",
        fleet.identity
    );
    assert_eq!(fix["command"], command);
    assert_eq!(fix["then"], "the call would pass every gate");
    let identity = Identity {
        name: String::new(),
        app_id: String::new(),
        object_id: fleet.identity.clone(),
        secret: String::new(),
    };
    let role = "4fc6c259-987e-4a07-842e-c321cc9d413f";
    let given = world.assign(&identity, role, &hub).expect(201);
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    world.arm("DELETE", given.body["id"].as_str().unwrap(), &Value::Null).expect(200);
    is_denied_with_the_three_facts(&fleet.registers("pump-2"));

    // Whoever may not read the policies is told no more than the role; a role that there is not is refused.
    let writer = world.service_principal("writer");
    world.assign(&writer, REGISTRY_CONTRIBUTOR, &hub).expect(201);
    let refused = world.puts_device(&writer, &hub, "by-hand").expect(403).text();
    assert!(refused.contains("Missing role: IoT Hub Data Contributor of writer"), "{refused}");
    assert!(!refused.contains("policyRule"), "{refused}");
    let refused = world.define_policy(POLICY, &rule("IoT Hub Data Contributer")).expect(400).text();
    assert!(refused.contains("properties.policyRule.requiredRoles[0]"), "{refused}");
    let path = format!("/decisions/{}", Fleet::tracking(&state));
    world.arm_as(&writer, "GET", &path, &Value::Null).expect(403);
}

/// S0-31: a fresh service registers by ordinary roles, and by nothing else; a policy that denies by default goes
/// before them, and the trace says so.
#[test]
fn a_policy_overrides_what_a_fresh_provisioning_service_may_do() {
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    let deny =
        json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } });
    world.define_policy(POLICY, &deny).expect(201);
    let assigned = world.assign_policy(POLICY, &hub).expect(201);
    let state = fleet.registers("pump-2");
    is_denied_with_the_three_facts(&state);
    let overridden = format!("default DPS permission overridden by policy `{POLICY}`");
    let reason = |tracking: &str| {
        let told = world.explained(tracking);
        told["decision"]["steps"][1]["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason(&Fleet::tracking(&state)).ends_with(&overridden));
    // Of anybody else who is refused, nothing of the kind is said.
    let writer = world.service_principal("writer");
    world.assign(&writer, "4fc6c259-987e-4a07-842e-c321cc9d413f", &hub).expect(201);
    let refused = world.puts_device(&writer, &hub, "by-hand").expect(403);
    assert_eq!(reason(&refused.tracking()), format!("denied by policy `{POLICY}`"));

    world.arm("DELETE", assigned.body["id"].as_str().unwrap(), &Value::Null).expect(200);
    assert_eq!(fleet.registers("pump-2")["status"], "assigned");
    // The default is a role, taken away as any other.
    holds_only(&fleet, "none");
    let state = fleet.registers("pump-3");
    assert_eq!((&state["status"], &state["errorCode"]), (&json!("failed"), &json!(401_003)));
}

/// How many devices a group brings.
const FLEET: usize = 50;
const OWN_KEY: [u8; 32] = [9; 32];

/// Enrolls one device by itself.
fn enroll_single(fleet: &Fleet, id: &str) {
    let body = json!({ "registrationId": id, "attestation": { "type": "symmetricKey",
        "symmetricKey": { "primaryKey": STANDARD.encode(OWN_KEY), "secondaryKey": STANDARD.encode([8; 32]) } } });
    fleet.call(&fleet.key(), "PUT", &format!("/enrollments/{id}"), &body).expect(200);
}

fn stops(kind: &str) -> Value {
    json!({ "if": { "allOf": [ { "field": "type", "equals": DEVICES },
        { "field": "request.enrollmentType", "equals": kind } ] }, "then": { "effect": "deny" } })
}

/// What the trace of a refused registration says of the field.
fn seen(fleet: &Fleet, state: &Value) -> Value {
    let told = fleet.world.explained(&Fleet::tracking(state));
    let step = &told["decision"]["steps"][1];
    assert_eq!((step["gate"].as_str(), step["verdict"].as_str()), (Some("policy"), Some("deny")));
    let conditions = step["findings"][0]["conditions"].as_array().unwrap();
    let is_it = |it: &&Value| it["expression"] == "request.enrollmentType";
    conditions.iter().find(is_it).unwrap()["actual"].clone()
}

/// S0-29: a policy that lets single registrations through stops a group of 50 and says why; the reverse; and
/// one that stops neither.
#[test]
fn a_policy_tells_single_registrations_from_those_of_a_group() {
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    for id in ["valve-1", "valve-2", "valve-3"] {
        enroll_single(&fleet, id);
    }
    world.define_policy(POLICY, &stops("group")).expect(201);
    world.assign_policy(POLICY, &hub).expect(201);
    assert_eq!(fleet.registers_with("valve-1", &OWN_KEY)["status"], "assigned");
    let mut state = Value::Null;
    for number in 0..FLEET {
        state = fleet.registers(&format!("pump-{number}"));
        is_denied_with_the_three_facts(&state);
    }
    assert_eq!(seen(&fleet, &state), "group");
    // Who writes a device by hand registers by no enrollment.
    let sas = world.policy_sas(&hub, "iothubowner");
    let body = json!({ "deviceId": "by-hand" });
    world.hub_with(&sas, "PUT", &hub, "/devices/by-hand", &body).expect(200);

    world.define_policy(POLICY, &stops("individual")).expect(201);
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    let state = fleet.registers_with("valve-2", &OWN_KEY);
    is_denied_with_the_three_facts(&state);
    assert_eq!(seen(&fleet, &state), "individual");

    // Bulk is permitted beside single, and nothing else is: each is an `allow` before the denial.
    let allow = |kind: &str| json!({ "if": { "field": "request.enrollmentType", "equals": kind }, "then": { "effect": "allow" } });
    let deny =
        json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } });
    let single_only = json!([allow("individual"), deny]);
    world.define_policy(POLICY, &single_only).expect(201);
    assert_eq!(fleet.registers_with("valve-2", &OWN_KEY)["status"], "assigned");
    is_denied_with_the_three_facts(&fleet.registers("pump-2"));
    let both = json!([allow("individual"), allow("group"), deny]);
    world.define_policy(POLICY, &both).expect(201);
    assert_eq!(fleet.registers_with("valve-3", &OWN_KEY)["status"], "assigned");
    for number in 0..FLEET {
        assert_eq!(fleet.registers(&format!("pump-{number}"))["status"], "assigned");
    }
    let body = json!({ "deviceId": "by-hand-2" });
    world.hub_with(&sas, "PUT", &hub, "/devices/by-hand-2", &body).expect(403);
}

/// S0-29: before anything is refused, a diagnosis knows which of the two kinds would be.
#[test]
fn a_diagnosis_asks_for_each_kind_of_enrollment_that_leads_to_the_hub() {
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    world.define_policy(POLICY, &stops("individual")).expect(201);
    world.assign_policy(POLICY, &hub).expect(201);
    let verdict = || {
        let question = json!({ "provisioningService": fleet.dps, "hub": hub });
        let told = world.arm("POST", "/decisions/diagnose", &question).expect(200).body;
        told["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(verdict(), "pass", "the one enrollment is a group");
    enroll_single(&fleet, "valve-1");
    assert_eq!(verdict(), "fail");
}

/// S0-41: a key holds no role, so that a policy that requires one shuts keys out.
#[test]
fn a_shared_access_key_holds_no_role() {
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    let sas = world.policy_sas(&hub, "iothubowner");
    let put = || world.hub_with(&sas, "PUT", &hub, "/devices/d1", &json!({ "deviceId": "d1" }));
    let rule = json!({ "if": { "field": "type", "equals": DEVICES }, "requiredRoles": ["Reader"],
        "then": { "effect": "deny" } });
    world.define_policy(POLICY, &rule).expect(201);
    put().expect(200);
    world.assign_policy(POLICY, &hub).expect(201);
    assert!(put().expect(403).text().contains("Missing role: Reader of iothubowner"));
}

/// Who is refused a new device: a service principal, a shared access key, the provisioning service.
fn refused(fleet: &Fleet, writer: &Identity, id: &str) -> [bool; 3] {
    let (world, hub) = (&fleet.world, fleet.world.hub());
    let sas = world.policy_sas(&hub, "iothubowner");
    let is_refused = |answer: &Answer| match answer.status {
        200 => false,
        403 => true,
        _ => panic!("{answer:?}"),
    };
    let by_key = world.hub_with(&sas, "PUT", &hub, &format!("/devices/{id}-key"), &json!({}));
    [
        is_refused(&world.puts_device(writer, &hub, &format!("{id}-principal"))),
        is_refused(&by_key),
        fleet.registers(&format!("{id}-registers"))["status"] == "failed",
    ]
}

/// S0-15: a condition on the type of device identities is about everybody's writes of them; twins, reads and
/// the hub itself go on.
#[test]
fn a_condition_on_the_type_of_devices_is_about_nothing_else() {
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    let writer = world.service_principal("writer");
    world.assign(&writer, "4fc6c259-987e-4a07-842e-c321cc9d413f", &hub).expect(201);
    assert_eq!(refused(&fleet, &writer, "before"), [false; 3]);
    let deny =
        json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } });
    world.define_policy(POLICY, &deny).expect(201);
    world.assign_policy(POLICY, &hub).expect(201);
    assert_eq!(refused(&fleet, &writer, "after"), [true; 3]);

    let calls = |method: &str, path: &str, body: &Value| {
        world.hub_as(&writer, method, &hub, path, body).expect(200);
    };
    calls("GET", "/devices/before-key", &Value::Null);
    calls("GET", "/twins/before-key", &Value::Null);
    calls("PATCH", "/twins/before-key", &json!({ "tags": { "line": "7" } }));
    world.arm("PATCH", &hub, &json!({ "tags": { "line": "7" } })).expect(200);
    // One that is there already is written, too.
    assert_eq!(refused(&fleet, &writer, "before")[..2], [true; 2]);
}

/// A rule on the kind of caller is about those of that kind who call. Groups never do; users and devices make no
/// call that policy judges.
#[test]
fn a_rule_on_the_kind_of_caller_tells_those_who_write_devices_apart() {
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    let writer = world.service_principal("writer");
    world.assign(&writer, "4fc6c259-987e-4a07-842e-c321cc9d413f", &hub).expect(201);
    for (number, (kind, expected)) in [
        ("ServicePrincipal", [true, false, false]),
        ("SasKey", [false, true, false]),
        ("managedidentity", [false, false, true]),
        ("User", [false; 3]),
        ("Group", [false; 3]),
        ("Device", [false; 3]),
    ]
    .into_iter()
    .enumerate()
    {
        let rule = json!({ "if": { "allOf": [ { "field": "type", "equals": DEVICES },
            { "field": "identity.principalType", "equals": kind } ] }, "then": { "effect": "deny" } });
        world.define_policy(POLICY, &rule).expect(201);
        if number == 0 {
            world.assign_policy(POLICY, &hub).expect(201);
        }
        assert_eq!(refused(&fleet, &writer, &format!("pump-{number}")), expected, "{kind}");
    }
}
