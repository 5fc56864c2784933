//! MQTT in WebSockets, for devices that reach nothing but port 443: the same devices, sessions and reasons.

use super::certificates::Plant;
use super::registration::{Fleet, is_denied_with_the_three_facts};
use serde_json::{Value, json};
use testkit::x509::{Certified, leaf};
use testkit::{Device, Mqtt, WebSocket};
use wire::mqtt::{ConnectCode, Packet, Qos};

const PATH: &str = "/$iothub/websocket";
const MQTT: (&str, &str) = ("Sec-WebSocket-Protocol", "mqtt");
/// The largest message of a client that a WebSocket takes.
const MESSAGE_BYTES_MAX: u64 = 512 << 10;
/// How much may come before a sign-in, frames and all.
const UNPROVEN_BYTES_MAX: usize = 48 << 10;

impl Plant {
    fn origin(&self) -> String {
        self.world.hub_origin(&self.hub)
    }

    fn opens(&self) -> Mqtt {
        Mqtt::in_web_socket(self.world.wire(), &self.origin(), &[]).unwrap()
    }

    fn has_keys(&self, id: &str) -> Device {
        self.world.device(&self.hub, id)
    }

    /// A device that is let in by its key.
    fn connects_in_web_socket(&self, device: &Device) -> Mqtt {
        let mut mqtt = self.opens();
        let signature = device.signature(self.world.now().plus_seconds(600));
        assert_eq!(mqtt.connect(device.greeting(&signature)), Ok(ConnectCode::Accepted));
        mqtt
    }

    fn asks(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        WebSocket::ask(self.world.wire(), &self.origin(), path, headers).unwrap().0
    }
}

/// One session per device, whatever lies beneath: the other one is taken over, and thrown out for the same reasons.
#[test]
fn a_device_talks_in_a_websocket_as_it_does_without() {
    let mut plant = Plant::new();
    let pump = plant.has_keys("pump-1");
    let mut first = plant.connects_in_web_socket(&pump);
    first.publish(&pump.events(), b"in a WebSocket").unwrap();
    first.subscribes("$iothub/twin/res/#", Qos::AtMostOnce);
    let (topic, twin) = first.asks("$iothub/twin/GET/?$rid=1", "");
    assert!(
        topic.starts_with("$iothub/twin/res/200/") && twin.contains("desired"),
        "{topic} {twin}"
    );
    let long = vec![b'x'; 200 << 10];
    first.publish(&pump.events(), &long).unwrap();

    let later = plant.world.now().plus_seconds(600);
    let mut second = pump.connects(plant.world.wire(), later);
    assert_eq!(first.until_closed(), []);
    second.publish(&pump.events(), b"without").unwrap();
    let mut third = plant.connects_in_web_socket(&pump);
    assert_eq!(second.until_closed(), []);
    third.send(&Packet::PingReq).unwrap();
    assert_eq!(third.receive(), Ok(Packet::PingResp));
    assert_eq!(plant.world.messages(&plant.hub).len(), 3);

    // Another's key, and whoever has none, learn as much as without.
    let wrong = Device { key: vec![1; 32], ..pump.clone() };
    for greeting in [wrong.greeting(&wrong.signature(later)), wrong.silent_greeting()] {
        let mut mqtt = plant.opens();
        assert_eq!(mqtt.connect(greeting), Ok(ConnectCode::NotAuthorized));
        assert_eq!(mqtt.until_closed(), []);
    }
    third.publish(&pump.events(), b"still here").unwrap();
    plant.changes("pump-1", &json!({ "status": "disabled" }));
    assert_eq!(third.until_closed(), []);

    // A server that stops waits for nobody.
    let other = plant.has_keys("pump-2");
    let mut open = plant.connects_in_web_socket(&other);
    let silent = plant.opens();
    plant.world.restart();
    assert_eq!(open.until_closed(), []);
    drop(silent);
    plant.connects_in_web_socket(&other).publish(&other.events(), b"after").unwrap();
}

#[test]
fn a_certificate_counts_in_a_websocket_and_not_for_a_page_in_a_browser() {
    let plant = Plant::new();
    let certified = Certified::by_itself(leaf("pump-1", plant.world.now()));
    let thumbprint = json!({ "primaryThumbprint": certified.thumbprints().sha256 });
    let body = json!({ "authentication": { "type": "selfSigned", "x509Thumbprint": thumbprint } });
    let pump = plant.world.device_with(&plant.hub, "pump-1", &body);
    let (wire, origin) = (plant.world.wire().showing(&certified), plant.origin());
    let tries = |headers: &[(&str, &str)]| {
        let mut mqtt = Mqtt::in_web_socket(&wire, &origin, headers).unwrap();
        (mqtt.connect(pump.silent_greeting()).unwrap(), mqtt)
    };
    let (code, mut mqtt) = tries(&[]);
    assert_eq!(code, ConnectCode::Accepted);
    mqtt.publish(&pump.events(), b"by its certificate").unwrap();
    assert_eq!(tries(&[("Origin", &origin)]).0, ConnectCode::Accepted);
    // The browser would show the certificate of whoever sits there to any page's request.
    for elsewhere in ["https://evil.example", "null"] {
        assert_eq!(tries(&[("Origin", elsewhere)]).0, ConnectCode::NotAuthorized, "{elsewhere}");
    }
    // A page that has a key of its own is a device like others.
    let keyed = plant.has_keys("pump-2");
    let headers = [("Origin", "https://dashboard.example")];
    let mut mqtt = Mqtt::in_web_socket(plant.world.wire(), &origin, &headers).unwrap();
    let signature = keyed.signature(plant.world.now().plus_seconds(600));
    assert_eq!(mqtt.connect(keyed.greeting(&signature)), Ok(ConnectCode::Accepted));
}

