//! Quotas and throttles, where they are switched on: a hub takes so much and no more, says when it takes more, and
//! another hub notices nothing.

use bytes::BytesMut;
use serde_json::{Value, json};
use testkit::{Answer, Mqtt, World};
use wire::mqtt::{ByteString, Packet, Publish, Qos, encode};

const READ_TWIN: &str = "$iothub/twin/GET/?$rid=";
const REPORT: &str = "$iothub/twin/PATCH/properties/reported/?$rid=";
/// What a hub's name in `/metrics` looks like.
const METER: &str = "hub=\"";

fn other_hub(world: &World) -> String {
    let hub = world.hub_named("hub10");
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
    world.arm("PUT", &hub, &body).expect(201);
    hub
}

/// Calls of a hub's service API by its owner's key, signed once.
struct Service<'a> {
    world: &'a World,
    origin: String,
    sas: String,
}

impl<'a> Service<'a> {
    fn of(world: &'a World, hub: &str) -> Self {
        let (origin, sas) = (world.hub_origin(hub), world.policy_sas(hub, "iothubowner"));
        Self { world, origin, sas }
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.call_with(method, path, &[("If-Match", "*")], body)
    }

    fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let url = format!("{}{path}?api-version=2021-04-12", self.origin);
        let mut all = vec![("Authorization", self.sas.as_str())];
        all.extend_from_slice(headers);
        self.world.wire().json_with(method, &url, &all, body)
    }

    fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &Value::Null)
    }

    fn makes(&self, device: &str) -> Answer {
        self.call_with("PUT", &format!("/devices/{device}"), &[], &json!({ "deviceId": device }))
    }
}

/// A refusal, checked: its status and word, and after how many seconds it may be tried again.
#[track_caller]
fn refused(answer: &Answer, status: u16, word: &str) -> Option<u64> {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("iothub-errorcode"), Some(word));
    let text = answer.body["Message"].as_str().unwrap();
    assert!(text.starts_with(&format!("ErrorCode:{word};")), "{text}");
    answer.header("Retry-After").map(|it| it.parse().unwrap())
}

/// A number of `/metrics`; 0 where it is not there.
pub fn metric(world: &World, name: &str) -> u64 {
    let text = world.env().limits.render(world.env());
    let line = text.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |it| it.parse().unwrap())
}

#[test]
fn operations_past_a_throttle_are_refused_until_time_has_passed_and_another_hub_notices_nothing() {
    let world = World::limited("S1x1");
    let (hub, other) = (world.hub(), other_hub(&world));
    let (busy, quiet) = (Service::of(&world, &hub), Service::of(&world, &other));
    busy.makes("device1").expect(200);
    quiet.makes("device1").expect(200);
    for _ in 1..100 {
        busy.get("/devices/device1").expect(200);
    }
    let since = world.now();
    let past = busy.get("/devices/device1");
    assert_eq!(refused(&past, 429, "ThrottlingException"), Some(1));
    assert_eq!(past.header("x-hubward-retry"), Some("throttle"));
    let text = past.text();
    assert!(text.contains("100 operations on identities a minute (edition S1x1)"), "{text}");
    // Whatever it would have been, it is refused before anybody looks.
    assert_eq!(refused(&busy.get("/devices/none"), 429, "ThrottlingException"), Some(1));
    // No gate has refused, and nothing is kept of it.
    assert!(world.refusals(since).is_empty());
    // What is counted apart goes on, and so does the other hub.
    busy.get("/twins/device1").expect(200);
    quiet.get("/devices/device1").expect(200);
    // Who cannot prove who it is learns nothing, and uses nothing up.
    let stranger = Service { sas: busy.sas.replace("sig=", "sig=A"), ..Service::of(&world, &hub) };
    stranger.get("/devices/device1").expect(401);

    world.pass_seconds(1);
    busy.get("/devices/device1").expect(200);
    refused(&busy.get("/devices/device1"), 429, "ThrottlingException");
    world.pass_seconds(59);
    for _ in 0..98 {
        busy.get("/devices/device1").expect(200);
    }
    let name = |class: &str, which: &str, of: &str| {
        format!("hubward_throttle_{which}_total{{{METER}{of}\",class=\"{class}\"}}")
    };
    let this = world.setting("HUBWARD_HUB");
    assert_eq!(metric(&world, &name("identities", "taken", &this)), 199);
    assert_eq!(metric(&world, &name("identities", "refused", &this)), 3);
    assert_eq!(metric(&world, &name("identities", "taken", "hub10")), 2);
    assert_eq!(metric(&world, &name("identities", "refused", "hub10")), 0);
}

