//! Everything that somebody can do, through what, and what stands against it.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;
use testkit::{Identity, World};

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const HUBS: &str = "Microsoft.Devices/IotHubs";
const WRITE: &str = "Microsoft.Devices/IotHubs/devices/write";
const LIST_KEYS: &str = "Microsoft.Devices/IotHubs/listkeys/action";

fn access(world: &World, who: &str, scope: &str) -> Value {
    let body = json!({ "principal": who, "scope": scope });
    world.arm("POST", "/decisions/access", &body).expect(200).body
}

/// What is said of a place.
fn at<'a>(told: &'a Value, scope: &str) -> &'a Value {
    let all = told["access"].as_array().unwrap();
    all.iter().find(|it| it["scope"] == scope).unwrap_or(&Value::Null)
}

/// The entry of one list with this action.
fn entry<'a>(place: &'a Value, list: &str, action: &str) -> Option<&'a Value> {
    let has = |it: &&Value| it["actions"].as_array().unwrap().contains(&json!(action));
    place[list].as_array()?.iter().find(has)
}

fn lists<'a>(place: &'a Value, list: &str) -> BTreeSet<&'a str> {
    let all = place[list].as_array().into_iter().flatten();
    all.flat_map(|it| it["actions"].as_array().unwrap()).map(|it| it.as_str().unwrap()).collect()
}

fn group(world: &World, name: &str, members: &[&str]) -> Identity {
    let body = json!({ "displayName": name, "mailNickname": name, "mailEnabled": false, "securityEnabled": true });
    let id =
        world.graph("POST", "/groups", &body).expect(201).body["id"].as_str().unwrap().to_owned();
    for member in members {
        let address = format!("https://graph.microsoft.com/v1.0/directoryObjects/{member}");
        let path = format!("/groups/{id}/members/$ref");
        world.graph("POST", &path, &json!({ "@odata.id": address })).expect(204);
    }
    Identity { object_id: id, ..world.admin() }
}

/// S2-61: what somebody can do is told by place and kind of thing, with the role, where it was given and the groups on
/// the way; what it says the gates do, and who-can says the same the other way round. A namesake of the group, of the
/// group of resources and of the hub brings nothing.
#[test]
fn everything_that_somebody_can_do_is_told_and_is_so() {
    let world = World::new();
    let (hub, data) = (world.hub(), world.service_principal("data"));
    let inner = group(&world, "crew", &[&data.object_id]);
    let outer = group(&world, "plant", &[&inner.object_id]);
    let namesake = group(&world, "crew", &[]);
    world.assign(&outer, DATA_CONTRIBUTOR, &hub).expect(201);
    world.assign(&namesake, OWNER, &world.subscription()).expect(201);
    world.assign(&data, READER, &world.group()).expect(201);
    let other = world.hub_named("other");
    world
        .arm(
            "PUT",
            &other,
            &json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } }),
        )
        .expect(201);
    let ten = format!("{}0", world.group());
    world.arm("PUT", &ten, &json!({ "location": "westus" })).expect(201);

    let told = access(&world, "data", &world.subscription());
    assert_eq!((&told["objectId"], &told["enabled"]), (&json!(data.object_id), &json!(true)));
    let here = at(&told, &hub);
    let writes = entry(here, "can", WRITE).unwrap();
    assert_eq!(writes["group"], "Microsoft.Devices/IotHubs/devices");
    let way = &writes["through"][0];
    assert_eq!(
        (&way["roleName"], &way["scope"]),
        (&json!("IoT Hub Data Contributor"), &json!(hub))
    );
    let groups: Vec<&str> =
        way["groups"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(groups, ["crew", "plant"]);
    assert_eq!(writes["through"].as_array().unwrap().len(), 1);
    assert!(entry(here, "can", LIST_KEYS).is_none() && told["keys"] == json!([]), "{told}");
    // Reader at the group of resources, so also at the other hub, and with no data there.
    assert!(entry(at(&told, &world.group()), "can", "Microsoft.Devices/IotHubs/read").is_some());
    let there = lists(at(&told, &other), "can");
    assert!(
        there.contains("Microsoft.Devices/IotHubs/read") && !there.contains(WRITE),
        "{there:?}"
    );
    assert_eq!(at(&told, &ten), &Value::Null);
    assert_eq!(access(&world, "data", &ten)["access"][0]["can"], json!([]));
    world.puts_device(&data, &hub, "device1").expect(200);
    world.puts_device(&data, &other, "device1").expect(401);
    world.arm_as(&data, "GET", &other, &Value::Null).expect(200);

    // The same table, read by its columns.
    for place in [&hub, &other] {
        let can = lists(at(&told, place), "can");
        for row in model::operations::known().flat_map(|it| it.actions).map(|it| it.as_str()) {
            if !row.starts_with(&format!("{HUBS}/")) {
                continue;
            }
            let body = json!({ "action": row, "scope": place });
            let who = world.arm("POST", "/decisions/whoCan", &body).expect(200).body;
            let named = who["can"].as_array().unwrap().iter().find(|it| it["name"] == "data");
            assert_eq!(named.is_some(), can.contains(row), "{row} at {place}");
            if let (Some(named), Some(told)) = (named, entry(at(&told, place), "can", row)) {
                assert_eq!(named["through"], told["through"], "{row}");
            }
        }
    }
}

