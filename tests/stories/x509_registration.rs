//! Devices that register with certificates: their own, or of a CA that a group knows, over HTTPS and MQTT.

use super::mqtt_registration::{ANSWERS, asks_to_register};
use super::registration::Fleet;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyUsagePurpose};
use serde_json::{Value, json};
use testkit::x509::{Certified, authority, between, leaf};
use testkit::{Answer, Device, Mqtt};
use wire::mqtt::{ConnectCode, Packet, Qos};

const DAY_S: i64 = 86_400;

impl Fleet {
    fn ca(&self, name: &str) -> Certified {
        Certified::by_itself(authority(name, self.world.now()))
    }

    fn site(&self, name: &str, above: &Certified) -> Certified {
        Certified::by(authority(name, self.world.now()), above)
    }

    fn leaf(&self, name: &str) -> CertificateParams {
        leaf(name, self.world.now())
    }

    fn own(&self, name: &str) -> Certified {
        Certified::by_itself(self.leaf(name))
    }

    fn of(&self, name: &str, above: &Certified) -> Certified {
        Certified::by(self.leaf(name), above)
    }

    /// Writes an enrollment of either kind.
    fn enrolls(&self, path: &str, x509: &Value, more: Value) -> Answer {
        let mut body = json!({ "attestation": { "type": "x509", "x509": x509 } });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.call(&self.key(), "PUT", path, &body)
    }

    fn certificates(&self, method: &str, below: &str, body: &Value) -> Answer {
        self.world.arm(method, &format!("{}/certificates{below}", self.dps), body)
    }

    /// Uploads a CA and says that it is verified.
    fn trusts(&self, name: &str, ca: &Certified) {
        let body = json!({ "properties": { "certificate": STANDARD.encode(ca.pem().0), "isVerified": true } });
        self.certificates("PUT", &format!("/{name}"), &body).expect(200);
    }

    fn url(&self, id: &str, below: &str) -> String {
        let origin = self.world.dps_origin(&self.dps);
        format!("{origin}/{}/registrations/{id}{below}?api-version=2021-06-01", self.id_scope)
    }

    fn tries(&self, id: &str, certified: &Certified) -> Answer {
        let wire = self.world.wire().showing(certified);
        let body = json!({ "registrationId": id });
        wire.json_with("PUT", &self.url(id, "/register"), &[], &body)
    }

    /// Registers with a certificate, and asks until it is decided.
    #[track_caller]
    fn shows(&self, id: &str, certified: &Certified) -> Value {
        let began = self.world.now();
        let begun = self.tries(id, certified);
        assert_eq!(begun.status, 202, "{begun:?} {:?}", self.world.refusals(began));
        let operation = begun.body["operationId"].as_str().unwrap();
        let wire = self.world.wire().showing(certified);
        let url = self.url(id, &format!("/operations/{operation}"));
        let done = wire.json_with("GET", &url, &[], &Value::Null).expect(200).body;
        done["registrationState"].clone()
    }

    /// Tries to register; why the first gate refused.
    #[track_caller]
    fn refuses(&self, id: &str, certified: &Certified) -> String {
        self.world.pass_seconds(61);
        let told = self.tries(id, certified).expect(401);
        assert_eq!(told.body["errorCode"], 401_002, "{told:?}");
        let explained = self.world.explained(&told.tracking());
        assert_eq!(explained["decision"]["outcome"]["gate"], "authentication");
        explained["decision"]["steps"][0]["reason"].as_str().unwrap().to_owned()
    }

    /// Connects to the hub that a registration named, with the same certificate, and sends.
    fn connects_to(&self, state: &Value, certified: &Certified) {
        let host = state["assignedHub"].as_str().unwrap();
        let device = Device {
            id: state["deviceId"].as_str().unwrap().to_owned(),
            host: host.split(':').next().unwrap().to_owned(),
            key: Vec::new(),
            port: self.world.mqtt_port(),
        };
        let wire = self.world.wire().showing(certified);
        let (code, mut mqtt) = device.tries(&wire, device.silent_greeting()).unwrap();
        assert_eq!(code, ConnectCode::Accepted);
        mqtt.publish(&device.events(), b"here I am").unwrap();
    }
}

fn certificate(certified: &Certified) -> Value {
    json!({ "certificate": STANDARD.encode(certified.der()) })
}

