//! An exception for one among many: the forms it can take.

use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";

fn authorization(scope: &str, kind: &str, name: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/{kind}/{name}")
}

fn define(world: &World, rules: &Value) {
    let path = authorization(&world.subscription(), "policyDefinitions", "quiet");
    world.arm("PUT", &path, &json!({ "properties": { "policyRule": rules } })).expect(201);
}

fn assign(world: &World, not_scopes: &[String]) -> String {
    let definition = authorization(&world.subscription(), "policyDefinitions", "quiet");
    let path = authorization(&world.subscription(), "policyAssignments", "quiet");
    let properties = json!({ "policyDefinitionId": definition, "notScopes": not_scopes });
    world.arm("PUT", &path, &json!({ "properties": properties })).expect(201);
    path
}

fn register(world: &World, who: &Identity, device: &str) -> Answer {
    let path = format!("/devices/{device}");
    world.hub_as(who, "PUT", &world.hub(), &path, &json!({ "deviceId": device }))
}

fn deny() -> Value {
    json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } })
}

/// S0-19: an allow in front of the denial, a condition inside it, an excluded scope, and an exemption: each
/// lets the one through that it names, and nobody else.
#[test]
fn an_exception_is_a_rule_a_condition_a_scope_or_an_exemption() {
    let world = World::new();
    let (one, other) = (world.service_principal("intake"), world.service_principal("intake0"));
    for who in [&one, &other] {
        world.assign(who, DATA_CONTRIBUTOR, &world.hub()).expect(201);
    }
    let is_one = json!({ "field": "identity.principalId", "equals": one.object_id });
    let allow = json!({ "if": is_one, "then": { "effect": "allow" } });
    let unless = json!({ "if": { "allOf": [
        { "field": "type", "equals": DEVICES }, { "not": is_one } ] }, "then": { "effect": "deny" } });

    define(&world, &deny());
    let assignment = assign(&world, &[]);
    register(&world, &one, "d1").expect(403);
    for (device, rules) in [("a1", json!([allow, deny()])), ("a2", unless)] {
        define(&world, &rules);
        register(&world, &one, device).expect(200);
        register(&world, &other, "d2").expect(403);
    }
    define(&world, &deny());

    // An excluded scope lets everybody through there. A namesake of it excludes nothing.
    let group = world.group();
    assign(&world, &[format!("{group}0")]);
    register(&world, &one, "d1").expect(403);
    assign(&world, std::slice::from_ref(&group));
    register(&world, &one, "d1").expect(200);
    register(&world, &other, "d2").expect(200);
    assign(&world, &[]);
    register(&world, &one, "d3").expect(403);

    let exemption = authorization(&world.hub(), "policyExemptions", "intake");
    let properties = json!({ "policyAssignmentId": assignment, "exemptionCategory": "Waiver",
        "principalIds": [one.object_id] });
    world.arm("PUT", &exemption, &json!({ "properties": properties })).expect(201);
    register(&world, &one, "d3").expect(200);
    register(&world, &other, "d4").expect(403);
}
