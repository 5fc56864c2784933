//! Roles, groups, hubs and their keys, as ARM has them.

use serde_json::{Value, json};
use testkit::World;

const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

fn hub_body() -> Value {
    json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } })
}

/// S2-58: Reader opens the resource and not its keys.
#[test]
fn a_reader_reads_the_hub_and_not_its_keys() {
    let world = World::new();
    let hub = world.hub();
    let reader = world.service_principal("reader");
    world.arm_as(&reader, "GET", &hub, &Value::Null).expect(403);
    world.assign(&reader, READER, &hub).expect(201);
    let shown = world.arm_as(&reader, "GET", &hub, &Value::Null).expect(200);
    assert!(!shown.text().contains("primaryKey"), "{shown:?}");
    let refused =
        world.arm_as(&reader, "POST", &format!("{hub}/listkeys"), &Value::Null).expect(403);
    assert_eq!(refused.code(), "AuthorizationFailed");
    assert!(refused.text().contains("Microsoft.Devices/IotHubs/listkeys/action"), "{refused:?}");
    world.arm_as(&reader, "PUT", &hub, &shown.body).expect(403);
}

#[test]
fn who_may_not_assign_roles_cannot_raise_itself() {
    let world = World::new();
    let climber = world.service_principal("climber");
    world.assign(&climber, CONTRIBUTOR, &world.group()).expect(201);
    let body = json!({ "properties": {
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{OWNER}"),
        "principalId": climber.object_id } });
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/{}",
        world.group(),
        world.guid()
    );
    let refused = world.arm_as(&climber, "PUT", &path, &body).expect(403);
    assert_eq!(refused.code(), "AuthorizationFailed");

    // Writing a role is refused unless it is allowed at every scope where the role could be assigned.
    let role_id = world.guid();
    let role = json!({ "properties": { "roleName": "Role writer", "assignableScopes": [world.group()],
        "permissions": [{ "actions": ["Microsoft.Authorization/roleDefinitions/*"] }] } });
    let at = |scope: &str, id: &str| {
        format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{id}")
    };
    world.arm("PUT", &at(&world.group(), &role_id), &role).expect(201);
    world.assign(&climber, &role_id, &world.group()).expect(201);
    let mut wider = role.clone();
    wider["properties"]["assignableScopes"] = json!([world.group(), world.subscription()]);
    wider["properties"]["permissions"] = json!([{ "actions": ["*"] }]);
    let refused = world.arm_as(&climber, "PUT", &at(&world.group(), &role_id), &wider).expect(403);
    assert_eq!(refused.code(), "LinkedAuthorizationFailed");
    assert!(refused.text().contains("linked scope"), "{refused:?}");
}

/// S2-21: a device is no scope for a role, and the refusal says so.
#[test]
fn role_assignments_are_unique_immutable_and_bound_to_what_exists() {
    let world = World::new();
    let hub = world.hub();
    let who = world.service_principal("somebody");
    world.assign(&who, READER, &hub).expect(201);
    assert_eq!(world.assign(&who, READER, &hub).expect(409).code(), "RoleAssignmentExists");
    let put = |scope: &str, name: &str, role: &str, principal: &str| {
        let body = json!({ "properties": { "principalId": principal,
            "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}") } });
        world.arm(
            "PUT",
            &format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"),
            &body,
        )
    };
    let name = world.guid();
    put(&hub, &name, CONTRIBUTOR, &who.object_id).expect(201);
    put(&hub, &name, CONTRIBUTOR, &who.object_id).expect(200);
    assert_eq!(
        put(&hub, &name, OWNER, &who.object_id).expect(400).code(),
        "RoleAssignmentUpdateNotPermitted"
    );
    assert_eq!(
        put(&hub, &world.guid(), &world.guid(), &who.object_id).expect(400).code(),
        "RoleDefinitionDoesNotExist"
    );
    assert_eq!(
        put(&hub, &world.guid(), READER, &world.guid()).expect(400).code(),
        "PrincipalNotFound"
    );
    put(&world.hub_named("no-such-hub"), &world.guid(), READER, &who.object_id).expect(404);
    let device = format!("{hub}/devices/device-1");
    let refused = put(&device, &world.guid(), READER, &who.object_id).expect(400);
    assert!(refused.text().contains("narrowest scope"), "{refused:?}");
    put(&hub, "not-a-guid", READER, &who.object_id).expect(400);
}

#[test]
fn a_revoked_role_opens_nothing_from_the_next_request_on() {
    let world = World::new();
    let hub = world.hub();
    let who = world.service_principal("leaver");
    let assignment = world.assign(&who, READER, &hub).expect(201).body;
    world.arm_as(&who, "GET", &hub, &Value::Null).expect(200);
    world.arm("DELETE", assignment["id"].as_str().unwrap(), &Value::Null).expect(200);
    world.arm_as(&who, "GET", &hub, &Value::Null).expect(403);
    world.arm("DELETE", assignment["id"].as_str().unwrap(), &Value::Null).expect(204);
}

