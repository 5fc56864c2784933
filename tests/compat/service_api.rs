//! The service API by its unmodified clients, Python's and Node's, and a device over HTTPS by Node's.

use super::az::binary;
use super::clients::Client;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use testkit::{Process, Wire};

/// A time that has come, as Node writes it.
const LONG_AGO: &str = "2020-01-01T00:00:00.000Z";

struct Stage {
    server: Process,
    host: String,
    string: String,
}

impl Stage {
    fn new(home: &Path) -> Self {
        let server = Process::start(binary(), &home.join("data"), &[]);
        let connection = server.connection();
        let string = connection.get("HUBWARD_HUB_CONNECTION_STRING").unwrap().to_owned();
        let host = connection.get("HUBWARD_HUB_HOST").unwrap().to_owned();
        Self { host, string, server }
    }

    fn python(&self) -> Client {
        Client::python_service(&self.string, self.server.connection().ca_file())
    }

    fn node(&self) -> Client {
        Client::node_service(&self.string, self.server.connection().ca_file())
    }

    /// What no client says over HTTPS: a message to a device.
    fn sends(&self, device: &str, text: &str) {
        use base64::Engine as _;
        let field = |name: &str| {
            let found = self.string.split(';').find_map(|it| it.strip_prefix(name));
            found.unwrap().to_owned()
        };
        let key =
            base64::engine::general_purpose::STANDARD.decode(field("SharedAccessKey=")).unwrap();
        let policy = field("SharedAccessKeyName=");
        let until = model::Timestamp::from_seconds(4_000_000_000);
        let sas = wire::sas::sign(&self.host, &key, until, Some(&policy));
        let url = format!(
            "https://{}/devices/{device}/messages/deviceBound?api-version=2021-04-12",
            self.host
        );
        let body = json!({ "body": text, "base64Encoded": false, "messageId": "m1",
            "properties": { "level": "3,2 & more" } });
        let wire = Wire::new(self.server.connection().ca_file());
        wire.json("POST", &url, &sas, &body).expect(204);
    }
}

