//! Diagnostic settings on a hub and on its provisioning service: what each side writes down of a
//! registration, and that the two can be joined.

use super::registration::{Fleet, GROUP_KEY, is_denied_with_the_three_facts};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::{Answer, World};

const POLICY: &str = "custom-security-policy-v2";
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const GROUPS: &str = "Microsoft.Devices/ProvisioningServices/enrollmentGroups";

/// Sends logs of a resource to a workspace of that name.
pub fn send_logs(world: &World, resource: &str, workspace: &str, logs: &Value) -> Answer {
    let workspace =
        format!("{}/providers/Microsoft.OperationalInsights/workspaces/{workspace}", world.group());
    let path = format!("{resource}/providers/Microsoft.Insights/diagnosticSettings/to-workspace");
    world.arm("PUT", &path, &json!({ "properties": { "workspaceId": workspace, "logs": logs } }))
}

pub fn category(name: &str) -> Value {
    json!([{ "category": name, "enabled": true }])
}

/// What was written to a workspace, each with its properties read.
pub fn records(world: &World, workspace: &str) -> Vec<(Value, Value)> {
    world.flush_diagnostics();
    let folder = world.env().settings.data_dir.join("diagnostics");
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_its = |name: &str| name.rsplit_once('-').is_some_and(|(it, _)| it == workspace);
    files
        .map(|it| it.unwrap())
        .filter(|it| is_its(&it.file_name().to_string_lossy()))
        .flat_map(|it| {
            let text = std::fs::read_to_string(it.path()).unwrap();
            text.lines().map(|it| serde_json::from_str::<Value>(it).unwrap()).collect::<Vec<_>>()
        })
        .map(|it| (serde_json::from_str(it["properties"].as_str().unwrap()).unwrap(), it))
        .map(|(properties, record)| (record, properties))
        .collect()
}

fn named<'a>(records: &'a [(Value, Value)], operation: &str) -> Vec<&'a (Value, Value)> {
    records.iter().filter(|(it, _)| it["operationName"] == operation).collect()
}

/// A hub and its provisioning service with logs, and another of each that have logs, too.
fn fleet() -> Fleet {
    let fleet = Fleet::new();
    let world = &fleet.world;
    let (hub2, dps2) = (world.hub_named("hub2"), world.dps("dps2"));
    world
        .arm("PUT", &hub2, &json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } }))
        .expect(201);
    for (hub, workspace) in [(world.hub(), "hub-logs"), (hub2, "hub2-logs")] {
        send_logs(world, &hub, workspace, &category("DeviceIdentityOperations")).expect(200);
    }
    for (dps, workspace) in [(&fleet.dps, "dps-logs"), (&dps2, "dps2-logs")] {
        let all = json!([{ "categoryGroup": "allLogs", "enabled": true }]);
        send_logs(world, dps, workspace, &all).expect(200);
    }
    fleet
}

fn others_have_nothing(world: &World) {
    assert!(records(world, "hub2-logs").is_empty() && records(world, "dps2-logs").is_empty());
}

/// Each condition of a decision as `GET /decisions/{id}` tells it, in the form that logs have.
fn conditions(explained: &Value) -> Vec<Value> {
    let steps = explained["decision"]["steps"].as_array().unwrap();
    let findings = steps.iter().filter_map(|it| it["findings"].as_array()).flatten();
    let of = |it: &Value| {
        json!({ "path": it["path"], it["left"].as_str().unwrap(): it["expression"],
            "operator": it["operator"], "expected": it["expected"], "actual": it["actual"],
            "result": it["result"] })
    };
    findings.filter_map(|it| it["conditions"].as_array()).flatten().map(of).collect()
}

/// The chain of a record is the decision that its tracking id names: gate by gate, rule by rule.
fn agrees(world: &World, properties: &Value) {
    let explained = world.explained(properties["trackingId"].as_str().unwrap());
    let chain = properties["chain"].as_array().unwrap();
    let mut told: Vec<Value> = Vec::new();
    for step in explained["decision"]["steps"].as_array().unwrap() {
        match step["findings"].as_array().filter(|it| !it.is_empty()) {
            None => told.push(json!([step["gate"], step["verdict"], null])),
            Some(all) => {
                told.extend(all.iter().map(|it| json!([step["gate"], it["result"], it["id"]])));
            }
        }
    }
    let written: Vec<Value> =
        chain.iter().map(|it| json!([it["gate"], it["result"], it["id"]])).collect();
    assert_eq!(written, told);
    let gates = ["authentication", "policy", "access", "resource"];
    let mut order: Vec<&Value> = chain.iter().map(|it| &it["gate"]).collect();
    order.dedup();
    assert_eq!(order, gates);
    let written: Vec<Value> = chain
        .iter()
        .filter_map(|it| it["details"]["conditions"].as_array())
        .flatten()
        .cloned()
        .collect();
    assert!(!written.is_empty());
    assert_eq!(written, conditions(&explained));
}

