//! What each section of a diagnosis finds: roles, links and enrollments, and no namesake's.

use super::diagnosis::{
    POLICY, REGISTRY_CONTRIBUTOR, asked, deny, diagnosed, held, identity, right, roles_of, verdicts,
};
use super::registration::Fleet;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::Identity;

const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";

/// Takes the service's roles away but for those named, and gives it those that it lacks.
fn holds_only(fleet: &Fleet, roles: &[&str]) {
    for (id, role) in held(fleet) {
        if !roles.iter().any(|it| role.ends_with(it)) {
            fleet.world.arm("DELETE", &id, &Value::Null).expect(200);
        }
    }
    for role in roles {
        if !held(fleet).iter().any(|(_, it)| it.ends_with(role)) {
            fleet.world.assign(&identity(fleet), role, &fleet.world.hub()).expect(201);
        }
    }
}

fn enrolled_with_twin(fleet: &Fleet) {
    let twin = json!({ "tags": { "plant": "7" }, "properties": { "desired": { "rpm": 900 } } });
    fleet.enroll("pumps", json!({ "initialTwin": twin }));
}

/// S0-12, S0-42, X-05: one role is not enough for a twin, both are, and so is the wide one, which makes the
/// narrow one needless, as the trace says, too; each right is shown with the role that it came by, and a refusal leaves no device.
#[test]
fn each_right_is_shown_with_the_role_that_it_came_by() {
    let fleet = Fleet::new();
    let hub = fleet.world.hub();
    holds_only(&fleet, &[REGISTRY_CONTRIBUTOR]);
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "pass", "pass"], "without a twin it is enough: {told}");
    assert_eq!(fleet.registers("plain")["status"], "assigned");

    enrolled_with_twin(&fleet);
    let refused = fleet.registers("with-twin");
    assert_eq!(refused["errorCode"], 401_003, "{refused}");
    let device = |name: &str| {
        let path = format!("/devices/{name}");
        fleet.world.hub_by_key("iothubowner", "GET", &hub, &path, &[], &Value::Null)
    };
    device("with-twin").expect(404);
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["fail", "pass", "pass"], "{told}");
    let registry = "IoT Hub Registry Contributor";
    assert_eq!(
        roles_of(&told),
        [
            right("devices/write", &[registry]),
            right("twins/write", &[]),
            right("devices/read", &[registry]),
        ]
    );
    let roles = &told["sections"][0];
    let says = roles["says"].as_str().unwrap();
    assert!(says.contains("twins/write") && !says.contains("devices/write"), "{says}");
    let commands: Vec<&str> = roles["fixes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["command"].as_str().unwrap())
        .collect();
    assert!(
        commands[0].contains("--role 'IoT Hub Twin Contributor'") && commands[0].contains(&hub),
        "{commands:?}"
    );
    assert!(commands[1].contains("--role 'IoT Hub Data Contributor'"), "{commands:?}");
    // The kept trace says the same of the refused call.
    let kept = fleet.world.explained(&Fleet::tracking(&refused)).to_string();
    assert!(
        kept.contains(
            "`IoT Hub Registry Contributor` grants `Microsoft.Devices/IotHubs/devices/write`"
        ),
        "{kept}"
    );

    holds_only(&fleet, &[REGISTRY_CONTRIBUTOR, DATA_CONTRIBUTOR]);
    assert_eq!(fleet.registers("with-twin")["status"], "assigned");
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "pass", "pass"], "{told}");
    let data = "IoT Hub Data Contributor";
    assert_eq!(roles_of(&told)[1], right("twins/write", &[data]));
    assert_eq!(roles_of(&told)[0].1.len(), 2);
    let notes = told["sections"][0]["checks"].to_string();
    assert!(
        notes.contains("`IoT Hub Registry Contributor` is not needed")
            && notes.contains("`IoT Hub Data Contributor`, which grants all"),
        "{notes}"
    );
    let asks = || {
        let question = json!({ "principal": identity(&fleet).object_id, "scope": hub,
            "action": "Microsoft.Devices/IotHubs/devices/write" });
        fleet.world.arm("POST", "/decisions/ask", &question).expect(200).body["decision"]
            .to_string()
    };
    let needless = format!("grants all that `{registry}` grants, which is not needed beside it");
    assert!(asks().contains(&needless), "{}", asks());
    holds_only(&fleet, &[DATA_CONTRIBUTOR]);
    assert!(!asks().contains("not needed"), "{}", asks());
    assert_eq!(fleet.registers("wide-alone")["status"], "assigned");
    let told = diagnosed(&fleet);
    assert_eq!(
        roles_of(&told),
        [
            right("devices/write", &[data]),
            right("twins/write", &[data]),
            right("devices/read", &[data]),
        ]
    );
    assert!(!told["sections"][0]["checks"].to_string().contains("not needed"), "{told}");
    device("with-twin").expect(200);
}