/// S2-59: whoever can list or set keys reaches all data, and is told so; with keys switched off only who can switch
/// them on.
#[test]
fn keys_that_are_reached_are_told_apart() {
    let world = World::new();
    let (hub, keys) = (world.hub(), world.service_principal("keys"));
    world.assign(&keys, CONTRIBUTOR, &hub).expect(201);
    let told = access(&world, "keys", &hub);
    let by = |told: &Value| {
        let all = told["keys"].as_array().unwrap();
        all.iter().map(|it| it["by"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(by(&told), ["lists", "writes"]);
    assert!(!lists(at(&told, &hub), "can").contains(WRITE), "{told}");
    assert!(told["keys"][0]["opens"].as_str().unwrap().starts_with("all data"), "{told}");
    assert_eq!(told["keys"][0]["through"][0]["roleName"], "Contributor");
    let off = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 },
        "properties": { "disableLocalAuth": true } });
    world.arm("PUT", &hub, &off).expect(200);
    let told = access(&world, "keys", &hub);
    assert!(told["keys"][0]["opens"].as_str().unwrap().starts_with("no data"), "{told}");
    assert!(told["keys"][1]["opens"].as_str().unwrap().contains("switches them on"), "{told}");
}

/// What a role lets, and a policy, a deny assignment, a lock, a condition or a switched-off account stops, is told with
/// what does; and who-can says so, too.
#[test]
fn what_stands_against_it_is_told() {
    let world = World::new();
    let (hub, who) = (world.hub(), world.service_principal("who"));
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    world.assign(&who, CONTRIBUTOR, &hub).expect(201);
    let stopped = |action: &str| {
        let told = access(&world, "who", &hub);
        let found = entry(at(&told, &hub), "stopped", action).cloned().unwrap_or(Value::Null);
        assert!(entry(at(&told, &hub), "can", action).is_none() || found.is_null(), "{told}");
        let body = json!({ "action": action, "scope": hub });
        let other = world.arm("POST", "/decisions/whoCan", &body).expect(200).body;
        let named = other["stopped"].as_array().unwrap().iter().find(|it| it["name"] == "who");
        assert_eq!(named.map_or(&Value::Null, |it| &it["against"]), &found["against"]);
        (
            found["gate"].clone(),
            found["against"][0]["kind"].clone(),
            found["against"][0]["name"].clone(),
        )
    };
    let nothing = (Value::Null, Value::Null, Value::Null);
    assert_eq!(stopped(WRITE), nothing);
    world
        .define_policy("quiet", &json!({ "if": { "field": "type", "equals": format!("{HUBS}/devices") }, "then": { "effect": "deny" } }))
        .expect(201);
    world.assign_policy("quiet", &hub).expect(201);
    assert_eq!(stopped(WRITE), (json!("policy"), json!("policy"), json!("quiet")));
    world.puts_device(&who, &hub, "device1").expect(403);
    assert_eq!(stopped("Microsoft.Devices/IotHubs/devices/read"), nothing);

    let id = "33333333-4444-4444-8444-000000000001";
    let denial = format!("{hub}/providers/Microsoft.Authorization/denyAssignments/{id}");
    let body = json!({ "properties": { "denyAssignmentName": "freeze", "permissions": [{ "actions": [LIST_KEYS] }],
        "principals": [{ "id": who.object_id, "type": "ServicePrincipal" }] } });
    world.arm("PUT", &denial, &body).expect(201);
    assert_eq!(stopped(LIST_KEYS), (json!("access"), json!("denyAssignment"), json!("freeze")));
    world.arm_as(&who, "POST", &format!("{hub}/listkeys"), &Value::Null).expect(403);

    let lock = format!("{hub}/providers/Microsoft.Authorization/locks/frozen");
    world.arm("PUT", &lock, &json!({ "properties": { "level": "CanNotDelete" } })).expect(201);
    assert_eq!(
        stopped("Microsoft.Devices/IotHubs/delete"),
        (json!("resource"), json!("lock"), json!("frozen"))
    );
    assert_eq!(stopped("Microsoft.Devices/IotHubs/write"), nothing);

    // A role that counts in the morning of a day that is gone.
    let guest = world.service_principal("guest");
    let path = format!("{hub}/providers/Microsoft.Authorization/roleAssignments/{}", world.guid());
    let condition = "@Environment[utcNow] DateTimeLessThan '2020-01-01T00:00:00Z'";
    let body = json!({ "properties": { "principalId": guest.object_id, "principalType": "ServicePrincipal",
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{DATA_CONTRIBUTOR}"),
        "condition": condition, "conditionVersion": "2.0" } });
    world.arm("PUT", &path, &body).expect(201);
    let told = access(&world, "guest", &hub);
    let reads =
        entry(at(&told, &hub), "stopped", "Microsoft.Devices/IotHubs/devices/read").unwrap();
    assert_eq!(
        (&reads["gate"], &reads["against"][0]["kind"]),
        (&json!("access"), &json!("condition"))
    );
    assert_eq!(lists(at(&told, &hub), "can").len(), 0);

    let account = format!("/servicePrincipals/{}", who.object_id);
    world.graph("PATCH", &account, &json!({ "accountEnabled": false })).expect(204);
    let told = access(&world, "who", &hub);
    assert_eq!(
        (&told["enabled"], &at(&told, &hub)["can"], &told["keys"]),
        (&json!(false), &json!([]), &json!([]))
    );
    let reads =
        entry(at(&told, &hub), "stopped", "Microsoft.Devices/IotHubs/devices/read").unwrap();
    assert_eq!(
        (&reads["gate"], &reads["against"][0]["kind"]),
        (&json!("authentication"), &json!("account"))
    );
}

