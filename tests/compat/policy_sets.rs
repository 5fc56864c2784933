//! Initiatives with the unmodified CLI: defined, assigned, exempted from in part, overridden; and a rule that
//! keeps a hub from being deleted.

use super::az::{Az, binary, hub_token, text};
use serde_json::{Value, json};
use testkit::{Answer, Process};

const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";

struct Stage {
    server: Process,
    az: Az,
    group: String,
    hub_name: String,
    hub: String,
    host: String,
    token: String,
}

fn stage(home: &std::path::Path) -> Stage {
    let server = Process::start(binary(), &home.join("data"), &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let get = |key: &str| connection.get(key).unwrap().to_owned();
    let (group, hub_name) = (get("HUBWARD_RESOURCE_GROUP"), get("HUBWARD_HUB"));
    let hub = format!(
        "/subscriptions/{}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub_name}",
        get("HUBWARD_SUBSCRIPTION_ID")
    );
    let made = az.run(&["ad", "sp", "create-for-rbac", "--name", "line"]).json();
    let app = text(&made, "/appId");
    let role = ["--role", "IoT Hub Data Contributor", "--scope", &hub, "--assignee", app];
    az.run(&[["role", "assignment", "create"].as_slice(), &role].concat()).json();
    let token = hub_token(&server, app, text(&made, "/password"));
    Stage { az, group, hub_name, hub, host: get("HUBWARD_HUB_HOST"), token, server }
}

impl Stage {
    fn puts(&self, device: &str) -> Answer {
        let url = format!("https://{}/devices/{device}?api-version=2021-04-12", self.host);
        self.server.wire().json("PUT", &url, &self.token, &json!({ "deviceId": device }))
    }

    /// Defines a policy and answers its id.
    fn defines(&self, name: &str, rule: &Value) -> String {
        let rules = rule.to_string();
        let arguments = ["policy", "definition", "create", "--name", name, "--rules", &rules];
        text(&self.az.run(&arguments).json(), "/id").to_owned()
    }

    fn gone(&self, arguments: &[&str]) {
        let said = self.az.run(arguments);
        assert_eq!(said.status, 0, "{}", said.err);
    }
}

fn deny(name: &str) -> Value {
    json!({ "if": { "allOf": [{ "field": "type", "equals": DEVICES },
        { "field": "name", "like": name }] }, "then": { "effect": "deny" } })
}

#[test]
fn az_assigns_an_initiative_and_exempts_from_one_member() {
    let home = tempfile::tempdir().unwrap();
    let stage = stage(home.path());
    let az = &stage.az;
    let (pumps, valves) =
        (stage.defines("no-pumps", &deny("pump-*")), stage.defines("no-valves", &deny("valve-*")));
    let members = json!([
        { "policyDefinitionId": pumps, "policyDefinitionReferenceId": "pumps" },
        { "policyDefinitionId": valves, "policyDefinitionReferenceId": "valves" } ]);
    let members = members.to_string();
    let set = ["policy", "set-definition"];
    let create = ["create", "--name", "names", "--definitions", &members];
    let made = az.run(&[set.as_slice(), &create].concat()).json();
    assert_eq!(text(&made, "/policyDefinitions/1/policyDefinitionReferenceId"), "valves");
    let shown = az.run(&[set.as_slice(), &["show", "--name", "names"]].concat()).json();
    assert_eq!(text(&shown, "/id"), text(&made, "/id"));
    let listed = az.run(&[set.as_slice(), &["list"]].concat()).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");

    let assign = ["policy", "assignment", "create", "--name", "names-1", "--scope", &stage.hub];
    let what = ["--policy-set-definition", "names"];
    let assigned = az.run(&[assign.as_slice(), &what].concat()).json();
    let refused = stage.puts("valve-1").expect(403);
    assert!(refused.text().contains("Policy: names-1"), "{refused:?}");
    stage.puts("sensor-1").expect(200);

    let exempt = ["policy", "exemption", "create", "--name", "relief", "--scope", &stage.hub];
    let from = ["--policy-assignment", text(&assigned, "/id"), "--exemption-category", "Waiver"];
    let member = ["--policy-definition-reference-ids", "valves"];
    let made = az.run(&[exempt.as_slice(), &from, &member].concat()).json();
    assert_eq!(text(&made, "/policyDefinitionReferenceIds/0"), "valves");
    stage.puts("valve-1").expect(200);
    stage.puts("pump-1").expect(403);
    let unknown = ["--policy-definition-reference-ids", "valve"];
    let said = az.run(&[exempt.as_slice(), &from, &unknown].concat()).refused();
    assert!(said.contains("has no member"), "{said}");
    let at = ["--name", "relief", "--scope", &stage.hub];
    stage.gone(&[["policy", "exemption", "delete"].as_slice(), &at].concat());
    stage.puts("valve-2").expect(403);

    // Whatever is in use stays.
    let delete = [set.as_slice(), &["delete", "--name", "names"]].concat();
    assert!(az.run(&delete).refused().contains("names-1"));
    let delete_definition = ["policy", "definition", "delete", "--name", "no-pumps"];
    assert!(az.run(&delete_definition).refused().contains("names"));
    let at = ["--name", "names-1", "--scope", &stage.hub];
    stage.gone(&[["policy", "assignment", "delete"].as_slice(), &at].concat());
    stage.puts("valve-2").expect(200);
    stage.gone(&delete);
    stage.gone(&delete_definition);
}

#[test]
fn az_cannot_delete_a_guarded_hub_or_the_group_around_it() {
    let home = tempfile::tempdir().unwrap();
    let stage = stage(home.path());
    let az = &stage.az;
    let guard = json!({ "if": { "field": "type", "equals": "Microsoft.Devices/IotHubs" },
        "then": { "effect": "denyAction", "details": { "actionNames": ["delete"] } } });
    stage.defines("keep", &guard);
    let assign = ["policy", "assignment", "create", "--name", "keep", "--policy", "keep"];
    az.run(&[assign.as_slice(), &["--scope", &stage.hub]].concat()).json();
    let (name, group) = (stage.hub_name.as_str(), stage.group.as_str());
    let delete_hub = ["iot", "hub", "delete", "--name", name, "--resource-group", group];
    assert!(az.run(&delete_hub).refused().contains("RequestDisallowedByPolicy"));
    let delete_group = ["group", "delete", "--name", group, "--yes"];
    assert!(az.run(&delete_group).refused().contains("RequestDisallowedByPolicy"));
    stage.puts("device1").expect(200);

    let at = ["--name", "keep", "--scope", &stage.hub];
    stage.gone(&[["policy", "assignment", "delete"].as_slice(), &at].concat());
    stage.gone(&delete_hub);
}
