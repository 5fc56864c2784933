//! Devices that register with a TPM, over HTTPS and AMQP: each is sent a key that its TPM alone opens, signs with it, and gets
//! the key of its hub the same way.

use super::registration::Fleet;
use amqp::performative::Performative;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::LazyLock;
use testkit::tpm::Tpm;
use testkit::{Amqp, Answer, Device};

/// Making their keys takes a while.
static TPMS: LazyLock<[Tpm; 2]> = LazyLock::new(|| [Tpm::new(), Tpm::new()]);

/// What a device with this TPM says when it registers.
fn says(id: &str, tpm: &Tpm) -> Value {
    json!({ "registrationId": id, "tpm": {
        "endorsementKey": tpm.endorsement_key(), "storageRootKey": tpm.storage_root_key() } })
}

impl Fleet {
    fn enrolls_tpm(&self, id: &str, tpm: &Tpm, more: Value) -> Answer {
        let keys = json!({ "endorsementKey": tpm.endorsement_key() });
        let mut body = json!({ "attestation": { "type": "tpm", "tpm": keys } });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.call(&self.key(), "PUT", &format!("/enrollments/{id}"), &body)
    }

    fn path(&self, id: &str, below: &str) -> String {
        format!("/{}/registrations/{id}{below}", self.id_scope)
    }

    /// Asks without a signature.
    fn asks(&self, id: &str, tpm: &Tpm) -> Answer {
        let path = self.path(id, "/register");
        self.world.dps_with(&[], "PUT", &self.dps, &path, &says(id, tpm)).expect(401)
    }

    /// The key that the device is sent.
    #[track_caller]
    fn is_sent(&self, id: &str, tpm: &Tpm) -> Vec<u8> {
        let told = self.asks(id, tpm);
        assert_eq!(told.body["keyName"], "registration", "{told:?}");
        tpm.activates(told.body["authenticationKey"].as_str().unwrap()).unwrap()
    }

    fn answers(&self, id: &str, tpm: &Tpm, key: &[u8]) -> Answer {
        self.call(&self.signature(id, key), "PUT", &self.path(id, "/register"), &says(id, tpm))
    }

    fn ends(&self, id: &str, key: &[u8], begun: &Answer) -> Value {
        let operation = begun.body["operationId"].as_str().unwrap();
        let path = self.path(id, &format!("/operations/{operation}"));
        let done = self.call(&self.signature(id, key), "GET", &path, &Value::Null).expect(200);
        done.body["registrationState"].clone()
    }
}

/// The whole way: enrolled, challenged, activated, assigned, and connected with the key that its TPM holds then.
#[test]
fn a_tpm_opens_what_it_is_sent_registers_and_connects() {
    let fleet = Fleet::new();
    let [tpm, _] = &*TPMS;
    let made = fleet.enrolls_tpm("pump-1", tpm, json!({ "deviceId": "first" })).expect(200);
    let shown = &made.body["attestation"];
    assert_eq!(shown["type"], "tpm");
    assert_eq!(shown["tpm"]["endorsementKey"], tpm.endorsement_key());

    let told = fleet.asks("pump-1", tpm);
    assert_eq!(
        (told.body["message"].as_str(), told.body["errorCode"].as_u64()),
        (Some("Authorization required"), Some(401_002))
    );
    // It is a refusal like any other, with a decision behind it.
    let explained = fleet.world.explained(&told.tracking());
    assert_eq!(explained["decision"]["outcome"]["gate"], "authentication");
    let key = fleet.is_sent("pump-1", tpm);
    assert!(!explained.to_string().contains(told.body["authenticationKey"].as_str().unwrap()));
    let begun = fleet.answers("pump-1", tpm, &key).expect(202);
    let state = fleet.ends("pump-1", &key, &begun);
    assert_eq!((&state["status"], &state["deviceId"]), (&json!("assigned"), &json!("first")));
    let hub_key = tpm.activates(state["tpm"]["authenticationKey"].as_str().unwrap()).unwrap();
    assert_ne!(hub_key, key);
    let host = state["assignedHub"].as_str().unwrap().split(':').next().unwrap().to_owned();
    let device = Device { id: "first".into(), host, key: hub_key, port: fleet.world.mqtt_port() };
    let until = fleet.world.now().plus_seconds(600);
    device.connects(fleet.world.wire(), until).publish(&device.events(), b"here I am").unwrap();
    // What the service shows is without the key.
    let seen = fleet.call(&fleet.key(), "GET", "/registrations/pump-1", &Value::Null).expect(200);
    assert_eq!(seen.body.get("tpm"), None);

    // Registering again gives it another key, and ends the one before.
    let key = fleet.is_sent("pump-1", tpm);
    let begun = fleet.answers("pump-1", tpm, &key).expect(202);
    let again = fleet.ends("pump-1", &key, &begun);
    let next = tpm.activates(again["tpm"]["authenticationKey"].as_str().unwrap()).unwrap();
    let (code, _) =
        device.tries(fleet.world.wire(), device.greeting(&device.signature(until))).unwrap();
    assert_eq!(code, wire::mqtt::ConnectCode::NotAuthorized);
    Device { key: next, ..device }.connects(fleet.world.wire(), until);
}

