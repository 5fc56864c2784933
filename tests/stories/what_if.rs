//! What a change would do, from calls on record: compared with making it and calling again.

use super::roles::DATA_CONTRIBUTOR;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use testkit::{Identity, World};

pub fn what_if(world: &World, changes: &Value, scope: &str) -> Value {
    let body = json!({ "changes": changes, "scope": scope });
    world.arm("POST", "/decisions/whatIf", &body).expect(200).body
}

/// Who would go which way: `name way operation to`.
pub fn flips(told: &Value) -> Vec<String> {
    let each = |it: &Value| {
        let text = |path: &str| it.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();
        format!(
            "{} {} {} {}",
            text("/caller/name"),
            text("/caller/way"),
            text("/operation"),
            text("/to")
        )
    };
    let mut all: Vec<String> = told["flips"].as_array().unwrap().iter().map(each).collect();
    all.sort();
    all
}

/// Exit code and all that a subcommand said.
pub fn hubward(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(Path::new(env!("CARGO_BIN_EXE_hubward")))
        .args(arguments)
        .args(["--data", &world.setting("HUBWARD_DATA")])
        .env_clear()
        .env("COLUMNS", "250")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout) + &text(done.stderr))
}

fn by_key(world: &World, hub: &str, device: &str) -> u16 {
    let body = json!({ "deviceId": device });
    world.hub_by_key("iothubowner", "PUT", hub, &format!("/devices/{device}"), &[], &body).status
}

