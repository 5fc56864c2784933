//! A plant with its hub and its provisioning service, on a server that can be killed, and the unmodified clients:
//! devices that register over MQTT and over HTTPS, devices that stay, and a person with `az`.

use super::az::{Az, binary, hub_token, hubward, text};
use super::clients::{Client, interpreter, node_modules, script};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;
use ring::hmac;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use testkit::{Answer, Process};

pub const POLICY: &str = "custom-security-policy-v2";
pub const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
pub const TWIN_ROLE: &str = "IoT Hub Twin Contributor";
/// 2100-01-01: a signature that outlives every test.
const LATER: Timestamp = Timestamp::from_seconds(4_102_444_800);

/// Over what a device registers, and with whose client: where none is named, Python's over MQTT, Node's over the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    Https,
    Mqtt,
    MqttWs,
    NodeMqtt,
    NodeMqttWs,
    Amqp,
    AmqpWs,
}

impl Over {
    pub const ALL: [Self; 7] = [
        Self::Mqtt,
        Self::Https,
        Self::MqttWs,
        Self::NodeMqtt,
        Self::NodeMqttWs,
        Self::Amqp,
        Self::AmqpWs,
    ];

    /// The transport as the scripts know it.
    pub const fn transport(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Mqtt | Self::NodeMqtt => "mqtt",
            Self::MqttWs | Self::NodeMqttWs => "mqtt-ws",
            Self::Amqp => "amqp",
            Self::AmqpWs => "amqp-ws",
        }
    }

    /// The same with a word for Node's client where there are two.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NodeMqtt => "node-mqtt",
            Self::NodeMqttWs => "node-mqtt-ws",
            Self::Https | Self::Mqtt | Self::MqttWs | Self::Amqp | Self::AmqpWs => self.transport(),
        }
    }

    fn client(self) -> Command {
        let mut client = match self {
            Self::Mqtt | Self::MqttWs => {
                let mut python = Command::new(interpreter());
                python.arg(script("python/register.py"));
                python
            }
            Self::Https | Self::NodeMqtt | Self::NodeMqttWs | Self::Amqp | Self::AmqpWs => {
                let mut node = Command::new("node");
                node.arg(script("node/register.js")).env("NODE_PATH", node_modules());
                node
            }
        };
        client.arg(self.transport());
        client
    }
}

/// What the device's client printed.
pub type Outcome = Value;

pub struct Outsider {
    app: String,
    secret: String,
}

pub struct Stage {
    server: Process,
    pub az: Az,
    pub hub: String,
    pub hub_host: String,
    /// The id of the provisioning service, and who it is at the hub.
    pub dps: String,
    pub identity: String,
    dps_host: String,
    dps_key: Vec<u8>,
}

impl Stage {
    pub fn new(home: &Path) -> Self {
        let server = Process::start(binary(), &home.join("data"), &[]);
        let az = Az::administrator(&server);
        let connection = server.connection();
        let get = |key: &str| connection.get(key).unwrap().to_owned();
        let listed = az.run(&["iot", "dps", "list"]).json();
        let dps = text(&listed, "/0/name");
        let shown = az.run(&["resource", "show", "--ids", text(&listed, "/0/id")]).json();
        let policy = ["--dps-name", dps, "--policy-name", "provisioningserviceowner"];
        let policy = az.run(&[&["iot", "dps", "policy", "show"], &policy[..]].concat()).json();
        Self {
            hub: server.hub(),
            hub_host: get("HUBWARD_HUB_HOST"),
            dps: text(&shown, "/id").to_owned(),
            identity: text(&shown, "/identity/principalId").to_owned(),
            dps_host: get("HUBWARD_DPS_HOST"),
            dps_key: STANDARD.decode(text(&policy, "/primaryKey")).unwrap(),
            server,
            az,
        }
    }

    pub fn server(&self) -> &Process {
        &self.server
    }

    /// Kill -9 and start again: nothing that was acknowledged depends on the process.
    pub fn crash(&mut self) {
        self.server.crash();
    }

    /// Makes an enrollment group with the service's key and answers the group's own.
    pub fn enroll_group(&self, name: &str, initial_twin: &Value) -> String {
        let more = match initial_twin.is_null() {
            true => json!({}),
            false => json!({ "initialTwin": initial_twin }),
        };
        self.write_group(name, &more);
        let path = format!("/enrollmentGroups/{name}/attestationmechanism");
        let keys = self.with_dps_key("POST", &path, &Value::Null).expect(200).body;
        text(&keys, "/symmetricKey/primaryKey").to_owned()
    }

    /// Writes an enrollment group that keeps its keys, with more than these.
    pub fn write_group(&self, name: &str, more: &Value) {
        let mut body = json!({
            "enrollmentGroupId": name, "attestation": { "type": "symmetricKey" } });
        for (name, value) in more.as_object().unwrap() {
            model::json::set(&mut body, name, value.clone());
        }
        self.with_dps_key("PUT", &format!("/enrollmentGroups/{name}"), &body).expect(200);
    }

