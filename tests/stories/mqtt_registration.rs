//! Devices register over MQTT: the same calls as over HTTPS, judged the same, answered on topics.

use super::registration::{Fleet, is_denied_with_the_three_facts};
use serde_json::{Value, json};
use testkit::{Closed, Device, Mqtt};
use wire::mqtt::{Connect, ConnectCode, Packet, Qos};

const REGISTER: &str = "$dps/registrations/PUT/iotdps-register/";
const STATUS: &str = "$dps/registrations/GET/iotdps-get-operationstatus/";
pub const ANSWERS: &str = "$dps/registrations/res/#";

/// What came back: status, the query behind it, the body.
struct Told {
    status: u16,
    query: String,
    body: Value,
}

impl Fleet {
    pub fn greeting(&self, id: &str, password: &str) -> Connect {
        let query = "api-version=2019-03-31&ClientVersion=story%2F1.0";
        Connect {
            protocol_level: 4,
            clean_session: false,
            keep_alive_s: 60,
            client_id: id.to_owned(),
            will: None,
            user_name: Some(format!("{}/registrations/{id}/{query}", self.id_scope)),
            password: Some(model::Secret::new(password.as_bytes().to_vec())),
        }
    }

    fn opens_mqtt(&self) -> Mqtt {
        let origin = self.world.dps_origin(&self.dps);
        let host = origin.trim_start_matches("https://").split(':').next().unwrap().to_owned();
        Mqtt::open(self.world.wire(), &host, self.world.mqtt_port()).unwrap()
    }

    fn tries_mqtt(&self, id: &str, password: &str) -> (ConnectCode, Mqtt) {
        let mut mqtt = self.opens_mqtt();
        (mqtt.connect(self.greeting(id, password)).unwrap(), mqtt)
    }

    /// A device that is let in and listens for answers.
    fn connects_mqtt(&self, id: &str) -> Mqtt {
        self.connects_in(self.opens_mqtt(), id)
    }

    fn connects_in(&self, mut mqtt: Mqtt, id: &str) -> Mqtt {
        let password = self.signature(id, &self.derived(id));
        assert_eq!(mqtt.connect(self.greeting(id, &password)), Ok(ConnectCode::Accepted));
        let filters = vec![(ANSWERS.to_owned(), Qos::AtLeastOnce)];
        mqtt.send(&Packet::Subscribe { id: 1, filters }).unwrap();
        let granted = vec![Some(Qos::AtLeastOnce)];
        assert_eq!(mqtt.receive(), Ok(Packet::SubAck { id: 1, granted }));
        mqtt
    }

    /// Registers over MQTT and asks until it is decided.
    pub(super) fn registers_over_mqtt(&self, id: &str) -> Value {
        self.registers_in(self.opens_mqtt(), id)
    }

    /// The same over a connection that is open.
    pub(super) fn registers_in(&self, mqtt: Mqtt, id: &str) -> Value {
        asks_to_register(&mut self.connects_in(mqtt, id), id)
    }
}

/// Registers in a session that is open and listens, and asks until it is decided.
pub fn asks_to_register(mqtt: &mut Mqtt, id: &str) -> Value {
    let body = json!({ "registrationId": id }).to_string();
    let begun = asks(mqtt, &format!("{REGISTER}?$rid=a-1"), body.as_bytes()).unwrap();
    assert_eq!((begun.status, begun.body["status"].as_str()), (202, Some("assigning")));
    assert_eq!(begun.query, "$rid=a-1&retry-after=1");
    let operation = begun.body["operationId"].as_str().unwrap();
    let poll = format!("{STATUS}?$rid=b%202&operationId={operation}");
    let done = asks(mqtt, &poll, b" ").unwrap();
    assert_eq!((done.status, done.query.as_str()), (200, "$rid=b%202"));
    assert_eq!(done.body["operationId"], operation);
    done.body["registrationState"].clone()
}

