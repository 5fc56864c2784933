//! Policies change what is written, and what they left is what is judged, stored and shown.

use serde_json::{Value, json};
use testkit::World;

const HUBS: &str = "Microsoft.Devices/IotHubs";

fn modify(operations: Value) -> Value {
    json!({
        "if": { "field": "type", "equals": HUBS },
        "then": { "effect": "modify", "details": {
            "roleDefinitionIds": ["/providers/Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c"],
            "operations": operations,
        } },
    })
}

fn append(tag: &str, value: &str) -> Value {
    json!({
        "if": { "field": "type", "equals": HUBS },
        "then": { "effect": "append", "details": [{ "field": format!("tags['{tag}']"), "value": value }] },
    })
}

fn hub(tags: Value) -> Value {
    json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 }, "tags": tags })
}

#[test]
fn a_modify_policy_puts_a_tag_on_a_hub_whether_it_is_put_or_patched() {
    let world = World::new();
    let rule = modify(json!([
        { "operation": "addOrReplace", "field": "tags.line", "value": "[concat('line-', '7')]" },
        { "operation": "addOrReplace", "field": format!("{HUBS}/disableDeviceSAS"), "value": true },
        { "operation": "remove", "field": "tags.draft" },
    ]));
    world.define_policy("line", &rule).expect(201);
    world.assign_policy("line", &world.group()).expect(201);

    let id = world.hub_named("plant-9");
    let made = world.arm("PUT", &id, &hub(json!({ "line": "8", "draft": "yes" }))).expect(201);
    assert_eq!(made.body["tags"], json!({ "line": "line-7" }));
    let shown = world.arm("GET", &id, &Value::Null).expect(200).body;
    assert_eq!(shown["tags"], json!({ "line": "line-7" }));
    assert_eq!(shown["properties"]["disableDeviceSAS"], true);

    let patch = json!({ "tags": { "line": null, "Draft": "again", "hall": "3" } });
    world.arm("PATCH", &id, &patch).expect(200);
    let shown = world.arm("GET", &id, &Value::Null).expect(200).body;
    assert_eq!(shown["tags"], json!({ "hall": "3", "line": "line-7" }));

    // A hub from before has the tag from its next write on.
    world.arm("PATCH", &world.hub(), &json!({ "tags": { "hall": "3" } })).expect(200);
    let shown = world.arm("GET", &world.hub(), &Value::Null).expect(200).body;
    assert_eq!(shown["tags"]["line"], "line-7");
    assert!(world.judged_again() > 0);
}

#[test]
fn an_append_of_another_value_denies_and_a_deny_sees_what_was_appended() {
    let world = World::new();
    world.define_policy("line", &append("line", "7")).expect(201);
    world.assign_policy("line", &world.group()).expect(201);
    let id = world.hub_named("plant-9");
    let refused = world.arm("PUT", &id, &hub(json!({ "line": "8" }))).expect(403);
    assert_eq!(refused.code(), "RequestDisallowedByPolicy");
    assert!(refused.body.to_string().contains("policyAssignments/line"), "{refused:?}");
    world.arm("GET", &id, &Value::Null).expect(404);
    world.arm("PUT", &id, &hub(json!({}))).expect(201);

    let rule =
        json!({ "if": { "field": "tags.line", "equals": "7" }, "then": { "effect": "deny" } });
    world.define_policy("not-seven", &rule).expect(201);
    world.assign_policy("not-seven", &world.subscription()).expect(201);
    let other = world.hub_named("plant-10");
    let refused = world.arm("PUT", &other, &hub(json!({}))).expect(403);
    assert!(refused.body.to_string().contains("not-seven"), "{refused:?}");
    world.arm("GET", &other, &Value::Null).expect(404);
}

#[test]
fn a_group_gets_its_tag_and_what_cannot_be_changed_is_refused_by_name() {
    let world = World::new();
    let rule = json!({
        "if": { "field": "type", "equals": "Microsoft.Resources/subscriptions/resourceGroups" },
        "then": { "effect": "append", "details": [{ "field": "tags", "value": { "owner": "plant" } }] },
    });
    world.define_policy("owner", &rule).expect(201);
    world.assign_policy("owner", &world.subscription()).expect(201);
    let group = format!("{}/resourceGroups/hall-3", world.subscription());
    world.arm("PUT", &group, &json!({ "location": "westus" })).expect(201);
    let shown = world.arm("GET", &group, &Value::Null).expect(200).body;
    assert_eq!(shown["tags"], json!({ "owner": "plant" }));

    for (field, place) in [
        ("location", "operations[0].field"),
        ("Microsoft.Devices/IotHubs/devices/status", "operations[0].field"),
        ("Microsoft.Devices/IotHubs/routing.routes", "operations[0].field"),
    ] {
        let rule = modify(json!([{ "operation": "addOrReplace", "field": field, "value": "x" }]));
        let refused = world.define_policy("bad", &rule).expect(400);
        assert!(refused.body.to_string().contains(place), "{refused:?}");
        assert!(refused.body.to_string().contains("cannot be changed here"), "{refused:?}");
    }
}
