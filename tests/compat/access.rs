//! Roles, management groups, locks and denials with the unmodified CLI.

use super::az::{Az, binary, hub_token, text};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use testkit::Process;

struct Place {
    subscription: String,
    group: String,
    hub: String,
}

fn place(server: &Process) -> Place {
    let connection = server.connection();
    let get = |key: &str| connection.get(key).unwrap().to_owned();
    let subscription = format!("/subscriptions/{}", get("HUBWARD_SUBSCRIPTION_ID"));
    let group = format!("{subscription}/resourceGroups/{}", get("HUBWARD_RESOURCE_GROUP"));
    let hub = format!("{group}/providers/Microsoft.Devices/IotHubs/{}", get("HUBWARD_HUB"));
    Place { subscription, group, hub }
}

/// S1-13, S1-16, S1-17, S1-18: the role file of the thread, as it stands there but for the hub's id, makes a custom
/// role that is listed, and can be assigned at the hub alone; who holds it writes, reads and deletes policies and
/// writes and reads the settings. S1-08, X-09: its operations are listed, and
/// marked as none of Azure's.
#[test]
fn az_takes_the_role_of_the_thread_as_it_stands() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let Place { subscription, hub, .. } = place(&server);
    let file = home.path().join("security-policy-role.json");
    let role = r#"{
  "Name": "IoT Security Policy Manager",
  "Description": "Manage IoT Hub security policies",
  "Actions": [
    "Microsoft.Devices/IotHubs/securityPolicies/write",
    "Microsoft.Devices/IotHubs/securityPolicies/read",
    "Microsoft.Devices/IotHubs/securityPolicies/delete",
    "Microsoft.Devices/IotHubs/securitySettings/write",
    "Microsoft.Devices/IotHubs/securitySettings/read"
  ],
  "AssignableScopes": [
    "{hub}"
  ]
}"#;
    fs::write(&file, role.replace("{hub}", &hub)).unwrap();
    let file = file.display().to_string();
    let made = az.run(&["role", "definition", "create", "--role-definition", &file]).json();
    assert_eq!(text(&made, "/roleName"), "IoT Security Policy Manager");
    let custom = ["role", "definition", "list", "--custom-role-only", "true"];
    let listed = az.run(&[custom.as_slice(), &["--scope", &hub]].concat()).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed.pointer("/0/assignableScopes"), Some(&json!([hub])));

    let account = az.run(&["ad", "sp", "create-for-rbac", "--name", "ingest"]).json();
    let app = text(&account, "/appId");
    let id = az.run(&["ad", "sp", "show", "--id", app]).json();
    let id = text(&id, "/id");
    let assign = |scope: &str| {
        let to = ["--assignee-object-id", id, "--assignee-principal-type", "ServicePrincipal"];
        let role = ["--role", "IoT Security Policy Manager", "--scope", scope];
        az.run(&[["role", "assignment", "create"].as_slice(), &role, &to].concat())
    };
    let refused = assign(&subscription).refused();
    assert!(refused.contains("can be assigned at"), "{refused}");
    // As the thread prints it: what kind of principal it is the CLI finds out.
    let create = ["role", "assignment", "create", "--role", "IoT Security Policy Manager"];
    let to = ["--assignee-object-id", id, "--scope", &hub];
    let assigned = az.run(&[create.as_slice(), &to].concat()).json();
    assert_eq!(text(&assigned, "/principalType"), "ServicePrincipal");
    assert_eq!(text(&assigned, "/scope"), hub);
    let list = ["role", "assignment", "list", "--scope", &hub, "--assignee", app];
    let held = az.run(&list).json();
    assert_eq!(text(&held, "/0/roleDefinitionName"), "IoT Security Policy Manager");

    let person = Az::at(&server);
    person.sign_in(app, text(&account, "/password"), server.connection().tenant_id());
    let rest = |method: &str, below: &str, body: Option<&str>| {
        let url = format!("{hub}/{below}?api-version=2021-07-01");
        let call = ["rest", "--method", method, "--url", &url];
        let body: Vec<&str> = body.into_iter().flat_map(|it| ["--body", it]).collect();
        person.run(&[call.as_slice(), &body].concat())
    };
    let policy = r#"{"properties":{"allowedAuthentication":["sas"],"maxKeyAgeDays":90}}"#;
    let put = rest("put", "securityPolicies/device-1", Some(policy)).json();
    assert_eq!(text(&put, "/name"), "device-1");
    assert_eq!(rest("get", "securityPolicies/device-1", None).json(), put);
    let settings = r#"{"properties":{"defaultAction":"audit"}}"#;
    let set = rest("put", "securitySettings/default", Some(settings)).json();
    assert_eq!(text(&set, "/properties/defaultAction"), "audit");
    assert_eq!(rest("get", "securitySettings/default", None).json(), set);
    let refused = rest("put", "securityPolicies/device-10", Some(policy)).refused();
    assert!(refused.contains("DeviceNotFound"), "{refused}");
    assert_eq!(rest("delete", "securityPolicies/device-1", None).status, 0);

    let shown =
        az.run(&["provider", "operation", "show", "--namespace", "Microsoft.Devices"]).json();
    let types = shown["resourceTypes"].as_array().unwrap();
    let operations = types.iter().flat_map(|it| it["operations"].as_array().unwrap());
    let origins: BTreeMap<&str, &str> =
        operations.map(|it| (text(it, "/name"), text(it, "/origin"))).collect();
    for name in ["securityPolicies/write", "securityPolicies/read", "securityPolicies/delete"] {
        assert_eq!(origins[format!("Microsoft.Devices/IotHubs/{name}").as_str()], "hubward");
    }
    assert_eq!(origins["Microsoft.Devices/IotHubs/devices/write"], "user,system");
    // The thread's label is one like any other.
    let tags = ["--tags", "environment=aziot-24"];
    let labelled = az.run(&[&["resource", "tag", "--ids", &hub][..], &tags].concat()).json();
    assert_eq!(labelled["tags"]["environment"], "aziot-24");
    let wrong =
        role.replace("{hub}", &hub).replace("securitySettings/read", "securitySettingz/read");
    fs::write(&file, wrong.replace("Manager", "Reader")).unwrap();
    let refused = az.run(&["role", "definition", "create", "--role-definition", &file]).refused();
    assert!(refused.contains("InvalidActionOrNotAction"), "{refused}");
}

