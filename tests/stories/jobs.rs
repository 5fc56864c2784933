//! Scheduled jobs: twins and methods for whoever a condition names, from a time on, and what stops them.

use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Answer, World};
use wire::mqtt::Qos;

struct Plant {
    world: World,
    hub: String,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        Self { hub: world.hub(), world }
    }

    fn service(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.world.hub_by_key("service", method, &self.hub, path, &[], body)
    }

    fn gets(&self, path: &str) -> Value {
        self.service("GET", path, &Value::Null).expect(200).body
    }

    /// Devices with a tag, two of them in hall 1.
    fn devices(&self) {
        for (id, hall) in [("pump-1", 1), ("pump-10", 2), ("pump-2", 1)] {
            self.world.device(&self.hub, id);
            let tags = json!({ "tags": { "hall": hall } });
            self.service("PATCH", &format!("/twins/{id}"), &tags).expect(200);
        }
    }

    /// Waits until a job has one of these states: a job begins within a second of its time.
    fn reaches(&self, job: &str, states: &[&str]) -> Value {
        let path = format!("/jobs/v2/{job}");
        for _ in 0..400 {
            let shown = self.gets(&path);
            if states.contains(&shown["status"].as_str().unwrap()) {
                return shown;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{}", self.gets(&path));
    }
}

fn twin_job(condition: &str, tags: Value) -> Value {
    json!({ "type": "scheduleUpdateTwin", "queryCondition": condition,
        "updateTwin": { "etag": "*", "tags": tags }, "maxExecutionTimeInSeconds": 60 })
}

#[test]
fn a_job_changes_the_twins_of_whoever_its_condition_names_when_its_time_has_come() {
    let mut plant = Plant::new();
    plant.devices();
    let mut job = twin_job("tags.hall = 1", json!({ "checked": true }));
    job["startTime"] = json!(plant.world.now().plus_seconds(600).rfc3339());
    let made = plant.service("PUT", "/jobs/v2/check", &job).expect(200).body;
    assert_eq!((&made["jobId"], &made["status"]), (&json!("check"), &json!("scheduled")));
    assert_eq!(made["type"], "scheduleUpdateTwin");
    let again = plant.service("PUT", "/jobs/v2/check", &job);
    assert_eq!((again.status, again.code()), (409, "GenericConflict".to_owned()));
    // It waits for its time, over a restart.
    plant.world.restart();
    assert_eq!(plant.gets("/jobs/v2/check")["status"], "scheduled");
    plant.world.pass_seconds(600);
    let done = plant.reaches("check", &["completed", "failed"]);
    assert_eq!(done["status"], "completed");
    let counts = &done["deviceJobStatistics"];
    assert_eq!((&counts["deviceCount"], &counts["succeededCount"]), (&json!(2), &json!(2)));
    for (id, expected) in
        [("pump-1", json!(true)), ("pump-2", json!(true)), ("pump-10", json!(null))]
    {
        assert_eq!(plant.gets(&format!("/twins/{id}"))["tags"]["checked"], expected, "{id}");
    }
    let cancelled = plant.service("POST", "/jobs/v2/check/cancel", &Value::Null);
    assert_eq!((cancelled.status, cancelled.code()), (400, "InvalidOperation".to_owned()));
    assert_eq!(plant.service("GET", "/jobs/v2/none", &Value::Null).code(), "JobNotFound");
}

#[test]
fn a_job_calls_a_method_and_tells_whom_it_did_not_reach() {
    let plant = Plant::new();
    plant.devices();
    let pump = plant.world.device(&plant.hub, "pump-3");
    let mut mqtt = pump.connects(plant.world.wire(), plant.world.now().plus_seconds(600));
    mqtt.subscribes("$iothub/methods/POST/#", Qos::AtMostOnce);
    let job = json!({ "type": "scheduleDeviceMethod", "queryCondition": "deviceId IN ['pump-2', 'pump-3']",
        "cloudToDeviceMethod": { "methodName": "reboot", "payload": 1 } });
    plant.service("PUT", "/jobs/v2/reboot", &job).expect(200);
    let (topic, _, payload) = mqtt.hears();
    assert_eq!(payload, "1");
    let request = topic.strip_prefix("$iothub/methods/POST/reboot/?$rid=").unwrap();
    mqtt.publish(&format!("$iothub/methods/res/200/?$rid={request}"), b"{}").unwrap();
    let done = plant.reaches("reboot", &["completed", "failed"]);
    let counts = &done["deviceJobStatistics"];
    assert_eq!((&counts["succeededCount"], &counts["failedCount"]), (&json!(1), &json!(1)));
    // What became of each is there to be queried.
    let query = json!({ "query": "SELECT * FROM devices.jobs WHERE jobId = 'reboot' AND status = 'failed'" });
    let found = plant.service("POST", "/devices/query", &query).expect(200);
    assert_eq!(found.header("x-ms-item-type"), Some("DeviceJob"));
    assert_eq!(found.body.as_array().map(Vec::len), Some(1));
    assert_eq!(found.body[0]["deviceId"], "pump-2");
    assert_eq!(found.body[0]["error"]["code"], "DeviceNotOnline");
    let query = json!({ "query": "SELECT * FROM devices.jobs WHERE jobId = 'reboot' AND outcome.deviceMethodResponse.status = 200" });
    let found = plant.service("POST", "/devices/query", &query).expect(200).body;
    assert_eq!(
        (found.as_array().map(Vec::len), &found[0]["deviceId"]),
        (Some(1), &json!("pump-3"))
    );
}

#[test]
fn a_job_that_is_cancelled_or_out_of_time_touches_nobody_and_jobs_are_listed() {
    let plant = Plant::new();
    plant.devices();
    let later = plant.world.now().plus_seconds(600).rfc3339();
    for id in ["j1", "j2", "j3"] {
        let mut job = twin_job("*", json!({ "job": id }));
        job["startTime"] = json!(later);
        job["maxExecutionTimeInSeconds"] = json!(10);
        plant.service("PUT", &format!("/jobs/v2/{id}"), &job).expect(200);
    }
    let cancelled = plant.service("POST", "/jobs/v2/j2/cancel", &Value::Null).expect(200).body;
    assert_eq!(cancelled["status"], "cancelled");
    let ids = |path: &str| -> Vec<Value> {
        plant.gets(path).as_array().unwrap().iter().map(|it| it["jobId"].clone()).collect()
    };
    assert_eq!(ids("/jobs/v2/query"), ["j1", "j2", "j3"]);
    assert_eq!(ids("/jobs/v2/query?jobStatus=scheduled"), ["j1", "j3"]);
    assert_eq!(ids("/jobs/v2/query?jobType=scheduleUpdateTwin&jobStatus=cancelled"), ["j2"]);
    assert_eq!(ids("/jobs/v2/query?jobType=scheduleDeviceMethod"), Vec::<Value>::new());
    // Nobody looked for the whole time that they could have taken.
    plant.world.pass_seconds(700);
    let late = plant.reaches("j1", &["failed"]);
    assert!(
        late["failureReason"].as_str().unwrap().contains("maxExecutionTimeInSeconds"),
        "{late}"
    );
    plant.reaches("j3", &["failed"]);
    for id in ["pump-1", "pump-10"] {
        assert_eq!(plant.gets(&format!("/twins/{id}"))["tags"]["job"], json!(null));
    }
    let wrong = plant.service("PUT", "/jobs/v2/j4", &twin_job("tags.hall =", json!({ "a": 1 })));
    assert_eq!((wrong.status, wrong.code()), (400, "ArgumentInvalid".to_owned()));
    assert!(wrong.text().contains("queryCondition"), "{}", wrong.text());
}
