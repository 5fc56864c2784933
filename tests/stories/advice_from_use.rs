//! Advice from what was really used: roles in place of keys, smaller roles, and who reaches keys.

use super::roles::{CONTRIBUTOR, DATA_CONTRIBUTOR, OWNER, READER};
use super::what_if::hubward;
use serde_json::{Value, json};
use testkit::World;

fn advice(world: &World, scope: &str) -> Value {
    world.arm("POST", "/decisions/advise", &json!({ "scope": scope })).expect(200).body
}

#[track_caller]
fn of<'a>(told: &'a Value, list: &str, name: &str) -> &'a Value {
    let found = told[list].as_array().unwrap().iter().find(|it| it["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}: {told}"))
}

/// S2-04: who uses keys is listed by policy, with the last use and the role that would take its place, at the hub itself.
#[test]
fn whoever_uses_a_key_is_told_the_role_instead() {
    let world = World::new();
    let (hub, other) = (world.hub(), world.hub_named("other"));
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
    world.arm("PUT", &other, &body).expect(201);
    let call = |hub: &str, policy: &str, method: &str, path: &str, body: &Value| {
        world.hub_by_key(policy, method, hub, path, &[], body)
    };
    call(&hub, "registryReadWrite", "PUT", "/devices/d1", &json!({ "deviceId": "d1" })).expect(200);
    world.pass_seconds(90);
    call(&hub, "registryRead", "GET", "/devices/d1", &Value::Null).expect(200);
    call(&hub, "registryRead", "GET", "/devices/d1", &Value::Null).expect(200);
    call(&other, "registryRead", "GET", "/devices", &Value::Null).expect(200);
    // What is refused is no use.
    call(&hub, "registryRead", "PUT", "/devices/d2", &json!({ "deviceId": "d2" })).expect(401);
    let told = advice(&world, &hub);
    let keys = told["keys"].as_array().unwrap();
    let shown: Vec<(&Value, &Value, &Value)> = keys
        .iter()
        .map(|it| (&it["policy"], &it["calls"], &it["replacedBy"][0]["roleName"]))
        .collect();
    let (reader, writer) = (json!("IoT Hub Data Reader"), json!("IoT Hub Registry Contributor"));
    assert_eq!(
        shown,
        [
            (&json!("registryRead"), &json!(2), &reader),
            (&json!("registryReadWrite"), &json!(1), &writer)
        ],
        "{told}"
    );
    assert!(
        keys.iter().all(|it| it["scope"] == hub && it["replacedBy"][0]["scope"] == hub),
        "{told}"
    );
    assert_eq!(keys[0]["last"], json!(world.now().rfc3339()));
    assert_eq!(advice(&world, &world.group())["keys"].as_array().unwrap().len(), 3);
    // The role does what the key did.
    let who = world.service_principal("instead");
    world.assign(&who, keys[0]["replacedBy"][0]["roleId"].as_str().unwrap(), &hub).expect(201);
    world.hub_as(&who, "GET", &hub, "/devices/d1", &Value::Null).expect(200);
    world.puts_device(&who, &hub, "d2").expect(401);
    let (code, said) = hubward(&world, &["advise", "--scope", &hub]);
    assert!(
        code == Some(0) && said.contains("registryRead") && said.contains("IoT Hub Data Reader"),
        "{said}"
    );
}

