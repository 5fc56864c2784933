//! Devices whose certificates a CA of their hub has signed: the CA is uploaded and verified, and every way round
//! that leads nowhere.

use super::certificates::Plant;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyUsagePurpose, NameConstraints, SanType,
};
use serde_json::{Value, json};
use testkit::x509::{Certified, authority, between, leaf};
use testkit::{Answer, Device, World};

const DAY_S: i64 = 86_400;

impl Plant {
    fn certificates(&self, hub: &str, method: &str, below: &str, body: &Value) -> Answer {
        self.world.arm(method, &format!("{hub}/certificates{below}"), body)
    }

    /// Uploads a CA to a hub and says that it is verified.
    fn trusts(&self, hub: &str, name: &str, ca: &Certified) {
        let body = uploaded(ca, Some(true));
        let answer = self.certificates(hub, "PUT", &format!("/{name}"), &body);
        assert!([200, 201].contains(&answer.status), "{answer:?}");
    }

    fn of_authority(&self, id: &str) -> Device {
        let body = json!({ "authentication": { "type": "certificateAuthority" } });
        self.world.device_with(&self.hub, id, &body)
    }

    fn other_hub(&self) -> String {
        let hub = self.world.hub_named("hub10");
        let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
        self.world.arm("PUT", &hub, &body).expect(201);
        hub
    }

    fn ca(&self, name: &str) -> Certified {
        Certified::by_itself(authority(name, self.world.now()))
    }

    fn leaf(&self, name: &str) -> CertificateParams {
        leaf(name, self.world.now())
    }
}

fn uploaded(ca: &Certified, is_verified: Option<bool>) -> Value {
    // As `az` does it: the file, in base64.
    let mut properties = json!({ "certificate": STANDARD.encode(ca.pem().0) });
    if let Some(is_verified) = is_verified {
        properties["isVerified"] = json!(is_verified);
    }
    json!({ "properties": properties })
}

/// S2-05. The whole way: a CA is uploaded, proves nothing yet, is verified with its code, and devices of it connect.
#[test]
fn a_ca_counts_once_who_holds_its_key_has_signed_the_code() {
    let plant = Plant::new();
    let (hub, now) = (plant.hub.clone(), plant.world.now());
    let ca = plant.ca("Plant CA");
    let pump = plant.of_authority("pump-1");
    let certified = Certified::by(plant.leaf("pump-1"), &ca);
    assert_eq!(plant.refuses(&pump, &certified), "no CA of this hub signed it");

    let made = plant.certificates(&hub, "PUT", "/plant-ca", &uploaded(&ca, None)).expect(201).body;
    assert_eq!(made["name"], "plant-ca");
    assert_eq!(made["properties"]["isVerified"], false);
    assert_eq!(made["properties"]["thumbprint"], ca.thumbprints().sha1.as_str());
    assert_eq!(made["properties"]["subject"], "CN=Plant CA");
    let ends = now.plus_seconds(365 * DAY_S);
    assert_eq!(made["properties"]["expiry"], ends.rfc1123());
    let reason = plant.refuses(&pump, &certified);
    assert!(reason.contains("`plant-ca`") && reason.contains("not verified"), "{reason}");

    let code = |below: &str| {
        let below = format!("/plant-ca/{below}");
        let body = plant.certificates(&hub, "POST", &below, &Value::Null).expect(200).body;
        body["properties"]["verificationCode"].as_str().unwrap().to_owned()
    };
    let verify = |certified: &Certified| {
        let body = json!({ "certificate": STANDARD.encode(certified.pem().0) });
        plant.certificates(&hub, "POST", "/plant-ca/verify", &body)
    };
    // Without a code, with an older one, by another CA, by itself: none of these is a proof.
    assert_eq!(verify(&certified).expect(400).code(), "CertificateVerificationFailed");
    let (old, new) = (code("generateVerificationCode"), code("generateVerificationCode"));
    assert_ne!(old, new);
    let stranger = plant.ca("Plant CA");
    for wrong in [
        Certified::by(plant.leaf(&old), &ca),
        Certified::by(plant.leaf(&format!("{new}0")), &ca),
        Certified::by(plant.leaf(&new), &stranger),
        Certified::by_itself(plant.leaf(&new)),
        Certified::by(between(&new, now.plus_seconds(-DAY_S), now.plus_seconds(-1)), &ca),
    ] {
        verify(&wrong).expect(400);
    }
    plant.refuses(&pump, &certified);
    let proof = Certified::by(plant.leaf(&new), &ca);
    assert_eq!(verify(&proof).expect(200).body["properties"]["isVerified"], true);
    // A code counts once.
    verify(&proof).expect(400);
    let mut mqtt = plant.connects(&pump, &certified);
    mqtt.publish(&pump.events(), b"by a CA").unwrap();

    // Deleted, it ends the sessions that it let in.
    plant.certificates(&hub, "DELETE", "/plant-ca", &Value::Null).expect(200);
    assert_eq!(mqtt.until_closed(), []);
    assert_eq!(plant.refuses(&pump, &certified), "no CA of this hub signed it");
    plant.certificates(&hub, "DELETE", "/plant-ca", &Value::Null).expect(204);
    assert_eq!(plant.world.messages(&hub).len(), 1);
}