    fn with_dps_key(&self, method: &str, path: &str, body: &Value) -> Answer {
        let sas =
            wire::sas::sign(&self.dps_host, &self.dps_key, LATER, Some("provisioningserviceowner"));
        let url = format!("https://{}{path}?api-version=2021-10-01", self.dps_host);
        self.server().wire().json(method, &url, &sas, body)
    }

    /// Registers devices of a group, all at once, as devices do.
    pub fn register(&self, by: Over, group_key: &str, devices: &[&str]) -> Vec<Outcome> {
        self.registers(by, devices, &[("GROUP_KEY", group_key.as_ref())])
    }

    /// Registers a device with the certificate and the key in two files of PEM.
    pub fn register_showing(
        &self,
        by: Over,
        certificate: &Path,
        key: &Path,
        device: &str,
    ) -> Outcome {
        let shown = [("DEVICE_CERTIFICATE", certificate), ("DEVICE_KEY", key)];
        self.registers(by, &[device], &shown).remove(0)
    }

    fn registers(&self, by: Over, devices: &[&str], shown: &[(&str, &Path)]) -> Vec<Outcome> {
        let connection = self.server().connection();
        let output = by
            .client()
            .arg(&self.dps_host)
            .arg(connection.get("HUBWARD_DPS_ID_SCOPE").unwrap())
            .args(devices)
            .envs(shown.iter().copied())
            .env("NODE_EXTRA_CA_CERTS", connection.ca_file())
            .env("SSL_CERT_FILE", connection.ca_file())
            .output()
            .expect("`./check` installs the clients");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let outcomes: Vec<Outcome> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect();
        assert_eq!(outcomes.len(), devices.len());
        outcomes
    }

    #[track_caller]
    pub fn is_provisioned(&self, by: Over, group_key: &str, device: &str) {
        let outcomes = self.register(by, group_key, &[device]);
        let expected =
            json!({ "status": "assigned", "assignedHub": self.hub_host, "deviceId": device });
        assert_eq!(outcomes, [expected]);
        self.with_hub_key(&format!("/devices/{device}")).expect(200);
    }

    #[track_caller]
    pub fn is_refused_by_the_policy(&self, by: Over, group_key: &str, device: &str) -> String {
        let refused = self.register(by, group_key, &[device]).remove(0);
        has_the_three_facts(&refused);
        self.with_hub_key(&format!("/devices/{device}")).expect(404);
        text(&refused, "/error/message").to_owned()
    }