/// Threat 30: a key is for one registration, for a while, and begins it once.
#[test]
fn a_key_that_a_tpm_was_sent_counts_once_and_for_a_while_and_for_its_registration() {
    let mut fleet = Fleet::new();
    let [tpm, other] = &*TPMS;
    fleet.enrolls_tpm("pump-1", tpm, json!({})).expect(200);
    fleet.enrolls_tpm("pump-10", other, json!({})).expect(200);
    let key = fleet.is_sent("pump-1", tpm);
    // Asked again, the key is the same: who asks in the device's name takes nothing from it.
    assert_eq!(fleet.is_sent("pump-1", tpm), key);
    let theirs = fleet.is_sent("pump-10", other);
    assert_ne!(theirs, key);
    fleet.answers("pump-1", tpm, &theirs).expect(401);
    fleet.answers("pump-10", other, &key).expect(401);
    fleet.answers("pump-1", other, &key).expect(409);
    let begun = fleet.answers("pump-1", tpm, &key).expect(202);
    fleet.answers("pump-1", tpm, &key).expect(401);
    // It goes on telling what became of the registration, until it ends.
    assert_eq!(fleet.ends("pump-1", &key, &begun)["status"], "assigned");
    fleet.world.pass_seconds(600);
    let operation = begun.body["operationId"].as_str().unwrap();
    let path = fleet.path("pump-1", &format!("/operations/{operation}"));
    fleet.call(&fleet.signature("pump-1", &key), "GET", &path, &Value::Null).expect(401);
    fleet.answers("pump-10", other, &theirs).expect(401);
    let fresh = fleet.is_sent("pump-10", other);
    assert_ne!(fresh, theirs);
    fleet.world.pass_seconds(599);
    fleet.answers("pump-10", other, &fresh).expect(202);
    // None outlives the process.
    let last = fleet.is_sent("pump-1", tpm);
    fleet.world.restart();
    fleet.answers("pump-1", tpm, &last).expect(401);
    let key = fleet.is_sent("pump-1", tpm);
    fleet.answers("pump-1", tpm, &key).expect(202);
}

/// Nobody is sent a key but who names the TPM that is enrolled, and nobody else opens it.
#[test]
fn only_the_enrolled_tpm_is_sent_a_key() {
    let fleet = Fleet::new();
    let [tpm, other] = &*TPMS;
    fleet.enrolls_tpm("pump-1", tpm, json!({})).expect(200);
    let nothing = |id: &str, tpm: &Tpm| {
        let told = fleet.asks(id, tpm);
        assert_eq!(told.body.get("authenticationKey"), None, "{told:?}");
        told.body["message"].as_str().unwrap().to_owned()
    };
    let message = nothing("pump-1", other);
    assert_eq!(nothing("pump-2", tpm), message, "nobody learns who is enrolled");
    let told = fleet.asks("pump-1", tpm);
    let sent = told.body["authenticationKey"].as_str().unwrap();
    assert_eq!(other.activates(sent), None);
    // Right endorsement key, another storage root key: the TPM does not open it.
    let mut mixed = says("pump-1", tpm);
    mixed["tpm"]["storageRootKey"] = json!(other.storage_root_key());
    let told =
        fleet.world.dps_with(&[], "PUT", &fleet.dps, &fleet.path("pump-1", "/register"), &mixed);
    let sent = told.body["authenticationKey"].as_str().unwrap();
    assert_eq!((tpm.activates(sent), other.activates(sent)), (None, None));
    for body in
        [json!({}), json!({ "tpm": {} }), json!({ "tpm": { "endorsementKey": "AAAA" } }), json!([])]
    {
        let path = fleet.path("pump-1", "/register");
        let told = fleet.world.dps_with(&[], "PUT", &fleet.dps, &path, &body).expect(401);
        assert_eq!(told.body.get("authenticationKey"), None);
    }
    // Who has proven nothing may send little.
    for (bytes, is_sent) in [(32 << 10, true), (64 << 10, false)] {
        let mut long = says("pump-1", tpm);
        long["payload"] = json!("x".repeat(bytes));
        let path = fleet.path("pump-1", "/register");
        let told = fleet.world.dps_with(&[], "PUT", &fleet.dps, &path, &long).expect(401);
        assert_eq!(told.body.get("authenticationKey").is_some(), is_sent, "{bytes}");
    }
    // With the wrong key, and none: a signature by nothing is none.
    fleet.answers("pump-1", tpm, &[0; 32]).expect(401);
    fleet.answers("pump-1", tpm, &[]).expect(401);
    fleet.enrolls_tpm("pump-1", tpm, json!({ "provisioningStatus": "disabled" })).expect(200);
    nothing("pump-1", tpm);
    // A TPM is one device's.
    let group = json!({ "attestation": { "type": "tpm", "tpm": { "endorsementKey": tpm.endorsement_key() } } });
    let refused = fleet.call(&fleet.key(), "PUT", "/enrollmentGroups/tpms", &group).expect(400);
    assert!(refused.text().contains("individually"), "{refused:?}");
}