#[test]
fn what_is_wrong_with_a_link_is_told_with_what_mends_it() {
    let fleet = Fleet::new();
    let world = &fleet.world;
    let hub = world.hub();
    let patch = |id: &str, body: Value| world.arm("PATCH", id, &body);
    let section = |told: &Value| told["sections"][1].to_string();
    let commands = |told: &Value| told["sections"][1]["fixes"].to_string();

    patch(&fleet.dps, json!({ "properties": { "iotHubs": [] } })).expect(200);
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "fail", "pass"], "{told}");
    assert!(section(&told).contains("is not linked"), "{told}");
    assert!(commands(&told).contains("--add properties.iotHubs"), "{told}");
    let host = world.hub_host(&hub);
    let by_identity = json!({ "hostName": host, "authenticationType": "SystemAssigned" });
    patch(&fleet.dps, json!({ "properties": { "iotHubs": [by_identity] } })).expect(200);
    assert_eq!(verdicts(&diagnosed(&fleet)), ["pass", "pass", "pass"]);

    // Without an identity the link by it cannot stay; what can be kept, can be diagnosed.
    let off = json!({ "identity": { "type": "None" } });
    patch(&fleet.dps, off.clone()).expect(409);
    patch(&fleet.dps, json!({ "identity": { "type": "None" }, "properties": { "iotHubs": [] } }))
        .expect(200);
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["fail", "fail", "pass"], "{told}");
    assert!(told["caller"].get("objectId").is_none(), "{told}");
    let says = told["sections"][0]["says"].as_str().unwrap();
    assert!(says.contains("once it has an identity"), "{says}");
    assert!(commands(&told).contains("--set identity.type=SystemAssigned --add"), "{told}");

    // By key: roles do not count, and the key's policy does.
    let key = STANDARD.encode(world.policy_key(&hub, "registryReadWrite"));
    let link = |policy: &str, key: &str| {
        let string = format!("HostName={host};SharedAccessKeyName={policy};SharedAccessKey={key}");
        let link = json!({ "connectionString": string, "authenticationType": "KeyBased" });
        patch(&fleet.dps, json!({ "properties": { "iotHubs": [link] } })).expect(200);
        diagnosed(&fleet)
    };
    let told = link("registryReadWrite", &key);
    assert_eq!(verdicts(&told), ["pass", "pass", "pass"], "{told}");
    assert!(told["sections"][0]["says"].as_str().unwrap().contains("roles do not count"), "{told}");
    assert!(!told.to_string().contains(&key), "{told}");
    let told = link("registryReadWrite", &STANDARD.encode([3; 32]));
    assert_eq!(verdicts(&told), ["pass", "fail", "pass"], "{told}");
    assert!(section(&told).contains("renewed"), "{told}");
    assert!(commands(&told).contains("linked-hub delete"), "{told}");
    let told = link("registryRead", &STANDARD.encode(world.policy_key(&hub, "registryRead")));
    assert_eq!(verdicts(&told), ["pass", "fail", "pass"], "{told}");
    assert!(section(&told).contains("registrations take RegistryWrite"), "{told}");
    assert_eq!(fleet.registers("pump-2")["errorCode"], 401_003);
    assert_eq!(diagnosed(&fleet)["onset"]["refusals"], 1);
    // Over MQTT no request names the service.
    assert_eq!(fleet.registers_over_mqtt("pump-3")["errorCode"], 401_003);
    assert_eq!(diagnosed(&fleet)["onset"]["refusals"], 2);
    let told = link("no-such-policy", &key);
    assert!(section(&told).contains("no shared access policy `no-such-policy`"), "{told}");
    link("registryReadWrite", &key);
    patch(&hub, json!({ "properties": { "disableLocalAuth": true } })).expect(200);
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "fail", "pass"], "{told}");
    assert!(section(&told).contains("keys are switched off"), "{told}");
    assert!(commands(&told).contains("authenticationType=SystemAssigned"), "{told}");
    assert!(commands(&told).contains("disableLocalAuth=false"), "{told}");
}

