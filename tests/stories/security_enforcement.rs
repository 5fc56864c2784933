//! Devices that are held to their security policy, when they connect and with each thing they do.

use model::Gate;
use model::trace::{FindingResult, Trace};
use serde_json::{Value, json};
use testkit::{Amqp, Answer, Device, Mqtt, World};
use wire::mqtt::{ConnectCode, Qos};

struct Plant {
    world: World,
    hub: String,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        let plant = Self { hub: world.hub(), world };
        let id = plant.world.guid();
        let role = json!({ "properties": { "roleName": "Policies", "assignableScopes": [plant.hub],
            "permissions": [{ "actions": ["Microsoft.Devices/IotHubs/securityPolicies/*"] }] } });
        let path = format!("{}/providers/Microsoft.Authorization/roleDefinitions/{id}", plant.hub);
        plant.world.arm("PUT", &path, &role).expect(201);
        let admin = plant.world.graph("GET", "/servicePrincipals", &Value::Null).expect(200).body;
        let admin = admin["value"].as_array().unwrap().iter();
        let app = plant.world.setting("HUBWARD_ADMIN_APP_ID");
        let mut admin = admin.filter(|it| it["appId"] == app);
        let mut who = plant.world.admin();
        who.object_id = admin.next().unwrap()["id"].as_str().unwrap().to_owned();
        plant.world.assign(&who, &id, &plant.hub).expect(201);
        plant
    }

    fn device(&self, id: &str) -> Device {
        self.world.device(&self.hub, id)
    }

    /// What one device is held to from here on.
    fn holds(&self, device: &Device, properties: Value) {
        let path = format!("{}/securityPolicies/{}", self.hub, device.id);
        let answer = self.world.arm("PUT", &path, &json!({ "properties": properties }));
        assert!(answer.status < 300, "{answer:?}");
    }

    fn sets(&self, properties: Value) {
        let path = format!("{}/securitySettings/default", self.hub);
        let answer = self.world.arm("PUT", &path, &json!({ "properties": properties }));
        assert!(answer.status < 300, "{answer:?}");
    }

    fn connects(&self, device: &Device) -> Mqtt {
        device.connects(self.world.wire(), self.world.now().plus_seconds(3_600))
    }

    #[track_caller]
    fn is_refused(&self, device: &Device) {
        let password = device.signature(self.world.now().plus_seconds(3_600));
        let tried = device.tries(self.world.wire(), device.greeting(&password));
        assert_eq!(tried.expect("a refusal is an answer").0, ConnectCode::NotAuthorized);
    }

    fn sends(&self, device: &Device, body: &[u8], headers: &[(&str, &str)]) -> Answer {
        let signature = device.signature(self.world.now().plus_seconds(3_600));
        let url = self.world.hub_url(&self.hub, &format!("/devices/{}/messages/events", device.id));
        let mut all = vec![("Authorization", signature.as_str())];
        all.extend_from_slice(headers);
        self.world.wire().send("POST", &url, &all, body)
    }

    /// The members that the last gate found broken in decisions about a device, each with its result.
    fn found(&self, device: &Device) -> Vec<(String, FindingResult)> {
        let decisions = self.world.refusals(self.world.now().plus_seconds(-86_400));
        let mut its: Vec<&Trace> = decisions
            .iter()
            .filter(|it| it.call.caller.as_ref().is_some_and(|it| it.name == device.id))
            .collect();
        its.sort_by_key(|it| (it.time, it.id.to_string()));
        let findings = its.iter().filter_map(|it| it.step(Gate::Resource));
        findings.flat_map(|it| &it.findings).map(|it| (it.name.clone(), it.result)).collect()
    }
}

