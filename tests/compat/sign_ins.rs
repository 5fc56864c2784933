//! People who sign in with a browser, and the unmodified clients that send them there.

use super::az::{Az, binary, hubward, text};
use super::clients::{interpreter, node_modules, script};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use testkit::{Browser, Process, Shown, encoded};

const UPN: &str = "ana@plant.example";
const PASSWORD: &str = "Right-Pass-1";

/// A server where Ana may read the hub.
fn server(home: &tempfile::TempDir) -> Process {
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let make = ["ad", "user", "create", "--display-name", "Ana", "--user-principal-name", UPN];
    az.run(&[make.as_slice(), &["--password", PASSWORD]].concat()).json();
    let hub = server.hub();
    let role = ["role", "assignment", "create", "--role", "Reader", "--assignee", UPN];
    az.run(&[role.as_slice(), &["--scope", &hub]].concat()).json();
    server
}

fn browser(server: &Process) -> Browser {
    Browser::new(&server.wire(), server.connection().authority())
}

/// The lines that a client says.
fn lines(child: &mut Child) -> impl Iterator<Item = Value> + use<> {
    let out = BufReader::new(child.stdout.take().unwrap());
    out.lines().map(|it| serde_json::from_str(&it.unwrap()).unwrap())
}

/// `az login --use-device-code`, and the page where its code is entered.
#[test]
fn az_signs_a_person_in_by_a_device_code() {
    let home = tempfile::tempdir().unwrap();
    let server = server(&home);
    let az = Az::at(&server);
    let mut child = az.starts(&["login", "--use-device-code", "--output", "json"], &[]);
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    let (page, code) = loop {
        line.clear();
        assert_ne!(err.read_line(&mut line).unwrap(), 0, "az has ended without a code");
        if let Some((_, rest)) = line.split_once("open the page ") {
            let (page, rest) = rest.split_once(" and enter the code ").unwrap();
            break (page.to_owned(), rest.split_whitespace().next().unwrap().to_owned());
        }
    };
    browser(&server).approves(&page, &code, UPN, PASSWORD);
    let mut rest = String::new();
    err.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    let me = az.run(&["account", "show"]).json();
    assert_eq!((text(&me, "/user/name"), text(&me, "/user/type")), (UPN, "user"));
    let hub = server.connection().get("HUBWARD_HUB").unwrap().to_owned();
    assert_eq!(text(&az.run(&["iot", "hub", "show", "--name", &hub]).json(), "/name"), hub);
}

/// S0-39: `az rest` makes a policy of conditional access; `az login` is told its number, and `hubward explain` the policy.
#[test]
fn az_is_told_of_conditional_access_and_explain_names_the_policy() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let server = server(&home);
    let connection = server.connection();
    let az = Az::administrator(&server);
    let body = json!({
        "displayName": "nobody for hubs", "state": "enabled",
        "conditions": {
            "users": { "includeUsers": ["All"] },
            "applications": { "includeApplications": ["89d10474-74af-4874-99a7-c23c2f643083"] } },
        "grantControls": { "operator": "OR", "builtInControls": ["block"] } });
    let url = format!(
        "{}/v1.0/identity/conditionalAccess/policies",
        connection.get("HUBWARD_GRAPH").unwrap()
    );
    let resource = ["--resource", "https://graph.microsoft.com"];
    let rest = ["rest", "--method", "POST", "--url", &url, "--body", &body.to_string()];
    let made = az.run(&[rest.as_slice(), &resource].concat()).json();
    let person = Az::at(&server);
    let tenant = connection.tenant_id();
    person.run(&["login", "--username", UPN, "--password", PASSWORD, "--tenant", tenant]).json();
    let token = ["account", "get-access-token", "--resource", "https://iothubs.azure.net"];
    let refused = person.run(&token).refused();
    assert!(refused.contains("AADSTS53003"), "{refused}");
    let (_, id) = refused.split_once("Trace ID: ").unwrap();
    let id = id.split_whitespace().next().unwrap();
    let explained = hubward(&["explain", id, "--data", &data.display().to_string()]);
    let (said, policy) = (explained.out, text(&made, "/id"));
    for wanted in ["conditional access", "nobody for hubs", policy, UPN] {
        assert!(said.contains(wanted), "no `{wanted}` in {said}");
    }
    println!("{said}");
}

