//! `hubward ingest` as a person runs it: with a secret, and as whoever is signed in to the Azure CLI.

use super::az::{Az, Said, binary, hubward, text};
use super::clients::{node_modules, script};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use testkit::Process;

/// What the thread's own script said of a step.
struct Thread<'a> {
    server: &'a Process,
    account: &'a Value,
    devices: String,
}

impl Thread<'_> {
    fn says(&self, step: &str, old_token: &str) -> Value {
        let connection = self.server.connection();
        let get = |key: &str| connection.get(key).unwrap().to_owned();
        let address = connection.arm().trim_start_matches("https://").rsplit_once(':').unwrap().0;
        let said = Command::new("node")
            .args([script("node/thread.js"), step.into()])
            .env("NODE_PATH", node_modules())
            .env("NODE_EXTRA_CA_CERTS", connection.ca_file())
            .env("HUBWARD_ADDRESS", address)
            .env("THREAD", script("../fixtures/thread"))
            .env("AZURE_TENANT_ID", connection.tenant_id())
            .env("AZURE_CLIENT_ID", text(self.account, "/appId"))
            .env("AZURE_CLIENT_SECRET", text(self.account, "/password"))
            .env("SUBSCRIPTION", get("HUBWARD_SUBSCRIPTION_ID"))
            .env("GROUP", get("HUBWARD_RESOURCE_GROUP"))
            .env("HUB", get("HUBWARD_HUB"))
            .env("DEVICES", &self.devices)
            .env("OLD_TOKEN", old_token)
            .output();
        super::az::said(said).json()
    }

    /// The same devices by `hubward ingest`: its summary.
    fn ingests(&self, hub: &str, more: &[&str]) -> Value {
        let connection = self.server.connection();
        let all: String = self
            .devices
            .split(',')
            .map(|it| format!("{}\n", json!({ "deviceId": it, "policy": { "maxKeyAgeDays": 90 } })))
            .collect();
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("policies.jsonl");
        std::fs::write(&file, all).unwrap();
        let mut command = Command::new(binary());
        command.args(["ingest", "--hub", hub, "--pause", "0s", "--data"]);
        command.arg(self.server.data()).args(more).arg(&file);
        command.env("AZURE_TENANT_ID", connection.tenant_id());
        command.env("AZURE_CLIENT_ID", text(self.account, "/appId"));
        command.env("AZURE_CLIENT_SECRET", text(self.account, "/password"));
        lines(&super::az::said(command.output())).1
    }
}

