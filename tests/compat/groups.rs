//! Groups with the unmodified CLI: made, filled, given a role, asked about, emptied.

use super::az::{Az, binary, hub_token, text};
use serde_json::{Value, json};
use testkit::Process;

/// A role on a hub that is held through a group in a group, by `az ad group` and `az role assignment`.
#[test]
fn az_nests_groups_and_gives_them_a_role() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let get = |key: &str| connection.get(key).unwrap().to_owned();
    let hub = server.hub();
    let made = az.run(&["ad", "sp", "create-for-rbac", "--name", "pump"]).json();
    let (app, secret) = (text(&made, "/appId"), text(&made, "/password"));
    let shown = az.run(&["ad", "sp", "show", "--id", app]).json();
    let pump = text(&shown, "/id");

    let create = |name: &str| {
        let names = ["--display-name", name, "--mail-nickname", name];
        let made = az.run(&[["ad", "group", "create"].as_slice(), &names].concat()).json();
        text(&made, "/id").to_owned()
    };
    let (inner, outer) = (create("inner"), create("outer"));
    assert_eq!(create("inner"), inner, "a second time it is found");
    let member = |verb: &str, group: &str, whom: &str| {
        let said = az.run(&["ad", "group", "member", verb, "--group", group, "--member-id", whom]);
        assert_eq!(said.status, 0, "{}", said.err);
        said.out
    };
    member("add", "outer", &inner);
    member("add", "inner", pump);
    assert!(member("check", "outer", pump).contains("true"));
    assert!(member("check", "inner", &outer).contains("false"));
    let listed = az.run(&["ad", "group", "member", "list", "--group", "inner"]).json();
    assert_eq!(text(&listed, "/0/id"), pump);
    let above = az.run(&["ad", "group", "get-member-groups", "--group", "inner"]).json();
    assert_eq!(above, json!([outer]));
    let twisted =
        az.run(&["ad", "group", "member", "add", "--group", "inner", "--member-id", &outer]);
    assert!(twisted.refused().contains("would contain itself"));

    let role = ["--role", "IoT Hub Data Contributor", "--scope", &hub];
    let to = ["--assignee-object-id", &outer, "--assignee-principal-type", "Group"];
    az.run(&[["role", "assignment", "create"].as_slice(), &role, &to].concat()).json();
    let list = ["role", "assignment", "list", "--scope", &hub, "--assignee", pump];
    assert_eq!(az.run(&list).json(), json!([]));
    let held = az.run(&[list.as_slice(), &["--include-groups"]].concat()).json();
    assert_eq!(text(&held, "/0/principalType"), "Group");
    assert_eq!(text(&held, "/0/principalName"), "outer");

    let name = az.run(&["iot", "hub", "show", "--name", &get("HUBWARD_HUB")]).json();
    let origin = format!("https://{}", text(&name, "/properties/hostName"));
    let token = hub_token(&server, app, secret);
    let puts = |device: &str| {
        let url = format!("{origin}/devices/{device}?api-version=2021-04-12");
        server.wire().json("PUT", &url, &token, &json!({ "deviceId": device })).status
    };
    assert_eq!(puts("device1"), 200);
    member("remove", "inner", pump);
    assert_eq!(puts("device10"), 401);

    let said = az.run(&["ad", "group", "delete", "--group", "inner"]);
    assert_eq!(said.status, 0, "{}", said.err);
    let left = az.run(&["ad", "group", "list"]).json();
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
    assert_eq!(
        az.run(&["ad", "group", "member", "list", "--group", "outer"]).json(),
        Value::Array(Vec::new())
    );
}
