//! What policies can ask of a registration: the roles of the service that writes the device.

use super::registration::{Fleet, is_denied_with_the_three_facts};
use serde_json::{Value, json};

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
    let identity = testkit::Identity {
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

/// S0-41: a key holds no role, so that a policy that requires one shuts keys out.
#[test]
fn a_shared_access_key_holds_no_role() {
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    let origin = world.hub_origin(&hub);
    let sas = world.sas(&hub, "iothubowner", origin.trim_start_matches("https://"));
    let put = || world.hub_with(&sas, "PUT", &hub, "/devices/d1", &json!({ "deviceId": "d1" }));
    let rule = json!({ "if": { "field": "type", "equals": DEVICES }, "requiredRoles": ["Reader"],
        "then": { "effect": "deny" } });
    world.define_policy(POLICY, &rule).expect(201);
    put().expect(200);
    world.assign_policy(POLICY, &hub).expect(201);
    assert!(put().expect(403).text().contains("Missing role: Reader of iothubowner"));
}
