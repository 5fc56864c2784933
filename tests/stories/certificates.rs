//! Devices that prove themselves with certificates of their own: told by thumbprints, at their own time, and by
//! nothing else.

use front::tls::{CLIENT_CERTIFICATES_BYTES_MAX, CLIENT_CERTIFICATES_MAX};
use model::Gate;
use ops::devices::message::AuthMethod;
use rcgen::SanType;
use serde_json::{Value, json};
use testkit::x509::{Certified, authority, between, leaf};
use testkit::{Amqp, Closed, Device, Mqtt, Wire, World};
use wire::mqtt::{Connect, ConnectCode};

const DAY_S: i64 = 86_400;

pub struct Plant {
    pub world: World,
    pub hub: String,
}

impl Plant {
    pub fn new() -> Self {
        let world = World::new();
        Self { hub: world.hub(), world }
    }

    /// A device with these thumbprints.
    fn device(&self, id: &str, primary: &str, secondary: Option<&str>) -> Device {
        let known = json!({ "primaryThumbprint": primary, "secondaryThumbprint": secondary });
        let body = json!({ "authentication": { "type": "selfSigned", "x509Thumbprint": known } });
        self.world.device_with(&self.hub, id, &body)
    }

    fn own(&self, name: &str) -> Certified {
        Certified::by_itself(leaf(name, self.world.now()))
    }

    #[track_caller]
    pub fn connects(&self, device: &Device, certified: &Certified) -> Mqtt {
        let began = self.world.now();
        let wire = self.world.wire().showing(certified);
        let (code, mqtt) = device.tries(&wire, device.silent_greeting()).unwrap();
        assert_eq!(code, ConnectCode::Accepted, "{:?}", self.world.refusals(began));
        mqtt
    }

    /// Tries to connect; why the first gate refused.
    #[track_caller]
    pub fn refuses(&self, device: &Device, certified: &Certified) -> String {
        let wire = self.world.wire().showing(certified);
        self.refuses_greeting(device, &wire, device.silent_greeting())
    }

    #[track_caller]
    pub fn refuses_greeting(&self, device: &Device, wire: &Wire, greeting: Connect) -> String {
        // Many refusals of one device within a minute are kept as one.
        self.world.pass_seconds(61);
        let (code, mut mqtt) = device.tries(wire, greeting).unwrap();
        assert_eq!(code, ConnectCode::NotAuthorized);
        assert_eq!(mqtt.until_closed(), []);
        let kept = self.world.refusals(self.world.now());
        let [trace] = kept.as_slice() else { panic!("{kept:?}") };
        assert_eq!(trace.outcome.gate, Some(Gate::Authentication));
        trace.steps[0].reason.clone()
    }

    pub fn changes(&self, device: &str, body: &Value) {
        let (path, headers) = (format!("/devices/{device}"), [("If-Match", "*")]);
        let answer = self.world.hub_by_key("iothubowner", "PUT", &self.hub, &path, &headers, body);
        answer.expect(200);
    }
}

fn with_thumbprint(hex: &str) -> Value {
    json!({ "authentication": { "type": "selfSigned", "x509Thumbprint": { "primaryThumbprint": hex } } })
}

