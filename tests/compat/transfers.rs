//! Imports and exports with the unmodified Python client: the sample of the documentation of managed identities.

use super::az::{Az, binary, text};
use super::clients::{Client, interpreter, script};
use serde_json::{Value, json};
use std::process::Command;
use testkit::Process;

const ROLE: &str = "Storage Blob Data Contributor";

/// S3-29, S3-35: the sample runs as it stands: an import and an export without keys, as a user-assigned identity.
#[test]
fn the_sample_of_the_documentation_runs() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let setting = |name: &str| connection.get(name).unwrap().to_owned();
    let group = setting("HUBWARD_RESOURCE_GROUP");
    let run = |words: &str| az.run(&words.split(' ').collect::<Vec<_>>()).json();
    let account = format!(
        "storage account create --name plantblobs --resource-group {group} --location westus"
    );
    let made = run(&account);
    let keys = run(&format!(
        "storage account keys list --account-name plantblobs --resource-group {group}"
    ));
    let url = text(&made, "/primaryEndpoints/blob").trim_end_matches('/').to_owned();
    let key = text(&keys, "/0/value");
    let string = format!(
        "DefaultEndpointsProtocol=https;AccountName=plantblobs;AccountKey={key};BlobEndpoint={url}"
    );
    let [mut blobs, _] = Client::blobs_of(&server, &[("BLOB_CONNECTION_STRING", &string)]);
    let mut does = |command: Value| {
        let answer = blobs.says(&command.to_string());
        assert!(answer.get("ok").is_some(), "{command}: {answer}");
        answer["ok"].clone()
    };
    does(json!(["make", "jobs"]));
    does(json!(["make", "input"]));
    let lines = "{\"id\":\"imported-1\"}\n{\"id\":\"a/b\"}\n{\"id\":\"imported-2\",\"status\":\"disabled\"}\n";
    does(json!(["upload", "input", "devices.txt", lines]));

    let identity = run(&format!("identity create --name mover --resource-group {group}"));
    let (id, principal) = (text(&identity, "/id"), text(&identity, "/principalId"));
    let hub = server.hub();
    let name = hub.rsplit('/').next().unwrap();
    az.run(&[
        "iot",
        "hub",
        "identity",
        "assign",
        "--name",
        name,
        "--resource-group",
        &group,
        "--user-assigned",
        id,
    ])
    .json();
    let assigned = [
        "role",
        "assignment",
        "create",
        "--role",
        ROLE,
        "--assignee-object-id",
        principal,
        "--assignee-principal-type",
        "ServicePrincipal",
        "--scope",
        text(&made, "/id"),
    ];
    az.run(&assigned).json();

    let said = Command::new(interpreter())
        .arg(script("python/transfers.py"))
        .env("REQUESTS_CA_BUNDLE", connection.ca_file())
        .env("HUB_CONNECTION_STRING", setting("HUBWARD_HUB_CONNECTION_STRING"))
        .env("INPUT", format!("{url}/input"))
        .env("OUTPUT", format!("{url}/jobs"))
        .env("IDENTITY", id)
        .output()
        .unwrap();
    let told: Vec<Value> = String::from_utf8(said.stdout)
        .unwrap()
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let of = |kind: &str| json!({ "type": kind, "status": "completed", "identity": id, "failureReason": null });
    let expected = [of("export"), of("import"), json!({ "known": 2 })];
    assert_eq!(told, expected, "{}", String::from_utf8_lossy(&said.stderr));
    let exported = does(json!(["read", "jobs", "devices.txt"]));
    let exported = exported.as_str().unwrap();
    assert!(exported.contains("\"primaryKey\":null"), "{exported}");
    let told = does(json!(["read", "jobs", "importErrors.log"]));
    let told: Value = serde_json::from_str(told.as_str().unwrap()).unwrap();
    assert_eq!(
        (&told["line"], &told["errorCode"]),
        (&json!(2), &json!("ArgumentInvalid")),
        "{told}"
    );
}