#[test]
fn who_may_not_do_something_uses_nothing_up() {
    let world = World::limited("S1x1");
    let hub = world.hub();
    let nobody = world.service_principal("nobody");
    let token = world.token(&nobody, "https://iothubs.azure.net");
    let without = Service { sas: format!("Bearer {token}"), ..Service::of(&world, &hub) };
    for _ in 0..21 {
        without
            .call("POST", "/devices/query", &json!({ "query": "SELECT * FROM devices" }))
            .expect(401);
    }
    let owner = Service::of(&world, &hub);
    let query =
        || owner.call("POST", "/devices/query", &json!({ "query": "SELECT * FROM devices" }));
    for _ in 0..20 {
        query().expect(200);
    }
    assert_eq!(refused(&query(), 429, "ThrottlingException"), Some(3));
    world.pass_seconds(2);
    assert_eq!(refused(&query(), 429, "ThrottlingException"), Some(1));
    world.pass_seconds(1);
    query().expect(200);
}

#[test]
fn a_unit_more_brings_as_much_again_and_without_the_switch_nothing_is_limited() {
    let configurations = |world: &World, times: usize| {
        let hub = world.hub();
        let service = Service::of(world, &hub);
        (0..times).map(|_| service.get("/configurations").status).collect::<Vec<_>>()
    };
    let world = World::limited("S1x2");
    let all = configurations(&world, 41);
    assert_eq!(all.iter().position(|it| *it == 429), Some(40), "{all:?}");
    drop(world);
    let world = World::new();
    assert_eq!(configurations(&world, 41), [200; 41]);
    assert_eq!(world.env().limits.render(world.env()), "");
}

#[test]
fn a_basic_hub_has_no_twins_methods_jobs_or_messages_to_devices() {
    let world = World::limited("B1x1");
    let hub = world.hub();
    let service = Service::of(&world, &hub);
    let device = world.device(&hub, "device1");
    let lacks = |answer: Answer| {
        assert_eq!(refused(&answer, 403, "OperationNotAvailableInCurrentTier"), None);
        assert_eq!(answer.header("x-hubward-retry"), Some("never"));
    };
    lacks(service.get("/twins/device1"));
    lacks(service.call("POST", "/twins/device1/methods", &json!({ "methodName": "m" })));
    lacks(service.get("/jobs/v2/query"));
    lacks(service.get("/configurations"));
    lacks(service.call("POST", "/devices/device1/messages/deviceBound", &json!({})));
    service.get("/devices/device1").expect(200);
    let mut mqtt = device.connects(world.wire(), world.now().plus_seconds(600));
    mqtt.publish(&device.events(), b"hello").unwrap();
    mqtt.subscribes("$iothub/twin/res/#", Qos::AtMostOnce);
    let (topic, body) = mqtt.asks(&format!("{READ_TWIN}1"), "");
    assert!(topic.starts_with("$iothub/twin/res/403/?$rid=1"), "{topic}");
    assert!(body.contains("OperationNotAvailableInCurrentTier"), "{body}");
}

/// Sends until the hub's bucket of a class is empty.
pub fn empties(mqtt: &mut Mqtt, topic: &str, payload: &[u8], times: usize) {
    for _ in 0..times {
        mqtt.publish_unacknowledged(topic, payload).unwrap();
    }
    for _ in 0..times {
        assert!(matches!(mqtt.receive(), Ok(Packet::PubAck(_))));
    }
}

/// So many messages of one letter, as the bytes of one write.
fn packets(topic: &str, count: u16) -> BytesMut {
    let mut bytes = BytesMut::new();
    for id in 1..=count {
        let publish = Publish {
            dup: false,
            qos: Qos::AtLeastOnce,
            retain: false,
            topic: ByteString::from(topic),
            id: Some(id),
            payload: b"y".to_vec().into(),
        };
        encode(&Packet::Publish(publish), &mut bytes).unwrap();
    }
    bytes
}

