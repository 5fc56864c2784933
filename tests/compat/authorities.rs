//! Devices with certificates: a person gives a hub its CA with `az`, and the unmodified clients of Python and Node
//! connect with what that CA has signed, or with a certificate of their own.

use super::az::{Az, Said, binary, text};
use super::clients::{Client, Shown};
use model::Timestamp;
use rcgen::CertificateParams;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use testkit::Process;
use testkit::x509::{Certified, authority, between, leaf};

/// 2020-01-01 and 2100-01-01: certificates that outlive every test.
const FROM: Timestamp = Timestamp::from_seconds(1_577_836_800);
const UNTIL: Timestamp = Timestamp::from_seconds(4_102_444_800);

/// Whose client a device has, over what it talks, and what it is called.
struct Kind {
    client: fn(&Shown<'_>) -> Client,
    transport: &'static str,
    id: &'static str,
}

const KINDS: &[Kind] = &[
    Kind { client: Client::python_showing, transport: "mqtt", id: "python-mqtt" },
    Kind { client: Client::python_showing, transport: "mqtt-ws", id: "python-mqtt-ws" },
    Kind { client: Client::node_showing, transport: "mqtt", id: "node-mqtt" },
    Kind { client: Client::node_showing, transport: "mqtt-ws", id: "node-mqtt-ws" },
];

struct Stage {
    server: Process,
    az: Az,
    service: Client,
    folder: PathBuf,
    hub: String,
    host: String,
}

impl Stage {
    fn new(home: &Path) -> Self {
        let server = Process::start(binary(), &home.join("data"), &[]);
        let connection = server.connection();
        let get = |key: &str| connection.get(key).unwrap().to_owned();
        Self {
            az: Az::administrator(&server),
            service: Client::python_service(
                &get("HUBWARD_HUB_CONNECTION_STRING"),
                connection.ca_file(),
            ),
            folder: home.to_owned(),
            hub: get("HUBWARD_HUB"),
            host: get("HUBWARD_HUB_HOST"),
            server,
        }
    }

