//! What a role is asked for and what is told of it: who somebody is apart from what he may do, roles that add up,
//! who can do something and through what.

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use testkit::{Answer, Identity, World};

pub const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
pub const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
pub const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
pub const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const ARM: &str = "https://management.azure.com";
const HUBS: &str = "https://iothubs.azure.net";
const LIST_KEYS: &str = "Microsoft.Devices/IotHubs/listkeys/action";

/// A role of the tenant's own for data of the hub's devices, by its id.
fn data_role(world: &World, name: &str, actions: &[&str]) -> String {
    let id = world.guid();
    let path = format!("{}/providers/Microsoft.Authorization/roleDefinitions/{id}", world.group());
    let actions: Vec<String> =
        actions.iter().map(|it| format!("Microsoft.Devices/IotHubs/{it}")).collect();
    let body = json!({ "properties": { "roleName": name, "assignableScopes": [world.group()],
        "permissions": [{ "dataActions": actions }] } });
    world.arm("PUT", &path, &body).expect(201);
    id
}

fn steps(world: &World, refused: &Answer) -> Vec<Value> {
    world.explained(&refused.tracking())["decision"]["steps"].as_array().unwrap().clone()
}

/// Gate by gate: its name, its verdict and its reason.
fn step(steps: &[Value], gate: &str) -> (String, String) {
    let found = steps.iter().find(|it| it["gate"] == gate).unwrap();
    let text = |name: &str| found[name].as_str().unwrap_or("").to_owned();
    (text("verdict"), text("reason").to_lowercase())
}

/// S2-06: who calls is one step and what it may do another, and neither's reason speaks of the other's, whoever
/// calls: an application, a person or a device.
#[test]
fn who_somebody_is_and_what_it_may_do_are_told_apart() {
    const OF_ACCESS: [&str; 3] = ["role", "assigned", "authoriz"];
    const OF_IDENTITY: [&str; 5] = ["token", "sign in", "expired", "signature", "credential"];
    let world = World::new();
    let hub = world.hub();
    let nobody = world.service_principal("nobody");
    let unproven = |refused: &Answer| {
        let steps = steps(&world, refused);
        let (verdict, reason) = step(&steps, "authentication");
        assert_eq!(verdict, "deny", "{steps:?}");
        let mixed = OF_ACCESS.iter().find(|it| reason.contains(**it));
        assert_eq!(mixed, None, "{reason}");
        for later in steps.iter().filter(|it| it["gate"] != "authentication") {
            assert_eq!(later["verdict"], "notEvaluated", "{later}");
        }
    };
    let unpermitted = |refused: &Answer| {
        let steps = steps(&world, refused);
        assert_eq!(step(&steps, "authentication").0, "allow", "{steps:?}");
        let (verdict, reason) = step(&steps, "access");
        assert_eq!(verdict, "deny", "{steps:?}");
        let mixed = OF_IDENTITY.iter().find(|it| reason.contains(**it));
        assert_eq!(mixed, None, "{reason}");
    };
    // An application, in management and at the hub: proven and without a role, then the other way round.
    unpermitted(&world.arm_as(&nobody, "GET", &hub, &Value::Null).expect(403));
    unpermitted(&world.puts_device(&nobody, &hub, "device1").expect(401));
    world.assign(&nobody, CONTRIBUTOR, &hub).expect(201);
    world.assign(&nobody, DATA_CONTRIBUTOR, &hub).expect(201);
    let token = format!("Bearer {}", world.token(&nobody, HUBS));
    let device = |authorization: &str| {
        world.hub_with(authorization, "PUT", &hub, "/devices/device1", &json!({}))
    };
    unproven(&device(&format!("Bearer {}", world.token(&nobody, ARM))).expect(401));
    unproven(&device("").expect(401));
    device(&token).expect(200);

    // A device by its own key: it is nobody at the service API, whatever it is called.
    let made = world.hub_with(&token, "GET", &hub, "/devices/device1", &Value::Null).expect(200);
    let key = made.body["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap();
    let key = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, key).unwrap();
    let own = format!("{}/devices/device1", world.hub_host(&hub));
    let sas = wire::sas::sign(&own, &key, world.now().plus_seconds(60), None);
    unproven(&world.hub_with(&sas, "GET", &hub, "/devices/device1", &Value::Null).expect(401));
    // And a key of the hub's without the right is proven and may not.
    let sas = world.policy_sas(&hub, "registryRead");
    unpermitted(&world.hub_with(&sas, "PUT", &hub, "/devices/device2", &json!({})).expect(401));

    // A person, the same.
    let body = json!({ "accountEnabled": true, "displayName": "ana", "mailNickname": "ana",
        "userPrincipalName": "ana@plant.example", "passwordProfile": { "password": "Right-Pass-1" } });
    let ana = world.graph("POST", "/users", &body).expect(201).body;
    let url = format!(
        "{}/{}/oauth2/v2.0/token",
        world.setting("HUBWARD_AUTHORITY"),
        world.setting("HUBWARD_TENANT_ID")
    );
    let form = format!(
        "grant_type=password&client_id=04b07795-8ddb-461a-bbee-02f9e1bf7b46&username=ana@plant.example\
         &password=Right-Pass-1&scope={HUBS}/.default"
    );
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let signed_in = world.wire().send("POST", &url, &headers, form.as_bytes()).expect(200).body;
    let token = format!("Bearer {}", signed_in["access_token"].as_str().unwrap());
    unpermitted(&device(&token).expect(401));
    let path = format!("/users/{}", ana["id"].as_str().unwrap());
    world.graph("PATCH", &path, &json!({ "accountEnabled": false })).expect(204);
    unproven(&device(&token).expect(401));
}