/// Threats 19, 21, 22, 23: what only looks like a device of the CA.
#[test]
fn what_a_verified_ca_does_not_lead_to_is_refused_with_the_reason() {
    let plant = Plant::new();
    let (hub, now) = (plant.hub.clone(), plant.world.now());
    let (ca, strange, foreign) = (plant.ca("Plant CA"), plant.ca("Plant CA"), plant.ca("Other CA"));
    let elsewhere = plant.other_hub();
    plant.trusts(&hub, "plant-ca", &ca);
    plant.trusts(&elsewhere, "other-ca", &foreign);
    let (one, ten) = (plant.of_authority("device1"), plant.of_authority("device10"));
    let of_one = Certified::by(plant.leaf("device1"), &ca);
    plant.connects(&one, &of_one).publish(&one.events(), b"itself").unwrap();

    let later =
        |from: i64, until: i64| between("device1", now.plus_seconds(from), now.plus_seconds(until));
    let signs_only = |usage: KeyUsagePurpose| {
        let mut params = plant.leaf("device1");
        params.key_usages = vec![usage];
        params
    };
    let mut for_servers = plant.leaf("device1");
    for_servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut as_ca = authority("device1", now);
    as_ca.key_usages.push(KeyUsagePurpose::DigitalSignature);
    let refused = [
        ("its name", Certified::by(plant.leaf("device10"), &ca), "for `device10`"),
        ("its casing", Certified::by(plant.leaf("Device1"), &ca), "for `Device1`"),
        ("nobody", Certified::by_itself(plant.leaf("device1")), "no CA of this hub"),
        ("a namesake", Certified::by(plant.leaf("device1"), &strange), "wrong"),
        ("another hub's CA", Certified::by(plant.leaf("device1"), &foreign), "no CA of this hub"),
        ("its end", Certified::by(later(-2 * DAY_S, -1), &ca), "ended at"),
        ("its start", Certified::by(later(DAY_S, 2 * DAY_S), &ca), "is not valid before"),
        ("its key", Certified::by(signs_only(KeyUsagePurpose::KeyEncipherment), &ca), "keyUsage"),
        ("its use", Certified::by(for_servers, &ca), "extendedKeyUsage"),
        ("a CA", Certified::by(as_ca, &ca), "a CA's own certificate"),
    ];
    for (what, certified, word) in refused {
        let reason = plant.refuses(&one, &certified);
        assert!(reason.contains(word), "{what}: {reason}");
    }
    let reason = plant.refuses(&ten, &of_one);
    assert!(reason.contains("for `device1`") && reason.contains("not for `device10`"), "{reason}");
    plant.connects(&one, &of_one);
    assert_eq!(plant.world.messages(&hub).len(), 1);
}

