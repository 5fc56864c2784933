//! What attackers put into requests: ids, bodies, versions and queries that want too much or say two things.

use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use testkit::{Answer, Mqtt, World};
use wire::mqtt::{ConnectCode, Qos};

const API: &str = "api-version=2021-04-12";

struct Plant {
    world: World,
    hub: String,
    origin: String,
    sas: String,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        let hub = world.hub();
        let origin = world.hub_origin(&hub);
        let sas = world.sas(&hub, "iothubowner", origin.trim_start_matches("https://"));
        Self { world, hub, origin, sas }
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.call_with(method, path, &[], body)
    }

    fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        self.world.hub_by_key("iothubowner", method, &self.hub, path, headers, body)
    }

    fn reports(&self, mqtt: &mut Mqtt, number: usize, body: &str) -> (String, String) {
        let topic = format!("$iothub/twin/PATCH/properties/reported/?$rid={number}");
        mqtt.asks(&topic, body)
    }
}

/// An object of so many levels, below the section itself.
fn levels(count: usize) -> Value {
    (1..count).fold(json!(1), |inner, _| json!({ "a": inner }))
}

/// Threat 42: one past each limit is refused with its place, whoever writes, and nothing of it is kept.
#[test]
fn a_twin_takes_what_its_limits_allow_and_no_more() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    let mut mqtt = pump.connects(plant.world.wire(), plant.world.now().plus_seconds(600));
    mqtt.subscribes("$iothub/twin/res/#", Qos::AtMostOnce);
    let sections = |rest: usize| {
        let all: serde_json::Map<String, Value> = (0..9)
            .map(|it| (format!("k{it}"), json!("x".repeat(if it < 8 { 4_000 } else { rest }))))
            .collect();
        Value::Object(all)
    };
    let full = |bytes: usize| {
        let rest = bytes - sections(0).to_string().len();
        sections(rest)
    };
    assert_eq!(full(32 << 10).to_string().len(), 32 << 10);
    let fine = [
        json!({ "deep": levels(10) }),
        json!({ "text": "x".repeat(4 << 10) }),
        full(32 << 10),
        json!({ "k".repeat(1 << 10): 1 }),
        json!({ "least": -4_503_599_627_370_496_i64, "most": 4_503_599_627_370_496_i64 }),
    ];
    let wrong = [
        (json!({ "deep": levels(11) }), "deep.a.a"),
        (json!({ "in": { "text": "x".repeat((4 << 10) + 1) } }), "in.text"),
        (full((32 << 10) + 1), "32769 bytes"),
        (json!({ "in": { "k".repeat((1 << 10) + 1): 1 } }), ".in"),
        (json!({ "in": { "a.b": 1 } }), ".in"),
        (json!({ "in": { "$a": 1 } }), ".in"),
        (json!({ "in": { "a\u{7}b": 1 } }), ".in"),
        (json!({ "in": { "a b": 1 } }), ".in"),
        (json!({ "in": { "": 1 } }), ".in"),
        (json!({ "in": { "most": 4_503_599_627_370_497_i64 } }), "in.most"),
        (json!({ "in": [{ "a.b": 1 }] }), "in[0]"),
    ];
    let twin = || plant.call("GET", "/twins/pump-1", &Value::Null).expect(200).body;
    for (number, (properties, place)) in wrong.iter().enumerate() {
        let before = twin();
        let body = json!({ "properties": { "desired": properties } });
        for method in ["PATCH", "PUT"] {
            let refused = plant.call(method, "/twins/pump-1", &body).expect(400);
            assert_eq!(refused.code(), "ArgumentInvalid", "{refused:?}");
            let at = refused.text();
            assert!(at.contains("properties.desired") && at.contains(place), "{place}: {at}");
        }
        let (topic, told) = plant.reports(&mut mqtt, number, &properties.to_string());
        assert_eq!(topic, format!("$iothub/twin/res/400/?$rid={number}"));
        assert!(told.contains("properties.reported") && told.contains(place), "{place}: {told}");
        assert_eq!(twin(), before);
    }
    for (number, properties) in fine.iter().enumerate() {
        let body = json!({ "properties": { "desired": properties } });
        plant.call("PUT", "/twins/pump-1", &body).expect(200);
        let (topic, _) = plant.reports(&mut mqtt, number, &properties.to_string());
        assert!(topic.starts_with("$iothub/twin/res/204/"), "{topic}");
        let names = properties.as_object().unwrap().keys();
        let gone: serde_json::Map<String, Value> =
            names.map(|it| (it.clone(), Value::Null)).collect();
        plant.reports(&mut mqtt, number, &Value::Object(gone).to_string());
    }
    // What grows past a limit by a patch is too much, too.
    plant
        .call("PUT", "/twins/pump-1", &json!({ "properties": { "desired": full(32 << 10) } }))
        .expect(200);
    let before = twin();
    let more = json!({ "properties": { "desired": { "one": 1 } } });
    plant.call("PATCH", "/twins/pump-1", &more).expect(400);
    assert_eq!(twin(), before);
    let tags =
        json!({ "tags": { "a": "x".repeat(4_000), "b": "x".repeat(4_000), "c": "x".repeat(200) } });
    let refused = plant.call("PATCH", "/twins/pump-1", &tags).expect(400);
    assert!(refused.text().contains("tags"), "{refused:?}");
    assert_eq!(twin(), before);
}

