//! Ways round the gates that somebody might try, each closed.

use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use testkit::World;

const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";

fn deny(field: &str, value: &str) -> Value {
    json!({ "if": { "field": field, "equals": value }, "then": { "effect": "deny" } })
}

#[test]
fn a_key_that_is_changed_while_the_body_is_on_its_way_opens_nothing() {
    let world = World::new();
    let hub = world.hub();
    let sas = world.policy_sas(&hub, "iothubowner");
    let body = json!({ "deviceId": "slow" }).to_string();
    let (mut stream, head) =
        world.wire().trickle("PUT", &world.hub_url(&hub, "/devices/slow"), &sas, body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body.as_bytes()[..1]).unwrap();
    stream.flush().unwrap();
    // The head is on its way; give the server the time of a whole other call to take it.
    world.hub_with(&sas, "GET", &hub, "/devices/device-1", &Value::Null).expect(200);
    let mut shown = world.arm("GET", &hub, &Value::Null).expect(200).body;
    shown["properties"]["disableLocalAuth"] = json!(true);
    world.arm("PUT", &hub, &shown).expect(200);
    stream.write_all(&body.as_bytes()[1..]).unwrap();
    stream.flush().unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 401");
}

#[test]
fn policy_judges_what_would_be_stored_and_not_what_was_sent() {
    let world = World::new();
    let hub = world.hub();
    let who = world.service_principal("writer");
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    world
        .define_policy(
            "no-keys",
            &deny("Microsoft.Devices/IotHubs/devices/authentication.type", "sas"),
        )
        .expect(201);
    world.assign_policy("no-keys", &hub).expect(201);
    let put =
        |id: &str, body: Value| world.hub_as(&who, "PUT", &hub, &format!("/devices/{id}"), &body);
    // Left out, the type is `sas` all the same; and a second place to look in is none.
    put("a", json!({})).expect(403);
    put("b", json!({ "properties": { "authentication": { "type": "none" } } })).expect(403);
    put("c", json!({ "authentication": { "type": "none" } })).expect(200);

    world.define_policy("no-s1", &deny("Microsoft.Devices/IotHubs/sku.name", "S1")).expect(201);
    world.assign_policy("no-s1", &world.group()).expect(201);
    let hub = |properties: Value| json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 }, "properties": properties });
    world.arm("PUT", &world.hub_named("plain"), &hub(json!({}))).expect(403);
    world
        .arm("PUT", &world.hub_named("shadow"), &hub(json!({ "sku": { "name": "F1" } })))
        .expect(403);
}

#[test]
fn keys_reach_no_decision_under_any_spelling() {
    let world = World::new();
    let hub = world.hub();
    let reader = world.service_principal("reader");
    world.assign(&reader, READER, &hub).expect(201);
    let secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmU=";
    let policy = json!([{ "keyName": "iothubowner", "rights": "RegistryRead, RegistryWrite", "primaryKey": secret }]);
    let mut body = world.arm("GET", &hub, &Value::Null).expect(200).body;
    body["properties"]["AuthorizationPolicies"] = policy.clone();
    let id = world.arm("PUT", &hub, &body).expect(200).tracking();
    let told = world.arm_as(&reader, "GET", &format!("/decisions/{id}"), &Value::Null).expect(200);
    assert!(!told.text().contains(secret), "{told:?}");
    // Two spellings of one name in one object are refused.
    body["properties"]["authorizationPolicies"] = policy;
    world.arm("PUT", &hub, &body).expect(400);

    let who = world.service_principal("writer");
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    world.define_policy("none", &deny("type", "Microsoft.Devices/IotHubs/devices")).expect(201);
    world.assign_policy("none", &hub).expect(201);
    let device = json!({ "Authentication": { "SymmetricKey": { "PrimaryKey": secret } } });
    let id = world.hub_as(&who, "PUT", &hub, "/devices/d1", &device).expect(403).tracking();
    assert!(!world.explained(&id).to_string().contains(secret));
}

#[test]
fn contributors_of_the_tenant_make_no_secrets_for_its_owner() {
    let world = World::new();
    let climber = world.service_principal("climber");
    world.assign(&climber, CONTRIBUTOR, "/").expect(201);
    let admin = world.admin();
    let apps = world
        .graph(
            "GET",
            &format!("/applications?$filter=appId%20eq%20'{}'", admin.app_id),
            &Value::Null,
        )
        .expect(200)
        .body;
    let id = apps["value"][0]["id"].as_str().unwrap().to_owned();
    let token = world.token(&climber, "https://graph.microsoft.com");
    let url = format!("{}/v1.0/applications/{id}/addPassword", world.setting("HUBWARD_GRAPH"));
    let refused =
        world.wire().json("POST", &url, &format!("Bearer {token}"), &json!({})).expect(403);
    assert_eq!(refused.code(), "Authorization_RequestDenied");
}

#[test]
fn a_word_of_the_path_is_no_name() {
    let world = World::new();
    let group = format!("{}/resourceGroups/providers", world.subscription());
    world.arm("PUT", &group, &json!({ "location": "westus" })).expect(400);
    let hub = world.hub_named("Providers");
    world
        .arm("PUT", &hub, &json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } }))
        .expect(400);
}

