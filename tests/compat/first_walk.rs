//! What a new user does: start it, paste what it printed, make things.

use super::az::{Az, binary, hubward, text};
use testkit::Process;

/// The printed lines alone sign in, and make a second hub, a service principal and its role.
#[test]
fn the_printed_lines_sign_in_and_make_things() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let printed: Vec<&str> = server
        .greeting
        .lines()
        .map(str::trim)
        .filter(|it| it.starts_with("az ") || it.starts_with("export "))
        .collect();
    assert_eq!(printed.len(), 5, "{}", server.greeting);
    let az = Az::new(&server);
    let signed_in = az.paste(&printed.join("\n"));
    assert_eq!(signed_in.status, 0, "{}{}", signed_in.out, signed_in.err);

    let connection = server.connection();
    let group = connection.get("HUBWARD_RESOURCE_GROUP").unwrap();
    let hub = az
        .run(&[
            "iot",
            "hub",
            "create",
            "--name",
            "second-hub",
            "--resource-group",
            group,
            "--sku",
            "S1",
        ])
        .json();
    assert_eq!(text(&hub, "/properties/state"), "Active");
    let shown = az.run(&["iot", "hub", "show", "--name", "second-hub"]).json();
    assert_eq!(text(&shown, "/properties/hostName"), text(&hub, "/properties/hostName"));
    let principal = az
        .run(&[
            "ad",
            "sp",
            "create-for-rbac",
            "--name",
            "deployer",
            "--role",
            "Reader",
            "--scopes",
            text(&hub, "/id"),
        ])
        .json();
    let app = text(&principal, "/appId");
    let assigned = az
        .run(&[
            "role",
            "assignment",
            "create",
            "--assignee",
            app,
            "--role",
            "IoT Hub Data Contributor",
            "--scope",
            text(&hub, "/id"),
        ])
        .json();
    assert!(text(&assigned, "/roleDefinitionId").ends_with("4fc6c259-987e-4a07-842e-c321cc9d413f"));

    // The new principal signs in with what was printed, and may read the hub and nothing beside it.
    let own = Az::administrator(&server);
    own.sign_in(app, text(&principal, "/password"), text(&principal, "/tenant"));
    own.run(&["resource", "show", "--ids", text(&hub, "/id")]).json();
    let seen = own.run(&["iot", "hub", "list"]).json();
    assert_eq!(seen.as_array().unwrap().len(), 1, "{seen}");
    let first = text(&hub, "/id").replace("second-hub", connection.hub().unwrap());
    let refused = own.run(&["resource", "show", "--ids", &first]).refused();
    assert!(refused.contains("AuthorizationFailed"), "{refused}");
    assert!(server.terminate().success(), "SIGTERM ends it with 0");
}

#[test]
fn two_servers_run_side_by_side_and_remember_everything() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    let first = Process::start(binary(), &a, &[]);
    let second = Process::start(binary(), &b, &["--empty"]);
    assert_ne!(first.connection().arm(), second.connection().arm());
    assert_eq!(second.connection().hub(), Some(""), "`--empty` makes no hub");
    let before = std::fs::read_to_string(a.join("connection.env")).unwrap();
    for server in [&first, &second] {
        let az = Az::administrator(server);
        let all = az.run(&["account", "list"]).json();
        assert_eq!(text(&all[0], "/id"), server.connection().subscription_id().unwrap());
    }
    first.kill();
    let again = Process::start(binary(), &a, &[]);
    assert_eq!(std::fs::read_to_string(a.join("connection.env")).unwrap(), before);
    let third =
        std::process::Command::new(binary()).args(["up", "--data"]).arg(&a).output().unwrap();
    assert!(!third.status.success());
    assert!(String::from_utf8_lossy(&third.stderr).contains("another server runs"));
    drop(again);
}

#[test]
fn the_commands_help_and_say_what_to_do_next() {
    for command in [
        &["--help"][..],
        &["up", "--help"],
        &["explain", "--help"],
        &["logs", "--help"],
        &["replay", "--help"],
        &["completions", "bash"],
    ] {
        let said = hubward(command);
        assert_eq!(said.status, 0, "{}", said.err);
        assert!(said.out.contains("hubward"), "{}", said.out);
    }
    let home = tempfile::tempdir().unwrap();
    let nowhere = home.path().join("nowhere").display().to_string();
    let said = hubward(&["explain", "3f0c0f5e-1111-4222-8333-444455556666", "--data", &nowhere]);
    assert_ne!(said.status, 0);
    assert!(said.err.contains("hubward up"), "{}", said.err);
}
