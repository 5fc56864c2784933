//! The rest of what the CLI can ask: each command once, with what its users look at.

use super::az::{Az, binary, hubward, text};
use serde_json::{Value, json};
use testkit::Process;

struct Place {
    subscription: String,
    group: String,
    hub_name: String,
    hub: String,
}

fn stage(home: &std::path::Path) -> (Process, Az, Place) {
    let server = Process::start(binary(), &home.join("data"), &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let get = |key: &str| connection.get(key).unwrap().to_owned();
    let (subscription, group, hub_name) =
        (get("HUBWARD_SUBSCRIPTION_ID"), get("HUBWARD_RESOURCE_GROUP"), get("HUBWARD_HUB"));
    let hub = format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub_name}"
    );
    (server, az, Place { subscription, group, hub_name, hub })
}

#[test]
fn groups_and_hubs_answer_the_cli() {
    let home = tempfile::tempdir().unwrap();
    let (_server, az, place) = stage(home.path());
    az.run(&[
        "group",
        "create",
        "--name",
        "rg1",
        "--location",
        "westeurope",
        "--tags",
        "team=plant",
    ])
    .json();
    assert_eq!(text(&az.run(&["group", "show", "--name", "rg1"]).json(), "/tags/team"), "plant");
    assert_eq!(az.run(&["group", "exists", "--name", "rg1"]).json(), json!(true));
    assert_eq!(az.run(&["group", "exists", "--name", "rg10"]).json(), json!(false));
    assert_eq!(az.run(&["group", "list"]).json().as_array().unwrap().len(), 2);
    az.run(&["group", "update", "--name", "rg1", "--tags", "team=line"]).json();

    let made = az
        .run(&[
            "iot",
            "hub",
            "create",
            "--name",
            "plant-hub",
            "--resource-group",
            "rg1",
            "--sku",
            "S2",
            "--unit",
            "2",
        ])
        .json();
    assert_eq!(made["sku"]["capacity"], 2);
    assert_eq!(az.run(&["iot", "hub", "list"]).json().as_array().unwrap().len(), 2);
    let updated =
        az.run(&["iot", "hub", "update", "--name", "plant-hub", "--set", "tags.line=7"]).json();
    assert_eq!(text(&updated, "/tags/line"), "7");
    let keys = az.run(&["iot", "hub", "policy", "list", "--hub-name", "plant-hub"]).json();
    assert_eq!(keys.as_array().unwrap().len(), 5);
    let key = az
        .run(&["iot", "hub", "policy", "show", "--hub-name", "plant-hub", "--name", "service"])
        .json();
    assert_eq!(text(&key, "/rights"), "ServiceConnect");
    let taken = az
        .run(&["iot", "hub", "create", "--name", "plant-hub", "--resource-group", &place.group])
        .refused();
    assert!(taken.contains("plant-hub"), "{taken}");

    let shown = az.run(&["resource", "show", "--ids", &place.hub]).json();
    assert_eq!(text(&shown, "/name"), place.hub_name);
    let shown = az
        .run(&[
            "resource",
            "show",
            "--name",
            "plant-hub",
            "--resource-group",
            "rg1",
            "--resource-type",
            "Microsoft.Devices/IotHubs",
        ])
        .json();
    assert_eq!(text(&shown, "/properties/state"), "Active");
    // Two hubs, and the provisioning service that the first start made.
    assert_eq!(az.run(&["resource", "list"]).json().as_array().unwrap().len(), 3);
    az.run(&[
        "resource",
        "update",
        "--ids",
        &place.hub,
        "--set",
        "properties.disableLocalAuth=true",
    ])
    .json();

    az.run(&["iot", "hub", "delete", "--name", "plant-hub", "--resource-group", "rg1"]).json();
    az.run(&["group", "delete", "--name", "rg1", "--yes"]).json();
    assert_eq!(az.run(&["group", "exists", "--name", "rg1"]).json(), json!(false));
    let bad = az.run(&["group", "create", "--name", "rg2", "--location", "atlantis"]).refused();
    assert!(bad.contains("atlantis"), "{bad}");
}