#[test]
fn revisions_of_a_namesake_get_in_nobodys_way() {
    let world = World::new();
    let rule = deny("type", "x");
    world.define_policy("a", &rule).expect(201);
    world.define_policy("a|x", &rule);
    world.define_policy("a-x", &rule).expect(201);
    for _ in 0..3 {
        world.define_policy("a", &rule).expect(201);
    }
    let path = |name: &str| {
        format!(
            "{}/providers/Microsoft.Authorization/policyDefinitions/{name}",
            world.subscription()
        )
    };
    let own = world.arm("GET", &format!("{}/revisions", path("a")), &Value::Null).expect(200).body;
    assert_eq!(own["value"].as_array().unwrap().len(), 4);
    world.arm("DELETE", &path("a"), &Value::Null).expect(200);
}

#[test]
fn each_refusal_is_kept_for_the_place_that_it_was_about() {
    let world = World::new();
    let who = world.service_principal("prober");
    let put = |name: &str| {
        let path = format!("{}/resourceGroups/{name}", world.subscription());
        world.arm_as(&who, "PUT", &path, &json!({ "location": "westus" })).expect(403).tracking()
    };
    for number in 0..12 {
        put(&format!("decoy-{number}"));
    }
    let told = world.explained(&put("target"));
    assert!(told["decision"]["call"]["scope"].as_str().unwrap().ends_with("/target"), "{told}");
    // The very same refusal again and again is counted under the id of one that is kept.
    let ids: std::collections::BTreeSet<String> = (0..30).map(|_| put("again")).collect();
    assert_eq!(ids.len(), 10);
    let last =
        ids.iter().map(|it| world.explained(it)["decision"]["repeats"].as_u64().unwrap_or(0)).max();
    assert_eq!(last, Some(20));
}

#[test]
fn an_explanation_tells_of_no_role_that_its_reader_may_not_see() {
    let world = World::new();
    let hub = world.hub();
    let (asker, other) = (world.service_principal("asker"), world.service_principal("other"));
    world.assign(&asker, READER, &hub).expect(201);
    let secret = format!("{}/resourceGroups/secret-group", world.subscription());
    world.arm("PUT", &secret, &json!({ "location": "westus" })).expect(201);
    world.assign(&other, CONTRIBUTOR, &secret).expect(201);
    let question = json!({ "principal": other.object_id, "action": "Microsoft.Devices/IotHubs/write", "scope": hub });
    let told = world.arm_as(&asker, "POST", "/decisions/ask", &question).expect(200);
    assert!(!told.text().contains("secret-group"), "{told:?}");
    let told = world.arm("POST", "/decisions/ask", &question).expect(200);
    assert!(told.text().contains("secret-group"), "{told:?}");
}

#[test]
fn somebody_who_can_sign_in_stays_owner() {
    let world = World::new();
    world.leave_one_owner();
    let ghost = json!({ "properties": { "principalId": world.guid(), "principalType": "User",
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{OWNER}") } });
    world
        .arm(
            "PUT",
            &format!("/providers/Microsoft.Authorization/roleAssignments/{}", world.guid()),
            &ghost,
        )
        .expect(201);
    let list = world
        .arm(
            "GET",
            "/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()",
            &Value::Null,
        )
        .expect(200)
        .body;
    let admin = world
        .env()
        .facts
        .load()
        .principals
        .values()
        .find(|it| it.display_name == "administrator")
        .unwrap()
        .id
        .to_string();
    let own = list["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["properties"]["principalId"] == admin)
        .unwrap()
        .clone();
    assert_eq!(
        world.arm("DELETE", own["id"].as_str().unwrap(), &Value::Null).expect(409).code(),
        "LastOwner"
    );
    assert_eq!(
        world
            .graph(
                "PATCH",
                &format!("/servicePrincipals/{admin}"),
                &json!({ "accountEnabled": false })
            )
            .status,
        409
    );
    assert_eq!(
        world.graph("DELETE", &format!("/servicePrincipals/{admin}"), &Value::Null).status,
        409
    );

    // Nobody signs in as the identity of a provisioning service.
    let all = format!("{}/providers/Microsoft.Devices/provisioningServices", world.group());
    let all = world.arm("GET", &all, &Value::Null).expect(200).body;
    let machine = json!({ "properties": {
        "principalId": all["value"][0]["identity"]["principalId"],
        "principalType": "ServicePrincipal",
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{OWNER}") } });
    let path = format!("/providers/Microsoft.Authorization/roleAssignments/{}", world.guid());
    world.arm("PUT", &path, &machine).expect(201);
    assert_eq!(
        world.arm("DELETE", own["id"].as_str().unwrap(), &Value::Null).expect(409).code(),
        "LastOwner"
    );
}

#[test]
fn an_exemption_for_a_device_is_for_that_spelling_alone() {
    let world = World::new();
    let hub = world.hub();
    let who = world.service_principal("writer");
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    world.define_policy("v2", &deny("type", "Microsoft.Devices/IotHubs/devices")).expect(201);
    world.assign_policy("v2", &hub).expect(201);
    let path = format!("{hub}/devices/Pump-7/providers/Microsoft.Authorization/policyExemptions/e");
    let body = json!({ "properties": { "exemptionCategory": "Waiver",
        "policyAssignmentId": format!("{hub}/providers/Microsoft.Authorization/policyAssignments/v2") } });
    world.arm("PUT", &path, &body).expect(201);
    world.puts_device(&who, &hub, "Pump-7").expect(200);
    world.puts_device(&who, &hub, "PUMP-7").expect(403);
    world.puts_device(&who, &hub, "Pump-70").expect(403);
}
