//! A fleet that stops onboarding, with the unmodified clients: devices register over HTTPS on the
//! provisioning service's own address, a person changes policies and roles with `az`. The server is killed
//! and started again between any two steps.

use super::az::{Az, binary, hub_token, hubward, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{Answer, Process};

const POLICY: &str = "custom-security-policy-v2";
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const TWIN_ROLE: &str = "IoT Hub Twin Contributor";
/// 2100-01-01: a signature that outlives every test.
const LATER: Timestamp = Timestamp::from_seconds(4_102_444_800);

/// What the device's client printed.
type Outcome = Value;

#[expect(clippy::disallowed_methods, reason = "the harness names the modules that it installed")]
fn node_modules() -> PathBuf {
    let named = std::env::var("HUBWARD_NODE_MODULES")
        .expect("`./check` installs the Node client and sets HUBWARD_NODE_MODULES to its folder");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(named);
    assert!(path.exists(), "`{}` is not there: run `./check`", path.display());
    path
}

struct Outsider {
    app: String,
    secret: String,
}

struct Stage {
    server: Option<Process>,
    data: PathBuf,
    az: Az,
    hub: String,
    hub_host: String,
    /// The id of the provisioning service, and who it is at the hub.
    dps: String,
    identity: String,
    dps_host: String,
    dps_key: Vec<u8>,
}

impl Stage {
    fn new(home: &Path) -> Self {
        let data = home.join("data");
        let server = Process::start(binary(), &data, &[]);
        let az = Az::administrator(&server);
        let connection = server.connection();
        let get = |key: &str| connection.get(key).unwrap().to_owned();
        let listed = az.run(&["iot", "dps", "list"]).json();
        let dps = text(&listed, "/0/name");
        let shown = az.run(&["resource", "show", "--ids", text(&listed, "/0/id")]).json();
        let policy = ["--dps-name", dps, "--policy-name", "provisioningserviceowner"];
        let policy = az.run(&[&["iot", "dps", "policy", "show"], &policy[..]].concat()).json();
        Self {
            hub: format!(
                "{}/providers/Microsoft.Devices/IotHubs/{}",
                group(&server),
                get("HUBWARD_HUB")
            ),
            hub_host: get("HUBWARD_HUB_HOST"),
            dps: text(&shown, "/id").to_owned(),
            identity: text(&shown, "/identity/principalId").to_owned(),
            dps_host: get("HUBWARD_DPS_HOST"),
            dps_key: STANDARD.decode(text(&policy, "/primaryKey")).unwrap(),
            server: Some(server),
            data,
            az,
        }
    }

    fn server(&self) -> &Process {
        self.server.as_ref().unwrap()
    }

    /// Kill -9 and start again: nothing that was acknowledged depends on the process.
    fn crash(&mut self) {
        self.server.take().unwrap().kill();
        self.server = Some(Process::start(binary(), &self.data, &[]));
    }

    /// Makes an enrollment group with the service's key and answers the group's own.
    fn enroll_group(&self, name: &str, initial_twin: &Value) -> String {
        let sas =
            wire::sas::sign(&self.dps_host, &self.dps_key, LATER, Some("provisioningserviceowner"));
        let url = format!("https://{}/enrollmentGroups/{name}", self.dps_host);
        let mut body = json!({
            "enrollmentGroupId": name, "attestation": { "type": "symmetricKey" } });
        if !initial_twin.is_null() {
            model::json::set(&mut body, "initialTwin", initial_twin.clone());
        }
        let wire = self.server().wire();
        wire.json("PUT", &format!("{url}?api-version=2021-10-01"), &sas, &body).expect(200);
        let keys = format!("{url}/attestationmechanism?api-version=2021-10-01");
        let keys = wire.json("POST", &keys, &sas, &Value::Null).expect(200).body;
        text(&keys, "/symmetricKey/primaryKey").to_owned()
    }

    /// Registers devices of a group, all at once, as devices do.
    fn register(&self, group_key: &str, devices: &[&str]) -> Vec<Outcome> {
        let connection = self.server().connection();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/node/register.js");
        let output = Command::new("node")
            .arg(script)
            .arg(&self.dps_host)
            .arg(connection.get("HUBWARD_DPS_ID_SCOPE").unwrap())
            .args(devices)
            .env("GROUP_KEY", group_key)
            .env("NODE_PATH", node_modules())
            .env("NODE_EXTRA_CA_CERTS", connection.ca_file())
            .output()
            .expect("`./check` installs Node");
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
    fn is_provisioned(&self, group_key: &str, device: &str) {
        let outcomes = self.register(group_key, &[device]);
        let expected =
            json!({ "status": "assigned", "assignedHub": self.hub_host, "deviceId": device });
        assert_eq!(outcomes, [expected]);
        self.with_hub_key(&format!("/devices/{device}")).expect(200);
    }

    #[track_caller]
    fn is_refused_by_the_policy(&self, group_key: &str, device: &str) -> String {
        let refused = self.register(group_key, &[device]).remove(0);
        has_the_three_facts(&refused);
        self.with_hub_key(&format!("/devices/{device}")).expect(404);
        text(&refused, "/error/message").to_owned()
    }

    /// A read with the hub owner's key, over which no policy has a say.
    fn with_hub_key(&self, path: &str) -> Answer {
        let connection = self.server().connection();
        let owner = connection.get("HUBWARD_HUB_CONNECTION_STRING").unwrap();
        let part = |name: &str| owner.split(';').find_map(|it| it.strip_prefix(name)).unwrap();
        let key = STANDARD.decode(part("SharedAccessKey=")).unwrap();
        let sas = wire::sas::sign(&self.hub_host, &key, LATER, Some(part("SharedAccessKeyName=")));
        let url = format!("https://{}{path}?api-version=2021-04-12", self.hub_host);
        self.server().wire().json("GET", &url, &sas, &Value::Null)
    }

    fn writes_device(&self, who: &Outsider, device: &str) -> Answer {
        let authorization = hub_token(self.server(), &who.app, &who.secret);
        let url = format!("https://{}/devices/{device}?api-version=2021-04-12", self.hub_host);
        self.server().wire().json("PUT", &url, &authorization, &json!({}))
    }

    /// Somebody else who may do the same write, by every role that there is for it.
    fn outsider(&self) -> Outsider {
        let made = self.az.run(&["ad", "sp", "create-for-rbac", "--name", "outsider"]).json();
        let app = text(&made, "/appId").to_owned();
        for role in ["Owner", "IoT Hub Data Contributor", "IoT Hub Registry Contributor", TWIN_ROLE]
        {
            let role = ["--assignee", &app, "--role", role, "--scope", &group(self.server())];
            self.az.run(&[&["role", "assignment", "create"], &role[..]].concat()).json();
        }
        Outsider { secret: text(&made, "/password").to_owned(), app }
    }

    fn explain(&self, message: &str, more: &[&str]) -> String {
        let data = self.data.display().to_string();
        let said = hubward(&[&["explain", message, "--data", &data], more].concat());
        assert_eq!(said.status, 0, "{}", said.err);
        said.out
    }

    fn explained(&self, message: &str) -> Value {
        serde_json::from_str(&self.explain(message, &["-o", "json"])).unwrap()
    }

    /// What would be decided if the provisioning service registered the device now: allowed writes of
    /// devices are not kept.
    fn would_register(&self, device: &str) -> String {
        let data = self.data.display().to_string();
        let write = format!("{DEVICES}/write");
        let ask = ["--principal", &self.identity, "--action", &write, "--scope", &self.hub];
        let more = ["--object-name", device, "-o", "json", "--data", &data];
        let said = hubward(&[&["explain"], &ask[..], &more].concat());
        assert_eq!(said.status, 0, "{}", said.err);
        said.out
    }

    fn write_rules(&self, verb: &str, rules: &Value) {
        let rules = rules.to_string();
        let definition = ["--name", POLICY, "--mode", "All", "--rules", &rules];
        self.az.run(&[&["policy", "definition", verb], &definition[..]].concat()).json();
    }

    /// Assigns the policy to the hub; answers the assignment's id.
    fn assign_policy(&self) -> String {
        let assignment = ["--name", POLICY, "--policy", POLICY, "--scope", &self.hub];
        let assigned =
            self.az.run(&[&["policy", "assignment", "create"], &assignment[..]].concat()).json();
        text(&assigned, "/id").to_owned()
    }

    fn send_logs(&self, resource: &str, logs: &Value) {
        let workspace = format!(
            "{}/providers/Microsoft.OperationalInsights/workspaces/fleet-logs",
            group(self.server())
        );
        let logs = logs.to_string();
        let setting = ["--name", "to-workspace", "--resource", resource, "--logs", &logs];
        let create = ["monitor", "diagnostic-settings", "create", "--workspace", &workspace];
        self.az.run(&[&create[..], &setting[..]].concat()).json();
    }

    /// What `hubward logs` shows once it shows `word`: records are written behind the answers.
    fn logs(&self, word: &str, more: &[&str]) -> String {
        let data = self.data.display().to_string();
        for _ in 0..1_000 {
            let said = hubward(&[&["logs", "--data", &data], more].concat());
            if said.out.contains(word) {
                return said.out;
            }
            std::thread::yield_now();
        }
        panic!("`hubward logs` shows no {word}");
    }

    fn delete_exemption(&self, name: &str) {
        let exemption = ["--name", name, "--scope", &self.hub];
        self.az.run(&[&["policy", "exemption", "delete"], &exemption[..]].concat()).json();
    }
}

fn group(server: &Process) -> String {
    let connection = server.connection();
    format!(
        "/subscriptions/{}/resourceGroups/{}",
        connection.subscription_id().unwrap(),
        connection.get("HUBWARD_RESOURCE_GROUP").unwrap()
    )
}

fn deny() -> Value {
    json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } })
}