#[test]
fn the_last_owner_cannot_be_taken_away() {
    let world = World::new();
    // While there are two, one can go.
    world.leave_one_owner();
    let path = "/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()";
    let list = world.arm("GET", path, &Value::Null).expect(200).body;
    assert_eq!(list["value"].as_array().map(Vec::len), Some(1));
    let first = list["value"][0]["id"].as_str().unwrap();
    assert_eq!(world.arm("DELETE", first, &Value::Null).expect(409).code(), "LastOwner");
}

#[test]
fn a_deleted_hub_takes_its_devices_along_and_its_name_is_free_again() {
    let mut world = World::new();
    let hub = world.hub_named("short-lived");
    let made = world.arm("PUT", &hub, &hub_body()).expect(201).body;
    assert_eq!(made["properties"]["provisioningState"], "Succeeded");
    let sas = world.policy_sas(&hub, "iothubowner");
    world.hub_with(&sas, "PUT", &hub, "/devices/d1", &json!({})).expect(200);
    world.arm("DELETE", &hub, &Value::Null).expect(200);
    world.arm("GET", &hub, &Value::Null).expect(404);
    world.restart();
    world.arm("GET", &hub, &Value::Null).expect(404);
    world.arm("PUT", &hub, &hub_body()).expect(201);
    world.arm("DELETE", &world.hub_named("never-was"), &Value::Null).expect(204);
    let sas = world.policy_sas(&hub, "iothubowner");
    assert_eq!(
        world.hub_with(&sas, "GET", &hub, "/devices/d1", &Value::Null).expect(404).code(),
        "DeviceNotFound"
    );
}

#[test]
fn a_deleted_group_takes_everything_in_it_along() {
    let world = World::new();
    let group = format!("{}/resourceGroups/rg1", world.subscription());
    let namesake = format!("{}/resourceGroups/rg10", world.subscription());
    for it in [&group, &namesake] {
        world.arm("PUT", it, &json!({ "location": "westus" })).expect(201);
        world
            .arm(
                "PUT",
                &format!("{it}/providers/Microsoft.Devices/IotHubs/hub-in-{}", &it[it.len() - 2..]),
                &hub_body(),
            )
            .expect(201);
    }
    world.arm("HEAD", &group, &Value::Null).expect(204);
    world.arm("DELETE", &group, &Value::Null).expect(200);
    world.arm("HEAD", &group, &Value::Null).expect(404);
    world
        .arm("GET", &format!("{group}/providers/Microsoft.Devices/IotHubs/hub-in-g1"), &Value::Null)
        .expect(404);
    world
        .arm(
            "GET",
            &format!("{namesake}/providers/Microsoft.Devices/IotHubs/hub-in-10"),
            &Value::Null,
        )
        .expect(200);
}

#[test]
fn stale_writes_of_a_hub_are_refused() {
    let world = World::new();
    let hub = world.hub();
    let shown = world.arm("GET", &hub, &Value::Null).expect(200).body;
    let token = format!("Bearer {}", world.token(&world.admin(), "https://management.azure.com"));
    let url = format!("{}{hub}?api-version=2023-06-30", world.setting("HUBWARD_ARM"));
    let put = |tag: &str, body: &Value| {
        let headers = [
            ("Authorization", token.as_str()),
            ("If-Match", tag),
            ("Content-Type", "application/json"),
        ];
        world.wire().send("PUT", &url, &headers, body.to_string().as_bytes())
    };
    let tag = shown["etag"].as_str().unwrap();
    let mut changed = shown.clone();
    changed["tags"] = json!({ "team": "plant" });
    put(tag, &changed).expect(200);
    put(tag, &changed).expect(412);
    assert_eq!(world.arm("GET", &hub, &Value::Null).body["tags"]["team"], "plant");
    let patched = world.arm("PATCH", &hub, &json!({ "tags": { "line": "7" } })).expect(200).body;
    assert_eq!(patched["tags"], json!({ "team": "plant", "line": "7" }));
}

