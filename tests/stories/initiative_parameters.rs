//! Parameters on their way: from an assignment through an initiative to the rules of its members.

use serde_json::{Value, json};
use testkit::World;

fn id(world: &World, kind: &str, name: &str) -> String {
    format!("{}/providers/Microsoft.Authorization/{kind}/{name}", world.subscription())
}

fn assignment_id(scope: &str, name: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/policyAssignments/{name}")
}

/// An initiative passes its parameters on to its members: what an assignment gives decides what is refused.
#[test]
fn an_initiative_passes_its_parameters_on_to_its_members() {
    let mut world = World::new();
    let hub = world.hub();
    let definition = id(&world, "policyDefinitions", "no-prefix");
    let rule = json!({
        "if": { "allOf": [
            { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
            { "field": "name", "like": "[concat(parameters('prefix'), '*')]" },
        ] },
        "then": { "effect": "[parameters('effect')]" },
    });
    let parameters = json!({
        "prefix": { "type": "String" },
        "effect": { "type": "String", "allowedValues": ["Deny", "Audit"], "defaultValue": "Deny" },
    });
    let body = json!({ "properties": { "policyRule": rule, "parameters": parameters } });
    world.arm("PUT", &definition, &body).expect(201);
    let set = id(&world, "policySetDefinitions", "prefixes");
    let member = |given: Value| json!({ "policyDefinitionId": definition, "parameters": given });
    let initiative = |given: Value| {
        let body = json!({ "properties": {
            "parameters": { "line": { "type": "String", "defaultValue": "line-1" } },
            "policyDefinitions": [member(given)] } });
        world.arm("PUT", &set, &body)
    };
    // What the definition needs must be given, and nothing that it does not know.
    assert_eq!(initiative(json!({})).expect(400).code(), "MissingPolicyParameter");
    let unknown = json!({ "prefix": { "value": "x" }, "postfix": { "value": "y" } });
    assert_eq!(initiative(unknown).expect(400).code(), "UndefinedPolicyParameter");
    let wrong = initiative(json!({ "prefix": { "value": "[parameters('lines')]" } })).expect(400);
    assert_eq!(
        wrong.body["error"]["target"],
        "properties.policyDefinitions[0].parameters.prefix.value"
    );
    initiative(json!({ "prefix": { "value": "[concat(parameters('line'), '-')]" } })).expect(201);

    let assignment = assignment_id(&hub, "prefixes");
    let assign = |given: Value| {
        let body = json!({ "properties": { "policyDefinitionId": set, "parameters": given } });
        world.arm("PUT", &assignment, &body)
    };
    assert_eq!(
        assign(json!({ "line": { "value": 7 } })).expect(400).code(),
        "InvalidPolicyParameters"
    );
    assign(json!({ "line": { "value": "line-7" } })).expect(201);
    let register = |world: &World, name: &str| {
        let body = json!({ "deviceId": name });
        world.hub_by_key("iothubowner", "PUT", &hub, &format!("/devices/{name}"), &[], &body)
    };
    register(&world, "line-1-pump").expect(200);
    register(&world, "line-70").expect(200);
    let refused = register(&world, "line-7-pump").expect(403);
    let told = world.explained(&refused.tracking());
    let found = &told["decision"]["steps"][1]["findings"][0];
    assert_eq!(found["rule"]["initiative"]["referenceId"], "no-prefix");
    assert_eq!(found["conditions"][1]["expected"], "line-7-*");
    let kept = world.arm("GET", &assignment, &Value::Null).expect(200);
    assert_eq!(kept.body["properties"]["parameters"], json!({ "line": { "value": "line-7" } }));
    world.restart();
    register(&world, "line-7-valve").expect(403);
}
