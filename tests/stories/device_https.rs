//! Devices over HTTPS: messages one by one and in batches, and messages that are received, settled and rejected,
//! with a device's own key and with a policy's.

use ops::devices::message::{AuthMethod, SystemProperty};
use serde_json::{Value, json};
use testkit::{Answer, Device, World};

const BATCH: &str = "application/vnd.microsoft.iothub.json";

struct Plant {
    world: World,
    hub: String,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        Self { hub: world.hub(), world }
    }

    fn device(&self, id: &str) -> Device {
        self.world.device(&self.hub, id)
    }

    /// A device's own signature.
    fn own(&self, device: &Device) -> String {
        device.signature(self.world.now().plus_seconds(3_600))
    }

    fn asks(
        &self,
        method: &str,
        path: &str,
        authorization: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let url = self.world.hub_url(&self.hub, path);
        let mut all = vec![("Authorization", authorization)];
        all.extend_from_slice(headers);
        self.world.wire().send(method, &url, &all, body)
    }

    fn sends(&self, device: &str, authorization: &str, body: &[u8]) -> Answer {
        self.asks("POST", &format!("/devices/{device}/messages/events"), authorization, &[], body)
    }

    /// The service API, by a key of the hub.
    fn service(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.world.hub_by_key("iothubowner", method, &self.hub, path, &[], body)
    }

    fn is_told(&self, device: &str, text: &str) {
        let body = json!({
            "body": text, "base64Encoded": false, "messageId": text, "ack": "full",
            "properties": { "Level": "3", "a b": "\u{e4}" },
        });
        let path = format!("/devices/{device}/messages/deviceBound");
        self.service("POST", &path, &body).expect(204);
    }
}

fn lock(answer: &Answer) -> String {
    let quoted = answer.header("etag").unwrap();
    quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap().to_owned()
}

#[test]
fn a_device_sends_one_message_or_a_batch_of_them() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    let own = plant.own(&pump);
    // As the Node client sends it, in the case that it writes.
    let headers = [
        ("iothub-to", "/devices/pump-1/messages/events"),
        ("IoTHub-MessageId", "m1"),
        ("iothub-contenttype", "application/json"),
        ("iothub-contentencoding", "utf-8"),
        ("iothub-app-level", "3 \u{e4}"),
        ("dt-subject", "valve"),
    ];
    let path = "/devices/pump-1/messages/events";
    plant.asks("POST", path, &own, &headers, b"{ }").expect(204);
    let batch = json!([
        { "body": "aGVsbG8=", "properties": { "iothub-app-Level": "4", "iothub-messageid": "m2" } },
        { "body": "plain", "base64Encoded": false },
    ]);
    let batched = [("Content-Type", BATCH)];
    plant.asks("POST", path, &own, &batched, batch.to_string().as_bytes()).expect(204);
    // One bad message, and nothing of the batch is kept; nor of what is too large.
    let wrong = json!([{ "body": "aGVsbG8=" }, { "body": "not base64" }]);
    let refused = plant.asks("POST", path, &own, &batched, wrong.to_string().as_bytes());
    assert_eq!((refused.status, refused.code()), (400, "ArgumentInvalid".to_owned()));
    assert!(refused.text().contains("[1].body"), "{}", refused.text());
    let large = plant.sends("pump-1", &own, &vec![b'x'; (256 << 10) + 1]);
    assert_eq!((large.status, large.code()), (413, "MessageTooLarge".to_owned()));
    plant.sends("pump-1", &own, &vec![b'x'; 256 << 10]).expect(204);
    let forged = [("iothub-app-iothub-connection-device-id", "pump-10")];
    assert_eq!(plant.asks("POST", path, &own, &forged, b"x").code(), "ArgumentInvalid");

    let all = plant.world.messages(&plant.hub);
    assert_eq!(all.iter().map(|it| it.body.len()).collect::<Vec<_>>(), [3, 5, 5, 256 << 10]);
    assert!(all.iter().all(|it| it.device == "pump-1" && it.module.is_empty()));
    assert!(all.iter().all(|it| it.auth == AuthMethod::DeviceKey));
    let pair = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    assert_eq!(all[0].application, [pair("level", "3 \u{e4}")]);
    assert!(all[0].system.contains(&(SystemProperty::MessageId, "m1".to_owned())));
    assert!(all[0].system.contains(&(SystemProperty::Subject, "valve".to_owned())));
    assert_eq!(all[1].application, [pair("Level", "4")]);
    assert_eq!(all[1].system, [(SystemProperty::MessageId, "m2".to_owned())]);
}