fn verdicts(explained: &Value) -> Vec<&str> {
    let steps = explained.pointer("/decision/steps").and_then(Value::as_array).unwrap();
    steps.iter().map(|it| text(it, "/verdict")).collect()
}

#[track_caller]
fn has_the_three_facts(outcome: &Outcome) {
    let message = text(outcome, "/error/message");
    for fact in [
        "HTTP 403: Forbidden",
        "Error: Device registration denied",
        "Policy: custom-security-policy-v2",
    ] {
        assert!(message.lines().any(|it| it == fact), "{fact}: {message}");
    }
    assert_eq!(text(outcome, "/error/name"), "ProvisioningRegistrationFailedError");
    assert_eq!(outcome.pointer("/error/code"), Some(&json!(403_000)));
}

fn tracking(message: &str) -> &str {
    message.lines().find(|it| it.starts_with("Tracking ID:")).unwrap()
}

/// S0-06, S0-26: what stops, what goes on, each fix alone, and who stays refused after the narrow ones.
#[test]
fn a_fleet_stops_onboarding_and_each_fix_alone_brings_it_back() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    let key = stage.enroll_group("fleet", &Value::Null);
    let outsider = stage.outsider();
    stage.crash();
    stage.is_provisioned(&key, "before");
    stage.writes_device(&outsider, "by-hand").expect(200);
    stage.crash();

    stage.write_rules("create", &deny());
    stage.crash();
    let assignment = stage.assign_policy();
    stage.crash();

    // Every new registration fails, and each says why.
    let fleet = ["new-1", "new-2", "new-3", "new-4", "new-5"];
    let refused = stage.register(&key, &fleet);
    for outcome in &refused {
        has_the_three_facts(outcome);
    }
    stage.crash();
    for (outcome, device) in refused.iter().zip(fleet) {
        let line = tracking(text(outcome, "/error/message"));
        let said = stage.explain(line, &[]);
        for word in [POLICY, "policyRule.if", DEVICES, &stage.identity, "not evaluated"] {
            assert!(said.contains(word), "{word}: {said}");
        }
        // Two principals: the provisioning service writes, for the device that asked.
        let explained = stage.explained(line);
        assert_eq!(verdicts(&explained), ["allow", "deny", "notEvaluated", "notEvaluated"]);
        let call = &explained["decision"]["call"];
        assert_eq!(text(call, "/caller/objectId"), stage.identity, "{call}");
        assert_eq!(text(call, "/channel/onBehalfOf/name"), device, "{call}");
        assert!(call["channel"]["onBehalfOf"].to_string().contains("fleet"), "{call}");
    }

    // What was there before is there still.
    let listed = stage.with_hub_key("/devices").expect(200).body;
    let mut ids: Vec<&str> =
        listed.as_array().unwrap().iter().map(|it| text(it, "/deviceId")).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["before", "by-hand", "device-1"]);

    // (a) An exemption of the hub: everybody is let through, and the trace says so.
    let exemption = [
        "--name",
        "whole-hub",
        "--policy-assignment",
        &assignment,
        "--exemption-category",
        "Waiver",
        "--scope",
        &stage.hub,
    ];
    stage.az.run(&[&["policy", "exemption", "create"], &exemption[..]].concat()).json();
    stage.crash();
    stage.is_provisioned(&key, "new-1");
    stage.writes_device(&outsider, "anybody").expect(200);
    let said = stage.would_register("new-2");
    assert!(said.contains("`whole-hub` exempts every caller"), "{said}");
    stage.delete_exemption("whole-hub");
    stage.crash();
    stage.is_refused_by_the_policy(&key, "new-2");

    // (b) The same for the provisioning service alone.
    let url = format!(
        "{}/providers/Microsoft.Authorization/policyExemptions/onboarding?api-version=2026-01-01-preview",
        stage.hub
    );
    let body = json!({ "properties": {
        "policyAssignmentId": assignment, "exemptionCategory": "Waiver",
        "principalIds": [stage.identity] } })
    .to_string();
    stage.az.run(&["rest", "--method", "put", "--url", &url, "--body", &body]).json();
    stage.crash();
    stage.is_provisioned(&key, "new-2");
    let others = stage.writes_device(&outsider, "anybody-else").expect(403);
    assert!(others.text().contains(POLICY), "{others:?}");
    stage.delete_exemption("onboarding");
    stage.crash();
    let message = stage.is_refused_by_the_policy(&key, "new-3");

    // (c) An `allow` in front of the deny.
    let allow = json!({ "if": { "allOf": [
        { "field": "type", "equals": DEVICES },
        { "field": "identity.principalId", "equals": stage.identity } ] },
        "then": { "effect": "allow" } });
    let explained = stage.explained(tracking(&message));
    let proposed: String =
        explained["fixes"].as_array().unwrap().iter().map(|it| text(it, "/command")).collect();
    for command in ["az policy definition update", "az rest", "az policy exemption create"] {
        assert!(proposed.contains(command), "{command}: {proposed}");
    }
    assert!(proposed.contains(&allow.to_string()), "{proposed}");
    stage.write_rules("update", &json!([allow, deny()]));
    stage.crash();
    stage.is_provisioned(&key, "new-3");
    let others = stage.writes_device(&outsider, "anybody-else").expect(403);
    assert!(others.text().contains(POLICY), "{others:?}");
    stage.crash();

    // Who was refused, and who was provisioned, may come back.
    for device in ["new-4", "new-5", "before"] {
        stage.is_provisioned(&key, device);
    }
    let key = stage.enroll_group("second-fleet", &Value::Null);
    stage.crash();
    stage.is_provisioned(&key, "second-1");
}