/// Takes the answer of a sign-in to the client that listens for it.
fn delivers(shown: &Shown) {
    let (address, body) = match shown.location() {
        "" => {
            let action = shown.text().split("action=\"").nth(1).unwrap();
            let fields: Vec<String> =
                shown.hidden().iter().map(|(k, v)| format!("{k}={}", encoded(v))).collect();
            (action.split('"').next().unwrap().to_owned(), Some(fields.join("&")))
        }
        address => (address.to_owned(), None),
    };
    let rest = address.strip_prefix("http://").unwrap();
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let mut stream = TcpStream::connect(host).unwrap();
    let request = match body {
        None => format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        Some(body) => format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    };
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
}

/// `az login`, which opens a browser and listens for the code on a port of its own.
#[test]
fn az_signs_a_person_in_by_a_browser() {
    let home = tempfile::tempdir().unwrap();
    let server = server(&home);
    let az = Az::at(&server);
    // What stands in for the browser's program: it takes down where it was sent.
    let (program, told) = (home.path().join("browser"), home.path().join("address"));
    fs::write(&program, format!("#!/bin/sh\necho \"$1\" > '{}'\n", told.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let shown = [("BROWSER", program.to_str().unwrap()), ("DISPLAY", ":0")];
    let mut child = az.starts(&["login", "--output", "json"], &shown);
    let address = loop {
        match fs::read_to_string(&told) {
            Ok(address) if address.ends_with('\n') => break address.trim().to_owned(),
            _ => assert!(child.try_wait().unwrap().is_none(), "az has ended without a browser"),
        }
        std::thread::yield_now();
    };
    let mut ana = browser(&server);
    let form = ana.opens(&address);
    delivers(&ana.signs_in(&form, UPN, PASSWORD));
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(text(&az.run(&["account", "show"]).json(), "/user/name"), UPN);
}

/// MSAL's `acquire_token_by_auth_code_flow` and `acquire_token_by_device_flow`.
#[test]
fn msal_for_python_signs_a_person_in_both_ways() {
    let home = tempfile::tempdir().unwrap();
    let server = server(&home);
    let connection = server.connection();
    let authority = format!("{}/{}", connection.authority(), connection.tenant_id());
    let mut child = Command::new(interpreter())
        .arg(script("python/sign_in.py"))
        .env("AUTHORITY", authority)
        .env("REQUESTS_CA_BUNDLE", connection.ca_file())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = lines(&mut child);
    let mut ana = browser(&server);
    let form = ana.opens(text(&lines.next().unwrap(), "/uri"));
    let sent = ana.signs_in(&form, UPN, PASSWORD);
    let answer: BTreeMap<&str, String> =
        ["code", "state"].into_iter().map(|it| (it, sent.parameter(it))).collect();
    writeln!(child.stdin.as_mut().unwrap(), "{}", json!(answer)).unwrap();
    for _ in 0..2 {
        let answer = lines.next().unwrap();
        text(&answer, "/answer/access_token");
    }
    let flow = lines.next().unwrap();
    let (page, code) = (text(&flow, "/flow/verification_uri"), text(&flow, "/flow/user_code"));
    browser(&server).approves(page, code, UPN, PASSWORD);
    let answer = lines.next().unwrap();
    assert_eq!(text(&answer, "/answer/id_token_claims/preferred_username"), UPN);
    assert!(child.wait().unwrap().success());
}

/// `DeviceCodeCredential` of azure-identity for Node.
#[test]
fn azure_identity_for_node_signs_a_person_in_by_a_device_code() {
    let home = tempfile::tempdir().unwrap();
    let server = server(&home);
    let connection = server.connection();
    let mut child = Command::new("node")
        .arg(script("node/sign_in.js"))
        .env("NODE_PATH", node_modules())
        .env("NODE_EXTRA_CA_CERTS", connection.ca_file())
        .env("AZURE_AUTHORITY_HOST", connection.authority())
        .env("AZURE_TENANT_ID", connection.tenant_id())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = lines(&mut child);
    let flow = lines.next().unwrap();
    let (page, code) = (text(&flow, "/flow/verification_uri"), text(&flow, "/flow/user_code"));
    browser(&server).approves(page, code, UPN, PASSWORD);
    text(&lines.next().unwrap(), "/answer/access_token");
    assert!(child.wait().unwrap().success());
}