#[test]
fn a_device_that_sends_too_fast_is_slowed_down_and_goes_on_when_time_has_passed() {
    let world = World::limited("S1x1");
    let (hub, other) = (world.hub(), other_hub(&world));
    let device = world.device(&hub, "device1");
    let elsewhere = world.device(&other, "device1");
    let later = world.now().plus_seconds(600);
    let mut mqtt = device.connects(world.wire(), later);
    // What a minute brings is taken at once.
    empties(&mut mqtt, &device.events(), b"x", 6_000);
    let held = |of: &str| metric(&world, &format!("hubward_held_up_total{{{METER}{of}\"}}"));
    let this = world.setting("HUBWARD_HUB");
    assert_eq!(held(&this), 0);
    // The next is taken, too, but then the hub reads no more from the device.
    mqtt.publish(&device.events(), b"6001").unwrap();
    assert_eq!(held(&this), 1);
    let id = mqtt.publish_unacknowledged(&device.events(), b"6002").unwrap();
    elsewhere.connects(world.wire(), later).publish(&elsewhere.events(), b"free").unwrap();
    assert_eq!(held("hub10"), 0);
    let sent = || world.messages(&hub).len();
    assert_eq!(sent(), 6_001);
    world.pass_seconds(1);
    assert_eq!(mqtt.receive(), Ok(Packet::PubAck(id)));
    assert_eq!(sent(), 6_002);
}

#[test]
fn a_device_that_is_held_up_is_still_thrown_out_and_told() {
    let world = World::limited("S1x1");
    let hub = world.hub();
    let device = world.device(&hub, "device1");
    let service = Service::of(&world, &hub);
    let mut mqtt = device.connects(world.wire(), world.now().plus_seconds(600));
    mqtt.subscribes("$iothub/twin/PATCH/properties/desired/#", Qos::AtMostOnce);
    empties(&mut mqtt, &device.events(), b"x", 6_001);
    let desired = json!({ "properties": { "desired": { "a": 1 } } });
    service.call("PATCH", "/twins/device1", &desired).expect(200);
    assert!(mqtt.hears().0.starts_with("$iothub/twin/PATCH/properties/desired/"));
    service.call("PUT", "/devices/device1", &json!({ "status": "disabled" })).expect(200);
    mqtt.until_closed();
}

#[test]
fn more_than_can_wait_ends_the_connection_with_its_reason() {
    use super::diagnostics::{category, records, send_logs};
    let world = World::limited("S1x1");
    let hub = world.hub();
    send_logs(&world, &hub, "connections", &category("Connections")).expect(200);
    let devices = [world.device(&hub, "device1"), world.device(&hub, "device2")];
    let later = world.now().plus_seconds(600);
    let mut mqtt = devices[0].connects(world.wire(), later);
    empties(&mut mqtt, &devices[0].events(), b"x", 6_000);
    // A thousand are lent, whoever sends them, and not one more.
    let hundred = packets(&devices[1].events(), 100);
    for _ in 0..10 {
        let mut next = devices[1].connects(world.wire(), later);
        next.send_bytes(&hundred).unwrap();
        (0..100).for_each(|_| assert!(matches!(next.receive(), Ok(Packet::PubAck(_)))));
    }
    let mut past = devices[1].connects(world.wire(), later);
    past.publish_unacknowledged(&devices[1].events(), b"past").unwrap();
    assert!(past.until_closed().is_empty());
    assert_eq!(world.messages(&hub).len(), 7_000);
    let told = loop {
        let all = records(&world, "connections");
        let over = all.into_iter().find(|(it, _)| it["resultType"] == "429001");
        if let Some(found) = over {
            break found;
        }
        std::thread::yield_now();
    };
    assert_eq!(told.0["operationName"], "deviceDisconnect");
    assert_eq!(told.1["deviceId"], "device2");
    assert!(told.0["resultDescription"].as_str().unwrap().contains("6000 messages from devices"));
    assert_eq!(told.1["trackingId"], Value::Null);
    // It may come back, and send when the rest was paid.
    world.pass_seconds(11);
    devices[1].connects(world.wire(), later).publish(&devices[1].events(), b"z").unwrap();
}