    /// A device with the key that the group derives for it, told what to do.
    pub fn living(&self, group_key: &str, device: &str) -> Client {
        let group = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(group_key).unwrap());
        let key = STANDARD.encode(hmac::sign(&group, device.as_bytes()));
        let string = format!("HostName={};DeviceId={device};SharedAccessKey={key}", self.hub_host);
        Client::python_device(&string, self.server().connection().ca_file(), "mqtt")
    }

    /// `hubward diagnose dps`: the exit code, and the answer for people or for programs.
    pub fn diagnosed(&self, more: &[&str]) -> (i32, String) {
        let data = self.server.data().display().to_string();
        let asked = ["diagnose", "dps", &self.dps, "--hub", &self.hub, "--data", &data];
        let said = hubward(&[&asked[..], more].concat());
        (said.status, said.out)
    }

    /// How many messages the hub's log holds, and whether all of it is sound.
    pub fn kept_messages(&self) -> u64 {
        let data = self.server.data().display().to_string();
        let said = hubward(&["log", "verify", "--data", &data, "-o", "json"]);
        assert_eq!(said.status, 0, "{}{}", said.out, said.err);
        let logs: Value = serde_json::from_str(&said.out).unwrap();
        let records = |it: &Value| it.pointer("/records").and_then(Value::as_u64).unwrap();
        logs.pointer("/logs").and_then(Value::as_array).unwrap().iter().map(records).sum()
    }

    /// A read with the hub owner's key, over which no policy has a say.
    pub fn with_hub_key(&self, path: &str) -> Answer {
        let connection = self.server().connection();
        let owner = connection.get("HUBWARD_HUB_CONNECTION_STRING").unwrap();
        let part = |name: &str| owner.split(';').find_map(|it| it.strip_prefix(name)).unwrap();
        let key = STANDARD.decode(part("SharedAccessKey=")).unwrap();
        let sas = wire::sas::sign(&self.hub_host, &key, LATER, Some(part("SharedAccessKeyName=")));
        let url = format!("https://{}{path}?api-version=2021-04-12", self.hub_host);
        self.server().wire().json("GET", &url, &sas, &Value::Null)
    }

    pub fn writes_device(&self, who: &Outsider, device: &str) -> Answer {
        let authorization = hub_token(self.server(), &who.app, &who.secret);
        let url = format!("https://{}/devices/{device}?api-version=2021-04-12", self.hub_host);
        self.server().wire().json("PUT", &url, &authorization, &json!({}))
    }

    /// Somebody else who may do the same write, by every role that there is for it.
    pub fn outsider(&self) -> Outsider {
        let made = self.az.run(&["ad", "sp", "create-for-rbac", "--name", "outsider"]).json();
        let app = text(&made, "/appId").to_owned();
        for role in ["Owner", "IoT Hub Data Contributor", "IoT Hub Registry Contributor", TWIN_ROLE]
        {
            let role = ["--assignee", &app, "--role", role, "--scope", &self.server().group()];
            self.az.run(&[&["role", "assignment", "create"], &role[..]].concat()).json();
        }
        Outsider { secret: text(&made, "/password").to_owned(), app }
    }

    pub fn explain(&self, message: &str, more: &[&str]) -> String {
        let data = self.server.data().display().to_string();
        let said = hubward(&[&["explain", message, "--data", &data], more].concat());
        assert_eq!(said.status, 0, "{}", said.err);
        said.out
    }

    pub fn explained(&self, message: &str) -> Value {
        serde_json::from_str(&self.explain(message, &["-o", "json"])).unwrap()
    }

    /// What would be decided if the provisioning service registered the device now: allowed writes of
    /// devices are not kept.
    pub fn would_register(&self, device: &str) -> String {
        let data = self.server.data().display().to_string();
        let write = format!("{DEVICES}/write");
        let ask = ["--principal", &self.identity, "--action", &write, "--scope", &self.hub];
        let more = ["--object-name", device, "-o", "json", "--data", &data];
        let said = hubward(&[&["explain"], &ask[..], &more].concat());
        assert_eq!(said.status, 0, "{}", said.err);
        said.out
    }

    pub fn write_rules(&self, verb: &str, rules: &Value) {
        let rules = rules.to_string();
        let definition = ["--name", POLICY, "--mode", "All", "--rules", &rules];
        self.az.run(&[&["policy", "definition", verb], &definition[..]].concat()).json();
    }

    /// Assigns the policy to the hub; answers the assignment's id.
    pub fn assign_policy(&self) -> String {
        let assignment = ["--name", POLICY, "--policy", POLICY, "--scope", &self.hub];
        let assigned =
            self.az.run(&[&["policy", "assignment", "create"], &assignment[..]].concat()).json();
        text(&assigned, "/id").to_owned()
    }

    pub fn send_logs(&self, resource: &str, logs: &Value) {
        let workspace = format!(
            "{}/providers/Microsoft.OperationalInsights/workspaces/fleet-logs",
            self.server().group()
        );
        let logs = logs.to_string();
        let setting = ["--name", "to-workspace", "--resource", resource, "--logs", &logs];
        let create = ["monitor", "diagnostic-settings", "create", "--workspace", &workspace];
        self.az.run(&[&create[..], &setting[..]].concat()).json();
    }

    /// What `hubward logs` shows once it shows `word`: records are written behind the answers.
    pub fn logs(&self, word: &str, more: &[&str]) -> String {
        let data = self.server.data().display().to_string();
        for _ in 0..1_000 {
            let said = hubward(&[&["logs", "--data", &data], more].concat());
            if said.out.contains(word) {
                return said.out;
            }
            std::thread::yield_now();
        }
        panic!("`hubward logs` shows no {word}");
    }

    pub fn delete_exemption(&self, name: &str) {
        let exemption = ["--name", name, "--scope", &self.hub];
        self.az.run(&[&["policy", "exemption", "delete"], &exemption[..]].concat()).json();
    }
}

pub fn deny() -> Value {
    json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } })
}

pub fn verdicts(explained: &Value) -> Vec<&str> {
    let steps = explained.pointer("/decision/steps").and_then(Value::as_array).unwrap();
    steps.iter().map(|it| text(it, "/verdict")).collect()
}

#[track_caller]
pub fn has_the_three_facts(outcome: &Outcome) {
    let message = text(outcome, "/error/message");
    for fact in [
        "HTTP 403: Forbidden",
        "Error: Device registration denied",
        "Policy: custom-security-policy-v2",
    ] {
        assert!(message.lines().any(|it| it == fact), "{fact}: {message}");
    }
    assert_eq!(outcome.pointer("/error/code"), Some(&json!(403_000)));
    let name = text(outcome, "/error/name");
    assert!(["ProvisioningRegistrationFailedError", "ClientError"].contains(&name), "{name}");
}

pub fn tracking(message: &str) -> &str {
    message.lines().find(|it| it.starts_with("Tracking ID:")).unwrap()
}
