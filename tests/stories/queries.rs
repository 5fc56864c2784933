//! Queries over the devices of a hub: who may ask, what is found, and page after page.

use serde_json::{Value, json};
use testkit::{Answer, Identity, World};
use wire::mqtt::Qos;

const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const DATA_READER: &str = "b447c946-2db7-41ec-983d-d8bf3b1c77e3";

/// A role of data actions below `Microsoft.Devices/IotHubs/`, held by a new principal at the hub.
fn holder(world: &World, hub: &str, actions: &[&str]) -> Identity {
    let (who, id) = (world.service_principal("asker"), world.guid());
    let path = format!("{hub}/providers/Microsoft.Authorization/roleDefinitions/{id}");
    let actions: Vec<String> =
        actions.iter().map(|it| format!("Microsoft.Devices/IotHubs/{it}")).collect();
    let body = json!({ "properties": { "roleName": id, "assignableScopes": [hub],
        "permissions": [{ "dataActions": actions }] } });
    world.arm("PUT", &path, &body).expect(201);
    world.assign(&who, &id, hub).expect(201);
    who
}

fn second_hub(world: &World) -> String {
    let other = world.hub_named("second-hub");
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
    world.arm("PUT", &other, &body).expect(201);
    other
}

fn asks(world: &World, who: &Identity, hub: &str, query: &str) -> Answer {
    world.hub_as(who, "POST", hub, "/devices/query", &json!({ "query": query }))
}

fn with_key(
    world: &World,
    hub: &str,
    policy: &str,
    query: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let body = json!({ "query": query });
    world.hub_by_key(policy, "POST", hub, "/devices/query", headers, &body)
}

fn ids(answer: &Answer) -> Vec<String> {
    let all = answer.body.as_array().unwrap().iter();
    all.map(|it| it["deviceId"].as_str().unwrap().to_owned()).collect()
}

/// S2-45.
#[test]
fn a_query_over_twins_needs_to_read_twins_and_nothing_else() {
    let world = World::new();
    let (hub, other) = (world.hub(), second_hub(&world));
    let every = "SELECT * FROM devices";
    let nobody = world.service_principal("nobody");
    let lacks = |who: &Identity, hub: &str, query: &str, action: &str| {
        let refused = asks(&world, who, hub, query).expect(401);
        assert_eq!(refused.code(), "IotHubUnauthorized");
        assert!(
            refused.text().contains(&format!("Microsoft.Devices/IotHubs/{action}")),
            "{refused:?}"
        );
    };
    lacks(&nobody, &hub, every, "twins/read");
    // Reading devices, and writing twins, is another permission.
    let of_devices = holder(&world, &hub, &["devices/read", "twins/write", "jobs/read"]);
    lacks(&of_devices, &hub, every, "twins/read");
    lacks(&of_devices, &hub, "SELECT * FROM devices.modules", "twins/read");
    let of_twins = holder(&world, &hub, &["twins/read"]);
    assert_eq!(ids(&asks(&world, &of_twins, &hub, every).expect(200)), ["device-1"]);
    lacks(&of_twins, &other, every, "twins/read");
    let reader = world.service_principal("reader");
    world.assign(&reader, DATA_READER, &hub).expect(201);
    let found = asks(&world, &reader, &hub, every).expect(200);
    assert_eq!(found.header("x-ms-item-type"), Some("Twin"));
    assert_eq!(found.header("x-ms-continuation"), None);
    assert!(!found.text().contains("primaryKey"), "a reader of twins gets no keys");

    // By key: reading the registry is enough, or serving devices; being a device is not.
    for policy in ["iothubowner", "registryRead", "service"] {
        with_key(&world, &hub, policy, every, &[]).expect(200);
    }
    assert_eq!(
        with_key(&world, &hub, "device", every, &[]).expect(401).code(),
        "IotHubUnauthorizedAccess"
    );
    world.hub_with("", "POST", &hub, "/devices/query", &json!({ "query": every })).expect(401);
}