#[test]
fn a_day_has_its_messages_and_the_next_as_many_again() {
    let world = World::limited("F1");
    let (hub, other) = (world.hub(), other_hub(&world));
    let device = world.device(&hub, "device1");
    let elsewhere = world.device(&other, "device1");
    let service = Service::of(&world, &hub);
    // Long enough for the signature of a second day.
    let later = world.now().plus_seconds(200_000);
    let mut mqtt = device.connects(world.wire(), later);
    // 512 for each of a quarter of a megabyte.
    let large = vec![b'x'; 256 << 10];
    for _ in 0..15 {
        mqtt.publish(&device.events(), &large).unwrap();
    }
    mqtt.publish(&device.events(), &large[..319 * 512]).unwrap();
    let this = world.setting("HUBWARD_HUB");
    let today = || metric(&world, &format!("hubward_messages_today{{{METER}{this}\"}}"));
    assert_eq!(today(), 7_999);
    assert_eq!(metric(&world, &format!("hubward_messages_per_day{{{METER}{this}\"}}")), 8_000);
    // Two do not fit where one does.
    mqtt.publish_unacknowledged(&device.events(), &large[..513]).unwrap();
    assert!(mqtt.until_closed().is_empty());
    let mut mqtt = device.connects(world.wire(), later);
    mqtt.publish(&device.events(), b"the last").unwrap();
    assert_eq!(today(), 8_000);
    mqtt.publish_unacknowledged(&device.events(), b"").unwrap();
    assert!(mqtt.until_closed().is_empty());
    // All that counts as messages is over, for 16 hours; what does not goes on.
    let over = service.call("POST", "/devices/query", &json!({ "query": "SELECT * FROM devices" }));
    assert_eq!(refused(&over, 403, "IotHubQuotaExceeded"), Some(57_600));
    assert_eq!(over.header("x-hubward-retry"), Some("throttle"));
    assert!(over.text().contains("8000 messages a day (edition F1x1"), "{}", over.text());
    refused(&service.get("/twins/device1"), 403, "IotHubQuotaExceeded");
    service.get("/devices/device1").expect(200);
    elsewhere.connects(world.wire(), later).publish(&elsewhere.events(), b"free").unwrap();
    assert_eq!(world.messages(&hub).len(), 17);

    world.pass_seconds(57_599);
    let service = Service::of(&world, &hub);
    refused(&service.get("/twins/device1"), 403, "IotHubQuotaExceeded");
    world.pass_seconds(1);
    service.get("/twins/device1").expect(200);
    let mut mqtt = device.connects(world.wire(), later);
    mqtt.publish(&device.events(), b"a new day").unwrap();
}

#[test]
fn twins_methods_and_queries_count_by_what_they_carry() {
    let world = World::limited("S1x1");
    let hub = world.hub();
    let device = world.device(&hub, "device1");
    let service = Service::of(&world, &hub);
    let this = world.setting("HUBWARD_HUB");
    let today = || metric(&world, &format!("hubward_messages_today{{{METER}{this}\"}}"));
    let mut mqtt = device.connects(world.wire(), world.now().plus_seconds(600));
    mqtt.subscribes("$iothub/twin/res/#", Qos::AtMostOnce);
    assert_eq!(today(), 0);
    let (topic, _) =
        mqtt.asks(&format!("{REPORT}1"), &format!("{{\"a\":\"{}\"}}", "x".repeat(4_000)));
    assert!(topic.starts_with("$iothub/twin/res/204/"), "{topic}");
    assert_eq!(today(), 1);
    let (topic, _) =
        mqtt.asks(&format!("{REPORT}2"), &format!("{{\"b\":\"{}\"}}", "x".repeat(4_090)));
    assert!(topic.starts_with("$iothub/twin/res/204/"), "{topic}");
    assert_eq!(today(), 3);
    // Less than 8 KB come back, and more to a service, which sees when each of it was reported.
    let (topic, body) = mqtt.asks(&format!("{READ_TWIN}3"), "");
    assert!(topic.starts_with("$iothub/twin/res/200/") && body.len() <= 8_192, "{topic}");
    assert_eq!(today(), 5);
    let twin = service.get("/twins/device1").expect(200).body.to_string();
    assert!((8_193..=12_288).contains(&twin.len()), "{twin}");
    assert_eq!(today(), 8);
    // One for the call, one for the answer that nobody listens.
    service.call("POST", "/twins/device1/methods", &json!({ "methodName": "m" })).expect(404);
    assert_eq!(today(), 10);
    service.get("/devices/device1").expect(200);
    assert_eq!(today(), 10);
}

