//! Compliance with the unmodified CLI: states listed, summed up and evaluated anew.

use super::az::{Az, binary, text};
use serde_json::{Value, json};
use testkit::Process;

#[test]
fn az_lists_and_sums_up_which_hubs_break_a_policy() {
    let home = tempfile::tempdir().unwrap();
    let server = Process::start(binary(), &home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let get = |key: &str| connection.get(key).unwrap().to_owned();
    let (group, hub) = (get("HUBWARD_RESOURCE_GROUP"), get("HUBWARD_HUB"));
    let scope = format!("/subscriptions/{}/resourceGroups/{group}", get("HUBWARD_SUBSCRIPTION_ID"));
    let hub_id = format!("{scope}/providers/Microsoft.Devices/IotHubs/{hub}");
    let rule = json!({ "if": { "allOf": [
        { "field": "type", "equals": "Microsoft.Devices/IotHubs" },
        { "field": "tags.owner", "exists": false }] }, "then": { "effect": "audit" } });
    az.run(&["policy", "definition", "create", "--name", "owned", "--rules", &rule.to_string()])
        .json();
    let assign = ["policy", "assignment", "create", "--name", "owned-1", "--policy", "owned"];
    az.run(&[assign.as_slice(), &["--scope", &scope]].concat()).json();

    let list = |more: &[&str]| -> Value {
        az.run(&[["policy", "state", "list"].as_slice(), more].concat()).json()
    };
    let in_group = ["--resource-group", group.as_str()];
    let of_hub = ["--resource", hub_id.as_str(), "--expand", "PolicyEvaluationDetails"];
    let of_assignment = [in_group.as_slice(), &["--policy-assignment", "owned-1"]].concat();
    let filtered = [
        "--filter",
        "complianceState eq 'NonCompliant' and policyAssignmentName eq 'owned-1'",
        "--order-by",
        "timestamp desc, resourceId asc",
        "--top",
        "5",
    ];
    let of_definition = ["--policy-definition", "owned"];
    for more in [&[][..], &in_group, &of_hub, &of_assignment, &filtered, &of_definition] {
        let found = list(more);
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{more:?}: {found}");
        assert_eq!(text(&found, "/0/complianceState"), "NonCompliant", "{more:?}");
        assert_eq!(text(&found, "/0/resourceId"), hub_id, "{more:?}");
        assert_eq!(text(&found, "/0/policyDefinitionAction"), "audit", "{more:?}");
    }
    let details = list(&of_hub);
    let expression = "/0/policyEvaluationDetails/evaluatedExpressions/1/expression";
    assert_eq!(text(&details, expression), "tags.owner");
    let selected = list(&["--select", "resourceId, complianceState"]);
    assert_eq!(text(&selected, "/0/complianceState"), "NonCompliant");

    let summed = |more: &[&str]| {
        let said = az.run(&[["policy", "state", "summarize"].as_slice(), more].concat()).json();
        said.pointer("/results/nonCompliantResources").and_then(Value::as_u64)
    };
    for more in [&[][..], &in_group, &of_assignment, &["--resource", hub_id.as_str()]] {
        assert_eq!(summed(more), Some(1), "{more:?}");
    }
    az.run(&[
        "iot",
        "hub",
        "update",
        "--name",
        &hub,
        "--resource-group",
        &group,
        "--tags",
        "owner=ana",
    ])
    .json();
    for more in [&[][..], &in_group] {
        let said = az.run(&[["policy", "state", "trigger-scan"].as_slice(), more].concat());
        assert_eq!(said.status, 0, "{}", said.err);
    }
    assert_eq!(summed(&in_group), Some(0));
    assert_eq!(text(&list(&in_group), "/0/complianceState"), "Compliant");
    let history = az.run(&["policy", "state", "list", "--all"]).refused();
    assert!(history.contains("none are kept"), "{history}");
}