#[test]
fn a_module_sends_with_its_own_key_and_not_with_its_devices() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    let path = "/devices/pump-1/modules/valve";
    let shown = plant.service("PUT", path, &json!({})).expect(200).body;
    let mut module = Device::new(pump.port, &plant.world.hub_origin(&plant.hub), &shown);
    module.id = "pump-1/modules/valve".into();
    let events = format!("{path}/messages/events");
    plant.asks("POST", &events, &plant.own(&module), &[], b"x").expect(204);
    let refused = plant.asks("POST", &events, &plant.own(&pump), &[], b"x");
    assert_eq!((refused.status, refused.code()), (401, "IotHubUnauthorizedAccess".to_owned()));
    let sent = &plant.world.messages(&plant.hub)[0];
    assert_eq!((sent.device.as_str(), sent.module.as_str()), ("pump-1", "valve"));
    plant.world.arm("PATCH", &plant.hub, &json!({ "properties": { "disableModuleSAS": true } }));
    let off = plant.asks("POST", &events, &plant.own(&module), &[], b"x").expect(401);
    assert!(off.text().contains("disableModuleSAS"), "{}", off.text());
    plant.sends("pump-1", &plant.own(&pump), b"x").expect(204);
}

#[test]
fn a_device_receives_and_settles_under_a_lock() {
    let plant = Plant::new();
    let (pump, other) = (plant.device("pump-1"), plant.device("pump-10"));
    let own = plant.own(&pump);
    let path = "/devices/pump-1/messages/deviceBound";
    let receives = || plant.asks("GET", "/devices/pump-1/messages/devicebound", &own, &[], b"");
    let settles =
        |method: &str, rest: &str| plant.asks(method, &format!("{path}/{rest}"), &own, &[], b"");
    receives().expect(204);
    for text in ["first", "second", "third"] {
        plant.is_told("pump-1", text);
    }
    // Who holds a message is not handed it again; everybody after gets the next.
    let first = receives().expect(200);
    assert_eq!(first.body, "first");
    assert_eq!(first.header("content-type"), Some("application/octet-stream"));
    assert_eq!(first.header("iothub-messageid"), Some("first"));
    assert_eq!(first.header("iothub-ack"), Some("full"));
    assert_eq!(first.header("iothub-deliverycount"), Some("0"));
    assert_eq!(first.header("iothub-app-level"), Some("3"));
    assert!(first.headers.iter().any(|(name, _)| name == "iothub-app-a%20b"));
    assert_eq!(first.header("iothub-to"), Some(path));
    let second = receives().expect(200);
    assert_eq!(second.body, "second");
    let third = receives().expect(200);
    assert_eq!(receives().status, 204);

    // Nobody else's signature and no other lock settles it, and what is settled stays so.
    let theirs =
        plant.asks("DELETE", &format!("{path}/{}", lock(&first)), &plant.own(&other), &[], b"");
    assert_eq!((theirs.status, theirs.code()), (401, "IotHubUnauthorizedAccess".to_owned()));
    let wrong = [("If-Match", "\"00000000-0000-0000-0000-000000000000\"")];
    let wrong = plant.asks("DELETE", &format!("{path}/{}", lock(&first)), &own, &wrong, b"");
    assert_eq!((wrong.status, wrong.code()), (412, "DeviceMessageLockLost".to_owned()));
    let matching = format!("\"{}\"", lock(&first));
    let headers = [("If-Match", matching.as_str())];
    plant.asks("DELETE", &format!("{path}/{}", lock(&first)), &own, &headers, b"").expect(204);
    assert_eq!(settles("DELETE", &lock(&first)).code(), "DeviceMessageLockLost");
    settles("DELETE", &format!("{}?reject", lock(&second))).expect(204);
    // One that is given back is there again, and counted; one whose time is over is there again, uncounted.
    settles("POST", &format!("{}/abandon", lock(&third))).expect(204);
    let again = receives().expect(200);
    assert_eq!((&again.body, again.header("iothub-deliverycount")), (&json!("third"), Some("1")));
    plant.world.pass_seconds(61);
    assert_eq!(settles("DELETE", &lock(&again)).code(), "DeviceMessageLockLost");
    let last = receives().expect(200);
    assert_eq!(last.header("iothub-deliverycount"), Some("1"));
    settles("DELETE", &lock(&last)).expect(204);
    receives().expect(204);
    assert_eq!(settles("DELETE", "no-lock").code(), "DeviceMessageLockLost");
    assert_eq!(settles("DELETE", &format!("{}?reject=maybe", lock(&last))).status, 400);
    let said = |text: &str, what: &str| (text.to_owned(), what.to_owned());
    let expected = [said("first", "Success"), said("second", "Rejected"), said("third", "Success")];
    assert_eq!(plant.world.feedback(&plant.hub), expected);
}