/// S1-25, S1-28, S1-39, X-11: the thread's script, byte for byte, with Azure's library and Azure's names, beside `hubward ingest`
/// on the same failures: it gives a batch and all behind it up for one device, takes no refusal for one, never alarms,
/// keeps the token that it means to drop, and uses one to its last instant.
#[test]
fn the_threads_script_runs_and_its_bugs_show_beside_the_client() {
    let home = tempfile::tempdir().unwrap();
    let flags = ["--azure-names", "--propagation", "600"];
    let server = Process::start(binary(), &home.path().join("data"), &flags);
    let (az, hub) = (Az::administrator(&server), server.hub());
    let hosts = hubward(&["hosts", "--data", &server.data().display().to_string()]);
    let address =
        server.connection().arm()["https://".len()..].rsplit_once(':').unwrap().0.to_owned();
    assert!(hosts.out.starts_with(&format!("{address} management.azure.com")), "{}", hosts.out);
    assert_eq!(hosts.out.lines().count(), 3);

    let names: Vec<String> = (0..120).map(|it| format!("pump-{it}")).collect();
    server.makes_pumps(names.len());
    let account = az.run(&["ad", "sp", "create-for-rbac", "--name", "thread"]).json();
    let mut thread = Thread { server: &server, account: &account, devices: "pump-0,pump-1".into() };
    let (id, secret) = (text(&account, "/appId"), text(&account, "/password"));
    let bearer = server.bearer(id, secret, "https://management.azure.com");
    let old = bearer.trim_start_matches("Bearer ").to_owned();

    // No role: the error has no status, so nothing is tried again, no refusal is counted and nobody is alarmed.
    let said = thread.says("retried", "");
    assert_eq!(said["said"], "Policy update failed: 403", "{said}");
    assert_eq!((&said["sent"]["fetches"], &said["slept"]), (&json!(1), &json!([])), "{said}");
    assert_eq!(
        (&said["metrics"]["failureCount"], &said["metrics"]["authErrors"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(said["alarms"], json!([]));
    let summary = thread.ingests(&hub, &[]);
    assert_eq!(
        (&summary["failureCount"], &summary["authErrors"]),
        (&json!(2), &json!(2)),
        "{summary}"
    );

    // A token cannot be of the second in which the role is given, or it brings it along.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let role = json!({ "Name": "Writers", "Description": "", "AssignableScopes": [hub],
        "Actions": ["Microsoft.Devices/IotHubs/securityPolicies/write"] });
    let file = home.path().join("role.json");
    std::fs::write(&file, role.to_string()).unwrap();
    az.run(&["role", "definition", "create", "--role-definition", &file.display().to_string()])
        .json();
    let id = az.run(&["ad", "sp", "show", "--id", text(&account, "/appId")]).json();
    let assign = ["role", "assignment", "create", "--role", "Writers", "--scope", &hub];
    let to =
        ["--assignee-object-id", text(&id, "/id"), "--assignee-principal-type", "ServicePrincipal"];
    az.run(&[&assign[..], &to].concat()).json();

    // The old token again and again, though each 403 is to drop it: what is dropped is nobody's.
    let said = thread.says("retriedWithStatus", &old);
    let told = json!({ "said": "Policy update failed: 403", "isSameToken": true });
    assert_eq!((&said["said"], &said["sent"]["fetches"]), (&told, &json!(3)), "{said}");
    assert_eq!(said["slept"], json!([1_000, 2_000]), "{said}");
    // Counted as it was meant, once the error has a status.
    assert_eq!(said["alarms"], json!([["High auth failure rate", 1]]), "{said}");
    let summary = thread.ingests(&hub, &[]);
    assert_eq!(summary["successCount"], 2, "{summary}");

    // A token with a second left is given out; the client asks for another five minutes before the end.
    assert_eq!(thread.says("margin", "")["said"], true);

    // All is well with it where all is well: three batches, two pauses.
    thread.devices = names.join(",");
    let said = thread.says("batches", "");
    assert_eq!(
        (&said["said"], &said["sent"]["statuses"]["201"]),
        (&json!("done"), &json!(118)),
        "{said}"
    );
    assert_eq!(said["slept"], json!([2_000, 2_000]));

    // One device that is not there: its batch is given up, and what comes behind is never sent.
    let mut astray = names.clone();
    astray[3] = "nobody".into();
    thread.devices = astray.join(",");
    let said = thread.says("batches", "");
    assert_eq!(said["said"], "Policy update failed: 404", "{said}");
    assert_eq!(said["sent"]["fetches"], 50, "{said}");
    let summary = thread.ingests(&hub, &[]);
    assert_eq!(
        (&summary["successCount"], &summary["failureCount"]),
        (&json!(119), &json!(1)),
        "{summary}"
    );
    let reasons: Vec<&String> = summary["byReason"].as_object().unwrap().keys().collect();
    assert_eq!(reasons, ["DeviceNotFound"]);
}

/// S1-33: the seven steps of the page, pasted as they stand there.
#[test]
fn the_seven_steps_of_the_page_can_be_walked() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let server = Process::start(binary(), &data, &[]);
    let (az, hub) = (Az::administrator(&server), server.hub());
    let account = az.run(&["ad", "sp", "create-for-rbac", "--name", "walker"]).json();
    let id = az.run(&["ad", "sp", "show", "--id", text(&account, "/appId")]).json();
    let five = [
        "securityPolicies/write",
        "securityPolicies/read",
        "securityPolicies/delete",
        "securitySettings/write",
        "securitySettings/read",
    ];
    let actions = five.map(|it| format!("Microsoft.Devices/IotHubs/{it}"));
    let role = json!({ "Name": "IoT Security Policy Manager", "Description": "", "Actions": actions,
        "AssignableScopes": [hub] });
    std::fs::write(home.path().join("role.json"), role.to_string()).unwrap();
    let line = r#"{"deviceId": "device-1", "policy": {"maxKeyAgeDays": 90}}"#;
    std::fs::write(home.path().join("policies.jsonl"), line).unwrap();
    let own = server.connection().arm().replace("https://", "http://").replace(":8443", ":9464");
    let set = [
        ("HUB", hub.as_str()),
        ("APP", text(&account, "/appId")),
        ("PRINCIPAL", text(&id, "/id")),
        ("METRICS", &own),
        ("AZURE_TENANT_ID", server.connection().tenant_id()),
        ("AZURE_CLIENT_ID", text(&account, "/appId")),
        ("AZURE_CLIENT_SECRET", text(&account, "/password")),
        ("HUBWARD_DATA", &data.display().to_string()),
    ]
    .map(|(name, it)| format!("export {name}='{it}'\n"))
    .concat();
    let page = std::fs::read_to_string("docs/reference/ingestion-refused.md").unwrap();
    let steps = page.split_once("## Seven steps").unwrap().1;
    let blocks: Vec<&str> =
        steps.split("```sh\n").skip(1).map(|it| it.split_once("```").unwrap().0).collect();
    assert_eq!(blocks.len(), 5, "steps 4 to 6 are one command");
    let mut said = String::new();
    for block in blocks {
        let hubward = format!("'{}' ", binary().display());
        let block = block.replace("hubward diagnose", &format!("{hubward} diagnose"));
        let block = block.replace("hubward ingest ", &format!("{hubward} ingest "));
        let block: String = block
            .lines()
            .map(|it| match it.contains(&*hubward) {
                true => format!("{} --data \"$HUBWARD_DATA\"\n", it.trim()),
                false => format!("{}\n", it.trim()),
            })
            .collect();
        let home = home.path().display();
        let done = az.paste(&format!("set -e\ncd '{home}'\n{set}{block}"));
        assert_eq!(done.status, 0, "{block}\n{}\n{}", done.out, done.err);
        said = done.out;
    }
    let line = format!("{{principal=\"{}\"}} 1", text(&id, "/id"));
    assert!(said.contains(&line), "{said}");
}

