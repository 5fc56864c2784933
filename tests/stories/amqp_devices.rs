//! Devices over AMQP: their tokens, what they send, what they are told, and how it ends.

use amqp::message::BATCH;
use amqp::{Body, Message, Outcome, Properties, Value};
use bytes::Bytes;
use ops::devices::message::SystemProperty;
use serde_json::{Value as Json, json};
use testkit::{Amqp, Answer, Device, World};

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

    fn opens(&self, device: &Device) -> Amqp {
        Amqp::begin(self.world.wire(), &device.host, self.world.amqp_port())
    }

    /// A connection on which the device is proven for so long.
    #[track_caller]
    fn connects_for(&self, device: &Device, seconds: i64) -> Amqp {
        let mut amqp = self.opens(device);
        assert_eq!(self.proves(&mut amqp, device, seconds), 200);
        amqp
    }

    fn connects(&self, device: &Device) -> Amqp {
        self.connects_for(device, 3_600)
    }

    fn proves(&self, amqp: &mut Amqp, device: &Device, seconds: i64) -> i64 {
        let token = device.signature(self.world.now().plus_seconds(seconds));
        amqp.puts_token(&format!("{}/devices/{}", device.host, device.id), &token).0
    }

    fn service(&self, method: &str, path: &str, body: &Json) -> Answer {
        let headers = [("If-Match", "*")];
        self.world.hub_by_key("iothubowner", method, &self.hub, path, &headers, body)
    }

    fn sends(&self, device: &str, text: &str) {
        let body =
            json!({ "body": text, "base64Encoded": false, "messageId": text, "ack": "full" });
        self.service("POST", &format!("/devices/{device}/messages/deviceBound"), &body).expect(204);
    }
}

fn text(body: &str) -> Message {
    Message {
        body: Body::Data(vec![Bytes::copy_from_slice(body.as_bytes())]),
        ..Message::default()
    }
}

fn said(message: &Message) -> String {
    String::from_utf8(message.data().unwrap().to_vec()).unwrap()
}

fn why(outcome: Outcome) -> String {
    let Outcome::Rejected(Some(condition)) = outcome else { panic!("{outcome:?}") };
    condition.to_string()
}

fn events(device: &str) -> String {
    format!("/devices/{device}/messages/events")
}

fn devicebound(device: &str) -> String {
    format!("/devices/{device}/messages/devicebound")
}