/// Publishes a request and reads its answer, which comes behind the acknowledgement.
fn asks(mqtt: &mut Mqtt, topic: &str, body: &[u8]) -> Result<Told, Closed> {
    mqtt.publish(topic, body)?;
    let answer = mqtt.receive()?;
    let Packet::Publish(answer) = answer else { panic!("an answer was {answer:?}") };
    let rest = answer.topic.strip_prefix("$dps/registrations/res/").unwrap();
    let (status, query) = rest.split_once("/?").unwrap();
    Ok(Told {
        status: status.parse().unwrap(),
        query: query.to_owned(),
        body: serde_json::from_slice(&answer.payload).unwrap_or(Value::Null),
    })
}

#[test]
fn a_device_registers_over_mqtt_connects_to_its_hub_and_sends() {
    let fleet = Fleet::new();
    let state = fleet.registers_over_mqtt("pump-1");
    assert_eq!(state["status"], "assigned", "{state}");
    let hub = fleet.world.hub();
    let origin = fleet.world.hub_origin(&hub);
    assert_eq!(state["assignedHub"], origin.trim_start_matches("https://"));
    // The key by which it registered is the key by which it connects.
    let device = Device {
        id: state["deviceId"].as_str().unwrap().to_owned(),
        host: origin.trim_start_matches("https://").split(':').next().unwrap().to_owned(),
        key: fleet.derived("pump-1"),
        port: fleet.world.mqtt_port(),
    };
    let mut mqtt = device.connects(fleet.world.wire(), fleet.world.now().plus_seconds(600));
    mqtt.publish(&device.events(), b"here I am").unwrap();
    assert_eq!(&fleet.world.messages(&hub)[0].body[..], b"here I am");
    // Registering again over the other protocol finds the same.
    assert_eq!(fleet.registers("pump-1")["assignedHub"], state["assignedHub"]);
}

