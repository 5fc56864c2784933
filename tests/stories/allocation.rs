//! Which hub a device gets, by each of the policies, and how it goes from one hub to another.

use crate::stories::registration::Fleet;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;
use testkit::{Identity, World};

const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";

/// A fleet whose service is linked to two hubs, by its identity, which may do everything with their data.
struct Plant {
    fleet: Fleet,
    east: String,
    west: String,
}

impl Plant {
    fn started(flags: &[&str]) -> Self {
        let fleet = Fleet::in_world(World::started(flags));
        let world = &fleet.world;
        let made = |name: &str, region: &str| {
            let hub = world.hub_named(name);
            let body = json!({ "location": region, "sku": { "name": "S1", "capacity": 1 } });
            world.arm("PUT", &hub, &body).expect(201);
            hub
        };
        let (east, west) = (made("plant-east", "eastus"), made("plant-west", "West Europe"));
        let plant = Self { fleet, east, west };
        plant.links(&[&plant.east, &plant.west]);
        for hub in [&plant.east, &plant.west] {
            plant.fleet.world.assign(&plant.identity(), DATA_CONTRIBUTOR, hub).expect(201);
        }
        plant
    }

    fn new() -> Self {
        Self::started(&[])
    }

    fn identity(&self) -> Identity {
        let object_id = self.fleet.identity.clone();
        Identity { name: "dps".into(), app_id: String::new(), object_id, secret: String::new() }
    }

    fn host(&self, hub: &str) -> String {
        self.fleet.world.hub_host(hub)
    }

    fn links(&self, hubs: &[&str]) {
        let link = |it: &&str| json!({ "hostName": self.host(it), "authenticationType": "SystemAssigned" });
        let links: Vec<Value> = hubs.iter().map(link).collect();
        let body = json!({ "properties": { "iotHubs": links } });
        self.fleet.world.arm("PATCH", &self.fleet.dps, &body).expect(200);
    }

    fn enrolls(&self, terms: Value) {
        self.fleet.enroll("pumps", terms);
    }

    /// The hub that a device has after registering.
    #[track_caller]
    fn goes_to(&self, device: &str, hub: &str) -> Value {
        let state = self.fleet.registers(device);
        assert_eq!(state["assignedHub"], self.host(hub), "{state}");
        assert_eq!(state["status"], "assigned");
        state
    }

    #[track_caller]
    fn fails(&self, device: &str, number: u64) -> String {
        let state = self.fleet.registers(device);
        let told = (state["status"].as_str(), state["errorCode"].as_u64());
        assert_eq!(told, (Some("failed"), Some(number)), "{state}");
        state["errorMessage"].as_str().unwrap().to_owned()
    }

    fn asks(&self, hub: &str, method: &str, path: &str, body: &Value) -> testkit::Answer {
        let headers = [("If-Match", "*")];
        self.fleet.world.hub_by_key("iothubowner", method, hub, path, &headers, body)
    }

    fn twin(&self, hub: &str, device: &str) -> Value {
        self.asks(hub, "GET", &format!("/twins/{device}"), &Value::Null).expect(200).body
    }
}

/// A webhook that gives one answer after the other, and what it was asked.
pub(super) struct Webhook {
    pub(super) url: String,
    pub(super) asked: JoinHandle<Vec<Value>>,
}

impl Webhook {
    pub(super) fn new(answers: Vec<(u16, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "http://{}/api/allocate?code=s3cret-of-the-webhook",
            listener.local_addr().unwrap()
        );
        let asked = std::thread::spawn(move || {
            let answer = |(status, body): (u16, String)| {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(&stream);
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                        length = text.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                }
                let mut asked = vec![0; length];
                reader.read_exact(&mut asked).unwrap();
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
                (&stream).write_all(format!("{head}{body}").as_bytes()).unwrap();
                serde_json::from_slice(&asked).unwrap()
            };
            answers.into_iter().map(answer).collect()
        });
        Self { url, asked }
    }

    fn terms(&self) -> Value {
        json!({ "allocationPolicy": "custom",
            "customAllocationDefinition": { "webhookUrl": self.url, "apiVersion": "2021-10-01" } })
    }
}