/// The role assignment of somebody at a place.
fn assignment_of(world: &World, who: &Identity, at: &str) -> String {
    let path = format!("{at}/providers/Microsoft.Authorization/roleAssignments");
    let all = world.arm("GET", &path, &Value::Null).expect(200).body;
    let of = |it: &&Value| it["properties"]["principalId"] == json!(who.object_id);
    all["value"].as_array().unwrap().iter().find(of).unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_change_would_do_is_what_it_does() {
    let world = World::new();
    let (hub, other) = (world.hub_named("hub1"), world.hub_named("hub10"));
    for it in [&hub, &other] {
        let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
        world.arm("PUT", it, &body).expect(201);
    }
    let writer = world.service_principal("writer");
    let reader = world.service_principal("reader");
    world.assign(&writer, DATA_CONTRIBUTOR, &hub).expect(201);
    world.assign(&writer, DATA_CONTRIBUTOR, &other).expect(201);
    let role = assignment_of(&world, &writer, &hub);
    world.puts_device(&writer, &hub, "d1").expect(200);
    world.puts_device(&writer, &other, "d1").expect(200);
    world.puts_device(&reader, &hub, "d2").expect(401);
    assert_eq!((by_key(&world, &hub, "d3"), by_key(&world, &other, "d3")), (200, 200));

    // A role taken away: the one who had it, at this hub and not at its namesake.
    let gone = json!([{ "id": role, "delete": true }]);
    let told = what_if(&world, &gone, &world.group());
    assert_eq!(flips(&told), ["writer entra PutDevice deny"], "{told}");
    assert_eq!(told["flips"][0]["scope"].as_str().map(str::to_lowercase), Some(hub.to_lowercase()));
    assert_eq!(told["flips"][0]["by"]["gate"], "access", "{told}");
    // Nothing was changed by asking, and what it says comes true.
    world.puts_device(&writer, &hub, "d4").expect(200);
    assert_eq!(what_if(&world, &gone, &hub)["flips"][0]["calls"], 2);
    world.arm("DELETE", &role, &Value::Null).expect(200);
    world.puts_device(&writer, &hub, "d5").expect(401);
    world.puts_device(&writer, &other, "d5").expect(200);

    // A role given: who was refused is let pass, from the refusals that are kept.
    let id = format!("{hub}/providers/Microsoft.Authorization/roleAssignments/{}", world.guid());
    let given = json!([{ "id": id, "properties": { "roleDefinitionId": "IoT Hub Data Contributor", "principalId": "reader" } }]);
    let told = what_if(&world, &given, &hub);
    assert_eq!(flips(&told), ["reader entra PutDevice allow"], "{told}");
    world.assign(&reader, DATA_CONTRIBUTOR, &hub).expect(201);
    world.puts_device(&reader, &hub, "d2").expect(200);

    // Keys switched off: who uses keys there, and nobody else.
    let off = json!([{ "id": hub, "properties": { "disableLocalAuth": true } }]);
    let told = what_if(&world, &off, &world.subscription());
    assert_eq!(flips(&told), ["iothubowner key PutDevice deny"], "{told}");
    assert_eq!(told["flips"][0]["by"]["gate"], "authentication", "{told}");
    let (code, said) = hubward(&world, &["what-if", "--local-auth", "off", "hub1"]);
    assert!(code == Some(1) && said.contains("iothubowner"), "{said}");
    world.arm("PATCH", &hub, &off[0]).expect(200);
    assert_eq!((by_key(&world, &hub, "d6"), by_key(&world, &other, "d6")), (401, 200));
    let (code, said) = hubward(&world, &["what-if", "--local-auth", "off", "hub1"]);
    assert!(code == Some(0) && said.contains("Nothing on record would change"), "{said}");
}

#[test]
fn a_policy_is_tried_on_what_was_called() {
    let world = World::new();
    let hub = world.hub();
    let writer = world.service_principal("writer");
    world.assign(&writer, DATA_CONTRIBUTOR, &hub).expect(201);
    world.puts_device(&writer, &hub, "pump-1").expect(200);
    let rule = json!({
        "if": { "allOf": [
            { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
            { "field": "name", "like": "pump-*" } ] },
        "then": { "effect": "deny" } });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rule.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let (code, said) = hubward(&world, &["what-if", "--policy", path, "--at", &hub]);
    assert!(code == Some(1) && said.contains("writer") && said.contains("what-if"), "{said}");
    world.puts_device(&writer, &hub, "pump-2").expect(200);
    world.define_policy("no-pumps", &rule).expect(201);
    world.assign_policy("no-pumps", &hub).expect(201);
    world.puts_device(&writer, &hub, "pump-3").expect(403);
    // The way back: an exemption lets pass again what was refused.
    let policy = format!("{hub}/providers/Microsoft.Authorization/policyAssignments/no-pumps");
    let id = format!("{hub}/providers/Microsoft.Authorization/policyExemptions/tried");
    let exempt = json!([{ "id": id, "properties": { "policyAssignmentId": policy, "exemptionCategory": "Waiver" } }]);
    let told = what_if(&world, &exempt, &hub);
    // What is on record from before the policy would be refused now, and is let pass again, too.
    assert_eq!(told["newly"]["refused"], 0, "{told}");
    assert!(flips(&told).iter().all(|it| it == "writer entra PutDevice allow"), "{told}");
    assert_eq!(told["flips"].as_array().unwrap().len(), 2, "{told}");
    world.arm("PUT", &id, &exempt[0]).expect(201);
    world.puts_device(&writer, &hub, "pump-3").expect(200);

    // Who may not read decisions there learns nothing, and what cannot be made is not tried.
    let reader = world.service_principal("reader");
    let body = json!({ "changes": exempt, "scope": hub });
    world.arm_as(&reader, "POST", "/decisions/whatIf", &body).expect(403);
    let bad = |change: Value, at: &str| {
        let body = json!({ "changes": [change], "scope": hub });
        let said = world.arm("POST", "/decisions/whatIf", &body).expect(400).body.to_string();
        assert!(said.contains(at), "{said}");
    };
    bad(json!({}), "changes[0].id");
    bad(json!({ "id": hub, "properties": { "location": "westus" } }), "properties.location");
    bad(json!({ "id": hub, "delete": true }), "changes[0].delete");
    bad(json!({ "id": format!("{policy}0"), "delete": true }), "changes[0].id");
    bad(json!({ "id": "/subscriptions/s/resourceGroups/rg" }), "changes[0].id");
    let nobody = json!({ "roleDefinitionId": "No such role", "principalId": "writer" });
    let id = format!("{hub}/providers/Microsoft.Authorization/roleAssignments/{}", world.guid());
    bad(json!({ "id": id, "properties": nobody }), "roleDefinitionId");
    let many: Vec<Value> = (0..21).map(|_| json!({ "id": hub, "properties": {} })).collect();
    let body = json!({ "changes": many, "scope": hub });
    world.arm("POST", "/decisions/whatIf", &body).expect(400);
}

/// What was used outlives the server, and a principal that is deleted is no user any more.
#[test]
fn records_outlive_a_restart_and_end_with_their_principal() {
    let mut world = World::new();
    let hub = world.hub();
    let writer = world.service_principal("writer");
    world.assign(&writer, DATA_CONTRIBUTOR, &hub).expect(201);
    world.puts_device(&writer, &hub, "d1").expect(200);
    let role = assignment_of(&world, &writer, &hub);
    world.restart();
    let gone = json!([{ "id": role, "delete": true }]);
    let told = what_if(&world, &gone, &hub);
    assert_eq!(flips(&told), ["writer entra PutDevice deny"], "{told}");
    let path = format!("/servicePrincipals/{}", writer.object_id);
    world.graph("DELETE", &path, &Value::Null).expect(204);
    let told = what_if(&world, &gone, &hub);
    assert_eq!(flips(&told), [""; 0], "{told}");
}
