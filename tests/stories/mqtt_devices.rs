//! Devices connect over MQTT with their keys, send, and are thrown out when they may not go on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ops::devices::message::SystemProperty;
use serde_json::json;
use testkit::{Closed, Device, Mqtt, World};
use wire::mqtt::{ConnectCode, Packet, Qos, Will};

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

    fn connects(&self, device: &Device) -> Mqtt {
        device.connects(self.world.wire(), self.world.now().plus_seconds(3_600))
    }

    /// Tries with a changed greeting; the code of the refusal.
    #[track_caller]
    fn is_refused(&self, device: &Device, password: &str) -> ConnectCode {
        let tried = device.tries(self.world.wire(), device.greeting(password));
        let (code, mut mqtt) = tried.expect("a refusal is an answer");
        assert_ne!(code, ConnectCode::Accepted);
        assert_eq!(mqtt.until_closed(), []);
        code
    }

    fn writes(&self, device: &Device, body: &serde_json::Value) {
        let method = if body.is_null() { "DELETE" } else { "PUT" };
        let (path, headers) = (format!("/devices/{}", device.id), [("If-Match", "*")]);
        let answer = self.world.hub_by_key("iothubowner", method, &self.hub, &path, &headers, body);
        assert!(answer.status < 300, "{answer:?}");
    }

    fn bodies(&self) -> Vec<String> {
        self.world.bodies(&self.hub)
    }
}

