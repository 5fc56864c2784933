//! A device and a service talk, each with its unmodified client: one scenario over each transport.

use super::az::{binary, hubward};
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

impl Device {
    /// Over HTTPS a device has no twin and hears no methods.
    fn only_has_messages(&self) -> bool {
        self.transport == "http"
    }
}

const DEVICES: &[Device] = &[
    Device { client: Client::python_device, transport: "mqtt", id: "python-mqtt" },
    Device { client: Client::python_device, transport: "mqtt-ws", id: "python-mqtt-ws" },
    Device { client: Client::node_device, transport: "mqtt", id: "node-mqtt" },
    Device { client: Client::node_device, transport: "mqtt-ws", id: "node-mqtt-ws" },
    Device { client: Client::node_device, transport: "amqp", id: "node-amqp" },
    Device { client: Client::node_device, transport: "amqp-ws", id: "node-amqp-ws" },
    Device { client: Client::node_device, transport: "http", id: "node-http" },
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

    /// Registers a device with keys of the server's: its connection string.
    fn registers(&mut self, id: &str) -> String {
        let empty = json!("");
        let made = self
            .service
            .calls("create_device_with_sas", &[json!(id), empty.clone(), empty, json!("enabled")]);
        let key = made["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap();
        format!("HostName={};DeviceId={id};SharedAccessKey={key}", self.host)
    }

    /// The same, and starts its client.
    fn device(&mut self, device: &Device) -> Client {
        let string = self.registers(device.id);
        (device.client)(&string, self.server.connection().ca_file(), device.transport)
    }

    /// The first messages of all that devices have sent.
    fn reads(&self, count: usize) -> Vec<Value> {
        let data = self.server.data().display().to_string();
        let count = count.to_string();
        let read = hubward(&["monitor", "--from", "earliest", "-n", &count, "--data", &data]);
        assert_eq!(read.status, 0, "{}", read.err);
        read.out.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
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

/// Whatever a device speaks, it hears and is heard alike.
#[test]
fn a_service_and_a_device_talk_over_each_transport() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    for device in DEVICES {
        println!("{device:?}");
        let mut client = stage.device(device);
        client.connects();
        client.sends(BODY);
        match device.only_has_messages() {
            true => drop(client.does("listen")),
            false => share_a_twin(&mut stage, device, &mut client),
        }
        receive(&mut stage, device, &mut client);
        if !device.only_has_messages() {
            answer_a_method(&mut stage, device, &mut client);
        }
        client.does("disconnect");
        drop(client);
        if !device.only_has_messages() {
            // Gone, it is not called any more.
            let set_rate = json!({ "method": { "method_name": "set-rate" } });
            let refused =
                stage.service.fails("invoke_device_method", &[json!(device.id), set_rate]);
            assert!(refused.contains("DeviceNotOnline"), "{refused}");
        }
    }
    // What each of them has sent is the same to who reads it.
    let read = stage.reads(DEVICES.len());
    for device in DEVICES {
        let mut sent = read.iter().filter(|it| it["deviceId"] == device.id).cloned();
        let (Some(mut sent), None) = (sent.next(), sent.next()) else {
            panic!("one message of {}: {read:?}", device.id)
        };
        assert_eq!(sent["body"], BODY, "{sent}");
        assert_eq!(sent["properties"], json!({ "level": "3,2 & more" }), "{sent}");
        // The client that speaks AMQP says where its message is to go, as no other does.
        drop(sent["systemProperties"].as_object_mut().unwrap().remove("to"));
        let kind = json!({ "contentType": "application/json", "contentEncoding": "utf-8" });
        assert_eq!(sent["systemProperties"], kind, "{sent}");
    }
}

/// What every device sends once.
const BODY: &str = r#"{"bar":3.2}"#;

fn share_a_twin(stage: &mut Stage, device: &Device, client: &mut Client) {
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
    let heard = stage.until(client, hears_a_rate, |service, round| {
        service.calls("update_twin", &[json!(device.id), wants(round), json!("*")]);
    });
    // Version 1 is the empty twin; the rate 1 came twice.
    assert!(heard["desired"]["$version"].as_u64() >= heard["desired"]["rate"].as_u64(), "{heard}");
}

/// A message waits for the device, is heard and settled.
fn receive(stage: &mut Stage, device: &Device, client: &mut Client) {
    let properties = json!({ "messageId": "m1", "side": "left & right" });
    stage.service.calls("send_c2d_message", &[json!(device.id), json!("turn"), properties]);
    let heard = stage.until(client, |it| it.get("message").is_some(), |_, _| ());
    assert_eq!((&heard["message"], &heard["id"]), (&json!("turn"), &json!("m1")), "{heard}");
    // One client shows properties under the names of their headers.
    let own = &heard["properties"];
    let side = own.get("side").or_else(|| own.get("iothub-app-side"));
    assert_eq!(side, Some(&json!("left & right")), "{heard}");
    let waits = |it: &Value| it["cloudToDeviceMessageCount"].as_u64();
    let left = (0..ROUNDS).map(|_| {
        let left = waits(&stage.service.calls("get_device", &[json!(device.id)]));
        // Clients settle in the background.
        client.does("next");
        left
    });
    assert!(left.into_iter().any(|it| it == Some(0)), "{} settled nothing", device.id);
}

fn answer_a_method(stage: &mut Stage, device: &Device, client: &mut Client) {
    let method = json!({ "method": {
        "method_name": "set-rate", "payload": { "rate": 9 },
        "response_timeout_in_seconds": 30, "connect_timeout_in_seconds": 30,
    } });
    let answer = stage.service.calls("invoke_device_method", &[json!(device.id), method.clone()]);
    assert_eq!(answer, json!({ "status": 200, "payload": { "heard": { "rate": 9 } } }));
    let heard = stage.until(client, |it| it.get("method").is_some(), |_, _| ());
    assert_eq!((&heard["method"], &heard["payload"]), (&json!("set-rate"), &json!({ "rate": 9 })));
}

/// With `GatewayHostName` a client connects to another name, and says in its user name or token which hub it means.
#[test]
fn a_gateways_name_leads_to_the_hub_that_is_meant() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    // Any address of the server that is not the hub's own.
    let gateway = stage.server.connection().get("HUBWARD_DPS_HOST").unwrap().to_owned();
    let over = |it: &&Device| ["mqtt", "mqtt-ws", "amqp"].contains(&it.transport);
    let all: Vec<&Device> = DEVICES.iter().filter(over).collect();
    for device in &all {
        println!("{device:?}");
        let string = format!("{};GatewayHostName={gateway}", stage.registers(device.id));
        let mut client =
            (device.client)(&string, stage.server.connection().ca_file(), device.transport);
        client.connects();
        client.sends(BODY);
    }
    assert_eq!(stage.reads(all.len()).len(), all.len());
}

/// The model that a device says it follows is in its twin, and devices can be asked for by it.
#[test]
fn a_device_tells_the_model_that_it_follows() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    let data = stage.server.data().display().to_string();
    for (transport, model) in
        [("mqtt", "dtmi:com:example:Pump;1"), ("mqtt-ws", "dtmi:com:example:Pump;2")]
    {
        let string = format!("{};model={model}", stage.registers(transport));
        let ca_file = stage.server.connection().ca_file().to_owned();
        Client::python_device(&string, &ca_file, transport).connects();
        let shown = hubward(&["device", "twin", "--device", transport, "--data", &data]);
        let twin: Value = serde_json::from_str(&shown.out).unwrap();
        assert_eq!(twin["modelId"], model, "{twin}");
        let query =
            json!({ "query": format!("SELECT deviceId FROM devices WHERE modelId = '{model}'") });
        let found = stage.service.calls("query_iot_hub", &[query]);
        assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
        // Whoever connects without saying it again follows it still.
        let string = string.split(";model=").next().unwrap();
        Client::python_device(string, &ca_file, transport).connects();
        let shown = hubward(&["device", "twin", "--device", transport, "--data", &data]);
        assert!(shown.out.contains(model), "{}", shown.out);
    }
}