#[test]
fn a_query_over_jobs_needs_to_read_jobs() {
    let world = World::new();
    let hub = world.hub();
    let jobs = "SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'device-1'";
    let of_twins = holder(&world, &hub, &["twins/read"]);
    let refused = asks(&world, &of_twins, &hub, jobs).expect(401);
    assert!(refused.text().contains("Microsoft.Devices/IotHubs/jobs/read"), "{refused:?}");
    let of_jobs = holder(&world, &hub, &["jobs/read"]);
    let found = asks(&world, &of_jobs, &hub, jobs).expect(200);
    assert_eq!(found.body, json!([]));
    assert_eq!(found.header("x-ms-item-type"), Some("DeviceJob"));
    with_key(&world, &hub, "service", jobs, &[]).expect(200);
    with_key(&world, &hub, "registryRead", jobs, &[]).expect(401);
}

#[test]
fn a_query_finds_what_it_says_and_no_namesake() {
    let world = World::new();
    let (hub, other) = (world.hub(), second_hub(&world));
    let who = world.service_principal("writer");
    world.assign(&who, DATA_CONTRIBUTOR, &world.group()).expect(201);
    for id in ["pump-1", "pump-10", "Pump-1", "valve"] {
        world.puts_device(&who, &hub, id).expect(200);
    }
    world.puts_device(&who, &other, "pump-1").expect(200);
    let off = json!({ "deviceId": "valve", "status": "disabled", "statusReason": "it's lost" });
    world.hub_as(&who, "DELETE", &hub, "/devices/valve", &Value::Null).expect(412);
    world
        .hub_as(
            &who,
            "POST",
            &hub,
            "/devices",
            &json!([{ "id": "valve", "importMode": "update",
        "status": off["status"], "statusReason": off["statusReason"] }]),
        )
        .expect(200);
    let found = |query: &str| ids(&asks(&world, &who, &hub, query).expect(200));
    assert_eq!(found("select * from devices where deviceId = 'pump-1'"), ["pump-1"]);
    assert_eq!(
        found("select * from devices where DEVICEID in ['pump-1', 'Pump-1', 'no']"),
        ["Pump-1", "pump-1"]
    );
    assert_eq!(
        found("select * from devices where startswith(deviceId, 'pump-1')"),
        ["pump-1", "pump-10"]
    );
    assert_eq!(found("select * from devices where status != 'enabled'"), ["valve"]);
    assert_eq!(found(r"select * from devices where statusReason = 'it\'s lost'"), ["valve"]);
    assert_eq!(
        found("select top 2 * from devices where capabilities.iotEdge = false"),
        ["Pump-1", "device-1"]
    );
    assert!(found("select * from devices.modules where deviceId = 'pump-1'").is_empty());

    let raw = |query: &str| {
        let answer = asks(&world, &who, &hub, query).expect(200);
        assert_eq!(answer.header("x-ms-item-type"), Some("Raw"), "{query}");
        answer.body
    };
    assert_eq!(
        raw("SELECT COUNT() AS numberOfDevices FROM devices"),
        json!([{ "numberOfDevices": 5 }])
    );
    assert_eq!(
        raw("SELECT status, COUNT() AS n FROM devices GROUP BY status"),
        json!([{ "status": "disabled", "n": 1 }, { "status": "enabled", "n": 4 }])
    );
    assert_eq!(
        raw("SELECT deviceId, tags.floor AS floor FROM devices WHERE deviceId = 'valve'"),
        json!([{ "deviceId": "valve" }])
    );
}