/// S2-05. Both hashes, both places, and with keys switched off; what is sent says how its sender was proven.
#[test]
fn a_device_connects_with_a_certificate_whose_thumbprint_is_its_primary_or_secondary() {
    let plant = Plant::new();
    let (one, two) = (plant.own("pump-1"), plant.own("anything at all"));
    let (sha1, sha256) = (one.thumbprints().sha1, two.thumbprints().sha256);
    let spaced: Vec<String> =
        sha1.as_bytes().chunks(2).map(|it| String::from_utf8(it.to_vec()).unwrap()).collect();
    let written = spaced.join(":").to_lowercase();
    let pump = plant.device("pump-1", &written, Some(&sha256));
    plant.connects(&pump, &one).publish(&pump.events(), b"by SHA-1").unwrap();
    let off = json!({ "properties": { "disableDeviceSAS": true } });
    plant.world.arm("PATCH", &plant.hub, &off).expect(200);
    plant.connects(&pump, &two).publish(&pump.events(), b"by SHA-256").unwrap();
    let kept = plant.world.messages(&plant.hub);
    let said: Vec<(&[u8], AuthMethod)> = kept.iter().map(|it| (&it.body[..], it.auth)).collect();
    let expected: [(&[u8], AuthMethod); 2] = [
        (b"by SHA-1", AuthMethod::DeviceCertificate),
        (b"by SHA-256", AuthMethod::DeviceCertificate),
    ];
    assert_eq!(said, expected);
    assert!(kept[0].auth.annotation().unwrap().contains(r#""type":"x509""#));
}

/// Threats 20, 22: each for its own reason, which only the trace tells.
#[test]
fn a_certificate_that_is_not_the_devices_own_or_not_of_its_time_is_refused_with_the_reason() {
    let plant = Plant::new();
    let now = plant.world.now();
    let (own, other) = (plant.own("device1"), plant.own("device1"));
    let one = plant.device("device1", &own.thumbprints().sha256, None);
    let ten = plant.device("device10", &other.thumbprints().sha1, None);

    let reason = plant.refuses(&one, &other);
    assert!(reason.starts_with("the thumbprint does not match"), "{reason}");
    let hashes = [own.thumbprints().sha256, other.thumbprints().sha256, other.thumbprints().sha1];
    for hash in &hashes {
        assert!(reason.contains(hash.as_str()), "{reason}");
    }
    assert!(plant.refuses(&ten, &own).contains("does not match"));
    // One that a CA has signed for the device is no more its own than another.
    let ca = Certified::by_itself(authority("Plant CA", now));
    let signed = Certified::by(leaf("device1", now), &ca);
    assert!(plant.refuses(&one, &signed).contains("does not match"));

    let lives = |from: i64, until: i64| {
        let params = between("device1", now.plus_seconds(from), now.plus_seconds(until));
        Certified::by_itself(params)
    };
    let (ended, early) = (lives(-2 * DAY_S, -DAY_S), lives(DAY_S, 2 * DAY_S));
    for (certified, word) in [(ended, "ended at"), (early, "is not valid before")] {
        plant.changes("device1", &with_thumbprint(&certified.thumbprints().sha1));
        let reason = plant.refuses(&one, &certified);
        assert!(reason.contains(word), "{reason}");
    }
    plant.changes(
        "device1",
        &json!({ "status": "disabled", "authentication":
        with_thumbprint(&own.thumbprints().sha1)["authentication"] }),
    );
    assert_eq!(plant.refuses(&one, &own), "the device is disabled");
    // Who shows nothing at all is told what there is to show.
    let nothing = plant.refuses_greeting(&one, plant.world.wire(), one.silent_greeting());
    assert_eq!(nothing, "neither a signature nor a certificate");
}

/// Threat 19: a device has one way to prove itself, and only that is tried.
#[test]
fn a_device_of_keys_takes_no_certificate_and_one_of_certificates_no_key() {
    let plant = Plant::new();
    let own = plant.own("device1");
    let mut sas = plant.world.device(&plant.hub, "device1");
    let reason = plant.refuses(&sas, &own);
    assert!(reason.contains("proves itself with keys"), "{reason}");
    // A client may show a certificate beside its signature, which alone counts then.
    let later = plant.world.now().plus_seconds(600);
    let showing = plant.world.wire().showing(&own);
    sas.connects(&showing, later).publish(&sas.events(), b"by key").unwrap();
    assert_eq!(plant.world.messages(&plant.hub)[0].auth, AuthMethod::DeviceKey);

    // The keys that it had end with the type, though its client goes on signing with them.
    plant.changes("device1", &with_thumbprint(&own.thumbprints().sha1));
    let later = plant.world.now().plus_seconds(600);
    let signed = sas.greeting(&sas.signature(later));
    let reason = plant.refuses_greeting(&sas, &showing, signed);
    assert!(reason.contains("proves itself with a certificate"), "{reason}");
    sas.key = vec![0; 32];
    let unsigned = sas.greeting(&sas.signature(plant.world.now().plus_seconds(600)));
    plant.refuses_greeting(&sas, plant.world.wire(), unsigned);
    plant.connects(&sas, &own);

    // And nobody at all learns nothing.
    plant.world.pass_seconds(61);
    let nobody = sas.called("device2");
    let (code, _) = nobody.tries(&showing, nobody.silent_greeting()).unwrap();
    assert_eq!(code, ConnectCode::NotAuthorized);
}

#[test]
fn a_session_ends_with_the_certificate_that_opened_it_or_with_its_thumbprint() {
    let plant = Plant::new();
    let now = plant.world.now();
    let short = Certified::by_itself(between("pump-1", now, now.plus_seconds(600)));
    let pump = plant.device("pump-1", &short.thumbprints().sha1, None);
    let mut mqtt = plant.connects(&pump, &short);
    plant.world.pass_seconds(600);
    mqtt.publish(&pump.events(), b"in its last second").unwrap();
    plant.world.pass_seconds(1);
    assert_eq!(mqtt.publish(&pump.events(), b"too late"), Err(Closed));

    let own = plant.own("pump-1");
    plant.changes("pump-1", &with_thumbprint(&own.thumbprints().sha1));
    let mut mqtt = plant.connects(&pump, &own);
    plant.changes("pump-1", &with_thumbprint(&short.thumbprints().sha1));
    assert_eq!(mqtt.until_closed(), []);
    assert_eq!(plant.world.messages(&plant.hub).len(), 1);
}

/// Threat 24: what a peer may make the handshake carry is bounded, and a chain within the bounds is read.
#[test]
fn a_client_that_shows_too_much_ends_in_the_handshake() {
    let plant = Plant::new();
    let now = plant.world.now();
    let own = plant.own("pump-1");
    let pump = plant.device("pump-1", &own.thumbprints().sha1, None);
    let mut long = Certified::by_itself(authority("0", now));
    for number in 1..CLIENT_CERTIFICATES_MAX {
        let is_last = number + 1 == CLIENT_CERTIFICATES_MAX;
        let name = if is_last { "pump-1".to_owned() } else { number.to_string() };
        long = Certified::by(authority(&name, now), &long);
    }
    assert_eq!(long.chain().len(), CLIENT_CERTIFICATES_MAX);
    assert!(plant.refuses(&pump, &long).contains("does not match"));
    let longer = Certified::by(leaf("pump-1", now), &long);
    let mut wide = leaf("pump-1", now);
    wide.subject_alt_names = (0..1_000)
        .map(|it| SanType::DnsName(format!("name-{it:04}.example").try_into().unwrap()))
        .collect();
    let wide = Certified::by_itself(wide);
    assert!(wide.der().len() > CLIENT_CERTIFICATES_BYTES_MAX);
    for burden in [longer, wide] {
        let wire = plant.world.wire().showing(&burden);
        assert!(pump.tries(&wire, pump.silent_greeting()).is_err());
    }
    plant.connects(&pump, &own);
}

/// S2-05. What a certificate opens over MQTT, it opens over AMQP, without a token, and over HTTPS.
#[test]
fn a_certificate_proves_its_device_over_amqp_and_https() {
    let plant = Plant::new();
    let (own, other) = (plant.own("device1"), plant.own("device10"));
    let device = plant.device("device1", &own.thumbprints().sha256, None);
    plant.device("device10", &other.thumbprints().sha256, None);
    let address = "/devices/device1/messages/events";
    let message = amqp::Message {
        body: amqp::Body::Data(vec![b"over AMQP".to_vec().into()]),
        ..amqp::Message::default()
    };
    let url = plant.world.hub_url(&plant.hub, address);

    let wire = plant.world.wire().showing(&own);
    let mut amqp = Amqp::begin(&wire, &device.host, plant.world.amqp_port());
    let link = amqp.sends_to(address).unwrap();
    assert_eq!(amqp.sends(link, &message), amqp::Outcome::Accepted);
    wire.send("POST", &url, &[], b"over HTTPS").expect(204);

    let wire = plant.world.wire().showing(&other);
    let mut amqp = Amqp::begin(&wire, &device.host, plant.world.amqp_port());
    let refused = amqp.sends_to(address).unwrap_err();
    assert_eq!(refused.condition, "amqp:unauthorized-access");
    assert_eq!(wire.send("POST", &url, &[], b"foreign").status, 401);

    let kept = plant.world.messages(&plant.hub);
    let mut said: Vec<(&[u8], AuthMethod)> =
        kept.iter().map(|it| (&it.body[..], it.auth)).collect();
    said.sort_by_key(|it| it.0);
    let shown = AuthMethod::DeviceCertificate;
    assert_eq!(said, [(&b"over AMQP"[..], shown), (&b"over HTTPS"[..], shown)]);
}