fn client(primary: &Certified) -> Value {
    json!({ "clientCertificates": { "primary": certificate(primary) } })
}

fn signing(primary: &Certified) -> Value {
    json!({ "signingCertificates": { "primary": certificate(primary) } })
}

fn reference(name: &str) -> Value {
    json!({ "caReferences": { "primary": name } })
}

/// S2-65 in part. Three devices of a group, over both protocols, and each connects with what it has shown.
#[test]
fn devices_of_a_ca_register_through_their_group_and_connect_with_the_same_certificate() {
    let fleet = Fleet::new();
    let root = fleet.ca("Plant CA");
    fleet.trusts("plant-ca", &root);
    let made =
        fleet.enrolls("/enrollmentGroups/line-1", &reference("plant-ca"), json!({})).expect(200);
    assert_eq!(made.body["attestation"], json!({ "type": "x509", "x509": reference("plant-ca") }));
    let site = fleet.site("Site", &root);
    for (id, certified) in
        [("Pump-1", fleet.of("Pump-1", &root)), ("pump-2", fleet.of("pump-2", &site))]
    {
        let state = fleet.shows(id, &certified);
        assert_eq!(state["status"], "assigned", "{state}");
        assert_eq!(state["deviceId"], id.to_lowercase());
        let told = &state["x509"];
        assert_eq!(told["enrollmentGroupId"], "line-1");
        assert_eq!(told["certificateInfo"]["subjectName"], format!("CN={id}"));
        assert_eq!(told["certificateInfo"]["sha1Thumbprint"], certified.thumbprints().sha1);
        assert_eq!(told["signingCertificateInfo"]["subjectName"], "CN=Plant CA");
        assert_eq!(told["signingCertificateInfo"]["version"], 3);
        fleet.connects_to(&state, &certified);
    }

    let certified = fleet.of("pump-3", &site);
    let origin = fleet.world.dps_origin(&fleet.dps);
    let host = origin.trim_start_matches("https://").split(':').next().unwrap();
    let wire = fleet.world.wire().showing(&certified);
    let open = || Mqtt::open(&wire, host, fleet.world.mqtt_port()).unwrap();
    let silent = |id: &str| wire::mqtt::Connect { password: None, ..fleet.greeting(id, "") };
    assert_eq!(open().connect(silent("pump-4")), Ok(ConnectCode::NotAuthorized));
    let mut mqtt = open();
    assert_eq!(mqtt.connect(silent("pump-3")), Ok(ConnectCode::Accepted));
    mqtt.send(&Packet::Subscribe { id: 1, filters: vec![(ANSWERS.to_owned(), Qos::AtLeastOnce)] })
        .unwrap();
    mqtt.receive().unwrap();
    let state = asks_to_register(&mut mqtt, "pump-3");
    assert_eq!(state["x509"]["enrollmentGroupId"], "line-1", "{state}");
    fleet.connects_to(&state, &certified);
    assert_eq!(fleet.world.messages(&fleet.world.hub()).len(), 3);
}