/// The lines that were printed, and the summary behind them.
fn lines(said: &Said) -> (Vec<Value>, Value) {
    let read = |it: &str| serde_json::from_str(it).unwrap_or_else(|_| panic!("{it} {}", said.err));
    let mut all: Vec<Value> = said.out.lines().map(read).collect();
    let last = all.pop().unwrap_or_else(|| panic!("{}", said.err));
    (all, last["summary"].clone())
}

/// S1-02, S1-21, S1-41: the role that explains propose, a service principal with its secret, and one command; before the
/// role each refusal names what is missing, and another run goes on where it was.
#[test]
fn a_person_writes_the_policies_of_devices_with_one_command() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let server = Process::start(binary(), &data, &[]);
    let (az, hub) = (Az::administrator(&server), server.hub());
    let policies = home.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    std::fs::write(policies.join("device-1.json"), r#"{"maxKeyAgeDays": 90}"#).unwrap();
    let line = r#"{"deviceId": "device-10", "policy": {"maxKeyAgeDays": 90}}"#;
    std::fs::write(policies.join("more.jsonl"), line).unwrap();

    let account = az.run(&["ad", "sp", "create-for-rbac", "--name", "ingest"]).json();
    let record = home.path().join("written.jsonl").display().to_string();
    let words = [
        "ingest",
        "--hub",
        &hub,
        "--data",
        &data.display().to_string(),
        "--record",
        &record,
        &policies.display().to_string(),
    ]
    .map(str::to_owned);
    let ingest = || {
        let mut command = Command::new(binary());
        command.args(&words).env("AZURE_TENANT_ID", server.connection().tenant_id());
        command.env("AZURE_CLIENT_ID", text(&account, "/appId"));
        command.env("AZURE_CLIENT_SECRET", text(&account, "/password"));
        super::az::said(command.output())
    };
    let refused = ingest();
    assert_eq!(refused.status, 1, "{}", refused.err);
    let (failed, summary) = lines(&refused);
    let reason = "AuthorizationFailed Microsoft.Devices/IotHubs/securityPolicies/write";
    assert_eq!((failed.len(), summary["authErrors"].as_u64()), (2, Some(2)), "{summary}");
    assert_eq!(failed[0]["reason"], reason);
    assert!(summary["stopped"].as_str().unwrap().contains("permission"), "{summary}");
    let id = text(&summary, &format!("/byReason/{}/trackingId", reason.replace('/', "~1")));
    let explained = hubward(&["explain", id, "--data", &data.display().to_string()]);
    assert!(explained.out.contains("securityPolicies/write"), "{}", explained.out);

    let preset = std::fs::read_to_string("docs/presets/iot-hub-security-admin.json").unwrap();
    let role = home.path().join("role.json");
    let scopes: Value = serde_json::from_str(&preset).unwrap();
    let scopes = json!({ "AssignableScopes": [hub], "Name": scopes["Name"],
        "Description": scopes["Description"], "Actions": scopes["Actions"] });
    std::fs::write(&role, scopes.to_string()).unwrap();
    let role = role.display().to_string();
    az.run(&["role", "definition", "create", "--role-definition", &role]).json();
    let id = az.run(&["ad", "sp", "show", "--id", text(&account, "/appId")]).json();
    let assign = ["role", "assignment", "create", "--role", "IoT Hub Security Admin"];
    let to = ["--assignee-object-id", text(&id, "/id"), "--scope", &hub];
    let kind = ["--assignee-principal-type", "ServicePrincipal"];
    az.run(&[&assign[..], &to, &kind].concat()).json();
    let (told, summary) = lines(&ingest());
    assert_eq!((&summary["successCount"], &summary["failureCount"]), (&json!(1), &json!(1)));
    // In the order in which they were answered.
    assert!(told.contains(&json!({ "written": "device-1", "status": 201 })), "{told:?}");
    assert!(told.iter().any(|it| it["reason"] == "DeviceNotFound"), "{told:?}");

    // As whoever is signed in there: the administrator, who has no role that names it.
    let line = format!(
        "'{}' ingest --hub '{hub}' --data '{}' --credential azure-cli '{}'",
        binary().display(),
        data.display(),
        policies.join("device-1.json").display()
    );
    let (_, summary) = lines(&az.paste(&line));
    assert_eq!(summary["byReason"][reason]["count"], 1, "{summary}");
    let person = Az::at(&server);
    let tenant = server.connection().tenant_id().to_owned();
    person.sign_in(text(&account, "/appId"), text(&account, "/password"), &tenant);
    let said = person.paste(&line);
    assert_eq!(said.status, 0, "{} {}", said.out, said.err);
    assert_eq!(lines(&said).1["successCount"], 1);

    // What cannot be meant says so before anything is sent.
    for (wrong, says) in [
        (
            vec!["ingest", "--hub", "plant", "x.json", "--credential", "azure-cli"],
            "is not the id of a hub",
        ),
        (vec!["ingest", "--hub", &hub, "--credential", "secret", "x.json"], "AZURE_TENANT_ID"),
        (
            vec!["ingest", "--hub", &hub, "--every", "4h", "--credential", "azure-cli", "-"],
            "standard input",
        ),
    ] {
        let data = data.display().to_string();
        let said = hubward(&[&wrong[..], &["--data", &data]].concat());
        assert!(said.status != 0 && said.err.contains(says), "{wrong:?}: {}", said.err);
    }
    assert!(Path::new(&record).is_file());
}