#[test]
fn devices_are_spread_over_the_hubs_and_stay_where_they_are() {
    let plant = Plant::new();
    let mut hubs = BTreeSet::new();
    let all: Vec<(String, String)> = (0..12)
        .map(|it| {
            let device = format!("pump-{it}");
            let state = plant.fleet.registers(&device);
            hubs.insert(state["assignedHub"].as_str().unwrap().to_owned());
            (device, state["assignedHub"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(hubs, BTreeSet::from([plant.host(&plant.east), plant.host(&plant.west)]));
    // A third hub takes its share of what is new, and nothing of what is there.
    let hub = plant.fleet.world.hub();
    plant.links(&[&hub, &plant.east, &plant.west]);
    for (device, host) in &all {
        assert_eq!(plant.fleet.registers(device)["assignedHub"], *host, "{device}");
    }
}

#[test]
fn an_enrollment_or_its_service_says_where_devices_go() {
    let plant = Plant::new();
    let (east, west) = (plant.host(&plant.east), plant.host(&plant.west));
    plant.enrolls(json!({ "allocationPolicy": "static", "iotHubs": [west] }));
    plant.goes_to("pump-1", &plant.west);
    plant.enrolls(json!({ "iotHubHostName": east }));
    plant.goes_to("pump-2", &plant.east);
    plant.enrolls(json!({ "allocationPolicy": "static", "iotHubs": ["elsewhere.example"] }));
    assert!(plant.fails("pump-3", 400_000).contains("none that the enrollment names"));
    // The service's own policy, where the enrollment has none: the first that is linked.
    let patch = json!({ "properties": { "allocationPolicy": "Static" } });
    plant.fleet.world.arm("PATCH", &plant.fleet.dps, &patch).expect(200);
    plant.enrolls(json!({}));
    for device in ["pump-4", "pump-5", "pump-6", "pump-7"] {
        plant.goes_to(device, &plant.east);
    }
}

#[test]
fn the_closest_hub_is_the_one_that_the_operators_table_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("latencies.json");
    let table = r#"{ "networks": [
        { "network": "0.0.0.0/0", "ms": { "westeurope": 90, "eastus": 5 } },
        { "network": "127.0.0.0/8", "ms": { "westeurope": 3 } } ] }"#;
    std::fs::write(&path, table).unwrap();
    let plant = Plant::started(&["--latencies", path.to_str().unwrap()]);
    plant.enrolls(json!({ "allocationPolicy": "geoLatency" }));
    for device in ["pump-1", "pump-2", "pump-3", "pump-4"] {
        plant.goes_to(device, &plant.west);
    }
}

/// The question is as Azure's, and what the webhook says counts: the hub, the twin, the payload.
#[test]
fn a_webhook_chooses_the_hub_the_twin_and_what_the_device_is_told() {
    let plant = Plant::started(&["--allow-egress", "127.0.0.1"]);
    let (east, west) = (plant.host(&plant.east), plant.host(&plant.west));
    let first = json!({ "iotHubHostName": west, "payload": { "line": 3 },
        "initialTwin": { "tags": { "by": "webhook" }, "properties": { "desired": { "rate": 5 } } } });
    let second = json!({ "iotHubHostName": east });
    let webhook = Webhook::new(vec![(200, first.to_string()), (200, second.to_string())]);
    let mut terms = webhook.terms();
    terms["initialTwin"] =
        json!({ "tags": { "by": "enrollment" }, "properties": { "desired": {} } });
    plant.enrolls(terms);
    let state = plant.goes_to("pump-1", &plant.west);
    assert_eq!(state["payload"], json!({ "line": 3 }));
    let twin = plant.twin(&plant.west, "pump-1");
    assert_eq!(
        (&twin["tags"]["by"], &twin["properties"]["desired"]["rate"]),
        (&json!("webhook"), &json!(5))
    );
    // Asked again, it is told where the device is, and may send it on.
    let path = format!("/{}/registrations/pump-1/register", plant.fleet.id_scope);
    let sas = plant.fleet.signature("pump-1", &plant.fleet.derived("pump-1"));
    let body = json!({ "registrationId": "pump-1", "payload": { "model": "p7" } });
    plant.fleet.call(&sas, "PUT", &path, &body).expect(202);
    let shown = plant.fleet.call(&sas, "POST", path.trim_end_matches("/register"), &json!({}));
    assert_eq!(shown.expect(200).body["assignedHub"], east);

    let asked = webhook.asked.join().unwrap();
    assert_eq!(asked[0]["linkedHubs"], json!([east, west]));
    assert_eq!(
        asked[0]["deviceRuntimeContext"],
        json!({ "registrationId": "pump-1", "symmetricKey": {} })
    );
    assert_eq!(asked[0]["enrollmentGroup"]["enrollmentGroupId"], "pumps");
    let expected = json!({ "registrationId": "pump-1", "symmetricKey": {}, "payload": { "model": "p7" },
        "currentIotHubHostName": west, "currentDeviceId": "pump-1" });
    assert_eq!(asked[1]["deviceRuntimeContext"], expected);
    // Threat 67: it is told no keys.
    let told = serde_json::to_string(&asked).unwrap();
    for secret in [STANDARD.encode([7; 32]), "s3cret".to_owned()] {
        assert!(!told.contains(&secret), "{told}");
    }
}

/// Whatever a webhook does wrong, the device learns what, and nothing was written anywhere.
#[test]
fn a_webhook_that_chooses_no_linked_hub_fails_the_registration() {
    let plant = Plant::started(&["--allow-egress", "127.0.0.1"]);
    let answers = [
        (500, "oh no".to_owned(), "it answered with 500, and 200 is expected"),
        (302, String::new(), "it answered with 302"),
        (200, "no json".to_owned(), "its answer"),
        (200, "[]".to_owned(), "expected a JSON object"),
        (200, "{}".to_owned(), "has no `iotHubHostName`"),
        (
            200,
            json!({ "iotHubHostName": "elsewhere.example" }).to_string(),
            "it named `elsewhere.example`",
        ),
        (
            200,
            json!({ "iotHubHostName": plant.host(&plant.west), "initialTwin": 5 }).to_string(),
            "initialTwin",
        ),
    ];
    let webhook = Webhook::new(answers.iter().map(|it| (it.0, it.1.clone())).collect());
    plant.enrolls(webhook.terms());
    for (_, _, says) in answers {
        let told = plant.fails("pump-1", 400_209);
        assert!(told.contains(says) && told.contains("/api/allocate"), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
    webhook.asked.join().unwrap();
    // Nobody listens there any more.
    assert!(plant.fails("pump-1", 400_209).contains("chose no hub"));
    let env = plant.fleet.world.env();
    let counted = env.metrics.render(&env.facts.load().lookups, &env.presence);
    let failed = "hubward_registrations_total{outcome=\"allocation\"} 8\n";
    assert!(counted.contains(failed), "{counted}");
    for hub in [&plant.east, &plant.west] {
        plant.asks(hub, "GET", "/devices/pump-1", &Value::Null).expect(404);
    }
}

/// Threat 58: what only the server reaches is called for nobody, unless its operator says so.
#[test]
fn a_webhook_on_this_machine_is_not_called() {
    let plant = Plant::new();
    let definition = |url: &str| json!({ "allocationPolicy": "custom", "customAllocationDefinition": { "webhookUrl": url } });
    for url in [
        "https://127.0.0.1:1/",
        "https://localhost/",
        "https://169.254.169.254/metadata",
        "https://[::1]/",
    ] {
        plant.enrolls(definition(url));
        let told = plant.fails("pump-1", 400_209);
        assert!(told.contains("--allow-egress"), "{told}");
    }
    plant.enrolls(definition("http://functions.example/"));
    assert!(plant.fails("pump-1", 400_209).contains("https://"));
    let sas = plant.fleet.key();
    for (wrong, says) in
        [("ftp://h/", "https://"), ("https://u:p@h/", "user"), ("nothing", "https://")]
    {
        let mut body = definition(wrong);
        body["enrollmentGroupId"] = json!("pumps");
        body["attestation"] = json!({ "type": "symmetricKey" });
        let refused = plant.fleet.call(&sas, "PUT", "/enrollmentGroups/pumps", &body).expect(400);
        let told = refused.body["message"].as_str().unwrap();
        assert!(told.contains("webhookUrl") && told.contains(says), "{told}");
    }
}

/// The data of a device moves with it, starts anew, or the device stays, as its enrollment says.
#[test]
fn a_device_that_registers_again_moves_as_its_enrollment_says() {
    let plant = Plant::new();
    let (east, west) = (plant.host(&plant.east), plant.host(&plant.west));
    let to = |host: &str, update: bool, migrate: bool| {
        json!({ "allocationPolicy": "static", "iotHubs": [host],
            "initialTwin": { "tags": { "new": true }, "properties": { "desired": {} } },
            "reprovisionPolicy": { "updateHubAssignment": update, "migrateDeviceData": migrate } })
    };
    plant.enrolls(to(&east, true, true));
    assert_eq!(plant.goes_to("pump-1", &plant.east)["substatus"], "initialAssignment");
    plant.goes_to("pump-10", &plant.east);
    let patch = json!({ "tags": { "hall": 7 }, "properties": { "desired": { "rate": 5 } } });
    plant.asks(&plant.east, "PATCH", "/twins/pump-1", &patch).expect(200);
    let world = &plant.fleet.world;
    let device = testkit::Device::new(
        world.mqtt_port(),
        &world.hub_origin(&plant.east),
        &plant.asks(&plant.east, "GET", "/devices/pump-1", &Value::Null).expect(200).body,
    );
    let mut mqtt = device.connects(world.wire(), world.now().plus_seconds(600));
    mqtt.subscribes("$iothub/twin/res/#", wire::mqtt::Qos::AtMostOnce);
    let (topic, _) = mqtt.asks("$iothub/twin/PATCH/properties/reported/?$rid=1", r#"{"speed":9}"#);
    assert!(topic.starts_with("$iothub/twin/res/204"), "{topic}");

    // It stays where its enrollment says that nothing changes.
    plant.enrolls(json!({ "allocationPolicy": "static", "iotHubs": [west, east],
        "reprovisionPolicy": { "updateHubAssignment": false, "migrateDeviceData": true } }));
    assert_eq!(plant.goes_to("pump-1", &plant.east)["substatus"], "initialAssignment");

    plant.enrolls(to(&west, true, true));
    assert_eq!(plant.goes_to("pump-1", &plant.west)["substatus"], "deviceDataMigrated");
    // Its session is over: the hub has it no more. A namesake stays.
    assert_eq!(mqtt.until_closed(), []);
    plant.asks(&plant.east, "GET", "/devices/pump-1", &Value::Null).expect(404);
    plant.asks(&plant.east, "GET", "/devices/pump-10", &Value::Null).expect(200);
    let twin = plant.twin(&plant.west, "pump-1");
    assert_eq!(twin["tags"], json!({ "hall": 7, "new": true }));
    assert_eq!(twin["properties"]["desired"]["rate"], 5);
    assert_eq!(twin["properties"]["reported"]["speed"], 9);

    plant.enrolls(to(&east, true, false));
    assert_eq!(plant.goes_to("pump-1", &plant.east)["substatus"], "deviceDataReset");
    let twin = plant.twin(&plant.east, "pump-1");
    assert_eq!(twin["tags"], json!({ "new": true }));
    assert!(twin["properties"]["reported"].get("speed").is_none(), "{twin}");
    plant.asks(&plant.west, "GET", "/devices/pump-1", &Value::Null).expect(404);
}

/// What stands against a move is said, and trying again when it is mended ends it: no device is lost on the way.
#[test]
fn a_move_that_is_refused_loses_nothing_and_can_be_finished() {
    let plant = Plant::new();
    let (east, west) = (plant.host(&plant.east), plant.host(&plant.west));
    plant.enrolls(json!({ "allocationPolicy": "static", "iotHubs": [east] }));
    plant.goes_to("pump-1", &plant.east);
    plant.enrolls(json!({ "allocationPolicy": "static", "iotHubs": [west] }));

    // A hub that is not linked any more.
    plant.links(&[&plant.west]);
    let told = plant.fails("pump-1", 409_000);
    assert!(told.contains("plant-east") && told.contains("not linked"), "{told}");
    plant.links(&[&plant.east, &plant.west]);

    // A service that may not read the twin that it is to take along, nor delete.
    let world = &plant.fleet.world;
    let roles = format!("{}/providers/Microsoft.Authorization/roleAssignments", plant.east);
    let all =
        world.arm("GET", &format!("{roles}?$filter=atScope()"), &Value::Null).expect(200).body;
    for it in all["value"].as_array().unwrap() {
        if it["properties"]["principalId"] == plant.fleet.identity.as_str()
            && it["properties"]["scope"] == plant.east.as_str()
        {
            world.arm("DELETE", it["id"].as_str().unwrap(), &Value::Null).expect(200);
        }
    }
    let told = plant.fails("pump-1", 401_003);
    assert!(told.contains("may not read its twin there"), "{told}");
    assert!(world.explained(told.rsplit("Tracking ID: ").next().unwrap())["decision"].is_object());
    plant.asks(&plant.west, "GET", "/devices/pump-1", &Value::Null).expect(404);
    world.assign(&plant.identity(), DATA_CONTRIBUTOR, &plant.east).expect(201);
    assert_eq!(plant.goes_to("pump-1", &plant.west)["substatus"], "deviceDataMigrated");
    plant.asks(&plant.east, "GET", "/devices/pump-1", &Value::Null).expect(404);

    // One that somebody else made there is not the enrollment's to take away.
    plant.enrolls(json!({ "allocationPolicy": "static", "iotHubs": [east] }));
    plant.asks(&plant.west, "DELETE", "/devices/pump-1", &Value::Null).expect(204);
    plant.fleet.world.device(&plant.west, "pump-1");
    let told = plant.fails("pump-1", 409_001);
    assert!(told.contains("plant-west"), "{told}");
}

/// Threat 67: the key in a webhook's address is in no decision: neither of a write nor of a deletion, of one or of many.
#[test]
fn no_trace_holds_what_is_secret_in_a_webhooks_address() {
    let plant = Plant::new();
    let world = &plant.fleet.world;
    let url = "https://functions.example/allocate?code=s3cret-of-the-webhook";
    let terms = json!({ "allocationPolicy": "custom", "customAllocationDefinition": { "webhookUrl": url } });
    plant.enrolls(terms.clone());
    let kind = "Microsoft.Devices/ProvisioningServices/enrollmentGroups";
    let stop = |name: &str, effect: Value| {
        let rule = json!({ "if": { "field": "type", "equals": kind }, "then": effect });
        world.define_policy(name, &rule).expect(201);
        world.assign_policy(name, &plant.fleet.dps).expect(201);
    };
    stop("no-writes", json!({ "effect": "deny" }));
    stop(
        "no-deletions",
        json!({ "effect": "denyAction", "details": { "actionNames": ["delete"] } }),
    );
    let mut group = terms;
    group["enrollmentGroupId"] = json!("pumps");
    group["attestation"] = json!({ "type": "symmetricKey" });
    let many = json!({ "mode": "delete", "enrollmentGroups": [{ "enrollmentGroupId": "pumps" }] });
    let tried = [
        ("PUT", "/enrollmentGroups/pumps", &group),
        ("DELETE", "/enrollmentGroups/pumps", &Value::Null),
        ("POST", "/enrollmentGroups", &many),
    ];
    for (method, path, body) in tried {
        let refused = plant.fleet.call(&plant.fleet.key(), method, path, body).expect(403);
        let explained = world.explained(&refused.tracking()).to_string();
        assert!(explained.contains("functions.example/allocate"), "{method}: {explained}");
        assert!(!explained.contains("s3cret"), "{method}: {explained}");
    }
    // Whoever may read the enrollment gets it back whole, to write it again.
    let shown =
        plant.fleet.call(&plant.fleet.key(), "GET", "/enrollmentGroups/pumps", &Value::Null);
    assert_eq!(shown.expect(200).body["customAllocationDefinition"]["webhookUrl"], url);
}
