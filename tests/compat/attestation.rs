//! Devices that register with what they hold, with the unmodified clients: certificates over MQTT and HTTPS, and a TPM,
//! in software, over HTTPS and AMQP. Each connects to its hub with the same.

use super::authorities::{ca, signed};
use super::az::{Az, binary, text};
use super::clients::{Client, Shown, interpreter, node_modules, script};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::Process;
use testkit::tpm::Tpm;
use testkit::x509::Certified;

/// 2100-01-01: a signature that outlives every test.
const LATER: Timestamp = Timestamp::from_seconds(4_102_444_800);

struct Stage {
    server: Process,
    az: Az,
    folder: PathBuf,
    dps: String,
    sas: String,
}

impl Stage {
    fn new(home: &Path) -> Self {
        let server = Process::start(binary(), &home.join("data"), &[]);
        let az = Az::administrator(&server);
        let listed = az.run(&["iot", "dps", "list"]).json();
        let dps = text(&listed, "/0/name").to_owned();
        let policy = ["--dps-name", &dps, "--policy-name", "provisioningserviceowner"];
        let policy = az.run(&[&["iot", "dps", "policy", "show"], &policy[..]].concat()).json();
        let key = STANDARD.decode(text(&policy, "/primaryKey")).unwrap();
        let host = server.connection().get("HUBWARD_DPS_HOST").unwrap().to_owned();
        let sas = wire::sas::sign(&host, &key, LATER, Some("provisioningserviceowner"));
        Self { server, az, folder: home.to_owned(), dps, sas }
    }

    fn setting(&self, name: &str) -> String {
        self.server.connection().get(name).unwrap().to_owned()
    }