/// S0-28: the log that `az` switched on names policy, rule and condition; its correlation id leads to the
/// other side.
#[test]
fn the_logs_name_the_rule_and_join_both_sides() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new(home.path());
    let key = stage.enroll_group("fleet", &Value::Null);
    let category = json!([{ "category": "DeviceIdentityOperations", "enabled": true }]);
    stage.send_logs(&stage.hub, &category);
    stage.send_logs(&stage.dps, &json!([{ "categoryGroup": "allLogs", "enabled": true }]));
    stage.write_rules("create", &deny());
    stage.assign_policy();
    let message = stage.is_refused_by_the_policy(&key, "new-1");
    let id = tracking(&message).trim_start_matches("Tracking ID:").trim();

    let written = stage.logs(id, &["--category", "DeviceIdentityOperations", "-o", "json"]);
    let record = written.lines().find(|it| it.contains(id)).unwrap();
    let record: Value = serde_json::from_str(record).unwrap();
    let properties: Value = serde_json::from_str(text(&record, "/properties")).unwrap();
    assert_eq!((text(&properties, "/trackingId"), text(&properties, "/policy")), (id, POLICY));
    assert_eq!(properties["ruleIndex"], 0);
    let rule = properties["chain"].as_array().unwrap().iter().find(|it| it["result"] == "deny");
    let condition = json!({ "path": "policyRule.if", "field": "type", "operator": "equals",
        "expected": DEVICES, "actual": DEVICES, "result": true });
    assert_eq!(rule.unwrap()["details"]["conditions"], json!([condition]));

    let correlation = text(&record, "/correlationId");
    let shown = stage.logs("RegistrationAttempt", &["--correlation", correlation]);
    for word in ["Register ", "create", "deny 403000", "Failure 403", POLICY, id] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let joined = stage.logs("Register\"", &["--correlation", correlation, "-o", "json"]);
    for fact in ["HTTP 403: Forbidden", "Error: Device registration denied", "Policy: custom"] {
        assert!(joined.contains(fact), "{fact}: {joined}");
    }
}

