//! Services and devices talk: twins, methods, messages and what became of them, over HTTPS and MQTT.

use serde_json::{Value, json};
use testkit::{Answer, Device, Mqtt, World};
use wire::mqtt::{ConnectCode, Packet, Qos};

const REPORTED: &str = "$iothub/twin/PATCH/properties/reported/?$rid=";

struct Plant {
    world: World,
    hub: String,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        Self { hub: world.hub(), world }
    }

    fn device(&self, id: &str) -> Device {
        self.world.device(&self.hub, id)
    }

    fn connects(&self, device: &Device) -> Mqtt {
        device.connects(self.world.wire(), self.world.now().plus_seconds(3_600))
    }

    /// The service API, by a key of the hub.
    fn service(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.service_with(method, path, &[], body)
    }

    fn service_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        self.world.hub_by_key("iothubowner", method, &self.hub, path, headers, body)
    }

    fn sends(&self, device: &str, text: &str, ack: &str) -> Answer {
        let body = json!({ "body": text, "base64Encoded": false, "messageId": text, "ack": ack });
        self.service("POST", &format!("/devices/{device}/messages/deviceBound"), &body)
    }
}

#[test]
fn a_twin_is_written_by_services_and_reported_by_its_device() {
    let mut plant = Plant::new();
    let (pump, namesake) = (plant.device("pump-1"), plant.device("pump-10"));
    let mut mqtt = plant.connects(&pump);
    let mut other = plant.connects(&namesake);
    for it in [&mut mqtt, &mut other] {
        it.subscribes("$iothub/twin/res/#", Qos::AtMostOnce);
        it.subscribes("$iothub/twin/PATCH/properties/desired/#", Qos::AtMostOnce);
    }
    // The device asks, reports, and is told the version that its report led to.
    let (topic, twin) = mqtt.asks("$iothub/twin/GET/?$rid=a%20b", " ");
    assert_eq!(topic, "$iothub/twin/res/200/?$rid=a%20b");
    let empty = json!({ "desired": { "$version": 1 }, "reported": { "$version": 1 } });
    assert_eq!(serde_json::from_str::<Value>(&twin).unwrap(), empty);
    let (topic, _) = mqtt.asks(&format!("{REPORTED}1"), r#"{"rate":{"now":5},"gone":1}"#);
    assert_eq!(topic, "$iothub/twin/res/204/?$rid=1&$version=2");
    let (topic, _) = mqtt.asks(&format!("{REPORTED}2"), r#"{"gone":null}"#);
    assert_eq!(topic, "$iothub/twin/res/204/?$rid=2&$version=3");

    // A service merges; the device hears what was sent, and its namesake nothing.
    let patch = json!({ "tags": { "hall": 1 }, "properties": { "desired": { "rate": 7 } } });
    let written = plant.service("PATCH", "/twins/pump-1", &patch).expect(200);
    let (topic, body) = (mqtt.hears().0, json!({ "rate": 7, "$version": 2 }));
    assert_eq!(topic, "$iothub/twin/PATCH/properties/desired/?$version=2");
    assert_eq!(written.body["properties"]["reported"]["rate"]["now"], 5);
    assert_eq!(written.body["tags"], json!({ "hall": 1 }));
    let etag = written.body["etag"].as_str().unwrap().to_owned();
    // A stale etag changes nothing; the right one replaces.
    let replaced = json!({ "properties": { "desired": { "mode": "slow" } } });
    let stale = [("If-Match", "\"AAAAAAAAAAE=\"")];
    let refused = plant.service_with("PUT", "/twins/pump-1", &stale, &replaced);
    assert_eq!((refused.status, refused.code()), (412, "PreconditionFailed".to_owned()));
    let quoted = format!("\"{etag}\"");
    plant.service_with("PUT", "/twins/pump-1", &[("If-Match", &quoted)], &replaced).expect(200);
    let (topic, _, told) = mqtt.hears();
    assert_eq!(topic, "$iothub/twin/PATCH/properties/desired/?$version=3");
    assert_eq!(
        serde_json::from_str::<Value>(&told).unwrap(),
        json!({ "mode": "slow", "$version": 3 })
    );
    assert_ne!(body, json!(null));
    other.send(&Packet::PingReq).unwrap();
    assert_eq!(other.receive(), Ok(Packet::PingResp));

    // What no twin takes is refused with its place, to both, and nothing of it is kept.
    let (topic, told) = mqtt.asks(&format!("{REPORTED}3"), r#"{"a":1,"b.c":2}"#);
    assert_eq!(topic, "$iothub/twin/res/400/?$rid=3");
    assert!(told.contains("properties.reported"), "{told}");
    assert_eq!(mqtt.asks(&format!("{REPORTED}4"), "{").0, "$iothub/twin/res/400/?$rid=4");
    let wrong = json!({ "tags": { "$x": 1 } });
    assert_eq!(
        plant.service("PATCH", "/twins/pump-1", &wrong).expect(400).code(),
        "ArgumentInvalid"
    );
    mqtt.disconnect();
    plant.world.restart();
    let twin = plant.service("GET", "/twins/pump-1", &Value::Null).expect(200).body;
    assert_eq!(twin["tags"], json!({}));
    assert_eq!(twin["properties"]["desired"]["mode"], "slow");
    assert_eq!(twin["properties"]["reported"]["rate"], json!({ "now": 5 }));
    assert_eq!(twin["properties"]["reported"]["$version"], 3);
    assert!(twin["properties"]["reported"].get("gone").is_none());
    assert_eq!(plant.service("GET", "/twins/pump-2", &Value::Null).code(), "DeviceNotFound");
}

/// What a device reports leaves the etag of its identity alone.
#[test]
fn a_device_that_reports_is_no_reason_to_refuse_a_write_of_its_identity() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    let shown = plant.service("GET", "/devices/pump-1", &Value::Null).expect(200).body;
    let mut mqtt = plant.connects(&pump);
    mqtt.subscribes("$iothub/twin/res/#", Qos::AtMostOnce);
    mqtt.asks(&format!("{REPORTED}1"), r#"{"a":1}"#);
    let etag = format!("\"{}\"", shown["etag"].as_str().unwrap());
    let mut body = shown;
    body["statusReason"] = json!("looked at");
    plant.service_with("PUT", "/devices/pump-1", &[("If-Match", &etag)], &body).expect(200);
    let again = plant.service_with("PUT", "/devices/pump-1", &[("If-Match", &etag)], &body);
    assert_eq!(again.status, 412);
}

#[test]
fn a_method_is_answered_by_the_device_that_it_was_called_on() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    let call = |wait: u64| {
        let body = json!({
            "methodName": "set rate", "payload": { "rate": 5 },
            "responseTimeoutInSeconds": 30, "connectTimeoutInSeconds": wait,
        });
        plant.service("POST", "/twins/pump-1/methods", &body)
    };
    // Nobody there, and somebody who does not listen, are the same.
    assert_eq!((call(0).status, call(0).code()), (404, "DeviceNotOnline".to_owned()));
    let mut mqtt = plant.connects(&pump);
    assert_eq!(call(0).code(), "DeviceNotOnline");
    let answered = std::thread::scope(|scope| {
        let answered = scope.spawn(|| call(60));
        mqtt.subscribes("$iothub/methods/POST/#", Qos::AtMostOnce);
        let (topic, _, payload) = mqtt.hears();
        let request = topic.strip_prefix("$iothub/methods/POST/set%20rate/?$rid=").unwrap();
        assert_eq!(payload, r#"{"rate":5}"#);
        // Who answers what nobody asked does no harm.
        mqtt.publish("$iothub/methods/res/200/?$rid=ffff", b"{}").unwrap();
        let topic = format!("$iothub/methods/res/418/?$rid={request}");
        mqtt.publish(&topic, br#"{"was":3}"#).unwrap();
        answered.join().unwrap()
    });
    assert_eq!(answered.expect(200).body, json!({ "status": 418, "payload": { "was": 3 } }));
    // A device that goes away before it answers is told of at once.
    let gone = std::thread::scope(|scope| {
        let gone = scope.spawn(|| call(0));
        mqtt.hears();
        drop(mqtt);
        gone.join().unwrap()
    });
    assert_eq!((gone.status, gone.code()), (404, "DeviceNotOnline".to_owned()));
    let unknown = plant.service("POST", "/twins/pump-2/methods", &json!({ "methodName": "m" }));
    assert_eq!(unknown.code(), "DeviceNotFound");
    let wrong = plant.service("POST", "/twins/pump-1/methods", &json!({ "methodName": "" }));
    assert_eq!((wrong.status, wrong.code()), (400, "ArgumentInvalid".to_owned()));
}

#[test]
fn messages_reach_a_device_in_their_order_and_their_senders_hear_of_it() {
    let mut plant = Plant::new();
    let pump = plant.device("pump-1");
    plant.sends("pump-1", "first", "full").expect(204);
    plant.sends("pump-1", "second", "none").expect(204);
    let shown = plant.service("GET", "/devices/pump-1", &Value::Null).expect(200).body;
    assert_eq!(shown["cloudToDeviceMessageCount"], 2);
    // They wait over a restart.
    plant.world.restart();
    let filter = "devices/pump-1/messages/devicebound/#";
    let mut mqtt = plant.connects(&pump);
    mqtt.subscribes(filter, Qos::AtLeastOnce);
    let (topic, id, body) = mqtt.hears();
    assert_eq!(body, "first");
    let bag = "%24.to=%2Fdevices%2Fpump-1%2Fmessages%2Fdevicebound&%24.mid=first&iothub-ack=full";
    assert_eq!(topic, format!("devices/pump-1/messages/devicebound/{bag}"));
    mqtt.send(&Packet::PubAck(id.unwrap())).unwrap();
    let (_, _, body) = mqtt.hears();
    assert_eq!(body, "second");
    // What it acknowledged has arrived before it goes.
    mqtt.send(&Packet::PingReq).unwrap();
    assert_eq!(mqtt.receive(), Ok(Packet::PingResp));
    // The second was not acknowledged: it is there again for the next session, which need not subscribe again.
    mqtt.send(&Packet::Disconnect).unwrap();
    // What was said before a good-bye was heard once the connection is closed.
    assert_eq!(mqtt.until_closed(), []);
    let mut mqtt = plant.connects(&pump);
    let (_, id, body) = mqtt.hears();
    assert_eq!(body, "second");
    mqtt.send(&Packet::PubAck(id.unwrap())).unwrap();
    assert_eq!(plant.world.feedback(&plant.hub), [("first".to_owned(), "Success".to_owned())]);
    assert_eq!(plant.world.feedback(&plant.hub), []);
    // Sent to who listens, it comes at once; a clean session forgets.
    plant.sends("pump-1", "third", "none").expect(204);
    assert_eq!(mqtt.hears().2, "third");
    mqtt.disconnect();
    let mut clean = pump.greeting(&pump.signature(plant.world.now().plus_seconds(600)));
    clean.clean_session = true;
    let (code, mut mqtt) = pump.tries(plant.world.wire(), clean).unwrap();
    assert_eq!(code, ConnectCode::Accepted);
    mqtt.send(&Packet::PingReq).unwrap();
    assert_eq!(mqtt.receive(), Ok(Packet::PingResp));
    mqtt.subscribes(filter, Qos::AtMostOnce);
    let (_, id, body) = mqtt.hears();
    assert_eq!((body.as_str(), id), ("third", None));
    mqtt.disconnect();
}

/// Threat 45: one past the most that wait for a device is refused to its sender.
#[test]
fn a_queue_has_its_depth_its_expiry_and_can_be_purged() {
    let plant = Plant::new();
    plant.device("pump-1");
    plant.device("pump-10");
    for number in 0..50 {
        plant.sends("pump-1", &format!("m{number}"), "negative").expect(204);
    }
    let full = plant.sends("pump-1", "one more", "none");
    assert_eq!((full.status, full.code()), (403, "DeviceMaximumQueueDepthExceeded".to_owned()));
    plant.sends("pump-10", "namesake", "none").expect(204);
    // After their time they make room, and their senders hear of it.
    plant.world.pass_seconds(3_600);
    plant.sends("pump-1", "one more", "negative").expect(204);
    let told = plant.world.feedback(&plant.hub);
    assert_eq!(told.len(), 50);
    assert!(told.iter().all(|(_, code)| code == "Expired"), "{told:?}");
    let purged = plant.service("DELETE", "/devices/pump-1/commands", &Value::Null).expect(200);
    assert_eq!(purged.body["totalMessagesPurged"], 1);
    assert_eq!(plant.world.feedback(&plant.hub), [("one more".to_owned(), "Purged".to_owned())]);
    assert_eq!(plant.sends("pump-2", "x", "none").code(), "DeviceNotFound");
    let large = plant.sends("pump-1", &"x".repeat(64 << 10), "none");
    assert_eq!((large.status, large.code()), (413, "MessageTooLarge".to_owned()));
}

#[test]
fn modules_have_identities_twins_and_sessions_of_their_own() {
    let plant = Plant::new();
    plant.device("pump-1");
    let path = "/devices/pump-1/modules/valve";
    let shown = plant.service("PUT", path, &json!({ "managedBy": "us" })).expect(200).body;
    assert_eq!((&shown["deviceId"], &shown["moduleId"]), (&json!("pump-1"), &json!("valve")));
    assert_eq!(plant.service("PUT", path, &json!({})).code(), "ModuleAlreadyExistsOnDevice");
    assert_eq!(
        plant.service("PUT", "/devices/pump-2/modules/m", &json!({})).code(),
        "DeviceNotFound"
    );
    plant
        .service("PATCH", "/twins/pump-1/modules/valve", &json!({ "tags": { "a": 1 } }))
        .expect(200);
    assert_eq!(
        plant.service("GET", "/twins/pump-1", &Value::Null).expect(200).body["tags"],
        json!({})
    );
    let all = plant.service("GET", "/devices/pump-1/modules", &Value::Null).expect(200).body;
    assert_eq!(all.as_array().map(Vec::len), Some(1));

    let origin = plant.world.hub_origin(&plant.hub);
    let mut module = Device::new(plant.device("spare").port, &origin, &shown);
    module.id = "pump-1/modules/valve".into();
    let mut greeting = module.greeting(&module.signature(plant.world.now().plus_seconds(600)));
    greeting.client_id = "pump-1/valve".into();
    greeting.user_name = Some(format!("{}/pump-1/valve/?api-version=2021-04-12", module.host));
    let (code, mut mqtt) = module.tries(plant.world.wire(), greeting.clone()).unwrap();
    assert_eq!(code, ConnectCode::Accepted);
    mqtt.publish("devices/pump-1/modules/valve/messages/events/a=b", b"hello").unwrap();
    let sent = &plant.world.messages(&plant.hub)[0];
    assert_eq!((sent.device.as_str(), sent.module.as_str()), ("pump-1", "valve"));
    let shown = plant.service("GET", path, &Value::Null).expect(200).body;
    assert_eq!(shown["connectionState"], "Connected");
    // A module of a device that is disabled is out with it.
    let disabled = json!({ "status": "disabled" });
    plant.service_with("PUT", "/devices/pump-1", &[("If-Match", "*")], &disabled).expect(200);
    assert_eq!(mqtt.until_closed(), []);
    let (code, _) = module.tries(plant.world.wire(), greeting).unwrap();
    assert_eq!(code, ConnectCode::NotAuthorized);
    // And goes with its device.
    plant.service_with("DELETE", "/devices/pump-1", &[("If-Match", "*")], &Value::Null).expect(204);
    assert_eq!(plant.service("GET", path, &Value::Null).code(), "ModuleNotFound");
}
