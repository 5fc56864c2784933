//! What devices try with messages: to hear those of others, and to say what only the hub can know.

use super::namesakes::Namesakes;
use amqp::{Body, Message, Outcome, Value as Amq};
use bytes::Bytes;
use serde_json::json;
use testkit::Amqp;
use wire::mqtt::{Packet, Qos};

const API: &str = "api-version=2021-04-12";
/// What the hub says of a message itself.
const OWN: [&str; 8] = [
    "iothub-connection-device-id",
    "iothub-connection-module-id",
    "iothub-connection-auth-method",
    "iothub-connection-auth-generation-id",
    "iothub-enqueuedtime",
    "iothub-message-source",
    "x-opt-sequence-number",
    "X-OPT-Enqueued-Time",
];

impl Namesakes {
    fn sends(&self, device: &str, text: &str) {
        let path = format!("/devices/{device}/messages/deviceBound");
        let body =
            json!({ "body": text, "base64Encoded": false, "messageId": text, "ack": "none" });
        self.world.hub_by_key("service", "POST", &self.hub, &path, &[], &body).expect(204);
    }

    /// Whether a message of these properties is taken over MQTT, AMQP and HTTPS.
    fn takes(&self, properties: &[(String, &str)]) -> [bool; 3] {
        let mut mqtt = self.connects(&self.one);
        let bag: Vec<String> = properties
            .iter()
            .map(|(name, it)| format!("{}={it}", name.replace('$', "%24").replace(' ', "%20")))
            .collect();
        let topic = format!("{}{}", self.one.events(), bag.join("&"));
        let by_mqtt = mqtt.publish(&topic, b"mqtt").is_ok();
        drop(mqtt);

        let token = self.one.signature(self.world.now().plus_seconds(600));
        let mut amqp = Amqp::begin(self.world.wire(), &self.one.host, self.world.amqp_port());
        amqp.puts_token(&format!("{}/devices/device1", self.one.host), &token);
        let link = amqp.sends_to("/devices/device1/messages/events").unwrap();
        let pairs =
            properties.iter().map(|(name, it)| (Amq::string(name.as_str()), Amq::string(*it)));
        let message = Message {
            application: pairs.collect(),
            body: Body::Data(vec![Bytes::from_static(b"amqp")]),
            ..Message::default()
        };
        let by_amqp = amqp.sends(link, &message) == Outcome::Accepted;

        // Heads are bounded before properties are: a batch says the same in its body.
        let named = properties.iter().map(|(name, it)| (format!("iothub-app-{name}"), json!(it)));
        let named: serde_json::Map<_, _> = named.collect();
        let batch = json!([{ "body": "aHR0cHM=", "properties": named }]).to_string();
        let url =
            format!("{}/devices/device1/messages/events?{API}", self.world.hub_origin(&self.hub));
        let headers = [
            ("Authorization", token.as_str()),
            ("Content-Type", "application/vnd.microsoft.iothub.json"),
        ];
        let answer = self.world.wire().send("POST", &url, &headers, batch.as_bytes());
        assert!([204, 400].contains(&answer.status), "{answer:?}");
        [by_mqtt, by_amqp, answer.status == 204]
    }
}

/// Threat 33: whatever a device asks to hear, it hears what is for it; each refused filter is told, and the others
/// of the same packet count.
#[test]
fn a_device_hears_nothing_of_another_whatever_it_subscribes_to() {
    let plant = Namesakes::new();
    let mut ten = plant.connects(&plant.ten);
    let foreign = [
        "devices/device1/messages/devicebound/#",
        "devices/+/messages/devicebound/#",
        "devices/device1/#",
        "devices/#",
        "devices/device10/../device1/messages/devicebound/#",
        "devices/device1/modules/m/#",
        "$iothub/#",
        "$SYS/#",
        "#",
        "+/+/messages/#",
    ];
    let own = "devices/device10/messages/devicebound/#";
    let filters: Vec<(String, Qos)> =
        foreign.iter().chain([&own]).map(|it| ((*it).to_owned(), Qos::AtLeastOnce)).collect();
    ten.send(&Packet::Subscribe { id: 7, filters }).unwrap();
    let mut granted = vec![None; foreign.len()];
    granted.push(Some(Qos::AtLeastOnce));
    assert_eq!(ten.receive(), Ok(Packet::SubAck { id: 7, granted }));
    plant.sends("device1", "for one");
    plant.sends("device10", "for ten");
    assert_eq!(ten.hears().2, "for ten");
    ten.send(&Packet::PingReq).unwrap();
    assert_eq!(ten.receive(), Ok(Packet::PingResp));
    let mut one = plant.connects(&plant.one);
    one.subscribes("devices/device1/messages/devicebound/#", Qos::AtMostOnce);
    assert_eq!(one.hears().2, "for one");
}

/// Threat 41: a hundred properties and not one more, and none that says what only the hub can know.
#[test]
fn a_message_has_so_many_properties_and_none_of_the_hubs_own() {
    let plant = Namesakes::new();
    let many = |count: usize| -> Vec<(String, &str)> {
        (0..count).map(|it| (format!("p{it}"), "x")).collect()
    };
    assert_eq!(plant.takes(&many(100)), [true; 3]);
    assert_eq!(plant.takes(&many(101)), [false; 3]);
    assert_eq!(plant.takes(&many(2_000)), [false; 3]);
    for name in OWN {
        assert_eq!(plant.takes(&[(name.to_owned(), "device10")]), [false; 3], "{name}");
    }
    assert_eq!(plant.takes(&[("iothub-connection".to_owned(), "x")]), [true; 3]);
    assert_eq!(plant.takes(&[("n".repeat(1_024), "x")]), [true; 3]);
    assert_eq!(plant.takes(&[("n".repeat(1_025), "x")]), [false; 3]);
    let all = plant.world.messages(&plant.hub);
    assert_eq!(all.len(), 9);
    assert!(all.iter().all(|it| it.device == "device1"));
}
