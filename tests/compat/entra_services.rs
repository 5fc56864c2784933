//! Services sign in with Azure's own identity libraries and reach a hub by their roles alone.

use super::az::{Az, binary, text};
use super::clients::Client;
use serde_json::{Value, json};
use testkit::Process;

const ROLE: &str = "IoT Hub Data Contributor";

/// S2-01, S2-02: the service libraries of Python and Node, with a `TokenCredential` each, create devices and call
/// methods, and cannot once the role is gone.
#[test]
fn services_reach_devices_by_their_role_and_not_without_it() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let name = connection.hub().unwrap();
    let hub = az.run(&["iot", "hub", "show", "--name", name]).json();
    let hub = text(&hub, "/id");
    let account = az.run(&["ad", "sp", "create-for-rbac", "--name", "line-3"]).json();
    let (app, secret) = (text(&account, "/appId"), text(&account, "/password"));
    let grant = |verb: &str| {
        let words = ["--assignee", app, "--role", ROLE, "--scope", hub];
        az.run(&[&["role", "assignment", verb], &words[..]].concat()).json();
    };
    grant("create");

    let string = connection.get("HUBWARD_DEVICE_CONNECTION_STRING").unwrap();
    let mut device = Client::python_device(string, connection.ca_file(), "mqtt");
    device.connects();
    device.does("listen set-rate");
    let [mut python, mut node] = Client::services_of(&server, app, secret);
    let make = |id: &str| [json!(id), json!(""), json!(""), json!("enabled")];
    let called = json!({ "method": { "method_name": "set-rate", "payload": 5,
        "response_timeout_in_seconds": 30, "connect_timeout_in_seconds": 30 } });
    let by_python = [json!("device-1"), called];
    let called = json!({ "methodName": "set-rate", "payload": 6,
        "responseTimeoutInSeconds": 30, "connectTimeoutInSeconds": 30 });
    let by_node = [json!("device-1"), called];
    let answer = |heard: u8| json!({ "status": 200, "payload": { "heard": heard } });

    assert_eq!(python.calls("create_device_with_sas", &make("pump-1"))["deviceId"], "pump-1");
    assert_eq!(python.calls("invoke_device_method", &by_python), answer(5));
    let made = node.calls("create", &[json!({ "deviceId": "pump-2", "status": "enabled" })]);
    assert_eq!(made["deviceId"], "pump-2", "{made}");
    assert_eq!(node.calls("invokeDeviceMethod", &by_node), answer(6));

    grant("delete");
    let fails = |client: &mut Client, name: &str, arguments: &[Value]| {
        let said = client.fails(name, arguments);
        assert!(said.contains("Unauthorized"), "{name}: {said}");
    };
    fails(&mut python, "create_device_with_sas", &make("pump-10"));
    fails(&mut python, "invoke_device_method", &by_python);
    fails(&mut node, "create", &[json!({ "deviceId": "pump-20" })]);
    fails(&mut node, "invokeDeviceMethod", &by_node);
}