#[test]
fn roles_and_applications_answer_the_cli() {
    let home = tempfile::tempdir().unwrap();
    let (_server, az, place) = stage(home.path());
    let file = home.path().join("role.json");
    let role = json!({
        "Name": "Device clerk", "Description": "Registers devices", "Actions": ["Microsoft.Devices/IotHubs/read"],
        "DataActions": ["Microsoft.Devices/IotHubs/devices/*"],
        "AssignableScopes": [format!("/subscriptions/{}", place.subscription)] });
    std::fs::write(&file, role.to_string()).unwrap();
    let made = az
        .run(&["role", "definition", "create", "--role-definition", &file.display().to_string()])
        .json();
    assert_eq!(text(&made, "/roleType"), "CustomRole");
    let custom = az.run(&["role", "definition", "list", "--custom-role-only"]).json();
    assert_eq!(custom.as_array().unwrap().len(), 1);
    let builtin =
        az.run(&["role", "definition", "list", "--name", "IoT Hub Twin Contributor"]).json();
    assert_eq!(text(&builtin, "/0/name"), "494bdba2-168f-4f31-a0a1-191d2f7c028c");

    let app = az.run(&["ad", "app", "create", "--display-name", "clerk"]).json();
    let app_id = text(&app, "/appId");
    let principal = az.run(&["ad", "sp", "create", "--id", app_id]).json();
    let object_id = text(&principal, "/id");
    az.run(&[
        "role",
        "assignment",
        "create",
        "--assignee",
        app_id,
        "--role",
        "Device clerk",
        "--scope",
        &place.hub,
    ])
    .json();
    az.run(&[
        "role",
        "assignment",
        "create",
        "--assignee-object-id",
        object_id,
        "--assignee-principal-type",
        "ServicePrincipal",
        "--role",
        "Reader",
        "--scope",
        &place.hub,
    ])
    .json();
    let listed =
        az.run(&["role", "assignment", "list", "--assignee", app_id, "--scope", &place.hub]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let clash = az.run(&["role", "definition", "delete", "--name", "Device clerk"]).refused();
    assert!(clash.contains("existing role assignments"), "{clash}");
    az.run(&["role", "assignment", "delete", "--assignee", app_id, "--scope", &place.hub]).json();
    az.run(&["role", "definition", "delete", "--name", "Device clerk"]).json();

    let reset = az.run(&["ad", "app", "credential", "reset", "--id", app_id]).json();
    assert!(text(&reset, "/password").len() >= 32);
    assert_eq!(
        az.run(&["ad", "app", "credential", "list", "--id", app_id])
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        text(&az.run(&["ad", "app", "list", "--display-name", "clerk"]).json(), "/0/appId"),
        app_id
    );
    az.run(&["ad", "sp", "delete", "--id", app_id]).json();
    az.run(&["ad", "app", "delete", "--id", app_id]).json();
    az.run(&["ad", "app", "show", "--id", app_id]).refused();
}

/// S0-14: the document of the source goes in as it stands there, through the CLI and through ARM.
#[test]
fn policies_answer_the_cli() {
    let home = tempfile::tempdir().unwrap();
    let (server, az, place) = stage(home.path());
    let body = r#"{
  "properties": {
    "policyRule": {
      "if": {
        "allOf": [
          {"field": "type", "equals": "Microsoft.Devices/IotHubs/devices"},
          {"field": "identity.principalId", "equals": "<DPS-managed-identity-id>"}
        ]
      },
      "then": {"effect": "allow"}
    }
  }
}"#;
    let connection = server.connection();
    let token = az.run(&["account", "get-access-token"]).json();
    let url = format!(
        "{}/subscriptions/{}/providers/Microsoft.Authorization/policyDefinitions/as-printed?api-version=2023-04-01",
        connection.arm(),
        place.subscription
    );
    let authorization = format!("Bearer {}", text(&token, "/accessToken"));
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    server.wire().send("PUT", &url, &headers, body.as_bytes()).expect(201);
    let rule: Value = serde_json::from_str(body).unwrap();
    let rule = rule["properties"]["policyRule"].to_string();
    let made =
        az.run(&["policy", "definition", "create", "--name", "by-cli", "--rules", &rule]).json();
    assert_eq!(made["policyRule"]["then"]["effect"], "allow");
    assert_eq!(az.run(&["policy", "definition", "list"]).json().as_array().unwrap().len(), 2);

    az.run(&[
        "policy",
        "assignment",
        "create",
        "--name",
        "a1",
        "--policy",
        "by-cli",
        "--scope",
        &place.hub,
    ])
    .json();
    // The CLI asks at the hub's group, and without this flag only for what lies exactly there.
    let listed = az
        .run(&[
            "policy",
            "assignment",
            "list",
            "--scope",
            &place.hub,
            "--disable-scope-strict-match",
        ])
        .json();
    assert_eq!(text(&listed, "/0/name"), "a1");
    az.run(&[
        "policy",
        "assignment",
        "update",
        "--name",
        "a1",
        "--scope",
        &place.hub,
        "--enforcement-mode",
        "DoNotEnforce",
    ])
    .json();
    assert_eq!(
        text(
            &az.run(&["policy", "assignment", "show", "--name", "a1", "--scope", &place.hub])
                .json(),
            "/enforcementMode"
        ),
        "DoNotEnforce"
    );
    let exemption = az
        .run(&[
            "policy",
            "exemption",
            "create",
            "--name",
            "e1",
            "--policy-assignment",
            &format!("{}/providers/Microsoft.Authorization/policyAssignments/a1", place.hub),
            "--exemption-category",
            "Waiver",
            "--scope",
            &place.hub,
            "--expires-on",
            "2099-01-01T00:00:00Z",
        ])
        .json();
    assert_eq!(text(&exemption, "/exemptionCategory"), "Waiver");
    assert_eq!(
        az.run(&[
            "policy",
            "exemption",
            "list",
            "--scope",
            &place.hub,
            "--disable-scope-strict-match"
        ])
        .json()
        .as_array()
        .unwrap()
        .len(),
        1
    );
    az.run(&["policy", "exemption", "delete", "--name", "e1", "--scope", &place.hub]).json();
    let used = az.run(&["policy", "definition", "delete", "--name", "by-cli"]).refused();
    assert!(used.contains("a1"), "{used}");
    az.run(&["policy", "assignment", "delete", "--name", "a1", "--scope", &place.hub]).json();
    az.run(&["policy", "definition", "delete", "--name", "by-cli"]).json();
    let bad = az
        .run(&[
            "policy",
            "definition",
            "create",
            "--name",
            "bad",
            "--rules",
            &rule.replace("allow", "permit"),
        ])
        .refused();
    assert!(bad.contains("policyRule.then.effect") && bad.contains("permit"), "{bad}");
}