/// Threat 46: an id is decoded once and held to its letters and its length, at every door.
#[test]
fn an_id_that_is_none_is_refused_at_every_door() {
    let plant = Plant::new();
    let long = "x".repeat(129);
    let ids = [
        "%00",
        "a%2Fb",
        "..",
        "%2e%2e",
        "..%2f..",
        "%c0%ae",
        "%ff",
        "a%0Ab",
        "a%20b",
        "%E2%80%8B",
        &long,
    ];
    let dps = plant.world.dps("onboarding");
    let dps_origin = plant.world.dps_origin(&dps);
    let host = dps_origin.trim_start_matches("https://");
    let dps_sas = plant.world.dps_sas(&dps, "provisioningserviceowner", host);
    for id in ids {
        for (method, path) in [
            ("PUT", format!("/devices/{id}")),
            ("GET", format!("/twins/{id}")),
            ("POST", format!("/twins/{id}/methods")),
            ("PUT", format!("/devices/device-1/modules/{id}")),
            ("DELETE", format!("/devices/{id}")),
        ] {
            let url = format!("{}{path}?{API}", plant.origin);
            let headers =
                [("Authorization", plant.sas.as_str()), ("Content-Type", "application/json")];
            let answer = plant.world.wire().send(method, &url, &headers, b"{}");
            assert_eq!(answer.status, 400, "{method} {path}: {answer:?}");
            assert!(!answer.tracking().is_empty());
        }
        let url = format!("{dps_origin}/enrollments/{id}?api-version=2021-10-01");
        let headers = [("Authorization", dps_sas.as_str()), ("Content-Type", "application/json")];
        let body = br#"{"attestation":{"type":"symmetricKey"}}"#;
        let answer = plant.world.wire().send("PUT", &url, &headers, body);
        assert_eq!(answer.status, 400, "{id}: {answer:?}");
    }
    for (entry, place) in [(json!({ "id": "a/b" }), "[0]"), (json!({ "id": long }), "[0]")] {
        let refused = plant.call("POST", "/devices", &json!([entry])).expect(400);
        assert!(refused.text().contains(place), "{refused:?}");
    }
    // Over MQTT and AMQP nothing is decoded but what the protocol says is encoded.
    let pump = plant.world.device(&plant.hub, "pump-1");
    let token = pump.signature(plant.world.now().plus_seconds(600));
    for id in ["pump-1%00", "pump-1%2Ftwin", "pump-1\n", "PUMP-1", "pump-1 ", &long] {
        let greeting = pump.called(id).greeting(&token);
        if let Ok((code, _)) = pump.tries(plant.world.wire(), greeting) {
            assert_ne!(code, ConnectCode::Accepted, "{id:?}");
        }
        let mut amqp =
            testkit::Amqp::begin(plant.world.wire(), &pump.host, plant.world.amqp_port());
        assert_ne!(
            amqp.puts_token(&format!("{}/devices/{id}", pump.host), &token).0,
            200,
            "{id:?}"
        );
    }
    let found = plant.call("POST", "/devices/query", &json!({ "query": "select * from devices" }));
    assert_eq!(found.expect(200).body.as_array().unwrap().len(), 2);
}