    fn ca_file(&self) -> PathBuf {
        self.server.connection().ca_file().to_owned()
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn enrolls(&self, path: &str, attestation: &Value) {
        let url =
            format!("https://{}{path}?api-version=2021-10-01", self.setting("HUBWARD_DPS_HOST"));
        let body = json!({ "attestation": attestation });
        self.server.wire().json("PUT", &url, &self.sas, &body).expect(200);
    }

    /// What a client says of a registration.
    fn says(&self, mut client: Command, id: &str, more: &[&str]) -> Value {
        let ca_file = self.ca_file();
        let output = client
            .env("NODE_PATH", node_modules())
            .env("NODE_EXTRA_CA_CERTS", &ca_file)
            .env("SSL_CERT_FILE", ca_file)
            .output()
            .expect("`./check` installs the clients");
        let said = String::from_utf8(output.stdout).unwrap();
        let told = || format!("{id} {more:?}: {said} {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}", told());
        serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{}", told()))
    }

    fn by_python(&self, id: &str, more: &[&str]) -> Value {
        let mut python = Command::new(interpreter());
        python.arg(script("python/register_x509.py")).arg(self.setting("HUBWARD_DPS_HOST"));
        python.arg(self.setting("HUBWARD_DPS_ID_SCOPE")).arg(id).args(more);
        self.says(python, id, more)
    }

    /// A client of Node's, over one of its transports.
    fn node(&self, file: &str, over: &str, id: &str) -> Command {
        let mut node = Command::new("node");
        node.arg(script(file)).arg(over).arg(self.setting("HUBWARD_DPS_HOST"));
        node.arg(self.setting("HUBWARD_DPS_ID_SCOPE")).arg(id);
        node
    }

    /// Registers with a certificate over one of the transports.
    fn registers(&self, over: &str, id: &str, certified: &Certified) -> Value {
        let certificate = self.file("shown.pem", &certified.chain_pem());
        let key = self.file("shown.key", &certified.pem().1);
        match over {
            "https" => {
                let mut node = self.node("node/register.js", over, id);
                node.env("DEVICE_CERTIFICATE", certificate).env("DEVICE_KEY", key);
                self.says(node, id, &[])
            }
            mqtt => self.by_python(id, &[&certificate, &key, mqtt]),
        }
    }

    fn is_assigned(&self, said: &Value, id: &str) {
        assert_eq!(text(said, "/status"), "assigned", "{said}");
        assert_eq!(text(said, "/assignedHub"), self.setting("HUBWARD_HUB_HOST"));
        assert_eq!(text(said, "/deviceId"), id);
    }
}

/// S2-65: three devices and one more of a CA that a person gave with `az` register through its group, over each
/// transport that the clients have here, and connect to the hub with the same certificate.
#[test]
fn devices_of_an_x509_group_register_with_the_sdks_and_connect() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new(home.path());
    let (root, stranger) = (ca("Plant CA"), ca("Plant CA"));
    let path = stage.file("ca.pem", &root.pem().0);
    let upload = ["iot", "dps", "certificate", "create", "--dps-name", &stage.dps, "--path", &path];
    let upload = [&upload[..], &["--certificate-name", "plant-ca", "--verified", "true"]].concat();
    stage.az.run(&upload).json();
    let group = json!({ "type": "x509", "x509": { "caReferences": { "primary": "plant-ca" } } });
    stage.enrolls("/enrollmentGroups/line-1", &group);
    let site = Certified::by(super::authorities::lasting_authority("Site"), &root);
    for (over, id, issuer) in [
        ("mqtt", "pump-1", &root),
        ("mqtt-ws", "pump-2", &root),
        ("https", "pump-3", &root),
        ("https", "pump-4", &site),
    ] {
        let certified = signed(id, issuer);
        let refused = stage.registers(over, id, &signed(id, &stranger));
        assert!(refused.get("error").is_some(), "{over}: {refused}");
        let refused = stage.registers(over, id, &signed("pump-9", issuer));
        assert!(refused.get("error").is_some(), "{over}: {refused}");
        stage.is_assigned(&stage.registers(over, id, &certified), id);
        let string =
            format!("HostName={};DeviceId={id};x509=true", stage.setting("HUBWARD_HUB_HOST"));
        let (certificate, key) = (
            stage.file("own.pem", &certified.chain_pem()),
            stage.file("own.key", &certified.pem().1),
        );
        let ca_file = stage.ca_file();
        let shown = Shown {
            connection_string: &string,
            ca_file: &ca_file,
            transport: "mqtt",
            certificate: Path::new(&certificate),
            key: Path::new(&key),
        };
        let mut device = match over {
            "https" => Client::node_showing(&shown),
            _ => Client::python_showing(&shown),
        };
        device.connects();
        device.sends("here I am");
    }
}

/// A TPM, whose keys are in files and which the script plays, over each transport for which Node's client has one.
#[test]
fn a_device_with_a_tpm_registers_with_nodes_client_and_connects() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new(home.path());
    let (tpm, other) = (Tpm::new(), Tpm::new());
    let keys = json!({ "endorsementKey": tpm.endorsement_key() });
    stage.enrolls("/enrollments/pump-1", &json!({ "type": "tpm", "tpm": keys }));
    let registers = |over: &str, id: &str, tpm: &Tpm| {
        let [endorsement, storage] = tpm.pem();
        let files = [stage.file("ek.pem", &endorsement), stage.file("srk.pem", &storage)];
        let mut node = stage.node("node/register_tpm.js", over, id);
        node.args(files);
        stage.says(node, id, &[over])
    };
    for over in ["https", "amqp", "amqp-ws", "https"] {
        for (id, tpm) in [("pump-1", &other), ("pump-2", &tpm)] {
            let refused = registers(over, id, tpm);
            assert!(refused.get("error").is_some(), "{over}: {refused}");
        }
        let said = registers(over, "pump-1", &tpm);
        stage.is_assigned(&said, "pump-1");
        let string = format!(
            "HostName={};DeviceId=pump-1;SharedAccessKey={}",
            stage.setting("HUBWARD_HUB_HOST"),
            text(&said, "/key")
        );
        let mut device = Client::node_device(&string, &stage.ca_file(), "mqtt");
        device.connects();
        device.sends("here I am");
    }
}