#[test]
fn providers_logs_and_raw_requests_answer_the_cli() {
    let home = tempfile::tempdir().unwrap();
    let (server, az, place) = stage(home.path());
    let operations = az
        .run(&["provider", "operation", "show", "--namespace", "Microsoft.Devices"])
        .json()
        .to_string();
    for name in
        ["Microsoft.Devices/IotHubs/devices/write", "Microsoft.Devices/IotHubs/listkeys/action"]
    {
        assert!(operations.contains(name), "{name}");
    }
    let provider = az.run(&["provider", "show", "--namespace", "Microsoft.Devices"]).json();
    assert_eq!(text(&provider, "/registrationState"), "Registered");
    az.run(&["provider", "list"]).json();
    az.run(&["account", "list-locations"]).json();

    let workspace = format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.OperationalInsights/workspaces/Fleet-Logs",
        place.subscription, place.group
    );
    let logs = r#"[{"category":"DeviceIdentityOperations","enabled":true}]"#;
    az.run(&[
        "monitor",
        "diagnostic-settings",
        "create",
        "--name",
        "all",
        "--resource",
        &place.hub,
        "--workspace",
        &workspace,
        "--logs",
        logs,
    ])
    .json();
    az.run(&["monitor", "diagnostic-settings", "list", "--resource", &place.hub]).json();
    az.run(&["monitor", "diagnostic-settings", "categories", "list", "--resource", &place.hub])
        .json();
    let wrong = r#"[{"category":"NoSuchCategory","enabled":true}]"#;
    let refused = az
        .run(&[
            "monitor",
            "diagnostic-settings",
            "create",
            "--name",
            "bad",
            "--resource",
            &place.hub,
            "--workspace",
            &workspace,
            "--logs",
            wrong,
        ])
        .refused();
    assert!(refused.contains("NoSuchCategory"), "{refused}");

    // A refusal of a device write reaches the log, and `hubward logs` shows it.
    let host = server.connection().get("HUBWARD_HUB_HOST").unwrap().to_owned();
    let token =
        az.run(&["account", "get-access-token", "--resource", "https://iothubs.azure.net"]).json();
    let url = format!("https://{host}/devices/d1?api-version=2021-04-12");
    let answer = server
        .wire()
        .json("PUT", &url, &format!("Bearer {}", text(&token, "/accessToken")), &json!({}))
        .expect(401);
    let data = server.data().display().to_string();
    let mut shown = String::new();
    for _ in 0..100 {
        shown = hubward(&["logs", "--data", &data]).out;
        if shown.contains("DeviceIdentityOperations") {
            break;
        }
        std::thread::yield_now();
    }
    assert!(shown.contains("DeviceIdentityOperations") && shown.contains("access"), "{shown}");
    assert!(!answer.tracking().is_empty());

    let raw = az
        .run(&[
            "rest",
            "--method",
            "get",
            "--url",
            &format!("{}?api-version=2023-06-30", place.hub),
        ])
        .json();
    assert_eq!(text(&raw, "/name"), place.hub_name);
    let nothing =
        az.run(&["rest", "--method", "get", "--url", "/nowhere?api-version=2021-04-01"]).refused();
    assert!(nothing.contains("InvalidResourceType") || nothing.contains("nowhere"), "{nothing}");
}