/// Threat 47: a body is bounded before it is read, and read once and in one way.
#[test]
fn a_body_that_is_too_much_or_says_two_things_is_refused_at_every_door() {
    let plant = Plant::new();
    let (world, hub) = (&plant.world, &plant.hub);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let number = format!("{{\"deviceId\":{}}}", "1".repeat(10_000));
    let twice = r#"{"deviceId":"d","status":"disabled","status":"enabled"}"#;
    let nested = r#"{"authentication":{"type":"sas","type":"none"}}"#;
    let tags = r#"{"tags":{"a":1,"a":2}}"#;
    let json_type = ("Content-Type", "application/json");
    for (method, path, body) in [
        ("PUT", "/devices/d", deep.as_str()),
        ("PUT", "/devices/d", &number),
        ("PUT", "/devices/d", twice),
        ("PUT", "/devices/d", nested),
        ("PATCH", "/twins/device-1", tags),
        ("PATCH", "/twins/device-1", &deep),
        ("POST", "/devices", &deep),
        ("POST", "/devices/query", &deep),
    ] {
        let url = format!("{}{path}?{API}", plant.origin);
        let headers = [("Authorization", plant.sas.as_str()), json_type];
        let answer = world.wire().send(method, &url, &headers, body.as_bytes());
        assert_eq!(answer.status, 400, "{method} {path}: {answer:?}");
        let gzip = [headers[0], headers[1], ("Content-Encoding", "gzip")];
        world.wire().send(method, &url, &gzip, b"\x1f\x8b\x08\0\0").expect(415);
    }
    plant.call("GET", "/devices/d", &Value::Null).expect(404);
    // A role and a policy whose document says two things would be one thing to a reader and another to a gate.
    let token = format!("Bearer {}", world.token(&world.admin(), "https://management.azure.com"));
    let arm = |path: &str, body: &str| {
        let url = format!("{}{path}?api-version=2022-04-01", world.setting("HUBWARD_ARM"));
        world.wire().send("PUT", &url, &[("Authorization", &token), json_type], body.as_bytes())
    };
    let authorization = format!("{hub}/providers/Microsoft.Authorization");
    let id = world.guid();
    let role = format!(
        r#"{{"properties":{{"roleName":"r","assignableScopes":["{hub}"],"permissions":[{{"dataActions":["Microsoft.Devices/IotHubs/devices/read"],"dataActions":["Microsoft.Devices/IotHubs/*"]}}]}}}}"#
    );
    arm(&format!("{authorization}/roleDefinitions/{id}"), &role).expect(400);
    let rule = r#"{"properties":{"policyRule":{"if":{"field":"type","equals":"x"},"then":{"effect":"audit","effect":"deny"}}}}"#;
    let definitions =
        format!("{}/providers/Microsoft.Authorization/policyDefinitions", world.subscription());
    arm(&format!("{definitions}/two"), rule).expect(400);

    // A body of a gibibyte is refused from its head, and one of no stated length once it is too long.
    let url = format!("{}/devices/d?{API}", plant.origin);
    let (mut stream, head) = world.wire().trickle("PUT", &url, &plant.sas, 1 << 30);
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 413");
    let (mut stream, head) = world.wire().trickle("PUT", &url, &plant.sas, 0);
    let head = head.replace("Content-Length: 0", "Transfer-Encoding: chunked");
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..130 {
        stream.write_all(chunk.as_bytes()).unwrap();
    }
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 413");
    plant.call("GET", "/devices/device-1", &Value::Null).expect(200);
}

