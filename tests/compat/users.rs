//! Users with the unmodified CLI: made, given a role by name, signed in with a password, switched off.

use super::az::{Az, binary, text};
use serde_json::{Value, json};
use testkit::Process;

const UPN: &str = "ana@plant.example";

/// A user of `az ad user create` signs in with `az login -u -p`, does what its role lets it, and is shut out.
#[test]
fn az_makes_a_user_who_signs_in_with_a_password() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let get = |key: &str| connection.get(key).unwrap().to_owned();
    let hub = server.hub();
    let done = |arguments: &[&str]| {
        let said = az.run(arguments);
        assert_eq!(said.status, 0, "{arguments:?}: {}", said.err);
    };
    let make = ["ad", "user", "create", "--display-name", "Ana", "--user-principal-name", UPN];
    let weak = az.run(&[make.as_slice(), &["--password", "weak"]].concat());
    assert!(weak.refused().contains("complexity"));
    let made = az.run(&[make.as_slice(), &["--password", "Right-Pass-1"]].concat()).json();
    let ana = text(&made, "/id").to_owned();
    assert_eq!(text(&made, "/userPrincipalName"), UPN);
    let shown = az.run(&["ad", "user", "show", "--id", UPN]).json();
    assert_eq!(text(&shown, "/id"), ana);
    done(&["ad", "user", "update", "--id", UPN, "--display-name", "Ana of the plant"]);
    let listed = az.run(&["ad", "user", "list", "--upn", UPN]).json();
    assert_eq!(text(&listed, "/0/displayName"), "Ana of the plant");

    // By its name, as an assignee, and by its id with its type.
    let role = ["role", "assignment", "create", "--role", "Reader", "--assignee", UPN];
    let given = az.run(&[role.as_slice(), &["--scope", &hub]].concat()).json();
    assert_eq!(text(&given, "/principalType"), "User");
    let data = ["role", "assignment", "create", "--role", "IoT Hub Data Contributor"];
    let to = ["--assignee-object-id", &ana, "--assignee-principal-type", "User", "--scope", &hub];
    az.run(&[data.as_slice(), &to].concat()).json();
    let held = az.run(&["role", "assignment", "list", "--assignee", UPN, "--scope", &hub]).json();
    assert_eq!(held.as_array().map(Vec::len), Some(2));
    assert_eq!(text(&held, "/0/principalName"), UPN);
    az.run(&["ad", "group", "create", "--display-name", "crew", "--mail-nickname", "crew"]).json();
    done(&["ad", "group", "member", "add", "--group", "crew", "--member-id", &ana]);
    let crew = az.run(&["ad", "group", "member", "list", "--group", "crew"]).json();
    assert_eq!(text(&crew, "/0/userPrincipalName"), UPN);
    let groups = az.run(&["ad", "user", "get-member-groups", "--id", UPN]).json();
    assert_eq!(text(&groups, "/0/displayName"), "crew");

    let person = Az::at(&server);
    let login = |password: &str| {
        person.run(&[
            "login",
            "--username",
            UPN,
            "--password",
            password,
            "--tenant",
            connection.tenant_id(),
        ])
    };
    assert!(login("Wrong-Pass-1").refused().contains("AADSTS50126"));
    let accounts = login("Right-Pass-1").json();
    assert_eq!(text(&accounts, "/0/user/name"), UPN);
    assert_eq!(text(&accounts, "/0/user/type"), "user");
    let me = person.run(&["ad", "signed-in-user", "show"]).json();
    assert_eq!(text(&me, "/id"), ana);
    let seen = person.run(&["iot", "hub", "show", "--name", &get("HUBWARD_HUB")]).json();
    assert_eq!(text(&seen, "/name"), get("HUBWARD_HUB"));
    let keys = person.run(&["iot", "hub", "policy", "list", "--hub-name", &get("HUBWARD_HUB")]);
    let refused = keys.refused();
    assert!(refused.contains("listkeys") && refused.contains(UPN), "{refused}");
    let token = ["account", "get-access-token", "--resource", "https://iothubs.azure.net"];
    let token = person.run(&token).json();
    let url = format!(
        "https://{}/devices/device1?api-version=2021-04-12",
        text(&seen, "/properties/hostName")
    );
    let bearer = format!("Bearer {}", text(&token, "/accessToken"));
    let body = json!({ "deviceId": "device1" });
    server.wire().json("PUT", &url, &bearer, &body).expect(200);

    done(&["ad", "user", "update", "--id", UPN, "--account-enabled", "false"]);
    let off = person.run(&["iot", "hub", "show", "--name", &get("HUBWARD_HUB")]);
    assert!(off.refused().contains("switched off"));
    let graph =
        person.run(&["account", "get-access-token", "--resource", "https://storage.azure.com"]);
    assert!(graph.refused().contains("AADSTS50057"));
    done(&["ad", "user", "delete", "--id", UPN]);
    // The administrator's own is left.
    let left = az.run(&["ad", "user", "list", "--upn", UPN]).json();
    assert_eq!(left, Value::Array(Vec::new()));
}
