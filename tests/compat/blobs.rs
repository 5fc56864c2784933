//! Blobs with the unmodified libraries for Python and Node: by the account's key, by addresses that are signed, and as an
//! application that signs in.

use super::az::{Az, binary, text};
use super::clients::Client;
use serde_json::{Value, json};
use testkit::Process;

const DATA_READER: &str = "Storage Blob Data Reader";
const LARGE: usize = 5 << 20;

struct Plant {
    _home: tempfile::TempDir,
    server: Process,
    az: Az,
    id: String,
    url: String,
    connection_string: String,
}

impl Plant {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let server = Process::start(binary(), &home.path().join("data"), &[]);
        let az = Az::administrator(&server);
        let group = server.connection().get("HUBWARD_RESOURCE_GROUP").unwrap().to_owned();
        let run = |words: &str| az.run(&words.split(' ').collect::<Vec<_>>()).json();
        let made = run(&format!(
            "storage account create --name plantblobs --resource-group {group} --location westus"
        ));
        let keys = run(&format!(
            "storage account keys list --account-name plantblobs --resource-group {group}"
        ));
        let (id, url) =
            (text(&made, "/id").to_owned(), text(&made, "/primaryEndpoints/blob").to_owned());
        let key = text(&keys, "/0/value");
        let connection_string = format!(
            "DefaultEndpointsProtocol=https;AccountName=plantblobs;AccountKey={key};BlobEndpoint={url}"
        );
        Self { _home: home, server, az, id, url, connection_string }
    }

    /// The libraries for Python and Node, in this order.
    fn clients(&self) -> [Client; 2] {
        Client::blobs_of(&self.server, &[("BLOB_CONNECTION_STRING", &self.connection_string)])
    }

    /// The same for an application that signs in.
    fn clients_as(&self, app_id: &str, secret: &str) -> [Client; 2] {
        let connection = self.server.connection();
        let told = [
            ("BLOB_URL", self.url.as_str()),
            ("AZURE_AUTHORITY_HOST", connection.authority()),
            ("AZURE_TENANT_ID", connection.tenant_id()),
            ("AZURE_CLIENT_ID", app_id),
            ("AZURE_CLIENT_SECRET", secret),
        ];
        Client::blobs_of(&self.server, &told)
    }
}

#[track_caller]
fn does(client: &mut Client, command: Value) -> Value {
    let answer = client.says(&command.to_string());
    assert!(answer.get("ok").is_some(), "{command}: {answer}");
    answer["ok"].clone()
}

#[track_caller]
fn fails(client: &mut Client, command: Value, status: u16, code: &str) {
    let answer = client.says(&command.to_string());
    assert_eq!(
        (&answer["error"]["status"], &answer["error"]["code"]),
        (&json!(status), &json!(code)),
        "{answer}"
    );
}

#[test]
fn the_libraries_keep_and_read_blobs_by_key() {
    let plant = Plant::new();
    for (client, container) in plant.clients().iter_mut().zip(["by-python", "by-node"]) {
        does(client, json!(["make", container]));
        fails(client, json!(["make", container]), 409, "ContainerAlreadyExists");
        let all = does(client, json!(["containers"]));
        assert!(all.as_array().unwrap().contains(&json!(container)), "{all}");
        let upload = |text: &str, overwrite: bool| json!(["upload", container, "a/pump 7.txt", text, overwrite, { "line": "4", "a_b": "x", "ab": "y" }]);
        does(client, upload("one", false));
        fails(client, upload("two", false), 409, "BlobAlreadyExists");
        does(client, upload("two", true));
        assert_eq!(does(client, json!(["read", container, "a/pump 7.txt"])), "two");
        let known = does(client, json!(["properties", container, "a/pump 7.txt"]));
        let metadata = json!({ "line": "4", "a_b": "x", "ab": "y" });
        assert_eq!(known, json!({ "size": 3, "type": "text/plain", "metadata": metadata }));
        let large = does(client, json!(["upload_large", container, "large", LARGE]));
        assert_eq!(large, json!({ "same": true, "blocks": 5, "waiting": 0 }));
        assert_eq!(
            does(client, json!(["append", container, "log", ["one\n", "two\n"]])),
            "one\ntwo\n"
        );
        assert_eq!(
            does(client, json!(["names", container, null, 2])),
            json!([["a/pump 7.txt", "large"], ["log"]])
        );
        assert_eq!(does(client, json!(["walk", container])), json!(["a/", "large", "log"]));
        does(client, json!(["delete", container, "log"]));
        fails(client, json!(["read", container, "log"]), 404, "BlobNotFound");
    }
}

#[test]
fn addresses_that_the_libraries_sign_open_what_they_say() {
    let plant = Plant::new();
    for (client, container) in plant.clients().iter_mut().zip(["by-python", "by-node"]) {
        does(client, json!(["make", container]));
        does(client, json!(["upload", container, "a", "one"]));
        let address = does(client, json!(["signed", container, "a", "r", 3600]));
        assert_eq!(does(client, json!(["read_at", address])), "one");
        fails(client, json!(["write_at", address, "two"]), 403, "AuthorizationPermissionMismatch");
        let late = does(client, json!(["signed", container, "a", "r", -60]));
        fails(client, json!(["read_at", late]), 403, "AuthenticationFailed");
        let other = address.as_str().unwrap().replace("/a?", "/b?");
        fails(client, json!(["read_at", other]), 403, "AuthenticationFailed");
    }
}

#[test]
fn an_application_reads_by_its_role_and_signs_as_itself() {
    let plant = Plant::new();
    let [mut by_key, _] = plant.clients();
    does(&mut by_key, json!(["make", "shared"]));
    does(&mut by_key, json!(["upload", "shared", "a", "one"]));
    let app = plant.az.run(&["ad", "sp", "create-for-rbac", "--name", "reader"]).json();
    let (app_id, secret) = (text(&app, "/appId"), text(&app, "/password"));
    for client in &mut plant.clients_as(app_id, secret) {
        fails(client, json!(["read", "shared", "a"]), 403, "AuthorizationPermissionMismatch");
    }
    let assigned = [
        "role",
        "assignment",
        "create",
        "--assignee",
        app_id,
        "--role",
        DATA_READER,
        "--scope",
        &plant.id,
    ];
    plant.az.run(&assigned).json();
    for client in &mut plant.clients_as(app_id, secret) {
        assert_eq!(does(client, json!(["read", "shared", "a"])), "one");
        fails(
            client,
            json!(["upload", "shared", "a", "two", true]),
            403,
            "AuthorizationPermissionMismatch",
        );
        let address = does(client, json!(["signed", "shared", "a", "rw", 3600]));
        assert_eq!(does(client, json!(["read_at", address])), "one");
        fails(client, json!(["write_at", address, "two"]), 403, "AuthorizationPermissionMismatch");
    }
}
