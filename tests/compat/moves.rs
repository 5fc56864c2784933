//! Moving with the unmodified CLI: `az resource move`.

use super::az::{Az, binary, hub_token, text};
use serde_json::json;
use testkit::Process;

/// A hub and its provisioning service change the group in one command, and a role at the new group opens the
/// hub at the address that it had.
#[test]
fn az_moves_a_hub_and_its_provisioning_service_to_another_group() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let get = |key: &str| connection.get(key).unwrap().to_owned();
    let (group, hub) = (get("HUBWARD_RESOURCE_GROUP"), get("HUBWARD_HUB"));
    let target = format!("{group}0");
    let made = az.run(&["group", "create", "--name", &target, "--location", "westus"]).json();
    let target_id = text(&made, "/id").to_owned();
    let account = az.run(&["ad", "sp", "create-for-rbac", "--name", "pump"]).json();
    let (app, secret) = (text(&account, "/appId"), text(&account, "/password"));
    let account = az.run(&["ad", "sp", "show", "--id", app]).json();
    let to = [
        "--assignee-object-id",
        text(&account, "/id"),
        "--assignee-principal-type",
        "ServicePrincipal",
    ];
    let role = ["--role", "IoT Hub Data Contributor", "--scope", &target_id];
    az.run(&[["role", "assignment", "create"].as_slice(), &role, &to].concat()).json();

    let shown = az.run(&["iot", "hub", "show", "--name", &hub]).json();
    let (id, host) = (text(&shown, "/id"), text(&shown, "/properties/hostName"));
    let token = hub_token(&server, app, secret);
    let puts = |device: &str| {
        let url = format!("https://{host}/devices/{device}?api-version=2021-04-12");
        server.wire().json("PUT", &url, &token, &json!({ "deviceId": device })).status
    };
    assert_eq!(puts("d1"), 401);
    let all = az.run(&["iot", "dps", "list", "--resource-group", &group]).json();
    let dps = text(&all, "/0/id");

    let moving = ["resource", "move", "--ids", id, dps, "--destination-group"];
    let twisted = az.run(&[moving.as_slice(), &[&group]].concat()).refused();
    assert!(twisted.contains("in this group already"), "{twisted}");
    let nowhere = az.run(&[moving.as_slice(), &["nowhere"]].concat()).refused();
    assert!(nowhere.contains("ResourceGroupNotFound"), "{nowhere}");
    let lock = ["--name", "keep", "--resource-group", &group];
    az.run(&[["lock", "create", "--lock-type", "ReadOnly"].as_slice(), &lock].concat()).json();
    let locked = az.run(&[moving.as_slice(), &[&target]].concat()).refused();
    assert!(locked.contains("ScopeLocked"), "{locked}");
    let said = az.run(&[["lock", "delete"].as_slice(), &lock].concat());
    assert_eq!(said.status, 0, "{}", said.err);

    let said = az.run(&[moving.as_slice(), &[&target]].concat());
    assert_eq!(said.status, 0, "{}", said.err);
    assert_eq!(puts("d1"), 200);
    let listed = az.run(&["resource", "list", "--resource-group", &target]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    let left = az.run(&["resource", "list", "--resource-group", &group]).json();
    assert_eq!(left, json!([]));
    let shown = az.run(&["iot", "hub", "show", "--name", &hub, "--resource-group", &target]).json();
    assert_eq!(text(&shown, "/properties/hostName"), host);
}
