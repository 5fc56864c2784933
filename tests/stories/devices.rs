//! The device registry over REST, with keys and with tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::World;

const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const DATA_READER: &str = "b447c946-2db7-41ec-983d-d8bf3b1c77e3";

/// Threat 48: a write and a deletion under a stale tag, and a deletion without one.
#[test]
fn a_device_is_created_read_updated_and_deleted_with_a_key() {
    let world = World::new();
    let hub = world.hub();
    let sas = world.policy_sas(&hub, "iothubowner");
    let call =
        |method: &str, path: &str, body: &Value| world.hub_with(&sas, method, &hub, path, body);

    let made = call("PUT", "/devices/d1", &json!({ "deviceId": "d1" })).expect(200).body;
    assert_eq!(made["status"], "enabled");
    assert_eq!(made["authentication"]["type"], "sas");
    let key = made["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap();
    assert_eq!(STANDARD.decode(key).unwrap().len(), 32);
    assert_eq!(call("PUT", "/devices/d1", &json!({})).expect(409).code(), "DeviceAlreadyExists");
    assert_eq!(call("GET", "/devices/d10", &Value::Null).expect(404).code(), "DeviceNotFound");
    assert_eq!(call("GET", "/devices/D1", &Value::Null).expect(404).code(), "DeviceNotFound");

    let put = |tag: &str, body: &Value| {
        let url = world.hub_url(&hub, "/devices/d1");
        let headers = [
            ("Authorization", sas.as_str()),
            ("If-Match", tag),
            ("Content-Type", "application/json"),
        ];
        world.wire().send("PUT", &url, &headers, body.to_string().as_bytes())
    };
    let tag = made["etag"].as_str().unwrap();
    let off = put(
        &format!("\"{tag}\""),
        &json!({ "deviceId": "d1", "status": "disabled", "statusReason": "lost" }),
    )
    .expect(200);
    assert_eq!(
        off.body["authentication"]["symmetricKey"]["primaryKey"], *key,
        "an update keeps the keys"
    );
    assert_eq!(
        off.header("ETag"),
        Some(format!("\"{}\"", off.body["etag"].as_str().unwrap()).as_str())
    );
    assert_eq!(put(&format!("\"{tag}\""), &json!({})).expect(412).code(), "PreconditionFailed");
    put("*", &json!({ "status": "enabled" })).expect(200);

    let delete = |headers: &[(&str, &str)]| {
        let url = world.hub_url(&hub, "/devices/d1");
        let mut all = vec![("Authorization", sas.as_str())];
        all.extend_from_slice(headers);
        world.wire().send("DELETE", &url, &all, b"")
    };
    delete(&[]).expect(412);
    delete(&[("If-Match", "\"c3RhbGU=\"")]).expect(412);
    delete(&[("If-Match", "\"*\"")]).expect(204);
    assert_eq!(call("GET", "/devices/d1", &Value::Null).expect(404).code(), "DeviceNotFound");
}

#[test]
fn devices_are_listed_by_id_up_to_the_number_asked_for() {
    let world = World::new();
    let hub = world.hub();
    let who = world.service_principal("writer");
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    for id in ["b2", "a1", "b1"] {
        world.puts_device(&who, &hub, id).expect(200);
    }
    let ids = |path: &str| -> Vec<String> {
        let answer = world.hub_as(&who, "GET", &hub, path, &Value::Null).expect(200).body;
        answer
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["deviceId"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids("/devices"), ["a1", "b1", "b2", "device-1"]);
    assert_eq!(ids("/devices/"), ["a1", "b1", "b2", "device-1"]);
    assert_eq!(ids("/devices?top=2"), ["a1", "b1"]);
    for bad in ["0", "1001", "-1", "x"] {
        world.hub_as(&who, "GET", &hub, &format!("/devices?top={bad}"), &Value::Null).expect(400);
    }
}

#[test]
fn a_bulk_call_needs_both_rights_and_tells_each_entry_apart() {
    let world = World::new();
    let hub = world.hub();
    let (writer, reader) = (world.service_principal("writer"), world.service_principal("reader"));
    world.assign(&writer, DATA_CONTRIBUTOR, &hub).expect(201);
    world.assign(&reader, DATA_READER, &hub).expect(201);
    let entries = json!([
        { "id": "a", "importMode": "create" },
        { "id": "b", "importMode": "create", "status": "disabled" },
        { "id": "nobody", "importMode": "delete" },
    ]);
    assert_eq!(
        world.hub_as(&reader, "POST", &hub, "/devices", &entries).expect(401).code(),
        "IotHubUnauthorized"
    );
    let answer = world.hub_as(&writer, "POST", &hub, "/devices", &entries).expect(400).body;
    assert_eq!(answer["isSuccessful"], false);
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1);
    assert_eq!(answer["errors"][0]["deviceId"], "nobody");
    assert_eq!(answer["errors"][0]["errorCode"], "DeviceNotFound");
    world.hub_as(&writer, "GET", &hub, "/devices/a", &Value::Null).expect(200);
    let again = json!([{ "id": "a", "importMode": "update", "status": "disabled" }, { "id": "b", "importMode": "delete" }]);
    assert_eq!(
        world.hub_as(&writer, "POST", &hub, "/devices", &again).expect(200).body["isSuccessful"],
        true
    );
    world.hub_as(&writer, "GET", &hub, "/devices/b", &Value::Null).expect(404);
    let many: Vec<Value> = (0..101).map(|it| json!({ "id": format!("x{it}") })).collect();
    world.hub_as(&writer, "POST", &hub, "/devices", &Value::Array(many)).expect(413);
}

#[test]
fn keys_open_what_their_policy_covers_until_they_are_switched_off() {
    let world = World::new();
    let hub = world.hub();
    let read = world.policy_sas(&hub, "registryRead");
    world.hub_with(&read, "GET", &hub, "/devices/device-1", &Value::Null).expect(200);
    let refused = world.hub_with(&read, "PUT", &hub, "/devices/d2", &json!({})).expect(401);
    assert_eq!(world.explained(&refused.tracking())["decision"]["outcome"]["gate"], "access");

    // Another hub's key, a narrower resource, a device's own key: none of them opens.
    let other = world.hub_named("second-hub");
    world
        .arm(
            "PUT",
            &other,
            &json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } }),
        )
        .expect(201);
    let foreign = world.policy_sas(&other, "iothubowner");
    world.hub_with(&foreign, "GET", &hub, "/devices/device-1", &Value::Null).expect(401);
    let narrow =
        world.sas(&hub, "iothubowner", &format!("{}/devices/device-1", world.hub_host(&hub)));
    world.hub_with(&narrow, "GET", &hub, "/devices/device-1", &Value::Null).expect(200);
    world.hub_with(&narrow, "GET", &hub, "/devices/device-10", &Value::Null).expect(401);
    for bad in [
        "SharedAccessSignature ",
        "SharedAccessSignature sr=a&sr=b&sig=c&se=1",
        "SharedAccessSignature sr=a&sig=%%%&se=x",
    ] {
        let answer =
            world.hub_with(bad, "GET", &hub, "/devices/device-1", &Value::Null).expect(401);
        assert!(
            answer.body["Message"]
                .as_str()
                .unwrap()
                .starts_with("ErrorCode:IotHubUnauthorizedAccess;"),
            "{answer:?}"
        );
    }

    let shown = world.arm("GET", &hub, &Value::Null).expect(200).body;
    let mut off = shown.clone();
    off["properties"]["disableLocalAuth"] = json!(true);
    world.arm("PUT", &hub, &off).expect(200);
    let answer = world.hub_with(&read, "GET", &hub, "/devices/device-1", &Value::Null).expect(401);
    assert!(answer.text().contains("disableLocalAuth"), "{answer:?}");
}

#[test]
fn a_device_that_is_written_wrongly_is_refused_with_the_place() {
    let world = World::new();
    let hub = world.hub();
    let sas = world.policy_sas(&hub, "iothubowner");
    let check = |body: Value, place: &str| {
        let answer = world.hub_with(&sas, "PUT", &hub, "/devices/bad", &body).expect(400);
        assert!(answer.text().contains(place), "{answer:?}");
    };
    check(json!({ "deviceId": "another" }), "deviceId");
    check(json!({ "status": "asleep" }), "status");
    check(json!({ "authentication": { "type": "password" } }), "authentication.type");
    check(
        json!({ "authentication": { "symmetricKey": { "primaryKey": "c2hvcnQ=" } } }),
        "authentication.symmetricKey.primaryKey",
    );
    check(json!({ "authentication": { "type": "selfSigned" } }), "primaryThumbprint");
    check(
        json!({ "authentication": { "x509Thumbprint": { "primaryThumbprint": "xyz" } } }),
        "primaryThumbprint",
    );
    check(json!([]), "object");
    world.hub_with(&sas, "GET", &hub, "/devices/bad", &Value::Null).expect(404);
}
