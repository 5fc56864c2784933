//! A service looks for devices with its unmodified client, page after page.

use super::az::binary;
use super::clients::Client;
use serde_json::{Value, json};
use testkit::Process;

fn finds(service: &mut Client, query: &str) -> Value {
    service.calls("query_iot_hub", &[json!({ "query": query })])
}

fn ids(found: &Value) -> Vec<&str> {
    let items = found["items"].as_array().unwrap().iter();
    items.map(|it| it["deviceId"].as_str().unwrap()).collect()
}

#[test]
fn a_service_finds_devices_by_their_twins_and_goes_on_where_a_page_ended() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let connection = server.connection();
    let string = connection.get("HUBWARD_HUB_CONNECTION_STRING").unwrap();
    let mut service = Client::python_service(string, connection.ca_file());
    let empty = json!("");
    for (id, floor) in [("query-1", 1), ("query-10", 2), ("query-2", 2), ("query-3", 2)] {
        let arguments = [json!(id), empty.clone(), empty.clone(), json!("enabled")];
        service.calls("create_device_with_sas", &arguments);
        let twin = json!({ "twin": { "tags": { "floor": floor }, "desired": { "rate": floor } } });
        service.calls("update_twin", &[json!(id), twin, json!("*")]);
    }
    service.calls(
        "create_module_with_sas",
        &[json!("query-1"), json!("meter"), empty.clone(), empty.clone(), empty],
    );

    let query = "SELECT * FROM devices WHERE tags.floor = 2";
    let found = finds(&mut service, query);
    assert_eq!((&found["type"], &found["next"]), (&json!("Twin"), &Value::Null));
    assert_eq!(ids(&found), ["query-10", "query-2", "query-3"]);
    assert_eq!(found["items"][0]["properties"]["desired"]["rate"], 2, "{found}");

    // Two and one, and then no more.
    let page = |service: &mut Client, next: &Value| {
        service.calls("query_iot_hub", &[json!({ "query": query }), next.clone(), json!("2")])
    };
    let first = page(&mut service, &Value::Null);
    let second = page(&mut service, &first["next"]);
    assert_eq!((ids(&first), ids(&second)), (vec!["query-10", "query-2"], vec!["query-3"]));
    assert_eq!(second["next"], Value::Null);

    let of_modules = "SELECT deviceId, moduleId FROM devices.modules WHERE moduleId = 'meter'";
    let found = finds(&mut service, of_modules);
    assert_eq!((ids(&found), &found["items"][0]["moduleId"]), (vec!["query-1"], &json!("meter")));
    let of_floors = "SELECT tags.floor AS floor, COUNT() AS numberOfDevices FROM devices \
                     WHERE is_defined(tags.floor) GROUP BY tags.floor";
    let found = finds(&mut service, of_floors);
    assert_eq!(found["type"], "Raw");
    let rows: Vec<(&Value, &Value)> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (&it["floor"], &it["numberOfDevices"]))
        .collect();
    assert_eq!(rows, [(&json!(1), &json!(1)), (&json!(2), &json!(3))]);

    let wrong = json!({ "query": "SELECT * FROM devices WHERE" });
    let refused = service.fails("query_iot_hub", &[wrong]);
    assert!(refused.contains("ErrorCode:ArgumentInvalid;query: line 1, character 28"), "{refused}");
}