    /// `az iot hub certificate` at the hub.
    fn certificate(&self, verb: &str, more: &[&str]) -> Said {
        let command = ["iot", "hub", "certificate", verb, "--hub-name", &self.hub];
        self.az.run(&[&command[..], more].concat())
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// What the client says when it tries to connect as a device or a module, with a certificate.
    fn tries(&self, kind: &Kind, whom: &str, certified: &Certified) -> (Client, Value) {
        let (_, key) = certified.pem();
        let (certificate, key) =
            (self.file("shown.pem", &certified.chain_pem()), self.file("shown.key", &key));
        let mut client = (kind.client)(&Shown {
            connection_string: &format!("HostName={};{whom};x509=true", self.host),
            ca_file: self.server.connection().ca_file(),
            transport: kind.transport,
            certificate: Path::new(&certificate),
            key: Path::new(&key),
        });
        let said = client.says("connect");
        (client, said)
    }

    #[track_caller]
    fn connects(&self, kind: &Kind, whom: &str, certified: &Certified) {
        let (mut client, said) = self.tries(kind, whom, certified);
        assert_eq!(said.get("error"), None, "{whom}: {said}");
        client.sends(r#"{"bar":3.2}"#);
        client.does("twin");
        client.does("disconnect");
    }

    #[track_caller]
    fn is_refused(&self, kind: &Kind, whom: &str, certified: &Certified) {
        let (_, said) = self.tries(kind, whom, certified);
        let said = said.get("error").unwrap_or_else(|| panic!("{whom} is in: {said}")).to_string();
        assert!(said.to_lowercase().contains("not authori"), "{said}");
    }
}

fn lasting(mut params: CertificateParams) -> CertificateParams {
    let times = between("", FROM, UNTIL);
    (params.not_before, params.not_after) = (times.not_before, times.not_after);
    params
}

pub fn lasting_authority(name: &str) -> CertificateParams {
    lasting(authority(name, FROM))
}

pub fn ca(name: &str) -> Certified {
    Certified::by_itself(lasting_authority(name))
}

pub fn signed(name: &str, by: &Certified) -> Certified {
    Certified::by(lasting(leaf(name, FROM)), by)
}

/// S2-05 in part: the way of the documentation, from the upload to the last device.
#[test]
fn az_gives_a_hub_its_ca_and_devices_of_it_connect() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    let plant = ca("Plant CA");
    let path = stage.file("ca.pem", &plant.pem().0);
    for kind @ Kind { id, .. } in KINDS {
        stage
            .service
            .calls("create_device_with_certificate_authority", &[json!(id), json!("enabled")]);
        stage.is_refused(kind, &format!("DeviceId={id}"), &signed(id, &plant));
    }

    let named = ["--name", "plant-ca"];
    let with = |more: &[&'static str]| [&named[..], more].concat();
    let made = stage.certificate("create", &[&named[..], &["--path", &path]].concat()).json();
    assert_eq!(made.pointer("/properties/isVerified"), Some(&json!(false)), "{made}");
    assert_eq!(text(&made, "/properties/thumbprint"), plant.thumbprints().sha1);
    let listed = stage.certificate("list", &[]).json();
    assert_eq!(text(&listed, "/value/0/name"), "plant-ca");
    let shown = stage.certificate("show", &with(&[])).json();
    assert_eq!((&shown["etag"], &shown["id"]), (&made["etag"], &made["id"]));
    assert_eq!(text(&shown, "/properties/subject"), "CN=Plant CA");

    let etagged = |verb: &str, etag: &str, more: &[&str]| {
        stage.certificate(verb, &[&named[..], &["--etag", etag], more].concat())
    };
    let coded = etagged("generate-verification-code", text(&shown, "/etag"), &[]).json();
    let code = text(&coded, "/properties/verificationCode").to_owned();
    let stale = etagged("generate-verification-code", text(&shown, "/etag"), &[]).refused();
    assert!(stale.contains("etag") || stale.contains("PreconditionFailed"), "{stale}");
    let stranger = stage.file("stranger.pem", &signed(&code, &ca("Plant CA")).pem().0);
    let proof = stage.file("proof.pem", &signed(&code, &plant).pem().0);
    let etag = text(&coded, "/etag");
    etagged("verify", etag, &["--path", &stranger]).refused();
    let verified = etagged("verify", etag, &["--path", &proof]).json();
    assert_eq!(verified.pointer("/properties/isVerified"), Some(&json!(true)), "{verified}");

    for kind @ Kind { id, .. } in KINDS {
        let whom = format!("DeviceId={id}");
        stage.connects(kind, &whom, &signed(id, &plant));
        let site = Certified::by(lasting(authority("Site", FROM)), &plant);
        stage.connects(kind, &whom, &signed(id, &site));
        stage.is_refused(kind, &whom, &signed("another", &plant));
    }
    etagged("delete", text(&shown, "/etag"), &[]).refused();
    etagged("delete", text(&verified, "/etag"), &[]).json();
    assert_eq!(stage.certificate("list", &[]).json()["value"], json!([]));
    let (kind, whom) = (&KINDS[0], format!("DeviceId={}", KINDS[0].id));
    stage.is_refused(kind, &whom, &signed(kind.id, &plant));
    // On the word of who uploads it.
    let taken = stage
        .certificate("create", &[&named[..], &["--path", &path, "--verified", "true"]].concat());
    assert_eq!(taken.json().pointer("/properties/isVerified"), Some(&json!(true)));
    stage.connects(kind, &whom, &signed(kind.id, &plant));
}

/// S2-05 in part: certificates of one's own, for devices and modules, and none of another's.
#[test]
fn devices_and_modules_connect_with_certificates_of_their_own() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    let own = || Certified::by_itself(lasting(leaf("whatever", FROM)));
    for kind @ Kind { id, .. } in KINDS {
        let (primary, secondary, module) = (own(), own(), own());
        let hashes = [primary.thumbprints().sha1, secondary.thumbprints().sha256];
        stage.service.calls(
            "create_device_with_x509",
            &[json!(id), json!(hashes[0]), json!(hashes[1]), json!("enabled")],
        );
        let hash = module.thumbprints().sha256;
        stage.service.calls(
            "create_module_with_x509",
            &[json!(id), json!("sensor"), json!(""), json!(hash), json!(hash)],
        );
        let whom = format!("DeviceId={id}");
        stage.connects(kind, &whom, &primary);
        stage.connects(kind, &whom, &secondary);
        stage.is_refused(kind, &whom, &module);
        // Node's client has keys alone for modules.
        if id.starts_with("node") {
            continue;
        }
        let sensor = format!("{whom};ModuleId=sensor");
        stage.connects(kind, &sensor, &module);
        stage.is_refused(kind, &sensor, &primary);
    }
}