/// S0-34, S0-35: one id joins the device's call, the hub's refusal of it and what the device was told; each
/// refusal holds its whole chain.
#[test]
fn a_refused_registration_is_in_both_logs_under_one_correlation_id() {
    let fleet = fleet();
    let world = &fleet.world;
    let hub = world.hub();
    let somebody = "00000000-0000-0000-0000-000000000001";
    let rules = json!([
        { "if": { "allOf": [
            { "field": "type", "equals": DEVICES },
            { "field": "identity.principalId", "equals": somebody } ] }, "then": { "effect": "allow" } },
        { "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } },
    ]);
    world.define_policy(POLICY, &rules).expect(201);
    world.assign_policy(POLICY, &hub).expect(201);
    let elsewhere = json!({ "if": { "allOf": [
        { "field": "type", "equals": DEVICES },
        { "field": "name", "like": "line-*" } ] }, "then": { "effect": "deny" } });
    world.define_policy("no-lines", &elsewhere).expect(201);
    world.assign_policy("no-lines", &world.group()).expect(201);
    let state = fleet.registers("pump-1");
    let tracking = Fleet::tracking(&state);

    let hub_side = records(world, "hub-logs");
    let [(record, properties)] = hub_side.as_slice() else { panic!("{hub_side:?}") };
    assert_eq!(
        ["category", "operationName", "level", "resultType"].map(|it| record[it].as_str().unwrap()),
        ["DeviceIdentityOperations", "create", "Error", "403000"]
    );
    assert_eq!(record["resourceId"], hub.to_uppercase());
    assert_eq!(
        (&properties["policy"], &properties["ruleIndex"], &properties["deviceId"]),
        (&json!(POLICY), &json!(1), &json!("pump-1"))
    );
    assert_eq!(properties["identity"]["objectId"], fleet.identity);
    assert_eq!(properties["trackingId"], tracking);
    let rules: Vec<&Value> = properties["chain"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["kind"] == "policyRule")
        .collect();
    let results: Vec<Value> =
        rules.iter().map(|it| json!([it["details"]["name"], it["result"]])).collect();
    assert_eq!(results, [json!(["no-lines", "noMatch"]), json!([POLICY, "deny"])]);
    let by_name = |rule: &Value, field: &str| -> Value {
        let all = rule["details"]["conditions"].as_array().unwrap();
        let found = all.iter().find(|it| it["field"] == field).unwrap();
        json!([found["operator"], found["expected"], found["actual"], found["result"]])
    };
    assert_eq!(by_name(rules[0], "name"), json!(["like", "line-*", "pump-1", false]));
    assert_eq!(by_name(rules[1], "type"), json!(["equals", DEVICES, DEVICES, true]));
    agrees(world, properties);

    // The other side, by the id that the hub's record has.
    let dps_side = records(world, "dps-logs");
    let joined: Vec<&(Value, Value)> =
        dps_side.iter().filter(|(it, _)| it["correlationId"] == record["correlationId"]).collect();
    let names: Vec<&str> =
        joined.iter().map(|(it, _)| it["operationName"].as_str().unwrap()).collect();
    assert_eq!(names, ["RegistrationAttempt", "Register"]);
    let (outcome, properties) = joined[0];
    assert_eq!(
        ["category", "level", "resultType", "resultSignature"]
            .map(|it| outcome[it].as_str().unwrap()),
        ["DeviceOperations", "Error", "Failure", "403"]
    );
    let lines: Vec<&str> = outcome["resultDescription"].as_str().unwrap().lines().collect();
    assert_eq!(
        lines[..3],
        [
            "HTTP 403: Forbidden",
            "Error: Device registration denied",
            "Policy: custom-security-policy-v2"
        ]
    );
    assert_eq!(
        (&properties["id"], &properties["type"], &properties["protocol"]),
        (&json!("pump-1"), &json!("Registration"), &json!("Http"))
    );
    assert_eq!(
        (&properties["trackingId"], &properties["errorCode"], &properties["hub"]),
        (&json!(tracking), &json!(403_000), &json!(hub))
    );
    let (call, properties) = joined[1];
    assert_eq!(
        ["resultType", "operationVersion", "callerIpAddress"].map(|it| call[it].as_str().unwrap()),
        ["Success", "October2021", "127.0.0.XXX"]
    );
    // The device sent no id of its own: the one that joins is that of its call.
    assert_eq!(properties["trackingId"], record["correlationId"]);
    assert_eq!(properties["identity"]["name"], "pump-1");

    // A refusal by the provisioning service itself holds its chain as the hub's does.
    let deny = json!({ "if": { "allOf": [
        { "field": "type", "equals": GROUPS },
        { "field": "name", "like": "line-*" } ] }, "then": { "effect": "deny" } });
    world.define_policy("no-groups", &deny).expect(201);
    world.assign_policy("no-groups", &fleet.dps).expect(201);
    let body = json!({ "enrollmentGroupId": "line-7", "attestation": { "type": "symmetricKey" } });
    let refused = fleet.call(&fleet.key(), "PUT", "/enrollmentGroups/line-7", &body).expect(403);
    let dps_side = records(world, "dps-logs");
    let (record, properties) = *named(&dps_side, "Upsert").last().unwrap();
    assert_eq!(
        ["category", "resultType", "resultSignature"].map(|it| record[it].as_str().unwrap()),
        ["ServiceOperations", "ClientError", "403"]
    );
    assert_eq!(
        (&properties["policy"], &properties["ruleIndex"], &properties["trackingId"]),
        (&json!("no-groups"), &json!(0), &json!(refused.tracking()))
    );
    agrees(world, properties);
    others_have_nothing(world);
}

#[test]
fn a_refusal_that_comes_again_and_again_is_recorded_under_an_id_that_can_be_asked_for() {
    let fleet = fleet();
    let world = &fleet.world;
    let deny =
        json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } });
    world.define_policy(POLICY, &deny).expect(201);
    world.assign_policy(POLICY, &world.hub()).expect(201);
    let answered: Vec<String> =
        (0..12).map(|_| Fleet::tracking(&fleet.registers("pump-1"))).collect();
    assert_eq!(answered[10], answered[11], "the last ones are only counted");
    for (side, operation) in [("hub-logs", "create"), ("dps-logs", "RegistrationAttempt")] {
        let all = records(world, side);
        let written: Vec<&str> = named(&all, operation)
            .into_iter()
            .map(|(_, it)| it["trackingId"].as_str().unwrap())
            .collect();
        assert_eq!(written, answered, "{side}");
    }
    assert!(world.explained(&answered[11])["decision"]["repeats"].as_u64() >= Some(1));
}