/// Waits until what a client is asked for is as it is to be: jobs and configurations take a moment.
#[track_caller]
fn comes(
    client: &mut Client,
    call: &str,
    arguments: &[Value],
    is_it: impl Fn(&Value) -> bool,
) -> Value {
    for _ in 0..100 {
        let found = client.calls(call, arguments);
        if is_it(&found) {
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{call}: {}", client.calls(call, arguments));
}

#[test]
fn the_python_client_manages_a_hub() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new(home.path());
    let mut service = stage.python();

    // Many at once, and each one's own no.
    let entry = |id: &str, mode: &str| json!({ "entry": { "id": id, "importMode": mode } });
    let bulk = service.calls(
        "bulk_create_or_update_devices",
        &[json!([entry("a", "create"), entry("b", "create"), entry("c", "create")])],
    );
    assert_eq!(bulk["isSuccessful"], true, "{bulk}");
    let again = json!([entry("a", "delete"), entry("nobody", "update")]);
    let partly = service.calls("bulk_create_or_update_devices", &[again]);
    assert_eq!(partly["errors"][0]["errorCode"], "DeviceNotFound", "{partly}");
    let devices = service.calls("get_devices", &[]);
    let ids: Vec<&Value> = devices.as_array().unwrap().iter().map(|it| &it["deviceId"]).collect();
    assert_eq!(ids.len(), 3, "the first device of the hub, `b` and `c`: {ids:?}");
    let statistics = service.calls("get_device_registry_statistics", &[]);
    assert_eq!(statistics["totalDeviceCount"], 3);
    let empty = json!("");
    let module = [json!("b"), json!("valve"), json!("me"), empty.clone(), empty];
    assert_eq!(service.calls("create_module_with_sas", &module)["moduleId"], "valve");

    // A job reaches whom its condition names.
    let job = json!({ "job": { "jobId": "j1", "type": "scheduleUpdateTwin", "queryCondition": "deviceId = 'b'",
        "updateTwin": { "tags": { "hall": 1 }, "etag": "*" }, "maxExecutionTimeInSeconds": 60 } });
    assert_eq!(service.calls("create_scheduled_job", &[json!("j1"), job])["jobId"], "j1");
    let done =
        comes(&mut service, "get_scheduled_job", &[json!("j1")], |it| it["status"] == "completed");
    assert_eq!(done["deviceJobStatistics"]["succeededCount"], 1, "{done}");
    assert_eq!(service.calls("get_twin", &[json!("b")])["tags"]["hall"], 1);
    let refused = service.fails("cancel_scheduled_job", &[json!("j1")]);
    assert!(refused.contains("InvalidOperation"), "{refused}");

    // So does a configuration, and the twin tells of it.
    let content = json!({ "deviceContent": { "properties.desired.rate": { "of": 5 } } });
    let configuration = json!({ "configuration": { "id": "slow", "content": content, "priority": 1,
        "targetCondition": "tags.hall = 1" } });
    let made = service.calls("create_configuration", &[configuration]);
    assert_eq!(made["id"], "slow", "{made}");
    comes(&mut service, "get_twin", &[json!("b")], |it| {
        it["properties"]["desired"]["rate"]["of"] == 5
    });
    let queries = json!({ "queries": { "targetCondition": "tags.hall =" } });
    let tried = service.calls("test_configuration_queries", &[queries]);
    assert!(tried["targetConditionError"].is_string(), "{tried}");
    assert_eq!(service.calls("get_configurations", &[]).as_array().map(Vec::len), Some(1));
    service.calls("delete_configuration", &[json!("slow")]);
    let gone = service.fails("get_configuration", &[json!("slow")]);
    assert!(gone.contains("ConfigurationNotFound"), "{gone}");

    // The model's view of the same twin.
    let patch = json!([{ "op": "add", "path": "/valve/target", "value": 42 }]);
    service.calls("update_digital_twin", &[json!("b"), patch]);
    let twin = service.calls("get_digital_twin", &[json!("b")]);
    assert_eq!(twin["valve"]["$metadata"]["target"]["desiredValue"], 42, "{twin}");
    let command = [json!("b"), json!("reboot"), json!({})];
    let offline = service.fails("invoke_command", &command);
    assert!(offline.contains("DeviceNotOnline"), "{offline}");
}

#[test]
fn the_node_client_manages_a_hub() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new(home.path());
    let mut service = stage.node();
    let device = |id: &str| json!({ "deviceId": id, "status": "enabled" });
    service.calls("create", &[device("a")]);
    let twice = service.fails("create", &[device("a")]);
    assert!(twice.contains("DeviceAlreadyExists"), "{twice}");
    let bulk = service.calls("addDevices", &[json!([device("b"), device("c")])]);
    assert_eq!(bulk["isSuccessful"], true, "{bulk}");
    service.calls("removeDevices", &[json!([device("c")]), json!(true)]);
    assert_eq!(service.calls("list", &[]).as_array().map(Vec::len), Some(3));
    service.calls("updateTwin", &[json!("a"), json!({ "tags": { "hall": 1 } }), json!("*")]);
    let module = json!({ "deviceId": "a", "moduleId": "valve" });
    assert_eq!(service.calls("addModule", &[module])["moduleId"], "valve");

    let scheduled = [
        json!("j1"),
        json!("tags.hall = 1"),
        json!({ "tags": { "checked": true }, "etag": "*" }),
        json!(LONG_AGO),
        json!(60),
    ];
    service.calls("scheduleTwinUpdate", &scheduled);
    let done = comes(&mut service, "getTwin", &[json!("a")], |it| it["tags"]["checked"] == true);
    assert_eq!(done["tags"]["hall"], 1, "{done}");

    let configuration = json!({ "id": "slow", "targetCondition": "tags.hall = 1", "priority": 1,
        "content": { "deviceContent": { "properties.desired.rate": 5 } } });
    service.calls("addConfiguration", std::slice::from_ref(&configuration));
    comes(&mut service, "getTwin", &[json!("a")], |it| it["properties"]["desired"]["rate"] == 5);
    let refused = service.fails("addConfiguration", &[configuration]);
    assert!(refused.contains("ConfigurationAlreadyExists"), "{refused}");
    service.calls("removeConfiguration", &[json!("slow")]);
    service.calls("delete", &[json!("a")]);
}

#[test]
fn the_node_device_talks_over_https() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new(home.path());
    let mut service = stage.node();
    let made = service.calls("create", &[json!({ "deviceId": "pump-1", "status": "enabled" })]);
    let key = made["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap();
    let string = format!("HostName={};DeviceId=pump-1;SharedAccessKey={key}", stage.host);
    let mut device = Client::node_device(&string, stage.server.connection().ca_file(), "http");
    device.connects();
    device.sends("{\"bar\":3.2}");
    stage.sends("pump-1", "open");
    device.does("listen");
    let heard = (0..30).map(|_| device.does("next")["heard"].take()).find(|it| !it.is_null());
    let heard = heard.expect("the device looks every second");
    // This client shows a property under the name of its header.
    let properties = json!({ "iothub-app-level": "3,2 & more" });
    assert_eq!(heard, json!({ "message": "open", "id": "m1", "properties": properties }));
    // It was completed: nothing waits any more.
    comes(&mut service, "get", &[json!("pump-1")], |it| it["cloudToDeviceMessageCount"] == 0);
    device.does("disconnect");
}