#[test]
fn pages_follow_one_another_whatever_is_written_between() {
    let world = World::new();
    let hub = world.hub();
    let who = world.service_principal("writer");
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    for id in ["a", "b", "c", "d"] {
        world.puts_device(&who, &hub, id).expect(200);
    }
    let query = "SELECT * FROM devices WHERE deviceId != 'device-1'";
    let page = |query: &str, next: Option<&str>| {
        let mut headers = vec![("x-ms-max-item-count", "1")];
        headers.extend(next.map(|it| ("x-ms-continuation", it)));
        with_key(&world, &hub, "iothubowner", query, &headers)
    };
    let (mut found, mut next) = (Vec::new(), None::<String>);
    loop {
        let answer = page(query, next.as_deref()).expect(200);
        found.extend(ids(&answer));
        if found == ["a", "b"] {
            // Behind what was read, before it, and what was read last.
            world.puts_device(&who, &hub, "bb").expect(200);
            world.puts_device(&who, &hub, "aa").expect(200);
            let gone = json!([{ "id": "b", "importMode": "delete" }]);
            world.hub_as(&who, "POST", &hub, "/devices", &gone).expect(200);
        }
        next = answer.header("x-ms-continuation").map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    assert_eq!(found, ["a", "b", "bb", "c", "d"]);

    // A `TOP` counts over all pages.
    let top = "SELECT TOP 2 * FROM devices";
    let one = page(top, None).expect(200);
    let two = page(top, one.header("x-ms-continuation")).expect(200);
    assert_eq!((ids(&one), ids(&two)), (vec!["a".into()], vec!["aa".into()]));
    assert_eq!(two.header("x-ms-continuation"), None);

    // A continuation belongs to its query and to its hub.
    let next = one.header("x-ms-continuation").unwrap().to_owned();
    for (query, next) in [(query, next.as_str()), (top, "???"), (top, &next[1..])] {
        let refused = page(query, Some(next)).expect(400);
        assert!(
            refused.text().contains("ErrorCode:ArgumentInvalid;x-ms-continuation: "),
            "{refused:?}"
        );
    }
    let other = second_hub(&world);
    with_key(&world, &other, "iothubowner", top, &[("x-ms-continuation", &next)]).expect(400);
    with_key(&world, &hub, "iothubowner", top, &[("x-ms-max-item-count", "0")]).expect(400);
    with_key(&world, &hub, "iothubowner", top, &[("x-ms-max-item-count", "5000")]).expect(200);
}

#[test]
fn a_query_that_is_none_is_refused_with_its_place() {
    let world = World::new();
    let hub = world.hub();
    let refused = |body: &Value, expected: &str| {
        let answer = world.hub_as(&world.admin(), "POST", &hub, "/devices/query", body);
        let message = answer.body["Message"].as_str().unwrap_or("").to_owned();
        assert_eq!((answer.status, message.as_str()), (400, expected));
    };
    refused(&json!({}), "ErrorCode:ArgumentInvalid;query: this text is required");
    refused(&json!({ "query": 1 }), "ErrorCode:ArgumentInvalid;query: this text is required");
    refused(
        &json!({ "query": "SELECT * FROM devices\nWHERE tags.floor == 3" }),
        "ErrorCode:ArgumentInvalid;query: line 2, character 19: a name, a function, a text in quotes, a number, \
         true, false, null or a list is expected, but here stands `=`",
    );
    refused(
        &json!({ "query": format!("SELECT * FROM devices WHERE {}", "NOT ".repeat(1_000)) }),
        "ErrorCode:ArgumentInvalid;query: line 1, character 161: nested deeper than 32 levels",
    );
}

/// A hub's service API by a key of all rights.
fn as_owner(world: &World, hub: &str, method: &str, path: &str, body: &Value) -> Answer {
    world.hub_by_key("iothubowner", method, hub, path, &[], body)
}

fn items(world: &World, hub: &str, query: &str) -> Value {
    as_owner(world, hub, "POST", "/devices/query", &json!({ "query": query })).expect(200).body
}

/// The devices of a plant with their tags, and a module of one: what the examples of the documentation ask about.
fn plant(world: &World, hub: &str) {
    let twins = [
        ("pump-1", json!({ "building": 43, "floor": 1, "line": "A" }), json!({ "rate": 5 })),
        ("pump-10", json!({ "building": 43, "floor": 2, "line": "B" }), json!({ "rate": 7 })),
        ("pump-2", json!({ "building": 44, "floor": 1, "line": "A" }), json!({ "rate": 0.5 })),
        ("valve", json!({ "building": "43", "of": { "a-b": true } }), json!({})),
    ];
    for (id, tags, desired) in twins {
        world.device(hub, id);
        let body = json!({ "tags": tags, "properties": { "desired": desired } });
        as_owner(world, hub, "PATCH", &format!("/twins/{id}"), &body).expect(200);
    }
    for (id, module) in [("pump-1", "meter"), ("pump-10", "meter"), ("pump-1", "scale")] {
        let path = format!("/devices/{id}/modules/{module}");
        as_owner(world, hub, "PUT", &path, &json!({ "deviceId": id, "moduleId": module }))
            .expect(200);
    }
    let twin = json!({ "tags": { "unit": "l" } });
    as_owner(world, hub, "PATCH", "/twins/pump-1/modules/meter", &twin).expect(200);
}

#[test]
fn a_condition_sees_tags_properties_and_types_and_not_what_is_undefined() {
    let world = World::new();
    let hub = world.hub();
    plant(&world, &hub);
    let found = |condition: &str| -> String {
        let query = format!("SELECT deviceId FROM devices WHERE {condition}");
        let items = items(&world, &hub, &query);
        let ids = items.as_array().unwrap().iter().map(|it| it["deviceId"].as_str().unwrap());
        ids.collect::<Vec<_>>().join(" ")
    };
    for (condition, expected) in [
        ("tags.building = 43", "pump-1 pump-10"),
        ("tags.building = 43 AND tags.floor = 1", "pump-1"),
        ("tags.building = '43'", "valve"),
        ("devices.tags.floor IN [2, 3] OR tags.line = 'A'", "pump-1 pump-10 pump-2"),
        ("NOT tags.floor = 1 AND tags.building = 43", "pump-10"),
        ("tags.floor NIN [1]", "pump-10"),
        ("tags.of.[[a-b]]", "valve"),
        ("is_defined(tags.floor)", "pump-1 pump-10 pump-2"),
        ("NOT is_defined(tags.floor) AND tags.building != '44'", "valve"),
        ("tags.building != 44 AND NOT is_defined(tags.floor)", ""),
        ("IS_STRING(tags.building)", "valve"),
        ("properties.desired.rate > 0x05", "pump-10"),
        ("properties.desired.rate * 2 = 1", "pump-2"),
        ("properties.desired.$version = 1", "device-1"),
        ("startswith(deviceId, 'pump-1') and tags.line <> 'B'", "pump-1"),
        ("tags.Building = 43", ""),
        ("tags.building = null", ""),
        ("tags", ""),
    ] {
        assert_eq!(found(condition), expected, "{condition}");
    }
    // What a device reports is found from then on, and what it takes back is not.
    let pump = world.device(&hub, "reporter");
    let mut mqtt = pump.connects(world.wire(), world.now().plus_seconds(3_600));
    mqtt.subscribes("$iothub/twin/res/#", Qos::AtMostOnce);
    let topic = |at: u8| format!("$iothub/twin/PATCH/properties/reported/?$rid={at}");
    assert_eq!(found("properties.reported.state = 'stuck'"), "");
    assert_eq!(found("connectionState = 'Connected'"), "reporter");
    mqtt.asks(&topic(1), r#"{"state":"stuck"}"#);
    assert_eq!(found("properties.reported.state = 'stuck'"), "reporter");
    mqtt.asks(&topic(2), r#"{"state":null}"#);
    assert_eq!(found("properties.reported.state = 'stuck'"), "");
    mqtt.disconnect();
}

#[test]
fn modules_are_asked_for_by_themselves() {
    let world = World::new();
    let hub = world.hub();
    plant(&world, &hub);
    let found = |query: &str| {
        let all = items(&world, &hub, query);
        let name = |it: &Value| {
            format!("{}/{}", it["deviceId"].as_str().unwrap(), it["moduleId"].as_str().unwrap())
        };
        all.as_array().unwrap().iter().map(name).collect::<Vec<_>>().join(" ")
    };
    let every = "pump-1/meter pump-1/scale pump-10/meter";
    assert_eq!(found("SELECT * FROM devices.modules"), every);
    assert_eq!(
        found("SELECT * FROM devices.modules WHERE moduleId = 'meter'"),
        "pump-1/meter pump-10/meter"
    );
    assert_eq!(
        found("SELECT * FROM devices.modules WHERE deviceId = 'pump-1'"),
        "pump-1/meter pump-1/scale"
    );
    assert_eq!(
        found(
            "SELECT deviceId, moduleId FROM devices.modules m WHERE devices.modules.tags.unit = 'l'"
        ),
        "pump-1/meter"
    );
    assert_eq!(items(&world, &hub, "SELECT * FROM devices WHERE tags.unit = 'l'"), json!([]));
}

#[test]
fn an_aggregation_gathers_what_its_condition_leaves() {
    let world = World::new();
    let hub = world.hub();
    plant(&world, &hub);
    for (query, expected) in [
        ("SELECT COUNT() AS n FROM devices WHERE tags.building = 43", json!([{ "n": 2 }])),
        ("SELECT COUNT() FROM devices WHERE tags.building = 45", json!([{ "$1": 0 }])),
        (
            "SELECT tags.line AS line, COUNT() AS n, SUM(properties.desired.rate) AS all, \
             AVG(properties.desired.rate) AS mean, MIN(deviceId) AS first, \
             MAX(properties.desired.rate) AS most \
             FROM devices WHERE is_defined(tags.line) GROUP BY tags.line",
            json!([
                { "line": "A", "n": 2, "all": 5.5, "mean": 2.75, "first": "pump-1", "most": 5 },
                { "line": "B", "n": 1, "all": 7, "mean": 7.0, "first": "pump-10", "most": 7 },
            ]),
        ),
        (
            "SELECT TOP 1 tags.floor, COUNT() AS n FROM devices WHERE tags.floor > 0 \
             GROUP BY tags.floor",
            json!([{ "floor": 1, "n": 2 }]),
        ),
    ] {
        assert_eq!(items(&world, &hub, query), expected, "{query}");
    }
    let refused = |query: &str| {
        as_owner(&world, &hub, "POST", "/devices/query", &json!({ "query": query })).expect(400);
    };
    refused("SELECT COUNT() AS n FROM devices.modules");
    refused("SELECT tags.floor, COUNT() AS n FROM devices");
    refused("SELECT * FROM devices GROUP BY tags.floor");
    refused("SELECT * FROM devices ORDER BY deviceId");
    refused("SELECT jobId FROM devices.jobs");
}

/// However many devices, a page has what was asked for, 100 where nothing was, and all of them come once.
#[test]
fn a_page_has_a_hundred_items_where_no_number_is_asked_for() {
    let world = World::new();
    let hub = world.hub();
    for first in [0, 100] {
        let all: Vec<Value> = (first..first + 100)
            .map(|at| json!({ "id": format!("d{at:03}"), "importMode": "create" }))
            .collect();
        as_owner(&world, &hub, "POST", "/devices", &json!(all)).expect(200);
    }
    let query = "SELECT deviceId FROM devices WHERE startswith(deviceId, 'd')";
    let pages = |headers: &[(&str, &str)]| -> (Vec<usize>, Vec<String>) {
        let (mut sizes, mut found, mut next) = (Vec::new(), Vec::new(), None::<String>);
        loop {
            let mut headers = headers.to_vec();
            headers.extend(next.as_deref().map(|it| ("x-ms-continuation", it)));
            let answer = with_key(&world, &hub, "iothubowner", query, &headers).expect(200);
            sizes.push(ids(&answer).len());
            found.extend(ids(&answer));
            next = answer.header("x-ms-continuation").map(str::to_owned);
            if next.is_none() {
                return (sizes, found);
            }
        }
    };
    let (sizes, found) = pages(&[]);
    assert_eq!(sizes, [100, 100, 1]);
    assert!(found.is_sorted() && found.len() == 201);
    assert_eq!(pages(&[("x-ms-max-item-count", "67")]), (vec![67, 67, 67], found.clone()));
    assert_eq!(pages(&[("x-ms-max-item-count", "201")]), (vec![201], found));
}
