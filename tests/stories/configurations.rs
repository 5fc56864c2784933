//! Configurations: desired properties for whoever a condition names, now and later, and modules of edge devices.

use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Answer, World};

struct Plant {
    world: World,
    hub: String,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        Self { hub: world.hub(), world }
    }

    fn asks(&self, method: &str, path: &str, if_match: Option<&str>, body: &Value) -> Answer {
        let headers: Vec<(&str, &str)> = if_match.map(|it| ("If-Match", it)).into_iter().collect();
        self.world.hub_by_key("iothubowner", method, &self.hub, path, &headers, body)
    }

    fn service(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.asks(method, path, None, body)
    }

    fn gets(&self, path: &str) -> Value {
        self.service("GET", path, &Value::Null).expect(200).body
    }

    fn makes(&self, id: &str, condition: &str, priority: i64, rate: i64) -> Answer {
        let body = json!({ "id": id, "targetCondition": condition, "priority": priority,
            "content": { "deviceContent": { "properties.desired.rate": { "of": rate } } } });
        self.service("PUT", &format!("/configurations/{id}"), &body)
    }

    /// Waits until what is at a path has a value.
    fn comes(&self, path: &str, pointer: &str, expected: &Value) {
        for _ in 0..400 {
            if self.gets(path).pointer(pointer).unwrap_or(&Value::Null) == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{}", self.gets(path));
    }
}

const RATE: &str = "/properties/desired/rate/of";

#[test]
fn a_configuration_reaches_whom_it_names_and_the_one_of_higher_priority_counts() {
    let plant = Plant::new();
    for (id, hall) in [("pump-1", 1), ("pump-10", 2)] {
        plant.world.device(&plant.hub, id);
        plant
            .service("PATCH", &format!("/twins/{id}"), &json!({ "tags": { "hall": hall } }))
            .expect(200);
    }
    let made = plant.makes("slow", "tags.hall = 1", 1, 5).expect(201);
    let etag = made.header("etag").unwrap().to_owned();
    plant.comes("/twins/pump-1", RATE, &json!(5));
    plant.comes("/configurations/slow", "/systemMetrics/results/appliedCount", &json!(1));
    let twin = plant.gets("/twins/pump-1");
    assert_eq!(twin["configurations"], json!({ "slow": { "status": "Applied" } }));
    assert_eq!(plant.gets("/twins/pump-10").pointer(RATE), None);
    // What is there already is not written again: the next configuration finds the version as it was.
    let version = twin["properties"]["desired"]["$version"].clone();
    plant.makes("other", "tags.hall = 3", 9, 7).expect(201);
    plant.comes("/configurations/other", "/systemMetrics/results/targetedCount", &json!(0));
    plant.makes("fast", "*", 10, 9).expect(201);
    plant.comes("/twins/pump-10", RATE, &json!(9));
    plant.comes("/twins/pump-1", RATE, &json!(9));
    assert_eq!(
        plant.gets("/twins/pump-1")["properties"]["desired"]["$version"],
        json!(version.as_u64().unwrap() + 1)
    );

    // Etags, as of devices; the content stays.
    assert_eq!(plant.makes("slow", "*", 1, 5).code(), "ConfigurationAlreadyExists");
    let changed = json!({ "id": "slow", "targetCondition": "tags.hall = 2", "priority": 20,
        "content": { "deviceContent": { "properties.desired.rate": { "of": 5 } } } });
    let put = |tag: &str, body: &Value| plant.asks("PUT", "/configurations/slow", Some(tag), body);
    assert_eq!(put("\"AAAA\"", &changed).code(), "PreconditionFailed");
    let mut other = changed.clone();
    other["content"]["deviceContent"] = json!({ "properties.desired.rate": 1 });
    assert_eq!(put("*", &other).code(), "CannotModifyImmutableConfigurationContent");
    put(&etag, &changed).expect(200);
    plant.comes("/twins/pump-10", RATE, &json!(5));
    assert_eq!(put(&etag, &changed).status, 412);
    assert_eq!(plant.gets("/configurations?top=2").as_array().map(Vec::len), Some(2));
    // One that goes leaves what it brought, and the next one takes its place.
    plant.asks("DELETE", "/configurations/slow", Some("*"), &Value::Null).expect(204);
    plant.comes("/twins/pump-10", RATE, &json!(9));
    let gone = plant.service("GET", "/configurations/slow", &Value::Null);
    assert_eq!((gone.status, gone.code()), (404, "ConfigurationNotFound".to_owned()));
}

