//! The service API beyond one device at a time: bulk calls, new keys, digital twins and commands.

use serde_json::{Value, json};
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

    fn gets(&self, path: &str) -> Value {
        self.service("GET", path, &Value::Null).expect(200).body
    }

    fn bulk(&self, entries: &Value) -> Answer {
        self.service("POST", "/devices", entries)
    }
}

/// Who failed in a bulk call, and why.
fn errors(answer: &Answer) -> Vec<(String, String)> {
    let text = |it: &Value, name: &str| it[name].as_str().unwrap_or("").to_owned();
    let all = answer.body["errors"].as_array().unwrap();
    let who = |it: &Value| match it["moduleId"].as_str() {
        Some(module) => format!("{}/{module}", text(it, "deviceId")),
        None => text(it, "deviceId"),
    };
    all.iter().map(|it| (who(it), text(it, "errorCode"))).collect()
}

#[test]
fn a_bulk_call_writes_devices_modules_and_twins_in_every_mode() {
    let plant = Plant::new();
    let made = json!([
        { "id": "a", "importMode": "create", "tags": { "hall": 1 } },
        { "id": "a", "moduleId": "m", "importMode": "create" },
        { "id": "b", "importMode": "createOrUpdate",
          "properties": { "desired": { "rate": 5 } } },
        { "id": "c" },
    ]);
    assert_eq!(plant.bulk(&made).expect(200).body["isSuccessful"], true);
    assert_eq!(plant.gets("/twins/a")["tags"], json!({ "hall": 1 }));
    assert_eq!(plant.gets("/twins/b")["properties"]["desired"]["rate"], 5);
    assert_eq!(plant.gets("/devices/a/modules")[0]["moduleId"], "m");

    // Each mode has its own no, and the good entries of the same call are applied.
    let twin = plant.gets("/twins/a")["etag"].clone();
    let identity = plant.gets("/devices/b")["etag"].clone();
    let mixed = json!([
        { "id": "a", "importMode": "updateTwinIfMatchETag", "twinETag": twin, "tags": { "hall": 2 } },
        { "id": "b", "importMode": "updateIfMatchETag", "eTag": identity, "status": "disabled" },
        { "id": "c", "importMode": "updateIfMatchETag", "eTag": "AAAA", "status": "disabled" },
        { "id": "c", "importMode": "delete" },
        { "id": "d", "importMode": "update" },
        { "id": "d2", "importMode": "updateTwin", "tags": { "x": 1 } },
        { "id": "d3", "moduleId": "m", "importMode": "create" },
        { "id": "a", "moduleId": "m", "importMode": "create" },
    ]);
    let answer = plant.bulk(&mixed).expect(400);
    let expected = [
        ("c", "PreconditionFailed"),
        ("c", "DeviceDefinedMultipleTimes"),
        ("d", "DeviceNotFound"),
        ("d2", "DeviceNotFound"),
        ("d3/m", "DeviceNotFound"),
        ("a/m", "ModuleAlreadyExistsOnDevice"),
    ];
    let expected = expected.map(|(who, why)| (who.to_owned(), why.to_owned()));
    assert_eq!(errors(&answer), expected);
    assert_eq!(plant.gets("/twins/a")["tags"], json!({ "hall": 2 }));
    assert_eq!(plant.gets("/devices/b")["status"], "disabled");
    assert_eq!(plant.gets("/devices/c")["status"], "enabled");
    // An identity that is written leaves its twin as it was, and the other way round.
    assert_eq!(plant.gets("/twins/b")["properties"]["desired"]["rate"], 5);

    // A device that goes takes its modules; nothing of a call that cannot be read is done.
    let gone = json!([
        { "id": "a", "importMode": "delete" },
        { "id": "a", "moduleId": "m", "importMode": "delete" },
    ]);
    let answer = plant.bulk(&gone).expect(400);
    let twice = [("a/m".to_owned(), "DeviceDefinedMultipleTimes".to_owned())];
    assert_eq!(errors(&answer), twice);
    let module = plant.service("GET", "/devices/a/modules/m", &Value::Null);
    assert_eq!(module.code(), "ModuleNotFound");
    let wrong = json!([{ "id": "e" }, { "id": "f", "importMode": "upsert" }]);
    let refused = plant.bulk(&wrong);
    assert_eq!((refused.status, refused.code()), (400, "ArgumentInvalid".to_owned()));
    assert!(refused.text().contains("[1].importMode"), "{}", refused.text());
    assert_eq!(plant.service("GET", "/devices/e", &Value::Null).code(), "DeviceNotFound");
}