/// Threat 48: of two writers who have read the same, the second is told, on every plane.
#[test]
fn no_update_is_lost() {
    let plant = Plant::new();
    let (world, hub) = (&plant.world, &plant.hub);
    world.device(hub, "pump-1");
    let tag = |answer: &Answer| format!("\"{}\"", answer.body["etag"].as_str().unwrap());
    for (method, path) in
        [("PUT", "/devices/pump-1"), ("PATCH", "/twins/pump-1"), ("PUT", "/twins/pump-1")]
    {
        let read = tag(&plant.call("GET", path, &Value::Null).expect(200));
        let body = match path.starts_with("/devices") {
            true => json!({ "deviceId": "pump-1", "statusReason": "mine" }),
            false => json!({ "tags": { "by": method } }),
        };
        plant.call_with(method, path, &[("If-Match", &read)], &body).expect(200);
        let lost = plant.call_with(method, path, &[("If-Match", &read)], &body).expect(412);
        assert_eq!(lost.code(), "PreconditionFailed");
        plant.call_with(method, path, &[("If-Match", "\"\"")], &body).expect(412);
    }
    let read = world.arm("GET", hub, &Value::Null).expect(200).body;
    let token = format!("Bearer {}", world.token(&world.admin(), "https://management.azure.com"));
    let put = |hub_as_read: &Value| {
        let etag = hub_as_read["etag"].as_str().unwrap();
        let url = format!("{}{hub}?api-version=2023-06-30", world.setting("HUBWARD_ARM"));
        let headers = [("Authorization", token.as_str()), ("If-Match", etag)];
        world.wire().json_with("PUT", &url, &headers, hub_as_read)
    };
    put(&read).expect(200);
    put(&read).expect(412);
}

/// Threat 49: a query that would cost too much is refused with its place, and one that looks at much gives way.
#[test]
fn a_query_is_bounded_in_length_depth_and_work() {
    let plant = Plant::new();
    let ask = |query: String| plant.call("POST", "/devices/query", &json!({ "query": query }));
    let many = |count: usize, of: &str, join: &str| vec![of; count].join(join);
    let from = "SELECT * FROM devices WHERE";
    for query in [
        format!("{from} {}deviceId = 'x'{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("{from} {}", many(5_000, "tags.a = 1", " OR ")),
        format!("{from} tags.a IN [{}]", many(10_000, "1", ",")),
        format!("{from} tags{} = 1", ".a".repeat(5_000)),
        format!("{from} tags.a = '{}'", "x".repeat(100_000)),
        format!("SELECT {} FROM devices", many(1_000, "deviceId", ", ")),
        format!("{from} {}tags.a = 1", "NOT ".repeat(500)),
        format!("{from} concat({}) = 'x'", many(1_000, "tags.a", ", ")),
    ] {
        let refused = ask(query).expect(400);
        assert!(refused.text().contains("ArgumentInvalid;query: "), "{refused:?}");
    }
    for count in ["-1", "0", "1e3", "99999999999999999999"] {
        let headers = [("x-ms-max-item-count", count)];
        let body = json!({ "query": "SELECT * FROM devices" });
        plant.call_with("POST", "/devices/query", &headers, &body).expect(400);
    }
    let huge = "x".repeat(4_096);
    let headers = [("x-ms-continuation", huge.as_str())];
    let body = json!({ "query": "SELECT * FROM devices" });
    plant.call_with("POST", "/devices/query", &headers, &body).expect(400);
    assert_eq!(ask("SELECT * FROM devices".into()).expect(200).body.as_array().unwrap().len(), 1);
}

/// Threat 50: as in management, so at hubs and provisioning services.
#[test]
fn a_version_that_is_missing_unknown_or_there_twice_is_refused_by_the_service_apis() {
    let plant = Plant::new();
    let dps = plant.world.dps("onboarding");
    let origin = plant.world.dps_origin(&dps);
    let host = origin.trim_start_matches("https://");
    let sas = plant.world.dps_sas(&dps, "provisioningserviceowner", host);
    for (origin, sas, path, known) in [
        (&plant.origin, &plant.sas, "/devices/device-1", "2021-04-12"),
        (&plant.origin, &plant.sas, "/statistics/devices", "2021-04-12"),
        (&origin, &sas, "/enrollmentGroups/none", "2021-10-01"),
    ] {
        let get = |query: &str| {
            let url = format!("{origin}{path}{query}");
            plant.world.wire().json("GET", &url, sas, &Value::Null)
        };
        assert_ne!(get(&format!("?api-version={known}")).status, 400);
        for query in [
            String::new(),
            "?api-version=".to_owned(),
            "?api-version=yesterday".to_owned(),
            format!("?api-version={known}&api-version={known}"),
            format!("?api-version={known}&Api-Version=2020-01-01"),
        ] {
            let refused = get(&query).expect(400);
            assert!(!refused.tracking().is_empty());
            assert!(refused.text().contains(known), "{query}: {refused:?}");
        }
    }
}