#[test]
fn what_is_wrong_with_a_configuration_is_refused_and_its_queries_can_be_tried() {
    let plant = Plant::new();
    let body = |condition: &str, content: Value| json!({ "targetCondition": condition, "content": content });
    let device = || json!({ "deviceContent": { "properties.desired.a": 1 } });
    let refused = |id: &str, body: &Value| {
        plant.service("PUT", &format!("/configurations/{id}"), body).expect(400).code()
    };
    assert_eq!(refused("c", &body("tags.a =", device())), "InvalidConfigurationTargetCondition");
    let modules = "FROM devices.modules WHERE moduleId = 'm'";
    assert_eq!(refused("c", &body(modules, device())), "InvalidConfigurationTargetCondition");
    assert_eq!(refused("c", &body("*", json!({}))), "InvalidConfigurationContent");
    assert_eq!(refused("Upper", &body("*", device())), "ArgumentInvalid");
    let mut metrics = body("*", device());
    metrics["metrics"] = json!({ "queries": { "m": "SELECT FROM" } });
    assert_eq!(refused("c", &metrics), "InvalidConfigurationCustomMetricsQuery");
    let tried = json!({ "targetCondition": "tags.a =", "customMetricQueries": {
        "good": "SELECT deviceId FROM devices WHERE tags.a = 1", "bad": "SELECT" } });
    let told = plant.service("POST", "/configurations/testQueries", &tried).expect(200).body;
    assert!(told["targetConditionError"].is_string(), "{told}");
    let wrong = told["customMetricQueryErrors"].as_object().unwrap();
    assert_eq!(wrong.keys().collect::<Vec<_>>(), ["bad"]);
    let right = json!({ "targetCondition": "tags.a = 1" });
    let told = plant.service("POST", "/configurations/testQueries", &right).expect(200).body;
    assert_eq!(told, json!({ "targetConditionError": null, "customMetricQueryErrors": {} }));
}

#[test]
fn an_edge_device_gets_the_modules_of_a_content_and_of_the_first_deployment() {
    let plant = Plant::new();
    for (id, is_edge) in [("edge-1", true), ("pump-1", false)] {
        let body = json!({ "capabilities": { "iotEdge": is_edge } });
        plant.service("PUT", &format!("/devices/{id}"), &body).expect(200);
    }
    let content = |rate: i64| {
        json!({ "modulesContent": {
        "$edgeAgent": { "properties.desired": { "schemaVersion": "1.1" } },
        "filter": { "properties.desired.rate": rate } } })
    };
    let applies = |id: &str| {
        plant.service("POST", &format!("/devices/{id}/applyConfigurationContent"), &content(3))
    };
    applies("edge-1").expect(204);
    let agent = plant.gets("/twins/edge-1/modules/$edgeAgent");
    assert_eq!(agent["properties"]["desired"]["schemaVersion"], "1.1");
    let filter = "/twins/edge-1/modules/filter";
    assert_eq!(plant.gets(filter)["properties"]["desired"]["rate"], 3);
    assert_eq!(plant.gets("/devices/edge-1/modules").as_array().map(Vec::len), Some(2));
    assert_eq!(applies("pump-1").expect(400).code(), "InvalidOperation");
    assert_eq!(applies("edge-2").code(), "DeviceNotFound");
    for (id, priority, rate) in [("low", 1, 5), ("high", 2, 7)] {
        let body =
            json!({ "targetCondition": "*", "priority": priority, "content": content(rate) });
        plant.service("PUT", &format!("/configurations/{id}"), &body).expect(201);
    }
    plant.comes(filter, "/properties/desired/rate", &json!(7));
    plant.comes("/twins/edge-1", "/configurations/low/status", &json!("Targeted"));
    plant.comes("/twins/edge-1", "/configurations/high/status", &json!("Applied"));
    assert_eq!(plant.gets("/devices/pump-1/modules"), json!([]));
}