#[test]
fn a_registration_over_mqtt_is_recorded_as_one_over_https() {
    let fleet = fleet();
    let world = &fleet.world;
    let deny =
        json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } });
    world.define_policy(POLICY, &deny).expect(201);
    world.assign_policy(POLICY, &world.hub()).expect(201);
    let state = fleet.registers_over_mqtt("pump-1");
    is_denied_with_the_three_facts(&state);
    let dps_side = records(world, "dps-logs");
    let told: Vec<Value> = dps_side
        .iter()
        .map(|(it, more)| json!([it["operationName"], it["operationVersion"], more["protocol"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["Connect", "March2019", "Mqtt"]),
            json!(["RegistrationAttempt", null, "Mqtt"]),
            json!(["Register", "March2019", "Mqtt"]),
            json!(["GetRegistrationStatus", "March2019", "Mqtt"]),
        ]
    );
    let (outcome, properties) = &dps_side[1];
    assert_eq!(outcome["resultDescription"], state["errorMessage"]);
    let hub_side = records(world, "hub-logs");
    let [(record, refusal)] = hub_side.as_slice() else { panic!("{hub_side:?}") };
    assert_eq!(refusal["protocol"], "mqtt");
    assert_eq!(refusal["trackingId"], properties["trackingId"]);
    for (call, _) in &dps_side[1..3] {
        assert_eq!(call["correlationId"], record["correlationId"]);
    }
    others_have_nothing(world);
}