/// One commit takes 1,000 changes: a call that comes to more says so and does nothing. Of a device they are itself, its
/// modules, and that nobody gives it a policy meanwhile.
#[test]
fn a_bulk_call_that_deletes_too_much_at_once_is_refused_whole() {
    let plant = Plant::new();
    for device in 0..20 {
        let id = format!("d{device:02}");
        let mut entries = vec![json!({ "id": id })];
        entries.extend((0..50).map(|it| json!({ "id": id, "moduleId": format!("m{it}") })));
        plant.bulk(&Value::Array(entries)).expect(200);
    }
    let all: Vec<Value> =
        (0..20).map(|it| json!({ "id": format!("d{it:02}"), "importMode": "delete" })).collect();
    let refused = plant.bulk(&json!(all));
    assert_eq!((refused.status, refused.code()), (413, "TooManyDevices".to_owned()));
    assert!(refused.text().contains("1040 changes"), "{}", refused.text());
    plant.gets("/devices/d00/modules/m49");
    plant.bulk(&json!(all[..19])).expect(200);
    plant.gets("/devices/d19/modules/m49");
    let one_more = json!([{ "id": "d19", "moduleId": "m50" }]);
    let answer = plant.bulk(&one_more).expect(400);
    assert_eq!(errors(&answer)[0].1, "TooManyModulesOnDevice");
}

/// S2-44. Writing alone does not do, even where nothing is deleted; twins need their own right on top.
#[test]
fn a_bulk_call_needs_writing_and_deleting_and_one_with_twins_needs_twins() {
    let plant = Plant::new();
    let holder = |name: &str, actions: &[&str]| {
        let who = plant.world.service_principal(name);
        let id = plant.world.guid();
        let all: Vec<String> =
            actions.iter().map(|it| format!("Microsoft.Devices/IotHubs/{it}")).collect();
        let role = json!({ "properties": {
            "roleName": name, "assignableScopes": [plant.world.subscription()],
            "permissions": [{ "dataActions": all }],
        }});
        let path = format!(
            "{}/providers/Microsoft.Authorization/roleDefinitions/{id}",
            plant.world.subscription()
        );
        plant.world.arm("PUT", &path, &role).expect(201);
        plant.world.assign(&who, &id, &plant.hub).expect(201);
        who
    };
    let sends = |who: &testkit::Identity, entries: &Value| {
        plant.world.hub_as(who, "POST", &plant.hub, "/devices", entries)
    };
    let writes = holder("writer", &["devices/write"]);
    let both = holder("both", &["devices/write", "devices/delete"]);
    let all = holder("all", &["devices/write", "devices/delete", "twins/write"]);
    let (plain, with_twin) = (json!([{ "id": "a" }]), json!([{ "id": "b", "tags": { "x": 1 } }]));
    let refused = sends(&writes, &plain).expect(401);
    assert!(refused.text().contains("IotHubs/devices/delete"), "{}", refused.text());
    assert!(!refused.text().contains("devices/write"), "{}", refused.text());
    sends(&both, &plain).expect(200);
    let refused = sends(&both, &with_twin).expect(401);
    assert!(refused.text().contains("IotHubs/twins/write"), "{}", refused.text());
    sends(&all, &with_twin).expect(200);
}