/// Each member alone stands against a connection, and its namesake goes on.
#[test]
fn who_does_not_keep_to_its_policy_cannot_connect() {
    let plant = Plant::new();
    let (one, ten) = (plant.device("device1"), plant.device("device10"));
    let mut expected = Vec::new();
    let each = [
        ("allowedAuthentication", json!(["x509"]), json!(["sas", "x509"])),
        ("allowedNetworks", json!(["10.0.0.0/8"]), json!(["127.0.0.0/8"])),
    ];
    for (member, strict, fine) in each {
        plant.holds(&one, json!({ member: strict }));
        plant.is_refused(&one);
        plant.connects(&ten).disconnect();
        expected.push((member.to_owned(), FindingResult::Deny));
        assert_eq!(plant.found(&one), expected);
        plant.holds(&one, json!({ member: fine }));
        plant.connects(&one).disconnect();
        plant.world.pass_seconds(1);
    }
    let refused = plant.world.refusals(plant.world.now().plus_seconds(-60));
    let last = refused.iter().find(|it| it.outcome.message.contains("allowedNetworks")).unwrap();
    assert_eq!(
        (last.outcome.status, last.outcome.code.as_str()),
        (403, "DisallowedBySecurityPolicy")
    );
    let step = last.step(Gate::Resource).unwrap();
    let condition = &step.findings[0].conditions[0];
    assert_eq!(condition.expected, json!(["10.0.0.0/8"]));
    assert!(condition.actual.as_ref().unwrap().as_str().unwrap().starts_with("127."));
}

#[test]
fn a_device_that_speaks_an_older_tls_cannot_connect() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    plant.holds(&pump, json!({ "minimumTlsVersion": "1.3" }));
    plant.connects(&pump).disconnect();
    let old = plant.world.wire().in_tls_1_2();
    let password = pump.signature(plant.world.now().plus_seconds(3_600));
    let tried = pump.tries(&old, pump.greeting(&password)).unwrap();
    assert_eq!(tried.0, ConnectCode::NotAuthorized);
    plant.holds(&pump, json!({ "minimumTlsVersion": "1.2" }));
    assert_eq!(pump.tries(&old, pump.greeting(&password)).unwrap().0, ConnectCode::Accepted);
}

/// A policy reaches who is connected, and silent, at once; deleting it lets the device in again.
#[test]
fn a_change_reaches_connected_devices_at_once() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    let mut mqtt = plant.connects(&pump);
    plant.holds(&pump, json!({ "allowedAuthentication": ["x509"] }));
    assert_eq!(mqtt.until_closed(), []);
    plant.is_refused(&pump);
    let path = format!("{}/securityPolicies/pump-1", plant.hub);
    plant.world.arm("DELETE", &path, &Value::Null).expect(200);
    let mut mqtt = plant.connects(&pump);
    // So does the hub's default, for who has none of its own.
    plant.sets(json!({ "defaultPolicy": { "allowedAuthentication": ["x509"] } }));
    assert_eq!(mqtt.until_closed(), []);
    plant.holds(&pump, json!({}));
    plant.connects(&pump).disconnect();
}

/// What a device may not do ends its session, also where it has been allowed before.
#[test]
fn a_device_does_what_its_policy_allows_and_no_more() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    plant.holds(&pump, json!({ "allowedOperations": ["telemetry"] }));
    let mut mqtt = plant.connects(&pump);
    mqtt.publish(&pump.events(), b"1").unwrap();
    let _ = mqtt.send(&wire::mqtt::Packet::Subscribe {
        id: 9,
        filters: vec![("$iothub/methods/POST/#".to_owned(), Qos::AtMostOnce)],
    });
    mqtt.until_closed();
    plant.holds(&pump, json!({ "allowedOperations": ["telemetry", "methods"] }));
    let mut mqtt = plant.connects(&pump);
    mqtt.subscribes("$iothub/methods/POST/#", Qos::AtMostOnce);
    plant.holds(&pump, json!({ "allowedOperations": ["telemetry"] }));
    mqtt.until_closed();
    plant.holds(&pump, json!({ "allowedOperations": ["twin"] }));
    let refused = plant.sends(&pump, b"2", &[]).expect(403);
    assert_eq!(refused.code(), "DisallowedBySecurityPolicy");
    assert!(refused.text().contains("allowedOperations"), "{refused:?}");
    assert_eq!(plant.world.bodies(&plant.hub), ["1"]);
}