/// S0-40: the two principals stand in the trace, as over HTTPS.
#[test]
fn a_policy_stops_registrations_over_mqtt_and_devices_that_are_there_go_on() {
    let fleet = Fleet::new();
    let hub = fleet.world.hub();
    let known = fleet.world.device(&hub, "device10");
    let later = fleet.world.now().plus_seconds(600);
    let mut session = known.connects(fleet.world.wire(), later);
    let deny = json!({ "if": { "allOf": [
        { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
        { "field": "request.protocol", "equals": "mqtt" } ] }, "then": { "effect": "deny" } });
    fleet.world.define_policy("custom-security-policy-v2", &deny).expect(201);
    fleet.world.assign_policy("custom-security-policy-v2", &hub).expect(201);
    for number in 1..=3 {
        let state = fleet.registers_over_mqtt(&format!("pump-{number}"));
        is_denied_with_the_three_facts(&state);
        let told = fleet.world.explained(&Fleet::tracking(&state));
        let call = &told["decision"]["call"];
        assert_eq!(call["caller"]["objectId"], fleet.identity);
        assert_eq!(call["channel"]["protocol"], "mqtt");
        assert_eq!(call["channel"]["request"], format!("PUBLISH {REGISTER}"));
        assert_eq!(call["channel"]["onBehalfOf"]["name"], format!("pump-{number}"));
        session.publish(&known.events(), b"still here").unwrap();
    }
    let mut again = known.connects(fleet.world.wire(), later);
    again.publish(&known.events(), b"and back").unwrap();
    assert_eq!(fleet.world.messages(&hub).len(), 4);
    assert_eq!(fleet.registers("pump-1")["status"], "assigned", "the rule is for MQTT alone");
}

/// S0-43: a rule can stop the registration endpoint itself, by its path or topic, and the denial names it.
#[test]
fn a_rule_can_look_at_the_endpoint_that_a_device_registers_by() {
    let fleet = Fleet::new();
    let hub = fleet.world.hub();
    fleet.world.assign_policy("custom-security-policy-v2", &hub).expect(404);
    let rule = |endpoint: &str| {
        json!({ "if": { "allOf": [
            { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
            { "field": "request.endpoint", "like": endpoint } ] }, "then": { "effect": "deny" } })
    };
    let define = |endpoint: &str| {
        let name = "custom-security-policy-v2";
        fleet.world.define_policy(name, &rule(endpoint)).expect(201);
        fleet.world.assign_policy(name, &hub).expect(201);
    };
    define("$dps/registrations/PUT/*");
    let state = fleet.registers_over_mqtt("pump-1");
    is_denied_with_the_three_facts(&state);
    let told = fleet.world.explained(&Fleet::tracking(&state));
    let condition = &told["decision"]["steps"][1]["findings"][0]["conditions"][1];
    let seen = (&condition["expression"], &condition["expected"], &condition["actual"]);
    let expected = (json!("request.endpoint"), json!("$dps/registrations/PUT/*"), json!(REGISTER));
    assert_eq!(seen, (&expected.0, &expected.1, &expected.2), "{told:#}");
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");

    define("*/registrations/pump-2/register");
    let state = fleet.registers("pump-2");
    is_denied_with_the_three_facts(&state);
    let told = fleet.world.explained(&Fleet::tracking(&state));
    let condition = &told["decision"]["steps"][1]["findings"][0]["conditions"][1];
    let path = format!("/{}/registrations/pump-2/register", fleet.id_scope);
    assert_eq!(condition["actual"], path, "{told:#}");
    assert_eq!(fleet.registers("pump-20")["status"], "assigned");
    assert_eq!(fleet.registers_over_mqtt("pump-2")["status"], "assigned");
}

#[test]
fn only_its_own_key_lets_a_device_register_over_mqtt() {
    let fleet = Fleet::new();
    let refused = |id: &str, password: &str| {
        let (code, mut mqtt) = fleet.tries_mqtt(id, password);
        assert_eq!((code, mqtt.until_closed()), (ConnectCode::NotAuthorized, vec![]), "{id}");
    };
    refused("pump-1", &fleet.signature("pump-1", &fleet.derived("pump-10")));
    refused("pump-1", &fleet.signature("pump-10", &fleet.derived("pump-1")));
    refused("pump-10", &fleet.signature("pump-1", &fleet.derived("pump-1")));
    refused("pump-1", "");
    fleet.enroll("pumps", json!({ "provisioningStatus": "disabled" }));
    refused("pump-1", &fleet.signature("pump-1", &fleet.derived("pump-1")));
    fleet.enroll("pumps", json!({ "provisioningStatus": "enabled" }));

    // A session of one device registers no other, whatever its requests say, and asks for no other's.
    let begun = fleet.registers("pump-2");
    assert_eq!(begun["status"], "assigned");
    let mut mqtt = fleet.connects_mqtt("pump-1");
    let other = asks(&mut mqtt, &format!("{REGISTER}?$rid=1"), br#"{"registrationId":"pump-2"}"#);
    assert_eq!(other.unwrap().status, 400);
    let poll = format!("{STATUS}?$rid=2&operationId=4.0");
    assert_eq!(asks(&mut mqtt, &poll, b"").unwrap().status, 404);
    let broken = asks(&mut mqtt, &format!("{REGISTER}?$rid=3"), b"{").unwrap();
    assert_eq!((broken.status, broken.query.as_str()), (400, "$rid=3"));
    assert!(broken.body["message"].as_str().unwrap().contains("JSON"), "{}", broken.body);
    // The signature is asked for again with each request.
    fleet.world.pass_seconds(601);
    assert_eq!(asks(&mut mqtt, &format!("{REGISTER}?$rid=4"), b"{}").unwrap().status, 401);
    // What no service takes ends the connection.
    for topic in ["devices/pump-1/messages/events/", "$dps/registrations/PUT/iotdps-register/"] {
        let mut mqtt = fleet.connects_mqtt("pump-1");
        mqtt.publish_as(Qos::AtLeastOnce, topic, b"{}").unwrap();
        assert_eq!(mqtt.until_closed(), [], "{topic}");
    }
}
