//! What attackers do with connections: they hold them, flood them, and take them from each other.

use super::connections::waits_for;
use super::diagnostics::{category, send_logs};
use super::namesakes::Namesakes;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread::{scope, sleep};
use std::time::Duration;
use testkit::{Amqp, Mqtt};
use wire::mqtt::{ConnectCode, Qos};

impl Namesakes {
    fn calls(&self, device: &str, method: &str) -> testkit::Answer {
        let body = json!({ "methodName": method, "responseTimeoutInSeconds": 5 });
        let path = format!("/twins/{device}/methods");
        self.world.hub_by_key("service", "POST", &self.hub, &path, &[], &body)
    }
}

/// Threat 34: neither another device nor an answer to what is over reaches a service, which hears of its own
/// time-out instead.
#[test]
fn an_answer_to_a_method_counts_from_its_device_and_for_its_own_call_alone() {
    let plant = Namesakes::new();
    let (mut one, mut ten) = (plant.connects(&plant.one), plant.connects(&plant.ten));
    for it in [&mut one, &mut ten] {
        it.subscribes("$iothub/methods/POST/#", Qos::AtMostOnce);
    }
    let request = |mqtt: &mut Mqtt| mqtt.hears().0.rsplit('=').next().unwrap().to_owned();
    let answers = |mqtt: &mut Mqtt, id: &str, body: &str| {
        mqtt.publish(&format!("$iothub/methods/res/200/?$rid={id}"), body.as_bytes()).unwrap();
    };
    let old = scope(|scope| {
        let called = scope.spawn(|| plant.calls("device1", "first"));
        let id = request(&mut one);
        answers(&mut one, &id, "1");
        assert_eq!(called.join().unwrap().expect(200).body["payload"], 1);
        id
    });
    let late = scope(|scope| {
        let called = scope.spawn(|| plant.calls("device1", "second"));
        let id = request(&mut one);
        answers(&mut ten, &id, "666");
        answers(&mut one, &old, "666");
        answers(&mut one, "no-such-request", "666");
        assert_eq!(called.join().unwrap().expect(504).code(), "GatewayTimeout");
        id
    });
    // What comes behind the time-out answers nothing that is asked later.
    answers(&mut one, &late, "666");
    scope(|scope| {
        let called = scope.spawn(|| plant.calls("device1", "third"));
        let id = request(&mut one);
        answers(&mut one, &late, "666");
        answers(&mut one, &id, "3");
        assert_eq!(called.join().unwrap().expect(200).body["payload"], 3);
    });
}

/// Threat 37: who does not say who it is, or says it a byte at a time, is gone after a while, at every door.
#[test]
fn a_connection_that_never_comes_to_the_point_is_closed() {
    let plant = Namesakes::new();
    let (wire, host) = (plant.world.wire(), plant.one.host.as_str());
    let (mqtt, amqp) = (plant.world.mqtt_port(), plant.world.amqp_port());
    let https = plant.world.hub_origin(&plant.hub).trim_start_matches("https://").to_owned();
    let is_closed = |mut stream: TcpStream, said: &[u8]| {
        stream.write_all(said).unwrap();
        let mut rest = Vec::new();
        // An alert of TLS may come before the end.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.len() < 16, "{rest:?}");
    };
    // The head of a record that says a hello of 512 bytes follows.
    let hello: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0];
    let at = |address: String| TcpStream::connect(address).unwrap();
    scope(|scope| {
        for port in [mqtt, amqp] {
            scope.spawn(move || is_closed(at(format!("{host}:{port}")), b""));
            scope.spawn(move || is_closed(at(format!("{host}:{port}")), hello));
        }
        let address = https.clone();
        scope.spawn(move || is_closed(at(address), hello));
        scope.spawn(|| assert_eq!(Mqtt::open(wire, host, mqtt).unwrap().until_closed(), []));
        scope.spawn(|| {
            let mut slow = Mqtt::open(wire, host, mqtt).unwrap();
            let greeting = [&[0x10_u8, 0x80, 0x40][..], b"\0\x04MQTT\x04\xc2\0\x3c"].concat();
            for byte in greeting.iter().chain(std::iter::repeat(&b'x')) {
                if slow.send_bytes(&[*byte]).is_err() {
                    break;
                }
                sleep(Duration::from_millis(300));
            }
        });
        scope.spawn(|| {
            let mut slow = Amqp::begin(wire, host, amqp);
            while slow.send_bytes(&[0, 0, 0, 8, 2, 0, 0, 0]).is_ok() {
                sleep(Duration::from_millis(300));
            }
        });
    });
    plant.connects(&plant.one).publish(&plant.one.events(), b"still here").unwrap();
}

/// Threats 38, 39: two clients with one key take the place from each other as often as that is allowed, and no
/// more; the last who was let in stays, and the log says what happened.
#[test]
fn two_clients_with_one_key_do_not_take_turns_for_ever() {
    let plant = Namesakes::new();
    let (world, one) = (&plant.world, &plant.one);
    send_logs(world, &plant.hub, "connections", &category("Connections")).expect(200);
    let tries = || {
        let password = one.signature(world.now().plus_seconds(600));
        one.tries(world.wire(), one.greeting(&password)).unwrap()
    };
    let mut holder = plant.connects(one);
    let mut taken = 0;
    loop {
        let (code, next) = tries();
        if code != ConnectCode::Accepted {
            assert_eq!(code, ConnectCode::ServerUnavailable);
            break;
        }
        assert_eq!(holder.until_closed(), []);
        holder = next;
        taken += 1;
        assert!(taken <= ops::devices::presence::TAKEOVERS_PER_MINUTE_MAX);
    }
    assert_eq!(taken, ops::devices::presence::TAKEOVERS_PER_MINUTE_MAX);
    holder.publish(&one.events(), b"still mine").unwrap();
    // Another device of the same name's beginning is not concerned.
    plant.connects(&plant.ten).publish(&plant.ten.events(), b"mine").unwrap();
    let token = one.signature(world.now().plus_seconds(600));
    let mut amqp = Amqp::begin(world.wire(), &one.host, world.amqp_port());
    let (status, said) = amqp.puts_token(&format!("{}/devices/device1", one.host), &token);
    assert_eq!(status, 503, "{said}");
    world.pass_seconds(60);
    assert_eq!(tries().0, ConnectCode::Accepted);
    assert_eq!(holder.until_closed(), []);
    let told = waits_for(world, 68);
    let ends = told.iter().filter(|it| it.0["resultType"] == "400027").count();
    assert_eq!(ends, 31, "{told:#?}");
    let refused = told
        .iter()
        .filter(|it| it.0["operationName"] == "deviceConnect" && it.0["resultType"] != json!("0"));
    let refused: Vec<&Value> = refused.map(|it| &it.0["resultDescription"]).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
}
