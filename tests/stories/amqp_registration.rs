//! Devices register over AMQP: the same calls as over HTTPS, judged the same, answered over a link.

use super::registration::{Fleet, is_denied_with_the_three_facts};
use amqp::performative::Performative;
use amqp::{Body, Condition, Message, Outcome, Properties, Value as Amq};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use testkit::x509::{Certified, authority, leaf};
use testkit::{Amqp, Wire};

/// A device's connection with its two links.
pub(super) struct Registrant {
    amqp: Amqp,
    asks: u32,
}

impl Fleet {
    /// A connection behind SASL, which lets it in.
    fn opens_amqp(&self, mechanism: &str, response: Option<String>) -> Amqp {
        self.opens_amqp_by(self.world.wire(), mechanism, response)
    }

    /// A connection before SASL.
    pub(super) fn begins_amqp(&self, wire: &Wire) -> Amqp {
        let origin = self.world.dps_origin(&self.dps);
        let host = origin.trim_start_matches("https://").split(':').next().unwrap().to_owned();
        let mut amqp = Amqp::open(wire, &host, self.world.amqp_port()).unwrap();
        amqp.send_bytes(b"AMQP\x03\x01\0\0").unwrap();
        amqp
    }

    fn opens_amqp_by(&self, wire: &Wire, mechanism: &str, response: Option<String>) -> Amqp {
        let mut amqp = self.begins_amqp(wire);
        let response = response.map(Bytes::from);
        let init = Performative::Init { mechanism: mechanism.to_owned(), response, hostname: None };
        amqp.says(0, &init);
        let outcome = amqp.awaits(|it| matches!(it, Performative::Outcome(_)));
        assert!(matches!(outcome, Performative::Outcome(0)), "{outcome:?}");
        amqp.says_hello();
        amqp
    }

    fn plain(&self, id: &str, password: &str) -> Amqp {
        let response = format!("\0{}/registrations/{id}\0{password}", self.id_scope);
        self.opens_amqp("PLAIN", Some(response))
    }

    fn link(&self, id: &str) -> String {
        format!("{}/registrations/{id}", self.id_scope)
    }

    fn own_password(&self, id: &str) -> String {
        self.signature(id, &self.derived(id))
    }

    fn connects_amqp(&self, id: &str) -> Registrant {
        self.attaches(self.plain(id, &self.own_password(id)), id)
    }

    pub(super) fn attaches(&self, mut amqp: Amqp, id: &str) -> Registrant {
        amqp.receives(&self.link(id)).unwrap();
        let asks = amqp.sends_to(&self.link(id)).unwrap();
        Registrant { amqp, asks }
    }

    /// Registers over AMQP and asks until it is decided.
    pub(super) fn registers_over_amqp(&self, id: &str) -> Value {
        self.connects_amqp(id).registers(id)
    }
}

impl Registrant {
    fn registers(self, id: &str) -> Value {
        self.registers_saying(&json!({ "registrationId": id }))
    }

    pub(super) fn registers_saying(mut self, body: &Value) -> Value {
        let (begun, retry) = self.hears(&register(&body.to_string()));
        assert_eq!((begun["status"].as_str(), retry), (Some("assigning"), Some(1)));
        let operation = begun["operationId"].as_str().unwrap();
        let (done, retry) = self.hears(&polls(operation));
        assert_eq!((done["operationId"].as_str(), retry), (Some(operation), None));
        done["registrationState"].clone()
    }

    /// Asks, and reads the answer: its body, and after how many seconds to ask again.
    fn hears(&mut self, request: &Message) -> (Value, Option<i64>) {
        assert_eq!(self.amqp.sends(self.asks, request), Outcome::Accepted);
        let answer = self.amqp.hears().message;
        assert_eq!(answer.properties.correlation_id, request.properties.correlation_id);
        let number = |name: &str| answer.property(name).and_then(Amq::signed);
        assert!(matches!(number("iotdps-status"), Some(200 | 202)), "{answer:?}");
        let body = serde_json::from_slice(&answer.data().unwrap()).unwrap();
        assert_eq!(number("Retry-After"), number("retry-after"), "clients differ in its casing");
        (body, number("retry-after"))
    }

    /// Asks what is refused.
    fn is_refused(&mut self, request: &Message) -> Condition {
        let Outcome::Rejected(Some(why)) = self.amqp.sends(self.asks, request) else { panic!() };
        why
    }
}

fn request(properties: &[(&str, &str)], body: Body) -> Message {
    let pairs = properties.iter().map(|(name, it)| (Amq::string(*name), Amq::string(*it)));
    Message {
        properties: Properties {
            correlation_id: Amq::string("5cf6a0e2-0000-4000-8000-000000000001"),
            ..Properties::default()
        },
        application: pairs.collect(),
        body,
        ..Message::default()
    }
}

fn register(body: &str) -> Message {
    let data = Body::Data(vec![Bytes::from(body.to_owned())]);
    request(&[("iotdps-operation-type", "iotdps-register")], data)
}