/// S0-40 in part: who registers, and for whom, stands in the trace as it does without.
#[test]
fn a_device_registers_in_a_websocket_and_a_rule_for_mqtt_stops_it() {
    let fleet = Fleet::new();
    let hub = fleet.world.hub();
    let opens = |fleet: &Fleet| {
        Mqtt::in_web_socket(fleet.world.wire(), &fleet.world.dps_origin(&fleet.dps), &[]).unwrap()
    };
    let state = fleet.registers_in(opens(&fleet), "pump-1");
    assert_eq!(state["status"], "assigned", "{state}");
    let deny = json!({ "if": { "allOf": [
        { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
        { "field": "request.protocol", "equals": "mqtt" } ] }, "then": { "effect": "deny" } });
    fleet.world.define_policy("custom-security-policy-v2", &deny).expect(201);
    fleet.world.assign_policy("custom-security-policy-v2", &hub).expect(201);
    is_denied_with_the_three_facts(&fleet.registers_in(opens(&fleet), "pump-2"));
}

#[test]
fn a_websocket_is_for_two_paths_of_hubs_and_for_what_is_spoken_there() {
    let plant = Plant::new();
    let query = "/$iothub/websocket?iothub-no-client-cert=true";
    for path in [PATH, query, "/%24iothub/websocket", "/$servicebus/websocket"] {
        assert_eq!(plant.asks(path, &[MQTT]), 101, "{path}");
        assert_eq!(plant.asks(path, &[("Sec-WebSocket-Protocol", "AMQPWSB10")]), 101, "{path}");
    }
    let elsewhere = ["/", "/devices/pump-1", "/$iothub/websocket/more", "/$servicebus/$iothub"];
    for path in elsewhere {
        assert_ne!(plant.asks(path, &[MQTT]), 101, "{path}");
    }
    assert_eq!(plant.asks(PATH, &[]), 400);
    assert_eq!(plant.asks(PATH, &[("Sec-WebSocket-Protocol", "soap")]), 400);
    // No WebSocket at the management origin.
    let arm = plant.world.setting("HUBWARD_ARM");
    let wire = plant.world.wire();
    assert_ne!(WebSocket::ask(wire, &arm, PATH, &[MQTT]).unwrap().0, 101);
    // Asked without the words of RFC 6455, the path says what it is for.
    let url = format!("{}{PATH}", plant.origin());
    let answer = wire.json("GET", &url, "", &Value::Null).expect(426);
    assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"));
}

/// Threat 44: each is closed with the code that says why, and ends no session but its own.
#[test]
fn what_is_no_frame_of_a_client_ends_its_websocket_and_no_other() {
    let plant = Plant::new();
    let bystander = plant.has_keys("bystander");
    let mut beside = plant.connects_in_web_socket(&bystander);
    let opens = || {
        let (status, socket) =
            WebSocket::ask(plant.world.wire(), &plant.origin(), PATH, &[MQTT]).unwrap();
        assert_eq!(status, 101);
        socket
    };
    let long = |length: u64| [&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    let empty = [0x00, 0x80, 0, 0, 0, 0];
    let endless = [&[0x02, 0x80, 0, 0, 0, 0], &empty.repeat(UNPROVEN_BYTES_MAX / 6)[..]].concat();
    let cases: [(&str, Vec<u8>, u16); 6] = [
        ("unmasked", vec![0x82, 0x02, b'h', b'i'], 1002),
        ("text", vec![0x81, 0x82, 0, 0, 0, 0, b'h', b'i'], 1003),
        ("continues nothing", vec![0x80, 0x80, 0, 0, 0, 0], 1002),
        ("a huge frame", long(1 << 40), 1009),
        ("one byte too long", long(MESSAGE_BYTES_MAX + 1), 1009),
        ("endless pieces, before a sign-in", endless, 1008),
    ];
    for (what, bytes, code) in cases {
        let mut socket = opens();
        socket.send_bytes(&bytes).unwrap();
        assert_eq!(socket.closed_with(), Some(code), "{what}");
    }
    beside.publish(&bystander.events(), b"untouched").unwrap();
}