/// S2-10: the trace lists every assignment that was looked at, with what it says, and which one counted.
#[test]
fn a_trace_lists_the_assignments_that_were_looked_at_and_the_one_that_counted() {
    let world = World::new();
    let (hub, who) = (world.hub(), world.service_principal("writer"));
    let other = world.hub_named("other-hub");
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
    world.arm("PUT", &other, &body).expect(201);
    let mut ids = Vec::new();
    for (role, scope) in [
        (READER, &hub),
        (DATA_CONTRIBUTOR, &hub),
        (CONTRIBUTOR, &other),
        (CONTRIBUTOR, &world.group()),
    ] {
        let made = world.assign(&who, role, scope).expect(201).body;
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let written = world.arm_as(&who, "PUT", &hub, &body).expect(200);
    let access = steps(&world, &written).into_iter().find(|it| it["gate"] == "access").unwrap();
    let findings = access["findings"].as_array().unwrap();
    let result = |id: &str| {
        let found = findings.iter().find(|it| it["id"] == id);
        found.unwrap_or_else(|| panic!("{id} is not in {findings:?}"))["result"].clone()
    };
    let results: Vec<Value> = ids.iter().map(|it| result(it)).collect();
    assert_eq!(results[3], "allow", "{findings:?}");
    assert!(results[..3].iter().all(|it| it != "allow"), "{findings:?}");

    // Without the one that counted, the same assignments are looked at and none counts.
    world.arm("DELETE", &ids[3], &Value::Null).expect(200);
    let refused = world.arm_as(&who, "PUT", &hub, &body).expect(403);
    let access = steps(&world, &refused).into_iter().find(|it| it["gate"] == "access").unwrap();
    let findings = access["findings"].as_array().unwrap();
    for id in &ids[..3] {
        let found = findings.iter().find(|it| it["id"] == *id).unwrap();
        assert_ne!(found["result"], "allow", "{found}");
    }
    assert!(findings.iter().all(|it| it["id"] != ids[3]), "{findings:?}");
}

/// S2-11: a change of many devices that creates and deletes needs two actions; two roles with one each allow it,
/// and neither does alone.
#[test]
fn two_roles_together_allow_what_neither_does() {
    let world = World::new();
    let hub = world.hub();
    let writes = data_role(&world, "Writes devices", &["devices/write"]);
    let deletes = data_role(&world, "Deletes devices", &["devices/delete"]);
    let both = json!([{ "id": "bulk1", "importMode": "create" }, { "id": "gone1", "importMode": "delete" }]);
    let tries = |who: &Identity| world.hub_as(who, "POST", &hub, "/devices", &both);
    let (one, other, all) = (
        world.service_principal("one"),
        world.service_principal("other"),
        world.service_principal("all"),
    );
    world.assign(&one, &writes, &hub).expect(201);
    world.assign(&other, &deletes, &hub).expect(201);
    world.assign(&all, &writes, &hub).expect(201);
    for (who, missing) in
        [(&one, "devices/delete"), (&other, "devices/write"), (&all, "devices/delete")]
    {
        let refused = tries(who).expect(401);
        let (_, reason) = step(&steps(&world, &refused), "access");
        assert!(reason.contains(missing), "{}: {reason}", who.name);
    }
    world.assign(&all, &deletes, &hub).expect(201);
    assert_ne!(tries(&all).status, 401);
}

/// S1-22: `expires_in` holds to the second, and from the end on the refusal tells how long ago that was.
#[test]
fn an_expired_token_is_told_by_how_much() {
    let world = World::new();
    let admin = world.admin();
    let signed_in = world.sign_in(&admin.app_id, &admin.secret, &format!("{ARM}/.default"));
    let left_s = signed_in.body["expires_in"].as_i64().unwrap();
    let token = format!("Bearer {}", signed_in.expect(200).body["access_token"].as_str().unwrap());
    let call = || {
        let url = format!("{}/subscriptions?api-version=2022-12-01", world.setting("HUBWARD_ARM"));
        world.wire().json("GET", &url, &token, &Value::Null)
    };
    world.pass_seconds(left_s);
    call().expect(200);
    // A second more than it says it has, and the skew of clocks.
    world.pass_seconds(1 + 299);
    call().expect(200);
    for (passed, words) in [(1, "expired 300 s ago"), (41, "expired 341 s ago")] {
        world.pass_seconds(passed);
        let refused = call().expect(401);
        assert_eq!(refused.code(), "ExpiredAuthenticationToken");
        assert!(refused.text().contains(words), "{refused:?}");
    }
}

/// S2-60: the documentation's custom role reads devices and neither writes nor deletes them, nor lists keys.
#[test]
fn a_custom_role_that_reads_devices_does_nothing_else() {
    let world = World::new();
    let (hub, who) = (world.hub(), world.service_principal("observer"));
    let role = data_role(&world, "Reads devices", &["devices/read"]);
    world.assign(&who, &role, &hub).expect(201);
    let device = |method: &str| {
        world.hub_as(&who, method, &hub, "/devices/device-1", &json!({ "deviceId": "device-1" }))
    };
    device("GET").expect(200);
    for (method, action) in [("PUT", "devices/write"), ("DELETE", "devices/delete")] {
        let refused = device(method).expect(401);
        let (_, reason) = step(&steps(&world, &refused), "access");
        assert!(reason.contains(action), "{reason}");
    }
    let keys = world.arm_as(&who, "POST", &format!("{hub}/listkeys"), &Value::Null).expect(403);
    assert!(keys.text().contains(LIST_KEYS), "{keys:?}");
}

/// S2-57: a data role alone opens the data and not the resource, and what helps is Reader.
#[test]
fn a_data_role_alone_does_not_open_the_resource_and_reader_is_the_remedy() {
    let world = World::new();
    let (hub, who) = (world.hub(), world.service_principal("operator"));
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    world.puts_device(&who, &hub, "device1").expect(200);
    let refused = world.arm_as(&who, "GET", &hub, &Value::Null).expect(403);
    let told = world.explained(&refused.tracking());
    let fixes = told["fixes"].as_array().unwrap();
    let reader = fixes.iter().find(|it| it["command"].as_str().unwrap().contains("Reader"));
    let reader = reader.unwrap_or_else(|| panic!("Reader is not proposed: {told}"));
    assert_eq!(reader["then"], "the call would pass every gate");
    world.assign(&who, READER, &hub).expect(201);
    world.arm_as(&who, "GET", &hub, &Value::Null).expect(200);
}

/// S1-07, X-07: a refusal comes nested, or flat where that is asked for, with one message and one tracking id: the repeats
/// that share an id share it whatever their form.
#[test]
fn a_nested_and_a_flat_error_share_their_tracking_id() {
    /// As many of one refusal are kept one by one in a minute.
    const KEPT: usize = 10;
    let world = World::new();
    let who = world.service_principal("nobody");
    let token = format!("Bearer {}", world.token(&who, ARM));
    let url = format!("{}{}?api-version=2023-06-30", world.setting("HUBWARD_ARM"), world.hub());
    let call = |more: &[(&str, &str)]| {
        let headers = [&[("Authorization", token.as_str())], more].concat();
        world.wire().send("GET", &url, &headers, b"").expect(403)
    };
    let ask_flat = [("Prefer", "error=flat")];
    let first = call(&ask_flat);
    assert_eq!(world.explained(&first.tracking())["decision"]["id"], json!(first.tracking()));
    for _ in 1..KEPT {
        call(&[]);
    }
    let (nested, flat) = (call(&[]), call(&ask_flat));
    assert_eq!(nested.body["error"]["code"], "AuthorizationFailed");
    assert_eq!(
        (&flat.body["error"], &flat.body["code"]),
        (&json!("AuthorizationFailed"), &json!(403))
    );
    assert_eq!(flat.body["message"], nested.body["error"]["message"]);
    assert_ne!(flat.tracking(), first.tracking());
    assert_eq!(flat.tracking(), nested.tracking());
    assert_eq!(flat.header("x-ms-request-id"), nested.header("x-ms-request-id"));
    // Asking for something else of an answer, or for nothing, leaves it as Azure's.
    for other in ["return=minimal", ""] {
        assert_eq!(call(&[("Prefer", other)]).body["error"]["code"], "AuthorizationFailed");
    }
}

fn who_can(world: &World, action: &str, scope: &str) -> Value {
    let body = json!({ "action": action, "scope": scope });
    world.arm("POST", "/decisions/whoCan", &body).expect(200).body
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
}

/// S2-61: who can list a hub's keys, and through which role, place and groups, by API and on the command line.
#[test]
fn who_can_list_keys_and_through_what_can_be_asked() {
    let world = World::new();
    let hub = world.hub();
    let (above, data, reader, inside) = (
        world.service_principal("above"),
        world.service_principal("data"),
        world.service_principal("reader"),
        world.service_principal("inside"),
    );
    world.assign(&above, CONTRIBUTOR, &world.subscription()).expect(201);
    world.assign(&data, DATA_CONTRIBUTOR, &hub).expect(201);
    world.assign(&reader, READER, &hub).expect(201);
    let body = json!({ "displayName": "crew", "mailNickname": "crew", "mailEnabled": false, "securityEnabled": true });
    let crew =
        world.graph("POST", "/groups", &body).expect(201).body["id"].as_str().unwrap().to_owned();
    let address = format!("https://graph.microsoft.com/v1.0/directoryObjects/{}", inside.object_id);
    let path = format!("/groups/{crew}/members/$ref");
    world.graph("POST", &path, &json!({ "@odata.id": address })).expect(204);
    let group = Identity { object_id: crew, ..inside.clone() };
    world.assign(&group, CONTRIBUTOR, &hub).expect(201);

    let told = who_can(&world, LIST_KEYS, &hub);
    let all = names(&told["can"]);
    assert!(all.contains(&"above") && all.contains(&"inside"), "{told}");
    assert!(!all.contains(&"data") && !all.contains(&"reader"), "{told}");
    let through = |name: &str| {
        let found = told["can"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap();
        found["through"].clone()
    };
    let way = &through("above")[0];
    assert_eq!(
        (&way["roleName"], &way["scope"]),
        (&json!("Contributor"), &json!(world.subscription()))
    );
    assert_eq!(through("inside")[0]["groups"][0]["name"], "crew");
    assert!(told["opens"].as_str().unwrap().starts_with("all data"), "{told}");
    assert_eq!(told["withKeys"], json!([]), "{told}");
    // A role more is a way more: each of them has to go.
    world.assign(&above, OWNER, &world.group()).expect(201);
    let both = who_can(&world, LIST_KEYS, &hub);
    let found = both["can"].as_array().unwrap().iter().find(|it| it["name"] == "above").unwrap();
    let roles: Vec<&str> = found["through"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["roleName"].as_str().unwrap())
        .collect();
    assert!(roles.len() == 2 && roles.contains(&"Owner"), "{roles:?}");
    // What it says is what the gates do.
    world.arm_as(&above, "POST", &format!("{hub}/listkeys"), &Value::Null).expect(200);
    world.arm_as(&data, "POST", &format!("{hub}/listkeys"), &Value::Null).expect(403);
    let reads = who_can(&world, "Microsoft.Devices/IotHubs/devices/read", &hub);
    assert_eq!(names(&reads["can"]).iter().filter(|it| **it == "data").count(), 1);
    assert!(!names(&reads["can"]).contains(&"above") && reads["opens"].is_null(), "{reads}");

    let lock = format!("{hub}/providers/Microsoft.Authorization/locks/frozen");
    world.arm("PUT", &lock, &json!({ "properties": { "level": "ReadOnly" } })).expect(201);
    let locked = who_can(&world, LIST_KEYS, &hub);
    assert_eq!(locked["can"], json!([]), "{locked}");
    assert!(names(&locked["stopped"]).contains(&"above"), "{locked}");
    assert_eq!(locked["stopped"][0]["gate"], "resource");
    world.arm("DELETE", &lock, &Value::Null).expect(200);

    // Who may not read who holds roles there does not learn it here.
    let body = json!({ "action": LIST_KEYS, "scope": hub });
    world.arm_as(&data, "POST", "/decisions/whoCan", &body).expect(403);
    let wrong = json!({ "action": "Microsoft.Devices/IotHubs/listKey/action", "scope": hub });
    world.arm("POST", "/decisions/whoCan", &wrong).expect(400);

    let done = Command::new(Path::new(env!("CARGO_BIN_EXE_hubward")))
        .args(["who-can", LIST_KEYS, "--scope", &hub, "--data", &world.setting("HUBWARD_DATA")])
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{said}");
    for words in ["above", "Contributor", "crew", "all data"] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    assert!(!said.contains("reader"), "{said}");
}

/// whoever can list keys has no data role and reaches all data, for as long as keys count; whoever may write the hub
/// can set keys, and switch them on. Who asks about data is told of both.
#[test]
fn who_can_list_the_keys_is_told_beside_who_has_a_role_for_the_data() {
    let world = World::new();
    let (hub, keys) = (world.hub(), world.service_principal("keys"));
    let (data, reader) = (world.service_principal("data"), world.service_principal("reader"));
    world.assign(&keys, CONTRIBUTOR, &hub).expect(201);
    world.assign(&data, DATA_CONTRIBUTOR, &hub).expect(201);
    world.assign(&reader, READER, &hub).expect(201);
    let writer = world.service_principal("writer");
    let id = world.guid();
    let role = json!({ "properties": { "roleName": "Hub writer", "assignableScopes": [hub],
        "permissions": [{ "actions": ["Microsoft.Devices/IotHubs/write"] }] } });
    let path = format!("{hub}/providers/Microsoft.Authorization/roleDefinitions/{id}");
    world.arm("PUT", &path, &role).expect(201);
    world.assign(&writer, &id, &hub).expect(201);
    world.puts_device(&keys, &hub, "device1").expect(401);
    let listed = world.arm_as(&keys, "POST", &format!("{hub}/listkeys"), &Value::Null).expect(200);
    let owner = listed.body["value"][0].clone();
    assert_eq!(owner["keyName"], "iothubowner");
    let key = base64::engine::general_purpose::STANDARD;
    let key = base64::Engine::decode(&key, owner["primaryKey"].as_str().unwrap()).unwrap();
    let host = world.hub_host(&hub);
    let until = world.now().plus_seconds(60);
    let sas = wire::sas::sign(&host, &key, until, Some("iothubowner"));
    let device = || world.hub_with(&sas, "PUT", &hub, "/devices/device1", &json!({}));
    device().expect(200);

    const WRITE: &str = "Microsoft.Devices/IotHubs/devices/write";
    let told = who_can(&world, WRITE, &hub);
    assert!(names(&told["can"]).contains(&"data"), "{told}");
    assert!(!names(&told["can"]).contains(&"keys"), "{told}");
    let with_keys = names(&told["withKeys"]);
    assert!(with_keys.contains(&"keys") && !with_keys.contains(&"data"), "{told}");
    assert!(!with_keys.contains(&"reader"), "{told}");
    let of = |told: &Value, name: &str| {
        let all = told["withKeys"].as_array().unwrap();
        all.iter().find(|it| it["name"] == name).unwrap()["through"][0]["roleName"].clone()
    };
    assert_eq!(of(&told, "keys"), "Contributor");
    let by = |told: &Value, name: &str| {
        let all = told["withKeys"].as_array().unwrap();
        all.iter().find(|it| it["name"] == name).map(|it| it["by"].clone())
    };
    assert_eq!(
        (by(&told, "keys"), by(&told, "writer")),
        (Some(json!("lists")), Some(json!("writes")))
    );

    let off = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 },
        "properties": { "disableLocalAuth": true } });
    world.arm("PUT", &hub, &off).expect(200);
    assert_eq!(device().status, 401);
    let told = who_can(&world, WRITE, &hub);
    assert!(names(&told["can"]).contains(&"data"), "{told}");
    assert_eq!((by(&told, "keys"), by(&told, "reader")), (Some(json!("writes")), None));
    let told = who_can(&world, LIST_KEYS, &hub);
    assert!(told["opens"].as_str().unwrap().starts_with("no data"), "{told}");
    let told = who_can(&world, "Microsoft.Devices/IotHubs/write", &hub);
    assert!(told["opens"].as_str().unwrap().contains("sets the keys"), "{told}");
    // The writer does it: a key of its own, on a hub whose keys were off.
    let own = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [7; 32]);
    let on = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 }, "properties": {
        "disableLocalAuth": false, "authorizationPolicies": [{ "keyName": "mine", "rights": "RegistryRead",
            "primaryKey": own, "secondaryKey": own }] } });
    world.arm_as(&writer, "PUT", &hub, &on).expect(200);
    let sas = wire::sas::sign(&host, &[7; 32], until, Some("mine"));
    world.hub_with(&sas, "GET", &hub, "/devices/device1", &Value::Null).expect(200);
}