#[test]
fn keys_are_made_anew_for_many_and_end_with_their_sessions() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    let thumbprint = json!({ "authentication": {
        "type": "selfSigned", "x509Thumbprint": { "primaryThumbprint": "AB".repeat(20) } } });
    plant.service("PUT", "/devices/pump-2", &thumbprint).expect(200);
    let before = plant.gets("/devices/pump-1")["authentication"]["symmetricKey"].clone();
    let later = plant.world.now().plus_seconds(600);
    let mut mqtt = pump.connects(plant.world.wire(), later);
    let asks = |which: &str, ids: &[&str]| {
        let devices: Vec<Value> = ids.iter().map(|it| json!({ "id": it })).collect();
        let body = json!({ "policyKey": which, "devices": devices });
        plant.service("POST", "/devices/keys/regenerate", &body)
    };
    let answer = asks("primaryKey", &["pump-1", "pump-2", "pump-3"]).expect(207).body;
    let after = plant.gets("/devices/pump-1")["authentication"]["symmetricKey"].clone();
    assert_eq!(answer["rotatedKeys"][0]["primaryKey"], after["primaryKey"]);
    assert_ne!(before["primaryKey"], after["primaryKey"]);
    assert_eq!(before["secondaryKey"], after["secondaryKey"]);
    assert_eq!(answer["errors"][0]["errorCode"], "InvalidOperation");
    assert_eq!(answer["errors"][1]["errorCode"], "DeviceNotFound");
    assert_eq!(mqtt.until_closed(), []);
    asks("both", &["pump-1"]).expect(200);
    let both = plant.gets("/devices/pump-1")["authentication"]["symmetricKey"].clone();
    assert_ne!(both["secondaryKey"], after["secondaryKey"]);
    asks("secondaryKey", &["pump-9"]).expect(400);
    assert_eq!(asks("theKey", &["pump-1"]).code(), "InvalidPolicyKey");
    assert_eq!(asks("both", &[]).code(), "ArgumentInvalid");
}

#[test]
fn a_digital_twin_is_patched_by_its_model_and_its_commands_are_methods() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    let mut mqtt = pump.connects(plant.world.wire(), plant.world.now().plus_seconds(600));
    mqtt.subscribes("$iothub/twin/PATCH/properties/desired/#", Qos::AtMostOnce);
    let patch = json!([{ "op": "add", "path": "/valve1/target", "value": 42 }]);
    let answer = plant.service("PATCH", "/digitaltwins/pump-1", &patch).expect(202);
    let etag = answer.header("etag").unwrap().to_owned();
    let (_, _, told) = mqtt.hears();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told, json!({ "valve1": { "__t": "c", "target": 42 }, "$version": 2 }));
    let shown = plant.gets("/digitaltwins/pump-1");
    assert_eq!(shown["$dtId"], "pump-1");
    assert_eq!(shown["valve1"]["$metadata"]["target"]["desiredValue"], 42);
    let stale = [("If-Match", "\"AAAAAAAAAAE=\"")];
    let refused = plant.service_with("PATCH", "/digitaltwins/pump-1", &stale, &patch);
    assert_eq!((refused.status, refused.code()), (412, "PreconditionFailed".to_owned()));
    let right = [("If-Match", etag.as_str())];
    let removed = json!([{ "op": "remove", "path": "/valve1/target" }]);
    plant.service_with("PATCH", "/digitaltwins/pump-1", &right, &removed).expect(202);
    mqtt.hears();
    let wrong = json!([{ "op": "move", "path": "/a" }]);
    let refused = plant.service("PATCH", "/digitaltwins/pump-1", &wrong);
    assert_eq!((refused.status, refused.code()), (400, "InvalidDigitalTwinJsonPatch".to_owned()));
    assert_eq!(plant.service("GET", "/digitaltwins/pump-2", &Value::Null).code(), "DeviceNotFound");

    mqtt.subscribes("$iothub/methods/POST/#", Qos::AtMostOnce);
    for (path, method) in
        [("components/valve1/commands/open", "valve1*open"), ("commands/reboot", "reboot")]
    {
        let answered = std::thread::scope(|scope| {
            let path = format!("/digitaltwins/pump-1/{path}?responseTimeoutInSeconds=30");
            let plant = &plant;
            let answered = scope.spawn(move || plant.service("POST", &path, &json!({ "wide": 1 })));
            let (topic, _, payload) = mqtt.hears();
            let expected = format!("$iothub/methods/POST/{}/?$rid=", method.replace('*', "%2A"));
            let request =
                topic.strip_prefix(expected.as_str()).unwrap_or_else(|| panic!("{topic}"));
            assert_eq!(payload, r#"{"wide":1}"#);
            let topic = format!("$iothub/methods/res/202/?$rid={request}");
            mqtt.publish(&topic, br#"{"done":true}"#).unwrap();
            answered.join().unwrap()
        });
        assert_eq!(answered.status, 200);
        assert_eq!(answered.header("x-ms-command-statuscode"), Some("202"));
        assert_eq!(answered.body, json!({ "done": true }));
    }
    let late = plant.service(
        "POST",
        "/digitaltwins/pump-1/commands/x?responseTimeoutInSeconds=4",
        &json!({}),
    );
    assert_eq!((late.status, late.code()), (400, "ArgumentInvalid".to_owned()));
}
