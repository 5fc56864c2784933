//! Questions about policies that nobody has written: answered like those about policies that hold, and written nowhere.

use super::roles::{DATA_CONTRIBUTOR, OWNER};
use super::what_if::hubward;
use serde_json::{Value, json};
use testkit::World;

const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const WRITE: &str = "Microsoft.Devices/IotHubs/devices/write";

fn deny() -> Value {
    json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } })
}

/// A definition of the subscription, and its assignment at a place.
fn changes(world: &World, at: &str, rules: &Value) -> Value {
    let definition = format!(
        "{}/providers/Microsoft.Authorization/policyDefinitions/draft",
        world.subscription()
    );
    let assignment = format!("{at}/providers/Microsoft.Authorization/policyAssignments/draft");
    json!([
        { "id": definition, "properties": { "policyRule": rules } },
        { "id": assignment, "properties": { "policyDefinitionId": definition } },
    ])
}

/// S0-18, S0-21: what the bench of the console asks. A draft refuses in the answer and nowhere else.
#[test]
fn a_draft_is_judged_and_not_written() {
    let world = World::new();
    let (hub, other) = (world.hub_named("hub1"), world.hub_named("hub10"));
    let who = world.service_principal("writer");
    for at in [&hub, &other] {
        let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
        world.arm("PUT", at, &body).expect(201);
        world.assign(&who, DATA_CONTRIBUTOR, at).expect(201);
    }
    let ask = |scope: &str, rules: &Value| {
        let body = json!({ "principal": "writer", "action": WRITE, "scope": scope, "objectName": "d1",
            "changes": changes(&world, &hub, rules) });
        world.arm("POST", "/decisions/ask", &body)
    };
    let told = ask(&hub, &deny()).expect(200).body;
    assert_eq!(told["decision"]["outcome"]["verdict"], "deny");
    assert_eq!(told["decision"]["outcome"]["gate"], "policy");
    assert_eq!(told["before"], json!({ "verdict": "allow", "gate": null }));
    assert_eq!(told["fixes"], json!([]));
    assert_eq!(told["draft"]["warnings"][0]["code"], "StopsProvisioning");
    let rehearsed = told["draft"]["rehearsed"].as_array().unwrap();
    assert_eq!(rehearsed.len(), 8);
    assert!(rehearsed.iter().all(|it| it["stranger"]["rule"] == json!(0)), "{rehearsed:?}");
    // Its namesake's neighbour is not met, and nothing was written.
    let beside = ask(&other, &deny()).expect(200).body;
    assert_eq!(beside["decision"]["outcome"]["verdict"], "allow");
    let definition = changes(&world, &hub, &deny())[0]["id"].as_str().unwrap().to_owned();
    world.arm("GET", &definition, &Value::Null).expect(404);
    let device = json!({ "deviceId": "d1" });
    world.hub_as(&who, "PUT", &hub, "/devices/d1", &device).expect(200);

    let faulty = json!({ "if": { "allOf": [{ "field": "type", "equals": DEVICES }, { "field": "nonsense", "equals": 1 }] },
        "then": { "effect": "deny" } });
    let refused = ask(&hub, &faulty).expect(400).body;
    let target = refused["error"]["target"].as_str().unwrap();
    assert!(target.starts_with("changes[0].properties.policyRule.if.allOf[1]"), "{target}");
    // Without a call the draft alone is looked over.
    let alone = json!({ "scope": hub, "changes": changes(&world, &hub, &deny()) });
    let told = world.arm("POST", "/decisions/ask", &alone).expect(200).body;
    assert!(
        told.get("decision").is_none() && !told["draft"]["warnings"].as_array().unwrap().is_empty()
    );
}

/// A draft that would make its author a reader shows nothing that only readers see.
#[test]
fn nobody_reads_more_by_a_draft() {
    let world = World::new();
    let hub = world.hub();
    let asker = world.service_principal("asker");
    let (role, subscription) = (world.guid(), world.subscription());
    let path = format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}");
    let body = json!({ "properties": { "roleName": "Asker", "assignableScopes": [subscription],
        "permissions": [{ "actions": ["Hubward.Decisions/decisions/read"] }] } });
    world.arm("PUT", &path, &body).expect(201);
    world.assign(&asker, &role, &hub).expect(201);
    world.define_policy("secret", &deny()).expect(201);
    world.assign_policy("secret", &hub).expect(201);
    let mine = format!("{hub}/providers/Microsoft.Authorization/roleAssignments/{}", world.guid());
    let mut body = json!({ "principal": "asker", "action": WRITE, "scope": hub });
    for step in ["as it is", "with the draft"] {
        let told = world.arm_as(&asker, "POST", "/decisions/ask", &body).expect(200);
        assert_eq!(told.body["redacted"], true, "{step}");
        assert!(!told.text().contains("equals"), "{step}: {told:?}");
        body["changes"] = json!([{ "id": mine, "properties": {
            "roleDefinitionId": OWNER, "principalId": asker.object_id } }]);
    }
}

#[test]
fn a_policy_in_a_file_is_asked_about_on_the_command_line() {
    let world = World::new();
    let hub = world.hub();
    let who = world.service_principal("writer");
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("draft.json");
    std::fs::write(&file, deny().to_string()).unwrap();
    let asked = ["explain", "--principal", "writer", "--action", WRITE, "--scope", &hub];
    assert_eq!(hubward(&world, &asked).0, Some(0));
    let with_draft = [&asked[..], &["--policy", file.to_str().unwrap()]].concat();
    let (code, said) = hubward(&world, &with_draft);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("rule 0"), "{said}");
}
