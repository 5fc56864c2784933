//! The console in Chromium, as a person walks it. Pictures of every screen stay in `target/console`.

use super::az::binary;
use super::clients::{node_modules, script};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::Process;

/// Where Debian's package puts it.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Walks a module of `node/console` at a fresh server.
fn walk(module: &str, flags: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), flags);
    let connection = server.connection();
    let text = std::fs::read_to_string(server.data().join("connection.env")).unwrap();
    let env: Map<String, Value> = text
        .lines()
        .filter_map(|it| it.split_once('='))
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect();
    let hub = server.hub();
    let (group, _) = hub.split_once("/providers/").unwrap();
    assert!(Path::new(CHROMIUM).exists(), "run `./check`, which installs Chromium");
    let world = json!({
        "origin": connection.arm(),
        "user": env["HUBWARD_ADMIN_USER"],
        "password": env["HUBWARD_ADMIN_PASSWORD"],
        "subscription": env["HUBWARD_SUBSCRIPTION_ID"],
        "group": group,
        "hub": env["HUBWARD_HUB"],
        "hubScope": hub,
        "env": env,
        "chromium": CHROMIUM,
        "hubward": binary(),
        "pictures": pictures(),
    });
    let mut node = Command::new("node");
    node.arg(script("node/console/walk.js")).arg(world.to_string()).arg(module);
    node.env("NODE_PATH", node_modules()).env("NODE_EXTRA_CA_CERTS", connection.ca_file());
    let said = node.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{module}: {out}\n{err}");
    show(&out);
    keep(module);
}

/// The pictures of the README: of which walk, under which name there, and here.
const KEPT: [(&str, &str, &str); 4] = [
    ("core", "pulse", "pulse"),
    ("core", "decision", "decision"),
    ("devices", "devices", "devices"),
    ("access", "access-lit", "access"),
];

/// With `HUBWARD_BLESS=1` the README's pictures are those that were taken just now.
#[expect(clippy::disallowed_methods, reason = "whoever runs the test says so")]
fn keep(module: &str) {
    if std::env::var("HUBWARD_BLESS").is_err() {
        return;
    }
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
    for (_, taken, name) in KEPT.iter().filter(|(of, _, _)| *of == module) {
        let taken = pictures().join(format!("{taken}-light.png"));
        std::fs::copy(taken, kept.join(format!("{name}.png"))).unwrap();
    }
}

fn pictures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/console")
}

/// S0-36, threats 63 to 65: from a refusal to its named cause and the smallest change in one click.
#[test]
fn the_console_leads_from_a_refusal_to_its_cause() {
    walk("core", &[]);
}

/// S0-20, S0-21, S2-50, S2-54, S2-56, S2-57, S2-58, S2-59, X-21: a policy from the bench to its revisions, keys shown, made
/// anew and switched off after a review, and the way that is taken for whom.
#[test]
fn policies_and_keys_are_looked_after_in_the_console() {
    walk("policies", &[]);
}

/// S2-53, S2-54, S2-55: who would break is named, keys are switched off, and it is they who break, and nobody else.
#[test]
fn keys_are_switched_off_in_the_console_after_a_review() {
    walk("keys_off", &[]);
}

/// Ten thousand devices on one screen, by state and with who was refused; a device with what proves it, its twin, what it
/// sends and its story; and by which way the hub was reached.
#[test]
fn the_console_shows_a_fleet_and_each_of_its_devices() {
    walk("devices", &[]);
}

/// S2-13, S3-03, S3-09, S3-16: who holds which role where, now and before; roles for people and for identities, which are
/// found by kind; and the identities of a hub.
#[test]
fn the_console_shows_who_may_do_what_and_gives_and_takes_roles() {
    walk("access", &[]);
}

/// S0-36, S3-03: registrations from enrollments to hubs; a failed one is one click from the policy that refused it.
#[test]
fn the_console_shows_what_becomes_of_registrations() {
    walk("provisioning", &[]);
}

#[expect(clippy::print_stdout, reason = "how long frames took is for whoever watches the test")]
fn show(text: &str) {
    print!("{text}");
}