fn polls(operation: &str) -> Message {
    let properties = [
        ("iotdps-operation-type", "iotdps-get-operationstatus"),
        ("iotdps-operation-id", operation),
    ];
    request(&properties, Body::Value(Amq::string("")))
}

/// The body that HTTPS would have.
fn body_of(why: &Condition) -> Value {
    serde_json::from_str(why.description.as_deref().unwrap()).unwrap()
}

fn tracking(why: &Condition) -> String {
    let id = why.info.iter().find(|(key, _)| key == "com.microsoft:tracking-id");
    id.and_then(|(_, it)| it.text()).unwrap().to_owned()
}

#[test]
fn a_device_registers_over_amqp_and_finds_its_hub() {
    let fleet = Fleet::new();
    let state = fleet.registers_over_amqp("pump-1");
    assert_eq!(state["status"], "assigned", "{state}");
    let origin = fleet.world.hub_origin(&fleet.world.hub());
    assert_eq!(state["assignedHub"], origin.trim_start_matches("https://"));
    // Registering again over another protocol finds the same.
    assert_eq!(fleet.registers("pump-1")["assignedHub"], state["assignedHub"]);
    assert_eq!(fleet.registers_over_mqtt("pump-1")["deviceId"], state["deviceId"]);
}

/// S0-40, S0-43: two principals, the protocol, and the address of the links stand in the trace, and a rule can
/// look at them.
#[test]
fn a_policy_stops_registrations_over_amqp() {
    let fleet = Fleet::new();
    let hub = fleet.world.hub();
    let define = |field: &str, value: &str| {
        let deny = json!({ "if": { "allOf": [
            { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
            { "field": field, "like": value } ] }, "then": { "effect": "deny" } });
        fleet.world.define_policy("custom-security-policy-v2", &deny).expect(201);
        fleet.world.assign_policy("custom-security-policy-v2", &hub).expect(201);
    };
    define("request.protocol", "amqp");
    let state = fleet.registers_over_amqp("pump-1");
    is_denied_with_the_three_facts(&state);
    let told = fleet.world.explained(&Fleet::tracking(&state));
    let call = &told["decision"]["call"];
    assert_eq!(call["caller"]["objectId"], fleet.identity);
    assert_eq!(call["channel"]["protocol"], "amqp");
    assert_eq!(call["channel"]["request"], format!("PUT /{}", fleet.link("pump-1")));
    assert_eq!(call["channel"]["onBehalfOf"]["name"], "pump-1");
    assert_eq!(fleet.registers("pump-1")["status"], "assigned", "the rule is for AMQP alone");
    define("request.endpoint", "*/registrations/pump-2");
    is_denied_with_the_three_facts(&fleet.registers_over_amqp("pump-2"));
    assert_eq!(fleet.registers_over_amqp("pump-20")["status"], "assigned");
}

/// Every refusal has its reason, and the id under which it can be asked for.
#[test]
fn only_its_own_key_lets_a_device_register_over_amqp() {
    let fleet = Fleet::new();
    let refused = |amqp: Amqp, id: &str, word: &str| {
        let mut device = fleet.attaches(amqp, id);
        for request in [register("{}"), polls("4.0")] {
            let why = device.is_refused(&request);
            assert_eq!(why.condition, "amqp:unauthorized-access", "{id}");
            let body = body_of(&why);
            assert_eq!(body["errorCode"], 401_002, "{body}");
            assert!(body["message"].as_str().unwrap().contains(word), "{word}: {body}");
            assert_eq!(body["trackingId"], tracking(&why));
            fleet.world.explained(&tracking(&why));
        }
    };
    let (own, other) = (fleet.own_password("pump-1"), fleet.own_password("pump-10"));
    let unfit = "the signature fits no device or enrollment";
    let keys = [fleet.derived("pump-10"), super::registration::GROUP_KEY.to_vec()];
    for key in keys {
        refused(fleet.plain("pump-1", &fleet.signature("pump-1", &key)), "pump-1", unfit);
    }
    refused(fleet.plain("pump-1", &other), "pump-1", unfit);
    refused(fleet.plain("pump-1", "secret"), "pump-1", "cannot be read");
    refused(fleet.opens_amqp("ANONYMOUS", None), "pump-1", "");
    // What was shown for one is not shown for its namesake, nor elsewhere.
    refused(fleet.plain("pump-1", &own), "pump-10", "");
    let mut amqp = fleet.plain("pump-1", &own);
    assert!(amqp.sends_to("/messages/devicebound").is_err());
    assert!(amqp.sends_to("/devices/pump-1/messages/events").is_err());
    let late = fleet.world.now().plus_seconds(-1);
    let resource = wire::sas::resource_text(&fleet.link("pump-1"));
    let late = wire::sas::sign(&resource, &fleet.derived("pump-1"), late, Some("registration"));
    refused(fleet.plain("pump-1", &late), "pump-1", "expired");
    fleet.enroll("pumps", json!({ "provisioningStatus": "disabled" }));
    refused(fleet.plain("pump-1", &own), "pump-1", "disabled");
    fleet.enroll("pumps", json!({ "provisioningStatus": "enabled" }));

    // A session of one device registers no other, whatever its requests say, and asks for no other's.
    assert_eq!(fleet.registers("pump-2")["status"], "assigned");
    let mut device = fleet.connects_amqp("pump-1");
    let other = device.is_refused(&register(r#"{"registrationId":"pump-2"}"#));
    assert_eq!(other.condition, "com.microsoft:argument-error", "{other:?}");
    let unknown = device.is_refused(&polls("4.0"));
    assert_eq!(unknown.condition, "amqp:not-found", "{unknown:?}");
    let broken = device.is_refused(&register("{"));
    assert!(broken.description.unwrap().contains("JSON"));
    let none = device.is_refused(&request(&[("iotdps-operation-type", "x")], Body::Empty));
    assert!(none.description.unwrap().contains("iotdps-operation-type"));
    // Who is disabled meanwhile is refused with the next request.
    fleet.enroll("pumps", json!({ "provisioningStatus": "disabled" }));
    let disabled = device.is_refused(&register("{}"));
    assert!(disabled.description.clone().unwrap().contains("disabled"), "{disabled:?}");
    tracking(&disabled);
}

/// What a certificate opens over HTTPS and MQTT, it opens over AMQP: for the device that it names, whichever
/// mechanism leads in, and for nobody else.
#[test]
fn a_device_registers_over_amqp_with_the_certificate_of_its_handshake() {
    let fleet = Fleet::new();
    let now = fleet.world.now();
    let root = Certified::by_itself(authority("Plant CA", now));
    let signing = json!({ "signingCertificates": {
        "primary": { "certificate": STANDARD.encode(root.der()) } } });
    fleet.enroll("line", json!({ "attestation": { "type": "x509", "x509": signing } }));
    let wire = |id: &str, above: &Certified| {
        fleet.world.wire().showing(&Certified::by(leaf(id, now), above))
    };
    for (mechanism, id) in [("EXTERNAL", "valve-1"), ("ANONYMOUS", "valve-2")] {
        let amqp = fleet.opens_amqp_by(&wire(id, &root), mechanism, None);
        let state = fleet.attaches(amqp, id).registers(id);
        assert_eq!(state["status"], "assigned", "{state}");
        assert_eq!(state["x509"]["enrollmentGroupId"], "line");
    }
    let stranger = Certified::by_itself(authority("Plant CA", now));
    for (shown, above, word) in [("valve-10", &root, "for `valve-10`"), ("valve-1", &stranger, "")]
    {
        let amqp = fleet.opens_amqp_by(&wire(shown, above), "EXTERNAL", None);
        let mut device = fleet.attaches(amqp, "valve-1");
        let why = device.is_refused(&register("{}"));
        assert_eq!(body_of(&why)["errorCode"], 401_002, "{why:?}");
        let explained = fleet.world.explained(&tracking(&why));
        let reason = explained["decision"]["steps"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(word), "{reason}");
    }
    // Whoever signs is who its signature says, whatever its handshake has shown.
    let plain = format!("\0{}\0{}", fleet.link("pump-1"), fleet.own_password("pump-1"));
    let amqp = fleet.opens_amqp_by(&wire("valve-1", &root), "PLAIN", Some(plain));
    let mut device = fleet.attaches(amqp, "valve-1");
    assert_eq!(body_of(&device.is_refused(&register("{}")))["errorCode"], 401_002);
}

/// Threat 12: the links end with the signature that they came by.
#[test]
fn a_registrations_links_end_with_its_signature() {
    let fleet = Fleet::new();
    let password = fleet.signature("pump-1", &fleet.derived("pump-1"));
    let mut amqp = fleet.plain("pump-1", &password);
    let link = amqp.sends_to(&fleet.link("pump-1")).unwrap();
    fleet.world.pass_seconds(601);
    let mut device = Registrant { amqp, asks: link };
    let expired = device.is_refused(&register("{}"));
    assert!(expired.description.unwrap().contains("expired"));
    let over = device.amqp.loses(link);
    assert_eq!(over.condition, "amqp:unauthorized-access");
    assert!(over.description.unwrap().contains("expired"));
}

/// Threat 8 over AMQP: whoever goes on guessing has to connect anew.
#[test]
fn whoever_guesses_keys_to_register_by_is_closed() {
    let fleet = Fleet::new();
    let amqp = fleet.plain("pump-1", &fleet.signature("pump-1", &[0; 32]));
    let mut device = fleet.attaches(amqp, "pump-1");
    for _ in 0..15 {
        device.is_refused(&register("{}"));
    }
    device.amqp.transfers(device.asks, register("{}").write(), 0, false);
    assert_eq!(device.amqp.until_closed().unwrap().condition, "amqp:unauthorized-access");
    // Who is known may ask for what is not there as often as it likes.
    let mut device = fleet.connects_amqp("pump-1");
    assert_eq!(device.hears(&register("{}")).0["status"], "assigning");
    for _ in 0..20 {
        device.is_refused(&polls("4.0"));
    }
    device.hears(&register("{}"));
}