#[test]
fn over_mqtt_too_many_updates_of_twins_are_answered_so() {
    let world = World::limited("S1x1");
    let hub = world.hub();
    let device = world.device(&hub, "device1");
    let later = world.now().plus_seconds(600);
    let mut mqtt = device.connects(world.wire(), later);
    mqtt.subscribes("$iothub/twin/res/#", Qos::AtMostOnce);
    let statuses = |mqtt: &mut Mqtt, times: usize| {
        for number in 0..times {
            let topic = format!("{REPORT}{number}");
            mqtt.publish_as(Qos::AtMostOnce, &topic, b"{}").unwrap();
        }
        (0..times).map(|_| mqtt.hears()).collect::<Vec<_>>()
    };
    assert!(statuses(&mut mqtt, 3_000).iter().all(|it| it.0.contains("/res/204/")));
    let (topic, _, body) = statuses(&mut mqtt, 1).remove(0);
    assert!(topic.starts_with("$iothub/twin/res/429/?$rid=0"), "{topic}");
    assert!(body.contains("ThrottlingException"), "{body}");
    world.pass_seconds(1);
    assert!(statuses(&mut mqtt, 50).iter().all(|it| it.0.contains("/res/204/")));
    assert!(statuses(&mut mqtt, 1)[0].0.contains("/res/429/"));
}

#[test]
fn a_free_hub_has_room_for_five_hundred_devices_and_modules() {
    let world = World::limited("F1");
    let hub = world.hub();
    let service = Service::of(&world, &hub);
    // First start has made one.
    let made = |from: usize, to: usize| {
        let all: Vec<Value> = (from..to)
            .map(|it| json!({ "id": format!("d{it}"), "importMode": "create" }))
            .collect();
        service.call("POST", "/devices", &json!(all))
    };
    for from in [0, 100, 200, 300] {
        made(from, from + 100).expect(200);
    }
    made(400, 498).expect(200);
    assert_eq!(refused(&made(498, 500), 403, "IotHubQuotaExceeded"), None);
    let module = |id: &str| {
        let body = json!({ "deviceId": "d0", "moduleId": id });
        service.call_with("PUT", &format!("/devices/d0/modules/{id}"), &[], &body)
    };
    module("m1").expect(200);
    let full = service.makes("one-more");
    assert_eq!(refused(&full, 403, "IotHubQuotaExceeded"), None);
    assert!(full.text().contains("500 of the 500 devices and modules"), "{}", full.text());
    assert_eq!(full.header("x-hubward-retry"), Some("never"));
    refused(&module("m2"), 403, "IotHubQuotaExceeded");
    // What is there can be changed, and what goes makes room.
    service.call("PUT", "/devices/d1", &json!({ "status": "disabled" })).expect(200);
    service.call("DELETE", "/devices/d2", &Value::Null).expect(204);
    service.makes("one-more").expect(200);
    refused(&service.makes("two-more"), 403, "IotHubQuotaExceeded");
}

#[test]
fn messages_over_https_count_each_of_a_batch() {
    let world = World::limited("F1");
    let hub = world.hub();
    let device = world.device(&hub, "device1");
    let signature = device.signature(world.now().plus_seconds(600));
    let url = world.hub_url(&hub, "/devices/device1/messages/events");
    let send = |kind: &str, body: &[u8]| {
        let headers = [("Authorization", signature.as_str()), ("Content-Type", kind)];
        world.wire().send("POST", &url, &headers, body)
    };
    let this = world.setting("HUBWARD_HUB");
    let today = || metric(&world, &format!("hubward_messages_today{{{METER}{this}\"}}"));
    send("application/octet-stream", &[b'x'; 512]).expect(204);
    assert_eq!(today(), 1);
    let batch: Vec<Value> = [1, 512, 513]
        .iter()
        .map(|it| json!({ "body": "x".repeat(*it), "base64Encoded": false }))
        .collect();
    send("application/vnd.microsoft.iothub.json", json!(batch).to_string().as_bytes()).expect(204);
    assert_eq!(today(), 5);
    let taken = format!("hubward_throttle_taken_total{{{METER}{this}\",class=\"sends\"}}");
    assert_eq!(metric(&world, &taken), 4);
}