/// Threats 21, 22, 25: a CA counts once who holds its key has signed the code, and no more once it is deleted.
#[test]
fn a_group_of_a_ca_waits_for_its_proof_of_possession() {
    let mut fleet = Fleet::new();
    let (root, stranger) = (fleet.ca("Plant CA"), fleet.ca("Plant CA"));
    let refused =
        fleet.enrolls("/enrollmentGroups/line", &reference("plant-ca"), json!({})).expect(400);
    assert!(refused.text().contains("no certificate `plant-ca`"), "{refused:?}");
    // As versions before 2022 write it: without `properties`.
    let upload = json!({ "certificate": STANDARD.encode(root.pem().0) });
    let made = fleet.certificates("PUT", "/plant-ca", &upload).expect(200).body;
    assert_eq!(made["type"], "Microsoft.Devices/ProvisioningServices/Certificates");
    assert_eq!(made["id"], format!("{}/certificates/plant-ca", fleet.dps));
    assert_eq!(made["properties"]["isVerified"], false);
    fleet.enrolls("/enrollmentGroups/line", &reference("PLANT-CA"), json!({})).expect(200);
    let pump = fleet.of("pump-1", &root);
    let reason = fleet.refuses("pump-1", &pump);
    assert!(reason.contains("`plant-ca`") && reason.contains("not verified"), "{reason}");

    let code = || {
        let told = fleet.certificates("POST", "/plant-ca/generateVerificationCode", &Value::Null);
        told.expect(200).body["properties"]["verificationCode"].as_str().unwrap().to_owned()
    };
    let verify = |certified: &Certified| {
        let body = json!({ "certificate": STANDARD.encode(certified.pem().0) });
        fleet.certificates("POST", "/plant-ca/verify", &body)
    };
    let (old, new) = (code(), code());
    for wrong in [fleet.of(&old, &root), fleet.of(&new, &stranger), fleet.own(&new)] {
        assert_eq!(verify(&wrong).expect(400).code(), "CertificateVerificationFailed");
    }
    let proof = fleet.of(&new, &root);
    assert_eq!(verify(&proof).expect(200).body["properties"]["isVerified"], true);
    verify(&proof).expect(400);
    assert_eq!(fleet.shows("pump-1", &pump)["status"], "assigned");
    fleet.world.restart();
    assert_eq!(fleet.shows("pump-1", &pump)["status"], "assigned");
    let listed = fleet.certificates("GET", "", &Value::Null).expect(200).body;
    assert_eq!(listed["value"].as_array().map(Vec::len), Some(1));
    fleet.certificates("DELETE", "/plant-ca", &Value::Null).expect(200);
    assert!(fleet.refuses("pump-1", &pump).contains("no CA of the enrollment `line`"));
    // What the hub knows it by is its own affair.
    let hub = fleet.world.hub();
    let host = fleet.world.hub_origin(&hub).trim_start_matches("https://").to_owned();
    fleet.connects_to(&json!({ "assignedHub": host, "deviceId": "pump-1" }), &pump);
}

/// Threats 19, 22, 23, 26: what only looks like a device of the group.
#[test]
fn what_a_groups_ca_does_not_lead_to_is_refused_with_the_reason() {
    let fleet = Fleet::new();
    let now = fleet.world.now();
    let (root, stranger) = (fleet.ca("Plant CA"), fleet.ca("Plant CA"));
    fleet.enrolls("/enrollmentGroups/line", &signing(&root), json!({})).expect(200);
    let later =
        |from: i64, until: i64| between("pump-1", now.plus_seconds(from), now.plus_seconds(until));
    let mut no_signer = authority("No signer", now);
    no_signer.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let mut late = authority("Late", now);
    late.not_after = between("", now, now.plus_seconds(-1)).not_after;
    let refused = [
        ("its name", fleet.of("pump-10", &root), "for `pump-10`"),
        ("nobody", fleet.own("pump-1"), "no CA of the enrollment `line`"),
        ("a namesake", fleet.of("pump-1", &stranger), "wrong"),
        ("its end", Certified::by(later(-2 * DAY_S, -1), &root), "ended at"),
        ("its start", Certified::by(later(DAY_S, 2 * DAY_S), &root), "is not valid before"),
        ("a leaf", fleet.of("pump-1", &fleet.of("pump-2", &root)), "no CA's itself"),
        ("no signer", fleet.of("pump-1", &Certified::by(no_signer, &root)), "may not sign others"),
        ("a CA of yesterday", fleet.of("pump-1", &Certified::by(late, &root)), "has ended"),
        ("not all of it", fleet.of("pump-1", &fleet.site("Site", &root)).alone(), "no CA of"),
    ];
    for (what, certified, word) in refused {
        let reason = fleet.refuses("pump-1", &certified);
        assert!(reason.contains(word), "{what}: {reason}");
    }
    assert_eq!(fleet.shows("pump-1", &fleet.of("pump-1", &root))["status"], "assigned");
    // A key of another group, or a token, does not help who shows a certificate beside it.
    let answer = fleet.call(
        &fleet.signature("pump-1", &[1; 32]),
        "PUT",
        &format!("/{}/registrations/pump-1/register", fleet.id_scope),
        &json!({}),
    );
    answer.expect(401);
}