/// S2-36 in part: modules are called as devices are.
#[test]
fn a_service_and_a_module_talk() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    drop(stage.device(&Device { id: "edge", ..DEVICES[0] }));
    for transport in ["mqtt", "mqtt-ws"] {
        let empty = json!("");
        let arguments = [json!("edge"), json!(transport), empty.clone(), empty.clone(), empty];
        let made = stage.service.calls("create_module_with_sas", &arguments);
        let key = made["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap();
        let string = format!(
            "HostName={};DeviceId=edge;ModuleId={transport};SharedAccessKey={key}",
            stage.host
        );
        let ca_file = stage.server.connection().ca_file().to_owned();
        let mut client = Client::python_device(&string, &ca_file, transport);
        client.connects();
        client.sends(BODY);
        client.does("twin");
        client.does(r#"report {"rate":5}"#);
        let named = [json!("edge"), json!(transport)];
        let twin = stage.service.calls("get_module_twin", &named);
        assert_eq!(twin["properties"]["reported"]["rate"], 5, "{twin}");
        client.does("listen set-rate");
        let method = json!({ "method": { "method_name": "set-rate", "payload": 9,
            "response_timeout_in_seconds": 30, "connect_timeout_in_seconds": 30 } });
        let [device, module] = named;
        let answer = stage.service.calls("invoke_device_module_method", &[device, module, method]);
        assert_eq!(answer, json!({ "status": 200, "payload": { "heard": 9 } }));
        client.does("disconnect");
    }
    let read = stage.reads(2);
    let mut senders: Vec<_> = read.iter().map(|it| (&it["deviceId"], &it["moduleId"])).collect();
    senders.sort_by_key(|it| it.1.to_string());
    assert_eq!(senders, [(&json!("edge"), &json!("mqtt")), (&json!("edge"), &json!("mqtt-ws"))]);
}
