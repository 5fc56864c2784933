//! Devices register with certificates of one CA, with the unmodified clients, over whatever they have.

use super::az::text;
use super::clients::{Client, Shown};
use super::fleet::{Over, Stage};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;
use serde_json::json;
use std::path::{Path, PathBuf};
use testkit::x509::{Certified, authority, between};

/// 2020-01-01 and 2100-01-01: certificates that outlive every test.
const FROM: Timestamp = Timestamp::from_seconds(1_577_836_800);
const UNTIL: Timestamp = Timestamp::from_seconds(4_102_444_800);

fn ca() -> Certified {
    let mut params = authority("Plant CA", FROM);
    params.not_after = between("", FROM, UNTIL).not_after;
    Certified::by_itself(params)
}

fn files(home: &Path, name: &str, certified: &Certified) -> (PathBuf, PathBuf) {
    let (certificate, key) = (home.join(format!("{name}.pem")), home.join(format!("{name}.key")));
    std::fs::write(&certificate, certified.chain_pem()).unwrap();
    std::fs::write(&key, certified.pem().1).unwrap();
    (certificate, key)
}

/// S2-65 in part: through one group, over every protocol, and each device connects with what it has shown; a
/// certificate for another device, or of a namesake of the CA, opens nothing.
#[test]
fn devices_of_a_ca_register_over_every_transport() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new(home.path());
    let (root, stranger) = (ca(), ca());
    let certificate = STANDARD.encode(root.der());
    let signing = json!({ "signingCertificates": { "primary": { "certificate": certificate } } });
    stage.write_group("line", &json!({ "attestation": { "type": "x509", "x509": signing } }));
    for over in Over::ALL {
        let id = over.name();
        let own = Certified::by(between(id, FROM, UNTIL), &root);
        let (certificate, key) = files(home.path(), id, &own);
        let outcome = stage.register_showing(over, &certificate, &key, id);
        let expected =
            json!({ "status": "assigned", "assignedHub": stage.hub_host, "deviceId": id });
        assert_eq!(outcome, expected, "{over:?}");
        let mut device = Client::python_showing(&Shown {
            connection_string: &format!("HostName={};DeviceId={id};x509=true", stage.hub_host),
            ca_file: stage.server().connection().ca_file(),
            transport: "mqtt",
            certificate: &certificate,
            key: &key,
        });
        device.connects();
        device.sends("here I am");

        let other = stage.register_showing(over, &certificate, &key, "another");
        assert_eq!(other.pointer("/status"), None, "{over:?}: {other}");
        let foreign = Certified::by(between("another", FROM, UNTIL), &stranger);
        let (certificate, key) = files(home.path(), "foreign", &foreign);
        let refused = stage.register_showing(over, &certificate, &key, "another");
        assert!(refused.pointer("/error").is_some(), "{over:?}: {refused}");
        if matches!(over, Over::Amqp | Over::AmqpWs) {
            let said = text(&refused, "/error/message");
            assert!(said.contains("401002") && said.contains("trackingId"), "{said}");
        }
    }
    stage.with_hub_key("/devices/another").expect(404);
}