/// Threats 20, 26, 27: an individual enrollment counts alone, by either of its two certificates.
#[test]
fn an_individual_enrollment_takes_its_own_certificates_and_hides_every_group() {
    let fleet = Fleet::new();
    let root = fleet.ca("Plant CA");
    fleet.enrolls("/enrollmentGroups/line", &signing(&root), json!({})).expect(200);
    let (one, two, three) = (fleet.own("pump-1"), fleet.own("pump-1"), fleet.own("pump-1"));
    let both = json!({ "clientCertificates": { "primary": certificate(&one), "secondary": certificate(&two) } });
    let made =
        fleet.enrolls("/enrollments/pump-1", &both, json!({ "deviceId": "first" })).expect(200);
    let told = &made.body["attestation"]["x509"]["clientCertificates"];
    assert_eq!(told["primary"]["info"]["sha256Thumbprint"], one.thumbprints().sha256);
    assert_eq!(told["secondary"]["info"]["issuerName"], "CN=pump-1");
    assert!(told["primary"].get("certificate").is_none(), "{told}");
    let path = "/enrollments/pump-1/attestationmechanism";
    let whole = fleet.call(&fleet.key(), "POST", path, &Value::Null).expect(200).body;
    assert_eq!(
        whole["x509"]["clientCertificates"]["primary"]["certificate"],
        STANDARD.encode(one.der())
    );

    let state = fleet.shows("pump-1", &one);
    assert_eq!((&state["status"], &state["deviceId"]), (&json!("assigned"), &json!("first")));
    assert_eq!(state["x509"].get("enrollmentGroupId"), None);
    // Rolling over: the hub knows both, and the enrollment gives the place of the one to a third.
    fleet.connects_to(&state, &one);
    fleet.connects_to(&state, &two);
    let reason = fleet.refuses("pump-1", &three);
    assert!(reason.starts_with("the thumbprint does not match"), "{reason}");
    fleet.refuses("pump-1", &fleet.of("pump-1", &root));
    fleet.refuses("pump-10", &one);
    // What an answer shows stays where it is sent back, here in the other's company.
    let rolled = json!({ "clientCertificates": { "primary": certificate(&three), "secondary": told["secondary"] } });
    fleet.enrolls("/enrollments/pump-1", &rolled, json!({ "deviceId": "first" })).expect(200);
    fleet.refuses("pump-1", &one);
    fleet.connects_to(&fleet.shows("pump-1", &three), &two);
    let wrong = json!({ "clientCertificates": { "primary": { "info": told["primary"]["info"] } } });
    fleet.enrolls("/enrollments/pump-1", &wrong, json!({})).expect(400);

    let off = json!({ "provisioningStatus": "disabled" });
    fleet.enrolls("/enrollments/pump-1", &rolled, off).expect(200);
    assert!(fleet.refuses("pump-1", &three).contains("disabled"));
    fleet.refuses("pump-1", &fleet.of("pump-1", &root));
    // By reference to a CA, for this device alone.
    fleet.trusts("plant-ca", &root);
    fleet
        .enrolls("/enrollments/pump-1", &reference("plant-ca"), json!({ "deviceId": "first" }))
        .expect(200);
    fleet.refuses("pump-1", &three);
    assert_eq!(fleet.shows("pump-1", &fleet.of("pump-1", &root))["status"], "assigned");
    // The names of certificates must fit here, too.
    let misnamed = fleet.own("another");
    fleet.enrolls("/enrollments/pump-3", &client(&misnamed), json!({})).expect(200);
    assert!(fleet.refuses("pump-3", &misnamed).contains("for `another`"));
}