/// The second role is needed for the twin alone, and holds from the next request on.
#[test]
fn an_initial_twin_needs_a_second_role() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    let twin = json!({ "tags": { "line": 7 }, "properties": { "desired": { "rate": 5 } } });
    let (plain, with_twin) =
        (stage.enroll_group("plain", &Value::Null), stage.enroll_group("with-twin", &twin));
    let held = stage.az.run(&["role", "assignment", "list", "--scope", &stage.hub]).json();
    let is_twin = |it: &&Value| {
        it["principalId"] == stage.identity.as_str() && it["roleDefinitionName"] == TWIN_ROLE
    };
    let second: Vec<&Value> = held.as_array().unwrap().iter().filter(is_twin).collect();
    assert_eq!(second.len(), 1, "{held}");
    stage.az.run(&["role", "assignment", "delete", "--ids", text(second[0], "/id")]).json();
    stage.crash();

    stage.is_provisioned(&plain, "plain-1");
    let refused = stage.register(&with_twin, &["twin-1"]).remove(0);
    let message = text(&refused, "/error/message");
    for fact in [
        "HTTP 401: Unauthorized",
        "Error: Device registration denied",
        "Microsoft.Devices/IotHubs/twins/write",
    ] {
        assert!(message.contains(fact), "{fact}: {message}");
    }
    assert_eq!(refused["error"]["code"], 401_003);
    stage.with_hub_key("/devices/twin-1").expect(404);
    stage.crash();

    let explained = stage.explained(tracking(message));
    assert_eq!(verdicts(&explained), ["allow", "allow", "deny", "notEvaluated"]);
    let said = stage.explain(tracking(message), &[]);
    for word in
        ["no role at this scope grants", "az role assignment create", TWIN_ROLE, &stage.identity]
    {
        assert!(said.contains(word), "{word}: {said}");
    }
    let role = [
        "--assignee-object-id",
        &stage.identity,
        "--assignee-principal-type",
        "ServicePrincipal",
        "--role",
        TWIN_ROLE,
        "--scope",
        &stage.hub,
    ];
    stage.az.run(&[&["role", "assignment", "create"], &role[..]].concat()).json();
    stage.is_provisioned(&with_twin, "twin-1");
    stage.crash();
    stage.is_provisioned(&with_twin, "twin-2");
}
