//! Messages go where the routes of their hub take them, whichever protocol brings them.

use amqp::{Body, Message, Outcome};
use bytes::Bytes;
use ops::devices::message::Message as Kept;
use ops::devices::message::routed::EVENTS;
use serde_json::{Value, json};
use testkit::{Amqp, Answer, Device, World};

const STRING: &str =
    "Endpoint=sb://plant.example/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0;EntityPath=e";

/// Azure Event Hubs Data Sender.
const SENDER: &str = "2b629674-e913-4c01-ae53-ef4638d8f975";

struct Plant {
    world: World,
    hub: String,
    device: Device,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        let hub = world.hub();
        let device = world.device(&hub, "pump-1");
        Self { world, hub, device }
    }

    fn saves(&self, routing: &Value) -> Answer {
        self.world.arm("PATCH", &self.hub, &json!({ "properties": { "routing": routing } }))
    }

    fn routing(&self) -> Value {
        let hub = self.world.arm("GET", &self.hub, &Value::Null).expect(200).body;
        hub["properties"]["routing"].clone()
    }

    /// Sends over HTTPS, with a property `level`.
    fn sends(&self, level: &str, body: &str) {
        let path = format!("/devices/{}/messages/events", self.device.id);
        let url = self.world.hub_url(&self.hub, &path);
        let own = self.device.signature(self.world.now().plus_seconds(600));
        let headers = [("Authorization", own.as_str()), ("iothub-app-level", level)];
        self.world.wire().send("POST", &url, &headers, body.as_bytes()).expect(204);
    }

    fn service(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("If-Match", "*")];
        self.world.hub_by_key("iothubowner", method, &self.hub, path, &headers, body)
    }

    /// What the built-in endpoint shows, oldest first.
    fn events(&self) -> Vec<Value> {
        let key = self.world.policy_sas(&self.hub, "service");
        let pages = (0..4).map(|partition| {
            let path = format!("/messages/events/partitions/{partition}?from=earliest");
            self.world.hub_with(&key, "GET", &self.hub, &path, &Value::Null).expect(200).body
        });
        pages.flat_map(|it| it["events"].as_array().unwrap().clone()).collect()
    }

    fn bodies(&self) -> Vec<String> {
        self.events().iter().map(|it| it["body"].as_str().unwrap().to_owned()).collect()
    }

    /// The numbers of the endpoints that each message goes to, as the log has them.
    fn destinations(&self) -> Vec<Vec<u32>> {
        let to = |it: &Kept| it.routed.as_ref().map_or(vec![EVENTS], |it| it.to.clone());
        self.world.messages(&self.hub).iter().map(to).collect()
    }

    fn orphaned(&self) -> String {
        let env = self.world.env();
        let text = env.metrics.render(&env.facts.load().lookups, &env.presence);
        let line = text.lines().find_map(|it| it.strip_prefix("hubward_messages_orphaned_total "));
        line.unwrap().to_owned()
    }
}

fn event_hub(name: &str) -> Value {
    json!({ "name": name, "authenticationType": "keyBased", "connectionString": STRING })
}

fn route(name: &str, source: &str, condition: &str, to: &str) -> Value {
    json!({ "name": name, "source": source, "condition": condition, "endpointNames": [to], "isEnabled": true })
}

fn fallback(is_enabled: bool) -> Value {
    json!({ "name": "$fallback", "source": "DeviceMessages", "condition": "true",
        "endpointNames": ["events"], "isEnabled": is_enabled })
}