/// S2-14: who holds more than it has used is told the narrowest place and the smallest role; whoever has used nothing is
/// named, and nothing is proposed.
#[test]
fn smaller_roles_come_from_what_was_used() {
    let world = World::new();
    let hub = world.hub();
    let names = ["wide", "tight", "quiet", "both"];
    let [wide, tight, quiet, both] = names.map(|it| world.service_principal(it));
    world.assign(&wide, DATA_CONTRIBUTOR, &world.subscription()).expect(201);
    let reader = "b447c946-2db7-41ec-983d-d8bf3b1c77e3";
    world.assign(&tight, reader, &hub).expect(201);
    world.assign(&quiet, OWNER, &world.group()).expect(201);
    world.assign(&both, CONTRIBUTOR, &world.group()).expect(201);
    world.assign(&both, DATA_CONTRIBUTOR, &hub).expect(201);
    world.puts_device(&both, &hub, "d1").expect(200);
    world.arm_as(&both, "GET", &hub, &Value::Null).expect(200);
    for who in [&wide, &tight] {
        world.hub_as(who, "GET", &hub, "/devices/d1", &Value::Null).expect(200);
    }
    let told = advice(&world, "/");
    let proposed = |name: &str| {
        let all = of(&told, "principals", name)["proposed"].as_array().unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        let roles = all[0]["roles"].as_array().unwrap().iter();
        let roles: Vec<&str> = roles.map(|it| it["roleName"].as_str().unwrap()).collect();
        (roles.join("+"), all[0]["scope"].as_str().unwrap().to_lowercase())
    };
    assert_eq!(proposed("wide"), ("IoT Hub Data Reader".into(), hub.to_lowercase()));
    assert_eq!(of(&told, "principals", "wide")["fits"], false);
    assert_eq!(of(&told, "principals", "tight")["fits"], true, "{told}");
    let (roles, at) = proposed("both");
    assert_eq!((roles.as_str(), at), ("Reader+IoT Hub Registry Contributor", hub.to_lowercase()));
    let custom = &of(&told, "principals", "both")["proposed"][0]["custom"];
    assert_eq!(custom["Actions"], json!(["Microsoft.Devices/IotHubs/read"]));
    assert_eq!(custom["DataActions"], json!(["Microsoft.Devices/IotHubs/devices/write"]));
    for name in ["wide", "tight", "both"] {
        let tried = &of(&told, "principals", name)["tried"];
        assert!(tried["calls"].as_u64() > Some(0) && tried["calls"] == tried["granted"], "{tried}");
    }
    // Nothing is known of who has done nothing.
    assert!(of(&told, "unseen", "quiet")["proposed"].is_null());
    assert!(told["since"].is_string());
    // At the hub alone what counts further out says so.
    let here = advice(&world, &hub);
    assert_eq!(of(&here, "principals", "wide")["holds"][0]["reachesFurther"], true, "{here}");
    assert_eq!(of(&here, "principals", "tight")["holds"][0]["reachesFurther"], false);

    // The proposal is enough: with it in place of what is held, the same calls pass and others do not.
    let list =
        format!("{}/providers/Microsoft.Authorization/roleAssignments", world.subscription());
    let held = world.arm("GET", &list, &Value::Null).expect(200).body;
    let held = held["value"].as_array().unwrap().iter();
    let id = held.clone().find(|it| it["properties"]["principalId"] == wide.object_id.as_str());
    world.arm("DELETE", id.unwrap()["id"].as_str().unwrap(), &Value::Null).expect(200);
    world.hub_as(&wide, "GET", &hub, "/devices/d1", &Value::Null).expect(401);
    world.assign(&wide, reader, &hub).expect(201);
    world.hub_as(&wide, "GET", &hub, "/devices/d1", &Value::Null).expect(200);
    world.puts_device(&wide, &hub, "d2").expect(401);
    assert_eq!(of(&advice(&world, "/"), "principals", "wide")["fits"], true);

    // Who may not read roles there is told nothing.
    let body = json!({ "scope": hub });
    world.arm_as(&tight, "POST", "/decisions/advise", &body).expect(403);
}

/// S2-59, X-16: in that view stands who reaches keys, and how: by listing them, by writing the service, by giving roles.
#[test]
fn who_reaches_keys_stands_beside_the_roles_for_data() {
    let world = World::new();
    let hub = world.hub();
    let names = ["owner", "contributor", "data", "reader"];
    let [owner, contributor, data, reader] = names.map(|it| world.service_principal(it));
    world.assign(&owner, OWNER, &hub).expect(201);
    world.assign(&contributor, CONTRIBUTOR, &hub).expect(201);
    world.assign(&data, DATA_CONTRIBUTOR, &hub).expect(201);
    world.assign(&reader, READER, &hub).expect(201);
    let ways = |told: &Value, name: &str| {
        let all = told["reachKeys"].as_array().unwrap();
        let found = all.iter().find(|it| it["name"] == name);
        let ways = found.map_or(&[][..], |it| it["ways"].as_array().unwrap().as_slice());
        ways.iter().map(|it| it["by"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let told = advice(&world, &hub);
    assert_eq!(ways(&told, "owner"), ["assigns", "lists", "writes"], "{told}");
    assert_eq!(ways(&told, "contributor"), ["lists", "writes"]);
    assert_eq!((ways(&told, "data"), ways(&told, "reader")), (Vec::new(), Vec::new()));
    let through = &of(&told, "reachKeys", "owner")["ways"][0]["through"][0];
    assert_eq!((&through["roleName"], &through["scope"]), (&json!("Owner"), &json!(hub)));
    // Without keys nobody gains by listing them; whoever writes the hub switches them on.
    let off = json!({ "properties": { "disableLocalAuth": true } });
    world.arm("PATCH", &hub, &off).expect(200);
    assert_eq!(ways(&advice(&world, &hub), "contributor"), ["writes"]);
    let (code, said) = hubward(&world, &["advise", "--scope", &hub]);
    assert!(code == Some(0) && said.contains("writes the service"), "{said}");
}