/// Messages count over every session and over HTTPS, by the minute of the server's clock; another device's do not.
#[test]
fn messages_past_the_rate_are_refused_until_the_minute_is_over() {
    let plant = Plant::new();
    let (one, ten) = (plant.device("device1"), plant.device("device10"));
    plant.holds(&one, json!({ "maxMessagesPerMinute": 3 }));
    let mut mqtt = plant.connects(&one);
    mqtt.publish(&one.events(), b"1").unwrap();
    mqtt.disconnect();
    plant.sends(&one, b"2", &[]).expect(204);
    let mut mqtt = plant.connects(&one);
    mqtt.publish(&one.events(), b"3").unwrap();
    assert!(mqtt.publish(&one.events(), b"4").is_err());
    plant.sends(&one, b"5", &[]).expect(403);
    plant.sends(&ten, b"of ten", &[]).expect(204);
    plant.world.pass_seconds(60);
    let batch = [("Content-Type", "application/vnd.microsoft.iothub.json")];
    let four = br#"[{"body":"YQ=="},{"body":"YQ=="},{"body":"YQ=="},{"body":"YQ=="}]"#;
    plant.sends(&one, four, &batch).expect(403);
    plant.world.pass_seconds(60);
    plant.sends(&one, b"6", &[]).expect(204);
    let mut kept = plant.world.bodies(&plant.hub);
    kept.sort();
    assert_eq!(kept, ["1", "2", "3", "6", "of ten"]);
}

/// A key is as old as the older of the two; new ones begin anew, and a key of the hub's is nobody's own.
#[test]
fn a_key_that_is_too_old_is_refused_until_it_is_changed() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    plant.holds(&pump, json!({ "maxKeyAgeDays": 1 }));
    plant.connects(&pump).disconnect();
    plant.world.pass_seconds(86_400);
    let mut mqtt = plant.connects(&pump);
    plant.world.pass_seconds(1);
    assert!(mqtt.publish(&pump.events(), b"late").is_err());
    plant.is_refused(&pump);
    let regenerates = |which: &str| {
        let body = json!({ "policyKey": which, "devices": [{ "id": "pump-1" }] });
        let path = "/devices/keys/regenerate";
        let made = plant.world.hub_by_key("iothubowner", "POST", &plant.hub, path, &[], &body);
        let keys = made.expect(200).body["rotatedKeys"][0].clone();
        Device::new(
            pump.port,
            &plant.world.hub_origin(&plant.hub),
            &json!({
            "deviceId": "pump-1", "authentication": { "symmetricKey": keys } }),
        )
    };
    // The old one still opens the hub.
    plant.is_refused(&regenerates("primaryKey"));
    plant.connects(&regenerates("both")).disconnect();
}

/// Who only is audited passes, and is on record once for each session and member.
#[test]
fn an_audited_device_passes_and_is_on_record_once_a_session() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    plant.sets(json!({ "defaultAction": "audit" }));
    plant.holds(&pump, json!({ "allowedNetworks": ["10.0.0.0/8"], "allowedOperations": ["twin"] }));
    let mut mqtt = plant.connects(&pump);
    for text in ["1", "2", "3"] {
        mqtt.publish(&pump.events(), text.as_bytes()).unwrap();
    }
    mqtt.disconnect();
    assert_eq!(plant.world.bodies(&plant.hub), ["1", "2", "3"]);
    let mut found = plant.found(&pump);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.dedup();
    let audited = |name: &str| (name.to_owned(), FindingResult::Audit);
    assert_eq!(found, [audited("allowedNetworks"), audited("allowedOperations")]);
    let kept = plant.world.refusals(plant.world.now().plus_seconds(-60));
    let its =
        kept.iter().filter(|it| it.call.caller.as_ref().is_some_and(|it| it.name == "pump-1"));
    let operations: Vec<&str> = its.map(|it| it.call.operation.as_str()).collect();
    assert_eq!(operations.len(), 2, "{operations:?}");
}

/// Over AMQP the token is refused, as every token that does not count is.
#[test]
fn over_amqp_a_device_is_refused_with_the_words() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    plant.holds(&pump, json!({ "allowedAuthentication": ["x509"] }));
    let mut amqp = Amqp::begin(plant.world.wire(), &pump.host, plant.world.amqp_port());
    let token = pump.signature(plant.world.now().plus_seconds(600));
    let (status, said) = amqp.puts_token(&format!("{}/devices/pump-1", pump.host), &token);
    assert_eq!(status, 403);
    assert!(said.contains("allowedAuthentication"), "{said}");
}