#[test]
fn enrollments_that_lead_elsewhere_or_nowhere_are_told() {
    let fleet = Fleet::new();
    let disabled = json!({ "provisioningStatus": "disabled" });
    for name in ["pumps", "fleet"] {
        fleet.enroll(name, disabled.clone());
    }
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "fail", "pass"], "{told}");
    let section = told["sections"][1].to_string();
    assert!(
        section.contains("no enabled enrollment leads") && section.contains("2 disabled"),
        "{section}"
    );
    fleet.enroll("pumps", json!({}));
    fleet.enroll("stray", json!({ "allocationPolicy": "static", "iotHubs": ["hub10.example"] }));
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "pass", "pass"], "{told}");
    let section = told["sections"][1].to_string();
    assert!(section.contains("`stray` names hub10.example"), "{section}");
    assert!(section.contains("1 enabled enrollment leads"), "{section}");
}

#[test]
fn a_namesake_is_another() {
    let fleet = Fleet::new();
    let world = &fleet.world;
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
    let (hub1, hub10) = (world.hub_named("plant1"), world.hub_named("plant10"));
    for hub in [&hub1, &hub10] {
        world.arm("PUT", hub, &body).expect(201);
    }
    let (dps1, dps10) = (world.dps("line1"), world.dps("line10"));
    let linked = |dps: &str, hub: &str| {
        let link =
            json!({ "hostName": world.hub_host(hub), "authenticationType": "SystemAssigned" });
        let body = json!({ "identity": { "type": "SystemAssigned" }, "properties": { "iotHubs": [link] } });
        let shown = world.arm("PATCH", dps, &body).expect(200).body;
        Identity {
            object_id: shown["identity"]["principalId"].as_str().unwrap().to_owned(),
            ..identity(&fleet)
        }
    };
    let first = linked(&dps1, &hub1);
    linked(&dps10, &hub10);
    world.assign(&first, REGISTRY_CONTRIBUTOR, &hub10).expect(201);
    world.define_policy(POLICY, &deny()).expect(201);
    world.assign_policy(POLICY, &hub10).expect(201);
    // The role lies at the one hub, the policy at it, too; neither counts at the other.
    let told = asked(world, &dps1, &hub1).expect(200).body;
    assert_eq!(verdicts(&told), ["fail", "fail", "pass"], "{told}");
    let near = told["sections"][0]["findings"][0]["reason"].as_str().unwrap();
    assert!(near.contains("plant10") && near.contains("does not contain"), "{near}");
    let told = asked(world, &dps10, &hub10).expect(200).body;
    assert_eq!(verdicts(&told), ["fail", "fail", "fail"], "{told}");
    let told = asked(world, &dps1, &hub10).expect(200).body;
    assert_eq!(verdicts(&told), ["pass", "fail", "fail"], "{told}");
    assert!(told["sections"][1].to_string().contains("linked: `plant1`"), "{told}");
}