#[test]
fn locks_answer_the_cli_and_keep_what_they_lie_at() {
    let home = tempfile::tempdir().unwrap();
    let (server, az, place) = stage(home.path());
    let data = server.data().display().to_string();
    az.run(&["group", "create", "--name", "rg1", "--location", "westeurope"]).json();
    let at_hub = ["--resource-group", &place.group, "--resource-name", &place.hub_name];
    let of_hub = [&at_hub[..], &["--resource-type", "Microsoft.Devices/IotHubs"]].concat();
    let run = |head: &[&str], tail: &[&str]| az.run(&[head, tail].concat());
    let made =
        run(&["lock", "create", "--name", "keep", "--lock-type", "CanNotDelete"], &of_hub).json();
    // The CLI writes `resourcegroups` here.
    let id = text(&made, "/id").to_owned();
    let expected = format!("{}/providers/Microsoft.Authorization/locks/keep", place.hub);
    assert!(id.eq_ignore_ascii_case(&expected), "{id}");
    run(&["lock", "create", "--name", "all", "--lock-type", "CanNotDelete"], &[]).json();
    let group = ["--resource-group", "rg1"];
    run(&["lock", "create", "--name", "freeze", "--lock-type", "ReadOnly"], &group).json();
    assert_eq!(az.run(&["lock", "list"]).json().as_array().unwrap().len(), 3);
    assert_eq!(run(&["lock", "list"], &group).json().as_array().unwrap().len(), 1);
    assert_eq!(run(&["lock", "list"], &of_hub).json().as_array().unwrap().len(), 1);
    assert_eq!(text(&run(&["lock", "show", "--name", "keep"], &of_hub).json(), "/name"), "keep");
    let changed = run(&["lock", "update", "--name", "keep", "--notes", "ask first"], &of_hub);
    assert_eq!(text(&changed.json(), "/notes"), "ask first");

    let frozen = az.run(&["group", "update", "--name", "rg1", "--tags", "team=line"]).refused();
    assert!(frozen.contains("ScopeLocked") && frozen.contains("write operation"), "{frozen}");
    run(&["lock", "update", "--name", "freeze", "--lock-type", "CanNotDelete"], &group).json();
    az.run(&["group", "update", "--name", "rg1", "--tags", "team=line"]).json();

    let refused = az.run(&["iot", "hub", "delete", "--name", &place.hub_name]).refused();
    assert!(refused.contains("ScopeLocked") && refused.contains(&place.hub), "{refused}");
    let delete = "Microsoft.Devices/IotHubs/delete";
    let asked = ["--principal", "administrator", "--action", delete, "--scope", &place.hub];
    let told = hubward(&[&["explain", "--data", &data, "-o", "json"], &asked[..]].concat());
    let told: Value = serde_json::from_str(&told.out).unwrap();
    let command = text(&told, "/fixes/0/command");
    assert!(command.starts_with("az lock delete --ids") && command.contains(&id), "{command}");
    az.paste(command).json();
    assert_eq!(az.run(&["lock", "list"]).json().as_array().unwrap().len(), 1);
    run(&["lock", "delete", "--name", "freeze"], &group).json();
    az.run(&["iot", "hub", "delete", "--name", &place.hub_name]).json();
}