#[test]
fn what_a_device_sends_is_kept_with_its_properties_over_a_restart() {
    let mut plant = Plant::new();
    let pump = plant.device("pump-1");
    let mut mqtt = plant.connects(&pump);
    let bag = "%24.ct=application%2Fjson&%24.ce=utf-8&level=3%2C2&alarm";
    mqtt.publish(&format!("{}{bag}", pump.events()), br#"{"bar":3.2}"#).unwrap();
    mqtt.publish(pump.events().trim_end_matches('/'), b"plain").unwrap();
    mqtt.publish_as(Qos::AtMostOnce, &pump.events(), b"unacknowledged").unwrap();
    mqtt.send(&Packet::PingReq).unwrap();
    assert_eq!(mqtt.receive(), Ok(Packet::PingResp));
    mqtt.publish(&pump.events(), b"last").unwrap();
    mqtt.disconnect();

    plant.world.restart();
    assert_eq!(plant.bodies(), [r#"{"bar":3.2}"#, "plain", "unacknowledged", "last"]);
    let first = &plant.world.messages(&plant.hub)[0];
    assert_eq!(first.device, "pump-1");
    let system = [
        (SystemProperty::ContentType, "application/json".to_owned()),
        (SystemProperty::ContentEncoding, "utf-8".to_owned()),
    ];
    assert_eq!(first.system, system);
    let application = [("level".to_owned(), Some("3,2".to_owned())), ("alarm".to_owned(), None)];
    assert_eq!(first.application, application);
    // And goes on behind what was there.
    plant.connects(&pump).publish(&pump.events(), b"after").unwrap();
    assert_eq!(plant.bodies().last().map(String::as_str), Some("after"));
}

#[test]
fn many_messages_under_way_are_acknowledged_in_their_order() {
    let plant = Plant::new();
    let pump = plant.device("pump-1");
    let mut mqtt = plant.connects(&pump);
    let sent: Vec<u16> = (0..500)
        .map(|it| mqtt.publish_unacknowledged(&pump.events(), it.to_string().as_bytes()).unwrap())
        .collect();
    let acknowledged: Vec<Packet> = sent.iter().map(|_| mqtt.receive().unwrap()).collect();
    assert_eq!(acknowledged, sent.iter().map(|it| Packet::PubAck(*it)).collect::<Vec<_>>());
    let expected: Vec<String> = (0..500).map(|it| it.to_string()).collect();
    assert_eq!(plant.bodies(), expected);
}

/// Nobody gets in with what is wrong, too old, or another's; and each refusal can be explained.
#[test]
fn who_cannot_prove_itself_is_refused_and_the_decision_is_kept() {
    let plant = Plant::new();
    let (one, ten) = (plant.device("device1"), plant.device("device10"));
    let later = plant.world.now().plus_seconds(600);
    let stranger = Device { key: vec![1; 32], ..one.clone() };
    let unknown = Device { id: "device2".into(), ..one.clone() };
    let other_hub = Device { host: "127.0.0.9".into(), ..one.clone() };
    let hubs_key = |device: &Device| {
        let resource = format!("{}/devices/{}", device.host, device.id);
        plant.world.sas(&plant.hub, "iothubowner", &resource)
    };
    let refused = [
        ("a wrong key", stranger.signature(later)),
        ("another's signature", ten.signature(later)),
        ("a signature for another hub", other_hub.signature(later)),
        ("an expired signature", one.signature(plant.world.now().plus_seconds(-1))),
        ("a key of the hub for another device", hubs_key(&ten)),
        ("nothing", String::new()),
        ("something else", "let me in".to_owned()),
    ];
    for (what, password) in refused {
        assert_eq!(plant.is_refused(&one, &password), ConnectCode::NotAuthorized, "{what}");
    }
    assert_eq!(plant.is_refused(&unknown, &unknown.signature(later)), ConnectCode::NotAuthorized);

    // Each was a decision of the first gate, like a refusal over HTTPS.
    let env = plant.world.env();
    let metrics = env.metrics.render(&env.facts.load().lookups, &env.presence);
    assert!(metrics.contains("hubward_refusals_total{gate=\"authentication\"} 8\n"), "{metrics}");

    // A name that is none, or not the client's own.
    let password = one.signature(later);
    for (client, user) in [
        ("device10", format!("{}/device1/", one.host)),
        ("device1", format!("{}/device10/", one.host)),
        ("device1", one.host.clone()),
        ("device1/module", format!("{}/device1/module1/", one.host)),
    ] {
        let mut greeting = one.greeting(&password);
        (greeting.client_id, greeting.user_name) = (client.to_owned(), Some(user.clone()));
        let (code, _) = one.tries(plant.world.wire(), greeting).unwrap();
        assert_eq!(code, ConnectCode::IdentifierRejected, "{client} as {user}");
    }
    let mut old = one.greeting(&password);
    old.protocol_level = 3;
    let (code, _) = one.tries(plant.world.wire(), old).unwrap();
    assert_eq!(code, ConnectCode::UnacceptableProtocol);
    // MQTT 5.
    let mut mqtt = one.opens(plant.world.wire()).unwrap();
    mqtt.send_bytes(&[0x10, 0x0d, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 0]).unwrap();
    let refusal =
        Packet::ConnAck { session_present: false, code: ConnectCode::UnacceptableProtocol };
    assert_eq!(mqtt.until_closed(), [refusal]);
    plant.connects(&one).publish(&one.events(), b"itself").unwrap();
    assert_eq!(plant.bodies(), ["itself"]);
}

/// Threats 33, 35, 36, 41: what a hub refuses ends the connection and leaves nothing.
#[test]
fn what_a_hub_refuses_closes_the_connection_and_nothing_is_kept() {
    let plant = Plant::new();
    let (one, ten) = (plant.device("device1"), plant.device("device10"));
    let publish = |topic: String, qos, payload: Vec<u8>| {
        move |mqtt: &mut Mqtt| mqtt.publish_as(qos, &topic, &payload).map(drop)
    };
    let raw = |bytes: &'static [u8]| move |mqtt: &mut Mqtt| mqtt.send_bytes(bytes);
    type Attack = Box<dyn Fn(&mut Mqtt) -> Result<(), Closed>>;
    let attacks: Vec<(&str, Attack)> = vec![
        ("another's topic", Box::new(publish(ten.events(), Qos::AtLeastOnce, b"x".to_vec()))),
        ("QoS 2", Box::new(publish(one.events(), Qos::ExactlyOnce, b"x".to_vec()))),
        ("a foreign topic", Box::new(publish("a/b".into(), Qos::AtLeastOnce, b"x".to_vec()))),
        (
            "too much",
            Box::new(publish(one.events(), Qos::AtLeastOnce, vec![b'x'; (256 << 10) + 1])),
        ),
        (
            "a name of the hub's",
            Box::new(publish(
                format!("{}iothub-connection-device-id=device10", one.events()),
                Qos::AtLeastOnce,
                b"x".to_vec(),
            )),
        ),
        ("a length of 256 MiB", Box::new(raw(&[0x32, 0xff, 0xff, 0xff, 0x7f]))),
        ("a packet of no type", Box::new(raw(&[0xf0, 0]))),
        (
            "a second CONNECT",
            Box::new(|mqtt: &mut Mqtt| {
                mqtt.send(&Packet::Connect(wire::mqtt::Connect {
                    protocol_level: 4,
                    clean_session: true,
                    keep_alive_s: 0,
                    client_id: "device1".into(),
                    will: None,
                    user_name: None,
                    password: None,
                }))
            }),
        ),
    ];
    for (what, attack) in attacks {
        let mut mqtt = plant.connects(&one);
        // The server may close while it is still being told.
        let _ = attack(&mut mqtt);
        assert_eq!(mqtt.until_closed(), [], "{what}");
    }
    assert_eq!(plant.bodies(), Vec::<String>::new());
    let mut mqtt = plant.connects(&one);
    mqtt.publish(&one.events(), &vec![b'x'; 256 << 10]).unwrap();
    assert_eq!(plant.bodies().len(), 1);
    // What came before it counts; it is not acknowledged itself.
    let fine = mqtt.publish_unacknowledged(&one.events(), b"before").unwrap();
    mqtt.publish_unacknowledged(&ten.events(), b"another's").unwrap();
    assert_eq!(mqtt.until_closed(), [Packet::PubAck(fine)]);
    assert_eq!(plant.bodies().len(), 2);
}

#[test]
fn a_second_connection_takes_the_place_of_the_first() {
    let plant = Plant::new();
    let (one, ten) = (plant.device("device1"), plant.device("device10"));
    let (mut first, mut other) = (plant.connects(&one), plant.connects(&ten));
    first.publish(&one.events(), b"1").unwrap();
    let mut second = plant.connects(&one);
    assert_eq!(first.until_closed(), []);
    second.publish(&one.events(), b"2").unwrap();
    other.publish(&ten.events(), b"10").unwrap();
    let mut all = plant.bodies();
    all.sort();
    assert_eq!(all, ["1", "10", "2"]);
    let env = plant.world.env();
    let metrics = env.metrics.render(&env.facts.load().lookups, &env.presence);
    for line in ["hubward_connected_devices 2\n", "hubward_takeovers_total 1\n"] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

/// Threats 12, 16, 18: whoever may not go on is out, without saying anything itself.
#[test]
fn a_device_that_is_disabled_deleted_or_given_other_keys_is_thrown_out() {
    let plant = Plant::new();
    let key = |byte: u8| STANDARD.encode([byte; 32]);
    let keys = |one: u8| {
        json!({ "authentication": { "type": "sas", "symmetricKey": {
            "primaryKey": key(one), "secondaryKey": key(one + 1) } } })
    };
    let disabled = json!({ "status": "disabled" });
    for (id, change) in
        [("disabled", disabled), ("rekeyed", keys(7)), ("deleted", serde_json::Value::Null)]
    {
        let (device, bystander) = (plant.device(id), plant.device(&format!("{id}0")));
        let (mut mqtt, mut other) = (plant.connects(&device), plant.connects(&bystander));
        mqtt.publish(&device.events(), b"before").unwrap();
        plant.writes(&device, &change);
        assert_eq!(mqtt.until_closed(), [], "{id}");
        plant.is_refused(&device, &device.signature(plant.world.now().plus_seconds(60)));
        other.publish(&bystander.events(), b"still here").unwrap();
    }
    // A change that leaves the key as it is leaves the connection as it is.
    let device = plant.device("described");
    let mut mqtt = plant.connects(&device);
    let text = STANDARD.encode(&device.key);
    plant.writes(
        &device,
        &json!({ "statusReason": "ours", "authentication": { "type": "sas",
        "symmetricKey": { "primaryKey": text, "secondaryKey": key(9) } } }),
    );
    mqtt.publish(&device.events(), b"goes on").unwrap();
    // Made again under the same id and with the same key, it is another device.
    plant.writes(&device, &serde_json::Value::Null);
    assert_eq!(mqtt.until_closed(), []);
}

#[test]
fn switching_off_keys_of_devices_ends_their_sessions_and_no_other_hubs() {
    let plant = Plant::new();
    let other = plant.world.hub_named("hub10");
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
    plant.world.arm("PUT", &other, &body).expect(201);
    let (device, elsewhere) = (plant.device("device1"), plant.world.device(&other, "device1"));
    let later = plant.world.now().plus_seconds(600);
    let (mut mqtt, mut stays) =
        (plant.connects(&device), elsewhere.connects(plant.world.wire(), later));
    let set = |name: &str, value: bool| {
        let mut properties = json!({});
        properties[name] = json!(value);
        plant.world.arm("PATCH", &plant.hub, &json!({ "properties": properties })).expect(200);
    };
    // The hub's own keys are none of a device's business.
    set("disableLocalAuth", true);
    mqtt.publish(&device.events(), b"goes on").unwrap();
    set("disableLocalAuth", false);
    set("disableDeviceSAS", true);
    assert_eq!(mqtt.until_closed(), []);
    let refused = plant.is_refused(&device, &device.signature(later));
    assert_eq!(refused, ConnectCode::NotAuthorized);
    stays.publish(&elsewhere.events(), b"elsewhere").unwrap();
    set("disableDeviceSAS", false);
    plant.connects(&device).publish(&device.events(), b"back").unwrap();
    assert_eq!(plant.bodies(), ["goes on", "back"]);
}

#[test]
fn a_hub_that_is_deleted_ends_its_sessions_and_its_messages_go_with_it() {
    let plant = Plant::new();
    let device = plant.device("device1");
    let mut mqtt = plant.connects(&device);
    mqtt.publish(&device.events(), b"kept for now").unwrap();
    let logs = plant.world.env().settings.data_dir.join("log");
    assert_eq!(std::fs::read_dir(&logs).unwrap().count(), 1);
    let gone = plant.world.arm("DELETE", &plant.hub, &serde_json::Value::Null);
    assert!([200, 202].contains(&gone.status), "{gone:?}");
    assert_eq!(mqtt.until_closed(), []);
    while std::fs::read_dir(&logs).unwrap().count() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_connection_ends_with_the_signature_that_opened_it() {
    let plant = Plant::new();
    let device = plant.device("pump-1");
    let mut mqtt = device.connects(plant.world.wire(), plant.world.now().plus_seconds(600));
    plant.world.pass_seconds(600);
    mqtt.publish(&device.events(), b"in its last second").unwrap();
    plant.world.pass_seconds(1);
    let late = mqtt.publish(&device.events(), b"too late");
    assert_eq!(late, Err(Closed));
    assert_eq!(plant.bodies(), ["in its last second"]);
}

#[test]
fn a_device_that_is_silent_for_too_long_is_gone_and_its_will_is_kept() {
    let plant = Plant::new();
    let device = plant.device("pump-1");
    let later = plant.world.now().plus_seconds(600);
    let will = |topic: String| {
        Some(Will { topic, payload: "gone".into(), qos: Qos::AtLeastOnce, retain: false })
    };
    // Threat 40: a will is judged like a message.
    let mut foreign = device.greeting(&device.signature(later));
    foreign.will = will("devices/device10/messages/events/".into());
    let (code, _) = device.tries(plant.world.wire(), foreign).unwrap();
    assert_eq!(code, ConnectCode::NotAuthorized);

    let mut greeting = device.greeting(&device.signature(later));
    greeting.keep_alive_s = 1;
    greeting.will = will(format!("{}a=b", device.events()));
    let (code, mut mqtt) = device.tries(plant.world.wire(), greeting.clone()).unwrap();
    assert_eq!(code, ConnectCode::Accepted);
    assert_eq!(mqtt.until_closed(), []);
    let kept = plant.world.messages(&plant.hub);
    assert_eq!(kept.len(), 1);
    let pair = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    assert_eq!(kept[0].application, [pair("a", "b"), pair("iothub-MessageType", "Will")]);

    // Who says good-bye leaves none.
    let (_, mut mqtt) = device.tries(plant.world.wire(), greeting).unwrap();
    mqtt.send(&Packet::Disconnect).unwrap();
    // Until the hub has heard it: whoever comes before that takes the place of one that did not say good-bye.
    assert_eq!(mqtt.until_closed(), []);
    plant.connects(&device).publish(&device.events(), b"back").unwrap();
    assert_eq!(plant.bodies(), ["gone", "back"]);
}

#[test]
fn a_client_may_go_on_behind_its_connect_without_waiting() {
    let plant = Plant::new();
    let device = plant.device("pump-1");
    let mut greeting = device.greeting(&device.signature(plant.world.now().plus_seconds(600)));
    let publish = |qos: Qos, id: Option<u16>, payload: &'static str| {
        Packet::Publish(wire::mqtt::Publish {
            dup: false,
            qos,
            retain: false,
            topic: wire::mqtt::ByteString::from(device.events()),
            id,
            payload: payload.into(),
        })
    };
    let says = |packets: &[Packet]| {
        let mut bytes = bytes::BytesMut::new();
        packets.iter().for_each(|it| wire::mqtt::encode(it, &mut bytes).unwrap());
        let mut mqtt = device.opens(plant.world.wire()).unwrap();
        mqtt.send_bytes(&bytes).unwrap();
        mqtt
    };
    let connect = Packet::Connect(greeting.clone());
    let mut mqtt = says(&[connect, publish(Qos::AtLeastOnce, Some(7), "at once")]);
    let accepted = Packet::ConnAck { session_present: false, code: ConnectCode::Accepted };
    assert_eq!((mqtt.receive(), mqtt.receive()), (Ok(accepted.clone()), Ok(Packet::PubAck(7))));

    greeting.will = Some(Will {
        topic: device.events(),
        payload: "a will".into(),
        qos: Qos::AtMostOnce,
        retain: false,
    });
    let last = publish(Qos::AtMostOnce, None, "and gone");
    let mut mqtt = says(&[Packet::Connect(greeting), last, Packet::Disconnect]);
    assert_eq!(mqtt.until_closed(), [accepted]);
    assert_eq!(plant.bodies(), ["at once", "and gone"]);
}

/// Threat 40: a will is judged like a message, and published when another session takes the place.
#[test]
fn a_will_says_nothing_that_its_device_may_not_say() {
    let plant = Plant::new();
    let device = plant.device("device1");
    let later = plant.world.now().plus_seconds(600);
    let with_will = |topic: String, qos| {
        let mut greeting = device.greeting(&device.signature(later));
        greeting.will = Some(Will { topic, payload: "gone".into(), qos, retain: false });
        device.tries(plant.world.wire(), greeting).unwrap()
    };
    let own = device.events();
    for (topic, qos) in [
        ("devices/device10/messages/events/".to_owned(), Qos::AtLeastOnce),
        (format!("{own}iothub-connection-device-id=device10"), Qos::AtLeastOnce),
        (format!("{own}%24.cdid=device10"), Qos::AtLeastOnce),
        (own.clone(), Qos::ExactlyOnce),
    ] {
        let (code, _) = with_will(topic.clone(), qos);
        assert_eq!(code, ConnectCode::NotAuthorized, "{topic}");
    }
    let (code, mut first) = with_will(own.clone(), Qos::AtLeastOnce);
    assert_eq!(code, ConnectCode::Accepted);
    let mut second = plant.connects(&device);
    assert_eq!(first.until_closed(), []);
    second.publish(&own, b"the second").unwrap();
    let mut kept = plant.bodies();
    kept.sort();
    assert_eq!(kept, ["gone", "the second"]);
    // Who was disabled says nothing any more, also not at last.
    second.disconnect();
    let (_, mut last) = with_will(own, Qos::AtLeastOnce);
    plant.writes(&device, &json!({ "status": "disabled" }));
    last.until_closed();
    assert_eq!(plant.bodies().len(), 2);
}

#[test]
fn a_silent_connection_ends_with_its_signature_too() {
    let plant = Plant::new();
    let device = plant.device("pump-1");
    let mut mqtt = device.connects(plant.world.wire(), plant.world.now().plus_seconds(1));
    plant.world.pass_seconds(2);
    assert_eq!(mqtt.until_closed(), []);
}

#[test]
fn the_registry_shows_who_is_connected() {
    let plant = Plant::new();
    let device = plant.device("pump-1");
    let state = || {
        let path = "/devices/pump-1";
        let shown =
            plant.world.hub_by_key("iothubowner", "GET", &plant.hub, path, &[], &json!(null));
        shown.expect(200).body["connectionState"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(), "Disconnected");
    let mqtt = plant.connects(&device);
    assert_eq!(state(), "Connected");
    mqtt.disconnect();
    // The server learns of it in its own time.
    while state() != "Disconnected" {
        std::thread::yield_now();
    }
}