/// S0-01: a hub's policies are updated in place, every version with author and time.
#[test]
fn policies_of_a_hub_are_listed_with_their_versions() {
    let world = World::new();
    let hub = world.hub();
    let rule = |effect: &str| json!({ "if": { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" }, "then": { "effect": effect } });
    for (name, effect) in
        [("custom-security-policy-v1", "audit"), ("custom-security-policy-v2", "deny")]
    {
        world.define_policy(name, &rule(effect)).expect(201);
    }
    let assignment =
        format!("{hub}/providers/Microsoft.Authorization/policyAssignments/custom-security-policy");
    let definition = |name: &str| {
        format!(
            "{}/providers/Microsoft.Authorization/policyDefinitions/{name}",
            world.subscription()
        )
    };
    for name in ["custom-security-policy-v1", "custom-security-policy-v2"] {
        world.pass_seconds(60);
        world
            .arm(
                "PUT",
                &assignment,
                &json!({ "properties": { "policyDefinitionId": definition(name) } }),
            )
            .expect(201);
    }
    let definitions = world
        .arm("GET", &definition("")[..definition("").len() - 1], &Value::Null)
        .expect(200)
        .body;
    let names: Vec<&str> = definitions["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["custom-security-policy-v1", "custom-security-policy-v2"]);
    for it in definitions["value"].as_array().unwrap() {
        assert!(
            it["systemData"]["createdBy"].is_string() && it["systemData"]["createdAt"].is_string(),
            "{it}"
        );
    }
    let here = format!("{hub}/providers/Microsoft.Authorization/policyAssignments");
    let assigned = world.arm("GET", &here, &Value::Null).expect(200).body;
    assert_eq!(
        assigned["value"][0]["properties"]["policyDefinitionId"],
        definition("custom-security-policy-v2")
    );
    let revisions =
        world.arm("GET", &format!("{assignment}/revisions"), &Value::Null).expect(200).body;
    let revisions = revisions["value"].as_array().unwrap();
    assert_eq!(revisions.len(), 2);
    assert_eq!(revisions[1]["difference"][0]["before"], definition("custom-security-policy-v1"));
    assert_eq!(revisions[1]["difference"][0]["after"], definition("custom-security-policy-v2"));
    assert!(
        revisions[1]["author"]["objectId"].is_string()
            && revisions[0]["time"] != revisions[1]["time"]
    );
}

#[test]
fn the_activity_log_has_every_write_and_every_refusal_with_its_policy() {
    let world = World::new();
    let hub = world.hub();
    let who = world.service_principal("deployer");
    let rule = json!({ "if": { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" }, "then": { "effect": "deny" } });
    world.define_policy("v2", &rule).expect(201);
    world.assign_policy("v2", &hub).expect(201);
    world.puts_device(&who, &hub, "d1").expect(403);
    let from = world.now().plus_seconds(-600).rfc3339();
    let to = world.now().plus_seconds(600).rfc3339();
    let path = format!(
        "{}/providers/Microsoft.Insights/eventtypes/management/values?$filter=eventTimestamp%20ge%20'{from}'%20and%20eventTimestamp%20le%20'{to}'",
        world.subscription()
    );
    let log = world.arm("GET", &path, &Value::Null).expect(200).body;
    let items = log["value"].as_array().unwrap();
    let has = |what: &str, status: &str| {
        items.iter().any(|it| it["status"]["value"] == status && it.to_string().contains(what))
    };
    assert!(has("policyAssignments/write", "Succeeded"), "{log}");
    assert!(has("custom", "Succeeded") || has("policyDefinitions/write", "Succeeded"), "{log}");
    let refusal = items.iter().find(|it| it["status"]["value"] == "Failed").unwrap();
    for word in ["v2", "deployer", "devices/write", "ruleIndex"] {
        assert!(refusal.to_string().contains(word), "{word}: {refusal}");
    }
}

#[test]
fn refusals_reach_the_diagnostic_log_of_the_hub_with_the_chain() {
    let world = World::new();
    let hub = world.hub();
    let who = world.service_principal("deployer");
    let workspace =
        format!("{}/providers/Microsoft.OperationalInsights/workspaces/Fleet-Logs", world.group());
    let setting = format!("{hub}/providers/Microsoft.Insights/diagnosticSettings/all");
    let body = json!({ "properties": { "workspaceId": workspace,
        "logs": [{ "category": "DeviceIdentityOperations", "enabled": true }] } });
    world.arm("PUT", &setting, &body).expect(200);
    let rule = json!({ "if": { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" }, "then": { "effect": "deny" } });
    world.define_policy("v2", &rule).expect(201);
    world.assign_policy("v2", &hub).expect(201);
    let refused = world.puts_device(&who, &hub, "d%1B%5B31m1");
    refused.expect(400);
    let refused = world.puts_device(&who, &hub, "d1").expect(403);
    world.flush_diagnostics();
    let folder = world.env().settings.data_dir.join("diagnostics");
    let file = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).next().unwrap();
    assert!(file.file_name().unwrap().to_string_lossy().starts_with("fleet-logs-"), "{file:?}");
    let text = std::fs::read_to_string(file).unwrap();
    let record: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(record["category"], "DeviceIdentityOperations");
    assert_eq!(record["resourceId"], hub.to_uppercase());
    assert_eq!(record["level"], "Error");
    let properties: Value = serde_json::from_str(record["properties"].as_str().unwrap()).unwrap();
    assert_eq!(properties["gate"], "policy");
    for word in ["v2", "identity", "expected", "actual"] {
        assert!(properties.to_string().contains(word), "{word}: {properties}");
    }
    assert!(!refused.tracking().is_empty());
    assert!(!text.contains('\u{1b}'));
}