/// A storage root key that the enrollment names is the only one that counts.
#[test]
fn an_enrollment_may_name_the_storage_root_key() {
    let fleet = Fleet::new();
    let [tpm, other] = &*TPMS;
    let enrolls = |storage: String| {
        let keys = json!({ "endorsementKey": tpm.endorsement_key(), "storageRootKey": storage });
        let body = json!({ "attestation": { "type": "tpm", "tpm": keys } });
        fleet.call(&fleet.key(), "PUT", "/enrollments/pump-1", &body).expect(200);
    };
    enrolls(other.storage_root_key());
    assert_eq!(fleet.asks("pump-1", tpm).body.get("authenticationKey"), None);
    enrolls(tpm.storage_root_key());
    let key = fleet.is_sent("pump-1", tpm);
    fleet.answers("pump-1", tpm, &key).expect(202);
}

/// A device that says over AMQP which TPM it has: what it is sent, a part at a time, or `None` where it is refused.
fn is_sent_over_amqp(amqp: &mut Amqp, init: &[u8], storage: &[u8]) -> Option<Vec<u8>> {
    let response = Some(Bytes::copy_from_slice(init));
    amqp.says(0, &Performative::Init { mechanism: "TPM".into(), response, hostname: None });
    let (mut answer, mut sent) = ([&[0], storage].concat(), Vec::new());
    let is_said =
        |it: &Performative| matches!(it, Performative::Challenge(_) | Performative::Outcome(_));
    loop {
        let Performative::Challenge(challenge) = amqp.awaits(is_said) else { return None };
        match &challenge[..] {
            [0] => {}
            [first, part @ ..] => {
                sent.extend_from_slice(part);
                match first {
                    0b1100_0000 => return Some(sent),
                    first => assert_eq!(*first, 0b1000_0000),
                }
            }
            [] => panic!("nothing was said"),
        }
        amqp.says(0, &Performative::Response(std::mem::replace(&mut answer, vec![0]).into()));
    }
}

/// Over AMQP the key comes in challenges of SASL; everything else is as it is over HTTPS.
#[test]
fn a_tpm_is_sent_its_key_in_challenges_of_sasl() {
    let fleet = Fleet::new();
    let [tpm, other] = &*TPMS;
    for id in ["pump-1", "pump-10"] {
        fleet.enrolls_tpm(id, if id == "pump-1" { tpm } else { other }, json!({})).expect(200);
    }
    let bytes = |text: String| STANDARD.decode(text).unwrap();
    let init = |id: &str, tpm: &Tpm| {
        let named = format!("\0{}\0{id}\0", fleet.id_scope);
        [named.as_bytes(), &bytes(tpm.endorsement_key())].concat()
    };
    let storage = bytes(tpm.storage_root_key());
    let open = || fleet.begins_amqp(fleet.world.wire());
    // Another's TPM, nobody's, one with less than keys, and what is no such response.
    for (init, storage) in [
        (init("pump-10", tpm), &storage[..]),
        (init("pump-2", tpm), &storage),
        (init("pump-1", tpm), &[]),
        (init("pump-1", tpm), &[1; 2_000]),
        (b"\0a\0b".to_vec(), &storage),
        (b"a\0b\0c\0d".to_vec(), &storage),
        ([init("pump-1", tpm), vec![7; 2_000]].concat(), &storage),
        (vec![], &storage),
    ] {
        assert_eq!(is_sent_over_amqp(&mut open(), &init, storage), None);
    }
    let mut amqp = open();
    let sent = is_sent_over_amqp(&mut amqp, &init("pump-1", tpm), &storage).unwrap();
    let key = tpm.activates(&STANDARD.encode(&sent)).unwrap();
    assert_eq!(key, fleet.is_sent("pump-1", tpm), "the same key as over HTTPS");
    let token = format!("\0{}", fleet.signature("pump-1", &key));
    amqp.says(0, &Performative::Response(token.into()));
    assert_eq!(amqp.awaits(|it| matches!(it, Performative::Outcome(_))), Performative::Outcome(0));
    amqp.says_hello();
    let state = fleet.attaches(amqp, "pump-1").registers_saying(&says("pump-1", tpm));
    assert_eq!(state["status"], "assigned", "{state}");
    tpm.activates(state["tpm"]["authenticationKey"].as_str().unwrap()).unwrap();
}
