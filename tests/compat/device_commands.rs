//! A person plays a device with the binary alone.

use super::az::{binary, hubward};
use super::clients::interpreter;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use testkit::Process;

/// `hubward device listen`, until it is dropped.
struct Listener {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Listener {
    fn start(data: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(["device", "listen", "-o", "json", "--data"])
            .arg(data)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn hears(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("it ended"))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_person_plays_a_device_with_the_binary_alone() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let data = server.data().display().to_string();
    let device = |words: &[&str]| hubward(&[&["device"], words, &["--data", &data]].concat());
    let works = |words: &[&str]| {
        let said = device(words);
        assert_eq!(said.status, 0, "{words:?}: {}", said.err);
        said.out
    };
    assert_eq!(works(&["send", r#"{"t":21.5}"#, "-p", "level=a b"]), "device-1: 1 acknowledged\n");

    let seen = hubward(&["monitor", "--from", "earliest", "-n", "1", "--data", &data]);
    let seen: Value = serde_json::from_str(&seen.out).unwrap_or_else(|_| panic!("{}", seen.err));
    assert_eq!((&seen["deviceId"], &seen["body"]), (&json!("device-1"), &json!(r#"{"t":21.5}"#)));
    assert_eq!(seen["properties"], json!({ "level": "a b" }));
    assert_eq!(seen["systemProperties"]["contentType"], "application/json");

    // The method waits until somebody listens.
    let mut listener = Listener::start(server.data(), &["--answer", "201", r#"{"was":"done"}"#]);
    let answer = works(&["method", "reset", r#"{"hard":true}"#]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer, json!({ "status": 201, "payload": { "was": "done" } }));
    assert_eq!(listener.hears(), json!({ "method": "reset", "payload": { "hard": true } }));

    let twin = works(&["twin", "--desired", r#"{"rate":5}"#, "--tags", r#"{"hall":1}"#]);
    let twin: Value = serde_json::from_str(&twin).unwrap();
    assert_eq!(
        (&twin["properties"]["desired"]["rate"], &twin["tags"]["hall"]),
        (&json!(5), &json!(1))
    );
    let heard = listener.hears();
    assert_eq!((&heard["desired"]["rate"], &heard["version"]), (&json!(5), &json!("2")));
    drop(listener);
    let twin = works(&["twin", "--reported", r#"{"rate":5}"#]);
    let twin: Value = serde_json::from_str(&twin).unwrap();
    assert_eq!(twin["properties"]["reported"]["rate"], 5);

    // What cannot be says what to do.
    let check = |words: &[&str], status: i32, said: &str| {
        let failed = device(words);
        assert_eq!(failed.status, status, "{words:?}: {}", failed.err);
        assert!(failed.err.contains(said), "{words:?}: {}", failed.err);
    };
    check(&["send", "x", "--device", "device-10"], 1, "DeviceNotFound");
    check(&["method", "reset", "--timeout", "5"], 1, "DeviceNotOnline");
    check(&["method", "reset", "{"], 2, "quote it for the shell");
    check(&["twin", "--reported", "[1]"], 1, "status 400");
    check(&["send", "x", "-p", "=1"], 2, "NAME=VALUE");
    let failed = hubward(&["monitor", "--from", "noon", "--data", &data]);
    assert!(failed.status == 1 && failed.err.contains("2026-11-22T08:00:00Z"), "{}", failed.err);
}

/// What the README tells to do with the SDKs, as it stands there.
#[test]
fn the_sdks_do_as_the_readme_says() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```python\n").unwrap();
    let (program, _) = rest.split_once("```").unwrap();
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let connection = server.connection();
    let mut python = Command::new(interpreter());
    for name in
        ["CA_FILE", "DEVICE_CONNECTION_STRING", "HUB_CONNECTION_STRING", "EVENTS_CONNECTION_STRING"]
    {
        let name = format!("HUBWARD_{name}");
        python.env(&name, connection.get(&name).unwrap());
    }
    python.env("REQUESTS_CA_BUNDLE", connection.ca_file());
    python.env("SSL_CERT_FILE", connection.ca_file());
    let said = python.args(["-c", program]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    for line in [
        "the device hears hello",
        "the device answers {'done': True}",
        r#"somebody reads {"temperature":21.5}"#,
    ] {
        assert!(out.contains(line), "{line}: {out}{err}");
    }
}
