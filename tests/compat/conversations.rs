//! A device and a service talk, each with its unmodified client: one scenario over each transport.

use super::az::binary;
use super::clients::Client;
use serde_json::{Value, json};
use testkit::Process;

/// Whose client the device has, and over what it talks.
#[derive(Clone, Copy, Debug)]
struct Device {
    client: fn(&str, &std::path::Path, &str) -> Client,
    transport: &'static str,
    id: &'static str,
}

const DEVICES: &[Device] = &[
    Device { client: Client::python_device, transport: "mqtt", id: "python-mqtt" },
    Device { client: Client::python_device, transport: "mqtt-ws", id: "python-mqtt-ws" },
    Device { client: Client::node_device, transport: "mqtt", id: "node-mqtt" },
    Device { client: Client::node_device, transport: "mqtt-ws", id: "node-mqtt-ws" },
    Device { client: Client::node_device, transport: "amqp", id: "node-amqp" },
    Device { client: Client::node_device, transport: "amqp-ws", id: "node-amqp-ws" },
];

struct Stage {
    server: Process,
    service: Client,
    host: String,
}

impl Stage {
    fn new(home: &std::path::Path) -> Self {
        let server = Process::start(binary(), &home.join("data"), &[]);
        let connection = server.connection();
        let string = connection.get("HUBWARD_HUB_CONNECTION_STRING").unwrap();
        let host = connection.get("HUBWARD_HUB_HOST").unwrap().to_owned();
        let service = Client::python_service(string, connection.ca_file());
        Self { service, host, server }
    }

    /// Registers a device with keys of the server's, and starts its client.
    fn device(&mut self, device: &Device) -> Client {
        let empty = json!("");
        let made = self.service.calls(
            "create_device_with_sas",
            &[json!(device.id), empty.clone(), empty, json!("enabled")],
        );
        let key = made["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap();
        let string = format!("HostName={};DeviceId={};SharedAccessKey={key}", self.host, device.id);
        (device.client)(&string, self.server.connection().ca_file(), device.transport)
    }

    /// What the device hears of a kind, where the service says it again in each round: clients tell of more than they
    /// were sent.
    fn until(
        &mut self,
        client: &mut Client,
        is_it: impl Fn(&Value) -> bool,
        say: impl Fn(&mut Client, u64),
    ) -> Value {
        for round in 1..=ROUNDS {
            say(&mut self.service, round);
            let mut heard = client.does("next")["heard"].take();
            while !heard.is_null() {
                if is_it(&heard) {
                    return heard;
                }
                heard = client.does("next")["heard"].take();
            }
        }
        panic!("nothing of the kind was heard in {ROUNDS} rounds");
    }
}

/// How often a device that hears nothing is told again. Clients listen in the background: what is said before that is
/// not meant for them.
const ROUNDS: u64 = 30;

/// S2-01 in part: services reach devices by a key of the hub.
#[test]
fn a_service_and_a_device_talk_over_each_transport() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    for device in DEVICES {
        println!("{device:?}");
        talk(&mut stage, device);
    }
}

fn talk(stage: &mut Stage, device: &Device) {
    let mut client = stage.device(device);
    client.connects();
    client.sends(r#"{"bar":3.2}"#);
    // What the device reports, the service reads.
    client.does("twin");
    client.does(r#"report {"rate":{"now":5},"old":1}"#);
    client.does(r#"report {"old":null}"#);
    let twin = stage.service.calls("get_twin", &[json!(device.id)]);
    let reported = &twin["properties"]["reported"];
    assert_eq!(reported["rate"]["now"], 5, "{twin}");
    assert!(reported.get("old").is_none() && reported["$version"] == 3, "{twin}");
    assert_eq!(twin["connectionState"], "Connected");

    // What the service wants, the device hears.
    client.does("listen set-rate");
    let etag = twin["etag"].clone();
    let wants =
        |rate: u64| json!({ "twin": { "tags": { "hall": 1 }, "desired": { "rate": rate } } });
    stage.service.calls("update_twin", &[json!(device.id), wants(1), etag.clone()]);
    let stale = stage.service.fails("update_twin", &[json!(device.id), wants(1), etag]);
    assert!(stale.contains("PreconditionFailed"), "{stale}");
    let hears_a_rate = |it: &Value| it["desired"]["rate"].is_u64();
    let heard = stage.until(&mut client, hears_a_rate, |service, round| {
        service.calls("update_twin", &[json!(device.id), wants(round), json!("*")]);
    });
    // Version 1 is the empty twin; the rate 1 came twice.
    assert!(heard["desired"]["$version"].as_u64() >= heard["desired"]["rate"].as_u64(), "{heard}");

    // A method is answered.
    let method = json!({ "method": {
        "method_name": "set-rate", "payload": { "rate": 9 },
        "response_timeout_in_seconds": 30, "connect_timeout_in_seconds": 30,
    } });
    let answer = stage.service.calls("invoke_device_method", &[json!(device.id), method.clone()]);
    assert_eq!(answer, json!({ "status": 200, "payload": { "heard": { "rate": 9 } } }));
    let heard = stage.until(&mut client, |it| it.get("method").is_some(), |_, _| ());
    assert_eq!((&heard["method"], &heard["payload"]), (&json!("set-rate"), &json!({ "rate": 9 })));

    // Gone, it is not called any more.
    client.does("disconnect");
    drop(client);
    let set_rate = json!({ "method": { "method_name": "set-rate" } });
    let refused = stage.service.fails("invoke_device_method", &[json!(device.id), set_rate]);
    assert!(refused.contains("DeviceNotOnline"), "{refused}");
}