/// Threat 23: what stands between a CA and a device must be a CA itself, of its time, and within the CA's bounds.
#[test]
fn a_chain_leads_over_cas_only_and_no_further_than_they_allow() {
    let plant = Plant::new();
    let (hub, now) = (plant.hub.clone(), plant.world.now());
    let root = plant.ca("Root");
    plant.trusts(&hub, "root", &root);
    let device = plant.of_authority("device1");
    let below = |issuer: &Certified| Certified::by(plant.leaf("device1"), issuer);
    let site = Certified::by(authority("Site", now), &root);
    plant.connects(&device, &below(&site));
    // The root itself need not be sent, and what leads there has to be.
    assert_eq!(plant.refuses(&device, &below(&site).alone()), "no CA of this hub signed it");

    let bounded = |name: &str, most: u8| {
        let mut params = authority(name, now);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(most));
        params
    };
    let no_ca = Certified::by(plant.leaf("device10"), &root);
    let mut no_signer = authority("No signer", now);
    no_signer.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let mut late = authority("Late", now);
    late.not_after = between("", now, now.plus_seconds(-1)).not_after;
    let narrow = Certified::by(bounded("Narrow", 0), &root);
    let mut elsewhere = authority("Elsewhere", now);
    let names = vec![GeneralSubtree::DnsName("elsewhere.example".into())];
    elsewhere.name_constraints =
        Some(NameConstraints { permitted_subtrees: names, excluded_subtrees: Vec::new() });
    let mut named = plant.leaf("device1");
    named.subject_alt_names = vec![SanType::DnsName("plant.example".try_into().unwrap())];
    let refused = [
        ("a leaf", below(&no_ca), "no CA's itself"),
        ("a CA that may not sign", below(&Certified::by(no_signer, &root)), "may not sign others"),
        ("a CA that has ended", below(&Certified::by(late, &root)), "has ended"),
        ("one too many", below(&Certified::by(authority("Too far", now), &narrow)), "path length"),
        (
            "a name",
            Certified::by(named, &Certified::by(elsewhere, &root)),
            "may not sign for its names",
        ),
    ];
    for (what, certified, word) in refused {
        let reason = plant.refuses(&device, &certified);
        assert!(reason.contains(word), "{what}: {reason}");
    }
    plant.connects(&device, &below(&narrow));

    // The bound of the root itself counts, too, though it only anchors.
    let short = Certified::by_itself(bounded("Short", 0));
    plant.trusts(&hub, "short", &short);
    plant.connects(&device, &below(&short));
    let far = below(&Certified::by(authority("Site", now), &short));
    let reason = plant.refuses(&device, &far);
    assert!(reason.contains("its path length is 0"), "{reason}");
}

/// Threat 22: a CA has its own time, and a chain that is right ends with it.
#[test]
fn a_ca_that_has_ended_lets_nobody_in_and_ends_its_sessions() {
    let plant = Plant::new();
    let (hub, now) = (plant.hub.clone(), plant.world.now());
    let mut params = authority("Short", now);
    params.not_after = between("", now, now.plus_seconds(600)).not_after;
    let ca = Certified::by_itself(params);
    plant.trusts(&hub, "short", &ca);
    let device = plant.of_authority("device1");
    let certified = Certified::by(plant.leaf("device1"), &ca);
    let mut mqtt = plant.connects(&device, &certified);
    plant.world.pass_seconds(600);
    mqtt.publish(&device.events(), b"in its last second").unwrap();
    plant.world.pass_seconds(1);
    assert!(mqtt.publish(&device.events(), b"too late").is_err());
    let reason = plant.refuses(&device, &certified);
    assert!(reason.contains("`short`") && reason.contains("ended at"), "{reason}");
    // Nor can it be uploaded any more, and so can nothing that is no CA.
    let no_ca = Certified::by_itself(plant.leaf("device1"));
    for wrong in
        [uploaded(&ca, Some(true)), uploaded(&no_ca, Some(true)), json!({ "properties": {} })]
    {
        plant.certificates(&hub, "PUT", "/new", &wrong).expect(400);
    }
    let garbage = json!({ "properties": { "certificate": STANDARD.encode("not a certificate") } });
    plant.certificates(&hub, "PUT", "/new", &garbage).expect(400);
    let fine = plant.ca("Fine");
    plant.certificates(&hub, "PUT", "/no%20name", &uploaded(&fine, None)).expect(400);
}