#[test]
fn a_devices_own_request_id_joins_both_sides() {
    let fleet = fleet();
    let world = &fleet.world;
    let sas = fleet.signature("pump-1", &fleet.derived("pump-1"));
    let path = format!("/{}/registrations/pump-1/register", fleet.id_scope);
    let id = "line 7, attempt 3";
    let headers = [("Authorization", sas.as_str()), ("x-ms-client-request-id", id)];
    world.dps_with(&headers, "PUT", &fleet.dps, &path, &json!({})).expect(202);
    let of = |workspace: &str| {
        let all = records(world, workspace).into_iter();
        all.filter(|(it, _)| it["correlationId"] == id).collect::<Vec<_>>()
    };
    let hub_side = of("hub-logs");
    let [(record, properties)] = hub_side.as_slice() else { panic!("{hub_side:?}") };
    assert_eq!((&record["level"], &record["resultType"]), (&json!("Information"), &json!("0")));
    assert_eq!(record["operationName"], "create");
    assert!(properties["decision"] == "allow" && properties.get("chain").is_none(), "{properties}");
    let dps_side = of("dps-logs");
    let names: Vec<&str> =
        dps_side.iter().map(|(it, _)| it["operationName"].as_str().unwrap()).collect();
    assert_eq!(names, ["RegistrationAttempt", "Register"]);
    let (outcome, of_outcome) = &dps_side[0];
    assert_eq!(
        (&outcome["resultType"], &of_outcome["errorCode"]),
        (&json!("Success"), &Value::Null)
    );
    assert_eq!(of_outcome["hub"], world.hub());
    assert_eq!(of_outcome["trackingId"], properties["trackingId"]);
    others_have_nothing(world);
}

