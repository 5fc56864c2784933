//! MQTT cannot say why a device was refused or thrown out. The hub's log of connections does, with the id under
//! which the decision can be asked for.

use super::diagnostics::{category, records, send_logs};
use serde_json::{Value, json};
use testkit::{Device, World};
use wire::mqtt::{ConnectCode, Qos};

/// The records so far, each as its operation, the hub's number and the device.
fn told(world: &World) -> Vec<(Value, Value)> {
    let all = records(world, "connections");
    all.into_iter().filter(|(it, _)| it["category"] == "Connections").collect()
}

pub fn waits_for(world: &World, count: usize) -> Vec<(Value, Value)> {
    loop {
        let told = told(world);
        assert!(told.len() <= count, "{told:#?}");
        if told.len() == count {
            return told;
        }
        std::thread::yield_now();
    }
}

/// Threat 33: who published on another device's topic is logged under its own id, with the topic.
#[test]
fn the_log_of_connections_says_why_a_device_was_refused_or_thrown_out() {
    let world = World::new();
    let hub = world.hub();
    send_logs(&world, &hub, "connections", &category("Connections")).expect(200);
    let device = world.device(&hub, "device1");
    let later = world.now().plus_seconds(600);

    // Refused: the decision is kept under the id that the log names.
    let stranger = Device { key: vec![1; 32], ..device.clone() };
    let greeting = stranger.greeting(&stranger.signature(later));
    let (code, _) = stranger.tries(world.wire(), greeting).unwrap();
    assert_eq!(code, ConnectCode::NotAuthorized);
    let (record, properties) = waits_for(&world, 1).remove(0);
    assert_eq!(
        (&record["operationName"], &record["resultType"], &properties["deviceId"]),
        (&json!("deviceConnect"), &json!("401002"), &json!("device1"))
    );
    let explained = world.explained(properties["trackingId"].as_str().unwrap());
    let call = &explained["decision"]["call"];
    assert_eq!(
        (&call["operation"], &call["channel"]["protocol"]),
        (&json!("ConnectDevice"), &json!("mqtt"))
    );
    assert_eq!(explained["decision"]["steps"][0]["verdict"], "deny");

    // Each end of a session, joined with its beginning.
    let connects = || device.connects(world.wire(), later);
    let mut count = 1;
    let mut ends = |number: &str, word: &str| {
        count += 2;
        let all = waits_for(&world, count);
        let of = |name: &str| all.iter().rev().find(|it| it.0["operationName"] == name).unwrap();
        let (begun, ended) = (of("deviceConnect"), of("deviceDisconnect"));
        assert_eq!(
            (&ended.0["resultType"], &ended.1["deviceId"]),
            (&json!(number), &json!("device1"))
        );
        assert!(ended.0["resultDescription"].as_str().unwrap().contains(word), "{ended:?}");
        assert_eq!(ended.0["correlationId"], begun.0["correlationId"]);
        assert_eq!(begun.0["resultType"], "0");
        ended.1["trackingId"].clone()
    };
    connects().disconnect();
    ends("0", "");
    drop(connects());
    ends("404104", "without a good-bye");
    connects().publish_as(Qos::AtLeastOnce, "devices/device10/messages/events/", b"x").unwrap();
    ends("400004", "devices/device10/messages/events/");
    let mut mqtt = connects();
    mqtt.publish_as(Qos::AtLeastOnce, &format!("{}a=%ff", device.events()), b"x").unwrap();
    mqtt.until_closed();
    ends("400004", "UTF-8");
    let mut mqtt = connects();
    let (headers, body) = ([("If-Match", "*")], json!({ "status": "disabled" }));
    world.hub_by_key("iothubowner", "PUT", &hub, "/devices/device1", &headers, &body).expect(200);
    mqtt.until_closed();
    let tracking = ends("401002", "disabled");
    let explained = world.explained(tracking.as_str().unwrap());
    assert_eq!(explained["decision"]["steps"][0]["verdict"], "deny", "{explained}");
}

/// Threat 39: a takeover is reported.
#[test]
fn a_session_that_is_taken_over_says_so_and_another_hub_hears_nothing() {
    let world = World::new();
    let (hub, other) = (world.hub(), world.hub_named("hub10"));
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
    world.arm("PUT", &other, &body).expect(201);
    send_logs(&world, &hub, "connections", &category("Connections")).expect(200);
    let (device, namesake) = (world.device(&hub, "device1"), world.device(&other, "device1"));
    let later = world.now().plus_seconds(600);
    let mut first = device.connects(world.wire(), later);
    let mut elsewhere = namesake.connects(world.wire(), later);
    let _second = device.connects(world.wire(), later);
    first.until_closed();
    let all = waits_for(&world, 3);
    let ended = all.iter().find(|it| it.0["operationName"] == "deviceDisconnect").unwrap();
    assert_eq!(ended.0["resultType"], "400027");
    elsewhere.publish(&namesake.events(), b"still here").unwrap();
}