#[test]
fn messages_over_every_protocol_go_where_routes_take_them() {
    let mut plant = Plant::new();
    plant.sends("low", "before");
    let levels = [
        route("high", "DeviceMessages", "level = 'high'", "events"),
        route("json", "DeviceMessages", "$body.bar > 3", "events"),
        route("off", "DeviceMessages", "true", "events"),
    ];
    let mut routing = json!({ "routes": levels, "fallbackRoute": fallback(false) });
    routing["routes"][2]["isEnabled"] = json!(false);
    plant.saves(&routing).expect(200);

    plant.sends("high", "https high");
    plant.sends("low", "https low");
    let mut mqtt = plant.device.connects(plant.world.wire(), plant.world.now().plus_seconds(600));
    mqtt.publish(&format!("{}Level=high", plant.device.events()), b"mqtt high").unwrap();
    mqtt.publish(&format!("{}level=HIGH", plant.device.events()), b"mqtt low").unwrap();
    let as_json = format!("{}%24.ct=application%2Fjson&%24.ce=utf-8", plant.device.events());
    mqtt.publish(&as_json, br#"{"bar":3.2}"#).unwrap();
    mqtt.publish(&as_json, br#"{"bar":2}"#).unwrap();
    mqtt.publish(&plant.device.events(), br#"{"bar":4}"#).unwrap();
    mqtt.disconnect();
    let mut amqp = Amqp::begin(plant.world.wire(), &plant.device.host, plant.world.amqp_port());
    let token = plant.device.signature(plant.world.now().plus_seconds(600));
    let name = format!("{}/devices/{}", plant.device.host, plant.device.id);
    assert_eq!(amqp.puts_token(&name, &token).0, 200);
    let link = amqp.sends_to("/devices/pump-1/messages/events").unwrap();
    for (level, body) in [("high", "amqp high"), ("low", "amqp low")] {
        let message = Message {
            application: vec![(amqp::Value::string("level"), amqp::Value::string(level))],
            body: Body::Data(vec![Bytes::copy_from_slice(body.as_bytes())]),
            ..Message::default()
        };
        assert_eq!(amqp.sends(link, &message), Outcome::Accepted);
    }

    let expected = ["before", "https high", "mqtt high", r#"{"bar":3.2}"#, "amqp high"];
    assert_eq!(plant.bodies(), expected);
    // What goes nowhere is not kept, and counted.
    assert_eq!(plant.orphaned(), "5");
    plant.world.restart();
    assert_eq!(plant.bodies(), expected);
    assert_eq!(plant.destinations(), vec![vec![EVENTS]; 5]);

    routing["fallbackRoute"] = fallback(true);
    plant.saves(&routing).expect(200);
    plant.sends("low", "falls back");
    assert_eq!(plant.bodies().last().unwrap(), "falls back");
}

#[test]
fn a_session_that_stays_follows_the_routes_of_now() {
    let plant = Plant::new();
    let mut mqtt = plant.device.connects(plant.world.wire(), plant.world.now().plus_seconds(600));
    mqtt.publish(&plant.device.events(), b"one").unwrap();
    plant.saves(&json!({ "fallbackRoute": fallback(false) })).expect(200);
    mqtt.publish(&plant.device.events(), b"two").unwrap();
    plant.saves(&json!({ "fallbackRoute": fallback(true) })).expect(200);
    mqtt.publish(&plant.device.events(), b"three").unwrap();
    assert_eq!(plant.bodies(), ["one", "three"]);
}

/// S3-20: an endpoint is made with or without a route. S3-21: however it signs in from then on, it keeps its number and
/// with that what waits for it.
#[test]
fn an_endpoint_keeps_its_number_as_long_as_it_is_there() {
    let plant = Plant::new();
    let endpoints = |hubs: &[Value]| json!({ "eventHubs": hubs });
    let all = |hubs: &[Value], routes: &[Value]| json!({ "endpoints": endpoints(hubs), "routes": routes, "fallbackRoute": fallback(true) });
    // Without a route nothing goes there.
    plant.saves(&all(&[event_hub("hub1"), event_hub("hub10")], &[])).expect(200);
    plant.sends("low", "one");
    assert_eq!(plant.bodies(), ["one"]);
    let to_ten = route("ten", "DeviceMessages", "true", "HUB10");
    plant
        .saves(&all(&[event_hub("hub1"), event_hub("hub10")], std::slice::from_ref(&to_ten)))
        .expect(200);
    plant.sends("low", "two");
    assert_eq!(plant.bodies(), ["one"]);
    let id = |at: usize| plant.routing()["endpoints"]["eventHubs"][at]["id"].clone();
    let before = id(1);
    assert!(before.is_string());

    let world = &plant.world;
    let namespace = world.target("Microsoft.EventHub/namespaces", "plant-events");
    world.arm("PUT", &format!("{namespace}/eventhubs/e"), &json!({})).expect(200);
    let signs_in = json!({ "identity": { "type": "SystemAssigned" } });
    let hub = world.arm("PATCH", &plant.hub, &signs_in).expect(200).body;
    let own = world.managed_identity(hub["identity"]["principalId"].as_str().unwrap());
    world.assign(&own, SENDER, &namespace).expect(201);
    let address = format!("sb://{}/", world.namespace_host(&namespace));
    let identity = json!({ "name": "hub10", "authenticationType": "identityBased",
        "endpointUri": address, "entityPath": "e" });
    let changed = all(&[event_hub("hub1"), identity.clone()], std::slice::from_ref(&to_ten));
    plant.saves(&changed).expect(200);
    plant.sends("low", "three");
    assert_eq!(id(1), before);
    // One of its name that is made anew is another.
    plant.saves(&all(&[event_hub("hub1")], &[])).expect(200);
    plant.saves(&all(&[event_hub("hub1"), event_hub("hub10")], &[to_ten])).expect(200);
    plant.sends("low", "four");
    assert_ne!(id(1), before);
    assert_eq!(plant.destinations(), [vec![EVENTS], vec![2], vec![2], vec![3]]);
}

#[test]
fn keys_of_endpoints_are_masked_and_what_is_past_a_limit_is_refused_with_its_place() {
    let plant = Plant::new();
    let many = |count: usize| (0..count).map(|it| event_hub(&format!("h{it}"))).collect::<Vec<_>>();
    let with = |hubs: &[Value]| json!({ "endpoints": { "eventHubs": hubs }, "fallbackRoute": fallback(true) });
    plant.saves(&with(&many(10))).expect(200);
    let shown = plant.routing();
    assert!(!shown.to_string().contains("c2VjcmV0"), "{shown}");
    let string = shown["endpoints"]["eventHubs"][0]["connectionString"].as_str().unwrap();
    assert!(string.contains("SharedAccessKeyName=send;SharedAccessKey=****"), "{string}");
    // What was read is sent back as it was read.
    plant.saves(&shown).expect(200);
    let refused = |routing: &Value, place: &str| {
        let answer = plant.saves(routing).expect(400);
        assert!(answer.text().contains(place), "{}", answer.text());
    };
    refused(&with(&many(11)), "properties.routing.endpoints.eventHubs");
    let routes = |count: usize| {
        let one = |it: usize| route(&format!("r{it}"), "DeviceMessages", "true", "events");
        json!({ "routes": (0..count).map(one).collect::<Vec<_>>() })
    };
    plant.saves(&routes(100)).expect(200);
    refused(&routes(101), "properties.routing.routes");
    let wrong = json!({ "routes": [route("r", "DeviceMessages", "level >", "events")] });
    refused(&wrong, "line 1, character 8");
    assert_eq!(plant.routing()["routes"].as_array().unwrap().len(), 100);
}

#[test]
fn the_hub_adds_what_it_knows_of_a_sender_and_nobody_forges_it() {
    let plant = Plant::new();
    plant.service("PATCH", "/twins/pump-1", &json!({ "tags": { "site": "north" } })).expect(200);
    let added =
        |key: &str, value: &str| json!({ "key": key, "value": value, "endpointNames": ["events"] });
    let all = [
        added("Level", "$twin.tags.site"),
        added("hub", "$iothubname"),
        added("gone", "$twin.tags.gone"),
    ];
    plant.saves(&json!({ "enrichments": all, "fallbackRoute": fallback(true) })).expect(200);
    plant.sends("forged", "one");
    plant.service("PATCH", "/twins/pump-1", &json!({ "tags": { "site": "south" } })).expect(200);
    plant.sends("forged", "two");
    let name = plant.hub.rsplit('/').next().unwrap();
    let properties: Vec<Value> = plant.events().iter().map(|it| it["properties"].clone()).collect();
    let expected = |site: &str| json!({ "Level": site, "hub": name, "gone": "$twin.tags.gone" });
    assert_eq!(properties, [expected("north"), expected("south")]);
}

#[test]
fn routes_are_tried_before_they_are_saved() {
    let plant = Plant::new();
    let routes = [
        route("high", "DeviceMessages", "level = 'high'", "events"),
        route("site", "DeviceMessages", "$twin.tags.site = 'north'", "events"),
        route("twins", "TwinChangeEvents", "true", "events"),
    ];
    plant.saves(&json!({ "routes": routes })).expect(200);
    let asks = |which: &str, body: &Value| {
        plant.world.arm("POST", &format!("{}/routing/routes/{which}", plant.hub), body)
    };
    let message = json!({ "body": "{\"bar\":4}", "appProperties": { "Level": "high" },
        "systemProperties": { "contentType": "application/json", "contentEncoding": "utf-8" } });
    let names = |body: &Value| {
        let answer = asks("$testall", body).expect(200).body;
        let all = answer["routes"].as_array().unwrap().clone();
        all.iter()
            .map(|it| it["properties"]["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&json!({ "message": message })), ["high"]);
    let twin = json!({ "tags": { "site": "north" } });
    assert_eq!(names(&json!({ "message": message, "twin": twin })), ["high", "site"]);
    assert_eq!(names(&json!({ "routingSource": "TwinChangeEvents" })), ["twins"]);
    let tries = |condition: &str| {
        let route = route("new", "DeviceMessages", condition, "nowhere");
        asks("$testnew", &json!({ "message": message, "route": route })).expect(200).body
    };
    assert_eq!(tries("$body.bar > 3")["result"], "true");
    assert_eq!(tries("$body.bar > 4")["result"], "false");
    assert_eq!(tries("$body.foo > 4")["result"], "undefined");
    let wrong = tries("level = 'high' AND\n(true");
    assert_eq!(wrong["result"], "false");
    let error = &wrong["details"]["compilationErrors"][0];
    assert_eq!(
        (&error["severity"], &error["location"]["start"]),
        (&json!("error"), &json!({ "line": 2, "column": 6 }))
    );
    asks("$testnew", &json!({ "message": message })).expect(400);
    asks("$testall", &json!({ "message": { "systemProperties": { "x": "y" } } })).expect(400);

    let health = format!("{}/routingEndpointsHealth", plant.hub);
    let health = plant.world.arm("GET", &health, &Value::Null).expect(200).body;
    assert_eq!(health["value"][0]["endpointId"], "events");
}

/// What the hub tells: the source, what happened to whom, and the body.
fn told(event: &Value) -> (String, String, Value) {
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let what = format!("{} {}", text(&event["properties"]["opType"]), text(&event["deviceId"]));
    let body = event["body"].as_str().unwrap();
    (text(&event["source"]), what, serde_json::from_str(body).unwrap_or_default())
}

#[test]
fn what_happens_to_devices_is_told_to_the_routes_that_take_it_and_to_no_others() {
    let plant = Plant::new();
    let twin = |tags: Value| json!({ "tags": tags });
    // Nobody wants it yet.
    plant.service("PATCH", "/twins/pump-1", &twin(json!({ "site": "north" }))).expect(200);
    let routes = [
        route("twins", "TwinChangeEvents", "opType = 'updateTwin'", "events"),
        route("lives", "DeviceLifecycleEvents", "true", "events"),
        route("comes", "DeviceConnectionStateEvents", "$connectionDeviceId <> 'pump-2'", "events"),
    ];
    plant.saves(&json!({ "routes": routes, "fallbackRoute": fallback(true) })).expect(200);
    plant.service("PATCH", "/twins/pump-1", &twin(json!({ "site": "south" }))).expect(200);
    plant.service("PUT", "/twins/pump-1", &twin(json!({ "site": "west" }))).expect(200);
    let until = plant.world.now().plus_seconds(600);
    let mut mqtt = plant.device.connects(plant.world.wire(), until);
    assert_eq!(plant.events().len(), 2, "before the device is greeted");
    mqtt.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", br#"{"bar":3}"#).unwrap();
    mqtt.disconnect();
    let second = plant.world.device(&plant.hub, "pump-2");
    second.connects(plant.world.wire(), until).disconnect();
    plant.service("DELETE", "/devices/pump-2", &Value::Null).expect(204);

    // A device that says good-bye waits for no answer.
    while plant.events().len() < 6 {
        std::thread::yield_now();
    }
    let mut all: Vec<_> = plant.events().iter().map(told).collect();
    all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    let names: Vec<_> = all.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
    let expected = [
        ("DeviceConnectionStateEvents", "deviceConnected pump-1"),
        ("DeviceConnectionStateEvents", "deviceDisconnected pump-1"),
        ("DeviceLifecycleEvents", "createDeviceIdentity pump-2"),
        ("DeviceLifecycleEvents", "deleteDeviceIdentity pump-2"),
        ("TwinChangeEvents", "updateTwin pump-1"),
        ("TwinChangeEvents", "updateTwin pump-1"),
    ];
    assert_eq!(names, expected);
    let number = |at: usize| all[at].2["sequenceNumber"].as_str().unwrap().to_owned();
    assert!(number(0).len() == 64 && number(1) > number(0), "{all:?}");
    assert_eq!(all[2].2["properties"]["desired"]["$version"], 1);
    let changes: Vec<&Value> = all[4..].iter().map(|it| &it.2).collect();
    assert!(changes.iter().any(|it| it["tags"] == json!({ "site": "south" })), "{changes:?}");
    let reported = changes.iter().find_map(|it| it["properties"].get("reported")).unwrap();
    assert_eq!((&reported["bar"], &reported["$version"]), (&json!(3), &json!(2)));

    let event = plant.events().into_iter().find(|it| it["source"] == "TwinChangeEvents").unwrap();
    let hub = plant.hub.rsplit('/').next().unwrap();
    assert_eq!(event["systemProperties"]["userId"], hub);
    assert_eq!(event["systemProperties"]["contentType"], "application/json");
    let properties = event["properties"].as_object().unwrap();
    assert_eq!(properties["iothub-message-schema"], "twinChangeNotification");
    assert_eq!((&properties["hubName"], &properties["deviceId"]), (&json!(hub), &json!("pump-1")));
    assert!(properties.contains_key("operationTimestamp"));
}