#[test]
fn what_a_device_sends_over_amqp_is_kept_over_a_restart() {
    let mut plant = Plant::new();
    let pump = plant.device("pump-1");
    let mut amqp = plant.connects(&pump);
    let link = amqp.sends_to(&events("pump-1")).unwrap();
    let first = Message {
        properties: Properties {
            message_id: Value::string("m1"),
            content_type: Some("application/json".into()),
            ..Properties::default()
        },
        application: vec![(Value::string("level"), Value::Int(3))],
        ..text(r#"{"bar":3.2}"#)
    };
    assert_eq!(amqp.sends(link, &first), Outcome::Accepted);
    // A batch is as many messages as it holds; one that is none is refused alone, and the link stays.
    let parts = vec![text("second").write(), text("third").write()];
    let batch = Message { body: Body::Data(parts), ..Message::default() };
    assert_eq!(amqp.sends_as(link, batch.write(), BATCH), Outcome::Accepted);
    let forged = Message {
        application: vec![(Value::string("iothub-connection-device-id"), Value::string("pump-2"))],
        ..text("forged")
    };
    assert!(why(amqp.sends(link, &forged)).contains("iothub-connection-device-id"));
    assert!(
        why(amqp.sends_as(link, Bytes::from_static(b"no message"), 0)).contains("argument-error")
    );
    assert_eq!(amqp.sends(link, &text("last")), Outcome::Accepted);

    plant.world.restart();
    assert_eq!(plant.world.bodies(&plant.hub), [r#"{"bar":3.2}"#, "second", "third", "last"]);
    let kept = &plant.world.messages(&plant.hub)[0];
    assert_eq!(kept.device, "pump-1");
    let system = [
        (SystemProperty::MessageId, "m1".to_owned()),
        (SystemProperty::ContentType, "application/json".to_owned()),
    ];
    assert_eq!(kept.system, system);
    assert_eq!(kept.application, [("level".to_owned(), Some("3".to_owned()))]);
}

/// Threats 13, 33: another device's link is refused, with the reason and an id, and its own go on.
#[test]
fn a_device_is_let_in_by_its_own_token_alone_and_to_its_own_links() {
    let plant = Plant::new();
    let (pump, other) = (plant.device("pump-1"), plant.device("pump-10"));
    let mut amqp = plant.opens(&pump);
    // Before it has shown anything it has no link, and the refusal is a decision that can be asked for.
    let refused = amqp.sends_to(&events("pump-1")).unwrap_err();
    assert_eq!(refused.condition, "amqp:unauthorized-access");
    let tracking = refused.info.iter().find(|(key, _)| key == "com.microsoft:tracking-id");
    let tracking = tracking.and_then(|(_, it)| it.text()).unwrap();
    assert_eq!(plant.world.explained(tracking)["decision"]["call"]["operation"], "ConnectDevice");

    // A token of another device, an old one, one that is none, one of Entra's.
    let name = format!("{}/devices/pump-1", pump.host);
    let hour = plant.world.now().plus_seconds(3_600);
    assert_eq!(amqp.puts_token(&name, &other.signature(hour)).0, 401);
    let over = pump.signature(plant.world.now().plus_seconds(-1));
    assert!(amqp.puts_token(&name, &over).1.contains("expired"));
    assert_eq!(amqp.puts_token(&name, "SharedAccessSignature sr=h").0, 401);
    let bearer = plant.world.token(&plant.world.admin(), "https://iothubs.azure.net");
    let (status, told) = amqp.puts_token(&name, &format!("Bearer {bearer}"));
    assert!(status == 401 && told.contains("access token opens no device endpoint"), "{told}");
    assert_eq!(amqp.puts_token("", "x").0, 401);

    assert_eq!(plant.proves(&mut amqp, &pump, 3_600), 200);
    amqp.sends_to(&events("pump-1")).unwrap();
    for foreign in [events("pump-10"), "/devices/pump-10/twin".into()] {
        let refused = amqp.sends_to(&foreign).unwrap_err();
        assert_eq!(refused.condition, "amqp:unauthorized-access", "{foreign}");
    }
    assert!(amqp.receives(&devicebound("pump-10")).is_err());
    assert_eq!(amqp.sends_to("/devices/pump-1/nowhere").unwrap_err().condition, "amqp:not-found");
    assert_eq!(amqp.sends_to(&devicebound("pump-1")).unwrap_err().condition, "amqp:not-found");
}

#[test]
fn several_devices_share_a_connection_and_each_ends_for_itself() {
    let plant = Plant::new();
    let (pump, other) = (plant.device("pump-1"), plant.device("pump-2"));
    let mut amqp = plant.connects(&pump);
    assert_eq!(plant.proves(&mut amqp, &other, 3_600), 200);
    let first = amqp.sends_to(&events("pump-1")).unwrap();
    let second = amqp.sends_to(&events("pump-2")).unwrap();
    let off = json!({ "deviceId": "pump-1", "status": "disabled" });
    plant.service("PUT", "/devices/pump-1", &off).expect(200);
    let why = amqp.loses(first);
    assert_eq!(why.condition, "amqp:unauthorized-access");
    assert!(why.description.unwrap().contains("disabled"));
    assert_eq!(amqp.sends(second, &text("still here")), Outcome::Accepted);
    // A second session of the other takes its place.
    let _taken = plant.connects(&other);
    assert_eq!(amqp.loses(second).condition, "amqp:link:stolen");
}

#[test]
fn a_devices_links_end_with_its_token_unless_it_puts_another() {
    let plant = Plant::new();
    let (pump, other) = (plant.device("pump-1"), plant.device("pump-2"));
    let mut amqp = plant.connects_for(&pump, 100);
    assert_eq!(plant.proves(&mut amqp, &other, 100), 200);
    let first = amqp.sends_to(&events("pump-1")).unwrap();
    let second = amqp.sends_to(&events("pump-2")).unwrap();
    plant.world.pass_seconds(90);
    assert_eq!(plant.proves(&mut amqp, &other, 100), 200);
    // One that is worse than what it has changes nothing.
    assert_eq!(plant.proves(&mut amqp, &other, -1), 401);
    plant.world.pass_seconds(11);
    amqp.transfers(first, text("late").write(), 0, false);
    let why = amqp.loses(first);
    assert!(why.description.unwrap().contains("expired"));
    assert_eq!(amqp.sends(second, &text("in time")), Outcome::Accepted);
    assert_eq!(plant.world.bodies(&plant.hub), ["in time"]);
}

#[test]
fn a_device_completes_rejects_and_abandons_what_it_is_sent() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    let mut amqp = plant.connects(&pump);
    let link = amqp.receives(&devicebound("pump-1")).unwrap();
    plant.sends("pump-1", "one");
    let one = amqp.hears();
    assert_eq!((said(&one.message).as_str(), one.handle, one.settled), ("one", link, false));
    assert_eq!(one.message.properties.message_id, Value::string("one"));
    assert_eq!(one.message.properties.to, Some(devicebound("pump-1")));
    amqp.settles(&one, Outcome::Accepted);
    plant.sends("pump-1", "two");
    let two = amqp.hears();
    amqp.settles(&two, Outcome::Rejected(None));
    plant.sends("pump-1", "three");
    let count = |it: &Message| {
        let found =
            it.annotations.iter().find(|(key, _)| key.text() == Some("iothub-deliverycount"));
        found.and_then(|(_, it)| it.unsigned())
    };
    let three = amqp.hears();
    assert_eq!(count(&three.message), Some(0));
    amqp.settles(&three, Outcome::Released);
    let again = amqp.hears();
    assert_eq!((said(&again.message).as_str(), count(&again.message)), ("three", Some(1)));
    // What it has not settled when its link goes waits for the next, uncounted.
    amqp.detaches(link);
    amqp.receives(&devicebound("pump-1")).unwrap();
    let again = amqp.hears();
    assert_eq!((said(&again.message).as_str(), count(&again.message)), ("three", Some(1)));
    amqp.settles(&again, Outcome::Accepted);
    assert!(amqp.is_quiet());
    let told =
        plant.service("GET", "/messages/serviceBound/feedback", &Json::Null).expect(200).body;
    let told: Vec<(&str, &str)> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["originalMessageId"].as_str().unwrap(), it["statusCode"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("one", "Success"), ("two", "Rejected"), ("three", "Success")]);
}

/// Threat 34.
#[test]
fn a_device_answers_methods_and_no_other_does() {
    let plant = Plant::new();
    let (pump, other) = (plant.device("pump-1"), plant.device("pump-2"));
    let mut amqp = plant.connects(&pump);
    let methods = |it: &str| format!("/devices/{it}/methods/devicebound");
    amqp.receives(&methods("pump-1")).unwrap();
    let answers = amqp.sends_to(&methods("pump-1")).unwrap();
    let mut stranger = plant.connects(&other);
    let strange = stranger.sends_to(&methods("pump-2")).unwrap();
    let body =
        json!({ "methodName": "set", "payload": { "rate": 9 }, "responseTimeoutInSeconds": 30 });
    std::thread::scope(|scope| {
        let called = scope.spawn(|| plant.service("POST", "/twins/pump-1/methods", &body));
        let request = amqp.hears().message;
        assert_eq!(request.property("IoThub-methodname"), Some(&Value::string("set")));
        assert_eq!(said(&request), r#"{"rate":9}"#);
        let answer = |status: Value, body: &str| Message {
            properties: Properties {
                correlation_id: request.properties.correlation_id.clone(),
                ..Properties::default()
            },
            application: vec![(Value::string("IoThub-status"), status)],
            ..text(body)
        };
        // Another device's answer to it is nobody's, and an answer without a status is none.
        let forged = stranger.sends(strange, &answer(Value::Int(666), "{}"));
        assert_eq!(forged, Outcome::Accepted);
        assert!(why(amqp.sends(answers, &answer(Value::Null, "{}"))).contains("IoThub-status"));
        let answered = amqp.sends(answers, &answer(Value::Int(200), r#"{"done":true}"#));
        assert_eq!(answered, Outcome::Accepted);
        let answer = called.join().unwrap().expect(200).body;
        assert_eq!(answer, json!({ "status": 200, "payload": { "done": true } }));
    });
}

#[test]
fn a_device_reads_reports_and_hears_of_its_twin() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    let mut amqp = plant.connects(&pump);
    let pair = Value::Map(vec![(
        Value::symbol("com.microsoft:channel-correlation-id"),
        Value::string("twin:1"),
    )]);
    amqp.receives_with("/devices/pump-1/twin", None, pair).unwrap();
    let link = amqp.sends_to("/devices/pump-1/twin").unwrap();
    let ask = |amqp: &mut Amqp, operation: &str, resource: &str, body: &str| {
        let pair = |name: &str, it: &str| (Value::symbol(name), Value::string(it));
        let request = Message {
            annotations: vec![pair("operation", operation), pair("resource", resource)],
            properties: Properties { correlation_id: Value::string("c"), ..Properties::default() },
            ..text(body)
        };
        assert_eq!(amqp.sends(link, &request), Outcome::Accepted);
        let answer = amqp.hears().message;
        assert_eq!(answer.properties.correlation_id, Value::string("c"));
        (note(&answer, "status"), note(&answer, "version"), said(&answer))
    };
    let desired = "/notifications/twin/properties/desired";
    let (status, _, twin) = ask(&mut amqp, "GET", "", " ");
    let empty = json!({ "desired": { "$version": 1 }, "reported": { "$version": 1 } });
    assert_eq!((status, serde_json::from_str::<Json>(&twin).unwrap()), (Some(200), empty));
    let reported = ask(&mut amqp, "PATCH", "/properties/reported", r#"{"rate":5}"#);
    assert_eq!((reported.0, reported.1), (Some(200), Some(2)));
    let refused = ask(&mut amqp, "PATCH", "/properties/reported", r#"{"a.b":5}"#);
    assert!(refused.0 == Some(400) && refused.2.contains("properties.reported"), "{refused:?}");
    assert_eq!(ask(&mut amqp, "PATCH", "/properties/desired", "{}").0, Some(400));

    assert_eq!(ask(&mut amqp, "PUT", desired, "").0, Some(200));
    let patch = json!({ "properties": { "desired": { "rate": 7 } } });
    plant.service("PATCH", "/twins/pump-1", &patch).expect(200);
    let heard = amqp.hears().message;
    assert_eq!(
        (heard.properties.correlation_id.clone(), note(&heard, "version")),
        (Value::Null, Some(2))
    );
    assert_eq!(
        serde_json::from_str::<Json>(&said(&heard)).unwrap(),
        json!({ "rate": 7, "$version": 2 })
    );
    assert_eq!(ask(&mut amqp, "DELETE", desired, "").0, Some(200));
    plant.service("PATCH", "/twins/pump-1", &patch).expect(200);
    assert!(amqp.is_quiet());
    let twin = plant.service("GET", "/twins/pump-1", &Json::Null).expect(200).body;
    assert_eq!(twin["properties"]["reported"]["rate"], 5);
}

fn note(message: &Message, name: &str) -> Option<i64> {
    let found = message.annotations.iter().find(|(key, _)| key.text() == Some(name));
    found.and_then(|(_, it)| it.signed())
}