/// Of groups whose CAs stand above each other, the nearest decides, and a disabled one shuts its devices out.
#[test]
fn of_a_root_and_an_intermediate_the_nearest_group_decides() {
    let fleet = Fleet::new();
    let root = fleet.ca("Root");
    let (site, deeper) =
        (fleet.site("Site", &root), fleet.site("Deeper", &fleet.site("Mid", &root)));
    fleet.trusts("root", &root);
    let desired = |hall: i64| json!({ "initialTwin": { "tags": { "hall": hall }, "properties": { "desired": {} } } });
    fleet.enrolls("/enrollmentGroups/a-root", &reference("root"), desired(0)).expect(200);
    fleet.enrolls("/enrollmentGroups/z-site", &signing(&site), desired(1)).expect(200);
    let group = |id: &str, certified: &Certified| {
        let state = fleet.shows(id, certified);
        assert_eq!(state["status"], "assigned", "{state}");
        state["x509"]["enrollmentGroupId"].as_str().unwrap().to_owned()
    };
    assert_eq!(group("p-1", &fleet.of("p-1", &site)), "z-site");
    assert_eq!(group("p-2", &fleet.of("p-2", &root)), "a-root");
    assert_eq!(group("p-3", &fleet.of("p-3", &deeper)), "a-root");
    let off = json!({ "provisioningStatus": "disabled" });
    fleet.enrolls("/enrollmentGroups/z-site", &signing(&site), off.clone()).expect(200);
    assert!(fleet.refuses("p-4", &fleet.of("p-4", &site)).contains("disabled"));
    assert_eq!(group("p-5", &fleet.of("p-5", &root)), "a-root");
    // The same CA twice: who shuts it out means it.
    fleet.enrolls("/enrollmentGroups/b-root", &signing(&root), off).expect(200);
    assert!(fleet.refuses("p-6", &fleet.of("p-6", &root)).contains("disabled"));
    // Rolling over: a CA beside the one that ends.
    let next = fleet.ca("Next root");
    let both = json!({ "signingCertificates": { "primary": certificate(&site), "secondary": certificate(&next) } });
    fleet.enrolls("/enrollmentGroups/z-site", &both, json!({})).expect(200);
    assert_eq!(group("p-7", &fleet.of("p-7", &next)), "z-site");
    assert_eq!(group("p-8", &fleet.of("p-8", &site)), "z-site");
}

#[test]
fn what_is_wrong_with_certificates_of_an_enrollment_is_said_with_its_place() {
    let fleet = Fleet::new();
    let (own, root) = (fleet.own("pump-1"), fleet.ca("Root"));
    let now = fleet.world.now();
    let ended = Certified::by_itself(between("pump-1", now.plus_seconds(-9), now.plus_seconds(-1)));
    let check = |path: &str, x509: Value, place: &str| {
        let told = fleet.enrolls(path, &x509, json!({})).expect(400);
        let message = told.body["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(&format!("attestation.x509{place}: ")), "{message}");
    };
    let (one, group) = ("/enrollments/pump-1", "/enrollmentGroups/line");
    check(one, json!({}), "");
    check(one, json!({ "clientCertificates": {} }), "");
    check(one, signing(&root), "");
    check(group, client(&own), "");
    let mut both = signing(&root);
    both["caReferences"] = json!({ "primary": "root" });
    check(group, both, "");
    check(group, signing(&own), ".signingCertificates.primary.certificate");
    check(one, client(&ended), ".clientCertificates.primary.certificate");
    check(group, reference("root"), ".caReferences.primary");
    let text = json!({ "clientCertificates": { "primary": { "certificate": "AAAA" } } });
    check(one, text, ".clientCertificates.primary.certificate");
    let named = json!({ "clientCertificates": { "primary": "AAAA" } });
    check(one, named, ".clientCertificates.primary");
    // PEM is taken, and so is its base64.
    for text in [own.pem().0, STANDARD.encode(own.pem().0)] {
        let pem = json!({ "clientCertificates": { "primary": { "certificate": text } } });
        fleet.enrolls(one, &pem, json!({})).expect(200);
        fleet.shows("pump-1", &own);
    }
}

/// S0-10: a diagnosis judges devices with certificates as what their hub will know them by, beside those with keys.
#[test]
fn a_diagnosis_asks_for_devices_with_certificates() {
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    let rule = json!({ "if": { "field": "Microsoft.Devices/IotHubs/devices/authentication.type",
        "equals": "selfSigned" }, "then": { "effect": "deny" } });
    world.define_policy("keys-only", &rule).expect(201);
    world.assign_policy("keys-only", &hub).expect(201);
    let verdict = || {
        let question = json!({ "provisioningService": fleet.dps, "hub": hub });
        world.arm("POST", "/decisions/diagnose", &question).expect(200).body["verdict"].clone()
    };
    assert_eq!(verdict(), "pass", "the one enrollment has keys");
    let own = fleet.own("valve-1");
    let x509 = json!({ "clientCertificates": { "primary": { "certificate": own.pem().0 } } });
    fleet
        .enrolls("/enrollments/valve-1", &x509, json!({ "registrationId": "valve-1" }))
        .expect(200);
    assert_eq!(verdict(), "fail");
    assert_eq!(fleet.shows("valve-1", &own)["status"], "failed", "as was foretold");
}
