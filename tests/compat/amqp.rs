//! AMQP by the unmodified clients: messages to devices and what became of them, events as readers have them.

use super::az::binary;
use super::clients::{Client, interpreter, node_modules, script};
use serde_json::{Value, json};
use std::process::Command;
use testkit::Process;

struct Stage {
    server: Process,
    device: Client,
}

impl Stage {
    /// A server, and its first device, which listens over AMQP.
    fn new(home: &std::path::Path) -> Self {
        let server = Process::start(binary(), &home.join("data"), &[]);
        let connection = server.connection();
        let string = connection.get("HUBWARD_DEVICE_CONNECTION_STRING").unwrap();
        let mut device = Client::node_device(string, connection.ca_file(), "amqp");
        device.connects();
        Self { device, server }
    }

    fn setting(&self, name: &str) -> String {
        self.server.connection().get(name).unwrap().to_owned()
    }

    /// The hub's connection string as clients of Event Hubs have it.
    fn event_hub(&self) -> String {
        let string = self.setting("HUBWARD_HUB_CONNECTION_STRING");
        let (host, keys) = string.split_once(';').unwrap();
        let host = host.trim_start_matches("HostName=");
        format!("Endpoint=sb://{host}/;{keys};EntityPath={}", self.setting("HUBWARD_HUB"))
    }

    /// What a reader prints: about the hub, then the events.
    #[track_caller]
    fn reads(&self, mut reader: Command) -> (Value, Vec<Value>) {
        let ca_file = self.server.connection().ca_file().to_owned();
        reader.env("EVENT_HUB_CONNECTION_STRING", self.event_hub());
        reader.env("NODE_PATH", node_modules()).env("NODE_EXTRA_CA_CERTS", ca_file);
        let output = reader.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let mut lines = text.lines().map(|it| serde_json::from_str(it).unwrap());
        let about = lines.next().unwrap_or_else(|| panic!("{said}"));
        (about, lines.collect())
    }
}

/// The next message that the device hears.
#[track_caller]
fn heard(device: &mut Client) -> Value {
    for _ in 0..60 {
        let heard = device.does("next")["heard"].take();
        if heard.get("message").is_some() {
            return heard;
        }
    }
    panic!("no message was heard");
}

#[test]
fn services_send_to_a_device_over_amqp_and_hear_what_became_of_it() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    stage.device.does("listen");
    let string = stage.setting("HUBWARD_HUB_CONNECTION_STRING");
    let ca_file = stage.server.connection().ca_file().to_owned();
    // azure-iot-hub for Python.
    let mut python = Client::python_service(&string, &ca_file);
    let properties = json!({ "messageId": "m1", "level": "3" });
    let sent = [json!("device-1"), json!("from Python"), properties];
    python.calls("send_c2d_message", &sent);
    let expected = json!({ "message": "from Python", "id": "m1", "properties": { "level": "3" } });
    assert_eq!(heard(&mut stage.device), expected);
    let refused = python.fails("send_c2d_message", &[json!("nobody"), json!("x"), json!({})]);
    assert!(refused.contains("C2D message send failure"), "{refused}");
    // azure-iothub for Node, which can be told what became of it.
    let mut node = Client::node_messenger(&string, &ca_file);
    node.does("connect");
    node.does("send device-1 from-Node");
    assert_eq!(heard(&mut stage.device)["message"], "from-Node");
    let told = node.does("feedback")["feedback"].take();
    let words = ["originalMessageId", "deviceId", "statusCode"].map(|it| told[0][it].clone());
    assert_eq!(words, [json!("from-Node"), json!("device-1"), json!("Success")]);
    let refused = node.says("send nobody x");
    assert_eq!(refused["error"]["name"], "DeviceNotFoundError", "{refused}");
}

#[test]
fn events_are_read_by_the_clients_of_event_hubs() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    stage.device.sends(r#"{"bar":3.2}"#);
    stage.device.sends(r#"{"bar":3.3}"#);
    let mut python = Command::new(interpreter());
    let ca_file = stage.server.connection().ca_file().to_owned();
    python.arg(script("python/events.py")).arg(&ca_file).arg("2");
    let mut node = Command::new("node");
    node.arg(script("node/events.js")).arg("2");
    for reader in [python, node] {
        let shown = format!("{reader:?}");
        let (about, events) = stage.reads(reader);
        assert_eq!(about["name"], json!(stage.setting("HUBWARD_HUB")), "{shown}");
        let ends: Vec<&Value> = about["ends"].as_object().unwrap().values().collect();
        assert_eq!(ends.iter().filter(|it| ***it == json!(-1)).count(), 3, "{about}");
        let event = |body: &str, sequence: u64| {
            let properties = json!({ "level": "3,2 & more" });
            json!({ "body": body, "device": "device-1", "properties": properties,
                "sequence": sequence, "newest": 1 })
        };
        let expected = [event(r#"{"bar":3.2}"#, 0), event(r#"{"bar":3.3}"#, 1)];
        assert_eq!(events, expected, "{shown}");
    }
}