/// S2-20: a role at a management group reaches the hubs below it, by `az account management-group`.
#[test]
fn az_makes_management_groups_that_roles_reach_through() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let Place { subscription, hub, .. } = place(&server);
    let id = subscription.rsplit('/').next().unwrap();
    let group =
        |words: &[&str]| az.run(&[["account", "management-group"].as_slice(), words].concat());
    let made = group(&["create", "--name", "plants", "--display-name", "Plants", "--no-register"]);
    assert_eq!(text(&made.json(), "/displayName"), "Plants");
    let below = ["create", "--name", "north", "--parent", "plants", "--no-register"];
    let made = group(&below).json();
    assert_eq!(text(&made, "/details/parent/name"), "plants");
    let said = group(&["subscription", "add", "--name", "north", "--subscription", id]);
    assert_eq!(said.status, 0, "{}", said.err);
    let held = group(&["subscription", "show-sub-under-mg", "--name", "north"]).json();
    assert_eq!(text(&held, "/0/name"), id);
    let shown =
        group(&["show", "--name", "plants", "--expand", "--recurse", "--no-register"]).json();
    assert_eq!(text(&shown, "/children/0/children/0/name"), id);
    assert_eq!(group(&["list", "--no-register"]).json().as_array().map(Vec::len), Some(3));
    assert_eq!(group(&["update", "--name", "north", "--display-name", "North"]).status, 0);

    let account = az.run(&["ad", "sp", "create-for-rbac", "--name", "importer"]).json();
    let (app, secret) = (text(&account, "/appId"), text(&account, "/password"));
    let scope = "/providers/Microsoft.Management/managementGroups/plants";
    let assign = ["role", "assignment", "create", "--assignee", app, "--scope", scope];
    az.run(&[assign.as_slice(), &["--role", "IoT Hub Registry Contributor"]].concat()).json();
    let shown = az.run(&["iot", "hub", "show", "--name", hub.rsplit('/').next().unwrap()]).json();
    let origin = format!("https://{}", text(&shown, "/properties/hostName"));
    let token = hub_token(&server, app, secret);
    let puts = |device: &str| {
        let url = format!("{origin}/devices/{device}?api-version=2021-04-12");
        server.wire().json("PUT", &url, &token, &json!({ "deviceId": device })).status
    };
    assert_eq!(puts("device1"), 200);
    assert_eq!(group(&["delete", "--name", "plants", "--no-register"]).status, 1);
    let said = group(&["subscription", "remove", "--name", "north", "--subscription", id]);
    assert_eq!(said.status, 0, "{}", said.err);
    assert_eq!(puts("device10"), 401);
    for name in ["north", "plants"] {
        let said = group(&["delete", "--name", name, "--no-register"]);
        assert_eq!(said.status, 0, "{}", said.err);
    }
}

/// A denial is made with `az rest`, and what it refuses appears as Azure's clients show it.
#[test]
fn az_shows_what_a_denial_refuses() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let Place { group, hub, .. } = place(&server);
    let url = format!(
        "{group}/providers/Microsoft.Authorization/denyAssignments/55555555-0000-4000-8000-000000000001?api-version=2022-04-01"
    );
    let body = json!({ "properties": {
        "denyAssignmentName": "freeze", "permissions": [{ "actions": ["*/write"] }],
        "principals": [{ "id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined" }] } });
    az.run(&["rest", "--method", "put", "--url", &url, "--body", &body.to_string()]).json();
    let name = hub.rsplit('/').next().unwrap();
    let refused =
        az.run(&["iot", "hub", "update", "--name", name, "--set", "tags.line=7"]).refused();
    assert!(refused.contains("DenyAssignmentAuthorizationFailed"), "{refused}");
    assert!(refused.contains("freeze"), "{refused}");
    let listed = az
        .run(&[
            "rest",
            "--method",
            "get",
            "--url",
            &format!(
                "{hub}/providers/Microsoft.Authorization/denyAssignments?api-version=2022-04-01"
            ),
        ])
        .json();
    assert_eq!(text(&listed, "/value/0/properties/denyAssignmentName"), "freeze");
    assert_eq!(az.run(&["rest", "--method", "delete", "--url", &url]).status, 0);
    az.run(&["iot", "hub", "update", "--name", name, "--set", "tags.line=7"]).json();
}