/// Everybody may ask what it can do itself, and about others only who may read decisions and roles there; what is
/// above the asker's own roles it does not see.
#[test]
fn one_may_ask_about_oneself_and_sees_of_others_what_one_may_read() {
    let world = World::new();
    let (hub, me) = (world.hub(), world.service_principal("me-too"));
    let auditor = world.service_principal("auditor");
    world.assign(&me, DATA_CONTRIBUTOR, &world.subscription()).expect(201);
    world.assign(&auditor, READER, &hub).expect(201);
    let ask = |who: &Identity, about: &str| {
        world.arm_as(who, "POST", "/decisions/access", &json!({ "principal": about, "scope": hub }))
    };
    let mine = ask(&me, "me").expect(200).body;
    let way = &entry(at(&mine, &hub), "can", WRITE).unwrap()["through"][0];
    assert_eq!(way["scope"], world.subscription());
    assert_eq!(ask(&me, &me.object_id).expect(200).body, mine);
    ask(&me, "auditor").expect(403);
    let theirs = ask(&auditor, "me-too").expect(200).body;
    let writes = entry(at(&theirs, &hub), "can", WRITE).unwrap();
    assert_eq!(writes["through"], json!([]), "it lies where the asker reads nothing");
    ask(&auditor, "nobody").expect(404);
    world.arm("POST", "/decisions/access", &json!({ "principal": "me" })).expect(400);

    // A policy that the asker may not read is a policy, and no more.
    world
        .define_policy("quiet", &json!({ "if": { "field": "type", "equals": format!("{HUBS}/devices") }, "then": { "effect": "deny" } }))
        .expect(201);
    world.assign_policy("quiet", &world.subscription()).expect(201);
    let writes = ask(&me, "me").expect(200).body;
    let writes = entry(at(&writes, &hub), "stopped", WRITE).unwrap();
    assert_eq!(writes["against"], json!([{ "kind": "policy" }]));

    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_hubward"))
            .arg("access")
            .args(arguments)
            .args(["--data", &world.setting("HUBWARD_DATA")])
            .env_clear()
            .env("COLUMNS", "400")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = run(&["me-too"]);
    assert_eq!(code, Some(0));
    for words in [
        "me-too (ServicePrincipal) can do",
        "IoT Hub Data Contributor",
        "policy: policy quiet",
        &hub,
    ] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    let (code, said) = run(&["me", "--at", &hub, "-o", "json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &told["keys"][0]["by"]), (Some(0), &json!("lists")));
    assert_eq!(run(&["nobody"]).0, Some(1));
}
