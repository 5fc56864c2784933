//! Somebody new follows the README from signing in to a hundred devices with certificates: its lines as they stand
//! there, with the real CLI, OpenSSL and Python client.

use super::az::{Az, binary};
use super::clients::interpreter;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use testkit::Process;

/// What stands in the blocks for a shell of one chapter.
fn lines_of(chapter: &str) -> String {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once(&format!("\n## {chapter}\n")).unwrap();
    let (text, _) = rest.split_once("\n## ").unwrap();
    let blocks = text.split("\n```sh\n").skip(1).map(|it| it.split_once("```").unwrap().0);
    let lines: String = blocks.collect();
    assert!(!lines.is_empty(), "`{chapter}` has nothing to paste");
    lines
}

/// A shell of somebody new, in a folder beside the data directory: what it begins with.
fn shell(home: &Path) -> String {
    let mut script = format!("set -euo pipefail\ncd '{}'\n", home.display());
    for program in [&interpreter(), binary()] {
        let folder = program.parent().unwrap().display();
        writeln!(script, "export PATH='{folder}':\"$PATH\"").unwrap();
    }
    script.push_str(&lines_of("Sign in"));
    script
}

/// From the first command to a message in an event hub, without a key of the hub's: first refused, for want of a role.
#[test]
fn a_message_goes_to_an_event_hub_as_the_readme_says() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("hubward-data"), &[]);
    let mut script = shell(home.path());
    script.push_str(&lines_of("Messages to an event hub, as the hub itself"));
    let said = Az::new(&server).paste(&script);
    assert_eq!(said.status, 0, "{}{}", said.out, said.err);
    assert!(said.err.contains("lacks the role `Azure Event Hubs Data Sender`"), "{}", said.err);
    for line in ["the role comes first", r#"hot: device-1 {"temperature":31.5}"#] {
        assert!(said.out.lines().any(|it| it == line), "{line}: {}{}", said.out, said.err);
    }
}

/// S2-65 in part: each registers with its certificate through one group, connects with the same and sends.
#[test]
fn a_hundred_devices_with_certificates_do_as_the_readme_says() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("hubward-data"), &[]);
    let mut script = shell(home.path());
    script.push_str(&lines_of("A hundred devices with certificates"));
    let said = Az::new(&server).paste(&script);
    assert_eq!(said.status, 0, "{}{}", said.out, said.err);

    // Of the proof, of the program, and of the provisioning service.
    let connection = server.connection();
    let host = connection.get("HUBWARD_HUB_HOST").unwrap();
    for line in ["true", &format!("100 devices are at {host}"), "100"] {
        assert!(said.out.lines().any(|it| it == line), "{line}: {}{}", said.out, said.err);
    }
    let sent: BTreeSet<String> = said
        .out
        .lines()
        .filter_map(|it| serde_json::from_str::<Value>(it).ok())
        .filter_map(|it| {
            Some(format!("{} sent {}", it["deviceId"].as_str()?, it["body"].as_str()?))
        })
        .collect();
    let expected: BTreeSet<String> =
        (1..=100).map(|it| format!("valve-{it} sent valve-{it} is here")).collect();
    assert_eq!(sent, expected);
    for told in
        ["its own certificate, valid until", "disconnected  mqtt", "`valve-7` is not connected"]
    {
        assert!(said.out.contains(told) || said.err.contains(told), "{told}: {}", said.out);
    }
}