/// S2-13: who gave and took a role, and when, at a place, above it and below it, also of what is gone; not at a
/// namesake's, and only for who may read role assignments there.
#[test]
fn roles_that_were_given_and_taken_are_told_in_their_order() {
    let world = World::new();
    let (hub, group) = (world.hub(), world.group());
    let subscription = world.subscription();
    let clerk = world.service_principal("clerk");
    let namesake = format!("{group}0");
    let body = json!({ "location": "westus" });
    world.arm("PUT", &namesake, &body).expect(201);
    let given = |scope: &str| {
        world.pass_seconds(1);
        world.assign(&clerk, READER, scope).expect(201).body["id"].as_str().unwrap().to_owned()
    };
    let (above, at) = (given(&group), given(&hub));
    let beside = given(&namesake);
    world.pass_seconds(1);
    world.arm("DELETE", &at, &Value::Null).expect(200);

    let told = |scope: &str| {
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignmentHistory");
        let body = world.arm("GET", &path, &Value::Null).expect(200).body;
        assert_eq!(body["truncated"], false);
        // First start gave roles, too.
        let is_own = |it: &&Value| it.to_string().contains(clerk.object_id.as_str());
        let all = body["value"].as_array().unwrap().iter().filter(is_own);
        let change = |it: &Value| {
            assert!(it["author"]["objectId"].is_string() && it["trackingId"].is_string(), "{it}");
            let verb = match (it["before"].is_null(), it["after"].is_null()) {
                (true, false) => "given",
                (false, true) => "taken",
                _ => "changed",
            };
            (it["id"].as_str().unwrap().to_owned(), verb)
        };
        all.map(change).collect::<Vec<_>>()
    };
    let both = [(above.clone(), "given"), (at.clone(), "given"), (at.clone(), "taken")];
    assert_eq!(told(&hub), both);
    assert_eq!(told(&group), both);
    assert_eq!(told(&namesake), [(beside.clone(), "given")]);
    assert_eq!(told(&subscription).len(), 4);

    let path = format!("{group}/providers/Microsoft.Authorization/roleAssignmentHistory");
    world.arm_as(&clerk, "GET", &path, &Value::Null).expect(200);
    let path = format!("{subscription}/providers/Microsoft.Authorization/roleAssignmentHistory");
    world.arm_as(&clerk, "GET", &path, &Value::Null).expect(403);
}