/// A policy's key with DeviceConnect acts for the devices that its signature covers, over HTTPS and MQTT.
#[test]
fn a_policys_key_acts_for_the_devices_that_it_covers() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    plant.device("pump-10");
    let policy = |name: &str, resource: &str| {
        let resource = format!("{}{resource}", pump.host);
        plant.world.sas(&plant.hub, name, &wire::sas::resource_text(&resource))
    };
    plant.sends("pump-1", &policy("device", "/devices/pump-1"), b"one").expect(204);
    plant.sends("pump-10", &policy("iothubowner", ""), b"two").expect(204);
    let refused = |device: &str, authorization: &str, says: &str| {
        let refused = plant.sends(device, authorization, b"x").expect(401);
        assert!(refused.text().contains(says), "{}", refused.text());
        refused
    };
    refused("pump-10", &policy("device", "/devices/pump-1"), "(`sr`)");
    refused("pump-2", &policy("device", ""), "does not contain the device");
    let lacks = refused("pump-1", &policy("service", ""), "lacks DeviceConnect");
    let explained = plant.world.explained(&lacks.tracking());
    let gates = explained.pointer("/decision/outcome/gate").or(explained.pointer("/outcome/gate"));
    assert_eq!(gates, Some(&json!("access")), "{explained}");
    // It receives for a device, too, and MQTT knows it as HTTPS does.
    plant.is_told("pump-1", "go");
    let path = "/devices/pump-1/messages/deviceBound";
    let got = plant.asks("GET", path, &policy("device", ""), &[], b"").expect(200);
    assert_eq!(got.body, "go");
    let greeting = pump.greeting(&policy("device", "/devices/pump-1"));
    let (code, mut mqtt) = pump.tries(plant.world.wire(), greeting).unwrap();
    assert_eq!(code, wire::mqtt::ConnectCode::Accepted);
    mqtt.publish(&pump.events(), b"three").unwrap();
    let all = plant.world.messages(&plant.hub);
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|it| it.auth == AuthMethod::HubKey), "{all:?}");
    // A policy that is switched off takes its devices' sessions with it; their own keys go on.
    let off = json!({ "properties": { "disableLocalAuth": true } });
    plant.world.arm("PATCH", &plant.hub, &off);
    assert_eq!(mqtt.until_closed(), []);
    refused("pump-1", &policy("device", ""), "disableLocalAuth");
    plant.sends("pump-1", &plant.own(&pump), b"four").expect(204);
}

#[test]
fn an_access_token_opens_no_endpoint_of_devices() {
    let plant = Plant::new();
    plant.device("pump-1");
    let admin = plant.world.admin();
    let token = format!("Bearer {}", plant.world.token(&admin, "https://iothubs.azure.net"));
    let refused = plant.sends("pump-1", &token, b"x");
    assert_eq!((refused.status, refused.code()), (401, "IotHubUnauthorizedAccess".to_owned()));
    assert!(refused.text().contains("opens no device endpoint"), "{}", refused.text());
    let none = plant.asks("GET", "/devices/pump-1/messages/deviceBound", "", &[], b"");
    assert_eq!(none.status, 401);
}