/// Another certificate under the name of a verified one is not verified, and each write has an etag of its own.
#[test]
fn a_ca_that_is_replaced_has_to_be_verified_anew() {
    let plant = Plant::new();
    let hub = plant.hub.clone();
    let (first, second) = (plant.ca("First"), plant.ca("Second"));
    plant.trusts(&hub, "ca", &first);
    let again = plant.certificates(&hub, "PUT", "/CA", &uploaded(&first, None)).expect(200).body;
    assert_eq!((&again["name"], &again["properties"]["isVerified"]), (&json!("ca"), &json!(true)));
    let other = plant.certificates(&hub, "PUT", "/ca", &uploaded(&second, None)).expect(200).body;
    assert_eq!(other["properties"]["isVerified"], false);
    assert_ne!(again["etag"], other["etag"]);
    let listed = plant.certificates(&hub, "GET", "", &Value::Null).expect(200).body;
    assert_eq!(listed["value"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed["value"][0], other);

    let changed = |etag: &Value| {
        let token = plant.world.token(&plant.world.admin(), "https://management.azure.com");
        let arm = plant.world.setting("HUBWARD_ARM");
        let url =
            format!("{arm}{hub}/certificates/ca/generateVerificationCode?api-version=2023-06-30");
        let authorization = format!("Bearer {token}");
        let headers =
            [("Authorization", authorization.as_str()), ("If-Match", etag.as_str().unwrap())];
        plant.world.wire().json_with("POST", &url, &headers, &Value::Null)
    };
    changed(&again["etag"]).expect(412);
    changed(&other["etag"]).expect(200);
    // The hub goes on under its own etag, and shows none of it.
    let shown = plant.world.arm("GET", &hub, &Value::Null).expect(200);
    assert!(!shown.text().contains("certificates"), "{shown:?}");
}

/// What a role must grant for it: reading is not writing, and neither is verifying.
#[test]
fn who_may_not_write_certificates_makes_no_ca() {
    let plant = Plant::new();
    let ca = plant.ca("Plant CA");
    let reader = plant.world.service_principal("reader");
    let role = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    plant.world.assign(&reader, role, &plant.hub).expect(201);
    let path = format!("{}/certificates/ca", plant.hub);
    let tries = |method: &str, path: &str, body: &Value| {
        plant.world.arm_as(&reader, method, path, body).status
    };
    assert_eq!(tries("PUT", &path, &uploaded(&ca, Some(true))), 403);
    plant.trusts(&plant.hub, "ca", &ca);
    assert_eq!(tries("GET", &path, &Value::Null), 200);
    assert_eq!(tries("POST", &format!("{path}/generateVerificationCode"), &Value::Null), 403);
    let proof = json!({ "certificate": STANDARD.encode(ca.pem().0) });
    assert_eq!(tries("POST", &format!("{path}/verify"), &proof), 403);
    assert_eq!(tries("DELETE", &path, &Value::Null), 403);
}

/// What was verified stays so over a restart.
#[test]
fn the_cas_of_a_hub_outlive_the_process() {
    let mut plant = Plant::new();
    let ca = plant.ca("Plant CA");
    plant.trusts(&plant.hub, "ca", &ca);
    let pump = plant.of_authority("pump-1");
    let certified = Certified::by(plant.leaf("pump-1"), &ca);
    World::restart(&mut plant.world);
    plant.connects(&pump, &certified).publish(&pump.events(), b"after").unwrap();
}