#[test]
fn allowed_and_failed_calls_are_recorded_on_each_side_and_no_secret_is() {
    let fleet = fleet();
    let world = &fleet.world;
    let hub = world.hub();
    let owner = world.policy_sas(&hub, "iothubowner");
    let at_hub =
        |method: &str, path: &str, body: &Value| world.hub_with(&owner, method, &hub, path, body);
    let secret = STANDARD.encode([42; 32]);
    let device = json!({ "deviceId": "d1", "authentication": { "type": "sas", "symmetricKey": {
        "primaryKey": secret, "secondaryKey": secret } } });
    at_hub("PUT", "/devices/d1", &device).expect(200);
    at_hub("GET", "/devices/d1", &Value::Null).expect(200);
    at_hub("GET", "/devices/d10", &Value::Null).expect(404);
    at_hub("GET", "/devices", &Value::Null).expect(200);
    at_hub("DELETE", "/devices/d1", &Value::Null).expect(412);
    let short = json!({ "deviceId": "d2", "authentication": { "type": "sas", "symmetricKey": {
        "primaryKey": "c2hvcnQgc2VjcmV0", "secondaryKey": secret } } });
    at_hub("PUT", "/devices/d2", &short).expect(400);
    let hub_side = records(world, "hub-logs");
    let told: Vec<Value> = hub_side
        .iter()
        .map(|(it, more)| json!([it["operationName"], it["resultType"], more["deviceId"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["create", "0", "d1"]),
            json!(["get", "0", "d1"]),
            json!(["get", "404001", "d10"]),
            json!(["list", "0", null]),
            json!(["delete", "412001", "d1"]),
            json!(["create", "400004", "d2"]),
        ]
    );
    assert!(hub_side.iter().all(|(_, it)| it["identity"]["name"] == "iothubowner"));

    let sas = fleet.key();
    let keys = "/enrollmentGroups/pumps/attestationmechanism";
    fleet.call(&sas, "POST", keys, &Value::Null).expect(200);
    fleet.call(&sas, "GET", "/enrollments/none", &Value::Null).expect(404);
    let own = fleet.signature("pump-1", &fleet.derived("pump-1"));
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    let other = fleet.signature("pump-1", &[9; 32]);
    let path = format!("/{}/registrations/pump-1", fleet.id_scope);
    let refused = fleet.call(&other, "POST", &path, &json!({})).expect(401);
    fleet.call(&own, "POST", &path, &json!({})).expect(200);
    fleet.call(&sas, "DELETE", "/registrations/pump-1", &Value::Null).expect(204);
    let dps_side = records(world, "dps-logs");
    let told: Vec<Value> = dps_side
        .iter()
        .map(|(it, more)| {
            json!([
                it["category"],
                it["operationName"],
                it["resultType"],
                it["resultSignature"],
                more["type"],
                more["id"]
            ])
        })
        .collect();
    assert_eq!(
        told,
        [
            json!([
                "ServiceOperations",
                "GetAttestationMechanism",
                "Success",
                "",
                "EnrollmentGroup",
                "pumps"
            ]),
            json!([
                "ServiceOperations",
                "Get",
                "ClientError",
                "404",
                "IndividualEnrollment",
                "none"
            ]),
            json!([
                "DeviceOperations",
                "RegistrationAttempt",
                "Success",
                "",
                "Registration",
                "pump-1"
            ]),
            json!(["DeviceOperations", "Register", "Success", "", "Registration", "pump-1"]),
            json!([
                "DeviceOperations",
                "GetRegistrationStatus",
                "Success",
                "",
                "Registration",
                "pump-1"
            ]),
            json!([
                "DeviceOperations",
                "AttestationAttempt",
                "ClientError",
                "401",
                "Registration",
                "pump-1"
            ]),
            json!(["DeviceOperations", "GetRegistration", "Success", "", "Registration", "pump-1"]),
            json!(["ServiceOperations", "Delete", "Success", "", "Registration", "pump-1"]),
        ]
    );
    let (_, attempt) = named(&dps_side, "AttestationAttempt")[0];
    assert_eq!(attempt["trackingId"], refused.tracking());
    assert_eq!(
        (&attempt["gate"], &attempt["chain"][0]["result"]),
        (&json!("authentication"), &json!("deny"))
    );

    let all: String =
        hub_side.iter().chain(&dps_side).map(|(it, _)| it.to_string() + "\n").collect();
    let signature =
        |it: &str| it.split("sig=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    for hidden in [
        secret,
        "c2hvcnQgc2VjcmV0".to_owned(),
        STANDARD.encode(GROUP_KEY),
        STANDARD.encode(fleet.derived("pump-1")),
        STANDARD.encode(world.policy_key(&hub, "iothubowner")),
        signature(&owner),
        signature(&sas),
        signature(&own),
        signature(&other),
    ] {
        assert!(!all.contains(&hidden), "{hidden} is in the log");
    }
    others_have_nothing(world);
}

#[test]
fn a_setting_takes_the_categories_of_its_resources_type_and_no_other() {
    let fleet = fleet();
    let world = &fleet.world;
    let refused = |resource: &str, name: &str| {
        let answer = send_logs(world, resource, "any-logs", &category(name)).expect(400);
        assert!(answer.text().contains(name), "{answer:?}");
    };
    refused(&fleet.dps, "DeviceIdentityOperations");
    refused(&fleet.dps, "Gossip");
    refused(&world.hub(), "ServiceOperations");
    let path = format!("{}/providers/Microsoft.Insights/diagnosticSettingsCategories", fleet.dps);
    let listed = world.arm("GET", &path, &Value::Null).expect(200).body;
    let names: Vec<&str> =
        listed["value"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["DeviceOperations", "ServiceOperations", "AllMetrics"]);
    let nobody = fleet.dps.replace("dps-", "dps-no-");
    send_logs(world, &nobody, "any-logs", &category("DeviceOperations")).expect(404);
    let group = world.group();
    let answer = send_logs(world, &group, "any-logs", &category("DeviceOperations")).expect(400);
    assert!(answer.text().contains("Microsoft.Devices/provisioningServices"), "{answer:?}");

    // One category asked for, the other not written. A service that is gone leaves no setting behind.
    send_logs(world, &fleet.dps, "dps-logs", &category("ServiceOperations")).expect(200);
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    fleet.call(&fleet.key(), "GET", "/enrollmentGroups/pumps", &Value::Null).expect(200);
    let dps_side = records(world, "dps-logs");
    assert!(dps_side.iter().all(|(it, _)| it["category"] == "ServiceOperations"), "{dps_side:?}");
    assert_eq!(named(&dps_side, "Get").len(), 1);
    let dps2 = format!("{}/providers/Microsoft.Devices/provisioningServices/dps2", world.group());
    world.arm("DELETE", &dps2, &Value::Null).expect(200);
    world.dps("dps2");
    let path = format!("{dps2}/providers/Microsoft.Insights/diagnosticSettings");
    let left = world.arm("GET", &path, &Value::Null).expect(200).body;
    assert_eq!(left["value"], json!([]));
}
