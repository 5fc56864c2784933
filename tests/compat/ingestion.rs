//! `hubward ingest` as a person runs it: with a secret, and as whoever is signed in to the Azure CLI.

use super::az::{Az, Said, binary, hub_id, hubward, text};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use testkit::Process;

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
    let (az, hub) = (Az::administrator(&server), hub_id(&server));
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
