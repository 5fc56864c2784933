//! A provisioning service that signs in at its hub as a user-assigned identity: judged by the roles of that identity,
//! and diagnosed where it is gone.

use super::diagnosis::{diagnosed, verdicts};
use super::managed_identities::{identity, with_type};
use super::registration::Fleet;
use serde_json::{Value, json};
use testkit::{Answer, Identity};

const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

fn link(fleet: &Fleet, id: &str) -> Value {
    json!({ "hostName": fleet.world.hub_host(&fleet.world.hub()),
        "authenticationType": "userAssigned", "selectedUserAssignedIdentityResourceId": id })
}

fn patches(fleet: &Fleet, body: &Value) -> Answer {
    fleet.world.arm("PATCH", &fleet.dps, body)
}

/// A fleet whose service has this identity attached besides its own, and is linked as it.
fn linked(fleet: &Fleet, name: &str) -> (String, Identity) {
    let (id, who) = identity(&fleet.world, name);
    patches(fleet, &with_type("SystemAssigned, UserAssigned", &[&id])).expect(200);
    let body = json!({ "properties": { "iotHubs": [link(fleet, &id)] } });
    let shown = patches(fleet, &body).expect(200).body;
    let link = &shown["properties"]["iotHubs"][0];
    assert_eq!(link["authenticationType"], "UserAssigned");
    assert_eq!(link["selectedUserAssignedIdentityResourceId"], id);
    (id, who)
}

/// The first section that is not well: what it says, and the first command that helps.
fn advice(fleet: &Fleet, section: usize) -> (String, String) {
    let told = diagnosed(fleet);
    let section = &told["sections"][section];
    assert_eq!(section["verdict"], "fail", "{told}");
    let command = section["fixes"][0]["command"].as_str().unwrap_or("").to_owned();
    (section["says"].as_str().unwrap().to_owned(), command)
}

/// a link by a user-assigned identity counts by what that identity may do, not the service's own, and the
/// diagnosis says which it is.
#[test]
fn a_registration_is_made_as_the_identity_that_the_link_names() {
    let fleet = Fleet::new();
    let world = &fleet.world;
    let hub = world.hub();
    let (id, who) = linked(&fleet, "plant-id");

    // The service's own identity may all that it takes; the one of the link may nothing yet.
    let state = fleet.registers("pump-1");
    assert_eq!(
        (state["status"].as_str(), state["errorCode"].as_u64()),
        (Some("failed"), Some(401_003))
    );
    let told = world.explained(&Fleet::tracking(&state));
    assert_eq!(told["decision"]["outcome"]["gate"], "access");
    assert_eq!(told["decision"]["call"]["caller"]["objectId"], who.object_id.as_str());
    let (says, command) = advice(&fleet, 0);
    assert!(says.contains("`plant-id` lacks"), "{says}");
    assert!(command.contains(&who.object_id), "{command}");
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "pass", "pass"], "{told}");
    assert!(told["sections"][1].to_string().contains("`plant-id` (`UserAssigned`)"), "{told}");

    // Rules know it as a provisioning service at work, and by its own id.
    let devices = json!({ "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" });
    let is = |field: &str, value: &str| json!({ "if": { "allOf": [devices, { "field": field, "equals": value }] }, "then": { "effect": "deny" } });
    for (name, rule) in [
        ("by-service", is("identity.serviceName", "Device Provisioning Service")),
        ("by-resource", is("identity.resourceId", &id)),
    ] {
        world.define_policy(name, &rule).expect(201);
        world.assign_policy(name, &hub).expect(201);
        assert_eq!(fleet.registers(&format!("new-{name}"))["errorCode"], 403_000, "{name}");
        let path = format!("{hub}/providers/Microsoft.Authorization/policyAssignments/{name}");
        world.arm("DELETE", &path, &Value::Null).expect(200);
    }
    assert_eq!(fleet.registers("pump-2")["status"], "assigned");

    // In use it stays; whoever may not assign it cannot give it to a link.
    let refused = patches(&fleet, &with_type("SystemAssigned", &[])).expect(409);
    assert_eq!(refused.code(), "ManagedIdentityInUse");
    assert!(refused.text().contains("the link to the hub"), "{refused:?}");
    let writer = world.service_principal("writer");
    world.assign(&writer, CONTRIBUTOR, &fleet.dps).expect(201);
    for kind in ["UserAssigned", "userassigned"] {
        let mut link = link(&fleet, &id);
        link["AuthenticationType"] = json!(kind);
        link.as_object_mut().unwrap().remove("authenticationType");
        let body = json!({ "properties": { "iotHubs": [link] } });
        let refused = world.arm_as(&writer, "PATCH", &fleet.dps, &body).expect(403);
        assert_eq!(refused.code(), "LinkedAuthorizationFailed");
    }
    let unnamed =
        json!({ "hostName": world.hub_host(&hub), "authenticationType": "SystemAssigned" });
    let body = json!({ "properties": { "iotHubs": [unnamed] } });
    world.arm_as(&writer, "PATCH", &fleet.dps, &body).expect(200);
    patches(&fleet, &with_type("SystemAssigned", &[])).expect(200);
    let refused = patches(&fleet, &json!({ "properties": { "iotHubs": [link(&fleet, &id)] } }));
    assert!(refused.expect(409).text().contains("plant-id"));
    let mut nobody = link(&fleet, "plant-id");
    patches(&fleet, &json!({ "properties": { "iotHubs": [nobody] } })).expect(400);
    nobody = json!({ "hostName": world.hub_host(&hub), "authenticationType": "UserAssigned" });
    patches(&fleet, &json!({ "properties": { "iotHubs": [nobody] } })).expect(400);
}

#[test]
fn an_identity_that_was_deleted_stops_registrations_until_it_is_attached_anew() {
    let fleet = Fleet::new();
    let world = &fleet.world;
    let hub = world.hub();
    let (id, who) = linked(&fleet, "plant-id");
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    world.arm("DELETE", &id, &Value::Null).expect(200);
    let state = fleet.registers("pump-2");
    assert_eq!(
        (state["status"].as_str(), state["errorCode"].as_u64()),
        (Some("failed"), Some(401_003))
    );
    let told = world.explained(&Fleet::tracking(&state));
    assert_eq!(told["decision"]["outcome"]["gate"], "authentication", "{told}");
    let (says, command) = advice(&fleet, 1);
    assert!(says.contains("`plant-id` was deleted"), "{says}");
    assert!(command.starts_with("az identity create --name plant-id"), "{command}");
    assert!(command.contains("az resource update") && command.contains(&id), "{command}");

    // Somebody makes one of the same name: it is another, and nobody acts as it unasked.
    let (_, anew) = identity(world, "plant-id");
    world.assign(&anew, DATA_CONTRIBUTOR, &hub).expect(201);
    assert_eq!(fleet.registers("pump-2")["status"], "failed");
    let (says, command) = advice(&fleet, 1);
    assert!(says.contains("was deleted and made again"), "{says}");
    assert!(command.starts_with("az resource update"), "{command}");
    let told = diagnosed(&fleet);
    assert_eq!(
        told["sections"][1]["fixes"][0]["then"], "registrations would pass every gate",
        "{told}"
    );
    // What that command sends: the whole service, with the identity named again.
    let whole = world.arm("GET", &fleet.dps, &Value::Null).expect(200).body;
    world.arm("PUT", &fleet.dps, &whole).expect(200);
    assert_eq!(fleet.registers("pump-2")["status"], "assigned");
    assert_eq!(verdicts(&diagnosed(&fleet)), ["pass", "pass", "pass"]);
}
